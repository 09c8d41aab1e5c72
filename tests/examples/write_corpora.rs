//! Writes the corpora of the fuzz targets that follow from the formats of blocks, proofs and configurations, so that their
//! files are of the form of now. Run it after a change of those formats:
//!
//! ```sh
//! cargo run -p tests --example write_corpora -- fuzz/corpus
//! ```

use channel_actors::pipeline::witness_message::WitnessMessage;
use ledger_classes::action::{Action, assets, logs};
use ledger_classes::chain::{self, Draft, ExecutedBlock, History};
use ledger_classes::execution::ConfigRecord;
use ledger_classes::formats::blinding::{Blinded, BlindingSeed};
use ledger_classes::formats::block::{
    Batch, Block, Header, Seal, SealSignature, receipt_leaves, seal_message, transaction_leaves,
};
use ledger_classes::formats::config::{Approvals, ChannelConfig, Engine, Fees, Limits, OrderingPeer, Organization};
use ledger_classes::formats::proof::{
    EventProof, Evidence, LaterHeader, Proof, ReceiptProof, TransactionProof, Trust, TrustLink, TrustRoot, part,
};
use ledger_classes::formats::receipt::Receipt;
use ledger_classes::formats::rights::{Grant, Grantee, Right};
use ledger_classes::formats::transaction::{Encoding, Envelope, Transaction, parse, verify_all};
use ledger_classes::keys::{KeyCache, SigningKey};
use ledger_classes::merkle::inclusion_path;
use ledger_classes::primitives::amount::Amount;
use ledger_classes::primitives::codec;
use ledger_classes::primitives::hash::{Hash, HexBytes};
use ledger_classes::primitives::identity::{Identity, Role};
use ledger_classes::primitives::time::Time;
use ledger_classes::state::participant::NoCertificates;
use ledger_classes::state::record::to_value;
use ledger_classes::state::tree::NoPages;
use ledger_classes::state::view::MemoryState;
use serde::Serialize;
use std::path::PathBuf;
use tests::decoders::{SegmentRecord, peer_log_segment, segment_channel};

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

fn config() -> ChannelConfig {
    let grant = |to, rights: &[Right]| Grant { to, rights: rights.iter().copied().collect() };
    let admin = Identity::new("harbour.example", "bank", Role::Admin, "ann").expect("valid");
    ChannelConfig {
        rules: ledger_classes::rules::RULES,
        name: "goods".into(),
        consortium: "harbour.example".into(),
        created: Time::from_millis(1_795_000_000_000),
        salt: HexBytes(vec![7; 16]),
        engine: Engine::Solo,
        peers: vec![OrderingPeer {
            identity: Identity::new("harbour.example", "bank", Role::Peer, "peer-1").expect("valid"),
            key: key(200).public(),
            weight: 1,
        }],
        threshold: 1,
        organizations: vec![Organization {
            name: "bank".into(),
            title: "Bank".into(),
            authorities: vec![HexBytes(vec![0x30, 0])],
        }],
        grants: vec![
            grant(Grantee::Organization("bank".into()), &[Right::Admin]),
            grant(Grantee::Identity(admin), &[Right::Audit]),
        ],
        public_read: true,
        open_submit: true,
        limits: Limits::default(),
        fees: Fees::default(),
        approvals: Approvals::Majority,
        witnesses: Default::default(),
        budgets: Default::default(),
    }
}

/// A channel as it grows.
struct Maker {
    history: History,
    state: MemoryState,
    blocks: Vec<Block>,
    receipts: Vec<Vec<Receipt>>,
}

impl Maker {
    fn new() -> Self {
        let (genesis, _) = chain::genesis(&config()).expect("valid");
        let (history, state) = (History::new(), MemoryState::default());
        let mut maker = Self { history, state, blocks: Vec::new(), receipts: Vec::new() };
        maker.take(genesis);
        maker
    }

    fn take(&mut self, block: Block) {
        let checked = self.history.check(&block, None, &self.state, &NoPages, &NoCertificates, [1; 32]);
        let checked = checked.expect("a valid block");
        self.state.apply(&checked.writes);
        let _ = self.history.advance(&checked);
        self.receipts.push(checked.receipts.iter().map(|receipt| (**receipt).clone()).collect());
        self.blocks.push(block);
    }

    /// The next block of these: who signs, in which encoding, what.
    fn next(&mut self, transactions: Vec<(u8, Encoding, Vec<Action>)>) {
        let above = self.history.above(&self.state, &NoPages, &NoCertificates).expect("genesis");
        let (channel, time) = (above.parent.channel, above.parent.time.plus_millis(7));
        let parsed = (0u64..).zip(transactions).map(|(nonce, (signer, encoding, actions))| {
            let (valid_until, fee_max, memo) = (time.plus_millis(60_000), Amount::ZERO, String::new());
            let transaction = Transaction { channel, nonce, valid_until, fee_max, actions, memo, sender: None };
            let payload = match encoding {
                Encoding::Json => serde_json::to_vec(&transaction).expect("serializes"),
                _ => codec::encode(&transaction),
            };
            parse(Envelope::sign(encoding, payload, &[&key(signer)]), channel, &Limits::default()).expect("well formed")
        });
        let verified = verify_all(parsed.collect(), [1; 32], &mut KeyCache::default());
        let transactions = verified.into_iter().map(|one| one.expect("its signature verifies")).collect();
        let (proposer, seed) = (key(200).public().address(), BlindingSeed::new([9; 32]));
        let draft = Draft { proposer, time, seed, transactions, batches: Vec::new() };
        let made = chain::draft(&above, draft).expect("memory does not fail").block.expect("something to do");
        let ExecutedBlock { header, hash, envelopes: transactions, .. } = made;
        self.take(Block { header, transactions, batches: Vec::new(), seed, seal: Seal::of_one(&key(200), &hash) });
    }
}

/// A block after which the ordering peer has another weight, as far as a proof shows one.
fn link(above: &Header) -> TrustLink {
    let mut orderers = config().orderers();
    (orderers.peers[0].weight, orderers.threshold) = (2, 2);
    let header = Header {
        channel: above.channel_id(),
        height: above.height + 1,
        previous: above.hash(),
        orderers_root: orderers.root(),
        ..above.clone()
    };
    let seal = Seal::of_one(&key(200), &header.hash());
    TrustLink { header: part(&header), seal: part(&seal), orderers: part(&orderers) }
}

/// A proof of the first transaction of a block with its first event, tied to a later block.
fn proof(maker: &Maker, height: usize, trust: Trust) -> Proof {
    let (block, receipts) = (&maker.blocks[height], &maker.receipts[height]);
    let (path, blinder) = (|leaves: &[Hash]| inclusion_path(leaves, 0).expect("the first"), block.blinder());
    let leaves = transaction_leaves(&block.transactions).expect("envelopes");
    let envelope = HexBytes(block.transactions[0].clone());
    let event = receipts[0].events.first().map(|event| EventProof {
        event: HexBytes(event.clone()),
        index: 0,
        blinding: blinder.of(Blinded::Event { receipt: 0, index: 0 }),
        path: path(&receipts[0].event_leaves(&blinder)),
    });
    let headers: Vec<Hash> =
        maker.blocks.iter().map(|block| ledger_classes::merkle::leaf_hash(&block.header.hash().0)).collect();
    let (later, earlier) = (maker.blocks.len() - 1, height as u64);
    Proof {
        version: 1,
        trust,
        evidence: Evidence {
            header: part(&block.header),
            seal: part(&block.seal),
            receipt: ReceiptProof {
                head: part(&receipts[0].head),
                blinding: blinder.of(Blinded::Receipt { index: 0 }),
                path: path(&receipt_leaves(receipts, &blinder)),
            },
            transaction: Some(TransactionProof { envelope, index: 0, path: path(&leaves) }),
            event,
            detail: None,
        },
        later: Some(LaterHeader {
            header: part(&maker.blocks[later].header),
            seal: part(&maker.blocks[later].seal),
            path: inclusion_path(&headers[..later], earlier).expect("an earlier one"),
        }),
    }
}

fn main() {
    let target = PathBuf::from(std::env::args_os().nth(1).expect("where to write"));
    let write = |name: &str, bytes: &[u8]| std::fs::write(target.join(name), bytes).expect("writes");
    fn json(value: &impl Serialize) -> Vec<u8> {
        serde_json::to_vec(value).expect("serializes")
    }

    let mut maker = Maker::new();
    let address = |number| key(number).public().address();
    let define = Action::AssetDefine(assets::Define {
        asset: "usd".into(),
        title: "Money".into(),
        kind: assets::Kind::Fungible { decimals: 2, supply_cap: None },
        mint_authority: None,
        burn_authority: None,
        control_authority: None,
        metadata: None,
    });
    let mint = Action::AssetMint(assets::Mint { asset: "usd".into(), to: address(1), amount: Amount(1_000) });
    let transfer = Action::AssetTransfer(assets::Transfer { asset: "usd".into(), to: address(2), amount: Amount(5) });
    let log = |body: &str| {
        Action::LogAppend(logs::Append { topic: "news".into(), digest: Some(Hash([5; 32])), body: body.into() })
    };
    maker.next(vec![
        (1, Encoding::Json, vec![define, mint]),
        (1, Encoding::Binary, vec![transfer.clone()]),
        (3, Encoding::Binary, vec![transfer]),
    ]);
    maker.next(vec![(2, Encoding::Json, vec![log("a line"), log("another")])]);

    for (height, block) in maker.blocks.iter().enumerate() {
        write(&format!("block/height-{height}"), &codec::encode(block));
    }
    let last = &maker.blocks[2];
    write("block/header", &codec::encode(&last.header));
    write("block/seal", &codec::encode(&last.seal));

    let blocks: Vec<Vec<u8>> = maker.blocks.iter().map(codec::encode).collect();
    let file = |version: u16| {
        let one = |block: &Vec<u8>| [&(block.len() as u64).to_le_bytes()[..], block].concat();
        [version.to_le_bytes().to_vec(), blocks.iter().map(one).collect::<Vec<_>>().concat()].concat()
    };
    write("block_file/three-blocks", &file(1));
    write("block_file/another-version", &file(2));
    write("block_file/cut-off", &file(1)[..file(1).len() - 7]);

    let genesis = &maker.blocks[0].header;
    let said =
        format!("chancery/blocks/1\nname goods\nchannel {}\nheight 2\ntip {}\n", genesis.hash(), last.header.hash());
    let one = |block: &Vec<u8>| [&u32::try_from(block.len()).expect("small").to_le_bytes()[..], block].concat();
    let folder = [b"chancery/blocks/1\n".to_vec(), blocks.iter().map(one).collect::<Vec<_>>().concat()].concat();
    let whole = [said.as_bytes(), &folder].concat();
    write("block_folder/three-blocks", &whole);
    write("block_folder/cut-off", &whole[..whole.len() - 40]);
    write("block_folder/no-blocks", said.as_bytes());

    let change = link(&last.header);
    let trust = Trust { genesis: TrustRoot::new(&maker.blocks[0].header, &config().orderers()), links: vec![change] };
    trust.verify(None).expect("holds");
    write("proof/trust", &json(&trust));
    let proof = proof(&maker, 1, trust);
    proof.verify(None).expect("holds");
    write("proof/mint", &json(&proof));

    write("channel_config/trade", &json(&config()));
    write("channel_config/binary", &codec::encode(&config()));
    write("record/config", &to_value(&ConfigRecord::first(config())));

    let leaves = transaction_leaves(&last.transactions).expect("they begin as envelopes do");
    let (batch, envelopes) = (Batch::of(address(200), 7, &leaves), last.transactions.to_vec());
    let signed = batch.witness(&key(200), &genesis.hash());
    write("witness_message/asks", &WitnessMessage::Asks { batch: batch.clone(), envelopes }.encode());
    write("witness_message/vouches", &WitnessMessage::Vouches { batch, signed }.encode());
    write_ordering_messages(&write, &genesis.hash(), &blocks[1]);
    write_peer_log(&write);
}

/// What engines over Raft say, byte for byte as docs/formats/ordering.md has it.
fn write_ordering_messages(write: &dyn Fn(&str, &[u8]), header: &Hash, block: &[u8]) {
    let of_raft = |kind: u8, rejects: u8, numbers: [u64; 6], entries: &[u8]| {
        let numbers = numbers.map(u64::to_le_bytes).concat();
        [&[1, 0, kind, rejects], &[7; 16][..], &[8; 16], &numbers, entries].concat()
    };
    let none = 0_u32.to_le_bytes();
    write("ordering_message/heartbeat", &of_raft(4, 0, [3, 0, 0, 12, 0, 0], &none));
    write("ordering_message/vote", &of_raft(2, 0, [4, 3, 12, 0, 0, 0], &none));
    write("ordering_message/refused-append", &of_raft(1, 1, [3, 0, 12, 0, 0, 9], &none));
    let length = u32::try_from(block.len()).expect("small").to_le_bytes();
    let nothing = [&[1][..], &3_u64.to_le_bytes(), &none].concat();
    let entries = [&2_u32.to_le_bytes()[..], &nothing, &[0], &3_u64.to_le_bytes(), &length, block].concat();
    write("ordering_message/append", &of_raft(0, 0, [3, 3, 12, 12, 0, 0], &entries));
    let signed = SealSignature { key: key(1).public(), signature: key(1).sign(&seal_message(header, 3)) };
    write("ordering_message/signed", &[&[1, 1], &codec::encode(&(1_u64, 3_u64, signed, true))[..]].concat());
    let lives = vec![(key(1).public().address(), [1_u8; 16]), (key(2).public().address(), [2; 16])];
    write("ordering_message/here", &[&[1, 2], &codec::encode(&([1_u8; 16], lives.clone(), Some(lives)))[..]].concat());
    write("ordering_message/behind", &[&[1, 3], &codec::encode(&(3_u64, 7_u64))[..]].concat());
}

/// A segment of a peer's log for each thing that can be found in one.
fn write_peer_log(write: &dyn Fn(&str, &[u8])) {
    let on_disk = |channel, sequence: u64, forgotten| {
        [&segment_channel(channel).0[..], &sequence.to_le_bytes(), &[forgotten]].concat()
    };
    let list = [on_disk(1, 10, 0), on_disk(2, 11, 0)].concat();
    // Kind, channel, sequence number, the one before, the last one on the disk, body.
    let segments: [(&str, &[SegmentRecord<'_>]); 9] = [
        ("only-heads", &[]),
        (
            "three-channels",
            &[
                (0, 1, 10, 0, 0, b"first"),
                (0, 2, 11, 0, 0, b"second"),
                (3, 0, 12, 0, 0, &list),
                (1, 3, 13, 0, 0, b"third"),
                (0, 1, 14, 10, 10, &[1; 700]),
            ],
        ),
        ("base", &[(0, 1, 10, 0, 0, b"before"), (1, 1, 11, 10, 10, b"base"), (0, 1, 12, 11, 10, b"after")]),
        ("forgotten", &[(0, 1, 10, 0, 0, b"gone"), (2, 1, 11, 10, 10, b""), (0, 2, 12, 0, 0, b"other")]),
        ("lost", &[(0, 1, 10, 0, 0, b"first"), (0, 2, 12, 0, 0, b"other"), (0, 1, 14, 11, 11, b"after the one lost")]),
        ("torn", &[(0, 1, 10, 0, 0, b"first"), (0, 1, 12, 11, 10, b"behind one that was never finished")]),
        ("refused-before", &[(0, 1, 10, 0, 0, b"1"), (0, 1, 11, 10, 10, b"refused"), (0, 1, 15, 10, 10, b"2")]),
        (
            "names-a-later-one",
            &[(0, 1, 10, 0, 0, b"first"), (1, 1, 11, 1 << 56, 10, b"base"), (0, 1, 12, 11, 10, b"2")],
        ),
        ("numbers-that-nobody-gave", &[(0, 1, u64::MAX, 0, 0, b"")]),
    ];
    for (name, records) in segments {
        write(&format!("peer_log/{name}"), &peer_log_segment(records));
    }
}
