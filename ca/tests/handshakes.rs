//! TLS handshakes in memory: who gets in, and that no resumption goes round the CRL.
#![allow(clippy::unwrap_used)]

use crate::consortium::{CONSORTIUM, Issuing, NOW, identity, root};
use ca::{Authority, KeyPair, RevokedSerial, holder::own_certificate::OwnCertificate, limits::DAY_MS};
use ledger_classes::primitives::time::Time;
use pki::{
    KeyAlgorithm, RevocationPolicy, RevocationReason, TrustStore, Usage,
    trust::tls::{ExpectedServer, server_config, server_verifier},
};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, Error, HandshakeKind, ProtocolVersion,
    ServerConfig, ServerConnection,
    client::Resumption,
    pki_types::{ServerName, UnixTime},
    time_provider::TimeProvider,
};
use std::{sync::Arc, time::Duration};

#[derive(Debug)]
struct At(Time);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(self.0.millis())))
    }
}

struct Scene {
    root: Authority,
    north: Issuing,
    trust: Arc<TrustStore>,
    server: Arc<ServerConfig>,
}

impl Scene {
    fn new() -> Self {
        let root = root(KeyAlgorithm::Ed25519);
        let north = Issuing::under(&root, "north", KeyAlgorithm::P256);
        let der = |authority: &Authority| authority.certificate().to_vec();
        let (anchors, issuing) = (vec![der(&root)], vec![der(&north.authority)]);
        let trust = TrustStore::new(CONSORTIUM, anchors, issuing, RevocationPolicy::default()).unwrap();
        let trust = Arc::new(trust);
        for authority in [&root, &north.authority] {
            trust.install_crl(&authority.issue_crl(&[], 1, NOW, NOW.plus_millis(99 * DAY_MS)).unwrap()).unwrap();
        }
        let server = server(&north, "north/peer/p1", &trust);
        Self { root, north, trust, server }
    }

    fn own(&self, name: &str, algorithm: KeyAlgorithm) -> (Arc<OwnCertificate>, Vec<Vec<u8>>) {
        own(&self.north, name, algorithm)
    }

    fn client(&self, own: Option<&Arc<OwnCertificate>>, expected: ExpectedServer) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(server_verifier(Arc::clone(&self.trust), expected));
        let mut config = match own {
            Some(own) => builder.with_client_cert_resolver(Arc::clone(own) as _),
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.time_provider = Arc::new(At(NOW));
        config
    }

    fn revoke(&self, path: &[Vec<u8>]) {
        let serial = self.trust.verify(path, NOW, Usage::ClientAuth).unwrap().serial().clone();
        let entry = RevokedSerial { serial, at: NOW, reason: RevocationReason::KeyCompromise };
        let crl = self.north.authority.issue_crl(&[entry], 2, NOW, NOW.plus_millis(9 * DAY_MS)).unwrap();
        self.trust.install_crl(&crl).unwrap();
    }
}

fn own(issuing: &Issuing, name: &str, algorithm: KeyAlgorithm) -> (Arc<OwnCertificate>, Vec<Vec<u8>>) {
    let key = KeyPair::generate(algorithm).unwrap();
    let path = vec![issuing.leaf(&identity(name), &key), issuing.authority.certificate().to_vec()];
    (OwnCertificate::new(&path, &key).unwrap(), path)
}

fn server(issuing: &Issuing, name: &str, trust: &Arc<TrustStore>) -> Arc<ServerConfig> {
    let (own, _) = own(issuing, name, KeyAlgorithm::Ed25519);
    let mut config = server_config(own, Arc::clone(trust)).unwrap();
    config.time_provider = Arc::new(At(NOW));
    Arc::new(config)
}

/// What the server and the client made of the handshake.
type Outcome = (Result<ServerConnection, Error>, Result<ClientConnection, Error>);

fn shake(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>, name: &str) -> Outcome {
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let (mut server_error, mut client_error) = (None, None);
    for _ in 0..8 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        server.read_tls(&mut bytes.as_slice()).unwrap();
        server_error = server_error.or(server.process_new_packets().err());
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        client.read_tls(&mut bytes.as_slice()).unwrap();
        client_error = client_error.or(client.process_new_packets().err());
    }
    (server_error.map_or(Ok(server), Err), client_error.map_or(Ok(client), Err))
}

#[test]
fn members_and_anonymous_callers_get_in_over_tls_1_3() {
    let scene = Scene::new();
    for algorithm in [KeyAlgorithm::Ed25519, KeyAlgorithm::P256] {
        let (alice, path) = scene.own("north/client/alice", algorithm);
        let client = Arc::new(scene.client(Some(&alice), ExpectedServer::Named));
        for name in ["localhost", "127.0.0.1"] {
            let (server, client) = shake(&scene.server, &client, name);
            let (server, client) = (server.unwrap(), client.unwrap());
            assert!(!server.is_handshaking() && !client.is_handshaking());
            assert_eq!(server.protocol_version(), Some(ProtocolVersion::TLSv1_3));
            assert_eq!(server.alpn_protocol(), Some(&b"http/1.1"[..]));
            let presented = server.peer_certificates().unwrap();
            let verified = scene.trust.verify(presented, NOW, Usage::ClientAuth).unwrap();
            assert_eq!(*verified.identity(), identity("north/client/alice"));
            assert_eq!(presented.len(), path.len());
        }
    }
    let (server, client) = shake(&scene.server, &Arc::new(scene.client(None, ExpectedServer::Named)), "localhost");
    assert!(!client.unwrap().is_handshaking());
    assert!(server.unwrap().peer_certificates().is_none());
}

#[test]
fn bad_client_certificates_end_the_handshake_with_the_fitting_alert() {
    let scene = Scene::new();
    let check = |own: &Arc<OwnCertificate>, error: Error, alert: AlertDescription| {
        let client = Arc::new(scene.client(Some(own), ExpectedServer::Named));
        let (server, client) = shake(&scene.server, &client, "localhost");
        assert_eq!(server.err(), Some(error));
        assert_eq!(client.err(), Some(Error::AlertReceived(alert)));
    };
    let (revoked, path) = scene.own("north/client/revoked", KeyAlgorithm::Ed25519);
    scene.revoke(&path);
    check(&revoked, CertificateError::Revoked.into(), AlertDescription::CertificateRevoked);

    let foreign_root = root(KeyAlgorithm::Ed25519);
    let foreign = Issuing::under(&foreign_root, "north", KeyAlgorithm::Ed25519);
    let (foreign, _) = own(&foreign, "north/client/alice", KeyAlgorithm::Ed25519);
    check(&foreign, CertificateError::UnknownIssuer.into(), AlertDescription::UnknownCA);

    // An organization whose CRL nobody has.
    let south = Issuing::under(&scene.root, "south", KeyAlgorithm::Ed25519);
    let (south, _) = own(&south, "south/client/bob", KeyAlgorithm::Ed25519);
    check(&south, CertificateError::UnknownRevocationStatus.into(), AlertDescription::UnknownCA);

    let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let late = scene.north.changed_leaf("spiffe://harbour.example/north/client/late", &key, |params| {
        params.not_after = crate::consortium::date(NOW) - time::Duration::seconds(1);
    });
    let late = OwnCertificate::new(&[late, scene.north.authority.certificate().to_vec()], &key).unwrap();
    check(&late, CertificateError::Expired.into(), AlertDescription::CertificateExpired);
}

#[test]
fn a_client_talks_only_to_the_peer_that_it_means() {
    let scene = Scene::new();
    let south = Issuing::under(&scene.root, "south", KeyAlgorithm::Ed25519);
    let p1 = identity("north/peer/p1");
    let p2 = identity("north/peer/p2");
    let impostor_key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    for (expected, name, admitted) in [
        (ExpectedServer::Named, "localhost", true),
        (ExpectedServer::Named, "other.example", false),
        (ExpectedServer::Named, "127.0.0.2", false),
        (ExpectedServer::Identity(p1.clone()), "other.example", true),
        (ExpectedServer::Identity(p2), "localhost", false),
        (ExpectedServer::AnyPeer, "other.example", true),
    ] {
        let client = Arc::new(scene.client(None, expected.clone()));
        let (_, client) = shake(&scene.server, &client, name);
        let error = client.err();
        let refused = Some(CertificateError::NotValidForName.into());
        assert_eq!(error, if admitted { None } else { refused }, "{expected:?} {name}");
    }
    // A client's certificate does not make a server, whatever names it carries.
    let leaf = scene.north.changed_leaf("spiffe://harbour.example/north/client/eve", &impostor_key, |_| {});
    let path = [leaf, scene.north.authority.certificate().to_vec()];
    let impostor = OwnCertificate::new(&path, &impostor_key).unwrap();
    let impostor = Arc::new(server_config(impostor, Arc::clone(&scene.trust)).unwrap());
    let client = Arc::new(scene.client(None, ExpectedServer::AnyPeer));
    let (_, refused) = shake(&impostor, &client, "localhost");
    assert_eq!(refused.err(), Some(CertificateError::InvalidPurpose.into()));
    // Nor is a peer believed whose CRL is missing.
    let (_, refused) = shake(&server(&south, "south/peer/p1", &scene.trust), &client, "localhost");
    assert_eq!(refused.err(), Some(CertificateError::UnknownRevocationStatus.into()));
}

/// A resumed session is not asked for its certificate again: rustls' default session store lets a revoked client
/// back in. The client here does all it can to resume.
#[test]
fn a_revoked_client_cannot_resume() {
    let scene = Scene::new();
    let (alice, path) = scene.own("north/client/alice", KeyAlgorithm::Ed25519);
    let mut client = scene.client(Some(&alice), ExpectedServer::Named);
    client.resumption = Resumption::in_memory_sessions(16);
    let client = Arc::new(client);
    for _ in 0..2 {
        let (server, client) = shake(&scene.server, &client, "localhost");
        assert_eq!(server.unwrap().handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(client.unwrap().tls13_tickets_received(), 0);
    }
    scene.revoke(&path);
    let (server, _) = shake(&scene.server, &client, "localhost");
    assert_eq!(server.err(), Some(CertificateError::Revoked.into()));
}

#[test]
fn a_renewed_certificate_is_used_for_the_next_handshake() {
    let scene = Scene::new();
    let (own, _) = scene.own("north/peer/p1", KeyAlgorithm::Ed25519);
    let mut config = server_config(Arc::<OwnCertificate>::clone(&own), Arc::clone(&scene.trust)).unwrap();
    config.time_provider = Arc::new(At(NOW));
    let config = Arc::new(config);
    let key = KeyPair::generate(KeyAlgorithm::P256).unwrap();
    let path = [scene.north.leaf(&identity("north/peer/p1"), &key), scene.north.authority.certificate().to_vec()];
    own.replace(&path, &key).unwrap();
    let client = Arc::new(scene.client(None, ExpectedServer::Named));
    let (_, client) = shake(&config, &client, "localhost");
    assert_eq!(client.unwrap().peer_certificates().unwrap()[0].as_ref(), path[0]);
    let other = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    assert!(OwnCertificate::new(&path, &other).is_err(), "a key that is not the leaf's");
}
