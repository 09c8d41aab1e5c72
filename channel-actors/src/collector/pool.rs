//! What is verified and waits for a block, and whose turn it is.
//!
//! As long as a block takes all that waits, it goes in the order of arrival. As soon as more waits than a block takes, or a
//! block's budget ended before its transactions, the pool is crowded: then organizations have turns of one transaction, and
//! within an organization its senders have. So whoever posts much, or what is costly to execute, waits for itself, and
//! others wait for one transaction of each organization beside theirs. Administrative acts have turns of their own beside
//! the others', one each, so that neither waits for the other. The first block that takes all ends it.
//!
//! Relations that always hold: transactions of one sender come in the order of their arrival, whatever they are; what is
//! given back comes as if it had never been taken. Each step costs the same however much waits, but for giving back, which
//! costs as much as what is given back.

use crate::place::Place;
use ledger_classes::action::Action;
use ledger_classes::hash::Hash;
use ledger_classes::keys::Address;
use ledger_classes::time::Time;
use ledger_classes::transaction::VerifiedTransaction;
use std::collections::{HashMap, HashSet, VecDeque};

/// The lane of what concerns who takes part and by which rules, and that of the rest.
const ADMINISTRATIVE: usize = 0;
const OTHERS: usize = 1;

/// A transaction that waits.
struct Waiting {
    transaction: VerifiedTransaction,
    place: Place,
}

impl Waiting {
    fn bytes(&self) -> usize {
        self.transaction.envelope().len()
    }
}

/// What a block may take.
#[derive(Clone, Copy)]
pub(super) struct Room {
    pub(super) transactions: usize,
    pub(super) bytes: usize,
}

/// The transactions that wait.
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
        self.arrived.len() + self.crowd.as_ref().map_or(0, |crowd| crowd.lanes.iter().map(|lane| lane.len).sum())
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
        let waiting = Waiting { transaction, place };
        self.bytes += waiting.bytes();
        self.since.get_or_insert(now);
        match &mut self.crowd {
            Some(crowd) => crowd.push(waiting),
            None => self.arrived.push_back(waiting),
        }
    }

    /// Takes what comes next, as much as there is room for, and at least one if one waits.
    pub(super) fn take(&mut self, room: Room) -> Vec<VerifiedTransaction> {
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

    /// The block that was taken last has executed, without these of its end: they come as if they had not been taken.
    pub(super) fn give_back(&mut self, deferred: Vec<(VerifiedTransaction, Place)>) {
        if deferred.is_empty() {
            match &mut self.crowd {
                Some(crowd) if crowd.lanes.iter().all(|lane| lane.len == 0) => self.crowd = None,
                Some(crowd) => crowd.settle(),
                None => {}
            }
            return;
        }
        self.bytes += deferred.iter().map(|(transaction, _)| transaction.envelope().len()).sum::<usize>();
        // They have waited for a block already.
        self.since = Some(Time::ZERO);
        match &mut self.crowd {
            Some(crowd) => crowd.give_back(deferred),
            None => {
                let deferred = deferred.into_iter().map(|(transaction, place)| Waiting { transaction, place });
                self.crowd = Some(Crowd::of(deferred.chain(self.arrived.drain(..))));
            }
        }
    }
}

/// What waits in turns.
#[derive(Default)]
struct Crowd {
    lanes: [Lane; 2],
    /// The lane whose turn it is.
    turn: usize,
    /// What was taken for the newest block, in its order.
    taken: Vec<Taken>,
}

/// Where a transaction was.
struct Taken {
    id: Hash,
    lane: usize,
    round: u64,
}

impl Crowd {
    fn of(waiting: impl Iterator<Item = Waiting>) -> Self {
        let mut crowd = Self::default();
        waiting.for_each(|waiting| crowd.push(waiting));
        crowd
    }

    fn push(&mut self, waiting: Waiting) {
        let (place, sender) = (waiting.place, waiting.transaction.sender());
        let behind = |lane: usize| self.lanes[lane].may_hold(place, &sender);
        let actions = &waiting.transaction.transaction().actions;
        // Whoever has something in the other lane waits behind that, so that a sender's order is kept.
        let lane = match actions.iter().all(Action::is_administrative) {
            true if behind(OTHERS) => OTHERS,
            false if behind(ADMINISTRATIVE) => ADMINISTRATIVE,
            true => ADMINISTRATIVE,
            false => OTHERS,
        };
        self.lanes[lane].push(waiting);
    }

    fn take(&mut self, room: Room) -> Vec<VerifiedTransaction> {
        let (mut block, mut bytes) = (Vec::new(), 0);
        self.taken.clear();
        while block.len() < room.transactions.max(1) {
            let lane = if self.lanes[self.turn].len > 0 { self.turn } else { 1 - self.turn };
            let Some(next) = self.lanes[lane].first() else { break };
            bytes += next.bytes();
            if bytes > room.bytes && !block.is_empty() {
                break;
            }
            let Some((round, Waiting { transaction, .. })) = self.lanes[lane].take() else { break };
            self.taken.push(Taken { id: transaction.id(), lane, round });
            block.push(transaction);
            self.turn = 1 - lane;
        }
        block
    }

    fn give_back(&mut self, deferred: Vec<(VerifiedTransaction, Place)>) {
        // In which order they had their turns, last ones first.
        let mut turns: [Vec<Place>; 2] = Default::default();
        for (transaction, place) in deferred.into_iter().rev() {
            let id = transaction.id();
            while let Some(Taken { id: taken, lane, round }) = self.taken.pop() {
                if taken == id {
                    self.lanes[lane].give_back(round, Waiting { transaction, place });
                    turns[lane].push(place);
                    self.turn = lane;
                    break;
                }
            }
        }
        self.settle();
        for (lane, turns) in self.lanes.iter_mut().zip(turns) {
            lane.begin_with(turns.into_iter().rev());
        }
    }

    /// No block executes that may give something back.
    fn settle(&mut self) {
        self.taken.clear();
        for lane in &mut self.lanes {
            lane.places.retain(|_, queue| queue.len > 0);
            lane.places.values_mut().for_each(Queue::settle);
        }
    }
}

/// Places that have turns.
#[derive(Default)]
struct Lane {
    places: HashMap<Place, Queue>,
    /// Those where somebody waits; the first is next.
    ring: VecDeque<Place>,
    len: usize,
}

impl Lane {
    fn may_hold(&self, place: Place, sender: &Address) -> bool {
        self.places.get(&place).is_some_and(|queue| queue.may_hold(sender))
    }

    fn push(&mut self, waiting: Waiting) {
        let place = waiting.place;
        let queue = self.places.entry(place).or_default();
        if queue.len == 0 {
            self.ring.push_back(place);
        }
        queue.push(waiting);
        self.len += 1;
    }

    fn first(&mut self) -> Option<&Waiting> {
        self.places.get_mut(self.ring.front()?)?.first()
    }

    fn take(&mut self) -> Option<(u64, Waiting)> {
        let place = self.ring.pop_front()?;
        let queue = self.places.get_mut(&place)?;
        let taken = queue.take();
        if queue.len > 0 {
            self.ring.push_back(place);
        }
        self.len -= usize::from(taken.is_some());
        taken
    }

    fn give_back(&mut self, round: u64, waiting: Waiting) {
        let queue = self.places.entry(waiting.place).or_default();
        if queue.len == 0 {
            self.ring.push_back(waiting.place);
        }
        queue.give_back(round, waiting);
        self.len += 1;
    }

    /// These have the next turns, in this order, before the others.
    fn begin_with(&mut self, places: impl Iterator<Item = Place>) {
        let mut first = HashSet::new();
        let mut ring: VecDeque<Place> = places.filter(|place| first.insert(*place)).collect();
        ring.extend(self.ring.drain(..).filter(|place| !first.contains(place)));
        self.ring = ring;
    }
}

/// What waits at one place, in rounds in which each sender has one turn. A sender's next transaction is of a later round
/// than its last.
#[derive(Default)]
struct Queue {
    rounds: VecDeque<VecDeque<Waiting>>,
    /// The number of the first of these.
    first: u64,
    /// What is of this round or later may still wait, or be given back.
    settled: u64,
    /// The round of each sender's last transaction; one before `settled` says nothing.
    last: HashMap<Address, u64>,
    len: usize,
}

impl Queue {
    fn may_hold(&self, sender: &Address) -> bool {
        self.last.get(sender).is_some_and(|round| *round >= self.settled)
    }

    fn push(&mut self, waiting: Waiting) {
        // Forgotten once they are many, so that senders who come once fill no memory.
        if self.last.len() > 2 * self.len + 1_024 {
            self.last.retain(|_, round| *round >= self.settled);
        }
        let first = self.first;
        let round = self.last.entry(waiting.transaction.sender());
        let round = *round.and_modify(|last| *last = first.max(*last + 1)).or_insert(first);
        self.round(round).push_back(waiting);
        self.len += 1;
    }

    /// The transactions of a round, which is not before the first.
    fn round(&mut self, round: u64) -> &mut VecDeque<Waiting> {
        // Rounds are as many as a sender's transactions at most, which credits bound.
        let place = usize::try_from(round - self.first).expect("rounds are in memory");
        if self.rounds.len() <= place {
            self.rounds.resize_with(place + 1, VecDeque::new);
        }
        &mut self.rounds[place]
    }

    fn first(&mut self) -> Option<&Waiting> {
        while self.rounds.front()?.is_empty() {
            self.rounds.pop_front();
            self.first += 1;
        }
        self.rounds.front()?.front()
    }

    fn take(&mut self) -> Option<(u64, Waiting)> {
        self.first()?;
        let waiting = self.rounds.front_mut()?.pop_front()?;
        self.len -= 1;
        Some((self.first, waiting))
    }

    fn give_back(&mut self, round: u64, waiting: Waiting) {
        while self.first > round {
            self.first -= 1;
            self.rounds.push_front(VecDeque::new());
        }
        self.round(round).push_front(waiting);
        self.len += 1;
    }

    fn settle(&mut self) {
        self.settled = self.first;
    }
}

#[cfg(test)]
mod tests;
