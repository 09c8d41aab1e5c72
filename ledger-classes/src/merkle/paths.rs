//! Building proofs: from all leaf hashes, or in O(log n) from stored complete subtrees.

use super::{empty_root, node_hash, root};
use crate::primitives::hash::Hash;

/// Why there is no path.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum MerklePathError {
    /// The leaf is not within the tree.
    #[error("{index} is not within a tree of {size} leaves")]
    OutOfBounds {
        /// Index of the leaf.
        index: u64,
        /// Leaves of the tree.
        size: u64,
    },
    /// The store does not hold a complete subtree that it should: it is broken.
    #[error("node {index} of level {level} is missing")]
    MissingNode {
        /// Its level.
        level: u8,
        /// Its index.
        index: u64,
    },
}

/// The path that proves leaf `index` (RFC 9162 §2.1.3.1). Hashes all leaves once.
pub fn inclusion_path(leaf_hashes: &[Hash], index: u64) -> Result<Vec<Hash>, MerklePathError> {
    inclusion_path_from_nodes(leaf_hashes.len() as u64, index, subtrees(leaf_hashes))
}

/// Complete subtrees computed from the leaves they cover.
fn subtrees(leaf_hashes: &[Hash]) -> impl Fn(u8, u64) -> Option<Hash> {
    |level, index| {
        let width = 1usize.checked_shl(level.into())?;
        let begin = usize::try_from(index).ok()?.checked_mul(width)?;
        leaf_hashes.get(begin..begin.checked_add(width)?).map(root)
    }
}

/// As [`inclusion_path`], for a tree of `size` leaves whose complete subtrees `node(level, index)` looks up
/// (those that [`super::CompactRange::append`] reported). `size` may be any past size of the stored tree: the
/// right edge of that time is computed from complete subtrees.
pub fn inclusion_path_from_nodes(
    size: u64,
    index: u64,
    node: impl Fn(u8, u64) -> Option<Hash>,
) -> Result<Vec<Hash>, MerklePathError> {
    if index >= size {
        return Err(MerklePathError::OutOfBounds { index, size });
    }
    let mut path = Vec::new();
    let (mut begin, mut end) = (0, size);
    while end - begin > 1 {
        let middle = begin + split(end - begin);
        if index < middle {
            path.push(range_hash(middle, end, &node)?);
            end = middle;
        } else {
            path.push(range_hash(begin, middle, &node)?);
            begin = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The root of a tree that has or had `size` leaves, from stored complete subtrees.
pub fn root_from_nodes(size: u64, node: impl Fn(u8, u64) -> Option<Hash>) -> Result<Hash, MerklePathError> {
    if size == 0 { Ok(empty_root()) } else { range_hash(0, size, &node) }
}

/// Leaves of the left subtree of a tree with `width` > 1 leaves: the largest power of two below `width`.
const fn split(width: u64) -> u64 {
    1 << (width - 1).ilog2()
}

/// Hash of the subtree over the leaves `begin..end`, as RFC 9162 splits a tree: `begin` is a multiple of a power
/// of two that is at least `end - begin`.
fn range_hash(begin: u64, end: u64, node: &impl Fn(u8, u64) -> Option<Hash>) -> Result<Hash, MerklePathError> {
    let width = end - begin;
    if width.is_power_of_two() {
        let level = width.trailing_zeros();
        let (level, index) = (u8::try_from(level).expect("at most 63"), begin >> level);
        return node(level, index).ok_or(MerklePathError::MissingNode { level, index });
    }
    let middle = begin + split(width);
    Ok(node_hash(&range_hash(begin, middle, node)?, &range_hash(middle, end, node)?))
}
