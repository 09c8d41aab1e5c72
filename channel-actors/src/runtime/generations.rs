//! What was asked lately and what the answer was, within a bound: two generations, of which the older one is given up when
//! the younger one is full.

use ledger_classes::primitives::hash::Hash;
use std::collections::HashMap;

/// Answers by the hash of their question.
pub struct Generations<V> {
    max: usize,
    young: HashMap<Hash, V>,
    old: HashMap<Hash, V>,
}

impl<V: Clone> Generations<V> {
    /// None yet; `max` is how many a generation has, so twice as many are kept at most.
    pub fn new(max: usize) -> Self {
        Self { max, young: HashMap::new(), old: HashMap::new() }
    }

    /// The answer to a question, if it is kept.
    pub fn get(&self, asked: &Hash) -> Option<V> {
        self.young.get(asked).or_else(|| self.old.get(asked)).cloned()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Keeps an answer.
    pub fn put(&mut self, asked: Hash, answer: V) {
        if self.young.len() >= self.max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(asked, answer);
    }
}

/// What tells questions apart: their kind, and each list with its length, each part with its own.
pub fn question(kind: u16, lists: &[&[&[u8]]]) -> Hash {
    let mut lengths = kind.to_le_bytes().to_vec();
    for list in lists {
        lengths.extend((list.len() as u64).to_le_bytes());
        lengths.extend(list.iter().flat_map(|part| (part.len() as u64).to_le_bytes()));
    }
    let parts = lists.iter().flat_map(|list| list.iter().copied());
    Hash::plain(&[lengths.as_slice()].into_iter().chain(parts).collect::<Vec<&[u8]>>())
}
