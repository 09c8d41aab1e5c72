//! A channel whose block time is ahead of the clock: transactions are judged by the time that their block will have.

use channel_actors::runtime::clock::{Clock, SystemClock};
use channel_actors::runtime::metrics::Metrics;
use channel_actors::store::StoreOptions;
use channel_actors::{ChannelHandle, ChannelRegistry, RegistryOptions, SubmitRefusal, SubmitResult, Wait};
use ledger_classes::action::{Action, logs};
use ledger_classes::formats::config::{Approvals, ChannelConfig, Engine, Fees, Limits, OrderingPeer, Organization};
use ledger_classes::formats::transaction::{Envelope, Transaction, TransactionError};
use ledger_classes::keys::SigningKey;
use ledger_classes::primitives::amount::Amount;
use ledger_classes::primitives::hash::HexBytes;
use ledger_classes::primitives::identity::{Identity, Role};
use ledger_classes::primitives::time::Time;
use ledger_classes::state::participant::NoCertificates;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1000;

/// Ahead of the machine's clock by so much.
#[derive(Default)]
struct SetClock(AtomicU64);

impl Clock for SetClock {
    fn now(&self) -> Time {
        SystemClock.now().plus_millis(self.0.load(Ordering::SeqCst))
    }
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

fn config() -> ChannelConfig {
    let identity = Identity::new("test.example", "bank", Role::Peer, "peer").expect("valid");
    ChannelConfig {
        rules: ledger_classes::rules::RULES,
        name: "main".into(),
        consortium: "test.example".into(),
        created: SystemClock.now(),
        salt: HexBytes(vec![7; 16]),
        engine: Engine::Solo,
        peers: vec![OrderingPeer { identity, key: SigningKey::from_seed(&[200; 32]).public(), weight: 1 }],
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

async fn submit(channel: &ChannelHandle, nonce: u64, valid_until: Time) -> SubmitResult {
    let append = Action::LogAppend(logs::Append { topic: "test".into(), digest: None, body: String::new() });
    let transaction = Transaction {
        channel: channel.id().expect("open"),
        nonce,
        valid_until,
        fee_max: Amount::ZERO,
        actions: vec![append],
        memo: String::new(),
        sender: None,
    };
    let envelope = Envelope::sign_binary(&transaction, &[&key()]);
    channel.submit(vec![envelope], Wait::Committed).expect("room").await.remove(0)
}

/// After a clock had once been ahead, transactions that fitted block time were refused as too far ahead, and those that
/// did not went into blocks as failures: nobody got anything done until real time had caught up.
#[actix::test]
async fn block_time_decides_which_transactions_are_timely() {
    let directory = tempfile::tempdir().expect("a directory");
    let clock = Arc::new(SetClock::default());
    let registry = ChannelRegistry::open(RegistryOptions {
        memory: Default::default(),
        directory: directory.path().to_owned(),
        seal_key: Arc::new(SigningKey::from_seed(&[200; 32])),
        certificates: Arc::new(NoCertificates),
        clock: clock.clone(),
        shards: 1,
        verification_threads: 1,
        disk_reserve_bytes: 0,
        channel_bytes_max: 0,
        store: StoreOptions::default(),
        suspend_after: None,
        metrics: Metrics::new(&mut Registry::default()),
        tasks: channel_actors::runtime::tasks::Tasks::default(),
    });
    let registry = registry.expect("opens");
    let channel = registry.create(config()).await.expect("creates");
    clock.0.store(YEAR_MS, Ordering::SeqCst);
    let ahead = submit(&channel, 1, clock.now().plus_millis(1000)).await;
    assert!(matches!(ahead, SubmitResult::Committed { .. }), "{ahead:?}");

    clock.0.store(0, Ordering::SeqCst);
    let block_time = channel.tip().time;
    assert!(block_time.millis_since(SystemClock.now()) > YEAR_MS - 60_000);
    let late = submit(&channel, 2, SystemClock.now().plus_millis(300_000)).await;
    let expired = |refusal: &SubmitRefusal| matches!(refusal, SubmitRefusal::Transaction(TransactionError::Expired(_)));
    assert!(matches!(&late, SubmitResult::Refused { refusal, .. } if expired(refusal)), "{late:?}");
    let timely = submit(&channel, 3, block_time.plus_millis(300_000)).await;
    let done =
        |result: &SubmitResult| matches!(result, SubmitResult::Committed { receipt, .. } if receipt.head.code == 0);
    assert!(done(&timely), "{timely:?}");
    assert_eq!((channel.tip().height, channel.tip().time), (2, block_time), "it stands still until time catches up");
    registry.drain().await;
}
