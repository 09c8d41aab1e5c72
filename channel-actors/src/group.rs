//! The actor of a channel: a thin shell around its machine. Here mailbox, clock, pools and timers meet; nothing is decided
//! here.
//!
//! The actor never blocks; work goes to a pool and what comes of it returns as a message. `do_send` ignores a mailbox's
//! bound, so it is used only where something else bounds the sender: the machine has only so much work under way.
//! Supervision: an actor that stops for any reason but the group's end (actix does not restart one that panicked) trips
//! the channel's halt; a panic on a pool is reported and does the same.

use crate::asker::Asker;
use crate::clock::Clock;
use crate::dealer::Arrival;
use crate::effects::{ChannelLoop, Kind, Outcome, Shell, Work, Workplace};
use crate::halt::{Life, LifeCycle};
use crate::limits::{MAILBOX, SHARDS_MAX, WAKE_MS_MAX};
use crate::machine::ChannelMachine;
use crate::opening::Opened;
use crate::ordering::{OrderingEngine, Ticket};
use crate::pool::{Panicked, WorkPool};
use crate::tasks::Tasks;
use actix::dev::SendError;
use actix::prelude::*;
use ledger_classes::keys::Address;
use ledger_classes::time::Time;
use ring::rand::{SecureRandom, SystemRandom};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// What a group works with.
pub(crate) struct GroupContext {
    pub(crate) place: Arc<Workplace>,
    pub(crate) life: Life,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) verification: WorkPool,
    pub(crate) storage: WorkPool,
    pub(crate) checkpoints: WorkPool,
    pub(crate) reading: WorkPool,
    pub(crate) checkpoint_interval_ms: u64,
    /// The group ends while the channel lives on: it goes to rest.
    pub(crate) ends: AtomicBool,
}

impl GroupContext {
    fn halt(&self, reason: impl Into<String>) {
        self.life.halt(&self.place.name, reason);
    }

    /// Whose threads do work of a kind.
    const fn pool(&self, kind: Kind) -> &WorkPool {
        match kind {
            Kind::Verify { .. } => &self.verification,
            Kind::Execute | Kind::ToDisk => &self.storage,
            Kind::Checkpoint => &self.checkpoints,
            Kind::Recall => &self.reading,
        }
    }
}

/// Trips the halt when the actor is gone before the channel is, or its group.
struct Guard(Arc<GroupContext>);

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.0.ends.load(Ordering::Acquire) {
            self.0.halt("the channel's actor stopped unexpectedly");
        }
    }
}

/// 32 bytes that nobody can predict.
pub(crate) fn random_seed() -> [u8; 32] {
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).expect("the system's random generator works from early boot on");
    seed
}

/// Transactions that have their credits.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Submit(pub(crate) Vec<Arrival>);

/// Work has come to an end, or has had its turn.
#[derive(Message)]
#[rtype(result = "()")]
struct WorkDone(Outcome);

/// The channel would rest. True if nothing is under way, nor a timer due before `soon`; then nothing more is begun.
#[derive(Message)]
#[rtype(result = "bool")]
struct Retire {
    soon: Time,
}

/// Ends the actor.
#[derive(Clone, Copy, Message)]
#[rtype(result = "()")]
struct Stop;

/// The pools, the clock and the actor's timer.
struct Pools {
    context: Arc<GroupContext>,
    address: Addr<ChannelActor>,
    /// After how many milliseconds the machine wants to be called, where no timer is set for that yet.
    wake: Option<u64>,
}

impl Shell for Pools {
    fn now(&self) -> Time {
        self.context.clock.now()
    }

    fn crowded(&self) -> bool {
        self.context.verification.crowded(self.context.place.channel)
    }

    fn seed(&mut self) -> [u8; 32] {
        random_seed()
    }

    fn run(&mut self, work: Work) {
        let (kind, place, address) = (work.kind, self.context.place.clone(), self.address.clone());
        let mut lost = work.outcome();
        let done = move |result: Result<Outcome, Panicked>| {
            let outcome = result.unwrap_or_else(|panicked| {
                lost.fail(&panicked.to_string());
                lost
            });
            address.do_send(WorkDone(outcome));
        };
        let caller = match kind {
            Kind::Verify { caller, .. } => caller,
            _ => Asker::PEER,
        };
        self.context.pool(kind).run_for(self.context.place.channel, caller, move || work.run(&place), done);
    }

    fn wake_in(&mut self, millis: u64) {
        self.wake = Some(self.wake.map_or(millis, |earlier| earlier.min(millis)));
    }

    /// The only engine of the product promises nothing to anybody.
    fn persist(&mut self, _: Ticket, _: Vec<u8>) {
        self.context.halt("an ordering engine wants to keep a record, and this peer has no log for that");
    }

    fn send(&mut self, to: Address, _: Vec<u8>) {
        self.context.halt(format!("an ordering engine wants to tell {to} something, and this peer has no link"));
    }

    fn halt(&mut self, reason: String) {
        self.context.halt(reason);
    }
}

struct ChannelActor {
    channel: ChannelLoop<Pools>,
    timer: Option<(Instant, SpawnHandle)>,
    _guard: Guard,
}

impl ChannelActor {
    /// Sets the timer, if the machine wants to be called earlier than it is set to.
    fn set_timer(&mut self, actor: &mut Context<Self>) {
        let Some(millis) = self.channel.shell.wake.take() else { return };
        // Early is harmless: the machine asks again.
        let delay = Duration::from_millis(millis.clamp(1, WAKE_MS_MAX));
        let at = Instant::now() + delay;
        match self.timer.take() {
            Some((earlier, handle)) if earlier <= at => self.timer = Some((earlier, handle)),
            later => {
                if let Some((_, handle)) = later {
                    actor.cancel_future(handle);
                }
                let handle = actor.run_later(delay, |channel, actor| {
                    channel.timer = None;
                    channel.channel.tick();
                    channel.set_timer(actor);
                });
                self.timer = Some((at, handle));
            }
        }
    }
}

impl Actor for ChannelActor {
    type Context = Context<Self>;

    fn started(&mut self, actor: &mut Self::Context) {
        self.channel.tick();
        self.set_timer(actor);
    }
}

impl Handler<Submit> for ChannelActor {
    type Result = ();

    fn handle(&mut self, Submit(arrivals): Submit, actor: &mut Self::Context) {
        self.channel.submit(arrivals);
        self.set_timer(actor);
    }
}

impl Handler<WorkDone> for ChannelActor {
    type Result = ();

    fn handle(&mut self, WorkDone(outcome): WorkDone, actor: &mut Self::Context) {
        self.channel.done(outcome);
        self.set_timer(actor);
    }
}

impl Handler<Retire> for ChannelActor {
    type Result = bool;

    fn handle(&mut self, Retire { soon }: Retire, _: &mut Self::Context) -> bool {
        self.channel.retire(soon)
    }
}

impl Handler<Stop> for ChannelActor {
    type Result = ();

    fn handle(&mut self, _: Stop, actor: &mut Self::Context) {
        actor.stop();
    }
}

/// A running group. It ends when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Group {
    actor: Addr<ChannelActor>,
    _runs: Arc<watch::Sender<()>>,
}

impl Group {
    /// Passes a submission on, if the mailbox has room.
    pub(crate) fn try_submit(&self, submit: Submit) -> Result<(), SendError<Submit>> {
        self.actor.try_send(submit)
    }

    /// Passes a submission on that waited elsewhere: something else bounds it.
    pub(crate) fn submit(&self, submit: Submit) {
        self.actor.do_send(submit);
    }

    /// Asks to end the group. True if nothing is under way and no timer is due before `soon`: then nothing more is begun.
    pub(crate) async fn retire(&self, soon: Time) -> bool {
        // An actor that is gone has halted the channel, which needs no rest.
        self.actor.send(Retire { soon }).await.unwrap_or(false)
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
    let (proposer, interval) = (context.place.proposer, context.checkpoint_interval_ms);
    let machine = ChannelMachine::new(opened, engine, proposer, shards.clamp(1, SHARDS_MAX), interval);
    let of_actor = context.clone();
    let actor = ChannelActor::start_in_arbiter(arbiter, move |actor| {
        actor.set_mailbox_capacity(MAILBOX);
        let shell = Pools { context: of_actor.clone(), address: actor.address(), wake: None };
        let (place, guard) = (of_actor.place.clone(), Guard(of_actor));
        ChannelActor { channel: ChannelLoop::new(machine, place, shell), timer: None, _guard: guard }
    });
    let (runs, mut ends) = watch::channel(());
    let group = Group { actor: actor.clone(), _runs: Arc::new(runs) };
    let mut life = context.life.follow();
    let of_group = context.clone();
    let ending = async move {
        let over = |state: &LifeCycle| matches!(state, LifeCycle::Halted { .. } | LifeCycle::Closed);
        // The sender lives in `context`, which the actor holds: an error means that it is gone already.
        tokio::select! {
            _ = life.wait_for(over) => {}
            _ = ends.changed() => {}
        }
        context.ends.store(true, Ordering::Release);
        actor.do_send(Stop);
    };
    Tasks::job(arbiter, move || ending, move |reason| of_group.halt(format!("ending its actor panicked: {reason}")));
    group
}
