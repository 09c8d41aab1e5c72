//! A new root in place of the old one, with nobody refused on the way: both are anchors, then the new one certifies,
//! then the old one goes. Each step is one call, and each may be repeated: it finishes what a crash left.
//!
//! A step must not run until its effect is known. The folder records which path it issued, to whom, and when; it cannot
//! tell whether the holder has installed it, or the new root with it. So the next step waits for everybody who has not
//! been handed anything since the last one, unless it is forced.

use crate::{
    authority::{Authority, Validity, whole_second},
    keys::keyring::KeyPlace,
    limits::{ROOT_CRL_LIFETIME_MS, ROOT_LIFETIME_MS},
    office::{
        database::{Database, DatabaseError},
        error::FolderError,
        event::Event,
        folder::CertificateFolder,
        locked_records::LockedRecords,
        publication::write_crl,
        record::{AuthorityRecord, CertificateRecord, CertificateStatus, ROOT, RolloverRecord},
        reissue::reissue,
    },
};
use ledger_classes::primitives::time::Time;
use pki::{
    limits::BACKDATE_MS,
    trust::{
        files::{certificates_pem, crl_pem, read_certificates},
        root_update::verify_link,
    },
    x509::identifiers::{KeyId, Serial},
};
use serde::Serialize;
use std::collections::HashSet;

/// Where the consortium's root is on its way to the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RolloverStage {
    /// One root.
    None,
    /// Two, of which the old one certifies.
    Started,
    /// Two, of which the new one certifies.
    Switched,
}

/// What a rollover has come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RolloverStatus {
    /// Where it is.
    pub stage: RolloverStage,
    /// The root that certifies.
    pub root: String,
    /// The other one that is trusted beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside: Option<String>,
    /// Valid certificates whose holders have not been handed what the next step supposes: the new root among the
    /// anchors for the switch, a path under the new root for the old one's retirement.
    pub waiting: Vec<CertificateRecord>,
}

/// Why a step is not made.
#[derive(Debug, thiserror::Error)]
pub enum RolloverError {
    /// Nothing was started.
    #[error("no rollover is under way: `chancery ca rollover start` begins one")]
    NotStarted,
    /// The new root does not certify yet.
    #[error("the old root still certifies: `chancery ca rollover switch` comes before")]
    NotSwitched,
    /// Another one is under way.
    #[error("the old root is still trusted: `chancery ca rollover retire` ends the rollover that is under way")]
    UnderWay,
    /// Holders would be refused.
    #[error("{} certificates wait for a renewal", .0.len())]
    Waiting(Vec<CertificateRecord>),
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

impl From<DatabaseError> for RolloverError {
    fn from(error: DatabaseError) -> Self {
        Self::Folder(error.into())
    }
}

/// Replaces the consortium's root.
#[derive(Clone, Copy, Debug)]
pub struct Rollover<'a> {
    pub(super) folder: &'a CertificateFolder,
}

impl Rollover<'_> {
    /// Makes a new root beside the old one, and the two links between them. Both are anchors from now on.
    pub fn start(&self, key: impl Into<KeyPlace>, now: Time) -> Result<RolloverStatus, RolloverError> {
        let mut records = self.folder.lock()?;
        match records.rollover() {
            Some(RolloverRecord { switched: Some(_), .. }) => return Err(RolloverError::UnderWay),
            Some(_) => {}
            None => add_root(&mut records, &key.into(), now)?,
        }
        let rollover = records.rollover().cloned().ok_or(RolloverError::NotStarted)?;
        complete_start(&mut records, &rollover, now)?;
        Ok(records.rollover_status(now))
    }

    /// Lets the new root certify, and certifies every issuing CA under it. With `force` also while holders wait.
    pub fn switch(&self, force: bool, now: Time) -> Result<RolloverStatus, RolloverError> {
        let mut records = self.folder.lock()?;
        let rollover = records.rollover().cloned().ok_or(RolloverError::NotStarted)?;
        if rollover.switched.is_none() {
            complete_start(&mut records, &rollover, now)?;
            let waiting = waiting(&records, &rollover, now);
            if !waiting.is_empty() && !force {
                return Err(RolloverError::Waiting(waiting));
            }
            // The new key must be able to sign before anything depends on it.
            records.load_in_force(&rollover.new)?;
            records.append(&Event::RolloverSwitched { root: rollover.new.clone(), at: now })?;
        }
        for record in records.authorities().clone().into_values().filter(|record| record.retired.is_none()) {
            let is_root = record.issuer == record.name;
            if !is_root && record.revoked.is_none() && record.issuer != rollover.new {
                reissue(&mut records, &record.name, now)?;
            }
            records.show_newest(&record.name)?;
        }
        Ok(records.rollover_status(now))
    }

    /// Takes the old root out of the anchors. With `force` also while holders wait.
    pub fn retire(&self, force: bool, now: Time) -> Result<RolloverStatus, RolloverError> {
        let mut records = self.folder.lock()?;
        let Some(rollover) = records.rollover().cloned() else {
            let done = records.root() != ROOT;
            return if done { Ok(records.rollover_status(now)) } else { Err(RolloverError::NotStarted) };
        };
        let under_old = |record: &AuthorityRecord| {
            record.name != rollover.old && record.revoked.is_none() && record.issuer == rollover.old
        };
        // A switch that was interrupted counts as none: it would leave organizations without a path.
        if rollover.switched.is_none() || records.authorities().values().any(under_old) {
            return Err(RolloverError::NotSwitched);
        }
        let waiting = waiting(&records, &rollover, now);
        if !waiting.is_empty() && !force {
            return Err(RolloverError::Waiting(waiting));
        }
        let key = KeyId::of_certificate(&records.authority_certificate(&rollover.old)?);
        let key = key.ok_or_else(|| FolderError::UnknownAuthority(rollover.old.clone()))?.to_string();
        records.append(&Event::RootRetired { root: rollover.old, key, at: now })?;
        Ok(records.rollover_status(now))
    }
}

impl Database {
    /// Where the rollover is, and who has not been handed what the next step supposes.
    pub fn rollover_status(&self, now: Time) -> RolloverStatus {
        let root = self.root().to_owned();
        let Some(rollover) = self.rollover() else {
            return RolloverStatus { stage: RolloverStage::None, root, beside: None, waiting: Vec::new() };
        };
        let (stage, beside) = match rollover.switched {
            None => (RolloverStage::Started, rollover.new.clone()),
            Some(_) => (RolloverStage::Switched, rollover.old.clone()),
        };
        RolloverStatus { stage, root, beside: Some(beside), waiting: waiting(self, rollover, now) }
    }
}

/// Key, certificate, record: a crash before the record leaves files that the next attempt replaces.
fn add_root(records: &mut LockedRecords, place: &KeyPlace, now: Time) -> Result<(), FolderError> {
    let old = records.load_in_force(records.root())?;
    let taken = |name: &String| records.authorities().contains_key(name);
    let name = (2_u32..).map(|number| format!("{ROOT}-{number}")).find(|name| !taken(name));
    let name = name.ok_or_else(|| FolderError::Exists(ROOT.into()))?;
    let key = records.keys.generate(&name, place)?;
    // Later than the old one's, by which everybody tells them apart (root_update.rs).
    let start = Time::from_millis(now.millis().saturating_sub(BACKDATE_MS));
    let start = start.max(old.validity().not_before.plus_millis(1000));
    let root = Authority::new_root(records.consortium(), key.signer(), Validity::starting(start, ROOT_LIFETIME_MS))?;
    records.keys.keep(records.layout.directory(), &name, &key)?;
    records.write(&records.layout.shown(&name), certificates_pem(&[root.certificate().to_vec()]).as_bytes())?;
    // Before the record: peers that read the folder at this moment look for the CRL of every CA in it.
    let crl = root.issue_crl(&[], 1, now, whole_second(now.plus_millis(ROOT_CRL_LIFETIME_MS)))?;
    records.write(&records.layout.crl(&name), crl_pem(&crl).as_bytes())?;
    records.append(&Event::RolloverStarted {
        root: name,
        serial: root.serial().clone(),
        not_after: root.validity().not_after,
        at: now,
    })?;
    Ok(())
}

/// What follows the record of a new root: the number of its CRL, and the links.
fn complete_start(records: &mut LockedRecords, rollover: &RolloverRecord, now: Time) -> Result<(), FolderError> {
    let (old, new) = (records.load_in_force(&rollover.old)?, records.load_in_force(&rollover.new)?);
    if records.authorities().get(&rollover.new).is_some_and(|record| record.crl_number == 0) {
        let next_update = whole_second(rollover.started.plus_millis(ROOT_CRL_LIFETIME_MS));
        let authority = rollover.new.clone();
        records.append(&Event::CrlIntended { authority, number: 1, next_update, at: now })?;
    }
    if !records.layout.crl(&rollover.new).exists() {
        write_crl(records, &new, &rollover.new, now)?;
    }
    for (subject, of_subject, issuer, of_issuer) in
        [(&rollover.new, &new, &rollover.old, &old), (&rollover.old, &old, &rollover.new, &new)]
    {
        let file = records.layout.link(subject, issuer);
        let (root, anchor) = (of_subject.certificate(), of_issuer.certificate());
        let good = |link: &Vec<u8>| verify_link(root, link, &[anchor], records.consortium(), now).is_ok();
        if read_certificates(&file).is_ok_and(|links| links.first().is_some_and(good)) {
            continue;
        }
        // RFC 4210 §4.4: as long as both keys hold.
        let validity = Validity {
            not_before: of_subject.validity().not_before.max(of_issuer.validity().not_before),
            not_after: of_subject.validity().not_after.min(of_issuer.validity().not_after),
        };
        let serial = Authority::draw_serial()?;
        let (name, issuer, not_after) = (subject.clone(), issuer.clone(), validity.not_after);
        records.append(&Event::AuthorityIntended { name, issuer, serial: serial.clone(), not_after, at: now })?;
        let link = of_issuer.certify_root(of_subject.certificate(), validity, &serial)?;
        records.make_folder_of(&file)?;
        records.write(&file, certificates_pem(&[link]).as_bytes())?;
    }
    Ok(())
}

/// The valid certificates whose holders the next step would have refused, as far as the folder knows. A certificate
/// that has a successor is not waited for: its holder was handed everything with that.
fn waiting(database: &Database, rollover: &RolloverRecord, now: Time) -> Vec<CertificateRecord> {
    let all = database.certificates();
    let good = |record: &&CertificateRecord| record.status(now) == CertificateStatus::Valid;
    let renewed: HashSet<&Serial> = all.iter().filter(good).filter_map(|record| record.renews.as_ref()).collect();
    let needs_old = |record: &CertificateRecord| match rollover.switched {
        None => record.handed_out < rollover.started,
        Some(_) => database.authorities().get(&record.authority).is_some_and(|authority| {
            let mut handed = authority.certificates().filter(|certificate| certificate.serial == record.issuing);
            handed.any(|certificate| certificate.issuer == rollover.old)
        }),
    };
    all.iter().filter(good).filter(|record| needs_old(record) && !renewed.contains(&record.serial)).cloned().collect()
}
