//! Another key for an organization's CA, because others have the one that it had.
//!
//! The old CA is revoked as `cACompromise` (RFC 5280 §5.3.1) by the root that certified it, and its own key says for
//! ever that others have it: by that it is taken off every channel ([`Records::compromised`]), and names the
//! new CA as its successor, for channels on which nobody could list that. What it issued ends with it. The index goes
//! on: whoever has the folder renews by it under the new key.
//!
//! One line of the index decides. The key and the certificate of the new CA are in files of their own before it, which an
//! attempt that was interrupted leaves; the CRLs come after it, and are signed again where a crash came between
//! ([`Records::lacking_crls`]). No file of the old CA is overwritten but what people look at.

use crate::{
    authority::{Authority, Validity},
    keys::keyring::KeyPlace,
    limits::ISSUING_LIFETIME_MS,
    office::{
        authorities::Authorities,
        database::Database,
        error::FolderError,
        event::Event,
        locked_records::LockedRecords,
        publication::write_crl,
        record::{AuthorityRecord, NamedAuthority},
        records::Records,
        revocation::publish_revoked,
    },
};
use ledger_classes::action::channel::{NamedSuccessor, RevokeAuthority};
use ledger_classes::primitives::hash::{Hash, HexBytes};
use ledger_classes::primitives::time::Time;
use ledger_classes::state::participant::{authority_compromise_message, authority_successor_message};
use pki::{
    trust::files::read_certificates,
    x509::{
        certificate::Certificate,
        identifiers::{KeyId, RevocationReason, Serial},
    },
};

/// A CA whose key others have, as that key says itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompromisedAuthority {
    /// Whose CA it was.
    pub organization: String,
    /// Its key.
    pub key: KeyId,
    /// The serial number of its newest certificate.
    pub serial: Serial,
    /// Its newest certificate, DER.
    pub certificate: Vec<u8>,
    /// The key's signature over [`authority_compromise_message`].
    pub proof: Vec<u8>,
    /// The CA that the key has named as its successor, if that one is good or has a good one itself.
    pub succession: Option<Succession>,
}

/// A CA that another one's key has named as its successor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Succession {
    /// Its first certificate, DER.
    pub certificate: Vec<u8>,
    /// The signature of the key before over [`authority_successor_message`].
    pub proof: Vec<u8>,
    /// The signature of its own key over the same.
    pub possession: Vec<u8>,
}

impl CompromisedAuthority {
    /// Whether a CA certificate, DER, is of this key.
    pub fn has_key_of(&self, certificate: &[u8]) -> bool {
        KeyId::of_certificate(certificate) == Some(self.key)
    }

    /// What brings it to a channel.
    pub fn to_action(&self) -> RevokeAuthority {
        let bytes = |bytes: &Vec<u8>| HexBytes(bytes.clone());
        let named = |it: &Succession| NamedSuccessor {
            certificate: bytes(&it.certificate),
            proof: bytes(&it.proof),
            possession: bytes(&it.possession),
        };
        let successor = self.succession.as_ref().map(named);
        RevokeAuthority { certificate: bytes(&self.certificate), proof: bytes(&self.proof), successor }
    }
}

/// A CA that another has replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Successor {
    /// Whose.
    pub organization: String,
    /// Its key.
    pub before: KeyId,
    /// The key of the one that the organization has now.
    pub now: KeyId,
}

/// What a replacement has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// The new CA.
    pub authority: AuthorityRecord,
    /// Why the old key could not say that others have it, if so: channels have to drop it by a change.
    pub unsaid: Option<String>,
}

impl Authorities<'_> {
    /// Gives an organization's CA another key, and puts the old one out.
    pub fn replace(&self, organization: &str, key: impl Into<KeyPlace>, now: Time) -> Result<Replaced, FolderError> {
        let mut records = self.folder.lock()?;
        if records.is_root(organization) {
            return Err(FolderError::RootReissue);
        }
        let old = records.authority(organization)?.clone();
        let unknown = || FolderError::UnknownAuthority(organization.into());
        if old.retired.is_some() {
            return Err(unknown());
        }
        let certificate = records.newest_of(&old)?;
        let old_key = KeyId::of_certificate(&certificate).ok_or_else(unknown)?;
        let number = records.authorities().values().filter(|record| record.organization() == organization).count();
        let former = format!("{organization}.{number}");
        // A key of a folder whose index came back from a backup may be one that channels know.
        let mut names = (number + 1..).map(|number| format!("{organization}.{number}"));
        let keys = names.find(|name| !records.keys.is_there(records.layout.directory(), name)).ok_or_else(unknown)?;
        let (new, issuer) = make(&records, organization, &old, &keys, key.into(), now)?;
        // A key in a token that is gone can say nothing, and has to go all the same.
        let (key, next) = (Hash(*old_key.as_bytes()), new.certificate());
        let successor = authority_successor_message(&key, next);
        let possession = new.sign(&successor)?;
        let said = records.load(organization).and_then(|authority| {
            Ok([authority.sign(&authority_compromise_message(&key))?, authority.sign(&successor)?, possession])
        });
        let (said, unsaid) = match said {
            Ok(said) => (said.map(|signature| Some(hex::encode(signature))), None),
            Err(error) => ([const { None }; 3], Some(ledger_classes::primitives::causes::in_one_line(&error))),
        };
        let [proof, successor, possession] = said;
        records.keep_authority(&old.serial, &certificate)?;
        records.keep_authority(new.serial(), new.certificate())?;
        records.append(&Event::AuthorityReplaced {
            name: organization.into(),
            former: former.clone(),
            keys,
            issuer,
            serial: new.serial().clone(),
            not_after: new.validity().not_after,
            reason: RevocationReason::CaCompromise,
            key: old_key.to_string(),
            proof,
            successor,
            possession,
            at: now,
        })?;
        records.show_newest(organization)?;
        write_crl(&mut records, &new, organization, now)?;
        publish_revoked(&mut records, &former, now)?;
        let authority = records.authority(organization)?.clone();
        Ok(Replaced { authority, unsaid })
    }
}

/// The new CA, certified as the old one was, with its key kept; and who certified it.
fn make(
    records: &LockedRecords,
    organization: &str,
    old: &AuthorityRecord,
    keys: &str,
    place: KeyPlace,
    now: Time,
) -> Result<(Authority, String), FolderError> {
    let own = old.issuer == organization;
    let root = if own { None } else { Some(records.load_in_force(records.root())?) };
    let key = records.keys.generate(keys, &place)?;
    let new = match &root {
        Some(root) => root.issue_intermediate(organization, key.signer(), root.within(now, ISSUING_LIFETIME_MS))?,
        None => {
            let validity = Validity::backdated(now, ISSUING_LIFETIME_MS);
            Authority::new_organization_root(records.consortium(), organization, key.signer(), validity)?
        }
    };
    records.keys.keep(records.layout.directory(), keys, &key)?;
    Ok((new, if own { organization.to_owned() } else { records.root().to_owned() }))
}

impl Database {
    /// Whether a leaf that was issued here, DER, has lost its CA, and its organization has another.
    pub fn has_lost_its_authority(&self, leaf: &[u8]) -> bool {
        let Ok(parsed) = Certificate::parse(leaf) else { return false };
        self.certificate(parsed.serial()).is_some_and(|record| {
            let now = self.authorities().get(record.identity.organization());
            record.authority_revoked.is_some() && record.revoked.is_none() && now.is_some_and(|ca| ca.revoked.is_none())
        })
    }
}

impl Records {
    /// The CAs of this folder whose keys have said that others have them.
    pub fn compromised(&self) -> Result<Vec<CompromisedAuthority>, FolderError> {
        let mut all = Vec::new();
        for record in self.authorities().values() {
            let Some(proof) = record.compromise.as_ref().and_then(|proof| hex::decode(proof).ok()) else { continue };
            let certificate = self.newest_of(record)?;
            let Some(key) = KeyId::of_certificate(&certificate) else { continue };
            let (organization, serial) = (record.organization().to_owned(), record.serial.clone());
            let succession = self.succession(record)?;
            all.push(CompromisedAuthority { organization, key, serial, certificate, proof, succession });
        }
        Ok(all)
    }

    /// The CA that a replaced one's key has named, unless that one is out as well and nobody follows it.
    fn succession(&self, record: &AuthorityRecord) -> Result<Option<Succession>, FolderError> {
        let next = |record: &AuthorityRecord| {
            let NamedAuthority { serial, .. } = record.succession.as_ref()?;
            let is_of = |next: &&AuthorityRecord| next.certificates().any(|one| one.serial == *serial);
            self.authorities().values().find(is_of)
        };
        let Some((first, named)) = next(record).zip(record.succession.as_ref()) else { return Ok(None) };
        // Each was made after the one before.
        let last = std::iter::successors(Some(first), |record| next(record)).last();
        if last.is_none_or(|last| last.revoked.is_some()) {
            return Ok(None);
        }
        let certificate = read_certificates(&self.layout.authority(&first.name, &named.serial))?.into_iter().next();
        let signatures = hex::decode(&named.proof).ok().zip(hex::decode(&named.possession).ok());
        let succession = certificate.zip(signatures);
        Ok(succession.map(|(certificate, (proof, possession))| Succession { certificate, proof, possession }))
    }

    /// The CAs that others have replaced, each with its organization and the one that the organization has now.
    pub fn replaced(&self) -> Result<Vec<Successor>, FolderError> {
        let mut all = Vec::new();
        for record in self.authorities().values().filter(|record| record.name != record.organization()) {
            let organization = record.organization().to_owned();
            let key = |name: &str| Ok::<_, FolderError>(KeyId::of_certificate(&self.authority_certificate(name)?));
            if let (Some(before), Some(now)) = (key(&record.name)?, key(&organization)?) {
                all.push(Successor { organization, before, now });
            }
        }
        Ok(all)
    }
}
