//! What a change of configuration must leave behind: a channel that can be changed again, and that its ordering peer
//! can go on with. It is judged at the proposal and again when the change takes effect, from the ledger alone.
//!
//! An organization counts if it may administer, has a CA, and one of its administrators is on the channel now, admitted by
//! a certificate of a CA that stays, told by its key: who was revoked or has expired comes back by an admission, which needs
//! nobody's approval, and before the change. The administrators that were admitted last are looked at, so that no number of
//! them makes this dear or blind.
//!
//! An organization that joined by a change is not counted before its first administrator is admitted, neither among those
//! who must approve nor among those who could: who never comes must not stand in the way of those who are there. One that
//! the channel was made with is always counted among those who must: else the first to come would govern alone. Without any
//! CA none is: nobody can approve for it, and the others give it one.

use super::super::{Context, Members, assets, budget};
use crate::action::assets::Kind;
use crate::formats::config::{ChannelConfig, ConfigChange, OrderingPeer, Organization};
use crate::formats::detail::{Detail, Names, Part, Party, Text};
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::formats::rights::Right;
use crate::keys::Address;
use crate::limits::{ADMINISTRATORS_KNOWN_MAX, AUTHORITIES_MAX, CERTIFICATE_BYTES_MAX};
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::{Hash, HexBytes};
use crate::primitives::identity::{Identity, Role};
use crate::state::keyspace;
use crate::state::participant::Participant;
use crate::state::record::Record;
use crate::state::view::{ReadError, ReadView};
use std::collections::BTreeSet;

/// Refuses a configuration that must not follow the one in force.
pub(super) fn check(context: &Context<'_>, next: &ChannelConfig) -> Result<(), Refusal> {
    check_form(context, next)?;
    check_changeable(context, next, None)
}

/// All of [`check`] but whether it could be changed again.
pub(super) fn check_form(context: &Context<'_>, next: &ChannelConfig) -> Result<(), Refusal> {
    let refuse = |detail: Detail| reject(ResultCode::ConfigurationInvalid, detail);
    let current = context.config();
    if let Err(error) = next.check(current.rules).and_then(|()| next.check_ordered()) {
        return refuse(error.0);
    }
    let stays =
        |peer: &OrderingPeer| next.peers.iter().any(|next| (&next.identity, &next.key) == (&peer.identity, &peer.key));
    if let Some(peer) = current.peers.iter().find(|peer| !stays(peer)) {
        return refuse(Detail::PeerLeaves { identity: Text::of(&peer.identity) });
    }
    if next.rules != current.rules && next.rules != current.rules.saturating_add(1) {
        let (least, most) = (current.rules.into(), current.rules.saturating_add(1).into());
        return refuse(Detail::NotBetween { part: Part::Rules, least, most, found: next.rules.into() });
    }
    check_fees(context, next)?;
    for member in &next.organizations {
        let known = current.organizations.iter().find(|known| known.name == member.name);
        check_authorities(context, next, known, member)?;
    }
    Ok(())
}

/// Refuses a configuration that nobody could change again. An organization that has `succeeded` to a CA of its own with
/// another one counts without an administrator: by that one it admits them itself.
pub(super) fn check_changeable(
    context: &Context<'_>,
    next: &ChannelConfig,
    succeeded: Option<&str>,
) -> Result<(), Refusal> {
    let refuse = |detail: Detail| reject(ResultCode::ConfigurationInvalid, detail);
    if let Err(error) = next.check_changeable() {
        return refuse(error.0);
    }
    let (current, mut counted) = (context.config(), 0);
    for member in &next.organizations {
        counted += usize::from(current.is_member(&member.name) && has_part(context, member)?);
    }
    let needed = next.approvals.needed(counted).max(1);
    let (mut able, mut gone, members) =
        (0, Vec::new(), Members::under(next, current.path_rules(), context.certificates()));
    for member in next.organizations.iter().filter(|member| next.can_administer(&member.name)) {
        context.work(budget::CERTIFICATE * member.authorities.len() as u64);
        if succeeded == Some(member.name.as_str()) || is_there(context, &members, &member.name)? {
            able += 1;
        } else {
            gone.push(member.name.as_str());
        }
    }
    if able < needed {
        let missing = Names::of(gone.iter().map(AsRef::as_ref));
        return refuse(Detail::NobodyAdmitted { needed: needed as u64, missing });
    }
    Ok(())
}

/// How many CA keys `next` lists that the configuration in force does not.
pub(super) fn newly_listed(context: &Context<'_>, next: &ChannelConfig) -> u64 {
    let rules = context.config().path_rules();
    let keys = |config: &ChannelConfig| -> BTreeSet<Option<Hash>> {
        let listed = config.organizations.iter().flat_map(|member| &member.authorities);
        listed.map(|der| context.certificates().authority_key(rules, &der.0)).collect()
    };
    keys(next).difference(&keys(context.config())).count() as u64
}

/// Organizations that another configuration lists and the one in force does not.
pub(super) fn newcomers(context: &Context<'_>, next: &ChannelConfig) -> Vec<String> {
    let members = &context.config().organizations;
    let is_new = |name: &&String| members.iter().all(|member| member.name != **name);
    next.organizations.iter().map(|member| &member.name).filter(is_new).cloned().collect()
}

/// How many organizations must approve a change of the configuration in force, `config`.
pub fn approvals_needed(view: &dyn ReadView, config: &ChannelConfig) -> Result<usize, ReadError> {
    let mut counted = 0;
    for member in &config.organizations {
        counted += usize::from(has_part(view, member)?);
    }
    Ok(config.approvals.needed(counted).max(1))
}

/// Whether a member is one of those whose approvals are asked for: from the beginning, or since its first administrator. One
/// without a CA has nobody who could approve: it has lost its CA, or never had one.
fn has_part(view: &dyn ReadView, member: &Organization) -> Result<bool, ReadError> {
    if member.authorities.is_empty() {
        return Ok(false);
    }
    let joined = view.get(&keyspace::membership(&member.name))?.is_some();
    Ok(!joined || view.get(&keyspace::administrators(&member.name))?.is_some())
}

/// The members whose own approval changes need, whatever the policy: those that go on with other CA certificates. By a CA
/// of their own the others would be that member. One without a CA has nobody who could approve, and nothing to lose.
pub(super) fn owners<'c>(config: &ChannelConfig, changes: &'c [ConfigChange]) -> Vec<&'c str> {
    let (mut seen, mut owners) = (Vec::new(), Vec::new());
    // The last word about each decides.
    for change in changes.iter().rev() {
        let (name, listed) = match change {
            ConfigChange::PutOrganization(member) => (member.name.as_str(), Some(&member.authorities)),
            ConfigChange::RemoveOrganization { name } => (name.as_str(), None),
            _ => continue,
        };
        if seen.contains(&name) {
            continue;
        }
        seen.push(name);
        let known = config.organizations.iter().find(|known| known.name == name);
        let (Some(listed), Some(known)) = (listed, known) else { continue };
        if *listed != known.authorities && !known.authorities.is_empty() {
            owners.push(name);
        }
    }
    owners
}

/// Fees in what nobody has, or in what somebody else issues than was meant, would let nobody but the administrators do
/// anything. Those in force are not judged again: they must be no reason to refuse another change.
fn check_fees(context: &Context<'_>, next: &ChannelConfig) -> Result<(), Refusal> {
    let refuse = |detail: Detail| reject(ResultCode::ConfigurationInvalid, detail);
    let Some(asset) = next.fees.asset.as_deref().filter(|_| next.fees != context.config().fees) else { return Ok(()) };
    let Some(record) = assets::asset(context, asset)? else {
        return refuse(Detail::FeeAssetUnknown { asset: asset.into() });
    };
    if !matches!(record.kind, Kind::Fungible { .. }) {
        return refuse(Detail::FeeAssetOfItems { asset: asset.into() });
    }
    let issuer = assets::heir(context, &record.mint_authority)?;
    if next.fees.issuer != Some(issuer) {
        return refuse(Detail::FeeAssetOfAnother { asset: asset.into(), issuer });
    }
    Ok(())
}

/// Refuses a change that is not well formed by itself, whatever those after it do: it is kept as long as its proposal.
pub(super) fn check_change(context: &Context<'_>, change: &ConfigChange) -> Result<(), Refusal> {
    let ConfigChange::PutOrganization(organization) = change else { return Ok(()) };
    let fits = |der: &HexBytes| der.0.len() <= CERTIFICATE_BYTES_MAX;
    if organization.authorities.len() > AUTHORITIES_MAX || !organization.authorities.iter().all(fits) {
        let detail = Detail::AtMost { part: Part::Authorities, most: AUTHORITIES_MAX as u64 };
        return reject(ResultCode::ConfigurationInvalid, detail);
    }
    let known = context.config().organizations.iter().find(|known| known.name == organization.name);
    check_authorities(context, context.config(), known, organization)
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
        // By the rules in force, also of a change that raises their number: whoever knows both must come to one receipt.
        let rules = context.config().path_rules();
        if let Err(fault) = context.certificates().authority(rules, &der.0, &next.consortium, &member.name) {
            return reject(
                ResultCode::ConfigurationInvalid,
                Detail::AuthorityOf { organization: Text::from(&member.name), refusal: fault },
            );
        }
    }
    Ok(())
}

/// An organization's administrators, as far as they are looked at. An organization that leaves has none any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(in crate::execution) struct Administrators {
    /// The addresses that were admitted last, in this order: at most [`ADMINISTRATORS_KNOWN_MAX`].
    pub(in crate::execution) known: Vec<Address>,
}

impl Record for Administrators {}

/// The sender as an administrator: a participant with role `admin`. The right was checked by the caller.
pub(super) fn administrator(context: &Context<'_>) -> Result<Identity, Refusal> {
    match context.participant() {
        Some(identity) if identity.role() == Role::Admin => Ok(identity.clone()),
        _ => reject(ResultCode::NoRight, Detail::Only { party: Party::Administrator }),
    }
}

/// Notes an admission; whether anything is known that was not. With too many, one who may no longer sign or has not the
/// right makes room, or the one that came first: it is known again once it is admitted again, which needs nobody's
/// approval. Somebody without the right takes no room from those who have it.
pub(super) fn note_administrator(context: &mut Context<'_>, who: &Identity, address: Address) -> Result<bool, Refusal> {
    let key = keyspace::administrators(who.organization());
    let mut record: Administrators = context.get(&key)?.unwrap_or_default();
    if record.known.contains(&address) {
        return Ok(false);
    }
    if record.known.len() >= ADMINISTRATORS_KNOWN_MAX {
        let mut idle = None;
        for (place, known) in record.known.iter().enumerate() {
            if !is_able(context, context.members(), known)? {
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
    record.known.push(address);
    context.put(key, &record);
    Ok(true)
}

/// Whether a participant may sign at present, and has the right to administer, under a configuration.
fn is_able(context: &Context<'_>, members: &Members<'_>, address: &Address) -> Result<bool, Refusal> {
    let participant: Option<Participant> = context.get(&keyspace::participant(address))?;
    let rights = members.rights(context, participant.as_ref(), context.time())?;
    Ok(participant.is_some() && rights.is_ok_and(|rights| rights.allows(Right::Admin)))
}

/// Whether an administrator of the organization, with the right and one of its CAs under the configuration that is to
/// follow, may sign at present.
fn is_there(context: &Context<'_>, next: &Members<'_>, organization: &str) -> Result<bool, Refusal> {
    let record: Option<Administrators> = context.get(&keyspace::administrators(organization))?;
    let Some(Administrators { known }) = record else { return Ok(false) };
    for address in &known {
        if is_able(context, next, address)? {
            return Ok(true);
        }
    }
    Ok(false)
}
