//! What one may ask about assets, over any view: the committed state for the API, a context inside execution.

use super::accounts::is_void;
use super::records::{Allowance, AssetRecord, Balance, ItemRecord, JointAccount};
use crate::keys::Address;
use crate::primitives::amount::Amount;
use crate::state::keyspace;
use crate::state::keyspace::Family;
use crate::state::listing::{Listed, Span, list, text};
use crate::state::record;
use crate::state::view::{ReadError, ReadView};
use serde::Serialize;

/// An asset with its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedAsset {
    /// Its name on the channel.
    pub asset: String,
    /// The record.
    #[serde(flatten)]
    pub record: AssetRecord,
}

/// What an account owns of one asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holding {
    /// The asset.
    pub asset: String,
    /// How much.
    #[serde(flatten)]
    pub balance: Balance,
}

/// An item with its names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedItem {
    /// The asset.
    pub asset: String,
    /// The item.
    pub item: String,
    /// The record.
    #[serde(flatten)]
    pub record: ItemRecord,
}

/// The asset named `name`.
pub fn asset(view: &dyn ReadView, name: &str) -> Result<Option<AssetRecord>, ReadError> {
    record::read(view, &keyspace::asset(name))
}

/// Assets in the order of their names.
pub fn assets(view: &dyn ReadView, span: &Span) -> Result<Listed<NamedAsset>, ReadError> {
    list(view, &keyspace::asset(""), span, |_, name, value| {
        Ok(NamedAsset { asset: text(name)?, record: record::from_value(value)? })
    })
}

/// What `account` owns of `asset`; nothing of an asset that does not exist.
pub fn balance_of(view: &dyn ReadView, asset: &str, account: &Address) -> Result<Balance, ReadError> {
    Ok(record::read(view, &keyspace::balance(account, asset))?.unwrap_or_default())
}

/// Balances of `account`, in the order of the assets' names.
pub fn holdings(view: &dyn ReadView, account: &Address, span: &Span) -> Result<Listed<Holding>, ReadError> {
    list(view, &keyspace::balance(account, ""), span, |_, name, value| {
        Ok(Holding { asset: text(name)?, balance: record::from_value(value)? })
    })
}

/// What `spender` may still move of `owner`'s units of `asset`.
pub fn allowance(view: &dyn ReadView, owner: &Address, spender: &Address, asset: &str) -> Result<Amount, ReadError> {
    let allowance: Option<Allowance> = record::read(view, &keyspace::allowance(owner, spender, asset))?;
    match allowance {
        Some(allowance) if !is_void(view, owner, allowance.height)? => Ok(allowance.amount),
        _ => Ok(Amount::ZERO),
    }
}

/// An item; a burnt one is told by its height of burning.
pub fn item(view: &dyn ReadView, asset: &str, item: &str) -> Result<Option<ItemRecord>, ReadError> {
    record::read(view, &keyspace::item(asset, item))
}

/// Items of a unique asset in the order of their names, the burnt ones among them.
pub fn items(view: &dyn ReadView, asset: &str, span: &Span) -> Result<Listed<NamedItem>, ReadError> {
    list(view, &keyspace::item(asset, ""), span, |_, name, value| {
        Ok(NamedItem { asset: asset.into(), item: text(name)?, record: record::from_value(value)? })
    })
}

/// Items of `owner`, in the order of asset and item.
pub fn items_of(view: &dyn ReadView, owner: &Address, span: &Span) -> Result<Listed<NamedItem>, ReadError> {
    list(view, &keyspace::key(Family::OwnedItem, &[&owner.0]), span, |view, listed, _| {
        let listed = text(listed)?;
        let damaged = || ReadError(format!("the list of {owner}'s items is damaged at {listed:?}"));
        let (asset, name) = listed.split_once('\0').ok_or_else(damaged)?;
        let record = item(view, asset, name)?.ok_or_else(damaged)?;
        Ok(NamedItem { asset: asset.into(), item: name.into(), record })
    })
}

/// The joint account at `account`.
pub fn joint_account(view: &dyn ReadView, account: &Address) -> Result<Option<JointAccount>, ReadError> {
    record::read(view, &keyspace::joint_account(account))
}
