//! The OpenAPI document against a running peer: Schemathesis draws requests from it, good ones and bad ones, and holds
//! the answers against it.

use crate::harness::{Consortium, define, mint, signed, text};
use client::submit::Wait;
use std::process::{Command, Stdio};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schemathesis");
/// The draws are of this seed, so that a finding is found again.
const SEED: &str = "12";
/// Requests of each kind for one operation.
const EXAMPLES: &str = "12";

#[tokio::test]
async fn schemathesis_finds_nothing() {
    let python = std::env::var_os("CHANCERY_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let found = Command::new(&python).args(["-c", "import schemathesis"]).stderr(Stdio::null()).status();
    let hint = "Python with the packages of tests/requirements.txt is needed";
    assert!(found.is_ok_and(|status| status.success()), "{hint}");
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let connection = peer.connect(&consortium.admin());
    let id = connection.channel("main").await.expect("public").id;
    let setup = signed(id, 1, vec![define("usd"), mint("usd", 1, 1000)]);
    let outcome = connection.submit("main", &setup, Wait::Committed).await.expect("taken");
    assert_eq!(outcome.receipt.map(|receipt| receipt.code), Some(0));

    let pem = |name: &str| consortium.admin().join(name);
    let output = Command::new(&python)
        .args(["-m", "schemathesis.cli", "--config-file", &format!("{FOLDER}/schemathesis.toml"), "run"])
        .args(["--tls-verify", text(&pem("ca.pem")), "--request-cert", text(&pem("cert.pem"))])
        .args(["--request-cert-key", text(&pem("key.pem")), "--phases", "examples,coverage,fuzzing"])
        .args(["--seed", SEED, "--max-examples", EXAMPLES])
        .arg(format!("{}/v1/openapi.json", peer.url))
        .current_dir(FOLDER)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "Schemathesis found something");
    assert_eq!(peer.said("ERROR"), 0);
    peer.drain();
}
