//! A key that others have: what is revoked is the key and not one serial. Every certificate of it under the same CA goes
//! with the one that was named, and no other is issued for it again.
//!
//! Whoever had the key could renew itself to another key that nobody else has. Such certificates are told of, and
//! revoked with the key if the administrator says so: only a person knows whether the key was stolen before or after.

use crate::office::{database::Database, error::FolderError, record::CertificateRecord};
use ledger_classes::primitives::time::Time;
use pki::x509::{identifiers::Serial, public_key::PublicKey};
use std::collections::BTreeSet;

/// What a revocation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// What is revoked, newly or not, in the order in which it was issued.
    pub certificates: Vec<CertificateRecord>,
    /// Certificates with other keys that came of renewals by a compromised one and could still be used.
    pub renewed: Vec<CertificateRecord>,
}

/// These certificates and all others of the same keys under the same CAs; with `renewals` also what they were renewed
/// to, and so on.
pub(crate) fn with_their_keys(
    database: &Database,
    named: Vec<CertificateRecord>,
    renewals: bool,
) -> Vec<CertificateRecord> {
    let mut found: BTreeSet<Serial> = BTreeSet::new();
    let mut open = named;
    while let Some(record) = open.pop() {
        if !found.insert(record.serial.clone()) {
            continue;
        }
        let of_key = record.key.iter().flat_map(|key| database.of_key(key));
        let renewed = database.renewals_of(&record.serial).filter(|_| renewals);
        let related = of_key.chain(renewed).filter(|other| other.authority == record.authority);
        open.extend(related.filter(|other| !found.contains(&other.serial)).cloned());
    }
    database.certificates().iter().filter(|record| found.contains(&record.serial)).cloned().collect()
}

/// What was renewed by the keys of `revoked`, and could still be used.
pub(crate) fn renewed_by(database: &Database, revoked: &[CertificateRecord], now: Time) -> Vec<CertificateRecord> {
    let mut all = with_their_keys(database, revoked.to_vec(), true);
    all.retain(|record| record.revoked.is_none() && record.is_renewable(now));
    all
}

/// Refuses a key of which a CA knows that others have it (CA/Browser Forum BR §6.1.1.3 asks the same of public CAs). What
/// one organization says of a key binds no other: it may never have had it.
pub(crate) fn check(database: &Database, authority: &str, key: &PublicKey) -> Result<(), FolderError> {
    if database.is_compromised(authority, key) { Err(FolderError::CompromisedKey) } else { Ok(()) }
}
