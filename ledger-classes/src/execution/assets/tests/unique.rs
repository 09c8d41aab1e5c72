//! Rules of items.

use super::*;

fn burnt(asset: &str, item: &str) -> Action {
    Action::AssetBurnItem(named(asset, item))
}

fn frozen(asset: &str, item: &str) -> Action {
    Action::AssetFreezeItem(named(asset, item))
}

fn thawed(asset: &str, item: &str) -> Action {
    Action::AssetUnfreezeItem(named(asset, item))
}

/// Items of `art` in the lists of signers 2 to 4.
fn lists(ledger: &Ledger) -> [String; 3] {
    [2, 3, 4].map(|number| {
        let items = items_of(&ledger.state, &address(number), &Span::first(99)).unwrap().items;
        let mine: Vec<String> =
            items.into_iter().filter(|listed| listed.asset == "art").map(|listed| listed.item).collect();
        mine.concat()
    })
}

/// Each row: rule, signer, actions, code, what 2, 3 and 4 own of `art` afterwards.
#[test]
fn every_rule_of_items_has_its_code() {
    let untouched = ["abc", "e", ""];
    let long = |bytes: usize| "x".repeat(bytes);
    let to = address(4);
    #[rustfmt::skip]
    let rows: Vec<(&str, u8, Vec<Action>, Code, [&str; 3])> = vec![
        ("mint", 1, vec![mint_item("art", "f", to)], Code::Done, ["abc", "e", "f"]),
        ("mint what exists", 1, vec![mint_item("art", "a", to)], Code::ItemExists, untouched),
        ("mint what existed", 1, vec![mint_item("art", "d", to)], Code::ItemExists, untouched),
        ("mint without authority", 2, vec![mint_item("art", "f", to)], Code::NotTheAuthority, untouched),
        ("mint to nobody", 1, vec![mint_item("art", "f", Address::ZERO)], Code::InvalidField, untouched),
        ("mint without a name", 1, vec![mint_item("art", "", to)], Code::InvalidField, untouched),
        ("mint a name in capitals", 1, vec![mint_item("art", "F", to)], Code::InvalidField, untouched),
        ("mint a name with the byte that ends names", 1, vec![mint_item("art", "f\0", to)], Code::InvalidField, untouched),
        ("mint a name of 65 bytes", 1, vec![mint_item("art", &long(65), to)], Code::InvalidField, untouched),
        ("mint what is not defined", 1, vec![mint_item("none", "f", to)], Code::AssetUnknown, untouched),
        ("mint an item of units", 1, vec![mint_item("gold", "f", to)], Code::WrongAssetKind, untouched),
        ("mint while paused", 1, vec![mint_item("still", "f", to)], Code::AssetIsPaused, untouched),
        ("burn", 2, vec![burnt("art", "a")], Code::Done, ["bc", "e", ""]),
        ("burn another's", 3, vec![burnt("art", "a")], Code::NotTheOwner, untouched),
        ("burn what one is approved for", 3, vec![burnt("art", "b")], Code::NotTheOwner, untouched),
        ("burn what is frozen", 2, vec![burnt("art", "c")], Code::ItemIsFrozen, untouched),
        ("burn twice", 2, vec![burnt("art", "d")], Code::ItemUnknown, untouched),
        ("burn without the authority", 2, vec![burnt("held", "a")], Code::NotTheAuthority, untouched),
        ("burn as the authority what is another's", 1, vec![burnt("held", "a")], Code::NotTheOwner, untouched),
        ("burn while paused", 2, vec![burnt("still", "a")], Code::AssetIsPaused, untouched),
        ("burn what is not defined", 2, vec![burnt("none", "a")], Code::AssetUnknown, untouched),
        ("burn an item of units", 2, vec![burnt("gold", "a")], Code::WrongAssetKind, untouched),
        ("transfer by the owner", 2, vec![transfer_item("art", "a", to)], Code::Done, ["bc", "e", "a"]),
        ("transfer by who is approved", 3, vec![transfer_item("art", "b", to)], Code::Done, ["ac", "e", "b"]),
        ("transfer by another", 3, vec![transfer_item("art", "a", to)], Code::NotTheOwner, untouched),
        ("transfer to oneself", 2, vec![transfer_item("art", "a", address(2))], Code::Done, untouched),
        ("transfer to nobody", 2, vec![transfer_item("art", "a", Address::ZERO)], Code::InvalidField, untouched),
        ("transfer what is frozen", 2, vec![transfer_item("art", "c", to)], Code::ItemIsFrozen, untouched),
        ("transfer what was burnt", 2, vec![transfer_item("art", "d", to)], Code::ItemUnknown, untouched),
        ("transfer what never was", 2, vec![transfer_item("art", "z", to)], Code::ItemUnknown, untouched),
        ("transfer while paused", 2, vec![transfer_item("still", "a", to)], Code::AssetIsPaused, untouched),
        ("transfer what is not defined", 2, vec![transfer_item("none", "a", to)], Code::AssetUnknown, untouched),
        ("transfer an item of units", 2, vec![transfer_item("gold", "a", to)], Code::WrongAssetKind, untouched),
        ("transfer twice by who was approved once", 3,
            vec![transfer_item("art", "b", address(2)), transfer_item("art", "b", to)], Code::NotTheOwner, untouched),
        ("approve by the owner", 2, vec![approve_item("art", "a", Some(to))], Code::Done, untouched),
        ("approve by who is approved", 3, vec![approve_item("art", "b", Some(to))], Code::NotTheOwner, untouched),
        ("approve nobody's address", 2, vec![approve_item("art", "a", Some(Address::ZERO))], Code::InvalidField, untouched),
        ("approve what never was", 2, vec![approve_item("art", "z", Some(to))], Code::ItemUnknown, untouched),
        ("approve while paused", 2, vec![approve_item("still", "a", Some(to))], Code::Done, untouched),
        ("approve what is not defined", 2, vec![approve_item("none", "a", None)], Code::AssetUnknown, untouched),
        ("approve an item of units", 2, vec![approve_item("gold", "a", None)], Code::WrongAssetKind, untouched),
        ("freeze", 1, vec![frozen("art", "a")], Code::Done, untouched),
        ("freeze without authority", 2, vec![frozen("art", "a")], Code::NotTheAuthority, untouched),
        ("freeze twice", 1, vec![frozen("art", "c")], Code::ItemIsFrozen, untouched),
        ("freeze what was burnt", 1, vec![frozen("art", "d")], Code::ItemUnknown, untouched),
        ("freeze while paused", 1, vec![frozen("still", "a")], Code::Done, untouched),
        ("freeze what is not defined", 1, vec![frozen("none", "a")], Code::AssetUnknown, untouched),
        ("freeze an item of units", 1, vec![frozen("gold", "a")], Code::WrongAssetKind, untouched),
        ("unfreeze", 1, vec![thawed("art", "c")], Code::Done, untouched),
        ("unfreeze without authority", 2, vec![thawed("art", "c")], Code::NotTheAuthority, untouched),
        ("unfreeze what is not frozen", 1, vec![thawed("art", "a")], Code::NotFrozen, untouched),
        ("unfreeze what never was", 1, vec![thawed("art", "z")], Code::ItemUnknown, untouched),
    ];
    for (rule, signer, actions, expected, after) in rows {
        let ledger = check(rule, &[signer], actions, expected);
        assert_eq!(lists(&ledger), after, "{rule}");
    }
}

#[test]
fn a_withdrawn_approval_and_an_ended_freeze_have_no_effect() {
    let mut ledger = market();
    ledger.done(2, vec![approve_item("art", "b", None)]);
    ledger.done(1, vec![thawed("art", "c")]);
    check_on(ledger.clone(), "withdrawn", &[3], vec![transfer_item("art", "b", address(3))], Code::NotTheOwner);
    check_on(ledger, "thawed", &[2], vec![transfer_item("art", "c", address(3))], Code::Done);
}

#[test]
fn a_burnt_item_leaves_a_tombstone_and_the_supply() {
    let ledger = market();
    let record = item(&ledger.state, "art", "d").unwrap().unwrap();
    assert_eq!((record.owner, record.approved, record.burnt_height), (Address::ZERO, None, Some(ledger.height)));
    assert_eq!(asset(&ledger.state, "art").unwrap().unwrap().supply, Amount(4));
    assert_eq!(item(&ledger.state, "art", "z"), Ok(None));
}

#[test]
fn a_list_of_items_continues_where_a_page_ended() {
    let ledger = market();
    let page = |after: Option<(&str, &str)>, limit| -> Vec<(String, String)> {
        let after = after.map(|(asset, item)| [asset.as_bytes(), &[0], item.as_bytes()].concat());
        let items = items_of(&ledger.state, &address(2), &Span { after, ..Span::first(limit) }).unwrap().items;
        items.into_iter().map(|listed| (listed.asset, listed.item)).collect()
    };
    let pair = |asset: &str, item: &str| (asset.to_string(), item.to_string());
    assert_eq!(page(None, 2), [pair("art", "a"), pair("art", "b")]);
    assert_eq!(page(Some(("art", "b")), 2), [pair("art", "c"), pair("held", "a")]);
    assert_eq!(page(Some(("held", "a")), 9), [pair("still", "a")]);
    let of_art = items(&ledger.state, "art", &Span::first(3)).unwrap();
    let names: Vec<&str> = of_art.items.iter().map(|item| item.item.as_str()).collect();
    assert_eq!((names, of_art.next), (vec!["a", "b", "c"], Some(b"c".to_vec())));
    let mut ledger = ledger;
    ledger.done(2, vec![burnt("art", "a")]);
    let first = items(&ledger.state, "art", &Span::first(1)).unwrap().items;
    assert!(
        first[0].item == "a" && first[0].record.burnt_height.is_some(),
        "a burnt item stays in the list: {first:?}"
    );
}
