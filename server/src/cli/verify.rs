//! `chancery verify`: offline checks. Nothing here talks to a peer.

use super::failure::Failure;
use super::output::{Output, clean, pairs};
use clap::Args;
use client::verify::{Proven, read_proof, verify_proof};
use ledger_classes::hash::Hash;
use std::path::PathBuf;

/// Check a proof file, without trusting whoever made it
#[derive(Args, Debug)]
#[command(after_help = "\
The channel's id is what ties a proof to a channel that you know. Without --channel-id the proof is checked in
itself, and the id that it is about is printed for you to compare.

Example:
  $ chancery verify --proof transfer.json")]
pub(super) struct Verify {
    /// Proof file, as `chancery tx proof` writes it
    #[arg(long, value_name = "FILE")]
    proof: PathBuf,
    /// The channel's id, from a source that you trust
    #[arg(long, value_name = "HEX")]
    channel_id: Option<Hash>,
}

impl Verify {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let proven = verify_proof(&read_proof(&self.proof)?, self.channel_id)?;
        output.show(&proven, |proven| text(proven, self.channel_id.is_some()))
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
    if let Some((height, hash)) = &proven.later {
        lines.push(("tied to", format!("header {hash} of height {height}")));
    }
    let about = match known {
        true => "The proof holds for the channel that was asked for.",
        false => "The proof holds in itself. Compare the channel's id with one from a source that you trust.",
    };
    format!("{}\n{about}\n", pairs(&lines))
}
