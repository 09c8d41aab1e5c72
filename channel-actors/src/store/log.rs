//! `log.redb`: blocks, receipts, header hashes and the nodes of the history tree. The truth of a channel, with the
//! journal, which holds its newest small blocks.
//!
//! Always: heights are `0..size` without gap, in every table up to some height and in the journal and in memory from
//! there on; a height is readable only after it is on disk, by a sync of the journal or by a transaction (two fsyncs:
//! quick-repair commits are two-phase, so that reopening after a crash does not walk the file); after the first failed
//! write nothing is written again.
//! Each record carries SHA-256 digests of its bytes, checked on every read: rot is found where it is, not where
//! it leads.

use super::error::{Latch, StoreError};
use super::files::{StoreFiles, catching, open_database, open_error, release, says_corrupt};
use super::journal::{Digested, Journal};
use super::lock::{lock, read, write};
use super::record::check as keyed_check;
use super::{BlockRecord, CHECK_BYTES, FORMAT, StoreOptions, check_of, digest};
use bytes::Bytes;
use ledger_classes::hash::Hash;
use ledger_classes::merkle::{self, CompactRange, Node, PathError};
use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
    WriteTransaction,
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

    fn of(block: &Digested) -> Self {
        Self { hash: block.record.header_hash, block: block.block, receipts: block.receipts }
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

/// A block that is on disk, in the journal, and not in the tables yet.
struct Newest {
    block: Digested,
    /// The history's nodes that it completes.
    nodes: Vec<Node>,
}

/// The newest blocks, ascending without gap up to the tip. Cheap to clone.
type Tail = Arc<Vec<Arc<Newest>>>;

fn in_tail(tail: &Tail, height: u64) -> Option<&Newest> {
    let first = tail.first()?.block.record.height;
    tail.get(usize::try_from(height.checked_sub(first)?).ok()?).map(|newest| &**newest)
}

/// The tables at one moment, and what is newer.
struct Tables {
    tail: Tail,
    blocks: ReadOnlyTable<u64, &'static [u8]>,
    receipts: ReadOnlyTable<u64, &'static [u8]>,
    headers: ReadOnlyTable<u64, &'static [u8]>,
    history: ReadOnlyTable<(u8, u64), &'static [u8]>,
}

impl Tables {
    fn open(transaction: &ReadTransaction, tail: Tail) -> Result<Self, StoreError> {
        Ok(Self {
            tail,
            blocks: transaction.open_table(BLOCKS).map_err(reading("opening the table of blocks"))?,
            receipts: transaction.open_table(RECEIPTS).map_err(reading("opening the table of receipts"))?,
            headers: transaction.open_table(HEADERS).map_err(reading("opening the table of headers"))?,
            history: transaction.open_table(HISTORY).map_err(reading("opening the table of the history"))?,
        })
    }

    fn header(&self, height: u64) -> Result<Header, StoreError> {
        if let Some(newest) = in_tail(&self.tail, height) {
            return Ok(Header::of(&newest.block));
        }
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
        let stored = match self.newest_node(1, height / 2) {
            Some(hash) => Some(hash),
            None => {
                let record = self.history.get((1, height / 2)).map_err(reading("reading the history"))?;
                let Some(record) = record else { return Ok(header) };
                decode_node(1, height / 2, record.value())
            }
        };
        let leaf = |height| self.header(height).map(|header| merkle::leaf_hash(&header.hash.0));
        let pair = merkle::node_hash(&leaf(height & !1)?, &leaf(height | 1)?);
        match stored == Some(pair) {
            true => Ok(header),
            false => corrupt(format!("the header record of height {height} does not agree with the history")),
        }
    }

    /// A complete subtree of the history; leaves are computed from the header hashes.
    fn node(&self, level: u8, index: u64) -> Result<Hash, StoreError> {
        if level == 0 {
            return Ok(merkle::leaf_hash(&self.held_header(index)?.hash.0));
        }
        if let Some(hash) = self.newest_node(level, index) {
            return Ok(hash);
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

    /// A complete subtree whose last leaf is among the newest blocks.
    fn newest_node(&self, level: u8, index: u64) -> Option<Hash> {
        let last_leaf = (index.checked_add(1)?.checked_mul(1_u64.checked_shl(level.into())?)?).checked_sub(1)?;
        let nodes = &in_tail(&self.tail, last_leaf)?.nodes;
        nodes.iter().find(|node| (node.level, node.index) == (level, index)).map(|node| node.hash)
    }

    fn block(&self, height: u64) -> Result<Bytes, StoreError> {
        match in_tail(&self.tail, height) {
            Some(newest) => Ok(newest.block.record.block.clone()),
            None => content(&self.blocks, "block", height, self.header(height)?.block),
        }
    }

    fn receipts(&self, height: u64) -> Result<Bytes, StoreError> {
        match in_tail(&self.tail, height) {
            Some(newest) => Ok(newest.block.record.receipts.clone()),
            None => content(&self.receipts, "receipts", height, self.header(height)?.receipts),
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
    /// Its lock makes the one writer.
    writer: Mutex<Writer>,
    /// What the tables do not hold yet.
    tail: RwLock<Tail>,
    /// Blocks on disk: the next height.
    size: AtomicU64,
    latch: Arc<Latch>,
}

struct Writer {
    /// The tree over the header hashes on disk.
    history: CompactRange,
    journal: Journal,
}

impl Log {
    /// Initialises an empty log.
    pub(super) fn create(files: &dyn StoreFiles, options: StoreOptions, latch: Arc<Latch>) -> Result<Self, StoreError> {
        let backend = files.create_log()?;
        let journal = Journal::create(files.journal(), options.journal_bytes_max)?;
        let database =
            open_database(backend, options.log_cache_bytes).map_err(|error| open_error("log.redb", error))?;
        initialise(&database).map_err(StoreError::disk("initialising the log"))?;
        Ok(Self::new(database, CompactRange::new(), journal, latch))
    }

    /// Opens a log and checks that its tables agree and that its last record is whole. What its journal holds is in the
    /// tables then.
    pub(super) fn open(files: &dyn StoreFiles, options: StoreOptions, latch: Arc<Latch>) -> Result<Self, StoreError> {
        let backend = files.open_log()?;
        if backend.len().is_ok_and(|bytes| bytes == 0) {
            return corrupt("the file is empty");
        }
        let database = open_database(backend, options.log_cache_bytes).map_err(|error| match says_corrupt(&error) {
            true => StoreError::Corrupt(error.to_string()),
            false => open_error("log.redb", error),
        })?;
        let opened = unpanicked(|| {
            let history = {
                let transaction = database.begin_read().map_err(StoreError::disk("reading the log"))?;
                let meta = transaction.open_table(META).map_err(reading("opening the table of meta data"))?;
                let format = meta.get("format").map_err(reading("reading the format"))?;
                match format.as_ref().map(|record| record.value()) {
                    Some([FORMAT]) => check(&Tables::open(&transaction, Tail::default())?),
                    Some(other) => corrupt(format!("format {other:?} is not known, {FORMAT} is")),
                    None => corrupt("no format is named"),
                }?
            };
            let (mut journal, blocks) = Journal::open(files.journal(), options.journal_bytes_max, history.size())?;
            let history = take_over(&database, history, blocks)?;
            journal.remove();
            Ok((history, journal))
        });
        match opened {
            Ok((history, journal)) => Ok(Self::new(database, history, journal, latch)),
            Err(error) => {
                release("log.redb", Some(database));
                Err(error)
            }
        }
    }

    fn new(database: Database, history: CompactRange, journal: Journal, latch: Arc<Latch>) -> Self {
        let size = AtomicU64::new(history.size());
        let writer = Mutex::new(Writer { history, journal });
        Self { database: RwLock::new(Some(database)), writer, tail: RwLock::default(), size, latch }
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
        let block = Digested::of(record.clone(), next.root());
        let nodes = next.append(merkle::leaf_hash(&record.header_hash.0));
        let database = read(&self.database);
        let database = database.as_ref().ok_or(StoreError::Closed)?;
        let journalled = writer.journal.put(&block).map_err(|error| self.latch.hold(error))?;
        let newest = Arc::new(Newest { block, nodes });
        if journalled {
            Arc::make_mut(&mut write(&self.tail)).push(newest);
        } else {
            self.write_through(database, &mut writer, Some(newest))?;
        }
        writer.history = next;
        self.size.store(writer.history.size(), Ordering::Release);
        assert_eq!(self.size(), record.height + 1, "the log ends with the block just appended");
        Ok(())
    }

    /// Puts the newest blocks, and one more, into the tables. The journal begins anew.
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
        writer.journal.restart();
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
    /// journal.
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
        self.below_tip(height, |tables| tables.held_header(height).map(|header| header.hash))
    }

    /// Blocks from `from` on, in order.
    pub(super) fn blocks(&self, from: u64, limit: usize) -> Result<Vec<Bytes>, StoreError> {
        let end = self.size().min(from.saturating_add(limit as u64));
        if from >= end {
            return Ok(Vec::new());
        }
        self.answer(|| {
            let (tables, mut blocks, mut bytes) = (self.tables()?, Vec::new(), 0);
            for height in from..end {
                let block = tables.block(height)?;
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
        lock(&self.writer).history.clone()
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

    /// Proof that the first `first` header hashes are a prefix of the first `second`.
    pub(super) fn history_consistency(&self, first: u64, second: u64) -> Result<Vec<Hash>, StoreError> {
        self.in_tree(second, |node| merkle::consistency_path_from_nodes(first, second, node))
    }

    /// Puts the newest blocks into the tables and releases the files. The journal stays if that fails.
    pub(super) fn close(&self) -> Result<(), StoreError> {
        let mut writer = lock(&self.writer);
        let settled = match &*read(&self.database) {
            Some(database) if self.latch.check().is_ok() => self.settle(database, &mut writer),
            _ => Ok(()),
        };
        writer.journal.release();
        release("log.redb", write(&self.database).take());
        settled
    }

    fn settle(&self, database: &Database, writer: &mut Writer) -> Result<(), StoreError> {
        if !self.tail().is_empty() {
            self.write_through(database, writer, None)?;
        }
        writer.journal.remove();
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

fn put_contents(
    transaction: &WriteTransaction,
    table: TableDefinition<u64, &[u8]>,
    blocks: &[Arc<Newest>],
    bytes_of: fn(&BlockRecord) -> &Bytes,
) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(table)?;
    for newest in blocks {
        let bytes = bytes_of(&newest.block.record);
        let mut place = table.insert_reserve(newest.block.record.height, bytes.len() + 1)?;
        let (version, rest) = place.as_mut().split_at_mut(1);
        version[0] = FORMAT;
        rest.copy_from_slice(bytes);
    }
    Ok(())
}

fn write_blocks(database: &Database, blocks: &[Arc<Newest>]) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    put_contents(&transaction, BLOCKS, blocks, |record| &record.block)?;
    put_contents(&transaction, RECEIPTS, blocks, |record| &record.receipts)?;
    let mut table = transaction.open_table(HEADERS)?;
    for newest in blocks {
        table.insert(newest.block.record.height, Header::of(&newest.block).encode().as_slice())?;
    }
    drop(table);
    let mut table = transaction.open_table(HISTORY)?;
    for node in blocks.iter().flat_map(|newest| &newest.nodes).filter(|node| node.level > 0) {
        table.insert((node.level, node.index), encode_node(node).as_slice())?;
    }
    drop(table);
    Ok(transaction.commit()?)
}

/// Puts what a journal held into the tables. Returns the history with it.
fn take_over(
    database: &Database,
    mut history: CompactRange,
    blocks: Vec<Digested>,
) -> Result<CompactRange, StoreError> {
    let of = |block: Digested| {
        if block.history != history.root() {
            return corrupt(format!("block {} of the journal follows another log", block.record.height));
        }
        let nodes = history.append(merkle::leaf_hash(&block.record.header_hash.0));
        Ok(Arc::new(Newest { block, nodes }))
    };
    let blocks = blocks.into_iter().map(of).collect::<Result<Vec<_>, _>>()?;
    if !blocks.is_empty() {
        catching(|| write_blocks(database, &blocks)).map_err(StoreError::disk("taking over the journal"))?;
    }
    Ok(history)
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
