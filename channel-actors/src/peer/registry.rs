//! The channels of a peer: opened at start, made, found by name or id, drained at the end. Channels never wait for
//! each other; one that cannot be opened is halted with its reason, and the others serve.

mod idle;
mod parts;
mod starting;

pub use parts::{ChannelRegistry, CreateError, RegistryOptions, Undecided};

use crate::block::error::{ChannelError, in_full};
use crate::block::replay;
use crate::channel::actor;
use crate::channel::actor::ChannelContext;
use crate::channel::handle::{ChannelHandle, Known, Unavailable, run};
use crate::channel::slot::RunningChannel;
use crate::delivery::shared::Shared;
use crate::limits::{CHANNELS_MAX, DISK_PART, DRAIN_SECONDS_MAX, VERIFY_SLICE};
use crate::peer::directory_lock::lock_directory;
use crate::peer::fence;
use crate::peer::visibility::Scope;
use crate::pipeline::door::{Door, Doors};
use crate::pipeline::effects::Workplace;
use crate::pipeline::ordering::{self, Begin, OrderingEngine};
use crate::pipeline::path_cache::PathCache;
use crate::runtime::asker::Asker;
use crate::runtime::life::LifeCycle;
use crate::runtime::memory::PeerMemory;
use crate::runtime::pool::{Broken, Shares, WorkPool};
use crate::store::{Directory, Disk, DiskQuota, StoreFiles, StoreOptions};
use actix::{Arbiter, ArbiterHandle};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use ledger_classes::execution;
use ledger_classes::formats::config::{ChannelConfig, Engine};
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::identity::is_label;
use parts::{FilesIn, IdleSweeper, Why, halt, serves, turn_of};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// Threads that execute and persist: more than cores, since some of them wait for the disk.
const STORAGE_THREADS: usize = 4;
/// Threads that write checkpoints. Low priority: a checkpoint uses about 100 ms of CPU and disk, and nothing waits for it
/// until a channel has twice its checkpoint threshold of unflushed writes.
const CHECKPOINT_THREADS: usize = 2;
const CHECKPOINT_NICE: i32 = 5;
/// Threads that make stores and open them. Apart from the others: replaying a long log takes minutes, during which the
/// channels that serve already must not wait.
const OPENING_THREADS: usize = 2;
/// Threads that open stores of channels that resume. Apart from the others: somebody waits for each.
const RESUMING_THREADS: usize = 2;
/// Threads that answer queries.
const READING_THREADS: usize = 4;
/// Threads that run the channels' actors.
const ARBITERS: usize = 2;
/// Why no channel is made any more.
const CLOSING: &str = "the peer is closing";
/// Stores being made: renamed when complete, removed at the next start otherwise.
const UNFINISHED: &str = ".unfinished";

impl ChannelRegistry {
    /// Opens every channel in the directory, in the background; [`Self::opened`] waits for that. Must be called
    /// where an actix system runs.
    ///
    /// # Errors
    /// The directory cannot be read, or the system has no more threads.
    pub fn open(options: RegistryOptions) -> std::io::Result<Arc<Self>> {
        Self::open_on(options, Arc::new(on_disk))
    }

    /// [`Self::open`] behind a fence. Behind a wrong one nothing is sealed; everything can be read.
    ///
    /// # Errors
    /// As those of [`Self::open`]; or the fence cannot be read or written.
    pub fn open_behind(options: RegistryOptions, entry: &fence::Entry) -> std::io::Result<(Arc<Self>, fence::Entered)> {
        let (registry, entered) = Self::open_with(options, Arc::new(on_disk), Some(entry))?;
        let none = || std::io::Error::other("nobody was asked for");
        Ok((registry, entered.ok_or_else(none)?))
    }

    /// [`Self::open`] with stores on files of any kind.
    fn open_on(options: RegistryOptions, files: FilesIn) -> std::io::Result<Arc<Self>> {
        Ok(Self::open_with(options, files, None)?.0)
    }

    fn open_with(
        options: RegistryOptions,
        files: FilesIn,
        entry: Option<&fence::Entry>,
    ) -> std::io::Result<(Arc<Self>, Option<fence::Entered>)> {
        files::private_folder(&options.directory)?;
        let held = lock_directory(&options.directory)?;
        let entered = entry.map(|entry| entry.enter(&options.directory, fence::has_channels(&options.directory)?));
        let entered = entered.transpose()?;
        // The name of a channel whose making a crash interrupted may not be on disk yet.
        held.sync_all()?;
        // What a channel has of one pool counts in the other, too; its readers are apart from its blocks.
        let shares = Shares::default();
        let registry = Arc::new(Self {
            disk: Disk::watch(&options.directory, options.disk_reserve_bytes, &options.tasks)?,
            verification: WorkPool::fair(&options.tasks, "verify", options.verification_threads, &shares)?,
            storage: WorkPool::fair(&options.tasks, "store", STORAGE_THREADS, &shares)?,
            checkpoints: WorkPool::giving_way(&options.tasks, "checkpoint", CHECKPOINT_THREADS, CHECKPOINT_NICE)?,
            reading: WorkPool::fair(&options.tasks, "read", READING_THREADS, &Shares::default())?,
            opening: WorkPool::new(&options.tasks, "open", OPENING_THREADS)?,
            resuming: WorkPool::new(&options.tasks, "resume", RESUMING_THREADS)?,
            sweeper: IdleSweeper::default(),
            arbiters: arbiters(),
            next_arbiter: AtomicUsize::new(0),
            by_name: DashMap::new(),
            by_id: DashMap::new(),
            index: Arc::default(),
            closing: Mutex::new(false),
            undecided: Mutex::default(),
            later: Mutex::default(),
            held: Mutex::new(Some(held)),
            options,
            doors: Doors::default(),
            made: watch::Sender::new(0),
            files,
        });
        registry.disk.share(registry.options.memory.stores.clone());
        registry.hear_of_broken_jobs();
        if entered.as_ref().is_some_and(|entered| entered.fenced.is_some()) {
            registry.disk.fence();
        }
        for entry in std::fs::read_dir(&registry.options.directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(UNFINISHED) {
                // Its making was interrupted; nobody was told that it exists.
                match std::fs::remove_dir_all(entry.path()) {
                    // It is no channel's name.
                    Err(error) if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem => {}
                    removed => removed?,
                }
            } else if is_label(&name) && entry.file_type()?.is_dir() {
                let handle = registry.handle(&name);
                registry.by_name.insert(name, handle);
            }
        }
        // In the order of names, the same at each start.
        for handle in registry.list() {
            if !registry.suspended_already(&handle) {
                registry.clone().start(handle);
            }
        }
        registry.sweep();
        Ok((registry, entered))
    }

    /// Runs what reads no channel, such as the encoding of a list of them, on a reading thread in a caller's turn.
    ///
    /// # Errors
    /// It panicked, or the threads are gone.
    pub async fn encode<R: Send + 'static>(
        &self,
        caller: Asker,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Unavailable> {
        run(&self.reading, Hash::ZERO, caller, work).await
    }

    /// What its channels share of the peer's memory.
    pub const fn memory(&self) -> &PeerMemory {
        &self.options.memory
    }

    /// A channel whose job's end was lost is stuck, so it halts; if it is none that is known, so may the whole peer be.
    fn hear_of_broken_jobs(self: &Arc<Self>) {
        let (registry, tasks) = (Arc::downgrade(self), self.options.tasks.clone());
        let broken: Broken = Arc::new(move |turn, reason| {
            let Some(registry) = registry.upgrade() else { return };
            let known = registry.by_id(&turn);
            // Before its id is known its turn is its name's.
            let named = || registry.list().into_iter().find(|handle| turn == turn_of(handle.name()));
            match known.or_else(named) {
                Some(handle) => {
                    registry.decide(&handle, Undecided::Unreadable);
                    halt(&handle, &reason);
                    handle.0.settled.send_replace(true);
                    handle.0.slot.abandon();
                }
                None => tasks.fail(reason),
            }
        });
        for pool in [&self.verification, &self.storage, &self.checkpoints, &self.reading, &self.opening, &self.resuming]
        {
            pool.on_broken(broken.clone());
        }
    }

    fn closing(&self) -> MutexGuard<'_, bool> {
        self.closing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(self: &Arc<Self>, name: &str) -> ChannelHandle {
        let metrics = self.options.metrics.channel(name);
        let in_flight = self.options.memory.in_flight.clone();
        let quota = DiskQuota::new(name, &self.options.directory, self.channel_bytes_max());
        ChannelHandle::new(
            name.into(),
            self.reading.clone(),
            (self.disk.clone(), quota),
            metrics,
            in_flight,
            Arc::<Self>::downgrade(self),
        )
    }

    /// A channel's disk quota; unbounded if the file system's size is unknown.
    fn channel_bytes_max(&self) -> u64 {
        match self.options.channel_bytes_max {
            0 => self.disk.size().map_or(u64::MAX, |size| size / DISK_PART),
            bytes_max => bytes_max,
        }
    }

    /// Whether this peer may order a channel, with an engine that serves.
    fn may_order(&self, config: &ChannelConfig) -> Result<(), ChannelError> {
        let mine = self.options.seal_key.public();
        if !config.peers.iter().any(|peer| peer.key == mine) {
            return Err(ChannelError::NotAmongOrderers);
        }
        match config.engine {
            Engine::Solo => Ok(()),
            // There is no log yet for records, and no link.
            Engine::Raft | Engine::Bft => Err(ChannelError::NoEngine),
        }
    }

    fn engine(&self, opened: &replay::Opened) -> Result<Box<dyn OrderingEngine>, ChannelError> {
        self.may_order(&opened.config.config)?;
        let (key, orderers) = (self.options.seal_key.clone(), opened.config.config.orderers());
        let (channel, tip) = (opened.channel, opened.tip);
        let begin = Begin { channel, seed: 0, key, orderers: &orderers, tip, kept: None };
        ordering::engine(begin).map_err(|error| ChannelError::Ordering(error.to_string()))
    }

    /// Makes known what was opened for the first time, and goes on with it: at work, or suspended at once.
    /// One that was only looked at is suspended, and is looked at again by whoever reads.
    fn serve(&self, handle: &ChannelHandle, opened: &replay::Opened, looked_at: bool) -> Result<(), ChannelError> {
        let named = &opened.config.config.name;
        if named != handle.name() {
            return Err(ChannelError::OtherFolder(named.clone()));
        }
        if matches!(handle.state(), LifeCycle::Draining | LifeCycle::Closed) {
            return Ok(());
        }
        let ended = execution::marks_in(&opened.store.view()?)?;
        let (ended, memory) = (ended.into_iter().collect(), self.options.memory.blocks.clone());
        let shared = Arc::new(Shared::new(opened.tip, opened.config.clone(), ended, memory));
        // Asked before anything is promised. Whoever may see the channel sees that it halts.
        if let Err(reason) = self.may_order(&opened.config.config) {
            self.known(handle, opened.channel, shared)?;
            return Err(reason);
        }
        if looked_at {
            if opened.store.checkpoint_height() != Some(opened.tip.height) {
                // Executing blocks again for each reader would take too long.
                handle.keep_to_look_at(opened.store.clone());
            }
            self.begin_suspended(handle, opened.channel, opened.next_timer);
        } else if self.may_suspend(opened.next_timer) {
            let next_timer = self.close_for_suspension(handle, &opened.store, opened.channel, &shared)?;
            self.begin_suspended(handle, opened.channel, next_timer);
        } else {
            self.work(handle, opened.channel, self.work_of(handle, opened, &shared)?);
        }
        self.known(handle, opened.channel, shared)?;
        serves(handle);
        Ok(())
    }

    /// From now on the channel is found.
    fn known(&self, handle: &ChannelHandle, id: Hash, shared: Arc<Shared>) -> Result<(), ChannelError> {
        let height = shared.tip().height;
        handle.0.metrics.height(height);
        let config = shared.config();
        if handle.0.known.set(Known { id, shared }).is_err() {
            return Err(ChannelError::OpenedTwice);
        }
        self.by_id.insert(id, handle.clone());
        self.index.put(handle, &config.config, &*self.options.certificates);
        self.made.send_modify(|made| *made += 1);
        Ok(())
    }

    /// Starts the actor of an opened channel.
    fn work_of(
        &self,
        handle: &ChannelHandle,
        opened: &replay::Opened,
        shared: &Arc<Shared>,
    ) -> Result<RunningChannel, ChannelError> {
        let engine = self.engine(opened)?;
        let context = Arc::new(ChannelContext {
            place: Arc::new(Workplace {
                name: handle.name().to_owned(),
                channel: opened.channel,
                certificates: Arc::new(PathCache::new(self.options.certificates.clone())),
                doors: self.doors.clone(),
                shared: shared.clone(),
                store: opened.store.clone(),
                metrics: handle.0.metrics.clone(),
                index: self.index.clone(),
                proposer: self.options.seal_key.public().address(),
                key: self.options.seal_key.clone(),
                credits: handle.0.credits.clone(),
                disk: Some(self.disk.clone()),
                quota: handle.0.quota.clone(),
                verify_slice: VERIFY_SLICE,
            }),
            life: handle.0.life.clone(),
            clock: self.options.clock.clone(),
            verification: self.verification.clone(),
            storage: self.storage.clone(),
            checkpoints: self.checkpoints.clone(),
            reading: self.reading.clone(),
            checkpoint_interval_ms: self.options.store.checkpoint_interval_ms,
            ends: AtomicBool::new(false),
        });
        let active = actor::start(context, opened, engine, self.options.shards, &self.arbiter());
        Ok(RunningChannel { store: opened.store.clone(), active })
    }

    fn arbiter(&self) -> ArbiterHandle {
        let turn = self.next_arbiter.fetch_add(1, Ordering::Relaxed);
        self.arbiters[turn % self.arbiters.len()].handle()
    }

    /// Waits until every channel serves or has halted, and it is known who may see it.
    pub async fn opened(&self) {
        for handle in self.list() {
            let mut life = handle.follow_life();
            let settled = |state: &LifeCycle| !matches!(state, LifeCycle::Opening | LifeCycle::Replaying { .. });
            // The senders live in the handle.
            let _ = life.wait_for(settled).await;
            let _ = handle.0.settled.subscribe().wait_for(|settled| *settled).await;
        }
    }

    /// Wakes when a channel was opened for the first time, or made.
    pub fn follow_made(&self) -> watch::Receiver<u64> {
        self.made.subscribe()
    }

    /// Has a door asked before any transaction is taken, on every channel. The first one stays.
    pub fn guard(&self, door: Arc<dyn Door>) {
        self.doors.guard(door);
    }

    /// The file system that holds the channels.
    pub const fn disk(&self) -> &Disk {
        &self.disk
    }

    /// A channel by name.
    pub fn by_name(&self, name: &str) -> Option<ChannelHandle> {
        self.by_name.get(name).map(|channel| channel.clone())
    }

    /// A channel by id.
    pub fn by_id(&self, id: &Hash) -> Option<ChannelHandle> {
        self.by_id.get(id).map(|channel| channel.clone())
    }

    /// A channel by id or name, if its configuration gives one of these scopes rights, or gave them a moment ago.
    pub fn find(&self, scopes: &[Scope], text: &str) -> Option<ChannelHandle> {
        self.index.find(scopes, text)
    }

    /// The channels whose configurations give one of these scopes rights, or gave them a moment ago, by name: those behind
    /// `after`.
    pub fn list_of(&self, scopes: &[Scope], after: Option<&str>) -> BTreeMap<String, ChannelHandle> {
        self.index.list(scopes, after)
    }

    /// Every channel, by name.
    pub fn list(&self) -> Vec<ChannelHandle> {
        let mut channels: Vec<ChannelHandle> = self.by_name.iter().map(|channel| channel.clone()).collect();
        channels.sort_unstable_by(|one, other| one.name().cmp(other.name()));
        channels
    }

    /// Why it is not known of every channel who may see it, if so.
    pub fn undecided(&self) -> Option<Undecided> {
        let undecided = self.undecided.lock().unwrap_or_else(PoisonError::into_inner);
        undecided.values().copied().min()
    }

    /// What is known of who may see a channel has changed.
    fn decide(&self, handle: &ChannelHandle, otherwise: Undecided) {
        let mut undecided = self.undecided.lock().unwrap_or_else(PoisonError::into_inner);
        match handle.config() {
            Some(_) => undecided.remove(handle.name()),
            None => undecided.insert(handle.name().to_owned(), otherwise),
        };
    }

    /// Makes a channel and waits until it serves. Either it is whole on disk, or it is not there.
    ///
    /// # Errors
    /// See [`CreateError`].
    pub async fn create(self: &Arc<Self>, config: ChannelConfig) -> Result<ChannelHandle, CreateError> {
        config.check_genesis().map_err(|error| CreateError::Invalid(error.to_string()))?;
        if let Some(trouble) = self.disk.trouble() {
            return Err(CreateError::Disk(trouble));
        }
        self.may_order(&config).map_err(|error| CreateError::Invalid(in_full(error)))?;
        let name = config.name.clone();
        let handle = self.handle(&name);
        {
            let closing = self.closing();
            if *closing {
                return Err(CreateError::Broken(CLOSING.into()));
            }
            // Asked before the entry is held: the map would wait for itself.
            let full = self.by_name.len() >= CHANNELS_MAX;
            match self.by_name.entry(name) {
                Entry::Occupied(taken) => return Err(CreateError::Exists(taken.key().clone())),
                Entry::Vacant(_) if full => return Err(CreateError::TooMany),
                Entry::Vacant(free) => drop(free.insert(handle.clone())),
            }
        }
        let (told, tells) = oneshot::channel();
        let (parent, options) = (self.options.directory.clone(), self.options.store);
        let (registry, files) = (self.clone(), self.files.clone());
        let started = handle.clone();
        let done = move |made: Result<Result<PathBuf, ChannelError>, _>| {
            let failed = match made {
                Ok(Ok(directory)) => {
                    let files = (registry.files)(directory, Some(&registry.disk));
                    return registry.open_store(started, files, Why::Made(told));
                }
                Ok(Err(error)) => in_full(error),
                Err(panicked) => format!("{panicked}"),
            };
            halt(&started, &format!("making it failed: {failed}"));
            registry.made(&started, told);
            started.0.settled.send_replace(true);
        };
        self.opening.run(Hash::plain(&[b"making"]), move || make(&parent, &files, options, &config), done);
        let _ = tells.await;
        match handle.state() {
            LifeCycle::Serving => Ok(handle),
            LifeCycle::Halted { reason } => Err(CreateError::Broken(reason)),
            _ => Err(CreateError::Broken(CLOSING.into())),
        }
    }

    /// Finishes what was accepted, takes nothing new, and closes every store. Logs what could not finish in time,
    /// which is one limit for all channels together.
    pub async fn drain(self: &Arc<Self>) {
        let channels: Vec<ChannelHandle> = {
            *self.closing() = true;
            self.disk.close();
            self.list()
        };
        for handle in &channels {
            handle.0.life.set(LifeCycle::Draining);
        }
        let limit = tokio::time::Instant::now() + Duration::from_secs(DRAIN_SECONDS_MAX);
        for handle in &channels {
            let mut settled = handle.0.settled.subscribe();
            let finished = async {
                // The sender lives in the handle.
                let _ = settled.wait_for(|settled| *settled).await;
                handle.0.credits.all_back().await;
            };
            let halted = matches!(handle.state(), LifeCycle::Halted { .. });
            if !halted && tokio::time::timeout_at(limit, finished).await.is_err() {
                tracing::warn!(channel = handle.name(), "accepted transactions were not committed in time");
            }
        }
        let mut closing = Vec::with_capacity(channels.len());
        for handle in channels {
            handle.0.life.set(LifeCycle::Closed);
            closing.extend(self.close(&handle).await.map(|tells| (handle, tells)));
        }
        for (handle, tells) in closing {
            if let Ok(Err(error)) = tells.await {
                let reason = in_full(error);
                tracing::warn!(channel = handle.name(), reason, "closing the store failed; replay will make up for it");
            }
        }
        drop(self.held.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.arbiters.iter().for_each(|arbiter| {
            arbiter.stop();
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "the threads of all actors start here")]
fn arbiters() -> Vec<Arbiter> {
    (0..ARBITERS).map(|_| Arbiter::new()).collect()
}

/// The files in a folder of the disk.
fn on_disk(folder: PathBuf, disk: Option<&Disk>) -> Box<dyn StoreFiles> {
    match disk {
        Some(disk) => Box::new(disk.files(Directory(folder))),
        None => Box::new(Directory(folder)),
    }
}

/// Makes a store under another name, then renames it: a crash leaves either nothing or all.
fn make(
    parent: &Path,
    files: &FilesIn,
    options: StoreOptions,
    config: &ChannelConfig,
) -> Result<PathBuf, ChannelError> {
    let directory = parent.join(&config.name);
    let unfinished = parent.join(format!("{}{UNFINISHED}", config.name));
    let io = |error| ChannelError::Directory(directory.clone(), error);
    if directory.exists() {
        return Err(ChannelError::Exists(directory));
    }
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished).map_err(io)?;
    }
    replay::create(&*files(unfinished.clone(), None), options, config)?;
    std::fs::rename(&unfinished, &directory).map_err(io)?;
    files::sync_directory(parent).map_err(io)?;
    Ok(directory)
}

#[cfg(test)]
mod tests;
