//! What of a certificates folder ends, and when: certificates, CAs and CRLs.

use crate::{
    database::CertificateStatus,
    folder::{CertificateFolder, FolderError},
    identifiers::Serial,
};
use ledger_classes::{identity::Identity, time::Time};
use serde::Serialize;

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
    /// A leaf.
    Certificate {
        /// Whose.
        identity: Identity,
        /// Which.
        serial: Serial,
    },
}

impl CertificateFolder {
    /// What ends within `within_ms` from `now`, or has ended, soonest first. Revoked certificates do not count.
    pub fn forecast(&self, now: Time, within_ms: u64) -> Result<Vec<Expiry>, FolderError> {
        let database = self.read()?;
        let mut expiries = Vec::new();
        for record in database.authorities().values().filter(|record| record.revoked.is_none()) {
            let authority = record.name.clone();
            expiries.push(Expiry { at: record.not_after, what: Expiring::Authority { authority: authority.clone() } });
            expiries.extend(record.crl_next_update.map(|at| Expiry { at, what: Expiring::Crl { authority } }));
        }
        for record in database.certificates() {
            if matches!(record.status(now), CertificateStatus::Valid | CertificateStatus::Expired) {
                let (identity, serial) = (record.identity.clone(), record.serial.clone());
                expiries.push(Expiry { at: record.not_after, what: Expiring::Certificate { identity, serial } });
            }
        }
        expiries.retain(|expiry| expiry.at <= now.plus_millis(within_ms));
        expiries.sort();
        Ok(expiries)
    }
}
