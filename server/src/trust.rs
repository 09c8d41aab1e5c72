//! Whom this peer trusts at this moment, kept up to date from the files: what `chancery ca revoke` writes in another
//! process takes effect here within a second.
//!
//! The anchors are the union of the authorities' folder and of the peer's own certificate directory. A file that cannot
//! be read or a CRL that does not verify changes nothing: what was in force stays in force.

use crate::{certificates::describe, clock, config::Config};
use arc_swap::ArcSwap;
use ca::{
    AuthorityScope, CertificateFolder, Credentials, KeyId, RevocationPolicy, TrustStore, Usage, VerifiedCertificate,
    credentials::{CredentialsError, TrustBundle, save_crls},
    folder::{FolderError, read_ocsp_answer},
    ocsp,
    path::PathError,
    revocation::{RevocationChange, RevocationError},
    tls::OwnCertificate,
};
use ledger_classes::{hash::HexBytes, identity::Identity, time::Time};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};
use tokio::sync::watch;

/// Why the peer's certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The peer's own folder.
    #[error("the peer's certificate directory")]
    Credentials(#[from] CredentialsError),
    /// The authorities' folder.
    #[error("the authorities' folder")]
    Folder(#[from] FolderError),
    /// The CAs.
    #[error("the CA certificates")]
    Authorities(#[from] ca::trust::TrustError),
    /// The peer's own certificate.
    #[error("the peer's own certificate")]
    Own(#[from] PathError),
}

/// Why a CRL is not learned.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// It is not one of a CA that is trusted here, or older than the one in force.
    #[error("the CRL is not taken")]
    Refused(#[from] RevocationError),
    /// It is in force, but not on disk.
    #[error("the CRL is in force, but cannot be kept")]
    Kept(#[from] CredentialsError),
}

/// A file as far as a change shows: time, length and inode.
type Stamp = (PathBuf, SystemTime, u64, u64);

/// What was looked at last.
#[derive(Debug)]
struct Seen {
    stamps: Vec<Stamp>,
    /// Whether all of it could be read. What could not is read again even if nothing changes: a peer that was out of
    /// file descriptors at the wrong moment must not miss a revocation.
    whole: bool,
}

/// The trust of a running peer.
#[derive(Debug)]
pub struct Trust {
    certificate_dir: PathBuf,
    authority_dir: PathBuf,
    store: Arc<TrustStore>,
    own: Arc<OwnCertificate>,
    own_certificate: ArcSwap<VerifiedCertificate>,
    bundle: ArcSwap<TrustBundle>,
    seen: Mutex<Seen>,
    changes: watch::Sender<u64>,
}

impl Trust {
    /// Reads all files. Fails if the peer's own certificate is not good: nobody would accept it.
    pub fn open(dir: &Path, config: &Config) -> Result<Self, TrustError> {
        let certificate_dir = dir.join(&config.certificate_dir);
        let authority_dir = dir.join(&config.authority_dir);
        let stamps = stamps(&certificate_dir, &authority_dir);
        let credentials = Credentials::load(&certificate_dir)?;
        let bundle = bundle(&certificate_dir, &authority_dir)?;
        let at = clock::now();
        // The consortium is what the own certificate says once its path has led to one of the anchors.
        let verified = ca::verify_path(&credentials.path, &bundle.anchors, None, at, Usage::ServerAuth)?;
        let consortium = verified.identity().consortium().to_owned();
        let policy = RevocationPolicy::default();
        let store = TrustStore::new(&consortium, bundle.anchors.clone(), bundle.issuing.clone(), policy)?;
        install(&store, &bundle);
        let verified = store.verify(&credentials.path, at, Usage::ServerAuth)?;
        Ok(Self {
            certificate_dir,
            authority_dir,
            store: Arc::new(store),
            own: credentials.own_certificate()?,
            own_certificate: ArcSwap::from_pointee(verified),
            bundle: ArcSwap::from_pointee(bundle),
            seen: Mutex::new(Seen { stamps, whole: true }),
            changes: watch::Sender::new(0),
        })
    }

    /// The folder with the peer's own certificate.
    pub fn certificate_dir(&self) -> &Path {
        &self.certificate_dir
    }

    /// The directory that may hold the authorities' folder.
    pub fn authority_dir(&self) -> &Path {
        &self.authority_dir
    }

    /// The authorities' folder, if this machine has it.
    pub fn folder(&self) -> Result<Option<CertificateFolder>, FolderError> {
        let there = self.authority_dir.join("ca").join("index.jsonl").exists();
        there.then(|| CertificateFolder::open(&self.authority_dir)).transpose()
    }

    /// What TLS and path verification use.
    pub const fn store(&self) -> &Arc<TrustStore> {
        &self.store
    }

    /// The certificate that TLS shows.
    pub const fn own(&self) -> &Arc<OwnCertificate> {
        &self.own
    }

    /// The peer's own certificate as it was verified last.
    pub fn own_certificate(&self) -> Arc<VerifiedCertificate> {
        self.own_certificate.load_full()
    }

    /// Who this peer is.
    pub fn identity(&self) -> Identity {
        self.own_certificate.load().identity().clone()
    }

    /// CAs and CRLs as they were read last.
    pub fn bundle(&self) -> Arc<TrustBundle> {
        self.bundle.load_full()
    }

    /// CA certificates that vouch for an organization: its issuing CAs, or its own roots. Of several certificates of
    /// one CA the one that ends last.
    pub fn authorities_of(&self, organization: &str) -> Vec<HexBytes> {
        let bundle = self.bundle.load();
        let all = bundle.anchors.iter().chain(&bundle.issuing);
        let of_it = all.filter(|der| {
            AuthorityScope::of_certificate(der).is_ok_and(|scope| scope.organization.as_deref() == Some(organization))
        });
        ca::reissue::newest(of_it.cloned()).into_iter().map(HexBytes).collect()
    }

    /// Counts changes of trust: whoever holds a verified certificate judges it again when this moves.
    pub fn generation(&self) -> u64 {
        *self.changes.borrow()
    }

    /// Wakes when trust has changed.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Looks whether files have changed, and takes them into force. Cheap when nothing has. Returns whether anything
    /// new was read.
    pub fn poll(&self) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = stamps(&self.certificate_dir, &self.authority_dir);
        let changed = seen.stamps != stamps;
        if !changed && seen.whole {
            return false;
        }
        let read = bundle(&self.certificate_dir, &self.authority_dir);
        *seen = Seen { stamps, whole: read.is_ok() };
        match read {
            Ok(bundle) => {
                if let Err(error) = self.store.replace(bundle.anchors.clone(), bundle.issuing.clone()) {
                    tracing::error!(error = describe(&error), "the CA certificates are not usable: the old ones stay");
                }
                install(&self.store, &bundle);
                self.bundle.store(Arc::new(bundle));
            }
            // Said once.
            Err(_) if !changed => return false,
            Err(error) => tracing::error!(error = describe(&error), "trust cannot be read: the old one stays"),
        }
        if let Err(error) = self.renew() {
            tracing::error!(error = describe(&error), "the peer's certificate is not usable: the old one stays");
        }
        self.changes.send_modify(|generation| *generation += 1);
        true
    }

    /// Takes a renewed certificate of the same identity into use.
    fn renew(&self) -> Result<(), TrustError> {
        let credentials = Credentials::load(&self.certificate_dir)?;
        let verified = self.store.verify(&credentials.path, clock::now(), Usage::ServerAuth)?;
        let current = self.own_certificate.load();
        if verified.fingerprint() == current.fingerprint() || verified.identity() != current.identity() {
            return Ok(());
        }
        let fits = self.own.replace(&credentials.path, &credentials.key);
        fits.map_err(|error| CredentialsError::Mismatch(error.to_string()))?;
        tracing::info!(not_after = %verified.not_after(), "a renewed certificate is in use");
        self.own_certificate.store(Arc::new(verified));
        Ok(())
    }

    /// When each CRL in force should have been replaced, by the CA's organization (`root` for a consortium's root).
    pub fn crl_updates(&self) -> BTreeMap<String, (Time, Time)> {
        let bundle = self.bundle.load();
        let mut updates = BTreeMap::new();
        for list in self.store.revocation().current().lists() {
            let mut issuers = bundle.anchors.iter().chain(&bundle.issuing);
            let issuer = issuers.find(|der| KeyId::of_certificate(der) == Some(list.issuer()));
            let scope = issuer.and_then(|der| AuthorityScope::of_certificate(der).ok());
            let name = scope.and_then(|scope| scope.organization).unwrap_or_else(|| "root".into());
            updates.insert(name, (list.this_update(), list.next_update()));
        }
        updates
    }

    /// The CRL in force of an organization's CA, or of the consortium's `root`; DER. It was verified when it was
    /// installed: to verify a long one for each request would let anybody keep the peer busy.
    pub fn crl(&self, organization: &str) -> Option<Vec<u8>> {
        let bundle = self.bundle.load();
        let current = self.store.revocation().current();
        let wanted = (organization != "root").then_some(organization);
        bundle.anchors.iter().chain(&bundle.issuing).find_map(|der| {
            let scope = AuthorityScope::of_certificate(der).ok()?;
            if scope.organization.as_deref() != wanted {
                return None;
            }
            current.list(&KeyId::of_certificate(der)?).map(|list| list.der().to_vec())
        })
    }

    /// All CRLs in force, DER.
    pub fn crls(&self) -> Vec<Vec<u8>> {
        self.store.revocation().current().lists().map(|list| list.der().to_vec()).collect()
    }

    /// Puts a CRL in force that somebody brought, and keeps it over a restart. It is verified under the CAs that this
    /// peer trusts, so it does not matter who brought it. `None` if it is in force already.
    pub fn learn(&self, crl: &[u8]) -> Result<Option<RevocationChange>, LearnError> {
        let change = self.store.install_crl(crl)?;
        if let Some(change) = &change {
            tracing::info!(revoked = change.revoked.len(), generation = change.generation, "a CRL was learned");
            // In force first: what cannot be written is still obeyed, until a restart fetches it again.
            self.changes.send_modify(|generation| *generation += 1);
            save_crls(&self.certificate_dir, &self.crls())?;
        }
        Ok(change)
    }

    /// The answer to an OCSP request, DER: signed beforehand, or an error (RFC 6960 §4.2.1) that says why not.
    /// Reads one file; whoever asks learns nothing that the CRL does not tell everybody.
    pub fn ocsp(&self, request: &[u8]) -> OcspReply {
        match ocsp::parse_request(request) {
            Err(_) => OcspReply::Error(&ocsp::MALFORMED_REQUEST),
            Ok(query) => {
                let folder = self.authority_dir.join("ca");
                let answer = query.and_then(|query| {
                    read_ocsp_answer(&folder, query.serial()).filter(|answer| ocsp::answers(answer, &query))
                });
                // RFC 5019 §2.2.3: what cannot be answered with what was signed beforehand.
                answer.map_or(OcspReply::Error(&ocsp::UNAUTHORIZED), OcspReply::Answer)
            }
        }
    }
}

/// What an OCSP request is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OcspReply {
    /// Signed by the CA.
    Answer(Vec<u8>),
    /// An unsigned refusal.
    Error(&'static [u8]),
}

/// Puts every CRL in force that is newer than the one that is.
fn install(store: &TrustStore, bundle: &TrustBundle) {
    for crl in &bundle.crls {
        match store.install_crl(crl) {
            Ok(None) => {}
            Ok(Some(change)) => {
                tracing::info!(revoked = change.revoked.len(), generation = change.generation, "a CRL is in force");
            }
            // The same CA's CRL may be in two folders, of which one is behind.
            Err(RevocationError::Older { .. }) => {}
            Err(error) => tracing::error!(error = describe(&error), "a CRL is refused"),
        }
    }
}

/// What the two folders hold together. The peer's own folder may lack everything but `ca.pem`.
fn bundle(certificate_dir: &Path, authority_dir: &Path) -> Result<TrustBundle, TrustError> {
    let mut all = TrustBundle::load(certificate_dir)?;
    if authority_dir.join("ca").join("index.jsonl").exists() {
        let folder = CertificateFolder::open(authority_dir)?.trust()?;
        for (mine, theirs) in
            [(&mut all.anchors, folder.anchors), (&mut all.issuing, folder.issuing), (&mut all.crls, folder.crls)]
        {
            for der in theirs {
                if !mine.contains(&der) {
                    mine.push(der);
                }
            }
        }
    }
    Ok(all)
}

/// Time, length and inode of every file that trust is read from. A file that vanishes is a change too.
fn stamps(certificate_dir: &Path, authority_dir: &Path) -> Vec<Stamp> {
    let mut stamps = Vec::new();
    let folder = authority_dir.join("ca");
    for dir in [certificate_dir, &folder, &folder.join("crl")] {
        let Ok(entries) = fs::read_dir(dir) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            if !path.extension().is_some_and(|extension| extension == "pem" || extension == "jsonl") {
                continue;
            }
            if let Ok(metadata) = entry.metadata() {
                stamps.push((
                    path,
                    metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                    metadata.len(),
                    inode(&metadata),
                ));
            }
        }
    }
    stamps.sort();
    stamps
}

#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::init::{InitOptions, init};
    use ca::{RevocationReason, folder::Selection};

    #[test]
    fn a_revocation_in_the_folder_is_in_force_after_a_poll() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("peer");
        init(&InitOptions::new(&dir, "harbour.example", "north")).unwrap();
        let config = Config::load(&dir).unwrap();
        let trust = Trust::open(&dir, &config).unwrap();
        assert_eq!(trust.identity().organization(), "north");
        assert_eq!(trust.authorities_of("north").len(), 1);
        assert!(trust.authorities_of("south").is_empty());
        assert!(trust.crl("north").is_some() && trust.crl("root").is_some() && trust.crl("south").is_none());
        assert!(!trust.poll(), "nothing has changed");

        let admin = Credentials::load(&dir.join("profiles/admin")).unwrap();
        let judge = || trust.store().verify(&admin.path, clock::now(), Usage::ClientAuth);
        let identity = judge().unwrap().identity().clone();
        let generation = trust.generation();
        let folder = CertificateFolder::open(&dir).unwrap();
        folder.revoke(&Selection::Identity(identity), RevocationReason::KeyCompromise, clock::now()).unwrap();
        assert!(trust.poll());
        assert_ne!(trust.generation(), generation);
        assert!(matches!(judge(), Err(PathError::Revocation { .. })));
        assert!(!trust.poll());

        // A broken file changes nothing of what is in force.
        fs::write(dir.join("ca/crl/north.pem"), "damaged").unwrap();
        assert!(trust.poll());
        assert!(matches!(judge(), Err(PathError::Revocation { .. })));
    }

    /// A read that failed once, as for want of a file descriptor, left the old CRLs in force until the next change.
    #[test]
    fn what_could_not_be_read_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("peer");
        init(&InitOptions::new(&dir, "harbour.example", "north")).unwrap();
        let trust = Trust::open(&dir, &Config::load(&dir).unwrap()).unwrap();
        let admin = Credentials::load(&dir.join("profiles/admin")).unwrap();
        let judge = || trust.store().verify(&admin.path, clock::now(), Usage::ClientAuth);
        let identity = judge().unwrap().identity().clone();
        let folder = CertificateFolder::open(&dir).unwrap();
        folder.revoke(&Selection::Identity(identity), RevocationReason::KeyCompromise, clock::now()).unwrap();

        // The same file to all appearances, once unreadable.
        let path = dir.join("ca/crl/north.pem");
        let crl = fs::read(&path).unwrap();
        let appear = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        };
        appear(&vec![b'-'; crl.len()]);
        assert!(trust.poll());
        assert!(!trust.poll(), "nothing new");
        assert!(judge().is_ok());
        appear(&crl);
        assert!(trust.poll());
        assert!(matches!(judge(), Err(PathError::Revocation { .. })));
        assert!(!trust.poll());
    }
}
