//! Where a channel is in its life, and the switch that stops it for good. Anything that goes wrong in the group of a
//! channel ends here with a reason; what goes wrong in one channel is no other channel's matter.

use std::sync::Arc;
use tokio::sync::watch;

/// Where a channel is in its life on this peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LifeCycle {
    /// Its files are being opened.
    Opening,
    /// Blocks after the last checkpoint are executed again.
    Replaying {
        /// Blocks done.
        done: u64,
        /// Blocks to do.
        of: u64,
    },
    /// At work.
    Serving,
    /// Finishes what it has and takes nothing new.
    Draining,
    /// Its files are closed.
    Closed,
    /// Stopped for good; an operator must act.
    Halted {
        /// Why.
        reason: String,
    },
}

/// The life of one channel, shared by everybody who works for it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Life(Arc<watch::Sender<LifeCycle>>);

impl Life {
    pub(crate) fn new(state: LifeCycle) -> Self {
        Self(Arc::new(watch::Sender::new(state)))
    }

    /// Where it is now.
    pub(crate) fn state(&self) -> LifeCycle {
        self.0.borrow().clone()
    }

    /// Follows changes.
    pub(crate) fn follow(&self) -> watch::Receiver<LifeCycle> {
        self.0.subscribe()
    }

    /// Goes on to `state`, unless the channel has halted or closed: those are final.
    pub(crate) fn set(&self, state: LifeCycle) {
        self.0.send_if_modified(|now| {
            let last = matches!(now, LifeCycle::Halted { .. } | LifeCycle::Closed);
            if !last {
                *now = state;
            }
            !last
        });
    }

    /// Stops the channel; the first reason counts. Logged here and nowhere else.
    pub(crate) fn halt(&self, channel: &str, reason: impl Into<String>) {
        let reason = reason.into();
        let first = self.0.send_if_modified(|now| {
            let first = !matches!(now, LifeCycle::Halted { .. } | LifeCycle::Closed);
            if first {
                *now = LifeCycle::Halted { reason: reason.clone() };
            }
            first
        });
        if first {
            tracing::error!(channel, reason, "channel halted");
        }
    }
}
