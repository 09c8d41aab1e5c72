//! The acceptor, a part of the machine: has blocks executed, ordered, appended to the log and applied to the state, and
//! only then reports. Nothing uncommitted is ever visible.
//!
//! Being ahead of a clock is no rule of validity (decision 34): a valid block of another peer's is withheld until this peer's
//! clock is there, unless it is final already.
//!
//! At most one execution, one block on its way to the disk and one checkpoint are under way; an execution overlaps the
//! appending of the block before.
//! Always, and asserted: applied <= durable <= final <= executed, each block in the order of height. The one orderer of
//! `solo` makes a block final by its seal, which the log holds with the block: so it is final before it is durable, and
//! nobody is told of it before it is both. Where an engine promises something to others, what it promises by is on the disk
//! first: its messages wait for their records.

mod ahead;

use crate::block::committed::CommittedBlock;
use crate::block::execute::{ExecutionResult, Offered};
use crate::limits::{AHEAD_MS_MAX, UNSENT_BYTES_MAX, UNSENT_MAX};
use crate::pipeline::ordering::{OrderingEffect, OrderingEngine, OrderingInput, Sealing, Ticket};
use crate::runtime::mutants::{Mutant, planted};
use crate::store::Pressure;
pub(crate) use ahead::Ahead;
use bytes::Bytes;
use ledger_classes::chain::{ExecutedBlock, Parent};
use ledger_classes::execution::ConfigRecord;
use ledger_classes::formats::config::OrderingPeer;
use ledger_classes::formats::receipt::Receipt;
use ledger_classes::formats::transaction::VerifiedTransaction;
use ledger_classes::keys::Address;
use ledger_classes::merkle::CompactRange;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Effects of the acceptor.
#[must_use]
pub(crate) enum AcceptorEffect {
    /// Execute on a store thread.
    Execute { parent: Parent, time: Time, above: Vec<Arc<ExecutedBlock>>, transactions: Vec<VerifiedTransaction> },
    /// Execute a block that another peer proposes on a store thread.
    Check { parent: Parent, above: Vec<Arc<ExecutedBlock>>, block: Bytes },
    /// Tell the collector whether this peer proposes.
    Lead { leader: Option<Address> },
    /// Tell the collector that the next block may be cut, and what did not get into this one.
    Executed(Offered),
    /// Tell the collector which transactions were committed before.
    Known(Vec<Hash>),
    /// Append a final block to the log.
    Append { block: Arc<ExecutedBlock>, seal: Sealing },
    /// Apply a block to the state, if it is in the log.
    Apply(Arc<ExecutedBlock>),
    /// Write a checkpoint on a store thread.
    Checkpoint,
    /// Tell what is committed.
    Commit {
        /// The block, unless nothing was left to do.
        block: Option<Arc<CommittedBlock>>,
        /// Whether the collector has proposed it.
        own: bool,
        /// Outcomes for those who wait.
        receipts: Vec<(Hash, Arc<Receipt>)>,
        next_timer: Option<Time>,
        config: Option<Arc<ConfigRecord>>,
    },
    /// Tell the collector of discarded blocks.
    Discarded(Discarded),
    /// Put a record of the engine's on the disk.
    Persist { ticket: Ticket, record: Vec<u8>, base: bool },
    /// Send a message to another peer.
    Send { to: Address, bytes: Vec<u8> },
    /// Have the time told then.
    WakeAt(Time),
    /// A block of another peer's is ahead of this peer's clock.
    Ahead(Ahead),
    /// Stop the channel.
    Halt(String),
}

/// Blocks that did not become final.
pub(crate) struct Discarded {
    /// Number of proposals discarded.
    pub(crate) blocks: usize,
    /// Their transactions, in order.
    pub(crate) transactions: Vec<VerifiedTransaction>,
    /// Transactions of the discarded block that had not executed.
    pub(crate) offered: Option<Vec<VerifiedTransaction>>,
    /// The next timer above what stays.
    pub(crate) next_timer: Option<Time>,
}

/// A block that is executed and not yet applied.
struct UnderWay {
    block: Arc<ExecutedBlock>,
    /// Restored if the block is discarded: its parent's state, and the transactions offered for it, or for a later block that
    /// found them here.
    before: (Parent, CompactRange, Option<Time>),
    offered: Vec<VerifiedTransaction>,
    /// Whether this peer has proposed it.
    own: bool,
}

/// A block of another peer's that is to be executed.
struct RemoteBlock {
    height: u64,
    block: Bytes,
    /// It is final, or was accepted here before.
    settled: bool,
}

/// One that is being executed, or was and is withheld.
struct RemoteExecution {
    height: u64,
    settled: bool,
    /// The engine discarded the block.
    discarded: bool,
    /// It is valid, and ahead of this peer's clock.
    withheld: Option<Arc<ExecutedBlock>>,
}

/// The state of an acceptor.
pub(crate) struct Acceptor {
    engine: Box<dyn OrderingEngine>,
    /// Hashes of all headers up to the last executed one.
    history: CompactRange,
    /// The last executed block.
    parent: Parent,
    next_timer: Option<Time>,
    /// Executed and not yet applied, ascending.
    under_way: VecDeque<UnderWay>,
    /// Seals of blocks that are not yet given to the log.
    seals: BTreeMap<u64, Sealing>,
    /// Progress of blocks.
    heights: Heights,
    /// A block was given to the log and is not applied.
    to_disk: bool,
    /// In the log, and not applied yet.
    appended: Option<Arc<CommittedBlock>>,
    checkpointing: bool,
    /// Too much waits for a checkpoint: nothing goes to the disk before it is done.
    must_wait: bool,
    /// What is executed next, with the time of its block: when blocks of other peers that are below it are executed, those
    /// that change who orders are applied, and the checkpoint that it waits for is done.
    held: Option<Vec<VerifiedTransaction>>,
    waits_for_checkpoint: bool,
    /// Blocks of other peers that wait for their execution, ascending, and the one that has it.
    remote: VecDeque<RemoteBlock>,
    checking: Option<RemoteExecution>,
    time: Time,
    /// A copy of what is being executed, if the engine may discard it.
    offered: Vec<VerifiedTransaction>,
    executing: bool,
    /// Transactions of its parent, if that was discarded.
    stale: Option<(usize, Vec<VerifiedTransaction>)>,
    /// The last record of the engine's on the disk, and what waits for others.
    persisted: Option<Ticket>,
    unsent: Vec<(Option<Ticket>, Address, Vec<u8>)>,
}

/// Progress of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Heights {
    applied: u64,
    durable: u64,
    last_final: u64,
    executed: u64,
}

impl Heights {
    /// Panics where one is ahead of another: then nothing that is known of the channel holds.
    fn check(self) {
        let Self { applied, durable, last_final, executed } = self;
        assert!(applied <= durable && durable <= last_final && last_final <= executed, "{self:?}");
        assert!(durable - applied <= 1, "one block at a time: {self:?}");
    }
}

impl Acceptor {
    /// Goes on above a block that is on disk.
    pub(crate) fn new(
        engine: Box<dyn OrderingEngine>,
        history: CompactRange,
        parent: Parent,
        next_timer: Option<Time>,
    ) -> Self {
        let height = parent.height;
        Self {
            engine,
            history,
            parent,
            next_timer,
            under_way: VecDeque::new(),
            seals: BTreeMap::new(),
            heights: Heights { applied: height, durable: height, last_final: height, executed: height },
            to_disk: false,
            appended: None,
            checkpointing: false,
            must_wait: false,
            held: None,
            waits_for_checkpoint: false,
            remote: VecDeque::new(),
            checking: None,
            time: Time::ZERO,
            offered: Vec::new(),
            executing: false,
            stale: None,
            persisted: None,
            unsent: Vec::new(),
        }
    }

    /// The collector has cut a block.
    pub(crate) fn propose(&mut self, transactions: Vec<VerifiedTransaction>, now: Time) -> Vec<AcceptorEffect> {
        self.time = now;
        self.held = Some(transactions);
        self.next_execution().into_iter().collect()
    }

    /// Whether what was executed may come to nothing, and with it what its time said of a transaction.
    pub(crate) fn discards(&self) -> bool {
        self.engine.discards()
    }

    /// Whether a block under way sets a configuration: nobody proposes above it before it is known to stay, since it may
    /// change who orders, and what has to be witnessed.
    fn turns(&self) -> bool {
        self.under_way.iter().any(|under_way| under_way.block.config.is_some())
    }

    fn above(&self) -> Vec<Arc<ExecutedBlock>> {
        self.under_way.iter().map(|under_way| under_way.block.clone()).collect()
    }

    fn execute(&mut self, transactions: Vec<VerifiedTransaction>) -> AcceptorEffect {
        self.executing = true;
        if self.engine.discards() {
            self.offered = transactions.clone();
        }
        let (parent, above) = (self.parent, self.above());
        AcceptorEffect::Execute { parent, time: parent.time_at(self.time), above, transactions }
    }

    /// Has the next block of another peer's executed, or else what waits for those.
    fn next_execution(&mut self) -> Option<AcceptorEffect> {
        if self.executing || self.checking.is_some() {
            return None;
        }
        if let Some(RemoteBlock { height, block, settled }) = self.remote.pop_front() {
            self.checking = Some(RemoteExecution { height, settled, discarded: false, withheld: None });
            return Some(AcceptorEffect::Check { parent: self.parent, above: self.above(), block });
        }
        if self.held.is_none() || self.waits_for_checkpoint || self.turns() {
            return None;
        }
        let held = self.held.take()?;
        Some(self.execute(held))
    }

    /// Takes the execution of another peer's block: executed, or invalid.
    pub(crate) fn checked(&mut self, block: Option<Arc<ExecutedBlock>>, now: Time) -> Vec<AcceptorEffect> {
        let Some(checking) = self.checking.as_mut().filter(|checking| checking.withheld.is_none()) else {
            return vec![AcceptorEffect::Halt("a block was checked that nobody asked for".into())];
        };
        if checking.discarded {
            self.checking = None;
            return self.next_execution().into_iter().collect();
        }
        let Some(block) = block else { return self.answer(None) };
        checking.withheld = Some(block);
        let mut effects = self.arrive(now);
        if self.checking.as_ref().is_some_and(|checking| checking.withheld.is_some()) {
            effects.push(AcceptorEffect::Ahead(Ahead::Withheld));
        }
        effects
    }

    /// Accepts the block that is withheld, if the clock is there; refuses it, if the clock is too far away. That a block is ahead
    /// of a clock makes it no less valid, so what is final is not asked.
    fn arrive(&mut self, now: Time) -> Vec<AcceptorEffect> {
        let Some(RemoteExecution { withheld: Some(block), settled, .. }) = &self.checking else { return Vec::new() };
        let (block, time) = (block.clone(), block.header.time);
        if *settled || time <= now || planted(Mutant::ClockNotAsked) {
            return self.answer(Some(block));
        }
        if time.millis_since(now) <= AHEAD_MS_MAX {
            return vec![AcceptorEffect::WakeAt(time)];
        }
        let mut effects = vec![AcceptorEffect::Ahead(Ahead::Refused)];
        effects.extend(self.answer(None));
        effects
    }

    /// Tells the engine what became of the block of another peer's that has its turn.
    fn answer(&mut self, block: Option<Arc<ExecutedBlock>>) -> Vec<AcceptorEffect> {
        let Some(RemoteExecution { height, settled, .. }) = self.checking.take() else { return Vec::new() };
        let valid = block.is_some();
        if settled && !valid {
            return vec![AcceptorEffect::Halt(format!(
                "block {height} is final, or was accepted here, and is no valid one"
            ))];
        }
        if let Some(block) = block {
            self.take_executed(block, Vec::new(), false);
        }
        let mut effects = self.ordered(OrderingInput::Executed { height, valid });
        effects.extend(self.next_execution());
        effects
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Time) -> Vec<AcceptorEffect> {
        let mut effects = self.arrive(now);
        effects.extend(self.ordered(OrderingInput::Tick { now }));
        effects
    }

    fn take_executed(&mut self, block: Arc<ExecutedBlock>, offered: Vec<VerifiedTransaction>, own: bool) {
        let before = (self.parent, self.history.clone(), self.next_timer);
        self.next_timer = block.next_timer;
        let _ = self.history.append(ledger_classes::merkle::leaf_hash(&block.hash.0));
        self.parent = Parent::of(&block.header, block.hash, &self.history);
        self.heights.executed = block.header.height;
        self.under_way.push_back(UnderWay { block, before, offered, own });
    }

    /// An execution is done.
    pub(crate) fn executed(&mut self, result: ExecutionResult) -> Vec<AcceptorEffect> {
        self.executing = false;
        let offered_before = std::mem::take(&mut self.offered);
        if let Some((blocks, transactions)) = self.stale.take() {
            let mut effects = vec![self.discarded(blocks + 1, transactions, Some(offered_before))];
            effects.extend(self.next_execution());
            return effects;
        }
        let ExecutionResult { block, committed, offered, held } = result;
        if !held.is_empty() {
            // Nothing else is executed meanwhile: after a few checkpoints nothing waits for one.
            self.held = Some(held);
            self.waits_for_checkpoint = true;
            return self.checkpoint().into_iter().collect();
        }
        let offered_before = self.leave_to_holders(offered_before);
        let mut effects = vec![AcceptorEffect::Executed(offered)];
        if !committed.is_empty() {
            effects.push(AcceptorEffect::Known(committed));
        }
        let Some(block) = block else {
            let next_timer = self.next_timer;
            let (block, own) = (None, true);
            effects.push(AcceptorEffect::Commit { block, own, receipts: Vec::new(), next_timer, config: None });
            effects.extend(self.next_execution());
            return effects;
        };
        self.take_executed(block.clone(), offered_before, true);
        effects.extend(self.ordered(OrderingInput::Propose { block: &block }));
        effects.extend(self.next_execution());
        effects
    }

    /// Hands transactions that another peer's block under way holds to that block, which returns them if it is discarded.
    /// Returns the rest.
    fn leave_to_holders(&mut self, offered: Vec<VerifiedTransaction>) -> Vec<VerifiedTransaction> {
        let mut rest = Vec::with_capacity(offered.len());
        for one in offered {
            match self.under_way.iter_mut().find(|under_way| under_way.block.receipt_of(&one.id()).is_some()) {
                Some(holder) => holder.offered.push(one),
                None => rest.push(one),
            }
        }
        rest
    }

    /// Tells the engine something, and does what it wants.
    pub(crate) fn ordered(&mut self, input: OrderingInput<'_>) -> Vec<AcceptorEffect> {
        if let OrderingInput::Persisted { ticket } = input {
            self.persisted = self.persisted.max(Some(ticket));
        }
        let mut effects = Vec::new();
        for effect in self.engine.on(input) {
            match effect {
                OrderingEffect::Persist { ticket, record, base } => {
                    effects.push(AcceptorEffect::Persist { ticket, record, base });
                }
                OrderingEffect::Send { to, bytes, after } => {
                    let waits = self.unsent.iter().map(|(.., bytes)| bytes.len()).sum::<usize>();
                    let room = self.unsent.len() < UNSENT_MAX && waits + bytes.len() <= UNSENT_BYTES_MAX;
                    match room || after <= self.persisted {
                        true => self.unsent.push((after, to, bytes)),
                        false => tracing::warn!(%to, "a message of the ordering engine's found no room"),
                    }
                }
                OrderingEffect::Execute { height, block } => {
                    self.remote.push_back(RemoteBlock { height, block, settled: false });
                }
                OrderingEffect::Settled { height } => self.settle(height),
                OrderingEffect::Lead { leader } => effects.push(AcceptorEffect::Lead { leader }),
                OrderingEffect::Final { height } => {
                    if height != self.heights.last_final + 1 || height > self.heights.executed {
                        effects.push(AcceptorEffect::Halt(format!("block {height} was final but is not under way")));
                        return effects;
                    }
                    self.heights.last_final = height;
                }
                OrderingEffect::Seal { height, seal } => {
                    if height <= self.heights.durable || height > self.heights.executed {
                        effects.push(AcceptorEffect::Halt(format!("block {height} was sealed but is not under way")));
                        return effects;
                    }
                    self.seals.insert(height, seal);
                }
                OrderingEffect::Discard { from } => {
                    if from <= self.heights.last_final {
                        effects.push(AcceptorEffect::Halt(format!("block {from} is final and was to be discarded")));
                        return effects;
                    }
                    effects.extend(self.discard(from));
                }
                OrderingEffect::WakeAt(time) => effects.push(AcceptorEffect::WakeAt(time)),
                OrderingEffect::Halt(reason) => effects.push(AcceptorEffect::Halt(reason)),
            }
        }
        let persisted = self.persisted;
        let may = |after: Option<Ticket>| after <= persisted || planted(Mutant::RecordedBeforeSync);
        for (_, to, bytes) in self.unsent.extract_if(.., |(after, _, _)| may(*after)) {
            effects.push(AcceptorEffect::Send { to, bytes });
        }
        effects.extend(self.next_to_disk());
        if let Some(RemoteExecution { withheld: Some(block), settled: true, .. }) = &self.checking {
            let block = block.clone();
            effects.extend(self.answer(Some(block)));
        }
        effects.extend(self.next_execution());
        effects
    }

    /// The block that was named for this height is final, or was accepted here before.
    fn settle(&mut self, height: u64) {
        self.remote.iter_mut().filter(|block| block.height == height).for_each(|block| block.settled = true);
        let checking = self.checking.iter_mut().filter(|checking| checking.height == height && !checking.discarded);
        checking.for_each(|checking| checking.settled = true);
    }

    /// Discards blocks from this height on.
    fn discard(&mut self, from: u64) -> Option<AcceptorEffect> {
        self.remote.retain(|block| block.height < from);
        if let Some(checking) = self.checking.as_mut().filter(|checking| checking.height >= from) {
            checking.discarded = true;
            // What is not being executed any more is brought back by nobody.
            if checking.withheld.is_some() {
                self.checking = None;
            }
        }
        let stay = |under_way: &UnderWay| under_way.block.header.height < from;
        let gone = self.under_way.split_off(self.under_way.iter().take_while(|block| stay(block)).count());
        let mut transactions = Vec::new();
        let blocks = gone.iter().filter(|under_way| under_way.own).count();
        let mut first = None;
        for UnderWay { block, before, offered, .. } in gone {
            self.seals.remove(&block.header.height);
            // The others were told, or wait again already.
            transactions.extend(offered.into_iter().filter(|one| block.receipt_of(&one.id()).is_some()));
            first.get_or_insert(before);
        }
        if planted(Mutant::DiscardForgets) {
            transactions.clear();
        }
        let (parent, history, next_timer) = first?;
        (self.parent, self.history, self.next_timer) = (parent, history, next_timer);
        self.heights.executed = self.parent.height;
        self.heights.check();
        if self.executing {
            // It comes to nothing; what is offered for it is known when it is brought back.
            let (more, mut behind) = self.stale.take().unwrap_or_default();
            transactions.append(&mut behind);
            self.stale = Some((blocks + more, transactions));
            return None;
        }
        let offered = self.held.take();
        let blocks = blocks + usize::from(offered.is_some());
        self.waits_for_checkpoint = false;
        Some(self.discarded(blocks, transactions, offered))
    }

    fn discarded(
        &self,
        blocks: usize,
        transactions: Vec<VerifiedTransaction>,
        offered: Option<Vec<VerifiedTransaction>>,
    ) -> AcceptorEffect {
        AcceptorEffect::Discarded(Discarded { blocks, transactions, offered, next_timer: self.next_timer })
    }

    /// Who orders above a block that is final.
    pub(crate) fn configure(&mut self, peers: &[OrderingPeer]) -> Vec<AcceptorEffect> {
        self.ordered(OrderingInput::Configure { peers })
    }

    /// Has the next final block appended and applied, if there is one and it may be.
    fn next_to_disk(&mut self) -> Vec<AcceptorEffect> {
        if self.to_disk || self.must_wait || self.heights.last_final == self.heights.applied {
            return Vec::new();
        }
        self.heights.check();
        let next = self.under_way.front().map(|under_way| under_way.block.clone());
        let sealed = next.and_then(|block| Some((self.seals.remove(&block.header.height)?, block)));
        let Some((seal, block)) = sealed else { return Vec::new() };
        self.to_disk = true;
        vec![AcceptorEffect::Append { block: block.clone(), seal }, AcceptorEffect::Apply(block)]
    }

    /// A block is in the log.
    pub(crate) fn appended(&mut self, block: Arc<CommittedBlock>) -> Vec<AcceptorEffect> {
        let height = block.block.header.height;
        if height != self.heights.durable + 1 || self.appended.is_some() {
            return vec![AcceptorEffect::Halt(format!("block {height} was appended out of order"))];
        }
        self.heights.durable = height;
        self.heights.check();
        self.appended = Some(block);
        Vec::new()
    }

    /// A block is applied.
    pub(crate) fn applied(&mut self, height: u64, pressure: Pressure) -> Vec<AcceptorEffect> {
        let appended = self.appended.take().filter(|block| block.block.header.height == height);
        let executed = self.under_way.pop_front().map(|under_way| (under_way.block, under_way.own));
        let executed = executed.filter(|(executed, _)| executed.header.height == height);
        let (Some(block), Some((executed, own))) = (appended, executed) else {
            return vec![AcceptorEffect::Halt(format!("block {height} was applied out of order"))];
        };
        self.heights.applied = height;
        self.to_disk = false;
        self.heights.check();
        let receipt = |(id, index): &(Hash, u32)| Some((*id, executed.receipts.get(*index as usize)?.clone()));
        let receipts = executed.ids.iter().filter_map(receipt).collect();
        let (next_timer, config) = (executed.next_timer, executed.config.clone());
        let mut effects = Vec::new();
        if config.is_some()
            && let Some(held) = self.held.take()
        {
            // It was cut under a configuration that rules no more.
            self.waits_for_checkpoint = false;
            effects.push(self.discarded(1, Vec::new(), Some(held)));
        }
        effects.push(AcceptorEffect::Commit { block: Some(block), own, receipts, next_timer, config });
        self.must_wait = pressure == Pressure::Wait;
        if pressure != Pressure::None {
            effects.extend(self.checkpoint());
        }
        effects.extend(self.ordered(OrderingInput::Appended { height }));
        effects
    }

    /// The state is another one, whose log ends with `parent`: what was under way comes to nothing.
    pub(crate) fn install(
        &mut self,
        parent: Parent,
        history: CompactRange,
        next_timer: Option<Time>,
    ) -> Vec<AcceptorEffect> {
        if self.to_disk || parent.height < self.heights.applied {
            let reason = "a state was installed that is older, or while a block was on its way to the disk";
            return vec![AcceptorEffect::Halt(reason.into())];
        }
        let height = parent.height;
        self.heights.last_final = self.heights.applied;
        let mut effects: Vec<_> = self.discard(self.heights.applied + 1).into_iter().collect();
        // What is executed now is executed above what is no longer there.
        if self.executing && self.stale.is_none() {
            self.stale = Some((0, Vec::new()));
        }
        (self.parent, self.history, self.next_timer) = (parent, history, next_timer);
        self.heights = Heights { applied: height, durable: height, last_final: height, executed: height };
        effects.extend(self.ordered(OrderingInput::Installed { height }));
        effects
    }

    /// A checkpoint is due.
    pub(crate) fn checkpoint(&mut self) -> Option<AcceptorEffect> {
        if self.checkpointing {
            return None;
        }
        self.checkpointing = true;
        Some(AcceptorEffect::Checkpoint)
    }

    /// A checkpoint is done.
    pub(crate) fn checkpointed(&mut self) -> Vec<AcceptorEffect> {
        self.checkpointing = false;
        self.must_wait = false;
        self.waits_for_checkpoint = false;
        let mut effects = self.next_to_disk();
        effects.extend(self.next_execution());
        effects
    }
}

#[cfg(test)]
mod tests;
