//! Addresses: 20 bytes of a tagged hash. As text `0x` and 40 hex digits whose case is the checksum of EIP-55, so that
//! a mistyped digit pays nobody.

use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::{Hash, read_hex};
use sha3::{Digest as _, Keccak256};
use std::fmt;

/// Names an account: of a key, of several keys, or of a contract instance.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Address(pub [u8; 20]);

/// The text is not an address.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseAddressError {
    /// Not `0x` and 40 hex digits.
    #[error("an address reads 0x and 40 hex digits")]
    Form,
    /// Capital letters that are not those of EIP-55. The right ones are not told: they would vouch for a typing error.
    #[error("the address is mistyped: its capital letters, a checksum (EIP-55), do not fit its digits")]
    Checksum,
}

impl Address {
    /// All zero: nobody's.
    pub const ZERO: Self = Self([0; 20]);

    /// The first 20 bytes of a hash under one of the address tags of [`crate::primitives::hash::Tag`].
    pub fn from_hash(hash: Hash) -> Self {
        let mut bytes = [0; 20];
        bytes.copy_from_slice(&hash.0[..20]);
        Self(bytes)
    }

    /// The 40 digits. EIP-55: a letter is upper case where the digit at its place in the Keccak-256 hash of the
    /// lower-case digits is 8 or more.
    fn digits(&self) -> [u8; 40] {
        let mut digits = [0; 40];
        hex::encode_to_slice(self.0, &mut digits).expect("40 digits hold 20 bytes");
        let hash = Keccak256::digest(digits);
        for (place, digit) in digits.iter_mut().enumerate() {
            let byte = hash[place / 2];
            let nibble = if place % 2 == 0 { byte >> 4 } else { byte & 0x0f };
            if nibble >= 8 {
                digit.make_ascii_uppercase();
            }
        }
        digits
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.digits();
        f.write_str("0x")?;
        f.write_str(std::str::from_utf8(&digits).expect("hex digits are ASCII"))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Address {
    type Err = ParseAddressError;

    /// Takes digits in lower case, which carry no checksum, and digits in the case of EIP-55. All others are refused,
    /// all upper case too where it is not by chance the EIP-55 form: it carries no checksum either, and one form
    /// without is enough.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("0x").ok_or(ParseAddressError::Form)?;
        let mut bytes = [0; 20];
        if !read_hex(digits, &mut bytes) {
            return Err(ParseAddressError::Form);
        }
        let address = Self(bytes);
        let has_case = digits.bytes().any(|digit| digit.is_ascii_uppercase());
        if has_case && address.digits() != digits.as_bytes() { Err(ParseAddressError::Checksum) } else { Ok(address) }
    }
}

text_form!(Address);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The test cases of EIP-55.
    const EIP_55: [&str; 8] = [
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
        "0xde709f2102306220921060314715629080e2fb77",
        "0x27b1fdb04752bbc536007a920d24acb045561c26",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ];

    #[test]
    fn the_published_addresses_come_back_in_their_case() {
        for text in EIP_55 {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(text.to_lowercase().parse(), Ok(address), "lower case is taken");
            assert_eq!(serde_json::to_string(&address).unwrap(), format!("\"{text}\""));
        }
    }

    #[test]
    fn a_wrong_digit_or_a_wrong_case_is_refused() {
        for text in &EIP_55[4..] {
            for place in 2..text.len() {
                let digit = text.as_bytes()[place];
                let with = |digit: u8| {
                    let mut text = text.as_bytes().to_vec();
                    text[place] = digit;
                    String::from_utf8(text).unwrap().parse::<Address>()
                };
                if digit.is_ascii_alphabetic() {
                    assert_eq!(with(digit ^ 0x20), Err(ParseAddressError::Checksum), "{text} at {place}");
                }
                // Another digit changes the hash and so every letter's case: one in 2^15 or so would pass.
                let other = if digit == b'7' { b'8' } else { b'7' };
                assert_eq!(with(other), Err(ParseAddressError::Checksum), "{text} at {place}");
            }
            let upper = format!("0x{}", text[2..].to_uppercase());
            assert_eq!(upper.parse::<Address>(), Err(ParseAddressError::Checksum), "{upper}");
        }
    }

    #[test]
    fn other_texts_are_no_addresses() {
        let good = EIP_55[4];
        for text in [
            "",
            "0x",
            &good[2..],
            &good[..41],
            &format!("{good}0"),
            &good.replacen("0x", "0X", 1),
            &good.replacen('a', "g", 1),
            &format!(" {good}"),
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAé",
        ] {
            assert_eq!(text.parse::<Address>(), Err(ParseAddressError::Form), "{text}");
        }
    }
}
