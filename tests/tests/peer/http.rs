//! HTTP by its own rules (RFC 9110, RFC 9112): raw bytes over TLS, since no client library would send them. The table of
//! requirements is in `docs/formats/http.md`.

use crate::harness::{Consortium, Peer, define, signed, text};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use client::submit::Wait;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// A connection, and what came on it and was not looked at.
pub(crate) struct Wire<S> {
    pub(crate) stream: S,
    rest: Vec<u8>,
}

/// An answer without its body.
#[derive(Debug)]
pub(crate) struct Head {
    version: String,
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A TLS connection without a client certificate: what is asked here is public.
pub(crate) fn tls(consortium: &Consortium, peer: &Peer) -> Wire<Tls> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(consortium.admin().join("ca.pem")).expect("readable") {
        roots.add(root.expect("PEM")).expect("a root");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("known");
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let name = ServerName::try_from("127.0.0.1").expect("an address");
    let session = ClientConnection::new(config, name).expect("usable");
    Wire { stream: StreamOwned::new(session, tcp(peer.url.trim_start_matches("https://"))), rest: Vec::new() }
}

fn tcp(address: &str) -> TcpStream {
    let tcp = TcpStream::connect(address).expect("listens");
    tcp.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    tcp
}

impl<S: Read + Write> Wire<S> {
    pub(crate) fn send(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).and_then(|()| self.stream.flush()).expect("takes it");
    }

    /// Reads some more; false at the end of the connection.
    pub(crate) fn more(&mut self) -> bool {
        let mut piece = [0; 16 * 1024];
        match self.stream.read(&mut piece) {
            Ok(0) => false,
            Ok(bytes) => {
                self.rest.extend_from_slice(&piece[..bytes]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => false,
            Err(error) => panic!("{error}, after {:?}", String::from_utf8_lossy(&self.rest)),
        }
    }

    fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.rest.windows(end.len()).position(|window| window == end.as_bytes()) {
                let taken: Vec<u8> = self.rest.drain(..at + end.len()).collect();
                return String::from_utf8(taken).expect("text")[..at].to_owned();
            }
            assert!(self.more(), "ended after {:?}", String::from_utf8_lossy(&self.rest));
        }
    }

    fn exactly(&mut self, bytes: usize) -> Vec<u8> {
        while self.rest.len() < bytes {
            assert!(self.more(), "ended after {:?}", String::from_utf8_lossy(&self.rest));
        }
        self.rest.drain(..bytes).collect()
    }

    pub(crate) fn head(&mut self) -> Head {
        let text = self.until("\r\n\r\n");
        let mut lines = text.split("\r\n");
        let first = lines.next().expect("a status line");
        let (version, status) = first.split_once(' ').expect("a status");
        let headers = lines.map(|line| line.split_once(": ").unwrap_or_else(|| panic!("{line:?}")));
        Head {
            version: version.into(),
            status: status[..3].parse().expect("a number"),
            headers: headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(),
        }
    }

    fn chunk(&mut self) -> Vec<u8> {
        let size = usize::from_str_radix(&self.until("\r\n"), 16).expect("a chunk's size");
        let chunk = self.exactly(size);
        assert_eq!(self.exactly(2), b"\r\n");
        chunk
    }

    /// The answer to a request that is not HEAD.
    pub(crate) fn answer(&mut self) -> (Head, Vec<u8>) {
        let head = self.head();
        let mut body = Vec::new();
        if head.header("transfer-encoding").is_some() {
            loop {
                match self.chunk() {
                    chunk if chunk.is_empty() => break,
                    chunk => body.extend(chunk),
                }
            }
        } else if let Some(length) = head.header("content-length") {
            body = self.exactly(length.parse().expect("a number"));
        }
        (head, body)
    }

    pub(crate) fn ask(&mut self, bytes: &str) -> (Head, Vec<u8>) {
        self.send(bytes);
        self.answer()
    }

    /// The connection goes on.
    fn goes_on(&mut self) {
        let (head, _) = self.ask("GET /v1/status HTTP/1.1\r\nHost: peer\r\n\r\n");
        assert_eq!(head.status, 200, "{head:?}");
    }

    /// The connection ends, with nothing more said.
    fn ends(&mut self) {
        while self.more() {}
        assert_eq!(String::from_utf8_lossy(&self.rest), "");
    }
}

/// A request's head for `peer`, with more lines.
pub(crate) fn head(line: &str, more: &[&str]) -> String {
    let lines: String = more.iter().map(|line| format!("{line}\r\n")).collect();
    format!("{line} HTTP/1.1\r\nHost: peer\r\n{lines}\r\n")
}

fn problem(body: &[u8]) -> String {
    let problem: serde_json::Value = ledger_classes::primitives::json::from_slice(body).expect("a problem");
    problem["type"].as_str().expect("a type").trim_start_matches("urn:chancery:problem:").to_owned()
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket";
const STREAM: &str = "GET /v1/channels/main/events?from=0";

async fn with_an_event(consortium: &Consortium) -> Peer {
    let peer = consortium.serve();
    let connection = peer.connect(&consortium.admin());
    let id = connection.channel("main").await.expect("public").id;
    let outcome = connection.submit("main", &signed(id, 1, vec![define("usd")]), Wait::Committed).await;
    assert_eq!(outcome.expect("taken").receipt.map(|receipt| receipt.code), Some(0));
    peer
}

/// actix-http took the body for the rest of the connection, and then every chunked answer went out without chunks.
#[tokio::test]
async fn an_upgrade_is_passed_over_and_changes_nothing() {
    let consortium = Consortium::new();
    let peer = with_an_event(&consortium).await;
    let mut wire = tls(&consortium, &peer);
    let json = ["Content-Type: application/json", "Content-Length: 2"];
    let (head_, body) = wire.ask(&(head("POST /v1/ca/requests", &[UPGRADE, json[0], json[1]]) + "{}"));
    assert_eq!((head_.status, problem(&body).as_str()), (400, "malformed"));
    assert_eq!(head_.header("upgrade"), None);
    wire.goes_on();
    let two = head("GET /v1/status", &[UPGRADE]) + &head("GET /v1/nothing", &[]);
    assert_eq!((wire.ask(&two).0.status, wire.answer().0.status), (200, 404));
    wire.send(&head(STREAM, &["Connection: Upgrade", "Upgrade: h2c"]));
    let head_ = wire.head();
    assert_eq!((head_.status, head_.header("transfer-encoding")), (200, Some("chunked")));
    let mut seen = String::new();
    while !seen.contains("\"asset.defined\"") {
        seen += &String::from_utf8(wire.chunk()).expect("text");
    }
    drop(wire);
    peer.drain();
}

#[tokio::test]
async fn http_1_0_gets_no_chunks_and_an_end_where_it_asks_for_nothing_else() {
    let consortium = Consortium::new();
    let peer = with_an_event(&consortium).await;
    let mut wire = tls(&consortium, &peer);
    wire.send(&format!("{STREAM} HTTP/1.0\r\n\r\n"));
    let head_ = wire.head();
    assert_eq!((head_.status, head_.header("transfer-encoding"), head_.header("content-length")), (200, None, None));
    let stream = wire.until("\"asset.defined\"");
    assert!(stream.lines().all(|line| line.is_empty() || line.starts_with(':') || line.contains(": ")), "{stream}");
    let mut wire = tls(&consortium, &peer);
    assert_eq!(wire.ask("GET /v1/status HTTP/1.0\r\n\r\n").0.status, 200);
    wire.ends();
    let mut wire = tls(&consortium, &peer);
    let (head_, _) = wire.ask("GET /v1/status HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!((head_.status, head_.header("connection")), (200, Some("keep-alive")));
    wire.goes_on();
    // RFC 9110 §10.1.1: an expectation in HTTP/1.0 is none.
    let late = "POST /v1/ca/requests HTTP/1.0\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n";
    assert_eq!(wire.ask(&format!("{late}Content-Length: 2\r\n\r\n{{}}")).0.status, 400);
    drop(wire);
    peer.drain();
}

#[test]
fn head_is_get_without_the_body() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let mut wire = tls(&consortium, &peer);
    let paths = [
        "/v1/status",
        "/v1/openapi.json",
        "/v1/channels",
        "/v1/channels/main",
        "/v1/ca/certificates",
        "/v1/ca/crl/bank",
        "/v1/channels/none",
        "/v1/nothing",
        "/.well-known/est/cacerts",
    ];
    for path in paths {
        let (get, body) = wire.ask(&head(&format!("GET {path}"), &[]));
        wire.send(&head(&format!("HEAD {path}"), &[]));
        let told = wire.head();
        let of = |head: &Head, name: &str| head.header(name).map(str::to_owned);
        assert_eq!(told.status, get.status, "{path}");
        assert_eq!(of(&told, "content-type"), of(&get, "content-type"), "{path}");
        // The status counts its own connections and requests: its length may change.
        if path != "/v1/status" {
            assert_eq!(of(&told, "content-length"), Some(body.len().to_string()), "{path}");
        }
    }
    // A stream has no end; without its body it is over at once.
    wire.send(&head("HEAD /v1/channels/main/events", &[]));
    assert_eq!(wire.head().status, 200);
    // Each by what it asks itself.
    let three = head("HEAD /v1/openapi.json", &[]) + &head("GET /v1/status", &[]) + &head("HEAD /v1/nothing", &[]);
    wire.send(&three);
    assert_eq!(wire.head().status, 200);
    assert_eq!(wire.answer().0.status, 200);
    assert_eq!(wire.head().status, 404);
    wire.goes_on();
    for (method, path, allow) in [("HEAD", "/v1/ca/ocsp", "POST"), ("DELETE", "/v1/status", "GET, HEAD")] {
        wire.send(&head(&format!("{method} {path}"), &[]));
        let told = if method == "HEAD" { wire.head() } else { wire.answer().0 };
        assert_eq!((told.status, told.header("allow")), (405, Some(allow)), "{method} {path}");
    }
    assert_eq!(wire.ask(&head("FROB /v1/status", &[])).0.status, 405);
    drop(wire);
    peer.drain();
}

#[test]
fn the_metrics_listener_keeps_the_same_rules() {
    let consortium = Consortium::new();
    let peer = Peer::start(&consortium.dir(), &[("CHANCERY_METRICS_LISTEN", "127.0.0.1:0")]);
    let address = peer.metrics.as_deref().expect("asked for").trim_start_matches("http://").to_owned();
    let address = address.split('/').next().expect("an address");
    // It answers to names of its own machine only.
    let head = |line: &str, more: &[&str]| head(line, more).replace("Host: peer", "Host: localhost");
    let mut wire = Wire { stream: tcp(address), rest: Vec::new() };
    let (get, _) = wire.ask(&head("GET /metrics", &[UPGRADE]));
    assert_eq!(get.status, 200);
    wire.send(&head("HEAD /metrics", &[]));
    let told = wire.head();
    assert_eq!((told.status, told.header("content-type")), (200, get.header("content-type")));
    let (refused, _) = wire.ask(&head("POST /metrics", &["Content-Length: 0"]));
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(wire.ask(&head("GET /other", &[])).0.status, 404);
    wire.send("GET /metrics HTTP/1.0\r\n\r\n");
    assert_eq!(wire.answer().0.status, 200);
    wire.ends();
    peer.drain();
}

#[test]
fn media_types_have_no_case_and_weights_count() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let mut wire = tls(&consortium, &peer);
    for (kind, status) in [
        ("Application/JSON; Charset=UTF-8", 400),
        ("APPLICATION/PKCS10", 400),
        ("application/jsonx", 415),
        ("text/plain", 415),
    ] {
        let mut wire = tls(&consortium, &peer);
        let request = head("POST /v1/ca/requests", &[&format!("Content-Type: {kind}"), "Content-Length: 2"]) + "{}";
        let (refused, _) = wire.ask(&request);
        assert_eq!(refused.status, status, "{kind}");
        if status == 415 {
            assert_eq!(refused.header("accept"), Some("application/json, application/pkcs10"));
        }
    }
    let pem = "application/pem-certificate-chain";
    for (accept, kind) in [
        ("*/*", pem),
        ("application/json", "application/json"),
        ("Application/Json", "application/json"),
        ("application/json;q=0.1, application/pem-certificate-chain;q=0.2", pem),
        ("application/json, application/pem-certificate-chain;q=0.2", "application/json"),
        ("application/json;q=0, */*", pem),
        ("application/json, */*;q=0.1", "application/json"),
        ("text/html", pem),
    ] {
        let (told, _) = wire.ask(&head("GET /v1/ca/certificates", &[&format!("Accept: {accept}")]));
        assert_eq!((told.status, told.header("content-type")), (200, Some(kind)), "{accept}");
    }
    let coded = ["Content-Type: application/json", "Content-Encoding: gzip", "Content-Length: 2"];
    let (refused, body) = wire.ask(&(head("POST /v1/ca/requests", &coded) + "{}"));
    assert_eq!((refused.status, problem(&body).as_str()), (415, "unsupported-media-type"));
    assert_eq!(refused.header("accept-encoding"), Some("identity"));
    peer.drain();
}

#[test]
fn an_ocsp_request_by_get_may_hold_slashes() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let (profile, out) = (consortium.admin(), consortium.path("request.der"));
    // The nonce is another one each time: one in three has a slash.
    let request = (0..100).find_map(|_| {
        let made = Command::new("openssl")
            .args(["ocsp", "-nonce", "-issuer", text(&issuer(&consortium)), "-cert", text(&profile.join("cert.pem"))])
            .args(["-reqout", text(&out)])
            .output()
            .expect("openssl is installed");
        assert!(out.exists(), "{}", String::from_utf8_lossy(&made.stderr));
        Some(STANDARD.encode(std::fs::read(&out).expect("readable"))).filter(|request| request.contains('/'))
    });
    let request = request.expect("a slash in a hundred requests");
    let encoded = request.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
    let mut wire = tls(&consortium, &peer);
    for path in [request, encoded] {
        let (told, body) = wire.ask(&head(&format!("GET /v1/ca/ocsp/{path}"), &[]));
        assert_eq!((told.status, told.header("content-type")), (200, Some("application/ocsp-response")), "{path}");
        std::fs::write(&out, &body).expect("writable");
        let shown = Command::new("openssl").args(["ocsp", "-noverify", "-text", "-respin", text(&out)]).output();
        let shown = String::from_utf8_lossy(&shown.expect("openssl is installed").stdout).into_owned();
        assert!(shown.contains("Cert Status: good"), "{path}: {shown}");
    }
    peer.drain();
}

/// The CA certificate behind the administrator's.
fn issuer(consortium: &Consortium) -> std::path::PathBuf {
    let path = std::fs::read_to_string(consortium.admin().join("cert.pem")).expect("readable");
    let second = path.match_indices("-----BEGIN").nth(1).expect("a path of two").0;
    let file = consortium.path("issuer.pem");
    std::fs::write(&file, &path[second..]).expect("writable");
    file
}

#[test]
fn a_refusal_that_is_certain_comes_instead_of_100_continue() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let json = "Content-Type: application/json";
    let expecting = |path: &str, kind: &str, length: &str| {
        head(&format!("POST {path}"), &[kind, &format!("Content-Length: {length}"), "Expect: 100-continue"])
    };
    for (path, kind, length, status) in [
        ("/v1/nothing", json, "2", 404),
        ("/v1/status", json, "2", 405),
        ("/v1/channels/none/transactions", json, "2", 404),
        ("/v1/channels", json, "2", 401),
        ("/v1/ca/requests", "Content-Type: text/plain", "2", 415),
        ("/v1/ca/requests", json, "900000000", 413),
    ] {
        let mut wire = tls(&consortium, &peer);
        let (refused, _) = wire.ask(&expecting(path, kind, length));
        assert_eq!(refused.status, status, "{path} {kind} {length}");
        assert_eq!(refused.header("connection"), Some("close"), "{path} {kind} {length}");
        wire.ends();
    }
    let mut wire = tls(&consortium, &peer);
    wire.send(&expecting("/v1/ca/requests", json, "2"));
    assert_eq!(wire.head().status, 100);
    let (refused, body) = wire.ask("{}");
    assert_eq!((refused.status, problem(&body).as_str()), (400, "malformed"));
    wire.goes_on();
    peer.drain();
}

#[test]
fn what_no_server_may_take_is_refused_and_what_every_server_must_take_is_taken() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let get = |lines: &str| format!("GET /v1/status HTTP/1.1\r\n{lines}\r\n");
    let post = |lines: &str, body: &str| {
        format!("POST /v1/ca/requests HTTP/1.1\r\nHost: peer\r\nContent-Type: application/json\r\n{lines}\r\n{body}")
    };
    let chunked = "Transfer-Encoding: chunked\r\n";
    // Request, status, whether the connection goes on.
    #[rustfmt::skip]
    let rows: Vec<(&str, String, u16, bool)> = vec![
        ("no Host", get(""), 400, false),
        ("two Hosts", get("Host: peer\r\nHost: peer\r\n"), 400, false),
        ("a Host that is none", get("Host: a b\r\n"), 400, false),
        ("a Host with a user", get("Host: me@peer\r\n"), 400, false),
        ("an empty Host", get("Host:\r\n"), 200, true),
        ("absolute form", "GET https://other/v1/status HTTP/1.1\r\nHost: peer\r\n\r\n".into(), 200, true),
        ("an empty line before", format!("\r\n{}", get("Host: peer\r\n")), 200, true),
        ("space before a colon", get("Host : peer\r\n"), 400, false),
        ("a folded line", get("Host: peer\r\nX: a\r\n b\r\n"), 400, false),
        ("a NUL in a value", get("Host: peer\r\nX: a\0b\r\n"), 400, false),
        ("two spaces in the request line", "GET  /v1/status HTTP/1.1\r\nHost: peer\r\n\r\n".into(), 400, false),
        ("another major version", "GET /v1/status HTTP/3.0\r\nHost: peer\r\n\r\n".into(), 400, false),
        ("a long target", format!("GET /{} HTTP/1.1\r\nHost: peer\r\n\r\n", "x".repeat(66_000)), 431, false),
        ("a large head", get(&format!("Host: peer\r\nX: {}\r\n", "x".repeat(140_000))), 431, false),
        ("many lines", get(&format!("Host: peer\r\n{}", "X: y\r\n".repeat(200))), 431, false),
        ("two lengths", post("Content-Length: 2\r\nContent-Length: 3\r\n", "{}"), 400, false),
        ("a length that is none", post("Content-Length: +2\r\n", "{}"), 400, false),
        ("a coding that is unknown", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501, false),
        ("chunked not last", post("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"), 400, false),
        ("chunked twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 501, false),
        ("chunked and a length", post(&format!("Content-Length: 9\r\n{chunked}"), "2\r\n{}\r\n0\r\n\r\n"), 400, false),
        ("chunks with extensions and trailers", post(chunked, "2;a=b\r\n{}\r\n0\r\nX: y\r\n\r\n"), 400, true),
        ("Chunked in other case", post("transfer-encoding: CHUNKED\r\n", "2\r\n{}\r\n0\r\n\r\n"), 400, true),
        ("chunks that are none", post(chunked, "zz\r\n{}\r\n0\r\n\r\n"), 400, false),
        ("no body at all", post("", ""), 400, true),
        ("a body where none is wanted", get("Host: peer\r\nContent-Length: 3\r\n") + "abc", 200, false),
        ("the end asked for", get("Host: peer\r\nConnection: close\r\n"), 200, false),
        ("CONNECT", "CONNECT peer:443 HTTP/1.1\r\nHost: peer\r\n\r\n".into(), 404, true),
        ("OPTIONS of the server", "OPTIONS * HTTP/1.1\r\nHost: peer\r\n\r\n".into(), 404, true),
    ];
    for (what, request, status, goes_on) in rows {
        println!("{what}");
        let mut wire = tls(&consortium, &peer);
        let (told, _) = wire.ask(&request);
        assert_eq!(told.status, status, "{what}: {told:?}");
        assert_eq!(told.version, "HTTP/1.1", "{what}");
        assert!(told.header("date").is_some(), "{what}: {told:?}");
        if goes_on {
            wire.goes_on();
        } else {
            assert_eq!(told.header("connection"), Some("close"), "{what}: {told:?}");
            wire.ends();
        }
    }
    assert_eq!(peer.said("ERROR") + peer.said("WARN"), 0);
    peer.drain();
}

/// Every answer to somebody without a certificate says how one is shown, and requests that were sent together are
/// answered one after the other.
#[test]
fn a_401_has_a_challenge_and_pipelined_requests_have_their_order() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let mut wire = tls(&consortium, &peer);
    let (refused, _) = wire.ask(&head("GET /v1/ca/requests", &[]));
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Certificate realm=\"chancery\"")));
    let json = ["Content-Type: application/json", "Content-Length: 2"];
    let all = head("GET /v1/status", &[])
        + &(head("POST /v1/ca/requests", &json) + "{}")
        + &head("GET /v1/nothing", &[])
        + &head("GET /v1/status", &["Connection: close"])
        + &head("GET /v1/status", &[]);
    wire.send(&all);
    let statuses = [(); 4].map(|()| wire.answer().0.status);
    assert_eq!(statuses, [200, 400, 404, 200]);
    wire.ends();
    peer.drain();
}
