//! The engine by itself: what reaches the library, what its records make of a start, when it speaks, and that nothing which
//! others say or disks hold makes it panic.

mod guarding;

use super::records::{Item, encode};
use super::wire::{Here, Lives, Signed, replica};
use super::*;
use crate::block::tip::Tip;
use crate::pipeline::ordering::Ticket;
use crate::test_support::{NOW, Random, bare_block, key};
use ::raft::eraftpb::{Entry, Message, MessageType};
use bytes::Bytes;
use ledger_classes::chain::ExecutedBlock;
use ledger_classes::formats::block::{Seal, SealSignature, seal_message};
use ledger_classes::formats::config::Engine;
use ledger_classes::primitives::codec;
use ledger_classes::primitives::identity::{Identity, Role};
use std::collections::VecDeque;

const CHANNEL: Hash = Hash([9; 32]);

fn orderers(count: u8) -> Orderers {
    let peer = |number: u8| OrderingPeer {
        identity: Identity::new("test.example", "bank", Role::Peer, &format!("peer{number}")).expect("valid"),
        key: key(number).public(),
        weight: 1,
    };
    let threshold = u64::from(count) / 2 + 1;
    Orderers { engine: Engine::Raft, peers: (1..=count).map(peer).collect(), threshold }
}

fn address(number: u8) -> Address {
    key(number).public().address()
}

fn life(number: u8) -> LifeId {
    [number; 16]
}

/// Who a peer is to Raft.
fn name(number: u8) -> u64 {
    replica(&address(number), &life(number))
}

fn lives() -> Lives {
    let mut lives: Lives = (1..=3).map(|number| (address(number), life(number))).collect();
    lives.sort_unstable();
    lives
}

fn begin(number: u8, height: u64, hash: Hash, records: Vec<(Ticket, Bytes)>) -> Result<Raft, EngineError> {
    let orderers = orderers(3);
    Raft::new(Begin {
        channel: CHANNEL,
        seed: number.into(),
        key: Arc::new(key(number)),
        orderers: &orderers,
        tip: Tip { height, hash, time: NOW },
        kept: Some((life(number), records)),
    })
}

fn records(life: LifeId, all: &[&[Item]]) -> Vec<(Ticket, Bytes)> {
    (1..).zip(all.iter().map(|items| Bytes::from(encode(life, items)))).collect()
}

/// An engine of a founded channel.
fn founded(number: u8) -> Raft {
    begin(number, 0, CHANNEL, records(life(number), &[&[Item::Founded(lives())]])).expect("it begins")
}

fn bytes_of(block: &ExecutedBlock) -> Bytes {
    codec::encode(&block.with_seal(Seal::Quorum { place: 0, signatures: Vec::new() })).into()
}

fn entry(index: u64, term: u64, height: u64) -> Entry {
    Entry { index, term, data: bytes_of(&bare_block(height, 0)), ..Entry::default() }
}

/// What peer 2 says to peer 1.
fn said(message: Message) -> Vec<u8> {
    Said::Raft { to: life(1), from: life(2), message: Box::new(message) }.encode().expect("it is carried")
}

fn append(term: u64, index: u64, log_term: u64, commit: u64, entries: Vec<Entry>) -> Message {
    let entries = entries.into();
    Message { msg_type: MessageType::MsgAppend, term, index, log_term, commit, entries, ..Message::default() }
}

fn heartbeat(term: u64, commit: u64) -> Message {
    Message { msg_type: MessageType::MsgHeartbeat, term, commit, ..Message::default() }
}

fn tells(raft: &mut Raft, bytes: &[u8]) -> Vec<OrderingEffect> {
    raft.on(OrderingInput::Message { from: address(2), bytes })
}

/// Messages of Raft's among effects, and after which records they leave.
fn messages(effects: &[OrderingEffect]) -> Vec<(MessageType, Option<Ticket>)> {
    let message = |effect: &OrderingEffect| match effect {
        OrderingEffect::Send { bytes, after, .. } => match Said::decode(bytes).expect("its own") {
            Said::Raft { message, .. } => Some((message.msg_type, *after)),
            _ => None,
        },
        _ => None,
    };
    effects.iter().filter_map(message).collect()
}

fn halts(effects: &[OrderingEffect]) -> Option<&str> {
    effects.iter().find_map(|effect| match effect {
        OrderingEffect::Halt(reason) => Some(reason.as_str()),
        _ => None,
    })
}

fn last_ticket(effects: &[OrderingEffect]) -> Option<Ticket> {
    let tickets = effects.iter().filter_map(|effect| match effect {
        OrderingEffect::Persist { ticket, .. } => Some(*ticket),
        _ => None,
    });
    tickets.max()
}

/// A leader whose followers execute for long would be deposed if its heartbeats waited for that.
#[test]
fn a_heartbeat_does_not_wait_behind_blocks_that_are_executed() {
    let mut raft = founded(1);
    let effects = tells(&mut raft, &said(append(1, 0, 0, 0, vec![entry(1, 1, 1)])));
    assert!(matches!(effects[..], [.., OrderingEffect::Execute { height: 1, .. }]), "{effects:?}");
    assert_eq!(messages(&effects), []);
    let effects = tells(&mut raft, &said(heartbeat(1, 0)));
    let answered = messages(&effects);
    assert!(matches!(answered[..], [(MessageType::MsgHeartbeatResponse, _)]), "{effects:?}");
    assert!(!effects.iter().any(|effect| matches!(effect, OrderingEffect::Discard { .. })), "{effects:?}");
    // Accepted, and said so after the record.
    let effects = raft.on(OrderingInput::Executed { height: 1, valid: true });
    let ticket = last_ticket(&effects);
    assert!(ticket.is_some(), "{effects:?}");
    assert_eq!(messages(&effects), [(MessageType::MsgAppendResponse, ticket)]);
    // One that is withheld comes again and again.
    for _ in 0..3 {
        let again = append(1, 1, 1, 0, vec![entry(2, 1, 2)]);
        tells(&mut raft, &said(again));
    }
    assert_eq!(raft.driver.as_ref().map(Driver::waiting), Some(1));
}

/// What is signed is on the disk first, and final; one block of each height is signed, whatever happens between.
#[test]
fn a_signature_follows_its_record() {
    let mut raft = founded(1);
    tells(&mut raft, &said(append(1, 0, 0, 0, vec![entry(1, 1, 1)])));
    let effects = raft.on(OrderingInput::Executed { height: 1, valid: true });
    let signed = |effects: &[OrderingEffect]| {
        let after = effects.iter().filter_map(|effect| match effect {
            OrderingEffect::Send { bytes, after, .. } => {
                matches!(Said::decode(bytes), Ok(Said::Signed(_))).then_some(*after)
            }
            _ => None,
        });
        after.collect::<Vec<_>>()
    };
    assert_eq!(signed(&effects), []);
    let ticket = last_ticket(&effects).expect("a record");
    raft.on(OrderingInput::Persisted { ticket });
    let effects = tells(&mut raft, &said(heartbeat(1, 1)));
    assert!(effects.contains(&OrderingEffect::Final { height: 1 }), "{effects:?}");
    let ticket = last_ticket(&effects);
    assert!(ticket.is_some());
    assert_eq!(signed(&effects), [ticket, ticket]);
    // Another's signature alone seals nothing, nor does this peer's own before it is recorded.
    let hash = bare_block(1, 0).hash;
    let sealed = |effects: &[OrderingEffect]| effects.iter().any(|it| matches!(it, OrderingEffect::Seal { .. }));
    let of = |number: u8, place: u64| SealSignature {
        key: key(number).public(),
        signature: key(number).sign(&seal_message(&hash, place)),
    };
    let say = |height, place, signed| {
        Said::Signed(Signed { height, place, signed, asks: false }).encode().expect("it is carried")
    };
    assert!(!sealed(&tells(&mut raft, &say(1, 1, of(3, 1)))), "peer 2 gives the signature of 3");
    assert!(!sealed(&tells(&mut raft, &say(1, 2, of(2, 2)))), "of another place");
    assert!(!sealed(&tells(&mut raft, &say(1, 1, of(2, 1)))));
    assert!(sealed(&raft.on(OrderingInput::Persisted { ticket: ticket.expect("a record") })));
    // Signatures far ahead take no room.
    for height in 0..5_000 {
        tells(&mut raft, &say(height, 1, of(2, 1)));
    }
    assert!(raft.driver.as_ref().is_some_and(|driver| driver.early() <= 1_024));
}

#[test]
fn a_block_of_a_height_that_was_signed_otherwise_is_not_signed() {
    let signed = Item::Signed { height: 1, hash: Hash([1; 32]), place: 1 };
    let kept = records(life(1), &[&[Item::Founded(lives()), signed]]);
    let mut raft = begin(1, 0, CHANNEL, kept).expect("it begins");
    tells(&mut raft, &said(append(1, 0, 0, 0, vec![entry(1, 1, 1)])));
    let effects = raft.on(OrderingInput::Executed { height: 1, valid: true });
    raft.on(OrderingInput::Persisted { ticket: last_ticket(&effects).expect("a record") });
    let effects = tells(&mut raft, &said(heartbeat(1, 1)));
    assert!(halts(&effects).is_some_and(|reason| reason.contains("has signed block 1")), "{effects:?}");
    assert_eq!(tells(&mut raft, &said(heartbeat(1, 1))), []);
}

/// Each is an error by name; none is memory that is half believed.
#[test]
fn records_that_are_no_whole_story_are_refused() {
    let hash = bare_block(1, 0).hash;
    let one = Item::Entries { behind: 0, entries: vec![entry(1, 1, 1)] };
    let hard = |term, commit| Item::Hard { term, vote: 0, commit };
    let base = || vec![Item::Founded(lives()), one.clone(), hard(1, 0)];
    let start = |height, hash, items: Vec<Item>| begin(1, height, hash, records(life(1), &[&items])).map(drop);
    assert_eq!(start(0, CHANNEL, base()), Ok(()));
    assert_eq!(start(1, hash, base()), Ok(()));
    let with = |item: Item| start(0, CHANNEL, [base(), vec![item]].concat());
    let broken =
        |result: Result<(), EngineError>| assert!(matches!(result, Err(EngineError::Records(_))), "{result:?}");
    broken(with(hard(0, 0)));
    broken(with(hard(1, 2)));
    broken(with(Item::Entries { behind: 3, entries: Vec::new() }));
    broken(with(Item::Entries { behind: 1, entries: vec![entry(2, 1, 3)] }));
    broken(with(Item::Entries { behind: 1, entries: vec![entry(2, 2, 2)] }));
    broken(start(0, CHANNEL, [base(), vec![hard(1, 1), Item::Entries { behind: 0, entries: Vec::new() }]].concat()));
    let met = |number| Item::Met(address(2), life(number));
    broken(start(0, CHANNEL, [base(), vec![met(2), met(3)]].concat()));
    let signed = |byte| Item::Signed { height: 1, hash: Hash([byte; 32]), place: 1 };
    broken(start(0, CHANNEL, [base(), vec![signed(1), signed(2)]].concat()));
    broken(begin(1, 0, CHANNEL, records(life(1), &[&base(), &base()]).into_iter().rev().collect()).map(drop));
    let other = begin(1, 0, CHANNEL, records(life(7), &[&base()])).map(drop);
    assert_eq!(other, Err(EngineError::OtherLife { recorded: life(7), own: life(1) }));
    assert_eq!(start(2, hash, base()), Err(EngineError::NoRecords { height: 2 }));
    assert_eq!(start(1, hash, Vec::new()), Err(EngineError::NoRecords { height: 1 }));
    let records = EngineError::OtherBlock { height: 1, log: Hash([3; 32]), records: hash };
    assert_eq!(start(1, Hash([3; 32]), base()), Err(records));
    assert_eq!(start(0, CHANNEL, vec![Item::Founded(lives()[..2].to_vec())]), Err(EngineError::Founders));
}

/// Whatever one byte of a record says, or wherever it ends.
#[test]
fn no_byte_of_a_record_makes_a_start_panic() {
    let signed = Item::Signed { height: 1, hash: Hash([1; 32]), place: 1 };
    let entries =
        Item::Entries { behind: 0, entries: vec![entry(1, 1, 1), Entry { data: Bytes::new(), ..entry(2, 2, 0) }] };
    let hard = Item::Hard { term: 2, vote: 1, commit: 1 };
    let whole = encode(life(1), &[Item::Founded(lives()), Item::Met(address(2), life(2)), entries, hard, signed]);
    for at in 0..whole.len() {
        for with in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = with;
            if let Ok(mut raft) = begin(1, 0, CHANNEL, vec![(1, bytes.into())]) {
                raft.on(OrderingInput::Tick { now: NOW });
            }
        }
        let _ = begin(1, 0, CHANNEL, vec![(1, Bytes::copy_from_slice(&whole[..at]))]);
    }
}

#[test]
fn ticks_survive_a_clock_that_is_set_and_a_stop() {
    let mut clock = Clock::default();
    assert_eq!(clock.due(NOW), 0);
    assert_eq!(clock.due(NOW.plus_millis(49)), 0);
    assert_eq!(clock.due(NOW.plus_millis(50)), 1);
    // A stop of an hour, or a clock set ahead.
    assert_eq!(clock.due(NOW.plus_millis(3_600_000)), 2);
    assert_eq!(clock.due(NOW.plus_millis(3_600_050)), 1);
    // Set back by an hour: time goes on at once.
    assert_eq!(clock.due(NOW), 1);
    assert_eq!(clock.due(NOW), 0);
    assert_eq!(clock.due(NOW.plus_millis(100)), 2);
}

/// Nobody votes before all founders have met each other in the same lives, and nobody is taken for another.
#[test]
fn a_channel_begins_with_the_lives_that_its_founders_have_met() {
    let here = |number: u8, met: &[u8], founded| {
        let mut met: Lives = met.iter().map(|number| (address(*number), life(*number))).collect();
        met.sort_unstable();
        Said::Here(Here { life: life(number), met, founded }).encode().expect("it is carried")
    };
    let tell = |raft: &mut Raft, from: u8, bytes: &[u8]| raft.on(OrderingInput::Message { from: address(from), bytes });
    let mut raft = begin(1, 0, CHANNEL, Vec::new()).expect("it begins");
    let effects = raft.on(OrderingInput::Tick { now: NOW });
    assert_eq!(messages(&effects), []);
    tell(&mut raft, 2, &here(2, &[2], None));
    tell(&mut raft, 3, &here(3, &[1, 2, 3], None));
    assert!(raft.driver.is_none(), "peer 2 has not met all");
    // Another life of one that was met is nobody.
    let mut other = raft.founding.items();
    tell(&mut raft, 3, &here(4, &[1, 2, 3], None));
    assert_eq!(raft.founding.items(), other);
    tell(&mut raft, 2, &here(2, &[1, 2, 3], None));
    assert!(raft.driver.is_some());
    other = raft.founding.items();
    assert!(other.contains(&Item::Founded(lives())));
    // One that lacks a word takes the whole set of another, if itself is in it.
    let mut late = begin(1, 0, CHANNEL, Vec::new()).expect("it begins");
    tell(&mut late, 2, &here(2, &[1, 2, 3], Some(lives())));
    assert!(late.driver.is_some());
    // One that was wiped is in nobody's set.
    let orderers = orderers(3);
    let kept = Some(([7; 16], Vec::new()));
    let tip = Tip { height: 0, hash: CHANNEL, time: NOW };
    let key = Arc::new(key(1));
    let mut wiped =
        Raft::new(Begin { channel: CHANNEL, seed: 1, key, orderers: &orderers, tip, kept }).expect("it begins");
    let effects = tell(&mut wiped, 2, &here(2, &[1, 2, 3], Some(lives())));
    assert!(halts(&effects).is_some_and(|reason| reason.contains("another life")), "{effects:?}");
}

/// One part of a record holds 8,192 entries: what was beyond it was left out, and was on no disk.
#[test]
fn a_record_holds_all_entries_however_many_they_are() {
    let all = form::ENTRIES_MAX as u64 + 5;
    let entries: Vec<Entry> = (8..8 + all).map(|index| Entry { index, term: 1, ..Entry::default() }).collect();
    let record = Bytes::from(encode(life(1), &[Item::Entries { behind: 7, entries: entries.clone() }]));
    let (_, items) = records::decode(&record).expect("its own");
    let found = items.into_iter().flat_map(|item| match item {
        Item::Entries { entries, .. } => entries,
        other => panic!("{other:?}"),
    });
    assert!(found.eq(entries));
}

/// A log that has grown long is cut up to what the channel's log holds, and a start from what stands for it is the same.
#[test]
fn a_long_log_is_cut_and_begins_again_from_one_record() {
    let mut raft = founded(1);
    let mut kept: Vec<(Ticket, Bytes)> = records(life(1), &[&[Item::Founded(lives())]]);
    let mut inputs = VecDeque::new();
    let mut bases = 0;
    for height in 1..=5_000_u64 {
        inputs.push_back(raft.on(OrderingInput::Message {
            from: address(2),
            bytes: &said(append(1, height - 1, u64::from(height > 1), height - 1, vec![entry(height, 1, height)])),
        }));
        inputs.push_back(raft.on(OrderingInput::Executed { height, valid: true }));
        inputs.push_back(raft.on(OrderingInput::Appended { height: height - 1 }));
        for effect in inputs.drain(..).flatten().collect::<Vec<_>>() {
            if let OrderingEffect::Persist { ticket, record, base } = effect {
                if base {
                    bases += 1;
                    kept.clear();
                }
                kept.push((ticket, record.into()));
                raft.on(OrderingInput::Persisted { ticket });
            }
        }
    }
    assert!(bases >= 1 && kept.len() < 10_000, "{bases} bases, {} records", kept.len());
    let driver = raft.driver.as_ref().expect("founded");
    let again = begin(1, 4_999, bare_block(4_999, 0).hash, kept.clone()).expect("it begins");
    assert_eq!(again.driver.as_ref().map(Driver::items), Some(driver.items()));
    // Below the mark there is nothing.
    let below = begin(1, 10, bare_block(10, 0).hash, kept).map(drop);
    assert_eq!(below, Err(EngineError::NoRecords { height: 10 }));
    // A leader that has cut more says so.
    let mut raft = founded(1);
    tells(&mut raft, &said(heartbeat(1, 0)));
    let behind = Said::Behind(wire::Behind { term: 1, height: 7 }).encode().expect("it is carried");
    let effects = raft.on(OrderingInput::Message { from: address(3), bytes: &behind });
    assert_eq!(halts(&effects), None, "peer 3 does not lead");
    assert!(halts(&tells(&mut raft, &behind)).is_some_and(|reason| reason.contains("behind")));
}

/// Three engines order made-up blocks, while what they say is lost, repeated, and said again with other bytes.
#[test]
fn whatever_others_say_no_engine_panics() {
    for seed in crate::test_support::seeds(20) {
        let mut random = Random(seed);
        let mut rafts: Vec<Raft> = (1..=3).map(founded).collect();
        let mut mail: VecDeque<(usize, Address, Vec<u8>)> = VecDeque::new();
        let (mut now, mut most, mut halted) = (NOW, 0, 0);
        for _ in 0..3_000 {
            let number = random.below(3);
            let mut todo = VecDeque::new();
            let raft = &mut rafts[number];
            match random.below(4) {
                0 => {
                    now = now.plus_millis(random.below(40) as u64);
                    todo.extend(raft.on(OrderingInput::Tick { now }));
                }
                1 => {
                    let height = raft.driver.as_ref().map_or(0, Driver::height) + 1;
                    let block = bare_block(height, random.below(50) as u64);
                    todo.extend(raft.on(OrderingInput::Propose { block: &block }));
                }
                _ => {
                    let Some((to, from, mut bytes)) = mail.pop_front() else { continue };
                    if random.one_in(8) {
                        let at = random.below(bytes.len());
                        bytes[at] = random.choose(&[0, 1, 2, 0x7f, 0x80, 0xff, bytes[at].wrapping_add(1)]);
                    }
                    if random.one_in(8) {
                        mail.push_back((to, from, bytes.clone()));
                    }
                    todo.extend(rafts[to].on(OrderingInput::Message { from, bytes: &bytes }));
                    follow(&mut rafts[to], to, todo, &mut mail, &mut halted);
                    continue;
                }
            }
            follow(raft, number, todo, &mut mail, &mut halted);
            most =
                most.max(rafts.iter().filter_map(|raft| raft.driver.as_ref()).map(Driver::height).max().unwrap_or(0));
            mail.truncate(500);
        }
        println!("{most} blocks, {halted} halted");
        assert!(most > 3, "seed {seed}: {most} blocks, {halted} halted");
    }
}

/// Does what an engine wants, at once.
fn follow(
    raft: &mut Raft,
    number: usize,
    mut todo: VecDeque<OrderingEffect>,
    mail: &mut VecDeque<(usize, Address, Vec<u8>)>,
    halted: &mut usize,
) {
    let from = address(number as u8 + 1);
    while let Some(effect) = todo.pop_front() {
        match effect {
            OrderingEffect::Send { to, bytes, .. } => {
                let to = (1..=3).position(|number| address(number) == to).expect("an orderer");
                mail.push_back((to, from, bytes));
            }
            OrderingEffect::Persist { ticket, .. } => todo.extend(raft.on(OrderingInput::Persisted { ticket })),
            // What was discarded since has no turn.
            OrderingEffect::Execute { height, .. }
                if raft.driver.as_ref().is_some_and(|driver| driver.wants() == Some(height)) =>
            {
                todo.extend(raft.on(OrderingInput::Executed { height, valid: true }));
            }
            OrderingEffect::Halt(reason) => {
                println!("peer {number} halts: {reason}");
                *halted += 1;
            }
            _ => {}
        }
    }
}
