//! Encrypts the authorities' keys under another passphrase.

use super::directory::Directory;
use crate::cli::{failure::Failure, output::Output};
use ca::PassphraseSource;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Encrypt the authorities' keys under another passphrase, or keys of older versions under their first
#[derive(Args, Debug)]
#[command(after_help = "\
A file that is not there is made, with a random passphrase. If the command is interrupted, run it again with the same
files. Afterwards put the new file where commands and the peer look for the passphrase.

Examples:
  $ chancery ca passphrase --dir peer-1
  $ chancery ca passphrase --new-passphrase-file /run/secrets/new --dir peer-1")]
pub(super) struct ChangePassphrase {
    /// File with the new passphrase [default: authority.passphrase in DIR]
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
}

impl ChangePassphrase {
    pub(super) fn run(self, directory: &Directory, output: Output) -> Result<(), Failure> {
        let dir = directory.path()?;
        let new = match self.new_passphrase_file {
            Some(file) => PassphraseSource::file(file),
            None => PassphraseSource::usual(dir),
        };
        let old = directory.passphrase.source(dir);
        let keys = directory.open_quietly()?.key_files().change_passphrase(&new)?;
        let made = json!({ "keys": keys, "passphrase_file": new.file });
        output.show(&made, |_| {
            let mut text = format!("encrypted under {}: {}\n", new.file.display(), keys.join(", "));
            if old.file != new.file {
                text += &format!("move it to {}, or name it to commands and to the peer\n", old.file.display());
            }
            text
        })
    }
}
