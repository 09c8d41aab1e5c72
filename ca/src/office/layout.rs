//! Where what is in an authorities' folder lies: names of files, and nothing of what is in them. Those of keys are the
//! keyring's, that of the index its own.

use pki::x509::identifiers::Serial;
use std::path::{Path, PathBuf};

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct Layout(PathBuf);

impl Layout {
    pub(crate) const fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// The folder itself.
    pub(crate) fn directory(&self) -> &Path {
        &self.0
    }

    fn file(&self, folder: &str, name: &str) -> PathBuf {
        self.0.join(folder).join(name)
    }

    /// The newest certificate of a CA, for people and their programs.
    pub(crate) fn shown(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.pem"))
    }

    /// A certificate of a CA that has had several.
    pub(crate) fn kept(&self, serial: &Serial) -> PathBuf {
        self.file("authorities", &format!("{serial}.pem"))
    }

    /// A certificate of a CA. The newest that is shown is the only one of a CA that was never certified again.
    pub(crate) fn authority(&self, name: &str, serial: &Serial) -> PathBuf {
        let kept = self.kept(serial);
        if kept.exists() { kept } else { self.shown(name) }
    }

    /// A leaf, with its path.
    pub(crate) fn issued(&self, serial: &Serial) -> PathBuf {
        self.file("issued", &format!("{serial}.pem"))
    }

    /// The newest CRL of a CA.
    pub(crate) fn crl(&self, name: &str) -> PathBuf {
        self.file("crl", &format!("{name}.pem"))
    }

    /// The newest OCSP answer about a certificate.
    pub(crate) fn ocsp(&self, serial: &Serial) -> PathBuf {
        self.file("ocsp", &format!("{serial}.der"))
    }

    /// What one root says of another.
    pub(crate) fn link(&self, subject: &str, issuer: &str) -> PathBuf {
        self.file("links", &format!("{subject}-by-{issuer}.pem"))
    }
}
