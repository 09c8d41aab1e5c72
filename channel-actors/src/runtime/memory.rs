//! What all channels of a peer share of its memory: recent blocks with the frames of their events, transactions between
//! door and commit, and what their stores keep of their files and have not written yet. Each channel has a bound of its
//! own; these hold for hundreds of them, too.

use crate::limits::GRANT_LEAST;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory of a peer's channels.
#[derive(Clone, Debug, Default)]
pub struct PeerMemory {
    /// Blocks that rings hold, with what was made of them.
    pub blocks: Arc<Pool>,
    /// Payloads and signatures between door and commit.
    pub in_flight: Arc<Pool>,
    /// What stores keep and have not written.
    pub stores: StoreMemory,
}

impl PeerMemory {
    /// So many bytes of each.
    pub fn new(blocks: usize, in_flight: usize, stores: StoreMemory) -> Self {
        Self { blocks: Arc::new(Pool::new(blocks)), in_flight: Arc::new(Pool::new(in_flight)), stores }
    }
}

/// The memory of stores.
#[derive(Clone, Debug)]
pub struct StoreMemory {
    /// Pages that their databases keep of their files.
    pub caches: Arc<Pool>,
    /// What was applied and waits for a checkpoint, and what the last one wrote.
    pub writes: Arc<Pool>,
}

impl StoreMemory {
    /// So many bytes of each.
    pub fn new(caches: usize, writes: usize) -> Self {
        Self { caches: Arc::new(Pool::new(caches)), writes: Arc::new(Pool::new(writes)) }
    }
}

/// Of a store that is alone.
impl Default for StoreMemory {
    fn default() -> Self {
        Self::new(usize::MAX / 2, usize::MAX / 2)
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

    /// What is left of it.
    pub(crate) fn left(&self) -> usize {
        self.max.saturating_sub(self.held())
    }

    /// A part of it for something that has its size for as long as it lives: `most`, but a quarter of what is left; one of
    /// [`GRANT_LEAST`] of `most` there is always.
    pub(crate) fn grant(self: &Arc<Self>, most: usize) -> Counted {
        Counted::new(self, (self.left() / 4).min(most).max(most / GRANT_LEAST))
    }
}

/// Bytes of something, given back when it is dropped.
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

    /// Its bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// It has so many bytes now.
    pub(crate) fn set(&self, bytes: usize) {
        let before = self.bytes.swap(bytes, Ordering::Relaxed);
        self.memory.held.fetch_add(bytes, Ordering::Relaxed);
        self.memory.held.fetch_sub(before, Ordering::Relaxed);
    }

    /// What is left of what it is counted in.
    pub(crate) fn left(&self) -> usize {
        self.memory.left()
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

    /// Each busy channel had 72 MiB of pages of its files.
    #[test]
    fn of_what_has_its_size_for_good_each_gets_a_part_and_all_together_not_more_than_there_is() {
        const MIB: usize = 1024 * 1024;
        let pool = Arc::new(Pool::new(128 * MIB));
        let grants: Vec<Counted> = (0..100).map(|_| pool.grant(64 * MIB)).collect();
        let sizes: Vec<usize> = grants.iter().map(Counted::bytes).collect();
        assert_eq!(sizes[..3], [32 * MIB, 24 * MIB, 18 * MIB]);
        assert!(sizes.is_sorted_by(|a, b| a >= b) && sizes.iter().all(|size| *size >= MIB / 4));
        assert!(pool.held() < 128 * MIB + 100 * MIB / 4, "{}", pool.held());
        drop(grants);
        assert_eq!((pool.held(), pool.grant(4 * MIB).bytes()), (0, 4 * MIB));
    }

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
