//! Administrators of an organization work from their own machines: requests, approvals, rejections, revocations and
//! enrolment tokens over HTTPS, by the same commands as on the authorities' folder. Each act is recorded with who and
//! why; to administrators of other organizations, and of another CA of the same name, there is nothing.

use crate::{
    harness::{Consortium, Peer, run, text, try_run},
    wait,
};
use ca::CertificateFolder;
use client::api::{ApprovalBody, RejectionBody, RevocationBody, TokenBody};
use client::connection::{Connection, RequestError};
use client::query::Paging;
use client::register::IssuedFilter;
use pki::KeyAlgorithm;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const ALICE: &str = "spiffe://test.example/dealer/client/alice";
const BOSS: &str = "spiffe://test.example/dealer/admin/boss";

/// A consortium whose peer is the bank's; the dealer's administrator has nothing but a profile.
struct World {
    consortium: Consortium,
    boss: PathBuf,
    peer: Peer,
}

fn world() -> World {
    let consortium = Consortium::new();
    consortium.organization("dealer");
    let boss = consortium.profile("dealer", "admin", "boss");
    let peer = consortium.serve();
    World { consortium, boss, peer }
}

impl World {
    /// `chancery ca …` over HTTPS, as a profile.
    fn ca(&self, who: &Path, words: &[&str]) -> Value {
        self.peer.run(who, &[&["ca"], words].concat())
    }

    /// The exit code and the problem's name of a command that is refused.
    fn refused(&self, who: &Path, words: &[&str]) -> (Option<i32>, String) {
        let output = try_run(&[&["--profile", text(who), "--peer", &self.peer.url, "ca"], words].concat());
        let document: Value = ledger_classes::primitives::json::from_slice(&output.stdout).unwrap_or_default();
        let name = document["error"]["problem"]["type"].as_str().and_then(|text| text.rsplit(':').next());
        (output.status.code(), name.unwrap_or_default().to_owned())
    }

    /// A folder with a key and a request for `identity`.
    fn request(&self, identity: &str) -> PathBuf {
        let folder = self.consortium.path(identity.rsplit('/').next().expect("a name"));
        run(&["ca", "request", "--out", text(&folder), "--identity", identity]);
        folder
    }

    /// A profile of somebody who has no certificate yet.
    fn nobody(&self) -> PathBuf {
        let folder = self.consortium.path("nobody");
        std::fs::create_dir_all(&folder).expect("writable");
        for file in ["ca.pem", "profile.toml"] {
            std::fs::copy(self.boss.join(file), folder.join(file)).expect("copied");
        }
        folder
    }

    /// Acts on the record of `main`, once it has one of `act`: who did it and why.
    async fn recorded(&self, act: &str) -> (String, String) {
        let connection = self.peer.connect(&self.consortium.admin());
        wait::until(&format!("{act} is recorded"), async || {
            let part = Paging { after: None, limit: Some(1000) };
            let page = connection.logs("main", Some("audit.certificate"), part).await.expect("readable");
            let bodies = page.items.iter().filter_map(|record| record["body"].as_str());
            let mut acts = bodies.filter_map(|body| ledger_classes::primitives::json::from_str::<Value>(body).ok());
            let found = acts.rfind(|found| found["act"] == act)?;
            let field = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
            Some((field("who"), field("why")))
        })
        .await
    }
}

/// The status and name of a refusal.
fn refusal<T: std::fmt::Debug>(answer: Result<T, RequestError>) -> (u16, String) {
    let error = answer.expect_err("refused");
    error.problem().map(|problem| (problem.status, problem.name().to_owned())).unwrap_or_default()
}

#[tokio::test]
async fn an_administrator_without_the_folder_enrols_and_revokes_a_member_by_the_same_commands() {
    let world = world();
    let (boss, nobody) = (&world.boss, world.nobody());
    let alice = world.request(ALICE);
    let filed = world.ca(&nobody, &["request", text(&alice.join("request.pem"))]);
    let id = filed["id"].as_str().expect("an id").to_owned();
    assert_eq!((&filed["status"], &filed["requester"]), (&json!("requested"), &Value::Null));

    let waiting = world.ca(boss, &["requests"]);
    assert!(waiting["line"].is_null(), "the index's lines would count what others do: {waiting}");
    assert_eq!((&waiting["items"][0]["id"], &waiting["items"][0]["requester"]), (&json!(id), &json!("127.0.0.1")));
    // The same document as on the folder, which tells its line as well.
    let dir = world.consortium.dir();
    let mut own = run(&["ca", "requests", "--dir", text(&dir)]);
    assert!(own.as_object_mut().and_then(|own| own.remove("line")).is_some_and(|line| line.is_u64()), "{own}");
    assert_eq!(own, waiting);
    let issued = world.ca(boss, &["approve", &id, "--days", "30", "--why", "called back"]);
    assert_eq!(issued["status"], "issued", "{issued}");
    assert_eq!(world.recorded("approved").await, (BOSS.into(), "called back".into()));
    assert_eq!(world.ca(boss, &["requests"])["items"], json!([]));
    assert_eq!(world.ca(boss, &["requests", "--all"])["items"][0]["status"], "issued");

    // Whoever asked fetches the certificate with the request's id, and is somebody from then on.
    let shown = world.ca(&nobody, &["requests", &id]);
    std::fs::write(alice.join("cert.pem"), shown["certificate"].as_str().expect("PEM")).expect("writable");
    for file in ["ca.pem", "profile.toml"] {
        std::fs::copy(nobody.join(file), alice.join(file)).expect("copied");
    }
    assert_eq!(world.peer.run(&alice, &["status"])["caller"], ALICE);

    let listed = world.ca(boss, &["list", "--identity", ALICE]);
    let serial = listed["items"][0]["serial"].as_str().expect("a serial").to_owned();
    assert_eq!((&listed["items"][0]["status"], &listed["items"][0]["authority"]), (&json!("valid"), &json!("dealer")));
    assert_eq!(world.ca(boss, &["show", &serial])["certificate"], shown["certificate"]);
    let live = world.peer.connect_once(&alice);
    assert_eq!(live.status().await.expect("a member").caller.as_deref(), Some(ALICE));
    let revoked = world.ca(boss, &["revoke", &serial, "--reason", "key-compromise", "--why", "laptop stolen"]);
    assert_eq!(revoked["revoked"][0]["status"], "revoked", "{revoked}");
    // In force when it is answered, on a connection that is open, too.
    assert_eq!(refusal(live.status().await), (401, "certificate-refused".into()));
    // On a new one it is told as that. It was "does not answer" to whoever ran a command.
    let told = try_run(&["--profile", text(&alice), "--peer", &world.peer.url, "status"]);
    let document: Value = ledger_classes::primitives::json::from_slice(&told.stdout).expect("a document");
    let message = document["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("refuses the profile's certificate: it is revoked"), "{message}");
    assert_eq!((told.status.code(), &document["error"]["exit_code"]), (Some(1), &json!(1)));
    assert_eq!(world.recorded("revoked").await, (BOSS.into(), "laptop stolen".into()));
    let acts = world.ca(boss, &["list", "--identity", ALICE])["items"][0]["acts"].clone();
    assert_eq!(
        (&acts[1]["act"], &acts[1]["who"], &acts[1]["why"]),
        (&json!("revoked"), &json!(BOSS), &json!("laptop stolen"))
    );

    let bob = world.request("spiffe://test.example/dealer/client/bob");
    let filed = world.ca(&nobody, &["request", text(&bob.join("request.pem"))]);
    let id = filed["id"].as_str().expect("an id");
    let rejected = world.ca(boss, &["reject", id, "--reason", "not known to us"]);
    assert_eq!((&rejected["status"], &rejected["reason"]), (&json!("rejected"), &json!("not known to us")));
    assert_eq!(world.recorded("rejected").await, (BOSS.into(), "not known to us".into()));
}

#[tokio::test]
async fn a_token_from_afar_enrols_once_and_never_around_the_policy() {
    let world = world();
    let (boss, nobody) = (&world.boss, world.nobody());
    let made = world.ca(boss, &["token", ALICE, "--hours", "1", "--days", "7", "--why", "new colleague"]);
    let token = world.consortium.path("token.txt");
    files::write_private(&token, made["token"].as_str().expect("a token").as_bytes()).expect("writable");
    assert_eq!(world.recorded("token-added").await, (BOSS.into(), "new colleague".into()));
    let alice = world.request(ALICE).join("request.pem");
    let enrol = ["request", text(&alice), "--token-file", text(&token)];
    assert_eq!(world.ca(&nobody, &enrol)["status"], "issued");
    assert_eq!(world.refused(&nobody, &enrol), (Some(1), "token-refused".into()));
    assert_eq!(world.refused(boss, &["token", BOSS]), (Some(1), "forbidden".into()), "nobody grants their own");
    // Two must approve: a token would be one of them.
    run(&["ca", "policy", "--approvals", "2", "--dir", text(&world.consortium.dir())]);
    assert_eq!(world.refused(boss, &["token", ALICE]), (Some(1), "forbidden".into()));
}

/// Every question and act about the dealer's certificates, asked by somebody; the refusal of each.
async fn everything(asking: &Connection, id: &str, serial: &str) -> Vec<(u16, String)> {
    let why = || RejectionBody { reason: "no".into(), why: None };
    let by = |serial: Option<&str>, identity: Option<&str>| RevocationBody {
        serial: serial.map(str::to_owned),
        identity: identity.map(str::to_owned),
        ..RevocationBody::default()
    };
    let token = TokenBody { identity: ALICE.into(), ..TokenBody::default() };
    vec![
        refusal(asking.approve_request(id, &ApprovalBody::default()).await),
        refusal(asking.reject_request(id, &why()).await),
        refusal(asking.issued_certificate(serial).await),
        refusal(asking.revoke(&by(Some(serial), None)).await),
        refusal(asking.revoke(&by(None, Some(ALICE))).await),
        refusal(asking.enrolment_token(&token).await),
    ]
}

#[tokio::test]
async fn to_others_the_certificates_of_an_organization_do_not_exist() {
    let world = world();
    let id = {
        let filed = world.ca(&world.nobody(), &["request", text(&world.request(ALICE).join("request.pem"))]);
        filed["id"].as_str().expect("an id").to_owned()
    };
    let listed = world.ca(&world.boss, &["list"]);
    let serial = listed["items"][0]["serial"].as_str().expect("a serial").to_owned();
    let absent = [
        (404, "request-unknown".to_owned()),
        (404, "request-unknown".into()),
        (404, "certificate-unknown".into()),
        (404, "certificate-unknown".into()),
        (404, "certificate-unknown".into()),
        (404, "no-authority".into()),
    ];
    let bank = world.peer.connect_once(&world.consortium.admin());
    assert_eq!(everything(&bank, &id, &serial).await, absent);
    // What does not exist gets the same.
    assert_eq!(everything(&bank, &"0".repeat(32), &"1".repeat(32)).await, absent);
    let own = bank.issued(IssuedFilter::default(), Paging::default()).await.expect("its own");
    assert!(own.items.iter().all(|issued| issued.authority == "bank") && !own.items.is_empty(), "{own:?}");
    let after = Paging { after: Some(&serial), limit: None };
    let strange = refusal(bank.issued(IssuedFilter::default(), after).await);
    assert_eq!(strange, (400, "invalid-parameter".into()), "no cursor tells of another's certificate");

    let client = world.peer.connect_once(&world.consortium.profile("dealer", "client", "carol"));
    assert!(everything(&client, &id, &serial).await.iter().all(|answer| *answer == (403, "forbidden".to_owned())));
    let stranger = world.peer.connect_once(&world.nobody());
    let anonymous = everything(&stranger, &id, &serial).await;
    assert!(anonymous.iter().all(|answer| *answer == (401, "certificate-required".to_owned())), "{anonymous:?}");
    assert_eq!(world.ca(&world.boss, &["requests"])["items"][0]["id"], json!(id), "nothing was decided");
}

/// A second CA of the name `dealer`, a root of its own that the peer trusts: its administrator has the very identity of
/// the first one's, and decides nothing about the first one's certificates.
#[tokio::test]
async fn another_ca_of_the_same_name_decides_nothing_here() {
    let consortium = Consortium::new();
    consortium.organization("dealer");
    let genuine = consortium.profile("dealer", "admin", "boss");
    let elsewhere = consortium.path("elsewhere");
    std::fs::create_dir(&elsewhere).expect("writable");
    let now = client::now();
    let other = CertificateFolder::create(&elsewhere, "test.example", KeyAlgorithm::P256, now).expect("made");
    other.authorities().add_organization_root("dealer", KeyAlgorithm::P256, now).expect("made");
    let twin = consortium.path("twin");
    other
        .issuing()
        .issue_profile(&BOSS.parse().expect("an identity"), &Default::default(), &twin, now)
        .expect("issued");
    // The peer trusts that root, and has its CRL.
    let append = |file: &str, from: &Path| {
        let path = consortium.dir().join("peer").join(file);
        let own = std::fs::read_to_string(&path).unwrap_or_default();
        std::fs::write(&path, own + &std::fs::read_to_string(from).expect("readable")).expect("writable");
    };
    append("ca.pem", &elsewhere.join("ca/dealer.pem"));
    append("crl.pem", &elsewhere.join("ca/crl/dealer.pem"));
    for file in ["ca.pem", "profile.toml"] {
        std::fs::copy(genuine.join(file), twin.join(file)).expect("copied");
    }
    let peer = consortium.serve();
    let world = World { consortium, boss: genuine, peer };
    let filed = world.ca(&world.nobody(), &["request", text(&world.request(ALICE).join("request.pem"))]);
    let id = filed["id"].as_str().expect("an id").to_owned();
    let serial = world.ca(&world.boss, &["list"])["items"][0]["serial"].as_str().expect("a serial").to_owned();

    let twin = world.peer.connect_once(&twin);
    assert_eq!(twin.status().await.expect("trusted").caller.as_deref(), Some(BOSS), "the same name");
    let answers = everything(&twin, &id, &serial).await;
    assert!(answers.iter().all(|(status, _)| *status == 404), "{answers:?}");
    assert_eq!(refusal(twin.certificate_requests(None, Paging::default()).await), (404, "no-authority".into()));
    assert_eq!(refusal(twin.issued(IssuedFilter::default(), Paging::default()).await), (404, "no-authority".into()));
    let shown = twin.certificate_request(&id).await.expect("whoever has the id may ask");
    assert_eq!((shown.requester, shown.approvals.len()), (None, 0));
}

#[tokio::test]
async fn lists_come_in_pages_and_a_locked_ca_says_so() {
    let world = world();
    for name in ["a", "b", "c"] {
        world.consortium.profile("dealer", "client", name);
    }
    let (mut names, mut after) = (Vec::new(), None::<String>);
    loop {
        let mut words = vec!["list", "--limit", "2"];
        words.extend(after.iter().flat_map(|after| ["--after", after.as_str()]));
        let page = world.ca(&world.boss, &words);
        assert!(page["line"].is_null(), "{page}");
        let items = page["items"].as_array().expect("items");
        names.extend(items.iter().filter_map(|item| item["identity"].as_str()?.rsplit('/').next().map(str::to_owned)));
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(names, ["boss", "a", "b", "c"]);

    let carol = world.request("spiffe://test.example/dealer/client/carol");
    let filed = world.ca(&world.nobody(), &["request", text(&carol.join("request.pem"))]);
    let id = filed["id"].as_str().expect("an id").to_owned();
    // The passphrase is taken away before the peer has opened the key.
    let passphrase = world.consortium.dir().join("authority.passphrase");
    std::fs::remove_file(&passphrase).expect("there");
    let boss = world.peer.connect_once(&world.boss);
    let answer = refusal(boss.approve_request(&id, &ApprovalBody::default()).await);
    assert_eq!(answer, (503, "authority-locked".into()));
    assert_eq!(boss.certificate_requests(None, Paging::default()).await.expect("no key is needed").items.len(), 1);
}

/// With neither folder nor profile, and with what makes no sense over HTTPS, the command says what is missing.
#[test]
fn a_command_that_does_not_know_where_the_authorities_are_is_a_usage_error() {
    let consortium = Consortium::new();
    let profile = consortium.admin();
    for (words, said) in [
        (&["ca", "requests"][..], "--profile"),
        (&["ca", "organization", "dealer", "--profile", text(&profile)], "--dir"),
        (&["ca", "requests", "--by", "ann", "--profile", text(&profile)], "--by"),
        (&["ca", "list", "--dir", "/nonexistent"], "/nonexistent"),
    ] {
        let output = try_run(words);
        let document: Value = ledger_classes::primitives::json::from_slice(&output.stdout).expect("a document");
        let message = document["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {message}");
        assert!(message.contains(said), "{words:?}: {message}");
    }
}
