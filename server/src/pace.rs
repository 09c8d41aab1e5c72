//! How long a connection may take for what nobody else limits. The stream below HTTP is [`Paced`]:
//!
//! - Between answers, a byte that arrives begins a head, which has to be complete within the time for a head. What is
//!   left of a refused body counts as one.
//! - A connection on which nothing is being answered and nothing moves is closed after the time for idleness and that
//!   for a head, whatever is waited for.
//! - While a request is being answered there is no limit here: its body, its commit and its readers have their own.
//!
//! A connection has one timer, which is moved only when a limit comes closer: one that is idle costs nothing.

use crate::config::Limits;
use actix_web::{
    body::{BodySize, BoxBody, MessageBody},
    web::Bytes,
};
use std::{
    cell::Cell,
    fmt, io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// What a connection is doing, and since when.
#[derive(Debug)]
pub struct Pace {
    head: Duration,
    idle: Duration,
    /// Requests that are being answered; their heads were complete.
    answering: Cell<usize>,
    /// When the first byte came since the last answer ended.
    head_began: Cell<Option<Instant>>,
    /// When an answer ended, or some of it was taken.
    moved: Cell<Instant>,
}

impl Pace {
    fn new(limits: &Limits, now: Instant) -> Self {
        Self {
            head: Duration::from_millis(limits.header_timeout_ms),
            idle: Duration::from_secs(limits.idle_seconds),
            answering: Cell::new(0),
            head_began: Cell::new(None),
            moved: Cell::new(now),
        }
    }

    /// A head is complete: its request is being answered until what is returned is dropped.
    pub fn answer(self: &Rc<Self>) -> Answering {
        self.answering.set(self.answering.get() + 1);
        self.head_began.set(None);
        Answering(Rc::clone(self))
    }

    /// When the connection is to be closed if it goes on as it does; never while a request is being answered.
    fn deadline(&self) -> Option<Instant> {
        if self.answering.get() > 0 {
            return None;
        }
        let quiet = self.moved.get() + self.idle + self.head;
        Some(self.head_began.get().map_or(quiet, |began| quiet.min(began + self.head)))
    }

    /// Bytes came.
    fn read(&self, now: Instant) {
        if self.answering.get() == 0 && self.head_began.get().is_none() {
            self.head_began.set(Some(now));
        }
    }

    fn ended(&self, now: Instant) {
        self.answering.set(self.answering.get().saturating_sub(1));
        self.moved.set(now);
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct Answering(Rc<Pace>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.ended(Instant::now());
    }
}

/// The body of an answer: the request is being answered until it is sent.
pub struct AnswerBody {
    body: BoxBody,
    _answering: Option<Answering>,
}

impl AnswerBody {
    /// A body that goes out now.
    pub const fn new(body: BoxBody, answering: Option<Answering>) -> Self {
        Self { body, _answering: answering }
    }
}

impl MessageBody for AnswerBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}

/// A stream that fails once its connection has been too slow.
pub struct Paced<IO> {
    io: IO,
    pace: Rc<Pace>,
    timer: Pin<Box<Sleep>>,
}

impl<IO> Paced<IO> {
    /// A connection that begins.
    pub fn new(io: IO, limits: &Limits) -> Self {
        let pace = Rc::new(Pace::new(limits, Instant::now()));
        let timer = Box::pin(sleep_until(pace.moved.get() + pace.idle + pace.head));
        Self { io, pace, timer }
    }

    /// The stream itself.
    pub const fn get_ref(&self) -> &IO {
        &self.io
    }

    /// What the connection is doing.
    pub fn pace(&self) -> Rc<Pace> {
        Rc::clone(&self.pace)
    }

    /// Whether a head began and did not come in time.
    pub fn head_is_late(&self) -> bool {
        let began = self.pace.head_began.get().is_some();
        began && self.pace.deadline().is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// The stream itself, without limits.
    pub fn into_inner(self) -> IO {
        self.io
    }

    /// Fails after the deadline; before, the task is woken at it.
    fn in_time(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(deadline) = self.pace.deadline() else { return Ok(()) };
        if self.timer.deadline() > deadline {
            self.timer.as_mut().reset(deadline);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the connection was too slow"));
            }
            self.timer.as_mut().reset(deadline);
        }
        Ok(())
    }
}

impl<IO> fmt::Debug for Paced<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paced").field("pace", &self.pace).finish_non_exhaustive()
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Paced<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.in_time(cx)?;
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.pace.read(Instant::now());
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Paced<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.in_time(cx)?;
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        self.pace.moved.set(Instant::now());
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(cx)?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(cx)?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds after the connection began, with 2 for a head and 10 for idleness.
    fn check(steps: impl Fn(&Rc<Pace>, &dyn Fn(u64) -> Instant), expected: Option<u64>) {
        let limits = Limits { header_timeout_ms: 2_000, idle_seconds: 10, ..Limits::default() };
        let began = Instant::now();
        let at = |seconds: u64| began + Duration::from_secs(seconds);
        let pace = Rc::new(Pace::new(&limits, began));
        steps(&pace, &at);
        assert_eq!(pace.deadline(), expected.map(at));
    }

    #[test]
    fn a_connection_is_given_time_by_what_it_does() {
        // Nothing at all.
        check(|_, _| {}, Some(12));
        // A head; further bytes give it no more time.
        check(
            |pace, at| {
                pace.read(at(3));
                pace.read(at(4));
            },
            Some(5),
        );
        // A head that begins late.
        check(|pace, at| pace.read(at(11)), Some(12));
        // A request.
        check(
            |pace, at| {
                pace.read(at(3));
                std::mem::forget(pace.answer());
                // A body.
                pace.read(at(4));
            },
            None,
        );
        // An answer, and then a further head.
        check(
            |pace, at| {
                pace.read(at(3));
                std::mem::forget(pace.answer());
                pace.ended(at(20));
            },
            Some(32),
        );
        check(
            |pace, at| {
                std::mem::forget(pace.answer());
                pace.ended(at(20));
                pace.read(at(25));
                pace.read(at(26));
            },
            Some(27),
        );
    }
}
