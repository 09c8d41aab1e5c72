//! The machine, its effect loop, execution and store together, in a random order of completions: each id has one outcome
//! for ever, heights are consecutive, block times never go back, nothing is told before it is on disk.

mod followers;
mod seals;

use crate::block::disk_needs;
use crate::block::encoding::decode_receipts;
use crate::block::refusal::SubmitRefusal;
use crate::delivery::shared::Shared;
use crate::limits::DISK_BYTES_OF_TRANSACTION;
use crate::peer::visibility::VisibilityIndex;
use crate::pipeline::answer::{SubmitResult, Wait};
use crate::pipeline::batcher::{Findings, Submitted};
use crate::pipeline::door::Doors;
use crate::pipeline::effects::{ChannelLoop, Kind, Outcome, Shell, Task, Work, Workplace};
use crate::pipeline::machine::*;
use crate::pipeline::ordering::{OrderingEffect, Solo};
use crate::pipeline::submission::{Credits, Submission};
use crate::pipeline::verifier::{PendingTransaction, VerifiedBatch};
use crate::runtime::memory;
use crate::runtime::metrics::Metrics;
use crate::runtime::place::Place;
use crate::store::Room;
use crate::test_support::{Bench, NOW, Random, answer, arrival, config, envelope, flight, key, seeds, whole_disk};
use ledger_classes::execution::budget::BLOCK_COST;
use ledger_classes::formats::config::Limits;
use ledger_classes::formats::detail::Detail;
use ledger_classes::formats::outcome::ResultCode;
use ledger_classes::formats::receipt::Receipt;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::state::participant::NoCertificates;
use prometheus_client::registry::Registry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What waits: work, and what came of work and was not brought back yet. On real pools anything may end before anything.
enum Waiting {
    Work(Work),
    Done(Outcome),
}

/// Keeps what is to be done.
struct Desk {
    now: Time,
    waiting: Vec<Waiting>,
    /// A wake-up was asked for and has not come.
    wake: bool,
    halted: Option<String>,
}

impl Shell for Desk {
    fn now(&self) -> Time {
        self.now
    }

    fn crowded(&self) -> bool {
        false
    }

    fn seed(&mut self) -> [u8; 32] {
        [1; 32]
    }

    fn run(&mut self, work: Work) {
        self.waiting.push(Waiting::Work(work));
    }

    fn wake_in(&mut self, millis: u64) {
        // Not for the checkpoint, which is due at the end of time.
        self.wake |= millis < u64::from(u32::MAX);
    }

    fn persist(&mut self, _: Ticket, _: Vec<u8>, _: bool) {
        panic!("solo has no records");
    }

    fn send(&mut self, _: Address, _: Vec<u8>) {
        panic!("solo has nobody to tell");
    }

    fn halt(&mut self, reason: String) {
        self.halted = Some(reason);
    }
}

/// A channel whose work is done when the generator says so.
struct World {
    bench: Bench,
    channel: ChannelLoop<Desk>,
    /// Left out of a block since they could not pay, at some time.
    dropped: BTreeSet<Hash>,
    /// How often one waited for the next block.
    deferred: usize,
    held: usize,
}

impl World {
    fn new() -> Self {
        Self::ordered_by(Box::new(Solo))
    }

    fn ordered_by(engine: Box<dyn OrderingEngine>) -> Self {
        let bench = Bench::new(&config());
        let opened = &bench.opened;
        let memory = Arc::new(memory::Pool::new(usize::MAX));
        let proposer = key(200).public().address();
        let place = Workplace {
            name: "main".into(),
            channel: opened.channel,
            certificates: Arc::new(NoCertificates),
            doors: Doors::default(),
            shared: Arc::new(Shared::new(opened.tip, opened.config.clone(), Arc::default(), memory)),
            store: opened.store.clone(),
            metrics: Metrics::new(&mut Registry::default()).channel("main"),
            index: Arc::new(VisibilityIndex::default()),
            proposer,
            key: Arc::new(key(200)),
            credits: Arc::default(),
            disk: None,
            quota: whole_disk(),
            verify_slice: Duration::MAX,
        };
        let mut machine = ChannelMachine::new(opened, engine, proposer, 2, u64::MAX);
        // Blocks smaller than any configuration has them.
        let limits = Limits { block_transactions_max: 4, block_age_ms_max: 50, ..Limits::default() };
        machine.collector.set_limits(limits);
        let desk = Desk { now: NOW, waiting: Vec::new(), wake: false, halted: None };
        let channel = ChannelLoop::new(machine, Arc::new(place), desk);
        Self { bench, channel, dropped: BTreeSet::new(), deferred: 0, held: 0 }
    }

    /// Does one of the things that can happen next; `false` if nothing can.
    fn step(&mut self, random: &mut Random) -> bool {
        let desk = &mut self.channel.shell;
        let choices = desk.waiting.len() + usize::from(desk.wake);
        if choices == 0 {
            return false;
        }
        let choice = random.below(choices);
        if choice == desk.waiting.len() {
            desk.wake = false;
            desk.now = desk.now.plus_millis(60);
            self.channel.tick();
        } else {
            match desk.waiting.swap_remove(choice) {
                // It sees the store as it is then, and is brought back later.
                Waiting::Work(work) => {
                    let outcome = self.work(work, random);
                    self.channel.shell.waiting.push(Waiting::Done(outcome));
                }
                Waiting::Done(outcome) => self.bring(outcome),
            }
        }
        assert_eq!(self.channel.shell.halted, None);
        true
    }

    fn bring(&mut self, outcome: Outcome) {
        let before = self.channel.place.shared.tip();
        self.channel.done(outcome);
        let tip = self.channel.place.shared.tip();
        if tip == before {
            return;
        }
        let store = &self.bench.opened.store;
        assert_eq!((store.log_tip(), store.state_height()), (Some(tip.height), Some(tip.height)), "told when on disk");
        let block = self.channel.place.shared.ring.block(tip.height).expect("published");
        assert_eq!(tip.height, before.height + 1, "heights are consecutive");
        assert_eq!(block.block.header.previous, before.hash, "each names the one before");
        assert!(tip.time >= before.time, "block time never goes back");
    }

    fn work(&mut self, mut work: Work, random: &mut Random) -> Outcome {
        if work.is_quick() && random.below(2) == 0 {
            work.alone();
        }
        let mut unpaid = None;
        let mut deferred = Vec::new();
        if let Task::Execute(execution, transactions) = &mut work.task {
            // Now and then a block's budget is used up, or what is in it cannot pay any more.
            let fitting = [transactions.len(), random.below(transactions.len() + 1)][random.below(2)];
            deferred = transactions.split_off(fitting.max(1).min(transactions.len()));
            let committed = |id: &Hash| execution.store.transactions(&[*id]).is_ok_and(|found| found[0].is_some());
            let above = |id: &Hash| execution.above.iter().any(|block| block.receipt_of(id).is_some());
            let fresh =
                |transaction: &mut VerifiedTransaction| !committed(&transaction.id()) && !above(&transaction.id());
            unpaid = if random.below(4) == 0 { transactions.pop_if(fresh) } else { None };
            self.deferred += deferred.len();
            self.dropped.extend(unpaid.iter().map(VerifiedTransaction::id));
            // Now and then all waits for a checkpoint.
            if unpaid.is_none() && deferred.is_empty() && random.below(4) == 0 {
                self.held += 1;
                let held = std::mem::take(transactions);
                let mut outcome = work.outcome();
                outcome.inputs.push(Input::Executed(ExecutionResult { held, ..ExecutionResult::default() }));
                return outcome;
            }
        }
        let mut outcome = work.run(&self.channel.place);
        for input in &mut outcome.inputs {
            match input {
                Input::Executed(ExecutionResult { offered, .. }) => {
                    let refusal = SubmitRefusal::Rejected { code: ResultCode::FeeUnpaid, detail: Detail::PLAIN };
                    offered.dropped = unpaid.take().map(|one| (one.id(), refusal)).into_iter().collect();
                    offered.deferred = std::mem::take(&mut deferred);
                    // Some cost a quarter of a block, by which turns go.
                    offered.costs.iter_mut().for_each(|(_, cost)| *cost = [*cost, BLOCK_COST / 4][random.below(2)]);
                }
                // Now and then the disk is under pressure.
                Input::Applied { pressure, .. } => *pressure = [Pressure::None, Pressure::Wait][random.below(2)],
                _ => {}
            }
        }
        outcome
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
        let mut world = World::new();
        let channel = world.bench.opened.channel;
        let credits = Arc::new(Credits::default());
        // What is accepted counts into the channel's part of the disk, and the same that is sent again, too.
        let quota = whole_disk();
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
                let bytes = disk_needs::disk_bytes(&transaction.actions, bytes, || 0);
                sizes.insert(id, bytes);
                flight.credit.takes_disk(&quota, Room::All, bytes, Place::default).expect("room");
                waiting.push((id, submission));
                if taken.insert(id) {
                    came.entry(signer(nonce)).or_default().push(id);
                }
                PendingTransaction { place: place(signer(nonce)), ..flight }
            });
            let flights = flights.collect();
            // The clock is set back at times.
            let now = world.channel.shell.now.millis() + random.below(40) as u64 - random.below(20) as u64;
            world.channel.shell.now = Time::from_millis(now);
            let maybe_committed = (0..random.below(3)).map(|_| {
                let nonce = random.below(40) as u64;
                let envelope = envelope(channel, nonce, signer(nonce));
                let id = envelope.id();
                let (submission, Submitted { waiter, credit, .. }) = arrival(envelope, Wait::Committed, &credits);
                doubting.push((id, taken.contains(&id), submission));
                OutcomeLookup { id, waiter, credit, refusal: Some(SubmitRefusal::BUSY) }
            });
            let passed = VerifiedBatch { sequence, flights, maybe_committed: maybe_committed.collect() };
            early.push((shard, passed));
            if sequence < 60 && random.below(3) == 0 {
                continue;
            }
            for (shard, passed) in early.drain(..).rev() {
                let screened = Box::new(Screened { passed, refused: Vec::new(), findings: Findings::default() });
                world.channel.on([Input::Verified { shard, screened, crowded: false }]);
            }
            most_under_way = most_under_way.max(quota.under_way());
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
        assert_eq!(quota.under_way(), 0, "nothing is under way");
        assert!(most_under_way > 4 * DISK_BYTES_OF_TRANSACTION, "{most_under_way} bytes at most");
        offered = (offered.0 + world.dropped.len(), offered.1 + world.deferred);
        held += world.held;
        let mut included = BTreeMap::<Hash, u32>::new();
        let mut order = Vec::new();
        for height in 1..=world.channel.place.shared.tip().height {
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
        assert_eq!(quota.landed(), landed, "what is in a block has landed once, and nothing else has");
        assert_eq!(included.keys().collect::<Vec<_>>(), outcomes.keys().collect::<Vec<_>>());
    }
    assert!(offered.0 > 0 && offered.1 > 0 && held > 0, "some are dropped, some wait: {offered:?}, {held}");
}

/// Only so little is done by the thread that executes and persists: what takes longer has turns among its like.
#[test]
fn one_transaction_is_verified_quickly_and_a_batch_or_a_forgers_is_not() {
    for (size, quick) in [(1, true), (8, false)] {
        let mut world = World::new();
        let (channel, credits) = (world.bench.opened.channel, Arc::new(Credits::default()));
        let arrivals = (0..size).map(|nonce| arrival(envelope(channel, nonce, 1), Wait::Committed, &credits));
        let (_waiting, arrivals): (Vec<_>, Vec<_>) = arrivals.unzip();
        world.channel.submit(arrivals);
        let Some(Waiting::Work(mut work)) = world.channel.shell.waiting.pop() else { panic!("it is not done") };
        assert_eq!(work.is_quick(), quick);
        work.kind = Kind::Verify { shard: 0, caller: crate::runtime::asker::Asker::named("forger") };
        assert!(!work.is_quick(), "it has its own turn");
    }
}

/// A failure is the end: a checkpoint that ended after a failed persist began the next persist.
#[test]
fn after_a_failure_nothing_more_is_done_and_whoever_waits_is_told() {
    let mut world = World::new();
    let (channel, credits) = (world.bench.opened.channel, Arc::new(Credits::default()));
    let (mut waiting, arrival) = arrival(envelope(channel, 1, 1), Wait::Committed, &credits);
    world.channel.submit(vec![arrival]);
    let Some(Waiting::Work(work)) = world.channel.shell.waiting.pop() else { panic!("it is not done") };
    assert!(matches!(work.kind, Kind::Verify { .. }));
    let mut lost = work.outcome();
    lost.fail("panicked: so it went");
    drop(work);
    world.channel.done(lost);
    let halted = world.channel.shell.halted.take();
    assert_eq!(halted.as_deref(), Some("verification failed: panicked: so it went"));
    assert!(matches!(answer(&mut waiting), Some(SubmitResult::Refused { .. })));
    let (mut late, arrival) = crate::test_support::arrival(envelope(channel, 2, 1), Wait::Committed, &credits);
    world.channel.submit(vec![arrival]);
    world.channel.on([Input::Checkpointed, Input::Tick, Input::Executed(ExecutionResult::default())]);
    assert!(world.channel.shell.waiting.is_empty() && world.channel.shell.halted.is_none());
    assert!(matches!(answer(&mut late), Some(SubmitResult::Refused { .. })));
    assert_eq!(credits.used(), (0, 0));
}

/// When it wants to be told of the time it says once. Who sets a timer sets one: a checkpoint that was due before took its place.
#[test]
fn when_an_engine_wants_to_be_woken_is_asked_for_until_it_was() {
    struct Sleeper;
    impl OrderingEngine for Sleeper {
        fn on(&mut self, input: OrderingInput<'_>) -> Vec<OrderingEffect> {
            match input {
                OrderingInput::Message { bytes, .. } => {
                    vec![OrderingEffect::WakeAt(NOW.plus_millis(u64::from(bytes[0])))]
                }
                _ => Vec::new(),
            }
        }
    }
    let bench = Bench::new(&config());
    let from = key(200).public().address();
    let mut machine = ChannelMachine::new(&bench.opened, Box::new(Sleeper), from, 2, u64::MAX);
    let mut wakes = |input, now: u64| -> Vec<u64> {
        let effects = machine.on(input, NOW.plus_millis(now));
        let of = |effect| if let Effect::WakeAt(time) = effect { Some(time.millis_since(NOW)) } else { None };
        effects.into_iter().filter_map(of).collect()
    };
    assert_eq!(wakes(Input::Message { from, bytes: vec![TO_ORDERING, 50] }, 0), [50]);
    assert_eq!(wakes(Input::Message { from, bytes: vec![TO_ORDERING, 20] }, 0), [20]);
    assert_eq!(wakes(Input::Tick, 10), [20]);
    assert_eq!(wakes(Input::Tick, 20), [50]);
    assert_eq!(wakes(Input::Tick, 49), [50]);
    assert_eq!(wakes(Input::Tick, 50), [0; 0]);
}
