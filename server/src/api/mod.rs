//! The HTTP API: one table of routes, from which both the server and the OpenAPI document are made; one file for each
//! resource. Handlers decide nothing about a channel but who may see what: everything else is asked of the channel.

pub mod access;
mod accounts;
mod answer;
mod apps;
mod assets;
mod authorities;
mod blocks;
mod body;
pub mod budget;
mod carried;
mod channels;
pub mod context;
mod contracts;
pub mod cursor;
mod est;
mod events;
mod frames;
mod issued;
mod judged;
mod live_rights;
mod logs;
mod media;
mod openapi;
mod parameters;
mod participants;
mod query;
mod reading;
mod registration;
mod route;
mod routes;
mod schemas;
mod service;
mod slices;
mod state;
mod status;
mod submissions;
mod transactions;
pub mod turns;

pub use route::{Method, Route};
pub use routes::{ROUTES, document};
pub use service::{configure, observe};
