//! Blocks of other peers that are ahead of this peer's clock: none is accepted before the clock arrives, none halts the channel,
//! and what is final is not asked.

use super::*;
use std::sync::{Mutex, PoisonError};

/// [`Manual`], and what it was told of blocks.
struct Follower(Arc<Mutex<Vec<(u64, bool)>>>);

impl OrderingEngine for Follower {
    fn on(&mut self, input: OrderingInput<'_>) -> Vec<OrderingEffect> {
        if let OrderingInput::Executed { height, valid } = input {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push((height, valid));
        }
        Manual.on(input)
    }
}

/// An acceptor that executes the block at height 1, and what its engine is told.
fn following() -> (Acceptor, impl Fn() -> Vec<(u64, bool)>) {
    let told_of = Arc::<Mutex<Vec<(u64, bool)>>>::default();
    let mut follower = acceptor(Follower(told_of.clone()));
    assert_eq!(told(&mut follower, b'x', 1), ["check 1 above []"]);
    (follower, move || told_of.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

/// The block at height 1 with this many milliseconds between the clock and its time.
fn ahead(millis: u64) -> (Option<Arc<ExecutedBlock>>, Time) {
    let made = block(1);
    let now = Time::from_millis(made.header.time.millis() - millis);
    (Some(made), now)
}

/// A follower accepted whatever its proposer's clock said.
#[test]
fn a_block_ahead_of_the_clock_is_accepted_when_the_clock_arrives_and_no_sooner() {
    let (mut follower, heard) = following();
    assert_eq!(told(&mut follower, b'x', 2), [""; 0]);
    let (made, now) = ahead(AHEAD_MS_MAX);
    let wake = format!("wake {}", block(1).header.time.millis_since(NOW));
    assert_eq!(seen(follower.checked(made, now)), [wake.clone(), "withheld".into()]);
    assert_eq!(seen(follower.propose(vec![], now)), [""; 0], "nothing is executed above it meanwhile");
    assert_eq!(
        seen(follower.tick(now.plus_millis(AHEAD_MS_MAX - 1))),
        std::slice::from_ref(&wake),
        "whatever else wakes it"
    );
    assert_eq!(heard(), []);
    assert_eq!(seen(follower.tick(now.plus_millis(AHEAD_MS_MAX))), ["check 2 above [1]"]);
    assert_eq!(heard(), [(1, true)]);
    let at_its_time = block(2).header.time;
    assert_eq!(seen(follower.checked(Some(block(2)), at_its_time)), ["execute 3 at 2 above [1, 2]"]);
    assert_eq!(heard(), [(1, true), (2, true)]);
}

#[test]
fn a_block_too_far_ahead_is_not_accepted_and_halts_nothing() {
    let (mut follower, heard) = following();
    let (made, now) = ahead(AHEAD_MS_MAX + 1);
    assert_eq!(seen(follower.checked(made, now)), ["refused"]);
    assert_eq!(heard(), [(1, false)]);
    assert_eq!(seen(follower.tick(LATER)), [""; 0], "it is gone");
    // It may come again.
    assert_eq!(told(&mut follower, b'x', 1), ["check 1 above []"]);
    assert_eq!(seen(follower.checked(Some(block(1)), LATER)), [""; 0]);
    assert_eq!(heard(), [(1, false), (1, true)]);
    // The clock is set back meanwhile.
    let (mut follower, heard) = following();
    let (made, now) = ahead(1);
    assert_eq!(seen(follower.checked(made, now)).len(), 2);
    let back = Time::from_millis(now.millis() - AHEAD_MS_MAX);
    assert_eq!(seen(follower.tick(back)), ["refused"]);
    assert_eq!(heard(), [(1, false)]);
}

/// A peer whose clock is an hour behind follows the others.
#[test]
fn what_is_final_is_not_asked_whenever_that_is_known() {
    for known in ["before", "while it is executed", "while it is withheld"] {
        let told_of = Arc::<Mutex<Vec<(u64, bool)>>>::default();
        let mut follower = acceptor(Follower(told_of.clone()));
        let (made, now) = ahead(if known == "while it is withheld" { 1 } else { 3_600_000 });
        if known == "before" {
            assert_eq!(told(&mut follower, b'x', 9), ["check 1 above []"], "another one has its turn");
            assert_eq!(told(&mut follower, b'x', 1), [""; 0]);
            assert_eq!(told(&mut follower, b'k', 1), [""; 0]);
            assert_eq!(seen(follower.checked(None, now)), ["check 1 above []"]);
        } else {
            assert_eq!(told(&mut follower, b'x', 1), ["check 1 above []"]);
        }
        if known == "while it is executed" {
            assert_eq!(told(&mut follower, b'k', 1), [""; 0]);
        }
        let done = seen(follower.checked(made, now));
        if known == "while it is withheld" {
            assert_eq!(done.len(), 2, "{done:?}");
            assert_eq!(told(&mut follower, b'k', 1), [""; 0]);
        } else {
            assert_eq!(done, [""; 0], "{known}");
        }
        let heard = told_of.lock().unwrap_or_else(PoisonError::into_inner).last().copied();
        assert_eq!(heard, Some((1, true)), "{known}");
    }
    // Of another block at that height nothing was said.
    let (mut follower, heard) = following();
    assert_eq!(told(&mut follower, b'k', 1), [""; 0]);
    assert_eq!(told(&mut follower, b'd', 1), [""; 0]);
    assert_eq!(told(&mut follower, b'x', 1), [""; 0]);
    let (made, now) = ahead(3_600_000);
    assert_eq!(seen(follower.checked(made.clone(), now)), ["check 1 above []"], "the one that is discarded");
    assert_eq!(seen(follower.checked(made, now)), ["refused"]);
    assert_eq!(heard(), [(1, false)]);
}

/// Everybody else has it: this peer's state, or its program, is another one.
#[test]
fn a_final_block_that_is_no_valid_one_here_halts() {
    let (mut follower, heard) = following();
    assert_eq!(told(&mut follower, b'k', 1), [""; 0]);
    assert_eq!(
        seen(follower.checked(None, LATER)),
        ["halt: block 1 is final, or was accepted here, and is no valid one"]
    );
    assert_eq!(heard(), []);
}

#[test]
fn what_is_withheld_and_will_not_be_leaves_its_turn() {
    let (mut follower, heard) = following();
    let (made, now) = ahead(1);
    assert_eq!(seen(follower.checked(made.clone(), now)).len(), 2);
    assert_eq!(seen(follower.propose(vec![], now)), [""; 0]);
    assert_eq!(told(&mut follower, b'd', 1), ["execute 1 at 0 above []"]);
    assert_eq!(seen(follower.tick(LATER)), [""; 0]);
    assert_eq!(heard(), []);
    // So it is where another state is installed.
    let (mut follower, heard) = following();
    assert_eq!(seen(follower.checked(made, now)).len(), 2);
    let (parent, history) = (Parent { height: 7, ..follower.parent }, follower.history.clone());
    assert_eq!(seen(follower.install(parent, history, None)), [""; 0]);
    assert_eq!(seen(follower.tick(LATER)), [""; 0]);
    assert_eq!(heard(), []);
}
