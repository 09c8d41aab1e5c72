//! A channel's part of the disk. The disk is everybody's: whoever posts to one channel must not fill it for the others.
//!
//! What the files take is looked at when somebody asks, a few times a second at most, and not counted: a state file grows,
//! shrinks and leaves holes as its database likes. What is accepted and not on the disk yet is counted beside it, by
//! what such bytes usually become there, until it is there or comes to nothing.
//! Always: what is counted is that of the [`OnItsWay`] that live, and what has landed since the files were looked at.
//! Never here: the disk as a whole, which keeps a reserve (`disk.rs`).

use crate::limits::{ACTS_BYTES_MIN, ACTS_PART, DISK_BYTES_OF_BYTE, DISK_BYTES_OF_TRANSACTION, SHARE_LOOK};
use crate::place::Place;
use std::collections::HashMap;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
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
    /// Admissions, too: half of what acts have is theirs, too, because people post them and not only administrators.
    Admissions,
    /// Everybody.
    All,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// The part is used up.
    Full(DiskUse),
    /// It may be, by what is on its way.
    Soon,
}

/// The part of one channel. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Share(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    directory: PathBuf,
    bytes_max: u64,
    used: Mutex<Used>,
}

/// What is known of its files, and of what is not in them yet.
#[derive(Debug, Default)]
struct Used {
    /// When the files were looked at; not since something is known to have changed.
    at: Option<Instant>,
    files: u64,
    /// What was not written yet.
    waiting: u64,
    /// What was accepted and is not on the disk.
    under_way: u64,
    /// What of it has come there since the files were looked at.
    landed: u64,
    /// What each place has taken of the room of acts, since the part was used up.
    acts: HashMap<Place, u64>,
    /// It was said that it is full.
    said: bool,
}

impl Used {
    /// Looks at the files. What has landed before is in them.
    fn look(&mut self, directory: &Path) {
        self.landed = 0;
        self.files = bytes_in(directory);
        self.at = Some(Instant::now());
    }

    /// What is known to be on the disk, or to be about to.
    const fn sure(&self) -> u64 {
        self.files.saturating_add(self.waiting)
    }
}

/// Bytes of a channel's disk that something accepted will take. Dropped, it comes to nothing.
#[derive(Debug)]
pub(crate) struct OnItsWay {
    share: Share,
    bytes: u64,
    /// Of whose room of acts it is, if it is of that.
    place: Option<Place>,
}

impl OnItsWay {
    /// It is on the disk.
    pub(crate) fn landed(mut self) {
        self.share.lock().landed += self.bytes;
        self.place = None;
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        let mut used = self.share.lock();
        used.under_way -= self.bytes;
        // Nobody's, if there was room meanwhile.
        if let Some(taken) = self.place.and_then(|place| used.acts.get_mut(&place)) {
            *taken = taken.saturating_sub(self.bytes);
        }
    }
}

impl Share {
    /// The part of a channel with its files in a folder of a directory.
    pub(crate) fn new(name: &str, directory: &Path, bytes_max: u64) -> Self {
        let directory = directory.join(name);
        Self(Arc::new(Inner { name: name.to_owned(), directory, bytes_max, used: Mutex::default() }))
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.0.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was known within such a time, or is now.
    fn known(&self, within: Duration) -> MutexGuard<'_, Used> {
        let mut used = self.lock();
        if used.at.is_none_or(|at| at.elapsed() >= within) {
            used.waiting = 0;
            used.look(&self.0.directory);
        }
        used
    }

    fn disk_use(&self, bytes: u64) -> DiskUse {
        DiskUse { bytes, bytes_max: self.0.bytes_max }
    }

    /// What its files take, as it was seen within such a time, with what was on its way to them then.
    pub(crate) fn used(&self, within: Duration) -> DiskUse {
        self.disk_use(self.known(within).sure())
    }

    /// What was seen is no longer so.
    pub(crate) fn look_again(&self) {
        self.lock().at = None;
    }

    /// Bytes that what is accepted and not on the disk will take there.
    #[cfg(test)]
    pub(crate) fn under_way(&self) -> u64 {
        self.lock().under_way
    }

    /// Of what has landed since the files were looked at.
    #[cfg(test)]
    pub(crate) fn landed(&self) -> u64 {
        self.lock().landed
    }

    /// Up to what somebody finds room.
    fn max(&self, whose: Room) -> u64 {
        let acts = (self.0.bytes_max / ACTS_PART).max(ACTS_BYTES_MIN);
        match whose {
            Room::All => self.0.bytes_max,
            Room::Admissions => self.0.bytes_max.saturating_add(acts / 2),
            Room::Acts => self.0.bytes_max.saturating_add(acts),
            Room::Peer => u64::MAX,
        }
    }

    /// Who finds room by what is on the disk, as it was seen a moment ago, beside so many bytes that wait to be written.
    pub(crate) fn room(&self, waiting: usize) -> (Room, DiskUse) {
        let mut used = self.known(SHARE_LOOK);
        used.waiting = waiting as u64;
        let known = self.disk_use(used.sure());
        self.tell(&mut used, known);
        let room = [Room::All, Room::Admissions, Room::Acts].into_iter().find(|room| known.bytes < self.max(*room));
        (room.unwrap_or(Room::Peer), known)
    }

    /// Room for a transaction of such a size, which somebody of a place has posted: it is counted until it is on the disk.
    /// In the room of acts a place takes no more than it leaves.
    pub(crate) fn take(&self, whose: Room, bytes: u32, place: impl FnOnce() -> Place) -> Result<OnItsWay, NoRoom> {
        let bytes = u64::from(bytes).saturating_mul(DISK_BYTES_OF_BYTE).saturating_add(DISK_BYTES_OF_TRANSACTION);
        let max = self.max(whose);
        let mut used = self.lock();
        if used.at.is_none() || used.landed > 0 && used.sure() + used.landed + used.under_way + bytes > max {
            used.look(&self.0.directory);
        }
        let (sure, under_way) = (used.sure(), used.under_way);
        if sure >= max {
            return Err(NoRoom::Full(self.disk_use(sure)));
        }
        // What is alone may go beyond.
        if under_way > 0 && sure.saturating_add(under_way).saturating_add(bytes) > max {
            return Err(NoRoom::Soon);
        }
        let beyond = sure.saturating_add(used.landed).saturating_add(under_way) >= self.0.bytes_max;
        let place = (beyond && matches!(whose, Room::Admissions | Room::Acts)).then(place);
        if let Some(place) = place {
            let left = max.saturating_sub(sure).saturating_sub(under_way);
            let own = used.acts.entry(place).or_default();
            if *own > 0 && own.saturating_add(bytes) > left.saturating_sub(bytes) {
                return Err(NoRoom::Full(self.disk_use(sure)));
            }
            *own += bytes;
        }
        used.under_way += bytes;
        drop(used);
        Ok(OnItsWay { share: self.clone(), bytes, place })
    }

    /// A line of the log when it begins and one when it ends.
    fn tell(&self, used: &mut Used, DiskUse { bytes, bytes_max }: DiskUse) {
        let channel = &self.0.name;
        // What waits comes and goes with each checkpoint: it ends only when there is some room.
        let is_full = bytes >= bytes_max || used.said && bytes >= bytes_max - bytes_max / 16;
        match (is_full, std::mem::replace(&mut used.said, is_full)) {
            (true, false) => tracing::error!(
                channel,
                bytes,
                bytes_max,
                "the channel's part of the disk is used up: only administrative acts are taken (limits.channel_bytes_max)"
            ),
            (false, true) => {
                used.acts.clear();
                tracing::info!(channel, bytes, bytes_max, "the channel's part of the disk has room again");
            }
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
mod tests;
