//! Another certificate for a CA before the one that it has expires: the same name and key, a new serial and a later end.
//!
//! Leaves and CRLs are bound to name and key, so each path and each list holds under both certificates, and nobody is
//! asked to do anything at once. The newest certificate is `<org>.pem` and goes into every path that is handed out;
//! the ones before stay in `authorities/`, and known to peers, to their own end.
//!
//! The index decides which certificate is the newest: `<org>.pem` is written last, and written again by the next
//! reissue if a crash came before that.

use crate::{
    authority::{Authority, Validity, whole_second},
    limits::ISSUING_LIFETIME_MS,
    office::{
        authorities::Authorities, error::FolderError, event::Event, locked_records::LockedRecords,
        publication::write_answer, record::AuthorityRecord,
    },
};
use ledger_classes::primitives::time::Time;
use pki::x509::certificate::Certificate;

impl Authorities<'_> {
    /// Certifies an organization's CA again: by the consortium's root, or by itself if it is a root of its own.
    pub fn reissue(&self, organization: &str, now: Time) -> Result<AuthorityRecord, FolderError> {
        let mut records = self.folder.lock()?;
        if records.is_root(organization) {
            return Err(FolderError::RootReissue);
        }
        reissue(&mut records, organization, now)
    }
}

/// Records the intention, signs, records; the file that people look at comes last.
pub(crate) fn reissue(records: &mut LockedRecords, name: &str, now: Time) -> Result<AuthorityRecord, FolderError> {
    let record = records.in_force(name)?.clone();
    let is_root = record.issuer == name;
    let issuer_name = if is_root { name } else { records.root() }.to_owned();
    let issuer = records.load_in_force(&issuer_name)?;
    let current = records.newest_of(&record)?;
    let validity =
        if is_root { Validity::backdated(now, ISSUING_LIFETIME_MS) } else { issuer.within(now, ISSUING_LIFETIME_MS) };
    let serial = Authority::draw_serial()?;
    records.append(&Event::AuthorityIntended {
        name: name.into(),
        issuer: issuer_name.clone(),
        serial: serial.clone(),
        not_after: whole_second(validity.not_after),
        at: now,
    })?;
    let certificate = issuer.certify_again(&current, validity, &serial)?;
    records.keep_authority(&record.serial, &current)?;
    records.keep_authority(&serial, &certificate)?;
    if !is_root {
        write_answer(records, &issuer, &issuer_name, &serial, None, now)?;
    }
    records.append(&Event::AuthorityReissued { name: name.into(), serial, at: now })?;
    records.show_newest(name)?;
    records.authority(name).cloned()
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
