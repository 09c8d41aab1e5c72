//! What it costs that all transactions touch the same accounts: everybody pays one merchant; then ten accounts pay each
//! other. Each part stands beside throughput in the same run, before and after.
//!
//! The report's own keys (rate, latencies, bytes) are those of the merchant.

use super::bench::{Bench, block_on};
use crate::error::LoadError;
use crate::figures::{Part, Target, ratio};
use crate::options::Options;
use crate::progress;
use crate::report::Measured;
use crate::workload::Pattern;
use std::time::Duration;

/// Accounts that pay each other in the second part.
const FEW: u64 = 10;
/// The least that each part must be of throughput.
const RATIO_MIN: f64 = 0.9;

pub(super) fn run(options: &Options) -> Result<Measured, LoadError> {
    block_on(async {
        let mut bench = Bench::start(options, options.senders, options.connections).await?;
        bench.warm_up(options).await?;
        let mut measured = bench.measured();
        let before = bench.closed_loop(options, Pattern::Spread).await?;
        let signed = bench.sign_for(options, Pattern::Merchant);
        progress("everybody pays one merchant");
        bench.observe(&mut measured, bench.drive(signed, Duration::from_secs(options.seconds))).await?;
        progress("ten accounts pay each other");
        let few = bench.closed_loop(options, Pattern::Few(FEW)).await?;
        let after = bench.closed_loop(options, Pattern::Spread).await?;
        bench.peer.stop().await?;
        measured.set("window_seconds", options.seconds);
        measured.set("batch_transactions", options.batch);
        let throughput = (before.committed_per_s() + after.committed_per_s()) / 2.0;
        measured.parts.push(Part::of("throughput before", &before));
        for (name, driven) in [("one merchant", measured.driven.clone()), ("ten accounts", Some(few))] {
            let Some(driven) = driven else { continue };
            let share = ratio(driven.committed_per_s(), throughput);
            measured.parts.push(Part::of(name, &driven).with("to_throughput", share));
            measured.targets.push(Target::at_least(format!("{name}, to throughput,"), RATIO_MIN, share));
        }
        measured.parts.push(Part::of("throughput after", &after));
        Ok(measured)
    })
}
