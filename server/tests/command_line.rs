//! The program itself, against a peer that says what a test tells it to: exit codes, one JSON document, and what
//! reaches the wire.

#![allow(clippy::unwrap_used)]

#[path = "../../client/tests/support/peer.rs"]
mod peer;

use client::api::{JsonEnvelope, Outcome, ReceiptView, SubmissionStatus};
use client::keys::write_account_key;
use ledger_classes::formats::transaction::Envelope;
use ledger_classes::keys::SigningKey;
use ledger_classes::primitives::amount::Amount;
use ledger_classes::primitives::hash::Hash;
use peer::{Authority, Peer, answer, event, events, peer, problem, profile};
use serde_json::Value;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const CHANNEL: &str = "0707070707070707070707070707070707070707070707070707070707070707";
const ADDRESS: &str = "0x5cB4B8a1C62BD8ae4bDBB6eA1c0Da9bA2b4F2e51";

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
    command.args(words).env_clear().stdin(Stdio::null());
    command
}

fn run(profile: &Path, words: &[&str]) -> Output {
    command(words).arg("--profile").arg(profile).output().unwrap()
}

/// The exit code and the one JSON document on standard output.
fn run_json(profile: &Path, words: &[&str]) -> (i32, Value) {
    let output = command(words).arg("--json").arg("--profile").arg(profile).output().unwrap();
    let document = ledger_classes::primitives::json::from_slice(&output.stdout);
    (output.status.code().unwrap(), document.unwrap_or_else(|error| panic!("{words:?}: {error}: {output:?}")))
}

fn folder(authority: &Authority, peer: &Peer) -> tempfile::TempDir {
    let (folder, _) = profile(authority, authority, &peer.url);
    write_account_key(&folder.path().join("account.key"), &SigningKey::from_seed(&[1; 32])).unwrap();
    folder
}

fn committed(code: u16, result: &str, message: &str) -> String {
    let receipt = ReceiptView {
        id: Hash([1; 32]),
        height: 12,
        index: 0,
        code,
        result: result.into(),
        message: message.into(),
        detail: None,
        fee: Amount(3),
        events: vec![],
    };
    let id = Some(Hash([1; 32]));
    let outcome = Outcome { id, status: SubmissionStatus::Committed, receipt: Some(receipt), problem: None };
    answer("200 OK", "application/json", "", &serde_json::to_string(&outcome).unwrap())
}

#[test]
fn each_end_has_its_exit_code_and_one_document() {
    let authority = Authority::new("root");
    let transfer = ["asset", "transfer", "coin", ADDRESS, "250", "--channel", CHANNEL, "--base-units", "--new"];
    let rows: [(&str, String, i32, &str, &str); 5] = [
        ("done", committed(0, "done", ""), 0, "/status", "committed"),
        ("failed", committed(203, "insufficient-balance", "too little"), 1, "/receipt/message", "too little"),
        ("unknown", problem("404 Not Found", "channel-unknown", ""), 1, "/error/problem/title", "channel-unknown"),
        ("busy", problem("503 Service Unavailable", "busy", "retry-after: 60\r\n"), 3, "/error/problem/title", "busy"),
        ("odd", answer("200 OK", "application/json", "", "{}"), 1, "/error/exit_code", "1"),
    ];
    for (name, reply, code, pointer, value) in rows {
        let peer = peer(&authority, move |_, _| reply.clone());
        let folder = folder(&authority, &peer);
        let (exit, document) = run_json(folder.path(), &transfer);
        let found = document.pointer(pointer).unwrap_or_else(|| panic!("{name}: {document}"));
        let found = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
        assert_eq!((exit, found.as_str()), (code, value), "{name}");
        let text = run(folder.path(), &transfer);
        assert_eq!(text.status.code(), Some(code), "{name} without --json");
        assert!(code == 0 || !text.stderr.is_empty() || !text.stdout.is_empty(), "{name} gives a reason");
    }
}

#[test]
fn nobody_there_is_unavailable_and_a_stranger_is_refused() {
    let (ours, theirs) = (Authority::new("root"), Authority::new("other"));
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (nobody, _) = profile(&ours, &ours, &format!("https://{address}"));
    assert_eq!(run_json(nobody.path(), &["status"]).0, 3);

    let peer = peer(&ours, |_, _| problem("404 Not Found", "told", ""));
    let (stranger, _) = profile(&ours, &theirs, &peer.url);
    assert_eq!(run_json(stranger.path(), &["status"]).0, 1);
    assert!(peer.seen.lock().unwrap().is_empty());
}

#[test]
fn usage_errors_have_their_code_and_document_too() {
    let nowhere = Path::new("/nonexistent");
    for words in [&["status"][..], &["asset", "mint", "coin"], &["nonsense"], &["verify", "--proof", "/nonexistent"]] {
        let (exit, document) = run_json(nowhere, words);
        assert_eq!((exit, &document["error"]["exit_code"]), (2, &Value::from(2)), "{words:?}");
    }
}

#[test]
fn a_transaction_file_is_signed_as_it_is() {
    let authority = Authority::new("root");
    let peer = peer(&authority, |_, _| committed(0, "done", ""));
    let folder = folder(&authority, &peer);
    let text = format!(
        "{{ \"valid_until\":  \"2026-11-21T10:05:54Z\", \"nonce\": \"7\", \"channel\": \"{CHANNEL}\",\n \
         \"actions\": [{{\"type\": \"asset.pause\", \"asset\": \"coin\"}}] }}\n"
    );
    let file = folder.path().join("transaction.json");
    std::fs::write(&file, &text).unwrap();
    let output = run(folder.path(), &["tx", "submit", file.to_str().unwrap(), "--wait", "accepted"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let seen = peer.seen.lock().unwrap().clone();
    assert_eq!(seen[0].line, format!("POST /v1/channels/{CHANNEL}/transactions?wait=accepted HTTP/1.1\r\n"));
    let json: JsonEnvelope = ledger_classes::primitives::json::from_slice(&seen[0].body).unwrap();
    assert_eq!(json.payload.as_deref(), Some(text.as_str()));
    let envelope = Envelope::try_from(json).unwrap();
    let signed = &envelope.signatures[0];
    assert!(ledger_classes::keys::verify(&signed.key, &envelope.message(), &signed.signature));
    assert_eq!(signed.key, SigningKey::from_seed(&[1; 32]).public());
}

#[test]
fn a_printed_transaction_can_be_submitted_later() {
    let authority = Authority::new("root");
    let peer = peer(&authority, |_, _| committed(0, "done", ""));
    let folder = folder(&authority, &peer);
    let output = run(folder.path(), &["log", "append", "tests", "--body", "é", "--channel", CHANNEL, "--print"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(peer.seen.lock().unwrap().is_empty(), "nothing is sent");
    let file = folder.path().join("signed.json");
    std::fs::write(&file, &output.stdout).unwrap();
    assert_eq!(run(folder.path(), &["tx", "submit", file.to_str().unwrap()]).status.code(), Some(0));
    let sent: Value = ledger_classes::primitives::json::from_slice(&peer.seen.lock().unwrap()[0].body).unwrap();
    assert_eq!(sent, ledger_classes::primitives::json::from_slice::<Value>(&output.stdout).unwrap());
}

#[test]
fn a_key_adds_its_signature_to_a_printed_transaction() {
    let authority = Authority::new("root");
    let peer = peer(&authority, |_, _| committed(0, "done", ""));
    let folder = folder(&authority, &peer);
    let output = run(folder.path(), &["log", "append", "tests", "--body", "é", "--channel", CHANNEL, "--print"]);
    let (file, key) = (folder.path().join("signed.json"), folder.path().join("second.key"));
    std::fs::write(&file, &output.stdout).unwrap();
    write_account_key(&key, &SigningKey::from_seed(&[2; 32])).unwrap();
    let submit = ["tx", "submit", file.to_str().unwrap(), "--key", key.to_str().unwrap(), "--print"];
    let (code, both) = run_json(folder.path(), &submit);
    assert_eq!(code, 0, "{both}");
    let both = Envelope::try_from(ledger_classes::primitives::json::from_value::<JsonEnvelope>(both).unwrap()).unwrap();
    let keys: Vec<_> = both.signatures.iter().map(|signed| signed.key).collect();
    assert_eq!(keys, [1, 2].map(|seed| SigningKey::from_seed(&[seed; 32]).public()));
    for signed in &both.signatures {
        assert!(ledger_classes::keys::verify(&signed.key, &both.message(), &signed.signature));
    }
}

#[test]
fn watch_prints_one_event_a_line_and_ends_when_the_peer_says_so() {
    let authority = Authority::new("root");
    let peer = peer(&authority, |_, _| {
        let end = "event: problem\ndata: {\"type\":\"urn:chancery:problem:certificate-revoked\",\"title\":\"Revoked\",\
                   \"status\":403}\n\n";
        events(&format!("{}{}{end}", event("4.0.0"), event("4.0.1")))
    });
    let folder = folder(&authority, &peer);
    let output = run(folder.path(), &["watch", "main", "--from", "4"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let ids: Vec<String> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| {
            ledger_classes::primitives::json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(ids, ["4.0.0", "4.0.1"].map(|place| format!("{place}.{}", peer::TAG)));
    assert!(String::from_utf8(output.stderr).unwrap().contains("Revoked"));
    assert_eq!(run(folder.path(), &["watch", "main", "--from", "4", "--count", "1"]).status.code(), Some(0));
}

#[test]
fn events_without_evidence_are_not_printed_where_proof_was_asked_for() {
    let authority = Authority::new("root");
    let peer = peer(&authority, |_, _| problem("404 Not Found", "channel-unknown", ""));
    let folder = folder(&authority, &peer);
    let output = run(folder.path(), &["watch", "main", "--from", "4", "--proof", "--channel-id", CHANNEL]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert_eq!(peer.seen.lock().unwrap()[0].line, "GET /v1/channels/main/trust HTTP/1.1\r\n");
}

/// The same words give the same account for ever: this address is what users have written down.
#[test]
fn words_from_standard_input_recover_their_account() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("account.key");
    let recover = |words: &str| {
        let mut command = command(&["key", "recover", "--json", "--out"]);
        let mut child = command.arg(&file).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(words.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code().unwrap(), ledger_classes::primitives::json::from_slice::<Value>(&output.stdout).unwrap())
    };
    let (exit, _) = recover("legal winner thank year wave sausage worth useful legal winner thank thank\n");
    assert_eq!((exit, file.exists()), (1, false), "a wrong checksum");
    let (exit, shown) = recover("legal winner thank year wave sausage worth useful legal winner thank yellow\n");
    assert_eq!(exit, 0, "{shown}");
    assert_eq!(shown["address"], "0x72836B689b8CB351e8b1e0875Ab2bFd82EC85D54", "as python and openssl compute it");
}
