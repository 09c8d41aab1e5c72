//! A full disk and a sync that fails.

use super::*;
use crate::simulation::disk::{Fault, SEGMENTS};

#[test]
fn a_full_disk_refuses_a_whole_batch_and_the_log_goes_on_when_there_is_room() {
    for fault in [Fault::Write, Fault::ShortWrite, Fault::SetLength] {
        let machine = Machine::default();
        let mut log = open(&machine);
        let mut model = Model::default();
        let (mut refused, mut round) = (0, 0_u64);
        while refused < 3 {
            round += 1;
            machine.arm(SEGMENTS, fault, round % 5, 300 * round as usize);
            let batch = [base(channel(0), vec![1; 4_000]), base(channel(1), format!("{round}")), forget(channel(2))];
            let written = log.write(&batch);
            if written.iter().all(Result::is_ok) {
                log.sync().unwrap();
                model.acknowledged(&batch);
            } else {
                refused += 1;
                for error in written {
                    let PutError::NoRoom { kind, words } = error.unwrap_err() else { panic!("{fault:?}") };
                    assert!(kind == io::ErrorKind::StorageFull && words.contains("ordering records"), "{words}");
                }
                log.sync().unwrap();
                model.check(&log, 3, &format!("{fault:?}: nothing of it is there"));
                // Others that were under way when there was room again.
                machine.mend();
                put(&mut log, &[record(channel(2), "meanwhile")]).unwrap();
                model.acknowledged(&[record(channel(2), "meanwhile")]);
            }
        }
        machine.mend();
        // What was refused is not taken for a part of what came after it.
        let again = Machine::after(&after_loss(&machine, Loss::Nothing, &mut Random(1)));
        model.tried(&[base(channel(0), vec![1; 4_000])]);
        model.tried(&[base(channel(1), format!("{round}"))]);
        model.check(&open(&again), 3, &format!("{fault:?}, afterwards"));
    }
}

#[test]
fn a_sync_that_failed_is_the_end_and_says_why() {
    let machine = Machine::default();
    let mut log = open(&machine);
    put(&mut log, &[record(channel(0), "before")]).unwrap();
    machine.arm(SEGMENTS, Fault::Sync, 0, 0);
    let failure = put(&mut log, &[record(channel(0), "lost"), record(channel(1), "lost")]).unwrap_err();
    let PutError::Failed(failure) = failure else { panic!("{failure}") };
    assert_eq!(failure.kind, io::ErrorKind::Other);
    assert!(failure.words.contains("syncing ordering records") && failure.words.contains("does not answer"));
    // The disk is sound again, and nothing more is written: a later sync would prove nothing.
    let operations = machine.operations_count();
    for number in 0..3 {
        let again = put(&mut log, &[record(channel(number), "after"), forget(channel(0))]).unwrap_err();
        assert_eq!(again, PutError::Failed(failure.clone()));
        assert_eq!(log.sync(), Err(failure.clone()));
    }
    assert_eq!(machine.operations_count(), operations);
    // What was on the disk is read.
    assert_eq!(found(&log, &channel(0)).unwrap(), [(false, Bytes::from("before"))]);
    for loss in Loss::ALL {
        let image = after_loss(&machine, loss, &mut Random(7));
        let log = open(&Machine::after(&image));
        assert_eq!(found(&log, &channel(0)).unwrap()[0], (false, Bytes::from("before")), "{loss:?}");
    }
}

/// No room for what a sync should bring to the disk is no want of room: what was written may be gone.
#[test]
fn a_sync_without_room_is_the_end_too() {
    let full = io::Error::from(io::ErrorKind::StorageFull);
    let of = |operation| StoreError::disk(operation)(io::Error::from(full.kind()));
    assert_eq!(room_error(&of(SEGMENT.writing)), Some(io::ErrorKind::StorageFull));
    assert_eq!(room_error(&of(SEGMENT.lengthening)), Some(io::ErrorKind::StorageFull));
    assert_eq!(room_error(&of(SEGMENT.syncing)), None);
    let directory = |operation| StoreError::File {
        operation,
        path: "ordering".into(),
        source: io::Error::from(io::ErrorKind::StorageFull),
    };
    assert_eq!(room_error(&directory("opening")), Some(io::ErrorKind::StorageFull));
    assert_eq!(room_error(&directory("syncing the directory")), None);
    assert_eq!(room_error(&StoreError::disk("writing")(io::Error::other("EIO"))), None);
}
