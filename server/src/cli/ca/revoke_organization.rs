//! The end of an organization: its CA is revoked, and with it all that it has issued.

use super::directory::Directory;
use super::issued::has_peer;
use crate::cli::failure::Failure;
use crate::cli::output::{Output, clean};
use crate::clock;
use crate::setup::{config::Config, init};
use clap::Args;
use pki::RevocationReason;
use serde_json::json;

/// Revoke an organization's CA, and with it every certificate that it issued
#[derive(Args, Debug)]
#[command(after_help = "\
The root revokes the CA. Running peers that watch the folder refuse all of its people within a second, and nothing is issued
by it again. A CA whose key others have is replaced instead: `chancery ca replace`.

Then the others take the organization off each channel: `chancery channel update CHANNEL --remove-org ORGANIZATION`.

Example:
  $ chancery ca revoke-organization dealer --reason cessation-of-operation --why 'left the consortium' --dir peer-1")]
pub(super) struct RevokeOrganization {
    /// Organization whose CA it is
    organization: String,
    /// unspecified, ca-compromise, affiliation-changed, superseded, cessation-of-operation or privilege-withdrawn
    #[arg(long, default_value = "unspecified")]
    reason: RevocationReason,
}

impl RevokeOrganization {
    pub(super) fn run(self, directory: &Directory, output: Output) -> Result<(), Failure> {
        let (folder, dir, organization) = (directory.open()?, directory.path()?, self.organization);
        let own = Config::load(dir).ok().and_then(|config| init::own_identity(&dir.join(&config.certificate_dir)));
        if own.is_none() && dir.join("chancery.toml").exists() {
            return Err(Failure::refused(format!(
                "nothing here says of which organization this peer is, and its own is not revoked: look at {} and the \
                 certificate that it names",
                dir.join("chancery.toml").display()
            )));
        }
        if own.is_some_and(|own| own.organization() == organization) {
            return Err(Failure::refused(format!(
                "{organization} is the organization of this peer, which nobody could use any more: `chancery ca replace \
                 {organization}` gives its CA another key"
            )));
        }
        let records = folder.records()?;
        if records.authorities().get(&organization).is_some_and(|authority| authority.issuer == organization) {
            return Err(Failure::refused(format!(
                "the CA of {organization} is a root of its own, which nobody revokes: whoever trusts it ends that by \
                 `chancery ca trust remove`"
            )));
        }
        folder.revocation().revoke_organization(&organization, self.reason, clock::now())?;
        output.show(&json!({ "organization": organization, "reason": self.reason.to_string() }), |_| {
            let name = clean(&organization);
            let mut text = format!("revoked the CA of {name}, and with it all that it issued\n");
            if !has_peer(dir) {
                let dir = dir.display();
                text.push_str(&format!(
                    "Peers do not know yet: chancery ca publish --dir {dir} --profile ADMINISTRATOR\n"
                ));
            }
            text.push_str(&format!(
                "Next: `chancery channel update CHANNEL --remove-org {name}` on each channel of which it is a member\n"
            ));
            text
        })
    }
}
