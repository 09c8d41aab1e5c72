//! Units of fungible assets: minting, burning, moving, approvals, fees.
//!
//! Every change of a balance goes through [`debit`] and [`credit`], every movement between accounts through
//! [`shift`]; nothing else writes what is owned.

use super::accounts::is_void;
use super::definition::{require_authority, require_burner, require_fungible, require_moving};
use super::queries::allowance;
use super::records::{Allowance, AssetRecord, Balance};
use super::{require_some, require_somebody};
use crate::action::assets::{Approve, Burn, Kind, Mint, Transfer, TransferBatch, TransferFrom};
use crate::execution::Context;
use crate::formats::detail::{Detail, Duty, Part};
use crate::formats::event::Event;
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::keys::Address;
use crate::limits::BATCH_TRANSFERS_MAX;
use crate::primitives::amount::Amount;
use crate::primitives::time::Time;
use crate::state::keyspace;
use crate::state::record;
use crate::state::view::ReadView;

/// What `account` owns of `asset`, perhaps nothing.
pub(super) fn load(context: &Context<'_>, asset: &str, account: &Address) -> Result<Balance, Refusal> {
    Ok(context.get(&keyspace::balance(account, asset))?.unwrap_or_default())
}

/// Writes a balance without its expired locks; a void one is removed.
pub(super) fn store(context: &mut Context<'_>, asset: &str, account: &Address, mut balance: Balance) {
    balance.drop_expired(context.time());
    let key = keyspace::balance(account, asset);
    if balance.is_void() {
        context.remove(key);
    } else {
        context.put(key, &balance);
    }
}

/// Refuses if `amount` is more than what `balance` owns, or more than `available` of it.
pub(super) fn require_funds(balance: &Balance, available: Amount, amount: Amount, asset: &str) -> Result<(), Refusal> {
    let owned = balance.owned;
    if owned < amount {
        return reject(
            ResultCode::InsufficientBalance,
            Detail::Insufficient { needed: amount, asset: asset.into(), owned },
        );
    }
    if available < amount {
        let detail = Detail::NotFree { needed: amount, asset: asset.into(), owned, free: available };
        return reject(ResultCode::BalanceNotFree, detail);
    }
    Ok(())
}

fn debit(context: &mut Context<'_>, asset: &str, account: &Address, amount: Amount) -> Result<(), Refusal> {
    let mut balance = load(context, asset, account)?;
    require_funds(&balance, balance.free(context.time()), amount, asset)?;
    balance.owned = balance.owned.checked_sub(amount).ok_or_else(|| overflow(asset))?;
    store(context, asset, account, balance);
    Ok(())
}

fn credit(context: &mut Context<'_>, asset: &str, account: &Address, amount: Amount) -> Result<(), Refusal> {
    let mut balance = load(context, asset, account)?;
    balance.owned = balance.owned.checked_add(amount).ok_or_else(|| overflow(asset))?;
    store(context, asset, account, balance);
    Ok(())
}

fn overflow(asset: &str) -> Refusal {
    Refusal::rejected(ResultCode::AmountOverflow, Detail::Overflow { asset: asset.into() })
}

/// Moves units without asking about the asset. To oneself: funds are checked, nothing is written.
fn shift(context: &mut Context<'_>, asset: &str, from: &Address, to: &Address, amount: Amount) -> Result<(), Refusal> {
    if from == to {
        let balance = load(context, asset, from)?;
        return require_funds(&balance, balance.free(context.time()), amount, asset);
    }
    debit(context, asset, from, amount)?;
    credit(context, asset, to, amount)
}

fn put_supply(context: &mut Context<'_>, asset: &str, mut record: AssetRecord, supply: Amount) {
    record.supply = supply;
    context.put(keyspace::asset(asset), &record);
}

/// What `account` may move of the fungible asset `asset` at this block's time.
pub(in crate::execution) fn free_balance(
    context: &Context<'_>,
    asset: &str,
    account: &Address,
) -> Result<Amount, Refusal> {
    require_fungible(context, asset)?;
    Ok(load(context, asset, account)?.free(context.time()))
}

/// Moves units between accounts, with every check but that of who may ask for it. Emits `asset.transferred`.
/// An amount of zero is refused as everywhere: a contract with nothing to pay leaves the movement out.
pub(in crate::execution) fn move_units(
    context: &mut Context<'_>,
    asset: &str,
    from: &Address,
    to: &Address,
    amount: Amount,
) -> Result<(), Refusal> {
    require_some(amount)?;
    require_somebody(to)?;
    let record = require_fungible(context, asset)?;
    require_moving(&record, asset)?;
    shift(context, asset, from, to, amount)?;
    context.emit(Event::AssetTransferred { asset: asset.into(), from: *from, to: *to, amount })
}

/// Pays a fee to `collector`, or burns it, also while the asset is paused. Any shortage is `fee-unpaid`.
/// No event tells of it: the receipt's `fee` does, also where the transaction fails and has no events.
pub(in crate::execution) fn pay_fee(
    context: &mut Context<'_>,
    sender: &Address,
    asset: &str,
    fee: Amount,
    collector: Option<Address>,
) -> Result<(), Refusal> {
    if fee.is_zero() {
        return Ok(());
    }
    take_fee(context, sender, asset, fee, collector).map_err(|refusal| match refusal {
        Refusal::Rejected { detail, .. } => {
            // What is needed of what is the fee.
            Refusal::rejected(ResultCode::FeeUnpaid, detail)
        }
        broken @ Refusal::Broken(_) => broken,
    })
}

/// Refuses early what [`pay_fee`] would refuse where `owed` is taken before it.
pub(in crate::execution) fn screen_fee(
    view: &dyn ReadView,
    sender: &Address,
    asset: &str,
    fee: Amount,
    owed: Amount,
    time: Time,
) -> Result<(), Refusal> {
    if fee.is_zero() {
        return Ok(());
    }
    let balance: Balance = record::read(view, &keyspace::balance(sender, asset))?.unwrap_or_default();
    let free = balance.free(time).checked_sub(owed).unwrap_or_default();
    if free < fee {
        let (asset, sender) = (asset.into(), *sender);
        let detail = match owed.is_zero() {
            true => Detail::FeeAboveFunds { fee, asset, sender, free },
            false => Detail::FeeBesideOthers { fee, asset, sender, free, owed },
        };
        return reject(ResultCode::FeeUnpaid, detail);
    }
    Ok(())
}

fn take_fee(
    context: &mut Context<'_>,
    sender: &Address,
    asset: &str,
    fee: Amount,
    collector: Option<Address>,
) -> Result<(), Refusal> {
    // A pause stops whom the asset belongs to and not the channel: its issuer would be the master of all who pay in it.
    let record = require_fungible(context, asset)?;
    match collector {
        Some(collector) => shift(context, asset, sender, &collector, fee),
        None => {
            debit(context, asset, sender, fee)?;
            let supply = record.supply.checked_sub(fee).ok_or_else(|| overflow(asset))?;
            put_supply(context, asset, record, supply);
            Ok(())
        }
    }
}

pub(in crate::execution) fn mint(context: &mut Context<'_>, body: &Mint) -> Result<(), Refusal> {
    let Mint { asset, to, amount } = body;
    require_some(*amount)?;
    require_somebody(to)?;
    let record = require_fungible(context, asset)?;
    require_authority(context, &record.mint_authority, Duty::Mint, asset)?;
    require_moving(&record, asset)?;
    if let Kind::Fungible { supply_cap: Some(cap), .. } = record.kind {
        let left = cap.checked_sub(record.supply).unwrap_or_default();
        if left < *amount {
            return reject(ResultCode::SupplyCapExceeded, Detail::Mintable { left, asset: asset.into() });
        }
    }
    let supply = record.supply.checked_add(*amount).ok_or_else(|| overflow(asset))?;
    put_supply(context, asset, record, supply);
    credit(context, asset, to, *amount)?;
    context.emit(Event::AssetMinted { asset: asset.clone(), to: *to, amount: *amount })
}

pub(in crate::execution) fn burn(context: &mut Context<'_>, body: &Burn) -> Result<(), Refusal> {
    let Burn { asset, amount } = body;
    require_some(*amount)?;
    let from = context.acting();
    let record = require_fungible(context, asset)?;
    require_burner(context, &record, asset)?;
    require_moving(&record, asset)?;
    debit(context, asset, &from, *amount)?;
    let supply = record.supply.checked_sub(*amount).ok_or_else(|| overflow(asset))?;
    put_supply(context, asset, record, supply);
    context.emit(Event::AssetBurnt { asset: asset.clone(), from, amount: *amount })
}

pub(in crate::execution) fn transfer(context: &mut Context<'_>, body: &Transfer) -> Result<(), Refusal> {
    let from = context.acting();
    move_units(context, &body.asset, &from, &body.to, body.amount)
}

pub(in crate::execution) fn transfer_batch(context: &mut Context<'_>, body: &TransferBatch) -> Result<(), Refusal> {
    if body.transfers.is_empty() || body.transfers.len() > BATCH_TRANSFERS_MAX {
        return reject(
            ResultCode::InvalidField,
            Detail::Between { part: Part::Transfers, least: 1, most: BATCH_TRANSFERS_MAX as u64 },
        );
    }
    body.transfers.iter().try_for_each(|one| transfer(context, one))
}

pub(in crate::execution) fn approve(context: &mut Context<'_>, body: &Approve) -> Result<(), Refusal> {
    let Approve { asset, spender, amount, expected } = body;
    require_somebody(spender)?;
    require_fungible(context, asset)?;
    let owner = context.acting();
    if let Some(expected) = expected {
        let left = allowance(context, &owner, spender, asset)?;
        if left != *expected {
            let (spender, asset, expected) = (*spender, asset.into(), *expected);
            return reject(ResultCode::AllowanceDiffers, Detail::AllowanceIs { spender, left, asset, expected });
        }
    }
    let height = context.height();
    put_allowance(context, &owner, spender, asset, Allowance { amount: *amount, height });
    context.emit(Event::AssetApproved { asset: asset.clone(), owner, spender: *spender, amount: *amount })
}

pub(in crate::execution) fn transfer_from(context: &mut Context<'_>, body: &TransferFrom) -> Result<(), Refusal> {
    let TransferFrom { asset, from, to, amount } = body;
    require_some(*amount)?;
    require_fungible(context, asset)?;
    let spender = context.acting();
    let approved: Option<Allowance> = context.get(&keyspace::allowance(from, &spender, asset))?;
    // Whether somebody was ever revoked is told to nobody whom it has approved nothing.
    if let Some(Allowance { height, .. }) = approved
        && is_void(context, from, height)?
    {
        return reject(ResultCode::AllowanceExceeded, Detail::ApproverRevoked { owner: *from });
    }
    let Allowance { amount: approved, height } = approved.unwrap_or(Allowance { amount: Amount::ZERO, height: 0 });
    let Some(left) = approved.checked_sub(*amount) else {
        let detail = Detail::Approved { needed: *amount, asset: asset.into(), approved, owner: *from };
        return reject(ResultCode::AllowanceExceeded, detail);
    };
    move_units(context, asset, from, to, *amount)?;
    put_allowance(context, from, &spender, asset, Allowance { amount: left, height });
    Ok(())
}

fn put_allowance(context: &mut Context<'_>, owner: &Address, spender: &Address, asset: &str, allowance: Allowance) {
    let key = keyspace::allowance(owner, spender, asset);
    if allowance.amount.is_zero() {
        context.remove(key);
    } else {
        context.put(key, &allowance);
    }
}
