//! The state machine of a channel: submissions, verification, blocks, their order, the disk, answers. Everything that a
//! channel decides is decided here, and nothing is done here: [`ChannelMachine::on`] takes an input and the time, and
//! returns effects. No threads, no clock, no I/O, no randomness. One loop performs the effects
//! ([`crate::pipeline::effects`]), for the actor that serves and for the simulator alike.
//!
//! It is made of parts that know nothing of each other: whose turn it is to be verified ([`Batcher`]), who else vouches for what
//! was ([`Witnesses`]), what waits for a block and who waits for it ([`Collector`]), how far blocks have come ([`Acceptor`]
//! with its ordering engine). What one part says the other is told at once, so there is no moment in which they disagree.
//!
//! Always: nothing is told of a block that is not on the disk and applied; an id is under way once; whoever waits gets one
//! answer; after a halt there are no effects any more.

use crate::block::committed::CommittedBlock;
use crate::block::execute::{ExecutionResult, Offered};
use crate::block::refusal::SubmitRefusal;
use crate::block::replay::Opened;
use crate::pipeline::acceptor::{Acceptor, AcceptorEffect, Ahead, Discarded};
use crate::pipeline::batcher::{Batcher, Submitted, VerifyJob};
use crate::pipeline::collector::{BlockOutcome, Collector, CollectorEffect};
use crate::pipeline::ordering::{OrderingEngine, OrderingInput, Sealing, Ticket};
use crate::pipeline::outcomes::OutcomeLookup;
use crate::pipeline::submission::Reply;
use crate::pipeline::verifier::Screened;
use crate::pipeline::witnesses::{WitnessEffect, Witnesses};
use crate::store::Pressure;
use bytes::Bytes;
use ledger_classes::chain::{ExecutedBlock, Parent};
use ledger_classes::execution::ConfigRecord;
use ledger_classes::formats::block::{Batch, SealSignature, WitnessedBatch};
use ledger_classes::formats::config::OrderingPeer;
use ledger_classes::formats::outcome::ResultCode;
use ledger_classes::formats::transaction::VerifiedTransaction;
use ledger_classes::keys::Address;
use ledger_classes::merkle::CompactRange;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

/// What a machine is told.
pub(crate) enum Input {
    /// Transactions that have their credits.
    Submit { arrivals: Vec<Submitted>, crowded: bool },
    /// A shard's job is done. `crowded`, here and above: other channels verify, too.
    Verified { shard: usize, screened: Box<Screened>, crowded: bool },
    /// An execution is done.
    Executed(ExecutionResult),
    /// A block of another peer's is executed; none, if it is no valid one.
    Checked(Option<Arc<ExecutedBlock>>),
    /// A block is in the log, on the disk.
    Appended(Arc<CommittedBlock>),
    /// A block is applied to the state.
    Applied { height: u64, pressure: Pressure },
    /// A checkpoint is written.
    Checkpointed,
    /// A record of the ordering engine's is on the disk, and all before it.
    #[cfg_attr(not(any(test, feature = "simulation")), expect(dead_code, reason = "`solo` keeps no records"))]
    Persisted(Ticket),
    /// The ids of those that were to be found that the index has.
    Known(Vec<Hash>),
    /// The signature over a batch, this peer's own or another's; `None` if the batch is not of its transactions.
    Vouched { to: Address, batch: Batch, signed: Option<SealSignature> },
    /// Another peer of the channel says something: to the ordering engine, or of witnesses.
    #[cfg_attr(not(any(test, feature = "simulation")), expect(dead_code, reason = "there is no link yet"))]
    Message { from: Address, bytes: Vec<u8> },
    /// This configuration rules from now on.
    #[cfg_attr(not(any(test, feature = "simulation")), expect(dead_code, reason = "each comes with its block yet"))]
    Configure(Arc<ConfigRecord>),
    /// The store is another one, which a peer of the channel has given. No block is on its way to the one before.
    #[cfg_attr(not(any(test, feature = "simulation")), expect(dead_code, reason = "there is no link yet"))]
    Install(Box<Installed>),
    /// Time has passed.
    Tick,
    /// Work failed, or panicked.
    Failed(String),
}

/// A state that is put in place of the one before, with its log.
pub(crate) struct Installed {
    pub(crate) parent: Parent,
    pub(crate) history: CompactRange,
    pub(crate) config: Arc<ConfigRecord>,
    pub(crate) next_timer: Option<Time>,
}

/// What a machine wants done.
#[must_use]
pub(crate) enum Effect {
    /// Screen a job's transactions.
    Verify(VerifyJob),
    /// Execute a block above these. It lists the batches.
    Execute {
        parent: Parent,
        time: Time,
        above: Vec<Arc<ExecutedBlock>>,
        transactions: Vec<VerifiedTransaction>,
        batches: Vec<WitnessedBatch>,
    },
    /// Sign a batch, another's if each of these is a transaction; [`Input::Vouched`] follows.
    Vouch { to: Address, batch: Batch, envelopes: Option<Vec<Vec<u8>>> },
    /// Execute a block that another peer proposes, encoded, above these.
    Check { parent: Parent, above: Vec<Arc<ExecutedBlock>>, block: Bytes },
    /// Append a block to the log. This and [`Self::Apply`] are done in their order, and nothing after one that failed.
    Append { block: Arc<ExecutedBlock>, seal: Sealing },
    /// Apply a block to the state.
    Apply(Arc<ExecutedBlock>),
    /// Write a checkpoint.
    Checkpoint,
    /// Put a record of the ordering engine's on the disk; [`Input::Persisted`] follows.
    Persist { ticket: Ticket, record: Vec<u8>, base: bool },
    /// Say something to another peer of the channel. What it promises is on the disk.
    Send { to: Address, bytes: Vec<u8> },
    /// Look for outcomes in the index, and tell those who wait for them.
    OutcomeLookup(Vec<OutcomeLookup>),
    /// Look which of these are in the index; [`Input::Known`] follows with those.
    Find(Vec<Hash>),
    /// A block is committed: whoever reads sees it from now on. Comes before the answers to those who wait for it.
    Notify(Commit),
    /// Give these answers.
    Reply(Vec<Reply>),
    /// Count what was offered for a block and is not in it.
    Count(Tally),
    /// Count a block of another peer's that is ahead of this peer's clock.
    CountAhead(Ahead),
    /// Count a request to vouch, by what became of it.
    CountRequest(&'static str),
    /// Have [`Input::Tick`] come at this time.
    WakeAt(Time),
    /// Stop the channel.
    Halt(String),
}

/// A block that is final, on the disk and applied.
pub(crate) struct Commit {
    pub(crate) block: Arc<CommittedBlock>,
    pub(crate) config: Option<Arc<ConfigRecord>>,
    /// When those arrived whose transactions are in it.
    pub(crate) arrivals: Vec<Instant>,
}

/// What was offered for a block and is not in it.
pub(crate) struct Tally {
    pub(crate) deferred: usize,
    pub(crate) dropped: Vec<&'static str>,
}

/// The state of a channel's machine.
pub(crate) struct ChannelMachine {
    batcher: Batcher,
    collector: Collector,
    acceptor: Acceptor,
    witnesses: Witnesses,
    /// Of the key that this peer seals with.
    proposer: Address,
    checkpoints: Checkpoints,
    /// When the acceptor and its ordering engine are to be told of the time.
    acceptor_wakes: BTreeSet<Time>,
    /// The time of the last block that is applied: what is over before it is in no later one.
    decided: Time,
    halted: bool,
}

/// To whom a peer says something: the first byte of what is said.
const TO_ORDERING: u8 = 0;
const OF_WITNESSES: u8 = 1;

fn said(to: Address, whom: u8, bytes: &[u8]) -> Effect {
    Effect::Send { to, bytes: [&[whom], bytes].concat() }
}

/// When the next checkpoint is due, so that a crash leaves a bounded time to be replayed. None while nothing happens.
struct Checkpoints {
    interval_ms: u64,
    /// When the first block since the last one was applied.
    since: Option<Time>,
}

impl Checkpoints {
    fn due(&self) -> Option<Time> {
        self.since.map(|since| since.plus_millis(self.interval_ms))
    }

    /// Whether it is time.
    fn take(&mut self, now: Time) -> bool {
        // The clock was set back: the time begins anew.
        self.since = self.since.map(|since| since.min(now));
        let due = self.due().is_some_and(|due| due <= now);
        if due {
            self.since = None;
        }
        due
    }
}

impl ChannelMachine {
    /// Goes on above what is on the disk. `shards`: jobs that are verified at a time.
    pub(crate) fn new(
        opened: &Opened,
        engine: Box<dyn OrderingEngine>,
        proposer: Address,
        shards: usize,
        checkpoint_interval_ms: u64,
    ) -> Self {
        let witnesses = Witnesses::new(opened.channel, proposer, &opened.config.config);
        let mut collector = Collector::new(opened.config.config.limits, opened.next_timer);
        collector.set_witnessed(!witnesses.are_own());
        Self {
            batcher: Batcher::new(shards),
            collector,
            witnesses,
            acceptor: Acceptor::new(engine, opened.store.history(), opened.parent(), opened.next_timer),
            proposer,
            checkpoints: Checkpoints { interval_ms: checkpoint_interval_ms, since: None },
            acceptor_wakes: BTreeSet::new(),
            decided: opened.tip.time,
            halted: false,
        }
    }

    /// Takes an input.
    pub(crate) fn on(&mut self, input: Input, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.halted {
            // Whoever waits for what is dropped here is told by that.
            return effects;
        }
        match input {
            Input::Submit { arrivals, crowded } => {
                effects.extend(self.batcher.arrive(arrivals, || crowded).into_iter().map(Effect::Verify));
            }
            Input::Verified { shard, screened, crowded } => {
                let Screened { passed, findings, .. } = *screened;
                let collected = self.collector.verified(passed, now);
                self.collected(collected, now, &mut effects);
                if self.halted {
                    return effects;
                }
                let jobs = self.batcher.screened(shard, findings, || crowded);
                effects.extend(jobs.into_iter().map(Effect::Verify));
            }
            Input::Executed(result) => {
                let accepted = self.acceptor.executed(result);
                self.accepted(accepted, now, &mut effects);
            }
            Input::Checked(block) => {
                let accepted = self.acceptor.checked(block, now);
                self.accepted(accepted, now, &mut effects);
            }
            Input::Configure(record) => self.configure(&record, now, &mut effects),
            Input::Install(installed) => {
                let Installed { parent, history, config, next_timer } = *installed;
                let accepted = self.acceptor.install(parent, history, next_timer);
                self.accepted(accepted, now, &mut effects);
                if !self.halted {
                    self.decided = parent.time;
                    self.collector.installed(next_timer);
                    self.configure(&config, now, &mut effects);
                }
            }
            Input::Appended(block) => {
                let accepted = self.acceptor.appended(block);
                self.accepted(accepted, now, &mut effects);
            }
            Input::Applied { height, pressure } => {
                let accepted = self.acceptor.applied(height, pressure);
                if self.checkpoints.since.is_none() {
                    self.checkpoints.since = Some(now);
                    effects.extend(self.checkpoints.due().map(Effect::WakeAt));
                }
                self.accepted(accepted, now, &mut effects);
            }
            Input::Checkpointed => {
                let accepted = self.acceptor.checkpointed();
                self.accepted(accepted, now, &mut effects);
            }
            Input::Tick => {
                if self.checkpoints.take(now) {
                    let checkpoint = self.acceptor.checkpoint().into_iter().collect();
                    self.accepted(checkpoint, now, &mut effects);
                }
                effects.extend(self.checkpoints.due().map(Effect::WakeAt));
                self.acceptor_wakes.retain(|wake| *wake > now);
                let accepted = self.acceptor.tick(now);
                self.accepted(accepted, now, &mut effects);
                let wanted = self.witnesses.tick(now);
                self.wanted(wanted, now, &mut effects);
                // Who sets a timer sets one: for what is due first.
                effects.extend(self.acceptor_wakes.first().copied().map(Effect::WakeAt));
            }
            Input::Persisted(ticket) => {
                let accepted = self.acceptor.ordered(OrderingInput::Persisted { ticket });
                self.accepted(accepted, now, &mut effects);
            }
            Input::Message { from, bytes } => match bytes.split_first() {
                Some((&TO_ORDERING, bytes)) => {
                    let accepted = self.acceptor.ordered(OrderingInput::Message { from, bytes });
                    self.accepted(accepted, now, &mut effects);
                }
                Some((&OF_WITNESSES, bytes)) => {
                    let wanted = self.witnesses.message(from, bytes, now);
                    self.wanted(wanted, now, &mut effects);
                }
                // Of a later link.
                _ => {}
            },
            Input::Known(ids) => self.known(ids, now, &mut effects),
            Input::Vouched { to, batch, signed } => {
                let wanted = self.witnesses.vouched(to, batch, signed, now);
                self.wanted(wanted, now, &mut effects);
            }
            Input::Failed(reason) => self.halt(reason, &mut effects),
        }
        // Now that all is known that follows from it.
        if !self.halted {
            self.expire(now, &mut effects);
            let collected = self.collector.tick(now);
            self.collected(collected, now, &mut effects);
        }
        effects
    }

    /// The channel would be suspended. True if nothing is here or under way and no timer is due before `soon`: then
    /// nothing more is begun.
    pub(crate) fn retire(&mut self, soon: Time) -> bool {
        self.collector.retire(soon)
    }

    fn halt(&mut self, reason: String, effects: &mut Vec<Effect>) {
        self.halted = true;
        effects.push(Effect::Halt(reason));
    }

    fn collected(&mut self, collected: Vec<CollectorEffect>, now: Time, effects: &mut Vec<Effect>) {
        for effect in collected {
            match effect {
                CollectorEffect::Propose(transactions) => {
                    let accepted = self.acceptor.propose(transactions, now);
                    self.accepted(accepted, now, effects);
                }
                CollectorEffect::Witness(transactions) => {
                    let wanted = self.witnesses.verified(transactions, now);
                    self.wanted(wanted, now, effects);
                }
                CollectorEffect::OutcomeLookup(lookups) => effects.push(Effect::OutcomeLookup(lookups)),
                CollectorEffect::Find(ids) => effects.push(Effect::Find(ids)),
                CollectorEffect::Reply(replies) => effects.push(Effect::Reply(replies)),
                CollectorEffect::WakeAt(time) => effects.push(Effect::WakeAt(time)),
                CollectorEffect::Halt(reason) => self.halt(reason, effects),
            }
            if self.halted {
                return;
            }
        }
    }

    fn wanted(&mut self, wanted: Vec<WitnessEffect>, now: Time, effects: &mut Vec<Effect>) {
        for effect in wanted {
            match effect {
                WitnessEffect::Vouch { to, batch, envelopes } => effects.push(Effect::Vouch { to, batch, envelopes }),
                WitnessEffect::Send { to, bytes } => effects.push(said(to, OF_WITNESSES, &bytes)),
                WitnessEffect::Passed(transactions) => {
                    let gone = self.collector.witnessed(transactions, now);
                    self.witnesses.gone(gone);
                }
                WitnessEffect::WakeAt(time) => effects.push(Effect::WakeAt(time)),
                WitnessEffect::Count(outcome) => effects.push(Effect::CountRequest(outcome)),
            }
        }
    }

    fn accepted(&mut self, accepted: Vec<AcceptorEffect>, now: Time, effects: &mut Vec<Effect>) {
        for effect in accepted {
            match effect {
                AcceptorEffect::Execute { parent, time, above, transactions } => {
                    let batches = self.witnesses.batches_of(&transactions);
                    effects.push(Effect::Execute { parent, time, above, transactions, batches });
                }
                AcceptorEffect::Check { parent, above, block } => effects.push(Effect::Check { parent, above, block }),
                AcceptorEffect::Lead { leader } => {
                    self.collector.lead(leader.is_some_and(|leader| leader == self.proposer));
                }
                AcceptorEffect::Append { block, seal } => effects.push(Effect::Append { block, seal }),
                AcceptorEffect::Apply(block) => effects.push(Effect::Apply(block)),
                AcceptorEffect::Checkpoint => effects.push(Effect::Checkpoint),
                AcceptorEffect::Discarded(discarded) => self.discarded(discarded, now, effects),
                AcceptorEffect::Persist { ticket, record, base } => {
                    effects.push(Effect::Persist { ticket, record, base });
                }
                AcceptorEffect::Send { to, bytes } => effects.push(said(to, TO_ORDERING, &bytes)),
                AcceptorEffect::WakeAt(time) => {
                    self.acceptor_wakes.insert(time);
                    effects.push(Effect::WakeAt(time));
                }
                AcceptorEffect::Ahead(ahead) => effects.push(Effect::CountAhead(ahead)),
                AcceptorEffect::Executed(offered) => self.executed(offered, now, effects),
                AcceptorEffect::Known(ids) => self.known(ids, now, effects),
                AcceptorEffect::Commit { block, own, receipts, next_timer, config } => {
                    self.committed(block, BlockOutcome { own, receipts, next_timer }, config, now, effects);
                }
                AcceptorEffect::Halt(reason) => self.halt(reason, effects),
            }
            if self.halted {
                return;
            }
        }
    }

    /// These are in the index.
    fn known(&mut self, ids: Vec<Hash>, now: Time, effects: &mut Vec<Effect>) {
        self.witnesses.gone(ids.iter().copied());
        let collected = self.collector.known(ids);
        self.collected(collected, now, effects);
    }

    /// What waits here, is offered for no block, and is over, ends.
    fn expire(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let Some(limit) = self.collector.expires(self.decided, now) else { return };
        let (gone, collected) = self.collector.expire(self.witnesses.not_passed(), limit, self.decided, now);
        self.witnesses.gone(gone);
        self.collected(collected, now, effects);
    }

    /// Blocks are discarded. What was in them waits again; where its witnesses are void, for others.
    fn discarded(&mut self, mut discarded: Discarded, now: Time, effects: &mut Vec<Effect>) {
        let mut void = Vec::new();
        for list in [Some(&mut discarded.transactions), discarded.offered.as_mut()].into_iter().flatten() {
            let holds = |one: &VerifiedTransaction| self.witnesses.knows(&one.id());
            let (good, other): (Vec<_>, Vec<_>) = std::mem::take(list).into_iter().partition(holds);
            *list = good;
            void.extend(other);
        }
        self.collector.discarded(discarded);
        if !void.is_empty() {
            let wanted = self.witnesses.verified(void, now);
            self.wanted(wanted, now, effects);
        }
    }

    /// A block was executed, and the next one may be cut.
    fn executed(&mut self, mut offered: Offered, now: Time, effects: &mut Vec<Effect>) {
        self.witnesses.gone(offered.dropped.iter().map(|(id, _)| *id));
        let dropped: Vec<_> = offered.dropped.iter().filter_map(|(_, refusal)| refusal.name()).collect();
        if self.acceptor.discards() {
            // Another peer's block may have it, earlier, if this one's is discarded.
            let expired =
                |refusal: &SubmitRefusal| matches!(refusal, SubmitRefusal::Rejected { code: ResultCode::Expired, .. });
            let dropped = offered.dropped.iter_mut().map(|(_, refusal)| refusal);
            dropped.filter(|refusal| expired(refusal)).for_each(|refusal| *refusal = SubmitRefusal::OutcomeUnknown);
        }
        if !offered.deferred.is_empty() || !dropped.is_empty() {
            effects.push(Effect::Count(Tally { deferred: offered.deferred.len(), dropped }));
        }
        let collected = self.collector.executed(offered);
        self.collected(collected, now, effects);
    }

    /// A block is committed, or nothing was left to do for one.
    fn committed(
        &mut self,
        block: Option<Arc<CommittedBlock>>,
        outcome: BlockOutcome,
        config: Option<Arc<ConfigRecord>>,
        now: Time,
        effects: &mut Vec<Effect>,
    ) {
        self.witnesses.gone(outcome.receipts.iter().map(|(id, _)| *id));
        self.decided = block.as_ref().map_or(self.decided, |block| block.block.header.time);
        let (collected, arrivals) = self.collector.committed(outcome);
        effects.extend(block.map(|block| Effect::Notify(Commit { block, config: config.clone(), arrivals })));
        let Some(record) = config else { return self.collected(collected, now, effects) };
        // Whoever waits for the block has its answer, also where it is the last of this peer's.
        let replies = collected.into_iter().filter_map(|effect| match effect {
            CollectorEffect::Reply(replies) => Some(Effect::Reply(replies)),
            _ => None,
        });
        effects.extend(replies);
        self.configure(&record, now, effects);
    }

    /// A configuration rules from now on.
    fn configure(&mut self, record: &ConfigRecord, now: Time, effects: &mut Vec<Effect>) {
        self.collector.set_limits(record.config.limits);
        if self.witnesses.configure(&record.config) {
            self.collector.set_witnessed(!self.witnesses.are_own());
            let offered = self.collector.unwitnessed();
            let wanted = self.witnesses.again(offered, now);
            self.wanted(wanted, now, effects);
        }
        // A block that this peer sealed from here on would be nobody's: its key is no orderer's any more.
        let orders = |peer: &OrderingPeer| peer.key.address() == self.proposer;
        if !record.config.peers.iter().any(orders) {
            return self.halt("the configuration no longer lets this peer order the channel".into(), effects);
        }
        let accepted = self.acceptor.configure(&record.config.peers);
        self.accepted(accepted, now, effects);
    }
}

#[cfg(test)]
mod tests;
