//! `log.redb`: blocks, receipts, header hashes and the nodes of the history tree. The truth of a channel, with the
//! write-ahead log, which holds its newest small blocks.
//!
//! Always: heights are `0..size` without gap, in every table up to some height and in the write-ahead log and in memory from
//! there on; a height is readable only after it is on disk, by a sync of the write-ahead log or by a transaction (two fsyncs:
//! quick-repair commits are two-phase, so that reopening after a crash does not walk the file); after the first failed
//! write nothing is written again.
//! The tables and their records are in `store/log/tables.rs`.
//! Ours (decision 14): redb keeps the tables; what stands above it makes one sync of a small block's commit, and halts one
//! channel for a record that cannot be read.

pub(in crate::store) mod pages;
pub(in crate::store) mod record;
pub(in crate::store) mod tables;
pub(in crate::store) mod wal;

use super::error::{Latch, StoreError};
use super::file::backend::Backend;
use super::file::checksums;
use super::file::directory::{StoreFiles, catching, open_database, open_error, release, says_corrupt};
use super::file::throttle::{Paced, PacedBackend};
use super::lock::{lock, read, write};
use super::log::record::BlockRecord;
use super::log::tables::{Newest, Tables, Tail, corrupt, history_of, initialise, reading, write_blocks};
use super::log::wal::{Checked, Wal};
use super::options::StoreOptions;
use crate::runtime::memory::Counted;
use bytes::Bytes;
use ledger_classes::merkle::{self, CompactRange, MerklePathError};
use ledger_classes::primitives::hash::Hash;
use redb::{Database, ReadableDatabase as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// The open log of a channel.
pub(super) struct Log {
    database: RwLock<Option<Database>>,
    /// Serializes writers.
    writer: Mutex<Writer>,
    /// Blocks that the tables do not hold yet.
    tail: RwLock<Tail>,
    /// Blocks on disk: the next height.
    size: AtomicU64,
    latch: Arc<Latch>,
    /// Memory of the database's page cache.
    _cache: Counted,
}

struct Writer {
    /// The tree over the header hashes on disk.
    history: CompactRange,
    wal: Wal,
}

impl Log {
    /// Initialises an empty log.
    pub(super) fn create(files: &dyn StoreFiles, options: StoreOptions, latch: Arc<Latch>) -> Result<Self, StoreError> {
        let pages = checksums::open_anyway(in_pieces(files.create_log()?, options))
            .map_err(StoreError::disk("making the log"))?;
        let wal = Wal::create(files.wal(), options.wal_bytes_max)?;
        let cache = files.memory().caches.grant(options.log_cache_bytes);
        let database = open_database(pages, cache.bytes()).map_err(|error| open_error("log.redb", error))?;
        initialise(&database).map_err(StoreError::disk("initialising the log"))?;
        Ok(Self::new(database, CompactRange::new(), wal, latch, cache))
    }

    /// Opens a log and checks that its tables agree and that its last record is whole. What its write-ahead log holds
    /// is in the tables then.
    pub(super) fn open(files: &dyn StoreFiles, options: StoreOptions, latch: Arc<Latch>) -> Result<Self, StoreError> {
        let backend = files.open_log()?;
        if backend.len().is_ok_and(|bytes| bytes <= checksums::PAGE_BYTES) {
            return corrupt("the file holds nothing");
        }
        let pages = checksums::open_anyway(in_pieces(backend, options)).map_err(reading("opening the log"))?;
        let cache = files.memory().caches.grant(options.log_cache_bytes);
        let database = open_database(pages, cache.bytes()).map_err(|error| match says_corrupt(&error) {
            true => StoreError::Corrupt(error.to_string()),
            false => open_error("log.redb", error),
        })?;
        let opened = unpanicked(|| {
            let history = history_of(&database)?;
            let (mut wal, blocks) = Wal::open(files.wal(), options.wal_bytes_max, history.size())?;
            let history = take_over(&database, history, blocks)?;
            wal.remove();
            Ok((history, wal))
        });
        match opened {
            Ok((history, wal)) => Ok(Self::new(database, history, wal, latch, cache)),
            Err(error) => {
                release("log.redb", Some(database));
                Err(error)
            }
        }
    }

    fn new(database: Database, history: CompactRange, wal: Wal, latch: Arc<Latch>, cache: Counted) -> Self {
        let size = AtomicU64::new(history.size());
        let writer = Mutex::new(Writer { history, wal });
        Self { database: RwLock::new(Some(database)), writer, tail: RwLock::default(), size, latch, _cache: cache }
    }

    /// Blocks on disk.
    pub(super) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Last height on disk.
    pub(super) fn tip(&self) -> Option<u64> {
        self.size().checked_sub(1)
    }

    /// Puts a block on disk; durable when it returns.
    pub(super) fn append(&self, record: &BlockRecord) -> Result<(), StoreError> {
        let mut writer = lock(&self.writer);
        self.latch.check()?;
        if record.height != writer.history.size() {
            return Err(StoreError::AppendOutOfOrder { expected: writer.history.size(), given: record.height });
        }
        let mut next = writer.history.clone();
        let block = Checked::of(record.clone(), next.root());
        let nodes = next.append(merkle::leaf_hash(&record.header_hash.0));
        let database = read(&self.database);
        let database = database.as_ref().ok_or(StoreError::Closed)?;
        let in_wal = writer.wal.put(&block).map_err(|error| self.latch.hold(error))?;
        let newest = Arc::new(Newest { block, nodes });
        if in_wal {
            Arc::make_mut(&mut write(&self.tail)).push(newest);
        } else {
            self.write_through(database, &mut writer, Some(newest))?;
        }
        writer.history = next;
        self.size.store(writer.history.size(), Ordering::Release);
        assert_eq!(self.size(), record.height + 1, "the log ends with the block just appended");
        Ok(())
    }

    /// Puts the newest blocks, and one more, into the tables. The write-ahead log begins anew.
    fn write_through(
        &self,
        database: &Database,
        writer: &mut Writer,
        more: Option<Arc<Newest>>,
    ) -> Result<(), StoreError> {
        let mut blocks = self.tail().to_vec();
        blocks.extend(more);
        catching(|| write_blocks(database, &blocks))
            .map_err(|error| self.latch.hold(StoreError::disk("appending a block")(error)))?;
        // Whoever finds a height here no longer begins to read after it is in the tables.
        *write(&self.tail) = Tail::default();
        writer.wal.restart();
        Ok(())
    }

    fn tail(&self) -> Tail {
        read(&self.tail).clone()
    }

    fn tables(&self) -> Result<Tables, StoreError> {
        // The tail first: what has left it by then is in the tables.
        let tail = self.tail();
        let database = read(&self.database);
        let database = database.as_ref().ok_or(StoreError::Closed)?;
        Tables::open(&database.begin_read().map_err(reading("reading the log"))?, tail)
    }

    /// An answer from the tables. After a read that the disk did not answer, redb writes nothing more: nor does the
    /// write-ahead log.
    fn answer<T>(&self, read: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        unpanicked(read).map_err(|error| match error {
            StoreError::Disk { .. } => self.latch.hold(error),
            error => error,
        })
    }

    fn below_tip<T>(
        &self,
        height: u64,
        answer: impl FnOnce(Tables) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        if height >= self.size() {
            return Ok(None);
        }
        self.answer(|| self.tables().and_then(answer).map(Some))
    }

    /// Bytes of the block at `height`.
    pub(super) fn block(&self, height: u64) -> Result<Option<Bytes>, StoreError> {
        self.below_tip(height, |tables| tables.block(height))
    }

    /// Bytes of the receipts at `height`.
    pub(super) fn receipts(&self, height: u64) -> Result<Option<Bytes>, StoreError> {
        self.below_tip(height, |tables| tables.receipts(height))
    }

    /// Header hash at `height`.
    pub(super) fn header_hash(&self, height: u64) -> Result<Option<Hash>, StoreError> {
        self.below_tip(height, |tables| tables.header_hash(height))
    }

    /// The tree over all header hashes on disk.
    pub(super) fn history(&self) -> CompactRange {
        lock(&self.writer).history.clone()
    }

    /// The tree over the first `size` header hashes.
    pub(super) fn history_at(&self, size: u64) -> Result<CompactRange, StoreError> {
        self.in_tree(size, |node| CompactRange::from_nodes(size, node))
    }

    /// Answers from the tree of the first `size` header hashes.
    fn in_tree<T>(
        &self,
        size: u64,
        answer: impl FnOnce(&dyn Fn(u8, u64) -> Option<Hash>) -> Result<T, MerklePathError>,
    ) -> Result<T, StoreError> {
        if size > self.size() {
            return Err(StoreError::OutsideHistory { size: self.size(), asked: size });
        }
        self.answer(|| self.tables()?.over_nodes(answer))
    }

    /// Root of the first `size` header hashes.
    pub(super) fn history_root(&self, size: u64) -> Result<Hash, StoreError> {
        self.in_tree(size, |node| merkle::root_from_nodes(size, node))
    }

    /// A stored node.
    pub(super) fn history_node(&self, level: u8, index: u64) -> Result<Hash, StoreError> {
        self.answer(|| self.tables()?.node(level, index))
    }

    /// Inclusion path of header hash `index` among the first `size`.
    pub(super) fn history_path(&self, size: u64, index: u64) -> Result<Vec<Hash>, StoreError> {
        self.in_tree(size, |node| merkle::inclusion_path_from_nodes(size, index, node))
    }

    /// Puts the newest blocks into the tables and releases the files. The write-ahead log stays if that fails.
    pub(super) fn close(&self) -> Result<(), StoreError> {
        let mut writer = lock(&self.writer);
        let settled = match &*read(&self.database) {
            Some(database) if self.latch.check().is_ok() => self.settle(database, &mut writer),
            _ => Ok(()),
        };
        writer.wal.release();
        release("log.redb", write(&self.database).take());
        settled
    }

    fn settle(&self, database: &Database, writer: &mut Writer) -> Result<(), StoreError> {
        if !self.tail().is_empty() {
            self.write_through(database, writer, None)?;
        }
        writer.wal.remove();
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // A poisoned lock is no reason to panic while the thread may be unwinding already.
        let database = self.database.get_mut().unwrap_or_else(PoisonError::into_inner);
        release("log.redb", database.take());
    }
}

/// Its file, of which a large block goes to the disk in pieces.
fn in_pieces(backend: Backend, options: StoreOptions) -> Backend {
    Box::new(PacedBackend(Paced::for_log(backend, options.piece_bytes)))
}

/// Puts what a write-ahead log held into the tables. Returns the history with it.
fn take_over(database: &Database, mut history: CompactRange, blocks: Vec<Checked>) -> Result<CompactRange, StoreError> {
    let of = |block: Checked| {
        if block.history != history.root() {
            return corrupt(format!("block {} of the wal follows another log", block.record.height));
        }
        let nodes = history.append(merkle::leaf_hash(&block.record.header_hash.0));
        Ok(Arc::new(Newest { block, nodes }))
    };
    let blocks = blocks.into_iter().map(of).collect::<Result<Vec<_>, _>>()?;
    if !blocks.is_empty() {
        catching(|| write_blocks(database, &blocks)).map_err(StoreError::disk("taking over the wal"))?;
    }
    Ok(history)
}

/// redb panics on some rotten pages that it reads: an error like any other damage.
fn unpanicked<T>(read: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(StoreError::Corrupt("a page of the log does not make sense".into())))
}
