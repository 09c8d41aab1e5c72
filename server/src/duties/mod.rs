//! What the peer owes its channels without being asked: that they learn of revocations, and of administrative acts.
//!
//! What stands in the way of one is kept here for status and metrics, and said in the log when it is new. What can
//! succeed later is tried again after a pause that grows (`Pause`); what a channel refuses by its rules is not, because
//! each refusal would be a block of its own: only another configuration is a reason to ask again.

pub(crate) mod audit_poster;
pub(crate) mod crl_exchange;
pub mod expiry_watch;
pub mod renewal;
pub(crate) mod revocation_poster;

use crate::limits::OBSTACLES_SHOWN_MAX;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// A duty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Duty {
    /// To bring revocations of certificates that a channel knows.
    Revocation,
    /// To record acts on certificates on `main`.
    Audit,
}

impl Duty {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Revocation, Self::Audit];

    /// Its word in status and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Revocation => "revocation",
            Self::Audit => "audit",
        }
    }
}

/// What stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// Which channel.
    pub channel: String,
    /// What is not done there.
    pub duty: Duty,
    /// For whom or what: a certificate.
    pub subject: String,
    /// Why.
    pub reason: String,
}

type Key = (String, Duty, String);

/// Everything that stands in the way now, and how much is still to be done where nothing does.
#[derive(Debug, Default)]
pub struct Duties {
    obstacles: Mutex<BTreeMap<Key, String>>,
    waiting: Mutex<BTreeMap<(String, Duty), u64>>,
}

impl Duties {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, String>> {
        self.obstacles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waits(&self) -> MutexGuard<'_, BTreeMap<(String, Duty), u64>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many are still to be done.
    pub fn wait_for(&self, channel: &str, duty: Duty, count: u64) {
        let key = (channel.to_owned(), duty);
        match count {
            0 => drop(self.waits().remove(&key)),
            count => drop(self.waits().insert(key, count)),
        }
    }

    /// How many are still to be done, for a channel and a duty.
    pub fn waiting(&self, channel: &str, duty: Duty) -> u64 {
        self.waits().get(&(channel.to_owned(), duty)).copied().unwrap_or_default()
    }

    /// What is still to be done on channels that somebody may ask of.
    pub fn all_waiting(&self, may_ask: impl Fn(&str) -> bool) -> Vec<(String, Duty, u64)> {
        let all = self.waits();
        let asked = all.iter().filter(|((channel, _), _)| may_ask(channel));
        asked.map(|((channel, duty), count)| (channel.clone(), *duty, *count)).collect()
    }

    /// Something stands in the way. Returns whether that is news.
    pub fn hinder(&self, channel: &str, duty: Duty, subject: &str, reason: &str) -> bool {
        let before = self.lock().insert((channel.into(), duty, subject.into()), reason.into());
        before.as_deref() != Some(reason)
    }

    /// Nothing does any more.
    pub fn done(&self, channel: &str, duty: Duty, subject: &str) {
        self.lock().remove(&(channel.to_owned(), duty, subject.to_owned()));
    }

    /// How many there are, for a channel and a duty.
    pub fn count(&self, channel: &str, duty: Duty) -> usize {
        let all = self.lock();
        let from = (channel.to_owned(), duty, String::new());
        all.range(from..).take_while(|((of, which, _), _)| of == channel && *which == duty).count()
    }

    /// Those of the channels that somebody may ask of; a hundred at most, of each channel as many as of the others, so
    /// that no channel hides another's.
    pub fn list(&self, may_ask: impl Fn(&str) -> bool) -> Vec<Obstacle> {
        let all = self.lock();
        let mut seen: Vec<(usize, (&Key, &String))> = Vec::new();
        let (mut of, mut place) = ("", 0);
        for one @ ((channel, _, _), _) in all.iter().filter(|((channel, _, _), _)| may_ask(channel)) {
            place = if of == channel { place + 1 } else { 0 };
            of = channel;
            seen.push((place, one));
        }
        seen.sort_by_key(|(place, _)| *place);
        seen.truncate(OBSTACLES_SHOWN_MAX);
        let obstacle = |((channel, duty, subject), reason): (&Key, &String)| Obstacle {
            channel: channel.clone(),
            duty: *duty,
            subject: subject.clone(),
            reason: reason.clone(),
        };
        seen.into_iter().map(|(_, one)| obstacle(one)).collect()
    }
}

/// When something is to be tried again: after each failure twice as late.
#[derive(Clone, Debug)]
pub(crate) struct Pause {
    first: Duration,
    most: Duration,
    until: Option<(Instant, Duration)>,
}

impl Pause {
    pub(crate) const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, until: None }
    }

    /// Whether it may be tried.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.until.is_none_or(|(until, _)| now >= until)
    }

    /// How long it still runs.
    pub(crate) fn remains(&self, now: Instant) -> Option<Duration> {
        self.until.and_then(|(until, _)| until.checked_duration_since(now))
    }

    /// It failed.
    pub(crate) fn lengthen(&mut self, now: Instant) {
        let pause = self.until.map_or(self.first, |(_, pause)| (pause * 2).min(self.most));
        self.until = Some((now + pause, pause));
    }

    /// It was done, or there is a reason to try at once.
    pub(crate) fn end(&mut self) {
        self.until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_begin_anew() {
        let (first, most, start) = (Duration::from_secs(5), Duration::from_secs(60), Instant::now());
        let mut pause = Pause::new(first, most);
        assert!(pause.is_over(start));
        for seconds in [5, 10, 20, 40, 60, 60] {
            pause.lengthen(start);
            assert!(!pause.is_over(start + Duration::from_secs(seconds - 1)));
            assert!(pause.is_over(start + Duration::from_secs(seconds)));
        }
        pause.end();
        assert!(pause.is_over(start));
        pause.lengthen(start);
        assert!(pause.is_over(start + first));
    }

    #[test]
    fn an_obstacle_is_news_once_and_told_to_those_who_may_ask() {
        let duties = Duties::default();
        assert!(duties.hinder("trade", Duty::Revocation, "ann", "no member"));
        assert!(!duties.hinder("trade", Duty::Revocation, "ann", "no member"));
        assert!(duties.hinder("trade", Duty::Revocation, "ann", "another"));
        duties.hinder("other", Duty::Revocation, "ann", "no member");
        let told = duties.list(|channel| channel == "trade");
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].reason.as_str(), duties.count("trade", Duty::Revocation)), ("another", 1));
        duties.done("trade", Duty::Revocation, "ann");
        assert_eq!((duties.count("trade", Duty::Revocation), duties.count("other", Duty::Revocation)), (0, 1));
    }
}
