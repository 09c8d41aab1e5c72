//! `chancery account`: what accounts own, and joint accounts.

use super::amounts::put_point;
use super::failure::Failure;
use super::output::{pairs, record, table};
use super::session::{OnChannel, Paging, Session, Signing, ToChannel};
use clap::Subcommand;
use client::api::{AccountView, BalanceView};
use ledger_classes::action::{Action, assets};
use ledger_classes::keys::{Address, PublicKey};
use serde_json::Value;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show balances, items, participant record and keys of an account
    #[command(after_help = "\
Example:
  $ chancery account show --channel trade")]
    Show {
        /// The account; the account key's if absent
        address: Option<Address>,
        #[command(flatten)]
        on: OnChannel,
    },
    /// List all balances of an account
    #[command(after_help = "\
Example:
  $ chancery account balances --channel trade")]
    Balances {
        /// The account; the account key's if absent
        address: Option<Address>,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        on: OnChannel,
    },
    /// List all items of an account
    #[command(after_help = "\
Example:
  $ chancery account items --channel trade")]
    Items {
        /// The account; the account key's if absent
        address: Option<Address>,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        on: OnChannel,
    },
    /// Create a joint account that some of several keys control; its address is in the event
    #[command(after_help = "\
Each member signs, since whoever is listed stands behind the account. Give the keys at hand with --key. For others write the
transaction to a file with --print, let each of them run `chancery tx submit FILE --key KEYFILE --print`, which adds a
signature, and submit the last one; --valid-for says how long that may take, at most a day.

Example:
  $ chancery account create --member ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a \
--threshold 1 --channel trade")]
    Create {
        /// A public key, as `key show` prints it; repeat for several
        #[arg(long = "member", value_name = "KEY", required = true)]
        members: Vec<PublicKey>,
        /// How many of the keys must sign
        #[arg(long)]
        threshold: u8,
        #[command(flatten)]
        on: ToChannel,
        #[command(flatten)]
        signing: Signing,
    },
    /// Propose that a successor shall have what a revoked participant owns and is owed: others run `channel approve` with
    /// the id that this prints. Once it is done, the same command moves what could not move then
    #[command(after_help = "\
Example:
  $ chancery account recover 0x5cb4b8a1c62bd8ae4bdbb6ea1c0da9ba2b4f2e51 0x0f1e2d3c4b5a69788796a5b4c3d2e1f001234567 \
--reason 'key lost' --channel trade")]
    Recover {
        /// The revoked participant
        from: Address,
        /// Who shall have it: a participant of the same organization
        to: Address,
        /// Why, on the record
        #[arg(long)]
        reason: String,
        /// Move this asset only
        #[arg(long)]
        asset: Option<String>,
        #[command(flatten)]
        on: ToChannel,
        #[command(flatten)]
        signing: Signing,
    },
    /// Show how much somebody may move of what an account owns
    #[command(after_help = "\
Example:
  $ chancery account allowance coin 0x5cB4B8a1C62BD8ae4bDBB6eA1c0Da9bA2b4F2e51")]
    Allowance {
        /// The asset
        asset: String,
        /// Who may move
        spender: Address,
        /// Who approved; the account key's if absent
        #[arg(long)]
        owner: Option<Address>,
        #[command(flatten)]
        on: OnChannel,
    },
}

impl Command {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Show { address, on } => {
                let address = session.address_or_own(address)?;
                session.output.show(&session.connection.account(&on.channel, address).await?, text)
            }
            Self::Balances { address, paging, on } => {
                let address = session.address_or_own(address)?.to_string();
                let path = ["channels", &on.channel, "accounts", &address, "balances"];
                let page = session.connection.page::<BalanceView>(&path, &[], paging.part()).await?;
                session.output.list(&page, &BALANCE, balance)
            }
            Self::Items { address, paging, on } => {
                let address = session.address_or_own(address)?.to_string();
                let path = ["channels", &on.channel, "accounts", &address, "items"];
                let page = session.connection.page::<Value>(&path, &[], paging.part()).await?;
                session.output.page(&page, &["asset", "item", "frozen", "approved"])
            }
            Self::Create { members, threshold, on, signing } => {
                let create = Action::AccountCreate(assets::AccountCreate { keys: members, threshold });
                session.act(&on.channel, create, &signing).await
            }
            Self::Recover { from, to, reason, asset, on, signing } => {
                let recover = assets::Recover { from, to, reason, asset };
                session.act(&on.channel, Action::AccountRecover(recover), &signing).await
            }
            Self::Allowance { asset, spender, owner, on } => {
                let owner = session.address_or_own(owner)?;
                let mut allowance = session.connection.allowance(&on.channel, owner, spender, &asset).await?;
                if !session.output.json {
                    let decimals = allowance["decimals"].as_u64().and_then(|decimals| decimals.try_into().ok());
                    put_point(&mut allowance, "amount", decimals.unwrap_or(0));
                }
                session.output.record(&allowance)
            }
        }
    }
}

/// Columns of a balance.
const BALANCE: [&str; 5] = ["asset", "owned", "free", "frozen", "locked"];

/// A balance as a row.
fn balance(balance: &BalanceView) -> Vec<String> {
    let amounts = [balance.owned, balance.free, balance.frozen, balance.locked];
    let amounts = amounts.into_iter().map(|amount| amount.to_decimal(balance.decimals));
    std::iter::once(super::output::clean(&balance.asset)).chain(amounts).collect()
}

/// An account in words.
pub(super) fn text(account: &AccountView) -> String {
    let mut text = pairs(&[("account", account.address.to_string()), ("height", account.height.to_string())]);
    for (title, value) in [("participant", &account.participant), ("joint", &account.joint)] {
        if let Some(value) = value {
            text.push_str(&format!("\n{title}\n{}", record(value)));
        }
    }
    if !account.balances.is_empty() {
        let rows: Vec<Vec<String>> = account.balances.iter().map(balance).collect();
        text.push('\n');
        text.push_str(&table(&BALANCE, &rows));
    }
    if !account.items.is_empty() {
        let clean = super::output::clean;
        let rows: Vec<Vec<String>> =
            account.items.iter().map(|item| vec![clean(&item.asset), clean(&item.item)]).collect();
        text.push('\n');
        text.push_str(&table(&["asset", "item"], &rows));
    }
    for (next, command) in [(&account.balances_next, "balances"), (&account.items_next, "items")] {
        if let Some(next) = next {
            let (address, next) = (account.address, super::output::clean(next));
            text.push_str(&format!("\nmore: chancery account {command} {address} --after {next}\n"));
        }
    }
    text
}
