//! A profile's folder as far as certificates go: `cert.pem` (path, leaf first), `key.pem` (0600), `ca.pem` (anchors),
//! and for those who check revocation `issuing.pem` (issuing CAs) and `crl.pem` (their CRLs).

use crate::{
    certificate::Certificate,
    identifiers::KeyId,
    keys::{KeyError, KeyPair},
    pem::{self, PemError},
    revocation::{RevocationError, RevocationPolicy},
    root_update::RootUpdateError,
    tls::OwnCertificate,
    trust::{TrustError, TrustStore},
    trust_files::{TrustFile, TrustPart},
};
use std::{fs, io, path::Path, sync::Arc};

/// The PEM label of certificates (RFC 7468 §5).
const CERTIFICATE: &str = "CERTIFICATE";
/// A new path whose key is not in place yet.
const NEXT: &str = "cert.pem.next";
/// The PEM label of CRLs (RFC 7468 §6).
const CRL: &str = "X509 CRL";

/// Why a folder cannot be read, written or used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
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
    /// The private key.
    #[error("the private key")]
    Key(#[from] KeyError),
    /// Key and certificate do not belong together.
    #[error("key and certificate do not fit: {0}")]
    Mismatch(String),
    /// The CAs.
    #[error("the CA certificates")]
    Trust(#[from] TrustError),
    /// A CRL.
    #[error("a CRL")]
    Revocation(#[from] RevocationError),
    /// What a peer offers.
    #[error("the CA certificates that a peer offers")]
    Offered(#[from] RootUpdateError),
}

/// CAs and CRLs, as `ca.pem`, `issuing.pem` and `crl.pem` carry them. DER.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustBundle {
    /// Roots.
    pub anchors: Vec<Vec<u8>>,
    /// Issuing CAs below them.
    pub issuing: Vec<Vec<u8>>,
    /// CRLs of all.
    pub crls: Vec<Vec<u8>>,
    /// Links between roots, in `links.pem`: only while one replaces another.
    pub links: Vec<Vec<u8>>,
}

impl TrustBundle {
    /// Reads `ca.pem`, and `issuing.pem`, `crl.pem` and `links.pem` if they are there.
    pub fn load(folder: &Path) -> Result<Self, CredentialsError> {
        let mut bundle = Self::default();
        for file in TrustFile::of_folder(folder) {
            bundle.add(file.part, file.read_whole()?);
        }
        Ok(bundle)
    }

    /// Adds what a file holds, without what is there already.
    pub fn add(&mut self, part: TrustPart, ders: Vec<Vec<u8>>) {
        let mine = match part {
            TrustPart::Anchors => &mut self.anchors,
            TrustPart::Issuing => &mut self.issuing,
            TrustPart::Crls => &mut self.crls,
            TrustPart::Links => &mut self.links,
        };
        for der in ders {
            if !mine.contains(&der) {
                mine.push(der);
            }
        }
    }

    /// Adds all of another one, without what is there already.
    pub fn extend(&mut self, other: Self) {
        self.add(TrustPart::Anchors, other.anchors);
        self.add(TrustPart::Issuing, other.issuing);
        self.add(TrustPart::Crls, other.crls);
        self.add(TrustPart::Links, other.links);
    }

    /// Writes the files, each whole or not at all.
    pub fn save(&self, folder: &Path) -> Result<(), CredentialsError> {
        write(&folder.join("ca.pem"), CERTIFICATE, &self.anchors)?;
        let issuing = folder.join("issuing.pem");
        // Clients have none of the rest.
        if !self.issuing.is_empty() || !self.crls.is_empty() || issuing.exists() {
            write(&issuing, CERTIFICATE, &self.issuing)?;
            write(&folder.join("crl.pem"), CRL, &self.crls)?;
        }
        let links = folder.join("links.pem");
        match self.links.is_empty() {
            false => write(&links, CERTIFICATE, &self.links),
            true if !links.exists() => Ok(()),
            true => fs::remove_file(&links)
                .map_err(|source| CredentialsError::File { path: links.display().to_string(), source }),
        }
    }

    /// Takes out roots and issuing CAs by their keys, and the issuing CAs that such roots certified.
    pub fn remove_roots(&mut self, keys: &[KeyId]) {
        let is_root = |der: &Vec<u8>| KeyId::of_certificate(der).is_some_and(|key| keys.contains(&key));
        let is_below = |der: &Vec<u8>| {
            let parsed = Certificate::parse(der).ok();
            let issuer = parsed.as_ref().and_then(Certificate::authority_key_identifier);
            // docs/formats/certificates.md: a key identifier is the first 20 octets of the same hash.
            issuer.is_some_and(|issuer| keys.iter().any(|key| key.as_bytes()[..20] == *issuer))
        };
        self.anchors.retain(|der| !is_root(der));
        self.issuing.retain(|der| !is_root(der) && !is_below(der));
    }

    /// A trust store with everything in force.
    pub fn trust_store(&self, consortium: &str, policy: RevocationPolicy) -> Result<TrustStore, CredentialsError> {
        let store = TrustStore::new(consortium, self.anchors.clone(), self.issuing.clone(), policy)?;
        for crl in &self.crls {
            match store.install_crl(crl) {
                // One that a newer one has made needless.
                Ok(_) => {}
                Err(error) if error.is_needless() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(store)
    }
}

/// A path, its key, and whom its holder trusts.
#[derive(Debug)]
pub struct Credentials {
    /// The certificate path, leaf first, DER.
    pub path: Vec<Vec<u8>>,
    /// The leaf's key.
    pub key: KeyPair,
    /// Whom to trust.
    pub trust: TrustBundle,
}

impl Credentials {
    /// Reads a folder.
    pub fn load(folder: &Path) -> Result<Self, CredentialsError> {
        Ok(Self {
            path: read(&folder.join("cert.pem"), pem::CERTIFICATE, true)?,
            key: KeyPair::load(&folder.join("key.pem"))?,
            trust: TrustBundle::load(folder)?,
        })
    }

    /// Writes a folder, key first, so that a certificate without its key is never left behind.
    pub fn save(&self, folder: &Path) -> Result<(), CredentialsError> {
        files::private_folder(folder)
            .map_err(|source| CredentialsError::File { path: folder.display().to_string(), source })?;
        self.key.save(&folder.join("key.pem"))?;
        write(&folder.join("cert.pem"), CERTIFICATE, &self.path)?;
        self.trust.save(folder)
    }

    /// Replaces a folder's path, and its key if another is given. The path alone is replaced in one step; of two
    /// files, the new path lies beside the old one before the key is replaced, for [`Self::complete_replacement`].
    pub fn replace(folder: &Path, path: &[Vec<u8>], key: Option<&KeyPair>) -> Result<(), CredentialsError> {
        let Some(key) = key else { return write(&folder.join("cert.pem"), CERTIFICATE, path) };
        write(&folder.join(NEXT), CERTIFICATE, path)?;
        key.save(&folder.join("key.pem"))?;
        Self::complete_replacement(folder)
    }

    /// Ends a replacement that a crash interrupted: the new path comes into force if the key is its key, and goes if
    /// not.
    pub fn complete_replacement(folder: &Path) -> Result<(), CredentialsError> {
        let next = folder.join(NEXT);
        if !next.exists() {
            return Ok(());
        }
        let fits = |path: Vec<Vec<u8>>| {
            let key = KeyPair::load(&folder.join("key.pem")).ok()?;
            OwnCertificate::new(&path, &key).ok()
        };
        let fits = read(&next, pem::CERTIFICATE, true).ok().and_then(fits).is_some();
        let done = if fits { fs::rename(&next, folder.join("cert.pem")) } else { fs::remove_file(&next) };
        done.and_then(|()| files::sync_directory(folder))
            .map_err(|source| CredentialsError::File { path: next.display().to_string(), source })
    }

    /// The path and key for TLS.
    pub fn own_certificate(&self) -> Result<Arc<OwnCertificate>, CredentialsError> {
        OwnCertificate::new(&self.path, &self.key).map_err(|error| CredentialsError::Mismatch(error.to_string()))
    }
}

/// Certificates of a PEM file, DER.
pub fn read_certificates(path: &Path) -> Result<Vec<Vec<u8>>, CredentialsError> {
    read(path, pem::CERTIFICATE, true)
}

/// Certificates of a PEM text, DER.
pub fn certificates_of(text: &str) -> Result<Vec<Vec<u8>>, PemError> {
    pem::read_all(text.as_bytes(), pem::CERTIFICATE)
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
pub fn save_crls(folder: &Path, crls: &[Vec<u8>]) -> Result<(), CredentialsError> {
    write(&folder.join("crl.pem"), CRL, crls)
}

/// CRLs of a PEM text, DER.
pub fn crls_of(text: &str) -> Result<Vec<Vec<u8>>, PemError> {
    pem::read_all(text.as_bytes(), pem::CRL)
}

fn read(path: &Path, labels: &'static [&'static str], needed: bool) -> Result<Vec<Vec<u8>>, CredentialsError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !needed => return Ok(Vec::new()),
        Err(source) => return Err(CredentialsError::File { path: path.display().to_string(), source }),
    };
    let read = if needed { pem::read_some(&text, labels) } else { pem::read_all(&text, labels) };
    read.map_err(|reason| CredentialsError::Form { path: path.display().to_string(), reason })
}

fn write(path: &Path, label: &str, blocks: &[Vec<u8>]) -> Result<(), CredentialsError> {
    let text: String = blocks.iter().map(|der| pem::write(label, der)).collect();
    files::write_public(path, text.as_bytes())
        .map_err(|source| CredentialsError::File { path: path.display().to_string(), source })
}
