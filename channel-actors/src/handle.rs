//! A channel as the API sees it: submit, read, follow. Cheap to clone; everything behind it is bounded.

use crate::committed::CommittedBlock;
use crate::group::{Intake, Submit};
use crate::halt::{Life, LifeCycle};
use crate::limits::{READS_MAX, RETRY_AFTER_MS};
use crate::metrics::ChannelMetrics;
use crate::pool::WorkPool;
use crate::reader::{Reader, load};
use crate::shared::{Shared, Tip};
use crate::store::{Disk, DiskTrouble};
use crate::ticket::{Credits, Submission, SubmitRefusal, Wait, submission};
use crate::verifier::Arrival;
use actix::Addr;
use actix::dev::SendError;
use ledger_classes::execution::ConfigRecord;
use ledger_classes::hash::Hash;
use ledger_classes::state::ReadError;
use ledger_classes::transaction::{Envelope, SignedBy};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;
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

/// What an open channel has beside its name.
pub(crate) struct Open {
    pub(crate) id: Hash,
    pub(crate) shared: Arc<Shared>,
    pub(crate) intake: Addr<Intake>,
}

pub(crate) struct Inner {
    pub(crate) name: String,
    pub(crate) life: Life,
    pub(crate) credits: Arc<Credits>,
    pub(crate) reads: Arc<Semaphore>,
    pub(crate) reading: WorkPool,
    pub(crate) storage: WorkPool,
    pub(crate) disk: Disk,
    pub(crate) metrics: ChannelMetrics,
    pub(crate) subscriptions: AtomicU64,
    pub(crate) open: OnceLock<Open>,
    /// True when its opening has come to an end, good or bad.
    pub(crate) settled: watch::Sender<bool>,
}

/// What an envelope takes of the bytes in flight.
fn size(envelope: &Envelope) -> u32 {
    let signatures = envelope.signatures.len().saturating_mul(size_of::<SignedBy>());
    u32::try_from(envelope.payload.len().saturating_add(signatures)).unwrap_or(u32::MAX)
}

/// A channel of this peer.
#[derive(Clone)]
pub struct ChannelHandle(pub(crate) Arc<Inner>);

impl ChannelHandle {
    pub(crate) fn new(name: String, reading: WorkPool, storage: WorkPool, disk: Disk, metrics: ChannelMetrics) -> Self {
        Self(Arc::new(Inner {
            name,
            life: Life::new(LifeCycle::Opening),
            credits: Arc::new(Credits::default()),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            reading,
            storage,
            disk,
            metrics,
            subscriptions: AtomicU64::new(0),
            open: OnceLock::new(),
            settled: watch::Sender::new(false),
        }))
    }

    /// The channel's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The channel's id, once its store is open.
    pub fn id(&self) -> Option<Hash> {
        self.0.open.get().map(|open| open.id)
    }

    /// Where the channel is in its life.
    pub fn state(&self) -> LifeCycle {
        self.0.life.state()
    }

    /// Follows the channel's life.
    pub fn follow_life(&self) -> watch::Receiver<LifeCycle> {
        self.0.life.follow()
    }

    /// The last committed block; genesis-like zeros until the store is open.
    pub fn tip(&self) -> Tip {
        self.0.open.get().map(|open| open.shared.tip()).unwrap_or_default()
    }

    /// The configuration that rules the next block, once the store is open.
    pub fn config(&self) -> Option<Arc<ConfigRecord>> {
        self.0.open.get().map(|open| open.shared.config())
    }

    /// How full the pipeline is.
    pub fn queue(&self) -> QueueDepth {
        let (transactions, bytes) = self.0.credits.used();
        QueueDepth { transactions, bytes, subscriptions: self.0.subscriptions.load(Ordering::Relaxed) }
    }

    fn stopped(&self) -> String {
        match self.state() {
            LifeCycle::Opening => "it is opening".into(),
            LifeCycle::Replaying { done, of } => format!("it replays block {done} of {of}"),
            LifeCycle::Serving => "it is busy".into(),
            LifeCycle::Draining => "it is draining".into(),
            LifeCycle::Closed => "it is closed".into(),
            LifeCycle::Halted { reason } => reason,
        }
    }

    /// Posts transactions. They go their way whether or not the answer is awaited.
    ///
    /// # Errors
    /// The channel takes nothing now: it is full, or not serving. Nothing was taken then.
    pub fn submit(&self, envelopes: Vec<Envelope>, wait: Wait) -> Result<Submission, SubmitRefusal> {
        let stopped = || SubmitRefusal::Stopped { reason: self.stopped() };
        let open = self.0.open.get().ok_or_else(stopped)?;
        if self.state() != LifeCycle::Serving {
            return Err(stopped());
        }
        if let Some(trouble) = self.0.disk.trouble() {
            self.0.metrics.refused("disk", envelopes.len() as u64);
            return Err(SubmitRefusal::Disk(trouble));
        }
        let sizes = envelopes.iter().map(size);
        let refused = || {
            self.0.metrics.refused("busy", envelopes.len() as u64);
            SubmitRefusal::BUSY
        };
        let credits = self.0.credits.take(sizes).ok_or_else(refused)?;
        let (submission, waiters) = submission(envelopes.len(), wait);
        let arrived = Instant::now();
        let arrivals = envelopes
            .into_iter()
            .zip(waiters)
            .zip(credits)
            .map(|((envelope, waiter), credit)| Arrival { envelope, waiter, credit, arrived })
            .collect();
        match open.intake.try_send(Submit(arrivals)) {
            Ok(()) => Ok(submission),
            Err(SendError::Full(Submit(arrivals))) => {
                self.0.metrics.refused("busy", arrivals.len() as u64);
                Err(SubmitRefusal::BUSY)
            }
            Err(SendError::Closed(_)) => Err(stopped()),
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
        self.on_store(|store| work(&Reader::new(store)?)).await
    }

    async fn on_store<R, W>(&self, work: W) -> Result<R, Unavailable>
    where
        R: Send + 'static,
        W: FnOnce(&crate::store::ChannelStore) -> Result<R, ReadError> + Send + 'static,
    {
        let Some(open) = self.0.open.get() else { return Err(Unavailable::Stopped { reason: self.stopped() }) };
        let Ok(permit) = self.0.reads.clone().try_acquire_owned() else {
            return Err(Unavailable::Busy { retry_after_ms: RETRY_AFTER_MS });
        };
        let (sender, receiver) = oneshot::channel();
        let store = open.shared.store.clone();
        let done = move |result| {
            drop(permit);
            // The caller may have gone.
            let _ = sender.send(result);
        };
        self.0.reading.run(open.id, move || work(&store), done);
        let why = match receiver.await {
            Ok(Ok(Ok(answer))) => return Ok(answer),
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(panicked)) => panicked.to_string(),
            Err(_) => "the reading threads are gone".into(),
        };
        match self.state() {
            LifeCycle::Closed => Err(Unavailable::Stopped { reason: self.stopped() }),
            _ => {
                if self.0.life.halt(&self.0.name, format!("reading failed: {why}")) {
                    self.0.metrics.halted();
                }
                Err(Unavailable::Broken(why))
            }
        }
    }

    /// A committed block: from the ring of recent ones, else from the store.
    ///
    /// # Errors
    /// The channel is not open, too busy, or broken.
    pub async fn block(&self, height: u64) -> Result<Option<Arc<CommittedBlock>>, Unavailable> {
        let Some(open) = self.0.open.get() else { return Err(Unavailable::Stopped { reason: self.stopped() }) };
        if height > open.shared.tip().height {
            return Ok(None);
        }
        if let Some(block) = open.shared.ring.block(height) {
            return Ok(Some(block));
        }
        let shared = open.shared.clone();
        self.on_store(move |store| shared.ring.older(height, || load(store, height))).await
    }

    /// Begins a subscription: follows the newest height until it is dropped.
    ///
    /// # Errors
    /// The channel is not open.
    pub fn subscribe(&self) -> Result<Subscription, Unavailable> {
        let Some(open) = self.0.open.get() else { return Err(Unavailable::Stopped { reason: self.stopped() }) };
        self.0.subscriptions.fetch_add(1, Ordering::Relaxed);
        self.0.metrics.subscribers(1);
        Ok(Subscription { heights: open.shared.ring.follow(), channel: self.clone() })
    }
}

/// A standing request. It holds a position's notification and nothing else: the cursor is its owner's.
pub struct Subscription {
    heights: watch::Receiver<u64>,
    channel: ChannelHandle,
}

impl Subscription {
    /// Waits until a block at `height` or above is there. Returns at once if it is.
    ///
    /// # Errors
    /// The channel no longer serves.
    pub async fn reached(&mut self, height: u64) -> Result<u64, Unavailable> {
        let mut life = self.channel.follow_life();
        let over = |state: &LifeCycle| matches!(state, LifeCycle::Halted { .. } | LifeCycle::Closed);
        let stopped = || Unavailable::Stopped { reason: self.channel.stopped() };
        tokio::select! {
            // What is there is given, also above a channel that has stopped.
            biased;
            newest = self.heights.wait_for(|newest| *newest >= height) => newest.map(|newest| *newest).map_err(|_| stopped()),
            _ = life.wait_for(over) => Err(stopped()),
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.channel.0.subscriptions.fetch_sub(1, Ordering::Relaxed);
        self.channel.0.metrics.subscribers(-1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::envelope;

    #[test]
    fn signatures_count_as_bytes_in_flight() {
        let mut many = envelope(Hash::ZERO, 1, 1);
        let before = size(&many);
        assert!(before as usize > many.payload.len());
        many.signatures = vec![many.signatures[0].clone(); 100];
        assert!(size(&many) > before + 99 * 64);
    }
}
