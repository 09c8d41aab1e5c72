//! Another certificate for a CA before the one that it has expires: the same name and key, a new serial and a later end.
//!
//! Leaves and CRLs are bound to name and key, so each path and each list holds under both certificates, and nobody is
//! asked to do anything at once. The newest certificate is `<org>.pem` and goes into every path that is handed out;
//! the ones before stay in `authorities/`, and known to peers, to their own end.
//!
//! The index decides which certificate is the newest: `<org>.pem` is written last, and written again by the next
//! reissue if a crash came before that.

use crate::{
    authority::{Authority, Validity},
    limits::{ISSUING_LIFETIME_MS, ROOT_CRL_LIFETIME_MS},
    office::{
        database::Database,
        event::Event,
        folder::{CertificateFolder, FolderError, file_error, whole_second, within, write},
        index_file::LockedDatabase,
        record::AuthorityRecord,
    },
};
use ledger_classes::primitives::time::Time;
use pki::{
    limits::BACKDATE_MS,
    trust::files::{certificates_pem, read_certificates},
    x509::{certificate::Certificate, identifiers::Serial, ocsp},
};
use std::path::PathBuf;

impl CertificateFolder {
    /// Certifies an organization's CA again: by the consortium's root, or by itself if it is a root of its own.
    pub fn reissue(&self, organization: &str, now: Time) -> Result<AuthorityRecord, FolderError> {
        let mut database = self.lock()?;
        if database.is_root(organization) {
            return Err(FolderError::RootReissue);
        }
        self.reissue_locked(&mut database, organization, now)
    }

    /// Records the intention, signs, records; the file that people look at comes last.
    pub(crate) fn reissue_locked(
        &self,
        database: &mut LockedDatabase,
        name: &str,
        now: Time,
    ) -> Result<AuthorityRecord, FolderError> {
        let unknown = || FolderError::UnknownAuthority(name.into());
        let record = database.authorities().get(name).cloned().ok_or_else(unknown)?;
        if record.revoked.is_some() {
            return Err(FolderError::AuthorityRevoked(name.into()));
        }
        let is_root = record.issuer == name;
        let issuer_name = if is_root { name } else { database.root() }.to_owned();
        let issuer = self.authority(database, &issuer_name)?;
        let current = read_certificates(&self.authority_file(name, &record.serial))?;
        let current = current.first().ok_or_else(unknown)?;
        let validity = if is_root {
            let start = Time::from_millis(now.millis().saturating_sub(BACKDATE_MS));
            Validity::starting(start, ISSUING_LIFETIME_MS)
        } else {
            within(&issuer, now, ISSUING_LIFETIME_MS)
        };
        let serial = Authority::draw_serial()?;
        database.append(&Event::AuthorityIntended {
            name: name.into(),
            issuer: issuer_name,
            serial: serial.clone(),
            not_after: whole_second(validity.not_after),
            at: now,
        })?;
        let certificate = issuer.certify_again(current, validity, &serial)?;
        self.keep_authority(&record.serial, current)?;
        self.keep_authority(&serial, &certificate)?;
        if !is_root {
            self.write_answer(&issuer, &serial, ocsp::Status::Good, now, ROOT_CRL_LIFETIME_MS)?;
        }
        database.append(&Event::AuthorityReissued { name: name.into(), serial, at: now })?;
        self.show_newest(database, name)?;
        database.authorities().get(name).cloned().ok_or_else(unknown)
    }

    /// Where a certificate of a CA lies. `<name>.pem` is the only one of a CA that was never reissued.
    pub(crate) fn authority_file(&self, name: &str, serial: &Serial) -> PathBuf {
        let kept = self.layout.kept(serial);
        if kept.exists() { kept } else { self.layout.shown(name) }
    }

    pub(crate) fn keep_authority(&self, serial: &Serial, der: &[u8]) -> Result<(), FolderError> {
        let file = self.layout.kept(serial);
        if file.exists() {
            return Ok(());
        }
        if let Some(directory) = file.parent() {
            files::private_folder(directory).map_err(|source| file_error(directory, source))?;
        }
        write(&file, &certificates_pem(&[der.to_vec()]))
    }

    /// Makes `<name>.pem` what the index says, for people and their programs.
    pub(crate) fn show_newest(&self, database: &Database, name: &str) -> Result<(), FolderError> {
        let unknown = || FolderError::UnknownAuthority(name.into());
        let serial = &database.authorities().get(name).ok_or_else(unknown)?.serial;
        let newest = read_certificates(&self.authority_file(name, serial))?;
        let file = self.layout.shown(name);
        if read_certificates(&file).is_ok_and(|shown| shown == newest) {
            return Ok(());
        }
        write(&file, &certificates_pem(&newest))
    }
}

/// Of CA certificates with the same name and key the one that ends last: whoever lists anchors needs no more of them.
/// What is no CA certificate of our profile is left out.
pub fn newest(certificates: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    let all: Vec<Vec<u8>> = certificates.into_iter().collect();
    let parse = |der| Certificate::parse(der).ok().filter(|parsed| parsed.check_authority().is_ok());
    let parsed: Vec<Certificate<'_>> = all.iter().filter_map(|der| parse(der)).collect();
    let outlives = |(index, other): (usize, &Certificate<'_>), (mine, one): (usize, &Certificate<'_>)| {
        let same = other.subject() == one.subject() && other.spki() == one.spki();
        same && (other.not_after(), mine) > (one.not_after(), index)
    };
    let kept = parsed.iter().enumerate().filter(|one| !parsed.iter().enumerate().any(|other| outlives(other, *one)));
    kept.map(|(_, one)| one.x509().as_raw().to_vec()).collect()
}

/// Whether others list a later certificate for the name and key of this one.
pub(crate) fn is_superseded(der: &[u8], listed: &[Vec<u8>]) -> bool {
    let Ok(mine) = Certificate::parse(der) else { return false };
    let dates = |of: &Certificate<'_>| (of.not_before(), of.not_after());
    listed.iter().filter_map(|der| Certificate::parse(der).ok()).any(|other| {
        let same = other.subject() == mine.subject() && other.spki() == mine.spki();
        same && other.check_authority().is_ok() && dates(&other) > dates(&mine)
    })
}
