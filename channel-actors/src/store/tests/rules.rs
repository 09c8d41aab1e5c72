//! What the calls of a store promise, one sentence a test.

use super::*;
use redb::ReadableTable;
use std::fs;
use twox_hash::XxHash3_64;

fn options() -> StoreOptions {
    StoreOptions { checkpoint_interval_ms: u64::MAX, ..StoreOptions::default() }
}

fn filled(directory: &Path, blocks: u64) -> ChannelStore {
    let store = ChannelStore::create(directory, options()).unwrap();
    for height in 0..blocks {
        store.append(&record(height)).unwrap();
        apply_standard(&store, height);
    }
    store
}

#[test]
fn an_empty_store_holds_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/channel");
    let store = ChannelStore::create(&path, options()).unwrap();
    assert_eq!((store.log_tip(), store.state_height(), store.checkpoint_height()), (None, None, None));
    assert_eq!(store.block(0).unwrap(), None);
    assert_eq!(store.history_root(0).unwrap(), merkle::empty_root());
    assert_eq!(store.view().unwrap().height(), None);
    assert_eq!(store.checkpoint().unwrap(), None);
    assert_eq!(store.transaction(&id(0)).unwrap(), None);
}

#[test]
fn create_refuses_an_existing_store_and_open_a_missing_one() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(open(directory.path(), options()), Err(StoreError::Missing(_))));
    fs::write(directory.path().join("log.redb.new"), b"left by a crash while creating").unwrap();
    let store = ChannelStore::create(directory.path(), options()).unwrap();
    assert!(matches!(ChannelStore::create(directory.path(), options()), Err(StoreError::Exists(_))));
    let locked = open(directory.path(), options());
    assert!(matches!(locked, Err(StoreError::Locked { file: "log.redb" })), "{:?}", locked.err());
    store.close().unwrap();
    open(directory.path(), options()).unwrap();
}

#[test]
fn blocks_come_back_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 20).close().unwrap();
    let store = open(directory.path(), options()).unwrap();
    assert_eq!((store.log_tip(), store.state_height()), (Some(19), Some(19)));
    for height in 0..20 {
        let record = record(height);
        assert_eq!(store.block(height).unwrap(), Some(record.block));
        assert_eq!(store.receipts(height).unwrap(), Some(record.receipts));
        assert_eq!(store.header_hash(height).unwrap(), Some(record.header_hash));
    }
    assert_eq!([20, u64::MAX].map(|height| store.block(height).unwrap()), [None, None]);
}

#[test]
fn heights_out_of_order_are_refused_and_harm_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path(), 3);
    for given in [0, 2, 4, u64::MAX] {
        let refused = store.append(&record(given));
        assert!(matches!(refused, Err(StoreError::AppendOutOfOrder { expected: 3, given: g }) if g == given));
        let refused = store.apply_writes(given, &Writes::new(), &[]);
        assert!(matches!(refused, Err(StoreError::ApplyOutOfOrder { expected: 3, given: g }) if g == given));
    }
    let early = store.apply_writes(3, &Writes::new(), &[]);
    assert!(matches!(early, Err(StoreError::ApplyBeforePersist { given: 3, log: Some(2) })));
    store.append(&record(3)).unwrap();
    let twice = store.apply_writes(3, &Writes::new(), &[(id(1), 0)]);
    assert!(matches!(twice, Err(StoreError::TransactionTwice { given: 3, known: 1, .. })));
    apply_standard(&store, 3);
    assert_eq!(store.failure(), None);
}

#[test]
fn a_view_stays_at_its_height_whatever_happens() {
    let directory = tempfile::tempdir().unwrap();
    let store = ChannelStore::create(directory.path(), options()).unwrap();
    let mut views = vec![store.view().unwrap()];
    for height in 0..40 {
        store.append(&record(height)).unwrap();
        assert_eq!(store.view().unwrap().height(), height.checked_sub(1), "not visible before it is applied");
        apply_standard(&store, height);
        views.push(store.view().unwrap());
        if height % 7 == 6 {
            assert_eq!(store.checkpoint().unwrap(), Some(height));
        }
        if height % 5 == 0 {
            views.remove(height as usize / 2);
        }
    }
    for view in views {
        let count = view.height().map_or(0, |height| height + 1);
        assert_eq!(entries(&view), standard_state(count), "at count {count}");
    }
}

#[test]
fn views_are_whole_blocks_while_another_thread_applies() {
    let directory = tempfile::tempdir().unwrap();
    let store = ChannelStore::create(directory.path(), options()).unwrap();
    let blocks = 60u64;
    // Each block writes its height under many keys: a view that saw half a block would hold two heights.
    let keys: Vec<Vec<u8>> = (0..500u32).map(|key| key.to_be_bytes().to_vec()).collect();
    std::thread::scope(|scope| {
        let applier = scope.spawn(|| {
            for height in 0..blocks {
                store.append(&record(height)).unwrap();
                let value = Some(Value::from(height.to_le_bytes().as_slice()));
                let writes: Writes = keys.iter().map(|key| (key.clone(), value.clone())).collect();
                let _ = store.apply_writes(height, &writes, &[(id(height), 7)]).unwrap();
                if height % 9 == 8 {
                    store.checkpoint().unwrap();
                }
            }
        });
        while !applier.is_finished() {
            let view = store.view().unwrap();
            let Some(height) = view.height() else { continue };
            for key in &keys {
                let value = view.get(key).unwrap().unwrap();
                assert_eq!(*value, height.to_le_bytes(), "view of height {height}");
            }
            assert_eq!(store.transaction(&id(height)).unwrap(), Some((height, 7)));
        }
        applier.join().unwrap();
    });
    assert_eq!(store.state_height(), Some(blocks - 1));
}

#[test]
fn what_a_view_made_during_an_apply_will_see_is_protected() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path(), 2);
    assert_eq!(store.0.state.protected(2), [2], "no view lives, but one may come");
    let early = store.view().unwrap();
    store.append(&record(2)).unwrap();
    apply_standard(&store, 2);
    let late = [store.view().unwrap(), store.view().unwrap()];
    assert_eq!(store.0.state.protected(3), [2, 3]);
    drop(early);
    assert_eq!(store.0.state.protected(3), [3]);
    drop(late);
    assert_eq!(store.0.state.protected(3), [3]);
}

#[test]
fn transactions_of_a_block_that_is_being_applied_are_not_visible() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path(), 2);
    let active = store.0.state.inner.read().unwrap().active.clone();
    active.put_transactions(2, &[(id(2), 0)]); // as apply does before it shows the height
    assert_eq!(store.transaction(&id(2)).unwrap(), None);
    assert_eq!(store.transaction(&id(1)).unwrap(), Some((1, 0)));
}

#[test]
fn a_transaction_is_found_in_each_memtable() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path(), 2);
    store.checkpoint().unwrap(); // 0 and 1 on disk and in the frozen memtable
    store.append(&record(2)).unwrap();
    apply_standard(&store, 2);
    store.checkpoint().unwrap(); // 0 and 1 on disk only, 2 in the frozen memtable
    store.append(&record(3)).unwrap();
    assert_eq!(store.transaction(&id(3)).unwrap(), None, "not applied yet");
    apply_standard(&store, 3);
    let found = store.transactions(&[id(3), id(2), id(1), id(9), id(0)]).unwrap();
    assert_eq!(found, [Some((3, 0)), Some((2, 0)), Some((1, 0)), None, Some((0, 0))]);
}

#[test]
fn checkpoint_and_reopen_equals_replay() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path(), 12);
    store.checkpoint().unwrap();
    store.append(&record(12)).unwrap();
    apply_standard(&store, 12);
    drop(store); // not closed: block 12 is in the log, its writes are lost
    let store = open(directory.path(), options()).unwrap();
    assert_eq!((store.log_tip(), store.state_height()), (Some(12), Some(11)));
    assert_eq!(entries(&store.view().unwrap()), standard_state(12));
    assert_eq!(store.transaction(&id(12)).unwrap(), None);
    apply_standard(&store, 12);
    assert_eq!(entries(&store.view().unwrap()), standard_state(13));
    store.close().unwrap();

    fs::remove_file(directory.path().join("state.redb")).unwrap();
    let store = open(directory.path(), options()).unwrap();
    assert_eq!((store.log_tip(), store.state_height()), (Some(12), None));
    (0..13).for_each(|height| apply_standard(&store, height));
    assert_eq!(entries(&store.view().unwrap()), standard_state(13));
}

#[test]
fn a_broken_state_file_is_set_aside_and_begun_afresh() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 3] = [
        ("no file of pages", |bytes| bytes.iter_mut().take(4_096).for_each(|byte| *byte = 0xaa)),
        ("half a file", |bytes| bytes.truncate(bytes.len() / 2)),
        ("a few bytes", |bytes| bytes.truncate(5_000)),
    ];
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 5).close().unwrap();
    let path = directory.path().join("state.redb");
    for (number, (damage, break_bytes)) in (1..).zip(damages) {
        let mut bytes = fs::read(&path).unwrap();
        break_bytes(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        let store = open(directory.path(), options()).expect(damage);
        assert_eq!((store.log_tip(), store.state_height()), (Some(4), None), "{damage}");
        assert_eq!(fs::read(directory.path().join(format!("state.redb.broken-{number}"))).unwrap(), bytes);
        (0..5).for_each(|height| apply_standard(&store, height));
        store.close().unwrap();
    }
}

/// One bit of a page can hide a table's records from whoever goes through them: what was committed would be taken again.
#[test]
fn an_index_whose_runs_are_hidden_is_rebuilt() {
    const RUNS: redb::TableDefinition<u64, &[u8]> = redb::TableDefinition::new("runs");
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 5).close().unwrap();
    let database = database(directory.path(), "state.redb");
    let transaction = database.begin_write().unwrap();
    assert!(transaction.open_table(RUNS).unwrap().remove(0).unwrap().is_some());
    transaction.commit().unwrap();
    drop(database);
    let store = open(directory.path(), options()).unwrap();
    assert_eq!((store.log_tip(), store.state_height()), (Some(4), None), "it is begun afresh");
    (0..5).for_each(|height| apply_standard(&store, height));
    assert!(store.transaction(&id(2)).unwrap().is_some());
}

/// A header record's check is not over its height, so its own bytes do not tell that it is another's.
#[test]
fn a_header_under_another_height_is_an_error() {
    const HEADERS: redb::TableDefinition<u64, &[u8]> = redb::TableDefinition::new("headers");
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 5).close().unwrap();
    let database = database(directory.path(), "log.redb");
    let transaction = database.begin_write().unwrap();
    let mut table = transaction.open_table(HEADERS).unwrap();
    let other = table.get(1).unwrap().unwrap().value().to_vec();
    table.insert(2, other.as_slice()).unwrap();
    drop(table);
    transaction.commit().unwrap();
    drop(database);
    let store = open(directory.path(), options()).unwrap();
    for height in [2, 3] {
        assert!(matches!(store.header_hash(height), Err(StoreError::Corrupt(_))), "{height}");
    }
    assert_eq!(store.header_hash(1).unwrap(), Some(record(1).header_hash));
}

#[test]
fn a_broken_log_is_an_error_that_says_so() {
    type Damage = fn(&mut Vec<u8>);
    let rot = |bytes: &mut Vec<u8>| {
        // Every copy of the last block, old pages too.
        let block = record(4).block;
        let places: Vec<usize> = (0..bytes.len() - block.len()).filter(|at| bytes[*at..].starts_with(&block)).collect();
        assert!(!places.is_empty(), "the block is in the file");
        places.into_iter().for_each(|at| bytes[at] ^= 1);
    };
    let damages: [(&str, Damage); 6] = [
        ("no file of pages", |bytes| bytes.iter_mut().take(4_096).for_each(|byte| *byte = 0xaa)),
        ("half a file", |bytes| bytes.truncate(bytes.len() / 2)),
        ("an empty file", |bytes| bytes.clear()),
        ("some bytes", |bytes| bytes.truncate(100)),
        ("one page", |bytes| bytes.truncate(4_096)),
        ("a bit of the last block", rot),
    ];
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 5).close().unwrap();
    let path = directory.path().join("log.redb");
    let sound = fs::read(&path).unwrap();
    for (damage, break_bytes) in damages {
        let mut bytes = sound.clone();
        break_bytes(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        let error = open(directory.path(), options()).err().expect(damage);
        assert!(matches!(error, StoreError::Corrupt(_)), "{damage}: {}", error.chain());
        if bytes.len() <= 4_096 {
            assert!(fs::read(&path).unwrap() == bytes, "{damage}: nothing is begun in it");
        }
    }
    fs::write(&path, &sound).unwrap();
    open(directory.path(), options()).unwrap();
}

#[test]
fn a_state_ahead_of_its_log_or_of_another_log_is_an_error() {
    let [long, short, other] = [0; 3].map(|_| tempfile::tempdir().unwrap());
    filled(long.path(), 9).close().unwrap();
    filled(short.path(), 4).close().unwrap();
    fs::copy(long.path().join("state.redb"), short.path().join("state.redb")).unwrap();
    let error = open(short.path(), options()).err().unwrap();
    assert!(matches!(error, StoreError::StateAhead { state: 8, log: Some(3) }), "{error}");
    assert_eq!(error.to_string(), "the state reflects height 8 but the log ends at 3");

    let store = ChannelStore::create(other.path(), options()).unwrap();
    for height in 0..10 {
        store.append(&BlockRecord { header_hash: id(height), ..record(height) }).unwrap();
    }
    drop(store);
    fs::copy(long.path().join("state.redb"), other.path().join("state.redb")).unwrap();
    let error = open(other.path(), options()).err().unwrap();
    assert!(matches!(error, StoreError::StateOfOtherLog { height: 8, .. }), "{error}");
}

/// docs/formats/store.md
#[test]
fn records_are_those_of_the_format_document() {
    use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
    const BLOCKS: TableDefinition<u64, &[u8]> = TableDefinition::new("blocks");
    const RECEIPTS: TableDefinition<u64, &[u8]> = TableDefinition::new("receipts");
    const HEADERS: TableDefinition<u64, &[u8]> = TableDefinition::new("headers");
    const HISTORY: TableDefinition<(u8, u64), &[u8]> = TableDefinition::new("history");
    const STATE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("state");
    const TRANSACTIONS: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new("transactions");
    const RUNS: TableDefinition<u64, &[u8]> = TableDefinition::new("runs");
    const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
    const TREE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("tree");
    let check_of = |bytes: &[u8]| XxHash3_64::oneshot(bytes).to_le_bytes();
    let check = |key: &[u8], content: &[u8]| {
        let seed = XxHash3_64::oneshot(key);
        [content, &XxHash3_64::oneshot_with_seed(seed, content).to_le_bytes()].concat()
    };
    let at_two = |content: &[u8]| check(&[2, 0, 0, 0, 0, 0, 0, 0], content)[content.len()..].to_vec();

    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 3).close().unwrap();
    let log = database(directory.path(), "log.redb");
    let databases = (log, database(directory.path(), "state.redb"));
    let (log, state) = (databases.0.begin_read().unwrap(), databases.1.begin_read().unwrap());
    let BlockRecord { block, receipts, header_hash, .. } = record(2);
    let table = log.open_table(BLOCKS).unwrap();
    assert_eq!(table.get(2).unwrap().unwrap().value(), [&[2], &block[..]].concat());
    let table = log.open_table(RECEIPTS).unwrap();
    assert_eq!(table.get(2).unwrap().unwrap().value(), [&[2], &receipts[..]].concat());
    let header = [&[2], &header_hash.0[..], &at_two(&block), &at_two(&receipts)].concat();
    let table = log.open_table(HEADERS).unwrap();
    assert_eq!(table.get(2).unwrap().unwrap().value(), [&header[..], &check_of(&header)].concat());
    let node = merkle::root(&[0, 1].map(|height| merkle::leaf_hash(&record(height).header_hash.0)));
    let table = log.open_table(HISTORY).unwrap();
    let place = [1, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(table.get((1, 0)).unwrap().unwrap().value(), check(&place, &[&[2], &node.0[..]].concat()));
    assert_eq!(table.len().unwrap(), 1);
    for (file, format) in [(&log, 2), (&state, 5)] {
        assert_eq!(file.open_table(META).unwrap().get("format").unwrap().unwrap().value(), [format]);
    }
    let table = state.open_table(STATE).unwrap();
    assert_eq!(table.get(b"counter".as_slice()).unwrap().unwrap().value(), check(b"counter", &[5, b'2']));
    let table = state.open_table(TRANSACTIONS).unwrap();
    let mut entries: Vec<Vec<u8>> = (0..3u8)
        .map(|height| [&id(u64::from(height)).0[..], &[height, 0, 0, 0, 0, 0, 0, 0], &[0; 4]].concat())
        .collect();
    entries.sort();
    let bucket = check(&[0; 12], &[&[5], &entries.concat()[..]].concat());
    assert_eq!(table.get((0, 0)).unwrap().unwrap().value(), bucket);
    let run = state.open_table(RUNS).unwrap().get(0).unwrap().unwrap().value().to_vec();
    assert_eq!(run[..13], [5, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    let mut filter = [0; 64];
    for id in entries.iter().map(|entry| &entry[..32]) {
        let word = |place: usize| u64::from(u32::from_be_bytes(id[4 * place..4 * place + 4].try_into().unwrap()));
        for probe in 0..7 {
            let bit = ((word(2) + (word(3) | 1) * probe) >> 3) as usize % 512;
            filter[bit / 8] |= 1 << (bit % 8);
        }
    }
    assert_eq!(run, check(&[0; 8], &[&run[..13], &filter].concat()));
    let all: Writes =
        standard_state(3).into_iter().map(|(key, value)| (key, Some(Value::from(value.as_slice())))).collect();
    let root = StateTree::of(&all).root();
    let reflects = [&[5, 2, 0, 0, 0, 0, 0, 0, 0], &header_hash.0[..], &root.0, &[4, 0, 0, 0, 0, 0, 0, 0]].concat();
    let table = state.open_table(META).unwrap();
    assert_eq!(table.get("reflects").unwrap().unwrap().value(), [&reflects[..], &check_of(&reflects)].concat());
    assert_eq!(state.open_table(STATE).unwrap().iter().unwrap().count(), 4);
    // A bucket of four keys is the whole tree.
    let mut keys: Vec<Vec<u8>> = all
        .iter()
        .map(|(key, value)| {
            let mut path = Hash::plain(&[b"chancery/state-key/1\0", key]).0.to_vec();
            path[0] = key[0];
            [path, Hash::plain(&[value.as_ref().unwrap()]).0.to_vec()].concat()
        })
        .collect();
    keys.sort();
    let page = [&[5][..], &[0; 4], &[4, 0, 0, 0, 0, 0, 0, 0], &keys.concat()].concat();
    let table = state.open_table(TREE).unwrap();
    assert_eq!(table.get([0; 34].as_slice()).unwrap().unwrap().value(), check(&[0; 34], &page));
    assert_eq!(table.len().unwrap(), 1);
}

#[test]
fn history_proofs_verify_at_every_size() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path(), 21);
    let leaves: Vec<Hash> = (0..21).map(|height| merkle::leaf_hash(&record(height).header_hash.0)).collect();
    let root = |size: u64| merkle::root(&leaves[..size as usize]);
    assert_eq!(store.history().root(), root(21));
    for size in 1..=21 {
        assert_eq!(store.history_root(size).unwrap(), root(size));
        for index in 0..size {
            let path = store.history_path(size, index).unwrap();
            assert!(merkle::verify_inclusion(&root(size), size, index, &leaves[index as usize], &path));
        }
    }
    assert!(matches!(store.history_root(22), Err(StoreError::OutsideHistory { size: 21, asked: 22 })));
    assert!(matches!(store.history_path(5, 5), Err(StoreError::OutsideHistory { size: 5, asked: 5 })));
    store.close().unwrap();
    assert_eq!(open(directory.path(), options()).unwrap().history().root(), root(21));
}

#[test]
fn pressure_rises_with_what_waits_and_falls_with_a_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let options = StoreOptions { dirty_bytes_max: 10_000, ..options() };
    let store = ChannelStore::create(directory.path(), options).unwrap();
    let seen: Vec<Pressure> = (0..3)
        .map(|height| {
            store.append(&record(height)).unwrap();
            let key = format!("key {height}");
            store.apply_writes(height, &writes(&[(&key, Some(&"x".repeat(9_000)))]), &[]).unwrap()
        })
        .collect();
    assert_eq!(seen, [Pressure::None, Pressure::CheckpointDue, Pressure::Wait]);
    store.checkpoint().unwrap();
    assert_eq!(store.checkpoint_height(), Some(2));
    store.append(&record(3)).unwrap();
    assert_eq!(store.apply_writes(3, &writes(&[("little", Some("x"))]), &[]).unwrap(), Pressure::None);

    let directory = tempfile::tempdir().unwrap();
    let options = StoreOptions { checkpoint_interval_ms: 0, ..options };
    let store = ChannelStore::create(directory.path(), options).unwrap();
    store.append(&record(0)).unwrap();
    assert_eq!(store.apply_writes(0, &Writes::new(), &[]).unwrap(), Pressure::CheckpointDue);
}

#[test]
fn a_closed_store_answers_that_it_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let store = filled(directory.path(), 3);
    let view = store.view().unwrap();
    store.clone().close().unwrap();
    assert!(matches!(store.append(&record(3)), Err(StoreError::Closed)));
    assert!(matches!(store.apply_writes(3, &Writes::new(), &[]), Err(StoreError::Closed)));
    assert!(matches!(store.block(0), Err(StoreError::Closed)));
    assert!(matches!(store.view(), Err(StoreError::Closed)));
    assert!(matches!(store.transaction(&id(0)), Err(StoreError::Closed)));
    assert_ne!(view.get(b"counter"), Ok(None), "a view that lives on does not invent an answer");
    store.close().unwrap();
    assert_eq!(store.failure(), None, "closing is no failure");
    assert_eq!(open(directory.path(), options()).unwrap().state_height(), Some(2));
}
