//! Bits that rot on disk: whatever is read is right or an error, and opening never panics.

use super::*;
use std::fs;

const BLOCKS: u64 = 60;

/// So many places all over the bytes that say something.
fn spread(sound: &[u8], flips: usize) -> Vec<usize> {
    let used: Vec<usize> = (0..sound.len()).filter(|at| sound[*at] != 0).collect();
    (0..flips).map(|flip| used[flip * used.len() / flips]).collect()
}

/// Flips one bit of the file at a time and gives what opening it says to `check`.
fn with_each_flip(
    name: &str,
    places: impl Fn(&[u8]) -> Vec<usize>,
    check: impl Fn(Result<ChannelStore, StoreError>, usize),
) {
    let directory = tempfile::tempdir().unwrap();
    let options = StoreOptions { checkpoint_interval_ms: u64::MAX, ..StoreOptions::default() };
    let store = ChannelStore::create(directory.path(), options).unwrap();
    for height in 0..BLOCKS {
        store.append(&record(height)).unwrap();
        apply_standard(&store, height);
        if height % 20 == 7 {
            store.checkpoint().unwrap();
        }
    }
    store.close().unwrap();
    let path = directory.path().join(name);
    let both = ["log.redb", "state.redb"]
        .map(|name| (directory.path().join(name), fs::read(directory.path().join(name)).unwrap()));
    let sound = fs::read(&path).unwrap();
    for (flip, at) in places(&sound).into_iter().enumerate() {
        let mut bytes = sound.clone();
        bytes[at] ^= 1 << (flip % 8);
        both.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
        fs::write(&path, &bytes).unwrap();
        check(open(directory.path(), options), at);
    }
}

#[test]
fn a_rotten_log_gives_right_answers_or_errors() {
    with_each_flip(
        "log.redb",
        |sound| spread(sound, 150),
        |opened, at| {
            let store = match opened {
                Ok(store) => store,
                Err(StoreError::Corrupt(_)) => return,
                Err(error) => panic!("byte {at}: {}", error.chain()),
            };
            assert_eq!(store.log_tip(), Some(BLOCKS - 1), "byte {at}: no acknowledged block goes missing in silence");
            // Behind a page that is wrong nothing more is read: the first error says why.
            let mut corrupt = None;
            for height in 0..BLOCKS {
                let record = record(height);
                let found = (store.block(height), store.receipts(height), store.header_hash(height));
                let block = found.0.map(|found| assert_eq!(found, Some(record.block), "byte {at}"));
                let receipts = found.1.map(|found| assert_eq!(found, Some(record.receipts), "byte {at}"));
                let hash = found.2.map(|found| assert_eq!(found, Some(record.header_hash), "byte {at}"));
                for error in [block, receipts, hash].into_iter().filter_map(Result::err) {
                    corrupt.get_or_insert(error);
                }
            }
            assert!(corrupt.is_none_or(|error| matches!(error, StoreError::Corrupt(_))), "byte {at}");
        },
    );
}

/// It says what the last commit was: with a wrong bit, perhaps, the one before, and acknowledged blocks were gone.
#[test]
fn a_rotten_header_of_a_log_that_was_closed_is_an_error() {
    let header = |_: &[u8]| (2 * 4096..2 * 4096 + 320).collect();
    with_each_flip("log.redb", header, |opened, at| {
        let error = opened.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("page 0 of the file does not match its checksum"), "byte {at}: {error}");
    });
}

#[test]
fn a_rotten_state_opens_or_is_rebuilt() {
    with_each_flip(
        "state.redb",
        |sound| spread(sound, 150),
        |opened, at| {
            let store = opened.unwrap_or_else(|error| panic!("byte {at}: {}", error.chain()));
            assert!(store.state_height().is_none_or(|height| height == BLOCKS - 1), "byte {at}");
            let view = store.view().unwrap();
            for (key, value) in &standard_state(view.height().map_or(0, |height| height + 1)) {
                let found = view.get(key);
                assert!(found.is_err() || found.is_ok_and(|found| found.as_deref() == Some(value)), "byte {at}");
            }
            drop(view);
            // A rotten page may come to light only now: then the store says so and stops.
            store.append(&record(BLOCKS)).unwrap();
            (store.state_height().map_or(0, |height| height + 1)..=BLOCKS)
                .for_each(|height| apply_standard(&store, height));
            let checkpoint = store.checkpoint();
            assert_eq!(store.failure().is_some(), checkpoint.is_err(), "byte {at}");
        },
    );
}
