//! `chancery key`: account keys. Works without a peer.
//!
//! Words are read from standard input and never from an argument, which other users of the machine could see.

use super::failure::Failure;
use super::output::{Output, pairs};
use super::session::{Global, open_profile};
use clap::{Subcommand, ValueEnum};
use client::keys::{WordCount, Words, read_account_key, write_account_key};
use files::KEY_FILE_BYTES_MAX;
use ledger_classes::keys::SigningKey;
use std::io::Read as _;
use std::path::PathBuf;

/// How many words to make.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Count {
    /// 128 bits
    #[value(name = "12")]
    Twelve,
    /// 256 bits
    #[value(name = "24")]
    TwentyFour,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key with its words, and write it to a new file
    #[command(after_help = "\
The words are printed once and kept nowhere: write them down, they alone recover the key (BIP 39 English, SLIP-0010
Ed25519 at m/44'/1128812099'/N').

Example:
  $ chancery key new --out alice/account.key")]
    New {
        /// File to write; the profile's account key if absent. Never overwritten
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// How many words
        #[arg(long, value_enum, default_value = "24")]
        words: Count,
    },
    /// Show address and public key of a key file
    #[command(after_help = "\
Example:
  $ chancery key show alice/account.key")]
    Show {
        /// Key file; the profile's account key if absent
        file: Option<PathBuf>,
    },
    /// Recover a key from its words, read from standard input, and write it to a new file
    #[command(after_help = "\
Example:
  $ chancery key recover --out alice/account.key < words.txt")]
    Recover {
        /// File to write; the profile's account key if absent. Never overwritten
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Which account of the words
        #[arg(long, value_name = "N", default_value_t = 0)]
        account: u32,
        /// File with the BIP 39 passphrase, if the words have one
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
}

impl Command {
    pub(super) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        match self {
            Self::New { out, words } => {
                let file = file_or_profile(out, global)?;
                let words = Words::generate(match words {
                    Count::Twelve => WordCount::Twelve,
                    Count::TwentyFour => WordCount::TwentyFour,
                })?;
                let key = words.key(0, "")?;
                write_account_key(&file, &key)?;
                let mut shown = describe(&key, &file);
                shown["words"] = words.text().as_str().into();
                output.show(&shown, |shown| {
                    format!(
                        "{}\nWrite the words down: they alone recover the key, and are kept nowhere.\n",
                        text(shown)
                    )
                })
            }
            Self::Show { file } => {
                let file = file_or_profile(file, global)?;
                output.show(&describe(&read_account_key(&file)?, &file), text)
            }
            Self::Recover { out, account, passphrase_file } => {
                let file = file_or_profile(out, global)?;
                let passphrase = match passphrase_file {
                    None => zeroize::Zeroizing::default(),
                    Some(path) => files::read_secret_text(&path, KEY_FILE_BYTES_MAX)
                        .map_err(|error| Failure::file(&path, &error))?,
                };
                let mut typed = zeroize::Zeroizing::new(String::with_capacity(4096));
                let stdin = std::io::stdin().lock();
                stdin
                    .take(4096)
                    .read_to_string(&mut typed)
                    .map_err(|error| Failure::usage(format!("the words cannot be read: {error}")))?;
                let key = Words::parse(&typed)?.key(account, passphrase.trim_end_matches(['\r', '\n']))?;
                write_account_key(&file, &key)?;
                output.show(&describe(&key, &file), text)
            }
        }
    }
}

/// `file`, or the profile's account key.
fn file_or_profile(file: Option<PathBuf>, global: &Global) -> Result<PathBuf, Failure> {
    match (file, &global.profile) {
        (Some(file), _) => Ok(file),
        (None, Some(profile)) => Ok(open_profile(global, profile)?.account_key),
        (None, None) => Err(Failure::usage("which file? Name it, or give --profile")),
    }
}

fn describe(key: &SigningKey, file: &std::path::Path) -> serde_json::Value {
    let public = key.public();
    serde_json::json!({ "address": public.address(), "public_key": public, "file": file.display().to_string() })
}

fn text(shown: &serde_json::Value) -> String {
    let field = |name| shown.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    let mut lines = vec![("address", field("address")), ("public key", field("public_key")), ("file", field("file"))];
    lines.extend(shown.get("words").map(|_| ("words", field("words"))));
    pairs(&lines)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_new_key_is_written_and_shown_and_never_overwritten() {
        let file = std::env::temp_dir().join(format!("chancery-key-{}-{:?}", std::process::id(), client::now()));
        let global = Global { profile: None, profile_passphrase_file: None, peer: None, json: true, timeout: 30 };
        let output = Output { json: true };
        let new = || Command::New { out: Some(file.clone()), words: Count::Twelve }.run(&global, output);
        new().unwrap();
        Command::Show { file: Some(file.clone()) }.run(&global, output).unwrap();
        assert_eq!(new().unwrap_err().exit_code(), 2);
        std::fs::remove_file(&file).unwrap();
        let nowhere = Command::Show { file: None }.run(&global, output).unwrap_err();
        assert_eq!(nowhere.exit_code(), 2);
    }
}
