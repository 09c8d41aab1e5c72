//! Assets and items.

use super::parameters::Query;
use super::query::{PageQuery, limit, one, page};
use crate::{context::PeerContext, problem::ApiError, problem::Kind, tls::Caller};
use actix_web::{
    HttpResponse,
    web::{Data, Path},
};
use ledger_classes::{
    execution::assets::{self, ItemRecord, NamedAsset},
    rights::Class,
    state::ReadView,
};
use serde::Serialize;

pub(super) async fn list(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<String>,
    query: Query<PageQuery>,
) -> Result<HttpResponse, ApiError> {
    let visible = context.channel(&caller, &path)?;
    visible.read(Class::Assets)?;
    let PageQuery { from, limit: asked } = query.into_inner();
    let query = move |view: &dyn ReadView, limit| assets::assets(view, from.as_deref(), limit);
    page(&visible.channel, limit(asked)?, query, |asset: &NamedAsset| asset.asset.clone()).await
}

pub(super) async fn show(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (channel, asset) = path.into_inner();
    let visible = context.channel(&caller, &channel)?;
    visible.read(Class::Assets)?;
    one(&visible.channel, Kind::AssetUnknown, move |view| {
        Ok(assets::asset(view, &asset)?.map(|record| NamedAsset { asset, record }))
    })
    .await
}

/// An item with its names.
#[derive(Serialize)]
struct NamedItem {
    asset: String,
    item: String,
    #[serde(flatten)]
    record: ItemRecord,
}

pub(super) async fn item(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<(String, String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (channel, asset, item) = path.into_inner();
    let visible = context.channel(&caller, &channel)?;
    visible.read(Class::Assets)?;
    one(&visible.channel, Kind::ItemUnknown, move |view| {
        Ok(assets::item(view, &asset, &item)?.map(|record| NamedItem { asset, item, record }))
    })
    .await
}
