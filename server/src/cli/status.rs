//! `chancery status`: the peer, and the channels that the caller may see.

use super::failure::Failure;
use super::output::{clean, pairs, rights, table};
use super::session::Session;
use clap::Args;
use client::api::{ChannelState, ChannelView, PeerStatus};

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
        ("running since", status.started.to_string()),
        ("its clock", status.time.to_string()),
        ("certificate until", status.certificate_not_after.to_string()),
        ("connections", status.connections.to_string()),
        ("disk", status.disk_trouble.as_deref().map_or_else(|| "takes writes".into(), clean)),
    ]);
    format!("{lines}\n{}", channels(&status.channels))
}

/// Channels as a table.
pub(super) fn channels(channels: &[ChannelView]) -> String {
    if channels.is_empty() {
        return "no channels\n".into();
    }
    let rows: Vec<Vec<String>> = channels
        .iter()
        .map(|channel| {
            vec![
                clean(&channel.name),
                channel.height.to_string(),
                channel.time.to_string(),
                state(&channel.state),
                format!("{} waiting, {} subscribed", channel.queue.transactions, channel.queue.subscriptions),
                rights(channel.rights),
            ]
        })
        .collect();
    table(&["channel", "height", "block time", "state", "queue", "rights"], &rows)
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
