//! What one may ask about assets, over any view: the committed state for the API, a context inside execution.

use super::records::{Allowance, AssetRecord, Balance, ItemRecord, JointAccount};
use crate::amount::Amount;
use crate::keys::Address;
use crate::keyspace::{self, Family};
use crate::record;
use crate::state::{ReadError, ReadView, scan};
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

/// An item in its owner's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OwnedItem {
    /// The asset.
    pub asset: String,
    /// The item.
    pub item: String,
    /// The record.
    #[serde(flatten)]
    pub record: ItemRecord,
}

/// The part of a listed key after its prefix, as the text that it was made of.
fn text(bytes: &[u8]) -> Result<String, ReadError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| ReadError("a key of the assets class is not text".into()))
}

/// The asset named `name`.
pub fn asset(view: &dyn ReadView, name: &str) -> Result<Option<AssetRecord>, ReadError> {
    record::read(view, &keyspace::asset(name))
}

/// Up to `limit` assets in the order of their names, after `after` where a page continues.
pub fn assets(view: &dyn ReadView, after: Option<&str>, limit: usize) -> Result<Vec<NamedAsset>, ReadError> {
    let prefix = [Family::Asset as u8];
    let from = after.map_or_else(|| prefix.to_vec(), |name| just_after(keyspace::asset(name)));
    scan(view, &prefix, &from, limit)?
        .into_iter()
        .map(|(key, value)| Ok(NamedAsset { asset: text(&key[1..])?, record: record::from_value(&value)? }))
        .collect()
}

/// What `account` owns of `asset`; nothing of an asset that does not exist.
pub fn balance_of(view: &dyn ReadView, asset: &str, account: &Address) -> Result<Balance, ReadError> {
    Ok(record::read(view, &keyspace::balance(account, asset))?.unwrap_or_default())
}

/// Up to `limit` balances of `account`, in the order of the assets' names.
pub fn holdings(view: &dyn ReadView, account: &Address, limit: usize) -> Result<Vec<Holding>, ReadError> {
    let prefix = keyspace::balance(account, "");
    scan(view, &prefix, &prefix, limit)?
        .into_iter()
        .map(|(key, value)| Ok(Holding { asset: text(&key[prefix.len()..])?, balance: record::from_value(&value)? }))
        .collect()
}

/// What `spender` may still move of `owner`'s units of `asset`.
pub fn allowance(view: &dyn ReadView, owner: &Address, spender: &Address, asset: &str) -> Result<Amount, ReadError> {
    let allowance: Option<Allowance> = record::read(view, &keyspace::allowance(owner, spender, asset))?;
    Ok(allowance.map_or(Amount::ZERO, |allowance| allowance.amount))
}

/// An item; a burnt one is told by its height of burning.
pub fn item(view: &dyn ReadView, asset: &str, item: &str) -> Result<Option<ItemRecord>, ReadError> {
    record::read(view, &keyspace::item(asset, item))
}

/// Up to `limit` items of `owner`, in the order of asset and item, after `after` (asset and item) where a page
/// continues.
pub fn items_of(
    view: &dyn ReadView,
    owner: &Address,
    after: Option<(&str, &str)>,
    limit: usize,
) -> Result<Vec<OwnedItem>, ReadError> {
    let prefix = keyspace::key(Family::OwnedItem, &[&owner.0]);
    let from =
        after.map_or_else(|| prefix.clone(), |(asset, item)| just_after(keyspace::owned_item(owner, asset, item)));
    scan(view, &prefix, &from, limit)?
        .into_iter()
        .map(|(key, _)| {
            let listed = text(&key[prefix.len()..])?;
            let damaged = || ReadError(format!("the list of {owner}'s items is damaged at {listed:?}"));
            let (asset, name) = listed.split_once('\0').ok_or_else(damaged)?;
            let record = item(view, asset, name)?.ok_or_else(damaged)?;
            Ok(OwnedItem { asset: asset.into(), item: name.into(), record })
        })
        .collect()
}

/// The joint account at `account`.
pub fn joint_account(view: &dyn ReadView, account: &Address) -> Result<Option<JointAccount>, ReadError> {
    record::read(view, &keyspace::joint_account(account))
}

/// The smallest key above `key`.
fn just_after(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}
