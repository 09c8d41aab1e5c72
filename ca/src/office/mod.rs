//! The administrator's directory `<dir>/ca/`: one database of what was done, and what the office does with it.

pub mod audit_trail;
pub mod authority_renewal;
pub mod database;
pub mod enrolment;
mod event;
pub mod expiry;
pub mod folder;
pub mod handout;
pub mod key_compromise;
mod known;
pub mod lost;
pub mod publication;
mod record;
pub mod registration;
pub mod reissue;
pub mod renewal;
pub mod replacement;
pub mod revocation_evidence;
pub mod rollover;
mod trust_files;
