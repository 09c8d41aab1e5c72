//! The work behind the machine, on store threads: execute a block above those that are under way, append one that is final
//! to the log, apply it to the state. Blocking functions of their arguments; the machine decides what runs when, and what
//! may be in a block is decided in [`ledger_classes::chain`].

use crate::block::committed::CommittedBlock;
use crate::block::disk_needs;
use crate::block::encoding::encode_receipts;
use crate::block::error::{ChannelError, in_full};
use crate::block::key_cache::with_keys;
use crate::block::refusal::SubmitRefusal;
use crate::runtime::mutants::{Mutant, planted};
use crate::store::{BlockRecord, ChannelStore, DiskQuota, DiskUse, NoRoom, Pressure, Room, StoreError};
use ledger_classes::chain::{
    self, Above, CommittedIds, Draft, Drafted, ExecutedBlock, ExecutionError, Given, Left, Parent, Refused,
};
use ledger_classes::formats::blinding::BlindingSeed;
use ledger_classes::formats::block::{Block, WitnessedBatch};
use ledger_classes::formats::transaction::VerifiedTransaction;
use ledger_classes::keys::Address;
use ledger_classes::primitives::codec;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use ledger_classes::state::participant::CertificatePaths;
use ledger_classes::state::tree::{Pages, StateTree};
use ledger_classes::state::view::{Overlay, ReadError, ReadView, Writes};
use std::sync::Arc;

/// Where a block is to be executed.
pub(crate) struct Execution {
    pub(crate) store: ChannelStore,
    pub(crate) quota: DiskQuota,
    pub(crate) certificates: Arc<dyn CertificatePaths>,
    pub(crate) proposer: Address,
    /// With the witnesses of what is offered.
    pub(crate) batches: Vec<WitnessedBatch>,
    pub(crate) parent: Parent,
    pub(crate) time: Time,
    /// What the block is blinded with, drawn for it alone.
    pub(crate) seed: BlindingSeed,
    /// Blocks executed and not yet applied, ascending.
    pub(crate) above: Vec<Arc<ExecutedBlock>>,
}

/// What came of executing.
#[derive(Default)]
pub(crate) struct ExecutionResult {
    /// The block; `None` if nothing was left to do.
    pub(crate) block: Option<Arc<ExecutedBlock>>,
    /// Transactions that were committed before.
    pub(crate) committed: Vec<Hash>,
    /// What became of what was offered for it.
    pub(crate) offered: Offered,
    /// All of it, if it waits for a checkpoint: then nothing was executed.
    pub(crate) held: Vec<VerifiedTransaction>,
}

/// What became of what was offered for a block.
#[derive(Default)]
pub(crate) struct Offered {
    /// What each of those cost that were executed, as in [`Left`].
    pub(crate) costs: Vec<(Hash, u64)>,
    /// What may not be in a block now: it leaves nothing, and whoever waits is told.
    pub(crate) dropped: Vec<(Hash, SubmitRefusal)>,
    /// Deferred transactions, first in the next block, in order: this one was full, or had used its budget.
    pub(crate) deferred: Vec<VerifiedTransaction>,
}

/// The ids of a channel: its index, and blocks that are not in it yet.
pub(crate) struct Ids<'a> {
    pub(crate) store: &'a ChannelStore,
    pub(crate) above: &'a [Arc<ExecutedBlock>],
}

impl CommittedIds for Ids<'_> {
    fn have(&self, transactions: &[VerifiedTransaction]) -> Result<Vec<bool>, ReadError> {
        if planted(Mutant::DuplicateLetThrough) {
            return Ok(vec![false; transactions.len()]);
        }
        let ids: Vec<Hash> = transactions.iter().map(VerifiedTransaction::id).collect();
        let committed = self.store.transactions(&ids).map_err(|error| ReadError(in_full(error)))?;
        let above = |id: &Hash| self.above.iter().any(|block| block.receipt_of(id).is_some());
        Ok(ids.iter().zip(committed).map(|(id, committed)| committed.is_some() || above(id)).collect())
    }
}

/// A view above blocks that are not applied yet. Blocks that were applied since are skipped; those that are kept
/// hold values equal to what applying them writes, so it does not matter when exactly they are.
fn with_view<T>(
    store: &ChannelStore,
    above: &[Arc<ExecutedBlock>],
    work: impl FnOnce(&dyn ReadView, &StateTree, &dyn Pages) -> Result<T, ChannelError>,
) -> Result<T, ChannelError> {
    let tree = above.last().map(|block| store.bounded(&block.tree));
    let view = store.view()?;
    let tree = tree.unwrap_or_else(|| view.tree().clone());
    let applied = view.height();
    let above: Vec<_> =
        above.iter().filter(|block| applied.is_none_or(|height| block.header.height > height)).collect();
    match above.as_slice() {
        [] => work(&view, &tree, &view),
        [one] => work(&Overlay::new(&view, &one.writes), &tree, &view),
        more => {
            let mut writes = Writes::new();
            for block in more {
                writes.extend(block.writes.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
            work(&Overlay::new(&view, &writes), &tree, &view)
        }
    }
}

impl Execution {
    /// Executes. An error halts the channel.
    pub(crate) fn run(self, transactions: Vec<VerifiedTransaction>) -> Result<ExecutionResult, ChannelError> {
        let Self { store, quota, certificates, proposer, batches, parent, time, seed, above } = self;
        let ids = &Ids { store: &store, above: &above };
        let (transactions, full) = match quota.room(store.waiting_bytes()) {
            Ok(()) => (transactions, Vec::new()),
            // What was accepted is not given up for what may be: the files tell when all is written.
            Err(NoRoom::Soon) if transactions.iter().any(is_of_all) => {
                return Ok(ExecutionResult { held: transactions, ..ExecutionResult::default() });
            }
            Err(NoRoom::Soon) => (transactions, Vec::new()),
            Err(NoRoom::Full(used)) => without_room(ids, used, transactions)?,
        };
        let Drafted { block, left } = with_view(&store, &above, |view, tree, pages| {
            let above = Above { parent: &parent, view, tree, pages, ids, certificates: &*certificates };
            chain::draft(&above, Draft { proposer, time, seed, transactions, batches }).map_err(ChannelError::from)
        })?;
        let Left { known: ids, refused, deferred, costs } = left;
        // What a block under way holds, or this one, is told with that block: its waiters are with the collector.
        let own = |id: &Hash| block.as_ref().is_some_and(|block| block.receipt_of(id).is_some());
        let under_way = |id: &Hash| above.iter().any(|block| block.receipt_of(id).is_some());
        let committed = ids.into_iter().filter(|id| !own(id) && !under_way(id)).collect();
        let refusal = |refused| match refused {
            Refused::Limits(error) => SubmitRefusal::Transaction(error),
            Refused::Execution { code, detail } => SubmitRefusal::Rejected { code, detail },
        };
        let dropped = refused.into_iter().map(|(id, refused)| (id, refusal(refused))).chain(full).collect();
        let offered = Offered { costs, dropped, deferred };
        Ok(ExecutionResult { block: block.map(Arc::new), committed, offered, held: Vec::new() })
    }
}

/// Where a block of another peer's is to be executed.
pub(crate) struct Checking {
    pub(crate) store: ChannelStore,
    pub(crate) certificates: Arc<dyn CertificatePaths>,
    pub(crate) parent: Parent,
    /// Unpredictable to senders.
    pub(crate) seed: [u8; 32],
    /// Blocks executed and not yet applied, ascending.
    pub(crate) above: Vec<Arc<ExecutedBlock>>,
}

impl Checking {
    /// Executes an encoded block. None if it is no valid one; an error halts the channel.
    pub(crate) fn run(self, block: &[u8]) -> Result<Option<Arc<ExecutedBlock>>, ChannelError> {
        let Self { store, certificates, parent, seed, above } = self;
        let ids = Ids { store: &store, above: &above };
        with_view(&store, &above, |view, tree, pages| {
            // First: of later rules a block may have a form that this build cannot read, and is none that it could refuse.
            chain::check_rules(view)?;
            let Ok(block) = chain::decode(block) else { return Ok(None) };
            let verified =
                with_keys(|keys| chain::verify_transactions(&block.transactions, parent.channel, seed, keys));
            let Ok(transactions) = verified else { return Ok(None) };
            let Block { header, batches, seed, .. } = &block;
            let above = Above { parent: &parent, view, tree, pages, ids: &ids, certificates: &*certificates };
            let given = Given { header, seed: *seed, seal: None, batches, transactions, receipts: None };
            match with_keys(|keys| chain::check(&above, given, keys)) {
                Ok(block) => Ok(Some(Arc::new(block))),
                Err(ExecutionError::Invalid(reason)) => {
                    tracing::warn!(height = header.height, %reason, "a block that a peer proposes is refused");
                    Ok(None)
                }
                Err(error) => Err(error.into()),
            }
        })
    }
}

/// What is refused, with why.
type Full = Vec<(Hash, SubmitRefusal)>;

/// Whether it is no act: how large that may be was asked at the door.
fn is_of_all(one: &VerifiedTransaction) -> bool {
    disk_needs::room(&one.transaction().actions, 0, false) == Room::All
}

/// Parts what finds the channel's part of the disk used up: some becomes many times what it was counted for at the door.
fn without_room(
    ids: &dyn CommittedIds,
    used: DiskUse,
    offered: Vec<VerifiedTransaction>,
) -> Result<(Vec<VerifiedTransaction>, Full), ChannelError> {
    // What has its outcome takes no room.
    let known = ids.have(&offered)?;
    let (full, fitting): (Vec<_>, Vec<_>) =
        offered.into_iter().zip(known).partition(|(one, known)| !known && is_of_all(one));
    let full = full.into_iter().map(|(one, _)| (one.id(), SubmitRefusal::ChannelFull(used))).collect();
    Ok((fitting.into_iter().map(|(one, _)| one).collect(), full))
}

/// Puts a final block in the log: on the disk when this returns.
pub(crate) fn append(
    store: &ChannelStore,
    executed: &ExecutedBlock,
    block: Block,
) -> Result<CommittedBlock, StoreError> {
    let record = BlockRecord {
        height: executed.header.height,
        header_hash: executed.hash,
        block: codec::encode(&block).into(),
        receipts: encode_receipts(&executed.receipts).into(),
    };
    store.append(&record)?;
    Ok(CommittedBlock::new(block, executed.hash, executed.receipts.clone()))
}

/// Makes the writes of a block in the log visible.
pub(crate) fn apply(store: &ChannelStore, executed: &ExecutedBlock) -> Result<Pressure, StoreError> {
    let ExecutedBlock { header, writes, ids, tree, .. } = executed;
    store.apply(header.height, writes, ids, tree)
}

#[cfg(test)]
mod tests;
