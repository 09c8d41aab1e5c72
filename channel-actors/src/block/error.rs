//! Why a channel cannot go on, or cannot be opened. Whoever halts it says so in the words of this and its causes
//! ([`in_one_line`](ledger_classes::primitives::causes::in_one_line)).

use crate::store::StoreError;
use ledger_classes::chain::{ExecutionError, Invalid};
use ledger_classes::formats::block::BlockError;
use ledger_classes::formats::config::ConfigError;
use ledger_classes::primitives::codec::DecodeError;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::state::view::ReadError;
use std::path::PathBuf;

/// What is wrong with a channel's files, with its blocks, or between the two.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A block breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A channel cannot begin with this configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A stored block is not whole.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A folder of blocks in plain files cannot be read.
    #[error(transparent)]
    Folder(#[from] super::folder::BlockFolderError),
    /// It is wrong at this height.
    #[error("block {0}")]
    At(u64, #[source] Box<ChannelError>),
    /// It is wrong in the state that reflects this height.
    #[error("the state at height {0}")]
    StateAt(u64, #[source] Box<ChannelError>),
    /// It is wrong in the tree over the state that reflects this height.
    #[error("the tree over the state at height {0}")]
    TreeAt(u64, #[source] Box<ChannelError>),
    /// The log has no first block.
    #[error("the log holds no genesis block")]
    NoGenesis,
    /// The log has no block where it should.
    #[error("it is missing")]
    BlockMissing,
    /// The log has a block without its receipts.
    #[error("its receipts are missing")]
    ReceiptsMissing,
    /// The log's receipts of a block are fewer than its transactions.
    #[error("one of its receipts is missing")]
    ReceiptMissing,
    /// The log's bytes of receipts do not read.
    #[error("stored receipts")]
    Receipts(#[source] DecodeError),
    /// The log's index of header hashes names another block.
    #[error("the index of header hashes has another hash")]
    OtherHash,
    /// The transaction index does not lead to a block that holds the transaction.
    #[error("the index does not find transaction {0} there")]
    NotIndexed(Hash),
    /// A transaction that was taken before is in no block.
    #[error("the index forgot transaction {0}")]
    Forgotten(Hash),
    /// A stored node of the history tree is another one than that of the headers.
    #[error("history node {level}/{index} does not follow from the headers")]
    HistoryNode {
        /// Level above the leaves.
        level: u8,
        /// Position in its level.
        index: u64,
    },
    /// Executing every block gives another tree.
    #[error("it differs from that of executing every block")]
    TreeDiffers,
    /// Executing every block gives another value, or none, at this key.
    #[error("it differs from that of executing every block, at key {}", hex(.0))]
    StateDiffers(Vec<u8>),
    /// The state would take too much memory, and may not be written.
    #[error(
        "its state is further behind its log than memory may be used for, and the disk is read-only: have it opened \
         once on one that is not"
    )]
    BehindOnReadOnly,
    /// The state is behind the log, and may not be written.
    #[error("its state is behind its log, and the disk is read-only")]
    Behind,
    /// The state cannot be read, and may not be made again.
    #[error("its state is broken ({0}), and the disk is read-only")]
    StateOnReadOnly(String),
    /// The log is sound, and the state is not.
    #[error("the log is sound up to height {height}, but the state is not: {why}; it is rebuilt when the peer starts")]
    StateBroken {
        /// Last height of the log.
        height: u64,
        /// What is wrong with the state.
        why: String,
    },
    /// The files of another channel.
    #[error("these are blocks of the channel {is}, not of {expected}")]
    OtherChannel {
        /// Its name.
        is: String,
        /// The name that they were kept as.
        expected: String,
    },
    /// A folder that has another channel's name.
    #[error("its folder holds the channel {0}")]
    OtherFolder(String),
    /// What was suspended is not what its log holds.
    #[error(
        "it was suspended as channel {} at block {} {}, and its log holds channel {} with block {} {}",
        .0.0, .0.1, .0.2, .1.0, .1.1, .1.2
    )]
    OtherTip(Box<(Hash, u64, Hash)>, Box<(Hash, u64, Hash)>),
    /// What was suspended had another configuration.
    #[error("its configuration is not the one with which it was suspended")]
    OtherConfiguration,
    /// Two openings at a time.
    #[error("it was opened twice")]
    OpenedTwice,
    /// The peer is not among those who order the channel.
    #[error("this peer does not order the channel")]
    NotAmongOrderers,
    /// The program has no such ordering engine.
    #[error("this build orders with the engine solo")]
    NoEngine,
    /// Its ordering engine cannot begin.
    #[error("its ordering engine cannot begin: {0}")]
    Ordering(String),
    /// Something that its opening needs is there already.
    #[error("{} exists", .0.display())]
    Exists(PathBuf),
    /// A directory could not be made, removed or renamed.
    #[error("{}", .0.display())]
    Directory(PathBuf, #[source] std::io::Error),
    /// What is ended on the channel cannot be told.
    #[error("what it has ended cannot be read")]
    NoMarks,
    /// The peer ends.
    #[error("its opening was abandoned")]
    Abandoned,
    /// The peer can open no more files.
    #[error("opening failed: {0}")]
    NotNow(String),
    /// Its store could not be opened, or its blocks not be executed again.
    #[error("opening failed")]
    Opening(#[source] Box<ChannelError>),
    /// The work panicked.
    #[error("{0}")]
    Panicked(String),
}

impl ChannelError {
    /// With the height where it is wrong.
    pub(crate) fn at(self, height: u64) -> Self {
        Self::At(height, Box::new(self))
    }
}

impl From<ExecutionError> for ChannelError {
    fn from(error: ExecutionError) -> Self {
        match error {
            ExecutionError::Read(error) => Self::Read(error),
            ExecutionError::Invalid(reason) => Self::Invalid(reason),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An error with its causes in one line.
pub(crate) fn in_full(error: impl std::error::Error) -> String {
    ledger_classes::primitives::causes::in_one_line(&error)
}
