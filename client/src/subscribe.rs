//! A subscription: events of a channel in order, each once, over any number of connections.
//!
//! The position is the cursor of the last event that was handed out. A lost connection is opened again from there
//! (`Last-Event-ID`), and an event at or before the cursor is not handed out twice. A problem that the peer sends
//! down the stream (a revoked certificate, say) ends the subscription, unless it is one that passes (the peer shuts
//! down); so does a peer that stays away.

use crate::api::{CloudEvent, Problem};
use crate::connection::{Connection, RequestError};
use crate::retry::{Retry, jitter};
use crate::sse::{Frame, Parser, SseError};
use futures_util::stream::{self, Stream};
use ledger_classes::rights::Class;
use reqwest::Response;
use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Silence after which a connection is taken for lost: peers send keep-alives far more often.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// The place of an event on its channel: block, receipt in the block, event in the receipt. Reads
/// `height.index.event`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// The block.
    pub height: u64,
    /// The receipt in the block.
    pub index: u32,
    /// The event in the receipt.
    pub event: u32,
}

/// Not a cursor.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("a cursor reads height.index.event, not {0:?}")]
pub struct ParseCursorError(pub String);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.height, self.index, self.event)
    }
}

impl FromStr for Cursor {
    type Err = ParseCursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseCursorError(text.chars().take(64).collect());
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let mut parts = text.split('.').filter(|part| plain(part));
        let (Some(height), Some(index), Some(event), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(error());
        };
        let cursor = Self {
            height: height.parse().map_err(|_| error())?,
            index: index.parse().map_err(|_| error())?,
            event: event.parse().map_err(|_| error())?,
        };
        if text.bytes().filter(|byte| *byte == b'.').count() == 2 { Ok(cursor) } else { Err(error()) }
    }
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With what happens from now on.
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
        match text.parse() {
            Ok(height) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Self::Height(height)),
            _ => text.parse().map(Self::After),
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
    position: Position,
    /// The height at which a subscription from now on began, once known: where to go on if the connection is lost
    /// before the first event.
    begun_height: Option<u64>,
    response: Option<Response>,
    parser: Parser,
    ready: VecDeque<Delivery>,
    end: Option<SubscribeError>,
    failures: u32,
    /// How long the peer asked to wait before the next attempt.
    hint: Option<Duration>,
    /// Whether a stream of this subscription was ever open.
    connected: bool,
    ended: bool,
}

/// Whether a subscription that ends with this problem can be opened again in a while.
fn is_temporary(problem: &Problem) -> bool {
    matches!(problem.status, 429 | 502 | 503 | 504 | 507)
}

/// What the frames so far have led to.
#[derive(Debug, Default)]
struct Position {
    cursor: Option<Cursor>,
}

impl Position {
    /// Takes one frame. `None`: nothing to hand out.
    fn take(&mut self, frame: Frame) -> Result<Option<Delivery>, SubscribeError> {
        let unreadable = |what: &dyn fmt::Display| SubscribeError::Event(what.to_string());
        let Some(data) = frame.data else {
            if let Some(id) = frame.id {
                let cursor = id.parse().map_err(|error| unreadable(&error))?;
                self.cursor = self.cursor.max(Some(cursor));
            }
            return Ok(None);
        };
        if frame.event.as_deref() == Some("problem") {
            let problem = ledger_classes::json::from_str(&data).map_err(|error| unreadable(&error))?;
            return Err(SubscribeError::Problem(Box::new(problem)));
        }
        let event: CloudEvent = ledger_classes::json::from_str(&data).map_err(|error| unreadable(&error))?;
        let cursor: Cursor = event.id.parse().map_err(|error| unreadable(&error))?;
        if frame.id.is_some_and(|id| id != event.id) {
            return Err(unreadable(&"the frame's id is not the event's"));
        }
        if self.cursor.is_some_and(|last| cursor <= last) {
            return Ok(None);
        }
        self.cursor = Some(cursor);
        Ok(Some(Delivery { cursor, event }))
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
            position: Position { cursor },
            begun_height: None,
            response: None,
            parser: Parser::new(),
            ready: VecDeque::new(),
            end: None,
            failures: 0,
            hint: None,
            connected: false,
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

    /// The place of the last event that was received.
    pub const fn cursor(&self) -> Option<Cursor> {
        self.position.cursor
    }

    /// The next event. After an error, nothing comes any more. Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Result<Delivery, SubscribeError>> {
        loop {
            if let Some(delivery) = self.ready.pop_front() {
                return Some(Ok(delivery));
            }
            if let Some(error) = self.end.take() {
                self.ended = true;
                self.response = None;
                return Some(Err(error));
            }
            if self.ended {
                return None;
            }
            if self.response.is_none() {
                self.reconnect().await;
            } else {
                self.receive().await;
            }
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
    fn bounds(&self) -> Retry {
        if self.connected { self.retry } else { self.connection.options.retry }
    }

    async fn reconnect(&mut self) {
        if self.failures > 0 {
            let hint = self.hint.take().map(|hint| hint.min(self.retry.wait_max));
            match self.bounds().wait(self.failures, hint, jitter()) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return self.end = Some(SubscribeError::Lost),
            }
        }
        match self.connect().await {
            Ok(response) => {
                self.parser = Parser::new();
                self.response = Some(response);
                self.connected = true;
            }
            Err(error) => {
                self.failures += 1;
                self.hint = error.retry_after();
                if !error.is_unavailable() || self.bounds().wait(self.failures, self.hint, 0).is_none() {
                    self.end = Some(error.into());
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<Response, RequestError> {
        let height = match (self.position.cursor, self.filter.start) {
            (Some(_), _) => None,
            (None, Start::Height(height)) => Some(height),
            // Lost before the first event: go on behind the height at which this subscription began.
            (None, _) => match self.begun_height {
                Some(height) => Some(height.saturating_add(1)),
                None => {
                    // Asked once: this function's caller asks again.
                    let mut connection = self.connection.clone();
                    connection.options.retry = Retry::NEVER;
                    self.begun_height = Some(connection.channel(&self.channel).await?.height);
                    None
                }
            },
        };
        let from = height.map(|height| height.to_string());
        let mut query: Vec<(&str, &str)> = from.iter().map(|from| ("from", from.as_str())).collect();
        query.extend(self.filter.class.map(|class| ("class", class.text())));
        query.extend(self.filter.topic.as_deref().map(|topic| ("topic", topic)));
        if self.filter.proof {
            query.push(("proof", "true"));
        }
        let url = self.connection.url(&["channels", &self.channel, "events"], &query)?;
        let cursor = self.position.cursor.map(|cursor| cursor.to_string());
        self.connection.stream(url, cursor.as_deref()).await
    }

    async fn receive(&mut self) {
        let Some(response) = &mut self.response else { return };
        let chunk = match tokio::time::timeout(SILENCE_MAX, response.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None) | Err(_)) | Err(_) => {
                self.response = None;
                self.failures += 1;
                return;
            }
        };
        self.failures = 0;
        let mut frames = Vec::new();
        let parsed = self.parser.push(&chunk, &mut frames);
        for frame in frames {
            match self.position.take(frame) {
                Ok(delivery) => self.ready.extend(delivery),
                // A peer that is shutting down says so, and is back in a moment.
                Err(SubscribeError::Problem(problem)) if is_temporary(&problem) => {
                    self.response = None;
                    self.failures = 1;
                    self.hint = problem.retry_after_ms.map(Duration::from_millis);
                    return;
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

    #[test]
    fn cursors_have_one_text() {
        let cursor = Cursor { height: 12, index: 0, event: 3 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in
            ["", "1", "1.2", "1.2.3.4", "1..2", "a.1.2", "1.2.+3", "1.2.99999999999", "1.2.3.", ".1.2.3", "1.x.2.3"]
        {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
        assert_eq!("12".parse(), Ok(Start::Height(12)));
        assert_eq!("12.0.3".parse(), Ok(Start::After(cursor)));
        assert!("+12".parse::<Start>().is_err());
        assert!(cursor < Cursor { height: 12, index: 1, event: 0 });
    }

    fn framed(id: &str, data: Option<String>) -> Frame {
        Frame { id: Some(id.into()), event: None, data }
    }

    fn event(id: &str) -> String {
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/v1/channels/main","type":"chancery.asset.paused",
            "subject":"coin","time":"2026-11-21T10:05:54.123Z","datacontenttype":"application/json","class":"assets",
            "transaction":"{}","data":{{"kind":"asset.paused","asset":"coin"}}}}"#,
            "00".repeat(32)
        )
    }

    #[test]
    fn an_event_at_or_before_the_cursor_is_not_handed_out_again() {
        let mut position = Position::default();
        let mut take = |id: &str| position.take(framed(id, Some(event(id)))).unwrap().map(|delivery| delivery.cursor);
        assert_eq!(take("5.0.0").unwrap().to_string(), "5.0.0");
        assert_eq!(take("5.0.0"), None);
        assert_eq!(take("4.9.9"), None);
        assert_eq!(take("5.0.1").unwrap().to_string(), "5.0.1");
        assert_eq!(position.take(framed("8.0.0", None)).unwrap(), None);
        assert_eq!(position.take(framed("7.0.0", Some(event("7.0.0")))).unwrap(), None, "the cursor alone moved on");
    }

    #[test]
    fn problems_and_unreadable_events_end_the_subscription() {
        let problem = r#"{"type":"urn:chancery:problem:certificate-revoked","title":"Revoked","status":403}"#;
        let frame = Frame { id: None, event: Some("problem".into()), data: Some(problem.into()) };
        match Position::default().take(frame) {
            Err(SubscribeError::Problem(problem)) => assert_eq!(problem.name(), "certificate-revoked"),
            other => panic!("{other:?}"),
        }
        for (id, data) in [("1.0.0", "{}".to_owned()), ("1.0.1", event("1.0.0")), ("x", event("x"))] {
            let taken = Position::default().take(framed(id, Some(data)));
            assert!(matches!(taken, Err(SubscribeError::Event(_))), "{id}");
        }
    }
}
