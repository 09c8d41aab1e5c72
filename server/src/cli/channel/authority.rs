//! A CA's next certificate on a channel, by the authorities' folder that has its key.

use crate::cli::failure::Failure;
use crate::cli::session::{Session, Signing};
use ca::CertificateFolder;
use clap::Args;
use ledger_classes::action::Action;
use ledger_classes::action::channel::RenewAuthority as Renewal;
use ledger_classes::hash::HexBytes;
use std::path::PathBuf;

/// Let an organization's CA go on under its newest certificate
#[derive(Args, Debug)]
#[command(after_help = "\
The CA's key signs, as in the configuration that lists it; nobody has to approve, and anybody who may connect may post.
Within a year of the listed certificate's end, and after it too. Make the newest certificate with `chancery ca reissue`.

Example:
  $ chancery channel renew-authority trade bank --dir peer-1")]
pub(in crate::cli) struct RenewAuthority {
    /// Channel, by name or by id
    channel: String,
    /// Organization whose CA it is
    organization: String,
    /// Directory that holds the authorities' folder `ca/`
    #[arg(long, value_name = "DIR", env = "CHANCERY_DIR", default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    signing: Signing,
}

impl RenewAuthority {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<(), Failure> {
        let channel = session.channel_id(&self.channel).await?;
        let config = session.connection.channel(&self.channel).await?.config;
        let mut members = config.into_iter().flat_map(|config| config.organizations);
        let member = members.find(|member| member.name == self.organization);
        let listed = member.map(|member| member.authorities).unwrap_or_default();
        let folder = CertificateFolder::open(&self.dir)?;
        let (certificate, proof) = folder.consent(&self.organization, &channel, &listed)?;
        let (certificate, proof) = (HexBytes(certificate), HexBytes(proof));
        let renewal = Renewal { organization: self.organization, certificate, proof };
        session.act(&self.channel, Action::ChannelRenewAuthority(renewal), &self.signing).await
    }
}
