//! A whole peer, as a process of its own, over TLS: what its users are promised. One file a promise.

mod harness;
mod seeds;
mod wait;

mod acts;
mod audit;
mod backup;
mod bad_input;
mod bank;
mod closed;
mod configuration;
mod crl_exchange;
mod crowd;
mod disk;
mod exchange;
mod expiry;
mod foreign_clients;
mod governance;
mod halted;
mod http;
mod isolation;
mod keys;
mod kills;
mod monitoring;
mod payments;
mod python_verifier;
mod registration;
mod remote_authority;
mod revocation;
mod rollover;
mod rot;
mod schemas;
mod schemathesis;
mod silence;
mod subscriptions;
mod tokens;
