//! Private keys of certificates: made, written, read, used for signatures.
//!
//! Ed25519 keys are written as PKCS#8 version 1 (48 octets): OpenSSL 3.0 and curl cannot read version 2. A private key
//! is never logged and never compared; its file has mode 0600, and one that others may read is refused. Our copies of
//! its octets are wiped when they are dropped (ring's own, inside its key types, are not: ring offers no way).

use crate::keys::error::KeyError;
use files::KEY_FILE_BYTES_MAX;
use pki::{
    pem,
    x509::public_key::{KeyAlgorithm, PublicKey},
};
use ring::{
    rand::{SecureRandom, SystemRandom},
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::{fmt, path::Path};
use zeroize::Zeroizing;

enum PrivateKey {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

/// A private key with its public key.
pub struct KeyPair {
    inner: PrivateKey,
    public: PublicKey,
    pkcs8: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public).finish_non_exhaustive()
    }
}

/// PKCS#8 version 1 around a 32-octet Ed25519 seed (RFC 8410 §7, RFC 5208 §5).
const ED25519_PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// The label of the PEM block that an unencrypted PKCS#8 key has (RFC 7468 §10).
const PEM_LABEL: &str = "PRIVATE KEY";

impl KeyPair {
    /// A new key from the system's random source.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        match algorithm {
            KeyAlgorithm::Ed25519 => {
                let mut seed = Zeroizing::new([0; 32]);
                random.fill(seed.as_mut()).map_err(|_| KeyError::Random)?;
                Self::from_ed25519_seed(&seed)
            }
            KeyAlgorithm::P256 => {
                let document = EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, &random)
                    .map_err(|_| KeyError::Random)?;
                Self::from_pkcs8(document.as_ref())
            }
        }
    }

    /// From the 32-octet seed of RFC 8032 §5.1.5.
    pub fn from_ed25519_seed(seed: &[u8; 32]) -> Result<Self, KeyError> {
        let mut pkcs8 = Zeroizing::new(Vec::with_capacity(48));
        pkcs8.extend_from_slice(&ED25519_PKCS8_PREFIX);
        pkcs8.extend_from_slice(seed);
        Self::from_pkcs8(&pkcs8)
    }

    /// From PKCS#8 DER, version 1 or 2. An Ed25519 key becomes version 1 again.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            // In both versions the seed follows the same header, but for the version number at octet 4 and the
            // outer length at octet 1.
            let seed = der.get(16..48).ok_or(KeyError::Form)?;
            let mut pkcs8 = Zeroizing::new(Vec::with_capacity(48));
            pkcs8.extend_from_slice(&ED25519_PKCS8_PREFIX);
            pkcs8.extend_from_slice(seed);
            let public =
                PublicKey::from_bytes(KeyAlgorithm::Ed25519, pair.public_key().as_ref()).ok_or(KeyError::Form)?;
            let again = Ed25519KeyPair::from_seed_and_public_key(seed, public.as_bytes());
            again.map_err(|error| KeyError::Rejected(error.to_string()))?;
            return Ok(Self { inner: PrivateKey::Ed25519(pair), public, pkcs8 });
        }
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, der, &random)
            .map_err(|error| KeyError::Rejected(error.to_string()))?;
        let public = PublicKey::from_bytes(KeyAlgorithm::P256, pair.public_key().as_ref()).ok_or(KeyError::Form)?;
        Ok(Self { inner: PrivateKey::P256(pair), public, pkcs8: Zeroizing::new(der.to_vec()) })
    }

    /// From a PEM text with one `PRIVATE KEY` and nothing else.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
            return Err(KeyError::Encrypted);
        }
        Self::from_pkcs8(&pem::read_one(text.as_bytes(), pem::PRIVATE_KEY)?)
    }

    /// Reads a PEM file, which others must not be able to read ([`files::read_secret`]).
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let text = files::read_secret_text(path, KEY_FILE_BYTES_MAX);
        Self::from_pem(&text.map_err(|source| KeyError::File { path: path.display().to_string(), source })?)
    }

    /// Writes a PEM file with mode 0600, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        files::write_private(path, self.to_pem().as_bytes())
            .map_err(|source| KeyError::File { path: path.display().to_string(), source })
    }

    /// PKCS#8 in PEM; version 1 for Ed25519.
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(pem::write(PEM_LABEL, &self.pkcs8))
    }

    /// PKCS#8 DER; version 1 and 48 octets for Ed25519.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The public half.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A signature: 64 octets for Ed25519, ASN.1 (RFC 3279 §2.2.3) for P-256.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.inner {
            PrivateKey::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            PrivateKey::P256(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| KeyError::Random),
        }
    }

    /// A copy in rustls' form, which the caller wipes.
    pub(crate) fn to_rustls(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pkcs8.to_vec()))
    }
}

/// A public key as rcgen takes it.
pub(crate) struct RcgenPublicKey<'k>(pub(crate) &'k PublicKey);

impl rcgen::PublicKeyData for RcgenPublicKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        match self.0.algorithm() {
            KeyAlgorithm::Ed25519 => &rcgen::PKCS_ED25519,
            KeyAlgorithm::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        }
    }
}

impl rcgen::PublicKeyData for KeyPair {
    fn der_bytes(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        RcgenPublicKey(&self.public).algorithm()
    }
}

impl rcgen::SigningKey for KeyPair {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_survives_its_pem_and_signs() {
        for algorithm in [KeyAlgorithm::Ed25519, KeyAlgorithm::P256] {
            let pair = KeyPair::generate(algorithm).unwrap();
            let again = KeyPair::from_pem(&pair.to_pem()).unwrap();
            assert_eq!(pair.public(), again.public());
            assert_eq!(PublicKey::from_spki(&pair.public().spki()).unwrap(), *pair.public());
            let signature = again.sign(b"message").unwrap();
            assert!(pair.public().verifies(b"message", &signature));
            assert!(!pair.public().verifies(b"massage", &signature));
        }
    }

    #[test]
    fn ed25519_is_written_as_pkcs8_version_1() {
        let version_2 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = KeyPair::from_pkcs8(version_2.as_ref()).unwrap();
        assert_eq!((pair.pkcs8().len(), pair.pkcs8()[4]), (48, 0));
        assert_eq!(KeyPair::from_pkcs8(pair.pkcs8()).unwrap().public(), pair.public());
    }

    #[test]
    fn other_keys_are_refused() {
        let p256 = KeyPair::generate(KeyAlgorithm::P256).unwrap();
        let mut spki = p256.public().spki();
        spki[26] = 2;
        assert!(PublicKey::from_spki(&spki).is_err(), "not an uncompressed point");
        assert!(PublicKey::from_spki(&p256.public().spki()[..90]).is_err(), "truncated");
        assert!(matches!(
            KeyPair::from_pem("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n"),
            Err(KeyError::Encrypted)
        ));
        assert!(matches!(KeyPair::from_pem("none"), Err(KeyError::Pem(_))));
        assert!(KeyPair::from_pkcs8(&[0x30, 0]).is_err());
    }

    #[test]
    fn a_key_is_not_shown() {
        let pair = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
        let secret: String = format!("{:?}", &pair.pkcs8()[16..]);
        assert!(!format!("{pair:?}").contains(secret.trim_matches(['[', ']'])));
    }
}
