//! Runs from seeds. Every draw of a run comes from its seed; what the machine does meanwhile does not, so a seed that
//! failed may need several runs to fail again.
//!
//! `CHANCERY_RUNS` says how many runs, `CHANCERY_SEED` the first seed: without it, 1.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};
use std::ops::Range;
use std::time::Duration;

/// The seeds of a test that makes `runs` runs if nothing else is said.
pub(crate) fn seeds(runs: u64) -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let first = number("CHANCERY_SEED").unwrap_or(1);
    first..first + number("CHANCERY_RUNS").unwrap_or(runs)
}

/// Numbers from a seed.
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    /// The same numbers for the same seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Numbers of their own for a task: what one draws does not depend on how far another has come.
    pub(crate) fn fork(&mut self) -> Self {
        Self::new(self.0.next_u64())
    }

    /// 0 to `bound` - 1.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    /// One of a few.
    pub(crate) fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[usize::try_from(self.below(items.len() as u64)).expect("small")]
    }

    /// Lets up to so much time pass, in every other case rather a short while. It is the draw itself that is wanted, when
    /// something is cut off: nobody waits here for anything to have happened.
    #[expect(clippy::disallowed_methods, reason = "no condition is waited for")]
    pub(crate) async fn pause(&mut self, at_most: Duration) {
        let micros = u64::try_from(at_most.as_micros()).expect("small") >> (self.below(2) * self.below(6));
        tokio::time::sleep(Duration::from_micros(self.below(micros + 1))).await;
    }
}
