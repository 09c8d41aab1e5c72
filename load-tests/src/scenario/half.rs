//! Latencies at half of what the peer can do, by a timetable: the times of sending are fixed beforehand, and a latency
//! counts from its time, not from when a connection was free for it.
//!
//! The rate is half of what a closed loop of the same process commits just before, unless `--rate` names one.

use super::bench::{Bench, CHANNEL, block_on};
use crate::drive::{drive_by, open, requests};
use crate::error::LoadError;
use crate::figures::{Part, Target, ms};
use crate::options::Options;
use crate::progress;
use crate::report::Measured;
use crate::schedule::Schedule;
use crate::workload::Pattern;
use std::time::Duration;

/// The longest closed loop that the rate is taken from, seconds.
const CLOSED_SECONDS_MAX: u64 = 10;
/// Requests in flight at most: beyond, they are late, and their latencies say so.
const IN_FLIGHT_MAX: usize = 256;

pub(super) fn run(options: &Options) -> Result<Measured, LoadError> {
    block_on(async {
        let mut bench = Bench::start(options, options.senders, options.connections).await?;
        let mut measured = bench.measured();
        bench.warm_up(options).await?;
        let rate = match options.rate {
            Some(rate) => rate,
            None => {
                let short = Options { seconds: options.seconds.min(CLOSED_SECONDS_MAX), ..options.clone() };
                let closed = bench.closed_loop(&short, Pattern::Spread).await?;
                measured.parts.push(Part::of("closed loop", &closed));
                (closed.committed_per_s() / 2.0).max(1.0) as u64
            }
        };
        let schedule = Schedule::new(rate, Duration::from_secs(options.seconds));
        progress(&format!("{rate}/s for {} s by a timetable", options.seconds));
        let signed = requests(CHANNEL, bench.workload.sign(Pattern::Spread, schedule.requests, schedule.batch));
        let one = [bench.peer.connect()?];
        let connections: Vec<_> = one.iter().cycle().take(IN_FLIGHT_MAX).cloned().collect();
        open(&connections).await?;
        bench.observe(&mut measured, drive_by(schedule, &connections, signed)).await?;
        bench.peer.stop().await?;
        measured.set("rate_per_s", rate);
        measured.set("batch_transactions", schedule.batch);
        measured.set("requests_in_flight_max", IN_FLIGHT_MAX);
        measured.set("window_seconds", options.seconds);
        if let Some(driven) = &measured.driven {
            measured.parts.push(Part::of("by the timetable", driven).with("offered_per_s", rate));
            let shares = driven.latencies.percentiles([99.0, 99.9]);
            for (at, (name, limit)) in [("p99, ms", 60.0), ("p99.9, ms", 150.0)].into_iter().enumerate() {
                measured.targets.push(Target::at_most(name, limit, shares.map(|shares| ms(shares[at]))));
            }
            measured.targets.push(Target::at_most("transactions not taken", 0.0, driven.refused as f64));
        }
        Ok(measured)
    })
}
