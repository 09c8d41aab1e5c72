//! A few keys that stand together, with the hashes between them.

use super::{EMPTY, PATH_BITS, Path, leaf_hash, node_hash};
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::Hash;
use std::ops::Range;

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct Entry {
    pub(super) path: Path,
    /// Of its value.
    pub(super) value: Hash,
}

impl Entry {
    pub(super) fn hash(&self) -> Hash {
        leaf_hash(&self.path, &self.value)
    }
}

/// What becomes of a path: another value, or nothing.
pub(super) type Set = (Path, Option<Hash>);

/// Keys in the order of their paths.
#[derive(Clone, Debug, Default)]
pub(super) struct Bucket {
    entries: Vec<Entry>,
    /// Between an entry and the next one: the hash of the node whose parts meet there.
    nodes: Vec<Hash>,
}

/// Where the parts of a set (two entries or more, in order) meet: the bit, and the first entry of the right part.
pub(super) fn halves(entries: &[Entry]) -> (u16, usize) {
    let depth = entries[0].path.common_bits(&entries[entries.len() - 1].path);
    (depth, entries.partition_point(|entry| !entry.path.bit(depth)))
}

/// The changes with a 0 in this bit, and the others.
pub(super) fn parts(changes: &[Set], depth: u16) -> (&[Set], &[Set]) {
    changes.split_at(changes.partition_point(|(path, _)| !path.bit(depth)))
}

impl Bucket {
    /// Of entries in order.
    pub(super) fn of(entries: &[Entry]) -> Self {
        let sets: Vec<Set> = entries.iter().map(|entry| (entry.path, Some(entry.value))).collect();
        Self::default().changed(&sets)
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// A byte of each line of the processor's cache that it is in, all put together.
    pub(super) fn first_bytes(&self) -> u8 {
        let entries = self.entries.iter().fold(0, |seen, entry| seen ^ entry.value.0[0]);
        self.nodes.iter().step_by(2).fold(entries, |seen, node| seen ^ node.0[0])
    }

    /// Adds what undoes changes. If they only give keys that there are other values, tells which keys these are, as
    /// bits by their number.
    pub(super) fn undo(&self, changes: &[Set], undo: &mut Vec<Set>) -> Option<u32> {
        let mut touched = Some(0);
        for (path, value) in changes {
            let old = self.entries.binary_search_by_key(path, |entry| entry.path).ok();
            let bit = old.filter(|_| value.is_some()).map(|at| 1 << at);
            touched = touched.zip(bit).map(|(touched, bit)| touched | bit);
            undo.push((*path, old.map(|at| self.entries[at].value)));
        }
        touched
    }

    /// The keys with these numbers, as what sets them.
    pub(super) fn sets(&self, touched: u32) -> Vec<Set> {
        let entries = self.entries.iter().enumerate().filter(|(at, _)| touched >> at & 1 == 1);
        entries.map(|(_, entry)| (entry.path, Some(entry.value))).collect()
    }

    /// Gives keys that there are other values. Gives the hash of all.
    pub(super) fn set(&mut self, changes: &[Set]) -> Hash {
        self.set_in(0..self.entries.len(), changes)
    }

    /// The same for some that are a node of the tree.
    fn set_in(&mut self, range: Range<usize>, changes: &[Set]) -> Hash {
        match (changes, range.len()) {
            ([], _) => self.hash_of(range),
            ([(_, value)], 1) => {
                let entry = &mut self.entries[range.start];
                entry.value = value.expect("a value is set");
                entry.hash()
            }
            _ => {
                let (depth, middle) = halves(&self.entries[range.clone()]);
                let middle = range.start + middle;
                let (to_left, to_right) = parts(changes, depth);
                let left = self.set_in(range.start..middle, to_left);
                let right = self.set_in(middle..range.end, to_right);
                self.nodes[middle - 1] = node_hash(depth, &left, &right);
                self.nodes[middle - 1]
            }
        }
    }

    pub(super) fn hash(&self) -> Hash {
        self.hash_of(0..self.entries.len())
    }

    /// Hash of some that are a node of the tree.
    pub(super) fn hash_of(&self, range: Range<usize>) -> Hash {
        match &self.entries[range.clone()] {
            [] => EMPTY,
            [entry] => entry.hash(),
            entries => self.nodes[range.start + halves(entries).1 - 1],
        }
    }

    /// With these changes, which ascend. Only hashes above what changes are computed.
    pub(super) fn changed(&self, changes: &[Set]) -> Self {
        let room = self.entries.len() + changes.len();
        let mut made = Self { entries: Vec::with_capacity(room), nodes: Vec::with_capacity(room) };
        made.merge(self, 0..self.entries.len(), changes);
        made
    }

    /// Adds what becomes of `range` of the old ones, which is a node of its tree. Gives the hash of what was added.
    fn merge(&mut self, old: &Self, range: Range<usize>, changes: &[Set]) -> Hash {
        let ([first, ..], [last, ..]) = (changes, &changes[changes.len().saturating_sub(1)..]) else {
            return self.copy(old, range);
        };
        let entries = &old.entries[range.clone()];
        let Some(begin) = entries.first().map(|entry| entry.path) else { return self.build(changes) };
        let end = entries[entries.len() - 1].path;
        let common = begin.common_bits(&end);
        let parted = begin.common_bits(&first.0).min(begin.common_bits(&last.0));
        if parted < common {
            // Some of the changes stand beside all of the old ones.
            let (left, right) = parts(changes, parted);
            return if begin.bit(parted) {
                self.join(parted, |made| made.build(left), |made| made.merge(old, range, right))
            } else {
                self.join(parted, |made| made.merge(old, range, left), |made| made.build(right))
            };
        }
        if common == PATH_BITS {
            return self.build(changes);
        }
        let middle = range.start + entries.partition_point(|entry| !entry.path.bit(common));
        let (left, right) = parts(changes, common);
        self.join(
            common,
            |made| made.merge(old, range.start..middle, left),
            |made| made.merge(old, middle..range.end, right),
        )
    }

    /// Adds what stayed as it is.
    fn copy(&mut self, old: &Self, range: Range<usize>) -> Hash {
        let hash = old.hash_of(range.clone());
        self.entries.extend_from_slice(&old.entries[range.clone()]);
        self.nodes.extend_from_slice(&old.nodes[range.start..(range.end.max(range.start + 1) - 1)]);
        hash
    }

    /// Adds what is new.
    fn build(&mut self, changes: &[Set]) -> Hash {
        match changes {
            [] | [(_, None)] => EMPTY,
            [(path, Some(value))] => {
                let entry = Entry { path: *path, value: *value };
                self.entries.push(entry);
                entry.hash()
            }
            [first, .., last] => {
                let depth = first.0.common_bits(&last.0);
                let (left, right) = parts(changes, depth);
                self.join(depth, |made| made.build(left), |made| made.build(right))
            }
        }
    }

    /// Adds both parts of a set, and the node between them if there are both.
    fn join(
        &mut self,
        depth: u16,
        left: impl FnOnce(&mut Self) -> Hash,
        right: impl FnOnce(&mut Self) -> Hash,
    ) -> Hash {
        let left = left(self);
        if left == EMPTY {
            return right(self);
        }
        let between = self.nodes.len();
        self.nodes.push(EMPTY);
        let right = right(self);
        if right == EMPTY {
            self.nodes.pop();
            return left;
        }
        self.nodes[between] = node_hash(depth, &left, &right);
        self.nodes[between]
    }
}
