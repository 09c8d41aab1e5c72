//! What is known of a CA, of a leaf and of the replacement of a root, once the lines of the index are read
//! ([`crate::office::database`]).

use crate::{
    limits::RENEWAL_GRACE_MS,
    office::{cause::Cause, enrolment::RequestId},
};
use ledger_classes::primitives::identity::Identity;
use ledger_classes::primitives::time::Time;
use pki::x509::identifiers::{RevocationReason, Serial};
use serde::Serialize;

/// The name of the consortium's root among the CAs of a folder.
pub const ROOT: &str = "root";

/// When and why something was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RevocationRecord {
    /// When.
    pub at: Time,
    /// Why.
    pub reason: RevocationReason,
}

/// What has become of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateStatus {
    /// Recorded before signing, never confirmed: it may exist, nobody was given it.
    Intended,
    /// Issued, not revoked, not expired.
    Valid,
    /// Its last second has passed.
    Expired,
    /// Revoked, whether or not it has expired since.
    Revoked,
}

/// A leaf certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CertificateRecord {
    /// The organization whose CA signed it.
    pub authority: String,
    /// Its serial.
    pub serial: Serial,
    /// Whose it is.
    pub identity: Identity,
    /// Its first second.
    pub not_before: Time,
    /// Its last second.
    pub not_after: Time,
    /// When its issuance was intended.
    pub intended: Time,
    /// SHA-256 of it, hex; `None` while it is only intended.
    pub fingerprint: Option<String>,
    /// SHA-256 of its SubjectPublicKeyInfo, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The request that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
    /// The certificate that it continues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renews: Option<Serial>,
    /// The certificate of its CA in the path that was handed out last.
    pub issuing: Serial,
    /// When its path and the anchors were handed out last.
    pub handed_out: Time,
    /// Whether it was revoked.
    pub revoked: Option<RevocationRecord>,
    /// Whether its CA was, and it with that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authority_revoked: Option<RevocationRecord>,
    /// What was done with it, by whom and why.
    pub acts: Vec<CertificateAct>,
}

impl CertificateRecord {
    /// Whether it can be used or renewed at `now`, unless it is revoked.
    pub fn is_renewable(&self, now: Time) -> bool {
        self.not_after.plus_millis(999 + RENEWAL_GRACE_MS) >= now
    }

    /// What has become of it at `now`.
    pub fn status(&self, now: Time) -> CertificateStatus {
        if self.revoked.is_some() || self.authority_revoked.is_some() {
            CertificateStatus::Revoked
        } else if self.fingerprint.is_none() {
            CertificateStatus::Intended
        } else if self.not_after.plus_millis(999) < now {
            CertificateStatus::Expired
        } else {
            CertificateStatus::Valid
        }
    }
}

/// A CA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuthorityRecord {
    /// `root`, or the organization; of one whose key was replaced with a number behind it.
    pub name: String,
    /// The name of its key's file, if that is another one.
    #[serde(skip)]
    pub keys: Option<String>,
    /// Who signed its certificate.
    pub issuer: String,
    /// The serial of its certificate.
    pub serial: Serial,
    /// Its last second.
    pub not_after: Time,
    /// Certificates of the same name and key that came before it, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<AuthorityCertificate>,
    /// Certificates that were recorded before signing and never confirmed: they may exist, nobody was given them.
    #[serde(skip)]
    pub intended: Vec<AuthorityCertificate>,
    /// The number of its newest CRL; 0 before the first.
    pub crl_number: u64,
    /// When its next CRL is due.
    pub crl_next_update: Option<Time>,
    /// Whether it was revoked.
    pub revoked: Option<RevocationRecord>,
    /// When another took its place, for good: a root that was replaced, or a CA whose key was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retired: Option<Time>,
    /// The signature by which its key says that others have it, hex.
    #[serde(skip)]
    pub compromise: Option<String>,
    /// The CA that its key has named as its successor.
    #[serde(skip)]
    pub succession: Option<NamedAuthority>,
}

impl AuthorityRecord {
    /// Whose CA it is: the name without the number behind it.
    pub fn organization(&self) -> &str {
        self.name.split('.').next().unwrap_or_default()
    }

    /// The name of its key's file.
    pub(crate) fn keys(&self) -> &str {
        self.keys.as_deref().unwrap_or(&self.name)
    }

    /// Every certificate that was handed out, the newest first.
    pub fn certificates(&self) -> impl Iterator<Item = AuthorityCertificate> {
        let (issuer, serial, not_after) = (self.issuer.clone(), self.serial.clone(), self.not_after);
        std::iter::once(AuthorityCertificate { issuer, serial, not_after }).chain(self.earlier.iter().rev().cloned())
    }
}

/// A CA that another one's key has named as its successor, as the index keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedAuthority {
    /// The serial number of the certificate that was named.
    pub serial: Serial,
    /// The signature of the key before, hex.
    pub proof: String,
    /// The signature of its own key, hex.
    pub possession: String,
}

/// One certificate of a CA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuthorityCertificate {
    /// Who signed it.
    pub issuer: String,
    /// Its serial under that issuer.
    pub serial: Serial,
    /// Its last second.
    pub not_after: Time,
}

/// A consortium's root on its way to the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RolloverRecord {
    /// The root that is replaced.
    pub(crate) old: String,
    /// The one that replaces it.
    pub(crate) new: String,
    /// Since when both are anchors.
    pub(crate) started: Time,
    /// Since when the new one certifies.
    pub(crate) switched: Option<Time>,
}

/// What was done with a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CertificateAct {
    /// `issued` or `revoked`.
    pub act: &'static str,
    /// When.
    pub at: Time,
    /// By whom and why, as far as the index says.
    #[serde(flatten)]
    pub cause: Cause,
}

/// A certificate that a CA revoked by its number alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LostCertificate {
    /// The CA.
    pub authority: String,
    /// Its serial.
    pub serial: Serial,
    /// When and why.
    pub revoked: RevocationRecord,
}
