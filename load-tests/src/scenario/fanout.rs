//! What live subscribers see, and what they cost. First the rate of commits beside subscribers of a filter that matches
//! little, held against that with none, before and after. Then 1, 100, 1,000 and 10,000 subscribers of everything, a tenth
//! of them slow, while as many transfers commit as make about `--deliveries` events over all of them.
//!
//! The report's own keys are of the commits beside the filtered subscribers.

use super::bench::{Bench, CHANNEL, block_on};
use crate::crowd::{Crowd, Delivered};
use crate::drive::Driven;
use crate::error::LoadError;
use crate::figures::{Part, Target, ratio};
use crate::files;
use crate::options::Options;
use crate::progress;
use crate::report::Measured;
use crate::workload::{EncodedBatch, Pattern};
use client::submit::Wait;
use std::time::{Duration, Instant};

/// What the filter lets through.
const RARE_TOPIC: &str = "fanout.rare";
/// Log records of that topic a second.
const RARE_PER_SECOND: u64 = 5;
/// The least that the rate with filtered subscribers must be of that with none.
const RATIO_MIN: f64 = 0.8;
/// Transfers that commit beside subscribers of everything.
const TRANSFERS: std::ops::RangeInclusive<u64> = 100..=100_000;
/// How long they may take.
const TRANSFERS_MAX: Duration = Duration::from_secs(300);

pub(super) fn run(options: &Options) -> Result<Measured, LoadError> {
    block_on(async {
        let limit = files::raise_limit();
        let most = options.subscribers.iter().copied().max().unwrap_or(1).max(options.filtered);
        let bound = (u64::from(most) + files::SPARE).to_string();
        let bounds = [
            ("CHANCERY_LIMITS_CONNECTIONS_MAX", bound.clone()),
            ("CHANCERY_LIMITS_SUBSCRIPTIONS_MAX", bound),
            // Connections have three thirty-seconds of it, which 24 KiB each fit into.
            ("CHANCERY_LIMITS_MEMORY_BYTES_MAX", "4294967296".into()),
        ];
        let mut bench = Bench::start_with(options, options.senders, options.connections, &bounds).await?;
        let mut measured = bench.measured();
        measured.set("batch_transactions", options.batch);
        measured.set("window_seconds", options.seconds);
        measured.set("slow_subscribers", "every tenth, one piece in 250 ms while transactions commit");
        let open = bench.peer.open_files().max(files::open_files(std::process::id()));
        let fitting = |wanted: u32, measured: &mut Measured| {
            let (fits, said) = files::fitting(wanted, "subscribers", 1, open, limit);
            measured.warnings.extend(said);
            fits.max(1)
        };

        bench.warm_up(options).await?;
        let before = bench.closed_loop(options, Pattern::Spread).await?;
        measured.parts.push(Part::of("no subscribers, before", &before));
        let count = fitting(options.filtered, &mut measured);
        let delivered = filtered(&mut bench, options, count, &mut measured).await?;
        let beside = measured.driven.clone().unwrap_or_default();
        let after = bench.closed_loop(options, Pattern::Spread).await?;
        let none = (before.committed_per_s() + after.committed_per_s()) / 2.0;
        let share = ratio(beside.committed_per_s(), none);
        let part = with_delivered(Part::of(format!("{count} filtered subscribers"), &beside), &delivered);
        measured.parts.push(part.with("to_none", share));
        measured.parts.push(Part::of("no subscribers, after", &after));
        let figure = format!("commit rate with {count} filtered subscribers to that with none");
        measured.targets.push(Target::at_least(figure, RATIO_MIN, share));
        measured.targets.push(whole(count, "filtered", &delivered));

        for wanted in &options.subscribers {
            let count = fitting(*wanted, &mut measured);
            let (driven, delivered, took) = everything(&mut bench, options, count).await?;
            let part = with_delivered(Part::of(format!("{count} subscribers"), &driven), &delivered);
            let rate = ratio(delivered.deliveries as f64, took.as_secs_f64()).map(f64::round);
            measured.parts.push(part.with("deliveries_per_s", rate));
            measured.targets.push(whole(count, "all", &delivered));
        }
        bench.peer.stop().await?;
        Ok(measured)
    })
}

fn with_delivered(part: Part, delivered: &Delivered) -> Part {
    part.with("subscribers", delivered.subscribers)
        .with("whole", delivered.whole)
        .with("whole_slow", delivered.whole_slow)
        .with("deliveries", delivered.deliveries)
}

fn whole(count: u32, of: &str, delivered: &Delivered) -> Target {
    let figure = format!("of {count} subscribers ({of} events), those that saw every event in order,");
    Target::at_least(figure, f64::from(count), delivered.whole as f64)
}

/// Commits in a closed loop while subscribers wait for something rare.
async fn filtered(
    bench: &mut Bench,
    options: &Options,
    count: u32,
    measured: &mut Measured,
) -> Result<Delivered, LoadError> {
    progress(&format!("opening {count} filtered subscribers"));
    let window = Duration::from_secs(options.seconds);
    let signed = bench.sign_for(options, Pattern::Spread);
    let rare = bench.workload.sign_logs(RARE_PER_SECOND * options.seconds, RARE_TOPIC);
    let events = rare.len() as u64;
    let path = format!("/v1/channels/{CHANNEL}/events?topic={RARE_TOPIC}");
    let crowd = Crowd::open(bench.peer.dialer()?, &path, count).await?;
    progress(&format!("measuring for {} s", options.seconds));
    let work = async {
        let (driven, ()) = tokio::try_join!(bench.drive(signed, window), trickle(bench, rare, window))?;
        Ok(driven)
    };
    bench.observe(measured, work).await?;
    crowd.close(events).await
}

/// Posts batches one by one, spread over the window; each must be committed.
async fn trickle(bench: &Bench, batches: Vec<EncodedBatch>, window: Duration) -> Result<(), LoadError> {
    let (start, count) = (Instant::now(), batches.len());
    for (number, batch) in batches.into_iter().enumerate() {
        tokio::time::sleep_until((start + window.mul_f64(number as f64 / count as f64)).into()).await;
        let results = bench.connections[0].submit_encoded(CHANNEL, batch, Wait::Committed).await?;
        let [client::api::BatchResult::Committed { code: 0, .. }] = results.as_slice() else {
            return Err(LoadError::Setup(format!("a log record: {results:?}")));
        };
    }
    Ok(())
}

/// Commits transfers beside subscribers of everything: what was committed, what they saw, and how long it took from the
/// first transfer until the last of those that read fast had it.
async fn everything(
    bench: &mut Bench,
    options: &Options,
    count: u32,
) -> Result<(Driven, Delivered, Duration), LoadError> {
    let transfers = (options.deliveries / u64::from(count)).clamp(*TRANSFERS.start(), *TRANSFERS.end());
    // Several blocks even with few transfers, as a peer that works has them.
    let size = options.batch.min(u32::try_from(transfers / 16).unwrap_or(u32::MAX)).max(1);
    let signed = bench.workload.sign(Pattern::Spread, transfers.div_ceil(u64::from(size)), size);
    progress(&format!("opening {count} subscribers"));
    let path = format!("/v1/channels/{CHANNEL}/events?class=assets");
    let crowd = Crowd::open(bench.peer.dialer()?, &path, count).await?;
    progress(&format!("{transfers} transfers, {} deliveries", transfers * u64::from(count)));
    let start = Instant::now();
    let mut driven = bench.drive(signed, TRANSFERS_MAX).await?;
    // They are meant to be used up.
    driven.ran_out = false;
    let delivered = crowd.close(driven.committed).await?;
    let took = delivered.last.map_or(Duration::ZERO, |last| last.saturating_duration_since(start));
    Ok((driven, delivered, took))
}
