//! Revoking what the index has lost: a folder that came back from a backup does not know what was issued since, and its CA
//! must be able to put it out all the same. All that is known of such a certificate is its number and whose CA issued it.

use crate::{
    limits::CRL_LIFETIME_MS,
    office::{
        event::Event,
        folder::{CertificateFolder, FolderError},
        publication::status,
        record::LostCertificate,
        revocation_evidence::read_revoked,
    },
};
use ledger_classes::primitives::time::Time;
use pki::x509::identifiers::{RevocationReason, Serial};

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

impl CertificateFolder {
    /// Revokes a number of an organization's CA that the index does not know, and reissues the CRL. Again it only reissues
    /// the CRL.
    pub fn revoke_lost(
        &self,
        organization: &str,
        serial: &Serial,
        reason: RevocationReason,
        now: Time,
    ) -> Result<LostCertificate, FolderError> {
        let mut database = self.lock()?;
        if let Some(record) = database.certificate(serial) {
            return Err(FolderError::KnownCertificate(serial.to_string(), record.authority.clone()));
        }
        let authorities = database.authorities();
        let of_an_authority = authorities.values().find(|record| record.certificates().any(|it| it.serial == *serial));
        if let Some(record) = of_an_authority {
            return Err(FolderError::KnownCertificate(serial.to_string(), record.issuer.clone()));
        }
        if database.is_root(organization) || !authorities.contains_key(organization) {
            return Err(FolderError::UnknownAuthority(organization.into()));
        }
        let known = database.lost().iter().any(|lost| lost.authority == organization && lost.serial == *serial);
        if !known {
            let (authority, serial) = (organization.to_owned(), serial.clone());
            database.append(&Event::LostRevoked { authority, serial, reason, at: now })?;
        }
        let authority = self.load(&database, organization)?;
        let lost = database.lost().iter().find(|lost| lost.authority == organization && lost.serial == *serial);
        let lost = lost.cloned().ok_or_else(|| FolderError::UnknownCertificate(serial.to_string()))?;
        self.write_answer(&authority, serial, status(Some(lost.revoked)), now, CRL_LIFETIME_MS)?;
        self.write_crl(&mut database, &authority, organization, now)?;
        Ok(lost)
    }

    /// What was revoked by its number alone, with what proves it. When such a certificate ends nobody knows: no later
    /// than its CA.
    pub fn lost(&self, now: Time) -> Result<Vec<LostEvidence>, FolderError> {
        let database = self.read()?;
        let mut all = Vec::new();
        for lost in database.lost() {
            let Some(authority) = database.authorities().get(&lost.authority) else { continue };
            if authority.certificates().all(|certificate| certificate.not_after <= now) {
                continue;
            }
            let issuer = self.authority_certificate(&lost.authority)?;
            let answer = read_revoked(self.layout.directory(), &issuer, &lost.serial);
            let organization = authority.organization().to_owned();
            all.push(LostEvidence { certificate: lost.clone(), organization, issuer, answer });
        }
        Ok(all)
    }
}
