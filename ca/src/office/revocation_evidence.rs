//! What is revoked in a folder, and what proves it to others.

use crate::office::{
    folder::{CertificateFolder, FolderError},
    publication::read_ocsp_answer,
    record::CertificateRecord,
};
use ledger_classes::primitives::time::Time;
use pki::{
    trust::files::read_certificates,
    x509::{
        identifiers::{RevocationReason, Serial},
        ocsp,
    },
};
use std::path::Path;

/// What proves that a leaf is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationEvidence {
    /// The leaf and the CAs above it.
    pub path: Vec<Vec<u8>>,
    /// The OCSP answer, DER.
    pub answer: Vec<u8>,
}

/// A certificate of a CA that its root has revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedAuthority {
    /// Whose CA.
    pub organization: String,
    /// The certificate's serial number.
    pub serial: Serial,
    /// The root's certificate, DER.
    pub issuer: Vec<u8>,
    /// Others have its key.
    pub compromised: bool,
    /// The root's OCSP answer, DER; nothing while it is being written.
    pub answer: Option<Vec<u8>>,
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

    /// The CAs that are revoked and have not expired, each certificate of theirs with the word of the root that certified it.
    pub fn revoked_authorities(&self, now: Time) -> Result<Vec<RevokedAuthority>, FolderError> {
        let database = self.read()?;
        let mut all = Vec::new();
        for record in database.authorities().values() {
            let Some(revoked) = record.revoked else { continue };
            for certificate in record.certificates().filter(|certificate| certificate.not_after > now) {
                if certificate.issuer == record.name {
                    continue;
                }
                let issuer = self.authority_certificate(&certificate.issuer)?;
                let answer = read_revoked(self.layout.directory(), &issuer, &certificate.serial);
                all.push(RevokedAuthority {
                    organization: record.organization().to_owned(),
                    serial: certificate.serial,
                    issuer,
                    compromised: revoked.reason == RevocationReason::KeyCompromise,
                    answer,
                });
            }
        }
        Ok(all)
    }

    /// The newest OCSP answer about a certificate, DER.
    pub fn ocsp_answer(&self, serial: &Serial) -> Result<Vec<u8>, FolderError> {
        read_ocsp_answer(self.layout.directory(), serial)
            .ok_or_else(|| FolderError::UnknownCertificate(serial.to_string()))
    }

    /// What proves to others that a leaf is revoked. `None` while its answer is being written.
    pub fn evidence(&self, record: &CertificateRecord) -> Result<Option<RevocationEvidence>, FolderError> {
        let issuer = self.authority_certificate(&record.authority)?;
        let Some(answer) = read_revoked(self.layout.directory(), &issuer, &record.serial) else { return Ok(None) };
        let path = read_certificates(&self.layout.issued(&record.serial))?;
        Ok(Some(RevocationEvidence { path, answer }))
    }
}

/// The answer about a certificate, if it says revoked: `None` while it is being written.
pub(crate) fn read_revoked(directory: &Path, issuer: &[u8], serial: &Serial) -> Option<Vec<u8>> {
    read_ocsp_answer(directory, serial).filter(|answer| {
        let verified = ocsp::verify_answer(answer, issuer, serial);
        verified.is_ok_and(|answer| answer.status != ocsp::Status::Good)
    })
}
