//! The administrator's directory `<dir>/ca/`: one database of what was done, and what the office does with it.

pub mod audit_trail;
mod authorities;
pub mod authority_renewal;
pub mod cause;
pub mod database;
pub mod enrolment;
pub mod event;
pub mod expiry;
pub mod folder;
pub mod handout;
mod index_file;
pub mod issuing;
pub mod key_compromise;
mod key_files;
mod known;
mod layout;
pub mod lost;
pub mod publication;
pub mod record;
pub mod registration;
pub mod reissue;
pub mod renewal;
pub mod replacement;
pub mod revocation;
pub mod revocation_evidence;
pub mod rollover;
mod trust_files;
