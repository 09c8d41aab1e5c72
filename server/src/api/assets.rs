//! Assets and items.

use super::parameters::Query;
use super::query::{PageQuery, one, page};
use crate::{
    api::context::PeerContext,
    net::caller::Caller,
    problem::{ApiError, Kind},
};
use actix_web::{
    HttpResponse,
    web::{Data, Path},
};
use ledger_classes::execution::assets;
use ledger_classes::execution::assets::{NamedAsset, NamedItem};
use ledger_classes::formats::rights::Class;
use ledger_classes::primitives::identity::is_label;

pub(super) async fn list(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<String>,
    query: Query<PageQuery>,
) -> Result<HttpResponse, ApiError> {
    let visible = context.channel(&caller, &path)?;
    visible.read(Class::Assets)?;
    let span = query.into_inner().span()?;
    page(&visible, move |view| assets::assets(view, &span)).await
}

pub(super) async fn show(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (channel, asset) = path.into_inner();
    let visible = context.channel(&caller, &channel)?;
    visible.read(Class::Assets)?;
    one(&visible, Kind::AssetUnknown, move |view| {
        Ok(assets::asset(view, &asset)?.map(|record| NamedAsset { asset, record }))
    })
    .await
}

/// Items of a unique asset; of an asset that does not exist or has none, an empty page.
pub(super) async fn items(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<(String, String)>,
    query: Query<PageQuery>,
) -> Result<HttpResponse, ApiError> {
    let (channel, asset) = path.into_inner();
    let visible = context.channel(&caller, &channel)?;
    visible.read(Class::Assets)?;
    if !is_label(&asset) {
        return Err(Kind::AssetUnknown.into());
    }
    let span = query.into_inner().span()?;
    page(&visible, move |view| assets::items(view, &asset, &span)).await
}

pub(super) async fn item(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<(String, String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (channel, asset, item) = path.into_inner();
    let visible = context.channel(&caller, &channel)?;
    visible.read(Class::Assets)?;
    one(&visible, Kind::ItemUnknown, move |view| {
        Ok(assets::item(view, &asset, &item)?.map(|record| NamedItem { asset, item, record }))
    })
    .await
}
