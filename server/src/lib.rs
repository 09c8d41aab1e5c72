//! The program: a peer's configuration, wiring, TLS, HTTP API, metrics and life cycle, and the command line.
//!
//! Rooms: [`peer`] is the composition root, the only place that reads the configuration and joins the parts; [`api`]
//! holds a file for each resource; [`access`] decides what a caller may know of; [`problem`] makes every refusal;
//! [`trust`] and [`tls`] tie live connections to certificates; [`pace`] limits their time, [`places`] their number; [`renewal`] renews the
//! peer's own; [`init`] makes a new peer's directory, [`backup`] copies one and makes it again; [`demo`] shows it all at work.
//! HTTP and JSON exist here and in `client` only.

pub mod access;
pub mod api;
mod audit;
pub mod backup;
pub mod budget;
pub mod certificates;
pub mod cli;
pub mod clock;
pub mod config;
mod connections;
pub mod context;
mod control;
mod crl_exchange;
pub mod demo;
mod descriptors;
pub mod duties;
pub mod handshakes;
pub mod init;
pub mod limits;
pub mod log_lines;
pub mod logging;
pub mod memory;
pub mod metrics;
mod monitor;
pub mod operator;
pub mod pace;
pub mod peer;
pub mod places;
pub mod problem;
mod process_metrics;
pub mod register;
pub mod renewal;
mod revocations;
mod seldom;
mod stamp;
pub mod tls;
pub mod trust;
pub mod turns;
pub mod upkeep;
mod wire;
