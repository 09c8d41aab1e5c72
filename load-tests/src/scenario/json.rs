//! As `throughput`, for clients without the binary encoding: JSON payloads, each signed and posted by itself, over 64
//! connections with keep-alive.
//!
//! The generator writes prepared requests to connections of its own (`wire`): the SDK would take more of the two cores than
//! the peer does.

use super::bench::{Bench, CHANNEL, block_on};
use crate::drive::Driven;
use crate::error::LoadError;
use crate::figures::Part;
use crate::options::Options;
use crate::progress;
use crate::report::Measured;
use crate::wire::{Dialer, Wire, posting};
use serde::Deserialize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const JSON: &str = "application/json";
/// Connections, one transaction in flight on each.
const CONNECTIONS: usize = 64;
/// Transactions signed for warming up.
const WARM_TRANSACTIONS: u64 = 32_768;
/// How long warming up may take.
const WARM_WINDOW: Duration = Duration::from_secs(3);
/// The least that the rate must be of the limit.
const RATIO_MIN: f64 = 0.15;

/// What matters of an answer, or of the problem in its place.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    receipt: Option<Receipt>,
    #[serde(default, rename = "type")]
    problem: Option<String>,
}

#[derive(Deserialize)]
struct Receipt {
    code: u16,
}

pub(super) fn run(options: &Options) -> Result<Measured, LoadError> {
    block_on(async {
        let mut bench = Bench::start(options, options.senders, 1).await?;
        let dialer = bench.peer.dialer()?;
        progress("warming up");
        let window = Duration::from_secs(options.seconds);
        let warm_window = WARM_WINDOW.min(window / 2);
        let share = warm_window.as_secs_f64() / WARM_WINDOW.as_secs_f64();
        let signed = bench.workload.sign_json((WARM_TRANSACTIONS as f64 * share) as u64);
        let warm = drive_json(&dialer, signed.clone(), warm_window).await?;
        bench.learn(warm.committed_per_s());
        progress("as many bytes that are no JSON");
        let no_json = signed.into_iter().map(|body| vec![b'x'; body.len()]).collect();
        let alone = drive_json(&dialer, no_json, warm_window).await?;
        let count = bench.batches_for(window, 1).max(2 * CONNECTIONS as u64);
        progress(&format!("{:.0}/s before; signing {count}", bench.rate()));
        let signed = bench.workload.sign_json(count);
        let mut measured = bench.measured();
        let alone = alone.refused as f64 / alone.window.as_secs_f64().max(f64::EPSILON);
        measured.parts.push(Part::new("requests that are no JSON").with("requests_per_s", alone));
        let ready = Ready::make(&dialer, signed).await?;
        progress(&format!("measuring for {} s", options.seconds));
        bench.observe(&mut measured, ready.drive(window)).await?;
        bench.peer.stop().await?;
        measured.set("connections", CONNECTIONS);
        measured.set("batch_transactions", 1);
        measured.set("encoding", "JSON payloads, posted one by one");
        measured.set("window_seconds", options.seconds);
        measured.ratio_min = Some(RATIO_MIN);
        Ok(measured)
    })
}

type Queue = Arc<Mutex<std::vec::IntoIter<Vec<u8>>>>;

fn path() -> String {
    format!("/v1/channels/{CHANNEL}/transactions?wait=committed")
}

/// Connections, and what is to be sent on them.
struct Ready {
    wires: Vec<Wire>,
    queue: Queue,
}

impl Ready {
    /// New connections: to sign may take longer than the peer keeps idle ones. Each has had an answer: a peer closes those
    /// that bring no request soon.
    async fn make(dialer: &Dialer, bodies: Vec<Vec<u8>>) -> Result<Self, LoadError> {
        let request = |body: Vec<u8>| posting(dialer.address(), &path(), JSON, &body);
        let requests: Vec<_> = bodies.into_iter().map(request).collect();
        let mut wires = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            let mut wire = dialer.dial().await?;
            wire.post(&path(), JSON, b"{}").await?;
            wires.push(wire);
        }
        Ok(Self { wires, queue: Arc::new(Mutex::new(requests.into_iter())) })
    }

    /// A closed loop over all connections.
    async fn drive(self, window: Duration) -> Result<Driven, LoadError> {
        let (start, mut senders) = (Instant::now(), JoinSet::new());
        for wire in self.wires {
            senders.spawn(post(wire, Arc::clone(&self.queue), start, window));
        }
        let mut driven = Driven::default();
        while let Some(one) = senders.join_next().await {
            driven.merge(one??);
        }
        if !driven.ran_out {
            driven.window = window;
        }
        Ok(driven)
    }
}

async fn drive_json(dialer: &Dialer, bodies: Vec<Vec<u8>>, window: Duration) -> Result<Driven, LoadError> {
    Ready::make(dialer, bodies).await?.drive(window).await
}

async fn post(mut wire: Wire, queue: Queue, start: Instant, window: Duration) -> Result<Driven, LoadError> {
    let mut driven = Driven::default();
    while start.elapsed() < window {
        let Some(request) = queue.lock().unwrap_or_else(PoisonError::into_inner).next() else {
            driven.ran_out = true;
            break;
        };
        let sent = Instant::now();
        let (status, answer) = wire.ask(&request).await?;
        if start.elapsed() > window {
            break;
        }
        judge(&mut driven, status, &answer, sent.elapsed());
        driven.window = start.elapsed();
    }
    Ok(driven)
}

/// Counts an answer.
fn judge(driven: &mut Driven, status: u16, answer: &[u8], took: Duration) {
    match ledger_classes::primitives::json::from_slice(answer) {
        Ok(Answer { receipt: Some(Receipt { code }), .. }) if status == 200 => {
            driven.committed += u64::from(code == 0);
            driven.failed += u64::from(code != 0);
            driven.latencies.add(took, 1);
        }
        Ok(Answer { problem: Some(problem), .. }) => {
            driven.refuse(1, problem.rsplit(':').next().unwrap_or_default());
        }
        _ => driven.refuse(1, &format!("answered with {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let mut driven = Driven::default();
        for (status, answer) in [
            (200, r#"{"id":"00","status":"committed","receipt":{"code":0,"height":1,"events":[{}]}}"#),
            (200, r#"{"status":"committed","receipt":{"code":210}}"#),
            (202, r#"{"status":"accepted"}"#),
            (503, r#"{"type":"urn:chancery:problem:overloaded","title":"Busy","status":503}"#),
            (502, "<html>"),
        ] {
            judge(&mut driven, status, answer.as_bytes(), Duration::from_millis(1));
        }
        assert_eq!((driven.committed, driven.failed, driven.refused), (1, 1, 3));
        assert_eq!(driven.reasons, ["answered with 202", "overloaded", "answered with 502"]);
    }
}
