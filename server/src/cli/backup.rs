//! `chancery backup` and `chancery restore`: on the machine of the peer, with its directory.

use super::ca::in_full;
use super::failure::Failure;
use super::output::{Output, clean, note, pairs, table};
use super::progress::Progress;
use crate::setup::backup::{
    BackupError, BackupOptions, BackupReport, Manifest, backup,
    restore::{RestoreOptions, Restored, restore},
};
use channel_actors::block::verify_offline::AuditReport;
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        let message = in_full(&error);
        match error {
            error if error.is_unavailable() => Self::unavailable(message),
            BackupError::Channel { .. } | BackupError::Unsound { .. } => Self::refused(message),
            _ => Self::usage(message),
        }
    }
}

/// Back up a peer, running or not, into a directory; again, and only what is new is written
#[derive(Args, Debug)]
#[command(after_help = "\
Kept are the configuration, the peer's certificates and keys, the authorities, the profiles in the peer's directory, and
every channel's blocks. The passphrase of the authorities' keys is left out unless --with-passphrase is given: keep it in
another place. The backup is whole when this ends with code 0; with code 1 some channels could not be read, and are named.
What is added is read again. `chancery verify --backup` executes every transaction of a backup.

Example:
  $ chancery backup --dir peer-1 --out /backup/peer-1")]
pub(super) struct Backup {
    /// The peer's directory
    #[arg(long, value_name = "DIR", env = "CHANCERY_DIR", default_value = ".")]
    dir: PathBuf,
    /// Directory of the backup: empty, not there yet, or that of an earlier one of the same peer
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Also keep the passphrase of the authorities' keys: whoever has the backup can issue certificates
    #[arg(long)]
    with_passphrase: bool,
}

impl Backup {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let Self { dir, out, with_passphrase } = self;
        if !dir.join("data").exists() && !dir.join("chancery.toml").exists() && !dir.join("peer").exists() {
            let what =
                format!("{} is no peer's directory: --dir names the one that `chancery init` made", dir.display());
            return Err(Failure::usage(what));
        }
        let mut progress = Progress::new(output);
        let options = BackupOptions { dir, out, with_passphrase };
        let report = backup(&options, |channel, done, of| progress.show(channel, done, of))?;
        drop(progress);
        output.show(&report, |BackupReport { backup, blocks_added }| {
            let mut text = channels(backup);
            text.push_str(&format!("{blocks_added} blocks and {} files written\n", backup.files.len()));
            for left in &backup.left_out {
                text.push_str(&format!(
                    "left out: {} (keep it in another place)\n",
                    clean(&left.display().to_string())
                ));
            }
            text + &missing(backup)
        })?;
        if report.backup.missing.is_empty() { Ok(()) } else { Err(Failure::Reported) }
    }
}

fn channels(backup: &Manifest) -> String {
    let row = |channel: &crate::setup::backup::BackedUpChannel| {
        vec![clean(&channel.name), channel.height.to_string(), channel.tip.to_string()]
    };
    table(&["channel", "height", "tip"], &backup.channels.iter().map(row).collect::<Vec<_>>())
}

fn missing(backup: &Manifest) -> String {
    let line =
        |one: &crate::setup::backup::Missing| format!("NOT WHOLE: {}: {}\n", clean(&one.name), clean(&one.reason));
    backup.missing.iter().map(line).collect()
}

/// Make a peer's directory from a backup
#[derive(Args, Debug)]
#[command(after_help = "\
Every file is held against its hash, and every transaction of every channel is executed again. The restored peer is a new
incarnation of the one that was backed up: that one must not run any more, since both would seal with one key.
What the peer sealed after the backup is gone; readers that saw it are told that the history is another one.

Example:
  $ chancery restore --from /backup/peer-1 --dir peer-1")]
pub(super) struct Restore {
    /// Directory of the backup
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Directory to make; it must not exist, or be empty
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Restore a backup in which channels are missing or not up to date
    #[arg(long)]
    partial: bool,
}

impl Restore {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let Self { from, dir, partial } = self;
        // What was there before is not ours, and nothing is said of it.
        let before = std::fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_some());
        let mut progress = Progress::new(output);
        let options = RestoreOptions { from, dir, partial };
        let made = restore(&options, |channel, done, of| progress.show(channel, done, of));
        drop(progress);
        if made.is_err() && !before && options.dir.exists() {
            note(&format!("{} is not whole, and has no seal key: remove it", options.dir.display()));
        }
        let Restored { backup, incarnation, channels } = made?;
        let shown = options.dir.display();
        let mut next = vec![
            "stop the peer that was backed up, if it still runs, and never start it again: both seal with one key"
                .into(),
            format!("chancery serve --dir {shown}"),
        ];
        if !backup.left_out.is_empty() {
            // The backup's own list names where it was.
            let at = format!("authority_passphrase_file in {shown}/chancery.toml");
            next.insert(1, format!("put the authorities' passphrase back ({at} names its place)"));
        }
        let document = json!({
            "dir": options.dir, "peer": backup.peer, "incarnation": incarnation, "made": backup.made,
            "channels": channels.iter().map(sound).collect::<Vec<_>>(), "files": backup.files.len(),
            "relocated": backup.relocated, "missing": backup.missing, "next_steps": next,
        });
        output.show(&document, |_| {
            let mut text = pairs(&[
                ("peer", clean(&backup.peer)),
                ("as of", backup.made.to_string()),
                ("incarnation", incarnation.clone()),
            ]);
            text.push_str(&sound_text(&channels));
            for (key, place) in &backup.relocated {
                text.push_str(&format!("{key} is now {}\n", clean(place)));
            }
            text.push_str(&missing(&backup));
            text.push_str("\nNext:\n");
            next.iter().for_each(|step| text.push_str(&format!("  {}\n", clean(step))));
            text
        })
    }
}

/// A verified channel as a document.
pub(super) fn sound(report: &AuditReport) -> Value {
    json!({
        "name": report.name, "channel": report.channel, "height": report.height, "tip": report.tip,
        "transactions": report.transactions, "receipts": report.receipts, "entries": report.entries,
        "state_height": report.state_height,
    })
}

/// Verified channels, a line each.
pub(super) fn sound_text(reports: &[AuditReport]) -> String {
    let line = |report: &AuditReport| {
        format!(
            "{}: sound up to height {} ({} transactions), tip {}\n",
            clean(&report.name),
            report.height,
            report.transactions,
            report.tip
        )
    };
    reports.iter().map(line).collect()
}
