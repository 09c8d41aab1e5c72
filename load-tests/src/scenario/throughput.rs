//! How many transfers a second the peer commits durably: distinct senders, one transfer in each transaction, the
//! generator on the same machine.
//!
//! Warming up tells how many transactions the window will take; they are signed before it begins.

use super::bench::{Bench, block_on};
use crate::error::LoadError;
use crate::options::Options;
use crate::progress;
use crate::report::Measured;
use std::time::Duration;

/// Transactions signed for warming up.
const WARM_TRANSACTIONS: u64 = 131_072;
/// How long warming up may take.
const WARM_WINDOW: Duration = Duration::from_secs(3);
/// Transactions signed for the window, to those that the rate of warming up would take.
const MARGIN: f64 = 1.4;

pub(super) fn run(options: &Options) -> Result<Measured, LoadError> {
    block_on(async {
        let mut bench = Bench::start(options, options.senders, options.connections).await?;
        let batch = options.batch;
        progress("warming up");
        let warm = bench.workload.sign(WARM_TRANSACTIONS.div_ceil(u64::from(batch)), batch);
        let rate = bench.drive(warm, WARM_WINDOW).await?.committed_per_s();
        // Two batches a connection at least, so that a slow start does not starve the window.
        let least = f64::from(options.connections) * 2.0;
        let batches = (rate * options.seconds as f64 * MARGIN / f64::from(batch)).max(least).ceil() as u64;
        progress(&format!("{rate:.0}/s when warm; signing {}", batches * u64::from(batch)));
        let signed = bench.workload.sign(batches, batch);
        let mut measured = bench.measure(signed, Duration::from_secs(options.seconds)).await?;
        for (name, value) in
            [("senders", options.senders), ("connections", options.connections), ("batch_transactions", batch)]
        {
            measured.settings.insert(name.into(), value.into());
        }
        Ok(measured)
    })
}
