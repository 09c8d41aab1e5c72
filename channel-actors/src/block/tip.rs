//! Where a channel's chain ends.

use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;

/// The last committed block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tip {
    /// Its height.
    pub height: u64,
    /// Its header's hash.
    pub hash: Hash,
    /// Its time.
    pub time: Time,
}
