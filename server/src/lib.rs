//! The program: a peer's configuration, wiring, TLS, HTTP API, metrics and life cycle, and the command line.
//!
//! Rooms: [`setup`] makes, configures and copies a peer's directory; [`identity`] is the peer's certificate, whom it
//! trusts, and what it answers the ledger; [`net`] is everything below a request; [`api`] holds a file for each resource,
//! decides what a caller may know of and makes every refusal; [`duties`] go on without being asked; [`telemetry`] is for
//! those who watch; [`peer`] is the composition root, the only place that reads the configuration and joins the parts;
//! [`cli`] is the command line. HTTP and JSON exist here and in `client` only.

pub mod api;
pub mod cli;
pub mod clock;
mod control;
pub mod duties;
pub mod identity;
pub mod limits;
pub mod memory;
pub mod net;
pub mod peer;
pub mod register;
pub mod setup;
pub mod telemetry;
