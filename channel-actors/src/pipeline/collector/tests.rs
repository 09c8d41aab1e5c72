//! The collector's rules, one sentence each.

use crate::block::refusal::SubmitRefusal;
use crate::pipeline::answer::Wait;
use crate::pipeline::batcher::Submitted;
use crate::pipeline::collector::*;
use crate::pipeline::submission::{Credits, Submission};
use crate::test_support::{NOW, answer, arrival, envelope, flight, key, transaction};
use ledger_classes::formats::detail::Detail;
use ledger_classes::formats::outcome::ResultCode;
use ledger_classes::formats::transaction::Envelope;
use ledger_classes::primitives::amount::Amount;

const CHANNEL: Hash = Hash([7; 32]);

/// A collector, and what drives it.
struct Bench {
    core: Collector,
    credits: Arc<Credits>,
    sequence: u64,
}

#[derive(Debug, PartialEq)]
enum Seen {
    /// The proposed transactions' nonces.
    Propose(Vec<u64>),
    Wake(u64),
    OutcomeLookup(Vec<Hash>),
    Halt,
}

/// Effects, times in milliseconds after [`NOW`]; answers are given.
fn seen(effects: Vec<CollectorEffect>) -> Vec<Seen> {
    let one = |effect| {
        Some(match effect {
            CollectorEffect::Propose(block) => Seen::Propose(block.iter().map(|one| one.transaction().nonce).collect()),
            CollectorEffect::WakeAt(time) => Seen::Wake(time.millis_since(NOW)),
            CollectorEffect::OutcomeLookup(lookups) => {
                Seen::OutcomeLookup(lookups.iter().map(|lookup| lookup.id).collect())
            }
            CollectorEffect::Reply(replies) => {
                crate::pipeline::submission::give(replies);
                return None;
            }
            CollectorEffect::Halt(_) => Seen::Halt,
            CollectorEffect::Find(_) => panic!("this peer proposes here"),
            CollectorEffect::Witness(_) => panic!("nobody else is asked here"),
        })
    };
    effects.into_iter().filter_map(one).collect()
}

fn at(millis: u64) -> Time {
    NOW.plus_millis(millis)
}

impl Bench {
    fn new(limits: Limits, next_timer: Option<Time>) -> Self {
        let core = Collector::new(limits, next_timer);
        Self { core, credits: Arc::default(), sequence: 0 }
    }

    fn passed(&mut self, flights: Vec<PendingTransaction>) -> VerifiedBatch {
        self.sequence += 1;
        VerifiedBatch { sequence: self.sequence, flights, maybe_committed: Vec::new() }
    }

    /// One verified transaction arrives.
    fn arrives(&mut self, nonce: u64, wait: Wait, millis: u64) -> (Submission, Vec<Seen>) {
        let (submission, flight) = flight(CHANNEL, envelope(CHANNEL, nonce, 1), wait, &self.credits);
        let passed = self.passed(vec![flight]);
        (submission, seen(self.core.verified(passed, at(millis))))
    }

    fn executed(&mut self, millis: u64) -> Vec<Seen> {
        self.did(Offered::default(), millis)
    }

    fn committed(&mut self, nonces: &[u64], next_timer: Option<Time>, millis: u64) -> Vec<Seen> {
        let receipts = nonces.iter().map(|nonce| (id(*nonce), receipt(*nonce))).collect();
        let mut effects = self.core.committed(BlockOutcome { own: true, receipts, next_timer }).0;
        effects.extend(self.core.tick(at(millis)));
        seen(effects)
    }

    /// The newest block has executed, and this was left of what was offered for it.
    fn did(&mut self, offered: Offered, millis: u64) -> Vec<Seen> {
        let mut effects = self.core.executed(offered);
        effects.extend(self.core.tick(at(millis)));
        seen(effects)
    }
}

fn id(nonce: u64) -> Hash {
    envelope(CHANNEL, nonce, 1).id()
}

fn receipt(nonce: u64) -> Arc<Receipt> {
    Arc::new(Receipt::new(id(nonce), 1, 0, ResultCode::Done, Detail::PLAIN, Amount::ZERO, &[]))
}

fn limits(transactions: u32, age: u32) -> Limits {
    Limits { block_transactions_max: transactions, block_age_ms_max: age, ..Limits::default() }
}

#[test]
fn an_idle_collector_cuts_at_once() {
    let mut bench = Bench::new(Limits::default(), None);
    assert_eq!(bench.arrives(1, Wait::Committed, 0).1, [Seen::Propose(vec![1])]);
}

/// Whichever shard is done first: what was sent first is in the block first.
#[test]
fn jobs_are_taken_in_the_order_of_arrival() {
    let mut bench = Bench::new(limits(100, 60_000), None);
    let _first = bench.arrives(1, Wait::Committed, 0);
    let mut job = |nonce: u64| {
        let (submission, flight) = flight(CHANNEL, envelope(CHANNEL, nonce, 1), Wait::Committed, &bench.credits);
        (submission, bench.passed(vec![flight]))
    };
    let [(_two, two), (_three, three), (_four, four)] = [2, 3, 4].map(&mut job);
    assert_eq!(seen(bench.core.verified(four, at(0))), []);
    assert_eq!(seen(bench.core.verified(three, at(0))), []);
    assert_eq!(bench.executed(0), [], "they are not there yet");
    assert_eq!(bench.committed(&[1], None, 0), []);
    assert_eq!(seen(bench.core.verified(two, at(0))), [Seen::Propose(vec![2, 3, 4])]);
    assert!(bench.core.early.is_empty());
}

#[test]
fn a_job_is_taken_once() {
    for ahead in [0, 1] {
        let mut bench = Bench::new(Limits::default(), None);
        bench.sequence = ahead;
        let [one, again] = [1, 2].map(|nonce| {
            let (_, flight) = flight(CHANNEL, envelope(CHANNEL, nonce, 1), Wait::Accepted, &bench.credits);
            VerifiedBatch { sequence: ahead + 1, flights: vec![flight], maybe_committed: Vec::new() }
        });
        assert!(!seen(bench.core.verified(one, NOW)).contains(&Seen::Halt));
        assert_eq!(seen(bench.core.verified(again, NOW)), [Seen::Halt], "{ahead} ahead of its turn");
    }
}

#[test]
fn what_is_under_way_keeps_its_outcome_and_the_rest_goes_to_the_index() {
    let mut bench = Bench::new(Limits::default(), None);
    let (mut first, _) = bench.arrives(1, Wait::Committed, 0);
    let mut maybe_committed = |nonce: u64, wait: Wait| {
        let (submission, Submitted { waiter, credit, .. }) = arrival(envelope(CHANNEL, nonce, 1), wait, &bench.credits);
        let lookup = OutcomeLookup { id: id(nonce), waiter, credit, refusal: Some(SubmitRefusal::BUSY) };
        let passed = VerifiedBatch { maybe_committed: vec![lookup], ..bench.passed(Vec::new()) };
        (submission, seen(bench.core.verified(passed, at(0))))
    };
    let (mut again, effects) = maybe_committed(1, Wait::Committed);
    assert_eq!(effects, []);
    let (mut hurried, effects) = maybe_committed(1, Wait::Accepted);
    assert_eq!(effects, []);
    assert_eq!(answer(&mut hurried), Some(SubmitResult::Accepted { id: id(1) }));
    assert_eq!(maybe_committed(2, Wait::Committed).1, [Seen::OutcomeLookup(vec![id(2)])]);
    assert_eq!((answer(&mut first), answer(&mut again)), (None, None));
    assert_eq!(bench.credits.used().0, 2);
    // Execution finds it in the index: both are told from there.
    assert_eq!(seen(bench.core.known(vec![id(1), id(3)])), [Seen::OutcomeLookup(vec![id(1), id(1)])]);
    assert!(bench.core.under_way.is_empty());
}

#[test]
fn nothing_is_cut_while_a_block_executes() {
    let mut bench = Bench::new(limits(2, 0), None);
    let _one = bench.arrives(1, Wait::Committed, 0);
    for nonce in 2..6 {
        assert_eq!(bench.arrives(nonce, Wait::Committed, 1_000).1, []);
    }
    assert_eq!(seen(bench.core.tick(at(5_000))), []);
    assert_eq!(bench.executed(5_000), [Seen::Propose(vec![2, 3])], "size limit; order of arrival");
}

#[test]
fn while_a_block_persists_the_next_grows_until_it_is_old() {
    let mut bench = Bench::new(limits(100, 50), None);
    let _one = bench.arrives(1, Wait::Committed, 0);
    let _two = bench.arrives(2, Wait::Committed, 10);
    assert_eq!(bench.executed(12), [Seen::Wake(60)]);
    assert_eq!(bench.arrives(3, Wait::Committed, 40).1, [Seen::Wake(60)], "the oldest counts");
    assert_eq!(seen(bench.core.tick(at(59))), [Seen::Wake(60)]);
    assert_eq!(seen(bench.core.tick(at(60))), [Seen::Propose(vec![2, 3])]);
}

/// It executes meanwhile. Otherwise processors idle while the disk works.
#[test]
fn while_a_block_persists_the_next_is_cut_when_it_is_as_large() {
    let mut bench = Bench::new(limits(100, 60_000), None);
    let mut waiting = vec![bench.arrives(1, Wait::Committed, 0).0];
    let mut nonce = 1;
    let mut fill = |bench: &mut Bench, count: usize| {
        let mut cut = Vec::new();
        for _ in 0..count {
            nonce += 1;
            let (submission, effects) = bench.arrives(nonce, Wait::Committed, 0);
            waiting.push(submission);
            cut.extend(effects.into_iter().filter(|effect| matches!(effect, Seen::Propose(_))));
        }
        cut
    };
    assert_eq!(bench.executed(0), []);
    assert_eq!(fill(&mut bench, EAGER_BLOCK_TRANSACTIONS_MIN - 1), [], "a block of one is no measure");
    assert_eq!(fill(&mut bench, 1), [Seen::Propose((2..18).collect())]);
    assert_eq!(fill(&mut bench, 40), [], "it executes");
    assert_eq!(bench.executed(0), [], "two are under way");
    assert_eq!(bench.committed(&[1], None, 0), [Seen::Propose((18..58).collect())], "more than enough");
    assert_eq!(bench.executed(0), []);
    let second: Vec<u64> = (2..18).collect();
    assert_eq!(bench.committed(&second, None, 0), []);
    assert_eq!(fill(&mut bench, 39), []);
    assert_eq!(fill(&mut bench, 1), [Seen::Propose((58..98).collect())], "as large as the one before");
}

#[test]
fn a_commit_frees_the_next_block_whatever_its_age() {
    let mut bench = Bench::new(limits(100, 50), None);
    let _one = bench.arrives(1, Wait::Committed, 0);
    let _two = bench.arrives(2, Wait::Committed, 1);
    assert_eq!(bench.executed(2), [Seen::Wake(51)]);
    assert_eq!(bench.committed(&[1], None, 3), [Seen::Propose(vec![2])]);
}

#[test]
fn a_full_pool_is_cut_while_a_block_persists() {
    let big = |nonce| Envelope::sign_binary(&transaction(CHANNEL, nonce, &"x".repeat(16_000)), &[&key(1)]);
    let narrow = Limits { block_bytes_max: 40_000, ..limits(100, 60_000) };
    let mut bench = Bench::new(narrow, None);
    let _one = bench.arrives(1, Wait::Committed, 0);
    assert_eq!(bench.executed(1), []);
    for nonce in 2..=3 {
        let (_, flight) = flight(CHANNEL, big(nonce), Wait::Accepted, &bench.credits);
        let passed = bench.passed(vec![flight]);
        assert_eq!(seen(bench.core.verified(passed, at(2))), [Seen::Wake(60_002)], "{nonce}");
    }
    let (_, flight) = flight(CHANNEL, big(4), Wait::Accepted, &bench.credits);
    let passed = bench.passed(vec![flight]);
    assert_eq!(seen(bench.core.verified(passed, at(3))), [Seen::Propose(vec![2, 3])], "by bytes");

    let mut bench = Bench::new(limits(2, 60_000), None);
    let _one = bench.arrives(1, Wait::Committed, 0);
    assert_eq!(bench.executed(1), []);
    assert_eq!(bench.arrives(2, Wait::Committed, 2).1, [Seen::Wake(60_002)]);
    assert_eq!(bench.arrives(3, Wait::Committed, 2).1, [Seen::Propose(vec![2, 3])], "by number");
}

#[test]
fn at_most_pipeline_depth_blocks_are_under_way() {
    let mut bench = Bench::new(limits(1, 0), None);
    let _waiting: Vec<_> = (1..=5).map(|nonce| bench.arrives(nonce, Wait::Committed, 0).0).collect();
    assert_eq!(PIPELINE_DEPTH, 2);
    assert_eq!(bench.executed(1), [Seen::Propose(vec![2])]);
    assert_eq!(bench.executed(2), []);
    assert_eq!(seen(bench.core.tick(at(1_000))), []);
    assert_eq!(bench.committed(&[1], None, 1_001), [Seen::Propose(vec![3])]);
}

/// A proposal of which nothing was left ends like a block, and the pipeline moves on.
#[test]
fn an_empty_proposal_gives_its_place_back() {
    let mut bench = Bench::new(limits(1, 0), None);
    let _waiting: Vec<_> = (1..=3).map(|nonce| bench.arrives(nonce, Wait::Committed, 0).0).collect();
    assert_eq!(bench.executed(1), [Seen::Propose(vec![2])]);
    assert_eq!(bench.executed(2), []);
    assert_eq!(bench.committed(&[], None, 2), [Seen::Propose(vec![3])]);
    assert_eq!(bench.executed(3), []);
    assert_eq!(bench.committed(&[1, 2, 3], None, 4), []);
    assert_eq!(bench.committed(&[], None, 4), []);
    assert_eq!(bench.arrives(4, Wait::Committed, 5).1, [Seen::Propose(vec![4])]);
    assert_eq!(bench.credits.used().0, 1);
}

/// One client sent one pending id without end: each submission gave its credit back at once, while what waited for
/// it stayed, so nothing bounded the memory of those who waited.
#[test]
fn duplicates_share_an_outcome_and_keep_their_credits_as_long_as_they_wait() {
    let mut bench = Bench::new(Limits::default(), None);
    let mut waiting: Vec<_> = (0..5).map(|_| bench.arrives(1, Wait::Committed, 0).0).collect();
    assert_eq!(bench.credits.used().0, 5);
    let (mut accepted, effects) = bench.arrives(1, Wait::Accepted, 0);
    assert_eq!(effects, []);
    assert_eq!(answer(&mut accepted), Some(SubmitResult::Accepted { id: id(1) }));
    assert_eq!(bench.credits.used().0, 5, "who waits no more holds nothing");
    assert!(waiting.iter_mut().all(|one| answer(one).is_none()));
    assert_eq!(bench.executed(1), []);
    assert_eq!(bench.committed(&[1], None, 2), []);
    for one in &mut waiting {
        assert_eq!(answer(one), Some(SubmitResult::Committed { id: id(1), receipt: receipt(1) }));
    }
    assert_eq!(bench.credits.used(), (0, 0));
    assert!(bench.core.under_way.is_empty() && bench.core.pool.is_empty());
    assert_eq!(bench.core.pool.bytes(), 0);
}

#[test]
fn a_timer_alone_cuts_one_block_and_only_when_due() {
    let mut bench = Bench::new(Limits::default(), Some(at(100)));
    assert_eq!(seen(bench.core.tick(at(0))), [Seen::Wake(100)]);
    assert_eq!(seen(bench.core.tick(at(99))), [Seen::Wake(100)]);
    assert_eq!(seen(bench.core.tick(at(100))), [Seen::Propose(vec![])]);
    assert_eq!(seen(bench.core.tick(at(101))), []);
    assert_eq!(bench.executed(102), [], "it is under way: no second block for the same timer");
    assert_eq!(seen(bench.core.tick(at(103))), []);
    assert_eq!(bench.committed(&[], Some(at(500)), 104), [Seen::Wake(500)]);
    assert_eq!(bench.arrives(1, Wait::Committed, 105).1, [Seen::Propose(vec![1])]);
    assert_eq!(bench.executed(106), []);
    assert_eq!(bench.committed(&[1], None, 107), [], "no timer, no wake-up");
}

/// The clock was set back between cutting for a timer and making the block: nothing was due, so nothing was made,
/// and the collector waits instead of asking again at once.
#[test]
fn a_clock_that_goes_back_makes_no_spin() {
    let mut bench = Bench::new(Limits::default(), Some(at(100)));
    assert_eq!(seen(bench.core.tick(at(100))), [Seen::Propose(vec![])]);
    assert_eq!(bench.executed(40), []);
    assert_eq!(bench.committed(&[], Some(at(100)), 40), [Seen::Wake(100)]);
}

#[test]
fn new_limits_rule_the_next_block() {
    let mut bench = Bench::new(limits(100, 0), None);
    let _waiting: Vec<_> = (1..=4).map(|nonce| bench.arrives(nonce, Wait::Committed, 0).0).collect();
    bench.core.set_limits(limits(2, 0));
    assert_eq!(bench.executed(1), [Seen::Propose(vec![2, 3])]);
}

/// What may not be in a block leaves nothing: no outcome, no credit, and nothing that keeps it from being sent again.
#[test]
fn what_is_dropped_is_told_at_once_and_may_be_sent_again() {
    let mut bench = Bench::new(limits(100, 60_000), None);
    let (mut first, _) = bench.arrives(1, Wait::Committed, 0);
    let (mut again, _) = bench.arrives(1, Wait::Committed, 0);
    let refusal = SubmitRefusal::Rejected { code: ResultCode::FeeUnpaid, detail: Detail::PLAIN };
    let offered = Offered { dropped: vec![(id(1), refusal.clone())], ..Offered::default() };
    assert_eq!(bench.did(offered, 0), []);
    assert_eq!(bench.committed(&[], None, 0), [], "the block had nothing else");
    for waiting in [&mut first, &mut again] {
        assert_eq!(answer(waiting), Some(SubmitResult::Refused { id: Some(id(1)), refusal: refusal.clone() }));
    }
    assert_eq!(bench.credits.used(), (0, 0));
    assert_eq!(bench.arrives(1, Wait::Committed, 0).1, [Seen::Propose(vec![1])]);
}

#[test]
fn what_its_block_had_no_budget_for_comes_first_in_the_next_in_order() {
    let mut bench = Bench::new(limits(100, 60_000), None);
    let _first = bench.arrives(1, Wait::Committed, 0);
    let waiting: Vec<Submission> = [2, 3, 4].map(|nonce| bench.arrives(nonce, Wait::Committed, 0).0).into();
    let _ = bench.executed(0);
    assert_eq!(bench.committed(&[1], None, 0), [Seen::Propose(vec![2, 3, 4])]);
    let _fifth = bench.arrives(5, Wait::Committed, 0);
    let deferred: Vec<VerifiedTransaction> = [3, 4]
        .map(|nonce| flight(CHANNEL, envelope(CHANNEL, nonce, 1), Wait::Committed, &bench.credits).1.transaction)
        .into();
    let offered = Offered { deferred, ..Offered::default() };
    // They have waited for a block already: the next does not wait for the disk.
    assert_eq!(bench.did(offered, 0), [Seen::Propose(vec![3, 4, 5])]);
    assert_eq!(bench.core.pool.bytes(), 0);
    drop(waiting);
}

/// Whatever is offered beyond a block's budget is looked up, taken back and offered again: 8,192 of which four are executed.
#[test]
fn a_budget_that_ends_early_has_less_offered_until_blocks_take_all() {
    let mut bench = Bench::new(limits(1_000, 60_000), None);
    let first = bench.arrives(1, Wait::Committed, 0);
    let waiting: Vec<Submission> = (2..200).map(|nonce| bench.arrives(nonce, Wait::Committed, 0).0).collect();
    let deferred = |from: u64, to: u64| {
        let one = |nonce| flight(CHANNEL, envelope(CHANNEL, nonce, 1), Wait::Committed, &Arc::default()).1.transaction;
        Offered { deferred: (from..to).map(one).collect(), ..Offered::default() }
    };
    let next = |effects: Vec<Seen>| {
        effects.into_iter().find_map(|effect| match effect {
            Seen::Propose(offered) => Some((offered[0], offered.len())),
            _ => None,
        })
    };
    assert_eq!(next(bench.executed(0)), Some((2, 198)));
    assert_eq!(bench.committed(&[1], None, 0), []);
    assert_eq!(next(bench.did(deferred(6, 200), 0)), Some((6, 16)));
    let _ = bench.committed(&[2, 3, 4, 5], None, 0);
    assert_eq!(next(bench.executed(0)), Some((22, 32)));
    let _ = bench.committed(&(6..22).collect::<Vec<_>>(), None, 0);
    assert_eq!(next(bench.did(deferred(42, 54), 0)), Some((42, 40)));
    drop((first, waiting));
}

/// A peer that loses its lead has executed blocks that are discarded. They leave nothing, and nobody who waits notices.
#[test]
fn what_was_in_blocks_that_will_not_be_comes_first_again_with_those_who_wait() {
    for crowded in [false, true] {
        let mut bench = Bench::new(limits(if crowded { 2 } else { 100 }, 60_000), None);
        let one = |nonce| flight(CHANNEL, envelope(CHANNEL, nonce, 1), Wait::Committed, &Arc::default()).1.transaction;
        let mut waiting = vec![bench.arrives(1, Wait::Committed, 0).0];
        waiting.extend((2..=20).map(|nonce| bench.arrives(nonce, Wait::Committed, 0).0));
        let second = bench.executed(0);
        let offered: Vec<u64> = (2..=if crowded { 3 } else { 20 }).collect();
        assert_eq!(second, [Seen::Propose(offered.clone())]);
        // The first has executed, the second has not.
        let offered = Some(offered.iter().map(|nonce| one(*nonce)).collect());
        bench.core.discarded(Discarded { blocks: 2, transactions: vec![one(1)], offered, next_timer: None });
        let mut order = Vec::new();
        let proposed = |effects: Vec<Seen>| {
            effects.into_iter().filter_map(|effect| match effect {
                Seen::Propose(block) => Some(block),
                _ => None,
            })
        };
        let mut under_way: std::collections::VecDeque<Vec<u64>> = proposed(seen(bench.core.tick(at(0)))).collect();
        while let Some(block) = under_way.pop_front() {
            order.extend(block.iter().copied());
            under_way.extend(proposed(bench.executed(0)));
            under_way.extend(proposed(bench.committed(&block, None, 0)));
            under_way.extend(proposed(seen(bench.core.tick(at(100_000)))));
        }
        assert_eq!(order, (1..=20).collect::<Vec<u64>>(), "crowded: {crowded}");
        assert!(waiting.iter_mut().all(|one| matches!(answer(one), Some(SubmitResult::Committed { .. }))));
        assert_eq!(bench.credits.used(), (0, 0));
    }
}
