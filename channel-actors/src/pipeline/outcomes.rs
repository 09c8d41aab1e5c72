//! Answers for ids that may have been taken before: whoever sends a transaction again gets the outcome that it has, also
//! when it would be refused today. A refusal needs certainty: the collector knows what is under way, and what is not
//! there any more is in the index.
//!
//! Runs on reading threads, in the channel's turn, with one block's receipts a job: they may be many times the block,
//! and whoever has had transactions committed can send thousands of them again. Bounded by the credits it holds.

use crate::block::encoding::decode_receipts;
use crate::block::error::ChannelError;
use crate::block::refusal::SubmitRefusal;
use crate::pipeline::answer::SubmitResult;
use crate::pipeline::submission::{Credit, Waiter};
use crate::store::ChannelStore;
use ledger_classes::formats::receipt::Receipt;
use ledger_classes::primitives::hash::Hash;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Somebody who waits for the outcome of an id.
pub(crate) struct OutcomeLookup {
    pub(crate) id: Hash,
    pub(crate) waiter: Waiter,
    pub(crate) credit: Credit,
    /// The answer if it was never committed; `None` if it is known to be.
    pub(crate) refusal: Option<SubmitRefusal>,
}

/// Those whose transactions are in one block, with the positions of their receipts.
pub(crate) struct Found {
    height: u64,
    those: Vec<(u32, OutcomeLookup)>,
}

/// Refuses what was never committed, by stable names; the others are to be told. Blocking.
pub(crate) fn sort(
    store: &ChannelStore,
    lookups: Vec<OutcomeLookup>,
) -> Result<(Vec<&'static str>, Vec<Found>), ChannelError> {
    let ids: Vec<Hash> = lookups.iter().map(|lookup| lookup.id).collect();
    let places = store.transactions(&ids)?;
    let (mut refused, mut found) = (Vec::new(), BTreeMap::<u64, Vec<_>>::new());
    for (lookup, place) in lookups.into_iter().zip(places) {
        match (place, lookup.refusal) {
            (Some((height, index)), refusal) => {
                found.entry(height).or_default().push((index, OutcomeLookup { refusal, ..lookup }));
            }
            (None, Some(refusal)) => {
                refused.extend(refusal.name());
                lookup.waiter.refuse(Some(lookup.id), refusal);
            }
            (None, None) => return Err(ChannelError::Forgotten(lookup.id)),
        }
    }
    Ok((refused, found.into_iter().map(|(height, those)| Found { height, those }).collect()))
}

/// Tells those of one block their receipts. Blocking.
pub(crate) fn tell(store: &ChannelStore, Found { height, those }: Found) -> Result<(), ChannelError> {
    let bytes = store.receipts(height)?;
    let receipts = decode_receipts(&bytes.ok_or_else(|| ChannelError::ReceiptsMissing.at(height))?)?;
    let mut wanted: HashMap<u32, Option<Arc<Receipt>>> = those.iter().map(|(index, _)| (*index, None)).collect();
    for (index, receipt) in (0u32..).zip(receipts) {
        if let Some(place) = wanted.get_mut(&index) {
            *place = Some(Arc::new(receipt));
        }
    }
    for (index, OutcomeLookup { id, waiter, .. }) in those {
        let receipt = wanted.get(&index).cloned().flatten().ok_or_else(|| ChannelError::ReceiptMissing.at(height))?;
        waiter.resolve(SubmitResult::Committed { id, receipt });
    }
    Ok(())
}
