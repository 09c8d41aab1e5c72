//! Rules of units: definition, movement, approvals, restraints, fees.

use super::*;
use crate::formats::event::Event;

#[test]
fn every_rule_of_definitions_has_its_code() {
    let long = |bytes: usize| "x".repeat(bytes);
    let fungible =
        |decimals, cap: Option<u128>| define("new", Kind::Fungible { decimals, supply_cap: cap.map(Amount) });
    let rows = [
        ("units", define("new", units(None)), Code::Done),
        ("items", define("new", Kind::Unique {}), Code::Done),
        ("a name that is taken", define("gold", units(None)), Code::AssetExists),
        ("no name", define("", units(None)), Code::InvalidField),
        ("a name of 64 bytes", define(&long(64), units(None)), Code::Done),
        ("a name of 65 bytes", define(&long(65), units(None)), Code::InvalidField),
        ("a name in capitals", define("GOLD", units(None)), Code::InvalidField),
        ("the byte that ends names", define("a\0b", units(None)), Code::InvalidField),
        ("a title of 128 bytes", Define { title: long(128), ..define("new", units(None)) }, Code::Done),
        ("a title of 129 bytes", Define { title: long(129), ..define("new", units(None)) }, Code::InvalidField),
        ("38 decimals", fungible(38, None), Code::Done),
        ("39 decimals", fungible(39, None), Code::InvalidField),
        ("a cap of one", fungible(0, Some(1)), Code::Done),
        ("a cap of nothing", fungible(0, Some(0)), Code::InvalidField),
    ];
    for (rule, body, expected) in rows {
        check(rule, &[4], vec![Action::AssetDefine(body)], expected);
    }
}

#[test]
fn authorities_default_to_who_defines() {
    let ledger = check("defaults", &[4], vec![Action::AssetDefine(define("new", units(None)))], Code::Done);
    let record = asset(&ledger.state, "new").unwrap().unwrap();
    assert_eq!((record.mint_authority, record.control_authority), (address(4), address(4)));
    assert_eq!((record.burn_authority, record.supply, record.paused), (None, Amount::ZERO, false));
    assert_eq!((record.defined_by, record.defined_height), (address(4), ledger.height));

    let named =
        Define { mint_authority: Some(address(2)), control_authority: Some(address(3)), ..define("new", units(None)) };
    let ledger = check("named", &[4], vec![Action::AssetDefine(named)], Code::Done);
    check_on(
        ledger.clone(),
        "who defined does not mint",
        &[4],
        vec![mint("new", address(4), 1)],
        Code::NotTheAuthority,
    );
    check_on(ledger.clone(), "nor pause", &[4], vec![pause("new")], Code::NotTheAuthority);
    check_on(ledger.clone(), "who was named mints", &[2], vec![mint("new", address(4), 1)], Code::Done);
    check_on(ledger, "who was named pauses", &[3], vec![pause("new")], Code::Done);
}

/// Each row: rule, signer, actions, code, what 1 to 4 own of `gold` afterwards.
#[test]
fn every_rule_of_movements_has_its_code() {
    let untouched = [0, 100, 50, 0];
    let many: Vec<(&str, u8, u128)> = vec![("gold", 4, 1); 257];
    #[rustfmt::skip]
    let rows: Vec<(&str, u8, Vec<Action>, Code, [u128; 4])> = vec![
        ("mint", 1, vec![mint("gold", address(4), 5)], Code::Done, [0, 100, 50, 5]),
        ("mint nothing", 1, vec![mint("gold", address(4), 0)], Code::InvalidField, untouched),
        ("mint to nobody", 1, vec![mint("gold", Address::ZERO, 5)], Code::InvalidField, untouched),
        ("mint without authority", 2, vec![mint("gold", address(2), 5)], Code::NotTheAuthority, untouched),
        ("mint what is not defined", 1, vec![mint("none", address(2), 5)], Code::AssetUnknown, untouched),
        ("mint units of items", 1, vec![mint("art", address(2), 5)], Code::WrongAssetKind, untouched),
        ("mint while paused", 1, vec![mint("stuck", address(2), 5)], Code::AssetIsPaused, untouched),
        ("mint up to the cap", 1, vec![mint("capped", address(2), 4)], Code::Done, untouched),
        ("mint above the cap", 1, vec![mint("capped", address(2), 5)], Code::SupplyCapExceeded, untouched),
        ("mint far above the cap", 1, vec![mint("capped", address(2), u128::MAX)], Code::SupplyCapExceeded, untouched),
        ("mint above every number", 1, vec![mint("full", address(3), 1)], Code::AmountOverflow, untouched),
        ("burn", 3, vec![burn("gold", 20)], Code::Done, [0, 100, 30, 0]),
        ("burn all", 3, vec![burn("gold", 50)], Code::Done, [0, 100, 0, 0]),
        ("burn nothing", 3, vec![burn("gold", 0)], Code::InvalidField, untouched),
        ("burn too much", 3, vec![burn("gold", 51)], Code::InsufficientBalance, untouched),
        ("burn what is frozen", 2, vec![burn("gold", 61)], Code::BalanceNotFree, untouched),
        ("burn while paused", 2, vec![burn("stuck", 1)], Code::AssetIsPaused, untouched),
        ("burn as the authority", 1, vec![burn("taxed", 1)], Code::Done, untouched),
        ("burn without the authority", 2, vec![burn("taxed", 1)], Code::NotTheAuthority, untouched),
        ("burn what is not defined", 2, vec![burn("none", 1)], Code::AssetUnknown, untouched),
        ("burn units of items", 2, vec![burn("art", 1)], Code::WrongAssetKind, untouched),
        ("transfer", 2, vec![transfer("gold", address(4), 60)], Code::Done, [0, 40, 50, 60]),
        ("transfer all", 3, vec![transfer("gold", address(2), 50)], Code::Done, [0, 150, 0, 0]),
        ("transfer nothing", 3, vec![transfer("gold", address(2), 0)], Code::InvalidField, untouched),
        ("transfer to nobody", 3, vec![transfer("gold", Address::ZERO, 1)], Code::InvalidField, untouched),
        ("transfer too much", 3, vec![transfer("gold", address(2), 51)], Code::InsufficientBalance, untouched),
        ("transfer without any", 4, vec![transfer("gold", address(2), 1)], Code::InsufficientBalance, untouched),
        ("transfer what is frozen", 2, vec![transfer("gold", address(4), 61)], Code::BalanceNotFree, untouched),
        ("transfer while paused", 2, vec![transfer("stuck", address(4), 1)], Code::AssetIsPaused, untouched),
        ("transfer what is not defined", 2, vec![transfer("none", address(4), 1)], Code::AssetUnknown, untouched),
        ("transfer units of items", 2, vec![transfer("art", address(4), 1)], Code::WrongAssetKind, untouched),
        ("transfer to oneself what is free, then on", 2,
            vec![transfer("gold", address(2), 60), transfer("gold", address(4), 60)], Code::Done, [0, 40, 50, 60]),
        ("transfer to oneself too much", 2, vec![transfer("gold", address(2), 101)], Code::InsufficientBalance, untouched),
        ("transfer to oneself what is frozen", 2, vec![transfer("gold", address(2), 61)], Code::BalanceNotFree, untouched),
        ("batch", 2, vec![batch(&[("gold", 1, 1), ("gold", 3, 2), ("full", 4, 9)])], Code::Done, [1, 97, 52, 0]),
        ("batch of 256", 2, vec![batch(&[("full", 4, 1); 256])], Code::Done, untouched),
        ("batch of 257", 2, vec![batch(&many)], Code::InvalidField, untouched),
        ("empty batch", 2, vec![batch(&[])], Code::InvalidField, untouched),
        ("batch whose last fails", 2, vec![batch(&[("gold", 1, 1), ("gold", 3, 60)])], Code::BalanceNotFree, untouched),
        ("more events than a receipt holds", 2,
            vec![batch(&[("full", 4, 1); 256]), batch(&[("full", 4, 1); 256]), batch(&[("full", 4, 1); 256]),
                batch(&[("full", 4, 1); 256]), transfer("full", address(4), 1)], Code::TooManyEffects, untouched),
        ("earlier actions of a failed transaction", 2,
            vec![transfer("gold", address(4), 10), transfer("gold", address(4), 51)], Code::BalanceNotFree, untouched),
    ];
    for (rule, signer, actions, expected, after) in rows {
        let ledger = check(rule, &[signer], actions, expected);
        assert_eq!(owned(&ledger, "gold"), after, "{rule}");
    }
}

#[test]
fn a_transfer_to_oneself_writes_nothing() {
    let mut ledger = market();
    let transactions = [ledger.transaction(&[2], vec![transfer("gold", address(2), 60)])];
    let executed = ledger.preview(&transactions);
    assert!(executed.receipts[0].is_done());
    assert!(executed.writes.is_empty());
}

/// Each row: rule, signer, actions, code, what 1 to 4 own of `gold` and what 2 approves to 3 afterwards.
#[test]
fn every_rule_of_approvals_has_its_code() {
    let untouched = ([0, 100, 50, 0], 30);
    #[rustfmt::skip]
    let rows: Vec<(&str, u8, Vec<Action>, Code, ([u128; 4], u128))> = vec![
        ("approve sets, not adds", 2, vec![approve("gold", address(3), 7)], Code::Done, ([0, 100, 50, 0], 7)),
        ("approve more than is owned", 2, vec![approve("gold", address(3), u128::MAX)], Code::Done, ([0, 100, 50, 0], u128::MAX)),
        ("approve nothing", 2, vec![approve("gold", address(3), 0)], Code::Done, ([0, 100, 50, 0], 0)),
        ("approve what was expected", 2, vec![expect(30, 7)], Code::Done, ([0, 100, 50, 0], 7)),
        ("approve what was expected, twice in one", 2, vec![expect(30, 7), expect(7, 9)], Code::Done, ([0, 100, 50, 0], 9)),
        ("approve with more expected", 2, vec![expect(31, 7)], Code::AllowanceDiffers, untouched),
        ("approve with less expected", 2, vec![expect(0, 7)], Code::AllowanceDiffers, untouched),
        ("approve nothing with another amount expected", 2, vec![expect(29, 0)], Code::AllowanceDiffers, untouched),
        ("approve nobody", 2, vec![approve("gold", Address::ZERO, 7)], Code::InvalidField, untouched),
        ("approve what is not defined", 2, vec![approve("none", address(3), 7)], Code::AssetUnknown, untouched),
        ("approve units of items", 2, vec![approve("art", address(3), 7)], Code::WrongAssetKind, untouched),
        ("approve while paused", 2, vec![approve("stuck", address(3), 7)], Code::Done, untouched),
        ("spend part", 3, vec![transfer_from("gold", 2, address(4), 10)], Code::Done, ([0, 90, 50, 10], 20)),
        ("spend all", 3, vec![transfer_from("gold", 2, address(3), 30)], Code::Done, ([0, 70, 80, 0], 0)),
        ("spend too much", 3, vec![transfer_from("gold", 2, address(4), 31)], Code::AllowanceExceeded, untouched),
        ("spend twice", 3, vec![transfer_from("gold", 2, address(4), 20), transfer_from("gold", 2, address(4), 11)],
            Code::AllowanceExceeded, untouched),
        ("spend without approval", 4, vec![transfer_from("gold", 2, address(4), 1)], Code::AllowanceExceeded, untouched),
        ("spend one's own without approval", 2, vec![transfer_from("gold", 2, address(4), 1)], Code::AllowanceExceeded, untouched),
        ("spend nothing", 3, vec![transfer_from("gold", 2, address(4), 0)], Code::InvalidField, untouched),
        ("spend to nobody", 3, vec![transfer_from("gold", 2, Address::ZERO, 1)], Code::InvalidField, untouched),
        ("spend back to the owner", 3, vec![transfer_from("gold", 2, address(2), 10)], Code::Done, ([0, 100, 50, 0], 20)),
        ("spend while paused", 3, vec![transfer_from("stuck", 2, address(4), 1)], Code::AssetIsPaused, untouched),
        ("spend what is not defined", 3, vec![transfer_from("none", 2, address(4), 1)], Code::AssetUnknown, untouched),
        ("spend units of items", 3, vec![transfer_from("art", 2, address(4), 1)], Code::WrongAssetKind, untouched),
    ];
    for (rule, signer, actions, expected, after) in rows {
        let ledger = check(rule, &[signer], actions, expected);
        let left = allowance(&ledger.state, &address(2), &address(3), "gold").unwrap().0;
        assert_eq!((owned(&ledger, "gold"), left), after, "{rule}");
    }
}

/// The owner lowers 30 to 20 while the spender moves the 30: without a word on what it expects it gives 50.
#[test]
fn a_change_of_an_approval_that_comes_after_its_use_gives_no_more() {
    for (change, given) in [(approve("gold", address(3), 20), 50), (expect(30, 20), 30)] {
        let mut ledger = market();
        let moves = |amount| transfer_from("gold", 2, address(3), amount);
        ledger.run(&[(&[3], vec![moves(30)]), (&[2], vec![change])]);
        ledger.one(3, vec![moves(20)]);
        assert_eq!(owned(&ledger, "gold")[2], 50 + given);
    }
}

#[test]
fn an_approval_does_not_reach_what_is_not_free() {
    let mut ledger = market();
    ledger.done(2, vec![approve("gold", address(3), 1000)]);
    let spend = |amount| vec![transfer_from("gold", 2, address(3), amount)];
    check_on(ledger.clone(), "frozen", &[3], spend(61), Code::BalanceNotFree);
    check_on(ledger, "not owned", &[3], spend(101), Code::InsufficientBalance);
}

/// Each row: rule, signer, actions, code, what is frozen and what is free of 2's 100 `gold` afterwards.
#[test]
fn every_rule_of_restraints_has_its_code() {
    let later = market().time.plus_millis(1000);
    let now = market().time;
    let untouched = (40, 60);
    #[rustfmt::skip]
    let rows: Vec<(&str, u8, Vec<Action>, Code, (u128, u128))> = vec![
        ("freeze all that is not frozen", 1, vec![freeze("gold", 2, 60)], Code::Done, (100, 0)),
        ("freeze more", 1, vec![freeze("gold", 2, 61)], Code::BalanceNotFree, untouched),
        ("freeze more than is owned", 1, vec![freeze("gold", 2, 101)], Code::InsufficientBalance, untouched),
        ("freeze nothing", 1, vec![freeze("gold", 2, 0)], Code::InvalidField, untouched),
        ("freeze without authority", 2, vec![freeze("gold", 2, 1)], Code::NotTheAuthority, untouched),
        ("freeze what is not defined", 1, vec![freeze("none", 2, 1)], Code::AssetUnknown, untouched),
        ("freeze units of items", 1, vec![freeze("art", 2, 1)], Code::WrongAssetKind, untouched),
        ("freeze while paused", 1, vec![freeze("stuck", 2, 1)], Code::Done, untouched),
        ("unfreeze all", 1, vec![unfreeze("gold", 2, 40)], Code::Done, (0, 100)),
        ("unfreeze more", 1, vec![unfreeze("gold", 2, 41)], Code::NotFrozen, untouched),
        ("unfreeze where nothing is", 1, vec![unfreeze("gold", 4, 1)], Code::NotFrozen, untouched),
        ("unfreeze nothing", 1, vec![unfreeze("gold", 2, 0)], Code::InvalidField, untouched),
        ("unfreeze without authority", 2, vec![unfreeze("gold", 2, 1)], Code::NotTheAuthority, untouched),
        ("unfreeze what is not defined", 1, vec![unfreeze("none", 2, 1)], Code::AssetUnknown, untouched),
        ("lock", 2, vec![lock("gold", 25, later)], Code::Done, (40, 35)),
        ("lock what is locked", 2, vec![lock("gold", 60, later), lock("gold", 1, later)], Code::BalanceNotFree, untouched),
        ("lock what is frozen", 2, vec![lock("gold", 61, later)], Code::BalanceNotFree, untouched),
        ("lock what is not owned", 2, vec![lock("gold", 101, later)], Code::InsufficientBalance, untouched),
        ("lock nothing", 2, vec![lock("gold", 0, later)], Code::InvalidField, untouched),
        ("lock until now", 2, vec![lock("gold", 1, now)], Code::InvalidField, untouched),
        ("lock what is not defined", 2, vec![lock("none", 1, later)], Code::AssetUnknown, untouched),
        ("lock units of items", 2, vec![lock("art", 1, later)], Code::WrongAssetKind, untouched),
        ("lock while paused", 2, vec![lock("stuck", 1, later)], Code::Done, untouched),
        ("32 locks", 2, vec![lock("gold", 1, later); 32], Code::Done, (40, 28)),
        ("33 locks", 2, vec![lock("gold", 1, later); 33], Code::TooManyLocks, untouched),
        ("move what is locked", 2, vec![lock("gold", 25, later), transfer("gold", address(3), 36)], Code::BalanceNotFree, untouched),
        ("freezing locked units leaves nothing free", 1, vec![freeze("gold", 2, 30), unfreeze("gold", 2, 30)], Code::Done, untouched),
        ("pause without authority", 2, vec![pause("gold")], Code::NotTheAuthority, untouched),
        ("pause what is not defined", 1, vec![pause("none")], Code::AssetUnknown, untouched),
        ("pause, then move", 1, vec![pause("gold"), mint("gold", address(2), 1)], Code::AssetIsPaused, untouched),
        ("pause twice", 1, vec![pause("gold"), pause("gold")], Code::Done, untouched),
        ("resume without authority", 2, vec![resume("stuck")], Code::NotTheAuthority, untouched),
        ("resume, then move", 1, vec![resume("stuck"), mint("stuck", address(2), 1)], Code::Done, untouched),
        ("resume what moves", 1, vec![resume("gold")], Code::Done, untouched),
    ];
    for (rule, signer, actions, expected, after) in rows {
        let ledger = check(rule, &[signer], actions, expected);
        let balance = balance_of(&ledger.state, "gold", &address(2)).unwrap();
        assert_eq!((balance.frozen.0, balance.free(ledger.time).0), after, "{rule}");
    }
}

#[test]
fn a_lock_ends_at_its_time_and_its_entry_with_the_next_write() {
    let mut ledger = market();
    let until = ledger.time.plus_millis(500);
    ledger.done(2, vec![lock("gold", 60, until)]);
    ledger.time = Time::from_millis(until.millis() - 1);
    check_on(ledger.clone(), "a millisecond before", &[2], vec![transfer("gold", address(4), 1)], Code::BalanceNotFree);
    ledger.time = until;
    assert_eq!(balance_of(&ledger.state, "gold", &address(2)).unwrap().locks.len(), 1);
    let ledger = check_on(ledger, "at its time", &[2], vec![transfer("gold", address(4), 60)], Code::Done);
    assert_eq!(balance_of(&ledger.state, "gold", &address(2)).unwrap().locks, []);
}

#[test]
fn free_is_nothing_where_frozen_and_locked_overlap() {
    let mut ledger = market();
    let later = ledger.time.plus_millis(60_000);
    ledger.done(2, vec![lock("gold", 60, later)]);
    ledger.done(1, vec![freeze("gold", 2, 60)]);
    assert_eq!(balance_of(&ledger.state, "gold", &address(2)).unwrap().free(ledger.time), Amount::ZERO);
    check_on(ledger, "overlap", &[2], vec![transfer("gold", address(4), 1)], Code::BalanceNotFree);
}

#[test]
fn expired_locks_make_room_for_new_ones() {
    let mut ledger = market();
    let soon = ledger.time.plus_millis(100);
    ledger.done(2, vec![lock("gold", 1, soon); 32]);
    ledger.advance(100);
    let later = ledger.time.plus_millis(100);
    let ledger = check_on(ledger, "room", &[2], vec![lock("gold", 60, later)], Code::Done);
    assert_eq!(balance_of(&ledger.state, "gold", &address(2)).unwrap().locks.len(), 1);
}

#[test]
fn supply_follows_minting_and_burning_and_void_balances_leave_no_record() {
    let ledger = check("burn all", &[3], vec![burn("gold", 50)], Code::Done);
    assert_eq!(asset(&ledger.state, "gold").unwrap().unwrap().supply, Amount(100));
    assert_eq!(holdings(&ledger.state, &address(3), &Span::first(9)).unwrap().items, []);
    let held = holdings(&ledger.state, &address(2), &Span::first(3)).unwrap().items;
    let held: Vec<String> = held.into_iter().map(|holding| holding.asset).collect();
    assert_eq!(held, ["capped", "full", "gold"], "in order, up to the limit");
    let named = |after: Option<&str>, limit| -> Vec<String> {
        let span = Span { after: after.map(|after| after.as_bytes().to_vec()), ..Span::first(limit) };
        assets(&ledger.state, &span).unwrap().items.into_iter().map(|named| named.asset).collect()
    };
    assert_eq!(named(None, 2), ["art", "capped"]);
    assert_eq!(named(Some("held"), 9), ["still", "stuck", "taxed"]);
}

#[test]
fn events_tell_who_moved_what() {
    let mut ledger = market();
    let actions = vec![transfer_from("gold", 2, address(4), 10), transfer("gold", address(3), 5)];
    let receipts = ledger.run(&[(&[3], actions)]);
    let moved = |from: u8, to: u8, amount| Event::AssetTransferred {
        asset: "gold".into(),
        from: address(from),
        to: address(to),
        amount: Amount(amount),
    };
    assert_eq!(receipts[0].decoded_events().unwrap(), [moved(2, 4, 10), moved(3, 3, 5)]);
}

/// A ledger where fees of 5 `coin` apply; 1 defined `coin` past the fee rules and 2 owns 12 of it.
fn with_fees(collector: Option<Address>) -> Ledger {
    let mut free = Ledger::new();
    free.done(1, vec![Action::AssetDefine(define("coin", units(None))), mint("coin", address(2), 12)]);
    let mut ledger = Ledger::with_fees("coin", 5, collector);
    let record = asset(&free.state, "coin").unwrap().unwrap();
    ledger.put(crate::state::keyspace::asset("coin"), &record);
    let balance = balance_of(&free.state, "coin", &address(2)).unwrap();
    ledger.put(crate::state::keyspace::balance(&address(2), "coin"), &balance);
    ledger
}

#[test]
fn a_fee_goes_to_the_collector_also_when_the_actions_fail() {
    let mut ledger = with_fees(Some(address(4)));
    // The first one's fee leaves 12 - 5 - 3 = 4, which is less than the second one's; the third sender owns 3.
    let offered = [(2, 3, 3), (2, 3, 1), (3, 2, 1)]
        .map(|(from, to, amount)| ledger.transaction(&[from], vec![transfer("coin", address(to), amount)]));
    let (receipts, fates) = ledger.seal(&offered);
    let outcomes: Vec<(u16, u128)> = receipts.iter().map(|receipt| (receipt.head.code, receipt.head.fee.0)).collect();
    assert_eq!(outcomes, [(Code::Done.number(), 5)]);
    for fate in &fates[1..] {
        assert!(matches!(fate, Fate::Dropped { code: Code::FeeUnpaid, .. }), "{fate:?}");
    }
    assert_eq!(owned(&ledger, "coin"), [0, 4, 3, 5]);

    let mut ledger = with_fees(Some(address(4)));
    let receipts = ledger.run(&[(&[2], vec![transfer("coin", address(3), 8)])]);
    assert_eq!((receipts[0].head.code, receipts[0].head.fee.0), (Code::InsufficientBalance.number(), 5));
    assert_eq!(owned(&ledger, "coin"), [0, 7, 0, 5], "the fee stays paid");
}

#[test]
fn a_fee_without_collector_is_burnt() {
    let mut ledger = with_fees(None);
    ledger.done(2, vec![transfer("coin", address(3), 1)]);
    assert_eq!(owned(&ledger, "coin"), [0, 6, 1, 0]);
    assert_eq!(asset(&ledger.state, "coin").unwrap().unwrap().supply, Amount(7));
}

#[test]
fn frozen_units_pay_no_fee_and_paused_ones_do() {
    let held = Balance { owned: Amount(12), frozen: Amount(8), locks: Vec::new() };
    let mut ledger = with_fees(None);
    ledger.put(crate::state::keyspace::balance(&address(2), "coin"), &held);
    check_on(ledger, "frozen", &[2], vec![transfer("coin", address(3), 1)], Code::FeeUnpaid);

    let mut ledger = with_fees(None);
    let mut record = asset(&ledger.state, "coin").unwrap().unwrap();
    record.paused = true;
    ledger.put(crate::state::keyspace::asset("coin"), &record);
    let receipt = ledger.clone().run(&[(&[2], vec![transfer("coin", address(3), 1)])]).pop().unwrap();
    assert_eq!((receipt.head.code, receipt.head.fee.0), (Code::AssetIsPaused.number(), 5), "the fee is paid");
    // Whoever paused it ends that also without a unit of it; once it has ended, nothing is free any more.
    let resume = || vec![Action::AssetResume(AssetName { asset: "coin".into() })];
    check_on(ledger.clone(), "somebody else", &[2], resume(), Code::NotTheAuthority);
    ledger.done(1, resume());
    check_on(ledger, "again", &[1], resume(), Code::FeeUnpaid);

    let ledger = Ledger::with_fees("none", 5, None);
    check_on(ledger, "no such asset", &[2], vec![transfer("coin", address(3), 1)], Code::FeeUnpaid);

    let ledger = Ledger::with_fees("none", 0, None);
    check_on(ledger, "nothing to pay", &[2], vec![Action::AssetDefine(define("coin", units(None)))], Code::Done);
}
