//! A channel as the peer holds it: its handle, its actor, whether it is active or suspended, and what is known of it then.

pub(crate) mod actor;
pub(crate) mod handle;
pub(crate) mod passivation;
pub(crate) mod posting;
pub(crate) mod remains;
pub(crate) mod slot;
pub(crate) mod summary;
