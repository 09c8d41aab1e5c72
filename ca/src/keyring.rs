//! The keys of a folder's CAs: made, kept beside the CA's certificate, opened again.

use crate::{
    files,
    keys::{KeyAlgorithm, KeyError, KeyPair},
    signer::Signer,
};
use std::{path::Path, sync::Arc};
use zeroize::Zeroizing;

/// A key that was made and is in no file yet.
pub(crate) struct NewKey {
    signer: Arc<dyn Signer>,
    pem: Zeroizing<String>,
}

impl NewKey {
    /// What signs with it.
    pub(crate) fn signer(&self) -> Arc<dyn Signer> {
        Arc::clone(&self.signer)
    }
}

/// The keys of one folder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keyring;

impl Keyring {
    /// Makes a key.
    pub(crate) fn generate(&self, algorithm: KeyAlgorithm) -> Result<NewKey, KeyError> {
        let key = KeyPair::generate(algorithm)?;
        Ok(NewKey { pem: key.to_pem(), signer: key.into() })
    }

    /// Writes the file of a key that was made.
    pub(crate) fn keep(&self, directory: &Path, name: &str, key: &NewKey) -> Result<(), KeyError> {
        let path = directory.join(format!("{name}.key"));
        files::write_private(&path, key.pem.as_bytes())
            .map_err(|source| KeyError::File { path: path.display().to_string(), source })
    }

    /// The key of a CA.
    pub(crate) fn open(&self, directory: &Path, name: &str) -> Result<Arc<dyn Signer>, KeyError> {
        Ok(KeyPair::load(&directory.join(format!("{name}.key")))?.into())
    }
}
