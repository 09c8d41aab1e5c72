//! The administrator's certificates directory, `<dir>/ca/`: keys, CA certificates, CRLs and what was issued.
//!
//! ```text
//! index.jsonl            what was done (database.rs)
//! lock                   held by the one process that writes
//! root.pem root.key      the consortium's root; the key may be taken offline
//! <org>.pem <org>.key    issuing CAs, one for each organization; the newest certificate; keys are encrypted
//! <name>.token.toml      instead of a key: where the token is that has it
//! authorities/<serial>.pem  every certificate of a CA that has had several (reissue.rs)
//! issued/<serial>.pem    every leaf
//! crl/<name>.pem         the newest CRL of each CA
//! ocsp/<serial>.der      the newest OCSP answer about each certificate
//! ```
//!
//! No certificate is signed before its intention is recorded; no revocation is forgotten because the CRL could not be
//! written: the next CRL carries it.

pub use crate::office::publication::read_ocsp_answer;
use crate::{
    authority::{Authority, AuthorityError, LeafRequest, Validity},
    holder::credentials::{Credentials, CredentialsError},
    keys::{
        keyring::{KeyPlace, Keyring, NewKey},
        pair::{KeyError, KeyPair},
        passphrase::PassphraseSource,
    },
    limits::{CRL_LIFETIME_MS, ISSUING_LIFETIME_MS, LEAF_LIFETIME_MS, ROOT_CRL_LIFETIME_MS, ROOT_LIFETIME_MS},
    office::{
        audit_trail::Cause,
        database::{
            AuthorityCertificate, AuthorityRecord, CertificateRecord, CertificateStatus, Database, DatabaseError,
            Event, LockedDatabase,
        },
        enrolment::{RequestId, Terms},
        key_compromise::{self, Revoked, renewed_by, with_their_keys},
        known::Known,
        publication::status,
    },
};
use ledger_classes::{
    identity::{Identity, Role},
    time::Time,
};
use pki::{
    limits::BACKDATE_MS,
    trust::files::{CertificateFileError, certificates_pem, read_certificates},
    x509::{
        certificate::Certificate,
        identifiers::{AlternativeName, KeyId, RevocationReason, Serial, sha256},
        ocsp,
        public_key::{KeyAlgorithm, PublicKey},
    },
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The name of the consortium's root among the CAs of a folder.
pub const ROOT: &str = "root";

/// Why the folder does not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// There is one already.
    #[error("{0} exists already")]
    Exists(String),
    /// No CA of this organization is here.
    #[error("no CA of {0} is in this folder")]
    UnknownAuthority(String),
    /// `root` names the consortium's root.
    #[error("an organization cannot be called root")]
    ReservedName,
    /// The consortium's root is not certified again under its key.
    #[error("the consortium's root is not reissued: it is replaced, with `chancery ca rollover`")]
    RootReissue,
    /// The CA was revoked.
    #[error("the CA of {0} is revoked")]
    AuthorityRevoked(String),
    /// The CA's own certificate has expired: what it would issue would be expired too.
    #[error("the certificate of the CA of {0} expired at {1}: certify it again (`chancery ca reissue`)")]
    AuthorityExpired(String, Time),
    /// Nothing issued fits.
    #[error("no certificate {0} was issued here")]
    UnknownCertificate(String),
    /// The index knows it.
    #[error("certificate {0} is in the index, as issued by the CA of {1}: revoke it without naming the organization")]
    KnownCertificate(String, String),
    /// A peer of another organization is known under this name or address.
    #[error("{0} is a name of {1}: two organizations' peers of one name are taken for each other")]
    HostTaken(AlternativeName, Box<Identity>),
    /// A certificate with this key was revoked because others have the key.
    #[error("the key was revoked as compromised: no certificate is issued for it again; make a new key")]
    CompromisedKey,
    /// The folder is not where it was: its CAs sign elsewhere, or nobody knows.
    #[error("its CAs sign nothing here: {0}")]
    Fenced(String),
    /// Signing.
    #[error("the CA refuses")]
    Authority(#[from] AuthorityError),
    /// The key file.
    #[error("a private key")]
    Key(#[from] KeyError),
    /// The index.
    #[error("the certificate database")]
    Database(#[from] DatabaseError),
    /// Certificate files.
    #[error("a certificate file")]
    Credentials(#[from] CredentialsError),
    /// Any other file.
    #[error("file {path}")]
    File {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl From<CertificateFileError> for FolderError {
    fn from(error: CertificateFileError) -> Self {
        Self::Credentials(error.into())
    }
}

/// What a leaf is issued with.
#[derive(Clone, Debug)]
pub struct LeafOptions {
    /// The algorithm of the key that is made with it.
    pub algorithm: KeyAlgorithm,
    /// Host names and addresses: for peers.
    pub alternative_names: Vec<AlternativeName>,
    /// Lifetime in milliseconds; cut at the end of the CA's own.
    pub lifetime_ms: u64,
}

impl Default for LeafOptions {
    fn default() -> Self {
        Self { algorithm: KeyAlgorithm::default(), alternative_names: Vec::new(), lifetime_ms: LEAF_LIFETIME_MS }
    }
}

impl LeafOptions {
    fn terms(&self) -> Terms {
        Terms { alternative_names: self.alternative_names.clone(), lifetime_ms: self.lifetime_ms }
    }
}

/// What a leaf is issued for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Purpose {
    /// The request that it answers.
    pub(crate) request: Option<RequestId>,
    /// The certificate that it continues.
    pub(crate) renews: Option<Serial>,
}

/// What to revoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// One certificate.
    Serial(Serial),
    /// Every certificate of an identity that could still be used, or be renewed; all of them if none could.
    Identity(Identity),
}

/// The directory.
#[derive(Clone, Debug)]
pub struct CertificateFolder {
    pub(crate) directory: PathBuf,
    consortium: String,
    pub(crate) keys: Keyring,
    /// Who does what is done from here on, and why.
    pub(crate) cause: Cause,
    /// Why nothing is signed or changed, if so.
    fenced: Option<String>,
    /// The index, as far as it was read.
    known: Known,
}

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
        Database::create(&draft, consortium, now)?;
        let (consortium, known) = (consortium.to_owned(), Known::default());
        let folder = Self { directory: draft.clone(), consortium, keys, cause, fenced: None, known };
        let mut database = folder.lock()?;
        folder.add(&mut database, &root, &key, ROOT, ROOT, now)?;
        drop(database);
        whole.finish().map_err(|source| file_error(&directory, source))?;
        Ok(Self { directory, known: Known::default(), ..folder })
    }

    /// Opens `<dir>/ca/`. The passphrase of its keys is looked for beside it.
    pub fn open(dir: &Path) -> Result<Self, FolderError> {
        let directory = dir.join("ca");
        let known = Known::default();
        let consortium = known.read(&directory)?.0.consortium().to_owned();
        let keys = Keyring::new(PassphraseSource::usual(dir));
        Ok(Self { directory, consortium, keys, cause: Cause::default(), fenced: None, known })
    }

    /// The same folder with a keyring of the caller's.
    pub fn with_keys(self, keys: Keyring) -> Self {
        Self { keys, ..self }
    }

    /// The same folder, of which nothing is signed and nothing changed, if there is a reason not to. What it holds can
    /// be read.
    pub fn behind(self, fenced: Option<String>) -> Self {
        Self { fenced, ..self }
    }

    /// Why nothing is signed or changed, if so.
    pub fn fenced(&self) -> Option<&str> {
        self.fenced.as_deref()
    }

    fn check_fence(&self) -> Result<(), FolderError> {
        self.fenced.as_ref().map_or(Ok(()), |why| Err(FolderError::Fenced(why.clone())))
    }

    /// Keeps everybody from changing the folder for as long as the value lives; waits for whoever does now.
    pub fn hold(&self) -> Result<impl Sized + use<>, FolderError> {
        self.lock()
    }

    /// The trust domain.
    pub fn consortium(&self) -> &str {
        &self.consortium
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
        let authority = Authority::new_organization_root(&self.consortium, organization, key.signer(), validity)?;
        self.add(&mut database, &authority, &key, organization, organization, now)
    }

    /// Issues a leaf for a key of which the caller has a proof of possession. Returns its path, leaf first.
    pub fn issue(
        &self,
        identity: &Identity,
        public_key: &PublicKey,
        options: &LeafOptions,
        now: Time,
    ) -> Result<Vec<Vec<u8>>, FolderError> {
        let mut database = self.lock()?;
        let purpose = Purpose::default();
        self.issue_locked(&mut database, identity, public_key, options.terms(), purpose, now)
    }

    /// The right to write, without which nothing is signed either.
    pub(crate) fn lock(&self) -> Result<LockedDatabase, FolderError> {
        self.check_fence()?;
        Ok(LockedDatabase::open(&self.directory, self.cause.clone(), &self.known)?)
    }

    /// The state, without the right to write.
    pub(crate) fn read(&self) -> Result<Arc<Database>, FolderError> {
        Ok(self.known.read(&self.directory)?.0)
    }

    /// Records the intention, signs, records. The last door for whatever way led here: no compromised key passes.
    pub(crate) fn issue_locked(
        &self,
        database: &mut LockedDatabase,
        identity: &Identity,
        public_key: &PublicKey,
        terms: Terms,
        purpose: Purpose,
        now: Time,
    ) -> Result<Vec<Vec<u8>>, FolderError> {
        let name = identity.organization();
        key_compromise::check(database, name, public_key)?;
        let authority = self.authority(database, name)?;
        // A renewal asks for no other names than there were.
        if purpose.renews.is_none() {
            self.check_hosts(database, identity, &terms.alternative_names, now)?;
        }
        if authority.validity().not_after <= now {
            return Err(FolderError::AuthorityExpired(name.into(), authority.validity().not_after));
        }
        let validity = within(&authority, now, terms.lifetime_ms);
        let serial = Authority::draw_serial()?;
        database.append(&Event::Intended {
            authority: name.into(),
            serial: serial.clone(),
            identity: identity.clone(),
            not_before: whole_second(validity.not_before),
            not_after: whole_second(validity.not_after),
            key: Some(KeyId::of_spki(&public_key.spki()).to_string()),
            request: purpose.request,
            renews: purpose.renews,
            at: now,
        })?;
        let alternative_names = &terms.alternative_names;
        let request = LeafRequest { identity, public_key, alternative_names, validity };
        let leaf = authority.issue_leaf_with_serial(&request, serial.clone())?;
        let file = self.directory.join("issued").join(format!("{serial}.pem"));
        let path = match database.authorities().get(name) {
            Some(record) if record.issuer != record.name => vec![leaf.clone(), authority.certificate().to_vec()],
            _ => vec![leaf.clone()],
        };
        write(&file, &certificates_pem(&path))?;
        self.write_answer(&authority, &serial, ocsp::Status::Good, now, CRL_LIFETIME_MS)?;
        database.append(&Event::Issued { serial, fingerprint: hex::encode(sha256(&leaf)), at: now })?;
        Ok(path)
    }

    /// Refuses host names and addresses that a good certificate of another organization's peer has, as far as this folder's
    /// CAs have issued it: who dials that name would be answered by either. Names of one's own machine are everybody's.
    fn check_hosts(
        &self,
        database: &Database,
        identity: &Identity,
        names: &[AlternativeName],
        now: Time,
    ) -> Result<(), FolderError> {
        let asked: Vec<&AlternativeName> = names.iter().filter(|name| !name.is_own_machine()).collect();
        if asked.is_empty() {
            return Ok(());
        }
        let others = database.certificates().iter().filter(|record| {
            let of = &record.identity;
            of.role() == Role::Peer && of.organization() != identity.organization()
        });
        for record in others.filter(|record| record.status(now) == CertificateStatus::Valid) {
            let path = read_certificates(&self.directory.join("issued").join(format!("{}.pem", record.serial)))?;
            let leaf = path.first().and_then(|der| Certificate::parse(der).ok());
            let taken = leaf.and_then(|leaf| leaf.server_names().ok()).unwrap_or_default();
            if let Some(name) = asked.iter().find(|name| taken.contains(name)) {
                return Err(FolderError::HostTaken((*name).clone(), Box::new(record.identity.clone())));
            }
        }
        Ok(())
    }

    /// Issues a leaf with a new key into a profile's folder, which has none yet.
    pub fn issue_profile(
        &self,
        identity: &Identity,
        options: &LeafOptions,
        into: &Path,
        now: Time,
    ) -> Result<Credentials, FolderError> {
        for name in ["key.pem", "cert.pem"] {
            if into.join(name).exists() {
                return Err(FolderError::Exists(into.join(name).display().to_string()));
            }
        }
        let key = KeyPair::generate(options.algorithm)?;
        let path = self.issue(identity, key.public(), options, now)?;
        let credentials = Credentials { path, key, trust: self.trust()? };
        credentials.save(into)?;
        Ok(credentials)
    }

    /// All leaves, in the order in which they were issued.
    pub fn list(&self) -> Result<Vec<CertificateRecord>, FolderError> {
        Ok(self.read()?.certificates().to_vec())
    }

    /// All CAs by name.
    pub fn authorities(&self) -> Result<Vec<AuthorityRecord>, FolderError> {
        Ok(self.read()?.authorities().values().cloned().collect())
    }

    /// One leaf and its path, leaf first; the path is empty while it is only intended.
    pub fn show(&self, serial: &Serial) -> Result<(CertificateRecord, Vec<Vec<u8>>), FolderError> {
        let database = self.read()?;
        let unknown = || FolderError::UnknownCertificate(serial.to_string());
        let record = database.certificate(serial).cloned().ok_or_else(unknown)?;
        let path = if record.fingerprint.is_some() { self.issued_path(&database, &record)? } else { Vec::new() };
        Ok((record, path))
    }

    /// Revokes leaves and reissues the CRLs that carry them. Revoking again only reissues the CRLs, which heals a
    /// revocation whose CRL could not be written. Where the reason is that others have the key, every certificate of it
    /// under the same CA is revoked. Returns what is revoked of what the selection names, newly or not.
    pub fn revoke(
        &self,
        selection: &Selection,
        reason: RevocationReason,
        now: Time,
    ) -> Result<Vec<CertificateRecord>, FolderError> {
        Ok(self.revoke_with(selection, reason, false, now)?.certificates)
    }

    /// As [`CertificateFolder::revoke`]; with `renewals` a compromised key takes with it what it was renewed to.
    pub fn revoke_with(
        &self,
        selection: &Selection,
        reason: RevocationReason,
        renewals: bool,
        now: Time,
    ) -> Result<Revoked, FolderError> {
        let mut database = self.lock()?;
        let mut selected: Vec<CertificateRecord> = match selection {
            Selection::Serial(serial) => database.certificate(serial).cloned().into_iter().collect(),
            Selection::Identity(identity) => {
                // An expired one can be renewed for a while: a usual renewal leaves one behind that is as good as a
                // certificate to whoever has its key.
                let all = || database.of_identity(identity).cloned();
                let renewable: Vec<_> = all().filter(|record| record.is_renewable(now)).collect();
                if renewable.is_empty() { all().collect() } else { renewable }
            }
        };
        if selected.is_empty() {
            return Err(FolderError::UnknownCertificate(match selection {
                Selection::Serial(serial) => serial.to_string(),
                Selection::Identity(identity) => identity.to_string(),
            }));
        }
        let compromised = reason == RevocationReason::KeyCompromise;
        if compromised {
            selected = with_their_keys(&database, selected, renewals);
        }
        let is_news = |record: &&CertificateRecord| {
            record.revoked.is_none_or(|revoked| compromised && revoked.reason != RevocationReason::KeyCompromise)
        };
        for record in selected.iter().filter(is_news) {
            database.append(&Event::Revoked { serial: record.serial.clone(), reason, at: now })?;
        }
        let mut authorities: Vec<&str> = selected.iter().map(|record| record.authority.as_str()).collect();
        authorities.sort_unstable();
        authorities.dedup();
        for name in authorities {
            let authority = self.load(&database, name)?;
            // Before the CRL: who learns of the revocation from it finds the answer that proves it.
            for record in selected.iter().filter(|record| record.authority == name) {
                let revoked = database.certificate(&record.serial).and_then(|record| record.revoked);
                self.write_answer(&authority, &record.serial, status(revoked), now, CRL_LIFETIME_MS)?;
            }
            self.write_crl(&mut database, &authority, name, now)?;
        }
        let now_known = |record: &CertificateRecord| database.certificate(&record.serial).cloned();
        let certificates: Vec<CertificateRecord> = selected.iter().filter_map(now_known).collect();
        let renewed = if compromised { renewed_by(&database, &certificates, now) } else { Vec::new() };
        Ok(Revoked { certificates, renewed })
    }

    /// Revokes an organization's issuing CA, and with it everything that it issued.
    pub fn revoke_organization(
        &self,
        organization: &str,
        reason: RevocationReason,
        now: Time,
    ) -> Result<(), FolderError> {
        let mut database = self.lock()?;
        let unknown = || FolderError::UnknownAuthority(organization.into());
        let record = database.authorities().get(organization).cloned().ok_or_else(unknown)?;
        // A root cannot revoke itself: it is removed from the anchors of those who trust it.
        if record.issuer == organization {
            return Err(unknown());
        }
        if record.revoked.is_none() {
            database.append(&Event::AuthorityRevoked { name: organization.into(), reason, at: now })?;
        }
        self.publish_revoked(&mut database, organization, now)
    }

    /// Has the roots that certified a CA say that it is revoked.
    pub(crate) fn publish_revoked(
        &self,
        database: &mut LockedDatabase,
        name: &str,
        now: Time,
    ) -> Result<(), FolderError> {
        let unknown = || FolderError::UnknownAuthority(name.into());
        let record = database.authorities().get(name).cloned().ok_or_else(unknown)?;
        let revoked = record.revoked;
        let certificates: Vec<AuthorityCertificate> = record.certificates().chain(record.intended.clone()).collect();
        let issuers = certificates.iter().map(|certificate| certificate.issuer.as_str());
        let mut roots: Vec<&str> = issuers.filter(|issuer| *issuer != name).collect();
        roots.sort_unstable();
        roots.dedup();
        for name in roots.into_iter().filter(|name| !database.is_retired(name)).collect::<Vec<_>>() {
            let root = self.load(database, name)?;
            for certificate in certificates.iter().filter(|certificate| certificate.issuer == name) {
                self.write_answer(&root, &certificate.serial, status(revoked), now, ROOT_CRL_LIFETIME_MS)?;
            }
            self.write_crl(database, &root, name, now)?;
        }
        Ok(())
    }

    fn lock_for_new(&self, organization: &str) -> Result<LockedDatabase, FolderError> {
        if organization == ROOT {
            return Err(FolderError::ReservedName);
        }
        // Before a token makes a key for it.
        Identity::new(&self.consortium, organization, Role::Peer, "x").map_err(AuthorityError::Name)?;
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
        self.keys.keep(&self.directory, name, key)?;
        let certificate = authority.certificate().to_vec();
        write(&self.directory.join(format!("{name}.pem")), &certificates_pem(&[certificate]))?;
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

    pub(crate) fn authority(&self, database: &Database, name: &str) -> Result<Authority, FolderError> {
        let unknown = || FolderError::UnknownAuthority(name.into());
        let record = database.authorities().get(name).ok_or_else(unknown)?;
        if record.revoked.is_some() {
            Err(FolderError::AuthorityRevoked(name.into()))
        } else {
            self.load(database, name)
        }
    }

    /// A CA with its key: the only way to one.
    pub(crate) fn load(&self, database: &Database, name: &str) -> Result<Authority, FolderError> {
        self.check_fence()?;
        let unknown = || FolderError::UnknownAuthority(name.into());
        let record = database.authorities().get(name).ok_or_else(unknown)?;
        let certificates = read_certificates(&self.authority_file(name, &record.serial))?;
        let certificate = certificates.first().ok_or_else(unknown)?;
        Ok(Authority::load(certificate, self.keys.open(&self.directory, record.keys(), certificate)?)?)
    }
}

/// From a little before now for `lifetime_ms`, within the CA's own validity.
pub(crate) fn within(authority: &Authority, now: Time, lifetime_ms: u64) -> Validity {
    let start = Time::from_millis(now.millis().saturating_sub(BACKDATE_MS)).max(authority.validity().not_before);
    Validity { not_before: start, not_after: now.plus_millis(lifetime_ms).min(authority.validity().not_after) }
}

/// Certificates count whole seconds.
pub(crate) const fn whole_second(time: Time) -> Time {
    Time::from_millis(time.millis() / 1000 * 1000)
}

pub(crate) fn write(path: &Path, text: &str) -> Result<(), FolderError> {
    files::write_public(path, text.as_bytes()).map_err(|source| file_error(path, source))
}

pub(crate) fn file_error(path: &Path, source: io::Error) -> FolderError {
    FolderError::File { path: path.display().to_string(), source }
}
