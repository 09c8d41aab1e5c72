//! From when a transaction's validity counts. A channel's block time never goes back: where a clock was once ahead it
//! stands still until real time has caught up, and a transaction that is valid by a correct clock has expired there.
//!
//! What the peer says of its channel's block time is the peer's word. To follow it makes a transaction valid until
//! then: a peer that lies could hold it back and have it committed as late as that. So an hour is followed by itself,
//! and more than that only when the caller says so.

use ledger_classes::primitives::time::Time;

/// How far ahead of the own clock a channel's block time is followed without being told to, milliseconds: clocks that
/// nobody looks after differ by minutes, and a transaction that is held back for an hour is still today's.
pub const AHEAD_MS_MAX: u64 = 60 * 60 * 1000;

/// A channel's block time is far ahead of the own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the channel's block time is {block_time}, {} ahead of this clock", span(.block_time.millis_since(*.now)))]
pub struct AheadError {
    /// The channel's.
    pub block_time: Time,
    /// The own clock.
    pub now: Time,
}

fn span(millis: u64) -> String {
    let hours = millis / (60 * 60 * 1000);
    if hours >= 48 { format!("{} days", hours / 24) } else { format!("{hours} hours") }
}

/// The instant from which a transaction's validity counts on a channel of this block time: the own clock's, or the
/// channel's where that is ahead, by at most [`AHEAD_MS_MAX`] unless `however_far`.
pub fn valid_from(now: Time, block_time: Time, however_far: bool) -> Result<Time, AheadError> {
    if block_time.millis_since(now) > AHEAD_MS_MAX && !however_far {
        return Err(AheadError { block_time, now });
    }
    Ok(now.max(block_time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_followed_and_more_only_when_told() {
        let now = Time::from_millis(1_795_000_000_000);
        let ago = Time::from_millis(now.millis() - 1);
        let (hour, more) = (now.plus_millis(AHEAD_MS_MAX), now.plus_millis(AHEAD_MS_MAX + 1));
        for (block_time, however_far, from) in [
            (ago, false, Ok(now)),
            (ago, true, Ok(now)),
            (hour, false, Ok(hour)),
            (more, false, Err(AheadError { block_time: more, now })),
            (more, true, Ok(more)),
        ] {
            assert_eq!(valid_from(now, block_time, however_far), from);
        }
        let year = AheadError { block_time: now.plus_millis(8_760 * AHEAD_MS_MAX), now };
        assert!(year.to_string().ends_with("365 days ahead of this clock"), "{year}");
    }
}
