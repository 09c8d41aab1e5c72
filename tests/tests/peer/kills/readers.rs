//! Subscribers that come back with their cursors after each kill: through the SDK, and `curl`, which shows what is on
//! the wire, where nobody leaves out what came twice.

use crate::harness::{Peer, text};
use client::api::CloudEvent;
use client::retry::Retry;
use client::sse::Parser;
use client::subscribe::{Cursor, Filter, Start};
use ledger_classes::formats::event::Event;
use ledger_classes::formats::rights::Class;
use ledger_classes::primitives::hash::Hash;
use std::path::Path;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

/// An event with its place and its transaction.
pub(super) type Seen = (Cursor, Hash, Event);

/// One subscriber over all starts of the peer.
pub(super) struct Reader {
    /// What it asks for: one class, or all.
    pub(super) class: Option<Class>,
    /// What it was given, in the order in which it came.
    pub(super) seen: Vec<Seen>,
    wire: bool,
    position: Option<Cursor>,
}

impl Reader {
    /// Through the SDK.
    pub(super) fn of(class: Option<Class>) -> Self {
        Self { class, seen: Vec::new(), wire: false, position: None }
    }

    /// Of the bytes on the wire.
    pub(super) fn wire() -> Self {
        Self { wire: true, ..Self::of(None) }
    }

    /// Reads from where it was until the stream ends, or `until` has come.
    pub(super) async fn follow(self, peer: Followed, channel: String, until: Option<Cursor>) -> Self {
        match self.wire {
            true => self.follow_wire(&peer, &channel, until).await,
            false => self.follow_sdk(&peer, &channel, until).await,
        }
    }

    async fn follow_sdk(mut self, peer: &Followed, channel: &str, until: Option<Cursor>) -> Self {
        let start = self.position.map_or(Start::Height(0), Start::After);
        let filter = Filter { start, class: self.class, ..Filter::default() };
        let mut subscription = peer.connection.subscribe(channel, filter).with_retry(Retry::NEVER);
        // Its end is the peer's end. What was lost shows when all is compared.
        while let Some(Ok(delivery)) = subscription.next().await {
            self.take(delivery.cursor, delivery.event);
            if until.is_some_and(|until| delivery.cursor >= until) {
                break;
            }
        }
        self.position = subscription.cursor().or(self.position);
        self
    }

    async fn follow_wire(mut self, peer: &Followed, channel: &str, until: Option<Cursor>) -> Self {
        let file = |name: &str| peer.profile.join(name);
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--no-buffer", "--fail", "--max-time", "120", "--cacert", text(&file("ca.pem"))]);
        curl.args(["--cert", text(&file("cert.pem")), "--key", text(&file("key.pem"))]);
        let resumed = self.position.map(|cursor| format!("Last-Event-ID: {cursor}"));
        curl.args(resumed.iter().flat_map(|header| ["--header", header]));
        let from = if resumed.is_some() { "" } else { "?from=0" };
        curl.arg(format!("{}/v1/channels/{channel}/events{from}", peer.url));
        let mut curl = curl.stdout(std::process::Stdio::piped()).kill_on_drop(true).spawn().expect("curl is installed");
        let mut stdout = curl.stdout.take().expect("piped");
        let (mut parser, mut frames, mut bytes) = (Parser::new(), Vec::new(), [0; 16 * 1024]);
        // A frame that was cut off by the kill is no frame: the parser gives whole ones only.
        loop {
            let read = stdout.read(&mut bytes).await.expect("a pipe");
            if read == 0 {
                break;
            }
            parser.push(&bytes[..read], &mut frames).expect("events");
            for frame in frames.drain(..).filter(|frame| frame.event.as_deref() != Some("problem")) {
                let Some(id) = frame.id else { continue };
                let cursor: Cursor = id.parse().expect("a cursor");
                if let Some(data) = frame.data.filter(|_| frame.event.as_deref() != Some("position")) {
                    self.take(cursor, ledger_classes::primitives::json::from_str(&data).expect("a CloudEvent"));
                }
                self.position = self.position.max(Some(cursor));
            }
            if until.is_some_and(|until| self.position >= Some(until)) {
                break;
            }
        }
        curl.kill().await.expect("it ends");
        self
    }

    fn take(&mut self, cursor: Cursor, event: CloudEvent) {
        assert_eq!(cursor.to_string(), event.id);
        self.position = self.position.max(Some(cursor));
        self.seen.push((cursor, event.transaction, event.data));
    }

    /// Each event once, in order, none that the ledger does not hold, up to `until`.
    pub(super) fn check(&self, channel: &str, held: &[Seen], until: Cursor) {
        let wanted = |event: &Event| self.class.is_none_or(|class| class == event.class());
        let expected = held.iter().filter(|(cursor, _, event)| *cursor <= until && wanted(event));
        let seen = self.seen.iter().filter(|(cursor, ..)| *cursor <= until);
        let differs = expected.clone().zip(seen.clone()).find(|(expected, seen)| expected != seen);
        assert_eq!(differs, None, "{channel}: (held, seen) by a subscriber of {:?}, wire: {}", self.class, self.wire);
        assert_eq!(seen.count(), expected.count(), "{channel}: {:?}, wire: {}", self.class, self.wire);
    }
}

/// The peer as a subscriber reaches it: it outlives the peer.
#[derive(Clone)]
pub(super) struct Followed {
    url: String,
    profile: std::path::PathBuf,
    connection: client::connection::Connection,
}

impl Followed {
    /// With a profile's certificate.
    pub(super) fn new(peer: &Peer, profile: &Path) -> Self {
        Self { url: peer.url.clone(), profile: profile.to_owned(), connection: peer.connect_once(profile) }
    }
}
