//! The auction's rules, one row each, and what must hold at its end.
#![allow(clippy::unwrap_used)]

use crate::action::Action;
use crate::action::assets::Kind;
use crate::execution::contracts::tests::*;
use crate::execution::test_support::{Ledger, address};
use crate::formats::outcome::ResultCode as C;
use crate::keys::Address;
use crate::primitives::amount::Amount;

/// Signer 2 sells art/mona as `a1`; signers 3, 4 and 5 own 1000 eur each.
fn opened(more: &str) -> Ledger {
    let mut ledger = ledger();
    let funds = [3, 4, 5].map(|bidder| mint("eur", bidder, 1_000));
    ledger.done(ISSUER, [funds.to_vec(), vec![mint_item("art", "mona", 2)]].concat());
    let arguments = auction_arguments(&ledger, "mona", more);
    ledger.done(2, vec![create("auction", "a1", &arguments)]);
    ledger
}

fn bid(amount: &str) -> Action {
    call("a1", "bid", &format!(r#"{{"amount":"{amount}"}}"#))
}

fn buy() -> Action {
    call("a1", "buy_now", "{}")
}

fn settle() -> Action {
    call("a1", "settle", "{}")
}

fn cancel() -> Action {
    call("a1", "cancel", "{}")
}

fn held(ledger: &Ledger) -> u128 {
    units(ledger, "eur", account(ledger, "a1"))
}

fn mona(ledger: &Ledger) -> Address {
    owner(ledger, "art", "mona")
}

#[test]
fn the_highest_bid_wins_at_the_end_and_the_others_have_their_money() {
    let mut ledger = opened("");
    assert_eq!(mona(&ledger), account(&ledger, "a1"));
    ledger.done(3, vec![bid("100")]);
    let receipts = ledger.run(&[(&[4], vec![bid("120")])]);
    assert_eq!(names(&receipts), ["auction.outbid", "auction.bid"]);
    assert_eq!((held(&ledger), units(&ledger, "eur", address(3))), (120, 1_000));
    let state = ask(&ledger, "a1", "state", "{}");
    assert_eq!((&state["phase"], &state["least_bid"]), (&"open".into(), &"125".into()));
    assert_eq!(state["last_bids"].as_array().unwrap().len(), 2);
    assert_eq!(ask(&ledger, "a1", "bids", r#"{"from":1}"#)[0]["amount"], "120");
    ledger.advance(10_000);
    let receipts = ledger.run(&[]);
    assert_eq!(codes(&receipts), [C::Done]);
    assert_eq!(names(&receipts), ["auction.settled"]);
    assert_eq!(mona(&ledger), address(4));
    let balances = [2, 3, 4].map(|who| units(&ledger, "eur", address(who)));
    assert_eq!((balances, held(&ledger)), ([120, 1_000, 880], 0));
    assert_eq!(ask(&ledger, "a1", "state", "{}")["phase"], "settled");
    let rows = vec![
        (5, bid("900"), C::BidTooLate),
        (5, settle(), C::WrongPhase),
        (2, cancel(), C::WrongPhase),
        (3, cancel(), C::CallerRefused),
    ];
    check(&mut ledger, rows);
}

#[test]
fn bids_are_refused_with_their_own_codes() {
    let mut ledger = opened(r#","starting_price":"10","buy_now":"500""#);
    let most = u128::MAX.to_string();
    let poor = "400";
    ledger.done(3, vec![transfer("eur", address(9), 700)]);
    check(
        &mut ledger,
        vec![
            (2, bid("100"), C::BidBySeller),
            (2, buy(), C::BidBySeller),
            (3, bid("0"), C::BidTooLow),
            (3, bid("9"), C::BidTooLow),
            (3, bid(poor), C::BidUnfunded),
            (3, bid(&most), C::BidUnfunded),
            (3, buy(), C::BidUnfunded),
            (3, bid("10"), C::Done),
            (4, bid("14"), C::BidTooLow),
            (4, bid("15"), C::Done),
            (4, bid("20"), C::Done),
            (2, cancel(), C::AuctionHasBids),
            (3, cancel(), C::CallerRefused),
            (3, settle(), C::WrongPhase),
            (4, bid("-1"), C::ArgumentsInvalid),
            (4, bid("1e3"), C::ArgumentsInvalid),
            (4, call("a1", "bid", r#"{"amount":100}"#), C::ArgumentsInvalid),
            (4, call("a1", "bid", r#"{"amount":"100","x":1}"#), C::ArgumentsInvalid),
            (4, call("a1", "bid", r#"{"amount":"100","amount":"200"}"#), C::ArgumentsInvalid),
            (4, call("a1", "bid", r#"{"amount":"100"} {}"#), C::ArgumentsInvalid),
            (4, call("a1", "settle", ""), C::ArgumentsInvalid),
            (ISSUER, pause("eur"), C::Done),
            (4, bid("100"), C::AssetIsPaused),
            (ISSUER, resume("eur"), C::Done),
        ],
    );
    assert_eq!(held(&ledger), 20);
    // The pause left no more than it lasted.
    ledger.advance(10_000);
    check(&mut ledger, vec![(4, bid("100"), C::BidTooLate), (4, buy(), C::BidTooLate)]);
}

#[test]
fn a_bid_in_the_block_of_the_end_is_late_and_one_a_millisecond_before_is_not() {
    let mut ledger = opened("");
    ledger.advance(9_998);
    check(&mut ledger, vec![(3, bid("100"), C::Done), (4, bid("200"), C::BidTooLate)]);
    assert_eq!(mona(&ledger), address(3));
}

#[test]
fn a_bid_of_the_reserve_wins() {
    let mut ledger = opened("");
    ledger.done(3, vec![bid("50")]);
    ledger.advance(10_000);
    assert_eq!(names(&ledger.run(&[])), ["auction.settled"]);
}

#[test]
fn the_buy_now_price_ends_the_auction_and_no_bid_pays_more() {
    for action in [buy(), bid("500"), bid("900")] {
        let mut ledger = opened(r#","buy_now":"500""#);
        ledger.done(4, vec![bid("499")]);
        let receipts = ledger.run(&[(&[3], vec![action])]);
        assert_eq!(names(&receipts), ["auction.outbid", "auction.settled"]);
        let balances = [2, 3, 4].map(|who| units(&ledger, "eur", address(who)));
        assert_eq!((balances, held(&ledger), mona(&ledger)), ([500, 500, 1_000], 0, address(3)));
        assert_eq!(crate::execution::next_timer(&ledger.state).unwrap(), None);
    }
    check(&mut opened(""), vec![(3, buy(), C::NoBuyNow)]);
}

#[test]
fn who_raises_its_own_bid_needs_the_difference_only() {
    let mut ledger = opened("");
    ledger.done(3, vec![bid("600")]);
    let receipts = ledger.run(&[(&[3], vec![bid("1000")])]);
    assert_eq!(names(&receipts), ["auction.bid"]);
    assert_eq!((held(&ledger), units(&ledger, "eur", address(3))), (1_000, 0));
}

#[test]
fn without_a_winner_everything_goes_back() {
    for (first_bid, why) in [(None, "no-bids"), (Some("49"), "reserve-not-met")] {
        let mut ledger = opened("");
        if let Some(amount) = first_bid {
            ledger.done(3, vec![bid(amount)]);
        }
        ledger.advance(10_000);
        let receipts = ledger.run(&[]);
        assert_eq!(names(&receipts), ["auction.returned"]);
        assert!(format!("{:?}", events(&receipts[0])).contains(why));
        assert_eq!((mona(&ledger), held(&ledger), units(&ledger, "eur", address(3))), (address(2), 0, 1_000));
    }
    let mut ledger = opened("");
    ledger.done(2, vec![cancel()]);
    assert_eq!(mona(&ledger), address(2));
    assert_eq!(crate::execution::next_timer(&ledger.state).unwrap(), None);
    check(&mut ledger, vec![(3, bid("100"), C::BidTooLate), (2, cancel(), C::WrongPhase)]);
}

#[test]
fn bidders_are_asked_for_their_organization_and_sellers_for_their_identity() {
    let mut ledger = ledger();
    let funds = [2, 3, 4, 5].map(|bidder| mint("eur", bidder, 1_000));
    ledger.done(ISSUER, [funds.to_vec(), vec![mint_item("art", "mona", 2)]].concat());
    for (number, organization) in [(2, "alpha"), (3, "alpha"), (4, "beta")] {
        admit(&mut ledger, number, organization);
    }
    // Another address of the seller.
    let seller: crate::state::participant::Participant =
        crate::state::record::read(&ledger.state, &crate::state::keyspace::participant(&address(2))).unwrap().unwrap();
    ledger.put(crate::state::keyspace::participant(&address(6)), &seller);
    let arguments = auction_arguments(&ledger, "mona", r#","bidders":{"organizations":["alpha"]}"#);
    ledger.done(2, vec![create("auction", "a1", &arguments)]);
    let rows = vec![
        (4, bid("100"), C::BidderNotQualified),
        (5, bid("100"), C::BidderNotQualified),
        (6, bid("100"), C::BidBySeller),
        (3, bid("100"), C::Done),
    ];
    check(&mut ledger, rows);
}

#[test]
fn an_auction_that_makes_no_sense_is_not_opened() {
    let mut ledger = opened("");
    ledger.done(ISSUER, vec![mint_item("art", "lisa", 2), mint_item("art", "held", 3)]);
    ledger.done(ISSUER, vec![define("gold", Kind::Fungible { decimals: 0, supply_cap: Some(Amount(100)) })]);
    let past = r#"{"item":{"asset":"art","item":"lisa"},"currency":"eur","ends":"1990-01-01T00:00:00Z","reserve":"0","minimum_increment":"1"}"#;
    let good = auction_arguments(&ledger, "lisa", "");
    let rows = [
        (good.replace("\"5\"", "\"0\""), C::ArgumentsInvalid),
        (good.replace('}', ""), C::ArgumentsInvalid),
        (past.to_owned(), C::ArgumentsInvalid),
        (past.replace("1990", "9999"), C::ArgumentsInvalid),
        (past.replace("1990", "2028"), C::ArgumentsInvalid),
        (good.replace("\"5\"", &format!("\"{}\"", u128::MAX)), C::ArgumentsInvalid),
        (good.replace("\"5\"", &format!("\"{}\"", u128::MAX / 2)), C::ArgumentsInvalid),
        (good.replace("\"50\"", &format!("\"{}\"", u128::MAX)), C::ArgumentsInvalid),
        (good.replace("eur", "gold").replace("\"50\"", "\"101\""), C::ArgumentsInvalid),
        (good.replace("eur", "gold").replace("\"5\"", "\"100\""), C::ArgumentsInvalid),
        (auction_arguments(&ledger, "lisa", r#","bidders":{"organizations":["nowhere"]}"#), C::OrganizationUnknown),
        (auction_arguments(&ledger, "lisa", r#","exclude_sellers_organization":true"#), C::ArgumentsInvalid),
        (auction_arguments(&ledger, "lisa", r#","buy_now":"49""#), C::ArgumentsInvalid),
        (auction_arguments(&ledger, "lisa", r#","buy_now":"60","starting_price":"61""#), C::ArgumentsInvalid),
        (auction_arguments(&ledger, "lisa", r#","bidders":{"organizations":[]}"#), C::ArgumentsInvalid),
        (auction_arguments(&ledger, "lisa", r#","bidders":{"organizations":["A"]}"#), C::ArgumentsInvalid),
        (auction_arguments(&ledger, "lisa", r#","bidders":"some""#), C::ArgumentsInvalid),
        (good.replace("eur", "gbp"), C::AssetUnknown),
        (good.replace("eur", "art"), C::WrongAssetKind),
        (auction_arguments(&ledger, "none", ""), C::ItemUnknown),
        (auction_arguments(&ledger, "held", ""), C::NotTheOwner),
        (auction_arguments(&ledger, "mona", ""), C::NotTheOwner),
        (good, C::Done),
    ];
    for (arguments, code) in rows {
        check(&mut ledger, vec![(2, create("auction", "a2", &arguments), code)]);
    }
}

#[test]
fn amounts_at_the_top_are_refused_and_do_not_wrap() {
    let mut ledger = ledger();
    ledger.done(ISSUER, vec![mint("eur", 3, u128::MAX), mint_item("art", "mona", 2)]);
    let arguments = auction_arguments(&ledger, "mona", "");
    ledger.done(2, vec![create("auction", "a1", &arguments)]);
    let rows = vec![
        (3, bid(&u128::MAX.to_string()), C::Done),
        (4, bid(&u128::MAX.to_string()), C::BidTooLow),
        (4, bid("340282366920938463463374607431768211456"), C::ArgumentsInvalid),
    ];
    check(&mut ledger, rows);
    assert_eq!(ask(&ledger, "a1", "state", "{}")["least_bid"], serde_json::Value::Null);
}

mod courses;
