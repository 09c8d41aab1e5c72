//! The actions that a transaction may list. JSON tags each with `type`; the binary encoding numbers them in the
//! order of [`Action`], which only ever grows at its end.
//!
//! A file per class holds the actions' bodies; what they do is in [`crate::execution`].

pub mod apps;
pub mod assets;
pub mod channel;
pub mod contracts;
pub mod logs;

use crate::formats::rights::{Class, Right};
use crate::primitives::codec::{Decode, Encode};
use serde::{Deserialize, Serialize};

macro_rules! actions {
    ($( $(#[$doc:meta])* $variant:ident($body:ty) = $text:literal, $right:expr; )*) => {
        /// One step of a transaction.
        #[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
        #[serde(remote = "Self")]
        pub enum Action {
            $( $(#[$doc])* #[serde(rename = $text)] $variant($body), )*
        }

        $crate::tagged!(Action, "type");

        impl Action {
            /// Every `type`, in the order of the binary encoding.
            pub const TYPES: &'static [&'static str] = &[$($text),*];

            /// The `type` text.
            pub const fn type_text(&self) -> &'static str {
                match self { $( Self::$variant(_) => $text, )* }
            }

            /// The right that the sender needs on the channel; `None` where the action itself decides.
            pub const fn right(&self) -> Option<Right> {
                match self { $( Self::$variant(_) => $right, )* }
            }
        }
    };
}

impl Action {
    /// Whether it concerns who takes part and by which rules, not what is owned or done. Such acts are free of fees, so
    /// that no lack of funds keeps a revocation or a change from taking effect, and only administrators and auditors
    /// read the transactions that carry them.
    pub const fn is_administrative(&self) -> bool {
        self.carries_authority() || matches!(self.right(), Some(Right::Admin))
    }

    /// Whether anybody may post it, without a participant record: it brings its own authority.
    pub const fn carries_authority(&self) -> bool {
        matches!(
            self,
            Self::ParticipantAdmit(_)
                | Self::ParticipantRevokeByEvidence(_)
                | Self::LogAudit(_)
                | Self::ChannelRenewAuthority(_)
                | Self::ChannelRevokeAuthority(_)
        )
    }
}

const ASSETS: Option<Right> = Some(Right::Write(Class::Assets));
const CONTRACTS: Option<Right> = Some(Right::Write(Class::Contracts));
const APPS: Option<Right> = Some(Right::Write(Class::Apps));
const LOGS: Option<Right> = Some(Right::Write(Class::Logs));
const ADMIN: Option<Right> = Some(Right::Admin);

actions! {
    /// Defines an asset.
    AssetDefine(assets::Define) = "asset.define", ASSETS;
    /// Creates units of a fungible asset.
    AssetMint(assets::Mint) = "asset.mint", ASSETS;
    /// Destroys units.
    AssetBurn(assets::Burn) = "asset.burn", ASSETS;
    /// Moves units.
    AssetTransfer(assets::Transfer) = "asset.transfer", ASSETS;
    /// Moves units to several accounts.
    AssetTransferBatch(assets::TransferBatch) = "asset.transfer_batch", ASSETS;
    /// Lets somebody else move units, up to an amount.
    AssetApprove(assets::Approve) = "asset.approve", ASSETS;
    /// Moves units of another account within its approval.
    AssetTransferFrom(assets::TransferFrom) = "asset.transfer_from", ASSETS;
    /// Freezes part of a balance.
    AssetFreeze(assets::Freeze) = "asset.freeze", ASSETS;
    /// Frees part of what is frozen.
    AssetUnfreeze(assets::Freeze) = "asset.unfreeze", ASSETS;
    /// Locks part of the own balance until a time.
    AssetLock(assets::Lock) = "asset.lock", ASSETS;
    /// Stops every movement of an asset.
    AssetPause(assets::AssetName) = "asset.pause", ASSETS;
    /// Ends a pause.
    AssetResume(assets::AssetName) = "asset.resume", ASSETS;
    /// Creates one item of a unique asset.
    AssetMintItem(assets::MintItem) = "asset.mint_item", ASSETS;
    /// Destroys an item.
    AssetBurnItem(assets::ItemName) = "asset.burn_item", ASSETS;
    /// Moves an item.
    AssetTransferItem(assets::TransferItem) = "asset.transfer_item", ASSETS;
    /// Lets somebody else move one item.
    AssetApproveItem(assets::ApproveItem) = "asset.approve_item", ASSETS;
    /// Freezes an item.
    AssetFreezeItem(assets::ItemName) = "asset.freeze_item", ASSETS;
    /// Frees an item.
    AssetUnfreezeItem(assets::ItemName) = "asset.unfreeze_item", ASSETS;
    /// Creates a joint account of m-of-n keys.
    AccountCreate(assets::AccountCreate) = "account.create", ASSETS;
    /// Lets the actions that follow act for a joint account that enough of the signers control.
    AccountAct(assets::AccountAct) = "account.act", ASSETS;
    /// Registers a contract under a name.
    ContractDeploy(contracts::Deploy) = "contract.deploy", CONTRACTS;
    /// Gives a contract a new version.
    ContractUpgrade(contracts::Deploy) = "contract.upgrade", CONTRACTS;
    /// Ends a contract for new instances.
    ContractRetire(contracts::Retire) = "contract.retire", CONTRACTS;
    /// Makes an instance of a contract.
    ContractCreate(contracts::Create) = "contract.create", CONTRACTS;
    /// Calls an instance.
    ContractCall(contracts::Call) = "contract.call", CONTRACTS;
    /// Registers an application or a new version of it.
    AppPublish(apps::Publish) = "app.publish", APPS;
    /// Changes an application's settings.
    AppUpdateSettings(apps::UpdateSettings) = "app.update_settings", APPS;
    /// Ends an application; its versions stay readable.
    AppRetire(apps::Retire) = "app.retire", APPS;
    /// Appends a log record.
    LogAppend(logs::Append) = "log.append", LOGS;
    /// Binds an address to an identity by a certificate path.
    ParticipantAdmit(channel::Admit) = "participant.admit", None;
    /// Ends what a certificate admitted, or an identity.
    ParticipantRevoke(channel::Revoke) = "participant.revoke", ADMIN;
    /// Proposes changes of the channel's configuration, and approves them.
    ChannelPropose(channel::Propose) = "channel.propose", ADMIN;
    /// Approves proposed changes.
    ChannelApprove(channel::Approve) = "channel.approve", ADMIN;
    /// Ends what a certificate admitted, on its CA's word.
    ParticipantRevokeByEvidence(channel::RevokeByEvidence) = "participant.revoke_by_evidence", None;
    /// Appends the next record of a sequence of administrative acts.
    LogAudit(logs::Audit) = "log.audit", None;
    /// Lets a member's CA go on under another certificate of its key.
    ChannelRenewAuthority(channel::RenewAuthority) = "channel.renew_authority", None;
    /// Proposes that a successor shall have what a revoked participant owns; later moves what could not move then.
    AccountRecover(assets::Recover) = "account.recover", ADMIN;
    /// Takes a proposal back.
    ChannelWithdraw(channel::Withdraw) = "channel.withdraw", ADMIN;
    /// Lets an identity that ended be admitted again.
    ParticipantReinstate(channel::Reinstate) = "participant.reinstate", ADMIN;
    /// Takes a CA off the channel whose key others have.
    ChannelRevokeAuthority(channel::RevokeAuthority) = "channel.revoke_authority", None;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever execution records as an act must be told by this list: its transactions are not for everybody.
    #[test]
    fn the_administrative_actions_are_those_that_are_recorded_as_acts() {
        let administrative = [
            "participant.admit",
            "participant.revoke",
            "channel.propose",
            "channel.approve",
            "participant.revoke_by_evidence",
            "log.audit",
            "channel.renew_authority",
            "account.recover",
            "channel.withdraw",
            "participant.reinstate",
            "channel.revoke_authority",
        ];
        let schema: serde_json::Value =
            crate::primitives::json::from_str(include_str!("../../docs/formats/transaction.schema.json"))
                .expect("JSON");
        for kind in Action::TYPES {
            let example = schema["$defs"][*kind]["examples"][0].clone();
            let action: Action = crate::primitives::json::from_value(example).expect("an example");
            assert_eq!(action.is_administrative(), administrative.contains(kind), "{kind}");
        }
    }
}
