//! What a channel promises when things go wrong around it: actors that panic, submissions that race, a peer that
//! closes while it opens, folders that are not what they seem.

use channel_actors::runtime::clock::{Clock, SystemClock};
use channel_actors::runtime::metrics::Metrics;
use channel_actors::store::StoreOptions;
use channel_actors::{
    ChannelHandle, ChannelRegistry, CreateError, LifeCycle, RegistryOptions, SubmitRefusal, SubmitResult, Wait,
};
use ledger_classes::action::{Action, channel, logs};
use ledger_classes::formats::config::{Approvals, ChannelConfig, Engine, Fees, Limits, OrderingPeer, Organization};
use ledger_classes::formats::detail::PathRefusal;
use ledger_classes::formats::transaction::{Envelope, Transaction};
use ledger_classes::keys::{Signature, SigningKey};
use ledger_classes::primitives::amount::Amount;
use ledger_classes::primitives::hash::HexBytes;
use ledger_classes::primitives::identity::{Identity, Role};
use ledger_classes::primitives::time::Time;
use ledger_classes::state::participant::{CertificatePaths, CertifiedIdentity, NoCertificates, PathRules};
use prometheus_client::registry::Registry;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, PoisonError};

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

fn config(name: &str) -> ChannelConfig {
    ChannelConfig {
        rules: ledger_classes::rules::RULES,
        name: name.into(),
        consortium: "test.example".into(),
        created: SystemClock.now(),
        salt: HexBytes(vec![7; 16]),
        engine: Engine::Solo,
        peers: vec![OrderingPeer {
            identity: Identity::new("test.example", "bank", Role::Peer, "peer").expect("valid"),
            key: key(200).public(),
            weight: 1,
        }],
        threshold: 1,
        organizations: vec![Organization { name: "bank".into(), title: "Bank".into(), authorities: vec![] }],
        grants: vec![],
        public_read: true,
        open_submit: true,
        limits: Limits::default(),
        fees: Fees::default(),
        approvals: Approvals::Majority,
        witnesses: Default::default(),
        budgets: Default::default(),
    }
}

fn open_with(directory: &Path, clock: Arc<dyn Clock>, certificates: Arc<dyn CertificatePaths>) -> Arc<ChannelRegistry> {
    let options = RegistryOptions {
        memory: Default::default(),
        directory: directory.to_owned(),
        seal_key: Arc::new(key(200)),
        certificates,
        clock,
        shards: 2,
        verification_threads: 2,
        disk_reserve_bytes: 0,
        channel_bytes_max: 0,
        store: StoreOptions::default(),
        suspend_after: None,
        metrics: Metrics::new(&mut Registry::default()),
        tasks: channel_actors::runtime::tasks::Tasks::default(),
    };
    ChannelRegistry::open(options).expect("opens")
}

fn open(directory: &Path) -> Arc<ChannelRegistry> {
    open_with(directory, Arc::new(SystemClock), Arc::new(NoCertificates))
}

fn signed(channel: &ChannelHandle, nonce: u64, action: Action) -> Envelope {
    let transaction = Transaction {
        channel: channel.id().expect("open"),
        nonce,
        valid_until: SystemClock.now().plus_millis(600_000),
        fee_max: Amount::ZERO,
        actions: vec![action],
        memo: String::new(),
        sender: None,
    };
    Envelope::sign_binary(&transaction, &[&key(1)])
}

fn append() -> Action {
    Action::LogAppend(logs::Append { topic: "test".into(), digest: None, body: String::new() })
}

fn admit() -> Action {
    Action::ParticipantAdmit(channel::Admit {
        address: key(1).public().address(),
        path: vec![HexBytes(vec![1])],
        possession: Signature([0; 64]),
    })
}

async fn halt_of(channel: &ChannelHandle) -> String {
    let mut life = channel.follow_life();
    let halted = life.wait_for(|state| matches!(state, LifeCycle::Halted { .. })).await.expect("the handle lives");
    match &*halted {
        LifeCycle::Halted { reason } => reason.clone(),
        other => panic!("{other:?}"),
    }
}

/// Panics at the n-th reading after it was armed.
#[derive(Default)]
struct PoisonedClock {
    left: AtomicUsize,
}

impl Clock for PoisonedClock {
    fn now(&self) -> Time {
        let count = |left: usize| left.checked_sub(1);
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count) == Ok(1) {
            panic!("the clock is poisoned");
        }
        SystemClock.now()
    }
}

/// Every reading of the clock on a transaction's way, in the order of the way: wherever the actor dies, the channel halts,
/// whoever waits is answered, other channels go on, and what came on disk has its outcome.
#[actix::test]
async fn an_actor_that_panics_halts_its_channel_and_every_waiter_is_answered() {
    for (reading, at) in [(1, "submitted"), (2, "verified"), (3, "executed"), (4, "applied")] {
        let directory = tempfile::tempdir().expect("a directory");
        let clock = Arc::new(PoisonedClock::default());
        let registry = open_with(directory.path(), clock.clone(), Arc::new(NoCertificates));
        let broken = registry.create(config("broken")).await.expect("creates");
        let sound = registry.create(config("sound")).await.expect("creates");
        // Actors read the clock as they start, too: one block each, and they have.
        for channel in [&broken, &sound] {
            channel.submit(vec![signed(channel, 100, append())], Wait::Committed).expect("room").await;
        }
        let envelopes: Vec<Envelope> = (0..3).map(|nonce| signed(&broken, nonce, append())).collect();
        clock.left.store(reading, Ordering::SeqCst);
        let results = broken.submit(envelopes.clone(), Wait::Committed).expect("room").await;
        assert_eq!(results.len(), 3);
        for result in &results {
            let stopped = matches!(result, SubmitResult::Refused { refusal: SubmitRefusal::Stopped { .. }, .. });
            assert!(stopped, "{at}: {result:?}");
        }
        let reason = halt_of(&broken).await;
        assert_eq!(reason, "the channel's machine panicked: the clock is poisoned", "{at}");
        let refused = broken.submit(envelopes.clone(), Wait::Committed).err();
        assert_eq!(refused, Some(SubmitRefusal::Stopped { reason }));
        broken.read(|reader| Ok(reader.height())).await.expect("what is committed can still be read");

        let other = sound.submit(vec![signed(&sound, 1, append())], Wait::Committed).expect("room").await;
        assert!(matches!(other[0], SubmitResult::Committed { .. }), "{other:?}");
        registry.drain().await;

        let registry = open(directory.path());
        registry.opened().await;
        let mended = registry.by_name("broken").expect("there");
        let on_disk = mended.tip().height;
        let again = mended.submit(envelopes, Wait::Committed).expect("room").await;
        assert!(again.iter().all(|result| matches!(result, SubmitResult::Committed { .. })), "{again:?}");
        assert_eq!(mended.tip().height, 2, "included once, whether before ({on_disk}) or now");
        registry.drain().await;
    }
}

/// Promise 2.
#[actix::test]
async fn one_envelope_sent_64_times_at_once_is_included_once_and_answered_64_times() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = open(directory.path());
    let channel = registry.create(config("main")).await.expect("creates");
    let one = signed(&channel, 1, append());
    let barrier = Barrier::new(64);
    let submissions: Vec<_> = std::thread::scope(|scope| {
        let send = || {
            barrier.wait();
            channel.submit(vec![one.clone()], Wait::Committed).expect("room")
        };
        let threads: Vec<_> = (0..64).map(|_| scope.spawn(send)).collect();
        threads.into_iter().map(|thread| thread.join().expect("sends")).collect()
    });
    let mut receipts = Vec::new();
    for submission in submissions {
        match submission.await.as_slice() {
            [SubmitResult::Committed { receipt, .. }] => receipts.push(receipt.clone()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(receipts.len(), 64);
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0] && receipt.head.id == one.id()));
    let mut included = 0;
    for height in 1..=channel.tip().height {
        included += channel.block(height).await.expect("readable").expect("there").block.transactions.len();
    }
    assert_eq!(included, 1);
    registry.drain().await;
    assert_eq!(channel.queue().transactions, 0);
}

/// A channel that was opening when its peer closed began to serve afterwards, and kept its files.
#[actix::test]
async fn a_peer_that_closes_while_it_opens_leaves_every_store_free() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = open(directory.path());
    for number in 0..6 {
        registry.create(config(&format!("c{number}"))).await.expect("creates");
    }
    registry.drain().await;
    let refused = registry.create(config("late")).await.err();
    assert_eq!(refused, Some(CreateError::Broken("the peer is closing".into())));
    for _ in 0..3 {
        let registry = open(directory.path());
        registry.drain().await;
        assert!(registry.list().iter().all(|channel| channel.state() == LifeCycle::Closed));
    }
    let registry = open(directory.path());
    registry.opened().await;
    let states: Vec<LifeCycle> = registry.list().iter().map(ChannelHandle::state).collect();
    assert_eq!(states, vec![LifeCycle::Serving; 6]);
    registry.drain().await;
}

/// A copy of a channel under another name would be a second writer of the same channel.
#[actix::test]
async fn a_folder_under_another_name_does_not_serve() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = open(directory.path());
    let id = registry.create(config("main")).await.expect("creates").id();
    registry.drain().await;
    let copy = directory.path().join("copy");
    std::fs::create_dir(&copy).expect("makes");
    for entry in std::fs::read_dir(directory.path().join("main")).expect("lists") {
        let entry = entry.expect("lists");
        std::fs::copy(entry.path(), copy.join(entry.file_name())).expect("copies");
    }
    let registry = open(directory.path());
    registry.opened().await;
    let copy = registry.by_name("copy").expect("listed");
    assert_eq!(copy.state(), LifeCycle::Halted { reason: "its folder holds the channel main".into() });
    let found = registry.by_id(&id.expect("open")).expect("serves");
    assert_eq!((found.name(), found.state()), ("main", LifeCycle::Serving));
    registry.drain().await;
}

/// Refuses like [`NoCertificates`], but only once the gate is open.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl CertificatePaths for Gate {
    fn claimed_organization(&self, _: PathRules, _: &[u8]) -> Option<String> {
        Some("bank".into())
    }

    fn verify(
        &self,
        rules: PathRules,
        path: &[&[u8]],
        roots: &[&[u8]],
        time: Time,
    ) -> Result<CertifiedIdentity, PathRefusal> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.opened.wait_while(open, |open| !*open).unwrap_or_else(PoisonError::into_inner));
        NoCertificates.verify(rules, path, roots, time)
    }
}

/// Replays ran on the threads that execute and persist: four long ones stalled every channel of the peer.
#[actix::test]
async fn channels_that_replay_for_long_stall_none_that_serves() {
    let directory = tempfile::tempdir().expect("a directory");
    let registry = open(directory.path());
    let quick = registry.create(config("a-quick")).await.expect("creates");
    let id = quick.id().expect("open");
    for number in 0..6 {
        let channel = registry.create(config(&format!("slow-{number}"))).await.expect("creates");
        channel.submit(vec![signed(&channel, 1, admit())], Wait::Committed).expect("room").await;
    }
    registry.drain().await;
    for number in 0..6 {
        std::fs::remove_file(directory.path().join(format!("slow-{number}/state.redb"))).expect("removes");
    }
    let gate = Arc::new(Gate::default());
    let registry = open_with(directory.path(), Arc::new(SystemClock), gate.clone());
    let quick = registry.by_name("a-quick").expect("there");
    let mut life = quick.follow_life();
    let serving = life.wait_for(|state| *state == LifeCycle::Serving);
    let served = tokio::time::timeout(std::time::Duration::from_secs(20), serving).await.is_ok();
    let result = if served {
        let submission = quick.submit(vec![signed(&quick, 1, append())], Wait::Committed).expect("room");
        tokio::time::timeout(std::time::Duration::from_secs(20), submission).await.ok()
    } else {
        None
    };
    // Before anything is asserted, or the threads would wait for ever.
    *gate.open.lock().unwrap_or_else(PoisonError::into_inner) = true;
    gate.opened.notify_all();
    assert!(served, "it opens while others replay");
    let result = result.expect("it commits while others replay");
    assert!(matches!(result[0], SubmitResult::Committed { .. }), "{result:?}");
    assert_eq!(quick.id(), Some(id));
    registry.opened().await;
    registry.drain().await;
}
