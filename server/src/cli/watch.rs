//! `chancery watch`: a subscription to standard output, one event a line, as JSON or for people. What is no event, such
//! as that the end of the channel is reached, goes to standard error.

use super::amounts::Units;
use super::failure::Failure;
use super::output::{clean, fields, note};
use super::session::{About, Session, read_file};
use super::values::ValueError;
use clap::Args;
use client::api::Problem;
use client::connection::{Connection, RequestError};
use client::retry::Retry;
use client::subscribe::{Cursor, Delivery, Filter, Start, Step, SubscribeError};
use client::verify::EventVerifier;
use ledger_classes::formats::rights::Class;
use ledger_classes::primitives::hash::Hash;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest pause before a peer is asked again.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Print a channel's events as they happen, one a line
#[derive(Args, Debug)]
#[command(after_help = "\
A terminal shows events for people; a file, a pipe and --json get JSON lines. Each of these is a CloudEvent; its `id` is
the cursor, and amounts are base units. Goes on over lost connections and while the channel is halted, without losing or
repeating an event. With --cursor-file also after a restart: the file says how far was printed, and the next start goes on
there, whatever --from says; of a start that is killed between the two, one event is printed again. Says on standard error when it has reached
the end of the channel, and why it waits. Ends with ctrl-C, after --count events, at --until, or when the peer ends the
subscription.

Examples:
  $ chancery watch trade --from 1 --class assets
  $ chancery watch trade --from 0 --cursor-file trade.cursor > events.jsonl
  $ chancery watch trade --from 0 --until now > events.jsonl
  $ chancery watch trade --from 812.0.3.9f86d081884c7d65 --proof")]
pub(super) struct Watch {
    #[command(flatten)]
    about: About,
    /// Where to begin: a height, or the cursor (height.index.event.TAG) of the last event seen; from now on if absent
    #[arg(long, value_name = "HEIGHT|CURSOR")]
    from: Option<Start>,
    /// File that holds how far was printed: made if it is not there, and beginning then with --from; kept as events are
    /// printed
    #[arg(long, value_name = "FILE")]
    cursor_file: Option<PathBuf>,
    /// End behind this block, or behind the one that is the last as the command begins
    #[arg(long, value_name = "now|HEIGHT", value_parser = until)]
    until: Option<Until>,
    /// One class only: assets, contracts, apps or logs
    #[arg(long)]
    class: Option<Class>,
    /// One topic only; with a trailing *, all that begin so
    #[arg(long)]
    topic: Option<String>,
    /// Ask for evidence with each event, and check it before printing
    #[arg(long)]
    proof: bool,
    /// The channel's id, from a source that you trust; the peer's word if absent
    #[arg(long, value_name = "HEX", requires = "proof")]
    channel_id: Option<Hash>,
    /// End after this many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Show events for people, whatever standard output is
    #[arg(long)]
    human: bool,
}

/// Where to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Now,
    Height(u64),
}

fn until(text: &str) -> Result<Until, ValueError> {
    match (text, text.parse()) {
        ("now", _) => Ok(Until::Now),
        (_, Ok(height)) => Ok(Until::Height(height)),
        _ => Err(ValueError::Until),
    }
}

impl Watch {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let channel = self.about.clone().channel()?;
        let connection = if self.proof { session.remembering()? } else { session.connection.clone() };
        let ended = tokio::select! {
            ended = self.events(session, &connection, &channel) => ended,
            // Without a signal handler ctrl-C ends the process anyway.
            Ok(()) = tokio::signal::ctrl_c() => Ok(()),
        };
        session.kept(&connection);
        ended
    }

    /// What the cursor file says, if it is there.
    fn kept(&self) -> Result<Option<Kept>, Failure> {
        let Some(path) = self.cursor_file.as_deref().filter(|path| path.exists()) else { return Ok(None) };
        let text = read_file(path, 1_024)?;
        let kept = std::str::from_utf8(&text).ok().and_then(Kept::parse);
        let wrong = || Failure::usage(format!("{} holds no cursor: remove it to begin anew", path.display()));
        kept.map(Some).ok_or_else(wrong)
    }

    /// What to do about a position that the peer refuses.
    async fn advised(&self, error: SubscribeError, session: &Session, channel: &str, kept: Option<&Kept>) -> Failure {
        let advice = match &error {
            SubscribeError::Request(RequestError::Problem(problem)) => advice(problem),
            _ => None,
        };
        let Some(advice) = advice else { return error.into() };
        let mut more = None;
        if let (Some(kept), Some(path)) = (kept, &self.cursor_file) {
            let path = path.display();
            if let Some((id, name)) = &kept.channel
                && session.channel_id(channel).await.is_ok_and(|is| is != *id)
            {
                return Failure::usage(format!(
                    "{path} holds a cursor of the channel {} ({id}), and this is {channel}: name another file",
                    clean(name)
                ));
            }
            more = Some(format!("{path} goes before --from: remove it, or name another file, to begin elsewhere."));
        }
        match Failure::from(error) {
            Failure::Refused { message, problem } => {
                let message = message.below(advice);
                let message = more.iter().fold(message, |message, more| message.below(more));
                Failure::Refused { message, problem }
            }
            failure => failure,
        }
    }

    async fn events(&self, session: &Session, connection: &Connection, channel: &str) -> Result<(), Failure> {
        let mut kept = self.kept()?;
        let start = kept.as_ref().map_or(self.from.unwrap_or_default(), |kept| Start::After(kept.cursor));
        let mut of = kept.as_ref().and_then(|kept| kept.channel.clone());
        if let (Start::Height(from), Some(Until::Height(until))) = (start, self.until)
            && from > until
        {
            return Err(Failure::usage(format!("--from {from} is behind --until {until}: there is nothing to print")));
        }
        let mut verifier = match self.proof {
            false => None,
            true => {
                let id = match self.channel_id {
                    Some(id) => id,
                    None => session.channel_id(channel).await?,
                };
                Some(EventVerifier::open(connection, channel, id).await?)
            }
        };
        let filter = Filter { start, class: self.class, topic: self.topic.clone(), proof: self.proof };
        if self.human && session.output.json {
            return Err(Failure::usage("--human and --json: one of them"));
        }
        let human = self.human || (!session.output.json && io::stdout().is_terminal());
        let subscription = connection.subscribe(channel, filter);
        let mut subscription = subscription.with_retry(Retry { attempts_max: 10, wait_max: PAUSE_MAX }).patient();
        let (mut progress, mut units) = (Progress::new(self.until), Units::default());
        let mut left = self.count.unwrap_or(u64::MAX);
        while left > 0
            && let Some(step) = subscription.step().await
        {
            let step = match step {
                Ok(step) => step,
                Err(error) => return Err(self.advised(error, session, channel, kept.as_ref()).await),
            };
            if self.cursor_file.is_some() && of.is_none() && !matches!(step, Step::Pause { .. }) {
                // The peer has just answered.
                of = Some((session.channel_id(channel).await?, channel.to_owned()));
            }
            let mut printed = |cursor: &Cursor| {
                let Some(path) = self.cursor_file.as_deref() else { return Ok(()) };
                let now = kept.insert(Kept { cursor: *cursor, channel: of.clone() });
                keep(path, now)
            };
            match step {
                Step::Event(delivery) if progress.is_beyond(&delivery.cursor) => break,
                Step::Event(delivery) => {
                    if let Some(verifier) = &mut verifier {
                        verifier.verify(&delivery).await?;
                    }
                    if human {
                        let mut data = serde_json::to_value(&delivery.event.data).unwrap_or_default();
                        units.put_points(session, channel, &mut data).await;
                        session.output.text(&line(&delivery, data))?;
                    } else {
                        session.output.line(&delivery.event)?;
                    }
                    printed(&delivery.cursor)?;
                    left -= 1;
                }
                Step::Position { cursor, tip } => {
                    if let Some(told) = progress.at(&cursor, tip) {
                        note(&told);
                    }
                    // What is wanted up to here was printed.
                    printed(&cursor)?;
                    if progress.is_done(&cursor) {
                        break;
                    }
                }
                Step::Pause { why, wait } => {
                    if let Some(told) = progress.pauses(&why, wait) {
                        note(&told);
                    }
                }
            }
        }
        Ok(())
    }
}

/// What a cursor file holds: `CURSOR`, and in the next line `channel ID NAME`.
#[derive(Clone, Debug, PartialEq)]
struct Kept {
    cursor: Cursor,
    /// Of which channel it is, and how that was called; a file that somebody else has written need not say it.
    channel: Option<(Hash, String)>,
}

impl Kept {
    fn parse(text: &str) -> Option<Self> {
        let (cursor, channel) =
            text.trim().split_once('\n').map_or((text.trim(), None), |(first, rest)| (first, Some(rest)));
        let channel = match channel {
            None => None,
            Some(line) => {
                let (id, name) = line.strip_prefix("channel ")?.split_once(' ')?;
                Some((Hash::parse(id).ok()?, name.to_owned()))
            }
        };
        Some(Self { cursor: cursor.parse().ok()?, channel })
    }

    fn to_text(&self) -> String {
        let channel = self.channel.as_ref().map(|(id, name)| format!("channel {id} {name}\n"));
        format!("{}\n{}", self.cursor, channel.unwrap_or_default())
    }
}

/// Keeps how far was printed, in one step: the file holds the old or the new place.
fn keep(path: &Path, kept: &Kept) -> Result<(), Failure> {
    let written = files::write_public(path, kept.to_text().as_bytes());
    written.map_err(|error: io::Error| Failure::file(path, &error))
}

/// How far the channel was followed, and what was said of it: each thing once.
struct Progress {
    until: Option<Until>,
    at_tip: bool,
    /// Why it waits.
    waits: Option<String>,
}

impl Progress {
    const fn new(until: Option<Until>) -> Self {
        Self { until, at_tip: false, waits: None }
    }

    /// The peer said where the subscription is. Gives what is worth saying.
    fn at(&mut self, cursor: &Cursor, tip: u64) -> Option<String> {
        if self.until == Some(Until::Now) {
            self.until = Some(Until::Height(tip));
        }
        let goes_on = self.waits.take().is_some();
        let at_tip = cursor.is_end() && cursor.height >= tip;
        let first = at_tip && !std::mem::replace(&mut self.at_tip, true);
        match (first, goes_on) {
            (true, _) => {
                let follows = if self.until.is_none() { "; what is committed from now on follows" } else { "" };
                Some(format!("at the end of the channel, block {}{follows}", cursor.height))
            }
            (false, true) => Some("the peer answers again".into()),
            (false, false) => None,
        }
    }

    /// The peer is asked again later. Gives what is worth saying.
    fn pauses(&mut self, why: &str, wait: Duration) -> Option<String> {
        let before = self.waits.replace(why.to_owned());
        (before.as_deref() != Some(why))
            .then(|| format!("{why}; asking again in {:.1} s, then after longer pauses", wait.as_secs_f64()))
    }

    /// Whether an event is behind the end.
    fn is_beyond(&self, cursor: &Cursor) -> bool {
        matches!(self.until, Some(Until::Height(height)) if cursor.height > height)
    }

    /// Whether everything up to the end was delivered.
    fn is_done(&self, cursor: &Cursor) -> bool {
        self.is_beyond(cursor)
            || matches!(self.until, Some(Until::Height(height)) if cursor.is_end() && cursor.height == height)
    }
}

fn advice(problem: &Problem) -> Option<&'static str> {
    match problem.name() {
        "cursor-ahead" => Some(
            "The peer is behind, or was restored from a backup. Ask another peer, or wait. If blocks were lost for good, \
             begin with --from and the height of the last block that both have, and compare what you have seen since.",
        ),
        "cursor-other-history" => Some(
            "The blocks that you have seen are not those of this peer. Find out which are right (`chancery verify`), then \
             begin with --from and a height below the difference.",
        ),
        "cursor-no-event" => Some("Begin with --from and the cursor as it was printed, or with its height."),
        _ => None,
    }
}

/// An event for people: when, its cursor, what about, and what it says, `data` with the points of its amounts.
fn line(delivery: &Delivery, mut data: serde_json::Value) -> String {
    let event = &delivery.event;
    if let Some(data) = data.as_object_mut() {
        data.remove("kind");
    }
    let kind = event.type_text.strip_prefix("chancery.").unwrap_or(&event.type_text);
    let mut line = format!("{}  {}  {}  {}", event.time, delivery.cursor, clean(kind), clean(&event.subject));
    let said = fields(&data);
    if !said.is_empty() {
        let _ = write!(line, "  {}", clean(&said));
    }
    // By which `chancery tx proof` is asked.
    let _ = write!(line, "  transaction={}", event.transaction);
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn end(height: u64) -> Cursor {
        Cursor::end_of(height, &Hash([9; 32]))
    }

    fn event(height: u64) -> Cursor {
        Cursor::new(height, 0, 0, &Hash([9; 32]))
    }

    #[test]
    fn the_end_is_reached_behind_its_block_and_not_before() {
        assert_eq!((until("now").ok(), until("7").ok()), (Some(Until::Now), Some(Until::Height(7))));
        assert!(["", "-1", "later", "7.0"].iter().all(|text| until(text).is_err()));
        let mut progress = Progress::new(Some(Until::Now));
        assert!(!progress.is_beyond(&event(9)), "nobody knows yet where now is");
        progress.at(&end(3), 7);
        for (cursor, beyond, done) in
            [(end(3), false, false), (event(7), false, false), (end(7), false, true), (event(8), true, true)]
        {
            assert_eq!((progress.is_beyond(&cursor), progress.is_done(&cursor)), (beyond, done), "{cursor}");
        }
        // The channel has grown, and the end stays where it was.
        progress.at(&end(6), 12);
        assert!(progress.is_done(&end(7)));
        assert!(!Progress::new(None).is_done(&end(u64::MAX)));
    }

    #[test]
    fn a_cursor_file_says_of_which_channel_it_is() {
        let kept = Kept { cursor: end(7), channel: Some((Hash([3; 32]), "trade".into())) };
        assert_eq!(Kept::parse(&kept.to_text()), Some(kept.clone()));
        assert_eq!(Kept::parse(&format!("{}\n", kept.cursor)), Some(Kept { channel: None, ..kept }));
        assert_eq!(Kept::parse("7\n"), None);
        assert_eq!(Kept::parse(&format!("{}\nchannel trade\n", end(7))), None);
    }

    #[test]
    fn each_thing_is_said_once() {
        let mut progress = Progress::new(None);
        assert_eq!(progress.at(&end(3), 7), None);
        assert!(progress.at(&end(7), 7).unwrap().starts_with("at the end of the channel, block 7;"));
        assert_eq!(progress.at(&end(8), 8), None);
        let wait = Duration::from_millis(1500);
        assert_eq!(progress.pauses("halted", wait).unwrap(), "halted; asking again in 1.5 s, then after longer pauses");
        assert_eq!(progress.pauses("halted", wait), None);
        assert!(progress.pauses("gone", wait).is_some(), "something else");
        assert_eq!(progress.at(&end(8), 8).unwrap(), "the peer answers again");
        assert_eq!(progress.at(&end(8), 8), None);
        assert!(progress.pauses("lost", wait).is_some());
    }

    #[test]
    fn people_read_an_event_in_a_line() {
        let event = ledger_classes::primitives::json::from_value(serde_json::json!({
            "specversion": "1.0", "id": event(812).to_string(), "source": "/v1/channels/main",
            "type": "chancery.log.appended", "subject": "trace", "time": "2026-11-21T10:05:54.123Z",
            "datacontenttype": "application/json", "class": "logs", "transaction": Hash::ZERO,
            "data": {"kind": "log.appended", "topic": "trace", "author": ledger_classes::keys::Address::ZERO,
                "digest": null, "body": "two\nlines\u{1b}[2J"},
        }));
        let delivery = Delivery { cursor: self::event(812), event: event.unwrap() };
        let data = serde_json::to_value(&delivery.event.data).unwrap();
        let text = line(&delivery, data);
        let rest = "2026-11-21T10:05:54.123Z  812.0.0.0909090909090909  log.appended  trace  ";
        let rest = text.strip_prefix(rest).unwrap();
        assert!(rest.contains("two\\nlines\\u{1b}[2J") && rest.ends_with('\n'), "{rest}");
        assert_eq!(text.matches('\n').count(), 1);
    }
}
