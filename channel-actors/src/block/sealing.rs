//! How a block comes to its seal on the way to the disk. Never here: a block of which nobody has asked whether its seal makes
//! it final.

use crate::block::key_cache::with_keys;
use ledger_classes::chain::{ExecutedBlock, Invalid};
use ledger_classes::formats::block::{Block, Seal};
use ledger_classes::keys::SigningKey;

/// How a block is sealed. If that does not make it final by the rules of the chain, the channel halts, and nobody is told of the
/// block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sealing {
    /// By this peer alone. Its key signs the block as it goes to the disk, so that signature need not be verified.
    Alone,
    /// By these signatures; each is verified, this peer's own as well.
    Signed(Seal),
}

impl Sealing {
    /// The block with its seal, as the log will hold it; refused if it is not sealed by those who may.
    pub(crate) fn seal(self, executed: &ExecutedBlock, key: &SigningKey) -> Result<Block, Invalid> {
        match self {
            Self::Alone => executed.sealed_alone(key),
            Self::Signed(seal) => with_keys(|keys| executed.sealed(seal, keys)),
        }
    }
}
