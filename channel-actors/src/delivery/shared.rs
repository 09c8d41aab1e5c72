//! What a channel's actor and its readers share beside the store, and what stays of a channel that is suspended: the
//! ring, and the newest committed facts. Written by the effect loop alone.

use crate::block::committed::CommittedBlock;
use crate::block::tip::Tip;
use crate::delivery::links::Links;
use crate::delivery::ring::Ring;
use crate::runtime::memory::Pool;
use ledger_classes::execution::{ConfigRecord, Mark};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Facts of a channel that was opened once.
pub(crate) struct Shared {
    pub(crate) ring: Ring,
    pub(crate) links: Links,
    newest: RwLock<(Tip, Arc<ConfigRecord>)>,
    ended: RwLock<Arc<[Mark]>>,
    /// What has ended since subscribers were last woken.
    ends: AtomicBool,
}

impl Shared {
    pub(crate) fn new(tip: Tip, config: Arc<ConfigRecord>, ended: Arc<[Mark]>, memory: Arc<Pool>) -> Self {
        let (newest, ended) = (RwLock::new((tip, config)), RwLock::new(ended));
        Self {
            links: Links::new(&memory),
            ring: Ring::new(tip.height, memory),
            newest,
            ended,
            ends: AtomicBool::default(),
        }
    }

    /// Under what the channel has ended certificates, in order.
    pub(crate) fn ended(&self) -> Arc<[Mark]> {
        self.ended.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A block has ended certificates, or taken that back.
    pub(crate) fn end(&self, changed: &[(Mark, bool)]) {
        let before = self.ended();
        // Most blocks that write of certificates end none.
        if changed.iter().all(|(mark, ends)| before.binary_search(mark).is_ok() == *ends) {
            return;
        }
        let mut marks: BTreeSet<Mark> = before.iter().copied().collect();
        for (mark, ends) in changed {
            if *ends {
                marks.insert(*mark)
            } else {
                marks.remove(mark)
            };
        }
        *self.ended.write().unwrap_or_else(PoisonError::into_inner) = marks.into_iter().collect();
        self.ends.store(true, Ordering::Release);
    }

    /// Whether somebody may have lost the right to read since this was asked last.
    pub(crate) fn has_just_ended(&self) -> bool {
        self.ends.swap(false, Ordering::AcqRel)
    }

    /// The last committed block.
    pub(crate) fn tip(&self) -> Tip {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).0
    }

    /// The configuration that rules the next block.
    pub(crate) fn config(&self) -> Arc<ConfigRecord> {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// A block was committed.
    pub(crate) fn commit(&self, block: &CommittedBlock, config: Option<Arc<ConfigRecord>>) {
        let header = &block.block.header;
        let mut newest = self.newest.write().unwrap_or_else(PoisonError::into_inner);
        newest.0 = Tip { height: header.height, hash: block.header_hash, time: header.time };
        if let Some(config) = config {
            newest.1 = config;
        }
    }
}
