//! The acceptor: executes blocks, has them ordered, persists them, and only then reports. Nothing uncommitted is ever
//! visible.
//!
//! Pure: [`Acceptor`] takes inputs and returns effects. At most one execution, one persist and one checkpoint are
//! under way; an execution overlaps the persisting of the block before.
//! After a failure nothing more is executed, persisted or told: the channel is halted.
//! Always: applied <= persisted <= sealed <= executed; blocks are persisted in order of height.

use crate::committed::CommittedBlock;
use crate::ordering::{OrderingEffect, OrderingEngine, OrderingInput};
use crate::production::{ExecutionResult, Offered, Persisted};
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
    /// Persist on a store thread.
    Persist { block: Arc<ExecutedBlock>, seal: Seal },
    /// Write a checkpoint on a store thread.
    Checkpoint,
    /// Tell publisher and collector what is final.
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
    /// Final and not yet on disk, ascending.
    sealed: VecDeque<(Arc<ExecutedBlock>, Seal)>,
    persisting: bool,
    checkpointing: bool,
    /// Too much waits for a checkpoint: nothing is persisted before it is done.
    must_wait: bool,
    /// What is executed when a checkpoint is done, with the time of its block.
    held: Vec<VerifiedTransaction>,
    time: Time,
    /// Something failed: the end.
    failed: bool,
    /// Outcomes that a later commit reports: transactions found to be in blocks under way.
    known: Vec<(Hash, Arc<Receipt>)>,
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
            persisting: false,
            checkpointing: false,
            must_wait: false,
            held: Vec::new(),
            time: Time::ZERO,
            failed: false,
            known: Vec::new(),
        }
    }

    /// The collector has cut a block.
    pub(crate) fn propose(&mut self, transactions: Vec<VerifiedTransaction>, now: Time) -> Vec<AcceptorEffect> {
        if self.failed {
            return Vec::new();
        }
        self.time = self.parent.time_at(now);
        vec![self.execute(transactions)]
    }

    fn execute(&self, transactions: Vec<VerifiedTransaction>) -> AcceptorEffect {
        let above = self.under_way.iter().cloned().collect();
        AcceptorEffect::Execute { parent: self.parent, time: self.time, above, transactions }
    }

    /// An execution is done.
    pub(crate) fn executed(&mut self, result: Result<ExecutionResult, String>) -> Vec<AcceptorEffect> {
        let ExecutionResult { block, known, committed, offered, held } = match result {
            Ok(_) if self.failed => return Vec::new(),
            Ok(result) => result,
            Err(reason) => return self.fail(format!("execution failed: {reason}")),
        };
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
            if self.under_way.is_empty() {
                effects.push(self.empty(known));
            } else {
                // Some of them may be in blocks that are not on disk yet: answered with the last of those.
                self.known.extend(known);
                effects.push(self.empty(Vec::new()));
            }
            return effects;
        };
        self.known.extend(known);
        self.next_timer = block.next_timer;
        let _ = self.history.append(ledger_classes::merkle::leaf_hash(&block.hash.0));
        self.parent = Parent::of(&block.header, block.hash, &self.history);
        self.under_way.push_back(block.clone());
        let sealed = self.engine.on(OrderingInput::Propose { header: &block.header, hash: block.hash });
        for OrderingEffect::Seal { height, seal } in sealed {
            match self.under_way.iter().find(|block| block.header.height == height) {
                Some(block) => self.sealed.push_back((block.clone(), seal)),
                None => return self.fail(format!("block {height} was sealed but is not under way")),
            }
        }
        effects.extend(self.next_persist());
        effects
    }

    fn fail(&mut self, reason: String) -> Vec<AcceptorEffect> {
        self.failed = true;
        vec![AcceptorEffect::Halt(reason)]
    }

    fn empty(&self, receipts: Vec<(Hash, Arc<Receipt>)>) -> AcceptorEffect {
        AcceptorEffect::Commit { block: None, receipts, next_timer: self.next_timer, config: None }
    }

    fn next_persist(&mut self) -> Option<AcceptorEffect> {
        if self.persisting || self.must_wait || self.failed {
            return None;
        }
        let (block, seal) = self.sealed.pop_front()?;
        self.persisting = true;
        Some(AcceptorEffect::Persist { block, seal })
    }

    /// A block is on disk and applied.
    pub(crate) fn persisted(&mut self, result: Result<Persisted, String>) -> Vec<AcceptorEffect> {
        self.persisting = false;
        let Persisted { block, pressure } = match result {
            Ok(persisted) => persisted,
            Err(reason) => return self.fail(format!("persisting failed: {reason}")),
        };
        let height = block.block.header.height;
        let Some(executed) = self.under_way.pop_front().filter(|executed| executed.header.height == height) else {
            return self.fail(format!("block {height} was persisted out of order"));
        };
        let mut receipts: Vec<(Hash, Arc<Receipt>)> = executed
            .ids
            .iter()
            .filter_map(|(id, index)| Some((*id, executed.receipts.get(*index as usize)?.clone())))
            .collect();
        // What a block under way answers may be told only when that block is on disk.
        let on_disk = |receipt: &Receipt| receipt.head.height <= height;
        let (told, kept) = std::mem::take(&mut self.known).into_iter().partition(|(_, receipt)| on_disk(receipt));
        self.known = kept;
        receipts.extend::<Vec<_>>(told);
        let commit = AcceptorEffect::Commit {
            block: Some(block),
            receipts,
            next_timer: executed.next_timer,
            config: executed.config.clone(),
        };
        let mut effects = vec![commit];
        self.must_wait = pressure == Pressure::Wait;
        if pressure != Pressure::None {
            effects.extend(self.checkpoint());
        }
        effects.extend(self.next_persist());
        effects
    }

    /// A checkpoint is due.
    pub(crate) fn checkpoint(&mut self) -> Option<AcceptorEffect> {
        if self.checkpointing || self.failed {
            return None;
        }
        self.checkpointing = true;
        Some(AcceptorEffect::Checkpoint)
    }

    /// A checkpoint is done.
    pub(crate) fn checkpointed(&mut self, result: Result<(), String>) -> Vec<AcceptorEffect> {
        self.checkpointing = false;
        self.must_wait = false;
        match result {
            Ok(()) if self.failed => Vec::new(),
            Ok(()) => {
                let held = std::mem::take(&mut self.held);
                let execute = (!held.is_empty()).then(|| self.execute(held));
                self.next_persist().into_iter().chain(execute).collect()
            }
            Err(reason) => self.fail(format!("a checkpoint failed: {reason}")),
        }
    }
}

#[cfg(test)]
mod tests;
