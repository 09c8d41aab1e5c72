//! The clocks of several peers: each is wrong by something of its own, and at times one is far off.
//!
//! Checked: nobody has accepted a block before the own clock had come to its time. For a block to be final somebody beside its
//! proposer has to accept it, so one of the others' clocks was there.

use super::Random;
use ledger_classes::primitives::time::Time;

/// By how much clocks are wrong, and by how much one that is far off: beyond what others wait for.
const USUAL_MS: usize = 1_500;
const FAR_MS: usize = 9_000;

struct Skew {
    ahead: i64,
    /// The latest time that it has shown.
    shown: Time,
}

pub(super) struct Clocks(Vec<Skew>);

impl Clocks {
    pub(super) fn new(peers: u8, random: &mut Random) -> Self {
        Self((0..peers).map(|_| Skew { ahead: drawn(USUAL_MS, random), shown: Time::ZERO }).collect())
    }

    /// What a peer's clock says.
    pub(super) fn show(&mut self, peer: usize, right: Time) -> Time {
        let skew = &mut self.0[peer];
        let now = Time::from_millis(right.millis().saturating_add_signed(skew.ahead));
        skew.shown = skew.shown.max(now);
        now
    }

    /// One is set, perhaps far off.
    pub(super) fn set(&mut self, peer: usize, random: &mut Random) -> i64 {
        self.0[peer].ahead = drawn(if random.one_in(2) { FAR_MS } else { USUAL_MS }, random);
        self.0[peer].ahead
    }

    pub(super) fn set_all_right(&mut self) {
        self.0.iter_mut().for_each(|skew| skew.ahead = 0);
    }

    /// Whether a clock other than this peer's has come to a time.
    pub(super) fn have_come_to(&self, time: Time, beside: Option<usize>) -> bool {
        self.0.iter().enumerate().any(|(peer, skew)| Some(peer) != beside && skew.shown >= time)
    }
}

fn drawn(most: usize, random: &mut Random) -> i64 {
    i64::try_from(random.below(2 * most)).unwrap_or_default() - i64::try_from(most).unwrap_or_default()
}
