//! Evidence tells its own class only. Readers of one class, and those of all who may not read administrative acts, gather all
//! that a peer hands to them, also of transactions whose events they do not see, and know everything but one amount: who moved
//! what when, every other value of the state, and how each hash is made. Whatever 32 bytes they were given they try as what
//! hides a hash. They learn nothing; whoever may read whole blocks learns all of it by the same means.

use crate::harness::{Consortium, address, append, define, mint, signed, transfer};
use client::connection::Connection;
use client::profile::Profile;
use client::submit::Wait;
use client::subscribe::{Filter, Start, Step};
use ledger_classes::action::{Action, channel};
use ledger_classes::chain::History;
use ledger_classes::formats::blinding::{Blinded, Blinder, BlindingSeed};
use ledger_classes::formats::block::{Block, write_leaves};
use ledger_classes::formats::config::{Approvals, ConfigChange};
use ledger_classes::formats::event::Event;
use ledger_classes::formats::outcome::ResultCode;
use ledger_classes::formats::receipt::ReceiptHead;
use ledger_classes::formats::rights::{ACTS, Class, is_act};
use ledger_classes::formats::transaction::id_of;
use ledger_classes::merkle;
use ledger_classes::primitives::amount::Amount;
use ledger_classes::primitives::codec;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::state::keyspace;
use ledger_classes::state::tree::{NoPages, StateTree};
use ledger_classes::state::view::{MemoryState, Writes};
use serde_json::Value;
use server::certificates::paths::ParticipantPaths;
use std::collections::{BTreeSet, HashSet};

/// What is hidden from readers of logs, and what they guess at.
const AMOUNT: u128 = 123_457;
/// Amounts that they try.
const GUESSES: u128 = 1_000_000;

/// Longer than a header, a seal and a receipt's head: what is longer is one known whole.
const SHORT: usize = 512;

/// What somebody was given.
#[derive(Default)]
struct Given {
    /// Every 32 bytes in a row.
    all: HashSet<[u8; 32]>,
    /// Those that may hide something: they stand in something short.
    hiding: HashSet<[u8; 32]>,
    /// What it was told openly.
    open: HashSet<Vec<u8>>,
}

impl Given {
    fn bytes(&mut self, bytes: &[u8]) {
        let windows = || bytes.windows(32).map(|window| <[u8; 32]>::try_from(window).expect("32 bytes"));
        self.all.extend(windows());
        if bytes.len() <= SHORT {
            self.hiding.extend(windows());
        }
        self.open.insert(bytes.to_vec());
    }

    /// All texts of a document: hex of bytes, JSON in a text, or what they are.
    fn json(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => fields.values().for_each(|value| self.json(value)),
            Value::Array(items) => items.iter().for_each(|value| self.json(value)),
            Value::String(text) => match (hex::decode(text), ledger_classes::primitives::json::from_str::<Value>(text))
            {
                (Ok(bytes), _) => self.bytes(&bytes),
                (_, Ok(inner @ Value::Object(_))) => self.json(&inner),
                _ => self.bytes(text.as_bytes()),
            },
            _ => {}
        }
    }

    fn take<T: serde::Serialize>(&mut self, answer: &T) {
        self.json(&serde_json::to_value(answer).expect("it serializes"));
    }

    fn has(&self, hash: &Hash) -> bool {
        self.all.contains(&hash.0)
    }

    /// Which of these it is not told openly, and can find: a hash over it is here, or one that is made with something that
    /// is here in place of what hides it, or of the seed of that.
    fn tells<'a>(&self, secrets: &[&'a Secret]) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        let closed: Vec<&Secret> =
            secrets.iter().copied().filter(|secret| !self.open.contains(&secret.bytes)).collect();
        let by = |secret: &Secret, by: &Hash| self.has(&merkle::blinded_leaf_hash(by, &secret.bytes));
        for secret in &closed {
            if self.has(&secret.plain) || self.hiding.iter().any(|value| by(secret, &Hash(*value))) {
                found.insert(secret.what.as_str());
            }
        }
        for group in closed.chunk_by(|one, next| one.above == next.above) {
            for seed in &self.hiding {
                let blinder = Blinder::new(&BlindingSeed::new(*seed), &group[0].above);
                let told =
                    group.iter().filter(|secret| secret.place.is_some_and(|place| by(secret, &blinder.of(place))));
                found.extend(told.map(|secret| secret.what.as_str()));
            }
        }
        found
    }
}

/// Something of a class, as it is hashed.
struct Secret {
    what: String,
    /// `None`: of several.
    class: Option<Class>,
    /// It tells of an administrative act, too.
    act: bool,
    bytes: Vec<u8>,
    plain: Hash,
    /// What hides it, if something of its own does, and the block below its own.
    place: Option<Blinded>,
    above: Hash,
}

/// Whatever is hashed in these blocks and is not for everybody.
fn secrets(blocks: &[Block]) -> Vec<Secret> {
    let (mut history, mut state, mut all) = (History::new(), MemoryState::default(), Vec::new());
    let mut acts = false;
    for block in blocks {
        let (height, above) = (block.header.height, block.header.previous);
        let checked = history.check(block, None, &state, &NoPages, &ParticipantPaths, [1; 32]).expect("a valid block");
        let mut leaf = |what: String, class, act, bytes: Vec<u8>, place| {
            all.push(Secret { what, class, act, plain: merkle::leaf_hash(&bytes), bytes, place: Some(place), above });
        };
        let mut roots = Vec::new();
        for receipt in &checked.receipts {
            let index = receipt.head.index;
            let events = receipt.decoded_events().expect("they decode");
            let mut leaves = Vec::new();
            let tells = |event: &Event| is_act(event.class(), event.topic());
            let act = events.iter().any(tells);
            acts |= act;
            for ((number, event), bytes) in (0u32..).zip(&events).zip(&receipt.events) {
                leaves.push(merkle::leaf_hash(bytes));
                let what = format!("{height}.{index} {event:?}");
                let place = Blinded::Event { receipt: index, index: number };
                leaf(what, Some(event.class()), tells(event), bytes.clone(), place);
            }
            let plain = ReceiptHead { events_root: merkle::root(&leaves), ..receipt.head.clone() };
            for (head, act) in [(&plain, act), (&receipt.head, false)] {
                leaf(format!("receipt {height}.{index}"), None, act, codec::encode(head), Blinded::Receipt { index });
            }
            if receipt.head.detail.is_some() {
                let class = ResultCode::from_number(receipt.head.code).and_then(ResultCode::class);
                let bytes = codec::encode(&receipt.detail);
                leaf(format!("why {height}.{index} failed"), class, false, bytes, Blinded::Detail { receipt: index });
            }
            roots.push((format!("events of {height}.{index}"), None, act, merkle::root(&leaves), None));
        }
        state.apply(&checked.writes);
        let leaves = write_leaves(&checked.writes);
        for ((key, _), plain) in checked.writes.iter().zip(&leaves) {
            let what = format!("what {height} wrote to {key:02x?}");
            roots.push((what, keyspace::class_of(key), is_of_act(key), *plain, None));
        }
        let act = checked.writes.keys().any(|key| is_of_act(key));
        roots.push((format!("writes of {height}"), None, act, merkle::root(&leaves), Some(Blinded::Writes)));
        let entries: Writes = state.entries().map(|(key, value)| (key.to_vec(), Some(value.clone()))).collect();
        let root_of = |which: &dyn Fn(&[u8]) -> bool| {
            let some = entries.iter().filter(|(key, _)| which(key));
            StateTree::of(&some.map(|(key, value)| (key.clone(), value.clone())).collect()).root()
        };
        for key in entries.keys() {
            let what = format!("what {key:02x?} has after {height}");
            roots.push((what, keyspace::class_of(key), is_of_act(key), root_of(&|other| other == key), None));
        }
        for part in 0..6 {
            let (class, place) = (keyspace::class_of(&[part << 4]), Some(Blinded::StatePart { part }));
            let act = acts && class == Some(Class::Logs);
            roots.push((format!("part {part} after {height}"), class, act, root_of(&|key| key[0] >> 4 == part), place));
        }
        roots.push((format!("the state after {height}"), None, acts, checked.tree.root(), None));
        roots.retain(|(_, _, _, root, _)| *root != Hash::ZERO);
        // That nothing is there is no secret.
        roots.retain(|(_, _, _, root, _)| *root != merkle::empty_root());
        let secret = |(what, class, act, plain, place): (String, _, _, Hash, _)| Secret {
            what,
            class,
            act,
            bytes: plain.0.to_vec(),
            plain,
            place,
            above,
        };
        all.extend(roots.into_iter().map(secret));
        if height == 0 {
            // The first configuration is the beginning of the trust that every reader is given.
            all.clear();
        }
        let _ = history.advance(&checked);
    }
    all
}

/// Whether an administrative act stands at a key.
fn is_of_act(key: &[u8]) -> bool {
    keyspace::class_of(key) == Some(Class::Logs) && key.windows(ACTS.len()).any(|part| part == ACTS.as_bytes())
}

/// Everything that a peer hands to a reader of a channel who asks for all of it.
/// `ids` are those of all transactions: they are no secret.
async fn gathered(reader: &Connection, channel: &str, tip: u64, keys: &[Vec<u8>], ids: &[Hash]) -> Given {
    let mut given = Given::default();
    let mut events = reader.subscribe(channel, Filter { start: Start::Height(0), proof: true, ..Filter::default() });
    loop {
        match events.step().await.expect("goes on").expect("goes on") {
            Step::Event(delivery) => {
                given.take(&delivery.event);
                assert!(ids.contains(&delivery.event.transaction));
            }
            Step::Position { cursor, .. } if cursor.height >= tip => break,
            Step::Position { .. } => {}
            Step::Pause { why, .. } => panic!("{why}"),
        }
    }
    for id in ids.iter().copied() {
        let later = reader.proof(channel, id, Some(tip)).await;
        later.iter().for_each(|proof| given.take(proof));
        given.take(&reader.proof(channel, id, None).await.expect("some of it"));
        given.take(&reader.transaction(channel, id).await.expect("some of it"));
    }
    given.take(&reader.trust(channel).await.expect("for all"));
    given.take(&reader.channel(channel).await.expect("for all"));
    for key in keys {
        let proof = reader.state_proof(channel, key).await;
        proof.iter().for_each(|proof| given.take(proof));
    }
    let blocks = reader.blocks(channel, Default::default()).await;
    blocks.iter().for_each(|blocks| given.take(blocks));
    given
}

/// An amount beside one's own event was known after 0.13 s: siblings on a path were hashes over guessable neighbours.
#[tokio::test]
async fn readers_of_one_class_learn_nothing_of_another() {
    let consortium = Consortium::closed(&[]);
    let mut readers: Vec<_> =
        Class::ALL.iter().map(|class| (Some(*class), consortium.profile("bank", "client", class.text()))).collect();
    readers.push((None, consortium.profile("bank", "client", "all")));
    let auditor = consortium.profile("bank", "client", "auditor");
    let peer = consortium.serve();
    let admin = consortium.admin();
    let grant = |name: &str, rights: &str| format!("spiffe://test.example/bank/client/{name}={rights}");
    let mut grants: Vec<String> =
        Class::ALL.iter().map(|class| grant(class.text(), &format!("read:{class}"))).collect();
    grants.extend([grant("all", "read"), grant("auditor", "audit")]);
    let mut create = vec!["channel", "create", "trade", "--org", "bank", "--open-submit", "--approvals", "any"];
    let own = "spiffe://test.example/bank/admin/admin=member,admin";
    create.extend(["--grant", own]);
    grants.iter().for_each(|grant| create.extend(["--grant", grant]));
    peer.run(&admin, &create);
    let connection = peer.connect(&admin);
    let id = connection.channel("trade").await.expect("there").id;
    let credential = Profile::open(&admin).expect("a profile").credential.expect("a certificate");
    let admission = client::admit::admission(&credential, id, address(9)).expect("signs");

    // Money beside a log record in one transaction; beside it in the block; in a block of its own; a young channel; one
    // that fails; a configuration that changes beside it; a batch's answer.
    let change = |approvals| {
        let changes = vec![ConfigChange::SetApprovals { approvals }];
        Action::ChannelPropose(channel::Propose { changes, reason: "curious".into() })
    };
    let posted: Vec<Vec<(u8, Vec<Action>)>> = vec![
        vec![(1, vec![define("usd"), mint("usd", 1, 777_777)])],
        vec![(1, vec![append("trace", "step"), transfer("usd", 2, AMOUNT)])],
        vec![(1, vec![transfer("usd", 3, 222_222)]), (2, vec![append("trace", "a")]), (1, vec![transfer("usd", 2, 9)])],
        vec![(1, vec![transfer("usd", 3, 4_321)])],
        vec![(3, vec![transfer("usd", 2, 999_999)]), (1, vec![append("trace", "b")])],
        vec![(9, vec![admission])],
        vec![(1, vec![transfer("usd", 2, 31_337)]), (9, vec![change(Approvals::All)])],
        vec![(1, vec![append("trace", "c"), transfer("usd", 3, 5), append("trace", "d")])],
    ];
    let mut answers = Given::default();
    for batch in posted {
        let envelopes: Vec<_> = batch.into_iter().map(|(by, actions)| signed(id, by, actions)).collect();
        let results = connection.submit_batch("trade", &envelopes, Wait::Committed).await.expect("taken");
        answers.take(&results.iter().map(|result| format!("{result:?}")).collect::<Vec<_>>());
    }
    let tip = connection.channel("trade").await.expect("there").height;
    let auditor = peer.connect(&auditor);
    let mut encoded = Vec::new();
    while encoded.len() as u64 <= tip {
        encoded.extend(auditor.encoded_blocks("trade", encoded.len() as u64).await.expect("whole blocks"));
    }
    let blocks: Vec<Block> = encoded.iter().map(|bytes| Block::decode(bytes).expect("a block")).collect();
    let ids = |block: &Block| block.transactions.iter().filter_map(|bytes| id_of(bytes)).collect::<Vec<_>>();
    let ids: Vec<Hash> = blocks[1..].iter().flat_map(ids).collect();
    let secrets = secrets(&blocks);
    let about = |class: Class| secrets.iter().filter(move |secret| secret.class == Some(class)).count();
    assert!(about(Class::Assets) > 20 && about(Class::Logs) > 10, "there is something to learn");
    let acts: Vec<&Secret> = secrets.iter().filter(|secret| secret.act).collect();
    assert!(acts.len() > 10, "of acts, too");
    let why = secrets.iter().filter(|secret| secret.what.starts_with("why"));
    let why: Vec<&Secret> = why.filter(|secret| secret.class == Some(Class::Assets)).collect();
    assert!(!why.is_empty(), "a transfer has failed");
    let keys: Vec<Vec<u8>> = vec![
        keyspace::balance(&address(1), "usd"),
        keyspace::asset("usd"),
        keyspace::asset("eur"),
        keyspace::instance("none"),
        keyspace::app("none"),
        keyspace::log("trace", 2, 0, 0),
        keyspace::log("trace", 0, 0, 0),
    ];

    let mut told = Vec::new();
    for (class, profile) in &readers {
        let reader = peer.connect(profile);
        let blocks = reader.blocks("trade", Default::default()).await;
        assert_eq!(blocks.is_ok(), class.is_none(), "blocks hold all classes");
        assert!(reader.encoded_blocks("trade", 0).await.is_err(), "whole ones hold acts, too");
        let mut given = gathered(&reader, "trade", tip, &keys, &ids).await;
        given.all.extend(&answers.all);
        let hidden = |secret: &&Secret| match class {
            Some(class) => secret.act || secret.class != Some(*class),
            None => secret.act,
        };
        let hidden: Vec<&Secret> = secrets.iter().filter(hidden).collect();
        told.extend(given.tells(&hidden).into_iter().map(|what| format!("{class:?}: {what}")));
        // Of what failed they have the proof, and why, if they read its class.
        let knows_why = why.iter().all(|secret| given.open.contains(&secret.bytes));
        assert_eq!(knows_why, class.is_none_or(|class| class == Class::Assets), "{class:?}");
        if class.is_none() {
            // It is told all amounts.
            continue;
        }
        told.extend(guessed(&given).map(|amount| format!("{class:?}: the amount is {amount}")));
        if *class == Some(Class::Logs) {
            // Whoever has the blocks, too, finds all that stands beside what this one was given.
            let windows = encoded.iter().flat_map(|block| block.windows(32));
            given.hiding.extend(windows.map(|window| <[u8; 32]>::try_from(window).expect("32 bytes")));
            let found = given.tells(&hidden);
            assert!(found.len() > 10, "the same means find what they can: {found:?}");
        }
    }
    assert!(told.is_empty(), "who reads one class alone learns of {told:#?}");
}

/// The amount that was sent from 1 to 2, by trying all.
fn guessed(given: &Given) -> Option<u128> {
    let (from, to) = (address(1), address(2));
    (1..=GUESSES).find(|amount| {
        let event = Event::AssetTransferred { asset: "usd".into(), from, to, amount: Amount(*amount) };
        given.has(&merkle::leaf_hash(&codec::encode(&event)))
    })
}
