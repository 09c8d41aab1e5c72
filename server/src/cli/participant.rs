//! `chancery participant`: who may sign on a channel.

use super::failure::Failure;
use super::output::{clean, until};
use super::session::{OnChannel, Paging, Session, Signing, ToChannel};
use super::values::ValueError;
use clap::Subcommand;
use client::admit::admission;
use client::api::ParticipantStanding;
use ledger_classes::action::Action;
use ledger_classes::action::channel::{Reinstate, Revoke};
use ledger_classes::keys::Address;
use ledger_classes::primitives::hash::HexBytes;
use ledger_classes::primitives::identity::Identity;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Bind an address to the profile's certificate on a channel
    #[command(after_help = "\
The certificate's key proves that its holder wants this address bound on this channel; the address's own key signs too.
Admit again after a renewal.

Example:
  $ chancery participant admit --channel trade")]
    Admit {
        /// The address of one of the keys that sign; the first one's if absent
        #[arg(long)]
        address: Option<Address>,
        #[command(flatten)]
        on: ToChannel,
        #[command(flatten)]
        signing: Signing,
    },
    /// End an identity on a channel, or one certificate of it; for administrators of its organization
    #[command(after_help = "\
Without a serial number the identity ends: whatever it is admitted with, and nobody is admitted under its name until
`chancery participant reinstate`. With one only that certificate ends, and an earlier or later one goes on.

After `chancery ca revoke` a peer that has the folder of the CA does this by itself, and `chancery ca publish` does it for
an organization whose CA is elsewhere. Whoever is revoked on a channel posts nothing there, and where reading is not public
reads nothing there either.

Examples:
  $ chancery participant revoke spiffe://harbour.example/carrier/client/carl --reason 'phone lost' --channel trade
  $ chancery participant revoke spiffe://harbour.example/bank/client/alice 5f1c22 --reason 'key lost' --channel trade")]
    Revoke {
        /// Who
        identity: Identity,
        /// Serial number of one certificate, in hex; if absent, the identity ends with all its certificates
        #[arg(value_parser = serial)]
        serial: Option<HexBytes>,
        /// Why, for people to read
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        on: ToChannel,
        #[command(flatten)]
        signing: Signing,
    },
    /// Let an identity that ended be admitted again; for administrators of its organization
    #[command(after_help = "\
It comes back by a certificate that had not admitted it before it ended. Revoke the old ones at the CA as well.

Example:
  $ chancery participant reinstate spiffe://harbour.example/bank/client/alice --reason 'a new phone' --channel trade")]
    Reinstate {
        /// Who: an identity that `participant list` calls ended
        identity: Identity,
        /// Why, for people to read
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        on: ToChannel,
        #[command(flatten)]
        signing: Signing,
    },
    /// List who may sign on a channel, and who may not any more
    #[command(after_help = "\
The standing of each: admitted; revoked, by its CA or its organization; ended, which is the whole identity, until its
organization reinstates it; expired; or that no CA vouches for it which the channel lists for its organization.

Example:
  $ chancery participant list --organization bank --channel trade")]
    List {
        /// Of this organization only
        #[arg(long, value_name = "NAME")]
        organization: Option<String>,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        on: OnChannel,
    },
    /// Show a participant record
    #[command(after_help = "\
Example:
  $ chancery participant show --channel trade")]
    Show {
        /// The address; the account key's if absent
        address: Option<Address>,
        #[command(flatten)]
        on: OnChannel,
    },
}

/// Parses a serial number as tools print it: hex digits in any case, perhaps with colons and leading zeros.
fn serial(text: &str) -> Result<HexBytes, ValueError> {
    let digits: String = text.chars().filter(|digit| *digit != ':').collect();
    let padded = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits };
    let bytes = hex::decode(padded).map_err(|_| ValueError::SerialForm(text.to_owned()))?;
    let significant: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
    match significant.len() {
        1..=20 => Ok(HexBytes(significant)),
        _ => Err(ValueError::SerialLength),
    }
}

impl Command {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Admit { address, on, signing } => {
                let Some(credential) = &session.profile.credential else {
                    return Err(Failure::usage("the profile has no certificate to admit with"));
                };
                let address = match address {
                    Some(address) => address,
                    None => session.signing_keys(&signing.keys)?[0].public().address(),
                };
                let channel = session.channel_id(&on.channel).await?;
                session.act(&on.channel, admission(credential, channel, address)?, &signing).await
            }
            Self::Revoke { identity, serial, reason, on, signing } => {
                let revoke = Action::ParticipantRevoke(Revoke { identity, serial, reason });
                session.act(&on.channel, revoke, &signing).await
            }
            Self::Reinstate { identity, reason, on, signing } => {
                let reinstate = Action::ParticipantReinstate(Reinstate { identity, reason });
                session.act(&on.channel, reinstate, &signing).await
            }
            Self::List { organization, paging, on } => {
                let organization = organization.as_deref();
                let page = session.connection.participants(&on.channel, organization, paging.part()).await?;
                let titles = ["identity", "address", "standing", "serial", "not after"];
                session.output.list(&page, &titles, |participant| {
                    let standing = match participant.standing {
                        ParticipantStanding::Admitted => "admitted".into(),
                        ParticipantStanding::Expired => "expired".into(),
                        ParticipantStanding::Unvouched => "no CA vouches".into(),
                        ParticipantStanding::Revoked => {
                            let height = participant.revoked_height.unwrap_or_default();
                            format!("revoked in block {height}")
                        }
                        ParticipantStanding::Ended => {
                            let height = participant.ended_height.unwrap_or_default();
                            format!("ended in block {height}")
                        }
                    };
                    let (address, serial) = (participant.address.to_string(), hex::encode(&participant.serial.0));
                    vec![
                        clean(&participant.identity),
                        address,
                        standing,
                        serial,
                        until(participant.not_after, client::now()),
                    ]
                })
            }
            Self::Show { address, on } => {
                let address = session.address_or_own(address)?;
                session.output.record(&session.connection.participant(&on.channel, address).await?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_read_as_tools_print_them() {
        for (text, bytes) in [
            ("5F:1C:22", Some(&[0x5f, 0x1c, 0x22][..])),
            ("005f1c22", Some(&[0x5f, 0x1c, 0x22])),
            ("f1c", Some(&[0x0f, 0x1c])),
            ("", None),
            ("00", None),
            ("xy", None),
            ("112233445566778899001122334455667788990011", None),
        ] {
            assert_eq!(serial(text).ok().map(|serial| serial.0), bytes.map(<[u8]>::to_vec), "{text}");
        }
    }
}
