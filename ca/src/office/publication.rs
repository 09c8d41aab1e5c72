//! What a folder's CAs say of their certificates: CRLs and OCSP answers, signed when something changes and before they
//! expire.

use crate::{
    authority::{Authority, RevokedSerial},
    limits::{CRL_LIFETIME_MS, ROOT_CRL_LIFETIME_MS},
    office::{
        database::Database,
        event::Event,
        folder::{CertificateFolder, FolderError, file_error, whole_second, write},
        index_file::LockedDatabase,
        layout::Layout,
        record::{AuthorityRecord, Revocation},
    },
};
use ledger_classes::limits::OCSP_BYTES_MAX;
use ledger_classes::primitives::time::Time;
use pki::{
    trust::{
        files::{TrustFile, TrustPart, crl_pem},
        revocation,
    },
    x509::{identifiers::Serial, ocsp},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

impl CertificateFolder {
    /// Signs a CA's CRL again under the next number, and its OCSP answers: before they expire, and whenever they are
    /// in doubt.
    pub fn reissue_crl(&self, name: &str, now: Time) -> Result<(), FolderError> {
        let mut database = self.lock()?;
        if !database.authorities().contains_key(name) {
            return Err(FolderError::UnknownAuthority(name.into()));
        }
        let authority = self.load(&database, name)?;
        // What people look at may be of the CA before, if a crash came when its key was replaced.
        self.show_newest(&database, name)?;
        self.write_crl(&mut database, &authority, name, now)?;
        self.write_answers(&database, &authority, name, now)
    }

    /// The answers about everything that a CA has issued and that has not expired.
    fn write_answers(
        &self,
        database: &Database,
        authority: &Authority,
        name: &str,
        now: Time,
    ) -> Result<(), FolderError> {
        if database.is_root(name) {
            for record in database.authorities().values().filter(|record| record.name != name) {
                for certificate in record.certificates().filter(|certificate| certificate.issuer == name) {
                    let status = status(record.revoked);
                    self.renew_answer(authority, &certificate.serial, status, now, ROOT_CRL_LIFETIME_MS)?;
                }
            }
            return Ok(());
        }
        let issued = database.certificates().iter().filter(|record| record.authority == name);
        for record in issued.filter(|record| record.fingerprint.is_some() && record.not_after > now) {
            self.renew_answer(authority, &record.serial, status(record.revoked), now, CRL_LIFETIME_MS)?;
        }
        for lost in database.lost().iter().filter(|lost| lost.authority == name) {
            self.renew_answer(authority, &lost.serial, status(Some(lost.revoked)), now, CRL_LIFETIME_MS)?;
        }
        Ok(())
    }

    /// Signs an answer about a certificate and says where it belongs.
    fn answer(
        &self,
        authority: &Authority,
        serial: &Serial,
        status: ocsp::Status,
        now: Time,
        lifetime_ms: u64,
    ) -> Result<(PathBuf, Vec<u8>), FolderError> {
        let answer = authority.answer_ocsp(serial, status, now, whole_second(now.plus_millis(lifetime_ms)))?;
        let file = self.layout.ocsp(serial);
        if let Some(directory) = file.parent() {
            files::private_folder(directory).map_err(|source| file_error(directory, source))?;
        }
        Ok((file, answer))
    }

    pub(crate) fn write_answer(
        &self,
        authority: &Authority,
        serial: &Serial,
        status: ocsp::Status,
        now: Time,
        lifetime_ms: u64,
    ) -> Result<(), FolderError> {
        let (file, answer) = self.answer(authority, serial, status, now, lifetime_ms)?;
        files::write_public(&file, &answer).map_err(|source| file_error(&file, source))
    }

    /// As `write_answer`, one of many: what a power loss damages is signed again with the next CRL.
    fn renew_answer(
        &self,
        authority: &Authority,
        serial: &Serial,
        status: ocsp::Status,
        now: Time,
        lifetime_ms: u64,
    ) -> Result<(), FolderError> {
        let (file, answer) = self.answer(authority, serial, status, now, lifetime_ms)?;
        files::write_replaceable(&file, &answer).map_err(|source| file_error(&file, source))
    }

    pub(crate) fn write_crl(
        &self,
        database: &mut LockedDatabase,
        authority: &Authority,
        name: &str,
        now: Time,
    ) -> Result<(), FolderError> {
        let revoked = revoked_by(database, name);
        // A folder that comes back from a backup knows an old number, and what it revokes from then on must not look
        // older than what was revoked before: numbers go with the time.
        let next = database.authorities().get(name).map_or(0, |record| record.crl_number).saturating_add(1);
        let number = next.max(now.millis() / 1000);
        let lifetime = if database.is_root(name) { ROOT_CRL_LIFETIME_MS } else { CRL_LIFETIME_MS };
        let next_update = whole_second(now.plus_millis(lifetime));
        database.append(&Event::CrlIntended { authority: name.into(), number, next_update, at: now })?;
        let crl = authority.issue_crl(&revoked, number, now, next_update)?;
        write(&self.crl_file(name), &crl_pem(&crl))
    }

    pub(crate) fn crl_file(&self, name: &str) -> PathBuf {
        self.layout.crl(name)
    }

    /// Whether the CRL of a CA that lies in the folder is not the one that the index announces, or lacks what the index
    /// revokes: a crash came between the two, and what was revoked is in force nowhere.
    pub(crate) fn crl_lacks(&self, database: &Database, name: &str) -> bool {
        let list = TrustFile::needed(TrustPart::Crls, self.crl_file(name)).read_whole();
        let list = list.ok().and_then(|lists| lists.first().and_then(|der| revocation::contents(der)));
        let Some((number, listed)) = list else { return true };
        let announced = database.authorities().get(name).map_or(0, |record| record.crl_number);
        number != u128::from(announced)
            || revoked_by(database, name).iter().any(|entry| !listed.contains(&entry.serial))
    }

    /// The CAs in use whose newest CRL lacks what was revoked, by name.
    pub fn lacking_crls(&self) -> Result<Vec<String>, FolderError> {
        let database = self.read()?;
        let in_use =
            database.authorities().values().filter(|record| record.revoked.is_none() && record.retired.is_none());
        Ok(in_use.map(|record| record.name.clone()).filter(|name| self.crl_lacks(&database, name)).collect())
    }
}

/// What a CA revokes, by the index.
fn revoked_by(database: &Database, name: &str) -> Vec<RevokedSerial> {
    if database.is_root(name) {
        let revoked = database.authorities().values().filter_map(|record| Some((record, record.revoked?)));
        let every = |(record, revocation): (&AuthorityRecord, Revocation)| {
            let all = record.certificates().chain(record.intended.clone());
            let below = all.filter(|certificate| certificate.issuer == name);
            below.map(|certificate| entry((certificate.serial, revocation))).collect::<Vec<_>>()
        };
        revoked.flat_map(every).collect()
    } else {
        let issued = database.certificates().iter().filter(|record| record.authority == name);
        let issued = issued.filter_map(|record| Some((record.serial.clone(), record.revoked?)));
        let lost = database.lost().iter().filter(|lost| lost.authority == name);
        issued.chain(lost.map(|lost| (lost.serial.clone(), lost.revoked))).map(entry).collect()
    }
}

/// The OCSP answer about a certificate in a folder `<dir>/ca/`. Reads one file and nothing else, so that it may be
/// asked for by anybody.
pub fn read_ocsp_answer(directory: &Path, serial: &Serial) -> Option<Vec<u8>> {
    fs::read(Layout::new(directory.to_owned()).ocsp(serial)).ok().filter(|answer| answer.len() <= OCSP_BYTES_MAX)
}

pub(crate) fn status(revoked: Option<Revocation>) -> ocsp::Status {
    revoked
        .map_or(ocsp::Status::Good, |revocation| ocsp::Status::Revoked { at: revocation.at, reason: revocation.reason })
}

fn entry((serial, revocation): (Serial, Revocation)) -> RevokedSerial {
    RevokedSerial { serial, at: revocation.at, reason: revocation.reason }
}
