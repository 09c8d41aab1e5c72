//! State in memory: what applied blocks wrote, each value with the count of blocks that it is visible from. A value is found
//! by a hash of its key, which costs a third of what going down a tree does; the order of the keys stands beside that.
//!
//! Always: the versions of a key are in falling order of `since`; a version that some protected count can see is
//! never dropped; a frozen memtable never changes again.
//! "Count" is the number of applied blocks: a view with count `c` reflects heights `0..c`, and sees a version when
//! `since <= c`.
//! Ours (decision 43): random keys become ascending ones before they come to redb, which alone takes twice as long for each.
//! fjall has memtables, and no seam below it under which power loss and rot could be shown.

use crate::store::lock::{read, write};
use foldhash::quality::RandomState;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::state::view::{Value, Writes};
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

/// Keys written in one holding of the lock: some 20 µs, the longest that a reader waits for `apply`.
const CHUNK_KEYS: usize = 64;
/// What an entry costs beyond its key and value, roughly: its place in the map and in the order, headers, allocation.
const ENTRY_BYTES: usize = 128;
/// What an entry of the transaction index costs.
const TRANSACTION_BYTES: usize = 64;

#[derive(Clone, Debug)]
struct Version {
    since: u64,
    value: Option<Value>,
}

impl Version {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.value.as_ref().map_or(0, |value| value.len())
    }
}

#[derive(Debug)]
struct Versions {
    newest: Version,
    /// Falling `since`; almost always empty or one.
    older: Vec<Version>,
}

impl Versions {
    fn at(&self, count: u64) -> Option<&Version> {
        if self.newest.since <= count {
            return Some(&self.newest);
        }
        self.older.iter().find(|version| version.since <= count)
    }

    fn put(&mut self, version: Version, protected: &[u64]) {
        debug_assert!(self.newest.since < version.since, "versions come in rising order");
        let mut above = version.since;
        let old = std::mem::replace(&mut self.newest, version);
        self.older.insert(0, old);
        self.older.retain(|version| {
            let needed = protected.iter().any(|count| version.since <= *count && *count < above);
            above = version.since;
            needed
        });
    }

    fn bytes(&self) -> usize {
        self.newest.bytes() + self.older.iter().map(Version::bytes).sum::<usize>()
    }
}

/// Where a transaction is: height and index in the block.
pub(in crate::store) type Location = (u64, u32);

/// Writes of a run of blocks.
#[derive(Debug, Default)]
pub(in crate::store) struct Memtable {
    entries: RwLock<Entries>,
    transactions: RwLock<HashMap<Hash, Location, RandomState>>,
    bytes: AtomicUsize,
}

/// The same keys twice.
#[derive(Debug, Default)]
struct Entries {
    by_key: HashMap<Arc<[u8]>, Versions, RandomState>,
    in_order: BTreeSet<Arc<[u8]>>,
}

impl Memtable {
    /// An empty one with room for as much as this one has: what follows is of that size, and maps that grow hold up those
    /// who read.
    pub(in crate::store) fn next(&self) -> Self {
        let room = |length| RwLock::new(HashMap::with_capacity_and_hasher(length, RandomState::default()));
        let by_key = HashMap::with_capacity_and_hasher(read(&self.entries).by_key.len(), RandomState::default());
        let entries = RwLock::new(Entries { by_key, in_order: BTreeSet::new() });
        Self { entries, transactions: room(read(&self.transactions).len()), bytes: AtomicUsize::new(0) }
    }

    /// Bytes of memory, roughly.
    pub(in crate::store) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Adds a block's writes, visible from `since` on. `protected` are the counts that live views, and views
    /// created meanwhile, read at; all are below `since`.
    pub(in crate::store) fn put(&self, writes: &Writes, since: u64, protected: &[u64]) {
        let mut writes = writes.iter().peekable();
        while writes.peek().is_some() {
            let (mut added, mut dropped) = (0, 0);
            let mut entries = write(&self.entries);
            for (key, value) in writes.by_ref().take(CHUNK_KEYS) {
                let version = Version { since, value: value.clone() };
                match entries.by_key.get_mut(key.as_slice()) {
                    Some(versions) => {
                        dropped += versions.bytes();
                        versions.put(version, protected);
                        added += versions.bytes();
                    }
                    None => {
                        added += ENTRY_BYTES + key.len() + version.bytes();
                        let key: Arc<[u8]> = key.as_slice().into();
                        entries.in_order.insert(Arc::clone(&key));
                        entries.by_key.insert(key, Versions { newest: version, older: Vec::new() });
                    }
                }
            }
            drop(entries);
            self.bytes.fetch_add(added, Ordering::Relaxed);
            self.bytes.fetch_sub(dropped, Ordering::Relaxed);
        }
    }

    /// Adds where a block's transactions are.
    pub(in crate::store) fn put_transactions(&self, height: u64, transactions: &[(Hash, u32)]) {
        let mut index = write(&self.transactions);
        index.extend(transactions.iter().map(|(id, position)| (*id, (height, *position))));
        self.bytes.fetch_add(transactions.len() * TRANSACTION_BYTES, Ordering::Relaxed);
    }

    /// Fills in the places of these transactions that are not known yet.
    pub(in crate::store) fn find_transactions(&self, ids: &[Hash], found: &mut [Option<Location>]) {
        let index = read(&self.transactions);
        for (id, found) in ids.iter().zip(found).filter(|(_, found)| found.is_none()) {
            *found = index.get(id).copied();
        }
    }

    /// The first of these transactions that is here, and where.
    pub(in crate::store) fn first_known(&self, transactions: &[(Hash, u32)]) -> Option<(Hash, Location)> {
        let index = read(&self.transactions);
        transactions.iter().find_map(|(id, _)| index.get(id).map(|location| (*id, *location)))
    }

    /// The value of `key` at `count`. Outer `None`: not in this memtable; inner `None`: removed.
    pub(in crate::store) fn at(&self, key: &[u8], count: u64) -> Option<Option<Value>> {
        read(&self.entries).by_key.get(key)?.at(count).map(|version| version.value.clone())
    }

    /// The first key in `from..end` that this memtable says something about at `count`, removed ones too.
    pub(in crate::store) fn first(&self, from: &[u8], end: &[u8], count: u64) -> Option<(Vec<u8>, Option<Value>)> {
        if from >= end {
            return None;
        }
        let entries = read(&self.entries);
        let mut range = entries.in_order.range::<[u8], _>((Bound::Included(from), Bound::Excluded(end)));
        range.find_map(|key| {
            let version = entries.by_key.get(key)?.at(count)?;
            Some((key.to_vec(), version.value.clone()))
        })
    }

    /// Gives the newest value of every key, in key order. Only for frozen memtables: the lock is held throughout.
    pub(in crate::store) fn for_each<E>(
        &self,
        mut visit: impl FnMut(&[u8], Option<&[u8]>) -> Result<(), E>,
    ) -> Result<(), E> {
        let entries = read(&self.entries);
        entries.in_order.iter().try_for_each(|key| visit(key, entries.by_key[key].newest.value.as_deref()))
    }

    /// The transactions of a frozen memtable in the order of their ids.
    pub(in crate::store) fn transactions_in_order(&self) -> Vec<(Hash, Location)> {
        let mut transactions: Vec<_> = read(&self.transactions).iter().map(|(id, place)| (*id, *place)).collect();
        transactions.sort_unstable_by_key(|(id, _)| *id);
        transactions
    }
}
