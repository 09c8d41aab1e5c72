//! The files that trust is read from, one by one: damage in one takes away nothing but what was damaged.
//! One member's broken list must not stop a peer of all.

use crate::{
    credentials::{CredentialsError, TrustBundle, read_certificates},
    database::{AuthorityCertificate, Database},
    folder::{CertificateFolder, FolderError},
    pem::{self, Scan},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What a file holds for those who trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustPart {
    /// Roots.
    Anchors,
    /// Issuing CAs below them.
    Issuing,
    /// CRLs.
    Crls,
    /// Links between roots ([`crate::root_update`]): for others, who ask for them.
    Links,
}

impl TrustPart {
    /// The PEM label.
    const fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Anchors | Self::Issuing | Self::Links => pem::CERTIFICATE,
            Self::Crls => pem::CRL,
        }
    }
}

/// One file of CAs or CRLs in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustFile {
    /// What it holds.
    pub part: TrustPart,
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is a defect that it is missing or empty.
    pub needed: bool,
}

/// What could be read of a file.
#[derive(Debug)]
pub struct TrustContent {
    /// The blocks that are whole, DER.
    pub whole: Vec<Vec<u8>>,
    /// What is wrong, if anything.
    pub damage: Option<CredentialsError>,
}

impl TrustFile {
    /// A file that must be there.
    pub fn needed(part: TrustPart, path: PathBuf) -> Self {
        Self { part, path, needed: true }
    }

    /// The files of a profile's or peer's folder.
    pub fn of_folder(folder: &Path) -> [Self; 4] {
        let optional = |part, name| Self { part, path: folder.join(name), needed: false };
        [
            Self::needed(TrustPart::Anchors, folder.join("ca.pem")),
            optional(TrustPart::Issuing, "issuing.pem"),
            optional(TrustPart::Crls, "crl.pem"),
            optional(TrustPart::Links, "links.pem"),
        ]
    }

    /// The file of CRLs of a profile's or peer's folder.
    pub fn crls_of(folder: &Path) -> Self {
        let [.., crls, _] = Self::of_folder(folder);
        crls
    }

    /// Reads what is whole.
    pub fn read(&self) -> TrustContent {
        match self.text() {
            Ok(text) => self.content(&text),
            Err(damage) => TrustContent { whole: Vec::new(), damage: Some(damage) },
        }
    }

    /// The file as it is; nothing if it is not there and need not be.
    pub fn text(&self) -> Result<Vec<u8>, CredentialsError> {
        match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.needed => Ok(Vec::new()),
            read => read.map_err(|source| CredentialsError::File { path: self.path.display().to_string(), source }),
        }
    }

    /// What is whole of a text that was read of it.
    pub fn content(&self, text: &[u8]) -> TrustContent {
        let (path, labels) = (self.path.display().to_string(), self.part.labels());
        let Scan { objects, damage } = pem::scan_for(text, labels);
        // Words around objects are allowed (RFC 7468 §2); words alone are none of our files.
        let empty = objects.is_empty() && (self.needed || !text.trim_ascii().is_empty());
        let damage = damage.or_else(|| empty.then(|| pem::missing(text, labels)));
        TrustContent {
            whole: objects.into_iter().map(|object| object.der.to_vec()).collect(),
            damage: damage.map(|reason| CredentialsError::Form { path, reason }),
        }
    }

    /// Reads all of it, or nothing.
    pub fn read_whole(&self) -> Result<Vec<Vec<u8>>, CredentialsError> {
        let TrustContent { whole, damage } = self.read();
        damage.map_or(Ok(whole), Err)
    }
}

impl CertificateFolder {
    /// The certificate of a CA, DER.
    pub fn authority_certificate(&self, name: &str) -> Result<Vec<u8>, FolderError> {
        let database = self.read()?;
        // Not what people look at: that may be a moment behind the index.
        let file = match database.authorities().get(name) {
            Some(record) => self.authority_file(name, &record.serial),
            None => self.directory.join(format!("{name}.pem")),
        };
        let certificates = read_certificates(&file)?;
        certificates.into_iter().next().ok_or_else(|| FolderError::UnknownAuthority(name.into()))
    }

    /// All CAs and CRLs of the folder: what a peer needs to know.
    pub fn trust(&self) -> Result<TrustBundle, FolderError> {
        let mut bundle = TrustBundle::default();
        for file in self.trust_files()? {
            bundle.add(file.part, file.read_whole()?);
        }
        Ok(bundle)
    }

    /// The files that [`CertificateFolder::trust`] reads: for whoever must live with one that is damaged.
    pub fn trust_files(&self) -> Result<Vec<TrustFile>, FolderError> {
        let database = self.read()?;
        let mut all = self.files_of(&database, |_| true);
        all.extend(self.link_files(&database).map(|path| TrustFile { part: TrustPart::Links, path, needed: false }));
        Ok(all)
    }

    /// The files of the CAs that are in force and wanted, by name: certificates and CRLs.
    pub(crate) fn files_of(&self, database: &Database, wanted: impl Fn(&str) -> bool) -> Vec<TrustFile> {
        let mut all = Vec::new();
        for (name, record) in database.authorities().iter().filter(|(name, _)| wanted(name)) {
            if record.retired.is_some() {
                continue;
            }
            let mut vouching = record.certificates().filter(|of| !database.is_retired(&of.issuer)).peekable();
            if vouching.peek().is_none() {
                continue;
            }
            for AuthorityCertificate { issuer, serial, .. } in vouching {
                let part = if issuer == *name { TrustPart::Anchors } else { TrustPart::Issuing };
                all.push(TrustFile::needed(part, self.authority_file(name, &serial)));
            }
            all.push(TrustFile::needed(TrustPart::Crls, self.crl_file(name)));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_whole_is_read_beside_what_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let file = TrustFile { part: TrustPart::Crls, path: dir.path().join("crl.pem"), needed: false };
        let read = |text: &str| {
            fs::write(&file.path, text).unwrap();
            let TrustContent { whole, damage } = file.read();
            assert_eq!(file.read_whole().is_err(), damage.is_some());
            (whole, damage.is_some())
        };
        let (one, two) = (pem::write("X509 CRL", &[1]), pem::write("X509 CRL", &[2]));
        assert_eq!(read(&format!("{one}{two}")), (vec![vec![1], vec![2]], false));
        assert_eq!(read(&format!("a word before\n{one}")), (vec![vec![1]], false));
        let broken = one.replace("AQ==", "A*==");
        assert_ne!(broken, one);
        assert_eq!(read(&format!("{broken}{two}")), (vec![vec![2]], true));
        assert_eq!(read(&format!("{two}{}", &one[..one.len() - 12])), (vec![vec![2]], true), "torn");
        assert_eq!(read("damaged"), (vec![], true));
        assert_eq!(read(""), (vec![], false));
        assert!(TrustFile { needed: true, ..file.clone() }.read().damage.is_some(), "needed, and empty");
        fs::remove_file(&file.path).unwrap();
        assert!(file.read().damage.is_none());
        assert!(TrustFile { needed: true, ..file }.read().damage.is_some(), "needed, and not there");
    }
}
