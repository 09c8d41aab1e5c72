//! The actor group of a channel: thin shells around the pure cores. Here mailboxes, clock, pools and addresses meet;
//! nothing is decided here.
//!
//! An actor never blocks; work goes to a pool and its result comes back as a message. `do_send` ignores a mailbox's
//! bound, so it is used only where something else bounds the sender: credits for transactions, one job at a time for
//! results. Supervision: an actor that stops for any reason but the group's end (actix does not restart one that
//! panicked) trips the channel's halt; a panic on a pool is reported and does the same.

mod acceptor;
mod collector;
mod intake;
mod publisher;

pub(crate) use intake::{Intake, Submit};

use crate::clock::Clock;
use crate::door::Doors;
use crate::halt::{Life, LifeCycle};
use crate::index::Index;
use crate::limits::SHARDS_MAX;
use crate::metrics::ChannelMetrics;
use crate::opening::Opened;
use crate::ordering::OrderingEngine;
use crate::pool::{Panicked, WorkPool};
use crate::shared::Shared;
use crate::store::{ChannelStore, Disk, Share};
use crate::tasks::Tasks;
use crate::ticket::Credits;
use actix::prelude::*;
use ledger_classes::hash::Hash;
use ledger_classes::keys::{Address, SigningKey};
use ledger_classes::participant::CertificatePaths;
use ledger_classes::time::Time;
use ring::rand::{SecureRandom, SystemRandom};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;
use zeroize::Zeroizing;

/// What every actor of a group knows.
pub(crate) struct GroupContext {
    pub(crate) name: String,
    pub(crate) channel: Hash,
    pub(crate) life: Life,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) certificates: Arc<dyn CertificatePaths>,
    pub(crate) doors: Doors,
    pub(crate) verification: WorkPool,
    pub(crate) storage: WorkPool,
    pub(crate) checkpoints: WorkPool,
    pub(crate) reading: WorkPool,
    pub(crate) shared: Arc<Shared>,
    pub(crate) store: ChannelStore,
    pub(crate) metrics: ChannelMetrics,
    pub(crate) index: Arc<Index>,
    pub(crate) proposer: Address,
    pub(crate) credits: Arc<Credits>,
    pub(crate) disk: Disk,
    pub(crate) share: Share,
    pub(crate) checkpoint_interval_ms: u64,
    /// The group ends while the channel lives on: it goes to rest.
    pub(crate) ends: AtomicBool,
}

impl GroupContext {
    pub(crate) fn halt(&self, reason: impl Into<String>) {
        self.life.halt(&self.name, reason);
    }

    /// Counts transactions that were refused, by stable name.
    fn refused(&self, names: Vec<&'static str>) {
        let mut reasons = BTreeMap::<_, u64>::new();
        names.into_iter().for_each(|name| *reasons.entry(name).or_default() += 1);
        reasons.into_iter().for_each(|(name, count)| self.metrics.refused(name, count));
    }

    /// Counts transactions that were left out of their block, by stable name.
    fn dropped(&self, names: impl Iterator<Item = &'static str>) {
        let names: Vec<_> = names.collect();
        names.iter().for_each(|name| self.metrics.dropped(name));
        self.refused(names);
    }

    /// A guard for one actor.
    fn guard(self: &Arc<Self>, actor: &'static str) -> Guard {
        Guard { context: self.clone(), actor }
    }
}

/// Trips the halt when its actor is gone before the channel is, or its group.
struct Guard {
    context: Arc<GroupContext>,
    actor: &'static str,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.context.ends.load(Ordering::Acquire) {
            self.context.halt(format!("the {} stopped unexpectedly", self.actor));
        }
    }
}

/// Ends an actor.
#[derive(Clone, Copy, Message)]
#[rtype(result = "()")]
pub(crate) struct Stop;

macro_rules! stops {
    ($actor:ty) => {
        impl actix::Handler<super::Stop> for $actor {
            type Result = ();

            fn handle(&mut self, _: super::Stop, context: &mut Self::Context) {
                actix::ActorContext::stop(context);
            }
        }
    };
}
use stops;

/// A panic on a pool is a reason like any other.
fn flat<T>(result: Result<Result<T, String>, Panicked>) -> Result<T, String> {
    result.unwrap_or_else(|panicked| Err(panicked.to_string()))
}

/// 32 bytes that nobody can predict.
pub(crate) fn random_seed() -> [u8; 32] {
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).expect("the system's random generator works from early boot on");
    seed
}

/// A running group. It ends when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Group {
    /// Its door.
    pub(crate) intake: Addr<Intake>,
    collector: Addr<collector::CollectorActor>,
    publisher: Addr<publisher::Publisher>,
    _runs: Arc<watch::Sender<()>>,
}

impl Group {
    /// Asks to end the group. True if nothing is under way and no timer is due before `soon`: then nothing more is begun.
    pub(crate) async fn retire(&self, soon: Time) -> bool {
        // One of them that is gone has halted the channel, which needs no rest. The publisher comes last: what the
        // collector knows of was handed to it before.
        let retired = self.collector.send(collector::Retire { soon }).await.unwrap_or(false);
        retired && self.publisher.send(publisher::Published).await.is_ok()
    }
}

/// Starts the group of an opened channel in `arbiter`.
pub(crate) fn start(
    context: Arc<GroupContext>,
    opened: &Opened,
    engine: Box<dyn OrderingEngine>,
    shards: usize,
    arbiter: &ArbiterHandle,
) -> Group {
    let publisher = publisher::Publisher::start(context.clone(), arbiter);
    let acceptor = acceptor::AcceptorActor::start(context.clone(), opened, engine, publisher.clone(), arbiter);
    let keys: Vec<Arc<SigningKey>> = (0..shards.clamp(1, SHARDS_MAX))
        .map(|_| Arc::new(SigningKey::from_seed(&Zeroizing::new(random_seed()))))
        .collect();
    let publics = keys.iter().map(|key| key.public()).collect();
    let collector = collector::CollectorActor::start(context.clone(), opened, publics, acceptor.clone(), arbiter);
    let intake = Intake::start(context.clone(), keys, collector.clone(), arbiter);
    let (runs, mut ends) = watch::channel(());
    let group = Group {
        intake: intake.clone(),
        collector: collector.clone(),
        publisher: publisher.clone(),
        _runs: Arc::new(runs),
    };
    let mut life = context.life.follow();
    let of_group = context.clone();
    let ending = async move {
        let over = |state: &LifeCycle| matches!(state, LifeCycle::Halted { .. } | LifeCycle::Closed);
        // The sender lives in `context`, which the actors hold: an error means that they are gone already.
        tokio::select! {
            _ = life.wait_for(over) => {}
            _ = ends.changed() => {}
        }
        context.ends.store(true, Ordering::Release);
        intake.do_send(Stop);
        collector.do_send(Stop);
        acceptor.do_send(Stop);
        publisher.do_send(Stop);
    };
    Tasks::job(arbiter, move || ending, move |reason| of_group.halt(format!("ending its actors panicked: {reason}")));
    group
}
