//! Replay: in slices, with progress, abandoned when the channel drains, and stopped at the first difference.

use super::*;
use crate::production::{Execution, persist};
use crate::test_support::{Bench, NOW, config, envelope, key, whole_disk};
use ledger_classes::block::{Seal, solo_seal_message};
use ledger_classes::participant::NoCertificates;

/// Blocks 1 to `count` of one transaction each.
pub(crate) fn fill(bench: &Bench, count: u64) -> Hash {
    let Opened { store, channel, .. } = &bench.opened;
    let mut previous = bench.opened.tip.hash;
    for height in 1..=count {
        let execution = Execution {
            channel: *channel,
            store: store.clone(),
            share: whole_disk(),
            certificates: Arc::new(NoCertificates),
            proposer: key(200).public().address(),
            height,
            previous,
            time: NOW.plus_millis(height),
            history_root: store.history().root(),
            above: vec![],
        };
        let result = execution.run(vec![crate::test_support::verified(*channel, envelope(*channel, height, 1))]);
        let block = result.expect("executes").block.expect("has a transaction");
        previous = block.hash;
        let signature = key(200).sign(&solo_seal_message(block.hash));
        let _ = persist(store, &block, Seal::Solo { key: key(200).public(), signature }).expect("persists");
    }
    previous
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

/// Promise 3: here block 2 was executed by somebody whose state was another one.
#[test]
fn a_replay_that_differs_stops_at_the_block_where_the_difference_begins() {
    let bench = Bench::new(&config());
    fill(&bench, 1);
    let Opened { store, channel, .. } = &bench.opened;
    let transaction = crate::test_support::verified(*channel, envelope(*channel, 2, 1));
    let execution = Execution {
        channel: *channel,
        store: store.clone(),
        share: whole_disk(),
        certificates: Arc::new(NoCertificates),
        proposer: key(200).public().address(),
        height: 2,
        previous: store.header_hash(1).expect("readable").expect("there"),
        time: NOW.plus_millis(2),
        history_root: store.history().root(),
        above: vec![],
    };
    let block = execution.run(vec![transaction]).expect("executes").block.expect("has a transaction");
    let mut block = Arc::into_inner(block).expect("nobody else has it");
    block.header.writes_root = Hash([9; 32]);
    block.hash = block.header.hash();
    let signature = key(200).sign(&solo_seal_message(block.hash));
    let _ = persist(store, &block, Seal::Solo { key: key(200).public(), signature }).expect("persists");
    let files = bench.forget_state();
    let life = Life::new(LifeCycle::Opening);
    let failed = begin(&files, StoreOptions::default(), false, &NoCertificates, &life, Duration::MAX).err();
    assert_eq!(failed.as_deref(), Some("block 2: the writes root differs from that of executing it again"));
    assert_eq!(life.state(), LifeCycle::Replaying { done: 2, of: 3 });
}
