//! A CA's next certificate on a channel, and its end, by the authorities' folder that has its key.

use crate::cli::{
    ca::open_folder,
    failure::Failure,
    session::{ChannelOption, Session, Signing},
};
use clap::Args;
use ledger_classes::action::Action;
use ledger_classes::action::channel::RenewAuthority as Renewal;
use ledger_classes::primitives::hash::HexBytes;
use std::path::PathBuf;

/// Let an organization's CA go on under its newest certificate
#[derive(Args, Debug)]
#[command(after_help = "\
The CA's key signs, as in the configuration that lists it; nobody has to approve, and anybody who may connect may post.
Within a year of the listed certificate's end, and after it too. Make the newest certificate with `chancery ca reissue`.

Example:
  $ chancery channel renew-authority trade bank --dir peer-1")]
pub(in crate::cli) struct RenewAuthority {
    /// The channel, unless -c or CHANCERY_CHANNEL gives it, and the organization whose CA it is
    #[arg(value_name = "[CHANNEL] ORGANIZATION", num_args = 1..=2, required = true)]
    words: Vec<String>,
    #[command(flatten)]
    option: ChannelOption,
    /// Directory that holds the authorities' folder `ca/`
    #[arg(long, value_name = "DIR", env = "CHANCERY_DIR", default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    signing: Signing,
}

impl RenewAuthority {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<(), Failure> {
        let (named, [organization]) = self.option.and(self.words)?;
        let channel = session.channel_id(&named).await?;
        let shown = session.connection.channel(&named).await?;
        let configured = shown.config_height.unwrap_or_default();
        let mut members = shown.config.into_iter().flat_map(|config| config.organizations);
        let member = members.find(|member| member.name == organization);
        let listed = member.map(|member| member.authorities).unwrap_or_default();
        let folder = open_folder(&self.dir)?;
        let (certificate, proof) = folder.authorities().consent(&organization, &channel, configured, &listed)?;
        let (certificate, proof) = (HexBytes(certificate), HexBytes(proof));
        let renewal = Renewal { organization, certificate, proof };
        session.act(&named, Action::ChannelRenewAuthority(renewal), &self.signing).await
    }
}

/// Take an organization's CA off a channel because others have its key
#[derive(Args, Debug)]
#[command(after_help = "\
`chancery ca replace` has the CA's own key say so, once; this brings it to a channel. Nobody has to approve, and anybody
who may connect may post. From the next block on whom it vouched for signs nothing, and comes back by a certificate of
another CA that the channel lists for the organization. Where nobody could change the channel afterwards, the
organization's new CA takes the place of the old one, as the old key has said; if it could not, list another CA, and admit an
administrator by it, before.

A peer that has the folder does this by itself on every channel, after `chancery ca replace`.

Example:
  $ chancery channel revoke-authority trade carrier --dir carrier")]
pub(in crate::cli) struct RevokeAuthority {
    /// The channel, unless -c or CHANCERY_CHANNEL gives it, and the organization whose CA it was
    #[arg(value_name = "[CHANNEL] ORGANIZATION", num_args = 1..=2, required = true)]
    words: Vec<String>,
    #[command(flatten)]
    option: ChannelOption,
    /// Directory that holds the authorities' folder `ca/`
    #[arg(long, value_name = "DIR", env = "CHANCERY_DIR", default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    signing: Signing,
}

impl RevokeAuthority {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<(), Failure> {
        let (named, [organization]) = self.option.and(self.words)?;
        let shown = session.connection.channel(&named).await?;
        let mut members = shown.config.into_iter().flat_map(|config| config.organizations);
        let member = members.find(|member| member.name == organization);
        let listed = member.map(|member| member.authorities).unwrap_or_default();
        // Of several that the organization has replaced one after the other, the one that is listed.
        let said = open_folder(&self.dir)?.records()?.compromised()?;
        let of = |said: &&ca::CompromisedAuthority| {
            said.organization == organization && listed.iter().any(|der| said.has_key_of(&der.0))
        };
        let Some(said) = said.iter().find(of) else {
            return Err(Failure::refused(format!(
                "{named} lists no CA of {organization} whose key was said to be compromised: `chancery ca replace \
                 {organization}` says so, where its key is"
            )));
        };
        session.act(&named, Action::ChannelRevokeAuthority(said.to_action()), &self.signing).await
    }
}
