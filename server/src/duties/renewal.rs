//! The peer renews its own certificate, where it holds the authorities' folder: after two thirds of its life, and at
//! the start if it has expired meanwhile. When a CA was certified again or a root is replaced, it writes the newest
//! path and the anchors beside its certificate, whatever the certificate's age. [`crate::identity::trust`] takes these
//! files into use as it does any change of them, and open connections stay as they are.

use crate::{
    clock,
    identity::trust::{Trust, folder},
    limits::{RENEWAL_LOOK, RENEWAL_RETRY},
    setup::config::Config,
};
use ca::{CertificateFolder, RenewalError, office::renewal::due};
use channel_actors::runtime::tasks::blocking;
use ledger_classes::primitives::causes::in_one_line;
use ledger_classes::primitives::time::Time;
use pki::{LeafClaims, trust::files::read_certificates};
use std::{convert::Infallible, path::Path, sync::Arc};

/// Renews the certificate in `certificate_dir`, by the authorities' folder if there is one, when it is time. Returns
/// whether it was.
pub fn renew_if_due(
    certificate_dir: &Path,
    folder: Option<&CertificateFolder>,
    now: Time,
) -> Result<bool, RenewalError> {
    // Behind a wrong fence nothing is issued, and nothing handed out.
    let Some(folder) = folder.filter(|folder| folder.fenced().is_none()) else { return Ok(false) };
    let path = read_certificates(&certificate_dir.join("cert.pem"))?;
    let leaf = path.first().ok_or(RenewalError::Foreign)?;
    let claims = LeafClaims::of_certificate(leaf)?;
    // One that is not valid yet was made while the clock was ahead: nobody accepts it before it has caught up.
    let aged = now < claims.not_before() || now >= due(claims.not_before(), claims.not_after());
    // Its CA has another key: nobody accepts what the one before has signed.
    let due = aged || folder.records()?.has_lost_its_authority(leaf);
    if due {
        folder.renewal().renew_credentials(certificate_dir, None, None, now)?;
    }
    folder.handout().bring_up_to_date(certificate_dir, now)?;
    Ok(due)
}

/// Renews the certificate of the peer in `dir` if it is time, before the peer serves; and says what is wrong with the
/// authorities' keys before somebody needs them.
pub(crate) fn renew_at_start(dir: &Path, config: &Config) -> Result<bool, RenewalError> {
    let folder = folder(&dir.join(&config.authority_dir), &config.keyring(dir))?;
    if let Some(folder) = &folder {
        match folder.key_files().plain() {
            Ok(plain) if plain.is_empty() => {}
            Ok(plain) => tracing::warn!(?plain, "keys of CAs lie unencrypted: `chancery ca passphrase` encrypts them"),
            Err(error) => tracing::warn!(error = in_one_line(&error), "the keys of the CAs cannot be read"),
        }
        if let Err(error) = folder.key_files().check_passphrase() {
            tracing::warn!(error = in_one_line(&error), "this peer cannot issue: the keys of its CAs do not open");
        }
    }
    renew_if_due(&dir.join(&config.certificate_dir), folder.as_ref(), clock::now())
}

/// Looks now and then whether it is time, until the peer stops.
pub(crate) async fn keep(trust: Arc<Trust>) -> Infallible {
    let mut changes = trust.subscribe();
    let mut looks = tokio::time::interval(RENEWAL_LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            // The files may say now that the path is another one. The peer holds the other end for as long as it runs.
            _ = changes.changed() => {}
        }
        let looked = Arc::clone(&trust);
        let done = blocking(move || renew_if_due(looked.certificate_dir(), looked.folder()?.as_ref(), clock::now()));
        let failed = match done.await {
            Ok(true) => {
                tracing::info!("the peer's certificate was renewed");
                false
            }
            Ok(false) => false,
            // Its certificate may be another CA's: then somebody else renews it.
            Err(error @ RenewalError::Foreign) => {
                tracing::debug!(error = in_one_line(&error), "the peer's certificate is not renewed here");
                true
            }
            Err(error) => {
                tracing::warn!(error = in_one_line(&error), "the peer's certificate is not renewed");
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
    use crate::setup::init::{InitOptions, init};

    const DAY_MS: u64 = 24 * 60 * 60 * 1000;

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_life_and_however_long_after_its_end() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("peer");
        init(&InitOptions::new(&dir, "harbour.example", "north")).unwrap();
        let own = dir.join("peer");
        let now = clock::now();
        let folder = CertificateFolder::open(&dir).unwrap();
        let renewed = |days: u64| renew_if_due(&own, Some(&folder), now.plus_millis(days * DAY_MS));
        assert!(!renewed(0).unwrap() && !renewed(243).unwrap());
        assert!(renewed(244).unwrap(), "two thirds of a year");
        assert!(!renewed(244).unwrap(), "the new one is young");
        assert!(renewed(244 + 365 + 29).unwrap(), "over");
        assert!(renewed(5 * 365).unwrap(), "over for years: the machine slept");
        assert!(renewed(0).unwrap(), "made while the clock was ahead");
        assert!(!renewed(0).unwrap());
        assert!(matches!(renewed(3651), Err(RenewalError::Registration(_))), "the CA has expired");
    }

    #[test]
    fn a_peer_without_the_folder_renews_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!renew_if_due(dir.path(), None, clock::now()).unwrap());
    }
}
