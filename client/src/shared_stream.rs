//! Single transactions by one stream of submissions a channel, shared by all who post there at the same time.
//!
//! It is opened by whoever posts while another transaction is under way, and as long as the peer lets it live all go that
//! way: alone, a request of its own is as good. A stream that is cut is opened again, and what has no outcome is posted
//! again: an id has one outcome for ever. So is one on which nothing comes within a request's time: it is given up, though
//! nobody has said that it has ended. Where the peer has no streams, or no place for one, plain requests do.
//!
//! Never here: one transaction's refusal told to another. An item above the peer's size goes by a plain request; an end for
//! one item's fault is nobody's answer.

use crate::api::{
    Cutter, FRAME_HEAD_BYTES, Form, MEDIA_TYPE_LINES, MEDIA_TYPE_SUBMISSIONS, Outcome, Problem, StreamLine,
    SubmissionStatus, submission_frame,
};
use crate::connection::{Connection, RequestError};
use crate::retry::jitter;
use crate::streams::{Answers, Live, OfChannel, Posting, Waiting, lock};
use crate::submit::SubmitError;
use bytes::Bytes;
use ledger_classes::formats::transaction::Envelope;
use reqwest::{Body, Response};
use std::collections::HashMap;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Bytes of a line: a receipt with as many events as there may be.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of transactions that are handed to the connection at once.
const PIECE_BYTES: usize = 64 * 1024;
/// A peer says that it is there every ten seconds.
const QUIET_MAX: Duration = Duration::from_secs(30);

/// What a try on a stream came to.
enum Tried {
    Done(Box<Outcome>),
    Failed(RequestError),
    /// The stream was cut or had ended, and another one may do; the peer may say when.
    Lost(Option<Duration>),
    /// A plain request is to do it.
    Plain,
}

/// What an end of the stream is to a transaction that has no outcome.
fn ended(problem: Option<&Problem>) -> Tried {
    match problem {
        None => Tried::Lost(None),
        // One item's fault, and it is not said whose: each is judged alone, and none ends another stream.
        Some(Problem { status: 400 | 413, .. }) => Tried::Plain,
        // An item came too slowly, or was too large for the memory that is left.
        Some(Problem { status: 408 | 429, retry_after_ms, .. }) => {
            Tried::Lost(retry_after_ms.map(Duration::from_millis))
        }
        // The certificate's, the channel's or the peer's: it holds for all.
        Some(problem) => Tried::Failed(RequestError::Problem(Box::new(problem.clone()))),
    }
}

impl Connection {
    /// Submits on the channel's stream; `None`: a plain request is to do it.
    pub(crate) async fn submit_on_stream(
        &self,
        posting: &Posting,
        channel: &str,
        envelope: &Envelope,
    ) -> Option<Result<Outcome, SubmitError>> {
        if self.streams.unknown.load(Ordering::Relaxed) || !posting.goes_by_stream() {
            return None;
        }
        let mut attempts = 0;
        loop {
            let began = Instant::now();
            let tried = self.try_on_stream(&posting.0, channel, envelope);
            let late = || RequestError::Late { peer: self.peer().clone(), timeout: self.options.timeout };
            let mut lost = None;
            let error = match tokio::time::timeout(self.options.timeout, tried).await {
                Err(_) => {
                    posting.0.give_up_if_silent_since(began);
                    Some(late())
                }
                Ok(Tried::Plain) => return None,
                Ok(Tried::Lost(hint)) => {
                    lost = hint;
                    None
                }
                Ok(Tried::Failed(error)) => Some(error),
                Ok(Tried::Done(outcome)) => match (outcome.status, outcome.problem.clone()) {
                    (SubmissionStatus::Committed, _) => return Some(Ok(*outcome)),
                    (SubmissionStatus::Refused, Some(problem)) => Some(RequestError::Problem(Box::new(problem))),
                    // Its outcome had no room on the stream: whoever asks alone gets it.
                    _ => return None,
                },
            };
            attempts += 1;
            let worthwhile = error.as_ref().is_none_or(|error| error.is_worth_another(true));
            let hint = error.as_ref().map_or(lost, RequestError::retry_after);
            match (self.options.retry.wait(attempts, hint, jitter()).filter(|_| worthwhile), error) {
                (Some(wait), _) => tokio::time::sleep(wait).await,
                (None, Some(error)) => return Some(Err(error.into())),
                // Nobody said why: the plain request will.
                (None, None) => return None,
            }
        }
    }

    async fn try_on_stream(&self, of: &OfChannel, channel: &str, envelope: &Envelope) -> Tried {
        let live = match self.live(of, channel).await {
            Ok(Some(live)) => live,
            Ok(None) => return Tried::Plain,
            Err(error) => return Tried::Failed(error),
        };
        let ended = || ended(live.answers.ended.get());
        let number = live.numbers.fetch_add(1, Ordering::Relaxed);
        let frame = submission_frame(number, envelope);
        if frame.len() - FRAME_HEAD_BYTES > live.item_bytes_max {
            return Tried::Plain;
        }
        let Ok(credit) = Arc::clone(&live.answers.credits).acquire_owned().await else { return ended() };
        let (told, outcome) = oneshot::channel();
        match &mut *lock(&live.answers.waiting) {
            Some(waiting) => waiting.insert(number, Waiting { told, _credit: credit }),
            None => return ended(),
        };
        if live.frames.send(frame).is_err() {
            return ended();
        }
        match outcome.await {
            Ok(outcome) => Tried::Done(Box::new(outcome)),
            Err(_) => ended(),
        }
    }

    /// The channel's stream, opened if there is none; nothing where plain requests are to do.
    async fn live(&self, of: &OfChannel, channel: &str) -> Result<Option<Live>, RequestError> {
        if let Some(live) = of.open() {
            return Ok(Some(live));
        }
        let _one = of.opening.lock().await;
        if let Some(live) = of.open() {
            return Ok(Some(live));
        }
        let opened = match self.open_stream(channel).await {
            Ok(opened) => opened,
            Err(RequestError::Problem(problem)) => {
                return match (problem.name(), problem.status) {
                    // A peer of before, or what stands before it.
                    ("route-unknown", _) | (_, 405 | 415 | 501) => {
                        self.streams.unknown.store(true, Ordering::Relaxed);
                        Ok(None)
                    }
                    ("no-place", _) => Ok(None),
                    _ => Err(RequestError::Problem(problem)),
                };
            }
            Err(error) => return Err(error),
        };
        *lock(&of.live) = Some(opened.clone());
        Ok(Some(opened))
    }

    async fn open_stream(&self, channel: &str) -> Result<Live, RequestError> {
        let url = self.url(&["channels", channel, "submissions"], &[])?;
        let (frames, goes) = mpsc::unbounded_channel::<Vec<u8>>();
        let pieces = futures_util::stream::unfold(goes, |mut goes| async move {
            let mut piece = goes.recv().await?;
            while piece.len() < PIECE_BYTES
                && let Ok(more) = goes.try_recv()
            {
                piece.extend(more);
            }
            Some((Ok::<_, io::Error>(Bytes::from(piece)), goes))
        });
        let body = (MEDIA_TYPE_SUBMISSIONS, Body::wrap_stream(pieces));
        let mut response = self.post_stream(url, body, MEDIA_TYPE_LINES).await?;
        let mut cutter = Cutter::new(Form::Lines, LINE_BYTES_MAX);
        let first = loop {
            if let Some(line) = cutter.cut().map_err(|error| RequestError::Answer(error.to_string()))? {
                break read_line(line)?;
            }
            let piece = response.chunk().await.map_err(|source| self.unreachable(source))?;
            cutter.push(&piece.ok_or_else(|| RequestError::Answer("a stream without a beginning".into()))?);
        };
        let (credits, item_bytes_max) = match first {
            StreamLine { problem: Some(problem), .. } => return Err(RequestError::Problem(Box::new(problem))),
            StreamLine { credits: Some(credits @ 1..), item_bytes_max: Some(bytes), .. } => {
                (credits as usize, bytes as usize)
            }
            _ => return Err(RequestError::Answer("a stream that names no credits and no size of an item".into())),
        };
        let answers = Answers {
            waiting: Arc::new(Mutex::new(Some(HashMap::new()))),
            credits: Arc::new(Semaphore::new(credits.min(Semaphore::MAX_PERMITS))),
            ended: Arc::default(),
            heard: Arc::new(Mutex::new(Instant::now())),
        };
        #[expect(clippy::disallowed_methods, reason = "whoever waits sees its end, and opens another one")]
        tokio::spawn(answers.clone().read(response, cutter));
        Ok(Live { frames, numbers: Arc::default(), item_bytes_max, answers })
    }
}

fn read_line(line: &[u8]) -> Result<StreamLine, RequestError> {
    ledger_classes::primitives::json::from_slice(line).map_err(|error| RequestError::Answer(error.to_string()))
}

impl Answers {
    /// Tells everybody until the stream ends.
    async fn read(self, mut response: Response, mut cutter: Cutter) {
        loop {
            match cutter.cut().map(|line| line.map(read_line)) {
                Ok(Some(Ok(line))) => {
                    if let Some(problem) = line.problem {
                        // The first one counts.
                        let _ = self.ended.set(problem);
                        break;
                    }
                    if let (Some(number), Some(outcome)) = (line.number, line.outcome) {
                        let waiting = lock(&self.waiting).as_mut().and_then(|waiting| waiting.remove(&number));
                        // Who waited may have gone.
                        if let Some(waiting) = waiting {
                            let _ = waiting.told.send(outcome);
                        }
                    }
                }
                Ok(None) => match tokio::time::timeout(QUIET_MAX, response.chunk()).await {
                    Ok(Ok(Some(piece))) => {
                        *lock(&self.heard) = Instant::now();
                        cutter.push(&piece);
                    }
                    _ => break,
                },
                _ => break,
            }
        }
        // Whoever waits sees that nobody is going to answer.
        drop(lock(&self.waiting).take());
        self.credits.close();
    }
}
