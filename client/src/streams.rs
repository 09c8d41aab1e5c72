//! The streams of submissions that a connection has, by channel, and who posts there. Opened and used by
//! `shared_stream.rs`.

use crate::api::{Outcome, Problem};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// The streams of a connection, by channel.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    channels: Mutex<HashMap<String, Arc<OfChannel>>>,
    /// The peer has none.
    pub(crate) unknown: AtomicBool,
}

#[derive(Debug, Default)]
pub(crate) struct OfChannel {
    /// Transactions that are being submitted.
    posting: AtomicUsize,
    pub(crate) live: Mutex<Option<Live>>,
    pub(crate) opening: tokio::sync::Mutex<()>,
}

/// Those who wait for an outcome, by number; nothing once the stream has ended.
pub(crate) type WaitingFor = Arc<Mutex<Option<HashMap<u64, Waiting>>>>;

#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) told: oneshot::Sender<Outcome>,
    pub(crate) _credit: OwnedSemaphorePermit,
}

/// An open stream. What is read of it holds all but the sender, so that it ends with the connection.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) frames: mpsc::UnboundedSender<Vec<u8>>,
    pub(crate) numbers: Arc<AtomicU64>,
    /// Bytes of the largest item that the peer takes. A larger one would end the stream for everybody.
    pub(crate) item_bytes_max: usize,
    pub(crate) answers: Answers,
}

#[derive(Clone, Debug)]
pub(crate) struct Answers {
    pub(crate) waiting: WaitingFor,
    pub(crate) credits: Arc<Semaphore>,
    /// Why the peer has ended it.
    pub(crate) ended: Arc<OnceLock<Problem>>,
    /// When something last came on it.
    pub(crate) heard: Arc<Mutex<Instant>>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts who posts.
pub(crate) struct Posting(pub(crate) Arc<OfChannel>);

impl Streams {
    /// Somebody posts on a channel until what is returned is dropped.
    pub(crate) fn posting(&self, channel: &str) -> Posting {
        let of = Arc::clone(lock(&self.channels).entry(channel.to_owned()).or_default());
        of.posting.fetch_add(1, Ordering::AcqRel);
        Posting(of)
    }
}

impl Posting {
    /// Whether a stream is worth it.
    pub(crate) fn goes_by_stream(&self) -> bool {
        self.0.posting.load(Ordering::Acquire) > 1 || self.0.open().is_some()
    }
}

impl Drop for Posting {
    fn drop(&mut self) {
        self.0.posting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl OfChannel {
    /// The stream that takes transactions, if there is one: its answer goes on, and so does its body.
    pub(crate) fn open(&self) -> Option<Live> {
        let goes_on = |live: &Live| lock(&live.answers.waiting).is_some() && !live.frames.is_closed();
        lock(&self.live).clone().filter(goes_on)
    }

    /// Gives up a stream on which nothing has come since an instant: the next try opens another one. Whoever waits on it
    /// goes on waiting; its body ends once nobody does.
    pub(crate) fn give_up_if_silent_since(&self, since: Instant) {
        lock(&self.live).take_if(|live| *lock(&live.answers.heard) < since);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn live() -> (Live, mpsc::UnboundedReceiver<Vec<u8>>) {
        let (frames, body) = mpsc::unbounded_channel();
        let answers = Answers {
            waiting: Arc::new(Mutex::new(Some(HashMap::new()))),
            credits: Arc::new(Semaphore::new(1)),
            ended: Arc::default(),
            heard: Arc::new(Mutex::new(Instant::now())),
        };
        (Live { frames, numbers: Arc::default(), item_bytes_max: 1, answers }, body)
    }

    /// What failed on a stream whose body had ended was tried on it again, as long as its answer had not.
    #[test]
    fn a_stream_whose_body_or_answer_has_ended_takes_nothing_more() {
        for ends in ["neither", "body", "answer"] {
            let (live, body) = live();
            let of = OfChannel { live: Mutex::new(Some(live.clone())), ..OfChannel::default() };
            match ends {
                "body" => drop(body),
                "answer" => drop(lock(&live.answers.waiting).take()),
                _ => std::mem::forget(body),
            }
            assert_eq!(of.open().is_some(), ends == "neither", "{ends}");
        }
    }

    #[test]
    fn a_stream_on_which_something_came_since_is_not_given_up() {
        let (live, _body) = live();
        let of = OfChannel { live: Mutex::new(Some(live.clone())), ..OfChannel::default() };
        let sent = *lock(&live.answers.heard);
        of.give_up_if_silent_since(sent);
        assert!(of.open().is_some());
        of.give_up_if_silent_since(sent + std::time::Duration::from_nanos(1));
        assert!(of.open().is_none());
    }
}
