//! `chancery tx`: transactions as such.

use super::failure::Failure;
use super::session::{OnChannel, Session, WaitFor, read_file};
use clap::Subcommand;
use client::api::JsonEnvelope;
use client::verify::decode_payload;
use ledger_classes::formats::transaction::{Encoding, Envelope, Transaction};
use ledger_classes::limits::PAYLOAD_BYTES_MAX;
use ledger_classes::primitives::hash::Hash;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Submit a signed transaction, or sign and submit an unsigned one
    #[command(after_help = "\
FILE is JSON: either a signed transaction {\"payload\": …, \"signatures\": […]}, or a transaction {\"channel\": …,
\"nonce\": …, \"valid_until\": …, \"actions\": […]}, whose bytes are signed exactly as they are in the file. The
transaction names its channel; its amounts are base units. Submitting again is safe: a transaction has one outcome for ever.

Example:
  $ chancery tx submit transfer.json --wait accepted")]
    Submit {
        /// JSON file
        file: PathBuf,
        /// Account key file that signs, also beside signatures that are there; an unsigned transaction is signed with
        /// the profile's if absent. Repeat for several
        #[arg(long = "key", value_name = "FILE")]
        keys: Vec<PathBuf>,
        /// When to answer
        #[arg(long, value_enum, default_value = "committed")]
        wait: WaitFor,
        /// Print the signed transaction instead of submitting it
        #[arg(long)]
        print: bool,
        /// Whom this pays may be new to the channel; without this the command asks, or refuses where nobody can be asked
        #[arg(long)]
        new: bool,
    },
    /// Show what became of a transaction: its block, result, fee and events
    #[command(
        visible_alias = "show",
        after_help = "\
What it says itself is in its block, and in its proof (`chancery tx proof`).

Example:
  $ chancery tx status 9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d --channel trade"
    )]
    Status {
        /// The transaction's id
        id: Hash,
        #[command(flatten)]
        on: OnChannel,
    },
    /// Fetch a proof of a transaction's outcome, check it, and print or keep it
    #[command(after_help = "\
Anybody can check the proof offline: chancery verify --proof FILE.

Example:
  $ chancery tx proof 9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d --out proof.json")]
    Proof {
        /// The transaction's id
        id: Hash,
        #[command(flatten)]
        on: OnChannel,
        /// Tie it to the header of this height too
        #[arg(long, value_name = "HEIGHT")]
        later: Option<u64>,
        /// Write it to this new file
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

impl Command {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Submit { file, keys, wait, print, new } => {
                let bytes = read_file(&file, 2 * PAYLOAD_BYTES_MAX as u64)?;
                let envelope = match read_transaction(bytes)? {
                    Read::Signed(envelope) if keys.is_empty() => envelope,
                    Read::Signed(mut envelope) => {
                        let keys = session.signing_keys(&keys)?;
                        let keys: Vec<_> = keys.iter().collect();
                        let more = Envelope::sign(envelope.encoding, envelope.payload.clone(), &keys);
                        envelope.signatures.extend(more.signatures);
                        envelope
                    }
                    Read::Unsigned(payload) => {
                        let keys = session.signing_keys(&keys)?;
                        Envelope::sign(Encoding::Json, payload, &keys.iter().collect::<Vec<_>>())
                    }
                };
                let transaction =
                    decode_payload(&envelope).ok_or_else(|| Failure::usage("the payload is not a transaction"))?;
                let channel = transaction.channel.to_string();
                if !new && !print {
                    let signers: Vec<_> = envelope.signatures.iter().map(|signed| signed.key.address()).collect();
                    session.check_payees(&channel, &transaction.actions, &signers).await?;
                }
                session.send(&channel, &envelope, wait, print).await
            }
            Self::Status { id, on } => {
                let outcome = session.connection.transaction(&on.channel, id).await?;
                session.show_outcome(&on.channel, &outcome).await
            }
            Self::Proof { id, on, later, out } => {
                let connection = session.remembering()?;
                let channel = Hash::parse(&on.channel).ok();
                let (proof, proven) = connection.verified_proof(&on.channel, id, later, channel).await?;
                session.kept(&connection);
                if proven.id != id {
                    return Err(Failure::refused(format!("the peer proved another transaction, {}", proven.id)));
                }
                session.keep_proof(&proof, &proven, out.as_deref(), |proven| {
                    format!("proof of {id} in block {}", proven.height)
                })
            }
        }
    }
}

/// What a transaction file holds.
#[derive(Debug, PartialEq)]
enum Read {
    Signed(Envelope),
    /// The payload, exactly as it is in the file.
    Unsigned(Vec<u8>),
}

fn read_transaction(bytes: Vec<u8>) -> Result<Read, Failure> {
    let value: serde_json::Value = ledger_classes::primitives::json::from_slice(&bytes)
        .map_err(|error| Failure::usage(format!("not JSON: {error}")))?;
    if value.get("signatures").is_some() {
        let json: JsonEnvelope = ledger_classes::primitives::json::from_slice(&bytes)
            .map_err(|error| Failure::usage(format!("not a signed transaction: {error}")))?;
        return Envelope::try_from(json).map(Read::Signed).map_err(|error| Failure::usage(error.to_string()));
    }
    match ledger_classes::primitives::json::from_slice::<Transaction>(&bytes) {
        Ok(_) => Ok(Read::Unsigned(bytes)),
        Err(error) => Err(Failure::usage(format!("not a transaction: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ledger_classes::keys::SigningKey;

    const UNSIGNED: &str = r#" { "valid_until": "2026-11-21T10:05:54.123Z", "nonce": "7",
        "channel": "0707070707070707070707070707070707070707070707070707070707070707",
        "actions": [ { "type": "asset.pause", "asset": "coin" } ] }
"#;

    #[test]
    fn the_bytes_of_an_unsigned_transaction_stay_as_they_are() {
        assert_eq!(read_transaction(UNSIGNED.into()).unwrap(), Read::Unsigned(UNSIGNED.into()));
    }

    #[test]
    fn a_signed_transaction_is_taken_as_it_is() {
        let envelope = Envelope::sign(Encoding::Json, UNSIGNED.into(), &[&SigningKey::from_seed(&[1; 32])]);
        let text = serde_json::to_vec(&JsonEnvelope::from(&envelope)).unwrap();
        assert_eq!(read_transaction(text).unwrap(), Read::Signed(envelope));
    }

    #[test]
    fn other_files_are_usage_errors() {
        for (text, part) in [
            ("{", "not JSON"),
            ("{}", "not a transaction: missing field"),
            (r#"{"signatures": []}"#, "exactly one of payload"),
            (r#"{"signatures": [], "text": ""}"#, "unknown field `text`"),
        ] {
            let failure = read_transaction(text.into()).unwrap_err();
            assert_eq!(failure.exit_code(), 2);
            assert!(failure.message().unwrap().as_str().contains(part), "{failure:?} should say {part}");
        }
    }
}
