//! Pages: how the tree is cut for the disk. What pages are cut like is no matter of hashes.
//!
//! Every place of the tree is a prefix of paths. At a place with few keys stands a bucket; at one with more, whose prefix is
//! of a multiple of [`STRIDE`] bits, a directory of the buckets and directories next below it. Both are a page each.

use super::bucket::Entry;
use super::{PATH_BITS, Path};
use crate::primitives::codec;
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::Hash;
use crate::state::view::ReadError;

/// Most keys of a bucket: one with more is parted.
pub(super) const BUCKET_KEYS: usize = 32;
/// Bits between the places of directories.
pub(super) const STRIDE: u16 = 6;

/// Where pages are kept.
pub trait Pages {
    /// The page there.
    fn page(&self, place: &Place) -> Result<Option<Vec<u8>>, ReadError>;
}

/// Where there are none: all of a tree is in memory.
#[derive(Clone, Copy, Debug)]
pub struct NoPages;

impl Pages for NoPages {
    fn page(&self, _: &Place) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(None)
    }
}

/// A place of the tree: the first bits of the paths below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Bits behind the prefix are zero.
    prefix: [u8; 32],
    bits: u16,
}

impl Place {
    /// Bytes of a place's key.
    pub const KEY_BYTES: usize = 34;

    /// Where the whole tree stands.
    pub(super) const ROOT: Self = Self { prefix: [0; 32], bits: 0 };

    pub(super) const fn bits(&self) -> u16 {
        self.bits
    }

    /// The part of the state in which it is, if its prefix is long enough.
    pub(super) const fn part(&self) -> u8 {
        Path(self.prefix).part()
    }

    /// The places of its two parts.
    pub(super) fn parts(&self) -> (Self, Self) {
        let (left, mut right) = (Self { bits: self.bits + 1, ..*self }, Self { bits: self.bits + 1, ..*self });
        right.prefix[usize::from(self.bits / 8)] |= 0x80 >> (self.bits % 8);
        (left, right)
    }

    /// Whether a path leads through here.
    pub(super) fn covers(&self, path: &Path) -> bool {
        Path(self.prefix).common_bits(path) >= self.bits
    }

    /// Its key in an ordered table.
    pub fn key(&self) -> [u8; Self::KEY_BYTES] {
        Self::key_of(&self.prefix, self.bits)
    }

    /// The keys of all places below it, the first and the last.
    pub fn below(&self) -> ([u8; Self::KEY_BYTES], [u8; Self::KEY_BYTES]) {
        let mut last = self.prefix;
        (self.bits..PATH_BITS).for_each(|bit| last[usize::from(bit / 8)] |= 0x80 >> (bit % 8));
        (Self::key_of(&self.prefix, self.bits + 1), Self::key_of(&last, u16::MAX))
    }

    fn key_of(prefix: &[u8; 32], bits: u16) -> [u8; Self::KEY_BYTES] {
        let mut key = [0; Self::KEY_BYTES];
        key[..32].copy_from_slice(prefix);
        key[32..].copy_from_slice(&bits.to_be_bytes());
        key
    }
}

/// What stands next below a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct Below {
    /// Bits from the directory's place to its own, the last one lowest, and how many they are.
    pub(super) way: u8,
    pub(super) bits: u8,
    pub(super) hash: Hash,
    pub(super) keys: u64,
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) enum Page {
    Bucket(Vec<Entry>),
    Directory(Vec<Below>),
}

/// Most bytes of a page.
const PAGE_BYTES_MAX: usize = 64 + BUCKET_KEYS * 64 + (1 << STRIDE) * 42;

impl Page {
    pub(super) fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, ReadError> {
        codec::decode(bytes, PAGE_BYTES_MAX).map_err(|error| ReadError(format!("a page of the state tree: {error}")))
    }
}
