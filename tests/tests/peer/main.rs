//! A whole peer, as a process of its own, over TLS: what its users are promised. One file a promise.

mod harness;

mod audit;
mod bad_input;
mod crash;
mod crl_exchange;
mod disk;
mod expiry;
mod foreign_clients;
mod isolation;
mod keys;
mod registration;
mod revocation;
mod rollover;
mod subscriptions;
mod tokens;
