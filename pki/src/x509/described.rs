//! What people are shown of a CA certificate before they accept it: whose it is, and its key, which they compare with what
//! its organization says on another way. Nothing of it is verified here.

use crate::x509::{
    certificate::{Certificate, ProfileError},
    identifiers::{KeyId, Serial},
};
use ledger_classes::primitives::time::Time;

/// A CA certificate in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedAuthority {
    /// Its subject, as it says itself.
    pub subject: String,
    /// The organization that it can vouch for; `None` of a consortium's root, which can certify CAs of any.
    pub organization: Option<String>,
    /// Its key.
    pub key: KeyId,
    /// Its serial number.
    pub serial: Serial,
    /// Until when it is valid.
    pub not_after: Time,
}

impl DescribedAuthority {
    /// Reads a CA certificate of our profile, DER.
    pub fn of_certificate(der: &[u8]) -> Result<Self, ProfileError> {
        let certificate = Certificate::parse(der)?;
        Ok(Self {
            subject: certificate.x509().subject().to_string(),
            organization: certificate.check_authority()?.organization,
            key: certificate.key_id(),
            serial: certificate.serial().clone(),
            not_after: certificate.not_after(),
        })
    }
}
