//! The collector's actor.

use super::{GroupContext, Guard, acceptor, flat, stops};
use crate::collector::{BlockOutcome, Collector, CollectorEffect};
use crate::limits::{MAILBOX, WAKE_MS_MAX};
use crate::metrics::Stage;
use crate::opening::Opened;
use crate::production::Offered;
use crate::recall::{self, Recall};
use crate::verifier::Passed;
use actix::prelude::*;
use ledger_classes::config::Limits;
use ledger_classes::hash::Hash;
use ledger_classes::keys::PublicKey;
use ledger_classes::time::Time;
use std::sync::Arc;
use std::time::Duration;

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Verified(pub(super) Passed);

/// What execution found in the index.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Known(pub(super) Vec<Hash>);

/// The newest block has executed, without these.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct BlockExecuted(pub(super) Offered);

/// The oldest block under way is final, or was dropped because nothing was left to do.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct BlockCommitted {
    pub(super) outcome: BlockOutcome,
    pub(super) limits: Option<Limits>,
}

/// The channel would rest. True if nothing is under way, nor a timer due before `soon`; then nothing more is begun.
#[derive(Message)]
#[rtype(result = "bool")]
pub(super) struct Retire {
    pub(super) soon: Time,
}

pub(super) struct CollectorActor {
    context: Arc<GroupContext>,
    core: Collector,
    acceptor: Addr<acceptor::AcceptorActor>,
    wake: Option<(Time, SpawnHandle)>,
    _guard: Guard,
}

impl CollectorActor {
    pub(super) fn start(
        context: Arc<GroupContext>,
        opened: &Opened,
        shard_keys: Vec<PublicKey>,
        acceptor: Addr<acceptor::AcceptorActor>,
        arbiter: &ArbiterHandle,
    ) -> Addr<Self> {
        let core = Collector::new(context.channel, shard_keys, opened.config.config.limits, opened.next_timer);
        Self::start_in_arbiter(arbiter, move |actor| {
            actor.set_mailbox_capacity(MAILBOX);
            let guard = context.guard("collector");
            Self { context, core, acceptor, wake: None, _guard: guard }
        })
    }

    fn perform(&mut self, effects: Vec<CollectorEffect>, actor: &mut Context<Self>) {
        for effect in effects {
            match effect {
                // One proposal executes at a time.
                CollectorEffect::Propose(transactions) => self.acceptor.do_send(acceptor::Propose(transactions)),
                CollectorEffect::Recall(recalls) => answer(self.context.clone(), recalls),
                CollectorEffect::WakeAt(time) => self.wake_at(time, actor),
                CollectorEffect::Halt(reason) => self.context.halt(reason),
            }
        }
    }

    fn wake_at(&mut self, time: Time, actor: &mut Context<Self>) {
        match self.wake.take() {
            Some((earlier, handle)) if earlier <= time => self.wake = Some((earlier, handle)),
            other => {
                if let Some((_, handle)) = other {
                    actor.cancel_future(handle);
                }
                let ahead = time.millis_since(self.context.clock.now());
                // Early is harmless: the core asks again.
                let delay = Duration::from_millis(ahead.clamp(1, WAKE_MS_MAX));
                let handle = actor.run_later(delay, |collector, actor| {
                    collector.wake = None;
                    let effects = collector.core.tick(collector.context.clock.now());
                    collector.perform(effects, actor);
                });
                self.wake = Some((time, handle));
            }
        }
    }
}

/// Has those who wait told on reading threads.
fn answer(context: Arc<GroupContext>, recalls: Vec<Recall>) {
    let (channel, store) = (context.channel, context.store.clone());
    let reading = context.reading.clone();
    context.reading.clone().run(
        channel,
        move || recall::sort(&store, recalls),
        move |result| match flat(result) {
            Ok((refused, found)) => {
                context.refused(refused);
                for found in found {
                    let (store, context) = (context.store.clone(), context.clone());
                    let done = move |result| {
                        if let Err(reason) = flat(result) {
                            context.halt(format!("reading receipts failed: {reason}"));
                        }
                    };
                    reading.run(channel, move || recall::tell(&store, found), done);
                }
            }
            Err(reason) => context.halt(format!("looking for transactions failed: {reason}")),
        },
    );
}

impl Actor for CollectorActor {
    type Context = Context<Self>;

    fn started(&mut self, actor: &mut Self::Context) {
        self.acceptor.do_send(acceptor::Connect(actor.address()));
        let effects = self.core.tick(self.context.clock.now());
        self.perform(effects, actor);
    }
}

impl Handler<Verified> for CollectorActor {
    type Result = ();

    fn handle(&mut self, Verified(passed): Verified, actor: &mut Self::Context) {
        let effects = self.core.verified(passed, self.context.clock.now());
        self.perform(effects, actor);
    }
}

impl Handler<Known> for CollectorActor {
    type Result = ();

    fn handle(&mut self, Known(ids): Known, actor: &mut Self::Context) {
        let effects = self.core.known(ids);
        self.perform(effects, actor);
    }
}

impl Handler<BlockExecuted> for CollectorActor {
    type Result = ();

    fn handle(&mut self, BlockExecuted(offered): BlockExecuted, actor: &mut Self::Context) {
        self.context.metrics.deferred(offered.deferred.len());
        self.context.dropped(offered.dropped.iter().filter_map(|(_, refusal)| refusal.name()));
        let effects = self.core.executed(offered, self.context.clock.now());
        self.perform(effects, actor);
    }
}

impl Handler<BlockCommitted> for CollectorActor {
    type Result = ();

    fn handle(&mut self, BlockCommitted { outcome, limits }: BlockCommitted, actor: &mut Self::Context) {
        if let Some(limits) = limits {
            self.core.set_limits(limits);
        }
        let (effects, arrivals) = self.core.committed(outcome, self.context.clock.now());
        for arrived in arrivals {
            self.context.metrics.stage(Stage::EndToEnd, arrived.elapsed());
        }
        self.context.metrics.in_flight(self.context.credits.used().0);
        self.perform(effects, actor);
    }
}

impl Handler<Retire> for CollectorActor {
    type Result = bool;

    fn handle(&mut self, Retire { soon }: Retire, _: &mut Self::Context) -> bool {
        self.core.retire(soon)
    }
}

stops!(CollectorActor);
