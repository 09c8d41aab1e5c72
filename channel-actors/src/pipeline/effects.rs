//! The effect loop of a channel: gives the machine its inputs and performs its effects. What blocks becomes [`Work`], which a
//! [`Shell`] has done somewhere and brings back: on the peer's pools for the actor that serves, one after the other in
//! virtual time for the simulator. Nothing is decided here.

use crate::block::error::{ChannelError, in_full};
use crate::block::execute;
use crate::block::execute::{Checking, Execution};
use crate::delivery::shared::Shared;
use crate::limits::{GO_ON_TRANSACTIONS_MAX, VERIFY_ALONE_MICROS_MAX};
use crate::pipeline::batcher::{Submitted, VerifyJob};
use crate::pipeline::door::Doors;
#[cfg(any(test, feature = "simulation"))]
use crate::pipeline::machine::Installed;
use crate::pipeline::machine::{ChannelMachine, Commit, Effect, Input, Tally};
use crate::pipeline::ordering::{Sealing, Ticket};
use crate::pipeline::outcomes;
use crate::pipeline::outcomes::{Found, OutcomeLookup};
use crate::pipeline::submission;
use crate::pipeline::submission::Credits;
use crate::pipeline::verifier::{Judging, Screened, Screening, Step};
use crate::pipeline::vouching::Vouching;
use crate::runtime::asker::Asker;
use crate::runtime::metrics::{ChannelMetrics, Stage};
use crate::store::{ChannelStore, Disk, DiskQuota};
use bytes::Bytes;
use ledger_classes::chain::{ExecutedBlock, Parent};
use ledger_classes::execution;
use ledger_classes::formats::blinding::BlindingSeed;
use ledger_classes::formats::block::WitnessedBatch;
use ledger_classes::formats::config::{ChannelConfig, Engine};
use ledger_classes::formats::outcome::ResultCode;
use ledger_classes::formats::transaction::VerifiedTransaction;
use ledger_classes::keys::{Address, SigningKey};
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use ledger_classes::state::participant::CertificatePaths;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Who is told of a channel's new configuration as its block is applied.
pub(crate) trait Configured: Send + Sync {
    /// A channel that is known has another configuration.
    fn configure(&self, name: &str, config: &ChannelConfig, certificates: &dyn CertificatePaths);
}

/// Where the work of a channel is done: its store, and what is known beside it.
pub(crate) struct Workplace {
    pub(crate) name: String,
    pub(crate) channel: Hash,
    pub(crate) certificates: Arc<dyn CertificatePaths>,
    pub(crate) doors: Doors,
    pub(crate) shared: Arc<Shared>,
    pub(crate) store: ChannelStore,
    pub(crate) metrics: ChannelMetrics,
    pub(crate) index: Arc<dyn Configured>,
    pub(crate) proposer: Address,
    /// What this peer seals and vouches with: that is its address.
    pub(crate) key: Arc<SigningKey>,
    pub(crate) credits: Arc<Credits>,
    /// The disk on which writes wait for room; none waits where there is none.
    pub(crate) disk: Option<Disk>,
    pub(crate) quota: DiskQuota,
    /// After this time of judging what a job verified others have a turn.
    pub(crate) verify_slice: Duration,
}

/// What is around a loop.
pub(crate) trait Shell {
    /// What the clock says.
    fn now(&self) -> Time;
    /// Whether other channels verify, too.
    fn crowded(&self) -> bool;
    /// Bytes that no sender can predict.
    fn seed(&mut self) -> [u8; 32];
    /// Starts work; its result goes to [`ChannelLoop::done`].
    fn run(&mut self, work: Work);
    /// Has [`ChannelLoop::tick`] called after so many milliseconds, or earlier.
    fn wake_in(&mut self, millis: u64);
    /// Puts a record of the ordering engine's on the disk, one that stands for all before it or not, and has
    /// [`Input::Persisted`] come then.
    fn persist(&mut self, ticket: Ticket, record: Vec<u8>, base: bool);
    /// Says something to another peer of the channel.
    fn send(&mut self, to: Address, bytes: Vec<u8>);
    /// The channel stops.
    fn halt(&mut self, reason: String);
}

/// A kind of work, by which it finds its threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of a shard, in a caller's turn.
    Verify {
        shard: usize,
        caller: Asker,
    },
    Execute,
    ToDisk,
    Checkpoint,
    OutcomeLookup,
}

impl Kind {
    /// What it is to fail at it.
    const fn failed(self) -> &'static str {
        match self {
            Self::Verify { .. } => "verification failed",
            Self::Execute => "execution failed",
            Self::ToDisk => "persisting failed",
            Self::Checkpoint => "a checkpoint failed",
            Self::OutcomeLookup => "looking for outcomes failed",
        }
    }

    const fn stage(self) -> Option<Stage> {
        match self {
            Self::Verify { .. } => Some(Stage::Verify),
            Self::Execute => Some(Stage::Execute),
            Self::ToDisk => Some(Stage::Persist),
            Self::Checkpoint | Self::OutcomeLookup => None,
        }
    }
}

/// Work that blocks.
#[must_use]
pub(crate) struct Work {
    pub(crate) kind: Kind,
    /// When it was asked for: it may have waited for its turn.
    asked: Instant,
    pub(crate) task: Task,
}

/// What is to be done.
pub(crate) enum Task {
    Screen(Box<Screening>, Vec<Submitted>),
    Judge(Box<Judging>),
    Vouch(Box<Vouching>),
    Execute(Box<Execution>, Vec<VerifiedTransaction>),
    Check(Box<Checking>, Bytes),
    ToDisk(Vec<ToDisk>),
    Checkpoint,
    OutcomeLookup(Vec<OutcomeLookup>),
    Tell(Found),
    Find(Vec<Hash>),
}

/// A step on a block's way to the disk and into the state.
pub(crate) enum ToDisk {
    Append(Arc<ExecutedBlock>, Sealing),
    Apply(Arc<ExecutedBlock>),
}

/// What came of work.
pub(crate) struct Outcome {
    pub(crate) kind: Kind,
    asked: Instant,
    /// What the machine is told, in order.
    pub(crate) inputs: Vec<Input>,
    screened: Option<Box<Screened>>,
    /// What is to be done next.
    more: Vec<Task>,
}

impl Work {
    fn new(kind: Kind, task: Task) -> Self {
        Self { kind, asked: Instant::now(), task }
    }

    /// Whether it is done sooner by the thread that asks for it than by another, which has to be woken.
    pub(crate) fn is_small(&self) -> bool {
        match &self.task {
            Task::Execute(_, transactions) => transactions.len() <= GO_ON_TRANSACTIONS_MAX,
            Task::ToDisk(steps) => steps.iter().all(|step| step.transactions() <= GO_ON_TRANSACTIONS_MAX),
            // What another peer has put into a block is not known yet.
            Task::Check(..) => false,
            Task::Vouch(vouching) => vouching.envelopes.is_none(),
            Task::Screen(..)
            | Task::Judge(_)
            | Task::Checkpoint
            | Task::OutcomeLookup(_)
            | Task::Tell(_)
            | Task::Find(_) => true,
        }
    }

    /// Whether it verifies so little, in nobody's own turn, that to hand on what comes of it would take as long.
    pub(crate) fn is_quick(&self) -> bool {
        let of_channel = matches!(self.kind, Kind::Verify { caller: Asker::PEER, .. });
        let quick =
            |batch: &[Submitted]| batch.iter().map(|arrival| arrival.cost).sum::<u64>() <= VERIFY_ALONE_MICROS_MAX;
        of_channel && matches!(&self.task, Task::Screen(_, batch) if quick(batch))
    }

    /// It will be done on a thread that verifies little: that remembers no keys.
    pub(crate) fn alone(&mut self) {
        if let Task::Screen(screening, _) = &mut self.task {
            screening.remembers = false;
        }
    }

    /// Begins an outcome that is made somewhere else.
    pub(crate) const fn outcome(&self) -> Outcome {
        Outcome { kind: self.kind, asked: self.asked, inputs: Vec::new(), screened: None, more: Vec::new() }
    }

    /// Does it. Blocking.
    pub(crate) fn run(self, place: &Workplace) -> Outcome {
        let mut outcome = self.outcome();
        if let Err(reason) = self.task.run(place, &mut outcome) {
            outcome.fail(&in_full(reason));
        }
        outcome
    }
}

impl Outcome {
    /// The work failed, or panicked. What was done before that was done.
    pub(crate) fn fail(&mut self, reason: &str) {
        self.more.clear();
        self.inputs.push(Input::Failed(format!("{}: {reason}", self.kind.failed())));
    }
}

impl Task {
    fn run(self, place: &Workplace, outcome: &mut Outcome) -> Result<(), ChannelError> {
        let store = &place.store;
        match self {
            Self::Screen(screening, batch) => screened(screening.screen(batch)?, outcome),
            Self::Judge(judging) => screened(judging.go_on()?, outcome),
            Self::Execute(execution, transactions) => {
                outcome.inputs.push(Input::Executed(execution.run(transactions)?));
            }
            Self::Vouch(vouching) => {
                let (to, batch, signed) = vouching.run();
                outcome.inputs.push(Input::Vouched { to, batch, signed });
            }
            Self::Check(checking, block) => outcome.inputs.push(Input::Checked(checking.run(&block)?)),
            Self::ToDisk(steps) => {
                for step in steps {
                    outcome.inputs.push(step.run(place)?);
                }
            }
            Self::Checkpoint => {
                place.room();
                store.checkpoint()?;
                place.quota.look_again(store.waiting_bytes());
                outcome.inputs.push(Input::Checkpointed);
            }
            Self::OutcomeLookup(lookups) => {
                let (refused, found) = outcomes::sort(store, lookups)?;
                place.refused(refused);
                outcome.more = found.into_iter().map(Task::Tell).collect();
            }
            Self::Tell(found) => outcomes::tell(store, found)?,
            Self::Find(ids) => {
                let places = store.transactions(&ids)?;
                let known = ids.into_iter().zip(places).filter_map(|(id, place)| place.map(|_| id)).collect();
                outcome.inputs.push(Input::Known(known));
            }
        }
        Ok(())
    }
}

fn screened(step: Step, outcome: &mut Outcome) {
    match step {
        Step::Done(screened) => outcome.screened = Some(screened),
        Step::Paused(judging) => outcome.more.push(Task::Judge(judging)),
    }
}

impl ToDisk {
    fn transactions(&self) -> usize {
        let (Self::Append(block, _) | Self::Apply(block)) = self;
        block.ids.len()
    }

    fn run(self, place: &Workplace) -> Result<Input, ChannelError> {
        let store = &place.store;
        match self {
            Self::Append(block, seal) => {
                let height = block.header.height;
                let sealed = seal.seal(&block, &place.key);
                let sealed = sealed.map_err(|invalid| ChannelError::from(invalid).at(height))?;
                place.room();
                let committed = execute::append(store, &block, sealed)?;
                // Encoded here, where it delays nobody.
                if place.shared.ring.is_waited_for() {
                    committed.contents();
                }
                Ok(Input::Appended(Arc::new(committed)))
            }
            Self::Apply(block) => {
                let pressure = execute::apply(store, &block)?;
                // Before anybody is told of the block: who may see the channel, and who reads it no more.
                place.shared.end(&execution::changed_marks(&block.writes)?);
                if let Some(record) = &block.config {
                    place.index.configure(&place.name, &record.config, &*place.certificates);
                }
                Ok(Input::Applied { height: block.header.height, pressure })
            }
        }
    }
}

impl Workplace {
    /// Waits until the disk has room.
    fn room(&self) {
        if let Some(disk) = &self.disk {
            disk.room();
        }
    }

    /// Counts transactions that were refused, by stable name.
    fn refused(&self, names: Vec<&'static str>) {
        let mut reasons = BTreeMap::<_, u64>::new();
        names.into_iter().for_each(|name| *reasons.entry(name).or_default() += 1);
        reasons.into_iter().for_each(|(name, count)| self.metrics.refused(name, count));
    }

    /// Counts what was offered for a block and is not in it.
    fn count(&self, Tally { deferred, dropped }: Tally) {
        self.metrics.deferred(deferred);
        dropped.iter().for_each(|name| self.metrics.dropped(name));
        self.refused(dropped);
    }

    /// Makes a block visible: to queries before anybody is told.
    fn commit(&self, Commit { block, config, arrivals }: Commit) {
        // Receipts of timers come first.
        let own = block.receipts.len().saturating_sub(block.block.transactions.len());
        let mut results = BTreeMap::<u16, u64>::new();
        block.receipts.iter().skip(own).for_each(|receipt| *results.entry(receipt.head.code).or_default() += 1);
        for (code, count) in results {
            let name = ResultCode::from_number(code).map_or("unknown", ResultCode::name);
            self.metrics.committed(name, count);
        }
        let configures = config.is_some();
        self.shared.commit(&block, config);
        self.metrics.height(block.block.header.height);
        // Rights may have changed: then it is every subscriber's matter.
        let all = self.shared.has_just_ended() || configures;
        // What this does for all subscribers together is bounded (`LOOKS_MAX`), so none can delay it.
        self.shared.ring.publish(block, all);
        for arrived in arrivals {
            self.metrics.stage(Stage::EndToEnd, arrived.elapsed());
        }
        self.metrics.in_flight(self.credits.used().0);
    }
}

/// The loop.
pub(crate) struct ChannelLoop<S> {
    machine: ChannelMachine,
    pub(crate) place: Arc<Workplace>,
    pub(crate) shell: S,
}

impl<S: Shell> ChannelLoop<S> {
    pub(crate) fn new(machine: ChannelMachine, place: Arc<Workplace>, shell: S) -> Self {
        Self { machine, place, shell }
    }

    /// Transactions that have their credits arrive.
    pub(crate) fn submit(&mut self, arrivals: Vec<Submitted>) {
        let crowded = self.shell.crowded();
        self.on([Input::Submit { arrivals, crowded }]);
    }

    /// Work has come to an end, or has had its turn.
    pub(crate) fn done(&mut self, outcome: Outcome) {
        let Outcome { kind, asked, mut inputs, screened, more } = outcome;
        for task in more {
            // It goes on with what was asked for then.
            self.shell.run(Work { kind, asked, task });
        }
        if let (Some(screened), Kind::Verify { shard, .. }) = (screened, kind) {
            self.place.refused(screened.refused.clone());
            inputs.push(Input::Verified { shard, screened, crowded: self.shell.crowded() });
        }
        if let Some(stage) = kind.stage().filter(|_| !inputs.is_empty()) {
            self.place.metrics.stage(stage, asked.elapsed());
        }
        self.on(inputs);
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self) {
        self.on([Input::Tick]);
    }

    /// The store is another one from now on.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn install(&mut self, place: Arc<Workplace>, installed: Installed) {
        self.place = place;
        self.on([Input::Install(Box::new(installed))]);
    }

    /// See [`ChannelMachine::retire`].
    pub(crate) fn retire(&mut self, soon: Time) -> bool {
        self.machine.retire(soon)
    }

    /// Gives the machine inputs and does what it wants.
    pub(crate) fn on(&mut self, inputs: impl IntoIterator<Item = Input>) {
        let now = self.shell.now();
        for input in inputs {
            let effects = self.machine.on(input, now);
            self.perform(effects, now);
        }
    }

    fn perform(&mut self, effects: Vec<Effect>, now: Time) {
        // The disk is what everybody waits for, so it comes first; and steps on a block's way there wait for one turn.
        let (mut steps, mut others) = (Vec::new(), Vec::with_capacity(effects.len()));
        for effect in effects {
            match effect {
                Effect::Append { block, seal } => steps.push(ToDisk::Append(block, seal)),
                Effect::Apply(block) => steps.push(ToDisk::Apply(block)),
                other => others.push(other),
            }
        }
        if !steps.is_empty() {
            self.shell.run(Work::new(Kind::ToDisk, Task::ToDisk(steps)));
        }
        for effect in others {
            match effect {
                Effect::Append { .. } | Effect::Apply(_) => {}
                Effect::Verify(job) => self.verify(job, now),
                Effect::Execute { parent, time, above, transactions, batches } => {
                    self.execute(parent, time, above, transactions, batches);
                }
                Effect::Vouch { to, batch, envelopes } => {
                    // What another peer asks for has its own turns among those who wait for verification.
                    let caller = match &envelopes {
                        Some(_) => Asker::named(&to.to_string()),
                        None => Asker::PEER,
                    };
                    let (channel, key, seed) = (self.place.channel, self.place.key.clone(), self.shell.seed());
                    let vouching = Vouching { channel, key, seed, to, batch, envelopes };
                    let kind = Kind::Verify { shard: 0, caller };
                    self.shell.run(Work::new(kind, Task::Vouch(Box::new(vouching))));
                }
                Effect::Check { parent, above, block } => {
                    let place = &self.place;
                    let (store, certificates) = (place.store.clone(), place.certificates.clone());
                    let checking = Checking { store, certificates, parent, above, seed: self.shell.seed() };
                    self.shell.run(Work::new(Kind::Execute, Task::Check(Box::new(checking), block)));
                }
                Effect::Checkpoint => self.shell.run(Work::new(Kind::Checkpoint, Task::Checkpoint)),
                Effect::OutcomeLookup(lookups) => {
                    self.shell.run(Work::new(Kind::OutcomeLookup, Task::OutcomeLookup(lookups)))
                }
                Effect::Find(ids) => self.shell.run(Work::new(Kind::OutcomeLookup, Task::Find(ids))),
                Effect::Persist { ticket, record, base } => self.shell.persist(ticket, record, base),
                Effect::Send { to, bytes } => self.shell.send(to, bytes),
                Effect::Count(tally) => self.place.count(tally),
                Effect::CountAhead(ahead) => self.place.metrics.ahead(ahead.text()),
                Effect::CountRequest(outcome) => self.place.metrics.witness_request(outcome),
                Effect::Notify(commit) => self.place.commit(commit),
                Effect::Reply(replies) => submission::give(replies),
                Effect::WakeAt(time) => self.shell.wake_in(time.millis_since(now)),
                Effect::Halt(reason) => self.shell.halt(reason),
            }
        }
    }

    fn verify(&mut self, VerifyJob { shard, sequence, caller, batch }: VerifyJob, now: Time) {
        let place = &self.place;
        let (config, tip) = (place.shared.config(), place.shared.tip());
        let decided = match config.config.engine {
            Engine::Solo => Time::from_millis(u64::MAX),
            Engine::Raft | Engine::Bft => tip.time,
        };
        let screening = Screening {
            channel: place.channel,
            sequence,
            config,
            store: place.store.clone(),
            certificates: place.certificates.clone(),
            doors: place.doors.clone(),
            quota: place.quota.clone(),
            // What execution will judge by, as far as it is known: block time may be ahead of this clock.
            now: now.max(tip.time),
            decided,
            seed: self.shell.seed(),
            slice: place.verify_slice,
            remembers: true,
        };
        self.shell.run(Work::new(Kind::Verify { shard, caller }, Task::Screen(Box::new(screening), batch)));
    }

    fn execute(
        &mut self,
        parent: Parent,
        time: Time,
        above: Vec<Arc<ExecutedBlock>>,
        transactions: Vec<VerifiedTransaction>,
        batches: Vec<WitnessedBatch>,
    ) {
        let place = &self.place;
        let execution = Execution {
            store: place.store.clone(),
            quota: place.quota.clone(),
            certificates: place.certificates.clone(),
            proposer: place.proposer,
            batches,
            parent,
            time,
            seed: BlindingSeed::new(self.shell.seed()),
            above,
        };
        self.shell.run(Work::new(Kind::Execute, Task::Execute(Box::new(execution), transactions)));
    }
}
