//! A channel's part of the disk. The disk is everybody's: whoever posts to one channel must not fill it for the others.
//!
//! What the files take is looked at when somebody asks, a few times a second at most, and not counted: a state file grows,
//! shrinks and leaves holes as its database likes. So a channel may be above its part by what it writes in such a time and
//! what was under way.
//! Never here: the disk as a whole, which keeps a reserve (`disk.rs`).

use crate::limits::{ACTS_BYTES_MIN, ACTS_PART};
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a channel's files take of the disk, and what they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskUse {
    /// Bytes of the disk that they take.
    pub bytes: u64,
    /// The channel's part.
    pub bytes_max: u64,
}

impl DiskUse {
    /// Whether the part is used up.
    pub const fn is_full(self) -> bool {
        self.bytes >= self.bytes_max
    }
}

impl fmt::Display for DiskUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, bytes_max } = self;
        write!(f, "the channel takes {bytes} bytes of the peer's disk, and its part is {bytes_max}")
    }
}

/// Who finds room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Room {
    /// The peer's own posts, such as revocations, as long as the disk has room.
    Peer,
    /// Administrative acts, too: they repair, and an eighth more is theirs, 256 MiB at least.
    Acts,
    /// Everybody.
    All,
}

/// The part of one channel. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Share(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    directory: PathBuf,
    bytes_max: u64,
    seen: Mutex<Option<Seen>>,
    /// It was said that it is full.
    said: AtomicBool,
}

/// What was seen last.
#[derive(Debug)]
struct Seen {
    at: Instant,
    files: u64,
    /// What was not written yet.
    waiting: u64,
}

impl Share {
    /// The part of a channel with its files in a folder of a directory.
    pub(crate) fn new(name: &str, directory: &Path, bytes_max: u64) -> Self {
        Self(Arc::new(Inner {
            name: name.to_owned(),
            directory: directory.join(name),
            bytes_max,
            seen: Mutex::default(),
            said: AtomicBool::new(false),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Seen>> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What its files take, as it was seen within such a time, with what was on its way to them then.
    pub(crate) fn used(&self, within: Duration) -> DiskUse {
        let mut seen = self.lock();
        let Seen { files, waiting, .. } = match &*seen {
            Some(known) if known.at.elapsed() < within => known,
            _ => seen.insert(Seen { at: Instant::now(), files: bytes_in(&self.0.directory), waiting: 0 }),
        };
        DiskUse { bytes: files.saturating_add(*waiting), bytes_max: self.0.bytes_max }
    }

    /// What was seen is no longer so.
    pub(crate) fn look_again(&self) {
        *self.lock() = None;
    }

    /// Who finds room, as it was seen within such a time, beside so many bytes that are on their way to the files.
    pub(crate) fn room(&self, within: Duration, waiting: usize) -> (Room, DiskUse) {
        self.used(within);
        if let Some(seen) = self.lock().as_mut() {
            seen.waiting = waiting as u64;
        }
        let used = self.used(Duration::MAX);
        self.tell(used);
        let room = match used {
            used if !used.is_full() => Room::All,
            used if used.bytes < used.bytes_max.saturating_add((used.bytes_max / ACTS_PART).max(ACTS_BYTES_MIN)) => {
                Room::Acts
            }
            _ => Room::Peer,
        };
        (room, used)
    }

    /// A line of the log when it begins and one when it ends.
    fn tell(&self, used: DiskUse) {
        let (channel, DiskUse { bytes, bytes_max }) = (&self.0.name, used);
        // What waits comes and goes with each checkpoint: it ends only when there is some room.
        let said = self.0.said.load(Ordering::Acquire);
        let is_full = used.is_full() || said && bytes >= bytes_max - bytes_max / 16;
        match (is_full, self.0.said.swap(is_full, Ordering::AcqRel)) {
            (true, false) => tracing::error!(
                channel,
                bytes,
                bytes_max,
                "the channel's part of the disk is used up: only administrative acts are taken (limits.channel_bytes_max)"
            ),
            (false, true) => tracing::info!(channel, bytes, bytes_max, "the channel's part of the disk has room again"),
            _ => {}
        }
    }
}

/// What the files in a folder take of the disk: a file may have holes. What cannot be read counts as nothing: a channel
/// may just be closing.
fn bytes_in(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    // POSIX counts in 512 octets, whatever the file system's blocks are.
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.blocks() * 512).sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::limits::SHARE_LOOK;
    use std::fs;

    #[test]
    fn a_channel_has_its_part_and_acts_an_eighth_more() {
        let home = tempfile::tempdir().unwrap();
        let share = Share::new("trade", home.path(), 1024 * 1024);
        assert_eq!(share.room(SHARE_LOOK, 0), (Room::All, DiskUse { bytes: 0, bytes_max: 1024 * 1024 }));
        fs::create_dir(home.path().join("trade")).unwrap();
        let grow = |kib: usize| {
            fs::write(home.path().join("trade/log.redb"), vec![7; kib * 1024]).unwrap();
            share.look_again();
            share.room(SHARE_LOOK, 0).0
        };
        for (kib, room) in [
            (512, Room::All),
            (1020, Room::All),
            (1024, Room::Acts),
            (1100, Room::Acts),
            (4096, Room::Acts),
            (1000, Room::All),
        ] {
            assert_eq!(grow(kib), room, "{kib}");
        }
        assert_eq!(share.room(SHARE_LOOK, 64 * 1024).0, Room::Acts, "what waits for a checkpoint will be there");
        let more = usize::try_from(ACTS_BYTES_MIN).unwrap();
        assert_eq!(share.room(SHARE_LOOK, more - 1024).0, Room::Acts);
        assert_eq!(share.room(SHARE_LOOK, more + 24 * 1024).0, Room::Peer);
        let large = Share::new("large", home.path(), 1 << 33);
        let part = |eighths: usize| large.room(SHARE_LOOK, (1 << 30) * eighths).0;
        assert_eq!((part(7), part(8), part(9)), (Room::All, Room::Acts, Room::Peer), "an eighth of a large part");
        // A file with holes takes what is in it.
        fs::File::create(home.path().join("trade/state.redb")).unwrap().set_len(1 << 30).unwrap();
        share.look_again();
        assert_eq!(share.room(SHARE_LOOK, 0).0, Room::All);
    }

    #[test]
    fn files_are_looked_at_now_and_then_only() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("trade")).unwrap();
        let share = Share::new("trade", home.path(), u64::MAX);
        let hour = Duration::from_secs(3600);
        assert_eq!(share.used(hour).bytes, 0);
        fs::write(home.path().join("trade/log.redb"), vec![7; 4096]).unwrap();
        assert_eq!(share.used(hour).bytes, 0);
        share.look_again();
        assert_eq!(share.used(hour).bytes, 4096);
    }
}
