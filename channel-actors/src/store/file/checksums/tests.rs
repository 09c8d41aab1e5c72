//! What is read of a file of pages is what was written, or an error.
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
    assert_eq!([0, 1, 2].map(|group| place_of_checksums(group) / PAGE_BYTES), [1, 514, 1027]);
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
                    // Of the first page alone parts are written.
                    let from = random.below(PAGE);
                    let length = random.below(5_000).min(PAGE - from);
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
    assert!(at_opening > 300 && at_reading > 1_000 && (1..10).contains(&right), "{at_opening} {at_reading} {right}");
}

/// The checksums beside those that changed were read, and written back as they were read: one that was read wrong once was
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
            machine.arm(1, Fault::Stuck, 1, place);
            let file = opened(&machine);
            assert!(machine.fired());
            machine.mend();
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

/// Then redb goes by another commit than the last, which has fewer blocks.
#[test]
fn a_first_page_that_is_read_wrong_once_is_an_error() {
    for place in (0..4096).step_by(17) {
        let machine = closed(3);
        let file = opened(&machine);
        file.write(PAGE_BYTES, &page(1, 2)).unwrap();
        file.sync_data().unwrap();
        // The power goes.
        drop(file);
        for left in [1, 2] {
            machine.arm(1, Fault::Flip, left, place);
            let refused = open(machine.open_state().unwrap()).map(drop).unwrap_err();
            assert!(machine.fired() && refused.kind() == io::ErrorKind::InvalidData, "{refused}");
        }
        let mut first = vec![0; PAGE];
        opened(&machine).read(0, &mut first).unwrap();
        assert_eq!(first, page(0, 1));
    }
}

/// They passed as pages that never had checksums.
#[test]
fn pages_whose_sums_are_lost_are_wrong_and_one_that_was_never_written_holds_zeros() {
    let machine = closed(5);
    let file = opened(&machine);
    file.set_len(7 * PAGE_BYTES).unwrap();
    file.sync_data().unwrap();
    let mut bytes = [9; 2 * PAGE];
    file.read(5 * PAGE_BYTES, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 2 * PAGE]);
    assert!((1..5).all(|page| file.read(page * PAGE_BYTES, &mut [0; PAGE]).is_ok()));
    machine.open_state().unwrap().write(place_of_checksums(0), &[0; PAGE]).unwrap();
    assert!((1..5).all(|page| file.read(page * PAGE_BYTES, &mut [0; PAGE]).is_err()));
}

#[test]
fn a_page_is_written_whole_or_not_at_all() {
    let file = opened(&closed(3));
    for (at, bytes) in [(PAGE + 1, PAGE), (PAGE, PAGE - 1), (10, PAGE), (2 * PAGE, 1)] {
        let refused = file.write(at as u64, &vec![1; bytes]).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{bytes} bytes at {at}");
    }
    file.write(10, &[1; 20]).unwrap();
    file.write(10, &[1; 2 * PAGE - 10]).unwrap();
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
    assert_eq!((count(Fault::Write), count(Fault::Sync)), (4, 2), "both checksums are on one page");
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
