//! The administrator's directory `<dir>/ca/`, by what a caller may do with it:
//!
//! - [`database::Database`] is what was done, in memory. What takes only that touches no file.
//! - [`records::Records`] is that and the certificates beside it, at one instant. What takes only that reads.
//! - `LockedRecords` has the lock, the end of the index, and the keys. What is written in the folder, and what a CA signs
//!   for others to keep, needs it.
//! - The services below take the lock for each call and give it back; nothing else outside of this room can.
//!
//! Each service says in its file what it records, writes and signs, and in which order.

pub mod audit_trail;
pub mod authorities;
pub mod authority_renewal;
pub mod cause;
pub mod database;
pub mod enrolment;
pub mod error;
pub mod event;
pub mod expiry;
pub mod filed;
pub mod folder;
pub mod handout;
pub mod issuing;
pub mod key_compromise;
pub mod key_files;
mod known;
mod layout;
mod locked_records;
pub mod publication;
pub mod record;
pub mod records;
pub mod registration;
pub mod reissue;
pub mod renewal;
pub mod replacement;
pub mod revocation;
pub mod revocation_evidence;
pub mod rollover;
mod trust_files;

impl folder::CertificateFolder {
    /// Requests, tokens and the policy for them.
    pub const fn registration(&self) -> registration::Registration<'_> {
        registration::Registration { folder: self }
    }

    /// Leaves for whom the holder of the folder names.
    pub const fn issuing(&self) -> issuing::Issuing<'_> {
        issuing::Issuing { folder: self }
    }

    /// Leaves for whoever has one already.
    pub const fn renewal(&self) -> renewal::Renewal<'_> {
        renewal::Renewal { folder: self }
    }

    /// What changed, for holders on this machine.
    pub const fn handout(&self) -> handout::Handout<'_> {
        handout::Handout { folder: self }
    }

    /// Leaves and CAs that are good no more.
    pub const fn revocation(&self) -> revocation::Revocation<'_> {
        revocation::Revocation { folder: self }
    }

    /// CRLs and OCSP answers, signed again.
    pub const fn publication(&self) -> publication::Publication<'_> {
        publication::Publication { folder: self }
    }

    /// The CAs of organizations.
    pub const fn authorities(&self) -> authorities::Authorities<'_> {
        authorities::Authorities { folder: self }
    }

    /// The next root of the consortium.
    pub const fn rollover(&self) -> rollover::Rollover<'_> {
        rollover::Rollover { folder: self }
    }

    /// The files of the CAs' keys.
    pub const fn key_files(&self) -> key_files::KeyFiles<'_> {
        key_files::KeyFiles { folder: self }
    }
}
