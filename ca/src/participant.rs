//! What the ledger asks: is this path good at this block's time, under these roots? Revocation is not asked here,
//! because execution decides by participant records alone (DESIGN, A channel).

use crate::{
    certificate::Certificate,
    ocsp::{OcspError, Status, verify_answer},
    path::{PathError, Usage, VerifiedCertificate, verify_path},
};
use ledger_classes::time::Time;

/// Verifies the path that a `participant.admit` carries, leaf first, against the roots that the channel accepts for
/// the organization, at block time. The caller compares the organization of the identity with the member whose roots
/// these are, and asks for a proof of possession of the key.
pub fn verify_participant(path: &[Vec<u8>], roots: &[Vec<u8>], at: Time) -> Result<VerifiedCertificate, PathError> {
    verify_path(path, roots, None, at, Usage::Participant)
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

/// Verifies what a `participant.revoke_by_evidence` carries: a path as for an admission, and an OCSP answer of the
/// leaf's issuer that says revoked. How old the answer is does not matter: revoked is for ever.
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
