//! Who must have verified a block's transactions before they are executed.

use crate::primitives::codec::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// Who vouches that a block's transactions were verified, before they are executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Witnesses {
    /// Whoever proposes a block, for its own; nothing is signed but the block.
    #[default]
    Own,
    /// As many ordering peers as seal a block.
    Quorum,
    /// Every ordering peer.
    All,
}

impl Witnesses {
    /// The word in JSON.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Quorum => "quorum",
            Self::All => "all",
        }
    }
}
