//! A file of pages that knows what it wrote: each page has a checksum, and one that is read wrong is an error, never an
//! answer. redb keeps checksums of its own, but looks at them only after a crash: a key that rots, or a page above it,
//! would be a balance that is missing, and the next block would be built on that. And it panics over pages that make no
//! sense, which in the middle of its own writing can end the process.
//!
//! Always: a page's checksum is on disk with the page when a sync returns. redb never overwrites a page that the last commit
//! holds, but for the first one, its header; so after a crash every page that is read has the checksum it was written with.
//! The header is held against its checksum when the file was closed, and against redb's own checksums when it was not.
//! Once a page was found wrong, the file says so when it is opened again after it was closed.
//! Nothing that was read is written: what is written wrong stays wrong, and what is read wrong may be right the next time.
//! Pages are written whole, so that each has a checksum: one without was never written, and holds zeros.
//! Never here: what is in the pages.

use crate::runtime::mutants::{Mutant, planted};
use crate::store::file::backend::Backend;
use crate::store::file::check::{CHECK_BYTES, Check, check};
use crate::store::file::directory::locks_of;
use redb::StorageBackend;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of a page, of redb's and of the file's.
const PAGE: usize = 4096;
pub(in crate::store) const PAGE_BYTES: u64 = PAGE as u64;
/// Pages whose checksums are on one page before them.
const GROUP: u64 = (PAGE / CHECK_BYTES) as u64;
/// The head is there twice: a write that is torn leaves one of them.
const HEAD_COPIES: [usize; 2] = [0, 512];
const MAGIC: [u8; 16] = *b"chancery/pages/2";
/// Magic, mark, what it is about, check.
const HEAD_BYTES: usize = MAGIC.len() + 1 + 8 + CHECK_BYTES;

type Checksum = Check;
/// Of a page that was never written.
const NO_CHECKSUM: Checksum = [0; CHECK_BYTES];

/// What the head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// Being written, or the power went.
    Open,
    /// Closed, with the checksum of the first page.
    Closed(Checksum),
    /// This page was read and did not match its checksum.
    Wrong(u64),
}

impl Mark {
    /// Both copies.
    fn encode(self) -> Vec<u8> {
        let (mark, about) = match self {
            Self::Open => (0, [0; 8]),
            Self::Closed(checksum) => (1, checksum),
            Self::Wrong(page) => (2, page.to_le_bytes()),
        };
        let mut copy = [&MAGIC[..], &[mark], &about].concat();
        let checksum = check(b"head", &copy);
        copy.extend_from_slice(&checksum);
        let mut bytes = vec![0; HEAD_COPIES[1] + HEAD_BYTES];
        HEAD_COPIES.iter().for_each(|at| bytes[*at..at + HEAD_BYTES].copy_from_slice(&copy));
        bytes
    }

    fn decode(head: &[u8]) -> Option<Self> {
        HEAD_COPIES.iter().find_map(|at| {
            let (content, checksum) = head.get(*at..at + HEAD_BYTES)?.split_last_chunk::<CHECK_BYTES>()?;
            let (&mark, about) = content.strip_prefix(&MAGIC)?.split_first()?;
            let about = about.try_into().ok()?;
            match mark {
                _ if check(b"head", content) != *checksum => None,
                0 => Some(Self::Open),
                1 => Some(Self::Closed(about)),
                2 => Some(Self::Wrong(u64::from_le_bytes(about))),
                _ => None,
            }
        })
    }
}

/// The checksum of a page in its place.
fn checksum_of(page: u64, bytes: &[u8]) -> Checksum {
    match check(&page.to_le_bytes(), bytes) {
        NO_CHECKSUM => [1; CHECK_BYTES],
        checksum => checksum,
    }
}

fn wrong(page: u64) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("page {page} of the file does not match its checksum"))
}

/// Where the page of checksums of a group is.
const fn place_of_checksums(group: u64) -> u64 {
    (1 + group * (GROUP + 1)) * PAGE_BYTES
}

/// Where a byte of a page is.
const fn place(offset: u64) -> u64 {
    let group = offset / (GROUP * PAGE_BYTES);
    place_of_checksums(group) + PAGE_BYTES + offset % (GROUP * PAGE_BYTES)
}

/// Bytes of the file for so many bytes of pages.
const fn bytes_of_file(length: u64) -> u64 {
    match length {
        0 => PAGE_BYTES,
        length => place(length - 1) + 1,
    }
}

/// Bytes of pages in so many bytes of the file.
const fn bytes_of_pages(length: u64) -> u64 {
    let groups = length.saturating_sub(PAGE_BYTES);
    let rest = (groups % ((GROUP + 1) * PAGE_BYTES)).saturating_sub(PAGE_BYTES);
    groups / ((GROUP + 1) * PAGE_BYTES) * GROUP * PAGE_BYTES + rest
}

/// A backend whose pages have checksums.
#[derive(Debug)]
struct Checksummed {
    backend: Backend,
    inner: Mutex<ChecksumsInner>,
}

#[derive(Debug)]
struct ChecksumsInner {
    mark: Mark,
    /// The first page, as it was written last.
    first: Vec<u8>,
    /// Whether the file is known to hold it: written since, or read and compared with its checksum.
    first_is_sure: bool,
    /// Checksums that are not in the file yet, by page, with the change that each is of.
    fresh: BTreeMap<u64, (Checksum, u64)>,
    /// Changes so far, and how many of them were synced.
    changes: u64,
    synced: u64,
}

/// The pages of a file that can be made anew. As [`open_anyway`], and [`io::ErrorKind::InvalidData`] if a page was found
/// wrong.
pub(in crate::store) fn open(backend: Backend) -> io::Result<Backend> {
    open_with(backend, Err)
}

/// The pages of a file, which may be empty. One of an earlier build has no checksums, and stays so.
/// [`io::ErrorKind::InvalidData`] if it is another file, or if it was closed and its first page is wrong: that page says
/// what the last commit was.
pub(in crate::store) fn open_anyway(backend: Backend) -> io::Result<Backend> {
    open_with(backend, |_| Ok(Mark::Open))
}

fn open_with(backend: Backend, found_wrong: fn(io::Error) -> io::Result<Mark>) -> io::Result<Backend> {
    let length = backend.len()?;
    let mut head = vec![0; PAGE];
    if length >= PAGE_BYTES {
        backend.read(0, &mut head)?;
    }
    let mut first = vec![0; PAGE];
    if bytes_of_pages(length) >= PAGE_BYTES {
        let mut again = vec![0; PAGE];
        backend.read(place(0), &mut first)?;
        backend.read(place(0), &mut again)?;
        // Of a file that was not closed nothing else says whether it was read right, and it says which commit is the last.
        if first != again {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the first page is not read twice alike"));
        }
    }
    let mark = match Mark::decode(&head) {
        Some(Mark::Wrong(page)) => found_wrong(wrong(page))?,
        Some(Mark::Closed(checksum)) if checksum != checksum_of(0, &first) => return Err(wrong(0)),
        Some(mark) => mark,
        // Nothing else is written before the head is on disk.
        None if length <= PAGE_BYTES => {
            backend.set_len(PAGE_BYTES)?;
            backend.write(0, &Mark::Open.encode())?;
            backend.sync_data()?;
            Mark::Open
        }
        None => return Err(io::Error::new(io::ErrorKind::InvalidData, "it holds no pages with checksums")),
    };
    let first_is_sure = matches!(mark, Mark::Closed(_));
    let inner = ChecksumsInner { mark, first, first_is_sure, fresh: BTreeMap::new(), changes: 0, synced: 0 };
    Ok(Box::new(Checksummed { backend, inner: Mutex::new(inner) }))
}

impl Checksummed {
    /// Not held while the disk works, but at the first change and at the end. Nothing is left half done where it could
    /// panic.
    fn lock(&self) -> MutexGuard<'_, ChecksumsInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks the file as open, on disk, before its first write. Returns the number of the change.
    fn begin_change(&self) -> io::Result<u64> {
        let mut inner = self.lock();
        inner.changes += 1;
        if matches!(inner.mark, Mark::Closed(_)) {
            self.backend.write(0, &Mark::Open.encode())?;
            self.backend.sync_data()?;
            inner.mark = Mark::Open;
        }
        Ok(inner.changes)
    }

    /// Holds pages of one group, the first of them `page`, against their checksums.
    fn hold(&self, page: u64, bytes: &[u8]) -> io::Result<()> {
        let pages = bytes.len() / PAGE;
        let fresh: Vec<(u64, Checksum)> = self
            .lock()
            .fresh
            .range(page..page + pages as u64)
            .map(|(page, (checksum, _))| (*page, *checksum))
            .collect();
        let mut checksums = vec![0; pages * CHECK_BYTES];
        if fresh.len() < pages {
            self.backend.read(place_of_checksum(page), &mut checksums)?;
        }
        for (fresh, checksum) in fresh {
            checksums[(fresh - page) as usize * CHECK_BYTES..][..CHECK_BYTES].copy_from_slice(&checksum);
        }
        for ((page, bytes), checksum) in (page..).zip(bytes.chunks_exact(PAGE)).zip(checksums.chunks_exact(CHECK_BYTES))
        {
            // Checksums that are lost say of pages that were written that they never were.
            let right = match *checksum == NO_CHECKSUM {
                true => bytes.iter().all(|byte| *byte == 0),
                false => *checksum == checksum_of(page, bytes),
            };
            if !right && !planted(Mutant::ChecksumUnchecked) {
                return Err(self.found_wrong(page));
            }
        }
        Ok(())
    }

    /// Writes what begins in the first page: all of that, since what stays of it may have been read wrong, and the file is
    /// held against what is here when it was closed.
    fn write_first(&self, at: usize, data: &[u8]) -> io::Result<()> {
        let mut page = self.lock().first.clone();
        let (own, others) = data.split_at(data.len().min(PAGE - at));
        page[at..at + own.len()].copy_from_slice(own);
        self.backend.write(place(0), &[&page, others].concat())?;
        let mut inner = self.lock();
        (inner.first, inner.first_is_sure) = (page, true);
        Ok(())
    }

    /// Records the first wrong page for the next opening of the file.
    fn found_wrong(&self, page: u64) -> io::Error {
        let mut inner = self.lock();
        if !matches!(inner.mark, Mark::Wrong(_)) {
            inner.mark = Mark::Wrong(page);
        }
        wrong(page)
    }
}

/// Where the checksum of a page is.
const fn place_of_checksum(page: u64) -> u64 {
    place_of_checksums(page / GROUP) + page % GROUP * CHECK_BYTES as u64
}

/// Checksums that stand one behind the other in the file: where the first one of each such run is, and their bytes.
fn runs(checksums: &BTreeMap<u64, (Checksum, u64)>) -> Vec<(u64, Vec<u8>)> {
    let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
    for (page, (checksum, _)) in checksums {
        let place = place_of_checksum(*page);
        match runs.last_mut() {
            Some((begin, bytes)) if *begin + bytes.len() as u64 == place => bytes.extend_from_slice(checksum),
            _ => runs.push((place, checksum.to_vec())),
        }
    }
    runs
}

/// The parts of a range of bytes that are in one group each: where each begins, and its bytes.
fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, Range<usize>)> {
    let mut from = 0_usize;
    std::iter::from_fn(move || {
        let at = offset + from as u64;
        let left = GROUP * PAGE_BYTES - at % (GROUP * PAGE_BYTES);
        let part = from..length.min(from.saturating_add(left as usize));
        from = part.end;
        (!part.is_empty()).then_some((at, part))
    })
}

/// The whole pages, but for the first of all, among bytes that begin at `offset`: the first of them, and their bytes.
fn whole(offset: u64, length: usize) -> (u64, Range<usize>) {
    let page = offset.div_ceil(PAGE_BYTES).max(1);
    let begin = ((page * PAGE_BYTES - offset) as usize).min(length);
    (page, begin..begin + (length - begin) / PAGE * PAGE)
}

impl StorageBackend for Checksummed {
    fn len(&self) -> io::Result<u64> {
        self.backend.len().map(bytes_of_pages)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        for (at, part) in parts(offset, out.len()) {
            let out = &mut out[part];
            self.backend.read(place(at), out)?;
            let (page, pages) = whole(at, out.len());
            if !pages.is_empty() {
                self.hold(page, &out[pages])?;
            }
        }
        // What the disk says of the first page now is held against nothing.
        let first = PAGE_BYTES.saturating_sub(offset).min(out.len() as u64) as usize;
        if first > 0 {
            out[..first].copy_from_slice(&self.lock().first[offset as usize..][..first]);
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.begin_change()?;
        let length = bytes_of_file(length);
        self.lock().fresh.retain(|page, _| place(page * PAGE_BYTES) < length);
        self.backend.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        let (fresh, changes) = {
            let inner = self.lock();
            (inner.fresh.clone(), inner.changes)
        };
        for (place, checksums) in runs(&fresh) {
            self.backend.write(place, &checksums)?;
        }
        self.backend.sync_data()?;
        let mut inner = self.lock();
        inner.fresh.retain(|page, checksum| fresh.get(page) != Some(checksum));
        inner.synced = changes;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let end = offset + data.len() as u64;
        let whole_pages = |at: u64| at < PAGE_BYTES || at.is_multiple_of(PAGE_BYTES);
        if !whole_pages(offset) || !whole_pages(end) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a page is written in parts: it would have no checksum",
            ));
        }
        let change = self.begin_change()?;
        for (at, part) in parts(offset, data.len()) {
            let data = &data[part];
            match at < PAGE_BYTES {
                true => self.write_first(at as usize, data)?,
                false => self.backend.write(place(at), data)?,
            }
            let (page, pages) = whole(at, data.len());
            let checksum = |(page, bytes): (u64, &[u8])| (page, (checksum_of(page, bytes), change));
            let checksums: Vec<_> = (page..).zip(data[pages].chunks_exact(PAGE)).map(checksum).collect();
            self.lock().fresh.extend(checksums);
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        let inner = self.lock();
        let mark = match inner.mark {
            Mark::Open if inner.synced == inner.changes && inner.first_is_sure && inner.fresh.is_empty() => {
                Mark::Closed(checksum_of(0, &inner.first))
            }
            mark => mark,
        };
        if mark != Mark::Open {
            // Lost, it leaves a file that was not closed.
            let _ = self.backend.write(0, &mark.encode());
        }
        self.backend.close()
    }

    locks_of!(self, self.backend);
}

#[cfg(test)]
mod tests;
