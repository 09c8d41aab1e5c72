//! Who did what: acts on certificates are log records of `main`, acts on a channel are records of that channel, each
//! once, with who and why; nobody forges one, and the local index cannot be changed without it showing.

use crate::harness::{Consortium, Peer, run, signed, text, try_run};
use crate::wait;
use client::connection::Connection;
use client::submit::Wait;
use ledger_classes::action::{Action, logs};
use ledger_classes::keys::SigningKey;
use ledger_classes::primitives::hash::Hash;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const ADMIN: &str = "spiffe://test.example/bank/admin/admin";

fn ca(consortium: &Consortium, arguments: &[&str]) -> Value {
    run(&[&["ca", "--dir", text(&consortium.dir())], arguments].concat())
}

/// `chancery ca audit` against a peer.
fn audit(consortium: &Consortium, peer: &Peer) -> std::process::Output {
    let (dir, admin) = (consortium.dir(), consortium.admin());
    try_run(&["--profile", text(&admin), "--peer", &peer.url, "ca", "--dir", text(&dir), "audit"])
}

/// Waits until every act of the index is recorded, and returns the bodies of the records, in order.
fn recorded(consortium: &Consortium, peer: &Peer) -> Vec<Value> {
    wait::until_found("every act is recorded", || {
        let output = audit(consortium, peer);
        let agreed: Value = ledger_classes::primitives::json::from_slice(&output.stdout).expect("JSON");
        assert!(output.status.success(), "{agreed}");
        (agreed["waiting"] == 0).then(|| {
            let bodies = records(peer, &consortium.admin(), "main", "audit.certificate");
            assert_eq!(agreed["records"], bodies.len());
            bodies
        })
    })
}

fn records(peer: &Peer, profile: &Path, channel: &str, topic: &str) -> Vec<Value> {
    let arguments = ["log", "list", "--topic", topic, "--limit", "1000", "--channel", channel];
    let page = peer.run(profile, &arguments);
    let items = page["items"].as_array().expect("items");
    items
        .iter()
        .map(|item| ledger_classes::primitives::json::from_str(item["body"].as_str().expect("text")).expect("JSON"))
        .collect()
}

/// Act, who, why and the name of whom it is about.
fn told(body: &Value) -> [String; 4] {
    let field = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let about = field("identity").rsplit('/').next().unwrap_or_default().to_owned();
    [field("act"), field("who"), field("why"), if about.is_empty() { field("name") } else { about }]
}

fn post(consortium: &Consortium, peer: &Peer, path: &str, body: &Value) -> Value {
    let admin = consortium.admin();
    let file = |name: &str| text(&admin.join(name)).to_owned();
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "20", "--cacert", &file("ca.pem")])
        .args(["--cert", &file("cert.pem"), "--key", &file("key.pem"), "--header", "content-type: application/json"])
        .args(["--data", &body.to_string(), &format!("{}{path}", peer.url)])
        .output()
        .expect("curl is installed");
    ledger_classes::primitives::json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn each_act_on_a_certificate_is_on_main_with_who_and_why() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let by = ["--by", "ann"];
    let out = consortium.path("eve");
    ca(&consortium, &[&["organization", "dealer", "--why", "a new member"], &by[..]].concat());
    let issue = ["issue", "bank", "client", "eve", "--out", text(&out), "--why", "hired"];
    let issued = ca(&consortium, &[&issue, &by[..]].concat());
    assert_eq!(issued["certificate"]["acts"][0]["who"], "ann");
    ca(&consortium, &[&["renew", text(&out)], &by[..]].concat());
    ca(&consortium, &["token", "spiffe://test.example/bank/client/tom", "--by", "ann", "--why", "tom starts"]);
    ca(&consortium, &["policy", "--approvals", "1", "--by", "ann", "--why", "one is enough"]);
    ca(&consortium, &["reissue", "dealer", "--by", "ann", "--why", "ends soon"]);
    let file = |name: &str| {
        let folder = consortium.path(name);
        let identity = format!("spiffe://test.example/bank/client/{name}");
        ca(&consortium, &["request", "--out", text(&folder), "--identity", &identity]);
        let filed = ca(&consortium, &["request", text(&folder.join("request.pem"))]);
        format!("/v1/ca/requests/{}", filed["id"].as_str().expect("an id"))
    };
    let (bob, carl) = (file("bob"), file("carl"));
    let refused = post(&consortium, &peer, &format!("{bob}/approve"), &json!({ "why": "x".repeat(257) }));
    assert_eq!(refused["status"], 422, "{refused}");
    let approved = post(&consortium, &peer, &format!("{bob}/approve"), &json!({ "why": "called him" }));
    assert_eq!(approved["status"], "issued");
    let rejected = post(&consortium, &peer, &format!("{carl}/reject"), &json!({ "reason": "not known to us" }));
    assert_eq!(rejected["status"], "rejected");
    let eve = "spiffe://test.example/bank/client/eve";
    ca(&consortium, &["revoke", eve, "--reason", "key-compromise", "--by", "ann", "--why", "laptop stolen"]);

    let bodies = recorded(&consortium, &peer);
    let host = bodies[0]["who"].as_str().expect("text").to_owned();
    assert!(host.contains('@'), "{host}");
    let mut of_init: Vec<[String; 4]> = bodies.iter().map(told).collect();
    let rest = of_init.split_off(4);
    for (act, (kind, about)) in of_init.iter().zip([
        ("authority-added", "root"),
        ("authority-added", "bank"),
        ("issued", "peer-1"),
        ("issued", "admin"),
    ]) {
        assert_eq!(*act, [kind, &host, "chancery init", about].map(str::to_owned));
    }
    let expected = [
        ["authority-added", "ann", "a new member", "dealer"],
        ["issued", "ann", "hired", "eve"],
        ["renewed", "ann", "renewal", "eve"],
        ["token-added", "ann", "tom starts", "tom"],
        ["policy-set", "ann", "one is enough", ""],
        ["authority-reissued", "ann", "ends soon", "dealer"],
        ["approved", ADMIN, "called him", "bob"],
        ["issued", ADMIN, "called him", "bob"],
        ["rejected", ADMIN, "not known to us", "carl"],
        // Both certificates of the identity.
        ["revoked", "ann", "laptop stolen", "eve"],
        ["revoked", "ann", "laptop stolen", "eve"],
    ];
    assert_eq!(rest, expected.map(|row| row.map(str::to_owned)));
    let shown = ca(&consortium, &["list", "--identity", eve]);
    assert_eq!(shown["items"][0]["acts"][1]["why"], "laptop stolen", "{shown}");
    let too_long = "x".repeat(257);
    let output = try_run(&["ca", "--dir", text(&consortium.dir()), "policy", "--why", &too_long]);
    assert_eq!(output.status.code(), Some(2));
}

async fn code(connection: &Connection, channel: &str, id: Hash, signer: u8, action: Action) -> String {
    let outcome = connection.submit(channel, &signed(id, signer, vec![action]), Wait::Committed).await.expect("taken");
    outcome.receipt.expect("committed").result
}

#[tokio::test]
async fn nobody_forges_a_record() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let before = recorded(&consortium, &peer);
    let admin = peer.connect(&consortium.admin());
    let main = admin.channel("main").await.expect("there").id;
    for topic in ["audit.certificate", "audit.channel", "audit.anything"] {
        let forged = logs::Append { topic: topic.into(), digest: None, body: "{}".into() };
        assert_eq!(code(&admin, "main", main, 5, Action::LogAppend(forged)).await, "topic-reserved");
    }
    let last: Hash = {
        let page = peer.run(&consortium.admin(), &["log", "list", "--topic", "audit.certificate", "--limit", "1000"]);
        let last = page["items"].as_array().and_then(|items| items.last()).expect("a record");
        last["digest"].as_str().expect("text").parse().expect("hex")
    };
    let source: Hash = before[0]["source"].as_str().expect("text").parse().expect("hex");
    let next = logs::Audit {
        topic: "audit.certificate".into(),
        source,
        previous: last,
        digest: Hash([7; 32]),
        body: "{}".into(),
    };
    // At the door: what is free of fees must not fill blocks when it fails.
    let forged = signed(main, 5, vec![Action::LogAudit(next)]);
    let refused = admin.submit("main", &forged, Wait::Committed).await.expect_err("nobody's but the peer's");
    assert!(format!("{refused:?}").contains("urn:chancery:problem:no-right"), "{refused:?}");
    assert_eq!(recorded(&consortium, &peer), before);
}

/// The peer dies at any instant: between an act and its posting, between posting and commit, after the commit.
#[test]
fn each_act_is_recorded_once_over_kills() {
    let consortium = Consortium::new();
    let mut made = 0;
    for round in 0..6 {
        let peer = consortium.serve();
        // An act whose record may be on its way, more of them in later rounds; the look is once a second.
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(250 * round) {
            ca(&consortium, &["policy", "--approvals", "1", "--why", "while it runs"]);
            made += 1;
        }
        peer.kill();
        ca(&consortium, &["policy", "--approvals", "1", "--why", "while it is down"]);
        made += 1;
    }
    let peer = consortium.serve();
    let bodies = recorded(&consortium, &peer);
    assert_eq!(bodies.iter().filter(|body| body["act"] == "policy-set").count(), made);
    let lines: Vec<u64> = bodies.iter().map(|body| body["line"].as_u64().expect("a number")).collect();
    assert!(lines.windows(2).all(|pair| pair[0] < pair[1]), "{lines:?}");

    // A restart posts nothing again, and execution refuses who tries: the peer's own key, an act that is there.
    let height = peer.run(&consortium.admin(), &["channel", "show", "main"])["height"].clone();
    peer.drain();
    let peer = consortium.serve();
    assert_eq!(recorded(&consortium, &peer).len(), bodies.len());
    assert_eq!(peer.run(&consortium.admin(), &["channel", "show", "main"])["height"], height);
}

#[tokio::test]
async fn a_record_that_is_posted_twice_is_refused() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let bodies = recorded(&consortium, &peer);
    let page = peer.run(&consortium.admin(), &["log", "list", "--topic", "audit.certificate", "--limit", "1000"]);
    let digest = |at: usize| page["items"][at]["digest"].as_str().expect("text").parse::<Hash>().expect("hex");
    let seal: SigningKey = server::setup::init::seal_key(&consortium.dir().join("peer/seal.pem")).expect("a key");
    let admin = peer.connect(&consortium.admin());
    let main = admin.channel("main").await.expect("there").id;
    let again = Action::LogAudit(logs::Audit {
        topic: "audit.certificate".into(),
        source: bodies[0]["source"].as_str().expect("text").parse().expect("hex"),
        previous: digest(1),
        digest: digest(2),
        body: bodies[2].to_string(),
    });
    let transaction = crate::harness::transaction(main, vec![again]);
    let envelope = ledger_classes::formats::transaction::Envelope::sign_binary(&transaction, &[&seal]);
    let outcome = admin.submit("main", &envelope, Wait::Committed).await.expect("taken");
    assert_eq!(outcome.receipt.expect("committed").result, "audit-out-of-sequence");
}

#[test]
fn a_changed_index_is_found() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let out = consortium.path("eve");
    ca(&consortium, &["issue", "bank", "client", "eve", "--out", text(&out), "--why", "hired by a friend"]);
    recorded(&consortium, &peer);
    let path = consortium.dir().join("ca/index.jsonl");
    let index = std::fs::read_to_string(&path).expect("readable");
    let lines: Vec<&str> = index.lines().collect();
    let issued = lines.iter().rposition(|line| line.contains("\"issued\"")).expect("issued");
    let (start, end) = index.split_at(index.rfind("hired by a friend").expect("in the line of the issuance"));
    let changed = format!("{start}{}", end.replace("hired by a friend", "hired by nobody"));
    for (tampered, said) in [
        (changed, format!("line {} is not what the ledger recorded", issued + 1)),
        (lines[..issued].join("\n") + "\n", format!("line {} is on the ledger and missing in the index", issued + 1)),
        (lines[2..].join("\n") + "\n", "no records on the ledger are of an index that begins with".to_owned()),
    ] {
        std::fs::write(&path, tampered).expect("writable");
        let output = audit(&consortium, &peer);
        let failure: Value = ledger_classes::primitives::json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(output.status.code(), Some(1), "{failure}");
        assert!(failure["error"]["message"].as_str().unwrap_or_default().contains(&said), "{said}: {failure}");
    }
    std::fs::write(&path, &index).expect("writable");
    recorded(&consortium, &peer);
}

#[tokio::test]
async fn acts_on_a_private_channel_are_on_that_channel_and_not_on_main() {
    let consortium = Consortium::new();
    consortium.organization("dealer");
    let stranger = consortium.profile("dealer", "client", "dora");
    let peer = consortium.serve();
    let admin = consortium.admin();
    let created = peer.run(&admin, &["channel", "create", "secret", "--org", "bank", "--grant", "bank=member"]);
    peer.run(&admin, &["key", "new"]);
    peer.run(&admin, &["participant", "admit", "--channel", "secret"]);
    peer.run(
        &admin,
        &["channel", "grant", "secret", "spiffe://test.example/bank/auditor/ann=audit", "--reason", "auditors asked"],
    );
    peer.run(
        &admin,
        &[
            "participant",
            "revoke",
            "spiffe://test.example/bank/client/bob",
            "0b",
            "--reason",
            "left",
            "--channel",
            "secret",
        ],
    );

    let acts = records(&peer, &admin, "secret", "audit.channel");
    let told: Vec<[&str; 3]> =
        acts.iter().map(|act| ["act", "who", "why"].map(|name| act[name].as_str().unwrap_or_default())).collect();
    assert!(acts[0]["certificate"].as_str().is_some_and(|serial| !serial.is_empty()), "{}", acts[0]);
    let expected = [
        ["participant.admit", ADMIN, ""],
        ["channel.propose", ADMIN, "auditors asked"],
        ["participant.revoke", ADMIN, "left"],
    ];
    assert_eq!(told, expected);
    assert_eq!(
        acts[1]["changes"],
        json!([{ "change": "grant", "to": "spiffe://test.example/bank/auditor/ann", "rights": ["audit"] }])
    );
    assert!(acts[1]["effective"].is_u64(), "{}", acts[1]);

    // Nothing on main tells of it, in state or in events, whoever reads.
    recorded(&consortium, &peer);
    let id = created["id"].as_str().expect("an id");
    let listed = peer.run(&admin, &["log", "list", "--limit", "1000"]).to_string();
    assert!(listed.contains("audit.certificate") && !listed.contains("secret") && !listed.contains(id), "{listed}");
    let reader = peer.connect(&admin);
    let height = reader.channel("main").await.expect("there").height;
    for at in 0..=height {
        let block = format!("{:?}", reader.block("main", at).await.expect("there"));
        assert!(!block.contains("secret") && !block.contains(id), "block {at}");
    }
    let output = try_run(&["--profile", text(&stranger), "--peer", &peer.url, "log", "list", "--channel", "secret"]);
    assert_eq!(output.status.code(), Some(1));
}
