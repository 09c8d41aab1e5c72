//! What a running peer or client trusts at this moment: anchors, the issuing CAs that it knows, and their CRLs.
//! All of it is replaced whole while connections are served; a verdict is always made under one state.

use crate::{
    trust::{
        path::{Usage, VerifiedCertificate, verify_path},
        revocation::{RevocationChange, RevocationError, RevocationList, RevocationPolicy, RevocationStore},
        validation::PathError,
    },
    x509::{
        certificate::{Certificate, ProfileError},
        identifiers::{CertificateId, KeyId},
        profile::AuthorityScope,
    },
};
use arc_swap::ArcSwap;
use ledger_classes::primitives::time::Time;
use std::sync::Arc;

/// Why CAs are not taken into the store.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum TrustError {
    /// Not a CA certificate of our profile.
    #[error("certificate {position} is not an acceptable CA")]
    Profile {
        /// Which, counted over anchors and then authorities.
        position: usize,
        /// Why.
        #[source]
        source: ProfileError,
    },
    /// A CA of another trust domain.
    #[error("certificate {position} is of another consortium: {consortium}")]
    Consortium {
        /// Which.
        position: usize,
        /// Whose.
        consortium: String,
    },
    /// An issuing CA that no anchor certified.
    #[error("issuing CA {position} is certified by none of the anchors")]
    UnknownIssuer {
        /// Which.
        position: usize,
    },
}

impl TrustError {
    /// The same error about a certificate at another place.
    fn at(mut self, place: usize) -> Self {
        match &mut self {
            Self::Profile { position, .. } | Self::Consortium { position, .. } | Self::UnknownIssuer { position } => {
                *position = place;
            }
        }
        self
    }
}

#[derive(Debug)]
struct Authorities {
    anchors: Vec<Vec<u8>>,
    issuing: Vec<Vec<u8>>,
}

/// Anchors, issuing CAs and CRLs of one consortium.
#[derive(Debug)]
pub struct TrustStore {
    consortium: String,
    authorities: ArcSwap<Authorities>,
    revocation: RevocationStore,
    policy: RevocationPolicy,
}

impl TrustStore {
    /// A store without CRLs: under the default policy it admits nobody before [`TrustStore::install_crl`].
    ///
    /// `anchors` are roots, of the consortium or of organizations. `issuing` are the CAs below them whose CRLs will
    /// come; each must be certified by an anchor.
    pub fn new(
        consortium: &str,
        anchors: Vec<Vec<u8>>,
        issuing: Vec<Vec<u8>>,
        policy: RevocationPolicy,
    ) -> Result<Self, TrustError> {
        let authorities = check(consortium, anchors, issuing)?;
        Ok(Self {
            consortium: consortium.into(),
            authorities: ArcSwap::from_pointee(authorities),
            revocation: RevocationStore::default(),
            policy,
        })
    }

    /// The same store, which tells CRLs of the future by a clock: their dates do not count before their time, what they name
    /// is revoked at once.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> Time) -> Self {
        Self { revocation: self.revocation.with_clock(clock), ..self }
    }

    /// Replaces all CAs. CRLs stay in force.
    pub fn replace(&self, anchors: Vec<Vec<u8>>, issuing: Vec<Vec<u8>>) -> Result<(), TrustError> {
        self.authorities.store(Arc::new(check(&self.consortium, anchors, issuing)?));
        Ok(())
    }

    /// The trust domain.
    pub fn consortium(&self) -> &str {
        &self.consortium
    }

    /// The CRLs in force.
    pub const fn revocation(&self) -> &RevocationStore {
        &self.revocation
    }

    /// Verifies a CRL under the CA that it names and puts it in force. `None` if it is in force already.
    pub fn install_crl(&self, der: &[u8]) -> Result<Option<RevocationChange>, RevocationError> {
        // A long list takes long to verify, and is offered again and again.
        if self.revocation.current().ders().any(|known| known == der) {
            return Ok(None);
        }
        let authorities = self.authorities.load();
        let all = authorities.anchors.iter().chain(&authorities.issuing);
        self.revocation.install(RevocationList::verify_by_any(der, all.map(Vec::as_slice))?)
    }

    /// Verifies a path, leaf first, under everything in force.
    pub fn verify<P: AsRef<[u8]>>(&self, path: &[P], at: Time, usage: Usage) -> Result<VerifiedCertificate, PathError> {
        let revocation = self.revocation.current();
        verify_path(path, &self.authorities.load().anchors, Some((&revocation, self.policy)), at, usage)
    }
}

impl TrustStore {
    /// Verifies the path of a connection that it has opened before. Where the path leads to a root that is trusted no
    /// more, a certificate that the same CA has under another root stands in for the one in the path: the connection
    /// has shown the leaf's key, the leaf is signed by the same CA, and only a new connection shows another path
    /// (docs/decisions/0009).
    pub fn verify_again(&self, path: &[Vec<u8>], at: Time, usage: Usage) -> Result<VerifiedCertificate, PathError> {
        let verdict = self.verify(path, at, usage);
        let (Err(PathError::UnknownIssuer), Some(leaf)) = (&verdict, path.first()) else { return verdict };
        let issuing = self.authorities.load().issuing.clone();
        let mut others = issuing.iter().filter_map(|issuing| self.verify(&[leaf, issuing], at, usage).ok());
        others.next().map_or(verdict, Ok)
    }
}

impl TrustStore {
    /// What the certificates of a path, leaf first, may be called: each by the key of the next one and by those of the CAs
    /// in force whose name its issuer has. For who asks what is revoked before the path is judged: nothing of it is
    /// verified, and what is no certificate has no name.
    pub fn names_of(&self, path: &[&[u8]]) -> Vec<CertificateId> {
        let authorities = self.authorities.load();
        let mut names = Vec::new();
        let mut parsed: Vec<_> = path.iter().map(|der| Certificate::parse(der).ok()).collect();
        // A channel may list the issuing CA itself: then the path ends below it, and it may be revoked as well.
        if let Some(Some(last)) = parsed.last() {
            let issuer = last.issuer().to_vec();
            let issuing = authorities.issuing.iter().filter_map(|der| Certificate::parse(der).ok());
            parsed.extend(issuing.filter(|authority| authority.subject() == issuer).map(Some).collect::<Vec<_>>());
        }
        for (place, certificate) in parsed.iter().enumerate() {
            let Some(certificate) = certificate else { continue };
            let serial = certificate.serial();
            let next = parsed.get(place + 1).and_then(Option::as_ref).map(Certificate::key_id);
            let known = authorities.anchors.iter().chain(&authorities.issuing);
            let known = known.filter_map(|der| Certificate::parse(der).ok());
            let known = known.filter(|authority| authority.subject() == certificate.issuer());
            let mut issuers: Vec<KeyId> = next.into_iter().chain(known.map(|authority| authority.key_id())).collect();
            issuers.sort_unstable();
            issuers.dedup();
            names.extend(issuers.into_iter().map(|issuer| CertificateId { issuer, serial: serial.clone() }));
        }
        names
    }
}

/// CAs that can be trusted together, and those that cannot, each with the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acceptable {
    /// Roots.
    pub anchors: Vec<Vec<u8>>,
    /// Issuing CAs that one of the roots certified.
    pub issuing: Vec<Vec<u8>>,
    /// What [`TrustStore::new`] would refuse, with why; positions count as there.
    pub refused: Vec<(Vec<u8>, TrustError)>,
}

/// Takes out what [`TrustStore::new`] would refuse: one member's broken CA must not keep a peer from trusting the
/// others. Expired CAs stay, since they vouch for nobody: their CRLs still say who is revoked.
pub fn acceptable(consortium: &str, anchors: &[Vec<u8>], issuing: &[Vec<u8>]) -> Acceptable {
    let mut all = Acceptable::default();
    for (position, der) in anchors.iter().enumerate() {
        match check(consortium, vec![der.clone()], Vec::new()) {
            Ok(_) => all.anchors.push(der.clone()),
            Err(error) => all.refused.push((der.clone(), error.at(position))),
        }
    }
    for (index, der) in issuing.iter().enumerate() {
        match check(consortium, all.anchors.clone(), vec![der.clone()]) {
            Ok(_) => all.issuing.push(der.clone()),
            Err(error) => all.refused.push((der.clone(), error.at(anchors.len() + index))),
        }
    }
    all
}

fn check(consortium: &str, anchors: Vec<Vec<u8>>, issuing: Vec<Vec<u8>>) -> Result<Authorities, TrustError> {
    let mut parsed: Vec<(Certificate<'_>, AuthorityScope)> = Vec::new();
    for (position, der) in anchors.iter().chain(&issuing).enumerate() {
        let profile = |source| TrustError::Profile { position, source };
        let certificate = Certificate::parse(der).map_err(profile)?;
        let scope = certificate.check_authority().map_err(profile)?;
        if scope.consortium != consortium {
            return Err(TrustError::Consortium { position, consortium: scope.consortium });
        }
        parsed.push((certificate, scope));
    }
    let (roots, below) = parsed.split_at(anchors.len());
    for (index, (certificate, scope)) in below.iter().enumerate() {
        let certified = roots.iter().any(|(root, of_root)| may_certify(of_root, scope) && is_signed(certificate, root));
        if !certified {
            return Err(TrustError::UnknownIssuer { position: anchors.len() + index });
        }
    }
    drop(parsed);
    Ok(Authorities { anchors, issuing })
}

/// An organization's CA certifies no CA of another organization (docs/decisions/0002).
fn may_certify(root: &AuthorityScope, below: &AuthorityScope) -> bool {
    root.organization.is_none() || root.organization == below.organization
}

/// A root with path length 0 certifies no CA (RFC 5280 §4.2.1.9): an organization's own.
fn is_signed(certificate: &Certificate<'_>, root: &Certificate<'_>) -> bool {
    root.subject() == certificate.issuer()
        && root.path_length_max() != Some(0)
        && certificate.x509().verify_signature(Some(root.x509().public_key())).is_ok()
}

/// Whether an anchor vouches for an issuing CA; for neither's dates.
pub(crate) fn is_certified(certificate: &Certificate<'_>, root: &Certificate<'_>) -> bool {
    let (Ok(scope), Ok(of_root)) = (certificate.check_authority(), root.check_authority()) else { return false };
    may_certify(&of_root, &scope) && is_signed(certificate, root)
}
