//! The program: configuration, wiring, TLS, HTTP API, peer link, explorer, metrics, command line.

pub mod cli;
