//! The tree over a channel's state: its root in a header binds every key and value, so that a value, and also that a key is
//! absent, can be proven against the header alone. The form is `docs/formats/state-tree.md`.
//!
//! A key stands at its [`Path`]. A set of keys hashes to [`EMPTY`] if there are none, to the leaf if there is one, and else
//! to the node over its two parts: those whose path has a 0 in the first bit that not all of them share, and those with
//! a 1. The node names that bit. So the root depends on the entries alone, neither on the order in which they came nor on
//! how pages are cut, and a key's way is as long as it has neighbours.
//!
//! Keys whose first four bits are the same, which are those of one class, are a part with a root of its own. A header
//! has a root over the roots of the parts, each blinded ([`crate::formats::blinding`]), so that who may read one part
//! sees nothing of others that could be guessed.
//!
//! A [`StateTree`] is a value: [`StateTree::update`] gives another one, so each block that is under way has its own, and one
//! that is dropped leaves nothing. How they share nodes `version.rs` says. Parts that are in pages on the disk are read when
//! a way leads there ([`Pages`]) and held against the hash above them; [`StateTree::save`] gives what is not there yet.
//! Verification takes what a stranger sent: it is strict, one proof has one form, and no input panics.
//! Never here: where pages are kept, what a key means.

mod bucket;
mod nodes;
mod on_disk;
mod page;
mod parts;
mod proof;
#[cfg(test)]
mod tests;
mod version;

pub use nodes::Change;
pub use page::{NoPages, Pages, Place};
pub use parts::{PROOF_BYTES_MAX, Proof};
pub use proof::ProofError;
pub use version::StateTree;

use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::{Hash, Tag};

/// Hash of a set without keys.
pub const EMPTY: Hash = Hash::ZERO;

/// Bits of a path.
const PATH_BITS: u16 = 256;

/// First bits of a key that are its part.
const PART_BITS: u16 = 4;

/// First byte of what a leaf hashes; RFC 9162 has 0 and 1.
const LEAF: u8 = 2;
/// First byte of what a node hashes.
const NODE: u8 = 3;

/// Where a key stands: its bits, from the highest of the first byte, are the way from the root, 1 to the right.
///
/// The first byte is the key's own, its family: so what a proof shows beside its way is of the same class, and of the same
/// family but for the hashes over whole families. The others are hashed, so that nobody who chooses keys makes ways long.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Path([u8; 32]);

impl std::fmt::Debug for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", Hash(self.0))
    }
}

impl Path {
    /// The path of a key.
    pub fn of(key: &[u8]) -> Self {
        let mut path = Hash::tagged(Tag::StateKey, &[key]).0;
        path[0] = key.first().copied().unwrap_or_default();
        Self(path)
    }

    fn bit(&self, depth: u16) -> bool {
        self.0[usize::from(depth / 8)] >> (7 - depth % 8) & 1 == 1
    }

    /// The first bit in which two paths differ; all bits if they are the same.
    fn common_bits(&self, other: &Self) -> u16 {
        let differing = self.0.iter().zip(&other.0).position(|(a, b)| a != b);
        differing.map_or(PATH_BITS, |at| {
            let bits = (self.0[at] ^ other.0[at]).leading_zeros();
            u16::try_from(at).expect("32 bytes") * 8 + u16::try_from(bits).expect("8 bits")
        })
    }
}

/// Hash of a value, as its leaf holds it.
fn value_hash(value: &[u8]) -> Hash {
    Hash::plain(&[value])
}

/// Hash of a key's leaf.
fn leaf_hash(path: &Path, value: &Hash) -> Hash {
    let mut bytes = [LEAF; 65];
    bytes[1..33].copy_from_slice(&path.0);
    bytes[33..].copy_from_slice(&value.0);
    Hash::of_node(&bytes)
}

/// Hash of the node over two parts that differ first in bit `depth`.
fn node_hash(depth: u16, left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [NODE; 66];
    bytes[1] = u8::try_from(depth).expect("different paths differ in one of 256 bits");
    bytes[2..34].copy_from_slice(&left.0);
    bytes[34..].copy_from_slice(&right.0);
    Hash::of_node(&bytes)
}

/// Hash over both parts of a set, one of which may have no keys.
fn joined(depth: u16, left: Hash, right: Hash) -> Hash {
    match (left, right) {
        (EMPTY, one) | (one, EMPTY) => one,
        (left, right) => node_hash(depth, &left, &right),
    }
}
