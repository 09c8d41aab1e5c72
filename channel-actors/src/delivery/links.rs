//! The changes of who seals on a channel as proofs show them. They never change: what was asked for lately is kept,
//! within a bound, since every proof shows all of them up to its block.

use crate::limits::{LINKS_BYTES_MAX, LINKS_KNOWN_MAX};
use crate::runtime::memory::{Counted, Pool};
use ledger_classes::formats::proof::TrustLink;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Links by their height.
pub(crate) struct Links {
    kept: Mutex<Kept>,
    /// Their bytes, among those of the blocks that are kept for readers.
    counted: Counted,
}

#[derive(Default)]
struct Kept {
    links: HashMap<u64, (Arc<TrustLink>, usize)>,
    /// Their heights in the order of coming.
    order: VecDeque<u64>,
    bytes: usize,
    /// Of each change the height of the one before it.
    below: HashMap<u64, u64>,
}

impl Links {
    /// Within what all channels share.
    pub(crate) fn new(memory: &Arc<Pool>) -> Self {
        Self { kept: Mutex::default(), counted: Counted::new(memory, 0) }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The link of a change, if it was asked for lately.
    pub(crate) fn find(&self, height: u64) -> Option<Arc<TrustLink>> {
        self.lock().links.get(&height).map(|(link, _)| link.clone())
    }

    /// Keeps the link of a change, in place of those that came first.
    pub(crate) fn keep(&self, height: u64, link: Arc<TrustLink>) {
        let bytes = size(&link);
        let mut kept = self.lock();
        if kept.links.insert(height, (link, bytes)).is_some() {
            return;
        }
        kept.order.push_back(height);
        kept.bytes += bytes;
        // While all channels together hold too much, what was asked for last.
        let most = if self.counted.is_over() { LINKS_BYTES_MAX / 16 } else { LINKS_BYTES_MAX };
        while kept.bytes > most {
            let Some((_, bytes)) = kept.order.pop_front().and_then(|height| kept.links.remove(&height)) else { break };
            kept.bytes -= bytes;
        }
        self.counted.set(kept.bytes);
    }

    /// Forgets all, as the channel is suspended.
    pub(crate) fn forget(&self) {
        *self.lock() = Kept::default();
        self.counted.set(0);
    }

    /// The height of the change before this one, if it is known.
    pub(crate) fn below(&self, height: u64) -> Option<u64> {
        self.lock().below.get(&height).copied()
    }

    /// Keeps the height of the change before this one.
    pub(crate) fn keep_below(&self, height: u64, below: u64) {
        let mut kept = self.lock();
        if kept.below.len() >= LINKS_KNOWN_MAX {
            kept.below.clear();
        }
        kept.below.insert(height, below);
    }
}

/// Bytes of a link in memory, about.
fn size(link: &TrustLink) -> usize {
    link.header.0.len() + link.seal.0.len() + link.orderers.0.len() + 512
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger_classes::primitives::hash::HexBytes;

    fn link(bytes: usize) -> Arc<TrustLink> {
        let empty = || HexBytes(Vec::new());
        Arc::new(TrustLink { header: empty(), seal: empty(), orderers: HexBytes(vec![0; bytes]) })
    }

    #[test]
    fn links_are_kept_within_a_bound() {
        let memory = Arc::new(Pool::new(LINKS_BYTES_MAX * 2));
        let links = Links::new(&memory);
        for height in 1..=20 {
            links.keep(height, link(LINKS_BYTES_MAX / 8));
            links.keep(height, link(LINKS_BYTES_MAX / 8));
            assert!(links.find(height).is_some() && links.lock().bytes <= LINKS_BYTES_MAX);
        }
        assert!(links.find(1).is_none());
        let sizes = |kept: &Kept| (kept.links.len(), kept.order.len(), kept.bytes);
        let (links_kept, order, _) = sizes(&links.lock());
        assert_eq!(links_kept, order);
        assert_eq!(memory.held(), links.lock().bytes);
        links.keep(30, link(LINKS_BYTES_MAX));
        assert!(links.find(30).is_none(), "one that is larger than all is not kept");
        assert_eq!((sizes(&links.lock()), memory.held()), ((0, 0, 0), 0));
        // Each channel kept its 4 MiB, however many there were.
        let _others = Counted::new(&memory, LINKS_BYTES_MAX * 2 + 1);
        (40..60).for_each(|height| links.keep(height, link(LINKS_BYTES_MAX / 64)));
        assert!(links.lock().bytes <= LINKS_BYTES_MAX / 16 && links.find(59).is_some());
    }
}
