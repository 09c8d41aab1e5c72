//! Blocks, as JSON or in their binary encoding. They hold what every class does: whoever may not read all four sees
//! events and queries, but no blocks. Transactions that carry administrative acts are left out of the JSON form for those
//! who may not read these. In binary there is the seed of all that a block hides (docs/decisions/0039), its state's root
//! included, so that it is for who reads them too.

use super::{
    answer::{Pieces, sent, sliced, written},
    media::{negotiated, preferred},
    parameters::Query,
    reading::not_readable,
    slices::{BlocksPage, OneBlock},
};
use crate::{
    api::{access::Visible, context::PeerContext},
    limits::BLOCKS_PAGE_MAX,
    net::caller::Caller,
    problem::{ApiError, Kind},
};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path},
};
use channel_actors::Reader;
use client::api::{MEDIA_TYPE_BLOCK, MEDIA_TYPE_BLOCKS};
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
        return encoded(&visible, query.from, query.limit).await;
    }
    let height = visible.channel.tip().height;
    let (purse, rights, from) = (visible.purse.clone(), visible.rights, query.from);
    let end = from.saturating_add(limit).min(height.saturating_add(1));
    let page = BlocksPage { purse, rights, height, from, at: from, end, current: None, begun: false };
    sliced(&context, &caller, &visible, page).await
}

/// Blocks as the log holds them, each after its length: about a MiB of them. For whoever takes all, such as an auditor.
async fn encoded(visible: &Visible, from: u64, limit: Option<u64>) -> Result<HttpResponse, ApiError> {
    let most = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let blocks = visible.channel.encoded_blocks(from, most).await.map_err(not_readable)?;
    sent(visible, negotiated(MEDIA_TYPE_BLOCKS), |out| {
        for block in blocks {
            let length = u32::try_from(block.len()).map_err(|_| ApiError::from(Kind::Broken))?;
            out.raw(&length.to_le_bytes())?;
            out.bytes(block)?;
        }
        Ok(())
    })
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
    let (purse, rights) = (visible.purse.clone(), visible.rights);
    if preferred(&request, &[super::body::JSON, MEDIA_TYPE_BLOCK]) == MEDIA_TYPE_BLOCK {
        visible.acts()?;
        let block = move |reader: &Reader<'_>, out: &mut Pieces| {
            out.bytes(reader.encoded_block(height)?.ok_or_else(|| ApiError::from(Kind::BlockUnknown))?)
        };
        return written(&visible, negotiated(MEDIA_TYPE_BLOCK), block).await;
    }
    let block = OneBlock { purse, rights, height, current: None };
    sliced(&context, &caller, &visible, block).await
}
