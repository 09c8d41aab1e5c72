//! Public keys of certificates, and the two algorithms that they have. Private ones are not known here.

use ring::signature;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The algorithms of leaf and CA keys that are made here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyAlgorithm {
    /// Ed25519 (RFC 8410): no browser takes a certificate with it.
    Ed25519,
    /// ECDSA on P-256 with SHA-256, which every TLS client and every token takes.
    #[default]
    P256,
}

impl KeyAlgorithm {
    /// The ledger's scheme byte (DESIGN, Formats).
    pub const fn scheme(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::P256 => 2,
        }
    }

    /// The name on command lines and in records.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::P256 => "p256",
        }
    }

    /// Everything of a SubjectPublicKeyInfo before the key itself: there is exactly one DER form for each algorithm
    /// (RFC 8410 §4; RFC 5480 §2.1.1, named curve, uncompressed point).
    const fn spki_prefix(self) -> &'static [u8] {
        match self {
            Self::Ed25519 => &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00],
            Self::P256 => &[
                0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
                0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
            ],
        }
    }

    const fn public_key_bytes(self) -> usize {
        match self {
            Self::Ed25519 => 32,
            Self::P256 => 65,
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl FromStr for KeyAlgorithm {
    type Err = KeyAlgorithmError;

    fn from_str(text: &str) -> Result<Self, KeyAlgorithmError> {
        [Self::Ed25519, Self::P256].into_iter().find(|a| a.text() == text).ok_or(KeyAlgorithmError)
    }
}

/// Neither Ed25519 nor P-256.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("a key is ed25519 or p256 (uncompressed, named curve)")]
pub struct KeyAlgorithmError;

/// A public key as certificates and the ledger carry it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PublicKey {
    algorithm: KeyAlgorithm,
    bytes: Vec<u8>,
}

impl PublicKey {
    /// From a DER SubjectPublicKeyInfo in the one form that each algorithm has.
    pub fn from_spki(spki: &[u8]) -> Result<Self, KeyAlgorithmError> {
        [KeyAlgorithm::Ed25519, KeyAlgorithm::P256]
            .into_iter()
            .find_map(|algorithm| Self::from_bytes(algorithm, spki.strip_prefix(algorithm.spki_prefix())?))
            .ok_or(KeyAlgorithmError)
    }

    /// From what [`PublicKey::as_bytes`] returns; `None` if it is of another form.
    pub fn from_bytes(algorithm: KeyAlgorithm, bytes: &[u8]) -> Option<Self> {
        let point = algorithm == KeyAlgorithm::Ed25519 || bytes.first() == Some(&4);
        (bytes.len() == algorithm.public_key_bytes() && point).then(|| Self { algorithm, bytes: bytes.to_vec() })
    }

    /// Ed25519 or P-256.
    pub const fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// 32 octets for Ed25519, the uncompressed SEC1 point of 65 octets for P-256.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The DER SubjectPublicKeyInfo.
    pub fn spki(&self) -> Vec<u8> {
        [self.algorithm.spki_prefix(), &self.bytes].concat()
    }

    /// Whether `signature` (raw for Ed25519, ASN.1 for P-256) is this key's over `message`.
    /// For proofs of possession; the ledger's own rules for transactions are in `ledger-classes`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &dyn signature::VerificationAlgorithm = match self.algorithm {
            KeyAlgorithm::Ed25519 => &signature::ED25519,
            KeyAlgorithm::P256 => &signature::ECDSA_P256_SHA256_ASN1,
        };
        signature::UnparsedPublicKey::new(algorithm, &self.bytes).verify(message, signature).is_ok()
    }
}
