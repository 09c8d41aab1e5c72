//! What tests of the cores share: a channel in a temporary directory, signed transactions, submissions, a seeded
//! random generator.

use crate::block::execute;
use crate::block::replay;
use crate::block::replay::{Opened, Step};
use crate::pipeline::answer::{SubmitResult, Wait};
use crate::pipeline::batcher::{Content, Submitted};
use crate::pipeline::submission::{Credits, Submission, submission};
use crate::pipeline::verifier::PendingTransaction;
use crate::runtime::asker::Asker;
use crate::runtime::life::{Life, LifeCycle};
use crate::runtime::place::Place;
pub(crate) use crate::simulation::Random;
use crate::store::{ChannelStore, Directory, DiskQuota, StoreOptions};
use ledger_classes::action::{Action, logs};
use ledger_classes::chain::ExecutedBlock;
use ledger_classes::formats::blinding::BlindingSeed;
use ledger_classes::formats::block::{Header, Seal};
use ledger_classes::formats::config::{Approvals, ChannelConfig, Engine, Fees, Limits, OrderingPeer, Organization};
use ledger_classes::formats::detail::Detail;
use ledger_classes::formats::outcome::ResultCode;
use ledger_classes::formats::receipt::Receipt;
use ledger_classes::formats::transaction::{Envelope, Transaction, VerifiedTransaction, parse, verify_all};
use ledger_classes::keys::{Address, KeyCache, SigningKey};
use ledger_classes::primitives::amount::Amount;
use ledger_classes::primitives::hash::{Hash, HexBytes};
use ledger_classes::primitives::identity::{Identity, Role};
use ledger_classes::primitives::time::Time;
use ledger_classes::state::participant::NoCertificates;
use ledger_classes::state::tree::StateTree;
use ledger_classes::state::view::Writes;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// What the blocks of these tests are blinded with.
pub(crate) const DRAWN: BlindingSeed = BlindingSeed::new([5; 32]);

/// When these tests begin.
pub(crate) const NOW: Time = Time::from_millis(1_795_000_000_000);

pub(crate) fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

/// An open channel, ordered by key 200.
pub(crate) fn config() -> ChannelConfig {
    let peer = Identity::new("test.example", "bank", Role::Peer, "peer").expect("valid");
    ChannelConfig {
        rules: ledger_classes::rules::RULES,
        name: "main".into(),
        consortium: "test.example".into(),
        created: NOW,
        salt: HexBytes(vec![7; 16]),
        engine: Engine::Solo,
        peers: vec![OrderingPeer { identity: peer, key: key(200).public(), weight: 1 }],
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

/// A channel with its files.
pub(crate) struct Bench {
    pub(crate) opened: Opened,
    directory: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new(config: &ChannelConfig) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let files = Directory(directory.path().join("main"));
        replay::create(&files, StoreOptions::default(), config).expect("creates");
        let life = Life::new(LifeCycle::Opening);
        match replay::begin(&files, StoreOptions::default(), false, &NoCertificates, &life, Duration::MAX)
            .expect("opens")
        {
            Step::Done(opened) => Self { opened: *opened, directory },
            _ => panic!("there is time"),
        }
    }

    /// Leaves the store as a crash does: replay begins above its last checkpoint.
    pub(crate) fn crash(self) -> (Directory, tempfile::TempDir) {
        drop(self.opened);
        (Directory(self.directory.path().join("main")), self.directory)
    }

    /// Closes the store and forgets the state, so that everything is to be replayed.
    pub(crate) fn forget_state(&self) -> Directory {
        let Directory(path) = self.close();
        std::fs::remove_file(path.join("state.redb")).expect("removes");
        Directory(path)
    }

    /// Closes the store.
    pub(crate) fn close(&self) -> Directory {
        self.opened.store.close().expect("closes");
        Directory(self.directory.path().join("main"))
    }
}

/// Appends a block to a log and applies it.
pub(crate) fn persist(store: &ChannelStore, block: &ExecutedBlock, seal: Seal) {
    execute::append(store, block, block.with_seal(seal)).expect("appends");
    let _ = execute::apply(store, block).expect("applies");
}

/// A part of the disk that nobody fills.
pub(crate) fn whole_disk() -> DiskQuota {
    DiskQuota::new("none", Path::new("/nowhere"), u64::MAX)
}

pub(crate) fn transaction(channel: Hash, nonce: u64, body: &str) -> Transaction {
    let append = logs::Append { topic: "test".into(), digest: None, body: body.into() };
    Transaction {
        channel,
        nonce,
        valid_until: NOW.plus_millis(3_600_000),
        fee_max: Amount::ZERO,
        actions: vec![Action::LogAppend(append)],
        memo: String::new(),
        sender: None,
    }
}

pub(crate) fn envelope(channel: Hash, nonce: u64, signer: u8) -> Envelope {
    Envelope::sign_binary(&transaction(channel, nonce, ""), &[&key(signer)])
}

pub(crate) fn verified(channel: Hash, envelope: Envelope) -> VerifiedTransaction {
    let parsed = parse(envelope, channel, &Limits::default()).expect("well formed");
    verify_all(vec![parsed], [1; 32], &mut KeyCache::default()).pop().expect("one verdict").expect("valid signatures")
}

/// One envelope at the door.
pub(crate) fn arrival(envelope: Envelope, wait: Wait, credits: &Arc<Credits>) -> (Submission, Submitted) {
    let (submission, mut waiters) = submission(1, wait);
    let waiter = waiters.pop().expect("one");
    let size = u32::try_from(envelope.payload.len()).expect("small");
    let credit = credits.take(Asker::PEER, [size].into_iter()).expect("room").pop().expect("one");
    (submission, Submitted::new(envelope, Asker::PEER, waiter, credit, Instant::now()))
}

/// One verified transaction on its way to the collector.
pub(crate) fn flight(
    channel: Hash,
    envelope: Envelope,
    wait: Wait,
    credits: &Arc<Credits>,
) -> (Submission, PendingTransaction) {
    let (submission, Submitted { content, mut waiter, credit, arrived, .. }) = arrival(envelope, wait, credits);
    let Content::Envelope(envelope) = content else { panic!("it was not decoded") };
    let transaction = verified(channel, envelope);
    waiter.accept(transaction.id());
    (submission, PendingTransaction { transaction, place: Place::default(), waiter, credit, arrived })
}

/// The answer to a submission of one, if it is there.
pub(crate) fn answer(submission: &mut Submission) -> Option<SubmitResult> {
    match Pin::new(submission).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(mut results) => Some(results.pop().expect("one")),
        Poll::Pending => None,
    }
}

/// Seeds of a randomised test: `CHANCERY_RUNS` of them, `few` without it, from `CHANCERY_SEED` on, from 1 without it: what
/// passed once passes again, and long runs say from where. Each is printed as it begins, so that a failure can be repeated.
pub(crate) fn seeds(few: u64) -> impl Iterator<Item = u64> {
    let given = |name: &str| -> Option<u64> {
        let text = std::env::var(name).ok()?;
        Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
    };
    let first = given("CHANCERY_SEED").unwrap_or(1);
    let runs = given("CHANCERY_RUNS").unwrap_or(few);
    (first..first + runs).inspect(|seed| println!("CHANCERY_SEED={seed}"))
}

pub(crate) fn bare_id(number: u64) -> Hash {
    Hash::plain(&[&number.to_le_bytes()])
}

fn bare_receipt(height: u64) -> Arc<Receipt> {
    Arc::new(Receipt::new(bare_id(height), height, 0, ResultCode::Done, Detail::PLAIN, Amount::ZERO, &[]))
}

/// A block that nothing was executed for: of one transaction, whose id follows from the height; several by their times.
pub(crate) fn bare_block(height: u64, later: u64) -> Arc<ExecutedBlock> {
    let header = Header {
        version: 1,
        channel: Hash::ZERO,
        height,
        previous: Hash::ZERO,
        time: NOW.plus_millis(height + later),
        transaction_root: Hash::ZERO,
        receipt_root: Hash::ZERO,
        batch_root: Hash::ZERO,
        writes_root: Hash::ZERO,
        state_root: Hash::ZERO,
        history_root: Hash::ZERO,
        orderers_root: Hash::ZERO,
        config_height: 0,
        proposer: Address([0; 20]),
        transactions: 1,
        receipts: 1,
        batches: 0,
    };
    Arc::new(ExecutedBlock {
        hash: header.hash(),
        header,
        seed: BlindingSeed::GENESIS,
        envelopes: vec![vec![]].into(),
        batches: Vec::new(),
        receipts: vec![bare_receipt(height)],
        writes: Writes::new(),
        tree: StateTree::default(),
        ids: [(bare_id(height), 0)].into(),
        next_timer: Some(NOW.plus_millis(1_000 + height)),
        config: None,
        orderers: config().orderers(),
    })
}
