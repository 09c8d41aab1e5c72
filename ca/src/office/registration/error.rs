//! Why a request is not filed, decided or granted, and the way out where a queue is full.

use crate::{
    limits::{
        ALTERNATIVE_NAME_BYTES_MAX, ALTERNATIVE_NAMES_MAX, APPROVALS_MAX, CERTIFICATES_PER_IDENTITY_MAX,
        REQUESTS_OPEN_MAX, REQUESTS_OPEN_OF_ORGANIZATION_MAX, REQUESTS_OPEN_OF_STRANGERS_MAX,
        REQUESTS_OPEN_PER_REQUESTER_MAX, TOKENS_OPEN_MAX,
    },
    office::{
        enrolment::{RequestId, RequestStatus, TokenId},
        error::FolderError,
    },
};
use ledger_classes::primitives::identity::Identity;

/// Characters of a reason or an approver's name.
pub(super) const TEXT_CHARS_MAX: usize = 256;

/// How a queue of requests gets shorter, and who needs no place in it.
const WAY_OUT: &str = "an administrator decides some (chancery ca requests, approve, reject), or they lapse 30 days after \
    they were filed, without a certificate 3 days; a request with an enrolment token (chancery ca token) waits for nobody";

/// Why a request is not filed, decided or granted.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// Nobody said for whom.
    #[error("the request names no identity")]
    NoIdentity,
    /// Two different identities.
    #[error("the request asks for {asked}, not for {bound}")]
    OtherIdentity {
        /// What the request says.
        asked: Box<Identity>,
        /// What it may say.
        bound: Box<Identity>,
    },
    /// Nobody here can issue for this identity.
    #[error("no CA here issues for {0}")]
    NoAuthority(Box<Identity>),
    /// The token does not exist, is for another identity, or its secret is wrong.
    #[error("the enrolment token is not known")]
    UnknownToken,
    /// The token has approved its one request.
    #[error("the enrolment token was used already")]
    SpentToken,
    /// The token's time is over.
    #[error("the enrolment token has expired")]
    ExpiredToken,
    /// The token was good once.
    #[error("the enrolment token is void: {0}")]
    VoidToken(&'static str),
    /// No such token.
    #[error("there is no enrolment token {0}")]
    NoToken(TokenId),
    /// See [`TOKENS_OPEN_MAX`].
    #[error(
        "{TOKENS_OPEN_MAX} enrolment tokens of the organization are open, as many as may be: cancel some \
         (chancery ca token list, chancery ca token cancel), or they expire"
    )]
    TooManyTokens,
    /// Host names that would not fit into a certificate together.
    #[error("the host names have more than {ALTERNATIVE_NAME_BYTES_MAX} bytes together, which no certificate takes")]
    LongTerms,
    /// See [`CERTIFICATES_PER_IDENTITY_MAX`].
    #[error(
        "{0} has {CERTIFICATES_PER_IDENTITY_MAX} valid certificates, as many as may be: an administrator revokes those \
         that are used no more (chancery ca revoke), or the next one expires"
    )]
    TooManyCertificates(Box<Identity>),
    /// See [`REQUESTS_OPEN_PER_REQUESTER_MAX`].
    #[error(
        "{requester} has {REQUESTS_OPEN_PER_REQUESTER_MAX} requests that wait for a decision, as many as may: {WAY_OUT}"
    )]
    TooManyRequests {
        /// Who asks.
        requester: String,
    },
    /// See [`REQUESTS_OPEN_MAX`].
    #[error("{REQUESTS_OPEN_MAX} requests for the organization wait for a decision, as many as may: {WAY_OUT}")]
    QueueFull,
    /// See [`REQUESTS_OPEN_OF_STRANGERS_MAX`].
    #[error(
        "{REQUESTS_OPEN_OF_STRANGERS_MAX} requests of callers without a certificate wait for a decision, as many as may: {WAY_OUT}"
    )]
    StrangersFull,
    /// See [`REQUESTS_OPEN_OF_ORGANIZATION_MAX`].
    #[error(
        "{REQUESTS_OPEN_OF_ORGANIZATION_MAX} requests of members of one organization wait for a decision, as many as may: {WAY_OUT}"
    )]
    OrganizationFull,
    /// No such request.
    #[error("there is no request {0}")]
    Unknown(RequestId),
    /// The same key and identity were rejected before.
    #[error("the request was rejected: {0}")]
    Rejected(String),
    /// It is too late for this.
    #[error("the request is {0} already")]
    Decided(RequestStatus),
    /// Nobody approves a certificate for themselves.
    #[error("nobody approves their own certificate")]
    OwnRequest,
    /// Approvals are counted by person.
    #[error("{0} has approved this request already")]
    ApprovedAlready(String),
    /// Host names or lifetime differ from those of the first approval.
    #[error("the request was approved with other host names or another lifetime")]
    OtherTerms,
    /// Host names for somebody who is no peer, too many of them, or a lifetime out of range.
    #[error("host names are for peers, at most {ALTERNATIVE_NAMES_MAX}; a lifetime is 1 second to 10 years")]
    Terms,
    /// A policy out of range.
    #[error("a policy asks for 1 to {APPROVALS_MAX} approvals")]
    Policy,
    /// A token would be one administrator's decision.
    #[error("the policy asks for {0} approvals, and a token would be one: file a request for them to approve")]
    AloneForSeveral(u32),
    /// A token's time out of range.
    #[error("a token is good for at most 90 days")]
    TokenLifetime,
    /// Text that is empty, too long or has control characters.
    #[error("names and reasons have 1 to {TEXT_CHARS_MAX} characters, none of control")]
    Text,
    /// The folder.
    #[error("the certificates folder")]
    Folder(#[from] FolderError),
}

impl From<crate::office::database::DatabaseError> for RegistrationError {
    fn from(error: crate::office::database::DatabaseError) -> Self {
        Self::Folder(error.into())
    }
}
