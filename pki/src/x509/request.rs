//! Certificate requests (PKCS#10, RFC 2986): bytes from outside become a [`CertificateRequest`] or an error, in one
//! step. What comes out is a key that its holder has proven to possess, and the name that was asked for.
//!
//! Everything else that a request asks for (CA rights, key usages, host names, a subject) is not even read: a
//! certificate is made from the profile and from what an administrator decides.

use crate::{
    limits::{REQUEST_BYTES_MAX, REQUEST_TEXT_BYTES_MAX},
    pem::{self, PemError},
    x509::{
        identifiers::sha256,
        public_key::{KeyAlgorithm, PublicKey},
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ledger_classes::keys::{PublicKey as LedgerKey, Scheme, WeakKeyError};
use ledger_classes::primitives::identity::{Identity, ParseIdentityError};
use x509_parser::{
    certification_request::X509CertificationRequest,
    extensions::{GeneralName, ParsedExtension},
    oid_registry::{OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ED25519},
    prelude::FromDer as _,
    x509::X509Version,
};

/// Why bytes are not a request that can be considered.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum RequestError {
    /// Larger than [`REQUEST_BYTES_MAX`].
    #[error("a certificate request has at most {REQUEST_BYTES_MAX} bytes")]
    Oversize,
    /// Neither DER, nor PEM, nor base64 of DER; or bytes follow it.
    #[error("not a PKCS#10 certificate request")]
    Malformed,
    /// PEM that is not one request.
    #[error("a certificate request in PEM")]
    Pem(#[from] PemError),
    /// Neither Ed25519 nor P-256 in its one form.
    #[error("a request's key is ed25519 or p256 (uncompressed, named curve)")]
    Key,
    /// A key that must not be registered.
    #[error("the key is weak")]
    WeakKey(#[source] WeakKeyError),
    /// Signed with an algorithm that is not the key's.
    #[error("a request is signed with Ed25519, or ECDSA with SHA-256")]
    SignatureAlgorithm,
    /// RFC 2986 §4.2: the signature is not the key's.
    #[error("the request is not signed by its key: possession is not proven")]
    Possession,
    /// More than one URI.
    #[error("a request has at most one URI")]
    Uris,
    /// A URI that is no identity of ours.
    #[error("the URI is not an identity")]
    Identity(#[source] ParseIdentityError),
}

/// A request whose sender possesses its key: only [`CertificateRequest::parse`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    public_key: PublicKey,
    identity: Option<Identity>,
    der: Vec<u8>,
}

impl CertificateRequest {
    /// Parses DER, PEM, or base64 of DER (RFC 7030 §4.2.1), and checks the proof of possession.
    pub fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        if bytes.len() > REQUEST_TEXT_BYTES_MAX {
            return Err(RequestError::Oversize);
        }
        let der = if bytes.first() == Some(&0x30) { bytes.to_vec() } else { from_text(bytes)? };
        if der.len() > REQUEST_BYTES_MAX {
            return Err(RequestError::Oversize);
        }
        let (public_key, identity) = read(&der)?;
        Ok(Self { public_key, identity, der })
    }

    /// The key that its sender possesses.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The identity that is asked for. A wish, not a fact.
    pub const fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// As it was signed.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the request.
    pub fn fingerprint(&self) -> [u8; 32] {
        sha256(&self.der)
    }
}

fn from_text(bytes: &[u8]) -> Result<Vec<u8>, RequestError> {
    let text = std::str::from_utf8(bytes).map_err(|_| RequestError::Malformed)?;
    if text.contains("-----BEGIN") {
        return Ok(pem::read_one(bytes, pem::REQUEST)?.to_vec());
    }
    let compact: String = text.split_ascii_whitespace().collect();
    let der = STANDARD.decode(compact).map_err(|_| RequestError::Malformed)?;
    if der.is_empty() { Err(RequestError::Malformed) } else { Ok(der) }
}

fn read(der: &[u8]) -> Result<(PublicKey, Option<Identity>), RequestError> {
    let Ok(([], request)) = X509CertificationRequest::from_der(der) else { return Err(RequestError::Malformed) };
    let info = &request.certification_request_info;
    // RFC 2986 §4.1: version 1 is written as 0.
    if info.version != X509Version::V1 {
        return Err(RequestError::Malformed);
    }
    let public_key = PublicKey::from_spki(info.subject_pki.raw).map_err(|_| RequestError::Key)?;
    check_strength(&public_key)?;
    let algorithm = &request.signature_algorithm;
    // RFC 8410 §3 and RFC 5758 §3.2: no parameters.
    let expected = match public_key.algorithm() {
        KeyAlgorithm::Ed25519 => OID_SIG_ED25519,
        KeyAlgorithm::P256 => OID_SIG_ECDSA_WITH_SHA256,
    };
    if algorithm.algorithm != expected || algorithm.parameters.is_some() {
        return Err(RequestError::SignatureAlgorithm);
    }
    let signature = &request.signature_value;
    if signature.unused_bits != 0 || !public_key.verifies(info.raw, &signature.data) {
        return Err(RequestError::Possession);
    }
    let mut uris = Vec::new();
    for extension in request.requested_extensions().into_iter().flatten() {
        if let ParsedExtension::SubjectAlternativeName(names) = extension {
            uris.extend(names.general_names.iter().filter_map(|name| match name {
                GeneralName::URI(uri) => Some(*uri),
                _ => None,
            }));
        }
    }
    let identity = match uris[..] {
        [] => None,
        [uri] => Some(Identity::parse(uri).map_err(RequestError::Identity)?),
        _ => return Err(RequestError::Uris),
    };
    Ok((public_key, identity))
}

/// What the ledger would not register is not certified either: points of small order, second encodings.
fn check_strength(key: &PublicKey) -> Result<(), RequestError> {
    let scheme = Scheme::from_byte(key.algorithm().scheme()).ok_or(RequestError::Key)?;
    let bytes = match key.algorithm() {
        KeyAlgorithm::Ed25519 => LedgerKey::new(scheme, key.as_bytes()),
        KeyAlgorithm::P256 => LedgerKey::p256_from_sec1(key.as_bytes()),
    };
    bytes.map_err(|_| RequestError::Key)?.check_registrable().map_err(RequestError::WeakKey)
}
