//! Whom to believe: paths, revocation, anchors, and the files and connections that they are for.

pub mod bundle;
pub mod continuation;
pub mod diagnosis;
pub mod exchange;
mod faults;
pub mod files;
pub mod participant;
pub mod path;
pub mod revocation;
pub mod root_update;
pub mod store;
pub mod tls;
pub mod validation;
