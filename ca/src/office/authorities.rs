//! How a folder and its CAs come to be: the consortium's root, issuing CAs below it, and roots of organizations.

use crate::{
    authority::{Authority, AuthorityError, Validity},
    keys::{
        error::KeyError,
        keyring::{KeyPlace, Keyring, NewKey},
        passphrase::PassphraseSource,
    },
    limits::{ISSUING_LIFETIME_MS, ROOT_LIFETIME_MS},
    office::{
        cause::Cause,
        error::{FolderError, file_error},
        event::Event,
        folder::CertificateFolder,
        locked_records::{self, LockedRecords},
        publication::write_crl,
        record::{AuthorityRecord, ROOT},
    },
};
use ledger_classes::primitives::identity::{Identity, Role};
use ledger_classes::primitives::time::Time;
use pki::trust::files::certificates_pem;
use std::path::Path;

impl CertificateFolder {
    /// Makes `<dir>/ca/` with a new consortium's root and its first CRL, and the passphrase of its keys beside it unless
    /// that is there.
    pub fn create(dir: &Path, consortium: &str, key: impl Into<KeyPlace>, now: Time) -> Result<Self, FolderError> {
        let passphrase = PassphraseSource::usual(dir);
        passphrase.make().map_err(KeyError::from)?;
        Self::create_with(dir, consortium, key, Keyring::new(passphrase), Cause::default(), now)
    }

    /// Makes `<dir>/ca/` with keys of a keyring, for a cause. The directory appears whole or not at all.
    pub fn create_with(
        dir: &Path,
        consortium: &str,
        key: impl Into<KeyPlace>,
        keys: Keyring,
        cause: Cause,
        now: Time,
    ) -> Result<Self, FolderError> {
        let directory = dir.join("ca");
        if directory.exists() {
            return Err(FolderError::Exists(directory.display().to_string()));
        }
        let key = keys.generate(&format!("{consortium} {ROOT}"), &key.into())?;
        let root = Authority::new_root(consortium, key.signer(), Validity::backdated(now, ROOT_LIFETIME_MS))?;
        let whole = files::Draft::begin(&directory).map_err(|source| file_error(&directory, source))?;
        let draft = whole.path().to_path_buf();
        for path in [draft.join("issued"), draft.join("crl")] {
            files::private_folders(&path).map_err(|source| file_error(&path, source))?;
        }
        locked_records::create(&draft, consortium, now)?;
        let folder = Self::at(draft.clone(), consortium.to_owned(), keys).because(cause);
        let mut records = folder.lock()?;
        add(&mut records, &root, &key, ROOT, ROOT, now)?;
        drop(records);
        whole.finish().map_err(|source| file_error(&directory, source))?;
        Ok(folder.moved(directory))
    }
}

/// Makes the CAs of organizations, certifies them again, replaces their keys, and lets them consent to go on.
#[derive(Clone, Copy, Debug)]
pub struct Authorities<'a> {
    pub(super) folder: &'a CertificateFolder,
}

impl Authorities<'_> {
    /// Adds an organization with an issuing CA under the consortium's root.
    pub fn add_organization(
        &self,
        organization: &str,
        key: impl Into<KeyPlace>,
        now: Time,
    ) -> Result<AuthorityRecord, FolderError> {
        let mut records = self.lock_for_new(organization)?;
        let issuer = records.root().to_owned();
        let root = records.load_in_force(&issuer)?;
        let validity = root.within(now, ISSUING_LIFETIME_MS);
        let key = records.keys.generate(organization, &key.into())?;
        let authority = root.issue_intermediate(organization, key.signer(), validity)?;
        add(&mut records, &authority, &key, organization, &issuer, now)
    }

    /// Adds an organization whose CA is a root of its own.
    pub fn add_organization_root(
        &self,
        organization: &str,
        key: impl Into<KeyPlace>,
        now: Time,
    ) -> Result<AuthorityRecord, FolderError> {
        let mut records = self.lock_for_new(organization)?;
        let validity = Validity::backdated(now, ISSUING_LIFETIME_MS);
        let key = records.keys.generate(organization, &key.into())?;
        let authority = Authority::new_organization_root(records.consortium(), organization, key.signer(), validity)?;
        add(&mut records, &authority, &key, organization, organization, now)
    }

    fn lock_for_new(&self, organization: &str) -> Result<LockedRecords, FolderError> {
        if organization == ROOT {
            return Err(FolderError::ReservedName);
        }
        // Before a token makes a key for it.
        Identity::new(self.folder.consortium(), organization, Role::Peer, "x").map_err(AuthorityError::Name)?;
        let records = self.folder.lock()?;
        if records.authorities().contains_key(organization) {
            return Err(FolderError::Exists(format!("the CA of {organization}")));
        }
        Ok(records)
    }
}

/// Files of a new CA, key first; then its record; then its first, empty CRL.
fn add(
    records: &mut LockedRecords,
    authority: &Authority,
    key: &NewKey,
    name: &str,
    issuer: &str,
    now: Time,
) -> Result<AuthorityRecord, FolderError> {
    records.keys.keep(records.layout.directory(), name, key)?;
    let certificate = authority.certificate().to_vec();
    records.write(&records.layout.shown(name), certificates_pem(&[certificate]).as_bytes())?;
    records.append(&Event::AuthorityAdded {
        name: name.into(),
        issuer: issuer.into(),
        serial: authority.serial().clone(),
        not_after: authority.validity().not_after,
        at: now,
    })?;
    write_crl(records, authority, name, now)?;
    records.authority(name).cloned()
}
