//! Trust as its files hold it. A file that cannot be read keeps what it held when it last could: damage neither stops
//! the peer nor takes anybody's certificate away. What is gone from the disk is gone.

use super::describe;
use ca::{CertificateFolder, KeyId, TrustFile, credentials::TrustBundle};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// A file as far as a change shows: time, length and inode.
pub(super) type Stamp = (PathBuf, SystemTime, u64, u64);

/// Reads the peer's own folder and the authorities', again and again.
#[derive(Debug)]
pub(super) struct TrustFiles {
    certificate_dir: PathBuf,
    authority_dir: PathBuf,
    /// The files of the authorities' folder, by its index when it could last be read.
    of_authorities: Vec<TrustFile>,
    /// Roots that the authorities have retired: no file makes them anchors again.
    retired: Vec<KeyId>,
    /// What each file held when it was last whole.
    last: BTreeMap<PathBuf, Vec<Vec<u8>>>,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) bundle: TrustBundle,
    /// What is damaged, each with its file's name.
    pub(super) damage: Vec<String>,
    /// Whether any file holds anything else than at the last reading.
    pub(super) news: bool,
}

impl TrustFiles {
    pub(super) fn new(certificate_dir: &Path, authority_dir: &Path) -> Self {
        let (certificate_dir, authority_dir) = (certificate_dir.into(), authority_dir.into());
        Self { certificate_dir, authority_dir, of_authorities: Vec::new(), retired: Vec::new(), last: BTreeMap::new() }
    }

    /// What the two folders hold together. The peer's own may lack everything but `ca.pem`.
    pub(super) fn read(&mut self) -> Reading {
        let mut reading = Reading::default();
        if self.authority_dir.join("ca").join("index.jsonl").exists() {
            let read = CertificateFolder::open(&self.authority_dir);
            match read.and_then(|folder| Ok((folder.trust_files()?, folder.retired_roots()?))) {
                Ok((files, retired)) => (self.of_authorities, self.retired) = (files, retired),
                Err(error) => reading.damage.push(describe(&error)),
            }
        } else {
            self.of_authorities.clear();
        }
        let own = TrustFile::of_folder(&self.certificate_dir);
        let mut last = BTreeMap::new();
        for file in own.iter().chain(&self.of_authorities) {
            let content = file.read();
            let mut held = content.whole;
            if let Some(damage) = content.damage {
                reading.damage.push(describe(&damage));
                let before = self.last.get(&file.path).into_iter().flatten();
                let missing: Vec<Vec<u8>> = before.filter(|der| !held.contains(der)).cloned().collect();
                held.extend(missing);
            }
            reading.bundle.add(file.part, held.clone());
            last.insert(file.path.clone(), held);
        }
        reading.bundle.remove_roots(&self.retired);
        reading.news = self.last != last;
        self.last = last;
        reading
    }

    /// Time, length and inode of every file that trust is read from. A file that vanishes is a change too.
    pub(super) fn stamps(&self) -> Vec<Stamp> {
        let mut stamps = Vec::new();
        let folder = self.authority_dir.join("ca");
        for dir in [&self.certificate_dir, &folder, &folder.join("crl"), &folder.join("links")] {
            let Ok(entries) = fs::read_dir(dir) else { continue };
            for entry in entries.flatten() {
                let path = entry.path();
                if !path.extension().is_some_and(|extension| extension == "pem" || extension == "jsonl") {
                    continue;
                }
                if let Ok(metadata) = entry.metadata() {
                    let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                    stamps.push((path, modified, metadata.len(), inode(&metadata)));
                }
            }
        }
        stamps.sort();
        stamps
    }
}

#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
}
