//! Whether a channel is active, with its files open and its actor running, or suspended, with neither.
//!
//! Pure: [`Passivation`] is told what happens and says what is to be done. Whoever needs the files of a channel that is
//! suspended waits until it is active; nothing is ever refused for it. Always: the files are open in [`Activity::Active`],
//! and nobody but one opening or one closing touches them in any other state.

use std::time::{Duration, Instant};

/// Where a channel is between active and suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// Its files are open and its actor runs.
    Active,
    /// It is being suspended: its actor ends, its files are closed.
    Suspending,
    /// Its files are closed.
    Suspended,
    /// Its files are being opened.
    Resuming,
}

/// What becomes of somebody who needs the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// They are open.
    Go,
    /// They will be opened: wait.
    Wait,
    /// Wait, and have them opened: nobody else does.
    Resume,
}

/// Where the channel is, and what it needs to decide.
#[derive(Clone, Debug)]
pub(crate) struct Passivation {
    activity: Activity,
    /// Somebody needs the files that are being closed.
    needed: bool,
    /// When it was last in use; `None` if it may be suspended at once.
    used: Option<Instant>,
}

impl Passivation {
    /// A channel whose files are not open.
    pub(crate) const fn new() -> Self {
        Self { activity: Activity::Suspended, needed: false, used: None }
    }

    pub(crate) const fn activity(&self) -> Activity {
        self.activity
    }

    /// Somebody needs the files. A use that is `brief` does not keep the channel active afterwards.
    pub(crate) fn need(&mut self, now: Instant, brief: bool) -> Need {
        if !brief {
            self.used = Some(now);
        }
        match self.activity {
            Activity::Active => Need::Go,
            Activity::Resuming => Need::Wait,
            Activity::Suspending => {
                self.needed = true;
                Need::Wait
            }
            Activity::Suspended => {
                self.activity = Activity::Resuming;
                Need::Resume
            }
        }
    }

    /// A look at a channel: whether it shall go to passivation. `busy`: something is in flight.
    pub(crate) fn inspect(&mut self, now: Instant, busy: bool, after: Duration) -> bool {
        if self.activity != Activity::Active {
            return false;
        }
        if busy {
            self.used = self.used.map(|_| now);
            return false;
        }
        let quiet = self.used.is_none_or(|used| now.saturating_duration_since(used) >= after);
        if quiet {
            (self.activity, self.needed) = (Activity::Suspending, false);
        }
        quiet
    }

    /// It stays active after all: something is under way or due.
    pub(crate) fn stays_active(&mut self) {
        debug_assert_eq!(self.activity, Activity::Suspending);
        self.activity = Activity::Active;
    }

    /// Its files are closed. Whether they must be opened again, since somebody waits.
    pub(crate) fn closed(&mut self) -> bool {
        debug_assert_ne!(self.activity, Activity::Suspended);
        let again = std::mem::take(&mut self.needed);
        self.activity = if again { Activity::Resuming } else { Activity::Suspended };
        again
    }

    /// Its files are open and its actor runs.
    pub(crate) fn resumed(&mut self) {
        debug_assert!(matches!(self.activity, Activity::Resuming | Activity::Suspended));
        self.activity = Activity::Active;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{Random, seeds};

    const AFTER: Duration = Duration::from_secs(60);

    #[test]
    fn suspension_begins_a_while_after_the_last_use_and_at_once_after_a_brief_one() {
        let began = Instant::now();
        let mut passivation = Passivation::new();
        assert_eq!(passivation.need(began, false), Need::Resume);
        assert_eq!(passivation.need(began, false), Need::Wait);
        passivation.resumed();
        assert!(!passivation.inspect(began + AFTER / 2, false, AFTER));
        assert!(!passivation.inspect(began + AFTER, true, AFTER), "it is in use until now");
        assert!(!passivation.inspect(began + AFTER * 3 / 2, false, AFTER));
        assert!(passivation.inspect(began + AFTER * 2, false, AFTER));
        assert!(!passivation.closed());
        let mut passivation = Passivation::new();
        assert_eq!(passivation.need(began, true), Need::Resume);
        passivation.resumed();
        assert!(!passivation.inspect(began, true, AFTER));
        assert!(passivation.inspect(began, false, AFTER));
        assert_eq!(passivation.need(began, true), Need::Wait);
        assert!(passivation.closed(), "somebody waits");
        assert_eq!(passivation.activity(), Activity::Resuming);
    }

    /// Against a model of the files and of those who wait: whatever happens in whatever order, one opens or closes at
    /// a time, nobody works on closed files, and whoever waits is served when nothing more happens.
    #[test]
    fn nobody_waits_for_ever_and_nobody_finds_closed_files() {
        for seed in seeds(200) {
            let (mut random, began) = (Random(seed), Instant::now());
            let (mut passivation, mut open, mut opening, mut closing, mut waiting, mut working) =
                (Passivation::new(), false, false, false, 0u32, 0u32);
            for step in 0..400u32 {
                let now = began + AFTER / 4 * step;
                // At the end only what is under way goes on.
                match if step < 300 { random.below(5) } else { 2 + random.below(2) } {
                    0 => match passivation.need(now, random.below(2) == 0) {
                        Need::Go => {
                            assert!(open && !closing, "seed {seed}");
                            working += 1;
                        }
                        Need::Wait => waiting += 1,
                        Need::Resume => {
                            assert!(!open && !opening && !closing, "seed {seed}");
                            (opening, waiting) = (true, waiting + 1);
                        }
                    },
                    1 => {
                        if passivation.inspect(now, working > 0, AFTER) {
                            assert!(open && working == 0 && waiting == 0, "seed {seed}");
                            closing = true;
                        }
                    }
                    2 if opening => {
                        passivation.resumed();
                        (open, opening) = (true, false);
                        working += std::mem::take(&mut waiting);
                    }
                    3 if closing => {
                        closing = false;
                        if random.below(4) == 0 {
                            passivation.stays_active();
                            working += std::mem::take(&mut waiting);
                        } else {
                            (open, opening) = (false, passivation.closed());
                            assert_eq!(opening, waiting > 0, "seed {seed}");
                        }
                    }
                    _ => working = working.saturating_sub(1),
                }
            }
            assert_eq!(waiting, 0, "seed {seed}");
        }
    }
}
