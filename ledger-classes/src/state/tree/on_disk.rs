//! What the pages on the disk have of a part of the tree that is in memory.

use std::sync::atomic::{AtomicBool, Ordering};

/// What the pages have of something.
#[derive(Debug, Default)]
pub(super) struct OnDisk {
    /// It is there as it is, with all that is below.
    saved: AtomicBool,
    /// There may be pages where none belongs: at its place if it is a node, below if it is a bucket.
    pub(super) leftovers: bool,
}

impl Clone for OnDisk {
    fn clone(&self) -> Self {
        Self { saved: AtomicBool::new(self.is_saved()), leftovers: self.leftovers }
    }
}

impl OnDisk {
    /// Of what comes in place of something of the same kind.
    pub(super) fn after(&self) -> Self {
        Self { saved: AtomicBool::new(false), leftovers: self.leftovers && !self.is_saved() }
    }

    /// Of what no page has, with or without leftovers.
    pub(super) const fn unsaved(leftovers: bool) -> Self {
        Self { saved: AtomicBool::new(false), leftovers }
    }

    /// Of what comes in place of something of the other kind.
    pub(super) fn other() -> Self {
        Self::unsaved(true)
    }

    pub(super) fn read() -> Self {
        Self { saved: AtomicBool::new(true), leftovers: false }
    }

    pub(super) fn is_saved(&self) -> bool {
        self.saved.load(Ordering::Acquire)
    }

    pub(super) fn set_saved(&self) {
        self.saved.store(true, Ordering::Release);
    }
}
