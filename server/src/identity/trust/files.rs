//! Trust as its files hold it. A file that cannot be read keeps what it held when it last could: damage neither stops
//! the peer nor takes anybody's certificate away. What is gone from the disk is gone.

use crate::identity::stamp::Stamp;
use ca::{CertificateFolder, Successor};
use ledger_classes::primitives::causes::in_one_line;
use ledger_classes::primitives::hash::Hash;
use pki::{KeyId, TrustFile, TrustPart, trust::bundle::TrustBundle};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Reads the peer's own folder and the authorities', again and again.
#[derive(Debug)]
pub(super) struct TrustFiles {
    certificate_dir: PathBuf,
    authority_dir: PathBuf,
    /// The authorities' folder, which reads of its index what is new.
    opened: Option<CertificateFolder>,
    /// The files of the authorities' folder, by its index when it could last be read.
    of_authorities: Vec<TrustFile>,
    /// Roots and CAs that the authorities have replaced: no file makes them trusted again.
    retired: Vec<KeyId>,
    /// Which CAs those are, and their successors.
    successors: Vec<Successor>,
    /// What each file of certificates held when it was last whole.
    last: BTreeMap<PathBuf, Vec<Vec<u8>>>,
    /// What is known of each file of CRLs. Lists stay in force whatever becomes of their file, and may be long.
    lists: BTreeMap<PathBuf, Lists>,
}

/// A file of CRLs as it was read last.
#[derive(Debug, PartialEq, Eq)]
struct Lists {
    stamp: Option<Stamp>,
    /// SHA-256 of the file; none of one that could not be read.
    digest: Option<Hash>,
    damage: Option<String>,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The CAs, and of CRLs those of files that are not as they were.
    pub(super) bundle: TrustBundle,
    /// CAs that others have replaced.
    pub(super) successors: Vec<Successor>,
    /// What is damaged, each with its file's name.
    pub(super) damage: Vec<String>,
    /// Whether any file holds anything else than at the last reading.
    pub(super) news: bool,
}

impl TrustFiles {
    pub(super) fn new(certificate_dir: &Path, authority_dir: &Path) -> Self {
        let (certificate_dir, authority_dir) = (certificate_dir.into(), authority_dir.into());
        let (opened, of_authorities) = (None, Vec::new());
        let (retired, successors) = (Vec::new(), Vec::new());
        let (last, lists) = (BTreeMap::new(), BTreeMap::new());
        Self { certificate_dir, authority_dir, opened, of_authorities, retired, successors, last, lists }
    }

    /// What the two folders hold together. The peer's own may lack everything but `ca.pem`. A file of CRLs is not read if
    /// its stamp is the one that it had, and `sure` says that it cannot have changed without; and not parsed if its bytes
    /// are what they were, or what the peer has `written`.
    pub(super) fn read(&mut self, stamps: &[(PathBuf, Stamp)], sure: bool, written: Option<Hash>) -> Reading {
        let mut reading = Reading::default();
        if self.authority_dir.join("ca").join("index.jsonl").exists() {
            let opened = self.opened.take().map_or_else(|| CertificateFolder::open(&self.authority_dir), Ok);
            let read = opened.and_then(|folder| {
                let records = self.opened.insert(folder).records()?;
                Ok((records.trust_files(), records.retired().to_vec(), records.replaced()?))
            });
            match read {
                Ok(read) => (self.of_authorities, self.retired, self.successors) = read,
                Err(error) => reading.damage.push(in_one_line(&error)),
            }
        } else {
            self.of_authorities.clear();
        }
        let own = TrustFile::of_folder(&self.certificate_dir);
        let files = own.iter().chain(&self.of_authorities);
        let (lists, certificates): (Vec<_>, Vec<_>) = files.partition(|file| file.part == TrustPart::Crls);
        let mut last = BTreeMap::new();
        for file in certificates {
            let content = file.read();
            let mut held = content.whole;
            if let Some(damage) = content.damage {
                reading.damage.push(in_one_line(&damage));
                let before = self.last.get(&file.path).into_iter().flatten();
                let missing: Vec<Vec<u8>> = before.filter(|der| !held.contains(der)).cloned().collect();
                held.extend(missing);
            }
            reading.bundle.add(file.part, held.clone());
            last.insert(file.path.clone(), held);
        }
        reading.bundle.remove_roots(&self.retired);
        reading.successors.clone_from(&self.successors);
        // A list that nobody could judge may be one of a CA that is there now.
        let others = self.last != last;
        let stamps: BTreeMap<&Path, &Stamp> = stamps.iter().map(|(path, stamp)| (path.as_path(), stamp)).collect();
        let mut found = BTreeMap::new();
        for file in lists {
            let stamp = stamps.get(file.path.as_path()).copied().cloned();
            let before = self.lists.remove(&file.path).filter(|_| !others);
            let read = match before {
                Some(before) if sure && stamp.is_some() && before.stamp == stamp && before.digest.is_some() => before,
                before => read_lists(file, stamp, before, written.filter(|_| !others), &mut reading),
            };
            reading.damage.extend(read.damage.clone());
            found.insert(file.path.clone(), read);
        }
        reading.news |= others || !self.lists.is_empty();
        (self.last, self.lists) = (last, found);
        reading
    }

    /// Stamps of every file that trust is read from, through whatever links: a mount may swap the folder that they lead
    /// through. A file that vanishes is a change too.
    pub(super) fn stamps(&self) -> Vec<(PathBuf, Stamp)> {
        let mut stamps = Vec::new();
        let folder = self.authority_dir.join("ca");
        for dir in [&self.certificate_dir, &folder, &folder.join("crl"), &folder.join("links")] {
            let Ok(entries) = fs::read_dir(dir) else { continue };
            for entry in entries.flatten() {
                let path = entry.path();
                if !path.extension().is_some_and(|extension| extension == "pem" || extension == "jsonl") {
                    continue;
                }
                if let Ok(stamp) = Stamp::of(&path) {
                    stamps.push((path, stamp));
                }
            }
        }
        stamps.sort();
        stamps
    }

    /// These stamps, with that of the peer's own file of lists as it is now.
    pub(super) fn restamp(&self, mut stamps: Vec<(PathBuf, Stamp)>) -> Vec<(PathBuf, Stamp)> {
        let path = TrustFile::crls_of(&self.certificate_dir).path;
        stamps.retain(|(of, _)| *of != path);
        stamps.extend(Stamp::of(&path).ok().map(|stamp| (path, stamp)));
        stamps.sort();
        stamps
    }
}

/// Reads a file of CRLs, and parses it unless its bytes are known.
fn read_lists(
    file: &TrustFile,
    stamp: Option<Stamp>,
    before: Option<Lists>,
    written: Option<Hash>,
    reading: &mut Reading,
) -> Lists {
    let known = |digest: &Hash| before.as_ref().is_some_and(|before| before.digest.as_ref() == Some(digest));
    let text = match file.text() {
        Ok(text) => text,
        Err(damage) => {
            let damage = Some(in_one_line(&damage));
            reading.news |= before.is_none_or(|before| before.damage != damage);
            return Lists { stamp, digest: None, damage };
        }
    };
    let digest = Hash::plain(&[&text]);
    if known(&digest) {
        let damage = before.and_then(|before| before.damage);
        return Lists { stamp, digest: Some(digest), damage };
    }
    let mut damage = None;
    if written != Some(digest) {
        reading.news = true;
        let content = file.content(&text);
        damage = content.damage.as_ref().map(|damage| in_one_line(damage));
        reading.bundle.add(TrustPart::Crls, content.whole);
    }
    Lists { stamp, digest: Some(digest), damage }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::symlink;

    /// How a file gets another content.
    type Way = fn(&Path, &str);

    fn in_place(file: &Path, content: &str) {
        fs::write(file, content).unwrap();
    }

    fn renamed(file: &Path, content: &str) {
        let new = file.with_extension("new");
        fs::write(&new, content).unwrap();
        fs::rename(&new, file).unwrap();
    }

    /// The file is a link, which is replaced.
    fn relinked(file: &Path, content: &str) {
        let store = file.with_extension("store");
        fs::create_dir_all(&store).unwrap();
        let (target, new) = (store.join(content), file.with_extension("new"));
        fs::write(&target, content).unwrap();
        symlink(&target, &new).unwrap();
        fs::rename(&new, file).unwrap();
    }

    /// The file is a link into a folder that is one, too, and is replaced: a mounted secret of Kubernetes.
    fn swapped(file: &Path, content: &str) {
        let (parent, name) = (file.parent().unwrap(), file.file_name().unwrap());
        let next = parent.join(format!("..{content}"));
        fs::create_dir_all(&next).unwrap();
        fs::write(next.join(name), content).unwrap();
        let (data, new) = (parent.join("..data"), parent.join("..data_new"));
        symlink(&next, &new).unwrap();
        fs::rename(&new, &data).unwrap();
        if !file.is_symlink() {
            let _ = fs::remove_file(file);
            symlink(Path::new("..data").join(name), file).unwrap();
        }
    }

    /// What the link leads to is written anew.
    fn behind_links(file: &Path, content: &str) {
        let (target, between) = (file.with_extension("target"), file.with_extension("between"));
        fs::write(&target, content).unwrap();
        if !file.is_symlink() {
            symlink(&target, &between).unwrap();
            let _ = fs::remove_file(file);
            symlink(&between, file).unwrap();
        }
    }

    /// The folder of the file is a link, which is replaced.
    fn folder_swapped(file: &Path, content: &str) {
        let (parent, name) = (file.parent().unwrap(), file.file_name().unwrap());
        let next = parent.with_extension(content);
        fs::create_dir_all(&next).unwrap();
        fs::write(next.join(name), content).unwrap();
        let new = parent.with_extension("new");
        symlink(&next, &new).unwrap();
        if parent.is_dir() && !parent.is_symlink() {
            fs::remove_dir_all(parent).unwrap();
        }
        fs::rename(&new, parent).unwrap();
    }

    /// A list of 16 MB beside it made each revocation 0.7 s late, since all files were read and parsed at each change.
    #[test]
    fn of_lists_only_those_are_parsed_that_are_not_as_they_were() {
        let home = tempfile::tempdir().unwrap();
        let own = home.path().join("own");
        fs::create_dir_all(&own).unwrap();
        let mut files = TrustFiles::new(&own, &home.path().join("authorities"));
        let crl = |byte: u8| pki::trust::files::crl_pem(&[byte; 9]);
        let write = |name: &str, text: &str| fs::write(own.join(name), text).unwrap();
        let mut read = |sure: bool, written: Option<&str>| {
            let stamps = files.stamps();
            let reading = files.read(&stamps, sure, written.map(|text| Hash::plain(&[text.as_bytes()])));
            (reading.bundle.crls.len(), reading.news, reading.damage.len())
        };
        write("ca.pem", &pki::trust::files::certificates_pem(&[vec![1; 9]]));
        write("crl.pem", &(crl(1) + &crl(2)));
        assert_eq!(read(false, None), (2, true, 0));
        for sure in [true, false] {
            assert_eq!(read(sure, None), (0, false, 0), "as it was, by its stamp or by its bytes");
        }
        // What the peer has written itself is in force already.
        write("crl.pem", &crl(3));
        assert_eq!(read(true, Some(&crl(3))), (0, false, 0));
        write("crl.pem", &crl(4));
        assert_eq!(read(true, Some(&crl(3))), (1, true, 0));
        // Of a CA that is here from now on.
        write("issuing.pem", &pki::trust::files::certificates_pem(&[vec![2; 9]]));
        assert_eq!(read(true, Some(&crl(4))), (1, true, 0));
        write("crl.pem", "damaged");
        assert_eq!(read(true, None), (0, true, 1));
        assert_eq!(read(true, None), (0, false, 1), "it is said again, and nothing is new");
        fs::remove_file(own.join("crl.pem")).unwrap();
        assert_eq!(read(true, None), (0, true, 0));
    }

    /// A CRL that was mounted as a link and swapped was never noticed: a revoked client stayed in.
    #[test]
    fn every_file_is_watched_in_whatever_way_it_changes() {
        let ways: [(&str, Way); 6] = [
            ("in place", in_place),
            ("by rename", renamed),
            ("by relinking", relinked),
            ("by a swapped directory", swapped),
            ("behind two links", behind_links),
            ("by a swapped folder of its own", folder_swapped),
        ];
        let files = [
            "own/cert.pem",
            "own/key.pem",
            "own/ca.pem",
            "own/issuing.pem",
            "own/crl.pem",
            "own/links.pem",
            "authorities/ca/index.jsonl",
            "authorities/ca/north.pem",
            "authorities/ca/crl/north.pem",
            "authorities/ca/links/root.pem",
        ];
        for (how, change) in ways {
            for file in files {
                let home = tempfile::tempdir().unwrap();
                let watched = TrustFiles::new(&home.path().join("own"), &home.path().join("authorities"));
                let path = home.path().join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                change(&path, "one");
                let before = watched.stamps();
                assert_eq!(before.len(), 1, "{file} {how}");
                change(&path, "another");
                assert_eq!(fs::read_to_string(&path).unwrap(), "another", "{file} {how}");
                assert_ne!(watched.stamps(), before, "{file} {how}");
            }
        }
    }
}
