//! The assets class: fungible and unique assets, what accounts own of them and may not move of it, and joint
//! accounts.
//!
//! Relations that always hold: an asset's supply is the sum of its balances (or the number of its items) and at
//! most its cap; no balance has more frozen, or more under live locks, than it owns; an item's id never returns.
//! What must never happen here: a unit that moves while its asset is paused, or while it is frozen or locked.

mod accounts;
mod definition;
mod fungible;
mod heirs;
mod queries;
mod records;
mod recovery;
mod restraint;
#[cfg(test)]
mod tests;
mod unique;

pub use accounts::joint_address;
pub use heirs::Successor;
pub use queries::{
    Holding, NamedAsset, NamedItem, allowance, asset, assets, balance_of, holdings, item, items, items_of,
    joint_account,
};
pub use records::{Allowance, AssetRecord, Balance, ItemRecord, JointAccount, LockEntry};
pub use recovery::{Inherited, Recovery};

pub(super) use accounts::{act, controllers, create_account, is_void, require_consent, screen_act};
pub(super) use definition::{define, pause, resume};
pub(super) use fungible::{
    approve, burn, free_balance, mint, move_units, pay_fee, screen_fee, transfer, transfer_batch, transfer_from,
};
pub(super) use heirs::{heir, require_not_recovered};
pub(super) use recovery::{check_parties, move_all, pass_on};
pub(super) use restraint::{freeze, lock, unfreeze};
pub(super) use unique::{
    approve_item, burn_item, freeze_item, item_owner, mint_item, move_item, require_movable, transfer_item,
    unfreeze_item,
};

use crate::formats::detail::{Detail, Part};
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::keys::Address;
use crate::primitives::amount::Amount;

/// Refuses an amount of nothing.
fn require_some(amount: Amount) -> Result<(), Refusal> {
    if amount.is_zero() {
        reject(ResultCode::InvalidField, Detail::AtLeast { part: Part::Amount, least: 1 })
    } else {
        Ok(())
    }
}

/// Refuses the address that is nobody's.
fn require_somebody(address: &Address) -> Result<(), Refusal> {
    if *address == Address::ZERO { reject(ResultCode::InvalidField, Detail::Nobody {}) } else { Ok(()) }
}
