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
        event::Event,
        folder::{CertificateFolder, FolderError, file_error, within, write},
        index_file::{self, LockedDatabase},
        record::{AuthorityRecord, ROOT},
    },
};
use ledger_classes::primitives::identity::{Identity, Role};
use ledger_classes::primitives::time::Time;
use pki::{limits::BACKDATE_MS, trust::files::certificates_pem};
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
        let start = Time::from_millis(now.millis().saturating_sub(BACKDATE_MS));
        let key = keys.generate(&format!("{consortium} {ROOT}"), &key.into())?;
        let root = Authority::new_root(consortium, key.signer(), Validity::starting(start, ROOT_LIFETIME_MS))?;
        let whole = files::Draft::begin(&directory).map_err(|source| file_error(&directory, source))?;
        let draft = whole.path().to_path_buf();
        for path in [draft.join("issued"), draft.join("crl")] {
            files::private_folders(&path).map_err(|source| file_error(&path, source))?;
        }
        index_file::create(&draft, consortium, now)?;
        let folder = Self::at(draft.clone(), consortium.to_owned(), keys).because(cause);
        let mut database = folder.lock()?;
        folder.add(&mut database, &root, &key, ROOT, ROOT, now)?;
        drop(database);
        whole.finish().map_err(|source| file_error(&directory, source))?;
        Ok(folder.moved(directory))
    }

    /// Adds an organization with an issuing CA under the consortium's root.
    pub fn add_organization(
        &self,
        organization: &str,
        key: impl Into<KeyPlace>,
        now: Time,
    ) -> Result<AuthorityRecord, FolderError> {
        let mut database = self.lock_for_new(organization)?;
        let issuer = database.root().to_owned();
        let root = self.authority(&database, &issuer)?;
        let validity = within(&root, now, ISSUING_LIFETIME_MS);
        let key = self.keys.generate(organization, &key.into())?;
        let authority = root.issue_intermediate(organization, key.signer(), validity)?;
        self.add(&mut database, &authority, &key, organization, &issuer, now)
    }

    /// Adds an organization whose CA is a root of its own.
    pub fn add_organization_root(
        &self,
        organization: &str,
        key: impl Into<KeyPlace>,
        now: Time,
    ) -> Result<AuthorityRecord, FolderError> {
        let mut database = self.lock_for_new(organization)?;
        let start = Time::from_millis(now.millis().saturating_sub(BACKDATE_MS));
        let validity = Validity::starting(start, ISSUING_LIFETIME_MS);
        let key = self.keys.generate(organization, &key.into())?;
        let authority = Authority::new_organization_root(self.consortium(), organization, key.signer(), validity)?;
        self.add(&mut database, &authority, &key, organization, organization, now)
    }

    fn lock_for_new(&self, organization: &str) -> Result<LockedDatabase, FolderError> {
        if organization == ROOT {
            return Err(FolderError::ReservedName);
        }
        // Before a token makes a key for it.
        Identity::new(self.consortium(), organization, Role::Peer, "x").map_err(AuthorityError::Name)?;
        let database = self.lock()?;
        if database.authorities().contains_key(organization) {
            return Err(FolderError::Exists(format!("the CA of {organization}")));
        }
        Ok(database)
    }

    /// Files of a new CA, key first; then its record; then its first, empty CRL.
    fn add(
        &self,
        database: &mut LockedDatabase,
        authority: &Authority,
        key: &NewKey,
        name: &str,
        issuer: &str,
        now: Time,
    ) -> Result<AuthorityRecord, FolderError> {
        self.keys.keep(self.layout.directory(), name, key)?;
        let certificate = authority.certificate().to_vec();
        write(&self.layout.shown(name), &certificates_pem(&[certificate]))?;
        database.append(&Event::AuthorityAdded {
            name: name.into(),
            issuer: issuer.into(),
            serial: authority.serial().clone(),
            not_after: authority.validity().not_after,
            at: now,
        })?;
        self.write_crl(database, authority, name, now)?;
        database.authorities().get(name).cloned().ok_or_else(|| FolderError::UnknownAuthority(name.into()))
    }
}
