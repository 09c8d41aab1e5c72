//! The Rust SDK: identity, signing, submit, subscribe, verify. The command line and the load tests use nothing else.

pub mod api;
