//! Answers as they go out: encoded on reading threads, in the caller's turn, into pieces that count against the peer's
//! budget of memory until they are sent. What may be large is encoded a slice at a time, each when its reader has taken
//! the one before: a slow reader holds two slices and not an answer.
//!
//! What must never happen here: encoding on a thread that serves connections, or an answer that nobody counts.

use super::live_rights::LiveRights;
use super::reading::{Failed, not_readable, read};
use crate::{
    api::{
        access::Visible,
        budget::{Held, Purse, Use, UsedUp},
        context::PeerContext,
    },
    limits::{ANSWER_WHOLE_BYTES_MAX, PIECE_BYTES, RETRY_AFTER_MS},
    net::caller::Caller,
    problem::{ApiError, Kind},
};
use actix_web::{
    HttpResponse, HttpResponseBuilder,
    body::{BodySize, MessageBody},
    web::Bytes,
};
use channel_actors::{ChannelHandle, Reader, Unavailable};
use futures_util::StreamExt as _;
use ledger_classes::state::view::ReadError;
use serde::Serialize;
use std::{
    collections::VecDeque,
    convert::Infallible,
    io::{self, Write},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

/// Bytes that a piece has room for when it begins.
const SHORT_ANSWER_BYTES: usize = 1024;

/// What is encoded and not sent yet.
pub(super) struct Pieces {
    full: VecDeque<Bytes>,
    open: Vec<u8>,
    /// Bytes so far, sent ones too.
    total: usize,
    held: Held,
    /// May exceed the budget: an answer that has begun is finished.
    begun: bool,
    refused: Option<UsedUp>,
}

impl Pieces {
    pub(super) fn new(held: Held) -> Self {
        Self { full: VecDeque::new(), open: Vec::new(), total: 0, held, begun: false, refused: None }
    }

    /// Bytes so far.
    pub(super) const fn total(&self) -> usize {
        self.total
    }

    fn hold(&mut self, bytes: usize) -> Result<(), UsedUp> {
        if self.begun {
            self.held.add(bytes);
            return Ok(());
        }
        self.held.grow(bytes).inspect_err(|used_up| self.refused = Some(*used_up))
    }

    /// Ends the piece that is being filled.
    fn close(&mut self) -> Result<(), UsedUp> {
        if !self.open.is_empty() {
            self.hold(self.open.len())?;
            self.full.push_back(std::mem::take(&mut self.open).into());
        }
        Ok(())
    }

    /// What of the error is the caller's matter.
    fn failed(&self, error: impl ToString) -> Failed {
        match self.refused {
            Some(used_up) => Failed::Refused(used_up.into()),
            None => Failed::Broken(ReadError(error.to_string())),
        }
    }

    /// Encodes a value as JSON.
    pub(super) fn json<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
        serde_json::to_writer(&mut *self, value).map_err(|error| self.failed(error))
    }

    /// Adds text as it is.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Failed> {
        self.raw(text.as_bytes())
    }

    /// Adds encoded bytes.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        self.write_all(bytes).map_err(|error| self.failed(error))
    }

    /// Adds bytes as they are, without copying them.
    pub(super) fn bytes(&mut self, bytes: Bytes) -> Result<(), Failed> {
        let closed = self.close().and_then(|()| self.hold(bytes.len()));
        closed.map_err(|used_up| self.failed(used_up))?;
        self.total += bytes.len();
        self.full.push_back(bytes);
        Ok(())
    }

    /// What nobody pays for, and all of it.
    #[cfg(test)]
    pub(super) fn unpaid() -> Self {
        use crate::api::budget::{Budget, Payer};
        use crate::net::standing::Standing;
        use channel_actors::Asker;
        let payer = Payer { standing: Standing::Anonymous, asker: Asker::PEER, channel: None };
        Self::new(Budget::new(usize::MAX).hold(payer, Use::Answers))
    }

    #[cfg(test)]
    pub(super) fn all(mut self) -> Vec<u8> {
        assert!(self.close().is_ok());
        self.full.iter().flatten().copied().collect()
    }

    fn pop(&mut self) -> Option<Bytes> {
        self.full.pop_front()
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE_BYTES - self.open.len());
        if self.open.capacity() == 0 {
            // Most answers are no longer, and come in many small bits.
            self.open.reserve(SHORT_ANSWER_BYTES);
        }
        self.open.extend_from_slice(&bytes[..taken]);
        self.total += taken;
        if self.open.len() == PIECE_BYTES {
            self.close().map_err(io::Error::other)?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Pieces that were handed over and may be in the buffers of the connection, which hold two at most.
#[derive(Default)]
struct Handed(VecDeque<usize>);

impl Handed {
    /// One more is; what is sent by then is given back.
    fn over(&mut self, piece: &Bytes, held: &mut Held) {
        self.0.push_back(piece.len());
        if self.0.len() > 3
            && let Some(sent) = self.0.pop_front()
        {
            held.shrink(sent);
        }
    }
}

/// A body of pieces.
struct Whole {
    pieces: Pieces,
    handed: Handed,
}

impl From<Pieces> for Whole {
    fn from(pieces: Pieces) -> Self {
        Self { pieces, handed: Handed::default() }
    }
}

impl MessageBody for Whole {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.pieces.total as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        let Self { pieces, handed } = &mut *self;
        let piece = pieces.pop();
        if let Some(piece) = &piece {
            handed.over(piece, &mut pieces.held);
        }
        Poll::Ready(piece.map(Ok))
    }
}

/// Answers with what `encode` writes, a bounded amount, on a reading thread.
pub(super) async fn written(
    visible: &Visible,
    mut response: HttpResponseBuilder,
    encode: impl FnOnce(&Reader<'_>, &mut Pieces) -> Result<(), Failed> + Send + 'static,
) -> Result<HttpResponse, ApiError> {
    let mut pieces = Pieces::new(visible.purse.hold(Use::Answers));
    let written = read(&visible.channel, move |reader| {
        encode(reader, &mut pieces)?;
        pieces.close().map_err(|used_up| Failed::Refused(used_up.into()))?;
        Ok(pieces)
    });
    Ok(response.body(Whole::from(written.await?)))
}

/// A body that all who are answered with it share: it goes out piece by piece, so that a slow reader holds one. What the
/// peer keeps no longer, because something newer has taken its place, is there for its readers alone: they pay for it.
struct SharedParts<K> {
    parts: VecDeque<Bytes>,
    left: usize,
    kept: K,
    held: Held,
}

impl<K: Fn() -> bool + Unpin> MessageBody for SharedParts<K> {
    type Error = UsedUp;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.left as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, UsedUp>>> {
        if !(self.kept)() {
            let more = self.left.saturating_sub(self.held.bytes());
            if let Err(used_up) = self.held.grow(more) {
                // The connection ends in the middle; whoever asks again gets what is in its place.
                return Poll::Ready(Some(Err(used_up)));
            }
        }
        while self.parts.front().is_some_and(Bytes::is_empty) {
            self.parts.pop_front();
        }
        let Some(part) = self.parts.front_mut() else { return Poll::Ready(None) };
        let piece = part.split_to(part.len().min(PIECE_BYTES));
        self.left -= piece.len();
        let (left, held) = (self.left, self.held.bytes());
        self.held.shrink(held.saturating_sub(left));
        Poll::Ready(Some(Ok(piece)))
    }
}

/// Answers with what is kept anyway, as long as `kept` says so, and copied for nobody.
pub(super) fn shared(
    context: &PeerContext,
    caller: &Caller,
    mut response: HttpResponseBuilder,
    parts: Vec<Bytes>,
    kept: impl Fn() -> bool + Unpin + 'static,
) -> HttpResponse {
    let left = parts.iter().map(Bytes::len).sum();
    let held = context.purse(caller).hold(Use::Answers);
    response.body(SharedParts { parts: parts.into(), left, kept, held })
}

/// Answers with what is of no channel, and what `encode` writes of it, on a reading thread.
pub(super) async fn made(
    context: &PeerContext,
    caller: &Caller,
    mut response: HttpResponseBuilder,
    encode: impl FnOnce(&mut Pieces) -> Result<(), Failed> + Send + 'static,
) -> Result<HttpResponse, ApiError> {
    let mut pieces = Pieces::new(context.purse(caller).hold(Use::Answers));
    let made = context.registry.encode(caller.asker(), move || {
        encode(&mut pieces)?;
        pieces.close().map_err(|used_up| Failed::Refused(used_up.into()))?;
        Ok(pieces)
    });
    Ok(response.body(Whole::from(without_channel(made.await)?)))
}

/// What became of work that reads no channel.
fn without_channel<R>(worked: Result<Result<R, Failed>, Unavailable>) -> Result<R, ApiError> {
    worked.map_err(not_readable)?.map_err(|failed| match failed {
        Failed::Refused(refusal) => refusal,
        Failed::Broken(error) => {
            tracing::error!(%error, "an answer has no form");
            Kind::Broken.into()
        }
    })
}

/// Answers with what is encoded already.
pub(super) fn sent(
    visible: &Visible,
    mut response: HttpResponseBuilder,
    parts: impl FnOnce(&mut Pieces) -> Result<(), Failed>,
) -> Result<HttpResponse, ApiError> {
    let mut pieces = Pieces::new(visible.purse.hold(Use::Answers));
    let closed = |mut pieces: Pieces| match pieces.close() {
        Ok(()) => Ok(pieces),
        Err(used_up) => Err(Failed::Refused(used_up.into())),
    };
    let pieces = without_channel(Ok(parts(&mut pieces).and_then(|()| closed(pieces))))?;
    Ok(response.body(Whole::from(pieces)))
}

/// Answers with what a query finds, in JSON.
pub(super) async fn found<T: Serialize>(
    visible: &Visible,
    query: impl FnOnce(&Reader<'_>) -> Result<T, Failed> + Send + 'static,
) -> Result<HttpResponse, ApiError> {
    written(visible, in_json(), move |reader, out| out.json(&query(reader)?)).await
}

/// An answer in JSON.
pub(super) fn in_json() -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response.content_type("application/json");
    response
}

/// Something large that is encoded a slice at a time.
pub(super) trait Slices: Send + 'static {
    /// Encodes some more: until `out` has [`crate::limits::SLICE_BYTES`] more, or as much work was done. False once all
    /// is encoded.
    fn next(&mut self, reader: Option<&Reader<'_>>, out: &mut Pieces) -> Result<bool, Failed>;
}

/// The reader of what is encoded from a channel.
pub(super) fn there<'a, 'r>(reader: Option<&'a Reader<'r>>) -> Result<&'a Reader<'r>, Failed> {
    reader.ok_or_else(|| Failed::Refused(Kind::Broken.into()))
}

/// What is read while an answer is encoded.
pub(super) enum Source {
    /// A channel, as long as the caller may.
    Channel(ChannelHandle, LiveRights),
    /// Nothing: all is at hand.
    Nothing(Arc<PeerContext>, Caller),
}

impl Source {
    /// Whether the answer may go on: whoever is revoked meanwhile, or has lost a right on the channel, gets no more of it.
    async fn still(&mut self) -> Result<(), ApiError> {
        match self {
            Self::Channel(_, live) => live.all_still().await,
            Self::Nothing(context, caller) => caller.check(&context.trust),
        }
    }
}

/// What is encoded, and what is not encoded yet. Shared with the job that encodes: a read that is refused for the moment
/// loses nothing.
struct Progress<S> {
    slices: S,
    out: Pieces,
    more: bool,
    handed: Handed,
}

type Encoding<S> = Arc<Mutex<Progress<S>>>;

fn with<S, R>(shared: &Encoding<S>, act: impl FnOnce(&mut Progress<S>) -> R) -> R {
    act(&mut shared.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Encodes a slice in the caller's turn.
async fn slice<S: Slices>(source: &Source, shared: &Encoding<S>) -> Result<(), ApiError> {
    let shared = Arc::clone(shared);
    let encode = move |reader: Option<&Reader<'_>>| {
        with(&shared, |Progress { slices, out, more, .. }| {
            *more = slices.next(reader, out)?;
            out.close().map_err(|used_up| Failed::Refused(used_up.into()))
        })
    };
    match source {
        Source::Channel(channel, _) => read(channel, move |reader| encode(Some(reader))).await,
        Source::Nothing(context, caller) => {
            without_channel(context.registry.encode(caller.asker(), move || encode(None)).await)
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "nothing tells when a caller's reads are fewer again")]
async fn wait(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// Answers in JSON with what of a channel is encoded slice by slice.
pub(super) async fn sliced<S: Slices>(
    context: &Arc<PeerContext>,
    caller: &Caller,
    visible: &Visible,
    slices: S,
) -> Result<HttpResponse, ApiError> {
    let source = Source::Channel(visible.channel.clone(), LiveRights::of(context, caller, visible));
    streamed(source, &visible.purse, in_json(), slices).await
}

/// Answers with what is encoded slice by slice; with a length, where the whole is small.
pub(super) async fn streamed<S: Slices>(
    mut source: Source,
    purse: &Purse,
    mut response: HttpResponseBuilder,
    slices: S,
) -> Result<HttpResponse, ApiError> {
    let out = Pieces::new(purse.hold(Use::Answers));
    let shared = Arc::new(Mutex::new(Progress { slices, out, more: true, handed: Handed::default() }));
    while with(&shared, |progress| progress.more && progress.out.total < ANSWER_WHOLE_BYTES_MAX) {
        slice(&source, &shared).await?;
        source.still().await?;
    }
    let unheld = Pieces::new(purse.hold(Use::Answers));
    let all = with(&shared, |progress| (!progress.more).then(|| std::mem::replace(&mut progress.out, unheld)));
    if let Some(pieces) = all {
        return Ok(response.body(Whole::from(pieces)));
    }
    with(&shared, |progress| progress.out.begun = true);
    // What is handed over last is held until the body goes.
    let until_sent = Arc::clone(&shared);
    let begun = (shared, source);
    let pieces = futures_util::stream::unfold(Some(begun), |state| async move {
        let (shared, mut source) = state?;
        loop {
            let piece = with(&shared, |Progress { out, handed, .. }| {
                out.pop().inspect(|piece| handed.over(piece, &mut out.held))
            });
            if let Some(piece) = piece {
                return Some((Ok(piece), Some((shared, source))));
            }
            if !with(&shared, |progress| progress.more) {
                return None;
            }
            // To encode waits for its turn: what its reader may not have any more by then does not go out.
            let encoded = match slice(&source, &shared).await {
                Ok(()) => source.still().await,
                Err(refusal) => Err(refusal),
            };
            match encoded {
                Ok(()) => {}
                // What has begun waits for its turn: it cannot be refused any more.
                Err(busy) if busy.name() == Kind::Busy.name() => {
                    wait(busy.retry_hint_ms().unwrap_or(RETRY_AFTER_MS)).await;
                }
                // The connection ends in the middle: that is how the reader learns of it.
                Err(refusal) => return Some((Err(actix_web::Error::from(refusal)), None)),
            }
        }
    });
    let pieces = pieces.inspect(move |_| {
        let _ = &until_sent;
    });
    Ok(response.streaming(Box::pin(pieces)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::api::budget::{Budget, Payer};
    use crate::net::standing::Standing;
    use channel_actors::Asker;
    use futures_util::task::noop_waker_ref;
    use std::cell::Cell;

    /// Whoever replaced a list of 16 MiB again and again had the peer keep each one for its slow readers.
    #[test]
    fn what_is_kept_no_longer_is_paid_for_by_those_who_still_read_it() {
        let budget = Budget::new(80 * PIECE_BYTES);
        let kept = Cell::new(true);
        let body = |asker: u64| SharedParts {
            parts: [2, 4, 3].map(|pieces| Bytes::from(vec![pieces; usize::from(pieces) * PIECE_BYTES])).into(),
            left: 9 * PIECE_BYTES,
            kept: || kept.get(),
            held: budget.hold(
                Payer { standing: Standing::Member, asker: Asker::from_number(asker), channel: None },
                Use::Answers,
            ),
        };
        let next =
            |body: &mut SharedParts<_>| match Pin::new(body).poll_next(&mut Context::from_waker(noop_waker_ref())) {
                Poll::Ready(next) => next,
                Poll::Pending => panic!("all of it is there"),
            };
        let (mut one, mut other) = (body(1), body(1));
        assert_eq!(next(&mut one).unwrap().unwrap().len(), PIECE_BYTES);
        assert_eq!(next(&mut other).unwrap().unwrap().len(), PIECE_BYTES);
        assert_eq!(budget.used(Use::Answers), 0);
        kept.set(false);
        assert_eq!(next(&mut one).unwrap().unwrap().len(), PIECE_BYTES);
        assert_eq!(budget.used(Use::Answers), 7 * PIECE_BYTES);
        assert!(next(&mut other).unwrap().is_err(), "the caller's part, a tenth, has no room for two");
        drop(other);
        let rest: usize = std::iter::from_fn(|| next(&mut one)).map(|piece| piece.unwrap().len()).sum();
        assert_eq!((rest, budget.used(Use::Answers)), (7 * PIECE_BYTES, 0));
    }
}
