//! What many channels cost. First the same load over more and more active ones: the same requests in flight, dealt round
//! robin, so that only the number of channels differs. Then, on a peer of its own, what idle ones cost: memory, processor
//! time, and the time to start again.
//!
//! The report's own keys are of the last step of active channels, `detail`'s stages and blocks of its first channel.

use super::bench::{Bench, CHANNEL, block_on};
use crate::drive::{Driven, Request};
use crate::error::LoadError;
use crate::figures::{Part, Target, ms, ratio};
use crate::files;
use crate::options::Options;
use crate::peer::{Peer, open_channel};
use crate::progress;
use crate::report::Measured;
use crate::workload::{Pattern, Workload};
use client::api::{ChannelSpec, ChannelState, ChannelView};
use client::connection::Connection;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Requests in flight to those of `throughput`, and in how many smaller ones its requests are cut: as many transactions
/// are in flight, spread over more channels.
const CUT: u32 = 16;
/// The fewest senders of a channel.
const SENDERS_MIN: u32 = 16;
/// Channels that are prepared at a time.
const PREPARED_AT_A_TIME: usize = 16;
/// How long the peer's processor time is watched while nothing happens, seconds.
const IDLE_SECONDS_MAX: u64 = 10;
/// Channels from which it is learned how many files one takes.
const PROBE: u32 = 8;
/// Memory that an idle channel may take, bytes.
const IDLE_BYTES_MAX: f64 = 65_536.0;
/// Processor time that all idle channels may take together, of one core: what the clock of `/proc` still tells from 0.
const IDLE_CPU_MAX: f64 = 0.01;
/// Seconds to serving that a peer with idle channels may take.
const RESTART_SECONDS_MAX: f64 = 20.0;

/// The least that the total over this many channels must be of that of the first step.
const fn ratio_min(channels: u32) -> f64 {
    if channels <= 100 { 0.85 } else { 0.7 }
}

/// A channel with accounts that can pay.
struct Lane {
    name: Arc<str>,
    workload: Workload,
}

pub(super) fn run(options: &Options) -> Result<Measured, LoadError> {
    block_on(async {
        let limit = files::raise_limit();
        let mut measured = active(options).await?;
        idle(options, limit, &mut measured).await?;
        Ok(measured)
    })
}

/// Creates channels, some at a time.
pub(super) async fn create(
    connection: &Connection,
    specs: Vec<ChannelSpec>,
) -> Result<Vec<(String, ChannelView)>, LoadError> {
    let (mut specs, mut running, mut created) = (VecDeque::from(specs), JoinSet::new(), Vec::new());
    loop {
        while let Some(spec) = (running.len() < PREPARED_AT_A_TIME).then(|| specs.pop_front()).flatten() {
            let connection = connection.clone();
            running.spawn(async move {
                let view = connection.create_channel(&spec).await?;
                Ok::<_, LoadError>((spec.name, view))
            });
        }
        match running.join_next().await {
            Some(one) => created.push(one??),
            None => return Ok(created),
        }
    }
}

/// Creates channels, and how long it took.
fn created(part: &str, channels: usize, took: Duration) -> Part {
    let each = ms(took) / (channels as f64).max(1.0);
    Part::new(part).with("channels", channels).with("created_s", took.as_secs_f64()).with("created_each_ms", each)
}

/// Gives each channel its asset and accounts, some at a time. The first steps have fewer channels and more senders on
/// each, so that about as many accounts work in every step.
async fn fund(
    connection: &Connection,
    options: &Options,
    channels: Vec<(String, ChannelView)>,
    steps: &[u32],
) -> Result<Vec<Lane>, LoadError> {
    let (mut left, mut running, mut lanes) = (VecDeque::from(channels), JoinSet::new(), Vec::new());
    loop {
        while let Some((name, view)) = (running.len() < PREPARED_AT_A_TIME).then(|| left.pop_front()).flatten() {
            let number: u32 = name.rsplit('-').next().and_then(|text| text.parse().ok()).unwrap_or(u32::MAX);
            let step = steps.iter().copied().find(|step| *step > number).unwrap_or(1);
            let senders = (options.senders / step).max(SENDERS_MIN);
            let (connection, seed) = (connection.clone(), options.seed);
            running.spawn(async move {
                let mut workload = Workload::new(view.id, seed, senders);
                workload.fund(&connection, &name).await?;
                Ok::<_, LoadError>((number, Lane { name: name.into(), workload }))
            });
        }
        match running.join_next().await {
            Some(one) => lanes.push(one??),
            None => break,
        }
    }
    lanes.sort_by_key(|(number, _)| *number);
    Ok(lanes.into_iter().map(|(_, lane)| lane).collect())
}

async fn active(options: &Options) -> Result<Measured, LoadError> {
    let mut bench = Bench::start(options, options.senders, options.connections).await?;
    bench.connections = bench.connections.iter().cycle().take((options.connections * CUT) as usize).cloned().collect();
    let small = Options { batch: (options.batch / CUT).max(1), ..options.clone() };
    let mut measured = bench.measured();
    measured.set("batch_transactions", small.batch);
    measured.set("window_seconds", options.seconds);
    let steps = &options.channels;
    let most = steps.iter().copied().max().unwrap_or(1);
    progress(&format!("creating {most} channels"));
    let connection = bench.peer.connect()?;
    let start = Instant::now();
    let names = (1..most).map(|number| open_channel(&format!("{CHANNEL}-{number}"))).collect();
    let channels = create(&connection, names).await?;
    measured.parts.push(created("creating active channels", channels.len(), start.elapsed()));
    progress("funding their accounts");
    let others = fund(&connection, options, channels, steps).await?;
    bench.warm_up(&small).await?;
    let window = Duration::from_secs(options.seconds);
    let mut lanes = vec![Lane { name: CHANNEL.into(), workload: bench.take_workload() }];
    lanes.extend(others);
    let mut first: Option<f64> = None;
    for (at, step) in steps.iter().enumerate() {
        progress(&format!("{step} channels for {} s", options.seconds));
        let count = (*step as usize).min(lanes.len());
        let each = bench.batches_for(window, small.batch).div_ceil(count as u64);
        let requests = deal(&mut lanes[..count], each, small.batch);
        let driven: Driven = if at + 1 == steps.len() {
            bench.observe(&mut measured, bench.drive_requests(requests, window)).await?;
            measured.driven.clone().unwrap_or_default()
        } else {
            bench.drive_requests(requests, window).await?
        };
        let rate = driven.committed_per_s();
        bench.learn(rate);
        let share = ratio(rate, *first.get_or_insert(rate));
        let name = format!("{step} active");
        measured.parts.push(Part::of(&name, &driven).with("channels", *step).with("to_first", share));
        if at > 0 {
            let figure = format!("total over {step} channels to that over {}", steps[0]);
            measured.targets.push(Target::at_least(figure, ratio_min(*step), share));
        }
    }
    bench.peer.stop().await?;
    Ok(measured)
}

/// `each` batches for each channel, round robin.
fn deal(lanes: &mut [Lane], each: u64, size: u32) -> Vec<Request> {
    let mut signed: Vec<_> = lanes
        .iter_mut()
        .map(|lane| (Arc::clone(&lane.name), lane.workload.sign(Pattern::Spread, each, size).into_iter()))
        .collect();
    let mut requests = Vec::new();
    for _ in 0..each {
        for (channel, batches) in &mut signed {
            requests.extend(batches.next().map(|batch| Request { channel: Arc::clone(channel), batch }));
        }
    }
    requests
}

/// The peer's processor time, of one core, over a while in which nothing is asked.
async fn resting(peer: &Peer, while_: Duration) -> f64 {
    let before = peer.usage();
    tokio::time::sleep(while_).await;
    peer.usage().since(&before).cpu.as_secs_f64() / while_.as_secs_f64()
}

async fn idle(options: &Options, limit: u64, measured: &mut Measured) -> Result<(), LoadError> {
    progress("starting a peer for idle channels");
    let mut peer = Peer::start(options, &[]).await?;
    let connection = peer.connect()?;
    let rest = Duration::from_secs(options.seconds.min(IDLE_SECONDS_MAX));
    let cpu_before = resting(&peer, rest).await;
    let before = peer.usage();
    let name = |number: u32| format!("idle-{number}");
    let spec = |number: u32| open_channel(&name(number));
    let probe = PROBE.min(options.idle_channels);
    let open = peer.open_files();
    let start = Instant::now();
    create(&connection, (0..probe).map(spec).collect()).await?;
    let files_each = peer.open_files().saturating_sub(open).div_ceil(u64::from(probe));
    let (count, said) = files::fitting(options.idle_channels, "idle channels", files_each, open, limit);
    measured.warnings.extend(said);
    let count = count.max(probe);
    progress(&format!("creating {count} idle channels"));
    create(&connection, (probe..count).map(spec).collect()).await?;
    let took = start.elapsed();
    let after = peer.usage();
    let cpu = (resting(&peer, rest).await - cpu_before).max(0.0);
    let each = |now: u64| now.saturating_sub(before.rss_bytes) as f64 / f64::from(count);
    let idle = created("idle channels", count as usize, took)
        .with("open_files_each", files_each)
        .with("memory_each_bytes", each(after.rss_bytes))
        .with("cpu_of_one_core", cpu);
    measured.parts.push(idle);
    progress("restarting the peer");
    peer.drain().await?;
    let first = peer.restart(&name(count - 1)).await?;
    let start = Instant::now();
    let connection = peer.connect()?;
    let serves = |view: &&ChannelView| view.state == ChannelState::Serving;
    while connection.all_channels().await?.iter().filter(serves).count() < count as usize {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let all = first + start.elapsed();
    let again = peer.usage();
    let restarted = Part::new("restart with idle channels")
        .with("channels", count)
        .with("first_answer_s", first.as_secs_f64())
        .with("all_serving_s", all.as_secs_f64())
        .with("memory_each_bytes", each(again.rss_bytes));
    measured.parts.push(restarted);
    measured.targets.extend([
        Target::at_most("memory of an idle channel, bytes", IDLE_BYTES_MAX, each(after.rss_bytes)),
        Target::at_most("processor time of all idle channels, of one core", IDLE_CPU_MAX, cpu),
        Target::at_most("restart with idle channels, s", RESTART_SECONDS_MAX, all.as_secs_f64()),
    ]);
    peer.stop().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger_classes::primitives::hash::Hash;

    #[test]
    fn requests_are_dealt_to_channels_in_turn() {
        let lane = |name: &str| Lane { name: name.into(), workload: Workload::new(Hash([1; 32]), 1, 4) };
        let requests = deal(&mut [lane("a"), lane("b"), lane("c")], 2, 5);
        let names: String = requests.iter().map(|request| &*request.channel).collect();
        assert_eq!(names, "abcabc");
        assert!(requests.iter().all(|request| request.batch.len() == 5));
        assert_eq!([1, 100, 101].map(ratio_min), [0.85, 0.85, 0.7]);
    }
}
