//! Power loss at any moment, whatever of the unsynced writes it takes, on all files; and a machine that lives
//! through many of them. Faults of the disk are in `faults`.
//!
//! `CHANCERY_RUNS` runs (few without it) from the seed `CHANCERY_SEED` on (1 without it).

use super::disk::{FILES, Fault, Image, Loss, Machine, WAL};
use super::*;
use crate::test_support::{Random, seeds};

/// Bounds so small that redb writes and reads pages in the middle of a transaction, or so large that it never does.
pub(super) fn options(random: &mut Random) -> StoreOptions {
    let mut bytes = || [0, 16 << 10, 256 << 10][random.below(3)];
    let (log_cache_bytes, state_cache_bytes, wal_bytes_max) = (bytes(), bytes(), bytes());
    StoreOptions {
        log_cache_bytes,
        state_cache_bytes,
        wal_bytes_max,
        piece_bytes: [1 << 12, 1 << 16, 1 << 20][random.below(3)],
        checkpoint_interval_ms: u64::MAX,
        tree_bytes: [0, 1 << 20][random.below(2)],
        ..StoreOptions::default()
    }
}

/// A block of many pages now and then.
pub(super) fn block(height: u64) -> BlockRecord {
    let times = if height % 5 == 3 { 900 } else { 1 };
    let record = record(height);
    BlockRecord { block: record.block.repeat(times).into(), ..record }
}

/// What it writes: many keys now and then.
pub(super) fn block_writes(height: u64) -> Writes {
    let mut writes = standard_writes(height);
    let many = if height % 4 == 2 { 60 } else { 0 };
    for number in 0..many {
        let key = id(height / 2 * 100 + number).0.to_vec();
        writes.insert(key, (number % 7 != 3).then(|| Value::from(format!("{height} {number} ").repeat(15).as_bytes())));
    }
    writes
}

pub(super) fn state_after(count: u64) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut state = ledger_classes::state::view::MemoryState::default();
    (0..count).for_each(|height| state.apply(&block_writes(height)));
    state.entries().map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

pub(super) fn apply(store: &ChannelStore, height: u64) -> Result<(), StoreError> {
    store.apply_writes(height, &block_writes(height), &[(id(height), 0)]).map(|_| ())
}

pub(super) fn append(machine: &Machine, store: &ChannelStore, height: u64) -> Result<(), StoreError> {
    store.append(&block(height))?;
    machine.acknowledge();
    Ok(())
}

/// A channel at work from where it is, up to a height: appends, applies, checkpoints.
pub(super) fn work(machine: &Machine, store: &ChannelStore, until: u64, random: &mut Random) -> Result<(), StoreError> {
    for height in store.log_tip().map_or(0, |tip| tip + 1)..until {
        append(machine, store, height)?;
        apply(store, height)?;
        if random.below(4) == 0 {
            store.checkpoint()?;
        }
    }
    Ok(())
}

/// Opens what the image left and checks promise 1 on it: every acknowledged block is there, at most the one that was
/// under way is more, each as it was appended, the state whole, and equal to that of an unbroken run after replay.
pub(super) fn recover(image: &Image, options: StoreOptions, what: &str) -> (Machine, ChannelStore) {
    let machine = Machine::after(image);
    let store = ChannelStore::open_on(&machine, options)
        .unwrap_or_else(|error| panic!("{what}, {} acknowledged: {}", image.acknowledged, error.chain()));
    assert_eq!(machine.set_aside(), 0, "{what}: no power loss and no failing disk breaks the state file");
    let size = store.log_tip().map_or(0, |tip| tip + 1);
    assert!(size >= image.acknowledged, "{what}: {} acknowledged, {size} found", image.acknowledged);
    assert!(size <= image.acknowledged + 1, "{what}: at most the block that was under way is more");
    for height in 0..size {
        assert_eq!(store.block(height).unwrap(), Some(block(height).block), "{what}");
        assert_eq!(store.receipts(height).unwrap(), Some(block(height).receipts), "{what}");
        assert_eq!(store.header_hash(height).unwrap(), Some(block(height).header_hash), "{what}");
    }
    let leaves: Vec<Hash> = (0..size).map(|height| merkle::leaf_hash(&block(height).header_hash.0)).collect();
    assert_eq!(store.history_root(size).unwrap(), merkle::root(&leaves), "{what}");
    let applied = store.state_height().map_or(0, |height| height + 1);
    assert!(applied <= size, "{what}");
    assert_eq!(entries(&store.view().unwrap()), state_after(applied), "{what}: a checkpoint is whole");
    check_tree(&store.view().unwrap(), &state_after(applied));
    (applied..size).for_each(|height| apply(&store, height).unwrap());
    assert_eq!(entries(&store.view().unwrap()), state_after(size), "{what}");
    check_tree(&store.view().unwrap(), &state_after(size));
    for height in 0..size {
        assert_eq!(store.transaction(&id(height)).unwrap(), Some((height, 0)), "{what}");
    }
    if size > image.acknowledged {
        machine.acknowledge();
    }
    (machine, store)
}

#[test]
fn whatever_was_acknowledged_is_there_after_a_power_loss_at_any_moment() {
    for seed in seeds(1) {
        let mut random = Random(seed);
        let (machine, options) = (Machine::default(), options(&mut random));
        let store = ChannelStore::create_on(&machine, options).unwrap();
        machine.begin();
        work(&machine, &store, 10, &mut random).unwrap();
        store.close().unwrap();
        let (mut at_syncs, mut images, moments) = (0, 0, machine.moments_count());
        machine.moments(&mut random, |moment, random| {
            let losses: &[Loss] = match moment.before_sync {
                true => &Loss::ALL,
                // Between syncs some moments, and one loss each: those at the next sync hold all of them.
                false if random.below(moments) < 24 => &[Loss::ALL[random.below(Loss::ALL.len())]],
                false => &[],
            };
            at_syncs += usize::from(moment.before_sync);
            images += losses.len();
            for loss in losses {
                let what = format!("seed {seed}, {loss:?}");
                let (machine, store) = recover(&moment.image(*loss, random), options, &what);
                let next = store.log_tip().map_or(0, |tip| tip + 1);
                append(&machine, &store, next).unwrap();
            }
            Some(())
        });
        println!("seed {seed}: {moments} moments, {at_syncs} before a sync, {images} disks");
        assert!(at_syncs > 10, "a sync for each block at least: {at_syncs}");
    }
}

#[test]
fn a_machine_that_loses_power_again_and_again_loses_nothing_else() {
    for seed in seeds(4) {
        let mut random = Random(seed);
        let options = options(&mut random);
        let mut machine = Machine::default();
        let mut store = ChannelStore::create_on(&machine, options).unwrap();
        machine.begin();
        for round in 0..6 {
            let fault = Fault::ALL[random.below(5)];
            assert_ne!(fault, Fault::Flip);
            // The first life is long enough for a write-ahead log.
            let (left, more) = match round {
                0 => (u64::MAX, 12),
                _ => (random.below(80) as u64, 1 + random.below(12) as u64),
            };
            machine.arm(random.below(FILES), fault, left, random.below(5000));
            let until = store.log_tip().map_or(0, |tip| tip + 1) + more;
            let worked = work(&machine, &store, until, &mut random);
            let journalled = machine.operations(WAL, Fault::Sync) > 0;
            assert!(round > 0 || journalled == (options.wal_bytes_max > 0), "seed {seed}: {journalled}");
            assert!(machine.fired() || worked.is_ok(), "seed {seed}, round {round}: {worked:?}");
            if random.below(3) == 0 {
                // The fault may meet the last checkpoint too.
                let _ = store.close();
            }
            drop(store);
            let (chosen, mut number) = (random.below(machine.moments_count()), 0);
            let mut image = machine.live();
            if random.below(4) != 0 {
                machine.moments(&mut random, |moment, random| {
                    number += 1;
                    image = moment.image(Loss::ALL[random.below(Loss::ALL.len())], random);
                    (number <= chosen).then_some(())
                });
            }
            (machine, store) = recover(&image, options, &format!("seed {seed}, round {round}, {fault:?}"));
        }
    }
}
