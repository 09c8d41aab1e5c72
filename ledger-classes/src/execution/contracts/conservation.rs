//! What no sequence of calls may break, over random ones: units and items are neither made nor lost, a contract's
//! account holds what its state says it owes and nothing once everything has ended, the same blocks give the same
//! writes, and no argument whatever makes a contract panic.
#![allow(clippy::unwrap_used)]

use super::tests::*;
use crate::action::Action;
use crate::amount::Amount;
use crate::execution::test_support::{Ledger, address};
use crate::keys::Address;
use crate::time::Time;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

const PEOPLE: [u8; 5] = [2, 3, 4, 5, 6];
const AUCTIONS: [&str; 2] = ["a0", "a1"];
const LOANS: [&str; 3] = ["l0", "l1", "l2"];
const SUPPLY: u128 = 10_000;

/// Two auctions of art/x0 and art/x1 with different terms, and a desk where everybody may borrow.
fn world() -> Ledger {
    let mut ledger = ledger();
    admit(&mut ledger, 2, "alpha");
    let mut actions = Vec::new();
    for person in PEOPLE {
        actions.push(mint("eur", person, SUPPLY / 5));
        actions.push(mint("usd", person, SUPPLY / 5));
        actions.push(mint_item("deed", &format!("d{person}"), person));
    }
    actions.extend([mint_item("art", "x0", 2), mint_item("art", "x1", 3)]);
    ledger.done(ISSUER, actions);
    let first = auction_arguments(&ledger, "x0", r#","buy_now":"700""#);
    ledger.done(2, vec![create("auction", "a0", &first)]);
    let second = auction_arguments(&ledger, "x1", "");
    ledger.done(3, vec![create("auction", "a1", &second)]);
    let desk = r#"{"currencies":["eur","usd"],"grace_seconds":5,"registrars":["alpha"]}"#;
    ledger.done(2, vec![create("lending", "desk", desk)]);
    let register = |person: u8| call("desk", "register_borrower", &format!(r#"{{"borrower":"{}"}}"#, address(person)));
    ledger.done(2, PEOPLE.map(register).to_vec());
    ledger
}

/// One step: who does what, and how much time passes before.
#[derive(Clone, Debug)]
enum Step {
    Auction { method: &'static str, auction: &'static str, amount: u128 },
    Request { loan: &'static str, asset: &'static str, amount: u128, collateral: u8, installments: u32 },
    Quote { loan: &'static str, rate: u32 },
    Loan { method: &'static str, loan: &'static str },
    Repay { loan: &'static str, amount: u128 },
    Pause { asset: &'static str, on: bool },
}

impl Step {
    /// Who alone can do this step, so that not almost all of them are refused.
    fn right_person(&self, ledger: &Ledger) -> Option<u8> {
        match self {
            Self::Pause { .. } => Some(ISSUER),
            Self::Loan { method: "repay" | "cancel", loan: name } | Self::Repay { loan: name, .. } => {
                let loan = loans(ledger).into_iter().find(|loan| loan["loan"] == *name)?;
                PEOPLE.into_iter().find(|person| loan["borrower"] == address(*person).to_string())
            }
            _ => None,
        }
    }

    fn action(&self, ledger: &Ledger, who: u8) -> Action {
        match self {
            Self::Auction { method, auction, amount } => {
                let arguments = if *method == "bid" { format!(r#"{{"amount":"{amount}"}}"#) } else { "{}".into() };
                call(auction, method, &arguments)
            }
            Self::Request { loan, asset, amount, collateral, installments } => {
                let collateral = match collateral {
                    0 => String::new(),
                    1 => r#","collateral":{"units":{"asset":"usd","amount":"77"}}"#.into(),
                    _ => format!(r#","collateral":{{"item":{{"asset":"deed","item":"d{who}"}}}}"#),
                };
                let deadline = ledger.time.plus_millis(3_000);
                let arguments = format!(
                    r#"{{"loan":"{loan}","asset":"{asset}","amount":"{amount}","term_seconds":12,"installments":{installments},"rate_max_bps":1000000,"quote_deadline":"{deadline}"{collateral}}}"#
                );
                call("desk", "request", &arguments)
            }
            Self::Quote { loan, rate } => call("desk", "quote", &format!(r#"{{"loan":"{loan}","rate_bps":{rate}}}"#)),
            Self::Loan { method, loan } => call("desk", method, &format!(r#"{{"loan":"{loan}"}}"#)),
            Self::Repay { loan, amount } => {
                call("desk", "repay", &format!(r#"{{"loan":"{loan}","amount":"{amount}"}}"#))
            }
            Self::Pause { asset, on: true } => pause(asset),
            Self::Pause { asset, on: false } => resume(asset),
        }
    }
}

fn amounts() -> impl Strategy<Value = u128> {
    prop_oneof![8 => 1u128..900, 1 => Just(0), 1 => (u128::MAX - 3)..=u128::MAX]
}

fn steps() -> impl Strategy<Value = Step> {
    let auction =
        (select(vec!["bid", "bid", "bid", "bid", "buy_now", "cancel", "settle"]), select(&AUCTIONS[..]), amounts())
            .prop_map(|(method, auction, amount)| Step::Auction { method, auction, amount });
    let request = (select(&LOANS[..]), select(vec!["eur", "usd"]), amounts(), 0u8..3, 1u32..4).prop_map(
        |(loan, asset, amount, collateral, installments)| Step::Request {
            loan,
            asset,
            amount,
            collateral,
            installments,
        },
    );
    let quote =
        (select(&LOANS[..]), select(vec![0, 10, 20, 900_000])).prop_map(|(loan, rate)| Step::Quote { loan, rate });
    let methods = vec!["withdraw_quote", "cancel", "award", "repay", "repay", "review", "release_collateral"];
    let loan = (select(methods), select(&LOANS[..])).prop_map(|(method, loan)| Step::Loan { method, loan });
    let repay = (select(&LOANS[..]), amounts()).prop_map(|(loan, amount)| Step::Repay { loan, amount });
    let pauses =
        (select(vec!["eur", "usd", "art", "deed"]), any::<bool>()).prop_map(|(asset, on)| Step::Pause { asset, on });
    prop_oneof![6 => auction, 4 => request, 6 => quote, 3 => loan, 4 => repay, 1 => pauses]
}

fn amount(value: &Value) -> u128 {
    value.as_str().unwrap().parse::<Amount>().unwrap().0
}

/// What the states of all contracts say that `account` holds of `asset`.
fn owed(ledger: &Ledger, holder: &str, asset: &str) -> u128 {
    if holder != "desk" {
        let state = ask(ledger, holder, "state", "{}");
        let escrow = state["phase"] == "open" && asset == "eur" && !state["highest"].is_null();
        return if escrow { amount(&state["highest"]["amount"]) } else { 0 };
    }
    let mut sum = 0;
    for loan in loans(ledger) {
        let quotes = ask(ledger, "desk", "quotes", &format!(r#"{{"loan":{}}}"#, loan["loan"]));
        if loan["asset"] == asset {
            sum += amount(&loan["amount"]) * quotes.as_array().unwrap().len() as u128;
        }
        let units = &loan["collateral"]["units"];
        if loan["collateral_held"] == true && units["asset"] == asset {
            sum += amount(&units["amount"]);
        }
    }
    sum
}

fn loans(ledger: &Ledger) -> Vec<Value> {
    let of = |person: u8| {
        let answer = ask(ledger, "desk", "loans", &format!(r#"{{"borrower":"{}"}}"#, address(person)));
        answer.as_array().unwrap().clone()
    };
    PEOPLE.into_iter().flat_map(of).collect()
}

fn check_conservation(ledger: &Ledger) {
    let holders = [AUCTIONS[0], AUCTIONS[1], "desk"];
    for asset in ["eur", "usd"] {
        let mut sum: u128 = PEOPLE.iter().map(|person| units(ledger, asset, address(*person))).sum();
        for holder in holders {
            let held = units(ledger, asset, account(ledger, holder));
            assert_eq!(held, owed(ledger, holder, asset), "{holder} holds other than it owes of {asset}");
            sum += held;
        }
        assert_eq!(sum, SUPPLY, "{asset}");
    }
    let mut escrowed: Vec<(String, Address)> = Vec::new();
    for (number, auction) in AUCTIONS.iter().enumerate() {
        let open = ask(ledger, auction, "state", "{}")["phase"] == "open";
        let item_owner = owner(ledger, "art", &format!("x{number}"));
        assert_eq!(open, item_owner == account(ledger, auction), "{auction}");
    }
    for loan in loans(ledger).iter().filter(|loan| loan["collateral_held"] == true) {
        if let Some(item) = loan["collateral"]["item"]["item"].as_str() {
            escrowed.push((item.to_owned(), account(ledger, "desk")));
        }
    }
    let held: Vec<(String, Address)> = PEOPLE
        .iter()
        .map(|person| format!("d{person}"))
        .filter(|item| owner(ledger, "deed", item) == account(ledger, "desk"))
        .map(|item| (item, account(ledger, "desk")))
        .collect();
    escrowed.sort();
    assert_eq!(held, escrowed);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_made_or_lost_and_accounts_hold_what_is_owed(
        steps in prop::collection::vec((select(&PEOPLE[..]), steps(), select(vec![0u64, 0, 0, 100, 1_000, 4_000])), 1..60)
    ) {
        let mut ledger = world();
        check_conservation(&ledger);
        for (who, step, wait) in steps {
            ledger.advance(wait);
            let who = step.right_person(&ledger).unwrap_or(who);
            let action = step.action(&ledger, who);
            let transaction = ledger.transaction(&[who], vec![action.clone()]);
            let one = ledger.preview(std::slice::from_ref(&transaction));
            prop_assert_eq!(&one, &ledger.preview(std::slice::from_ref(&transaction)));
            ledger.run(&[(&[who], vec![action])]);
            check_conservation(&ledger);
        }
        // Everything that can end, ends: pauses, timers, and by hand what timers could not do.
        for asset in ["eur", "usd", "art", "deed"] {
            ledger.one(ISSUER, vec![resume(asset)]);
        }
        for _ in 0..8 {
            ledger.advance(6_000);
            ledger.run(&[]);
        }
        for auction in AUCTIONS {
            ledger.one(9, vec![call(auction, "settle", "{}")]);
        }
        for loan in LOANS {
            for method in ["award", "review", "release_collateral"] {
                ledger.one(9, vec![call("desk", method, &format!(r#"{{"loan":"{loan}"}}"#))]);
                ledger.advance(20_000);
            }
        }
        ledger.run(&[]);
        check_conservation(&ledger);
        for holder in [AUCTIONS[0], AUCTIONS[1], "desk"] {
            for asset in ["eur", "usd"] {
                prop_assert_eq!(units(&ledger, asset, account(&ledger, holder)), 0, "{} {}", holder, asset);
            }
            prop_assert_eq!(crate::execution::assets::items_of(&ledger.state, &account(&ledger, holder), None, 9).unwrap(), vec![]);
        }
        prop_assert_eq!(crate::execution::next_timer(&ledger.state).unwrap(), None);
    }

    /// A panic would halt the channel on every peer.
    #[test]
    fn no_argument_makes_a_contract_panic(
        instance in select(vec!["a0", "desk"]),
        method in select(vec![
            "bid", "bids", "buy_now", "state", "register_borrower", "request", "quote", "repay", "award", "review", "loan",
            "loans", "credit", "quotes", "desk", "create", "x",
        ]),
        arguments in documents(),
    ) {
        let mut ledger = world();
        ledger.one(4, vec![call(instance, method, &arguments)]);
        ledger.one(4, vec![create("auction", "new1", &arguments), create("lending", "new2", &arguments)]);
        let _ = super::query(&ledger.state, instance, method, &arguments);
        let _ = super::query(&ledger.state, &arguments, method, &arguments);
        check_conservation(&ledger);
    }
}

/// Texts that are JSON, nearly JSON, and nothing like it, made of the words that the contracts know.
fn documents() -> impl Strategy<Value = String> {
    let key = select(vec![
        "amount",
        "loan",
        "rate_bps",
        "borrower",
        "item",
        "asset",
        "currency",
        "ends",
        "reserve",
        "minimum_increment",
        "from",
        "at",
        "term_seconds",
        "installments",
        "rate_max_bps",
        "quote_deadline",
        "collateral",
        "units",
        "lenders",
        "organizations",
        "currencies",
        "grace_seconds",
        "registrars",
        "evidence",
        "buy_now",
        "starting_price",
        "bidders",
    ]);
    let far = Time::from_millis(u64::MAX).to_string();
    let words = vec![
        "eur".into(),
        "art".into(),
        "x0".into(),
        "l0".into(),
        "any".into(),
        "alpha".into(),
        far,
        "0".into(),
        u128::MAX.to_string(),
        format!("{}0", u128::MAX),
        "\\u0000".into(),
        "é".into(),
        address(3).to_string(),
        String::new(),
    ];
    let leaf = prop_oneof![
        select(words).prop_map(|word: String| format!("\"{word}\"")),
        any::<u64>().prop_map(|number| number.to_string()),
        any::<i32>().prop_map(|number| number.to_string()),
        select(vec!["null", "true", "1e400", "-0", "0.5", "18446744073709551616"]).prop_map(str::to_owned),
    ];
    let value = leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|fields| {
                let fields: Vec<String> = fields.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    });
    prop_oneof![6 => value, 1 => any::<String>(), 1 => Just("[".repeat(5_000)), 1 => Just("{\"a\":".repeat(3_000))]
}
