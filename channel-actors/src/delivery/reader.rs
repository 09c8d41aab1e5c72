//! Reading a channel: one consistent state, the log, and proofs made of both. Runs on the reading pool; a reader
//! lives for one request.

use crate::block::committed::CommittedBlock;
use crate::block::error::in_full;
use crate::delivery::shared::Shared;
use crate::store::{ChannelStore, StateView};
use bytes::Bytes;
use ledger_classes::execution;
use ledger_classes::formats::blinding::Blinded;
use ledger_classes::formats::proof::{
    DetailProof, EventProof, Evidence, LaterHeader, Proof, ReceiptProof, StateEvidence, TransactionProof, Trust,
    TrustLink, TrustRoot, part,
};
use ledger_classes::formats::receipt::Receipt;
use ledger_classes::limits::TRUST_LINKS_MAX;
use ledger_classes::merkle::Levels;
use ledger_classes::primitives::codec;
use ledger_classes::primitives::hash::{Hash, HexBytes};
use ledger_classes::state::view::{ReadError, ReadView as _};
use std::sync::Arc;

/// One consistent look at a channel.
pub struct Reader<'a> {
    view: StateView,
    store: &'a ChannelStore,
    /// What readers of the channel share.
    shared: Option<&'a Shared>,
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

/// What a proof of a transaction holds beside the way from genesis.
#[derive(Clone, Debug)]
pub struct Proven {
    /// The newest change of who seals, of which its proof needs a link; 0 if there is none.
    pub orderers_since: u64,
    /// The block's header and what it holds.
    pub evidence: Evidence,
    /// The later header.
    pub later: Option<LaterHeader>,
}

fn broken(error: impl std::error::Error) -> ReadError {
    ReadError(in_full(error))
}

impl<'a> Reader<'a> {
    pub(crate) fn new(store: &'a ChannelStore, shared: Option<&'a Shared>) -> Result<Self, ReadError> {
        Ok(Self { view: store.view().map_err(broken)?, store, shared })
    }

    /// The state.
    pub const fn view(&self) -> &StateView {
        &self.view
    }

    /// The height that everything here reflects.
    pub fn height(&self) -> u64 {
        self.view.height().unwrap_or_default()
    }

    /// A block, not above [`Self::height`]: one that was read lately is shared.
    pub fn block(&self, height: u64) -> Result<Option<Arc<CommittedBlock>>, ReadError> {
        if height > self.height() {
            return Ok(None);
        }
        match self.shared {
            Some(shared) => match shared.ring.block(height) {
                Some(block) => Ok(Some(block)),
                None => shared.ring.older(height, || load(self.store, height)),
            },
            None => Ok(load(self.store, height)?.map(Arc::new)),
        }
    }

    fn existing(&self, height: u64) -> Result<Arc<CommittedBlock>, ReadError> {
        self.block(height)?.ok_or_else(|| ReadError(format!("no block {height}")))
    }

    /// A block as the log holds it, not above [`Self::height`].
    pub fn encoded_block(&self, height: u64) -> Result<Option<Bytes>, ReadError> {
        if height > self.height() {
            return Ok(None);
        }
        self.store.block(height).map_err(broken)
    }

    /// Where a transaction is. The index may be newer than the view: what lies above it is not there yet.
    fn place(&self, id: &Hash) -> Result<Option<(u64, u32)>, ReadError> {
        Ok(self.store.transaction(id).map_err(broken)?.filter(|(height, _)| *height <= self.height()))
    }

    /// The height of a committed transaction.
    pub fn height_of(&self, id: &Hash) -> Result<Option<u64>, ReadError> {
        Ok(self.place(id)?.map(|(height, _)| height))
    }

    /// A committed transaction.
    pub fn transaction(&self, id: &Hash) -> Result<Option<Committed>, ReadError> {
        let Some((height, index)) = self.place(id)? else { return Ok(None) };
        let receipt = self.existing(height)?.receipts.get(index as usize).cloned();
        let receipt = receipt.ok_or_else(|| ReadError(format!("no receipt {height}.{index}")))?;
        Ok(Some(Committed { height, index, receipt }))
    }

    /// What proves a transaction, tied to the header at `later` if asked for; `None` if it is not committed or
    /// `later` is not a later height.
    pub fn proven(&self, id: &Hash, later: Option<u64>) -> Result<Option<Proven>, ReadError> {
        let Some((height, receipt)) = self.place(id)? else { return Ok(None) };
        let block = self.existing(height)?;
        let missing = || ReadError(format!("no receipt {height}.{receipt}"));
        let mut evidence = evidence(&block, receipt).ok_or_else(missing)?;
        let place = (receipt as usize).saturating_sub(block.timers());
        let envelope = block.block.transactions.get(place).cloned().ok_or_else(missing)?;
        let index = u32::try_from(place).map_err(broken)?;
        let path = block.transaction_tree().path(index);
        let sealed = later.unwrap_or(height);
        evidence.detail = detail_proof(&block, receipt);
        evidence.transaction = Some(TransactionProof { envelope: HexBytes(envelope), index, path });
        let later = match later {
            None => None,
            Some(later) if later <= height || later > self.height() => return Ok(None),
            Some(later) => {
                let path = self.store.history_path(later, height).map_err(broken)?;
                let block = self.existing(later)?;
                Some(LaterHeader { header: part(&block.block.header), seal: part(&block.block.seal), path })
            }
        };
        Ok(Some(Proven { orderers_since: self.change_below(sealed)?, evidence, later }))
    }

    /// The whole proof of a transaction: [`Self::proven`] with the way from genesis, of which answers write a link at a
    /// time.
    pub fn proof(&self, id: &Hash, later: Option<u64>) -> Result<Option<Proof>, ReadError> {
        let Some(Proven { orderers_since, evidence, later }) = self.proven(id, later)? else { return Ok(None) };
        let (mut links, mut height) = (Vec::new(), orderers_since);
        while height > 0 && links.len() < TRUST_LINKS_MAX {
            links.push(TrustLink::clone(&*self.link(height)?));
            height = self.change_below(height)?;
        }
        links.reverse();
        Ok(Some(Proof { version: 1, trust: Trust { genesis: self.genesis()?, links }, evidence, later }))
    }

    /// What a key has in this state, with the way to the header of [`Self::height`].
    pub fn proven_state(&self, key: &[u8]) -> Result<StateEvidence, ReadError> {
        let block = self.existing(self.height())?;
        let value = self.view.get(key)?.map(|value| HexBytes(value.to_vec()));
        let path = self.view.tree().prove(&self.view, &block.block.blinder(), key)?.encode();
        let (header, seal) = (part(&block.block.header), part(&block.block.seal));
        Ok(StateEvidence { header, seal, key: HexBytes(key.to_vec()), value, path: HexBytes(path) })
    }

    /// Where the channel begins, as proofs show it.
    pub fn genesis(&self) -> Result<TrustRoot, ReadError> {
        let first = execution::config_at(&self.view, 0)?.ok_or_else(|| ReadError("no first configuration".into()))?;
        Ok(TrustRoot::new(&self.existing(0)?.block.header, &first.config.orderers()))
    }

    /// The newest change of who seals; 0 if there is none.
    pub fn orderers_since(&self) -> Result<u64, ReadError> {
        Ok(execution::config_of(&self.view)?.orderers_since)
    }

    /// The newest change of who seals below the block at `height`: those who have sealed it do so since then; 0 if they do
    /// since genesis.
    pub fn change_below(&self, height: u64) -> Result<u64, ReadError> {
        if let Some(below) = self.shared.and_then(|shared| shared.links.below(height)) {
            return Ok(below);
        }
        let rules = self.existing(height)?.block.header.config_height;
        let record = execution::config_at(&self.view, rules)?;
        let below = record.ok_or_else(|| ReadError(format!("no configuration of block {rules}")))?.orderers_since;
        if let Some(shared) = self.shared {
            shared.links.keep_below(height, below);
        }
        Ok(below)
    }

    /// The change of who seals that the block at `height` made, as proofs show it.
    pub fn link(&self, height: u64) -> Result<Arc<TrustLink>, ReadError> {
        if let Some(link) = self.shared.and_then(|shared| shared.links.find(height)) {
            return Ok(link);
        }
        let block = self.existing(height)?;
        let record = execution::config_at(&self.view, height)?;
        let orderers =
            record.ok_or_else(|| ReadError(format!("block {height} changed no configuration")))?.config.orderers();
        let (header, seal) = (part(&block.block.header), part(&block.block.seal));
        let link = Arc::new(TrustLink { header, seal, orderers: part(&orderers) });
        if let Some(shared) = self.shared {
            shared.links.keep(height, link.clone());
        }
        Ok(link)
    }
}

/// Loads a block from the log.
pub(crate) fn load(store: &ChannelStore, height: u64) -> Result<Option<CommittedBlock>, ReadError> {
    let (Some(block), Some(receipts)) = (store.block(height).map_err(broken)?, store.receipts(height).map_err(broken)?)
    else {
        return Ok(None);
    };
    CommittedBlock::decode(&block, &receipts).map(Some).map_err(|error| ReadError(in_full(error)))
}

/// Evidence of a receipt; `None` if the block has no such receipt.
pub fn evidence(block: &CommittedBlock, index: u32) -> Option<Evidence> {
    let receipt = block.receipts.get(index as usize)?;
    debug_assert_eq!(block.receipts.len(), block.block.header.receipts as usize);
    let path = block.receipt_tree().path(index);
    let blinding = block.block.blinder().of(Blinded::Receipt { index });
    Some(Evidence {
        header: part(&block.block.header),
        seal: part(&block.block.seal),
        receipt: ReceiptProof { head: HexBytes(codec::encode(&receipt.head)), blinding, path },
        transaction: None,
        event: None,
        detail: None,
    })
}

/// Why the transaction of a receipt failed, to be proven by evidence of the receipt; `None` if it did not fail, or if the
/// block has no such receipt.
fn detail_proof(block: &CommittedBlock, index: u32) -> Option<DetailProof> {
    let receipt = block.receipts.get(index as usize)?;
    let blinding = block.block.blinder().of(Blinded::Detail { receipt: index });
    receipt.head.detail.map(|_| DetailProof { detail: part(&receipt.detail), blinding })
}

/// The events of a receipt, for evidence of several: each path alone would hash all the others again.
pub struct EventTree<'a> {
    block: &'a CommittedBlock,
    receipt: &'a Receipt,
    levels: Levels,
}

impl<'a> EventTree<'a> {
    /// Those of a block's receipt; `None` if there is no such receipt.
    pub fn of(block: &'a CommittedBlock, index: u32) -> Option<Self> {
        let receipt = block.receipts.get(index as usize)?;
        Some(Self { block, receipt, levels: Levels::new(receipt.event_leaves(&block.block.blinder())) })
    }

    /// Evidence of one event, without any other event; `None` if there is no such event.
    pub fn evidence(&self, event: u32) -> Option<Evidence> {
        let index = self.receipt.head.index;
        let bytes = self.receipt.events.get(event as usize)?.clone();
        let blinding = self.block.block.blinder().of(Blinded::Event { receipt: index, index: event });
        let proof = EventProof { event: HexBytes(bytes), index: event, blinding, path: self.levels.path(event) };
        Some(Evidence { event: Some(proof), ..evidence(self.block, index)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::encoding::encode_receipts;
    use crate::store::BlockRecord;
    use crate::test_support::{Bench, config};
    use ledger_classes::formats::detail::Detail;
    use ledger_classes::formats::event::Event;
    use ledger_classes::state::view::Writes;

    /// A transaction committed after the reader's view was taken was found by the index, and then missed in the view:
    /// that read as a broken store and halted the channel.
    #[test]
    fn what_was_committed_after_the_view_is_not_there_yet() {
        let bench = Bench::new(&config());
        let store = &bench.opened.store;
        let reader = Reader::new(store, None).expect("readable");
        let id = Hash([5; 32]);
        let record = BlockRecord {
            height: 1,
            header_hash: Hash([1; 32]),
            block: vec![1].into(),
            receipts: encode_receipts(&[]).into(),
        };
        store.append(&record).expect("appends");
        let _ = store.apply_writes(1, &Writes::new(), &[(id, 0)]).expect("applies");
        assert!(matches!(reader.transaction(&id), Ok(None)));
        assert!(matches!(reader.proof(&id, None), Ok(None)));
        assert!(matches!(reader.block(1), Ok(None)));
        drop(reader);
        assert_eq!(Reader::new(store, None).expect("readable").place(&id), Ok(Some((1, 0))));
    }

    /// Paths of a receipt's events were once made one by one, each over all of the events: a full batch transfer cost a
    /// million hashes before a subscriber saw its first event.
    #[test]
    fn an_event_is_proven_by_its_receipts_own_root() {
        use ledger_classes::formats::outcome::ResultCode;
        use ledger_classes::limits::EVENTS_MAX;
        use ledger_classes::merkle;
        use ledger_classes::primitives::amount::Amount;
        let paused = |number| Event::AssetPaused { asset: format!("a{number}") };
        let events: Vec<Event> = (0..EVENTS_MAX).map(paused).collect();
        let mut receipt = Receipt::new(Hash::ZERO, 0, 0, ResultCode::Done, Detail::PLAIN, Amount::ZERO, &events);
        let (block, _) = ledger_classes::chain::genesis(&config()).expect("valid");
        receipt.blind(&block.blinder());
        let head = receipt.head.clone();
        let mut block = CommittedBlock::new(block, Hash::ZERO, vec![Arc::new(receipt)]);
        block.block.header.receipts = 1;
        let tree = EventTree::of(&block, 0).expect("a receipt");
        for number in [0, 1, 511, 1022, 1023] {
            let EventProof { event, index, blinding, path } =
                tree.evidence(number).and_then(|all| all.event).expect("one");
            let leaf = merkle::blinded_leaf_hash(&blinding, &event.0);
            let (size, index) = (u64::from(head.events), u64::from(index));
            assert!(merkle::verify_inclusion(&head.events_root, size, index, &leaf, &path), "{number}");
        }
        assert!(tree.evidence(1024).is_none() && EventTree::of(&block, 1).is_none());
    }

    /// Each proof of a block with 4,096 transactions hashed all of its leaves again, and each receipt decoded all of them.
    #[test]
    fn readers_of_one_block_share_it_with_its_trees() {
        let bench = Bench::new(&config());
        let (store, shared) = (
            &bench.opened.store,
            Shared::new(bench.opened.tip, bench.opened.config.clone(), Arc::default(), Arc::default()),
        );
        let read = || {
            let reader = Reader::new(store, Some(&shared)).expect("readable");
            reader.block(0).expect("readable").expect("there")
        };
        let (one, other) = (read(), read());
        assert!(Arc::ptr_eq(&one, &other));
        assert!(std::ptr::eq(one.transaction_tree(), other.transaction_tree()));
        let leaves = ledger_classes::formats::block::transaction_leaves(&one.block.transactions).expect("envelopes");
        for index in 0..leaves.len() {
            let path = ledger_classes::merkle::inclusion_path(&leaves, index as u64).expect("a leaf");
            assert_eq!(one.transaction_tree().path(u32::try_from(index).expect("few")), path);
        }
    }
}
