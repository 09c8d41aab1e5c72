//! The collector, a part of the machine: restores the order of arrival, remembers which ids are under way, and cuts blocks.
//!
//! A block is cut at once when nothing is under way: no artificial delay, no empty blocks. While a block is being
//! persisted, the next is cut, so that it executes meanwhile, once it reaches the same size or its oldest transaction has
//! waited `block_age_ms_max`; otherwise it grows until the disk is done. A due timer alone is reason enough.
//! Each id is under way once: a second submission of it waits for the same outcome, and keeps its credit as long as
//! it waits, so that one id sent for ever fills no memory.
//! What a block has room for goes in the order of arrival; beyond, organizations and senders have turns (`collector/pool.rs`).
//! Where another peer proposes, what is verified here waits for the case that this one does: it is looked up in the index, since
//! no execution does that, it goes when a block has it, and it ends when its time is over (`collector/expiry.rs`).

use crate::block::execute::Offered;
use crate::block::refusal::SubmitRefusal;
use crate::limits::{EAGER_BLOCK_TRANSACTIONS_MAX, EAGER_BLOCK_TRANSACTIONS_MIN, OFFER_FACTOR, PIPELINE_DEPTH};
use crate::pipeline::acceptor::Discarded;
use crate::pipeline::answer::SubmitResult;
use crate::pipeline::outcomes::OutcomeLookup;
use crate::pipeline::submission::{Credit, Reply, Waiter};
use crate::pipeline::verifier::{PendingTransaction, VerifiedBatch};
use crate::runtime::mutants::{Mutant, planted};
use crate::runtime::place::Place;
use expiry::{Expiry, NEVER};
use foldhash::quality::RandomState;
use ledger_classes::formats::config::Limits;
use ledger_classes::formats::receipt::Receipt;
use ledger_classes::formats::transaction::{TransactionError, VerifiedTransaction};
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use pool::{BlockRoom, Pool};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

mod expiry;
mod pool;

/// Effects of the collector.
#[must_use]
pub(crate) enum CollectorEffect {
    /// Collect witnesses for these; [`Collector::witnessed`] follows.
    Witness(Vec<VerifiedTransaction>),
    /// Make a block of these.
    Propose(Vec<VerifiedTransaction>),
    /// Look again at this time.
    WakeAt(Time),
    /// Look for the outcomes of these in the index.
    OutcomeLookup(Vec<OutcomeLookup>),
    /// Look which of these are in the index; [`Collector::known`] follows with those.
    Find(Vec<Hash>),
    /// Give these answers.
    Reply(Vec<Reply>),
    /// A job came twice, which is a bug. The channel halts.
    Halt(String),
}

/// The outcome of a block, for those who wait for its transactions.
pub(crate) struct BlockOutcome {
    /// Whether it is one that was proposed here.
    pub(crate) own: bool,
    /// Receipts of the transactions that were asked for, ids first.
    pub(crate) receipts: Vec<(Hash, Arc<Receipt>)>,
    /// When the next timer is due, above this block.
    pub(crate) next_timer: Option<Time>,
}

struct Outstanding {
    first: (Waiter, Credit),
    /// Who sent the same, too.
    others: Vec<(Waiter, Credit)>,
    place: Place,
    arrived: Instant,
}

impl Outstanding {
    /// All who wait have their answers from the index, or else this one.
    fn lookups(self, id: Hash, refusal: Option<SubmitRefusal>) -> impl Iterator<Item = OutcomeLookup> {
        let those = std::iter::once(self.first).chain(self.others);
        those.map(move |(waiter, credit)| OutcomeLookup { id, waiter, credit, refusal: refusal.clone() })
    }
}

/// The state of a collector.
pub(crate) struct Collector {
    limits: Limits,
    /// The job whose turn it is.
    turn: u64,
    /// Later jobs that were done before.
    early: BTreeMap<u64, VerifiedBatch>,
    pool: Pool,
    /// How many transactions are offered for a block at most: fewer while budgets end before them.
    offer: usize,
    under_way: HashMap<Hash, Outstanding, RandomState>,
    /// Blocks proposed and not yet committed.
    depth: usize,
    /// Transactions of the newest of them, or of the last one.
    newest: usize,
    /// Whether the newest of them is still executing.
    executing: bool,
    next_timer: Option<Time>,
    /// Whether the channel is suspended: nothing more is begun.
    retired: bool,
    /// Whether another peer proposes.
    follows: bool,
    /// What is verified has witnesses before it is offered.
    witnessed: bool,
    /// How many of the pool have their outcome, at most: other peers' blocks had them.
    with_outcome: usize,
    expiry: Expiry,
    /// What waits here came while this peer proposed, or above another state, and was not looked up.
    to_find: bool,
}

impl Collector {
    pub(crate) fn new(limits: Limits, next_timer: Option<Time>) -> Self {
        Self {
            limits,
            turn: 1,
            early: BTreeMap::new(),
            pool: Pool::default(),
            offer: usize::MAX,
            under_way: HashMap::default(),
            depth: 0,
            newest: 0,
            executing: false,
            next_timer,
            retired: false,
            follows: false,
            witnessed: false,
            with_outcome: 0,
            expiry: Expiry::new(),
            to_find: false,
        }
    }

    /// Takes verified transactions. They wait for earlier jobs.
    pub(crate) fn verified(&mut self, passed: VerifiedBatch, now: Time) -> Vec<CollectorEffect> {
        let sequence = passed.sequence;
        if sequence < self.turn || self.early.insert(sequence, passed).is_some() {
            return vec![CollectorEffect::Halt(format!("job {sequence} was verified twice"))];
        }
        let mut effects = Vec::new();
        while let Some(VerifiedBatch { flights, maybe_committed, .. }) = self.early.remove(&self.turn) {
            self.turn += 1;
            let fresh = self.take(flights, now, &mut effects);
            effects.extend((!fresh.is_empty()).then_some(CollectorEffect::Witness(fresh)));
            effects.extend(self.look_up(maybe_committed));
        }
        effects.extend(self.cut(now));
        effects
    }

    /// Gives what is to be witnessed first.
    fn take(
        &mut self,
        flights: Vec<PendingTransaction>,
        now: Time,
        effects: &mut Vec<CollectorEffect>,
    ) -> Vec<VerifiedTransaction> {
        let (mut fresh, mut to_find) = (Vec::new(), Vec::new());
        for PendingTransaction { transaction, place, waiter, credit, arrived } in flights {
            let id = transaction.id();
            match self.under_way.get_mut(&id) {
                Some(under_way) if waiter.waits() => {
                    under_way.others.push((waiter, credit));
                }
                // Answered already; nothing of it stays.
                Some(_) => {}
                None => {
                    let under_way = Outstanding { first: (waiter, credit), others: Vec::new(), place, arrived };
                    self.under_way.insert(id, under_way);
                    if self.waits() {
                        self.expiry.keeps(transaction.transaction().valid_until);
                    }
                    if self.follows {
                        to_find.push(id);
                    }
                    match self.witnessed {
                        true => fresh.push(transaction),
                        false => self.pool.push(transaction, place, now),
                    }
                }
            }
        }
        effects.extend(found(to_find));
        fresh
    }

    /// Whether something may wait here that is offered for no block, and that nobody executes.
    const fn waits(&self) -> bool {
        self.follows || self.witnessed
    }

    /// These may be offered, but for those that have their outcome meanwhile, which it gives.
    pub(crate) fn witnessed(&mut self, transactions: Vec<VerifiedTransaction>, now: Time) -> Vec<Hash> {
        let mut gone = Vec::new();
        for transaction in transactions {
            match self.under_way.get(&transaction.id()) {
                Some(under_way) => self.pool.push(transaction, under_way.place, now),
                None => gone.push(transaction.id()),
            }
        }
        gone
    }

    /// Whether verified transactions need witnesses before they are offered.
    pub(crate) const fn set_witnessed(&mut self, witnessed: bool) {
        self.witnessed = witnessed;
        self.expiry.changes();
    }

    /// Gives all that is offered: its witnesses are void.
    pub(crate) fn unwitnessed(&mut self) -> Vec<VerifiedTransaction> {
        self.pool.take(BlockRoom { transactions: usize::MAX, bytes: usize::MAX, places: usize::MAX })
    }

    /// These would be refused today. What is under way has its outcome to come; what is not may have been committed.
    fn look_up(&mut self, maybe_committed: Vec<OutcomeLookup>) -> Vec<CollectorEffect> {
        let (mut others, mut replies) = (Vec::new(), Vec::new());
        for lookup in maybe_committed {
            match self.under_way.get_mut(&lookup.id) {
                Some(_) if lookup.waiter.is_hurried() => {
                    replies.push(Reply { waiter: lookup.waiter, result: SubmitResult::Accepted { id: lookup.id } });
                }
                Some(under_way) if lookup.waiter.waits() => {
                    under_way.others.push((lookup.waiter, lookup.credit));
                }
                // Answered already; nothing of it stays.
                Some(_) => {}
                None => others.push(lookup),
            }
        }
        replied(replies).into_iter().chain(looked_up(others)).collect()
    }

    /// These were found in the index.
    pub(crate) fn known(&mut self, ids: Vec<Hash>) -> Vec<CollectorEffect> {
        let mut lookups = Vec::new();
        for id in ids {
            let Some(under_way) = self.under_way.remove(&id) else { continue };
            lookups.extend(under_way.lookups(id, None));
            // It waits here, unless it was offered for a block that found it.
            self.with_outcome += usize::from(self.follows);
        }
        self.sweep();
        looked_up(lookups).into_iter().collect()
    }

    /// The time before which transactions that wait here end now, if any do. `decided`: time of the last applied block.
    pub(crate) fn expires(&mut self, decided: Time, now: Time) -> Option<Time> {
        if self.waits() { self.expiry.due(decided, now) } else { None }
    }

    /// Ends transactions whose `valid_until` is before `limit`: those in the pool of a follower, and `others`, which lack
    /// witnesses. One that is before `decided` is refused as expired, a later one as not known. Returns the ids, too.
    pub(crate) fn expire<'a>(
        &mut self,
        others: impl Iterator<Item = &'a VerifiedTransaction>,
        limit: Time,
        decided: Time,
        now: Time,
    ) -> (Vec<Hash>, Vec<CollectorEffect>) {
        let (mut ends, mut expired) = (NEVER, Vec::new());
        let mut stays = |one: &VerifiedTransaction| {
            let until = one.transaction().valid_until;
            if until < limit {
                expired.push((one.id(), until));
            } else {
                ends = ends.min(until);
            }
            until >= limit
        };
        others.for_each(|one| {
            stays(one);
        });
        if self.follows {
            self.pool.retain(|one| self.under_way.contains_key(&one.id()) && stays(one));
            self.with_outcome = 0;
        }
        self.expiry.looked(ends, now);
        // Turns are in no order.
        expired.sort_unstable();
        let mut lookups = Vec::new();
        for (id, until) in &expired {
            let refusal = match *until < decided {
                true => SubmitRefusal::Transaction(TransactionError::Expired(*until)),
                false => SubmitRefusal::OutcomeUnknown,
            };
            let Some(under_way) = self.under_way.remove(id) else { continue };
            lookups.extend(under_way.lookups(*id, Some(refusal)));
        }
        (expired.into_iter().map(|(id, _)| id).collect(), looked_up(lookups).into_iter().collect())
    }

    /// Takes out of the pool what has its outcome, once that is much of it.
    fn sweep(&mut self) {
        if 2 * self.with_outcome > self.pool.len() {
            self.pool.retain(|one| self.under_way.contains_key(&one.id()));
            self.with_outcome = 0;
        }
    }

    /// Blocks under way are discarded, and with them what was offered for the newest if that had not executed. All of it waits
    /// again, in its order and before what came after it, unless its outcome was told meanwhile.
    pub(crate) fn discarded(&mut self, discarded: Discarded) {
        let Discarded { blocks, transactions, offered, next_timer } = discarded;
        self.depth = self.depth.saturating_sub(blocks);
        self.next_timer = next_timer;
        self.expiry.changes();
        let places = |transactions: Vec<VerifiedTransaction>| -> Vec<(VerifiedTransaction, Place)> {
            let place = |one: VerifiedTransaction| Some((self.under_way.get(&one.id())?.place, one));
            transactions.into_iter().filter_map(place).map(|(place, one)| (one, place)).collect()
        };
        let (transactions, offered) = (places(transactions), offered.map(places));
        if let Some(offered) = offered {
            self.executing = false;
            self.pool.executed(&[], offered);
        }
        self.pool.returned(transactions);
    }

    /// The newest block has executed; it is being ordered and persisted. What it had no budget for waits for the next
    /// one; who waits for what may be in no block is told, and it may be sent again.
    pub(crate) fn executed(&mut self, offered: Offered) -> Vec<CollectorEffect> {
        self.executing = false;
        let Offered { costs, dropped, deferred } = offered;
        self.newest = self.newest.saturating_sub(dropped.len() + deferred.len());
        self.offer = match deferred.is_empty() {
            true => self.offer.saturating_mul(OFFER_FACTOR),
            false => self.newest.saturating_mul(OFFER_FACTOR).max(EAGER_BLOCK_TRANSACTIONS_MIN),
        };
        let place = |id: Hash| self.under_way.get(&id).map(|under_way| under_way.place).unwrap_or_default();
        // It may have lost its lead meanwhile: what waits here again is offered for no block then.
        if self.follows && !deferred.is_empty() {
            self.expiry.changes();
        }
        let deferred = deferred.into_iter().map(|transaction| (place(transaction.id()), transaction));
        self.pool.executed(&costs, deferred.map(|(place, transaction)| (transaction, place)).collect());
        let mut replies = Vec::new();
        for (id, refusal) in dropped {
            let Some(Outstanding { first, others, .. }) = self.under_way.remove(&id) else { continue };
            let result = SubmitResult::Refused { id: Some(id), refusal };
            let waiters = std::iter::once(first).chain(others);
            replies.extend(waiters.map(|(waiter, _)| Reply { waiter, result: result.clone() }));
        }
        replied(replies).into_iter().collect()
    }

    /// The oldest block under way is final, on the disk and applied: those who wait have their answers. Returns since when
    /// they waited, too.
    pub(crate) fn committed(&mut self, outcome: BlockOutcome) -> (Vec<CollectorEffect>, Vec<Instant>) {
        self.depth = self.depth.saturating_sub(usize::from(outcome.own));
        self.next_timer = outcome.next_timer;
        let number = outcome.receipts.len();
        let (mut arrivals, mut replies) = (Vec::with_capacity(number), Vec::with_capacity(number));
        for (id, receipt) in outcome.receipts {
            let Some(Outstanding { first: (waiter, credit), others, arrived, .. }) = self.under_way.remove(&id) else {
                continue;
            };
            arrivals.push(arrived);
            // It may wait here all the same.
            self.with_outcome += usize::from(!outcome.own);
            // Others sent the same: that is on the disk once.
            credit.landed();
            for (waiter, credit) in others {
                if planted(Mutant::CreditKept) {
                    std::mem::forget(credit);
                } else {
                    drop(credit);
                }
                replies.push(Reply { waiter, result: SubmitResult::Committed { id, receipt: receipt.clone() } });
            }
            replies.push(Reply { waiter, result: SubmitResult::Committed { id, receipt } });
        }
        self.sweep();
        (replied(replies).into_iter().collect(), arrivals)
    }

    /// Cuts a block, if there is reason to. Called when everything else is known that an input has led to.
    pub(crate) fn tick(&mut self, now: Time) -> Vec<CollectorEffect> {
        let mut effects = self.cut(now);
        if self.waits() {
            effects.extend(self.expiry.wakes().map(CollectorEffect::WakeAt));
        }
        if self.follows && std::mem::take(&mut self.to_find) {
            let mut ids: Vec<Hash> = self.under_way.keys().copied().collect();
            ids.sort_unstable();
            effects.extend(found(ids));
        }
        effects
    }

    /// The channel would be suspended. True if nothing is here or under way and no timer is due before `soon`: then no
    /// block is cut any more.
    pub(crate) fn retire(&mut self, soon: Time) -> bool {
        let due = self.next_timer.is_some_and(|due| due <= soon);
        self.retired = !due && self.depth == 0 && self.pool.is_empty() && self.under_way.is_empty();
        self.retired
    }

    /// Whether this peer proposes.
    pub(crate) const fn lead(&mut self, leads: bool) {
        if self.follows == leads {
            self.follows = !leads;
            self.to_find = !leads;
            self.expiry.changes();
        }
    }

    /// A state was installed, above which the next timer is due then. Its log may have what waits here.
    pub(crate) const fn installed(&mut self, next_timer: Option<Time>) {
        self.next_timer = next_timer;
        self.to_find = self.follows;
    }

    /// The configuration changed.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    fn cut(&mut self, now: Time) -> Vec<CollectorEffect> {
        if self.retired || self.follows || self.executing || self.depth >= PIPELINE_DEPTH {
            return Vec::new();
        }
        let timer_due = self.next_timer.is_some_and(|due| due <= now);
        let age = u64::from(self.limits.block_age_ms_max);
        let enough = self.newest.clamp(EAGER_BLOCK_TRANSACTIONS_MIN, EAGER_BLOCK_TRANSACTIONS_MAX);
        let places = self.limits.block_transactions_max as usize;
        let bytes = self.limits.block_bytes_max as usize;
        let room = BlockRoom { transactions: self.offer.min(places), bytes, places };
        let eager = self.depth == 0
            || self.pool.bytes() >= room.bytes
            || self.pool.len() >= enough.min(room.transactions)
            || self.pool.since().is_some_and(|since| now.millis_since(since) >= age);
        if (self.pool.is_empty() && !(timer_due && self.depth == 0)) || !eager {
            // A block under way comes back here by itself; only time that passes alone needs a call.
            let due = if self.depth == 0 { self.next_timer } else { None };
            let aged = self.pool.since().map(|since| since.plus_millis(age));
            return aged.or(due).map(CollectorEffect::WakeAt).into_iter().collect();
        }
        let mut block = self.pool.take(room);
        if planted(Mutant::OrderTurned) {
            block.reverse();
        }
        self.depth += 1;
        self.newest = block.len();
        self.executing = true;
        vec![CollectorEffect::Propose(block)]
    }
}

fn looked_up(lookups: Vec<OutcomeLookup>) -> Option<CollectorEffect> {
    (!lookups.is_empty()).then_some(CollectorEffect::OutcomeLookup(lookups))
}

fn found(ids: Vec<Hash>) -> Option<CollectorEffect> {
    (!ids.is_empty()).then_some(CollectorEffect::Find(ids))
}

fn replied(replies: Vec<Reply>) -> Option<CollectorEffect> {
    (!replies.is_empty()).then_some(CollectorEffect::Reply(replies))
}

#[cfg(test)]
mod tests;
