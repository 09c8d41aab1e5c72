//! Whether a channel works, with its files open and its actors running, or rests, with neither.
//!
//! Pure: [`Rest`] is told what happens and says what is to be done. Whoever needs the files of a channel that rests
//! waits until it works; nothing is ever refused for it. Always: the files are open in [`Stage::Working`], and nobody
//! but one opening or one closing touches them in any other stage.

use std::time::{Duration, Instant};

/// Where a channel is between work and rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its files are open and its actors run.
    Working,
    /// It goes to rest: its actors end, its files are closed.
    Settling,
    /// Its files are closed.
    Resting,
    /// Its files are being opened.
    Waking,
}

/// What becomes of somebody who needs the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// They are open.
    Go,
    /// They will be opened: wait.
    Wait,
    /// Wait, and have them opened: nobody else does.
    Wake,
}

/// The state between work and rest.
#[derive(Clone, Debug)]
pub(crate) struct Rest {
    stage: Stage,
    /// Somebody needs the files that are being closed.
    needed: bool,
    /// When it was last in use; `None` if it may rest at once.
    used: Option<Instant>,
}

impl Rest {
    /// A channel whose files are not open.
    pub(crate) const fn new() -> Self {
        Self { stage: Stage::Resting, needed: false, used: None }
    }

    pub(crate) const fn stage(&self) -> Stage {
        self.stage
    }

    /// Somebody needs the files. A use that is `brief` does not keep the channel from resting afterwards.
    pub(crate) fn need(&mut self, now: Instant, brief: bool) -> Need {
        if !brief {
            self.used = Some(now);
        }
        match self.stage {
            Stage::Working => Need::Go,
            Stage::Waking => Need::Wait,
            Stage::Settling => {
                self.needed = true;
                Need::Wait
            }
            Stage::Resting => {
                self.stage = Stage::Waking;
                Need::Wake
            }
        }
    }

    /// A look at a channel: whether it shall go to rest. `busy`: something is in flight.
    pub(crate) fn look(&mut self, now: Instant, busy: bool, after: Duration) -> bool {
        if self.stage != Stage::Working {
            return false;
        }
        if busy {
            self.used = self.used.map(|_| now);
            return false;
        }
        let quiet = self.used.is_none_or(|used| now.saturating_duration_since(used) >= after);
        if quiet {
            (self.stage, self.needed) = (Stage::Settling, false);
        }
        quiet
    }

    /// It does not go to rest after all: something is under way or due.
    pub(crate) fn kept_up(&mut self) {
        debug_assert_eq!(self.stage, Stage::Settling);
        self.stage = Stage::Working;
    }

    /// Its files are closed. Whether they must be opened again, since somebody waits.
    pub(crate) fn closed(&mut self) -> bool {
        debug_assert_ne!(self.stage, Stage::Resting);
        let again = std::mem::take(&mut self.needed);
        self.stage = if again { Stage::Waking } else { Stage::Resting };
        again
    }

    /// Its files are open and its actors run.
    pub(crate) fn awake(&mut self) {
        debug_assert!(matches!(self.stage, Stage::Waking | Stage::Resting));
        self.stage = Stage::Working;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{Random, seeds};

    const AFTER: Duration = Duration::from_secs(60);

    #[test]
    fn rest_begins_a_while_after_the_last_use_and_at_once_after_a_brief_one() {
        let began = Instant::now();
        let mut rest = Rest::new();
        assert_eq!(rest.need(began, false), Need::Wake);
        assert_eq!(rest.need(began, false), Need::Wait);
        rest.awake();
        assert!(!rest.look(began + AFTER / 2, false, AFTER));
        assert!(!rest.look(began + AFTER, true, AFTER), "it is in use until now");
        assert!(!rest.look(began + AFTER * 3 / 2, false, AFTER));
        assert!(rest.look(began + AFTER * 2, false, AFTER));
        assert!(!rest.closed());
        let mut rest = Rest::new();
        assert_eq!(rest.need(began, true), Need::Wake);
        rest.awake();
        assert!(!rest.look(began, true, AFTER));
        assert!(rest.look(began, false, AFTER));
        assert_eq!(rest.need(began, true), Need::Wait);
        assert!(rest.closed(), "somebody waits");
        assert_eq!(rest.stage(), Stage::Waking);
    }

    /// Against a model of the files and of those who wait: whatever happens in whatever order, one opens or closes at
    /// a time, nobody works on closed files, and whoever waits is served when nothing more happens.
    #[test]
    fn nobody_waits_for_ever_and_nobody_finds_closed_files() {
        for seed in seeds(200) {
            let (mut random, began) = (Random(seed), Instant::now());
            let (mut rest, mut open, mut opening, mut closing, mut waiting, mut working) =
                (Rest::new(), false, false, false, 0u32, 0u32);
            for step in 0..400u32 {
                let now = began + AFTER / 4 * step;
                // At the end only what is under way goes on.
                match if step < 300 { random.below(5) } else { 2 + random.below(2) } {
                    0 => match rest.need(now, random.below(2) == 0) {
                        Need::Go => {
                            assert!(open && !closing, "seed {seed}");
                            working += 1;
                        }
                        Need::Wait => waiting += 1,
                        Need::Wake => {
                            assert!(!open && !opening && !closing, "seed {seed}");
                            (opening, waiting) = (true, waiting + 1);
                        }
                    },
                    1 => {
                        if rest.look(now, working > 0, AFTER) {
                            assert!(open && working == 0 && waiting == 0, "seed {seed}");
                            closing = true;
                        }
                    }
                    2 if opening => {
                        rest.awake();
                        (open, opening) = (true, false);
                        working += std::mem::take(&mut waiting);
                    }
                    3 if closing => {
                        closing = false;
                        if random.below(4) == 0 {
                            rest.kept_up();
                            working += std::mem::take(&mut waiting);
                        } else {
                            (open, opening) = (false, rest.closed());
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
