//! `state.redb` and the memtables above it: what a channel's state is at each height that someone reads.
//!
//! Reads go through the active memtable (written by [`State::apply`]), the frozen memtable (being written to disk, or
//! already there and kept as a cache of recent values) and the file, in this order. Each value in a memtable carries
//! the count of blocks from which it is visible, so a [`StateView`] is one height for ever, whatever is applied
//! or checkpointed meanwhile. These hold:
//!
//! 1. `checkpointed <= applied <= log size`. State never reflects a block that is not on disk.
//! 2. The file reflects exactly `checkpointed` blocks; the frozen memtable holds what blocks up to its freezing wrote
//!    since the checkpoint before, the active memtable what later blocks wrote. Laying the frozen memtable over a file
//!    that has it already changes nothing, so commit and view creation need no common lock.
//! 3. A view takes its memtables, its count and its read transaction while `inner` is read-locked; the memtables are
//!    exchanged under the write lock. So the file that a view reads reflects no more blocks than its count.
//! 4. A version of a value that a live view, or one created while a block is applied, can see stays in its memtable
//!    (`protected` in [`Memtable::put`]).
//! 5. What a tree over the state has left to pages ([`StateTree::without_saved`]) is in the file that every later view
//!    reads: pages are only overwritten with later trees of the same line, and who has one of those has what changed
//!    since the pages that it left it to.
//! 6. Execution of block `h` lays the writes of all blocks from `view.height() + 1` to `h - 1` over a view.
//!    A view never changes, so those overlays stay right when their blocks are applied below it; overlays of
//!    blocks that the view reflects already are harmless, as long as all later ones up to `h - 1` lie above.
//!
//! Ours (decision 43): redb alone would have to commit each block.

pub(in crate::store) mod checkpoint;
pub(in crate::store) mod memtable;
pub(in crate::store) mod record;
pub(in crate::store) mod transaction_index;

use super::error::{Latch, StoreError};
use super::file::checksums;
use super::file::directory::{StoreFiles, catching, open_database, open_error, release, says_corrupt};
use super::file::throttle::{Paced, PacedBackend};
use super::lock::{lock, read, write};
use super::options::{Pressure, StoreOptions};
use super::state::memtable::{Location, Memtable};
use super::state::record::{Reflects, STATE_FORMAT, decode_reflects, decode_value, sound_value};
use super::state::transaction_index::{DamagedRun, RUNS, Runs, TRANSACTIONS};
use crate::limits::DIRTY_LEAST;
use crate::runtime::memory::Counted;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::state::tree::{Pages, Place, StateTree};
use ledger_classes::state::view::{ReadError, ReadView, Value, Writes};
use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTableMetadata, TableDefinition};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::time::Instant;

pub(super) const STATE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("state");
pub(super) const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
/// Pages of the tree over the state, by their places.
pub(super) const TREE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("tree");

/// The memtables at one moment.
#[derive(Debug)]
pub(super) struct Memtables {
    pub(super) active: Arc<Memtable>,
    pub(super) frozen: Option<Arc<Memtable>>,
    /// The tree over the state.
    pub(super) tree: StateTree,
    /// Blocks that the state reflects.
    pub(super) applied: u64,
    /// Blocks that the file reflects.
    pub(super) checkpointed: u64,
    pub(super) checkpointed_at: Instant,
}

/// The state of a channel.
pub(super) struct State {
    pub(super) database: RwLock<Option<Database>>,
    /// The file below the database, which owns it.
    pub(super) paced: Weak<Paced>,
    pub(super) inner: RwLock<Memtables>,
    /// The index of the file; while a checkpoint is being committed, also that of the file as it will be. Read-locked
    /// while a read transaction begins, so that its index is among them.
    pub(super) runs: RwLock<Vec<Runs>>,
    /// Held while a block is applied and while memtables are exchanged.
    pub(super) applying: Mutex<()>,
    /// Held for a whole checkpoint.
    pub(super) checkpointing: Mutex<()>,
    /// How many live views there are at each count.
    live: Arc<Mutex<BTreeMap<u64, usize>>>,
    pub(super) latch: Arc<Latch>,
    options: StoreOptions,
    /// Memory of the memtables.
    held: Counted,
    /// Memory of the database's page cache.
    _cache: Counted,
    /// Memory of the tree over the state.
    tree: Counted,
}

impl State {
    /// Opens the state; a broken file is set aside and a fresh one begun. The caller compares with the log.
    /// The second value is the header hash of the last block that the file reflects.
    pub(super) fn open(
        files: &dyn StoreFiles,
        options: StoreOptions,
        latch: Arc<Latch>,
    ) -> Result<(Self, Option<Hash>), StoreError> {
        let memory = files.memory();
        let cache = memory.caches.grant(options.state_cache_bytes);
        let (database, paced, (reflects, runs)) = match open_file(files, options, cache.bytes())? {
            StateFile::Sound(database, paced, found) => (database, paced, found),
            StateFile::Broken(why) => {
                let aside = files.set_state_aside(&why)?;
                tracing::warn!(why, aside, "the state file is broken: it will be rebuilt");
                match open_file(files, options, cache.bytes())? {
                    StateFile::Sound(database, paced, found) => (database, paced, found),
                    StateFile::Broken(why) => return Err(StoreError::Corrupt(format!("a fresh state file: {why}"))),
                }
            }
        };
        let applied = reflects.as_ref().map_or(0, |reflects| reflects.height + 1);
        let inner = Memtables {
            active: Arc::default(),
            frozen: None,
            tree: reflects.as_ref().map(|reflects| reflects.tree.clone()).unwrap_or_default(),
            applied,
            checkpointed: applied,
            checkpointed_at: Instant::now(),
        };
        let state = Self {
            database: RwLock::new(Some(database)),
            paced,
            inner: RwLock::new(inner),
            runs: RwLock::new(vec![runs]),
            applying: Mutex::new(()),
            checkpointing: Mutex::new(()),
            live: Arc::default(),
            latch,
            held: Counted::new(&memory.writes, 0),
            options,
            _cache: cache,
            tree: Counted::new(&memory.caches, 0),
        };
        Ok((state, reflects.map(|reflects| reflects.header_hash)))
    }

    /// Blocks that the state reflects.
    pub(super) fn applied(&self) -> u64 {
        read(&self.inner).applied
    }

    /// Blocks that the file reflects.
    pub(super) fn checkpointed(&self) -> u64 {
        read(&self.inner).checkpointed
    }

    /// Makes a block's writes and transactions visible, all at once. `log_size` is the number of blocks on disk.
    pub(super) fn apply(
        &self,
        height: u64,
        log_size: u64,
        writes: &Writes,
        transactions: &[(Hash, u32)],
        tree: &StateTree,
    ) -> Result<Pressure, StoreError> {
        let _applying = lock(&self.applying);
        self.latch.check()?;
        self.check_open()?;
        let (active, frozen, applied) = {
            let inner = read(&self.inner);
            (inner.active.clone(), inner.frozen.clone(), inner.applied)
        };
        if height != applied {
            return Err(StoreError::ApplyOutOfOrder { expected: applied, given: height });
        }
        if height >= log_size {
            return Err(StoreError::ApplyBeforePersist { given: height, log: log_size.checked_sub(1) });
        }
        let known = active.first_known(transactions).or_else(|| frozen.as_ref()?.first_known(transactions));
        if let Some((id, (known, _))) = known {
            return Err(StoreError::TransactionTwice { id, given: height, known });
        }
        active.put(writes, height + 1, &self.protected(applied));
        active.put_transactions(height, transactions);
        let tree = self.bounded(tree);
        let mut inner = write(&self.inner);
        assert!(Arc::ptr_eq(&inner.active, &active), "memtables are not exchanged while a block is applied");
        inner.applied = height + 1;
        let before = self.keep(&mut inner, tree);
        assert!(inner.checkpointed <= inner.applied && inner.applied <= log_size, "the log is ahead of the state");
        self.count(&inner);
        let pressure = self.pressure_of(&inner);
        drop(inner);
        drop(before);
        Ok(pressure)
    }

    /// Counts whose values must stay readable while a block is applied over `applied`: those of live views, and
    /// `applied` itself, which views created meanwhile have.
    pub(super) fn protected(&self, applied: u64) -> Vec<u64> {
        let mut protected: Vec<u64> = lock(&self.live).keys().copied().collect();
        if protected.last() != Some(&applied) {
            protected.push(applied);
        }
        debug_assert!(protected.is_sorted(), "no view is ahead of the state");
        protected
    }

    /// The tree without its saved nodes, if it exceeds its memory bound.
    pub(super) fn bounded(&self, tree: &StateTree) -> StateTree {
        match tree.bytes() > self.tree_bytes() {
            true => tree.without_saved(),
            false => tree.clone(),
        }
    }

    /// Takes a tree that is [bounded](Self::bounded) as the one of the state. Gives the one before, which is to be dropped, as
    /// the other is to be bounded, where no reader waits: with a million keys each takes a while.
    #[must_use]
    pub(super) fn keep(&self, inner: &mut Memtables, tree: StateTree) -> StateTree {
        self.tree.set(usize::try_from(tree.bytes()).unwrap_or(usize::MAX / 2));
        std::mem::replace(&mut inner.tree, tree)
    }

    /// Memory that the tree may have: as much as there would be left for others, and a little always.
    fn tree_bytes(&self) -> u64 {
        let all = match self.tree.is_over() {
            true => DIRTY_LEAST,
            false => (self.tree.bytes().saturating_add(self.tree.left()) / 2).max(DIRTY_LEAST),
        };
        all.min(self.options.tree_bytes) as u64
    }

    /// Counts what the memtables hold. To be called whenever that changes.
    pub(super) fn count(&self, inner: &Memtables) {
        self.held.set(inner.active.bytes() + inner.frozen.as_ref().map_or(0, |memtable| memtable.bytes()));
    }

    /// Whether all stores together hold more than they may: then what was written is not kept.
    pub(super) fn is_crowded(&self) -> bool {
        self.held.is_over()
    }

    fn pressure_of(&self, inner: &Memtables) -> Pressure {
        let bytes = inner.active.bytes();
        // No more than is left for others; a little is always allowed.
        let bound = self.options.dirty_bytes_max.min(self.held.left().max(DIRTY_LEAST));
        let age = inner.checkpointed_at.elapsed().as_millis();
        // What was set in the tree stays in memory until then.
        let tree = inner.tree.bytes_needed();
        match inner.applied > inner.checkpointed {
            true if bytes > bound.saturating_mul(2) || tree > self.tree_bytes().saturating_mul(2) => Pressure::Wait,
            true if bytes >= bound || tree > self.tree_bytes() => Pressure::CheckpointDue,
            true if age >= u128::from(self.options.checkpoint_interval_ms) => Pressure::CheckpointDue,
            _ => Pressure::None,
        }
    }

    /// Bytes that wait for the next checkpoint, about.
    pub(super) fn waiting_bytes(&self) -> usize {
        read(&self.inner).active.bytes()
    }

    fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        let database = read(&self.database);
        let database = database.as_ref().ok_or(StoreError::Closed)?;
        database.begin_read().map_err(StoreError::disk("reading the state"))
    }

    /// The state as it is now, for as long as the view lives.
    pub(super) fn view(&self) -> Result<StateView, StoreError> {
        let inner = read(&self.inner);
        let transaction = self.begin_read()?;
        let table = unpanicked(|| transaction.open_table(STATE).map_err(StoreError::disk("reading the state")))?;
        *lock(&self.live).entry(inner.applied).or_default() += 1;
        let pin = Pin { count: inner.applied, live: self.live.clone() };
        let (active, frozen, tree) = (inner.active.clone(), inner.frozen.clone(), inner.tree.clone());
        Ok(StateView { active, frozen, tree, transaction, table, pages: OnceLock::new(), pin })
    }

    /// Where each of these transactions is.
    pub(super) fn transactions(&self, ids: &[Hash]) -> Result<Vec<Option<Location>>, StoreError> {
        let (active, frozen, applied) = {
            let inner = read(&self.inner);
            (inner.active.clone(), inner.frozen.clone(), inner.applied)
        };
        // Begun after the memtables were taken: what has left them since is in the file.
        let (transaction, runs) = {
            let runs = read(&self.runs);
            let transaction = self.begin_read()?;
            let reflects = unpanicked(|| reflected(&transaction))?;
            let found = runs.iter().find(|runs| runs.reflects == reflects).cloned();
            (transaction, found.ok_or_else(|| StoreError::StateCorrupt("its height is not its index's".into()))?)
        };
        let table = unpanicked(|| transaction.open_table(TRANSACTIONS).map_err(StoreError::disk("reading the index")))?;
        let mut found = vec![None; ids.len()];
        [Some(&active), frozen.as_ref()]
            .into_iter()
            .flatten()
            .for_each(|memtable| memtable.find_transactions(ids, &mut found));
        let find = |(id, known): (&Hash, Option<Location>)| match known {
            Some(location) => Ok(Some(location).filter(|(height, _)| *height < applied)),
            None => runs.find(&table, id),
        };
        unpanicked(|| ids.iter().zip(found).map(find).collect())
    }

    /// Refuses when the store was closed.
    pub(super) fn check_open(&self) -> Result<(), StoreError> {
        read(&self.database).as_ref().map(|_| ()).ok_or(StoreError::Closed)
    }

    /// Releases the file, after a checkpoint that is under way.
    pub(super) fn close(&self) {
        let _checkpointing = lock(&self.checkpointing);
        release("state.redb", write(&self.database).take());
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // A poisoned lock is no reason to panic while the thread may be unwinding already.
        let database = self.database.get_mut().unwrap_or_else(PoisonError::into_inner);
        release("state.redb", database.take());
    }
}

/// Blocks that a file reflects.
fn reflected(transaction: &ReadTransaction) -> Result<u64, StoreError> {
    let meta = transaction.open_table(META).map_err(StoreError::disk("reading the height"))?;
    let Some(record) = meta.get("reflects").map_err(StoreError::disk("reading the height"))? else { return Ok(0) };
    let reflects = decode_reflects(record.value());
    reflects
        .map(|reflects| reflects.height + 1)
        .ok_or_else(|| StoreError::StateCorrupt("the height record is malformed".into()))
}

/// The blocks that a file reflects, and its index.
type FileContent = (Option<Reflects>, Runs);

/// Why a state file that could be read is not used: it is made anew from the log.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
enum Unusable {
    #[error("it has no table of meta data")]
    Meta,
    #[error("format {0:?} is not known, {STATE_FORMAT} is")]
    Format(Option<Vec<u8>>),
    #[error("it holds {0} tables")]
    Tables(usize),
    #[error("the height record is malformed")]
    Reflects,
    #[error("it does not say its height")]
    NoHeight,
    #[error(transparent)]
    Run(#[from] DamagedRun),
    #[error("its index has {found} buckets, its runs say {said}")]
    Buckets { found: u64, said: u64 },
}

enum StateFile {
    Sound(Database, Weak<Paced>, FileContent),
    Broken(String),
}

fn open_file(files: &dyn StoreFiles, options: StoreOptions, cache_bytes: usize) -> Result<StateFile, StoreError> {
    let paced = Paced::for_checkpoints(files.open_state()?, options.piece_bytes);
    let file = Arc::downgrade(&paced);
    let pages = checksums::open(Box::new(PacedBackend(paced))).map_err(redb::Error::from);
    let opened = pages.and_then(|pages| open_database(pages, cache_bytes));
    let opened = opened.and_then(|database| {
        match catching(|| initialise(&database)) {
            Ok(Ok(found)) => Ok(StateFile::Sound(database, file, found)),
            broken => {
                // Closing writes, and redb may panic once more.
                release("state.redb", Some(database));
                broken.map(|found| StateFile::Broken(found.err().map(|why| why.to_string()).unwrap_or_default()))
            }
        }
    });
    match opened {
        Err(error) if says_corrupt(&error) => Ok(StateFile::Broken(error.to_string())),
        opened => opened.map_err(|error| open_error("state.redb", error)),
    }
}

/// A table that is there; none if it is missing or another one. A disk that fails says nothing about the file.
fn found_table<T>(opened: Result<T, redb::TableError>) -> Result<Option<T>, redb::Error> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(redb::TableError::Storage(error)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// Makes the tables of an empty file; returns what a file holds, or why it cannot be used. What is there is only read:
/// redb ends the process when a writing transaction panics over a rotten page and its tables panic again as they close.
fn initialise(database: &Database) -> Result<Result<FileContent, Unusable>, redb::Error> {
    let before = database.begin_read()?;
    let found = before.list_tables()?.count();
    if found == 0 {
        let mut transaction = database.begin_write()?;
        transaction.set_quick_repair(true);
        transaction.open_table(META)?.insert("format", [STATE_FORMAT].as_slice())?;
        transaction.open_table(STATE)?;
        transaction.open_table(TREE)?;
        transaction.open_table(TRANSACTIONS)?;
        transaction.open_table(RUNS)?;
        transaction.commit()?;
        return Ok(Ok((None, Runs::default())));
    }
    let Some(meta) = found_table(before.open_table(META))? else {
        return Ok(Err(Unusable::Meta));
    };
    let format = meta.get("format")?.map(|record| record.value().to_vec());
    if format.as_deref() != Some(&[STATE_FORMAT]) {
        return Ok(Err(Unusable::Format(format)));
    }
    let state = found_table(before.open_table(STATE))?;
    let transactions = found_table(before.open_table(TRANSACTIONS))?;
    let (tree, runs) = (found_table(before.open_table(TREE))?, found_table(before.open_table(RUNS))?);
    let (Some(state), Some(_), Some(transactions), Some(runs)) = (state, tree, transactions, runs) else {
        return Ok(Err(Unusable::Tables(found)));
    };
    let reflects = match meta.get("reflects")?.map(|record| decode_reflects(record.value())) {
        Some(None) => return Ok(Err(Unusable::Reflects)),
        other => other.flatten(),
    };
    if reflects.is_none() && state.len()? + transactions.len()? > 0 {
        return Ok(Err(Unusable::NoHeight));
    }
    let runs = Runs::load(&runs, reflects.as_ref().map_or(0, |reflects| reflects.height + 1))?;
    let buckets = transactions.len()?;
    Ok(runs.map_err(Unusable::from).and_then(|runs| match runs.buckets() {
        said if said == buckets => Ok((reflects, runs)),
        said => Err(Unusable::Buckets { found: buckets, said }),
    }))
}

/// Keeps the values that a view can see from being dropped.
struct Pin {
    count: u64,
    live: Arc<Mutex<BTreeMap<u64, usize>>>,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut live = lock(&self.live);
        if let Some(views) = live.get_mut(&self.count) {
            *views -= 1;
            if *views == 0 {
                live.remove(&self.count);
            }
        }
    }
}

/// The state at one height. Holds a read transaction: keep it for one request or one block, not longer, or the
/// file grows (DESIGN, Store).
pub struct StateView {
    active: Arc<Memtable>,
    frozen: Option<Arc<Memtable>>,
    tree: StateTree,
    transaction: ReadTransaction,
    table: ReadOnlyTable<&'static [u8], &'static [u8]>,
    /// Opened when it is asked for.
    pages: OnceLock<PagesOf>,
    pin: Pin,
}

impl StateView {
    /// The height that this state reflects; `None` before genesis.
    pub fn height(&self) -> Option<u64> {
        self.pin.count.checked_sub(1)
    }

    /// The tree over this state; its pages are this view's.
    pub const fn tree(&self) -> &StateTree {
        &self.tree
    }

    fn memtables(&self) -> [Option<&Arc<Memtable>>; 2] {
        [Some(&self.active), self.frozen.as_ref()]
    }

    /// First entry of the file in `from..end`.
    fn first_on_disk(&self, from: &[u8], end: &[u8]) -> Result<Option<(Vec<u8>, Value)>, ReadError> {
        unpanicked(|| match self.table.range(from..end).map_err(read_error)?.next() {
            None => Ok(None),
            Some(entry) => {
                let (key, value) = entry.map_err(read_error)?;
                // A rotten page leads anywhere: who goes on behind such a key would never come to an end.
                if key.value() < from || key.value() >= end {
                    return Err(Rotten.into());
                }
                Ok(Some((key.value().to_vec(), decode_value(key.value(), value.value())?)))
            }
        })
    }

    /// The value of a key in the file.
    fn on_disk(&self, key: &[u8]) -> Result<Option<Value>, ReadError> {
        unpanicked(|| {
            let record = self.table.get(key).map_err(read_error)?;
            record.map(|record| decode_value(key, record.value())).transpose()
        })
    }
}

/// The pages of a file's tree.
pub(super) struct PagesOf(pub(super) ReadOnlyTable<&'static [u8], &'static [u8]>);

impl Pages for PagesOf {
    fn page(&self, place: &Place) -> Result<Option<Vec<u8>>, ReadError> {
        unpanicked(|| {
            let key = place.key();
            let record = self.0.get(key.as_slice()).map_err(read_error)?;
            record.map(|record| Ok(sound_value(&key, record.value())?.to_vec())).transpose()
        })
    }
}

impl Pages for StateView {
    fn page(&self, place: &Place) -> Result<Option<Vec<u8>>, ReadError> {
        let pages = match self.pages.get() {
            Some(pages) => pages,
            None => {
                let open = || self.transaction.open_table(TREE).map_err(|error| ReadError(error.to_string()));
                let table = unpanicked(open)?;
                self.pages.get_or_init(|| PagesOf(table))
            }
        };
        pages.page(place)
    }
}

fn read_error(error: redb::StorageError) -> ReadError {
    ReadError(error.to_string())
}

/// redb panics on some rotten pages that it reads: an error like any other damage.
fn unpanicked<T, E: From<Rotten>>(read: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(Rotten.into()))
}

/// A page that redb could not read as one.
struct Rotten;

impl Rotten {
    const TEXT: &str = "a page of the state does not make sense";
}

impl From<Rotten> for ReadError {
    fn from(_: Rotten) -> Self {
        Self(Rotten::TEXT.into())
    }
}

impl From<Rotten> for StoreError {
    fn from(_: Rotten) -> Self {
        Self::StateCorrupt(Rotten::TEXT.into())
    }
}

impl ReadView for StateView {
    fn get(&self, key: &[u8]) -> Result<Option<Value>, ReadError> {
        for memtable in self.memtables().into_iter().flatten() {
            if let Some(value) = memtable.at(key, self.pin.count) {
                return Ok(value);
            }
        }
        self.on_disk(key)
    }

    fn first_in(&self, from: &[u8], end: &[u8]) -> Result<Option<(Vec<u8>, Value)>, ReadError> {
        if from >= end {
            return Ok(None);
        }
        let mut from = from.to_vec();
        let mut disk = self.first_on_disk(&from, end)?;
        let [mut active, mut frozen] = self.memtables().map(|memtable| memtable?.first(&from, end, self.pin.count));
        loop {
            // The topmost of those with the smallest key decides.
            let keys = [&active, &frozen].map(|first| first.as_ref().map(|(key, _)| key));
            let Some(key) = keys.into_iter().flatten().chain(disk.as_ref().map(|(key, _)| key)).min().cloned() else {
                return Ok(None);
            };
            let found = [&active, &frozen].into_iter().flatten().find(|(found, _)| *found == key);
            match found {
                None => return Ok(disk),
                Some((_, Some(value))) => return Ok(Some((key, value.clone()))),
                Some((_, None)) => {}
            }
            // Removed: go on behind it, wherever something stood at it.
            from.clone_from(&key);
            from.push(0);
            for (first, memtable) in [&mut active, &mut frozen].into_iter().zip(self.memtables()) {
                if first.as_ref().is_some_and(|(found, _)| *found == key) {
                    *first = memtable.and_then(|memtable| memtable.first(&from, end, self.pin.count));
                }
            }
            if disk.as_ref().is_some_and(|(found, _)| *found == key) {
                disk = self.first_on_disk(&from, end)?;
            }
        }
    }
}
