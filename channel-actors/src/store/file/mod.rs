//! Files below a store: where they are, the checksums of their pages, the disk that may be full, and who may write how fast.
//! Never here: what a record means.

pub(in crate::store) mod backend;
pub(in crate::store) mod check;
pub(in crate::store) mod checksums;
pub(in crate::store) mod directory;
pub(in crate::store) mod disk;
pub(in crate::store) mod read_only;
pub(in crate::store) mod summary;
pub(in crate::store) mod throttle;
