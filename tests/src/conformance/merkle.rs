//! `conformance merkle`: inclusion and consistency proofs of RFC 9162 through `merkle::verify_…`.

use super::answer_lines;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ledger_classes::merkle::{verify_consistency, verify_inclusion};
use ledger_classes::primitives::hash::Hash;
use serde::Deserialize;
use std::io::{self, BufRead, Write};

/// A vector as it stands in the line; hashes in base64. A proof may be null, which is an empty one.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum MerkleVector {
    /// The leaf hash is at `index` of the tree.
    Inclusion {
        /// Index of the leaf.
        index: u64,
        /// Leaves of the tree.
        size: u64,
        /// Hash of the leaf.
        leaf_hash: Option<String>,
        /// Root of the tree.
        root: Option<String>,
        /// The path, from the leaf upwards.
        proof: Option<Vec<String>>,
    },
    /// The first tree is the beginning of the second.
    Consistency {
        /// Leaves of the first tree.
        size1: u64,
        /// Leaves of the second tree.
        size2: u64,
        /// Root of the first tree.
        root1: Option<String>,
        /// Root of the second tree.
        root2: Option<String>,
        /// The path.
        proof: Option<Vec<String>>,
    },
}

/// Answers every line of `input`.
pub fn run(input: impl BufRead, output: &mut impl Write) -> io::Result<()> {
    answer_lines(input, output, |vector| Ok(judge(vector).unwrap_or(false)))
}

/// `None` is a malformed hash.
fn judge(vector: &MerkleVector) -> Option<bool> {
    match vector {
        MerkleVector::Inclusion { index, size, leaf_hash, root, proof } => {
            let (leaf_hash, root) = (hash(&bytes(leaf_hash)?)?, hash(&bytes(root)?)?);
            Some(verify_inclusion(&root, *size, *index, &leaf_hash, &path(proof)?))
        }
        MerkleVector::Consistency { size1, size2, root1, root2, proof } => {
            let (root1, root2, path) = (bytes(root1)?, bytes(root2)?, path(proof)?);
            match (hash(&root1), hash(&root2)) {
                (Some(root1), Some(root2)) => Some(verify_consistency(*size1, *size2, &root1, &root2, &path)),
                // Known vector sets put placeholders of other lengths where roots of equal sizes are only
                // compared. The ledger's own type cannot hold them.
                _ => Some(size1 == size2 && root1 == root2 && path.is_empty()),
            }
        }
    }
}

fn bytes(text: &Option<String>) -> Option<Vec<u8>> {
    STANDARD.decode(text.as_deref().unwrap_or_default()).ok()
}

fn hash(bytes: &[u8]) -> Option<Hash> {
    bytes.try_into().map(Hash).ok()
}

fn path(proof: &Option<Vec<String>>) -> Option<Vec<Hash>> {
    proof.iter().flatten().map(|text| hash(&STANDARD.decode(text).ok()?)).collect()
}
