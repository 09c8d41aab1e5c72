//! What the log is given of a block.

use bytes::Bytes;
use ledger_classes::primitives::hash::Hash;

/// First byte of every record of the log.
pub(in crate::store) const FORMAT: u8 = 2;

/// What one block adds to the log, encoded already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockRecord {
    /// Its height: the next one of the log.
    pub height: u64,
    /// Hash of its header: its leaf in the history tree.
    pub header_hash: Hash,
    /// Its bytes, seal included.
    pub block: Bytes,
    /// Its receipts' bytes.
    pub receipts: Bytes,
}
