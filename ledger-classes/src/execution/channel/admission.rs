//! `participant.admit`: an address is bound to an identity by a certificate path, with the consent of both keys.

use super::paths::{path_fault, path_of, roots_of};
use super::{governance, pace, revocation};
use crate::action::channel::Admit;
use crate::execution::Context;
use crate::execution::assets;
use crate::execution::audit::{self, Act};
use crate::formats::detail::{Detail, Part, PathFault, Text};
use crate::formats::event::Event;
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::keys;
use crate::limits::ADDRESSES_MAX;
use crate::primitives::hash::HexBytes;
use crate::primitives::identity::Role;
use crate::state::keyspace;
use crate::state::participant::{KnownIdentity, Participant, certificate_key, possession_message};

pub(in crate::execution) fn admit(context: &mut Context<'_>, body: &Admit) -> Result<(), Refusal> {
    let path = path_of(context, &body.path, 1)?;
    if path.is_empty() {
        return reject(ResultCode::InvalidField, Detail::AtLeast { part: Part::Path, least: 1 });
    }
    // Addresses are public and each belongs to one identity: without its key's consent anybody with a certificate could
    // take a stranger's address for ever, or post an old admission again to undo a renewal. A key of small order would
    // give the consent of nobody.
    let consents = context.signers().iter().find(|key| key.address() == body.address);
    match consents.map(|key| key.check_registrable().map_err(|error| (*key, error))) {
        None => return reject(ResultCode::PossessionRefused, Detail::DidNotSign { address: body.address }),
        Some(Err((key, error))) => {
            let detail = Detail::KeyRefused { key, fault: error.into() };
            return reject(ResultCode::PossessionRefused, detail);
        }
        Some(Ok(())) => {}
    }
    let (config, certificates) = (context.config(), context.certificates());
    let rules = config.path_rules();
    let Some(organization) = certificates.claimed_organization(rules, path[0]) else {
        return reject(ResultCode::PathRefused, path_fault(PathFault::NoIdentity));
    };
    if !config.is_member(&organization) {
        return reject(ResultCode::PathRefused, Detail::NotAMember { organization: Text::from(&organization) });
    }
    // A root of one organization must not vouch for another's identity: its own roots alone are asked.
    let own = roots_of(context, Some(&organization));
    let refused = |refusal| Refusal::rejected(ResultCode::PathRefused, Detail::Path { refusal });
    let certified = certificates.verify(rules, &path, &own, context.time()).map_err(refused)?;
    let identity = certified.identity.clone();
    if identity.consortium() != config.consortium || identity.organization() != organization {
        return reject(ResultCode::PathRefused, Detail::NotAMember { organization: Text::from(&organization) });
    }
    if let Err(error) = certified.key.check_registrable() {
        return reject(ResultCode::PossessionRefused, Detail::KeyRefused { key: certified.key, fault: error.into() });
    }
    let message = possession_message(&context.channel(), &body.address);
    if !keys::verify(&certified.key, &message, &body.possession) {
        return reject(ResultCode::PossessionRefused, path_fault(PathFault::KeyDidNotSign));
    }
    let text = identity.to_string();
    revocation::check_admission(context, &certified)?;
    let key = keyspace::participant(&body.address);
    let before: Option<Participant> = context.get(&key)?;
    if before.as_ref().is_some_and(|record| record.identity != identity) {
        return reject(ResultCode::AddressIsTaken, Detail::OfAnotherIdentity { address: body.address });
    }
    assets::require_not_recovered(context, &body.address)?;
    let listed = keyspace::identity_address(&text, &body.address);
    let place = keyspace::identity(&text);
    let mut known: KnownIdentity = context.get(&place)?.unwrap_or_default();
    // Revoked ones do not count: whoever had the key for a while would else leave no room for its owner.
    if before.as_ref().is_none_or(|record| record.revoked_height.is_some()) {
        if known.addresses.len() >= ADDRESSES_MAX {
            return reject(
                ResultCode::InvalidField,
                Detail::AtMost { part: Part::IdentityAddresses, most: ADDRESSES_MAX as u64 },
            );
        }
        known.addresses.push(body.address);
    }
    let serial = HexBytes(certified.serial);
    let participant = Participant {
        identity: identity.clone(),
        serial: serial.clone(),
        issuer: certified.issuer,
        key: certificate_key(&certified.key),
        authorities: certified.authorities,
        above: certified.above,
        not_after: certified.not_after,
        admitted_height: context.height(),
        revoked_height: None,
        revoked_before: before.as_ref().and_then(|record| record.revoked_height.or(record.revoked_before)),
    };
    let noted = identity.role() == Role::Admin && governance::note_administrator(context, &identity, body.address)?;
    // Admissions are free, also where nothing else is: one that changes nothing must not fill blocks.
    let admission = participant.admission();
    let same = before.as_ref().is_some_and(|before| before.revoked_height.is_none() && before.admission() == admission);
    if same && !noted {
        return reject(ResultCode::AddressIsTaken, Detail::AdmittedAlready { address: body.address });
    }
    // So must two by turns, each of which changes something: what another has replaced stays so while that one is good.
    let admitted = keyspace::admitted_by(&body.address, &admission);
    let stands = context.members().standing(context, before.as_ref(), context.time())?.is_ok();
    if !same && stands && context.get_value(&admitted)?.is_some() {
        return reject(ResultCode::AddressIsTaken, Detail::AdmittedBefore { address: body.address });
    }
    pace::spend(context, pace::Kind::Admission, identity.organization())?;
    context.put_value(admitted, [1u8].as_slice().into());
    context.put(place, &known);
    context.put(key, &participant);
    revocation::note_admission(context, body.address, before.as_ref(), &participant)?;
    context.put_value(listed, [1u8].as_slice().into());
    let (address, not_after) = (body.address, certified.not_after);
    let (who, admitted) = (identity.clone(), serial.clone());
    context.emit(Event::ParticipantAdmitted { address, identity, serial, not_after })?;
    audit::record(context, &Act::Admit { who: &who, certificate: &admitted, address, not_after })
}
