//! Disks that fail: each operation that a run makes on any file goes wrong once, in every way that it can.
//! Nothing is acknowledged from then on, until the store is opened again, and then all that was is there.

use super::crash::{append, apply, block, block_writes, options, recover, work};
use super::disk::{FILES, Fault, Loss, Machine};
use super::*;
use crate::test_support::{Random, seeds};

const BLOCKS: u64 = 9;

fn run(random: &mut Random, options: StoreOptions) -> (Machine, ChannelStore) {
    let machine = Machine::default();
    let store = ChannelStore::create_on(&machine, options).unwrap();
    work(&machine, &store, 3, random).unwrap();
    machine.begin();
    (machine, store)
}

/// Work with reads between, which must give what was appended or an error.
fn work_and_read(machine: &Machine, store: &ChannelStore, random: &mut Random) -> Result<(), StoreError> {
    for until in 4..=BLOCKS {
        work(machine, store, until, random)?;
        let height = random.below(until as usize) as u64;
        assert_eq!(store.block(height)?, Some(block(height).block));
        assert_eq!(store.receipts(height)?, Some(block(height).receipts));
        let _ = store.transaction(&id(height))?;
    }
    Ok(())
}

/// What a run does in this order is the same for the same seed: the k-th operation is always the same one.
fn planned(seed: u64) -> (Random, StoreOptions) {
    let mut random = Random(seed);
    let options = options(&mut random);
    (random, options)
}

#[test]
fn after_any_operation_that_fails_nothing_is_acknowledged_and_nothing_lost() {
    for seed in seeds(1) {
        let (mut random, options) = planned(seed);
        let (machine, store) = run(&mut random, options);
        machine.arm(0, Fault::Sync, u64::MAX, 0);
        work_and_read(&machine, &store, &mut random).unwrap();
        let counts = Fault::ALL.map(|fault| [0, 1, 2].map(|file| machine.operations(file, fault)));
        let [log, _, wal] = counts[Fault::Sync as usize];
        assert!(log / 2 + wal >= BLOCKS - 3, "two syncs of the log or one of the wal for each block: {counts:?}");
        drop(store);
        let mut tried = 0;
        for (fault, counts) in Fault::ALL.into_iter().zip(counts).filter(|(fault, _)| *fault != Fault::Flip) {
            for (file, count) in counts.into_iter().enumerate() {
                // Every sync; of the others some, other ones for each seed.
                let step = if fault == Fault::Sync { 1 } else { (count / 6).max(1) as usize };
                for number in (random.below(step) as u64..count).step_by(step) {
                    one_fault(seed, fault, file, number);
                    tried += 1;
                }
            }
        }
        println!("seed {seed}: {tried} faults");
    }
}

fn one_fault(seed: u64, fault: Fault, file: usize, number: u64) {
    let what = format!("seed {seed}, {fault:?} {number} on file {file}");
    let (mut random, options) = planned(seed);
    let (machine, store) = run(&mut random, options);
    machine.arm(file, fault, number, random.clone().below(5000));
    let worked = work_and_read(&machine, &store, &mut random);
    assert!(machine.fired(), "{what}: {worked:?}");
    machine.mend();
    let (size, acknowledged) = (store.log_tip().map_or(0, |tip| tip + 1), machine.live().acknowledged);
    assert_eq!(size, acknowledged, "{what}: what failed is not there");
    match worked {
        // The same between two pieces of such an early write: whoever writes the file next finds out.
        Ok(()) if fault == Fault::Sync => {
            let noticed = (size..size + 100).find_map(|height| match store.append(&block(height)) {
                Ok(()) => {
                    machine.acknowledge();
                    None
                }
                Err(error) => Some(error),
            });
            let noticed = noticed.unwrap_or_else(|| panic!("{what}: nobody noticed")).chain();
            assert!(noticed.contains("a sync of this file failed before: "), "{what}: {noticed}");
            refuses(&machine, &store, (fault, file), &what);
        }
        // redb frees memory now and then by writing early; it keeps what it could not write, and writes it later.
        Ok(()) => assert!(matches!(fault, Fault::Write | Fault::ShortWrite), "{what}: nobody noticed"),
        Err(error) => {
            assert!(matches!(error, StoreError::Disk { .. }), "{what}: {}", error.chain());
            refuses(&machine, &store, (fault, file), &what);
        }
    }
    drop(store);
    // Another process finds all of it, and so does the machine after a power loss.
    recover(&machine.live(), options, &what);
    let (mut left, random) = (machine.moments_count(), &mut Random(seed));
    machine.moments(random, |moment, random| {
        left -= 1;
        if left == 0 {
            for loss in [Loss::Everything, Loss::Nothing, Loss::Sectors] {
                let (machine, store) = recover(&moment.image(loss, random), options, &what);
                let next = store.log_tip().map_or(0, |tip| tip + 1);
                append(&machine, &store, next).unwrap();
                apply(&store, next).unwrap();
            }
        }
        Some(())
    });
}

/// A store whose write failed takes no other. A read that failed stops the file: the next write on it finds out.
fn refuses(machine: &Machine, store: &ChannelStore, (fault, file): (Fault, usize), what: &str) {
    let size = store.log_tip().map_or(0, |tip| tip + 1);
    let appended = store.append(&block(size));
    if fault == Fault::Read && store.failure().is_none() {
        assert_eq!(file, 1, "{what}: appended");
        appended.unwrap();
        machine.acknowledge();
        return;
    }
    for refused in [
        appended,
        store.apply_writes(size, &block_writes(size), &[(id(size), 0)]).map(|_| ()),
        store.checkpoint().map(|_| ()),
        store.append(&block(size)),
        store.close(),
    ] {
        let Err(error) = refused else { panic!("{what}: written after a failure") };
        let text = error.chain();
        let first = matches!(error, StoreError::Disk { .. }) && fault == Fault::Read;
        assert!(first || matches!(error, StoreError::Failed { .. }), "{what}: {text}");
        assert!(["does not answer", "space", "Previous"].iter().any(|why| text.contains(why)), "{what}: {text}");
    }
}

/// A disk that does not answer while a store opens is no broken store: nothing is set aside, and once it answers again
/// all is there.
#[test]
fn a_disk_that_fails_while_a_store_opens_is_an_error_and_harms_nothing() {
    for seed in seeds(1) {
        let (mut random, options) = planned(seed);
        let (machine, store) = run(&mut random, options);
        work(&machine, &store, BLOCKS, &mut random).unwrap();
        drop(store);
        let (chosen, mut image) = (random.below(machine.moments_count()), machine.live());
        machine.moments(&mut random, |moment, random| {
            image = moment.image(Loss::Sectors, random);
            (random.below(chosen + 1) > 0).then_some(())
        });
        let (mut failed, mut tried) = (0, 0);
        for fault in Fault::ALL.into_iter().filter(|fault| *fault != Fault::Flip) {
            for (file, number) in (0..FILES).flat_map(|file| (0..40).map(move |number| (file, number))) {
                let what = format!("seed {seed}, opening, {fault:?} {number} on file {file}");
                let machine = Machine::after(&image);
                machine.arm(file, fault, number, random.below(5000));
                let opened = ChannelStore::open_on(&machine, options);
                assert_eq!(machine.set_aside(), 0, "{what}");
                if !machine.fired() {
                    break;
                }
                tried += 1;
                if let Err(error) = opened {
                    assert!(matches!(error, StoreError::Disk { .. }), "{what}: {}", error.chain());
                    failed += 1;
                }
                machine.mend();
                recover(&machine.live(), options, &what);
            }
        }
        println!("seed {seed}: {failed} of {tried} faults stopped the opening");
        assert!(failed > 0, "seed {seed}");
    }
}
