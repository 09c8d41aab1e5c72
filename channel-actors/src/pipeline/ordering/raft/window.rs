//! The part of Raft's log that is in memory: what is not cut, above a mark. The library reads its log here. What is cut is
//! in the channel's own log, sealed; nothing is ever cut above what the library calls applied, nor what is not durable there.

use super::form::{block_of, malformed};
use bytes::Bytes;
use ledger_classes::primitives::codec::DecodeError;
use ledger_classes::primitives::hash::Hash;
use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Storage, StorageError};
use std::collections::VecDeque;

/// A place in the log: an entry, and the last block up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) height: u64,
    pub(crate) hash: Hash,
}

struct Kept {
    entry: Entry,
    /// The last block up to this entry.
    height: u64,
    hash: Hash,
}

/// A block of the log.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) index: u64,
    pub(super) term: u64,
    pub(super) height: u64,
    pub(super) hash: Hash,
    pub(super) block: Bytes,
    /// It was said that its time is not asked.
    pub(super) settled: bool,
}

impl Named {
    pub(super) fn at(entry: &Entry, height: u64, hash: Hash) -> Self {
        let (index, term, block) = (entry.index, entry.term, entry.data.clone());
        Self { index, term, height, hash, block, settled: false }
    }
}

/// The window.
pub(super) struct Window {
    pub(super) base: Mark,
    kept: VecDeque<Kept>,
    bytes: usize,
    /// What the library begins with.
    hard: HardState,
    voters: Vec<u64>,
}

impl Window {
    pub(super) fn new(base: Mark) -> Self {
        Self { base, kept: VecDeque::new(), bytes: 0, hard: HardState::default(), voters: Vec::new() }
    }

    /// With what the library is to begin.
    pub(super) fn begin(&mut self, hard: HardState, voters: Vec<u64>) {
        (self.hard, self.voters) = (hard, voters);
    }

    pub(super) fn last(&self) -> Mark {
        self.kept.back().map_or(self.base, mark)
    }

    pub(super) fn count(&self) -> usize {
        self.kept.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    fn at(&self, index: u64) -> Option<&Kept> {
        self.kept.get(usize::try_from(index.checked_sub(self.base.index + 1)?).ok()?)
    }

    /// An entry with the last block up to it.
    pub(super) fn mark(&self, index: u64) -> Option<Mark> {
        if index == self.base.index { Some(self.base) } else { self.at(index).map(mark) }
    }

    /// The place of a block that is in the window.
    pub(super) fn block(&self, height: u64) -> Option<Mark> {
        let at = self.kept.partition_point(|kept| kept.height < height);
        self.kept.get(at).map(mark).filter(|mark| mark.height == height)
    }

    /// The last entry whose block is not above a height.
    pub(super) fn up_to(&self, height: u64) -> u64 {
        self.base.index + self.kept.partition_point(|kept| kept.height <= height) as u64
    }

    /// The blocks behind an entry, up to another one.
    pub(super) fn named(&self, behind: u64, last: u64) -> Vec<Named> {
        let skip = usize::try_from(behind.saturating_sub(self.base.index)).unwrap_or(usize::MAX);
        let kept = self.kept.iter().skip(skip).take_while(|kept| kept.entry.index <= last);
        let blocks = kept.filter(|kept| !kept.entry.data.is_empty());
        blocks.map(|kept| Named::at(&kept.entry, kept.height, kept.hash)).collect()
    }

    /// All entries, for a record that stands for all before it.
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.kept.iter().map(|kept| kept.entry.clone()).collect()
    }

    /// Puts entries behind an index, which is in the window. What stood there is gone.
    pub(super) fn append(&mut self, behind: u64, entries: Vec<Entry>) -> Result<(), DecodeError> {
        let stays = behind.checked_sub(self.base.index).and_then(|stays| usize::try_from(stays).ok());
        let stays = stays.filter(|stays| *stays <= self.kept.len());
        let stays = stays.ok_or_else(|| malformed("entries do not follow the log"))?;
        for gone in self.kept.drain(stays..) {
            self.bytes -= gone.entry.data.len();
        }
        for entry in entries {
            let Mark { index, term, mut height, mut hash } = self.last();
            if entry.index != index + 1 || entry.term < term || entry.term == 0 {
                return Err(malformed("entries do not follow the log"));
            }
            if let Some((block, named)) = block_of(&entry)? {
                if block != height + 1 {
                    return Err(malformed("blocks that do not follow each other"));
                }
                (height, hash) = (block, named);
            }
            self.bytes += entry.data.len();
            self.kept.push_back(Kept { entry, height, hash });
        }
        Ok(())
    }

    /// Forgets entries up to one at most, until no more than so many are left, and so many bytes; nothing, if that is little.
    /// The last one that is forgotten is the mark. True if something was forgotten.
    pub(super) fn cut(&mut self, index: u64, count: usize, bytes: usize) -> bool {
        let (mut left, mut size) = (self.kept.len(), self.bytes);
        let may = self.kept.iter().take_while(|kept| kept.entry.index <= index);
        let goes = may.take_while(|kept| {
            let goes = left > count || size > bytes;
            (left, size) = (left - 1, size - kept.entry.data.len());
            goes
        });
        let (mut gone, mut freed) = (0, 0);
        goes.for_each(|kept| (gone, freed) = (gone + 1, freed + kept.entry.data.len()));
        if gone < count / 2 && freed < bytes / 2 {
            return false;
        }
        for kept in self.kept.drain(..gone) {
            self.bytes -= kept.entry.data.len();
            self.base = mark(&kept);
        }
        true
    }

    /// Bytes of blocks behind an entry, up to another one.
    pub(super) fn bytes_between(&self, behind: u64, last: u64) -> usize {
        let above = self.kept.iter().rev().skip_while(|kept| kept.entry.index > last);
        above.take_while(|kept| kept.entry.index > behind).map(|kept| kept.entry.data.len()).sum()
    }
}

fn mark(kept: &Kept) -> Mark {
    Mark { index: kept.entry.index, term: kept.entry.term, height: kept.height, hash: kept.hash }
}

impl Storage for Window {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard.clone(), ConfState { voters: self.voters.clone(), ..ConfState::default() }))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.base.index {
            return Err(Error::Store(StorageError::Compacted));
        }
        let max_size = max_size.into().unwrap_or(u64::MAX);
        let mut size = 0;
        let kept = self.kept.iter().skip((low - self.base.index - 1) as usize);
        let kept = kept.take(high.saturating_sub(low) as usize).enumerate();
        // At least one, however large it is.
        let fits = kept.take_while(|(place, kept)| {
            size += kept.entry.data.len() as u64 + 16;
            *place == 0 || size <= max_size
        });
        Ok(fits.map(|(_, kept)| kept.entry.clone()).collect())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index < self.base.index {
            return Err(Error::Store(StorageError::Compacted));
        }
        self.mark(index).map(|mark| mark.term).ok_or(Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.base.index + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last().index)
    }

    /// What is cut is brought in another way than the library's.
    fn snapshot(&self, _: u64, _: u64) -> raft::Result<Snapshot> {
        Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
    }
}
