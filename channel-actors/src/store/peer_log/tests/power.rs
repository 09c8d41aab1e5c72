//! Power loss at any operation, and lives that end again and again: what was acknowledged is there, whatever of the unsynced
//! writes is.

use super::*;
use crate::simulation::disk::{Fault, SEGMENTS};

const CHANNELS: usize = 5;

#[test]
fn whatever_was_acknowledged_is_there_after_a_power_loss_at_any_operation() {
    for seed in seeds(3) {
        let mut random = Random(seed);
        let machine = Machine::default();
        let mut log = open(&machine);
        machine.begin();
        let (mut models, mut count) = (vec![Model::default()], 0);
        // Until segments have gone.
        while log.segments.keys().next().is_none_or(|oldest| *oldest < 3) {
            let batch = any_batch(&mut random, CHANNELS, &mut count);
            put(&mut log, &batch).unwrap();
            machine.acknowledge();
            let mut next = models.last().unwrap().clone();
            models.last_mut().unwrap().tried(&batch);
            next.acknowledged(&batch);
            models.push(next);
        }
        drop(log);
        let (moments, mut images) = (machine.moments_count(), 0);
        machine.moments(&mut random, |moment, random| {
            let losses: &[Loss] = match moment.before_sync {
                true => &Loss::ALL,
                false => &[Loss::ALL[random.below(Loss::ALL.len())]],
            };
            for loss in losses {
                if random.one_in(3) {
                    continue;
                }
                let image = moment.image(*loss, random);
                let what = format!("seed {seed}, {loss:?} after batch {}", image.acknowledged);
                let mut model = models[usize::try_from(image.acknowledged).unwrap()].clone();
                let again = Machine::after(&image);
                let mut log = opened(&again).unwrap_or_else(|error| panic!("{what}: {}", error.chain()));
                model.check(&log, CHANNELS, &what);
                // It goes on, and what was found stays.
                let batch = [record(channel(1), "after it"), base(channel(2), "and this")];
                put(&mut log, &batch).unwrap();
                model.acknowledged(&batch);
                let again = Machine::after(&after_loss(&again, Loss::Everything, random));
                model.check(&open(&again), CHANNELS, &format!("{what}, and once more"));
                images += 1;
            }
            Some(())
        });
        println!("seed {seed}: {moments} moments, {images} disks, {} batches", models.len());
        assert!(images > 40, "seed {seed}: {images}");
    }
}

/// Faults of every kind, kills and power losses, one after the other on the same disk.
#[test]
fn a_log_that_lives_through_faults_again_and_again_loses_nothing() {
    let (mut hits, mut refused, mut failed, mut dead) = (0, 0, 0, 0);
    for seed in seeds(30) {
        let mut random = Random(seed);
        let mut machine = Machine::default();
        let (mut model, mut count) = (Model::default(), 0);
        for life in 0..12 {
            let fault = Fault::ALL[random.below(Fault::ALL.len())];
            let what = format!("seed {seed}, life {life}, {fault:?}");
            machine.begin();
            machine.arm(SEGMENTS, fault, random.below(40) as u64, random.below(70_000));
            let mut log = match opened(&machine) {
                Ok(log) => log,
                // It says so, and the next start may go.
                Err(error) => {
                    assert!(machine.fired(), "{what}: {}", error.chain());
                    dead += 1;
                    machine.mend();
                    let image = after_loss(&machine, random.choose(&Loss::ALL), &mut random);
                    machine = Machine::after(&image);
                    open(&machine)
                }
            };
            model.check(&log, CHANNELS, &what);
            for _ in 0..1 + random.below(25) {
                let batch = any_batch(&mut random, CHANNELS, &mut count);
                match put(&mut log, &batch) {
                    Ok(()) => model.acknowledged(&batch),
                    Err(error) => {
                        assert!(machine.fired(), "{what}: {error}");
                        model.tried(&batch);
                        match error {
                            PutError::NoRoom { .. } => refused += 1,
                            PutError::Failed(_) => failed += 1,
                            other => panic!("{what}: {other}"),
                        }
                        if random.one_in(2) {
                            machine.mend();
                        }
                    }
                }
            }
            hits += u64::from(machine.fired());
            machine.mend();
            drop(log);
            // A kill: another process finds what was written, and nobody has synced it since.
            if random.one_in(2) {
                model.check(&open(&machine), CHANNELS, &format!("{what}, killed"));
            }
            let image = match random.one_in(4) {
                true => machine.live(),
                false => after_loss(&machine, random.choose(&Loss::ALL), &mut random),
            };
            machine = Machine::after(&image);
        }
    }
    println!("{hits} faults, {refused} batches refused, {failed} failed, {dead} starts failed");
    assert!(hits > 100 && refused > 20 && failed > 20 && dead > 0);
}

/// What a process that was killed has written is in the system's memory, and perhaps nowhere else: before it is told, it
/// goes to the disk.
#[test]
fn what_is_found_after_a_kill_is_on_the_disk_before_it_is_told() {
    let machine = Machine::default();
    let mut log = open(&machine);
    put(&mut log, &[record(channel(0), "synced")]).unwrap();
    assert_eq!(log.write(&[record(channel(0), "written"), forget(channel(1)), base(channel(2), "also")]).len(), 3);
    drop(log);
    let log = open(&machine);
    let told = [(false, Bytes::from("synced")), (false, Bytes::from("written"))];
    assert_eq!(found(&log, &channel(0)).unwrap(), told);
    drop(log);
    let mut random = Random(1);
    let image = after_loss(&machine, Loss::Everything, &mut random);
    let log = open(&Machine::after(&image));
    assert_eq!(found(&log, &channel(0)).unwrap(), told);
    assert_eq!(found(&log, &channel(2)).unwrap(), [(true, Bytes::from("also"))]);
    // A start that has nothing to bring to the disk writes nothing.
    let before = machine.operations_count();
    let segments = open(&machine).segments.len();
    assert_eq!((machine.operations_count(), open(&machine).segments.len()), (before, segments));
}
