//! The acceptor, a part of the machine: has blocks executed, ordered, appended to the log and applied to the state, and
//! only then reports. Nothing uncommitted is ever visible.
//!
//! At most one execution, one block on its way to the disk and one checkpoint are under way; an execution overlaps the
//! appending of the block before.
//! Always, and asserted: applied <= durable <= final <= executed, each block in the order of height. The one orderer of
//! `solo` makes a block final by its seal, which the log holds with the block: so it is final before it is durable, and
//! nobody is told of it before it is both.

use crate::committed::CommittedBlock;
use crate::ordering::{OrderingEffect, OrderingEngine, OrderingInput};
use crate::production::{ExecutionResult, Offered};
use crate::store::Pressure;
use ledger_classes::block::Seal;
use ledger_classes::chain::{ExecutedBlock, Parent};
use ledger_classes::execution::ConfigRecord;
use ledger_classes::hash::Hash;
use ledger_classes::merkle::CompactRange;
use ledger_classes::receipt::Receipt;
use ledger_classes::time::Time;
use ledger_classes::transaction::VerifiedTransaction;
use std::collections::VecDeque;
use std::sync::Arc;

/// What the acceptor wants done.
#[must_use]
pub(crate) enum AcceptorEffect {
    /// Execute on a store thread.
    Execute { parent: Parent, time: Time, above: Vec<Arc<ExecutedBlock>>, transactions: Vec<VerifiedTransaction> },
    /// Tell the collector that the next block may be cut, and what did not get into this one.
    Executed(Offered),
    /// Tell the collector which transactions were committed before.
    Known(Vec<Hash>),
    /// Append a final block to the log.
    Append { block: Arc<ExecutedBlock>, seal: Seal },
    /// Apply a block to the state, if it is in the log.
    Apply(Arc<ExecutedBlock>),
    /// Write a checkpoint on a store thread.
    Checkpoint,
    /// Tell what is committed.
    Commit {
        /// The block, unless nothing was left to do.
        block: Option<Arc<CommittedBlock>>,
        /// Outcomes for those who wait.
        receipts: Vec<(Hash, Arc<Receipt>)>,
        next_timer: Option<Time>,
        config: Option<Arc<ConfigRecord>>,
    },
    /// Stop the channel.
    Halt(String),
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
    under_way: VecDeque<Arc<ExecutedBlock>>,
    /// Final and not yet given to the log, ascending.
    sealed: VecDeque<(Arc<ExecutedBlock>, Seal)>,
    /// How far blocks have come: final, on the disk, applied.
    heights: Heights,
    /// In the log, and not applied yet.
    appended: Option<Arc<CommittedBlock>>,
    checkpointing: bool,
    /// Too much waits for a checkpoint: nothing is persisted before it is done.
    must_wait: bool,
    /// What is executed when a checkpoint is done, with the time of its block.
    held: Vec<VerifiedTransaction>,
    time: Time,
}

/// How far blocks have come.
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
        Self {
            engine,
            history,
            parent,
            next_timer,
            under_way: VecDeque::new(),
            sealed: VecDeque::new(),
            heights: Heights {
                applied: parent.height,
                durable: parent.height,
                last_final: parent.height,
                executed: parent.height,
            },
            appended: None,
            checkpointing: false,
            must_wait: false,
            held: Vec::new(),
            time: Time::ZERO,
        }
    }

    /// The collector has cut a block.
    pub(crate) fn propose(&mut self, transactions: Vec<VerifiedTransaction>, now: Time) -> Vec<AcceptorEffect> {
        self.time = self.parent.time_at(now);
        vec![self.execute(transactions)]
    }

    fn execute(&self, transactions: Vec<VerifiedTransaction>) -> AcceptorEffect {
        let above = self.under_way.iter().cloned().collect();
        AcceptorEffect::Execute { parent: self.parent, time: self.time, above, transactions }
    }

    /// An execution is done.
    pub(crate) fn executed(&mut self, result: ExecutionResult) -> Vec<AcceptorEffect> {
        let ExecutionResult { block, committed, offered, held } = result;
        if !held.is_empty() {
            // Nothing else is executed meanwhile: after a few checkpoints nothing waits for one.
            self.held = held;
            return self.checkpoint().into_iter().collect();
        }
        let mut effects = vec![AcceptorEffect::Executed(offered)];
        if !committed.is_empty() {
            effects.push(AcceptorEffect::Known(committed));
        }
        let Some(block) = block else {
            let next_timer = self.next_timer;
            effects.push(AcceptorEffect::Commit { block: None, receipts: Vec::new(), next_timer, config: None });
            return effects;
        };
        self.next_timer = block.next_timer;
        let _ = self.history.append(ledger_classes::merkle::leaf_hash(&block.hash.0));
        self.parent = Parent::of(&block.header, block.hash, &self.history);
        self.heights.executed = block.header.height;
        self.under_way.push_back(block.clone());
        let sealed = self.engine.on(OrderingInput::Propose { header: &block.header, hash: block.hash });
        for OrderingEffect::Seal { height, seal } in sealed {
            match self.under_way.iter().find(|block| block.header.height == height) {
                Some(block) if height == self.heights.last_final + 1 => {
                    self.heights.last_final = height;
                    self.sealed.push_back((block.clone(), seal));
                }
                _ => return vec![AcceptorEffect::Halt(format!("block {height} was sealed but is not under way"))],
            }
        }
        effects.extend(self.next_to_disk());
        effects
    }

    /// Has the next final block appended and applied, if there is one and it may be.
    fn next_to_disk(&mut self) -> Vec<AcceptorEffect> {
        // The oldest final block is on its way there.
        let busy = self.heights.last_final - self.heights.applied > self.sealed.len() as u64;
        if busy || self.must_wait {
            return Vec::new();
        }
        self.heights.check();
        let Some((block, seal)) = self.sealed.pop_front() else { return Vec::new() };
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
        let executed = self.under_way.pop_front().filter(|executed| executed.header.height == height);
        let (Some(block), Some(executed)) = (appended, executed) else {
            return vec![AcceptorEffect::Halt(format!("block {height} was applied out of order"))];
        };
        self.heights.applied = height;
        self.heights.check();
        let receipt = |(id, index): &(Hash, u32)| Some((*id, executed.receipts.get(*index as usize)?.clone()));
        let receipts = executed.ids.iter().filter_map(receipt).collect();
        let (next_timer, config) = (executed.next_timer, executed.config.clone());
        let mut effects = vec![AcceptorEffect::Commit { block: Some(block), receipts, next_timer, config }];
        self.must_wait = pressure == Pressure::Wait;
        if pressure != Pressure::None {
            effects.extend(self.checkpoint());
        }
        effects.extend(self.next_to_disk());
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
        let held = std::mem::take(&mut self.held);
        let execute = (!held.is_empty()).then(|| self.execute(held));
        self.next_to_disk().into_iter().chain(execute).collect()
    }
}

#[cfg(test)]
mod tests;
