//! A channel as the API sees it: read and follow; `posting.rs` submits. Cheap to clone; everything behind it is bounded.

use crate::block::committed::CommittedBlock;
use crate::block::error::{ChannelError, in_full};
use crate::block::tip::Tip;
use crate::channel::passivation::Activity;
use crate::channel::remains::Remains;
use crate::channel::slot::{Slot, StoreAccess};
use crate::delivery::read_limits::Reads;
use crate::delivery::reader::{Reader, load};
use crate::delivery::ring::Wants;
use crate::delivery::shared::Shared;
use crate::limits::{COPY_TURN_BYTES, QUOTA_SHOWN, READS_MAX, RETRY_AFTER_MS};
use crate::pipeline::submission::Credits;
use crate::runtime::asker::Asker;
use crate::runtime::life::{Life, LifeCycle};
use crate::runtime::memory::Pool;
use crate::runtime::metrics::ChannelMetrics;
use crate::runtime::pool::WorkPool;
use crate::store::{ChannelStore, Disk, DiskQuota, DiskTrouble, DiskUse};
use bytes::Bytes;
use ledger_classes::execution::{ConfigRecord, Mark};
use ledger_classes::formats::rights::Class;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::state::view::ReadError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot, watch};

/// Why a channel cannot be read now.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unavailable {
    /// It holds as many reads as it may.
    #[error("the channel is busy, retry in {retry_after_ms} ms")]
    Busy {
        /// When to retry.
        retry_after_ms: u64,
    },
    /// It is not open.
    #[error("the channel does not serve: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
    /// Its store failed; it has halted.
    #[error("the channel's store failed: {0}")]
    Broken(String),
}

/// How full a channel's pipeline is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueDepth {
    /// Transactions between door and commit.
    pub transactions: u32,
    /// Bytes of their payloads and signatures.
    pub bytes: u32,
    /// Live subscriptions.
    pub subscriptions: u64,
}

/// What is known of a channel that was opened once, or whose summary was read: also while it is suspended.
pub(crate) struct Known {
    pub(crate) id: Hash,
    pub(crate) shared: Arc<Shared>,
}

/// Who opens the files of a channel: its peer's registry.
pub(crate) trait Opens: Send + Sync {
    /// Opens the files of a channel that is suspended. Whoever the slot told to calls this, and nobody else.
    fn resume(self: Arc<Self>, handle: &ChannelHandle);
    /// The store of a channel that is suspended on a disk that is read-only, to look at. Blocking.
    fn look(&self, name: &str) -> Result<ChannelStore, ChannelError>;
}

pub(crate) struct ChannelParts {
    pub(crate) name: String,
    pub(crate) life: Life,
    pub(crate) credits: Arc<Credits>,
    pub(crate) reads: Arc<Semaphore>,
    /// How many of these each caller has.
    reads_of: Arc<Reads>,
    pub(crate) reading: WorkPool,
    pub(crate) disk: Disk,
    pub(crate) quota: DiskQuota,
    pub(crate) metrics: ChannelMetrics,
    pub(crate) subscriptions: AtomicU64,
    pub(crate) known: OnceLock<Known>,
    pub(crate) slot: Slot,
    /// What could be read of a channel that could not be opened.
    pub(crate) remains: OnceLock<Remains>,
    /// Read-locked by who looks at files of a channel that is suspended. A store that is kept for that: its state was made in memory.
    looking: RwLock<Option<ChannelStore>>,
    pub(crate) registry: Weak<dyn Opens>,
    /// True when its opening has come to an end, good or bad.
    pub(crate) settled: watch::Sender<bool>,
}

/// A channel of this peer, for whoever asks it.
#[derive(Clone)]
pub struct ChannelHandle(pub(crate) Arc<ChannelParts>, pub(crate) Asker);

impl ChannelHandle {
    pub(crate) fn new(
        name: String,
        reading: WorkPool,
        (disk, quota): (Disk, DiskQuota),
        metrics: ChannelMetrics,
        in_flight: Arc<Pool>,
        registry: Weak<dyn Opens>,
    ) -> Self {
        let inner = ChannelParts {
            name,
            life: Life::new(LifeCycle::Opening),
            credits: Arc::new(Credits::new(in_flight)),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            reads_of: Arc::default(),
            reading,
            disk,
            quota,
            metrics,
            subscriptions: AtomicU64::new(0),
            known: OnceLock::new(),
            remains: OnceLock::new(),
            slot: Slot::new(),
            looking: RwLock::default(),
            registry,
            settled: watch::Sender::new(false),
        };
        Self(Arc::new(inner), Asker::PEER)
    }

    /// The same channel, asked by a caller: its reads have that caller's turns.
    #[must_use]
    pub fn asked_by(&self, caller: Asker) -> Self {
        Self(self.0.clone(), caller)
    }

    /// The channel's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The channel's id, once its store was open, or if it could be read of one that cannot be opened.
    pub fn id(&self) -> Option<Hash> {
        let known = self.0.known.get().map(|known| known.id);
        known.or_else(|| self.0.remains.get()?.id)
    }

    /// Where the channel is in its life.
    pub fn state(&self) -> LifeCycle {
        self.0.life.state()
    }

    /// Follows the channel's life.
    pub fn follow_life(&self) -> watch::Receiver<LifeCycle> {
        self.0.life.follow()
    }

    /// The last committed block, or of a channel that cannot be opened the last that could be read; genesis-like zeros
    /// where nothing is known.
    pub fn tip(&self) -> Tip {
        let known = self.0.known.get().map(|known| known.shared.tip());
        known.or_else(|| self.0.remains.get()?.tip).unwrap_or_default()
    }

    /// The configuration that rules the next block, once the store was open, or the last one that could be read of a
    /// channel that cannot be opened.
    pub fn config(&self) -> Option<Arc<ConfigRecord>> {
        let known = self.0.known.get().map(|known| known.shared.config());
        known.or_else(|| self.0.remains.get().map(|remains| remains.config.clone()))
    }

    /// Under what the channel has ended certificates, in order: who has one of these marks does not read it by what its
    /// configuration gives. The same list until another one ends.
    pub fn ended(&self) -> Arc<[Mark]> {
        let known = self.0.known.get().map(|known| known.shared.ended());
        known.or_else(|| self.0.remains.get().map(|remains| remains.ended.clone())).unwrap_or_default()
    }

    /// Hash of a recent block's header, without a look at the store.
    pub fn recent_hash(&self, height: u64) -> Option<Hash> {
        let shared = &self.0.known.get()?.shared;
        let tip = shared.tip();
        match tip.height == height {
            true => Some(tip.hash),
            false => shared.ring.block(height).map(|block| block.header_hash),
        }
    }

    /// What its files take of the disk, and may. Blocking, for some microseconds.
    pub fn disk_use(&self) -> DiskUse {
        // Nothing writes to files of a channel that is suspended.
        self.0.quota.used(if self.is_suspended() { Duration::MAX } else { QUOTA_SHOWN })
    }

    /// How full the pipeline is.
    pub fn queue(&self) -> QueueDepth {
        let (transactions, bytes) = self.0.credits.used();
        QueueDepth { transactions, bytes, subscriptions: self.0.subscriptions.load(Ordering::Relaxed) }
    }

    pub(crate) fn stopped(&self) -> String {
        match self.state() {
            LifeCycle::Opening => "it is opening".into(),
            LifeCycle::Replaying { done, of } => format!("it replays block {done} of {of}"),
            LifeCycle::Serving => "it is busy".into(),
            LifeCycle::Draining => "it is draining".into(),
            LifeCycle::Closed => "it is closed".into(),
            LifeCycle::Halted { reason } => reason,
        }
    }

    /// Resolves when the disk takes no writes: what was posted waits until it does.
    pub async fn disk_trouble(&self) -> DiskTrouble {
        let mut follow = self.0.disk.follow();
        match follow.wait_for(Option::is_some).await.ok().and_then(|trouble| *trouble) {
            Some(trouble) => trouble,
            // The sender lives in the handle.
            None => std::future::pending().await,
        }
    }

    /// Reads: runs `work` on a reading thread, in this channel's turn.
    ///
    /// # Errors
    /// The channel is not open, too busy, or broken.
    pub async fn read<R, W>(&self, work: W) -> Result<R, Unavailable>
    where
        R: Send + 'static,
        W: FnOnce(&Reader<'_>) -> Result<R, ReadError> + Send + 'static,
    {
        let shared = self.0.known.get().map(|known| known.shared.clone());
        self.on_store(false, move |store| work(&Reader::new(store, shared.as_deref())?)).await
    }

    /// [`Self::read`] of somebody who looks at many channels, one after the other: one that was suspended is suspended again afterwards.
    ///
    /// # Errors
    /// As those of [`Self::read`].
    pub async fn glance<R, W>(&self, work: W) -> Result<R, Unavailable>
    where
        R: Send + 'static,
        W: FnOnce(&Reader<'_>) -> Result<R, ReadError> + Send + 'static,
    {
        let shared = self.0.known.get().map(|known| known.shared.clone());
        self.on_store(true, move |store| work(&Reader::new(store, shared.as_deref())?)).await
    }

    /// Whether its files are closed until somebody needs them.
    pub fn is_suspended(&self) -> bool {
        self.0.slot.activity() == Activity::Suspended
    }

    /// Has the files opened: whoever is told to by the slot.
    pub(crate) fn resume(&self) {
        match self.0.registry.upgrade() {
            Some(registry) => registry.resume(self),
            None => self.0.slot.give_up(),
        }
    }

    /// Whether its files can be read and not opened: it is suspended on a disk that is read-only.
    fn only_read(&self) -> bool {
        let read_only = self.0.disk.trouble().is_some_and(DiskTrouble::leaves_files);
        read_only && self.state() == LifeCycle::Serving && self.0.slot.activity() == Activity::Suspended
    }

    /// Looks at files of a channel that is suspended, and leaves them as they are. Whoever opens them waits for that. Blocking.
    fn look<R>(&self, work: impl FnOnce(&ChannelStore) -> Result<R, ReadError>) -> Result<R, Unavailable> {
        let stopped = |reason: String| Unavailable::Stopped { reason };
        let kept = self.0.looking.read().unwrap_or_else(PoisonError::into_inner);
        if self.0.slot.activity() != Activity::Suspended {
            return Err(stopped("it is about to be opened".into()));
        }
        let store = match &*kept {
            Some(store) => store.clone(),
            None => {
                let registry = self.0.registry.upgrade().ok_or_else(|| stopped(self.stopped()))?;
                registry.look(self.name()).map_err(|error| stopped(in_full(error)))?
            }
        };
        work(&store).map_err(|error| stopped(error.to_string()))
    }

    /// Keeps a store to look at, whose state is further than its files.
    pub(crate) fn keep_to_look_at(&self, store: ChannelStore) {
        *self.0.looking.write().unwrap_or_else(PoisonError::into_inner) = Some(store);
    }

    /// Returns once nobody looks at its files. The slot keeps others from beginning to. Blocking.
    pub(crate) fn looked(&self) {
        drop(self.0.looking.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// The store, as soon as it is open. The caller holds a permit, so that it stays open.
    async fn store(&self, brief: bool) -> Result<ChannelStore, Unavailable> {
        loop {
            let over = matches!(self.state(), LifeCycle::Halted { .. } | LifeCycle::Closed);
            if over && self.0.slot.activity() != Activity::Active {
                return Err(Unavailable::Stopped { reason: self.stopped() });
            }
            match self.0.slot.enter(brief) {
                StoreAccess::Open(store) => return Ok(store),
                StoreAccess::Gone => return Err(Unavailable::Stopped { reason: self.stopped() }),
                StoreAccess::Later { told, resume } => {
                    if resume {
                        self.resume();
                    }
                    // The sender lives in the slot until something changes.
                    if !told.await.unwrap_or(false) {
                        let reason = match self.state() {
                            LifeCycle::Serving => "its files cannot be opened now".into(),
                            _ => self.stopped(),
                        };
                        return Err(Unavailable::Stopped { reason });
                    }
                }
            }
        }
    }

    async fn on_store<R, W>(&self, brief: bool, work: W) -> Result<R, Unavailable>
    where
        R: Send + 'static,
        W: FnOnce(&ChannelStore) -> Result<R, ReadError> + Send + 'static,
    {
        let Some(known) = self.0.known.get() else { return Err(Unavailable::Stopped { reason: self.stopped() }) };
        let busy = || Unavailable::Busy { retry_after_ms: RETRY_AFTER_MS };
        let place = self.0.reads_of.take(self.1).ok_or_else(busy)?;
        let permit = self.0.reads.clone().try_acquire_owned().map_err(|_| busy())?;
        let (sender, receiver) = oneshot::channel();
        let store = match self.only_read() {
            true => None,
            false => match self.store(brief).await {
                // The disk may have told only now.
                Err(_) if self.only_read() => None,
                store => Some(store?),
            },
        };
        let handle = self.clone();
        let read = move || match store {
            Some(store) => work(&store).map_err(|error| Unavailable::Broken(error.to_string())),
            None => handle.look(work),
        };
        let done = move |result| {
            drop((permit, place));
            // The caller may have gone.
            let _ = sender.send(result);
        };
        self.0.reading.run_for(known.id, self.1, read, done);
        let why = match receiver.await {
            Ok(Ok(Ok(answer))) => return Ok(answer),
            Ok(Ok(Err(Unavailable::Broken(why)))) => why,
            Ok(Ok(Err(unavailable))) => return Err(unavailable),
            Ok(Err(panicked)) => panicked.to_string(),
            Err(_) => "the reading threads are gone".into(),
        };
        match self.state() {
            LifeCycle::Closed => Err(Unavailable::Stopped { reason: self.stopped() }),
            _ => {
                self.0.life.halt(&self.0.name, format!("reading failed: {why}"));
                Err(Unavailable::Broken(why))
            }
        }
    }

    /// Runs what needs no store on a reading thread, in the caller's turn.
    ///
    /// # Errors
    /// The channel is not open, or too busy.
    pub async fn encode<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> Result<R, Unavailable> {
        let Some(known) = self.0.known.get() else { return Err(Unavailable::Stopped { reason: self.stopped() }) };
        let place = self.0.reads_of.take(self.1).ok_or(Unavailable::Busy { retry_after_ms: RETRY_AFTER_MS })?;
        run(&self.0.reading, known.id, self.1, move || (work(), place)).await.map(|(done, _)| done)
    }

    /// A committed block: from the ring of recent ones, else from the store.
    ///
    /// # Errors
    /// The channel is not open, too busy, or broken.
    pub async fn block(&self, height: u64) -> Result<Option<Arc<CommittedBlock>>, Unavailable> {
        let Some(known) = self.0.known.get() else { return Err(Unavailable::Stopped { reason: self.stopped() }) };
        if height > known.shared.tip().height {
            return Ok(None);
        }
        if let Some(block) = known.shared.ring.block(height) {
            return Ok(Some(block));
        }
        let shared = known.shared.clone();
        self.on_store(false, move |store| shared.ring.older(height, || load(store, height))).await
    }

    /// Blocks from a height on as the log holds them, up to the newest committed one: at least one if there is one, `most`
    /// of them, and about [`COPY_TURN_BYTES`]. For copies: one that was suspended is suspended again afterwards.
    ///
    /// # Errors
    /// The channel is not open, too busy, or broken.
    pub async fn encoded_blocks(&self, from: u64, most: usize) -> Result<Vec<Bytes>, Unavailable> {
        let tip = self.tip().height;
        if self.0.known.get().is_some() && from > tip {
            return Ok(Vec::new());
        }
        self.on_store(true, move |store| {
            let (mut blocks, mut bytes) = (Vec::new(), 0);
            for height in from..=tip {
                let block = store.block(height).map_err(|error| ReadError(in_full(error)))?;
                let block = block.ok_or_else(|| ReadError(format!("no block {height}")))?;
                bytes += block.len();
                blocks.push(block);
                if bytes >= COPY_TURN_BYTES || blocks.len() >= most {
                    break;
                }
            }
            Ok(blocks)
        })
        .await
    }

    /// Begins a subscription behind the newest block.
    ///
    /// # Errors
    /// The channel is not open.
    pub fn subscribe(&self) -> Result<Subscription, Unavailable> {
        let Some(known) = self.0.known.get() else { return Err(Unavailable::Stopped { reason: self.stopped() }) };
        self.0.subscriptions.fetch_add(1, Ordering::Relaxed);
        self.0.metrics.subscribers(1);
        let shared = known.shared.clone();
        let place = Arc::new(AtomicU64::new(shared.ring.newest()));
        Ok(Subscription { shared, place, channel: self.clone() })
    }
}

/// Runs something on reading threads in a caller's turn.
pub(crate) async fn run<R: Send + 'static>(
    reading: &WorkPool,
    turn: Hash,
    caller: Asker,
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, Unavailable> {
    let (sender, receiver) = oneshot::channel();
    // The caller may have gone.
    reading.run_for(turn, caller, work, move |done| drop(sender.send(done)));
    match receiver.await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(panicked)) => Err(Unavailable::Stopped { reason: panicked.to_string() }),
        Err(_) => Err(Unavailable::Stopped { reason: "the reading threads are gone".into() }),
    }
}

/// A standing request. It holds a place and nothing else: the cursor is its owner's.
pub struct Subscription {
    shared: Arc<Shared>,
    place: Arc<AtomicU64>,
    channel: ChannelHandle,
}

impl Subscription {
    /// Every block up to this height was delivered or holds nothing that is wanted.
    pub fn place(&self) -> Arc<AtomicU64> {
        self.place.clone()
    }

    /// Moves the place.
    pub fn delivered(&mut self, height: u64) {
        self.place.store(height, Ordering::Relaxed);
    }

    /// Waits until a block at `height` or above is there, and returns the newest height. Returns at once if it is.
    ///
    /// # Errors
    /// The channel no longer serves.
    pub async fn reached(&mut self, height: u64) -> Result<u64, Unavailable> {
        let before = Arc::new(AtomicU64::new(height.saturating_sub(1)));
        if height > 0 {
            self.waited(&before, None).await?;
        }
        Ok(self.shared.ring.newest())
    }

    /// Waits until a block above the place has to be looked at: it holds an event of a class and topic that `wants`, or
    /// changed rights, or nobody has told yet what it holds. The place is moved over blocks that hold nothing, also if
    /// this is dropped before it is done.
    ///
    /// # Errors
    /// The channel no longer serves.
    pub async fn wanted(&mut self, wants: impl Fn(Class, &str) -> bool + Send + 'static) -> Result<(), Unavailable> {
        self.waited(&self.place, Some(Box::new(wants))).await
    }

    async fn waited(&self, place: &Arc<AtomicU64>, wants: Option<Wants>) -> Result<(), Unavailable> {
        let mut life = self.channel.follow_life();
        let over = |state: &LifeCycle| matches!(state, LifeCycle::Halted { .. } | LifeCycle::Closed);
        tokio::select! {
            // What is there is given, also above a channel that has stopped.
            biased;
            () = self.shared.ring.wait(place, wants) => Ok(()),
            _ = life.wait_for(over) => Err(Unavailable::Stopped { reason: self.channel.stopped() }),
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.channel.0.subscriptions.fetch_sub(1, Ordering::Relaxed);
        self.channel.0.metrics.subscribers(-1);
    }
}
