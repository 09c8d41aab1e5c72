//! Minutes or hours of mixed work at a steady rate: transfers and log records by a timetable, bids at an auction,
//! queries, subscribers that come and go. What is looked for is what grows: memory must not, the disk as the first
//! transactions foretold; and at the end the balances must add up.
//!
//! The work is cut into slices. Between two of them the next one is signed, memory and disk are looked at, and new
//! subscribers come. The report's own keys are the transfers' of all slices.

use super::bench::{Bench, CHANNEL, block_on};
use crate::crowd::Crowd;
use crate::disk;
use crate::drive::{Driven, drive_by, requests};
use crate::error::LoadError;
use crate::figures::{Part, Target, ratio};
use crate::options::Options;
use crate::progress;
use crate::report::Measured;
use crate::schedule::Schedule;
use crate::slope::{settled, slope};
use crate::workload::{ASSET, BALANCE, EncodedBatch, Pattern, Workload};
use client::api::BatchResult;
use client::connection::Connection;
use client::submit::Wait;
use std::time::{Duration, Instant};

/// Transfers a second.
const RATE: u64 = 2_000;
/// Log records for each transfer.
const LOGS: u64 = 20;
/// Their topic.
const TOPIC: &str = "soak.log";
/// Bids a second.
const BIDS_PER_SECOND: u64 = 5;
/// Queries a second: a balance, a block, a page of log records.
const QUERIES_PER_SECOND: u64 = 15;
/// Subscribers of a slice.
const SUBSCRIBERS: u32 = 20;
/// Length of a slice; shorter runs have at least six.
const SLICE: Duration = Duration::from_secs(10);
/// Requests in flight at most.
const IN_FLIGHT_MAX: usize = 128;
/// How much memory may grow after warming up, of its mean.
const MEMORY_GROWTH_MAX: f64 = 0.05;
/// How far the disk may be from what was foretold.
const DISK_ERROR_MAX: f64 = 0.1;

/// One look at the peer.
#[derive(Clone, Copy, Debug)]
struct Sample {
    seconds: f64,
    memory: f64,
    disk: f64,
    /// Transactions committed by then.
    transactions: f64,
}

/// What came of all slices.
#[derive(Default)]
struct Done {
    transfers: Driven,
    logs: Driven,
    bids: u64,
    queries: u64,
    subscribers: u64,
    whole: u64,
    samples: Vec<Sample>,
}

/// What one slice does, signed beforehand.
struct Slice {
    transfers: Schedule,
    transfer_batches: Vec<EncodedBatch>,
    logs: Schedule,
    log_batches: Vec<EncodedBatch>,
    bids: Vec<EncodedBatch>,
}

impl Slice {
    fn sign(workload: &mut Workload, rate: u64, length: Duration, bids_before: u64) -> Self {
        workload.renew();
        let transfers = Schedule::new(rate, length);
        let logs = Schedule { batch: 1, ..Schedule::new((rate / LOGS).clamp(1, 1_000), length) };
        let bids = (BIDS_PER_SECOND as f64 * length.as_secs_f64()).max(1.0) as u64;
        Self {
            transfer_batches: workload.sign(Pattern::Spread, transfers.requests, transfers.batch),
            log_batches: workload.sign_logs(logs.requests, TOPIC),
            bids: workload.sign_bids(bids, 1 + bids_before),
            transfers,
            logs,
        }
    }
}

pub(super) fn run(options: &Options) -> Result<Measured, LoadError> {
    block_on(async {
        let mut bench = Bench::start(options, options.senders, 1).await?;
        let connection = bench.connections[0].clone();
        bench.workload.open_auction(&connection, CHANNEL).await?;
        let mut workload = bench.take_workload();
        let mut measured = bench.measured();
        let rate = options.rate.unwrap_or(RATE);
        let length = SLICE.min(options.minutes / 6);
        measured.set("signed_before_the_window", "slice by slice");
        measured.set("rate_per_s", rate);
        measured.set("minutes", options.minutes.as_secs_f64() / 60.0);
        measured.set("slice_seconds", length.as_secs_f64());
        let mut done = Done::default();
        progress(&format!("{rate}/s for {:.1} minutes", options.minutes.as_secs_f64() / 60.0));
        let work = async {
            let start = Instant::now();
            while start.elapsed() < options.minutes {
                let slice = Slice::sign(&mut workload, rate, length, done.bids);
                slice_of_work(&bench, &workload, slice, length, &mut done).await?;
                done.samples.push(Sample {
                    seconds: start.elapsed().as_secs_f64(),
                    memory: bench.peer.usage().rss_bytes as f64,
                    disk: disk::bytes_under(&bench.peer.data())? as f64,
                    transactions: (done.transfers.committed + done.logs.committed + done.bids) as f64,
                });
            }
            Ok(done.transfers.clone())
        };
        bench.observe(&mut measured, work).await?;
        progress("adding up balances");
        let total = balances(&connection, &workload).await? + u128::from(done.bids);
        bench.peer.stop().await?;
        judge(&done, total, workload.senders(), &mut measured);
        Ok(measured)
    })
}

/// One slice of everything at once.
async fn slice_of_work(
    bench: &Bench,
    workload: &Workload,
    slice: Slice,
    length: Duration,
    done: &mut Done,
) -> Result<(), LoadError> {
    let connection = bench.connections[0].clone();
    let many: Vec<_> = std::iter::repeat_n(&connection, IN_FLIGHT_MAX).cloned().collect();
    let path = format!("/v1/channels/{CHANNEL}/events?topic={TOPIC}");
    let crowd = Crowd::open(bench.peer.dialer()?, &path, SUBSCRIBERS).await?;
    let (transfers, logs, bids, queries) = tokio::try_join!(
        drive_by(slice.transfers, &many, requests(CHANNEL, slice.transfer_batches)),
        drive_by(slice.logs, &many[..IN_FLIGHT_MAX / 4], requests(CHANNEL, slice.log_batches)),
        bid(&connection, slice.bids, length),
        ask(&connection, workload, length),
    )?;
    let delivered = crowd.close(logs.committed).await?;
    let window = done.transfers.window + transfers.window;
    done.transfers.merge(transfers);
    done.transfers.window = window;
    done.logs.merge(logs);
    done.bids += bids;
    done.queries += queries;
    done.subscribers += delivered.subscribers;
    done.whole += delivered.whole;
    Ok(())
}

/// Bids one after another; each must be committed.
async fn bid(connection: &Connection, bids: Vec<EncodedBatch>, length: Duration) -> Result<u64, LoadError> {
    let (start, count) = (Instant::now(), bids.len());
    for (number, bid) in bids.into_iter().enumerate() {
        tokio::time::sleep_until((start + length.mul_f64(number as f64 / count as f64)).into()).await;
        match connection.submit_encoded(CHANNEL, bid, Wait::Committed).await?.as_slice() {
            [BatchResult::Committed { code: 0, .. }] => {}
            other => return Err(LoadError::Setup(format!("a bid: {other:?}"))),
        }
    }
    Ok(count as u64)
}

/// Asks this and that, and counts the answers.
async fn ask(connection: &Connection, workload: &Workload, length: Duration) -> Result<u64, LoadError> {
    let start = Instant::now();
    let count = (QUERIES_PER_SECOND as f64 * length.as_secs_f64()).max(3.0) as u64;
    for number in 0..count {
        tokio::time::sleep_until((start + length.mul_f64(number as f64 / count as f64)).into()).await;
        match number % 3 {
            0 => {
                let addresses = workload.addresses();
                let position = usize::try_from(number * 31).unwrap_or_default() % addresses.len();
                connection.account(CHANNEL, addresses[position]).await.map(drop)
            }
            1 => {
                let height = connection.channel(CHANNEL).await?.height;
                connection.block(CHANNEL, height).await.map(drop)
            }
            _ => connection.logs(CHANNEL, Some(TOPIC), client::query::Paging::default()).await.map(drop),
        }?;
    }
    Ok(count)
}

/// What all accounts own together.
async fn balances(connection: &Connection, workload: &Workload) -> Result<u128, LoadError> {
    let mut total = 0;
    for address in workload.addresses() {
        let account = connection.account(CHANNEL, *address).await?;
        total += account.balances.iter().filter(|balance| balance.asset == ASSET).map(|one| one.owned.0).sum::<u128>();
    }
    Ok(total)
}

/// How far the disk at the end is from what the first half foretold by transactions, of what it grew since.
fn disk_error(samples: &[Sample]) -> Option<f64> {
    let (first, last) = (samples.first()?, samples.last()?);
    let middle = &samples[samples.len() / 2];
    let each = ratio(middle.disk - first.disk, middle.transactions - first.transactions)?;
    let foretold = each * (last.transactions - middle.transactions);
    ratio((last.disk - middle.disk - foretold).abs(), foretold)
}

fn judge(done: &Done, total: u128, senders: usize, measured: &mut Measured) {
    let series = |of: fn(&Sample) -> f64| done.samples.iter().map(|sample| of(sample).round()).collect::<Vec<_>>();
    let samples = Part::new("samples")
        .with("seconds", series(|sample| sample.seconds))
        .with("memory_bytes", series(|sample| sample.memory))
        .with("disk_bytes", series(|sample| sample.disk))
        .with("transactions", series(|sample| sample.transactions));
    let settled = settled(&done.samples);
    let points = |y: fn(&Sample) -> f64, x: fn(&Sample) -> f64| -> Vec<_> {
        settled.iter().map(|sample| (x(sample), y(sample))).collect()
    };
    let memory = slope(&points(|sample| sample.memory, |sample| sample.seconds));
    let each = slope(&points(|sample| sample.disk, |sample| sample.transactions));
    let mean = settled.iter().map(|sample| sample.memory).sum::<f64>() / settled.len() as f64;
    let span = settled.last().zip(settled.first()).map_or(0.0, |(last, first)| last.seconds - first.seconds);
    let growth = memory.and_then(|slope| ratio(slope * span, mean));
    let error = disk_error(settled);
    let missing = (BALANCE * senders as u128).abs_diff(total);
    measured.parts.push(Part::of("transfers", &done.transfers));
    measured.parts.push(Part::of("log records", &done.logs));
    measured.parts.push(
        Part::new("beside them")
            .with("bids", done.bids)
            .with("queries", done.queries)
            .with("subscribers", done.subscribers)
            .with("whole", done.whole),
    );
    measured.parts.push(samples);
    measured.parts.push(
        Part::new("after warming up")
            .with("memory_bytes_per_hour", memory.map(|slope| slope * 3_600.0))
            .with("memory_growth", growth)
            .with("disk_bytes_per_transaction", each)
            .with("disk_error", error),
    );
    measured.targets.extend([
        Target::at_most("growth of memory after warming up, of its mean,", MEMORY_GROWTH_MAX, growth),
        Target::at_most("disk beside what was foretold, of its growth,", DISK_ERROR_MAX, error),
        Target::at_most("units missing or too many in all balances", 0.0, missing as f64),
        Target::at_least("subscribers that saw every event in order", done.subscribers as f64, done.whole as f64),
        Target::at_most("transfers not taken", 0.0, done.transfers.refused as f64),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use std::path::Path;

    fn sample(seconds: f64, memory: f64, disk: f64) -> Sample {
        Sample { seconds, memory, disk, transactions: seconds * 10.0 }
    }

    fn targets(samples: Vec<Sample>, total: u128) -> Vec<bool> {
        let mut measured = Measured::on(Machine::with_disk(Path::new(".")));
        judge(&Done { samples, ..Done::default() }, total, 2, &mut measured);
        measured.targets.iter().take(3).map(|target| target.reached).collect()
    }

    #[test]
    fn what_grows_and_what_is_missing_is_seen() {
        // The first third may grow: caches fill.
        let flat = |x: f64| sample(x, if x < 4.0 { 50.0 } else { 100.0 }, 1_000.0 * x);
        let series = |of: &dyn Fn(f64) -> Sample| (0..12).map(|x| of(f64::from(x))).collect::<Vec<_>>();
        assert_eq!(targets(series(&flat), 2 * BALANCE), [true, true, true]);
        assert_eq!(targets(series(&flat), 2 * BALANCE - 1), [true, true, false]);
        let leaks = |x: f64| sample(x, 100.0 + 2.0 * x, 1_000.0 * x);
        assert_eq!(targets(series(&leaks), 2 * BALANCE), [false, true, true]);
        let bloats = |x: f64| sample(x, 100.0, 1_000.0 * x * x);
        assert_eq!(targets(series(&bloats), 2 * BALANCE), [true, false, true]);
        assert_eq!(targets(vec![flat(1.0)], 2 * BALANCE), [false, false, true], "one sample shows nothing");
    }
}
