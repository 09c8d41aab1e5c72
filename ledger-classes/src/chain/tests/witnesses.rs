//! The policies of witnesses, and their breaks by name.

use super::*;
use crate::formats::block::{Batch, WitnessedBatch, batch_root};
use crate::formats::config::{OrderingPeer, Witnesses};
use crate::keys::SigningKey;
use crate::merkle;

/// What can be wrong of witnesses, in the order of the numbers.
pub(super) const REASONS: [&str; 9] = [
    "too-many-batches",
    "batch-digest",
    "batch-order",
    "batch-idle",
    "batch-origin",
    "witness-key",
    "witness-threshold",
    "witness-signature",
    "unwitnessed",
];

/// Keys of those who order.
const ORDERERS: [u8; 3] = [ORDERER, 201, 202];

/// A channel that three order, of whom two seal, under a policy.
fn under(policy: Witnesses) -> (Maker, Vec<VerifiedTransaction>) {
    let (mut maker, _) = chain();
    let mut record = crate::execution::config_of(&maker.state).expect("memory does not fail");
    let peer = record.config.peers[0].clone();
    let with_key = |number: u8| OrderingPeer { key: signer(number).public(), ..peer.clone() };
    record.config.peers = ORDERERS.map(with_key).to_vec();
    record.config.threshold = 2;
    record.config.witnesses = policy;
    let key = keyspace::config_at(record.height);
    maker.state.apply(&Writes::from([(key, Some(record::to_value(&record)))]));
    let offered = (1..=4).map(|number| {
        let envelope = maker.envelope(&[1], vec![log(number)]);
        maker.verified(envelope)
    });
    let offered = offered.collect();
    (maker, offered)
}

fn batch(channel: &Hash, origin: u8, number: u64, of: &[&VerifiedTransaction], witnesses: &[u8]) -> WitnessedBatch {
    let leaves: Vec<Hash> = of.iter().map(|one| one.leaf()).collect();
    let batch = Batch::of(address(origin), number, &leaves);
    let witnesses = witnesses.iter().map(|number| batch.witness(&signer(*number), channel)).collect();
    WitnessedBatch { batch, leaves, witnesses }
}

/// Three transactions in two batches, of which one holds something that is in no block.
fn batches(channel: &Hash, offered: &[VerifiedTransaction], witnesses: &[u8]) -> Vec<WitnessedBatch> {
    let [one, two, three, elsewhere] = offered else { panic!("four are offered") };
    // By address: whose is the lower comes first.
    let mut batches = vec![
        batch(channel, ORDERER, 7, &[one, elsewhere], witnesses),
        batch(channel, 201, 3, &[two, three], witnesses),
    ];
    batches.sort_by_key(|listed| listed.batch.origin);
    batches
}

fn drafted(
    maker: &Maker,
    transactions: &[VerifiedTransaction],
    batches: Vec<WitnessedBatch>,
) -> Result<ExecutedBlock, ExecutionError> {
    let above = maker.history.above(&maker.state, &NoPages, &NoCertificates).expect("genesis");
    let (proposer, time, transactions) = (address(ORDERER), maker.time(), transactions.to_vec());
    let made = draft(&above, Draft { proposer, time, seed: DRAWN, transactions, batches });
    made.map(|made| made.block.expect("something is offered"))
}

/// What a follower says of a block with these batches under its header.
fn verdict(
    maker: &Maker,
    block: &ExecutedBlock,
    transactions: &[VerifiedTransaction],
    batches: &[WitnessedBatch],
) -> Result<ExecutedBlock, &'static str> {
    let above = maker.history.above(&maker.state, &NoPages, &NoCertificates).expect("genesis");
    let (count, root) = (u32::try_from(batches.len()).expect("few"), batch_root(batches));
    let header = &Header { batches: count, batch_root: root, ..block.header.clone() };
    let transactions = transactions.to_vec();
    let given = Given { header, seed: DRAWN, seal: None, batches, transactions, receipts: None };
    check(&above, given, &mut KeyCache::default()).map_err(|error| match error {
        ExecutionError::Invalid(reason) => reason.name(),
        error => panic!("{error}"),
    })
}

#[test]
fn a_block_lists_the_batches_of_its_transactions_with_as_many_witnesses_as_the_policy_asks_for() {
    for (policy, witnesses, good) in [
        (Witnesses::Quorum, &ORDERERS[..2], true),
        (Witnesses::Quorum, &ORDERERS, true),
        (Witnesses::All, &ORDERERS, true),
        (Witnesses::All, &ORDERERS[..2], false),
    ] {
        let (maker, offered) = under(policy);
        let channel = maker.channel();
        let listed = batches(&channel, &offered, witnesses);
        // One that has nothing in the block is not listed.
        let mut given = listed.clone();
        given.insert(0, batch(&channel, 202, 1, &[&offered[3]], &ORDERERS));
        let made = drafted(&maker, &offered[..3], given);
        match good {
            true => {
                let block = made.expect("it is witnessed");
                assert_eq!((&block.batches, block.header.batches), (&listed, 2));
                assert_eq!(verdict(&maker, &block, &offered[..3], &listed).as_ref(), Ok(&block));
                let sealed = block.with_seal(Seal::Genesis {});
                assert_eq!(Block::decode(&codec::encode(&sealed)).expect("one form"), sealed);
                assert_eq!(sealed.check_body(), Ok(()));
            }
            false => {
                let Err(ExecutionError::Invalid(reason)) = made else { panic!("{policy:?} with {witnesses:?}") };
                assert_eq!(reason.name(), "witness-threshold");
            }
        }
    }
    let (maker, offered) = under(Witnesses::Own);
    let block = drafted(&maker, &offered[..3], Vec::new()).expect("nobody else vouches");
    assert_eq!((block.batches.len(), block.header.batch_root), (0, merkle::empty_root()));
    let listed = batches(&maker.channel(), &offered, &ORDERERS);
    assert_eq!(verdict(&maker, &block, &offered[..3], &listed), Err("unlisted-batch"));
}

/// One batch was counted for each transaction, and all of them were listed: a proposer halted over its own draft.
#[test]
fn of_several_batches_that_have_a_transaction_a_block_lists_one() {
    let (maker, offered) = under(Witnesses::Quorum);
    let channel = maker.channel();
    let in_many = |number: usize| batch(&channel, ORDERER, number as u64, &[&offered[0]], &ORDERERS[..2]);
    let mut all: Vec<_> = (0..=crate::limits::BATCHES_MAX).map(in_many).collect();
    // This one has the second, too: the first need not be listed twice.
    all.insert(0, batch(&channel, 201, 1, &[&offered[1], &offered[0]], &ORDERERS[..2]));
    for (count, transactions) in [(1, &offered[..1]), (1, &offered[..2]), (1, &offered[1..2])] {
        let block = drafted(&maker, transactions, all.clone()).expect("it is witnessed");
        assert_eq!((block.ids.len(), block.batches.len()), (transactions.len(), count));
        assert_eq!(verdict(&maker, &block, transactions, &block.batches).as_ref(), Ok(&block));
    }
    // Of what is too large for a block with another batch there may be a smaller one.
    let mut huge = in_many(9_999);
    huge.leaves.resize(crate::limits::BATCH_LEAVES_MAX + 1, Hash::ZERO);
    all.insert(0, huge);
    let block = drafted(&maker, &offered[..1], all).expect("it is witnessed");
    assert_eq!((block.ids.len(), block.batches.len()), (1, 1));
}

#[test]
fn whatever_one_thing_is_wrong_with_witnesses_the_block_is_refused_by_name() {
    let (maker, offered) = under(Witnesses::Quorum);
    let channel = maker.channel();
    let good = batches(&channel, &offered, &ORDERERS[..2]);
    let block = drafted(&maker, &offered[..3], good.clone()).expect("it is witnessed");
    let own = |number: u8, signed: &Batch, key: &SigningKey| {
        assert_eq!(key.public(), signer(number).public());
        signed.witness(key, &channel)
    };
    type Wrong<'a> = Box<dyn Fn(&mut Vec<WitnessedBatch>) + 'a>;
    let cases: Vec<(&str, Wrong<'_>)> = vec![
        ("too-many-batches", Box::new(|all| all[0].leaves.resize(crate::limits::BATCH_LEAVES_MAX + 1, Hash::ZERO))),
        ("batch-digest", Box::new(|all| all[0].leaves.truncate(1))),
        ("batch-digest", Box::new(|all| all[1].leaves.reverse())),
        ("batch-order", Box::new(|all| all.reverse())),
        ("batch-order", Box::new(|all| all[1] = all[0].clone())),
        ("batch-idle", Box::new(|all| all.insert(2, batch(&channel, 255, 9, &[&offered[3]], &ORDERERS)))),
        // Its origin orders, and has not signed.
        ("batch-origin", Box::new(|all| all[0] = batch(&channel, 202, 0, &[&offered[0]], &ORDERERS[..2]))),
        // Somebody's who does not order.
        ("batch-origin", Box::new(|all| all[0].batch.origin = address(9))),
        ("witness-key", Box::new(|all| all[0].witnesses.reverse())),
        (
            "witness-key",
            Box::new(|all| {
                let twice = all[0].witnesses[0].clone();
                all[0].witnesses.insert(0, twice);
            }),
        ),
        (
            "witness-key",
            Box::new(|all| {
                let foreign = own(9, &all[0].batch, &signer(9));
                all[0].witnesses.push(foreign);
            }),
        ),
        (
            "witness-threshold",
            Box::new(|all| {
                all.iter_mut().for_each(|listed| {
                    let origin = listed.batch.origin;
                    listed.witnesses.retain(|signed| signed.key.address() == origin);
                });
            }),
        ),
        ("witness-signature", Box::new(|all| all[1].witnesses[1].signature.0[40] ^= 1)),
        // Signed for another batch, or another channel.
        ("witness-signature", Box::new(|all| all[0].witnesses = all[1].witnesses.clone())),
        (
            "witness-signature",
            Box::new(|all| {
                let signed = all[0].batch.witness(&signer(ORDERERS[1]), &Hash([3; 32]));
                all[0].witnesses[1] = signed;
            }),
        ),
        ("unwitnessed", Box::new(|all| all.truncate(1))),
        ("unwitnessed", Box::new(Vec::clear)),
    ];
    let mut met = BTreeSet::new();
    for (reason, wrong) in cases {
        let mut listed = good.clone();
        wrong(&mut listed);
        if reason != "batch-order" {
            listed.sort_by_key(|listed| (listed.batch.origin, listed.batch.number));
        }
        assert_eq!(verdict(&maker, &block, &offered[..3], &listed).map(|block| block.hash), Err(reason));
        met.insert(reason);
    }
    assert_eq!(met, REASONS.into_iter().collect());
    // The header commits to the witnesses, too.
    let mut other = good;
    let third = other[0].batch.witness(&signer(ORDERERS[2]), &channel);
    other[0].witnesses.push(third);
    assert_ne!(batch_root(&other), block.header.batch_root);
    assert_eq!(
        verdict(&maker, &block, &offered[..3], &other).map(|block| block.header.batch_root),
        Ok(batch_root(&other))
    );
}

/// Without its size a tree's root is also that of the list of its inner nodes: a witness would have vouched for one that
/// nobody verified.
#[test]
fn a_batch_is_of_one_list_of_transactions() {
    let (maker, offered) = under(Witnesses::Quorum);
    let channel = maker.channel();
    let of: Vec<&VerifiedTransaction> = offered.iter().collect();
    let whole = batch(&channel, ORDERER, 1, &of, &ORDERERS);
    let (left, right) = whole.leaves.split_at(2);
    let nodes = vec![merkle::root(left), merkle::root(right)];
    assert_eq!(merkle::root(&nodes), whole.batch.digest, "they have one root");
    let folded = WitnessedBatch { leaves: nodes.clone(), ..whole.clone() };
    let told = WitnessedBatch { batch: Batch { count: 2, ..whole.batch.clone() }, ..folded.clone() };
    assert_ne!(told.batch.message(&channel), whole.batch.message(&channel), "what is signed tells them apart");
    let root_of = |one: &WitnessedBatch| batch_root(std::slice::from_ref(one));
    assert_ne!(root_of(&told), root_of(&whole), "and so does the header");
    let block = drafted(&maker, &offered, vec![whole.clone()]).expect("it is witnessed");
    assert_eq!(
        verdict(&maker, &block, &offered, std::slice::from_ref(&folded)).map(|block| block.hash),
        Err("batch-digest")
    );
    let mut sealed = block.with_seal(Seal::Genesis {});
    assert_eq!(sealed.check_body(), Ok(()));
    // Whoever keeps blocks without executing them sees it, too.
    sealed.batches = vec![folded];
    assert!(sealed.check_body().is_err());
}
