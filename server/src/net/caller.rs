//! Who is at the other end of a connection. The handshake has admitted the certificate; here it is verified once
//! more to learn the identity, and again whenever trust changes: revoked means out on live connections too.

use crate::{
    certificates::paths::certified,
    clock,
    identity::trust::Trust,
    limits::CERTIFICATE_RECHECK_MS,
    net::{
        address::place,
        deadlines::{Answering, Pace, Paced},
        places::Who,
    },
    problem::{ApiError, Kind},
    telemetry::metrics::ConnectionGuard,
};
use actix_web::rt::net::TcpStream;
use channel_actors::runtime::tasks::blocking;
use channel_actors::{Asker, Scope};
use ledger_classes::execution::{Mark, marks_of};
use ledger_classes::primitives::causes::in_one_line;
use ledger_classes::primitives::identity::Identity;
use ledger_classes::primitives::time::Time;
use ledger_classes::state::participant::CertifiedIdentity;
use pki::{KeyId, Usage, VerifiedCertificate, trust::validation::PathError};
use std::{
    net::IpAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio_rustls::server::TlsStream;

/// What somebody without a certificate has rights by.
const ANYBODY: &[Scope] = &[Scope::PUBLIC];

/// A certificate that a live connection hangs on, with the path to judge it by again.
#[derive(Debug)]
pub struct LiveCertificate {
    path: Vec<Vec<u8>>,
    verified: Result<VerifiedCertificate, PathError>,
    /// What its holder has rights by, and under what channels end it.
    scopes: Vec<Scope>,
    marks: Vec<Mark>,
    /// Whose turns its holder's reads have.
    asker: Asker,
    generation: AtomicU64,
    judged_ms: AtomicU64,
}

impl LiveCertificate {
    /// Verifies a path that TLS has admitted.
    pub fn new(trust: &Trust, path: Vec<Vec<u8>>) -> Self {
        let generation = trust.generation();
        let now = clock::now();
        let verified = trust.store().verify(&path, now, Usage::ClientAuth);
        let (generation, judged_ms) = (AtomicU64::new(generation), AtomicU64::new(now.millis()));
        // A key that the ledger does not know is refused with the path.
        let certified = verified.as_ref().ok().and_then(certified);
        let of = |certified: &CertifiedIdentity| {
            let own = verified.as_ref().map_or(&[] as &[KeyId], VerifiedCertificate::authorities);
            // Where a channel still lists the CA that its own has replaced, it has rights by that one.
            let before = trust.predecessors(certified.identity.organization(), own);
            let before = before.iter().map(|key| ledger_classes::primitives::hash::Hash(*key.as_bytes()));
            Scope::of(&certified.identity, certified.authorities.iter().copied().chain(before))
        };
        let scopes = certified.as_ref().map(of).unwrap_or_default();
        let marks = certified.as_ref().map(marks_of).unwrap_or_default();
        let asker = verified.as_ref().map(VerifiedCertificate::identity).map_or_else(
            |_| Asker::default(),
            |identity| Asker::named(&identity.to_string()).of(identity.organization()),
        );
        Self { path, verified, scopes: [ANYBODY, &scopes].concat(), marks, asker, generation, judged_ms }
    }

    /// The holder, if the certificate is still good. The whole path is judged again when trust has changed since the
    /// last time, and now and then, which is how an expired CRL is noticed.
    pub fn check(&self, trust: &Trust) -> Result<&VerifiedCertificate, ApiError> {
        let refused = |why: &PathError| ApiError::new(Kind::CertificateRefused, in_one_line(why)).closing();
        let verified = self.verified.as_ref().map_err(refused)?;
        let now = clock::now();
        if now > verified.not_after() {
            return Err(refused(&PathError::Expired));
        }
        let generation = trust.generation();
        let judged = self.judged_ms.load(Ordering::Acquire);
        // A clock that was set back makes the difference large, not negative.
        let fresh = now.millis().wrapping_sub(judged) < CERTIFICATE_RECHECK_MS;
        if !fresh || generation != self.generation.load(Ordering::Acquire) {
            trust.store().verify_again(&self.path, now, Usage::ClientAuth).map_err(|error| refused(&error))?;
            self.generation.store(generation, Ordering::Release);
            self.judged_ms.store(now.millis(), Ordering::Release);
        }
        Ok(verified)
    }
}

/// A connection's bytes in TLS, in a box: each future through which it is moved has a place for it, as long as it lives.
pub type Tls = Box<TlsStream<TcpStream>>;
/// A connection's bytes: TLS below, HTTP above, time limits between them.
pub type Stream = Paced<Tls>;

/// What is known of a connection.
#[derive(Debug)]
pub struct Connection {
    certificate: Option<Arc<LiveCertificate>>,
    pace: Rc<Pace>,
    who: Who,
    refusal: Option<ApiError>,
    _guard: ConnectionGuard,
}

/// The certificate that the other end of a connection has shown in its handshake.
pub fn certificate(stream: &Tls, trust: &Trust) -> Option<Arc<LiveCertificate>> {
    let (_, session) = stream.get_ref();
    let path = session.peer_certificates().map(|path| path.iter().map(|der| der.to_vec()).collect());
    path.map(|path| Arc::new(LiveCertificate::new(trust, path)))
}

impl Connection {
    /// A connection whose handshake is done. With a refusal there is no place for it: it gets this answer to whatever
    /// it asks.
    pub fn new(
        certificate: Option<Arc<LiveCertificate>>,
        stream: &Stream,
        guard: ConnectionGuard,
        who: Who,
        refusal: Option<ApiError>,
    ) -> Self {
        Self { certificate, pace: stream.pace(), who, refusal, _guard: guard }
    }

    /// Whose places it takes.
    pub const fn who(&self) -> &Who {
        &self.who
    }

    /// Why it gets no other answer, if so.
    pub const fn refusal(&self) -> Option<&ApiError> {
        self.refusal.as_ref()
    }

    /// A request's head has come: it is being answered until what is returned is dropped.
    pub fn answer(&self) -> Answering {
        self.pace.answer()
    }

    /// The certificate that the other end showed.
    pub fn certificate(&self) -> Option<Arc<LiveCertificate>> {
        self.certificate.clone()
    }
}

/// Who makes a request. Anonymous, or the holder of a certificate that was good when the request began.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    certificate: Option<Arc<LiveCertificate>>,
    /// Keys of CAs that those of its path have replaced.
    predecessors: Vec<KeyId>,
    asker: Asker,
    who: Who,
}

impl Caller {
    /// Judges a connection's certificate for one request. Who has none is told from others by the address.
    pub fn judge(
        certificate: Option<Arc<LiveCertificate>>,
        address: Option<IpAddr>,
        trust: &Trust,
    ) -> Result<Self, ApiError> {
        let Some(certificate) = certificate else {
            let asker = address.map_or(Asker::default(), |address| Asker::named(&place(address)));
            return Ok(Self { asker, ..Self::default() });
        };
        let verified = certificate.check(trust)?;
        let predecessors = trust.predecessors(verified.identity().organization(), verified.authorities());
        let asker = certificate.asker;
        Ok(Self { certificate: Some(certificate), predecessors, asker, who: Who::default() })
    }

    /// The same caller, on a connection of whose places that is known.
    #[must_use]
    pub fn counted_as(self, who: Who) -> Self {
        Self { who, ..self }
    }

    /// Whose places it takes.
    pub const fn who(&self) -> &Who {
        &self.who
    }

    /// Whose turns its reads have.
    pub const fn asker(&self) -> Asker {
        self.asker
    }

    /// Who it is; nobody knows of an anonymous one.
    pub fn identity(&self) -> Option<&Identity> {
        self.verified().map(VerifiedCertificate::identity)
    }

    fn verified(&self) -> Option<&VerifiedCertificate> {
        self.certificate.as_ref()?.verified.as_ref().ok()
    }

    /// The key of the CA that issued its certificate.
    pub fn issuer(&self) -> Option<KeyId> {
        self.verified().map(VerifiedCertificate::issuer)
    }

    /// The certificate that it has shown, DER.
    pub fn leaf(&self) -> Option<&[u8]> {
        self.certificate.as_ref().and_then(|certificate| certificate.path.first()).map(Vec::as_slice)
    }

    /// What it may have rights on channels by.
    pub fn scopes(&self) -> &[Scope] {
        self.certificate.as_ref().map_or(ANYBODY, |certificate| &certificate.scopes)
    }

    /// Whether a channel has ended its certificate: it has what anybody has there.
    pub fn is_ended(&self, ended: &[Mark]) -> bool {
        let marks = self.certificate.as_ref().map_or(&[] as &[Mark], |certificate| &certificate.marks);
        marks.iter().any(|mark| ended.binary_search(mark).is_ok())
    }

    /// The keys of the CAs that vouch for it; none for an anonymous one.
    pub fn authorities(&self) -> &[KeyId] {
        self.verified().map_or(&[], VerifiedCertificate::authorities)
    }

    /// Whether a CA that is listed under this key vouches for it: one of its path, or one that such a CA has replaced.
    pub fn is_vouched_for_by(&self, key: &KeyId) -> bool {
        self.authorities().contains(key) || self.predecessors.contains(key)
    }

    /// When its certificate expires.
    pub fn not_after(&self) -> Option<Time> {
        self.verified().map(VerifiedCertificate::not_after)
    }

    /// Judges the certificate again: for what lasts longer than a request.
    pub fn check(&self, trust: &Trust) -> Result<(), ApiError> {
        self.certificate.as_ref().map_or(Ok(()), |certificate| certificate.check(trust).map(|_| ()))
    }

    /// Why what has lasted ends, when `refusal` is what its channel says. Whose certificate is revoked hears that, and not
    /// that there is no such channel: a channel may be told of it before this peer has looked at the CA's list.
    pub async fn why(&self, trust: &Arc<Trust>, refusal: ApiError) -> ApiError {
        if ![Kind::ChannelUnknown, Kind::Forbidden].map(Kind::name).contains(&refusal.name()) {
            return refusal;
        }
        let looks = Arc::clone(trust);
        blocking(move || looks.poll()).await;
        self.check(trust).err().unwrap_or(refusal)
    }
}
