//! SHA-256 over `tag ‖ 0x00 ‖ bytes`, one ASCII tag a use, so that no hash of one kind is ever one of another.

use crate::primitives::codec::{Decode, Encode};
use crate::primitives::pause;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256, block_api::compress256};
use std::fmt;

/// What is hashed. The tags are listed here and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// Transaction: also the first bytes of the signed message.
    Transaction,
    /// Address of a public key.
    Address,
    /// Address of a joint account.
    JointAddress,
    /// Address that a contract instance owns assets under.
    ContractAddress,
    /// Block header.
    Header,
    /// An encoded envelope, in the leaf of its transaction.
    Envelope,
    /// Who may seal the next block.
    Orderers,
    /// What ordering peers sign.
    Seal,
    /// What a verifier shard signs.
    Witness,
    /// Proof of possession of a certificate's key in `participant.admit`.
    Possession,
    /// What a CA's key signs to go on under another certificate, in `channel.renew_authority`.
    Authority,
    /// What a CA's key signs to say that others have it, in `channel.revoke_authority`.
    AuthorityCompromise,
    /// What a CA's key signs to name the CA that takes its place, in `channel.revoke_authority`.
    AuthoritySuccessor,
    /// A certificate's own key, as records of participants name it.
    CertificateKey,
    /// An admission, as the list of those of an address names it.
    Admission,
    /// The CA certificates of an organization that [`Self::Authority`] is about.
    Authorities,
    /// Outcome of a timer: the id of its receipt.
    Timer,
    /// Content stored beside the ledger.
    Content,
    /// One line of an index of administrative acts after the lines before it.
    Audit,
    /// Where a key of the state stands in its tree.
    StateKey,
    /// What the blindings of a block come from.
    Blindings,
    /// What hides one thing of a block.
    Blinding,
    /// Names a life of a peer to the other ordering peers of a channel.
    Replica,
}

impl Tag {
    /// The ASCII text.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Transaction => "chancery/tx/1",
            Self::Address => "chancery/address/1",
            Self::JointAddress => "chancery/joint-address/1",
            Self::ContractAddress => "chancery/contract-address/1",
            Self::Header => "chancery/header/1",
            Self::Envelope => "chancery/envelope/1",
            Self::Orderers => "chancery/orderers/1",
            Self::Seal => "chancery/seal/1",
            Self::Witness => "chancery/witness/1",
            Self::Possession => "chancery/possession/1",
            Self::Authority => "chancery/authority/1",
            Self::AuthorityCompromise => "chancery/authority-compromise/1",
            Self::AuthoritySuccessor => "chancery/authority-successor/1",
            Self::CertificateKey => "chancery/certificate-key/1",
            Self::Admission => "chancery/admission/1",
            Self::Authorities => "chancery/authorities/1",
            Self::Timer => "chancery/timer/1",
            Self::Content => "chancery/content/1",
            Self::Audit => "chancery/audit/1",
            Self::StateKey => "chancery/state-key/1",
            Self::Blindings => "chancery/blindings/1",
            Self::Blinding => "chancery/blinding/1",
            Self::Replica => "chancery/replica/1",
        }
    }

    /// `tag ‖ 0x00 ‖ parts…`: the bytes that are hashed, or signed where something signs under a tag.
    pub fn message(self, parts: &[&[u8]]) -> Vec<u8> {
        let mut message = Vec::with_capacity(32 + parts.iter().map(|part| part.len()).sum::<usize>());
        message.extend_from_slice(self.text().as_bytes());
        message.push(0);
        parts.iter().for_each(|part| message.extend_from_slice(part));
        message
    }
}

/// A SHA-256 value; 64 lower-case hex digits in JSON.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// All zero: "none", for example the hash before genesis.
    pub const ZERO: Self = Self([0; 32]);

    /// Hash of `parts` one after another under `tag`.
    pub fn tagged(tag: Tag, parts: &[&[u8]]) -> Self {
        match Short::of(&[tag.text().as_bytes(), &[0]], parts) {
            Some(short) => short.hash(),
            None => {
                let mut hasher = Sha256::new_with_prefix(tag.text());
                hasher.update([0]);
                parts.iter().for_each(|part| hasher.update(part));
                Self(hasher.finalize().into())
            }
        }
    }

    /// Plain SHA-256 of `parts` one after another: Merkle trees (RFC 9162), the tree over the state, and what stays on one
    /// peer.
    pub fn plain(parts: &[&[u8]]) -> Self {
        Self::begun(&[], parts)
    }

    /// [`Self::plain`] of a beginning and what follows it.
    pub(crate) fn begun(begin: &[u8], parts: &[&[u8]]) -> Self {
        if let Some(short) = Short::of(&[begin], parts) {
            return short.hash();
        }
        let mut hasher = Sha256::new_with_prefix(begin);
        parts.iter().for_each(|part| hasher.update(part));
        Self(hasher.finalize().into())
    }

    /// [`Self::plain`] of so few bytes that they are two blocks: nodes and leaves of trees.
    #[inline]
    pub(crate) fn of_node<const N: usize>(bytes: &[u8; N]) -> Self {
        const { assert!(N + LENGTH + 1 > BLOCK && N + LENGTH < 2 * BLOCK) };
        let mut blocks = [[0; BLOCK]; 2];
        let padded = blocks.as_flattened_mut();
        padded[..N].copy_from_slice(bytes);
        padded[N] = 0x80;
        padded[2 * BLOCK - LENGTH..].copy_from_slice(&(N as u64 * 8).to_be_bytes());
        let mut state = BEGIN;
        compress256(&mut state, &blocks);
        Self::of_state(state)
    }

    fn of_state(state: [u32; 8]) -> Self {
        pause::steps(1);
        let mut hash = Self::ZERO;
        for (bytes, word) in hash.0.as_chunks_mut().0.iter_mut().zip(state) {
            *bytes = word.to_be_bytes();
        }
        hash
    }

    fn with_text<T>(&self, tell: impl FnOnce(&str) -> T) -> T {
        let mut digits = [0; 64];
        hex::encode_to_slice(self.0, &mut digits).expect("64 digits hold 32 bytes");
        tell(std::str::from_utf8(&digits).expect("hex digits are ASCII"))
    }

    /// Parses exactly 64 lower-case hex digits.
    pub fn parse(text: &str) -> Result<Self, ParseHexError> {
        parse_hex(text).map(Self)
    }
}

/// Bytes of what SHA-256 takes in at once.
const BLOCK: usize = 64;
/// Behind the bytes that are hashed come a bit, and their number in these.
const LENGTH: usize = 8;
/// Where SHA-256 begins (FIPS 180-4 §5.3.3).
const BEGIN: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// What is hashed is mostly some dozens of bytes in a few parts, which are all there: they are put together with what SHA-256
/// ends with (FIPS 180-4 §5.1.1) and taken in at once. The library's buffer is for bytes that come one after the other.
struct Short {
    bytes: [[u8; BLOCK]; 4],
    length: usize,
}

impl Short {
    /// `None` if it is longer.
    fn of(begin: &[&[u8]], rest: &[&[u8]]) -> Option<Self> {
        let parts = || begin.iter().chain(rest);
        if parts().map(|part| part.len()).sum::<usize>() > 4 * BLOCK - LENGTH - 1 {
            return None;
        }
        let mut short = Self { bytes: [[0; BLOCK]; 4], length: 0 };
        let bytes = short.bytes.as_flattened_mut();
        for part in parts() {
            bytes[short.length..][..part.len()].copy_from_slice(part);
            short.length += part.len();
        }
        Some(short)
    }

    fn hash(self) -> Hash {
        self.hash_behind(BEGIN, 0)
    }

    /// Behind so many bytes, whole blocks, after which SHA-256 is in this state.
    fn hash_behind(mut self, mut state: [u32; 8], before: usize) -> Hash {
        let blocks = (self.length + LENGTH) / BLOCK + 1;
        let (bits, bytes) = ((before + self.length) as u64 * 8, self.bytes.as_flattened_mut());
        bytes[self.length] = 0x80;
        bytes[blocks * BLOCK - LENGTH..][..LENGTH].copy_from_slice(&bits.to_be_bytes());
        compress256(&mut state, &self.bytes[..blocks]);
        Hash::of_state(state)
    }
}

/// What SHA-256 has taken in at once under a tag, for many hashes that begin with the same.
#[derive(Clone)]
pub(crate) struct FirstBlock([u32; 8]);

impl FirstBlock {
    /// Takes in the tag and `parts`, which are one block.
    pub(crate) fn new(tag: Tag, parts: &[&[u8]]) -> Self {
        let short = Short::of(&[tag.text().as_bytes(), &[0]], parts).filter(|short| short.length == BLOCK);
        let mut state = BEGIN;
        compress256(&mut state, &short.expect("one block").bytes[..1]);
        Self(state)
    }

    /// The hash of those bytes and these.
    pub(crate) fn with<const N: usize>(&self, bytes: &[u8; N]) -> Hash {
        const { assert!(N < BLOCK) };
        Short::of(&[], &[bytes]).expect("less than a block").hash_behind(self.0, BLOCK)
    }
}

/// The text is not the expected number of lower-case hex digits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{digits} lower-case hex digits are expected")]
pub struct ParseHexError {
    /// Digits expected.
    pub digits: usize,
}

/// Parses exactly `2 * N` lower-case hex digits, so that each value has one text.
pub fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], ParseHexError> {
    let mut bytes = [0; N];
    let lower = text.bytes().all(|byte| !byte.is_ascii_uppercase());
    if lower && read_hex(text, &mut bytes) { Ok(bytes) } else { Err(ParseHexError { digits: 2 * N }) }
}

/// What is no hex digit.
const NO_DIGIT: u8 = 0x10;
/// What each character is as a hex digit, of either case.
const DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        let digit = b"0123456789abcdef"[value];
        digits[digit as usize] = value as u8;
        digits[digit.to_ascii_uppercase() as usize] = value as u8;
        value += 1;
    }
    digits
};

/// Reads hex digits of either case. False if they are not exactly as many as `bytes` holds, or not all are digits: what is
/// in `bytes` then is nothing.
#[must_use]
pub fn read_hex(text: &str, bytes: &mut [u8]) -> bool {
    if text.len() != 2 * bytes.len() {
        return false;
    }
    let mut all = 0;
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = [digits[0], digits[1]].map(|digit| DIGITS[usize::from(digit)]);
        all |= high | low;
        *byte = high << 4 | low & 0x0f;
    }
    all < NO_DIGIT
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.write_str(text))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl std::str::FromStr for Hash {
    type Err = ParseHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_text(|text| serializer.serialize_str(text))
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

/// Bytes that are hex in JSON and plain in the binary encoding.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct HexBytes(pub Vec<u8>);

impl fmt::Debug for HexBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl Serialize for HexBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for HexBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(D::Error::custom("lower-case hex digits are expected"));
        }
        hex::decode(text.as_ref()).map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_separate_uses() {
        // Computed with: printf 'chancery/tx/1\0abc' | sha256sum
        assert_eq!(Hash::tagged(Tag::Transaction, &[b"a", b"bc"]), Hash::plain(&[b"chancery/tx/1\0abc"]));
        assert_ne!(Hash::tagged(Tag::Transaction, &[b"abc"]), Hash::tagged(Tag::Header, &[b"abc"]));
    }

    /// Around each border of a block, and of what is put together.
    #[test]
    fn short_and_long_bytes_are_hashed_as_the_library_does() {
        let bytes: Vec<u8> = (0..400u32).map(|number| (number * 7 % 251) as u8).collect();
        for length in 0..=bytes.len() {
            let (begin, rest) = bytes[..length].split_at(length / 3);
            let expected = Hash(Sha256::digest(&bytes[..length]).into());
            assert_eq!(Hash::plain(&[begin, rest]), expected, "{length}");
            assert_eq!(Hash::begun(begin, &[rest]), expected, "{length}");
            match length {
                56 => assert_eq!(Hash::of_node::<56>(&std::array::from_fn(|at| bytes[at])), expected),
                119 => assert_eq!(Hash::of_node::<119>(&std::array::from_fn(|at| bytes[at])), expected),
                _ => {}
            }
            let tagged = [b"chancery/tx/1\0", &bytes[..length]].concat();
            assert_eq!(
                Hash::tagged(Tag::Transaction, &[begin, rest]),
                Hash(Sha256::digest(&tagged).into()),
                "{length}"
            );
        }
    }

    /// What is hex is judged in payloads, so on every peer alike: as the library does that did it first.
    #[test]
    fn hex_digits_are_those_of_the_library() {
        for pair in 0..=u16::MAX {
            let Ok(text) = String::from_utf8([pair.to_le_bytes(), *b"0f"].concat()) else { continue };
            let (mut ours, mut theirs) = ([0; 2], [0; 2]);
            assert_eq!(read_hex(&text, &mut ours), hex::decode_to_slice(&text, &mut theirs).is_ok(), "{text:?}");
            assert!(hex::decode(&text).is_err() || ours == theirs, "{text:?}");
        }
        for (text, bytes) in [("", 0), ("", 1), ("a", 1), ("abc", 1), ("abcd", 1), ("ab", 2), ("é", 1), ("ab", 1)] {
            let read = read_hex(text, &mut vec![0; bytes]);
            assert_eq!(read, hex::decode_to_slice(text, &mut vec![0; bytes]).is_ok(), "{text:?} {bytes}");
        }
    }

    #[test]
    fn only_lower_case_hex_of_full_length_parses() {
        let text = "ab".repeat(32);
        assert_eq!(Hash::parse(&text).map(|hash| hash.to_string()), Ok(text.clone()));
        assert!(Hash::parse(&text.to_uppercase()).is_err());
        assert!(Hash::parse(&text[2..]).is_err());
    }
}
