//! Committed blocks as readers and subscribers share them, with the frames that subscribers are sent: encoded once,
//! whoever asks first, and only for receipts that somebody is sent something of. Of each block those are kept that were
//! made last; whoever is far behind the others of its block has them made again.

use crate::block::encoding::decode_receipts;
use crate::block::error::ChannelError;
use crate::limits::{FRAMES_OF_BLOCK_BYTES_MAX, FRAMES_OF_BLOCK_BYTES_MIN};
use crate::runtime::memory::{Counted, Pool};
use bytes::Bytes;
use ledger_classes::chain::Invalid;
use ledger_classes::formats::block::{Block, transaction_leaves};
use ledger_classes::formats::receipt::Receipt;
use ledger_classes::formats::rights::Class;
use ledger_classes::merkle::Levels;
use ledger_classes::primitives::hash::Hash;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

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

/// The frames of each receipt, where they are kept.
type Frames = OnceLock<Vec<Mutex<Option<Arc<[Frame]>>>>>;

/// Frames that are kept of a block, in the order in which they were made.
#[derive(Debug, Default)]
struct Kept {
    order: VecDeque<(bool, u32, usize)>,
    bytes: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// Bytes in memory, about, without what is made on demand.
    pub bytes: usize,
    made_bytes: AtomicUsize,
    contents: OnceLock<Contents>,
    receipt_tree: OnceLock<Levels>,
    transaction_tree: OnceLock<Levels>,
    plain: Frames,
    proven: Frames,
    kept: Mutex<Kept>,
    /// Where its bytes are counted once a ring holds it.
    counted: OnceLock<Counted>,
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
            kept: Mutex::default(),
            counted: OnceLock::new(),
        }
    }

    /// Counts its bytes from now on, until it is dropped. To be called before others know of it.
    pub(crate) fn count_in(&self, memory: &Arc<Pool>) {
        self.counted.get_or_init(|| Counted::new(memory, self.held()));
    }

    /// Decodes a block of the log. The log's bytes were checked against their digest by the store.
    pub(crate) fn decode(block: &[u8], receipts: &[u8]) -> Result<Self, ChannelError> {
        let block = Block::decode(block).map_err(|_| Invalid::Malformed)?;
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
        if let Some(counted) = self.counted.get() {
            counted.add(bytes);
        }
    }

    fn let_go(&self, bytes: usize) {
        self.made_bytes.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(counted) = self.counted.get() {
            counted.give_back(bytes);
        }
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
            let blinder = self.block.blinder();
            Levels::new(self.receipts.iter().map(|receipt| receipt.leaf(&blinder)).collect())
        })
    }

    /// The tree over its transactions: made once, for whoever asks for proofs of several.
    pub fn transaction_tree(&self) -> &Levels {
        self.transaction_tree.get_or_init(|| {
            self.made(2 * size_of::<Hash>() * self.block.transactions.len());
            let transactions = &self.block.transactions;
            // They are envelopes: they were executed. Otherwise its proofs lead nowhere.
            let none = || vec![Hash::ZERO; transactions.len()];
            Levels::new(transaction_leaves(transactions).unwrap_or_else(none))
        })
    }

    fn slot(&self, proven: bool, receipt: u32) -> Option<&Mutex<Option<Arc<[Frame]>>>> {
        let frames = if proven { &self.proven } else { &self.plain };
        let frames = frames.get_or_init(|| {
            self.made(self.receipts.len() * size_of::<Mutex<Option<Arc<[Frame]>>>>());
            self.receipts.iter().map(|_| Mutex::default()).collect()
        });
        frames.get(receipt as usize)
    }

    /// Whether the frames of a receipt are kept; those that are just being made are not yet.
    pub fn has_frames(&self, proven: bool, receipt: u32) -> bool {
        self.slot(proven, receipt).is_some_and(|slot| slot.try_lock().is_ok_and(|kept| kept.is_some()))
    }

    /// The frames of a receipt, with or without evidence; `encode` makes them where they are not kept. None of a receipt
    /// that is not there.
    pub fn frames(&self, proven: bool, receipt: u32, encode: impl FnOnce(&Self) -> Vec<Frame>) -> Arc<[Frame]> {
        let Some(slot) = self.slot(proven, receipt) else { return Arc::default() };
        let mut kept = lock(slot);
        if let Some(frames) = kept.as_ref() {
            return frames.clone();
        }
        let frames: Arc<[Frame]> = encode(self).into();
        *kept = Some(frames.clone());
        drop(kept);
        self.keep(proven, receipt, &frames);
        frames
    }

    /// Counts frames that were just made, and lets go of those made before them that are too many.
    fn keep(&self, proven: bool, receipt: u32, frames: &[Frame]) {
        let bytes = frames.iter().map(|frame| frame.bytes.len() + frame.topic.len() + size_of::<Frame>()).sum();
        self.made(bytes);
        let most = match self.counted.get().is_some_and(Counted::is_over) {
            true => FRAMES_OF_BLOCK_BYTES_MIN,
            false => FRAMES_OF_BLOCK_BYTES_MAX,
        };
        let mut gone = Vec::new();
        let mut kept = lock(&self.kept);
        kept.order.push_back((proven, receipt, bytes));
        kept.bytes += bytes;
        while kept.bytes > most && kept.order.len() > 1 {
            let Some(oldest) = kept.order.pop_front() else { break };
            kept.bytes -= oldest.2;
            gone.push(oldest);
        }
        drop(kept);
        for (proven, receipt, bytes) in gone {
            if let Some(slot) = self.slot(proven, receipt) {
                *lock(slot) = None;
            }
            self.let_go(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger_classes::formats::detail::Detail;
    use ledger_classes::formats::event::Event;
    use ledger_classes::formats::outcome::ResultCode;
    use ledger_classes::primitives::amount::Amount;

    /// The newest block's frames: 433 MB.
    #[test]
    fn of_a_blocks_frames_those_that_were_made_last_are_kept() {
        let (block, _) = ledger_classes::chain::genesis(&crate::test_support::config()).expect("valid");
        let receipt = || Arc::new(Receipt::new(Hash::ZERO, 1, 0, ResultCode::Done, Detail::PLAIN, Amount::ZERO, &[]));
        let block = CommittedBlock::new(block, Hash::ZERO, (0..40).map(|_| receipt()).collect());
        let memory = Arc::new(Pool::new(64 * 1024 * 1024));
        block.count_in(&memory);
        let bytes = Bytes::from(vec![0; 1024 * 1024]);
        let frame = || Frame { event: 0, class: Class::Logs, topic: String::new(), bytes: bytes.clone() };
        let make = |receipt| block.frames(receipt % 2 == 0, receipt, |_| vec![frame()]);
        let kept = || (0..40).filter(|receipt| block.has_frames(receipt % 2 == 0, *receipt)).collect::<Vec<u32>>();
        for receipt in 0..40 {
            assert_eq!(make(receipt).len(), 1);
            assert!(block.held() <= block.bytes + FRAMES_OF_BLOCK_BYTES_MAX + 1024 * 1024, "{}", block.held());
            assert_eq!(memory.held(), block.held());
        }
        assert_eq!(kept(), (25..40).collect::<Vec<u32>>());
        assert_eq!(block.frames(true, 38, |_| vec![]).len(), 1, "made once");
        make(3);
        assert_eq!(kept(), [&[3], &(26..40).collect::<Vec<u32>>()[..]].concat());
        // While all channels hold too much, little more than what was made last.
        let others = Counted::new(&memory, 64 * 1024 * 1024);
        make(4);
        make(5);
        assert_eq!(kept(), [5]);
        drop((others, block));
        assert_eq!(memory.held(), 0);
    }

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
            Arc::new(Receipt::new(Hash::ZERO, 1, 0, ResultCode::Done, Detail::PLAIN, Amount::ZERO, events))
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
