//! The certificate side of a profile: its path, its key, and the signatures that the key makes.
//!
//! The key authenticates TLS connections and proves possession in `participant.admit`. It signs no transactions:
//! that is the account key's work (`keys`), so that a certificate can be renewed without moving any asset.

use ledger_classes::keys::{Signature, SignatureError};
use ledger_classes::primitives::identity::Identity;
use pki::pem::{self, PemError};
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::sync::Arc;
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509Certificate};

/// The older form of a P-256 key, in which OpenSSL still writes some (RFC 5915 §4).
const SEC1: &str = "EC PRIVATE KEY";
/// Kinds of private keys.
const KEYS: &[&str] = &["PRIVATE KEY", SEC1];

/// A certificate path with its private key, as TLS presents it.
#[derive(Clone)]
pub struct Credential {
    path: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
    signing: Arc<dyn rustls::sign::SigningKey>,
    leaf: Leaf,
}

/// What a leaf certificate says of its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The SPIFFE ID.
    pub identity: Identity,
    /// Serial number, big-endian, without sign byte.
    pub serial: Vec<u8>,
    /// Last second of its validity, in seconds since the epoch.
    pub not_after: i64,
    /// Organization in its issuer's name; a CA vouches for its own organization's identities only.
    pub issuer_organization: Option<String>,
}

/// Why files are not a usable credential.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// Not PEM, or not certificates only.
    #[error("{0}")]
    Certificates(PemError),
    /// Not one private key in PEM.
    #[error("{0}")]
    Key(PemError),
    /// The key is encrypted, and nobody has opened it.
    #[error("the private key is encrypted")]
    Encrypted,
    /// It could not be opened.
    #[error("the private key is encrypted: {0}")]
    Locked(String),
    /// A key that neither TLS nor the ledger takes.
    #[error("the private key is neither Ed25519 nor ECDSA P-256")]
    KeyKind,
    /// A certificate that does not parse.
    #[error("certificate {0} does not parse")]
    Malformed(usize),
    /// A leaf without exactly one SPIFFE ID of ours.
    #[error("the first certificate carries no identity: {0}")]
    Identity(String),
}

/// The key did not sign.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The key refused.
    #[error("the certificate's key does not sign")]
    Key(#[source] rustls::Error),
    /// The signature has an unexpected form.
    #[error("the certificate's key signs in an unexpected form")]
    Form(#[source] SignatureError),
}

/// Whether a PEM text holds an encrypted private key (RFC 7468 §11, or OpenSSL's older form).
pub fn is_encrypted(key: &[u8]) -> bool {
    let holds = |text: &[u8]| key.windows(text.len()).any(|window| window == text);
    holds(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || holds(b"Proc-Type: 4,ENCRYPTED")
}

/// Parses all certificates of a PEM text; at least one.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, CredentialError> {
    let path = pem::read_some(text, pem::CERTIFICATE).map_err(CredentialError::Certificates)?;
    Ok(path.into_iter().map(CertificateDer::from).collect())
}

/// What the certificate `der` says of its holder.
pub fn leaf(der: &[u8]) -> Result<Leaf, CredentialError> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| CredentialError::Malformed(0))?;
    let names = certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
        _ => None,
    });
    // X509-SVID §2: exactly one URI name, the SPIFFE ID.
    let mut uris = names.into_iter().flatten().filter_map(|name| match name {
        GeneralName::URI(text) => Some(*text),
        _ => None,
    });
    let (Some(text), None) = (uris.next(), uris.next()) else {
        return Err(CredentialError::Identity("exactly one URI name is needed".into()));
    };
    let identity = Identity::parse(text).map_err(|error| CredentialError::Identity(error.to_string()))?;
    let raw = certificate.raw_serial();
    let significant = raw.iter().position(|byte| *byte != 0).unwrap_or(raw.len().saturating_sub(1));
    let organizations: Vec<&str> =
        certificate.issuer().iter_organization().filter_map(|organization| organization.as_str().ok()).collect();
    let issuer_organization = match organizations.as_slice() {
        [one] => Some((*one).to_owned()),
        _ => None,
    };
    let not_after = certificate.validity().not_after.timestamp();
    Ok(Leaf { identity, serial: raw[significant..].to_vec(), not_after, issuer_organization })
}

impl Credential {
    /// Reads a path (leaf first) and its key, both PEM.
    pub fn from_pem(path: &[u8], key: &[u8]) -> Result<Self, CredentialError> {
        let path = certificates(path)?;
        let key = pem::read_object(key, KEYS).map_err(CredentialError::Key)?;
        let der = key.der.to_vec();
        let key = match key.label.as_str() {
            SEC1 => PrivateKeyDer::Sec1(der.into()),
            _ => PrivateKeyDer::Pkcs8(der.into()),
        };
        let signing = any_supported_type(&key).map_err(|_| CredentialError::KeyKind)?;
        if signing.choose_scheme(&Self::SCHEMES).is_none() {
            return Err(CredentialError::KeyKind);
        }
        let leaf = leaf(&path[0])?;
        Ok(Self { path, key: Arc::new(key), signing, leaf })
    }

    const SCHEMES: [SignatureScheme; 2] = [SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256];

    /// What the leaf says.
    pub const fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// The certificates, leaf first.
    pub fn path(&self) -> &[CertificateDer<'static>] {
        &self.path
    }

    /// A copy of the private key, for a TLS configuration.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    /// The path without self-issued certificates: what `participant.admit` carries, since a root is known to the
    /// channel already and would vouch for nothing by being sent.
    pub fn path_without_root(&self) -> Result<Vec<&[u8]>, CredentialError> {
        let mut kept = Vec::with_capacity(self.path.len());
        for (index, der) in self.path.iter().enumerate() {
            let (_, certificate) = X509Certificate::from_der(der).map_err(|_| CredentialError::Malformed(index))?;
            if index == 0 || certificate.issuer() != certificate.subject() {
                kept.push(der.as_ref());
            }
        }
        Ok(kept)
    }

    /// The DER SubjectPublicKeyInfo of the key.
    pub(crate) fn public_key_info(&self) -> Option<Vec<u8>> {
        self.signing.public_key().map(|info| info.to_vec())
    }

    /// Signs with the certificate's key; the result has the form that certificates and requests have.
    pub(crate) fn sign_as_certificates_do(&self, message: &[u8]) -> Result<(SignatureScheme, Vec<u8>), SignError> {
        let signer = self
            .signing
            .choose_scheme(&Self::SCHEMES)
            .ok_or_else(|| SignError::Key(rustls::Error::General("no common signature scheme".into())))?;
        Ok((signer.scheme(), signer.sign(message).map_err(SignError::Key)?))
    }

    /// Signs with the certificate's key; the result has the ledger's 64-byte form for both schemes.
    pub fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        let (scheme, bytes) = self.sign_as_certificates_do(message)?;
        let signature = match scheme {
            SignatureScheme::ED25519 => Signature::new(&bytes),
            _ => Signature::from_ecdsa_der(&bytes),
        };
        signature.map_err(SignError::Form)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential of {}", self.leaf.identity)
    }
}
