//! Who has had how much processor time of late: what the turns of fair pools, and the threads that give way, go by.
//!
//! Counted is what has ended: a job under way is nobody's yet.

use crate::limits::{CROWD_SHARE, LOUD_SHARE, SPAN};
use crate::runtime::asker::Asker;
use ledger_classes::primitives::hash::Hash;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Who has had how much processor time of late. Fair pools may have one for all of them: a channel that floods one of them
/// is loud in the others, too, however little its part is there.
#[derive(Clone, Default)]
pub(crate) struct Shares(Arc<Mutex<Recents>>);

#[derive(Default)]
pub(super) struct Recents {
    pub(super) channels: Recent<Hash>,
    pub(super) callers: Recent<Asker>,
}

impl Shares {
    pub(super) fn lock(&self) -> MutexGuard<'_, Recents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job of a caller's on a channel has ended, after so much processor time.
    pub(super) fn add(&self, channel: Hash, caller: Asker, took: Duration) {
        let (now, mut recents) = (Instant::now(), self.lock());
        recents.channels.add(channel, took, now);
        if caller != Asker::PEER {
            recents.callers.add(caller, took, now);
        }
    }

    /// Whether a channel, or a caller, has had most of the time, beside others.
    pub(super) fn loud(&self, channel: &Hash, caller: &Asker) -> bool {
        let (now, mut recents) = (Instant::now(), self.lock());
        recents.channels.turn(now);
        recents.callers.turn(now);
        let loud_caller = *caller != Asker::PEER && recents.callers.loud(caller);
        loud_caller || recents.channels.loud(channel)
    }

    /// Whether others than a channel have had work worth mentioning.
    pub(super) fn crowded(&self, channel: &Hash) -> bool {
        let mut recents = self.lock();
        recents.channels.turn(Instant::now());
        recents.channels.crowded(channel)
    }
}

/// Processor time of jobs in this span and in the one before.
pub(super) struct Recent<K> {
    pub(super) began: Option<Instant>,
    pub(super) spans: [Span<K>; 2],
}

pub(super) struct Span<K> {
    pub(super) all: Duration,
    pub(super) of: HashMap<K, Duration>,
}

impl<K> Default for Span<K> {
    fn default() -> Self {
        Self { all: Duration::ZERO, of: HashMap::new() }
    }
}

impl<K> Default for Recent<K> {
    fn default() -> Self {
        Self { began: None, spans: Default::default() }
    }
}

impl<K: Eq + std::hash::Hash> Recent<K> {
    pub(super) fn add(&mut self, whose: K, took: Duration, now: Instant) {
        self.turn(now);
        let span = &mut self.spans[0];
        span.all += took;
        *span.of.entry(whose).or_default() += took;
    }

    pub(super) fn turn(&mut self, now: Instant) {
        let spans = self.began.map_or(u128::MAX, |began| now.duration_since(began).as_nanos() / SPAN.as_nanos());
        if spans == 0 {
            return;
        }
        self.began = Some(now);
        let last = std::mem::take(&mut self.spans[0]);
        self.spans[1] = if spans == 1 { last } else { Span::default() };
    }

    /// CPU share of one key, and of all others.
    pub(super) fn parts(&self, one: &K) -> (f64, f64) {
        let all: Duration = self.spans.iter().map(|span| span.all).sum();
        let own: Duration = self.spans.iter().filter_map(|span| span.of.get(one)).sum();
        let all_s = all.as_secs_f64().max(f64::MIN_POSITIVE);
        (own.as_secs_f64() / all_s, all.saturating_sub(own).as_secs_f64() / all_s)
    }

    /// Whether others than this one have had work worth mentioning.
    pub(super) fn crowded(&self, one: &K) -> bool {
        self.parts(one).1 > CROWD_SHARE
    }

    /// Whether this one has had most of the time, beside others.
    pub(super) fn loud(&self, one: &K) -> bool {
        let (own, others) = self.parts(one);
        others > CROWD_SHARE && own > LOUD_SHARE
    }
}
