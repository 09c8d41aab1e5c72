//! A peer for tests: it speaks real TLS, lets in whom its authority vouches for, and answers what a test tells it to.

#![allow(clippy::disallowed_methods, reason = "tests start tasks and threads as they like")]
#![allow(clippy::unwrap_used, dead_code, reason = "each test program uses its part")]

use client::api::{Outcome, SubmissionStatus};
use client::profile::Profile;
use ledger_classes::primitives::hash::Hash;
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A certificate authority of its own: a root of the organization `bank`.
pub(crate) struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// `name` tells authorities apart in tests; only their keys differ.
    pub(crate) fn new(_name: &str) -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let validity = ca::Validity::starting(client::now(), 90 * ca::limits::DAY_MS);
        let copy = ca::KeyPair::from_pkcs8(&key.serialize_der()).unwrap();
        let root = ca::Authority::new_organization_root("harbour", "bank", copy, validity).unwrap();
        let der = CertificateDer::from(root.certificate().to_vec());
        let pem = pki::pem::write("CERTIFICATE", &der);
        let issuer = Issuer::from_ca_cert_der(&der, key).unwrap();
        Self { pem, der, issuer }
    }

    /// A leaf of any identity: what the authority itself would refuse as well.
    fn issue(&self, names: Vec<SanType>, purpose: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        (self.certify(names, purpose, &key), key)
    }

    /// A leaf of a client, in PEM, for a key that is there.
    pub(crate) fn client(&self, identity: &str, key_pem: &str) -> String {
        let uri = SanType::URI(identity.try_into().unwrap());
        let key = KeyPair::from_pem(key_pem).unwrap();
        self.certify(vec![uri], ExtendedKeyUsagePurpose::ClientAuth, &key).pem() + &self.pem
    }

    fn certify(&self, names: Vec<SanType>, purpose: ExtendedKeyUsagePurpose, key: &KeyPair) -> rcgen::Certificate {
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from_slice(&[1, 2, 3]));
        let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(client::now().millis() / 1000);
        (params.not_before, params.not_after) = (now, now + Duration::from_secs(86_400));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "leaf");
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.subject_alt_names = names;
        params.signed_by(key, &self.issuer).unwrap()
    }
}

/// What a request looked like: its first line, its `Last-Event-ID`, its body.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) last_event_id: Option<String>,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Peer {
    pub(crate) url: String,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
}

type Script = dyn Fn(usize, &Seen) -> String + Send + Sync;

/// Answers each request with what `script` says of its number; an answer without `Content-Length` ends with the
/// connection. Only callers with a certificate of `authority` are let in.
pub(crate) fn peer(authority: &Authority, script: impl Fn(usize, &Seen) -> String + Send + Sync + 'static) -> Peer {
    peer_as("spiffe://harbour/bank/peer/p1", authority, script)
}

/// [`peer`] with another identity in its certificate.
pub(crate) fn peer_as(
    identity: &str,
    authority: &Authority,
    script: impl Fn(usize, &Seen) -> String + Send + Sync + 'static,
) -> Peer {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.der.clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().unwrap();
    let uri = SanType::URI(identity.try_into().unwrap());
    let (certificate, key) =
        authority.issue(vec![uri, SanType::IpAddress([127, 0, 0, 1].into())], ExtendedKeyUsagePurpose::ServerAuth);
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
        let (mut length, mut goes_on) = (0, false);
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().ok()?,
                // Nobody reads it here: what comes of it is no next request.
                "transfer-encoding" => goes_on = true,
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
        let mut answer = script(number, &seen);
        if goes_on {
            answer = answer.replacen("\r\n", "\r\nconnection: close\r\n", 1);
        }
        // What stands behind a zero is said once something of the body has come.
        let (begin, rest) = answer.split_once('\0').unwrap_or((&answer, ""));
        stream.get_mut().write_all(begin.as_bytes()).ok()?;
        stream.get_mut().flush().ok()?;
        if !rest.is_empty() {
            stream.fill_buf().ok()?;
            stream.get_mut().write_all(rest.as_bytes()).ok()?;
        }
        if goes_on || !answer.contains("content-length") {
            stream.get_mut().conn.send_close_notify();
            stream.get_mut().flush().ok();
            // What is closed with something unread takes the answer with it.
            let socket = &mut stream.get_mut().sock;
            socket.shutdown(std::net::Shutdown::Write).ok()?;
            std::io::copy(socket, &mut std::io::sink()).ok();
            return None;
        }
    }
}

pub(crate) fn answer(status: &str, media: &str, extra: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-type: {media}\r\ncontent-length: {}\r\n{extra}\r\n{body}", body.len())
}

pub(crate) fn problem(status: &str, name: &str, extra: &str) -> String {
    let number = &status[..3];
    let body = format!(r#"{{"type":"urn:chancery:problem:{name}","title":"{name}","status":{number}}}"#);
    answer(status, "application/problem+json", extra, &body)
}

pub(crate) fn outcome() -> String {
    let outcome = Outcome { id: Some(Hash([1; 32])), status: SubmissionStatus::Accepted, receipt: None, problem: None };
    answer("202 Accepted", "application/json", "", &serde_json::to_string(&outcome).unwrap())
}

pub(crate) fn profile(trusted: &Authority, own: &Authority, url: &str) -> (tempfile::TempDir, Profile) {
    let folder = tempfile::tempdir().unwrap();
    let uri = SanType::URI("spiffe://harbour/bank/client/alice".try_into().unwrap());
    let (certificate, key) = own.issue(vec![uri], ExtendedKeyUsagePurpose::ClientAuth);
    for (name, text) in [
        ("ca.pem", trusted.pem.clone()),
        ("cert.pem", certificate.pem() + &own.pem),
        ("key.pem", key.serialize_pem()),
        ("profile.toml", format!("peer = \"{url}\"\nconsortium = \"harbour\"\n")),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    // A key that others may read is refused.
    let owner_alone = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(folder.path().join("key.pem"), owner_alone).unwrap();
    let profile = Profile::open(folder.path()).unwrap();
    (folder, profile)
}

/// The tag of every cursor here.
pub(crate) const TAG: &str = "0102030405060708";

/// A frame with an event of this place.
pub(crate) fn event(id: &str) -> String {
    let id = format!("{id}.{TAG}");
    format!(
        "id: {id}\nevent: chancery.asset.paused\ndata: {{\"specversion\":\"1.0\",\"id\":\"{id}\",\
         \"source\":\"/v1/channels/main\",\"type\":\"chancery.asset.paused\",\"subject\":\"coin\",\
         \"time\":\"2026-11-21T10:05:54.123Z\",\"datacontenttype\":\"application/json\",\"class\":\"assets\",\
         \"transaction\":\"{}\",\"data\":{{\"kind\":\"asset.paused\",\"asset\":\"coin\"}}}}\n\n",
        "00".repeat(32)
    )
}

/// A stream of events that ends after `body`.
pub(crate) fn events(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{body}")
}
