//! What readers and subscribers get: recent blocks, one consistent state, the log, and proofs.
//! Never here: anything uncommitted.

pub(crate) mod links;
pub(crate) mod read_limits;
pub(crate) mod reader;
pub(crate) mod ring;
pub(crate) mod shared;
