//! The passphrase of a folder's keys: whether it is the right one, and how it is changed.

use crate::{
    keys::{
        encrypted::{self, is_encrypted},
        error::KeyError,
        keyring::{any_encrypted, file_error, key_files, read_key_file},
        pair::KeyPair,
        passphrase::PassphraseSource,
    },
    office::{error::FolderError, folder::CertificateFolder},
};
use std::fs;

/// Looks at the key files of the folder, and encrypts them under another passphrase.
#[derive(Clone, Copy, Debug)]
pub struct KeyFiles<'a> {
    pub(super) folder: &'a CertificateFolder,
}

impl KeyFiles<'_> {
    /// The CAs whose keys lie unencrypted, as older versions wrote them.
    pub fn plain(&self) -> Result<Vec<String>, FolderError> {
        let mut plain = Vec::new();
        for (name, path) in key_files(self.folder.layout.directory())? {
            if !is_encrypted(&read_key_file(&path)?) {
                plain.push(name);
            }
        }
        Ok(plain)
    }

    /// Whether the passphrase opens one of the folder's encrypted keys; yes if there is none.
    pub fn check_passphrase(&self) -> Result<(), FolderError> {
        match any_encrypted(self.folder.layout.directory())? {
            Some((path, text)) => Ok(self.folder.keys.unlock(&path, &text).map(|_| ())?),
            None => Ok(()),
        }
    }

    /// Encrypts every key of the folder under the passphrase in `new`, which is made if it is not there; keys may be
    /// plain before. Returns whose keys.
    ///
    /// All new files are complete before the first takes its place. Whoever is interrupted in between has some keys
    /// under the old passphrase and some under the new one: running it again with the same two heals that.
    pub fn change_passphrase(&self, new: &PassphraseSource) -> Result<Vec<String>, FolderError> {
        let records = self.folder.lock()?;
        let directory = records.layout.directory();
        new.make().map_err(KeyError::from)?;
        let (passphrase, _) = new.read().map_err(KeyError::from)?;
        let (mut names, mut drafts) = (Vec::new(), Vec::new());
        for (name, path) in key_files(directory)? {
            let text = read_key_file(&path)?;
            let key = if is_encrypted(&text) {
                match records.keys.unlock(&path, &text) {
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
        files::sync_directory(directory).map_err(|source| file_error(directory, source))?;
        Ok(names)
    }
}
