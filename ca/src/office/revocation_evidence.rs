//! What is revoked in a folder, and what proves it to others.

use crate::office::{
    database::Database,
    error::FolderError,
    publication::read_ocsp_answer,
    record::{CertificateRecord, LostCertificate},
    records::Records,
};
use ledger_classes::primitives::time::Time;
use pki::{
    trust::files::read_certificates,
    x509::{
        identifiers::{RevocationReason, Serial},
        ocsp,
    },
};

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

/// What proves to others that a certificate is revoked that the index has lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostEvidence {
    /// Which.
    pub certificate: LostCertificate,
    /// Whose CA.
    pub organization: String,
    /// The CA's certificate, DER.
    pub issuer: Vec<u8>,
    /// The CA's OCSP answer, DER; nothing while it is being written.
    pub answer: Option<Vec<u8>>,
}

impl Database {
    /// The leaves that are revoked and would not have expired yet.
    pub fn revoked(&self, now: Time) -> Vec<CertificateRecord> {
        let alive = |record: &&CertificateRecord| record.revoked.is_some() && record.not_after > now;
        // A certificate that was only intended was never handed out.
        let revoked = self.certificates().iter().filter(|record| record.fingerprint.is_some()).filter(alive);
        revoked.cloned().collect()
    }
}

impl Records {
    /// The CAs that are revoked and have not expired, each certificate of theirs with the word of the root that certified it.
    pub fn revoked_authorities(&self, now: Time) -> Result<Vec<RevokedAuthority>, FolderError> {
        let mut all = Vec::new();
        for record in self.authorities().values() {
            let Some(revoked) = record.revoked else { continue };
            for certificate in record.certificates().filter(|certificate| certificate.not_after > now) {
                if certificate.issuer == record.name {
                    continue;
                }
                let issuer = self.authority_certificate(&certificate.issuer)?;
                let answer = self.read_revoked(&issuer, &certificate.serial);
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

    /// What was revoked by its number alone, with what proves it. When such a certificate ends nobody knows: no later
    /// than its CA.
    pub fn lost_evidence(&self, now: Time) -> Result<Vec<LostEvidence>, FolderError> {
        let mut all = Vec::new();
        for lost in self.lost() {
            let Some(authority) = self.authorities().get(&lost.authority) else { continue };
            if authority.certificates().all(|certificate| certificate.not_after <= now) {
                continue;
            }
            let issuer = self.newest_of(authority)?;
            let answer = self.read_revoked(&issuer, &lost.serial);
            let organization = authority.organization().to_owned();
            all.push(LostEvidence { certificate: lost.clone(), organization, issuer, answer });
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
        let Some(answer) = self.read_revoked(&issuer, &record.serial) else { return Ok(None) };
        let path = read_certificates(&self.layout.issued(&record.serial))?;
        Ok(Some(RevocationEvidence { path, answer }))
    }

    /// The answer about a certificate, if it says revoked: `None` while it is being written.
    fn read_revoked(&self, issuer: &[u8], serial: &Serial) -> Option<Vec<u8>> {
        read_ocsp_answer(self.layout.directory(), serial).filter(|answer| {
            let verified = ocsp::verify_answer(answer, issuer, serial);
            verified.is_ok_and(|answer| answer.status != ocsp::Status::Good)
        })
    }
}
