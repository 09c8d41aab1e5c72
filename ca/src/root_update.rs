//! How somebody who trusts a consortium's root comes to trust the next one: by a link certificate, the new root's key
//! certified by the old root (`NewWithOld` of RFC 4210 §4.4 and RFC 7030 §4.1.3).
//!
//! Pure functions of certificates and an instant. What must never happen here: a root that is trusted because of who
//! sent it.

use crate::{
    algorithms::{self, PROFILE_ALGORITHMS},
    certificate::Certificate,
    profile::ProfileError,
};
use ledger_classes::time::Time;

/// Why a root is not trusted on the word of a link.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum RootUpdateError {
    /// The new root breaks its profile.
    #[error("the new root is not acceptable")]
    Root(#[source] ProfileError),
    /// The link breaks its profile.
    #[error("the link certificate is not acceptable")]
    Link(#[source] ProfileError),
    /// An organization's CA, or one that somebody else certified, in the place of a root.
    #[error("the new root is not a consortium's root")]
    NotRoot,
    /// The link is a root itself, or an organization's CA.
    #[error("the link certificate does not certify one root by another")]
    NotLink,
    /// Root or link is of another trust domain.
    #[error("the new root is of another consortium")]
    Consortium,
    /// The link certifies another name or key than the root has.
    #[error("the link certificate certifies another root")]
    OtherRoot,
    /// No root that is trusted has the name that signed the link.
    #[error("no trusted root certifies the new one")]
    UnknownIssuer,
    /// The trusted root that certifies the other one did not come before it: an old root, certified by its successor.
    #[error("the root is not newer than the one that certifies it")]
    NotNewer,
    /// A signature is not that of the key that should have made it.
    #[error("a signature is wrong")]
    Signature,
    /// Root, link or trusted root have ended.
    #[error("root or link has expired")]
    Expired,
    /// Root, link or trusted root are of the future.
    #[error("root or link is not valid yet")]
    NotYetValid,
}

/// Whether a root may be trusted by those who trust `anchors`: because a link that one of these has signed certifies
/// exactly that root's name and key, for the same consortium, and all of it is valid at the instant. The root is newer
/// than the one that certifies it: a root that was retired does not come back by the link that its successor signed.
pub fn verify_root_update<A: AsRef<[u8]>>(
    root: &[u8],
    link: &[u8],
    anchors: &[A],
    consortium: &str,
    at: Time,
) -> Result<(), RootUpdateError> {
    let begins = |der: &[u8]| Certificate::parse(der).map(|root| root.not_before());
    let by = verify_link(root, link, anchors, consortium, at)?;
    match (begins(by), begins(root)) {
        (Ok(old), Ok(new)) if old < new => Ok(()),
        _ => Err(RootUpdateError::NotNewer),
    }
}

/// Whether a link says that one root certifies another, whichever is the newer. Returns the one of `anchors` that does.
pub(crate) fn verify_link<'a, A: AsRef<[u8]>>(
    root: &[u8],
    link: &[u8],
    anchors: &'a [A],
    consortium: &str,
    at: Time,
) -> Result<&'a [u8], RootUpdateError> {
    let root = Certificate::parse(root).map_err(RootUpdateError::Root)?;
    let of_root = root.check_authority().map_err(RootUpdateError::Root)?;
    let link = Certificate::parse(link).map_err(RootUpdateError::Link)?;
    let of_link = link.check_authority().map_err(RootUpdateError::Link)?;
    if of_root.organization.is_some() || !root.is_self_issued() {
        return Err(RootUpdateError::NotRoot);
    }
    if !link.is_link() {
        return Err(RootUpdateError::NotLink);
    }
    if of_root.consortium != consortium || of_link.consortium != consortium {
        return Err(RootUpdateError::Consortium);
    }
    if link.subject() != root.subject()
        || link.spki() != root.spki()
        || link.subject_key_identifier() != root.subject_key_identifier()
    {
        return Err(RootUpdateError::OtherRoot);
    }
    check_signature(&root, &root)?;
    check_dates(&root, at)?;
    check_dates(&link, at)?;
    let mut refused = RootUpdateError::UnknownIssuer;
    for der in anchors {
        let Ok(anchor) = Certificate::parse(der.as_ref()) else { continue };
        let is_root = anchor.is_self_issued()
            && anchor
                .check_authority()
                .is_ok_and(|scope| scope.organization.is_none() && scope.consortium == consortium);
        // RFC 5280 §6.1.3 (a)(4) and §4.2.1.1: by name and by key identifier.
        let named = anchor.subject() == link.issuer()
            && link.authority_key_identifier().is_some()
            && link.authority_key_identifier() == anchor.subject_key_identifier();
        if !is_root || !named {
            continue;
        }
        match check_signature(&link, &anchor).and_then(|()| check_dates(&anchor, at)) {
            Ok(()) => return Ok(der.as_ref()),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn check_signature(certificate: &Certificate<'_>, issuer: &Certificate<'_>) -> Result<(), RootUpdateError> {
    let x509 = certificate.x509();
    let signature = &x509.signature_value;
    let good = signature.unused_bits == 0
        && algorithms::verify(
            PROFILE_ALGORITHMS,
            issuer.x509().public_key(),
            &x509.signature_algorithm,
            x509.tbs_certificate.as_ref(),
            &signature.data,
        );
    if good { Ok(()) } else { Err(RootUpdateError::Signature) }
}

/// RFC 5280 §4.1.2.5: to the end of the last second.
fn check_dates(certificate: &Certificate<'_>, at: Time) -> Result<(), RootUpdateError> {
    match at.millis() / 1000 {
        second if second > certificate.not_after().millis() / 1000 => Err(RootUpdateError::Expired),
        second if second < certificate.not_before().millis() / 1000 => Err(RootUpdateError::NotYetValid),
        _ => Ok(()),
    }
}

/// What the anchors of a profile or of a peer without the authorities' folder become.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnchorUpdate {
    /// All anchors from now on.
    pub anchors: Vec<Vec<u8>>,
    /// How many of them are new.
    pub added: usize,
    /// How many of the old ones are gone.
    pub removed: usize,
}

/// Compares anchors with the CA certificates that a peer offers, links among them.
///
/// Added are roots that a link introduces, and certificates that a trusted anchor's own key has made for the same name
/// (`chancery ca reissue` of an organization's own root). Removed is a consortium's root that the peer does not list
/// while it lists a later one that is trusted: so much a peer may decide, because what is left was verified, and a peer
/// that is behind takes nothing away.
pub fn update_anchors(trusted: &[Vec<u8>], offered: &[Vec<u8>], consortium: &str, at: Time) -> AnchorUpdate {
    let mut anchors = trusted.to_vec();
    // A root may lead to the next one: from a root that was two rollovers behind.
    loop {
        let known = anchors.len();
        for root in offered {
            if !anchors.contains(root)
                && (is_continued(root, &anchors, at) || is_linked(root, offered, &anchors, consortium, at))
            {
                anchors.push(root.clone());
            }
        }
        if anchors.len() == known {
            break;
        }
    }
    let added = anchors.len() - trusted.len();
    let before = anchors.len();
    let begins = |der: &Vec<u8>| {
        let root = Certificate::parse(der).ok().filter(Certificate::is_self_issued)?;
        root.check_authority().ok().filter(|scope| scope.organization.is_none()).map(|_| root.not_before())
    };
    let newest = anchors.iter().filter(|der| offered.contains(der)).filter_map(begins).max();
    anchors.retain(|der| {
        offered.contains(der) || begins(der).is_none_or(|begin| newest.is_none_or(|newest| begin >= newest))
    });
    AnchorUpdate { removed: before - anchors.len(), added, anchors }
}

fn is_linked(root: &[u8], offered: &[Vec<u8>], anchors: &[Vec<u8>], consortium: &str, at: Time) -> bool {
    offered.iter().any(|link| verify_root_update(root, link, anchors, consortium, at).is_ok())
}

/// Whether it is a trusted anchor's next certificate: the same name and key, signed by that key.
fn is_continued(der: &[u8], anchors: &[Vec<u8>], at: Time) -> bool {
    let Ok(next) = Certificate::parse(der) else { return false };
    let good = next.check_authority().is_ok()
        && next.is_self_issued()
        && check_dates(&next, at).is_ok()
        && check_signature(&next, &next).is_ok();
    good && anchors
        .iter()
        .filter_map(|anchor| Certificate::parse(anchor).ok())
        .any(|anchor| anchor.is_self_issued() && anchor.subject() == next.subject() && anchor.spki() == next.spki())
}

/// Whether a CA certificate introduces one root by another: no anchor and no issuing CA.
pub fn is_link(der: &[u8]) -> bool {
    Certificate::parse(der).is_ok_and(|certificate| certificate.is_link())
}
