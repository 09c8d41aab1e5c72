//! Definition of assets, pause and resume, and the checks that every other action begins with.

use super::heirs::heir;
use super::records::AssetRecord;
use crate::action::assets::{AssetName, Define, Kind};
use crate::execution::Context;
use crate::execution::service::{self, Stopped};
use crate::formats::detail::{Detail, Duty, Part, Text, Thing};
use crate::formats::event::Event;
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::keys::Address;
use crate::limits::{DECIMALS_MAX, TITLE_BYTES_MAX};
use crate::primitives::amount::Amount;
use crate::primitives::identity::is_label;
use crate::state::keyspace;

/// The asset named `name`.
pub(super) fn require(context: &Context<'_>, name: &str) -> Result<AssetRecord, Refusal> {
    match context.get(&keyspace::asset(name))? {
        Some(record) => Ok(record),
        None => reject(ResultCode::AssetUnknown, Detail::UnknownAsset { asset: name.into() }),
    }
}

/// The fungible asset named `name`.
pub(super) fn require_fungible(context: &Context<'_>, name: &str) -> Result<AssetRecord, Refusal> {
    let record = require(context, name)?;
    match record.kind {
        Kind::Fungible { .. } => Ok(record),
        Kind::Unique {} => reject(ResultCode::WrongAssetKind, Detail::OfItems { asset: name.into() }),
    }
}

/// The unique asset named `name`.
pub(super) fn require_unique(context: &Context<'_>, name: &str) -> Result<AssetRecord, Refusal> {
    let record = require(context, name)?;
    match record.kind {
        Kind::Unique {} => Ok(record),
        Kind::Fungible { .. } => reject(ResultCode::WrongAssetKind, Detail::OfUnits { asset: name.into() }),
    }
}

/// Refuses a movement of a paused asset.
pub(super) fn require_moving(record: &AssetRecord, name: &str) -> Result<(), Refusal> {
    if record.paused { reject(ResultCode::AssetIsPaused, Detail::Paused { asset: name.into() }) } else { Ok(()) }
}

/// Refuses everybody but `authority` of what is its duty.
pub(super) fn require_authority(
    context: &Context<'_>,
    authority: &Address,
    duty: Duty,
    asset: &str,
) -> Result<(), Refusal> {
    if context.acting() == heir(context, authority)? {
        Ok(())
    } else {
        reject(
            ResultCode::NotTheAuthority,
            Detail::NotTheAuthority { authority: *authority, duty, asset: asset.into() },
        )
    }
}

/// Refuses everybody but the burn authority, if there is one.
pub(super) fn require_burner(context: &Context<'_>, record: &AssetRecord, name: &str) -> Result<(), Refusal> {
    match &record.burn_authority {
        Some(authority) => require_authority(context, authority, Duty::Burn, name),
        None => Ok(()),
    }
}

pub(in crate::execution) fn define(context: &mut Context<'_>, body: &Define) -> Result<(), Refusal> {
    if !is_label(&body.asset) {
        return reject(ResultCode::InvalidField, Detail::Named { thing: Thing::Asset });
    }
    if body.title.len() > TITLE_BYTES_MAX {
        return reject(ResultCode::InvalidField, Detail::AtMost { part: Part::Title, most: TITLE_BYTES_MAX as u64 });
    }
    if let Kind::Fungible { decimals, supply_cap } = body.kind {
        if decimals > DECIMALS_MAX {
            return reject(
                ResultCode::InvalidField,
                Detail::AtMost { part: Part::Decimals, most: DECIMALS_MAX.into() },
            );
        }
        if supply_cap == Some(Amount::ZERO) {
            return reject(ResultCode::InvalidField, Detail::AtLeast { part: Part::SupplyCap, least: 1 });
        }
    }
    let key = keyspace::asset(&body.asset);
    if context.get_value(&key)?.is_some() {
        return reject(ResultCode::AssetExists, Detail::AssetExists { asset: Text::from(&body.asset) });
    }
    let by = context.acting();
    let record = AssetRecord {
        title: body.title.clone(),
        kind: body.kind.clone(),
        mint_authority: body.mint_authority.unwrap_or(by),
        burn_authority: body.burn_authority,
        control_authority: body.control_authority.unwrap_or(by),
        metadata: body.metadata,
        supply: Amount::ZERO,
        paused: false,
        defined_by: by,
        defined_height: context.height(),
    };
    context.put(key, &record);
    context.emit(Event::AssetDefined { asset: body.asset.clone(), by })
}

/// Pausing a paused asset changes nothing and is no error: in an emergency several may try.
pub(in crate::execution) fn pause(context: &mut Context<'_>, body: &AssetName) -> Result<(), Refusal> {
    set_paused(context, &body.asset, true)?;
    context.emit(Event::AssetPaused { asset: body.asset.clone() })
}

pub(in crate::execution) fn resume(context: &mut Context<'_>, body: &AssetName) -> Result<(), Refusal> {
    set_paused(context, &body.asset, false)?;
    context.emit(Event::AssetResumed { asset: body.asset.clone() })
}

fn set_paused(context: &mut Context<'_>, name: &str, paused: bool) -> Result<(), Refusal> {
    let mut record = require(context, name)?;
    require_authority(context, &record.control_authority, Duty::Pause, name)?;
    record.paused = paused;
    context.put(keyspace::asset(name), &record);
    service::set_stopped(context, Stopped::Asset(name), paused)
}
