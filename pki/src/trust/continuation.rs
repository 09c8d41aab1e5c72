//! How a CA goes on, on a channel that lists its certificate: another certificate with the same key, and that key's
//! consent. The channel has no root to ask: what it lists are its anchors, so who signed the new certificate says
//! nothing, and all that it may change is when it ends.

use crate::x509::{
    algorithms::{self, PROFILE_ALGORITHMS},
    certificate::{Certificate, ProfileError},
    profile::AuthorityScope,
};
use ledger_classes::state::participant::{AuthorityContinuation, AuthorityFacts};
use x509_parser::oid_registry::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER;

/// Why a certificate does not continue a listed one.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ContinuationError {
    /// Not a CA certificate of our profile.
    #[error("the certificate is not an acceptable CA's")]
    Profile(#[from] ProfileError),
    /// None of those listed has this key.
    #[error("no listed CA certificate has this key")]
    Unknown,
    /// The listed certificate with this key says something else: another name, other constraints.
    #[error("the certificate says more or less than the listed one with its key")]
    Different,
    /// The key did not sign.
    #[error("the CA's key did not sign channel and certificate")]
    Proof,
}

/// Finds the listed certificate that `certificate` continues, and verifies the key's signature over `message`. Dates
/// are the caller's to judge.
pub fn verify_continuation(
    certificate: &[u8],
    listed: &[&[u8]],
    message: &[u8],
    proof: &[u8],
) -> Result<AuthorityContinuation, ContinuationError> {
    let next = Certificate::parse(certificate)?;
    next.check_authority()?;
    let same_key = |(place, der): (usize, &&'_ [u8])| {
        let parsed = Certificate::parse(der).ok()?;
        (parsed.spki() == next.spki()).then(|| (parsed.not_after(), place))
    };
    let last = listed.iter().enumerate().filter_map(same_key).max();
    let (listed_not_after, replaces) = last.ok_or(ContinuationError::Unknown)?;
    let current = Certificate::parse(listed.get(replaces).ok_or(ContinuationError::Unknown)?)?;
    if current.subject() != next.subject() || extensions(&current) != extensions(&next) {
        return Err(ContinuationError::Different);
    }
    if !algorithms::verify_by(PROFILE_ALGORITHMS, next.x509().public_key(), message, proof) {
        return Err(ContinuationError::Proof);
    }
    Ok(AuthorityContinuation {
        replaces,
        listed_not_after,
        serial: next.serial().as_bytes().to_vec(),
        not_before: next.not_before(),
        not_after: next.not_after(),
    })
}

/// What a CA certificate, DER, says of itself. Nothing of it is verified.
pub fn authority_facts(certificate: &[u8]) -> Result<AuthorityFacts, ProfileError> {
    let certificate = Certificate::parse(certificate)?;
    let AuthorityScope { consortium, organization } = certificate.check_authority()?;
    let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
    Ok(AuthorityFacts { consortium, organization, not_before, not_after })
}

/// All extensions but the authority key identifier, which says who signed.
fn extensions<'a>(certificate: &'a Certificate<'_>) -> Vec<(Vec<u8>, bool, &'a [u8])> {
    let all = certificate.x509().extensions().iter();
    let kept = all.filter(|extension| extension.oid != OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER);
    let mut kept: Vec<_> = kept.map(|one| (one.oid.as_bytes().to_vec(), one.critical, one.value)).collect();
    kept.sort_unstable();
    kept
}
