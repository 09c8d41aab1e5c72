//! What is revoked: by the CAs of the authorities' folder, and by those elsewhere whose answers were brought. Each
//! revocation has a number in the order in which this run of the peer learned of it, so that a channel's course is one
//! number and few exceptions.

use crate::{clock, identity::trust::Trust};
use ca::{
    CompromisedAuthority, Records,
    office::{error::FolderError, revocation_evidence::RevocationEvidence},
};
use ledger_classes::primitives::causes::in_one_line;
use pki::{CertificateId, KeyId, RevocationReason, Serial, TrustPart};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

/// By what a channel is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// The CA's answer about a certificate, and the CA certificates from the one that answers upwards.
    Answer(RevocationEvidence),
    /// The word of a CA's own key that others have it.
    Compromise(CompromisedAuthority),
}

/// Why there is nothing yet that proves a revocation.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Unproven {
    /// It is asked for.
    #[error("its evidence is being written")]
    Pending,
    /// It cannot be read.
    #[error("there is no evidence")]
    Unreadable(#[source] Arc<FolderError>),
}

/// What cannot be read is the same for as long as the words for it are.
impl PartialEq for Unproven {
    fn eq(&self, other: &Self) -> bool {
        in_one_line(self) == in_one_line(other)
    }
}

impl Eq for Unproven {}

/// What is proven, and by whom: for who looks at CRLs.
#[derive(Clone, Debug, Default)]
pub(super) struct Proven {
    /// Keys of the CAs whose folder is here.
    pub(super) own: HashSet<KeyId>,
    /// What has an answer, as it is named.
    pub(super) names: HashSet<Arc<str>>,
}

/// A certificate that is revoked and has not expired, or a CA whose key others have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Revoked {
    /// How it is named to people.
    pub(super) name: Arc<str>,
    /// The issuing CA's key and the serial number: what the ledger knows it by. Of a compromised CA its own key, and the
    /// serial number of its certificate.
    pub(super) id: CertificateId,
    /// The organization whose CA issued it, or whose CA it is.
    pub(super) organization: String,
    /// Others have its key.
    pub(super) compromised: bool,
    /// The keys of the CAs that may vouch for its CA's word, its own among them.
    pub(super) vouching: Vec<KeyId>,
    /// What proves it; why there is nothing yet.
    pub(super) evidence: Result<Arc<Word>, Unproven>,
}

/// How a certificate is named.
pub(super) fn name_of(whose: impl std::fmt::Display, serial: &Serial) -> String {
    format!("{whose} {serial}")
}

/// All that is revoked, by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    all: BTreeMap<u64, Arc<Revoked>>,
    numbers: HashMap<CertificateId, u64>,
    /// The numbers, ascending, of each organization and those who may vouch for its CA's word: there are few.
    groups: HashMap<(String, Vec<KeyId>), Vec<u64>>,
    next: u64,
    incomplete: bool,
    /// Keys of the CAs in the authorities' folder.
    pub(super) own: HashSet<KeyId>,
}

impl Source {
    /// Of what is revoked.
    #[cfg(test)]
    pub(super) fn of(revoked: Vec<Revoked>) -> Self {
        let mut source = Self::default();
        source.renew(revoked);
        source
    }

    /// Those from a number on, in order.
    pub(super) fn from(&self, number: u64) -> impl Iterator<Item = (u64, &Arc<Revoked>)> {
        self.all.range(number..).map(|(number, revoked)| (*number, revoked))
    }

    /// How many there are from a number on, of organizations and vouching keys that count.
    pub(super) fn ahead(&self, number: u64, counts: impl Fn(&str, &[KeyId]) -> bool) -> usize {
        let of = self.groups.iter().filter(|((organization, vouching), _)| counts(organization, vouching));
        of.map(|(_, numbers)| numbers.len() - numbers.partition_point(|known| *known < number)).sum()
    }

    /// One.
    pub(super) fn get(&self, number: u64) -> Option<&Arc<Revoked>> {
        self.all.get(&number)
    }

    /// The number that the next one will have.
    pub(super) const fn end(&self) -> u64 {
        self.next
    }

    /// Whether an answer is still missing.
    pub(super) const fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// What has an answer.
    pub(super) fn proven(&self) -> HashSet<Arc<str>> {
        let proven = self.all.values().filter(|revoked| revoked.evidence.is_ok());
        proven.map(|revoked| Arc::clone(&revoked.name)).collect()
    }

    /// Takes up what is revoked now. What is gone has expired. That others have the key is news about a certificate that
    /// was revoked for less: it gets another number.
    pub(super) fn renew(&mut self, revoked: Vec<Revoked>) {
        let now: HashSet<CertificateId> = revoked.iter().map(|one| one.id.clone()).collect();
        self.numbers.retain(|id, number| {
            let stays = now.contains(id);
            if !stays {
                self.all.remove(number);
            }
            stays
        });
        for one in revoked {
            let known = self.numbers.get(&one.id).copied();
            let before = known.and_then(|number| self.all.get(&number));
            match (known, before) {
                (Some(_), Some(before)) if **before == one => {}
                (Some(number), Some(before)) if before.compromised == one.compromised => {
                    self.all.insert(number, Arc::new(one));
                }
                _ => {
                    known.map(|number| self.all.remove(&number));
                    self.numbers.insert(one.id.clone(), self.next);
                    self.all.insert(self.next, Arc::new(one));
                    self.next += 1;
                }
            }
        }
        self.incomplete = self.all.values().any(|revoked| revoked.evidence.is_err());
        self.groups.clear();
        for (number, revoked) in &self.all {
            let group = (revoked.organization.clone(), revoked.vouching.clone());
            self.groups.entry(group).or_default().push(*number);
        }
    }

    /// What is known of a certificate, if it may stay: its answer is here, and it is as compromised as before.
    fn kept(&self, id: &CertificateId, compromised: bool) -> Option<Revoked> {
        let known = self.numbers.get(id).and_then(|number| self.all.get(number))?;
        let stays = known.evidence.is_ok() && known.compromised == compromised;
        stays.then(|| Revoked::clone(known))
    }

    /// Reads what is revoked now, each answer once. Blocking.
    pub(super) fn read(mut self, trust: &Trust) -> Result<Self, FolderError> {
        let mut revoked = Vec::new();
        let mut own = HashSet::new();
        if let Some(folder) = trust.folder()? {
            let records = folder.records()?;
            // Its lists may be long, and are not asked for.
            for file in records.trust_files().iter().filter(|file| file.part != TrustPart::Crls) {
                let ders = file.read_whole().map_err(FolderError::from)?;
                own.extend(ders.iter().filter_map(|der| KeyId::of_certificate(der)));
            }
            self.of_folder(&records, trust, &mut revoked)?;
        }
        for answer in trust.answers().iter() {
            let id = answer.id.clone();
            if own.contains(&id.issuer) {
                continue;
            }
            let path: Vec<&[u8]> = answer.evidence.path.iter().map(Vec::as_slice).collect();
            if let Some(known) = self.kept(&id, answer.compromised) {
                revoked.push(Revoked { vouching: vouching(trust, &id, &path), ..known });
                continue;
            }
            let above = answer.evidence.path.iter().skip(1).cloned().collect();
            let evidence = RevocationEvidence { path: above, answer: answer.evidence.answer.clone() };
            revoked.push(Revoked {
                name: name_of(&answer.identity, &id.serial).into(),
                organization: answer.identity.organization().into(),
                compromised: answer.compromised,
                vouching: vouching(trust, &id, &path),
                id,
                evidence: Ok(Arc::new(Word::Answer(evidence))),
            });
        }
        self.own = own;
        self.renew(revoked);
        Ok(self)
    }

    fn of_folder(&self, records: &Records, trust: &Trust, revoked: &mut Vec<Revoked>) -> Result<(), FolderError> {
        let mut keys: HashMap<String, Option<KeyId>> = HashMap::new();
        for record in records.revoked(clock::now()) {
            let key = keys.entry(record.authority.clone()).or_insert_with(|| {
                let certificate = records.authority_certificate(&record.authority).ok();
                certificate.and_then(|der| KeyId::of_certificate(&der))
            });
            let Some(issuer) = *key else { continue };
            let id = CertificateId { issuer, serial: record.serial.clone() };
            let compromised = record.revoked.is_some_and(|it| it.reason == RevocationReason::KeyCompromise);
            if let Some(known) = self.kept(&id, compromised) {
                revoked.push(known);
                continue;
            }
            let evidence = match records.evidence(&record) {
                Ok(Some(evidence)) => Ok(evidence),
                Ok(None) => Err(Unproven::Pending),
                Err(error) => Err(Unproven::Unreadable(Arc::new(error))),
            };
            let path = evidence.as_ref().map(|evidence| evidence.path.clone()).unwrap_or_default();
            let path: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
            revoked.push(Revoked {
                name: name_of(&record.identity, &record.serial).into(),
                organization: record.identity.organization().into(),
                compromised,
                vouching: vouching(trust, &id, &path),
                id,
                evidence: evidence.map(|RevocationEvidence { path, answer }| {
                    let path = path.into_iter().skip(1).collect();
                    Arc::new(Word::Answer(RevocationEvidence { path, answer }))
                }),
            });
        }
        for authority in records.revoked_authorities(clock::now())? {
            let Some(issuer) = KeyId::of_certificate(&authority.issuer) else { continue };
            let id = CertificateId { issuer, serial: authority.serial.clone() };
            let word = |answer| Arc::new(Word::Answer(RevocationEvidence { path: Vec::new(), answer }));
            let evidence = authority.answer.map(word);
            revoked.push(Revoked {
                name: name_of(format_args!("CA of {}", authority.organization), &authority.serial).into(),
                organization: authority.organization,
                compromised: authority.compromised,
                vouching: vec![issuer],
                id,
                evidence: evidence.ok_or(Unproven::Pending),
            });
        }
        self.lost_and_compromised(records, trust, revoked)
    }

    /// Certificates that the index has lost, and CAs whose keys say that others have them.
    fn lost_and_compromised(
        &self,
        records: &Records,
        trust: &Trust,
        revoked: &mut Vec<Revoked>,
    ) -> Result<(), FolderError> {
        for lost in records.lost_evidence(clock::now())? {
            let Some(issuer) = KeyId::of_certificate(&lost.issuer) else { continue };
            let id = CertificateId { issuer, serial: lost.certificate.serial.clone() };
            let path = vec![lost.issuer];
            let vouching = vouching(trust, &id, &path.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let word = |answer| Arc::new(Word::Answer(RevocationEvidence { path, answer }));
            let evidence = lost.answer.map(word).ok_or(Unproven::Pending);
            revoked.push(Revoked {
                name: name_of(format_args!("a certificate of {}", lost.certificate.authority), &id.serial).into(),
                organization: lost.organization,
                compromised: lost.certificate.revoked.reason == RevocationReason::KeyCompromise,
                vouching,
                id,
                evidence,
            });
        }
        for authority in records.compromised()? {
            revoked.push(Revoked {
                name: name_of(
                    format_args!("CA of {}, whose key others have,", authority.organization),
                    &authority.serial,
                )
                .into(),
                organization: authority.organization.clone(),
                compromised: false,
                // A channel that lists a CA above it learns of the revocation from that one.
                vouching: vec![authority.key],
                id: CertificateId { issuer: authority.key, serial: authority.serial.clone() },
                evidence: Ok(Arc::new(Word::Compromise(authority))),
            });
        }
        Ok(())
    }
}

/// The keys of all CAs that may stand above a certificate, as far as this peer knows.
fn vouching(trust: &Trust, id: &CertificateId, path: &[&[u8]]) -> Vec<KeyId> {
    let mut keys: Vec<KeyId> = trust.store().names_of(path).into_iter().map(|name| name.issuer).collect();
    keys.push(id.issuer);
    keys.sort_unstable();
    keys.dedup();
    keys
}
