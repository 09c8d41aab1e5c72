//! How stores are opened: those of channels that start with the peer or were just made, and those of channels that resume.
//! One that does not start is halted with its reason, and what is left of it says who may see that.

use super::parts::{ChannelRegistry, OpeningWork, REPLAY_SLICE, Start, Undecided, WARN_PAUSE, Why, halt, turn_of};
use crate::block::error::{ChannelError, in_full};
use crate::block::replay;
use crate::block::replay::Step;
use crate::channel::handle::ChannelHandle;
use crate::channel::remains;
use crate::channel::remains::Remains;
use crate::channel::summary::Summary;
use crate::runtime::life::{Life, LifeCycle};
use crate::runtime::pool::Panicked;
use crate::store::{DiskTrouble, Inspected, StoreFiles};
use std::sync::{Arc, PoisonError};
use std::time::Instant;
use tokio::sync::oneshot;

impl ChannelRegistry {
    /// Opens the store of a channel that there is, on a thread of its own kind, then starts its actor. On a disk that
    /// is read-only the store is looked at.
    pub(super) fn start(self: Arc<Self>, handle: ChannelHandle) {
        let directory = self.options.directory.join(handle.name());
        let looked_at = self.disk.look().is_some_and(DiskTrouble::leaves_files);
        let files: Box<dyn StoreFiles> = match looked_at {
            true => Box::new(Inspected::new(&directory)),
            false => (self.files)(directory.clone(), Some(&self.disk)),
        };
        // Before the store is opened, which removes it.
        let summary = Summary::left(&directory).map(Box::new);
        self.decide(&handle, Undecided::Opening);
        self.open_store(handle, files, Why::Start(Start { looked_at, summary }));
    }

    pub(super) fn open_store(self: Arc<Self>, handle: ChannelHandle, files: Box<dyn StoreFiles>, why: Why) {
        let (certificates, options) = (self.options.certificates.clone(), self.options.store);
        let (life, in_memory) = (handle.0.life.clone(), matches!(&why, Why::Start(start) if start.looked_at));
        let of_step = life.clone();
        let begin = move || replay::begin(&*files, options, in_memory, &*certificates, &of_step, REPLAY_SLICE);
        self.opening_step(handle, life, why, Box::new(begin));
    }

    /// Does a part of an opening in the channel's turn: one with a long log delays the others by a slice.
    pub(super) fn opening_step(self: Arc<Self>, handle: ChannelHandle, life: Life, why: Why, work: OpeningWork) {
        let pool = match why {
            Why::Made(_) | Why::Start(_) => self.opening.clone(),
            Why::Resume => self.resuming.clone(),
        };
        let turn = turn_of(handle.name());
        let done = move |result: Result<Result<Step, ChannelError>, Panicked>| {
            let opened = match result {
                Ok(Ok(Step::More(opening))) => {
                    let (certificates, of_step) = (self.options.certificates.clone(), life.clone());
                    let more = move || opening.go_on(&*certificates, &of_step, REPLAY_SLICE);
                    return self.opening_step(handle, life, why, Box::new(more));
                }
                Ok(Ok(Step::Done(opened))) => Ok(Some(opened)),
                Ok(Ok(Step::Abandoned)) => Ok(None),
                Ok(Ok(Step::NotNow(reason))) if matches!(why, Why::Resume) => {
                    return self.not_resumed(&handle, &reason);
                }
                Ok(Ok(Step::NotNow(reason))) if matches!(why, Why::Start(_)) => {
                    return self.start_later(handle, &reason);
                }
                Ok(Ok(Step::NotNow(reason))) => Err(ChannelError::NotNow(reason)),
                Ok(Err(error)) => Err(ChannelError::Opening(Box::new(error))),
                Err(panicked) => Err(ChannelError::Panicked(format!("opening {panicked}"))),
            };
            match why {
                Why::Resume => self.resumed(&handle, opened),
                Why::Made(told) => {
                    if let Err(reason) = self.opened_first(&handle, opened, false) {
                        halt(&handle, &in_full(reason));
                    }
                    self.made(&handle, told);
                    handle.0.settled.send_replace(true);
                }
                Why::Start(Start { looked_at, summary }) => match self.opened_first(&handle, opened, looked_at) {
                    Ok(()) => {
                        // If nothing is known of it, the peer ends.
                        self.decide(&handle, Undecided::Opening);
                        handle.0.settled.send_replace(true);
                    }
                    Err(error) => self.salvage(handle, summary, in_full(error)),
                },
            }
        };
        pool.run(turn, work, done);
    }

    /// A store was opened for the first time; `None` if its opening was abandoned.
    fn opened_first(
        &self,
        handle: &ChannelHandle,
        opened: Result<Option<Box<replay::Opened>>, ChannelError>,
        looked_at: bool,
    ) -> Result<(), ChannelError> {
        opened?.map_or(Ok(()), |opened| self.serve(handle, &opened, looked_at))
    }

    /// The peer has no file descriptors left: nothing is wrong with the channel, which starts as soon as there are some.
    fn start_later(&self, handle: ChannelHandle, reason: &str) {
        // A drain need not wait for it.
        handle.0.settled.send_replace(true);
        let mut later = self.later.lock().unwrap_or_else(PoisonError::into_inner);
        if later.warned.is_none_or(|warned| warned.elapsed() >= WARN_PAUSE) {
            later.warned = Some(Instant::now());
            tracing::warn!(channel = handle.name(), reason, "a channel cannot be opened now, nor perhaps others");
        }
        later.handles.push(handle);
    }

    /// Starts those that could not be opened for want of file descriptors.
    pub(super) fn start_those_left(self: &Arc<Self>) {
        if *self.closing() {
            return;
        }
        let handles = std::mem::take(&mut self.later.lock().unwrap_or_else(PoisonError::into_inner).handles);
        for handle in handles {
            handle.0.settled.send_replace(false);
            self.clone().start(handle);
        }
    }

    /// Reads what can still be read of a channel that does not start, so that those whom it concerns see that it has
    /// halted, and why.
    fn salvage(self: Arc<Self>, handle: ChannelHandle, summary: Option<Box<Summary>>, reason: String) {
        if handle.0.known.get().is_some() {
            return self.does_not_start(&handle, &reason);
        }
        let (directory, options) = (self.options.directory.join(handle.name()), self.options.store);
        let (pool, turn) = (self.opening.clone(), turn_of(handle.name()));
        pool.run(
            turn,
            move || remains::read(&directory, options, summary.map(|summary| *summary)),
            move |found| {
                // What cannot even be looked at says nothing.
                let found: Option<Remains> = found.unwrap_or_default();
                let named = |found: &Remains| found.config.config.name == handle.name();
                if let Some(found) = found {
                    if let Some(id) = found.id.filter(|_| named(&found)) {
                        self.by_id.insert(id, handle.clone());
                    }
                    let config = Arc::clone(&found.config);
                    // It is read once.
                    let _ = handle.0.remains.set(found);
                    self.index.put(&handle, &config.config, &*self.options.certificates);
                }
                self.does_not_start(&handle, &reason);
            },
        );
    }

    fn does_not_start(&self, handle: &ChannelHandle, reason: &str) {
        // First: whoever sees that it has halted may ask next who sees it.
        self.decide(handle, Undecided::Unreadable);
        halt(handle, reason);
        handle.0.settled.send_replace(true);
    }

    /// The making of a channel has come to an end. One that failed leaves its name free, whether or not somebody
    /// still waits for it.
    pub(super) fn made(&self, handle: &ChannelHandle, told: oneshot::Sender<()>) {
        if matches!(handle.state(), LifeCycle::Halted { .. }) {
            self.by_name.remove(handle.name());
            self.index.remove(handle.name());
            if let Some(id) = handle.id() {
                self.by_id.remove(&id);
            }
        }
        // The caller may have gone.
        let _ = told.send(());
    }
}
