//! Renewal: of a folder's certificate by the authorities' directory, or of a profile's by its peer.

use super::{algorithm::Algorithm, directory::Directory};
use crate::{
    cli::{
        failure::Failure,
        output::{Output, note, pairs, until},
        session::{Global, PeerUrl, open_profile},
    },
    clock,
    limits::DAY_MS,
};
use ca::office::handout::{Taken, take_offered};
use clap::Args;
use client::connection::Options;
use client::renew::{RenewError, authorities, complete, forget_previous, renew};
use ledger_classes::keys::Scheme;
use ledger_classes::primitives::time::Time;
use pki::{KeyAlgorithm, trust::files::certificates_pem};
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

impl From<ca::RenewalError> for Failure {
    fn from(error: ca::RenewalError) -> Self {
        Self::refused(super::in_full(&error))
    }
}

impl From<RenewError> for Failure {
    fn from(error: RenewError) -> Self {
        match error {
            RenewError::Request(error) => error.into(),
            RenewError::Open(error) => error.into(),
            error @ (RenewError::NoCertificate | RenewError::File { .. }) => Self::usage(super::in_full(&error)),
            error => Self::refused(super::in_full(&error)),
        }
    }
}

/// Renew a certificate: the same identity until a later day
#[derive(Args, Debug)]
#[command(after_help = "\
With FOLDER the authorities in --dir sign, without a peer. Without it the profile's peer is asked.
The old certificate stays good until it expires; one that has expired can still be renewed, by its peer for 30 days.
With the certificate comes the consortium's new root, while one replaces another: it is taken into ca.pem if a root that
is trusted already has certified it.

Examples:
  $ chancery ca renew --profile profiles/alice
  $ chancery ca renew peer-1/peer --dir peer-1")]
pub(super) struct Renew {
    /// Folder with cert.pem and key.pem
    folder: Option<PathBuf>,
    /// Change the key too
    #[arg(long)]
    new_key: bool,
    /// Algorithm of the new key
    #[arg(long, value_enum, default_value_t, requires = "new_key")]
    algorithm: Algorithm,
    /// Days until it expires, instead of as many as the old one had; at most the CA's own
    #[arg(long, value_name = "DAYS", requires = "folder", value_parser = clap::value_parser!(u64).range(1..=3650))]
    days: Option<u64>,
    /// Do nothing before two thirds of the certificate's life have passed, unless its CA or root was replaced; for
    /// daily jobs
    #[arg(long, conflicts_with = "folder")]
    if_due: bool,
}

impl Renew {
    pub(super) fn run(self, directory: &Directory, global: &Global, output: Output) -> Result<(), Failure> {
        let Some(folder) = &self.folder else { return self.online(global, output) };
        let new_key = self.new_key.then(|| KeyAlgorithm::from(self.algorithm));
        let lifetime_ms = self.days.map(|days| days * DAY_MS);
        let authorities = directory.open()?;
        let path = authorities.renewal().renew_credentials(folder, new_key, lifetime_ms, clock::now())?;
        authorities.handout().bring_up_to_date(folder, clock::now())?;
        let file = folder.join("cert.pem");
        let pem = certificates_pem(&path);
        output.show(&json!({ "file": file, "certificate": pem }), |_| {
            let leaf = path.first().and_then(|der| pki::LeafClaims::of_certificate(der).ok());
            let whose = leaf.map(|claims| format!(" of {}", claims.identity())).unwrap_or_default();
            format!("renewed the certificate{whose}, in {}\n{}", file.display(), certificates_pem(&path))
        })
    }

    fn online(&self, global: &Global, output: Output) -> Result<(), Failure> {
        let profile = global.profile.as_deref();
        let profile = profile.ok_or_else(|| Failure::usage("which certificate? Give a folder, or --profile DIR"))?;
        complete(profile)?;
        let profile = open_profile(global, profile)?;
        let peer: Option<PeerUrl> = global.peer.clone();
        let options = Options { peer, timeout: Duration::from_secs(global.timeout), ..Options::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::unavailable(error.to_string()))?;
        let credential = profile.credential.as_ref().ok_or(RenewError::NoCertificate)?;
        let offered = runtime.block_on(authorities(&profile, options.clone()))?;
        let held =
            pki::trust::exchange::hold(&profile.directory).map_err(|error| Failure::usage(super::in_full(&error)))?;
        let taken = take_offered(&profile.directory, &offered, &profile.consortium, clock::now());
        let Taken { added, removed, outdated } = taken.map_err(|error| Failure::usage(super::in_full(&error)))?;
        let due = client::renew::due(credential)?;
        drop(held);
        // Whom this profile does not talk to any more: what a daily job brings up to date, also while nothing is due.
        if let Err(error) = runtime.block_on(client::crl::refresh(&profile, &options)) {
            note(&format!("CRLs are not brought up to date: {}", super::in_full(&error)));
        }
        // Who renews tells the authorities that he has what they offer: they wait for that.
        let behind = outdated || added > 0 || removed > 0;
        if self.if_due && !behind && clock::now() < due {
            return output
                .show(&json!({ "renewed": false, "due": due }), |_| format!("due on {}\n", until(due, clock::now())));
        }
        let new_key = self.new_key.then_some(match self.algorithm {
            Algorithm::Ed25519 => Scheme::Ed25519,
            Algorithm::P256 => Scheme::EcdsaP256,
        });
        let (again, last) = (options.clone(), options.clone());
        let renewed = runtime.block_on(renew(&profile, options, new_key))?;
        // What came into force between the two requests is offered by now, and counts as handed out.
        let offered = runtime.block_on(authorities(&profile, again))?;
        let taken = take_offered(&profile.directory, &offered, &profile.consortium, clock::now());
        let later = taken.map_err(|error| Failure::usage(super::in_full(&error)))?;
        // The pair before is kept until a peer has let somebody in with the new one.
        let used =
            open_profile(global, &profile.directory).map(|renewed| runtime.block_on(authorities(&renewed, last)));
        match used {
            Ok(Ok(_)) => forget_previous(&profile.directory)?,
            _ => note("the new certificate was not used yet: the files before it stay beside it, *.previous"),
        }
        let (added, removed) = (added + later.added, removed + later.removed);
        let leaf = renewed.leaf();
        let not_after = Time::from_millis(u64::try_from(leaf.not_after).unwrap_or_default() * 1000);
        let (identity, serial) = (leaf.identity.to_string(), hex::encode(&leaf.serial));
        let made = json!({
            "renewed": true, "identity": identity, "serial": serial, "not_after": not_after,
            "roots_added": added, "roots_removed": removed,
        });
        output.show(&made, |_| {
            let mut shown = vec![
                ("identity", identity.clone()),
                ("serial", serial.clone()),
                ("not after", until(not_after, clock::now())),
            ];
            if added + removed > 0 {
                shown.push(("roots", format!("{added} added, {removed} removed")));
            }
            pairs(&shown)
        })
    }
}
