//! Who finds room, what is counted beside the files, and that all of it comes back.

use super::*;
use crate::test_support::{Random, seeds};
use std::fs;

const MIB: usize = 1024 * 1024;

/// A channel whose files take nothing, with this part.
fn made_quota(home: &Path, bytes_max: u64) -> DiskQuota {
    fs::create_dir_all(home.join("trade")).expect("writable");
    DiskQuota::new("trade", home, bytes_max)
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

/// Who finds no room by what the files take.
fn shut(quota: &DiskQuota) -> Vec<Room> {
    quota.look_again(0);
    quota.look(0);
    let rooms = [Room::All, Room::Acts, Room::Admissions, Room::Peer];
    rooms.into_iter().filter(|room| quota.full(*room).is_some()).collect()
}

#[test]
fn a_channel_has_its_part_and_what_repairs_an_eighth_more() {
    let home = tempfile::tempdir().expect("a folder");
    let small = made_quota(home.path(), MIB as u64);
    for (kib, rooms) in [(0, vec![]), (1020, vec![]), (1024, vec![Room::All]), (4096, vec![Room::All]), (1000, vec![])]
    {
        write(home.path(), kib * 1024);
        assert_eq!(shut(&small), rooms, "{kib}");
    }
    // What waits is shown beside the files, and shuts nobody out.
    small.look(64 * 1024);
    assert!(small.full(Room::All).is_none());
    assert_eq!(small.room(64 * 1024), Err(NoRoom::Soon), "when it is written the files tell");
    assert_eq!(small.used(Duration::MAX).waiting, 64 * 1024);
    assert_eq!(small.room(1024), Ok(()));
    let half = small.half();
    assert_eq!(half, ACTS_BYTES_MIN / 2);
    let beyond = |part: &DiskQuota, bytes: u64| {
        part.lock().files = part.0.bytes_max + bytes;
        [Room::All, Room::Acts, Room::Admissions, Room::Peer].map(|room| part.full(room).is_some())
    };
    assert_eq!(beyond(&small, 0), [true, false, false, false]);
    assert_eq!(beyond(&small, half), [true, true, false, false], "what is left to admissions is not for acts");
    assert_eq!(beyond(&small, 2 * half), [true, true, true, false]);
    let large = DiskQuota::new("large", home.path(), 1 << 33);
    assert_eq!(large.half(), 1 << 29, "an eighth of a large part");
    // A file with holes takes what is in it.
    write(home.path(), 0);
    fs::File::create(home.path().join("trade/state.redb")).expect("writable").set_len(1 << 30).expect("holes");
    assert_eq!(shut(&small), []);
}

#[test]
fn files_are_looked_at_now_and_then_only() {
    let home = tempfile::tempdir().expect("a folder");
    let quota = made_quota(home.path(), u64::MAX);
    let hour = Duration::from_secs(3600);
    assert_eq!(quota.used(hour).bytes, 0);
    write(home.path(), 4096);
    assert_eq!(quota.used(hour).bytes, 0);
    quota.look_again(0);
    assert_eq!(quota.used(hour).bytes, 4096);
}

/// A burst went beyond the part by all that was under way, two hundred megabytes.
#[test]
fn what_is_under_way_counts_until_it_is_on_the_disk() {
    let home = tempfile::tempdir().expect("a folder");
    let quota = made_quota(home.path(), MIB as u64);
    let take = || quota.take(Room::All, 64 * 1024, one);
    let mut held = Vec::new();
    let refused = loop {
        match take() {
            Ok(way) => held.push(way),
            Err(refused) => break refused,
        }
        assert!(held.len() < 100, "nothing refuses");
    };
    assert_eq!(refused, NoRoom::Soon, "the part is not used up, and may be by what is under way");
    assert_eq!(held.len(), MIB / (64 * 1024));
    assert!(quota.take(Room::Admissions, 64 * 1024, one).is_ok(), "what repairs has more room");
    // One comes to nothing, and another has its room.
    drop(held.pop());
    held.push(take().expect("room"));
    // They land, smaller than they were counted for; before the files are looked at again that is not known.
    held.into_iter().for_each(OnItsWay::landed);
    assert_eq!(quota.under_way(), 0);
    write(home.path(), 400 * 1024);
    let way = take().expect("the files are looked at before anybody is refused");
    way.landed();
    write(home.path(), MIB);
    quota.look_again(0);
    assert!(full(take()), "it is used up");
}

/// Whoever is alone must not wait for ever for what is left.
#[test]
fn what_is_alone_may_go_beyond_the_part() {
    let home = tempfile::tempdir().expect("a folder");
    let quota = made_quota(home.path(), MIB as u64);
    write(home.path(), MIB - 4096);
    let way = quota.take(Room::All, 64 * 1024, one).expect("it is alone");
    assert!(matches!(quota.take(Room::All, 1, one), Err(NoRoom::Soon)));
    drop(way);
    quota.look(64 * 1024);
    drop(
        quota
            .take(Room::All, 1, one)
            .expect("what waits for a checkpoint shuts nobody out: it is asked for with a block"),
    );
    assert!(quota.take(Room::All, 1, one).is_ok());
}

/// Takes of a half what somebody finds there, as if all of it came to the disk.
fn fill(quota: &DiskQuota, home: &Path, whose: Room, place: &str) -> u64 {
    let mut bytes = 0;
    while let Ok(way) = quota.take(whose, 1024 * 1024, || Place::of_organization(place)) {
        way.landed();
        bytes += 1024 * 1024;
        assert!(bytes < 4 * ACTS_BYTES_MIN, "nothing refuses");
    }
    // No more than that is on the disk: holes take nothing, and what is written is quickly there.
    let path = home.join("trade/state.redb");
    let before = fs::metadata(&path).map_or(0, |file| file.blocks() * 512);
    let file = fs::File::options().create(true).append(true).open(&path).expect("writable");
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), before, bytes.max(1)).expect("room");
    quota.look_again(0);
    quota.look(0);
    bytes
}

/// A client used up the room of acts with admissions that carried 98 KB of blanks each; with acts it shut out admissions.
#[test]
fn nobody_takes_the_room_of_what_repairs_from_others() {
    let home = tempfile::tempdir().expect("a folder");
    let quota = made_quota(home.path(), MIB as u64);
    write(home.path(), MIB);
    assert!(full(quota.take(Room::All, 1, one)));
    let half = quota.half();
    let near = |bytes: u64, expected: u64| bytes.abs_diff(expected) < 4 * 1024 * 1024;
    let fill = |whose, place| fill(&quota, home.path(), whose, place);
    for whose in [Room::Acts, Room::Admissions] {
        let one = fill(whose, "one");
        assert!(near(one, half / 2), "{whose:?}: {one}");
        let other = fill(whose, "other");
        assert!(near(other, half / 4), "{whose:?}: {other}");
        assert_eq!(fill(whose, "one"), 0, "it has had its part");
        assert!(quota.take(whose, 1024, || Place::of_organization("third")).is_ok(), "{whose:?}: others find some");
    }
    assert!(quota.take(Room::Peer, 64 * 1024, Place::default).is_ok(), "so does the peer itself");
    // The part has room again: nobody has taken anything.
    write(home.path(), 0);
    fs::remove_file(home.path().join("trade/state.redb")).expect("there");
    assert_eq!(shut(&quota), []);
    assert!(quota.lock().halves.iter().all(|half| half.taken == 0 && half.of.is_empty()));
}

/// What was taken is known until the peer starts anew: then acts had admissions' half, too.
#[test]
fn however_often_the_peer_starts_acts_leave_room_for_admissions() {
    let home = tempfile::tempdir().expect("a folder");
    let start = || made_quota(home.path(), MIB as u64);
    start();
    write(home.path(), MIB);
    for start_number in 0..6 {
        let quota = start();
        let taken = fill(&quota, home.path(), Room::Acts, &format!("org{start_number}"));
        assert!(taken > 0 || start_number > 3, "acts go on, too");
        let admission = || Place::of_organization("new");
        assert!(quota.take(Room::Admissions, 1024, admission).is_ok(), "start {start_number}");
        assert!(start().take(Room::Admissions, 1024, admission).is_ok(), "after start {start_number}");
    }
}

/// Whatever happens to what was accepted, in whatever order: what is counted is what lives, and in the end nothing.
#[test]
fn what_is_counted_comes_back_whatever_becomes_of_it() {
    for seed in seeds(8) {
        let mut random = Random(seed);
        let home = tempfile::tempdir().expect("a folder");
        let quota = made_quota(home.path(), 4 * MIB as u64);
        let (mut files, mut landed) = (0, 0);
        let mut held: Vec<(u64, Room, OnItsWay)> = Vec::new();
        for _ in 0..400 {
            match random.below(6) {
                0..=2 => {
                    let bytes = random.below(128 * 1024) as u64;
                    let whose = [Room::All, Room::Admissions, Room::Acts, Room::Peer][random.below(4)];
                    let place = Place::of_organization(["one", "other"][random.below(2)]);
                    if let Ok(way) = quota.take(whose, bytes, || place) {
                        held.push((bytes, whose, way));
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
                    quota.look_again(0);
                    quota.look(random.below(64 * 1024));
                    landed = 0;
                }
            }
            let under_way: u64 = held.iter().map(|(bytes, ..)| bytes).sum();
            assert_eq!(quota.under_way(), under_way);
            assert!(quota.lock().landed() <= landed, "a look forgets what has landed");
        }
        drop(held);
        assert_eq!(quota.under_way(), 0);
        write(home.path(), files);
        quota.look_again(0);
        assert_eq!(quota.used(Duration::MAX).bytes.div_ceil(4096), (files as u64).div_ceil(4096));
        assert_eq!(quota.lock().landed(), 0);
        let used = quota.lock();
        assert!(used.halves.iter().all(|half| half.taken == half.of.values().sum::<u64>()), "each byte is somebody's");
    }
}

/// What was under way when the part had room again took from what came afterwards.
#[test]
fn what_is_of_an_earlier_round_takes_nothing_from_the_next() {
    let home = tempfile::tempdir().expect("a folder");
    let quota = made_quota(home.path(), MIB as u64);
    let fill = || {
        write(home.path(), MIB);
        quota.look_again(0);
        quota.look(0);
        quota.take(Room::Acts, 64 * 1024, one).expect("room")
    };
    let before = fill();
    write(home.path(), 0);
    quota.look_again(0);
    quota.look(0);
    assert_eq!(quota.lock().halves[ACTS].taken, 0, "there is room: nobody has taken anything");
    let after = fill();
    drop(before);
    assert_eq!(quota.lock().halves[ACTS].taken, 64 * 1024);
    drop(after);
    assert_eq!(quota.lock().halves[ACTS].taken, 0);
}

#[test]
fn what_lands_while_the_files_are_looked_at_is_not_forgotten_and_an_older_look_changes_nothing() {
    let mut used = Used { landed_ever: 10, ..Used::default() };
    let before = |used: &Used| Before { landed_ever: used.landed_ever, changes: used.changes };
    let first = before(&used);
    used.landed_ever += 5;
    let second = before(&used);
    used.saw(100, second, 1_000);
    assert_eq!((used.files, used.landed(), used.at.is_some()), (100, 0, true));
    used.saw(90, first, 1_000);
    assert_eq!((used.files, used.landed()), (100, 0));
    // A checkpoint was written meanwhile: what was seen may be older.
    let third = before(&used);
    (used.landed_ever, used.changes) = (used.landed_ever + 7, used.changes + 1);
    used.saw(120, third, 1_000);
    assert_eq!((used.files, used.landed(), used.at), (120, 7, None));
    // Nothing landed, but a look from before that checkpoint comes after one from behind it.
    let (earlier, later) = (Before { changes: used.changes - 1, ..before(&used) }, before(&used));
    used.saw(300, later, 1_000);
    used.saw(130, earlier, 1_000);
    assert_eq!(used.files, 300);
}
