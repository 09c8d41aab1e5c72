//! Channels that are suspended and resumed under whatever is asked of them at that moment: nothing is refused, lost or
//! done twice; what is known of one that is suspended survives a restart, and nothing false is believed.

#![allow(clippy::disallowed_methods, reason = "tests start tasks and threads as they like")]

use crate::channel::passivation::Activity;
use crate::peer::directory_lock::lock_directory;
use crate::peer::registry::RegistryOptions;
use crate::peer::registry::idle::*;
use crate::runtime::clock::Clock;
use crate::runtime::metrics::Metrics;
use crate::store::{Backend, Directory, Disk, StoreError, StoreFiles, StoreOptions, WalFile};
use crate::test_support::{self, NOW, Random, envelope, key, seeds, transaction};
use crate::{SubmitRefusal, SubmitResult, Unavailable, Wait};
use ledger_classes::action::Action;
use ledger_classes::formats::config::ChannelConfig;
use ledger_classes::formats::receipt::Receipt;
use ledger_classes::formats::transaction::Envelope;
use ledger_classes::limits::MARK_MS;
use ledger_classes::state::participant::NoCertificates;
use prometheus_client::registry::Registry;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A clock that is set by hand.
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Time {
        Time::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Long enough that nothing is suspended by itself in a test.
const LONG: Duration = Duration::from_secs(100_000);

struct Peer {
    folder: tempfile::TempDir,
    clock: Arc<Hand>,
}

impl Peer {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), clock: Arc::new(Hand(AtomicU64::new(NOW.millis()))) }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Opens the channels that there are; they are suspended after so long.
    fn open(&self, suspend_after: Duration) -> Arc<ChannelRegistry> {
        ChannelRegistry::open(self.options(suspend_after)).expect("opens")
    }

    fn options(&self, suspend_after: Duration) -> RegistryOptions {
        RegistryOptions {
            memory: Default::default(),
            directory: self.folder.path().to_owned(),
            seal_key: Arc::new(key(200)),
            certificates: Arc::new(NoCertificates),
            clock: self.clock.clone(),
            shards: 2,
            verification_threads: 1,
            disk_reserve_bytes: 0,
            channel_bytes_max: 0,
            store: StoreOptions { checkpoint_interval_ms: 10, ..StoreOptions::default() },
            suspend_after: Some(suspend_after),
            metrics: Metrics::new(&mut Registry::default()),
            tasks: Tasks::default(),
        }
    }
}

fn config(name: &str) -> ChannelConfig {
    ChannelConfig { name: name.into(), ..test_support::config() }
}

/// Waits until a channel is suspended.
async fn suspended(channel: &ChannelHandle) {
    loop {
        let (activity, change) = channel.0.slot.next_change();
        if activity == Activity::Suspended {
            return;
        }
        change.await.expect("the sender is in the slot");
    }
}

async fn post(channel: &ChannelHandle, envelope: Envelope) -> SubmitResult {
    channel.submit(vec![envelope], Wait::Committed).expect("never refused").await.remove(0)
}

async fn done(channel: &ChannelHandle, envelope: Envelope) {
    match post(channel, envelope).await {
        SubmitResult::Committed { receipt, .. } => assert_eq!(receipt.head.code, 0, "{}", receipt.message()),
        other => panic!("{other:?}"),
    }
}

/// What one client does for a while; returns what became of its transactions.
async fn client(channel: ChannelHandle, number: u8, mut random: Random) -> Vec<SubmitResult> {
    let id = channel.id().expect("known");
    let (mut nonce, mut committed) = (0, Vec::new());
    for _ in 0..25 {
        match random.below(7) {
            0 | 1 => {
                let batch: Vec<Envelope> = (0..=random.below(3) as u64)
                    .map(|_| {
                        nonce += 1;
                        envelope(id, nonce, number)
                    })
                    .collect();
                let mut subscription = channel.subscribe().expect("serves");
                let submission = channel.submit(batch, Wait::Committed).expect("never refused");
                if random.below(2) == 0 {
                    subscription.reached(channel.tip().height).await.expect("serves");
                }
                committed.extend(submission.await);
            }
            2 => {
                nonce += 1;
                // Nobody waits for its block.
                let accepted =
                    channel.submit(vec![envelope(id, nonce, number)], Wait::Accepted).expect("never refused");
                committed.extend(accepted.await);
            }
            3 => {
                channel.read(|reader| Ok(reader.height())).await.expect("readable");
            }
            4 => assert!(channel.glance(|reader| reader.block(0)).await.expect("readable").is_some()),
            5 => {
                let height = random.below(channel.tip().height as usize + 1) as u64;
                assert_eq!(channel.block(height).await.expect("readable").expect("there").block.header.height, height);
            }
            _ => suspended_or_used(&channel).await,
        }
    }
    committed
}

/// Waits for the next change of stage, if one comes by itself.
async fn suspended_or_used(channel: &ChannelHandle) {
    let (activity, change) = channel.0.slot.next_change();
    if activity != Activity::Suspended {
        change.await.expect("the sender is in the slot");
    }
}

#[actix::test]
async fn whatever_is_asked_of_channels_that_are_suspended_and_resume_is_done_once() {
    for seed in seeds(2) {
        let peer = Peer::new();
        let registry = peer.open(Duration::ZERO);
        let mut random = Random(seed);
        let mut clients = Vec::new();
        for name in ["left", "right"] {
            let channel = registry.create(config(name)).await.expect("made");
            assert!(channel.is_suspended(), "a new channel is suspended until it is used");
            for number in 1..=3 {
                let random = Random(random.below(usize::MAX) as u64);
                clients.push((channel.clone(), actix::spawn(client(channel.clone(), number, random))));
            }
        }
        let mut outcomes = BTreeMap::<String, BTreeMap<Hash, Option<Arc<Receipt>>>>::new();
        for (channel, client) in clients {
            for result in client.await.expect("it ends") {
                let (id, receipt) = match result {
                    SubmitResult::Committed { id, receipt } => (id, Some(receipt)),
                    SubmitResult::Accepted { id } => (id, None),
                    refused => panic!("seed {seed}: {refused:?}"),
                };
                outcomes.entry(channel.name().to_owned()).or_default().insert(id, receipt);
            }
        }
        for name in ["left", "right"] {
            let channel = registry.by_name(name).expect("there");
            suspended(&channel).await;
            assert_eq!((channel.queue().transactions, channel.queue().bytes), (0, 0), "seed {seed}: credits came back");
            assert_eq!(channel.state(), LifeCycle::Serving);
        }
        let heights = ["left", "right"].map(|name| registry.by_name(name).expect("there").tip());
        registry.drain().await;

        let registry = peer.open(Duration::ZERO);
        for (name, tip) in ["left", "right"].into_iter().zip(heights) {
            let channel = registry.by_name(name).expect("there");
            assert!(channel.is_suspended() && channel.state() == LifeCycle::Serving, "seed {seed}: it is not opened");
            assert_eq!(channel.tip(), tip, "seed {seed}");
            let (mut blocks, mut seen) = (0, 0);
            for height in 1..=tip.height {
                let block = channel.block(height).await.expect("readable").expect("there");
                (blocks, seen) = (blocks + 1, seen + block.receipts.len());
            }
            assert_eq!((blocks, seen), (tip.height, outcomes[name].len()), "seed {seed}: each once, and no other");
            for (id, receipt) in outcomes[name].clone() {
                let found =
                    channel.read(move |reader| reader.transaction(&id)).await.expect("readable").expect("there");
                assert!(receipt.is_none_or(|receipt| receipt == found.receipt), "seed {seed}: the outcome it had");
            }
        }
        registry.drain().await;
    }
}

/// An auction that ends ten minutes from now.
async fn auction(channel: &ChannelHandle) -> Time {
    let id = channel.id().expect("known");
    let ends = NOW.plus_millis(600_000);
    let lot = json!({"item": {"asset": "cars", "item": "beetle"}, "currency": "usd", "ends": ends, "reserve": "1",
        "minimum_increment": "1"});
    let me = key(1).public().address();
    let actions: Vec<Action> = ledger_classes::primitives::json::from_value(json!([
        {"type": "asset.define", "asset": "usd", "title": "Money", "kind": {"fungible": {"decimals": 2, "supply_cap": null}}},
        {"type": "asset.define", "asset": "cars", "title": "Cars", "kind": {"unique": {}}},
        {"type": "asset.mint_item", "asset": "cars", "item": "beetle", "to": me, "metadata": Hash([3; 32])},
        {"type": "contract.deploy", "contract": "auction", "engine": "builtin", "code": "auction"},
        {"type": "contract.create", "contract": "auction", "instance": "lot-1", "arguments": lot.to_string()},
    ])).expect("actions");
    let transaction = ledger_classes::formats::transaction::Transaction { actions, ..transaction(id, 1, "") };
    done(channel, Envelope::sign_binary(&transaction, &[&key(1)])).await;
    ends
}

/// Between two marks it is suspended; each mark and the timer resume it.
#[actix::test]
async fn a_timer_wakes_a_channel_that_is_suspended_also_after_a_restart() {
    for restart in [false, true] {
        let peer = Peer::new();
        let mut registry = peer.open(Duration::from_millis(1));
        let mut channel = registry.create(config("main")).await.expect("made");
        let ends = auction(&channel).await;
        suspended(&channel).await;
        if restart {
            registry.drain().await;
            registry = peer.open(Duration::from_millis(1));
            channel = registry.by_name("main").expect("there");
            assert!(channel.is_suspended());
        }
        let mut subscription = channel.subscribe().expect("serves");
        loop {
            let tip = channel.tip();
            let due = ends.min(tip.time.plus_millis(MARK_MS));
            peer.clock.0.store(due.millis(), Ordering::SeqCst);
            let height = tip.height + 1;
            assert_eq!(subscription.reached(height).await, Ok(height), "nobody used it");
            let block = channel.block(height).await.expect("readable").expect("there");
            assert_eq!((block.timers(), block.block.header.time), (1, due));
            suspended(&channel).await;
            if due == ends {
                break;
            }
        }
        registry.drain().await;
    }
}

/// Once, a lot was sold for the lower bid by the first block after a restart, while a higher one waited.
#[actix::test]
async fn a_bid_that_waits_for_a_restarted_peer_counts_although_the_end_has_passed() {
    let peer = Peer::new();
    let registry = peer.open(LONG);
    let channel = registry.create(config("main")).await.expect("made");
    let ends = auction(&channel).await;
    registry.drain().await;
    peer.clock.0.store(ends.millis() + 60_000, Ordering::SeqCst);
    let registry = peer.open(LONG);
    let channel = registry.by_name("main").expect("there");
    registry.opened().await;
    let bidder = key(2).public().address();
    let actions = |actions| ledger_classes::primitives::json::from_value::<Vec<Action>>(actions).expect("actions");
    let mint = actions(json!([{"type": "asset.mint", "asset": "usd", "to": bidder, "amount": "900"}]));
    let bid = actions(
        json!([{"type": "contract.call", "instance": "lot-1", "method": "bid", "arguments": r#"{"amount": "900"}"#}]),
    );
    for (signer, actions) in [(1, mint), (2, bid)] {
        let transaction = transaction(channel.id().expect("known"), 2, "");
        let transaction = ledger_classes::formats::transaction::Transaction { actions, ..transaction };
        done(&channel, Envelope::sign_binary(&transaction, &[&key(signer)])).await;
    }
    registry.drain().await;
}

#[actix::test]
async fn a_summary_is_believed_only_while_it_is_whole_and_the_log_is_the_same() {
    let peer = Peer::new();
    let registry = peer.open(LONG);
    let channel = registry.create(config("main")).await.expect("made");
    let id = channel.id().expect("known");
    done(&channel, envelope(id, 1, 1)).await;
    registry.drain().await;
    let summary = peer.path("main/summary");
    let old = std::fs::read(&summary).expect("written at the end");

    let look = async |what: &str, rests: bool| {
        let registry = peer.open(LONG);
        let channel = registry.by_name("main").expect("there");
        assert_eq!(channel.is_suspended() && channel.state() == LifeCycle::Serving, rests, "{what}");
        registry.opened().await;
        assert!(channel.is_suspended(), "{what}: an opened one is suspended as well");
        assert!(summary.exists(), "{what}");
        let height = channel.tip().height;
        done(&channel, envelope(id, 100 + height, 1)).await;
        assert!(!channel.is_suspended() && !summary.exists(), "{what}: it is gone before anything is written");
        assert_eq!(channel.tip().height, height + 1, "{what}");
        registry.drain().await;
        height
    };
    assert_eq!(look("whole", true).await, 1);
    std::fs::remove_file(&summary).expect("removes");
    assert_eq!(look("missing", false).await, 2);
    let mut rotten = std::fs::read(&summary).expect("readable");
    rotten[100] ^= 1;
    std::fs::write(&summary, rotten).expect("writes");
    assert_eq!(look("rotten", false).await, 3);
    std::fs::write(&summary, old).expect("writes");
    assert_eq!(look("of an older log", false).await, 4);
}

/// A configuration may take the order from a peer that holds the channel: it was not found any more, not even by those
/// who had given it away.
#[actix::test]
async fn a_channel_that_this_peer_does_not_order_any_more_is_known_and_halted() {
    for summary in [true, false] {
        let peer = Peer::new();
        let registry = peer.open(LONG);
        let channel = registry.create(config("main")).await.expect("made");
        let (id, tip) = (channel.id().expect("known"), channel.tip());
        registry.drain().await;
        if !summary {
            std::fs::remove_file(peer.path("main/summary")).expect("removes");
        }
        let stranger = RegistryOptions { seal_key: Arc::new(key(201)), ..peer.options(LONG) };
        let registry = ChannelRegistry::open(stranger).expect("opens");
        registry.opened().await;
        let channel = registry.by_id(&id).expect("it is found");
        let LifeCycle::Halted { reason } = channel.state() else { panic!("{:?}", channel.state()) };
        assert_eq!(reason, "this peer does not order the channel");
        let known = channel.config().expect("it is known who had a right on it");
        assert_eq!((&known.config, channel.tip(), registry.undecided()), (&config("main"), tip, None));
        let read = channel.read(|reader| Ok(reader.height())).await;
        assert_eq!(read, Err(Unavailable::Stopped { reason }));
        registry.drain().await;
    }
}

/// Only somebody who makes one by hand could do this.
#[actix::test]
async fn a_summary_that_disagrees_with_the_log_halts_the_channel_when_it_resumes() {
    let peer = Peer::new();
    let registry = peer.open(LONG);
    let channel = registry.create(config("main")).await.expect("made");
    registry.drain().await;
    let store = ChannelStore::open_on(&Directory(peer.path("main")), StoreOptions::default()).expect("opens");
    let tip = Tip { hash: Hash([9; 32]), ..channel.tip() };
    let config = channel.config().expect("known");
    close_for_suspension(
        &store,
        &Directory(peer.path("main")),
        channel.id().expect("known"),
        &Shared::new(tip, config, Arc::default(), Arc::default()),
    )
    .expect("closes");

    let registry = peer.open(LONG);
    let channel = registry.by_name("main").expect("there");
    assert!(channel.is_suspended());
    let read = channel.read(|reader| Ok(reader.height())).await;
    let LifeCycle::Halted { reason } = channel.state() else { panic!("{:?}", channel.state()) };
    assert!(
        reason.starts_with("it was suspended as channel") && reason.contains(&Hash([9; 32]).to_string()),
        "{reason}"
    );
    assert_eq!(read, Err(Unavailable::Stopped { reason }));
    registry.drain().await;
}

#[actix::test]
async fn one_that_cannot_be_opened_halts_and_answers_all_who_wait() {
    let peer = Peer::new();
    let registry = peer.open(LONG);
    let [broken, sound] = ["broken", "sound"].map(|name| registry.create(config(name)));
    let (broken, sound) = (broken.await.expect("made"), sound.await.expect("made"));
    std::fs::remove_file(peer.path("broken/log.redb")).expect("removes");
    let id = broken.id().expect("known");
    let posted = broken.submit(vec![envelope(id, 1, 1), envelope(id, 2, 1)], Wait::Committed).expect("taken");
    let read = broken.read(|reader| Ok(reader.height())).await;
    let LifeCycle::Halted { reason } = broken.state() else { panic!("{:?}", broken.state()) };
    assert!(reason.starts_with("opening failed"), "{reason}");
    assert_eq!(read, Err(Unavailable::Stopped { reason: reason.clone() }));
    let stopped =
        |answer: &SubmitResult| matches!(answer, SubmitResult::Refused { refusal: SubmitRefusal::Stopped { .. }, .. });
    let answers = posted.await;
    assert!(answers.len() == 2 && answers.iter().all(stopped), "{answers:?}");
    // An answer goes out before its credit comes back.
    while broken.queue().transactions > 0 {
        tokio::task::yield_now().await;
    }
    let again = broken.submit(vec![envelope(id, 9, 1)], Wait::Committed).err();
    assert_eq!(again, Some(SubmitRefusal::Stopped { reason }));
    done(&sound, envelope(sound.id().expect("known"), 1, 1)).await;
    registry.drain().await;
    assert_eq!(sound.state(), LifeCycle::Closed);
}

/// Files of a process that has no descriptors left for a log while `none_left`.
struct Scarce {
    files: Directory,
    none_left: Arc<AtomicBool>,
}

impl StoreFiles for Scarce {
    fn create_log(&self) -> Result<Backend, StoreError> {
        self.files.create_log()
    }

    fn publish_log(&self) -> Result<(), StoreError> {
        self.files.publish_log()
    }

    fn open_log(&self) -> Result<Backend, StoreError> {
        if self.none_left.load(Ordering::SeqCst) {
            let source = rustix::io::Errno::MFILE.into();
            return Err(StoreError::File { operation: "opening", path: self.files.0.clone(), source });
        }
        self.files.open_log()
    }

    fn wal(&self) -> Box<dyn WalFile> {
        self.files.wal()
    }

    fn open_state(&self) -> Result<Backend, StoreError> {
        self.files.open_state()
    }

    fn set_state_aside(&self, why: &str) -> Result<String, StoreError> {
        self.files.set_state_aside(why)
    }

    fn keep_summary(&self, content: &[u8]) -> Result<(), StoreError> {
        self.files.keep_summary(content)
    }

    fn summary(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.files.summary()
    }

    fn forget_summary(&self) -> Result<(), StoreError> {
        self.files.forget_summary()
    }
}

/// Whoever takes the peer's last descriptors must not end the channels that are suspended.
#[actix::test]
async fn one_that_finds_no_descriptors_is_stopped_for_the_moment_and_wakes_when_there_are_some() {
    let peer = Peer::new();
    let none_left = Arc::new(AtomicBool::new(false));
    let scarce = none_left.clone();
    let files = move |folder: std::path::PathBuf, _: Option<&Disk>| -> Box<dyn StoreFiles> {
        Box::new(Scarce { files: Directory(folder), none_left: scarce.clone() })
    };
    let registry = ChannelRegistry::open_on(peer.options(LONG), Arc::new(files)).expect("opens");
    let channel = registry.create(config("main")).await.expect("made");
    assert!(channel.is_suspended());
    let id = channel.id().expect("known");
    none_left.store(true, Ordering::SeqCst);
    for nonce in 1..4 {
        let posted = channel.submit(vec![envelope(id, nonce, 1)], Wait::Committed).expect("taken").await;
        let refused = |answer: &SubmitResult| {
            matches!(answer, SubmitResult::Refused { refusal: SubmitRefusal::Stopped { .. }, .. })
        };
        assert!(posted.iter().all(refused), "{posted:?}");
        assert!(matches!(channel.read(|reader| Ok(reader.height())).await, Err(Unavailable::Stopped { .. })));
        assert_eq!((channel.state(), channel.is_suspended()), (LifeCycle::Serving, true));
    }
    none_left.store(false, Ordering::SeqCst);
    done(&channel, envelope(id, 1, 1)).await;
    registry.drain().await;
    assert_eq!(channel.state(), LifeCycle::Closed);
}

/// A channel that found none as the peer began was halted for as long as the peer ran.
#[actix::test]
async fn one_that_finds_no_descriptors_as_the_peer_begins_starts_when_there_are_some() {
    for drained in [false, true] {
        let peer = Peer::new();
        let registry = peer.open(LONG);
        let id = registry.create(config("main")).await.expect("made").id().expect("known");
        registry.drain().await;
        std::fs::remove_file(peer.path("main/summary")).expect("removes");
        let none_left = Arc::new(AtomicBool::new(true));
        let scarce = none_left.clone();
        let files = move |folder: std::path::PathBuf, _: Option<&Disk>| -> Box<dyn StoreFiles> {
            Box::new(Scarce { files: Directory(folder), none_left: scarce.clone() })
        };
        let registry = ChannelRegistry::open_on(peer.options(LONG), Arc::new(files)).expect("opens");
        let channel = registry.by_name("main").expect("there");
        let _ = channel.0.settled.subscribe().wait_for(|settled| *settled).await;
        let undecided = Some(super::super::Undecided::Opening);
        assert_eq!((channel.state(), registry.undecided()), (LifeCycle::Opening, undecided));
        if !drained {
            none_left.store(false, Ordering::SeqCst);
            registry.opened().await;
            assert_eq!(registry.undecided(), None);
            done(&channel, envelope(id, 1, 1)).await;
        }
        registry.drain().await;
        assert_eq!(channel.state(), LifeCycle::Closed);
    }
}

#[actix::test]
async fn what_was_posted_to_a_channel_that_is_suspended_is_committed_by_a_drain() {
    let peer = Peer::new();
    let registry = peer.open(LONG);
    let [busy, idle] = ["busy", "idle"].map(|name| registry.create(config(name)));
    let (busy, idle) = (busy.await.expect("made"), idle.await.expect("made"));
    let posted = busy.submit(vec![envelope(busy.id().expect("known"), 1, 1)], Wait::Committed).expect("taken");
    registry.drain().await;
    assert!(matches!(posted.await[..], [SubmitResult::Committed { .. }]));
    for channel in [busy, idle] {
        assert_eq!(channel.state(), LifeCycle::Closed);
        assert!(Directory(peer.path(channel.name())).summary().expect("readable").is_some());
        assert!(matches!(channel.read(|reader| Ok(reader.height())).await, Err(Unavailable::Stopped { .. })));
    }
}

#[test]
fn where_many_are_active_they_are_suspended_sooner() {
    let minute = Duration::from_secs(60);
    assert_eq!(patience(minute, ACTIVE_MAX), minute);
    assert!(patience(minute, ACTIVE_MAX + 1) < minute / 10);
}

/// Two peers in one directory would seal two histories: while all are suspended, no file of redb's is locked.
#[actix::test]
async fn a_directory_belongs_to_one_peer_also_while_all_are_suspended() {
    let peer = Peer::new();
    let registry = peer.open(LONG);
    registry.create(config("main")).await.expect("made");
    let held = lock_directory(peer.folder.path()).err().map(|error| error.kind());
    assert_eq!(held, Some(std::io::ErrorKind::ResourceBusy));
    registry.drain().await;
    assert!(lock_directory(Path::new(peer.folder.path())).is_ok());
}
