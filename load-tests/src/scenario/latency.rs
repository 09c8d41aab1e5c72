//! How long one client waits for a durable commit, with nothing else going on: one connection, one transaction in
//! flight, no pause between them.

use super::bench::{Bench, block_on};
use crate::disk;
use crate::error::LoadError;
use crate::figures::{Target, ms};
use crate::options::Options;
use crate::report::Measured;
use crate::workload::Pattern;
use std::time::Duration;

/// Transactions for warming up.
const WARM_TRANSACTIONS: u64 = 200;
/// What the median may take above one `fdatasync` of the disk.
const ABOVE_FDATASYNC_MS: f64 = 0.35;
/// Transactions signed for each second of the window: more than any peer can answer one by one.
const SIGNED_PER_SECOND: u64 = 5_000;

pub(super) fn run(options: &Options) -> Result<Measured, LoadError> {
    block_on(async {
        let mut bench = Bench::start(options, options.senders, 1).await?;
        let warm = bench.workload.sign(Pattern::Spread, WARM_TRANSACTIONS, 1);
        bench.drive(warm, Duration::from_secs(5)).await?;
        let signed = bench.workload.sign(Pattern::Spread, SIGNED_PER_SECOND * options.seconds, 1);
        let mut measured = bench.measure(signed, Duration::from_secs(options.seconds)).await?;
        measured.set("batch_transactions", 1);
        let p50 = measured.driven.as_ref().and_then(|driven| driven.latencies.percentiles([50.0])).map(|[p50]| ms(p50));
        let fdatasync = disk::median(measured.fdatasync.iter().cloned()).map_or(0.0, ms);
        let limit = fdatasync + ABOVE_FDATASYNC_MS;
        measured.targets.push(Target::at_most("p50, ms, to one fdatasync and 0.35 ms,", limit, p50));
        Ok(measured)
    })
}
