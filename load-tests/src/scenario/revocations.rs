//! Very many revocations at once, of a CA that very many channels list: how soon every channel's door refuses, how soon
//! every channel's ledger knows all of them, what that takes of memory and disk, and what a bystander notices. Then a
//! restart, after which nothing is posted a second time.
//!
//! The bystander posts by a timetable to a channel that does not list that CA, alone and then from the revocation on. The
//! report's own keys are the bystander's beside the revocations.

use super::bench::{Bench, CHANNEL, block_on};
use super::channels::create;
use crate::{
    disk,
    drive::{drive_by, open, requests},
    error::LoadError,
    figures::{Part, Target, ms, ratio},
    files,
    latencies::Latencies,
    options::Options,
    peer::{Peer, open_channel},
    progress,
    report::Measured,
    schedule::Schedule,
    workload::Pattern,
};
use ca::{
    CertificateFolder, KeyPair,
    office::{error::FolderError, issuing::LeafOptions, revocation::Selection},
};
use client::admit::admission;
use client::api::{ChannelSpec, ChannelView, SpecOrganization};
use client::certificate::Credential;
use client::connection::Connection;
use client::profile::Profile;
use client::submit::{SubmitError, VALIDITY_MS, Wait, transaction};
use ledger_classes::formats::transaction::Envelope;
use ledger_classes::keys::SigningKey;
use ledger_classes::primitives::identity::Identity;
use pki::RevocationReason;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The organization whose certificates are revoked.
const REVOKED: &str = "south";
/// What its channels' names begin with.
const TOLD: &str = "told";
/// Transactions of the bystander a second.
const BYSTANDER_RATE: u64 = 200;
/// Requests of it in flight at most.
const IN_FLIGHT_MAX: usize = 64;
/// How much its p99 may grow.
const GROWTH_MAX: f64 = 2.0;
/// Seconds within which a revocation is in force at every door.
const DOOR_SECONDS_MAX: f64 = 1.0;
/// What the peer is configured to stay below.
const MEMORY_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// How often it is looked how far the ledgers are.
const LOOK: Duration = Duration::from_millis(500);
/// How often it is said.
const SAY: Duration = Duration::from_secs(30);
/// How long one revocation may take to every ledger after the restart.
const RESTART_PATIENCE: Duration = Duration::from_secs(600);

fn channel_spec(name: &str) -> ChannelSpec {
    let revoked = SpecOrganization { name: REVOKED.into(), title: None, authorities: Vec::new() };
    let mut spec = open_channel(name);
    spec.organizations.push(revoked);
    spec
}

/// The authorities' folder, and whose certificates are revoked: many of one identity, and one of another.
struct Authority {
    folder: CertificateFolder,
    many: Identity,
    last: Identity,
    last_profile: PathBuf,
}

fn failed(error: &FolderError) -> LoadError {
    LoadError::Setup(format!("the authorities' folder: {}", ledger_classes::primitives::causes::in_a_sentence(error)))
}

impl Authority {
    /// Issues `count` certificates, and one more at last.
    fn issue(peer: &Peer, count: u32) -> Result<Self, LoadError> {
        let folder = CertificateFolder::open(&peer.dir()).map_err(|error| failed(&error))?;
        let identity = |name: &str| -> Result<Identity, LoadError> {
            let text = format!("spiffe://{}/{REVOKED}/client/{name}", folder.consortium());
            text.parse().map_err(|_| LoadError::Setup(format!("{text} is no identity")))
        };
        let (many, last) = (identity("many")?, identity("last")?);
        let (options, now) = (LeafOptions::default(), client::now());
        let key = KeyPair::generate(options.algorithm).map_err(|error| LoadError::Setup(error.to_string()))?;
        for _ in 0..count {
            folder.issuing().issue(&many, key.public(), &options, now).map_err(|error| failed(&error))?;
        }
        let last_profile = peer.root().join("last");
        folder.issuing().issue_profile(&last, &options, &last_profile, now).map_err(|error| failed(&error))?;
        let (from, to) = (peer.dir().join("profiles/admin/profile.toml"), last_profile.join("profile.toml"));
        std::fs::copy(from, &to).map_err(|source| LoadError::file(&to, source))?;
        Ok(Self { folder, many, last, last_profile })
    }

    /// Revokes all certificates of an identity; how long the CA took for it.
    fn revoke(&self, identity: &Identity) -> Result<Duration, LoadError> {
        let start = Instant::now();
        let selection = Selection::Identity(identity.clone());
        let revoked = self.folder.revocation().revoke(&selection, RevocationReason::Superseded, client::now());
        revoked.map_err(|error| failed(&error))?;
        Ok(start.elapsed())
    }
}

/// Admissions with a certificate that is revoked, one for each channel.
fn admissions(credential: &Credential, channels: &[(String, ChannelView)]) -> Result<Vec<Envelope>, LoadError> {
    let key = SigningKey::from_seed(&[7; 32]);
    let address = key.public().address();
    let sign = |(_, view): &(String, ChannelView)| {
        let action = admission(credential, view.id, address).map_err(|error| LoadError::Setup(error.to_string()))?;
        let transaction = transaction(view.id, address, vec![action], client::now(), VALIDITY_MS);
        let transaction = transaction.map_err(|error| LoadError::Setup(error.to_string()))?;
        Ok(Envelope::sign_binary(&transaction, &[&key]))
    };
    channels.iter().map(sign).collect()
}

/// Whether a channel's door refuses an admission because its certificate is revoked.
async fn refuses(by: &Connection, channel: &str, envelope: &Envelope) -> Result<bool, LoadError> {
    match by.submit(channel, envelope, Wait::Committed).await {
        Ok(_) => Ok(false),
        Err(SubmitError::Request(error)) if error.problem().is_some() => {
            Ok(error.problem().is_some_and(|problem| problem.name() == "certificate-revoked"))
        }
        Err(error) => Err(error.into()),
    }
}

/// How far the channels' ledgers have come, by time.
#[derive(Default)]
struct Course {
    /// The most channels that waited: not all do when it is looked for the first time.
    most: usize,
    first: Option<Duration>,
    half: Option<Duration>,
    all: Option<Duration>,
}

impl Course {
    fn note(&mut self, waiting: usize, channels: usize, at: Duration) {
        self.most = self.most.max(waiting);
        let reached = |moment: &mut Option<Duration>, is: bool| {
            if is {
                moment.get_or_insert(at);
            }
        };
        let begun = self.most == channels || waiting == 0;
        reached(&mut self.first, begun && waiting < channels);
        reached(&mut self.half, begun && waiting * 2 <= channels);
        reached(&mut self.all, waiting == 0);
    }
}

/// Channels that have not been told of everything yet, and how much that is.
async fn waiting(peer: &Peer) -> Result<(usize, u64), LoadError> {
    let text = peer.metrics().await?;
    let lines = text.lines().filter(|line| line.starts_with("chancery_channel_duties_waiting{"));
    let of_ours = lines.filter(|line| line.contains(&format!("\"{TOLD}-")) && line.contains("\"revocation\""));
    let counts = of_ours.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).filter(|count| *count > 0.0);
    Ok(counts.fold((0, 0), |(channels, all), count| (channels + 1, all + count as u64)))
}

/// Waits until every ledger has all. What waits is told once the peer has read what is revoked, and few revocations are
/// on every ledger before anybody looks: then all are higher than before.
async fn watch(peer: &Peer, before: &BTreeMap<String, u64>, start: Instant) -> Result<Course, LoadError> {
    let (mut course, mut said, admin) = (Course::default(), start, peer.connect()?);
    let (mut begun, channels) = (false, before.len());
    while course.all.is_none() {
        tokio::time::sleep(LOOK).await;
        let (left, revocations) = waiting(peer).await?;
        begun = begun || left > 0 || heights(&admin).await?.iter().all(|(name, now)| before.get(name) < Some(now));
        if begun {
            course.note(left, channels, start.elapsed());
        }
        if said.elapsed() > SAY {
            said = Instant::now();
            progress(&format!("{left} channels wait for {revocations} revocations"));
        }
    }
    Ok(course)
}

async fn heights(connection: &Connection) -> Result<BTreeMap<String, u64>, LoadError> {
    let all = connection.all_channels().await?;
    Ok(all.into_iter().filter(|it| it.name.starts_with(TOLD)).map(|it| (it.name, it.height)).collect())
}

fn p99(latencies: &Latencies) -> Option<f64> {
    latencies.percentiles([99.0]).map(|[p99]| ms(p99))
}

pub(super) fn run(options: &Options) -> Result<Measured, LoadError> {
    block_on(async {
        let limit = files::raise_limit();
        let budget = [("CHANCERY_LIMITS_MEMORY_BYTES_MAX", MEMORY_BYTES_MAX.to_string())];
        let mut bench = Bench::start_with(options, options.senders, 1, &budget).await?;
        let admin = bench.peer.connect()?;
        let wanted = options.channels.iter().copied().max().unwrap_or(1);
        let (channels, warning) = files::fitting(wanted, "channels", 4, bench.peer.open_files(), limit);
        let mut measured = bench.measured();
        measured.warnings.extend(warning);
        let window = Duration::from_secs(options.seconds);
        let schedule = Schedule::new(options.rate.unwrap_or(BYSTANDER_RATE), window);
        measured.set("revocations", options.revocations);
        measured.set("channels", channels);
        measured.set("window_seconds", options.seconds);
        measured.set("memory_bytes_max", MEMORY_BYTES_MAX);

        bench.peer.command(&["ca", "organization", REVOKED]).await?;
        progress(&format!("creating {channels} channels"));
        let specs = (0..channels).map(|number| channel_spec(&format!("{TOLD}-{number}"))).collect();
        let told = create(&admin, specs).await?;
        progress(&format!("issuing {} certificates", options.revocations));
        let start = Instant::now();
        let authority = Authority::issue(&bench.peer, options.revocations)?;
        measured.parts.push(Part::new("issuing").with("issued_s", start.elapsed().as_secs_f64()));

        let posting: Vec<_> = [bench.peer.connect()?].iter().cycle().take(IN_FLIGHT_MAX).cloned().collect();
        open(&posting).await?;
        progress("the bystander alone");
        let signed = bench.workload.sign(Pattern::Spread, schedule.requests, schedule.batch);
        let alone = drive_by(schedule, &posting, requests(CHANNEL, signed)).await?;
        let signed = bench.workload.sign(Pattern::Spread, schedule.requests, schedule.batch);
        let before = bench.peer.usage();
        let alone_part = Part::of("bystander, alone", &alone).with("rss_max_bytes", before.rss_max_bytes);
        measured.parts.push(alone_part);
        let (bytes, height) = (disk::bytes_under(&bench.peer.data())?, heights(&admin).await?);

        progress("revoking");
        let took = authority.revoke(&authority.many)?;
        let start = Instant::now();
        let mut course = Course::default();
        let beside = async {
            let bystander = drive_by(schedule, &posting, requests(CHANNEL, signed));
            let (driven, watched) = tokio::join!(bystander, watch(&bench.peer, &height, start));
            course = watched?;
            driven
        };
        bench.observe(&mut measured, beside).await?;
        let driven = measured.driven.clone().unwrap_or_default();
        let after = bench.peer.usage();
        let grown = disk::bytes_under(&bench.peer.data())?.saturating_sub(bytes);
        let acts = u64::from(options.revocations) * told.len() as u64;
        let seconds = |time: Option<Duration>| time.unwrap_or_default().as_secs_f64();
        measured
            .parts
            .push(Part::of("bystander, beside revocations", &driven).with("rss_max_bytes", after.rss_max_bytes));
        measured.parts.push(
            Part::new("ledgers")
                .with("channels", told.len())
                .with("revocations", acts)
                .with("revoked_by_ca_s", took.as_secs_f64())
                .with("first_has_all_s", seconds(course.first))
                .with("half_have_all_s", seconds(course.half))
                .with("all_have_all_s", seconds(course.all))
                .with("peer_cpu_s", after.since(&before).cpu.as_secs_f64())
                .with("disk_bytes_each", grown as f64 / acts.max(1) as f64),
        );
        restart(&mut bench.peer, &authority, &told, &mut measured).await?;
        let most = bench.peer.usage().rss_max_bytes.max(after.rss_max_bytes);
        measured.targets.push(Target::at_most("most memory of the peer, bytes,", MEMORY_BYTES_MAX as f64, most as f64));
        let grown = p99(&driven.latencies).zip(p99(&alone.latencies)).and_then(|(under, alone)| ratio(under, alone));
        measured.targets.push(Target::at_most("p99 of the bystander to that alone", GROWTH_MAX, grown));
        measured.targets.push(Target::at_most("bystander's transactions not taken", 0.0, driven.refused as f64));
        bench.peer.stop().await?;
        Ok(measured)
    })
}

/// Starts again, revokes one more, and looks at what that left.
async fn restart(
    peer: &mut Peer,
    authority: &Authority,
    told: &[(String, ChannelView)],
    measured: &mut Measured,
) -> Result<(), LoadError> {
    progress("starting again");
    let before = heights(&peer.connect()?).await?;
    peer.drain().await?;
    let took = peer.restart(CHANNEL).await?;
    let admin = peer.connect()?;
    let profile = Profile::open(&authority.last_profile)?;
    let credential = profile.credential.as_ref();
    let credential = credential.ok_or_else(|| LoadError::Setup("a profile without a certificate".into()))?;
    let (envelopes, dialer) = (admissions(credential, told)?, peer.dialer_with(&profile)?);
    authority.revoke(&authority.last)?;
    let start = Instant::now();
    // This one comes behind whatever would be posted again.
    while dialer.dial().await?.get("/v1/status", None).await.is_ok_and(|(status, _)| status == 200) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (door, mut open_doors) = (start.elapsed(), 0_u64);
    for ((name, _), envelope) in told.iter().zip(&envelopes) {
        open_doors += u64::from(!refuses(&admin, name, envelope).await?);
    }
    let asked = start.elapsed();
    let posted = loop {
        let now = heights(&admin).await?;
        let posted: Vec<u64> =
            before.iter().map(|(name, height)| now.get(name).map_or(0, |now| now.saturating_sub(*height))).collect();
        if posted.iter().all(|posted| *posted > 0) || start.elapsed() > RESTART_PATIENCE {
            break posted;
        }
        tokio::time::sleep(LOOK).await;
    };
    measured.parts.push(
        Part::new("after a restart, one more")
            .with("restart_s", took.as_secs_f64())
            .with("door_refuses_s", door.as_secs_f64())
            .with("every_door_asked_s", asked.as_secs_f64())
            .with("all_ledgers_have_it_s", start.elapsed().as_secs_f64())
            .with("blocks_least", posted.iter().copied().min().unwrap_or_default())
            .with("blocks_most", posted.iter().copied().max().unwrap_or_default())
            .with("rss_max_bytes", peer.usage().rss_max_bytes),
    );
    measured.targets.push(Target::at_most("until the doors refuse, s,", DOOR_SECONDS_MAX, door.as_secs_f64()));
    measured.targets.push(Target::at_most("channels whose door did not refuse then", 0.0, open_doors as f64));
    let (least, most) = (posted.iter().min(), posted.iter().max());
    measured.targets.push(Target::at_least("blocks of each channel then", 1.0, least.map(|least| *least as f64)));
    measured.targets.push(Target::at_most("blocks of any channel then", 1.0, most.map(|most| *most as f64)));
    Ok(())
}
