//! How many transfers a second the peer commits durably: distinct senders, one transfer in each transaction, the
//! generator on the same machine.
//!
//! Warming up tells how many transactions the window will take; they are signed before it begins.

use super::bench::{Bench, block_on};
use crate::error::LoadError;
use crate::options::Options;
use crate::report::Measured;
use crate::workload::Pattern;
use std::time::Duration;

/// The least that the rate must be of the limit.
const RATIO_MIN: f64 = 0.55;

pub(super) fn run(options: &Options) -> Result<Measured, LoadError> {
    block_on(async {
        let mut bench = Bench::start(options, options.senders, options.connections).await?;
        bench.warm_up(options).await?;
        let signed = bench.sign_for(options, Pattern::Spread);
        let mut measured = bench.measure(signed, Duration::from_secs(options.seconds)).await?;
        measured.set("batch_transactions", options.batch);
        measured.ratio_min = Some(RATIO_MIN);
        Ok(measured)
    })
}
