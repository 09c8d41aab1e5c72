//! `chancery status`: the peer, and the channels that the caller may see.

use super::failure::Failure;
use super::output::{clean, pairs, rights, table, until, when};
use super::session::Session;
use crate::limits::CERTIFICATE_LEFT_MS;
use clap::Args;
use client::api::{ChannelState, ChannelView, ObstacleView, PeerStatus, PlacesView, TaskView, WaitingView};
use ledger_classes::primitives::hash::Hash;
use serde::Serialize;

/// Show the peer, its channels, heights and queues
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  $ chancery status --json")]
pub(super) struct Status {}

impl Status {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let status = session.connection.status().await?;
        let judged = Judged { troubles: troubles(&status), status: &status };
        session.output.show(&judged, |judged| text(judged.status, &judged.troubles))
    }
}

/// The peer's word, and what of it somebody should look after.
#[derive(Serialize)]
struct Judged<'a> {
    troubles: Vec<String>,
    #[serde(flatten)]
    status: &'a PeerStatus,
}

/// What somebody should look after, a phrase each; nothing if all is well as far as the caller is told.
fn troubles(status: &PeerStatus) -> Vec<String> {
    let mut troubles = Vec::new();
    let mut say = |is: bool, what: &dyn Fn() -> String| {
        if is {
            troubles.push(what());
        }
    };
    say(status.fenced.is_some(), &|| "the peer seals and issues nothing".into());
    say(status.disk_trouble.is_some(), &|| "the disk takes no writes".into());
    let left = status.certificate_not_after.millis().saturating_sub(status.time.millis());
    say(left < CERTIFICATE_LEFT_MS, &|| {
        format!("the peer's certificate ends {}", until(status.certificate_not_after, status.time))
    });
    for task in &status.tasks {
        say(task.running == 0, &|| format!("the background task {} has ended", clean(&task.name)));
    }
    say(status.log_lines_lost > 0, &|| format!("{} lines of the log are lost", status.log_lines_lost));
    for channel in &status.channels {
        let name = clean(&channel.name);
        say(matches!(channel.state, ChannelState::Halted { .. }), &|| format!("{name} is halted"));
        say(!full(channel).is_empty(), &|| format!("{name} has used up its part of the disk"));
    }
    say(status.channels_incomplete.is_some(), &|| "channels may be missing".into());
    for obstacle in &status.obstacles {
        let (duty, channel) = (clean(&obstacle.duty), clean(&obstacle.channel));
        say(true, &|| format!("{duty} is not done on {channel}"));
    }
    say(!status.crl_troubles.is_empty(), &|| "lists of CAs are not as they should be".into());
    troubles
}

fn text(status: &PeerStatus, troubles: &[String]) -> String {
    let verdict = match troubles {
        [] => "all is well".into(),
        some => format!("TO LOOK AFTER: {}", some.join("; ")),
    };
    let lines = pairs(&[
        ("verdict", verdict),
        ("peer", clean(&status.peer)),
        ("version", clean(&status.version)),
        ("consortium", clean(&status.consortium)),
        ("caller", status.caller.as_deref().map_or_else(|| "nobody (no certificate)".into(), clean)),
        ("running since", until(status.started, status.time)),
        ("its clock", when(status.time)),
        ("certificate until", until(status.certificate_not_after, status.time)),
        ("connections", status.connections.map_or_else(|| "-".into(), |count| count.to_string())),
        ("incarnation", status.incarnation.as_deref().map_or_else(|| "-".into(), clean)),
        (
            "seals and issues",
            status.fenced.as_deref().map_or_else(|| "yes".into(), |why| format!("NO: {}", clean(why))),
        ),
        ("disk", status.disk_trouble.as_deref().map_or_else(|| "takes writes".into(), clean)),
        ("background tasks", tasks(&status.tasks)),
        ("lost log lines", status.log_lines_lost.to_string()),
    ]);
    let incomplete = status.channels_incomplete.as_deref();
    let incomplete = incomplete.map(|why| format!("not all that there may be: {}\n", clean(why))).unwrap_or_default();
    let (places, channels) = (places(&status.places), channels(&status.channels));
    let (waiting, troubles) = (waiting(&status.waiting), crl_troubles(&status.crl_troubles));
    format!("{lines}\n{places}{channels}{incomplete}{waiting}{}{troubles}", obstacles(&status.obstacles))
}

/// What callers have, for who may know.
fn places(places: &[PlacesView]) -> String {
    if places.is_empty() {
        return String::new();
    }
    let row = |it: &PlacesView| {
        let numbers = [it.total, it.strangers, it.members, it.administrators, it.refused];
        [vec![clean(&it.what)], numbers.map(|number| number.to_string()).into()].concat()
    };
    let rows: Vec<Vec<String>> = places.iter().map(row).collect();
    table(&["places", "in all", "strangers", "members", "administrators", "refused"], &rows) + "\n"
}

/// What the peer is about to do, a line each.
fn waiting(waiting: &[WaitingView]) -> String {
    let line = |it: &WaitingView| format!("{}: {} still to come: {}\n", clean(&it.channel), clean(&it.duty), it.count);
    let lines: String = waiting.iter().map(line).collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

/// What stands in the way of the peer's duties, a line each.
fn obstacles(obstacles: &[ObstacleView]) -> String {
    let line = |it: &ObstacleView| {
        let subject = if it.subject.is_empty() { String::new() } else { format!(" of {}", clean(&it.subject)) };
        format!("{}: {}{subject} is not done: {}\n", clean(&it.channel), clean(&it.duty), clean(&it.reason))
    };
    let lines: String = obstacles.iter().map(line).collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

/// What is wrong with the CAs' lists, a line each.
fn crl_troubles(troubles: &[String]) -> String {
    let lines: String = troubles.iter().map(|trouble| format!("{}\n", clean(trouble))).collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

/// Those that are not as they should be, by name.
fn tasks(tasks: &[TaskView]) -> String {
    let word = |task: &TaskView| match (task.running, task.restarts) {
        (0, _) => Some(format!("{} has ended", clean(&task.name))),
        (_, 0) => None,
        (_, times) => Some(format!("{} panicked and began anew, {times} times", clean(&task.name))),
    };
    let words: Vec<String> = tasks.iter().filter_map(word).collect();
    if words.is_empty() { "all run".into() } else { words.join("; ") }
}

/// Channels as a table.
pub(super) fn channels(channels: &[ChannelView]) -> String {
    if channels.is_empty() {
        return "no channels\n".into();
    }
    let rows: Vec<Vec<String>> = channels
        .iter()
        .map(|channel| {
            // Of a channel that cannot be opened it may be unknown.
            let known = |text: String| if channel.tip == Hash::ZERO { "-".into() } else { text };
            vec![
                clean(&channel.name),
                known(channel.height.to_string()),
                known(when(channel.time)),
                state(&channel.state) + full(channel),
                access(channel.public_read, channel.open_submit).into(),
                format!("{} waiting, {} subscribed", channel.queue.transactions, channel.queue.subscriptions),
                rights(channel.rights),
            ]
        })
        .collect();
    table(&["channel", "height", "block time", "state", "open to", "queue", "rights"], &rows)
}

/// Whether it has used up its part of the disk, to those who are told.
fn full(channel: &ChannelView) -> &'static str {
    match channel.disk {
        Some(disk) if disk.bytes >= disk.bytes_max => ", its part of the disk is FULL",
        _ => "",
    }
}

/// Who may do without a certificate what needs a right otherwise.
pub(super) const fn access(public_read: bool, open_submit: bool) -> &'static str {
    match (public_read, open_submit) {
        (false, false) => "members",
        (true, false) => "members; anybody reads",
        (false, true) => "members; anybody posts",
        (true, true) => "anybody reads and posts",
    }
}

/// A state in words.
pub(super) fn state(state: &ChannelState) -> String {
    match state {
        ChannelState::Opening => "opening".into(),
        ChannelState::Replaying { done, of } => format!("replaying {done} of {of}"),
        ChannelState::Serving => "serving".into(),
        ChannelState::Draining => "draining".into(),
        ChannelState::Closed => "closed".into(),
        ChannelState::Halted { reason } => format!("halted: {}", clean(reason)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ledger_classes::primitives::time::Time;
    use serde_json::json;

    #[test]
    fn the_verdict_names_all_that_somebody_should_look_after() {
        let now = Time::from_millis(1_800_000_000_000);
        let well = json!({
            "version": "0.1.0", "peer": "spiffe://c/bank/peer/one", "consortium": "c", "started": now, "time": now,
            "certificate_not_after": now.plus_millis(30 * 24 * 3_600_000), "channels": [],
            "tasks": [{"name": "look", "running": 1, "restarts": 2}],
        });
        let of = |changes: serde_json::Value| {
            let mut status = well.clone();
            status.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            troubles(&ledger_classes::primitives::json::from_str(&status.to_string()).unwrap())
        };
        assert_eq!(of(json!({})), Vec::<String>::new());
        for (changes, told) in [
            (json!({"fenced": "a copy"}), "seals and issues nothing"),
            (json!({"disk_trouble": "full"}), "takes no writes"),
            (json!({"certificate_not_after": now.plus_millis(6 * 24 * 3_600_000)}), "certificate ends"),
            (json!({"tasks": [{"name": "look", "running": 0, "restarts": 6}]}), "look has ended"),
            (json!({"log_lines_lost": 3}), "3 lines"),
            (json!({"channels_incomplete": "why"}), "may be missing"),
            (
                json!({"obstacles": [{"channel": "trade", "duty": "revocation", "subject": "", "reason": "r"}]}),
                "on trade",
            ),
            (json!({"crl_troubles": ["behind"]}), "lists of CAs"),
        ] {
            let troubles = of(changes);
            assert!(troubles.len() == 1 && troubles[0].contains(told), "{told}: {troubles:?}");
        }
    }
}
