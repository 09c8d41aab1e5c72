//! What can go wrong in the store of a channel, by who must act, and the latch that keeps the first failed write.
//!
//! Refused: the caller's order of heights is wrong; nothing changed. Broken: disk or file failed, or the files
//! disagree; the channel must halt. After the first failed write no later write is tried ([`StoreError::Failed`]):
//! an fsync that failed may have dropped pages, and one that succeeds afterwards proves nothing about them.

use ledger_classes::primitives::hash::Hash;
use std::path::PathBuf;
use std::sync::OnceLock;

/// Why a store operation did not happen.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// `create` found a store already there.
    #[error("a store exists already at {0}")]
    Exists(PathBuf),
    /// `open` found no log.
    #[error("there is no store at {0}")]
    Missing(PathBuf),
    /// Another process, or another handle in this one, has the file open.
    #[error("{file} is open elsewhere")]
    Locked {
        /// File that is open.
        file: &'static str,
    },
    /// A directory or file could not be created, opened or renamed.
    #[error("{operation} failed at {path}")]
    File {
        /// What was tried.
        operation: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The database below failed.
    #[error("{operation} failed")]
    Disk {
        /// What was tried.
        operation: &'static str,
        /// Why not.
        #[source]
        source: Box<redb::Error>,
    },
    /// An earlier write failed, so this one was not tried. Close the store and open it again once the disk is sound.
    #[error("the store refuses writes since one failed: {reason}")]
    Failed {
        /// The first failure.
        reason: String,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The log does not agree with itself.
    #[error("the log is corrupt: {0}")]
    Corrupt(String),
    /// The state file is rotten where it was read. It is rebuilt from the log once it is gone.
    #[error("the state is corrupt: {0}")]
    StateCorrupt(String),
    /// The state reflects a block that the log does not hold: acknowledged blocks are lost.
    #[error("the state reflects height {state} but the log ends at {}", tip(.log))]
    StateAhead {
        /// Height that the state reflects.
        state: u64,
        /// Last height of the log.
        log: Option<u64>,
    },
    /// The state was built from another log.
    #[error("the state at height {height} was built over header {state} but the log has {log}")]
    StateOfOtherLog {
        /// Height that the state reflects.
        height: u64,
        /// Header hash in the state file.
        state: Hash,
        /// Header hash in the log.
        log: Hash,
    },
    /// `append` with a height that is not the next one. Nothing changed.
    #[error("height {given} was appended where {expected} is next")]
    AppendOutOfOrder {
        /// Next height of the log.
        expected: u64,
        /// Height given.
        given: u64,
    },
    /// `apply` with a height that is not the next one. Nothing changed.
    #[error("height {given} was applied where {expected} is next")]
    ApplyOutOfOrder {
        /// Next height of the state.
        expected: u64,
        /// Height given.
        given: u64,
    },
    /// `apply` of a block that is not on disk yet. Nothing changed.
    #[error("height {given} was applied but the log ends at {}", tip(.log))]
    ApplyBeforePersist {
        /// Height given.
        given: u64,
        /// Last height of the log.
        log: Option<u64>,
    },
    /// `apply` with a transaction that an earlier block holds. Nothing changed.
    #[error("transaction {id} was applied at height {given} but is in block {known}")]
    TransactionTwice {
        /// The transaction.
        id: Hash,
        /// Height given.
        given: u64,
        /// Height that has it.
        known: u64,
    },
    /// A proof was asked about more header hashes than there are.
    #[error("the history of {size} headers does not contain what was asked: {asked}")]
    OutsideHistory {
        /// Header hashes in the log.
        size: u64,
        /// Size or index asked for.
        asked: u64,
    },
}

fn tip(tip: &Option<u64>) -> String {
    tip.map_or_else(|| "nothing".to_owned(), |height| height.to_string())
}

impl StoreError {
    /// Wraps whatever redb returned from `operation`.
    pub(super) fn disk<E: Into<redb::Error>>(operation: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Disk { operation, source: Box::new(error.into()) }
    }

    /// Whether the process, or the system, can open no more files now.
    pub(crate) fn out_of_files(&self) -> bool {
        use rustix::io::Errno;
        let number = self.io_error().and_then(std::io::Error::raw_os_error);
        number
            .is_some_and(|number| [Errno::MFILE, Errno::NFILE].into_iter().any(|errno| errno.raw_os_error() == number))
    }

    /// What the system said, if it did.
    pub(super) fn io_error(&self) -> Option<&std::io::Error> {
        match self {
            Self::File { source, .. } => Some(source),
            Self::Disk { source, .. } => match &**source {
                redb::Error::Io(error) => Some(error),
                _ => None,
            },
            _ => None,
        }
    }

    /// The error with its causes, on one line.
    pub(super) fn chain(&self) -> String {
        ledger_classes::primitives::causes::in_one_line(self)
    }
}

/// The first failed write of a store. Set once, never cleared.
#[derive(Debug, Default)]
pub(super) struct Latch(OnceLock<String>);

impl Latch {
    /// Refuses when a write failed before.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match self.0.get() {
            Some(reason) => Err(StoreError::Failed { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Keeps the reason of a failed write, unless one is kept already.
    pub(super) fn hold(&self, error: StoreError) -> StoreError {
        self.0.get_or_init(|| error.chain());
        error
    }

    /// The first failure.
    pub(super) fn reason(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}
