//! Where long work can be interrupted: a system's scheduler lets a thread that works keep its processor for some
//! milliseconds from one that wakes up, whatever the priorities of both. A thread that is to give way names what it does
//! about that, once, and it is done between steps of its work.
//!
//! Always: what is computed does not depend on it. A step counts by itself, wherever it is taken, so what is made of many
//! steps needs no place for pauses of its own.
//! Never here: who gives way, and to whom.

use std::cell::Cell;

/// Steps of a signature in a batch, of which it is one equation.
pub(crate) const SIGNATURE_STEPS: u32 = 10;
/// Steps of a signature that is verified alone.
pub(crate) const SINGLE_STEPS: u32 = 100;
/// After so many steps of about half a microsecond, a hash each with what is around it, there is a pause.
const PAUSE_STEPS: u32 = 200;

thread_local! {
    static PAUSE: Cell<Option<fn()>> = const { Cell::new(None) };
    /// Steps until the next pause.
    static LEFT: Cell<u32> = const { Cell::new(u32::MAX) };
}

/// From now on this thread does this every tenth of a millisecond of its work, about.
pub fn pause_by(pause: fn()) {
    PAUSE.set(Some(pause));
    LEFT.set(PAUSE_STEPS);
}

/// Counts steps of work; after [`PAUSE_STEPS`] of them runs this thread's pause.
#[inline]
pub(crate) fn steps(number: u32) {
    match LEFT.get().checked_sub(number) {
        Some(left) => LEFT.set(left),
        None => pause(),
    }
}

#[cold]
fn pause() {
    let pause = PAUSE.get();
    LEFT.set(if pause.is_some() { PAUSE_STEPS } else { u32::MAX });
    if let Some(pause) = pause {
        pause();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::hash::Hash;

    thread_local! {
        static PAUSES: Cell<u32> = const { Cell::new(0) };
    }

    fn pauses_of(work: impl FnOnce()) -> (u32, Vec<Hash>) {
        PAUSES.set(0);
        work();
        let hashes = (0..3 * PAUSE_STEPS + 3).map(|number| Hash::plain(&[&number.to_le_bytes()])).collect();
        (PAUSES.get(), hashes)
    }

    #[test]
    fn who_asked_for_pauses_has_them_and_what_it_does_is_the_same() {
        let without = pauses_of(|| {});
        let with = pauses_of(|| pause_by(|| PAUSES.set(PAUSES.get() + 1)));
        PAUSE.set(None);
        assert_eq!((with.0, without.0), (3, 0));
        assert_eq!(with.1, without.1);
    }
}
