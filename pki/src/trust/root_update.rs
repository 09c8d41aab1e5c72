//! How somebody who trusts a consortium's root comes to trust the next one: by a link certificate, the new root's key
//! certified by the old root (`NewWithOld` of RFC 4210 §4.4 and RFC 7030 §4.1.3).
//!
//! Pure functions of certificates and an instant. What must never happen here: a root that is trusted because of who
//! sent it.

use crate::{
    limits::{ANCHORS_MAX, ISSUING_PER_ORGANIZATION_MAX, OFFERED_MAX},
    trust::{
        path::{Usage, verify_path},
        store::{acceptable, is_certified},
    },
    x509::{
        algorithms::{self, PROFILE_ALGORITHMS},
        certificate::{Certificate, ProfileError},
    },
};
use ledger_classes::primitives::time::Time;
use std::collections::HashSet;

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
    /// More than [`OFFERED_MAX`] certificates at once.
    #[error("more than {OFFERED_MAX} certificates are offered")]
    Many,
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
pub fn verify_link<'a, A: AsRef<[u8]>>(
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
        // Signatures last: they are what costs.
        let checked = check_dates(&anchor, at).and_then(|()| check_signature(&link, &anchor));
        match checked.and_then(|()| check_signature(&root, &root)) {
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

/// What somebody without the authorities' folder has. DER.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// The own certificate path, leaf first.
    pub path: &'a [Vec<u8>],
    /// Whom it trusts.
    pub anchors: &'a [Vec<u8>],
    /// The issuing CAs that it knows. `None` for those who keep none: clients.
    pub issuing: Option<&'a [Vec<u8>]>,
}

/// What the CAs of a profile or of a peer without the authorities' folder become.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnchorUpdate {
    /// All anchors from now on.
    pub anchors: Vec<Vec<u8>>,
    /// All issuing CAs from now on, for those who keep them.
    pub issuing: Vec<Vec<u8>>,
    /// How many of the anchors are new, those that replace an earlier certificate of theirs among them.
    pub added: usize,
    /// How many of the old anchors are gone, with no other certificate in their place.
    pub removed: usize,
}

/// Compares what somebody holds with the CA certificates that a peer offers, links among them.
///
/// Added are roots that a link introduces. A certificate that a trusted anchor's own key has made for the same name
/// (`chancery ca reissue` of an organization's own root) replaces the anchor's if it ends later, and so does an issuing
/// CA's of the same name, key and issuer.
///
/// Removed is a consortium's root that the peer does not list while it lists a later one that is trusted: so much a
/// peer may decide, but not in the call that adds a root, and only if nothing that the holder has needs the old one.
///
/// # Errors
///
/// [`RootUpdateError::Many`] if more than [`OFFERED_MAX`] certificates are offered.
pub fn update_anchors(
    held: Held<'_>,
    offered: &[Vec<u8>],
    consortium: &str,
    at: Time,
) -> Result<AnchorUpdate, RootUpdateError> {
    if offered.len() > OFFERED_MAX {
        return Err(RootUpdateError::Many);
    }
    let mut seen = HashSet::new();
    let offered: Vec<&Vec<u8>> = offered.iter().filter(|der| seen.insert(der.as_slice())).collect();
    let (mut roots, mut links, mut below) = (Vec::new(), Vec::new(), Vec::new());
    for der in &offered {
        let Ok(certificate) = Certificate::parse(der) else { continue };
        let ours = certificate.check_authority().is_ok_and(|scope| scope.consortium == consortium);
        if !ours || check_dates(&certificate, at).is_err() {
            continue;
        }
        match () {
            () if certificate.is_link() => links.push(certificate),
            () if certificate.is_self_issued() => roots.push(certificate),
            () => below.push((*der).clone()),
        }
    }
    // Of a name and key the certificate that ends last: a link is then compared with one root.
    let mut candidates: Vec<Certificate<'_>> = Vec::new();
    for root in roots.into_iter().filter(|root| check_signature(root, root).is_ok()) {
        match candidates.iter_mut().find(|other| is_same(other, &root)) {
            Some(other) if other.not_after() < root.not_after() => *other = root,
            Some(_) => {}
            None => candidates.push(root),
        }
    }
    let mut anchors = held.anchors.to_vec();
    let mut added = 0;
    for root in &candidates {
        for anchor in &mut anchors {
            if Certificate::parse(anchor).is_ok_and(|anchor| is_continued(&anchor, root)) {
                *anchor = root.x509().as_raw().to_vec();
                added += 1;
            }
        }
    }
    // A root may lead to the next one: from a root that was two rollovers behind.
    candidates.retain(|root| !anchors.iter().any(|anchor| is_same_as(anchor, root)));
    loop {
        let known = anchors.len();
        candidates.retain(|root| {
            let der = root.x509().as_raw();
            let introduced = anchors.len() < ANCHORS_MAX
                && links
                    .iter()
                    .filter(|link| is_same(link, root))
                    .any(|link| verify_root_update(der, link.x509().as_raw(), &anchors, consortium, at).is_ok());
            if introduced {
                anchors.push(der.to_vec());
            }
            !introduced
        });
        if anchors.len() == known {
            break;
        }
        added += anchors.len() - known;
    }
    let mut issuing = Vec::new();
    if let Some(kept) = held.issuing {
        issuing = update_issuing(kept, &below, &anchors, consortium);
    }
    let before = anchors.len();
    if added == 0 {
        remove_roots(held.path, &mut anchors, &issuing, &offered, at);
        issuing = acceptable(consortium, &anchors, &issuing).issuing;
    }
    Ok(AnchorUpdate { removed: before - anchors.len(), issuing, added, anchors })
}

/// The issuing CAs that are kept, and of those that are offered what an anchor certifies.
fn update_issuing(kept: &[Vec<u8>], offered: &[Vec<u8>], anchors: &[Vec<u8>], consortium: &str) -> Vec<Vec<u8>> {
    let organization = |der: &[u8]| Certificate::parse(der).ok().and_then(|ca| ca.check_authority().ok()?.organization);
    let mut all: Vec<Vec<u8>> = acceptable(consortium, anchors, kept).issuing;
    let new: Vec<Vec<u8>> = offered.iter().filter(|der| !all.contains(der)).cloned().collect();
    for der in acceptable(consortium, anchors, &new).issuing {
        let Ok(next) = Certificate::parse(&der) else { continue };
        let earlier = all.iter_mut().find(|other| {
            // Under each root that certifies it a CA has a certificate: paths lead through either.
            Certificate::parse(other).is_ok_and(|other| {
                let by_same = other.authority_key_identifier() == next.authority_key_identifier();
                is_same(&other, &next) && other.issuer() == next.issuer() && by_same
            })
        });
        if let Some(earlier) = earlier {
            if Certificate::parse(earlier).is_ok_and(|earlier| earlier.not_after() < next.not_after()) {
                *earlier = der;
            }
            continue;
        }
        let of = organization(&der);
        if all.iter().filter(|other| organization(other) == of).count() < ISSUING_PER_ORGANIZATION_MAX {
            all.push(der);
        }
    }
    all
}

/// Takes out the consortium's roots that a peer lists no more and that nothing needs. What needs a root is the holder's
/// own path, and each issuing CA that is valid and has no certificate under another anchor.
fn remove_roots(path: &[Vec<u8>], anchors: &mut Vec<Vec<u8>>, issuing: &[Vec<u8>], offered: &[&Vec<u8>], at: Time) {
    let begins = |der: &Vec<u8>| {
        let root = Certificate::parse(der).ok().filter(Certificate::is_self_issued)?;
        root.check_authority().ok().filter(|scope| scope.organization.is_none()).map(|_| root.not_before())
    };
    let is_listed = |der: &Vec<u8>| {
        offered.contains(&der)
            || Certificate::parse(der).is_ok_and(|root| {
                let others = offered.iter().filter_map(|other| Certificate::parse(other).ok());
                others.filter(Certificate::is_self_issued).any(|other| is_same(&other, &root))
            })
    };
    let Some(newest) = anchors.iter().filter(|der| is_listed(der)).filter_map(begins).max() else { return };
    let is_older = |der: &Vec<u8>| begins(der).is_some_and(|begin| begin < newest);
    let gone: Vec<Vec<u8>> = anchors.iter().filter(|der| is_older(der) && !is_listed(der)).cloned().collect();
    for root in gone {
        let rest: Vec<Vec<u8>> = anchors.iter().filter(|der| **der != root).cloned().collect();
        if verify_path(path, &rest, None, at, Usage::ClientAuth).is_ok() && are_certified(issuing, &rest, at) {
            *anchors = rest;
        }
    }
}

/// Whether each issuing CA that is valid has a certificate that one of the anchors vouches for.
fn are_certified(issuing: &[Vec<u8>], anchors: &[Vec<u8>], at: Time) -> bool {
    let (issuing, anchors) = (valid(issuing, at), valid(anchors, at));
    let good: Vec<&Certificate<'_>> =
        issuing.iter().filter(|ca| anchors.iter().any(|anchor| is_certified(ca, anchor))).collect();
    issuing.iter().all(|ca| good.iter().any(|other| is_same(ca, other)))
}

fn valid(ders: &[Vec<u8>], at: Time) -> Vec<Certificate<'_>> {
    let parsed = ders.iter().filter_map(|der| Certificate::parse(der).ok());
    parsed.filter(|ca| check_dates(ca, at).is_ok()).collect()
}

/// Whether two certificates are of one name and key.
fn is_same(one: &Certificate<'_>, other: &Certificate<'_>) -> bool {
    one.subject() == other.subject() && one.spki() == other.spki()
}

fn is_same_as(der: &[u8], other: &Certificate<'_>) -> bool {
    Certificate::parse(der).is_ok_and(|one| is_same(&one, other))
}

/// Whether it is a trusted anchor's next certificate: the same name and key, a later end, and no CAs below it that the
/// anchor did not allow. That its key has signed it and that it is valid was checked before.
fn is_continued(anchor: &Certificate<'_>, next: &Certificate<'_>) -> bool {
    let below = |ca: &Certificate<'_>| ca.path_length_max().unwrap_or(u32::MAX);
    anchor.is_self_issued()
        && is_same(anchor, next)
        && anchor.subject_key_identifier() == next.subject_key_identifier()
        && anchor.not_after() < next.not_after()
        && below(next) <= below(anchor)
}

/// Whether a CA certificate introduces one root by another: no anchor and no issuing CA.
pub fn is_link(der: &[u8]) -> bool {
    Certificate::parse(der).is_ok_and(|certificate| certificate.is_link())
}
