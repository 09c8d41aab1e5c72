//! What a quiet channel notices of a noisy one on the same peer. The quiet one has its timetable, one transaction in each
//! request; it runs alone, then while the other is flooded, with good transactions, with bad signatures, and with heavy
//! contract calls.
//!
//! All of it is a closed loop on the noisy side, with ten times the requests in flight that would be its share of
//! `throughput`'s. It runs on a thread of its own, which gives way to the peer and to the quiet side: elsewhere the noisy
//! clients have machines of their own, and here a quiet client that waits for a processor beside them would measure them
//! and not the peer.
//! The report's own keys are the quiet channel's while the other is flooded.

use super::bench::{Bench, CHANNEL, GivingWay, block_on, giving_way, join};
use crate::drive::{Driven, drive, drive_by, open, requests};
use crate::error::LoadError;
use crate::figures::{Part, Target, ms};
use crate::options::Options;
use crate::peer::open_channel;
use crate::progress;
use crate::report::Measured;
use crate::schedule::Schedule;
use crate::workload::{EncodedBatch, Pattern, Workload, heavy_limits};
use client::api::ChannelSpec;
use client::connection::Connection;
use std::time::Duration;

/// The noisy channel.
const NOISY: &str = "noisy";
/// Transactions of the quiet channel a second.
const QUIET_RATE: u64 = 1_000;
/// Requests of the quiet channel in flight at most: beyond, they are late.
const QUIET_IN_FLIGHT_MAX: usize = 256;
/// Requests in flight to those of `throughput`: half of those would be the noisy channel's share, and this is ten times
/// the half.
const FLOOD: u32 = 5;
/// Heavy transactions have 256 actions: so many fewer go into one request.
const HEAVY_CUT: u32 = 32;
/// How long the rate of heavy transactions is looked for.
const HEAVY_WARM: Duration = Duration::from_secs(2);
/// Heavy transactions signed for that, a connection.
const HEAVY_WARM_BATCHES: u64 = 4;
/// Heavy transactions signed, to those that the rate before would take.
const MARGIN: f64 = 1.4;
/// How much the quiet channel's p99 may grow.
const GROWTH_MAX: f64 = 2.0;

/// Both channels.
struct Pair {
    bench: Bench,
    quiet: Vec<Connection>,
    schedule: Schedule,
    noisy: Workload,
    window: Duration,
}

impl Pair {
    /// Drives the noisy channel on another thread.
    fn flood(&self, batches: Vec<EncodedBatch>, window: Duration) -> Result<GivingWay<Driven>, LoadError> {
        let connections =
            self.bench.peer.connections(u32::try_from(self.bench.connections.len()).unwrap_or(1) * FLOOD)?;
        let batches = requests(NOISY, batches);
        giving_way(async move { drive(&connections, batches, window).await })
    }

    /// The quiet channel's timetable.
    async fn keep_time(&mut self) -> Result<Driven, LoadError> {
        let Schedule { requests: count, batch, .. } = self.schedule;
        let signed = requests(CHANNEL, self.bench.workload.sign(Pattern::Spread, count, batch));
        open(&self.quiet).await?;
        drive_by(self.schedule, &self.quiet, signed).await
    }
}

pub(super) fn run(options: &Options) -> Result<Measured, LoadError> {
    block_on(async {
        let mut bench = Bench::start(options, options.senders, options.connections).await?;
        let spec = ChannelSpec { limits: Some(heavy_limits()), ..open_channel(NOISY) };
        let channel = bench.connections[0].create_channel(&spec).await?;
        let mut noisy = Workload::new(channel.id, options.seed, options.senders);
        noisy.fund(&bench.connections[0], NOISY).await?;
        noisy.deploy_lending(&bench.connections[0], NOISY).await?;
        bench.warm_up(options).await?;
        let (window, rate) = (Duration::from_secs(options.seconds), options.rate.unwrap_or(QUIET_RATE));
        let quiet: Vec<_> = [bench.peer.connect()?].iter().cycle().take(QUIET_IN_FLIGHT_MAX).cloned().collect();
        let mut measured = bench.measured();
        measured.set("quiet_rate_per_s", rate);
        measured.set("window_seconds", options.seconds);
        measured.set("flood_requests_in_flight", options.connections * FLOOD);
        measured.set("flood_batch_transactions", options.batch);
        let schedule = Schedule::new(rate, window);
        measured.set("batch_transactions", schedule.batch);
        let mut pair = Pair { bench, quiet, schedule, noisy, window };

        progress("the quiet channel alone");
        let alone = pair.keep_time().await?;
        let p99 = |driven: &Driven| driven.latencies.percentiles([99.0]).map(|[p99]| ms(p99));
        let limit = p99(&alone).map_or(0.0, |p99| p99 * GROWTH_MAX);
        measured.parts.push(Part::of("quiet, alone", &alone));
        for noise in ["flooded", "bad signatures", "heavy contracts"] {
            progress(&format!("the quiet channel beside a noisy one: {noise}"));
            let signed = match noise {
                "flooded" => {
                    pair.noisy.sign(Pattern::Spread, pair.bench.batches_for(window, options.batch), options.batch)
                }
                "bad signatures" => pair.noisy.sign_badly(pair.bench.batches_for(window, options.batch), options.batch),
                _ => heavy(&mut pair, options).await?,
            };
            let earlier = pair.bench.peer.stages().await;
            let (quiet, loud) = beside(&mut pair, signed, (noise == "flooded").then_some(&mut measured)).await?;
            let mut part = Part::of(format!("quiet, other {noise}"), &quiet);
            for stage in pair.bench.peer.stages().await.since(&earlier) {
                part = part.with(&format!("{}_mean_ms", stage.stage), stage.mean_ms);
                part = part.with(&format!("{}_p99_at_most_ms", stage.stage), stage.p99_at_most_ms);
                part = part.with(&format!("{}_longest_at_most_ms", stage.stage), stage.longest_at_most_ms);
            }
            measured.parts.push(part);
            measured.parts.push(Part::of(format!("noisy, {noise}"), &loud));
            let figure = format!("quiet p99, ms, other {noise}, to twice that alone,");
            measured.targets.push(Target::at_most(figure, limit, p99(&quiet)));
            let figure = format!("quiet transactions not taken, other {noise},");
            measured.targets.push(Target::at_most(figure, 0.0, quiet.refused as f64));
        }
        pair.bench.peer.stop().await?;
        Ok(measured)
    })
}

/// Both channels at once. With `measured`, everything around it is measured.
async fn beside(
    pair: &mut Pair,
    signed: Vec<EncodedBatch>,
    measured: Option<&mut Measured>,
) -> Result<(Driven, Driven), LoadError> {
    let Schedule { requests: count, batch, .. } = pair.schedule;
    let own = requests(CHANNEL, pair.bench.workload.sign(Pattern::Spread, count, batch));
    open(&pair.quiet).await?;
    let flood = pair.flood(signed, pair.window)?;
    let quiet = match measured {
        None => drive_by(pair.schedule, &pair.quiet, own).await?,
        Some(measured) => {
            pair.bench.observe(measured, drive_by(pair.schedule, &pair.quiet, own)).await?;
            measured.driven.clone().unwrap_or_default()
        }
    };
    Ok((quiet, join(flood)?))
}

/// Heavy transactions for the window. A short flood tells how many.
async fn heavy(pair: &mut Pair, options: &Options) -> Result<Vec<EncodedBatch>, LoadError> {
    let size = (options.batch / HEAVY_CUT).max(1);
    let connections = u64::from(options.connections * FLOOD);
    let window = HEAVY_WARM.min(pair.window);
    let warm = pair.noisy.sign_heavy(connections * HEAVY_WARM_BATCHES, size);
    let rate = join(pair.flood(warm, window)?)?.committed_per_s();
    let batches = (rate * pair.window.as_secs_f64() * MARGIN / f64::from(size)).ceil() as u64;
    Ok(pair.noisy.sign_heavy(batches.max(connections * 2), size))
}
