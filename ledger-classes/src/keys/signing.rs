//! Ed25519 signing, for peers, clients and tests. ECDSA needs fresh randomness for each signature, which this
//! room has none of: P-256 keys sign in `client` or in a token.

use super::{PublicKey, Signature};
use std::fmt;
use zeroize::Zeroizing;

/// An Ed25519 secret key. Wiped from memory on drop; never printed.
#[derive(Clone)]
pub struct SigningKey(Box<Zeroizing<ed25519_zebra::SigningKey>>);

impl SigningKey {
    /// The key of a 32-byte seed (RFC 8032 §5.1.5). The caller wipes the seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Box::new(Zeroizing::new(ed25519_zebra::SigningKey::from_bytes(seed))))
    }

    /// The seed, for writing the key to its file.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public key.
    pub fn public(&self) -> PublicKey {
        PublicKey::ed25519(self.0.verification_key().into())
    }

    /// Signs; deterministic (RFC 8032 §5.1.6).
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey of {}", self.public())
    }
}
