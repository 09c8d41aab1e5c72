//! The peer's clock. Connections are judged by it; transactions by block time, never by it.

use crate::limits::CLOCK_JUMP_MS;
use channel_actors::ChannelHandle;
use channel_actors::runtime::clock::{Clock as _, SystemClock};
use ledger_classes::primitives::time::Time;
use std::time::Instant;

/// The wall clock, in milliseconds. A clock before 1970 reads as 1970: every certificate is then not yet valid.
pub fn now() -> Time {
    SystemClock.now()
}

/// The earliest time that a channel's next block may have: what the peer posts itself is valid from there, also on a
/// channel whose block time is ahead.
pub fn now_on(channel: &ChannelHandle) -> Time {
    now().max(channel.tip().time)
}

/// Notices when the wall clock jumps: a machine that woke up, a clock that somebody set. Whatever expires by the wall
/// clock may expire at that moment, and blocks made ahead of time bind their channel until real time catches up.
#[derive(Debug)]
pub struct ClockWatch {
    wall: Time,
    monotonic: Instant,
}

impl ClockWatch {
    /// Begins to watch.
    pub const fn new(wall: Time, monotonic: Instant) -> Self {
        Self { wall, monotonic }
    }

    /// How far the wall clock has run away from the monotonic one since the last look, in milliseconds, negative for
    /// back; `None` if by less than [`CLOCK_JUMP_MS`].
    pub fn look(&mut self, wall: Time, monotonic: Instant) -> Option<i64> {
        let signed = |millis: u64| i64::try_from(millis).unwrap_or(i64::MAX);
        let passed = signed(u64::try_from(monotonic.duration_since(self.monotonic).as_millis()).unwrap_or(u64::MAX));
        let jump = signed(wall.millis()).saturating_sub(signed(self.wall.millis())).saturating_sub(passed);
        *self = Self { wall, monotonic };
        (jump.unsigned_abs() >= CLOCK_JUMP_MS).then_some(jump)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn jumps_either_way_are_noticed_once_and_the_passing_of_time_is_none() {
        let (wall, start) = (Time::from_millis(1_795_000_000_000), Instant::now());
        let mut watch = ClockWatch::new(wall, start);
        let hour = Duration::from_secs(3600);
        assert_eq!(watch.look(wall.plus_millis(3_600_000 + CLOCK_JUMP_MS - 1), start + hour), None);
        assert_eq!(watch.look(wall.plus_millis(9_000_000), start + hour), Some(9_000_000 - 3_659_999));
        assert_eq!(watch.look(wall.plus_millis(9_000_000), start + hour), None);
        assert_eq!(watch.look(wall, start + hour), Some(-9_000_000));
        assert_eq!(watch.look(wall, start + 2 * hour), Some(-3_600_000), "a clock that stands still");
    }
}
