//! Applications and their versions.

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
use ledger_classes::execution::apps;
use ledger_classes::execution::apps::{NamedApp, NamedAppVersion};
use ledger_classes::formats::rights::Class;
use ledger_classes::primitives::identity::is_label;

pub(super) async fn list(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<String>,
    query: Query<PageQuery>,
) -> Result<HttpResponse, ApiError> {
    let visible = context.channel(&caller, &path)?;
    visible.read(Class::Apps)?;
    let span = query.into_inner().span()?;
    page(&visible, move |view| apps::apps(view, &span)).await
}

pub(super) async fn show(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (channel, app) = path.into_inner();
    let visible = context.channel(&caller, &channel)?;
    visible.read(Class::Apps)?;
    one(&visible, Kind::AppUnknown, move |view| Ok(apps::app(view, &app)?.map(|record| NamedApp { app, record }))).await
}

pub(super) async fn versions(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<(String, String)>,
    query: Query<PageQuery>,
) -> Result<HttpResponse, ApiError> {
    let (channel, app) = path.into_inner();
    let visible = context.channel(&caller, &channel)?;
    visible.read(Class::Apps)?;
    if !is_label(&app) {
        return Err(Kind::AppUnknown.into());
    }
    let span = query.into_inner().span()?;
    page(&visible, move |view| apps::app_versions(view, &app, &span)).await
}

pub(super) async fn version(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<(String, String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (channel, app, version) = path.into_inner();
    let visible = context.channel(&caller, &channel)?;
    visible.read(Class::Apps)?;
    one(&visible, Kind::AppUnknown, move |view| {
        Ok(apps::app_version(view, &app, &version)?.map(|record| NamedAppVersion { version, record }))
    })
    .await
}
