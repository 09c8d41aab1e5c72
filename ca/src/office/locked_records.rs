//! The records of a folder with the right to write: whoever changes the folder, or signs for one of its CAs, has this.
//!
//! One process has it at a time (a lock file). The index is appended to and nothing else: a line is synced, then it is part
//! of what the records say, then the caller acts on it. After a write that failed nothing more is written: what is on
//! the disk is read again by whoever takes the lock next.

use crate::{
    authority::Authority,
    keys::keyring::Keyring,
    office::{
        cause::Cause,
        database::{Database, DatabaseError, FORMAT, INDEX},
        error::{FolderError, file_error},
        event::{self, Event},
        known::Known,
        layout::Layout,
        records::Records,
    },
};
use ledger_classes::primitives::time::Time;
use pki::{
    trust::files::{certificates_pem, read_certificates},
    x509::identifiers::Serial,
};
use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    ops::Deref,
    path::Path,
    sync::Arc,
};

/// Held by the one process that writes.
pub(super) const LOCK: &str = "lock";

/// Writes the first line of a new index in `directory`, which has none.
pub(crate) fn create(directory: &Path, consortium: &str, at: Time) -> Result<(), DatabaseError> {
    let path = directory.join(INDEX);
    let event = Event::Created { format: FORMAT, consortium: consortium.into(), at };
    let line =
        event::line_of(&event, &Cause::default()).map_err(|error| DatabaseError::of_file(&path, error.into()))?;
    files::write_private(&path, &line).map_err(|source| DatabaseError::of_file(&path, source))
}

/// The records with the right to write, and the keys.
#[derive(Debug)]
pub(crate) struct LockedRecords {
    records: Records,
    pub(super) keys: Keyring,
    /// Who does what is appended, and why.
    cause: Cause,
    index: File,
    broken: bool,
    /// Released by the system when it is closed, also by `kill -9`.
    _lock: File,
}

impl Deref for LockedRecords {
    type Target = Records;

    fn deref(&self) -> &Records {
        &self.records
    }
}

impl LockedRecords {
    /// Waits for the lock, reads, and cuts off a line that a crash left without its end.
    pub(crate) fn lock(layout: Layout, cause: Cause, known: &Known, keys: Keyring) -> Result<Self, DatabaseError> {
        let path = layout.directory().join(LOCK);
        let lock = files::private(&mut OpenOptions::new()).create(true).truncate(false).write(true).open(&path);
        let lock =
            lock.and_then(|file| file.lock().map(|()| file)).map_err(|source| DatabaseError::of_file(&path, source))?;
        let (database, whole) = known.read(layout.directory())?;
        let index = OpenOptions::new().append(true).open(&database.path);
        let index = index.and_then(|file| {
            if file.metadata()?.len() > whole {
                file.set_len(whole)?;
                file.sync_all()?;
            }
            Ok(file)
        });
        let index = index.map_err(|source| DatabaseError::of_file(&database.path, source))?;
        let records = Records { database, layout };
        Ok(Self { records, keys, cause, index, broken: false, _lock: lock })
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
        let path = self.path.clone();
        let file = |source| DatabaseError::of_file(&path, source);
        let noted =
            |database: &mut Database| database.apply(event).and_then(|()| database.note(event, self.cause.clone()));
        // Whoever reads meanwhile goes on with the state before.
        let database = Arc::make_mut(&mut self.records.database);
        noted(database).map_err(|reason| DatabaseError::Corrupt {
            path: path.display().to_string(),
            line: 0,
            reason: reason.into(),
        })?;
        let line = event::line_of(event, &self.cause).map_err(|error| file(error.into()))?;
        self.index.write_all(&line).and_then(|()| self.index.sync_data()).map_err(file)?;
        Arc::make_mut(&mut self.records.database).lines += 1;
        self.broken = false;
        Ok(())
    }

    /// A CA with its key, revoked or not.
    pub(crate) fn load(&self, name: &str) -> Result<Authority, FolderError> {
        self.records.open(self.authority(name)?, &self.keys)
    }

    /// A CA with its key, unless it was revoked.
    pub(crate) fn load_in_force(&self, name: &str) -> Result<Authority, FolderError> {
        self.records.open(self.in_force(name)?, &self.keys)
    }

    /// Writes a durable file for everybody to read.
    pub(crate) fn write(&self, file: &Path, bytes: &[u8]) -> Result<(), FolderError> {
        files::write_public(file, bytes).map_err(|source| file_error(file, source))
    }

    /// Makes the folder of a file, for those that a new directory has not.
    pub(crate) fn make_folder_of(&self, file: &Path) -> Result<(), FolderError> {
        let Some(folder) = file.parent() else { return Ok(()) };
        files::private_folder(folder).map_err(|source| file_error(folder, source))
    }
    /// Keeps a certificate of a CA that has had another, or is to have one.
    pub(crate) fn keep_authority(&self, serial: &Serial, der: &[u8]) -> Result<(), FolderError> {
        let file = self.layout.kept(serial);
        if file.exists() {
            return Ok(());
        }
        self.make_folder_of(&file)?;
        self.write(&file, certificates_pem(&[der.to_vec()]).as_bytes())
    }

    /// Makes `<name>.pem` what the index says, for people and their programs.
    pub(crate) fn show_newest(&self, name: &str) -> Result<(), FolderError> {
        let newest = read_certificates(&self.layout.authority(name, &self.authority(name)?.serial))?;
        let file = self.layout.shown(name);
        if read_certificates(&file).is_ok_and(|shown| shown == newest) {
            return Ok(());
        }
        self.write(&file, certificates_pem(&newest).as_bytes())
    }
}
