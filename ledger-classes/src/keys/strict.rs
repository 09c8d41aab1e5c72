//! Seals: signatures of which every library of every language says the same.
//!
//! A transaction's signature is judged by one library on every peer ([`super::verify`]); a seal is checked by whoever has a
//! proof, with whatever library is at hand. Libraries part on encodings that are not canonical, on points of small order and
//! on the cofactor. Of what passes here none is left: whoever takes what libraries commonly take accepts it, and whoever
//! looks at nothing but these rules and one cofactorless equation refuses the rest.

use super::{KeyBytes, KeyCache, PublicKey, Signature, SignatureItem};
use curve25519_dalek::{edwards::CompressedEdwardsY, scalar::Scalar};
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};

/// Why a signature is no valid seal.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum StrictError {
    /// Key or signature are not in the one form in which all libraries take them.
    #[error("key or signature are not canonical")]
    Form,
    /// It does not verify.
    #[error("the signature does not verify")]
    Wrong,
}

/// What names of seals begin with, in what a [`KeyCache`] remembers: no scheme of keys.
const STRICT: &[u8] = &[0];

/// Half of the order of P-256's group, rounded down, big-endian (SEC 2 §2.4.2).
const P256_HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xde, 0x73, 0x7d, 0x56,
    0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
];

/// Whether `signature` over `message` is valid under `key` in the way that seals have to be.
///
/// Ed25519: the key is registrable (canonical, of the group of prime order); R is canonical and not of small order; s is
/// below the order; and the equation of RFC 8032 §5.1.7 holds without the cofactor. P-256: the key is a point of the curve;
/// r and s are from 1 to the order less one, and s is at most half of it (of s and n-s the smaller).
pub fn verify_strict(key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), StrictError> {
    key.check_registrable().map_err(|_| StrictError::Form)?;
    verify_under_registrable(key, message, signature)
}

impl KeyCache {
    /// [`verify_strict`], for whoever meets the same keys again: whether one is registrable, which costs as much as a
    /// signature under it, is found once.
    pub fn verify_strict(&mut self, key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), StrictError> {
        let name = self.name_of(STRICT, &SignatureItem { key, message, signature });
        if self.knows(name) {
            return Ok(());
        }
        if !self.is_registrable(key) {
            return Err(StrictError::Form);
        }
        verify_under_registrable(key, message, signature)?;
        self.remember(name);
        Ok(())
    }
}

fn verify_under_registrable(key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), StrictError> {
    let (first, second) = signature.0.split_at(32);
    let halves: ([u8; 32], [u8; 32]) = (first.try_into().expect("32"), second.try_into().expect("32"));
    let verdict = match &key.0 {
        KeyBytes::Ed25519(bytes) => {
            if !has_strict_form(halves.0, halves.1) {
                return Err(StrictError::Form);
            }
            UnparsedPublicKey::new(&ED25519, bytes).verify(message, &signature.0)
        }
        KeyBytes::EcdsaP256(bytes) => {
            if halves.1 > P256_HALF_ORDER {
                return Err(StrictError::Form);
            }
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes).verify(message, &signature.0)
        }
    };
    verdict.map_err(|_| StrictError::Wrong)
}

/// Whether R and s of an Ed25519 signature are in the one form that they have.
fn has_strict_form(nonce: [u8; 32], s: [u8; 32]) -> bool {
    let nonce = CompressedEdwardsY(nonce);
    let point = nonce.decompress().filter(|point| point.compress() == nonce && !point.is_small_order());
    point.is_some() && Option::<Scalar>::from(Scalar::from_canonical_bytes(s)).is_some()
}
