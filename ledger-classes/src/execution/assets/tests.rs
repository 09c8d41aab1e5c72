//! Rules of the assets class, one row each.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::action::Action;
use crate::action::assets::*;
use crate::execution::test_support::{Ledger, address};
use crate::hash::Hash;

#[test]
fn units_and_items_go_from_hand_to_hand() {
    let mut ledger = Ledger::new();
    let define = |asset: &str, kind| {
        Action::AssetDefine(Define {
            asset: asset.into(),
            title: "T".into(),
            kind,
            mint_authority: None,
            burn_authority: None,
            control_authority: None,
            metadata: None,
        })
    };
    ledger.done(
        1,
        vec![
            define("gold", Kind::Fungible { decimals: 2, supply_cap: None }),
            define("art", Kind::Unique {}),
            Action::AssetMint(Mint { asset: "gold".into(), to: address(1), amount: Amount(100) }),
            Action::AssetMintItem(MintItem {
                asset: "art".into(),
                item: "a".into(),
                to: address(1),
                metadata: Hash::ZERO,
            }),
        ],
    );
    ledger.done(
        1,
        vec![
            Action::AssetTransfer(Transfer { asset: "gold".into(), to: address(2), amount: Amount(40) }),
            Action::AssetTransferItem(TransferItem { asset: "art".into(), item: "a".into(), to: address(2) }),
        ],
    );
    assert_eq!(balance_of(&ledger.state, "gold", &address(1)).unwrap().owned, Amount(60));
    assert_eq!(balance_of(&ledger.state, "gold", &address(2)).unwrap().owned, Amount(40));
    assert_eq!(items_of(&ledger.state, &address(2), None, 9).unwrap().len(), 1);
    assert!(items_of(&ledger.state, &address(1), None, 9).unwrap().is_empty());
}
