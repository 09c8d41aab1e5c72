//! The tree: nodes above buckets, in memory or left in pages.

use super::bucket::{Bucket, Entry, Set, halves, parts};
use super::page::{BUCKET_KEYS, Below, NoPages, Page, Pages, Place, STRIDE};
use super::parts::PART_BITS;
use super::proof::Way;
use super::{EMPTY, Path, joined, value_hash};
use crate::hash::Hash;
use crate::state::{ReadError, Writes};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of memory of a key in a bucket, with its part of the nodes above, about.
const KEY_BYTES: u64 = 128;

/// All keys of a state, or those below a place. Cheap to clone.
#[derive(Clone, Debug, Default)]
enum Tree {
    #[default]
    Empty,
    /// [`BUCKET_KEYS`] keys at most.
    Few(Arc<Few>),
    /// More.
    Many(Arc<Many>),
    /// It is in the page of its place.
    Stored { hash: Hash, keys: u64 },
}

#[derive(Debug)]
struct Few {
    bucket: Bucket,
    hash: Hash,
    marks: Marks,
}

#[derive(Debug)]
struct Many {
    left: Tree,
    right: Tree,
    hash: Hash,
    keys: u64,
    /// Keys that are in memory.
    loaded: u64,
    marks: Marks,
}

/// What the pages have of something.
#[derive(Debug, Default)]
struct Marks {
    /// It is there as it is, with all that is below.
    saved: AtomicBool,
    /// There may be pages where none belongs: at its place if it is a node, below if it is a bucket.
    leftovers: bool,
}

impl Marks {
    /// Of what comes in place of something of the same kind.
    fn after(&self) -> Self {
        Self { saved: AtomicBool::new(false), leftovers: self.leftovers && !self.is_saved() }
    }

    /// Of what comes in place of something of the other kind.
    fn other() -> Self {
        Self { saved: AtomicBool::new(false), leftovers: true }
    }

    fn read() -> Self {
        Self { saved: AtomicBool::new(true), leftovers: false }
    }

    fn is_saved(&self) -> bool {
        self.saved.load(Ordering::Acquire)
    }

    fn set_saved(&self) {
        self.saved.store(true, Ordering::Release);
    }
}

impl Tree {
    fn hash(&self) -> Hash {
        match self {
            Self::Empty => EMPTY,
            Self::Few(few) => few.hash,
            Self::Many(many) => many.hash,
            Self::Stored { hash, .. } => *hash,
        }
    }

    fn keys(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Few(few) => few.bucket.entries().len() as u64,
            Self::Many(many) => many.keys,
            Self::Stored { keys, .. } => *keys,
        }
    }

    fn loaded(&self) -> u64 {
        match self {
            Self::Empty | Self::Stored { .. } => 0,
            Self::Few(_) => self.keys(),
            Self::Many(many) => many.loaded,
        }
    }

    fn few(bucket: Bucket, marks: Marks) -> Self {
        if bucket.entries().is_empty() {
            return Self::Empty;
        }
        Self::Few(Arc::new(Few { hash: bucket.hash(), bucket, marks }))
    }

    fn many(place: &Place, left: Self, right: Self, marks: Marks) -> Self {
        let hash = joined(place.bits(), left.hash(), right.hash());
        let (keys, loaded) = (left.keys() + right.keys(), left.loaded() + right.loaded());
        Self::Many(Arc::new(Many { left, right, hash, keys, loaded, marks }))
    }

    /// Of entries in order, all of them below the place.
    fn of(place: &Place, entries: &[Entry], leftovers: bool) -> Self {
        let marks = Marks { saved: AtomicBool::new(false), leftovers };
        if entries.len() <= BUCKET_KEYS {
            return Self::few(Bucket::of(entries), marks);
        }
        let middle = entries.partition_point(|entry| !entry.path.bit(place.bits()));
        let (left, right) = place.parts();
        let parts = (Self::of(&left, &entries[..middle], leftovers), Self::of(&right, &entries[middle..], leftovers));
        Self::many(place, parts.0, parts.1, Marks::other())
    }

    /// With what is in the page of the place.
    fn read(&self, place: &Place, pages: &dyn Pages) -> Result<Self, ReadError> {
        let Self::Stored { hash, keys } = self else { return Ok(self.clone()) };
        let wrong = |what: &str| Err(ReadError(format!("a page of the state tree {what}")));
        let Some(bytes) = pages.page(place)? else { return wrong("is missing") };
        let read = match Page::decode(&bytes)? {
            Page::Bucket(entries) => {
                let in_order = entries.is_sorted_by(|a, b| a.path < b.path);
                if !in_order || entries.len() > BUCKET_KEYS || !entries.iter().all(|entry| place.covers(&entry.path)) {
                    return wrong("is not in order");
                }
                Self::few(Bucket::of(&entries), Marks::read())
            }
            Page::Directory(below) => {
                let mut below = below.as_slice();
                let read = Self::from_directory(place, (0, 0), &mut below);
                if !below.is_empty() {
                    return wrong("is not in order");
                }
                read
            }
        };
        match (read.hash(), read.keys()) == (*hash, *keys) {
            true => Ok(read),
            false => wrong("does not match the hash above it"),
        }
    }

    /// What stands at `place`, on a way from a directory's place. Takes what it uses.
    fn from_directory(place: &Place, (way, bits): (u8, u8), below: &mut &[Below]) -> Self {
        match below {
            [first, rest @ ..] if bits > 0 && (first.way, first.bits) == (way, bits) => {
                let found = Self::Stored { hash: first.hash, keys: first.keys };
                *below = rest;
                found
            }
            [first, ..]
                if u16::from(bits) < STRIDE
                    && first.bits > bits
                    && first.bits <= STRIDE as u8
                    && first.way >> (first.bits - bits) == way =>
            {
                let (left, right) = place.parts();
                let left = Self::from_directory(&left, (way << 1, bits + 1), below);
                let right = Self::from_directory(&right, (way << 1 | 1, bits + 1), below);
                Self::many(place, left, right, Marks::read())
            }
            _ => Self::Empty,
        }
    }

    /// With these changes, which ascend.
    fn update(&self, place: &Place, pages: &dyn Pages, changes: &[Set]) -> Result<Self, ReadError> {
        if changes.is_empty() {
            return Ok(self.clone());
        }
        match self {
            Self::Stored { .. } => self.read(place, pages)?.update(place, pages, changes),
            // There may have been pages before it was empty.
            Self::Empty => Ok(Self::of(place, &merged(&[], changes), true)),
            Self::Few(few) => {
                let entries = few.bucket.entries();
                let marks = few.marks.after();
                if entries.len() + changes.len() > 2 * BUCKET_KEYS {
                    return Ok(Self::of(place, &merged(entries, changes), marks.leftovers));
                }
                let bucket = few.bucket.changed(changes);
                match bucket.entries().len() <= BUCKET_KEYS {
                    true => Ok(Self::few(bucket, marks)),
                    false => Ok(Self::of(place, bucket.entries(), marks.leftovers)),
                }
            }
            Self::Many(many) => {
                let (to_left, to_right) = parts(changes, place.bits());
                let (left, right) = place.parts();
                let left_part = many.left.update(&left, pages, to_left)?;
                let right_part = many.right.update(&right, pages, to_right)?;
                if left_part.keys() + right_part.keys() > BUCKET_KEYS as u64 {
                    return Ok(Self::many(place, left_part, right_part, many.marks.after()));
                }
                let mut entries = Vec::with_capacity(BUCKET_KEYS);
                left_part.collect(&left, pages, &mut entries)?;
                right_part.collect(&right, pages, &mut entries)?;
                Ok(Self::few(Bucket::of(&entries), Marks::other()))
            }
        }
    }

    /// Adds all entries, in order.
    fn collect(&self, place: &Place, pages: &dyn Pages, entries: &mut Vec<Entry>) -> Result<(), ReadError> {
        match self {
            Self::Empty => {}
            Self::Few(few) => entries.extend_from_slice(few.bucket.entries()),
            Self::Many(many) => {
                let (left, right) = place.parts();
                many.left.collect(&left, pages, entries)?;
                many.right.collect(&right, pages, entries)?;
            }
            Self::Stored { .. } => self.read(place, pages)?.collect(place, pages, entries)?,
        }
        Ok(())
    }

    /// Notes the root of each part of the state that has keys.
    fn part_roots(&self, place: &Place, pages: &dyn Pages, roots: &mut [Hash]) -> Result<(), ReadError> {
        match self {
            Self::Empty => {}
            _ if place.bits() == PART_BITS => roots[usize::from(place.part())] = self.hash(),
            Self::Few(few) => {
                let mut begin = 0;
                for part in few.bucket.entries().chunk_by(|one, next| one.path.part() == next.path.part()) {
                    roots[usize::from(part[0].path.part())] = few.bucket.hash_of(begin..begin + part.len());
                    begin += part.len();
                }
            }
            Self::Many(many) => {
                let (left, right) = place.parts();
                many.left.part_roots(&left, pages, roots)?;
                many.right.part_roots(&right, pages, roots)?;
            }
            Self::Stored { .. } => self.read(place, pages)?.part_roots(place, pages, roots)?,
        }
        Ok(())
    }

    /// Reads every page.
    fn check(&self, place: &Place, pages: &dyn Pages) -> Result<(), ReadError> {
        match self {
            Self::Empty | Self::Few(_) => Ok(()),
            Self::Many(many) => {
                let (left, right) = place.parts();
                many.left.check(&left, pages)?;
                many.right.check(&right, pages)
            }
            Self::Stored { .. } => self.read(place, pages)?.check(place, pages),
        }
    }

    /// What of it has a page: buckets, and nodes at the places of directories.
    fn has_page(&self, place: &Place) -> bool {
        match self {
            Self::Empty => false,
            Self::Few(_) | Self::Stored { .. } => true,
            Self::Many(_) => place.bits().is_multiple_of(STRIDE),
        }
    }

    fn save<E>(&self, place: &Place, change: &mut impl FnMut(Change) -> Result<(), E>) -> Result<(), E> {
        match self {
            Self::Stored { .. } => {}
            Self::Empty => {
                change(Change::RemoveBelow(*place))?;
                change(Change::Remove(*place))?;
            }
            Self::Few(few) if few.marks.is_saved() => {}
            Self::Few(few) => {
                if few.marks.leftovers {
                    change(Change::RemoveBelow(*place))?;
                }
                change(Change::Put(*place, Page::Bucket(few.bucket.entries().to_vec()).encode()))?;
            }
            Self::Many(many) if many.marks.is_saved() => {}
            Self::Many(many) => {
                if self.has_page(place) {
                    let mut below = Vec::new();
                    self.directory(place, (0, 0), &mut below);
                    change(Change::Put(*place, Page::Directory(below).encode()))?;
                } else if many.marks.leftovers {
                    change(Change::Remove(*place))?;
                }
                let (left, right) = place.parts();
                many.left.save(&left, change)?;
                many.right.save(&right, change)?;
            }
        }
        Ok(())
    }

    /// Adds what has a page and stands next below a directory.
    fn directory(&self, place: &Place, (way, bits): (u8, u8), below: &mut Vec<Below>) {
        match self {
            Self::Empty => {}
            Self::Many(many) if bits == 0 || !self.has_page(place) => {
                let (left, right) = place.parts();
                many.left.directory(&left, (way << 1, bits + 1), below);
                many.right.directory(&right, (way << 1 | 1, bits + 1), below);
            }
            _ => below.push(Below { way, bits, hash: self.hash(), keys: self.keys() }),
        }
    }

    fn set_saved(&self) {
        match self {
            Self::Few(few) => few.marks.set_saved(),
            Self::Many(many) if !many.marks.is_saved() => {
                many.left.set_saved();
                many.right.set_saved();
                many.marks.set_saved();
            }
            _ => {}
        }
    }

    fn without_saved(&self, place: &Place) -> Self {
        match self {
            Self::Few(few) if few.marks.is_saved() => Self::Stored { hash: few.hash, keys: self.keys() },
            Self::Many(many) if many.marks.is_saved() && self.has_page(place) => {
                Self::Stored { hash: many.hash, keys: many.keys }
            }
            Self::Many(many) => {
                let (left, right) = place.parts();
                let parts = (many.left.without_saved(&left), many.right.without_saved(&right));
                let loaded = parts.0.loaded() + parts.1.loaded();
                let marks = Marks { saved: AtomicBool::new(many.marks.is_saved()), leftovers: many.marks.leftovers };
                let Many { hash, keys, .. } = **many;
                Self::Many(Arc::new(Many { left: parts.0, right: parts.1, hash, keys, loaded, marks }))
            }
            other => other.clone(),
        }
    }
}

/// Entries with changes, both in order, and no hash computed.
fn merged(entries: &[Entry], changes: &[Set]) -> Vec<Entry> {
    let mut made = Vec::with_capacity(entries.len() + changes.len());
    let mut old = entries.iter().peekable();
    for (path, value) in changes {
        while let Some(entry) = old.next_if(|entry| entry.path < *path) {
            made.push(*entry);
        }
        let _ = old.next_if(|entry| entry.path == *path);
        made.extend(value.map(|value| Entry { path: *path, value }));
    }
    made.extend(old);
    made
}

/// What is to be done to pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// There is this page now.
    Put(Place, Vec<u8>),
    /// There is no page.
    Remove(Place),
    /// There is no page below.
    RemoveBelow(Place),
}

/// The tree over a state. Cheap to clone; it never changes.
#[derive(Clone, Debug, Default)]
pub struct StateTree(Tree);

/// Trees with the same root are over the same state.
impl PartialEq for StateTree {
    fn eq(&self, other: &Self) -> bool {
        (self.root(), self.keys()) == (other.root(), other.keys())
    }
}

impl Eq for StateTree {}

impl StateTree {
    /// A tree that is in pages.
    pub fn stored(root: Hash, keys: u64) -> Self {
        match keys {
            0 => Self(Tree::Empty),
            keys => Self(Tree::Stored { hash: root, keys }),
        }
    }

    /// The tree over what a first block wrote.
    pub fn of(writes: &Writes) -> Self {
        Self::default().update(&NoPages, writes).expect("all of it is in memory")
    }

    /// Its own root, by which pages and trees are compared; a header has [`Self::state_root`].
    pub fn root(&self) -> Hash {
        self.0.hash()
    }

    /// How many keys there are.
    pub fn keys(&self) -> u64 {
        self.0.keys()
    }

    /// Bytes of memory that it uses, about. What it shares with others is counted, too.
    pub fn bytes(&self) -> u64 {
        self.0.loaded() * KEY_BYTES
    }

    /// The tree over a state with what a block wrote.
    pub fn update(&self, pages: &dyn Pages, writes: &Writes) -> Result<Self, ReadError> {
        let value = |value: &Option<_>| value.as_ref().map(|value: &crate::state::Value| value_hash(value));
        let mut changes: Vec<Set> = writes.iter().map(|(key, written)| (Path::of(key), value(written))).collect();
        changes.sort_unstable_by_key(|(path, _)| *path);
        self.update_paths(pages, &changes)
    }

    pub(super) fn update_paths(&self, pages: &dyn Pages, changes: &[Set]) -> Result<Self, ReadError> {
        debug_assert!(changes.is_sorted_by(|a, b| a.0 < b.0), "changes ascend");
        self.0.update(&Place::ROOT, pages, changes).map(Self)
    }

    /// Gives what pages lack of it. Nothing of it is in pages yet, or an earlier tree of the same line is.
    pub fn save<E>(&self, mut change: impl FnMut(Change) -> Result<(), E>) -> Result<(), E> {
        self.0.save(&Place::ROOT, &mut change)
    }

    /// Notes that all that [`Self::save`] gave is in pages.
    pub fn set_saved(&self) {
        self.0.set_saved();
    }

    /// The same, without what is in pages: that is read when it is needed.
    #[must_use]
    pub fn without_saved(&self) -> Self {
        Self(self.0.without_saved(&Place::ROOT))
    }

    /// Reads every page, and holds it against the hash above it.
    pub fn check(&self, pages: &dyn Pages) -> Result<(), ReadError> {
        self.0.check(&Place::ROOT, pages)
    }

    pub(super) fn part_roots(&self, pages: &dyn Pages, roots: &mut [Hash]) -> Result<(), ReadError> {
        self.0.part_roots(&Place::ROOT, pages, roots)
    }

    /// The way to where a path stands or would stand.
    pub(super) fn way(&self, pages: &dyn Pages, path: Path) -> Result<Way, ReadError> {
        let (mut tree, mut place, mut steps) = (self.0.clone(), Place::ROOT, Vec::new());
        loop {
            tree = match &tree {
                Tree::Empty => return Ok(Way::new(steps, None)),
                Tree::Stored { .. } => tree.read(&place, pages)?,
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
