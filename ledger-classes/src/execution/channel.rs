//! Actions on the channel itself: admission and revocation of participants, and configuration changes with the
//! approvals of a policy, by which recoveries are decided as well.

pub(super) mod authority;
mod governance;
mod pace;
mod proposals;
mod queries;
mod revocation;

#[cfg(test)]
pub(super) use authority::KnownAuthority;
#[cfg(test)]
pub(super) use governance::Administrators;
pub use governance::approvals_needed;
#[cfg(test)]
pub(super) use pace::Pace;
pub use proposals::{Approval, Proposal, ProposalState, Subject};
pub(super) use proposals::{Membership, approve, propose, put_forward, withdraw};
pub(crate) use queries::changes;
pub use queries::{NamedParticipant, NamedProposal, open_proposals, participants, proposal};
pub(super) use revocation::{reinstate, revoke, revoke_by_evidence};

use super::audit::{self, Act};
use super::{ConfigRecord, Context, budget, configuration};
use crate::action::channel::Admit;
use crate::formats::config::ConfigChange;
use crate::formats::detail::{Detail, Part, Party, PathFault, Text};
use crate::formats::event::Event;
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::keys;
use crate::limits::{ADDRESSES_MAX, CERTIFICATE_BYTES_MAX, CERTIFICATE_PATH_MAX};
use crate::primitives::hash::{Hash, HexBytes};
use crate::primitives::identity::{Identity, Role};
use crate::state::keyspace;
use crate::state::participant::{KnownIdentity, Participant, certificate_key, possession_message};

/// A path that may be verified, so many times.
fn path_of<'p>(context: &Context<'_>, path: &'p [HexBytes], times: u64) -> Result<Vec<&'p [u8]>, Refusal> {
    let oversize = |der: &HexBytes| der.0.len() > CERTIFICATE_BYTES_MAX;
    if path.len() > CERTIFICATE_PATH_MAX || path.iter().any(oversize) {
        return reject(ResultCode::InvalidField, Detail::AtMost { part: Part::Path, most: 5 });
    }
    context.work(times * budget::PATH_PART * (path.len() as u64 + 1));
    Ok(path.iter().map(|der| der.0.as_slice()).collect())
}

/// The CA certificates that a member organization is judged by; all of the channel's for `None`.
fn roots_of<'a>(context: &Context<'a>, organization: Option<&str>) -> Vec<&'a [u8]> {
    let organizations = context.config().organizations.iter();
    let wanted = organizations.filter(|member| organization.is_none_or(|name| member.name == name));
    let roots: Vec<&[u8]> = wanted.flat_map(|member| member.authorities.iter().map(|der| der.0.as_slice())).collect();
    context.work(budget::CERTIFICATE * roots.len() as u64);
    roots
}

/// A fault that the channel finds in what was shown of certificates.
fn path_fault(fault: PathFault) -> Detail {
    Detail::Path { refusal: fault.into() }
}

pub(super) fn admit(context: &mut Context<'_>, body: &Admit) -> Result<(), Refusal> {
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
    super::assets::require_not_recovered(context, &body.address)?;
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

/// The sender as an administrator: a participant with role `admin`. The right was checked by the caller.
pub(super) fn administrator(context: &Context<'_>) -> Result<Identity, Refusal> {
    match context.participant() {
        Some(identity) if identity.role() == Role::Admin => Ok(identity.clone()),
        _ => reject(ResultCode::NoRight, Detail::Only { party: Party::Administrator }),
    }
}

/// Sets the configuration for the blocks after this one, and tells light clients. Returns the first height that it
/// rules.
fn take_effect(context: &mut Context<'_>, record: &ConfigRecord, cause: Hash) -> Result<u64, Refusal> {
    // Who comes back later is as new: nobody of it can be admitted before.
    let current = context.config();
    for left in current.organizations.iter().filter(|member| !record.config.is_member(&member.name)) {
        context.remove(keyspace::administrators(&left.name));
        context.remove(keyspace::membership(&left.name));
        proposals::forget(context, &left.name)?;
    }
    let since = context.height();
    for member in &record.config.organizations {
        let before = current.organizations.iter().find(|before| before.name == member.name);
        let Some(before) = before else {
            context.put(keyspace::membership(&member.name), &Membership { since });
            continue;
        };
        // So is who has no CA any more: nobody of it can be admitted before it has another.
        if member.authorities.is_empty() && !before.authorities.is_empty() {
            context.remove(keyspace::administrators(&member.name));
            context.put(keyspace::membership(&member.name), &Membership { since });
            proposals::forget(context, &member.name)?;
        }
    }
    let (configuration, writes) = configuration::writes_of(record, current.rules);
    writes.into_iter().for_each(|(key, value)| context.put_value(key, value));
    let height = context.height() + 1;
    context.emit(Event::ChannelConfigured { proposal: cause, height, configuration })?;
    Ok(height)
}

/// The configuration to change. One change takes effect with a block: of two, one would be told by an event and never rule.
fn unchanged(context: &Context<'_>) -> Result<ConfigRecord, Refusal> {
    let record = super::config_of(context)?;
    if record.height == context.height() {
        return reject(ResultCode::ConfigurationInvalid, Detail::AnotherChange {});
    }
    Ok(record)
}

/// The configuration after `changes`, checked.
fn changed(context: &Context<'_>, changes: &[ConfigChange]) -> Result<ConfigRecord, Refusal> {
    let record = unchanged(context)?;
    let mut config = record.config.clone();
    for change in changes {
        governance::check_change(context, change)?;
        change.apply(&mut config);
    }
    // Each is kept for ever.
    if config == record.config {
        return reject(ResultCode::ConfigurationInvalid, Detail::NoChange {});
    }
    governance::check(context, &config)?;
    Ok(record.followed_by(config, context.height()))
}

#[cfg(test)]
mod approval_tests;
#[cfg(test)]
mod authority_tests;
#[cfg(test)]
mod ending_tests;
#[cfg(test)]
mod governance_tests;
#[cfg(test)]
mod proposal_tests;
#[cfg(test)]
mod repair_tests;
#[cfg(test)]
mod revocation_tests;
#[cfg(test)]
mod standing_tests;
#[cfg(test)]
mod succession_tests;
#[cfg(test)]
mod tests;
