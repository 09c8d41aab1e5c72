//! A subscription: events of a channel in order, each once, over any number of connections.
//!
//! The position is the cursor of the last event that was handed out, or the one that the peer's first frame names. A lost
//! connection is opened again from there (`Last-Event-ID`), and an event at or before the cursor is not handed out twice.
//! A problem that the peer sends down the stream (a revoked certificate, say) ends the subscription, unless it is one
//! that passes (the peer shuts down, the channel is halted); so does a peer that stays away.

pub use crate::api::{Cursor, ParseCursorError};

use crate::api::{CloudEvent, Position, Problem, plain_number};
use crate::connection::{Connection, RequestError};
use crate::retry::{Retry, jitter};
use crate::sse::{Frame, Parser, SseError};
use futures_util::stream::{self, Stream};
use ledger_classes::formats::rights::Class;
use reqwest::Response;
use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Silence after which a connection is taken for lost: peers send keep-alives far more often.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With what happens from the peer's first frame on: see [`Subscription::begun`].
    #[default]
    Now,
    /// With the first event of a block.
    Height(u64),
    /// With the first event after this one.
    After(Cursor),
}

impl FromStr for Start {
    type Err = ParseCursorError;

    /// A height, or a cursor.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match plain_number(text) {
            Some(height) => Ok(Self::Height(height)),
            None => text.parse().map(Self::After),
        }
    }
}

/// What is subscribed to.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Where to begin.
    pub start: Start,
    /// One class only.
    pub class: Option<Class>,
    /// One topic only.
    pub topic: Option<String>,
    /// Whether each event comes with its evidence.
    pub proof: bool,
}

/// An event with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The place; a subscription that starts after it goes on with the next event.
    pub cursor: Cursor,
    /// The event.
    pub event: CloudEvent,
}

/// What a subscription has come to.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// An event.
    Event(Box<Delivery>),
    /// Everything up to the cursor was handed out, or holds nothing that is wanted. Comes first on each connection, once
    /// when the end of the channel is reached, and now and then while nothing that is wanted happens.
    Position {
        /// The place.
        cursor: Cursor,
        /// The channel's last block on the peer.
        tip: u64,
    },
    /// The connection was lost, or the peer cannot serve the channel now: after this pause it is asked again.
    Pause {
        /// Why, in words.
        why: String,
        /// For how long.
        wait: Duration,
    },
}

/// Why a subscription has ended.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    /// The peer cannot be reached any more, or refused.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The peer ended the subscription and said why.
    #[error("the peer ended the subscription: {}", .0.detail.as_deref().unwrap_or(&.0.title))]
    Problem(Box<Problem>),
    /// The stream broke off again and again.
    #[error("the stream of events breaks off again and again")]
    Lost,
    /// The stream is not a stream of events.
    #[error("the stream is unreadable")]
    Stream(#[source] SseError),
    /// An event is not a CloudEvent of ours.
    #[error("an event is unreadable: {0}")]
    Event(String),
}

/// A live subscription. [`Subscription::next`] gives events; [`Subscription::into_stream`] makes a [`Stream`].
#[derive(Debug)]
pub struct Subscription {
    connection: Connection,
    channel: String,
    filter: Filter,
    retry: Retry,
    place: Place,
    response: Option<Response>,
    parser: Parser,
    ready: VecDeque<Step>,
    end: Option<SubscribeError>,
    failures: u32,
    /// Why the last attempt failed, and how long the peer asked to wait.
    failed: Failed,
    /// The pause before the next attempt was told.
    told: bool,
    /// Whether a stream of this subscription was ever open.
    connected: bool,
    /// Whether the peer has ever answered.
    reached: bool,
    patient: bool,
    ended: bool,
}

/// How an attempt failed.
#[derive(Debug, Default)]
struct Failed {
    why: String,
    hint: Option<Duration>,
    /// The peer was reached, and said that it cannot serve the channel now.
    answered: bool,
}

/// Whether a subscription that ends with this problem can be opened again in a while.
fn is_temporary(problem: &Problem) -> bool {
    matches!(problem.status, 429 | 502 | 503 | 504 | 507)
}

/// What the frames so far have led to.
#[derive(Debug, Default)]
struct Place {
    cursor: Option<Cursor>,
}

impl Place {
    /// Takes one frame. `None`: nothing to hand out.
    fn take(&mut self, frame: Frame) -> Result<Option<Step>, SubscribeError> {
        let unreadable = |what: &dyn fmt::Display| SubscribeError::Event(what.to_string());
        let named = |name: &str| frame.event.as_deref() == Some(name);
        let Some(data) = &frame.data else {
            if let Some(id) = &frame.id {
                let cursor = id.parse().map_err(|error| unreadable(&error))?;
                self.cursor = self.cursor.max(Some(cursor));
            }
            return Ok(None);
        };
        if named("problem") {
            let problem = ledger_classes::primitives::json::from_str(data).map_err(|error| unreadable(&error))?;
            return Err(SubscribeError::Problem(Box::new(problem)));
        }
        if named("position") {
            let Position { tip } =
                ledger_classes::primitives::json::from_str(data).map_err(|error| unreadable(&error))?;
            let id = frame.id.as_deref().ok_or_else(|| unreadable(&"a position without its id"))?;
            let cursor: Cursor = id.parse().map_err(|error| unreadable(&error))?;
            let cursor = self.cursor.map_or(cursor, |last| last.max(cursor));
            self.cursor = Some(cursor);
            return Ok(Some(Step::Position { cursor, tip }));
        }
        let event: CloudEvent = ledger_classes::primitives::json::from_str(data).map_err(|error| unreadable(&error))?;
        let cursor: Cursor = event.id.parse().map_err(|error| unreadable(&error))?;
        if frame.id.is_some_and(|id| id != event.id) {
            return Err(unreadable(&"the frame's id is not the event's"));
        }
        if self.cursor.is_some_and(|last| cursor <= last) {
            return Ok(None);
        }
        self.cursor = Some(cursor);
        Ok(Some(Step::Event(Box::new(Delivery { cursor, event }))))
    }
}

impl Connection {
    /// Subscribes to a channel. Nothing is sent before the first [`Subscription::next`].
    pub fn subscribe(&self, channel: &str, filter: Filter) -> Subscription {
        let cursor = match filter.start {
            Start::After(cursor) => Some(cursor),
            Start::Now | Start::Height(_) => None,
        };
        Subscription {
            connection: self.clone(),
            channel: channel.into(),
            filter,
            retry: Retry { attempts_max: 10, wait_max: Duration::from_secs(10) },
            place: Place { cursor },
            response: None,
            parser: Parser::new(),
            ready: VecDeque::new(),
            end: None,
            failures: 0,
            failed: Failed::default(),
            told: false,
            connected: false,
            reached: false,
            patient: false,
            ended: false,
        }
    }
}

impl Subscription {
    /// Bounds of connecting again to a peer that was there; 10 attempts in a row if nothing else is said.
    #[must_use]
    pub const fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// A peer that answers, and says that it cannot serve the channel now, is asked again without end: somebody must act
    /// there, which may take days. Pauses grow up to the bound of [`Self::with_retry`].
    #[must_use]
    pub const fn patient(mut self) -> Self {
        self.patient = true;
        self
    }

    /// The place up to which everything was handed out.
    pub const fn cursor(&self) -> Option<Cursor> {
        self.place.cursor
    }

    /// Waits until the subscription has begun, and gives the place: whatever is committed behind it is delivered, however
    /// often the connection is lost.
    ///
    /// # Errors
    /// The subscription has ended.
    pub async fn begun(&mut self) -> Result<Cursor, SubscribeError> {
        loop {
            if let Some(cursor) = self.place.cursor.filter(|_| self.connected) {
                return Ok(cursor);
            }
            if let Some(error) = self.end.take() {
                self.ended = true;
                return Err(error);
            }
            if self.ended {
                return Err(SubscribeError::Lost);
            }
            match self.pause() {
                Some((_, wait)) => tokio::time::sleep(wait).await,
                None => self.advance().await,
            }
        }
    }

    /// The next event. After an error, nothing comes any more. Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Result<Delivery, SubscribeError>> {
        loop {
            match self.step().await? {
                Ok(Step::Event(delivery)) => return Some(Ok(*delivery)),
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// The next event, place or pause. After an error, nothing comes any more. Dropping the future loses nothing.
    pub async fn step(&mut self) -> Option<Result<Step, SubscribeError>> {
        loop {
            if let Some(step) = self.ready.pop_front() {
                return Some(Ok(step));
            }
            if let Some(error) = self.end.take() {
                self.ended = true;
                self.response = None;
                return Some(Err(error));
            }
            if self.ended {
                return None;
            }
            if let Some((why, wait)) = self.pause() {
                if !std::mem::replace(&mut self.told, true) {
                    return Some(Ok(Step::Pause { why, wait }));
                }
                tokio::time::sleep(wait).await;
            }
            self.advance().await;
        }
    }

    /// The pause before the next attempt, if there is one.
    fn pause(&mut self) -> Option<(String, Duration)> {
        if self.response.is_some() || self.failures == 0 || self.end.is_some() {
            return None;
        }
        let wait = self.bounds().wait(self.failures, self.failed.hint, jitter());
        if wait.is_none() {
            self.end = Some(SubscribeError::Lost);
        }
        wait.map(|wait| (self.failed.why.clone(), wait))
    }

    async fn advance(&mut self) {
        if self.end.is_some() {
            return;
        }
        match self.response.is_none() {
            true => self.reconnect().await,
            false => self.receive().await,
        }
    }

    /// The subscription as a stream; it ends after the first error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Delivery, SubscribeError>> {
        stream::unfold(
            self,
            |mut subscription| async move { subscription.next().await.map(|item| (item, subscription)) },
        )
    }

    /// A peer that was there is waited for; one that never was is reported as soon as for any other request.
    const fn bounds(&self) -> Retry {
        match (self.failed.answered, self.reached) {
            (true, _) if self.patient => Retry { attempts_max: u32::MAX, ..self.retry },
            (true, _) | (_, true) => self.retry,
            (false, false) => self.connection.options.retry,
        }
    }

    fn failed(&mut self, why: String, hint: Option<Duration>, answered: bool) {
        // A peer that is restarted so that it serves the channel again is not there for a while.
        let other = self.failed.answered != answered;
        self.failures = if other { 1 } else { self.failures + 1 };
        self.reached |= answered;
        // Who asks for more than there is patience for is asked again when that is over.
        let hint = hint.map(|hint| hint.min(self.retry.wait_max));
        self.failed = Failed { why, hint, answered };
    }

    async fn reconnect(&mut self) {
        self.told = false;
        match self.connect().await {
            Ok(response) => {
                self.parser = Parser::new();
                self.response = Some(response);
                (self.connected, self.reached) = (true, true);
            }
            Err(error) => {
                self.failed(error.to_string(), error.retry_after(), error.problem().is_some());
                if !error.is_unavailable() || self.bounds().wait(self.failures, self.failed.hint, 0).is_none() {
                    self.end = Some(error.into());
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<Response, RequestError> {
        let from = match (self.place.cursor, self.filter.start) {
            (None, Start::Height(height)) => Some(height.to_string()),
            _ => None,
        };
        let mut query: Vec<(&str, &str)> = from.iter().map(|from| ("from", from.as_str())).collect();
        query.extend(self.filter.class.map(|class| ("class", class.text())));
        query.extend(self.filter.topic.as_deref().map(|topic| ("topic", topic)));
        if self.filter.proof {
            query.push(("proof", "true"));
        }
        let url = self.connection.url(&["channels", &self.channel, "events"], &query)?;
        let cursor = self.place.cursor.map(|cursor| cursor.to_string());
        self.connection.stream(url, cursor.as_deref()).await
    }

    async fn receive(&mut self) {
        let Some(response) = &mut self.response else { return };
        let chunk = match tokio::time::timeout(SILENCE_MAX, response.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None) | Err(_)) | Err(_) => {
                self.response = None;
                return self.failed("the connection was lost".into(), None, false);
            }
        };
        let mut frames = Vec::new();
        let parsed = self.parser.push(&chunk, &mut frames);
        for frame in frames {
            match self.place.take(frame) {
                Ok(step) => {
                    self.failures = 0;
                    self.ready.extend(step);
                }
                // A peer that is shutting down says so, and is back in a moment.
                Err(SubscribeError::Problem(problem)) if is_temporary(&problem) => {
                    self.response = None;
                    let hint = problem.retry_after_ms.map(Duration::from_millis);
                    return self.failed(RequestError::Problem(problem).to_string(), hint, true);
                }
                Err(error) => return self.end = Some(error),
            }
        }
        if let Err(error) = parsed {
            self.end = Some(SubscribeError::Stream(error));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TAG: &str = "0707070707070707";

    #[test]
    fn a_start_is_a_height_or_a_cursor() {
        assert_eq!("12".parse(), Ok(Start::Height(12)));
        let cursor = Cursor::new(12, 0, 3, &ledger_classes::primitives::hash::Hash([7; 32]));
        assert_eq!(format!("12.0.3.{TAG}").parse(), Ok(Start::After(cursor)));
        for text in ["+12", "012", "", "12.0.3", "now"] {
            assert!(text.parse::<Start>().is_err(), "{text}");
        }
    }

    fn framed(id: &str, data: Option<String>) -> Frame {
        Frame { id: Some(format!("{id}.{TAG}")), event: None, data }
    }

    fn event(id: &str) -> String {
        format!(
            r#"{{"specversion":"1.0","id":"{id}.{TAG}","source":"/v1/channels/main","type":"chancery.asset.paused",
            "subject":"coin","time":"2026-11-21T10:05:54.123Z","datacontenttype":"application/json","class":"assets",
            "transaction":"{}","data":{{"kind":"asset.paused","asset":"coin"}}}}"#,
            "00".repeat(32)
        )
    }

    #[test]
    fn an_event_at_or_before_the_cursor_is_not_handed_out_again() {
        let mut place = Place::default();
        let take = |place: &mut Place, id: &str| match place.take(framed(id, Some(event(id)))).unwrap() {
            Some(Step::Event(delivery)) => Some(delivery.cursor.place()),
            None => None,
            Some(other) => panic!("{other:?}"),
        };
        assert_eq!(take(&mut place, "5.0.0"), Some((5, 0, 0)));
        assert_eq!(take(&mut place, "5.0.0"), None);
        assert_eq!(take(&mut place, "4.9.9"), None);
        assert_eq!(take(&mut place, "5.0.1"), Some((5, 0, 1)));
        assert_eq!(place.take(framed("8.0.0", None)).unwrap(), None);
        assert_eq!(take(&mut place, "7.0.0"), None, "the cursor alone moved on");
        let position = Frame { event: Some("position".into()), ..framed("9.1.1", Some(r#"{"tip":12}"#.into())) };
        let Some(Step::Position { cursor, tip }) = place.take(position).unwrap() else { panic!("a position") };
        assert_eq!((cursor.place(), tip, place.cursor), ((9, 1, 1), 12, Some(cursor)));
        assert_eq!(take(&mut place, "9.1.0"), None);
    }

    #[test]
    fn problems_and_unreadable_events_end_the_subscription() {
        let problem = r#"{"type":"urn:chancery:problem:certificate-revoked","title":"Revoked","status":403}"#;
        let frame = Frame { id: None, event: Some("problem".into()), data: Some(problem.into()) };
        match Place::default().take(frame) {
            Err(SubscribeError::Problem(problem)) => assert_eq!(problem.name(), "certificate-revoked"),
            other => panic!("{other:?}"),
        }
        for (id, data) in [("1.0.0", "{}".to_owned()), ("1.0.1", event("1.0.0")), ("x", event("x"))] {
            let taken = Place::default().take(framed(id, Some(data)));
            assert!(matches!(taken, Err(SubscribeError::Event(_))), "{id}");
        }
        for (id, data) in [(Some("1.0.0"), r#"{"tip":1}"#), (None, r#"{"tip":1}"#), (Some("x"), "{}")] {
            let frame = Frame { id: id.map(Into::into), event: Some("position".into()), data: Some(data.into()) };
            assert!(matches!(Place::default().take(frame), Err(SubscribeError::Event(_))), "{id:?}");
        }
    }
}
