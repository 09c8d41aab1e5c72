//! `chancery verify`: offline checks. Nothing here talks to a peer.

use super::backup::{sound, sound_text};
use super::ca::in_full;
use super::failure::Failure;
use super::output::{Output, clean, pairs};
use super::progress::Progress;
use crate::{certificates::paths::ParticipantPaths, setup::config::Config};
use channel_actors::block::verify_offline::audit;
use channel_actors::lock_directory;
use clap::Args;
use client::verify::{AnyProof, Proven, ProvenState, read_any_proof, verify_proof, verify_state_proof};
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::identity::is_label;
use serde_json::json;
use std::path::{Path, PathBuf};

mod blocks;
mod histories;

/// Check a proof, a channel's blocks, a backup or a peer's directory, without trusting whoever made it
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["proof", "dir", "blocks", "backup"]))]
#[command(after_help = "\
With --proof, the channel's id is what ties a proof to a channel that you know. Without --channel-id the proof is
checked in itself, and the id that it is about is printed for you to compare.

With --dir, every block of every channel is hashed, its signatures and seal are checked, and every transaction is
executed again from genesis on; the peer must not be running. With --blocks the same is done with blocks that `chancery
channel fetch` wrote, on any machine, and with --backup with what `chancery backup` wrote, whose files are held against
their hashes.

With two proofs of transactions, or two folders of blocks, of one channel it is said whether one history can hold both. Two sealed
headers of one height show that the ledger was copied and runs twice; they are printed with who sealed them, and keep
them: they prove it to everybody.

A channel's id vouches for all that its genesis says; compare the tip with what others have seen of the channel.

Examples:
  $ chancery verify --proof transfer.json
  $ chancery verify --dir peer-1 --channel main
  $ chancery verify --proof mine.json --proof theirs.json
  $ chancery verify --blocks trade
  $ chancery verify --backup /backup/peer-1")]
pub(super) struct Verify {
    /// Proof file, as `chancery tx proof` and `chancery state proof` write it. Of two of transactions, whether one history can hold both
    #[arg(long, value_name = "FILE")]
    proof: Vec<PathBuf>,
    /// The channel's id, from a source that you trust
    #[arg(long, value_name = "HEX", conflicts_with_all = ["dir", "backup"])]
    channel_id: Option<Hash>,
    /// A peer's directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// One channel of it, by name
    #[arg(long, value_name = "NAME", conflicts_with_all = ["proof", "blocks", "backup"])]
    channel: Option<String>,
    /// A folder with a channel's blocks, as `chancery channel fetch` writes it. Of two, whether they are of one history
    #[arg(long, value_name = "DIR")]
    blocks: Vec<PathBuf>,
    /// A backup
    #[arg(long, value_name = "DIR")]
    backup: Option<PathBuf>,
}

/// A proof that holds, and whether it was held against a channel that is known.
#[derive(serde::Serialize)]
struct Judged<'a, T> {
    #[serde(flatten)]
    proven: &'a T,
    channel_id_compared: bool,
}

impl Verify {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        match (self.proof.as_slice(), &self.dir, self.blocks.as_slice(), &self.backup) {
            ([proof], ..) => {
                let channel_id_compared = self.channel_id.is_some();
                match read_any_proof(proof)? {
                    AnyProof::Transaction(proof) => {
                        let proven = &verify_proof(&proof, self.channel_id)?;
                        output.show(&Judged { proven, channel_id_compared }, |judged| {
                            text(judged.proven, channel_id_compared)
                        })
                    }
                    AnyProof::State(proof) => {
                        let proven = &verify_state_proof(&proof, self.channel_id)?;
                        output.show(&Judged { proven, channel_id_compared }, |judged| {
                            state_text(judged.proven, channel_id_compared)
                        })
                    }
                }
            }
            ([one, other], ..) => histories::proofs(one, other, self.channel_id, output),
            (_, Some(dir), ..) => ledger(dir, self.channel.as_deref(), output),
            (_, _, [blocks], _) => fetched(blocks, self.channel_id, output),
            (_, _, [one, other], _) => histories::blocks([one, other], self.channel_id, output),
            (_, _, _, Some(backup)) => backed_up(backup, output),
            _ => Err(Failure::usage("--proof or --blocks, once or twice, --dir or --backup is needed")),
        }
    }
}

/// Verifies the channels of a peer's directory.
fn ledger(dir: &Path, only: Option<&str>, output: Output) -> Result<(), Failure> {
    let config = Config::load(dir).map_err(|error| Failure::usage(in_full(&error)))?;
    let data = dir.join(&config.data_dir);
    if !data.exists() && dir.join("backup.json").exists() {
        return Err(Failure::usage(format!("{0} is a backup: chancery verify --backup {0}", dir.display())));
    }
    // While channels are suspended their files are not locked, and what a peer opens must not be opened here.
    let _held = lock_directory(&data).map_err(|error| match error.kind() {
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
    let (mut reports, mut broken, mut progress) = (Vec::new(), Vec::new(), Progress::new(output));
    for name in names {
        match audit(&data.join(&name), &ParticipantPaths, |done, of| progress.show(&name, done, of)) {
            Ok(report) => reports.push(report),
            Err(error) => broken.push((name.clone(), in_full(&error))),
        }
    }
    drop(progress);
    let failures = broken.iter().map(|(name, error)| json!({ "name": name, "error": error }));
    let channels: Vec<_> = reports.iter().map(sound).collect();
    let document = json!({ "channels": channels, "broken": failures.collect::<Vec<_>>() });
    output.show(&document, |_| {
        let mut text = sound_text(&reports);
        broken.iter().for_each(|(name, error)| text.push_str(&format!("{name}: NOT SOUND: {}\n", clean(error))));
        text
    })?;
    if broken.is_empty() { Ok(()) } else { Err(Failure::Reported) }
}

/// Verifies a folder of blocks. Without an id it shows the one that they are of.
fn fetched(folder: &Path, known: Option<Hash>, output: Output) -> Result<(), Failure> {
    let report = blocks::checked(folder, known, output)?;
    let about = match known {
        Some(_) => "The blocks are those of the channel that was asked for.",
        None => "The blocks are sound in themselves. Compare the channel's id with one from a source that you trust.",
    };
    output.show(&sound(&report), |_| {
        format!("channel  {}\n{}\n{about}\n", report.channel, sound_text(std::slice::from_ref(&report)))
    })
}

/// Verifies a backup.
fn backed_up(from: &Path, output: Output) -> Result<(), Failure> {
    let mut progress = Progress::new(output);
    let (backup, reports) =
        crate::setup::backup::restore::verify(from, |channel, done, of| progress.show(channel, done, of))?;
    drop(progress);
    let channels: Vec<_> = reports.iter().map(sound).collect();
    let document = json!({
        "peer": backup.peer, "made": backup.made, "files": backup.files.len(), "channels": channels,
        "missing": backup.missing,
    });
    output.show(&document, |_| {
        let mut text = format!("{} of {}\n{}", clean(&backup.peer), backup.made, sound_text(&reports));
        for one in &backup.missing {
            text.push_str(&format!("NOT WHOLE: {}: {}\n", clean(&one.name), clean(&one.reason)));
        }
        text + &format!("{} files are as they were written\n", backup.files.len())
    })?;
    if backup.missing.is_empty() { Ok(()) } else { Err(Failure::Reported) }
}

fn text(proven: &Proven, known: bool) -> String {
    let signers: Vec<String> = proven.signers.iter().map(ToString::to_string).collect();
    let mut lines = vec![
        ("channel", proven.channel.to_string()),
        ("block", format!("{} of {}", proven.height, proven.time)),
        ("header", proven.block.to_string()),
        ("transaction", proven.id.to_string()),
        ("receipt", proven.index.to_string()),
        ("result", format!("{} ({})", proven.result, proven.code)),
        // Offline nobody knows the decimals of the fee's asset.
        ("fee", format!("{} base units", proven.fee)),
    ];
    if let Some(message) = &proven.message {
        lines.push(("because", clean(message)));
    }
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
    if proven.transaction.is_some() || proven.event.is_some() {
        // A proof does not say how many decimals an asset has.
        lines.push(("amounts", "in base units".into()));
    }
    if let Some(later) = &proven.later {
        lines.push(("tied to", format!("header {} of height {}", later.hash, later.height)));
    }
    format!("{}\n{}\n", pairs(&lines), about(known))
}

const fn about(known: bool) -> &'static str {
    match known {
        true => "The proof holds for the channel that was asked for.",
        false => "The proof holds in itself. Compare the channel's id with one from a source that you trust.",
    }
}

fn state_text(proven: &ProvenState, known: bool) -> String {
    let lines = [
        ("channel", proven.channel.to_string()),
        ("block", format!("{} of {}", proven.height, proven.time)),
        ("header", proven.block.to_string()),
        ("key", hex::encode(&proven.key.0)),
        ("value", proven.value.as_ref().map_or_else(|| "absent".into(), |value| hex::encode(&value.0))),
    ];
    format!("{}\n{}\n", pairs(&lines), about(known))
}
