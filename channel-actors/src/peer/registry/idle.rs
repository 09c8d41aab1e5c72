//! Channels that are not used rest, and wake when they are. [`Rest`](crate::channel::passivation::Rest) decides for each channel; here
//! one task looks at those that work, one waits for the timers of those that rest, and the pools open and close files.

use super::starting::{OpeningWork, REPLAY_SLICE, Why, serves};
use super::{ChannelRegistry, halt};
use crate::block::execute::in_full;
use crate::block::replay;
use crate::block::replay::Opened;
use crate::channel::actor::Group;
use crate::channel::handle::ChannelHandle;
use crate::channel::shared::Shared;
use crate::channel::slot::Work;
use crate::channel::summary::{Summary, put_away};
use crate::limits::{AWAKE_MAX, DRAIN_SECONDS_MAX, READS_MAX, REST_LOOK_MAX, REST_LOOK_MIN, SETTLING_MAX};
use crate::runtime::life::{Life, LifeCycle};
use crate::runtime::tasks::Tasks;
use crate::store::{ChannelStore, DiskTrouble};
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Interval, MissedTickBehavior};

/// Whom to look at, and when.
#[derive(Default)]
pub(super) struct Keeper(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// Channels that work, by name.
    awake: BTreeMap<String, ChannelHandle>,
    /// The next timers of those that rest.
    timers: BTreeMap<(Time, Hash), ChannelHandle>,
    /// When it was last said that a channel cannot be woken.
    warned: Option<Instant>,
}

/// Between two lines of the log that say so.
pub(super) const WARN_PAUSE: Duration = Duration::from_secs(10);

impl Keeper {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChannelRegistry {
    /// Looks after channels until the registry is gone.
    pub(super) fn keep(self: &Arc<Self>) {
        let pause =
            self.options.rest_after.map_or(REST_LOOK_MAX, |after| after / 4).clamp(REST_LOOK_MIN, REST_LOOK_MAX);
        let (for_rest, for_timers) = (Arc::downgrade(self), Arc::downgrade(self));
        // Without a pause that is given only those rest whose disk was read-only as the peer began.
        self.options.tasks.start_in(&self.arbiter(), "timers", move || {
            let registry = for_timers.clone();
            async move {
                let mut looks = looks(pause);
                loop {
                    looks.tick().await;
                    let Some(registry) = registry.upgrade() else { return };
                    registry.wake_due();
                    registry.start_those_left();
                }
            }
        });
        let Some(after) = self.options.rest_after else { return };
        self.options.tasks.start_in(&self.arbiter(), "rest", move || {
            let registry = for_rest.clone();
            async move {
                let (slots, mut looks) = (Arc::new(Semaphore::new(SETTLING_MAX)), looks(pause));
                loop {
                    looks.tick().await;
                    let Some(registry) = registry.upgrade() else { return };
                    registry.settle_quiet(after, &slots).await;
                }
            }
        });
    }

    /// Puts those channels to rest that were not used for a while.
    async fn settle_quiet(self: &Arc<Self>, after: Duration, slots: &Arc<Semaphore>) {
        let awake: Vec<ChannelHandle> = {
            let mut kept = self.keeper.lock();
            let over = |state| matches!(state, LifeCycle::Draining | LifeCycle::Halted { .. } | LifeCycle::Closed);
            kept.awake.retain(|_, handle| !over(handle.state()));
            kept.awake.values().cloned().collect()
        };
        let after = patience(after, awake.len());
        for handle in awake {
            // Few at a time: closing writes, and those that work come first. Without room it would wait.
            let Ok(slot) = Arc::clone(slots).acquire_owned().await else { return };
            if self.disk.trouble().is_some() || handle.state() != LifeCycle::Serving {
                continue;
            }
            let inner = &handle.0;
            let busy = || inner.credits.used().0 > 0 || inner.reads.available_permits() < READS_MAX;
            if let Some(group) = inner.gate.settle(busy, after) {
                let soon = self.options.clock.now().plus_millis(millis(after));
                let (registry, stuck) = (self.clone(), handle.clone());
                let broken = move |reason: String| {
                    halt(&stuck, &format!("putting it to rest panicked: {reason}"));
                    stuck.0.gate.abandon();
                };
                Tasks::job(&self.arbiter(), move || registry.settle(handle, group, soon, slot), broken);
            }
        }
    }

    /// Ends the actors and closes the files, if the actors agree.
    async fn settle(self: Arc<Self>, handle: ChannelHandle, group: Group, soon: Time, slot: OwnedSemaphorePermit) {
        let agreed = group.retire(soon).await;
        drop(group);
        let work = if agreed { handle.0.gate.take() } else { None };
        let (Some(Work { store, group }), Some(known)) = (work, handle.0.known.get()) else {
            return handle.0.gate.keep_up();
        };
        drop(group);
        let (id, shared) = (known.id, known.shared.clone());
        let (registry, closing) = (self.clone(), handle.clone());
        let close = move || registry.put_away(&closing, &store, id, &shared);
        self.storage.clone().run(id, close, move |result| {
            drop(slot);
            self.settled(&handle, id, result.unwrap_or_else(|panicked| Err(panicked.to_string())));
        });
    }

    fn settled(self: Arc<Self>, handle: &ChannelHandle, id: Hash, closed: Result<Option<Time>, String>) {
        self.keeper.lock().awake.remove(handle.name());
        let next_timer = match closed {
            Ok(next_timer) => next_timer,
            Err(reason) => {
                halt(handle, &format!("closing its files failed: {reason}"));
                return handle.0.gate.give_up();
            }
        };
        handle.0.metrics.rests(1);
        handle.0.share.look_again(0);
        tracing::debug!(channel = handle.name(), "channel rests");
        if handle.0.gate.closed(next_timer) {
            return self.wake(handle);
        }
        if let Some(due) = next_timer {
            self.keeper.lock().timers.insert((due, id), handle.clone());
        }
    }

    /// Closes a store for a while. Blocking.
    pub(super) fn put_away(
        &self,
        handle: &ChannelHandle,
        store: &ChannelStore,
        id: Hash,
        shared: &Shared,
    ) -> Result<Option<Time>, String> {
        shared.ring.forget();
        shared.links.forget();
        let files = (self.files)(self.options.directory.join(handle.name()), None);
        put_away(store, &*files, id, shared)
    }

    /// Whether a channel that was just opened may rest at once.
    pub(super) fn may_rest(&self, next_timer: Option<Time>) -> bool {
        let Some(after) = self.options.rest_after.filter(|_| self.disk.trouble().is_none()) else { return false };
        let soon = self.options.clock.now().plus_millis(millis(after));
        next_timer.is_none_or(|due| due > soon)
    }

    /// A channel whose summary says all that must be known of it is not opened.
    pub(super) fn rests_already(&self, handle: &ChannelHandle) -> bool {
        if self.options.rest_after.is_none() {
            return false;
        }
        let files = (self.files)(self.options.directory.join(handle.name()), None);
        let Some(Summary { channel, tip, config, ended, next_timer }) = Summary::read(&*files) else { return false };
        if config.config.name != handle.name() || self.engine(&config.config).is_err() {
            return false;
        }
        self.rest_from_start(handle, channel, next_timer);
        // Nothing has opened it before.
        let shared = Shared::new(tip, Arc::new(config), ended.into(), self.options.memory.blocks.clone());
        let known = self.known(handle, channel, Arc::new(shared)).is_ok();
        if known {
            serves(handle);
        }
        handle.0.settled.send_replace(true);
        known
    }

    /// A channel that has not worked yet rests.
    pub(super) fn rest_from_start(&self, handle: &ChannelHandle, id: Hash, next_timer: Option<Time>) {
        handle.0.metrics.rests(1);
        handle.0.gate.rests(next_timer);
        if let Some(due) = next_timer {
            self.keeper.lock().timers.insert((due, id), handle.clone());
        }
    }

    /// A channel works.
    pub(super) fn work(&self, handle: &ChannelHandle, id: Hash, work: Work) {
        let mut kept = self.keeper.lock();
        kept.awake.insert(handle.name().to_owned(), handle.clone());
        if let Some(due) = handle.0.gate.open(work) {
            kept.timers.remove(&(due, id));
        }
    }

    /// Wakes those channels whose timers are due.
    fn wake_due(self: &Arc<Self>) {
        // An opening needs a disk that takes writes, and so does the timer's block.
        if self.disk.trouble().is_some() {
            return;
        }
        let past = self.options.clock.now().plus_millis(1);
        // All at once: one that cannot be woken comes back into the list, for the next look.
        let due = {
            let mut kept = self.keeper.lock();
            let later = kept.timers.split_off(&(past, Hash::ZERO));
            std::mem::replace(&mut kept.timers, later)
        };
        for ((due, _), handle) in due {
            if handle.0.gate.timer(due) {
                self.wake(&handle);
            }
        }
    }

    /// Opens the files of a channel that rests. Whoever the gate told to calls this, and nobody else.
    pub(crate) fn wake(self: &Arc<Self>, handle: &ChannelHandle) {
        let files = (self.files)(self.options.directory.join(handle.name()), Some(&self.disk));
        let (certificates, options) = (self.options.certificates.clone(), self.options.store);
        // Progress is not reported: the channel stays available throughout.
        let life = Life::new(LifeCycle::Opening);
        let (of_step, looked_at) = (life.clone(), handle.clone());
        let begin: OpeningWork = Box::new(move || {
            looked_at.looked();
            replay::begin(&*files, options, false, &*certificates, &of_step, REPLAY_SLICE)
        });
        self.clone().opening_step(handle.clone(), life, Why::Wake, begin);
    }

    /// The store of a channel that rests on a disk that is read-only, to look at. Blocking.
    pub(crate) fn look(&self, name: &str) -> Result<ChannelStore, String> {
        let inspected = ChannelStore::inspect(self.options.directory.join(name), self.options.store);
        let (store, broken) = inspected.map_err(in_full)?;
        match broken {
            None if store.state_height() == store.log_tip() => Ok(store),
            None => Err("its state is behind its log, and the disk is read-only".into()),
            Some(why) => Err(format!("its state is broken ({why}), and the disk is read-only")),
        }
    }

    /// Its files are open, or cannot be.
    pub(super) fn woken(&self, handle: &ChannelHandle, opened: Result<Option<Box<Opened>>, String>) {
        handle.0.metrics.rests(-1);
        let over = matches!(handle.state(), LifeCycle::Halted { .. } | LifeCycle::Closed);
        let (Some(known), false) = (handle.0.known.get(), over) else {
            // Frees the files first.
            drop(opened);
            return handle.0.gate.give_up();
        };
        let work = opened.and_then(|opened| {
            let opened = opened.ok_or("its opening was abandoned")?;
            agrees(known.id, &known.shared, &opened)?;
            self.work_of(handle, &opened, &known.shared)
        });
        match work {
            Ok(work) => self.work(handle, known.id, work),
            Err(reason) if self.disk.look().is_some_and(DiskTrouble::leaves_files) => {
                self.sleep_on(handle, known.id, &reason)
            }
            Err(reason) => {
                halt(handle, &reason);
                handle.0.gate.give_up();
            }
        }
    }

    /// Its files cannot be opened now, and nothing is wrong with it.
    pub(super) fn not_woken(&self, handle: &ChannelHandle, reason: &str) {
        handle.0.metrics.rests(-1);
        let over = matches!(handle.state(), LifeCycle::Halted { .. } | LifeCycle::Closed);
        match handle.0.known.get().filter(|_| !over) {
            Some(known) => self.sleep_on(handle, known.id, reason),
            None => handle.0.gate.give_up(),
        }
    }

    /// It rests as before; whoever waits is told so, and its timer is tried again.
    fn sleep_on(&self, handle: &ChannelHandle, id: Hash, reason: &str) {
        handle.0.metrics.rests(1);
        let mut kept = self.keeper.lock();
        // It may be so for thousands, and for each again with every timer that is tried.
        if kept.warned.is_none_or(|warned| warned.elapsed() >= WARN_PAUSE) {
            kept.warned = Some(Instant::now());
            tracing::warn!(channel = handle.name(), reason, "a channel cannot be woken now, nor perhaps others");
        }
        if let Some(due) = handle.0.gate.next_timer() {
            kept.timers.insert((due, id), handle.clone());
        }
        drop(kept);
        handle.0.gate.give_up();
    }

    /// Begins to close the store of a channel whose life is over.
    pub(super) async fn close(
        self: &Arc<Self>,
        handle: &ChannelHandle,
    ) -> Option<oneshot::Receiver<Result<(), String>>> {
        // What opens or closes its files comes to an end by itself: both end with closed files now.
        let under_way = async {
            while let Some(change) = handle.0.gate.change() {
                // The sender lives in the gate.
                let _ = change.await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(DRAIN_SECONDS_MAX), under_way).await.is_err() {
            tracing::warn!(channel = handle.name(), "its files were not closed in time; replay will make up for it");
        }
        handle.looked();
        let known = handle.0.known.get()?;
        let Work { store, group } = handle.0.gate.take()?;
        drop(group);
        let (tells, told) = oneshot::channel();
        let (registry, handle, id, shared) = (self.clone(), handle.clone(), known.id, known.shared.clone());
        let halted = matches!(handle.state(), LifeCycle::Halted { .. });
        let close = move || match halted {
            true => store.close().map_err(in_full),
            false => registry.put_away(&handle, &store, id, &shared).map(|_| ()),
        };
        self.storage.run(id, close, move |result| {
            // Whoever drains may have gone.
            let _ = tells.send(result.unwrap_or_else(|panicked| Err(panicked.to_string())));
        });
        Some(told)
    }
}

/// Where many channels are awake they rest sooner, so that files are left for others.
fn patience(after: Duration, awake: usize) -> Duration {
    if awake > AWAKE_MAX { after / 16 } else { after }
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

/// The log is the truth, and it does not change while a channel rests.
fn agrees(id: Hash, shared: &Shared, opened: &Opened) -> Result<(), String> {
    let (was, is) = (shared.tip(), opened.tip);
    if (id, was) != (opened.channel, is) {
        return Err(format!(
            "it went to rest as channel {id} at block {} {}, and its log holds channel {} with block {} {}",
            was.height, was.hash, opened.channel, is.height, is.hash
        ));
    }
    match shared.config() == opened.config {
        true => Ok(()),
        false => Err("its configuration is not the one with which it went to rest".into()),
    }
}

#[cfg(test)]
mod tests;
