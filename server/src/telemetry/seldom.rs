//! Lines of the log that anybody can cause, certificate or not: some of each second are written, the others counted, so
//! that nobody fills a disk by connecting. The metrics count them all.

use crate::limits::STRANGERS_LINES_MAX;
use std::{
    sync::{LazyLock, Mutex, PoisonError},
    time::Instant,
};

/// What is written of such lines in a second.
#[derive(Debug)]
pub(crate) struct Seldom(Mutex<Said>);

#[derive(Debug)]
struct Said {
    second: u64,
    lines: u32,
    left_out: u64,
}

impl Seldom {
    /// Nothing was written yet.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Said { second: 0, lines: 0, left_out: 0 }))
    }

    /// Writes a line if this second has room, with how many were left out since the last one, if any.
    pub(crate) fn say(&self, line: impl FnOnce(Option<u64>)) {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        if let Some(left_out) = self.at(START.elapsed().as_secs()) {
            line((left_out > 0).then_some(left_out));
        }
    }

    fn at(&self, second: u64) -> Option<u64> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.second != second {
            (said.second, said.lines) = (second, 0);
        }
        if said.lines >= STRANGERS_LINES_MAX {
            said.left_out += 1;
            return None;
        }
        said.lines += 1;
        Some(std::mem::take(&mut said.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_some_lines_and_the_next_one_tells_how_many_were_left_out() {
        let seldom = Seldom::new();
        let most = usize::try_from(STRANGERS_LINES_MAX).expect("small");
        for second in [0, 7] {
            let lines: Vec<Option<u64>> = (0..most + 3).map(|_| seldom.at(second)).collect();
            assert_eq!(lines[0], Some(if second == 0 { 0 } else { 3 }));
            assert!(lines[1..most].iter().all(|line| *line == Some(0)));
            assert!(lines[most..].iter().all(Option::is_none));
        }
        assert_eq!(seldom.at(8), Some(3));
    }
}
