//! What is revoked in a folder, and what proves it to others.

use crate::{
    credentials::read_certificates,
    database::CertificateRecord,
    folder::{CertificateFolder, FolderError, read_ocsp_answer},
    identifiers::Serial,
    ocsp,
};
use ledger_classes::time::Time;

/// What proves that a leaf is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationEvidence {
    /// The leaf and the CAs above it.
    pub path: Vec<Vec<u8>>,
    /// The OCSP answer, DER.
    pub answer: Vec<u8>,
}

impl CertificateFolder {
    /// The leaves that are revoked and would not have expired yet.
    pub fn revoked(&self, now: Time) -> Result<Vec<CertificateRecord>, FolderError> {
        let database = self.read()?;
        let alive = |record: &&CertificateRecord| record.revoked.is_some() && record.not_after > now;
        // A certificate that was only intended was never handed out.
        let revoked = database.certificates().iter().filter(|record| record.fingerprint.is_some()).filter(alive);
        Ok(revoked.cloned().collect())
    }

    /// The newest OCSP answer about a certificate, DER.
    pub fn ocsp_answer(&self, serial: &Serial) -> Result<Vec<u8>, FolderError> {
        read_ocsp_answer(&self.directory, serial).ok_or_else(|| FolderError::UnknownCertificate(serial.to_string()))
    }

    /// What proves to others that a leaf is revoked. `None` while its answer is being written.
    pub fn evidence(&self, record: &CertificateRecord) -> Result<Option<RevocationEvidence>, FolderError> {
        let Some(answer) = read_ocsp_answer(&self.directory, &record.serial) else { return Ok(None) };
        let issuer = self.authority_certificate(&record.authority)?;
        let verified = ocsp::verify_answer(&answer, &issuer, &record.serial);
        let says_revoked = verified.is_ok_and(|answer| answer.status != ocsp::Status::Good);
        let path = read_certificates(&self.directory.join("issued").join(format!("{}.pem", record.serial)))?;
        Ok(says_revoked.then_some(RevocationEvidence { path, answer }))
    }
}
