//! A peer that does not propose: what it verified waits, and has its outcome whoever brings that about.

use crate::block::execute::{self, Execution};
use crate::block::refusal::SubmitRefusal;
use crate::limits::EXPIRED_KEPT_MS;
use crate::pipeline::answer::{SubmitResult, Wait};
use crate::pipeline::batcher::Findings;
use crate::pipeline::machine::*;
use crate::pipeline::ordering::{OrderingEffect, Sealing, Solo};
use crate::pipeline::submission::{Credits, Submission, give};
use crate::pipeline::verifier::VerifiedBatch;
use crate::test_support::{
    Bench, DRAWN, NOW, answer, config, envelope, flight, key, transaction, verified, whole_disk,
};
use ledger_classes::formats::detail::Detail;
use ledger_classes::formats::transaction::{Envelope, Transaction, TransactionError};
use ledger_classes::state::participant::NoCertificates;

/// Another peer proposes, until it is told otherwise.
struct Follows;

impl OrderingEngine for Follows {
    fn on(&mut self, input: OrderingInput<'_>) -> Vec<OrderingEffect> {
        match input {
            OrderingInput::Message { from, bytes } => match bytes {
                b"lead" => vec![OrderingEffect::Lead { leader: Some(from) }],
                block => vec![OrderingEffect::Execute { height: 1, block: Bytes::copy_from_slice(block) }],
            },
            OrderingInput::Executed { height, .. } => {
                vec![OrderingEffect::Final { height }, OrderingEffect::Seal { height, seal: Sealing::Alone }]
            }
            OrderingInput::Tick { .. } => vec![OrderingEffect::Lead { leader: None }],
            _ => Vec::new(),
        }
    }
}

/// A peer that does not propose, and what comes to it.
struct Follower {
    bench: Bench,
    machine: ChannelMachine,
    credits: Arc<Credits>,
    sequence: u64,
}

impl Follower {
    fn new() -> Self {
        let bench = Bench::new(&config());
        let engine = Box::new(Follows);
        let mut machine = ChannelMachine::new(&bench.opened, engine, key(200).public().address(), 2, u64::MAX);
        let _ = machine.on(Input::Tick, NOW);
        Self { bench, machine, credits: Arc::default(), sequence: 0 }
    }

    /// One that is valid for an hour is verified.
    fn takes(&mut self, nonce: u64, now: Time) -> (Submission, Hash, Vec<Effect>) {
        let channel = self.bench.opened.channel;
        let envelope = envelope(channel, nonce, 1);
        let id = envelope.id();
        let (submission, flight) = flight(channel, envelope, Wait::Committed, &self.credits);
        self.sequence += 1;
        let passed = VerifiedBatch { sequence: self.sequence, flights: vec![flight], maybe_committed: Vec::new() };
        let screened = Box::new(Screened { passed, refused: Vec::new(), findings: Findings::default() });
        (submission, id, self.machine.on(Input::Verified { shard: 0, screened, crowded: false }, now))
    }

    /// A block of another peer's, with these transactions, is executed here, final, on the disk and applied.
    fn has(&mut self, transactions: &[VerifiedTransaction], time: Time) -> Vec<Effect> {
        let store = &self.bench.opened.store;
        let execution = Execution {
            store: store.clone(),
            quota: whole_disk(),
            certificates: Arc::new(NoCertificates),
            proposer: key(200).public().address(),
            batches: Vec::new(),
            parent: self.bench.opened.parent(),
            time,
            seed: DRAWN,
            above: Vec::new(),
        };
        let block = execution.run(transactions.to_vec()).expect("readable").block.expect("a block");
        let from = key(201).public().address();
        let mut effects = self.machine.on(Input::Message { from, bytes: vec![TO_ORDERING, 1] }, time);
        effects.extend(self.machine.on(Input::Checked(Some(block.clone())), time));
        let sealed = block.sealed_alone(&key(200)).expect("it orders alone");
        let committed = execute::append(store, &block, sealed).expect("appends");
        let pressure = execute::apply(store, &block).expect("applies");
        effects.extend(self.machine.on(Input::Appended(Arc::new(committed)), time));
        effects.extend(self.machine.on(Input::Applied { height: 1, pressure }, time));
        effects
    }
}

/// Gives answers, and what is looked for in the index with the refusal that follows where it is not there.
fn looked_for(effects: Vec<Effect>) -> Vec<(Hash, Option<SubmitRefusal>)> {
    let mut looked_for = Vec::new();
    for effect in effects {
        match effect {
            Effect::OutcomeLookup(lookups) => {
                looked_for.extend(lookups.into_iter().map(|lookup| (lookup.id, lookup.refusal)));
            }
            Effect::Reply(replies) => give(replies),
            _ => {}
        }
    }
    looked_for
}

/// What is to be looked for in the index.
fn finds(effects: &[Effect]) -> Vec<Hash> {
    let find = |effect: &Effect| if let Effect::Find(ids) = effect { Some(ids.clone()) } else { None };
    effects.iter().filter_map(find).flatten().collect()
}

/// Nobody looked at the time of what waited for another leader: its sender waited for ever, and so did its credit.
#[test]
fn what_a_follower_keeps_ends_with_its_time() {
    let until = NOW.plus_millis(3_600_000);
    let mut follower = Follower::new();
    let (_one, id, effects) = follower.takes(1, NOW);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Execute { .. })), "another peer proposes");
    let wakes = |effects: &[Effect]| {
        let wake = |effect: &Effect| if let Effect::WakeAt(time) = effect { Some(*time) } else { None };
        effects.iter().filter_map(wake).min()
    };
    let due = until.plus_millis(EXPIRED_KEPT_MS + 1);
    assert_eq!(wakes(&effects), Some(due), "somebody comes back");
    let early = follower.machine.on(Input::Tick, until.plus_millis(EXPIRED_KEPT_MS));
    assert_eq!((wakes(&early), looked_for(early)), (Some(due), Vec::new()), "a block that has it may be on its way");
    assert_eq!(follower.credits.used().0, 1);
    let over = follower.machine.on(Input::Tick, due);
    assert_eq!(wakes(&over), None);
    assert_eq!(looked_for(over), [(id, Some(SubmitRefusal::OutcomeUnknown))], "no block says that it is in none");
    assert_eq!(follower.credits.used().0, 0);
    assert!(follower.machine.retire(NOW), "nothing is left");
}

/// What no block before its time has is in none for ever.
#[test]
fn a_block_that_is_later_tells_a_follower_that_what_it_keeps_is_in_none() {
    let mut follower = Follower::new();
    let (_one, id, _) = follower.takes(1, NOW);
    let channel = follower.bench.opened.channel;
    let other = Transaction { valid_until: NOW.plus_millis(9_000_000), ..transaction(channel, 2, "") };
    let other = verified(channel, Envelope::sign_binary(&other, &[&key(2)]));
    let until = NOW.plus_millis(3_600_000);
    let over = follower.has(&[other], until.plus_millis(1));
    assert_eq!(looked_for(over), [(id, Some(TransactionError::Expired(until).into()))]);
    assert_eq!(follower.credits.used().0, 0);
}

/// It stayed in the pool when another peer's block had it, with nobody's credit.
#[test]
fn what_another_peers_block_has_is_told_and_does_not_wait_any_more() {
    let mut follower = Follower::new();
    let (mut one, id, effects) = follower.takes(1, NOW);
    assert_eq!(finds(&effects), [id], "no execution finds it in the index here");
    let channel = follower.bench.opened.channel;
    let effects = follower.has(&[verified(channel, envelope(channel, 1, 1))], NOW);
    assert_eq!(looked_for(effects), []);
    assert!(matches!(answer(&mut one), Some(SubmitResult::Committed { .. })));
    assert!(follower.machine.retire(NOW), "nothing waits");
    // Sent again, it would wait until this peer proposes.
    let (_again, _, effects) = follower.takes(1, NOW);
    assert_eq!(finds(&effects), [id]);
    let known = follower.machine.on(Input::Known(vec![id]), NOW);
    assert_eq!(looked_for(known), [(id, None)]);
    assert_eq!(follower.credits.used().0, 0);
    assert!(follower.machine.retire(NOW));
}

#[test]
fn what_came_while_a_peer_proposed_is_looked_for_when_it_does_not_any_more() {
    let mut follower = Follower::new();
    let own = key(200).public().address();
    let _ = follower.machine.on(Input::Message { from: own, bytes: b"\0lead".to_vec() }, NOW);
    let (_first, first, effects) = follower.takes(3, NOW);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Execute { .. })));
    let (_second, second, effects) = follower.takes(4, NOW);
    assert_eq!(finds(&effects), []);
    let effects = follower.machine.on(Input::Tick, NOW);
    let both = BTreeSet::from([first, second]);
    assert_eq!(finds(&effects), both.into_iter().collect::<Vec<_>>());
}

/// The log of a state that is installed may have what waits here.
#[test]
fn what_waits_is_looked_for_in_a_state_that_is_installed() {
    let mut follower = Follower::new();
    let (_one, id, _) = follower.takes(1, NOW);
    let opened = &follower.bench.opened;
    let installed = Installed {
        parent: Parent { height: 7, ..opened.parent() },
        history: opened.store.history(),
        config: opened.config.clone(),
        next_timer: None,
    };
    assert_eq!(finds(&follower.machine.on(Input::Install(Box::new(installed)), NOW)), [id]);
}

/// Whether a block is that dropped it for its time is not known yet, and another peer's may have it.
#[test]
fn what_is_over_in_a_block_that_may_come_to_nothing_has_no_outcome_yet() {
    for (discards, expected) in [
        (true, SubmitRefusal::OutcomeUnknown),
        (false, SubmitRefusal::Rejected { code: ResultCode::Expired, detail: Detail::PLAIN }),
    ] {
        let mut follower = Follower::new();
        if !discards {
            let engine = Box::new(Solo);
            follower.machine =
                ChannelMachine::new(&follower.bench.opened, engine, key(200).public().address(), 2, u64::MAX);
        }
        let own = key(200).public().address();
        let _ = follower.machine.on(Input::Message { from: own, bytes: b"\0lead".to_vec() }, NOW);
        let (mut one, id, _) = follower.takes(1, NOW);
        let refusal = SubmitRefusal::Rejected { code: ResultCode::Expired, detail: Detail::PLAIN };
        let offered = Offered { dropped: vec![(id, refusal)], ..Offered::default() };
        let executed = ExecutionResult { offered, ..ExecutionResult::default() };
        let effects = follower.machine.on(Input::Executed(executed), NOW);
        assert_eq!(looked_for(effects), []);
        let Some(SubmitResult::Refused { refusal, .. }) = answer(&mut one) else { panic!("it is told") };
        assert_eq!(refusal, expected);
    }
}
