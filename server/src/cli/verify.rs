//! `chancery verify`: offline checks. Nothing here talks to a peer.

use super::ca::in_full;
use super::failure::Failure;
use super::output::{Output, clean, pairs};
use crate::certificates::ParticipantPaths;
use crate::config::Config;
use channel_actors::{audit::audit, hold};
use clap::Args;
use client::verify::{Proven, read_proof, verify_proof};
use ledger_classes::hash::Hash;
use ledger_classes::identity::is_label;
use serde_json::json;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Check a proof file, or everything that a peer's directory holds, without trusting whoever made it
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["proof", "dir"]))]
#[command(after_help = "\
With --proof, the channel's id is what ties a proof to a channel that you know. Without --channel-id the proof is
checked in itself, and the id that it is about is printed for you to compare.

With --dir, every block of every channel is hashed, its signatures and seal are checked, and every transaction is
executed again from genesis on; the peer must not be running.

Examples:
  $ chancery verify --proof transfer.json
  $ chancery verify --dir peer-1 --channel main")]
pub(super) struct Verify {
    /// Proof file, as `chancery tx proof` writes it
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    /// The channel's id, from a source that you trust
    #[arg(long, value_name = "HEX", conflicts_with = "dir")]
    channel_id: Option<Hash>,
    /// A peer's directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// One channel of it, by name
    #[arg(long, value_name = "NAME", conflicts_with = "proof")]
    channel: Option<String>,
}

impl Verify {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        match (&self.proof, &self.dir) {
            (Some(proof), _) => {
                let proven = verify_proof(&read_proof(proof)?, self.channel_id)?;
                output.show(&proven, |proven| text(proven, self.channel_id.is_some()))
            }
            (None, Some(dir)) => ledger(dir, self.channel.as_deref(), output),
            (None, None) => Err(Failure::usage("--proof or --dir is needed")),
        }
    }
}

/// Verifies the channels of a peer's directory.
fn ledger(dir: &Path, only: Option<&str>, output: Output) -> Result<(), Failure> {
    let config = Config::load(dir).map_err(|error| Failure::usage(in_full(&error)))?;
    let data = dir.join(&config.data_dir);
    // While channels rest their files are not locked, and what a peer opens must not be opened here.
    let _held = hold(&data).map_err(|error| match error.kind() {
        std::io::ErrorKind::ResourceBusy => Failure::unavailable(error.to_string()),
        _ => Failure::file(&data, &error),
    })?;
    let entries = std::fs::read_dir(&data).map_err(|error| Failure::file(&data, &error))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| is_label(name) && only.is_none_or(|only| only == name)).collect();
    names.sort();
    if names.is_empty() {
        return Err(Failure::usage(format!("{} holds no such channel", data.display())));
    }
    let mut sound = Vec::new();
    let mut broken = Vec::new();
    for name in names {
        let mut progress = Progress::new(&name, output);
        match audit(&data.join(&name), &ParticipantPaths, |done, of| progress.show(done, of)) {
            Ok(report) => sound.push(report),
            Err(error) => broken.push((name.clone(), error.to_string())),
        }
        progress.end();
    }
    let channels = sound.iter().map(|report| {
        json!({
            "name": report.name, "channel": report.channel, "height": report.height, "tip": report.tip,
            "transactions": report.transactions, "receipts": report.receipts, "entries": report.entries,
            "state_height": report.state_height,
        })
    });
    let failures = broken.iter().map(|(name, error)| json!({ "name": name, "error": error }));
    let document = json!({ "channels": channels.collect::<Vec<_>>(), "broken": failures.collect::<Vec<_>>() });
    output.show(&document, |_| {
        let mut text = String::new();
        for report in &sound {
            text.push_str(&format!(
                "{}: sound up to height {} ({} transactions, {} entries of state), tip {}\n",
                report.name, report.height, report.transactions, report.entries, report.tip
            ));
        }
        broken.iter().for_each(|(name, error)| text.push_str(&format!("{name}: NOT SOUND: {}\n", clean(error))));
        text
    })?;
    if broken.is_empty() { Ok(()) } else { Err(Failure::Reported) }
}

/// Says on a terminal how far a long verification is, from the second second on.
struct Progress<'a> {
    channel: &'a str,
    shown: bool,
    next: Instant,
    active: bool,
}

impl<'a> Progress<'a> {
    fn new(channel: &'a str, output: Output) -> Self {
        let active = !output.json && std::io::stderr().is_terminal();
        Self { channel, shown: false, next: Instant::now() + Duration::from_secs(2), active }
    }

    fn show(&mut self, done: u64, of: u64) {
        if self.active && Instant::now() >= self.next {
            // Progress that cannot be shown is no reason to stop.
            let _ = write!(std::io::stderr(), "\r{}: block {done} of {of}", self.channel);
            self.shown = true;
            self.next = Instant::now() + Duration::from_millis(200);
        }
    }

    fn end(&self) {
        if self.shown {
            let _ = writeln!(std::io::stderr());
        }
    }
}

fn text(proven: &Proven, known: bool) -> String {
    let signers: Vec<String> = proven.signers.iter().map(ToString::to_string).collect();
    let mut lines = vec![
        ("channel", format!("{} {}", proven.channel, clean(&proven.channel_name))),
        ("block", format!("{} of {}", proven.height, proven.time)),
        ("header", proven.block.to_string()),
        ("transaction", proven.id.to_string()),
        ("receipt", proven.index.to_string()),
        ("result", format!("{} ({}) {}", proven.result, proven.code, clean(&proven.message)).trim_end().to_owned()),
        ("fee", proven.fee.to_string()),
    ];
    if !signers.is_empty() {
        lines.push(("signed by", signers.join(", ")));
    }
    if let Some(transaction) = &proven.transaction {
        let actions = transaction.actions.iter().map(|action| serde_json::to_string(action).unwrap_or_default());
        lines.extend(actions.map(|action| ("action", clean(&action))));
        if !transaction.memo.is_empty() {
            lines.push(("memo", clean(&transaction.memo)));
        }
    }
    if let Some(event) = &proven.event {
        lines.push(("event", clean(&serde_json::to_string(event).unwrap_or_default())));
    }
    if let Some(later) = &proven.later {
        lines.push(("tied to", format!("header {} of height {}", later.hash, later.height)));
    }
    let about = match known {
        true => "The proof holds for the channel that was asked for.",
        false => "The proof holds in itself. Compare the channel's id with one from a source that you trust.",
    };
    format!("{}\n{about}\n", pairs(&lines))
}
