//! What of a certificates folder ends, and when: certificates, CAs and CRLs. Which CRLs are due is `publication.rs`'.

use crate::office::{
    database::Database,
    record::{AuthorityRecord, CertificateRecord, CertificateStatus},
};
use ledger_classes::primitives::identity::Identity;
use ledger_classes::primitives::time::Time;
use pki::x509::{certificate::Certificate, identifiers::Serial};
use serde::Serialize;
use std::{collections::BTreeMap, fmt};

/// Something that ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Expiry {
    /// When.
    pub at: Time,
    /// What.
    #[serde(flatten)]
    pub what: Expiring,
}

/// What ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Expiring {
    /// A CA's newest CRL.
    Crl {
        /// Whose.
        authority: String,
    },
    /// A CA's certificate.
    Authority {
        /// Whose.
        authority: String,
    },
    /// A certificate of a CA that has a newer one: paths that carry it end with it.
    EarlierAuthority {
        /// Whose.
        authority: String,
        /// Which.
        serial: Serial,
    },
    /// A leaf.
    Certificate {
        /// Whose.
        identity: Identity,
        /// Which.
        serial: Serial,
    },
}

impl Database {
    /// What ends within `within_ms` from `now`, or has ended, soonest first. Revoked certificates do not
    /// count, nor do leaves whose identity has one that lives longer.
    pub fn forecast(&self, now: Time, within_ms: u64) -> Vec<Expiry> {
        let mut expiries = Vec::new();
        let in_use = |record: &&AuthorityRecord| record.revoked.is_none() && record.retired.is_none();
        for record in self.authorities().values().filter(in_use) {
            let authority = record.name.clone();
            for earlier in record.earlier.iter().filter(|earlier| !self.is_retired(&earlier.issuer)) {
                let (authority, serial) = (authority.clone(), earlier.serial.clone());
                expiries.push(Expiry { at: earlier.not_after, what: Expiring::EarlierAuthority { authority, serial } });
            }
            expiries.push(Expiry { at: record.not_after, what: Expiring::Authority { authority: authority.clone() } });
            expiries.extend(record.crl_next_update.map(|at| Expiry { at, what: Expiring::Crl { authority } }));
        }
        let alive = |record: &&CertificateRecord| {
            matches!(record.status(now), CertificateStatus::Valid | CertificateStatus::Expired)
        };
        let mut last: BTreeMap<&Identity, &CertificateRecord> = BTreeMap::new();
        for record in self.certificates().iter().filter(alive) {
            let newest = last.entry(&record.identity).or_insert(record);
            if newest.not_after < record.not_after {
                *newest = record;
            }
        }
        for record in last.into_values() {
            let (identity, serial) = (record.identity.clone(), record.serial.clone());
            expiries.push(Expiry { at: record.not_after, what: Expiring::Certificate { identity, serial } });
        }
        expiries.retain(|expiry| expiry.at <= now.plus_millis(within_ms));
        expiries.sort();
        expiries
    }
}

/// When a certificate ends. `None` if it is none.
pub fn end_of_certificate(der: &[u8]) -> Option<Time> {
    Certificate::parse(der).ok().map(|certificate| certificate.not_after())
}

impl fmt::Display for Expiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crl { authority } => write!(f, "the CRL of {authority}"),
            Self::Authority { authority } => write!(f, "the CA of {authority}"),
            Self::EarlierAuthority { authority, serial } => {
                write!(f, "an earlier certificate of the CA of {authority}, serial {serial}")
            }
            Self::Certificate { identity, serial } => write!(f, "the certificate of {identity}, serial {serial}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{CertificateFolder, KeyPair, office::issuing::LeafOptions};
    use pki::KeyAlgorithm;

    #[test]
    fn of_an_identity_only_the_certificate_that_lives_longest_counts() {
        const DAY_MS: u64 = 24 * 60 * 60 * 1000;
        let dir = tempfile::tempdir().unwrap();
        let now = Time::from_millis(1_800_000_000_000);
        let folder = CertificateFolder::create(dir.path(), "harbour.example", KeyAlgorithm::Ed25519, now).unwrap();
        folder.authorities().add_organization("north", KeyAlgorithm::Ed25519, now).unwrap();
        let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
        let issue = |name: &str, days: u64| {
            let identity = format!("spiffe://harbour.example/north/client/{name}").parse().unwrap();
            let options = LeafOptions { lifetime_ms: days * DAY_MS, ..LeafOptions::default() };
            folder.issuing().issue(&identity, key.public(), &options, now).unwrap();
        };
        issue("ann", 10);
        issue("bob", 10);
        issue("ann", 300);
        let ends = |days: u64| {
            let all = folder.records().unwrap().forecast(now, days * DAY_MS).into_iter();
            all.filter_map(|expiry| match expiry.what {
                Expiring::Certificate { identity, .. } => Some(identity.name().to_owned()),
                _ => None,
            })
            .collect::<Vec<_>>()
        };
        assert_eq!(ends(20), ["bob"], "ann has been renewed");
        assert_eq!(ends(301), ["bob", "ann"]);
    }
}
