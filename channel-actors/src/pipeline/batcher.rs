//! What waits for verification, whose turn it is, and what makes a job for a shard.
//!
//! A job ends by what it costs, as far as that is known before: signatures by scheme, bytes, and of what was decoded
//! already the certificates that it carries. So no job holds a thread for long, and a channel has its turn after one job of
//! another. Within a channel callers have turns by cost, too: whoever posts much, or what is costly to verify, waits for
//! itself. What several callers have in one job goes in the order of arrival.
//!
//! Apart from the others, in short jobs of one caller, comes what a shard has set aside as costly, and all of a caller
//! whose signatures were wrong: those are found one by one, and its neighbours' batches are spared.
//!
//! Relation that always holds: what a caller posts is dealt in its order, but for what was set aside, which comes later.

use crate::limits::{
    SUSPECT_UNTIL, SUSPECTS_MAX, VERIFY_BYTES_OF_MICRO, VERIFY_CERTIFICATE_MICROS, VERIFY_ED25519_MICROS,
    VERIFY_JOB_APART_MICROS_MAX, VERIFY_JOB_BYTES_MAX, VERIFY_JOB_CROWDED_MICROS_MAX, VERIFY_JOB_MICROS_MAX,
    VERIFY_JOB_TRANSACTIONS_MAX, VERIFY_JOB_WORTH_MICROS, VERIFY_P256_MICROS, VERIFY_RECOVERY_MICROS,
    VERIFY_TURN_MICROS,
};
use crate::pipeline::submission::{Credit, Waiter};
use crate::runtime::asker::Asker;
use ledger_classes::action::Action;
use ledger_classes::formats::transaction::{Envelope, ParsedTransaction};
use ledger_classes::keys::Scheme;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// A transaction on its way to a shard.
pub(crate) struct Submitted {
    pub(crate) content: Content,
    /// Who posted it.
    pub(crate) caller: Asker,
    pub(crate) waiter: Waiter,
    pub(crate) credit: Credit,
    pub(crate) arrived: Instant,
    /// About how many microseconds of a core its verification takes.
    pub(crate) cost: u64,
}

/// How far a transaction is.
pub(crate) enum Content {
    /// As it came.
    Envelope(Envelope),
    /// Decoded, and set aside for what it costs.
    Parsed(Box<ParsedTransaction>),
}

impl Submitted {
    pub(crate) fn new(envelope: Envelope, caller: Asker, waiter: Waiter, credit: Credit, arrived: Instant) -> Self {
        let of_key = |scheme| match scheme {
            Scheme::Ed25519 => VERIFY_ED25519_MICROS,
            Scheme::EcdsaP256 => VERIFY_P256_MICROS,
        };
        let signatures: u64 = envelope.signatures.iter().map(|signed| of_key(signed.key.scheme())).sum();
        // One without a signature is work, too.
        let cost = 1 + signatures + envelope.payload.len() as u64 / VERIFY_BYTES_OF_MICRO;
        Self { content: Content::Envelope(envelope), caller, waiter, credit, arrived, cost }
    }

    fn bytes(&self) -> usize {
        match &self.content {
            Content::Envelope(envelope) => envelope.payload.len(),
            Content::Parsed(parsed) => parsed.payload_bytes(),
        }
    }
}

/// About how many microseconds it takes to do at the door what would be done in a block: paths and evidence are verified
/// there, and a recovery may be tried.
pub(crate) fn cost_at_the_door(actions: &[Action]) -> u64 {
    let of_path = |certificates: usize| (certificates as u64 + 1).saturating_mul(VERIFY_CERTIFICATE_MICROS);
    let cost = |action: &Action| match action {
        Action::ParticipantAdmit(body) => of_path(body.path.len()),
        Action::ParticipantRevokeByEvidence(body) => of_path(body.path.len() + 1),
        Action::ChannelRenewAuthority(_) => of_path(1),
        Action::ChannelRevokeAuthority(body) => of_path(1 + 2 * usize::from(body.successor.is_some())),
        Action::AccountRecover(_) => VERIFY_RECOVERY_MICROS,
        _ => 0,
    };
    actions.iter().map(cost).sum()
}

/// Work for a shard.
#[must_use]
pub(crate) struct VerifyJob {
    pub(crate) shard: usize,
    /// Jobs of a channel are numbered from 1 in the order of arrival.
    pub(crate) sequence: u64,
    /// Whose turn on the threads it takes: the caller's, of which all of it is, or the channel's.
    pub(crate) caller: Asker,
    pub(crate) batch: Vec<Submitted>,
}

/// What a shard found out that matters for the jobs to come.
#[derive(Default)]
pub(crate) struct Findings {
    /// What costs too much beside others.
    pub(crate) aside: Vec<Submitted>,
    /// Callers of whose signatures some were wrong.
    pub(crate) forgers: Vec<Asker>,
    /// Transactions whose signatures were right.
    pub(crate) right: usize,
}

/// What waits for a shard, and which shards wait.
pub(crate) struct Batcher {
    together: CallerTurns,
    apart: CallerTurns,
    /// What each of these lanes had, since both wait.
    had: [u64; 2],
    /// Callers whose signatures were wrong, and how many transactions with good ones they are to post before they are
    /// trusted again.
    suspects: HashMap<Asker, usize>,
    /// Whose job runs on each shard apart from others.
    running: Vec<Option<Asker>>,
    sequence: u64,
    idle: Vec<usize>,
}

/// Callers that have turns.
#[derive(Default)]
struct CallerTurns {
    callers: HashMap<Asker, Queue>,
    /// Those who wait; the first is next.
    ring: VecDeque<Asker>,
    /// The first has its turn already, and the job before ended in it.
    begun: bool,
    cost: u64,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Submitted>,
    /// What its turns gave it and it has not used.
    left: u64,
}

impl CallerTurns {
    /// Arrivals of one caller.
    fn push(&mut self, caller: Asker, arrivals: impl IntoIterator<Item = Submitted>) {
        let queue = self.callers.entry(caller).or_default();
        let waited = !queue.waiting.is_empty();
        let before = queue.waiting.len();
        queue.waiting.extend(arrivals);
        self.cost += queue.waiting.range(before..).map(|arrival| arrival.cost).sum::<u64>();
        match (waited, queue.waiting.is_empty()) {
            (false, false) => self.ring.push_back(caller),
            (false, true) => drop(self.callers.remove(&caller)),
            (true, _) => {}
        }
    }

    fn holds(&self, caller: Asker) -> bool {
        self.callers.contains_key(&caller)
    }

    /// All of a caller.
    fn remove(&mut self, caller: Asker) -> VecDeque<Submitted> {
        let Some(queue) = self.callers.remove(&caller) else { return VecDeque::new() };
        if self.ring.front() == Some(&caller) {
            self.begun = false;
        }
        self.ring.retain(|other| *other != caller);
        self.cost -= queue.waiting.iter().map(|arrival| arrival.cost).sum::<u64>();
        queue.waiting
    }

    /// A job that costs at most so much, but for a single transaction that alone costs more; of one caller if `alone`.
    fn take(&mut self, cost_max: u64, alone: bool) -> Vec<Submitted> {
        let (mut batch, mut cost, mut bytes) = (Vec::new(), 0, 0);
        let (mut full, mut several) = (false, false);
        while !full && let Some(caller) = self.ring.pop_front() {
            let Some(queue) = self.callers.get_mut(&caller) else { continue };
            if !std::mem::take(&mut self.begun) {
                queue.left += VERIFY_TURN_MICROS;
            }
            several |= batch.last().is_some_and(|last: &Submitted| last.caller != caller);
            loop {
                let Some(next) = queue.waiting.front() else {
                    self.callers.remove(&caller);
                    break;
                };
                full = !batch.is_empty()
                    && (cost + next.cost > cost_max
                        || bytes + next.bytes() > VERIFY_JOB_BYTES_MAX
                        || batch.len() >= VERIFY_JOB_TRANSACTIONS_MAX);
                if full && !alone {
                    self.begun = true;
                    self.ring.push_front(caller);
                    break;
                }
                // Whoever is alone needs no turns.
                if full || (next.cost > queue.left && !alone && !self.ring.is_empty()) {
                    self.ring.push_back(caller);
                    break;
                }
                (cost, bytes) = (cost + next.cost, bytes + next.bytes());
                queue.left = queue.left.saturating_sub(next.cost);
                self.cost -= next.cost;
                batch.extend(queue.waiting.pop_front());
            }
            full |= alone;
        }
        if several {
            batch.sort_by_key(|arrival| arrival.arrived);
        }
        batch
    }
}

impl Batcher {
    /// Deals to `shards` shards, at least 1.
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            together: CallerTurns::default(),
            apart: CallerTurns::default(),
            had: [0; 2],
            suspects: HashMap::new(),
            running: vec![None; shards],
            sequence: 0,
            idle: (0..shards).rev().collect(),
        }
    }

    /// Transactions arrive. `crowded` tells whether other channels verify, too.
    pub(crate) fn arrive(&mut self, arrivals: Vec<Submitted>, crowded: impl Fn() -> bool) -> Vec<VerifyJob> {
        let mut arrivals = arrivals.into_iter().peekable();
        while let Some(caller) = arrivals.peek().map(|arrival| arrival.caller) {
            let of_it = std::iter::from_fn(|| arrivals.next_if(|arrival| arrival.caller == caller));
            // Behind what it has.
            let waits_apart = self.apart.holds(caller) && !self.together.holds(caller);
            let apart = waits_apart || self.suspects.contains_key(&caller);
            if apart { &mut self.apart } else { &mut self.together }.push(caller, of_it);
        }
        self.deal(crowded)
    }

    /// A shard's job is done.
    pub(crate) fn screened(&mut self, shard: usize, findings: Findings, crowded: impl Fn() -> bool) -> Vec<VerifyJob> {
        self.idle.push(shard);
        if let Some(caller) = self.running[shard].take()
            && !findings.forgers.contains(&caller)
            && let Some(left) = self.suspects.get_mut(&caller)
        {
            *left = left.saturating_sub(findings.right);
            if *left == 0 {
                self.suspects.remove(&caller);
            }
        }
        for arrival in findings.aside {
            self.apart.push(arrival.caller, [arrival]);
        }
        for caller in findings.forgers {
            // Rather forget than grow.
            if self.suspects.len() >= SUSPECTS_MAX {
                self.suspects.clear();
            }
            self.suspects.insert(caller, SUSPECT_UNTIL);
            let waiting = self.together.remove(caller);
            self.apart.push(caller, waiting);
        }
        self.deal(crowded)
    }

    fn deal(&mut self, crowded: impl Fn() -> bool) -> Vec<VerifyJob> {
        let mut jobs = Vec::new();
        loop {
            // Small jobs beside each other cost more than one after the other, in which more have gathered.
            let worth = if self.idle.len() == self.running.len() { 1 } else { VERIFY_JOB_WORTH_MICROS };
            if self.together.cost + self.apart.cost < worth {
                return jobs;
            }
            let Some(shard) = self.idle.pop() else { return jobs };
            let both = self.together.cost > 0 && self.apart.cost > 0;
            if !both {
                self.had = [0; 2];
            }
            let apart = if both { self.had[1] < self.had[0] } else { self.apart.cost > 0 };
            let batch = if apart {
                self.apart.take(VERIFY_JOB_APART_MICROS_MAX, true)
            } else {
                let max = if both || crowded() { VERIFY_JOB_CROWDED_MICROS_MAX } else { VERIFY_JOB_MICROS_MAX };
                let share = self.together.cost.div_ceil(self.idle.len() as u64 + 1).max(VERIFY_JOB_WORTH_MICROS);
                self.together.take(share.min(max), false)
            };
            let Some(first) = batch.first() else {
                self.idle.push(shard);
                return jobs;
            };
            let caller = if apart { first.caller } else { Asker::PEER };
            self.had[usize::from(apart)] += batch.iter().map(|arrival| arrival.cost).sum::<u64>();
            self.running[shard] = apart.then_some(caller);
            self.sequence += 1;
            jobs.push(VerifyJob { shard, sequence: self.sequence, caller, batch });
        }
    }
}

#[cfg(test)]
mod tests;
