//! `GET /v1/status`: the peer, and the channels that the caller may see.

use super::{
    answer::{Pieces, in_json, made},
    channels::view,
};
use crate::{
    api::{
        access::{self, Visible},
        context::PeerContext,
    },
    clock,
    duties::{Duty, Obstacle},
    net::standing::Standing,
    net::{caller::Caller, places::Places},
    problem::ApiError,
    telemetry::log_lines::LogLines,
};
use actix_web::{HttpResponse, web::Data};
use channel_actors::runtime::tasks::TaskState;
use client::api::{ObstacleView, PeerStatus, PlacesView, TaskView, WaitingView};
use ledger_classes::formats::rights::Right;
use std::collections::BTreeSet;

pub(super) async fn show(context: Data<PeerContext>, caller: Caller) -> Result<HttpResponse, ApiError> {
    let visible = access::list(&context.registry, context.asking(&caller), None, usize::MAX);
    let answers_for = |visible: &&Visible| {
        let rights = visible.rights;
        rights.allows(Right::Admin) || rights.allows(Right::Audit)
    };
    let asked: BTreeSet<&str> = visible.iter().filter(answers_for).map(|visible| visible.channel.name()).collect();
    let standing = caller.who().standing;
    let (known, administers) = (standing != Standing::Anonymous, standing == Standing::Administrator);
    let status = PeerStatus {
        version: env!("CARGO_PKG_VERSION").into(),
        peer: context.identity.to_string(),
        consortium: context.identity.consortium().into(),
        started: context.started,
        time: clock::now(),
        caller: caller.identity().map(ToString::to_string),
        connections: known.then(|| context.metrics.connections()),
        certificate_not_after: context.trust.own_certificate().not_after(),
        incarnation: context.entered.incarnation.as_ref().filter(|_| known).map(ToString::to_string),
        // It names folders.
        fenced: context.entered.fenced.clone().map(|why| if administers { why } else { FENCED.into() }),
        disk_trouble: context.registry.disk().trouble().map(|trouble| trouble.to_string()),
        obstacles: context.duties.list(|channel| asked.contains(channel)).into_iter().map(obstacle).collect(),
        waiting: context.duties.all_waiting(|channel| asked.contains(channel)).into_iter().map(waiting).collect(),
        tasks: context.tasks.list().into_iter().filter(|_| known).map(task).collect(),
        log_lines_lost: context.log_lines.as_ref().filter(|_| known).map_or(0, LogLines::lost),
        crl_troubles: if administers { context.trust.crl_troubles().to_vec() } else { Vec::new() },
        places: context.places.all().into_iter().filter(|_| administers).map(|places| of(places)).collect(),
        channels_incomplete: access::incomplete(&context.registry).map(Into::into),
        channels: Vec::new(),
    };
    let with_channels = move |out: &mut Pieces| {
        let channels = visible.iter().map(|visible| view(visible, false)).collect();
        out.json(&PeerStatus { channels, ..status })
    };
    made(&context, &caller, in_json(), with_channels).await
}

/// What others than its administrators are told of a peer behind a wrong fence.
const FENCED: &str = "its channels are not where they were: its administrators are told more";

fn of(places: &Places) -> PlacesView {
    let [strangers, members, administrators] = Standing::ALL.map(|standing| places.taken(standing) as u64);
    PlacesView {
        what: places.what().into(),
        total: places.total() as u64,
        strangers,
        members,
        administrators,
        refused: Standing::ALL.into_iter().map(|standing| places.refused(standing)).sum(),
    }
}

fn task(state: TaskState) -> TaskView {
    TaskView { name: state.name.into(), running: state.running, restarts: state.restarts }
}

fn waiting((channel, duty, count): (String, Duty, u64)) -> WaitingView {
    WaitingView { channel, duty: duty.word().into(), count }
}

fn obstacle(Obstacle { channel, duty, subject, reason }: Obstacle) -> ObstacleView {
    ObstacleView { channel, duty: duty.word().into(), subject, reason }
}
