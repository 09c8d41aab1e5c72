//! The OpenAPI document against a running peer: Schemathesis draws requests from it, good ones and bad ones, and holds
//! the answers against it. Names and bodies that exist take the place of drawn ones in two of three good requests
//! (`tests/schemathesis/hooks.py`), so that each operation is seen to succeed, and its answers to be as they are described.

use crate::{
    governance::{Trade, trade},
    harness::{address, append, run, text, transaction},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ca::{KeyPair, holder::request::make_request};
use client::api::{Batch, JsonEnvelope, SubmissionLine, submission_frame};
use client::profile::Profile;
use client::submit::sign_json;
use ledger_classes::formats::transaction::Envelope;
use ledger_classes::primitives::codec;
use ledger_classes::primitives::hash::Hash;
use pki::KeyAlgorithm;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::{Command, Stdio};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schemathesis");
/// The draws are of this seed, so that a finding is found again.
const SEED: &str = "12";
/// Requests of each kind for one operation.
const EXAMPLES: &str = "12";

/// Operations that are never seen to succeed, and why.
const NEVER_DONE: [(&str, &str); 1] =
    [("openapi", "Schemathesis reads the document from there, and leaves the operation out of what it tests")];

fn id_of(outcome: &Value) -> String {
    outcome["id"].as_str().unwrap_or_else(|| panic!("no id: {outcome}")).to_owned()
}

/// A certificate request for an identity of the bank, under a new key.
fn request_for(name: &str) -> String {
    let key = KeyPair::generate(KeyAlgorithm::P256).expect("a key");
    let identity = format!("spiffe://test.example/bank/{name}").parse().expect("an identity");
    make_request(&key, &identity).expect("a request")
}

/// What is on the channel `trade` and in the authorities' folder, by the names that the document's paths have, and what
/// an operation is asked with.
async fn seeds(trade: &Trade) -> Value {
    let (peer, bank) = (&trade.peer, trade.bank.as_path());
    let act = |words: &[&str]| peer.run(bank, &[words, &["--channel", "trade"]].concat());
    let own = run(&["--profile", text(bank), "key", "show"])["address"].as_str().expect("an address").to_owned();
    let spender = address(9).to_string();
    let defined = id_of(&act(&["asset", "define", "usd", "--decimals", "2"]));
    act(&["asset", "mint", "usd", &own, "1000"]);
    act(&["asset", "approve", "usd", &spender, "5", "--new"]);
    act(&["asset", "define", "deed", "--unique"]);
    act(&["asset", "mint-item", "deed", "lot-1", &own, "--metadata", &"00".repeat(32)]);
    act(&["contract", "deploy", "sale", "lending"]);
    let terms = json!({ "currencies": ["usd"], "grace_seconds": 60, "registrars": ["bank"] }).to_string();
    act(&["contract", "create", "sale", "desk-1", &terms]);
    let bundle = trade.consortium.path("bundle");
    std::fs::write(&bundle, "a bundle").expect("writable");
    act(&["app", "publish", "desk", "1.0.0", "--title", "Desk", "--bundle", text(&bundle), "--contract", "sale"]);
    act(&["log", "append", "steps", "--body", "1"]);
    let proposal = trade.propose("dora");

    let dir = trade.consortium.dir();
    let file = |name: &str| {
        let path = trade.consortium.path("asked.pem");
        std::fs::write(&path, request_for(name)).expect("writable");
        id_of(&run(&["ca", "--dir", text(&dir), "request", text(&path)]))
    };
    let (approved, rejected) = (file("client/approved"), file("client/rejected"));
    let made = run(&["ca", "--dir", text(&dir), "token", "spiffe://test.example/bank/client/cancelled"]);
    let token = made["token"].as_str().and_then(|token| token.split_once('.')).expect("a token").0.to_owned();
    let gone = trade.consortium.path("gone");
    let gone = run(&["ca", "--dir", text(&dir), "issue", "bank", "client", "gone", "--out", text(&gone)]);
    let serial = gone["certificate"]["serial"].as_str().expect("a serial").to_owned();

    let lost = trade.consortium.path("lost");
    run(&["ca", "--dir", text(&dir), "issue", "bank", "client", "lost", "--out", text(&lost)]);
    run(&["ca", "--dir", text(&dir), "revoke", "spiffe://test.example/bank/client/lost"]);
    let folder = ca::CertificateFolder::open(&dir).expect("there");
    let lost = folder.records().expect("readable").revoked(client::now()).into_iter().next().expect("revoked");
    let evidence = folder.records().expect("readable").evidence(&lost).expect("readable").expect("signed");
    let path: Vec<String> = evidence.path.iter().map(hex::encode).collect();

    let connection = peer.connect(bank);
    // The newest, which the peer may be about to read.
    let crl = std::fs::read(dir.join("ca/crl/bank.pem")).expect("there");
    let crl = pki::pem::read_one(&crl, pki::pem::CRL).expect("one list").to_vec();
    let pem = std::fs::read(dir.join("ca/bank.pem")).expect("there");
    let issuer = pki::pem::read_one(&pem, pki::pem::CERTIFICATE).expect("one certificate");
    let question = pki::x509::ocsp::request(&issuer, &serial.parse().expect("a serial")).expect("a question");

    let channel: Hash = connection.channel("trade").await.expect("seen").id;
    let key = Profile::open(bank).expect("a profile").read_account_key().expect("its key");
    let envelope = JsonEnvelope::from(&sign_json(&transaction(channel, vec![append("steps", "2")]), &[&key]));

    let binary = Envelope::sign_binary(&transaction(channel, vec![append("steps", "3")]), &[&key]);
    let line = SubmissionLine { number: 1, transaction: JsonEnvelope::from(&binary) };
    let line = serde_json::to_string(&line).expect("JSON");
    let batch = codec::encode(&Batch { version: 1, envelopes: vec![codec::encode(&binary)] });
    json!({
        "names": {
            "channel": "trade", "asset": "usd", "item": "lot-1", "address": own, "spender": spender,
            "contract": "sale", "instance": "desk-1", "app": "desk", "version": "1.0.0", "height": 1,
            "organization": "bank", "serial": serial, "request": STANDARD.encode(&question),
        },
        "operations": {
            "transaction": { "path": { "id": defined } },
            "proof": { "path": { "id": defined }, "query": {} },
            "stateProof": { "path": { "key": "01" } },
            "proposal": { "path": { "id": proposal } },
            "items": { "path": { "asset": "deed" } },
            "item": { "path": { "asset": "deed" } },
            "events": { "query": { "from": "0" } },
            "blocks": { "query": { "limit": 2 } },
            "queryInstance": { "query": { "method": "desk", "arguments": "{}" } },
            "certificateRequest": { "path": { "id": approved } },
            "approveCertificateRequest": { "path": { "id": approved }, "body": { "days": 30 } },
            "rejectCertificateRequest": { "path": { "id": rejected }, "body": { "reason": "no" } },
            "submit": { "query": {}, "body": serde_json::to_value(envelope).expect("JSON") },
            "createChannel": {
                "body": { "name": "made", "organizations": [{ "name": "bank" }] },
            },
            "requestCertificate": {
                "body": { "request": request_for("client/asks") },
            },
            "bringAnswer": { "body": { "path": path, "evidence": hex::encode(&evidence.answer) } },
            "revokeCertificates": { "body": { "serial": serial, "reason": "superseded" } },
            "createEnrolmentToken": {
                "body": { "identity": "spiffe://test.example/bank/client/token" },
            },
            "cancelEnrolmentToken": { "path": { "id": token } },
            "renewCertificate": { "body": { "request": request_for("admin/admin") } },
        },
        "bodies": {
            "application/ocsp-request": STANDARD.encode(&question),
            "application/pkcs10": STANDARD.encode(request_for("admin/admin")),
            "application/pkix-crl": STANDARD.encode(&crl),
            "application/vnd.chancery.batch": STANDARD.encode(batch),
            "application/vnd.chancery.submissions": STANDARD.encode(submission_frame(1, &binary)),
            "application/x-ndjson": STANDARD.encode(line),
            "application/x-pem-file": STANDARD.encode(pki::trust::files::crl_pem(&crl)),
        },
    })
}

/// The names of all operations of a document.
fn operations(document: &Value) -> Vec<String> {
    let paths = document["paths"].as_object().expect("paths").values();
    let all = paths.flat_map(|path| path.as_object().expect("operations").values());
    all.filter_map(|operation| operation["operationId"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn schemathesis_finds_nothing_and_sees_each_operation_succeed() {
    let python = std::env::var_os("CHANCERY_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let found = Command::new(&python).args(["-c", "import schemathesis.cli"]).stderr(Stdio::null()).status();
    let hint = "Python with the packages of tests/requirements.txt is needed";
    assert!(found.is_ok_and(|status| status.success()), "{hint}");
    let trade = trade();
    let [seeds_file, answers_file] = ["seeds.json", "answers.json"].map(|name| trade.consortium.path(name));
    std::fs::write(&seeds_file, seeds(&trade).await.to_string()).expect("writable");

    let peer = &trade.peer;
    let pem = |name: &str| trade.bank.join(name);
    let output = Command::new(&python)
        .args(["-m", "schemathesis.cli", "--config-file", &format!("{FOLDER}/schemathesis.toml"), "run"])
        .args(["--tls-verify", text(&pem("ca.pem")), "--request-cert", text(&pem("cert.pem"))])
        .args(["--request-cert-key", text(&pem("key.pem")), "--phases", "examples,coverage,fuzzing"])
        .args(["--seed", SEED, "--max-examples", EXAMPLES])
        .arg(format!("{}/v1/openapi.json", peer.url))
        .current_dir(FOLDER)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SEEDS", &seeds_file)
        .env("ANSWERS", &answers_file)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "Schemathesis found something");
    assert_eq!(peer.said("ERROR"), 0);

    // How often each status was answered, by operation.
    let answers: BTreeMap<String, BTreeMap<String, u64>> =
        ledger_classes::primitives::json::from_slice(&std::fs::read(&answers_file).expect("it was written"))
            .expect("JSON");
    let document: Value = peer.connect(&trade.bank).get(&["openapi.json"], &[]).await.expect("served");
    let all = operations(&document);
    assert!(all.len() > 50, "{all:?}");
    let done = |operation: &String| {
        answers.get(operation).is_some_and(|answers| answers.keys().any(|status| status.starts_with('2')))
    };
    let never: Vec<(&String, Option<&BTreeMap<String, u64>>)> =
        all.iter().filter(|operation| !done(operation)).map(|operation| (operation, answers.get(operation))).collect();
    let expected: Vec<&str> = NEVER_DONE.iter().map(|(operation, _)| *operation).collect();
    assert_eq!(never.iter().map(|(operation, _)| operation.as_str()).collect::<Vec<_>>(), expected, "{never:?}");
}
