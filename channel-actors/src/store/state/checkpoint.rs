//! Checkpoints: a memtable written to `state.redb` in key order, together with the height it reflects.
//!
//! It goes to the disk in pieces, with pauses (`store/file/throttle.rs`). Blocks are applied meanwhile, into a fresh
//! memtable: only the exchange of the memtables waits for a block that is being applied, and the other way round. The
//! written memtable stays as a cache until the next one is frozen, unless the peer's stores hold more than they may. So
//! a channel holds at most three times its dirty bound: active (up to twice, see [`Pressure`](crate::store::Pressure))
//! and frozen.
//! Ours (decision 14): redb commits as fast as it can, and every channel's next block would wait for that.

use crate::store::error::StoreError;
use crate::store::file::directory::catching;
use crate::store::file::throttle::Paced;
use crate::store::lock::{lock, read, write};
use crate::store::state::memtable::Memtable;
use crate::store::state::record::{Reflects, encode_reflects, encode_value};
use crate::store::state::{META, PagesOf, STATE, State, TREE};
use ledger_classes::primitives::hash::Hash;
use ledger_classes::state::tree::{Change, StateTree};
use ledger_classes::state::view::ReadError;
use redb::{Database, ReadableDatabase as _};
use std::sync::Arc;
use std::time::Instant;

/// What saving a tree failed with.
struct Failed(redb::Error);

impl From<ReadError> for Failed {
    fn from(ReadError(why): ReadError) -> Self {
        Self(redb::Error::Corrupted(why))
    }
}

impl State {
    /// Writes what was applied since the last checkpoint; returns how many blocks the file reflects then.
    /// `header_hash` gives the header hash at a height of the log.
    pub(in crate::store) fn checkpoint(
        &self,
        header_hash: impl FnOnce(u64) -> Result<Hash, StoreError>,
    ) -> Result<u64, StoreError> {
        let _checkpointing = lock(&self.checkpointing);
        self.latch.check()?;
        if self.applied() == self.checkpointed() {
            return Ok(self.checkpointed());
        }
        self.check_open()?;
        let (memtable, tree, applied) = self.freeze();
        let height = applied - 1;
        // Blocks are executed meanwhile, and change what is not.
        let tree = tree.apart();
        let result = header_hash(height).and_then(|header_hash| {
            let reflects = Reflects { height, header_hash, tree: tree.clone() };
            let database = read(&self.database);
            let (database, paced) = database.as_ref().zip(self.paced.upgrade()).ok_or(StoreError::Closed)?;
            catching(|| self.write_memtable(database, &paced, &memtable, &reflects))
                .map_err(StoreError::disk("writing a checkpoint"))
        });
        result.map_err(|error| self.latch.hold(error))?;
        tree.set_saved();
        // No block is applied meanwhile, so the tree stays the newest.
        let applying = lock(&self.applying);
        let newest = read(&self.inner).tree.clone();
        let newest = self.bounded(&newest);
        let mut inner = write(&self.inner);
        let before = self.keep(&mut inner, newest);
        assert!(inner.checkpointed < applied && applied <= inner.applied, "checkpoints move on behind the state");
        inner.checkpointed = applied;
        inner.checkpointed_at = Instant::now();
        if self.is_crowded() {
            // Whoever reads from here on finds it in the file.
            inner.frozen = None;
        }
        self.count(&inner);
        drop((inner, applying));
        drop(before);
        Ok(applied)
    }

    /// Exchanges the active memtable for an empty one; also the tree over the state, and how many blocks they and the file
    /// reflect.
    fn freeze(&self) -> (Arc<Memtable>, StateTree, u64) {
        let _applying = lock(&self.applying);
        let mut inner = write(&self.inner);
        let next = Arc::new(inner.active.next());
        let memtable = std::mem::replace(&mut inner.active, next);
        inner.frozen = Some(memtable.clone());
        self.count(&inner);
        (memtable, inner.tree.clone(), inner.applied)
    }

    fn write_memtable(
        &self,
        database: &Database,
        paced: &Paced,
        memtable: &Memtable,
        reflects: &Reflects,
    ) -> Result<(), redb::Error> {
        let before = database.begin_read()?;
        // redb ends the process when opening a table panics over a rotten page beside one that is open.
        let pages = PagesOf(before.open_table(TREE)?);
        let mut transaction = database.begin_write()?;
        transaction.set_quick_repair(true);
        let mut table = transaction.open_table(STATE)?;
        let mut record = Vec::new();
        memtable.for_each(|key, value| {
            match value {
                Some(value) => {
                    encode_value(key, value, &mut record);
                    table.insert(key, record.as_slice())?;
                }
                None => drop(table.remove(key)?),
            }
            Ok::<_, redb::Error>(paced.rest()?)
        })?;
        drop(table);
        let mut table = transaction.open_table(TREE)?;
        let mut put = |change| -> Result<(), redb::Error> {
            match change {
                Change::Put(place, page) => {
                    let key = place.key();
                    encode_value(&key, &page, &mut record);
                    table.insert(key.as_slice(), record.as_slice())?;
                }
                Change::Remove(place) => drop(table.remove(place.key().as_slice())?),
                Change::RemoveBelow(place) => {
                    let (first, last) = place.below();
                    table.retain_in(first.as_slice()..=last.as_slice(), |_, _| false)?;
                }
            }
            Ok(paced.rest()?)
        };
        let saved = reflects.tree.save(&pages, |change| put(change).map_err(Failed));
        saved.map_err(|Failed(error)| error)?;
        drop(table);
        let runs = read(&self.runs).last().cloned().unwrap_or_default();
        let runs = runs.write(&before, &transaction, paced, &memtable.transactions_in_order(), reflects.height + 1)?;
        transaction.open_table(META)?.insert("reflects", encode_reflects(reflects).as_slice())?;
        // Whoever reads the file from here on finds the runs of what it sees, before the commit and after it.
        write(&self.runs).push(runs.clone());
        paced.committing(|| transaction.commit())?;
        *write(&self.runs) = vec![runs];
        Ok(())
    }
}
