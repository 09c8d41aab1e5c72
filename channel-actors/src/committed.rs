//! Committed blocks as readers and subscribers share them, with the frames that subscribers are sent: encoded once,
//! whoever asks first, and only for receipts that somebody is sent something of.

use crate::production::decode_receipts;
use bytes::Bytes;
use ledger_classes::block::{Block, transaction_leaves};
use ledger_classes::hash::Hash;
use ledger_classes::merkle::Levels;
use ledger_classes::receipt::Receipt;
use ledger_classes::rights::Class;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// One delivered event, encoded.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The event's position in the receipt.
    pub event: u32,
    /// Whose readers may have it.
    pub class: Class,
    /// What subscribers filter by.
    pub topic: String,
    /// What goes out.
    pub bytes: Bytes,
}

/// What the events of a block are about: a subscription passes over what it does not want without a look at each.
#[derive(Debug, Default)]
pub struct Contents {
    /// Each class with each topic in it, once.
    kinds: Vec<(Class, String)>,
    /// Receipts, ascending, with the kinds of their events, each once a receipt.
    receipts: Vec<(u32, u32)>,
}

impl Contents {
    fn of(receipts: &[Arc<Receipt>]) -> Self {
        let mut contents = Self::default();
        let mut known = HashMap::<(Class, String), u32>::new();
        for (index, receipt) in (0u32..).zip(receipts) {
            // They were executed here, or are of a log whose digests fit: they decode.
            let Ok(events) = receipt.decoded_events() else { continue };
            let mut numbers: Vec<u32> = events
                .iter()
                .map(|event| {
                    let next = u32::try_from(known.len()).expect("a block's events are limited");
                    *known.entry((event.class(), event.topic().to_owned())).or_insert_with_key(|kind| {
                        contents.kinds.push(kind.clone());
                        next
                    })
                })
                .collect();
            numbers.sort_unstable();
            numbers.dedup();
            contents.receipts.extend(numbers.into_iter().map(|number| (index, number)));
        }
        contents
    }

    /// Positions of the receipts with an event of a class and topic that is wanted, ascending.
    pub fn receipts(&self, wanted: impl Fn(Class, &str) -> bool) -> Vec<u32> {
        let wanted: Vec<bool> = self.kinds.iter().map(|(class, topic)| wanted(*class, topic)).collect();
        if !wanted.contains(&true) {
            return Vec::new();
        }
        let mut receipts: Vec<u32> =
            self.receipts.iter().filter(|(_, kind)| wanted[*kind as usize]).map(|(index, _)| *index).collect();
        receipts.dedup();
        receipts
    }

    /// How many classes with topics there are.
    pub(crate) fn kinds(&self) -> usize {
        self.kinds.len()
    }

    /// Whether any is wanted.
    pub(crate) fn any(&self, wants: impl Fn(Class, &str) -> bool) -> bool {
        self.kinds.iter().any(|(class, topic)| wants(*class, topic))
    }

    fn bytes(&self) -> usize {
        let kinds: usize = self.kinds.iter().map(|(_, topic)| topic.len() + size_of::<(Class, String)>()).sum();
        kinds + self.receipts.len() * size_of::<(u32, u32)>()
    }
}

/// The frames of each receipt.
type Frames = OnceLock<Vec<OnceLock<Arc<[Frame]>>>>;

/// A block that is final and on disk.
#[derive(Debug)]
pub struct CommittedBlock {
    /// Header, transactions, seal.
    pub block: Block,
    /// The header's hash.
    pub header_hash: Hash,
    /// Receipts: those of timers, then one for each transaction in order.
    pub receipts: Vec<Arc<Receipt>>,
    /// Bytes in memory, about, without what is made on demand.
    pub bytes: usize,
    made_bytes: AtomicUsize,
    contents: OnceLock<Contents>,
    receipt_tree: OnceLock<Levels>,
    transaction_tree: OnceLock<Levels>,
    plain: Frames,
    proven: Frames,
}

impl CommittedBlock {
    pub(crate) fn new(block: Block, header_hash: Hash, receipts: Vec<Arc<Receipt>>) -> Self {
        let envelopes: usize = block.transactions.iter().map(Vec::len).sum();
        let events: usize = receipts.iter().flat_map(|receipt| &receipt.events).map(Vec::len).sum();
        let bytes = envelopes + events + 256 * receipts.len() + 1024;
        Self {
            block,
            header_hash,
            receipts,
            bytes,
            made_bytes: AtomicUsize::new(0),
            contents: OnceLock::new(),
            receipt_tree: OnceLock::new(),
            transaction_tree: OnceLock::new(),
            plain: OnceLock::new(),
            proven: OnceLock::new(),
        }
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

    /// Bytes in memory, about, with what was asked for so far.
    pub(crate) fn held(&self) -> usize {
        self.bytes + self.made_bytes.load(Ordering::Relaxed)
    }

    fn made(&self, bytes: usize) {
        self.made_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What its events are about; made the first time, which takes some milliseconds of a large block.
    pub fn contents(&self) -> &Contents {
        self.contents.get_or_init(|| {
            let contents = Contents::of(&self.receipts);
            self.made(contents.bytes());
            contents
        })
    }

    /// Whether somebody has asked for [`Self::contents`].
    pub fn looked_through(&self) -> bool {
        self.contents.get().is_some()
    }

    /// The tree over its receipts.
    pub fn receipt_tree(&self) -> &Levels {
        self.receipt_tree.get_or_init(|| {
            self.made(2 * size_of::<Hash>() * self.receipts.len());
            Levels::new(self.receipts.iter().map(|receipt| receipt.leaf()).collect())
        })
    }

    /// The tree over its transactions: made once, for whoever asks for proofs of several.
    pub fn transaction_tree(&self) -> &Levels {
        self.transaction_tree.get_or_init(|| {
            self.made(2 * size_of::<Hash>() * self.block.transactions.len());
            Levels::new(transaction_leaves(&self.block.transactions))
        })
    }

    /// Whether the frames of a receipt were made.
    pub fn has_frames(&self, proven: bool, receipt: u32) -> bool {
        let frames = if proven { &self.proven } else { &self.plain };
        frames.get().and_then(|frames| frames.get(receipt as usize)).is_some_and(|frames| frames.get().is_some())
    }

    /// The frames of a receipt, with or without evidence; `encode` makes them the first time. None of a receipt that is
    /// not there.
    pub fn frames(&self, proven: bool, receipt: u32, encode: impl FnOnce(&Self) -> Vec<Frame>) -> Arc<[Frame]> {
        let frames = if proven { &self.proven } else { &self.plain };
        let frames = frames.get_or_init(|| self.receipts.iter().map(|_| OnceLock::new()).collect());
        let Some(frames) = frames.get(receipt as usize) else { return Arc::default() };
        let encode = || {
            let frames: Arc<[Frame]> = encode(self).into();
            self.made(frames.iter().map(|frame| frame.bytes.len() + frame.topic.len() + size_of::<Frame>()).sum());
            frames
        };
        frames.get_or_init(encode).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger_classes::amount::Amount;
    use ledger_classes::event::Event;
    use ledger_classes::outcome::ResultCode;

    #[test]
    fn contents_name_the_receipts_of_what_is_wanted() {
        let paused = |asset: &str| Event::AssetPaused { asset: asset.into() };
        let logged = |topic: &str| Event::LogAppended {
            topic: topic.into(),
            author: Default::default(),
            digest: None,
            body: String::new(),
        };
        let receipt = |events: &[Event]| {
            Arc::new(Receipt::new(Hash::ZERO, 1, 0, ResultCode::Done, String::new(), Amount::ZERO, events))
        };
        let contents = Contents::of(&[
            receipt(&[paused("a"), paused("b"), paused("a")]),
            receipt(&[]),
            receipt(&[logged("a"), paused("a")]),
            receipt(&[logged("x")]),
        ]);
        let of = |class: Option<Class>, topic: &str| {
            contents
                .receipts(|its, named| class.is_none_or(|class| class == its) && (topic.is_empty() || topic == named))
        };
        assert_eq!(of(None, ""), [0, 2, 3]);
        assert_eq!(of(None, "a"), [0, 2]);
        assert_eq!(of(Some(Class::Logs), ""), [2, 3]);
        assert_eq!(of(Some(Class::Assets), "b"), [0]);
        assert_eq!(of(Some(Class::Apps), ""), [] as [u32; 0]);
        assert_eq!((contents.kinds.len(), contents.receipts.len()), (4, 5));
    }
}
