//! The two ends of a submission: the caller's future and, travelling with each transaction through the pipeline, the
//! promise to answer it. A promise that is dropped anywhere answers by itself, so that no caller waits for ever.

use crate::block::refusal::SubmitRefusal;
use crate::limits::{BYTES_IN_FLIGHT_MAX, CALLER_PART, PEER_PART, TRANSACTIONS_IN_FLIGHT_MAX};
use crate::pipeline::answer::{SubmitResult, Wait};
use crate::pipeline::inbox::Inbox;
use crate::pipeline::part::{Held, Parts, SharedPart};
use crate::runtime::asker::Asker;
use crate::runtime::memory::Pool;
use crate::runtime::place::Place;
use crate::store::{DiskQuota, NoRoom, OnItsWay, Room};
use ledger_classes::primitives::hash::Hash;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::{Notify, oneshot};

struct Outcomes {
    wait: Wait,
    answers: Answers,
}

/// How a submission is answered.
enum Answers {
    /// As a whole.
    Together(Mutex<OutcomesState>),
    /// One by one, under its own number.
    Each(Inbox),
}

struct OutcomesState {
    results: Vec<Option<SubmitResult>>,
    open: usize,
    sender: Option<oneshot::Sender<Vec<SubmitResult>>>,
}

/// The promise to answer for one transaction.
pub(crate) struct Waiter {
    ticket: Arc<Outcomes>,
    slot: usize,
    open: bool,
}

/// The answers to a submission, in its order.
#[derive(Debug)]
pub struct Submission(oneshot::Receiver<Vec<SubmitResult>>);

impl Future for Submission {
    type Output = Vec<SubmitResult>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Every waiter answers before it is gone, so the sender is never dropped with open slots.
        Pin::new(&mut self.0).poll(context).map(Result::unwrap_or_default)
    }
}

/// Makes a submission of `size` transactions with a waiter for each.
pub(crate) fn submission(size: usize, wait: Wait) -> (Submission, Vec<Waiter>) {
    let (sender, receiver) = oneshot::channel();
    let state = Mutex::new(OutcomesState { results: vec![None; size], open: size, sender: Some(sender) });
    if size == 0 {
        finish(&state);
    }
    let ticket = Arc::new(Outcomes { wait, answers: Answers::Together(state) });
    let waiter = |slot| Waiter { ticket: ticket.clone(), slot, open: true };
    (Submission(receiver), (0..size).map(waiter).collect())
}

/// A waiter for each of these numbers, whose commit is told to an inbox.
pub(crate) fn waiters(inbox: &Inbox, numbers: impl IntoIterator<Item = usize>) -> Vec<Waiter> {
    let ticket = Arc::new(Outcomes { wait: Wait::Committed, answers: Answers::Each(inbox.clone()) });
    numbers.into_iter().map(|slot| Waiter { ticket: ticket.clone(), slot, open: true }).collect()
}

impl Outcomes {
    /// Puts an answer where it belongs. True: whoever waits is to be told of it ([`Self::tell`]).
    fn set(&self, slot: usize, result: SubmitResult) -> bool {
        let answers = match &self.answers {
            Answers::Together(answers) => answers,
            Answers::Each(inbox) => return inbox.put(slot, result),
        };
        let mut state = answers.lock().unwrap_or_else(PoisonError::into_inner);
        if state.results[slot].is_none() {
            state.results[slot] = Some(result);
            state.open -= 1;
        }
        state.open == 0
    }

    fn tell(&self) {
        match &self.answers {
            Answers::Together(answers) => finish(answers),
            Answers::Each(inbox) => inbox.tell(),
        }
    }

    fn answer(&self, slot: usize, result: SubmitResult) {
        if self.set(slot, result) {
            self.tell();
        }
    }
}

fn finish(answers: &Mutex<OutcomesState>) {
    let mut state = answers.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(sender) = state.sender.take() {
        let results = std::mem::take(&mut state.results).into_iter().flatten().collect();
        // The caller may have gone: its transactions go on all the same.
        let _ = sender.send(results);
    }
}

impl Waiter {
    /// Answers callers that wait for no more than this.
    pub(crate) fn accept(&mut self, id: Hash) {
        if self.ticket.wait == Wait::Accepted && self.open {
            self.open = false;
            self.ticket.answer(self.slot, SubmitResult::Accepted { id });
        }
    }

    /// Whether somebody waits for more.
    pub(crate) const fn waits(&self) -> bool {
        self.open
    }

    /// Whether somebody waits, and for no more than that it is accepted.
    pub(crate) fn is_hurried(&self) -> bool {
        self.open && self.ticket.wait == Wait::Accepted
    }

    /// Answers.
    pub(crate) fn resolve(mut self, result: SubmitResult) {
        if self.open {
            self.open = false;
            self.ticket.answer(self.slot, result);
        }
    }

    /// Answers with a refusal.
    pub(crate) fn refuse(self, id: Option<Hash>, refusal: impl Into<SubmitRefusal>) {
        self.resolve(SubmitResult::Refused { id, refusal: refusal.into() });
    }
}

/// An answer to be given.
pub(crate) struct Reply {
    pub(crate) waiter: Waiter,
    pub(crate) result: SubmitResult,
}

/// Gives answers. Nobody is told before all are there: whoever is woken goes away with what there is, and would come again
/// for each.
pub(crate) fn give(replies: Vec<Reply>) {
    let mut told = Vec::new();
    for Reply { mut waiter, result } in replies {
        if std::mem::take(&mut waiter.open) && waiter.ticket.set(waiter.slot, result) {
            told.push(waiter.ticket.clone());
        }
    }
    told.iter().for_each(|ticket| ticket.tell());
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if self.open {
            let reason = "it stopped before the outcome was known; ask for the transaction's id later".into();
            self.ticket
                .answer(self.slot, SubmitResult::Refused { id: None, refusal: SubmitRefusal::Stopped { reason } });
        }
    }
}

/// Transactions and bytes of one channel between door and commit. Taken at the door, given back when a [`Credit`] is dropped.
pub(crate) struct Credits {
    held: Held,
    /// Credits held by each caller.
    callers: Parts<Asker>,
    /// Verified transactions held by each organization.
    places: Parts<Place>,
    verified: SharedPart,
    /// Bytes held by all channels.
    shared: Arc<Pool>,
    all_back: Notify,
}

/// Room for one transaction.
pub(crate) struct Credit {
    credits: Arc<Credits>,
    caller: Arc<Held>,
    /// Whether the caller is the peer itself.
    of_peer: bool,
    place: Option<Arc<Held>>,
    /// Bytes counted into the channel's disk quota.
    way: Option<OnItsWay>,
    bytes: u32,
}

/// Of a channel that is alone.
impl Default for Credits {
    fn default() -> Self {
        Self::new(Arc::new(Pool::new(usize::MAX)))
    }
}

impl Credits {
    /// What a channel may hold beside others.
    pub(crate) fn new(shared: Arc<Pool>) -> Self {
        Self {
            held: Held::default(),
            callers: Parts::default(),
            places: Parts::default(),
            verified: SharedPart::default(),
            shared,
            all_back: Notify::new(),
        }
    }

    /// Room for a caller's transactions of these sizes: all of it or none.
    pub(crate) fn take(
        self: &Arc<Self>,
        caller: Asker,
        sizes: impl ExactSizeIterator<Item = u32> + Clone,
    ) -> Option<Vec<Credit>> {
        let count = u32::try_from(sizes.len()).ok()?;
        let bytes = sizes.clone().try_fold(0u32, u32::checked_add)?;
        let all = (TRANSACTIONS_IN_FLIGHT_MAX, BYTES_IN_FLIGHT_MAX);
        // The peer's own posts, such as revocations, find room when callers do not.
        let (part, of_callers) = match caller == Asker::PEER {
            true => (all, all),
            false => {
                ((all.0 / CALLER_PART, all.1 / CALLER_PART), (all.0 - all.0 / PEER_PART, all.1 - all.1 / PEER_PART))
            }
        };
        let held = self.callers.of(caller);
        if !held.take((count, bytes), part) {
            return None;
        }
        let own = self.held.used().1;
        if !self.held.take((count, bytes), of_callers) {
            held.give_back(count, bytes);
            return None;
        }
        if !self.shared.take(own as usize, bytes as usize) {
            self.held.give_back(count, bytes);
            held.give_back(count, bytes);
            return None;
        }
        let credit = |bytes| Credit {
            credits: self.clone(),
            caller: held.clone(),
            of_peer: caller == Asker::PEER,
            place: None,
            way: None,
            bytes,
        };
        Some(sizes.map(credit).collect())
    }

    /// Room for each of a caller's transactions that finds some, whatever becomes of the others.
    pub(crate) fn take_each(
        self: &Arc<Self>,
        caller: Asker,
        sizes: impl ExactSizeIterator<Item = u32> + Clone,
    ) -> Vec<Option<Credit>> {
        match self.take(caller, sizes.clone()) {
            Some(all) => all.into_iter().map(Some).collect(),
            None => sizes.map(|size| self.take(caller, std::iter::once(size))?.pop()).collect(),
        }
    }

    /// What a place holds of what is verified.
    pub(crate) fn of_place(&self, place: Place) -> Arc<Held> {
        self.places.of(place)
    }

    /// Waits until all credits are given back.
    pub(crate) async fn all_back(&self) {
        loop {
            let back = self.all_back.notified();
            if self.used().0 == 0 {
                return;
            }
            back.await;
        }
    }

    /// Transactions and bytes that are out.
    pub(crate) fn used(&self) -> (u32, u32) {
        self.held.used()
    }
}

impl Credit {
    /// It is known whose transaction this is: counts it to what its place holds. False if that is too much.
    pub(crate) fn is_for(&mut self, place: &Arc<Held>) -> bool {
        let room = self.credits.verified.take(place, self.bytes);
        if room {
            self.place = Some(place.clone());
        }
        room
    }

    /// Whether the peer itself posts the transaction.
    pub(crate) const fn is_of_peer(&self) -> bool {
        self.of_peer
    }

    /// Counts so many bytes into the channel's part of the disk, if that has room for them.
    pub(crate) fn takes_disk(
        &mut self,
        quota: &DiskQuota,
        whose: Room,
        bytes: u64,
        place: impl FnOnce() -> Place,
    ) -> Result<(), NoRoom> {
        self.way = Some(quota.take(whose, bytes, place)?);
        Ok(())
    }

    /// The transaction is on the disk. Of a credit that is dropped without it nothing is there.
    pub(crate) fn landed(mut self) {
        if let Some(way) = self.way.take() {
            way.landed();
        }
    }

    /// Of which credits it is one.
    pub(crate) const fn credits(&self) -> &Arc<Credits> {
        &self.credits
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            self.credits.verified.give_back(place, self.bytes);
        }
        self.caller.give_back(1, self.bytes);
        self.credits.shared.give_back(self.bytes as usize);
        if self.credits.held.give_back(1, self.bytes) {
            self.credits.all_back.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Wake, Waker};

    /// Looks into an inbox when it is woken, as its owner does.
    struct Looks(Inbox, Mutex<Vec<usize>>);

    impl Wake for Looks {
        fn wake(self: Arc<Self>) {
            self.1.lock().expect("no panic").push(self.0.take().len());
        }
    }

    /// The owner of a stream was woken by the first outcome of a block, and wrote it, and then the next ones: four times
    /// as many writes.
    #[test]
    fn whoever_waits_is_woken_once_all_answers_are_there() {
        let inbox = Inbox::new(usize::MAX);
        let looks = Arc::new(Looks(inbox.clone(), Mutex::default()));
        let waker = Waker::from(looks.clone());
        let mut arrived = Box::pin(inbox.arrived());
        assert!(arrived.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let reply = |waiter| Reply { waiter, result: SubmitResult::Accepted { id: Hash::ZERO } };
        let (together, mut waiter) = submission(1, Wait::Committed);
        let waiters = waiters(&inbox, 0..3).into_iter().chain(waiter.pop());
        give(waiters.map(reply).collect());
        assert_eq!(*looks.1.lock().expect("no panic"), [3]);
        let mut together = Box::pin(together);
        assert!(together.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    }

    #[test]
    fn credits_are_all_or_none_and_come_back() {
        let credits = Arc::new(Credits::default());
        let half = credits.take(Asker::PEER, [BYTES_IN_FLIGHT_MAX / 2, 1].into_iter()).expect("room");
        assert!(credits.take(Asker::PEER, [1, BYTES_IN_FLIGHT_MAX / 2 + 1].into_iter()).is_none());
        assert_eq!(credits.used(), (2, BYTES_IN_FLIGHT_MAX / 2 + 1));
        drop(half);
        assert_eq!(credits.used(), (0, 0));
    }

    /// Of a stream's transactions all were refused where one was too many.
    #[test]
    fn each_that_finds_room_has_it() {
        let credits = Arc::new(Credits::default());
        let half = BYTES_IN_FLIGHT_MAX / 2;
        let taken = credits.take_each(Asker::PEER, [half, half + 1, 1, half].into_iter());
        assert_eq!(taken.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true, false]);
        assert_eq!(credits.used(), (2, half + 1));
        drop(taken);
        assert_eq!(credits.take_each(Asker::PEER, [half, half].into_iter()).iter().flatten().count(), 2);
        assert_eq!(credits.used(), (0, 0));
    }

    /// One caller filled a channel, and everybody else was refused until its work was done.
    #[test]
    fn a_caller_holds_a_part_and_the_peer_itself_finds_room() {
        let credits = Arc::new(Credits::default());
        let part = TRANSACTIONS_IN_FLIGHT_MAX / CALLER_PART;
        let fill = |caller: Asker| {
            let mut held = Vec::new();
            while let Some(more) = credits.take(caller, [1; 64].into_iter()) {
                held.extend(more);
            }
            held
        };
        let first = fill(Asker::from_number(1));
        assert_eq!(first.len(), part as usize);
        let others: Vec<_> = (2..=CALLER_PART).map(|caller| fill(Asker::from_number(u64::from(caller)))).collect();
        assert!(others[..others.len() - 1].iter().all(|held| held.len() == part as usize));
        assert!(fill(Asker::from_number(99)).is_empty(), "callers have no more");
        assert_eq!(fill(Asker::PEER).len(), (TRANSACTIONS_IN_FLIGHT_MAX / PEER_PART) as usize);
        drop(first);
        assert!(!fill(Asker::from_number(99)).is_empty(), "it came back");
        drop(others);
        assert_eq!(credits.used(), (0, 0));
    }

    /// Its members have as many certificates as their organization gives them.
    #[test]
    fn an_organization_holds_no_more_than_it_leaves() {
        let credits = Arc::new(Credits::default());
        let fill = |place: &str| {
            let place = credits.of_place(Place::of_organization(place));
            let mut held = Vec::new();
            for caller in 1.. {
                let taken = credits.take(Asker::from_number(caller), [1].into_iter());
                let Some(mut credit) = taken.and_then(|mut taken| taken.pop()) else { break };
                if !credit.is_for(&place) {
                    break;
                }
                held.push(credit);
            }
            held
        };
        let [one, two, three] = ["one", "two", "three"].map(fill);
        let max = TRANSACTIONS_IN_FLIGHT_MAX as usize;
        assert_eq!([one.len(), two.len(), three.len()], [max / 2, max / 4, max / 8]);
        assert!(!fill("four").is_empty());
        drop((one, two, three));
        assert_eq!(credits.used(), (0, 0));
        assert_eq!(fill("one").len(), max / 2, "everything came back");
    }

    #[tokio::test]
    async fn a_dropped_waiter_answers() {
        let (submission, waiters) = submission(2, Wait::Committed);
        let mut waiters = waiters.into_iter();
        waiters.next().expect("two").refuse(None, SubmitRefusal::BUSY);
        drop(waiters);
        let results = submission.await;
        assert!(matches!(&results[0], SubmitResult::Refused { refusal: SubmitRefusal::Busy { .. }, .. }));
        assert!(matches!(&results[1], SubmitResult::Refused { refusal: SubmitRefusal::Stopped { .. }, .. }));
    }

    #[tokio::test]
    async fn an_inbox_has_one_outcome_for_each_number_and_wakes_its_owner_once() {
        let inbox = Inbox::new(1024);
        let mut waiters = waiters(&inbox, [7, 3, 9]).into_iter();
        let mut context = Context::from_waker(Waker::noop());
        let mut owner = Box::pin(inbox.arrived());
        assert!(owner.as_mut().poll(&mut context).is_pending());
        waiters.next().expect("three").resolve(SubmitResult::Accepted { id: Hash::ZERO });
        owner.await;
        waiters.next_back().expect("three").refuse(None, SubmitRefusal::BUSY);
        drop(waiters);
        let outcomes = inbox.take();
        assert_eq!(outcomes.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [7, 9, 3]);
        assert!(matches!(&outcomes[2].1, SubmitResult::Refused { refusal: SubmitRefusal::Stopped { .. }, .. }));
        assert!(inbox.take().is_empty());
        assert!(Box::pin(inbox.arrived()).as_mut().poll(&mut context).is_pending(), "what was taken wakes nobody");
    }

    #[tokio::test]
    async fn whoever_waits_for_acceptance_is_answered_then() {
        let (submission, mut waiters) = submission(1, Wait::Accepted);
        waiters[0].accept(Hash::ZERO);
        assert_eq!(submission.await, [SubmitResult::Accepted { id: Hash::ZERO }]);
    }
}
