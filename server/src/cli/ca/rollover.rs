//! The next certificate of a CA.

use super::Directory;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::clock;
use clap::Args;

/// Certify an organization's CA again, before its certificate expires
#[derive(Args, Debug)]
#[command(after_help = "\
Key and name stay, so everything that the CA has signed holds under both certificates, and nobody has to act at once.
Certificates that are issued or renewed from now on carry the new one in their path. Channels that list the old one
should be given the new one before the old one expires.

Example:
  $ chancery ca reissue bank --dir peer-1")]
pub(super) struct Reissue {
    /// Organization whose CA is certified
    organization: String,
}

impl Reissue {
    pub(super) fn run(self, directory: &Directory, output: Output) -> Result<(), Failure> {
        let made = directory.open()?.reissue(&self.organization, clock::now())?;
        output.show(&made, |made| {
            format!("the CA of {} has serial {} now, valid until {}\n", made.name, made.serial, made.not_after)
        })
    }
}
