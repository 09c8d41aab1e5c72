//! The peer renews its own certificate, where it holds the authorities' folder: after two thirds of its life, and at
//! the start if it has expired meanwhile. Only `cert.pem` is written; [`crate::trust`] takes it into use as it does
//! any change of that file, and open connections stay as they are.

use crate::{
    certificates::describe,
    clock,
    limits::{RENEWAL_LOOK, RENEWAL_RETRY},
    trust::Trust,
};
use ca::{CertificateFolder, RenewalError, credentials::read_certificates, renewal::due_of};
use ledger_classes::time::Time;
use std::{path::Path, sync::Arc};

/// Renews the certificate in `certificate_dir` if it is time. Returns whether it was.
pub fn renew_if_due(certificate_dir: &Path, authority_dir: &Path, now: Time) -> Result<bool, RenewalError> {
    if !authority_dir.join("ca").join("index.jsonl").exists() {
        return Ok(false);
    }
    let path = read_certificates(&certificate_dir.join("cert.pem"))?;
    let leaf = path.first().ok_or(RenewalError::Foreign)?;
    if now < due_of(leaf)? {
        return Ok(false);
    }
    CertificateFolder::open(authority_dir)?.renew_credentials(certificate_dir, None, now)?;
    Ok(true)
}

/// Looks now and then whether it is time, until the peer stops.
pub(crate) async fn keep(trust: Arc<Trust>) {
    let mut looks = tokio::time::interval(RENEWAL_LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let looked = Arc::clone(&trust);
        let done = tokio::task::spawn_blocking(move || {
            renew_if_due(looked.certificate_dir(), looked.authority_dir(), clock::now())
        });
        let failed = match done.await {
            Ok(Ok(true)) => {
                tracing::info!("the peer's certificate was renewed");
                false
            }
            Ok(Ok(false)) => false,
            // Its certificate may be another CA's: then somebody else renews it.
            Ok(Err(error @ RenewalError::Foreign)) => {
                tracing::debug!(error = describe(&error), "the peer's certificate is not renewed here");
                true
            }
            Ok(Err(error)) => {
                tracing::warn!(error = describe(&error), "the peer's certificate is not renewed");
                true
            }
            Err(error) => {
                tracing::error!(%error, "renewing the peer's certificate panicked");
                true
            }
        };
        if failed {
            looks.reset_after(RENEWAL_RETRY);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::init::{InitOptions, init};

    const DAY_MS: u64 = 24 * 60 * 60 * 1000;

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_life_and_for_a_while_after_its_end() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("peer");
        init(&InitOptions::new(&dir, "harbour.example", "north")).unwrap();
        let own = dir.join("peer");
        let now = clock::now();
        let renewed = |days: u64| renew_if_due(&own, &dir, now.plus_millis(days * DAY_MS));
        assert!(!renewed(0).unwrap() && !renewed(243).unwrap());
        assert!(renewed(244).unwrap(), "two thirds of a year");
        assert!(!renewed(244).unwrap(), "the new one is young");
        assert!(renewed(244 + 365 + 29).unwrap(), "over, within the grace");
        assert!(matches!(renewed(244 + 365 + 29 + 365 + 31), Err(RenewalError::Expired(_))));
    }

    #[test]
    fn a_peer_without_the_folder_renews_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!renew_if_due(dir.path(), dir.path(), clock::now()).unwrap());
    }
}
