//! The set of CRLs in force as it is handed out, and what puts lists in force.

use bytes::Bytes;
use ledger_classes::primitives::causes::in_one_line;
use ledger_classes::primitives::hash::Hash;
use pki::{
    TrustStore,
    trust::{
        files::crl_pem,
        revocation::{RevocationChange, RevocationError, RevocationList, RevocationSet},
    },
};
use std::{collections::HashMap, sync::Arc};

/// All CRLs in force, as they are handed out: made once for each set, whoever asks and how often.
#[derive(Debug)]
pub struct CrlSet {
    pub(super) generation: u64,
    /// Names the set ([`client::crl::set_tag`]).
    pub tag: String,
    /// Each of them.
    pub crls: Vec<Crl>,
}

/// A CRL in force, in both forms; clones share them.
#[derive(Clone, Debug)]
pub struct Crl {
    /// SHA-256 of the DER.
    pub digest: Hash,
    /// DER.
    pub der: Bytes,
    /// PEM.
    pub pem: Bytes,
}

impl CrlSet {
    /// The lists of a set. What was there before is not encoded again.
    pub(super) fn of(generation: u64, set: &RevocationSet, before: &[Crl]) -> Self {
        let known: HashMap<Hash, &Crl> = before.iter().map(|crl| (crl.digest, crl)).collect();
        let crl = |list: &Arc<RevocationList>| {
            let digest = Hash(*list.digest());
            known.get(&digest).map_or_else(
                || Crl { digest, der: Bytes::from_owner(Der(Arc::clone(list))), pem: crl_pem(list.der()).into() },
                |crl| Crl::clone(crl),
            )
        };
        let crls: Vec<Crl> = set.all().map(crl).collect();
        Self { generation, tag: client::crl::tag_of(crls.iter().map(|crl| crl.digest.0).collect()), crls }
    }

    /// One of them, by its SHA-256.
    pub fn find(&self, digest: &Hash) -> Option<&Crl> {
        self.crls.iter().find(|crl| crl.digest == *digest)
    }
}

/// A list's DER, not copied.
struct Der(Arc<RevocationList>);

impl AsRef<[u8]> for Der {
    fn as_ref(&self) -> &[u8] {
        self.0.der()
    }
}

/// What the peer has written of lists: it knows what is in there without reading it piece by piece.
#[derive(Debug)]
pub(super) struct Written {
    /// SHA-256 of the file.
    pub(super) digest: Hash,
    /// The lists in it of CAs that are not in force yet.
    pub(super) unknown: Vec<Vec<u8>>,
}

/// Puts every CRL in force that is newer than the one that is.
pub(super) fn install<'a>(store: &TrustStore, crls: impl IntoIterator<Item = &'a Vec<u8>>) {
    for crl in crls {
        match store.install_crl(crl) {
            Ok(None) => {}
            Ok(Some(change)) => {
                tracing::info!(
                    newly_revoked = change.revoked.len(),
                    generation = change.generation,
                    "a CRL is in force"
                );
                say_early(&change);
            }
            // The same CA's CRL may be in two folders, of which one is behind.
            Err(RevocationError::Older { .. }) => {}
            // As of a root that was replaced: who is certified by nobody here has nobody to revoke.
            Err(RevocationError::UnknownIssuer) => tracing::debug!("a CRL of a CA that is not trusted is passed over"),
            Err(error) => tracing::error!(error = in_one_line(&error), "a CRL is refused"),
        }
    }
}

/// A clock is wrong: the CA's, or this one.
pub(super) fn say_early(change: &RevocationChange) {
    if let Some(made) = change.early {
        let what =
            "a CRL is of the future: what it revokes is revoked, and the one before it stays in force until then";
        tracing::warn!(%made, "{what}; compare the clocks, and have the CA sign another one");
    }
}
