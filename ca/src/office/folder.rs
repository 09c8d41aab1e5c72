//! The administrator's certificates directory, `<dir>/ca/`: keys, CA certificates, CRLs and what was issued.
//!
//! ```text
//! index.jsonl            what was done (database.rs)
//! lock                   held by the one process that writes
//! root.pem root.key      the consortium's root; the key may be taken offline
//! <org>.pem <org>.key    issuing CAs, one for each organization; the newest certificate; keys are encrypted
//! <name>.token.toml      instead of a key: where the token is that has it
//! authorities/<serial>.pem  every certificate of a CA that has had several (reissue.rs)
//! issued/<serial>.pem    every leaf
//! crl/<name>.pem         the newest CRL of each CA
//! ocsp/<serial>.der      the newest OCSP answer about each certificate
//! ```
//!
//! No certificate is signed before its intention is recorded; no revocation is forgotten because the CRL could not be
//! written: the next CRL carries it. This file knows none of the services that see to that: `mod.rs` beside it names them.

use crate::{
    keys::{keyring::Keyring, passphrase::PassphraseSource},
    office::{
        cause::Cause, error::FolderError, known::Known, layout::Layout, locked_records::LockedRecords, records::Records,
    },
};
use std::path::{Path, PathBuf};

/// The directory: where it is, its keys, and for whom it is changed. [`CertificateFolder::records`] is for whoever reads;
/// what changes the folder is in services that borrow it, each by the lock.
#[derive(Clone, Debug)]
pub struct CertificateFolder {
    pub(super) layout: Layout,
    consortium: String,
    pub(super) keys: Keyring,
    /// Who does what is done from here on, and why.
    cause: Cause,
    /// Why nothing is signed or changed, if so.
    fenced: Option<String>,
    /// The index, as far as it was read.
    known: Known,
}

impl CertificateFolder {
    /// Opens `<dir>/ca/`. The passphrase of its keys is looked for beside it.
    pub fn open(dir: &Path) -> Result<Self, FolderError> {
        let directory = dir.join("ca");
        let known = Known::default();
        let consortium = known.read(&directory)?.0.consortium().to_owned();
        let keys = Keyring::new(PassphraseSource::usual(dir));
        Ok(Self { known, ..Self::at(directory, consortium, keys) })
    }

    /// A folder of which nothing was read.
    pub(crate) fn at(directory: PathBuf, consortium: String, keys: Keyring) -> Self {
        let (layout, cause, known) = (Layout::new(directory), Cause::default(), Known::default());
        Self { layout, consortium, keys, cause, fenced: None, known }
    }

    /// The same folder in another place, to which it was moved.
    pub(crate) fn moved(self, directory: PathBuf) -> Self {
        Self { layout: Layout::new(directory), known: Known::default(), ..self }
    }

    /// The same folder, with what is done from here on done by somebody for a reason.
    #[must_use]
    pub fn because(&self, cause: Cause) -> Self {
        Self { cause, ..self.clone() }
    }

    /// The same folder with a keyring of the caller's.
    pub fn with_keys(self, keys: Keyring) -> Self {
        Self { keys, ..self }
    }

    /// The same folder, of which nothing is signed and nothing changed, if there is a reason not to. What it holds can
    /// be read.
    pub fn behind(self, fenced: Option<String>) -> Self {
        Self { fenced, ..self }
    }

    /// Why nothing is signed or changed, if so.
    pub fn fenced(&self) -> Option<&str> {
        self.fenced.as_deref()
    }

    /// Keeps everybody from changing the folder for as long as the value lives; waits for whoever does now.
    pub fn hold(&self) -> Result<impl Sized + use<>, FolderError> {
        self.lock()
    }

    /// The trust domain.
    pub fn consortium(&self) -> &str {
        &self.consortium
    }

    /// What the folder holds now, without the right to write.
    pub fn records(&self) -> Result<Records, FolderError> {
        let (database, _) = self.known.read(self.layout.directory())?;
        Ok(Records { database, layout: self.layout.clone() })
    }

    /// The right to write, without which nothing is signed for others to keep.
    pub(crate) fn lock(&self) -> Result<LockedRecords, FolderError> {
        let keys = self.unfenced_keys()?.clone();
        Ok(LockedRecords::lock(self.layout.clone(), self.cause.clone(), &self.known, keys)?)
    }

    /// The keys of the CAs, unless nothing is signed here.
    pub(crate) fn unfenced_keys(&self) -> Result<&Keyring, FolderError> {
        self.fenced.as_ref().map_or(Ok(&self.keys), |why| Err(FolderError::Fenced(why.clone())))
    }
}
