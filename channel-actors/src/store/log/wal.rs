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
use crate::store::file::backend::Backend;
use crate::store::file::check::{CHECK_BYTES, Check, check, under};
use crate::store::file::directory::WalFile;
use crate::store::log::record::{BlockRecord, FORMAT};
use bytes::Bytes;
use ledger_classes::primitives::hash::Hash;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

/// What a disk writes whole: records begin at such borders, so that writing one changes no sector of another.
const SECTOR: usize = 512;
/// What a disk loses whole: no page has bytes of both copies of a record.
const PAGE: usize = 4096;
/// Bytes of a new write-ahead log. It doubles up to its bound when it is full.
const BYTES_MIN: usize = 64 * 1024;
/// Bytes of a file that is taken for a write-ahead log at all, and so of a write-ahead log.
const BYTES_READ_MAX: usize = 64 * 1024 * 1024;
/// A block larger than this part of the bound goes into the log at once: the copy would cost more than it saves.
const LARGE_PART: usize = 8;
/// Blocks since opening that go into the log at once: a channel that resumes for a few needs no write-ahead log.
const DIRECT_BLOCKS: u64 = 4;
/// The same after no write-ahead log could be made.
const DIRECT_BLOCKS_WITHOUT: u64 = 1_000;

const KEY_BYTES: usize = 32;
/// Version, key, length of the file, check.
const HEAD_BYTES: usize = 1 + KEY_BYTES + 4 + CHECK_BYTES;
/// Version, height, history root before it, header hash, lengths and checks of block and receipts, check.
const RECORD_HEAD_BYTES: usize = 1 + 8 + 2 * 32 + 2 * (4 + CHECK_BYTES) + CHECK_BYTES;

/// Random: it is in the file, and nowhere else.
type Key = [u8; KEY_BYTES];

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
    open: Option<OpenWal>,
}

struct OpenWal {
    backend: Backend,
    key: Key,
    /// Bytes of the file, written when it was lengthened, so that a sync has only bytes to bring to the disk.
    length: usize,
    /// The part of the file in use: the first copies of its records are in its first half, the second ones in the other.
    part: Range<usize>,
    /// Where the next record begins, from the beginning of its half.
    end: usize,
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
        let length = backend.len().map_err(failed("measuring the wal"))?;
        let length = usize::try_from(length).ok().filter(|length| *length <= BYTES_READ_MAX);
        let length = length.ok_or_else(|| StoreError::Corrupt("the wal is too long to be one".into()))?;
        let mut bytes = vec![0; length];
        backend.read(0, &mut bytes).map_err(failed("reading the wal"))?;
        match decode_head(&bytes).or_else(|| decode_torn_head(&bytes)) {
            Some((_, length)) if length > bytes.len() => {
                Err(StoreError::Corrupt(format!("the wal is cut off: {} of {length} bytes", bytes.len())))
            }
            Some((key, _)) => Ok((wal, find(&bytes, &key, size)?)),
            // A crash while it was made: no record is written before its head is on disk.
            None if bytes.iter().skip(SECTOR).all(|byte| *byte == 0) => Ok((wal, Vec::new())),
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
            None => match OpenWal::create(&*self.file, self.bytes_max.min(BYTES_MIN))? {
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
        encode(block, &open.key, &mut record);
        record.resize(copy, 0);
        if planted(Mutant::AcknowledgedBeforeSync) {
            open.sync()?;
        }
        for place in places {
            open.backend.write(place as u64, &record).map_err(failed("writing the wal"))?;
        }
        if !planted(Mutant::AcknowledgedBeforeSync) && !planted(Mutant::SyncLeftOut) {
            open.sync()?;
        }
        open.end += copy;
        Ok(true)
    }

    /// All that it holds is in the log: the next record overwrites the first.
    pub(in crate::store) fn restart(&mut self) {
        if let Some(open) = &mut self.open {
            open.part = 0..open.length;
            open.end = SECTOR;
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

impl OpenWal {
    /// A new write-ahead log, on disk. `None` if there can be none now: the log does without.
    fn create(file: &dyn WalFile, length: usize) -> Result<Option<Self>, StoreError> {
        let mut key = Key::default();
        if SystemRandom::new().fill(&mut key).is_err() {
            return Ok(None);
        }
        let backend = match file.create() {
            Ok(backend) => backend,
            Err(error) => {
                tracing::debug!(error = error.chain(), "no wal could be made");
                return Ok(None);
            }
        };
        let mut open = Self { backend, key, length: 0, part: 0..length, end: SECTOR };
        open.lengthen(length)?;
        open.sync()?;
        Ok(Some(open))
    }

    /// Where the two copies of the next record begin, so many bytes each. The file becomes longer for it, by a part of as
    /// many bytes as it has; `None` if its bound does not let it.
    fn room(&mut self, copy: usize, bytes_max: usize) -> Result<Option<[usize; 2]>, StoreError> {
        while self.end + copy > half(&self.part) {
            let part = self.part.end..(2 * self.part.end).min(bytes_max);
            if part.is_empty() {
                return Ok(None);
            }
            if part.end > self.length {
                self.lengthen(part.end)?;
            }
            (self.part, self.end) = (part, 0);
        }
        let first = self.part.start + self.end;
        Ok(Some([first, first + half(&self.part)]))
    }

    /// Writes all of what is new, so that later syncs need not tell the file system of it. The head tells of it once it is
    /// on disk; the next sync is for the head, too.
    fn lengthen(&mut self, length: usize) -> Result<(), StoreError> {
        let lengthening = || failed("lengthening the wal");
        self.backend.set_len(length as u64).map_err(lengthening())?;
        self.backend.write(self.length as u64, &vec![0; length - self.length]).map_err(lengthening())?;
        self.sync()?;
        self.backend.write(0, &encode_head(&self.key, length)).map_err(lengthening())?;
        self.length = length;
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.backend.sync_data().map_err(failed("syncing the wal"))
    }
}

/// Bytes of each half of a part: whole pages.
fn half(part: &Range<usize>) -> usize {
    part.len() / 2 / PAGE * PAGE
}

fn failed(operation: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    StoreError::disk(operation)
}

fn encode_head(key: &Key, length: usize) -> Vec<u8> {
    let length = u32::try_from(length).expect("a wal is bounded").to_le_bytes();
    let mut bytes = [&[FORMAT][..], key, &length].concat();
    let checksum = check(b"wal", &bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

/// The key, and the bytes that the file had at least.
fn decode_head(bytes: &[u8]) -> Option<(Key, usize)> {
    let (content, checksum) = bytes.get(..HEAD_BYTES)?.split_last_chunk::<CHECK_BYTES>()?;
    let (versioned, length) = content.split_last_chunk()?;
    match versioned {
        [FORMAT, key @ ..] if check(b"wal", content) == *checksum => {
            Some((key.try_into().ok()?, usize::try_from(u32::from_le_bytes(*length)).ok()?))
        }
        _ => None,
    }
}

/// A head whose writing was cut off when the file was lengthened: it begins as the new one and goes on as the one before,
/// and these differ in length and check only. No record is beyond the length before.
fn decode_torn_head(bytes: &[u8]) -> Option<(Key, usize)> {
    let (head, key) = (bytes.get(..HEAD_BYTES)?, bytes.get(1..=KEY_BYTES)?.try_into().ok()?);
    let after = encode_head(&key, bytes.len());
    let lengths = std::iter::successors(Some(BYTES_MIN), |length| Some(2 * length));
    lengths.take_while(|length| *length < bytes.len()).find_map(|length| {
        let before = encode_head(&key, length);
        let torn = |cut: usize| head[..cut] == after[..cut] && head[cut..] == before[cut..];
        (0..HEAD_BYTES).any(torn).then_some((key, length))
    })
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
