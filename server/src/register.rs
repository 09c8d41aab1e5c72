//! What an authorities' folder holds, in the form in which the API and `chancery ca` show it: the same for both, so
//! that a command says the same whether it works on the folder or over HTTPS.

use crate::limits::{DAY_MS, PAGE_BYTES_MAX};
use ca::{
    FiledRequest, Revoked, Terms,
    office::{
        enrolment::{TokenRecord, TokenStanding},
        record::{CertificateAct, CertificateRecord, CertificateStatus},
    },
};
use client::api::{
    CertificateActView, CertificateRequestView, IssuedView, RegisterPage, RevocationView, RevokedView, TokenRecordView,
};
use ledger_classes::primitives::identity::Identity;
use ledger_classes::primitives::time::Time;
use pki::trust::files::certificates_pem;
use serde::Serialize;

/// A request. `in_full` is for those who decide about it: who filed it, and who approved.
pub fn request_view(registration: &FiledRequest, in_full: bool) -> CertificateRequestView {
    let record = &registration.record;
    let approvals = record.approvals.iter().map(|approval| approval.by.clone());
    CertificateRequestView {
        id: record.id.to_string(),
        status: registration.status.to_string(),
        identity: record.identity.to_string(),
        key: record.key.clone(),
        requested: record.requested,
        requester: in_full.then(|| record.requester.clone()),
        approvals: if in_full { approvals.collect() } else { Vec::new() },
        approvals_needed: registration.approvals_needed,
        hosts: record.terms.iter().filter(|_| in_full).flat_map(hosts).collect(),
        days: record.terms.as_ref().filter(|_| in_full).map(|terms| terms.lifetime_ms / DAY_MS),
        serial: record.serial.as_ref().map(ToString::to_string),
        reason: record.rejected.as_ref().map(|rejected| rejected.reason.clone()),
        certificate: registration.path.as_deref().map(certificates_pem),
    }
}

fn hosts(terms: &Terms) -> Vec<String> {
    terms.alternative_names.iter().map(ToString::to_string).collect()
}

/// An enrolment token, without its secret.
pub fn token_view((token, standing): &(TokenRecord, TokenStanding)) -> TokenRecordView {
    TokenRecordView {
        id: token.id.to_string(),
        status: standing.to_string(),
        identity: token.identity.to_string(),
        by: token.by.as_ref().map(ToString::to_string),
        made: token.made,
        expires: token.expires,
        hosts: hosts(&token.terms),
        days: token.terms.lifetime_ms / DAY_MS,
        request: token.spent.map(|request| request.to_string()),
    }
}

/// The word for what has become of a certificate.
pub const fn status_word(status: CertificateStatus) -> &'static str {
    match status {
        CertificateStatus::Intended => "intended",
        CertificateStatus::Valid => "valid",
        CertificateStatus::Expired => "expired",
        CertificateStatus::Revoked => "revoked",
    }
}

/// A certificate that was issued; with its path if that is given and not empty.
pub fn issued_view(record: &CertificateRecord, path: &[Vec<u8>], now: Time) -> IssuedView {
    let act = |act: &CertificateAct| CertificateActView {
        act: act.act.into(),
        at: act.at,
        who: act.cause.who().map(str::to_owned),
        why: act.cause.why().map(str::to_owned),
    };
    IssuedView {
        serial: record.serial.to_string(),
        identity: record.identity.to_string(),
        authority: record.authority.clone(),
        status: status_word(record.status(now)).into(),
        not_before: record.not_before,
        not_after: record.not_after,
        fingerprint: record.fingerprint.clone(),
        key: record.key.clone(),
        request: record.request.as_ref().map(ToString::to_string),
        renews: record.renews.as_ref().map(ToString::to_string),
        revoked: record.revoked.map(|revoked| RevocationView { at: revoked.at, reason: revoked.reason.to_string() }),
        acts: record.acts.iter().map(act).collect(),
        certificate: (!path.is_empty()).then(|| certificates_pem(path)),
    }
}

/// What a revocation did.
pub fn revoked_view(revoked: &Revoked, now: Time) -> RevokedView {
    let views = |all: &[CertificateRecord]| all.iter().map(|record| issued_view(record, &[], now)).collect();
    RevokedView { revoked: views(&revoked.certificates), renewed: views(&revoked.renewed) }
}

/// Which certificates.
#[derive(Clone, Debug, Default)]
pub struct IssuedSelection {
    /// Of this identity.
    pub identity: Option<Identity>,
    /// Of this status.
    pub status: Option<CertificateStatus>,
    /// Valid ones that expire within so many milliseconds.
    pub expires_within_ms: Option<u64>,
}

impl IssuedSelection {
    /// Whether a certificate is meant.
    pub fn admits(&self, record: &CertificateRecord, now: Time) -> bool {
        let status = record.status(now);
        let ends = |millis| status == CertificateStatus::Valid && record.not_after <= now.plus_millis(millis);
        self.identity.as_ref().is_none_or(|identity| *identity == record.identity)
            && self.status.is_none_or(|asked| asked == status)
            && self.expires_within_ms.is_none_or(ends)
    }
}

/// Cuts a part out of `all`, behind the item whose `name` is `after`. Nothing if there is no such item: names are what
/// a part before said. As all pages it ends by its items or by their bytes in JSON, and has one at least.
pub fn part<T, V: Serialize>(
    line: Option<usize>,
    all: &[T],
    (after, limit): (Option<&str>, usize),
    name: impl Fn(&T) -> String,
    view: impl Fn(&T) -> V,
) -> Option<RegisterPage<V>> {
    let begin = match after {
        None => 0,
        Some(after) => all.iter().position(|item| name(item) == after)? + 1,
    };
    let (mut items, mut bytes) = (Vec::new(), 0);
    for item in all[begin..].iter().take(limit).map(view) {
        // What has no form is said when the page is encoded.
        bytes += serde_json::to_vec(&item).map_or(0, |encoded| encoded.len());
        if bytes > PAGE_BYTES_MAX && !items.is_empty() {
            break;
        }
        items.push(item);
    }
    let end = begin + items.len();
    let next = if end < all.len() { all[begin..end].last().map(&name) } else { None };
    Some(RegisterPage { line: line.map(|line| line as u64), items, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_and_strange_cursors_are_none() {
        let cut = |after, limit| {
            let part = part(Some(9), &["a", "b", "c"], (after, limit), |item| (*item).to_owned(), |item| *item)?;
            Some((part.items.concat(), part.next))
        };
        assert_eq!(cut(None, 2), Some(("ab".into(), Some("b".into()))));
        assert_eq!(cut(Some("b"), 2), Some(("c".into(), None)));
        assert_eq!(cut(Some("c"), 2), Some((String::new(), None)));
        assert_eq!(cut(None, 3), Some(("abc".into(), None)), "the last part names no other");
        assert_eq!(cut(Some("x"), 2), None);
        let large = |after, limit| {
            part(Some(9), &["a", "b"], (after, limit), |item| (*item).to_owned(), |_| "x".repeat(PAGE_BYTES_MAX))
        };
        let parts = [None, Some("a")].map(|after| large(after, 2).map(|part| (part.items.len(), part.next)));
        assert_eq!(parts, [Some((1, Some("a".into()))), Some((1, None))]);
    }
}
