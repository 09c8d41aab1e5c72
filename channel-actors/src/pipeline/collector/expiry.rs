//! When to look for transactions whose time is over, among those that wait here and are offered for no block.
//!
//! A peer that proposes has execution say it. What waits for another leader, or for witnesses, nobody executes: without a look
//! its sender would wait for ever, and its credits with it.

use crate::limits::{EXPIRED_KEPT_MS, EXPIRED_SWEEP_MS};
use ledger_classes::primitives::time::Time;

/// The state.
pub(super) struct Expiry {
    /// None that waits is over earlier.
    ends: Time,
    /// When it was looked for the last time.
    looked: Time,
}

/// The end of all times.
pub(super) const NEVER: Time = Time::from_millis(u64::MAX);

impl Expiry {
    pub(super) const fn new() -> Self {
        Self { ends: NEVER, looked: Time::ZERO }
    }

    /// One waits that is over after this time.
    pub(super) fn keeps(&mut self, valid_until: Time) {
        self.ends = self.ends.min(valid_until);
    }

    /// Others wait from now on.
    pub(super) const fn changes(&mut self) {
        self.ends = Time::ZERO;
    }

    /// Whether it is time to look: then what is over before this time ends. `decided`: the time of the last block that is
    /// applied. Beyond it blocks may be on their way, so that is waited for a little.
    pub(super) fn due(&mut self, decided: Time, now: Time) -> Option<Time> {
        // The clock was set back.
        self.looked = self.looked.min(now);
        let limit = decided.max(now.minus_millis(EXPIRED_KEPT_MS));
        (self.ends < limit && now.millis_since(self.looked) >= EXPIRED_SWEEP_MS).then_some(limit)
    }

    /// It was looked, and of those that stay none is over earlier.
    pub(super) const fn looked(&mut self, ends: Time, now: Time) {
        (self.ends, self.looked) = (ends, now);
    }

    /// When time alone is reason to look.
    pub(super) fn wakes(&self) -> Option<Time> {
        let due = self.ends.plus_millis(EXPIRED_KEPT_MS + 1).max(self.looked.plus_millis(EXPIRED_SWEEP_MS));
        (self.ends < NEVER).then_some(due)
    }
}
