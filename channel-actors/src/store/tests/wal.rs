//! The write-ahead log: what it spares the log, what it must not lose, and what is not taken for a part of it.

use super::disk::{Fault, Machine};
use super::*;
use crate::store::log::record::FORMAT;
use std::fs;
use twox_hash::XxHash3_64;

/// Blocks that go into the log before a write-ahead log is made.
const DIRECT: u64 = 4;
const SECTOR: usize = 512;
const PAGE: usize = 4096;
/// Sectors from the first copy of a record to the second one, in a write-ahead log that was not lengthened.
const APART: usize = 64;

fn options() -> StoreOptions {
    StoreOptions { checkpoint_interval_ms: u64::MAX, ..StoreOptions::default() }
}

/// A store that was not closed, and the blocks that its write-ahead log holds.
fn left_open(blocks: u64) -> (tempfile::TempDir, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let store = ChannelStore::create(directory.path(), options()).unwrap();
    (0..blocks).for_each(|height| store.append(&record(height)).unwrap());
    drop(store);
    let wal = fs::read(directory.path().join("wal")).unwrap();
    (directory, wal)
}

fn syncs(machine: &Machine) -> [u64; 2] {
    [0, 2].map(|file| machine.operations(file, Fault::Sync))
}

#[test]
fn a_small_block_is_one_sync_and_many_of_them_are_one_transaction() {
    let machine = Machine::default();
    let store = ChannelStore::create_on(&machine, options()).unwrap();
    let append = |range: std::ops::Range<u64>| {
        machine.arm(0, Fault::Sync, u64::MAX, 0);
        range.for_each(|height| store.append(&record(height)).unwrap());
        syncs(&machine)
    };
    assert_eq!(append(0..DIRECT), [2 * DIRECT, 0]);
    assert_eq!(append(DIRECT..DIRECT + 1), [0, 3], "two for the wal, one for the block");
    // 64 KiB, doubled three times, half for each copy, less a sector for the head; a block is one.
    let room = 1024 / 2 - 1;
    assert_eq!(append(DIRECT + 1..DIRECT + room), [0, room - 1 + 3]);
    assert_eq!(append(DIRECT + room..DIRECT + room + 1), [2, 0], "full: all of it goes into the log");
    assert_eq!(append(DIRECT + room + 1..DIRECT + 2 * room), [0, room - 1]);
    // One that is large takes with it what there is.
    let next = DIRECT + 2 * room;
    machine.arm(0, Fault::Sync, u64::MAX, 0);
    store.append(&BlockRecord { block: vec![1; 70_000].into(), ..record(next) }).unwrap();
    let [log, wal] = syncs(&machine);
    assert!(log >= 2 && wal == 0, "{log} {wal}: a third sync is redb's when the file grows");
    store.append(&record(next + 1)).unwrap();
    assert_eq!(syncs(&machine), [log, 1]);
    store.close().unwrap();
    assert_eq!(syncs(&machine)[1], 1, "nothing is written to a wal that goes");
    let store = ChannelStore::open_on(&machine, options()).unwrap();
    assert_eq!(store.log_tip(), Some(next + 1));
    (0..next).for_each(|height| assert_eq!(store.block(height).unwrap(), Some(record(height).block)));
}

/// The simulator's seed 5092, once its write-ahead logs were long enough to be lengthened: a disk that took a part of the new head
/// only left one that could not be read, with all that it had acknowledged.
#[test]
fn a_head_that_is_written_in_part_when_the_wal_grows_loses_nothing() {
    // As many as find room in 64 KiB.
    const BLOCKS: u64 = DIRECT + 63;
    for place in 0..53 {
        let machine = Machine::default();
        let store = ChannelStore::create_on(&machine, options()).unwrap();
        (0..BLOCKS).for_each(|height| store.append(&record(height)).unwrap());
        // Zeros first, then the head.
        machine.arm(2, Fault::ShortWrite, 1, place);
        assert!(store.append(&record(BLOCKS)).is_err() && machine.fired());
        drop(store);
        machine.mend();
        let store = ChannelStore::open_on(&Machine::after(&machine.live()), options()).unwrap();
        assert_eq!(store.log_tip(), Some(BLOCKS - 1), "{place} bytes of it");
        (0..BLOCKS).for_each(|height| assert_eq!(store.block(height).unwrap(), Some(record(height).block)));
    }
}

#[test]
fn answers_are_the_same_wherever_the_blocks_are() {
    let directory = tempfile::tempdir().unwrap();
    let store = ChannelStore::create(directory.path(), options()).unwrap();
    let leaf = |height| merkle::leaf_hash(&record(height).header_hash.0);
    let block = |height| if height == 24 { vec![1; 70_000].into() } else { record(height).block };
    for size in 1..=40u64 {
        store.append(&BlockRecord { block: block(size - 1), ..record(size - 1) }).unwrap();
        let leaves: Vec<Hash> = (0..size).map(leaf).collect();
        assert_eq!(store.history_root(size).unwrap(), merkle::root(&leaves), "{size}");
        for height in 0..size {
            assert_eq!(store.header_hash(height).unwrap(), Some(record(height).header_hash));
            assert_eq!(store.receipts(height).unwrap(), Some(record(height).receipts));
            assert_eq!(store.block(height).unwrap(), Some(block(height)));
            let path = merkle::inclusion_path(&leaves, height).unwrap();
            assert_eq!(store.history_path(size, height).unwrap(), path, "{height} in {size}");
        }
        assert!(matches!(store.history_node(1, size / 2), Err(StoreError::Corrupt(_))), "{size}: not complete yet");
        assert!(matches!(store.history_node(200, u64::MAX), Err(StoreError::Corrupt(_))));
    }
}

#[test]
fn readers_see_each_block_while_blocks_move_from_the_wal_to_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let often = StoreOptions { wal_bytes_max: 16 * 1024, ..options() };
    let store = ChannelStore::create(directory.path(), often).unwrap();
    store.append(&record(0)).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut reads = 0u64;
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        let tip = store.log_tip().unwrap();
                        for height in [tip, tip.saturating_sub(reads % 40)] {
                            assert_eq!(store.block(height).unwrap(), Some(record(height).block));
                            assert_eq!(store.header_hash(height).unwrap(), Some(record(height).header_hash));
                        }
                        let (size, first) = (tip + 1, tip / 2);
                        let (path, root) =
                            (store.history_path(size, first).unwrap(), store.history_root(size).unwrap());
                        let leaf = merkle::leaf_hash(&record(first).header_hash.0);
                        assert!(merkle::verify_inclusion(&root, size, first, &leaf, &path));
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        (1..600).for_each(|height| store.append(&record(height)).unwrap());
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        readers.into_iter().for_each(|reader| assert!(reader.join().unwrap() > 0));
    });
}

#[test]
fn a_store_that_was_closed_has_no_wal_and_one_that_was_not_is_whole() {
    let (directory, wal) = left_open(20);
    assert_eq!(wal.len(), 64 * 1024);
    for _ in 0..2 {
        // Each takes the write-ahead log over, and there is none until there are some more blocks.
        let store = open(directory.path(), options()).unwrap();
        let next = store.log_tip().unwrap() + 1;
        (0..next).for_each(|height| assert_eq!(store.block(height).unwrap(), Some(record(height).block)));
        store.append(&record(next)).unwrap();
    }
    let store = open(directory.path(), options()).unwrap();
    assert_eq!(store.log_tip(), Some(21));
    store.close().unwrap();
    assert!(!directory.path().join("wal").exists());
    let store = open(directory.path(), options()).unwrap();
    assert_eq!((store.log_tip(), store.block(21).unwrap()), (Some(21), Some(record(21).block)));
}

#[test]
fn who_only_looks_sees_what_the_wal_holds() {
    let (directory, _) = left_open(20);
    let files = || ["log.redb", "state.redb", "wal"].map(|name| fs::read(directory.path().join(name)).unwrap());
    let before = files();
    let (store, broken) = ChannelStore::inspect(directory.path(), options()).unwrap();
    assert_eq!((store.log_tip(), broken), (Some(19), None));
    assert_eq!(store.block(19).unwrap(), Some(record(19).block));
    drop(store);
    assert!(files() == before, "looking changes nothing");
}

/// Nothing that was acknowledged goes missing, in the last record as little as in any other.
#[test]
fn a_wal_with_a_rotten_bit_loses_nothing_or_says_so() {
    const BLOCKS: u64 = 12;
    let (directory, wal) = left_open(BLOCKS);
    let log = fs::read(directory.path().join("log.redb")).unwrap();
    let (mut errors, mut mended) = (0, 0);
    for at in (0..wal.len()).filter(|at| wal[*at] != 0).step_by(3) {
        let mut rotten = wal.clone();
        rotten[at] ^= 1 << (at % 8);
        fs::write(directory.path().join("log.redb"), &log).unwrap();
        fs::write(directory.path().join("wal"), &rotten).unwrap();
        match open(directory.path(), options()) {
            Ok(store) => {
                mended += 1;
                assert_eq!(store.log_tip(), Some(BLOCKS - 1), "byte {at}");
                (0..BLOCKS).for_each(|height| assert_eq!(store.block(height).unwrap(), Some(record(height).block)));
            }
            Err(StoreError::Corrupt(why)) => {
                assert!(at < SECTOR && why.contains("head of the wal"), "byte {at}: {why}");
                errors += 1;
            }
            Err(error) => panic!("byte {at}: {}", error.chain()),
        }
    }
    assert!(errors > 10 && mended > 900, "{errors} {mended}");
}

/// A disk loses whole pages: with one goes one copy of a record at most, the newest one's as little as any other's.
#[test]
fn a_wal_that_lost_a_page_loses_nothing_or_says_so() {
    for (blocks, pages) in [(12, 1), (600, 7)] {
        let (directory, wal) = left_open(blocks);
        let log = fs::read(directory.path().join("log.redb")).unwrap();
        for page in (0..wal.len() / PAGE).step_by(pages) {
            let mut rotten = wal.clone();
            rotten[page * PAGE..][..PAGE].fill(0);
            fs::write(directory.path().join("log.redb"), &log).unwrap();
            fs::write(directory.path().join("wal"), &rotten).unwrap();
            match open(directory.path(), options()) {
                Ok(store) => assert_eq!(store.log_tip(), Some(blocks - 1), "page {page}"),
                Err(StoreError::Corrupt(why)) => assert!(page == 0 && why.contains("head of the wal"), "{page}: {why}"),
                Err(error) => panic!("page {page}: {}", error.chain()),
            }
        }
    }
}

#[test]
fn a_wal_that_is_cut_off_or_of_another_log_is_no_wrong_answer() {
    let (directory, wal) = left_open(12);
    let log = fs::read(directory.path().join("log.redb")).unwrap();
    let opened = |wal: &[u8]| {
        fs::write(directory.path().join("log.redb"), &log).unwrap();
        fs::write(directory.path().join("wal"), wal).unwrap();
        open(directory.path(), options())
    };
    for sectors in (1..=20).chain([64, wal.len() / SECTOR - 1]) {
        let Err(StoreError::Corrupt(why)) = opened(&wal[..sectors * SECTOR]) else { panic!("{sectors} sectors") };
        assert!(why.contains("of 65536 bytes"), "{why}");
    }
    // One whose head is not on disk yet holds nothing.
    for bytes in [0, SECTOR, wal.len()] {
        let store = opened(&vec![0; bytes]).unwrap();
        assert_eq!(store.log_tip(), Some(DIRECT - 1));
        store.append(&record(DIRECT)).unwrap();
    }
    let (later, grown) = left_open(600);
    assert_eq!(grown.len(), 512 * 1024);
    let later = fs::read(later.path().join("wal")).unwrap();
    let Err(StoreError::Corrupt(why)) = opened(&later) else { panic!("opened beside another's wal") };
    assert!(why.contains("holds block 24, but neither it nor the log 4"), "{why}");
    // The same heights over other blocks.
    let other = tempfile::tempdir().unwrap();
    let store = ChannelStore::create(other.path(), options()).unwrap();
    store.append(&BlockRecord { header_hash: Hash([9; 32]), ..record(0) }).unwrap();
    (1..12).for_each(|height| store.append(&record(height)).unwrap());
    let Err(StoreError::Corrupt(why)) = opened(&fs::read(other.path().join("wal")).unwrap()) else {
        panic!("taken from another log")
    };
    assert!(why.contains("block 4 of the wal follows another log"), "{why}");
    let Err(StoreError::Corrupt(why)) = opened(&vec![1; 64 * 1024 * 1024 + 1]) else { panic!("endless") };
    assert!(why.contains("too long"), "{why}");
}

/// Whoever chooses what is in a block can write the bytes of a record, but not its check.
#[test]
fn bytes_of_a_block_are_never_taken_for_a_record() {
    let (forger, forged) = left_open(6);
    drop(forger);
    let directory = tempfile::tempdir().unwrap();
    let store = ChannelStore::create(directory.path(), options()).unwrap();
    (0..5).for_each(|height| store.append(&record(height)).unwrap());
    // The record of height 5 of another write-ahead log, at each of many borders; then what is around it is overwritten.
    let hostile = forged[2 * SECTOR..3 * SECTOR].repeat(20);
    for shift in 0..4 {
        let block = [vec![7; SECTOR - 105 + shift], hostile.clone()].concat();
        store.append(&BlockRecord { block: block.into(), ..record(5 + shift as u64) }).unwrap();
    }
    drop(store);
    let path = directory.path().join("wal");
    let mut wal = fs::read(&path).unwrap();
    for sector in [2, 2 + APART] {
        assert_eq!(wal[sector * SECTOR..][..9], [FORMAT, 5, 0, 0, 0, 0, 0, 0, 0]);
        wal[sector * SECTOR..][..SECTOR].fill(0);
    }
    assert!(wal.windows(40).any(|bytes| *bytes == hostile[..40]));
    fs::write(&path, &wal).unwrap();
    // The block that was hurt is missing, and nothing stands in for it.
    let Err(StoreError::Corrupt(why)) = open(directory.path(), options()) else { panic!("taken") };
    assert!(why.contains("holds block 6, but neither it nor the log 5"), "{why}");
}

#[test]
fn without_a_wal_blocks_go_into_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let none = StoreOptions { wal_bytes_max: 0, ..options() };
    let store = ChannelStore::create(directory.path(), none).unwrap();
    (0..9).for_each(|height| store.append(&record(height)).unwrap());
    assert!(!directory.path().join("wal").exists());
    drop(store);
    // Something is in the way of the name: the log does without.
    let store = open(directory.path(), options()).unwrap();
    fs::create_dir(directory.path().join("wal")).unwrap();
    (9..20).for_each(|height| store.append(&record(height)).unwrap());
    drop(store);
    fs::remove_dir(directory.path().join("wal")).unwrap();
    assert_eq!(open(directory.path(), options()).unwrap().log_tip(), Some(19));
}

#[test]
fn wal_records_are_those_of_the_format_document() {
    let (_directory, wal) = left_open(6);
    let check = |key: &[u8], content: &[u8]| {
        let seed = XxHash3_64::oneshot(key);
        XxHash3_64::oneshot_with_seed(seed, content).to_le_bytes()
    };
    let key = &wal[1..33];
    assert_eq!((wal[0], &wal[33..37]), (2, &(wal.len() as u32).to_le_bytes()[..]));
    assert_eq!(wal[37..45], check(b"wal", &wal[..37])[..]);
    assert!(wal[45..SECTOR].iter().all(|byte| *byte == 0));
    let leaves: Vec<Hash> = (0..6).map(|height| merkle::leaf_hash(&record(height).header_hash.0)).collect();
    for height in [4u64, 5] {
        let BlockRecord { header_hash, block, receipts, .. } = record(height);
        let length = |bytes: &Bytes| (bytes.len() as u32).to_le_bytes();
        let head = [
            &[2][..],
            &height.to_le_bytes(),
            &merkle::root(&leaves[..height as usize]).0,
            &header_hash.0,
            &length(&block),
            &check(key, &block),
            &length(&receipts),
            &check(key, &receipts),
        ]
        .concat();
        let secret = Hash::plain(&[b"chancery/content/1\0", key, &head]).0;
        let expected = [&head[..], &secret[..8], &block, &receipts].concat();
        for sector in [0, APART].map(|copy| height as usize - 3 + copy) {
            assert_eq!(wal[sector * SECTOR..][..expected.len()], expected);
        }
    }
}
