//! The door's actor: takes submissions that have their credits, and has the shards screen them on the pool.

use super::{GroupContext, Guard, collector, random_seed, stops};
use crate::asker::Asker;
use crate::dealer::{Arrival, Dealer, Job};
use crate::limits::{INTAKE_MAILBOX, VERIFY_SLICE};
use crate::metrics::Stage;
use crate::pool::Panicked;
use crate::verifier::{Screened, Screening, Step};
use actix::prelude::*;
use ledger_classes::keys::SigningKey;
use std::sync::Arc;
use std::time::Instant;

/// Transactions that have their credits.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Submit(pub(crate) Vec<Arrival>);

/// A shard is done, or has had its turn.
#[derive(Message)]
#[rtype(result = "()")]
struct Screens {
    turn: Turn,
    result: Result<Result<Step, String>, Panicked>,
}

/// What a shard works on.
#[derive(Clone, Copy)]
struct Turn {
    shard: usize,
    /// Whose turn on the pool it takes.
    caller: Asker,
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
        for Job { shard, sequence, caller, batch } in jobs {
            let screening = Screening {
                channel: context.channel,
                shard,
                sequence,
                key: self.keys[shard].clone(),
                limits: context.shared.config().config.limits,
                store: context.store.clone(),
                certificates: context.certificates.clone(),
                doors: context.doors.clone(),
                share: context.share.clone(),
                // What execution will judge by, as far as it is known: block time may be ahead of this clock.
                now: context.clock.now().max(context.shared.tip().time),
                seed: random_seed(),
                slice: VERIFY_SLICE,
            };
            self.run(Turn { shard, caller, started: Instant::now() }, move || screening.screen(batch), actor);
        }
    }

    /// One job at a time a shard.
    fn run(&self, turn: Turn, work: impl FnOnce() -> Result<Step, String> + Send + 'static, actor: &mut Context<Self>) {
        let address = actor.address();
        let done = move |result| address.do_send(Screens { turn, result });
        self.context.verification.run_for(self.context.channel, turn.caller, work, done);
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

impl Handler<Screens> for Intake {
    type Result = ();

    fn handle(&mut self, Screens { turn, result }: Screens, actor: &mut Self::Context) {
        match result {
            Ok(Ok(Step::Paused(judging))) => self.run(turn, move || judging.go_on(), actor),
            Ok(Ok(Step::Done(screened))) => {
                let Screened { passed, refused, findings } = *screened;
                self.context.metrics.stage(Stage::Verify, turn.started.elapsed());
                self.context.refused(refused);
                self.collector.do_send(collector::Verified(passed));
                let context = &self.context;
                let crowded = || context.verification.crowded(context.channel);
                let jobs = self.dealer.screened(turn.shard, findings, crowded);
                self.perform(jobs, actor);
            }
            Ok(Err(reason)) => self.context.halt(format!("verification failed: {reason}")),
            Err(panicked) => self.context.halt(format!("verification {panicked}")),
        }
    }
}

stops!(Intake);
