//! Subscriptions over Server-Sent Events. A subscription is a cursor and nothing else: it is polled when its reader's
//! socket has room, takes shared frames from the channel, and buffers none. Who reads slowly is behind, not dropped.
//!
//! Before each piece is sent the reader's certificate and rights are judged again: what was revoked sees nothing more.

mod readable;

use self::readable::{Readable, check_topic, classes};
use super::{
    cursor::{Cursor, Start},
    frames,
    live_rights::LiveRights,
    media::EVENT_STREAM,
    parameters::Query,
};
use crate::{
    api::context::{PeerContext, draining},
    clock,
    limits::{CHUNK_BYTES_MAX, EVENTS_AT_ONCE, FRAMES_INLINE_MAX, KEEP_ALIVE, RETRY_AFTER_MS},
    net::{caller::Caller, places::Place},
    problem::{ApiError, Kind},
    telemetry::metrics::SubscriptionGuard,
};
use actix_web::{
    Error, HttpRequest, HttpResponse,
    http::header,
    web::{Bytes, BytesMut, Data, Path},
};
use channel_actors::{ChannelHandle, CommittedBlock, Frame, Unavailable};
use ledger_classes::formats::rights::{Class, Right, Rights, is_act};
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// What is subscribed to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    /// A height, or the cursor to go on behind.
    from: Option<String>,
    /// Classes, separated by commas; all that the caller may read if absent.
    class: Option<String>,
    /// A topic; with a trailing `*`, all that begin so.
    topic: Option<String>,
    /// Whether each event comes with its evidence.
    #[serde(default)]
    proof: bool,
}

pub(super) async fn subscribe(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<String>,
    query: Query<EventsQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let visible = context.channel(&caller, &path)?;
    context.accepting()?;
    let last_event_id = match request.headers().get("last-event-id") {
        None => None,
        Some(value) => Some(value.to_str().map_err(|_| Kind::MalformedCursor)?),
    };
    let start = Start::parse(query.from.as_deref(), last_event_id)?;
    let classes = classes(query.class.as_deref())?;
    let readable = Readable::of(visible.rights, classes.as_ref())?;
    if let Some(topic) = &query.topic {
        // What may be read changes; what can match does not.
        if is_act(Class::Logs, topic) {
            visible.acts()?;
        }
        check_topic(topic, classes.as_ref().unwrap_or(&Class::ALL.into()))?;
    }
    let place = context.places.subscriptions.take(caller.who(), 1)?;

    let live = LiveRights::of(&context, &caller, &visible);
    let channel = visible.channel;
    let begins = begins(&channel, start, visible.rights).await?;
    // An event is followed by others of its block.
    let (height, after) = match begins.is_end() {
        true => (begins.height + 1, None),
        false => (begins.height, Some(begins)),
    };
    let mut heights = channel.subscribe().map_err(super::reading::not_readable)?;
    heights.delivered(height.saturating_sub(1));
    let feed = Feed {
        unsent: Unsent { last: [0; 3], all: Arc::clone(&context.unsent) },
        _guard: context.metrics.subscribed(channel.name(), heights.place()),
        drained: context.draining.clone(),
        live,
        channel,
        classes,
        readable,
        topic: query.topic.clone(),
        proven: query.proof,
        heights,
        height,
        after,
        begins,
        passed: begins,
        told: height.saturating_sub(1),
        caught_up: false,
        spoken: Instant::now(),
        block: None,
        changed: false,
        begun: false,
        ended: false,
        _place: place,
    };
    let stream = futures_util::stream::unfold(feed, |mut feed| async move {
        let chunk = feed.next().await?;
        feed.unsent.add(chunk.len());
        Some((Ok::<Bytes, Error>(chunk), feed))
    });
    Ok(HttpResponse::Ok()
        .content_type(EVENT_STREAM)
        .insert_header((header::CACHE_CONTROL, "no-store, no-transform"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(stream))
}

/// The place behind which a subscription begins. A cursor is held against the chain: one of another history, of the
/// future, or of no event would lose events without a word.
async fn begins(channel: &ChannelHandle, start: Start, rights: Rights) -> Result<Cursor, ApiError> {
    let tip = channel.tip();
    let behind_tip = Cursor::end_of(tip.height, &tip.hash);
    let ahead = || ApiError::new(Kind::CursorAhead, format!("the channel's last block on this peer is {}", tip.height));
    let block = async |height| {
        let block = channel.block(height).await.map_err(super::reading::not_readable)?;
        block.ok_or_else(|| super::reading::unavailable("the block is not there yet"))
    };
    match start {
        Start::Now => Ok(behind_tip),
        // The genesis block holds no events: behind it is where everything begins.
        Start::Height(height) => match height.max(1) - 1 {
            before if before == tip.height => Ok(behind_tip),
            before if before > tip.height => Err(ahead()),
            before => Ok(Cursor::end_of(before, &block(before + 1).await?.block.header.previous)),
        },
        Start::After(cursor) if cursor.height > tip.height => Err(ahead()),
        Start::After(cursor) => {
            let block = block(cursor.height).await?;
            if !cursor.is_of(&block.header_hash) {
                let what = format!("block {} is {} on this peer", cursor.height, block.header_hash);
                return Err(ApiError::new(Kind::CursorOtherHistory, what));
            }
            match cursor.is_end() || may_be_an_event(&block, &cursor, rights) {
                true => Ok(cursor),
                false => Err(Kind::CursorNoEvent.into()),
            }
        }
    }
}

/// Whether a cursor is of an event, as far as its reader may know. A reader whose rights have shrunk goes on behind what
/// it has seen, with the next event that it may see; so does everybody who may not read all, wherever in the block the
/// cursor is: one answer for events that are hidden and for events that are not. How many receipts a block has is in its
/// header.
fn may_be_an_event(block: &CommittedBlock, cursor: &Cursor, rights: Rights) -> bool {
    let Some(receipt) = block.receipts.get(cursor.index as usize) else { return false };
    let knows_all = rights.reads_acts() && Class::ALL.into_iter().all(|class| rights.allows(Right::Read(class)));
    let exists = || receipt.decoded_events().is_ok_and(|events| (cursor.event as usize) < events.len());
    !knows_all || exists()
}

/// Events of a receipt.
fn events_of(block: &CommittedBlock, receipt: u32) -> usize {
    block.receipts.get(receipt as usize).map_or(0, |receipt| receipt.events.len())
}

/// A live subscription.
struct Feed {
    live: LiveRights,
    channel: ChannelHandle,
    classes: Option<BTreeSet<Class>>,
    readable: Readable,
    topic: Option<String>,
    proven: bool,
    heights: channel_actors::Subscription,
    /// The block that comes next, or is being delivered.
    height: u64,
    /// Events up to here were delivered before.
    after: Option<Cursor>,
    /// Where it begins.
    begins: Cursor,
    /// Behind the last block that was looked through, or where it begins.
    passed: Cursor,
    /// The height that the reader has been told with an id.
    told: u64,
    /// The reader was told once that nothing more is there.
    caught_up: bool,
    /// When something was last sent.
    spoken: Instant,
    block: Option<Reading>,
    /// What it may read has changed since the block's receipts were chosen.
    changed: bool,
    drained: watch::Receiver<bool>,
    begun: bool,
    ended: bool,
    unsent: Unsent,
    _guard: SubscriptionGuard,
    _place: Place,
}

/// What was handed over last and may not be sent: two pieces in HTTP's queue, one in TLS.
struct Unsent {
    last: [usize; 3],
    /// That of all subscriptions.
    all: Arc<AtomicUsize>,
}

impl Unsent {
    fn add(&mut self, bytes: usize) {
        let [oldest, middle, newest] = self.last;
        self.all.fetch_add(bytes, Ordering::Relaxed);
        self.all.fetch_sub(oldest, Ordering::Relaxed);
        self.last = [middle, newest, bytes];
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.all.fetch_sub(self.last.iter().sum(), Ordering::Relaxed);
    }
}

/// A block that is being delivered. A reader may take minutes for it: it is not kept for one alone.
struct Reading {
    block: Weak<CommittedBlock>,
    /// Receipts that hold something for this reader, last first.
    receipts: Vec<u32>,
    /// The next frame of the first of them.
    frame: usize,
}

impl Feed {
    /// The next piece for the socket; `None` ends the response.
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        if !std::mem::replace(&mut self.begun, true) {
            let tip = self.channel.tip().height;
            self.caught_up = self.begins.is_end() && self.begins.height == tip;
            return Some(frames::begin(&self.begins, tip));
        }
        match self.advance().await {
            Ok(chunk) => {
                self.spoken = Instant::now();
                Some(chunk)
            }
            Err(refusal) => {
                self.ended = true;
                Some(frames::ending(&refusal.problem()))
            }
        }
    }

    /// Whether this reader may still read, and what.
    async fn judged(&mut self) -> Result<(), ApiError> {
        if *self.drained.borrow() {
            return Err(draining());
        }
        let classes = self.classes.as_ref();
        if let Some(readable) = self.live.again(|rights| Readable::of(rights, classes)).await? {
            self.readable = readable;
            self.changed = true;
        }
        Ok(())
    }

    async fn advance(&mut self) -> Result<Bytes, ApiError> {
        loop {
            self.judged().await?;
            if let Some(reading) = self.block.take() {
                let block = match reading.block.upgrade() {
                    Some(block) => Some(block),
                    None => {
                        let block = self.load().await?;
                        // It may have waited for long.
                        self.judged().await?;
                        block
                    }
                };
                match block {
                    Some(block) => match self.unmade(&block, &reading) {
                        unmade if unmade.is_empty() => {
                            if let Some(chunk) = self.deliver(&block, reading) {
                                return Ok(chunk);
                            }
                        }
                        unmade => {
                            self.block = Some(reading);
                            self.make(block, unmade).await?;
                        }
                    },
                    None => self.block = Some(reading),
                }
            }
            // Passing over many blocks that hold nothing for this reader takes long: it is told that it goes on.
            if self.spoken.elapsed() >= KEEP_ALIVE {
                return Ok(self.alive());
            }
            if self.block.is_some() {
                // Others of this thread have their turn.
                tokio::task::yield_now().await;
                continue;
            }
            if self.height <= self.channel.tip().height {
                self.begin().await?;
            } else if !std::mem::replace(&mut self.caught_up, true)
                && let Some(place) = self.place()
            {
                return Ok(frames::position(&place, self.channel.tip().height));
            } else if !self.wait().await? {
                return Ok(self.alive());
            }
        }
    }

    /// Frames of the loaded block that pass the filters, up to a chunk. `None`: nothing of what was looked at passes, or
    /// the block is delivered.
    fn deliver(&mut self, block: &Arc<CommittedBlock>, reading: Reading) -> Option<Bytes> {
        let Reading { mut receipts, frame: mut next, .. } = reading;
        if std::mem::take(&mut self.changed) {
            let at = receipts.last().copied();
            receipts = self.receipts(block);
            receipts.retain(|receipt| at.is_some_and(|at| *receipt >= at));
            if receipts.last().copied() != at {
                next = 0;
            }
        }
        let mut first: Option<Bytes> = None;
        let mut chunk = BytesMut::new();
        let (mut looked, mut unmade) = (0, 0);
        'receipts: while let Some(index) = receipts.last().copied() {
            if !block.has_frames(self.proven, index) {
                unmade += events_of(block, index);
                if unmade > FRAMES_INLINE_MAX {
                    break;
                }
            }
            let frames = self.frames(block, index);
            while let Some(frame) = frames.get(next) {
                let full = chunk.len() + first.as_ref().map_or(0, Bytes::len) + frame.bytes.len() > CHUNK_BYTES_MAX;
                if full && (first.is_some() || !chunk.is_empty()) {
                    break 'receipts;
                }
                next += 1;
                if !self.passes(index, frame) {
                    continue;
                }
                match first.take() {
                    // A single frame goes out as it is, shared; only several are copied together.
                    None if chunk.is_empty() => first = Some(frame.bytes.clone()),
                    earlier => {
                        chunk.extend_from_slice(earlier.as_deref().unwrap_or_default());
                        chunk.extend_from_slice(&frame.bytes);
                    }
                }
            }
            receipts.pop();
            next = 0;
            // Of a receipt with a thousand events this reader may want one; all of them may have been encoded for it.
            looked += frames.len();
            if looked >= EVENTS_AT_ONCE {
                break;
            }
        }
        if receipts.is_empty() {
            self.heights.delivered(self.height);
            self.passed = Cursor::end_of(self.height, &block.header_hash);
            self.height += 1;
        } else {
            self.block = Some(Reading { block: Arc::downgrade(block), receipts, frame: next });
        }
        first.or_else(|| (!chunk.is_empty()).then(|| chunk.freeze()))
    }

    /// Receipts that come next whose frames take longer to make than others of this thread may wait.
    fn unmade(&self, block: &CommittedBlock, reading: &Reading) -> Vec<u32> {
        // What was just made is delivered first: frames that are made for what comes behind it could push it out.
        if reading.receipts.last().is_some_and(|index| block.has_frames(self.proven, *index)) {
            return Vec::new();
        }
        let mut events = 0;
        let mut unmade = Vec::new();
        for index in reading.receipts.iter().rev().copied().filter(|index| !block.has_frames(self.proven, *index)) {
            events += events_of(block, index);
            unmade.push(index);
            if events > FRAMES_INLINE_MAX {
                return unmade;
            }
        }
        Vec::new()
    }

    /// Makes the frames of receipts in this reader's turn.
    async fn make(&mut self, block: Arc<CommittedBlock>, receipts: Vec<u32>) -> Result<(), ApiError> {
        let (channel, proven) = (self.channel.clone(), self.proven);
        let made = self.channel.encode(move || {
            // What is delivered first is made last: it is kept in any case.
            for receipt in receipts.into_iter().rev() {
                block.frames(proven, receipt, |block| frames::encode(channel.name(), block, receipt, proven));
            }
            // The block is not let go before it is looked at again.
            block
        });
        self.done(made.await).await.map(drop)
    }

    /// What was done on a reading thread; nothing if there was no room, after the time that was asked for.
    async fn done<R>(&mut self, done: Result<R, Unavailable>) -> Result<Option<R>, ApiError> {
        match done {
            Ok(done) => Ok(Some(done)),
            // Readers of the past wait for each other; nobody is dropped for it.
            Err(Unavailable::Busy { retry_after_ms }) => {
                self.changed(false, Duration::from_millis(retry_after_ms)).await;
                Ok(None)
            }
            Err(error) => Err(super::reading::not_readable(error)),
        }
    }

    fn frames(&self, block: &CommittedBlock, receipt: u32) -> Arc<[Frame]> {
        block.frames(self.proven, receipt, |block| frames::encode(self.channel.name(), block, receipt, self.proven))
    }

    fn wants(&self, class: Class, topic: &str) -> bool {
        self.readable.wants(self.topic.as_deref(), class, topic)
    }

    fn passes(&self, index: u32, frame: &Frame) -> bool {
        let place = (self.height, index, frame.event);
        self.after.is_none_or(|after| place > after.place()) && self.wants(frame.class, &frame.topic)
    }

    /// Receipts of a block that hold something for this reader, last first.
    fn receipts(&self, block: &CommittedBlock) -> Vec<u32> {
        let mut receipts = block.contents().receipts(|class, topic| self.wants(class, topic));
        // What was delivered before is not encoded again.
        let first = self.after.filter(|after| after.height == self.height).map_or(0, |after| after.index);
        receipts.retain(|receipt| *receipt >= first);
        receipts.reverse();
        receipts
    }

    async fn begin(&mut self) -> Result<(), ApiError> {
        if let Some(block) = self.load().await? {
            self.changed = false;
            self.block = Some(Reading { receipts: self.receipts(&block), frame: 0, block: Arc::downgrade(&block) });
        }
        Ok(())
    }

    /// The block that comes next; `None` if it is to be asked for again.
    async fn load(&mut self) -> Result<Option<Arc<CommittedBlock>>, ApiError> {
        let block = self.channel.block(self.height).await;
        let block = match self.done(block).await? {
            Some(Some(block)) => block,
            // The tip moved before it could be read: it is there in a moment.
            Some(None) => {
                self.changed(false, Duration::from_millis(RETRY_AFTER_MS)).await;
                return Ok(None);
            }
            None => return Ok(None),
        };
        if frames::takes_long(&block) {
            let looked = Arc::clone(&block);
            let looked = self.channel.encode(move || {
                looked.contents();
            });
            let looked = looked.await;
            return Ok(self.done(looked).await?.map(|()| block));
        }
        Ok(Some(block))
    }

    /// Waits for a block with something for this reader or for anything that could end the subscription. False if it is
    /// time for a sign of life.
    async fn wait(&mut self) -> Result<bool, ApiError> {
        let expiry = self.live.caller().not_after().map(|at| at.millis_since(clock::now()).saturating_add(1));
        let expiry = Duration::from_millis(expiry.unwrap_or(u64::MAX));
        let changed = self.changed(true, expiry.min(KEEP_ALIVE)).await;
        // Blocks that hold nothing for this reader were passed over.
        self.height = self.heights.place().load(Ordering::Relaxed) + 1;
        Ok(changed || expiry < KEEP_ALIVE)
    }

    /// Waits for anything that could end the subscription, and for `blocks`. False if nothing of it happens within
    /// `limit`.
    async fn changed(&mut self, blocks: bool, limit: Duration) -> bool {
        let (readable, topic) = (self.readable.clone(), self.topic.clone());
        let filter = move |class, text: &str| readable.wants(topic.as_deref(), class, text);
        let block = async {
            match blocks {
                true => self.heights.wanted(filter).await,
                false => self.heights.reached(u64::MAX).await.map(|_| ()),
            }
        };
        let happened = async {
            tokio::select! {
                // A channel that has stopped is judged by whoever asked to wait.
                _ = block => {}
                _ = self.drained.changed() => {}
                () = self.live.trust_changed() => {}
            }
        };
        tokio::time::timeout(limit, happened).await.is_ok()
    }

    /// Behind everything that was delivered or passed over, if its block's hash is at hand.
    fn place(&self) -> Option<Cursor> {
        let height = self.height.saturating_sub(1);
        match self.passed.height == height && self.passed.is_end() {
            true => Some(self.passed),
            false => self.channel.recent_hash(height).map(|hash| Cursor::end_of(height, &hash)),
        }
    }

    /// A sign of life, with the position if blocks went by that held nothing for this reader.
    fn alive(&mut self) -> Bytes {
        match self.place().filter(|place| place.height > self.told) {
            Some(place) => {
                self.told = place.height;
                frames::position(&place, self.channel.tip().height)
            }
            None => Bytes::from_static(frames::ALIVE),
        }
    }
}

#[cfg(test)]
mod tests;
