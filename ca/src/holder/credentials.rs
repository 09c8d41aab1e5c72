//! A profile's folder as far as certificates go: `cert.pem` (path, leaf first), `key.pem` (0600), `ca.pem` (anchors),
//! and for those who check revocation `issuing.pem` (issuing CAs) and `crl.pem` (their CRLs).

use crate::{
    holder::own_certificate::OwnCertificate,
    keys::{error::KeyError, pair::KeyPair},
};
use pki::trust::{
    bundle::TrustBundle,
    files::{CertificateFileError, read_certificates, write_certificates},
    root_update::RootUpdateError,
};
use std::{fs, path::Path, sync::Arc};

/// A new path whose key is not in place yet.
const NEXT: &str = "cert.pem.next";

/// Why a folder cannot be read, written or used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file.
    #[error(transparent)]
    Files(#[from] CertificateFileError),
    /// The private key.
    #[error("the private key")]
    Key(#[from] KeyError),
    /// Key and certificate do not belong together.
    #[error("key and certificate do not fit: {0}")]
    Mismatch(String),
    /// What a peer offers.
    #[error("the CA certificates that a peer offers")]
    Offered(#[from] RootUpdateError),
}

/// A path, its key, and whom its holder trusts.
#[derive(Debug)]
pub struct Credentials {
    /// The certificate path, leaf first, DER.
    pub path: Vec<Vec<u8>>,
    /// The leaf's key.
    pub key: KeyPair,
    /// Whom to trust.
    pub trust: TrustBundle,
}

impl Credentials {
    /// Reads a folder.
    pub fn load(folder: &Path) -> Result<Self, CredentialsError> {
        Ok(Self {
            path: read_certificates(&folder.join("cert.pem"))?,
            key: KeyPair::load(&folder.join("key.pem"))?,
            trust: TrustBundle::load(folder)?,
        })
    }

    /// Writes a folder, key first, so that a certificate without its key is never left behind.
    pub fn save(&self, folder: &Path) -> Result<(), CredentialsError> {
        files::private_folder(folder).map_err(|source| CertificateFileError::of_file(folder, source))?;
        self.key.save(&folder.join("key.pem"))?;
        write_certificates(&folder.join("cert.pem"), &self.path)?;
        Ok(self.trust.save(folder)?)
    }

    /// Replaces a folder's path, and its key if another is given. The path alone is replaced in one step; of two
    /// files, the new path lies beside the old one before the key is replaced, for [`Self::complete_replacement`].
    pub fn replace(folder: &Path, path: &[Vec<u8>], key: Option<&KeyPair>) -> Result<(), CredentialsError> {
        let Some(key) = key else { return Ok(write_certificates(&folder.join("cert.pem"), path)?) };
        write_certificates(&folder.join(NEXT), path)?;
        key.save(&folder.join("key.pem"))?;
        Self::complete_replacement(folder)
    }

    /// Ends a replacement that a crash interrupted: the new path comes into force if the key is its key, and goes if
    /// not.
    pub fn complete_replacement(folder: &Path) -> Result<(), CredentialsError> {
        let next = folder.join(NEXT);
        if !next.exists() {
            return Ok(());
        }
        let fits = |path: Vec<Vec<u8>>| {
            let key = KeyPair::load(&folder.join("key.pem")).ok()?;
            OwnCertificate::new(&path, &key).ok()
        };
        let fits = read_certificates(&next).ok().and_then(fits).is_some();
        let done = if fits { fs::rename(&next, folder.join("cert.pem")) } else { fs::remove_file(&next) };
        done.and_then(|()| files::sync_directory(folder))
            .map_err(|source| CertificateFileError::of_file(&next, source).into())
    }

    /// The path and key for TLS.
    pub fn own_certificate(&self) -> Result<Arc<OwnCertificate>, CredentialsError> {
        OwnCertificate::new(&self.path, &self.key).map_err(|error| CredentialsError::Mismatch(error.to_string()))
    }
}
