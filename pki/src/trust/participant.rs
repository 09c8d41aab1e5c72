//! What the ledger asks: is this path good at this block's time, under these roots? Revocation is not asked here,
//! because execution decides by participant records alone (DESIGN, A channel).

use crate::{
    trust::{
        diagnosis::recheck,
        path::{Usage, VerifiedCertificate, find_path},
        validation::PathError,
    },
    x509::{
        algorithms::{PROFILE_ALGORITHMS, verify},
        certificate::{Certificate, ProfileError},
        identifiers::{CertificateId, RevocationReason},
        ocsp::{OcspError, Status, VerifiedAnswer, check_form, read_answer, verify_answer},
        profile::AuthorityScope,
    },
};
use ledger_classes::limits::CERTIFICATE_PATH_MAX;
use ledger_classes::primitives::time::Time;
use std::ops::Range;

/// Verifies the path that a `participant.admit` carries, leaf first, against the roots that the channel accepts for
/// the organization, at block time. The caller compares the organization of the identity with the member whose roots
/// these are, and asks for a proof of possession of the key.
pub fn verify_participant(path: &[Vec<u8>], roots: &[Vec<u8>], at: Time) -> Result<VerifiedCertificate, PathError> {
    let (certificate, path) = find_path(path, roots, None, at, Usage::Participant)?;
    recheck(&path.certificates)?;
    Ok(certificate)
}

/// The organization that a leaf says it is of. Only its form is looked at.
pub fn claimed_organization(leaf: &[u8]) -> Option<String> {
    let facts = Certificate::parse(leaf).ok()?.check_leaf().ok()?;
    Some(facts.identity.organization().to_owned())
}

/// From when on and up to when none of these certificates begins or ends to be valid: whatever is verified with them at
/// `at` has the same outcome all of that time. With one that cannot be read that is `at` alone: another reader, such as the
/// path library, may see dates in it.
pub fn steady<'c>(certificates: impl IntoIterator<Item = &'c [u8]>, at: Time) -> Range<Time> {
    let mut steady = Time::ZERO..Time::from_millis(u64::MAX);
    for certificate in certificates {
        let Ok(certificate) = Certificate::parse(certificate) else { return at..at.plus_millis(1) };
        let second = |time: Time| Time::from_millis(time.millis() / 1000 * 1000);
        // The last second counts whole.
        for change in [second(certificate.not_before()), second(certificate.not_after()).plus_millis(1000)] {
            if change <= at {
                steady.start = steady.start.max(change);
            } else {
                steady.end = steady.end.min(change);
            }
        }
    }
    steady
}

/// Why evidence does not show that a certificate is revoked.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum EvidenceError {
    /// The path.
    #[error("the path")]
    Path(#[from] PathError),
    /// The answer.
    #[error("the OCSP answer")]
    Answer(#[from] OcspError),
    /// It says that the certificate is good.
    #[error("the OCSP answer says that the certificate is good")]
    Good,
}

/// A certificate that its own CA says is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedParticipant {
    /// Which.
    pub certificate: VerifiedCertificate,
    /// When and why.
    pub status: Status,
}

/// What a CA says of one of its certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenRevocation {
    /// Which certificate.
    pub certificate: CertificateId,
    /// The organization of the CA; `None` for the consortium's root.
    pub organization: Option<String>,
    /// Why it is revoked.
    pub reason: RevocationReason,
}

/// Verifies what a `participant.revoke_by_evidence` carries: the CA certificates from the one that answers up to a root
/// (anything from the first root on is passed over), and that CA's OCSP answer, which says revoked. Dates do not matter,
/// neither the answer's nor the CAs': what a CA has revoked stays so, and what it says is of its own certificates only.
pub fn verify_evidence(path: &[&[u8]], evidence: &[u8], roots: &[&[u8]]) -> Result<ProvenRevocation, EvidenceError> {
    check_form(evidence)?;
    let below = path.iter().take_while(|der| !roots.contains(der)).copied();
    let below: Vec<&[u8]> = below.collect();
    if below.len() >= CERTIFICATE_PATH_MAX {
        return Err(PathError::Length.into());
    }
    let mut authorities = Vec::with_capacity(below.len());
    for (position, der) in below.iter().enumerate() {
        authorities.push(authority(der).map_err(|source| PathError::Profile { position, source })?);
    }
    // A listed CA that is none of ours vouches for nobody; it must not keep others from being found.
    let mut roots = roots.iter().filter_map(|der| authority(der).ok().map(|authority| (*der, authority)));
    let (Some((_, scope)), Some((top, _))) = (authorities.first(), authorities.last()) else {
        let mut refused = None;
        for (der, (_, scope)) in roots.by_ref() {
            match read_answer(evidence, der) {
                Ok(answer) => return proven(answer, &scope),
                Err(error @ OcspError::OtherIssuer) => refused = refused.or(Some(error)),
                Err(error) => refused = Some(error),
            }
        }
        return Err(refused.map_or(PathError::UnknownIssuer.into(), EvidenceError::Answer));
    };
    for ((child, _), (parent, above)) in authorities.iter().zip(authorities.iter().skip(1)) {
        check_certified(child, parent, scope, above)?;
    }
    if !roots.any(|(_, (root, above))| check_certified(top, &root, scope, &above).is_ok()) {
        return Err(PathError::UnknownIssuer.into());
    }
    proven(read_answer(evidence, below.first().copied().unwrap_or_default())?, scope)
}

/// A CA certificate that may stand in a path, with the scope that it claims.
fn authority(der: &[u8]) -> Result<(Certificate<'_>, AuthorityScope), ProfileError> {
    let certificate = Certificate::parse(der)?;
    let scope = certificate.check_authority()?;
    if certificate.is_link() { Err(ProfileError::NotAuthority) } else { Ok((certificate, scope)) }
}

/// RFC 5280 §6.1.3 (a)(1) and (a)(4), and docs/decisions/0002: no CA above is of another consortium or organization.
fn check_certified(
    child: &Certificate<'_>,
    parent: &Certificate<'_>,
    scope: &AuthorityScope,
    above: &AuthorityScope,
) -> Result<(), PathError> {
    if child.issuer() != parent.subject() {
        return Err(PathError::UnknownIssuer);
    }
    if above.consortium != scope.consortium {
        return Err(PathError::Consortium);
    }
    if above.organization.is_some() && above.organization != scope.organization {
        return Err(PathError::Organization);
    }
    let (signed, key) = (child.x509(), parent.x509().public_key());
    let identifier = &signed.signature_algorithm;
    match verify(PROFILE_ALGORITHMS, key, identifier, signed.tbs_certificate.as_ref(), &signed.signature_value.data) {
        true => Ok(()),
        false => Err(PathError::Signature),
    }
}

fn proven(answer: VerifiedAnswer, scope: &AuthorityScope) -> Result<ProvenRevocation, EvidenceError> {
    match answer.status {
        Status::Good => Err(EvidenceError::Good),
        Status::Revoked { reason, .. } => {
            Ok(ProvenRevocation { certificate: answer.id, organization: scope.organization.clone(), reason })
        }
    }
}

/// Verifies that a leaf is revoked: a path as for an admission, and an OCSP answer of the leaf's issuer that says revoked.
/// How old the answer is does not matter: revoked is for ever.
pub fn verify_revocation(
    path: &[Vec<u8>],
    evidence: &[u8],
    roots: &[Vec<u8>],
    at: Time,
) -> Result<RevokedParticipant, EvidenceError> {
    let certificate = verify_participant(path, roots, at)?;
    let is_issuer = |der: &&Vec<u8>| Certificate::parse(der).is_ok_and(|ca| ca.key_id() == certificate.issuer());
    // The path was verified: the certificate with the issuer's key is its second, or one of the roots.
    let mut candidates = path.iter().skip(1).chain(roots).filter(is_issuer).peekable();
    let mut refused = OcspError::OtherIssuer;
    if candidates.peek().is_none() {
        return Err(PathError::UnknownIssuer.into());
    }
    for issuer in candidates {
        match verify_answer(evidence, issuer, certificate.serial()) {
            Ok(answer) if answer.status == Status::Good => return Err(EvidenceError::Good),
            Ok(answer) => return Ok(RevokedParticipant { certificate, status: answer.status }),
            Err(error) => refused = error,
        }
    }
    Err(refused.into())
}
