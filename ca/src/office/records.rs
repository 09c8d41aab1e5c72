//! What an authorities' folder holds at one instant: what was done, by the index, and the certificates beside it.
//!
//! Whoever has this, or the [`Database`] in it, reads: there is neither the lock nor a key in it, so nothing is written and
//! nothing is signed. The files are those of the moment in which they are read; what they are called the index says.

use crate::{
    authority::Authority,
    holder::credentials::CredentialsError,
    keys::keyring::Keyring,
    office::{
        database::Database,
        error::FolderError,
        layout::Layout,
        record::{AuthorityRecord, CertificateRecord},
    },
};
use pki::{trust::files::read_certificates, x509::identifiers::Serial};
use std::{ops::Deref, sync::Arc};

/// What a folder holds as of one line of its index: the database in memory, and where its files are.
#[derive(Clone, Debug)]
pub struct Records {
    pub(super) database: Arc<Database>,
    pub(super) layout: Layout,
}

impl Deref for Records {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

impl Records {
    /// A CA, whatever has become of it.
    pub(crate) fn authority(&self, name: &str) -> Result<&AuthorityRecord, FolderError> {
        self.authorities().get(name).ok_or_else(|| FolderError::UnknownAuthority(name.into()))
    }

    /// A CA that is not revoked.
    pub(crate) fn in_force(&self, name: &str) -> Result<&AuthorityRecord, FolderError> {
        let record = self.authority(name)?;
        if record.revoked.is_some() { Err(FolderError::AuthorityRevoked(name.into())) } else { Ok(record) }
    }

    /// A CA with its key: the only way to one. Whoever has no keys of the folder cannot call it.
    pub(crate) fn open(&self, authority: &AuthorityRecord, keys: &Keyring) -> Result<Authority, FolderError> {
        let certificate = self.newest_of(authority)?;
        Ok(Authority::load(&certificate, keys.open(self.layout.directory(), authority.keys(), &certificate)?)?)
    }

    /// The newest certificate of a CA, DER.
    pub(crate) fn newest_of(&self, authority: &AuthorityRecord) -> Result<Vec<u8>, FolderError> {
        let certificates = read_certificates(&self.layout.authority(&authority.name, &authority.serial))?;
        certificates.into_iter().next().ok_or_else(|| FolderError::UnknownAuthority(authority.name.clone()))
    }

    /// The newest certificate of the CA of this name, DER.
    pub fn authority_certificate(&self, name: &str) -> Result<Vec<u8>, FolderError> {
        self.newest_of(self.authority(name)?)
    }

    /// One leaf and its path, leaf first; the path is empty while it is only intended.
    pub fn show(&self, serial: &Serial) -> Result<(CertificateRecord, Vec<Vec<u8>>), FolderError> {
        let record = self.certificate(serial).ok_or_else(|| FolderError::UnknownCertificate(serial.to_string()))?;
        let path = if record.fingerprint.is_some() { self.issued_path(record)? } else { Vec::new() };
        Ok((record.clone(), path))
    }

    /// The path of a leaf that was issued here, as it is handed out now: with the newest certificate of its CA.
    pub(crate) fn issued_path(&self, record: &CertificateRecord) -> Result<Vec<Vec<u8>>, CredentialsError> {
        let issued = read_certificates(&self.layout.issued(&record.serial))?;
        self.newest_path(record, issued.first().map_or(&[], Vec::as_slice))
    }

    /// The leaf and the certificate of its CA that is the newest now.
    pub(crate) fn newest_path(
        &self,
        record: &CertificateRecord,
        leaf: &[u8],
    ) -> Result<Vec<Vec<u8>>, CredentialsError> {
        let mut path = vec![leaf.to_vec()];
        if let Some(authority) = self.authorities().get(&record.authority)
            && authority.issuer != authority.name
        {
            path.extend(read_certificates(&self.layout.authority(&authority.name, &authority.serial))?);
        }
        Ok(path)
    }
}
