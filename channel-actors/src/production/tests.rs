//! What of a block is left out of it before it is executed.

use super::*;
use crate::test_support::{Bench, NOW, config, envelope, key, transaction, verified};
use ledger_classes::action::{Action, channel::Propose};
use ledger_classes::participant::NoCertificates;
use ledger_classes::transaction::{Envelope, Transaction};

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
    for (bytes, full) in [(0, false), (8192, true)] {
        std::fs::write(disk.path().join("trade/log.redb"), vec![7; bytes]).expect("writable");
        let execution = Execution {
            store: opened.store.clone(),
            share: Share::new("trade", disk.path(), 8192),
            certificates: Arc::new(NoCertificates),
            proposer: key(200).public().address(),
            parent: opened.parent(),
            time: NOW,
            above: Vec::new(),
        };
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
