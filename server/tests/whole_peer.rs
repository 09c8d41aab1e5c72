//! A peer as its callers see it: over TLS, through the SDK where it has a word for it, raw where it has none.

#![allow(clippy::disallowed_methods, reason = "tests start tasks and threads as they like")]
#![allow(clippy::unwrap_used)]

use ca::{CertificateFolder, Credentials, office::revocation::Selection};
use client::{
    api::{BatchResult, ChannelSpec, Problem, SpecOrganization, SubmissionStatus},
    connection::{Connection, Options, RequestError},
    keys::{WordCount, Words, write_account_key},
    profile::Profile,
    submit::{Wait, transaction},
    subscribe::{Filter, Start, SubscribeError},
    verify::{EventVerifier, verify_proof},
};
use ledger_classes::action::Action;
use ledger_classes::action::channel::Propose;
use ledger_classes::action::logs::Append;
use ledger_classes::formats::config::{Approvals, ConfigChange};
use ledger_classes::formats::rights::{Grant, Grantee, Right, Rights};
use ledger_classes::formats::transaction::Envelope;
use ledger_classes::keys::SigningKey;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::identity::Identity;
use pki::{
    RevocationPolicy, RevocationReason, TrustBundle, TrustStore,
    trust::tls::{ExpectedServer, server_verifier},
};
use reqwest::{Method, StatusCode};
use rustls::ClientConfig;
use server::{
    clock,
    peer::Peer,
    setup::{
        config::Config,
        init::{ADMIN_PROFILE, InitOptions, add_organization, init},
    },
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Above every delay that a promise allows.
const DEADLINE: Duration = Duration::from_secs(20);

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.expect("within the deadline")
}

struct Running {
    peer: Peer,
    dir: PathBuf,
    _parent: tempfile::TempDir,
}

fn config() -> Config {
    let mut config = Config { listen: "127.0.0.1:0".parse().unwrap(), ..Config::default() };
    config.metrics.listen = "127.0.0.1:0".into();
    config
}

async fn start() -> Running {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("north");
    init(&InitOptions { public: true, ..InitOptions::new(&dir, "harbour.example", "north") }).unwrap();
    let peer = Peer::start(&dir, config()).await.unwrap();
    Running { peer, dir, _parent: parent }
}

impl Running {
    fn address(&self) -> String {
        format!("https://{}", self.peer.address())
    }

    fn options(&self) -> Options {
        let once = client::retry::Retry { attempts_max: 1, wait_max: Duration::ZERO };
        Options { peer: Some(self.address().parse().unwrap()), timeout: DEADLINE, retry: once }
    }

    fn connection(&self, profile: &Path) -> Connection {
        Connection::open(&Profile::open(profile).unwrap(), self.options()).unwrap()
    }

    fn admin(&self) -> Connection {
        self.connection(&self.dir.join(ADMIN_PROFILE))
    }

    /// A profile of an administrator of another organization.
    fn stranger(&self, organization: &str) -> PathBuf {
        let into = self.dir.join("profiles").join(organization);
        add_organization(&self.dir, organization, "ann", &into, "https://127.0.0.1:7100").unwrap();
        self.peer.context().trust.poll();
        into
    }

    /// A plain HTTP client with the certificate of a profile, or with none.
    fn raw(&self, profile: Option<&Path>) -> reqwest::Client {
        let folder = profile.map_or_else(|| self.dir.join(ADMIN_PROFILE), Path::to_path_buf);
        let tls = tls(&Credentials::load(&folder).unwrap(), profile.is_some());
        reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap()
    }
}

/// TLS of a caller who trusts what a profile trusts, with its certificate or with none.
fn tls(credentials: &Credentials, shown: bool) -> ClientConfig {
    let TrustBundle { anchors, issuing, crls, .. } = credentials.trust.clone();
    let trust = TrustStore::new("harbour.example", anchors, issuing, RevocationPolicy::default()).unwrap();
    crls.iter().for_each(|crl| drop(trust.install_crl(crl).unwrap()));
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(server_verifier(Arc::new(trust), ExpectedServer::Named))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if shown {
        config.client_auth_cert_resolver = credentials.own_certificate().unwrap();
    }
    config
}

fn key() -> SigningKey {
    Words::generate(WordCount::Twelve).unwrap().key(0, "").unwrap()
}

fn entry(channel: Hash, topic: &str, body: &str, key: &SigningKey) -> Envelope {
    let append = Append { topic: topic.into(), digest: None, body: body.into() };
    let sender = key.public().address();
    let transaction = transaction(channel, sender, vec![Action::LogAppend(append)], clock::now(), 60_000).unwrap();
    Envelope::sign_binary(&transaction, &[key])
}

/// A private channel of one organization.
fn deals() -> ChannelSpec {
    ChannelSpec {
        name: "deals".into(),
        engine: None,
        organizations: vec![SpecOrganization { name: "north".into(), title: None, authorities: Vec::new() }],
        grants: Vec::new(),
        public_read: false,
        open_submit: false,
        limits: None,
        approvals: None,
        budgets: None,
    }
}

fn problem_name(error: &RequestError) -> String {
    error.problem().map_or_else(|| format!("no problem: {error}"), |problem| problem.name().to_owned())
}

#[actix_web::test]
async fn a_transaction_is_committed_found_proven_and_delivered_with_evidence() {
    let running = start().await;
    let connection = running.admin();
    let main = connection.channel("main").await.unwrap();
    let topic = Some("trace.*".to_owned());
    let filter = Filter { start: Start::Height(0), topic: topic.clone(), proof: true, ..Filter::default() };
    let mut events = connection.subscribe("main", filter);
    let key = key();
    let envelope = entry(main.id, "trace.a", "first", &key);
    let outcome = in_time(connection.submit("main", &envelope, Wait::Committed)).await.unwrap();
    let receipt = outcome.receipt.clone().unwrap();
    assert_eq!((outcome.status, receipt.code, outcome.id), (SubmissionStatus::Committed, 0, Some(envelope.id())));
    // Exactly once: the same envelope again has the same outcome.
    assert_eq!(in_time(connection.submit("main", &envelope, Wait::Committed)).await.unwrap(), outcome);
    assert_eq!(connection.transaction("main", envelope.id()).await.unwrap(), outcome);

    let second = entry(main.id, "trace.b", "second", &key);
    let damaged = Envelope { payload: vec![1, 2, 3], ..second.clone() };
    let results = in_time(connection.submit_batch("main", &[second, damaged], Wait::Committed)).await.unwrap();
    assert!(matches!(results[0], BatchResult::Committed { code: 0, .. }), "{results:?}");
    assert!(matches!(&results[1], BatchResult::Refused { problem, .. } if problem == "malformed"), "{results:?}");

    let tip = connection.channel("main").await.unwrap().height;
    let proof = connection.proof("main", envelope.id(), Some(tip)).await.unwrap();
    let proven = verify_proof(&proof, Some(main.id)).unwrap();
    assert_eq!(proof.verify(Some(main.id)).unwrap().envelope, Some(envelope.clone()));
    drop(proven);
    let refused = connection.proof("main", envelope.id(), Some(tip + 9)).await.unwrap_err();
    assert_eq!(problem_name(&refused), "invalid-parameter");

    let mut verifier = EventVerifier::open(&connection, "main", main.id).await.unwrap();
    for topic in ["trace.a", "trace.b"] {
        let delivery = in_time(events.next()).await.unwrap().unwrap();
        assert_eq!(delivery.event.subject, topic);
        verifier.verify(&delivery).await.unwrap();
    }
    let cursor = events.cursor().unwrap();
    let mut later = connection.subscribe("main", Filter { start: Start::After(cursor), topic, ..Filter::default() });
    let third = entry(main.id, "trace.c", "third", &key);
    in_time(connection.submit("main", &third, Wait::Committed)).await.unwrap();
    assert_eq!(in_time(later.next()).await.unwrap().unwrap().event.subject, "trace.c");

    let filter = Filter { start: Start::Height(0), topic: Some("trace.c".into()), ..Filter::default() };
    let mut filtered = connection.subscribe("main", filter);
    assert_eq!(in_time(filtered.next()).await.unwrap().unwrap().event.transaction, third.id());

    let part = client::query::Paging::default();
    let logs = connection.logs("main", Some("trace.a"), part).await.unwrap();
    assert_eq!((logs.items.len(), &logs.items[0]["body"]), (1, &"first".into()));
    let blocks = connection.blocks("main", client::query::Range::default()).await.unwrap();
    assert_eq!(blocks.items.len() as u64, blocks.height + 1);
    let block = connection.block("main", receipt.height).await.unwrap();
    assert_eq!(block.header.hash(), blocks.items[usize::try_from(receipt.height).unwrap()].hash);
    assert!(connection.account("main", key.public().address()).await.unwrap().balances.is_empty());
    assert_eq!(
        problem_name(&connection.participant("main", key.public().address()).await.unwrap_err()),
        "participant-unknown"
    );
    assert!(connection.ca_certificates().await.unwrap().starts_with(b"-----BEGIN CERTIFICATE"));
    assert!(!connection.crl("north").await.unwrap().is_empty());
    let status = connection.status().await.unwrap();
    assert_eq!(status.caller.as_deref(), Some("spiffe://harbour.example/north/admin/admin"));

    let metrics = format!("http://{}/metrics", running.peer.metrics_address().unwrap());
    let text = running.raw(None).get(metrics).send().await.unwrap().text().await.unwrap();
    let disk = text.lines().find_map(|line| line.strip_prefix("chancery_channel_disk_bytes{channel=\"main\"} "));
    assert!(disk.is_some_and(|bytes| bytes != "0"), "{disk:?}");
    for line in
        ["chancery_channel_height{channel=\"main\"}", "chancery_crl_issue_timestamp_seconds{authority=\"north\"}"]
    {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    in_time(running.peer.stop()).await;
}

#[actix_web::test]
async fn a_channel_without_rights_is_as_one_that_does_not_exist() {
    let running = start().await;
    let spec = deals();
    let admin = running.admin();
    let deals = admin.create_channel(&spec).await.unwrap();
    assert_eq!(problem_name(&admin.create_channel(&spec).await.unwrap_err()), "channel-exists");
    assert_eq!(admin.channel("deals").await.unwrap().id, deals.id);
    assert_eq!(admin.channel(&deals.id.to_string()).await.unwrap().name, "deals");

    let south = running.stranger("south");
    for (profile, refused) in [(Some(south.as_path()), "forbidden"), (None, "certificate-required")] {
        let client = running.raw(profile);
        let names = [deals.id.to_string(), Hash([7; 32]).to_string()];
        for (hidden, absent) in [("deals", "nothing"), (&names[0], &names[1])] {
            for (method, rest) in [
                (Method::GET, ""),
                (Method::GET, "/blocks"),
                (Method::GET, "/events"),
                (Method::GET, "/trust"),
                (Method::GET, "/logs?limit=1"),
                (Method::GET, "/accounts/x"),
                (Method::POST, "/transactions"),
                (Method::POST, "/transactions?wait=accepted"),
            ] {
                let mut answers = Vec::new();
                for channel in [hidden, absent] {
                    let url = format!("{}/v1/channels/{channel}{rest}", running.address());
                    let response = client.request(method.clone(), url).body("{").send().await.unwrap();
                    let (status, mut headers) = (response.status(), response.headers().clone());
                    headers.remove("date");
                    answers.push((status, headers, response.bytes().await.unwrap()));
                }
                assert_eq!(answers[0], answers[1], "{method} {rest}");
                assert_eq!(answers[0].0, StatusCode::NOT_FOUND);
            }
        }
        let list = client.get(format!("{}/v1/channels", running.address())).send().await.unwrap();
        assert!(!list.text().await.unwrap().contains("deals"));
        let create = client.post(format!("{}/v1/channels", running.address())).body("{}").send().await.unwrap();
        let problem: Problem = ledger_classes::primitives::json::from_slice(&create.bytes().await.unwrap()).unwrap();
        assert_eq!(problem.name(), refused);
    }
    in_time(running.peer.stop()).await;
}

#[actix_web::test]
async fn a_revoked_certificate_loses_requests_subscriptions_and_connections_within_a_second() {
    let running = start().await;
    let south = running.stranger("south");
    let connection = running.connection(&south);
    let main = connection.channel("main").await.unwrap();
    let topic = Some("trace".to_owned());
    let mut events = connection.subscribe("main", Filter { start: Start::Height(0), topic, ..Filter::default() });
    in_time(connection.submit("main", &entry(main.id, "trace", "x", &key()), Wait::Committed)).await.unwrap();
    in_time(events.next()).await.unwrap().unwrap();

    let identity: Identity = "spiffe://harbour.example/south/admin/ann".parse().unwrap();
    let folder = CertificateFolder::open(&running.dir).unwrap();
    folder.revocation().revoke(&Selection::Identity(identity), RevocationReason::KeyCompromise, clock::now()).unwrap();
    let revoked = std::time::Instant::now();
    let ended = in_time(events.next()).await.unwrap().unwrap_err();
    assert!(matches!(&ended, SubscribeError::Problem(problem) if problem.name() == "certificate-refused"), "{ended}");
    assert!(revoked.elapsed() < Duration::from_secs(1), "{:?}", revoked.elapsed());
    // On a connection that lived before, and on a new one.
    assert_eq!(problem_name(&connection.status().await.unwrap_err()), "certificate-refused");
    let refused = running.connection(&south).status().await.unwrap_err();
    assert!(matches!(refused, RequestError::Certificate { .. }), "{refused}");
    assert!(running.admin().status().await.is_ok(), "others are not touched");
    in_time(running.peer.stop()).await;
}

#[actix_web::test]
async fn withdrawn_rights_end_a_subscription_and_hide_the_channel() {
    let running = start().await;
    let south = running.stranger("south");
    let member = |name: &str| SpecOrganization { name: name.into(), title: None, authorities: Vec::new() };
    let spec = ChannelSpec {
        organizations: vec![member("north"), member("south")],
        approvals: Some(Approvals::Any),
        ..deals()
    };
    let admin = running.admin();
    let id = admin.create_channel(&spec).await.unwrap().id;
    let reader = running.connection(&south);
    let topic = Some("participant.*".to_owned());
    let mut events = reader.subscribe("deals", Filter { start: Start::Height(0), topic, ..Filter::default() });

    let key = key();
    let profile = Profile::open(&running.dir.join(ADMIN_PROFILE)).unwrap();
    let admit = client::admit::admission(profile.credential.as_ref().unwrap(), id, key.public().address()).unwrap();
    let south = Grantee::Organization("south".into());
    let rights = Rights::member().union(Rights::from_iter([Right::Admin]));
    let deny = ConfigChange::Deny(Grant { to: south, rights });
    let propose = Action::ChannelPropose(Propose { changes: vec![deny], reason: "the deal is off".into() });
    for action in [admit, propose] {
        let sender = key.public().address();
        let transaction = transaction(id, sender, vec![action], clock::now(), 60_000).unwrap();
        let envelope = Envelope::sign_binary(&transaction, &[&key]);
        let outcome = in_time(admin.submit("deals", &envelope, Wait::Committed)).await.unwrap();
        assert_eq!(outcome.receipt.unwrap().result, "done");
        if transaction.actions.iter().any(|action| matches!(action, Action::ParticipantAdmit(_))) {
            let delivery = in_time(events.next()).await.unwrap().unwrap();
            assert_eq!(delivery.event.type_text, "chancery.participant.admitted");
        }
    }
    // At once, though nothing in that block is for it, and not by the next sign of life.
    let at_once = tokio::time::timeout(server::limits::KEEP_ALIVE / 2, events.next());
    let ended = at_once.await.expect("at once").unwrap().unwrap_err();
    assert!(matches!(&ended, SubscribeError::Problem(problem) if problem.name() == "channel-unknown"), "{ended}");
    assert_eq!(problem_name(&reader.channel("deals").await.unwrap_err()), "channel-unknown");
    in_time(running.peer.stop()).await;
}

#[actix_web::test]
async fn mistakes_have_their_problem() {
    let running = start().await;
    let client = running.raw(None);
    let main = format!("{}/v1/channels/main", running.address());
    let json = "application/json";
    let post = |kind: &str, body: &str| {
        client.post(format!("{main}/transactions")).header("content-type", kind).body(body.to_owned())
    };
    let get = |rest: &str| client.get(format!("{main}{rest}"));
    for (request, status, name) in [
        (post(json, "{"), 400, "malformed"),
        (post(json, r#"{"signatures":[]}"#), 400, "malformed"),
        (post(json, r#"{"payload":"{}","signatures":[],"x":1}"#), 400, "malformed"),
        (post("text/plain", "{}"), 415, "unsupported-media-type"),
        (post("application/vnd.chancery.batch", "x"), 400, "malformed"),
        (post(json, &" ".repeat(1024 * 1024 + 1)), 413, "oversize"),
        (client.post(format!("{main}/transactions?wait=long")).header("content-type", json), 400, "invalid-parameter"),
        (get("/events?from=1.2"), 400, "malformed-cursor"),
        (get("/events").header("last-event-id", "1.2.x"), 400, "malformed-cursor"),
        (get("/events?class=money"), 400, "invalid-parameter"),
        (get("/events?clas=logs"), 400, "invalid-parameter"),
        (get("/blocks/99"), 404, "block-unknown"),
        (get("/blocks?limit=101"), 400, "invalid-parameter"),
        (get("/transactions/zz"), 400, "invalid-parameter"),
        (get(&format!("/transactions/{}", Hash::ZERO)), 404, "transaction-unknown"),
        (get(&format!("/transactions/{}/proof", Hash::ZERO)), 404, "transaction-unknown"),
        (get("/state/1/proof"), 400, "invalid-parameter"),
        (get("/state/0A/proof"), 400, "invalid-parameter"),
        (get(&format!("/state/{}/proof", "00".repeat(641))), 400, "invalid-parameter"),
        (get("/assets/coin"), 404, "asset-unknown"),
        (get("/assets/coin/items/x"), 404, "item-unknown"),
        (get("/contracts/x"), 404, "contract-unknown"),
        (get("/instances/x"), 404, "instance-unknown"),
        (get("/instances/x/query?method=m"), 404, "instance-unknown"),
        (get("/apps/x"), 404, "app-unknown"),
        (get("/nothing"), 404, "route-unknown"),
        (client.delete(main.clone()), 405, "method-not-allowed"),
    ] {
        let response = in_time(request.send()).await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{name}");
        let found = response.status().as_u16();
        let problem: Problem = ledger_classes::primitives::json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert_eq!((found, problem.status, problem.name()), (status, status, name), "{problem:?}");
    }
    in_time(running.peer.stop()).await;
}

#[actix_web::test]
async fn a_huge_body_is_refused_before_it_is_sent() {
    let running = start().await;
    let tls = tls(&Credentials::load(&running.dir.join(ADMIN_PROFILE)).unwrap(), false);
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let mut session = rustls::ClientConnection::new(Arc::new(tls), name).unwrap();
    let address = running.peer.address();
    let (read, answer) = std::sync::mpsc::channel();
    // rustls alone speaks over blocking sockets.
    let talk = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut stream = rustls::Stream::new(&mut session, &mut socket);
        let head = "POST /v1/channels/main/transactions HTTP/1.1\r\nhost: x\r\ncontent-type: application/vnd.chancery.batch\r\ncontent-length: 1073741824\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        // Until the peer closes: nothing of the body was sent.
        while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
            text.extend_from_slice(&buffer[..bytes]);
        }
        read.send(String::from_utf8_lossy(&text).into_owned()).unwrap();
    });
    let text = in_time(tokio::task::spawn_blocking(move || answer.recv().unwrap())).await.unwrap();
    talk.join().unwrap();
    assert!(text.starts_with("HTTP/1.1 413"), "{text}");
    assert!(text.contains("urn:chancery:problem:oversize"), "{text}");
    in_time(running.peer.stop()).await;
}

#[actix_web::test]
async fn a_drain_ends_subscriptions_and_the_next_run_goes_on_at_the_same_block() {
    let running = start().await;
    let connection = running.admin();
    let main = connection.channel("main").await.unwrap();
    in_time(connection.submit("main", &entry(main.id, "trace", "x", &key()), Wait::Committed)).await.unwrap();
    let before = connection.channel("main").await.unwrap();
    // Raw, because the SDK takes a drain for a lost connection and looks for the next peer.
    let url = format!("{}/v1/channels/main/events?from=0", running.address());
    let mut events = running.raw(None).get(url).send().await.unwrap();
    let mut text = String::new();
    while !text.contains("chancery.log.appended") {
        text.push_str(std::str::from_utf8(&in_time(events.chunk()).await.unwrap().unwrap()).unwrap());
    }
    let Running { peer, dir, _parent } = running;
    in_time(peer.stop()).await;
    while let Some(chunk) = in_time(events.chunk()).await.unwrap() {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let (_, problem) = text.split_once("event: problem\ndata: ").expect("the last frame says why");
    assert_eq!(ledger_classes::primitives::json::from_str::<Problem>(problem.trim_end()).unwrap().name(), "draining");

    let again = Running { peer: Peer::start(&dir, config()).await.unwrap(), dir, _parent };
    let after = again.admin().channel("main").await.unwrap();
    assert_eq!(after.id, before.id);
    // The peer records its administrative acts on `main` by itself, which may take until now.
    let block = again.admin().block_view("main", before.height).await.unwrap();
    assert_eq!((after.height >= before.height, block.hash), (true, before.tip));
    in_time(again.peer.stop()).await;
}

#[test]
fn an_account_key_completes_the_administrators_profile() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("north");
    init(&InitOptions::new(&dir, "harbour.example", "north")).unwrap();
    let profile = Profile::open(&dir.join(ADMIN_PROFILE)).unwrap();
    write_account_key(&profile.account_key, &key()).unwrap();
    assert_eq!(profile.consortium, "harbour.example");
}
