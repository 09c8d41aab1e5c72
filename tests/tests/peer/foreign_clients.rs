//! Other people's programs: a transaction signed in Python with `cryptography`, posted with `curl` and a client
//! certificate, its proof checked by the command line; TLS as browsers and OpenSSL speak it.

use crate::harness::{Consortium, Peer, define, mint, run, signed, text};
use client::submit::Wait;
use ledger_classes::keys::SigningKey;
use ledger_classes::primitives::hash::Hash;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

/// `cryptography` is what a Python user has; without it this test has nothing to say, so it fails and tells.
pub(crate) fn python() -> Command {
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
    let answer: Value = ledger_classes::primitives::json::from_str(&answer).expect("JSON");
    assert_eq!((&answer["status"], &answer["receipt"]["code"]), (&"committed".into(), &0.into()), "{answer}");
    let account = connection.account("trade", to.parse().expect("an address")).await.expect("readable");
    assert_eq!(account.balances[0].owned.0, 250);

    let transaction = answer["id"].as_str().expect("an id");
    let proof = peer.run(&consortium.admin(), &["tx", "proof", transaction, "--channel", "trade"]);
    let file = consortium.path("proof.json");
    std::fs::write(&file, proof.to_string()).expect("writable");
    let proven = run(&["verify", "--proof", text(&file), "--channel-id", &id.to_string()]);
    assert!(proven.to_string().contains(transaction), "{proven}");
    let other = crate::harness::try_run(&["verify", "--proof", text(&file), "--channel-id", &"0".repeat(64)]);
    assert_eq!(other.status.code(), Some(1));
}

/// What Chromium offers, in its order: no Ed25519 among it, so certificates with such keys end its handshakes.
const BROWSER: &str = "ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256:rsa_pkcs1_sha256:ecdsa_secp384r1_sha384:\
                       rsa_pss_rsae_sha384:rsa_pkcs1_sha384:rsa_pss_rsae_sha512:rsa_pkcs1_sha512";

/// What OpenSSL says after a handshake with a peer, as the holder of a profile.
fn handshake(consortium: &Consortium, peer: &Peer, profile: &Path, algorithms: &str) -> (bool, String) {
    let roots = consortium.dir().join("peer/ca.pem");
    let address = peer.url.strip_prefix("https://").expect("HTTPS");
    let pem = |name: &str| profile.join(name);
    // OpenSSL takes the leaf of one file and what is above it of another.
    let path = std::fs::read_to_string(pem("cert.pem")).expect("readable");
    let (_, above) = path.split_once("-----END CERTIFICATE-----\n").expect("a certificate");
    std::fs::write(pem("above.pem"), above).expect("writable");
    let spoken = Command::new("openssl")
        .args(["s_client", "-brief", "-tls1_3", "-groups", "X25519:P-256:P-384", "-alpn", "h2,http/1.1"])
        .args([
            "-sigalgs",
            algorithms,
            "-connect",
            address,
            "-servername",
            "localhost",
            "-verify_hostname",
            "localhost",
        ])
        .args(["-CAfile", text(&roots), "-verify_return_error"])
        .args(["-cert", text(&pem("cert.pem")), "-cert_chain", text(&pem("above.pem")), "-key", text(&pem("key.pem"))])
        .stdin(Stdio::null())
        .output()
        .expect("openssl is installed");
    (spoken.status.success(), String::from_utf8_lossy(&spoken.stderr).into_owned())
}

#[test]
fn browsers_and_openssl_speak_to_a_peer_as_init_makes_it() {
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).output().expect("openssl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let consortium = Consortium::new();
    consortium.organization("dealer");
    let dora = consortium.profile("dealer", "client", "dora");
    let asked = consortium.path("asked");
    let identity = "spiffe://test.example/bank/client/alice";
    run(&["ca", "request", "--out", text(&asked), "--identity", identity, "--dir", text(&consortium.dir())]);
    let dir = consortium.dir();
    let certificates = [dir.join("ca/root.pem"), dir.join("ca/bank.pem"), dir.join("ca/dealer.pem")];
    let leaves = [dir.join("peer/cert.pem"), consortium.admin().join("cert.pem"), dora.join("cert.pem")];
    for file in certificates.iter().chain(&leaves) {
        let shown = openssl(&["x509", "-noout", "-text", "-in", text(file)]);
        assert!(shown.contains("prime256v1") && shown.contains("ecdsa-with-SHA256"), "{}: {shown}", file.display());
    }
    assert!(openssl(&["req", "-noout", "-text", "-in", text(&asked.join("request.pem"))]).contains("prime256v1"));
    let seal = openssl(&["pkey", "-noout", "-text_pub", "-in", text(&dir.join("peer/seal.pem"))]);
    assert!(seal.to_lowercase().contains("ed25519"), "blocks are sealed with Ed25519: {seal}");

    let peer = consortium.serve();
    for profile in [&consortium.admin(), &dora] {
        let (done, said) = handshake(&consortium, &peer, profile, BROWSER);
        assert!(done && said.contains("Verification: OK") && said.contains("TLSv1.3"), "{said}");
    }
    run(&["--profile", text(&dora), "--peer", &peer.url, "ca", "renew", "--new-key"]);
    let (done, said) = handshake(&consortium, &peer, &dora, BROWSER);
    assert!(done, "after a change of key: {said}");

    // Ed25519 stays a choice, and this test can fail.
    let consortium = Consortium::with(&["--algorithm", "ed25519"]);
    let peer = consortium.serve();
    let (done, said) = handshake(&consortium, &peer, &consortium.admin(), BROWSER);
    assert!(!done, "{said}");
    let (done, said) = handshake(&consortium, &peer, &consortium.admin(), "ed25519");
    assert!(done, "{said}");
}
