//! What the assets class stores. The families of keys are in [`crate::state::keyspace`].

use crate::action::assets::Kind;
use crate::keys::{Address, PublicKey};
use crate::primitives::amount::Amount;
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::Hash;
use crate::primitives::time::Time;
use crate::state::record::Record;
use serde::Serialize;

/// An asset: its definition and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct AssetRecord {
    /// For people to read.
    pub title: String,
    /// Fungible or unique.
    pub kind: Kind,
    /// Who may mint.
    pub mint_authority: Address,
    /// Who alone may burn (its own holdings); every holder if absent.
    pub burn_authority: Option<Address>,
    /// Who may freeze, unfreeze, pause and resume.
    pub control_authority: Address,
    /// Digest of a document that describes the asset.
    pub metadata: Option<Hash>,
    /// Units, or items, that exist now.
    pub supply: Amount,
    /// Whether every movement is stopped.
    pub paused: bool,
    /// Who defined it.
    pub defined_by: Address,
    /// The block of the definition.
    pub defined_height: u64,
}

impl Record for AssetRecord {}

/// Units that their owner has locked until a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct LockEntry {
    /// Base units.
    pub amount: Amount,
    /// The units are free in the first block with this time or a later one.
    pub until: Time,
}

/// What one account owns of one fungible asset. Frozen and locked units are among the owned ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Balance {
    /// All units.
    pub owned: Amount,
    /// Those that the control authority froze.
    pub frozen: Amount,
    /// Those that the owner locked. An expired entry stays, without effect, until the balance is written again.
    pub locks: Vec<LockEntry>,
}

impl Record for Balance {}

impl Balance {
    /// Units under locks that are live at block time `time`.
    pub fn locked(&self, time: Time) -> Amount {
        let live = self.locks.iter().filter(|lock| lock.until > time);
        Amount(live.fold(0, |sum, lock| sum.saturating_add(lock.amount.0)))
    }

    /// Units that may move at block time `time`. Units frozen after they were locked count twice: never below zero.
    pub fn free(&self, time: Time) -> Amount {
        Amount(self.owned.0.saturating_sub(self.frozen.0).saturating_sub(self.locked(time).0))
    }

    /// Forgets the locks that have expired at block time `time`.
    pub(super) fn drop_expired(&mut self, time: Time) {
        self.locks.retain(|lock| lock.until > time);
    }

    /// Whether there is nothing to keep a record of.
    pub(super) fn is_void(&self) -> bool {
        self.owned.is_zero() && self.frozen.is_zero() && self.locks.is_empty()
    }
}

/// What a spender may still move of an owner's units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Allowance {
    /// Base units, not zero.
    pub amount: Amount,
    /// The block of the owner's approval: void once the owner was revoked since.
    pub height: u64,
}

impl Record for Allowance {}

/// An item of a unique asset. A burnt item's record stays, so that its id never returns.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct ItemRecord {
    /// Whose; [`Address::ZERO`] once burnt.
    pub owner: Address,
    /// Digest of the document that describes the item.
    pub metadata: Hash,
    /// Whether the control authority holds it in place.
    pub frozen: bool,
    /// Who may move it besides its owner.
    pub approved: Option<Address>,
    /// The block of that approval: void once the owner was revoked since.
    pub approved_height: Option<u64>,
    /// The block in which it was minted.
    pub minted_height: u64,
    /// The block in which it was burnt, if it was.
    pub burnt_height: Option<u64>,
}

impl Record for ItemRecord {}

/// An account that several keys control.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct JointAccount {
    /// The keys, ascending.
    pub keys: Vec<PublicKey>,
    /// How many of them must sign.
    pub threshold: u8,
}

impl Record for JointAccount {}
