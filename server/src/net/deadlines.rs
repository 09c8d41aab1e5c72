//! How long a connection may take for what nobody else limits. The stream below HTTP is [`Paced`]:
//!
//! - Between answers, a byte that arrives begins a head, which has to be complete within the time for a head. What is
//!   left of a refused body counts as one.
//! - A connection on which nothing is being answered and nothing moves is closed after the time for idleness and that
//!   for a head, whatever is waited for.
//! - While a request is being answered its body and its commit have their own limits. Its reader has one here: it may let
//!   the peer wait for a grace, and beyond that for as long as what it has taken needs at the least pace. The whole
//!   answer has a time limit.
//! - A subscription lasts, and may be slow; one that takes nothing for the time of a write ends.
//!
//! A connection has one timer, which is moved only when a limit comes closer: one that is idle costs nothing.

use crate::{
    limits::{ANSWER_GRACE, ANSWER_TIME_MAX},
    setup::config::Limits,
    telemetry::cut::Cut,
};
use actix_web::{
    body::{BodySize, BoxBody, MessageBody},
    web::Bytes,
};
use std::{
    cell::{Cell, RefCell},
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
pub struct Pace {
    head: Duration,
    idle: Duration,
    /// How long a reader may take nothing of what lasts.
    stall: Duration,
    /// Bytes a second that a reader of anything else takes.
    least: u64,
    /// Requests that are being answered; their heads were complete.
    answering: Cell<usize>,
    /// When the first byte came since the last answer ended.
    head_began: Cell<Option<Instant>>,
    /// When an answer ended, or some of it was taken.
    moved: Cell<Instant>,
    /// When the last answer began.
    began: Cell<Instant>,
    /// Whether it lasts.
    lasting: Cell<bool>,
    /// Bytes that were taken since it began.
    taken: Cell<u64>,
    /// How long the peer waited for its reader before the last byte was taken.
    waited: Cell<Duration>,
    /// Since when it waits again.
    waits: Cell<Option<Instant>>,
    cut: Cell<Option<Cut>>,
    /// Bodies of which all was handed over and some may not be sent: what they hold is not given back before.
    unsent: RefCell<Vec<BoxBody>>,
}

impl Pace {
    fn new(limits: &Limits, now: Instant) -> Self {
        Self {
            head: Duration::from_millis(limits.header_timeout_ms),
            idle: Duration::from_secs(limits.idle_seconds),
            stall: Duration::from_millis(limits.write_timeout_ms),
            least: limits.answer_bytes_per_second_min.max(1),
            answering: Cell::new(0),
            head_began: Cell::new(None),
            moved: Cell::new(now),
            began: Cell::new(now),
            lasting: Cell::new(false),
            taken: Cell::new(0),
            waited: Cell::new(Duration::ZERO),
            waits: Cell::new(None),
            cut: Cell::new(None),
            unsent: RefCell::default(),
        }
    }

    /// A head is complete: its request is being answered until what is returned is dropped.
    pub fn answer(self: &Rc<Self>) -> Answering {
        self.answer_at(Instant::now())
    }

    fn answer_at(self: &Rc<Self>, now: Instant) -> Answering {
        self.answering.set(self.answering.get() + 1);
        self.head_began.set(None);
        self.began.set(now);
        self.lasting.set(false);
        self.taken.set(0);
        self.waited.set(Duration::ZERO);
        Answering(Rc::clone(self))
    }

    /// What was cut off because it took too long, if so.
    pub const fn cut(&self) -> Option<Cut> {
        self.cut.get()
    }

    /// When the connection is to be closed if it goes on as it does, and what is cut off then.
    fn deadline(&self) -> Option<(Instant, Option<Cut>)> {
        let answering = self.answering.get() > 0;
        let quiet = self.moved.get() + self.idle + self.head;
        let between = self.head_began.get().map_or(quiet, |began| quiet.min(began + self.head));
        let lasting = self.lasting.get();
        let whole = self.began.get() + ANSWER_TIME_MAX;
        let slow = self.waits.get().map(|since| match lasting {
            true => (since + self.stall, Some(Cut::Stalled)),
            false => {
                let earned = Duration::from_millis(self.taken.get().saturating_mul(1_000) / self.least);
                let allowed = ANSWER_GRACE.min(self.stall) + earned;
                (since + allowed.saturating_sub(self.waited.get()), Some(Cut::Pace))
            }
        });
        let own = match (answering, lasting) {
            (false, _) => Some((between, None)),
            (true, false) => Some((whole, Some(Cut::Time))),
            (true, true) => None,
        };
        own.into_iter().chain(slow).min_by_key(|(at, _)| *at)
    }

    /// The reader takes nothing for the moment.
    fn waits(&self, now: Instant) {
        if self.waits.get().is_none() {
            self.waits.set(Some(now));
        }
    }

    /// The reader, or the system for it, took bytes.
    fn took(&self, bytes: usize, now: Instant) {
        self.moved.set(now);
        self.taken.set(self.taken.get().saturating_add(bytes as u64));
        self.goes_on(now);
    }

    /// The reader does not let the peer wait any more.
    fn goes_on(&self, now: Instant) {
        if let Some(since) = self.waits.take() {
            self.waited.set(self.waited.get() + now.saturating_duration_since(since));
        }
    }

    /// All that was handed over is sent.
    fn flushed(&self, now: Instant) {
        self.goes_on(now);
        // What a body does when it is dropped must find no borrow.
        drop(self.unsent.take());
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

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pace")
            .field("answering", &self.answering)
            .field("lasting", &self.lasting)
            .finish_non_exhaustive()
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct Answering(Rc<Pace>);

impl Answering {
    /// The answer is a subscription: it lasts as long as its reader wants.
    pub fn lasts(&self) {
        self.0.lasting.set(true);
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.ended(Instant::now());
    }
}

/// The body of an answer: the request is being answered until all of it is handed over, and what it holds is held until
/// it is sent.
pub struct AnswerBody {
    body: BoxBody,
    answering: Option<Answering>,
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let Some(answering) = &self.answering {
            answering.0.unsent.borrow_mut().push(std::mem::replace(&mut self.body, BoxBody::new(())));
        }
    }
}

impl AnswerBody {
    /// A body that goes out now.
    pub const fn new(body: BoxBody, answering: Option<Answering>) -> Self {
        Self { body, answering }
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
        began && self.pace.deadline().is_some_and(|(deadline, _)| Instant::now() >= deadline)
    }

    /// The stream itself, without limits.
    pub fn into_inner(self) -> IO {
        self.io
    }

    /// The reader lets the peer wait: the task is woken when that has been long enough.
    fn wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.pace.waits(Instant::now());
        self.in_time(cx)?;
        Poll::Pending
    }

    /// What became of a piece that was to be written.
    fn wrote(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(written) => {
                let written = written?;
                self.pace.took(written, Instant::now());
                Poll::Ready(Ok(written))
            }
            Poll::Pending => self.wait(cx),
        }
    }

    /// Fails after the deadline; before, the task is woken at it.
    fn in_time(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some((deadline, cut)) = self.pace.deadline() else { return Ok(()) };
        if self.timer.deadline() > deadline {
            self.timer.as_mut().reset(deadline);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                self.pace.cut.set(cut);
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
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.wrote(written, cx)
    }

    /// Head and body of an answer go out in one record.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.in_time(cx)?;
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bytes);
        self.wrote(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(cx)?;
        match Pin::new(&mut self.io).poll_flush(cx) {
            Poll::Ready(flushed) => {
                flushed?;
                self.pace.flushed(Instant::now());
                Poll::Ready(Ok(()))
            }
            Poll::Pending => self.wait(cx),
        }
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
        assert_eq!(pace.deadline().map(|(deadline, _)| deadline), expected.map(at));
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
                std::mem::forget(pace.answer_at(at(4)));
                // A body.
                pace.read(at(4));
            },
            Some(4 + ANSWER_TIME_MAX.as_secs()),
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

    /// A reader at 13 KB a second held its answer for as long as it liked.
    #[test]
    fn a_reader_has_the_time_that_the_least_pace_gives_it() {
        let kib_16 = 16 * 1024;
        let grace = ANSWER_GRACE.as_secs();
        // Nothing is taken.
        let nothing = |pace: &Rc<Pace>, at: &dyn Fn(u64) -> Instant| {
            std::mem::forget(pace.answer_at(at(3)));
            pace.waits(at(5));
            pace.waits(at(7));
        };
        check(nothing, Some(5 + grace));
        // Five seconds of waiting were for what five seconds pay.
        let slow = |pace: &Rc<Pace>, at: &dyn Fn(u64) -> Instant| {
            std::mem::forget(pace.answer_at(at(3)));
            pace.waits(at(5));
            pace.took(kib_16 * 5, at(10));
            pace.waits(at(20));
        };
        check(slow, Some(20 + grace));
        // Half of the pace.
        let slower = |pace: &Rc<Pace>, at: &dyn Fn(u64) -> Instant| {
            std::mem::forget(pace.answer_at(at(0)));
            for second in 0..10 {
                pace.waits(at(second));
                pace.took(kib_16 / 2, at(second + 1));
            }
            pace.waits(at(10));
        };
        check(slower, Some(10 + grace - 5));
        // The next answer begins anew, and so does one for which nobody waits.
        let next = |pace: &Rc<Pace>, at: &dyn Fn(u64) -> Instant| {
            slower(pace, at);
            pace.goes_on(at(12));
            pace.ended(at(12));
            std::mem::forget(pace.answer_at(at(13)));
        };
        check(next, Some(13 + ANSWER_TIME_MAX.as_secs()));
    }

    #[test]
    fn a_subscription_lasts_and_ends_when_nothing_is_taken() {
        let stall = Limits::default().write_timeout_ms / 1_000;
        let lasts = |pace: &Rc<Pace>, at: &dyn Fn(u64) -> Instant| {
            let answering = pace.answer_at(at(3));
            answering.lasts();
            std::mem::forget(answering);
            for hour in 0..10 {
                pace.waits(at(hour * 3_600));
                pace.took(1, at(hour * 3_600 + 50));
            }
        };
        check(lasts, None);
        let stalls = |pace: &Rc<Pace>, at: &dyn Fn(u64) -> Instant| {
            lasts(pace, at);
            pace.waits(at(40_000));
        };
        check(stalls, Some(40_000 + stall));
    }

    /// A body that tells when it is dropped.
    struct Told(Rc<Cell<bool>>);

    impl MessageBody for Told {
        type Error = std::convert::Infallible;

        fn size(&self) -> BodySize {
            BodySize::Stream
        }

        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
            Poll::Ready(None)
        }
    }

    impl Drop for Told {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }

    /// What the last pieces of an answer hold was given back while they were in the connection's buffers.
    #[test]
    fn what_a_body_holds_is_held_until_it_is_sent_or_the_connection_goes() {
        let pace = || Rc::new(Pace::new(&Limits::default(), Instant::now()));
        for sent in [true, false] {
            let (pace, gone) = (pace(), Rc::new(Cell::new(false)));
            drop(AnswerBody::new(BoxBody::new(Told(Rc::clone(&gone))), Some(pace.answer())));
            assert!(!gone.get() && pace.answering.get() == 0);
            if sent {
                pace.flushed(Instant::now());
            } else {
                drop(pace);
            }
            assert!(gone.get());
        }
    }
}
