//! The passphrase of the authorities' keys: where commands find it.

use ca::PassphraseSource;
use clap::Args;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Where the passphrase is.
#[derive(Args, Debug)]
pub(in crate::cli) struct PassphraseFile {
    /// File with the passphrase of the authorities' keys [default: authority.passphrase in DIR; or asked for]
    // Its name is its id among all arguments of a command.
    #[arg(long, value_name = "FILE", env = "CHANCERY_AUTHORITY_PASSPHRASE_FILE", global = true)]
    pub(in crate::cli) passphrase_file: Option<PathBuf>,
}

impl PassphraseFile {
    /// The file that was named; else the usual one, or a person at a terminal.
    pub(super) fn source(&self, dir: &Path) -> PassphraseSource {
        match &self.passphrase_file {
            Some(file) => PassphraseSource::file(file.clone()),
            None => PassphraseSource {
                ask: io::stdin().is_terminal().then_some(ask as fn() -> io::Result<Zeroizing<String>>),
                ..PassphraseSource::usual(dir)
            },
        }
    }
}

fn ask() -> io::Result<Zeroizing<String>> {
    rpassword::prompt_password("Passphrase of the authorities' keys: ").map(Zeroizing::new)
}
