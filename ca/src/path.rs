//! The one function that admits a certificate path. Connections and `participant.admit` both come through here.
//!
//! It is a function of its arguments alone: no clock, no store, no random numbers, so that a replay years later
//! gives the same verdict. `rustls-webpki` builds the path and checks its signatures, dates and name constraints;
//! because it alone accepts paths that must fail, our own checks of every certificate come on top.

use crate::{
    identifiers::{CertificateId, KeyId, Serial},
    keys::PublicKey,
    profile::{AuthorityScope, Certificate, LeafFacts, ProfileError},
    revocation::{RevocationPolicy, RevocationSet, RevocationStatusError},
};
use ledger_classes::{
    identity::{Identity, Role},
    limits::CERTIFICATE_PATH_MAX,
    time::Time,
};
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert, ring as algorithms};

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

/// Why a path is not admitted. `position` counts from the leaf, which is 0; the anchor is the last.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PathError {
    /// No certificate at all.
    #[error("the certificate path is empty")]
    Empty,
    /// More than [`CERTIFICATE_PATH_MAX`] certificates.
    #[error("a path has at most {CERTIFICATE_PATH_MAX} certificates")]
    Length,
    /// A certificate breaks its profile.
    #[error("certificate {position} of the path is not acceptable")]
    Profile {
        /// Which.
        position: usize,
        /// How.
        #[source]
        source: ProfileError,
    },
    /// No anchor vouches for it (RFC 5280 §6.1).
    #[error("the path leads to no accepted CA")]
    UnknownIssuer,
    /// A signature is wrong (RFC 5280 §6.1.3 (a)(1)).
    #[error("a signature of the path is wrong")]
    Signature,
    /// After `not_after` of any certificate of the path, the anchor included (RFC 5280 §4.1.2.5).
    #[error("a certificate of the path has expired")]
    Expired,
    /// Before `not_before` of any certificate of the path.
    #[error("a certificate of the path is not yet valid")]
    NotYetValid,
    /// More CAs below a CA than it allows (RFC 5280 §4.2.1.9).
    #[error("the path is longer than CA {position} allows")]
    PathLength {
        /// Which CA.
        position: usize,
    },
    /// Authority and subject key identifiers differ (RFC 5280 §4.2.1.1).
    #[error("certificate {position} names another key of its issuer")]
    KeyIdentifier {
        /// Which.
        position: usize,
    },
    /// The certificates are not in order, each certifying the one before it (RFC 8446 §4.4.2).
    #[error("the path is not in order")]
    Order,
    /// A name constraint of a CA forbids a name (RFC 5280 §4.2.1.10).
    #[error("a CA of the path may not vouch for this name")]
    NameConstraint,
    /// Any other verdict of the path library.
    #[error("the path is not acceptable: {0}")]
    Other(String),
    /// The leaf has another trust domain than a CA of its path (X509-SVID §5.2).
    #[error("the identity belongs to another consortium than its CA")]
    Consortium,
    /// A CA vouches for an identity of another organization, or the consortium's root for a leaf.
    #[error("the identity belongs to another organization than its CA")]
    Organization,
    /// RFC 5280 §4.2.1.12: the extended key usage is not for this.
    #[error("the certificate is not for this use")]
    Usage,
    /// A TLS server that is not a peer.
    #[error("only a peer answers connections")]
    NotPeer,
    /// Revoked, or nobody knows (RFC 5280 §6.3).
    #[error("certificate {position} of the path")]
    Revocation {
        /// Which.
        position: usize,
        /// What the CRLs say.
        #[source]
        source: RevocationStatusError,
    },
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

    /// SHA-256 of the whole certificate.
    pub const fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }
}

/// Ed25519, P-256 with SHA-256, and P-384 with SHA-384 for CAs.
static ALGORITHMS: [&dyn SignatureVerificationAlgorithm; 3] =
    [algorithms::ED25519, algorithms::ECDSA_P256_SHA256, algorithms::ECDSA_P384_SHA384];

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
    let (leaf_der, rest) = path.split_first().ok_or(PathError::Empty)?;
    if path.len() > CERTIFICATE_PATH_MAX {
        return Err(PathError::Length);
    }
    let below_anchor = rest.iter().take_while(|der| !anchors.iter().any(|a| a.as_ref() == der.as_ref()));
    let intermediates: Vec<&[u8]> = below_anchor.map(AsRef::as_ref).collect();

    let leaf = parse(leaf_der.as_ref(), 0)?;
    let facts = leaf.check_leaf().map_err(|source| PathError::Profile { position: 0, source })?;
    check_usage(&facts, usage)?;

    // Anchors that are no CAs of ours vouch for nobody; they must not keep others from being found.
    let anchors: Vec<(&[u8], Certificate<'_>, AuthorityScope)> = anchors
        .iter()
        .filter_map(|der| {
            let certificate = Certificate::parse(der.as_ref()).ok()?;
            let scope = certificate.check_authority().ok()?;
            Some((der.as_ref(), certificate, scope))
        })
        .collect();
    let (used, anchor) = build(leaf_der.as_ref(), &intermediates, &anchors, at, usage)?;

    let mut chain = vec![(leaf, None)];
    for (index, der) in intermediates.iter().take(used).enumerate() {
        let certificate = parse(der, index + 1)?;
        let scope = certificate.check_authority();
        chain.push((certificate, Some(scope.map_err(|source| PathError::Profile { position: index + 1, source })?)));
    }
    let (_, certificate, scope) = anchors.into_iter().nth(anchor).ok_or(PathError::UnknownIssuer)?;
    chain.push((certificate, Some(scope)));

    check_links(&chain, at)?;
    check_binding(&facts.identity, chain.iter().filter_map(|(_, scope)| scope.as_ref()))?;
    let ids: Vec<CertificateId> = chain
        .windows(2)
        .filter_map(|pair| match pair {
            [(certificate, _), (issuer, _)] => {
                Some(CertificateId { issuer: issuer.key_id(), serial: certificate.serial().clone() })
            }
            _ => None,
        })
        .collect();
    if let Some((set, policy)) = revocation {
        for (position, id) in ids.iter().enumerate() {
            set.status(id, at, policy).map_err(|source| PathError::Revocation { position, source })?;
        }
    }
    let (leaf, _) = chain.first().ok_or(PathError::Empty)?;
    Ok(VerifiedCertificate {
        identity: facts.identity,
        id: ids.into_iter().next().ok_or(PathError::UnknownIssuer)?,
        not_before: leaf.not_before(),
        not_after: leaf.not_after(),
        public_key: facts.public_key,
        fingerprint: leaf.fingerprint(),
    })
}

fn parse(der: &[u8], position: usize) -> Result<Certificate<'_>, PathError> {
    Certificate::parse(der).map_err(|source| PathError::Profile { position, source })
}

/// Path building and signatures (RFC 5280 §6.1) by rustls-webpki. Returns how many of the intermediates the path
/// uses, in their order, and which anchor it ends at.
fn build(
    leaf: &[u8],
    intermediates: &[&[u8]],
    anchors: &[(&[u8], Certificate<'_>, AuthorityScope)],
    at: Time,
    usage: Usage,
) -> Result<(usize, usize), PathError> {
    let anchors: Vec<CertificateDer<'_>> = anchors.iter().map(|(der, ..)| CertificateDer::from(*der)).collect();
    let anchors = anchors.iter().map(anchor_from_trusted_cert).collect::<Result<Vec<_>, _>>().map_err(translate)?;
    let leaf = CertificateDer::from(leaf);
    let leaf = EndEntityCert::try_from(&leaf).map_err(translate)?;
    let intermediates: Vec<CertificateDer<'_>> = intermediates.iter().map(|der| CertificateDer::from(*der)).collect();
    // Whole seconds, as certificates count: not_after holds to the end of its second.
    let time = UnixTime::since_unix_epoch(Duration::from_secs(at.millis() / 1000));
    // The leaf's purposes are checked already; this adds what a CA's extended key usage forbids.
    let purpose = match usage {
        Usage::ClientAuth | Usage::Participant => KeyUsage::client_auth(),
        Usage::ServerAuth => KeyUsage::server_auth(),
    };
    let verified =
        leaf.verify_for_usage(&ALGORITHMS, &anchors, &intermediates, time, purpose, None, None).map_err(translate)?;
    let used: Vec<_> = verified.intermediate_certificates().map(|certificate| certificate.der()).collect();
    let in_order = used.iter().zip(&intermediates).all(|(used, given)| used == given);
    if !in_order {
        return Err(PathError::Order);
    }
    let anchor = anchors.iter().position(|anchor| std::ptr::eq(anchor, verified.anchor()));
    Ok((used.len(), anchor.ok_or(PathError::UnknownIssuer)?))
}

/// What holds between neighbours of the path, leaf first.
fn check_links(chain: &[(Certificate<'_>, Option<AuthorityScope>)], at: Time) -> Result<(), PathError> {
    let second = at.millis() / 1000;
    for (position, (certificate, scope)) in chain.iter().enumerate() {
        // The library does not look at the anchor's dates (RFC 5280 §6.1.1 (d)); an expired root vouches for nobody.
        if second > certificate.not_after().millis() / 1000 {
            return Err(PathError::Expired);
        }
        if second < certificate.not_before().millis() / 1000 {
            return Err(PathError::NotYetValid);
        }
        // RFC 5280 §4.2.1.9: CAs between this one and the leaf. The library does not look at the anchor's limit.
        let below = u32::try_from(position).unwrap_or(u32::MAX).saturating_sub(1);
        if scope.is_some() && certificate.path_length_max().is_some_and(|max| below > max) {
            return Err(PathError::PathLength { position });
        }
        if let Some((issuer, _)) = chain.get(position + 1) {
            // RFC 5280 §4.2.1.1: present in everything but self-signed certificates, and the issuer's.
            let named = certificate.authority_key_identifier();
            if named.is_none() || named != issuer.subject_key_identifier() {
                return Err(PathError::KeyIdentifier { position });
            }
        }
    }
    Ok(())
}

/// docs/decisions/0002: every CA of the path is of the identity's consortium; the issuing CA is of its organization;
/// no CA above is of another organization.
fn check_binding<'a>(identity: &Identity, scopes: impl Iterator<Item = &'a AuthorityScope>) -> Result<(), PathError> {
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

fn check_usage(facts: &LeafFacts, usage: Usage) -> Result<(), PathError> {
    match usage {
        Usage::ClientAuth | Usage::Participant if facts.client_auth => Ok(()),
        Usage::ServerAuth if facts.identity.role() != Role::Peer => Err(PathError::NotPeer),
        Usage::ServerAuth if facts.server_auth => Ok(()),
        _ => Err(PathError::Usage),
    }
}

fn translate(error: webpki::Error) -> PathError {
    use webpki::Error as E;
    match error {
        E::UnknownIssuer => PathError::UnknownIssuer,
        E::CertExpired { .. } => PathError::Expired,
        E::CertNotValidYet { .. } => PathError::NotYetValid,
        E::InvalidSignatureForPublicKey => PathError::Signature,
        E::NameConstraintViolation => PathError::NameConstraint,
        E::RequiredEkuNotFoundContext(_) => PathError::Usage,
        other => PathError::Other(other.to_string()),
    }
}
