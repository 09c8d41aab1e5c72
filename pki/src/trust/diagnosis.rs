//! Which fault the ledger is told of a participant's path that is refused (docs/formats/certificates.md): the order of the
//! path rules' first version.
//!
//! A path may have several faults, and libraries, and releases of one, find them in different orders. Which one was told is
//! hashed, so the order is a rule of ours: nothing here asks the path library, and what it said does not matter.
//!
//! What is good is hashed, too. So of a path that the library takes what the library alone has looked at is looked at here
//! again (`recheck`): a release that takes more changes nothing. That a name lies within a CA's name constraints is the
//! library's word alone.

use crate::{
    trust::{
        path::{Usage, check_binding, check_usage},
        validation::{PathError, check_links, has_name_constraints, read},
    },
    x509::{
        algorithms::{self, PROFILE_ALGORITHMS},
        certificate::Certificate,
    },
};
use ledger_classes::formats::detail::{PathFault, PathRefusal};
use ledger_classes::limits::CERTIFICATE_PATH_MAX;
use ledger_classes::primitives::time::Time;

/// The first fault of a path that [`crate::verify_participant`] refuses under the same roots at the same time.
pub fn path_fault(path: &[&[u8]], roots: &[&[u8]], at: Time) -> PathRefusal {
    first_fault(path, roots, at).err().unwrap_or_else(|| PathFault::NotAcceptable.into())
}

/// Stops at the first; a path without one of these is refused for something that has no number.
fn first_fault(path: &[&[u8]], roots: &[&[u8]], at: Time) -> Result<(), PathRefusal> {
    let told = |error: PathError| PathRefusal::from(&error);
    let (leaf, rest) = path.split_first().ok_or(PathFault::Empty)?;
    if path.len() > CERTIFICATE_PATH_MAX {
        return Err(PathFault::Length.into());
    }
    let profile = |position| move |source| PathError::Profile { position, source };
    let leaf = read(leaf, PROFILE_ALGORITHMS).map_err(profile(0)).map_err(told)?;
    let facts = leaf.check_leaf().map_err(profile(0)).map_err(told)?;
    check_usage(&facts, Usage::Participant).map_err(told)?;

    let given: Vec<&[u8]> = rest.iter().copied().take_while(|der| !roots.contains(der)).collect();
    let way = way(leaf, &given, roots)?;
    check_links(&way, at).map_err(told)?;
    for (position, (child, parent)) in way.iter().zip(way.iter().skip(1)).enumerate() {
        check_signature(child, parent).map_err(|error| PathRefusal::at(told(error).fault, position))?;
    }
    check_purposes(&way).map_err(told)?;
    let mut scopes = Vec::new();
    for (position, certificate) in way.iter().enumerate().skip(1) {
        scopes.push(certificate.check_authority().map_err(profile(position)).map_err(told)?);
    }
    check_binding(&facts.identity, scopes.iter()).map_err(told)?;
    if way.iter().skip(1).any(Certificate::is_link) {
        return Err(PathFault::Link.into());
    }
    if way.iter().skip(1).any(has_name_constraints) {
        return Err(PathFault::NameConstraint.into());
    }
    Ok(())
}

/// From the leaf to a root. At each certificate it goes on to the one whose name and key it names, to a root before the next
/// one of the path; where neither has that key, to one that has the name.
fn way<'a>(leaf: Certificate<'a>, given: &[&'a [u8]], roots: &[&'a [u8]]) -> Result<Vec<Certificate<'a>>, PathRefusal> {
    let readable = roots.iter().filter_map(|der| Certificate::parse(der).ok().map(|root| (*der, root)));
    let is_anchor = |(der, root): &(&[u8], Certificate<'_>)| {
        root.check_authority().is_ok() && !root.is_link() && read(der, PROFILE_ALGORITHMS).is_ok()
    };
    let (mut anchors, others): (Vec<_>, Vec<_>) = readable.partition(is_anchor);
    let mut way = vec![leaf];
    loop {
        let (position, last) = (way.len(), &way[way.len() - 1]);
        let has_name = |certificate: &Certificate<'_>| certificate.subject() == last.issuer();
        let has_key = |certificate: &Certificate<'_>| {
            has_name(certificate) && certificate.subject_key_identifier() == last.authority_key_identifier()
        };
        if let Some(place) = anchors.iter().position(|(_, root)| has_key(root)) {
            way.push(anchors.swap_remove(place).1);
            return Ok(way);
        }
        let next = match given.get(position - 1) {
            None => None,
            Some(der) => {
                let certificate = read(der, PROFILE_ALGORITHMS).and_then(|next| next.check_authority().map(|_| next));
                Some(certificate.map_err(|source| PathRefusal::from(&PathError::Profile { position, source }))?)
            }
        };
        match (next, anchors.iter().position(|(_, root)| has_name(root))) {
            (Some(next), _) if has_key(&next) => way.push(next),
            (_, Some(place)) => {
                way.push(anchors.swap_remove(place).1);
                return Ok(way);
            }
            (Some(next), None) if has_name(&next) => way.push(next),
            _ => {
                let later = given.iter().skip(position).filter_map(|der| Certificate::parse(der).ok());
                let fault = if later.into_iter().any(|certificate| has_name(&certificate)) {
                    PathFault::Order
                } else if others.iter().any(|(_, root)| has_name(root)) {
                    PathFault::Anchor
                } else {
                    PathFault::UnknownIssuer
                };
                return Err(fault.into());
            }
        }
    }
}

/// Of a path that the library has found, leaf first and the root last, what only the library has looked at.
pub(crate) fn recheck(path: &[Certificate<'_>]) -> Result<(), PathError> {
    path.iter().zip(path.iter().skip(1)).try_for_each(|(child, parent)| check_signature(child, parent))?;
    check_purposes(path)
}

/// RFC 5280 §4.2.1.12: a CA between leaf and root that names purposes names this one. A root is trusted for what its channel
/// lists it for: what its own certificate says of purposes binds nobody (§6.2), or which of two certificates of one root is
/// met first would decide.
fn check_purposes(path: &[Certificate<'_>]) -> Result<(), PathError> {
    let for_others = |ca: &Certificate<'_>| ca.extended_key_usage().is_some_and(|purposes| !purposes.client_auth);
    if path.iter().skip(1).rev().skip(1).any(for_others) { Err(PathError::Usage) } else { Ok(()) }
}

/// RFC 5280 §6.1.3 (a)(1).
fn check_signature(child: &Certificate<'_>, parent: &Certificate<'_>) -> Result<(), PathError> {
    let (signed, key) = (child.x509(), parent.x509().public_key());
    let (identifier, message) = (&signed.signature_algorithm, signed.tbs_certificate.as_ref());
    if !algorithms::fits(PROFILE_ALGORITHMS, key, identifier) {
        return Err(PathError::Algorithm);
    }
    match algorithms::verify(PROFILE_ALGORITHMS, key, identifier, message, &signed.signature_value.data) {
        true => Ok(()),
        false => Err(PathError::Signature),
    }
}
