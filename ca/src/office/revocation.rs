//! What is revoked, by serial, by identity, with a key, or with a whole CA; each with the lists and answers that say so.

use crate::{
    limits::{CRL_LIFETIME_MS, ROOT_CRL_LIFETIME_MS},
    office::{
        event::Event,
        folder::{CertificateFolder, FolderError},
        index_file::LockedDatabase,
        key_compromise::{Revoked, renewed_by, with_their_keys},
        publication::status,
        record::{AuthorityCertificate, CertificateRecord},
    },
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

impl CertificateFolder {
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

    /// As [`CertificateFolder::revoke`]; with `renewals` a compromised key takes with it what it was renewed to.
    pub fn revoke_with(
        &self,
        selection: &Selection,
        reason: RevocationReason,
        renewals: bool,
        now: Time,
    ) -> Result<Revoked, FolderError> {
        let mut database = self.lock()?;
        let mut selected: Vec<CertificateRecord> = match selection {
            Selection::Serial(serial) => database.certificate(serial).cloned().into_iter().collect(),
            Selection::Identity(identity) => {
                // An expired one can be renewed for a while: a usual renewal leaves one behind that is as good as a
                // certificate to whoever has its key.
                let all = || database.of_identity(identity).cloned();
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
            selected = with_their_keys(&database, selected, renewals);
        }
        let is_news = |record: &&CertificateRecord| {
            record.revoked.is_none_or(|revoked| compromised && revoked.reason != RevocationReason::KeyCompromise)
        };
        for record in selected.iter().filter(is_news) {
            database.append(&Event::Revoked { serial: record.serial.clone(), reason, at: now })?;
        }
        let mut authorities: Vec<&str> = selected.iter().map(|record| record.authority.as_str()).collect();
        authorities.sort_unstable();
        authorities.dedup();
        for name in authorities {
            let authority = self.load(&database, name)?;
            // Before the CRL: who learns of the revocation from it finds the answer that proves it.
            for record in selected.iter().filter(|record| record.authority == name) {
                let revoked = database.certificate(&record.serial).and_then(|record| record.revoked);
                self.write_answer(&authority, &record.serial, status(revoked), now, CRL_LIFETIME_MS)?;
            }
            self.write_crl(&mut database, &authority, name, now)?;
        }
        let now_known = |record: &CertificateRecord| database.certificate(&record.serial).cloned();
        let certificates: Vec<CertificateRecord> = selected.iter().filter_map(now_known).collect();
        let renewed = if compromised { renewed_by(&database, &certificates, now) } else { Vec::new() };
        Ok(Revoked { certificates, renewed })
    }

    /// Revokes an organization's issuing CA, and with it everything that it issued.
    pub fn revoke_organization(
        &self,
        organization: &str,
        reason: RevocationReason,
        now: Time,
    ) -> Result<(), FolderError> {
        let mut database = self.lock()?;
        let unknown = || FolderError::UnknownAuthority(organization.into());
        let record = database.authorities().get(organization).cloned().ok_or_else(unknown)?;
        // A root cannot revoke itself: it is removed from the anchors of those who trust it.
        if record.issuer == organization {
            return Err(unknown());
        }
        if record.revoked.is_none() {
            database.append(&Event::AuthorityRevoked { name: organization.into(), reason, at: now })?;
        }
        self.publish_revoked(&mut database, organization, now)
    }

    /// Has the roots that certified a CA say that it is revoked.
    pub(crate) fn publish_revoked(
        &self,
        database: &mut LockedDatabase,
        name: &str,
        now: Time,
    ) -> Result<(), FolderError> {
        let unknown = || FolderError::UnknownAuthority(name.into());
        let record = database.authorities().get(name).cloned().ok_or_else(unknown)?;
        let revoked = record.revoked;
        let certificates: Vec<AuthorityCertificate> = record.certificates().chain(record.intended.clone()).collect();
        let issuers = certificates.iter().map(|certificate| certificate.issuer.as_str());
        let mut roots: Vec<&str> = issuers.filter(|issuer| *issuer != name).collect();
        roots.sort_unstable();
        roots.dedup();
        for name in roots.into_iter().filter(|name| !database.is_retired(name)).collect::<Vec<_>>() {
            let root = self.load(database, name)?;
            for certificate in certificates.iter().filter(|certificate| certificate.issuer == name) {
                self.write_answer(&root, &certificate.serial, status(revoked), now, ROOT_CRL_LIFETIME_MS)?;
            }
            self.write_crl(database, &root, name, now)?;
        }
        Ok(())
    }
}
