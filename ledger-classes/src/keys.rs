//! Public keys, addresses and signatures, and the only place that decides whether a signature is valid.
//!
//! A verdict is consensus: one library per scheme decides it on every peer, in single and in batch
//! verification alike (`docs/decisions/0003-signatures.md`). Ed25519 follows ZIP 215 through `ed25519-zebra`,
//! ECDSA P-256 with SHA-256 goes through `ring`. Seals have stricter rules ([`verify_strict`]).
//! What must never happen here: a verdict that depends on the neighbours in a batch, on the order of a batch
//! or on the random coefficients; a key with two forms and so two addresses; a secret in a log line.

/// JSON carries the value's text.
macro_rules! text_form {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

mod address;
mod batch;
mod signature;
mod signing;
mod strict;
#[cfg(test)]
mod strict_tests;
#[cfg(test)]
mod tests;

pub use address::{Address, ParseAddressError};
pub use batch::{BATCH_ITEMS_MAX, KeyCache, SignatureItem, verify_batch, verify_groups};
pub use signature::{Signature, SignatureError, verify};
pub use signing::SigningKey;
pub use strict::{StrictError, verify_strict};

use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::{Hash, Tag, parse_hex};
use bincode::error::{DecodeError, EncodeError};
use curve25519_dalek::edwards::CompressedEdwardsY;
use std::fmt;

/// A signature scheme. The number is the scheme byte of the formats; numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Ed25519, verified under the rules of ZIP 215.
    Ed25519 = 1,
    /// ECDSA on P-256 with SHA-256.
    EcdsaP256 = 2,
}

impl Scheme {
    /// The scheme byte.
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// The scheme of a scheme byte.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Ed25519),
            2 => Some(Self::EcdsaP256),
            _ => None,
        }
    }

    /// The name in JSON and in texts of keys.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256 => "ecdsa-p256",
        }
    }

    /// Bytes of a public key.
    pub const fn key_bytes(self) -> usize {
        match self {
            Self::Ed25519 => 32,
            Self::EcdsaP256 => 65,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::str::FromStr for Scheme {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Ed25519, Self::EcdsaP256].into_iter().find(|scheme| scheme.text() == text).ok_or(KeyError::Scheme)
    }
}

impl Encode for Scheme {
    fn encode<E: bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.byte().encode(encoder)
    }
}

impl<C> Decode<C> for Scheme {
    fn decode<D: bincode::de::Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::from_byte(u8::decode(decoder)?).ok_or(DecodeError::Other("unknown signature scheme"))
    }
}

bincode::impl_borrow_decode!(Scheme);
text_form!(Scheme);

/// A public key in its one form: 32 bytes for Ed25519, the uncompressed SEC1 point (0x04, x, y: 65 bytes) for
/// P-256, which is what `ring` takes without a square root for each signature.
///
/// Binary: the scheme byte, then the key. Text: `ed25519:<hex>` or `ecdsa-p256:<hex>`.
/// Only the form is checked on construction; a key that is no point verifies nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(KeyBytes);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum KeyBytes {
    Ed25519([u8; 32]),
    EcdsaP256([u8; 65]),
}

/// Why bytes or a text are not a public key.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// Not a known scheme.
    #[error("a scheme is one of ed25519, ecdsa-p256")]
    Scheme,
    /// Another number of bytes than the scheme has.
    #[error("{bytes} bytes, a key of {scheme} has {}", scheme.key_bytes())]
    Length {
        /// The scheme.
        scheme: Scheme,
        /// Bytes that came.
        bytes: usize,
    },
    /// A P-256 key that does not start with 0x04: compressed keys would give one key two addresses.
    #[error("a P-256 key is an uncompressed SEC1 point, 0x04 and 64 bytes")]
    Uncompressed,
    /// The bytes are not a point of the curve.
    #[error("not a point of the curve")]
    NotOnCurve,
    /// The text is not `<scheme>:<lower-case hex>`.
    #[error("a key reads <scheme>:<lower-case hex digits>")]
    Text,
}

/// Why a key may not be registered, although signatures under it have a well-defined verdict.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum WeakKeyError {
    /// The bytes are not a point of the curve: nothing could ever be signed.
    #[error("not a point of the curve")]
    NotOnCurve,
    /// The same point has another, canonical encoding, and so another address.
    #[error("not the canonical encoding of its point")]
    NonCanonical,
    /// A point of small order: anybody can sign for it.
    #[error("a point of small order")]
    SmallOrder,
    /// A point with a component of small order: eight keys would share one secret.
    #[error("a point outside the prime-order group")]
    Torsion,
}

impl PublicKey {
    /// A key from the bytes of its one form.
    pub fn new(scheme: Scheme, bytes: &[u8]) -> Result<Self, KeyError> {
        let length = || KeyError::Length { scheme, bytes: bytes.len() };
        match scheme {
            Scheme::Ed25519 => Ok(Self::ed25519(bytes.try_into().map_err(|_| length())?)),
            Scheme::EcdsaP256 => {
                let key: [u8; 65] = bytes.try_into().map_err(|_| length())?;
                if key[0] == 4 { Ok(Self(KeyBytes::EcdsaP256(key))) } else { Err(KeyError::Uncompressed) }
            }
        }
    }

    /// An Ed25519 key.
    pub const fn ed25519(bytes: [u8; 32]) -> Self {
        Self(KeyBytes::Ed25519(bytes))
    }

    /// A P-256 key from any SEC1 form (33 bytes compressed, 65 uncompressed), as certificates and tokens write
    /// them, turned into ours. For edges where keys come in, never for ledger data.
    pub fn p256_from_sec1(bytes: &[u8]) -> Result<Self, KeyError> {
        use p256::elliptic_curve::sec1::ToSec1Point;
        let key = p256::PublicKey::from_sec1_bytes(bytes).map_err(|_| KeyError::NotOnCurve)?;
        Self::new(Scheme::EcdsaP256, key.to_sec1_point(false).as_bytes())
    }

    /// The scheme.
    pub const fn scheme(&self) -> Scheme {
        match self.0 {
            KeyBytes::Ed25519(_) => Scheme::Ed25519,
            KeyBytes::EcdsaP256(_) => Scheme::EcdsaP256,
        }
    }

    /// The key without its scheme byte.
    pub const fn bytes(&self) -> &[u8] {
        match &self.0 {
            KeyBytes::Ed25519(bytes) => bytes,
            KeyBytes::EcdsaP256(bytes) => bytes,
        }
    }

    /// The address of the account that this key alone controls.
    pub fn address(&self) -> Address {
        Address::from_hash(Hash::tagged(Tag::Address, &[&[self.scheme().byte()], self.bytes()]))
    }

    /// Refuses keys that are valid in a signature but must not be registered: bytes that are no point, a second
    /// encoding of a point, points of small order, points with a small-order component.
    pub fn check_registrable(&self) -> Result<(), WeakKeyError> {
        match &self.0 {
            KeyBytes::Ed25519(bytes) => {
                let encoded = CompressedEdwardsY(*bytes);
                let point = encoded.decompress().ok_or(WeakKeyError::NotOnCurve)?;
                if point.compress() != encoded {
                    Err(WeakKeyError::NonCanonical)
                } else if point.is_small_order() {
                    Err(WeakKeyError::SmallOrder)
                } else if !point.is_torsion_free() {
                    Err(WeakKeyError::Torsion)
                } else {
                    Ok(())
                }
            }
            // SEC1 §2.3.4: coordinates are below p and on the curve; the group has no points of small order.
            KeyBytes::EcdsaP256(bytes) => {
                p256::PublicKey::from_sec1_bytes(bytes).map(drop).map_err(|_| WeakKeyError::NotOnCurve)
            }
        }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme(), hex::encode(self.bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, digits) = text.split_once(':').ok_or(KeyError::Text)?;
        match scheme.parse()? {
            Scheme::Ed25519 => parse_hex(digits).map(Self::ed25519).map_err(|_| KeyError::Text),
            Scheme::EcdsaP256 => {
                let bytes: [u8; 65] = parse_hex(digits).map_err(|_| KeyError::Text)?;
                Self::new(Scheme::EcdsaP256, &bytes)
            }
        }
    }
}

impl Encode for PublicKey {
    fn encode<E: bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.scheme().encode(encoder)?;
        match &self.0 {
            KeyBytes::Ed25519(bytes) => bytes.encode(encoder),
            KeyBytes::EcdsaP256(bytes) => bytes.encode(encoder),
        }
    }
}

impl<C> Decode<C> for PublicKey {
    fn decode<D: bincode::de::Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        match Scheme::decode(decoder)? {
            Scheme::Ed25519 => <[u8; 32]>::decode(decoder).map(Self::ed25519),
            Scheme::EcdsaP256 => Self::new(Scheme::EcdsaP256, &<[u8; 65]>::decode(decoder)?)
                .map_err(|_| DecodeError::Other("a P-256 key starts with 0x04")),
        }
    }
}

bincode::impl_borrow_decode!(PublicKey);
text_form!(PublicKey);
