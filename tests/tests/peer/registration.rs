//! Certificates for members: from a request to a certificate that opens connections, over files, over HTTPS and over
//! EST with other people's programs; renewal before and after the end.

use crate::{
    harness::{Consortium, Peer, run, text, try_run},
    wait,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ca::{CertificateFolder, Credentials, office::issuing::LeafOptions};
use ledger_classes::primitives::identity::Identity;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const ALICE: &str = "spiffe://test.example/bank/client/alice";
const HOUR_MS: u64 = 60 * 60 * 1000;

/// An answer as `curl` sees it.
struct Answer {
    status: String,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        ledger_classes::primitives::json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The last part of a problem's type.
    fn problem(&self) -> String {
        let document = self.json();
        document["type"].as_str().and_then(|text| text.rsplit(':').next()).unwrap_or_default().to_owned()
    }
}

struct Curl<'a> {
    peer: &'a Peer,
    ca: PathBuf,
}

impl Curl<'_> {
    /// `who` is a folder with `cert.pem` and `key.pem`.
    fn ask(&self, who: Option<&Path>, path: &str, arguments: &[&str]) -> Answer {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--include", "--max-time", "20", "--cacert", text(&self.ca)]);
        if let Some(who) = who {
            curl.args(["--cert", text(&who.join("cert.pem")), "--key", text(&who.join("key.pem"))]);
        }
        let output = curl.args(arguments).arg(format!("{}{path}", self.peer.url)).output().expect("curl is installed");
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
        let end = output.stdout.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8_lossy(&output.stdout[..end]).to_lowercase();
        let status = head.split_whitespace().nth(1).expect("a status").to_owned();
        Answer { status, head, body: output.stdout[end + 4..].to_vec() }
    }

    fn post(&self, who: Option<&Path>, path: &str, body: &Value) -> Answer {
        self.ask(who, path, &["--header", "Content-Type: application/json", "--data", &body.to_string()])
    }

    /// As in RFC 7030: base64 of DER.
    fn est(&self, who: Option<&Path>, path: &str, request: &Path, more: &[&str]) -> Answer {
        let data = format!("@{}", text(request));
        let usual = ["--header", "Content-Type: application/pkcs10", "--data-binary", &data];
        self.ask(who, path, &[&usual[..], more].concat())
    }
}

fn openssl(arguments: &[&str]) -> Output {
    let output = Command::new("openssl").args(arguments).stdin(Stdio::null()).output().expect("openssl is installed");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A folder with a P-256 key and, in `request.pem` and `request.b64`, a request that `openssl req` made of it.
fn openssl_request(folder: &Path, name: &str, extensions: &[&str]) {
    std::fs::create_dir_all(folder).expect("writable");
    let (key, request) = (folder.join("key.pem"), folder.join("request.pem"));
    if !key.exists() {
        let curve = ["-pkeyopt", "ec_paramgen_curve:P-256"];
        openssl(&[&["genpkey", "-algorithm", "EC", "-out", text(&key)], &curve[..]].concat());
    }
    let san = format!("subjectAltName=URI:{name}");
    let mut arguments =
        vec!["req", "-new", "-key", text(&key), "-subj", "/O=anybody/CN=anything", "-out", text(&request)];
    arguments.extend(["-addext", &san]);
    extensions.iter().for_each(|extension| arguments.extend(["-addext", extension]));
    openssl(&arguments);
    let der = folder.join("request.der");
    openssl(&["req", "-in", text(&request), "-outform", "DER", "-out", text(&der)]);
    let base64 = STANDARD.encode(std::fs::read(&der).expect("readable"));
    std::fs::write(folder.join("request.b64"), base64).expect("writable");
}

/// Writes the certificates of a certs-only answer as `cert.pem`, by OpenSSL.
fn unpack(answer: &Answer, folder: &Path) -> String {
    let file = folder.join("answer.p7");
    let base64: String = answer.text().split_ascii_whitespace().collect();
    std::fs::write(&file, STANDARD.decode(base64).expect("base64")).expect("writable");
    let pem = openssl(&["pkcs7", "-inform", "DER", "-in", text(&file), "-print_certs"]);
    String::from_utf8(pem.stdout).expect("PEM")
}

/// The issuing CA's certificate, which a path needs behind the leaf.
fn issuing(consortium: &Consortium) -> String {
    std::fs::read_to_string(consortium.dir().join("ca/bank.pem")).expect("the issuing CA")
}

fn caller(curl: &Curl<'_>, who: &Path) -> String {
    curl.ask(Some(who), "/v1/status", &[]).json()["caller"].as_str().unwrap_or("nobody").to_owned()
}

fn not_after(folder: &Path) -> String {
    let dates = openssl(&["x509", "-in", text(&folder.join("cert.pem")), "-noout", "-enddate"]);
    String::from_utf8(dates.stdout).expect("a date")
}

#[test]
fn a_member_is_enrolled_and_renewed_through_files() {
    let consortium = Consortium::new();
    let dir = consortium.dir();
    let ca = |arguments: &[&str]| run(&[&["ca", "--dir", text(&dir)], arguments].concat());
    let fails = |arguments: &[&str], code: i32| {
        let output = try_run(&[&["ca", "--dir", text(&dir)], arguments].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    };
    let alice = consortium.path("alice");
    ca(&["request", "--out", text(&alice), "--identity", ALICE]);
    let request = alice.join("request.pem");
    assert_eq!(ca(&["policy", "--approvals", "2"])["approvals"], 2);
    let filed = ca(&["request", text(&request)]);
    let id = filed["id"].as_str().expect("an id").to_owned();
    assert_eq!((filed["status"].as_str(), &ca(&["requests"])["items"][0]["id"]), (Some("requested"), &json!(id)));
    assert_eq!(ca(&["approve", &id, "--as", "ann", "--days", "30"])["status"], "requested");
    fails(&["approve", &id, "--as", "ann"], 1);
    let issued = ca(&["approve", &id, "--as", "bob"]);
    assert_eq!(issued["status"], "issued");
    std::fs::write(alice.join("cert.pem"), issued["certificate"].as_str().expect("PEM")).expect("writable");
    std::fs::copy(consortium.admin().join("ca.pem"), alice.join("ca.pem")).expect("copied");
    assert_eq!(ca(&["requests"])["items"], json!([]));

    ca(&["renew", text(&alice), "--new-key"]);
    ca(&["renew", text(&alice)]);
    Credentials::load(&alice).expect("whole").own_certificate().expect("key and certificate fit");
    let count = |arguments: &[&str]| ca(&[&["list"], arguments].concat())["items"].as_array().map_or(0, Vec::len);
    assert_eq!(count(&["--identity", ALICE, "--status", "valid"]), 3);
    assert_eq!((count(&["--identity", ALICE, "--expires-within", "31"]), count(&["--expires-within", "1"])), (3, 0));

    let token = ca(&["token", "spiffe://test.example/bank/auditor/eve", "--hours", "1"]);
    let file = consortium.path("token.txt");
    files::write_private(&file, token["token"].as_str().expect("a token").as_bytes()).expect("writable");
    let eve = consortium.path("eve");
    ca(&["request", "--out", text(&eve), "--identity", "spiffe://test.example/bank/auditor/eve"]);
    fails(&["request", text(&request), "--token-file", text(&file)], 1);
    let enrolled = ca(&["request", text(&eve.join("request.pem")), "--token-file", text(&file)]);
    assert_eq!(enrolled["status"], "issued");
    fails(&["request", text(&eve.join("request.pem")), "--token-file", text(&file)], 1);
    let bob = consortium.path("bob");
    ca(&["request", "--out", text(&bob), "--identity", "spiffe://test.example/bank/client/bob"]);
    let filed = ca(&["request", text(&bob.join("request.pem"))]);
    let id = filed["id"].as_str().expect("an id");
    assert_eq!(ca(&["reject", id, "--reason", "not known"])["status"], "rejected");
    fails(&["request", text(&bob.join("request.pem"))], 1);
}

#[test]
fn a_request_over_https_is_decided_by_administrators_of_its_organization() {
    let consortium = Consortium::new();
    consortium.organization("dealer");
    let foreign = consortium.profile("dealer", "admin", "boss");
    let client = consortium.profile("bank", "client", "carol");
    let second = consortium.profile("bank", "admin", "second");
    let admin = consortium.admin();
    run(&["ca", "--dir", text(&consortium.dir()), "policy", "--approvals", "2"]);
    let peer = consortium.serve();
    let curl = Curl { peer: &peer, ca: admin.join("ca.pem") };
    let alice = consortium.path("alice");
    // It asks for the rights of a CA and gets none.
    openssl_request(&alice, ALICE, &["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign"]);
    let pem = std::fs::read_to_string(alice.join("request.pem")).expect("readable");
    let filed = curl.post(None, "/v1/ca/requests", &json!({ "request": pem }));
    assert_eq!(filed.status, "202", "{}", filed.text());
    assert!(filed.head.contains("retry-after: 60"), "{}", filed.head);
    let id = filed.json()["id"].as_str().expect("an id").to_owned();
    let path = format!("/v1/ca/requests/{id}");
    let approve = format!("{path}/approve");

    for (who, status, problem) in [
        (None, "401", "certificate-required"),
        (Some(client.as_path()), "403", "forbidden"),
        (Some(foreign.as_path()), "404", "request-unknown"),
    ] {
        let refused = curl.post(who, &approve, &json!({}));
        assert_eq!((refused.status.as_str(), refused.problem().as_str()), (status, problem));
    }
    assert_eq!(curl.ask(Some(&foreign), "/v1/ca/requests", &[]).json()["items"], json!([]));
    assert_eq!(curl.ask(None, "/v1/ca/requests", &[]).status, "401");
    let queue = curl.ask(Some(&admin), "/v1/ca/requests?status=requested", &[]).json()["items"].clone();
    assert_eq!((&queue[0]["id"], &queue[0]["requester"]), (&json!(id), &json!("127.0.0.1")));

    assert_eq!(curl.post(Some(&admin), &approve, &json!({ "days": 7 })).json()["status"], "requested");
    assert_eq!(curl.post(Some(&admin), &approve, &json!({})).problem(), "request-decided");
    // A host name would be for a peer, and other terms than the first approver's are not what was approved.
    assert_eq!(curl.post(Some(&second), &approve, &json!({ "days": 8 })).problem(), "request-invalid");
    assert_eq!(curl.post(Some(&second), &approve, &json!({})).json()["status"], "issued");
    let issued = curl.ask(None, &path, &[]).json();
    assert_eq!(issued["requester"], Value::Null, "only administrators learn who filed and who approved");
    std::fs::write(alice.join("cert.pem"), issued["certificate"].as_str().expect("PEM")).expect("writable");
    assert_eq!(caller(&curl, &alice), ALICE);
    let shown = openssl(&["x509", "-in", text(&alice.join("cert.pem")), "-noout", "-text"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("CA:FALSE") && !shown.contains("Certificate Sign"), "{shown}");
    assert_eq!(curl.ask(None, &format!("/v1/ca/requests/{}", "0".repeat(32)), &[]).problem(), "request-unknown");

    let other = consortium.path("other");
    openssl_request(&other, "spiffe://test.example/bank/client/other", &[]);
    let pem = std::fs::read_to_string(other.join("request.pem")).expect("readable");
    let id = curl.post(None, "/v1/ca/requests", &json!({ "request": pem })).json()["id"].clone();
    let reject = format!("/v1/ca/requests/{}/reject", id.as_str().expect("an id"));
    assert_eq!(curl.post(Some(&admin), &reject, &json!({ "reason": "no" })).json()["status"], "rejected");
    assert_eq!(curl.post(None, "/v1/ca/requests", &json!({ "request": pem })).problem(), "request-decided");
}

#[test]
fn hostile_requests_get_nothing() {
    let consortium = Consortium::new();
    let admin = consortium.admin();
    let peer = consortium.serve();
    let curl = Curl { peer: &peer, ca: admin.join("ca.pem") };
    let alice = consortium.path("alice");
    openssl_request(&alice, ALICE, &[]);
    let pem = std::fs::read_to_string(alice.join("request.pem")).expect("readable");
    let der = std::fs::read(alice.join("request.der")).expect("readable");
    let mut forged = der.clone();
    let name = forged.windows(5).position(|window| window == b"alice").expect("the name");
    forged[name..name + 5].copy_from_slice(b"admin");
    let mut foreign = ALICE.replace("bank", "other");
    foreign.truncate(200);
    let outside = consortium.path("outside");
    openssl_request(&outside, &foreign, &[]);
    let outside = std::fs::read_to_string(outside.join("request.pem")).expect("readable");
    let token = format!("{}.{}", "0".repeat(16), "0".repeat(64));
    for (body, problem) in [
        (json!({ "request": STANDARD.encode(&forged) }), "request-invalid"),
        (json!({ "request": STANDARD.encode(&der[..der.len() - 9]) }), "malformed"),
        (json!({ "request": "A".repeat(30_000) }), "oversize"),
        (json!({ "request": outside }), "no-authority"),
        (json!({ "request": pem, "identity": "spiffe://test.example/bank/admin/boss" }), "request-invalid"),
        (json!({ "request": pem, "token": token }), "token-refused"),
        (json!({ "request": pem, "token": "guess" }), "token-refused"),
        (json!({ "request": pem, "ca": true }), "malformed"),
    ] {
        assert_eq!(curl.post(None, "/v1/ca/requests", &body).problem(), problem, "{body:.120}");
    }
    assert_eq!(curl.ask(Some(&admin), "/v1/ca/requests", &[]).json()["items"], json!([]), "nothing was filed");
    let renewal = curl.post(None, "/v1/ca/renew", &json!({ "request": pem }));
    assert_eq!(renewal.problem(), "certificate-required");
    // One caller cannot fill the queue.
    for number in 0..9 {
        let folder = consortium.path(&format!("many-{number}"));
        openssl_request(&folder, ALICE, &[]);
        let pem = std::fs::read_to_string(folder.join("request.pem")).expect("readable");
        let filed = curl.post(None, "/v1/ca/requests", &json!({ "request": pem }));
        assert_eq!(filed.status, if number < 8 { "202" } else { "429" }, "{}", filed.text());
    }
}

#[test]
fn est_enrols_with_a_token_and_re_enrols_with_the_certificate() {
    let consortium = Consortium::new();
    let dir = consortium.dir();
    let admin = consortium.admin();
    let token = run(&["ca", "--dir", text(&dir), "token", ALICE, "--hours", "1", "--days", "20"]);
    let token = token["token"].as_str().expect("a token").to_owned();
    let peer = consortium.serve();
    let curl = Curl { peer: &peer, ca: admin.join("ca.pem") };
    let alice = consortium.path("alice");
    openssl_request(&alice, ALICE, &[]);
    let request = alice.join("request.b64");

    let authorities = curl.ask(None, "/.well-known/est/cacerts", &[]);
    assert!(authorities.head.contains("application/pkcs7-mime"), "{}", authorities.head);
    let pem = unpack(&authorities, &alice);
    assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 2, "root and issuing CA");

    let enrol = "/.well-known/est/simpleenroll";
    let user = |identity: &str, token: &str| format!("{identity}:{token}");
    let wrong = user(ALICE, &format!("{}.{}", "0".repeat(16), "0".repeat(64)));
    let stolen = user("spiffe://test.example/bank/admin/boss", &token);
    for (who, problem, status) in [(&wrong, "token-refused", "401"), (&stolen, "request-invalid", "422")] {
        let refused = curl.est(None, enrol, &request, &["--user", who]);
        assert_eq!((refused.problem().as_str(), refused.status.as_str()), (problem, status));
        assert_eq!(refused.head.contains("www-authenticate: basic"), status == "401");
    }
    let issued = curl.est(None, enrol, &request, &["--user", &user(ALICE, &token)]);
    assert_eq!(issued.status, "200", "{}", issued.text());
    std::fs::write(alice.join("cert.pem"), unpack(&issued, &alice) + &issuing(&consortium)).expect("writable");
    assert_eq!(caller(&curl, &alice), ALICE);
    let replay = consortium.path("replay");
    openssl_request(&replay, ALICE, &[]);
    for request in [&request, &replay.join("request.b64")] {
        let refused = curl.est(None, enrol, request, &["--user", &user(ALICE, &token)]);
        assert_eq!((refused.status.as_str(), refused.problem().as_str()), ("401", "token-refused"));
    }

    // A new key, the same identity; the old certificate goes on.
    let reenrol = "/.well-known/est/simplereenroll";
    let renewed = consortium.path("renewed");
    openssl_request(&renewed, ALICE, &[]);
    assert_eq!(curl.est(None, reenrol, &renewed.join("request.b64"), &[]).problem(), "certificate-required");
    let boss = consortium.path("boss");
    openssl_request(&boss, "spiffe://test.example/bank/admin/boss", &[]);
    let refused = curl.est(Some(&alice), reenrol, &boss.join("request.b64"), &[]);
    assert_eq!(refused.problem(), "request-invalid");
    let answer = curl.est(Some(&alice), reenrol, &renewed.join("request.b64"), &[]);
    assert_eq!(answer.status, "200", "{}", answer.text());
    std::fs::write(renewed.join("cert.pem"), unpack(&answer, &renewed) + &issuing(&consortium)).expect("writable");
    assert_eq!((caller(&curl, &alice), caller(&curl, &renewed)), (ALICE.into(), ALICE.into()));

    // Without a token it waits.
    let waiting = consortium.path("waiting");
    openssl_request(&waiting, "spiffe://test.example/bank/client/wanda", &[]);
    let queued = curl.est(None, enrol, &waiting.join("request.b64"), &[]);
    assert_eq!(queued.status, "202");
    assert!(queued.head.contains("retry-after:"), "{}", queued.head);
    let queue = curl.ask(Some(&admin), "/v1/ca/requests?status=requested", &[]).json()["items"].clone();
    let approve = format!("/v1/ca/requests/{}/approve", queue[0]["id"].as_str().expect("an id"));
    assert_eq!(curl.post(Some(&admin), &approve, &json!({})).json()["status"], "issued");
    let collected = curl.est(None, enrol, &waiting.join("request.b64"), &[]);
    assert_eq!(collected.status, "200", "asking again collects it");
}

#[test]
fn an_expired_token_is_refused() {
    let consortium = Consortium::new();
    let folder = CertificateFolder::open(&consortium.dir()).expect("a folder");
    let identity: Identity = ALICE.parse().expect("an identity");
    // Made by a clock of yesterday, good for an hour.
    let yesterday = ledger_classes::primitives::time::Time::from_millis(client::now().millis() - 24 * HOUR_MS);
    let (token, _) =
        folder.registration().add_token(&identity, None, ca::Terms::default(), HOUR_MS, yesterday).expect("a token");
    let peer = consortium.serve();
    let curl = Curl { peer: &peer, ca: consortium.admin().join("ca.pem") };
    let alice = consortium.path("alice");
    openssl_request(&alice, ALICE, &[]);
    let pem = std::fs::read_to_string(alice.join("request.pem")).expect("readable");
    let refused = curl.post(None, "/v1/ca/requests", &json!({ "request": pem, "token": token.reveal().as_str() }));
    assert_eq!(refused.problem(), "token-refused");
    assert!(refused.text().contains("expired"), "{}", refused.text());
}

#[test]
fn a_profile_renews_at_its_peer_also_after_the_end_unless_revoked() {
    let consortium = Consortium::new();
    let alice = consortium.profile("bank", "client", "alice");
    let peer = consortium.serve();
    let curl = Curl { peer: &peer, ca: consortium.admin().join("ca.pem") };
    let fresh = |arguments: &[&str]| peer.run(&alice, &[&["ca", "renew"], arguments].concat());
    assert_eq!(fresh(&["--if-due"])["renewed"], false);
    let old = consortium.path("old");
    std::fs::create_dir(&old).expect("writable");
    for name in ["cert.pem", "key.pem"] {
        std::fs::copy(alice.join(name), old.join(name)).expect("copied");
    }
    for arguments in [&[][..], &["--new-key"]] {
        let renewed = fresh(arguments);
        assert_eq!((&renewed["renewed"], renewed["identity"].as_str()), (&json!(true), Some(ALICE)));
        assert_eq!((caller(&curl, &alice), caller(&curl, &old)), (ALICE.into(), ALICE.into()), "both work");
    }

    // A certificate that ended a moment ago: issued two days and a minute ago, for two days.
    let folder = CertificateFolder::open(&consortium.dir()).expect("a folder");
    let credentials = Credentials::load(&alice).expect("a profile");
    let identity: Identity = ALICE.parse().expect("an identity");
    let expire = || {
        let began = ledger_classes::primitives::time::Time::from_millis(client::now().millis() - 48 * HOUR_MS - 60_000);
        let options = LeafOptions { lifetime_ms: 48 * HOUR_MS, ..LeafOptions::default() };
        let path = folder.issuing().issue(&identity, credentials.key.public(), &options, began).expect("issued");
        Credentials::replace(&alice, &path, None).expect("writable");
    };
    expire();
    let status = try_run(&["--profile", text(&alice), "--peer", &peer.url, "status"]);
    assert_eq!(status.status.code(), Some(1), "TLS refuses an expired certificate");
    assert_eq!(fresh(&["--if-due"])["renewed"], true);
    assert_eq!(caller(&curl, &alice), ALICE);
    expire();
    run(&["ca", "--dir", text(&consortium.dir()), "revoke", ALICE]);
    let expired =
        folder.records().expect("readable").certificates().last().cloned().expect("the last").serial.to_string();
    run(&["ca", "--dir", text(&consortium.dir()), "revoke", &expired]);
    let refused = try_run(&["--profile", text(&alice), "--peer", &peer.url, "ca", "renew"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stdout).contains("renewal-refused"));
}

#[tokio::test]
async fn a_peer_renews_its_own_certificate_while_it_serves_and_when_it_starts() {
    let consortium = Consortium::new();
    let own = consortium.dir().join("peer");
    let folder = CertificateFolder::open(&consortium.dir()).expect("a folder");
    let credentials = Credentials::load(&own).expect("the peer's");
    let identity: Identity = "spiffe://test.example/bank/peer/peer-1".parse().expect("an identity");
    // As if it had been issued some time ago, for two days.
    let age = |ago_ms: u64| {
        let lifetime_ms = 48 * HOUR_MS;
        let began = ledger_classes::primitives::time::Time::from_millis(client::now().millis() - ago_ms);
        let alternative_names = vec!["127.0.0.1".parse().expect("an address")];
        let options = LeafOptions { lifetime_ms, alternative_names, ..LeafOptions::default() };
        let path = folder.issuing().issue(&identity, credentials.key.public(), &options, began).expect("issued");
        Credentials::replace(&own, &path, None).expect("writable");
    };
    age(48 * HOUR_MS + 60_000);
    let expired = not_after(&own);
    let peer = consortium.serve();
    assert_ne!(not_after(&own), expired, "an expired certificate is renewed before the peer serves");

    let connection = peer.connect(&consortium.admin());
    assert!(connection.status().await.expect("it serves").certificate_not_after > client::now());
    age(48 * HOUR_MS - 60_000);
    let aged = folder.records().expect("readable").certificates().last().cloned().expect("the last").serial;
    wait::until("it is renewed", async || {
        // The same connection all the time: nothing is dropped when the certificate changes.
        let status = connection.status().await.expect("it serves");
        let newest = folder.records().expect("readable").certificates().last().cloned().expect("the last");
        let renewed = newest.renews.as_ref() == Some(&aged) && status.certificate_not_after == newest.not_after;
        renewed.then_some(())
    })
    .await;
}

#[test]
fn a_peer_without_the_folder_says_so() {
    let consortium = Consortium::new();
    let admin = consortium.admin();
    std::fs::rename(consortium.dir().join("ca"), consortium.path("offline")).expect("moved");
    // The peer's own folder has the anchors; the CRLs are what the authorities' folder last published.
    let crls = ["root", "bank"].map(|name| {
        std::fs::read_to_string(consortium.path("offline").join(format!("crl/{name}.pem"))).expect("a CRL")
    });
    std::fs::write(consortium.dir().join("peer/crl.pem"), crls.concat()).expect("writable");
    let peer = consortium.serve();
    let curl = Curl { peer: &peer, ca: admin.join("ca.pem") };
    let alice = consortium.path("alice");
    openssl_request(&alice, ALICE, &[]);
    let pem = std::fs::read_to_string(alice.join("request.pem")).expect("readable");
    assert_eq!(curl.post(None, "/v1/ca/requests", &json!({ "request": pem })).problem(), "no-authority");
    assert_eq!(curl.ask(None, "/.well-known/est/cacerts", &[]).problem(), "no-authority");
    assert_eq!(curl.ask(Some(&admin), "/v1/ca/requests", &[]).problem(), "no-authority");
}
