//! What a quiet channel and the peer's memory bear while everything is tried at once that a stranger or a member with few
//! rights can try: large pages as fast as they come and at 13 KB/s, proofs and scans of the past, subscriptions of all
//! with evidence, bodies that never end, floods of certificate requests, handshakes that never begin.
//!
//! The quiet channel's client posts by a timetable and reads beside it, alone and then under all of that. What counts is
//! its p99 and the most memory that the peer ever had, to what it was configured to stay below.
//! The attackers run on a thread of their own, which gives way to the peer: elsewhere they have machines of their own,
//! and here they have what processor time the peer leaves.
//! The report's own keys are the quiet channel's posts under attack.

use super::bench::{Bench, CHANNEL, GivingWay, block_on, giving_way, join};
use crate::drive::{Driven, drive_by, open, requests};
use crate::error::LoadError;
use crate::figures::{Part, Target, ms, ratio};
use crate::latencies::Latencies;
use crate::options::Options;
use crate::peer::{Anybody, open_channel};
use crate::progress;
use crate::report::Measured;
use crate::schedule::Schedule;
use crate::wire::{Dialer, Pace};
use crate::workload::{EncodedBatch, Pattern, Workload};
use client::api::ChannelSpec;
use client::connection::Connection;
use client::submit::Wait;
use ledger_classes::keys::Address;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The channel that is attacked: anybody reads and posts.
const ATTACKED: &str = "attacked";
/// What the peer is configured to stay below.
const MEMORY_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// How much the quiet channel's p99 may grow.
const GROWTH_MAX: f64 = 2.0;
/// Transactions, and reads, of the quiet channel a second.
const QUIET_RATE: u64 = 200;
/// Requests of the quiet channel in flight at most.
const QUIET_IN_FLIGHT_MAX: usize = 64;
/// Log records on the attacked channel for each second of the window, and their number at most.
const RECORDS_PER_SECOND: u64 = 100;
const RECORDS_MAX: u64 = 3_000;
/// Bytes of each.
const RECORD_BYTES: usize = 16_000;
/// Records of one block.
const RECORDS_BATCH: usize = 32;
/// The topic of these.
const TOPIC: &str = "hostile.bulk";
/// How slow readers read.
const SLOW: Pace = Pace { bytes: 13 * 1024, pause: Duration::from_secs(1) };
/// Certificate requests that are filed again and again.
const CERTIFICATE_REQUESTS: usize = 12;
/// How long the peer is under attack before it is measured, to the window.
const SETTLES: u32 = 4;

/// The longest that the first answer to an attack takes.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// What attackers were answered.
#[derive(Debug, Default)]
struct Answers {
    whole: AtomicU64,
    refused: AtomicU64,
    broken: AtomicU64,
    bytes: AtomicU64,
}

impl Answers {
    fn count(&self, answer: &io::Result<(u16, u64)>) {
        let (counter, bytes) = match answer {
            Ok((200..=299, bytes)) => (&self.whole, *bytes),
            Ok((_, bytes)) => (&self.refused, *bytes),
            Err(_) => (&self.broken, 0),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn part(&self, attack: &Attack) -> Part {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Part::new(format!("attack: {}", attack.name))
            .with("attackers", attack.attackers as u64)
            .with("whole", count(&self.whole))
            .with("refused", count(&self.refused))
            .with("broken_off", count(&self.broken))
            .with("bytes", count(&self.bytes))
    }
}

/// What somebody does without end.
#[derive(Clone)]
enum Deed {
    /// Asks for these one after the other on one connection.
    Ask { paths: Arc<[String]>, pace: Option<Pace> },
    /// Posts these.
    Post { bodies: Arc<[Vec<u8>]>, path: &'static str },
    /// Announces a body of so many bytes, and sends all but the last.
    Withhold { bytes: usize },
    /// Connects, and says nothing.
    Silence,
}

/// So many who do the same.
struct Attack {
    name: &'static str,
    attackers: usize,
    dialer: Dialer,
    deed: Deed,
}

impl Deed {
    /// Once, on a connection of its own.
    async fn once(&self, dialer: &Dialer, answers: &Answers) -> io::Result<()> {
        match self {
            Self::Ask { paths, pace } => {
                let mut wire = dialer.dial().await?;
                for path in paths.iter() {
                    let answer = wire.get(path, *pace).await;
                    answers.count(&answer);
                    if !matches!(answer?.0, 200..=299) {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
            Self::Post { bodies, path } => {
                let mut wire = dialer.dial().await?;
                for body in bodies.iter() {
                    let answer = wire.post_json(path, body).await.map(|(status, body)| (status, body.len() as u64));
                    answers.count(&answer);
                    answer?;
                }
            }
            Self::Withhold { bytes } => {
                let mut wire = dialer.dial().await?;
                let answer = wire.withhold(&format!("/v1/channels/{ATTACKED}/transactions"), *bytes).await;
                answers.count(&answer);
                answer?;
            }
            Self::Silence => {
                let mut socket = TcpStream::connect(dialer.address()).await?;
                let read = socket.read(&mut [0; 64]).await;
                answers.count(&read.map(|bytes| (0, bytes as u64)));
            }
        }
        Ok(())
    }
}

/// Waits until each attack that is answered at once has been: on a busy machine the attackers, who give way, are late, and
/// what is measured before is no attack.
async fn all_answered(attacks: &[Attack], counts: &[Answers]) -> Result<(), LoadError> {
    let asks = |attack: &Attack| matches!(attack.deed, Deed::Ask { pace: None, .. } | Deed::Post { .. });
    let is_silent =
        |(attack, answers): &(&Attack, &Answers)| asks(attack) && answers.bytes.load(Ordering::Relaxed) == 0;
    let until = Instant::now() + ANSWERED_WITHIN;
    while let Some((attack, _)) = attacks.iter().zip(counts).find(is_silent) {
        if Instant::now() > until {
            return Err(LoadError::Setup(format!(
                "no answer to the attack {:?} within {ANSWERED_WITHIN:?}",
                attack.name
            )));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Attacks until told to stop, on a thread of its own.
fn begin(
    attacks: Arc<[Attack]>,
    counts: Arc<[Answers]>,
    mut stop: watch::Receiver<bool>,
) -> Result<GivingWay<()>, LoadError> {
    let attack = async move {
        let mut all = JoinSet::new();
        for number in 0..attacks.len() {
            for _ in 0..attacks[number].attackers {
                let (attacks, counts) = (Arc::clone(&attacks), Arc::clone(&counts));
                all.spawn(async move {
                    let Attack { dialer, deed, .. } = &attacks[number];
                    loop {
                        if deed.once(dialer, &counts[number]).await.is_err() {
                            // Who is sent away comes back.
                            tokio::time::sleep(Duration::from_millis(50)).await;
                        }
                    }
                });
            }
        }
        // Whoever dropped the sender wants no more either.
        let _ = stop.wait_for(|stop| *stop).await;
        all.shutdown().await;
        Ok(())
    };
    giving_way(attack)
}

/// The quiet channel's client.
struct Quiet {
    bench: Bench,
    posting: Vec<Connection>,
    reading: Connection,
    account: Address,
    schedule: Schedule,
}

impl Quiet {
    /// Posts by the timetable, and reads by one of its own.
    async fn works(&self, signed: Vec<EncodedBatch>) -> Result<(Driven, Latencies), LoadError> {
        let posts = drive_by(self.schedule, &self.posting, requests(CHANNEL, signed));
        let (driven, reads) = tokio::join!(posts, self.reads());
        Ok((driven?, reads?))
    }

    async fn reads(&self) -> Result<Latencies, LoadError> {
        let (mut latencies, start) = (Latencies::default(), Instant::now());
        for number in 0..self.schedule.requests {
            let due = start + self.schedule.due(number);
            tokio::time::sleep_until(due.into()).await;
            self.reading.account(CHANNEL, self.account).await?;
            latencies.add(due.elapsed(), 1);
        }
        Ok(latencies)
    }
}

fn p99(latencies: &Latencies) -> Option<f64> {
    latencies.percentiles([99.0]).map(|[p99]| ms(p99))
}

/// The quiet channel's figures.
fn part(name: &str, driven: &Driven, reads: &Latencies) -> Part {
    let mut part = Part::of(name, driven);
    for (name, time) in
        ["read_p50_ms", "read_p99_ms"].into_iter().zip(reads.percentiles([50.0, 99.0]).into_iter().flatten())
    {
        part = part.with(name, ms(time));
    }
    part
}

/// A history that is large to read; returns its transactions and its height.
async fn history(bench: &Bench, options: &Options) -> Result<(Vec<String>, u64), LoadError> {
    let spec = ChannelSpec { public_read: true, ..open_channel(ATTACKED) };
    let channel = bench.connections[0].create_channel(&spec).await?;
    let mut workload = Workload::new(channel.id, options.seed, options.senders);
    let count = (RECORDS_PER_SECOND * options.seconds).min(RECORDS_MAX);
    progress(&format!("writing {count} large log records"));
    let signed = workload.sign_bulk(count, TOPIC, RECORD_BYTES);
    let mut ids = Vec::new();
    for batch in signed.chunks(RECORDS_BATCH) {
        let results = bench.connections[0].submit_encoded(ATTACKED, batch.to_vec(), Wait::Committed).await?;
        for result in results {
            let client::api::BatchResult::Committed { id, code: 0, .. } = result else {
                return Err(LoadError::Setup(format!("a log record: {result:?}")));
            };
            ids.push(id.to_string());
        }
    }
    Ok((ids, bench.connections[0].channel(ATTACKED).await?.height))
}

/// All that is tried at once.
async fn attacks(quiet: &Quiet, ids: &[String], height: u64) -> Result<Vec<Attack>, LoadError> {
    let (peer, channel) = (&quiet.bench.peer, format!("/v1/channels/{ATTACKED}"));
    let (stranger, member) = (peer.dialer_of(Anybody::Stranger).await?, peer.dialer_of(Anybody::Member).await?);
    let ask = |paths: Vec<String>, pace| Deed::Ask { paths: paths.into(), pace };
    let logs = || vec![format!("{channel}/logs?limit=1000")];
    let blocks = (0..height).step_by(50).map(|from| format!("{channel}/blocks?from={from}&limit=100")).collect();
    let proofs: Vec<String> =
        ids.iter().map(|id| format!("{channel}/transactions/{id}/proof?later={height}")).collect();
    let events = vec![format!("{channel}/events?from=0&proof=true")];
    let filed = peer.certificate_requests(CERTIFICATE_REQUESTS).await?;
    let filed: Vec<Vec<u8>> =
        filed.iter().map(|pem| serde_json::json!({ "request": pem }).to_string().into()).collect();
    let attack = |name, attackers, dialer: &Dialer, deed| Attack { name, attackers, dialer: dialer.clone(), deed };
    let filing = Deed::Post { bodies: filed.into(), path: "/v1/ca/requests" };
    Ok(vec![
        attack("large pages", 10, &member, ask(logs(), None)),
        attack("large pages, slowly", 12, &member, ask(logs(), Some(SLOW))),
        attack("large pages, slowly, by strangers", 12, &stranger, ask(logs(), Some(SLOW))),
        attack("scans of the past", 4, &member, ask(blocks, None)),
        attack("proofs", 4, &member, ask(proofs, None)),
        attack("subscriptions with evidence, slowly", 100, &stranger, ask(events, Some(SLOW))),
        attack("bodies of 8 MiB that never end", 24, &member, Deed::Withhold { bytes: 8 * 1024 * 1024 }),
        attack("bodies of strangers that never end", 64, &stranger, Deed::Withhold { bytes: 1024 * 1024 }),
        attack("certificate requests", 4, &stranger, filing),
        attack("handshakes that never begin", 200, &stranger, Deed::Silence),
    ])
}

pub(super) fn run(options: &Options) -> Result<Measured, LoadError> {
    block_on(async {
        let budget = [("CHANCERY_LIMITS_MEMORY_BYTES_MAX", MEMORY_BYTES_MAX.to_string())];
        let bench = Bench::start_with(options, options.senders, 1, &budget).await?;
        let (window, rate) = (Duration::from_secs(options.seconds), options.rate.unwrap_or(QUIET_RATE));
        let schedule = Schedule::new(rate, window);
        let posting: Vec<_> = [bench.peer.connect()?].iter().cycle().take(QUIET_IN_FLIGHT_MAX).cloned().collect();
        let (reading, account) = (bench.peer.connect()?, bench.workload.address(0));
        let mut quiet = Quiet { bench, posting, reading, account, schedule };
        let mut measured = quiet.bench.measured();
        for (name, value) in [("quiet_rate_per_s", rate), ("window_seconds", options.seconds)] {
            measured.set(name, value);
        }
        measured.set("memory_bytes_max", MEMORY_BYTES_MAX);
        measured.set("batch_transactions", schedule.batch);
        let (ids, height) = history(&quiet.bench, options).await?;
        let sign = |quiet: &mut Quiet| {
            let Schedule { requests, batch, .. } = quiet.schedule;
            quiet.bench.workload.sign(Pattern::Spread, requests, batch)
        };
        open(&quiet.posting).await?;

        progress("the quiet channel alone");
        let signed = sign(&mut quiet);
        let (alone, alone_reads) = quiet.works(signed).await?;
        let before = quiet.bench.peer.usage().rss_max_bytes;
        measured.parts.push(part("quiet, alone", &alone, &alone_reads).with("rss_max_bytes", before));

        progress("the quiet channel under attack");
        let signed = sign(&mut quiet);
        let attacks: Arc<[Attack]> = attacks(&quiet, &ids, height).await?.into();
        let counts: Arc<[Answers]> = attacks.iter().map(|_| Answers::default()).collect();
        let (stop, stops) = watch::channel(false);
        let attacking = begin(Arc::clone(&attacks), Arc::clone(&counts), stops)?;
        tokio::time::sleep(window / SETTLES).await;
        all_answered(&attacks, &counts).await?;
        let mut reads = Latencies::default();
        let work = async {
            let (driven, all) = quiet.works(signed).await?;
            reads = all;
            Ok(driven)
        };
        quiet.bench.observe(&mut measured, work).await?;
        // If nobody listens any more, the attackers' own result says why.
        let _ = stop.send(true);
        join(attacking)?;
        let driven = measured.driven.clone().unwrap_or_default();
        let most = quiet.bench.peer.usage().rss_max_bytes;
        measured.parts.push(part("quiet, under attack", &driven, &reads).with("rss_max_bytes", most));
        measured.parts.extend(attacks.iter().zip(counts.iter()).map(|(attack, answers)| answers.part(attack)));
        measured.targets.push(Target::at_most("most memory of the peer, bytes,", MEMORY_BYTES_MAX as f64, most as f64));
        let grown =
            |under: Option<f64>, alone: Option<f64>| under.zip(alone).and_then(|(under, alone)| ratio(under, alone));
        let figure = "p99 of posts under attack to that alone";
        measured.targets.push(Target::at_most(
            figure,
            GROWTH_MAX,
            grown(p99(&driven.latencies), p99(&alone.latencies)),
        ));
        let figure = "p99 of reads under attack to that alone";
        measured.targets.push(Target::at_most(figure, GROWTH_MAX, grown(p99(&reads), p99(&alone_reads))));
        measured.targets.push(Target::at_most("quiet transactions not taken", 0.0, driven.refused as f64));
        quiet.bench.peer.stop().await?;
        Ok(measured)
    })
}
