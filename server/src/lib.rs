//! The program: a peer's configuration, wiring, TLS, HTTP API, metrics and life cycle, and the command line.
//!
//! Rooms: [`setup`] makes, configures and copies a peer's directory; [`certificates`] is what these say to
//! whoever asks, the ledger above all; [`identity`] is the peer's own, and whom it trusts; [`telemetry`] is what it keeps
//! for those who watch; [`net`] is everything below a request; [`duties`] go on without being asked; [`problem`] has every
//! refusal, and [`api`] a file for each resource: it decides what a caller may know of; [`peer`] is the composition root,
//! the only place that reads the configuration, joins the parts and listens; [`cli`] is the command line. HTTP and JSON exist here and in `client` only.

pub mod api;
pub mod certificates;
pub mod cli;
pub mod clock;
mod control;
pub mod duties;
pub mod identity;
pub mod limits;
pub mod memory;
pub mod net;
pub mod peer;
pub mod problem;
pub mod register;
pub mod setup;
pub mod telemetry;
