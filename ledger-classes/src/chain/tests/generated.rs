//! One thing broken at a time at a random place of generated chains: with money that moves and fails to, timers, joint
//! accounts, configurations that change, and several who order. Each is refused with the reason of its rule, and no bit of a
//! block can be another one.

use super::breaks::{Bench, batch, placed};
use super::*;
use crate::execution::test_support::Ledger;
use crate::formats::block::{batch_root, transaction_leaves};
use crate::formats::config::{Approvals, Engine, OrderingPeer};
use crate::formats::rights::{Grant, Grantee, Right};
use crate::limits;
use crate::primitives::identity::Role;
use std::collections::BTreeMap;

/// Who may change the configuration alone.
const ADMIN: u8 = 7;
/// Who order, where several do: any two of them seal.
const ORDERERS: [u8; 3] = [ORDERER, 201, 202];
const CHAINS: u64 = 12;
const BLOCKS: u64 = 10;
/// Breaks of each block, and bits of it.
const BREAKS: u64 = 16;
const FLIPS: u64 = 6;

type Reasons = &'static [&'static str];
/// Breaks something at a random place. `None`: there is no such thing in this block.
type Break = fn(&mut Bench, &mut Random) -> Option<Reasons>;

fn below(random: &mut Random, bound: usize) -> usize {
    usize::try_from(random.below(bound.max(1) as u64)).expect("small")
}

fn flip(hash: &mut Hash, random: &mut Random) {
    hash.0[below(random, 32)] ^= 1 << random.below(8);
}

fn header(bench: &mut Bench, change: impl FnOnce(&mut Header)) {
    change(&mut bench.last.block.header);
    bench.reseal();
}

/// A place among the transactions.
fn place(bench: &Bench, random: &mut Random) -> Option<usize> {
    let count = bench.last.block.transactions.len();
    (count > 0).then(|| below(random, count))
}

/// Two places among them, ascending.
fn places(bench: &Bench, random: &mut Random) -> Option<(usize, usize)> {
    let count = bench.last.block.transactions.len();
    let first = below(random, count.checked_sub(1).filter(|last| *last > 0)?);
    Some((first, first + 1 + below(random, count - 1 - first)))
}

/// The header is that of the body again, if the body is one at all.
fn reroot(bench: &mut Bench) {
    if transaction_leaves(&bench.last.block.transactions).is_some() {
        bench.reroot();
    }
}

/// Puts a transaction in the place of another, or into an empty block, whatever the rules say.
fn put(bench: &mut Bench, random: &mut Random, one: VerifiedTransaction) {
    let (block, channel) = (&bench.last.block, bench.maker.channel());
    let mut all = verify_transactions(&block.transactions, channel, SEED, &mut KeyCache::default()).expect("verified");
    match place(bench, random) {
        Some(place) => all[place] = one,
        None => all.push(one),
    }
    bench.force_at(bench.last.block.header.time, &all);
}

fn envelope(bench: &mut Bench, random: &mut Random, change: impl FnOnce(&mut Envelope, &mut Random)) -> Option<()> {
    let place = place(bench, random)?;
    bench.body(|body| {
        let mut envelope: Envelope = codec::decode(&body[place], 1 << 20).expect("an envelope");
        change(&mut envelope, random);
        body[place] = codec::encode(&envelope);
    });
    reroot(bench);
    Some(())
}

fn signatures(bench: &mut Bench) -> &mut Vec<crate::formats::block::SealSignature> {
    let Seal::Quorum { signatures, .. } = &mut bench.last.block.seal else { panic!("a quorum") };
    signatures
}

/// Windows of a transaction that are over, or too far away.
fn at_another_time(bench: &mut Bench, random: &mut Random, valid_until: Time) -> Option<Reasons> {
    let transaction = Transaction { valid_until, ..bench.maker.transaction(vec![log(1)]) };
    let one = bench.maker.verified(Envelope::sign_binary(&transaction, &[&signer(1)]));
    put(bench, random, one);
    Some(&["outside-time-window"])
}

const ANYWHERE: &[(&str, Break)] = &[
    ("version", |bench, random| {
        let other = 2 + u16::try_from(random.below(60_000)).expect("small");
        header(bench, |header| header.version = other);
        Some(&["version"])
    }),
    ("channel", |bench, random| {
        header(bench, |header| flip(&mut header.channel, random));
        Some(&["other-channel"])
    }),
    ("height", |bench, random| {
        let by = 1 + random.below(3);
        let up = random.below(2) == 0;
        header(bench, |header| header.height = if up { header.height + by } else { header.height.saturating_sub(by) });
        Some(&["height"])
    }),
    ("previous", |bench, random| {
        let earlier = below(random, bench.blocks.len() + 1);
        match bench.blocks.iter().rev().nth(earlier + 1).map(|sealed| sealed.block.header.hash()) {
            Some(hash) => header(bench, |header| header.previous = hash),
            None => header(bench, |header| flip(&mut header.previous, random)),
        }
        Some(&["previous"])
    }),
    ("history root", |bench, random| {
        header(bench, |header| flip(&mut header.history_root, random));
        Some(&["history-root"])
    }),
    ("time", |bench, random| {
        let earlier = Time::from_millis(bench.parent().time.millis() - 1 - random.below(1_000));
        header(bench, |header| header.time = earlier);
        Some(&["time-goes-back"])
    }),
    ("configuration", |bench, random| {
        header(bench, |header| header.config_height ^= 1 << random.below(4));
        Some(&["config-height"])
    }),
    ("proposer", |bench, random| {
        let stranger = address(1 + u8::try_from(random.below(9)).expect("small"));
        header(bench, |header| header.proposer = stranger);
        Some(&["proposer"])
    }),
    ("transaction root", |bench, random| {
        header(bench, |header| flip(&mut header.transaction_root, random));
        Some(&["transaction-root"])
    }),
    ("number of transactions", |bench, random| {
        header(bench, |header| header.transactions ^= 1 << random.below(32));
        Some(&["transaction-count"])
    }),
    ("number of receipts", |bench, random| {
        header(bench, |header| header.receipts ^= 1 << random.below(32));
        Some(&["receipt-count"])
    }),
    ("receipt root", |bench, random| {
        header(bench, |header| flip(&mut header.receipt_root, random));
        Some(&["receipt-root"])
    }),
    ("writes root", |bench, random| {
        header(bench, |header| flip(&mut header.writes_root, random));
        Some(&["writes-root"])
    }),
    ("state root", |bench, random| {
        header(bench, |header| flip(&mut header.state_root, random));
        Some(&["state-root"])
    }),
    ("the state root of an earlier block", |bench, random| {
        let earlier = below(random, bench.blocks.len());
        let root = bench.blocks.get(earlier)?.block.header.state_root;
        header(bench, |header| header.state_root = root);
        Some(&["state-root"])
    }),
    ("who seals the next block", |bench, random| {
        header(bench, |header| flip(&mut header.orderers_root, random));
        Some(&["orderers-root"])
    }),
    ("batches", |bench, random| {
        match random.below(3) {
            0 => header(bench, |header| flip(&mut header.batch_root, random)),
            1 => header(bench, |header| header.batches ^= 1 << random.below(32)),
            _ => {
                bench.last.block.batches = vec![batch()];
                header(bench, |header| (header.batches, header.batch_root) = (1, batch_root(&[batch()])));
                return Some(&["unlisted-batch"]);
            }
        }
        Some(&["batch-root"])
    }),
    ("no seal", |bench, _| {
        bench.last.block.seal = Seal::Genesis {};
        Some(&["seal-kind"])
    }),
    ("a signature missing", |bench, random| {
        let least = if bench.several() { 2 } else { 1 };
        let count = signatures(bench).len();
        let gone = below(random, count);
        signatures(bench).remove(gone);
        while signatures(bench).len() >= least {
            signatures(bench).pop();
        }
        Some(&["seal-threshold"])
    }),
    ("a stranger's signature", |bench, random| {
        let mut signers = bench.signers.clone();
        signers.insert(below(random, signers.len() + 1), 9);
        bench.last.block.seal = placed(bench, 0, &signers);
        Some(&["seal-key"])
    }),
    ("a signature twice", |bench, random| {
        let mut signers = bench.signers.clone();
        let place = below(random, signers.len());
        signers.insert(place, signers[place]);
        bench.last.block.seal = placed(bench, 0, &signers);
        Some(&["seal-order"])
    }),
    ("signatures in another order", |bench, _| {
        if bench.signers.len() < 2 {
            return None;
        }
        signatures(bench).reverse();
        Some(&["seal-order"])
    }),
    ("a bit of a signature", |bench, random| {
        let count = signatures(bench).len();
        let (which, byte) = (below(random, count), below(random, 64));
        signatures(bench)[which].signature.0[byte] ^= 1 << random.below(8);
        Some(&["seal-signature", "seal-not-canonical"])
    }),
    ("the place of a seal", |bench, random| {
        let place = 1 + random.below(1_000);
        let signed = placed(bench, place, &bench.signers);
        if !bench.several() {
            bench.last.block.seal = signed;
            return Some(&["seal-place"]);
        }
        let Seal::Quorum { signatures, .. } = signed else { panic!("a quorum") };
        bench.last.block.seal = Seal::Quorum { place: place + 1, signatures };
        Some(&["seal-signature"])
    }),
    ("the seal of an earlier block", |bench, random| {
        let earlier = below(random, bench.blocks.len().max(1));
        bench.last.block.seal = bench.blocks.get(earlier)?.block.seal.clone();
        Some(&["seal-signature"])
    }),
    ("a transaction missing", |bench, random| {
        let gone = place(bench, random)?;
        bench.body(|body| drop(body.remove(gone)));
        Some(&["transaction-count"])
    }),
    ("a transaction missing, in the header too", |bench, random| {
        let gone = place(bench, random)?;
        bench.body(|body| drop(body.remove(gone)));
        bench.reroot();
        Some(&["receipt-count", "empty"])
    }),
    ("the order of transactions", |bench, random| {
        let (one, other) = places(bench, random)?;
        bench.body(|body| body.swap(one, other));
        Some(&["transaction-root"])
    }),
    ("the order of transactions, in the header too", |bench, random| {
        let (one, other) = places(bench, random)?;
        bench.body(|body| body.swap(one, other));
        bench.reroot();
        Some(&["receipt-root"])
    }),
    ("a transaction twice", |bench, random| {
        let again = place(bench, random)?;
        let at = below(random, bench.last.block.transactions.len() + 1);
        bench.body(|body| body.insert(at, body[again].clone()));
        bench.reroot();
        Some(&["duplicate", "too-many-transactions", "too-many-bytes"])
    }),
    ("a transaction of an earlier block", |bench, random| {
        let earlier = below(random, bench.blocks.len().max(1));
        let earlier = &bench.blocks.get(earlier)?.block.transactions;
        let again = earlier.get(below(random, earlier.len().max(1)))?.clone();
        let at = place(bench, random)?;
        bench.body(|body| body[at] = again);
        bench.reroot();
        // Nobody need know an id any more whose time is over.
        Some(&["duplicate", "outside-time-window", "too-many-bytes"])
    }),
    ("a bit of an envelope", |bench, random| {
        let at = place(bench, random)?;
        bench.body(|body| {
            let byte = below(random, body[at].len());
            body[at][byte] ^= 1 << random.below(8);
        });
        reroot(bench);
        Some(&[
            "transaction-malformed",
            "transaction-unknown-action",
            "transaction-oversize",
            "transaction-of-other-channel",
            "transaction-signers",
            "transaction-signature",
        ])
    }),
    ("another's signature", |bench, random| {
        envelope(bench, random, |envelope, random| {
            let which = below(random, envelope.signatures.len());
            envelope.signatures[which].signature = signer(99).sign(&envelope.message());
        })?;
        Some(&["transaction-signature"])
    }),
    ("signers", |bench, random| {
        envelope(bench, random, |envelope, random| match random.below(2) {
            0 => envelope.signatures.clear(),
            _ => envelope.signatures.push(envelope.signatures[0].clone()),
        })?;
        Some(&["transaction-signers"])
    }),
    ("a transaction after its time", |bench, random| {
        let until = Time::from_millis(bench.last.block.header.time.millis() - 1 - random.below(100));
        at_another_time(bench, random, until)
    }),
    ("a transaction before its time", |bench, random| {
        let until = bench.last.block.header.time.plus_millis(limits::VALIDITY_MS_MAX + 1 + random.below(100));
        at_another_time(bench, random, until)
    }),
    ("too many actions", |bench, random| {
        let transaction = bench.maker.transaction(vec![log(1); 5]);
        let one = bench.maker.verified(Envelope::sign_binary(&transaction, &[&signer(1)]));
        put(bench, random, one);
        Some(&["too-many-actions"])
    }),
    ("a payload too large", |bench, random| {
        let mut payload = serde_json::to_vec(&bench.maker.transaction(vec![log(1)])).expect("serializes");
        payload.resize(96 * 1024 + 1 + below(random, 100), b' ');
        let one = bench.maker.verified(Envelope::sign(Encoding::Json, payload, &[&signer(1)]));
        put(bench, random, one);
        Some(&["payload-too-large", "too-many-bytes"])
    }),
    ("too many transactions", |bench, random| {
        let count = 33 + below(random, 5);
        let all: Vec<VerifiedTransaction> = (0..count).map(|_| bench.signed(|one| one)).collect();
        bench.force(&all);
        Some(&["too-many-transactions"])
    }),
    ("what leaves nothing when it fails", |bench, random| {
        let transaction = bench.maker.transaction(vec![admission()]);
        let one = bench.maker.verified(Envelope::sign_binary(&transaction, &[&signer(1)]));
        put(bench, random, one);
        Some(&["must-not-stay"])
    }),
    ("nothing done", |bench, _| {
        if bench.last.receipts.len() > bench.last.block.transactions.len() {
            return None;
        }
        bench.force_at(bench.last.block.header.time, &[]);
        Some(&["empty"])
    }),
    ("the blinding seed", |bench, random| {
        if random.below(2) == 0 {
            bench.last.block.seed = BlindingSeed::GENESIS;
            return Some(&["blinding-seed"]);
        }
        bench.last.block.seed = BlindingSeed::new([3 + u8::try_from(random.below(200)).expect("small"); 32]);
        Some(&["receipt-root"])
    }),
    ("a receipt", |bench, random| {
        let count = bench.last.receipts.len();
        let which = below(random, count);
        match random.below(5) {
            0 => drop(bench.last.receipts.remove(which)),
            1 => bench.last.receipts.insert(which, bench.last.receipts[which].clone()),
            2 => flip(&mut bench.last.receipts[which].head.id, random),
            3 => bench.last.receipts[which].head.code ^= 1 << random.below(16),
            _ => {
                let events = &mut bench.last.receipts[which].events;
                let event = below(random, events.len().max(1));
                let event = events.get_mut(event)?;
                let byte = below(random, event.len());
                event[byte] ^= 1 << random.below(8);
            }
        }
        Some(&["receipt"])
    }),
    ("another orderer's block", |bench, random| {
        // Who orders may propose, and the block is another one then.
        let other = ORDERERS.into_iter().find(|one| *one != bench.maker.orderer).filter(|_| bench.several())?;
        let unsigned = random.below(2) == 0;
        bench.last.block.header.proposer = address(other);
        if unsigned {
            return Some(&["seal-signature"]);
        }
        bench.last.block.seal = placed(bench, 0, &[other]);
        Some(&["seal-threshold"])
    }),
];

impl Bench {
    fn several(&self) -> bool {
        crate::execution::config_of(&self.maker.state).expect("memory does not fail").config.peers.len() > 1
    }

    /// Signs blocks as those who order do: any two of several.
    fn takes_turns(&mut self, random: &mut Random) {
        if self.several() {
            let sets: [&[u8]; 4] = [&ORDERERS[..2], &ORDERERS[1..], &[ORDERERS[0], ORDERERS[2]], &ORDERERS];
            self.signers = sets[below(random, 4)].to_vec();
            self.maker.orderer = ORDERERS[below(random, 3)];
        }
    }
}

/// A chain whose administrator is there, and which one peer orders, or several: past all rules, since these come with the next
/// number of them.
fn begun(several: bool) -> Bench {
    let grant = Grant { to: Grantee::Organization("alpha".into()), rights: [Right::Admin].into_iter().collect() };
    let mut maker = Maker::new(&ChannelConfig { grants: vec![grant], ..config() });
    let identity = Identity::new("test.example", "alpha", Role::Admin, "ann").expect("an identity");
    let mut ledger = Ledger::new();
    ledger.state = std::mem::take(&mut maker.state);
    ledger.admit(ADMIN, &identity);
    maker.state = ledger.state;
    if several {
        let mut record = crate::execution::config_of(&maker.state).expect("memory does not fail");
        let peer = record.config.peers[0].clone();
        let with_key = |number: u8| OrderingPeer { key: signer(number).public(), ..peer.clone() };
        (record.config.engine, record.config.threshold) = (Engine::Raft, 2);
        record.config.peers = ORDERERS.map(with_key).to_vec();
        let key = keyspace::config_at(record.height);
        maker.state.apply(&Writes::from([(key, Some(record::to_value(&record)))]));
        maker.history.set_orderers_root(record.config.orderers().root());
    }
    let last = Sealed { block: genesis(&config()).expect("valid").0, receipts: Vec::new() };
    Bench { maker, blocks: Vec::new(), last, signers: vec![ORDERER] }
}

/// A change of the configuration, which an administrator makes alone.
fn change(maker: &Maker, random: &mut Random) -> Action {
    let config = crate::execution::config_of(&maker.state).expect("memory does not fail").config;
    let change = match random.below(3) {
        0 => {
            let weight = 1 + u32::try_from(random.below(5)).expect("small");
            let peers = vec![OrderingPeer { weight, ..config.peers[0].clone() }];
            ConfigChange::SetPeers { peers, threshold: weight.into() }
        }
        1 => {
            let block_transactions_max = 16 + u32::try_from(random.below(16)).expect("small");
            ConfigChange::SetLimits(Limits { block_transactions_max, ..config.limits })
        }
        _ => ConfigChange::SetApprovals { approvals: [Approvals::Any, Approvals::All][below(random, 2)] },
    };
    Action::ChannelPropose(channel::Propose { changes: vec![change], reason: String::new() })
}

/// What may be offered for the next block.
fn offered(maker: &mut Maker, random: &mut Random, before: &mut Vec<VerifiedTransaction>) -> Vec<VerifiedTransaction> {
    let mut all = Vec::new();
    if before.is_empty() {
        let envelope = maker.envelope(&[1], vec![define(), mint(1, 1_000), mint(2, 500)]);
        all.push(maker.verified(envelope));
    }
    for _ in 0..1 + random.below(8) {
        all.push(offer(maker, random, before));
    }
    if random.below(3) == 0 {
        let action = change(maker, random);
        let envelope = maker.envelope(&[ADMIN], vec![action]);
        all.push(maker.verified(envelope));
    }
    if random.below(3) == 0 {
        let keys = [2, 3].map(|number| signer(number).public()).to_vec();
        let joint = Action::AccountCreate(assets::AccountCreate { keys, threshold: 2 });
        let envelope = maker.envelope(&[2, 3], vec![joint, log(below(random, 40))]);
        all.push(maker.verified(envelope));
    }
    before.extend(all.iter().cloned());
    all
}

/// What the generated chains had.
#[derive(Debug, Default)]
struct Had {
    blocks: u64,
    timers: usize,
    failed: usize,
    changes: usize,
    joint: usize,
    several: u64,
}

impl Had {
    fn add(&mut self, bench: &Bench, executed: &ExecutedBlock) {
        self.blocks += 1;
        self.timers += executed.receipts.len() - executed.ids.len();
        self.failed += executed.receipts.iter().filter(|receipt| receipt.head.code != 0).count();
        self.changes += usize::from(executed.config.is_some());
        let envelopes = executed.envelopes.iter();
        let signers = envelopes.map(|bytes| codec::decode::<Envelope>(bytes, 1 << 20).expect("ours").signatures.len());
        self.joint += signers.filter(|signers| *signers > 1).count();
        self.several += u64::from(bench.several());
    }
}

#[test]
fn one_thing_broken_anywhere_in_a_generated_chain_is_refused_with_the_reason_of_its_rule() {
    let (mut had, mut broken, mut wrong) = (Had::default(), BTreeMap::<&str, u64>::new(), Vec::new());
    for seed in 0..CHAINS {
        let mut random = Random(seed);
        let mut bench = begun(seed % 3 == 0);
        let mut before = Vec::new();
        for _ in 0..BLOCKS {
            if random.below(3) == 0 {
                let (due, instance, timer) = (bench.maker.time(), "none".to_owned(), "t".to_owned());
                let key = keyspace::timer(due, &instance, &timer);
                let value = record::to_value(&Timer { due, instance, timer });
                bench.maker.state.apply(&Writes::from([(key, Some(value))]));
            }
            bench.takes_turns(&mut random);
            let all = offered(&mut bench.maker, &mut random, &mut before);
            let Some(block) = bench.maker.draft(random.below(20), all).block else { continue };
            bench.last = Sealed::of(&block);
            bench.reseal();
            assert!(bench.maker.check(&bench.last).is_ok(), "seed {seed}: it is valid before it is broken");
            had.add(&bench, &block);
            for _ in 0..BREAKS {
                let (what, change) = ANYWHERE[below(&mut random, ANYWHERE.len())];
                let mut other = bench.clone();
                let Some(reasons) = change(&mut other, &mut random) else { continue };
                let (height, invalid) = (block.header.height, other.refused());
                if !reasons.contains(&invalid.name()) {
                    wrong.push(format!("seed {seed}, block {height}, {what}: {}: {invalid}", invalid.name()));
                }
                *broken.entry(what).or_default() += 1;
            }
            for _ in 0..FLIPS {
                let mut bytes = codec::encode(&bench.last.block);
                let bit = below(&mut random, 8 * bytes.len());
                bytes[bit / 8] ^= 1 << (bit % 8);
                let Ok(block) = crate::chain::decode(&bytes) else { continue };
                let other = Sealed { block, receipts: bench.last.receipts.clone() };
                assert!(bench.maker.check(&other).is_err(), "seed {seed}: with another bit {bit} it is another block");
            }
            bench.maker.take(&bench.last);
            bench.blocks.push(bench.last.clone());
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let Had { blocks, timers, failed, changes, joint, several } = had;
    assert!(blocks > 80 && timers > 15 && failed > 40 && changes > 5 && joint > 15 && several > 25, "{had:?}");
    let never: Vec<&str> = ANYWHERE.iter().map(|(what, _)| *what).filter(|what| !broken.contains_key(what)).collect();
    assert!(never.is_empty(), "never broken: {never:?}");
    println!("{had:?}, {} breaks: {broken:?}", broken.values().sum::<u64>());
}
