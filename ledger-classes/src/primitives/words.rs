//! A switch for tests: all words by which results and refusals are shown become others.
//!
//! Nothing that is hashed or kept depends on words. That is shown by executing a history under others, in the build that
//! the other tests have too: a build of its own would be a second one of everything.

use std::sync::atomic::{AtomicBool, Ordering};

static OTHERS: AtomicBool = AtomicBool::new(false);

/// Words are others from now on, in the whole process. No program does this.
#[doc(hidden)]
pub fn reword() {
    OTHERS.store(true, Ordering::Relaxed);
}

/// Whether words are others than people know them.
pub(crate) fn are_others() -> bool {
    OTHERS.load(Ordering::Relaxed)
}
