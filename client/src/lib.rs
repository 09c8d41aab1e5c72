//! The Rust SDK: identity, signing, submit, subscribe, verify. The command line and the load tests use nothing else.
//!
//! A [`profile::Profile`] says who somebody is and which peer it talks to, a [`connection::Connection`] talks to that
//! peer, and [`verify`] believes nothing of what the peer says without a proof.
//! What must never happen here: a secret in a log line, an error text or a file that others can read; an answer
//! without a bound on its size or its time; a changed payload after signing.

pub mod admit;
pub mod api;
pub mod certificate;
pub mod connection;
pub mod crl;
pub mod fork;
pub mod keys;
pub mod known;
pub mod profile;
pub mod query;
pub mod refusal;
pub mod register;
pub mod renew;
mod request_error;
pub mod retry;
pub mod seen;
mod shared_stream;
pub mod sse;
mod streams;
pub mod submit;
pub mod subscribe;
mod trusted;
pub mod verify;
pub mod window;

use ledger_classes::primitives::time::Time;

/// The machine's clock. Clients and peers may read it; the ledger's core never does.
pub fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Time::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
