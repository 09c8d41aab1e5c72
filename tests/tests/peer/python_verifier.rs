//! `docs/examples/verify_proof.py`, which knows nothing but the documents of `docs/formats`, says of every proof what
//! the program says: of those of a running peer, and of each of them changed in one place.

use crate::foreign_clients::python;
use crate::harness::{Consortium, append, key, text, transaction, transfer, try_run};
use client::submit::{Wait, sign_json};
use client::verify::{verify_proof, verify_state_proof};
use ledger_classes::formats::proof::{Proof, StateProof};
use ledger_classes::formats::transaction::{Encoding, Envelope, SignedBy};
use ledger_classes::keys::{self, PublicKey, Scheme, Signature};
use ledger_classes::primitives::hash::Hash;
use ledger_classes::state::keyspace;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use std::process::Stdio;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/verify_proof.py");

/// Runs Python on a document; `program` finds it as `given` and the verifier as `v`, and prints JSON.
fn ask_python(given: &Value, program: &str) -> Value {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("given.json");
    std::fs::write(&file, given.to_string()).expect("writable");
    let head = "import json, os, sys\n\
        sys.dont_write_bytecode = True\n\
        sys.path.insert(0, os.path.dirname(sys.argv[1]))\n\
        import verify_proof as v\n\
        given = json.load(sys.stdin)\n";
    let output = python()
        .args(["-c", &(head.to_owned() + program), SCRIPT])
        .stdin(std::fs::File::open(&file).expect("readable"))
        .stderr(Stdio::inherit())
        .output()
        .expect("runs");
    assert!(output.status.success());
    ledger_classes::primitives::json::from_slice(&output.stdout).expect("JSON")
}

/// Documents that differ from this one in one place.
fn changed(value: &Value, here: &str, all: &mut Vec<(String, Value)>, with: &dyn Fn(Value) -> Value) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                let mut without = fields.clone();
                without.remove(name);
                all.push((format!("{here} without {name}"), with(Value::Object(without))));
                changed(inner, &format!("{here}.{name}"), all, &|inner| {
                    let mut fields = fields.clone();
                    fields.insert(name.clone(), inner);
                    with(Value::Object(fields))
                });
            }
            let mut more = fields.clone();
            more.insert("stranger".into(), 1.into());
            all.push((format!("{here} with a stranger"), with(Value::Object(more))));
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                let mut without = items.clone();
                without.remove(at);
                all.push((format!("{here} without {at}"), with(Value::Array(without))));
                let mut twice = items.clone();
                twice.insert(at, item.clone());
                all.push((format!("{here} twice {at}"), with(Value::Array(twice))));
                changed(item, &format!("{here}.{at}"), all, &|item| {
                    let mut items = items.clone();
                    items[at] = item;
                    with(Value::Array(items))
                });
            }
            let mut more = items.clone();
            more.push("00".repeat(32).into());
            all.push((format!("{here} longer"), with(Value::Array(more))));
        }
        Value::String(digits) => {
            let last = digits.len() - 1;
            // Spread over the whole of a long part, so that every field of it is met in one proof or another.
            for place in (0..16).map(|part| part * last / 15) {
                let mut text = digits.clone().into_bytes();
                text[place] = if text[place] == b'0' { b'1' } else { b'0' };
                all.push((format!("{here} at {place}"), with(String::from_utf8(text).expect("ASCII").into())));
            }
            for (what, text) in [
                ("longer", format!("{digits}00")),
                ("shorter", digits[..last - 1].to_owned()),
                ("odd", digits[..last].to_owned()),
                ("in capitals", digits.to_uppercase()),
                ("empty", String::new()),
            ] {
                all.push((format!("{here} {what}"), with(text.into())));
            }
        }
        Value::Number(number) => {
            let number = number.as_u64().expect("a position");
            all.push((format!("{here} + 1"), with((number + 1).into())));
            all.push((format!("{here} as text"), with(number.to_string().into())));
        }
        Value::Null | Value::Bool(_) => {}
    }
}

#[tokio::test]
async fn python_says_of_every_proof_what_the_program_says() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let admin = consortium.admin();
    let made = peer.run(&admin, &["channel", "create", "trade", "--org", "bank", "--open-submit"]);
    let id: Hash = made["id"].as_str().expect("an id").parse().expect("hex");
    peer.run(&admin, &["key", "new"]);
    peer.run(&admin, &["participant", "admit", "--channel", "trade"]);
    let connection = peer.connect(&admin);

    // JSON under Ed25519 below two changes of who seals, and binary under P-256 above them.
    let mut ids = Vec::new();
    let mut first = transaction(id, vec![append("a", "first"), append("b", "second")]);
    first.sender = Some(key(1).public().address());
    let first = sign_json(&first, &[&key(1), &key(2)]);
    ids.push(first.id());
    connection.submit("trade", &first, Wait::Committed).await.expect("taken");
    for weight in [2, 3] {
        let mut orders = made["config"]["peers"][0].clone();
        orders["weight"] = weight.into();
        let changes = json!([{ "change": "set_peers", "threshold": weight, "peers": [orders] }]);
        let file = consortium.path("changes.json");
        std::fs::write(&file, changes.to_string()).expect("writable");
        peer.run(&admin, &["channel", "update", "trade", "--changes", text(&file)]);
        // Nor is a link what changes nothing of it.
        let approvals = if weight == 2 { "all" } else { "majority" };
        peer.run(&admin, &["channel", "update", "trade", "--approvals", approvals]);
    }
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("made");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).expect("read");
    let payload = ledger_classes::primitives::codec::encode(&transaction(id, vec![append("c", "third")]));
    let mut envelope = Envelope { encoding: Encoding::Binary, payload, signatures: Vec::new() };
    let signature = pair.sign(&random, &envelope.message()).expect("signs");
    envelope.signatures.push(SignedBy {
        key: PublicKey::new(Scheme::EcdsaP256, pair.public_key().as_ref()).expect("a key"),
        signature: Signature(signature.as_ref().try_into().expect("64 bytes")),
    });
    ids.push(envelope.id());
    // Several in one block, so that paths have something in them.
    let mut together = vec![envelope];
    together.extend((0..5).map(|at| sign_json(&transaction(id, vec![append("d", at.to_string())]), &[&key(3)])));
    ids.push(together[4].id());
    // One that fails, and tells why.
    together.push(sign_json(&transaction(id, vec![transfer("usd", 2, 5)]), &[&key(3)]));
    ids.push(together[6].id());
    connection.submit_batch("trade", &together, Wait::Committed).await.expect("taken");
    let tip = connection.channel("trade").await.expect("readable").height;

    let mut rows = Vec::new();
    for (row, transaction) in ids.iter().enumerate() {
        let later = (row == 0).then_some(tip);
        let proof = connection.proof("trade", *transaction, later).await.expect("proven");
        let proven = verify_proof(&proof, Some(id)).expect("holds");
        assert_eq!(proof.trust.links.len(), 2, "the later header is sealed, too");
        let document = serde_json::to_value(&proof).expect("serializes");
        // As its users run it.
        let file = consortium.path("proof.json");
        std::fs::write(&file, document.to_string()).expect("writable");
        let run = |known: &str| python().args([SCRIPT, "--channel-id", known, text(&file)]).output().expect("runs");
        let output = run(&id.to_string());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said: Value = ledger_classes::primitives::json::from_slice(&output.stdout).expect("JSON");
        let expected = serde_json::to_value(&proven).expect("serializes");
        for field in ["channel", "height", "block", "index", "id", "code", "fee", "signers"] {
            assert_eq!(said[field], expected[field], "{field}");
        }
        assert_eq!(said.get("later"), expected.get("later"));
        let told = (said["detail"]["number"].as_u64(), expected["detail"]["name"].as_str());
        assert_eq!(told, if row == 3 { (Some(200), Some("unknown-asset")) } else { (None, None) });
        if row == 0 {
            assert_eq!(said["transaction"]["actions"], expected["transaction"]["actions"]);
        }
        let output = run(&"0".repeat(64));
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("the proof is about channel"));

        rows.push((format!("proof {row}"), document.clone()));
        changed(&document, &format!("proof {row}"), &mut rows, &|document| document);
    }
    let documents: Vec<&Value> = rows.iter().map(|(_, document)| document).collect();
    let program = "def holds(document):\n\
        \x20   try:\n\
        \x20       v.verify(json.dumps(document), given['channel'])\n\
        \x20       return True\n\
        \x20   except v.Refused:\n\
        \x20       return False\n\
        print(json.dumps([holds(document) for document in given['documents']]))";
    let verdicts = ask_python(&json!({ "channel": id.to_string(), "documents": documents }), program);
    let verdicts = verdicts.as_array().expect("a list");
    assert_eq!(verdicts.len(), rows.len());
    let mut held = 0;
    for ((how, document), by_python) in rows.iter().zip(verdicts) {
        let proof = ledger_classes::primitives::json::from_str::<Proof>(&document.to_string());
        let holds = proof.is_ok_and(|proof| verify_proof(&proof, Some(id)).is_ok());
        assert_eq!(*by_python, holds, "{how}");
        // A link to other weights of the peer that seals may go: it could seal before.
        held += usize::from(holds && !how.contains(".links without"));
    }
    // What may go without anybody being deceived: the transaction, why it failed, the later header.
    assert!(rows.len() > 400 && held <= 11, "{held} of {} hold", rows.len());
}

/// What keys have in the state: one that is there, and some that are not.
#[tokio::test]
async fn python_says_of_every_proof_of_the_state_what_the_program_says() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let admin = consortium.admin();
    let made = peer.run(&admin, &["channel", "create", "trade", "--org", "bank", "--open-submit"]);
    let id: Hash = made["id"].as_str().expect("an id").parse().expect("hex");
    peer.run(&admin, &["key", "new"]);
    peer.run(&admin, &["participant", "admit", "--channel", "trade"]);
    let connection = peer.connect(&admin);
    let many: Vec<_> =
        (0..60).map(|at| sign_json(&transaction(id, vec![append("a", format!("record {at}"))]), &[&key(3)])).collect();
    connection.submit_batch("trade", &many, Wait::Committed).await.expect("taken");
    peer.run(&admin, &["channel", "update", "trade", "--approvals", "all"]);
    let tip = connection.channel("trade").await.expect("readable").height;
    let account = key(3).public().address();
    let (mut rows, mut there) = (Vec::new(), 0);
    for asked in [
        keyspace::config(),
        keyspace::config_at(0),
        keyspace::balance(&account, "usd"),
        keyspace::log("a", 2, 2, 0),
        keyspace::log("a", 2, 900, 0),
        vec![0xff],
    ] {
        let (proof, proven) = connection.verified_state("trade", &asked, Some(id)).await.expect("proven");
        assert_eq!((proven.height, proven.channel, &proven.key.0), (tip, id, &asked));
        there += usize::from(proven.value.is_some());
        let document = serde_json::to_value(&proof).expect("serializes");
        // As its users run both.
        let file = consortium.path("proof.json");
        std::fs::write(&file, document.to_string()).expect("writable");
        let by_program = try_run(&["verify", "--proof", text(&file), "--channel-id", &id.to_string()]);
        assert!(by_program.status.success(), "{by_program:?}");
        let by_program: Value = ledger_classes::primitives::json::from_slice(&by_program.stdout).expect("JSON");
        let by_python = python().args([SCRIPT, "--channel-id", &id.to_string(), text(&file)]).output().expect("runs");
        assert!(by_python.status.success(), "{}", String::from_utf8_lossy(&by_python.stderr));
        let by_python: Value = ledger_classes::primitives::json::from_slice(&by_python.stdout).expect("JSON");
        for field in ["channel", "height", "block", "key", "value"] {
            assert_eq!(by_python[field], by_program[field], "{field}");
        }
        assert_eq!(by_program["channel_id_compared"], true);
        let what = hex::encode(&asked);
        rows.push((what.clone(), document.clone()));
        // The way from genesis is that of all proofs, and is changed in those of transactions.
        changed(&document["state"], &what, &mut rows, &|state| {
            let mut document = document.clone();
            document["state"] = state;
            document
        });
        // The value of one key, and absence, with the path of another one.
        let foreign =
            connection.verified_state("trade", &keyspace::administrators("bank"), Some(id)).await.expect("proven");
        for field in ["value", "path"] {
            let mut mixed = document.clone();
            mixed["state"][field] = serde_json::to_value(&foreign.0).expect("serializes")["state"][field].clone();
            rows.push((format!("{what} with the {field} of another key"), mixed));
        }
        let mut contrary = document.clone();
        contrary["state"]["value"] = if proven.value.is_some() { Value::Null } else { "00".into() };
        rows.push((format!("{what} said to be the contrary"), contrary));
    }
    assert_eq!(there, 3);
    let documents: Vec<&Value> = rows.iter().map(|(_, document)| document).collect();
    let program = "def holds(document):\n\
        \x20   try:\n\
        \x20       v.verify(json.dumps(document), given['channel'])\n\
        \x20       return True\n\
        \x20   except v.Refused:\n\
        \x20       return False\n\
        print(json.dumps([holds(document) for document in given['documents']]))";
    let verdicts = ask_python(&json!({ "channel": id.to_string(), "documents": documents }), program);
    let mut held = 0;
    for ((how, document), by_python) in rows.iter().zip(verdicts.as_array().expect("a list")) {
        let proof = ledger_classes::primitives::json::from_str::<StateProof>(&document.to_string());
        let holds = proof.is_ok_and(|proof| verify_state_proof(&proof, Some(id)).is_ok());
        assert_eq!(*by_python, holds, "{how}");
        // One way shows of many keys that they are absent; digits that are no letters have no capitals.
        let is_true = how.contains(".key ") && document["state"]["value"].is_null() || how.ends_with("in capitals");
        assert!(!holds || !how.contains(' ') || is_true, "{how}");
        held += usize::from(holds && !how.contains(' '));
    }
    assert!(rows.len() > 300 && held == 6, "{held} of {}", rows.len());
}

/// Every pair of encodings of points of small order, canonical or not, and some that are no points: where libraries
/// with other rules than ZIP 215 disagree.
#[test]
fn python_judges_ed25519_by_zip_215() {
    let order_eight = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
    let order_eight_too = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a";
    let p = |low: u8| format!("{low:02x}{}7f", "ff".repeat(30));
    let small = |low: u8| format!("{low:02x}{}", "00".repeat(31));
    let points: Vec<Vec<u8>> =
        [small(0), small(1), small(2), p(0xec), p(0xed), p(0xee), order_eight.into(), order_eight_too.into()]
            .iter()
            .flat_map(|point| {
                let point = hex::decode(point).expect("hex");
                let mut signed = point.clone();
                signed[31] |= 0x80;
                [point, signed]
            })
            .collect();
    let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").expect("hex");
    let scalars = [vec![0; 32], order];
    let mut rows = Vec::new();
    for key in &points {
        for r in &points {
            for s in &scalars {
                rows.push((key.clone(), [r.as_slice(), s].concat()));
            }
        }
    }
    let good = key(1);
    let signature = good.sign(b"zip 215").0;
    rows.push((good.public().bytes().to_vec(), signature.to_vec()));
    let mut flipped = signature;
    flipped[40] ^= 1;
    rows.push((good.public().bytes().to_vec(), flipped.to_vec()));
    let given: Vec<Value> =
        rows.iter().map(|(key, signature)| json!([hex::encode(key), hex::encode(signature)])).collect();
    let program = "print(json.dumps([v.ed25519_zip215(bytes.fromhex(key), b'zip 215', bytes.fromhex(signature))\n\
        \x20   for key, signature in given]))";
    let verdicts = ask_python(&given.into(), program);
    let mut valid = 0;
    for ((key, signature), by_python) in rows.iter().zip(verdicts.as_array().expect("a list")) {
        let public = PublicKey::new(Scheme::Ed25519, key).expect("32 bytes");
        let verdict = keys::verify(&public, b"zip 215", &Signature(signature.as_slice().try_into().expect("64 bytes")));
        assert_eq!(*by_python, verdict, "{} {}", hex::encode(key), hex::encode(signature));
        valid += usize::from(verdict);
    }
    assert!(valid > 100, "{valid} are valid");
}

/// What other languages test with, tested with one.
#[test]
fn python_judges_the_vectors_of_seals_and_makes_the_leaves_of_transactions_as_the_files_say() {
    let lines = |text: &str| -> Vec<Value> {
        text.lines().map(|line| ledger_classes::primitives::json::from_str(line).expect("JSON")).collect()
    };
    let seals = lines(include_str!("../../../docs/formats/seals.jsonl"));
    let leaves = lines(include_str!("../../../docs/formats/transaction-leaf.jsonl"));
    let program = "def sealed(one):\n\
        \x20   key = (1 if one['scheme'] == 'ed25519' else 2, bytes.fromhex(one['key']))\n\
        \x20   return v.is_sealed(key, bytes.fromhex(one['message']), bytes.fromhex(one['signature']))\n\
        def leaf(one):\n\
        \x20   envelope = bytes.fromhex(one['envelope'])\n\
        \x20   return v.transaction_leaf(v.read_envelope(envelope)['id'], envelope).hex()\n\
        print(json.dumps([[sealed(one) for one in given['seals']], [leaf(one) for one in given['leaves']]]))";
    let said = ask_python(&json!({ "seals": seals, "leaves": leaves }), program);
    let stated = |from: &[Value], name: &str| Value::from(from.iter().map(|one| one[name].clone()).collect::<Vec<_>>());
    assert_eq!(said, json!([stated(&seals, "ok"), stated(&leaves, "leaf")]));
    assert!(seals.len() > 40 && leaves.len() == 3);
}
