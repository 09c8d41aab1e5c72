//! Contracts, their instances, and questions to them.

use super::answer::found;
use super::parameters::Query;
use super::query::{PageQuery, at, one, page};
use super::reading::Failed;
use crate::{
    api::context::PeerContext,
    net::caller::Caller,
    problem::{ApiError, Kind},
};
use actix_web::{
    HttpResponse,
    web::{Data, Path},
};
use channel_actors::Reader;
use ledger_classes::execution::contracts;
use ledger_classes::formats::outcome::{Refusal, ResultCode};
use ledger_classes::formats::rights::Class;
use ledger_classes::limits::CALL_BYTES_MAX;
use ledger_classes::primitives::identity::{Identity, is_label};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(super) async fn list(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<String>,
    query: Query<PageQuery>,
) -> Result<HttpResponse, ApiError> {
    let visible = context.channel(&caller, &path)?;
    visible.read(Class::Contracts)?;
    let span = query.into_inner().span()?;
    page(&visible, move |view| contracts::contracts(view, &span)).await
}

pub(super) async fn instances(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<String>,
    query: Query<PageQuery>,
) -> Result<HttpResponse, ApiError> {
    let visible = context.channel(&caller, &path)?;
    visible.read(Class::Contracts)?;
    let span = query.into_inner().span()?;
    page(&visible, move |view| contracts::instances(view, &span)).await
}

pub(super) async fn instances_of(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<(String, String)>,
    query: Query<PageQuery>,
) -> Result<HttpResponse, ApiError> {
    let (channel, contract) = path.into_inner();
    let visible = context.channel(&caller, &channel)?;
    visible.read(Class::Contracts)?;
    if !is_label(&contract) {
        return Err(Kind::ContractUnknown.into());
    }
    let span = query.into_inner().span()?;
    page(&visible, move |view| contracts::instances_of(view, &contract, &span)).await
}

pub(super) async fn show(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (channel, name) = path.into_inner();
    let visible = context.channel(&caller, &channel)?;
    visible.read(Class::Contracts)?;
    one(&visible, Kind::ContractUnknown, move |view| known(contracts::contract(view, &name))).await
}

pub(super) async fn instance(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (channel, name) = path.into_inner();
    let visible = context.channel(&caller, &channel)?;
    visible.read(Class::Contracts)?;
    one(&visible, Kind::InstanceUnknown, move |view| known(contracts::instance(view, &name))).await
}

/// A record, or nothing where there is none.
fn known<T>(found: Result<T, Refusal>) -> Result<Option<T>, Failed> {
    match found {
        Ok(record) => Ok(Some(record)),
        Err(Refusal::Rejected { .. }) => Ok(None),
        Err(Refusal::Broken(error)) => Err(error.into()),
    }
}

/// Takes identities out of an answer: whoever sees contracts alone sees nobody's name (`participants`).
fn unnamed(value: &mut Value) {
    match value {
        Value::String(text) if Identity::parse(text).is_ok() => *value = Value::Null,
        Value::Array(items) => items.iter_mut().for_each(unnamed),
        Value::Object(fields) => fields.values_mut().for_each(unnamed),
        _ => {}
    }
}

/// A question to an instance.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InstanceQuery {
    method: String,
    /// A JSON document; `{}` if absent.
    arguments: Option<String>,
}

/// An instance's answer.
#[derive(Serialize)]
struct AnswerView {
    instance: String,
    method: String,
    result: Value,
}

pub(super) async fn query(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<(String, String)>,
    query: Query<InstanceQuery>,
) -> Result<HttpResponse, ApiError> {
    let (channel, instance) = path.into_inner();
    let visible = context.channel(&caller, &channel)?;
    visible.read(Class::Contracts)?;
    let InstanceQuery { method, arguments } = query.into_inner();
    let arguments = arguments.unwrap_or_else(|| "{}".into());
    if arguments.len() > CALL_BYTES_MAX {
        return Err(ApiError::new(Kind::InvalidParameter, format!("arguments have at most {CALL_BYTES_MAX} bytes")));
    }
    let names = visible.governance().is_ok();
    let answer = move |reader: &Reader<'_>| {
        let text = match contracts::query(reader.view(), &instance, &method, &arguments) {
            Ok(text) => text,
            Err(Refusal::Broken(error)) => return Err(error.into()),
            Err(Refusal::Rejected { code: ResultCode::InstanceUnknown, .. }) => {
                return Err(ApiError::from(Kind::InstanceUnknown).into());
            }
            Err(refusal @ Refusal::Rejected { .. }) => {
                return Err(ApiError::new(Kind::QueryRefused, refusal.to_string()).into());
            }
        };
        // Contracts answer in JSON; one that does not is answered as text rather than not at all.
        let mut result = ledger_classes::primitives::json::from_str(&text).unwrap_or(Value::String(text));
        if !names {
            unnamed(&mut result);
        }
        Ok(at(reader.height(), &AnswerView { instance, method, result })?)
    };
    found(&visible, answer).await
}
