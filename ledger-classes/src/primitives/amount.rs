//! Amounts of fungible assets: u128 in base units, a decimal string in JSON. Sums are checked, nothing wraps.

use crate::limits::DECIMALS_MAX;
use crate::primitives::codec::{Decode, Encode};
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

impl Amount {
    /// The amount as people write it, of an asset with this many decimals: `199983` of 2 decimals reads `1999.83`.
    /// All decimals are written, so that a column of them is aligned and nothing looks rounded.
    pub fn to_decimal(self, decimals: u8) -> String {
        let decimals = usize::from(decimals);
        if decimals == 0 {
            return self.to_string();
        }
        let digits = format!("{:0>width$}", self.0, width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        format!("{whole}.{fraction}")
    }
}

/// A number as people write amounts, `1.50`, before it is known how many decimals its asset has. Exact: digits and the
/// place of the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    digits: u128,
    scale: u8,
}

/// The text is not an amount with a point.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "an amount reads like 1999.83: a point, no separators of thousands, no leading zeros, and below 2^128 base units"
)]
pub struct ParseDecimalError;

/// Why a number is no amount of an asset.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecimalError {
    /// More digits after the point than the asset has: rounding is nobody's to do.
    #[error("{scale} digits after the point, and the asset has {decimals}")]
    TooPrecise {
        /// Digits after the point.
        scale: u8,
        /// The asset's decimals.
        decimals: u8,
    },
    /// 2^128 base units or more.
    #[error("more than 2^128 - 1 base units")]
    TooLarge,
}

impl Decimal {
    /// Base units of an asset with this many decimals.
    pub fn to_amount(self, decimals: u8) -> Result<Amount, DecimalError> {
        let Self { digits, scale } = self;
        let missing = decimals.checked_sub(scale).ok_or(DecimalError::TooPrecise { scale, decimals })?;
        let units = 10_u128.checked_pow(missing.into()).and_then(|factor| digits.checked_mul(factor));
        units.map(Amount).ok_or(DecimalError::TooLarge)
    }

    /// Whether this is nothing.
    pub const fn is_zero(self) -> bool {
        self.digits == 0
    }
}

impl std::str::FromStr for Decimal {
    type Err = ParseDecimalError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (whole, fraction) = match text.split_once('.') {
            None => (text, ""),
            Some((_, "")) => return Err(ParseDecimalError),
            Some(parts) => parts,
        };
        let Amount(whole) = whole.parse().map_err(|_| ParseDecimalError)?;
        let scale =
            u8::try_from(fraction.len()).ok().filter(|scale| *scale <= DECIMALS_MAX).ok_or(ParseDecimalError)?;
        if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseDecimalError);
        }
        let fraction: u128 = if scale == 0 { 0 } else { fraction.parse().map_err(|_| ParseDecimalError)? };
        let digits = 10_u128.checked_pow(scale.into()).and_then(|factor| whole.checked_mul(factor));
        let digits = digits.and_then(|digits| digits.checked_add(fraction)).ok_or(ParseDecimalError)?;
        Ok(Self { digits, scale })
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn units(text: &str, decimals: u8) -> Result<u128, String> {
        let decimal: Decimal = text.parse().map_err(|error: ParseDecimalError| error.to_string())?;
        decimal.to_amount(decimals).map(|amount| amount.0).map_err(|error| error.to_string())
    }

    #[test]
    fn people_write_amounts_with_a_point() {
        for (text, decimals, expected) in [
            ("1.50", 2, 150),
            ("1.5", 2, 150),
            ("1999.83", 2, 199_983),
            ("7", 0, 7),
            ("7", 2, 700),
            ("0.05", 2, 5),
            ("0", 38, 0),
            ("0.00000000000000000000000000000000000001", 38, 1),
            ("3.40282366920938463463374607431768211455", 38, u128::MAX),
            ("340282366920938463463374607431768211455", 0, u128::MAX),
        ] {
            assert_eq!(units(text, decimals), Ok(expected), "{text} of {decimals} decimals");
        }
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "01",
            "00.5",
            "1,50",
            "1,000",
            "1_000",
            "1 000",
            "1e3",
            "0x1",
            "1.5.0",
            "1.-5",
            "1.\u{661}",
            "340282366920938463463374607431768211456",
            "1.000000000000000000000000000000000000000",
        ] {
            assert_eq!(text.parse::<Decimal>(), Err(ParseDecimalError), "{text}");
        }
        assert_eq!(units("1.500", 2), Err("3 digits after the point, and the asset has 2".into()));
        assert_eq!(units("1.0", 0), Err("1 digits after the point, and the asset has 0".into()));
        assert_eq!(units("4", 38), Err("more than 2^128 - 1 base units".into()));
    }

    #[test]
    fn an_amount_is_shown_with_all_its_decimals() {
        for (amount, decimals, expected) in [
            (199_983, 2, "1999.83"),
            (5, 2, "0.05"),
            (0, 2, "0.00"),
            (500, 2, "5.00"),
            (7, 0, "7"),
            (1, 38, "0.00000000000000000000000000000000000001"),
            (u128::MAX, 38, "3.40282366920938463463374607431768211455"),
        ] {
            assert_eq!(Amount(amount).to_decimal(decimals), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_to_the_unit(amount: u128, decimals in 0..=DECIMALS_MAX) {
            prop_assert_eq!(units(&Amount(amount).to_decimal(decimals), decimals), Ok(amount));
        }
    }
}
