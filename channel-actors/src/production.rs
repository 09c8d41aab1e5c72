//! The work behind the acceptor, on store threads: execute a block above those that are under way, and persist one
//! that is final. Blocking functions of their arguments; the acceptor decides what runs when.

use crate::committed::CommittedBlock;
use crate::needs;
use crate::store::{BlockRecord, ChannelStore, Pressure, Room, Share};
use crate::ticket::SubmitRefusal;
use ledger_classes::block::{self, BLOCK_VERSION, Block, Header, Seal};
use ledger_classes::codec;
use ledger_classes::execution::{self, BlockInput, ConfigRecord, Drafted, Fate};
use ledger_classes::hash::Hash;
use ledger_classes::keys::Address;
use ledger_classes::limits::BLOCK_RECEIPTS_ENCODED_BYTES_MAX;
use ledger_classes::merkle;
use ledger_classes::participant::CertificatePaths;
use ledger_classes::receipt::Receipt;
use ledger_classes::state::{Overlay, ReadError, ReadView, Writes};
use ledger_classes::time::Time;
use ledger_classes::transaction::VerifiedTransaction;
use std::collections::HashMap;
use std::sync::Arc;

/// A block that was executed and is not yet on disk.
pub(crate) struct ExecutedBlock {
    pub(crate) header: Header,
    pub(crate) hash: Hash,
    pub(crate) envelopes: Arc<Vec<Vec<u8>>>,
    pub(crate) receipts: Vec<Arc<Receipt>>,
    pub(crate) writes: Writes,
    /// Ids of its transactions with their receipts' positions.
    pub(crate) ids: HashMap<Hash, u32>,
    /// When the next timer is due, above this block.
    pub(crate) next_timer: Option<Time>,
    /// The configuration, if this block changed it.
    pub(crate) config: Option<Arc<ConfigRecord>>,
}

/// Where a block is to be executed.
pub(crate) struct Execution {
    pub(crate) channel: Hash,
    pub(crate) store: ChannelStore,
    pub(crate) share: Share,
    pub(crate) certificates: Arc<dyn CertificatePaths>,
    pub(crate) proposer: Address,
    pub(crate) height: u64,
    pub(crate) previous: Hash,
    pub(crate) time: Time,
    pub(crate) history_root: Hash,
    /// Blocks executed and not yet applied, ascending.
    pub(crate) above: Vec<Arc<ExecutedBlock>>,
}

/// Transactions of a block to be, parted.
#[derive(Default)]
struct Sorted {
    fresh: Vec<VerifiedTransaction>,
    known: Vec<(Hash, Arc<Receipt>)>,
    committed: Vec<Hash>,
}

/// What came of executing.
pub(crate) struct ExecutionResult {
    /// The block; `None` if nothing was left to do.
    pub(crate) block: Option<Arc<ExecutedBlock>>,
    /// Transactions in blocks that were not on disk yet, with their receipts.
    pub(crate) known: Vec<(Hash, Arc<Receipt>)>,
    /// Transactions that were committed before.
    pub(crate) committed: Vec<Hash>,
    /// What became of what was offered for it.
    pub(crate) offered: Offered,
}

/// What became of what was offered for a block.
#[derive(Default)]
pub(crate) struct Offered {
    /// What each of those cost that were executed, as in [`Drafted`].
    pub(crate) costs: Vec<(Hash, u64)>,
    /// What may not be in a block now: it leaves nothing, and whoever waits is told.
    pub(crate) dropped: Vec<(Hash, SubmitRefusal)>,
    /// What comes first in the next block, in order: this one had used its budget.
    pub(crate) deferred: Vec<VerifiedTransaction>,
}

/// A view above blocks that are not applied yet. Blocks that were applied since are skipped; those that are kept
/// hold values equal to what applying them writes, so it does not matter when exactly they are.
fn with_view<T>(
    store: &ChannelStore,
    above: &[Arc<ExecutedBlock>],
    work: impl FnOnce(&dyn ReadView) -> Result<T, String>,
) -> Result<T, String> {
    let view = store.view().map_err(in_full)?;
    let applied = view.height();
    let above: Vec<_> =
        above.iter().filter(|block| applied.is_none_or(|height| block.header.height > height)).collect();
    match above.as_slice() {
        [] => work(&view),
        [one] => work(&Overlay::new(&view, &one.writes)),
        more => {
            let mut writes = Writes::new();
            for block in more {
                writes.extend(block.writes.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
            work(&Overlay::new(&view, &writes))
        }
    }
}

impl Execution {
    /// Executes. An error halts the channel.
    pub(crate) fn run(self, transactions: Vec<VerifiedTransaction>) -> Result<ExecutionResult, String> {
        let Sorted { fresh, known, committed } = self.sort_out(transactions)?;
        let (fresh, full) = self.part_of_disk(fresh);
        let read = |error: ReadError| error.to_string();
        with_view(&self.store, &self.above, |view| {
            let due = execution::next_timer(view).map_err(read)?;
            let idle = due.is_none_or(|due| due > self.time);
            if fresh.is_empty() && idle {
                let offered = Offered { dropped: full, ..Offered::default() };
                return Ok(ExecutionResult { block: None, known, committed, offered });
            }
            let input = BlockInput {
                channel: self.channel,
                height: self.height,
                time: self.time,
                certificates: &*self.certificates,
                transactions: &fresh,
            };
            let Drafted { executed, fates, costs } = execution::draft(view, &input).map_err(read)?;
            let costs = fresh.iter().map(VerifiedTransaction::id).zip(costs).collect();
            let (fresh, parted) = part(fresh, fates);
            let mut offered = Offered { costs, ..parted };
            offered.dropped.extend(full);
            if fresh.is_empty() && idle {
                return Ok(ExecutionResult { block: None, known, committed, offered });
            }
            let leaves: Vec<Hash> = fresh.iter().map(VerifiedTransaction::leaf).collect();
            let ids = fresh.iter().enumerate();
            let ids = ids.map(|(place, transaction)| (transaction.id(), executed.timers + count(place))).collect();
            let envelopes: Vec<Vec<u8>> = fresh.into_iter().map(VerifiedTransaction::into_envelope).collect();
            let header = Header {
                version: BLOCK_VERSION,
                channel: self.channel,
                height: self.height,
                previous: self.previous,
                time: self.time,
                transaction_root: merkle::root(&leaves),
                receipt_root: merkle::root(&block::receipt_leaves(&executed.receipts)),
                writes_root: block::writes_root(&executed.writes),
                history_root: self.history_root,
                config_height: executed.config_height,
                proposer: self.proposer,
                transactions: count(envelopes.len()),
                receipts: count(executed.receipts.len()),
            };
            let next_timer = execution::next_timer(&Overlay::new(view, &executed.writes)).map_err(read)?;
            let config = execution::config_in(&executed.writes, self.height).map_err(read)?.map(Arc::new);
            let block = ExecutedBlock {
                hash: header.hash(),
                header,
                envelopes: Arc::new(envelopes),
                receipts: executed.receipts.into_iter().map(Arc::new).collect(),
                writes: executed.writes,
                ids,
                next_timer,
                config,
            };
            Ok(ExecutionResult { block: Some(Arc::new(block)), known, committed, offered })
        })
    }

    /// Parts what the channel's part of the disk has no room for: some becomes many times what it was counted for at the door.
    fn part_of_disk(&self, fresh: Vec<VerifiedTransaction>) -> (Vec<VerifiedTransaction>, Vec<(Hash, SubmitRefusal)>) {
        let (room, used) = self.share.room(self.store.waiting_bytes());
        if room == Room::All {
            return (fresh, Vec::new());
        }
        // How large an act may be was asked at the door.
        let needs = |one: &VerifiedTransaction| needs::room(&one.transaction().actions, 0, false);
        let (full, fresh): (Vec<_>, Vec<_>) = fresh.into_iter().partition(|one| needs(one) == Room::All);
        (fresh, full.into_iter().map(|one| (one.id(), SubmitRefusal::ChannelFull(used))).collect())
    }

    /// Parts transactions that were committed before, or are in a block under way, from the others.
    fn sort_out(&self, transactions: Vec<VerifiedTransaction>) -> Result<Sorted, String> {
        let ids: Vec<Hash> = transactions.iter().map(VerifiedTransaction::id).collect();
        let committed = self.store.transactions(&ids).map_err(in_full)?;
        let mut sorted = Sorted { fresh: Vec::with_capacity(transactions.len()), ..Sorted::default() };
        for (transaction, committed) in transactions.into_iter().zip(committed) {
            let id = transaction.id();
            let above = self.above.iter().find_map(|block| block.receipts.get(*block.ids.get(&id)? as usize));
            if let Some(receipt) = above {
                sorted.known.push((id, receipt.clone()));
            } else if committed.is_some() {
                sorted.committed.push(id);
            } else {
                sorted.fresh.push(transaction);
            }
        }
        Ok(sorted)
    }
}

/// Parts what is in a block from what is not.
fn part(transactions: Vec<VerifiedTransaction>, fates: Vec<Fate>) -> (Vec<VerifiedTransaction>, Offered) {
    if fates.iter().all(|fate| *fate == Fate::Included) {
        return (transactions, Offered::default());
    }
    let (mut included, mut offered) = (Vec::with_capacity(transactions.len()), Offered::default());
    for (transaction, fate) in transactions.into_iter().zip(fates) {
        match fate {
            Fate::Included => included.push(transaction),
            Fate::Dropped { code, message } => {
                offered.dropped.push((transaction.id(), SubmitRefusal::Rejected { code, message }));
            }
            Fate::Deferred => offered.deferred.push(transaction),
        }
    }
    (included, offered)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).expect("a block's transactions and timers are limited")
}

/// Encodes receipts as the log holds them.
pub(crate) fn encode_receipts(receipts: &[Arc<Receipt>]) -> Vec<u8> {
    // The form of `Vec<Receipt>`, without cloning the receipts.
    let mut bytes = Vec::with_capacity(receipts.len() * 256 + 8);
    codec::encode_into(&(receipts.len() as u64), &mut bytes);
    receipts.iter().for_each(|receipt| codec::encode_into(&**receipt, &mut bytes));
    bytes
}

/// Decodes the receipts of a block as the log holds them.
pub(crate) fn decode_receipts(bytes: &[u8]) -> Result<Vec<Receipt>, String> {
    codec::decode(bytes, BLOCK_RECEIPTS_ENCODED_BYTES_MAX).map_err(|error| format!("stored receipts: {error}"))
}

/// What was persisted.
pub(crate) struct Persisted {
    pub(crate) block: Arc<CommittedBlock>,
    pub(crate) pressure: Pressure,
}

/// Puts a final block on disk, then makes its writes visible.
pub(crate) fn persist(store: &ChannelStore, executed: &ExecutedBlock, seal: Seal) -> Result<Persisted, String> {
    let block = Block { header: executed.header.clone(), transactions: executed.envelopes.clone(), seal };
    let record = BlockRecord {
        height: executed.header.height,
        header_hash: executed.hash,
        block: codec::encode(&block).into(),
        receipts: encode_receipts(&executed.receipts).into(),
    };
    store.append(&record).map_err(in_full)?;
    let ids: Vec<(Hash, u32)> = executed.ids.iter().map(|(id, index)| (*id, *index)).collect();
    let pressure = store.apply(executed.header.height, &executed.writes, &ids).map_err(in_full)?;
    let block = CommittedBlock::new(block, executed.hash, executed.receipts.clone());
    Ok(Persisted { block: Arc::new(block), pressure })
}

/// An error with its causes in one line.
pub(crate) fn in_full(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
