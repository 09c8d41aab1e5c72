//! The actor of a verifier shard.

use super::{GroupContext, Guard, collector, random_seed, stops};
use crate::limits::MAILBOX;
use crate::metrics::Stage;
use crate::pool::Panicked;
use crate::verifier::{Arrival, Screened, Screening, Shard, ShardEffect};
use actix::prelude::*;
use ledger_classes::keys::SigningKey;
use std::sync::Arc;
use std::time::Instant;

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Arrive(pub(super) Vec<Arrival>);

#[derive(Message)]
#[rtype(result = "()")]
struct ScreeningDone(Result<Result<Screened, String>, Panicked>, Instant);

pub(super) struct ShardActor {
    context: Arc<GroupContext>,
    number: usize,
    key: Arc<SigningKey>,
    core: Shard,
    collector: Addr<collector::CollectorActor>,
    _guard: Guard,
}

impl ShardActor {
    pub(super) fn start(
        context: Arc<GroupContext>,
        number: usize,
        key: Arc<SigningKey>,
        collector: Addr<collector::CollectorActor>,
        arbiter: &ArbiterHandle,
    ) -> Addr<Self> {
        Self::start_in_arbiter(arbiter, move |actor| {
            actor.set_mailbox_capacity(MAILBOX);
            let guard = context.guard("verifier");
            Self { context, number, key, core: Shard::default(), collector, _guard: guard }
        })
    }

    fn perform(&mut self, effect: Option<ShardEffect>, actor: &mut Context<Self>) {
        let Some(ShardEffect::Screen { sequence, batch }) = effect else { return };
        let context = &self.context;
        let screening = Screening {
            channel: context.channel,
            shard: self.number,
            sequence,
            key: self.key.clone(),
            limits: context.shared.config().config.limits,
            store: context.store.clone(),
            // What execution will judge by, as far as it is known: block time may be ahead of this clock.
            now: context.clock.now().max(context.shared.tip().time),
            seed: random_seed(),
        };
        let (address, started) = (actor.address(), Instant::now());
        // One job at a time a shard.
        let done = move |result| address.do_send(ScreeningDone(result, started));
        context.verification.run(context.channel, move || screening.screen(batch), done);
    }
}

impl Actor for ShardActor {
    type Context = Context<Self>;
}

impl Handler<Arrive> for ShardActor {
    type Result = ();

    fn handle(&mut self, Arrive(arrivals): Arrive, actor: &mut Self::Context) {
        let effect = self.core.arrive(arrivals);
        self.perform(effect, actor);
    }
}

impl Handler<ScreeningDone> for ShardActor {
    type Result = ();

    fn handle(&mut self, ScreeningDone(result, started): ScreeningDone, actor: &mut Self::Context) {
        self.context.metrics.stage(Stage::Verify, started.elapsed());
        match result {
            Ok(Ok(Screened { passed, refused, bad_signatures, doubted })) => {
                self.context.refused(refused);
                if !passed.flights.is_empty() {
                    self.collector.do_send(collector::Verified(passed));
                }
                // After what was passed before: a copy of it finds it under way.
                if !doubted.is_empty() {
                    self.collector.do_send(collector::Doubted(doubted));
                }
                let effect = self.core.screened(bad_signatures);
                self.perform(effect, actor);
            }
            Ok(Err(reason)) => self.context.halt(format!("verification failed: {reason}")),
            Err(panicked) => self.context.halt(format!("verification {panicked}")),
        }
    }
}

stops!(ShardActor);
