//! What is revoked, by serial, by identity, with a key, or with a whole CA; each with the lists and answers that say so.
//!
//! In this order: the line of the index, then the answer about the certificate, then the CRL. Each call may be repeated,
//! which heals a revocation whose answer or CRL could not be written.

use crate::office::{
    error::FolderError,
    event::Event,
    folder::CertificateFolder,
    key_compromise::{Revoked, renewed_by, with_their_keys},
    locked_records::LockedRecords,
    publication::{write_answer, write_crl},
    record::{AuthorityCertificate, CertificateRecord, LostCertificate},
};
use ledger_classes::primitives::identity::Identity;
use ledger_classes::primitives::time::Time;
use pki::x509::identifiers::{RevocationReason, Serial};

/// What to revoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// One certificate.
    Serial(Serial),
    /// Every certificate of an identity that could still be used, or be renewed; all of them if none could.
    Identity(Identity),
}

/// Revokes what was issued here, and CAs.
#[derive(Clone, Copy, Debug)]
pub struct Revocation<'a> {
    pub(super) folder: &'a CertificateFolder,
}

impl Revocation<'_> {
    /// Revokes leaves and reissues the CRLs that carry them. Revoking again only reissues the CRLs, which heals a
    /// revocation whose CRL could not be written. Where the reason is that others have the key, every certificate of it
    /// under the same CA is revoked. Returns what is revoked of what the selection names, newly or not.
    pub fn revoke(
        &self,
        selection: &Selection,
        reason: RevocationReason,
        now: Time,
    ) -> Result<Vec<CertificateRecord>, FolderError> {
        Ok(self.revoke_with(selection, reason, false, now)?.certificates)
    }

    /// As [`Revocation::revoke`]; with `renewals` a compromised key takes with it what it was renewed to.
    pub fn revoke_with(
        &self,
        selection: &Selection,
        reason: RevocationReason,
        renewals: bool,
        now: Time,
    ) -> Result<Revoked, FolderError> {
        let mut records = self.folder.lock()?;
        let mut selected: Vec<CertificateRecord> = match selection {
            Selection::Serial(serial) => records.certificate(serial).cloned().into_iter().collect(),
            Selection::Identity(identity) => {
                // An expired one can be renewed for a while: a usual renewal leaves one behind that is as good as a
                // certificate to whoever has its key.
                let all = || records.of_identity(identity).cloned();
                let renewable: Vec<_> = all().filter(|record| record.is_renewable(now)).collect();
                if renewable.is_empty() { all().collect() } else { renewable }
            }
        };
        if selected.is_empty() {
            return Err(FolderError::UnknownCertificate(match selection {
                Selection::Serial(serial) => serial.to_string(),
                Selection::Identity(identity) => identity.to_string(),
            }));
        }
        let compromised = reason == RevocationReason::KeyCompromise;
        if compromised {
            selected = with_their_keys(&records, selected, renewals);
        }
        let is_news = |record: &&CertificateRecord| {
            record.revoked.is_none_or(|revoked| compromised && revoked.reason != RevocationReason::KeyCompromise)
        };
        for record in selected.iter().filter(is_news) {
            records.append(&Event::Revoked { serial: record.serial.clone(), reason, at: now })?;
        }
        let mut authorities: Vec<&str> = selected.iter().map(|record| record.authority.as_str()).collect();
        authorities.sort_unstable();
        authorities.dedup();
        for name in authorities {
            let authority = records.load(name)?;
            // Before the CRL: who learns of the revocation from it finds the answer that proves it.
            for record in selected.iter().filter(|record| record.authority == name) {
                let revoked = records.certificate(&record.serial).and_then(|record| record.revoked);
                write_answer(&records, &authority, name, &record.serial, revoked, now)?;
            }
            write_crl(&mut records, &authority, name, now)?;
        }
        let now_known = |record: &CertificateRecord| records.certificate(&record.serial).cloned();
        let certificates: Vec<CertificateRecord> = selected.iter().filter_map(now_known).collect();
        let renewed = if compromised { renewed_by(&records, &certificates, now) } else { Vec::new() };
        Ok(Revoked { certificates, renewed })
    }

    /// Revokes an organization's issuing CA, and with it everything that it issued.
    pub fn revoke_organization(
        &self,
        organization: &str,
        reason: RevocationReason,
        now: Time,
    ) -> Result<(), FolderError> {
        let mut records = self.folder.lock()?;
        let record = records.authority(organization)?;
        // A root cannot revoke itself: it is removed from the anchors of those who trust it.
        if record.issuer == organization {
            return Err(FolderError::UnknownAuthority(organization.into()));
        }
        if record.revoked.is_none() {
            records.append(&Event::AuthorityRevoked { name: organization.into(), reason, at: now })?;
        }
        publish_revoked(&mut records, organization, now)
    }

    /// Revokes a number of an organization's CA that the index does not know, and reissues the CRL: a folder that came back
    /// from a backup does not know what was issued since, and its CA must be able to put it out all the same.
    pub fn revoke_lost(
        &self,
        organization: &str,
        serial: &Serial,
        reason: RevocationReason,
        now: Time,
    ) -> Result<LostCertificate, FolderError> {
        let mut records = self.folder.lock()?;
        if let Some(record) = records.certificate(serial) {
            return Err(FolderError::KnownCertificate(serial.to_string(), record.authority.clone()));
        }
        let authorities = records.authorities();
        let of_an_authority = authorities.values().find(|record| record.certificates().any(|it| it.serial == *serial));
        if let Some(record) = of_an_authority {
            return Err(FolderError::KnownCertificate(serial.to_string(), record.issuer.clone()));
        }
        if records.is_root(organization) || !authorities.contains_key(organization) {
            return Err(FolderError::UnknownAuthority(organization.into()));
        }
        let known = records.lost().iter().any(|lost| lost.authority == organization && lost.serial == *serial);
        if !known {
            let (authority, serial) = (organization.to_owned(), serial.clone());
            records.append(&Event::LostRevoked { authority, serial, reason, at: now })?;
        }
        let authority = records.load(organization)?;
        let lost = records.lost().iter().find(|lost| lost.authority == organization && lost.serial == *serial);
        let lost = lost.cloned().ok_or_else(|| FolderError::UnknownCertificate(serial.to_string()))?;
        write_answer(&records, &authority, organization, serial, Some(lost.revoked), now)?;
        write_crl(&mut records, &authority, organization, now)?;
        Ok(lost)
    }
}

/// Has the roots that certified a CA say that it is revoked.
pub(crate) fn publish_revoked(records: &mut LockedRecords, name: &str, now: Time) -> Result<(), FolderError> {
    let record = records.authority(name)?;
    let revoked = record.revoked;
    let certificates: Vec<AuthorityCertificate> = record.certificates().chain(record.intended.clone()).collect();
    let issuers = certificates.iter().map(|certificate| certificate.issuer.as_str());
    let mut roots: Vec<&str> = issuers.filter(|issuer| *issuer != name).collect();
    roots.sort_unstable();
    roots.dedup();
    for name in roots.into_iter().filter(|name| !records.is_retired(name)).collect::<Vec<_>>() {
        let root = records.load(name)?;
        for certificate in certificates.iter().filter(|certificate| certificate.issuer == name) {
            write_answer(records, &root, name, &certificate.serial, revoked, now)?;
        }
        write_crl(records, &root, name, now)?;
    }
    Ok(())
}
