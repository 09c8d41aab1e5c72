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
    bytes: usize,
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
        blocks.bytes += block.bytes;
        blocks.recent.push_back(block);
        while blocks.recent.len() > RING_BLOCKS_MAX || (blocks.bytes > RING_BYTES_MAX && blocks.recent.len() > 1) {
            let Some(oldest) = blocks.recent.pop_front() else { break };
            blocks.bytes -= oldest.bytes;
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
