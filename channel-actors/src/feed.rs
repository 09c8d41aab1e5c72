//! What subscribers read: a notification that says only "height h is there", and a ring of recent blocks. A
//! subscription is a cursor of its reader's; nothing is kept here for it, so a slow one slows nobody.

use crate::committed::CommittedBlock;
use crate::limits::{RING_BLOCKS_MAX, RING_BYTES_MAX};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::watch;

/// Recent blocks, and the height of the newest.
pub(crate) struct Ring {
    blocks: Mutex<Blocks>,
    /// Older blocks that somebody reads now: those who are at the same one share it with its frames.
    older: Mutex<HashMap<u64, Weak<CommittedBlock>>>,
    height: watch::Sender<u64>,
}

#[derive(Default)]
struct Blocks {
    /// Consecutive heights, ascending.
    recent: VecDeque<Arc<CommittedBlock>>,
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
        // Frames are made when somebody asks, so what a block holds is counted anew.
        let mut bytes: usize = blocks.recent.iter().map(|block| block.held()).sum();
        while blocks.recent.len() > RING_BLOCKS_MAX || (bytes > RING_BYTES_MAX && blocks.recent.len() > 1) {
            let Some(oldest) = blocks.recent.pop_front() else { break };
            bytes = bytes.saturating_sub(oldest.held());
        }
        drop(blocks);
        self.height.send_replace(height);
    }

    /// A block, if it is recent.
    pub(crate) fn block(&self, height: u64) -> Option<Arc<CommittedBlock>> {
        let blocks = self.lock();
        let first = blocks.recent.front()?.block.header.height;
        blocks.recent.get(usize::try_from(height.checked_sub(first)?).ok()?).cloned()
    }

    /// A block that has left the ring, if somebody reads it now; else what `load` finds.
    pub(crate) fn older<E>(
        &self,
        height: u64,
        load: impl FnOnce() -> Result<Option<CommittedBlock>, E>,
    ) -> Result<Option<Arc<CommittedBlock>>, E> {
        let lock = || self.older.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(block) = lock().get(&height).and_then(Weak::upgrade) {
            return Ok(Some(block));
        }
        let Some(block) = load()?.map(Arc::new) else { return Ok(None) };
        let mut older = lock();
        if older.len() >= RING_BLOCKS_MAX {
            older.retain(|_, block| block.strong_count() > 0);
        }
        // Whoever was quicker has its block shared.
        if let Some(block) = older.get(&height).and_then(Weak::upgrade) {
            return Ok(Some(block));
        }
        older.insert(height, Arc::downgrade(&block));
        Ok(Some(block))
    }

    /// Forgets the blocks, as the channel rests: who wants one gets it from the store.
    pub(crate) fn forget(&self) {
        self.lock().recent = VecDeque::new();
        *self.older.lock().unwrap_or_else(PoisonError::into_inner) = HashMap::new();
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
        for height in 1..=3 {
            let block = block(height);
            ring.publish(block.clone());
            let frame = || Frame {
                event: 0,
                class: Class::Logs,
                topic: String::new(),
                bytes: vec![0; RING_BYTES_MAX * 2 / 3].into(),
            };
            assert_eq!(block.frames(true, 0, |_| vec![frame()]).len(), 1);
            assert_eq!(block.frames(true, 0, |_| vec![]).len(), 1, "made once");
            assert_eq!(block.frames(true, 1, |_| vec![frame()]).len(), 0, "no such receipt");
        }
        ring.publish(block(4));
        assert_eq!([1, 2, 3, 4].map(|height| ring.block(height).is_some()), [false, false, true, true]);
        assert_eq!(*ring.follow().borrow(), 4);
    }

    #[test]
    fn readers_of_the_past_share_a_block_as_long_as_one_of_them_has_it() {
        let ring = Ring::new(0);
        let load = |height: u64| Ok::<_, ()>(Arc::into_inner(block(height)));
        let first = ring.older(1, || load(1)).expect("loads").expect("there");
        let second = ring.older(1, || Err(())).expect("not loaded again").expect("there");
        assert!(Arc::ptr_eq(&first, &second));
        drop((first, second));
        assert_eq!(ring.older(1, || Err(())).map(|_| ()), Err(()));
        for height in 2..1_000 {
            assert!(ring.older(height, || load(height)).expect("loads").is_some());
        }
        assert!(ring.older.lock().expect("whole").len() <= RING_BLOCKS_MAX);
        assert_eq!(ring.older(5_000, || Ok::<_, ()>(None)).map(|block| block.is_none()), Ok(true));
    }
}
