//! The one place that makes HTTP problems (RFC 9457): every refusal has a stable name, a status and a title.
//!
//! A problem never says more than its receiver may know: what a caller cannot see is `channel-unknown`, whatever the
//! reason. Names are append-only and listed in `docs/formats/problems.md`; a test compares the two.

use crate::limits::{DISK_RETRY_MS, FENCE_RETRY_MS};
use actix_web::{
    HttpResponse, HttpResponseBuilder, ResponseError,
    http::{StatusCode, header},
};
use ca::{
    RegistrationError, RenewalError, authority::AuthorityError, keys::error::KeyError, office::error::FolderError,
};
use channel_actors::{SubmitRefusal, store::DiskTrouble};
use client::api::{DetailView, Problem};
use ledger_classes::formats::outcome::ResultCode;
use ledger_classes::formats::transaction::TransactionError;
use ledger_classes::primitives::causes::in_one_line;
use pki::x509::request::RequestError;
use std::fmt;

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

macro_rules! kinds {
    ($( $variant:ident = $name:literal, $status:literal, $title:literal; )*) => {
        /// What is wrong, apart from a transaction's own faults.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind { $( #[doc = $title] $variant, )* }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The last part of `type`.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }

            /// The HTTP status.
            pub const fn status(self) -> u16 {
                match self { $( Self::$variant => $status, )* }
            }

            /// The name in words.
            pub const fn title(self) -> &'static str {
                match self { $( Self::$variant => $title, )* }
            }
        }
    };
}

kinds! {
    Malformed = "malformed", 400, "The request cannot be read";
    MalformedCursor = "malformed-cursor", 400, "A cursor reads height.index.event.TAG; a subscription begins there or at a height";
    InvalidParameter = "invalid-parameter", 400, "A parameter is outside its range or unknown";
    CertificateRequired = "certificate-required", 401, "This needs a client certificate";
    TokenRefused = "token-refused", 401, "The enrolment token is not good for this";
    CertificateRefused = "certificate-refused", 401, "The connection's certificate is revoked or no longer valid";
    Forbidden = "forbidden", 403, "The caller has no right to this";
    RenewalRefused = "renewal-refused", 403, "The certificate cannot be renewed";
    RouteUnknown = "route-unknown", 404, "There is nothing at this address";
    ChannelUnknown = "channel-unknown", 404, "There is no such channel for this caller";
    TransactionUnknown = "transaction-unknown", 404, "No committed transaction has this id";
    BlockUnknown = "block-unknown", 404, "There is no block at this height yet";
    AssetUnknown = "asset-unknown", 404, "There is no such asset";
    ItemUnknown = "item-unknown", 404, "There is no such item";
    ContractUnknown = "contract-unknown", 404, "There is no such contract";
    InstanceUnknown = "instance-unknown", 404, "There is no such instance";
    AppUnknown = "app-unknown", 404, "There is no such application or version";
    ParticipantUnknown = "participant-unknown", 404, "No participant has this address";
    ProposalUnknown = "proposal-unknown", 404, "There is no such proposal";
    AuthorityUnknown = "authority-unknown", 404, "No CA of this name has a CRL here";
    NoAuthority = "no-authority", 404, "This peer issues no such certificates";
    CertificateUnknown = "certificate-unknown", 404, "There is no such certificate for this caller";
    RequestUnknown = "request-unknown", 404, "There is no such certificate request for this caller";
    TokenUnknown = "token-unknown", 404, "There is no such enrolment token for this caller";
    MethodNotAllowed = "method-not-allowed", 405, "This address does not take this method";
    RequestTimeout = "request-timeout", 408, "The request took too long to arrive";
    ChannelExists = "channel-exists", 409, "A channel of this name exists on this peer";
    CursorAhead = "cursor-ahead", 409, "The subscription would begin ahead of the channel on this peer";
    CursorOtherHistory = "cursor-other-history", 409, "The cursor is of another history of the channel";
    CursorNoEvent = "cursor-no-event", 409, "The cursor is of no event of its block";
    RequestDecided = "request-decided", 409, "The certificate request is decided, or this caller has approved it";
    CrlOlder = "crl-older", 409, "A newer CRL of the same CA is in force";
    Oversize = "oversize", 413, "The request is larger than this peer takes";
    UnsupportedMediaType = "unsupported-media-type", 415, "The body is of another type than this address takes";
    ConfigurationInvalid = "configuration-invalid", 422, "The channel's configuration would be invalid";
    RequestInvalid = "request-invalid", 422, "The certificate request is not acceptable";
    CrlRefused = "crl-refused", 422, "The CRL is not one of a CA that this peer trusts";
    AnswerRefused = "answer-refused", 422, "A CA that this peer trusts does not say that the certificate is revoked";
    QueryRefused = "query-refused", 422, "The contract refuses the query";
    Busy = "busy", 429, "The channel takes no more for the moment";
    RequestsFull = "requests-full", 429, "There is no room for another certificate request";
    NoPlace = "no-place", 429, "The peer has no place left for this from this caller";
    TooManySubscriptions = "too-many-subscriptions", 429, "The peer has no room for another subscription";
    Broken = "broken", 500, "The peer cannot read its own data";
    TransferCodingUnknown = "transfer-coding-unknown", 501, "The body comes in a transfer coding other than chunked";
    StorageReadOnly = "storage-read-only", 503, "The peer's disk is read-only";
    PeerFenced = "peer-fenced", 503, "The peer seals and issues nothing: its directory is not where it was";
    StorageFull = "storage-full", 507, "The peer's disk has no room";
    ChannelFull = "channel-full", 507, "The channel has used up its part of the peer's disk";
    AuthorityLocked = "authority-locked", 503, "The CA's key cannot be used at the moment";
    Unavailable = "unavailable", 503, "The channel does not serve at the moment";
    ChannelHalted = "channel-halted", 503, "The channel is halted on this peer until an operator acts";
    Stopped = "stopped", 503, "The channel stopped before an outcome was known";
    PeerBusy = "peer-busy", 503, "The peer has no memory for this at the moment";
    Draining = "draining", 503, "The peer is shutting down";
    CommitPending = "commit-pending", 503, "The commit took too long to wait for; ask for the transaction later";
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    name: &'static str,
    status: u16,
    title: &'static str,
    detail: Option<String>,
    refusal: Option<Box<DetailView>>,
    retry_after_ms: Option<u64>,
    header: Option<Box<(header::HeaderName, String)>>,
    close: bool,
}

impl ApiError {
    /// A refusal with what happened this time.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::from(kind) }
    }

    /// The disk takes no writes now.
    pub fn disk(trouble: DiskTrouble) -> Self {
        let kind = match trouble {
            DiskTrouble::ReadOnly => Kind::StorageReadOnly,
            DiskTrouble::Fenced => Kind::PeerFenced,
            DiskTrouble::Full { .. } | DiskTrouble::Exhausted => Kind::StorageFull,
        };
        let pause = if kind == Kind::PeerFenced { FENCE_RETRY_MS } else { DISK_RETRY_MS };
        Self::new(kind, trouble.to_string()).retry_after_ms(pause)
    }

    /// The channel has halted on this peer.
    pub fn halted(reason: impl Into<String>) -> Self {
        Self::new(Kind::ChannelHalted, reason).retry_after_ms(crate::limits::RETRY_AFTER_MS)
    }

    /// The same refusal, with a hint when to try again.
    #[must_use]
    pub fn retry_after_ms(self, millis: u64) -> Self {
        Self { retry_after_ms: Some(millis), ..self }
    }

    /// The same refusal, after which the connection is closed.
    #[must_use]
    pub fn closing(self) -> Self {
        Self { close: true, ..self }
    }

    /// The same refusal, naming the methods that would do (RFC 9110 §15.5.6).
    #[must_use]
    pub fn allowing(self, methods: impl Into<String>) -> Self {
        Self { header: Some(Box::new((header::ALLOW, methods.into()))), ..self }
    }

    /// A body of another type than those that would do (RFC 9110 §15.5.16). Nobody reads it: the connection is closed.
    #[must_use]
    pub fn needing(types: &[&str]) -> Self {
        let refusal = Self::new(Kind::UnsupportedMediaType, format!("{} is needed", types.join(" or "))).closing();
        Self { header: Some(Box::new((header::ACCEPT, types.join(", ")))), ..refusal }
    }

    /// A body in a content coding (RFC 9110 §8.4.1): none is taken.
    #[must_use]
    pub fn encoded() -> Self {
        let refusal = Self::new(Kind::UnsupportedMediaType, "a body is taken without a content coding only").closing();
        Self { header: Some(Box::new((header::ACCEPT_ENCODING, "identity".into()))), ..refusal }
    }

    /// The last part of `type`.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What happened this time; the title if nothing more is known.
    pub fn detail(&self) -> &str {
        self.detail.as_deref().unwrap_or(self.title)
    }

    /// Milliseconds after which a retry may help.
    pub const fn retry_hint_ms(&self) -> Option<u64> {
        self.retry_after_ms
    }

    /// The body.
    pub fn problem(&self) -> Problem {
        Problem {
            type_uri: format!("{}{}", Problem::TYPE_PREFIX, self.name),
            title: self.title.into(),
            status: self.status,
            detail: self.detail.clone(),
            refusal: self.refusal.as_deref().cloned(),
            retry_after_ms: self.retry_after_ms,
        }
    }

    /// The whole answer.
    pub fn response(&self) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponseBuilder::new(status);
        response.insert_header((header::CONTENT_TYPE, MEDIA_TYPE));
        if let Some(millis) = self.retry_after_ms {
            response.insert_header((header::RETRY_AFTER, millis.div_ceil(1000).max(1).to_string()));
        }
        if let Some((name, value)) = self.header.as_deref() {
            response.insert_header((name.clone(), value.as_str()));
        }
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110 §11.6.1. No scheme is registered for what a TLS handshake shows.
            response.insert_header((header::WWW_AUTHENTICATE, "Certificate realm=\"chancery\""));
        }
        if self.close {
            response.force_close();
        }
        response.body(serde_json::to_vec(&self.problem()).unwrap_or_default())
    }
}

impl From<Kind> for ApiError {
    fn from(kind: Kind) -> Self {
        let (name, status, title) = (kind.name(), kind.status(), kind.title());
        Self { name, status, title, detail: None, refusal: None, retry_after_ms: None, header: None, close: false }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.detail())
    }
}

impl std::error::Error for ApiError {}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        self.response()
    }
}

impl From<TransactionError> for ApiError {
    fn from(error: TransactionError) -> Self {
        let status = transaction_status(error.name());
        let title = "The transaction is refused";
        Self { name: error.name(), status, title, detail: Some(error.to_string()), ..Self::from(Kind::Malformed) }
    }
}

/// Status of a transaction's own fault, by its name.
fn transaction_status(name: &str) -> u16 {
    match name {
        "malformed" => 400,
        "wrong-signature" => 403,
        "wrong-channel" => 409,
        "expired" => 410,
        "oversize" => 413,
        _ => 422,
    }
}

/// Status of a result code that a check before execution foresaw.
fn code_status(code: ResultCode) -> u16 {
    use ResultCode as C;
    match code {
        C::NotAParticipant
        | C::ParticipantIsRevoked
        | C::ParticipantIsExpired
        | C::ParticipantIsUnvouched
        | C::NoRight => 403,
        C::Expired => 410,
        _ => 422,
    }
}

impl From<SubmitRefusal> for ApiError {
    fn from(refusal: SubmitRefusal) -> Self {
        match refusal {
            SubmitRefusal::Transaction(error) => error.into(),
            SubmitRefusal::Rejected { code, detail } => Self {
                name: code.name(),
                status: code_status(code),
                title: "The transaction would fail",
                detail: Some(detail.words(code)),
                refusal: Some(Box::new(DetailView::from(&detail))),
                ..Self::from(Kind::Malformed)
            },
            SubmitRefusal::Busy { retry_after_ms } => Self::from(Kind::Busy).retry_after_ms(retry_after_ms),
            SubmitRefusal::Disk(trouble) => Self::disk(trouble),
            SubmitRefusal::ChannelFull(used) => Self::new(
                Kind::ChannelFull,
                // Without a time: waiting makes no room.
                format!(
                    "{} of {} bytes are used; whoever runs the peer may raise limits.channel_bytes_max",
                    used.bytes, used.bytes_max
                ),
            ),
            SubmitRefusal::OutcomeUnknown => {
                Self::new(Kind::CommitPending, refusal.to_string()).retry_after_ms(crate::limits::RETRY_AFTER_MS)
            }
            SubmitRefusal::Stopped { reason } => {
                Self::new(Kind::Stopped, reason).retry_after_ms(crate::limits::RETRY_AFTER_MS)
            }
        }
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        let kind = match error {
            RequestError::Oversize => Kind::Oversize,
            RequestError::Malformed | RequestError::Pem(_) => Kind::Malformed,
            _ => Kind::RequestInvalid,
        };
        Self::new(kind, in_one_line(&error))
    }
}

impl From<FolderError> for ApiError {
    fn from(error: FolderError) -> Self {
        RegistrationError::Folder(error).into()
    }
}

impl From<RegistrationError> for ApiError {
    fn from(error: RegistrationError) -> Self {
        use RegistrationError as E;
        let kind = match &error {
            E::NoToken(_) => Kind::TokenUnknown,
            E::UnknownToken | E::SpentToken | E::ExpiredToken | E::VoidToken(_) => Kind::TokenRefused,
            E::Unknown(_) => Kind::RequestUnknown,
            E::Rejected(_) | E::Decided(_) | E::ApprovedAlready(_) => Kind::RequestDecided,
            E::OwnRequest | E::AloneForSeveral(_) => Kind::Forbidden,
            E::NoAuthority(_) => Kind::NoAuthority,
            E::TooManyTokens
            | E::TooManyRequests { .. }
            | E::QueueFull
            | E::StrangersFull
            | E::OrganizationFull
            | E::TooManyCertificates(_) => {
                return Self::new(Kind::RequestsFull, error.to_string())
                    .retry_after_ms(crate::limits::REGISTRATION_RETRY_MS);
            }
            // The CA's key is kept elsewhere.
            E::Folder(FolderError::Key(KeyError::File { source, .. }))
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                return Kind::NoAuthority.into();
            }
            E::Folder(FolderError::UnknownCertificate(_)) => Kind::CertificateUnknown,
            E::Folder(error @ FolderError::CompromisedKey) => {
                return Self::new(Kind::RequestInvalid, error.to_string());
            }
            // As to those who post: nobody else is told where the peer's directory is.
            E::Folder(FolderError::Fenced(_)) => return Self::disk(DiskTrouble::Fenced),
            E::Folder(
                FolderError::UnknownAuthority(_) | FolderError::AuthorityRevoked(_) | FolderError::AuthorityExpired(..),
            ) => Kind::NoAuthority,
            E::Folder(error @ (FolderError::Key(key) | FolderError::Authority(AuthorityError::Key(key))))
                if key.is_locked() =>
            {
                tracing::error!(error = in_one_line(error), "a CA's key cannot be used");
                return Self::from(Kind::AuthorityLocked).retry_after_ms(crate::limits::REGISTRATION_RETRY_MS);
            }
            E::Folder(error) => {
                tracing::error!(error = in_one_line(error), "the certificates folder");
                return Kind::Broken.into();
            }
            _ => Kind::RequestInvalid,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<RenewalError> for ApiError {
    fn from(error: RenewalError) -> Self {
        match error {
            RenewalError::Registration(error) => error.into(),
            RenewalError::Credentials(_) | RenewalError::Key(_) => {
                tracing::error!(error = in_one_line(&error), "renewal");
                Kind::Broken.into()
            }
            error => Self::new(Kind::RenewalRefused, in_one_line(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use actix_web::body::to_bytes;
    use ledger_classes::formats::detail::Detail;

    #[test]
    fn every_problem_is_in_its_document_and_only_those() {
        let document = include_str!("../../docs/formats/problems.md");
        let rows: Vec<&str> = document.lines().filter(|line| line.starts_with("| `")).collect();
        for kind in Kind::ALL {
            let row = format!("| `{}` | {} | {} |", kind.name(), kind.status(), kind.title());
            assert!(rows.contains(&row.as_str()), "missing: {row}");
        }
        let names = ["malformed", "unknown-action", "wrong-channel", "expired", "too-far-ahead", "signatures"];
        for name in names.into_iter().chain(["wrong-signature", "oversize"]) {
            let start = format!("| `{name}` | {} |", transaction_status(name));
            assert!(rows.iter().any(|row| row.starts_with(&start)), "missing: {start}");
        }
        assert_eq!(rows.len(), Kind::ALL.len() + 6, "a documented problem does not exist");
    }

    #[test]
    fn refusals_of_transactions_have_a_status_by_their_name() {
        for (error, name, status) in [
            (TransactionError::Malformed("x".into()), "malformed", 400),
            (TransactionError::Oversize("x".into()), "oversize", 413),
            (TransactionError::UnknownAction("x".into()), "unknown-action", 422),
            (TransactionError::WrongChannel, "wrong-channel", 409),
            (TransactionError::Expired(Default::default()), "expired", 410),
            (TransactionError::TooFarAhead(Default::default()), "too-far-ahead", 422),
            (TransactionError::Signatures("x".into()), "signatures", 422),
        ] {
            let problem = ApiError::from(SubmitRefusal::Transaction(error)).problem();
            assert_eq!((problem.name(), problem.status), (name, status));
        }
        for (code, status) in [
            (ResultCode::NotAParticipant, 403),
            (ResultCode::NoRight, 403),
            (ResultCode::Expired, 410),
            (ResultCode::FeeAboveMax, 422),
        ] {
            let problem = ApiError::from(SubmitRefusal::Rejected { code, detail: Detail::PLAIN }).problem();
            assert_eq!((problem.name(), problem.status), (code.name(), status));
        }
    }

    #[actix_web::test]
    async fn a_problem_is_problem_json_and_says_when_to_retry() {
        let response = ApiError::from(SubmitRefusal::Busy { retry_after_ms: 1_200 }).response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers().get("retry-after").unwrap(), "2");
        assert_eq!(response.headers().get("content-type").unwrap(), MEDIA_TYPE);
        let body = to_bytes(response.into_body()).await.unwrap();
        let problem: Problem = ledger_classes::primitives::json::from_slice(&body).unwrap();
        assert_eq!((problem.name(), problem.status, problem.retry_after_ms), ("busy", 429, Some(1_200)));
        let response = ApiError::from(Kind::MethodNotAllowed).allowing("GET").response();
        assert_eq!(response.headers().get("allow").unwrap(), "GET");
    }
}
