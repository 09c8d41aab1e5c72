//! What a leaf says of itself, for its own holder: a peer must know who it is, and go on, while nobody else accepts its
//! certificate. Nothing is verified here: to learn who somebody else is, [`crate::verify_path`] is the only way.

use crate::x509::{
    certificate::{Certificate, ProfileError},
    identifiers::Serial,
};
use ledger_classes::primitives::identity::Identity;
use ledger_classes::primitives::time::Time;

/// The claims of a well-formed leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafClaims {
    identity: Identity,
    serial: Serial,
    not_before: Time,
    not_after: Time,
    fingerprint: [u8; 32],
}

impl LeafClaims {
    /// Reads a certificate, DER. Refuses what is no leaf of our profile.
    pub fn of_certificate(der: &[u8]) -> Result<Self, ProfileError> {
        let certificate = Certificate::parse(der)?;
        let identity = certificate.check_leaf()?.identity;
        let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
        let (serial, fingerprint) = (certificate.serial().clone(), certificate.fingerprint());
        Ok(Self { identity, serial, not_before, not_after, fingerprint })
    }

    /// The identity in its URI.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The serial number.
    pub const fn serial(&self) -> &Serial {
        &self.serial
    }

    /// The first second of its validity.
    pub const fn not_before(&self) -> Time {
        self.not_before
    }

    /// The last second of its validity.
    pub const fn not_after(&self) -> Time {
        self.not_after
    }

    /// SHA-256 of the whole certificate.
    pub const fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }
}
