//! The passphrase of a folder's keys: where it comes from, and how it is changed.
//!
//! One passphrase opens every key of a folder. It lies in a file of its own, so that a backup of the folder alone holds
//! no usable key.

use crate::{
    keys::{
        encrypted::{self, Passphrase, is_encrypted},
        keyring::{any_encrypted, file_error, key_files, read_key_file},
        pair::{KeyError, KeyPair},
    },
    office::folder::{CertificateFolder, FolderError},
};
use files::KEY_FILE_BYTES_MAX;
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// The passphrase's file in the directory that holds `ca/`, unless the operator names another.
pub const PASSPHRASE_FILE: &str = "authority.passphrase";

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// No file, and nobody to ask.
    #[error(
        "there is none in {}: put it there, or name its file by --passphrase-file or \
         CHANCERY_AUTHORITY_PASSPHRASE_FILE (authority_passphrase_file in a peer's chancery.toml)",
        file.display()
    )]
    Missing {
        /// Where it was looked for.
        file: PathBuf,
    },
    /// Not one line.
    #[error("{from}: a passphrase is one line of at most 1024 octets")]
    Form {
        /// Whose.
        from: String,
    },
    /// It opens no other key of the folder.
    #[error("that of {from} does not open {}, and a folder has one for all its keys", key.display())]
    Other {
        /// Whose.
        from: String,
        /// A key of the same folder.
        key: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("{}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody typed it.
    #[error("it cannot be asked for")]
    Typed(#[source] io::Error),
}

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

impl CertificateFolder {
    /// The CAs whose keys lie unencrypted, as older versions wrote them.
    pub fn plain_keys(&self) -> Result<Vec<String>, FolderError> {
        let mut plain = Vec::new();
        for (name, path) in key_files(&self.directory)? {
            if !is_encrypted(&read_key_file(&path)?) {
                plain.push(name);
            }
        }
        Ok(plain)
    }

    /// Whether the passphrase opens one of the folder's encrypted keys; yes if there is none.
    pub fn check_passphrase(&self) -> Result<(), FolderError> {
        match any_encrypted(&self.directory)? {
            Some((path, text)) => Ok(self.keys.unlock(&path, &text).map(|_| ())?),
            None => Ok(()),
        }
    }

    /// Encrypts every key of the folder under the passphrase in `new`, which is made if it is not there; keys may be
    /// plain before. Returns whose keys.
    ///
    /// All new files are complete before the first takes its place. Whoever is interrupted in between has some keys
    /// under the old passphrase and some under the new one: running it again with the same two heals that.
    pub fn change_passphrase(&self, new: &PassphraseSource) -> Result<Vec<String>, FolderError> {
        let _writing = self.lock()?;
        new.make().map_err(KeyError::from)?;
        let (passphrase, _) = new.read().map_err(KeyError::from)?;
        let (mut names, mut drafts) = (Vec::new(), Vec::new());
        for (name, path) in key_files(&self.directory)? {
            let text = read_key_file(&path)?;
            let key = if is_encrypted(&text) {
                match self.keys.unlock(&path, &text) {
                    Ok(key) => key,
                    // It may have the new one from a run that was interrupted.
                    Err(error) => encrypted::open(&text, &passphrase).map_err(|_| error)?,
                }
            } else {
                KeyPair::from_pem(&text)?
            };
            let sealed = encrypted::seal(&key, &passphrase)?;
            // Nobody else has this key: what replaces its file must open.
            let opens = encrypted::open(&sealed, &passphrase).is_ok_and(|again| again.pkcs8() == key.pkcs8());
            if !opens {
                return Err(KeyError::Form.into());
            }
            let draft = path.with_extension("key.new");
            files::write_private(&draft, sealed.as_bytes()).map_err(|source| file_error(&draft, source))?;
            names.push(name);
            drafts.push((draft, path));
        }
        for (draft, path) in &drafts {
            fs::rename(draft, path).map_err(|source| file_error(path, source))?;
        }
        files::sync_directory(&self.directory).map_err(|source| file_error(&self.directory, source))?;
        Ok(names)
    }
}
