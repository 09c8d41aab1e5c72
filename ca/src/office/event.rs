//! What can happen in an authorities' folder: the lines of `index.jsonl` ([`crate::office::database`]).
//!
//! Lines are never changed, so an event's fields only grow, and new ones have a default.

use crate::office::{
    cause::Cause,
    enrolment::{EnrolmentPolicy, RequestId, Terms, TokenId},
    record::CertificateAct,
};
use ledger_classes::primitives::identity::Identity;
use ledger_classes::primitives::time::Time;
use pki::x509::identifiers::{RevocationReason, Serial};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Event {
    /// The first line.
    Created {
        /// The version of this file's format.
        format: u32,
        /// The trust domain.
        consortium: String,
        /// When.
        at: Time,
    },
    /// A CA certificate is in its file.
    AuthorityAdded {
        /// `root`, or the organization.
        name: String,
        /// Who signed it: `root`, or itself.
        issuer: String,
        /// Its serial under that issuer.
        serial: Serial,
        /// Its last second.
        not_after: Time,
        /// When.
        at: Time,
    },
    /// Another certificate for a CA's name and key is about to be signed.
    AuthorityIntended {
        /// The organization.
        name: String,
        /// Who signs it: a root, or the CA itself.
        issuer: String,
        /// Its serial under that issuer.
        serial: Serial,
        /// Its last second.
        not_after: Time,
        /// When.
        at: Time,
    },
    /// That certificate is in `authorities/`, and is the CA's newest.
    AuthorityReissued {
        /// The organization.
        name: String,
        /// Which certificate.
        serial: Serial,
        /// When.
        at: Time,
    },
    /// An organization's CA is no longer trusted.
    AuthorityRevoked {
        /// The organization.
        name: String,
        /// Why.
        reason: RevocationReason,
        /// When.
        at: Time,
    },
    /// An organization's CA has another key from now on, and the one before is no longer trusted.
    AuthorityReplaced {
        /// The organization.
        name: String,
        /// What the CA before is called from now on.
        former: String,
        /// The name of the new key's file.
        keys: String,
        /// Who signed the new certificate: a root, or the CA itself.
        issuer: String,
        /// Its serial under that issuer.
        serial: Serial,
        /// Its last second.
        not_after: Time,
        /// Why the CA before is not trusted.
        reason: RevocationReason,
        /// SHA-256 of the SubjectPublicKeyInfo of the CA before, hex.
        key: String,
        /// The signature by which that key says that others have it, hex.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        proof: Option<String>,
        /// The signature by which that key names the new certificate as its successor's, hex.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        successor: Option<String>,
        /// The signature of the new key over the same, hex.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        possession: Option<String>,
        /// When.
        at: Time,
    },
    /// A new root lies beside the old one: both are anchors from now on.
    RolloverStarted {
        /// The new root's name.
        root: String,
        /// Its serial.
        serial: Serial,
        /// Its last second.
        not_after: Time,
        /// When.
        at: Time,
    },
    /// The new root certifies from now on.
    RolloverSwitched {
        /// The new root.
        root: String,
        /// When.
        at: Time,
    },
    /// The old root is no anchor any more.
    RootRetired {
        /// The old root.
        root: String,
        /// SHA-256 of its SubjectPublicKeyInfo, hex.
        key: String,
        /// When.
        at: Time,
    },
    /// The holder of a leaf was given the newest path and anchors for it, without another leaf.
    PathHandedOut {
        /// Which leaf.
        serial: Serial,
        /// When.
        at: Time,
    },
    /// A leaf is about to be signed.
    Intended {
        /// The organization whose CA signs.
        authority: String,
        /// Its serial under that CA.
        serial: Serial,
        /// Whose it is.
        identity: Identity,
        /// Its first second.
        not_before: Time,
        /// Its last second.
        not_after: Time,
        /// SHA-256 of its SubjectPublicKeyInfo, hex.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// The request that it answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<RequestId>,
        /// The certificate that it continues.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        renews: Option<Serial>,
        /// When.
        at: Time,
    },
    /// The leaf was signed and is in `issued/`.
    Issued {
        /// Which.
        serial: Serial,
        /// SHA-256 of the certificate, hex.
        fingerprint: String,
        /// When.
        at: Time,
    },
    /// A leaf is revoked. The next CRL carries it.
    Revoked {
        /// Which.
        serial: Serial,
        /// Why.
        reason: RevocationReason,
        /// When.
        at: Time,
    },
    /// A number of a CA is revoked of which this index knows nothing. The next CRL carries it.
    LostRevoked {
        /// The organization.
        authority: String,
        /// Which.
        serial: Serial,
        /// Why.
        reason: RevocationReason,
        /// When.
        at: Time,
    },
    /// A CRL is about to be signed: its number is spent, whatever happens next.
    CrlIntended {
        /// `root`, or the organization.
        authority: String,
        /// Its number.
        number: u64,
        /// When the next one is due.
        next_update: Time,
        /// When.
        at: Time,
    },
    /// A certificate is asked for by somebody who possesses the key. A token approves it, and is spent by this line.
    Requested {
        /// Which request.
        request: RequestId,
        /// For whom.
        identity: Identity,
        /// The SubjectPublicKeyInfo, hex.
        public_key: String,
        /// Who asks.
        requester: String,
        /// The token.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<TokenId>,
        /// When.
        at: Time,
    },
    /// An administrator approves a request.
    Approved {
        /// Which.
        request: RequestId,
        /// Who.
        by: String,
        /// What the certificate is to be issued with.
        terms: Terms,
        /// When.
        at: Time,
    },
    /// An administrator rejects a request.
    Rejected {
        /// Which.
        request: RequestId,
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// When.
        at: Time,
    },
    /// An enrolment token is given out.
    TokenAdded {
        /// Which.
        token: TokenId,
        /// SHA-256 of its secret, hex.
        hash: String,
        /// For whom it approves one request.
        identity: Identity,
        /// What the certificate is issued with.
        terms: Terms,
        /// Its last instant.
        expires: Time,
        /// The administrator who made it, who has not the folder: what the policy and later revocations say binds it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Identity>,
        /// When.
        at: Time,
    },
    /// An enrolment token is good no more.
    TokenCancelled {
        /// Which.
        token: TokenId,
        /// When.
        at: Time,
    },
    /// What requests need from now on.
    PolicySet {
        /// The policy.
        policy: EnrolmentPolicy,
        /// When.
        at: Time,
    },
}

ledger_classes::tagged!(Event, "event");

/// What a line says of a certificate.
pub(crate) fn of_certificate(event: &Event, cause: Cause) -> Option<(&Serial, CertificateAct)> {
    match event {
        Event::Issued { serial, at, .. } => Some((serial, CertificateAct { act: "issued", at: *at, cause })),
        Event::Revoked { serial, at, .. } => Some((serial, CertificateAct { act: "revoked", at: *at, cause })),
        _ => None,
    }
}

/// A line as it is written: the event, and who caused it.
pub(crate) fn line_of(event: &Event, cause: &Cause) -> Result<Vec<u8>, serde_json::Error> {
    #[derive(Serialize)]
    struct Line<'a> {
        #[serde(flatten)]
        event: &'a Event,
        #[serde(flatten)]
        cause: &'a Cause,
    }
    let mut line = serde_json::to_vec(&Line { event, cause })?;
    line.push(b'\n');
    Ok(line)
}

/// A line as it was written.
pub(crate) fn parse_line(line: &[u8]) -> Result<(Event, Cause), serde_json::Error> {
    let mut fields: Map<String, Value> = ledger_classes::primitives::json::from_slice(line)?;
    let mut cause = Map::new();
    for name in ["who", "why"] {
        cause.extend(fields.remove_entry(name));
    }
    Ok((
        ledger_classes::primitives::json::from_value(Value::Object(fields))?,
        ledger_classes::primitives::json::from_value(Value::Object(cause))?,
    ))
}
