//! What scenarios share: a peer with a funded channel, and a window around what is driven.

use crate::disk;
use crate::drive::{Driven, Request, drive, requests};
use crate::error::LoadError;
use crate::machine::Machine;
use crate::options::Options;
use crate::peer::Peer;
use crate::process::Usage;
use crate::progress;
use crate::report::Measured;
use crate::workload::{EncodedBatch, Pattern, Workload};
use client::connection::Connection;
use ledger_classes::primitives::hash::Hash;
use std::future::{Future, poll_fn};
use std::path::Path;
use std::time::Duration;

/// The channel under load. `open_submit`: its senders need no participant records.
pub(super) const CHANNEL: &str = "load";
/// Transactions signed for warming up.
const WARM_TRANSACTIONS: u64 = 131_072;
/// How long warming up may take.
const WARM_WINDOW: Duration = Duration::from_secs(3);
/// Transactions signed for a window, to those that the rate before it would take.
const MARGIN: f64 = 1.4;

/// A peer with accounts that can pay.
pub(super) struct Bench {
    pub(super) peer: Peer,
    pub(super) workload: Workload,
    pub(super) connections: Vec<Connection>,
    /// Transactions committed a second by what was driven last.
    rate: f64,
}

/// Runs the generator: one thread, so that the other cores are the peer's.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, LoadError>>) -> Result<T, LoadError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|source| LoadError::file(Path::new("the generator's runtime"), source))?.block_on(work)
}

/// How far a thread of clients that make noise gives way to all others, as in `nice`.
const NOISE_NICE: i32 = 19;

/// Runs clients that make noise on a thread of their own, which gives way to the peer and to whoever is measured:
/// elsewhere they have machines of their own, and here they have what processor time is left.
pub(super) fn giving_way<T: Send + 'static>(
    work: impl Future<Output = Result<T, LoadError>> + Send + 'static,
) -> Result<GivingWay<T>, LoadError> {
    let body = move || {
        // A machine that does not know priorities of threads measures more of the noise than of the peer.
        let _ = rustix::process::nice(NOISE_NICE);
        let mut work = Box::pin(work);
        block_on(poll_fn(move |context| {
            // A thread that works keeps its processor for some milliseconds from one that wakes up, whatever its priority.
            std::thread::yield_now();
            work.as_mut().poll(context)
        }))
    };
    let thread = std::thread::Builder::new().name("noise".into()).spawn(body);
    thread.map_err(|source| LoadError::file(Path::new("a thread"), source))
}

/// Clients that make noise.
pub(super) type GivingWay<T> = std::thread::JoinHandle<Result<T, LoadError>>;

/// Waits for the end of clients that make noise, which is near: nothing else runs meanwhile.
pub(super) fn join<T>(noise: GivingWay<T>) -> Result<T, LoadError> {
    noise.join().map_err(|_| LoadError::Setup("the thread of noise panicked".into()))?
}

/// How long warming up takes: not longer than half a window.
fn warm_window(options: &Options) -> Duration {
    WARM_WINDOW.min(Duration::from_secs(options.seconds) / 2)
}

impl Bench {
    /// Starts a peer, creates the channel, defines the asset and funds the senders.
    pub(super) async fn start(options: &Options, senders: u32, connections: u32) -> Result<Self, LoadError> {
        Self::start_with(options, senders, connections, &[]).await
    }

    /// The same with variables over the peer's configuration.
    pub(super) async fn start_with(
        options: &Options,
        senders: u32,
        connections: u32,
        variables: &[(&str, String)],
    ) -> Result<Self, LoadError> {
        progress("starting a peer");
        let peer = Peer::start(options, variables).await?;
        let channel = peer.create_open_channel(CHANNEL).await?;
        progress(&format!("funding {senders} accounts"));
        let mut workload = Workload::new(channel.id, options.seed, senders);
        let connections = peer.connections(connections)?;
        workload.fund(&connections[0], CHANNEL).await?;
        Ok(Self { peer, workload, connections, rate: 0.0 })
    }

    /// The rate that [`Bench::batches_for`] goes by.
    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// Drives `batches` for at most `window`, with nothing measured but what came of it.
    pub(super) async fn drive(&self, batches: Vec<EncodedBatch>, window: Duration) -> Result<Driven, LoadError> {
        self.drive_requests(requests(CHANNEL, batches), window).await
    }

    /// The same for prepared requests.
    pub(super) async fn drive_requests(&self, requests: Vec<Request>, window: Duration) -> Result<Driven, LoadError> {
        drive(&self.connections, requests, window).await
    }

    /// Warms up and learns the rate that [`Bench::sign_for`] goes by.
    pub(super) async fn warm_up(&mut self, options: &Options) -> Result<(), LoadError> {
        progress("warming up");
        let (batch, window) = (options.batch, warm_window(options));
        let share = window.as_secs_f64() / WARM_WINDOW.as_secs_f64();
        let transactions = (WARM_TRANSACTIONS as f64 * share) as u64;
        let warm = self.workload.sign(Pattern::Spread, transactions.div_ceil(u64::from(batch)), batch);
        self.rate = self.drive(warm, window).await?.committed_per_s();
        Ok(())
    }

    /// How many batches of `size` a window takes at the last rate, with a margin.
    pub(super) fn batches_for(&self, window: Duration, size: u32) -> u64 {
        // Two batches a connection at least, so that a slow start does not starve the window.
        let least = self.connections.len() as f64 * 2.0;
        (self.rate * window.as_secs_f64() * MARGIN / f64::from(size)).max(least).ceil() as u64
    }

    /// Signs what the window of `options` will take.
    pub(super) fn sign_for(&mut self, options: &Options, pattern: Pattern) -> Vec<EncodedBatch> {
        let batches = self.batches_for(Duration::from_secs(options.seconds), options.batch);
        progress(&format!("{:.0}/s before; signing {}", self.rate, batches * u64::from(options.batch)));
        self.workload.sign(pattern, batches, options.batch)
    }

    /// Signs and drives one window in a closed loop; its rate is the next one's estimate.
    pub(super) async fn closed_loop(&mut self, options: &Options, pattern: Pattern) -> Result<Driven, LoadError> {
        let signed = self.sign_for(options, pattern);
        progress(&format!("driving for {} s", options.seconds));
        let driven = self.drive(signed, Duration::from_secs(options.seconds)).await?;
        self.rate = driven.committed_per_s();
        Ok(driven)
    }

    /// The accounts, for a scenario that signs while it is observed. The bench itself signs nothing useful any more.
    pub(super) fn take_workload(&mut self) -> Workload {
        std::mem::replace(&mut self.workload, Workload::new(Hash([0; 32]), 0, 2))
    }

    /// Takes a rate as the estimate for what is signed next.
    pub(super) fn learn(&mut self, rate: f64) {
        self.rate = rate;
    }

    /// Height of the channel under load.
    pub(super) async fn height(&self) -> Result<u64, LoadError> {
        Ok(self.connections[0].channel(CHANNEL).await?.height)
    }

    /// Nothing measured yet, with the settings that all scenarios on this bench share.
    pub(super) fn measured(&self) -> Measured {
        let mut measured = Measured::on(Machine::with_disk(self.peer.root()));
        for (name, value) in [("channel", "open_submit, solo"), ("wait", "committed"), ("encoding", "binary batches")] {
            measured.set(name, value);
        }
        measured.set("tls", "1.3, client certificates");
        measured.set("signed_before_the_window", true);
        measured.set("senders", self.workload.senders());
        measured.set("connections", self.connections.len());
        measured
    }

    /// Does `work` and measures everything around it.
    pub(super) async fn observe(
        &self,
        measured: &mut Measured,
        work: impl Future<Output = Result<Driven, LoadError>>,
    ) -> Result<(), LoadError> {
        measured.fdatasync.push(disk::fdatasync(self.peer.root())?);
        let data = self.peer.data();
        let (bytes, height, stages) = (disk::bytes_under(&data)?, self.height().await?, self.peer.stages().await);
        let own = std::process::id();
        let (peer, generator) = (self.peer.usage(), Usage::of(own));
        let driven = work.await?;
        measured.peer = Some(self.peer.usage().since(&peer));
        measured.generator = Usage::of(own).since(&generator);
        measured.stages = self.peer.stages().await.since(&stages);
        measured.blocks = self.height().await?.saturating_sub(height);
        measured.data_bytes = disk::bytes_under(&data)?.saturating_sub(bytes);
        measured.fdatasync.push(disk::fdatasync(self.peer.root())?);
        measured.driven = Some(driven);
        Ok(())
    }

    /// Drives `batches` for at most `window` and measures everything around it. Ends the peer.
    pub(super) async fn measure(self, batches: Vec<EncodedBatch>, window: Duration) -> Result<Measured, LoadError> {
        let mut measured = self.measured();
        measured.set("window_seconds", window.as_secs());
        progress(&format!("measuring for {} s", window.as_secs()));
        self.observe(&mut measured, self.drive(batches, window)).await?;
        self.peer.stop().await?;
        Ok(measured)
    }
}
