//! What of a block is left out of it before it is executed.

use crate::block::execute::*;
use crate::test_support::{Bench, DRAWN, NOW, config, envelope, key, persist, transaction, verified, whole_disk};
use ledger_classes::action::{Action, channel::Propose};
use ledger_classes::formats::block::Seal;
use ledger_classes::formats::transaction::{Envelope, Transaction};
use ledger_classes::state::participant::NoCertificates;

fn execution(bench: &Bench, quota: DiskQuota) -> Execution {
    Execution {
        store: bench.opened.store.clone(),
        quota,
        certificates: Arc::new(NoCertificates),
        proposer: key(200).public().address(),
        batches: Vec::new(),
        parent: bench.opened.parent(),
        time: NOW,
        seed: DRAWN,
        above: Vec::new(),
    }
}

/// What was accepted was dropped as if the part were used up, while it was only what waits for a checkpoint that did it.
#[test]
fn what_was_accepted_waits_for_a_checkpoint_and_is_not_dropped_for_what_waits_itself() {
    let bench = Bench::new(&config());
    let (channel, store) = (bench.opened.channel, &bench.opened.store);
    let disk = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(disk.path().join("trade")).expect("writable");
    let offered = |nonce| vec![verified(channel, envelope(channel, nonce, 1))];
    let first = execution(&bench, whole_disk()).run(offered(1)).expect("executes").block.expect("a block");
    persist(store, &first, Seal::Genesis {});
    let waiting = store.waiting_bytes() as u64;
    assert!(waiting > 0, "the block waits for a checkpoint");
    let quota = DiskQuota::new("trade", disk.path(), 4096 + waiting);
    std::fs::write(disk.path().join("trade/log.redb"), vec![7; 4096]).expect("writable");
    let parent = Parent::of(&first.header, first.hash, &store.history());
    let execution = |quota| Execution { parent, ..execution(&bench, quota) };
    let result = execution(quota.clone()).run(offered(2)).expect("it waits");
    assert!(result.block.is_none() && result.offered.dropped.is_empty() && result.held.len() == 1);
    store.checkpoint().expect("written");
    quota.look_again(store.waiting_bytes());
    let result = execution(quota).run(result.held).expect("executes");
    assert!(result.block.is_some() && result.offered.dropped.is_empty() && result.held.is_empty());
}

/// What is small at the door may become many times that: a block is held against the files once more.
#[test]
fn what_finds_the_part_of_the_disk_used_up_leaves_nothing_and_acts_go_on() {
    let bench = Bench::new(&config());
    let opened = &bench.opened;
    let channel = opened.channel;
    let disk = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(disk.path().join("trade")).expect("writable");
    let propose = Action::ChannelPropose(Propose { changes: Vec::new(), reason: String::new() });
    let act = Transaction { actions: vec![propose], ..transaction(channel, 2, "") };
    let (record, act) = (envelope(channel, 1, 1), Envelope::sign_binary(&act, &[&key(1)]));
    let made_quota = || DiskQuota::new("trade", disk.path(), 8192);
    for (bytes, full) in [(0, false), (8192, true)] {
        std::fs::write(disk.path().join("trade/log.redb"), vec![7; bytes]).expect("writable");
        let execution = execution(&bench, made_quota());
        let offered = [&record, &act].map(|envelope| verified(channel, envelope.clone()));
        let result = execution.run(offered.into()).expect("executes");
        let dropped: Vec<_> = result.offered.dropped.into_iter().map(|(id, why)| (id, why.name())).collect();
        let expected = if full { vec![(record.id(), Some("channel-full"))] } else { Vec::new() };
        assert_eq!(dropped, expected, "{bytes} bytes");
        let block = result.block.expect("the act is in it");
        assert_eq!(block.receipt_of(&record.id()).is_some(), !full, "{bytes} bytes");
        assert!(block.receipt_of(&act.id()).is_some(), "{bytes} bytes");
    }
}
