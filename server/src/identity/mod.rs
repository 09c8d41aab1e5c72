//! Who this peer is, whom it trusts, and what it answers the ledger about certificates.

pub mod authority_keys;
pub mod certificate_paths;
pub(crate) mod stamp;
pub mod trust;
