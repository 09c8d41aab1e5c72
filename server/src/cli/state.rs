//! `chancery state`: what keys have in a channel's state, proven.

use super::failure::Failure;
use super::session::{OnChannel, Session};
use clap::{ArgGroup, Subcommand};
use ledger_classes::keys::Address;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::identity::is_label;
use ledger_classes::state::keyspace;
use std::path::PathBuf;
use std::str::FromStr;

/// A key of the state.
#[derive(Clone, Debug)]
pub(super) struct StateKey(Vec<u8>);

impl FromStr for StateKey {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        hex::decode(text).map(Self)
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Fetch a proof of what a key has in the last block's state, or that it has nothing; check it, and print or keep it
    #[command(
        group = ArgGroup::new("what").required(true).args(["key", "balance"]),
        after_help = "\
What stands under which key is in docs/formats/state.md; --balance makes the key of what an account has of an asset. A
proof is for who may read the key's class, and of logs, of contracts, and of what a channel keeps of itself for who may
read the acts beside it, too. Anybody can check it offline: chancery verify --proof FILE.

Examples:
  $ chancery state proof --balance coin --channel trade --out proof.json
  $ chancery state proof 10636f696e --channel trade"
    )]
    Proof {
        /// The key, in hex digits
        key: Option<StateKey>,
        /// What an account has of this asset
        #[arg(long, value_name = "ASSET")]
        balance: Option<String>,
        /// Which account has it; the account key's if absent
        #[arg(long, value_name = "ADDRESS", requires = "balance", conflicts_with = "key")]
        of: Option<Address>,
        #[command(flatten)]
        on: OnChannel,
        /// Write it to this new file
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

impl Command {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let Self::Proof { key, balance, of, on, out } = self;
        let key = match (key, balance) {
            (Some(StateKey(key)), _) => key,
            (None, Some(asset)) if is_label(&asset) => keyspace::balance(&session.address_or_own(of)?, &asset),
            (None, asset) => {
                let asset = asset.unwrap_or_default();
                return Err(Failure::usage(format!("{asset:?} is the name of no asset")));
            }
        };
        let connection = session.remembering()?;
        let channel = Hash::parse(&on.channel).ok();
        let (proof, proven) = connection.verified_state(&on.channel, &key, channel).await?;
        session.kept(&connection);
        session.keep_proof(&proof, &proven, out.as_deref(), |proven| {
            let value = if proven.value.is_some() { "its value" } else { "that it is absent" };
            format!("proof of key {} and {value} in block {}", hex::encode(&proven.key.0), proven.height)
        })
    }
}
