//! The CRLs in force: how they come into force, are kept in the peer's own folder, and are handed out.

use super::{LearnError, Trust, TrustFile};
use bytes::Bytes;
use ca::{
    CertificateFolder,
    office::{folder::FolderError, record::ROOT},
};
use ledger_classes::primitives::causes::in_one_line;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use pki::{
    AuthorityScope, KeyId, TrustStore,
    trust::{
        files::{CertificateFileError, crl_pem},
        revocation::{RevocationChange, RevocationError, RevocationList, RevocationSet},
    },
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, MutexGuard, PoisonError},
};

/// All CRLs in force, as they are handed out: made once for each set, whoever asks and how often.
#[derive(Debug)]
pub struct CrlSet {
    pub(super) generation: u64,
    /// Names the set ([`client::crl::set_tag`]).
    pub tag: String,
    /// Each of them.
    pub crls: Vec<Crl>,
}

/// A CRL in force, in both forms; clones share them.
#[derive(Clone, Debug)]
pub struct Crl {
    /// SHA-256 of the DER.
    pub digest: Hash,
    /// DER.
    pub der: Bytes,
    /// PEM.
    pub pem: Bytes,
}

impl CrlSet {
    /// The lists of a set. What was there before is not encoded again.
    pub(super) fn of(generation: u64, set: &RevocationSet, before: &[Crl]) -> Self {
        let known: HashMap<Hash, &Crl> = before.iter().map(|crl| (crl.digest, crl)).collect();
        let crl = |list: &Arc<RevocationList>| {
            let digest = Hash(*list.digest());
            known.get(&digest).map_or_else(
                || Crl { digest, der: Bytes::from_owner(Der(Arc::clone(list))), pem: crl_pem(list.der()).into() },
                |crl| Crl::clone(crl),
            )
        };
        let crls: Vec<Crl> = set.all().map(crl).collect();
        Self { generation, tag: client::crl::tag_of(crls.iter().map(|crl| crl.digest.0).collect()), crls }
    }

    /// One of them, by its SHA-256.
    pub fn find(&self, digest: &Hash) -> Option<&Crl> {
        self.crls.iter().find(|crl| crl.digest == *digest)
    }
}

/// A list's DER, not copied.
struct Der(Arc<RevocationList>);

impl AsRef<[u8]> for Der {
    fn as_ref(&self) -> &[u8] {
        self.0.der()
    }
}

/// What the peer has written of lists: it knows what is in there without reading it piece by piece.
#[derive(Debug)]
pub(super) struct Written {
    /// SHA-256 of the file.
    pub(super) digest: Hash,
    /// The lists in it of CAs that are not in force yet.
    pub(super) unknown: Vec<Vec<u8>>,
}

impl Trust {
    /// When each CRL in force should have been replaced, by the name of its CA (`names`).
    pub fn crl_updates(&self) -> BTreeMap<String, (Time, Time)> {
        let current = self.store.revocation().current();
        let dates = |key: &KeyId| current.list(key).map(|list| (list.this_update(), list.next_update()));
        self.names().into_iter().filter_map(|(name, key)| Some((name, dates(&key)?))).collect()
    }

    /// The CRL in force of a CA by its name (`names`), not copied. It was verified when it was installed: to verify a
    /// long one for each request would let anybody keep the peer busy.
    pub fn crl(&self, name: &str) -> Option<Crl> {
        let current = self.store.revocation().current();
        let (_, key) = self.names().into_iter().find(|(of, key)| of == name && current.list(key).is_some())?;
        let digest = Hash(*current.list(&key)?.digest());
        let find = || self.crl_set().find(&digest).cloned();
        find().or_else(|| {
            // It came into force at this moment.
            self.publish();
            find()
        })
    }

    /// Whether this very list is in force.
    pub fn is_in_force(&self, crl: &[u8]) -> bool {
        self.store.revocation().current().ders().any(|der| der == crl)
    }

    /// The CAs in force and their keys. An organization's is called like it, the consortium's `root`; another root beside
    /// it `root-` and the first 8 hex digits of its key's SHA-256, as in its subject.
    pub(super) fn names(&self) -> Vec<(String, KeyId)> {
        let bundle = self.bundle.load();
        let mut names: Vec<(String, KeyId)> = Vec::new();
        for der in bundle.anchors.iter().chain(&bundle.issuing) {
            let (Ok(scope), Some(key)) = (AuthorityScope::of_certificate(der), KeyId::of_certificate(der)) else {
                continue;
            };
            if names.iter().any(|(_, known)| *known == key) {
                continue;
            }
            let beside = names.iter().any(|(name, _)| name == ROOT);
            let name = match scope.organization {
                Some(organization) => organization,
                None if beside => format!("{ROOT}-{}", &key.to_string()[..8]),
                None => ROOT.into(),
            };
            names.push((name, key));
        }
        names
    }

    /// All CRLs in force, DER: the newest of each CA, and earlier ones that revoke what no newer one does.
    pub fn crls(&self) -> Vec<Vec<u8>> {
        self.store.revocation().current().ders().map(<[u8]>::to_vec).collect()
    }

    pub(super) fn written(&self) -> MutexGuard<'_, Option<Written>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps in the peer's own folder the CRLs in force, and those that were put there of CAs that are not in force yet.
    /// Only for who has [`Trust::exclusively`].
    pub(super) fn save_crls(&self) -> Result<(), CertificateFileError> {
        let file = TrustFile::crls_of(&self.certificate_dir);
        let text = file.text().unwrap_or_default();
        let mut there = match &*self.written() {
            // It is what was written last: lists of megabytes are not parsed to write them again.
            Some(Written { digest, unknown }) if *digest == Hash::plain(&[&text]) => unknown.clone(),
            _ => file.content(&text).whole,
        };
        drop(text);
        there.retain(|crl| matches!(self.store.install_crl(crl), Err(RevocationError::UnknownIssuer)));
        self.publish();
        let set = self.crl_set();
        let in_force = set.crls.iter().map(|crl| crl.pem.clone());
        let text = in_force.chain(there.iter().map(|crl| crl_pem(crl).into())).collect::<Vec<Bytes>>().concat();
        ::files::write_public(&file.path, &text).map_err(|source| CertificateFileError::of_file(&file.path, source))?;
        *self.written() = Some(Written { digest: Hash::plain(&[&text]), unknown: there });
        Ok(())
    }

    /// Keeps what the authorities' folder has brought into force beside the peer's certificate, too: a folder that comes back
    /// from a backup takes nothing back, also over a restart. A link there is somebody else's to change.
    pub(super) fn keep_crls(&self) {
        let file = TrustFile::crls_of(&self.certificate_dir);
        if file.path.is_symlink() {
            return;
        }
        let text = file.text().unwrap_or_default();
        let kept: HashSet<Hash> = file.content(&text).whole.iter().map(|crl| Hash::plain(&[crl])).collect();
        if self.crl_set().crls.iter().all(|crl| kept.contains(&crl.digest)) {
            return;
        }
        drop(text);
        if let Err(error) = self.exclusively(|| self.save_crls()) {
            tracing::warn!(
                error = in_one_line(&error),
                "the lists in force are not kept beside the peer's certificate"
            );
        }
    }

    /// Whether a CRL is the newest one of its CA in force.
    pub fn is_newest(&self, crl: &[u8]) -> bool {
        self.store.revocation().current().lists().any(|list| list.der() == crl)
    }

    /// What was wrong with the CRLs of the authorities' folder when it was looked at last.
    pub fn crl_troubles(&self) -> Arc<Vec<String>> {
        self.crl_troubles.load_full()
    }

    /// Looks at the CRLs of the authorities' folder. One that lacks what was revoked is in force nowhere. A folder whose
    /// number is below that in force came back from a backup: it knows less than it has published.
    pub fn judge_crls(&self) -> Result<(), FolderError> {
        let mut troubles = Vec::new();
        if let Some(folder) = self.folder()? {
            for name in folder.lacking_crls()? {
                troubles
                    .push(format!("the CRL of {name} lacks what was revoked: `chancery ca crl {name}` signs it again"));
            }
            for (name, number, in_force) in folder_behind(&folder, &self.store)? {
                troubles.push(format!(
                    "CRL {in_force} of {name} is in force, and the authorities' folder is at {number}: it is older than what \
                     it has published; what that revoked stays revoked, and `chancery ca list` does not know of it"
                ));
            }
        }
        if *self.crl_troubles.load_full() != troubles {
            for trouble in &troubles {
                tracing::error!(trouble, "a CRL of the authorities' folder");
            }
            self.crl_troubles.store(Arc::new(troubles));
        }
        Ok(())
    }

    /// All CRLs in force, as they are handed out.
    pub fn crl_set(&self) -> Arc<CrlSet> {
        self.crl_set.load_full()
    }

    /// Makes what is handed out again if another set is in force.
    pub(super) fn publish(&self) {
        let _one_at_a_time = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the set is read: one that is newer than its number is only made again.
        let generation = self.store.revocation().generation();
        let before = self.crl_set();
        if before.generation != generation {
            let set = self.store.revocation().current();
            self.crl_set.store(Arc::new(CrlSet::of(generation, &set, &before.crls)));
        }
    }

    /// Puts a CRL in force that somebody brought, and keeps it over a restart. It is verified under the CAs that this
    /// peer trusts, so it does not matter who brought it. `None` if it is in force already.
    pub fn learn(&self, crl: &[u8]) -> Result<Option<RevocationChange>, LearnError> {
        let change = self.store.install_crl(crl)?;
        if let Some(change) = &change {
            tracing::info!(newly_revoked = change.revoked.len(), generation = change.generation, "a CRL was learned");
            say_early(change);
            // In force first: what cannot be written is still obeyed, until a restart fetches it again.
            self.publish();
            self.changes.send_modify(|generation| *generation += 1);
            self.exclusively(|| self.save_crls())?;
        }
        Ok(change)
    }
}

/// The folder's CAs of which a newer CRL is in force than the folder knows of, with both numbers.
fn folder_behind(folder: &CertificateFolder, store: &TrustStore) -> Result<Vec<(String, u64, u128)>, FolderError> {
    let current = store.revocation().current();
    let mut behind = Vec::new();
    for record in folder.authorities()? {
        let key = KeyId::of_certificate(&folder.authority_certificate(&record.name)?);
        if let Some(list) = key.and_then(|key| current.list(&key))
            && list.number() > u128::from(record.crl_number)
        {
            behind.push((record.name, record.crl_number, list.number()));
        }
    }
    Ok(behind)
}

/// Puts every CRL in force that is newer than the one that is.
pub(super) fn install<'a>(store: &TrustStore, crls: impl IntoIterator<Item = &'a Vec<u8>>) {
    for crl in crls {
        match store.install_crl(crl) {
            Ok(None) => {}
            Ok(Some(change)) => {
                tracing::info!(
                    newly_revoked = change.revoked.len(),
                    generation = change.generation,
                    "a CRL is in force"
                );
                say_early(&change);
            }
            // The same CA's CRL may be in two folders, of which one is behind.
            Err(RevocationError::Older { .. }) => {}
            // As of a root that was replaced: who is certified by nobody here has nobody to revoke.
            Err(RevocationError::UnknownIssuer) => tracing::debug!("a CRL of a CA that is not trusted is passed over"),
            Err(error) => tracing::error!(error = in_one_line(&error), "a CRL is refused"),
        }
    }
}

/// A clock is wrong: the CA's, or this one.
fn say_early(change: &RevocationChange) {
    if let Some(made) = change.early {
        let what =
            "a CRL is of the future: what it revokes is revoked, and the one before it stays in force until then";
        tracing::warn!(%made, "{what}; compare the clocks, and have the CA sign another one");
    }
}
