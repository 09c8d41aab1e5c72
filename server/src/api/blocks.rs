//! Blocks, as JSON or in their binary encoding. They hold what every class does: whoever may not read all four sees
//! events and queries, but no blocks. Transactions that carry administrative acts are left out of the JSON form for those
//! who may not read these, and a block with such transactions is not given to them in binary.

use super::{
    parameters::Query,
    query::not_readable,
    service::{json, negotiated, preferred},
};
use crate::{
    context::PeerContext,
    limits::{BLOCKS_PAGE_BYTES_MAX, BLOCKS_PAGE_MAX},
    problem::{ApiError, Kind},
    tls::Caller,
};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path},
};
use bytes::{BufMut as _, BytesMut};
use channel_actors::{ChannelHandle, CommittedBlock};
use client::{
    api::{BlockView, MEDIA_TYPE_BLOCK, MEDIA_TYPE_BLOCKS, Page, ReceiptView, TransactionView},
    verify::decode_payload,
};
use ledger_classes::{
    action::Action,
    codec,
    keys::Address,
    rights::Rights,
    transaction::{ENVELOPE_BYTES_MAX, Envelope, Transaction},
};
use serde::Deserialize;

/// Where a page of blocks begins and how long it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BlocksQuery {
    #[serde(default)]
    from: u64,
    limit: Option<u64>,
}

pub(super) async fn list(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<String>,
    query: Query<BlocksQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let visible = context.channel(&caller, &path)?;
    visible.read_all()?;
    let limit = query.limit.unwrap_or(BLOCKS_PAGE_MAX);
    if !(1..=BLOCKS_PAGE_MAX).contains(&limit) {
        return Err(ApiError::new(Kind::InvalidParameter, format!("limit: 1 to {BLOCKS_PAGE_MAX}")));
    }
    if preferred(&request, &[super::body::JSON, MEDIA_TYPE_BLOCKS]) == MEDIA_TYPE_BLOCKS {
        visible.acts()?;
        return encoded(&visible.channel, query.from, query.limit).await;
    }
    let height = visible.channel.tip().height;
    let (mut items, mut bytes, mut at) = (Vec::new(), 0, query.from);
    let end = query.from.saturating_add(limit).min(height.saturating_add(1));
    while at < end && bytes < BLOCKS_PAGE_BYTES_MAX {
        let block = visible.channel.block(at).await.map_err(not_readable)?;
        let Some(block) = block else { break };
        bytes += block.block.transactions.iter().map(Vec::len).sum::<usize>();
        items.push(view(&block, visible.rights));
        at += 1;
    }
    let next = (at > query.from && at <= height).then(|| at.to_string());
    json(&Page { height, items, next })
}

/// Blocks as the log holds them, each after its length: about a MiB of them. For whoever takes all, such as an auditor.
async fn encoded(channel: &ChannelHandle, from: u64, limit: Option<u64>) -> Result<HttpResponse, ApiError> {
    let blocks = channel.encoded_blocks(from).await.map_err(not_readable)?;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let mut body = BytesMut::new();
    for block in blocks.iter().take(limit) {
        body.put_u32_le(u32::try_from(block.len()).map_err(|_| ApiError::from(Kind::Broken))?);
        body.put_slice(block);
    }
    Ok(negotiated(MEDIA_TYPE_BLOCKS).body(body.freeze()))
}

pub(super) async fn show(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<(String, String)>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let (channel, height) = path.into_inner();
    let visible = context.channel(&caller, &channel)?;
    visible.read_all()?;
    let height: u64 = height.parse().map_err(|_| ApiError::new(Kind::InvalidParameter, "a height is a number"))?;
    if height > visible.channel.tip().height {
        return Err(Kind::BlockUnknown.into());
    }
    let block = visible.channel.block(height).await.map_err(not_readable)?;
    let block = block.ok_or(Kind::BlockUnknown)?;
    if preferred(&request, &[super::body::JSON, MEDIA_TYPE_BLOCK]) == MEDIA_TYPE_BLOCK {
        if tells_acts(&block) {
            visible.acts()?;
        }
        return Ok(negotiated(MEDIA_TYPE_BLOCK).body(codec::encode(&block.block)));
    }
    json(&view(&block, visible.rights))
}

/// A block as JSON. What does not decode is left out, which the store's own checks make impossible.
fn view(committed: &CommittedBlock, rights: Rights) -> BlockView {
    let block = &committed.block;
    let timers = committed.timers();
    let receipts = committed.receipts.iter().skip(timers);
    let mut withheld = 0;
    let mut transactions = Vec::with_capacity(block.transactions.len());
    for (bytes, receipt) in block.transactions.iter().zip(receipts) {
        let Some((sender, transaction)) = decoded(bytes) else { continue };
        if carries_act(&transaction) && !rights.reads_acts() {
            withheld += 1;
            continue;
        }
        let (id, receipt) = (receipt.head.id, ReceiptView::new(receipt, rights));
        transactions.push(TransactionView { id, sender, transaction, receipt });
    }
    BlockView {
        hash: committed.header_hash,
        header: block.header.clone(),
        seal: block.seal.clone(),
        transactions,
        withheld,
        timers: committed.receipts.iter().take(timers).map(|receipt| ReceiptView::new(receipt, rights)).collect(),
    }
}

/// A transaction and its sender; none in the genesis block.
fn decoded(bytes: &[u8]) -> Option<(Address, Transaction)> {
    let envelope: Envelope = codec::decode(bytes, ENVELOPE_BYTES_MAX).ok()?;
    Some((envelope.signatures.first()?.key.address(), decode_payload(&envelope)?))
}

/// Whether a block holds a transaction that carries an administrative act.
fn tells_acts(committed: &CommittedBlock) -> bool {
    committed.block.transactions.iter().filter_map(|bytes| decoded(bytes)).any(|(_, body)| carries_act(&body))
}

/// Whether a transaction carries an administrative act.
pub(super) fn carries_act(transaction: &Transaction) -> bool {
    transaction.actions.iter().any(Action::is_administrative)
}
