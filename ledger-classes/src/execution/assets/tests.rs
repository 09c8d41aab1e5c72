//! The assets class under test: one file a group of rules, all on one ledger in a known state.
//!
//! Signer 1 defined every asset and holds all authorities; 2 and 3 own something; 4 owns nothing.
#![allow(clippy::unwrap_used)]
// Rule tables: a row is a tuple, its columns are named above the table.
#![allow(clippy::type_complexity)]

mod accounts;
mod bank;
mod fungible;
mod unique;

use super::*;
use crate::action::Action;
use crate::action::assets::*;

use crate::execution::test_support::{Ledger, address};
use crate::execution::{Fate, Ran};
use crate::primitives::hash::Hash;
use crate::primitives::time::Time;
use crate::state::listing::Span;
use ResultCode as Code;

fn define(asset: &str, kind: Kind) -> Define {
    Define {
        asset: asset.into(),
        title: "An asset".into(),
        kind,
        mint_authority: None,
        burn_authority: None,
        control_authority: None,
        metadata: None,
    }
}

const fn units(supply_cap: Option<u128>) -> Kind {
    let supply_cap = match supply_cap {
        Some(cap) => Some(Amount(cap)),
        None => None,
    };
    Kind::Fungible { decimals: 2, supply_cap }
}

fn mint(asset: &str, to: Address, amount: u128) -> Action {
    Action::AssetMint(Mint { asset: asset.into(), to, amount: Amount(amount) })
}

fn burn(asset: &str, amount: u128) -> Action {
    Action::AssetBurn(Burn { asset: asset.into(), amount: Amount(amount) })
}

fn transfer(asset: &str, to: Address, amount: u128) -> Action {
    Action::AssetTransfer(Transfer { asset: asset.into(), to, amount: Amount(amount) })
}

fn batch(transfers: &[(&str, u8, u128)]) -> Action {
    let one = |(asset, to, amount): &(&str, u8, u128)| Transfer {
        asset: (*asset).into(),
        to: address(*to),
        amount: Amount(*amount),
    };
    Action::AssetTransferBatch(TransferBatch { transfers: transfers.iter().map(one).collect() })
}

fn approve(asset: &str, spender: Address, amount: u128) -> Action {
    Action::AssetApprove(Approve { asset: asset.into(), spender, amount: Amount(amount), expected: None })
}

/// Lets 3 move `amount` of 2's gold if it may still move `expected`.
fn expect(expected: u128, amount: u128) -> Action {
    let (asset, spender, amount) = ("gold".into(), address(3), Amount(amount));
    Action::AssetApprove(Approve { asset, spender, amount, expected: Some(Amount(expected)) })
}

fn transfer_from(asset: &str, from: u8, to: Address, amount: u128) -> Action {
    Action::AssetTransferFrom(TransferFrom { asset: asset.into(), from: address(from), to, amount: Amount(amount) })
}

fn freeze(asset: &str, account: u8, amount: u128) -> Action {
    Action::AssetFreeze(Freeze { asset: asset.into(), account: address(account), amount: Amount(amount) })
}

fn unfreeze(asset: &str, account: u8, amount: u128) -> Action {
    Action::AssetUnfreeze(Freeze { asset: asset.into(), account: address(account), amount: Amount(amount) })
}

fn lock(asset: &str, amount: u128, until: Time) -> Action {
    Action::AssetLock(Lock { asset: asset.into(), amount: Amount(amount), until })
}

fn pause(asset: &str) -> Action {
    Action::AssetPause(AssetName { asset: asset.into() })
}

fn resume(asset: &str) -> Action {
    Action::AssetResume(AssetName { asset: asset.into() })
}

fn mint_item(asset: &str, item: &str, to: Address) -> Action {
    Action::AssetMintItem(MintItem { asset: asset.into(), item: item.into(), to, metadata: Hash([5; 32]) })
}

fn named(asset: &str, item: &str) -> ItemName {
    ItemName { asset: asset.into(), item: item.into() }
}

fn transfer_item(asset: &str, item: &str, to: Address) -> Action {
    Action::AssetTransferItem(TransferItem { asset: asset.into(), item: item.into(), to })
}

fn approve_item(asset: &str, item: &str, spender: Option<Address>) -> Action {
    Action::AssetApproveItem(ApproveItem { asset: asset.into(), item: item.into(), spender })
}

/// A channel with: `gold` (2 owns 100, 40 of them frozen, 30 approved to 3; 3 owns 50), `capped` (cap 10, 6 exist),
/// `full` (2^128 - 1 exist), `stuck` (paused, 2 owns 10), `taxed` (only 1 burns; 1 and 2 own 10 each), and `art`
/// (2 owns `a`, `b` approved to 3, `c` frozen; `d` was burnt; 3 owns `e`), `still` (paused, 2 owns `a`),
/// `held` (only 1 burns; 2 owns `a`).
fn market() -> Ledger {
    let mut ledger = Ledger::new();
    let defined = |body: Define| Action::AssetDefine(body);
    let only_one = Some(address(1));
    ledger.done(
        1,
        vec![
            defined(define("gold", units(None))),
            defined(define("capped", units(Some(10)))),
            defined(define("full", units(None))),
            defined(define("stuck", units(None))),
            defined(Define { burn_authority: only_one, ..define("taxed", units(None)) }),
            defined(define("art", Kind::Unique {})),
            defined(define("still", Kind::Unique {})),
            defined(Define { burn_authority: only_one, ..define("held", Kind::Unique {}) }),
            mint("gold", address(2), 100),
            mint("gold", address(3), 50),
            freeze("gold", 2, 40),
            mint("capped", address(2), 6),
            mint("full", address(2), u128::MAX),
            mint("stuck", address(2), 10),
            pause("stuck"),
            mint("taxed", address(1), 10),
            mint("taxed", address(2), 10),
        ],
    );
    let items = ["a", "b", "c", "d"].map(|item| mint_item("art", item, address(2)));
    ledger.done(1, items.into());
    ledger.done(1, vec![mint_item("art", "e", address(3)), Action::AssetFreezeItem(named("art", "c"))]);
    ledger.done(1, vec![mint_item("still", "a", address(2)), pause("still"), mint_item("held", "a", address(2))]);
    let spender = address(3);
    ledger.done(
        2,
        vec![
            approve("gold", spender, 30),
            approve("stuck", spender, 5),
            approve_item("art", "b", Some(spender)),
            Action::AssetBurnItem(named("art", "d")),
        ],
    );
    ledger
}

/// Owned units of `asset` by signers 1 to 4.
fn owned(ledger: &Ledger, asset: &str) -> [u128; 4] {
    [1, 2, 3, 4].map(|number| balance_of(&ledger.state, asset, &address(number)).unwrap().owned.0)
}

/// Executes `actions` of `signer` on a fresh market; checks the code, that a failure says why and writes nothing,
/// and that executing twice gives the same. Gives the ledger after it.
#[track_caller]
fn check(rule: &str, signers: &[u8], actions: Vec<Action>, expected: Code) -> Ledger {
    check_on(market(), rule, signers, actions, expected)
}

#[track_caller]
fn check_on(mut ledger: Ledger, rule: &str, signers: &[u8], actions: Vec<Action>, expected: Code) -> Ledger {
    let transactions = [ledger.transaction(signers, actions)];
    let Ran { executed, fates, .. } = ledger.draft(&transactions);
    if let Fate::Dropped { code, .. } = fates[0] {
        assert_eq!(code, expected, "{rule}");
        assert!(executed.writes.is_empty() && executed.receipts.is_empty(), "{rule}: it leaves nothing");
        return ledger;
    }
    assert_eq!(ledger.preview(&transactions), executed, "{rule}: the same again");
    let receipt = &executed.receipts[0];
    let message = &receipt.message();
    assert_eq!(Code::from_number(receipt.head.code), Some(expected), "{rule}: {message}");
    let failed = expected != Code::Done;
    assert_eq!(failed, !message.is_empty(), "{rule}: a failure, and only a failure, says why");
    assert_eq!(failed, executed.writes.is_empty(), "{rule}: a failure, and only a failure, writes nothing");
    assert_eq!(failed, receipt.events.is_empty(), "{rule}: a failure, and only a failure, has no events");
    ledger.state.apply(&executed.writes);
    ledger.height += 1;
    ledger
}
