//! The lending desk's rules, one row each, and the courses that a loan can take.
#![allow(clippy::unwrap_used)]

use super::interest::YEAR_SECONDS;
use crate::action::Action;
use crate::action::assets::AccountCreate;
use crate::execution::contracts::tests::*;
use crate::execution::test_support::{Ledger, address, signer};
use crate::formats::outcome::ResultCode as C;
use serde_json::Value;

const YEAR_MS: u64 = YEAR_SECONDS * 1_000;
const GRACE_MS: u64 = 86_400_000;

/// A desk in eur whose registrar is signer 2 of alpha; borrower 3 with a house and 500 usd; lenders 4, 5 and 6 with
/// 10,000 eur each.
fn desk() -> Ledger {
    let mut ledger = ledger();
    admit(&mut ledger, 2, "alpha");
    admit(&mut ledger, 6, "beta");
    let funds = [4, 5, 6].map(|lender| mint("eur", lender, 10_000));
    ledger.done(ISSUER, [funds.to_vec(), vec![mint_item("deed", "house", 3), mint("usd", 3, 500)]].concat());
    let arguments = r#"{"currencies":["eur"],"grace_seconds":86400,"registrars":["alpha"]}"#;
    ledger.done(2, vec![create("lending", "desk", arguments)]);
    ledger.done(2, vec![register(3)]);
    ledger
}

fn register(borrower: u8) -> Action {
    call("desk", "register_borrower", &format!(r#"{{"borrower":"{}"}}"#, address(borrower)))
}

const HOUSE: &str = r#","collateral":{"item":{"asset":"deed","item":"house"}}"#;
const USD: &str = r#","collateral":{"units":{"asset":"usd","amount":"500"}}"#;

/// 1,000 eur for a year in four installments at 20 % at most, quotes for 10 seconds.
fn request(ledger: &Ledger, loan: &str, more: &str) -> Action {
    let deadline = ledger.time.plus_millis(10_000);
    let arguments = format!(
        r#"{{"loan":"{loan}","asset":"eur","amount":"1000","term_seconds":{YEAR_SECONDS},"installments":4,"rate_max_bps":2000,"quote_deadline":"{deadline}"{more}}}"#
    );
    call("desk", "request", &arguments)
}

fn quote(rate_bps: u32) -> Action {
    call("desk", "quote", &format!(r#"{{"loan":"l1","rate_bps":{rate_bps}}}"#))
}

fn of_loan(method: &str) -> Action {
    call("desk", method, r#"{"loan":"l1"}"#)
}

fn repay(amount: &str) -> Action {
    call("desk", "repay", &format!(r#"{{"loan":"l1","amount":"{amount}"}}"#))
}

fn loan(ledger: &Ledger) -> Value {
    ask(ledger, "desk", "loan", r#"{"loan":"l1"}"#)
}

fn credit(ledger: &Ledger) -> Value {
    ask(ledger, "desk", "credit", &format!(r#"{{"borrower":"{}"}}"#, address(3)))
}

fn held(ledger: &Ledger, asset: &str) -> u128 {
    units(ledger, asset, account(ledger, "desk"))
}

fn eur(ledger: &Ledger, who: u8) -> u128 {
    units(ledger, "eur", address(who))
}

fn house(ledger: &Ledger) -> crate::keys::Address {
    owner(ledger, "deed", "house")
}

/// The loan `l1`, awarded to signer 4 at 10 %.
fn funded(more: &str) -> Ledger {
    let mut ledger = desk();
    ledger.done(3, vec![request(&ledger, "l1", more)]);
    ledger.done(4, vec![quote(1_000)]);
    ledger.advance(10_000);
    assert_eq!(names(&ledger.run(&[])), ["lending.awarded"]);
    ledger
}

#[test]
fn the_lowest_rate_wins_the_earlier_of_equal_ones_and_the_others_have_their_money_in_the_same_block() {
    let mut ledger = desk();
    ledger.done(3, vec![request(&ledger, "l1", HOUSE)]);
    assert_eq!(house(&ledger), account(&ledger, "desk"));
    for (lender, rate) in [(4, 900), (5, 800), (6, 800)] {
        ledger.done(lender, vec![quote(rate)]);
    }
    assert_eq!(held(&ledger, "eur"), 3_000);
    assert_eq!(ask(&ledger, "desk", "quotes", r#"{"loan":"l1"}"#).as_array().unwrap().len(), 3);
    ledger.advance(10_000);
    let receipts = ledger.run(&[]);
    assert_eq!(names(&receipts), ["lending.awarded", "lending.refunded", "lending.refunded"]);
    assert_eq!([3, 4, 5, 6].map(|who| eur(&ledger, who)), [1_000, 10_000, 9_000, 10_000]);
    assert_eq!((held(&ledger, "eur"), house(&ledger)), (0, account(&ledger, "desk")));
    let loan = loan(&ledger);
    assert_eq!(
        (&loan["status"], &loan["lender"], &loan["rate_bps"]),
        (&"active".into(), &address(5).to_string().into(), &800.into())
    );
    assert_eq!(loan["schedule"].as_array().unwrap().len(), 4);
    let credit = credit(&ledger);
    assert_eq!((&credit["requests"], &credit["funded"]), (&1.into(), &1.into()));
    assert_eq!(credit["totals"][0]["outstanding"], "1000");
    assert_eq!(credit["last_event_height"], ledger.height);
}

#[test]
fn requests_are_refused_with_their_own_codes() {
    let mut ledger = desk();
    let good = request(&ledger, "l1", HOUSE);
    let with = |from: &str, to: &str| {
        let Action::ContractCall(mut body) = good.clone() else { unreachable!() };
        assert!(body.arguments.contains(from), "{from}");
        body.arguments = body.arguments.replace(from, to);
        Action::ContractCall(body)
    };
    let most = u128::MAX.to_string();
    let rows = vec![
        (4, good.clone(), C::NoCreditRecord),
        (3, with("\"l1\"", "\"L 1\""), C::ArgumentsInvalid),
        (3, with("\"eur\"", "\"usd\""), C::ArgumentsInvalid),
        (3, with("\"1000\"", "\"0\""), C::ArgumentsInvalid),
        (3, with("\"1000\"", "1000"), C::ArgumentsInvalid),
        (3, with("\"1000\"", &format!("\"{most}\"")), C::AmountOverflow),
        (3, with("\"term_seconds\":31536000", "\"term_seconds\":0"), C::ArgumentsInvalid),
        (3, with("\"term_seconds\":31536000", "\"term_seconds\":18446744073709551615"), C::ArgumentsInvalid),
        (3, with("\"term_seconds\":31536000", "\"term_seconds\":3"), C::ArgumentsInvalid),
        (3, with("\"installments\":4", "\"installments\":0"), C::ArgumentsInvalid),
        (3, with("\"installments\":4", "\"installments\":121"), C::ArgumentsInvalid),
        (3, with("\"installments\":4", "\"installments\":1.5"), C::ArgumentsInvalid),
        (3, with(":2000", ":1000001"), C::ArgumentsInvalid),
        (3, with(":2000", ":-1"), C::ArgumentsInvalid),
        (3, with("2026-", "1999-"), C::ArgumentsInvalid),
        (3, with("2026-", "2036-"), C::ArgumentsInvalid),
        (3, with("house", "castle"), C::CollateralRefused),
        (3, with("deed", "usd"), C::CollateralRefused),
        (3, request(&ledger, "l1", &USD.replace("500", "501")), C::CollateralRefused),
        (3, request(&ledger, "l1", &USD.replace("500", "0")), C::ArgumentsInvalid),
        (3, request(&ledger, "l1", r#","collateral":{"items":[]}"#), C::ArgumentsInvalid),
        (3, request(&ledger, "l1", r#","lenders":{"organizations":[]}"#), C::ArgumentsInvalid),
        (3, request(&ledger, "l1", r#","lenders":{"organizations":["nowhere"]}"#), C::OrganizationUnknown),
        (3, good.clone(), C::Done),
        (3, request(&ledger, "l1", ""), C::LoanExists),
        (3, request(&ledger, "l2", HOUSE), C::CollateralRefused),
        (3, register(4), C::CallerRefused),
        (6, register(4), C::CallerRefused),
        (2, register(3), C::CreditRecordExists),
        (2, register(4), C::Done),
        (2, call("desk", "lend", "{}"), C::MethodUnknown),
    ];
    check(&mut ledger, rows);
    for (arguments, code) in [
        (r#"{"currencies":[],"grace_seconds":1,"registrars":["alpha"]}"#, C::ArgumentsInvalid),
        (r#"{"currencies":["gbp"],"grace_seconds":1,"registrars":["alpha"]}"#, C::AssetUnknown),
        (r#"{"currencies":["deed"],"grace_seconds":1,"registrars":["alpha"]}"#, C::WrongAssetKind),
        (r#"{"currencies":["eur"],"grace_seconds":315360001,"registrars":["alpha"]}"#, C::ArgumentsInvalid),
        (r#"{"currencies":["eur"],"grace_seconds":1,"registrars":[]}"#, C::ArgumentsInvalid),
        (r#"{"currencies":["eur"],"grace_seconds":1}"#, C::ArgumentsInvalid),
        (r#"{"currencies":["eur"],"grace_seconds":1,"registrars":["nowhere"]}"#, C::OrganizationUnknown),
    ] {
        check(&mut ledger, vec![(2, create("lending", "other", arguments), code)]);
    }
}

#[test]
fn quotes_are_refused_with_their_own_codes() {
    let mut ledger = desk();
    let first = request(&ledger, "l1", "");
    check(
        &mut ledger,
        vec![
            (4, quote(1_000), C::LoanUnknown),
            (3, first, C::Done),
            (3, quote(1_000), C::QuoteByBorrower),
            (4, quote(2_001), C::RateTooHigh),
            (7, quote(1_000), C::QuoteUnfunded),
            (4, of_loan("withdraw_quote"), C::QuoteUnknown),
            (4, of_loan("award"), C::WrongPhase),
            (4, of_loan("review"), C::WrongPhase),
            (3, repay("1"), C::WrongPhase),
            (4, quote(1_000), C::Done),
            (4, quote(900), C::AlreadyQuoted),
            (4, of_loan("withdraw_quote"), C::Done),
            (4, quote(900), C::Done),
            (4, of_loan("cancel"), C::CallerRefused),
            (3, of_loan("cancel"), C::WrongPhase),
        ],
    );
    ledger.advance(10_000);
    ledger.run(&[]);
    check(
        &mut ledger,
        vec![
            (5, quote(1), C::QuoteTooLate),
            (4, of_loan("withdraw_quote"), C::QuoteTooLate),
            (3, of_loan("cancel"), C::WrongPhase),
            (4, of_loan("award"), C::WrongPhase),
        ],
    );
}

#[test]
fn lenders_are_asked_for_their_organization_and_are_not_the_borrower_by_another_address() {
    let mut ledger = desk();
    admit(&mut ledger, 3, "beta");
    let borrower: crate::state::participant::Participant =
        crate::state::record::read(&ledger.state, &crate::state::keyspace::participant(&address(3))).unwrap().unwrap();
    ledger.put(crate::state::keyspace::participant(&address(5)), &borrower);
    ledger.done(3, vec![request(&ledger, "l1", r#","lenders":{"organizations":["beta"]}"#)]);
    let rows =
        vec![(4, quote(100), C::LenderNotQualified), (5, quote(100), C::QuoteByBorrower), (6, quote(100), C::Done)];
    check(&mut ledger, rows);
}

#[test]
fn a_full_list_of_quotes_gives_way_to_better_ones_only() {
    let mut ledger = desk();
    ledger.done(3, vec![request(&ledger, "l1", "")]);
    for lender in 100..164 {
        ledger.done(ISSUER, vec![mint("eur", lender, 1_000)]);
        ledger.done(lender, vec![quote(2_000)]);
    }
    check(&mut ledger, vec![(4, quote(2_000), C::RateTooHigh), (4, quote(1_999), C::Done)]);
    assert_eq!((eur(&ledger, 163), eur(&ledger, 162), held(&ledger, "eur")), (1_000, 0, 64_000));
    ledger.advance(10_000);
    assert_eq!(codes(&ledger.run(&[])), [C::Done]);
    assert_eq!((eur(&ledger, 4), held(&ledger, "eur")), (9_000, 0));
}

#[test]
fn a_request_that_nobody_funds_gives_the_collateral_back() {
    let mut ledger = desk();
    ledger.done(3, vec![request(&ledger, "l1", HOUSE)]);
    ledger.advance(10_000);
    assert_eq!(names(&ledger.run(&[])), ["lending.collateral_released", "lending.closed"]);
    assert_eq!((house(&ledger), &loan(&ledger)["status"]), (address(3), &"unfunded".into()));
    ledger.done(3, vec![request(&ledger, "l2", USD)]);
    ledger.done(3, vec![call("desk", "cancel", r#"{"loan":"l2"}"#)]);
    assert_eq!(units(&ledger, "usd", address(3)), 500);
    assert_eq!(crate::execution::next_timer(&ledger.state).unwrap(), None);
    let of = format!(r#"{{"borrower":"{}","from":"l2"}}"#, address(3));
    assert_eq!(ask(&ledger, "desk", "loans", &of)[0]["status"], "cancelled");
}

/// 1,000 at 10 % in four quarters: the equal installment is 266 (interest 25, 19, 13, 7, each rounded up).
#[test]
fn a_loan_repaid_by_its_schedule_is_never_late() {
    let mut ledger = funded(HOUSE);
    ledger.done(ISSUER, vec![mint("eur", 3, 1_000)]);
    let schedule = loan(&ledger)["schedule"].clone();
    for number in 0..4 {
        let due = crate::primitives::time::Time::parse(schedule[number]["due"].as_str().unwrap()).unwrap();
        ledger.advance_to(crate::primitives::time::Time::from_millis(due.millis() - 1));
        let amount = schedule[number]["amount"].as_str().unwrap();
        assert_eq!(amount, "266");
        check(&mut ledger, vec![(3, repay(amount), C::Done)]);
        ledger.run(&[]);
    }
    let credit = credit(&ledger);
    assert_eq!((&credit["repaid"], &credit["late_payments"]), (&1.into(), &0.into()));
    assert_eq!((&credit["totals"][0]["outstanding"], &loan(&ledger)["owed"]), (&"0".into(), &"0".into()));
    assert_eq!(house(&ledger), address(3));
    assert_eq!(crate::execution::next_timer(&ledger.state).unwrap(), None);
}

#[test]
fn repayments_are_refused_with_their_own_codes_and_early_ones_owe_the_time_that_passed() {
    let mut ledger = funded(USD);
    let funded_at = ledger.time.millis() - 1;
    ledger.advance_to(crate::primitives::time::Time::from_millis(funded_at + YEAR_MS / 10));
    // A tenth of a year at 10 % of 1,000 is 10.
    let at = format!(r#"{{"loan":"l1","at":"{}"}}"#, ledger.time);
    assert_eq!(ask(&ledger, "desk", "loan", &at)["owed"], "1010");
    check(
        &mut ledger,
        vec![
            (3, repay("0"), C::ArgumentsInvalid),
            (3, of_loan("repay"), C::RepaymentUnfunded),
            (3, repay("510"), C::Done),
        ],
    );
    // The second that has begun costs another unit: 11 of interest were paid.
    assert_eq!((&loan(&ledger)["principal"], eur(&ledger, 4)), (&"501".into(), 9_510));
    ledger.done(ISSUER, vec![mint("eur", 3, 100)]);
    // More than is owed is not taken.
    check(&mut ledger, vec![(3, repay(&u128::MAX.to_string()), C::Done), (3, repay("1"), C::WrongPhase)]);
    assert_eq!((eur(&ledger, 3), eur(&ledger, 4), units(&ledger, "usd", address(3))), (89, 10_011, 500));
    let credit = credit(&ledger);
    assert_eq!((&credit["repaid"], &credit["totals"][0]["total_repaid"]), (&1.into(), &"1011".into()));
}

#[test]
fn a_missed_installment_is_noted_and_the_end_of_the_grace_time_is_the_default() {
    let mut ledger = funded(HOUSE);
    let funded_at = ledger.time.millis() - 1;
    let mut at = |millis: u64| {
        ledger.advance_to(crate::primitives::time::Time::from_millis(funded_at + millis));
        names(&ledger.run(&[]))
    };
    assert_eq!(at(YEAR_MS / 4 - 1), Vec::<String>::new());
    assert_eq!(at(YEAR_MS / 4), ["lending.late"]);
    // A long gap between blocks: two due times in one run.
    assert_eq!(at(YEAR_MS * 3 / 4 + 5), ["lending.late", "lending.late"]);
    assert_eq!(at(YEAR_MS), ["lending.late"]);
    assert_eq!(at(YEAR_MS + GRACE_MS - 1), Vec::<String>::new());
    assert_eq!(at(YEAR_MS + GRACE_MS), ["lending.collateral_released", "lending.defaulted", "lending.closed"]);
    assert_eq!(house(&ledger), address(4));
    let credit = credit(&ledger);
    assert_eq!((&credit["defaulted"], &credit["late_payments"]), (&1.into(), &4.into()));
    let totals = &credit["totals"][0];
    assert_eq!((&totals["outstanding"], &totals["total_defaulted"]), (&"0".into(), &"1101".into()));
    check(&mut ledger, vec![(3, repay("1"), C::WrongPhase), (4, of_loan("review"), C::WrongPhase)]);
}

#[test]
fn the_largest_loan_runs_to_its_end() {
    let mut ledger = desk();
    ledger.done(2, vec![register(7)]);
    let amount = u128::MAX / 4;
    ledger.done(ISSUER, vec![mint("eur", 8, amount)]);
    let deadline = ledger.time.plus_millis(10);
    let arguments = format!(
        r#"{{"loan":"l1","asset":"eur","amount":"{amount}","term_seconds":{YEAR_SECONDS},"installments":120,"rate_max_bps":9000,"quote_deadline":"{deadline}"}}"#
    );
    ledger.done(7, vec![call("desk", "request", &arguments)]);
    ledger.done(8, vec![quote(9_000)]);
    ledger.advance(10);
    assert_eq!(codes(&ledger.run(&[])), [C::Done]);
    assert_eq!(eur(&ledger, 7), amount);
    ledger.advance(YEAR_MS / 2);
    ledger.done(7, vec![repay(&(amount / 2).to_string())]);
    ledger.advance(YEAR_MS);
    assert_eq!(codes(&ledger.run(&[])), [C::Done]);
    assert_eq!(loan(&ledger)["status"], "defaulted");
}

mod courses;
