//! A channel's part of the disk. The disk is everybody's: whoever posts to one channel must not fill it for the others.
//!
//! What the files take is looked at when somebody asks, a few times a second at most, and not counted: a state file grows,
//! shrinks and leaves holes as its database likes. What is accepted and not on the disk yet is counted beside it, by
//! what such bytes usually become there, until it is there or comes to nothing.
//! Always: what is counted is that of the [`OnItsWay`] that live, and what has landed since the files were looked at. Full
//! is the part only by its files: by what is not in them yet somebody is told to wait at most.
//! Never here: the disk as a whole, which keeps a reserve (`store/file/disk.rs`).
//! Ours (decision 32): a quota of the file system is one user's or one folder's, counts nothing that is accepted and not
//! written yet, and keeps no room for what repairs a channel.

use crate::limits::{ACTS_BYTES_MIN, ACTS_PART, QUOTA_INSPECT};
use crate::runtime::place::Place;
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
    /// Bytes that what was accepted and is not in them yet will take there, about.
    pub waiting: u64,
    /// The channel's part.
    pub bytes_max: u64,
}

impl fmt::Display for DiskUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, bytes_max, .. } = self;
        write!(f, "the channel takes {bytes} bytes of the peer's disk, and its part is {bytes_max}")
    }
}

/// Who is posting, by which room is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// The peer's own posts, such as revocations, as long as the disk has room.
    Peer,
    /// Administrative acts: they repair, and half of what there is beyond the quota is theirs.
    Acts,
    /// Admissions: the other half beyond the quota. Neither takes of the other's.
    Admissions,
    /// Everybody.
    All,
}

impl Room {
    /// The half of the room beyond the quota that it uses.
    const fn half(self) -> Option<usize> {
        match self {
            Self::Acts => Some(ACTS),
            Self::Admissions => Some(ADMISSIONS),
            Self::Peer | Self::All => None,
        }
    }
}

const ACTS: usize = 0;
const ADMISSIONS: usize = 1;

/// Why room was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// The files fill the quota, or a half beyond it is used up.
    Full(DiskUse),
    /// Accepted transactions that are not written yet may fill it.
    Soon,
}

/// The part of one channel. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct DiskQuota(Arc<QuotaInner>);

#[derive(Debug)]
struct QuotaInner {
    name: String,
    directory: PathBuf,
    bytes_max: u64,
    used: Mutex<Used>,
}

/// Measurements of the files, and counts of what is not written yet.
#[derive(Debug, Default)]
struct Used {
    /// Time of the last measurement; none once something is known to have changed.
    at: Option<Instant>,
    files: u64,
    /// Bytes that wait for a checkpoint.
    waiting: u64,
    /// Bytes accepted and not on the disk.
    under_way: u64,
    /// Of those, bytes written so far, in all.
    landed_ever: u64,
    /// Of those, bytes written before the last measurement.
    landed_seen: u64,
    /// Number of known changes of the files.
    changes: u64,
    /// Number of changes at the last measurement.
    changes_seen: u64,
    /// Bytes taken of the halves beyond the quota, since the quota was used up.
    halves: [Half; 2],
    /// Number of times that the quota had room again: what was taken before does not count.
    round: u64,
    /// Whether the files were measured once.
    begun: bool,
    /// Whether the log says that it is full.
    said: bool,
}

/// Counts taken before a measurement.
#[derive(Clone, Copy)]
struct Before {
    landed_ever: u64,
    changes: u64,
}

/// Bytes taken of a half.
#[derive(Debug, Default)]
struct Half {
    taken: u64,
    /// Bytes by place.
    of: HashMap<Place, u64>,
}

impl Used {
    /// The files were looked at, and took so many bytes. What had landed before is in them.
    fn saw(&mut self, files: u64, before: Before, bytes_max: u64) {
        // Another look was later.
        if before.landed_ever < self.landed_seen || before.changes < self.changes_seen {
            return;
        }
        (self.files, self.landed_seen, self.changes_seen) = (files, before.landed_ever, before.changes);
        self.at = (before.changes == self.changes).then(Instant::now);
        // Who took what there is beyond the part is not known after a start: half of it counts to each. So whoever has
        // filled one half has left some of the other, however often the peer starts.
        if !std::mem::replace(&mut self.begun, true) {
            let beyond = self.files.saturating_sub(bytes_max);
            self.halves.iter_mut().for_each(|half| half.taken = beyond / 2);
        }
    }

    /// Bytes written since the last measurement.
    const fn landed(&self) -> u64 {
        self.landed_ever - self.landed_seen
    }

    /// Bytes of the files, with those written since the last measurement.
    const fn likely(&self) -> u64 {
        self.sure().saturating_add(self.landed())
    }

    /// Bytes on the disk, or about to be.
    const fn sure(&self) -> u64 {
        self.files.saturating_add(self.waiting)
    }
}

/// Bytes of a channel's disk that something accepted will take. Dropped, it comes to nothing.
#[derive(Debug)]
pub(crate) struct OnItsWay {
    quota: DiskQuota,
    bytes: u64,
    /// The half beyond the quota, its place and its round, if it is of one.
    of: Option<(usize, Place, u64)>,
}

impl OnItsWay {
    /// Records that it is on the disk.
    pub(crate) fn landed(mut self) {
        self.quota.lock().landed_ever += self.bytes;
        self.of = None;
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        let mut used = self.quota.lock();
        used.under_way -= self.bytes;
        // Nobody's, if there was room meanwhile.
        if let Some((half, place, round)) = self.of
            && round == used.round
            && let Some(own) = used.halves[half].of.get_mut(&place)
        {
            *own -= self.bytes;
            used.halves[half].taken -= self.bytes;
        }
    }
}

impl DiskQuota {
    /// The part of a channel with its files in a folder of a directory.
    pub(crate) fn new(name: &str, directory: &Path, bytes_max: u64) -> Self {
        let directory = directory.join(name);
        Self(Arc::new(QuotaInner { name: name.to_owned(), directory, bytes_max, used: Mutex::default() }))
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.0.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was known within such a time, or is now.
    fn known(&self, within: Duration) -> MutexGuard<'_, Used> {
        let used = self.lock();
        if used.at.is_some_and(|at| at.elapsed() < within) {
            return used;
        }
        self.looked(used)
    }

    /// Looks at the files, and gives the lock back meanwhile: a slow disk keeps nobody waiting who only counts.
    fn looked<'a>(&'a self, used: MutexGuard<'a, Used>) -> MutexGuard<'a, Used> {
        let before = Before { landed_ever: used.landed_ever, changes: used.changes };
        drop(used);
        let files = bytes_in(&self.0.directory);
        let mut used = self.lock();
        used.saw(files, before, self.0.bytes_max);
        used
    }

    fn disk_use(&self, used: &Used) -> DiskUse {
        let waiting = used.waiting.saturating_add(used.under_way);
        DiskUse { bytes: used.files, waiting, bytes_max: self.0.bytes_max }
    }

    /// What its files take, as it was seen within such a time, with what was on its way to them then.
    pub(crate) fn used(&self, within: Duration) -> DiskUse {
        let used = self.known(within);
        self.disk_use(&used)
    }

    /// A checkpoint was written: so many bytes wait for the next.
    pub(crate) fn look_again(&self, waiting: usize) {
        let mut used = self.lock();
        (used.at, used.waiting) = (None, waiting as u64);
        used.changes += 1;
    }

    /// Bytes that what is accepted and not on the disk will take there.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn under_way(&self) -> u64 {
        self.lock().under_way
    }

    /// Bytes written since the last measurement.
    #[cfg(test)]
    pub(crate) fn landed(&self) -> u64 {
        self.lock().landed()
    }

    /// Bytes that acts and admissions have each beyond the quota.
    fn half(&self) -> u64 {
        (self.0.bytes_max / ACTS_PART).max(ACTS_BYTES_MIN) / 2
    }

    /// Bytes up to which the files leave room for a poster.
    fn max(&self, whose: Room, used: &Used) -> u64 {
        let half = self.half();
        let beyond = match whose {
            Room::All => 0,
            // Some become more than they were counted for: what is left to admissions is not for them. The size of an
            // admission is bounded.
            Room::Acts => half.saturating_add(used.halves[ADMISSIONS].taken.min(half)),
            Room::Admissions => half.saturating_mul(2),
            Room::Peer => return u64::MAX,
        };
        self.0.bytes_max.saturating_add(beyond)
    }

    /// Looks at the files, if that was not a moment ago; so many bytes wait beside them for a checkpoint.
    pub(crate) fn look(&self, waiting: usize) {
        let mut used = self.known(QUOTA_INSPECT);
        used.waiting = waiting as u64;
        self.tell(&mut used);
    }

    /// What the files take, if that leaves no room, as it was seen last. What is on its way does not count.
    pub(crate) fn full(&self, whose: Room) -> Option<DiskUse> {
        let used = self.lock();
        (used.files >= self.max(whose, &used)).then(|| self.disk_use(&used))
    }

    /// Whether there is room for what everybody posts, to be executed now, while so many bytes wait for a checkpoint: how
    /// much the files take is known when that is written.
    pub(crate) fn room(&self, waiting: usize) -> Result<(), NoRoom> {
        self.look(waiting);
        let mut used = self.lock();
        if used.landed() > 0 && used.likely() >= self.0.bytes_max {
            used = self.looked(used);
        }
        if used.files >= self.0.bytes_max {
            return Err(NoRoom::Full(self.disk_use(&used)));
        }
        if used.sure() >= self.0.bytes_max { Err(NoRoom::Soon) } else { Ok(()) }
    }

    /// Room for so many bytes of what somebody of a place has posted: they are counted until they are on the disk.
    /// Beyond the part a place takes no more than it leaves of its half.
    pub(crate) fn take(&self, whose: Room, bytes: u64, place: impl FnOnce() -> Place) -> Result<OnItsWay, NoRoom> {
        let mut used = self.lock();
        let over = |used: &Used| used.likely() + used.under_way + bytes > self.max(whose, used);
        if used.at.is_none() || used.landed() > 0 && over(&used) {
            used = self.looked(used);
        }
        let full = NoRoom::Full(self.disk_use(&used));
        if used.files >= self.max(whose, &used) {
            return Err(full);
        }
        // What is alone may go beyond: what is known then decides whether it is executed.
        if used.under_way > 0 && over(&used) {
            return Err(NoRoom::Soon);
        }
        let beyond = used.likely().saturating_add(used.under_way) >= self.0.bytes_max;
        let of = whose.half().filter(|_| beyond).map(|half| (half, place(), used.round));
        if let Some((half, place, _)) = of {
            let half_bytes = self.half();
            let Half { taken, of } = &mut used.halves[half];
            let left = half_bytes.saturating_sub(*taken);
            let own = of.entry(place).or_default();
            if bytes > left || *own > 0 && own.saturating_add(bytes) > left - bytes {
                return Err(full);
            }
            *own += bytes;
            *taken += bytes;
        }
        used.under_way += bytes;
        drop(used);
        Ok(OnItsWay { quota: self.clone(), bytes, of })
    }

    /// A line of the log when it begins and one when it ends.
    fn tell(&self, used: &mut Used) {
        let (channel, bytes, bytes_max) = (&self.0.name, used.files, self.0.bytes_max);
        let is_full = bytes >= bytes_max || used.said && bytes >= bytes_max - bytes_max / 16;
        if !is_full && used.likely().saturating_add(used.under_way) < bytes_max {
            used.halves = Default::default();
            used.round += 1;
        }
        match (is_full, std::mem::replace(&mut used.said, is_full)) {
            (true, false) => tracing::error!(
                channel,
                bytes,
                bytes_max,
                "the channel's part of the disk is used up: only administrative acts are taken (limits.channel_bytes_max)"
            ),
            (false, true) => {
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
