//! Where the bytes of a store live: the one place that opens redb databases and touches directories.
//!
//! [`StoreFiles`] is a seam so that tests put a store on backends that fail or lose power at a chosen sync.
//! A log appears under its name only after it was initialised and synced: a crash while creating leaves a
//! `log.redb.new`, which the next `create` replaces.

use crate::runtime::memory::StoreMemory;
use crate::store::error::StoreError;
use crate::store::file::backend::Backend;
use crate::store::file::read_only::ReadOnly;
use crate::store::file::summary;
use redb::backends::{FileBackend, InMemoryBackend};
use redb::{Builder, Database, StorageBackend};
use std::fs::{self, OpenOptions};
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The summary of a store that is closed.
const SUMMARY: &str = "summary";
/// The newest blocks of a log that is open.
const WAL: &str = "wal";

/// Where a log that is open keeps blocks that are on disk and not in it yet.
pub trait WalFile: Send + Sync {
    /// The write-ahead log, if there is one.
    fn open(&self) -> Result<Option<Backend>, StoreError>;
    /// An empty write-ahead log where there was none. It is found by [`Self::open`] from now on, whatever happens.
    fn create(&self) -> Result<Backend, StoreError>;
    /// Removes the write-ahead log, if there is one. It may be back after a power loss.
    fn remove(&self) -> Result<(), StoreError>;
}

/// The files of a channel: log with write-ahead log, state, and the summary of a store that is closed.
pub trait StoreFiles: Send + Sync {
    /// An empty log. [`StoreError::Exists`] when there is one.
    fn create_log(&self) -> Result<Backend, StoreError>;
    /// The log that [`Self::create_log`] returned is initialised: from now on it is found by `open_log`.
    fn publish_log(&self) -> Result<(), StoreError>;
    /// The log. [`StoreError::Missing`] when there is none.
    fn open_log(&self) -> Result<Backend, StoreError>;
    /// The log's write-ahead log.
    fn wal(&self) -> Box<dyn WalFile>;
    /// The state; empty when there is none.
    fn open_state(&self) -> Result<Backend, StoreError>;
    /// Puts a state that is broken, and why, where a person can look at it, so that `open_state` gives an empty one.
    /// Returns the name it has now.
    fn set_state_aside(&self, why: &str) -> Result<String, StoreError>;
    /// What the store shares with others of its peer.
    fn memory(&self) -> StoreMemory {
        StoreMemory::default()
    }
    /// Keeps a summary of a store that is closed, durably. Files that keep none do nothing.
    fn keep_summary(&self, _content: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }
    /// The summary, if there is one that is whole and the log is still the one that it was kept beside.
    fn summary(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }
    /// Removes the summary, durably: the store is about to be written.
    fn forget_summary(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// `log.redb`, `wal` and `state.redb` in a directory of their own.
#[derive(Clone, Debug)]
pub struct Directory(pub PathBuf);

impl Directory {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn open(&self, name: &str, options: &mut OpenOptions) -> Result<Backend, StoreError> {
        let path = self.path(name);
        // What is made here holds a ledger.
        let file = ::files::private(options).open(&path).map_err(failed("opening", &path))?;
        let backend = FileBackend::new(file).map_err(StoreError::disk("opening a file"))?;
        Ok(Box::new(backend))
    }

    /// A file that is there, if it is.
    fn open_read_only(&self, name: &str) -> Result<Option<Backend>, StoreError> {
        let opened = if_there(self.open(name, OpenOptions::new().read(true)))?;
        Ok(opened.map(|file| -> Backend { Box::new(ReadOnly::new(file)) }))
    }

    /// Makes names in the directory as durable as what they point to.
    fn sync(&self) -> Result<(), StoreError> {
        ::files::sync_directory(&self.0).map_err(failed("syncing the directory", &self.0))
    }
}

/// The summary in a store's directory if it is whole, whether or not the log is still the one that it was kept beside.
pub(crate) fn left_summary(directory: &Path) -> Option<Vec<u8>> {
    let bytes = fs::read(directory.join(SUMMARY)).ok()?;
    summary::whole(&bytes).map(|(_, content)| content.to_vec())
}

/// A file, if it is there.
fn if_there(opened: Result<Backend, StoreError>) -> Result<Option<Backend>, StoreError> {
    match opened {
        Err(StoreError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

pub(in crate::store) fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::File { operation, path: path.to_owned(), source }
}

impl StoreFiles for Directory {
    fn create_log(&self) -> Result<Backend, StoreError> {
        ::files::private_folder(&self.0).map_err(failed("creating the directory", &self.0))?;
        if let Some(parent) = self.0.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Self(parent.to_owned()).sync()?;
        }
        if self.path("log.redb").exists() {
            return Err(StoreError::Exists(self.0.clone()));
        }
        self.open("log.redb.new", OpenOptions::new().read(true).write(true).create(true).truncate(true))
    }

    fn publish_log(&self) -> Result<(), StoreError> {
        let path = self.path("log.redb");
        fs::rename(self.path("log.redb.new"), &path).map_err(failed("naming the log", &path))?;
        self.sync()
    }

    fn open_log(&self) -> Result<Backend, StoreError> {
        if !self.path("log.redb").exists() {
            return Err(StoreError::Missing(self.0.clone()));
        }
        self.open("log.redb", OpenOptions::new().read(true).write(true))
    }

    fn wal(&self) -> Box<dyn WalFile> {
        Box::new(self.clone())
    }

    fn open_state(&self) -> Result<Backend, StoreError> {
        self.open("state.redb", OpenOptions::new().read(true).write(true).create(true).truncate(false))
    }

    fn set_state_aside(&self, _: &str) -> Result<String, StoreError> {
        let (path, mut number) = (self.path("state.redb"), 1);
        let aside = loop {
            let name = format!("state.redb.broken-{number}");
            if !self.path(&name).exists() {
                break name;
            }
            number += 1;
        };
        fs::rename(&path, self.path(&aside)).map_err(failed("setting the broken state aside", &path))?;
        self.sync()?;
        Ok(aside)
    }

    fn keep_summary(&self, content: &[u8]) -> Result<(), StoreError> {
        let path = self.path(SUMMARY);
        let bytes = summary::frame(&self.path("log.redb"), content).map_err(failed("looking at the log", &self.0))?;
        ::files::write_private(&path, &bytes).map_err(failed("writing the summary", &path))
    }

    fn summary(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(SUMMARY);
        match fs::read(&path) {
            Ok(bytes) => Ok(summary::content(&self.path("log.redb"), &bytes).map(<[u8]>::to_vec)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("reading the summary", &path)(error)),
        }
    }

    fn forget_summary(&self) -> Result<(), StoreError> {
        let path = self.path(SUMMARY);
        match fs::remove_file(&path) {
            // Also where there is none: who removed it may not have come so far.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("removing the summary", &path)(error)),
            _ => self.sync(),
        }
    }
}

impl WalFile for Directory {
    fn open(&self) -> Result<Option<Backend>, StoreError> {
        if_there(Directory::open(self, WAL, OpenOptions::new().read(true).write(true)))
    }

    fn create(&self) -> Result<Backend, StoreError> {
        let backend = Directory::open(self, WAL, OpenOptions::new().read(true).write(true).create_new(true))?;
        match self.sync() {
            Ok(()) => Ok(backend),
            Err(error) => self.remove().and(Err(error)),
        }
    }

    fn remove(&self) -> Result<(), StoreError> {
        let path = self.path(WAL);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("removing the wal", &path)(error)),
            _ => Ok(()),
        }
    }
}

/// The same for whoever only looks: no file is made, renamed, removed or written. Where there is no sound state, an empty
/// one in memory takes its place.
#[derive(Debug)]
pub(crate) struct Inspected {
    directory: Directory,
    /// Why the state is broken, if it is.
    broken: OnceLock<String>,
}

impl Inspected {
    /// Of the store in a directory.
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: Directory(directory.to_owned()), broken: OnceLock::new() }
    }

    /// Why the state is broken, if it is.
    pub(in crate::store) fn broken(self) -> Option<String> {
        self.broken.into_inner()
    }
}

impl StoreFiles for Inspected {
    fn create_log(&self) -> Result<Backend, StoreError> {
        Err(StoreError::Exists(self.directory.0.clone()))
    }

    fn publish_log(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn open_log(&self) -> Result<Backend, StoreError> {
        self.directory.open_read_only("log.redb")?.ok_or_else(|| StoreError::Missing(self.directory.0.clone()))
    }

    fn wal(&self) -> Box<dyn WalFile> {
        Box::new(LookedAt(self.directory.clone()))
    }

    fn open_state(&self) -> Result<Backend, StoreError> {
        let found = match self.broken.get() {
            None => self.directory.open_read_only("state.redb")?,
            Some(_) => None,
        };
        Ok(found.unwrap_or_else(|| Box::new(InMemoryBackend::new())))
    }

    fn set_state_aside(&self, why: &str) -> Result<String, StoreError> {
        self.broken.get_or_init(|| why.to_owned());
        Ok("state.redb".into())
    }
}

/// A write-ahead log that stays as it is.
struct LookedAt(Directory);

impl WalFile for LookedAt {
    fn open(&self) -> Result<Option<Backend>, StoreError> {
        self.0.open_read_only(WAL)
    }

    fn create(&self) -> Result<Backend, StoreError> {
        Err(StoreError::Exists(self.0.0.clone()))
    }

    fn remove(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Opens the database on a backend, initialising an empty one.
pub(in crate::store) fn open_database(backend: Backend, cache_bytes: usize) -> Result<Database, redb::Error> {
    catching(|| Ok(Builder::new().set_cache_size(cache_bytes).create_with_backend(Boxed(backend))?))
}

/// redb panics on some rotten pages, on opening, writing or closing. That is corruption: it must neither take the
/// caller's thread down nor keep a state from being rebuilt.
pub(in crate::store) fn catching<T>(call: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    // What `call` borrows is dropped, or latched as failed, when it panics.
    std::panic::catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("of unknown cause");
        Err(redb::Error::Corrupted(format!("redb panicked: {text}")))
    })
}

/// Closes a database. Nothing is lost if that fails: what was committed is on disk.
pub(in crate::store) fn release(file: &'static str, database: Option<Database>) {
    let closed = catching(|| Ok(database.map_or(Ok(()), Database::close)?));
    if let Err(error) = closed {
        tracing::warn!(file, %error, "closing a database failed");
    }
}

/// Names the file in what redb said on opening it.
pub(in crate::store) fn open_error(file: &'static str, error: redb::Error) -> StoreError {
    match error {
        redb::Error::DatabaseAlreadyOpen => StoreError::Locked { file },
        error => StoreError::disk("opening a database")(error),
    }
}

/// Whether redb says that the bytes are wrong, as opposed to a disk that does not answer.
pub(in crate::store) fn says_corrupt(error: &redb::Error) -> bool {
    match error {
        redb::Error::Corrupted(_)
        | redb::Error::UpgradeRequired(_)
        | redb::Error::RepairAborted
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TableDoesNotExist(_)
        | redb::Error::TypeDefinitionChanged { .. } => true,
        redb::Error::Io(error) => matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof),
        _ => false,
    }
}

/// The locks of a backend that is around another one: they are that one's.
macro_rules! locks_of {
    ($this:ident, $inner:expr) => {
        locks_of!($this, $inner, try_lock_range: bool, try_lock_shared_range: bool, lock_range: (),
            lock_shared_range: (), unlock_range: (), query_lock_range: bool);
    };
    ($this:ident, $inner:expr, $($name:ident: $answer:ty),*) => {
        $(fn $name(
            &$this,
            start: std::ops::Bound<u64>,
            end: std::ops::Bound<u64>,
        ) -> Result<$answer, redb::BackendError> {
            $inner.$name(start, end)
        })*
    };
}
pub(in crate::store) use locks_of;

/// redb takes backends by value only.
#[derive(Debug)]
struct Boxed(Backend);

impl StorageBackend for Boxed {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }

    locks_of!(self, self.0);
}
