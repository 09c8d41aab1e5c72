//! What a valid block is. Whoever makes a block ([`draft`]) and whoever is given one ([`check`]: replay, offline
//! verification, a follower) go through the same function; nothing else builds or accepts one.
//!
//! The rules: the block follows its parent ([`check_link`]); its proposer orders the channel; it is within the
//! channel's limits of the configuration in force; every id is in one block for ever; every transaction is inside its
//! time window at block time, is signed, vouched for as the policy of witnesses asks, and fits the budget that those
//! before it left; it does something; executing it gives every root and number of its header; whoever may seal has
//! sealed it. Each has a reason of its own in [`Invalid`].
//!
//! No rule asks a clock: whether a block is ahead of somebody's is for that one to wait for.
//!
//! Relations that always hold: what [`draft`] makes, [`check`] accepts, with an equal result; a block that is refused
//! leaves nothing; the seal is outside of what is hashed.

mod above;
mod batches;
mod execute;
mod genesis;
mod history;
mod ids;
mod invalid;
mod seal;
mod sift;
#[cfg(test)]
pub(crate) mod tests;

pub use above::{Above, ExecutionError, check_rules};
pub use execute::{Draft, Drafted, ExecutedBlock, Given, check, draft, verify_transactions};
pub use genesis::{Genesis, check_genesis, genesis};
pub use history::{Checked, History};
pub use ids::{CommittedIds, RecentIds};
pub use invalid::Invalid;
pub use seal::check_seal;
pub use sift::{Left, Refused};

use crate::formats::block::{BLOCK_VERSION, Block, Header};
use crate::merkle::CompactRange;
use crate::primitives::hash::Hash;
use crate::primitives::time::Time;

/// The block that the next one follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The channel's id.
    pub channel: Hash,
    /// Its height.
    pub height: u64,
    /// Its header's hash.
    pub hash: Hash,
    /// Its time.
    pub time: Time,
    /// Root over the hashes of all headers up to its own.
    pub history_root: Hash,
    /// Hash of who may seal the block above it.
    pub orderers_root: Hash,
}

impl Parent {
    /// The block with this header; `history` is the tree over all headers up to it.
    pub fn of(header: &Header, hash: Hash, history: &CompactRange) -> Self {
        let channel = if header.height == 0 { hash } else { header.channel };
        let Header { height, time, orderers_root, .. } = *header;
        Self { channel, height, hash, time, history_root: history.root(), orderers_root }
    }

    /// The time of a block above this one, by its proposer's clock: never before this one's, whatever the clock does.
    pub fn time_at(&self, now: Time) -> Time {
        now.max(self.time)
    }
}

/// A block from its bytes.
pub fn decode(bytes: &[u8]) -> Result<Block, Invalid> {
    match bytes.first_chunk().map(|version| u16::from_le_bytes(*version)) {
        // Of another version nothing else need be as this build knows it.
        Some(version) if version != BLOCK_VERSION => Err(Invalid::Version { version }),
        _ => Block::decode(bytes).map_err(|_| Invalid::Malformed),
    }
}

/// Whether a header follows `parent`: its link, the root of all headers before it, its time.
pub fn check_link(parent: &Parent, header: &Header) -> Result<(), Invalid> {
    if header.version != BLOCK_VERSION {
        return Err(Invalid::Version { version: header.version });
    }
    if header.channel != parent.channel {
        return Err(Invalid::OtherChannel { channel: header.channel });
    }
    if header.height != parent.height + 1 {
        return Err(Invalid::Height { expected: parent.height + 1, height: header.height });
    }
    if header.previous != parent.hash {
        return Err(Invalid::Previous { expected: parent.hash, previous: header.previous });
    }
    if header.history_root != parent.history_root {
        return Err(Invalid::HistoryRoot);
    }
    if header.time < parent.time {
        return Err(Invalid::TimeGoesBack { parent: parent.time, time: header.time });
    }
    Ok(())
}
