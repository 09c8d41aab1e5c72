//! What keeps units of a balance in place: freezing by the control authority, locking by the owner. A pause does
//! not stop either: what is being settled during a pause can be held in place.

use super::definition::{require_authority, require_fungible};
use super::fungible::{load, require_funds, store};
use super::records::LockEntry;
use super::require_some;
use crate::action::assets::{Freeze, Lock};
use crate::execution::Context;
use crate::execution::service::{self, Stopped};
use crate::formats::detail::{Detail, Duty, Part};
use crate::formats::event::Event;
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::limits::LOCKS_MAX;
use crate::primitives::amount::Amount;

fn require_control(context: &Context<'_>, asset: &str) -> Result<(), Refusal> {
    let record = require_fungible(context, asset)?;
    require_authority(context, &record.control_authority, Duty::Freeze, asset)
}

/// Freezes units that are not frozen yet; locked ones may be frozen too.
pub(in crate::execution) fn freeze(context: &mut Context<'_>, body: &Freeze) -> Result<(), Refusal> {
    let Freeze { asset, account, amount } = body;
    require_some(*amount)?;
    require_control(context, asset)?;
    let mut balance = load(context, asset, account)?;
    let unfrozen = balance.owned.checked_sub(balance.frozen).unwrap_or_default();
    require_funds(&balance, unfrozen, *amount, asset)?;
    // Cannot overflow: the sum is at most what is owned.
    balance.frozen = Amount(balance.frozen.0.saturating_add(amount.0));
    store(context, asset, account, balance);
    service::set_stopped(context, Stopped::Account { asset, account }, true)?;
    context.emit(Event::AssetFrozen { asset: asset.clone(), account: *account, amount: *amount })
}

pub(in crate::execution) fn unfreeze(context: &mut Context<'_>, body: &Freeze) -> Result<(), Refusal> {
    let Freeze { asset, account, amount } = body;
    require_some(*amount)?;
    require_control(context, asset)?;
    let mut balance = load(context, asset, account)?;
    let frozen = balance.frozen;
    let Some(left) = frozen.checked_sub(*amount) else {
        return reject(ResultCode::NotFrozen, Detail::FrozenUnits { frozen, asset: asset.into() });
    };
    balance.frozen = left;
    store(context, asset, account, balance);
    service::set_stopped(context, Stopped::Account { asset, account }, !left.is_zero())?;
    context.emit(Event::AssetUnfrozen { asset: asset.clone(), account: *account, amount: *amount })
}

/// Locks free units of the acting account. Nothing ends a lock before its time.
pub(in crate::execution) fn lock(context: &mut Context<'_>, body: &Lock) -> Result<(), Refusal> {
    let Lock { asset, amount, until } = body;
    require_some(*amount)?;
    let time = context.time();
    if *until <= time {
        return reject(ResultCode::InvalidField, Detail::NotAfter { until: *until, time });
    }
    require_fungible(context, asset)?;
    let account = context.acting();
    let mut balance = load(context, asset, &account)?;
    require_funds(&balance, balance.free(time), *amount, asset)?;
    balance.drop_expired(time);
    if balance.locks.len() >= LOCKS_MAX {
        return reject(ResultCode::TooManyLocks, Detail::AtMost { part: Part::Locks, most: LOCKS_MAX as u64 });
    }
    balance.locks.push(LockEntry { amount: *amount, until: *until });
    store(context, asset, &account, balance);
    context.emit(Event::AssetLocked { asset: asset.clone(), account, amount: *amount, until: *until })
}
