//! How long proofs are on a channel with many changes of the largest configuration, of transactions and of the state (what is
//! there, what is absent): makes such a channel in memory and prints a JSON line for each kind of change.
//!
//! ```sh
//! cargo run --release -p tests --example proof_sizes -- 4096
//! ```

#![allow(clippy::unwrap_used, missing_docs)]

use ledger_classes::action::channel::{Admit, Propose};
use ledger_classes::action::{Action, logs};
use ledger_classes::chain::{self, Draft, History};
use ledger_classes::execution::config_of;
use ledger_classes::formats::blinding::{Blinded, BlindingSeed};
use ledger_classes::formats::block::{Block, Seal, receipt_leaves, transaction_leaves};
use ledger_classes::formats::config::{
    Approvals, ChannelConfig, ConfigChange, Engine, Fees, Limits, OrderingPeer, Organization,
};
use ledger_classes::formats::detail::PathRefusal;
use ledger_classes::formats::proof::{
    Evidence, LaterHeader, Proof, ReceiptProof, StateEvidence, StateProof, TransactionProof, Trust, TrustLink,
    TrustRoot, part,
};
use ledger_classes::formats::receipt::Receipt;
use ledger_classes::formats::rights::{Grant, Grantee, Right};
use ledger_classes::formats::transaction::{Envelope, Transaction, parse, verify_all};
use ledger_classes::keys::{Address, KeyCache, SigningKey};
use ledger_classes::limits::CONFIG_BYTES_MAX;
use ledger_classes::merkle;
use ledger_classes::primitives::amount::Amount;
use ledger_classes::primitives::codec;
use ledger_classes::primitives::hash::{Hash, HexBytes};
use ledger_classes::primitives::identity::Identity;
use ledger_classes::primitives::time::Time;
use ledger_classes::state::keyspace;
use ledger_classes::state::participant::{CertificatePaths, CertifiedIdentity, PathRules, possession_message};
use ledger_classes::state::tree::NoPages;
use ledger_classes::state::view::{MemoryState, ReadView as _, Writes};
use serde_json::json;
use std::sync::Arc;

const SEED: BlindingSeed = BlindingSeed::new([2; 32]);
const BEGIN: Time = Time::from_millis(1_800_000_000_000);
const DAY_MS: u64 = 86_400_000;
/// Who orders, and who administers.
const ORDERER: u8 = 200;
const ADMIN: u8 = 1;

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

fn address(number: u8) -> Address {
    key(number).public().address()
}

fn identity(text: &str) -> Identity {
    Identity::parse(&format!("spiffe://harbour.example/{text}")).unwrap()
}

/// Takes the one certificate that there is.
struct OnePath;

impl CertificatePaths for OnePath {
    fn verify(&self, _: PathRules, _: &[&[u8]], roots: &[&[u8]], _: Time) -> Result<CertifiedIdentity, PathRefusal> {
        let issuer = Hash::plain(&[roots[0]]);
        Ok(CertifiedIdentity {
            identity: identity("bank/admin/ann"),
            serial: vec![1],
            issuer,
            not_after: BEGIN.plus_millis(20_000 * DAY_MS),
            key: key(ADMIN).public(),
            authorities: vec![issuer],
            above: Vec::new(),
        })
    }

    fn claimed_organization(&self, _: PathRules, _: &[u8]) -> Option<String> {
        Some("bank".into())
    }
}

/// A CA's certificate as far as anybody here looks at it.
fn authority(number: usize, bytes: usize) -> HexBytes {
    let mut der = vec![0x30; bytes];
    der[1..9].copy_from_slice(&(number as u64).to_le_bytes());
    HexBytes(der)
}

/// A configuration of nearly the largest size: the last bytes are left for titles.
fn config() -> ChannelConfig {
    let organization = |name: String, first: usize, bytes: usize| Organization {
        title: String::new(),
        authorities: (0..8).map(|place| authority(first + place, bytes)).collect(),
        name,
    };
    let mut config = ChannelConfig {
        rules: ledger_classes::rules::RULES,
        name: "long".into(),
        consortium: "harbour.example".into(),
        created: BEGIN,
        salt: HexBytes(vec![7; 16]),
        engine: Engine::Solo,
        peers: vec![OrderingPeer { identity: identity("bank/peer/p1"), key: key(ORDERER).public(), weight: 1 }],
        threshold: 1,
        organizations: (0..24).map(|place| organization(format!("o{place}"), 8 * place, 900)).collect(),
        grants: vec![Grant { to: Grantee::Organization("bank".into()), rights: [Right::Admin].into_iter().collect() }],
        public_read: true,
        open_submit: true,
        limits: Limits::default(),
        fees: Fees::default(),
        approvals: Approvals::Any,
        witnesses: Default::default(),
        budgets: Default::default(),
    };
    config.organizations.insert(0, organization("bank".into(), 1_000, 900));
    let mut place = 0;
    while codec::encode(&config).len() < CONFIG_BYTES_MAX - 256 {
        let left = CONFIG_BYTES_MAX - 128 - codec::encode(&config).len();
        let der = &mut config.organizations[place / 8 + 1].authorities[place % 8].0;
        der.resize((der.len() + left).min(8_000), 0x30);
        place += 1;
    }
    config
}

/// The channel, as far as proofs need it.
struct Maker {
    history: History,
    state: MemoryState,
    time: Time,
    nonce: u64,
    root: TrustRoot,
    links: Vec<TrustLink>,
    hashes: Vec<Hash>,
    last: (Block, Vec<Arc<Receipt>>),
}

impl Maker {
    fn new() -> Self {
        let config = config();
        let (block, _) = chain::genesis(&config).unwrap();
        let (mut history, mut state) = (History::new(), MemoryState::default());
        let checked = history.check(&block, None, &state, &NoPages, &OnePath, [1; 32]).unwrap();
        state.apply(&checked.writes);
        let _ = history.advance(&checked);
        let root = TrustRoot::new(&block.header, &config.orderers());
        let (hashes, last) = (vec![merkle::leaf_hash(&checked.hash.0)], (block, Vec::new()));
        let mut maker = Self { history, state, time: BEGIN, nonce: 0, root, links: Vec::new(), hashes, last };
        let channel = maker.channel();
        let possession = key(ADMIN).sign(&possession_message(&channel, &address(ADMIN)));
        let admit = Admit { address: address(ADMIN), path: vec![HexBytes(vec![0x30, 0])], possession };
        maker.next(Action::ParticipantAdmit(admit));
        maker
    }

    fn channel(&self) -> Hash {
        self.history.last().unwrap().channel
    }

    /// A block a day later.
    fn next(&mut self, action: Action) {
        self.time = self.time.plus_millis(DAY_MS);
        self.nonce += 1;
        let channel = self.channel();
        let transaction = Transaction {
            channel,
            nonce: self.nonce,
            valid_until: self.time.plus_millis(60_000),
            fee_max: Amount::ZERO,
            actions: vec![action],
            memo: String::new(),
            sender: None,
        };
        let envelope = Envelope::sign_binary(&transaction, &[&key(ADMIN)]);
        let parsed = parse(envelope, channel, &Limits::default()).unwrap();
        let transactions =
            verify_all(vec![parsed], [1; 32], &mut KeyCache::default()).into_iter().map(Result::unwrap).collect();
        let above = self.history.above(&self.state, &NoPages, &OnePath).unwrap();
        let draft =
            Draft { proposer: address(ORDERER), time: self.time, seed: SEED, transactions, batches: Vec::new() };
        let made = chain::draft(&above, draft).unwrap().block.unwrap();
        assert_eq!(made.receipts[0].head.code, 0, "{}", made.receipts[0].message());
        let seal = Seal::of_one(&key(ORDERER), &made.hash);
        if let Some(record) = &made.config
            && record.height == record.orderers_since
        {
            let (header, seal) = (part(&made.header), part(&seal));
            self.links.push(TrustLink { header, seal, orderers: part(&record.config.orderers()) });
        }
        let before = config_of(&self.state).unwrap().height;
        let block = Block { header: made.header, transactions: made.envelopes, batches: Vec::new(), seed: SEED, seal };
        let checked = self.history.check(&block, None, &self.state, &NoPages, &OnePath, [1; 32]).unwrap();
        let _ = self.history.advance(&checked);
        self.state.apply(&made.writes);
        if made.config.is_some() {
            // Configurations of before are for readers, and would fill the memory here.
            self.state.apply(&Writes::from([(keyspace::config_at(before), None)]));
        }
        self.hashes.push(merkle::leaf_hash(&checked.hash.0));
        self.last = (block, made.receipts);
    }

    /// The proof of the only transaction of a block, tied to the last one.
    fn proof(&self, (block, receipts): &(Block, Vec<Arc<Receipt>>), later: bool) -> Proof {
        let (blinder, tip) = (block.blinder(), &self.last.0);
        let receipts: Vec<Receipt> = receipts.iter().map(|receipt| (**receipt).clone()).collect();
        let path = |leaves: &[Hash]| merkle::inclusion_path(leaves, 0).unwrap();
        let height = tip.header.height as usize;
        Proof {
            version: 1,
            trust: Trust { genesis: self.root.clone(), links: self.links.clone() },
            evidence: Evidence {
                header: part(&block.header),
                seal: part(&block.seal),
                receipt: ReceiptProof {
                    head: part(&receipts[0].head),
                    blinding: blinder.of(Blinded::Receipt { index: 0 }),
                    path: path(&receipt_leaves(&receipts, &blinder)),
                },
                transaction: Some(TransactionProof {
                    envelope: HexBytes(block.transactions[0].clone()),
                    index: 0,
                    path: path(&transaction_leaves(&block.transactions).unwrap()),
                }),
                event: None,
                detail: None,
            },
            later: later.then(|| LaterHeader {
                header: part(&tip.header),
                seal: part(&tip.seal),
                path: merkle::inclusion_path(&self.hashes[..height], block.header.height).unwrap(),
            }),
        }
    }
}

impl Maker {
    /// The proof of what a key has in the state that the last block leaves.
    fn state_proof(&self, key: &[u8]) -> StateProof {
        let tip = &self.last.0;
        let above = self.history.above(&self.state, &NoPages, &OnePath).unwrap();
        let path = above.tree.prove(&NoPages, &tip.blinder(), key).unwrap().encode();
        let value = self.state.get(key).unwrap().map(|value| HexBytes(value.to_vec()));
        let (key, path) = (HexBytes(key.to_vec()), HexBytes(path));
        let state = StateEvidence { header: part(&tip.header), seal: part(&tip.seal), key, value, path };
        StateProof { version: 1, trust: Trust { genesis: self.root.clone(), links: self.links.clone() }, state }
    }
}

fn main() {
    let changes: u64 = std::env::args().nth(1).map_or(4_096, |text| text.parse().unwrap());
    let bytes = |value: serde_json::Value| value.to_string().len();
    for kind in ["title", "orderers"] {
        let mut maker = Maker::new();
        let largest = codec::encode(&config_of(&maker.state).unwrap().config).len();
        let record = || Action::LogAppend(logs::Append { topic: "sizes".into(), digest: None, body: "x".into() });
        maker.next(record());
        let first = maker.last.clone();
        for number in 0..changes {
            let config = config_of(&maker.state).unwrap().config;
            let change = match kind {
                "title" => {
                    let title = if number % 2 == 0 { "t".repeat(100) } else { "u".repeat(100) };
                    ConfigChange::PutOrganization(Organization { title, ..config.organizations[0].clone() })
                }
                _ => {
                    let weight = 2 + u32::try_from(number % 2).unwrap();
                    let peers = vec![OrderingPeer { weight, ..config.peers[0].clone() }];
                    ConfigChange::SetPeers { peers, threshold: weight.into() }
                }
            };
            maker.next(Action::ChannelPropose(Propose { changes: vec![change], reason: String::new() }));
        }
        maker.next(record());
        let (last, early) = (maker.proof(&maker.last, false), maker.proof(&first, true));
        for proof in [&last, &early] {
            proof.verify(Some(maker.channel())).unwrap();
        }
        let there = maker.state_proof(&keyspace::log("sizes", maker.last.0.header.height, 0, 0));
        let absent = maker.state_proof(&keyspace::asset("none"));
        for (proof, is_there) in [(&there, true), (&absent, false)] {
            assert_eq!(proof.verify(Some(maker.channel())).unwrap().value.is_some(), is_there);
        }
        let line = json!({
            "changes": changes, "of": kind, "configuration_bytes": largest, "links": maker.links.len(),
            "proof_bytes": bytes(json!(last)), "proof_of_the_first_tied_to_the_last_bytes": bytes(json!(early)),
            "state_proof_bytes": bytes(json!(there)), "absence_proof_bytes": bytes(json!(absent)),
            "way_bytes": bytes(json!(last.trust)),
        });
        println!("{line}");
    }
}
