//! The files that trust is read from, one by one: damage in one takes away nothing but what was damaged.
//! One member's broken list must not stop a peer of all.

use crate::pem::{self, PemError, Scan};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The PEM label of certificates (RFC 7468 §5).
pub(crate) const CERTIFICATE: &str = "CERTIFICATE";
/// The PEM label of CRLs (RFC 7468 §6).
pub(crate) const CRL: &str = "X509 CRL";

/// Why a file of certificates or CRLs cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CertificateFileError {
    /// The disk.
    #[error("file {path}")]
    File {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not PEM, damaged, or without what belongs there.
    #[error("file {path}, {reason}")]
    Form {
        /// Which file.
        path: String,
        /// What is wrong, and in which line.
        reason: PemError,
    },
}

impl CertificateFileError {
    /// What the disk says of a file.
    pub fn of_file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.display().to_string(), source }
    }
}

/// What a file holds for those who trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustPart {
    /// Roots.
    Anchors,
    /// Issuing CAs below them.
    Issuing,
    /// CRLs.
    Crls,
    /// Links between roots ([`crate::trust::root_update`]): for others, who ask for them.
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
    pub damage: Option<CertificateFileError>,
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
    pub fn text(&self) -> Result<Vec<u8>, CertificateFileError> {
        match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.needed => Ok(Vec::new()),
            read => read.map_err(|source| CertificateFileError::File { path: self.path.display().to_string(), source }),
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
            damage: damage.map(|reason| CertificateFileError::Form { path, reason }),
        }
    }

    /// Reads all of it, or nothing.
    pub fn read_whole(&self) -> Result<Vec<Vec<u8>>, CertificateFileError> {
        let TrustContent { whole, damage } = self.read();
        damage.map_or(Ok(whole), Err)
    }
}

/// Certificates of a PEM file, DER.
pub fn read_certificates(path: &Path) -> Result<Vec<Vec<u8>>, CertificateFileError> {
    let text = fs::read(path).map_err(|source| CertificateFileError::of_file(path, source))?;
    let form = |reason| CertificateFileError::Form { path: path.display().to_string(), reason };
    pem::read_some(&text, pem::CERTIFICATE).map_err(form)
}

/// Writes certificates, DER, as a PEM file, whole or not at all.
pub fn write_certificates(path: &Path, certificates: &[Vec<u8>]) -> Result<(), CertificateFileError> {
    write(path, CERTIFICATE, certificates)
}

/// Certificates as PEM text.
pub fn certificates_pem(certificates: &[Vec<u8>]) -> String {
    certificates.iter().map(|der| pem::write(CERTIFICATE, der)).collect()
}

/// A CRL as PEM text.
pub fn crl_pem(crl: &[u8]) -> String {
    pem::write(CRL, crl)
}

/// Writes the `crl.pem` of a folder, whole or not at all.
pub fn save_crls(folder: &Path, crls: &[Vec<u8>]) -> Result<(), CertificateFileError> {
    write(&folder.join("crl.pem"), CRL, crls)
}

/// CRLs of a PEM text, DER.
pub fn crls_of(text: &str) -> Result<Vec<Vec<u8>>, PemError> {
    pem::read_all(text.as_bytes(), pem::CRL)
}

pub(crate) fn write(path: &Path, label: &str, blocks: &[Vec<u8>]) -> Result<(), CertificateFileError> {
    let text: String = blocks.iter().map(|der| pem::write(label, der)).collect();
    files::write_public(path, text.as_bytes())
        .map_err(|source| CertificateFileError::File { path: path.display().to_string(), source })
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
