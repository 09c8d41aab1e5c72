//! What a registry is made of, and what its files say to each other: those that open, start, suspend and resume channels
//! import this one, and none of them another.

use crate::block::error::ChannelError;
use crate::block::replay::Step;
use crate::channel::handle::ChannelHandle;
use crate::channel::summary::Summary;
use crate::limits::CHANNELS_MAX;
use crate::peer::visibility::VisibilityIndex;
use crate::pipeline::door::Doors;
use crate::runtime::clock::Clock;
use crate::runtime::life::LifeCycle;
use crate::runtime::memory::PeerMemory;
use crate::runtime::metrics::Metrics;
use crate::runtime::pool::WorkPool;
use crate::runtime::tasks::Tasks;
use crate::store::{Disk, DiskTrouble, StoreFiles, StoreOptions};
use actix::Arbiter;
use dashmap::DashMap;
use ledger_classes::keys::SigningKey;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use ledger_classes::state::participant::CertificatePaths;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// What a registry is made of.
pub struct RegistryOptions {
    /// Where the channels' stores are, a folder each, named as the channel.
    pub directory: PathBuf,
    /// The peer's seal key.
    pub seal_key: Arc<SigningKey>,
    /// How certificate paths on the ledger are verified.
    pub certificates: Arc<dyn CertificatePaths>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Verifier shards of each channel; at least 1.
    pub shards: usize,
    /// Threads that verify; about one a core.
    pub verification_threads: usize,
    /// Bytes of the directory's file system that are kept free, at most a sixteenth of it.
    pub disk_reserve_bytes: u64,
    /// Bytes of the disk that one channel may take; 0 for a quarter of the file system.
    pub channel_bytes_max: u64,
    /// Bounds of each store.
    pub store: StoreOptions,
    /// What its channels share of the peer's memory.
    pub memory: PeerMemory,
    /// How long a channel is not used until it is suspended: its files are closed and its actor ends until it is used
    /// again. Also whether channels are suspended from their start on. `None`: they are never suspended.
    pub suspend_after: Option<Duration>,
    /// Where to measure.
    pub metrics: Metrics,
    /// What its background work is a part of.
    pub tasks: Tasks,
}

/// Why a channel was not made.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CreateError {
    /// There is one of this name.
    #[error("a channel named {0} exists already")]
    Exists(String),
    /// The configuration does not hold together, or this peer does not order the channel.
    #[error("{0}")]
    Invalid(String),
    /// The peer has as many channels as it may.
    #[error("a peer has at most {CHANNELS_MAX} channels")]
    TooMany,
    /// The disk takes no writes now.
    #[error("{0}")]
    Disk(DiskTrouble),
    /// The disk failed, or the peer is closing.
    #[error("{0}")]
    Broken(String),
}

/// Gives the files of the store in a folder. With a disk, their writes wait until it has room.
pub(super) type FilesIn = Arc<dyn Fn(PathBuf, Option<&Disk>) -> Box<dyn StoreFiles> + Send + Sync>;

/// The channels of a peer.
pub struct ChannelRegistry {
    pub(super) options: RegistryOptions,
    pub(super) doors: Doors,
    /// Counts channels that became known.
    pub(super) made: watch::Sender<u64>,
    pub(super) files: FilesIn,
    pub(super) disk: Disk,
    pub(super) verification: WorkPool,
    pub(super) storage: WorkPool,
    pub(super) checkpoints: WorkPool,
    pub(super) reading: WorkPool,
    pub(super) opening: WorkPool,
    pub(super) resuming: WorkPool,
    pub(super) sweeper: IdleSweeper,
    pub(super) arbiters: Vec<Arbiter>,
    pub(super) next_arbiter: AtomicUsize,
    pub(super) by_name: DashMap<String, ChannelHandle>,
    /// Those whose store was open, or of which so much could be read.
    pub(super) by_id: DashMap<Hash, ChannelHandle>,
    /// Those of which it is known who may see them.
    pub(super) index: Arc<VisibilityIndex>,
    /// Held while a name is taken. True: the peer is closing, and no channel is made any more.
    pub(super) closing: Mutex<bool>,
    /// Channels of which it is not known who may see them, by name.
    pub(super) undecided: Mutex<BTreeMap<String, Undecided>>,
    /// Channels that start once the peer has file descriptors again.
    pub(super) later: Mutex<Later>,
    /// The directory is this registry's, until it is drained.
    pub(super) held: Mutex<Option<File>>,
}

/// Why a registry cannot tell of every name whether somebody may see a channel of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Undecided {
    /// Channels are being opened: it will be known.
    Opening,
    /// A channel cannot be opened, and nothing that can be read says who may see it: an operator must act.
    Unreadable,
}

/// How long a replay goes on before another channel that opens has its turn.
pub(super) const REPLAY_SLICE: Duration = Duration::from_millis(100);
/// Why a store is opened.
pub(super) enum Why {
    /// The channel was made; whoever made it is told.
    Made(oneshot::Sender<()>),
    /// The channel starts with the peer.
    Start(Start),
    /// It was suspended, and somebody needs it.
    Resume,
}

/// How a channel starts.
pub(super) struct Start {
    /// Its disk is read-only, or fenced: its store is looked at, and no file changes.
    pub(super) looked_at: bool,
    /// The summary that was there before its store was opened.
    pub(super) summary: Option<Box<Summary>>,
}

/// A part of an opening.
pub(super) type OpeningWork = Box<dyn FnOnce() -> Result<Step, ChannelError> + Send>;

/// Channels that start later.
#[derive(Default)]
pub(super) struct Later {
    pub(super) handles: Vec<ChannelHandle>,
    /// When it was last said.
    pub(super) warned: Option<Instant>,
}

/// Whom to look at, and when.
#[derive(Default)]
pub(super) struct IdleSweeper(Mutex<Sweep>);

#[derive(Default)]
pub(super) struct Sweep {
    /// Channels that work, by name.
    pub(super) active: BTreeMap<String, ChannelHandle>,
    /// The next timers of those that are suspended.
    pub(super) timers: BTreeMap<(Time, Hash), ChannelHandle>,
    /// When it was last said that a channel cannot be resumed.
    pub(super) warned: Option<Instant>,
}

/// Between two lines of the log that say so.
pub(super) const WARN_PAUSE: Duration = Duration::from_secs(10);

impl IdleSweeper {
    pub(super) fn lock(&self) -> MutexGuard<'_, Sweep> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn halt(handle: &ChannelHandle, reason: &str) {
    handle.0.life.halt(handle.name(), reason);
}

/// Ids are not known before a store is open; names are.
pub(super) fn turn_of(name: &str) -> Hash {
    Hash::plain(&[name.as_bytes()])
}

pub(super) fn serves(handle: &ChannelHandle) {
    if handle.0.life.set(LifeCycle::Serving) {
        tracing::info!(channel = handle.name(), height = handle.tip().height, "channel serves");
    }
}
