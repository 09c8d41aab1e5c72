//! The index as it was read last. Whoever reads it again reads what was appended since, and nothing twice: what one
//! request costs does not grow with what others have asked for.
//!
//! Lines are never changed or removed. An index that is another file, is shorter, or has changed without growing is
//! read whole; one that grew is what it was and more, which the ledger's records hold it to ([`crate::office::audit_trail`]).

use crate::office::database::{Database, DatabaseError, INDEX};
use std::{
    fs::{File, Metadata},
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

/// What is known of an index: shared by all clones of a folder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known(Arc<Mutex<Option<Reading>>>);

#[derive(Debug)]
struct Reading {
    database: Arc<Database>,
    seen: IndexState,
    /// Bytes of whole lines.
    whole: u64,
}

/// Which file it was, and how much of it there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct IndexState {
    file: (u64, u64),
    bytes: u64,
    modified: (i64, i64),
}

impl IndexState {
    fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// Whether `later` may be the same file with more lines.
    fn grows_to(&self, later: &Self) -> bool {
        self.file == later.file && self.bytes < later.bytes
    }
}

impl Known {
    /// The state of the index in `directory`, and the bytes of its whole lines.
    pub(crate) fn read(&self, directory: &Path) -> Result<(Arc<Database>, u64), DatabaseError> {
        let path = directory.join(INDEX);
        let failed = |source| DatabaseError::of_file(&path, source);
        let mut file = File::open(&path).map_err(failed)?;
        let seen = IndexState::of(&file.metadata().map_err(failed)?);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whatever fails below leaves nothing that is half true.
        let mut reading = match known.take() {
            Some(reading) if reading.seen == seen => {
                let answer = (Arc::clone(&reading.database), reading.whole);
                *known = Some(reading);
                return Ok(answer);
            }
            Some(reading) if reading.seen.grows_to(&seen) => reading,
            _ => Reading { database: Arc::new(Database::empty(&path)), seen, whole: 0 },
        };
        file.seek(SeekFrom::Start(reading.whole)).map_err(failed)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |position| position + 1);
        if whole > 0 || reading.whole == 0 {
            Arc::make_mut(&mut reading.database).extend(&bytes[..whole])?;
        }
        reading.whole += whole as u64;
        // More may have come since it was measured.
        reading.seen = IndexState { bytes: (reading.whole + (bytes.len() - whole) as u64).min(seen.bytes), ..seen };
        let answer = (Arc::clone(&reading.database), reading.whole);
        *known = Some(reading);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{
        Keyring, PassphraseSource,
        office::{
            cause::Cause,
            enrolment::EnrolmentPolicy,
            event::Event,
            layout::Layout,
            locked_records::{self, LockedRecords},
        },
    };
    use ledger_classes::primitives::time::Time;
    use std::{fs, io::Write as _};

    fn policy(approvals: u32) -> Event {
        Event::PolicySet { policy: EnrolmentPolicy { approvals }, at: Time::from_millis(1) }
    }

    fn index() -> (tempfile::TempDir, Known) {
        let dir = tempfile::tempdir().unwrap();
        locked_records::create(dir.path(), "c", Time::from_millis(0)).unwrap();
        (dir, Known::default())
    }

    fn locked(dir: &Path) -> Result<LockedRecords, DatabaseError> {
        let keys = Keyring::new(PassphraseSource::usual(dir));
        LockedRecords::lock(Layout::new(dir.into()), Cause::default(), &Known::default(), keys)
    }

    fn append(dir: &Path, approvals: u32) {
        let mut open = locked(dir).unwrap();
        open.append(&policy(approvals)).unwrap();
    }

    #[test]
    fn what_is_appended_by_others_is_read_once_and_the_rest_not_again() {
        let (dir, known) = index();
        let (first, _) = known.read(dir.path()).unwrap();
        assert!(Arc::ptr_eq(&first, &known.read(dir.path()).unwrap().0), "nothing changed: nothing is read");
        drop(first);
        append(dir.path(), 2);
        let read = |known: &Known| known.read(dir.path()).unwrap().0;
        assert_eq!((read(&known).policy().approvals, read(&known).lines()), (2, 2));
        // A line that has no end yet is not there, and is there once it has.
        let path = dir.path().join(INDEX);
        let line = crate::office::event::line_of(&policy(3), &Cause::default()).unwrap();
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&line[..9]).unwrap();
        assert_eq!((read(&known).policy().approvals, read(&known).lines()), (2, 2));
        file.write_all(&line[9..]).unwrap();
        assert_eq!((read(&known).policy().approvals, read(&known).lines()), (3, 3));
        assert_eq!(read(&Known::default()).lines(), 3);
    }

    #[test]
    fn an_index_that_is_another_one_or_did_not_grow_is_read_whole() {
        let (dir, known) = index();
        append(dir.path(), 2);
        let read = || known.read(dir.path()).map(|(database, _)| (database.policy().approvals, database.lines()));
        assert_eq!(read().unwrap(), (2, 2));
        let path = dir.path().join(INDEX);
        let text = fs::read_to_string(&path).unwrap();
        // Changed in its place: of the same length, and a tick of the clock later.
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        (&file).write_all(text.replace("\"approvals\":2", "\"approvals\":4").as_bytes()).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(read().unwrap(), (4, 2));
        // Replaced.
        let other = dir.path().join("other");
        fs::write(&other, text.lines().next().unwrap().to_owned() + "\n").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(read().unwrap().1, 1);
        // Damaged, and mended.
        fs::write(&path, "{}\n").unwrap();
        assert!(read().is_err() && read().is_err());
        fs::write(&path, text).unwrap();
        assert_eq!(read().unwrap(), (2, 2));
    }
}
