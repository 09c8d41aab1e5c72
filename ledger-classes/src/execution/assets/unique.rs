//! Items of unique assets. Each lies under its own key and is listed under its owner; the two change together, in
//! [`relist`] alone.

use super::accounts::is_void;
use super::definition::{require_authority, require_burner, require_moving, require_unique};
use super::records::{AssetRecord, ItemRecord};
use super::require_somebody;
use crate::action::assets::{ApproveItem, ItemName, MintItem, TransferItem};
use crate::execution::Context;
use crate::execution::service::{self, Stopped};
use crate::formats::detail::{Detail, Duty, ItemFault, Thing};
use crate::formats::event::Event;
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::keys::Address;
use crate::primitives::amount::Amount;
use crate::primitives::identity::is_label;
use crate::state::keyspace;
use crate::state::view::Value;

/// The value of a listing: a listed key says everything.
const LISTED: [u8; 1] = [1];

/// An item that exists; a burnt one does not.
fn item_is<T>(code: ResultCode, asset: &str, item: &str, fault: ItemFault) -> Result<T, Refusal> {
    reject(code, Detail::Item { asset: asset.into(), item: item.into(), fault })
}

fn require_item(context: &Context<'_>, asset: &str, item: &str) -> Result<ItemRecord, Refusal> {
    let record: Option<ItemRecord> = context.get(&keyspace::item(asset, item))?;
    match record {
        Some(record) if record.burnt_height.is_none() => Ok(record),
        Some(_) => item_is(ResultCode::ItemUnknown, asset, item, ItemFault::Burnt),
        None => item_is(ResultCode::ItemUnknown, asset, item, ItemFault::Unknown),
    }
}

fn require_thawed(record: &ItemRecord, asset: &str, item: &str) -> Result<(), Refusal> {
    if record.frozen { item_is(ResultCode::ItemIsFrozen, asset, item, ItemFault::Frozen) } else { Ok(()) }
}

fn not_the_owner<T>(who: &Address, asset: &str, item: &str) -> Result<T, Refusal> {
    reject(ResultCode::NotTheOwner, Detail::NotTheOwner { asset: asset.into(), item: item.into(), who: *who })
}

/// Moves an item's listing.
fn relist(context: &mut Context<'_>, asset: &str, item: &str, from: Option<&Address>, to: Option<&Address>) {
    if let Some(from) = from {
        context.remove(keyspace::owned_item(from, asset, item));
    }
    if let Some(to) = to {
        context.put_value(keyspace::owned_item(to, asset, item), Value::from(LISTED));
    }
}

fn put_supply(context: &mut Context<'_>, asset: &str, mut record: AssetRecord, supply: Option<Amount>) {
    record.supply = supply.expect("the items of an asset are fewer than 2^128 and were all counted");
    context.put(keyspace::asset(asset), &record);
}

/// Who owns an item.
pub(in crate::execution) fn item_owner(context: &Context<'_>, asset: &str, item: &str) -> Result<Address, Refusal> {
    require_unique(context, asset)?;
    Ok(require_item(context, asset, item)?.owner)
}

/// Moves an item of `from`, with every check but that of who may ask for it. Emits `asset.item_transferred`.
/// Ends the item's approval.
pub(in crate::execution) fn move_item(
    context: &mut Context<'_>,
    asset: &str,
    item: &str,
    from: &Address,
    to: &Address,
) -> Result<(), Refusal> {
    require_somebody(to)?;
    let definition = require_unique(context, asset)?;
    require_moving(&definition, asset)?;
    let mut record = require_item(context, asset, item)?;
    if record.owner != *from {
        return not_the_owner(from, asset, item);
    }
    require_thawed(&record, asset, item)?;
    record.owner = *to;
    (record.approved, record.approved_height) = (None, None);
    context.put(keyspace::item(asset, item), &record);
    relist(context, asset, item, Some(from), Some(to));
    context.emit(Event::ItemTransferred { asset: asset.into(), item: item.into(), from: *from, to: *to })
}

/// Refuses if `item` cannot move now.
pub(in crate::execution) fn require_movable(context: &Context<'_>, asset: &str, item: &str) -> Result<(), Refusal> {
    let definition = require_unique(context, asset)?;
    require_moving(&definition, asset)?;
    require_thawed(&require_item(context, asset, item)?, asset, item)
}

pub(in crate::execution) fn mint_item(context: &mut Context<'_>, body: &MintItem) -> Result<(), Refusal> {
    let MintItem { asset, item, to, metadata } = body;
    if !is_label(item) {
        return reject(ResultCode::InvalidField, Detail::Named { thing: Thing::Item });
    }
    require_somebody(to)?;
    let definition = require_unique(context, asset)?;
    require_authority(context, &definition.mint_authority, Duty::Mint, asset)?;
    require_moving(&definition, asset)?;
    let key = keyspace::item(asset, item);
    if context.get_value(&key)?.is_some() {
        return item_is(ResultCode::ItemExists, asset, item, ItemFault::Exists);
    }
    let record = ItemRecord {
        owner: *to,
        metadata: *metadata,
        frozen: false,
        approved: None,
        approved_height: None,
        minted_height: context.height(),
        burnt_height: None,
    };
    context.put(key, &record);
    relist(context, asset, item, None, Some(to));
    let supply = definition.supply.checked_add(Amount(1));
    put_supply(context, asset, definition, supply);
    context.emit(Event::ItemMinted { asset: asset.clone(), item: item.clone(), to: *to })
}

pub(in crate::execution) fn burn_item(context: &mut Context<'_>, body: &ItemName) -> Result<(), Refusal> {
    let ItemName { asset, item } = body;
    let definition = require_unique(context, asset)?;
    require_burner(context, &definition, asset)?;
    require_moving(&definition, asset)?;
    let mut record = require_item(context, asset, item)?;
    let from = context.acting();
    if record.owner != from {
        return not_the_owner(&from, asset, item);
    }
    require_thawed(&record, asset, item)?;
    record.owner = Address::ZERO;
    (record.approved, record.approved_height) = (None, None);
    record.burnt_height = Some(context.height());
    context.put(keyspace::item(asset, item), &record);
    relist(context, asset, item, Some(&from), None);
    let supply = definition.supply.checked_sub(Amount(1));
    put_supply(context, asset, definition, supply);
    context.emit(Event::ItemBurnt { asset: asset.clone(), item: item.clone(), from })
}

pub(in crate::execution) fn transfer_item(context: &mut Context<'_>, body: &TransferItem) -> Result<(), Refusal> {
    let TransferItem { asset, item, to } = body;
    require_unique(context, asset)?;
    let record = require_item(context, asset, item)?;
    let acting = context.acting();
    if record.owner != acting {
        let height = record.approved_height.unwrap_or_default();
        if record.approved != Some(acting) || is_void(context, &record.owner, height)? {
            return not_the_owner(&acting, asset, item);
        }
    }
    move_item(context, asset, item, &record.owner, to)
}

pub(in crate::execution) fn approve_item(context: &mut Context<'_>, body: &ApproveItem) -> Result<(), Refusal> {
    let ApproveItem { asset, item, spender } = body;
    spender.as_ref().map_or(Ok(()), require_somebody)?;
    require_unique(context, asset)?;
    let mut record = require_item(context, asset, item)?;
    let acting = context.acting();
    if record.owner != acting {
        return not_the_owner(&acting, asset, item);
    }
    (record.approved, record.approved_height) = (*spender, spender.map(|_| context.height()));
    context.put(keyspace::item(asset, item), &record);
    context.emit(Event::ItemApproved { asset: asset.clone(), item: item.clone(), spender: *spender })
}

pub(in crate::execution) fn freeze_item(context: &mut Context<'_>, body: &ItemName) -> Result<(), Refusal> {
    let mut record = require_control(context, body)?;
    require_thawed(&record, &body.asset, &body.item)?;
    record.frozen = true;
    context.put(keyspace::item(&body.asset, &body.item), &record);
    service::set_stopped(context, Stopped::Item(body), true)?;
    context.emit(Event::ItemFrozen { asset: body.asset.clone(), item: body.item.clone() })
}

pub(in crate::execution) fn unfreeze_item(context: &mut Context<'_>, body: &ItemName) -> Result<(), Refusal> {
    let mut record = require_control(context, body)?;
    if !record.frozen {
        return item_is(ResultCode::NotFrozen, &body.asset, &body.item, ItemFault::NotFrozen);
    }
    record.frozen = false;
    context.put(keyspace::item(&body.asset, &body.item), &record);
    service::set_stopped(context, Stopped::Item(body), false)?;
    context.emit(Event::ItemUnfrozen { asset: body.asset.clone(), item: body.item.clone() })
}

/// The item, if the control authority acts.
fn require_control(context: &Context<'_>, body: &ItemName) -> Result<ItemRecord, Refusal> {
    let definition = require_unique(context, &body.asset)?;
    require_authority(context, &definition.control_authority, Duty::Freeze, &body.asset)?;
    require_item(context, &body.asset, &body.item)
}
