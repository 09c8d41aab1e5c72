//! What a change of configuration must leave behind: a channel that can be changed again, and that its ordering peer
//! can go on with. It is judged at the proposal and again when the change takes effect, from the ledger alone.
//!
//! An organization counts if it may administer and has a CA. If its administrators have been on the channel, one of them
//! must be there now, admitted by a certificate of a CA that stays, told by its key: who was revoked or has expired comes back by an admission, which needs nobody's approval, and before
//! the change. An organization that has never had one counts, or none could be added. The administrators that were
//! admitted last are looked at, so that no number of them makes this dear or blind.

use super::super::{Context, budget, standing};
use crate::codec::{Decode, Encode};
use crate::config::{ChannelConfig, Organization};
use crate::hash::Hash;
use crate::identity::Identity;
use crate::keys::Address;
use crate::keyspace;
use crate::limits::ADMINISTRATORS_KNOWN_MAX;
use crate::outcome::{Refusal, ResultCode, reject};
use crate::participant::Participant;
use crate::record::Record;
use crate::rights::Right;
use std::collections::BTreeSet;

/// Refuses a configuration that must not follow the one in force.
pub(super) fn check(context: &Context<'_>, next: &ChannelConfig) -> Result<(), Refusal> {
    let refuse = |what: String| reject(ResultCode::ConfigurationInvalid, what);
    if let Err(error) = next.check().and_then(|()| next.check_governable()) {
        return refuse(error.to_string());
    }
    let current = context.config();
    if let Some(peer) = current.peers.iter().find(|peer| !next.peers.contains(peer)) {
        let what =
            "orders this channel, and several peers are not there yet: without it and its key the channel would halt";
        return refuse(format!("{} {what}", peer.identity));
    }
    for member in &next.organizations {
        let known = current.organizations.iter().find(|known| known.name == member.name);
        check_authorities(context, next, known, member)?;
    }
    let needed = next.approvals.needed(next.organizations.len());
    let (mut able, mut gone) = (0, Vec::new());
    for member in next.organizations.iter().filter(|member| next.can_administer(&member.name)) {
        if is_there(context, next, member)? {
            able += 1;
        } else {
            gone.push(member.name.as_str());
        }
    }
    if able < needed {
        return refuse(format!(
            "nobody could change it again: {needed} organizations must approve, and no administrator with the right \
             is on this channel at present, by a certificate of a CA that is listed then, from {}: one who has it is \
             admitted first",
            gone.join(", ")
        ));
    }
    Ok(())
}

/// A CA that can vouch for nobody would leave its organization without administrators.
fn check_authorities(
    context: &Context<'_>,
    next: &ChannelConfig,
    known: Option<&Organization>,
    member: &Organization,
) -> Result<(), Refusal> {
    let new = member.authorities.iter().filter(|der| known.is_none_or(|known| !known.authorities.contains(der)));
    for der in new {
        context.work(budget::CERTIFICATE);
        if let Err(why) = context.certificates().authority(&der.0, &next.consortium, &member.name) {
            return reject(ResultCode::ConfigurationInvalid, format!("a CA certificate of {}: {why}", member.name));
        }
    }
    Ok(())
}

/// An organization's administrators, as far as they are looked at. An organization that leaves has none any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(super) struct Administrators {
    /// Those that were admitted last, in this order: at most [`ADMINISTRATORS_KNOWN_MAX`].
    pub(super) known: Vec<KnownAdministrator>,
}

impl Record for Administrators {}

/// An administrator that was admitted.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct KnownAdministrator {
    /// Its address.
    pub(super) address: Address,
    /// The keys of the CAs on the path of the certificate that admitted it. Reading asks for a listed CA in the path, and
    /// nothing can be posted without reading: where none of these is listed any more, the administrator is locked out.
    pub(super) authorities: Vec<Hash>,
}

/// Notes an admission; whether anything is known that was not. With too many, one who may no longer sign or has not the
/// right makes room, or the one that came first: it is known again once it is admitted again, which needs nobody's
/// approval. Somebody without the right takes no room from those who have it.
pub(super) fn note_administrator(
    context: &mut Context<'_>,
    who: &Identity,
    address: Address,
    authorities: Vec<Hash>,
) -> Result<bool, Refusal> {
    let key = keyspace::administrators(who.organization());
    let mut record: Administrators = context.get(&key)?.unwrap_or_default();
    let new = KnownAdministrator { address, authorities };
    if record.known.contains(&new) {
        return Ok(false);
    }
    record.known.retain(|known| known.address != address);
    if record.known.len() >= ADMINISTRATORS_KNOWN_MAX {
        let mut idle = None;
        for (place, known) in record.known.iter().enumerate() {
            if !is_able(context, context.config(), &known.address)? {
                idle = Some(place);
                break;
            }
        }
        let administers = context.config().rights_of(Some(who)).allows(Right::Admin);
        match idle {
            Some(place) => record.known.remove(place),
            None if administers => record.known.remove(0),
            None => return Ok(false),
        };
    }
    record.known.push(new);
    context.put(key, &record);
    Ok(true)
}

/// Whether a participant may sign at present and has the right to administer under a configuration.
fn is_able(context: &Context<'_>, config: &ChannelConfig, address: &Address) -> Result<bool, Refusal> {
    let participant: Option<Participant> = context.get(&keyspace::participant(address))?;
    Ok(participant.is_some_and(|participant| {
        let may_sign = standing(Some(&participant), context.time()).is_ok();
        may_sign && config.rights_of(Some(&participant.identity)).allows(Right::Admin)
    }))
}

/// Whether an administrator of the organization, with the right and one of its CAs under `next`, may sign at present; or
/// none ever could.
fn is_there(context: &Context<'_>, next: &ChannelConfig, member: &Organization) -> Result<bool, Refusal> {
    let record: Option<Administrators> = context.get(&keyspace::administrators(&member.name))?;
    let Some(Administrators { known }) = record else { return Ok(true) };
    context.work(budget::CERTIFICATE * member.authorities.len() as u64);
    let listed = member.authorities.iter().filter_map(|der| context.certificates().authority_key(&der.0));
    let listed: BTreeSet<Hash> = listed.collect();
    for administrator in known {
        let vouched = administrator.authorities.iter().any(|key| listed.contains(key));
        if vouched && is_able(context, next, &administrator.address)? {
            return Ok(true);
        }
    }
    Ok(false)
}
