//! A file as far as a change of it shows without reading it.

use ledger_classes::primitives::time::Time;
use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

/// File systems count time in steps; of two changes within one only the first shows.
const STEP: Duration = Duration::from_secs(1);

/// What a path leads to, through whatever links: which file, its length, when its content changed, and when anything of it
/// did. The last one shows what keeps the time of its content, as `cp -p` and `rsync` do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Of what is there now; an error if nothing is, or if a link leads nowhere.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            file: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// Whether the file may change again without a trace in its stamp: so it must be read once more, later.
    pub(crate) fn is_fresh(&self, now: Time) -> bool {
        let (seconds, nanoseconds) = self.changed;
        let changed = Duration::new(seconds.unsigned_abs(), u32::try_from(nanoseconds).unwrap_or_default());
        Duration::from_millis(now.millis()).abs_diff(changed) < STEP
    }
}
