//! What every contract that holds assets uses to give them back. A payout never fails for the state of an asset: what
//! cannot move, because its asset is paused or it is frozen, is recorded as owed to its owner, and anybody may claim it
//! for that owner when it can.
//!
//! What always holds: an instance's account owns what its own records say is in escrow, and what is owed here.
//! Whoever was recovered (`account.recover`) is paid at its successor's address.

use super::Call;
use super::engine::InstanceView;
use super::forms::{Field, answer, emit, invalid, parse, text};
use crate::action::assets::ItemName;
use crate::formats::detail::{Detail, Part};
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::keys::Address;
use crate::limits::NAME_BYTES_MAX;
use crate::primitives::amount::Amount;
use crate::primitives::codec::{Decode, Encode};
use crate::state::record::Record;
use serde::{Deserialize, Serialize};

const OWED: &[u8] = b"owed/";
/// Debts in one answer.
const OWED_LISTED_MAX: usize = 100;

/// Something of value.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Valuable {
    /// Units of a fungible asset.
    Units {
        /// The asset.
        asset: String,
        /// Base units, not zero.
        amount: Amount,
    },
    /// An item of a unique asset.
    Item(ItemName),
}

impl Valuable {
    /// Takes it from the caller.
    pub fn pull(&self, call: &mut Call<'_, '_>) -> Result<(), Refusal> {
        match self {
            Self::Units { asset, amount } => call.pull_units(asset, *amount),
            Self::Item(ItemName { asset, item }) => call.pull_item(asset, item),
        }
    }

    /// Gives it to `to`, or records what cannot move as owed. Whether all of it moved.
    pub fn give(&self, call: &mut Call<'_, '_>, to: Address) -> Result<bool, Refusal> {
        match self {
            Self::Units { asset, amount } => pay(call, asset, to, *amount),
            Self::Item(item) => hand(call, item, to),
        }
    }
}

/// What an instance owes to an account.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Owed {
    /// To whom.
    pub to: Address,
    /// What.
    pub what: Valuable,
    /// Height at which it was first owed.
    pub height: u64,
}

impl Record for Owed {}

fn units_key(to: &Address, asset: &str) -> Vec<u8> {
    [OWED, &to.0, asset.as_bytes()].concat()
}

fn item_key(to: &Address, ItemName { asset, item }: &ItemName) -> Vec<u8> {
    [OWED, &to.0, asset.as_bytes(), &[0], item.as_bytes()].concat()
}

/// Pays units out of the instance's account: what can move now, and the rest is owed. Whether all of it moved.
pub fn pay(call: &mut Call<'_, '_>, asset: &str, to: Address, amount: Amount) -> Result<bool, Refusal> {
    let payable = call.payable(asset)?;
    let now = payable.min(amount);
    let heir = call.heir(&to)?;
    call.pay_units(asset, heir, now)?;
    let Some(rest) = amount.checked_sub(now).filter(|rest| !rest.is_zero()) else { return Ok(true) };
    let key = units_key(&heir, asset);
    let (before, height) = match call.read::<Owed>(&key)? {
        Some(Owed { what: Valuable::Units { amount, .. }, height, .. }) => (amount, height),
        _ => (Amount::ZERO, call.height()),
    };
    // The instance owns what it owes, and nobody owns more than 2^128 - 1.
    let Some(sum) = before.checked_add(rest) else {
        return reject(ResultCode::AmountOverflow, Detail::Overflow { asset: asset.into() });
    };
    let what = Valuable::Units { asset: asset.to_owned(), amount: sum };
    call.write(&key, &Owed { to: heir, what, height })?;
    emit(call, "escrow.owed", &[("to", text(heir)), ("asset", text(asset)), ("amount", text(rest))])?;
    Ok(false)
}

/// Hands an item out of the instance's account, or records that it is owed. Whether it moved.
pub fn hand(call: &mut Call<'_, '_>, item: &ItemName, to: Address) -> Result<bool, Refusal> {
    let heir = call.heir(&to)?;
    if call.attempt(|call| call.pay_item(&item.asset, &item.item, heir))?.is_ok() {
        return Ok(true);
    }
    let height = call.height();
    call.write(&item_key(&heir, item), &Owed { to: heir, what: Valuable::Item(item.clone()), height })?;
    let fields: [(&str, Field); 3] = [("to", text(heir)), ("asset", text(&item.asset)), ("item", text(&item.item))];
    emit(call, "escrow.owed", &fields)?;
    Ok(false)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimArguments {
    account: Address,
    asset: String,
    #[serde(default)]
    item: Option<String>,
}

/// The method `claim`, by anybody: moves what is owed to an account, as far as it can move now.
pub(super) fn claim(call: &mut Call<'_, '_>, arguments: &str) -> Result<(), Refusal> {
    let ClaimArguments { account, asset, item } = parse(arguments, "escrow", "claim")?;
    if [Some(&asset), item.as_ref()].into_iter().flatten().any(|name| name.len() > NAME_BYTES_MAX) {
        return invalid(Detail::Between { part: Part::OwedName, least: 1, most: NAME_BYTES_MAX as u64 });
    }
    let key = match &item {
        Some(item) => item_key(&account, &ItemName { asset: asset.clone(), item: item.clone() }),
        None => units_key(&account, &asset),
    };
    let Some(Owed { what, height, .. }) = call.read(&key)? else {
        return reject(ResultCode::NothingOwed, Detail::NothingOwed { account });
    };
    let heir = call.heir(&account)?;
    let mut fields = vec![("account", text(account)), ("to", text(heir)), ("asset", text(&asset))];
    match what {
        Valuable::Units { amount, .. } => {
            let now = call.payable(&asset)?.min(amount);
            if now.is_zero() {
                // Says why, in the assets class's words.
                return call.pay_units(&asset, heir, amount);
            }
            call.pay_units(&asset, heir, now)?;
            match amount.checked_sub(now).filter(|rest| !rest.is_zero()) {
                Some(amount) => {
                    let what = Valuable::Units { asset, amount };
                    call.write(&key, &Owed { to: account, what, height })?;
                }
                None => call.remove(&key)?,
            }
            fields.push(("amount", text(now)));
        }
        Valuable::Item(item) => {
            call.pay_item(&item.asset, &item.item, heir)?;
            call.remove(&key)?;
            fields.push(("item", text(item.item)));
        }
    }
    emit(call, "escrow.claimed", &fields)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwedArguments {
    #[serde(default)]
    account: Option<Address>,
}

/// The query `owed`: what an instance owes to an account, or to anybody.
pub(super) fn query(view: &InstanceView<'_>, arguments: &str) -> Result<String, Refusal> {
    let OwedArguments { account } = parse(arguments, "escrow", "owed")?;
    let prefix = account.map_or_else(|| OWED.to_vec(), |account| units_key(&account, ""));
    let owed: Vec<Owed> = view.list(&prefix, &prefix, OWED_LISTED_MAX)?;
    answer(&owed)
}
