//! The same documents through rustls-webpki without our checks: what it alone would admit (docs/conformance.md).
//! Nothing in the ledger calls it like this.

use super::{Case, Material, Verdict, algorithms, expected, instant, purposes, server_name};
use ledger_classes::primitives::time::Time;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::time::Duration;
use webpki::{
    BorrowedCertRevocationList, CertRevocationList, EndEntityCert, Error, ExpirationPolicy, RevocationOptionsBuilder,
    anchor_from_trusted_cert,
};

/// Judges one case. Depths, key usages and mail addresses are skipped: the library has no question for them.
pub(super) fn judge(case: &Case, rsa: bool, now: Time) -> Verdict {
    if case.max_chain_depth.is_some() {
        return Verdict::Skipped("the library has no limit that a caller sets");
    }
    if !case.key_usage.is_empty() {
        return Verdict::Skipped("the library does not look at the leaf's key usage");
    }
    if expected(case).iter().any(|name| name.kind == "RFC822") {
        return Verdict::Skipped("the library does not compare mail addresses");
    }
    match try_case(case, rsa, now) {
        Ok(()) => Verdict::Success,
        Err(why) => Verdict::Failure(why),
    }
}

fn try_case(case: &Case, rsa: bool, now: Time) -> Result<(), String> {
    let text = |error: Error| error.to_string();
    let material = Material::of(case)?;
    let algorithms = algorithms(case, rsa);
    let time = UnixTime::since_unix_epoch(Duration::from_secs(instant(case, now)?.millis() / 1000));
    let anchors: Vec<CertificateDer<'_>> = material.anchors.iter().map(|der| der.as_slice().into()).collect();
    let anchors = anchors.iter().map(anchor_from_trusted_cert).collect::<Result<Vec<_>, _>>().map_err(text)?;
    let intermediates: Vec<CertificateDer<'_>> = material.intermediates.iter().map(|d| d.as_slice().into()).collect();
    let lists = material.crls.iter().map(|der| BorrowedCertRevocationList::from_der(der).map(Into::into));
    let lists: Vec<CertRevocationList<'_>> = lists.collect::<Result<_, _>>().map_err(text)?;
    let lists: Vec<&CertRevocationList<'_>> = lists.iter().collect();
    let revocation = RevocationOptionsBuilder::new(&lists).ok();
    let revocation = revocation.map(|options| options.with_expiration_policy(ExpirationPolicy::Enforce).build());
    let leaf = CertificateDer::from(material.leaf.as_slice());
    let leaf = EndEntityCert::try_from(&leaf).map_err(text)?;
    for purpose in purposes(case) {
        leaf.verify_for_usage(&algorithms, &anchors, &intermediates, time, purpose, revocation, None).map_err(text)?;
    }
    for name in expected(case) {
        let name = server_name(name).ok_or("no name of a server")?;
        leaf.verify_is_valid_for_subject_name(&name).map_err(text)?;
    }
    Ok(())
}
