//! How much goes to the disk at a time: what is large, in pieces, each synced before the next is written, so that a small
//! sync of another channel waits behind one piece of it, and not behind all. A checkpoint rests between its pieces, too:
//! nobody waits for it.
//!
//! Always: after a sync that failed nothing is written and nothing synced, whatever redb makes of the error: it may pass over
//! it, so whoever comes next is told what it was. A piece that is
//! on the disk early is what a power loss may leave of any write that was not synced: what is durable is decided by the last
//! sync, as if there were no pieces.
//! Never here: a pause of a checkpoint while redb holds a lock that readers want. It writes in the middle of its work, too,
//! which is only counted; the pauses are between insertions ([`Paced::rest`]) and within the commit, which holds none.

use crate::limits::CHECKPOINT_PAUSE_MAX;
use crate::store::file::backend::Backend;
use crate::store::file::directory::locks_of;
use redb::StorageBackend;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// A file that is written at a pace.
#[derive(Debug)]
pub(in crate::store) struct Paced {
    backend: Backend,
    /// Bytes of a piece.
    piece: usize,
    /// How long it rests after a piece at most.
    pause_max: Duration,
    /// Bytes since the last sync.
    written: AtomicUsize,
    committing: AtomicBool,
    /// Why a sync failed: nobody knows what is on the disk.
    failed: OnceLock<(io::ErrorKind, String)>,
}

impl Paced {
    /// For checkpoints.
    pub(in crate::store) fn for_checkpoints(backend: Backend, piece: usize) -> Arc<Self> {
        let (written, committing, failed) = Default::default();
        Arc::new(Self { backend, piece, pause_max: CHECKPOINT_PAUSE_MAX, written, committing, failed })
    }

    /// For a log: somebody waits for each block, so there is no pause.
    pub(in crate::store) fn for_log(backend: Backend, piece: usize) -> Arc<Self> {
        let (written, committing, failed) = (AtomicUsize::default(), AtomicBool::new(true), OnceLock::new());
        Arc::new(Self { backend, piece, pause_max: Duration::ZERO, written, committing, failed })
    }

    /// Once a piece is written, waits until it is on the disk, and then for as long again.
    pub(in crate::store) fn rest(&self) -> io::Result<()> {
        if self.written.load(Ordering::Relaxed) < self.piece {
            return Ok(());
        }
        let begun = Instant::now();
        self.sync()?;
        if !self.pause_max.is_zero() {
            std::thread::park_timeout(begun.elapsed().min(self.pause_max));
        }
        Ok(())
    }

    /// Rests within a commit, too.
    pub(in crate::store) fn committing<T>(&self, commit: impl FnOnce() -> T) -> T {
        self.committing.store(true, Ordering::Relaxed);
        let done = commit();
        self.committing.store(false, Ordering::Relaxed);
        done
    }

    fn sync(&self) -> io::Result<()> {
        self.check()?;
        self.written.store(0, Ordering::Relaxed);
        self.backend.sync_data().inspect_err(|error| {
            let _ = self.failed.set((error.kind(), error.to_string()));
        })
    }

    fn check(&self) -> io::Result<()> {
        match self.failed.get() {
            Some((kind, why)) => Err(io::Error::new(*kind, format!("a sync of this file failed before: {why}"))),
            None => Ok(()),
        }
    }
}

/// The same for redb.
#[derive(Debug)]
pub(in crate::store) struct PacedBackend(pub(in crate::store) Arc<Paced>);

impl StorageBackend for PacedBackend {
    fn len(&self) -> io::Result<u64> {
        self.0.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.backend.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.check()?;
        self.0.backend.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut at = offset;
        // A page with a large value is longer than a piece.
        for part in data.chunks(self.0.piece.max(1)) {
            self.0.check()?;
            self.0.backend.write(at, part)?;
            self.0.written.fetch_add(part.len(), Ordering::Relaxed);
            if self.0.committing.load(Ordering::Relaxed) {
                self.0.rest()?;
            }
            at += part.len() as u64;
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.0.backend.close()
    }

    locks_of!(self, self.0.backend);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::store::StoreFiles as _;
    use crate::store::tests::disk::{Fault, Machine};

    const PIECE: usize = 4096;

    fn paced() -> (Machine, Arc<Paced>) {
        let machine = Machine::default();
        machine.arm(0, Fault::Read, u64::MAX, 0);
        let paced = Paced::for_checkpoints(machine.open_state().unwrap(), PIECE);
        (machine, paced)
    }

    #[test]
    fn a_piece_is_synced_between_insertions_and_within_a_commit_and_nowhere_else() {
        let (machine, paced) = paced();
        let backend = PacedBackend(paced.clone());
        let syncs = || machine.operations(1, Fault::Sync);
        backend.write(0, &[1; PIECE - 1]).unwrap();
        paced.rest().unwrap();
        assert_eq!(syncs(), 0, "less than a piece");
        backend.write(0, &[1; PIECE]).unwrap();
        assert_eq!(syncs(), 0, "redb may hold a lock");
        paced.rest().unwrap();
        assert_eq!(syncs(), 1);
        paced.rest().unwrap();
        assert_eq!(syncs(), 1, "nothing was written since");
        paced.committing(|| (0..3).for_each(|_| backend.write(0, &[1; PIECE]).unwrap()));
        assert_eq!(syncs(), 4);
        backend.write(0, &[1; PIECE - 1]).unwrap();
        backend.sync_data().unwrap();
        backend.write(0, &[1; PIECE - 1]).unwrap();
        paced.rest().unwrap();
        assert_eq!(syncs(), 5, "its own syncs count, too");
    }

    #[test]
    fn what_is_longer_than_a_piece_is_written_and_synced_by_pieces() {
        let machine = Machine::default();
        machine.arm(0, Fault::Read, u64::MAX, 0);
        let backend = PacedBackend(Paced::for_log(machine.create_log().unwrap(), PIECE));
        let count = |fault| machine.operations(0, fault);
        let page: Vec<u8> = (0..3 * PIECE + 512).map(|at| (at / 512) as u8).collect();
        backend.write(512, &page).unwrap();
        assert_eq!((count(Fault::Write), count(Fault::Sync)), (4, 3), "the rest waits for more, or for its own sync");
        backend.write(0, &[7; 512]).unwrap();
        backend.sync_data().unwrap();
        assert_eq!((count(Fault::Write), count(Fault::Sync)), (5, 4));
        let mut found = vec![0; page.len()];
        backend.read(512, &mut found).unwrap();
        assert_eq!(found, page);
        // The second of three pieces is not known to be on the disk: the third one is not written.
        machine.arm(0, Fault::Sync, 1, 0);
        assert!(backend.write(0, &[8; 3 * PIECE]).is_err() && machine.fired());
        machine.mend();
        assert_eq!((count(Fault::Write), count(Fault::Sync)), (2, 2));
        assert!(backend.write(0, &[9]).is_err() && backend.sync_data().is_err());
        assert_eq!((count(Fault::Write), count(Fault::Sync)), (2, 2));
    }

    #[test]
    fn after_a_sync_that_failed_nothing_is_written_or_synced() {
        let (machine, paced) = paced();
        let backend = PacedBackend(paced.clone());
        machine.arm(1, Fault::Sync, 0, 0);
        let written = paced.committing(|| backend.write(0, &[1; PIECE]));
        assert!(written.is_err() && machine.fired());
        machine.mend();
        let written = machine.operations(1, Fault::Write);
        assert!(backend.write(0, &[2]).is_err() && backend.set_len(1).is_err() && backend.sync_data().is_err());
        assert_eq!((machine.operations(1, Fault::Write), machine.operations(1, Fault::Sync)), (written, 1));
        // redb may have passed over the first error: a full disk is waited for, and so is to be known for one.
        let why = backend.sync_data().unwrap_err();
        assert!(why.to_string().contains("the disk does not answer"), "{why}");
        let full = self::paced().1;
        full.failed.set((io::ErrorKind::StorageFull, "no room".into())).unwrap();
        assert_eq!(full.sync().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
