//! Random business: whatever anybody tries, supplies are the sums of balances and the numbers of items, and what
//! fails writes nothing.

use super::*;
use crate::state::keyspace::Family;
use crate::state::record;
use crate::state::view::{Value, prefix_end, scan};
use proptest::prelude::*;

const UNITS: [&str; 3] = ["gold", "capped", "none"];
const ITEMS: [&str; 4] = ["a", "b", "c", "d"];

/// A step that names accounts and amounts small enough to succeed often.
fn action() -> impl Strategy<Value = Action> {
    let account = 1u8..5;
    let amount = prop_oneof![8 => 0u128..40, 1 => Just(u128::MAX)];
    let unit = prop::sample::select(&UNITS[..]);
    let thing = prop::sample::select(&ITEMS[..]);
    (0u8..18, unit, account.clone(), account, amount, thing, 0u64..4).prop_map(
        |(kind, unit, one, other, amount, thing, soon)| {
            let base = Ledger::new().time;
            match kind {
                0 | 1 => mint(unit, address(one), amount),
                2 => burn(unit, amount),
                3 | 4 => transfer(unit, address(one), amount),
                5 => batch(&[(unit, one, amount), (unit, other, amount / 2)]),
                6 => approve(unit, address(one), amount),
                7 | 8 => transfer_from(unit, one, address(other), amount),
                9 => freeze(unit, one, amount),
                10 => unfreeze(unit, one, amount),
                11 => lock(unit, amount, base.plus_millis(soon * 8)),
                12 if soon == 0 => pause(unit),
                12 => resume(unit),
                13 => mint_item("art", thing, address(one)),
                14 if soon == 0 => Action::AssetBurnItem(named("art", thing)),
                14 | 15 => transfer_item("art", thing, address(one)),
                16 => approve_item("art", thing, (soon > 0).then(|| address(one))),
                _ if soon < 2 => Action::AssetFreezeItem(named("art", thing)),
                _ => Action::AssetUnfreezeItem(named("art", thing)),
            }
        },
    )
}

/// A transaction: who sends it, and what.
fn transaction() -> impl Strategy<Value = (u8, Vec<Action>)> {
    (prop_oneof![2 => Just(1u8), 3 => 2u8..5], prop::collection::vec(action(), 1..4))
}

/// Every entry of a family, without the family byte.
fn family(ledger: &Ledger, family: Family) -> Vec<(Vec<u8>, Value)> {
    let prefix = [family as u8];
    assert_eq!(prefix_end(&prefix).len(), 1);
    scan(&ledger.state, &prefix, &prefix, usize::MAX).unwrap()
}

/// The relations at the head of the class.
fn audit(ledger: &Ledger) {
    let balances: Vec<(String, Balance)> = family(ledger, Family::Balance)
        .iter()
        .map(|(key, value)| (String::from_utf8(key[21..].to_vec()).unwrap(), record::from_value(value).unwrap()))
        .collect();
    for (name, balance) in &balances {
        assert!(balance.frozen <= balance.owned, "{name}: more frozen than owned: {balance:?}");
        assert!(balance.locked(ledger.time) <= balance.owned, "{name}: more locked than owned: {balance:?}");
        assert!(*balance != Balance::default(), "{name}: a record of nothing");
    }
    let items: Vec<ItemRecord> =
        family(ledger, Family::Item).iter().map(|(_, value)| record::from_value(value).unwrap()).collect();
    let alive = items.iter().filter(|item| item.burnt_height.is_none()).count();
    assert_eq!(family(ledger, Family::OwnedItem).len(), alive, "each item is listed once");
    let listed: usize = [1, 2, 3, 4]
        .map(|one| items_of(&ledger.state, &address(one), &Span::first(99)).unwrap().items)
        .map(|list| list.len())
        .iter()
        .sum();
    assert_eq!(listed, alive, "under its owner");
    for NamedAsset { asset, record } in assets(&ledger.state, &Span::first(99)).unwrap().items {
        let sum = balances.iter().filter(|(name, _)| *name == asset).fold(0, |sum, (_, balance)| sum + balance.owned.0);
        match record.kind {
            Kind::Fungible { supply_cap, .. } => {
                assert_eq!(record.supply.0, sum, "{asset}: supply and sum of balances");
                assert!(supply_cap.is_none_or(|cap| record.supply <= cap), "{asset}: above its cap");
            }
            Kind::Unique {} => assert_eq!((record.supply.0, sum), (alive as u128, 0), "{asset}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn no_business_makes_or_loses_units(
        blocks in prop::collection::vec(prop::collection::vec(transaction(), 1..6), 1..10)
    ) {
        let mut ledger = Ledger::new();
        ledger.done(1, vec![
            Action::AssetDefine(define("gold", units(None))),
            Action::AssetDefine(define("capped", units(Some(60)))),
            Action::AssetDefine(define("art", Kind::Unique {})),
            mint("gold", address(2), 60), mint("gold", address(3), 60), mint("capped", address(4), 30),
        ]);
        for block in blocks {
            let transactions: Vec<_> =
                block.into_iter().map(|(sender, actions)| ledger.transaction(&[sender], actions)).collect();
            let executed = ledger.preview(&transactions);
            prop_assert_eq!(&ledger.preview(&transactions), &executed, "executing again gives the same");
            // A block of what succeeded alone writes the same: what failed left nothing, for nobody to see.
            let done: Vec<_> = transactions
                .iter()
                .zip(&executed.receipts)
                .filter(|(_, receipt)| receipt.is_done())
                .map(|(transaction, _)| transaction.clone())
                .collect();
            prop_assert_eq!(&ledger.preview(&done).writes, &executed.writes);
            ledger.state.apply(&executed.writes);
            ledger.height += 1;
            ledger.advance(3);
            audit(&ledger);
        }
    }
}
