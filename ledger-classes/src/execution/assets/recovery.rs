//! `account.recover`: what a revoked participant owns passes to a successor, once a proposal of it has as many approvals
//! as a change of the configuration needs. The action itself is in `channel/recovery.rs`, where that is put forward.
//!
//! Once enough organizations agreed, the successor stands in the revoked address's place for good: what is movable
//! moves at once, what a contract pays to the old address later reaches the successor, roles in contracts and as an
//! asset's authority pass over, and an administrator may post the action again for what could not move. What is
//! paused, frozen or locked stays where it is until then: a recovery is no way around a restraint.
//! Allowances do not pass over: whom the old owner trusted is not for the new one to answer.

use super::fungible::{free_balance, move_units};
use super::heirs::{Successor, heir, require_not_recovered};
use super::queries::{holdings, items_of};
use super::unique::{move_item, require_movable};
use crate::execution::Context;
use crate::formats::detail::Detail;
use crate::formats::event::Event;
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::keys::Address;
use crate::limits::{RECOVERY_LOOKS_MAX, RECOVERY_MOVES_MAX, SUCCESSORS_MAX};
use crate::primitives::codec::{Decode, Encode};
use crate::state::keyspace;
use crate::state::listing::Span;
use crate::state::participant::Participant;
use crate::state::record::Record;
use serde::Serialize;

/// Who shall have what is a revoked participant's.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Recovery {
    /// The revoked participant.
    pub from: Address,
    /// The successor.
    pub to: Address,
    /// Moves this asset only; all of them if absent.
    pub asset: Option<String>,
}

/// How often what a successor has was passed on, along the longest way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Inherited {
    /// At most [`SUCCESSORS_MAX`].
    pub times: u32,
}

impl Record for Inherited {}

/// Lets the successor have everything: the recovery that was proposed at a height has its approvals.
pub(in crate::execution) fn pass_on(
    context: &mut Context<'_>,
    recovery: &Recovery,
    proposed_height: u64,
) -> Result<(), Refusal> {
    let (revoked_height, times) = check_parties(context, recovery)?;
    let Recovery { from, to, .. } = *recovery;
    if revoked_height > proposed_height {
        return refused(Detail::RevokedAgain { address: from });
    }
    context.put(keyspace::successor(&from), &Successor { to, height: context.height() });
    let known: Inherited = context.get(&keyspace::inherited(&to))?.unwrap_or_default();
    context.put(keyspace::inherited(&to), &Inherited { times: known.times.max(times) });
    context.emit(Event::AccountRecovered { from, to })?;
    move_all(context, recovery).map(|_| ())
}

fn refused<T>(detail: Detail) -> Result<T, Refusal> {
    reject(ResultCode::RecoveryRefused, detail)
}

/// The height of the revocation, and how often all was passed on with this, if `from` may be recovered for `to`.
pub(in crate::execution) fn check_parties(
    context: &Context<'_>,
    Recovery { from, to, .. }: &Recovery,
) -> Result<(u64, u32), Refusal> {
    if let Some(successor) = context.get::<Successor>(&keyspace::successor(from))? {
        return refused(Detail::HasSuccessor { address: *from, successor: successor.to });
    }
    let old: Option<Participant> = context.get(&keyspace::participant(from))?;
    let new: Option<Participant> = context.get(&keyspace::participant(to))?;
    let Some(Participant { identity, revoked_height: Some(revoked_height), .. }) = old else {
        return refused(Detail::NotRevoked { address: *from });
    };
    match new {
        Some(new) if new.identity.organization() != identity.organization() => {
            refused(Detail::OfAnotherOrganization { address: *to })
        }
        Some(new) if context.members().standing(context, Some(&new), context.time())?.is_ok() => {
            require_not_recovered(context, to)?;
            let before: Inherited = context.get(&keyspace::inherited(from))?.unwrap_or_default();
            if before.times >= SUCCESSORS_MAX {
                let detail = Detail::PassedOn { address: *from, times: SUCCESSORS_MAX.into() };
                return reject(ResultCode::SuccessionTooLong, detail);
            }
            Ok((revoked_height, before.times + 1))
        }
        _ => refused(Detail::NotInGoodStanding { address: *to }),
    }
}

/// Moves what can move, up to a limit: who posts the action again goes on from there. How many movements it was.
pub(in crate::execution) fn move_all(context: &mut Context<'_>, recovery: &Recovery) -> Result<usize, Refusal> {
    let Recovery { from, asset: only, .. } = recovery;
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
    for item in items_of(context, from, &Span { after, ..Span::first(RECOVERY_LOOKS_MAX) })?.items {
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
    Ok(moves)
}
