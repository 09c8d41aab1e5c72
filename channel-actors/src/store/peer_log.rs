//! The peer's log: what the ordering engines of all its channels keep, each batch of records with one sync for all.
//!
//! Always: a record is on disk when [`PeerLogCore::sync`] after its writing returns, and is found after any power loss from
//! then on, until a base of its channel that is on disk stands for it, or the channel is forgotten. It is written twice, in
//! two pages of the disk or more (`store/log/pages.rs`). What was on the disk and cannot be read halts its channel, by name,
//! and no other; what was never acknowledged may be there or not. A sync that failed is never tried again: from then on the
//! log takes nothing, for the reason that there was. A disk without room refuses a batch as a whole, and nothing of it was
//! acknowledged: the next one may find room.
//! [`PeerLogCore`] has no thread and no clock; [`PeerLog`] is the thread above it that gathers, writes, syncs once and answers.
//! Never here: what a record says. Blocks: they are in the log of their channel.
//! Ours (decision 56): raft-engine loses acknowledged records for one flipped bit, or refuses every channel's.

mod error;
mod index;
mod record;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

pub use error::{Failure, Lost, PutError, RECORD_BYTES_MAX, TakeError};
pub use segment::{SegmentDirectory, SegmentFiles};
pub use writer::PeerLog;

use super::error::StoreError;
use super::file::backend::Backend;
use super::log::pages::{BYTES_MIN, Key, Pages};
use bytes::Bytes;
use error::room_error;
use index::{Found, Index, Kept, Place};
use ledger_classes::primitives::hash::Hash;
use record::{Evidence, Head, Kind};
use segment::SEGMENT;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Records of a batch. So many sequence numbers may have been given to what a power loss left nothing of.
pub const BATCH_RECORDS_MAX: usize = 4_096;
/// The oldest segment is copied forward once what counts in it is less than this part of its bytes.
const SPARSE_PART: u64 = 4;

/// Bounds of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerLogOptions {
    /// Bytes that segments take of the disk, but for the one that is being written. What counts of all channels may take half
    /// of it, both copies together: beyond, records are refused, and bases, which make room, are not.
    pub bytes_max: u64,
    /// Bytes of a segment. One is longer only for a record that needs it.
    pub segment_bytes_max: usize,
}

impl Default for PeerLogOptions {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self { bytes_max: 1024 * MIB as u64, segment_bytes_max: 16 * MIB }
    }
}

/// What a channel's engine keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// One more record.
    Record(Bytes),
    /// A record that stands for all of the channel before it.
    Base(Bytes),
    /// All of the channel goes: it has left, or is another one under the same id.
    Forget,
}

impl What {
    /// Bytes of its body.
    fn bytes(&self) -> usize {
        match self {
            Self::Record(body) | Self::Base(body) => body.len(),
            Self::Forget => 0,
        }
    }
}

/// Something to be kept of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Which channel.
    pub channel: Hash,
    /// What.
    pub what: What,
}

/// A record that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number in the log of all channels: ascending, with gaps.
    pub sequence: u64,
    /// It stands for all before it.
    pub base: bool,
    /// What the engine wrote.
    pub body: Bytes,
}

/// The log, without a thread: whoever calls it waits for the disk.
pub struct PeerLogCore {
    files: Box<dyn SegmentFiles>,
    options: PeerLogOptions,
    index: Index,
    /// All segments with what is needed to read them.
    segments: BTreeMap<u64, Opened>,
    /// The one that is being written: the last one, if there is any since the start.
    active: Option<(u64, Pages)>,
    /// Bytes of the next segment.
    next_bytes: usize,
    next_sequence: u64,
    /// Records that are written and not synced.
    written: Vec<Kept>,
    /// Of the last batch: records that are on the disk and that no list says so of.
    unlisted: BTreeMap<Hash, Evidence>,
    /// The last segment in which all channels are listed of which something is lost.
    listed_in: u64,
    /// A segment was begun, and old ones were not looked at since.
    untidy: bool,
    failure: Option<Failure>,
}

#[derive(Clone, Copy)]
struct Opened {
    key: Key,
    bytes: usize,
}

impl PeerLogCore {
    /// Opens the log and finds what counts in it. What was written, and perhaps never synced, is on disk then.
    ///
    /// # Errors
    /// The disk does not answer, or a segment cannot be read as a whole.
    pub fn open(files: Box<dyn SegmentFiles>, options: PeerLogOptions) -> Result<Self, StoreError> {
        let numbers: BTreeSet<u64> = files.list()?.into_iter().collect();
        let (mut found, mut segments) = (Found::default(), BTreeMap::<u64, Opened>::new());
        for number in numbers {
            let (bytes, key) = segment::read(&*files, number)?;
            if let Some(last) = segments.keys().next_back().filter(|last| number != **last + 1) {
                let missing = format!("segment {} of the ordering records is not there, and {number} is", last + 1);
                return Err(StoreError::Corrupt(missing));
            }
            segments.insert(number, Opened { key, bytes: bytes.len() });
            record::scan(&bytes, &key, |head, at, body| {
                found.record(head, number, at, Head::copy_bytes(body.len()));
                if head.kind == Kind::Synced {
                    record::decode_synced(body).for_each(|(channel, evidence)| found.synced(channel, evidence));
                }
            });
        }
        let next_sequence = found.newest().checked_add(2 + BATCH_RECORDS_MAX as u64);
        let next_sequence = next_sequence.filter(|next| *next < u64::MAX / 2);
        let next_sequence = next_sequence
            .ok_or_else(|| StoreError::Corrupt("ordering records have numbers that nobody gave them".into()))?;
        let (index, unsure) = found.settle();
        let mut log = Self {
            files,
            options,
            index,
            segments,
            active: None,
            next_bytes: BYTES_MIN,
            next_sequence,
            written: Vec::new(),
            unlisted: BTreeMap::new(),
            listed_in: 0,
            untidy: false,
            failure: None,
        };
        if !unsure.is_empty() {
            log.copy(&unsure).map_err(|error| match error {
                CopyError::Lost(_) => StoreError::Corrupt("an ordering record was read, and then it was not".into()),
                CopyError::Open(error) | CopyError::Write(error) => error,
            })?;
            // So the next start need not do it again.
            log.confirm()?;
            log.tidy();
        }
        Ok(log)
    }

    /// A channel's records, from its newest base on, or from its first one.
    ///
    /// # Errors
    /// Something of them cannot be read.
    pub fn take(&self, channel: &Hash) -> Result<Vec<Record>, TakeError> {
        let sequence = self.index.last(channel).map_err(|sequence| Lost { channel: *channel, sequence })?;
        let mut open = None;
        let record = |kept: &Kept| match self.read(kept, &mut open)? {
            Ok(body) => Ok(Record { sequence: kept.head.sequence, base: kept.head.kind == Kind::Base, body }),
            Err(Some(error)) => Err(TakeError::Read(error)),
            Err(None) => Err(TakeError::Lost(Lost { channel: *channel, sequence })),
        };
        self.index.chain(channel).map(record).collect()
    }

    /// Channels of which something is lost.
    pub fn lost(&self) -> Vec<Lost> {
        self.index.lost().map(|(channel, Evidence { sequence, .. })| Lost { channel, sequence }).collect()
    }

    /// Bytes that segments take, and those of what counts in them.
    pub fn bytes(&self) -> (u64, u64) {
        (self.segments.values().map(|segment| segment.bytes as u64).sum(), self.index.bytes())
    }

    /// Writes a batch, of at most [`BATCH_RECORDS_MAX`]; says of each whether it is written. None is on disk before
    /// [`Self::sync`], which must follow.
    pub fn write(&mut self, batch: &[Write]) -> Vec<Result<(), PutError>> {
        assert!(self.written.is_empty() && batch.len() <= BATCH_RECORDS_MAX, "each batch is synced");
        if let Some(failure) = &self.failure {
            return batch.iter().map(|_| Err(failure.clone().into())).collect();
        }
        let (mut records, mut last, mut bytes) = (Vec::new(), BTreeMap::new(), self.index.bytes());
        let (list, says_lost) = self.list();
        if !list.is_empty() {
            records.push(self.list_record(&list));
        }
        let listed = records.len();
        let mut verdicts: Vec<_> = batch
            .iter()
            .map(|write| {
                let (head, body) = self.admit(write, &mut last, &mut bytes)?;
                records.push((head, body));
                Ok(())
            })
            .collect();
        if records.len() == listed {
            return verdicts;
        }
        if let Err(error) = self.put(&records) {
            self.written.clear();
            let error = self.refusal(error);
            verdicts.iter_mut().filter(|verdict| verdict.is_ok()).for_each(|verdict| *verdict = Err(error.clone()));
        } else if says_lost {
            self.listed();
        }
        verdicts
    }

    /// What is to be listed: what the last batch brought to the disk, and once in each segment what is lost; whether it says
    /// the latter.
    fn list(&self) -> (BTreeMap<Hash, Evidence>, bool) {
        let mut list = self.unlisted.clone();
        let says_lost = self.active.as_ref().is_none_or(|(number, _)| *number != self.listed_in);
        if says_lost {
            list.extend(self.index.lost());
        }
        (list, says_lost)
    }

    fn list_record(&mut self, list: &BTreeMap<Hash, Evidence>) -> (Head, Bytes) {
        let (channel, sequence) = (Hash([0; 32]), self.number());
        let head = Head { kind: Kind::Synced, channel, sequence, before: 0, durable: 0 };
        (head, Bytes::from(record::encode_synced(list)))
    }

    /// The list that a batch begins with is written.
    fn listed(&mut self) {
        self.listed_in = self.written.first().map_or(self.listed_in, |first| first.place.segment);
    }

    /// Writes what is to be listed, and nothing else.
    fn confirm(&mut self) -> Result<(), StoreError> {
        let (list, says_lost) = self.list();
        let record = self.list_record(&list);
        self.put(&[record])?;
        if says_lost {
            self.listed();
        }
        self.written.clear();
        self.unlisted.clear();
        self.active.as_ref().map_or(Ok(()), |(_, pages)| pages.sync())
    }

    fn number(&mut self) -> u64 {
        self.next_sequence += 1;
        self.next_sequence - 1
    }

    /// The record of a write, if it may be written. `last` is of the channels in its batch: the last record of each, and the
    /// last one on the disk.
    fn admit(
        &mut self,
        write: &Write,
        last: &mut BTreeMap<Hash, (u64, u64)>,
        bytes: &mut u64,
    ) -> Result<(Head, Bytes), PutError> {
        let channel = write.channel;
        let (before, durable) = match (last.get(&channel), self.index.last(&channel)) {
            (Some(of_batch), _) => *of_batch,
            (None, Ok(durable)) => (durable, durable),
            (None, Err(_)) if write.what == What::Forget => (0, 0),
            (None, Err(sequence)) => return Err(Lost { channel, sequence }.into()),
        };
        let (kind, body) = match &write.what {
            What::Record(body) => (Kind::Record, body.clone()),
            What::Base(body) => (Kind::Base, body.clone()),
            What::Forget => (Kind::Forgotten, Bytes::new()),
        };
        if body.len() > RECORD_BYTES_MAX {
            return Err(PutError::TooLarge { bytes: body.len() });
        }
        let more = *bytes + 2 * Head::copy_bytes(body.len()) as u64;
        let bytes_max = self.options.bytes_max / 2;
        if kind == Kind::Record && more > bytes_max {
            return Err(PutError::Full { bytes: more, bytes_max });
        }
        *bytes = more;
        let sequence = self.number();
        // Who is forgotten begins anew: what was on the disk before is nobody's.
        last.insert(channel, if kind == Kind::Forgotten { (0, 0) } else { (sequence, durable) });
        Ok((Head { kind, channel, sequence, before, durable }, body))
    }

    /// All that was written is on disk when this returns.
    ///
    /// # Errors
    /// The disk says no. Then the log has failed, and nothing that was written counts.
    pub fn sync(&mut self) -> Result<(), Failure> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if self.written.is_empty() {
            return Ok(());
        }
        if let Some((_, pages)) = &self.active
            && let Err(error) = pages.sync()
        {
            self.written.clear();
            return Err(self.fail(&error));
        }
        self.unlisted.clear();
        for kept in std::mem::take(&mut self.written) {
            if kept.head.kind != Kind::Synced {
                let forgotten = kept.head.kind == Kind::Forgotten;
                self.unlisted.insert(kept.head.channel, Evidence { sequence: kept.head.sequence, forgotten });
                self.index.add(kept);
            }
        }
        if std::mem::take(&mut self.untidy) {
            self.tidy();
        }
        Ok(())
    }

    /// Writes records to the segment in use, or to new ones.
    fn put(&mut self, records: &[(Head, Bytes)]) -> Result<(), StoreError> {
        let mut chunk = Vec::new();
        for (head, body) in records {
            let copy = Head::copy_bytes(body.len());
            let fits = |(_, pages): &(u64, Pages)| pages.fits(chunk.len() + copy);
            if !self.active.as_ref().is_some_and(fits) {
                self.flush(&mut chunk)?;
                self.make_room(copy)?;
            }
            let bytes_max = self.options.segment_bytes_max;
            let (segment, pages) = self.active.as_mut().expect("there is room in it");
            let [first, second] = pages.room(copy, bytes_max)?.expect("there is room in it");
            let copies = [first + chunk.len(), second + chunk.len()];
            record::encode(head, body, pages.key(), &mut chunk);
            self.written.push(Kept { head: *head, place: Place { segment: *segment, copies, bytes: copy } });
        }
        self.flush(&mut chunk)
    }

    /// Writes a part of a batch.
    fn flush(&mut self, chunk: &mut Vec<u8>) -> Result<(), StoreError> {
        let Some((_, pages)) = self.active.as_mut().filter(|_| !chunk.is_empty()) else { return Ok(()) };
        let places = pages.room(chunk.len(), self.options.segment_bytes_max)?.expect("there is room in it");
        pages.write(places, chunk)?;
        pages.advance(chunk.len());
        chunk.clear();
        Ok(())
    }

    /// Room for a copy in the segment in use, or in a new one.
    fn make_room(&mut self, copy: usize) -> Result<(), StoreError> {
        if let Some((number, pages)) = &mut self.active {
            let found = pages.room(copy, self.options.segment_bytes_max)?;
            if let Some(opened) = self.segments.get_mut(number) {
                opened.bytes = pages.length();
            }
            if found.is_some() {
                return Ok(());
            }
            // Nothing of it is synced later.
            pages.sync()?;
            self.next_bytes = pages.length().min(self.options.segment_bytes_max);
        }
        let number = self.segments.keys().next_back().map_or(1, |last| last + 1);
        let bytes = std::mem::replace(&mut self.next_bytes, BYTES_MIN);
        let pages = segment::create(&*self.files, number, bytes, copy)?;
        self.segments.insert(number, Opened { key: *pages.key(), bytes: pages.length() });
        self.active = Some((number, pages));
        self.untidy = true;
        Ok(())
    }

    /// Removes the oldest segments in which nothing counts, and copies what counts in old ones that are nearly empty, or
    /// more than there may be, to the one in use. What cannot be done now is done later.
    fn tidy(&mut self) {
        // Each at most once.
        for _ in 0..self.segments.len() {
            let (bytes, _) = self.bytes();
            let Some((&oldest, opened)) = self.segments.first_key_value() else { return };
            let in_use = self.active.as_ref().map_or(0, |(number, _)| *number);
            // What says that something is lost is not lost.
            let says = self.index.lost().next().is_some().then_some(self.listed_in);
            if oldest >= in_use || says.is_some_and(|listed_in| oldest >= listed_in) {
                return;
            }
            let is_sparse = self.index.bytes_in(oldest) <= opened.bytes as u64 / SPARSE_PART;
            if !is_sparse && bytes <= self.options.bytes_max {
                return;
            }
            let kept = self.index.in_segment(oldest);
            match self.copy(&kept) {
                Ok(()) => {}
                Err(CopyError::Lost(channels)) => {
                    tracing::error!(?channels, "ordering records rotted on the disk: these channels halt");
                    channels.into_iter().for_each(|channel| self.index.lose(channel));
                    // They are listed before anything goes.
                    self.listed_in = 0;
                    self.untidy = true;
                    return;
                }
                Err(CopyError::Open(error)) => return self.stays(oldest, &error.chain()),
                Err(CopyError::Write(error)) => {
                    self.written.clear();
                    let error = self.refusal(error);
                    return self.stays(oldest, &error.to_string());
                }
            }
            if let Err(error) = self.files.remove(oldest) {
                let error = self.refusal(error);
                return self.stays(oldest, &error.to_string());
            }
            self.segments.remove(&oldest);
        }
    }

    fn stays(&mut self, segment: u64, error: &str) {
        tracing::warn!(segment, error, "a segment of ordering records stays for now");
        self.untidy = true;
    }

    /// Copies records to the segment in use, and syncs them.
    fn copy(&mut self, kept: &[Kept]) -> Result<(), CopyError> {
        let (mut records, mut lost, mut open) = (Vec::new(), BTreeSet::new(), None);
        for kept in kept {
            match self.read(kept, &mut open).map_err(CopyError::Open)? {
                Ok(body) => records.push((kept.head, body)),
                Err(None) => drop(lost.insert(kept.head.channel)),
                // It may be read again: the segment stays.
                Err(Some(error)) => return Err(CopyError::Open(error)),
            }
        }
        if !lost.is_empty() {
            return Err(CopyError::Lost(lost));
        }
        if records.is_empty() {
            return Ok(());
        }
        self.put(&records).map_err(CopyError::Write)?;
        if let Some((_, pages)) = &self.active {
            pages.sync().map_err(CopyError::Write)?;
        }
        for kept in std::mem::take(&mut self.written) {
            let Head { channel, sequence, kind, .. } = kept.head;
            let forgotten = kind == Kind::Forgotten;
            let evidence = self.unlisted.entry(channel).or_insert(Evidence { sequence, forgotten });
            if evidence.sequence < sequence {
                *evidence = Evidence { sequence, forgotten };
            }
            self.index.moved(kept);
        }
        Ok(())
    }

    /// The body of a record, by whichever copy is whole; if none is, what the disk said. The last segment that was read
    /// stays open.
    fn read(
        &self,
        kept: &Kept,
        open: &mut Option<(u64, Backend)>,
    ) -> Result<Result<Bytes, Option<StoreError>>, StoreError> {
        let Kept { head, place } = kept;
        let Some(Opened { key, .. }) = self.segments.get(&place.segment) else { return Ok(Err(None)) };
        let (mut bytes, mut said) = (vec![0; place.bytes], None);
        for at in place.copies {
            let read = match &self.active {
                Some((number, pages)) if *number == place.segment => pages.read(at, &mut bytes),
                _ => {
                    if open.as_ref().is_none_or(|(number, _)| *number != place.segment) {
                        // One after the other: there may be more than a process may open.
                        *open = None;
                        *open = Some((place.segment, self.files.open(place.segment)?));
                    }
                    let (_, backend) = open.as_ref().expect("it is open");
                    backend.read(at as u64, &mut bytes).map_err(StoreError::disk(SEGMENT.reading))
                }
            };
            match read.map(|()| record::decode(&bytes, key).filter(|(found, _)| found == head)) {
                Ok(Some((_, body))) => return Ok(Ok(Bytes::copy_from_slice(body))),
                Ok(None) => {}
                Err(error) => said = Some(error),
            }
        }
        Ok(Err(said))
    }

    /// What an error means for what was to be written: no room, or the end of the log.
    fn refusal(&mut self, error: StoreError) -> PutError {
        match (self.failure.clone(), room_error(&error)) {
            (Some(failure), _) => failure.into(),
            (None, Some(kind)) => PutError::NoRoom { kind, words: error.chain() },
            (None, None) => self.fail(&error).into(),
        }
    }

    fn fail(&mut self, error: &StoreError) -> Failure {
        let kind = error.io_error().map_or(io::ErrorKind::Other, io::Error::kind);
        self.failure.get_or_insert_with(|| Failure { kind, words: error.chain() }).clone()
    }
}

/// Why records were not copied.
enum CopyError {
    /// None was: of these channels some cannot be read.
    Lost(BTreeSet<Hash>),
    /// A segment could not be opened.
    Open(StoreError),
    /// They could not be written.
    Write(StoreError),
}
