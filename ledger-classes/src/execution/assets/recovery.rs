//! `account.recover`: what a revoked participant owns passes to a successor, under as many approvals as a change of
//! the configuration needs. Each administrator that agrees posts the same action.
//!
//! Once enough organizations agreed, the successor stands in the revoked address's place for good: what is movable
//! moves at once, what a contract pays to the old address later reaches the successor, roles in contracts and as an
//! asset's authority pass over, and an administrator may post the action again for what could not move. What is
//! paused, frozen or locked stays where it is until then: a recovery is no way around a restraint.
//! Allowances do not pass over: whom the old owner trusted is not for the new one to answer.

use super::fungible::{free_balance, move_units};
use super::queries::{holdings, items_of};
use super::unique::{move_item, require_movable};
use crate::action::assets::Recover;
use crate::codec::{Decode, Encode};
use crate::event::Event;
use crate::execution::audit::{self, Act};
use crate::execution::{Context, channel, standing};
use crate::identity::Identity;
use crate::keys::Address;
use crate::keyspace;
use crate::limits::{MEMO_BYTES_MAX, RECOVERY_LOOKS_MAX, RECOVERY_MOVES_MAX, SUCCESSORS_MAX};
use crate::listing::Span;
use crate::outcome::{Refusal, ResultCode, reject};
use crate::participant::Participant;
use crate::record::{self, Record};
use crate::state::{ReadError, ReadView};
use serde::Serialize;

/// Approvals of a recovery that does not have enough of them yet.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Recovery {
    /// Height of the revocation that it answers: another one needs approvals of its own.
    pub revoked_height: u64,
    /// Organizations whose administrators approved.
    pub approvals: Vec<String>,
}

impl Record for Recovery {}

/// Who has what was a revoked participant's.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Successor {
    /// Who.
    pub to: Address,
    /// The block of the last approval.
    pub height: u64,
}

impl Record for Successor {}

/// How often what a successor has was passed on, along the longest way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Inherited {
    /// At most [`SUCCESSORS_MAX`].
    pub times: u32,
}

impl Record for Inherited {}

/// Who has what is `account`'s: the last of its successors, or itself.
pub(in crate::execution) fn heir(view: &dyn ReadView, account: &Address) -> Result<Address, ReadError> {
    let mut heir = *account;
    // A successor was in good standing, and a recovered address is never admitted again: there is no circle, and a
    // recovery that would make a way too long is refused.
    for _ in 0..SUCCESSORS_MAX {
        match record::read::<Successor>(view, &keyspace::successor(&heir))? {
            Some(successor) => heir = successor.to,
            None => break,
        }
    }
    Ok(heir)
}

/// Refuses the admission of an address that was recovered.
pub(in crate::execution) fn require_not_recovered(context: &Context<'_>, address: &Address) -> Result<(), Refusal> {
    match context.get::<Successor>(&keyspace::successor(address))? {
        Some(Successor { to, .. }) => {
            reject(ResultCode::AddressIsTaken, format!("{address} was revoked, and {to} has what it owned"))
        }
        None => Ok(()),
    }
}

pub(in crate::execution) fn recover(context: &mut Context<'_>, body: &Recover) -> Result<(), Refusal> {
    if body.reason.len() > MEMO_BYTES_MAX {
        return reject(ResultCode::InvalidField, format!("a reason has at most {MEMO_BYTES_MAX} bytes"));
    }
    let by = channel::administrator(context)?;
    let key = keyspace::successor(&body.from);
    match context.get::<Successor>(&key)? {
        // Decided: what has become movable since follows.
        Some(Successor { to, .. }) if to == body.to => return move_all(context, body),
        Some(Successor { to, .. }) => {
            return reject(ResultCode::RecoveryRefused, format!("{to} has what was {}'s", body.from));
        }
        None => {}
    }
    let (revoked_height, times) = check_parties(context, body)?;
    let (approvals, needed) = approve(context, body, revoked_height, &by)?;
    let effective = approvals >= needed;
    let (from, to) = (body.from, body.to);
    context.emit(Event::AccountRecoveryApproved {
        from,
        to,
        by: by.clone(),
        reason: body.reason.clone(),
        approvals: u32::try_from(approvals).expect("organizations are limited"),
        needed: u32::try_from(needed).expect("organizations are limited"),
    })?;
    if effective {
        context.put(key, &Successor { to, height: context.height() });
        let known: Inherited = context.get(&keyspace::inherited(&to))?.unwrap_or_default();
        context.put(keyspace::inherited(&to), &Inherited { times: known.times.max(times) });
        context.remove(keyspace::recovery(&from, &to));
        context.emit(Event::AccountRecovered { from, to })?;
    }
    let why = body.reason.as_str();
    audit::record(context, &Act::Recover { who: &by, why, from, to, approvals, needed, effective })?;
    if effective { move_all(context, body) } else { Ok(()) }
}

/// The height of the revocation, and how often all was passed on with this, if `from` may be recovered for `to`.
fn check_parties(context: &Context<'_>, body: &Recover) -> Result<(u64, u32), Refusal> {
    let refused = |why: String| reject(ResultCode::RecoveryRefused, why);
    let from: Option<Participant> = context.get(&keyspace::participant(&body.from))?;
    let to: Option<Participant> = context.get(&keyspace::participant(&body.to))?;
    let Some(Participant { identity, revoked_height: Some(revoked_height), .. }) = from else {
        return refused(format!("{} is no revoked participant", body.from));
    };
    match to {
        Some(to) if to.identity.organization() != identity.organization() => {
            refused(format!("{} is of another organization", body.to))
        }
        Some(to) if standing(Some(&to), context.time()).is_ok() => {
            require_not_recovered(context, &body.to)?;
            let before: Inherited = context.get(&keyspace::inherited(&body.from))?.unwrap_or_default();
            if before.times >= SUCCESSORS_MAX {
                let message = format!("what {} has was passed on {SUCCESSORS_MAX} times already", body.from);
                return reject(ResultCode::SuccessionTooLong, message);
            }
            Ok((revoked_height, before.times + 1))
        }
        _ => refused(format!("{} is no participant in good standing", body.to)),
    }
}

/// Counts an approval: how many there are, and how many are needed.
fn approve(
    context: &mut Context<'_>,
    body: &Recover,
    revoked_height: u64,
    by: &Identity,
) -> Result<(usize, usize), Refusal> {
    let config = context.config();
    let key = keyspace::recovery(&body.from, &body.to);
    let known: Option<Recovery> = context.get(&key)?;
    let known = known.filter(|recovery| recovery.revoked_height == revoked_height);
    let mut recovery = known.unwrap_or(Recovery { revoked_height, approvals: Vec::new() });
    if recovery.approvals.iter().any(|organization| organization == by.organization()) {
        return reject(ResultCode::AlreadyApproved, format!("{} has approved already", by.organization()));
    }
    recovery.approvals.push(by.organization().to_owned());
    // As for the configuration: an organization that left since does not count.
    let approvals = recovery.approvals.iter().filter(|organization| config.is_member(organization)).count();
    context.put(key, &recovery);
    Ok((approvals, config.approvals.needed(config.organizations.len())))
}

/// Moves what can move, up to a limit: who posts the action again goes on from there.
fn move_all(context: &mut Context<'_>, body: &Recover) -> Result<(), Refusal> {
    let Recover { from, asset: only, .. } = body;
    // The successor may have been recovered itself.
    let to = &heir(context, from)?;
    let wanted = |asset: &str| only.as_ref().is_none_or(|only| only == asset);
    let mut moves = 0;
    let units = match only {
        Some(asset) => vec![asset.clone()],
        None => {
            let held = holdings(context, from, &Span::first(RECOVERY_LOOKS_MAX))?.items;
            held.into_iter().map(|holding| holding.asset).collect()
        }
    };
    for asset in units {
        let Some(record) = super::asset(context, &asset)? else { continue };
        let fungible = matches!(record.kind, crate::action::assets::Kind::Fungible { .. });
        if !fungible || record.paused || moves >= RECOVERY_MOVES_MAX {
            continue;
        }
        let free = free_balance(context, &asset, from)?;
        if !free.is_zero() {
            move_units(context, &asset, from, to, free)?;
            moves += 1;
        }
    }
    let after = only.as_deref().map(|asset| [asset.as_bytes(), &[0]].concat());
    for item in items_of(context, from, &Span { after, limit: RECOVERY_LOOKS_MAX })?.items {
        if !wanted(&item.asset) || moves >= RECOVERY_MOVES_MAX {
            break;
        }
        match require_movable(context, &item.asset, &item.item) {
            Ok(()) => {
                move_item(context, &item.asset, &item.item, from, to)?;
                moves += 1;
            }
            Err(Refusal::Rejected { .. }) => {}
            Err(broken) => return Err(broken),
        }
    }
    Ok(())
}
