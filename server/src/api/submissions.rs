//! A stream of submissions: one request whose body brings transactions for as long as its caller likes, and whose answer
//! tells what became of each as soon as that is known, in the order in which they commit, with the caller's own number
//! (docs/decisions/0036, docs/formats/submissions.md).
//!
//! Always: no more than the announced number is under way, and of what comes beyond it nothing is read; whoever takes no
//! outcomes is read no further, either. What a stream may hold has its place before it begins.
//! What must never happen here: a transaction taken, or an outcome told, for a caller who was not judged after it came.

use super::{
    body,
    live_rights::LiveRights,
    media::preferred,
    transactions::{Answered, answered, binary, outcome},
};
use crate::{
    api::{
        access::{forbidden, may_post},
        context::{PeerContext, draining},
    },
    limits::{
        CHUNK_BYTES_MAX, COMMIT_WAIT, FRAMES_INLINE_MAX, JSON_BODY_BYTES_MAX, KEEP_ALIVE, RETRY_AFTER_MS, STREAM_BYTES,
        STREAM_CREDITS, STREAM_ITEM_BYTES, STREAM_LOOK, STREAM_OUTCOMES_BYTES_MAX,
    },
    net::{caller::Caller, places::Place},
    problem::{ApiError, Kind},
};
use actix_web::{
    Error, HttpRequest, HttpResponse,
    http::header,
    web::{Bytes, Data, Path, Payload},
};
use channel_actors::{ChannelHandle, Inbox, LifeCycle, SubmitResult};
use client::api::{
    CutError, Cutter, Form, ItemError, MEDIA_TYPE_LINES, MEDIA_TYPE_SUBMISSIONS, STREAM_VERSION, StreamFrame,
    StreamLine, push_frame, read_submission,
};
use futures_util::StreamExt as _;
use ledger_classes::formats::receipt::Receipt;
use ledger_classes::formats::rights::Rights;
use ledger_classes::formats::transaction::{ENVELOPE_BYTES_MAX, TransactionError};
use ledger_classes::primitives::codec;
use ledger_classes::primitives::hash::Hash;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::watch,
    time::{Interval, MissedTickBehavior, interval},
};

pub(super) async fn open(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let visible = context.channel(&caller, &path)?;
    visible.post()?;
    context.accepting()?;
    body::uncoded(&request)?;
    let types = [MEDIA_TYPE_LINES, MEDIA_TYPE_SUBMISSIONS];
    let comes = Form::of(body::media_type(&request, &types)?).ok_or(Kind::Broken)?;
    // Whoever does not say has its answer in the form in which it asks.
    let wish = request.headers().get(header::ACCEPT).filter(|accept| *accept != "*/*");
    let goes = wish.and_then(|_| Form::of(preferred(&request, &types))).unwrap_or(comes);
    let full = |full| ApiError::from(full).closing();
    let place = context.places.streams.take(caller.who(), 1).map_err(full)?;
    let memory = context.places.bodies.take(caller.who(), STREAM_BYTES).map_err(full)?;

    let item_bytes_max = match comes {
        Form::Lines => JSON_BODY_BYTES_MAX,
        Form::Frames => 8 + ENVELOPE_BYTES_MAX,
    };
    let live = LiveRights::of(&context, &caller, &visible);
    let channel = visible.channel;
    let mut looks = interval(STREAM_LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let now = Instant::now();
    let stream = Submissions {
        drained: context.draining.clone(),
        life: channel.follow_life(),
        live,
        context: context.into_inner(),
        channel,
        payload,
        comes,
        goes,
        cutter: Cutter::new(comes, item_bytes_max),
        inbox: Inbox::new(STREAM_OUTCOMES_BYTES_MAX),
        under_way: BTreeMap::new(),
        next: 0,
        answers: VecDeque::new(),
        item_bytes_max,
        looks,
        moved: now,
        spoken: now,
        partial: None,
        read: false,
        fate: None,
        begun: false,
        ended: false,
        _place: place,
        memory,
    };
    let pieces = futures_util::stream::unfold(stream, |mut stream| async move {
        let piece = stream.next().await?;
        Some((Ok::<Bytes, Error>(piece), stream))
    });
    Ok(HttpResponse::Ok()
        .content_type(goes.media_type())
        .insert_header((header::VARY, "accept"))
        .insert_header((header::CACHE_CONTROL, "no-store, no-transform"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(pieces))
}

/// Whose outcome something is.
#[derive(Clone, Copy)]
enum Whose {
    /// The caller's own number.
    Number(u64),
    /// The number of an item that has none.
    Item(u64),
}

/// A live stream.
struct Submissions {
    context: Arc<PeerContext>,
    live: LiveRights,
    channel: ChannelHandle,
    payload: Payload,
    comes: Form,
    goes: Form,
    cutter: Cutter,
    inbox: Inbox,
    /// Transactions without an outcome, in the order in which they came, with the caller's number and since when.
    under_way: BTreeMap<usize, (u64, Instant)>,
    next: usize,
    /// What is to be told.
    answers: VecDeque<(Whose, Answered)>,
    item_bytes_max: usize,
    looks: Interval,
    /// When something last came, or was answered.
    moved: Instant,
    /// When something was last sent.
    spoken: Instant,
    /// Since when an item is there in part.
    partial: Option<Instant>,
    /// The caller has ended its side, or is read no further.
    read: bool,
    /// Why the stream ends once everything that was taken is answered.
    fate: Option<ApiError>,
    begun: bool,
    ended: bool,
    drained: watch::Receiver<bool>,
    life: watch::Receiver<LifeCycle>,
    _place: Place,
    memory: Place,
}

impl Submissions {
    /// The next piece for the socket; `None` ends the answer.
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let piece =
            if std::mem::replace(&mut self.begun, true) { self.advance().await } else { Ok(Some(self.opening())) };
        match piece {
            Ok(Some(piece)) => {
                self.spoken = Instant::now();
                Some(piece)
            }
            // All was answered.
            Ok(None) => {
                self.context.metrics.stream_ended("complete");
                self.ended = true;
                None
            }
            Err(refusal) => {
                self.context.metrics.stream_ended(refusal.name());
                self.ended = true;
                Some(self.ending(&refusal))
            }
        }
    }

    /// Whether this caller may still post, and read what became of what it posted.
    async fn judged(&mut self) -> Result<(), ApiError> {
        let allow = |rights| if may_post(rights) { Ok(()) } else { Err(forbidden("write")) };
        self.live.again(allow).await.map(drop)
    }

    async fn advance(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            self.judged().await?;
            if *self.drained.borrow() {
                self.ends(draining());
            }
            if self.fate.is_none() {
                self.take();
            }
            self.collect();
            if !self.answers.is_empty() {
                // An outcome may have come since, with the block that ends these rights.
                self.judged().await?;
                return self.tell().await.map(Some);
            }
            if self.under_way.is_empty() {
                if let Some(fate) = self.fate.take() {
                    return Err(fate);
                }
                let idle = Duration::from_secs(self.context.limits.idle_seconds);
                if self.read || (self.partial.is_none() && self.moved.elapsed() >= idle) {
                    return Ok(None);
                }
            }
            let late = Duration::from_millis(self.context.limits.body_timeout_ms);
            if self.partial.is_some_and(|since| since.elapsed() >= late) {
                self.ends(Kind::RequestTimeout.into());
                continue;
            }
            if self.spoken.elapsed() >= KEEP_ALIVE {
                return Ok(Some(self.alive()));
            }
            self.wait().await?;
        }
    }

    /// Whether more of the body is read.
    fn reads(&self) -> bool {
        !self.read && self.under_way.len() < STREAM_CREDITS
    }

    /// Waits for anything that could be done.
    async fn wait(&mut self) -> Result<(), ApiError> {
        let reads = self.reads();
        if !reads {
            // It is not its caller's fault that an item is not complete.
            self.partial = None;
        }
        let waits_for_disk = !self.under_way.is_empty();
        tokio::select! {
            // What is done once a second goes first, and what is always ready last.
            biased;
            _ = self.looks.tick() => self.look(),
            () = self.inbox.arrived() => {}
            piece = self.payload.next(), if reads => match piece {
                Some(Ok(bytes)) => {
                    self.moved = Instant::now();
                    self.cutter.push(&bytes);
                    // What is usual has its place; what is larger has it while it is there.
                    self.memory.resize(STREAM_BYTES + self.cutter.capacity().saturating_sub(STREAM_ITEM_BYTES))?;
                }
                // Whoever is cut off asks again for what it has no outcome of.
                Some(Err(error)) => return Err(ApiError::new(Kind::Malformed, error.to_string())),
                None => self.end_of_body().await?,
            },
            _ = self.drained.changed(), if self.fate.is_none() => {}
            () = self.live.trust_changed() => {}
            _ = self.life.changed() => {}
            // They are in the pipeline and are committed once there is room: whoever sends them again finds them.
            trouble = self.channel.disk_trouble(), if waits_for_disk => return Err(ApiError::disk(trouble)),
        }
        Ok(())
    }

    /// The caller sends nothing more. Its last item may be there only now: so it is asked again, as for all others, whether it
    /// may post it.
    async fn end_of_body(&mut self) -> Result<(), ApiError> {
        self.judged().await?;
        self.read = true;
        self.partial = None;
        match self.cutter.finish() {
            Ok(None) => {}
            Ok(Some(item)) => {
                let item = read_submission(self.comes, item);
                let mut group = Vec::new();
                self.sort(item, &mut group);
                self.channel.submit_each(group, &self.inbox);
            }
            Err(error) => self.ends(cut_error(error)),
        }
        Ok(())
    }

    /// Nothing more is taken: the stream ends once what was taken is answered.
    fn ends(&mut self, why: ApiError) {
        self.read = true;
        self.partial = None;
        self.fate.get_or_insert(why);
    }

    /// What has waited too long for its commit is answered so: the outcome is found by its id later.
    fn look(&mut self) {
        while let Some(oldest) = self.under_way.first_entry().filter(|oldest| oldest.get().1.elapsed() >= COMMIT_WAIT) {
            let (number, _) = oldest.remove();
            let pending = ApiError::from(Kind::CommitPending).retry_after_ms(RETRY_AFTER_MS);
            self.answers.push_back((Whose::Number(number), Answered::Refused(None, pending)));
        }
    }

    /// Hands over the items that are complete, as many as there are credits for, in one group.
    fn take(&mut self) {
        let mut group = Vec::new();
        while self.under_way.len() < STREAM_CREDITS && self.answers.len() < STREAM_CREDITS {
            match self.cutter.cut() {
                Ok(Some(item)) => {
                    let item = read_submission(self.comes, item);
                    self.partial = None;
                    self.sort(item, &mut group);
                }
                Ok(None) => break,
                Err(error) => {
                    self.ends(cut_error(error));
                    break;
                }
            }
        }
        if self.cutter.held() == 0 {
            self.partial = None;
        } else if self.partial.is_none() && !self.read {
            self.partial = Some(Instant::now());
        }
        if !group.is_empty() {
            self.channel.submit_each(group, &self.inbox);
        }
    }

    /// Adds a transaction to those that are handed over, or says what is wrong with it.
    fn sort(
        &mut self,
        (number, envelope): (Option<u64>, Result<ledger_classes::formats::transaction::Envelope, ItemError>),
        group: &mut Vec<(usize, ledger_classes::formats::transaction::Envelope)>,
    ) {
        let whose = number.map_or(Whose::Item(self.cutter.items()), Whose::Number);
        match (number, envelope) {
            (Some(number), Ok(envelope)) => {
                self.under_way.insert(self.next, (number, Instant::now()));
                group.push((self.next, envelope));
                self.next += 1;
            }
            (_, Err(error)) => {
                let refusal = match error {
                    ItemError::Malformed(why) => TransactionError::Malformed(why).into(),
                    ItemError::Oversize(why) => TransactionError::Oversize(why).into(),
                };
                self.answers.push_back((whose, Answered::Refused(None, refusal)));
            }
            (None, Ok(_)) => {}
        }
    }

    /// What has become of transactions meanwhile.
    fn collect(&mut self) {
        let arrived: Vec<(usize, SubmitResult)> = self.inbox.take();
        if !arrived.is_empty() {
            self.moved = Instant::now();
        }
        for (place, result) in arrived {
            // Who has waited too long was answered.
            if let Some((number, _)) = self.under_way.remove(&place) {
                self.answers.push_back((Whose::Number(number), answered(result)));
            }
        }
    }

    /// A piece with what is to be told, and not much more than a chunk of it.
    async fn tell(&mut self) -> Result<Bytes, ApiError> {
        let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
        let mut out = Vec::new();
        while out.len() < CHUNK_BYTES_MAX
            && let Some((whose, answer)) = self.answers.pop_front()
        {
            let lines = self.goes == Form::Lines;
            let long = matches!(&answer, Answered::Committed(_, receipt) if lines && takes_long(receipt));
            if long && !out.is_empty() {
                // What is written does not wait for it.
                self.answers.push_front((whose, answer));
                break;
            }
            *counts.entry(answer.name()).or_default() += 1;
            match answer {
                Answered::Committed(id, receipt) if long => out.extend(self.long_line(whose, id, receipt).await?),
                answer if lines => out.extend(line(whose, answer, self.live.rights())),
                answer => push_frame(&mut out, &[&codec::encode(&frame(whose, answer))]),
            }
        }
        for (outcome, count) in counts {
            self.context.metrics.submitted(self.channel.name(), outcome, count);
        }
        Ok(out.into())
    }

    /// What takes more than a moment to encode has its turn on the threads for that. By rights that still hold afterwards.
    async fn long_line(&mut self, whose: Whose, id: Hash, receipt: Arc<Receipt>) -> Result<Vec<u8>, ApiError> {
        loop {
            let (rights, answer) = (self.live.rights(), Answered::Committed(id, receipt.clone()));
            let line = self.channel.encode(move || line(whose, answer, rights)).await;
            let line = line.map_err(super::reading::not_readable)?;
            self.judged().await?;
            if self.live.rights() == rights {
                return Ok(line);
            }
        }
    }

    fn say(&self, said: StreamLine, framed: &StreamFrame) -> Bytes {
        let mut out = Vec::new();
        match self.goes {
            Form::Lines => push_line(&mut out, &said),
            Form::Frames => push_frame(&mut out, &[&codec::encode(framed)]),
        }
        out.into()
    }

    fn opening(&self) -> Bytes {
        let credits = u32::try_from(STREAM_CREDITS).unwrap_or(u32::MAX);
        let item_bytes_max = u32::try_from(self.item_bytes_max).unwrap_or(u32::MAX);
        let line = StreamLine { credits: Some(credits), item_bytes_max: Some(item_bytes_max), ..StreamLine::default() };
        self.say(line, &StreamFrame::Opened { version: STREAM_VERSION, credits, item_bytes_max })
    }

    fn ending(&self, refusal: &ApiError) -> Bytes {
        let problem = refusal.problem();
        let framed = StreamFrame::Ended {
            problem: refusal.name().into(),
            detail: refusal.detail().into(),
            status: problem.status,
            retry_after_ms: u32::try_from(refusal.retry_hint_ms().unwrap_or_default()).unwrap_or(u32::MAX),
        };
        self.say(StreamLine { problem: Some(problem), ..StreamLine::default() }, &framed)
    }

    /// Nothing to tell, so that whoever has gone is noticed.
    fn alive(&self) -> Bytes {
        match self.goes {
            Form::Lines => Bytes::from_static(b"\n"),
            Form::Frames => self.say(StreamLine::default(), &StreamFrame::Alive),
        }
    }
}

impl Drop for Submissions {
    fn drop(&mut self) {
        if !self.ended {
            self.context.metrics.stream_ended("gone");
        }
    }
}

/// Where the next item would begin is not known.
fn cut_error(error: CutError) -> ApiError {
    let kind = match error {
        CutError::Oversize { .. } => Kind::Oversize,
        CutError::Broken { .. } => Kind::Malformed,
    };
    ApiError::new(kind, error.to_string())
}

fn takes_long(receipt: &Receipt) -> bool {
    receipt.events.len() > FRAMES_INLINE_MAX
}

fn push_line(out: &mut Vec<u8>, line: &StreamLine) {
    // It has JSON's types only.
    if serde_json::to_writer(&mut *out, line).is_ok() {
        out.push(b'\n');
    }
}

fn line(whose: Whose, answer: Answered, rights: Rights) -> Vec<u8> {
    let (number, line) = match whose {
        Whose::Number(number) => (Some(number), None),
        Whose::Item(item) => (None, Some(item)),
    };
    let mut out = Vec::new();
    let outcome = Some(outcome(answer, rights));
    push_line(&mut out, &StreamLine { number, line, outcome, ..StreamLine::default() });
    out
}

fn frame(whose: Whose, answer: Answered) -> StreamFrame {
    let result = binary(answer);
    match whose {
        Whose::Number(number) => StreamFrame::Outcome { number, result },
        Whose::Item(frame) => StreamFrame::Unreadable { frame, result },
    }
}
