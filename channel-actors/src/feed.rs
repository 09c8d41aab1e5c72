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

#[derive(Default)]
struct Blocks {
    /// Consecutive heights, ascending.
    recent: VecDeque<Arc<CommittedBlock>>,
    /// Reads since it was last looked how much they hold.
    reads: usize,
}

/// Older blocks that were read lately: those who are at the same one share it with its frames.
#[derive(Default)]
struct Older {
    blocks: HashMap<u64, Arc<CommittedBlock>>,
    /// Their heights in the order of coming.
    order: VecDeque<u64>,
}

/// Blocks that are looked through for one read, on average.
const LOOKED_THROUGH: usize = 64;

impl Blocks {
    /// Frames are made when somebody asks, so what a block holds is counted anew.
    fn trim(&mut self) {
        self.reads = 0;
        let mut bytes: usize = self.recent.iter().map(|block| block.held()).sum();
        while self.recent.len() > RING_BLOCKS_MAX || (bytes > RING_BYTES_MAX && self.recent.len() > 1) {
            let Some(oldest) = self.recent.pop_front() else { break };
            bytes = bytes.saturating_sub(oldest.held());
        }
    }
}

impl Older {
    fn trim(&mut self) {
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
        blocks.recent.push_back(block);
        blocks.trim();
        drop(blocks);
        self.height.send_replace(height);
    }

    /// A block, if it is recent.
    pub(crate) fn block(&self, height: u64) -> Option<Arc<CommittedBlock>> {
        let mut blocks = self.lock();
        blocks.reads += 1;
        if blocks.reads * LOOKED_THROUGH >= blocks.recent.len() {
            blocks.trim();
        }
        let first = blocks.recent.front()?.block.header.height;
        blocks.recent.get(usize::try_from(height.checked_sub(first)?).ok()?).cloned()
    }

    /// A block that has left the ring, if it was read lately; else what `load` finds.
    pub(crate) fn older<E>(
        &self,
        height: u64,
        load: impl FnOnce() -> Result<Option<CommittedBlock>, E>,
    ) -> Result<Option<Arc<CommittedBlock>>, E> {
        let lock = || self.older.lock().unwrap_or_else(PoisonError::into_inner);
        let found = |older: &mut Older| {
            older.trim();
            older.blocks.get(&height).cloned()
        };
        if let Some(block) = found(&mut lock()) {
            return Ok(Some(block));
        }
        let Some(block) = load()?.map(Arc::new) else { return Ok(None) };
        let mut older = lock();
        // Whoever was quicker has its block shared.
        if let Some(block) = found(&mut older) {
            return Ok(Some(block));
        }
        older.blocks.insert(height, block.clone());
        older.order.push_back(height);
        older.trim();
        Ok(Some(block))
    }

    /// Forgets the blocks, as the channel rests: who wants one gets it from the store.
    pub(crate) fn forget(&self) {
        self.lock().recent = VecDeque::new();
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
        assert!(ring.older(999, || Err(())).is_ok());
        assert_eq!(kept(), 1);
    }
}
