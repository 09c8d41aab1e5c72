//! Says on a terminal how far a long piece of work is, from the second second on.

use super::output::{Output, clean};
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Work on blocks, channel by channel.
pub(super) struct Progress {
    shown: bool,
    next: Instant,
    active: bool,
}

impl Progress {
    pub(super) fn new(output: Output) -> Self {
        let active = !output.json && std::io::stderr().is_terminal();
        Self { shown: false, next: Instant::now() + Duration::from_secs(2), active }
    }

    pub(super) fn show(&mut self, channel: &str, done: u64, of: u64) {
        if self.active && Instant::now() >= self.next {
            // Progress that cannot be shown is no reason to stop. The rest of a longer line before goes.
            let _ = write!(std::io::stderr(), "\r\u{1b}[K{}: block {done} of {of}", clean(channel));
            self.shown = true;
            self.next = Instant::now() + Duration::from_millis(200);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = writeln!(std::io::stderr());
        }
    }
}
