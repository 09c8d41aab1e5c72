#![allow(clippy::unwrap_used)]
use super::*;
use crate::seen::{SeenError, SeenHeaders};
use ledger_classes::chain::genesis;
use ledger_classes::formats::blinding::{Blinded, Blinder, BlindingSeed};
use ledger_classes::formats::block::{receipt_leaves, transaction_leaves};
use ledger_classes::formats::config::{ChannelConfig, Engine, OrderingPeer, Organization};
use ledger_classes::formats::detail::Detail;
use ledger_classes::formats::outcome::ResultCode;
use ledger_classes::formats::proof::Proof;
use ledger_classes::formats::proof::{
    Evidence, LaterHeader, ReceiptProof, TransactionProof, Trust, TrustLink, TrustRoot,
};
use ledger_classes::formats::receipt::Receipt;
use ledger_classes::formats::transaction::{Encoding, Envelope};
use ledger_classes::keys::SigningKey;
use ledger_classes::merkle;
use ledger_classes::primitives::amount::Amount;

/// A channel that one peer orders, whose directory may be copied.
struct Channel {
    orderer: SigningKey,
    genesis: ledger_classes::formats::block::Block,
}

/// A block with one transaction.
struct Made {
    header: Header,
    envelope: Envelope,
    receipt: Receipt,
}

/// What the blocks here are blinded with.
fn blinder() -> Blinder {
    Blinder::new(&BlindingSeed::new([4; 32]), &Hash::ZERO)
}

impl Channel {
    fn new(salt: u8) -> Self {
        let orderer = SigningKey::from_seed(&[1; 32]);
        let identity = Identity::parse("spiffe://harbour/bank/peer/p1").unwrap();
        let config = ChannelConfig {
            rules: ledger_classes::rules::RULES,
            name: "main".into(),
            consortium: "harbour".into(),
            created: Time::from_millis(1_000),
            salt: HexBytes(vec![salt; 16]),
            engine: Engine::Solo,
            peers: vec![OrderingPeer { identity, key: orderer.public(), weight: 1 }],
            threshold: 1,
            organizations: vec![Organization { name: "bank".into(), title: String::new(), authorities: vec![] }],
            grants: vec![],
            public_read: true,
            open_submit: true,
            limits: Default::default(),
            fees: Default::default(),
            approvals: Default::default(),
            witnesses: Default::default(),
            budgets: Default::default(),
        };
        Self { genesis: genesis(&config).unwrap().0, orderer }
    }

    fn id(&self) -> Hash {
        self.genesis.header.hash()
    }

    /// The block behind `history`, with a transaction that says `text` and comes out with `code`.
    fn block(&self, history: &[Hash], text: &str, code: ResultCode, time: u64) -> Made {
        let envelope = Envelope::sign(Encoding::Json, text.as_bytes().to_vec(), &[&SigningKey::from_seed(&[2; 32])]);
        let height = history.len() as u64;
        let mut receipt = Receipt::new(envelope.id(), height, 0, code, Detail::PLAIN, Amount(0), &[]);
        receipt.blind(&blinder());
        let leaves: Vec<Hash> = history.iter().map(|hash| merkle::leaf_hash(&hash.0)).collect();
        let header = Header {
            channel: self.id(),
            height,
            previous: *history.last().unwrap(),
            time: Time::from_millis(time),
            transaction_root: merkle::root(&transaction_leaves(&[codec::encode(&envelope)]).unwrap()),
            receipt_root: merkle::root(&receipt_leaves(std::slice::from_ref(&receipt), &blinder())),
            history_root: merkle::root(&leaves),
            proposer: self.orderer.public().address(),
            transactions: 1,
            receipts: 1,
            ..self.genesis.header.clone()
        };
        Made { header, envelope, receipt }
    }

    fn root(&self) -> TrustRoot {
        TrustRoot::new(&self.genesis.header, &self.genesis.genesis_config().unwrap().orderers())
    }

    fn seal(&self, header: &Header) -> Seal {
        Seal::of_one(&self.orderer, &header.hash())
    }

    fn proof(&self, made: &Made, later: Option<(&Header, Vec<Hash>)>) -> Proof {
        let evidence = Evidence {
            header: part(&made.header),
            seal: part(&self.seal(&made.header)),
            receipt: ReceiptProof {
                head: part(&made.receipt.head),
                blinding: blinder().of(Blinded::Receipt { index: 0 }),
                path: vec![],
            },
            transaction: Some(TransactionProof {
                envelope: HexBytes(codec::encode(&made.envelope)),
                index: 0,
                path: vec![],
            }),
            event: None,
            detail: None,
        };
        let trust = Trust { genesis: self.root(), links: vec![] };
        let later =
            later.map(|(header, path)| LaterHeader { header: part(header), seal: part(&self.seal(header)), path });
        Proof { version: 1, trust, evidence, later }
    }

    fn sealed(&self, made: &Made) -> SealedBytes {
        SealedBytes::new(&made.header, &self.seal(&made.header))
    }
}

const DONE: ResultCode = ResultCode::Done;

#[test]
fn two_proofs_of_a_copied_ledger_say_so_and_those_of_one_history_do_not() {
    let channel = Channel::new(0);
    let id = channel.id();
    let first = channel.block(&[id], "one", DONE, 2_000);
    let copy = channel.block(&[id], "two", DONE, 2_000);
    let second = channel.block(&[id, first.header.hash()], "three", DONE, 3_000);
    // The same transaction as in the first block of the original, in the second one of the copy, with another outcome.
    let again = channel.block(&[id, copy.header.hash()], "one", ResultCode::NoRight, 3_000);
    let third = channel.block(&[id, first.header.hash(), second.header.hash()], "four", DONE, 4_000);
    let late = channel.block(&[id, copy.header.hash(), again.header.hash()], "five", DONE, 1_500);
    let plain = |made: &Made| channel.proof(made, None);
    let leaf = |hash: Hash| merkle::leaf_hash(&hash.0);
    // The way of the first block in the history of the third: genesis beside it, then the second.
    let path = vec![leaf(id), leaf(second.header.hash())];
    let tied = channel.proof(&first, Some((&third.header, path)));

    let fork = |one: &Proof, other: &Proof| match compare(one, other, Some(id)).unwrap() {
        Comparison::Fork(fork) => Some((fork.contradiction, fork.height, fork.sides.len())),
        _ => None,
    };
    for (name, one, other, expected) in [
        ("one height", plain(&first), plain(&copy), Some((Contradiction::Header, 1, 2))),
        ("another before it", plain(&copy), plain(&second), Some((Contradiction::Previous, 1, 2))),
        ("time goes back", plain(&first), plain(&late), Some((Contradiction::Time, 1, 2))),
        ("another one before the third", plain(&third), plain(&again), Some((Contradiction::Previous, 2, 2))),
        ("follows it", plain(&first), plain(&second), None),
        ("itself", plain(&first), plain(&first), None),
        ("tied", tied.clone(), plain(&third), None),
    ] {
        assert_eq!(fork(&one, &other), expected, "{name}");
        assert_eq!(fork(&other, &one), expected, "{name}, the other way round");
    }
    let one_history = |one: &Proof, other: &Proof| compare(one, other, None).unwrap() == Comparison::OneHistory;
    assert!(one_history(&plain(&first), &plain(&second)) && one_history(&plain(&third), &tied));
    assert_eq!(compare(&plain(&first), &plain(&third), None).unwrap(), Comparison::NotTied);

    let found = compare(&plain(&first), &plain(&again), None).unwrap();
    let Comparison::Fork(found) = found else { panic!("{found:?}") };
    assert_eq!((found.contradiction, found.transaction), (Contradiction::Previous, None), "the header comes first");
    let other = Channel::new(1);
    let strange = other.proof(&other.block(&[other.id()], "one", DONE, 2_000), None);
    assert!(matches!(compare(&plain(&first), &strange, None), Err(CompareError::Channels { .. })));
    let mut forged = plain(&copy);
    *forged.evidence.seal.0.last_mut().unwrap() ^= 1;
    assert!(compare(&plain(&first), &forged, None).is_err(), "what is not sealed is no evidence");
}

#[test]
fn one_transaction_with_two_outcomes_is_two_histories_however_far_apart() {
    let channel = Channel::new(0);
    let id = channel.id();
    let strange = |byte| Hash([byte; 32]);
    let early = channel.block(&[id, strange(1)], "pay", DONE, 2_000);
    let late = channel.block(&[id, strange(2), strange(3), strange(4)], "pay", ResultCode::NoRight, 4_000);
    let found = compare(&channel.proof(&early, None), &channel.proof(&late, None), None).unwrap();
    let Comparison::Fork(fork) = found else { panic!("{found:?}") };
    assert_eq!((fork.contradiction, fork.height), (Contradiction::Outcome, 2));
    assert_eq!(fork.transaction, Some(early.envelope.id()));
    assert!(fork.to_string().contains("sealed by spiffe://harbour/bank/peer/p1"), "{fork}");
}

#[test]
fn what_was_verified_is_remembered_and_another_history_is_an_error_that_leaves_its_evidence() {
    let channel = Channel::new(0);
    let id = channel.id();
    let trust = Trust { genesis: channel.root(), links: vec![] }.verify(Some(id)).unwrap();
    let first = channel.block(&[id], "one", DONE, 2_000);
    let second = channel.block(&[id, first.header.hash()], "two", DONE, 3_000);
    let copy = channel.block(&[id, first.header.hash()], "three", DONE, 3_000);
    let folder = tempfile::tempdir().unwrap();
    let mut seen = SeenHeaders::keep_in(folder.path()).unwrap();
    seen.meet("https://a/", &trust, &channel.sealed(&first)).unwrap();
    seen.meet("https://a/", &trust, &channel.sealed(&second)).unwrap();
    // What is older is nothing new.
    seen.meet("https://a/", &trust, &channel.sealed(&first)).unwrap();
    seen.keep().unwrap();

    // The next process, another peer.
    let mut seen = SeenHeaders::keep_in(folder.path()).unwrap();
    assert_eq!((seen.newest(&id), seen.newest(&Hash::ZERO)), (Some(2), None));
    let error = seen.meet("https://b/", &trust, &channel.sealed(&copy)).unwrap_err();
    let SeenError::Fork { fork, kept: Some(kept) } = error else { panic!("{error}") };
    assert_eq!((fork.height, fork.contradiction), (2, Contradiction::Header));
    let evidence: Fork = ledger_classes::primitives::json::from_slice(&std::fs::read(kept).unwrap()).unwrap();
    assert_eq!(evidence, *fork);
    // Whoever has it checks it without us.
    for side in &evidence.sides {
        assert_eq!(SealedHeader::verify(&trust, &side.evidence).unwrap().hash(), side.header);
    }
    assert!(seen.meet("https://b/", &trust, &channel.sealed(&second)).is_ok(), "the contradiction was not taken up");
    let mut forged = channel.sealed(&copy);
    *forged.seal.0.last_mut().unwrap() ^= 1;
    assert!(matches!(seen.meet("https://b/", &trust, &forged), Err(SeenError::Seal(_))));
}

/// Whoever sealed once could go on under a way that ends with it: the next process did not know of the change.
#[test]
fn a_change_of_who_seals_that_was_verified_once_cannot_be_left_out_later() {
    let channel = Channel::new(0);
    let id = channel.id();
    let first = channel.block(&[id], "one", DONE, 2_000);
    // The same peer with another weight: it could seal either way.
    let mut orderers = channel.genesis.genesis_config().unwrap().orderers();
    (orderers.peers[0].weight, orderers.threshold) = (2, 2);
    let mut second = channel.block(&[id, first.header.hash()], "two", DONE, 3_000);
    second.header.orderers_root = orderers.root();
    let link = TrustLink {
        header: part(&second.header),
        seal: part(&channel.seal(&second.header)),
        orderers: part(&orderers),
    };
    let before = [id, first.header.hash(), second.header.hash()];
    let mut third = channel.block(&before, "three", DONE, 4_000);
    third.header.orderers_root = orderers.root();
    let way = |links: Vec<TrustLink>| Trust { genesis: channel.root(), links }.verify(Some(id)).unwrap();
    let (whole, short) = (way(vec![link]), way(Vec::new()));
    let folder = tempfile::tempdir().unwrap();
    let mut seen = SeenHeaders::keep_in(folder.path()).unwrap();
    seen.meet("https://a/", &whole, &channel.sealed(&third)).unwrap();
    seen.keep().unwrap();

    let mut seen = SeenHeaders::keep_in(folder.path()).unwrap();
    for peer in ["https://a/", "https://b/"] {
        let later = channel.block(&[before[0], before[1], before[2], third.header.hash()], peer, DONE, 5_000);
        let refused = seen.meet(peer, &short, &channel.sealed(&later));
        assert!(matches!(refused, Err(SeenError::Shortened { height: 2, .. })), "{refused:?}");
        // The way to an older block need not have it.
        seen.meet(peer, &short, &channel.sealed(&first)).unwrap();
    }
}
