//! Another key for an organization's CA, because others have the one that it has.

use super::{NewKey, directory::Directory, trust};
use crate::cli::failure::Failure;
use crate::cli::output::{Output, clean, when};
use crate::clock;
use clap::Args;
use serde_json::json;

/// Give an organization's CA a new key, because others have the old one
#[derive(Args, Debug)]
#[command(after_help = "\
The old CA is revoked (cACompromise), and with it all that it issued; its key says once that others have it, and peers that
have the folder bring that to every channel that lists it. There whom it vouched for can sign nothing from the next block
on. On a channel that nobody could change afterwards the new CA takes its place, as the old key says as well.

Then: renew or issue certificates (`chancery ca renew FOLDER --dir D`), have the others list the new CA on their channels
(`chancery channel update CHANNEL --put-org ORGANIZATION`), and admit everybody again
(`chancery participant admit`). Destroy the old key when no channel lists it any more.

Example:
  $ chancery ca replace dealer --why 'the disk was stolen' --dir peer-1")]
pub(super) struct Replace {
    /// Organization whose CA it is
    organization: String,
    #[command(flatten)]
    key: NewKey,
}

impl Replace {
    pub(super) fn run(self, directory: &Directory, output: Output) -> Result<(), Failure> {
        let (folder, place) = (directory.open()?, self.key.place()?);
        let replaced = folder.authorities().replace(&self.organization, place, clock::now())?;
        let (made, unsaid) = (replaced.authority, replaced.unsaid);
        let own_root = made.issuer == made.name;
        output.show(&json!({ "authority": made, "unsaid": unsaid }), |_| {
            let mut text = format!(
                "{} has a CA with another key (serial {}), valid until {}; the one before is revoked\n",
                made.name,
                made.serial,
                when(made.not_after)
            );
            if let Some(why) = &unsaid {
                text.push_str(&format!(
                    "The old key could not say that others have it ({}): take its certificate off each channel by \
                     `chancery channel update CHANNEL --put-org {}`\n",
                    clean(why),
                    made.name
                ));
            }
            if own_root {
                text.push_str(&trust::told_of_new_root(&made.name));
            }
            text.push_str(&format!(
                "Next: `chancery ca renew FOLDER --dir D` for each certificate that it is to vouch for again; members of \
                 each channel list it (`chancery channel update CHANNEL --put-org {}`); then `chancery participant admit` \
                 again. Destroy the old key when no channel lists it any more.\n",
                made.name
            ));
            text
        })
    }
}
