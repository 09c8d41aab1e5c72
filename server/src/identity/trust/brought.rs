//! The answers that were brought, with what each organization has of the room for them.

use crate::{clock, limits::ANSWERS_MAX};
use ca::office::revocation_evidence::RevocationEvidence;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::identity::Identity;
use ledger_classes::primitives::time::Time;
use pki::CertificateId;
use std::{collections::BTreeMap, sync::Arc};

/// A certificate that its CA says is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroughtAnswer {
    /// Whose it is.
    pub identity: Identity,
    /// The key of the CA that issued it, and its serial number.
    pub id: CertificateId,
    /// When it expires.
    pub not_after: Time,
    /// Others have its key.
    pub compromised: bool,
    /// The path and the answer.
    pub evidence: RevocationEvidence,
}

impl BroughtAnswer {
    /// Bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let path: usize = self.evidence.path.iter().map(Vec::len).sum();
        size_of::<Self>() + path + self.evidence.answer.len()
    }

    /// The name of its file: by the certificate, and not by a serial, which another CA may choose as well.
    pub(super) fn file(&self) -> String {
        let leaf = self.evidence.path.first().map_or(&[][..], Vec::as_slice);
        format!("{}.json", Hash::plain(&[leaf]))
    }
}

/// All that were brought.
#[derive(Clone, Debug, Default)]
pub struct BroughtAnswers {
    pub(super) list: BTreeMap<CertificateId, Arc<BroughtAnswer>>,
    /// How many there are of each organization, and their bytes.
    pub(super) organizations: BTreeMap<String, (usize, usize)>,
    bytes: usize,
}

impl BroughtAnswers {
    pub(super) fn of(list: impl IntoIterator<Item = BroughtAnswer>) -> Self {
        let mut all = Self::default();
        list.into_iter().for_each(|answer| all.insert(answer));
        all
    }

    /// Another one, in place of what was known about its certificate.
    pub(super) fn insert(&mut self, answer: BroughtAnswer) {
        self.remove(&answer.id);
        let (count, bytes) = self.organizations.entry(answer.identity.organization().to_owned()).or_default();
        (*count, *bytes) = (*count + 1, *bytes + answer.bytes());
        self.bytes += answer.bytes();
        self.list.insert(answer.id.clone(), Arc::new(answer));
    }

    pub(super) fn remove(&mut self, id: &CertificateId) {
        let Some(answer) = self.list.remove(id) else { return };
        self.bytes -= answer.bytes();
        if let Some((count, bytes)) = self.organizations.get_mut(answer.identity.organization()) {
            (*count, *bytes) = (*count - 1, *bytes - answer.bytes());
        }
    }

    /// Whether there is room for another one. An organization takes no more bytes than it leaves for others.
    pub(super) fn has_room(&self, answer: &BroughtAnswer, bytes_max: usize) -> bool {
        let of_it = self.organizations.get(answer.identity.organization()).copied().unwrap_or_default();
        let Some(left) = bytes_max.checked_sub(self.bytes + answer.bytes()) else { return false };
        of_it.0 < ANSWERS_MAX && (of_it.0 == 0 || of_it.1 + answer.bytes() <= left)
    }

    /// Those of certificates that have not expired.
    pub fn iter(&self) -> impl Iterator<Item = &BroughtAnswer> {
        let now = clock::now();
        self.list.values().map(AsRef::as_ref).filter(move |answer| answer.not_after >= now)
    }
}
