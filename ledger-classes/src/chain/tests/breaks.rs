//! One thing broken at a time in the last block of a valid chain, everything else as its proposer would make it: header and
//! seal fit what is in it. Each is refused with its own reason, by the function that all go through.

use super::{Maker, ORDERER, SEED, Sealed, admission, chain, forced, log, seal_of};
use crate::action::Action;
use crate::chain::{ExecutionError, Given, Invalid, Parent, check, genesis, verify_transactions};
use crate::execution::test_support::{address, signer};
use crate::formats::blinding::BlindingSeed;
use crate::formats::block::{Batch, Seal, SealSignature, WitnessedBatch, batch_root, seal_message, transaction_leaves};
use crate::formats::transaction::{Encoding, Envelope, Transaction, VerifiedTransaction};
use crate::keys::KeyCache;
use crate::limits;
use crate::merkle;
use crate::primitives::amount::Amount;
use crate::primitives::codec;
use crate::primitives::hash::Hash;
use crate::primitives::time::Time;
use crate::state::participant::NoCertificates;
use crate::state::tree::NoPages;
use std::collections::BTreeSet;

/// The chain below the last block, all valid blocks, and what is broken: the last one.
#[derive(Clone)]
pub(super) struct Bench {
    pub(super) maker: Maker,
    pub(super) blocks: Vec<Sealed>,
    pub(super) last: Sealed,
    /// Who seals it, in the order of the record.
    pub(super) signers: Vec<u8>,
}

impl Bench {
    pub(super) fn new() -> Self {
        let (_, mut blocks) = chain();
        let last = blocks.pop().expect("five blocks");
        let mut maker = Maker::new(&super::config());
        blocks.iter().for_each(|sealed| maker.take(sealed));
        // Another nonce than those of the last block have.
        maker.nonce = 1_000;
        Self { maker, blocks, last, signers: vec![ORDERER] }
    }

    pub(super) fn parent(&self) -> Parent {
        *self.maker.history.last().expect("genesis")
    }

    /// The seal fits the header again.
    pub(super) fn reseal(&mut self) {
        self.last.block.seal = placed(self, 0, &self.signers);
    }

    /// Number and root of the transactions fit the body again.
    pub(super) fn reroot(&mut self) {
        let (block, count) = (&mut self.last.block, |number: usize| u32::try_from(number).expect("few"));
        block.header.transactions = count(block.transactions.len());
        let leaves = transaction_leaves(&block.transactions).expect("they begin as envelopes do");
        block.header.transaction_root = merkle::root(&leaves);
        self.reseal();
    }

    /// Changes the body.
    pub(super) fn body(&mut self, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
        let mut transactions = self.last.block.transactions.to_vec();
        change(&mut transactions);
        self.last.block.transactions = transactions.into();
    }

    /// Puts one envelope in place of the first, which its signer may not have made so.
    pub(super) fn envelope(&mut self, change: impl FnOnce(&mut Envelope)) {
        self.body(|transactions| {
            let mut envelope: Envelope = codec::decode(&transactions[0], 1 << 20).expect("an envelope");
            change(&mut envelope);
            transactions[0] = codec::encode(&envelope);
        });
        self.reroot();
    }

    /// A transaction for the next block, signed by 1.
    pub(super) fn signed(&mut self, change: impl FnOnce(Transaction) -> Transaction) -> VerifiedTransaction {
        let transaction = change(self.maker.transaction(vec![log(1)]));
        self.maker.verified(Envelope::sign_binary(&transaction, &[&signer(1)]))
    }

    /// A block of these, whatever the rules say.
    pub(super) fn force(&mut self, transactions: &[VerifiedTransaction]) {
        let time = self.parent().time.plus_millis(7);
        self.force_at(time, transactions);
    }

    pub(super) fn force_at(&mut self, time: Time, transactions: &[VerifiedTransaction]) {
        let above = self.maker.history.above(&self.maker.state, &NoPages, &NoCertificates).expect("genesis");
        let (block, receipts) = forced(&above, time, transactions);
        self.last = Sealed { block, receipts };
        self.last.block.header.proposer = address(self.maker.orderer);
        self.reseal();
    }

    fn force_actions(&mut self, count: usize, actions: &[Action]) {
        let transactions: Vec<VerifiedTransaction> =
            (0..count).map(|_| self.signed(|one| Transaction { actions: actions.to_vec(), ..one })).collect();
        self.force(&transactions);
    }

    /// Why it is refused by a walk from genesis, and by a follower who has verified its transactions.
    pub(super) fn refused(&self) -> Invalid {
        let Err(ExecutionError::Invalid(walked)) = self.maker.check(&self.last) else { panic!("it is accepted") };
        let Sealed { block, receipts } = &self.last;
        let above = self.maker.history.above(&self.maker.state, &NoPages, &NoCertificates);
        let keys = &mut KeyCache::default();
        let verified = verify_transactions(&block.transactions, self.maker.channel(), SEED, keys);
        if let (Some(above), Ok(transactions)) = (above, verified) {
            let (header, seal, batches) = (&block.header, Some(&block.seal), block.batches.as_slice());
            let (seed, receipts) = (block.seed, Some(receipts.as_slice()));
            let followed = check(&above, Given { header, seed, seal, batches, transactions, receipts }, keys);
            assert_eq!(followed, Err(ExecutionError::Invalid(walked)));
        }
        walked
    }
}

type Break = fn(&mut Bench);

/// What is broken, how, and the reason's name.
const BREAKS: &[(&str, Break, &str)] = &[
    ("another version", |bench| header(bench, |header| header.version = 2), "version"),
    ("another channel", |bench| header(bench, |header| header.channel = Hash([9; 32])), "other-channel"),
    ("a height too high", |bench| header(bench, |header| header.height += 1), "height"),
    ("the parent's height", |bench| header(bench, |header| header.height -= 1), "height"),
    ("another block before", |bench| header(bench, |header| header.previous = Hash([9; 32])), "previous"),
    (
        "a block that was before",
        |bench| {
            let earlier = bench.blocks[2].block.header.hash();
            header(bench, |header| header.previous = earlier);
        },
        "previous",
    ),
    ("another history", |bench| header(bench, |header| header.history_root = Hash([9; 32])), "history-root"),
    (
        "time before the parent's",
        |bench| {
            let earlier = Time::from_millis(bench.parent().time.millis() - 1);
            bench.force_at(earlier, &[]);
            header(bench, |_| {});
        },
        "time-goes-back",
    ),
    (
        "a proposer who does not order",
        |bench| {
            bench.last.block.header.proposer = address(1);
            bench.last.block.seal = seal_of(&bench.last.block.header, 1);
        },
        "proposer",
    ),
    ("a foreign seal", |bench| bench.last.block.seal = seal_of(&bench.last.block.header, 1), "seal-key"),
    ("no seal", |bench| bench.last.block.seal = Seal::Genesis {}, "seal-kind"),
    ("a seal with a term", |bench| bench.last.block.seal = placed(bench, 1, &[ORDERER]), "seal-place"),
    (
        "a seal whose place is not the signed one",
        |bench| {
            let Seal::Quorum { signatures, .. } = placed(bench, 1, &[ORDERER]) else { panic!("a quorum") };
            bench.last.block.seal = Seal::Quorum { place: 0, signatures };
        },
        "seal-signature",
    ),
    ("a seal without signatures", |bench| bench.last.block.seal = placed(bench, 0, &[]), "seal-threshold"),
    ("one peer's signature twice", |bench| bench.last.block.seal = placed(bench, 0, &[ORDERER; 2]), "seal-order"),
    ("a stranger's beside it", |bench| bench.last.block.seal = placed(bench, 0, &[ORDERER, 1]), "seal-key"),
    (
        "a seal that is not canonical",
        |bench| first_signature(bench, |signature| signature[63] |= 0xf0),
        "seal-not-canonical",
    ),
    (
        "a seal whose R is of small order",
        |bench| first_signature(bench, |signature| signature[..32].fill(0)),
        "seal-not-canonical",
    ),
    ("the seal of another block", |bench| bench.last.block.seal = bench.blocks[0].block.seal.clone(), "seal-signature"),
    (
        "a signature of a seal with another bit",
        |bench| first_signature(bench, |signature| signature[40] ^= 1),
        "seal-signature",
    ),
    ("a transaction dropped", |bench| bench.body(|body| drop(body.pop())), "transaction-count"),
    (
        "a transaction dropped, from the header too",
        |bench| {
            bench.body(|body| drop(body.pop()));
            bench.reroot();
        },
        "receipt-count",
    ),
    (
        "a transaction dropped, with its receipt",
        |bench| {
            bench.body(|body| drop(body.pop()));
            bench.last.receipts.pop();
            bench.last.block.header.receipts -= 1;
            bench.reroot();
        },
        "receipt-root",
    ),
    ("transactions in another order", |bench| bench.body(|body| body.swap(0, 1)), "transaction-root"),
    (
        "transactions in another order, in the header too",
        |bench| {
            bench.body(|body| body.swap(0, 1));
            bench.reroot();
        },
        "receipt-root",
    ),
    (
        "a transaction of somebody else's block",
        |bench| {
            let other = bench.blocks[1].block.transactions[0].clone();
            bench.body(|body| body[0] = other);
        },
        "transaction-root",
    ),
    ("another transaction root", |bench| header(bench, |header| header.transaction_root.0[0] ^= 1), "transaction-root"),
    ("another number", |bench| header(bench, |header| header.transactions += 1), "transaction-count"),
    (
        "the tree over envelopes alone",
        |bench| {
            let leaves: Vec<Hash> =
                bench.last.block.transactions.iter().map(|envelope| merkle::leaf_hash(envelope)).collect();
            header(bench, |header| header.transaction_root = merkle::root(&leaves));
        },
        "transaction-root",
    ),
    (
        "a leaf with another id",
        |bench| {
            let transactions = bench.last.block.transactions.clone();
            let leaf = |envelope: &Vec<u8>| crate::formats::transaction::leaf(&Hash([9; 32]), envelope);
            let leaves: Vec<Hash> = transactions.iter().map(leaf).collect();
            header(bench, |header| header.transaction_root = merkle::root(&leaves));
        },
        "transaction-root",
    ),
    (
        "an unlisted batch",
        |bench| {
            bench.last.block.batches = vec![batch()];
            header(bench, |header| (header.batches, header.batch_root) = (1, batch_root(&[batch()])));
        },
        "unlisted-batch",
    ),
    ("a batch beside the header", |bench| bench.last.block.batches = vec![batch()], "unlisted-batch"),
    ("the root of a batch", |bench| header(bench, |header| header.batch_root = batch_root(&[batch()])), "batch-root"),
    ("a number of batches", |bench| header(bench, |header| header.batches = 1), "batch-root"),
    (
        "others may seal the next block",
        |bench| {
            let mut config = super::config();
            config.peers[0].key = signer(1).public();
            header(bench, |header| header.orderers_root = config.orderers().root());
        },
        "orderers-root",
    ),
    ("another orderers root", |bench| header(bench, |header| header.orderers_root.0[0] ^= 1), "orderers-root"),
    ("one transaction too many", |bench| bench.force_actions(17, &[log(1)]), "too-many-transactions"),
    (
        "too many bytes",
        |bench| bench.force_actions(2, &[log(16_000), log(16_000), log(16_000), log(5_000)]),
        "too-many-bytes",
    ),
    (
        "a payload too large for the channel",
        |bench| {
            let mut payload = serde_json::to_vec(&bench.maker.transaction(vec![log(1)])).expect("serializes");
            payload.resize(96 * 1024 + 1, b' ');
            let one = bench.maker.verified(Envelope::sign(Encoding::Json, payload, &[&signer(1)]));
            bench.force(&[one]);
        },
        "payload-too-large",
    ),
    (
        "an action too many",
        |bench| bench.force_actions(1, &[log(1), log(2), log(3), log(4), log(5)]),
        "too-many-actions",
    ),
    (
        "an id of an earlier block",
        |bench| {
            let earlier: Envelope = codec::decode(&bench.blocks[1].block.transactions[0], 1 << 20).expect("decodes");
            let one = bench.maker.verified(earlier);
            bench.force(&[one]);
        },
        "duplicate",
    ),
    (
        "an id twice",
        |bench| {
            let one = bench.signed(|one| one);
            bench.force(&[one.clone(), one]);
        },
        "duplicate",
    ),
    (
        "a transaction after its time",
        |bench| {
            let until = bench.parent().time.plus_millis(6);
            let one = bench.signed(|one| Transaction { valid_until: until, ..one });
            bench.force(&[one]);
        },
        "outside-time-window",
    ),
    (
        "a transaction more than a day ahead",
        |bench| {
            let until = bench.parent().time.plus_millis(8 + limits::VALIDITY_MS_MAX);
            let one = bench.signed(|one| Transaction { valid_until: until, ..one });
            bench.force(&[one]);
        },
        "outside-time-window",
    ),
    (
        "a bad signature",
        |bench| bench.envelope(|envelope| envelope.signatures[0].signature.0[3] ^= 1),
        "transaction-signature",
    ),
    (
        "the signature of somebody else",
        |bench| {
            bench.envelope(|envelope| {
                envelope.signatures[0].signature = signer(9).sign(&envelope.message());
            });
        },
        "transaction-signature",
    ),
    ("no signature", |bench| bench.envelope(|envelope| envelope.signatures.clear()), "transaction-signers"),
    (
        "a signature twice",
        |bench| bench.envelope(|envelope| envelope.signatures.push(envelope.signatures[0].clone())),
        "transaction-signers",
    ),
    (
        "more signatures than any channel takes",
        |bench| bench.envelope(|envelope| envelope.signatures = vec![envelope.signatures[0].clone(); 33]),
        "transaction-oversize",
    ),
    (
        "a transaction for another channel",
        |bench| {
            let transaction = Transaction { channel: Hash([9; 32]), ..bench.maker.transaction(vec![log(1)]) };
            bench.envelope(|envelope| *envelope = Envelope::sign_binary(&transaction, &[&signer(1)]));
        },
        "transaction-of-other-channel",
    ),
    (
        "a byte behind an envelope",
        |bench| {
            bench.body(|body| body[0].push(0));
            bench.reroot();
        },
        "transaction-malformed",
    ),
    (
        "a payload that does not decode",
        |bench| bench.envelope(|envelope| *envelope = Envelope::sign(Encoding::Binary, vec![1, 2, 3], &[&signer(1)])),
        "transaction-malformed",
    ),
    (
        "an action of a later version",
        |bench| {
            let payload = serde_json::to_string(&bench.maker.transaction(vec![log(1)])).expect("serializes");
            let payload = payload.replace("log.append", "log.prepend").into_bytes();
            bench.envelope(|envelope| *envelope = Envelope::sign(Encoding::Json, payload, &[&signer(1)]));
        },
        "transaction-unknown-action",
    ),
    ("what leaves nothing when it fails", |bench| bench.force_actions(1, &[admission()]), "must-not-stay"),
    ("a block that does nothing", |bench| bench.force(&[]), "empty"),
    ("no blinding seed", |bench| bench.last.block.seed = BlindingSeed::GENESIS, "blinding-seed"),
    ("another blinding seed", |bench| bench.last.block.seed = BlindingSeed::new([9; 32]), "receipt-root"),
    (
        "hashes that are not blinded",
        |bench| {
            let leaves: Vec<Hash> =
                bench.last.receipts.iter().map(|one| merkle::leaf_hash(&codec::encode(&one.head))).collect();
            header(bench, |header| header.receipt_root = merkle::root(&leaves));
        },
        "receipt-root",
    ),
    ("another number of receipts", |bench| header(bench, |header| header.receipts += 1), "receipt-count"),
    ("another receipt root", |bench| header(bench, |header| header.receipt_root.0[0] ^= 1), "receipt-root"),
    ("another writes root", |bench| header(bench, |header| header.writes_root.0[0] ^= 1), "writes-root"),
    ("another state root", |bench| header(bench, |header| header.state_root.0[0] ^= 1), "state-root"),
    (
        "the state root of the block before",
        |bench| {
            let before = bench.blocks.last().map(|sealed| sealed.block.header.state_root).unwrap_or_default();
            header(bench, |header| header.state_root = before);
        },
        "state-root",
    ),
    ("the configuration of another height", |bench| header(bench, |header| header.config_height = 3), "config-height"),
    ("a changed receipt", |bench| bench.last.receipts[1].head.fee = Amount(1), "receipt"),
    ("a changed event", |bench| bench.last.receipts[0].events[0][0] ^= 1, "receipt"),
    ("a receipt missing", |bench| drop(bench.last.receipts.pop()), "receipt"),
    (
        "a receipt too many",
        |bench| {
            let one = bench.last.receipts[0].clone();
            bench.last.receipts.push(one);
        },
        "receipt",
    ),
    (
        "a genesis block that does not follow from its configuration",
        |bench| {
            bench.last = first();
            bench.maker.history = super::History::new();
            bench.last.block.header.writes_root.0[0] ^= 1;
        },
        "genesis-differs",
    ),
    (
        "a genesis block with a blinding seed",
        |bench| {
            bench.last = first();
            bench.maker.history = super::History::new();
            bench.last.block.seed = BlindingSeed::new([9; 32]);
        },
        "genesis-malformed",
    ),
    (
        "a genesis block that is sealed",
        |bench| {
            bench.last = first();
            bench.maker.history = super::History::new();
            bench.reseal();
        },
        "genesis-differs",
    ),
    (
        "a genesis block without a configuration",
        |bench| {
            bench.last = first();
            bench.maker.history = super::History::new();
            bench.body(|body| body[0].truncate(40));
        },
        "genesis-malformed",
    ),
    ("a chain that does not begin with its genesis", |bench| bench.maker.history = super::History::new(), "height"),
    ("a second genesis", |bench| bench.last = first(), "other-channel"),
];

fn first() -> Sealed {
    Sealed { block: genesis(&super::config()).expect("valid").0, receipts: Vec::new() }
}

pub(super) fn batch() -> WitnessedBatch {
    let batch = Batch { origin: address(ORDERER), number: 1, count: 1, digest: Hash([1; 32]) };
    WitnessedBatch { batch, leaves: Vec::new(), witnesses: Vec::new() }
}

/// The seal of these at a place.
pub(super) fn placed(bench: &Bench, place: u64, numbers: &[u8]) -> Seal {
    let message = seal_message(&bench.last.block.header.hash(), place);
    let signed = |number: &u8| {
        let key = signer(*number);
        SealSignature { key: key.public(), signature: key.sign(&message) }
    };
    Seal::Quorum { place, signatures: numbers.iter().map(signed).collect() }
}

fn first_signature(bench: &mut Bench, change: impl FnOnce(&mut [u8; 64])) {
    let Seal::Quorum { signatures, .. } = &mut bench.last.block.seal else { panic!("a quorum") };
    change(&mut signatures[0].signature.0);
}

/// Changes the header and seals it.
fn header(bench: &mut Bench, change: impl FnOnce(&mut crate::formats::block::Header)) {
    change(&mut bench.last.block.header);
    bench.reseal();
}

#[test]
fn whatever_one_thing_is_broken_the_block_is_refused_with_the_reason_of_its_rule() {
    let mut met = BTreeSet::new();
    for (what, change, reason) in BREAKS {
        let mut bench = Bench::new();
        assert!(bench.maker.check(&bench.last).is_ok(), "the block is valid before it is broken");
        change(&mut bench);
        let invalid = bench.refused();
        assert_eq!(invalid.name(), *reason, "{what}: {invalid}");
        met.insert(invalid.number());
    }
    let left: Vec<&str> =
        Invalid::ALL.iter().filter(|(number, _)| !met.contains(number)).map(|(_, name)| *name).collect();
    // Bytes are decoded before; the budget takes a state of its own (`execution/budget_tests.rs`); a record of who orders
    // comes with a proof (`formats/proof/tests.rs`), and is that of the state here.
    // Rules of a later build take such a state, too, and actions of theirs are not there yet (`rules.rs`).
    let elsewhere = ["malformed", "unknown-rules", "orderers", "budget-used", "transaction-ahead-of-rules"];
    // So do policies of witnesses (`witnesses.rs`).
    let elsewhere: Vec<_> = elsewhere.into_iter().chain(super::witnesses::REASONS).collect();
    assert_eq!(left, elsewhere, "every rule is broken once");
}

/// Each alone is within its limit.
#[test]
fn a_block_at_each_limit_is_valid() {
    let mut bench = Bench::new();
    bench.force_actions(16, &[log(1), log(2), log(3), log(4)]);
    assert!(bench.maker.check(&bench.last).is_ok());
    let time = bench.parent().time;
    let ends = [time, time.plus_millis(limits::VALIDITY_MS_MAX)];
    let transactions = ends.map(|valid_until| bench.signed(|one| Transaction { valid_until, ..one }));
    bench.force_at(time, &transactions);
    assert!(bench.maker.check(&bench.last).is_ok(), "at the parent's time, and at both ends of a time window");
    let mut payload = serde_json::to_vec(&bench.maker.transaction(vec![log(1)])).expect("serializes");
    payload.resize(96 * 1024, b' ');
    let one = bench.maker.verified(Envelope::sign(Encoding::Json, payload, &[&signer(1)]));
    bench.force(&[one]);
    assert!(bench.maker.check(&bench.last).is_ok());
}
