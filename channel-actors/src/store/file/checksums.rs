//! A file of pages that knows what it wrote: each page has a sum, and one that is read wrong is an error, never an
//! answer. redb keeps checksums of its own, but looks at them only after a crash: a key that rots, or a page above it,
//! would be a balance that is missing, and the next block would be built on that. And it panics over pages that make no
//! sense, which in the middle of its own writing can end the process.
//!
//! Always: a page's sum is on disk with the page when a sync returns. redb never overwrites a page that the last commit
//! holds, but for the first one, its header; so after a crash every page that is read has the sum it was written with.
//! The header is held against its sum when the file was closed, and against redb's own checksums when it was not.
//! Once a page was found wrong, the file says so when it is opened again after it was closed.
//! Nothing that was read is written: what is written wrong stays wrong, and what is read wrong may be right the next time.
//! Never here: what is in the pages.

use crate::store::file::check::{CHECK_BYTES, Check, check};
use crate::store::file::directory::{Backend, locks_of};
use redb::StorageBackend;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of a page, of redb's and of the file's.
const PAGE: usize = 4096;
pub(in crate::store) const PAGE_BYTES: u64 = PAGE as u64;
/// Pages whose sums are on one page before them.
const GROUP: u64 = (PAGE / CHECK_BYTES) as u64;
/// The head is there twice: a write that is torn leaves one of them.
const HEAD_COPIES: [usize; 2] = [0, 512];
const MAGIC: [u8; 16] = *b"chancery/pages/2";
/// Magic, mark, what it is about, check.
const HEAD_BYTES: usize = MAGIC.len() + 1 + 8 + CHECK_BYTES;

type Sum = Check;
/// Of a page that has none.
const NO_SUM: Sum = [0; CHECK_BYTES];

/// What the head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// Being written, or the power went.
    Open,
    /// Closed, with the sum of the first page.
    Closed(Sum),
    /// This page was read and did not match its sum.
    Wrong(u64),
}

impl Mark {
    /// Both copies.
    fn encode(self) -> Vec<u8> {
        let (mark, about) = match self {
            Self::Open => (0, [0; 8]),
            Self::Closed(sum) => (1, sum),
            Self::Wrong(page) => (2, page.to_le_bytes()),
        };
        let mut copy = [&MAGIC[..], &[mark], &about].concat();
        let sum = check(b"head", &copy);
        copy.extend_from_slice(&sum);
        let mut bytes = vec![0; HEAD_COPIES[1] + HEAD_BYTES];
        HEAD_COPIES.iter().for_each(|at| bytes[*at..at + HEAD_BYTES].copy_from_slice(&copy));
        bytes
    }

    fn decode(head: &[u8]) -> Option<Self> {
        HEAD_COPIES.iter().find_map(|at| {
            let (content, sum) = head.get(*at..at + HEAD_BYTES)?.split_last_chunk::<CHECK_BYTES>()?;
            let (&mark, about) = content.strip_prefix(&MAGIC)?.split_first()?;
            let about = about.try_into().ok()?;
            match mark {
                _ if check(b"head", content) != *sum => None,
                0 => Some(Self::Open),
                1 => Some(Self::Closed(about)),
                2 => Some(Self::Wrong(u64::from_le_bytes(about))),
                _ => None,
            }
        })
    }
}

/// The sum of a page in its place.
fn sum_of(page: u64, bytes: &[u8]) -> Sum {
    match check(&page.to_le_bytes(), bytes) {
        NO_SUM => [1; CHECK_BYTES],
        sum => sum,
    }
}

fn wrong(page: u64) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("page {page} of the file does not match its sum"))
}

/// Where the page of sums of a group is.
const fn place_of_sums(group: u64) -> u64 {
    (1 + group * (GROUP + 1)) * PAGE_BYTES
}

/// Where a byte of a page is.
const fn place(offset: u64) -> u64 {
    let group = offset / (GROUP * PAGE_BYTES);
    place_of_sums(group) + PAGE_BYTES + offset % (GROUP * PAGE_BYTES)
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

/// A backend whose pages have sums.
#[derive(Debug)]
struct Summed {
    backend: Backend,
    inner: Mutex<ChecksumsInner>,
}

#[derive(Debug)]
struct ChecksumsInner {
    mark: Mark,
    /// The first page, as it was written last.
    first: Vec<u8>,
    /// Whether the file has it so: it was written since, or read and held against its sum.
    first_is_sure: bool,
    /// Sums that are not in the file yet, by page, with the change that each is of.
    fresh: BTreeMap<u64, (Sum, u64)>,
    /// Changes so far, and how many of them were synced.
    changes: u64,
    synced: u64,
}

/// The pages of a file that can be made anew. As [`open_anyway`], and [`io::ErrorKind::InvalidData`] if a page was found
/// wrong.
pub(in crate::store) fn open(backend: Backend) -> io::Result<Backend> {
    open_with(backend, Err)
}

/// The pages of a file, which may be empty. One of an earlier build has no sums, and stays so.
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
        backend.read(place(0), &mut first)?;
    }
    let mark = match Mark::decode(&head) {
        Some(Mark::Wrong(page)) => found_wrong(wrong(page))?,
        Some(Mark::Closed(sum)) if sum != sum_of(0, &first) => return Err(wrong(0)),
        Some(mark) => mark,
        // Nothing else is written before the head is on disk.
        None if length <= PAGE_BYTES => {
            backend.set_len(PAGE_BYTES)?;
            backend.write(0, &Mark::Open.encode())?;
            backend.sync_data()?;
            Mark::Open
        }
        None => return Err(io::Error::new(io::ErrorKind::InvalidData, "it holds no pages with sums")),
    };
    let first_is_sure = matches!(mark, Mark::Closed(_));
    let inner = ChecksumsInner { mark, first, first_is_sure, fresh: BTreeMap::new(), changes: 0, synced: 0 };
    Ok(Box::new(Summed { backend, inner: Mutex::new(inner) }))
}

impl Summed {
    /// Not held while the disk works, but at the first change and at the end. Nothing is left half done where it could
    /// panic.
    fn lock(&self) -> MutexGuard<'_, ChecksumsInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is about to be written is no longer what was closed: that is on disk first. Gives the number of the change.
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

    /// Holds pages of one group, the first of them `page`, against their sums.
    fn hold(&self, page: u64, bytes: &[u8]) -> io::Result<()> {
        let pages = bytes.len() / PAGE;
        let fresh: Vec<(u64, Sum)> =
            self.lock().fresh.range(page..page + pages as u64).map(|(page, (sum, _))| (*page, *sum)).collect();
        let mut sums = vec![0; pages * CHECK_BYTES];
        if fresh.len() < pages {
            self.backend.read(place_of_sum(page), &mut sums)?;
        }
        for (fresh, sum) in fresh {
            sums[(fresh - page) as usize * CHECK_BYTES..][..CHECK_BYTES].copy_from_slice(&sum);
        }
        for ((page, bytes), sum) in (page..).zip(bytes.chunks_exact(PAGE)).zip(sums.chunks_exact(CHECK_BYTES)) {
            if *sum != NO_SUM && *sum != sum_of(page, bytes) {
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

    /// The first one is told to who opens the file next.
    fn found_wrong(&self, page: u64) -> io::Error {
        let mut inner = self.lock();
        if !matches!(inner.mark, Mark::Wrong(_)) {
            inner.mark = Mark::Wrong(page);
        }
        wrong(page)
    }
}

/// Where the sum of a page is.
const fn place_of_sum(page: u64) -> u64 {
    place_of_sums(page / GROUP) + page % GROUP * CHECK_BYTES as u64
}

/// Sums that stand one behind the other in the file: where the first one of each such run is, and their bytes.
fn runs(sums: &BTreeMap<u64, (Sum, u64)>) -> Vec<(u64, Vec<u8>)> {
    let mut runs: Vec<(u64, Vec<u8>)> = Vec::new();
    for (page, (sum, _)) in sums {
        let place = place_of_sum(*page);
        match runs.last_mut() {
            Some((begin, bytes)) if *begin + bytes.len() as u64 == place => bytes.extend_from_slice(sum),
            _ => runs.push((place, sum.to_vec())),
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

impl StorageBackend for Summed {
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
        for (place, sums) in runs(&fresh) {
            self.backend.write(place, &sums)?;
        }
        self.backend.sync_data()?;
        let mut inner = self.lock();
        inner.fresh.retain(|page, sum| fresh.get(page) != Some(sum));
        inner.synced = changes;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let change = self.begin_change()?;
        for (at, part) in parts(offset, data.len()) {
            let data = &data[part];
            match at < PAGE_BYTES {
                true => self.write_first(at as usize, data)?,
                false => self.backend.write(place(at), data)?,
            }
            let (page, pages) = whole(at, data.len());
            let sums: Vec<Sum> =
                (page..).zip(data[pages].chunks_exact(PAGE)).map(|(page, bytes)| sum_of(page, bytes)).collect();
            // A page that is written in parts has none.
            let touched = (at / PAGE_BYTES).max(1)..(at + data.len() as u64).div_ceil(PAGE_BYTES);
            let sum = |touched: u64| touched.checked_sub(page).and_then(|number| sums.get(number as usize).copied());
            self.lock().fresh.extend(touched.map(|touched| (touched, (sum(touched).unwrap_or(NO_SUM), change))));
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        let inner = self.lock();
        let mark = match inner.mark {
            Mark::Open if inner.synced == inner.changes && inner.first_is_sure && inner.fresh.is_empty() => {
                Mark::Closed(sum_of(0, &inner.first))
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
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::store::StoreFiles as _;
    use crate::store::tests::disk::{Fault, Machine};
    use crate::test_support::{Random, seeds};

    fn opened(machine: &Machine) -> Backend {
        open(machine.open_state().unwrap()).unwrap()
    }

    /// Bytes that tell a page and when it was written.
    fn page(number: u64, time: u64) -> Vec<u8> {
        (0..PAGE as u64).map(|at| (number * 7 + time * 13 + at / 9) as u8 | 1).collect()
    }

    fn bytes_of(machine: &Machine) -> Vec<u8> {
        let file = machine.open_state().unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read(0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn every_page_has_a_place_of_its_own() {
        for pages in (0..3).chain(510..516).chain(1022..1028).chain([1_000_000]) {
            assert_eq!(bytes_of_pages(bytes_of_file(pages * PAGE_BYTES)), pages * PAGE_BYTES, "{pages}");
        }
        let places: Vec<u64> = [0, 1, 511, 512, 1023, 1024].map(|page| place(page * PAGE_BYTES) / PAGE_BYTES).into();
        assert_eq!(places, [2, 3, 513, 515, 1026, 1028]);
        assert_eq!([0, 1, 2].map(|group| place_of_sums(group) / PAGE_BYTES), [1, 514, 1027]);
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        for seed in seeds(3) {
            let mut random = Random(seed);
            let machine = Machine::default();
            let mut file = opened(&machine);
            let mut model: Vec<u8> = Vec::new();
            for time in 0..400 {
                match random.below(8) {
                    0 => {
                        let length = random.below(1_100) * PAGE;
                        // A page is read only after it was written: what was cut off is not asked for again.
                        model.resize(length.max(model.len()), 0);
                        file.set_len(model.len() as u64).unwrap();
                    }
                    1 => file.sync_data().unwrap(),
                    2 => {
                        file.sync_data().unwrap();
                        file.close().unwrap();
                        file = opened(&machine);
                    }
                    3 | 4 if !model.is_empty() => {
                        let first = random.below(model.len() / PAGE) * PAGE;
                        let length = (random.below(600) * PAGE).min(model.len() - first);
                        let mut found = vec![0; length];
                        file.read(first as u64, &mut found).unwrap();
                        assert_eq!(found, model[first..first + length], "seed {seed}, {time}");
                    }
                    5 if !model.is_empty() => {
                        let from = random.below(model.len());
                        let length = random.below(5_000).min(model.len() - from);
                        let data = vec![time as u8; length];
                        file.write(from as u64, &data).unwrap();
                        model[from..from + length].copy_from_slice(&data);
                    }
                    _ if !model.is_empty() => {
                        let first = random.below(model.len() / PAGE);
                        let end = (first + 1 + random.below(4)).min(model.len() / PAGE);
                        let data: Vec<u8> = (first..end).flat_map(|number| page(number as u64, time)).collect();
                        file.write((first * PAGE) as u64, &data).unwrap();
                        model[first * PAGE..end * PAGE].copy_from_slice(&data);
                    }
                    _ => {}
                }
                assert_eq!(file.len().unwrap(), model.len() as u64);
            }
        }
    }

    /// A file of some pages that was closed.
    fn closed(pages: u64) -> Machine {
        let machine = Machine::default();
        let file = opened(&machine);
        file.set_len(pages * PAGE_BYTES).unwrap();
        (0..pages).for_each(|number| file.write(number * PAGE_BYTES, &page(number, 1)).unwrap());
        file.sync_data().unwrap();
        file.close().unwrap();
        machine
    }

    #[test]
    fn a_wrong_bit_is_an_error_and_stays_known() {
        const PAGES: u64 = 5;
        let sound = bytes_of(&closed(PAGES));
        let (mut at_opening, mut at_reading, mut right) = (0, 0, 0);
        for at in (0..sound.len()).filter(|at| sound[*at] != 0).step_by(11) {
            let machine = closed(PAGES);
            let raw = machine.open_state().unwrap();
            raw.write(at as u64, &[sound[at] ^ 1 << (at % 8)]).unwrap();
            let Ok(file) = open(machine.open_state().unwrap()) else {
                at_opening += 1;
                assert!((2 * PAGE..3 * PAGE).contains(&at), "byte {at}: the first page");
                continue;
            };
            let (mut bytes, mut wrong) = (vec![0; PAGE], None);
            for number in 0..PAGES {
                match file.read(number * PAGE_BYTES, &mut bytes) {
                    Ok(()) => assert_eq!(bytes, page(number, 1), "byte {at}"),
                    Err(error) => wrong = Some((number, error)),
                }
            }
            file.close().unwrap();
            match wrong {
                None => right += 1,
                Some((number, error)) => {
                    at_reading += 1;
                    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                    let again = open(machine.open_state().unwrap()).map(drop).unwrap_err();
                    assert_eq!(again.to_string(), error.to_string());
                    assert!(error.to_string().contains(&format!("page {number} ")), "{error}");
                }
            }
        }
        // One of two heads.
        assert!(
            at_opening > 300 && at_reading > 1_000 && (1..10).contains(&right),
            "{at_opening} {at_reading} {right}"
        );
    }

    /// The sums beside those that changed were read, and written back as they were read: one that was read wrong once was
    /// wrong from then on, in a log for ever.
    #[test]
    fn a_sum_that_is_read_wrong_once_is_not_written_back() {
        const PAGES: u64 = 6;
        let sound = closed(PAGES).live();
        for place in (0..900).step_by(7) {
            for left in 0.. {
                let machine = Machine::after(&sound);
                machine.arm(1, Fault::Flip, left, place);
                let mut written = false;
                let work = |written: &mut bool| {
                    let file = open_anyway(machine.open_state().unwrap())?;
                    file.write(3 * PAGE_BYTES, &page(3, 2))?;
                    file.sync_data()?;
                    *written = true;
                    let read = file.read(4 * PAGE_BYTES, &mut [0; PAGE]);
                    file.close()?;
                    read
                };
                let worked = work(&mut written);
                let fired = machine.fired();
                assert!(fired || worked.is_ok());
                machine.mend();
                let file = open_anyway(machine.open_state().unwrap()).unwrap();
                for number in 0..PAGES {
                    let mut bytes = vec![0; PAGE];
                    let read = file.read(number * PAGE_BYTES, &mut bytes);
                    assert!(read.is_ok(), "read {left}, place {place}, page {number}: {read:?}");
                    let time = if written && number == 3 { 2 } else { 1 };
                    assert_eq!(bytes, page(number, time), "read {left}, place {place}, page {number}");
                }
                if !fired {
                    break;
                }
            }
        }
    }

    /// After a power loss the first page is held against nothing. One that was read wrong then was what the file was held
    /// against when it had been closed: a log could not be opened any more.
    #[test]
    fn a_first_page_that_is_read_wrong_once_is_not_what_the_file_is_held_against() {
        for place in (0..4096).step_by(17) {
            for writes in [false, true] {
                let machine = closed(3);
                let file = opened(&machine);
                file.write(PAGE_BYTES, &page(1, 2)).unwrap();
                file.sync_data().unwrap();
                // The power goes.
                drop(file);
                machine.arm(1, Fault::Flip, 1, place);
                let file = opened(&machine);
                assert!(machine.fired());
                file.write(PAGE_BYTES, &page(1, 3)).unwrap();
                if writes {
                    file.write(0, &page(0, 2)[..320]).unwrap();
                }
                file.sync_data().unwrap();
                file.close().unwrap();
                let file = opened(&machine);
                let mut first = vec![0; 320];
                file.read(0, &mut first).unwrap();
                assert_eq!(first, page(0, if writes { 2 } else { 1 })[..320], "place {place}");
            }
        }
    }

    #[test]
    fn a_page_in_the_place_of_another_is_wrong() {
        let machine = closed(5);
        let raw = machine.open_state().unwrap();
        raw.write(place(3 * PAGE_BYTES), &page(4, 1)).unwrap();
        let file = opened(&machine);
        assert!(file.read(4 * PAGE_BYTES, &mut [0; PAGE]).is_ok());
        assert!(file.read(3 * PAGE_BYTES, &mut [0; PAGE]).is_err());
    }

    #[test]
    fn the_header_is_read_once() {
        let machine = closed(2);
        let file = opened(&machine);
        machine.arm(1, Fault::Flip, 0, 5);
        let mut header = [0; 320];
        file.read(0, &mut header).unwrap();
        assert!(machine.fired());
        assert_eq!(header, page(0, 1)[..320]);
    }

    #[test]
    fn sums_reach_the_disk_with_a_sync_and_not_before() {
        let machine = closed(3);
        let file = opened(&machine);
        machine.arm(1, Fault::Read, u64::MAX, 0);
        let count = |fault| machine.operations(1, fault);
        file.write(PAGE_BYTES, &page(1, 2)).unwrap();
        assert_eq!((count(Fault::Write), count(Fault::Sync)), (2, 1), "that it is open, and the page");
        file.write(2 * PAGE_BYTES, &page(2, 2)).unwrap();
        assert_eq!((count(Fault::Write), count(Fault::Sync)), (3, 1));
        let mut bytes = [0; PAGE];
        file.read(PAGE_BYTES, &mut bytes).unwrap();
        assert_eq!(bytes[..], page(1, 2));
        file.sync_data().unwrap();
        assert_eq!((count(Fault::Write), count(Fault::Sync)), (4, 2), "both sums are on one page");
        file.sync_data().unwrap();
        assert_eq!((count(Fault::Write), count(Fault::Sync)), (4, 3));
        // Not synced, and so not closed: its header is held against nothing.
        file.write(0, &page(0, 3)).unwrap();
        file.close().unwrap();
        let raw = machine.open_state().unwrap();
        raw.write(place(0), &page(0, 4)).unwrap();
        assert!(open(raw).is_ok());
    }

    #[test]
    fn the_bytes_are_those_of_the_format_document() {
        let bytes = bytes_of(&closed(2));
        assert_eq!(bytes.len(), 4 * PAGE);
        let head = [&b"chancery/pages/2\x01"[..], &check(&[0; 8], &page(0, 1))].concat();
        let head = [&head[..], &check(b"head", &head)].concat();
        for copy in [0, 512] {
            assert_eq!(bytes[copy..copy + 33], head[..]);
        }
        assert_eq!(bytes[PAGE..PAGE + 8], [0; 8], "the first page has none here");
        assert_eq!(bytes[PAGE + 8..PAGE + 16], check(&[1, 0, 0, 0, 0, 0, 0, 0], &page(1, 1))[..]);
        assert_eq!(bytes[2 * PAGE..], [page(0, 1), page(1, 1)].concat());
    }

    #[test]
    fn a_file_without_sums_is_refused_whatever_it_is() {
        let machine = Machine::default();
        let raw = || machine.open_state().unwrap();
        raw().set_len(10).unwrap();
        assert_eq!(open(raw()).unwrap().len().unwrap(), 0, "nothing can have been in so few bytes");
        raw().set_len(9_000).unwrap();
        // A file of redb's own among them.
        for begins in [&[7; PAGE][..], b"redb\x1A\x0A\xA9\x0D\x0A"] {
            raw().write(0, begins).unwrap();
            assert_eq!(open(raw()).map(drop).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }
}
