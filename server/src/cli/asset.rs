//! `chancery asset`: everything that can be done with fungible and unique assets. Amounts have the point that the
//! asset's decimals put into them (see `amounts`).

use super::account;
use super::amounts::{base_units, decimals_of, plain_units, put_point};
use super::failure::Failure;
use super::session::{OnChannel, Paging, Session, Signing, ToChannel};
use super::values::ValueError;
use clap::{Args, Subcommand};
use ledger_classes::action::{Action, assets};
use ledger_classes::keys::Address;
use ledger_classes::primitives::amount::Decimal;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use serde_json::Value;

/// Where and how an action is submitted.
#[derive(Args, Debug)]
pub(super) struct Act {
    #[command(flatten)]
    on: ToChannel,
    #[command(flatten)]
    signing: Signing,
}

/// Part of somebody's balance.
#[derive(Args, Debug)]
pub(super) struct Part {
    /// The asset
    asset: String,
    /// Whose balance
    account: Address,
    /// How much, such as 2.50
    #[arg(allow_negative_numbers = true)]
    amount: Decimal,
    #[command(flatten)]
    act: Act,
}

/// An asset, as a whole.
#[derive(Args, Debug)]
pub(super) struct Whole {
    /// The asset
    asset: String,
    #[command(flatten)]
    act: Act,
}

/// An item.
#[derive(Args, Debug)]
pub(super) struct Item {
    /// The unique asset
    asset: String,
    /// The item
    item: String,
    #[command(flatten)]
    act: Act,
}

/// Units that somebody receives.
#[derive(Args, Debug)]
pub(super) struct Give {
    /// The asset
    asset: String,
    /// Who receives
    to: Address,
    /// How much, such as 2.50
    #[arg(allow_negative_numbers = true)]
    amount: Decimal,
    #[command(flatten)]
    act: Act,
}

/// What `define` takes.
#[derive(Args, Debug)]
pub(super) struct Define {
    /// The asset's name on the channel: 1 to 64 of a-z, 0-9 and hyphen
    asset: String,
    /// For people to read
    #[arg(long, default_value = "")]
    title: String,
    /// Items, each one of its kind, instead of equal units
    #[arg(long, conflicts_with_all = ["decimals", "supply_cap"])]
    unique: bool,
    /// Digits after the point when shown
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=38))]
    decimals: u8,
    /// Most that may ever exist at once
    #[arg(long, value_name = "AMOUNT")]
    supply_cap: Option<Decimal>,
    /// Who may mint; the acting account if absent
    #[arg(long, value_name = "ADDRESS")]
    mint_authority: Option<Address>,
    /// The only account that may burn; every holder if absent
    #[arg(long, value_name = "ADDRESS")]
    burn_authority: Option<Address>,
    /// Who may freeze, unfreeze, pause and resume; the acting account if absent
    #[arg(long, value_name = "ADDRESS")]
    control_authority: Option<Address>,
    /// Digest of a document that describes the asset
    #[arg(long, value_name = "HEX")]
    metadata: Option<Hash>,
    #[command(flatten)]
    act: Act,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Define an asset
    #[command(after_help = "\
Example:
  $ chancery asset define coin --title 'Harbour coin' --decimals 2 --supply-cap 1000000.00 --channel trade
  $ chancery asset define deed --unique --channel trade")]
    Define(Box<Define>),
    /// Create units; for the mint authority
    #[command(after_help = "\
Example:
  $ chancery asset mint coin 0x5cB4B8a1C62BD8ae4bDBB6eA1c0Da9bA2b4F2e51 1000.00 --channel trade")]
    Mint(Give),
    /// Destroy own units
    #[command(after_help = "\
Example:
  $ chancery asset burn coin 5.50 --channel trade")]
    Burn {
        /// The asset
        asset: String,
        /// How much, such as 2.50
        #[arg(allow_negative_numbers = true)]
        amount: Decimal,
        #[command(flatten)]
        act: Act,
    },
    /// Move units to another account
    #[command(after_help = "\
Example:
  $ chancery asset transfer coin 0x5cB4B8a1C62BD8ae4bDBB6eA1c0Da9bA2b4F2e51 250 --memo 'invoice 12' --channel trade")]
    Transfer(Give),
    /// Move units to several accounts, all or nothing
    #[command(after_help = "\
Example:
  $ chancery asset transfer-batch coin 0x5cB4B8a1C62BD8ae4bDBB6eA1c0Da9bA2b4F2e51=2.50 \
0x1111111111111111111111111111111111111111=0.40 --channel trade")]
    TransferBatch {
        /// The asset
        asset: String,
        /// Who receives how much
        #[arg(value_name = "ADDRESS=AMOUNT", required = true, value_parser = share)]
        shares: Vec<(Address, Decimal)>,
        #[command(flatten)]
        act: Act,
    },
    /// Let another account move own units, up to an amount; 0 ends it
    #[command(after_help = "\
Example:
  $ chancery asset approve coin 0x5cB4B8a1C62BD8ae4bDBB6eA1c0Da9bA2b4F2e51 1000 --channel trade
  $ chancery asset approve coin 0x5cB4B8a1C62BD8ae4bDBB6eA1c0Da9bA2b4F2e51 400 --expected 1000 --channel trade")]
    Approve {
        /// The asset
        asset: String,
        /// Who may move
        spender: Address,
        /// How much, such as 2.50
        #[arg(allow_negative_numbers = true)]
        amount: Decimal,
        /// Only if it may still move exactly this much, 0 if nothing: else who moves the old amount just before has both
        #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
        expected: Option<Decimal>,
        #[command(flatten)]
        act: Act,
    },
    /// Move units of an account that approved it
    #[command(after_help = "\
Example:
  $ chancery asset transfer-from coin 0x5cB4B8a1C62BD8ae4bDBB6eA1c0Da9bA2b4F2e51 \
0x1111111111111111111111111111111111111111 40 --channel trade")]
    TransferFrom {
        /// The asset
        asset: String,
        /// Who approved
        from: Address,
        /// Who receives
        to: Address,
        /// How much, such as 2.50
        #[arg(allow_negative_numbers = true)]
        amount: Decimal,
        #[command(flatten)]
        act: Act,
    },
    /// Freeze part of a balance; for the control authority
    #[command(after_help = "\
Example:
  $ chancery asset freeze coin 0x5cB4B8a1C62BD8ae4bDBB6eA1c0Da9bA2b4F2e51 100 --channel trade")]
    Freeze(Part),
    /// Free part of what is frozen; for the control authority
    #[command(after_help = "\
Example:
  $ chancery asset unfreeze coin 0x5cB4B8a1C62BD8ae4bDBB6eA1c0Da9bA2b4F2e51 100 --channel trade")]
    Unfreeze(Part),
    /// Lock part of the own balance until a time
    #[command(after_help = "\
Example:
  $ chancery asset lock coin 100 --until 2027-01-01T00:00:00Z --channel trade")]
    Lock {
        /// The asset
        asset: String,
        /// How much, such as 2.50
        #[arg(allow_negative_numbers = true)]
        amount: Decimal,
        /// RFC 3339 time
        #[arg(long, value_parser = Time::parse)]
        until: Time,
        #[command(flatten)]
        act: Act,
    },
    /// Stop every movement of an asset; for the control authority
    #[command(after_help = "\
Example:
  $ chancery asset pause coin --channel trade")]
    Pause(Whole),
    /// End a pause; for the control authority
    #[command(after_help = "\
Example:
  $ chancery asset resume coin --channel trade")]
    Resume(Whole),
    /// Create an item of a unique asset; for the mint authority
    #[command(after_help = "\
Example:
  $ chancery asset mint-item deed lot-7 0x5cB4B8a1C62BD8ae4bDBB6eA1c0Da9bA2b4F2e51 --metadata-of lot-7.pdf --channel trade")]
    MintItem {
        /// The unique asset
        asset: String,
        /// The item: 1 to 64 of a-z, 0-9 and hyphen
        item: String,
        /// Who receives
        to: Address,
        /// Digest of the document that describes the item
        #[arg(long, value_name = "HEX")]
        metadata: Option<Hash>,
        /// File whose SHA-256 is that digest; the file itself stays here
        #[arg(long, value_name = "FILE", conflicts_with = "metadata")]
        metadata_of: Option<std::path::PathBuf>,
        #[command(flatten)]
        act: Act,
    },
    /// Destroy an own item
    #[command(after_help = "\
Example:
  $ chancery asset burn-item deed lot-7 --channel trade")]
    BurnItem(Item),
    /// Move an item to another account
    #[command(after_help = "\
Example:
  $ chancery asset transfer-item deed lot-7 0x5cB4B8a1C62BD8ae4bDBB6eA1c0Da9bA2b4F2e51 --channel trade")]
    TransferItem {
        /// The unique asset
        asset: String,
        /// The item
        item: String,
        /// Who receives
        to: Address,
        #[command(flatten)]
        act: Act,
    },
    /// Let another account move one item; without SPENDER, end it
    #[command(after_help = "\
Example:
  $ chancery asset approve-item deed lot-7 0x5cB4B8a1C62BD8ae4bDBB6eA1c0Da9bA2b4F2e51 --channel trade")]
    ApproveItem {
        /// The unique asset
        asset: String,
        /// The item
        item: String,
        /// Who may move it
        spender: Option<Address>,
        #[command(flatten)]
        act: Act,
    },
    /// Freeze an item; for the control authority
    #[command(after_help = "\
Example:
  $ chancery asset freeze-item deed lot-7 --channel trade")]
    FreezeItem(Item),
    /// Free an item; for the control authority
    #[command(after_help = "\
Example:
  $ chancery asset unfreeze-item deed lot-7 --channel trade")]
    UnfreezeItem(Item),
    /// Show what an account owns
    #[command(after_help = "\
Example:
  $ chancery asset balance --asset coin --channel trade")]
    Balance {
        /// The account; the account key's if absent
        account: Option<Address>,
        /// One asset only
        #[arg(long)]
        asset: Option<String>,
        #[command(flatten)]
        on: OnChannel,
    },
    /// List assets
    #[command(after_help = "\
Example:
  $ chancery asset list --channel trade")]
    List {
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        on: OnChannel,
    },
    /// List the items of a unique asset, the burnt ones too
    #[command(after_help = "\
Example:
  $ chancery asset items deed --channel trade")]
    Items {
        /// The unique asset
        asset: String,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        on: OnChannel,
    },
    /// Show an asset, or one of its items
    #[command(after_help = "\
Example:
  $ chancery asset show coin
  $ chancery asset show deed --item lot-7")]
    Show {
        /// The asset
        asset: String,
        /// One item
        #[arg(long)]
        item: Option<String>,
        #[command(flatten)]
        on: OnChannel,
    },
}

/// An asset's record for people: supply and cap with their point.
fn with_points(record: &mut Value) {
    let decimals = decimals_of(record);
    put_point(record, "supply", decimals);
    if let Some(kind) = record.get_mut("kind").and_then(|kind| kind.get_mut("fungible")) {
        put_point(kind, "supply_cap", decimals);
    }
}

fn share(text: &str) -> Result<(Address, Decimal), ValueError> {
    let (address, amount) = text.split_once('=').ok_or(ValueError::Share)?;
    Ok((address.parse()?, amount.parse()?))
}

impl Command {
    pub(super) async fn run(self, session: &Session) -> Result<(), Failure> {
        let (action, Act { on, signing }) = match self {
            Self::Balance { account, asset, on } => {
                let address = session.address_or_own(account)?;
                let mut view = session.connection.account(&on.channel, address).await?;
                if let Some(asset) = asset {
                    view.balances.retain(|balance| balance.asset == asset);
                    view.items.retain(|item| item.asset == asset);
                }
                return session.output.show(&view, account::text);
            }
            Self::List { paging, on } => {
                let path = ["channels", &on.channel, "assets"];
                let mut page = session.connection.page::<Value>(&path, &[], paging.part()).await?;
                if !session.output.json {
                    page.items.iter_mut().for_each(with_points);
                }
                return session.output.page(&page, &["asset", "title", "kind", "supply", "mint_authority"]);
            }
            Self::Items { asset, paging, on } => {
                let path = ["channels", &on.channel, "assets", &asset, "items"];
                let page = session.connection.page::<Value>(&path, &[], paging.part()).await?;
                return session.output.page(&page, &["item", "owner", "frozen", "approved", "burnt_height"]);
            }
            Self::Show { asset, item, on } => {
                let mut path = vec!["channels", &on.channel, "assets", &asset];
                path.extend(item.iter().flat_map(|item| ["items", item]));
                let mut record = session.connection.get::<Value>(&path, &[]).await?;
                if !session.output.json {
                    with_points(&mut record);
                }
                return session.output.record(&record);
            }
            act => {
                let decimals = match act.paid_in() {
                    Some((asset, Act { on, signing })) if !signing.base_units => {
                        Some(session.decimals(&on.channel, asset).await?)
                    }
                    _ => None,
                };
                act.action(decimals)?
            }
        };
        session.act(&on.channel, action, &signing).await
    }

    /// The asset that the command's amounts are of; none for a command without amounts, or whose asset is yet to be.
    const fn paid_in(&self) -> Option<(&String, &Act)> {
        match self {
            Self::Mint(Give { asset, act, .. })
            | Self::Transfer(Give { asset, act, .. })
            | Self::Freeze(Part { asset, act, .. })
            | Self::Unfreeze(Part { asset, act, .. })
            | Self::Burn { asset, act, .. }
            | Self::TransferBatch { asset, act, .. }
            | Self::Approve { asset, act, .. }
            | Self::TransferFrom { asset, act, .. }
            | Self::Lock { asset, act, .. } => Some((asset, act)),
            _ => None,
        }
    }

    /// The action of a command that changes something; `decimals` are those of its amounts, none where these are base units.
    fn action(self, decimals: Option<u8>) -> Result<(Action, Act), Failure> {
        let any = |asset: &str, amount: Decimal| match decimals {
            Some(decimals) => base_units(asset, amount, decimals),
            None => plain_units(asset, amount),
        };
        let units = |asset: &str, amount: Decimal| match amount.is_zero() {
            true => Err(Failure::usage(format!("an amount of {asset} that is zero does nothing"))),
            false => any(asset, amount),
        };
        Ok(match self {
            Self::Define(define) => {
                let Define { asset, title, unique, decimals, supply_cap, .. } = *define;
                let Define { mint_authority, burn_authority, control_authority, metadata, act, .. } = *define;
                let own = (!act.signing.base_units).then_some(decimals);
                let cap = |cap| own.map_or_else(|| plain_units(&asset, cap), |own| base_units(&asset, cap, own));
                let supply_cap = supply_cap.map(cap).transpose()?;
                let kind =
                    if unique { assets::Kind::Unique {} } else { assets::Kind::Fungible { decimals, supply_cap } };
                let body =
                    assets::Define { asset, title, kind, mint_authority, burn_authority, control_authority, metadata };
                (Action::AssetDefine(body), act)
            }
            Self::Mint(Give { asset, to, amount, act }) => {
                let amount = units(&asset, amount)?;
                (Action::AssetMint(assets::Mint { asset, to, amount }), act)
            }
            Self::Burn { asset, amount, act } => {
                let amount = units(&asset, amount)?;
                (Action::AssetBurn(assets::Burn { asset, amount }), act)
            }
            Self::Transfer(Give { asset, to, amount, act }) => {
                let amount = units(&asset, amount)?;
                (Action::AssetTransfer(assets::Transfer { asset, to, amount }), act)
            }
            Self::TransferBatch { asset, shares, act } => {
                let transfer = |(to, amount)| -> Result<_, Failure> {
                    Ok(assets::Transfer { asset: asset.clone(), to, amount: units(&asset, amount)? })
                };
                let transfers = shares.into_iter().map(transfer).collect::<Result<_, _>>()?;
                (Action::AssetTransferBatch(assets::TransferBatch { transfers }), act)
            }
            Self::Approve { asset, spender, amount, expected, act } => {
                // Nothing ends an approval.
                let amount = any(&asset, amount)?;
                let expected = expected.map(|expected| any(&asset, expected)).transpose()?;
                (Action::AssetApprove(assets::Approve { asset, spender, amount, expected }), act)
            }
            Self::TransferFrom { asset, from, to, amount, act } => {
                let amount = units(&asset, amount)?;
                (Action::AssetTransferFrom(assets::TransferFrom { asset, from, to, amount }), act)
            }
            Self::Freeze(Part { asset, account, amount, act }) => {
                let amount = units(&asset, amount)?;
                (Action::AssetFreeze(assets::Freeze { asset, account, amount }), act)
            }
            Self::Unfreeze(Part { asset, account, amount, act }) => {
                let amount = units(&asset, amount)?;
                (Action::AssetUnfreeze(assets::Freeze { asset, account, amount }), act)
            }
            Self::Lock { asset, amount, until, act } => {
                let amount = units(&asset, amount)?;
                (Action::AssetLock(assets::Lock { asset, amount, until }), act)
            }
            Self::Pause(Whole { asset, act }) => (Action::AssetPause(assets::AssetName { asset }), act),
            Self::Resume(Whole { asset, act }) => (Action::AssetResume(assets::AssetName { asset }), act),
            Self::MintItem { asset, item, to, metadata, metadata_of, act } => {
                let metadata = match (metadata_of, metadata) {
                    (Some(path), _) => super::session::digest_of(&path)?,
                    (None, Some(digest)) => digest,
                    (None, None) => {
                        let what = "an item has the digest of the document that describes it: --metadata HEX, or \
                                    --metadata-of FILE";
                        return Err(Failure::usage(what));
                    }
                };
                (Action::AssetMintItem(assets::MintItem { asset, item, to, metadata }), act)
            }
            Self::BurnItem(Item { asset, item, act }) => (Action::AssetBurnItem(assets::ItemName { asset, item }), act),
            Self::TransferItem { asset, item, to, act } => {
                (Action::AssetTransferItem(assets::TransferItem { asset, item, to }), act)
            }
            Self::ApproveItem { asset, item, spender, act } => {
                (Action::AssetApproveItem(assets::ApproveItem { asset, item, spender }), act)
            }
            Self::FreezeItem(Item { asset, item, act }) => {
                (Action::AssetFreezeItem(assets::ItemName { asset, item }), act)
            }
            Self::UnfreezeItem(Item { asset, item, act }) => {
                (Action::AssetUnfreezeItem(assets::ItemName { asset, item }), act)
            }
            Self::Balance { .. } | Self::List { .. } | Self::Items { .. } | Self::Show { .. } => {
                return Err(Failure::usage("this command changes nothing"));
            }
        })
    }
}
