//! Whatever comes, the answer is a named problem, and nothing has changed. Bodies are sent as they are, by `curl`, since
//! the SDK would not send them.

use crate::harness::{Consortium, Peer, address, define, key, mint, signed, text, transaction, transfer};
use client::api::{JsonEnvelope, SubmissionStatus};
use client::connection::Connection;
use client::submit::{Wait, sign_json};
use ledger_classes::action::{Action, assets, logs};
use ledger_classes::formats::transaction::{Encoding, Envelope, Transaction};
use ledger_classes::keys::Signature;
use ledger_classes::primitives::hash::Hash;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A peer with the channel `trade`, on which 1 owns 1,000 `usd` and the organization `dealer` may only write logs.
struct World {
    consortium: Consortium,
    peer: Peer,
    admin: Connection,
    id: Hash,
    dealer: PathBuf,
}

async fn world() -> World {
    let consortium = Consortium::new();
    consortium.organization("dealer");
    let dealer = consortium.profile("dealer", "client", "ann");
    let peer = consortium.serve();
    let orgs = ["channel", "create", "trade", "--org", "bank", "--org", "dealer"];
    let grants = ["--grant", "bank=member", "--grant", "dealer=read:logs,write:logs"];
    let made = peer.run(&consortium.admin(), &[&orgs[..], &grants].concat());
    let id = made["id"].as_str().expect("an id").parse().expect("hex");
    let admin = peer.connect(&consortium.admin());
    World { consortium, peer, admin, id, dealer }
}

/// Posts a body with `curl` and returns status and JSON answer.
fn post(peer: &Peer, profile: &Path, url: &str, kind: &str, body: &[u8]) -> (u16, Value) {
    let pem = |name: &str| profile.join(name);
    let mut curl = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "60", "--write-out", "\n%{http_code}"])
        .args(["--cacert", text(&pem("ca.pem")), "--cert", text(&pem("cert.pem")), "--key", text(&pem("key.pem"))])
        .args(["--header", &format!("Content-Type: {kind}"), "--header", "Expect:", "--data-binary", "@-"])
        .arg(format!("{}{url}", peer.url))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("curl is installed");
    // The peer may refuse before it has read everything.
    let _ = curl.stdin.take().expect("piped").write_all(body);
    let output = curl.wait_with_output().expect("ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap_or_else(|| panic!("{text}"));
    let body = ledger_classes::primitives::json::from_str(body).unwrap_or_else(|_| panic!("{status}: {body}"));
    (status.parse().expect("a status"), body)
}

fn problem(answer: &Value) -> &str {
    answer["type"].as_str().and_then(|name| name.strip_prefix("urn:chancery:problem:")).unwrap_or("none")
}

/// Signs a JSON text as it is.
fn text_envelope(payload: &str, signer: u8) -> Vec<u8> {
    let envelope = Envelope::sign(Encoding::Json, payload.as_bytes().to_vec(), &[&key(signer)]);
    serde_json::to_vec(&JsonEnvelope::from(&envelope)).expect("serializes")
}

fn json_of(transaction: &Transaction) -> String {
    serde_json::to_string(transaction).expect("serializes")
}

#[tokio::test]
async fn every_malformed_or_foreign_transaction_has_its_problem() {
    let World { consortium, peer, id, admin, .. } = world().await;
    let open = peer.run(&consortium.admin(), &["channel", "create", "open", "--org", "bank", "--open-submit"]);
    drop(admin);
    let open: Hash = open["id"].as_str().expect("an id").parse().expect("hex");
    let profile = consortium.admin();
    let good = || transaction(open, vec![define("usd")]);
    let append = |body: String| Action::LogAppend(logs::Append { topic: "t".into(), digest: None, body });
    let now = client::now();
    let mut binary = Envelope::sign_binary(&good(), &[&key(1)]);
    binary.payload.push(0);
    let trailing = Envelope::sign(Encoding::Binary, binary.payload, &[&key(1)]);
    let trailing = serde_json::to_vec(&JsonEnvelope::from(&trailing)).expect("serializes");
    let mut forged = sign_json(&good(), &[&key(1)]);
    forged.signatures[0].signature = Signature([7; 64]);
    let forged = serde_json::to_vec(&JsonEnvelope::from(&forged)).expect("serializes");
    let large: Vec<Action> = (0..7).map(|_| append("x".repeat(15_000))).collect();
    let unsigned = json!({ "payload": json_of(&good()), "signatures": [] }).to_string().into_bytes();
    let json = json_of(&good());
    #[rustfmt::skip]
    let rows: Vec<(&str, Vec<u8>, &str)> = vec![
        ("wrong signature", forged, "wrong-signature"),
        ("another channel", text_envelope(&json_of(&transaction(id, vec![define("usd")])), 1), "wrong-channel"),
        ("expired", text_envelope(&json_of(&Transaction { valid_until: now.plus_millis(0), ..good() }).replace(&now.to_string(), "2020-01-01T00:00:00.000Z"), 1), "expired"),
        ("too far ahead", text_envelope(&json_of(&Transaction { valid_until: now.plus_millis(25 * 3_600_000), ..good() }), 1), "too-far-ahead"),
        ("oversize", text_envelope(&json_of(&transaction(open, large)), 1), "oversize"),
        ("trailing bytes", trailing, "malformed"),
        ("trailing text", text_envelope(&format!("{json}x"), 1), "malformed"),
        ("unknown action", text_envelope(&json.replace("asset.define", "asset.steal"), 1), "unknown-action"),
        ("unknown key", text_envelope(&json.replacen('{', "{\"extra\":1,", 1), 1), "malformed"),
        ("unknown key in an action", text_envelope(&json.replace("\"asset\":", "\"extra\":1,\"asset\":"), 1), "malformed"),
        ("duplicate key", text_envelope(&json.replacen('{', "{\"memo\":\"a\",", 1), 1), "malformed"),
        ("duplicate key in an action", text_envelope(&json.replace("\"asset\":", "\"asset\":\"eur\",\"asset\":"), 1), "malformed"),
        ("number for a string", text_envelope(&json.replace("\"fee_max\":\"0\"", "\"fee_max\":0"), 1), "malformed"),
        ("no actions", text_envelope(&json_of(&transaction(open, vec![])), 1), "malformed"),
        ("no signature", unsigned, "signatures"),
        ("not an envelope", b"{\"payload\":1}".to_vec(), "malformed"),
        ("not JSON", b"\xff\xfe".to_vec(), "malformed"),
        ("nothing", Vec::new(), "malformed"),
    ];
    for (row, body, expected) in rows {
        let (status, answer) = post(&peer, &profile, "/v1/channels/open/transactions", "application/json", &body);
        assert!((400..500).contains(&status), "{row}: {status} {answer}");
        assert_eq!(problem(&answer), expected, "{row}: {answer}");
    }
    let connection = peer.connect(&profile);
    assert_eq!(connection.channel("open").await.expect("a member").height, 0, "nothing has changed");
    let other = post(&peer, &profile, "/v1/channels/open/transactions", "text/plain", b"hello");
    assert_eq!(other.0, 415, "{}", other.1);
}

#[tokio::test]
async fn one_bad_signature_in_a_batch_fails_alone() {
    let World { consortium, peer, .. } = world().await;
    let open = peer.run(&consortium.admin(), &["channel", "create", "open", "--org", "bank", "--open-submit"]);
    let open: Hash = open["id"].as_str().expect("an id").parse().expect("hex");
    let connection = peer.connect(&consortium.admin());
    let mut batch: Vec<Envelope> =
        (0..200u8).map(|signer| signed(open, signer, vec![define(&format!("a{signer}"))])).collect();
    batch[77].signatures[0].signature.0[40] ^= 1;
    let results = connection.submit_batch("open", &batch, Wait::Committed).await.expect("answers");
    for (place, result) in results.iter().enumerate() {
        use client::api::BatchResult as R;
        match result {
            R::Committed { code: 0, .. } if place != 77 => {}
            R::Refused { problem, .. } if place == 77 => assert_eq!(problem, "wrong-signature"),
            other => panic!("{place}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn rights_and_balances_are_refused_by_name_and_change_nothing() {
    let World { consortium, peer, admin, id, dealer } = world().await;
    let refused = |error: client::submit::SubmitError| match error {
        client::submit::SubmitError::Request(error) => error.problem().map(|problem| problem.name().to_owned()),
        _ => None,
    };
    // Nobody is a participant yet: the certificate gives access, the ledger decides who signs.
    let early = admin.submit("trade", &signed(id, 1, vec![define("usd")]), Wait::Committed).await;
    assert_eq!(early.err().and_then(refused).as_deref(), Some("not-a-participant"));
    for (profile, number) in [(&consortium.admin(), 1), (&dealer, 2)] {
        let credential = client::profile::Profile::open(profile).expect("a profile").credential.expect("a certificate");
        let admission = client::admit::admission(&credential, id, address(number)).expect("signs");
        let outcome =
            peer.connect(profile).submit("trade", &signed(id, number, vec![admission]), Wait::Committed).await;
        assert_eq!(outcome.expect("taken").receipt.map(|receipt| receipt.code), Some(0));
    }
    let start = vec![define("usd"), mint("usd", 1, 1000)];
    let outcome = admin.submit("trade", &signed(id, 1, start), Wait::Committed).await.expect("taken");
    assert_eq!(outcome.receipt.map(|receipt| receipt.code), Some(0));

    let as_dealer = peer.connect(&dealer);
    let no_right = as_dealer.submit("trade", &signed(id, 2, vec![transfer("usd", 1, 1)]), Wait::Committed).await;
    assert_eq!(no_right.err().and_then(refused).as_deref(), Some("no-right"));
    let log = Action::LogAppend(logs::Append { topic: "t".into(), digest: None, body: "mine".into() });
    let allowed = as_dealer.submit("trade", &signed(id, 2, vec![log]), Wait::Committed).await.expect("taken");
    assert_eq!(allowed.receipt.map(|receipt| receipt.code), Some(0));

    let overdraft = signed(id, 1, vec![transfer("usd", 2, 400), transfer("usd", 2, 601)]);
    let outcome = admin.submit("trade", &overdraft, Wait::Committed).await.expect("taken");
    let receipt = outcome.receipt.clone().expect("committed");
    assert_eq!((outcome.status, receipt.result.as_str()), (SubmissionStatus::Committed, "insufficient-balance"));
    let again = admin.submit("trade", &overdraft, Wait::Committed).await.expect("taken");
    assert_eq!(again.receipt, Some(receipt), "sent again, the same receipt comes back");
    let account = admin.account("trade", address(1)).await.expect("readable");
    assert_eq!(account.balances[0].owned.0, 1000);
    let freeze = Action::AssetFreeze(assets::Freeze {
        asset: "usd".into(),
        account: address(1),
        amount: account.balances[0].owned,
    });
    let frozen = admin
        .submit("trade", &signed(id, 1, vec![freeze, transfer("usd", 2, 1)]), Wait::Committed)
        .await
        .expect("taken");
    assert_eq!(frozen.receipt.map(|receipt| receipt.result).as_deref(), Some("balance-not-free"));
}

#[test]
fn a_body_of_a_gigabyte_is_refused_unread() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let profile = consortium.admin();
    let pem = |name: &str| profile.join(name);
    let ask = |arguments: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--max-time", "60", "--write-out", "\n%{http_code} %{size_upload}"]);
        curl.args(["--cacert", text(&pem("ca.pem")), "--cert", text(&pem("cert.pem")), "--key", text(&pem("key.pem"))]);
        curl.args(["--header", "Content-Type: application/json", "--header", "Expect:"]).args(arguments);
        let url = format!("{}/v1/channels/main/transactions", peer.url);
        let output = curl.arg(url).stdin(Stdio::null()).output().expect("curl is installed");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, last) = text.rsplit_once('\n').unwrap_or_else(|| panic!("{text}"));
        let (status, sent) = last.split_once(' ').unwrap_or_else(|| panic!("{text}"));
        (status.to_owned(), body.to_owned(), sent.parse::<u64>().expect("bytes"))
    };
    let file = consortium.path("gigabyte");
    std::fs::File::create(&file).and_then(|file| file.set_len(1 << 30)).expect("a sparse file");
    for kind in [&[][..], &["--header", "Transfer-Encoding: chunked"]] {
        let (status, body, sent) = ask(&[kind, &["--request", "POST", "--upload-file", text(&file)]].concat());
        assert_eq!(status, "413", "{kind:?}: {body}");
        assert_eq!(
            problem(&ledger_classes::primitives::json::from_str(&body).expect("a problem")),
            "oversize",
            "{kind:?}: {body}"
        );
        assert!(sent < 1 << 28, "{kind:?}: {sent} bytes were read");
    }
}

#[test]
fn cursors_callers_and_certificates_are_checked() {
    let consortium = Consortium::new();
    let foreign = Consortium::new();
    let stranger = foreign.profile("bank", "client", "eve");
    let peer = consortium.serve();
    let profile = consortium.admin();
    let get = |arguments: &[&str], path: &str| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--max-time", "20", "--cacert", text(&profile.join("ca.pem"))]).args(arguments);
        let output = curl.arg(format!("{}{path}", peer.url)).stdin(Stdio::null()).output().expect("curl is installed");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    for cursor in ["x", "1.2", "1.2.3.4", "-1", "1.2.x", "99999999999999999999", "1..2", "%00"] {
        let (_, body) = get(&[], &format!("/v1/channels/main/events?from={cursor}"));
        let answer: Value =
            ledger_classes::primitives::json::from_str(&body).unwrap_or_else(|_| panic!("{cursor}: {body}"));
        assert_eq!(problem(&answer), "malformed-cursor", "{cursor}: {answer}");
    }
    let (_, body) = get(&["--header", "Last-Event-ID: wrong"], "/v1/channels/main/events");
    assert_eq!(
        problem(&ledger_classes::primitives::json::from_str(&body).expect("a problem")),
        "malformed-cursor",
        "{body}"
    );

    // No certificate: what is public answers, the rest does not exist.
    assert!(get(&[], "/v1/channels/main").1.contains("\"main\""));
    assert!(get(&[], "/v1/channels/private").1.contains("channel-unknown"));
    // A certificate of another consortium's CA ends the handshake.
    let (cert, foreign_key) = (stranger.join("cert.pem"), stranger.join("key.pem"));
    let (answered, body) = get(&["--cert", text(&cert), "--key", text(&foreign_key)], "/v1/channels/main");
    assert!(!answered && body.is_empty(), "{body}");
}

/// Two certificates that a missing line break joined were one, without a word, also in a channel's genesis; and a byte
/// order mark made the first certificate of a file disappear.
#[test]
fn pem_that_is_not_whole_is_refused_with_file_and_line() {
    let consortium = Consortium::new();
    consortium.organization("dealer");
    let peer = consortium.serve();
    let admin = consortium.admin();
    let authority = |name: &str| std::fs::read_to_string(consortium.dir().join(format!("ca/{name}.pem"))).expect("PEM");
    let (dealer, root) = (authority("dealer"), authority("root"));
    let (lines, file) = (dealer.lines().count(), consortium.path("dealer.pem"));
    let create = |channel: &str, content: String| {
        std::fs::write(&file, content).expect("writable");
        let organization = format!("dealer={}", text(&file));
        let words = ["channel", "create", channel, "--org", "bank", "--org", &organization];
        let output = crate::harness::try_run(&[&["--profile", text(&admin), "--peer", &peer.url], &words[..]].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    for (row, (content, line)) in [
        (format!("{}{root}", dealer.trim_end()), lines),
        (format!("{dealer}\u{feff}{root}"), lines + 1),
        (format!("{dealer}{}", root.replace("-----END CERTIFICATE-----", "")), lines + 1),
        (format!("{dealer}{}", root.replace("CERTIFICATE", "TRUSTED CERTIFICATE")), lines + 1),
    ]
    .into_iter()
    .enumerate()
    {
        let (code, said) = create("trade", content);
        assert_eq!(code, Some(2), "row {row}: {said}");
        let expected = format!("dealer.pem: what was brought, line {line}: ");
        assert!(said.contains(&expected), "row {row} should say {expected}: {said}");
    }
    let (code, said) = create("trade", format!("\u{feff}{dealer}").replace('\n', "\r\n"));
    assert_eq!(code, Some(0), "{said}");
    let shown = peer.run(&admin, &["channel", "show", "trade"]);
    let authorities = &shown["config"]["organizations"][1]["authorities"];
    assert_eq!(authorities.as_array().map(Vec::len), Some(1), "{shown}");

    // Files of a peer and of a profile: what is whole in them serves a peer on, and the rest is named.
    peer.drain();
    let trusted = consortium.dir().join("peer/ca.pem");
    let whole = std::fs::read_to_string(&trusted).expect("PEM");
    let torn = format!("{whole}{}", root.replace("-----END CERTIFICATE-----", ""));
    std::fs::write(&trusted, &torn).expect("writable");
    std::fs::write(admin.join("ca.pem"), &torn).expect("writable");
    let line = whole.lines().count() + 1;
    let refused = crate::harness::try_run(&["--profile", text(&admin), "status"]);
    let said = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("ca.pem: line {line}: ")), "{said}");
    let peer = consortium.serve();
    peer.says(&format!("ca.pem, line {line}: "));
}
