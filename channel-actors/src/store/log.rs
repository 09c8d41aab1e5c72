//! `log.redb`: blocks, receipts, header hashes and the nodes of the history tree. The truth of a channel.
//!
//! Always: heights are `0..size` without gap in every table; a height is readable only after the transaction that
//! brought it is on disk (two fsyncs: quick-repair commits are two-phase, so that reopening after a crash does not
//! walk the file); after the first failed write nothing is written again.
//! Each record carries SHA-256 digests of its bytes, checked on every read: rot is found where it is, not where
//! it leads.

use super::error::{Latch, StoreError};
use super::files::{Backend, catching, open_database, open_error, release, says_corrupt};
use super::lock::{lock, read, write};
use super::record::check as keyed_check;
use super::{BlockRecord, CHECK_BYTES, FORMAT, check_of, digest};
use bytes::Bytes;
use ledger_classes::hash::Hash;
use ledger_classes::merkle::{self, CompactRange, Node, PathError};
use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
};
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

const BLOCKS: TableDefinition<u64, &[u8]> = TableDefinition::new("blocks");
const RECEIPTS: TableDefinition<u64, &[u8]> = TableDefinition::new("receipts");
const HEADERS: TableDefinition<u64, &[u8]> = TableDefinition::new("headers");
const HISTORY: TableDefinition<(u8, u64), &[u8]> = TableDefinition::new("history");
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

/// Version, hash, check.
const NODE_BYTES: usize = 1 + 32 + CHECK_BYTES;

/// Bytes that one answer of [`Log::blocks`] gathers at most, its first block aside.
const BLOCKS_ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A record of the header table.
#[derive(Clone, Copy)]
struct Header {
    hash: Hash,
    block: Hash,
    receipts: Hash,
}

impl Header {
    /// Version, three hashes, check.
    const BYTES: usize = 1 + 3 * 32 + CHECK_BYTES;

    fn of(record: &BlockRecord) -> Self {
        Self { hash: record.header_hash, block: digest(&record.block), receipts: digest(&record.receipts) }
    }

    fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [FORMAT; Self::BYTES];
        for (place, hash) in bytes[1..].chunks_exact_mut(32).zip([self.hash, self.block, self.receipts]) {
            place.copy_from_slice(&hash.0);
        }
        let (content, check) = bytes.split_at_mut(Self::BYTES - CHECK_BYTES);
        check.copy_from_slice(&check_of(content));
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (content, check) = bytes.split_last_chunk()?;
        let (&version, rest) = content.split_first()?;
        let (hash, rest) = rest.split_first_chunk()?;
        let (block, rest) = rest.split_first_chunk()?;
        let receipts = rest.try_into().ok()?;
        let sound = version == FORMAT && check_of(content) == *check;
        sound.then_some(Self { hash: Hash(*hash), block: Hash(*block), receipts: Hash(receipts) })
    }
}

/// Version, hash, and a check that is over the node's place too: proofs are made of these, and nothing else is held
/// against them when they are read.
fn encode_node(node: &Node) -> [u8; NODE_BYTES] {
    let mut bytes = [FORMAT; NODE_BYTES];
    bytes[1..33].copy_from_slice(&node.hash.0);
    let check = keyed_check(&place_of(node.level, node.index), &bytes[..33]);
    bytes[33..].copy_from_slice(&check);
    bytes
}

fn decode_node(level: u8, index: u64, record: &[u8]) -> Option<Hash> {
    let (content, found) = record.split_last_chunk()?;
    match content {
        [FORMAT, hash @ ..] if keyed_check(&place_of(level, index), content) == *found => {
            Some(Hash(hash.try_into().ok()?))
        }
        _ => None,
    }
}

/// Level, index.
fn place_of(level: u8, index: u64) -> [u8; 9] {
    let mut place = [level; 9];
    place[1..].copy_from_slice(&index.to_be_bytes());
    place
}

fn corrupt<T>(what: impl Into<String>) -> Result<T, StoreError> {
    Err(StoreError::Corrupt(what.into()))
}

/// Corruption that redb reports becomes [`StoreError::Corrupt`].
fn reading<E: Into<redb::Error>>(operation: &'static str) -> impl FnOnce(E) -> StoreError {
    move |error| {
        let error = error.into();
        match says_corrupt(&error) {
            true => StoreError::Corrupt(format!("{operation}: {error}")),
            false => StoreError::disk(operation)(error),
        }
    }
}

/// The tables at one moment.
struct Tables {
    blocks: ReadOnlyTable<u64, &'static [u8]>,
    receipts: ReadOnlyTable<u64, &'static [u8]>,
    headers: ReadOnlyTable<u64, &'static [u8]>,
    history: ReadOnlyTable<(u8, u64), &'static [u8]>,
}

impl Tables {
    fn open(transaction: &ReadTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            blocks: transaction.open_table(BLOCKS).map_err(reading("opening the table of blocks"))?,
            receipts: transaction.open_table(RECEIPTS).map_err(reading("opening the table of receipts"))?,
            headers: transaction.open_table(HEADERS).map_err(reading("opening the table of headers"))?,
            history: transaction.open_table(HISTORY).map_err(reading("opening the table of the history"))?,
        })
    }

    fn header(&self, height: u64) -> Result<Header, StoreError> {
        let Some(record) = self.headers.get(height).map_err(reading("reading a header"))? else {
            return corrupt(format!("height {height} has no header record"));
        };
        match Header::decode(record.value()) {
            Some(header) => Ok(header),
            None => corrupt(format!("the header record of height {height} is malformed")),
        }
    }

    /// A header record that is held against the history, if its pair is complete. Its own check says nothing of its
    /// height.
    fn held_header(&self, height: u64) -> Result<Header, StoreError> {
        let header = self.header(height)?;
        let record = self.history.get((1, height / 2)).map_err(reading("reading the history"))?;
        let Some(record) = record else { return Ok(header) };
        let leaf = |height| self.header(height).map(|header| merkle::leaf_hash(&header.hash.0));
        let pair = merkle::node_hash(&leaf(height & !1)?, &leaf(height | 1)?);
        match decode_node(1, height / 2, record.value()) == Some(pair) {
            true => Ok(header),
            false => corrupt(format!("the header record of height {height} does not agree with the history")),
        }
    }

    /// A complete subtree of the history; leaves are computed from the header hashes.
    fn node(&self, level: u8, index: u64) -> Result<Hash, StoreError> {
        if level == 0 {
            return Ok(merkle::leaf_hash(&self.held_header(index)?.hash.0));
        }
        let record = self.history.get((level, index)).map_err(reading("reading the history"))?;
        match record.as_ref().map(|record| record.value()) {
            Some(record) => match decode_node(level, index, record) {
                Some(hash) => Ok(hash),
                None => corrupt(format!("history node {level}/{index} does not match its check")),
            },
            None => corrupt(format!("history node {level}/{index} is missing")),
        }
    }

    /// Answers from the nodes of the history. Of a failed lookup the path knows only that there was no node:
    /// what the store said is kept aside and returned.
    fn over_nodes<T>(
        &self,
        answer: impl FnOnce(&dyn Fn(u8, u64) -> Option<Hash>) -> Result<T, PathError>,
    ) -> Result<T, StoreError> {
        let failure = RefCell::new(None);
        let node = |level, index| self.node(level, index).map_err(|error| failure.replace(Some(error))).ok();
        let answer = answer(&node);
        match (failure.take(), answer) {
            (Some(error), _) => Err(error),
            (None, Ok(answer)) => Ok(answer),
            (None, Err(PathError::OutOfBounds { index, size })) => {
                Err(StoreError::OutsideHistory { size, asked: index })
            }
            (None, Err(error @ PathError::MissingNode { .. })) => corrupt(error.to_string()),
        }
    }
}

/// Bytes of a record, checked against its digest.
fn content(
    table: &ReadOnlyTable<u64, &'static [u8]>,
    what: &'static str,
    height: u64,
    expected: Hash,
) -> Result<Bytes, StoreError> {
    let record = table.get(height).map_err(reading("reading a record"))?;
    match record.as_ref().map(|record| record.value()) {
        Some([FORMAT, bytes @ ..]) if digest(bytes) == expected => Ok(Bytes::copy_from_slice(bytes)),
        Some(_) => corrupt(format!("the {what} record of height {height} does not match its digest")),
        None => corrupt(format!("height {height} has no {what} record")),
    }
}

/// The open log of a channel.
pub(super) struct Log {
    database: RwLock<Option<Database>>,
    /// The tree over the header hashes on disk. Its lock makes the one writer.
    history: Mutex<CompactRange>,
    /// Blocks on disk: the next height.
    size: AtomicU64,
    latch: Arc<Latch>,
}

impl Log {
    /// Initialises an empty log.
    pub(super) fn create(backend: Backend, cache_bytes: usize, latch: Arc<Latch>) -> Result<Self, StoreError> {
        let database = open_database(backend, cache_bytes).map_err(|error| open_error("log.redb", error))?;
        initialise(&database).map_err(StoreError::disk("initialising the log"))?;
        Ok(Self::new(database, CompactRange::new(), latch))
    }

    /// Opens a log and checks that its tables agree and that its last record is whole.
    pub(super) fn open(backend: Backend, cache_bytes: usize, latch: Arc<Latch>) -> Result<Self, StoreError> {
        if backend.len().is_ok_and(|bytes| bytes == 0) {
            return corrupt("the file is empty");
        }
        let database = open_database(backend, cache_bytes).map_err(|error| match says_corrupt(&error) {
            true => StoreError::Corrupt(error.to_string()),
            false => open_error("log.redb", error),
        })?;
        let history = unpanicked(|| {
            let transaction = database.begin_read().map_err(StoreError::disk("reading the log"))?;
            let meta = transaction.open_table(META).map_err(reading("opening the table of meta data"))?;
            let format = meta.get("format").map_err(reading("reading the format"))?;
            match format.as_ref().map(|record| record.value()) {
                Some([FORMAT]) => check(&Tables::open(&transaction)?),
                Some(other) => corrupt(format!("format {other:?} is not known, {FORMAT} is")),
                None => corrupt("no format is named"),
            }
        });
        let history = match history {
            Ok(history) => history,
            Err(error) => {
                release("log.redb", Some(database));
                return Err(error);
            }
        };
        Ok(Self::new(database, history, latch))
    }

    fn new(database: Database, history: CompactRange, latch: Arc<Latch>) -> Self {
        let size = AtomicU64::new(history.size());
        Self { database: RwLock::new(Some(database)), history: Mutex::new(history), size, latch }
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
        let header = Header::of(record);
        let mut history = lock(&self.history);
        self.latch.check()?;
        if record.height != history.size() {
            return Err(StoreError::AppendOutOfOrder { expected: history.size(), given: record.height });
        }
        let mut next = history.clone();
        let nodes = next.append(merkle::leaf_hash(&record.header_hash.0));
        let database = read(&self.database);
        let database = database.as_ref().ok_or(StoreError::Closed)?;
        catching(|| write_block(database, record, &header, &nodes))
            .map_err(|error| self.latch.hold(StoreError::disk("appending a block")(error)))?;
        *history = next;
        self.size.store(history.size(), Ordering::Release);
        assert_eq!(self.size(), record.height + 1, "the log ends with the block just appended");
        Ok(())
    }

    fn tables(&self) -> Result<Tables, StoreError> {
        let database = read(&self.database);
        let database = database.as_ref().ok_or(StoreError::Closed)?;
        Tables::open(&database.begin_read().map_err(reading("reading the log"))?)
    }

    fn below_tip<T>(
        &self,
        height: u64,
        answer: impl FnOnce(Tables) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        if height >= self.size() {
            return Ok(None);
        }
        unpanicked(|| self.tables().and_then(answer).map(Some))
    }

    /// Bytes of the block at `height`.
    pub(super) fn block(&self, height: u64) -> Result<Option<Bytes>, StoreError> {
        self.below_tip(height, |tables| content(&tables.blocks, "block", height, tables.header(height)?.block))
    }

    /// Bytes of the receipts at `height`.
    pub(super) fn receipts(&self, height: u64) -> Result<Option<Bytes>, StoreError> {
        self.below_tip(height, |tables| content(&tables.receipts, "receipts", height, tables.header(height)?.receipts))
    }

    /// Header hash at `height`.
    pub(super) fn header_hash(&self, height: u64) -> Result<Option<Hash>, StoreError> {
        self.below_tip(height, |tables| tables.held_header(height).map(|header| header.hash))
    }

    /// Blocks from `from` on, in order.
    pub(super) fn blocks(&self, from: u64, limit: usize) -> Result<Vec<Bytes>, StoreError> {
        let end = self.size().min(from.saturating_add(limit as u64));
        if from >= end {
            return Ok(Vec::new());
        }
        unpanicked(|| {
            let (tables, mut blocks, mut bytes) = (self.tables()?, Vec::new(), 0);
            for height in from..end {
                let block = content(&tables.blocks, "block", height, tables.header(height)?.block)?;
                bytes += block.len();
                if bytes > BLOCKS_ANSWER_BYTES_MAX && !blocks.is_empty() {
                    break;
                }
                blocks.push(block);
            }
            Ok(blocks)
        })
    }

    /// The tree over all header hashes on disk.
    pub(super) fn history(&self) -> CompactRange {
        lock(&self.history).clone()
    }

    /// Answers from the tree of the first `size` header hashes.
    fn in_tree<T>(
        &self,
        size: u64,
        answer: impl FnOnce(&dyn Fn(u8, u64) -> Option<Hash>) -> Result<T, PathError>,
    ) -> Result<T, StoreError> {
        if size > self.size() {
            return Err(StoreError::OutsideHistory { size: self.size(), asked: size });
        }
        unpanicked(|| self.tables()?.over_nodes(answer))
    }

    /// Root of the first `size` header hashes.
    pub(super) fn history_root(&self, size: u64) -> Result<Hash, StoreError> {
        self.in_tree(size, |node| merkle::root_from_nodes(size, node))
    }

    /// A stored node.
    pub(super) fn history_node(&self, level: u8, index: u64) -> Result<Hash, StoreError> {
        unpanicked(|| self.tables()?.node(level, index))
    }

    /// Inclusion path of header hash `index` among the first `size`.
    pub(super) fn history_path(&self, size: u64, index: u64) -> Result<Vec<Hash>, StoreError> {
        self.in_tree(size, |node| merkle::inclusion_path_from_nodes(size, index, node))
    }

    /// Proof that the first `first` header hashes are a prefix of the first `second`.
    pub(super) fn history_consistency(&self, first: u64, second: u64) -> Result<Vec<Hash>, StoreError> {
        self.in_tree(second, |node| merkle::consistency_path_from_nodes(first, second, node))
    }

    /// Releases the file.
    pub(super) fn close(&self) {
        release("log.redb", write(&self.database).take());
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // A poisoned lock is no reason to panic while the thread may be unwinding already.
        let database = self.database.get_mut().unwrap_or_else(PoisonError::into_inner);
        release("log.redb", database.take());
    }
}

fn initialise(database: &Database) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    transaction.open_table(BLOCKS)?;
    transaction.open_table(RECEIPTS)?;
    transaction.open_table(HEADERS)?;
    transaction.open_table(HISTORY)?;
    transaction.open_table(META)?.insert("format", [FORMAT].as_slice())?;
    Ok(transaction.commit()?)
}

fn write_block(database: &Database, record: &BlockRecord, header: &Header, nodes: &[Node]) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    for (table, bytes) in [(BLOCKS, &record.block), (RECEIPTS, &record.receipts)] {
        let mut table = transaction.open_table(table)?;
        let mut place = table.insert_reserve(record.height, bytes.len() + 1)?;
        let (version, rest) = place.as_mut().split_at_mut(1);
        version[0] = FORMAT;
        rest.copy_from_slice(bytes);
    }
    transaction.open_table(HEADERS)?.insert(record.height, header.encode().as_slice())?;
    let mut table = transaction.open_table(HISTORY)?;
    for node in nodes.iter().filter(|node| node.level > 0) {
        let bytes = encode_node(node);
        table.insert((node.level, node.index), bytes.as_slice())?;
    }
    drop(table);
    Ok(transaction.commit()?)
}

/// Checks what opening can check in O(log n): the tables hold the same heights, the last record is whole, and the
/// history nodes that the last header completed follow from it. Returns the history.
fn check(tables: &Tables) -> Result<CompactRange, StoreError> {
    let length = |table: &ReadOnlyTable<u64, &'static [u8]>| -> Result<u64, StoreError> {
        let length = table.len().map_err(reading("counting records"))?;
        let last = table.last().map_err(reading("reading the last record"))?.map(|(height, _)| height.value());
        if last != length.checked_sub(1) {
            return corrupt(format!("{length} records end at height {last:?}"));
        }
        Ok(length)
    };
    let size = length(&tables.headers)?;
    let (blocks, receipts) = (length(&tables.blocks)?, length(&tables.receipts)?);
    if (blocks, receipts) != (size, size) {
        return corrupt(format!("{size} headers, {blocks} blocks and {receipts} receipts"));
    }
    let nodes = tables.history.len().map_err(reading("counting the history"))?;
    if nodes != size - u64::from(size.count_ones()) {
        return corrupt(format!("{nodes} history nodes over {size} headers"));
    }
    let Some(last) = size.checked_sub(1) else { return Ok(CompactRange::new()) };
    let header = tables.header(last)?;
    content(&tables.blocks, "block", last, header.block)?;
    content(&tables.receipts, "receipts", last, header.receipts)?;
    let mut history = tables.over_nodes(|node| CompactRange::from_nodes(last, node))?;
    for node in history.append(merkle::leaf_hash(&header.hash.0)) {
        if tables.node(node.level, node.index)? != node.hash {
            return corrupt(format!("history node {}/{} does not follow from header {last}", node.level, node.index));
        }
    }
    Ok(history)
}

/// redb panics on some rotten pages that it reads: an error like any other damage.
fn unpanicked<T>(read: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(StoreError::Corrupt("a page of the log does not make sense".into())))
}
