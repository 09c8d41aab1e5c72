//! Why a transaction is not taken, at the door or for a block.

use crate::limits::RETRY_AFTER_MS;
use crate::store::{DiskTrouble, DiskUse};
use ledger_classes::formats::detail::Detail;
use ledger_classes::formats::outcome::ResultCode;
use ledger_classes::formats::transaction::TransactionError;

/// Why a transaction was not taken. Nothing of it is recorded.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SubmitRefusal {
    /// Its form, time or signatures are wrong.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// It would fail for the sender's standing on this channel.
    #[error("{}: {}", .code.name(), .detail.words(*.code))]
    Rejected {
        /// What execution would answer.
        code: ResultCode,
        /// What the code leaves open.
        detail: Detail,
    },
    /// The channel holds as much as it may.
    #[error("the channel is busy, retry in {retry_after_ms} ms")]
    Busy {
        /// When to retry.
        retry_after_ms: u64,
    },
    /// The disk takes no writes now.
    #[error("{0}")]
    Disk(DiskTrouble),
    /// The channel's part of the disk is used up.
    #[error("{0}")]
    ChannelFull(DiskUse),
    /// Its time is over by this peer's clock, and the blocks that are here do not tell yet whether it is in one: ask for the
    /// id later.
    #[error("its time is over, and whether it is in a block is not known here yet")]
    OutcomeUnknown,
    /// The channel stopped before the outcome was known: ask for the id later.
    #[error("the channel does not serve: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
}

impl SubmitRefusal {
    /// The refusal at a full pipeline.
    pub const BUSY: Self = Self::Busy { retry_after_ms: RETRY_AFTER_MS };

    /// The stable name of what is wrong with the transaction, if something is.
    pub(crate) const fn name(&self) -> Option<&'static str> {
        match self {
            Self::Transaction(error) => Some(error.name()),
            Self::Rejected { code, .. } => Some(code.name()),
            Self::ChannelFull(_) => Some("channel-full"),
            Self::Busy { .. } | Self::Disk(_) | Self::OutcomeUnknown | Self::Stopped { .. } => None,
        }
    }
}
