//! Promise 5: revoked means out. From `ca revoke` to the refused request, the closed subscription and the participant
//! record that ends on every channel; and to nobody else.

use crate::{
    harness::{Consortium, Peer, address, run, signed, text, try_run},
    wait,
};
use ca::{CertificateFolder, office::revocation::Selection};
use client::connection::Connection;
use client::profile::Profile;
use client::submit::Wait;
use client::subscribe::{Filter, Start, SubscribeError, Subscription};
use ledger_classes::action::{Action, logs};
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::identity::Identity;
use pki::{RevocationReason, Serial};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(30);

fn append(body: &str) -> Action {
    Action::LogAppend(logs::Append { topic: "tests".into(), digest: None, body: body.into() })
}

fn identity(name: &str) -> Identity {
    Identity::parse(&format!("spiffe://test.example/bank/client/{name}")).expect("a valid identity")
}

/// Revokes in this process: what `chancery ca revoke` does, without the start of a program.
fn revoke(consortium: &Consortium, name: &str) {
    let folder = CertificateFolder::open(&consortium.dir()).expect("a folder");
    let selection = Selection::Identity(identity(name));
    folder.revocation().revoke(&selection, RevocationReason::KeyCompromise, client::now()).expect("revokes");
}

fn create(peer: &Peer, consortium: &Consortium, name: &str) -> Hash {
    let arguments = ["channel", "create", name, "--org", "bank", "--grant", "bank=read:logs,write:logs"];
    let made = peer.run(&consortium.admin(), &arguments);
    made["id"].as_str().expect("an id").parse().expect("hex")
}

/// Binds the address of key `number` to a profile's certificate; `poster` carries the transaction there.
async fn admit(poster: &Connection, channel: &str, id: Hash, profile: &Path, number: u8) {
    let credential = Profile::open(profile).expect("a profile").credential.expect("a certificate");
    let admission = client::admit::admission(&credential, id, address(number)).expect("signs");
    commit(poster, channel, id, number, admission).await;
}

async fn commit(poster: &Connection, channel: &str, id: Hash, number: u8, action: Action) {
    let outcome = poster.submit(channel, &signed(id, number, vec![action]), Wait::Committed).await.expect("taken");
    assert_eq!(outcome.receipt.expect("committed").code, 0);
}

fn from(connection: &Connection, channel: &str, topic: Option<&str>) -> Subscription {
    let topic = topic.map(str::to_owned);
    connection.subscribe(channel, Filter { start: Start::Height(0), topic, ..Filter::default() })
}

async fn next_kind(subscription: &mut Subscription) -> String {
    let next = tokio::time::timeout(LONG, subscription.next()).await.expect("in time");
    next.expect("goes on").expect("an event").event.type_text
}

/// The subscription ends for its certificate. The channel may have told of the revocation just before: the index of the
/// folder says it a moment earlier than the CRL does, and the peer reads both.
async fn closed(subscription: &mut Subscription) {
    loop {
        match tokio::time::timeout(LONG, subscription.next()).await.expect("ends in time") {
            Some(Ok(told)) if told.event.type_text == "chancery.participant.revoked" => {}
            Some(Err(SubscribeError::Problem(problem))) => {
                // The channel's own word may come before the list does.
                let names = ["certificate-refused", "channel-unknown"];
                return assert!(names.contains(&problem.name()), "{problem:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn from_a_revocation_to_a_refusal_a_closed_subscription_and_an_ended_participation() {
    let consortium = Consortium::new();
    let ann = consortium.profile("bank", "client", "ann");
    let peer = consortium.serve();
    let id = create(&peer, &consortium, "private");
    let (gone, admin) = (peer.connect(&ann), peer.connect(&consortium.admin()));
    admit(&gone, "private", id, &ann, 5).await;
    let mut lost = from(&gone, "private", Some("participant.*"));
    let mut watched = from(&admin, "private", Some("participant.*"));
    for subscription in [&mut lost, &mut watched] {
        assert_eq!(next_kind(subscription).await, "chancery.participant.admitted");
    }

    let started = Instant::now();
    revoke(&consortium, "ann");
    let refused = async {
        while gone.channel("private").await.is_ok() {}
        started.elapsed()
    };
    let ended = async {
        closed(&mut lost).await;
        started.elapsed()
    };
    let committed = async {
        assert_eq!(next_kind(&mut watched).await, "chancery.participant.revoked");
        started.elapsed()
    };
    let (refused, ended, committed) = tokio::join!(refused, ended, committed);
    println!("refused after {refused:?}, closed after {ended:?}, committed after {committed:?}");
    assert!(refused < Duration::from_secs(1), "refused after {refused:?}");
    assert!(ended < Duration::from_secs(1), "closed after {ended:?}");
    assert!(committed < Duration::from_secs(2), "committed after {committed:?}");

    // The transaction is refused for its sender's record, whoever brings it.
    let outcome = admin.submit("private", &signed(id, 5, vec![append("late")]), Wait::Committed).await;
    let refusal = outcome.expect_err("the participation has ended").to_string();
    assert!(refusal.contains("may not sign"), "{refusal}");

    // A channel that is made later knows of it by itself, and nobody's name; whoever comes with the certificate is refused.
    let later = create(&peer, &consortium, "later");
    let mut watched = from(&admin, "later", Some("participant.*"));
    let told = tokio::time::timeout(LONG, watched.next()).await.expect("in time").expect("goes on").expect("an event");
    let told = serde_json::to_value(&told.event.data).expect("an event");
    assert_eq!((&told["kind"], &told["identity"]), (&"participant.revoked".into(), &serde_json::Value::Null));
    let credential = Profile::open(&ann).expect("a profile").credential.expect("a certificate");
    let admission = client::admit::admission(&credential, later, address(6)).expect("signs");
    let height = admin.channel("later").await.expect("there").height;
    let refused =
        admin.submit("later", &signed(later, 6, vec![admission]), Wait::Committed).await.expect_err("revoked");
    assert!(format!("{refused:?}").contains("problem:certificate-revoked"), "{refused:?}");
    assert_eq!(admin.channel("later").await.expect("there").height, height, "it leaves nothing");

    // A restart posts nothing again.
    let height = admin.channel("private").await.expect("there").height;
    peer.drain();
    let peer = consortium.serve();
    let admin = peer.connect(&consortium.admin());
    let mut watched = from(&admin, "private", Some("participant.*"));
    assert_eq!(next_kind(&mut watched).await, "chancery.participant.admitted");
    assert_eq!(next_kind(&mut watched).await, "chancery.participant.revoked");
    let idle = tokio::time::timeout(Duration::from_millis(1500), watched.next()).await;
    assert!(idle.is_err(), "{idle:?}");
    assert_eq!(admin.channel("private").await.expect("there").height, height);
}

/// On a channel with fees a revoked key went on signing until the account of the peer that posts revocations had funds.
#[tokio::test]
async fn a_revocation_reaches_a_channel_whose_fees_the_peer_cannot_pay() {
    let consortium = Consortium::new();
    let ann = consortium.profile("bank", "client", "ann");
    let peer = consortium.serve();
    let spec = consortium.path("spec.json");
    let document = serde_json::json!({
        "name": "priced", "organizations": [{ "name": "bank" }],
    });
    std::fs::write(&spec, document.to_string()).expect("writable");
    let made = peer.run(&consortium.admin(), &["channel", "create", "--spec", text(&spec)]);
    let id: Hash = made["id"].as_str().expect("an id").parse().expect("hex");
    let admin = peer.connect(&consortium.admin());
    let own = |words: &[&str]| peer.run(&consortium.admin(), words);
    own(&["key", "new"]);
    own(&["participant", "admit", "--channel", "priced"]);
    own(&["asset", "define", "coin", "--channel", "priced"]);
    let issuer = own(&["asset", "show", "coin", "--channel", "priced"])["mint_authority"].clone();
    let changes = consortium.path("fees.json");
    let fees = serde_json::json!([{
        "change": "set_fees", "asset": "coin", "issuer": issuer, "base": "5", "per_byte": "0", "collector": null,
    }]);
    std::fs::write(&changes, fees.to_string()).expect("writable");
    own(&["channel", "update", "priced", "--changes", text(&changes)]);
    // Nobody has funds: there is no unit of the asset. Admission is free.
    admit(&admin, "priced", id, &ann, 5).await;
    let mut watched = from(&admin, "priced", Some("participant.*"));
    assert_eq!(next_kind(&mut watched).await, "chancery.participant.admitted");
    assert_eq!(next_kind(&mut watched).await, "chancery.participant.admitted");
    let refused = admin.submit("priced", &signed(id, 5, vec![append("x")]), Wait::Committed).await.expect_err("fees");
    assert!(format!("{refused:?}").contains("urn:chancery:problem:fee-above-max"), "{refused:?}");
    revoke(&consortium, "ann");
    assert_eq!(next_kind(&mut watched).await, "chancery.participant.revoked");
}

/// Ten of a thousand readers are revoked: their ten subscriptions close, each a connection of its own, and the other
/// 990 see the next event. `ulimit -n 4096` at least for the whole thousand.
#[tokio::test]
async fn of_a_thousand_subscriptions_exactly_the_revoked_ones_close() {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("Linux");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    let files: u64 = files.split_whitespace().nth(3).and_then(|soft| soft.parse().ok()).unwrap_or(u64::MAX);
    // Where a process may open fewer files, fewer connections of each reader show the same.
    let each = if files >= 4096 { 99 } else { 20 };
    println!("{each} connections of each of the ten that stay");

    let consortium = Consortium::new();
    let names: Vec<String> = (0..20).map(|number| format!("reader-{number}")).collect();
    let profiles: Vec<PathBuf> = names.iter().map(|name| consortium.profile("bank", "client", name)).collect();
    let writer = consortium.profile("bank", "client", "writer");
    let peer = consortium.serve();
    let id = create(&peer, &consortium, "busy");
    let admin = peer.connect(&writer);
    admit(&admin, "busy", id, &writer, 7).await;
    commit(&admin, "busy", id, 7, append("first")).await;

    // One of each of the ten that go.
    let (mut going, mut staying) = (Vec::new(), Vec::new());
    for (number, profile) in profiles.iter().enumerate() {
        let connection = peer.connect(profile);
        for _ in 0..if number < 10 { 1 } else { each } {
            let mut subscription = from(&connection, "busy", Some("tests"));
            let task = tokio::spawn(async move {
                assert_eq!(next_kind(&mut subscription).await, "chancery.log.appended");
                subscription
            });
            if number < 10 { &mut going } else { &mut staying }.push(task);
        }
    }
    let mut open = (Vec::new(), Vec::new());
    for task in going {
        open.0.push(task.await.expect("subscribed"));
    }
    for task in staying {
        open.1.push(task.await.expect("subscribed"));
    }
    assert_eq!((open.0.len(), open.1.len()), (10, 10 * each));

    let folder = CertificateFolder::open(&consortium.dir()).expect("a folder");
    for name in &names[..10] {
        let selection = Selection::Identity(identity(name));
        folder.revocation().revoke(&selection, RevocationReason::CessationOfOperation, client::now()).expect("revokes");
    }
    let revoked = Instant::now();
    for subscription in &mut open.0 {
        closed(subscription).await;
    }
    let took = revoked.elapsed();
    println!("the last of ten subscriptions closed {took:?} after the last revocation");
    assert!(took < Duration::from_secs(1), "closed after {took:?}");

    commit(&admin, "busy", id, 7, append("second")).await;
    for mut subscription in open.1 {
        assert_eq!(next_kind(&mut subscription).await, "chancery.log.appended");
    }
}

fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().expect("is installed");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test]
async fn curl_and_openssl_get_ocsp_answers_from_the_peer() {
    let consortium = Consortium::new();
    let ann = consortium.profile("bank", "client", "ann");
    let peer = consortium.serve();
    let ca = consortium.dir().join("ca");
    let issuer = ca.join("bank.pem");
    let chain = consortium.path("chain.pem");
    let pem = |path: PathBuf| std::fs::read_to_string(path).expect("readable");
    std::fs::write(&chain, pem(ca.join("root.pem")) + &pem(issuer.clone())).expect("writable");
    let folder = CertificateFolder::open(&consortium.dir()).expect("a folder");
    let serial = folder.records().expect("readable").certificates().last().expect("issued").serial.clone();
    let (request, answer) = (consortium.path("request.der"), consortium.path("answer.der"));
    let url = format!("{}/v1/ca/ocsp", peer.url);
    let trusted = ann.join("ca.pem");

    let ask = |serial: &Serial, by_get: bool| {
        let serial = format!("0x{serial}");
        tool("openssl", &["ocsp", "-issuer", text(&issuer), "-serial", &serial, "-reqout", text(&request)]);
        let mut arguments = vec!["--silent", "--show-error", "--cacert", text(&trusted), "--dump-header", "-"];
        arguments.extend(["--output", text(&answer)]);
        let bytes = std::fs::read(&request).expect("made");
        let encoded: String = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
            .replace('+', "%2B")
            .replace('/', "%2F")
            .replace('=', "%3D");
        let data = format!("@{}", text(&request));
        let get = format!("{url}/{encoded}");
        if by_get {
            arguments.push(&get);
        } else {
            arguments.extend(["--header", "Content-Type: application/ocsp-request", "--data-binary", &data, &url]);
        }
        let head = tool("curl", &arguments).to_lowercase();
        assert!(head.starts_with("http/1.1 200") && head.contains("content-type: application/ocsp-response"), "{head}");
        // Refusals have five octets, and no cache keeps them.
        let answered = std::fs::read(&answer).expect("there").len() > 5;
        assert_eq!(head.contains("max-age=60"), by_get && answered, "{head}");
        tool(
            "openssl",
            &[
                "ocsp",
                "-no_nonce",
                "-issuer",
                text(&issuer),
                "-serial",
                &serial,
                "-respin",
                text(&answer),
                "-CAfile",
                text(&chain),
            ],
        )
    };
    for by_get in [false, true] {
        let good = ask(&serial, by_get);
        assert!(good.contains("Response verify OK") && good.contains(": good"), "{good}");
        let unknown = ask(&"0102".parse().expect("a serial"), by_get);
        assert!(unknown.contains("unauthorized"), "{unknown}");
    }
    revoke(&consortium, "ann");
    for by_get in [false, true] {
        let revoked = ask(&serial, by_get);
        assert!(revoked.contains("Response verify OK") && revoked.contains(": revoked"), "{revoked}");
    }
    let shown = run(&["ca", "--dir", text(&consortium.dir()), "ocsp", "--serial", &serial.to_string()]);
    assert_eq!((&shown["status"], &shown["reason"]), (&"revoked".into(), &"key-compromise".into()), "{shown}");
    let signed = run(&["ca", "--dir", text(&consortium.dir()), "ocsp"]);
    let names: BTreeSet<&str> = signed.as_array().expect("names").iter().filter_map(|name| name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["bank", "root"]));
}

/// It was posted again every five seconds, for ever: nine blocks in 40 seconds without any traffic. And once the
/// organization was back, its revoked members were, too.
#[tokio::test]
async fn a_revocation_of_an_organization_that_has_left_makes_no_blocks_and_comes_when_it_is_back() {
    let consortium = Consortium::new();
    consortium.organization("dealer");
    let (dora, ann) = (consortium.profile("dealer", "client", "dora"), consortium.profile("bank", "client", "ann"));
    let peer = consortium.serve();
    let profile = consortium.admin();
    let create = ["channel", "create", "trade", "--org", "bank", "--org", "dealer", "--grant", "bank=member"];
    let grants = ["--grant", "dealer=member", "--approvals", "any"];
    let made = peer.run(&profile, &[&create[..], &grants[..]].concat());
    let id: Hash = made["id"].as_str().expect("an id").parse().expect("hex");
    let admin = peer.connect(&profile);
    admit(&admin, "trade", id, &dora, 5).await;
    admit(&admin, "trade", id, &ann, 6).await;
    peer.run(&profile, &["key", "new"]);
    peer.run(&profile, &["participant", "admit", "--channel", "trade"]);
    peer.run(&profile, &["channel", "update", "trade", "--remove-org", "dealer"]);
    let height = admin.channel("trade").await.expect("there").height;

    // Dealer has left: its CA's word is nothing here any more.
    let folder = CertificateFolder::open(&consortium.dir()).expect("a folder");
    let dealer = Identity::parse("spiffe://test.example/dealer/client/dora").expect("a valid identity");
    folder
        .revocation()
        .revoke(&Selection::Identity(dealer), RevocationReason::KeyCompromise, client::now())
        .expect("revokes");
    // What can be revoked still is, and that is the only block.
    let mut watched = from(&admin, "trade", Some("participant.revoked"));
    revoke(&consortium, "ann");
    assert_eq!(next_kind(&mut watched).await, "chancery.participant.revoked");
    // `main` may have it a moment later.
    let told = async || Some(admin.status().await.expect("answers")).filter(|status| status.waiting.is_empty());
    let status = wait::until("nothing waits to be told", told).await;
    let trade = status.channels.iter().find(|channel| channel.name == "trade").expect("visible");
    assert_eq!((trade.height, status.obstacles.len()), (height + 1, 0), "{status:?}");

    let back = ["--add-org", "dealer", "--grant", "dealer=member"];
    peer.run(&profile, &[&["channel", "update", "trade"], &back[..]].concat());
    assert_eq!(next_kind(&mut watched).await, "chancery.participant.revoked");
    let outcome = admin.submit("trade", &signed(id, 5, vec![append("back")]), Wait::Committed).await;
    assert!(outcome.expect_err("revoked").to_string().contains("may not sign"));
}

#[tokio::test]
async fn a_revocation_whose_answer_is_missing_is_told_of_until_it_is_there() {
    let consortium = Consortium::new();
    consortium.profile("bank", "client", "ann");
    let peer = consortium.serve();
    create(&peer, &consortium, "trade");
    peer.drain();
    let folder = CertificateFolder::open(&consortium.dir()).expect("a folder");
    let revoked =
        folder.revocation().revoke(&Selection::Identity(identity("ann")), RevocationReason::Superseded, client::now());
    let serial = revoked.expect("revokes")[0].serial.clone();
    std::fs::remove_file(consortium.dir().join(format!("ca/ocsp/{serial}.der"))).expect("it was signed");

    let peer = Peer::start(&consortium.dir(), &[("CHANCERY_METRICS_LISTEN", "127.0.0.1:0")]);
    let admin = peer.connect(&consortium.admin());
    let told = wait::until("the obstacle is told", async || {
        let obstacles = admin.status().await.expect("answers").obstacles;
        obstacles.into_iter().find(|obstacle| obstacle.channel == "trade")
    })
    .await;
    assert_eq!((told.duty.as_str(), told.reason.as_str()), ("revocation", "its evidence is being written"));
    assert!(told.subject.starts_with("spiffe://test.example/bank/client/ann "), "{told:?}");
    for name in ["obstacles", "duties_waiting"] {
        assert_eq!(peer.metric(&format!("chancery_channel_{name}{{channel=\"trade\",duty=\"revocation\"}}")), "1");
    }
    // Whoever does not answer for the channel is told nothing.
    let client = peer.connect(&consortium.profile("bank", "client", "ben"));
    let status = client.status().await.expect("answers");
    assert!(status.obstacles.is_empty() && status.waiting.is_empty(), "{status:?}");
    folder.publication().reissue_crl("bank", client::now()).expect("signs");
    let mut watched = from(&admin, "trade", Some("participant.revoked"));
    assert_eq!(next_kind(&mut watched).await, "chancery.participant.revoked");
    wait::until("nothing is in the way", async || {
        let status = admin.status().await.expect("answers");
        (status.obstacles.is_empty() && status.waiting.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_organization_whose_ca_is_revoked_is_out_and_nobody_else() {
    let consortium = Consortium::new();
    consortium.organization("dealer");
    let ca = |arguments: &[&str]| try_run(&[&["ca", "--dir", text(&consortium.dir())], arguments].concat());
    assert!(ca(&["organization", "broker", "--own-root"]).status.success());
    let (dora, ann) = (consortium.profile("dealer", "client", "dora"), consortium.profile("bank", "client", "ann"));
    let peer = consortium.serve();
    let (gone, stays) = (peer.connect(&dora), peer.connect(&ann));
    gone.channel("main").await.expect("public");
    let revoke = |organization| ca(&["revoke-organization", organization, "--reason", "cessation-of-operation"]);
    for (organization, why) in [("bank", "of this peer"), ("broker", "root of its own"), ("root", "root of its own")] {
        let refused = revoke(organization);
        let said = String::from_utf8_lossy(&[refused.stdout, refused.stderr].concat()).into_owned();
        assert!(!refused.status.success() && said.contains(why), "{organization}: {said}");
    }
    assert!(revoke("dealer").status.success());
    let refusal = wait::until("dealer to be refused", async || gone.channel("main").await.err()).await;
    assert!(format!("{refusal:?}").contains("ertificate"), "{refusal:?}");
    stays.channel("main").await.expect("nothing has happened to it");
    let out = consortium.path("late");
    assert!(!ca(&["issue", "dealer", "client", "late", "--out", text(&out)]).status.success());
    // Again does nothing new, and with another key the organization is back.
    assert!(revoke("dealer").status.success());
    assert!(ca(&["replace", "dealer"]).status.success());
    let back = consortium.profile("dealer", "client", "back");
    wait::until("dealer to be let in", async || peer.connect(&back).channel("main").await.ok()).await;
}
