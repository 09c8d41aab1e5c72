//! Leaves: no certificate is signed before its intention is recorded, and none for a key that others have.
//!
//! In this order: the line that announces it, the certificate's file, the answer that it is good, the line that says it
//! was issued. What a crash leaves between the two lines was handed to nobody.

use crate::{
    authority::{Authority, LeafRequest, whole_second},
    holder::credentials::Credentials,
    keys::pair::KeyPair,
    limits::LEAF_LIFETIME_MS,
    office::{
        enrolment::{RequestId, Terms},
        error::FolderError,
        event::Event,
        folder::CertificateFolder,
        key_compromise,
        locked_records::LockedRecords,
        publication::write_answer,
        record::CertificateStatus,
        records::Records,
    },
};
use ledger_classes::primitives::identity::{Identity, Role};
use ledger_classes::primitives::time::Time;
use pki::{
    trust::files::{certificates_pem, read_certificates},
    x509::{
        certificate::Certificate,
        identifiers::{AlternativeName, KeyId, Serial, sha256},
        public_key::{KeyAlgorithm, PublicKey},
    },
};
use std::path::Path;

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
pub(crate) struct IssuedFor {
    /// The request that it answers.
    pub(crate) request: Option<RequestId>,
    /// The certificate that it continues.
    pub(crate) renews: Option<Serial>,
}

/// Issues leaves to whomever the holder of the folder says.
#[derive(Clone, Copy, Debug)]
pub struct Issuing<'a> {
    pub(super) folder: &'a CertificateFolder,
}

impl Issuing<'_> {
    /// Issues a leaf for a key of which the caller has a proof of possession. Returns its path, leaf first.
    pub fn issue(
        &self,
        identity: &Identity,
        public_key: &PublicKey,
        options: &LeafOptions,
        now: Time,
    ) -> Result<Vec<Vec<u8>>, FolderError> {
        let mut records = self.folder.lock()?;
        issue(&mut records, identity, public_key, options.terms(), IssuedFor::default(), now)
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
        let credentials = Credentials { path, key, trust: self.folder.records()?.trust()? };
        credentials.save(into)?;
        Ok(credentials)
    }
}

/// Records the intention, signs, records. The last door for whatever way led here: no compromised key passes.
pub(crate) fn issue(
    records: &mut LockedRecords,
    identity: &Identity,
    public_key: &PublicKey,
    terms: Terms,
    purpose: IssuedFor,
    now: Time,
) -> Result<Vec<Vec<u8>>, FolderError> {
    let name = identity.organization();
    key_compromise::check(records, name, public_key)?;
    let authority = records.load_in_force(name)?;
    // A renewal asks for no other names than there were.
    if purpose.renews.is_none() {
        check_hosts(records, identity, &terms.alternative_names, now)?;
    }
    if authority.validity().not_after <= now {
        return Err(FolderError::AuthorityExpired(name.into(), authority.validity().not_after));
    }
    let validity = authority.within(now, terms.lifetime_ms);
    let serial = Authority::draw_serial()?;
    records.append(&Event::Intended {
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
    let leaf = authority.issue_leaf(&request, serial.clone())?;
    let path = match records.authorities().get(name) {
        Some(record) if record.issuer != record.name => vec![leaf.clone(), authority.certificate().to_vec()],
        _ => vec![leaf.clone()],
    };
    records.write(&records.layout.issued(&serial), certificates_pem(&path).as_bytes())?;
    write_answer(records, &authority, name, &serial, None, now)?;
    records.append(&Event::Issued { serial, fingerprint: hex::encode(sha256(&leaf)), at: now })?;
    Ok(path)
}

/// Refuses host names and addresses that a good certificate of another organization's peer has, as far as this folder's
/// CAs have issued it: who dials that name would be answered by either. Names of one's own machine are everybody's.
fn check_hosts(
    records: &Records,
    identity: &Identity,
    names: &[AlternativeName],
    now: Time,
) -> Result<(), FolderError> {
    let asked: Vec<&AlternativeName> = names.iter().filter(|name| !name.is_own_machine()).collect();
    if asked.is_empty() {
        return Ok(());
    }
    let others = records.certificates().iter().filter(|record| {
        let of = &record.identity;
        of.role() == Role::Peer && of.organization() != identity.organization()
    });
    for record in others.filter(|record| record.status(now) == CertificateStatus::Valid) {
        let path = read_certificates(&records.layout.issued(&record.serial))?;
        let leaf = path.first().and_then(|der| Certificate::parse(der).ok());
        let taken = leaf.and_then(|leaf| leaf.server_names().ok()).unwrap_or_default();
        if let Some(name) = asked.iter().find(|name| taken.contains(name)) {
            return Err(FolderError::HostTaken((*name).clone(), Box::new(record.identity.clone())));
        }
    }
    Ok(())
}
