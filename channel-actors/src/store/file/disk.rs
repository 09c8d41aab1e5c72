//! Whether the disk below the stores takes writes, and what becomes of a write that it does not take.
//!
//! Two lines of defence. A look at the file system every [`DISK_LOOK`] closes the door for new transactions while less
//! than the reserve is free or the file system is read-only; what is under way waits in front of the database. A
//! write that even so finds no place waits where it is and is tried again: one that was refused for want of room has
//! changed nothing that writing the same bytes to the same place does not mend.
//! Never here: a second try of a sync. One that failed may have dropped pages; its channel halts.

use crate::limits::DISK_LOOK;
use crate::runtime::memory::StoreMemory;
use crate::runtime::tasks::Tasks;
use crate::store::error::StoreError;
use crate::store::file::backend::Backend;
use crate::store::file::directory::{StoreFiles, WalFile, locks_of};
use redb::StorageBackend;
use rustix::fs::{StatVfsMountFlags, statvfs};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use tokio::sync::watch;

/// Why the disk takes no writes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskTrouble {
    /// Less is free than must be kept.
    Full {
        /// Bytes that are free.
        free: u64,
        /// Bytes that are kept free.
        reserve: u64,
    },
    /// A write found no room.
    Exhausted,
    /// The file system is read-only.
    ReadOnly,
    /// The directory is not where its fence says: nothing may be sealed (`peer/fence.rs`). Until the process ends.
    Fenced,
}

impl fmt::Display for DiskTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { free, reserve } => {
                write!(f, "no space left on device: {free} bytes are free, {reserve} are kept in reserve")
            }
            Self::Exhausted => f.write_str("no space left on device, or a quota is used up"),
            Self::ReadOnly => f.write_str("read-only file system"),
            Self::Fenced => f.write_str("the directory of channels is not where its fence says"),
        }
    }
}

impl DiskTrouble {
    /// The trouble that a failed write tells of, if waiting may end it.
    fn of(error: &io::Error) -> Option<Self> {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(Self::Exhausted),
            io::ErrorKind::ReadOnlyFilesystem => Some(Self::ReadOnly),
            _ => None,
        }
    }

    /// Whether files may only be read while this lasts.
    pub(crate) const fn leaves_files(self) -> bool {
        matches!(self, Self::ReadOnly | Self::Fenced)
    }

    fn error(self) -> io::Error {
        let kind = match self {
            Self::ReadOnly | Self::Fenced => io::ErrorKind::ReadOnlyFilesystem,
            Self::Full { .. } | Self::Exhausted => io::ErrorKind::StorageFull,
        };
        io::Error::new(kind, self.to_string())
    }
}

/// The file system that holds the channels of a peer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Disk(Arc<DiskShared>);

#[derive(Debug)]
struct DiskShared {
    directory: PathBuf,
    reserve_max: u64,
    trouble: watch::Sender<Option<DiskTrouble>>,
    inner: Mutex<DiskInner>,
    changed: Condvar,
    /// What the stores on it share.
    memory: OnceLock<StoreMemory>,
}

#[derive(Debug, Default)]
struct DiskInner {
    /// Writes that wait for room where the file system shows some: a quota, or a look that is not fresh.
    stuck: usize,
    /// The peer closes: nothing waits any more.
    closing: bool,
    /// [`DiskTrouble::Fenced`].
    fenced: bool,
}

impl Disk {
    /// The file system of a directory; `reserve_max` bytes of it are kept free, at most a sixteenth of it. A thread
    /// looks at it as long as this lives.
    pub fn watch(directory: &Path, reserve_max: u64, tasks: &Tasks) -> io::Result<Self> {
        let disk = Self(Arc::new(DiskShared {
            directory: directory.to_owned(),
            reserve_max,
            trouble: watch::Sender::new(None),
            inner: Mutex::default(),
            changed: Condvar::new(),
            memory: OnceLock::new(),
        }));
        disk.look();
        let watched = Arc::downgrade(&disk.0);
        tasks.thread("disk", move || look_on(&watched))?;
        Ok(disk)
    }

    /// Why nothing can be written now.
    pub fn trouble(&self) -> Option<DiskTrouble> {
        *self.0.trouble.borrow()
    }

    /// Watches [`Self::trouble`].
    pub fn follow(&self) -> watch::Receiver<Option<DiskTrouble>> {
        self.0.trouble.subscribe()
    }

    /// Bytes that are free, if the file system tells.
    pub fn free(&self) -> Option<u64> {
        let status = statvfs(&self.0.directory).ok()?;
        Some(status.f_bavail.saturating_mul(status.f_frsize))
    }

    /// Bytes of the whole file system, if it tells.
    pub(crate) fn size(&self) -> Option<u64> {
        let status = statvfs(&self.0.directory).ok()?;
        Some(status.f_blocks.saturating_mul(status.f_frsize))
    }

    /// From now on stores that are opened on it share this memory.
    pub(crate) fn share(&self, memory: StoreMemory) {
        self.0.memory.get_or_init(|| memory);
    }

    /// The same files, whose writes wait for room.
    pub(crate) fn files(&self, files: impl StoreFiles + 'static) -> Waiting {
        Waiting { files: Box::new(files), disk: self.clone() }
    }

    /// Waits until there is room for a block and a checkpoint. Nothing is locked meanwhile, so reads go on.
    pub(crate) fn room(&self) {
        if self.look().is_none() {
            return;
        }
        let mut inner = self.lock();
        while self.trouble().is_some() && !inner.closing {
            inner = self.0.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// From now on nothing is written, whatever room there is.
    pub(crate) fn fence(&self) {
        self.lock().fenced = true;
        self.look();
    }

    /// From now on a write that finds no room fails: what is not on disk was never acknowledged.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.0.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, DiskInner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the file system.
    pub(crate) fn look(&self) -> Option<DiskTrouble> {
        let inner = self.lock();
        let found = match statvfs(&self.0.directory) {
            _ if inner.fenced => Some(DiskTrouble::Fenced),
            Ok(status) if status.f_flag.contains(StatVfsMountFlags::RDONLY) => Some(DiskTrouble::ReadOnly),
            Ok(status) => {
                let free = status.f_bavail.saturating_mul(status.f_frsize);
                let reserve = self.0.reserve_max.min(status.f_blocks.saturating_mul(status.f_frsize) / 16);
                (free < reserve).then_some(DiskTrouble::Full { free, reserve })
            }
            // Nothing is known: a write will tell.
            Err(_) => None,
        };
        let trouble = if inner.stuck > 0 { found.or(self.trouble()) } else { found };
        self.tell(trouble);
        drop(inner);
        trouble
    }

    /// Logs the change and wakes those who wait for it. Bytes that move are no change.
    fn tell(&self, trouble: Option<DiskTrouble>) {
        let before = self.0.trouble.send_replace(trouble);
        match trouble {
            Some(trouble) if before.is_none_or(|before| before.error().kind() != trouble.error().kind()) => {
                let directory = self.0.directory.display();
                tracing::error!(%directory, %trouble, "the disk takes no writes: transactions are refused until it does");
            }
            None if before.is_some() => {
                let directory = self.0.directory.display();
                tracing::info!(%directory, "the disk takes writes again");
                self.0.changed.notify_all();
            }
            _ => {}
        }
    }

    fn waiting(&self, backend: Backend) -> Backend {
        Box::new(WaitingBackend { backend, disk: self.clone() })
    }

    /// Writes, and tries again until it is done or the peer closes.
    fn write(&self, write: impl Fn() -> io::Result<()>) -> io::Result<()> {
        let mut stuck = None;
        loop {
            let error = match write() {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let Some(trouble) = DiskTrouble::of(&error) else { return Err(error) };
            stuck.get_or_insert_with(|| Stuck::new(self));
            let inner = self.lock();
            if inner.closing {
                return Err(error);
            }
            self.tell(Some(trouble));
            drop(self.0.changed.wait_timeout(inner, DISK_LOOK).unwrap_or_else(PoisonError::into_inner));
        }
    }
}

/// One write that waits.
struct Stuck<'d>(&'d Disk);

impl<'d> Stuck<'d> {
    fn new(disk: &'d Disk) -> Self {
        disk.lock().stuck += 1;
        Self(disk)
    }
}

impl Drop for Stuck<'_> {
    fn drop(&mut self) {
        self.0.lock().stuck -= 1;
    }
}

fn look_on(watched: &Weak<DiskShared>) {
    loop {
        std::thread::park_timeout(DISK_LOOK);
        let Some(shared) = watched.upgrade() else { return };
        let _ = Disk(shared).look();
    }
}

/// Files whose writes wait for room.
pub(crate) struct Waiting {
    files: Box<dyn StoreFiles>,
    disk: Disk,
}

/// A write-ahead log whose writes wait for room.
struct WaitingWal {
    file: Box<dyn WalFile>,
    disk: Disk,
}

impl WalFile for WaitingWal {
    fn open(&self) -> Result<Option<Backend>, StoreError> {
        self.file.open().map(|backend| backend.map(|backend| self.disk.waiting(backend)))
    }

    fn create(&self) -> Result<Backend, StoreError> {
        self.file.create().map(|backend| self.disk.waiting(backend))
    }

    fn remove(&self) -> Result<(), StoreError> {
        self.file.remove()
    }
}

impl StoreFiles for Waiting {
    fn create_log(&self) -> Result<Backend, StoreError> {
        self.files.create_log().map(|backend| self.disk.waiting(backend))
    }

    fn publish_log(&self) -> Result<(), StoreError> {
        self.files.publish_log()
    }

    fn open_log(&self) -> Result<Backend, StoreError> {
        self.files.open_log().map(|backend| self.disk.waiting(backend))
    }

    fn wal(&self) -> Box<dyn WalFile> {
        Box::new(WaitingWal { file: self.files.wal(), disk: self.disk.clone() })
    }

    fn open_state(&self) -> Result<Backend, StoreError> {
        self.files.open_state().map(|backend| self.disk.waiting(backend))
    }

    fn set_state_aside(&self, why: &str) -> Result<String, StoreError> {
        self.files.set_state_aside(why)
    }

    fn memory(&self) -> StoreMemory {
        self.disk.0.memory.get().cloned().unwrap_or_default()
    }

    fn keep_summary(&self, content: &[u8]) -> Result<(), StoreError> {
        self.files.keep_summary(content)
    }

    fn summary(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.files.summary()
    }

    fn forget_summary(&self) -> Result<(), StoreError> {
        self.files.forget_summary()
    }
}

#[derive(Debug)]
struct WaitingBackend {
    backend: Backend,
    disk: Disk,
}

impl StorageBackend for WaitingBackend {
    fn len(&self) -> io::Result<u64> {
        self.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.backend.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.write(|| self.backend.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.backend.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.write(|| self.backend.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.backend.close()
    }

    locks_of!(self, self.backend);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn disk() -> (tempfile::TempDir, Disk) {
        let home = tempfile::tempdir().unwrap();
        let disk = Disk::watch(home.path(), 0, &Tasks::default()).unwrap();
        (home, disk)
    }

    #[test]
    fn a_write_without_room_is_tried_until_it_is_done_and_any_other_failure_is_one() {
        let (_home, disk) = disk();
        for (kind, tries) in [
            (io::ErrorKind::StorageFull, 3),
            (io::ErrorKind::QuotaExceeded, 3),
            (io::ErrorKind::ReadOnlyFilesystem, 3),
            (io::ErrorKind::InvalidInput, 1),
        ] {
            let tried = AtomicUsize::new(0);
            let done = disk.write(|| match tried.fetch_add(1, Ordering::Relaxed) {
                0 => Err(kind.into()),
                1 => {
                    assert!(disk.trouble().is_some(), "{kind}: the door is open while a write waits");
                    assert!(disk.look().is_some(), "{kind}: a look that shows room does not help a write that waits");
                    Err(kind.into())
                }
                _ => Ok(()),
            });
            assert_eq!((tried.into_inner(), done.is_ok()), (tries, tries > 1), "{kind}");
            assert_eq!(disk.look(), None, "{kind}");
        }
    }

    #[test]
    fn nothing_waits_for_a_peer_that_closes() {
        let (_home, disk) = disk();
        disk.close();
        let full = disk.write(|| Err(io::ErrorKind::StorageFull.into()));
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
        disk.tell(Some(DiskTrouble::Exhausted));
        disk.room();
    }
}
