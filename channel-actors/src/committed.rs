//! Committed blocks as readers and subscribers share them, with the frames that subscribers are sent: encoded once a
//! block, whoever asks first.

use crate::verifier::decode_receipts;
use bytes::Bytes;
use ledger_classes::block::Block;
use ledger_classes::hash::Hash;
use ledger_classes::receipt::Receipt;
use ledger_classes::rights::Class;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// One delivered event, encoded.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The receipt's position in the block.
    pub index: u32,
    /// The event's position in the receipt.
    pub event: u32,
    /// Whose readers may have it.
    pub class: Class,
    /// What subscribers filter by.
    pub topic: String,
    /// What goes out.
    pub bytes: Bytes,
}

/// A block that is final and on disk.
#[derive(Debug)]
pub struct CommittedBlock {
    /// Header, transactions, seal.
    pub block: Block,
    /// The header's hash.
    pub header_hash: Hash,
    /// Receipts: those of timers, then one for each transaction in order.
    pub receipts: Vec<Arc<Receipt>>,
    /// Bytes in memory, about, without frames.
    pub bytes: usize,
    frame_bytes: AtomicUsize,
    plain: OnceLock<Arc<Vec<Frame>>>,
    proven: OnceLock<Arc<Vec<Frame>>>,
}

impl CommittedBlock {
    pub(crate) fn new(block: Block, header_hash: Hash, receipts: Vec<Arc<Receipt>>) -> Self {
        let envelopes: usize = block.transactions.iter().map(Vec::len).sum();
        let events: usize = receipts.iter().flat_map(|receipt| &receipt.events).map(Vec::len).sum();
        let bytes = envelopes + events + 256 * receipts.len() + 1024;
        let frame_bytes = AtomicUsize::new(0);
        Self { block, header_hash, receipts, bytes, frame_bytes, plain: OnceLock::new(), proven: OnceLock::new() }
    }

    /// Decodes a block of the log. The log's bytes were checked against their digest by the store.
    pub(crate) fn decode(block: &[u8], receipts: &[u8]) -> Result<Self, String> {
        let block = Block::decode(block).map_err(|error| format!("a stored block: {error}"))?;
        let receipts = decode_receipts(receipts)?.into_iter().map(Arc::new).collect();
        let header_hash = block.header.hash();
        Ok(Self::new(block, header_hash, receipts))
    }

    /// Receipts of timers: they come before the transactions'.
    pub fn timers(&self) -> usize {
        if self.block.header.height == 0 { 0 } else { self.receipts.len() - self.block.transactions.len() }
    }

    /// Bytes in memory, about, with the frames that were asked for so far.
    pub(crate) fn held(&self) -> usize {
        self.bytes + self.frame_bytes.load(Ordering::Relaxed)
    }

    /// The block's frames, with or without evidence; `encode` makes them the first time.
    pub fn frames(&self, proven: bool, encode: impl FnOnce(&Self) -> Vec<Frame>) -> Arc<Vec<Frame>> {
        let frames = if proven { &self.proven } else { &self.plain };
        let encode = || {
            let frames = encode(self);
            let bytes = frames.iter().map(|frame| frame.bytes.len() + frame.topic.len() + size_of::<Frame>()).sum();
            self.frame_bytes.fetch_add(bytes, Ordering::Relaxed);
            Arc::new(frames)
        };
        frames.get_or_init(encode).clone()
    }
}
