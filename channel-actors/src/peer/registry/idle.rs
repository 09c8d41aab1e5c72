//! Channels that are not used are suspended, and resumed when they are used.
//! [`Passivation`](crate::channel::passivation::Passivation) decides for each channel; here one task looks at those
//! that work, one waits for the timers of those that are suspended, and the pools open and close files.

use super::parts::{ChannelRegistry, OpeningWork, REPLAY_SLICE, WARN_PAUSE, Why, halt, serves};
use crate::block::error::{ChannelError, in_full};
use crate::block::replay;
use crate::block::replay::Opened;
use crate::block::tip::Tip;
use crate::channel::actor::ActiveChannel;
use crate::channel::handle::{ChannelHandle, Opens};
use crate::channel::slot::RunningChannel;
use crate::channel::summary::{Summary, close_for_suspension};
use crate::delivery::shared::Shared;
use crate::limits::{ACTIVE_MAX, DRAIN_SECONDS_MAX, READS_MAX, SUSPEND_LOOK_MAX, SUSPEND_LOOK_MIN, SUSPENDING_MAX};
use crate::runtime::life::{Life, LifeCycle};
use crate::runtime::tasks::Tasks;
use crate::store::{ChannelStore, DiskTrouble};
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Interval, MissedTickBehavior};

impl ChannelRegistry {
    /// Looks after channels until the registry is gone.
    pub(super) fn sweep(self: &Arc<Self>) {
        let pause = self
            .options
            .suspend_after
            .map_or(SUSPEND_LOOK_MAX, |after| after / 4)
            .clamp(SUSPEND_LOOK_MIN, SUSPEND_LOOK_MAX);
        let (for_sweep, for_timers) = (Arc::downgrade(self), Arc::downgrade(self));
        // Without a pause that is given only those are suspended whose disk was read-only as the peer began.
        self.options.tasks.start_in(&self.arbiter(), "timers", move || {
            let registry = for_timers.clone();
            async move {
                let mut looks = looks(pause);
                loop {
                    looks.tick().await;
                    let Some(registry) = registry.upgrade() else { return };
                    registry.resume_due();
                    registry.start_those_left();
                }
            }
        });
        let Some(after) = self.options.suspend_after else { return };
        self.options.tasks.start_in(&self.arbiter(), "suspend", move || {
            let registry = for_sweep.clone();
            async move {
                let (slots, mut looks) = (Arc::new(Semaphore::new(SUSPENDING_MAX)), looks(pause));
                loop {
                    looks.tick().await;
                    let Some(registry) = registry.upgrade() else { return };
                    registry.suspend_idle(after, &slots).await;
                }
            }
        });
    }

    /// Suspends those channels that were not used for a while.
    async fn suspend_idle(self: &Arc<Self>, after: Duration, slots: &Arc<Semaphore>) {
        let active: Vec<ChannelHandle> = {
            let mut sweep = self.sweeper.lock();
            let over = |state| matches!(state, LifeCycle::Draining | LifeCycle::Halted { .. } | LifeCycle::Closed);
            sweep.active.retain(|_, handle| !over(handle.state()));
            sweep.active.values().cloned().collect()
        };
        let after = patience(after, active.len());
        for handle in active {
            // Few at a time: closing writes, and those that work come first. Without room it would wait.
            let Ok(slot) = Arc::clone(slots).acquire_owned().await else { return };
            if self.disk.trouble().is_some() || handle.state() != LifeCycle::Serving {
                continue;
            }
            let inner = &handle.0;
            let busy = || inner.credits.used().0 > 0 || inner.reads.available_permits() < READS_MAX;
            if let Some(active) = inner.slot.try_suspend(busy, after) {
                let soon = self.options.clock.now().plus_millis(millis(after));
                let (registry, stuck) = (self.clone(), handle.clone());
                let broken = move |reason: String| {
                    halt(&stuck, &format!("its suspension panicked: {reason}"));
                    stuck.0.slot.abandon();
                };
                Tasks::job(&self.arbiter(), move || registry.suspend(handle, active, soon, slot), broken);
            }
        }
    }

    /// Ends the actor and closes the files, if the actor agrees.
    async fn suspend(
        self: Arc<Self>,
        handle: ChannelHandle,
        active: ActiveChannel,
        soon: Time,
        slot: OwnedSemaphorePermit,
    ) {
        let agreed = active.retire(soon).await;
        drop(active);
        let work = if agreed { handle.0.slot.take() } else { None };
        let (Some(RunningChannel { store, active }), Some(known)) = (work, handle.0.known.get()) else {
            return handle.0.slot.stay_active();
        };
        drop(active);
        let (id, shared) = (known.id, known.shared.clone());
        let (registry, closing) = (self.clone(), handle.clone());
        let close = move || registry.close_for_suspension(&closing, &store, id, &shared);
        self.storage.clone().run(id, close, move |result| {
            drop(slot);
            self.suspended(
                &handle,
                id,
                result.unwrap_or_else(|panicked| Err(ChannelError::Panicked(panicked.to_string()))),
            );
        });
    }

    fn suspended(self: Arc<Self>, handle: &ChannelHandle, id: Hash, closed: Result<Option<Time>, ChannelError>) {
        self.sweeper.lock().active.remove(handle.name());
        let next_timer = match closed {
            Ok(next_timer) => next_timer,
            Err(reason) => {
                halt(handle, &format!("closing its files failed: {}", in_full(reason)));
                return handle.0.slot.give_up();
            }
        };
        handle.0.metrics.suspended(1);
        handle.0.quota.look_again(0);
        tracing::debug!(channel = handle.name(), "channel suspended");
        if handle.0.slot.closed(next_timer) {
            return self.clone().resume(handle);
        }
        if let Some(due) = next_timer {
            self.sweeper.lock().timers.insert((due, id), handle.clone());
        }
    }

    /// Closes a store for a while. Blocking.
    pub(super) fn close_for_suspension(
        &self,
        handle: &ChannelHandle,
        store: &ChannelStore,
        id: Hash,
        shared: &Shared,
    ) -> Result<Option<Time>, ChannelError> {
        shared.ring.forget();
        shared.links.forget();
        let files = (self.files)(self.options.directory.join(handle.name()), None);
        close_for_suspension(store, &*files, id, shared)
    }

    /// Whether a channel that was just opened may be suspended at once.
    pub(super) fn may_suspend(&self, next_timer: Option<Time>) -> bool {
        let Some(after) = self.options.suspend_after.filter(|_| self.disk.trouble().is_none()) else { return false };
        let soon = self.options.clock.now().plus_millis(millis(after));
        next_timer.is_none_or(|due| due > soon)
    }

    /// A channel whose summary says all that must be known of it is not opened.
    pub(super) fn suspended_already(&self, handle: &ChannelHandle) -> bool {
        if self.options.suspend_after.is_none() {
            return false;
        }
        let files = (self.files)(self.options.directory.join(handle.name()), None);
        let Some(Summary { channel, tip, config, ended, next_timer }) = Summary::read(&*files) else { return false };
        if config.config.name != handle.name() || self.may_order(&config.config).is_err() {
            return false;
        }
        self.begin_suspended(handle, channel, next_timer);
        // Nothing has opened it before.
        let shared = Shared::new(tip, Arc::new(config), ended.into(), self.options.memory.blocks.clone());
        let known = self.known(handle, channel, Arc::new(shared)).is_ok();
        if known {
            serves(handle);
        }
        handle.0.settled.send_replace(true);
        known
    }

    /// A channel that has not worked yet is suspended.
    pub(super) fn begin_suspended(&self, handle: &ChannelHandle, id: Hash, next_timer: Option<Time>) {
        handle.0.metrics.suspended(1);
        handle.0.slot.suspended(next_timer);
        if let Some(due) = next_timer {
            self.sweeper.lock().timers.insert((due, id), handle.clone());
        }
    }

    /// A channel works.
    pub(super) fn work(&self, handle: &ChannelHandle, id: Hash, work: RunningChannel) {
        let mut sweep = self.sweeper.lock();
        sweep.active.insert(handle.name().to_owned(), handle.clone());
        if let Some(due) = handle.0.slot.open(work) {
            sweep.timers.remove(&(due, id));
        }
    }

    /// Resumes those channels whose timers are due.
    fn resume_due(self: &Arc<Self>) {
        // An opening needs a disk that takes writes, and so does the timer's block.
        if self.disk.trouble().is_some() {
            return;
        }
        let past = self.options.clock.now().plus_millis(1);
        // All at once: one that cannot be resumed comes back into the list, for the next look.
        let due = {
            let mut sweep = self.sweeper.lock();
            let later = sweep.timers.split_off(&(past, Hash::ZERO));
            std::mem::replace(&mut sweep.timers, later)
        };
        for ((due, _), handle) in due {
            if handle.0.slot.timer(due) {
                self.clone().resume(&handle);
            }
        }
    }

    /// Its files are open, or cannot be.
    pub(super) fn resumed(&self, handle: &ChannelHandle, opened: Result<Option<Box<Opened>>, ChannelError>) {
        handle.0.metrics.suspended(-1);
        let over = matches!(handle.state(), LifeCycle::Halted { .. } | LifeCycle::Closed);
        let (Some(known), false) = (handle.0.known.get(), over) else {
            // Frees the files first.
            drop(opened);
            return handle.0.slot.give_up();
        };
        let work = opened.and_then(|opened| {
            let opened = opened.ok_or(ChannelError::Abandoned)?;
            agrees(known.id, &known.shared, &opened)?;
            self.work_of(handle, &opened, &known.shared)
        });
        match work {
            Ok(work) => self.work(handle, known.id, work),
            Err(reason) if self.disk.look().is_some_and(DiskTrouble::leaves_files) => {
                self.stay_suspended(handle, known.id, &in_full(reason))
            }
            Err(reason) => {
                halt(handle, &in_full(reason));
                handle.0.slot.give_up();
            }
        }
    }

    /// Its files cannot be opened now, and nothing is wrong with it.
    pub(super) fn not_resumed(&self, handle: &ChannelHandle, reason: &str) {
        handle.0.metrics.suspended(-1);
        let over = matches!(handle.state(), LifeCycle::Halted { .. } | LifeCycle::Closed);
        match handle.0.known.get().filter(|_| !over) {
            Some(known) => self.stay_suspended(handle, known.id, reason),
            None => handle.0.slot.give_up(),
        }
    }

    /// It is suspended as before; whoever waits is told so, and its timer is tried again.
    fn stay_suspended(&self, handle: &ChannelHandle, id: Hash, reason: &str) {
        handle.0.metrics.suspended(1);
        let mut sweep = self.sweeper.lock();
        // It may be so for thousands, and for each again with every timer that is tried.
        if sweep.warned.is_none_or(|warned| warned.elapsed() >= WARN_PAUSE) {
            sweep.warned = Some(Instant::now());
            tracing::warn!(channel = handle.name(), reason, "a channel cannot be resumed now, nor perhaps others");
        }
        if let Some(due) = handle.0.slot.next_timer() {
            sweep.timers.insert((due, id), handle.clone());
        }
        drop(sweep);
        handle.0.slot.give_up();
    }

    /// Begins to close the store of a channel whose life is over.
    pub(super) async fn close(
        self: &Arc<Self>,
        handle: &ChannelHandle,
    ) -> Option<oneshot::Receiver<Result<(), ChannelError>>> {
        // What opens or closes its files comes to an end by itself: both end with closed files now.
        let under_way = async {
            while let Some(change) = handle.0.slot.change() {
                // The sender lives in the slot.
                let _ = change.await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(DRAIN_SECONDS_MAX), under_way).await.is_err() {
            tracing::warn!(channel = handle.name(), "its files were not closed in time; replay will make up for it");
        }
        handle.looked();
        let known = handle.0.known.get()?;
        let RunningChannel { store, active } = handle.0.slot.take()?;
        drop(active);
        let (tells, told) = oneshot::channel();
        let (registry, handle, id, shared) = (self.clone(), handle.clone(), known.id, known.shared.clone());
        let halted = matches!(handle.state(), LifeCycle::Halted { .. });
        let close = move || match halted {
            true => store.close().map_err(ChannelError::from),
            false => registry.close_for_suspension(&handle, &store, id, &shared).map(|_| ()),
        };
        self.storage.run(id, close, move |result| {
            // Whoever drains may have gone.
            let _ = tells.send(result.unwrap_or_else(|panicked| Err(ChannelError::Panicked(panicked.to_string()))));
        });
        Some(told)
    }
}

impl Opens for ChannelRegistry {
    fn resume(self: Arc<Self>, handle: &ChannelHandle) {
        let files = (self.files)(self.options.directory.join(handle.name()), Some(&self.disk));
        let (certificates, options) = (self.options.certificates.clone(), self.options.store);
        // Progress is not reported: the channel stays available throughout.
        let life = Life::new(LifeCycle::Opening);
        let (of_step, looked_at) = (life.clone(), handle.clone());
        let begin: OpeningWork = Box::new(move || {
            looked_at.looked();
            replay::begin(&*files, options, false, &*certificates, &of_step, REPLAY_SLICE)
        });
        self.opening_step(handle.clone(), life, Why::Resume, begin);
    }

    fn look(&self, name: &str) -> Result<ChannelStore, ChannelError> {
        let inspected = ChannelStore::inspect(self.options.directory.join(name), self.options.store);
        let (store, broken) = inspected?;
        match broken {
            None if store.state_height() == store.log_tip() => Ok(store),
            None => Err(ChannelError::Behind),
            Some(why) => Err(ChannelError::StateOnReadOnly(why)),
        }
    }
}

/// Where many channels are active they are suspended sooner, so that files are left for others.
fn patience(after: Duration, active: usize) -> Duration {
    if active > ACTIVE_MAX { after / 16 } else { after }
}

/// A look that took long is followed by a pause all the same.
fn looks(pause: Duration) -> Interval {
    let mut looks = tokio::time::interval(pause);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The log is the truth, and it does not change while a channel is suspended.
fn agrees(id: Hash, shared: &Shared, opened: &Opened) -> Result<(), ChannelError> {
    let (was, is) = (shared.tip(), opened.tip);
    if (id, was) != (opened.channel, is) {
        let of = |id, tip: Tip| Box::new((id, tip.height, tip.hash));
        return Err(ChannelError::OtherTip(of(id, was), of(opened.channel, is)));
    }
    match shared.config() == opened.config {
        true => Ok(()),
        false => Err(ChannelError::OtherConfiguration),
    }
}

#[cfg(test)]
mod tests;
