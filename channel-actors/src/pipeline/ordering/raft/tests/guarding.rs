//! One row for each way in which a message ends the library, or makes it believe what cannot be: the library does it, and the
//! message does not reach it.

use super::*;
use crate::pipeline::ordering::raft::guard::{Refused, TERMS_AHEAD_MAX, admit};
use crate::pipeline::ordering::raft::window::{Mark, Window};
use ::raft::eraftpb::HardState;
use ::raft::{Config, RawNode, StateRole};
use std::panic::{AssertUnwindSafe, catch_unwind};

type Node = RawNode<Window>;

/// A follower of term 2 with three entries, of which two are committed.
fn node() -> Node {
    let mut window = Window::new(Mark { index: 0, term: 0, height: 0, hash: CHANNEL });
    window.append(0, vec![entry(1, 1, 1), entry(2, 1, 2), entry(3, 2, 3)]).expect("they follow");
    let hard = HardState { term: 2, vote: 0, commit: 2, ..HardState::default() };
    window.begin(hard, (1..=3).map(name).collect());
    let config = Config {
        id: name(1),
        election_tick: 10,
        heartbeat_tick: 2,
        check_quorum: true,
        pre_vote: true,
        ..Config::default()
    };
    let mut node = RawNode::new(&config, window, &slog::Logger::root(slog::Discard, slog::o!())).expect("valid");
    settle(&mut node);
    node
}

/// What it wants to persist is there at once.
fn settle(node: &mut Node) {
    while node.has_ready() {
        let mut ready = node.ready();
        let number = ready.number();
        let entries = ready.take_entries();
        if let Some(first) = entries.first() {
            let behind = first.index - 1;
            node.mut_store().append(behind, entries).expect("they follow");
        }
        node.advance_append_async(ready);
        node.on_persist_ready(number);
    }
}

fn of(kind: MessageType, from: u8, term: u64) -> Message {
    Message { msg_type: kind, from: name(from), to: name(1), term, ..Message::default() }
}

fn from_two(message: Message) -> Message {
    Message { from: name(2), to: name(1), ..message }
}

/// It campaigns in term 3.
fn candidate() -> Node {
    let mut node = node();
    (0..21).for_each(|_| {
        node.tick();
    });
    settle(&mut node);
    let _ = node.step(of(MessageType::MsgRequestPreVoteResponse, 2, node.raft.term + 1));
    assert_eq!(node.raft.state, StateRole::Candidate);
    node
}

fn leader() -> Node {
    let mut node = candidate();
    settle(&mut node);
    let _ = node.step(of(MessageType::MsgRequestVoteResponse, 2, node.raft.term));
    settle(&mut node);
    let _ = node.step(Message { index: 4, ..of(MessageType::MsgAppendResponse, 2, 3) });
    settle(&mut node);
    assert!(node.raft.state == StateRole::Leader && node.raft.commit_to_current_term());
    node
}

/// What the library does with a message: whether it panics then, or a little later.
fn panics(mut node: Node, message: Message) -> bool {
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let _ = node.step(message);
        settle(&mut node);
        (0..50).for_each(|_| {
            node.tick();
            settle(&mut node);
        });
    }));
    ran.is_err()
}

/// Bytes that carry a message, if any do, and what is admitted of them.
fn passes(node: &Node, records: bool, message: &Message) -> Result<(), Option<Refused>> {
    let said = Said::Raft { to: life(1), from: life(2), message: Box::new(message.clone()) };
    let bytes = said.encode().ok_or(None)?;
    let Ok(Said::Raft { message: mut carried, .. }) = Said::decode(&bytes) else { return Err(None) };
    (carried.from, carried.to) = (message.from, message.to);
    admit(&node.raft, records, &carried).map_err(Some)
}

/// What happens to whom, whether its entries are on their way to the disk, by which message, and why that is refused: by its
/// form, or by the guard.
type Row = (&'static str, fn() -> Node, bool, Message, Option<Refused>);

#[test]
fn what_would_end_the_library_does_not_reach_it() {
    use MessageType::*;
    let high = u64::MAX;
    // raft 0.7.0, by file and line: what panics.
    let rows: [Row; 12] = [
        ("raft.rs:2024 a proposal of nothing", leader, false, of(MsgPropose, 2, 0), None),
        ("raft.rs:2110 a read of nothing", leader, false, of(MsgReadIndex, 2, 0), None),
        ("raft.rs:2595 a snapshot", node, false, snapshot(), None),
        ("raft.rs:1167 a term without a next one", node, false, of(MsgHeartbeat, 2, high), None),
        ("raft_log.rs:291 a commit beyond the log", node, false, from_two(heartbeat(2, 9)), Some(Refused::Beyond)),
        ("raft_log.rs:291 the same of a new leader", node, false, from_two(heartbeat(3, 9)), Some(Refused::Beyond)),
        (
            "log_unstable.rs:201 what follows nothing, which has term 0",
            node,
            false,
            from_two(append(2, 9, 0, 0, vec![entry(10, 2, 5)])),
            Some(Refused::Entries),
        ),
        (
            "raft_log.rs:285 an index without a next one",
            node,
            false,
            from_two(append(2, high, 0, 0, vec![entry(high, 2, 4)])),
            None,
        ),
        (
            "raft_log.rs:260 entries that contradict what is committed, by their own indexes",
            node,
            false,
            from_two(append(2, 3, 2, 2, vec![Entry { index: 2, ..entry(2, 2, 2) }])),
            Some(Refused::Entries),
        ),
        (
            "progress.rs:141 an answer without a next index",
            leader,
            false,
            Message { index: high, ..of(MsgAppendResponse, 2, 3) },
            None,
        ),
        (
            "progress.rs:182 a hint without a next index",
            leader,
            false,
            Message { index: 3, reject: true, reject_hint: high, ..of(MsgAppendResponse, 3, 3) },
            None,
        ),
        (
            "raft.rs:1214 a vote before this peer's own log is on its disk",
            unpersisted,
            true,
            of(MsgRequestVoteResponse, 2, 3),
            Some(Refused::Unasked),
        ),
    ];
    for (what, node, records, message, refused) in rows {
        assert_eq!(passes(&node(), records, &message), Err(refused), "{what}");
        let ended = panics(node(), message);
        assert!(ended, "{what}: the library bears it");
    }
}

/// Of a log that this peer has nothing of.
fn snapshot() -> Message {
    let mut message = of(MessageType::MsgSnapshot, 2, 2);
    let metadata = message.mut_snapshot().mut_metadata();
    (metadata.index, metadata.term) = (9, 2);
    metadata.mut_conf_state().voters = (1..=3).map(name).collect();
    message
}

/// A candidate whose last entry is on its way to the disk.
fn unpersisted() -> Node {
    let mut node = node();
    let _ = node.step(from_two(append(2, 3, 2, 2, vec![entry(4, 2, 4)])));
    let mut ready = node.ready();
    let entries = ready.take_entries();
    node.mut_store().append(3, entries).expect("they follow");
    node.advance_append_async(ready);
    (0..21).for_each(|_| {
        node.tick();
    });
    let _ = node.step(of(MessageType::MsgRequestPreVoteResponse, 3, node.raft.term + 1));
    assert_eq!(node.raft.state, StateRole::Candidate);
    node
}

#[test]
fn what_cannot_be_is_refused() {
    use MessageType::*;
    let led = || {
        let mut node = node();
        let _ = node.step(Message { from: name(3), ..from_two(heartbeat(2, 0)) });
        node
    };
    let beyond = Message { index: 9, ..of(MsgAppendResponse, 2, 3) };
    let refused = [
        (passes(&node(), false, &of(MsgHeartbeat, 2, 0)), Refused::Term),
        (passes(&node(), false, &of(MsgRequestVote, 2, 3 + TERMS_AHEAD_MAX)), Refused::Term),
        (passes(&led(), false, &from_two(heartbeat(2, 0))), Refused::SecondLeader),
        (passes(&leader(), false, &from_two(heartbeat(3, 0))), Refused::SecondLeader),
        (passes(&node(), false, &from_two(append(2, 1, 1, 0, vec![entry(2, 2, 2)]))), Refused::Conflict),
        (passes(&node(), false, &from_two(append(2, 2, 2, 0, vec![]))), Refused::Conflict),
        (passes(&node(), false, &from_two(append(2, 3, 2, 0, vec![entry(4, 1, 4)]))), Refused::Entries),
        (passes(&node(), false, &from_two(append(2, 3, 2, 0, vec![entry(4, 3, 4)]))), Refused::Entries),
        (passes(&node(), false, &from_two(append(2, 3, 2, 0, vec![entry(4, 2, 5)]))), Refused::Entries),
        (passes(&leader(), false, &beyond), Refused::Beyond),
        (passes(&candidate(), true, &of(MsgRequestVoteResponse, 2, 3)), Refused::Unasked),
    ];
    for (place, (found, refused)) in refused.into_iter().enumerate() {
        assert_eq!(found, Err(Some(refused)), "row {place}");
    }
    for passed in [
        passes(&node(), false, &from_two(append(2, 3, 2, 3, vec![entry(4, 2, 4)]))),
        passes(&node(), false, &from_two(append(3, 2, 1, 2, vec![entry(3, 3, 3)]))),
        passes(&led(), false, &Message { from: name(3), ..from_two(heartbeat(2, 3)) }),
        passes(&candidate(), false, &of(MsgRequestVoteResponse, 2, 3)),
        passes(&node(), false, &of(MsgRequestVote, 2, 9)),
    ] {
        assert_eq!(passed, Ok(()));
    }
}

/// Every form has one encoding: nothing shorter, longer, or of another kind is one.
#[test]
fn what_is_said_has_one_form() {
    let message = Message { reject: true, commit_term: 1, reject_hint: 2, ..of(MessageType::MsgAppendResponse, 2, 3) };
    let message = Message { from: 0, to: 0, ..message };
    let signature = SealSignature { key: key(1).public(), signature: key(1).sign(b"x") };
    let all = [
        Said::Raft { to: life(1), from: life(2), message: Box::new(message) },
        Said::Raft {
            to: life(1),
            from: life(2),
            message: Box::new(append(2, 3, 1, 3, vec![entry(4, 2, 4), entry(5, 2, 5)])),
        },
        Said::Signed(Signed { height: 1, place: 2, signed: signature, asks: true }),
        Said::Here(Here { life: life(1), met: lives(), founded: Some(lives()) }),
        Said::Behind(wire::Behind { term: 1, height: 2 }),
    ];
    for said in all {
        let bytes = said.encode().expect("it is carried");
        assert_eq!(Said::decode(&bytes).as_ref(), Ok(&said));
        assert!((0..bytes.len()).all(|end| Said::decode(&bytes[..end]).is_err()), "{said:?}");
        assert!(Said::decode(&[&bytes[..], &[0]].concat()).is_err(), "{said:?}");
        for at in 0..2 {
            let mut other = bytes.clone();
            other[at] = 9;
            assert!(Said::decode(&other).is_err(), "{said:?}");
        }
    }
    let mut flags = said(heartbeat(1, 0));
    flags[3] = 2;
    assert!(Said::decode(&flags).is_err());
}
