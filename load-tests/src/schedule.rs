//! Times of sending that are fixed before the first one: an open loop. A latency counts from the time that was fixed,
//! so that a peer which stalls is charged for everybody who had to wait, not only for the one request in flight.

use std::time::Duration;

/// Requests at even distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Requests in all.
    pub requests: u64,
    /// Transactions of each.
    pub batch: u32,
    /// How long it takes to send all of them.
    pub length: Duration,
}

/// Requests a second that a timetable has at most: tokio's timers, by which it is kept, have milliseconds.
const REQUESTS_PER_SECOND_MAX: u64 = 1_000;

impl Schedule {
    /// `rate` transactions a second for `length`, in requests as small as a thousand of them a second allow.
    pub fn new(rate: u64, length: Duration) -> Self {
        let batch = rate.div_ceil(REQUESTS_PER_SECOND_MAX).max(1);
        let requests = (rate as f64 * length.as_secs_f64() / batch as f64).ceil().max(1.0) as u64;
        Self { requests, batch: u32::try_from(batch).unwrap_or(u32::MAX), length }
    }

    /// When request `number` is due, from the start.
    pub fn due(&self, number: u64) -> Duration {
        Duration::from_secs_f64(self.length.as_secs_f64() * number as f64 / self.requests as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_spread_evenly_over_the_whole_length() {
        for (rate, seconds, requests, batch) in
            [(1_000, 2, 2_000, 1), (1, 3, 3, 1), (999, 1, 999, 1), (1_001, 2, 1_001, 2), (30_000, 10, 10_000, 30)]
        {
            let schedule = Schedule::new(rate, Duration::from_secs(seconds));
            assert_eq!((schedule.requests, schedule.batch), (requests, batch), "{rate}/s for {seconds} s");
            assert_eq!(schedule.due(0), Duration::ZERO);
            assert_eq!(schedule.due(requests), Duration::from_secs(seconds));
            let offered = schedule.requests * u64::from(schedule.batch);
            assert!(offered >= rate * seconds && offered < rate * seconds + u64::from(batch), "{offered}");
        }
        let schedule = Schedule::new(500, Duration::from_secs(1));
        assert_eq!(schedule.due(3) - schedule.due(2), Duration::from_millis(2));
    }
}
