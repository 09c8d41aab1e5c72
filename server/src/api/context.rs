//! What every request handler sees of the peer. Made once, by [`crate::peer`].

use crate::{
    api::{
        access::{self, Asking, Visible},
        budget::{Budget, Purse},
        turns::Turns,
    },
    duties::Duties,
    identity::trust::Trust,
    limits::{OCSP_MAX, REGISTRATIONS_MAX, STREAM_BYTES},
    memory::Parts,
    net::{
        caller::Caller,
        handshakes::Handshakes,
        places::{Places, Who},
    },
    problem::{ApiError, Kind},
    setup::config::Limits,
    telemetry::{log_lines::LogLines, metrics::PeerMetrics},
};
use channel_actors::ChannelRegistry;
use channel_actors::peer::fence::Entered;
use channel_actors::runtime::tasks::Tasks;
use ledger_classes::keys::PublicKey;
use ledger_classes::primitives::identity::Identity;
use ledger_classes::primitives::time::Time;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tokio::sync::watch;

/// The peer as its handlers see it.
pub struct PeerContext {
    /// Who this peer is.
    pub identity: Identity,
    /// The key that its blocks are sealed with.
    pub seal_key: PublicKey,
    /// Its incarnation, and why it seals and issues nothing, if so.
    pub entered: Entered,
    /// Start of this run.
    pub started: Time,
    /// Bounds.
    pub limits: Limits,
    /// Whom it trusts.
    pub trust: Arc<Trust>,
    /// The channels.
    pub registry: Arc<ChannelRegistry>,
    /// Counters.
    pub metrics: Arc<PeerMetrics>,
    /// Memory for answers that are under way.
    pub budget: Budget,
    /// Bytes that subscriptions have handed over last and whose readers may not have taken.
    pub unsent: Arc<AtomicUsize>,
    /// Connections of which it is not known yet whose they are.
    pub handshakes: Arc<Handshakes>,
    /// How many of each thing callers may have.
    pub places: PeerPlaces,
    /// CRLs and answers that members bring are verified one at a time.
    pub crls: Arc<Turns>,
    /// So are long CRLs, beside the others: nobody's short list waits behind them.
    pub long_crls: Arc<Turns>,
    /// True once the peer takes nothing new.
    pub draining: watch::Receiver<bool>,
    /// What stands in the way of what it owes its channels.
    pub duties: Arc<Duties>,
    /// What goes on in the background.
    pub tasks: Tasks,
    /// Where the log goes, if that is counted.
    pub log_lines: Option<LogLines>,
}

/// The places of a peer.
pub struct PeerPlaces {
    /// Client connections whose handshake is done. Each does one request at a time, so that these are also the places of
    /// requests at work.
    pub connections: Arc<Places>,
    /// Live subscriptions.
    pub subscriptions: Arc<Places>,
    /// Requests that work on the certificates folder.
    pub registrations: Arc<Places>,
    /// OCSP requests at work.
    pub ocsp: Arc<Places>,
    /// Live streams of submissions.
    pub streams: Arc<Places>,
    /// Bytes of requests' bodies, from before they are read until what they ask for is done.
    pub bodies: Arc<Places>,
}

impl PeerPlaces {
    /// As many as the limits say, and so many connections.
    pub fn new(limits: &Limits, connections: usize) -> Self {
        let bytes = Parts::of(limits.memory_bytes_max).bodies;
        Self {
            connections: Places::new("connections", Kind::NoPlace, connections),
            subscriptions: Places::new("subscriptions", Kind::TooManySubscriptions, limits.subscriptions_max),
            registrations: Places::new("registrations", Kind::RequestsFull, REGISTRATIONS_MAX),
            ocsp: Places::new("ocsp", Kind::NoPlace, OCSP_MAX),
            // What they hold counts as bytes of bodies: half of these is left to others.
            streams: Places::new("submission_streams", Kind::NoPlace, (bytes / 2 / STREAM_BYTES).max(1)),
            bodies: Places::new("body_bytes", Kind::NoPlace, bytes),
        }
    }

    /// All of them.
    pub const fn all(&self) -> [&Arc<Places>; 6] {
        [&self.connections, &self.subscriptions, &self.registrations, &self.ocsp, &self.streams, &self.bodies]
    }
}

impl PeerContext {
    /// Who asks this peer.
    pub fn asking<'a>(&'a self, caller: &'a Caller) -> Asking<'a> {
        Asking { caller, peer: &self.identity, trust: &self.trust, budget: &self.budget }
    }

    /// Whose places a caller's connection takes.
    pub fn who(&self, caller: &Caller, address: Option<SocketAddr>) -> Who {
        match caller.identity() {
            Some(identity) => Who::certified(identity, access::administers(&self.registry, self.asking(caller))),
            None => Who::stranger(address),
        }
    }

    /// The channel that a caller names, if the caller may know of it, whatever its state. Its reads are the caller's.
    pub fn any_channel(&self, caller: &Caller, text: &str) -> Result<Visible, ApiError> {
        access::find(&self.registry, self.asking(caller), text)
    }

    /// What pays for what a caller is answered that is of no channel.
    pub fn purse(&self, caller: &Caller) -> Purse {
        self.asking(caller).purse(None)
    }

    /// The channel that a caller names, if the caller may know of it and it has not halted.
    pub fn channel(&self, caller: &Caller, text: &str) -> Result<Visible, ApiError> {
        let visible = self.any_channel(caller, text)?;
        match access::halted(&visible.channel) {
            Some(reason) => Err(ApiError::halted(reason)),
            None => Ok(visible),
        }
    }

    /// Refuses new work while the peer shuts down.
    pub fn accepting(&self) -> Result<(), ApiError> {
        if *self.draining.borrow() { Err(draining()) } else { Ok(()) }
    }
}

/// The peer is shutting down: another one may answer.
pub fn draining() -> ApiError {
    ApiError::from(Kind::Draining).retry_after_ms(crate::limits::RETRY_AFTER_MS).closing()
}
