//! Every id once for ever: what a rule asks of a channel's index.

use crate::formats::transaction::VerifiedTransaction;
use crate::primitives::hash::Hash;
use crate::primitives::time::Time;
use crate::state::view::ReadError;
use std::collections::BTreeSet;

/// The ids that are in a chain up to some block.
pub trait CommittedIds {
    /// Whether the chain has each of these, in their order.
    fn have(&self, transactions: &[VerifiedTransaction]) -> Result<Vec<bool>, ReadError>;
}

/// Ids of a chain that is walked from its genesis on, for whoever keeps no index. An id includes the end of its time window,
/// after which no block can hold it: those whose window has passed in block time are forgotten.
#[derive(Clone, Debug, Default)]
pub struct RecentIds(BTreeSet<(Time, Hash)>);

impl RecentIds {
    /// Takes the ids of a block, each with the end of its window, and forgets those that can come no more.
    pub fn take(&mut self, block_time: Time, ids: impl IntoIterator<Item = (Time, Hash)>) {
        self.0.extend(ids);
        while self.0.first().is_some_and(|(until, _)| *until < block_time) {
            self.0.pop_first();
        }
    }
}

impl CommittedIds for RecentIds {
    fn have(&self, transactions: &[VerifiedTransaction]) -> Result<Vec<bool>, ReadError> {
        let has = |one: &VerifiedTransaction| self.0.contains(&(one.transaction().valid_until, one.id()));
        Ok(transactions.iter().map(has).collect())
    }
}
