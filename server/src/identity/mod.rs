//! Who this peer is, and whom it trusts.

pub(crate) mod stamp;
pub mod trust;
