//! Writes `tests/fixtures/certificates/history.json`: a channel's blocks in which real certificates are admitted, refused in
//! many manners, revoked by their CAs' answers and CAs go on, with what executing each block gave. `tests/replay.rs` executes
//! them again in every build. To be run when a format of blocks changes:
//!
//! ```text
//! cargo run -p tests --example write_certificate_history -- tests/fixtures/certificates/history.json
//! ```
//!
//! Keys and certificates are made anew each time: what was refused once must be refused so for ever, so the file is kept.

#![allow(clippy::unwrap_used, missing_docs)]

use ca::{
    CertificateFolder,
    limits::DAY_MS,
    office::{issuing::LeafOptions, revocation::Selection},
};
use client::admit::admission;
use client::certificate::Credential;
use ledger_classes::action::channel::{Admit, RenewAuthority, RevokeByEvidence};
use ledger_classes::action::{Action, logs};
use ledger_classes::chain::{Draft, History, draft, genesis};
use ledger_classes::execution::config_of;
use ledger_classes::formats::blinding::BlindingSeed;
use ledger_classes::formats::block::{Block, Seal};
use ledger_classes::formats::config::{Approvals, ChannelConfig, Engine, Fees, Limits, OrderingPeer, Organization};
use ledger_classes::formats::transaction::{Envelope, Transaction, parse, verify_all};
use ledger_classes::keys::{Address, KeyCache, SigningKey};
use ledger_classes::primitives::amount::Amount;
use ledger_classes::primitives::codec;
use ledger_classes::primitives::hash::{Hash, HexBytes};
use ledger_classes::primitives::identity::Identity;
use ledger_classes::primitives::time::Time;
use ledger_classes::state::tree::NoPages;
use ledger_classes::state::view::MemoryState;
use pki::{KeyAlgorithm, RevocationReason, trust::files::read_certificates};
use serde_json::{Value, json};
use server::certificates::paths::ParticipantPaths;
use std::path::{Path, PathBuf};

const NOW: Time = Time::from_millis(1_800_000_000_000);
const CONSORTIUM: &str = "harbour.example";
const SEED: [u8; 32] = [1; 32];
/// What blinds: a peer draws it.
const DRAWN: BlindingSeed = BlindingSeed::new([2; 32]);

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

fn address(number: u8) -> Address {
    key(number).public().address()
}

fn identity(text: &str) -> Identity {
    Identity::parse(&format!("spiffe://{CONSORTIUM}/{text}")).unwrap()
}

/// A consortium's folder with the organizations north, below the root, and south, a root of its own.
struct Consortium {
    dir: PathBuf,
    folder: CertificateFolder,
}

impl Consortium {
    fn new(dir: &Path, algorithms: [KeyAlgorithm; 2]) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let folder = CertificateFolder::create(dir, CONSORTIUM, KeyAlgorithm::Ed25519, NOW).unwrap();
        folder.authorities().add_organization("north", algorithms[0], NOW).unwrap();
        folder.authorities().add_organization_root("south", algorithms[1], NOW).unwrap();
        Self { dir: dir.to_owned(), folder }
    }

    /// A certificate for `who`, which lasts so many days.
    fn issue(&self, who: &str, days: u64) -> Credential {
        let into = self.dir.join(who.replace('/', "-"));
        let options = LeafOptions { lifetime_ms: days * DAY_MS, ..LeafOptions::default() };
        self.folder.issuing().issue_profile(&identity(who), &options, &into, NOW).unwrap();
        let read = |name: &str| std::fs::read(into.join(name)).unwrap();
        Credential::from_pem(&read("cert.pem"), &read("key.pem")).unwrap()
    }

    fn listed(&self, name: &str) -> Vec<HexBytes> {
        read_certificates(&self.dir.join(format!("ca/{name}.pem"))).unwrap().into_iter().map(HexBytes).collect()
    }
}

/// The chain so far, and what is written of it.
struct Maker {
    history: History,
    state: MemoryState,
    time: Time,
    nonce: u64,
    written: Vec<Value>,
}

impl Maker {
    fn new(config: &ChannelConfig) -> Self {
        let (history, state) = (History::new(), MemoryState::default());
        let mut maker = Self { history, state, time: NOW, nonce: 0, written: Vec::new() };
        let (block, _) = genesis(config).unwrap();
        maker.take(block);
        maker
    }

    fn channel(&self) -> Hash {
        self.history.last().unwrap().channel
    }

    fn take(&mut self, block: Block) {
        let checked = self.history.check(&block, None, &self.state, &NoPages, &ParticipantPaths, SEED).unwrap();
        self.state.apply(&checked.writes);
        let _ = self.history.advance(&checked);
        let told = checked.receipts.iter().map(|receipt| {
            let detail = hex::encode(codec::encode(&receipt.detail));
            json!({ "code": receipt.head.code, "detail": detail, "message": receipt.message() })
        });
        let receipts: Vec<Value> = told.collect();
        self.written
            .push(json!({ "block": hex::encode(codec::encode(&block)), "hash": checked.hash, "receipts": receipts }));
    }

    /// A block in which each signs its actions.
    fn next(&mut self, transactions: Vec<(u8, Vec<Action>)>) {
        let channel = self.channel();
        let limits = config_of(&self.state).unwrap().config.limits;
        let signed = transactions.into_iter().map(|(signer, actions)| {
            self.nonce += 1;
            let transaction = Transaction {
                channel,
                nonce: self.nonce,
                valid_until: self.time.plus_millis(60_000),
                fee_max: Amount::ZERO,
                actions,
                memo: String::new(),
                sender: None,
            };
            parse(Envelope::sign_binary(&transaction, &[&key(signer)]), channel, &limits).unwrap()
        });
        let parsed = signed.collect();
        let transactions = verify_all(parsed, SEED, &mut KeyCache::default()).into_iter().map(Result::unwrap).collect();
        let above = self.history.above(&self.state, &NoPages, &ParticipantPaths).unwrap();
        let made = draft(
            &above,
            Draft { proposer: address(200), time: self.time, seed: DRAWN, transactions, batches: Vec::new() },
        )
        .unwrap();
        let made = made.block.unwrap();
        let seal = Seal::of_one(&key(200), &made.hash);
        self.take(Block { header: made.header, transactions: made.envelopes, batches: Vec::new(), seed: DRAWN, seal });
    }
}

/// A record stands before each act that may be refused: alone it would leave nothing.
fn with_record(act: Action) -> Vec<Action> {
    vec![Action::LogAppend(logs::Append { topic: "history".into(), digest: None, body: "tried".into() }), act]
}

fn main() {
    let out = std::env::args().nth(1).expect("where to write");
    let dir = tempfile::tempdir().unwrap();
    let ours = Consortium::new(&dir.path().join("ours"), [KeyAlgorithm::P256, KeyAlgorithm::Ed25519]);
    // Of the same names, and keys that nobody here lists.
    let theirs = Consortium::new(&dir.path().join("theirs"), [KeyAlgorithm::P256, KeyAlgorithm::P256]);
    let member = |name: &str| Organization { name: name.into(), title: name.into(), authorities: ours.listed(name) };
    let mut maker = Maker::new(&ChannelConfig {
        rules: ledger_classes::rules::RULES,
        name: "history".into(),
        consortium: CONSORTIUM.into(),
        created: NOW,
        salt: HexBytes(vec![7; 16]),
        engine: Engine::Solo,
        peers: vec![OrderingPeer { identity: identity("north/peer/p1"), key: key(200).public(), weight: 1 }],
        threshold: 1,
        organizations: vec![member("north"), member("south")],
        grants: Vec::new(),
        public_read: true,
        open_submit: true,
        limits: Limits::default(),
        fees: Fees::default(),
        approvals: Approvals::Any,
        witnesses: Default::default(),
        budgets: Default::default(),
    });
    let channel = maker.channel();
    maker.time = NOW.plus_millis(DAY_MS);

    // Good ones, of both kinds of keys and CAs.
    let [ann, bob, carol] =
        ["north/admin/ann", "south/client/bob", "north/client/carol"].map(|who| ours.issue(who, 300));
    let admit = |credential: &Credential, number: u8| admission(credential, channel, address(number)).unwrap();
    maker.next(vec![(1, vec![admit(&ann, 1)]), (2, vec![admit(&bob, 2)])]);

    // Bad ones.
    let brief = ours.issue("south/client/brief", 2);
    let stranger = theirs.issue("north/client/stranger", 300);
    let changed = |credential: &Credential, number: u8, change: &dyn Fn(&mut Admit)| {
        let Action::ParticipantAdmit(mut body) = admit(credential, number) else { unreachable!("an admission") };
        change(&mut body);
        with_record(Action::ParticipantAdmit(body))
    };
    maker.time = NOW.plus_millis(3 * DAY_MS);
    let flip = |bytes: &mut HexBytes, from_end: usize| {
        let place = bytes.0.len() - from_end;
        bytes.0[place] ^= 1;
    };
    let (north, south) = (ours.listed("north")[0].clone(), ours.listed("south")[0].clone());
    maker.next(vec![
        (3, changed(&brief, 3, &|_| ())),
        (4, changed(&stranger, 4, &|_| ())),
        (5, changed(&carol, 5, &|body| flip(&mut body.path[0], 1))),
        (5, changed(&carol, 5, &|body| body.path[0].0.truncate(40))),
        (5, changed(&carol, 5, &|body| body.path[0].0.push(0))),
        (5, changed(&carol, 5, &|body| body.path.clear())),
        (5, changed(&carol, 5, &|body| body.path = vec![north.clone()])),
        (5, changed(&carol, 5, &|body| body.path.insert(1, HexBytes(vec![0x30, 0])))),
        (5, changed(&carol, 5, &|body| body.path.extend(vec![south.clone(); 5]))),
        (5, changed(&carol, 5, &|body| body.address = address(6))),
        (5, changed(&carol, 5, &|body| body.possession.0[0] ^= 1)),
        // What follows a root is passed over.
        (5, changed(&carol, 5, &|body| body.path.push(south.clone()))),
        (1, changed(&ann, 1, &|_| ())),
    ]);

    // What CAs answer.
    let evidence = |of: &Consortium, who: &str| {
        of.folder.revocation().revoke(&Selection::Identity(identity(who)), RevocationReason::Superseded, NOW).unwrap();
        let record = of
            .folder
            .records()
            .unwrap()
            .certificates()
            .iter()
            .find(|record| record.identity == identity(who))
            .unwrap()
            .clone();
        let evidence = of.folder.records().unwrap().evidence(&record).unwrap().unwrap();
        let path = evidence.path[1..].iter().cloned().map(HexBytes).collect();
        RevokeByEvidence { path, evidence: HexBytes(evidence.answer) }
    };
    let says = |body: RevokeByEvidence| Action::ParticipantRevokeByEvidence(body);
    let of_bob = evidence(&ours, "south/client/bob");
    let foreign = evidence(&theirs, "north/client/stranger");
    let of_carol = evidence(&ours, "north/client/carol");
    let damaged = |from_end: usize| {
        let mut body = of_carol.clone();
        flip(&mut body.evidence, from_end);
        with_record(says(body))
    };
    let of_other = RevokeByEvidence { path: vec![south.clone()], ..of_carol.clone() };
    maker.time = NOW.plus_millis(4 * DAY_MS);
    maker.next(vec![
        (7, vec![says(of_bob.clone())]),
        (7, with_record(says(of_bob.clone()))),
        (7, with_record(says(foreign))),
        (7, damaged(1)),
        (7, with_record(says(RevokeByEvidence { evidence: HexBytes(vec![0x30, 0]), ..of_carol.clone() }))),
        (7, with_record(says(of_other))),
        (7, vec![says(of_carol)]),
        (5, changed(&carol, 5, &|_| ())),
    ]);

    // A CA goes on: too early, by another key, with another's certificate, and as it should.
    let made = ours.folder.records().unwrap().authorities()["north"].clone();
    let late = made.certificates().map(|one| one.not_after).max().unwrap().minus_millis(30 * DAY_MS);
    ours.folder.authorities().reissue("north", late).unwrap();
    let goes_on = |maker: &Maker| {
        let record = config_of(&maker.state).unwrap();
        let listed = record.config.organizations[0].authorities.clone();
        let (certificate, proof) =
            ours.folder.authorities().consent("north", &channel, record.height, &listed).unwrap();
        RenewAuthority { organization: "north".into(), certificate: HexBytes(certificate), proof: HexBytes(proof) }
    };
    let renewal = goes_on(&maker);
    let renew = |change: &dyn Fn(&mut RenewAuthority)| {
        let mut body = renewal.clone();
        change(&mut body);
        with_record(Action::ChannelRenewAuthority(body))
    };
    maker.time = NOW.plus_millis(5 * DAY_MS);
    maker.next(vec![(7, renew(&|_| ()))]);
    maker.time = late.plus_millis(DAY_MS);
    maker.next(vec![
        (7, renew(&|body| flip(&mut body.proof, 1))),
        (7, renew(&|body| body.certificate = theirs.listed("north")[0].clone())),
        (7, renew(&|body| body.certificate = HexBytes(vec![0x30, 0]))),
        (7, renew(&|body| body.organization = "south".into())),
        (7, vec![Action::ChannelRenewAuthority(renewal.clone())]),
    ]);
    maker.time = late.plus_millis(2 * DAY_MS);
    maker.next(vec![(7, renew(&|_| ())), (1, with_record(admit(&ann, 1)))]);

    let text = maker.written.iter().map(Value::to_string).collect::<Vec<_>>().join(",\n");
    std::fs::write(out, format!("[\n{text}\n]\n")).unwrap();
}
