//! Whom a profile trusts: its roots, with the CAs and CRLs that its folder has.

use crate::profile::Profile;
use pki::trust::{
    bundle::TrustBundle,
    files::TrustPart,
    revocation::RevocationPolicy,
    store::{Acceptable, TrustError, TrustStore, acceptable},
};
use std::path::Path;

/// Where a profile keeps CRLs, with the CAs that have signed them.
pub const FOLDER: &str = "crls";

/// What a profile's folder holds of CAs and CRLs beside `ca.pem`. What cannot be read is nothing: whom it would revoke is the
/// peers' business, too.
pub(crate) fn held(directory: &Path) -> TrustBundle {
    let mut held = TrustBundle::load(directory).unwrap_or_default();
    held.extend(TrustBundle::load(&directory.join(FOLDER)).unwrap_or_default());
    held
}

/// Whom a profile trusts, by these roots: with the CRLs that it has. Without one nobody is revoked.
pub(crate) fn trust(profile: &Profile, roots: &[Vec<u8>]) -> Result<TrustStore, Option<TrustError>> {
    let mut held = held(&profile.directory);
    let own = profile.credential.iter().flat_map(|credential| credential.path().iter().skip(1));
    held.add(TrustPart::Issuing, own.map(|der| der.to_vec()).collect());
    store(profile, roots, &held)
}

pub(crate) fn store(
    profile: &Profile,
    roots: &[Vec<u8>],
    held: &TrustBundle,
) -> Result<TrustStore, Option<TrustError>> {
    let Acceptable { anchors, issuing, refused } = acceptable(&profile.consortium, roots, &held.issuing);
    if anchors.is_empty() {
        return Err(refused.into_iter().next().map(|(_, why)| why));
    }
    let policy = RevocationPolicy { accept_missing: true, accept_expired: true };
    let store = TrustStore::new(&profile.consortium, anchors, issuing, policy)?.with_clock(crate::now);
    for crl in &held.crls {
        // Of a CA that is not known here, or an older one.
        let _ = store.install_crl(crl);
    }
    Ok(store)
}
