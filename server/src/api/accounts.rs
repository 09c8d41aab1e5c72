//! What accounts own and what they allow others. An account needs no registration: one that owns nothing is empty,
//! not unknown.

use super::answer::{Pieces, found, in_json, written};
use super::parameters::Query;
use super::query::{PageQuery, address, at, page, write_page};
use crate::{
    api::context::PeerContext,
    limits::{ACCOUNT_LIST_MAX, PAGE_BYTES_MAX},
    net::caller::Caller,
    problem::{self, ApiError},
};
use actix_web::{
    HttpResponse,
    web::{Data, Path},
};
use channel_actors::Reader;
use client::api::{AccountView, BalanceView, ItemView};
use ledger_classes::action::assets::Kind;
use ledger_classes::execution::assets;
use ledger_classes::execution::assets::Holding;
use ledger_classes::formats::rights::Class;
use ledger_classes::keys::Address;
use ledger_classes::primitives::amount::Amount;
use ledger_classes::primitives::identity::is_label;
use ledger_classes::primitives::time::Time;
use ledger_classes::state::listing::Span;
use ledger_classes::state::participant::Participant;
use ledger_classes::state::view::{ReadError, ReadView};
use ledger_classes::state::{keyspace, record};
use serde::Serialize;

pub(super) async fn show(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (channel, account) = path.into_inner();
    let visible = context.channel(&caller, &channel)?;
    visible.read(Class::Assets)?;
    let (account, names) = (address(&account)?, visible.governance().is_ok());
    // Locks end by block time, so the answer is as of the last block's.
    let time = visible.channel.tip().time;
    let answer = move |reader: &Reader<'_>| {
        let view = reader.view();
        let all = Span { bytes: PAGE_BYTES_MAX, ..Span::first(ACCOUNT_LIST_MAX) };
        let balances = assets::holdings(view, &account, &all)?;
        let items = assets::items_of(view, &account, &all)?;
        // Who stands behind an address is told by the rule of those lists (`participants`).
        let participant: Option<Participant> = match names {
            true => record::read(view, &keyspace::participant(&account))?,
            false => None,
        };
        Ok(AccountView {
            height: reader.height(),
            address: account,
            balances_next: balances.next.map(hex::encode),
            balances: balances.items.iter().map(|held| balance(view, held, time)).collect::<Result<_, _>>()?,
            items_next: items.next.map(hex::encode),
            items: items.items.into_iter().map(|owned| ItemView { asset: owned.asset, item: owned.item }).collect(),
            participant: participant.map(value).transpose()?,
            joint: assets::joint_account(view, &account)?.map(value).transpose()?,
        })
    };
    found(&visible, answer).await
}

/// Digits after the point of an asset's amounts; an asset of items, or none, has no amounts.
fn decimals(view: &dyn ReadView, asset: &str) -> Result<u8, ReadError> {
    Ok(match assets::asset(view, asset)?.map(|record| record.kind) {
        Some(Kind::Fungible { decimals, .. }) => decimals,
        Some(Kind::Unique {}) | None => 0,
    })
}

fn balance(view: &dyn ReadView, holding: &Holding, time: Time) -> Result<BalanceView, ReadError> {
    Ok(BalanceView {
        decimals: decimals(view, &holding.asset)?,
        asset: holding.asset.clone(),
        owned: holding.balance.owned,
        free: holding.balance.free(time),
        frozen: holding.balance.frozen,
        locked: holding.balance.locked(time),
    })
}

pub(super) async fn balances(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<(String, String)>,
    query: Query<PageQuery>,
) -> Result<HttpResponse, ApiError> {
    let (channel, account) = path.into_inner();
    let visible = context.channel(&caller, &channel)?;
    visible.read(Class::Assets)?;
    let (account, span, time) = (address(&account)?, query.into_inner().span()?, visible.channel.tip().time);
    let page = move |reader: &Reader<'_>, out: &mut Pieces| {
        let listed = assets::holdings(reader.view(), &account, &span)?;
        write_page(out, reader.height(), &listed, |held| balance(reader.view(), held, time))
    };
    written(&visible, in_json(), page).await
}

pub(super) async fn items(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<(String, String)>,
    query: Query<PageQuery>,
) -> Result<HttpResponse, ApiError> {
    let (channel, account) = path.into_inner();
    let visible = context.channel(&caller, &channel)?;
    visible.read(Class::Assets)?;
    let (account, span) = (address(&account)?, query.into_inner().span()?);
    page(&visible, move |view| assets::items_of(view, &account, &span)).await
}

fn value<T: Serialize>(record: T) -> Result<serde_json::Value, ReadError> {
    serde_json::to_value(record).map_err(|error| ReadError(error.to_string()))
}

/// What a spender may still move.
#[derive(Serialize)]
struct AllowanceView {
    owner: Address,
    spender: Address,
    asset: String,
    decimals: u8,
    amount: Amount,
}

pub(super) async fn allowance(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<(String, String, String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (channel, owner, spender, asset) = path.into_inner();
    let visible = context.channel(&caller, &channel)?;
    visible.read(Class::Assets)?;
    let (owner, spender) = (address(&owner)?, address(&spender)?);
    if !is_label(&asset) {
        return Err(problem::Kind::AssetUnknown.into());
    }
    let answer = move |reader: &Reader<'_>| {
        let amount = assets::allowance(reader.view(), &owner, &spender, &asset)?;
        let decimals = decimals(reader.view(), &asset)?;
        Ok(at(reader.height(), &AllowanceView { owner, spender, asset, decimals, amount })?)
    };
    found(&visible, answer).await
}
