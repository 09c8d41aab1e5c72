//! How long one client waits for a durable commit, with nothing else going on: one connection, one transaction in
//! flight, no pause between them.

use super::bench::{Bench, block_on};
use crate::error::LoadError;
use crate::options::Options;
use crate::report::Measured;
use std::time::Duration;

/// Transactions for warming up.
const WARM_TRANSACTIONS: u64 = 200;
/// Transactions signed for each second of the window: more than any peer can answer one by one.
const SIGNED_PER_SECOND: u64 = 5_000;

pub(super) fn run(options: &Options) -> Result<Measured, LoadError> {
    block_on(async {
        let mut bench = Bench::start(options, options.senders, 1).await?;
        let warm = bench.workload.sign(WARM_TRANSACTIONS, 1);
        bench.drive(warm, Duration::from_secs(5)).await?;
        let signed = bench.workload.sign(SIGNED_PER_SECOND * options.seconds, 1);
        let mut measured = bench.measure(signed, Duration::from_secs(options.seconds)).await?;
        for (name, value) in [("senders", options.senders), ("connections", 1), ("batch_transactions", 1)] {
            measured.settings.insert(name.into(), value.into());
        }
        Ok(measured)
    })
}
