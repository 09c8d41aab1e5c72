//! Certificates over HTTP: requests, their decisions, renewal.

use ledger_classes::primitives::hash::HexBytes;
use ledger_classes::primitives::time::Time;
use serde::{Deserialize, Serialize};

/// Asks for a certificate: `POST /v1/ca/requests`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateRequestBody {
    /// A PKCS#10 request, PEM.
    pub request: String,
    /// For whom, if the request itself does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// An enrolment token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// An administrator's yes: `POST /v1/ca/requests/{id}/approve`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalBody {
    /// Host names and addresses, for a peer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Days until the certificate expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u64>,
    /// Why, for people to read: at most 256 characters, recorded with the act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// An administrator's no: `POST /v1/ca/requests/{id}/reject`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectionBody {
    /// Why; the requester is told.
    pub reason: String,
    /// Why, as recorded with the act, if that is not the same: at most 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Asks for a successor: `POST /v1/ca/renew`. Over a connection that shows the current certificate, the request is
/// enough; without, the current certificate and a signature of its key say who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewalBody {
    /// A PKCS#10 request under the old or a new key, PEM.
    pub request: String,
    /// The current certificate, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The instant that was signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// The current key's signature over ASCII `chancery/renew/1`, 0x00, the instant in milliseconds (8 octets,
    /// big-endian) and the request's DER: 64 bytes for Ed25519, ASN.1 for P-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<HexBytes>,
}

/// A CA certificate, as `GET /v1/ca/certificates` lists it in JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityView {
    /// Whose; absent for the consortium's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// Whether the peer trusts it by itself.
    pub anchor: bool,
    /// Whether it is a link: a root that another one certified, for those who trust only the other (RFC 4210 §4.4).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub link: bool,
    /// The certificate.
    pub pem: String,
}

/// A certificate that was issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateView {
    /// The path, leaf first, PEM.
    pub certificate: String,
}

/// What became of a CRL that was offered: `POST /v1/ca/crl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrlTaken {
    /// Whether it is newer than what the peer had, or revokes what the peer did not know of.
    pub new: bool,
    /// Certificates that were not revoked before.
    pub revoked: usize,
    /// Whether a newer one of the same CA stays the newest: what this one revokes counts beside it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub older: bool,
}

/// A CA's answer about a certificate that it has revoked, for `POST /v1/ca/answers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaAnswer {
    /// DER certificates as in an admission, leaf first, without the root: the leaf is what was revoked.
    pub path: Vec<HexBytes>,
    /// DER of an OCSP answer of the leaf's CA that says revoked.
    pub evidence: HexBytes,
}

/// What became of a CA's answer that was brought: `POST /v1/ca/answers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerTaken {
    /// Whether the peer had none about this certificate.
    pub new: bool,
}

/// A request and what has become of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRequestView {
    /// Which. Whoever knows it may ask.
    pub id: String,
    /// `requested`, `approved`, `rejected`, `issued` or `lapsed`.
    pub status: String,
    /// For whom.
    pub identity: String,
    /// SHA-256 of the key's SubjectPublicKeyInfo, hex.
    pub key: String,
    /// When it was filed.
    pub requested: Time,
    /// Who filed it; for administrators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<String>,
    /// Who said yes; for administrators.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<String>,
    /// How many must.
    pub approvals_needed: u32,
    /// Host names and addresses that it is approved with so far; for administrators.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Days of the certificate that it is approved with so far; for administrators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u64>,
    /// Serial number of the certificate that was issued, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Why it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The certificate path, leaf first, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// A part of a list of an authorities' folder; `next` continues it, as `after`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterPage<T> {
    /// The last line of the folder's index that the answer reflects, as records under `audit.certificate` count them.
    /// A peer does not tell it: it counts what other organizations do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// When and why a certificate was revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationView {
    /// When.
    pub at: Time,
    /// Why, in RFC 5280's words.
    pub reason: String,
}

/// What was done with a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateActView {
    /// `issued` or `revoked`.
    pub act: String,
    /// When.
    pub at: Time,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Why, for people to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A certificate that an organization's CA has issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedView {
    /// Its serial number, hex.
    pub serial: String,
    /// Whose it is.
    pub identity: String,
    /// The organization whose CA signed it.
    pub authority: String,
    /// `valid`, `expired`, `revoked`, or `intended`: recorded before signing, never confirmed.
    pub status: String,
    /// Its first second.
    pub not_before: Time,
    /// Its last second.
    pub not_after: Time,
    /// SHA-256 of it, hex; absent while it is only intended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// SHA-256 of its SubjectPublicKeyInfo, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The request that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Serial number of the certificate that it continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renews: Option<String>,
    /// Whether it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<RevocationView>,
    /// What was done with it, by whom and why.
    pub acts: Vec<CertificateActView>,
    /// The path, leaf first, PEM; only where one certificate is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// Revokes: `POST /v1/ca/revocations`. One of `serial` and `identity`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevocationBody {
    /// One certificate, by its serial number in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Every certificate of an identity that could still be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Why, in RFC 5280's words; `unspecified` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, for people to read: at most 256 characters, recorded with the act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// For `key-compromise`: also what came of renewals by the compromised key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub renewals: bool,
}

/// What was revoked, now or before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedView {
    /// The certificates. For `key-compromise` every one of that key under the same CA is among them.
    pub revoked: Vec<IssuedView>,
    /// Certificates with other keys that came of renewals by a compromised key and could still be used: whoever had that
    /// key may have made them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub renewed: Vec<IssuedView>,
}

/// Asks for an enrolment token: `POST /v1/ca/tokens`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenBody {
    /// Whom it enrols.
    pub identity: String,
    /// Hours for which it is good; 24 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<u64>,
    /// Host names and addresses, for a peer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Days until the certificate expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u64>,
    /// Why, for people to read: at most 256 characters, recorded with the act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Cancels an enrolment token: `POST /v1/ca/tokens/{id}/cancel`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelBody {
    /// Why, for people to read: at most 256 characters, recorded with the act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// An enrolment token: said once, kept nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    /// What approves one request. A secret.
    pub token: String,
    /// Whom it enrols.
    pub identity: String,
    /// When it is good no more.
    pub expires: Time,
}

/// An enrolment token as it is known without its secret: `GET /v1/ca/tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecordView {
    /// Which: the part of the token before the dot.
    pub id: String,
    /// `open`, `spent`, `expired`, `cancelled`, or `void`: whom it is for or who made it was revoked since, or the policy
    /// asks for several approvals now.
    pub status: String,
    /// Whom it enrols.
    pub identity: String,
    /// The administrator who made it; absent if it was made where the folder is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When it was made.
    pub made: Time,
    /// When it is good no more.
    pub expires: Time,
    /// Host names and addresses of the certificate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Days of the certificate.
    pub days: u64,
    /// The request that used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

impl std::fmt::Debug for TokenView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenView").field("identity", &self.identity).finish_non_exhaustive()
    }
}
