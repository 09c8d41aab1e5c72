//! The tree: nodes above buckets, in memory or left in pages. Of a bucket that is not in its page as it is, memory can do
//! with what was set since.

use super::bucket::{Bucket, Entry, Set, parts};
use super::on_disk::OnDisk;
use super::page::{BUCKET_KEYS, Below, Page, Pages, Place, STRIDE};
use super::{EMPTY, PART_BITS, joined};
use crate::primitives::hash::Hash;
use crate::state::view::ReadError;
use std::sync::Arc;

/// Changes whose ways are fetched from memory at once: what they lead through fits the cache of a core.
const FETCHED_AT_ONCE: usize = 256;

/// Bytes of memory of a key in a bucket, with its part of the nodes above, about.
const KEY_BYTES: u64 = 128;
/// The same of a key that was set in a bucket of which memory has no more, and of that bucket.
const SET_BYTES: u64 = 64;
const LATE_BYTES: u64 = 256;

const _: () = assert!(BUCKET_KEYS <= u32::BITS as usize, "the keys of a bucket have bits");

/// All keys of a state, or those below a place. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) enum Tree {
    #[default]
    Empty,
    /// [`BUCKET_KEYS`] keys at most.
    Few(Arc<Few>),
    /// More.
    Many(Arc<Many>),
    /// It is in the page of its place.
    Stored { hash: Hash, keys: u64 },
    /// A bucket that is in the page of its place as it was before some of its keys were set.
    Late(Arc<Late>),
}

#[derive(Clone, Debug)]
pub(super) struct Few {
    pub(super) bucket: Bucket,
    hash: Hash,
    on_disk: OnDisk,
    /// The keys that were set since there was a page of it, as bits by their number; `None` if there is none, or other
    /// keys came or went.
    touched: Option<u32>,
}

#[derive(Debug)]
pub(super) struct Late {
    hash: Hash,
    keys: u64,
    /// What the page may lack: that may also be of later on, but not of later than this.
    sets: Vec<Set>,
    on_disk: OnDisk,
}

#[derive(Clone, Debug)]
pub(super) struct Many {
    pub(super) left: Tree,
    pub(super) right: Tree,
    hash: Hash,
    keys: u64,
    /// Keys that are in memory.
    loaded: u64,
    /// Bytes of memory, about.
    bytes: u64,
    /// Those of it that no page takes over.
    bytes_needed: u64,
    on_disk: OnDisk,
}

impl Many {
    /// Whether so few keys might be left that they are one bucket.
    fn may_become_few(&self, changes: &[Set]) -> bool {
        self.keys <= (BUCKET_KEYS + changes.len()) as u64
    }

    /// Has `change` make these changes below it; gives what comes in its place if it has few keys then.
    fn change(
        &mut self,
        place: &Place,
        changes: &[Set],
        undo: &mut Vec<Set>,
        change: impl Fn(&mut Tree, &Place, &[Set], &mut Vec<Set>),
    ) -> Option<Tree> {
        let (to_left, to_right) = parts(changes, place.bits());
        let (left, right) = place.parts();
        change(&mut self.left, &left, to_left, undo);
        change(&mut self.right, &right, to_right, undo);
        self.keys = self.left.keys() + self.right.keys();
        if self.keys > BUCKET_KEYS as u64 {
            self.loaded = self.left.loaded() + self.right.loaded();
            self.bytes = self.left.bytes() + self.right.bytes();
            self.bytes_needed = self.left.bytes_needed() + self.right.bytes_needed();
            self.hash = joined(place.bits(), self.left.hash(), self.right.hash());
            self.on_disk = self.on_disk.after();
            return None;
        }
        let mut entries = Vec::with_capacity(BUCKET_KEYS);
        self.left.collect(&mut entries);
        self.right.collect(&mut entries);
        Some(Tree::few(Bucket::of(&entries), OnDisk::other(), None))
    }
}

impl Tree {
    pub(super) fn hash(&self) -> Hash {
        match self {
            Self::Empty => EMPTY,
            Self::Few(few) => few.hash,
            Self::Many(many) => many.hash,
            Self::Stored { hash, .. } => *hash,
            Self::Late(late) => late.hash,
        }
    }

    pub(super) fn keys(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Few(few) => few.bucket.entries().len() as u64,
            Self::Many(many) => many.keys,
            Self::Stored { keys, .. } => *keys,
            Self::Late(late) => late.keys,
        }
    }

    fn loaded(&self) -> u64 {
        match self {
            Self::Empty | Self::Stored { .. } | Self::Late(_) => 0,
            Self::Few(_) => self.keys(),
            Self::Many(many) => many.loaded,
        }
    }

    /// Bytes of memory, about.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Empty | Self::Stored { .. } => 0,
            Self::Few(_) => self.keys() * KEY_BYTES,
            Self::Many(many) => many.bytes,
            Self::Late(late) => Late::bytes(late.sets.len()),
        }
    }

    /// Bytes of memory that it has without what pages have, about.
    pub(super) fn bytes_needed(&self) -> u64 {
        match self {
            Self::Few(few) if few.on_disk.is_saved() => 0,
            Self::Few(few) => few.late().map_or(self.bytes(), |touched| Late::bytes(touched.count_ones() as usize)),
            Self::Late(late) if late.on_disk.is_saved() => 0,
            Self::Many(many) => many.bytes_needed,
            other => other.bytes(),
        }
    }

    fn few(bucket: Bucket, on_disk: OnDisk, touched: Option<u32>) -> Self {
        if bucket.entries().is_empty() {
            return Self::Empty;
        }
        Self::Few(Arc::new(Few { hash: bucket.hash(), bucket, on_disk, touched }))
    }

    fn many(place: &Place, left: Self, right: Self, on_disk: OnDisk) -> Self {
        let hash = joined(place.bits(), left.hash(), right.hash());
        let (keys, loaded) = (left.keys() + right.keys(), left.loaded() + right.loaded());
        let (bytes, bytes_needed) = (left.bytes() + right.bytes(), left.bytes_needed() + right.bytes_needed());
        Self::Many(Arc::new(Many { left, right, hash, keys, loaded, bytes, bytes_needed, on_disk }))
    }

    /// A tree that is in pages.
    pub(super) const fn stored(hash: Hash, keys: u64) -> Self {
        match keys {
            0 => Self::Empty,
            keys => Self::Stored { hash, keys },
        }
    }

    /// Of entries in order, all of them below the place.
    fn of(place: &Place, entries: &[Entry], leftovers: bool) -> Self {
        let on_disk = OnDisk::unsaved(leftovers);
        if entries.len() <= BUCKET_KEYS {
            return Self::few(Bucket::of(entries), on_disk, None);
        }
        let middle = entries.partition_point(|entry| !entry.path.bit(place.bits()));
        let (left, right) = place.parts();
        let parts = (Self::of(&left, &entries[..middle], leftovers), Self::of(&right, &entries[middle..], leftovers));
        Self::many(place, parts.0, parts.1, OnDisk::other())
    }

    /// With what is in the page of the place.
    pub(super) fn read(&self, place: &Place, pages: &dyn Pages) -> Result<Self, ReadError> {
        let read = match self {
            Self::Stored { .. } => match page(place, pages)? {
                Page::Bucket(entries) => Self::few(Bucket::of(&entries), OnDisk::read(), Some(0)),
                Page::Directory(below) => {
                    // What is hashed does not hold them.
                    if below.iter().try_fold(0u64, |keys, one| keys.checked_add(one.keys)).is_none() {
                        return wrong("has more keys than can be");
                    }
                    let mut below = below.as_slice();
                    let read = Self::from_directory(place, (0, 0), &mut below);
                    if !below.is_empty() {
                        return wrong("is not in order");
                    }
                    read
                }
            },
            Self::Late(late) => {
                let bucket = Bucket::of(&late.entries(place, pages)?);
                let touched = bucket.undo(&late.sets, &mut Vec::new());
                Self::few(bucket, late.on_disk.clone(), touched)
            }
            there => return Ok(there.clone()),
        };
        match (read.hash(), read.keys()) == (self.hash(), self.keys()) {
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
                Self::many(place, left, right, OnDisk::read())
            }
            _ => Self::Empty,
        }
    }

    /// Reads what these changes lead to level by level: what is not in the processor's cache comes from memory for many
    /// changes at once then, where changing would wait for each.
    fn fetch(&self, place: &Place, changes: &[Set]) {
        let (mut level, mut below, mut buckets) = (vec![(self, changes)], Vec::new(), Vec::new());
        let (mut depth, mut seen) = (place.bits(), 0);
        while !level.is_empty() {
            for (tree, changes) in level.drain(..) {
                match tree {
                    Self::Empty | Self::Stored { .. } | Self::Late(_) => {}
                    Self::Few(few) => buckets.push(few),
                    Self::Many(many) => {
                        let (left, right) = parts(changes, depth);
                        for (part, changes) in [(&many.left, left), (&many.right, right)] {
                            match changes.is_empty() {
                                true => seen ^= part.hash().0[0],
                                false => below.push((part, changes)),
                            }
                        }
                    }
                }
            }
            depth += 1;
            std::mem::swap(&mut level, &mut below);
        }
        std::hint::black_box(buckets.iter().fold(seen, |seen, few| seen ^ few.bucket.first_bytes()));
    }

    /// Reads from pages what these changes lead to, and what they might put together; everything if `all`.
    pub(super) fn load(
        &mut self,
        place: &Place,
        pages: &dyn Pages,
        changes: &[Set],
        all: bool,
    ) -> Result<(), ReadError> {
        if changes.is_empty() && !all {
            return Ok(());
        }
        if let Self::Stored { .. } | Self::Late(_) = self {
            *self = self.read(place, pages)?;
        }
        if let Self::Many(many) = self
            && many.loaded < many.keys
        {
            let all = all || many.may_become_few(changes);
            let many = Arc::make_mut(many);
            let (to_left, to_right) = parts(changes, place.bits());
            let (left, right) = place.parts();
            let loaded = many.left.load(&left, pages, to_left, all).and(many.right.load(&right, pages, to_right, all));
            many.loaded = many.left.loaded() + many.right.loaded();
            many.bytes = many.left.bytes() + many.right.bytes();
            many.bytes_needed = many.left.bytes_needed() + many.right.bytes_needed();
            loaded?;
        }
        Ok(())
    }

    /// Makes these changes, which ascend, and adds what undoes them. What nobody else has is changed in its place. All that
    /// they lead to was loaded.
    pub(super) fn change(&mut self, place: &Place, changes: &[Set], undo: &mut Vec<Set>) {
        match self {
            Self::Many(many) if changes.len() > FETCHED_AT_ONCE => {
                if let Some(few) = Arc::make_mut(many).change(place, changes, undo, Self::change) {
                    *self = few;
                }
            }
            _ => {
                self.fetch(place, changes);
                self.change_fetched(place, changes, undo);
            }
        }
    }

    fn change_fetched(&mut self, place: &Place, changes: &[Set], undo: &mut Vec<Set>) {
        if changes.is_empty() {
            return;
        }
        match self {
            Self::Stored { .. } | Self::Late(_) => unreachable!("what changes was loaded"),
            Self::Empty => {
                undo.extend(changes.iter().map(|(path, _)| (*path, None)));
                // There may have been pages before it was empty.
                *self = Self::of(place, &merged(&[], changes), true);
            }
            Self::Few(few) => {
                let sets = few.bucket.undo(changes, undo);
                let before = if few.on_disk.is_saved() { Some(0) } else { few.touched };
                let touched = before.zip(sets).map(|(before, now)| before | now);
                let on_disk = few.on_disk.after();
                if sets.is_some() {
                    // What somebody else has, as a checkpoint does, is copied as it is: to put it together anew costs more.
                    let few = Arc::make_mut(few);
                    few.hash = few.bucket.set(changes);
                    (few.on_disk, few.touched) = (on_disk, touched);
                    return;
                }
                let entries = few.bucket.entries();
                *self = if entries.len() + changes.len() > 2 * BUCKET_KEYS {
                    Self::of(place, &merged(entries, changes), on_disk.leftovers)
                } else {
                    let bucket = few.bucket.changed(changes);
                    match bucket.entries().len() <= BUCKET_KEYS {
                        true => Self::few(bucket, on_disk, touched),
                        false => Self::of(place, bucket.entries(), on_disk.leftovers),
                    }
                };
            }
            Self::Many(many) => {
                if let Some(few) = Arc::make_mut(many).change(place, changes, undo, Self::change_fetched) {
                    *self = few;
                }
            }
        }
    }

    /// Adds all entries, in order. All of them were loaded.
    fn collect(&self, entries: &mut Vec<Entry>) {
        match self {
            Self::Empty => {}
            Self::Few(few) => entries.extend_from_slice(few.bucket.entries()),
            Self::Many(many) => {
                many.left.collect(entries);
                many.right.collect(entries);
            }
            Self::Stored { .. } | Self::Late(_) => unreachable!("what is put together was loaded"),
        }
    }

    /// Notes the root of each part of the state that has keys.
    pub(super) fn part_roots(&self, place: &Place, pages: &dyn Pages, roots: &mut [Hash]) -> Result<(), ReadError> {
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
            Self::Stored { .. } | Self::Late(_) => self.read(place, pages)?.part_roots(place, pages, roots)?,
        }
        Ok(())
    }

    /// Reads every page.
    pub(super) fn check(&self, place: &Place, pages: &dyn Pages) -> Result<(), ReadError> {
        match self {
            Self::Empty | Self::Few(_) => Ok(()),
            Self::Many(many) => {
                let (left, right) = place.parts();
                many.left.check(&left, pages)?;
                many.right.check(&right, pages)
            }
            Self::Stored { .. } | Self::Late(_) => self.read(place, pages)?.check(place, pages),
        }
    }

    /// What of it has a page: buckets, and nodes at the places of directories.
    fn has_page(&self, place: &Place) -> bool {
        match self {
            Self::Empty => false,
            Self::Few(_) | Self::Stored { .. } | Self::Late(_) => true,
            Self::Many(_) => place.bits().is_multiple_of(STRIDE),
        }
    }

    pub(super) fn save<E: From<ReadError>>(
        &self,
        place: &Place,
        pages: &dyn Pages,
        change: &mut impl FnMut(Change) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Stored { .. } => {}
            Self::Late(late) if late.on_disk.is_saved() => {}
            Self::Late(late) => {
                change(Change::Put(*place, Page::Bucket(late.entries(place, pages)?).encode()))?;
            }
            Self::Empty => {
                change(Change::RemoveBelow(*place))?;
                change(Change::Remove(*place))?;
            }
            Self::Few(few) if few.on_disk.is_saved() => {}
            Self::Few(few) => {
                if few.on_disk.leftovers {
                    change(Change::RemoveBelow(*place))?;
                }
                change(Change::Put(*place, Page::Bucket(few.bucket.entries().to_vec()).encode()))?;
            }
            Self::Many(many) if many.on_disk.is_saved() => {}
            Self::Many(many) => {
                if self.has_page(place) {
                    let mut below = Vec::new();
                    self.directory(place, (0, 0), &mut below);
                    change(Change::Put(*place, Page::Directory(below).encode()))?;
                } else if many.on_disk.leftovers {
                    change(Change::Remove(*place))?;
                }
                let (left, right) = place.parts();
                many.left.save(&left, pages, change)?;
                many.right.save(&right, pages, change)?;
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

    pub(super) fn set_saved(&self) {
        match self {
            Self::Few(few) => few.on_disk.set_saved(),
            Self::Late(late) => late.on_disk.set_saved(),
            Self::Many(many) if !many.on_disk.is_saved() => {
                many.left.set_saved();
                many.right.set_saved();
                many.on_disk.set_saved();
            }
            _ => {}
        }
    }

    /// With as little in memory as can be: what is in pages is left to them, and of buckets that are there as they were
    /// before some keys were set, those keys stay.
    pub(super) fn without_saved(&self, place: &Place) -> Self {
        match self {
            Self::Few(few) if few.on_disk.is_saved() => Self::Stored { hash: few.hash, keys: self.keys() },
            Self::Late(late) if late.on_disk.is_saved() => Self::Stored { hash: late.hash, keys: late.keys },
            Self::Few(few) => match few.late() {
                Some(touched) => Self::Late(Arc::new(Late {
                    hash: few.hash,
                    keys: self.keys(),
                    sets: few.bucket.sets(touched),
                    on_disk: few.on_disk.clone(),
                })),
                None => self.clone(),
            },
            Self::Many(many) if many.on_disk.is_saved() && self.has_page(place) => {
                Self::Stored { hash: many.hash, keys: many.keys }
            }
            Self::Many(many) => {
                let (left, right) = place.parts();
                let parts = (many.left.without_saved(&left), many.right.without_saved(&right));
                let loaded = parts.0.loaded() + parts.1.loaded();
                let (bytes, bytes_needed) =
                    (parts.0.bytes() + parts.1.bytes(), parts.0.bytes_needed() + parts.1.bytes_needed());
                let on_disk = many.on_disk.clone();
                let Many { hash, keys, .. } = **many;
                Self::Many(Arc::new(Many {
                    left: parts.0,
                    right: parts.1,
                    hash,
                    keys,
                    loaded,
                    bytes,
                    bytes_needed,
                    on_disk,
                }))
            }
            other => other.clone(),
        }
    }
}

impl Few {
    /// The keys that memory must keep of it, where that is less than all.
    fn late(&self) -> Option<u32> {
        let all = self.bucket.entries().len() as u64 * KEY_BYTES;
        self.touched.filter(|touched| !self.on_disk.leftovers && Late::bytes(touched.count_ones() as usize) < all)
    }
}

impl Late {
    /// Of one with so many sets.
    const fn bytes(sets: usize) -> u64 {
        LATE_BYTES + sets as u64 * SET_BYTES
    }

    /// The keys of the bucket: no hash is computed, nor held against anything.
    fn entries(&self, place: &Place, pages: &dyn Pages) -> Result<Vec<Entry>, ReadError> {
        match page(place, pages)? {
            Page::Bucket(entries) => Ok(merged(&entries, &self.sets)),
            Page::Directory(_) => wrong("is not in order"),
        }
    }
}

/// What the page of a place holds.
fn page(place: &Place, pages: &dyn Pages) -> Result<Page, ReadError> {
    let Some(bytes) = pages.page(place)? else { return wrong("is missing") };
    let page = Page::decode(&bytes)?;
    if let Page::Bucket(entries) = &page {
        let in_order = entries.is_sorted_by(|a, b| a.path < b.path);
        if !in_order || entries.len() > BUCKET_KEYS || !entries.iter().all(|entry| place.covers(&entry.path)) {
            return wrong("is not in order");
        }
    }
    Ok(page)
}

fn wrong<T>(what: &str) -> Result<T, ReadError> {
    Err(ReadError(format!("a page of the state tree {what}")))
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
