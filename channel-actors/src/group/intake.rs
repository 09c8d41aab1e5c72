//! The door's actor: takes submissions that have their credits, and has the shards screen them on the pool.

use super::{GroupContext, Guard, collector, random_seed, stops};
use crate::limits::INTAKE_MAILBOX;
use crate::metrics::Stage;
use crate::pool::Panicked;
use crate::verifier::{Arrival, Dealer, Job, Screened, Screening};
use actix::prelude::*;
use ledger_classes::keys::SigningKey;
use std::sync::Arc;
use std::time::Instant;

/// Transactions that have their credits.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Submit(pub(crate) Vec<Arrival>);

/// A shard is done.
#[derive(Message)]
#[rtype(result = "()")]
struct ScreeningDone {
    shard: usize,
    result: Result<Result<Screened, String>, Panicked>,
    started: Instant,
}

pub(crate) struct Intake {
    context: Arc<GroupContext>,
    /// A key for each shard.
    keys: Vec<Arc<SigningKey>>,
    dealer: Dealer,
    collector: Addr<collector::CollectorActor>,
    _guard: Guard,
}

impl Intake {
    pub(super) fn start(
        context: Arc<GroupContext>,
        keys: Vec<Arc<SigningKey>>,
        collector: Addr<collector::CollectorActor>,
        arbiter: &ArbiterHandle,
    ) -> Addr<Self> {
        Self::start_in_arbiter(arbiter, move |actor| {
            actor.set_mailbox_capacity(INTAKE_MAILBOX);
            let (dealer, guard) = (Dealer::new(keys.len()), context.guard("intake"));
            Self { context, keys, dealer, collector, _guard: guard }
        })
    }

    fn perform(&mut self, jobs: Vec<Job>, actor: &mut Context<Self>) {
        let context = &self.context;
        for Job { shard, sequence, batch } in jobs {
            let screening = Screening {
                channel: context.channel,
                shard,
                sequence,
                key: self.keys[shard].clone(),
                limits: context.shared.config().config.limits,
                store: context.store.clone(),
                certificates: context.certificates.clone(),
                doors: context.doors.clone(),
                // What execution will judge by, as far as it is known: block time may be ahead of this clock.
                now: context.clock.now().max(context.shared.tip().time),
                seed: random_seed(),
            };
            let (address, started) = (actor.address(), Instant::now());
            // One job at a time a shard.
            let done = move |result| address.do_send(ScreeningDone { shard, result, started });
            context.verification.run(context.channel, move || screening.screen(batch), done);
        }
    }
}

impl Actor for Intake {
    type Context = Context<Self>;
}

impl Handler<Submit> for Intake {
    type Result = ();

    fn handle(&mut self, Submit(arrivals): Submit, actor: &mut Self::Context) {
        let context = &self.context;
        let jobs = self.dealer.arrive(arrivals, || context.verification.crowded(context.channel));
        self.perform(jobs, actor);
    }
}

impl Handler<ScreeningDone> for Intake {
    type Result = ();

    fn handle(&mut self, ScreeningDone { shard, result, started }: ScreeningDone, actor: &mut Self::Context) {
        self.context.metrics.stage(Stage::Verify, started.elapsed());
        match result {
            Ok(Ok(Screened { passed, refused, bad_signatures })) => {
                self.context.refused(refused);
                self.collector.do_send(collector::Verified(passed));
                let context = &self.context;
                let crowded = || context.verification.crowded(context.channel);
                let jobs = self.dealer.screened(shard, bad_signatures, crowded);
                self.perform(jobs, actor);
            }
            Ok(Err(reason)) => self.context.halt(format!("verification failed: {reason}")),
            Err(panicked) => self.context.halt(format!("verification {panicked}")),
        }
    }
}

stops!(Intake);
