//! When to ask again, and when to give up. Asking again is safe: a transaction id has one outcome for ever.

use std::time::Duration;

/// Bounds of asking again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, the first included; at the last one the peer's answer is the result.
    pub attempts_max: u32,
    /// The longest wait before another attempt. A peer that asks for more ends the attempts: the caller decides.
    pub wait_max: Duration,
}

/// The first wait where the peer names none; doubled from attempt to attempt.
const FIRST_WAIT: Duration = Duration::from_millis(100);

impl Default for Retry {
    fn default() -> Self {
        Self { attempts_max: 5, wait_max: Duration::from_secs(10) }
    }
}

impl Retry {
    /// One attempt.
    pub const NEVER: Self = Self { attempts_max: 1, wait_max: Duration::ZERO };

    /// How long to wait after `attempts` failures, or `None` to give up. `hint` is what the peer asked for at least:
    /// who has asked for the same often waits longer. `jitter` is any byte: it spreads clients that failed together
    /// over a quarter of the wait.
    #[must_use]
    pub fn wait(&self, attempts: u32, hint: Option<Duration>, jitter: u8) -> Option<Duration> {
        if attempts >= self.attempts_max || hint.is_some_and(|hint| hint > self.wait_max) {
            return None;
        }
        let doubled = FIRST_WAIT.saturating_mul(1 << attempts.saturating_sub(1).min(16));
        let wait = hint.unwrap_or_default().max(doubled).min(self.wait_max);
        Some(wait + wait * u32::from(jitter) / 1024)
    }
}

/// A byte that differs between clients; randomness that fails costs only the spread.
pub(crate) fn jitter() -> u8 {
    let mut byte = [0];
    let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut byte);
    byte[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_follow_the_peer_and_end() {
        let retry = Retry { attempts_max: 4, wait_max: Duration::from_secs(2) };
        let ms = Duration::from_millis;
        for (attempts, hint, jitter, wait) in [
            (1, None, 0, Some(ms(100))),
            (2, None, 0, Some(ms(200))),
            (3, None, 0, Some(ms(400))),
            (4, None, 0, None),
            (1, Some(ms(1500)), 0, Some(ms(1500))),
            (1, Some(ms(2000)), 0, Some(ms(2000))),
            (1, Some(ms(2001)), 0, None),
            (1, Some(ms(1024)), 255, Some(ms(1279))),
            (1, Some(ms(0)), 0, Some(ms(100))),
            (3, Some(ms(150)), 0, Some(ms(400))),
        ] {
            assert_eq!(retry.wait(attempts, hint, jitter), wait, "{attempts} {hint:?} {jitter}");
        }
        assert_eq!(Retry::NEVER.wait(1, None, 0), None);
        let patient = Retry { attempts_max: u32::MAX, wait_max: Duration::from_secs(5) };
        assert_eq!(patient.wait(1_000_000, None, 0), Some(Duration::from_secs(5)));
    }
}
