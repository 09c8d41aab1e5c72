//! An organization whose CA is elsewhere, in a folder without a peer: what it hands over is one file, and what is done
//! with that is one command.

use crate::{
    harness::{Consortium, Peer, run, text, try_run},
    wait,
};
use ca::{CertificateFolder, office::revocation::Selection};
use client::api::CaAnswer;
use client::subscribe::{Filter, Start, SubscribeError};
use ledger_classes::primitives::hash::HexBytes;
use pki::RevocationReason;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Output;

fn refused(output: &Output, code: i32, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(why), "{said}");
}

#[test]
fn an_organization_with_its_ca_elsewhere_comes_in_and_its_revocations_too() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let dir = consortium.dir();
    let path = |name: &str| consortium.path(name);
    let carrier = path("carrier");
    let init = ["--consortium", "test.example", "--org", "carrier"];
    run(&[&["ca", "--dir", text(&carrier), "init"], &init[..]].concat());
    let out = path("carl");
    let issue = ["issue", "carrier", "client", "carl", "--at", &peer.url, "--out", text(&out)];
    run(&[&["ca", "--dir", text(&carrier)], &issue[..]].concat());

    let (theirs, ours) = (path("carrier.pem"), path("ours.pem"));
    run(&["ca", "--dir", text(&carrier), "bundle", "carrier", "--out", text(&theirs)]);
    run(&["ca", "--dir", text(&dir), "bundle", "bank", "--out", text(&ours)]);
    let add = |file: &std::path::Path, more: &[&str]| {
        try_run(&[&["ca", "--dir", text(&dir), "trust", "add", text(file)], more].concat())
    };
    let into = ["ca", "trust", "add", text(&ours), "--into", text(&out)];
    refused(&try_run(&into), 1, "--root");
    run(&[&into[..], &["--root"]].concat());
    // Carl trusts the peer, but not yet the other way round.
    let status = |expected: bool| {
        wait::until_found("the peer knows carl, or not", || {
            let asked = try_run(&["--profile", text(&out), "--timeout", "5", "channel", "list"]);
            (asked.status.success() == expected).then_some(())
        });
    };
    status(false);
    let added = add(&theirs, &[]);
    let made: Value = ledger_classes::primitives::json::from_slice(&added.stdout).expect("JSON");
    assert_eq!((&made["authorities"][0]["organization"], &made["crls"]), (&"carrier".into(), &1.into()), "{made}");
    status(true);
    let again: Value = ledger_classes::primitives::json::from_slice(&add(&theirs, &[]).stdout).expect("JSON");
    assert_eq!((again["authorities"].as_array().map(Vec::len), &again["crls"]), (Some(0), &0.into()));
    let held = run(&["ca", "--dir", text(&dir), "trust", "list"]);
    assert!(held.to_string().contains("carrier"), "{held}");

    // The channel takes the very file, and knows the CA in the same way without it.
    let channel = |words: &[&str]| {
        try_run(&[&["--profile", text(&consortium.admin()), "--peer", &peer.url, "channel"], words].concat())
    };
    let with = |named: &str| format!("{named}={}", text(&theirs));
    let created = channel(&["create", "freight", "--org", "bank", "--org", &with("carrier"), "--approvals", "any"]);
    assert!(created.status.success(), "{created:?}");
    let created: Value = ledger_classes::primitives::json::from_slice(&created.stdout).expect("JSON");
    let plain = channel(&["create", "cargo", "--org", "bank", "--org", "carrier", "--approvals", "any"]);
    let plain: Value = ledger_classes::primitives::json::from_slice(&plain.stdout).expect("JSON");
    let cas = |made: &Value| made["config"]["organizations"][1]["authorities"].clone();
    assert!(!cas(&created)[0].is_null() && cas(&created) == cas(&plain), "{created} {plain}");
    refused(&channel(&["create", "wrong", "--org", &with("dealer")]), 2, "holds no CA of dealer, but of carrier");
    refused(&channel(&["update", "cargo", "--add-org", &with("bank")]), 2, "holds no CA of bank, but of carrier");
    refused(&channel(&["update", "cargo", "--add-org", "nobody"]), 2, "chancery ca trust add");
    // Another CA of that name is not made beside it.
    refused(&try_run(&["ca", "--dir", text(&dir), "organization", "carrier"]), 1, "trusts a CA of carrier already");

    // A revocation there, and the file again.
    let identity = "spiffe://test.example/carrier/client/carl";
    run(&["ca", "--dir", text(&carrier), "revoke", identity, "--reason", "key-compromise"]);
    run(&["ca", "--dir", text(&carrier), "bundle", "carrier", "--out", text(&theirs)]);
    let newer: Value = ledger_classes::primitives::json::from_slice(&add(&theirs, &[]).stdout).expect("JSON");
    assert_eq!(newer["crls"], 1, "{newer}");
    status(false);

    // A profile names a place that can be dialled.
    let open = path("open");
    let listen = ["--consortium", "open.example", "--org", "bank", "--listen", "0.0.0.0:7100"];
    run(&[&["init", "--dir", text(&open)], &listen[..]].concat());
    let ann = path("ann");
    let issue = ["ca", "--dir", text(&open), "issue", "bank", "client", "ann", "--out", text(&ann)];
    refused(&try_run(&issue), 2, "--at https://NAME:7100");
    run(&[&issue[..], &["--at", "https://open.example:7100"]].concat());

    // What must not come in, and changes nothing.
    let before = fs::read(dir.join("peer/ca.pem")).expect("readable");
    let (root, impostor) = (path("root.pem"), path("impostor"));
    // Of its own folder's root nobody hears until an organization is under it.
    let all = run(&["ca", "--dir", text(&carrier), "bundle", "--out", text(&root)]);
    assert_eq!(all["authorities"].as_array().map(Vec::len), Some(1), "{all}");
    run(&["ca", "--dir", text(&carrier), "organization", "broker"]);
    run(&["ca", "--dir", text(&carrier), "bundle", "--out", text(&root)]);
    refused(&add(&root, &[]), 1, "may certify CAs of every organization");
    let organization = ["ca", "--dir", text(&dir), "organization", "carrier"];
    refused(&try_run(&organization), 1, "trusts a CA of carrier already");
    let init = ["--consortium", "test.example", "--org", "bank"];
    run(&[&["ca", "--dir", text(&impostor), "init"], &init[..]].concat());
    let bank = path("bank.pem");
    run(&["ca", "--dir", text(&impostor), "bundle", "bank", "--out", text(&bank)]);
    refused(&add(&bank, &[]), 1, "another CA of bank is trusted already");
    let foreign = path("foreign");
    run(&["ca", "--dir", text(&foreign), "init", "--consortium", "evil.example", "--org", "carrier"]);
    let evil = path("evil.pem");
    run(&["ca", "--dir", text(&foreign), "bundle", "carrier", "--out", text(&evil)]);
    refused(&add(&evil, &[]), 1, "what was brought is of the consortium");
    let whole = fs::read_to_string(&bank).expect("readable");
    let (certificate, crl) = whole.split_once("-----BEGIN X509 CRL").expect("both");
    fs::write(&bank, certificate).expect("writable");
    refused(&add(&bank, &["--beside"]), 1, "without a CRL that is in force");
    fs::write(&bank, format!("{}-----BEGIN X509 CRL{crl}", certificate.trim_end())).expect("writable");
    refused(&add(&bank, &["--beside"]), 2, "line");
    assert_eq!(fs::read(dir.join("peer/ca.pem")).expect("readable"), before);

    // And out again, by its key; the peer's own CAs are not taken away here.
    let key = |held: &Value, of: &str| {
        let mut all = held.as_array().expect("a list").iter();
        let one = all.find(|one| one["organization"] == of).expect("listed");
        one["key"].as_str().expect("a key").to_owned()
    };
    let held = run(&["ca", "--dir", text(&dir), "trust", "list"]);
    let remove = |key: &str| try_run(&["ca", "--dir", text(&dir), "trust", "remove", key]);
    refused(&remove(&key(&held, "bank")), 1, "authorities' folder");
    refused(&remove("ffffffff"), 1, "no CA with key");
    for short in ["", "f", &key(&held, "bank")[..7], "no-key-at-all"] {
        refused(&remove(short), 2, "is no beginning of a key");
    }
    // Also by its folder's name the peer keeps what it is known by.
    let own = dir.join("peer");
    let roots = run(&["ca", "trust", "list", "--into", text(&own)]);
    let root = roots.as_array().expect("CAs").iter().find(|one| one["organization"].is_null()).expect("the root");
    let root = root["key"].as_str().expect("a key");
    refused(&try_run(&["ca", "trust", "remove", root, "--into", text(&own)]), 1, "own certificate is issued under");
    assert_eq!(run(&["ca", "trust", "list", "--into", text(&own)]), roots);
    refused(&try_run(&["ca", "trust", "show", "/dev/zero"]), 2, "has more than");
    refused(&try_run(&["ca", "trust", "add", "/dev/zero", "--dir", text(&dir)]), 2, "has more than");
    // What is public can be read from a pipe.
    let shown = try_run(&["ca", "--dir", text(&dir), "bundle", "bank", "--out", "/dev/stdout"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("-----BEGIN CERTIFICATE-----"), "{shown:?}");
    let removed = run(&["ca", "--dir", text(&dir), "trust", "remove", &key(&held, "carrier")[..12]]);
    assert_eq!(removed[0]["organization"], "carrier", "{removed}");
    assert!(!run(&["ca", "--dir", text(&dir), "trust", "list"]).to_string().contains("carrier"));
    run(&organization);
}

/// The folder of carrier's CA, which the peer trusts, and profiles of its administrator and two clients.
fn elsewhere(consortium: &Consortium, peer: &Peer) -> (PathBuf, [PathBuf; 3]) {
    let (dir, path) = (consortium.dir(), |name: &str| consortium.path(name));
    let carrier = path("carrier");
    let ca = |arguments: &[&str]| run(&[&["ca", "--dir", text(&carrier)], arguments].concat());
    ca(&["init", "--consortium", "test.example", "--org", "carrier"]);
    let (theirs, ours) = (path("carrier.pem"), path("ours.pem"));
    ca(&["bundle", "carrier", "--out", text(&theirs)]);
    run(&["ca", "--dir", text(&dir), "trust", "add", text(&theirs)]);
    run(&["ca", "--dir", text(&dir), "bundle", "bank", "--out", text(&ours)]);
    let profiles = [("admin", "donna"), ("client", "carl"), ("client", "cora")].map(|(role, name)| {
        let out = path(name);
        ca(&["issue", "carrier", role, name, "--at", &peer.url, "--out", text(&out)]);
        run(&["ca", "trust", "add", text(&ours), "--into", text(&out), "--root"]);
        run(&["--profile", text(&out), "key", "new"]);
        out
    });
    wait::until_found("the peer trusts carrier", || {
        try_run(&["--profile", text(&profiles[0]), "channel", "list"]).status.success().then_some(())
    });
    (carrier, profiles)
}

/// The channel said that it was revoked, and the peer let it read on until a list came, which might be never.
#[tokio::test]
async fn a_cas_answer_alone_ends_connections_and_subscriptions_also_after_a_restart() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let (carrier, [donna, carl, cora]) = elsewhere(&consortium, &peer);
    let create = ["channel", "create", "trade", "--org", "bank", "--org", "carrier", "--grant", "carrier=read,write"];
    peer.run(&consortium.admin(), &create);
    let (gone, stays) = (peer.connect_once(&carl), peer.connect_once(&cora));
    let filter = || Filter { start: Start::Height(0), ..Filter::default() };
    let mut lost = gone.subscribe("trade", filter());
    // It is open once it has something to tell.
    peer.run(&carl, &["participant", "admit", "--channel", "trade"]);
    lost.next().await.expect("goes on").expect("an event");

    let folder = CertificateFolder::open(&carrier).expect("a folder");
    let who = Selection::Identity("spiffe://test.example/carrier/client/carl".parse().expect("an identity"));
    let revoked = folder.revocation().revoke(&who, RevocationReason::KeyCompromise, client::now()).expect("revokes");
    let evidence = folder.records().expect("readable").evidence(&revoked[0]).expect("readable").expect("signed");
    let path = evidence.path.into_iter().map(HexBytes).collect();
    let answer = CaAnswer { path, evidence: HexBytes(evidence.answer) };
    assert!(peer.connect_once(&donna).bring_answer(&answer).await.expect("taken").new);

    // At once, on the connection that there is, on new ones, and of the subscription.
    let refused = gone.channel("trade").await.expect_err("it is out").to_string();
    assert!(refused.contains("revoked"), "{refused}");
    peer.connect_once(&carl).status().await.expect_err("it does not come in");
    loop {
        match tokio::time::timeout(wait::PATIENCE, lost.next()).await.expect("ends in time") {
            Some(Ok(told)) => assert_ne!(told.event.type_text, "chancery.participant.revoked"),
            Some(Err(SubscribeError::Problem(problem))) => break assert_eq!(problem.name(), "certificate-refused"),
            // A subscriber may have lost its connection and found itself refused.
            Some(Err(_)) => break,
            None => panic!("it ends with a reason"),
        }
    }
    assert!(stays.channel("trade").await.is_ok());
    peer.drain();
    let peer = consortium.serve();
    peer.connect_once(&carl).status().await.expect_err("nobody has forgotten");
    assert!(peer.connect_once(&cora).channel("trade").await.is_ok());
}

#[test]
fn a_revocation_of_a_ca_elsewhere_is_told_of_until_that_organization_has_brought_its_answer() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let (dir, boss) = (consortium.dir(), consortium.admin());
    let (carrier, [donna, carl, cora]) = elsewhere(&consortium, &peer);
    let theirs = consortium.path("carrier.pem");
    let ca = |arguments: &[&str]| run(&[&["ca", "--dir", text(&carrier)], arguments].concat());
    let create =
        ["channel", "create", "trade", "--org", "bank", "--org", "carrier", "--grant", "carrier=read,write,audit"];
    peer.run(&boss, &create);
    for profile in [&donna, &carl, &cora] {
        peer.run(profile, &["participant", "admit", "--channel", "trade"]);
    }
    // One that no administrator of carrier sees.
    let only_carl = "spiffe://test.example/carrier/client/carl=read,write";
    let hidden = ["--approvals", "any", "--grant", "bank=read,write,admin", "--grant", only_carl];
    peer.run(&boss, &[&["channel", "create", "hidden", "--org", "bank", "--org", "carrier"], &hidden[..]].concat());
    peer.run(&carl, &["participant", "admit", "--channel", "hidden"]);
    let obstacles = |count: usize| {
        wait::until_found("the obstacles that status shows", || {
            let status = peer.run(&boss, &["status"]);
            (status["obstacles"].as_array().map_or(0, Vec::len) == count).then_some(status)
        })
    };
    let publish = |by: &std::path::Path| try_run(&["--profile", text(by), "ca", "publish", "--dir", text(&carrier)]);
    let first: Value = ledger_classes::primitives::json::from_slice(&publish(&donna).stdout).expect("JSON");
    assert_eq!((&first["crls"][0]["became"], &first["answers"]), (&"known".into(), &serde_json::json!([])));

    // The list alone: connections end, the participation does not, and that is said.
    let identity = "spiffe://test.example/carrier/client/carl";
    ca(&["revoke", identity, "--reason", "key-compromise"]);
    ca(&["bundle", "carrier", "--out", text(&theirs)]);
    run(&["ca", "--dir", text(&dir), "trust", "add", text(&theirs)]);
    let hindered = obstacles(2);
    let obstacle = &hindered["obstacles"][0];
    assert!(obstacle["reason"].as_str().is_some_and(|why| why.contains("chancery ca publish")), "{hindered}");
    assert!(obstacle["subject"].as_str().is_some_and(|subject| subject.starts_with(identity)), "{hindered}");

    // Any member brings the answer, and the peer does the rest, here as on a channel that carrier's members do not see.
    let brought: Value = ledger_classes::primitives::json::from_slice(&publish(&cora).stdout).expect("JSON");
    let answers = &brought["answers"];
    assert_eq!((answers.as_array().map(Vec::len), &answers[0]["became"]), (Some(1), &"taken".into()), "{brought}");
    assert!(answers[0]["what"].as_str().is_some_and(|what| what.starts_with(identity)), "{brought}");
    obstacles(0);
    // It is told what waits on channels that it sees, and its answer waits for none.
    assert_eq!(brought["waiting"], serde_json::json!([]), "{brought}");
    let ended = |channel: &str| {
        wait::until_found("the participation ends", || {
            let list = ["participant", "list", "--organization", "carrier", "--channel", channel];
            let listed = peer.run(&boss, &list);
            listed.to_string().contains("\"standing\":\"revoked\"").then_some(listed)
        })
    };
    ended("hidden");
    let listed = ended("trade");
    let standing = |name: &str| {
        let of = listed["items"].as_array().expect("items").iter();
        of.filter(|one| one["identity"].as_str().is_some_and(|identity| identity.ends_with(name)))
            .map(|one| one["standing"].as_str().expect("a word").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (standing("/carl"), standing("/cora"), standing("/donna")),
        (vec!["revoked".to_owned()], vec!["admitted".to_owned()], vec!["admitted".to_owned()])
    );

    // At once, from nothing: the command brings the list, too. What is brought again is known.
    ca(&["revoke", "spiffe://test.example/carrier/client/cora"]);
    let both: Value = ledger_classes::primitives::json::from_slice(&publish(&donna).stdout).expect("JSON");
    let became =
        |of: &str| both[of].as_array().expect("a list").iter().map(|one| one["became"].clone()).collect::<Vec<_>>();
    assert_eq!((became("answers"), became("crls")), (vec!["known".into(), "taken".into()], vec!["taken".into()]));
    wait::until_found("the participation ends", || {
        let list = ["participant", "list", "--organization", "carrier", "--channel", "trade"];
        let listed = peer.run(&boss, &list).to_string();
        (listed.matches("\"standing\":\"revoked\"").count() == 2).then_some(())
    });
    refused(&try_run(&["--profile", text(&cora), "channel", "list"]), 1, "revoked");
}

/// A killed `ca init` left a folder without an organization, and the same command said that it is there.
#[test]
fn an_interrupted_ca_init_goes_on_and_another_consortiums_folder_is_left_alone() {
    let home = tempfile::tempdir().expect("a directory");
    let dir = home.path().join("carrier");
    fs::create_dir(&dir).expect("writable");
    CertificateFolder::create(&dir, "test.example", pki::KeyAlgorithm::P256, client::now()).expect("made");
    // What a draft of another process that was killed has left.
    fs::create_dir(dir.join(".ca.1.new")).expect("writable");
    let init = |consortium: &str, org: &str| {
        try_run(&["ca", "init", "--consortium", consortium, "--org", org, "--dir", text(&dir)]).status.code()
    };
    assert_eq!(init("other.example", "carrier"), Some(1));
    assert_eq!(init("test.example", "carrier"), Some(0));
    let folder = CertificateFolder::open(&dir).expect("a folder");
    let names: Vec<String> = folder.records().expect("read").authorities().keys().cloned().collect();
    assert_eq!(names, ["carrier", "root"]);
    assert_eq!(init("test.example", "carrier"), Some(1), "it is done");
    assert_eq!(init("test.example", "ferry"), Some(1), "it is another's");
}
