//! Where the outcomes of a caller arrive who posts one transaction after the other and does not wait in between: in the
//! order in which they are known, each under the number that it was posted under.
//!
//! Always: whatever was posted with an inbox has one outcome there, also if it was refused at the door. An inbox holds no
//! more outcomes than its owner has under way, and no more bytes of receipts than it was made for: a receipt that finds no
//! room becomes [`SubmitResult::Accepted`], and is asked for by its id.

use crate::pipeline::answer::SubmitResult;
use ledger_classes::formats::receipt::Receipt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Outcomes that nobody has taken yet. Clones are the same inbox.
#[derive(Clone, Debug)]
pub struct Inbox(Arc<InboxInner>);

#[derive(Debug)]
struct InboxInner {
    bytes_max: usize,
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    outcomes: Vec<(usize, SubmitResult)>,
    bytes: usize,
}

impl Inbox {
    /// An inbox for so many bytes of receipts. The first has room in any case.
    pub fn new(bytes_max: usize) -> Self {
        Self(Arc::new(InboxInner { bytes_max, waiting: Mutex::default(), arrived: Notify::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an outcome in. True if it is the first: then its owner is to be told.
    pub(crate) fn put(&self, number: usize, mut outcome: SubmitResult) -> bool {
        let mut waiting = self.lock();
        if let SubmitResult::Committed { id, receipt } = &outcome {
            let bytes = size_of::<Receipt>() + receipt.events.iter().map(Vec::len).sum::<usize>();
            if waiting.bytes > 0 && waiting.bytes + bytes > self.0.bytes_max {
                outcome = SubmitResult::Accepted { id: *id };
            } else {
                waiting.bytes += bytes;
            }
        }
        waiting.outcomes.push((number, outcome));
        waiting.outcomes.len() == 1
    }

    /// Wakes its owner: a block answers hundreds, and it is woken once.
    pub(crate) fn tell(&self) {
        self.0.arrived.notify_one();
    }

    /// What has arrived, which may be nothing.
    pub fn take(&self) -> Vec<(usize, SubmitResult)> {
        std::mem::take(&mut *self.lock()).outcomes
    }

    /// Resolves once something has arrived. One owner waits.
    pub async fn arrived(&self) {
        loop {
            let arrived = self.0.arrived.notified();
            if !self.lock().outcomes.is_empty() {
                return;
            }
            arrived.await;
        }
    }
}
