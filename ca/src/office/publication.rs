//! What a folder's CAs say of their certificates: CRLs and OCSP answers, signed when something changes and before they
//! expire.
//!
//! The number of a CRL is recorded before it is signed. Where an answer and a CRL say the same of a certificate, the
//! answer is written first: who learns of a revocation from the list finds the answer that proves it.

use crate::{
    authority::{Authority, RevokedSerial, whole_second},
    limits::{CRL_LIFETIME_MS, ROOT_CRL_LIFETIME_MS},
    office::{
        database::Database,
        error::{FolderError, file_error},
        event::Event,
        folder::CertificateFolder,
        layout::Layout,
        locked_records::LockedRecords,
        record::{AuthorityRecord, RevocationRecord},
        records::Records,
    },
};
use ledger_classes::limits::OCSP_BYTES_MAX;
use ledger_classes::primitives::time::Time;
use pki::{
    limits::BACKDATE_MS,
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

/// A CRL is due this long before its end: after a third of its life. A peer that was off for ten days, or that could
/// not sign for twenty, lets no list expire.
const CRL_DUE_MS: u64 = CRL_LIFETIME_MS / 3 * 2;

/// Signs again what CAs say.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    pub(super) folder: &'a CertificateFolder,
}

impl Publication<'_> {
    /// Signs a CA's CRL again under the next number, and its OCSP answers: before they expire, and whenever they are
    /// in doubt.
    pub fn reissue_crl(&self, name: &str, now: Time) -> Result<(), FolderError> {
        let mut records = self.folder.lock()?;
        let authority = records.load(name)?;
        // What people look at may be of the CA before, if a crash came when its key was replaced.
        records.show_newest(name)?;
        write_crl(&mut records, &authority, name, now)?;
        renew_answers(&records, &authority, name, now)
    }
}

impl Records {
    /// The CAs in use whose newest CRL lacks what was revoked, by name.
    pub fn lacking_crls(&self) -> Vec<String> {
        self.crls_that(|record| self.crl_lacks(&record.name))
    }

    /// The CAs whose CRL should be signed again, by name: its time has come, or it lacks what was revoked.
    pub fn due_crls(&self, now: Time) -> Vec<String> {
        // One that ends later than a new one would was signed while a clock was ahead, and is not in force yet.
        let due = |record: &AuthorityRecord| {
            let ahead = |at: Time| at > now.plus_millis(crl_lifetime_ms(self, &record.name) + BACKDATE_MS);
            record.crl_next_update.is_none_or(|at| at <= now.plus_millis(CRL_DUE_MS) || ahead(at))
        };
        self.crls_that(|record| due(record) || self.crl_lacks(&record.name))
    }

    /// Nobody asks for the list of a CA that was revoked: its own certificate is refused.
    fn crls_that(&self, wanted: impl Fn(&AuthorityRecord) -> bool) -> Vec<String> {
        let mut in_use: Vec<&AuthorityRecord> = self.authorities().values().collect();
        in_use.retain(|record| record.revoked.is_none() && record.retired.is_none() && wanted(record));
        in_use.into_iter().map(|record| record.name.clone()).collect()
    }

    /// Whether the CRL of a CA that lies in the folder is not the one that the index announces, or lacks what the index
    /// revokes: a crash came between the two, and what was revoked is in force nowhere.
    fn crl_lacks(&self, name: &str) -> bool {
        let list = TrustFile::needed(TrustPart::Crls, self.layout.crl(name)).read_whole();
        let list = list.ok().and_then(|lists| lists.first().and_then(|der| revocation::contents(der)));
        let Some((number, listed)) = list else { return true };
        let announced = self.authorities().get(name).map_or(0, |record| record.crl_number);
        number != u128::from(announced) || revoked_by(self, name).iter().any(|entry| !listed.contains(&entry.serial))
    }
}

/// Signs a CA's CRL under the next number: its intention first, then the list.
pub(crate) fn write_crl(
    records: &mut LockedRecords,
    authority: &Authority,
    name: &str,
    now: Time,
) -> Result<(), FolderError> {
    let revoked = revoked_by(records, name);
    // A folder that comes back from a backup knows an old number, and what it revokes from then on must not look
    // older than what was revoked before: numbers go with the time.
    let next = records.authorities().get(name).map_or(0, |record| record.crl_number).saturating_add(1);
    let number = next.max(now.millis() / 1000);
    let next_update = whole_second(now.plus_millis(crl_lifetime_ms(records, name)));
    records.append(&Event::CrlIntended { authority: name.into(), number, next_update, at: now })?;
    let crl = authority.issue_crl(&revoked, number, now, next_update)?;
    records.write(&records.layout.crl(name), crl_pem(&crl).as_bytes())
}

/// Signs what a CA says of one certificate: that it is good, or since when and why it is revoked.
pub(crate) fn write_answer(
    records: &LockedRecords,
    authority: &Authority,
    name: &str,
    serial: &Serial,
    revoked: Option<RevocationRecord>,
    now: Time,
) -> Result<(), FolderError> {
    let (file, answer) = answer(records, authority, name, serial, revoked, now)?;
    records.write(&file, &answer)
}

/// An answer, and where it belongs.
fn answer(
    records: &LockedRecords,
    authority: &Authority,
    name: &str,
    serial: &Serial,
    revoked: Option<RevocationRecord>,
    now: Time,
) -> Result<(PathBuf, Vec<u8>), FolderError> {
    let status = revoked.map_or(ocsp::Status::Good, |it| ocsp::Status::Revoked { at: it.at, reason: it.reason });
    let next_update = whole_second(now.plus_millis(crl_lifetime_ms(records, name)));
    let answer = authority.answer_ocsp(serial, status, now, next_update)?;
    let file = records.layout.ocsp(serial);
    records.make_folder_of(&file)?;
    Ok((file, answer))
}

/// The answers about everything that a CA has issued and that has not expired.
fn renew_answers(records: &LockedRecords, authority: &Authority, name: &str, now: Time) -> Result<(), FolderError> {
    let renew = |serial: &Serial, revoked| {
        let (file, answer) = answer(records, authority, name, serial, revoked, now)?;
        // One of many: what a power loss damages is signed again with the next CRL.
        files::write_replaceable(&file, &answer).map_err(|source| file_error(&file, source))
    };
    if records.is_root(name) {
        for record in records.authorities().values().filter(|record| record.name != name) {
            for certificate in record.certificates().filter(|certificate| certificate.issuer == name) {
                renew(&certificate.serial, record.revoked)?;
            }
        }
        return Ok(());
    }
    let issued = records.certificates().iter().filter(|record| record.authority == name);
    for record in issued.filter(|record| record.fingerprint.is_some() && record.not_after > now) {
        renew(&record.serial, record.revoked)?;
    }
    for lost in records.lost().iter().filter(|lost| lost.authority == name) {
        renew(&lost.serial, Some(lost.revoked))?;
    }
    Ok(())
}

/// How long a CA's CRL, and an answer beside it, is good for.
fn crl_lifetime_ms(database: &Database, name: &str) -> u64 {
    if database.is_root(name) { ROOT_CRL_LIFETIME_MS } else { CRL_LIFETIME_MS }
}

/// What a CA revokes, by the index.
fn revoked_by(database: &Database, name: &str) -> Vec<RevokedSerial> {
    if database.is_root(name) {
        let revoked = database.authorities().values().filter_map(|record| Some((record, record.revoked?)));
        let every = |(record, revocation): (&AuthorityRecord, RevocationRecord)| {
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

fn entry((serial, revocation): (Serial, RevocationRecord)) -> RevokedSerial {
    RevokedSerial { serial, at: revocation.at, reason: revocation.reason }
}
