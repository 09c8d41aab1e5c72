//! From a submission to a committed block. The machine decides everything, without I/O, clock or threads; the effect loop
//! performs what it asks for. Never here: a decision outside of the machine.

pub(crate) mod acceptor;
pub(crate) mod answer;
pub(crate) mod batcher;
pub(crate) mod collector;
pub(crate) mod door;
pub(crate) mod effects;
pub(crate) mod inbox;
pub(crate) mod machine;
pub mod ordering;
pub(crate) mod outcomes;
pub(crate) mod part;
pub(crate) mod path_cache;
pub(crate) mod places;
pub(crate) mod submission;
pub(crate) mod verifier;
pub(crate) mod vouching;
pub mod witness_message;
pub(crate) mod witness_requests;
pub(crate) mod witnesses;
