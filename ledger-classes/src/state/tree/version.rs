//! The trees of a line of blocks.
//!
//! Making the next block's tree changes the nodes of the newest one in their places where nobody else has them: copying
//! them cost three times as much. The tree before it keeps what undoes the changes, and its own nodes are made from the
//! newer one's if somebody asks for them: for a proof of what is applied while the next block is executed.

use super::bucket::{Set, halves};
use super::nodes::{Change, Tree};
use super::page::{NoPages, Pages, Place};
use super::proof::Way;
use super::{Path, value_hash};
use crate::primitives::hash::Hash;
use crate::state::view::{ReadError, Value, Writes};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

/// The tree over a state. Cheap to clone; what it is over never changes.
#[derive(Clone)]
pub struct StateTree(Arc<Version>);

struct Version {
    root: Hash,
    keys: u64,
    /// Bytes of memory when it was made, about, and those that no page took over then.
    bytes: u64,
    bytes_needed: u64,
    held: Mutex<Held>,
}

/// Where the nodes are.
enum Held {
    Here(Tree),
    /// In the tree that was made of this one; this is what undoes the changes, and they ascend.
    Newer(StateTree, Arc<[Set]>),
}

impl Held {
    /// Takes the newer tree, if that has the nodes.
    fn take_newer(&mut self) -> Option<StateTree> {
        match std::mem::replace(self, Self::Here(Tree::default())) {
            Self::Here(_) => None,
            Self::Newer(newer, _) => Some(newer),
        }
    }
}

/// One after the other: a line of thousands of blocks would be as many calls within each other.
impl Drop for Version {
    fn drop(&mut self) {
        let take = |version: &mut Self| version.held.get_mut().ok().and_then(Held::take_newer);
        let mut next = take(self);
        while let Some(newer) = next {
            next = Arc::into_inner(newer.0).as_mut().and_then(take);
        }
    }
}

impl Default for StateTree {
    fn default() -> Self {
        Self::new(Tree::default())
    }
}

impl std::fmt::Debug for StateTree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StateTree({} over {} keys)", self.root(), self.keys())
    }
}

/// Trees with the same root are over the same state.
impl PartialEq for StateTree {
    fn eq(&self, other: &Self) -> bool {
        (self.root(), self.keys()) == (other.root(), other.keys())
    }
}

impl Eq for StateTree {}

impl StateTree {
    fn new(tree: Tree) -> Self {
        let (root, keys, bytes, bytes_needed) = (tree.hash(), tree.keys(), tree.bytes(), tree.bytes_needed());
        Self(Arc::new(Version { root, keys, bytes, bytes_needed, held: Mutex::new(Held::Here(tree)) }))
    }

    /// A tree that is in pages.
    pub fn stored(root: Hash, keys: u64) -> Self {
        Self::new(Tree::stored(root, keys))
    }

    /// The tree over what a first block wrote.
    pub fn of(writes: &Writes) -> Self {
        Self::default().update(&NoPages, writes).expect("all of it is in memory")
    }

    /// Its own root, by which pages and trees are compared; a header has [`Self::state_root`].
    pub fn root(&self) -> Hash {
        self.0.root
    }

    /// How many keys there are.
    pub fn keys(&self) -> u64 {
        self.0.keys
    }

    /// Bytes of memory that it uses, about. What it shares with others is counted, too.
    pub fn bytes(&self) -> u64 {
        self.0.bytes
    }

    /// Bytes of memory that [`Self::without_saved`] leaves, about, or fewer since.
    pub fn bytes_needed(&self) -> u64 {
        self.0.bytes_needed
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().expect("changing a tree does not panic")
    }

    /// Whether somebody has its nodes now.
    #[cfg(test)]
    pub(super) fn is_held(&self) -> bool {
        self.0.held.try_lock().is_err()
    }

    /// Its nodes.
    fn tree(&self) -> Tree {
        let (mut at, mut undone) = (self.clone(), Vec::new());
        let mut tree = loop {
            let newer = match &*at.held() {
                Held::Here(tree) => break tree.clone(),
                Held::Newer(newer, undo) => {
                    undone.push(Arc::clone(undo));
                    newer.clone()
                }
            };
            at = newer;
        };
        if undone.is_empty() {
            return tree;
        }
        for undo in undone.iter().rev() {
            tree.change(&Place::ROOT, undo, &mut Vec::new());
        }
        debug_assert_eq!((tree.hash(), tree.keys()), (self.root(), self.keys()), "undoing gives what was");
        // Whoever asks next has it.
        *self.held() = Held::Here(tree.clone());
        tree
    }

    /// The same, with its nodes for itself: what is made of it later copies them and does not change them.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self::new(self.tree())
    }

    /// The tree over a state with what a block wrote.
    pub fn update(&self, pages: &dyn Pages, writes: &Writes) -> Result<Self, ReadError> {
        let value = |value: &Option<Value>| value.as_ref().map(|value| value_hash(value));
        let mut changes: Vec<Set> = writes.iter().map(|(key, written)| (Path::of(key), value(written))).collect();
        changes.sort_unstable_by_key(|(path, _)| *path);
        self.update_paths(pages, &changes)
    }

    pub(super) fn update_paths(&self, pages: &dyn Pages, changes: &[Set]) -> Result<Self, ReadError> {
        debug_assert!(changes.is_sorted_by(|a, b| a.0 < b.0), "changes ascend");
        let mut held = self.held();
        if let Held::Here(own) = &mut *held
            && own.load(&Place::ROOT, &NoPages, changes, false).is_err()
        {
            // Whoever wants a proof waits for no disk.
            let mut read = own.clone();
            drop(held);
            read.load(&Place::ROOT, pages, changes, false)?;
            held = self.held();
            if let Held::Here(own) = &mut *held {
                *own = read;
            }
        }
        let Held::Here(own) = &mut *held else {
            // Another one was made of it before.
            drop(held);
            return self.apart().update_paths(pages, changes);
        };
        let mut undo = Vec::with_capacity(changes.len());
        own.change(&Place::ROOT, changes, &mut undo);
        let newer = Self::new(std::mem::take(own));
        *held = Held::Newer(newer.clone(), undo.into());
        Ok(newer)
    }

    /// Gives what pages lack of it. Nothing of it is in pages yet, or an earlier tree of the same line is, which `pages` are
    /// of.
    pub fn save<E: From<ReadError>>(
        &self,
        pages: &dyn Pages,
        mut change: impl FnMut(Change) -> Result<(), E>,
    ) -> Result<(), E> {
        self.tree().save(&Place::ROOT, pages, &mut change)
    }

    /// Notes that all that [`Self::save`] gave is in pages.
    pub fn set_saved(&self) {
        self.tree().set_saved();
    }

    /// The same, with as little in memory as can be: the rest is read from pages when it is needed. If a newer one has the
    /// nodes, or is being made of it, that is to be asked.
    #[must_use]
    pub fn without_saved(&self) -> Self {
        match self.0.held.try_lock() {
            Ok(held) => match &*held {
                Held::Here(tree) => Self::new(tree.without_saved(&Place::ROOT)),
                Held::Newer(..) => self.clone(),
            },
            Err(TryLockError::WouldBlock) => self.clone(),
            Err(TryLockError::Poisoned(_)) => panic!("changing a tree does not panic"),
        }
    }

    /// Reads every page, and holds it against the hash above it.
    pub fn check(&self, pages: &dyn Pages) -> Result<(), ReadError> {
        self.tree().check(&Place::ROOT, pages)
    }

    pub(super) fn part_roots(&self, pages: &dyn Pages, roots: &mut [Hash]) -> Result<(), ReadError> {
        self.tree().part_roots(&Place::ROOT, pages, roots)
    }

    /// The way to where a path stands or would stand.
    pub(super) fn way(&self, pages: &dyn Pages, path: Path) -> Result<Way, ReadError> {
        let (mut tree, mut place, mut steps) = (self.tree(), Place::ROOT, Vec::new());
        loop {
            tree = match &tree {
                Tree::Empty => return Ok(Way::new(steps, None)),
                Tree::Stored { .. } | Tree::Late(_) => tree.read(&place, pages)?,
                Tree::Few(few) => {
                    let mut range = 0..few.bucket.entries().len();
                    while range.len() > 1 {
                        let (depth, middle) = halves(&few.bucket.entries()[range.clone()]);
                        let middle = range.start + middle;
                        let (left, right) = (range.start..middle, middle..range.end);
                        let (own, other) = if path.bit(depth) { (right, left) } else { (left, right) };
                        steps.push((depth, few.bucket.hash_of(other)));
                        range = own;
                    }
                    let entry = few.bucket.entries()[range.start];
                    return Ok(Way::new(steps, (entry.path != path).then_some(entry)));
                }
                Tree::Many(many) => {
                    let (left, right) = place.parts();
                    let is_right = match (&many.left, &many.right) {
                        (Tree::Empty, _) => true,
                        (_, Tree::Empty) => false,
                        _ => path.bit(place.bits()),
                    };
                    let (own, other, next) =
                        if is_right { (&many.right, &many.left, right) } else { (&many.left, &many.right, left) };
                    if other.keys() > 0 {
                        steps.push((place.bits(), other.hash()));
                    }
                    place = next;
                    own.clone()
                }
            };
        }
    }
}
