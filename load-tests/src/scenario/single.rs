//! What most applications do: one transaction an item, 256 in flight over 8 connections, each answered once it is
//! committed. By streams of submissions, and as a second figure by plain requests of one transaction each, which need a
//! connection for each that is in flight.
//!
//! As in `json` the generator writes prepared bytes to connections of its own.

use super::bench::{Bench, CHANNEL, block_on};
use crate::drive::Driven;
use crate::error::LoadError;
use crate::figures::Part;
use crate::options::Options;
use crate::progress;
use crate::report::Measured;
use crate::wire::{Chunks, Dialer, Wire};
use crate::workload::Pattern;
use client::api::{
    Batch, BatchAnswer, BatchResult, Cutter, Form, MEDIA_TYPE_BATCH, MEDIA_TYPE_SUBMISSIONS, StreamFrame, push_frame,
};
use ledger_classes::primitives::codec;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Transactions in flight.
const IN_FLIGHT: usize = 256;
/// Streams that share them.
const STREAMS: usize = 8;
/// Transactions signed for warming up.
const WARM_TRANSACTIONS: u64 = 65_536;
/// How long warming up may take.
const WARM_WINDOW: Duration = Duration::from_secs(3);
/// The least that the rate must be of the limit.
const RATIO_MIN: f64 = 0.3;
/// Bytes of an answer to one transaction in binary.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

pub(super) fn run(options: &Options) -> Result<Measured, LoadError> {
    block_on(async {
        let mut bench = Bench::start(options, options.senders, 1).await?;
        let dialer = bench.peer.dialer()?;
        progress("warming up");
        let window = Duration::from_secs(options.seconds);
        let warm_window = WARM_WINDOW.min(window / 2);
        let share = warm_window.as_secs_f64() / WARM_WINDOW.as_secs_f64();
        let warm = queue(&mut bench, ((WARM_TRANSACTIONS as f64 * share) as u64).max(IN_FLIGHT as u64));
        let warm = by_streams(&dialer, warm, warm_window).await?;
        bench.learn(warm.committed_per_s());
        progress("by plain requests");
        let count = bench.batches_for(warm_window, 1).max(2 * IN_FLIGHT as u64);
        let plain = queue(&mut bench, count);
        let plain = by_requests(&dialer, plain, warm_window).await?;
        let count = bench.batches_for(window, 1).max(2 * IN_FLIGHT as u64);
        progress(&format!("{:.0}/s before; signing {count}", bench.rate()));
        let signed = queue(&mut bench, count);
        let mut measured = bench.measured();
        measured.parts.push(Part::of("plain requests", &plain).with("connections", IN_FLIGHT as u64));
        progress(&format!("measuring for {} s", options.seconds));
        bench.observe(&mut measured, by_streams(&dialer, signed, window)).await?;
        bench.peer.stop().await?;
        measured.set("connections", STREAMS);
        measured.set("in_flight", IN_FLIGHT);
        measured.set("batch_transactions", 1);
        measured.set("encoding", "binary, one transaction a frame of a stream of submissions");
        measured.set("window_seconds", options.seconds);
        measured.ratio_min = Some(RATIO_MIN);
        Ok(measured)
    })
}

type Queue = Arc<Mutex<std::vec::IntoIter<Vec<u8>>>>;

/// Signed transactions.
fn queue(bench: &mut Bench, count: u64) -> Queue {
    let signed = bench.workload.sign(Pattern::Spread, count, 1);
    let each: Vec<Vec<u8>> = signed.into_iter().flatten().collect();
    Arc::new(Mutex::new(each.into_iter()))
}

fn next(queue: &Queue) -> Option<Vec<u8>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).next()
}

fn answered(driven: &mut Driven, result: &BatchResult, took: Duration) {
    match result {
        BatchResult::Committed { code, .. } => {
            driven.committed += u64::from(*code == 0);
            driven.failed += u64::from(*code != 0);
            driven.latencies.add(took, 1);
        }
        BatchResult::Refused { problem, .. } => driven.refuse(1, problem),
        BatchResult::Accepted { .. } => driven.refuse(1, "accepted only"),
    }
}

fn invalid(what: impl Into<String>) -> LoadError {
    io::Error::new(io::ErrorKind::InvalidData, what.into()).into()
}

async fn all(mut senders: JoinSet<Result<Driven, LoadError>>, window: Duration) -> Result<Driven, LoadError> {
    let mut driven = Driven::default();
    while let Some(one) = senders.join_next().await {
        driven.merge(one??);
    }
    if !driven.ran_out {
        driven.window = window;
    }
    Ok(driven)
}

async fn by_streams(dialer: &Dialer, queue: Queue, window: Duration) -> Result<Driven, LoadError> {
    let mut wires = Vec::with_capacity(STREAMS);
    for _ in 0..STREAMS {
        let mut wire = dialer.dial().await?;
        let path = format!("/v1/channels/{CHANNEL}/submissions");
        wire.open_post(&path, MEDIA_TYPE_SUBMISSIONS).await?;
        wires.push(wire);
    }
    let (start, mut senders) = (Instant::now(), JoinSet::new());
    for wire in wires {
        senders.spawn(stream(wire, Arc::clone(&queue), start, window));
    }
    all(senders, window).await
}

/// One stream: for each outcome the next transaction goes out.
async fn stream(mut wire: Wire, queue: Queue, start: Instant, window: Duration) -> Result<Driven, LoadError> {
    let (mut driven, mut sent) = (Driven::default(), Vec::new());
    let (mut chunks, mut cutter) = (Chunks::default(), Cutter::new(Form::Frames, ANSWER_BYTES_MAX));
    let mut free = 0;
    let mut open = IN_FLIGHT / STREAMS;
    let mut out = Vec::new();
    loop {
        chunks.push(&wire.chunk().await?, |bytes| cutter.push(bytes)).map_err(LoadError::from)?;
        while let Some(frame) = cutter.cut().map_err(|error| invalid(error.to_string()))? {
            match codec::decode(frame, ANSWER_BYTES_MAX).map_err(|error| invalid(error.to_string()))? {
                StreamFrame::Opened { credits, .. } => {
                    free = open.min(credits as usize);
                    open = 0;
                }
                StreamFrame::Outcome { number, result } => {
                    let begun: Instant = sent[usize::try_from(number).unwrap_or(usize::MAX)];
                    open -= 1;
                    free += 1;
                    if start.elapsed() <= window {
                        answered(&mut driven, &result, begun.elapsed());
                        driven.window = start.elapsed();
                    }
                }
                StreamFrame::Alive => {}
                StreamFrame::Unreadable { result, .. } => return Err(invalid(format!("{result:?}"))),
                StreamFrame::Ended { problem, detail, .. } => return Err(invalid(format!("{problem}: {detail}"))),
            }
        }
        out.clear();
        while free > 0
            && start.elapsed() <= window
            && let Some(envelope) = next(&queue)
        {
            push_frame(&mut out, &[&(sent.len() as u64).to_le_bytes(), &envelope]);
            sent.push(Instant::now());
            free -= 1;
            open += 1;
        }
        if !out.is_empty() {
            wire.send_chunk(&out).await?;
        } else if open == 0 && !sent.is_empty() {
            driven.ran_out = start.elapsed() <= window;
            return Ok(driven);
        } else if sent.is_empty() && free > 0 {
            // Others took all.
            return Ok(driven);
        }
    }
}

async fn by_requests(dialer: &Dialer, queue: Queue, window: Duration) -> Result<Driven, LoadError> {
    let path: Arc<str> = format!("/v1/channels/{CHANNEL}/transactions?wait=committed").into();
    let mut wires = Vec::with_capacity(IN_FLIGHT);
    for _ in 0..IN_FLIGHT {
        let mut wire = dialer.dial().await?;
        // A peer closes those that bring no request soon.
        wire.post(&path, MEDIA_TYPE_BATCH, b"").await?;
        wires.push(wire);
    }
    let (start, mut senders) = (Instant::now(), JoinSet::new());
    for wire in wires {
        senders.spawn(request(wire, Arc::clone(&path), Arc::clone(&queue), start, window));
    }
    all(senders, window).await
}

async fn request(
    mut wire: Wire,
    path: Arc<str>,
    queue: Queue,
    start: Instant,
    window: Duration,
) -> Result<Driven, LoadError> {
    let mut driven = Driven::default();
    while start.elapsed() < window {
        let Some(envelope) = next(&queue) else {
            driven.ran_out = true;
            break;
        };
        let body = codec::encode(&Batch { version: 1, envelopes: vec![envelope] });
        let sent = Instant::now();
        let (status, answer) = wire.post(&path, MEDIA_TYPE_BATCH, &body).await?;
        if start.elapsed() > window {
            break;
        }
        match codec::decode::<BatchAnswer>(&answer, ANSWER_BYTES_MAX) {
            Ok(BatchAnswer { results, .. }) if status == 200 && results.len() == 1 => {
                answered(&mut driven, &results[0], sent.elapsed());
            }
            _ => driven.refuse(1, &format!("answered with {status}")),
        }
        driven.window = start.elapsed();
    }
    Ok(driven)
}
