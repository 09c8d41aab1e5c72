//! Bytes of messages and records: taken strictly from the front, nothing claimed that is not there. The entries of a log have
//! one form in both.

use bytes::Bytes;
use ledger_classes::formats::block::{BLOCK_ENCODED_BYTES_MAX, Header};
use ledger_classes::primitives::codec::DecodeError;
use ledger_classes::primitives::hash::Hash;
use raft::eraftpb::Entry;

/// Entries of one message or record, at most: as many as a log keeps.
pub(super) const ENTRIES_MAX: usize = 8_192;

/// Terms, indexes and heights are never larger: one more is always there.
pub(super) const NUMBER_MAX: u64 = 1 << 62;

const OF_BLOCK: u8 = 0;
const OF_NOTHING: u8 = 1;

/// Bytes that are read from the front.
pub(super) struct Reader(Bytes);

impl Reader {
    pub(super) const fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    /// What is left, all of it.
    pub(super) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.0)
    }

    pub(super) fn take(&mut self, count: usize) -> Result<Bytes, DecodeError> {
        match count <= self.0.len() {
            true => Ok(self.0.split_to(count)),
            false => Err(malformed("it ends too early")),
        }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let taken = self.take(N)?;
        taken.as_ref().try_into().map_err(|_| malformed("it ends too early"))
    }

    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn short(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn long(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A term, an index or a height: none is ever so large that one more would not be there.
    pub(super) fn number(&mut self) -> Result<u64, DecodeError> {
        let number = self.long()?;
        match number <= NUMBER_MAX {
            true => Ok(number),
            false => Err(malformed("a number is out of range")),
        }
    }

    pub(super) fn end(self) -> Result<(), DecodeError> {
        match self.0.len() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing(left)),
        }
    }
}

pub(super) fn malformed(why: &str) -> DecodeError {
    DecodeError::Malformed(why.into())
}

/// Appends entries, whose indexes follow each other: how many, the head of each, and then their blocks one after the other.
pub(super) fn put_entries(entries: &[Entry], out: &mut Vec<u8>) {
    let entries = &entries[..entries.len().min(ENTRIES_MAX)];
    out.extend((entries.len() as u32).to_le_bytes());
    for entry in entries {
        out.push(if entry.data.is_empty() { OF_NOTHING } else { OF_BLOCK });
        out.extend(entry.term.to_le_bytes());
        out.extend((entry.data.len() as u32).to_le_bytes());
    }
    entries.iter().for_each(|entry| out.extend_from_slice(&entry.data));
}

/// The entries behind an index. Their blocks are parts of `reader`'s bytes, not copies.
pub(super) fn take_entries(reader: &mut Reader, behind: u64) -> Result<Vec<Entry>, DecodeError> {
    let count = reader.short()? as usize;
    if count > ENTRIES_MAX {
        return Err(malformed("too many entries"));
    }
    let mut heads = Vec::with_capacity(count);
    for index in (behind + 1..).take(count) {
        let (kind, term, length) = (reader.byte()?, reader.number()?, reader.short()? as usize);
        let good = match kind {
            OF_BLOCK => (1..=BLOCK_ENCODED_BYTES_MAX).contains(&length),
            OF_NOTHING => length == 0,
            _ => false,
        };
        if !good {
            return Err(malformed("an entry of another kind or size"));
        }
        heads.push((index, term, length));
    }
    let entry = |(index, term, length)| Ok(Entry { index, term, data: reader.take(length)?, ..Entry::default() });
    heads.into_iter().map(entry).collect()
}

/// Height and hash of the block that an entry holds, if it holds one.
pub(super) fn block_of(entry: &Entry) -> Result<Option<(u64, Hash)>, DecodeError> {
    if entry.data.is_empty() {
        return Ok(None);
    }
    let header = Header::of_block(&entry.data)?;
    match header.height <= NUMBER_MAX {
        true => Ok(Some((header.height, header.hash()))),
        false => Err(malformed("a height is out of range")),
    }
}
