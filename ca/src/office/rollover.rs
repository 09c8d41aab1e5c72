//! A new root in place of the old one, with nobody refused on the way: both are anchors, then the new one certifies,
//! then the old one goes. Each step is one call, and each may be repeated: it finishes what a crash left.
//!
//! A step must not run until its effect is known. The folder records which path it issued, to whom, and when; it cannot
//! tell whether the holder has installed it, or the new root with it. So the next step waits for everybody who has not
//! been handed anything since the last one, unless it is forced.

use crate::{
    authority::{Authority, AuthorityError, Validity},
    holder::credentials::CredentialsError,
    keys::{error::KeyError, keyring::KeyPlace},
    limits::{ROOT_CRL_LIFETIME_MS, ROOT_LIFETIME_MS},
    office::{
        database::{Database, DatabaseError},
        event::Event,
        folder::{CertificateFolder, FolderError, file_error, whole_second, write},
        index_file::LockedDatabase,
        record::{CertificateRecord, CertificateStatus, ROOT, Rollover},
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
use std::{collections::HashSet, path::PathBuf};

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

impl From<AuthorityError> for RolloverError {
    fn from(error: AuthorityError) -> Self {
        Self::Folder(error.into())
    }
}

impl From<KeyError> for RolloverError {
    fn from(error: KeyError) -> Self {
        Self::Folder(error.into())
    }
}

impl From<CredentialsError> for RolloverError {
    fn from(error: CredentialsError) -> Self {
        Self::Folder(error.into())
    }
}

impl CertificateFolder {
    /// Makes a new root beside the old one, and the two links between them. Both are anchors from now on.
    pub fn start_rollover(&self, key: impl Into<KeyPlace>, now: Time) -> Result<RolloverStatus, RolloverError> {
        let mut database = self.lock()?;
        match database.rollover() {
            Some(Rollover { switched: Some(_), .. }) => return Err(RolloverError::UnderWay),
            Some(_) => {}
            None => self.add_root(&mut database, &key.into(), now)?,
        }
        self.complete_start(&mut database, now)?;
        Ok(status(&database, now))
    }

    /// Lets the new root certify, and certifies every issuing CA under it. With `force` also while holders wait.
    pub fn switch_root(&self, force: bool, now: Time) -> Result<RolloverStatus, RolloverError> {
        let mut database = self.lock()?;
        let rollover = database.rollover().cloned().ok_or(RolloverError::NotStarted)?;
        if rollover.switched.is_none() {
            self.complete_start(&mut database, now)?;
            let waiting = waiting(&database, &rollover, now);
            if !waiting.is_empty() && !force {
                return Err(RolloverError::Waiting(waiting));
            }
            // The new key must be able to sign before anything depends on it.
            self.authority(&database, &rollover.new)?;
            database.append(&Event::RolloverSwitched { root: rollover.new.clone(), at: now })?;
        }
        for record in database.authorities().clone().into_values().filter(|record| record.retired.is_none()) {
            let is_root = record.issuer == record.name;
            if !is_root && record.revoked.is_none() && record.issuer != rollover.new {
                self.reissue_locked(&mut database, &record.name, now)?;
            }
            self.show_newest(&database, &record.name)?;
        }
        Ok(status(&database, now))
    }

    /// Takes the old root out of the anchors. With `force` also while holders wait.
    pub fn retire_root(&self, force: bool, now: Time) -> Result<RolloverStatus, RolloverError> {
        let mut database = self.lock()?;
        let Some(rollover) = database.rollover().cloned() else {
            let done = database.root() != ROOT;
            return if done { Ok(status(&database, now)) } else { Err(RolloverError::NotStarted) };
        };
        let under_old = |record: &crate::office::record::AuthorityRecord| {
            record.name != rollover.old && record.revoked.is_none() && record.issuer == rollover.old
        };
        // A switch that was interrupted counts as none: it would leave organizations without a path.
        if rollover.switched.is_none() || database.authorities().values().any(under_old) {
            return Err(RolloverError::NotSwitched);
        }
        let waiting = waiting(&database, &rollover, now);
        if !waiting.is_empty() && !force {
            return Err(RolloverError::Waiting(waiting));
        }
        let key = KeyId::of_certificate(&self.authority_certificate(&rollover.old)?);
        let key = key.ok_or_else(|| FolderError::UnknownAuthority(rollover.old.clone()))?.to_string();
        database.append(&Event::RootRetired { root: rollover.old, key, at: now })?;
        Ok(status(&database, now))
    }

    /// Where the rollover is, and who has not been handed what the next step supposes.
    pub fn rollover_status(&self, now: Time) -> Result<RolloverStatus, FolderError> {
        let database = self.read()?;
        Ok(status(&database, now))
    }

    /// Where the links between the two roots are: nowhere outside of a rollover.
    pub(crate) fn link_files(&self, database: &Database) -> impl Iterator<Item = PathBuf> {
        let pairs = database.rollover().map(|Rollover { old, new, .. }| [(new, old), (old, new)]);
        let files = pairs.map(|pairs| pairs.map(|(subject, issuer)| self.link_file(subject, issuer)));
        files.into_iter().flatten()
    }

    /// The keys of the roots and CAs that others have replaced, wherever somebody still has their certificates.
    pub fn retired_roots(&self) -> Result<Vec<KeyId>, FolderError> {
        Ok(self.read()?.retired().to_vec())
    }

    /// Key, certificate, record: a crash before the record leaves files that the next attempt replaces.
    fn add_root(&self, database: &mut LockedDatabase, place: &KeyPlace, now: Time) -> Result<(), RolloverError> {
        let old = self.authority(database, database.root())?;
        let taken = |name: &String| database.authorities().contains_key(name);
        let name = (2_u32..).map(|number| format!("{ROOT}-{number}")).find(|name| !taken(name));
        let name = name.ok_or_else(|| FolderError::Exists(ROOT.into()))?;
        let key = self.keys.generate(&name, place)?;
        // Later than the old one's, by which everybody tells them apart (root_update.rs).
        let start = Time::from_millis(now.millis().saturating_sub(BACKDATE_MS));
        let start = start.max(old.validity().not_before.plus_millis(1000));
        let root = Authority::new_root(self.consortium(), key.signer(), Validity::starting(start, ROOT_LIFETIME_MS))?;
        self.keys.keep(self.layout.directory(), &name, &key)?;
        write(&self.layout.shown(&name), &certificates_pem(&[root.certificate().to_vec()]))?;
        // Before the record: peers that read the folder at this moment look for the CRL of every CA in it.
        let crl = root.issue_crl(&[], 1, now, whole_second(now.plus_millis(ROOT_CRL_LIFETIME_MS)))?;
        write(&self.crl_file(&name), &crl_pem(&crl))?;
        database.append(&Event::RolloverStarted {
            root: name,
            serial: root.serial().clone(),
            not_after: root.validity().not_after,
            at: now,
        })?;
        Ok(())
    }

    /// What follows the record of a new root: the number of its CRL, and the links.
    fn complete_start(&self, database: &mut LockedDatabase, now: Time) -> Result<(), RolloverError> {
        let rollover = database.rollover().cloned().ok_or(RolloverError::NotStarted)?;
        let (old, new) = (self.authority(database, &rollover.old)?, self.authority(database, &rollover.new)?);
        if database.authorities().get(&rollover.new).is_some_and(|record| record.crl_number == 0) {
            let next_update = whole_second(rollover.started.plus_millis(ROOT_CRL_LIFETIME_MS));
            let authority = rollover.new.clone();
            database.append(&Event::CrlIntended { authority, number: 1, next_update, at: now })?;
        }
        if !self.crl_file(&rollover.new).exists() {
            self.write_crl(database, &new, &rollover.new, now)?;
        }
        for (subject, of_subject, issuer, of_issuer) in
            [(&rollover.new, &new, &rollover.old, &old), (&rollover.old, &old, &rollover.new, &new)]
        {
            let file = self.link_file(subject, issuer);
            let (root, anchor) = (of_subject.certificate(), of_issuer.certificate());
            let good = |link: &Vec<u8>| verify_link(root, link, &[anchor], self.consortium(), now).is_ok();
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
            database.append(&Event::AuthorityIntended { name, issuer, serial: serial.clone(), not_after, at: now })?;
            let link = of_issuer.certify_root(of_subject.certificate(), validity, &serial)?;
            if let Some(directory) = file.parent() {
                files::private_folder(directory).map_err(|source| file_error(directory, source))?;
            }
            write(&file, &certificates_pem(&[link]))?;
        }
        Ok(())
    }

    fn link_file(&self, subject: &str, issuer: &str) -> PathBuf {
        self.layout.link(subject, issuer)
    }
}

fn status(database: &Database, now: Time) -> RolloverStatus {
    let root = database.root().to_owned();
    match database.rollover() {
        None => RolloverStatus { stage: RolloverStage::None, root, beside: None, waiting: Vec::new() },
        Some(rollover) => {
            let (stage, beside) = match rollover.switched {
                None => (RolloverStage::Started, rollover.new.clone()),
                Some(_) => (RolloverStage::Switched, rollover.old.clone()),
            };
            RolloverStatus { stage, root, beside: Some(beside), waiting: waiting(database, rollover, now) }
        }
    }
}

/// The valid certificates whose holders the next step would have refused, as far as the folder knows. A certificate
/// that has a successor is not waited for: its holder was handed everything with that.
fn waiting(database: &Database, rollover: &Rollover, now: Time) -> Vec<CertificateRecord> {
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
