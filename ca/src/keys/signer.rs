//! Who signs as a CA: a key in memory, or one that never leaves its token.
//!
//! [`crate::authority`] is the only caller that signs with a CA's key; it neither knows nor asks where the key lies.

use crate::{
    authority::AuthorityError,
    keys::pair::{KeyError, KeyPair, RcgenPublicKey},
};
use pki::x509::public_key::PublicKey;
use std::{cell::RefCell, fmt, sync::Arc};

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

/// A signer as rcgen takes it. rcgen cannot carry the reason why a key did not sign: it waits here.
pub(crate) struct RcgenKey<'a> {
    signer: &'a dyn Signer,
    failure: RefCell<Option<KeyError>>,
}

impl<'a> RcgenKey<'a> {
    pub(crate) const fn new(signer: &'a dyn Signer) -> Self {
        Self { signer, failure: RefCell::new(None) }
    }

    /// The result of a call to rcgen that signed with this key.
    pub(crate) fn outcome<R>(&self, result: Result<R, rcgen::Error>) -> Result<R, AuthorityError> {
        result.map_err(|error| match self.failure.take() {
            Some(failure) => failure.into(),
            None => error.into(),
        })
    }
}

impl rcgen::PublicKeyData for RcgenKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.signer.public().as_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        RcgenPublicKey(self.signer.public()).algorithm()
    }
}

impl rcgen::SigningKey for RcgenKey<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.signer.sign(message).map_err(|error| {
            self.failure.replace(Some(error));
            rcgen::Error::RemoteKeyError
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Authority, Validity};
    use ledger_classes::time::Time;
    use pki::KeyAlgorithm;

    /// A key whose token was pulled out.
    #[derive(Debug)]
    struct Absent(PublicKey);

    impl Signer for Absent {
        fn public(&self) -> &PublicKey {
            &self.0
        }

        fn sign(&self, _: &[u8]) -> Result<Vec<u8>, KeyError> {
            Err(KeyError::Rejected("no token".into()))
        }
    }

    #[test]
    fn why_a_key_did_not_sign_reaches_the_caller() {
        let public = KeyPair::generate(KeyAlgorithm::P256).unwrap().public().clone();
        let validity = Validity::starting(Time::from_millis(1_800_000_000_000), 1_000_000);
        let refused = Authority::new_root("harbour.example", Arc::new(Absent(public)) as Arc<dyn Signer>, validity);
        let Err(AuthorityError::Key(KeyError::Rejected(why))) = refused else { panic!("{refused:?}") };
        assert_eq!(why, "no token");
    }
}
