//! The assets class.

use super::Context;
use crate::action::assets::{
    AccountAct, AccountCreate, Approve, ApproveItem, AssetName, Burn, Define, Freeze, ItemName, Lock, Mint, MintItem,
    Transfer, TransferBatch, TransferFrom, TransferItem,
};
use crate::amount::Amount;
use crate::keys::Address;
use crate::outcome::{Refusal, ResultCode, reject};

macro_rules! later {
    ($($name:ident: $body:ty),*) => { $(
        pub(super) fn $name(_: &mut Context<'_>, _: &$body) -> Result<(), Refusal> {
            reject(ResultCode::AssetUnknown, "")
        }
    )* };
}

later! {
    define: Define, mint: Mint, burn: Burn, transfer: Transfer, transfer_batch: TransferBatch, approve: Approve,
    transfer_from: TransferFrom, freeze: Freeze, unfreeze: Freeze, lock: Lock, pause: AssetName, resume: AssetName,
    mint_item: MintItem, burn_item: ItemName, transfer_item: TransferItem, approve_item: ApproveItem,
    freeze_item: ItemName, unfreeze_item: ItemName, create_account: AccountCreate, act: AccountAct
}

/// Pays a fee to `collector`, or burns it.
pub(super) fn pay_fee(_: &mut Context<'_>, _: &Address, _: &str, _: Amount, _: Option<Address>) -> Result<(), Refusal> {
    reject(ResultCode::FeeUnpaid, "")
}

/// Moves units between accounts, with every check but that of who may ask for it. Emits `asset.transferred`.
pub(super) fn move_units(_: &mut Context<'_>, _: &str, _: &Address, _: &Address, _: Amount) -> Result<(), Refusal> {
    reject(ResultCode::AssetUnknown, "")
}

/// Moves an item of `from`, with every check but that of who may ask for it. Emits `asset.item_transferred`.
pub(super) fn move_item(_: &mut Context<'_>, _: &str, _: &str, _: &Address, _: &Address) -> Result<(), Refusal> {
    reject(ResultCode::AssetUnknown, "")
}
