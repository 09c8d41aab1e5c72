//! Power loss and failing disks.

use super::disk::{Image, Machine};
use super::*;

fn options() -> StoreOptions {
    const KIB: usize = 1024;
    StoreOptions { log_cache_bytes: 256 * KIB, state_cache_bytes: 256 * KIB, ..StoreOptions::default() }
}

/// Opens what the image left and checks promise 1 on it; the state after replay must be that of an unbroken run.
fn check(image: &Image, seed: u64) {
    let store = ChannelStore::open_on(&Machine::after(image), options())
        .unwrap_or_else(|error| panic!("seed {seed}, {} acknowledged: {}", image.acknowledged, error.chain()));
    let size = store.log_tip().map_or(0, |tip| tip + 1);
    assert!(size >= image.acknowledged, "seed {seed}: {} acknowledged, {size} found", image.acknowledged);
    assert!(size <= image.acknowledged + 1, "seed {seed}: at most the block that was under way is more");
    for height in 0..size {
        assert_eq!(store.block(height).unwrap(), Some(record(height).block), "seed {seed}");
        assert_eq!(store.receipts(height).unwrap(), Some(record(height).receipts), "seed {seed}");
    }
    let applied = store.state_height().map_or(0, |height| height + 1);
    assert!(applied <= size);
    assert_eq!(entries(&store.view().unwrap()), standard_state(applied), "seed {seed}: a checkpoint is whole");
    (applied..size).for_each(|height| apply_standard(&store, height));
    assert_eq!(entries(&store.view().unwrap()), standard_state(size), "seed {seed}");
    for height in 0..size {
        assert_eq!(store.transaction(&id(height)).unwrap(), Some((height, 0)), "seed {seed}");
    }
    store.append(&record(size)).unwrap();
}

#[test]
fn whatever_was_acknowledged_is_there_after_a_power_loss_at_any_sync() {
    let seed = std::env::var("CHANCERY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let machine = Machine::default();
    let store = ChannelStore::create_on(&machine, options()).unwrap();
    machine.record(seed);
    for height in 0..24 {
        store.append(&record(height)).unwrap();
        machine.acknowledge();
        apply_standard(&store, height);
        if height % 6 == 4 {
            store.checkpoint().unwrap();
        }
    }
    drop(store);
    let images = machine.images();
    assert!(images.len() > 2 * (2 * 24 + 2 * 4), "two syncs for each block and checkpoint: {}", images.len());
    images.iter().for_each(|image| check(image, seed));
}

#[test]
fn a_failed_sync_fails_the_append_and_every_write_after_it() {
    for syncs in 0..2 {
        let machine = Machine::default();
        let store = ChannelStore::create_on(&machine, options()).unwrap();
        for height in 0..3 {
            store.append(&record(height)).unwrap();
            machine.acknowledge();
        }
        apply_standard(&store, 0);
        machine.fail_after(syncs);
        assert!(matches!(store.append(&record(3)), Err(StoreError::Disk { .. })), "after {syncs} syncs");
        assert_eq!(store.log_tip(), Some(2), "what failed is not there");
        assert_eq!(store.block(3).unwrap(), None);
        machine.mend();
        for refused in [
            store.append(&record(3)),
            store.append(&record(3)),
            store.apply(1, &standard_writes(1), &[]).map(|_| ()),
            store.checkpoint().map(|_| ()),
            store.close(),
        ] {
            let Err(StoreError::Failed { reason }) = refused else { panic!("after {syncs} syncs: {refused:?}") };
            assert!(reason.contains("appending a block failed: ") && reason.contains("does not answer"), "{reason}");
        }
        drop(store);
        // A new start finds every acknowledged block; the one that failed may be there or not.
        machine.images().iter().for_each(|image| check(image, 0));
    }
}

#[test]
fn a_failed_checkpoint_stops_the_store_and_loses_nothing() {
    for syncs in 0..2 {
        let machine = Machine::default();
        let store = ChannelStore::create_on(&machine, options()).unwrap();
        for height in 0..5 {
            store.append(&record(height)).unwrap();
            machine.acknowledge();
            apply_standard(&store, height);
        }
        machine.fail_after(syncs);
        assert!(matches!(store.checkpoint(), Err(StoreError::Disk { .. })));
        machine.mend();
        assert!(matches!(store.append(&record(5)), Err(StoreError::Failed { .. })));
        assert!(store.failure().is_some_and(|reason| reason.starts_with("writing a checkpoint failed")));
        drop(store);
        machine.images().iter().for_each(|image| check(image, 0));
    }
}
