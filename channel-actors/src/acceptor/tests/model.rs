//! Collector, execution, acceptor and store together, in a random order of completions: each id has one outcome for
//! ever, heights are consecutive, block times never go back, nothing is told before it is on disk.

use crate::acceptor::{Acceptor, AcceptorEffect};
use crate::collector::{BlockOutcome, Collector, CollectorEffect};
use crate::dealer::Arrival;
use crate::limits::DISK_BYTES_OF_TRANSACTION;
use crate::needs;
use crate::ordering::Solo;
use crate::place::Place;
use crate::production::{self, Execution, ExecutionResult, Offered, Persisted, decode_receipts};
use crate::recall::{self, Found, Recall};
use crate::store::Room;
use crate::test_support::{
    Bench, DRAWN, NOW, Random, answer, arrival, config, envelope, flight, key, seeds, whole_disk,
};
use crate::ticket::{Credits, Submission, SubmitRefusal, SubmitResult, Wait};
use crate::verifier::{Flight, Passed};
use ledger_classes::config::Limits;
use ledger_classes::execution::budget::BLOCK_COST;
use ledger_classes::hash::Hash;
use ledger_classes::outcome::ResultCode;
use ledger_classes::participant::NoCertificates;
use ledger_classes::receipt::Receipt;
use ledger_classes::time::Time;
use ledger_classes::transaction::VerifiedTransaction;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Work that is done when the generator says so: on real pools anything may end before anything.
enum Work {
    Run(Execution, Vec<VerifiedTransaction>),
    Execute(Result<ExecutionResult, String>),
    Persist(Arc<ledger_classes::chain::ExecutedBlock>, ledger_classes::block::Seal),
    Checkpoint,
    Recall(Vec<Recall>),
    Tell(Found),
}

/// A message between the two actors: in order, at any time.
enum Message {
    Propose(Vec<VerifiedTransaction>),
    Executed(Offered),
    Known(Vec<Hash>),
    Committed(BlockOutcome),
}

struct World {
    bench: Bench,
    collector: Collector,
    acceptor: Acceptor,
    to_acceptor: VecDeque<Message>,
    to_collector: VecDeque<Message>,
    work: Vec<Work>,
    now: Time,
    tip: (u64, Hash, Time),
    /// A wake-up was asked for and has not fired.
    wake: bool,
    /// Left out of a block since they could not pay, at some time.
    dropped: BTreeSet<Hash>,
    /// How often one waited for the next block.
    deferred: usize,
    held: usize,
}

impl World {
    fn collector_did(&mut self, effects: Vec<CollectorEffect>) {
        for effect in effects {
            match effect {
                CollectorEffect::Propose(block) => self.to_acceptor.push_back(Message::Propose(block)),
                CollectorEffect::Recall(recalls) => self.work.push(Work::Recall(recalls)),
                CollectorEffect::WakeAt(_) => self.wake = true,
                CollectorEffect::Halt(reason) => panic!("halted: {reason}"),
            }
        }
    }

    fn acceptor_did(&mut self, effects: Vec<AcceptorEffect>) {
        for effect in effects {
            match effect {
                AcceptorEffect::Execute { parent, time, above, transactions } => {
                    let execution = Execution {
                        store: self.bench.opened.store.clone(),
                        share: whole_disk(),
                        certificates: Arc::new(NoCertificates),
                        proposer: key(200).public().address(),
                        parent,
                        time,
                        seed: DRAWN,
                        above,
                    };
                    self.work.push(Work::Run(execution, transactions));
                }
                AcceptorEffect::Executed(offered) => self.to_collector.push_back(Message::Executed(offered)),
                AcceptorEffect::Known(ids) => self.to_collector.push_back(Message::Known(ids)),
                AcceptorEffect::Persist { block, seal } => self.work.push(Work::Persist(block, seal)),
                AcceptorEffect::Checkpoint => self.work.push(Work::Checkpoint),
                AcceptorEffect::Commit { block, receipts, next_timer, .. } => {
                    if let Some(block) = block {
                        let header = &block.block.header;
                        assert_eq!(header.height, self.tip.0 + 1, "heights are consecutive");
                        assert_eq!(header.previous, self.tip.1, "each names the one before");
                        assert!(header.time >= self.tip.2, "block time never goes back");
                        self.tip = (header.height, block.header_hash, header.time);
                    }
                    assert_eq!(self.bench.opened.store.log_tip(), Some(self.tip.0), "told when on disk");
                    let on_disk = |receipt: &Receipt| receipt.head.height <= self.tip.0;
                    assert!(receipts.iter().all(|(_, receipt)| on_disk(receipt)), "no outcome before its block");
                    self.to_collector.push_back(Message::Committed(BlockOutcome { receipts, next_timer }));
                }
                AcceptorEffect::Halt(reason) => panic!("halted: {reason}"),
            }
        }
    }

    /// Does one of the things that can happen next; `false` if nothing can.
    fn step(&mut self, random: &mut Random) -> bool {
        let (messages, work) = (self.to_acceptor.len().min(1), self.work.len());
        let choices = messages + self.to_collector.len().min(1) + work + usize::from(self.wake);
        if choices == 0 {
            return false;
        }
        let mut choice = random.below(choices);
        if choice < work {
            match self.work.swap_remove(choice) {
                // It sees the store as it is then, and is reported later.
                Work::Run(execution, mut transactions) => {
                    // Now and then a block's budget is used up, or what is in it cannot pay any more.
                    let fitting = [transactions.len(), random.below(transactions.len() + 1)][random.below(2)];
                    let deferred = transactions.split_off(fitting.max(1).min(transactions.len()));
                    let store = execution.store.clone();
                    let committed = |id: &Hash| store.transactions(&[*id]).is_ok_and(|found| found[0].is_some());
                    let above: Vec<_> = execution.above.clone();
                    let fresh = |transaction: &mut VerifiedTransaction| {
                        let id = transaction.id();
                        !committed(&id) && !above.iter().any(|block| block.receipt_of(&id).is_some())
                    };
                    let unpaid = if random.below(4) == 0 { transactions.pop_if(fresh) } else { None };
                    self.deferred += deferred.len();
                    self.dropped.extend(unpaid.iter().map(VerifiedTransaction::id));
                    // Now and then all waits for a checkpoint.
                    if unpaid.is_none() && deferred.is_empty() && random.below(4) == 0 {
                        self.held += 1;
                        let result = ExecutionResult { held: transactions, ..ExecutionResult::default() };
                        self.work.push(Work::Execute(Ok(result)));
                        return true;
                    }
                    let result = execution.run(transactions).map(|result| {
                        let refusal = SubmitRefusal::Rejected { code: ResultCode::FeeUnpaid, message: "broke".into() };
                        let dropped = unpaid.map(|transaction| (transaction.id(), refusal)).into_iter().collect();
                        // Some cost a quarter of a block, by which turns go.
                        let costs = result.offered.costs.into_iter();
                        let costs = costs.map(|(id, cost)| (id, [cost, BLOCK_COST / 4][random.below(2)])).collect();
                        ExecutionResult { offered: Offered { dropped, deferred, costs }, ..result }
                    });
                    self.work.push(Work::Execute(result));
                }
                Work::Execute(result) => {
                    let effects = self.acceptor.executed(result);
                    self.acceptor_did(effects);
                }
                Work::Persist(block, seal) => {
                    let result = production::persist(&self.bench.opened.store, &block, seal);
                    // Now and then the disk is under pressure.
                    let pressure = [crate::store::Pressure::None, crate::store::Pressure::Wait][random.below(2)];
                    let result = result.map(|persisted| Persisted { pressure, ..persisted });
                    let effects = self.acceptor.persisted(result);
                    self.acceptor_did(effects);
                }
                Work::Recall(recalls) => {
                    let (_, found) = recall::sort(&self.bench.opened.store, recalls).expect("readable");
                    self.work.extend(found.into_iter().map(Work::Tell));
                }
                Work::Tell(found) => recall::tell(&self.bench.opened.store, found).expect("readable"),
                Work::Checkpoint => {
                    let result = self.bench.opened.store.checkpoint();
                    let effects = self.acceptor.checkpointed(result.map(|_| ()).map_err(|error| error.to_string()));
                    self.acceptor_did(effects);
                }
            }
            return true;
        }
        choice -= work;
        if choice < messages {
            if let Some(Message::Propose(block)) = self.to_acceptor.pop_front() {
                let effects = self.acceptor.propose(block, self.now);
                self.acceptor_did(effects);
            }
            return true;
        }
        let effects = match self.to_collector.pop_front() {
            Some(Message::Executed(offered)) => self.collector.executed(offered, self.now),
            Some(Message::Known(ids)) => self.collector.known(ids),
            Some(Message::Committed(outcome)) => self.collector.committed(outcome, self.now).0,
            _ => {
                self.wake = false;
                self.now = self.now.plus_millis(60);
                self.collector.tick(self.now)
            }
        };
        self.collector_did(effects);
        true
    }
}

fn world() -> World {
    let limits = Limits { block_transactions_max: 4, block_age_ms_max: 50, ..Limits::default() };
    let bench = Bench::new(&config());
    let opened = &bench.opened;
    let collector = Collector::new(opened.channel, vec![key(1).public(), key(2).public()], limits, None);
    let engine = Box::new(Solo::new(Arc::new(key(200))));
    let acceptor = Acceptor::new(engine, opened.store.history(), opened.parent(), None);
    let tip = (opened.tip.height, opened.tip.hash, opened.tip.time);
    World {
        bench,
        collector,
        acceptor,
        to_acceptor: VecDeque::new(),
        to_collector: VecDeque::new(),
        work: Vec::new(),
        now: NOW,
        tip,
        wake: false,
        dropped: BTreeSet::new(),
        deferred: 0,
        held: 0,
    }
}

/// One of four senders, two of an organization.
fn signer(nonce: u64) -> u8 {
    u8::try_from(nonce % 4).expect("small") + 1
}

fn place(signer: u8) -> Place {
    Place::of_organization(["one", "other"][usize::from(signer) / 3])
}

/// Submits ids again and again, of which many are under way or committed, and lets things happen in between.
#[test]
fn every_verified_id_has_exactly_one_outcome_in_any_order_of_completions() {
    let mut offered = (0, 0);
    let mut held = 0;
    for seed in seeds(4) {
        let mut random = Random(seed);
        let mut world = world();
        let channel = world.bench.opened.channel;
        let credits = Arc::new(Credits::default());
        // What is accepted counts into the channel's part of the disk, and the same that is sent again, too.
        let share = whole_disk();
        let (mut most_under_way, mut sizes) = (0, BTreeMap::new());
        let mut waiting: Vec<(Hash, Submission)> = Vec::new();
        let (mut doubting, mut taken) = (Vec::new(), BTreeSet::new());
        // In which order each sender's came first.
        let mut came: BTreeMap<u8, Vec<Hash>> = BTreeMap::new();
        // Jobs of two shards, of which the later one is done before at times.
        let mut early = Vec::new();
        for sequence in 1..=60 {
            let shard = random.below(2);
            let flights = (0..random.below(4)).map(|_| {
                let nonce = random.below(40) as u64;
                let envelope = envelope(channel, nonce, signer(nonce));
                let id = envelope.id();
                let (submission, mut flight) = flight(channel, envelope, Wait::Committed, &credits);
                let (transaction, bytes) = (flight.transaction.transaction(), flight.transaction.payload_bytes());
                let bytes = needs::disk_bytes(&transaction.actions, bytes);
                sizes.insert(id, bytes);
                flight.credit.takes_disk(&share, Room::All, bytes, Place::default).expect("room");
                waiting.push((id, submission));
                if taken.insert(id) {
                    came.entry(signer(nonce)).or_default().push(id);
                }
                Flight { place: place(signer(nonce)), ..flight }
            });
            let flights = flights.collect();
            let shard_key = key([1, 2][shard]);
            let passed = Passed::sign(&channel, shard, sequence, &shard_key, flights);
            // The clock is set back at times.
            let now = world.now.millis() + random.below(40) as u64 - random.below(20) as u64;
            world.now = Time::from_millis(now);
            let doubted = (0..random.below(3)).map(|_| {
                let nonce = random.below(40) as u64;
                let envelope = envelope(channel, nonce, signer(nonce));
                let id = envelope.id();
                let (submission, Arrival { waiter, credit, .. }) = arrival(envelope, Wait::Committed, &credits);
                doubting.push((id, taken.contains(&id), submission));
                Recall { id, waiter, credit, refusal: Some(SubmitRefusal::BUSY) }
            });
            let passed = Passed { doubted: doubted.collect(), ..passed };
            early.push(passed);
            if sequence < 60 && random.below(3) == 0 {
                continue;
            }
            for passed in early.drain(..).rev() {
                let effects = world.collector.verified(passed, world.now);
                world.collector_did(effects);
            }
            most_under_way = most_under_way.max(share.under_way());
            for _ in 0..random.below(6) {
                world.step(&mut random);
            }
        }
        let mut steps = 0;
        while world.step(&mut random) {
            steps += 1;
            assert!(steps < 100_000, "it comes to rest");
        }
        let mut outcomes: BTreeMap<Hash, Arc<Receipt>> = BTreeMap::new();
        for (id, mut submission) in waiting {
            let receipt = match answer(&mut submission) {
                Some(SubmitResult::Committed { receipt, .. }) => receipt,
                // It may have been committed before, or be later: then it was sent again.
                Some(SubmitResult::Refused { refusal: SubmitRefusal::Rejected { code, .. }, .. }) => {
                    assert!(code == ResultCode::FeeUnpaid && world.dropped.contains(&id), "{id}: {code:?}");
                    continue;
                }
                other => panic!("{id} has no outcome: {other:?}"),
            };
            assert_eq!(receipt.head.id, id);
            assert_eq!(**outcomes.entry(id).or_insert_with(|| receipt.clone()), *receipt, "one outcome for ever");
        }
        for (id, taken, mut submission) in doubting {
            match answer(&mut submission) {
                Some(SubmitResult::Committed { receipt, .. }) => assert_eq!(*outcomes[&id], *receipt),
                Some(SubmitResult::Refused { refusal: SubmitRefusal::Busy { .. }, .. }) => {
                    assert!(!taken || world.dropped.contains(&id), "{id} was taken before, and is refused");
                }
                // It waited for what was then left out.
                Some(SubmitResult::Refused {
                    refusal: SubmitRefusal::Rejected { code: ResultCode::FeeUnpaid, .. },
                    ..
                }) => assert!(world.dropped.contains(&id), "{id} cannot pay"),
                other => panic!("{id}: {other:?}"),
            }
        }
        assert_eq!(credits.used(), (0, 0), "every credit came back");
        assert_eq!(share.under_way(), 0, "nothing is under way");
        assert!(most_under_way > 4 * DISK_BYTES_OF_TRANSACTION, "{most_under_way} bytes at most");
        offered = (offered.0 + world.dropped.len(), offered.1 + world.deferred);
        held += world.held;
        let mut included = BTreeMap::<Hash, u32>::new();
        let mut order = Vec::new();
        for height in 1..=world.tip.0 {
            let bytes = world.bench.opened.store.receipts(height).expect("readable").expect("there");
            let receipts = decode_receipts(&bytes).expect("decodes");
            assert!(!receipts.is_empty() && receipts.len() <= 4, "no empty block, none too large");
            receipts.iter().for_each(|receipt| *included.entry(receipt.head.id).or_default() += 1);
            order.extend(receipts.iter().map(|receipt| receipt.head.id));
        }
        for (sender, came) in came {
            // What was left out may have come again, later.
            let kept = |id: &&Hash| !world.dropped.contains(*id);
            let expected: Vec<&Hash> = came.iter().filter(kept).collect();
            let own: Vec<&Hash> = order.iter().filter(|id| came.contains(id)).filter(kept).collect();
            assert_eq!(own, expected, "sender {sender}'s are in the order in which they came");
        }
        assert!(included.values().all(|count| *count == 1), "no double inclusion");
        let landed: u64 = included.keys().map(|id| sizes[id]).sum();
        assert_eq!(share.landed(), landed, "what is in a block has landed once, and nothing else has");
        assert_eq!(included.keys().collect::<Vec<_>>(), outcomes.keys().collect::<Vec<_>>());
    }
    assert!(offered.0 > 0 && offered.1 > 0 && held > 0, "some are dropped, some wait: {offered:?}, {held}");
}
