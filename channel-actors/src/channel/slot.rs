//! The way to a channel's files and its actor, open or not: one lock, under which [`Passivation`] decides, and the queues
//! of those who wait until the channel works. What waits here holds credits or a read permit, which bounds it.

use crate::channel::actor::{ActiveChannel, Submit, Turn};
use crate::channel::passivation::{Activity, Need, Passivation};
use crate::store::ChannelStore;
use actix::dev::SendError;
use ledger_classes::primitives::time::Time;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What a channel works with. Dropping it ends the actor.
pub(crate) struct RunningChannel {
    pub(crate) store: ChannelStore,
    pub(crate) active: ActiveChannel,
}

/// How a reader comes to the store.
pub(crate) enum StoreAccess {
    /// It is open.
    Open(ChannelStore),
    /// It was closed for good.
    Gone,
    /// Ask again if this resolves to true, else it was given up; `resume`: the caller is to resume the channel.
    Later { told: oneshot::Receiver<bool>, resume: bool },
}

/// What is left to whoever passes a submission on.
#[must_use]
pub(crate) enum Passed {
    Done,
    /// To resume the channel.
    Resume,
    /// To take its turn at the machine.
    Turn(Turn),
}

/// The way to a channel's files and its actor.
pub(crate) struct Slot(Mutex<SlotInner>);

struct SlotInner {
    passivation: Passivation,
    /// There while it is active and, until the actor has agreed, while it is being suspended.
    work: Option<RunningChannel>,
    /// Submissions that wait for the actor.
    queue: Vec<Submit>,
    /// Told at each change of activity: false when the files cannot be opened, or were closed for good.
    waiting: Vec<oneshot::Sender<bool>>,
    /// When the next timer is due, of a channel that is suspended.
    next_timer: Option<Time>,
}

impl SlotInner {
    fn tell(&mut self, ask_again: bool) {
        for waiting in self.waiting.drain(..) {
            // Who asked may have gone.
            let _ = waiting.send(ask_again);
        }
    }

    /// What waited goes its way. Bounded by credits.
    fn flush(&mut self) {
        if let Some(work) = &self.work {
            self.queue.drain(..).for_each(|submit| work.active.submit(submit));
        }
    }
}

impl Slot {
    /// Of a channel whose files are not open.
    pub(crate) const fn new() -> Self {
        let inner = SlotInner {
            passivation: Passivation::new(),
            work: None,
            queue: Vec::new(),
            waiting: Vec::new(),
            next_timer: None,
        };
        Self(Mutex::new(inner))
    }

    /// What is under the lock changes by whole steps that do not panic.
    fn lock(&self) -> MutexGuard<'_, SlotInner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn activity(&self) -> Activity {
        self.lock().passivation.activity()
    }

    /// Passes a submission on or keeps it until the channel works, and says what is left to the caller.
    pub(crate) fn submit(&self, submit: Submit) -> Result<Passed, SendError<Submit>> {
        let mut inner = self.lock();
        match (inner.passivation.need(Instant::now(), false), &inner.work) {
            (Need::Go, Some(work)) => Ok(work.active.try_submit(submit)?.map_or(Passed::Done, Passed::Turn)),
            (Need::Go, None) => Err(SendError::Closed(submit)),
            (need, _) => {
                inner.queue.push(submit);
                Ok(if need == Need::Resume { Passed::Resume } else { Passed::Done })
            }
        }
    }

    /// The store, or when to ask again.
    pub(crate) fn enter(&self, brief: bool) -> StoreAccess {
        let mut inner = self.lock();
        match (inner.passivation.need(Instant::now(), brief), &inner.work) {
            (Need::Go, Some(work)) => StoreAccess::Open(work.store.clone()),
            (Need::Go, None) => StoreAccess::Gone,
            (need, _) => {
                let (tells, told) = oneshot::channel();
                inner.waiting.push(tells);
                StoreAccess::Later { told, resume: need == Need::Resume }
            }
        }
    }

    /// Resolves at the next change of stage; `None` if the stage is one that lasts.
    pub(crate) fn change(&self) -> Option<oneshot::Receiver<bool>> {
        let mut inner = self.lock();
        if matches!(inner.passivation.activity(), Activity::Active | Activity::Suspended) {
            return None;
        }
        let (tells, told) = oneshot::channel();
        inner.waiting.push(tells);
        Some(told)
    }

    /// The next change of stage, whatever it is now.
    #[cfg(test)]
    pub(crate) fn next_change(&self) -> (Activity, oneshot::Receiver<bool>) {
        let mut inner = self.lock();
        let (tells, told) = oneshot::channel();
        inner.waiting.push(tells);
        (inner.passivation.activity(), told)
    }

    /// A timer of a channel that is suspended is due at `due`: true if the caller is to resume the channel.
    pub(crate) fn timer(&self, due: Time) -> bool {
        let mut inner = self.lock();
        let rests = inner.passivation.activity() == Activity::Suspended && inner.next_timer == Some(due);
        rests && inner.passivation.need(Instant::now(), true) == Need::Resume
    }

    /// Begins to suspend the channel, unless `busy` says that something is in flight; gives its actor, which must
    /// agree. `busy` is asked under the lock, so what comes later waits.
    pub(crate) fn try_suspend(&self, busy: impl FnOnce() -> bool, after: Duration) -> Option<ActiveChannel> {
        let mut inner = self.lock();
        let active = inner.work.as_ref()?.active.clone();
        inner.passivation.inspect(Instant::now(), busy(), after).then_some(active)
    }

    /// The actor did not agree: it goes on.
    pub(crate) fn stay_active(&self) {
        let mut inner = self.lock();
        inner.passivation.stays_active();
        inner.flush();
        inner.tell(true);
    }

    /// Takes what it works with: it is closed now, by the caller alone.
    pub(crate) fn take(&self) -> Option<RunningChannel> {
        self.lock().work.take()
    }

    /// When the next timer of a channel that is suspended is due.
    pub(crate) fn next_timer(&self) -> Option<Time> {
        self.lock().next_timer
    }

    /// The files are closed. True: the caller is to resume the channel, since somebody waits.
    pub(crate) fn closed(&self, next_timer: Option<Time>) -> bool {
        let mut inner = self.lock();
        inner.next_timer = next_timer;
        let again = inner.passivation.closed();
        if !again {
            inner.tell(true);
        }
        again
    }

    /// It is suspended from the beginning.
    pub(crate) fn suspended(&self, next_timer: Option<Time>) {
        self.lock().next_timer = next_timer;
    }

    /// The channel works. Gives the time of the timer that it was to be resumed for.
    pub(crate) fn open(&self, work: RunningChannel) -> Option<Time> {
        let mut inner = self.lock();
        inner.work = Some(work);
        inner.passivation.resumed();
        inner.flush();
        inner.tell(true);
        inner.next_timer.take()
    }

    /// Whoever opened or closed the files is gone, if anybody did.
    pub(crate) fn abandon(&self) {
        if matches!(self.activity(), Activity::Resuming | Activity::Suspending) {
            self.give_up();
        }
    }

    /// The files cannot be opened, or were closed for good: those who wait are told, what waits is answered as stopped.
    pub(crate) fn give_up(&self) {
        let mut inner = self.lock();
        if inner.passivation.activity() != Activity::Suspended && inner.passivation.closed() {
            inner.passivation.closed();
        }
        inner.tell(false);
        let queue = std::mem::take(&mut inner.queue);
        drop(inner);
        // Credits come back here, and waiters answer.
        drop(queue);
    }
}
