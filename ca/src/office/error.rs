//! Why the folder does not do what was asked.

use crate::{
    authority::AuthorityError, holder::credentials::CredentialsError, keys::error::KeyError,
    office::database::DatabaseError,
};
use ledger_classes::primitives::identity::Identity;
use ledger_classes::primitives::time::Time;
use pki::{trust::files::CertificateFileError, x509::identifiers::AlternativeName};
use std::{io, path::Path};

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

pub(crate) fn file_error(path: &Path, source: io::Error) -> FolderError {
    FolderError::File { path: path.display().to_string(), source }
}
