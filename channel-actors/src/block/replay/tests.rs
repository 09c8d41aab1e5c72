//! Replay: in slices, with progress, abandoned when the channel drains, and stopped at the first difference.

use crate::block::error::in_full;
use crate::block::execute::Execution;
use crate::block::replay::*;
use crate::test_support::{Bench, DRAWN, NOW, config, envelope, key, persist, whole_disk};
use ledger_classes::chain::ExecutedBlock;
use ledger_classes::formats::block::{Header, Seal};
use ledger_classes::state::participant::NoCertificates;

/// Blocks 1 to `count` of one transaction each.
pub(crate) fn fill(bench: &Bench, count: u64) -> Hash {
    let Opened { store, channel, .. } = &bench.opened;
    let mut parent = bench.opened.parent();
    for height in 1..=count {
        let execution = Execution {
            store: store.clone(),
            quota: whole_disk(),
            certificates: Arc::new(NoCertificates),
            proposer: key(200).public().address(),
            batches: Vec::new(),
            parent,
            time: NOW.plus_millis(height),
            seed: DRAWN,
            above: vec![],
        };
        let result = execution.run(vec![crate::test_support::verified(*channel, envelope(*channel, height, 1))]);
        let block = result.expect("executes").block.expect("has a transaction");
        persist(store, &block, Seal::of_one(&key(200), &block.hash));
        parent = Parent::of(&block.header, block.hash, &store.history());
    }
    parent.hash
}

#[test]
fn a_replay_goes_in_slices_and_says_how_far_it_is() {
    let bench = Bench::new(&config());
    let hash = fill(&bench, 3);
    let files = bench.forget_state();
    let life = Life::new(LifeCycle::Opening);
    let mut step =
        begin(&files, StoreOptions::default(), false, &NoCertificates, &life, Duration::ZERO).expect("opens");
    let mut progress = vec![life.state()];
    let opened = loop {
        match step {
            Step::More(opening) => step = opening.go_on(&NoCertificates, &life, Duration::ZERO).expect("goes on"),
            Step::Done(opened) => break opened,
            Step::Abandoned | Step::NotNow(_) => panic!("nobody drains, and there are descriptors"),
        }
        progress.push(life.state());
    };
    let expected: Vec<LifeCycle> = (0..4).map(|done| LifeCycle::Replaying { done, of: 4 }).collect();
    assert_eq!(progress, expected, "genesis and three blocks, one a slice");
    assert_eq!((opened.tip.height, opened.tip.hash, opened.tip.time), (3, hash, NOW.plus_millis(3)));
    assert_eq!(opened.store.state_height(), Some(3));
}

#[test]
fn a_replay_is_abandoned_when_the_channel_drains_and_frees_its_files() {
    let bench = Bench::new(&config());
    fill(&bench, 3);
    let files = bench.forget_state();
    let life = Life::new(LifeCycle::Opening);
    let step = begin(&files, StoreOptions::default(), false, &NoCertificates, &life, Duration::ZERO).expect("opens");
    let Step::More(opening) = step else { panic!("three blocks are to do") };
    assert!(life.set(LifeCycle::Draining));
    let step = opening.go_on(&NoCertificates, &life, Duration::ZERO).expect("goes on");
    assert!(matches!(step, Step::Abandoned));
    let again = begin(&files, StoreOptions::default(), false, &NoCertificates, &life, Duration::MAX).expect("opens");
    assert!(matches!(again, Step::Abandoned), "not begun at all");
    let life = Life::new(LifeCycle::Opening);
    let again = begin(&files, StoreOptions::default(), false, &NoCertificates, &life, Duration::MAX).expect("opens");
    assert!(matches!(again, Step::Done(_)));
}

/// A block above `bench`'s tip, as it was executed, of the transaction with this nonce.
fn next(bench: &Bench, nonce: u64) -> ExecutedBlock {
    let Opened { store, channel, .. } = &bench.opened;
    let tip = store.log_tip().expect("genesis");
    let parent = parent_at(store, tip).expect("readable").0;
    let execution = Execution {
        store: store.clone(),
        quota: whole_disk(),
        certificates: Arc::new(NoCertificates),
        proposer: key(200).public().address(),
        batches: Vec::new(),
        parent,
        time: NOW.plus_millis(tip + 1),
        seed: DRAWN,
        above: vec![],
    };
    let transaction = crate::test_support::verified(*channel, envelope(*channel, nonce, 1));
    let block = execution.run(vec![transaction]).expect("executes").block.expect("has a transaction");
    Arc::into_inner(block).expect("nobody else has it")
}

/// What a replay says of a log whose block 2 was written so, sealed by key `sealer`.
fn replayed(change: impl FnOnce(&mut ExecutedBlock), sealer: u8) -> Option<String> {
    let bench = Bench::new(&config());
    fill(&bench, 1);
    let mut block = next(&bench, 2);
    change(&mut block);
    block.hash = block.header.hash();
    let seal = Seal::of_one(&key(sealer), &block.hash);
    persist(&bench.opened.store, &block, seal);
    let files = bench.forget_state();
    let life = Life::new(LifeCycle::Opening);
    let failed =
        begin(&files, StoreOptions::default(), false, &NoCertificates, &life, Duration::MAX).err().map(in_full);
    if failed.is_some() {
        assert_eq!(life.state(), LifeCycle::Replaying { done: 2, of: 3 });
    }
    failed
}

/// Promise 3: here block 2 was executed by somebody whose state was another one.
#[test]
fn a_replay_that_differs_stops_at_the_block_where_the_difference_begins() {
    let failed = replayed(|block| block.header.writes_root = Hash([9; 32]), 200);
    assert_eq!(failed.as_deref(), Some("block 2: the writes root differs from that of executing it"));
    let failed = replayed(|block| block.header.state_root = Hash([9; 32]), 200);
    assert_eq!(failed.as_deref(), Some("block 2: the state root differs from that of executing it"));
    let other = |block: &mut ExecutedBlock| Arc::make_mut(&mut block.receipts[0]).head.index = 7;
    assert_eq!(replayed(other, 200).as_deref(), Some("block 2: receipt 0 differs from that of executing it"));
}

/// A replay looked at what a block does, and at nothing else: any signed block of any time above anything was replayed.
#[test]
fn a_replay_stops_at_a_block_that_does_not_follow_or_that_nobody_sealed() {
    assert_eq!(replayed(|_| {}, 200), None);
    let refused = |change: fn(&mut Header), sealer| {
        let failed = replayed(|block| change(&mut block.header), sealer).expect("it is not valid");
        failed.strip_prefix("block 2: ").expect("it names the block").to_owned()
    };
    assert!(refused(|header| header.previous = Hash([9; 32]), 200).starts_with("it does not follow the block before"));
    let history = refused(|header| header.history_root = Hash([9; 32]), 200);
    assert_eq!(history, "the history root is not that of the headers before");
    assert!(refused(|header| header.time = Time::from_millis(1), 200).contains("is before that of the block before"));
    assert!(refused(|header| header.channel = Hash([9; 32]), 200).starts_with("it is of the channel 0909"));
    assert!(refused(|header| header.proposer = key(1).public().address(), 1).contains("orders no block"));
    assert_eq!(refused(|_| {}, 1), "the seal has a signature of a key that orders no block here");
}

/// The index is asked while it grows, as it was when the blocks were made.
#[test]
fn a_replay_stops_at_a_transaction_that_comes_twice() {
    let bench = Bench::new(&config());
    let before = next(&bench, 1);
    fill(&bench, 1);
    let mut block = next(&bench, 2);
    block.envelopes = before.envelopes;
    block.header.transaction_root =
        merkle::root(&ledger_classes::formats::block::transaction_leaves(&block.envelopes).expect("envelopes"));
    block.hash = block.header.hash();
    let seal = Seal::of_one(&key(200), &block.hash);
    persist(&bench.opened.store, &block, seal);
    let files = bench.forget_state();
    let life = Life::new(LifeCycle::Opening);
    let failed =
        begin(&files, StoreOptions::default(), false, &NoCertificates, &life, Duration::MAX).err().map(in_full);
    let failed = failed.expect("it is in block 1");
    assert!(failed.starts_with("block 2: transaction 0, ") && failed.ends_with("is in the chain already"), "{failed}");
}

/// From a checkpoint on the first block that is replayed is held against the one below it, which is not.
#[test]
fn a_replay_that_begins_at_a_checkpoint_knows_what_its_first_block_follows() {
    let bench = Bench::new(&config());
    fill(&bench, 5);
    bench.opened.store.checkpoint().expect("writes");
    let mut parent = parent_at(&bench.opened.store, 5).expect("readable").0;
    for nonce in 6..=9 {
        let block = next(&bench, nonce);
        let seal = Seal::of_one(&key(200), &block.hash);
        assert_eq!((block.header.previous, block.header.history_root), (parent.hash, parent.history_root));
        persist(&bench.opened.store, &block, seal);
        parent = parent_at(&bench.opened.store, nonce).expect("readable").0;
    }
    assert_eq!(parent.history_root, bench.opened.store.history().root());
    let (files, _directory) = bench.crash();
    let life = Life::new(LifeCycle::Opening);
    let step = begin(&files, StoreOptions::default(), false, &NoCertificates, &life, Duration::ZERO).expect("opens");
    assert!(matches!(step, Step::More(_)), "four blocks are to do");
    assert_eq!(life.state(), LifeCycle::Replaying { done: 0, of: 4 });
    let Step::More(opening) = step else { return };
    let step = opening.go_on(&NoCertificates, &life, Duration::MAX).expect("goes on");
    let Step::Done(opened) = step else { panic!("there is time") };
    assert_eq!(opened.parent(), parent);
}

/// A later program has raised the number of what is in force, and this one was started again.
#[test]
fn a_channel_of_rules_that_this_program_lacks_is_not_opened_and_says_so() {
    use ledger_classes::execution::config_of;
    use ledger_classes::rules::RULES;
    use ledger_classes::state::{keyspace, record};
    let expected = "the channel has the rules 2, and this build knows those up to 1: it needs a newer one";
    // Whatever else is in the record: it begins with its version and the number in every version.
    for another_form in [false, true] {
        let bench = Bench::new(&config());
        let mut block = next(&bench, 1);
        let view = bench.opened.store.view().expect("readable");
        let mut later = config_of(&view).expect("readable");
        drop(view);
        later.config.rules = RULES + 1;
        let mut value = record::to_value(&later).to_vec();
        if another_form {
            value[0] = 2;
            value.truncate(9);
        }
        block.writes.insert(keyspace::config_at(0), Some(value.as_slice().into()));
        persist(&bench.opened.store, &block, Seal::of_one(&key(200), &block.hash));
        bench.opened.store.checkpoint().expect("writes");
        let files = bench.close();
        let life = Life::new(LifeCycle::Opening);
        let failed =
            begin(&files, StoreOptions::default(), false, &NoCertificates, &life, Duration::MAX).err().map(in_full);
        assert_eq!(failed.as_deref(), Some(expected));
    }
}
