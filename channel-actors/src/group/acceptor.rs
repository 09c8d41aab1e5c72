//! The acceptor's actor.

use super::{GroupContext, Guard, collector, flat, publisher, stops};
use crate::acceptor::{Acceptor, AcceptorEffect};
use crate::collector::BlockOutcome;
use crate::limits::MAILBOX;
use crate::metrics::Stage;
use crate::opening::Opened;
use crate::ordering::OrderingEngine;
use crate::pool::Panicked;
use crate::production::{self, Execution, ExecutionResult, Persisted, in_full};
use actix::prelude::*;
use ledger_classes::blinding::BlindingSeed;
use ledger_classes::config::OrderingPeer;
use ledger_classes::execution;
use ledger_classes::outcome::ResultCode;
use ledger_classes::transaction::VerifiedTransaction;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Propose(pub(super) Vec<VerifiedTransaction>);

/// Whom to tell of executed and committed blocks.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Connect(pub(super) Addr<collector::CollectorActor>);

#[derive(Message)]
#[rtype(result = "()")]
struct ExecutionDone(Result<Result<ExecutionResult, String>, Panicked>, Instant);

#[derive(Message)]
#[rtype(result = "()")]
struct PersistDone(Result<Result<Persisted, String>, Panicked>, Instant);

#[derive(Message)]
#[rtype(result = "()")]
struct CheckpointDone(Result<Result<(), String>, Panicked>);

pub(super) struct AcceptorActor {
    context: Arc<GroupContext>,
    core: Acceptor,
    collector: Option<Addr<collector::CollectorActor>>,
    publisher: Addr<publisher::Publisher>,
    checkpoint_planned: bool,
    _guard: Guard,
}

impl AcceptorActor {
    pub(super) fn start(
        context: Arc<GroupContext>,
        opened: &Opened,
        engine: Box<dyn OrderingEngine>,
        publisher: Addr<publisher::Publisher>,
        arbiter: &ArbiterHandle,
    ) -> Addr<Self> {
        let core = Acceptor::new(engine, opened.store.history(), opened.parent(), opened.next_timer);
        Self::start_in_arbiter(arbiter, move |actor| {
            actor.set_mailbox_capacity(MAILBOX);
            let guard = context.guard("acceptor");
            Self { context, core, collector: None, publisher, checkpoint_planned: false, _guard: guard }
        })
    }

    fn perform(&mut self, effects: impl IntoIterator<Item = AcceptorEffect>, actor: &mut Context<Self>) {
        for effect in effects {
            self.perform_one(effect, actor);
        }
    }

    fn perform_one(&mut self, effect: AcceptorEffect, actor: &mut Context<Self>) {
        let context = self.context.clone();
        let (address, started) = (actor.address(), Instant::now());
        let (channel, store) = (context.channel, context.store.clone());
        match effect {
            AcceptorEffect::Execute { parent, time, above, transactions } => {
                let certificates = context.certificates.clone();
                let (proposer, share) = (context.proposer, context.share.clone());
                let seed = BlindingSeed::new(super::random_seed());
                let execution = Execution { store, share, certificates, proposer, parent, time, seed, above };
                let done = move |result| address.do_send(ExecutionDone(result, started));
                context.storage.run(channel, move || execution.run(transactions), done);
            }
            AcceptorEffect::Persist { block, seal } => {
                let done = move |result| address.do_send(PersistDone(result, started));
                let (disk, shared) = (context.disk.clone(), context.shared.clone());
                let within = context.clone();
                let persist = move || {
                    disk.room();
                    let persisted = production::persist(&store, &block, seal)?;
                    // Before anybody is told of the block: who may see the channel, and who reads it no more.
                    shared.end(&execution::changed_marks(&block.writes).map_err(in_full)?);
                    if let Some(record) = &block.config {
                        within.index.configure(&within.name, &record.config, &*within.certificates);
                    }
                    if shared.ring.is_waited_for() {
                        persisted.block.contents();
                    }
                    Ok(persisted)
                };
                context.storage.run(channel, persist, done);
            }
            AcceptorEffect::Checkpoint => {
                let done = move |result| address.do_send(CheckpointDone(result));
                let (disk, share) = (context.disk.clone(), context.share.clone());
                let checkpoint = move || {
                    disk.room();
                    store.checkpoint().map_err(in_full)?;
                    share.look_again(store.waiting_bytes());
                    Ok(())
                };
                context.checkpoints.run(channel, checkpoint, done);
            }
            AcceptorEffect::Executed(offered) => {
                if let Some(collector) = &self.collector {
                    collector.do_send(collector::BlockExecuted(offered));
                }
            }
            AcceptorEffect::Known(ids) => {
                if let Some(collector) = &self.collector {
                    collector.do_send(collector::Known(ids));
                }
            }
            AcceptorEffect::Commit { block, receipts, next_timer, config } => {
                let limits = config.as_ref().map(|record| record.config.limits);
                if let Some(block) = block {
                    self.count(&receipts);
                    // Visible to queries before anybody is told.
                    context.shared.commit(&block, config.clone());
                    context.metrics.height(block.block.header.height);
                    // Rights may have changed.
                    let all = context.shared.has_just_ended() || config.is_some();
                    self.publisher.do_send(publisher::Publish { block, all });
                    self.plan_checkpoint(actor);
                }
                if let Some(collector) = &self.collector {
                    let outcome = BlockOutcome { receipts, next_timer };
                    collector.do_send(collector::BlockCommitted { outcome, limits });
                }
                // A block that this peer sealed from here on would be nobody's: its key is no orderer's any more.
                let orders = |peer: &OrderingPeer| peer.key.address() == context.proposer;
                if config.is_some_and(|record| !record.config.peers.iter().any(orders)) {
                    context.halt("the configuration no longer lets this peer order the channel");
                }
            }
            AcceptorEffect::Halt(reason) => context.halt(reason),
        }
    }

    fn count(&self, receipts: &[(ledger_classes::hash::Hash, Arc<ledger_classes::receipt::Receipt>)]) {
        let mut results = BTreeMap::<u16, u64>::new();
        receipts.iter().for_each(|(_, receipt)| *results.entry(receipt.head.code).or_default() += 1);
        for (code, count) in results {
            let name = ResultCode::from_number(code).map_or("unknown", ResultCode::name);
            self.context.metrics.committed(name, count);
        }
    }

    /// Bounds what a crash has to replay, without any work while nothing happens.
    fn plan_checkpoint(&mut self, actor: &mut Context<Self>) {
        if self.checkpoint_planned {
            return;
        }
        self.checkpoint_planned = true;
        actor.run_later(Duration::from_millis(self.context.checkpoint_interval_ms), |acceptor, actor| {
            acceptor.checkpoint_planned = false;
            let effect = acceptor.core.checkpoint();
            acceptor.perform(effect, actor);
        });
    }
}

impl Actor for AcceptorActor {
    type Context = Context<Self>;
}

impl Handler<Connect> for AcceptorActor {
    type Result = ();

    fn handle(&mut self, Connect(collector): Connect, _: &mut Self::Context) {
        self.collector = Some(collector);
    }
}

impl Handler<Propose> for AcceptorActor {
    type Result = ();

    fn handle(&mut self, Propose(transactions): Propose, actor: &mut Self::Context) {
        let effects = self.core.propose(transactions, self.context.clock.now());
        self.perform(effects, actor);
    }
}

impl Handler<ExecutionDone> for AcceptorActor {
    type Result = ();

    fn handle(&mut self, ExecutionDone(result, started): ExecutionDone, actor: &mut Self::Context) {
        self.context.metrics.stage(Stage::Execute, started.elapsed());
        let effects = self.core.executed(flat(result));
        self.perform(effects, actor);
    }
}

impl Handler<PersistDone> for AcceptorActor {
    type Result = ();

    fn handle(&mut self, PersistDone(result, started): PersistDone, actor: &mut Self::Context) {
        self.context.metrics.stage(Stage::Persist, started.elapsed());
        let effects = self.core.persisted(flat(result));
        self.perform(effects, actor);
    }
}

impl Handler<CheckpointDone> for AcceptorActor {
    type Result = ();

    fn handle(&mut self, CheckpointDone(result): CheckpointDone, actor: &mut Self::Context) {
        let effects = self.core.checkpointed(flat(result));
        self.perform(effects, actor);
    }
}

stops!(AcceptorActor);
