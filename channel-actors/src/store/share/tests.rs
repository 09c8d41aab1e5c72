//! Who finds room, what is counted beside the files, and that all of it comes back.

use super::*;
use crate::test_support::{Random, seeds};
use std::fs;

const MIB: usize = 1024 * 1024;

/// What a transaction of such a size is counted for.
fn counted(bytes: u32) -> u64 {
    u64::from(bytes) * DISK_BYTES_OF_BYTE + DISK_BYTES_OF_TRANSACTION
}

/// A channel whose files take nothing, with this part.
fn share(home: &Path, bytes_max: u64) -> Share {
    fs::create_dir_all(home.join("trade")).expect("writable");
    Share::new("trade", home, bytes_max)
}

fn write(home: &Path, bytes: usize) {
    fs::write(home.join("trade/log.redb"), vec![7; bytes]).expect("writable");
}

fn one() -> Place {
    Place::of_organization("one")
}

fn full(taken: Result<OnItsWay, NoRoom>) -> bool {
    matches!(taken, Err(NoRoom::Full(_)))
}

#[test]
fn a_channel_has_its_part_and_acts_an_eighth_more_of_which_admissions_have_half() {
    let home = tempfile::tempdir().expect("a folder");
    let share = Share::new("trade", home.path(), MIB as u64);
    assert_eq!(share.room(0), (Room::All, DiskUse { bytes: 0, bytes_max: MIB as u64 }));
    fs::create_dir(home.path().join("trade")).expect("writable");
    let grow = |kib: usize| {
        write(home.path(), kib * 1024);
        share.look_again();
        share.room(0).0
    };
    for (kib, room) in [
        (512, Room::All),
        (1020, Room::All),
        (1024, Room::Admissions),
        (1100, Room::Admissions),
        (4096, Room::Admissions),
        (1000, Room::All),
    ] {
        assert_eq!(grow(kib), room, "{kib}");
    }
    assert_eq!(share.room(64 * 1024).0, Room::Admissions, "what waits for a checkpoint will be there");
    let more = usize::try_from(ACTS_BYTES_MIN).expect("64 bits");
    assert_eq!(share.room(more / 2 - 1024).0, Room::Admissions);
    assert_eq!(share.room(more / 2 + 24 * 1024).0, Room::Acts);
    assert_eq!(share.room(more - 1024).0, Room::Acts);
    assert_eq!(share.room(more + 24 * 1024).0, Room::Peer);
    let large = Share::new("large", home.path(), 1 << 33);
    let part = |sixteenths: usize| large.room((1 << 29) * sixteenths).0;
    let parts = [15, 16, 17, 18].map(part);
    assert_eq!(parts, [Room::All, Room::Admissions, Room::Acts, Room::Peer], "an eighth of a large part");
    // A file with holes takes what is in it.
    fs::File::create(home.path().join("trade/state.redb")).expect("writable").set_len(1 << 30).expect("holes");
    share.look_again();
    assert_eq!(share.room(0).0, Room::All);
}

#[test]
fn files_are_looked_at_now_and_then_only() {
    let home = tempfile::tempdir().expect("a folder");
    let share = share(home.path(), u64::MAX);
    let hour = Duration::from_secs(3600);
    assert_eq!(share.used(hour).bytes, 0);
    write(home.path(), 4096);
    assert_eq!(share.used(hour).bytes, 0);
    share.look_again();
    assert_eq!(share.used(hour).bytes, 4096);
}

/// A burst went beyond the part by all that was under way, two hundred megabytes.
#[test]
fn what_is_under_way_counts_until_it_is_on_the_disk() {
    let home = tempfile::tempdir().expect("a folder");
    let share = share(home.path(), MIB as u64);
    let take = || share.take(Room::All, 64 * 1024, one);
    let mut held = Vec::new();
    let refused = loop {
        match take() {
            Ok(way) => held.push(way),
            Err(refused) => break refused,
        }
        assert!(held.len() < 100, "nothing refuses");
    };
    assert_eq!(refused, NoRoom::Soon, "the part is not used up, and may be by what is under way");
    assert_eq!(held.len() as u64, MIB as u64 / counted(64 * 1024));
    assert!(share.take(Room::Admissions, 64 * 1024, one).is_ok(), "what repairs has more room");
    // One comes to nothing, and another has its room.
    drop(held.pop());
    held.push(take().expect("room"));
    // They land, smaller than they were counted for; before the files are looked at again that is not known.
    held.into_iter().for_each(OnItsWay::landed);
    assert_eq!(share.under_way(), 0);
    write(home.path(), 400 * 1024);
    let way = take().expect("the files are looked at before anybody is refused");
    way.landed();
    write(home.path(), MIB);
    share.look_again();
    assert!(full(take()), "it is used up");
}

/// Whoever is alone must not wait for ever for what is left.
#[test]
fn what_is_alone_may_go_beyond_the_part() {
    let home = tempfile::tempdir().expect("a folder");
    let share = share(home.path(), MIB as u64);
    write(home.path(), MIB - 4096);
    let way = share.take(Room::All, 64 * 1024, one).expect("it is alone");
    assert!(matches!(share.take(Room::All, 1, one), Err(NoRoom::Soon)));
    drop(way);
    assert!(share.take(Room::All, 1, one).is_ok());
}

/// A client used up the room of acts with admissions that carried 98 KB of blanks each.
#[test]
fn no_organization_takes_the_room_of_what_repairs_from_others() {
    let home = tempfile::tempdir().expect("a folder");
    let share = share(home.path(), MIB as u64);
    write(home.path(), MIB);
    assert!(full(share.take(Room::All, 1, one)));
    let mut waiting = 0;
    let mut fill = |whose: Room, place: &str| {
        let take = || share.take(whose, 64 * 1024, || Place::of_organization(place));
        let mut held = Vec::new();
        while let Ok(way) = take() {
            held.push(way);
        }
        let bytes = held.len() as u64 * counted(64 * 1024);
        held.into_iter().for_each(OnItsWay::landed);
        // As if it were on the disk.
        waiting += usize::try_from(bytes).expect("64 bits");
        share.look_again();
        share.room(waiting);
        bytes
    };
    let room = ACTS_BYTES_MIN / 2;
    let near = |bytes: u64, expected: u64| bytes.abs_diff(expected) < 4 * counted(64 * 1024);
    let one = fill(Room::Admissions, "one");
    assert!(near(one, room / 2), "{one}");
    let other = fill(Room::Admissions, "other");
    assert!(near(other, room / 4), "{other}");
    assert_eq!(fill(Room::Admissions, "one"), 0, "it has had its part");
    let acts = fill(Room::Acts, "third");
    assert!(acts > room / 2, "administrators have what admissions leave, and as much again: {acts}");
    assert!(share.take(Room::Acts, 64 * 1024, Place::default).is_ok(), "and others find some");
    assert!(share.take(Room::Peer, 64 * 1024, Place::default).is_ok(), "so does the peer itself");
    // The part has room again: nobody has taken anything.
    write(home.path(), 0);
    share.look_again();
    assert_eq!(share.room(0).0, Room::All);
    assert!(share.lock().acts.is_empty());
}

/// Whatever happens to what was accepted, in whatever order: what is counted is what lives, and in the end nothing.
#[test]
fn what_is_counted_comes_back_whatever_becomes_of_it() {
    for seed in seeds(8) {
        let mut random = Random(seed);
        let home = tempfile::tempdir().expect("a folder");
        let share = share(home.path(), 4 * MIB as u64);
        let (mut files, mut landed) = (0, 0);
        let mut held: Vec<(u64, Room, OnItsWay)> = Vec::new();
        for _ in 0..400 {
            match random.below(6) {
                0..=2 => {
                    let bytes = u32::try_from(random.below(128 * 1024)).expect("small");
                    let whose = [Room::All, Room::Admissions, Room::Acts, Room::Peer][random.below(4)];
                    let place = Place::of_organization(["one", "other"][random.below(2)]);
                    if let Ok(way) = share.take(whose, bytes, || place) {
                        held.push((counted(bytes), whose, way));
                    }
                }
                3 if !held.is_empty() => drop(held.swap_remove(random.below(held.len()))),
                4 if !held.is_empty() => {
                    let (bytes, _, way) = held.swap_remove(random.below(held.len()));
                    way.landed();
                    landed += bytes;
                    files += usize::try_from(bytes).expect("small") / 2;
                }
                _ => {
                    write(home.path(), files);
                    share.look_again();
                    share.room(random.below(64 * 1024));
                    landed = 0;
                }
            }
            let under_way: u64 = held.iter().map(|(bytes, ..)| bytes).sum();
            assert_eq!(share.under_way(), under_way);
            assert!(share.lock().landed <= landed, "a look forgets what has landed");
        }
        drop(held);
        assert_eq!(share.under_way(), 0);
        write(home.path(), files);
        share.look_again();
        assert_eq!(share.used(Duration::MAX).bytes.div_ceil(4096), (files as u64).div_ceil(4096));
        assert_eq!(share.lock().landed, 0);
    }
}
