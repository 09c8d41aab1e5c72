//! Ways to where keys stand, against the root of a set: that a key has a value there, or that it is absent.

use super::bucket::Entry;
use super::{EMPTY, PART_BITS, PATH_BITS, Path, leaf_hash, node_hash, value_hash};
use crate::primitives::hash::Hash;

/// The way to where a key stands or would stand, and what stands beside the way.
///
/// At a node, the way goes by the key's bit that the node names, and no other bit is looked at. So it ends at the key if it
/// is there; that it ends at another one shows that it is not. Roots are of trees that were made by the rules, since
/// whoever executes blocks checks them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// From the root: the bit by which the way goes, and the hash of the other part.
    steps: Vec<(u16, Hash)>,
    /// The key at the end of the way, if it is another one.
    other: Option<Entry>,
}

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProofError {
    /// The bytes are no proof, or not its only form.
    #[error("the proof is malformed")]
    Malformed,
    /// It is one of something else, or against another root.
    #[error("the proof does not lead from this key and value to this root")]
    Root,
}

/// Bytes of a step: bit, hash.
const STEP_BYTES: usize = 33;

/// Most bytes of an encoded way.
pub(super) const WAY_BYTES_MAX: usize = 2 + PATH_BITS as usize * STEP_BYTES + 1 + 64;

impl Way {
    pub(super) const fn new(steps: Vec<(u16, Hash)>, other: Option<Entry>) -> Self {
        Self { steps, other }
    }

    /// The root that it leads to from this path with this value; `None`: from its absence.
    pub(super) fn root(&self, path: Path, value: Option<&[u8]>) -> Result<Hash, ProofError> {
        let end = match (value, &self.other) {
            (Some(value), None) => leaf_hash(&path, &value_hash(value)),
            (None, Some(other)) if other.path != path => other.hash(),
            (None, None) if self.steps.is_empty() => EMPTY,
            _ => return Err(ProofError::Root),
        };
        let is_on_the_way = |depth: u16| self.other.is_none_or(|other| other.path.bit(depth) == path.bit(depth));
        if !self.steps.iter().all(|(depth, _)| is_on_the_way(*depth)) {
            return Err(ProofError::Root);
        }
        Ok(self.steps.iter().rev().fold(end, |hash, (depth, beside)| match path.bit(*depth) {
            true => node_hash(*depth, beside, &hash),
            false => node_hash(*depth, &hash, beside),
        }))
    }

    /// The same way from the root of the part of the state where the path stands: of what is beside it, nothing is of another
    /// part.
    pub(super) fn within_part(mut self, path: Path) -> Self {
        if self.other.is_some_and(|other| other.path.part() != path.part()) {
            // Nothing stands in the path's part.
            return Self::new(Vec::new(), None);
        }
        self.steps.retain(|(depth, _)| *depth >= PART_BITS);
        self
    }

    /// Whether it leaves the part of a path.
    pub(super) fn leaves_part(&self, path: Path) -> bool {
        let above = self.steps.first().is_some_and(|(depth, _)| *depth < PART_BITS);
        above || self.other.is_some_and(|other| other.path.part() != path.part())
    }

    /// Its only encoded form: the number of steps (u16, little-endian); each step's bit (one byte) and hash; then 0, or
    /// 1 with path and value's hash of the other key.
    pub(super) fn encode_into(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&u16::try_from(self.steps.len()).expect("256 steps at most").to_le_bytes());
        for (depth, beside) in &self.steps {
            bytes.push(u8::try_from(*depth).expect("a bit of a path"));
            bytes.extend_from_slice(&beside.0);
        }
        bytes.push(u8::from(self.other.is_some()));
        if let Some(other) = &self.other {
            bytes.extend_from_slice(&other.path.0);
            bytes.extend_from_slice(&other.value.0);
        }
    }

    /// Decodes a way. Whatever is not the form that [`Self::encode_into`] gives is none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (length, bytes) = bytes.split_first_chunk()?;
        let length = usize::from(u16::from_le_bytes(*length));
        let (steps, rest) = bytes.split_at_checked(length * STEP_BYTES)?;
        let step = |step: &[u8]| Some((u16::from(*step.first()?), Hash(step.get(1..)?.try_into().ok()?)));
        let steps: Vec<(u16, Hash)> = steps.chunks_exact(STEP_BYTES).map(step).collect::<Option<_>>()?;
        // Beside the way stands something, and the way looks at later and later bits.
        if !steps.is_sorted_by(|a, b| a.0 < b.0) || steps.iter().any(|(_, beside)| *beside == EMPTY) {
            return None;
        }
        let other = match rest.split_first()? {
            (0, []) => None,
            (1, other) => {
                let (path, value) = other.split_first_chunk()?;
                Some(Entry { path: Path(*path), value: Hash(value.try_into().ok()?) })
            }
            _ => return None,
        };
        Some(Self { steps, other })
    }
}
