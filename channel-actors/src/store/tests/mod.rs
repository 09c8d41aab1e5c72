//! Tests of the store through its public calls, on files in a temporary directory and on simulated disks.
#![allow(clippy::unwrap_used)]

mod crash;
mod faults;
mod flips;
mod model;
mod rot;
mod rules;
mod wal;

use super::*;
pub(crate) use crate::simulation::disk;
use ledger_classes::merkle;
use ledger_classes::state::view::{ReadView, Value};
use std::collections::BTreeMap;

/// A block whose content follows from its height.
pub(crate) fn record(height: u64) -> BlockRecord {
    let text = |what: &str| Bytes::from(format!("{what} {height} ").repeat(1 + height as usize % 7));
    BlockRecord {
        height,
        header_hash: Hash::plain(&[b"header", &height.to_le_bytes()]),
        block: text("block"),
        receipts: text("receipts"),
    }
}

/// Id of the one transaction of a block.
pub(crate) fn id(height: u64) -> Hash {
    Hash::plain(&[b"transaction", &height.to_le_bytes()])
}

/// Writes as text; `None` removes.
pub(crate) fn writes(entries: &[(&str, Option<&str>)]) -> Writes {
    let value = |text: &str| Value::from(text.as_bytes());
    entries.iter().map(|(key, text)| (key.as_bytes().to_vec(), text.map(value))).collect()
}

/// What block `height` of the standard run writes: a counter, a key of its own, and the removal of an older one.
pub(crate) fn standard_writes(height: u64) -> Writes {
    let (own, count) = (format!("own/{height}"), height.to_string());
    let mut writes = writes(&[("counter", Some(&count)), (&own, Some(&count))]);
    if let Some(removed) = height.checked_sub(3) {
        writes.insert(format!("own/{removed}").into_bytes(), None);
    }
    writes
}

/// Applies a block of the standard run that is on disk.
pub(crate) fn apply_standard(store: &ChannelStore, height: u64) {
    let _ = store.apply_writes(height, &standard_writes(height), &[(id(height), 0)]).unwrap();
}

/// Opens the store in a directory.
pub(crate) fn open(directory: impl AsRef<Path>, options: StoreOptions) -> Result<ChannelStore, StoreError> {
    ChannelStore::open_on(&Directory(directory.as_ref().to_owned()), options)
}

/// The database in a file of a store that is closed.
pub(crate) fn database(directory: &Path, name: &str) -> redb::Database {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(directory.join(name)).unwrap();
    let file = redb::backends::FileBackend::new(file).unwrap();
    file::directory::open_database(file::checksums::open(Box::new(file)).unwrap(), 1 << 20).unwrap()
}

/// All entries of a view.
pub(crate) fn entries(view: &dyn ReadView) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let (mut from, mut entries) = (Vec::new(), BTreeMap::new());
    while let Some((key, value)) = view.first_in(&from, &[0xff; 8]).unwrap() {
        assert!(key >= from, "keys rise");
        assert_eq!(view.get(&key).unwrap().as_deref(), Some(&*value), "both ways of reading agree");
        from.clone_from(&key);
        from.push(0);
        entries.insert(key, value.to_vec());
    }
    entries
}

/// Checks the tree of a view, and each of its pages.
pub(crate) fn check_tree(view: &StateView, state: &BTreeMap<Vec<u8>, Vec<u8>>) {
    let all: Writes = state.iter().map(|(key, value)| (key.clone(), Some(value.as_slice().into()))).collect();
    assert_eq!(view.tree(), &StateTree::of(&all));
    assert_eq!(view.tree().check(view), Ok(()));
}

/// The state after blocks `0..count` of the standard run.
pub(crate) fn standard_state(count: u64) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut state = ledger_classes::state::view::MemoryState::default();
    (0..count).for_each(|height| state.apply(&standard_writes(height)));
    state.entries().map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

impl ChannelStore {
    /// [`Self::apply`] with the tree that follows from what is written.
    pub(crate) fn apply_writes(
        &self,
        height: u64,
        writes: &Writes,
        transactions: &[(Hash, u32)],
    ) -> Result<Pressure, StoreError> {
        // A store that has failed, or is closed, refuses any.
        let tree = self.view().map_or_else(|_| Ok(StateTree::default()), |view| view.tree().update(&view, writes));
        // What execution reads has no error of the store; of a disk that does not answer it says so.
        let tree = tree.map_err(|error| match error.0.starts_with("I/O error") {
            true => StoreError::disk("reading the tree")(redb::Error::Io(std::io::Error::other(error.0))),
            false => StoreError::StateCorrupt(error.0),
        })?;
        self.apply(height, writes, transactions, &tree)
    }
}
