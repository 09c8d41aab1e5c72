//! The keys of a folder's CAs: made, kept beside the CA's certificate, opened again.
//!
//! To open a key costs some 0.06 s, on purpose. A keyring keeps what it has opened for as long as it lives: a peer that
//! issues pays once for each CA.

use crate::keys::{
    encrypted::{self, Passphrase, is_encrypted},
    error::{KeyError, OpenError, PassphraseError},
    pair::KeyPair,
    passphrase::PassphraseSource,
    pkcs11::{Pkcs11Key, Token, TokenKey},
    signer::Signer,
};
use files::KEY_FILE_BYTES_MAX;
use pki::x509::{certificate::Certificate, public_key::KeyAlgorithm};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use zeroize::Zeroizing;

/// Where a new key is made, and stays.
#[derive(Clone, Debug)]
pub enum KeyPlace {
    /// In this process; then in a file of the folder, encrypted.
    File(KeyAlgorithm),
    /// In a token.
    Token(Token, KeyAlgorithm),
}

impl KeyPlace {
    /// The algorithm of the key.
    pub const fn algorithm(&self) -> KeyAlgorithm {
        match self {
            Self::File(algorithm) | Self::Token(_, algorithm) => *algorithm,
        }
    }
}

impl From<KeyAlgorithm> for KeyPlace {
    fn from(algorithm: KeyAlgorithm) -> Self {
        Self::File(algorithm)
    }
}

/// A key that was made and is in no file yet.
pub(crate) enum NewKey {
    File(Arc<KeyPair>),
    Token(Arc<Pkcs11Key>),
}

impl NewKey {
    /// What signs with it.
    pub(crate) fn signer(&self) -> Arc<dyn Signer> {
        match self {
            Self::File(key) => Arc::clone(key) as Arc<dyn Signer>,
            Self::Token(key) => Arc::clone(key) as Arc<dyn Signer>,
        }
    }
}

/// The keys of one folder. Clones share what they have opened.
#[derive(Clone, Debug)]
pub struct Keyring {
    source: PassphraseSource,
    state: Arc<Mutex<State>>,
}

/// A key that is open, and what its file said of its token, if it is in one.
#[derive(Clone, Debug)]
struct OpenedKey {
    key: Arc<dyn Signer>,
    token: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    opened: BTreeMap<String, OpenedKey>,
    /// The passphrase that has opened a key of this folder, or sealed its first. Typed ones are asked for once.
    proven: Option<(Passphrase, String)>,
}

impl Keyring {
    /// Opens keys under the passphrase of `source`, which is asked for when a key is needed and not before.
    pub fn new(source: PassphraseSource) -> Self {
        Self { source, state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a key for the CA of a name.
    pub(crate) fn generate(&self, name: &str, place: &KeyPlace) -> Result<NewKey, KeyError> {
        Ok(match place {
            KeyPlace::File(algorithm) => NewKey::File(Arc::new(KeyPair::generate(*algorithm)?)),
            KeyPlace::Token(token, algorithm) => {
                NewKey::Token(Arc::new(token.generate(&format!("chancery {name}"), *algorithm)?))
            }
        })
    }

    /// Writes the file of a key that was made: the key itself, or where its token is. The passphrase is that of the
    /// folder's other keys.
    pub(crate) fn keep(&self, directory: &Path, name: &str, key: &NewKey) -> Result<(), KeyError> {
        let key = match key {
            NewKey::File(key) => key,
            NewKey::Token(key) => {
                let path = token_file(directory, name);
                let text = key.description().to_text()?;
                files::write_private(&path, text.as_bytes()).map_err(|source| file_error(&path, source))?;
                let opened = OpenedKey { key: Arc::clone(key) as Arc<dyn Signer>, token: Some(text) };
                self.state().opened.insert(name.into(), opened);
                return Ok(());
            }
        };
        let mut state = self.state();
        let (passphrase, from) = self.passphrase(&state)?;
        let proven = state.proven.as_ref().is_some_and(|(proven, _)| *proven == passphrase);
        if !proven && let Some((path, text)) = any_encrypted(directory)? {
            let opened = encrypted::open(&text, &passphrase);
            opened.map_err(|_| PassphraseError::Other { from: from.clone(), key: path })?;
        }
        let path = directory.join(format!("{name}.key"));
        let sealed = encrypted::seal(key, &passphrase)?;
        files::write_private(&path, sealed.as_bytes()).map_err(|source| file_error(&path, source))?;
        state.proven = Some((passphrase, from));
        state.opened.insert(name.into(), OpenedKey { key: Arc::clone(key) as Arc<dyn Signer>, token: None });
        Ok(())
    }

    /// Whether a file of a key of this name is there.
    pub(crate) fn is_there(&self, directory: &Path, name: &str) -> bool {
        directory.join(format!("{name}.key")).exists() || token_file(directory, name).exists()
    }

    /// The key of a CA's certificate.
    pub(crate) fn open(&self, directory: &Path, name: &str, certificate: &[u8]) -> Result<Arc<dyn Signer>, KeyError> {
        let (path, token) = (directory.join(format!("{name}.key")), token_file(directory, name));
        // Whoever edits it says that the token is to be found elsewhere. It holds no secret.
        let read = || fs::read_to_string(&token).map_err(|source| file_error(&token, source));
        let in_token = token.exists().then(read).transpose()?;
        let spki = Certificate::parse(certificate).map(|parsed| parsed.spki().to_vec());
        if let Some(opened) = self.state().opened.get(name)
            && opened.token == in_token
            // Whoever takes the file away takes the key out of use. A CA that has another key has another certificate.
            && (in_token.is_some() || path.exists())
            && spki.is_ok_and(|spki| spki == opened.key.public().spki())
        {
            return Ok(Arc::clone(&opened.key));
        }
        let key: Arc<dyn Signer> = if let Some(text) = &in_token {
            Arc::new(Pkcs11Key::open(TokenKey::parse(text, &token)?)?)
        } else {
            let text = read_key_file(&path)?;
            Arc::new(if is_encrypted(&text) { self.unlock(&path, &text)? } else { KeyPair::from_pem(&text)? })
        };
        let opened = OpenedKey { key: Arc::clone(&key), token: in_token };
        self.state().opened.insert(name.into(), opened);
        Ok(key)
    }

    /// Opens an encrypted key.
    pub(crate) fn unlock(&self, path: &Path, text: &str) -> Result<KeyPair, KeyError> {
        let mut state = self.state();
        let (passphrase, from) = self.passphrase(&state)?;
        match encrypted::open(text, &passphrase) {
            Ok(key) => {
                state.proven = Some((passphrase, from));
                Ok(key)
            }
            Err(source) => {
                let from = if source == OpenError::Passphrase { from } else { String::new() };
                Err(KeyError::Locked { path: path.into(), from, source })
            }
        }
    }

    /// A file is read each time, because it may have changed; a person is asked once.
    fn passphrase(&self, state: &State) -> Result<(Passphrase, String), KeyError> {
        match &state.proven {
            Some(proven) if self.source.ask.is_some() && !self.source.file.exists() => Ok(proven.clone()),
            _ => Ok(self.source.read()?),
        }
    }
}

/// What says which key of a token is a CA's.
fn token_file(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.token.toml"))
}

/// The text of a key's file.
pub(crate) fn read_key_file(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    files::read_secret_text(path, KEY_FILE_BYTES_MAX).map_err(|source| file_error(path, source))
}

/// The key files of a folder, by the name of their CA.
pub(crate) fn key_files(directory: &Path) -> Result<BTreeMap<String, PathBuf>, KeyError> {
    let read = || -> io::Result<BTreeMap<String, PathBuf>> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if let (Some(name), true) = (path.file_stem(), path.extension().is_some_and(|it| it == "key")) {
                files.insert(name.to_string_lossy().into_owned(), path);
            }
        }
        Ok(files)
    };
    read().map_err(|source| file_error(directory, source))
}

/// One of the encrypted keys of a folder.
pub(crate) fn any_encrypted(directory: &Path) -> Result<Option<(PathBuf, Zeroizing<String>)>, KeyError> {
    for path in key_files(directory)?.into_values() {
        let text = read_key_file(&path)?;
        if is_encrypted(&text) {
            return Ok(Some((path, text)));
        }
    }
    Ok(None)
}

pub(crate) fn file_error(path: &Path, source: io::Error) -> KeyError {
    KeyError::File { path: path.display().to_string(), source }
}
