//! What hides the hashes that stand beside somebody's own in evidence: a value before what is hashed, one for each of them,
//! which only those are given who may read it.
//!
//! All of a block's come from a seed that its proposer draws. The seed is in the block's body and in no header: who has the
//! whole block derives them, and executing it gives the roots of its header only with that seed. Who has one of them, or as
//! many as he likes, knows nothing of the seed and of the others.
//!
//! Relations that always hold: no two things of a chain have the same blinding, also where two blocks have the same seed;
//! what a seed is changes hashes and nothing that a transaction does.

use crate::merkle;
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::{FirstBlock, Hash, Tag};
use std::fmt;

/// What a block's proposer draws from the system's randomness.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct BlindingSeed([u8; 32]);

impl BlindingSeed {
    /// That of genesis blocks, which anybody may read who may read anything.
    pub const GENESIS: Self = Self([0; 32]);

    /// A seed that was drawn so that nobody can guess it.
    pub const fn new(drawn: [u8; 32]) -> Self {
        Self(drawn)
    }

    /// Whether it is as if nobody had drawn one.
    pub(crate) fn is_missing(&self) -> bool {
        *self == Self::GENESIS
    }
}

/// It is a secret of those who may read the whole block.
impl fmt::Debug for BlindingSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlindingSeed")
    }
}

/// What is blinded in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blinded {
    /// The head of a receipt.
    Receipt {
        /// Its position in the block.
        index: u32,
    },
    /// An event.
    Event {
        /// The position of its receipt in the block.
        receipt: u32,
        /// Its own in the receipt.
        index: u32,
    },
    /// What the block wrote.
    Writes,
    /// The root of a part of the state that the block leaves.
    StatePart {
        /// The first four bits of its keys.
        part: u8,
    },
    /// Why a transaction failed.
    Detail {
        /// The position of its receipt in the block.
        receipt: u32,
    },
}

impl Blinded {
    /// Its kind and two numbers, as they are hashed.
    fn bytes(self) -> [u8; 9] {
        let (kind, first, second) = match self {
            Self::Receipt { index } => (0, index, 0),
            Self::Event { receipt, index } => (1, receipt, index),
            Self::Writes => (2, 0, 0),
            Self::StatePart { part } => (3, part.into(), 0),
            Self::Detail { receipt } => (4, receipt, 0),
        };
        let mut bytes = [kind; 9];
        bytes[1..5].copy_from_slice(&first.to_le_bytes());
        bytes[5..].copy_from_slice(&second.to_le_bytes());
        bytes
    }
}

/// The blindings of one block.
#[derive(Clone)]
pub struct Blinder(FirstBlock);

/// Zeros behind the key of a block: tag, key and these are what SHA-256 takes in at once. So it is taken in once for a block,
/// and each of its blindings costs half of what it would.
const FILL: [u8; 12] = [0; 12];

impl Blinder {
    /// Those of the block with this seed above the block whose header's hash is `previous`.
    pub fn new(seed: &BlindingSeed, previous: &Hash) -> Self {
        let key = Hash::tagged(Tag::Blindings, &[&seed.0, &previous.0]);
        Self(FirstBlock::new(Tag::Blinding, &[&key.0, &FILL]))
    }

    /// That of one thing.
    pub fn of(&self, what: Blinded) -> Hash {
        self.0.with(&what.bytes())
    }

    /// The hash of the bytes of one thing, with its blinding.
    pub fn leaf(&self, what: Blinded, bytes: &[u8]) -> Hash {
        merkle::blinded_leaf_hash(&self.of(what), bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_things_have_the_same_blinding() {
        let seed = BlindingSeed::new([7; 32]);
        let numbers = [0, 1, 2, 255, 256, u32::MAX];
        let pairs = numbers.iter().flat_map(|one| numbers.iter().map(move |other| (*one, *other)));
        let mut all: Vec<Blinded> = pairs.map(|(receipt, index)| Blinded::Event { receipt, index }).collect();
        all.extend(numbers.map(|index| Blinded::Receipt { index }));
        all.extend(numbers.map(|receipt| Blinded::Detail { receipt }));
        all.push(Blinded::Writes);
        all.extend((0..16).map(|part| Blinded::StatePart { part }));
        let mut seen = BTreeSet::new();
        // The same seed in another block, and another seed.
        for (seed, previous) in [(seed, [1; 32]), (seed, [2; 32]), (BlindingSeed::new([8; 32]), [1; 32])] {
            let blinder = Blinder::new(&seed, &Hash(previous));
            seen.extend(all.iter().map(|what| blinder.of(*what)));
        }
        assert_eq!(seen.len(), 3 * all.len());
    }

    /// Others make the same by the document alone (`docs/formats/block.md`).
    #[test]
    fn blindings_are_as_documented() {
        let blinder = Blinder::new(&BlindingSeed::new([7; 32]), &Hash([9; 32]));
        let key = Hash::plain(&[b"chancery/blindings/1\0", &[7; 32], &[9; 32]]);
        let begin = [b"chancery/blinding/1\0", &key.0[..], &[0; 12]].concat();
        assert_eq!(begin.len(), 64, "what SHA-256 takes in at once");
        let event = Hash::plain(&[&begin, &[1, 2, 0, 0, 0, 3, 0, 0, 0]]);
        assert_eq!(blinder.of(Blinded::Event { receipt: 2, index: 3 }), event);
        assert_eq!(blinder.leaf(Blinded::Event { receipt: 2, index: 3 }, b"x"), Hash::plain(&[&[0], &event.0, b"x"]));
    }

    #[test]
    fn a_seed_is_not_shown() {
        assert_eq!(format!("{:?}", BlindingSeed::new([7; 32])), "BlindingSeed");
    }
}
