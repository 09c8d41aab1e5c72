//! Where a channel is in its life, and the switch that stops it for good. Anything that goes wrong in a
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

const LAST: u8 = 4;

impl LifeCycle {
    const fn stage(&self) -> u8 {
        match self {
            Self::Opening => 0,
            Self::Replaying { .. } => 1,
            Self::Serving => 2,
            Self::Draining => 3,
            Self::Closed | Self::Halted { .. } => LAST,
        }
    }
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

    /// Goes on to `state`; returns whether it did. Life never goes back, so a channel that is told to drain while it
    /// opens never serves, and halted or closed is final.
    pub(crate) fn set(&self, state: LifeCycle) -> bool {
        self.0.send_if_modified(|now| {
            let onward = now.stage() < LAST && state.stage() >= now.stage();
            if onward {
                *now = state;
            }
            onward
        })
    }

    /// Stops the channel; returns whether it was at work until now. The first reason counts. Logged here and nowhere
    /// else.
    pub(crate) fn halt(&self, channel: &str, reason: impl Into<String>) -> bool {
        let reason = reason.into();
        let first = self.0.send_if_modified(|now| {
            let first = now.stage() < LAST;
            if first {
                *now = LifeCycle::Halted { reason: reason.clone() };
            }
            first
        });
        if first {
            tracing::error!(channel, reason, "channel halted");
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn life_never_goes_back() {
        let halted = || LifeCycle::Halted { reason: "disk".into() };
        let replaying = |done| LifeCycle::Replaying { done, of: 9 };
        use LifeCycle::{Closed, Draining, Opening, Serving};
        for (now, next, goes) in [
            (Opening, Serving, true),
            (Opening, Draining, true),
            (replaying(1), replaying(2), true),
            (Serving, Draining, true),
            (Draining, Closed, true),
            (Draining, replaying(3), false),
            (Draining, Serving, false),
            (Closed, Serving, false),
            (halted(), Draining, false),
            (halted(), Closed, false),
        ] {
            let life = Life::new(now.clone());
            assert_eq!(life.set(next.clone()), goes, "{now:?} to {next:?}");
            assert_eq!(life.state(), if goes { next } else { now });
        }
    }

    #[test]
    fn the_first_reason_counts_and_a_closed_channel_does_not_halt() {
        let life = Life::new(LifeCycle::Draining);
        assert!(life.halt("c", "first"));
        assert!(!life.halt("c", "second"));
        assert_eq!(life.state(), LifeCycle::Halted { reason: "first".into() });
        let life = Life::new(LifeCycle::Closed);
        assert!(!life.halt("c", "an actor is gone"));
        assert_eq!(life.state(), LifeCycle::Closed);
    }
}
