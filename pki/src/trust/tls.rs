//! Certificates in rustls: TLS 1.3 only, ring, and every certificate judged by [`crate::trust::path::verify_path`].
//!
//! No session is ever resumed: a resumed session would skip the CRL (measured). A caller without a certificate may
//! connect and is anonymous; a certificate that is presented and not good ends the handshake with an alert.

use crate::trust::{path::Usage, revocation::RevocationStatusError, store::TrustStore, validation::PathError};
use ledger_classes::primitives::identity::Identity;
use ledger_classes::primitives::time::Time;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible, ServerConfig,
    SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring as provider, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        NoServerSessionStorage, ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    version::TLS13,
};
use std::sync::Arc;
use webpki::{EndEntityCert, ring as algorithms};

/// The only application protocol: HTTP/2 is left out for an advisory in its library (DEPENDENCIES, actix-web).
const ALPN: &[u8] = b"http/1.1";

/// What leaf keys sign handshakes with.
static ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[algorithms::ED25519, algorithms::ECDSA_P256_SHA256],
    mapping: &[
        (SignatureScheme::ED25519, &[algorithms::ED25519]),
        (SignatureScheme::ECDSA_NISTP256_SHA256, &[algorithms::ECDSA_P256_SHA256]),
    ],
};

/// Whom a client expects at the other end. In each case it must be a peer of the consortium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedServer {
    /// A peer whose certificate carries the name or address that was dialled.
    Named,
    /// This very peer, wherever it listens.
    Identity(Identity),
    /// Any peer.
    AnyPeer,
}

/// TLS for a peer's listener.
pub fn server_config(own: Arc<dyn ResolvesServerCert>, trust: Arc<TrustStore>) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(ClientVerifier { trust }))
        .with_cert_resolver(own);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// What judges a peer's certificate, for whoever dials one.
pub fn server_verifier(trust: Arc<TrustStore>, expected: ExpectedServer) -> Arc<dyn ServerCertVerifier> {
    Arc::new(ServerVerifier { trust, expected })
}

/// ring, with signatures restricted to what our certificates have.
fn provider() -> CryptoProvider {
    CryptoProvider { signature_verification_algorithms: ALGORITHMS, ..provider::default_provider() }
}

#[derive(Debug)]
struct ClientVerifier {
    trust: Arc<TrustStore>,
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// Empty: the client sends what it has; hints would tell strangers who is a member.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        verify(&self.trust, end_entity, intermediates, now, Usage::ClientAuth)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &ALGORITHMS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ALGORITHMS.supported_schemes()
    }
}

#[derive(Debug)]
struct ServerVerifier {
    trust: Arc<TrustStore>,
    expected: ExpectedServer,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = verify(&self.trust, end_entity, intermediates, now, Usage::ServerAuth)?;
        match &self.expected {
            ExpectedServer::AnyPeer => {}
            ExpectedServer::Identity(identity) if identity == verified.identity() => {}
            ExpectedServer::Identity(_) => return Err(CertificateError::NotValidForName.into()),
            // RFC 9525 §6.1: names and addresses are matched against the alternative names only.
            ExpectedServer::Named => EndEntityCert::try_from(end_entity)
                .and_then(|certificate| certificate.verify_is_valid_for_subject_name(server_name))
                .map_err(|_| CertificateError::NotValidForName)?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &ALGORITHMS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ALGORITHMS.supported_schemes()
    }
}

fn verify(
    trust: &TrustStore,
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
    usage: Usage,
) -> Result<crate::trust::path::VerifiedCertificate, Error> {
    let path: Vec<&[u8]> = std::iter::once(end_entity).chain(intermediates).map(AsRef::as_ref).collect();
    let at = Time::from_millis(now.as_secs().saturating_mul(1000));
    trust.verify(&path, at, usage).map_err(|error| certificate_error(error).into())
}

/// The alert that fits (RFC 8446 §6.2), and our own reason for the log where rustls has no word for it.
fn certificate_error(error: PathError) -> CertificateError {
    match error {
        PathError::Expired => CertificateError::Expired,
        PathError::NotYetValid => CertificateError::NotValidYet,
        PathError::UnknownIssuer => CertificateError::UnknownIssuer,
        PathError::Signature => CertificateError::BadSignature,
        PathError::Usage | PathError::NotPeer => CertificateError::InvalidPurpose,
        PathError::Revocation { source: RevocationStatusError::Revoked, .. } => CertificateError::Revoked,
        PathError::Revocation { source: RevocationStatusError::Missing, .. } => {
            CertificateError::UnknownRevocationStatus
        }
        PathError::Revocation { source: RevocationStatusError::Expired, .. } => CertificateError::ExpiredRevocationList,
        PathError::Empty | PathError::Length | PathError::Order => CertificateError::BadEncoding,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    }
}
