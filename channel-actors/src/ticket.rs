//! The two ends of a submission: the caller's future and, travelling with each transaction through the pipeline, the
//! promise to answer it. A promise that is dropped anywhere answers by itself, so that no caller waits for ever.

use crate::limits::{BYTES_IN_FLIGHT_MAX, RETRY_AFTER_MS, TRANSACTIONS_IN_FLIGHT_MAX};
use crate::memory::Pool;
use crate::store::DiskTrouble;
use ledger_classes::hash::Hash;
use ledger_classes::outcome::ResultCode;
use ledger_classes::receipt::Receipt;
use ledger_classes::transaction::TransactionError;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::{Notify, oneshot};

/// When a caller wants its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Once verified and waiting for a block.
    Accepted,
    /// Once in a final block on disk.
    Committed,
}

/// Why a transaction was not taken. Nothing of it is recorded.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SubmitRefusal {
    /// Its form, time or signatures are wrong.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// It would fail for the sender's standing on this channel.
    #[error("{}: {message}", .code.name())]
    Rejected {
        /// What execution would answer.
        code: ResultCode,
        /// For people to read.
        message: String,
    },
    /// The channel holds as much as it may.
    #[error("the channel is busy, retry in {retry_after_ms} ms")]
    Busy {
        /// When to retry.
        retry_after_ms: u64,
    },
    /// The disk takes no writes now.
    #[error("{0}")]
    Disk(DiskTrouble),
    /// The channel stopped before the outcome was known: ask for the id later.
    #[error("the channel does not serve: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
}

impl SubmitRefusal {
    /// The refusal at a full pipeline.
    pub const BUSY: Self = Self::Busy { retry_after_ms: RETRY_AFTER_MS };

    /// The stable name of what is wrong with the transaction, if something is.
    pub(crate) const fn name(&self) -> Option<&'static str> {
        match self {
            Self::Transaction(error) => Some(error.name()),
            Self::Rejected { code, .. } => Some(code.name()),
            Self::Busy { .. } | Self::Disk(_) | Self::Stopped { .. } => None,
        }
    }
}

/// What became of one submitted transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmitResult {
    /// Verified; only for [`Wait::Accepted`].
    Accepted {
        /// Its id.
        id: Hash,
    },
    /// In a final block, now or long ago.
    Committed {
        /// Its id.
        id: Hash,
        /// Its receipt.
        receipt: Arc<Receipt>,
    },
    /// Not taken.
    Refused {
        /// Its id, if it could be read.
        id: Option<Hash>,
        /// Why.
        refusal: SubmitRefusal,
    },
}

struct Ticket {
    wait: Wait,
    state: Mutex<TicketState>,
}

struct TicketState {
    results: Vec<Option<SubmitResult>>,
    open: usize,
    sender: Option<oneshot::Sender<Vec<SubmitResult>>>,
}

/// The promise to answer for one transaction.
pub(crate) struct Waiter {
    ticket: Arc<Ticket>,
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
    let state = TicketState { results: vec![None; size], open: size, sender: Some(sender) };
    let ticket = Arc::new(Ticket { wait, state: Mutex::new(state) });
    if size == 0 {
        ticket.finish();
    }
    let waiter = |slot| Waiter { ticket: ticket.clone(), slot, open: true };
    (Submission(receiver), (0..size).map(waiter).collect())
}

impl Ticket {
    fn set(&self, slot: usize, result: SubmitResult) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.results[slot].is_none() {
            state.results[slot] = Some(result);
            state.open -= 1;
        }
        let done = state.open == 0;
        drop(state);
        if done {
            self.finish();
        }
    }

    fn finish(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = state.sender.take() {
            let results = std::mem::take(&mut state.results).into_iter().flatten().collect();
            // The caller may have gone: its transactions go on all the same.
            let _ = sender.send(results);
        }
    }
}

impl Waiter {
    /// Answers callers that wait for no more than this.
    pub(crate) fn accept(&mut self, id: Hash) {
        if self.ticket.wait == Wait::Accepted && self.open {
            self.open = false;
            self.ticket.set(self.slot, SubmitResult::Accepted { id });
        }
    }

    /// Whether somebody waits for more.
    pub(crate) const fn waits(&self) -> bool {
        self.open
    }

    /// Answers.
    pub(crate) fn resolve(mut self, result: SubmitResult) {
        if self.open {
            self.open = false;
            self.ticket.set(self.slot, result);
        }
    }

    /// Answers with a refusal.
    pub(crate) fn refuse(self, id: Option<Hash>, refusal: impl Into<SubmitRefusal>) {
        self.resolve(SubmitResult::Refused { id, refusal: refusal.into() });
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if self.open {
            let reason = "it stopped before the outcome was known; ask for the transaction's id later".into();
            self.ticket.set(self.slot, SubmitResult::Refused { id: None, refusal: SubmitRefusal::Stopped { reason } });
        }
    }
}

/// What one channel may hold between door and commit. Taken at the door, given back when a [`Credit`] is dropped.
pub(crate) struct Credits {
    transactions: AtomicU32,
    bytes: AtomicU32,
    /// What all channels hold.
    shared: Arc<Pool>,
    all_back: Notify,
}

/// Room for one transaction.
pub(crate) struct Credit {
    credits: Arc<Credits>,
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
        Self { transactions: AtomicU32::new(0), bytes: AtomicU32::new(0), shared, all_back: Notify::new() }
    }

    /// Room for transactions of these sizes: all of it or none.
    pub(crate) fn take(self: &Arc<Self>, sizes: impl ExactSizeIterator<Item = u32> + Clone) -> Option<Vec<Credit>> {
        let count = u32::try_from(sizes.len()).ok()?;
        let bytes = sizes.clone().try_fold(0u32, u32::checked_add)?;
        if !add_below(&self.transactions, count, TRANSACTIONS_IN_FLIGHT_MAX) {
            return None;
        }
        let own = self.bytes.load(Ordering::Acquire);
        if !add_below(&self.bytes, bytes, BYTES_IN_FLIGHT_MAX) {
            self.transactions.fetch_sub(count, Ordering::AcqRel);
            return None;
        }
        if !self.shared.take(own as usize, bytes as usize) {
            self.bytes.fetch_sub(bytes, Ordering::AcqRel);
            self.transactions.fetch_sub(count, Ordering::AcqRel);
            return None;
        }
        Some(sizes.map(|bytes| Credit { credits: self.clone(), bytes }).collect())
    }

    /// Waits until no credit is out.
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
        (self.transactions.load(Ordering::Acquire), self.bytes.load(Ordering::Acquire))
    }
}

fn add_below(counter: &AtomicU32, more: u32, max: u32) -> bool {
    let add = |value: u32| value.checked_add(more).filter(|sum| *sum <= max);
    counter.fetch_update(Ordering::AcqRel, Ordering::Acquire, add).is_ok()
}

impl Drop for Credit {
    fn drop(&mut self) {
        self.credits.shared.give_back(self.bytes as usize);
        self.credits.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        if self.credits.transactions.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.credits.all_back.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credits_are_all_or_none_and_come_back() {
        let credits = Arc::new(Credits::default());
        let half = credits.take([BYTES_IN_FLIGHT_MAX / 2, 1].into_iter()).expect("room");
        assert!(credits.take([1, BYTES_IN_FLIGHT_MAX / 2 + 1].into_iter()).is_none());
        assert_eq!(credits.used(), (2, BYTES_IN_FLIGHT_MAX / 2 + 1));
        drop(half);
        assert_eq!(credits.used(), (0, 0));
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
    async fn whoever_waits_for_acceptance_is_answered_then() {
        let (submission, mut waiters) = submission(1, Wait::Accepted);
        waiters[0].accept(Hash::ZERO);
        assert_eq!(submission.await, [SubmitResult::Accepted { id: Hash::ZERO }]);
    }
}
