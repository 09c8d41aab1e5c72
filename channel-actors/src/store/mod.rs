//! The store of one channel: `log.redb`, the truth, with its `wal` while it is open, and `state.redb`, which can be
//! rebuilt from it. Beside a store that is closed there may be a summary, with which nobody needs to open it to know of
//! it. And the log of a peer, which holds what the ordering engines of all its channels keep ([`peer_log`]).
//!
//! It deals in bytes and knows nothing of the structure of blocks. All calls block; threads are the caller's.
//! These hold:
//!
//! - A block is on disk (fsync) when [`ChannelStore::append`] returns, and survives power loss at any instant.
//! - `checkpointed state <= applied state <= log`: what [`ChannelStore::view`] shows is never ahead of the disk.
//! - After the first failed write every later one is refused; an fsync that failed is never retried.
//! - After opening, the caller executes and applies blocks `state_height + 1 ..= log_tip` again.
//!
//! Never here: actors, HTTP, decoding of blocks, a read transaction that outlives a request.

mod error;
pub(super) mod file;
mod lock;
mod log;
mod options;
pub mod peer_log;
mod quota;
mod state;
#[cfg(test)]
pub(crate) mod tests;

pub use error::StoreError;
pub use file::backend::Backend;
pub use file::directory::{Directory, StoreFiles, WalFile};
pub(crate) use file::directory::{Inspected, left_summary};
pub use file::disk::{Disk, DiskTrouble};
pub use log::record::BlockRecord;
pub use options::{Pressure, StoreOptions};
pub use quota::DiskUse;
pub(crate) use quota::{DiskQuota, NoRoom, OnItsWay, Room};
pub use state::StateView;

pub use crate::runtime::memory::StoreMemory;
use bytes::Bytes;
use error::Latch;
use ledger_classes::merkle::CompactRange;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::state::tree::StateTree;
use ledger_classes::state::view::Writes;
use log::Log;
use state::State;
use std::path::Path;
use std::sync::Arc;

/// Reads the state of a store whose log cannot be read; no file changes. `None` if the state is broken or not there.
pub(crate) fn read_left_state<T>(
    directory: &Path,
    options: StoreOptions,
    read: impl FnOnce(&StateView) -> T,
) -> Result<Option<T>, StoreError> {
    let files = Inspected::new(directory);
    let (state, _) = State::open(&files, options, Arc::default())?;
    // The view ends before the file is released.
    let found = state.view().map(|view| read(&view))?;
    drop(state);
    Ok(files.broken().is_none().then_some(found))
}

/// The open store of a channel. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct ChannelStore(Arc<OpenStore>);

struct OpenStore {
    log: Log,
    state: State,
    latch: Arc<Latch>,
}

impl ChannelStore {
    /// Makes an empty store in a directory, which is made if it is missing. Refuses an existing store.
    pub fn create(directory: impl AsRef<Path>, options: StoreOptions) -> Result<Self, StoreError> {
        Self::create_on(&Directory(directory.as_ref().to_owned()), options)
    }

    /// Opens a store only to look at it, wherever it can be read: no file changes, and what is written stays in memory.
    /// A state that is missing or broken is empty here. The second value is why it is broken, if it is. Nobody may have
    /// the store open: nothing keeps them from each other.
    pub fn inspect(directory: impl AsRef<Path>, options: StoreOptions) -> Result<(Self, Option<String>), StoreError> {
        let files = Inspected::new(directory.as_ref());
        let store = Self::open_on(&files, options)?;
        Ok((store, files.broken()))
    }

    /// [`Self::create`] on files of any kind.
    pub fn create_on(files: &dyn StoreFiles, options: StoreOptions) -> Result<Self, StoreError> {
        let latch = Arc::new(Latch::default());
        let log = Log::create(files, options, latch.clone())?;
        files.publish_log()?;
        Self::join(log, files, options, latch)
    }

    /// Opens a store. A state file that is missing or broken is begun afresh ([`Self::state_height`] is `None`
    /// then), the broken one set aside as `state.redb.broken-N`; a log that does not agree with itself is an error.
    pub fn open_on(files: &dyn StoreFiles, options: StoreOptions) -> Result<Self, StoreError> {
        // Before anything is written: a summary is never older than the log.
        files.forget_summary()?;
        let latch = Arc::new(Latch::default());
        let log = Log::open(files, options, latch.clone())?;
        Self::join(log, files, options, latch)
    }

    fn join(log: Log, files: &dyn StoreFiles, options: StoreOptions, latch: Arc<Latch>) -> Result<Self, StoreError> {
        let (state, header_hash) = State::open(files, options, latch.clone())?;
        if let (Some(height), Some(state_hash)) = (state.applied().checked_sub(1), header_hash) {
            let Some(log_hash) = log.header_hash(height)? else {
                return Err(StoreError::StateAhead { state: height, log: log.tip() });
            };
            if state_hash != log_hash {
                return Err(StoreError::StateOfOtherLog { height, state: state_hash, log: log_hash });
            }
        }
        Ok(Self(Arc::new(OpenStore { log, state, latch })))
    }

    /// Last height on disk; `None` for an empty log.
    pub fn log_tip(&self) -> Option<u64> {
        self.0.log.tip()
    }

    /// Height that the state reflects; `None` before the first block was applied.
    pub fn state_height(&self) -> Option<u64> {
        self.0.state.applied().checked_sub(1)
    }

    /// Height that the state on disk reflects: replay would begin after it.
    pub fn checkpoint_height(&self) -> Option<u64> {
        self.0.state.checkpointed().checked_sub(1)
    }

    /// The first failed write, if one failed: the store takes no more.
    pub fn failure(&self) -> Option<&str> {
        self.0.latch.reason()
    }

    /// Puts a block on disk; durable when this returns. The height must be the next one.
    /// Not applied yet: [`Self::apply`] makes its writes visible.
    pub fn append(&self, record: &BlockRecord) -> Result<(), StoreError> {
        self.0.log.append(record)
    }

    /// Bytes of the block at `height`, held against their check.
    pub fn block(&self, height: u64) -> Result<Option<Bytes>, StoreError> {
        self.0.log.block(height)
    }

    /// Bytes of the receipts at `height`, held against their check.
    pub fn receipts(&self, height: u64) -> Result<Option<Bytes>, StoreError> {
        self.0.log.receipts(height)
    }

    /// Header hash at `height`.
    pub fn header_hash(&self, height: u64) -> Result<Option<Hash>, StoreError> {
        self.0.log.header_hash(height)
    }

    /// The RFC 9162 tree over all header hashes, ready to append to.
    pub fn history(&self) -> CompactRange {
        self.0.log.history()
    }

    /// The tree over the first `size` header hashes.
    pub fn history_at(&self, size: u64) -> Result<CompactRange, StoreError> {
        self.0.log.history_at(size)
    }

    /// Root of the first `size` header hashes: the history root in the header at height `size`.
    pub fn history_root(&self, size: u64) -> Result<Hash, StoreError> {
        self.0.log.history_root(size)
    }

    /// A stored node of the history tree, above its leaves: the complete subtree `index` of its level.
    pub fn history_node(&self, level: u8, index: u64) -> Result<Hash, StoreError> {
        self.0.log.history_node(level, index)
    }

    /// RFC 9162 §2.1.3: path of the header hash at `index` in the tree of the first `size`.
    pub fn history_path(&self, size: u64, index: u64) -> Result<Vec<Hash>, StoreError> {
        self.0.log.history_path(size, index)
    }

    /// Makes the writes and transactions (id, index in the block) of a block on disk visible, all at once.
    /// The height must be the next one of the state. In memory until the next checkpoint.
    /// `tree` is over the state with these writes.
    pub fn apply(
        &self,
        height: u64,
        writes: &Writes,
        transactions: &[(Hash, u32)],
        tree: &StateTree,
    ) -> Result<Pressure, StoreError> {
        self.0.state.apply(height, self.0.log.size(), writes, transactions, tree)
    }

    /// A tree over this state, or one to come, that has no more memory than it may. Take it before the view whose pages
    /// it is used with.
    pub fn bounded(&self, tree: &StateTree) -> StateTree {
        self.0.state.bounded(tree)
    }

    /// The state as it is now, unchanging. Keep it for one request or the execution of one block.
    /// Execution of block `h` lays the writes of blocks `view.height() + 1 ..= h - 1` over it.
    pub fn view(&self) -> Result<StateView, StoreError> {
        self.0.state.view()
    }

    /// Height and index of a transaction that was applied.
    pub fn transaction(&self, id: &Hash) -> Result<Option<(u64, u32)>, StoreError> {
        Ok(self.transactions(std::slice::from_ref(id))?.pop().flatten())
    }

    /// [`Self::transaction`] for many at once, which costs less for each.
    pub fn transactions(&self, ids: &[Hash]) -> Result<Vec<Option<(u64, u32)>>, StoreError> {
        self.0.state.transactions(ids)
    }

    /// Bytes that wait for the next checkpoint, about.
    pub fn waiting_bytes(&self) -> usize {
        self.0.state.waiting_bytes()
    }

    /// Writes what was applied so far to the state file; returns the height it reflects then. Appending, applying
    /// and reading go on meanwhile.
    pub fn checkpoint(&self) -> Result<Option<u64>, StoreError> {
        let header_hash = |height| match self.0.log.header_hash(height)? {
            Some(hash) => Ok(hash),
            None => Err(StoreError::StateAhead { state: height, log: self.0.log.tip() }),
        };
        Ok(self.0.state.checkpoint(header_hash)?.checked_sub(1))
    }

    /// Checkpoints and releases the files, for all clones; later calls get [`StoreError::Closed`] and views that
    /// still live an error. Released also if the checkpoint fails. Dropping instead is safe: replay rebuilds.
    pub fn close(&self) -> Result<(), StoreError> {
        let checkpoint = self.checkpoint();
        self.0.state.close();
        let log = self.0.log.close();
        checkpoint.and(log)
    }
}
