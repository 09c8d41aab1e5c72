//! What scenarios share: a peer with a funded channel, and a window around what is driven.

use crate::disk;
use crate::drive::{Driven, drive};
use crate::error::LoadError;
use crate::machine::Machine;
use crate::options::Options;
use crate::peer::Peer;
use crate::process::Usage;
use crate::progress;
use crate::report::Measured;
use crate::workload::{EncodedBatch, Workload};
use client::connection::Connection;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

/// The channel under load. `open_submit`: its senders need no participant records.
const CHANNEL: &str = "load";

/// A peer with accounts that can pay.
pub(super) struct Bench {
    pub(super) peer: Peer,
    pub(super) workload: Workload,
    connections: Vec<Connection>,
}

/// Runs the generator: one thread, so that the other cores are the peer's.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, LoadError>>) -> Result<T, LoadError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|source| LoadError::file(Path::new("the generator's runtime"), source))?.block_on(work)
}

impl Bench {
    /// Starts a peer, creates the channel, defines the asset and funds the senders.
    pub(super) async fn start(options: &Options, senders: u32, connections: u32) -> Result<Self, LoadError> {
        progress("starting a peer");
        let peer = Peer::start(options).await?;
        let channel = peer.create_open_channel(CHANNEL).await?;
        let workload = Workload::new(channel.id, options.seed, senders);
        let connections = peer.connections(connections)?;
        workload.fund(&connections[0], CHANNEL).await?;
        Ok(Self { peer, workload, connections })
    }

    /// Drives `batches` for at most `window`, with nothing measured but what came of it.
    pub(super) async fn drive(&self, batches: Vec<EncodedBatch>, window: Duration) -> Result<Driven, LoadError> {
        drive(&self.connections, CHANNEL, batches, window).await
    }

    async fn height(&self) -> Result<u64, LoadError> {
        Ok(self.connections[0].channel(CHANNEL).await?.height)
    }

    /// Drives `batches` for at most `window` and measures everything around it. Ends the peer.
    pub(super) async fn measure(self, batches: Vec<EncodedBatch>, window: Duration) -> Result<Measured, LoadError> {
        let mut measured = Measured::on(Machine::with_disk(self.peer.root()));
        measured.fdatasync.push(disk::fdatasync(self.peer.root())?);
        let data = self.peer.dir().join("data");
        let (bytes, height, stages) =
            (disk::bytes_under(&data)?, self.height().await?, self.peer.stages(CHANNEL).await);
        let own = std::process::id();
        let (peer, generator) = (self.peer.usage(), Usage::of(own));
        progress(&format!("measuring for {} s", window.as_secs()));
        let driven = self.drive(batches, window).await?;
        measured.peer = Some(self.peer.usage().since(&peer));
        measured.generator = Usage::of(own).since(&generator);
        measured.stages = self.peer.stages(CHANNEL).await.since(&stages);
        measured.blocks = self.height().await?.saturating_sub(height);
        measured.data_bytes = disk::bytes_under(&data)?.saturating_sub(bytes);
        measured.fdatasync.push(disk::fdatasync(self.peer.root())?);
        measured.driven = Some(driven);
        for (name, value) in [("channel", "open_submit, solo"), ("wait", "committed"), ("encoding", "binary batches")] {
            measured.settings.insert(name.into(), value.into());
        }
        measured.settings.insert("tls".into(), "1.3, client certificates".into());
        measured.settings.insert("signed_before_the_window".into(), true.into());
        measured.settings.insert("window_seconds".into(), window.as_secs().into());
        self.peer.stop().await?;
        Ok(measured)
    }
}
