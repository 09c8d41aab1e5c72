//! What the certificates directory remembers of requests, enrolment tokens and the policy for them. Data only: what is
//! done with it is in [`crate::office::registration`].

use crate::limits::{
    ENROLLED_LIFETIME_MAX_MS, ENROLLED_LIFETIME_MS, REQUEST_LIFETIME_MS, REQUESTS_KEPT_FOR_ADMINISTRATORS,
    REQUESTS_OPEN_MAX, REQUESTS_OPEN_OF_STRANGERS_MAX, STRANGERS_REQUEST_LIFETIME_MS,
};
use ledger_classes::primitives::identity::{Identity, Role};
use ledger_classes::primitives::time::Time;
use pki::x509::{
    identifiers::{AlternativeName, KeyId, Serial, sha256},
    public_key::PublicKey,
};
use ring::rand::SecureRandom;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The text is not an identifier of this kind.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("an identifier has {0} lower-case hex digits")]
pub struct IdError(usize);

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// A new one that nobody can guess.
            pub(crate) fn random(random: &dyn SecureRandom) -> Result<Self, ring::error::Unspecified> {
                let mut bytes = [0; $bytes];
                random.fill(&mut bytes)?;
                Ok(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let mut bytes = [0; $bytes];
                let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
                match hex::decode_to_slice(text, &mut bytes) {
                    Ok(()) if lower => Ok(Self(bytes)),
                    _ => Err(IdError(2 * $bytes)),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

identifier! {
    /// Which request. Whoever knows it may ask what became of the request.
    RequestId, 16
}

identifier! {
    /// Which enrolment token. Not a secret.
    TokenId, 8
}

/// What a certificate is issued with, beyond the identity and the key: decided by whoever approves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Host names and addresses: for peers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternative_names: Vec<AlternativeName>,
    /// Lifetime in milliseconds; cut at the end of the CA's own.
    #[serde(default = "lifetime_default")]
    pub lifetime_ms: u64,
}

const fn lifetime_default() -> u64 {
    ENROLLED_LIFETIME_MS
}

impl Default for Terms {
    fn default() -> Self {
        Self { alternative_names: Vec::new(), lifetime_ms: ENROLLED_LIFETIME_MS }
    }
}

impl Terms {
    /// Whether the lifetime is one that may be given.
    pub(crate) const fn in_range(&self) -> bool {
        1_000 <= self.lifetime_ms && self.lifetime_ms <= ENROLLED_LIFETIME_MAX_MS
    }
}

/// What a request needs before it is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentPolicy {
    /// Distinct approvers.
    pub approvals: u32,
}

impl Default for EnrolmentPolicy {
    fn default() -> Self {
        Self { approvals: 1 }
    }
}

/// What has become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestStatus {
    /// Waits for approvals.
    Requested,
    /// Granted, and not issued yet: a crash came between. The next approval or retry issues.
    Approved,
    /// Refused for good.
    Rejected,
    /// Its certificate was issued.
    Issued,
    /// Nobody decided in time, or whom it is for was revoked since it was filed.
    Lapsed,
}

impl RequestStatus {
    /// Every status.
    pub const ALL: &'static [Self] = &[Self::Requested, Self::Approved, Self::Rejected, Self::Issued, Self::Lapsed];
}

impl fmt::Display for RequestStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requested => "requested",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Issued => "issued",
            Self::Lapsed => "lapsed",
        })
    }
}

/// An administrator's yes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Approval {
    /// Whose.
    pub by: String,
    /// When.
    pub at: Time,
    /// What the certificate is to be issued with.
    #[serde(skip)]
    pub(crate) terms: Terms,
    /// Its line in the index.
    #[serde(skip)]
    pub(crate) line: usize,
}

/// An administrator's no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// Whose.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Time,
}

/// Who files at the command line: whoever has the folder.
pub const FOLDER: &str = "folder";

/// What kind of caller files a request: each has its places in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requester {
    /// Shows no certificate: an address.
    Stranger,
    /// Shows one: an identity.
    Member,
    /// An administrator, or whoever has the folder.
    Administrator,
}

/// The organization of who shows a certificate.
pub(crate) fn member_of(requester: &str) -> Option<String> {
    Identity::parse(requester).ok().map(|identity| identity.organization().to_owned())
}

impl Requester {
    /// The kind of whoever a request says that it is of.
    pub fn of(requester: &str) -> Self {
        match Identity::parse(requester) {
            _ if requester == FOLDER => Self::Administrator,
            Ok(identity) if identity.role() == Role::Admin => Self::Administrator,
            Ok(_) => Self::Member,
            Err(_) => Self::Stranger,
        }
    }

    /// The kind of who asks for a certificate of an organization: administrators of others are members to it.
    pub(crate) fn at(organization: &str, requester: &str) -> Self {
        match Self::of(requester) {
            Self::Administrator if member_of(requester).is_some_and(|of| of != organization) => Self::Member,
            kind => kind,
        }
    }

    /// Requests of all kinds that may wait before another one of this kind is filed.
    pub(crate) const fn queue(self) -> usize {
        match self {
            Self::Administrator => REQUESTS_OPEN_MAX,
            Self::Member | Self::Stranger => REQUESTS_OPEN_MAX - REQUESTS_KEPT_FOR_ADMINISTRATORS,
        }
    }

    /// Requests of this kind that may wait.
    pub(crate) const fn of_kind(self) -> usize {
        match self {
            Self::Administrator | Self::Member => REQUESTS_OPEN_MAX,
            Self::Stranger => REQUESTS_OPEN_OF_STRANGERS_MAX,
        }
    }
}

/// A request in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CertificateRequestRecord {
    /// Which.
    pub id: RequestId,
    /// For whom a certificate is asked.
    pub identity: Identity,
    /// The key, of which possession is proven: SHA-256 of its SubjectPublicKeyInfo, hex. What an approver compares
    /// with what the requester says on another way.
    pub key: String,
    /// The key itself.
    #[serde(skip)]
    pub public_key: PublicKey,
    /// Who filed it: an identity, an address, or `folder`.
    pub requester: String,
    /// When.
    pub requested: Time,
    /// The token that approved it, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// Who said yes.
    pub approvals: Vec<Approval>,
    /// What the certificate is issued with: what the token or the first approval said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
    /// Who said no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<Rejection>,
    /// The certificate that was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<Serial>,
    /// Its line in the index.
    #[serde(skip)]
    pub(crate) line: usize,
    /// Whether for whom it is, or who made its token, was revoked since.
    #[serde(skip)]
    pub(crate) void: bool,
}

impl CertificateRequestRecord {
    pub(crate) fn new(id: RequestId, identity: Identity, public_key: PublicKey, requester: String, at: Time) -> Self {
        Self {
            id,
            identity,
            key: KeyId::of_spki(&public_key.spki()).to_string(),
            public_key,
            requester,
            requested: at,
            token: None,
            approvals: Vec::new(),
            terms: None,
            rejected: None,
            serial: None,
            line: 0,
            void: false,
        }
    }

    /// What kind of caller filed it.
    pub fn filed_by(&self) -> Requester {
        Requester::of(&self.requester)
    }

    /// Its last instant, if nobody decides.
    pub fn lapses(&self) -> Time {
        let strange = self.approvals.is_empty() && self.token.is_none() && self.filed_by() == Requester::Stranger;
        self.requested.plus_millis(if strange { STRANGERS_REQUEST_LIFETIME_MS } else { REQUEST_LIFETIME_MS })
    }

    /// What has become of it at `now` under a policy.
    pub fn status(&self, policy: EnrolmentPolicy, now: Time) -> RequestStatus {
        let approvals = u32::try_from(self.approvals.len()).unwrap_or(u32::MAX);
        if self.serial.is_some() {
            RequestStatus::Issued
        } else if self.rejected.is_some() {
            RequestStatus::Rejected
        } else if self.lapses() < now || self.void {
            RequestStatus::Lapsed
        } else if self.token.is_some() || approvals >= policy.approvals {
            RequestStatus::Approved
        } else {
            RequestStatus::Requested
        }
    }
}

/// A token as the directory knows it: without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenRecord {
    /// Which.
    pub id: TokenId,
    /// SHA-256 of the secret.
    #[serde(skip)]
    pub(crate) hash: [u8; 32],
    /// For whom it approves one request.
    pub identity: Identity,
    /// What the certificate is issued with.
    pub terms: Terms,
    /// Its last instant.
    pub expires: Time,
    /// The request that used it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spent: Option<RequestId>,
    /// The administrator who made it; none if it was made where the folder is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Identity>,
    /// When it was made.
    pub made: Time,
    /// When it was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<Time>,
    /// Its line in the index.
    #[serde(skip)]
    pub(crate) line: usize,
}

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenStanding {
    /// It approves one request.
    Open,
    /// It has.
    Spent,
    /// Its time is over.
    Expired,
    /// An administrator has cancelled it.
    Cancelled,
    /// Whom it is for or who made it was revoked since, or the policy asks for several approvals now.
    Void,
}

impl fmt::Display for TokenStanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Spent => "spent",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Void => "void",
        })
    }
}

/// A token as it is given to the member: `<id>.<secret>`, once.
#[derive(Clone)]
pub struct EnrolmentToken {
    id: TokenId,
    secret: Zeroizing<[u8; 32]>,
}

impl EnrolmentToken {
    pub(crate) fn random(random: &dyn SecureRandom) -> Result<Self, ring::error::Unspecified> {
        let mut secret = Zeroizing::new([0; 32]);
        random.fill(secret.as_mut())?;
        Ok(Self { id: TokenId::random(random)?, secret })
    }

    /// Which.
    pub const fn id(&self) -> TokenId {
        self.id
    }

    /// What is kept of the secret. Guessing 256 random bits needs no slow hash to be hopeless.
    pub(crate) fn hash(&self) -> [u8; 32] {
        let mut message = Zeroizing::new(b"chancery/enrolment/1\0".to_vec());
        message.extend_from_slice(self.secret.as_ref());
        sha256(&message)
    }

    /// Whether this is the token of the record. The time that it takes says nothing about the secret.
    pub(crate) fn is_of(&self, record: &TokenRecord) -> bool {
        self.id == record.id && bool::from(self.hash().ct_eq(&record.hash))
    }

    /// The text that is handed over.
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}.{}", self.id, Zeroizing::new(hex::encode(self.secret.as_ref())).as_str()))
    }
}

impl fmt::Debug for EnrolmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnrolmentToken {}", self.id)
    }
}

impl FromStr for EnrolmentToken {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (id, secret) = text.trim().split_once('.').ok_or(IdError(64))?;
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(secret, bytes.as_mut()).map_err(|_| IdError(64))?;
        Ok(Self { id: id.parse()?, secret: bytes })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ring::rand::SystemRandom;

    #[test]
    fn a_token_comes_back_from_its_text_and_is_not_shown() {
        let token = EnrolmentToken::random(&SystemRandom::new()).unwrap();
        let text = token.reveal();
        let again: EnrolmentToken = text.parse().unwrap();
        assert_eq!((again.id(), again.hash()), (token.id(), token.hash()));
        assert!(!format!("{token:?}").contains(text.split_once('.').unwrap().1));
        for wrong in ["", "00.00", &text[1..], &text[..text.len() - 1], &text.replace('.', ":")] {
            assert!(wrong.parse::<EnrolmentToken>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn identifiers_have_one_text() {
        let id = RequestId([0xab; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "ab", &id.to_string().to_uppercase()] {
            assert!(wrong.parse::<RequestId>().is_err(), "{wrong}");
        }
    }
}
