//! Other people's programs: a transaction signed in Python with `cryptography`, posted with `curl` and a client
//! certificate, its proof checked by the command line.

use crate::harness::{Consortium, define, mint, signed, text};
use client::submit::Wait;
use ledger_classes::hash::Hash;
use ledger_classes::keys::SigningKey;
use serde_json::Value;
use std::process::{Command, Stdio};

/// `cryptography` is what a Python user has; without it this test has nothing to say, so it fails and tells.
fn python() -> Command {
    let mut python = Command::new(std::env::var_os("CHANCERY_TEST_PYTHON").unwrap_or_else(|| "python3".into()));
    let found = python.args(["-c", "import cryptography"]).stderr(Stdio::null()).status();
    let hint = "Python with the package `cryptography` is needed: `pip install cryptography`";
    assert!(found.is_ok_and(|status| status.success()), "{hint}");
    Command::new(python.get_program())
}

#[tokio::test]
async fn a_transfer_signed_in_python_is_accepted_and_proven() {
    let consortium = Consortium::new();
    let alice = consortium.profile("bank", "client", "alice");
    let peer = consortium.serve();
    let made = peer.run(&consortium.admin(), &["channel", "create", "trade", "--org", "bank", "--open-submit"]);
    let id: Hash = made["id"].as_str().expect("an id").parse().expect("hex");
    let connection = peer.connect(&consortium.admin());
    let setup = signed(id, 9, vec![define("usd"), mint("usd", 9, 1000)]);
    let outcome = connection.submit("trade", &setup, Wait::Committed).await.expect("taken");
    assert_eq!(outcome.receipt.map(|receipt| receipt.code), Some(0));

    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/transfer.py");
    let seed = "09".repeat(32);
    assert_eq!(SigningKey::from_seed(&[9; 32]).seed().as_slice(), [9; 32]);
    let to = "0x".to_owned() + &"ab".repeat(20);
    let signed = python().args([script, &id.to_string(), &seed, "usd", &to, "250"]).output().expect("runs");
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    let file = consortium.path("transfer.json");
    std::fs::write(&file, &signed.stdout).expect("writable");

    let pem = |name: &str| alice.join(name);
    let posted = Command::new("curl")
        .args(["--silent", "--show-error", "--fail-with-body", "--max-time", "20"])
        .args(["--cacert", text(&pem("ca.pem")), "--cert", text(&pem("cert.pem")), "--key", text(&pem("key.pem"))])
        .args(["--header", "Content-Type: application/json", "--data", &format!("@{}", text(&file))])
        .arg(format!("{}/v1/channels/trade/transactions", peer.url))
        .output()
        .expect("curl is installed");
    let answer = String::from_utf8_lossy(&posted.stdout).into_owned();
    assert!(posted.status.success(), "{answer} {}", String::from_utf8_lossy(&posted.stderr));
    let answer: Value = ledger_classes::json::from_str(&answer).expect("JSON");
    assert_eq!((&answer["status"], &answer["receipt"]["code"]), (&"committed".into(), &0.into()), "{answer}");
    let account = connection.account("trade", to.parse().expect("an address")).await.expect("readable");
    assert_eq!(account.balances[0].owned.0, 250);

    let transaction = answer["id"].as_str().expect("an id");
    let proof = peer.run(&consortium.admin(), &["tx", "proof", transaction, "--channel", "trade"]);
    let file = consortium.path("proof.json");
    std::fs::write(&file, proof.to_string()).expect("writable");
    let proven = crate::harness::run(&["verify", "--proof", text(&file), "--channel-id", &id.to_string()]);
    assert!(proven.to_string().contains(transaction), "{proven}");
    let other = crate::harness::try_run(&["verify", "--proof", text(&file), "--channel-id", &"0".repeat(64)]);
    assert_eq!(other.status.code(), Some(1));
}
