//! Virtual time: what happens next, and what the clock on the wall says meanwhile.

use super::clients::BEGIN;
use super::disk::Image;
use crate::pipeline::effects::{Outcome, Work};
use crate::pipeline::ordering::Ticket;
use ledger_classes::primitives::time::Time;
use std::collections::BTreeMap;

/// What happens at a time.
pub(super) enum Event {
    /// A thread takes up work.
    Begin(Work),
    /// What came of it is brought back.
    Bring(Outcome),
    /// A record of the ordering engine's is on the disk.
    Recorded(Ticket),
    /// The ordering engine hears something.
    Message(Vec<u8>),
    /// The timer of the channel.
    Wake,
    /// A client sends.
    Client(usize),
    /// The peer is started.
    Start(Box<Image>),
    /// The disk takes writes again.
    Mend,
}

impl Event {
    /// Whether it ends with the peer's process.
    const fn is_of_process(&self) -> bool {
        !matches!(self, Self::Client(_) | Self::Start(_))
    }
}

/// The clock, and what is to come.
pub(super) struct Clock<E> {
    /// Milliseconds since the beginning.
    pub(super) now: u64,
    /// How far the clock on the wall is ahead of them.
    skew: i64,
    agenda: BTreeMap<(u64, u64), E>,
    events: u64,
}

impl<E> Default for Clock<E> {
    fn default() -> Self {
        Self { now: 0, skew: 0, agenda: BTreeMap::new(), events: 0 }
    }
}

impl<E> Clock<E> {
    /// What the clock on the wall says.
    pub(super) fn wall(&self) -> Time {
        let since = i64::try_from(self.now).unwrap_or(i64::MAX).saturating_add(self.skew);
        Time::from_millis(BEGIN.millis().saturating_add_signed(since))
    }

    /// The clock on the wall is set, ahead or back.
    pub(super) fn set(&mut self, jump: i64) {
        self.skew = (self.skew + jump).clamp(-3_000_000, 10_000_000);
    }

    /// Has something happen after so many milliseconds.
    pub(super) fn after(&mut self, delay: u64, event: E) {
        self.events += 1;
        self.agenda.insert((self.now + delay, self.events), event);
    }

    /// What happens next. It is that time then.
    pub(super) fn next(&mut self) -> Option<E> {
        let ((time, _), event) = self.agenda.pop_first()?;
        self.now = self.now.max(time);
        Some(event)
    }

    /// The first of the events that are so, which will not happen.
    pub(super) fn take(&mut self, is: impl Fn(&E) -> bool) -> Option<E> {
        let at = self.agenda.iter().find(|(_, event)| is(event)).map(|(at, _)| *at)?;
        self.agenda.remove(&at)
    }

    /// Whether one of these is to come.
    pub(super) fn expects(&self, is: impl Fn(&E) -> bool) -> bool {
        self.agenda.values().any(is)
    }
}

impl Clock<Event> {
    /// In how many milliseconds the last record is on the disk.
    pub(super) fn recorded(&self) -> u64 {
        let last = self.agenda.iter().rev().find(|(_, event)| matches!(event, Event::Recorded(_)));
        last.map_or(0, |((time, _), _)| time.saturating_sub(self.now))
    }

    /// Has the timer go off then, and at no other time.
    pub(super) fn wake(&mut self, time: u64) {
        self.agenda.retain(|_, event| !matches!(event, Event::Wake));
        self.after(time.saturating_sub(self.now), Event::Wake);
    }

    /// The process ends, and with it all that it would have done.
    pub(super) fn forget_process(&mut self) {
        self.agenda.retain(|_, event| !event.is_of_process());
    }

    /// Whether something is to come but what always comes.
    pub(super) fn is_busy(&self) -> bool {
        self.expects(|event| !matches!(event, Event::Client(_) | Event::Wake | Event::Mend))
    }
}
