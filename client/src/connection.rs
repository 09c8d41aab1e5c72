//! HTTPS to one peer: TLS 1.3 with the profile's certificate, the peer checked against `ca.pem`, one pool of
//! keep-alive connections.
//!
//! What must never happen here: a request without a time limit, an answer without a size limit, a redirect followed
//! (a peer has no business to send its callers elsewhere), a resumed session (it would skip the peer's check of
//! revocations).

pub use crate::request_error::RequestError;
use crate::{
    api::Problem,
    certificate::CredentialError,
    fork::SealedBytes,
    known::{Known, KnownError},
    profile::Profile,
    refusal::CertificateRefusal,
    retry::{Retry, jitter},
    seen::{SeenError, SeenHeaders},
    streams::Streams,
    trusted,
};
use bytes::Bytes;
use ledger_classes::formats::proof::VerifiedTrust;
use ledger_classes::primitives::hash::Hash;
use pki::{
    LeafClaims,
    trust::{
        store::TrustError,
        tls::{ExpectedServer, server_verifier},
    },
};
use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Method, Response, Url};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};
use serde::de::DeserializeOwned;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes of an answer: a block of the largest size, in JSON.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of an answer that refuses.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;

/// How to talk to a peer.
#[derive(Clone, Debug)]
pub struct Options {
    /// The peer, if not the profile's.
    pub peer: Option<Url>,
    /// For one attempt of one request, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// When to ask again.
    pub retry: Retry,
}

impl Default for Options {
    fn default() -> Self {
        Self { peer: None, timeout: Duration::from_secs(30), retry: Retry::default() }
    }
}

/// Talks to one peer. Cheap to clone; clones share the pool, and what was verified before.
#[derive(Clone, Debug)]
pub struct Connection {
    http: reqwest::Client,
    peer: Url,
    pub(crate) options: Options,
    seen: Arc<Mutex<SeenHeaders>>,
    known: Arc<Mutex<Known>>,
    pub(crate) streams: Arc<Streams>,
}

/// Why a profile gives no connection. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No certificate in `ca.pem` can vouch for a peer; why the first cannot.
    #[error("ca.pem holds nobody who vouches for peers{}", .0.as_ref().map(|why| format!(": {why}")).unwrap_or_default())]
    Authorities(Option<TrustError>),
    /// Certificate and key do not belong together, or TLS does not take them.
    #[error("the profile's certificate and key are not usable for TLS")]
    Credential(#[source] rustls::Error),
    /// The path does not parse.
    #[error("the profile's certificate path is damaged")]
    Path(#[source] CredentialError),
    /// The HTTP client does not start.
    #[error("the HTTP client does not start")]
    Http(#[source] reqwest::Error),
    /// What the profile remembers cannot be read.
    #[error(transparent)]
    Known(#[from] KnownError),
}

/// What is asked. `again` says whether an attempt whose answer was lost may be repeated.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub method: Method,
    pub url: Url,
    pub accept: &'static str,
    pub body: Option<(&'static str, Bytes)>,
    pub again: bool,
}

/// An answer that is not a problem.
pub(crate) struct Answer {
    pub media: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, RequestError> {
        ledger_classes::primitives::json::from_slice(&self.body)
            .map_err(|error| RequestError::Answer(error.to_string()))
    }
}

pub(crate) const JSON: &str = "application/json";

/// Whom `ca.pem` vouches for is decided by the one check that there is (`pki::trust::path`): a path of our profile to
/// one of the profile's authorities, of a peer of this consortium by its own organization's CA, with the name that was
/// dialled. Who is revoked by the CRLs that the profile has ([`crate::crl::refresh`]) is no such peer.
fn tls(profile: &Profile, address: String, known: &Arc<Mutex<Known>>) -> Result<ClientConfig, OpenError> {
    let authorities: Vec<Vec<u8>> = profile.authorities.iter().map(|der| der.to_vec()).collect();
    let trust = trusted::trust(profile, &authorities).map_err(OpenError::Authorities)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the ring provider has TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(SamePeer {
            good: server_verifier(Arc::new(trust), ExpectedServer::Named),
            known: Arc::clone(known),
            address,
        }));
    let mut config = match &profile.credential {
        None => builder.with_no_client_auth(),
        Some(credential) => {
            let path = credential.path_without_root().map_err(OpenError::Path)?;
            let path = path.into_iter().map(|der| CertificateDer::from(der.to_vec())).collect();
            builder.with_client_auth_cert(path, credential.key()).map_err(OpenError::Credential)?
        }
    };
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Beside being good, the certificate is of the peer that has answered at this address before: another organization's
/// peer may have the same host name in its certificate, and is not whom the profile means.
#[derive(Debug)]
struct SamePeer {
    good: Arc<dyn ServerCertVerifier>,
    known: Arc<Mutex<Known>>,
    address: String,
}

impl ServerCertVerifier for SamePeer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.good.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.good.verify_tls12_signature(message, certificate, signature)
    }

    /// Comes after the certificate was judged, and shows that the other end has its key: a certificate alone is public.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let valid = self.good.verify_tls13_signature(message, certificate, signature)?;
        let claims = LeafClaims::of_certificate(certificate).map_err(|_| CertificateError::BadEncoding)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let held = known.hold_peer(&self.address, claims.identity());
        held.map_err(|error| CertificateError::Other(OtherError(Arc::new(error))))?;
        Ok(valid)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.good.supported_verify_schemes()
    }
}

/// A peer's address as [`Known`] has it: without the path that every URL has.
pub fn address_of(peer: &Url) -> String {
    peer.as_str().trim_end_matches('/').to_owned()
}

impl Connection {
    /// Prepares the connection; nothing is sent yet. What the profile's folder remembers holds the peer to its word, and what
    /// is new is remembered there ([`Known::keep_in`]).
    pub fn open(profile: &Profile, options: Options) -> Result<Self, OpenError> {
        let known = Known::keep_in(&profile.directory)?;
        Self::open_knowing(profile, options, known)
    }

    /// The same, with what is known given.
    pub fn open_knowing(profile: &Profile, options: Options, known: Known) -> Result<Self, OpenError> {
        let peer = options.peer.clone().unwrap_or_else(|| profile.peer.clone());
        let known = Arc::new(Mutex::new(known));
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(profile, address_of(&peer), &known)?)
            .https_only(true)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            // Before a peer closes them, by default after 30 seconds.
            .pool_idle_timeout(Duration::from_secs(20))
            .connect_timeout(options.timeout.min(Duration::from_secs(10)))
            .user_agent(concat!("chancery/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(OpenError::Http)?;
        Ok(Self { http, peer, options, seen: Arc::default(), known, streams: Arc::default() })
    }

    /// The same connection, with what was verified before: what is verified over it, and over its clones, is held against
    /// that and remembered with it.
    #[must_use]
    pub fn remembering(self, seen: SeenHeaders) -> Self {
        Self { seen: Arc::new(Mutex::new(seen)), ..self }
    }

    /// What this profile holds peers to; clones of the connection share it.
    pub fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, SeenHeaders> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The height of the newest header that was verified of a channel.
    pub(crate) fn newest_seen(&self, channel: &Hash) -> Option<u64> {
        self.seen().newest(channel)
    }

    /// The peer has shown a header.
    pub(crate) fn meet(&self, trust: &VerifiedTrust, shown: &SealedBytes) -> Result<(), SeenError> {
        self.seen().meet(self.peer.as_str(), trust, shown)
    }

    /// Writes what was verified where it is kept, if anywhere.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_seen(&self) -> Result<(), SeenError> {
        self.seen().keep()
    }

    /// The peer's address.
    pub const fn peer(&self) -> &Url {
        &self.peer
    }

    /// `/v1` and `segments`, each escaped, with a query.
    pub(crate) fn url(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<Url, RequestError> {
        // A URL parser would take these as steps in the path, escaped or not.
        if let Some(segment) = segments.iter().find(|segment| ["", ".", ".."].contains(*segment)) {
            return Err(RequestError::Name((*segment).to_owned()));
        }
        let mut url = self.peer.clone();
        url.path_segments_mut().expect("an https URL has a path").clear().push("v1").extend(segments);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// Asks, and asks again within the bounds of [`Options::retry`].
    pub(crate) async fn ask(&self, ask: Ask) -> Result<Answer, RequestError> {
        let mut attempts = 0;
        loop {
            let error = match self.attempt(&ask).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            attempts += 1;
            let worthwhile = error.is_worth_another(ask.again);
            let wait = self.options.retry.wait(attempts, error.retry_after(), jitter()).filter(|_| worthwhile);
            let Some(wait) = wait else { return Err(error) };
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt(&self, ask: &Ask) -> Result<Answer, RequestError> {
        let mut request = self.http.request(ask.method.clone(), ask.url.clone()).header(ACCEPT, ask.accept);
        if let Some((media, body)) = &ask.body {
            request = request.header(CONTENT_TYPE, *media).body(body.clone());
        }
        let response = request.timeout(self.options.timeout).send().await;
        let response = response.map_err(|source| self.unreachable(source))?;
        let media = media_of(&response);
        if response.status().is_success() {
            let body = self.read(response, ANSWER_BYTES_MAX).await?;
            return Ok(Answer { media, body });
        }
        Err(self.refusal(response).await)
    }

    /// Opens a stream of events. Only the head of the answer has a time limit; the caller watches the rest.
    pub(crate) async fn stream(&self, url: Url, last_event_id: Option<&str>) -> Result<Response, RequestError> {
        let mut request = self.http.get(url).header(ACCEPT, "text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let late = || RequestError::Late { peer: self.peer.clone(), timeout: self.options.timeout };
        let sent = tokio::time::timeout(self.options.timeout, request.send()).await;
        let response = sent.map_err(|_| late())?.map_err(|source| self.unreachable(source))?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        match media_of(&response).as_str() {
            "text/event-stream" => Ok(response),
            other => Err(RequestError::Answer(format!("{other:?} where events were asked for"))),
        }
    }

    /// Posts a body that comes bit by bit, and returns the answer once its head is there. Only that has a time limit.
    pub(crate) async fn post_stream(
        &self,
        url: Url,
        (media, body): (&'static str, reqwest::Body),
        accept: &'static str,
    ) -> Result<Response, RequestError> {
        let request = self.http.post(url).header(ACCEPT, accept).header(CONTENT_TYPE, media).body(body);
        let response = request.send().await.map_err(|source| self.unreachable(source))?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        match media_of(&response) {
            media if media == accept => Ok(response),
            other => Err(RequestError::Answer(format!("{other:?} where {accept} was asked for"))),
        }
    }

    pub(crate) fn unreachable(&self, source: reqwest::Error) -> RequestError {
        let (peer, source) = (self.peer.clone(), source.without_url());
        match CertificateRefusal::of(&source) {
            Some(refusal) => RequestError::Certificate { peer, refusal: Box::new(refusal) },
            None => RequestError::Unreachable { peer, source },
        }
    }

    async fn read(&self, mut response: Response, bytes_max: usize) -> Result<Vec<u8>, RequestError> {
        let expected = response.content_length().unwrap_or(0);
        let mut body = Vec::with_capacity(usize::try_from(expected).unwrap_or(0).min(1 << 20));
        while let Some(chunk) = response.chunk().await.map_err(|source| self.unreachable(source))? {
            if body.len() + chunk.len() > bytes_max {
                return Err(RequestError::Answer(format!("more than {bytes_max} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// The problem in an answer. One without a body of ours (a proxy's, say) becomes a problem too.
    async fn refusal(&self, response: Response) -> RequestError {
        let status = response.status();
        let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let hint = seconds.map(|seconds: u64| seconds.saturating_mul(1000));
        let body = self.read(response, PROBLEM_BYTES_MAX).await.unwrap_or_default();
        let mut problem = ledger_classes::primitives::json::from_slice(&body).unwrap_or_else(|_| Problem {
            type_uri: "about:blank".into(),
            title: status.canonical_reason().unwrap_or("Refused").into(),
            status: status.as_u16(),
            detail: None,
            refusal: None,
            retry_after_ms: None,
        });
        problem.status = status.as_u16();
        problem.retry_after_ms = problem.retry_after_ms.or(hint);
        RequestError::Problem(Box::new(problem))
    }
}

fn media_of(response: &Response) -> String {
    let value = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
