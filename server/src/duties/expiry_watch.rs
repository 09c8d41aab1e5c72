//! What would one day stop a peer if nobody thought of it: CRLs that run out, certificates that end. Where this
//! machine has the authorities' folder, CRLs and OCSP answers are signed again long before their end; everything that
//! ends within 30 days is in the log, and when it ends is in the metrics.

use crate::{
    clock,
    identity::trust::Trust,
    limits::{DAY_MS, UPKEEP_LOOK, UPKEEP_RETRY},
    telemetry::metrics::PeerMetrics,
};
use ca::{
    CertificateFolder,
    limits::RENEWAL_GRACE_MS,
    office::{
        error::FolderError,
        expiry::{Expiring, Expiry},
    },
};
use channel_actors::runtime::tasks::blocking;
use ledger_classes::primitives::causes::in_one_line;
use ledger_classes::primitives::time::Time;
use pki::AuthorityScope;
use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Instant};

/// Within how many days an end is warned of; each line of the log is said once a threshold.
const WARNED_DAYS: [u64; 3] = [30, 7, 1];

/// Whose CRL was to be signed again, and whether it was.
type Signed = Vec<(String, Result<(), FolderError>)>;

/// Signs every CRL of the folder, if there is one, that is past a third of its life or lacks what was revoked, with the
/// OCSP answers of the same CA. Returns whose was signed; a CA that cannot sign, because its key is kept elsewhere,
/// does not keep the others from it.
pub fn sign_due_crls(folder: Option<&CertificateFolder>, now: Time) -> Result<Signed, FolderError> {
    let Some(folder) = folder.filter(|folder| folder.fenced().is_none()) else { return Ok(Vec::new()) };
    let due = folder.records()?.due_crls(now);
    Ok(due.into_iter().map(|name| (name.clone(), folder.publication().reissue_crl(&name, now))).collect())
}

/// What ends, and when: of the folder, if this machine has it, and of what the peer itself uses.
pub fn forecast(trust: &Trust, now: Time) -> Result<Vec<Expiry>, FolderError> {
    let mut expiries = match trust.folder()? {
        Some(folder) => folder.records()?.forecast(now, u64::MAX),
        None => Vec::new(),
    };
    let own = trust.own_certificate();
    expiries.push(Expiry {
        at: own.not_after(),
        what: Expiring::Certificate { identity: own.identity().clone(), serial: own.serial().clone() },
    });
    let bundle = trust.bundle();
    // A CA ends with its last certificate: that an earlier one ends is no news to those who hold the newest.
    for der in ca::office::reissue::newest(bundle.anchors.iter().chain(&bundle.issuing).cloned()) {
        if let (Ok(scope), Some(at)) =
            (AuthorityScope::of_certificate(&der), ca::office::expiry::end_of_certificate(&der))
        {
            let authority = scope.organization.unwrap_or_else(|| ca::office::record::ROOT.into());
            expiries.push(Expiry { at, what: Expiring::Authority { authority } });
        }
    }
    for (authority, (_, at)) in trust.crl_updates() {
        expiries.push(Expiry { at, what: Expiring::Crl { authority } });
    }
    // Who has not come back for a certificate within the time in which it could be renewed has left.
    let left = |expiry: &Expiry| {
        matches!(expiry.what, Expiring::Certificate { .. }) && expiry.at.plus_millis(RENEWAL_GRACE_MS) < now
    };
    expiries.retain(|expiry| !left(expiry));
    expiries.sort();
    expiries.dedup();
    Ok(expiries)
}

/// What was said of each end, so that a line comes once a threshold and not once a look.
#[derive(Debug, Default)]
pub struct Warnings {
    said: BTreeMap<Expiry, u64>,
}

impl Warnings {
    /// The ends that have come nearer than a threshold for the first time, with that threshold in days; 0 is over.
    pub fn news(&mut self, expiries: Vec<Expiry>, now: Time) -> Vec<(Expiry, u64)> {
        let mut said = BTreeMap::new();
        let mut news = Vec::new();
        for expiry in expiries {
            // A CRL lives for 30 days and is always within that.
            let is_crl = matches!(expiry.what, Expiring::Crl { .. });
            let told = |days: &&u64| !is_crl || **days < WARNED_DAYS[0];
            let near = |days: &&u64| told(days) && expiry.at <= now.plus_millis(**days * DAY_MS);
            let Some(nearest) = WARNED_DAYS.iter().rev().find(near) else { continue };
            let threshold = if expiry.at < now { 0 } else { *nearest };
            if self.said.get(&expiry).is_none_or(|before| *before > threshold) {
                news.push((expiry.clone(), threshold));
            }
            said.insert(expiry, threshold);
        }
        // What is renewed or gone is forgotten.
        self.said = said;
        news
    }
}

fn warn(expiry: &Expiry, threshold: u64) {
    let (what, at) = (expiry.what.to_string(), expiry.at);
    match threshold {
        0 => tracing::error!(what, %at, "has expired"),
        1 => tracing::error!(what, %at, "expires within a day"),
        days => tracing::warn!(what, %at, days, "expires soon"),
    }
}

/// Looks now and then until the peer stops.
pub(crate) async fn keep(trust: Arc<Trust>, metrics: Arc<PeerMetrics>) -> Infallible {
    let mut looks = tokio::time::interval(UPKEEP_LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut warnings = Warnings::default();
    // A CA that could not sign is asked again later than the others.
    let mut failed: Option<Instant> = None;
    loop {
        looks.tick().await;
        let signs = failed.is_none_or(|at| at.elapsed() >= UPKEEP_RETRY);
        let looked = Arc::clone(&trust);
        let look = blocking(move || {
            let now = clock::now();
            let sign = || sign_due_crls(looked.folder()?.as_ref(), now);
            let signed = if signs { sign() } else { Ok(Vec::new()) };
            // A new CRL is in force before anybody is warned of the old one's end.
            if signed.as_ref().is_ok_and(|signed| !signed.is_empty()) {
                looked.poll();
            }
            let judged = looked.judge_crls();
            (signed, judged.and_then(|()| forecast(&looked, now)), now)
        });
        let (signed, forecast, now) = look.await;
        let mut fails = false;
        match signed {
            Ok(signed) => {
                for (authority, result) in signed {
                    match result {
                        Ok(()) => tracing::info!(authority, "a CRL was signed again"),
                        Err(error) => {
                            fails = true;
                            tracing::warn!(authority, error = in_one_line(&error), "the CRL is not signed again here");
                        }
                    }
                }
            }
            Err(error) => {
                fails = true;
                tracing::warn!(error = in_one_line(&error), "the CRLs' dates cannot be read");
            }
        }
        if signs {
            failed = fails.then(Instant::now);
        }
        match forecast {
            Ok(expiries) => {
                metrics.expiries(&trust.identity(), &expiries);
                for (expiry, threshold) in warnings.news(expiries, now) {
                    warn(&expiry, threshold);
                }
            }
            Err(error) => tracing::warn!(error = in_one_line(&error), "what expires cannot be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::setup::{
        config::Config,
        init::{InitOptions, init},
    };
    use ca::office::revocation::Selection;
    use pki::RevocationReason;

    fn peer() -> (tempfile::TempDir, std::path::PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("peer");
        init(&InitOptions::new(&dir, "harbour.example", "north")).unwrap();
        (parent, dir)
    }

    #[test]
    fn a_crl_is_signed_again_long_before_its_end_and_carries_what_was_revoked() {
        let (_parent, dir) = peer();
        let trust = Trust::open(&dir, &Config::load(&dir).unwrap()).unwrap();
        let start = clock::now();
        let identity = "spiffe://harbour.example/north/admin/admin".parse().unwrap();
        let folder = CertificateFolder::open(&dir).unwrap();
        folder.revocation().revoke(&Selection::Identity(identity), RevocationReason::Superseded, start).unwrap();
        let signed = |days: u64| {
            let signed = sign_due_crls(Some(&folder), start.plus_millis(days * DAY_MS)).unwrap();
            signed.into_iter().map(|(name, result)| result.map(|()| name).unwrap()).collect::<Vec<_>>()
        };
        assert!(signed(9).is_empty());
        assert_eq!(signed(11), ["north"]);
        assert!(signed(11).is_empty(), "the new one is young");
        assert_eq!(signed(360), ["north", "root"]);
        assert_eq!(signed(0), ["north", "root"], "those that were signed while the clock was ahead say nothing yet");
        assert_eq!(signed(360), ["north", "root"]);

        trust.poll();
        let current = trust.store().revocation().current();
        assert_eq!(current.lists().count(), 2);
        for list in current.lists() {
            assert!(list.next_update() > start.plus_millis(380 * DAY_MS));
        }
        assert_eq!(current.lists().map(|list| list.len()).sum::<usize>(), 1);
    }

    /// The index said revoked, and nobody heard of it for ten days.
    #[test]
    fn a_revocation_that_a_crash_kept_from_its_list_is_in_force_after_the_next_look() {
        let (_parent, dir) = peer();
        let trust = Trust::open(&dir, &Config::load(&dir).unwrap()).unwrap();
        let (list, index) = (dir.join("ca/crl/north.pem"), dir.join("ca/index.jsonl"));
        let before = std::fs::read(&list).unwrap();
        let identity = "spiffe://harbour.example/north/admin/admin".parse().unwrap();
        let folder = CertificateFolder::open(&dir).unwrap();
        folder
            .revocation()
            .revoke(&Selection::Identity(identity), RevocationReason::KeyCompromise, clock::now())
            .unwrap();
        let lines = std::fs::read_to_string(&index).unwrap();
        let without_list: String = lines.split_inclusive('\n').take(lines.lines().count() - 1).collect();
        std::fs::write(&index, without_list).unwrap();
        std::fs::write(&list, &before).unwrap();
        trust.judge_crls().unwrap();
        assert!(trust.crl_troubles()[0].starts_with("the CRL of north lacks"), "{:?}", trust.crl_troubles());

        let folder = CertificateFolder::open(&dir).unwrap();
        let signed = sign_due_crls(Some(&folder), clock::now()).unwrap();
        assert!(matches!(&signed[..], [(name, Ok(()))] if name == "north"), "{signed:?}");
        trust.poll();
        trust.judge_crls().unwrap();
        assert!(trust.crl_troubles().is_empty());
        assert_eq!(trust.store().revocation().current().lists().map(|list| list.len()).sum::<usize>(), 1);

        // A folder from a backup tells that it is behind what it has published.
        std::fs::write(&index, lines.split_inclusive('\n').take(4).collect::<String>()).unwrap();
        trust.judge_crls().unwrap();
        assert!(trust.crl_troubles().iter().any(|trouble| trouble.contains("older than what it has published")));
    }

    #[test]
    fn a_key_that_is_elsewhere_keeps_no_other_ca_from_signing() {
        let (_parent, dir) = peer();
        std::fs::remove_file(dir.join("ca/north.key")).unwrap();
        let folder = CertificateFolder::open(&dir).unwrap();
        let signed = sign_due_crls(Some(&folder), clock::now().plus_millis(360 * DAY_MS)).unwrap();
        let [(north, refused), (root, done)] = &signed[..] else { panic!("{signed:?}") };
        assert_eq!((north.as_str(), root.as_str()), ("north", "root"));
        assert!(refused.is_err() && done.is_ok());
        assert!(sign_due_crls(None, clock::now()).unwrap().is_empty(), "no folder, nothing to sign");
    }

    #[test]
    fn each_end_is_told_once_a_threshold() {
        let (_parent, dir) = peer();
        let trust = Trust::open(&dir, &Config::load(&dir).unwrap()).unwrap();
        let start = clock::now();
        let mut warnings = Warnings::default();
        let mut news = |days: u64| {
            let now = start.plus_millis(days * DAY_MS);
            let news = warnings.news(forecast(&trust, now).unwrap(), now);
            news.into_iter().map(|(expiry, days)| (expiry.what.to_string(), days)).collect::<Vec<_>>()
        };
        let crl = |days| vec![("the CRL of north".to_owned(), days)];
        assert!(news(0).is_empty(), "a young CRL is always within 30 days of its end");
        assert_eq!(news(24), crl(7));
        assert!(news(25).is_empty());
        assert_eq!(news(29), crl(1));
        assert_eq!(news(31), crl(0));
        assert!(news(32).is_empty());
        let year = news(350);
        let peer = ("the certificate of spiffe://harbour.example/north/peer/peer-1", 30);
        assert!(year.iter().any(|(what, days)| what.starts_with(peer.0) && *days == peer.1), "{year:?}");
        assert!(!year.iter().any(|(what, _)| what == "the CRL of root"), "{year:?}");
        assert!(news(360).contains(&("the CRL of root".to_owned(), 7)));
    }
}
