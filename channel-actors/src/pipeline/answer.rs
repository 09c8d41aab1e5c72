//! What a caller is told of a transaction that it submitted.

use crate::block::refusal::SubmitRefusal;
use ledger_classes::formats::receipt::Receipt;
use ledger_classes::primitives::hash::Hash;
use std::sync::Arc;

/// When a caller wants its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Once verified and waiting for a block.
    Accepted,
    /// Once in a final block on disk.
    Committed,
}

/// What became of one submitted transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmitResult {
    /// Verified; only for [`Wait::Accepted`].
    Accepted {
        /// Its id.
        id: Hash,
    },
    /// In a final block, now or long ago.
    Committed {
        /// Its id.
        id: Hash,
        /// Its receipt.
        receipt: Arc<Receipt>,
    },
    /// Not taken.
    Refused {
        /// Its id, if it could be read.
        id: Option<Hash>,
        /// Why.
        refusal: SubmitRefusal,
    },
}
