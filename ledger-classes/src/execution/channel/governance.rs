//! What a change of configuration must leave behind: a channel that can be changed again, and that its ordering peer
//! can go on with. It is judged at the proposal and again when the change takes effect, from the ledger alone.
//!
//! An organization counts if it may administer and has a CA. If its administrators have been on the channel, one of them
//! must be there now: who was revoked or has expired comes back by an admission, which needs nobody's approval, and before
//! the change. An organization that has never had one counts, or none could be added. The administrators that were
//! admitted last are looked at, so that no number of them makes this dear or blind.

use super::super::{Context, standing};
use crate::codec::{Decode, Encode};
use crate::config::{ChannelConfig, Organization};
use crate::identity::Identity;
use crate::keys::Address;
use crate::keyspace;
use crate::limits::ADMINISTRATORS_KNOWN_MAX;
use crate::outcome::{Refusal, ResultCode, reject};
use crate::participant::Participant;
use crate::record::Record;
use crate::rights::Right;

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
        if is_there(context, next, &member.name)? {
            able += 1;
        } else {
            gone.push(member.name.as_str());
        }
    }
    if able < needed {
        return refuse(format!(
            "nobody could change it again: {needed} organizations must approve, and no administrator with the right \
             is on this channel at present from {}: one who has it is admitted first",
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
        if let Err(why) = context.certificates().authority(&der.0, &next.consortium, &member.name) {
            return reject(ResultCode::ConfigurationInvalid, format!("a CA certificate of {}: {why}", member.name));
        }
    }
    Ok(())
}

/// An organization's administrators, as far as they are looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(super) struct Administrators {
    /// Those that were admitted last, in this order: at most [`ADMINISTRATORS_KNOWN_MAX`].
    pub(super) addresses: Vec<Address>,
}

impl Record for Administrators {}

/// Notes an admission. With too many, one who may no longer sign makes room, or the one that came first: it is known
/// again once it is admitted again, which needs nobody's approval.
pub(super) fn note_administrator(context: &mut Context<'_>, who: &Identity, address: Address) -> Result<(), Refusal> {
    let key = keyspace::administrators(who.organization());
    let mut known: Administrators = context.get(&key)?.unwrap_or_default();
    known.addresses.retain(|known| *known != address);
    if known.addresses.len() >= ADMINISTRATORS_KNOWN_MAX {
        let mut gone = 0;
        for (place, address) in known.addresses.iter().enumerate() {
            let participant: Option<Participant> = context.get(&keyspace::participant(address))?;
            if standing(participant.as_ref(), context.time()).is_err() {
                gone = place;
                break;
            }
        }
        known.addresses.remove(gone);
    }
    known.addresses.push(address);
    context.put(key, &known);
    Ok(())
}

/// Whether an administrator of the organization, with the right under `next`, may sign at present; or none ever could.
fn is_there(context: &Context<'_>, next: &ChannelConfig, organization: &str) -> Result<bool, Refusal> {
    let Some(known) = context.get::<Administrators>(&keyspace::administrators(organization))? else { return Ok(true) };
    for address in &known.addresses {
        let participant: Option<Participant> = context.get(&keyspace::participant(address))?;
        let Some(participant) = participant else { continue };
        let may_sign = standing(Some(&participant), context.time()).is_ok();
        if may_sign && next.rights_of(Some(&participant.identity)).allows(Right::Admin) {
            return Ok(true);
        }
    }
    Ok(false)
}
