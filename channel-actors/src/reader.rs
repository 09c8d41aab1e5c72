//! Reading a channel: one consistent state, the log, and proofs made of both. Runs on the reading pool; a reader
//! lives for one request.

use crate::committed::CommittedBlock;
use crate::production::in_full;
use crate::store::{ChannelStore, StateView};
use ledger_classes::block::{Header, transaction_leaves};
use ledger_classes::codec;
use ledger_classes::event::Event;
use ledger_classes::hash::{Hash, HexBytes};
use ledger_classes::keyspace;
use ledger_classes::limits::TRUST_LINKS_MAX;
use ledger_classes::merkle;
use ledger_classes::proof::{
    EventProof, Evidence, LaterHeader, Proof, ReceiptProof, TransactionProof, Trust, TrustLink, part,
};
use ledger_classes::receipt::Receipt;
use ledger_classes::state::{ReadError, ReadView, Value};
use std::sync::Arc;

/// One consistent look at a channel.
pub struct Reader<'a> {
    view: StateView,
    store: &'a ChannelStore,
}

/// A committed transaction.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Its block.
    pub height: u64,
    /// Its receipt's position.
    pub index: u32,
    /// Its receipt.
    pub receipt: Arc<Receipt>,
}

fn broken(error: impl std::error::Error) -> ReadError {
    ReadError(in_full(error))
}

impl<'a> Reader<'a> {
    pub(crate) fn new(store: &'a ChannelStore) -> Result<Self, ReadError> {
        Ok(Self { view: store.view().map_err(broken)?, store })
    }

    /// The state.
    pub const fn view(&self) -> &StateView {
        &self.view
    }

    /// The height that everything here reflects.
    pub fn height(&self) -> u64 {
        self.view.height().unwrap_or_default()
    }

    /// A block, not above [`Self::height`].
    pub fn block(&self, height: u64) -> Result<Option<CommittedBlock>, ReadError> {
        if height > self.height() {
            return Ok(None);
        }
        load(self.store, height)
    }

    /// Where a transaction is. The index may be newer than the view: what lies above it is not there yet.
    fn place(&self, id: &Hash) -> Result<Option<(u64, u32)>, ReadError> {
        Ok(self.store.transaction(id).map_err(broken)?.filter(|(height, _)| *height <= self.height()))
    }

    /// A committed transaction.
    pub fn transaction(&self, id: &Hash) -> Result<Option<Committed>, ReadError> {
        let Some((height, index)) = self.place(id)? else { return Ok(None) };
        let Some(block) = load(self.store, height)? else { return Err(ReadError(format!("no block {height}"))) };
        let receipt = block.receipts.get(index as usize).cloned();
        let receipt = receipt.ok_or_else(|| ReadError(format!("no receipt {height}.{index}")))?;
        Ok(Some(Committed { height, index, receipt }))
    }

    /// The proof of a transaction, tied to the header at `later` if asked for; `None` if it is not committed or
    /// `later` is not a later height.
    pub fn proof(&self, id: &Hash, later: Option<u64>) -> Result<Option<Proof>, ReadError> {
        let Some((height, index)) = self.place(id)? else { return Ok(None) };
        let Some(block) = load(self.store, height)? else { return Ok(None) };
        let mut evidence = evidence(&block, index).ok_or_else(|| ReadError(format!("no receipt {height}.{index}")))?;
        let place = (index as usize).saturating_sub(block.timers());
        let path = merkle::inclusion_path(&transaction_leaves(&block.block.transactions), place as u64);
        evidence.transaction = Some(TransactionProof {
            envelope: HexBytes(block.block.transactions.get(place).cloned().unwrap_or_default()),
            index: u32::try_from(place).map_err(broken)?,
            path: path.map_err(broken)?,
        });
        let later = match later {
            None => None,
            Some(later) if later <= height || later > self.height() => return Ok(None),
            Some(later) => {
                let Some(block) = load(self.store, later)? else { return Ok(None) };
                let path = self.store.history_path(later, height).map_err(broken)?;
                Some(LaterHeader { header: part(&block.block.header), path })
            }
        };
        Ok(Some(Proof { version: 1, trust: self.trust(&block.block.header)?, evidence, later }))
    }

    /// The way from genesis to the configuration that rules `header`'s block, which is not above [`Self::height`].
    /// Of more than [`TRUST_LINKS_MAX`] changes the newest: enough for whoever trusts one of those headers, while an
    /// error here would say that the store is broken.
    pub fn trust(&self, header: &Header) -> Result<Trust, ReadError> {
        let genesis = self.store.block(0).map_err(broken)?.ok_or_else(|| ReadError("no genesis block".into()))?;
        let mut links = Vec::new();
        let mut height = header.config_height;
        while height > 0 && links.len() < TRUST_LINKS_MAX {
            let block = load(self.store, height)?.ok_or_else(|| ReadError(format!("no block {height}")))?;
            links.push(self.link(&block)?);
            height = block.block.header.config_height;
        }
        links.reverse();
        Ok(Trust { genesis: HexBytes(genesis.to_vec()), links })
    }

    /// The last configuration change in a block that made one.
    fn link(&self, block: &CommittedBlock) -> Result<TrustLink, ReadError> {
        let height = block.block.header.height;
        let missing = || ReadError(format!("block {height} changed no configuration"));
        for (index, receipt) in block.receipts.iter().enumerate().rev() {
            let events = receipt.decoded_events().map_err(broken)?;
            let last = events.iter().rposition(|event| matches!(event, Event::ChannelConfigured { .. }));
            if let Some(event) = last {
                let index = u32::try_from(index).map_err(broken)?;
                let evidence = event_evidence(block, index, u32::try_from(event).map_err(broken)?);
                let configuration: Value = self.view.get(&keyspace::config_at(height))?.ok_or_else(missing)?;
                return Ok(TrustLink {
                    evidence: evidence.ok_or_else(missing)?,
                    configuration: HexBytes(configuration.to_vec()),
                });
            }
        }
        Err(missing())
    }
}

/// Loads a block from the log.
pub(crate) fn load(store: &ChannelStore, height: u64) -> Result<Option<CommittedBlock>, ReadError> {
    let (Some(block), Some(receipts)) = (store.block(height).map_err(broken)?, store.receipts(height).map_err(broken)?)
    else {
        return Ok(None);
    };
    CommittedBlock::decode(&block, &receipts).map(Some).map_err(ReadError)
}

/// Evidence of a receipt; `None` if the block has no such receipt.
pub fn evidence(block: &CommittedBlock, index: u32) -> Option<Evidence> {
    let receipt = block.receipts.get(index as usize)?;
    let leaves: Vec<Hash> = block.receipts.iter().map(|receipt| receipt.leaf()).collect();
    debug_assert_eq!(leaves.len(), block.block.header.receipts as usize);
    let path = merkle::inclusion_path(&leaves, u64::from(index)).ok()?;
    Some(Evidence {
        header: part(&block.block.header),
        seal: part(&block.block.seal),
        receipt: ReceiptProof { head: HexBytes(codec::encode(&receipt.head)), path },
        transaction: None,
        event: None,
    })
}

/// Evidence of one event, without any other event; `None` if there is no such event.
pub fn event_evidence(block: &CommittedBlock, index: u32, event: u32) -> Option<Evidence> {
    let mut evidence = evidence(block, index)?;
    let receipt = block.receipts.get(index as usize)?;
    evidence.event = Some(EventProof {
        event: HexBytes(receipt.events.get(event as usize)?.clone()),
        index: event,
        path: receipt.event_path(u64::from(event))?,
    });
    Some(evidence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::production::encode_receipts;
    use crate::store::BlockRecord;
    use crate::test_support::{Bench, config};
    use ledger_classes::state::Writes;

    /// A transaction committed after the reader's view was taken was found by the index, and then missed in the view:
    /// that read as a broken store and halted the channel.
    #[test]
    fn what_was_committed_after_the_view_is_not_there_yet() {
        let bench = Bench::new(&config());
        let store = &bench.opened.store;
        let reader = Reader::new(store).expect("readable");
        let id = Hash([5; 32]);
        let record = BlockRecord {
            height: 1,
            header_hash: Hash([1; 32]),
            block: vec![1].into(),
            receipts: encode_receipts(&[]).into(),
        };
        store.append(&record).expect("appends");
        let _ = store.apply(1, &Writes::new(), &[(id, 0)]).expect("applies");
        assert!(matches!(reader.transaction(&id), Ok(None)));
        assert!(matches!(reader.proof(&id, None), Ok(None)));
        assert!(matches!(reader.block(1), Ok(None)));
        drop(reader);
        assert_eq!(Reader::new(store).expect("readable").place(&id), Ok(Some((1, 0))));
    }
}
