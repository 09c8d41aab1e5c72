//! The thread: everybody is answered once, and many by one sync.

use super::*;
use crate::runtime::tasks::Tasks;
use crate::simulation::disk::{Fault, SEGMENTS};
use std::sync::mpsc::{Sender, channel as queue};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// Puts the next record of a channel when the one before it is on the disk.
fn go_on(log: &PeerLog, number: usize, left: usize, told: Sender<(usize, Result<(), PutError>)>) {
    let again = log.clone();
    log.put(channel(number), What::Record(Bytes::from(format!("{left}"))), move |result| {
        let ends = left == 0 || result.is_err();
        let _ = told.send((number, result));
        if !ends {
            go_on(&again, number, left - 1, told);
        }
    });
}

#[test]
fn many_channels_share_syncs_and_each_is_answered_in_its_order() {
    const CHANNELS: usize = 50;
    let (machine, tasks) = (Machine::default(), Tasks::default());
    let options = PeerLogOptions::default();
    let log = PeerLog::open(Box::new(machine.clone()), options, &tasks).unwrap();
    machine.arm(SEGMENTS, Fault::Sync, u64::MAX, 0);
    let (told, tells) = queue();
    (0..CHANNELS).for_each(|number| go_on(&log, number, 19, told.clone()));
    drop(told);
    let mut answers = [0; CHANNELS];
    for _ in 0..CHANNELS * 20 {
        let (number, result) = tells.recv_timeout(PATIENCE).unwrap();
        assert_eq!(result, Ok(()));
        answers[number] += 1;
    }
    assert_eq!(answers, [20; CHANNELS]);
    assert!(tells.recv_timeout(PATIENCE).is_err(), "nobody is answered twice");
    let syncs = machine.operations(SEGMENTS, Fault::Sync);
    println!("{syncs} syncs for {} records", CHANNELS * 20);
    for number in 0..CHANNELS {
        let bodies: Vec<Bytes> = log.take(&channel(number)).unwrap().into_iter().map(|record| record.body).collect();
        let expected: Vec<Bytes> = (0..20).rev().map(|left| Bytes::from(format!("{left}"))).collect();
        assert_eq!(bodies, expected);
    }
    drop(log);
    while tasks.list()[0].running > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn when_a_sync_fails_everybody_is_told_why() {
    let (machine, tasks) = (Machine::default(), Tasks::default());
    let log = PeerLog::open(Box::new(machine.clone()), PeerLogOptions::default(), &tasks).unwrap();
    let (told, tells) = queue();
    go_on(&log, 0, 0, told.clone());
    assert_eq!(tells.recv_timeout(PATIENCE), Ok((0, Ok(()))));
    machine.arm(SEGMENTS, Fault::Sync, 0, 0);
    (0..20).for_each(|number| go_on(&log, number, 5, told.clone()));
    drop(told);
    let answers: Vec<_> = std::iter::from_fn(|| tells.recv_timeout(PATIENCE).ok()).collect();
    assert_eq!(answers.len(), 20);
    for (_, answer) in answers {
        let Err(PutError::Failed(Failure { words, .. })) = answer else { panic!("{answer:?}") };
        assert!(words.contains("syncing ordering records"), "{words}");
    }
}

/// A panic in the middle of a batch is a bug: nobody waits for ever, and nothing more is kept.
#[test]
fn who_waits_when_the_thread_panics_is_answered() {
    struct Panics(Machine);
    impl SegmentFiles for Panics {
        fn list(&self) -> Result<Vec<u64>, StoreError> {
            self.0.list()
        }
        fn create(&self, _: u64) -> Result<Backend, StoreError> {
            panic!("a bug")
        }
        fn open(&self, number: u64) -> Result<Backend, StoreError> {
            SegmentFiles::open(&self.0, number)
        }
        fn remove(&self, number: u64) -> Result<(), StoreError> {
            SegmentFiles::remove(&self.0, number)
        }
    }
    let tasks = Tasks::default();
    let log = PeerLog::open(Box::new(Panics(Machine::default())), PeerLogOptions::default(), &tasks).unwrap();
    for number in 0..2 {
        let (told, tells) = queue();
        go_on(&log, number, 0, told);
        let (_, answer) = tells.recv_timeout(PATIENCE).unwrap();
        assert!(
            matches!(&answer, Err(PutError::Failed(Failure { words, .. })) if words.contains("thread")),
            "{answer:?}"
        );
    }
    assert!(log.take(&channel(0)).is_err());
    assert_eq!(tasks.list()[0].restarts, 1);
}
