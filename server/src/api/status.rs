//! `GET /v1/status`: the peer, and the channels that the caller may see.

use super::{channels::view, service::json};
use crate::{access, clock, context::PeerContext, log_lines::LogLines, problem::ApiError, tls::Caller};
use actix_web::{HttpResponse, web::Data};
use channel_actors::tasks::TaskState;
use client::api::{PeerStatus, TaskView};

pub(super) async fn show(context: Data<PeerContext>, caller: Caller) -> Result<HttpResponse, ApiError> {
    json(&PeerStatus {
        version: env!("CARGO_PKG_VERSION").into(),
        peer: context.identity.to_string(),
        consortium: context.identity.consortium().into(),
        started: context.started,
        time: clock::now(),
        caller: caller.identity().map(ToString::to_string),
        connections: context.metrics.connections(),
        certificate_not_after: context.trust.own_certificate().not_after(),
        disk_trouble: context.registry.disk().trouble().map(|trouble| trouble.to_string()),
        tasks: context.tasks.list().into_iter().map(task).collect(),
        log_lines_lost: context.log_lines.as_ref().map_or(0, LogLines::lost),
        channels: access::list(&context.registry, &caller).iter().map(|visible| view(visible, false)).collect(),
    })
}

fn task(state: TaskState) -> TaskView {
    TaskView { name: state.name.into(), running: state.running, restarts: state.restarts }
}
