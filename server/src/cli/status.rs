//! `chancery status`: the peer, and the channels that the caller may see.

use super::failure::Failure;
use super::output::{clean, pairs, rights, table, until, when};
use super::session::Session;
use clap::Args;
use client::api::{ChannelState, ChannelView, ObstacleView, PeerStatus, PlacesView, TaskView, WaitingView};
use ledger_classes::hash::Hash;

/// Show the peer, its channels, heights and queues
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  $ chancery status --json")]
pub(super) struct Status {}

impl Status {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let status = session.connection.status().await?;
        session.output.show(&status, text)
    }
}

fn text(status: &PeerStatus) -> String {
    let lines = pairs(&[
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
