//! `wal`: the newest small blocks, each on disk with one write and one sync, until as many as are worth a
//! transaction of redb go into the log together. A log that was closed has none.
//!
//! Always: a record is on disk when [`Wal::put`] returns; no record is overwritten before the log holds its block.
//! A record is written twice, in two pages of the disk or more: rot in one copy loses nothing, and neither does a page that
//! is lost; torn writes leave either a whole one or a block that was never acknowledged. Records begin at sectors and are
//! found wherever they are, by a check under a key that no one outside knows: bytes of a block, which others choose, are
//! never taken for a record. Those of heights that the log holds are left-overs.
//! Ours (decision 43): raft-engine is no faster, and for one flipped bit loses acknowledged records without a word, or
//! refuses every channel's.
//! Never here: what the log does with the blocks.

use crate::runtime::mutants::{Mutant, planted};
use crate::store::error::StoreError;
use crate::store::file::check::{CHECK_BYTES, Check, check, under};
use crate::store::file::directory::WalFile;
use crate::store::log::pages::{BYTES_MIN, Form, Key, Pages, SECTOR, draw_key, find_head, is_unwritten, read_all};
use crate::store::log::record::{BlockRecord, FORMAT};
use bytes::Bytes;
use ledger_classes::primitives::hash::Hash;
use std::collections::BTreeMap;

/// Bytes of a file that is taken for a write-ahead log at all, and so of a write-ahead log.
const BYTES_READ_MAX: usize = 64 * 1024 * 1024;
/// A block larger than this part of the bound goes into the log at once: the copy would cost more than it saves.
const LARGE_PART: usize = 8;
/// Blocks since opening that go into the log at once: a channel that resumes for a few needs no write-ahead log.
const DIRECT_BLOCKS: u64 = 4;
/// The same after no write-ahead log could be made.
const DIRECT_BLOCKS_WITHOUT: u64 = 1_000;

/// Version, height, history root before it, header hash, lengths and checks of block and receipts, check.
const RECORD_HEAD_BYTES: usize = 1 + 8 + 2 * 32 + 2 * (4 + CHECK_BYTES) + CHECK_BYTES;

static WAL: Form = Form {
    version: FORMAT,
    name: b"wal",
    heads: &[0],
    begin: SECTOR,
    what: "the wal",
    reading: "reading the wal",
    lengthening: "lengthening the wal",
    writing: "writing the wal",
    syncing: "syncing the wal",
};

/// A block, where it belongs, and the checks of its bytes at its height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Checked {
    pub(in crate::store) record: BlockRecord,
    /// Root of all header hashes before its own: of another log's block it is another.
    pub(in crate::store) history: Hash,
    pub(in crate::store) block: Check,
    pub(in crate::store) receipts: Check,
}

impl Checked {
    pub(in crate::store) fn of(record: BlockRecord, history: Hash) -> Self {
        let height = record.height.to_le_bytes();
        let (block, receipts) = (check(&height, &record.block), check(&height, &record.receipts));
        Self { record, history, block, receipts }
    }
}

/// The write-ahead log of a log.
pub(in crate::store) struct Wal {
    file: Box<dyn WalFile>,
    bytes_max: usize,
    /// Blocks that still go into the log at once.
    direct: u64,
    open: Option<Pages>,
}

impl Wal {
    fn new(file: Box<dyn WalFile>, bytes_max: usize) -> Self {
        Self { file, bytes_max: bytes_max.min(BYTES_READ_MAX), direct: DIRECT_BLOCKS, open: None }
    }

    /// A write-ahead log of at most so many bytes, of a new log. What an earlier log left there is removed.
    pub(in crate::store) fn create(file: Box<dyn WalFile>, bytes_max: usize) -> Result<Self, StoreError> {
        file.remove()?;
        Ok(Self::new(file, bytes_max))
    }

    /// The write-ahead log beside a log that holds `size` blocks, and the blocks that it holds beyond these. Put none
    /// before they are in the log, and [`Self::remove`] was called.
    pub(in crate::store) fn open(
        file: Box<dyn WalFile>,
        bytes_max: usize,
        size: u64,
    ) -> Result<(Self, Vec<Checked>), StoreError> {
        let wal = Self::new(file, bytes_max);
        let Some(backend) = wal.file.open()? else { return Ok((wal, Vec::new())) };
        let bytes = read_all(&WAL, &backend, BYTES_READ_MAX)?;
        match find_head(&WAL, &[], &bytes) {
            Some((_, length)) if length > bytes.len() => {
                Err(StoreError::Corrupt(format!("the wal is cut off: {} of {length} bytes", bytes.len())))
            }
            Some((key, _)) => Ok((wal, find(&bytes, &key, size)?)),
            // A crash while it was made.
            None if is_unwritten(&WAL, &bytes) => Ok((wal, Vec::new())),
            None => Err(StoreError::Corrupt("the head of the wal does not match its check".into())),
        }
    }

    /// Puts a block into the write-ahead log: it is on disk then. `false`, and nothing done, if it should go into the
    /// log, with all that the write-ahead log holds, followed by [`Self::restart`].
    pub(in crate::store) fn put(&mut self, block: &Checked) -> Result<bool, StoreError> {
        let bytes = RECORD_HEAD_BYTES + block.record.block.len() + block.record.receipts.len();
        if bytes > self.bytes_max / LARGE_PART {
            return Ok(false);
        }
        let open = match &mut self.open {
            Some(open) => open,
            None if self.direct > 0 => {
                self.direct -= 1;
                return Ok(false);
            }
            None => match create(&*self.file, self.bytes_max.min(BYTES_MIN))? {
                Some(open) => self.open.insert(open),
                None => {
                    self.direct = DIRECT_BLOCKS_WITHOUT;
                    return Ok(false);
                }
            },
        };
        let copy = bytes.next_multiple_of(SECTOR);
        let Some(places) = open.room(copy, self.bytes_max)? else { return Ok(false) };
        let mut record = Vec::with_capacity(copy);
        encode(block, open.key(), &mut record);
        record.resize(copy, 0);
        if planted(Mutant::AcknowledgedBeforeSync) {
            open.sync()?;
        }
        open.write(places, &record)?;
        if !planted(Mutant::AcknowledgedBeforeSync) && !planted(Mutant::SyncLeftOut) {
            open.sync()?;
        }
        open.advance(copy);
        Ok(true)
    }

    /// All that it holds is in the log: the next record overwrites the first.
    pub(in crate::store) fn restart(&mut self) {
        if let Some(open) = &mut self.open {
            open.restart();
        }
    }

    /// Removes the file: all that it holds is in the log. If that fails, what is left is known by its heights.
    pub(in crate::store) fn remove(&mut self) {
        self.release();
        if let Err(error) = self.file.remove() {
            tracing::warn!(error = error.chain(), "a wal stays beside its log");
        }
    }

    /// Closes the file and leaves it there.
    pub(in crate::store) fn release(&mut self) {
        self.open = None;
    }
}

/// A new write-ahead log, on disk. `None` if there can be none now: the log does without.
fn create(file: &dyn WalFile, length: usize) -> Result<Option<Pages>, StoreError> {
    let Some(key) = draw_key() else { return Ok(None) };
    match file.create() {
        Ok(backend) => Pages::create(backend, &WAL, &[], key, length).map(Some),
        Err(error) => {
            tracing::debug!(error = error.chain(), "no wal could be made");
            Ok(None)
        }
    }
}

fn encode(block: &Checked, key: &Key, bytes: &mut Vec<u8>) {
    let BlockRecord { height, header_hash, block: content, receipts } = &block.record;
    let length = |bytes: &Bytes| u32::try_from(bytes.len()).expect("a small block").to_le_bytes();
    bytes.push(FORMAT);
    bytes.extend_from_slice(&height.to_le_bytes());
    bytes.extend_from_slice(&block.history.0);
    bytes.extend_from_slice(&header_hash.0);
    for bytes_of in [content, receipts] {
        bytes.extend_from_slice(&length(bytes_of));
        bytes.extend_from_slice(&check(key, bytes_of));
    }
    let checksum = under(key, bytes);
    bytes.extend_from_slice(&checksum);
    bytes.extend_from_slice(content);
    bytes.extend_from_slice(receipts);
}

/// The record that begins here, if one does and is whole.
fn decode(bytes: &[u8], key: &Key) -> Option<Checked> {
    let (head, rest) = bytes.split_at_checked(RECORD_HEAD_BYTES)?;
    let (content, checksum) = head.split_last_chunk::<CHECK_BYTES>()?;
    let (&version, fields) = content.split_first()?;
    if version != FORMAT || under(key, content) != *checksum {
        return None;
    }
    let (height, fields) = fields.split_first_chunk()?;
    let (history, fields) = fields.split_first_chunk()?;
    let (header_hash, fields) = fields.split_first_chunk()?;
    let (block_bytes, fields) = fields.split_first_chunk()?;
    let (block, fields) = fields.split_first_chunk::<CHECK_BYTES>()?;
    let (receipts_bytes, fields) = fields.split_first_chunk()?;
    let receipts: &Check = fields.try_into().ok()?;
    let length = |bytes: &[u8; 4]| usize::try_from(u32::from_le_bytes(*bytes)).ok();
    let (content, rest) = rest.split_at_checked(length(block_bytes)?)?;
    let receipts_content = rest.get(..length(receipts_bytes)?)?;
    // Under the key, too: whoever chooses a block's bytes must not choose some that are whole when a part of them is not.
    if check(key, content) != *block || check(key, receipts_content) != *receipts {
        return None;
    }
    let record = BlockRecord {
        height: u64::from_le_bytes(*height),
        header_hash: Hash(*header_hash),
        block: Bytes::copy_from_slice(content),
        receipts: Bytes::copy_from_slice(receipts_content),
    };
    Some(Checked::of(record, Hash(*history)))
}

/// The blocks of heights from `size` on, in order. One of which no copy is whole was never finished, and then there is
/// none after it.
fn find(bytes: &[u8], key: &Key, size: u64) -> Result<Vec<Checked>, StoreError> {
    let (mut found, mut at) = (BTreeMap::new(), SECTOR);
    while at < bytes.len() {
        let Some(block) = decode(&bytes[at..], key) else {
            at += SECTOR;
            continue;
        };
        let length = RECORD_HEAD_BYTES + block.record.block.len() + block.record.receipts.len();
        at += length.next_multiple_of(SECTOR);
        if block.record.height >= size {
            found.insert(block.record.height, block);
        }
    }
    match found.keys().zip(size..).find(|(height, expected)| *height != expected) {
        None => Ok(found.into_values().collect()),
        Some((height, expected)) => {
            Err(StoreError::Corrupt(format!("the wal holds block {height}, but neither it nor the log {expected}")))
        }
    }
}
