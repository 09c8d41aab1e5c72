//! What a contract takes from its caller: with the right to move assets, and not with that to call contracts alone.
#![allow(clippy::unwrap_used)]

use super::tests::*;
use crate::action::Action;
use crate::execution::config_of;
use crate::execution::test_support::{Ledger, address};
use crate::formats::config::ConfigChange;
use crate::formats::outcome::ResultCode as C;
use crate::formats::rights::{Grant, Grantee, Right};
use crate::state::keyspace;

/// A closed channel. Signer 2 sells art/mona as `a1` and keeps the desk; 6 of gamma, who may do what `rights` say, owns eur,
/// usd and art/own, and owes the loan `l1` to 2; 3 asks for `l2`.
fn world(rights: &str) -> Ledger {
    let mut ledger = ledger();
    admit(&mut ledger, 2, "alpha");
    admit(&mut ledger, 6, "gamma");
    let mut things = vec![mint_item("art", "mona", 2), mint_item("art", "own", 6)];
    for asset in ["eur", "usd"] {
        things.extend([mint(asset, 2, 10_000), mint(asset, 6, 10_000)]);
    }
    ledger.done(ISSUER, things);
    let desk = r#"{"currencies":["eur"],"grace_seconds":86400,"registrars":["alpha"]}"#;
    ledger.done(2, vec![create("lending", "desk", desk)]);
    let register = |who| call("desk", "register_borrower", &format!(r#"{{"borrower":"{}"}}"#, address(who)));
    ledger.done(2, vec![register(3), register(6)]);
    let first = request(&ledger, "l1", "");
    ledger.done(6, vec![first]);
    ledger.done(2, vec![call("desk", "quote", r#"{"loan":"l1","rate_bps":100}"#)]);
    ledger.advance(10_000);
    assert_eq!(names(&ledger.run(&[])), ["lending.awarded"]);
    let second = request(&ledger, "l2", "");
    ledger.done(3, vec![second]);
    let sale = auction_arguments(&ledger, "mona", r#","buy_now":"500""#);
    ledger.done(2, vec![create("auction", "a1", &sale)]);
    let mut record = config_of(&ledger.state).unwrap();
    record.config.open_submit = false;
    record.config.grants.retain(|grant| grant.to != Grantee::Organization("gamma".into()));
    let rights = rights.split(' ').map(|right| right.parse::<Right>().unwrap()).collect();
    ConfigChange::Grant(Grant { to: Grantee::Organization("gamma".into()), rights }).apply(&mut record.config);
    ledger.put(keyspace::config_at(record.height), &record);
    ledger
}

fn request(ledger: &Ledger, loan: &str, more: &str) -> Action {
    let deadline = ledger.time.plus_millis(10_000);
    let arguments = format!(
        r#"{{"loan":"{loan}","asset":"eur","amount":"1000","term_seconds":31536000,"installments":4,"rate_max_bps":2000,"quote_deadline":"{deadline}"{more}}}"#
    );
    call("desk", "request", &arguments)
}

/// `asset.transfer` was refused, and the same money went by `buy_now`.
#[test]
fn what_a_contract_takes_from_its_caller_needs_the_right_on_assets() {
    for (rights, expected) in [("write:contracts", C::NoRight), ("write:contracts write:assets", C::Done)] {
        let world = world(rights);
        let own = auction_arguments(&world, "own", "");
        for taking in [
            transfer("eur", address(2), 1),
            call("a1", "bid", r#"{"amount":"100"}"#),
            call("a1", "buy_now", "{}"),
            create("auction", "a2", &own),
            request(&world, "l3", r#","collateral":{"item":{"asset":"art","item":"own"}}"#),
            request(&world, "l3", r#","collateral":{"units":{"asset":"usd","amount":"500"}}"#),
            call("desk", "quote", r#"{"loan":"l2","rate_bps":100}"#),
            call("desk", "repay", r#"{"loan":"l1","amount":"100"}"#),
        ] {
            let mut ledger = world.clone();
            let (code, message) = ledger.one(6, vec![taking.clone()]);
            assert_eq!(code, expected, "{rights}: {taking:?}: {message}");
        }
        // What takes nothing needs nothing more.
        let mut ledger = world.clone();
        ledger.done(6, vec![request(&world, "l4", "")]);
    }
}
