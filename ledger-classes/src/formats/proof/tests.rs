//! Who may seal, from genesis on, and who may not.

use crate::chain::genesis;
use crate::execution::test_support::{open_config, signer};
use crate::formats::blinding::{Blinded, Blinder, BlindingSeed};
use crate::formats::block::{Block, SealSignature, receipt_leaves, seal_message};
use crate::formats::config::{ChannelConfig, Engine, OrderingPeer};
use crate::formats::outcome::ResultCode;
use crate::formats::proof::*;
use crate::formats::receipt::Receipt;
use crate::keys::SigningKey;
use crate::primitives::identity::{Identity, Role};

/// A channel's configuration under which `orderer` seals.
fn config(orderer: u8) -> ChannelConfig {
    let mut config = open_config();
    config.peers[0].key = signer(orderer).public();
    config
}

/// A header at `height` that `orderer` proposes, after which `next` may seal.
fn header(genesis: &Block, orderer: u8, height: u64, next: &Orderers) -> Header {
    Header {
        channel: genesis.header.hash(),
        height,
        orderers_root: next.root(),
        proposer: signer(orderer).public().address(),
        ..genesis.header.clone()
    }
}

/// The verdict on a seal.
fn judged(root: &Hash, orderers: &Orderers, header: &Header, seal: &Seal) -> Result<(), Invalid> {
    check_seal(root, orderers, header, seal, &mut KeyCache::default())
}

/// A block that `orderer` seals, after which `next` may, and whose only receipt has only this event.
fn evidence(genesis: &Block, orderer: &SigningKey, height: u64, next: u8, event: &Event) -> Evidence {
    let (id, code, message) = (Hash([1; 32]), ResultCode::Done, Detail::PLAIN);
    let blinder = Blinder::new(&BlindingSeed::new([3; 32]), &Hash::ZERO);
    let mut receipt = Receipt::new(
        id,
        height,
        0,
        code,
        message,
        crate::primitives::amount::Amount::ZERO,
        std::slice::from_ref(event),
    );
    receipt.blind(&blinder);
    let header = Header {
        channel: genesis.header.hash(),
        height,
        receipt_root: merkle::root(&receipt_leaves(std::slice::from_ref(&receipt), &blinder)),
        orderers_root: config(next).orderers().root(),
        proposer: orderer.public().address(),
        receipts: 1,
        ..genesis.header.clone()
    };
    Evidence {
        seal: part(&Seal::of_one(orderer, &header.hash())),
        header: part(&header),
        receipt: ReceiptProof {
            head: part(&receipt.head),
            blinding: blinder.of(Blinded::Receipt { index: 0 }),
            path: vec![],
        },
        transaction: None,
        event: Some(EventProof {
            event: HexBytes(receipt.events[0].clone()),
            index: 0,
            blinding: blinder.of(Blinded::Event { receipt: 0, index: 0 }),
            path: vec![],
        }),
        detail: None,
    }
}

/// Why a transaction failed is proven by its own bytes and blinding, and by nothing else.
#[test]
fn why_a_transaction_failed_is_shown_by_its_detail_alone() {
    let (genesis, _) = genesis(&config(1)).expect("a valid configuration");
    let trust = Trust { genesis: TrustRoot::new(&genesis.header, &config(1).orderers()), links: Vec::new() };
    let trust = trust.verify(Some(genesis.header.hash())).expect("a channel");
    let blinder = Blinder::new(&BlindingSeed::new([3; 32]), &Hash::ZERO);
    let of_bytes = |code, version, told: Option<&[u8]>, detail: Option<DetailProof>| {
        let reason = Detail::AuditTopic {};
        let mut receipt = Receipt::new(Hash([1; 32]), 5, 0, code, reason, crate::primitives::amount::Amount::ZERO, &[]);
        receipt.head.version = version;
        receipt.blind(&blinder);
        if let Some(told) = told {
            receipt.head.detail = Some(blinder.leaf(Blinded::Detail { receipt: 0 }, told));
        }
        let header = Header {
            receipt_root: merkle::root(&receipt_leaves(std::slice::from_ref(&receipt), &blinder)),
            receipts: 1,
            ..header(&genesis, 1, 5, &config(1).orderers())
        };
        let receipt = ReceiptProof {
            head: part(&receipt.head),
            blinding: blinder.of(Blinded::Receipt { index: 0 }),
            path: Vec::new(),
        };
        let seal = part(&Seal::of_one(&signer(1), &header.hash()));
        trust.verify(&Evidence { header: part(&header), seal, receipt, transaction: None, event: None, detail })
    };
    let of = |code, version, detail| of_bytes(code, version, None, detail);
    let shown = |detail: &Detail| {
        Some(DetailProof { detail: part(detail), blinding: blinder.of(Blinded::Detail { receipt: 0 }) })
    };
    let failed = ResultCode::InvalidField;
    let known = Some(ProvenDetail::Known(Detail::AuditTopic {}));
    assert_eq!(of(failed, 1, shown(&Detail::AuditTopic {})).expect("holds").detail, known);
    assert_eq!(of(failed, 1, None).expect("holds").detail, None);
    let other = Err(ProofError::Mismatch("the detail is not the receipt's"));
    assert_eq!(of(failed, 1, shown(&Detail::PLAIN)), other);
    let blinding = blinder.of(Blinded::Detail { receipt: 1 });
    assert_eq!(of(failed, 1, Some(DetailProof { blinding, ..shown(&Detail::AuditTopic {}).expect("one") })), other);
    assert_eq!(of(ResultCode::Done, 1, shown(&Detail::AuditTopic {})), other, "it did not fail");
    assert_eq!(of(failed, 2, None), Err(ProofError::Mismatch("unknown receipt version")));
    // Of a later build's rules: the proof holds, and only the words are missing. What has a number has one form.
    for (told, means) in [
        (&[20u8, 0, 1, 2][..], Ok(ProvenDetail::Unknown { number: 20 })),
        (&[255, 255], Ok(ProvenDetail::Unknown { number: u16::MAX })),
        (&[0, 0], Ok(ProvenDetail::Known(Detail::PLAIN))),
        (&[0, 0, 0], Err(ProofError::Malformed("the detail"))),
        (&[255], Err(ProofError::Malformed("the detail"))),
        (&[255; 1025], Err(ProofError::Malformed("the detail"))),
    ] {
        let detail =
            DetailProof { detail: HexBytes(told.to_vec()), blinding: blinder.of(Blinded::Detail { receipt: 0 }) };
        let verdict = of_bytes(failed, 1, Some(told), Some(detail)).map(|checked| checked.detail);
        assert_eq!(verdict, means.map(Some), "{told:?}");
    }
}

/// A link sealed by `orderer` to `next`.
fn link(genesis: &Block, orderer: u8, height: u64, next: u8) -> TrustLink {
    let next = config(next).orderers();
    let header = header(genesis, orderer, height, &next);
    let seal = Seal::of_one(&signer(orderer), &header.hash());
    TrustLink { header: part(&header), seal: part(&seal), orderers: part(&next) }
}

/// Links carried whole configurations once: 46.8 MB for 20.7 KB of changes. As many as a proof may have, each of the largest
/// size, stay below what readers take, 64 MiB; and an ordinary one has about a kilobyte.
#[test]
fn the_longest_proof_of_the_largest_links_can_be_read() {
    let (genesis, _) = genesis(&config(1)).expect("a valid configuration");
    let mut link = link(&genesis, 1, u64::from(u32::MAX), 2);
    let plain = link.header.0.len() + link.seal.0.len() + link.orderers.0.len();
    assert!(plain <= 1_024, "{plain} bytes a link");
    // The longest identity of an ordering peer and the longest key.
    link.orderers.0.extend(vec![0; crate::limits::IDENTITY_BYTES_MAX + 33]);
    link.seal.0.extend(vec![0; 33]);
    let bytes = serde_json::to_vec(&link).expect("it serializes").len() + 1;
    assert!(bytes <= 3 * 1024, "{bytes} bytes a link");
    let transaction = 2 * crate::limits::PAYLOAD_BYTES_MAX;
    assert!(TRUST_LINKS_MAX * bytes + transaction < 56 * 1024 * 1024);
}

/// Orderer 1 seals from genesis to block 10, which hands over to orderer 2; 2 hands over to 3 at block 20.
#[test]
fn an_orderer_seals_only_while_the_block_before_names_it() {
    let (genesis, _) = genesis(&config(1)).expect("a valid configuration");
    let trust = |links: Vec<TrustLink>| {
        Trust { genesis: TrustRoot::new(&genesis.header, &config(1).orderers()), links }
            .verify(Some(genesis.header.hash()))
            .map_err(|error| error.to_string())
    };
    let links = |links: &[(u8, u64, u8)]| -> Vec<TrustLink> {
        links.iter().map(|&(by, height, next)| link(&genesis, by, height, next)).collect()
    };
    let good = [(1, 10, 2), (2, 20, 3)];
    let trusted = trust(links(&good)).expect("a good chain");
    for (chain, what) in [
        (vec![(1, 10, 2), (1, 20, 1)], "a removed orderer goes on"),
        (vec![(1, 10, 2), (1, 5, 1)], "a removed orderer writes the past anew"),
        (vec![(1, 10, 2), (1, 10, 3)], "two changes in one block"),
        (vec![(1, 10, 2), (2, 10, 3)], "a change in the block of the change before"),
        (vec![(1, 10, 2), (2, 5, 3)], "a change before its own"),
        (vec![(2, 20, 3)], "a gap"),
        (vec![(1, 10, 1)], "no change"),
        (vec![(1, 0, 2)], "a second genesis"),
    ] {
        assert!(trust(links(&chain)).is_err(), "{what}");
    }
    for (change, reason) in [
        (
            Box::new(|link: &mut TrustLink| link.orderers = part(&config(3).orderers())) as Box<dyn Fn(&mut TrustLink)>,
            "not those that their header names",
        ),
        (Box::new(|link: &mut TrustLink| link.orderers.0.push(0)), "the record of the orderers does not decode"),
        (
            Box::new(|link: &mut TrustLink| *link.seal.0.last_mut().expect("bytes") ^= 1),
            "block 10: a signature of the seal",
        ),
        (Box::new(|link: &mut TrustLink| link.seal = part(&Seal::Genesis {})), "not of the kind"),
    ] {
        let mut broken = links(&good);
        change(&mut broken[0]);
        let refused = trust(broken).expect_err(reason);
        assert!(refused.contains(reason), "{refused}");
    }
    // One key twice, of which each would count; no signature at all.
    for (twice, threshold) in [(true, 2), (false, 0)] {
        let mut next = config(2).orderers();
        (next.engine, next.threshold) = (Engine::Raft, threshold);
        if twice {
            next.peers.push(next.peers[0].clone());
        }
        let header = header(&genesis, 1, 10, &next);
        let seal = Seal::of_one(&signer(1), &header.hash());
        let link = TrustLink { header: part(&header), seal: part(&seal), orderers: part(&next) };
        let refused = trust(vec![link]).expect_err("refused");
        assert!(refused.contains("could not seal a block as they should"), "{refused}");
    }
    // Whoever sealed once leaves out who came after.
    let shorter = trust(links(&good[..1])).expect("a good chain");
    assert!(trusted.extends(&shorter) && trusted.extends(&trusted) && !shorter.extends(&trusted));
    assert!(!trusted.extends(&trust(links(&[(1, 10, 3)])).expect("a good chain")));
    let event = Event::AssetPaused { asset: "coin".into() };
    for (by, height, next, holds) in [
        (1, 1, 1, true),
        (1, 9, 1, true),
        (1, 10, 2, true),
        (1, 11, 1, false),
        (1, 30, 1, false),
        (2, 10, 2, false),
        (2, 11, 2, true),
        (2, 20, 3, true),
        (2, 21, 2, false),
        (3, 21, 3, true),
        (1, 21, 1, false),
        // It would hand over where the chain does not.
        (1, 5, 3, false),
        (1, 10, 1, false),
        (2, 15, 3, false),
        // Behind the last link nobody knows yet.
        (3, 30, 1, true),
    ] {
        let verdict = trusted.verify(&evidence(&genesis, &signer(by), height, next, &event));
        assert_eq!(verdict.is_ok(), holds, "{by} at {height} for {next}: {verdict:?}");
    }
}

/// What a quorum of several has to hold, before there is one.
#[test]
fn a_seal_is_of_as_many_ordering_peers_as_the_threshold_asks_for_each_once_and_in_order() {
    let (genesis, _) = genesis(&config(1)).expect("a valid configuration");
    let peer = |number: u8, weight: u32| OrderingPeer {
        identity: Identity::new("test.example", "alpha", Role::Peer, &format!("p{number}")).expect("an identity"),
        key: signer(number).public(),
        weight,
    };
    let peers = vec![peer(1, 1), peer(2, 3), peer(3, 1), peer(4, 2)];
    let orderers = Orderers { engine: Engine::Bft, peers, threshold: 5 };
    assert_eq!((orderers.check(), orderers.weight()), (Ok(()), 7));
    let (root, header) = (orderers.root(), header(&genesis, 3, 8, &orderers));
    let seal = |numbers: &[u8], place: u64| {
        let message = seal_message(&header.hash(), place);
        let signed =
            |number: &u8| SealSignature { key: signer(*number).public(), signature: signer(*number).sign(&message) };
        Seal::Quorum { place, signatures: numbers.iter().map(signed).collect() }
    };
    let name = |seal: &Seal| judged(&root, &orderers, &header, seal).map_err(|invalid| invalid.name());
    assert_eq!(name(&seal(&[1, 2, 3, 4], 6)), Ok(()));
    assert_eq!(name(&seal(&[2, 4], 0)), Ok(()), "the proposer need not have signed");
    for (signers, reason) in [
        (&[1, 2][..], "seal-threshold"),
        (&[], "seal-threshold"),
        (&[1, 3, 4], "seal-threshold"),
        (&[2, 2, 2], "seal-order"),
        (&[4, 2], "seal-order"),
        (&[2, 4, 9], "seal-key"),
    ] {
        assert_eq!(name(&seal(signers, 6)), Err(reason), "{signers:?}");
    }
    let Seal::Quorum { signatures, .. } = seal(&[2, 4], 6) else { panic!("a quorum") };
    assert_eq!(
        name(&Seal::Quorum { place: 7, signatures: signatures.clone() }),
        Err("seal-signature"),
        "another place"
    );
    let mut large = signatures.clone();
    large[1].signature.0[63] |= 0xf0;
    assert_eq!(name(&Seal::Quorum { place: 6, signatures: large }), Err("seal-not-canonical"));
    let mut wrong = signatures;
    wrong[1].signature.0[33] ^= 1;
    assert_eq!(name(&Seal::Quorum { place: 6, signatures: wrong }), Err("seal-signature"));
    assert_eq!(name(&Seal::Genesis {}), Err("seal-kind"));
    let vouched = |root: Hash, orderers: &Orderers, header: &Header| {
        judged(&root, orderers, header, &Seal::of_one(&signer(1), &header.hash())).map_err(|invalid| invalid.name())
    };
    // Somebody who orders nothing, and a record of their own making.
    let own = config(1).orderers();
    assert_eq!(vouched(root, &own, &header), Err("orderers"));
    assert_eq!(vouched(own.root(), &own, &header), Err("proposer"), "the proposer is none of them");
    let proposed = Header { proposer: signer(1).public().address(), ..header.clone() };
    assert_eq!(vouched(own.root(), &own, &proposed), Ok(()));
    let message = seal_message(&proposed.hash(), 1);
    let signatures = vec![SealSignature { key: signer(1).public(), signature: signer(1).sign(&message) }];
    let placed = Seal::Quorum { place: 1, signatures };
    let verdict = judged(&own.root(), &own, &proposed, &placed).map_err(|invalid| invalid.name());
    assert_eq!(verdict, Err("seal-place"), "one peer orders alone");
}
