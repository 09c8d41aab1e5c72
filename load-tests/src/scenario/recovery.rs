//! How long a peer takes to come back: from the start of its process to the first answered query of the channel, after
//! a clean end and after `kill -9` in the middle of load, with more and more history.
//!
//! The history is made by the load itself and goes on from step to step. The report's own keys are of the load that
//! makes the last step's history.

use super::bench::{Bench, CHANNEL, block_on};
use crate::disk;
use crate::drive::{Driven, drive, requests};
use crate::error::LoadError;
use crate::figures::{Part, Target};
use crate::options::Options;
use crate::progress;
use crate::report::Measured;
use crate::workload::{Pattern, Workload};
use std::time::{Duration, Instant};

/// Seconds to serving that a peer may take.
const SERVING_SECONDS_MAX: f64 = 2.0;
/// Transactions that are signed at a time.
const PORTION: u64 = 131_072;
/// The fewest transactions that are sent for the peer to be killed in.
const KILL_LOAD_MIN: u64 = 8_192;
/// How long one portion may take.
const PORTION_MAX: Duration = Duration::from_secs(600);
/// How long the peer is under load before it is killed.
const BEFORE_KILL: Duration = Duration::from_secs(1);

pub(super) fn run(options: &Options) -> Result<Measured, LoadError> {
    block_on(async {
        let mut bench = Bench::start(options, options.senders, options.connections).await?;
        let mut measured = bench.measured();
        measured.set("signed_before_the_window", "a portion at a time; the window is the driving of all portions");
        measured.set("batch_transactions", options.batch);
        let mut workload = bench.take_workload();
        let mut history = 0;
        for total in &options.transactions {
            progress(&format!("{history} transactions; making {total} of them"));
            let start = Instant::now();
            let missing = total.saturating_sub(history);
            bench.observe(&mut measured, make(&bench, &mut workload, options.batch, missing)).await?;
            let made = measured.driven.clone().unwrap_or_default();
            history += made.committed;
            let part = Part::of(format!("{total} transactions"), &made);
            measured.parts.push(part.with("made_s", start.elapsed().as_secs_f64()));
            for end in ["clean end", "kill -9"] {
                progress(&format!("restarting after a {end}"));
                let acknowledged = bench.height().await?;
                match end {
                    "clean end" => bench.peer.drain().await?,
                    _ => kill_under_load(&mut bench, &mut workload, options.batch, *total).await?,
                }
                let took = bench.peer.restart(CHANNEL).await?;
                bench.connections = bench.peer.connections(options.connections)?;
                let height = bench.height().await?;
                if height < acknowledged {
                    return Err(LoadError::Setup(format!(
                        "lost: height {height} after a {end}, {acknowledged} before"
                    )));
                }
                let part = Part::new(format!("{total} transactions, {end}"))
                    .with("to_serving_ms", took.as_secs_f64() * 1e3)
                    .with("height", height)
                    .with("data_bytes", disk::bytes_under(&bench.peer.data())?);
                measured.parts.push(part);
                let figure = format!("start to serving after {total} transactions and a {end}, s");
                measured.targets.push(Target::at_most(figure, SERVING_SECONDS_MAX, took.as_secs_f64()));
            }
        }
        bench.peer.stop().await?;
        Ok(measured)
    })
}

/// Commits `transactions`, signed a portion at a time; the window is that of the driving alone.
async fn make(bench: &Bench, workload: &mut Workload, batch: u32, transactions: u64) -> Result<Driven, LoadError> {
    let mut made = Driven::default();
    while made.committed < transactions {
        let portion = (transactions - made.committed).min(PORTION).div_ceil(u64::from(batch));
        let driven = bench.drive(workload.sign(Pattern::Spread, portion, batch), PORTION_MAX).await?;
        if driven.committed == 0 {
            return Err(LoadError::Setup(format!("no history is made: {:?}", driven.reasons)));
        }
        let window = made.window + driven.window;
        // A portion is meant to be used up: that is no lack.
        made.merge(Driven { ran_out: false, ..driven });
        made.window = window;
    }
    Ok(made)
}

/// Kills the peer while transactions are under way. What becomes of those that had no answer is not counted.
async fn kill_under_load(
    bench: &mut Bench,
    workload: &mut Workload,
    batch: u32,
    history: u64,
) -> Result<(), LoadError> {
    let load = history.clamp(KILL_LOAD_MIN, PORTION).div_ceil(u64::from(batch));
    let signed = workload.sign(Pattern::Spread, load, batch);
    let connections = bench.connections.clone();
    let load = tokio::spawn(async move { drive(&connections, requests(CHANNEL, signed), PORTION_MAX).await });
    tokio::time::sleep(BEFORE_KILL).await;
    bench.peer.kill().await?;
    // Its requests fail now, as they must; or it was done before the kill.
    let _ = load.await?;
    Ok(())
}
