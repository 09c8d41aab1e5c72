//! What is verified and waits for a block, and whose turn it is.
//!
//! As long as a block takes all that waits, it goes in the order of arrival. As soon as more waits than a block takes, or a
//! block's budget ended before its transactions, the pool is crowded: then whoever has had least of the blocks is next, an
//! organization among organizations, and within it a sender among its senders. What somebody has had is what its
//! transactions cost: the part of a block's budget that they used, or of its bytes or its places, whichever is most. What
//! one will cost is not known before it executes: until then it counts as its sender's usually do. So whoever posts much, or
//! what is costly to execute, waits for itself. Administrative acts are the half of it, as long as both they and others
//! wait. The first block that takes all ends it.
//!
//! Relations that always hold: transactions of one sender come in the order of their arrival, whatever they are; what is
//! given back comes as if it had never been taken; nobody saves up what it did not use. Each step costs the logarithm of
//! those who wait, but for the end of a block, which costs as much as the block.

use crate::runtime::place::Place;
use ledger_classes::action::Action;
use ledger_classes::execution::budget::BLOCK_COST;
use ledger_classes::formats::transaction::VerifiedTransaction;
use ledger_classes::keys::Address;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use std::collections::{BTreeSet, HashMap, VecDeque};

/// The lane of what concerns who takes part and by which rules, and that of the rest.
const ADMINISTRATIVE: usize = 0;
const OTHERS: usize = 1;

/// A transaction that waits.
struct Waiting {
    transaction: VerifiedTransaction,
    place: Place,
    /// Whether it had its turn in a discarded block.
    paid: bool,
}

impl Waiting {
    fn bytes(&self) -> usize {
        self.transaction.envelope().len()
    }
}

/// Limits of a block.
#[derive(Clone, Copy)]
pub(super) struct BlockRoom {
    /// Transactions that this block may take.
    pub(super) transactions: usize,
    pub(super) bytes: usize,
    /// Transactions that any block may take: the measure of a turn.
    pub(super) places: usize,
}

impl BlockRoom {
    /// The part of a block that a transaction is, whatever it does.
    fn part(&self, waiting: &Waiting) -> u64 {
        let part = |of: usize, all: usize| BLOCK_COST.saturating_mul(of as u64) / (all as u64).max(1);
        part(waiting.bytes(), self.bytes).max(part(1, self.places))
    }
}

/// Waiting transactions.
#[derive(Default)]
pub(super) struct Pool {
    /// In order of arrival, while it is not crowded.
    arrived: VecDeque<Waiting>,
    crowd: Option<Crowd>,
    bytes: usize,
    /// When the first of those arrived who wait, or earlier.
    since: Option<Time>,
}

impl Pool {
    pub(super) fn len(&self) -> usize {
        self.arrived.len() + self.crowd.as_ref().map_or(0, Crowd::len)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the envelopes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the first of those arrived who wait, or earlier.
    pub(super) const fn since(&self) -> Option<Time> {
        self.since
    }

    pub(super) fn push(&mut self, transaction: VerifiedTransaction, place: Place, now: Time) {
        let waiting = Waiting { transaction, place, paid: false };
        self.bytes += waiting.bytes();
        self.since.get_or_insert(now);
        match &mut self.crowd {
            Some(crowd) => crowd.push(waiting),
            None => self.arrived.push_back(waiting),
        }
    }

    /// Takes what comes next, as much as there is room for, and at least one if one waits.
    pub(super) fn take(&mut self, room: BlockRoom) -> Vec<VerifiedTransaction> {
        if self.crowd.is_none() && (self.arrived.len() > room.transactions || self.bytes > room.bytes) {
            self.crowd = Some(Crowd::of(self.arrived.drain(..)));
        }
        let block = match &mut self.crowd {
            Some(crowd) => crowd.take(room),
            None => self.arrived.drain(..).map(|waiting| waiting.transaction).collect(),
        };
        self.bytes -= block.iter().map(|transaction| transaction.envelope().len()).sum::<usize>();
        if self.is_empty() {
            self.since = None;
        }
        block
    }

    /// Only those stay for which this is so.
    pub(super) fn retain(&mut self, mut stays: impl FnMut(&VerifiedTransaction) -> bool) {
        let mut bytes = 0;
        let mut stays = |waiting: &Waiting| {
            let stays = stays(&waiting.transaction);
            bytes += if stays { waiting.bytes() } else { 0 };
            stays
        };
        self.arrived.retain(&mut stays);
        if let Some(crowd) = &mut self.crowd {
            crowd.lanes.iter_mut().for_each(|lane| lane.retain(&mut stays));
        }
        self.bytes = bytes;
        if self.is_empty() {
            self.since = None;
        }
    }

    /// What was in blocks that were discarded comes before all that waits, in this order. It has had its turn: the next one costs
    /// nothing.
    pub(super) fn returned(&mut self, transactions: Vec<(VerifiedTransaction, Place)>) {
        if transactions.is_empty() {
            return;
        }
        self.since = Some(Time::ZERO);
        for (transaction, place) in transactions.into_iter().rev() {
            let waiting = Waiting { transaction, place, paid: self.crowd.is_some() };
            self.bytes += waiting.bytes();
            match &mut self.crowd {
                Some(crowd) => crowd.push_front(waiting),
                None => self.arrived.push_front(waiting),
            }
        }
    }

    /// The block that was taken last has executed, at these costs and without these of its end: they come as if they had
    /// not been taken.
    pub(super) fn executed(&mut self, costs: &[(Hash, u64)], deferred: Vec<(VerifiedTransaction, Place)>) {
        if deferred.is_empty() && self.crowd.as_ref().is_some_and(|crowd| crowd.len() == 0) {
            self.crowd = None;
        }
        if !deferred.is_empty() {
            self.bytes += deferred.iter().map(|(transaction, _)| transaction.envelope().len()).sum::<usize>();
            // They have waited for a block already.
            self.since = Some(Time::ZERO);
        }
        match &mut self.crowd {
            Some(crowd) => crowd.executed(&costs.iter().copied().collect(), deferred),
            None if deferred.is_empty() => {}
            None => {
                let deferred =
                    deferred.into_iter().map(|(transaction, place)| Waiting { transaction, place, paid: false });
                self.crowd = Some(Crowd::of(deferred.chain(self.arrived.drain(..))));
            }
        }
    }
}

/// Waiting transactions of organizations that take turns.
#[derive(Default)]
struct Crowd {
    lanes: [PlaceTurns; 2],
    /// Cost charged to each lane.
    had: [u64; 2],
    /// Lanes in which nobody waited before the newest block.
    joined: [bool; 2],
    /// Transactions taken for the newest block, in order.
    taken: Vec<Taken>,
}

/// Where a transaction was, and what it counts as.
struct Taken {
    id: Hash,
    lane: usize,
    place: Place,
    sender: Address,
    part: Part,
    /// When its place and its sender began to wait for that turn.
    since: (u64, u64),
}

/// What a transaction counts as.
#[derive(Clone, Copy)]
struct Part {
    /// Until it has executed.
    expected: u64,
    /// Whatever it does.
    least: u64,
    /// Nothing, since it had its turn before.
    paid: bool,
}

impl Crowd {
    fn of(waiting: impl Iterator<Item = Waiting>) -> Self {
        let mut crowd = Self::default();
        waiting.for_each(|waiting| crowd.push(waiting));
        crowd
    }

    fn len(&self) -> usize {
        self.lanes.iter().map(|lane| lane.len).sum()
    }

    fn push(&mut self, waiting: Waiting) {
        let lane = self.lane_of(&waiting);
        self.joined[lane] |= self.lanes[lane].len == 0;
        self.lanes[lane].push(waiting, false);
    }

    /// Before all that its sender has waiting.
    fn push_front(&mut self, waiting: Waiting) {
        let lane = self.lane_of(&waiting);
        self.joined[lane] |= self.lanes[lane].len == 0;
        self.lanes[lane].push(waiting, true);
    }

    fn lane_of(&self, waiting: &Waiting) -> usize {
        let (place, sender) = (waiting.place, waiting.transaction.sender());
        let behind = |lane: usize| self.lanes[lane].may_hold(place, &sender);
        let actions = &waiting.transaction.transaction().actions;
        // Whoever has something in the other lane waits behind that, so that a sender's order is kept.
        match actions.iter().all(Action::is_administrative) {
            true if behind(OTHERS) => OTHERS,
            false if behind(ADMINISTRATIVE) => ADMINISTRATIVE,
            true => ADMINISTRATIVE,
            false => OTHERS,
        }
    }

    fn take(&mut self, room: BlockRoom) -> Vec<VerifiedTransaction> {
        let (mut block, mut bytes) = (Vec::new(), 0);
        self.taken.clear();
        match std::mem::take(&mut self.joined) {
            [true, false] => self.had[0] = self.had[0].max(self.had[1]),
            [false, true] => self.had[1] = self.had[1].max(self.had[0]),
            _ => {}
        }
        self.lanes.iter_mut().for_each(PlaceTurns::begin);
        while block.len() < room.transactions.max(1) {
            let lane = match (self.lanes[ADMINISTRATIVE].len > 0, self.lanes[OTHERS].len > 0) {
                (true, true) if self.had[OTHERS] < self.had[ADMINISTRATIVE] => OTHERS,
                (true, _) => ADMINISTRATIVE,
                (false, true) => OTHERS,
                (false, false) => break,
            };
            let Some(next) = self.lanes[lane].first() else { break };
            bytes += next.bytes();
            if bytes > room.bytes && !block.is_empty() {
                break;
            }
            let Some((part, since, Waiting { transaction, place, .. })) = self.lanes[lane].take(room) else { break };
            self.had[lane] = self.had[lane].saturating_add(part.expected);
            let sender = transaction.sender();
            self.taken.push(Taken { id: transaction.id(), lane, place, sender, part, since });
            block.push(transaction);
        }
        block
    }

    /// The block has executed: what these cost is known, and those of its end come as if they had not been taken.
    fn executed(&mut self, costs: &HashMap<Hash, u64>, deferred: Vec<(VerifiedTransaction, Place)>) {
        let mut taken = std::mem::take(&mut self.taken);
        for (transaction, place) in deferred.into_iter().rev() {
            // What stands behind it was found to be in a block before.
            while let Some(Taken { id, lane, place: of, sender, part, since }) = taken.pop() {
                self.lanes[lane].settle(of, &sender);
                if id == transaction.id() {
                    self.had[lane] = self.had[lane].saturating_sub(part.expected);
                    self.joined[lane] = false;
                    let waiting = Waiting { transaction, place, paid: part.paid };
                    self.lanes[lane].give_back(part.expected, since, waiting);
                    break;
                }
            }
        }
        for Taken { id, lane, place, sender, part, .. } in taken {
            self.lanes[lane].settle(place, &sender);
            if let Some(cost) = costs.get(&id).filter(|_| !part.paid) {
                let cost = part.least.max(*cost);
                self.had[lane] = self.had[lane].saturating_add(cost).saturating_sub(part.expected);
                self.lanes[lane].correct(place, sender, part.expected, cost);
            }
        }
        self.lanes.iter_mut().for_each(PlaceTurns::forget);
    }
}

/// Organizations that have turns, and their senders.
#[derive(Default)]
struct PlaceTurns {
    places: Turns<Place>,
    senders: HashMap<Place, Senders>,
    len: usize,
}

#[derive(Default)]
struct Senders {
    turns: Turns<Address>,
    waiting: HashMap<Address, VecDeque<Waiting>>,
}

impl Senders {
    fn of(&mut self, sender: Address) -> &mut VecDeque<Waiting> {
        self.waiting.entry(sender).or_default()
    }
}

impl PlaceTurns {
    fn may_hold(&self, place: Place, sender: &Address) -> bool {
        let senders = self.senders.get(&place);
        senders.is_some_and(|senders| senders.waiting.contains_key(sender) || senders.turns.is_out(sender))
    }

    fn push(&mut self, waiting: Waiting, first: bool) {
        let (place, sender) = (waiting.place, waiting.transaction.sender());
        let senders = self.senders.entry(place).or_default();
        let queue = senders.of(sender);
        if first {
            queue.push_front(waiting)
        } else {
            queue.push_back(waiting)
        }
        senders.turns.enter(sender);
        self.places.enter(place);
        self.len += 1;
    }

    /// Those who came meanwhile have their turns in the next block.
    fn begin(&mut self) {
        self.places.begin();
        self.senders.values_mut().for_each(|senders| senders.turns.begin());
    }

    fn first(&self) -> Option<&Waiting> {
        let senders = self.senders.get(&self.places.first()?)?;
        senders.waiting.get(&senders.turns.first()?)?.front()
    }

    /// The next one, what it counts as, and since when its place and its sender waited.
    fn take(&mut self, room: BlockRoom) -> Option<(Part, (u64, u64), Waiting)> {
        let place = self.places.first()?;
        let senders = self.senders.get_mut(&place)?;
        let sender = senders.turns.first()?;
        let queue = senders.waiting.get_mut(&sender)?;
        let waiting = queue.pop_front()?;
        let last = queue.is_empty();
        if last {
            senders.waiting.remove(&sender);
        }
        let usual = senders.turns.usual(&sender).or_else(|| self.places.usual(&place)).unwrap_or_default();
        let paid = waiting.paid;
        let least = if paid { 0 } else { room.part(&waiting) };
        let expected = if paid { 0 } else { usual.max(least) };
        let of_sender = senders.turns.took(sender, expected, last);
        let of_place = self.places.took(place, expected, senders.waiting.is_empty());
        self.len -= 1;
        Some((Part { expected, least, paid }, (of_place, of_sender), waiting))
    }

    fn give_back(&mut self, expected: u64, (of_place, of_sender): (u64, u64), waiting: Waiting) {
        let (place, sender) = (waiting.place, waiting.transaction.sender());
        let senders = self.senders.entry(place).or_default();
        senders.of(sender).push_front(waiting);
        senders.turns.give_back(sender, expected, of_sender);
        self.places.give_back(place, expected, of_place);
        self.len += 1;
    }

    fn retain(&mut self, stays: &mut impl FnMut(&Waiting) -> bool) {
        for (place, Senders { turns, waiting }) in &mut self.senders {
            waiting.retain(|sender, queue| {
                let before = queue.len();
                queue.retain(&mut *stays);
                self.len -= before - queue.len();
                if queue.is_empty() {
                    turns.leave(*sender);
                }
                !queue.is_empty()
            });
            if waiting.is_empty() {
                self.places.leave(*place);
            }
        }
        self.forget();
    }

    /// One that was taken is given back or done.
    fn settle(&mut self, place: Place, sender: &Address) {
        if let Some(senders) = self.senders.get_mut(&place) {
            senders.turns.settle(sender);
        }
        self.places.settle(&place);
    }

    fn correct(&mut self, place: Place, sender: Address, expected: u64, cost: u64) {
        if let Some(senders) = self.senders.get_mut(&place) {
            senders.turns.correct(sender, expected, cost);
        }
        self.places.correct(place, expected, cost);
    }

    /// Who waits for nothing and has had no more than those who do is as new.
    fn forget(&mut self) {
        self.places.forget();
        let places = &self.places;
        self.senders.retain(|place, senders| {
            senders.turns.forget();
            !senders.waiting.is_empty() || places.knows(place)
        });
    }
}

/// Those who have turns, by what they have had: least is next, and of several the one who waits longest.
struct Turns<K> {
    known: HashMap<K, Spent>,
    order: BTreeSet<(u64, u64, K)>,
    /// Those who have come since the newest block was begun.
    entering: Vec<K>,
    /// What the last one had had whose turn it was.
    level: u64,
    entered: u64,
}

#[derive(Clone, Copy, Default)]
struct Spent {
    had: u64,
    /// The number of its entry.
    since: u64,
    waits: bool,
    /// It is not in the order yet.
    enters: bool,
    /// How many were taken for the block that executes.
    out: u32,
    /// What its transactions cost of late.
    usual: Option<u64>,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self { known: HashMap::new(), order: BTreeSet::new(), entering: Vec::new(), level: 0, entered: 0 }
    }
}

impl<K: Copy + Ord + std::hash::Hash> Turns<K> {
    /// Changes what is known of one, and its place in the order.
    fn change(&mut self, one: K, change: impl FnOnce(&mut Spent)) {
        let known = self.known.entry(one).or_default();
        if known.waits && !known.enters {
            self.order.remove(&(known.had, known.since, one));
        }
        change(known);
        if known.waits && !known.enters {
            self.order.insert((known.had, known.since, one));
        }
    }

    /// One waits for its turn, if it does not yet.
    fn enter(&mut self, one: K) {
        if self.known.get(&one).is_some_and(|known| known.waits) {
            return;
        }
        self.entered += 1;
        let since = self.entered;
        self.change(one, |known| (known.since, known.waits, known.enters) = (since, true, true));
        self.entering.push(one);
    }

    /// Nothing of it waits any more, without its having had a turn.
    fn leave(&mut self, one: K) {
        if self.known.get(&one).is_some_and(|known| known.waits) {
            self.change(one, |known| (known.waits, known.enters) = (false, false));
        }
    }

    /// A block is begun. Who has come since the last one counts as if it had had as much as whoever of the others has had
    /// least: before, what those had was not known yet.
    fn begin(&mut self) {
        let level = self.least();
        for one in std::mem::take(&mut self.entering) {
            self.change(one, |known| {
                if known.enters {
                    (known.had, known.enters) = (known.had.max(level), false);
                }
            });
        }
    }

    /// What whoever has had least has had, of those who wait.
    fn least(&self) -> u64 {
        self.order.first().map_or(self.level, |(had, _, _)| *had)
    }

    fn first(&self) -> Option<K> {
        self.order.first().map(|(_, _, one)| *one)
    }

    fn usual(&self, one: &K) -> Option<u64> {
        self.known.get(one)?.usual
    }

    fn is_out(&self, one: &K) -> bool {
        self.known.get(one).is_some_and(|known| known.out > 0)
    }

    fn knows(&self, one: &K) -> bool {
        self.known.contains_key(one)
    }

    /// It had its turn, and counts as much; it was the `last` that one waited for. Tells since when it waited.
    fn took(&mut self, one: K, expected: u64, last: bool) -> u64 {
        self.entered += 1;
        let (mut level, mut since) = (self.level, self.entered);
        self.change(one, |known| {
            level = level.max(known.had);
            known.had = known.had.saturating_add(expected);
            std::mem::swap(&mut known.since, &mut since);
            (known.waits, known.out) = (!last, known.out + 1);
        });
        self.level = level;
        since
    }

    /// It had no turn, and has waited since then.
    fn give_back(&mut self, one: K, expected: u64, since: u64) {
        self.change(one, |known| {
            known.had = known.had.saturating_sub(expected);
            (known.since, known.waits, known.enters) = (since, true, false);
        });
    }

    fn settle(&mut self, one: &K) {
        if let Some(known) = self.known.get_mut(one) {
            known.out = known.out.saturating_sub(1);
        }
    }

    /// Corrects an expected cost to the actual one.
    fn correct(&mut self, one: K, expected: u64, cost: u64) {
        self.change(one, |known| {
            known.had = known.had.saturating_add(cost).saturating_sub(expected);
            // Mostly the last ones.
            known.usual = Some(known.usual.map_or(cost, |usual| (3 * usual.min(u64::MAX / 4) + cost) / 4));
        });
    }

    fn forget(&mut self) {
        let level = self.least();
        self.known.retain(|_, known| known.waits || known.out > 0 || known.had > level);
    }
}

#[cfg(test)]
mod tests;
