//! What was told of the chain, and what may never be untrue of it.

use crate::block::committed::CommittedBlock;
use crate::block::encoding::decode_receipts;
use crate::block::error::in_full;
use crate::store::ChannelStore;
use ledger_classes::formats::block::Block;
use ledger_classes::formats::receipt::Receipt;
use ledger_classes::merkle::{self, CompactRange};
use ledger_classes::primitives::hash::Hash;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Blocks that were told, or found after a restart.
#[derive(Default)]
pub(super) struct Ledger {
    headers: Vec<Hash>,
    /// The tree over them.
    history: CompactRange,
    /// Where each transaction is.
    included: HashMap<Hash, Arc<Receipt>>,
    /// Refused for good, when nothing of it was under way.
    never: HashSet<Hash>,
    /// What came in this life of the peer and is in no block yet.
    came: HashMap<Hash, Came>,
    next: usize,
    /// When the last of each sender's that is in a block of this life came first.
    last: HashMap<usize, usize>,
}

/// When a transaction came. It may come several times, and of these some may be refused, so it is not known which one it is
/// that comes into a block.
struct Came {
    sender: usize,
    first: usize,
    last: usize,
}

impl Ledger {
    pub(super) fn height(&self) -> u64 {
        (self.headers.len() as u64).saturating_sub(1)
    }

    pub(super) fn transactions(&self) -> u64 {
        self.included.len() as u64
    }

    /// The channel was made.
    pub(super) fn begin(&mut self, genesis: Hash) {
        self.follows(genesis);
    }

    fn follows(&mut self, hash: Hash) {
        self.headers.push(hash);
        let _ = self.history.append(merkle::leaf_hash(&hash.0));
    }

    /// A transaction of a sender has passed the door.
    pub(super) fn came(&mut self, id: Hash, sender: usize) {
        if !self.included.contains_key(&id) {
            self.next += 1;
            let place = self.next;
            self.came.entry(id).or_insert(Came { sender, first: place, last: place }).last = place;
        }
    }

    /// It was refused after that, and nothing of it is under way: when it comes again, that is its place.
    pub(super) fn went(&mut self, id: &Hash) {
        self.came.remove(id);
    }

    /// It will not come again.
    pub(super) fn refused(&mut self, id: Hash) -> Result<(), String> {
        if self.included.contains_key(&id) {
            return Err(format!("{id} is in the chain, and was refused"));
        }
        self.never.insert(id);
        Ok(())
    }

    /// A block is told.
    pub(super) fn told(&mut self, block: &CommittedBlock) -> Result<(), String> {
        let header = &block.block.header;
        let timers = block.receipts.len() - block.block.transactions.len();
        self.add(header.height, header.previous, block.header_hash, block.receipts.iter().skip(timers).cloned())
    }

    fn add(
        &mut self,
        height: u64,
        previous: Hash,
        hash: Hash,
        receipts: impl Iterator<Item = Arc<Receipt>>,
    ) -> Result<(), String> {
        if height != self.headers.len() as u64 || self.headers.last() != Some(&previous) {
            return Err(format!("block {height} does not follow block {}", self.height()));
        }
        self.follows(hash);
        for receipt in receipts {
            let id = receipt.head.id;
            if self.never.contains(&id) {
                return Err(format!("{id} is in block {height}, and was refused for good"));
            }
            let Some(Came { sender, first, last }) = self.came.remove(&id) else {
                return Err(match self.included.get(&id) {
                    Some(first) => format!("{id} is in block {height}, and in block {}", first.head.height),
                    None => format!("{id} is in block {height}, and did not come"),
                });
            };
            let before = self.last.entry(sender).or_default();
            if *before > last {
                return Err(format!("{id} of sender {sender} is in block {height}, behind one that came after it"));
            }
            *before = first.max(*before);
            self.included.insert(id, receipt);
        }
        Ok(())
    }

    /// Somebody was told an outcome.
    pub(super) fn answered(&self, id: &Hash, receipt: &Receipt) -> Result<(), String> {
        match self.included.get(id) {
            Some(own) if **own == *receipt => Ok(()),
            Some(_) => Err(format!("{id} has two outcomes")),
            None => Err(format!("{id} was told as committed, and is in no block that was told")),
        }
    }

    /// Everything that was told is there, as it was told. A log that cannot be read says so: `Err` of the inner result.
    pub(super) fn compare(&self, store: &ChannelStore) -> Result<Result<(), String>, String> {
        let tip = store.log_tip();
        if tip < self.headers.len().checked_sub(1).map(|tip| tip as u64) {
            return Err(format!("blocks up to {} were told, and the log ends with {tip:?}", self.height()));
        }
        // One hash over all of them.
        match store.history_root(self.headers.len() as u64) {
            Ok(root) if root == self.history.root() => Ok(Ok(())),
            Ok(_) => Err(format!("some block up to {} is another one than was told", self.height())),
            Err(error) => Ok(Err(error.to_string())),
        }
    }

    /// Reads all headers' hashes, blocks and receipts: each is what was told, or an error.
    pub(super) fn read_all(&self, store: &ChannelStore) -> Result<Result<(), String>, String> {
        for (height, told) in (0u64..).zip(&self.headers) {
            let found = match (store.block(height), store.receipts(height), store.header_hash(height)) {
                (Ok(block), Ok(receipts), Ok(hash)) => (block, receipts, hash),
                (Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error)) => return Ok(Err(error.to_string())),
            };
            let (Some(block), Some(receipts), Some(hash)) = found else {
                return Err(format!("block {height} is gone"));
            };
            if hash != *told {
                return Err(format!("the hash of block {height} is read as another one"));
            }
            let block = Block::decode(&block).map_err(|_| format!("block {height} is not whole"))?;
            if block.header.hash() != *told {
                return Err(format!("block {height} is read as another one"));
            }
            for receipt in decode_receipts(&receipts).map_err(in_full)? {
                if self.included.get(&receipt.head.id).is_none_or(|own| **own != receipt) {
                    return Err(format!("a receipt of block {height} is read as another one"));
                }
            }
        }
        Ok(Ok(()))
    }

    /// The peer was started again with this log. What nobody was told may be there, too. A log that cannot be read says so:
    /// `Err` of the inner result; what was found before stays found.
    pub(super) fn reopened(&mut self, store: &ChannelStore) -> Result<Result<(), String>, String> {
        if let Err(reason) = self.compare(store)? {
            return Ok(Err(reason));
        }
        loop {
            let height = self.headers.len() as u64;
            let (bytes, receipts) = match (store.block(height), store.receipts(height)) {
                (Ok(None), Ok(_)) => break,
                (Ok(Some(bytes)), Ok(receipts)) => (bytes, receipts.ok_or("its receipts are gone")?),
                (Err(error), _) | (_, Err(error)) => return Ok(Err(error.to_string())),
            };
            let block = Block::decode(&bytes).map_err(|_| format!("block {height} is not whole"))?;
            let receipts = decode_receipts(&receipts).map_err(in_full)?;
            let timers = receipts.len() - block.transactions.len();
            let hash = block.header.hash();
            self.add(height, block.header.previous, hash, receipts.into_iter().skip(timers).map(Arc::new))?;
        }
        self.came.clear();
        self.last.clear();
        Ok(Ok(()))
    }
}
