//! Tests of the peer's log on simulated disks and in a directory, against a plain map.
#![allow(clippy::unwrap_used)]

mod faults;
mod format;
mod power;
mod rot;
mod thread;

use super::*;
use crate::simulation::disk::{Image, Loss, Machine};
use crate::test_support::{Random, seeds};

/// What the log should hold of each channel.
type State = BTreeMap<Hash, Vec<(bool, Bytes)>>;

fn channel(number: usize) -> Hash {
    Hash::plain(&[b"channel", &number.to_le_bytes()])
}

/// So small that segments end and go.
const SMALL: PeerLogOptions = PeerLogOptions { bytes_max: 512 * 1024, segment_bytes_max: 64 * 1024 };

fn open(machine: &Machine) -> PeerLogCore {
    opened(machine).unwrap()
}

fn opened(machine: &Machine) -> Result<PeerLogCore, StoreError> {
    PeerLogCore::open(Box::new(machine.clone()), SMALL)
}

/// The disk after a power loss now.
fn after_loss(machine: &Machine, loss: Loss, random: &mut Random) -> Image {
    machine.image_after(machine.operations_count(), loss, random)
}

fn record(channel: Hash, body: impl Into<Bytes>) -> Write {
    Write { channel, what: What::Record(body.into()) }
}

fn base(channel: Hash, body: impl Into<Bytes>) -> Write {
    Write { channel, what: What::Base(body.into()) }
}

fn forget(channel: Hash) -> Write {
    Write { channel, what: What::Forget }
}

/// Writes a batch and syncs it.
fn put(log: &mut PeerLogCore, batch: &[Write]) -> Result<(), PutError> {
    let written = log.write(batch);
    let synced = log.sync().map_err(PutError::from);
    written.into_iter().collect::<Result<(), _>>().and(synced)
}

fn found(log: &PeerLogCore, channel: &Hash) -> Result<Vec<(bool, Bytes)>, TakeError> {
    Ok(log.take(channel)?.into_iter().map(|Record { base, body, .. }| (base, body)).collect())
}

fn apply(of: &mut Vec<(bool, Bytes)>, what: &What) {
    match what {
        What::Record(body) => of.push((false, body.clone())),
        What::Base(body) => *of = vec![(true, body.clone())],
        What::Forget => of.clear(),
    }
}

/// What is surely kept, and what was tried since and may be there or not.
#[derive(Clone, Debug, Default)]
struct Model {
    kept: State,
    tries: BTreeMap<Hash, Vec<Vec<What>>>,
}

impl Model {
    fn tried(&mut self, batch: &[Write]) {
        let mut of: BTreeMap<Hash, Vec<What>> = BTreeMap::new();
        batch.iter().for_each(|write| of.entry(write.channel).or_default().push(write.what.clone()));
        of.into_iter().for_each(|(channel, of)| self.tries.entry(channel).or_default().push(of));
    }

    fn acknowledged(&mut self, batch: &[Write]) {
        for write in batch {
            apply(self.kept.entry(write.channel).or_default(), &write.what);
            self.tries.remove(&write.channel);
        }
    }

    /// Checks all channels: what was acknowledged is there, then perhaps the beginning of something that was tried.
    /// What was found is kept from now on.
    fn check(&mut self, log: &PeerLogCore, channels: usize, what: &str) {
        for number in 0..channels {
            let channel = channel(number);
            let found = found(log, &channel).unwrap_or_else(|error| panic!("{what}: channel {number}: {error}"));
            let kept = self.kept.entry(channel).or_default();
            let tries = self.tries.remove(&channel).unwrap_or_default();
            let mut may_be = vec![kept.clone()];
            for of in tries {
                let mut next = kept.clone();
                for one in of {
                    apply(&mut next, &one);
                    may_be.push(next.clone());
                }
            }
            assert!(may_be.contains(&found), "{what}: channel {number} has {}, not {}", short(&found), short(kept));
            *kept = found;
        }
    }
}

fn short(state: &[(bool, Bytes)]) -> String {
    let text = |(base, body): &(bool, Bytes)| {
        let begin = String::from_utf8_lossy(&body[..body.len().min(12)]).into_owned();
        format!("{}{begin}/{}", if *base { "base " } else { "" }, body.len())
    };
    format!("{:?}", state.iter().map(text).collect::<Vec<_>>())
}

/// A batch of whatever may come.
fn any_batch(random: &mut Random, channels: usize, count: &mut u64) -> Vec<Write> {
    let writes = 1 + random.below(6);
    let mut write = || {
        *count += 1;
        let channel = channel(random.below(channels));
        let bytes = [10, 300, 700, 5_000][random.below(4)] + random.below(100);
        let body = format!("{count} ").repeat(bytes)[..bytes].to_owned();
        match random.below(12) {
            0 => forget(channel),
            1..4 => base(channel, body),
            _ => record(channel, body),
        }
    };
    (0..writes).map(|_| write()).collect()
}

#[test]
fn it_is_what_a_plain_map_would_be_over_many_starts() {
    const CHANNELS: usize = 7;
    // What nobody rebases has room.
    let options = PeerLogOptions { bytes_max: 4 * SMALL.bytes_max, ..SMALL };
    for seed in seeds(3) {
        let mut random = Random(seed);
        let directory = tempfile::tempdir().unwrap();
        let files = || Box::new(SegmentDirectory::new(directory.path().join("ordering")).unwrap());
        let (mut model, mut count) = (Model::default(), 0);
        let mut segments = 0;
        for start in 0..8 {
            let mut log = PeerLogCore::open(files(), options).unwrap();
            model.check(&log, CHANNELS, &format!("seed {seed}, start {start}"));
            for _ in 0..60 {
                let batch = any_batch(&mut random, CHANNELS, &mut count);
                put(&mut log, &batch).unwrap();
                model.acknowledged(&batch);
                segments = segments.max(log.segments.len());
            }
            model.check(&log, CHANNELS, &format!("seed {seed}, before stop {start}"));
            let (bytes, counts) = log.bytes();
            assert!(bytes <= options.bytes_max + 2 * 64 * 1024 && counts <= bytes, "seed {seed}: {bytes}, {counts}");
            let names = std::fs::read_dir(directory.path().join("ordering")).unwrap();
            assert_eq!(names.count(), log.segments.len(), "seed {seed}: what does not count is gone");
        }
        assert!(segments > 3, "seed {seed}: {segments}");
    }
}

#[test]
fn a_batch_of_many_channels_is_one_sync() {
    use crate::simulation::disk::{Fault, SEGMENTS};
    let machine = Machine::default();
    let mut log = open(&machine);
    put(&mut log, &[record(channel(0), "first")]).unwrap();
    machine.arm(SEGMENTS, Fault::Sync, u64::MAX, 0);
    for _ in 0..3 {
        let batch: Vec<Write> = (0..10).map(|number| record(channel(number), "of ten")).collect();
        put(&mut log, &batch).unwrap();
    }
    assert_eq!(machine.operations(SEGMENTS, Fault::Sync), 3);
    assert_eq!(machine.operations(SEGMENTS, Fault::Write), 6, "each half is written at once");
}

#[test]
fn a_record_that_no_segment_had_room_for_has_one_of_its_own() {
    let machine = Machine::default();
    let options = PeerLogOptions { bytes_max: 64 << 20, ..SMALL };
    let mut log = PeerLogCore::open(Box::new(machine.clone()), options).unwrap();
    let sizes = [0, 1, 433, 434, 435, 24_000, 24_600, 40_000, 3_000_000, 5, 32_768 - 78, 65_536];
    let batch: Vec<Write> = sizes.iter().map(|size| record(channel(*size % 3), vec![7; *size])).collect();
    put(&mut log, &batch[..6]).unwrap();
    put(&mut log, &batch[6..]).unwrap();
    let too_large = vec![record(channel(9), vec![0; RECORD_BYTES_MAX + 1]), record(channel(1), "fits")];
    let verdicts = log.write(&too_large);
    assert_eq!(verdicts, [Err(PutError::TooLarge { bytes: RECORD_BYTES_MAX + 1 }), Ok(())]);
    log.sync().unwrap();
    let mut model = Model::default();
    model.acknowledged(&batch);
    model.acknowledged(&too_large[1..]);
    model.check(&log, 10, "before");
    model.check(&PeerLogCore::open(Box::new(Machine::after(&machine.live())), options).unwrap(), 10, "after");
}

#[test]
fn what_counts_is_bounded_and_bases_make_room() {
    let machine = Machine::default();
    let mut log = open(&machine);
    let full = loop {
        if let Err(error) = put(&mut log, &[record(channel(1), vec![1; 9_000])]) {
            break error;
        }
    };
    assert!(matches!(full, PutError::Full { bytes, bytes_max: 262_144 } if bytes > 262_144), "{full:?}");
    let verdicts = log.write(&[record(channel(2), vec![1; 9_000]), base(channel(1), "all of it")]);
    assert!(matches!(verdicts[..], [Err(PutError::Full { .. }), Ok(())]), "{verdicts:?}");
    log.sync().unwrap();
    put(&mut log, &[record(channel(2), vec![1; 9_000])]).unwrap();
    assert_eq!(found(&log, &channel(1)).unwrap(), [(true, Bytes::from("all of it"))]);
}

/// A channel that is idle keeps no segment for others, and is not lost with one.
#[test]
fn segments_go_with_what_counts_in_them_and_idle_channels_move() {
    let machine = Machine::default();
    let mut log = open(&machine);
    put(&mut log, &[base(channel(0), "idle"), record(channel(0), "for long")]).unwrap();
    let mut most = 0;
    for round in 0..400 {
        put(&mut log, &[record(channel(1), vec![2; 3_000])]).unwrap();
        if round % 5 == 4 {
            put(&mut log, &[base(channel(1), format!("{round}"))]).unwrap();
        }
        most = most.max(log.bytes().0);
    }
    let oldest = *log.segments.keys().next().unwrap();
    assert!(oldest > 10 && most <= 5 * 64 * 1024, "{oldest} is the oldest, {most} bytes at most");
    assert_eq!(machine.live().segments().len(), log.segments.len());
    let log = open(&Machine::after(&machine.live()));
    assert_eq!(found(&log, &channel(0)).unwrap(), [(true, Bytes::from("idle")), (false, Bytes::from("for long"))]);
}

#[test]
fn who_was_forgotten_begins_anew_and_stays_forgotten() {
    let machine = Machine::default();
    let mut log = open(&machine);
    put(&mut log, &[record(channel(0), "old"), record(channel(1), "other")]).unwrap();
    // The second one behind it once named as on the disk what was forgotten.
    let anew =
        [record(channel(0), "older"), forget(channel(0)), record(channel(0), "new"), record(channel(0), "newer")];
    put(&mut log, &anew).unwrap();
    let new = [(false, Bytes::from("new")), (false, Bytes::from("newer"))];
    assert_eq!(found(&log, &channel(0)).unwrap(), new);
    put(&mut log, &[forget(channel(1))]).unwrap();
    // Long enough for the segment with all of this to go.
    for round in 0..200 {
        put(&mut log, &[base(channel(2), vec![3; 3_000])]).unwrap();
        if round % 50 == 0 {
            let again = open(&Machine::after(&machine.live()));
            assert_eq!(found(&again, &channel(0)).unwrap(), new, "{round}");
            assert_eq!(found(&again, &channel(1)).unwrap(), [], "{round}");
        }
    }
    assert!(*log.segments.keys().next().unwrap() > 2);
}
