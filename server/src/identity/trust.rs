//! Whom this peer trusts at this moment, kept up to date from the files: what `chancery ca revoke` writes in another
//! process takes effect here within a second.
//!
//! The anchors are the union of the authorities' folder and of the peer's own certificate directory. Nothing that has
//! expired and no file that is damaged keeps a peer from starting or serving: an expired CA or CRL concerns its own
//! organization, the peer's own certificate concerns those who would connect to it, and what cannot be read changes
//! nothing of what is in force. Each is said in the log, and counted.

mod answers;
mod brought;
mod crl_set;
mod crls;
mod door;
mod files;

use crate::{
    certificates::authority_keys::key_of,
    clock,
    identity::stamp::Stamp,
    limits::{NOTED_WAIT, OWN_CERTIFICATE_LOOK, SHORT_CRL_BYTES_MAX},
    memory::Parts,
    setup::config::Config,
};
pub use answers::AnswerError;
use arc_swap::ArcSwap;
pub use brought::{BroughtAnswer, BroughtAnswers};
use ca::{
    CertificateFolder, KeyPair, Keyring, Successor,
    holder::{credentials::CredentialsError, own_certificate::OwnCertificate},
    office::{error::FolderError, publication::read_ocsp_answer},
};
pub use crl_set::{Crl, CrlSet};
use crl_set::{Written, install};
pub use crls::LearnError;
use files::TrustFiles;
use ledger_classes::primitives::causes::in_one_line;
use ledger_classes::primitives::hash::{Hash, HexBytes};
use ledger_classes::primitives::identity::{Identity, Role};
use pki::{
    AuthorityScope, KeyId, LeafClaims, RevocationPolicy, TrustStore, Usage,
    trust::{
        bundle::TrustBundle,
        files::{TrustFile, read_certificates},
        revocation::RevocationSet,
        store::acceptable,
        validation::PathError,
    },
    x509::{certificate::ProfileError, ocsp},
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};
use tokio::sync::watch;

/// Why the peer's certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The peer's own folder.
    #[error("the peer's certificate directory")]
    Credentials(#[from] CredentialsError),
    /// The authorities' folder.
    #[error("the authorities' folder")]
    Folder(#[from] FolderError),
    /// The CAs.
    #[error("the CA certificates")]
    Authorities(#[from] pki::trust::store::TrustError),
    /// The peer's own certificate is none of our profile.
    #[error("the peer's own certificate")]
    Own(#[from] ProfileError),
    /// The peer's own certificate is somebody else's.
    #[error("the certificate is {0}'s, which is no peer")]
    NotPeer(Identity),
    /// Nobody would accept the new certificate, while the old one is good.
    #[error("the new certificate would not be accepted")]
    NotAccepted(#[source] PathError),
}

/// What was looked at last.
#[derive(Debug)]
struct FilesRead {
    files: TrustFiles,
    stamps: Vec<(PathBuf, Stamp)>,
    /// Whether a file could have changed after it was read without another stamp.
    fresh: bool,
    /// Whether all of it could be read. What could not is read again even if nothing changes: a peer that was out of
    /// file descriptors at the wrong moment must not miss a revocation.
    whole: bool,
    /// What was said of the peer's own certificate, and when it was judged.
    standing: Result<(), PathError>,
    judged: Instant,
}

/// The peer's own path, leaf first, with what the leaf says.
#[derive(Debug)]
struct OwnPath {
    path: Vec<Vec<u8>>,
    claims: Arc<LeafClaims>,
}

/// The trust of a running peer.
#[derive(Debug)]
pub struct Trust {
    certificate_dir: PathBuf,
    authority_dir: PathBuf,
    keys: Keyring,
    /// The authorities' folder, which knows its index as far as it was read.
    opened: Mutex<Option<CertificateFolder>>,
    /// Bytes of the answers that are kept.
    answers_bytes_max: usize,
    /// The answers that were brought, once they were read.
    brought: Mutex<Option<Arc<BroughtAnswers>>>,
    /// Why the CAs of the authorities' folder sign nothing, if so.
    fenced: Option<String>,
    store: Arc<TrustStore>,
    own: Arc<OwnCertificate>,
    own_path: ArcSwap<OwnPath>,
    bundle: ArcSwap<TrustBundle>,
    /// CAs of the authorities' folder that others have replaced.
    successors: ArcSwap<Vec<Successor>>,
    crl_set: ArcSwap<CrlSet>,
    crl_troubles: ArcSwap<Vec<String>>,
    seen: Mutex<FilesRead>,
    /// Held by who writes the peer's own folder from what is in force or in it: an older set must not replace a newer.
    saving: Mutex<()>,
    /// Held while what is handed out is made again.
    publishing: Mutex<()>,
    /// The peer's own `crl.pem`, if the peer has written it last.
    written: Mutex<Option<Written>>,
    changes: watch::Sender<u64>,
    /// The change up to which it is noted what revocations are owed to the channels.
    noted: watch::Sender<u64>,
}

impl Trust {
    /// Reads all files. Fails only if the peer has no certificate and key of its own, or those of somebody who is no
    /// peer: then there is nothing to answer connections with. Whether others accept it now is another question
    /// ([`Trust::standing`]): a restart must not be refused for what time alone has done.
    pub fn open(dir: &Path, config: &Config) -> Result<Self, IdentityError> {
        let certificate_dir = dir.join(&config.certificate_dir);
        let authority_dir = dir.join(&config.authority_dir);
        let mut files = TrustFiles::new(&certificate_dir, &authority_dir);
        let stamps = files.stamps();
        let fresh = fresh(&stamps);
        let (own_path, key) = own(&certificate_dir)?;
        let own = tls(&own_path, &key)?;
        let reading = files.read(&stamps, false, None);
        report(&reading.damage);
        let consortium = own_path.claims.identity().consortium().to_owned();
        let bundle = usable(&consortium, reading.bundle);
        let policy = RevocationPolicy::default();
        let store = TrustStore::new(&consortium, bundle.anchors.clone(), bundle.issuing.clone(), policy)?;
        let store = store.with_clock(clock::now);
        install(&store, &bundle.crls);
        let bundle = TrustBundle { crls: Vec::new(), ..bundle };
        let whole = reading.damage.is_empty();
        let trust = Self {
            certificate_dir,
            authority_dir,
            keys: config.keyring(dir),
            opened: Mutex::default(),
            answers_bytes_max: Parts::of(config.limits.memory_bytes_max).brought,
            brought: Mutex::default(),
            fenced: None,
            store: Arc::new(store),
            own,
            own_path: ArcSwap::from_pointee(own_path),
            bundle: ArcSwap::from_pointee(bundle),
            successors: ArcSwap::from_pointee(reading.successors),
            crl_set: ArcSwap::from_pointee(CrlSet::of(0, &RevocationSet::default(), &[])),
            crl_troubles: ArcSwap::default(),
            saving: Mutex::new(()),
            publishing: Mutex::new(()),
            written: Mutex::default(),
            seen: Mutex::new(FilesRead { files, stamps, fresh, whole, standing: Ok(()), judged: Instant::now() }),
            changes: watch::Sender::new(0),
            noted: watch::Sender::new(0),
        };
        // Before anybody is judged.
        trust.read_answers_again();
        trust.publish();
        trust.keep_crls();
        trust.judge_own(&mut trust.seen.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(trust)
    }

    /// The same trust, of a peer that must issue nothing if there is a reason not to.
    #[must_use]
    pub fn behind(self, fenced: Option<String>) -> Self {
        Self { fenced, ..self }
    }

    /// The folder with the peer's own certificate.
    pub fn certificate_dir(&self) -> &Path {
        &self.certificate_dir
    }

    /// The directory that may hold the authorities' folder.
    pub fn authority_dir(&self) -> &Path {
        &self.authority_dir
    }

    /// The authorities' folder, if this machine has it. Its keys, and what was read of its index, stay from one call to
    /// the next. Behind a wrong fence it can only be read.
    pub fn folder(&self) -> Result<Option<CertificateFolder>, FolderError> {
        if !self.authority_dir.join("ca").join("index.jsonl").exists() {
            return Ok(None);
        }
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.is_none() {
            *opened = folder(&self.authority_dir, &self.keys)?;
        }
        Ok(opened.clone().map(|folder| folder.behind(self.fenced.clone())))
    }

    /// What TLS and path verification use.
    pub const fn store(&self) -> &Arc<TrustStore> {
        &self.store
    }

    /// The certificate that TLS shows.
    pub const fn own(&self) -> &Arc<OwnCertificate> {
        &self.own
    }

    /// What the peer's own certificate says.
    pub fn own_certificate(&self) -> Arc<LeafClaims> {
        Arc::clone(&self.own_path.load().claims)
    }

    /// The key of the CA that issued the peer's own certificate, if its path tells.
    pub fn own_issuer(&self) -> Option<KeyId> {
        self.own_path.load().path.get(1).and_then(|der| key_of(der))
    }

    /// Who this peer is.
    pub fn identity(&self) -> Identity {
        self.own_path.load().claims.identity().clone()
    }

    /// Whether those who connect accept the peer's own certificate at this moment, as far as the peer can tell.
    pub fn standing(&self) -> Result<(), PathError> {
        self.judge(&self.own_path.load())
    }

    fn judge(&self, own: &OwnPath) -> Result<(), PathError> {
        self.store.verify(&own.path, clock::now(), Usage::ServerAuth).map(|_| ())
    }

    /// CAs as they were read last, without CRLs.
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
        ca::office::reissue::newest(of_it.cloned()).into_iter().map(HexBytes).collect()
    }

    /// The keys of an organization's CAs that one of `authorities` has replaced, by the authorities' folder: until a channel
    /// lists the new one, whoever holds a certificate of it has there what the old one gave. Whoever has the folder had
    /// both keys; what may be signed the ledger decides alone.
    pub fn predecessors(&self, organization: &str, authorities: &[KeyId]) -> Vec<KeyId> {
        let all = self.successors.load();
        let of_it = all.iter().filter(|one| one.organization == organization && authorities.contains(&one.now));
        of_it.map(|one| one.before).collect()
    }

    /// Counts changes of trust: whoever holds a verified certificate judges it again when this moves.
    pub fn generation(&self) -> u64 {
        *self.changes.borrow()
    }

    /// What revocations up to this change are owed to the channels is noted: `status` tells of it.
    pub fn has_noted(&self, generation: u64) {
        self.noted.send_replace(generation);
    }

    /// Waits until it is noted what of what is revoked now is owed to the channels; for [`NOTED_WAIT`] at most. It does not
    /// wait for the channels: how long these take would tell how many there are that the caller does not see.
    pub async fn until_noted(&self) {
        let (wanted, mut noted) = (self.generation(), self.noted.subscribe());
        let reached = noted.wait_for(|generation| *generation >= wanted);
        // Who is answered earlier finds it noted a little later.
        let _ = tokio::time::timeout(NOTED_WAIT, reached).await;
    }

    /// Wakes when trust has changed.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Looks whether files have changed, and takes them into force. Cheap when nothing has. Returns whether anything
    /// new was read.
    pub fn poll(&self) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = seen.files.stamps();
        let changed = seen.stamps != stamps;
        let read = if changed || seen.fresh || !seen.whole {
            let sure = !seen.fresh;
            (seen.fresh, seen.stamps) = (fresh(&stamps), stamps);
            self.read(&mut seen, changed, sure)
        } else {
            false
        };
        let late = seen.judged.elapsed() >= OWN_CERTIFICATE_LOOK;
        if late && self.standing().is_err() {
            // A new one that was not acceptable when it came may be by now; why not was said then.
            self.renew().unwrap_or_default();
        }
        if read || late {
            self.judge_own(&mut seen);
        }
        read
    }

    /// Reads all files again, whether or not they show a change.
    pub fn read_again(&self) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).fresh = true;
        self.poll();
    }

    /// Takes the files into force. `changed` is what their stamps say: without it, what is wrong with them was said
    /// before, and all is as it was unless something can be read now that could not.
    /// `sure`: no file has changed since the last reading without another stamp.
    fn read(&self, seen: &mut FilesRead, changed: bool, sure: bool) -> bool {
        let written = self.written().as_ref().map(|written| written.digest);
        let reading = seen.files.read(&seen.stamps, sure, written);
        seen.whole = reading.damage.is_empty();
        if changed {
            report(&reading.damage);
        } else if !reading.news {
            return false;
        }
        let bundle = usable(self.store.consortium(), reading.bundle);
        let (before, in_force) = (self.bundle(), self.store.revocation().generation());
        if let Err(error) = self.store.replace(bundle.anchors.clone(), bundle.issuing.clone()) {
            tracing::error!(error = in_one_line(&error), "the CA certificates are not usable: the old ones stay");
        }
        let is_short = |crl: &&Vec<u8>| crl.len() <= SHORT_CRL_BYTES_MAX;
        let (short, long): (Vec<_>, Vec<_>) = bundle.crls.iter().partition(is_short);
        install(&self.store, short);
        if !long.is_empty() {
            // Whoever is revoked by a short list is out before a long one is verified.
            self.changes.send_modify(|generation| *generation += 1);
            install(&self.store, long);
        }
        self.successors.store(Arc::new(reading.successors));
        if (&bundle.anchors, &bundle.issuing) != (&before.anchors, &before.issuing) {
            self.read_answers_again();
        }
        self.publish();
        self.bundle.store(Arc::new(TrustBundle { crls: Vec::new(), ..bundle }));
        if let Err(error) = self.renew() {
            tracing::error!(error = in_one_line(&error), "the peer's certificate is not usable: the old one stays");
        }
        self.changes.send_modify(|generation| *generation += 1);
        if self.store.revocation().generation() != in_force {
            self.keep_crls();
            // What the peer has written itself is no news.
            seen.stamps = seen.files.restamp(std::mem::take(&mut seen.stamps));
        }
        true
    }

    /// Says in the log when the peer's own certificate stops or begins to be accepted.
    fn judge_own(&self, seen: &mut FilesRead) {
        let standing = self.standing();
        match &standing {
            Err(why) if seen.standing.as_ref() != Err(why) => {
                let error = in_one_line(why);
                tracing::error!(error, "the peer's own certificate is not accepted: renew it; the peer serves on");
            }
            Ok(()) if seen.standing.is_err() => tracing::info!("the peer's own certificate is accepted again"),
            _ => {}
        }
        (seen.standing, seen.judged) = (standing, Instant::now());
    }

    /// Takes a renewed certificate of the same identity into use. One that is not accepted does not replace one that
    /// is.
    fn renew(&self) -> Result<(), IdentityError> {
        let (next, key) = own(&self.certificate_dir)?;
        let current = self.own_path.load();
        // The same certificate may come with another path, under a root that replaces the old one.
        if next.path == current.path || next.claims.identity() != current.claims.identity() {
            return Ok(());
        }
        if let Err(why) = self.judge(&next)
            && self.judge(&current).is_ok()
        {
            return Err(IdentityError::NotAccepted(why));
        }
        let fits = self.own.replace(&next.path, &key);
        fits.map_err(|error| CredentialsError::Mismatch(error.to_string()))?;
        tracing::info!(not_after = %next.claims.not_after(), "a renewed certificate is in use");
        self.own_path.store(Arc::new(next));
        Ok(())
    }

    /// Runs what reads and then writes the peer's own folder, one at a time. It must not call [`Trust::poll`] or
    /// [`Trust::learn`].
    pub fn exclusively<T>(&self, work: impl FnOnce() -> T) -> T {
        let _one_at_a_time = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        // `ca trust` writes there, too. What cannot be held cannot be written either, which is said then.
        let _held = pki::trust::exchange::hold(&self.certificate_dir);
        work()
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

fn fresh(stamps: &[(PathBuf, Stamp)]) -> bool {
    let now = clock::now();
    stamps.iter().any(|(_, stamp)| stamp.is_fresh(now))
}

/// The authorities' folder, if it is there.
pub fn folder(authority_dir: &Path, keys: &Keyring) -> Result<Option<CertificateFolder>, FolderError> {
    let there = authority_dir.join("ca").join("index.jsonl").exists();
    let open = || CertificateFolder::open(authority_dir).map(|folder| folder.with_keys(keys.clone()));
    there.then(open).transpose()
}

/// What an OCSP request is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OcspReply {
    /// Signed by the CA.
    Answer(Vec<u8>),
    /// An unsigned refusal.
    Error(&'static [u8]),
}

/// The peer's own path and key.
fn own(certificate_dir: &Path) -> Result<(OwnPath, KeyPair), IdentityError> {
    let path = read_certificates(&certificate_dir.join("cert.pem")).map_err(CredentialsError::from)?;
    let key = KeyPair::load(&certificate_dir.join("key.pem")).map_err(CredentialsError::from)?;
    let claims = LeafClaims::of_certificate(path.first().map_or(&[], Vec::as_slice))?;
    if claims.identity().role() != Role::Peer {
        return Err(IdentityError::NotPeer(claims.identity().clone()));
    }
    Ok((OwnPath { path, claims: Arc::new(claims) }, key))
}

fn tls(own: &OwnPath, key: &KeyPair) -> Result<Arc<OwnCertificate>, CredentialsError> {
    OwnCertificate::new(&own.path, key).map_err(|error| CredentialsError::Mismatch(error.to_string()))
}

fn report(damage: &[String]) {
    for error in damage {
        tracing::error!(error, "trust cannot be read whole: what this file held before stays");
    }
}

/// Leaves out CAs that cannot be trusted beside the others.
fn usable(consortium: &str, bundle: TrustBundle) -> TrustBundle {
    let cas = acceptable(consortium, &bundle.anchors, &bundle.issuing);
    for (der, why) in cas.refused {
        let (certificate, error) = (Hash::plain(&[&der]), in_one_line(&why));
        tracing::error!(%certificate, error, "a CA certificate is passed over");
    }
    TrustBundle { anchors: cas.anchors, issuing: cas.issuing, ..bundle }
}

#[cfg(test)]
mod tests;
