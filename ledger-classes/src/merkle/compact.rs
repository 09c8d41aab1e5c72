//! The right edge of a growing tree: what is needed to append and to know the root, O(log n) hashes.

use super::{MerklePathError, empty_root, node_hash};
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::Hash;
use bincode::error::{DecodeError, EncodeError};

/// A complete subtree of a growing tree. It never changes again, so a store may keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Height above the leaves: the subtree has 2^level leaves.
    pub level: u8,
    /// Number of the subtree among those of its level, from the left, from 0.
    pub index: u64,
    /// Hash of the subtree.
    pub hash: Hash,
}

/// A tree that grows at its right edge, reduced to the roots of its complete subtrees.
///
/// Holds always: one peak for each bit that is set in `size`, the largest first.
/// Binary: the size, then the peaks (their number follows from the size).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactRange {
    size: u64,
    peaks: Vec<Hash>,
}

/// Leaves a stored tree may claim to have. No ledger comes near; it keeps sums of sizes from wrapping.
const SIZE_MAX: u64 = 1 << 62;

impl CompactRange {
    /// The tree without leaves.
    pub const fn new() -> Self {
        Self { size: 0, peaks: Vec::new() }
    }

    /// The tree of `size` leaves from stored complete subtrees, which `node(level, index)` looks up: those that
    /// [`Self::append`] reported. `size` may be any past size of the stored tree.
    pub fn from_nodes(size: u64, node: impl Fn(u8, u64) -> Option<Hash>) -> Result<Self, MerklePathError> {
        let levels = (0..u64::BITS as u8).rev().filter(|level| size >> level & 1 == 1);
        // The peak of a level stands right of all larger ones: its index is the size without its own bit and below.
        let peak = |level: u8| {
            let index = (size >> level) - 1;
            node(level, index).ok_or(MerklePathError::MissingNode { level, index })
        };
        Ok(Self { size, peaks: levels.map(peak).collect::<Result<_, _>>()? })
    }

    /// Number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf hash and returns the complete subtrees that this made, from the leaf (level 0) upwards:
    /// one for each leaf and one more on average. Kept by a store, they are what
    /// [`super::inclusion_path_from_nodes`] asks for.
    pub fn append(&mut self, leaf_hash: Hash) -> Vec<Node> {
        let mut node = Node { level: 0, index: self.size, hash: leaf_hash };
        let mut completed = vec![node];
        // While the node is a right child, its left sibling is the last peak.
        while node.index & 1 == 1 {
            let left = self.peaks.pop().expect("a peak for each bit of the size");
            node = Node { level: node.level + 1, index: node.index >> 1, hash: node_hash(&left, &node.hash) };
            completed.push(node);
        }
        self.peaks.push(node.hash);
        self.size += 1;
        completed
    }

    /// Root of the tree (RFC 9162 §2.1.1).
    pub fn root(&self) -> Hash {
        let right_to_left = self.peaks.iter().rev().copied();
        right_to_left.reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
    }
}

impl Encode for CompactRange {
    fn encode<E: bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.size.encode(encoder)?;
        self.peaks.iter().try_for_each(|peak| peak.encode(encoder))
    }
}

impl<C> Decode<C> for CompactRange {
    fn decode<D: bincode::de::Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let size = u64::decode(decoder)?;
        if size > SIZE_MAX {
            return Err(DecodeError::Other("a Merkle tree of more than 2^62 leaves"));
        }
        let peaks = (0..size.count_ones()).map(|_| Hash::decode(decoder)).collect::<Result<_, _>>()?;
        Ok(Self { size, peaks })
    }
}

bincode::impl_borrow_decode!(CompactRange);
