//! Bits that rot: one copy of a record loses nothing, both of them halt its channel and no other, and so it stays.

use super::*;
use crate::store::log::pages::PAGE;
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes of a segment as it is in these tests: first copies in the first half, second ones in the other.
const BYTES: usize = 64 * 1024;

/// Whole records of a segment: what they are and where their copies begin.
fn records_of(bytes: &[u8], number: u64) -> Vec<(Head, [usize; 2])> {
    let (key, _) = crate::store::log::pages::find_head(&SEGMENT, &number.to_le_bytes(), bytes).unwrap();
    let mut all = BTreeMap::new();
    record::scan(bytes, &key, |head, at, _| {
        all.entry(head.sequence).or_insert((head, [at; 2])).1[1] = at;
    });
    all.into_values().collect()
}

/// A log of six channels in one segment, the last batch of channel 5 alone.
fn six() -> (Machine, Model) {
    let machine = Machine::default();
    let (mut log, mut model) = (open(&machine), Model::default());
    for round in 0..5 {
        let of = |number| record(channel(number), format!("{number} in {round}"));
        let mut batch: Vec<Write> = (0..5).map(of).collect();
        if round == 3 {
            batch[1] = base(channel(1), "all of 1");
            batch.push(forget(channel(2)));
        }
        put(&mut log, &batch).unwrap();
        model.acknowledged(&batch);
    }
    put(&mut log, &[record(channel(5), "the last")]).unwrap();
    model.acknowledged(&[record(channel(5), "the last")]);
    (machine, model)
}

#[test]
fn rot_of_one_copy_loses_nothing() {
    let (machine, model) = six();
    let sound = machine.live();
    let file = sound.segments()[0];
    let bytes = sound.bytes(file);
    assert_eq!(bytes.len(), BYTES);
    let mut flips = 0;
    for at in (0..bytes.len()).filter(|at| bytes[*at] != 0).step_by(3) {
        let mut image = sound.clone();
        assert!(image.rot(file, at, at));
        model.clone().check(&open(&Machine::after(&image)), 6, &format!("byte {at}"));
        flips += 1;
    }
    // A whole page of the disk.
    for page in 0..BYTES / PAGE {
        let mut image = sound.clone();
        image.put(file, page * PAGE, &[0; PAGE]);
        model.clone().check(&open(&Machine::after(&image)), 6, &format!("page {page}"));
    }
    assert!(flips > 1_000, "{flips}");
}

#[test]
fn rot_of_both_copies_halts_the_channel_of_the_record_and_no_other() {
    let (machine, model) = six();
    let sound = machine.live();
    let file = sound.segments()[0];
    let (mut named, mut nothing, mut unnoticed) = (0, 0, 0);
    for (head, copies) in records_of(&sound.bytes(file), 1) {
        let mut image = sound.clone();
        assert!(
            copies[1] == copies[0] + BYTES / 2 && image.rot(file, copies[0], 3) && image.rot(file, copies[1] + 40, 5)
        );
        let log = open(&Machine::after(&image));
        let lost = log.lost();
        for number in 0..6 {
            let of = channel(number);
            let kept = model.kept.get(&of).cloned().unwrap_or_default();
            match found(&log, &of) {
                Ok(found) if found == kept => {}
                // Nothing was written after it: it is as one that was never finished.
                Ok(found) => {
                    assert!(of == head.channel && number == 5 && found.is_empty(), "{head:?}: {number} lost something");
                    unnoticed += 1;
                }
                Err(TakeError::Lost(Lost { channel, .. })) => {
                    assert_eq!((channel, &lost[..]), (head.channel, log.lost().as_slice()));
                    assert_eq!(lost.len(), 1, "{head:?}");
                    named += 1;
                }
                Err(error) => panic!("{head:?}: {error}"),
            }
        }
        nothing += usize::from(lost.is_empty());
    }
    // A list, what a base stands for, and what was forgotten can all go.
    assert!(named >= 14 && nothing >= 8 && unnoticed == 1, "{named} named, {nothing} nothing, {unnoticed} unnoticed");
}

#[test]
fn of_a_thousand_channels_one_is_rotten_and_the_others_serve() {
    const CHANNELS: usize = 1_000;
    const ROTTEN: usize = 500;
    let machine = Machine::default();
    let options = PeerLogOptions { bytes_max: 16 << 20, segment_bytes_max: 256 * 1024 };
    let open = |machine: &Machine| PeerLogCore::open(Box::new(machine.clone()), options).unwrap();
    let mut log = open(&machine);
    let round = |round: usize| (0..CHANNELS).map(move |number| record(channel(number), format!("{number} in {round}")));
    for number in 0..3 {
        put(&mut log, &round(number).collect::<Vec<_>>()).unwrap();
    }
    put(&mut log, &[record(channel(CHANNELS), "another")]).unwrap();
    let mut image = machine.live();
    for (number, file) in image.segments().into_iter().enumerate() {
        let records = records_of(&image.bytes(file), number as u64 + 1);
        let newest = records.iter().rev().find(|(head, _)| head.channel == channel(ROTTEN) && head.before > 0);
        for at in newest.map(|(_, copies)| *copies).into_iter().flatten() {
            assert!(image.rot(file, at + 80, 1));
        }
    }
    let mut machine = Machine::after(&image);
    let mut log = open(&machine);
    let lost = log.lost();
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0].channel, channel(ROTTEN));
    assert!(lost[0].to_string().contains(&channel(ROTTEN).to_string()), "{}", lost[0]);
    // However often it starts, and however many segments go.
    for start in 0..3 {
        assert_eq!(log.lost(), lost, "start {start}");
        for number in 0..CHANNELS {
            let taken = log.take(&channel(number));
            assert_eq!(taken.is_ok(), number != ROTTEN, "start {start}: {number}");
        }
        let oldest = *log.segments.keys().next().unwrap();
        while *log.segments.keys().next().unwrap() <= oldest + 1 {
            let batch: Vec<Write> = (0..CHANNELS).map(|number| base(channel(number), vec![5; 900])).collect();
            let written = log.write(&batch);
            log.sync().unwrap();
            for (number, written) in written.into_iter().enumerate() {
                match number {
                    ROTTEN => assert_eq!(written, Err(PutError::Lost(lost[0].clone()))),
                    _ => assert_eq!(written, Ok(())),
                }
            }
        }
        machine = Machine::after(&machine.live());
        log = open(&machine);
    }
    // Whoever gives it up can begin it anew.
    put(&mut log, &[forget(channel(ROTTEN)), record(channel(ROTTEN), "anew")]).unwrap();
    let log = open(&Machine::after(&machine.live()));
    assert_eq!((found(&log, &channel(ROTTEN)).unwrap().len(), log.lost()), (1, vec![]));
}

fn files(home: &Path) -> Box<SegmentDirectory> {
    Box::new(SegmentDirectory::new(home.join("ordering")).unwrap())
}

fn file(home: &Path, number: u64) -> PathBuf {
    home.join(format!("ordering/{number:08}.segment"))
}

/// It rots while the log is open, and is found when it is to be copied forward.
#[test]
fn rot_that_is_found_when_a_segment_goes_halts_its_channel_for_good() {
    let home = tempfile::tempdir().unwrap();
    let mut log = PeerLogCore::open(files(home.path()), SMALL).unwrap();
    put(&mut log, &[record(channel(0), "idle"), record(channel(1), "idle too")]).unwrap();
    let path = file(home.path(), 1);
    let mut bytes = fs::read(&path).unwrap();
    let records = records_of(&bytes, 1);
    let (_, copies) = records.iter().find(|(head, _)| head.channel == channel(0)).unwrap();
    copies.iter().for_each(|at| bytes[at + 80] ^= 1);
    fs::write(&path, &bytes).unwrap();
    for round in 0..100 {
        put(&mut log, &[base(channel(2), vec![round; 3_000])]).unwrap();
    }
    assert!(!path.exists(), "the segment is gone");
    let is_lost = |log: &PeerLogCore| {
        assert_eq!(log.lost().iter().map(|lost| lost.channel).collect::<Vec<_>>(), [channel(0)]);
        assert_eq!(found(log, &channel(1)).unwrap(), [(false, Bytes::from("idle too"))]);
    };
    is_lost(&log);
    assert!(matches!(put(&mut log, &[record(channel(0), "more")]), Err(PutError::Lost(_))));
    drop(log);
    is_lost(&PeerLogCore::open(files(home.path()), SMALL).unwrap());
}

/// What cannot be told apart by channels is told of the whole log, and no log is no answer.
#[test]
fn segments_that_cannot_be_read_at_all_are_an_error_by_number() {
    let home = tempfile::tempdir().unwrap();
    let mut log = PeerLogCore::open(files(home.path()), SMALL).unwrap();
    while log.segments.len() < 3 {
        put(&mut log, &[record(channel(0), vec![1; 4_000])]).unwrap();
    }
    drop(log);
    let path = file(home.path(), 2);
    let sound = fs::read(&path).unwrap();
    let corrupt = |what: &str| {
        let error = PeerLogCore::open(files(home.path()), SMALL).err().unwrap();
        let StoreError::Corrupt(why) = error else { panic!("{}", error.chain()) };
        assert!(why.contains(what), "{why}");
    };
    let mut rotten = sound.clone();
    rotten[5] ^= 1;
    fs::write(&path, &rotten).unwrap();
    assert_eq!(PeerLogCore::open(files(home.path()), SMALL).unwrap().lost(), []);
    rotten[PAGE + 40] ^= 1;
    fs::write(&path, &rotten).unwrap();
    corrupt("both heads of segment 2");
    fs::write(&path, &sound[..sound.len() / 2]).unwrap();
    corrupt("segment 2 of the ordering records is cut off: 32768 of 65536 bytes");
    fs::remove_file(&path).unwrap();
    corrupt("segment 2 of the ordering records is not there, and 3 is");
    // One that was never finished holds nothing, wherever it was cut off.
    fs::write(&path, &sound).unwrap();
    for cut in [0, 1, 30, 52] {
        let mut unfinished = vec![0; BYTES];
        unfinished[..cut].copy_from_slice(&sound[..cut]);
        fs::write(file(home.path(), 4), &unfinished).unwrap();
        let mut log = PeerLogCore::open(files(home.path()), SMALL).unwrap();
        put(&mut log, &[record(channel(0), "more")]).unwrap();
        assert_eq!((log.segments.len() > 4, log.lost()), (true, vec![]), "{cut}: others come behind it");
    }
}
