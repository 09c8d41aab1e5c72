//! Merkle trees of RFC 9162 §2.1 with SHA-256: leaf prefix 0x00, node prefix 0x01, no tag, so that any
//! transparency-log tool can check our proofs.
//!
//! Hashes of leaves go in, never leaves: a caller that took an interior node for a leaf could be shown a proof of
//! something that was never there. Verification takes what a stranger sent: it is strict (exact path lengths,
//! indexes within the tree) and no input panics.

mod compact;
mod paths;
#[cfg(test)]
mod tests;

pub use compact::{CompactRange, Node};
pub use paths::{MerklePathError, inclusion_path, inclusion_path_from_nodes, root_from_nodes};

use crate::primitives::hash::Hash;

/// Hash of a leaf (RFC 9162 §2.1.1).
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Hash::plain(&[&[0], leaf])
}

/// Hash of a leaf (RFC 9162 §2.1.1) whose bytes are in several parts.
pub(crate) fn leaf_hash_of(parts: &[&[u8]]) -> Hash {
    Hash::begun(&[0], parts)
}

/// Hash of a leaf whose bytes come behind what hides them ([`crate::formats::blinding`]).
pub fn blinded_leaf_hash(blinding: &Hash, leaf: &[u8]) -> Hash {
    Hash::plain(&[&[0], &blinding.0, leaf])
}

/// Hash of an interior node (RFC 9162 §2.1.1).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(&left.0);
    bytes[33..].copy_from_slice(&right.0);
    Hash::of_node(&bytes)
}

/// Root of the tree without leaves: SHA-256 of nothing (RFC 9162 §2.1.1).
pub fn empty_root() -> Hash {
    Hash::plain(&[])
}

/// Root of the tree over these leaf hashes.
pub fn root(leaf_hashes: &[Hash]) -> Hash {
    match leaf_hashes {
        [] => empty_root(),
        [leaf] => *leaf,
        // Pairs of a level become the next; an odd last node moves up as it is, which gives RFC 9162's tree.
        leaves => {
            let mut level = pairs(leaves);
            while level.len() > 1 {
                level = pairs(&level);
            }
            level[0]
        }
    }
}

fn pairs(level: &[Hash]) -> Vec<Hash> {
    let parent = |pair: &[Hash]| match pair {
        [left, right] => node_hash(left, right),
        odd => odd[0],
    };
    level.chunks(2).map(parent).collect()
}

/// Whether `path` proves that the leaf hash is at `index` of the tree of `size` leaves with this root
/// (RFC 9162 §2.1.3.2).
///
/// A root does not tell the size of its tree: paths of the same shape verify under some other sizes too. Take
/// `size` from where the root is from, a sealed header.
#[must_use]
pub fn verify_inclusion(root: &Hash, size: u64, index: u64, leaf_hash: &Hash, path: &[Hash]) -> bool {
    if index >= size {
        return false;
    }
    // The node on the way up and the last node of its level.
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf_hash;
    for sibling in path {
        if last == 0 {
            return false; // longer than the tree is high
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            // A last node without sibling moves up until it is a right child.
            let up = if node & 1 == 1 { 0 } else { node.trailing_zeros() };
            (node, last) = (node >> up, last >> up);
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    last == 0 && hash == *root
}

/// Whether `path` proves that the tree of `size1` leaves with `root1` is the beginning of the tree of `size2`
/// leaves with `root2` (RFC 9162 §2.1.4.2).
///
/// Equal sizes need equal roots and an empty path. Nothing is proven about a growing empty tree: `size1` 0 with
/// another `size2` is refused, as the RFC demands 0 < size1.
///
/// No peer makes such paths: one header proves its whole past by inclusion. Programs that compare two headers of a channel
/// judge theirs by this (`conformance merkle`).
#[must_use]
pub fn verify_consistency(size1: u64, size2: u64, root1: &Hash, root2: &Hash, path: &[Hash]) -> bool {
    if size1 == size2 {
        return root1 == root2 && path.is_empty();
    }
    if size1 == 0 || size1 > size2 {
        return false;
    }
    // A first tree that is complete is itself the node the path starts from.
    let (seed, path) = if size1.is_power_of_two() {
        (root1, path)
    } else {
        match path.split_first() {
            Some(split) => split,
            None => return false,
        }
    };
    let up = (size1 - 1).trailing_ones();
    let (mut node, mut last) = ((size1 - 1) >> up, (size2 - 1) >> up);
    let (mut first, mut second) = (*seed, *seed);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            first = node_hash(sibling, &first);
            second = node_hash(sibling, &second);
            let up = if node & 1 == 1 { 0 } else { node.trailing_zeros() };
            (node, last) = (node >> up, last >> up);
        } else {
            second = node_hash(&second, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    last == 0 && first == *root1 && second == *root2
}

/// All levels of an RFC 9162 tree: one path for each of its leaves costs a logarithm instead of the whole tree.
#[derive(Clone, Debug)]
pub struct Levels(Vec<Vec<Hash>>);

impl Levels {
    /// Hashes all levels. `leaves` are leaf hashes.
    pub fn new(leaves: Vec<Hash>) -> Self {
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let pair = |pair: &[Hash]| match pair {
                [left, right] => node_hash(left, right),
                // The last of an odd number rises unchanged (RFC 9162 §2.1.1: the left subtree is the largest
                // complete one, so only the right edge is ever short).
                rest => rest.first().copied().unwrap_or_default(),
            };
            let above = below.chunks(2).map(pair).collect();
            levels.push(above);
        }
        Self(levels)
    }

    /// RFC 9162 §2.1.3: the path of a leaf; meaningless for one that is not there.
    pub fn path(&self, index: u32) -> Vec<Hash> {
        let mut index = index as usize;
        let mut path = Vec::new();
        for level in &self.0 {
            path.extend(level.get(index ^ 1).filter(|_| level.len() > 1));
            index /= 2;
        }
        path
    }
}
