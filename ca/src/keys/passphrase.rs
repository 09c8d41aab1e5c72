//! The passphrase of a folder's keys: where it comes from, and how it is changed.
//!
//! One passphrase opens every key of a folder. It lies in a file of its own, so that a backup of the folder alone holds
//! no usable key.

use crate::keys::{encrypted::Passphrase, error::PassphraseError};
use files::KEY_FILE_BYTES_MAX;
use std::{
    io,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The passphrase's file in the directory that holds `ca/`, unless the operator names another.
pub const PASSPHRASE_FILE: &str = "authority.passphrase";

/// Where the passphrase comes from.
#[derive(Clone, Debug)]
pub struct PassphraseSource {
    /// The file that holds it.
    pub file: PathBuf,
    /// Who is asked if there is no such file: a person at a terminal.
    pub ask: Option<fn() -> io::Result<Zeroizing<String>>>,
}

impl PassphraseSource {
    /// A file and nothing else.
    pub const fn file(file: PathBuf) -> Self {
        Self { file, ask: None }
    }

    /// [`PASSPHRASE_FILE`] in the directory that holds `ca/`.
    pub fn usual(dir: &Path) -> Self {
        Self::file(dir.join(PASSPHRASE_FILE))
    }

    /// Makes the file, with 256 random bits and for its owner only, unless it is there. One that somebody else makes
    /// meanwhile stays: keys may be under it already.
    pub fn make(&self) -> Result<(), PassphraseError> {
        let fail = |source| PassphraseError::File { file: self.file.clone(), source };
        if self.file.try_exists().map_err(fail)? {
            return Ok(());
        }
        let made = Passphrase::generate().map_err(|error| fail(io::Error::other(error)))?;
        match files::create_private(&self.file, &made.to_text()) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            done => done.map_err(fail),
        }
    }

    /// The passphrase, and where it comes from in words.
    pub fn read(&self) -> Result<(Passphrase, String), PassphraseError> {
        let from = self.file.display().to_string();
        let file = self.file.clone();
        // Nothing is read twice: a passphrase may come through a pipe.
        match files::read_secret(&file, KEY_FILE_BYTES_MAX) {
            Ok(text) => match Passphrase::parse(&text) {
                Some(passphrase) => Ok((passphrase, from)),
                None => Err(PassphraseError::Form { from }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => match self.ask {
                Some(ask) => {
                    let typed = ask().map_err(PassphraseError::Typed)?;
                    let passphrase = Passphrase::parse(typed.as_bytes());
                    let from = "what was typed".to_owned();
                    passphrase.map(|it| (it, from.clone())).ok_or(PassphraseError::Form { from })
                }
                None => Err(PassphraseError::Missing { file }),
            },
            Err(source) => Err(PassphraseError::File { file, source }),
        }
    }
}
