//! Amounts of fungible assets: u128 in base units, a decimal string in JSON. Sums are checked, nothing wraps.

use crate::codec::{Decode, Encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;

/// A number of base units. In JSON a string of decimal digits without sign or leading zero, so that no
/// language rounds it and each amount has one form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Amount(pub u128);

/// The text is not a plain decimal number below 2^128.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an amount is a string of decimal digits without leading zeros, below 2^128")]
pub struct ParseAmountError;

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount, 2^128 - 1.
    pub const MAX: Self = Self(u128::MAX);

    /// The sum, or `None` if it does not fit.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference, or `None` if it would be negative.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    /// Whether this is nothing.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl std::str::FromStr for Amount {
    type Err = ParseAmountError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && (text == "0" || !text.starts_with('0'));
        if plain { text.parse().map(Self).map_err(|_| ParseAmountError) } else { Err(ParseAmountError) }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// A `u64` that JavaScript could not hold exactly: a decimal string in JSON; use with `#[serde(with)]`.
pub mod u64_text {
    use super::Amount;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    /// Writes decimal digits.
    pub fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    /// Reads decimal digits without sign or leading zero.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let Amount(value) = Amount::deserialize(deserializer)?;
        u64::try_from(value).map_err(|_| D::Error::custom("a number below 2^64 is expected"))
    }
}
