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
//! written: the next CRL carries it.

use crate::{
    authority::{Authority, AuthorityError, Validity},
    holder::credentials::CredentialsError,
    keys::{error::KeyError, keyring::Keyring, passphrase::PassphraseSource},
    office::{
        cause::Cause,
        database::{Database, DatabaseError},
        index_file::LockedDatabase,
        known::Known,
        layout::Layout,
        record::{AuthorityRecord, CertificateRecord},
    },
};
use ledger_classes::primitives::identity::Identity;
use ledger_classes::primitives::time::Time;
use pki::{
    limits::BACKDATE_MS,
    trust::files::{CertificateFileError, read_certificates},
    x509::identifiers::AlternativeName,
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Why the folder does not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// There is one already.
    #[error("{0} exists already")]
    Exists(String),
    /// No CA of this organization is here.
    #[error("no CA of {0} is in this folder")]
    UnknownAuthority(String),
    /// `root` names the consortium's root.
    #[error("an organization cannot be called root")]
    ReservedName,
    /// The consortium's root is not certified again under its key.
    #[error("the consortium's root is not reissued: it is replaced, with `chancery ca rollover`")]
    RootReissue,
    /// The CA was revoked.
    #[error("the CA of {0} is revoked")]
    AuthorityRevoked(String),
    /// The CA's own certificate has expired: what it would issue would be expired too.
    #[error("the certificate of the CA of {0} expired at {1}: certify it again (`chancery ca reissue`)")]
    AuthorityExpired(String, Time),
    /// Nothing issued fits.
    #[error("no certificate {0} was issued here")]
    UnknownCertificate(String),
    /// The index knows it.
    #[error("certificate {0} is in the index, as issued by the CA of {1}: revoke it without naming the organization")]
    KnownCertificate(String, String),
    /// A peer of another organization is known under this name or address.
    #[error("{0} is a name of {1}: two organizations' peers of one name are taken for each other")]
    HostTaken(AlternativeName, Box<Identity>),
    /// A certificate with this key was revoked because others have the key.
    #[error("the key was revoked as compromised: no certificate is issued for it again; make a new key")]
    CompromisedKey,
    /// The folder is not where it was: its CAs sign elsewhere, or nobody knows.
    #[error("its CAs sign nothing here: {0}")]
    Fenced(String),
    /// Signing.
    #[error("the CA refuses")]
    Authority(#[from] AuthorityError),
    /// The key file.
    #[error("a private key")]
    Key(#[from] KeyError),
    /// The index.
    #[error("the certificate database")]
    Database(#[from] DatabaseError),
    /// Certificate files.
    #[error("a certificate file")]
    Credentials(#[from] CredentialsError),
    /// Any other file.
    #[error("file {path}")]
    File {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl From<CertificateFileError> for FolderError {
    fn from(error: CertificateFileError) -> Self {
        Self::Credentials(error.into())
    }
}

/// The directory: the one database of what was done, the right to change it, and the keys. What the office does is in the
/// files beside this one, each by `read`, `lock` and `load`.
#[derive(Clone, Debug)]
pub struct CertificateFolder {
    pub(crate) layout: Layout,
    consortium: String,
    pub(crate) keys: Keyring,
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

    fn check_fence(&self) -> Result<(), FolderError> {
        self.fenced.as_ref().map_or(Ok(()), |why| Err(FolderError::Fenced(why.clone())))
    }

    /// Keeps everybody from changing the folder for as long as the value lives; waits for whoever does now.
    pub fn hold(&self) -> Result<impl Sized + use<>, FolderError> {
        self.lock()
    }

    /// The trust domain.
    pub fn consortium(&self) -> &str {
        &self.consortium
    }

    /// The right to write, without which nothing is signed either.
    pub(crate) fn lock(&self) -> Result<LockedDatabase, FolderError> {
        self.check_fence()?;
        Ok(LockedDatabase::open(self.layout.directory(), self.cause.clone(), &self.known)?)
    }

    /// The state, without the right to write.
    pub(crate) fn read(&self) -> Result<Arc<Database>, FolderError> {
        Ok(self.known.read(self.layout.directory())?.0)
    }

    /// All leaves, in the order in which they were issued.
    pub fn list(&self) -> Result<Vec<CertificateRecord>, FolderError> {
        Ok(self.read()?.certificates().to_vec())
    }

    /// All CAs by name.
    pub fn authorities(&self) -> Result<Vec<AuthorityRecord>, FolderError> {
        Ok(self.read()?.authorities().values().cloned().collect())
    }

    pub(crate) fn authority(&self, database: &Database, name: &str) -> Result<Authority, FolderError> {
        let unknown = || FolderError::UnknownAuthority(name.into());
        let record = database.authorities().get(name).ok_or_else(unknown)?;
        if record.revoked.is_some() {
            Err(FolderError::AuthorityRevoked(name.into()))
        } else {
            self.load(database, name)
        }
    }

    /// A CA with its key: the only way to one.
    pub(crate) fn load(&self, database: &Database, name: &str) -> Result<Authority, FolderError> {
        self.check_fence()?;
        let unknown = || FolderError::UnknownAuthority(name.into());
        let record = database.authorities().get(name).ok_or_else(unknown)?;
        let certificates = read_certificates(&self.authority_file(name, &record.serial))?;
        let certificate = certificates.first().ok_or_else(unknown)?;
        Ok(Authority::load(certificate, self.keys.open(self.layout.directory(), record.keys(), certificate)?)?)
    }
}

/// From a little before now for `lifetime_ms`, within the CA's own validity.
pub(crate) fn within(authority: &Authority, now: Time, lifetime_ms: u64) -> Validity {
    let start = Time::from_millis(now.millis().saturating_sub(BACKDATE_MS)).max(authority.validity().not_before);
    Validity { not_before: start, not_after: now.plus_millis(lifetime_ms).min(authority.validity().not_after) }
}

/// Certificates count whole seconds.
pub(crate) const fn whole_second(time: Time) -> Time {
    Time::from_millis(time.millis() / 1000 * 1000)
}

pub(crate) fn write(path: &Path, text: &str) -> Result<(), FolderError> {
    files::write_public(path, text.as_bytes()).map_err(|source| file_error(path, source))
}

pub(crate) fn file_error(path: &Path, source: io::Error) -> FolderError {
    FolderError::File { path: path.display().to_string(), source }
}
