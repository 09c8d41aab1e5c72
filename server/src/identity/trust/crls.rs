//! The CRLs in force: how they come into force, are kept in the peer's own folder, and are handed out.

use super::{
    Trust, TrustFile,
    crl_set::{Crl, CrlSet, Written, say_early},
};
use bytes::Bytes;
use ca::{
    Records,
    office::{error::FolderError, record::ROOT},
};
use ledger_classes::primitives::causes::in_one_line;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use pki::{
    AuthorityScope, KeyId, TrustStore,
    trust::{
        files::{CertificateFileError, crl_pem},
        revocation::{RevocationChange, RevocationError},
    },
};
use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, MutexGuard, PoisonError},
};

/// Why a CRL is not learned.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// It is not one of a CA that is trusted here, or older than the one in force.
    #[error("the CRL is not taken")]
    Refused(#[from] RevocationError),
    /// It is in force, but not on disk.
    #[error("the CRL is in force, but cannot be kept")]
    Kept(#[from] CertificateFileError),
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
            let records = folder.records()?;
            for name in records.lacking_crls() {
                troubles
                    .push(format!("the CRL of {name} lacks what was revoked: `chancery ca crl {name}` signs it again"));
            }
            for (name, number, in_force) in folder_behind(&records, &self.store)? {
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
fn folder_behind(records: &Records, store: &TrustStore) -> Result<Vec<(String, u64, u128)>, FolderError> {
    let current = store.revocation().current();
    let mut behind = Vec::new();
    for record in records.authorities().values() {
        let key = KeyId::of_certificate(&records.authority_certificate(&record.name)?);
        if let Some(list) = key.and_then(|key| current.list(&key))
            && list.number() > u128::from(record.crl_number)
        {
            behind.push((record.name.clone(), record.crl_number, list.number()));
        }
    }
    Ok(behind)
}
