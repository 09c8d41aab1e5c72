//! A signature and its verification, one at a time. Batches are in [`super::batch`]; both give one verdict.

use super::{KeyBytes, PublicKey};
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::parse_hex;
use ed25519_zebra::VerificationKey;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use std::fmt;

/// 64 bytes: R and s for Ed25519, r and s (big-endian, 32 bytes each) for ECDSA P-256. The scheme is the key's.
/// 128 lower-case hex digits as text.
///
/// Signatures are malleable (ECDSA: s and n-s are both valid), and may be: nothing is named by a signature.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Signature(pub [u8; 64]);

/// Why bytes or a text are not a signature.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SignatureError {
    /// Not 64 bytes.
    #[error("a signature has 64 bytes, not {0}")]
    Length(usize),
    /// Not the DER encoding of two positive integers of at most 256 bits.
    #[error("not the DER encoding of an ECDSA P-256 signature")]
    Der,
    /// Not 128 lower-case hex digits.
    #[error("a signature reads as 128 lower-case hex digits")]
    Text,
}

impl Signature {
    /// A signature from its 64 bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, SignatureError> {
        bytes.try_into().map(Self).map_err(|_| SignatureError::Length(bytes.len()))
    }

    /// An ECDSA P-256 signature from its ASN.1 form (`SEQUENCE { r INTEGER, s INTEGER }`, RFC 3279 §2.2.3), as
    /// certificates, tokens and test vectors write it. Strict DER (X.690 §8.3, §10.1); the ledger itself
    /// carries the 64-byte form only. Whether r and s are in range is [`verify`]'s question.
    pub fn from_ecdsa_der(der: &[u8]) -> Result<Self, SignatureError> {
        // r and s of 256 bits fill at most 70 bytes, so every length is one byte below 0x80.
        let [0x30, length, content @ ..] = der else { return Err(SignatureError::Der) };
        if *length >= 0x80 || usize::from(*length) != content.len() {
            return Err(SignatureError::Der);
        }
        let mut bytes = [0; 64];
        let rest = integer(content, &mut bytes[..32]).ok_or(SignatureError::Der)?;
        let rest = integer(rest, &mut bytes[32..]).ok_or(SignatureError::Der)?;
        if rest.is_empty() { Ok(Self(bytes)) } else { Err(SignatureError::Der) }
    }
}

/// Reads one non-negative DER INTEGER into `out`, right-aligned, and returns what follows it.
fn integer<'a>(der: &'a [u8], out: &mut [u8]) -> Option<&'a [u8]> {
    let [0x02, length, rest @ ..] = der else { return None };
    let (digits, rest) = rest.split_at_checked(usize::from(*length))?;
    let digits = match digits {
        [] | [0x80..=0xff, ..] => return None,        // empty or negative
        [0, next, ..] if *next < 0x80 => return None, // a zero too many
        [0, digits @ ..] if !digits.is_empty() => digits,
        digits => digits,
    };
    let start = out.len().checked_sub(digits.len())?;
    out[start..].copy_from_slice(digits);
    Some(rest)
}

/// Whether `signature` over `message` is valid under `key`: ZIP 215 for Ed25519, ECDSA with SHA-256 for P-256.
/// Anything malformed is invalid; no input panics.
#[must_use]
pub fn verify(key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    match &key.0 {
        KeyBytes::Ed25519(bytes) => VerificationKey::try_from(*bytes)
            .is_ok_and(|key| key.verify(&ed25519_zebra::Signature::from_bytes(&signature.0), message).is_ok()),
        KeyBytes::EcdsaP256(bytes) => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes).verify(message, &signature.0).is_ok()
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Signature {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_hex(text).map(Self).map_err(|_| SignatureError::Text)
    }
}

text_form!(Signature);
