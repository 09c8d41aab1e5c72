//! What subscribers read: a notification that says only "height h is there", a ring of recent blocks, and older ones that
//! were read lately. A subscription is a cursor of its reader's; nothing is kept here for it, so a slow one slows nobody,
//! and holds no block either.

use crate::committed::CommittedBlock;
use crate::limits::{RING_BLOCKS_MAX, RING_BYTES_MAX};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Recent blocks, and the height of the newest.
pub(crate) struct Ring {
    blocks: Mutex<Blocks>,
    older: Mutex<Older>,
    height: watch::Sender<u64>,
}

/// Consecutive heights, ascending.
#[derive(Default)]
struct Blocks {
    /// With the bytes that each held when it was last looked at: frames are made when somebody asks.
    recent: VecDeque<(Arc<CommittedBlock>, usize)>,
    /// The sum of these.
    bytes: usize,
    /// Who is looked at next.
    next: usize,
}

/// Blocks that are looked at for each read and each commit.
const LOOKED_AT: usize = 8;

impl Blocks {
    fn trim(&mut self) {
        for _ in 0..LOOKED_AT.min(self.recent.len()) {
            self.next = (self.next + 1) % self.recent.len();
            if let Some((block, counted)) = self.recent.get_mut(self.next) {
                let before = std::mem::replace(counted, block.held());
                self.bytes = self.bytes - before + *counted;
            }
        }
        while self.recent.len() > RING_BLOCKS_MAX || (self.bytes > RING_BYTES_MAX && self.recent.len() > 1) {
            let Some((_, counted)) = self.recent.pop_front() else { break };
            self.bytes -= counted;
            self.next = self.next.saturating_sub(1);
        }
    }
}

/// Older blocks that were read lately: those who are at the same one share it with its frames.
#[derive(Default)]
struct Older {
    blocks: HashMap<u64, Arc<CommittedBlock>>,
    /// Their heights in the order of coming.
    order: VecDeque<u64>,
    /// Reads since it was last looked how much they hold.
    reads: usize,
}

/// Reads of older blocks between two looks at all of them.
const OLDER_READS: usize = 16;

impl Older {
    fn find(&mut self, height: u64) -> Option<Arc<CommittedBlock>> {
        self.reads += 1;
        if self.reads >= OLDER_READS {
            self.trim();
        }
        self.blocks.get(&height).cloned()
    }

    fn insert(&mut self, height: u64, block: Arc<CommittedBlock>) {
        self.blocks.insert(height, block);
        self.order.push_back(height);
        self.trim();
    }

    fn trim(&mut self) {
        self.reads = 0;
        let mut bytes: usize = self.blocks.values().map(|block| block.held()).sum();
        while self.order.len() > RING_BLOCKS_MAX || (bytes > RING_BYTES_MAX && self.order.len() > 1) {
            let Some(oldest) = self.order.pop_front().and_then(|height| self.blocks.remove(&height)) else { break };
            bytes = bytes.saturating_sub(oldest.held());
        }
    }
}

impl Ring {
    pub(crate) fn new(height: u64) -> Self {
        Self { blocks: Mutex::default(), older: Mutex::default(), height: watch::Sender::new(height) }
    }

    fn lock(&self) -> MutexGuard<'_, Blocks> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the next block and tells subscribers.
    pub(crate) fn publish(&self, block: Arc<CommittedBlock>) {
        let height = block.block.header.height;
        let mut blocks = self.lock();
        let held = block.held();
        blocks.bytes += held;
        blocks.recent.push_back((block, held));
        blocks.trim();
        drop(blocks);
        self.height.send_replace(height);
    }

    /// A block, if it is recent.
    pub(crate) fn block(&self, height: u64) -> Option<Arc<CommittedBlock>> {
        let mut blocks = self.lock();
        blocks.trim();
        let first = blocks.recent.front()?.0.block.header.height;
        blocks.recent.get(usize::try_from(height.checked_sub(first)?).ok()?).map(|(block, _)| block.clone())
    }

    /// A block that has left the ring, if it was read lately; else what `load` finds.
    pub(crate) fn older<E>(
        &self,
        height: u64,
        load: impl FnOnce() -> Result<Option<CommittedBlock>, E>,
    ) -> Result<Option<Arc<CommittedBlock>>, E> {
        let lock = || self.older.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(block) = lock().find(height) {
            return Ok(Some(block));
        }
        let Some(block) = load()?.map(Arc::new) else { return Ok(None) };
        let mut older = lock();
        // Whoever was quicker has its block shared.
        if let Some(block) = older.find(height) {
            return Ok(Some(block));
        }
        older.insert(height, block.clone());
        Ok(Some(block))
    }

    /// Forgets the blocks, as the channel rests: who wants one gets it from the store.
    pub(crate) fn forget(&self) {
        *self.lock() = Blocks::default();
        *self.older.lock().unwrap_or_else(PoisonError::into_inner) = Older::default();
    }

    /// Follows the newest height. Ends when the channel closes.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.height.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::committed::Frame;
    use crate::test_support::config;
    use ledger_classes::amount::Amount;
    use ledger_classes::block;
    use ledger_classes::hash::Hash;
    use ledger_classes::outcome::ResultCode;
    use ledger_classes::receipt::Receipt;
    use ledger_classes::rights::Class;

    fn block(height: u64) -> Arc<CommittedBlock> {
        let (mut block, _) = block::genesis(&config()).expect("valid");
        block.header.height = height;
        let receipt = Receipt::new(Hash::ZERO, height, 0, ResultCode::Done, String::new(), Amount::ZERO, &[]);
        Arc::new(CommittedBlock::new(block, Hash::ZERO, vec![Arc::new(receipt)]))
    }

    /// Frames with evidence are many times larger than their block; only the block was counted.
    #[test]
    fn frames_count_against_the_rings_bytes() {
        let ring = Ring::new(0);
        let bytes = vec![0; RING_BYTES_MAX * 2 / 3];
        let frame = || Frame { event: 0, class: Class::Logs, topic: String::new(), bytes: bytes.clone().into() };
        for height in 1..=3 {
            let block = block(height);
            ring.publish(block.clone());
            assert_eq!(block.frames(true, 0, |_| vec![frame()]).len(), 1);
            assert_eq!(block.frames(true, 0, |_| vec![]).len(), 1, "made once");
            assert_eq!(block.frames(true, 1, |_| vec![frame()]).len(), 0, "no such receipt");
        }
        ring.publish(block(4));
        assert_eq!([1, 2, 3, 4].map(|height| ring.block(height).is_some()), [false, false, true, true]);
        assert_eq!(*ring.follow().borrow(), 4);
        // Nobody commits any more, and a reader takes what is left with evidence.
        assert_eq!(ring.block(4).expect("recent").frames(true, 0, |_| vec![frame()]).len(), 1);
        assert_eq!([3, 4].map(|height| ring.block(height).is_some()), [false, true]);
    }

    #[test]
    fn readers_of_the_past_share_blocks_within_bounds() {
        let ring = Ring::new(0);
        let load = |height: u64| Ok::<_, ()>(Arc::into_inner(block(height)));
        let first = ring.older(1, || load(1)).expect("loads").expect("there");
        let second = ring.older(1, || Err(())).expect("not loaded again").expect("there");
        assert!(Arc::ptr_eq(&first, &second));
        for height in 2..1_000 {
            assert!(ring.older(height, || load(height)).expect("loads").is_some());
        }
        let kept = || {
            let older = ring.older.lock().expect("whole");
            assert_eq!(older.blocks.len(), older.order.len());
            older.order.len()
        };
        assert_eq!(kept(), RING_BLOCKS_MAX);
        assert_eq!(ring.older(1, || Err(())).map(|_| ()), Err(()), "it was let go");
        assert_eq!(ring.older(5_000, || Ok::<_, ()>(None)).map(|block| block.is_none()), Ok(true));
        // What was made of a block counts.
        let newest = ring.older(999, || Err(())).expect("kept").expect("there");
        let bytes = vec![0; RING_BYTES_MAX];
        let frame = Frame { event: 0, class: Class::Logs, topic: String::new(), bytes: bytes.into() };
        assert_eq!(newest.frames(true, 0, |_| vec![frame]).len(), 1);
        for _ in 0..OLDER_READS {
            assert!(ring.older(999, || Err(())).is_ok());
        }
        assert_eq!(kept(), 1);
    }
}
