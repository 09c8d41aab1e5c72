//! The tables of `log.redb`, their records, and the newest blocks, which are on disk in the write-ahead log and not in
//! them yet: one view of both.
//!
//! Each record carries a check, held against it on every read: rot is found where it is, not where it leads.
//! Ours (decision 15): the tables are redb's, which looks at its own checksums only after a crash.
//! Never here: locks, and the order in which blocks become readable (`log.rs`).

use crate::store::error::StoreError;
use crate::store::file::check::{CHECK_BYTES, Check, check, check_of};
use crate::store::file::directory::says_corrupt;
use crate::store::log::record::{BlockRecord, FORMAT};
use crate::store::log::wal::Checked;
use bytes::Bytes;
use ledger_classes::merkle::{self, CompactRange, MerklePathError, Node};
use ledger_classes::primitives::hash::Hash;
use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
    WriteTransaction,
};
use std::cell::RefCell;
use std::sync::Arc;

const BLOCKS: TableDefinition<u64, &[u8]> = TableDefinition::new("blocks");
const RECEIPTS: TableDefinition<u64, &[u8]> = TableDefinition::new("receipts");
const HEADERS: TableDefinition<u64, &[u8]> = TableDefinition::new("headers");
const HISTORY: TableDefinition<(u8, u64), &[u8]> = TableDefinition::new("history");
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

/// Version, hash, check.
const NODE_BYTES: usize = 1 + 32 + CHECK_BYTES;

/// A record of the header table.
#[derive(Clone, Copy)]
struct Header {
    hash: Hash,
    block: Check,
    receipts: Check,
}

impl Header {
    /// Version, hash, checks of block and receipts, check.
    const BYTES: usize = 1 + 32 + 3 * CHECK_BYTES;

    fn of(block: &Checked) -> Self {
        Self { hash: block.record.header_hash, block: block.block, receipts: block.receipts }
    }

    fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [FORMAT; Self::BYTES];
        bytes[1..33].copy_from_slice(&self.hash.0);
        bytes[33..41].copy_from_slice(&self.block);
        bytes[41..49].copy_from_slice(&self.receipts);
        let check = check_of(&bytes[..49]);
        bytes[49..].copy_from_slice(&check);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (content, check) = bytes.split_last_chunk()?;
        let (&version, rest) = content.split_first()?;
        let (hash, rest) = rest.split_first_chunk()?;
        let (block, rest) = rest.split_first_chunk()?;
        let receipts = rest.try_into().ok()?;
        let sound = version == FORMAT && check_of(content) == *check;
        sound.then_some(Self { hash: Hash(*hash), block: *block, receipts })
    }
}

/// Version, hash, and a check that is over the node's place too: proofs are made of these, and nothing else is held
/// against them when they are read.
fn encode_node(node: &Node) -> [u8; NODE_BYTES] {
    let mut bytes = [FORMAT; NODE_BYTES];
    bytes[1..33].copy_from_slice(&node.hash.0);
    let check = check(&place_of(node.level, node.index), &bytes[..33]);
    bytes[33..].copy_from_slice(&check);
    bytes
}

fn decode_node(level: u8, index: u64, record: &[u8]) -> Option<Hash> {
    let (content, found) = record.split_last_chunk()?;
    match content {
        [FORMAT, hash @ ..] if check(&place_of(level, index), content) == *found => Some(Hash(hash.try_into().ok()?)),
        _ => None,
    }
}

/// Level, index.
fn place_of(level: u8, index: u64) -> [u8; 9] {
    let mut place = [level; 9];
    place[1..].copy_from_slice(&index.to_be_bytes());
    place
}

pub(in crate::store) fn corrupt<T>(what: impl Into<String>) -> Result<T, StoreError> {
    Err(StoreError::Corrupt(what.into()))
}

/// Corruption that redb reports becomes [`StoreError::Corrupt`].
pub(in crate::store) fn reading<E: Into<redb::Error>>(operation: &'static str) -> impl FnOnce(E) -> StoreError {
    move |error| {
        let error = error.into();
        match says_corrupt(&error) {
            true => StoreError::Corrupt(format!("{operation}: {error}")),
            false => StoreError::disk(operation)(error),
        }
    }
}

/// The same, of what is at a height.
fn reading_at<E: Into<redb::Error>>(operation: &'static str, height: u64) -> impl FnOnce(E) -> StoreError {
    move |error| match reading(operation)(error) {
        StoreError::Corrupt(why) => StoreError::Corrupt(format!("height {height}: {why}")),
        error => error,
    }
}

/// A block that is on disk, in the write-ahead log, and not in the tables yet.
pub(in crate::store) struct Newest {
    pub(in crate::store) block: Checked,
    /// The history's nodes that it completes.
    pub(in crate::store) nodes: Vec<Node>,
}

/// The newest blocks, ascending without gap up to the tip. Cheap to clone.
pub(in crate::store) type Tail = Arc<Vec<Arc<Newest>>>;

fn in_tail(tail: &Tail, height: u64) -> Option<&Newest> {
    let first = tail.first()?.block.record.height;
    tail.get(usize::try_from(height.checked_sub(first)?).ok()?).map(|newest| &**newest)
}

/// The tables at one moment, and what is newer.
pub(in crate::store) struct Tables {
    tail: Tail,
    blocks: ReadOnlyTable<u64, &'static [u8]>,
    receipts: ReadOnlyTable<u64, &'static [u8]>,
    headers: ReadOnlyTable<u64, &'static [u8]>,
    history: ReadOnlyTable<(u8, u64), &'static [u8]>,
}

impl Tables {
    pub(in crate::store) fn open(transaction: &ReadTransaction, tail: Tail) -> Result<Self, StoreError> {
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
        let Some(record) = self.headers.get(height).map_err(reading_at("reading a header", height))? else {
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

    pub(in crate::store) fn header_hash(&self, height: u64) -> Result<Hash, StoreError> {
        self.held_header(height).map(|header| header.hash)
    }

    /// A complete subtree of the history; leaves are computed from the header hashes.
    pub(in crate::store) fn node(&self, level: u8, index: u64) -> Result<Hash, StoreError> {
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

    pub(in crate::store) fn block(&self, height: u64) -> Result<Bytes, StoreError> {
        match in_tail(&self.tail, height) {
            Some(newest) => Ok(newest.block.record.block.clone()),
            None => content(&self.blocks, "block", height, self.header(height)?.block),
        }
    }

    pub(in crate::store) fn receipts(&self, height: u64) -> Result<Bytes, StoreError> {
        match in_tail(&self.tail, height) {
            Some(newest) => Ok(newest.block.record.receipts.clone()),
            None => content(&self.receipts, "receipts", height, self.header(height)?.receipts),
        }
    }

    /// Answers from the nodes of the history. Of a failed lookup the path knows only that there was no node:
    /// what the store said is kept aside and returned.
    pub(in crate::store) fn over_nodes<T>(
        &self,
        answer: impl FnOnce(&dyn Fn(u8, u64) -> Option<Hash>) -> Result<T, MerklePathError>,
    ) -> Result<T, StoreError> {
        let failure = RefCell::new(None);
        let node = |level, index| self.node(level, index).map_err(|error| failure.replace(Some(error))).ok();
        let answer = answer(&node);
        match (failure.take(), answer) {
            (Some(error), _) => Err(error),
            (None, Ok(answer)) => Ok(answer),
            (None, Err(MerklePathError::OutOfBounds { index, size })) => {
                Err(StoreError::OutsideHistory { size, asked: index })
            }
            (None, Err(error @ MerklePathError::MissingNode { .. })) => corrupt(error.to_string()),
        }
    }
}

/// Bytes of a record, held against their check.
fn content(
    table: &ReadOnlyTable<u64, &'static [u8]>,
    what: &'static str,
    height: u64,
    expected: Check,
) -> Result<Bytes, StoreError> {
    let record = table.get(height).map_err(reading_at("reading a record", height))?;
    match record.as_ref().map(|record| record.value()) {
        Some([FORMAT, bytes @ ..]) if check(&height.to_le_bytes(), bytes) == expected => {
            Ok(Bytes::copy_from_slice(bytes))
        }
        Some(_) => corrupt(format!("the {what} record of height {height} does not match its check")),
        None => corrupt(format!("height {height} has no {what} record")),
    }
}

pub(in crate::store) fn initialise(database: &Database) -> Result<(), redb::Error> {
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

pub(in crate::store) fn write_blocks(database: &Database, blocks: &[Arc<Newest>]) -> Result<(), redb::Error> {
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

/// The history of a log that agrees with itself.
pub(in crate::store) fn history_of(database: &Database) -> Result<CompactRange, StoreError> {
    let transaction = database.begin_read().map_err(reading("reading the log"))?;
    let meta = transaction.open_table(META).map_err(reading("opening the table of meta data"))?;
    let format = meta.get("format").map_err(reading("reading the format"))?;
    match format.as_ref().map(|record| record.value()) {
        Some([FORMAT]) => agree(&Tables::open(&transaction, Tail::default())?),
        Some(other) => corrupt(format!("format {other:?} is not known, {FORMAT} is")),
        None => corrupt("no format is named"),
    }
}

/// Checks what opening can check in O(log n): the tables hold the same heights, the last record is whole, and the
/// history nodes that the last header completed follow from it. Returns the history.
fn agree(tables: &Tables) -> Result<CompactRange, StoreError> {
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
