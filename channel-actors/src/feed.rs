//! What subscribers read: a notification that says only "height h is there", and a ring of recent blocks. A
//! subscription is a cursor of its reader's; nothing is kept here for it, so a slow one slows nobody.

use crate::committed::CommittedBlock;
use crate::limits::{RING_BLOCKS_MAX, RING_BYTES_MAX};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Recent blocks, and the height of the newest.
pub(crate) struct Ring {
    blocks: Mutex<Blocks>,
    height: watch::Sender<u64>,
}

#[derive(Default)]
struct Blocks {
    /// Consecutive heights, ascending.
    recent: VecDeque<Arc<CommittedBlock>>,
}

impl Ring {
    pub(crate) fn new(height: u64) -> Self {
        Self { blocks: Mutex::default(), height: watch::Sender::new(height) }
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
    use ledger_classes::block;
    use ledger_classes::hash::Hash;
    use ledger_classes::rights::Class;

    fn block(height: u64) -> Arc<CommittedBlock> {
        let (mut block, _) = block::genesis(&config()).expect("valid");
        block.header.height = height;
        Arc::new(CommittedBlock::new(block, Hash::ZERO, Vec::new()))
    }

    /// Frames with evidence are many times larger than their block; only the block was counted.
    #[test]
    fn frames_count_against_the_rings_bytes() {
        let ring = Ring::new(0);
        for height in 1..=3 {
            let block = block(height);
            ring.publish(block.clone());
            let frame = || Frame {
                index: 0,
                event: 0,
                class: Class::Logs,
                topic: String::new(),
                bytes: vec![0; RING_BYTES_MAX * 2 / 3].into(),
            };
            assert_eq!(block.frames(true, |_| vec![frame()]).len(), 1);
            assert_eq!(block.frames(true, |_| vec![]).len(), 1, "made once");
        }
        ring.publish(block(4));
        assert_eq!([1, 2, 3, 4].map(|height| ring.block(height).is_some()), [false, false, true, true]);
        assert_eq!(*ring.follow().borrow(), 4);
    }
}
