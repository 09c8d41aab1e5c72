//! Bodies of the assets class. Amounts are base units; an asset is named by 1 to 64 of a-z, 0-9 and hyphen.

use crate::keys::{Address, PublicKey};
use crate::primitives::amount::Amount;
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::Hash;
use crate::primitives::time::Time;
use serde::{Deserialize, Serialize};

/// What an asset consists of.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Kind {
    /// Equal units.
    Fungible {
        /// Digits after the point when shown; 0 to 38.
        decimals: u8,
        /// Most units that may ever exist at once.
        supply_cap: Option<Amount>,
    },
    /// Items, each one of its kind.
    Unique {},
}

/// `asset.define`. Authorities default to the acting account.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Define {
    /// The asset's name on this channel.
    pub asset: String,
    /// For people to read.
    #[serde(default)]
    pub title: String,
    /// Fungible or unique.
    pub kind: Kind,
    /// Who may mint.
    #[serde(default)]
    pub mint_authority: Option<Address>,
    /// Who may burn its own holdings of it: this account only, or every holder if absent.
    #[serde(default)]
    pub burn_authority: Option<Address>,
    /// Who may freeze, unfreeze, pause and resume.
    #[serde(default)]
    pub control_authority: Option<Address>,
    /// Digest of a document that describes the asset.
    #[serde(default)]
    pub metadata: Option<Hash>,
}

/// `asset.mint`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mint {
    /// The asset.
    pub asset: String,
    /// Who receives.
    pub to: Address,
    /// Base units, not zero.
    pub amount: Amount,
}

/// `asset.burn`: from the acting account.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Burn {
    /// The asset.
    pub asset: String,
    /// Base units, not zero.
    pub amount: Amount,
}

/// `asset.transfer`: from the acting account.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// The asset.
    pub asset: String,
    /// Who receives.
    pub to: Address,
    /// Base units, not zero.
    pub amount: Amount,
}

/// `asset.transfer_batch`: all or nothing.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferBatch {
    /// 1 to 256 transfers.
    pub transfers: Vec<Transfer>,
}

/// `asset.approve`: sets, not adds; zero ends the approval.
///
/// Who changes an approval from 100 to 50 says `expected: 100`: else a spender who moves the 100 just before has 150.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    /// The asset.
    pub asset: String,
    /// Who may move units of the acting account.
    pub spender: Address,
    /// Base units.
    pub amount: Amount,
    /// What the spender may still move before this, zero if nothing: refused where it is something else. Not asked if
    /// absent.
    #[serde(default)]
    pub expected: Option<Amount>,
}

/// `asset.transfer_from`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferFrom {
    /// The asset.
    pub asset: String,
    /// Who approved the acting account.
    pub from: Address,
    /// Who receives.
    pub to: Address,
    /// Base units, not zero.
    pub amount: Amount,
}

/// `asset.freeze` and `asset.unfreeze`, by the control authority.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// The asset.
    pub asset: String,
    /// Whose balance.
    pub account: Address,
    /// Base units, not zero.
    pub amount: Amount,
}

/// `asset.lock`: the acting account cannot move `amount` before `until`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The asset.
    pub asset: String,
    /// Base units, not zero.
    pub amount: Amount,
    /// Block time at which the units are free again.
    pub until: Time,
}

/// `asset.pause` and `asset.resume`, by the control authority.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetName {
    /// The asset.
    pub asset: String,
}

/// `asset.mint_item`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MintItem {
    /// The unique asset.
    pub asset: String,
    /// The item's id: 1 to 64 of a-z, 0-9 and hyphen.
    pub item: String,
    /// Who receives.
    pub to: Address,
    /// Digest of the document that describes the item.
    pub metadata: Hash,
}

/// An item: `asset.burn_item` by its owner, `asset.freeze_item` and `asset.unfreeze_item` by the control authority.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemName {
    /// The unique asset.
    pub asset: String,
    /// The item.
    pub item: String,
}

/// `asset.transfer_item`, by the owner or by whom it approved for the item.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferItem {
    /// The unique asset.
    pub asset: String,
    /// The item.
    pub item: String,
    /// Who receives.
    pub to: Address,
}

/// `asset.approve_item`; `None` ends the approval, as a transfer does.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApproveItem {
    /// The unique asset.
    pub asset: String,
    /// The item.
    pub item: String,
    /// Who may move it.
    #[serde(default)]
    pub spender: Option<Address>,
}

/// `account.create`: the address is the hash of threshold and keys in ascending order. Each of the keys signs.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountCreate {
    /// 1 to 16 distinct keys.
    pub keys: Vec<PublicKey>,
    /// How many of them must sign; 1 to the number of keys.
    pub threshold: u8,
}

/// `account.act`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountAct {
    /// A joint account.
    pub account: Address,
}

/// `account.recover`: proposes that `to` shall have what the revoked participant `from` owns and is owed; others approve
/// with `channel.approve`. Once that is decided any administrator posts it again, for what could not move then.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recover {
    /// A revoked participant.
    pub from: Address,
    /// A participant of the same organization, in good standing.
    pub to: Address,
    /// Why, for people to read.
    #[serde(default)]
    pub reason: String,
    /// Moves this asset only; all of them if absent.
    #[serde(default)]
    pub asset: Option<String>,
}
