//! Files of pages that hold records twice: what the write-ahead log of a channel and the peer's log of ordering records
//! have in common.
//!
//! Always: a record begins at a sector, so that writing one changes no sector of another, and is written twice, no page of
//! the disk having bytes of both: rot in one copy loses nothing, and neither does a page that is lost. The file has a key
//! that is in no other place: checks under it ([`under`](crate::store::file::check::under)) keep bytes that others choose
//! from being taken for a record, wherever in the file they are. The file was written when it was lengthened, so that a sync
//! has only bytes to bring to the disk.
//! Never here: what a record is, and which of them still counts.

use crate::store::error::StoreError;
use crate::store::file::backend::Backend;
use crate::store::file::check::{CHECK_BYTES, check};
use ring::rand::{SecureRandom as _, SystemRandom};
use std::io;
use std::ops::Range;

/// What a disk writes whole: records begin at such borders.
pub(in crate::store) const SECTOR: usize = 512;
/// What a disk loses whole.
pub(in crate::store) const PAGE: usize = 4096;
/// Bytes of a new file. It doubles up to its bound when it is full.
pub(in crate::store) const BYTES_MIN: usize = 64 * 1024;

const KEY_BYTES: usize = 32;

/// Random: it is in the file, and nowhere else.
pub(in crate::store) type Key = [u8; KEY_BYTES];

/// A key, if the system has any now.
pub(in crate::store) fn draw_key() -> Option<Key> {
    let mut key = Key::default();
    SystemRandom::new().fill(&mut key).is_ok().then_some(key)
}

/// Of which kind a file of pages is.
#[derive(Debug)]
pub(in crate::store) struct Form {
    /// First byte of its head.
    pub(in crate::store) version: u8,
    /// Under which name the check of its head is.
    pub(in crate::store) name: &'static [u8],
    /// Where copies of its head are, each in a page of its own.
    pub(in crate::store) heads: &'static [usize],
    /// Bytes of each half of a new file before the first record.
    pub(in crate::store) begin: usize,
    /// What it is, in words, and what failed when something does.
    pub(in crate::store) what: &'static str,
    /// See above.
    pub(in crate::store) reading: &'static str,
    /// See above.
    pub(in crate::store) lengthening: &'static str,
    /// See above.
    pub(in crate::store) writing: &'static str,
    /// See above.
    pub(in crate::store) syncing: &'static str,
}

/// An open file.
pub(in crate::store) struct Pages {
    form: &'static Form,
    /// What its head says of the file beside key and length.
    about: Vec<u8>,
    backend: Backend,
    key: Key,
    /// Bytes of the file that were written.
    length: usize,
    /// The part of the file in use: the first copies of its records are in its first half, the second ones in the other.
    part: Range<usize>,
    /// Where the next record begins, from the beginning of its half.
    end: usize,
}

impl Pages {
    /// A new file, on disk.
    pub(in crate::store) fn create(
        backend: Backend,
        form: &'static Form,
        about: &[u8],
        key: Key,
        length: usize,
    ) -> Result<Self, StoreError> {
        let (about, part) = (about.to_vec(), 0..length);
        let mut pages = Self { form, about, backend, key, length: 0, part, end: form.begin };
        pages.lengthen(length)?;
        pages.sync()?;
        Ok(pages)
    }

    /// What its records are checked under.
    pub(in crate::store) const fn key(&self) -> &Key {
        &self.key
    }

    /// The next record overwrites the first.
    pub(in crate::store) fn restart(&mut self) {
        self.part = 0..self.length;
        self.end = self.form.begin;
    }

    /// Where the two copies of the next record begin, so many bytes each. The file becomes longer for it, by a part of as
    /// many bytes as it has; `None` if its bound does not let it.
    pub(in crate::store) fn room(&mut self, copy: usize, bytes_max: usize) -> Result<Option<[usize; 2]>, StoreError> {
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

    /// Bytes of the file.
    pub(in crate::store) const fn length(&self) -> usize {
        self.length
    }

    /// Whether so many bytes find room in what is left of the part in use.
    pub(in crate::store) fn fits(&self, copy: usize) -> bool {
        self.end + copy <= half(&self.part)
    }

    /// Reads from the file.
    pub(in crate::store) fn read(&self, at: usize, out: &mut [u8]) -> Result<(), StoreError> {
        self.backend.read(at as u64, out).map_err(failed(self.form.reading))
    }

    /// Writes a record, padded to sectors, to places that [`Self::room`] has found.
    pub(in crate::store) fn write(&self, places: [usize; 2], record: &[u8]) -> Result<(), StoreError> {
        let write = |place| self.backend.write(place as u64, record);
        places.into_iter().try_for_each(write).map_err(failed(self.form.writing))
    }

    /// So many bytes of each half have been written.
    pub(in crate::store) const fn advance(&mut self, copy: usize) {
        self.end += copy;
    }

    /// Writes all of what is new, so that later syncs need not tell the file system of it. The head tells of it once it is
    /// on disk; the next sync is for the head, too.
    fn lengthen(&mut self, length: usize) -> Result<(), StoreError> {
        let lengthening = || failed(self.form.lengthening);
        self.backend.set_len(length as u64).map_err(lengthening())?;
        self.backend.write(self.length as u64, &vec![0; length - self.length]).map_err(lengthening())?;
        self.sync()?;
        let head = encode_head(self.form, &self.about, &self.key, length);
        for place in self.form.heads {
            self.backend.write(*place as u64, &head).map_err(lengthening())?;
        }
        self.length = length;
        Ok(())
    }

    /// What was written is on disk then.
    pub(in crate::store) fn sync(&self) -> Result<(), StoreError> {
        self.backend.sync_data().map_err(failed(self.form.syncing))
    }
}

/// Bytes of each half of a part: whole pages.
fn half(part: &Range<usize>) -> usize {
    part.len() / 2 / PAGE * PAGE
}

fn failed(operation: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    StoreError::disk(operation)
}

/// All bytes of a file that is one of at most so many.
pub(in crate::store) fn read_all(form: &Form, backend: &Backend, bytes_max: usize) -> Result<Vec<u8>, StoreError> {
    let length = backend.len().map_err(failed(form.reading))?;
    let length = usize::try_from(length).ok().filter(|length| *length <= bytes_max);
    let length = length.ok_or_else(|| StoreError::Corrupt(format!("{} is too long to be one", form.what)))?;
    let mut bytes = vec![0; length];
    backend.read(0, &mut bytes).map_err(failed(form.reading))?;
    Ok(bytes)
}

fn encode_head(form: &Form, about: &[u8], key: &Key, length: usize) -> Vec<u8> {
    let length = u32::try_from(length).expect("a file of pages is bounded").to_le_bytes();
    let mut bytes = [&[form.version][..], key, about, &length].concat();
    let checksum = check(form.name, &bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

/// The key, and the bytes that the file had at least, by one of its heads.
pub(in crate::store) fn find_head(form: &Form, about: &[u8], bytes: &[u8]) -> Option<(Key, usize)> {
    let head = |place: &usize| {
        let head = bytes.get(*place..)?;
        decode_head(form, about, head).or_else(|| decode_torn_head(form, about, head, bytes.len()))
    };
    form.heads.iter().filter_map(head).max_by_key(|(_, length)| *length)
}

/// Whether nothing but what may be a head that was not finished was ever written: no record is before its head is on disk.
pub(in crate::store) fn is_unwritten(form: &Form, bytes: &[u8]) -> bool {
    let of_head = |at: usize| form.heads.iter().any(|place| (*place..*place + SECTOR).contains(&at));
    bytes.iter().enumerate().all(|(at, byte)| *byte == 0 || of_head(at))
}

fn decode_head(form: &Form, about: &[u8], bytes: &[u8]) -> Option<(Key, usize)> {
    let (content, checksum) = bytes.get(..head_bytes(about))?.split_last_chunk::<CHECK_BYTES>()?;
    let (said, length) = content.split_last_chunk()?;
    let (version, said) = said.split_first()?;
    let (key, said) = said.split_first_chunk()?;
    let is_sound = (*version, said) == (form.version, about) && check(form.name, content) == *checksum;
    Some((*key, usize::try_from(u32::from_le_bytes(*length)).ok()?)).filter(|_| is_sound)
}

/// Version, key, what it is about, length of the file, check.
const fn head_bytes(about: &[u8]) -> usize {
    1 + KEY_BYTES + about.len() + 4 + CHECK_BYTES
}

/// A head whose writing was cut off when the file was lengthened: it begins as the new one and goes on as the one before,
/// and these differ in length and check only. No record is beyond the length before.
fn decode_torn_head(form: &Form, about: &[u8], bytes: &[u8], file_bytes: usize) -> Option<(Key, usize)> {
    let head_bytes = head_bytes(about);
    let (head, key) = (bytes.get(..head_bytes)?, bytes.get(1..=KEY_BYTES)?.try_into().ok()?);
    let after = encode_head(form, about, &key, file_bytes);
    let lengths = std::iter::successors(Some(BYTES_MIN), |length| Some(2 * length));
    lengths.take_while(|length| *length < file_bytes).find_map(|length| {
        let before = encode_head(form, about, &key, length);
        let torn = |cut: usize| head[..cut] == after[..cut] && head[cut..] == before[cut..];
        (0..head_bytes).any(torn).then_some((key, length))
    })
}
