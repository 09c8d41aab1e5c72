//! Addresses: 20 bytes of a tagged hash, `0x` and 40 lower-case hex digits as text.

use crate::codec::{Decode, Encode};
use crate::hash::{Hash, parse_hex};
use std::fmt;

/// Names an account: of a key, of several keys, or of a contract instance.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Address(pub [u8; 20]);

/// The text is not an address.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("an address reads 0x and 40 lower-case hex digits")]
pub struct ParseAddressError;

impl Address {
    /// All zero: nobody's.
    pub const ZERO: Self = Self([0; 20]);

    /// The first 20 bytes of a hash under one of the address tags of [`crate::hash::Tag`].
    pub fn from_hash(hash: Hash) -> Self {
        let mut bytes = [0; 20];
        bytes.copy_from_slice(&hash.0[..20]);
        Self(bytes)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("0x").ok_or(ParseAddressError)?;
        parse_hex(digits).map(Self).map_err(|_| ParseAddressError)
    }
}

text_form!(Address);
