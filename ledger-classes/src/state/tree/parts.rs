//! The parts of a state: keys whose first four bits are the same, which are those of one class. Each part has a root of
//! its own, and a header's state root is over all of them, each blinded: who may read one part sees nothing of the
//! others that could be guessed, however small they are.

use super::proof::{ProofError, WAY_BYTES_MAX, Way};
use super::{EMPTY, PART_BITS, Pages, Path, StateTree};
use crate::formats::blinding::{Blinded, Blinder};
use crate::merkle;
use crate::primitives::hash::Hash;
use crate::state::view::ReadError;

/// Parts of a state.
const PARTS: usize = 1 << PART_BITS;
/// Bytes before a way in a proof: blinding, and the hashes beside the part.
const HEAD_BYTES: usize = 32 * (1 + PART_BITS as usize);

/// Most bytes of an encoded proof.
pub const PROOF_BYTES_MAX: usize = HEAD_BYTES + WAY_BYTES_MAX;

impl Path {
    /// The part of the state where it stands.
    pub(super) const fn part(&self) -> u8 {
        self.0[0] >> (8 - PART_BITS)
    }
}

/// A proof against a header's state root: that a key has a value, or that it is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Of the root of the key's part.
    blinding: Hash,
    /// From its leaf to the state root.
    beside: [Hash; PART_BITS as usize],
    /// From the root of the part to the key.
    way: Way,
}

impl Proof {
    /// Whether under `root` the key has this value; `None`: that it is absent.
    pub fn verify(&self, root: &Hash, key: &[u8], value: Option<&[u8]>) -> Result<(), ProofError> {
        let path = Path::of(key);
        if self.way.leaves_part(path) {
            return Err(ProofError::Root);
        }
        let part = merkle::blinded_leaf_hash(&self.blinding, &self.way.root(path, value)?.0);
        let leads = merkle::verify_inclusion(root, PARTS as u64, path.part().into(), &part, &self.beside);
        if leads { Ok(()) } else { Err(ProofError::Root) }
    }

    /// Its only encoded form: the blinding of the part's root; the four hashes beside it, from the leaf on; and the way in
    /// the part: the number of steps (u16, little-endian); each step's bit (one byte) and hash; then 0, or 1 with path and
    /// value's hash of the other key.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.blinding.0.to_vec();
        self.beside.iter().for_each(|hash| bytes.extend_from_slice(&hash.0));
        self.way.encode_into(&mut bytes);
        bytes
    }

    /// Decodes a proof. Whatever is not the form that [`Self::encode`] gives is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, ProofError> {
        Self::decoded(bytes).ok_or(ProofError::Malformed)
    }

    fn decoded(bytes: &[u8]) -> Option<Self> {
        let (head, way) = bytes.split_at_checked(HEAD_BYTES)?;
        let mut hashes = head.as_chunks().0.iter().map(|hash| Hash(*hash));
        let (blinding, mut beside) = (hashes.next()?, [Hash::ZERO; PART_BITS as usize]);
        beside.iter_mut().zip(hashes).for_each(|(place, hash)| *place = hash);
        Some(Self { blinding, beside, way: Way::decode(way)? })
    }
}

impl StateTree {
    /// What a header says of this state, whose block has these blindings.
    pub fn state_root(&self, pages: &dyn Pages, blinder: &Blinder) -> Result<Hash, ReadError> {
        Ok(merkle::root(&self.part_leaves(pages, blinder)?))
    }

    /// The proof of a key against [`Self::state_root`]: of its value if it has one, else that it is absent.
    pub fn prove(&self, pages: &dyn Pages, blinder: &Blinder, key: &[u8]) -> Result<Proof, ReadError> {
        let path = Path::of(key);
        let leaves = self.part_leaves(pages, blinder)?;
        let beside = merkle::inclusion_path(&leaves, path.part().into()).ok().and_then(|path| path.try_into().ok());
        let way = self.way(pages, path)?.within_part(path);
        let blinding = blinder.of(Blinded::StatePart { part: path.part() });
        Ok(Proof { blinding, beside: beside.expect("sixteen leaves"), way })
    }

    fn part_leaves(&self, pages: &dyn Pages, blinder: &Blinder) -> Result<Vec<Hash>, ReadError> {
        let mut roots = [EMPTY; PARTS];
        self.part_roots(pages, &mut roots)?;
        let leaf = |(part, root): (u8, &Hash)| blinder.leaf(Blinded::StatePart { part }, &root.0);
        Ok((0..).zip(&roots).map(leaf).collect())
    }
}
