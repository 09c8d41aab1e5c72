//! Promises 1, 2, 3 and 6 under `kill -9`. A peer with several channels, their clients and subscribers is killed at
//! moments that a seed draws; it starts again, and then holds every acknowledged transaction with its receipt, nothing
//! by half, no unit more or less, the configuration that was agreed on; each subscriber has seen each event once, in
//! order, over all starts; `chancery verify` agrees, also on the store that nobody has closed.
//!
//! `CHANCERY_SEED=<seed> CHANCERY_RUNS=1` repeats a run; the long form is in `ARCHITECTURE.md`.

mod crowd;
mod ledger;
mod readers;

use crate::harness::{Consortium, Peer, append, chancery, copy_folder, run, serving, text};
use crate::seeds::{Random, seeds};
use crate::wait;
use client::api::{ChannelSpec, ChannelState, ChannelView, SpecOrganization};
use client::connection::{Connection, RequestError};
use client::profile::Profile;
use client::subscribe::Cursor;
use crowd::{Crowd, SUPPLY};
use ledger::{Ledger, Poster};
use ledger_classes::action::Action;
use ledger_classes::action::channel::{Approve, Propose};
use ledger_classes::formats::config::{ConfigChange, Limits};
use ledger_classes::formats::rights::{Class, Grant, Grantee, Right, Rights};
use ledger_classes::primitives::hash::Hash;
use readers::Followed;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Runs if nothing else is said: one begins with each moment.
const RUNS: u64 = 6;
/// Kills of a run, beside those during a start.
const ROUNDS: usize = 4;
/// How long a peer may take to open its channels.
const OPEN_MAX: Duration = Duration::from_secs(60);
/// Keys of the two administrators.
const ADMINS: [u8; 2] = [100, 101];

/// When the peer is killed, while clients are at work.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// At any time.
    Work,
    /// At any time, and then again while it starts.
    Start,
    /// After it was asked to drain.
    Drain,
    /// While a channel is created.
    Creation,
    /// While changes of configuration are proposed and approved.
    Configuration,
    /// While it writes checkpoints, one after the other.
    Checkpoint,
}

const MOMENTS: [Moment; 6] =
    [Moment::Work, Moment::Start, Moment::Drain, Moment::Creation, Moment::Configuration, Moment::Checkpoint];

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_at_any_moment() {
    let consortium = Consortium::new();
    consortium.organization("dealer");
    let dealer = consortium.profile("dealer", "admin", "dan");
    let dealer = dealer.file_name().expect("a folder").to_owned();
    let seeds = seeds(RUNS);
    let first = seeds.start;
    for seed in seeds {
        println!("CHANCERY_SEED={seed} CHANCERY_RUNS=1: run {}", seed - first + 1);
        let mut random = Random::new(seed);
        // Runs that follow each other begin with one moment after the other.
        let mut moments = vec![MOMENTS[usize::try_from(seed % 6).expect("small")]];
        moments.extend((1..ROUNDS).map(|_| random.of(&MOMENTS)));
        println!("{moments:?}");
        let consortium = consortium.copy();
        let admins = [consortium.admin(), consortium.path(text(dealer.as_ref()))];
        Run::begin(random, consortium, admins, moments[0]).await.go_on(&moments).await;
    }
}

struct Run {
    random: Random,
    consortium: Consortium,
    /// Profiles of the administrators of the two organizations.
    admins: [PathBuf; 2],
    ledgers: Vec<Ledger>,
    peer: Option<Peer>,
    /// How long the last start took.
    start: Duration,
    /// How long the creation of a channel took.
    creation: Duration,
}

/// What `chancery verify` says of each channel: height and tip.
type Verified = BTreeMap<String, (u64, Hash, u64)>;

impl Run {
    async fn begin(random: Random, consortium: Consortium, admins: [PathBuf; 2], first: Moment) -> Self {
        let start = Duration::from_millis(200);
        let creation = Duration::ZERO;
        let mut run = Self { random, consortium, admins, ledgers: Vec::new(), peer: None, start, creation };
        if matches!(first, Moment::Start) {
            // `main` is made in the first start.
            run.start_in_vain().await;
        }
        run.start(first).await;
        let connection = run.connection();
        for name in ["left", "right"] {
            let began = Instant::now();
            connection.create_channel(&spec(name)).await.expect("made");
            run.creation = began.elapsed();
        }
        for name in ["main", "left", "right"] {
            run.add(name).await;
        }
        run
    }

    async fn go_on(mut self, moments: &[Moment]) {
        for (round, moment) in moments.iter().enumerate() {
            let next = moments.get(round + 1).copied().unwrap_or(Moment::Work);
            self.round(round, *moment, next).await;
        }
        self.end().await;
    }

    fn peer(&self) -> &Peer {
        self.peer.as_ref().expect("it serves")
    }

    fn connection(&self) -> Connection {
        self.peer().connect(&self.admins[0])
    }

    /// Starts the peer and waits until its channels serve.
    async fn start(&mut self, next: Moment) {
        let interval = match next {
            Moment::Checkpoint => 10,
            _ => self.random.of(&[10, 30, 100, 10_000]),
        };
        let began = Instant::now();
        let interval = interval.to_string();
        // With a millisecond channels are suspended between two transactions, and a kill comes while files open and close.
        let suspend_after = self.random.of(&["1", "10", "60000"]);
        let variables = [
            ("CHANCERY_CHANNELS_CHECKPOINT_INTERVAL_MS", &*interval),
            ("CHANCERY_CHANNELS_SUSPEND_AFTER_MS", suspend_after),
        ];
        let peer = Peer::start(&self.consortium.dir(), &variables);
        let connection = peer.connect(&self.admins[0]);
        wait::until("all channels serve", async || {
            let channels = connection.status().await.expect("readable").channels;
            let serves = |ledger: &Ledger| {
                channels.iter().any(|one| one.name == ledger.name && one.state == ChannelState::Serving)
            };
            self.ledgers.iter().all(serves).then_some(())
        })
        .await;
        assert!(began.elapsed() < OPEN_MAX, "{:?}", began.elapsed());
        self.start = began.elapsed();
        self.peer = Some(peer);
    }

    /// Starts the peer and kills it before it is ready, or a little later.
    async fn start_in_vain(&mut self) {
        let mut child = serving(chancery(), &self.consortium.dir(), &[]);
        self.random.pause(self.start * 5 / 4).await;
        child.kill().expect("it was not waited for");
        child.wait().expect("it ends");
    }

    /// Takes a channel in.
    async fn add(&mut self, name: &str) {
        let connection = self.connection();
        let ledger = Ledger::new(&connection, name).await;
        let poster = ledger.poster(&connection);
        crowd::set_up(&poster).await;
        for (profile, key) in self.admins.iter().zip(ADMINS).filter(|_| name != "main") {
            let credential = Profile::open(profile).expect("a profile").credential.expect("a certificate");
            let address = crate::harness::address(key);
            let admission = client::admit::admission(&credential, ledger.id, address).expect("signed");
            poster.done(key, vec![admission]).await;
        }
        self.ledgers.push(ledger);
    }

    /// One kill, and what is there afterwards.
    async fn round(&mut self, round: usize, moment: Moment, next: Moment) {
        let peer = self.peer.take().expect("it serves");
        let admin = self.admins[0].clone();
        let crowd = Crowd::gather(&peer, &admin, &mut self.ledgers, round, &mut self.random).await;
        let answers = self.random.below(500) >> self.random.below(6);
        let mut creation = None;
        let mut agreement = None;
        let after = match moment {
            Moment::Work | Moment::Start | Moment::Checkpoint => {
                crowd.answered(answers).await;
                Duration::from_millis(50)
            }
            Moment::Drain => {
                crowd.answered(answers).await;
                peer.terminate();
                Duration::from_millis(200)
            }
            Moment::Creation => {
                crowd.answered(answers / 4).await;
                let name = format!("new-{round}");
                let (connection, spec) = (peer.connect_once(&admin), spec(&name));
                let (tells, told) = oneshot::channel();
                let creating = tokio::spawn(async move {
                    let made = connection.create_channel(&spec).await;
                    // Nobody may wait for it.
                    let _ = tells.send(());
                    made
                });
                creation = Some((name, creating));
                if self.random.below(3) == 0 {
                    told.await.expect("it ends");
                }
                self.creation * 2
            }
            Moment::Configuration => {
                let place = usize::try_from(1 + self.random.below(self.ledgers.len() as u64 - 1)).expect("small");
                let poster = self.ledgers[place].poster(&peer.connect_once(&admin));
                agreement = Some(tokio::spawn(agree(poster, round)));
                crowd.answered(answers / 4).await;
                Duration::from_millis(60)
            }
        };
        self.random.pause(after).await;
        peer.kill();
        crowd.leave(&mut self.ledgers).await;
        if let Some(agreement) = agreement {
            agreement.await.expect("what an administrator was told holds");
        }

        let verified = self.verify(&format!("copy-{round}"));
        if matches!(moment, Moment::Start) || self.random.below(4) == 0 {
            for _ in 0..=self.random.below(2) {
                self.start_in_vain().await;
            }
        }
        self.start(next).await;
        let connection = self.connection();
        for ledger in &mut self.ledgers {
            let (height, tip, _) = verified[&ledger.name];
            assert!(height >= ledger.told_height(), "{}: verified up to {height} only", ledger.name);
            ledger.check(&connection, SUPPLY).await;
            assert_eq!(ledger.hash(height), Some(tip), "{}: block {height}", ledger.name);
        }
        if let Some((name, creation)) = creation {
            self.check_creation(&name, creation.await.expect("it ends")).await;
        }
    }

    /// `chancery verify` over the store as the kill left it. It may mend what it opens: half of the time it gets a copy,
    /// so that the peer starts on what the kill left.
    fn verify(&mut self, name: &str) -> Verified {
        let dir = match self.random.below(2) {
            0 => self.consortium.dir(),
            _ => {
                let copy = self.consortium.path(name);
                copy_folder(&self.consortium.dir().join("data"), &copy.join("data"));
                copy
            }
        };
        let report = run(&["verify", "--dir", text(&dir)]);
        let channels = report["channels"].as_array().expect("a list");
        let number = |value: &Value| value.as_u64().expect("a number");
        let told = channels.iter().map(|channel| {
            let tip = channel["tip"].as_str().expect("text").parse().expect("hex");
            let about = (number(&channel["height"]), tip, number(&channel["transactions"]));
            (channel["name"].as_str().expect("a name").to_owned(), about)
        });
        told.collect()
    }

    /// A channel that was being created is there or it is not; then it can be.
    async fn check_creation(&mut self, name: &str, told: Result<ChannelView, RequestError>) {
        let connection = self.connection();
        let there = connection.channel(name).await;
        println!("{name}: there: {}, acknowledged: {}", there.is_ok(), told.is_ok());
        match (there, told) {
            (Ok(view), told) => {
                assert_eq!((view.state, view.height), (ChannelState::Serving, 0), "{name}");
                assert!(told.is_err() || told.is_ok_and(|told| (told.id, told.config) == (view.id, view.config)));
                let again = connection.create_channel(&spec(name)).await;
                let problem = again.expect_err("it is there").problem().map(|problem| problem.name().to_owned());
                assert_eq!(problem.as_deref(), Some("channel-exists"));
            }
            (Err(error), told) => {
                assert_eq!(error.problem().map(|problem| problem.name()), Some("channel-unknown"), "{name}: {error}");
                assert!(told.is_err(), "{name} was acknowledged");
                connection.create_channel(&spec(name)).await.expect("nothing is left of the first attempt");
            }
        }
        // From now on it is a channel as any other.
        self.add(name).await;
    }

    /// Subscribers catch up; the last kill; `chancery verify` over the directory itself.
    async fn end(mut self) {
        let peer = self.peer.take().expect("it serves");
        let admin = self.admins[0].clone();
        let connection = peer.connect(&admin);
        let followed = Followed::new(&peer, &admin);
        for ledger in &mut self.ledgers {
            let last = ledger.poster(&connection).done(1, vec![append("end", String::new())]).await;
            let block = connection.block_view(&ledger.name, last.height).await.expect("there");
            let until = Cursor::new(last.height, last.index, 0, &block.hash);
            let mut readers = Vec::new();
            for reader in ledger.readers.drain(..) {
                let reading = reader.follow(followed.clone(), ledger.name.clone(), Some(until));
                readers.push(tokio::time::timeout(OPEN_MAX, reading).await.expect("in time"));
            }
            ledger.readers = readers;
            ledger.check(&connection, SUPPLY).await;
            ledger.check_readers(until);
        }
        peer.kill();
        let report = run(&["verify", "--dir", text(&self.consortium.dir())]);
        for ledger in &self.ledgers {
            let channels = report["channels"].as_array().expect("a list");
            let mine = channels.iter().find(|channel| channel["name"] == *ledger.name).expect("verified");
            assert!(mine["height"].as_u64() >= Some(ledger.told_height()), "{mine}");
        }
    }
}

/// A channel of both organizations, which agree on changes together.
fn spec(name: &str) -> ChannelSpec {
    let rights = Rights::member().union([Right::Admin].into_iter().collect());
    let names = ["bank", "dealer"];
    let organization = |name: &str| SpecOrganization { name: name.into(), title: None, authorities: Vec::new() };
    ChannelSpec {
        name: name.into(),
        engine: None,
        organizations: names.map(organization).into(),
        grants: names.map(|name| Grant { to: Grantee::Organization(name.into()), rights }).into(),
        public_read: false,
        open_submit: true,
        limits: None,
        approvals: None,
        budgets: None,
    }
}

/// One change of configuration after the other, each of two parts, proposed by one administrator and approved by the
/// other, until the peer is gone.
async fn agree(poster: Poster, round: usize) {
    for step in 0..50 {
        let identity = format!("spiffe://test.example/bank/client/r{round}-{step}").parse().expect("an identity");
        let grant = Grant { to: Grantee::Identity(identity), rights: [Right::Read(Class::Logs)].into_iter().collect() };
        let limits = Limits { block_age_ms_max: 50 + step, ..Limits::default() };
        let changes = vec![ConfigChange::Grant(grant), ConfigChange::SetLimits(limits)];
        let propose = Action::ChannelPropose(Propose { changes, reason: String::new() });
        let Some(proposed) = poster.post(ADMINS[0], vec![propose]).await else { return };
        assert_eq!(proposed.code, 0, "{proposed:?}");
        let approve = Action::ChannelApprove(Approve { proposal: proposed.id });
        let Some(approved) = poster.post(ADMINS[1], vec![approve]).await else { return };
        assert_eq!(approved.code, 0, "{approved:?}");
    }
}
