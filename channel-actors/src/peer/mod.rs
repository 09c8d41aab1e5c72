//! All channels of a peer: opened, made, suspended, found, drained; who may see which; and whose the directory is.

pub(crate) mod directory_lock;
pub mod fence;
pub(crate) mod registry;
pub(crate) mod visibility;
