//! The file of the database, `index.jsonl`: made, locked and appended to. What was read of it last is in
//! [`crate::office::known`].

use crate::office::{
    cause::Cause,
    database::{Database, DatabaseError, FORMAT, INDEX},
    event::{self, Event},
    known::Known,
};
use ledger_classes::primitives::time::Time;
use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    path::Path,
    sync::Arc,
};

/// Held by the one process that writes.
pub(super) const LOCK: &str = "lock";

/// Writes the first line of a new database in `directory`, which has none.
pub(crate) fn create(directory: &Path, consortium: &str, at: Time) -> Result<(), DatabaseError> {
    let path = directory.join(INDEX);
    let event = Event::Created { format: FORMAT, consortium: consortium.into(), at };
    let line =
        event::line_of(&event, &Cause::default()).map_err(|error| DatabaseError::of_file(&path, error.into()))?;
    files::write_private(&path, &line).map_err(|source| DatabaseError::of_file(&path, source))
}

/// The database with the right to write: one process, one at a time.
#[derive(Debug)]
pub(crate) struct LockedDatabase {
    database: Arc<Database>,
    index: File,
    broken: bool,
    /// Who does what is appended, and why.
    cause: Cause,
    /// Released by the system when it is closed, also by `kill -9`.
    _lock: File,
}

impl LockedDatabase {
    /// Waits for the lock, reads, and cuts off a line that a crash left without its end.
    pub(crate) fn open(directory: &Path, cause: Cause, known: &Known) -> Result<Self, DatabaseError> {
        let path = directory.join(LOCK);
        let lock = files::private(&mut OpenOptions::new()).create(true).truncate(false).write(true).open(&path);
        let lock =
            lock.and_then(|file| file.lock().map(|()| file)).map_err(|source| DatabaseError::of_file(&path, source))?;
        let (database, whole) = known.read(directory)?;
        let index = OpenOptions::new().append(true).open(&database.path);
        let index = index.and_then(|file| {
            if file.metadata()?.len() > whole {
                file.set_len(whole)?;
                file.sync_all()?;
            }
            Ok(file)
        });
        let index = index.map_err(|source| DatabaseError::of_file(&database.path, source))?;
        Ok(Self { database, index, broken: false, cause, _lock: lock })
    }

    /// Says who acts, and why, unless the caller has said it.
    pub(crate) fn cause(&mut self, who: &str, why: Option<&str>) {
        self.cause.fill(who, why);
    }

    /// Makes an event durable, then part of the state.
    pub(crate) fn append(&mut self, event: &Event) -> Result<(), DatabaseError> {
        if self.broken {
            return Err(DatabaseError::Broken);
        }
        self.broken = true;
        let path = self.database.path.clone();
        let file = |source| DatabaseError::of_file(&path, source);
        let noted =
            |database: &mut Database| database.apply(event).and_then(|()| database.note(event, self.cause.clone()));
        // Whoever reads meanwhile goes on with the state before.
        let database = Arc::make_mut(&mut self.database);
        noted(database).map_err(|reason| DatabaseError::Corrupt {
            path: path.display().to_string(),
            line: 0,
            reason: reason.into(),
        })?;
        let line = event::line_of(event, &self.cause).map_err(|error| file(error.into()))?;
        self.index.write_all(&line).and_then(|()| self.index.sync_data()).map_err(file)?;
        Arc::make_mut(&mut self.database).lines += 1;
        self.broken = false;
        Ok(())
    }
}

impl std::ops::Deref for LockedDatabase {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

/// The whole index in a folder `<dir>/ca/`, perhaps with a line that has no end yet.
pub(crate) fn index_bytes(directory: &Path) -> Result<Vec<u8>, DatabaseError> {
    let path = directory.join(INDEX);
    std::fs::read(&path).map_err(|source| DatabaseError::of_file(&path, source))
}
