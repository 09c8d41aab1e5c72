//! What all channels of a peer share of its memory: recent blocks with the frames of their events, and transactions
//! between door and commit. Each channel has a bound of its own; these hold for hundreds of them, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory of a peer's channels.
#[derive(Clone, Debug, Default)]
pub struct PeerMemory {
    /// Blocks that rings hold, with what was made of them.
    pub blocks: Arc<Pool>,
    /// Payloads and signatures between door and commit.
    pub in_flight: Arc<Pool>,
}

impl PeerMemory {
    /// So many bytes of each.
    pub fn new(blocks: usize, in_flight: usize) -> Self {
        Self { blocks: Arc::new(Pool::new(blocks)), in_flight: Arc::new(Pool::new(in_flight)) }
    }
}

/// Bytes that all channels share.
#[derive(Debug)]
pub struct Pool {
    max: usize,
    held: AtomicUsize,
}

impl Pool {
    /// Room for so many bytes.
    pub const fn new(max: usize) -> Self {
        Self { max, held: AtomicUsize::new(0) }
    }

    /// Bytes that there may be.
    pub const fn max(&self) -> usize {
        self.max
    }

    /// Bytes that there are.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether there are more than there may be: everybody keeps as little as can be then.
    pub(crate) fn is_over(&self) -> bool {
        self.held() > self.max
    }

    /// Takes more for a channel that has `own` of it: never more than is left afterwards, so that there is always some
    /// for another one. Whoever has none may take one thing that is larger.
    pub(crate) fn take(&self, own: usize, more: usize) -> bool {
        let add = |held: usize| {
            let sum = held.checked_add(more).filter(|sum| *sum <= self.max)?;
            (own == 0 || own + more <= self.max - sum).then_some(sum)
        };
        self.held.fetch_update(Ordering::AcqRel, Ordering::Acquire, add).is_ok()
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::AcqRel);
    }
}

/// Bytes of one block, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    memory: Arc<Pool>,
    bytes: AtomicUsize,
}

impl Counted {
    pub(crate) fn new(memory: &Arc<Pool>, bytes: usize) -> Self {
        let counted = Self { memory: Arc::clone(memory), bytes: AtomicUsize::new(0) };
        counted.add(bytes);
        counted
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.memory.held.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.memory.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether all blocks together are more than there may be.
    pub(crate) fn is_over(&self) -> bool {
        self.memory.is_over()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.memory.held.fetch_sub(self.bytes.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self::new(crate::limits::POOL_DEFAULT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_takes_no_more_than_it_leaves_for_others() {
        let pool = Pool::new(1_000);
        let fill = |own: &mut usize| {
            while pool.take(*own, 10) {
                *own += 10;
            }
        };
        let (mut one, mut two, mut three) = (0, 0, 0);
        fill(&mut one);
        fill(&mut two);
        fill(&mut three);
        assert_eq!((one, two, three), (500, 250, 120));
        assert!(pool.take(0, 130) && !pool.take(0, 1));
        pool.give_back(one + two + three + 130);
        assert!(pool.take(0, 1_000));
    }
}
