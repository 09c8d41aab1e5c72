//! The connection against a peer that speaks real TLS and says what a test tells it to: who is let in, what is asked
//! again, and how a subscription goes on over a lost connection.

#![allow(clippy::unwrap_used)]

use client::api::{Outcome, SubmissionStatus};
use client::connection::{Connection, Options, RequestError};
use client::profile::Profile;
use client::retry::Retry;
use client::submit::{VALIDITY_MS, Wait, sign_json, transaction};
use client::subscribe::{Filter, Start, SubscribeError};
use ledger_classes::action::{Action, logs::Append};
use ledger_classes::hash::Hash;
use ledger_classes::keys::SigningKey;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A certificate authority of its own.
struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), der: certificate.der().clone(), issuer: Issuer::new(params, key) }
    }

    fn issue(&self, names: Vec<SanType>) -> (rcgen::Certificate, KeyPair) {
        let mut params = params("leaf");
        params.subject_alt_names = names;
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }
}

/// What a request looked like: its first line, its `Last-Event-ID`, its body.
#[derive(Clone, Debug)]
struct Seen {
    line: String,
    last_event_id: Option<String>,
    body: Vec<u8>,
}

struct Peer {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

type Script = dyn Fn(usize, &Seen) -> String + Send + Sync;

/// Answers each request with what `script` says of its number; an answer without `Content-Length` ends with the
/// connection. Only callers with a certificate of `authority` are let in.
fn peer(authority: &Authority, script: impl Fn(usize, &Seen) -> String + Send + Sync + 'static) -> Peer {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.der.clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().unwrap();
    let uri = SanType::URI("spiffe://harbour/bank/peer/p1".try_into().unwrap());
    let (certificate, key) = authority.issue(vec![uri, SanType::IpAddress([127, 0, 0, 1].into())]);
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let (config, script): (_, Arc<Script>) = (Arc::new(config), Arc::new(script));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, config, script, log) = (stream.unwrap(), config.clone(), script.clone(), log.clone());
            std::thread::spawn(move || serve(stream, config, &*script, &log));
        }
    });
    Peer { url, seen }
}

/// Serves one connection until its end; errors end it.
fn serve(stream: TcpStream, config: Arc<ServerConfig>, script: &Script, log: &Mutex<Vec<Seen>>) -> Option<()> {
    let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(config).ok()?, stream));
    loop {
        let mut seen = Seen { line: String::new(), last_event_id: None, body: Vec::new() };
        stream.read_line(&mut seen.line).ok().filter(|bytes| *bytes > 0)?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().ok()?,
                "last-event-id" => seen.last_event_id = Some(value.into()),
                _ => {}
            }
        }
        seen.body = vec![0; length];
        stream.read_exact(&mut seen.body).ok()?;
        let number = {
            let mut log = log.lock().unwrap();
            log.push(seen.clone());
            log.len() - 1
        };
        let answer = script(number, &seen);
        stream.get_mut().write_all(answer.as_bytes()).ok()?;
        stream.get_mut().flush().ok()?;
        if !answer.contains("content-length") {
            stream.get_mut().conn.send_close_notify();
            stream.get_mut().flush().ok();
            return None;
        }
    }
}

fn answer(status: &str, media: &str, extra: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-type: {media}\r\ncontent-length: {}\r\n{extra}\r\n{body}", body.len())
}

fn problem(status: &str, name: &str, extra: &str) -> String {
    let number = &status[..3];
    let body = format!(r#"{{"type":"urn:chancery:problem:{name}","title":"{name}","status":{number}}}"#);
    answer(status, "application/problem+json", extra, &body)
}

fn outcome() -> String {
    let outcome = Outcome { id: Some(Hash([1; 32])), status: SubmissionStatus::Accepted, receipt: None, problem: None };
    answer("202 Accepted", "application/json", "", &serde_json::to_string(&outcome).unwrap())
}

fn profile(trusted: &Authority, own: &Authority, url: &str) -> (tempfile::TempDir, Profile) {
    let folder = tempfile::tempdir().unwrap();
    let uri = SanType::URI("spiffe://harbour/bank/client/alice".try_into().unwrap());
    let (certificate, key) = own.issue(vec![uri]);
    for (name, text) in [
        ("ca.pem", trusted.pem.clone()),
        ("cert.pem", certificate.pem() + &own.pem),
        ("key.pem", key.serialize_pem()),
        ("profile.toml", format!("peer = \"{url}\"\nconsortium = \"harbour\"\n")),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let profile = Profile::open(folder.path()).unwrap();
    (folder, profile)
}

fn options() -> Options {
    let retry = Retry { attempts_max: 4, wait_max: Duration::from_secs(2) };
    Options { timeout: Duration::from_secs(20), retry, ..Options::default() }
}

fn connect(authority: &Authority, peer: &Peer) -> Connection {
    let (_folder, profile) = profile(authority, authority, &peer.url);
    Connection::open(&profile, options()).unwrap()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn envelope() -> ledger_classes::transaction::Envelope {
    let append = Append { topic: "tests".into(), digest: None, body: String::new() };
    let transaction = transaction(Hash([7; 32]), vec![Action::LogAppend(append)], client::now(), VALIDITY_MS).unwrap();
    sign_json(&transaction, &[&SigningKey::from_seed([1; 32])])
}

#[test]
fn a_busy_peer_is_asked_again_with_the_same_bytes() {
    let authority = Authority::new("root");
    let peer = peer(&authority, |number, _| match number {
        0 => problem("429 Too Many Requests", "channel-busy", "retry-after: 0\r\n"),
        1 => problem("503 Service Unavailable", "draining", "retry-after: 0\r\n"),
        _ => outcome(),
    });
    let connection = connect(&authority, &peer);
    let outcome = run(connection.submit("main", &envelope(), Wait::Accepted)).unwrap();
    assert_eq!(outcome.status, SubmissionStatus::Accepted);
    let seen = peer.seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[0].line, "POST /v1/channels/main/transactions?wait=accepted HTTP/1.1\r\n");
    assert!(seen.iter().all(|request| request.body == seen[0].body));
}

#[test]
fn attempts_end_and_other_problems_are_final() {
    let authority = Authority::new("root");
    for (status, extra, requests, unavailable) in [
        ("503 Service Unavailable", "retry-after: 0\r\n", 4, true),
        ("503 Service Unavailable", "retry-after: 60\r\n", 1, true),
        ("404 Not Found", "", 1, false),
        ("403 Forbidden", "retry-after: 0\r\n", 1, false),
    ] {
        let peer = peer(&authority, move |_, _| problem(status, "told", extra));
        let error = run(connect(&authority, &peer).status()).unwrap_err();
        assert_eq!(error.problem().unwrap().name(), "told");
        assert_eq!(error.is_unavailable(), unavailable, "{status}");
        assert_eq!(peer.seen.lock().unwrap().len(), requests, "{status} {extra}");
    }
}

#[test]
fn names_cannot_leave_their_place_in_the_path() {
    let authority = Authority::new("root");
    let peer = peer(&authority, |_, _| problem("404 Not Found", "channel-unknown", ""));
    let connection = connect(&authority, &peer);
    run(connection.channel("a/../b?c#d")).unwrap_err();
    assert_eq!(peer.seen.lock().unwrap()[0].line, "GET /v1/channels/a%2F..%2Fb%3Fc%23d HTTP/1.1\r\n");
    for name in ["..", ".", ""] {
        assert!(matches!(run(connection.channel(name)), Err(RequestError::Name(_))), "{name:?}");
    }
}

#[test]
fn a_peer_of_another_authority_is_not_talked_to() {
    let (ours, theirs) = (Authority::new("root"), Authority::new("other"));
    let peer = peer(&theirs, |_, _| outcome());
    let (_folder, profile) = profile(&ours, &theirs, &peer.url);
    let error = run(Connection::open(&profile, options()).unwrap().status()).unwrap_err();
    assert!(matches!(error, RequestError::Unreachable { .. }) && !error.is_unavailable(), "{error}");
    assert!(peer.seen.lock().unwrap().is_empty());
}

#[test]
fn a_certificate_that_the_peer_refuses_is_a_refusal_and_not_an_outage() {
    let (ours, theirs) = (Authority::new("root"), Authority::new("other"));
    let peer = peer(&ours, |_, _| outcome());
    let (_folder, profile) = profile(&ours, &theirs, &peer.url);
    let error = run(Connection::open(&profile, options()).unwrap().status()).unwrap_err();
    assert!(matches!(error, RequestError::Unreachable { .. }) && !error.is_unavailable(), "{error:?}");
}

#[test]
fn a_peer_that_is_not_there_is_unavailable() {
    let authority = Authority::new("root");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_folder, profile) = profile(&authority, &authority, &format!("https://{port}"));
    let options = Options { retry: Retry::NEVER, ..options() };
    let error = run(Connection::open(&profile, options).unwrap().status()).unwrap_err();
    assert!(matches!(error, RequestError::Unreachable { .. }) && error.is_unavailable(), "{error}");
}

fn event(id: &str) -> String {
    format!(
        "id: {id}\nevent: chancery.asset.paused\ndata: {{\"specversion\":\"1.0\",\"id\":\"{id}\",\
         \"source\":\"/v1/channels/main\",\"type\":\"chancery.asset.paused\",\"subject\":\"coin\",\
         \"time\":\"2026-11-21T10:05:54.123Z\",\"datacontenttype\":\"application/json\",\"class\":\"assets\",\
         \"transaction\":\"{}\",\"data\":{{\"kind\":\"asset.paused\",\"asset\":\"coin\"}}}}\n\n",
        "00".repeat(32)
    )
}

fn events(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{body}")
}

#[test]
fn a_lost_subscription_goes_on_after_its_last_event() {
    let authority = Authority::new("root");
    let peer = peer(&authority, |number, _| match number {
        0 => events(&format!(": hello\n\n{}{}", event("4.0.0"), event("4.1.0"))),
        1 => problem("503 Service Unavailable", "draining", "retry-after: 0\r\n"),
        // The peer repeats an event and cuts the last one off.
        2 => events(&format!("{}{}{}", event("4.1.0"), event("5.0.0"), &event("6.0.0")[..60])),
        _ => events(&format!(
            "{}event: problem\ndata: {{\"type\":\"urn:chancery:problem:certificate-revoked\",\"title\":\"Revoked\",\
             \"status\":403}}\n\n",
            event("6.0.0")
        )),
    });
    let connection = connect(&authority, &peer);
    let filter = Filter { start: Start::Height(4), topic: Some("coin".into()), ..Filter::default() };
    let (places, error) = run(async {
        let mut subscription = connection.subscribe("main", filter);
        let mut places = Vec::new();
        loop {
            match subscription.next().await.unwrap() {
                Ok(delivery) => places.push(delivery.cursor.to_string()),
                Err(error) => {
                    assert!(subscription.next().await.is_none());
                    return (places, error);
                }
            }
        }
    });
    assert_eq!(places, ["4.0.0", "4.1.0", "5.0.0", "6.0.0"]);
    assert!(matches!(error, SubscribeError::Problem(problem) if problem.name() == "certificate-revoked"));
    let seen = peer.seen.lock().unwrap().clone();
    let asked: Vec<_> = seen.iter().map(|request| (request.line.as_str(), request.last_event_id.as_deref())).collect();
    let again = "GET /v1/channels/main/events?topic=coin HTTP/1.1\r\n";
    assert_eq!(
        asked,
        [
            ("GET /v1/channels/main/events?from=4&topic=coin HTTP/1.1\r\n", None),
            (again, Some("4.1.0")),
            (again, Some("4.1.0")),
            (again, Some("5.0.0")),
        ]
    );
}

#[test]
fn a_channel_that_does_not_exist_ends_a_subscription_at_once() {
    let authority = Authority::new("root");
    let peer = peer(&authority, |_, _| problem("404 Not Found", "channel-unknown", ""));
    let mut subscription = connect(&authority, &peer).subscribe("main", Filter::default());
    let error = run(subscription.next()).unwrap().unwrap_err();
    assert!(matches!(error, SubscribeError::Request(RequestError::Problem(_))), "{error}");
    assert_eq!(peer.seen.lock().unwrap().len(), 1);
}
