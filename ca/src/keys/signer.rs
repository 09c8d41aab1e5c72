//! Who signs as a CA: a key in memory, or one that never leaves its token.
//!
//! [`crate::authority`] is the only caller that signs with a CA's key; it neither knows nor asks where the key lies.

use crate::keys::{error::KeyError, pair::KeyPair};
use pki::x509::public_key::PublicKey;
use std::{fmt, sync::Arc};

/// A private key that can be used, wherever it is.
pub trait Signer: fmt::Debug + Send + Sync {
    /// The public half.
    fn public(&self) -> &PublicKey;

    /// A signature: 64 octets for Ed25519 (RFC 8032 §5.1.6), ASN.1 (RFC 3279 §2.2.3) for P-256 with SHA-256.
    ///
    /// # Errors
    /// The random source or the token failed.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError>;
}

impl Signer for KeyPair {
    fn public(&self) -> &PublicKey {
        self.public()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.sign(message)
    }
}

impl From<KeyPair> for Arc<dyn Signer> {
    fn from(key: KeyPair) -> Self {
        Arc::new(key)
    }
}
