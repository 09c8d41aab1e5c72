//! CAs and CRLs together: what somebody trusts, as files carry it.

use crate::{
    trust::files::{CERTIFICATE, CRL, CertificateFileError, TrustFile, TrustPart, write},
    x509::{certificate::Certificate, identifiers::KeyId},
};
use std::{fs, path::Path};

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
    pub fn load(folder: &Path) -> Result<Self, CertificateFileError> {
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
    pub fn save(&self, folder: &Path) -> Result<(), CertificateFileError> {
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
                .map_err(|source| CertificateFileError::File { path: links.display().to_string(), source }),
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
}
