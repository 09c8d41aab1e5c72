//! What ends a participation, and what a channel keeps of it.
//!
//! A CA's word is kept by the CA's key and the serial number, whether or not the channel has met the certificate: it tells
//! nobody's name, and whoever comes with that certificate later is refused. An administrator's word is kept by identity and
//! serial number, as an organization knows its people, and ends what the channel knows under that name: by a CA's key
//! an administrator could end what is another organization's where both have the same root. Without a serial number it ends
//! the identity: all that is admitted under that name, and all that comes, until an administrator reinstates it.
//! Where the CA says that the key was compromised, whatever that CA has certified of the key ends and stays out.
//! All that one action touches is bounded by [`ADDRESSES_MAX`], which admissions keep. What ends rights that the channel
//! knows of never waits; what only adds to what it keeps has a pace ([`super::pace`]).

use super::super::Context;
use super::super::audit::{self, Act, Who};
use super::governance::administrator;
use super::pace::{self, Kind};
use super::paths::{path_fault, path_of, roots_of};
use crate::action::channel::{Reinstate, Revoke, RevokeByEvidence};
use crate::formats::detail::{Detail, Part, Party, PathFault, Revoked, Text};
use crate::formats::event::Event;
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::keys::Address;
use crate::limits::{ADDRESSES_MAX, CERTIFICATES_ENDED_MAX, MEMO_BYTES_MAX, OCSP_BYTES_MAX};
use crate::primitives::hash::{Hash, HexBytes};
use crate::primitives::identity::Identity;
use crate::state::keyspace;
use crate::state::participant::{
    CertificateHolder, CertificateKey, CertificateName, CertifiedIdentity, KnownCertificate, KnownIdentity,
    NamedCertificate, Participant, certificate_key,
};
use crate::state::record;
use crate::state::view;

pub(in super::super) fn revoke(context: &mut Context<'_>, body: &Revoke) -> Result<(), Refusal> {
    let Revoke { identity, serial, reason } = body;
    // With a zero before it a number reads the same to people, and is no certificate's here.
    let is_number = |serial: &HexBytes| serial.0.len() <= 20 && serial.0.first().is_some_and(|first| *first != 0);
    if !serial.as_ref().is_none_or(is_number) {
        return reject(ResultCode::InvalidField, Detail::Between { part: Part::Serial, least: 1, most: 20 });
    }
    check_reason(reason)?;
    let administrator = administrator_of(context, identity)?;
    match serial {
        Some(serial) => revoke_certificate(context, &administrator, identity, serial, reason),
        None => end_identity(context, &administrator, identity, reason),
    }
}

/// The sender, as an administrator of an identity's organization.
fn administrator_of(context: &Context<'_>, identity: &Identity) -> Result<Identity, Refusal> {
    let administrator = administrator(context)?;
    match administrator.organization() == identity.organization() {
        true => Ok(administrator),
        false => reject(ResultCode::OtherOrganization, Detail::Only { party: Party::OwnOrganization }),
    }
}

/// Refuses a reason that is too long.
pub(super) fn check_reason(reason: &str) -> Result<(), Refusal> {
    match reason.len() > MEMO_BYTES_MAX {
        true => reject(ResultCode::InvalidField, Detail::AtMost { part: Part::Reason, most: MEMO_BYTES_MAX as u64 }),
        false => Ok(()),
    }
}

fn revoke_certificate(
    context: &mut Context<'_>,
    administrator: &Identity,
    identity: &Identity,
    serial: &HexBytes,
    reason: &str,
) -> Result<(), Refusal> {
    let key = keyspace::named_certificate(&identity.to_string(), &serial.0);
    let mut named: NamedCertificate = context.get(&key)?.unwrap_or_default();
    let mut good = Vec::new();
    for issuer in &named.issuers {
        let certificate = CertificateName { issuer: *issuer, serial: serial.clone() };
        good.extend(known(context, &certificate)?.filter(|known| known.revoked_height.is_none()).map(|_| certificate));
    }
    if named.revoked_height.is_some() || !named.issuers.is_empty() && good.is_empty() {
        return reject(ResultCode::CertificateIsRevoked, Detail::PLAIN);
    }
    named.revoked_height = Some(context.height());
    context.put(key, &named);
    if good.is_empty() {
        pace::spend(context, Kind::NamedAct, identity.organization())?;
        tell(context, Some(identity), None, serial, reason)?;
    }
    for certificate in good {
        end(context, &certificate, false)?;
        tell(context, Some(identity), Some(certificate.issuer), serial, reason)?;
    }
    let (who, identity) = (Who::Participant(administrator), Some(identity));
    audit::record(context, &Act::Revoke { who, why: reason, identity, serial, also: &[] })
}

/// Ends whatever an identity is admitted with, which [`ADDRESSES_MAX`] bounds, and keeps it out.
fn end_identity(
    context: &mut Context<'_>,
    administrator: &Identity,
    identity: &Identity,
    reason: &str,
) -> Result<(), Refusal> {
    let place = keyspace::identity(&identity.to_string());
    let known: Option<KnownIdentity> = context.get(&place)?;
    if known.as_ref().is_some_and(KnownIdentity::is_ended) {
        return reject(ResultCode::IdentityIsEnded, Detail::PLAIN);
    }
    if known.is_none() {
        pace::spend(context, Kind::NamedAct, identity.organization())?;
    }
    let mut told: Vec<(Hash, HexBytes)> = Vec::new();
    for address in known.unwrap_or_default().addresses {
        let place = keyspace::participant(&address);
        let Some(mut participant) = context.get::<Participant>(&place)? else { continue };
        participant.revoked_height = Some(context.height());
        context.put(place, &participant);
        unbind(context, &participant, &address)?;
        let certificate = (participant.issuer, participant.serial);
        if !told.contains(&certificate) {
            tell(context, Some(identity), Some(certificate.0), &certificate.1, reason)?;
            told.push(certificate);
        }
    }
    // Also those that it had before, renewed since: once it is reinstated none of them comes back, not to read either.
    let prefix = keyspace::named_certificate(&identity.to_string(), &[]);
    for (place, value) in view::scan(context, &prefix, &prefix, CERTIFICATES_ENDED_MAX)? {
        let mut named: NamedCertificate = record::from_value(&value)?;
        if named.admitted_height.is_some() && named.revoked_height.is_none() {
            named.revoked_height = Some(context.height());
            context.put(place, &named);
        }
    }
    let ended = KnownIdentity { addresses: Vec::new(), ended_height: Some(context.height()), reinstated: false };
    context.put(place, &ended);
    let (by, text) = (context.acting(), reason.to_owned());
    context.emit(Event::ParticipantEnded { identity: identity.clone(), reason: text, by })?;
    audit::record(context, &Act::End { who: administrator, why: reason, identity })
}

pub(in super::super) fn reinstate(context: &mut Context<'_>, body: &Reinstate) -> Result<(), Refusal> {
    let Reinstate { identity, reason } = body;
    check_reason(reason)?;
    let administrator = administrator_of(context, identity)?;
    let place = keyspace::identity(&identity.to_string());
    let known: KnownIdentity = context.get(&place)?.unwrap_or_default();
    if !known.is_ended() {
        return reject(ResultCode::ParticipantUnknown, Detail::NotEnded {});
    }
    // What is admitted in that block could not be told from what ended in it.
    if known.ended_height == Some(context.height()) {
        return reject(ResultCode::IdentityIsEnded, Detail::EndedInThisBlock {});
    }
    // Not what naming spends: who ends people by a stolen key would keep them from coming back.
    pace::spend(context, Kind::Admission, identity.organization())?;
    context.put(place, &KnownIdentity { reinstated: true, ..known });
    let (by, text) = (context.acting(), reason.to_owned());
    context.emit(Event::ParticipantReinstated { identity: identity.clone(), reason: text, by })?;
    audit::record(context, &Act::Reinstate { who: &administrator, why: reason, identity })
}

/// An address is bound by its certificate's key no more, and makes room.
fn unbind(context: &mut Context<'_>, participant: &Participant, address: &Address) -> Result<(), Refusal> {
    let place = keyspace::certificate_key(&participant.issuer, &participant.key);
    if let Some(mut key) = context.get::<CertificateKey>(&place)? {
        key.addresses.retain(|other| other != address);
        match key == CertificateKey::default() {
            true => context.remove(place),
            false => context.put(place, &key),
        }
    }
    Ok(())
}

/// A revocation at a CA, brought here by anybody: the answer that the CA signed decides, never who posts it.
pub(in super::super) fn revoke_by_evidence(context: &mut Context<'_>, body: &RevokeByEvidence) -> Result<(), Refusal> {
    // By the roots of all, and then by those of the CA's organization.
    let path = path_of(context, &body.path, 2)?;
    if body.evidence.0.is_empty() || body.evidence.0.len() > OCSP_BYTES_MAX {
        return reject(
            ResultCode::InvalidField,
            Detail::Between { part: Part::Evidence, least: 1, most: OCSP_BYTES_MAX as u64 },
        );
    }
    let (certificates, rules) = (context.certificates(), context.config().path_rules());
    let refused = |refusal| Refusal::rejected(ResultCode::PathRefused, Detail::Path { refusal });
    let judge = |roots: &[&[u8]]| certificates.revocation(rules, &path, &body.evidence.0, roots).map_err(refused);
    let mut revoked = judge(&roots_of(context, None))?;
    if let Some(organization) = revoked.organization.clone() {
        if !context.config().is_member(&organization) {
            return reject(ResultCode::PathRefused, Detail::NotAMember { organization: Text::from(&organization) });
        }
        // As in an admission: only what the organization itself lists speaks for its CAs.
        revoked = judge(&roots_of(context, Some(&organization)))?;
    }
    let before = known(context, &revoked.certificate)?.unwrap_or_default();
    // That the key was compromised is news about a certificate that was revoked for less.
    if before.revoked_height.is_some() && (before.compromised || !revoked.cause.is_compromise()) {
        return reject(ResultCode::CertificateIsRevoked, Detail::PLAIN);
    }
    if before.holder.is_none() && before.revoked_height.is_none() {
        // The root is no organization's: none, also of the consortium's name, spends what is its own.
        pace::spend(context, Kind::UnmetRevocation, revoked.organization.as_deref().unwrap_or_default())?;
    }
    let whose = revoked.organization.as_deref().unwrap_or(&context.config().consortium).to_owned();
    let CertificateName { issuer, serial } = &revoked.certificate;
    let others = end(context, &revoked.certificate, revoked.cause.is_compromise())?;
    let identity = before.holder.as_ref().map(|holder| &holder.identity);
    tell(context, identity, Some(*issuer), serial, revoked.cause.name())?;
    for (identity, serial) in &others {
        tell(context, Some(identity), Some(*issuer), serial, revoked.cause.name())?;
    }
    let also: Vec<HexBytes> = others.into_iter().map(|(_, serial)| serial).take(audit::CHANGES_TOLD_MAX).collect();
    let who = Who::Authority(vec![&whose]);
    audit::record(context, &Act::Revoke { who, why: revoked.cause.name(), identity, serial, also: &also })
}

fn known(context: &Context<'_>, certificate: &CertificateName) -> Result<Option<KnownCertificate>, Refusal> {
    context.get(&keyspace::certificate(&certificate.issuer, &certificate.serial.0))
}

fn tell(
    context: &mut Context<'_>,
    identity: Option<&Identity>,
    issuer: Option<Hash>,
    serial: &HexBytes,
    reason: &str,
) -> Result<(), Refusal> {
    let (identity, serial, reason, by) = (identity.cloned(), serial.clone(), reason.to_owned(), context.acting());
    context.emit(Event::ParticipantRevoked { identity, issuer, serial, reason, by })
}

/// Records a revocation and ends what the certificate admitted. Returns the other certificates of its key that ended
/// with it, if the key was compromised.
fn end(
    context: &mut Context<'_>,
    certificate: &CertificateName,
    compromised: bool,
) -> Result<Vec<(Identity, HexBytes)>, Refusal> {
    let CertificateName { issuer, serial } = certificate;
    let Some(holder) = mark(context, issuer, serial, compromised)? else { return Ok(Vec::new()) };
    let place = keyspace::certificate_key(issuer, &holder.key);
    let mut key: CertificateKey = context.get(&place)?.unwrap_or_default();
    if compromised {
        key.compromised_height = key.compromised_height.or(Some(context.height()));
    }
    let mut others: Vec<(Identity, HexBytes)> = Vec::new();
    // Who is revoked makes room for the next admission of the key, and of the identity.
    for address in std::mem::take(&mut key.addresses) {
        let place = keyspace::participant(&address);
        let Some(mut participant) = context.get::<Participant>(&place)? else { continue };
        if participant.revoked_height.is_some() {
            continue;
        }
        let same = participant.serial == *serial;
        if !(same || compromised) {
            key.addresses.push(address);
            continue;
        }
        participant.revoked_height = Some(context.height());
        context.put(place, &participant);
        let place = keyspace::identity(&participant.identity.to_string());
        let mut known: KnownIdentity = context.get(&place)?.unwrap_or_default();
        known.addresses.retain(|other| *other != address);
        context.put(place, &known);
        if !same && others.iter().all(|(_, other)| *other != participant.serial) {
            mark(context, issuer, &participant.serial, true)?;
            others.push((participant.identity, participant.serial));
        }
    }
    match key == CertificateKey::default() {
        true => context.remove(place),
        false => context.put(place, &key),
    }
    Ok(others)
}

/// Records that a certificate is revoked; whose it is, if the channel knows.
fn mark(
    context: &mut Context<'_>,
    issuer: &Hash,
    serial: &HexBytes,
    compromised: bool,
) -> Result<Option<CertificateHolder>, Refusal> {
    let place = keyspace::certificate(issuer, &serial.0);
    let mut known: KnownCertificate = context.get(&place)?.unwrap_or_default();
    known.revoked_height = known.revoked_height.or(Some(context.height()));
    known.compromised |= compromised;
    context.put(place, &known);
    Ok(known.holder)
}

/// Refuses the admission of a certificate that was revoked here, by its CA or its organization, or whose key or path was.
pub(super) fn check_admission(context: &Context<'_>, certified: &CertifiedIdentity) -> Result<(), Refusal> {
    let refuse = |what: Revoked| reject(ResultCode::CertificateIsRevoked, Detail::WasRevoked { what });
    let is_revoked = |issuer: &Hash, serial: &[u8]| -> Result<bool, Refusal> {
        let known: Option<KnownCertificate> = context.get(&keyspace::certificate(issuer, serial))?;
        Ok(known.is_some_and(|known| known.revoked_height.is_some()))
    };
    let CertifiedIdentity { identity, serial, issuer, key, above, .. } = certified;
    let text = identity.to_string();
    let known: KnownIdentity = context.get(&keyspace::identity(&text))?.unwrap_or_default();
    if known.is_ended() {
        let organization = identity.organization().into();
        return reject(ResultCode::IdentityIsEnded, Detail::EndedBy { organization });
    }
    let named: Option<NamedCertificate> = context.get(&keyspace::named_certificate(&text, serial))?;
    // Whoever had it when the identity ended has it still.
    let ended_with = |named: &NamedCertificate| {
        known.ended_height.is_some_and(|ended| named.admitted_height.is_some_and(|admitted| admitted <= ended))
    };
    let by_name = named.is_some_and(|named| named.revoked_height.is_some() || ended_with(&named));
    if is_revoked(issuer, serial)? || by_name {
        return refuse(Revoked::Certificate);
    }
    for authority in above {
        if is_revoked(&authority.issuer, &authority.serial.0)? {
            return refuse(Revoked::Authority);
        }
    }
    let key: Option<CertificateKey> = context.get(&keyspace::certificate_key(issuer, &certificate_key(key)))?;
    match key.is_some_and(|key| key.compromised_height.is_some()) {
        true => refuse(Revoked::Key),
        false => Ok(()),
    }
}

/// Notes by which certificate an address is bound from here on, so that a revocation finds it.
pub(super) fn note_admission(
    context: &mut Context<'_>,
    address: Address,
    before: Option<&Participant>,
    now: &Participant,
) -> Result<(), Refusal> {
    let bound = |participant: &Participant| keyspace::certificate_key(&participant.issuer, &participant.key);
    let place = bound(now);
    if let Some(before) = before.filter(|before| bound(before) != place) {
        unbind(context, before, &address)?;
    }
    let mut key: CertificateKey = context.get(&place)?.unwrap_or_default();
    if !key.addresses.contains(&address) {
        if key.addresses.len() >= ADDRESSES_MAX {
            return reject(
                ResultCode::InvalidField,
                Detail::AtMost { part: Part::KeyAddresses, most: ADDRESSES_MAX as u64 },
            );
        }
        key.addresses.push(address);
        context.put(place, &key);
    }
    let holder = CertificateHolder { identity: now.identity.clone(), key: now.key };
    let place = keyspace::certificate(&now.issuer, &now.serial.0);
    let known: Option<KnownCertificate> = context.get(&place)?;
    // RFC 5280 §4.1.2.2: a CA gives each certificate a number of its own. By a second one of that number the first would be
    // forgotten, and no revocation find it.
    if known.and_then(|known| known.holder).is_some_and(|known| known != holder) {
        return reject(ResultCode::PathRefused, path_fault(PathFault::NumberTaken));
    }
    let known = KnownCertificate { holder: Some(holder), revoked_height: None, compromised: false };
    context.put(place, &known);
    let place = keyspace::named_certificate(&now.identity.to_string(), &now.serial.0);
    let mut named: NamedCertificate = context.get(&place)?.unwrap_or_default();
    named.admitted_height = named.admitted_height.or(Some(context.height()));
    if !named.issuers.contains(&now.issuer) {
        if named.issuers.len() >= ADDRESSES_MAX {
            return reject(ResultCode::InvalidField, Detail::AtMost { part: Part::Issuers, most: 64 });
        }
        named.issuers.push(now.issuer);
        context.put(place, &named);
    }
    Ok(())
}
