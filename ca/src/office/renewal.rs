//! Renewal: another certificate for the same identity, with the same key or a new one.
//!
//! Whoever renews holds the key of a certificate that was issued here and is not revoked, and no other certificate of that
//! key was revoked as compromised. Over the network it has not been over for longer than [`RENEWAL_GRACE_MS`]. Identity, host
//! names and lifetime are those of the old certificate, which stays good until its own end: connections are never without
//! a valid certificate.

use crate::{
    holder::{
        credentials::{Credentials, CredentialsError},
        own_certificate::OwnCertificate,
    },
    keys::{error::KeyError, pair::KeyPair},
    limits::{ENROLLED_LIFETIME_MAX_MS, RENEWAL_GRACE_MS, RENEWAL_SKEW_MS},
    office::{
        database::Database,
        enrolment::Terms,
        error::FolderError,
        folder::CertificateFolder,
        issuing::{IssuedFor, issue},
        key_compromise,
        record::{CertificateRecord, CertificateStatus},
        registration::{RegistrationError, check_count},
    },
};
use ledger_classes::primitives::identity::Identity;
use ledger_classes::primitives::time::Time;
use pki::{
    trust::files::{CertificateFileError, read_certificates},
    x509::{
        certificate::{Certificate, ProfileError},
        identifiers::sha256,
        public_key::{KeyAlgorithm, PublicKey},
        request::CertificateRequest,
    },
};
use std::path::Path;

/// How the caller has proven to hold the current certificate's key.
#[derive(Clone, Copy, Debug)]
pub enum Possession<'a> {
    /// By the TLS connection over which the request came.
    Connection,
    /// By a signature over [`renewal_message`]: for a certificate with which TLS opens no connection any more.
    Signature {
        /// The instant that was signed.
        at: Time,
        /// The signature.
        signature: &'a [u8],
    },
}

/// Why a certificate is not renewed.
#[derive(Debug, thiserror::Error)]
pub enum RenewalError {
    /// The current certificate breaks its profile.
    #[error("the current certificate is not acceptable")]
    Profile(#[from] ProfileError),
    /// Not one that was issued here.
    #[error("the current certificate was not issued here")]
    Foreign,
    /// Revoked is for ever.
    #[error("the current certificate is revoked")]
    Revoked,
    /// What came after it in its line was revoked, or after it has expired any later one of its identity.
    #[error("a later certificate of the same holder is revoked: enrol again")]
    LaterRevoked,
    /// Its successor was renewed itself, so its holder has that.
    #[error("the current certificate was renewed, and its successor too: renew the newest one, or enrol again")]
    Superseded,
    /// A sibling with the same key was revoked because others have that key: who asks may be one of them.
    #[error("the current certificate's key was revoked as compromised: enrol again, with a new key")]
    CompromisedKey,
    /// Expired for longer than [`RENEWAL_GRACE_MS`].
    #[error("the current certificate expired at {0}, too long ago to be renewed: enrol again")]
    Expired(Time),
    /// The signature is not the current key's, or its instant is not now.
    #[error("possession of the current certificate's key is not proven")]
    Possession,
    /// The key or the number of certificates.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// A new key.
    #[error("the new key")]
    Key(#[from] KeyError),
    /// The files to be renewed.
    #[error("the certificate's folder")]
    Credentials(#[from] CredentialsError),
}

impl From<CertificateFileError> for RenewalError {
    fn from(error: CertificateFileError) -> Self {
        Self::Credentials(error.into())
    }
}

impl From<FolderError> for RenewalError {
    fn from(error: FolderError) -> Self {
        Self::Registration(error.into())
    }
}

/// What the current key signs: tag, instant in milliseconds (8 octets, big-endian), request.
pub fn renewal_message(at: Time, request: &[u8]) -> Vec<u8> {
    [b"chancery/renew/1\0", &at.millis().to_be_bytes()[..], request].concat()
}

/// When a certificate should be renewed: after two thirds of its life.
pub fn due(not_before: Time, not_after: Time) -> Time {
    let life = not_after.millis().saturating_sub(not_before.millis());
    Time::from_millis(not_before.millis() + life / 3 * 2)
}

/// Continues what was issued here.
#[derive(Clone, Copy, Debug)]
pub struct Renewal<'a> {
    pub(super) folder: &'a CertificateFolder,
}

impl Renewal<'_> {
    /// Issues a successor to `current` (DER) for the request's key. Returns its path, leaf first.
    pub fn renew(
        &self,
        current: &[u8],
        request: &CertificateRequest,
        possession: Possession<'_>,
        now: Time,
    ) -> Result<Vec<Vec<u8>>, RenewalError> {
        let key = Certificate::parse(current)?.check_leaf()?.public_key;
        if let Possession::Signature { at, signature } = possession {
            let fresh = at.millis().abs_diff(now.millis()) <= RENEWAL_SKEW_MS;
            if !fresh || !key.verifies(&renewal_message(at, request.der()), signature) {
                return Err(RenewalError::Possession);
            }
        }
        let parsed = Certificate::parse(current)?;
        if parsed.not_after().plus_millis(RENEWAL_GRACE_MS) < now {
            return Err(RenewalError::Expired(parsed.not_after()));
        }
        // Who has the CA's key may have made it.
        if self.folder.records()?.has_lost_its_authority(current) {
            return Err(RenewalError::Revoked);
        }
        self.succeed(current, request.identity(), request.public_key(), None, now)
    }

    /// Renews the certificate in a profile's or peer's folder, whose key is there; with another key if one is given, and
    /// with another lifetime, in milliseconds, than the old certificate's. However long ago that expired: whoever has both
    /// folders has the CA's key too, and could issue anything. A crash leaves a pair that fits, or one that the next call
    /// completes.
    pub fn renew_credentials(
        &self,
        folder: &Path,
        new_key: Option<KeyAlgorithm>,
        lifetime_ms: Option<u64>,
        now: Time,
    ) -> Result<Vec<Vec<u8>>, RenewalError> {
        Credentials::complete_replacement(folder)?;
        let path = read_certificates(&folder.join("cert.pem"))?;
        let old_key = KeyPair::load(&folder.join("key.pem"))?;
        OwnCertificate::new(&path, &old_key).map_err(|error| CredentialsError::Mismatch(error.to_string()))?;
        let current = path.first().ok_or(RenewalError::Foreign)?;
        let key = match new_key {
            None => old_key,
            Some(algorithm) => KeyPair::generate(algorithm)?,
        };
        let path = self.succeed(current, None, key.public(), lifetime_ms, now)?;
        Credentials::replace(folder, &path, new_key.is_some().then_some(&key))?;
        Ok(path)
    }

    fn succeed(
        &self,
        current: &[u8],
        asked: Option<&Identity>,
        key: &PublicKey,
        lifetime_ms: Option<u64>,
        now: Time,
    ) -> Result<Vec<Vec<u8>>, RenewalError> {
        let parsed = Certificate::parse(current)?;
        let alternative_names = parsed.server_names()?;
        let mut records = self.folder.lock()?;
        // The whole certificate is compared: another CA's may have the same serial.
        let fingerprint = hex::encode(sha256(current));
        let record = records.certificate(parsed.serial());
        let record = record.filter(|record| record.fingerprint.as_ref() == Some(&fingerprint));
        let record = record.cloned().ok_or(RenewalError::Foreign)?;
        // Whoever renews has the key: to the folder that is the identity itself.
        records.cause(&record.identity.to_string(), Some("renewal"));
        // With the folder also what has lost its CA: what the index knows was issued here.
        if record.revoked.is_some() {
            return Err(RenewalError::Revoked);
        }
        if key_compromise::check(&records, record.identity.organization(), &parsed.check_leaf()?.public_key).is_err() {
            return Err(RenewalError::CompromisedKey);
        }
        if let Some(asked) = asked
            && *asked != record.identity
        {
            let (asked, bound) = (Box::new(asked.clone()), Box::new(record.identity));
            return Err(RegistrationError::OtherIdentity { asked, bound }.into());
        }
        key_compromise::check(&records, record.identity.organization(), key)?;
        check_line(&records, &record, now)?;
        check_count(&records, &record.identity, now)?;
        let before = record.not_after.millis().saturating_sub(record.intended.millis());
        let lifetime_ms = lifetime_ms.unwrap_or(before).clamp(1_000, ENROLLED_LIFETIME_MAX_MS);
        let terms = Terms { alternative_names, lifetime_ms };
        let purpose = IssuedFor { request: None, renews: Some(record.serial) };
        Ok(issue(&mut records, &record.identity, key, terms, purpose, now)?)
    }
}

/// Refuses a certificate that is not the end of its line. One that nobody revoked because it had been replaced must not
/// bring back whoever was revoked after it. A successor that was never used may be one that never arrived, so that alone
/// refuses nothing.
fn check_line(database: &Database, record: &CertificateRecord, now: Time) -> Result<(), RenewalError> {
    let renewed = |of: &CertificateRecord| {
        database.renewals_of(&of.serial).any(|later| later.fingerprint.is_some() && later.serial != of.serial)
    };
    let mut successors = database.renewals_of(&record.serial);
    let mut later = database.of_identity(&record.identity).filter(|other| other.intended > record.intended);
    if database.renewals_of(&record.serial).any(|later| later.revoked.is_some()) {
        Err(RenewalError::LaterRevoked)
    } else if successors.any(renewed) {
        Err(RenewalError::Superseded)
    } else if record.status(now) == CertificateStatus::Expired && later.any(|other| other.revoked.is_some()) {
        Err(RenewalError::LaterRevoked)
    } else {
        Ok(())
    }
}
