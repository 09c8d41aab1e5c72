//! The one function that admits a certificate path. Connections and `participant.admit` both come through here.
//!
//! It is a function of its arguments alone: no clock, no store, no random numbers, so that a replay years later
//! gives the same verdict. [`crate::trust::validation`] does RFC 5280's path validation; what SPIFFE and docs/decisions/0002
//! ask comes on top.

use crate::{
    trust::{
        revocation::{RevocationPolicy, RevocationSet},
        validation::{PathError, PathOrder, PathRules, Purpose, ValidatedPath, validate_path},
    },
    x509::{
        algorithms::PROFILE_ALGORITHMS,
        certificate::Certificate,
        identifiers::{CertificateId, KeyId, Serial},
        profile::{AuthorityScope, LeafFacts},
        public_key::PublicKey,
    },
};
use ledger_classes::limits::CERTIFICATE_PATH_MAX;
use ledger_classes::primitives::identity::{Identity, Role};
use ledger_classes::primitives::time::Time;

/// What the leaf is to be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Usage {
    /// It opened a TLS connection to us.
    ClientAuth,
    /// It answers a TLS connection of ours: a peer.
    ServerAuth,
    /// It is entered in a ledger's participant records.
    Participant,
}

/// A certificate whose path was verified: only [`verify_path`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCertificate {
    identity: Identity,
    id: CertificateId,
    not_before: Time,
    not_after: Time,
    public_key: PublicKey,
    fingerprint: [u8; 32],
    authorities: Vec<KeyId>,
    above: Vec<CertificateId>,
}

impl VerifiedCertificate {
    /// The identity in its URI.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Issuer and serial: what CRLs and participant records name.
    pub const fn id(&self) -> &CertificateId {
        &self.id
    }

    /// The serial number.
    pub const fn serial(&self) -> &Serial {
        &self.id.serial
    }

    /// The key that signed it.
    pub const fn issuer(&self) -> KeyId {
        self.id.issuer
    }

    /// The first instant of its validity.
    pub const fn not_before(&self) -> Time {
        self.not_before
    }

    /// The last second of its validity.
    pub const fn not_after(&self) -> Time {
        self.not_after
    }

    /// Its key.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The keys of the CAs of its path, the issuing one first, the anchor last.
    pub fn authorities(&self) -> &[KeyId] {
        &self.authorities
    }

    /// The CA certificates of its path below the anchor, the issuing one first.
    pub fn above(&self) -> &[CertificateId] {
        &self.above
    }

    /// SHA-256 of the whole certificate.
    pub const fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }
}

/// Whether a leaf is good at an instant and signed by this CA, whose own standing is the caller's matter: for a holder whose
/// CA is not below any of the roots that it knows.
pub fn is_issued_by(leaf: &[u8], authority: &[u8], at: Time, usage: Usage) -> bool {
    let (Ok(leaf), Ok(authority)) = (Certificate::parse(leaf), Certificate::parse(authority)) else { return false };
    let Ok(facts) = leaf.check_leaf() else { return false };
    let in_time = leaf.not_before() <= at && at <= leaf.not_after();
    let scope = authority.check_authority();
    let own = scope.is_ok_and(|scope| {
        let organization = scope.organization.as_deref();
        scope.consortium == facts.identity.consortium()
            && organization.is_none_or(|organization| organization == facts.identity.organization())
    });
    let signed = leaf.issuer() == authority.subject()
        && leaf.x509().verify_signature(Some(authority.x509().public_key())).is_ok();
    check_usage(&facts, usage).is_ok() && in_time && own && signed
}

/// Verifies a path (leaf first; anything from the first anchor on is passed over) against anchors, at an instant.
///
/// With `revocation`, every certificate below the anchor must be known to be good; without, revocation is somebody
/// else's question (the ledger's participant records).
pub fn verify_path<P: AsRef<[u8]>, A: AsRef<[u8]>>(
    path: &[P],
    anchors: &[A],
    revocation: Option<(&RevocationSet, RevocationPolicy)>,
    at: Time,
    usage: Usage,
) -> Result<VerifiedCertificate, PathError> {
    find_path(path, anchors, revocation, at, usage).map(|(certificate, _)| certificate)
}

/// [`verify_path`], with the path that was found.
pub(crate) fn find_path<'p, P: AsRef<[u8]>, A: AsRef<[u8]>>(
    path: &'p [P],
    anchors: &'p [A],
    revocation: Option<(&RevocationSet, RevocationPolicy)>,
    at: Time,
    usage: Usage,
) -> Result<(VerifiedCertificate, ValidatedPath<'p>), PathError> {
    let (leaf_der, rest) = path.split_first().ok_or(PathError::Empty)?;
    if path.len() > CERTIFICATE_PATH_MAX {
        return Err(PathError::Length);
    }
    let below_anchor = rest.iter().take_while(|der| !anchors.iter().any(|a| a.as_ref() == der.as_ref()));
    let intermediates: Vec<&[u8]> = below_anchor.map(AsRef::as_ref).collect();

    let profile = |source| PathError::Profile { position: 0, source };
    let leaf = Certificate::parse(leaf_der.as_ref()).map_err(profile)?;
    let facts = leaf.check_leaf().map_err(profile)?;
    check_usage(&facts, usage)?;

    // Anchors that are no CAs of ours vouch for nobody; they must not keep others from being found. Links are for
    // those who decide about a new root, and no anchors.
    let ours = |der: &&[u8]| {
        let certificate = Certificate::parse(der);
        certificate.is_ok_and(|certificate| certificate.check_authority().is_ok() && !certificate.is_link())
    };
    let anchors: Vec<&[u8]> = anchors.iter().map(AsRef::as_ref).filter(ours).collect();
    let rules = PathRules {
        algorithms: PROFILE_ALGORITHMS,
        // The leaf's purposes are checked already; this adds what a CA's extended key usage forbids.
        purpose: match usage {
            Usage::ClientAuth | Usage::Participant => Purpose::ClientAuth,
            Usage::ServerAuth => Purpose::ServerAuth,
        },
        order: PathOrder::Strict,
        intermediates_max: CERTIFICATE_PATH_MAX,
        at,
    };
    let path = validate_path(leaf_der.as_ref(), &intermediates, &anchors, &rules, revocation)?;

    let mut scopes = Vec::new();
    for (position, certificate) in path.certificates.iter().enumerate().skip(1) {
        scopes.push(certificate.check_authority().map_err(|source| PathError::Profile { position, source })?);
    }
    check_binding(&facts.identity, scopes.iter())?;
    if path.certificates.iter().skip(1).any(Certificate::is_link) {
        return Err(PathError::Link);
    }
    let mut ids = path.ids().into_iter();
    let verified = VerifiedCertificate {
        identity: facts.identity,
        id: ids.next().ok_or(PathError::UnknownIssuer)?,
        above: ids.collect(),
        not_before: leaf.not_before(),
        not_after: leaf.not_after(),
        public_key: facts.public_key,
        fingerprint: leaf.fingerprint(),
        authorities: path.certificates.iter().skip(1).map(Certificate::key_id).collect(),
    };
    Ok((verified, path))
}

/// docs/decisions/0002: every CA of the path is of the identity's consortium; the issuing CA is of its organization;
/// no CA above is of another organization.
pub(crate) fn check_binding<'a>(
    identity: &Identity,
    scopes: impl Iterator<Item = &'a AuthorityScope>,
) -> Result<(), PathError> {
    for (index, scope) in scopes.enumerate() {
        // X509-SVID §5.2: the trust domain of the leaf is that of its CAs.
        if scope.consortium != identity.consortium() {
            return Err(PathError::Consortium);
        }
        match scope.organization.as_deref() {
            Some(organization) if organization == identity.organization() => {}
            None if index > 0 => {}
            _ => return Err(PathError::Organization),
        }
    }
    Ok(())
}

pub(crate) fn check_usage(facts: &LeafFacts, usage: Usage) -> Result<(), PathError> {
    match usage {
        Usage::ClientAuth | Usage::Participant if facts.client_auth => Ok(()),
        Usage::ServerAuth if facts.identity.role() != Role::Peer => Err(PathError::NotPeer),
        Usage::ServerAuth if facts.server_auth => Ok(()),
        _ => Err(PathError::Usage),
    }
}
