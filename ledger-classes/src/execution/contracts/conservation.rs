//! What no course of events may break, over random ones with pauses, freezes, revocations, outages, controls that change
//! hands, allowances, burning and fees of hostile parties: units and items
//! are neither made nor lost, a contract's account holds what is in escrow and what is owed, nobody has less without an
//! event that names the rule, everything ends within its bound in every state of the assets, the same blocks give the
//! same writes, and no argument whatever makes a contract panic.
#![allow(clippy::unwrap_used)]

mod steps;

use super::tests::*;
use crate::action::Action;
use crate::action::assets::AccountCreate;
use crate::execution::assets;
use crate::execution::test_support::{Ledger, address, signer};
use crate::formats::config::Fees;
use crate::formats::event::Event;
use crate::formats::outcome::ResultCode;
use crate::formats::receipt::Receipt;
use crate::keys::Address;
use crate::limits::STOPS_MS_MAX;
use crate::primitives::amount::Amount;
use crate::primitives::time::Time;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use steps::{shared_control, steps};

const PEOPLE: [u8; 5] = [2, 3, 4, 5, 6];
const AUCTIONS: [&str; 2] = ["a0", "a1"];
const LOANS: [&str; 3] = ["l0", "l1", "l2"];
const HOLDERS: [&str; 3] = [AUCTIONS[0], AUCTIONS[1], "desk"];
const SUPPLY: u128 = 10_000;
/// The registrar of the desk.
const OFFICE: u8 = 7;
/// Anybody else.
const SOMEBODY: u8 = 9;

/// Two auctions of art/x0 and art/x1 with different terms, and a desk where everybody may borrow.
fn world() -> Ledger {
    let mut ledger = ledger();
    admit(&mut ledger, OFFICE, "alpha");
    let others = PEOPLE.into_iter().chain([ISSUER, SOMEBODY]);
    others.for_each(|person| admit(&mut ledger, person, "beta"));
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
    ledger.done(OFFICE, vec![create("lending", "desk", desk)]);
    let register = |person: u8| call("desk", "register_borrower", &format!(r#"{{"borrower":"{}"}}"#, address(person)));
    ledger.done(OFFICE, PEOPLE.map(register).to_vec());
    // Whoever is revoked can do nothing any more.
    let mut record = super::super::config_of(&ledger.state).unwrap();
    record.config.open_submit = false;
    ledger.put(crate::state::keyspace::config_at(record.height), &record);
    ledger
}

const ITEMS: [(&str, &str); 7] =
    [("art", "x0"), ("art", "x1"), ("deed", "d2"), ("deed", "d3"), ("deed", "d4"), ("deed", "d5"), ("deed", "d6")];

/// Gives the control of an asset to `who`.
fn hand_control(ledger: &mut Ledger, asset: &str, who: u8) {
    let mut record = assets::asset(&ledger.state, asset).unwrap().unwrap();
    record.control_authority = address(who);
    ledger.put(crate::state::keyspace::asset(asset), &record);
}

/// Gives the control of an asset to a joint account of `who`, person 3 and the issuer.
fn share_control(ledger: &mut Ledger, asset: &str, who: u8, threshold: u8) {
    let members = BTreeSet::from([who, 3, ISSUER]);
    let threshold = threshold.min(u8::try_from(members.len()).unwrap());
    let keys: Vec<_> = members.iter().map(|member| signer(*member).public()).collect();
    let mut record = assets::asset(&ledger.state, asset).unwrap().unwrap();
    record.control_authority = assets::joint_address(threshold, &keys);
    ledger.put(crate::state::keyspace::asset(asset), &record);
    // Of several assets with one control the first makes it.
    let members: Vec<u8> = members.into_iter().collect();
    let (code, message) = ledger.signed(&members, vec![Action::AccountCreate(AccountCreate { keys, threshold })]);
    assert!(matches!(code, ResultCode::Done | ResultCode::AccountExists), "{message}");
}

fn set_fees(ledger: &mut Ledger, fees: Fees) {
    let mut record = super::super::config_of(&ledger.state).unwrap();
    record.config.fees = fees;
    ledger.put(crate::state::keyspace::config_at(record.height), &record);
}

fn amount(value: &Value) -> u128 {
    value.as_str().unwrap().parse::<Amount>().unwrap().0
}

fn loans(ledger: &Ledger) -> Vec<Value> {
    let of = |person: u8| {
        let answer = ask(ledger, "desk", "loans", &format!(r#"{{"borrower":"{}"}}"#, address(person)));
        answer.as_array().unwrap().clone()
    };
    PEOPLE.into_iter().flat_map(of).collect()
}

/// What contracts hold, as their states say: by holder, asset (or asset/item), and whose it is by right.
type Claims = BTreeMap<(String, String, String), u128>;

fn claims(ledger: &Ledger) -> Claims {
    let mut claims = Claims::new();
    let mut add = |holder: &str, what: String, whose: &Value, amount: u128| {
        let key = (holder.to_owned(), what, whose.as_str().unwrap().to_lowercase());
        *claims.entry(key).or_default() += amount;
    };
    let valuable = |value: &Value| match value.get("units") {
        Some(units) => (units["asset"].as_str().unwrap().to_owned(), amount(&units["amount"])),
        None => {
            let item = &value["item"];
            (format!("{}/{}", item["asset"].as_str().unwrap(), item["item"].as_str().unwrap()), 1)
        }
    };
    for (number, auction) in AUCTIONS.into_iter().enumerate() {
        let state = ask(ledger, auction, "state", "{}");
        if state["phase"] == "open" {
            add(auction, format!("art/x{number}"), &state["seller"], 1);
            if let Some(bid) = state.get("highest").filter(|bid| !bid.is_null()) {
                add(auction, "eur".into(), &bid["bidder"], amount(&bid["amount"]));
            }
        }
    }
    for loan in loans(ledger) {
        let quotes = ask(ledger, "desk", "quotes", &format!(r#"{{"loan":{}}}"#, loan["loan"]));
        for quote in quotes.as_array().unwrap() {
            add("desk", loan["asset"].as_str().unwrap().to_owned(), &quote["lender"], amount(&loan["amount"]));
        }
        if loan["collateral_state"] == "held" {
            let (what, amount) = valuable(&loan["collateral"]);
            add("desk", what, &loan["borrower"], amount);
        }
    }
    for holder in HOLDERS {
        for owed in ask(ledger, holder, "owed", "{}").as_array().unwrap() {
            let (what, amount) = valuable(&owed["what"]);
            add(holder, what, &owed["to"], amount);
        }
    }
    claims
}

fn check_conservation(ledger: &Ledger) {
    let claims = claims(ledger);
    for asset in ["eur", "usd"] {
        let owners = PEOPLE.into_iter().chain([ISSUER, OFFICE, SOMEBODY]);
        let mut sum: u128 = owners.map(|person| units(ledger, asset, address(person))).sum();
        for holder in HOLDERS {
            let held = units(ledger, asset, account(ledger, holder));
            let claimed: u128 = claims.iter().filter(|(key, _)| key.0 == holder && key.1 == asset).map(|of| of.1).sum();
            assert_eq!(held, claimed, "{holder} holds other than is in escrow and owed of {asset}");
            sum += held;
        }
        let supply = assets::asset(&ledger.state, asset).unwrap().unwrap().supply.0;
        assert!(sum == supply && supply <= SUPPLY, "{sum} of {supply} {asset}");
    }
    for (asset, item) in ITEMS {
        let what = format!("{asset}/{item}");
        let owner = owner(ledger, asset, item);
        let holders: Vec<&str> =
            claims.iter().filter(|(key, _)| key.1 == what).map(|(key, _)| key.0.as_str()).collect();
        match HOLDERS.iter().find(|holder| account(ledger, holder) == owner) {
            Some(holder) => assert_eq!(holders, [*holder], "{what}"),
            None => assert_eq!(holders, Vec::<&str>::new(), "{what}"),
        }
    }
}

/// What a person has, by asset or asset/item: what it owns, what is its in escrow, what it is owed.
fn wealth(ledger: &Ledger, claims: &Claims, person: u8) -> BTreeMap<String, u128> {
    let mine = address(person).to_string().to_lowercase();
    let mut wealth =
        BTreeMap::from(["eur", "usd"].map(|asset| (asset.to_owned(), units(ledger, asset, address(person)))));
    for (asset, item) in ITEMS.into_iter().filter(|(asset, item)| owner(ledger, asset, item) == address(person)) {
        wealth.insert(format!("{asset}/{item}"), 1);
    }
    for ((_, what, _), amount) in claims.iter().filter(|(key, _)| key.2 == mine) {
        *wealth.entry(what.clone()).or_default() += amount;
    }
    wealth
}

/// Runs a block. Whoever has less of something afterwards, but for those who acted or allowed it, finds the rule in its
/// events.
fn run(ledger: &mut Ledger, actors: &[Address], transactions: &[(&[u8], Vec<Action>)]) -> Vec<Receipt> {
    let before = claims(ledger);
    let before = PEOPLE.map(|person| wealth(ledger, &before, person));
    let receipts = ledger.run(transactions);
    check_conservation(ledger);
    let told: Vec<(String, String)> = receipts
        .iter()
        .flat_map(events)
        .filter_map(|event| match event {
            Event::ContractEmitted { name, data, .. } => Some((name, data)),
            _ => None,
        })
        .collect();
    let after = claims(ledger);
    for (person, before) in PEOPLE.into_iter().zip(before) {
        let (after, mine) = (wealth(ledger, &after, person), address(person).to_string());
        let rules = ["auction.settled", "lending.awarded", "lending.defaulted"];
        let ruled = told.iter().any(|(name, data)| rules.contains(&name.as_str()) && data.contains(&mine));
        for (what, had) in before {
            let has = after.get(&what).copied().unwrap_or_default();
            assert!(
                has >= had || ruled || actors.contains(&address(person)),
                "{person} lost {what}: {had} to {has}, {told:?}"
            );
        }
    }
    receipts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_made_or_lost_and_everything_ends_within_its_bound(
        // Sellers, bidders, borrowers and lenders may control what they deal in.
        controllers in [select(vec![ISSUER, 4]), select(vec![ISSUER, 5]), select(vec![ISSUER, 2]), select(vec![ISSUER, 6])],
        // Alone, or with two others of whom one or two must sign.
        shared in prop::array::uniform4(select(vec![0u8, 0, 1, 2])),
        steps in prop::collection::vec(
            (select(&PEOPLE[..]), steps(), select(vec![0u64, 0, 0, 100, 1_000, 4_000]), prop::bool::weighted(0.03)), 1..60)
    ) {
        let mut ledger = world();
        for ((asset, who), threshold) in ["eur", "usd", "art", "deed"].into_iter().zip(controllers).zip(shared) {
            match threshold {
                0 => hand_control(&mut ledger, asset, who),
                _ => share_control(&mut ledger, asset, who, threshold),
            }
        }
        check_conservation(&ledger);
        for (who, step, wait, outage) in steps {
            ledger.advance(wait);
            if outage {
                ledger.outage(100_000);
            }
            let who = step.right_person(&ledger).unwrap_or(who);
            let Some(action) = step.action(&ledger, who) else {
                step.happens(&mut ledger, who);
                run(&mut ledger, &[], &[]);
                continue;
            };
            let (signers, actions) =
                match step.controlled().and_then(|asset| shared_control(&ledger, asset, who)) {
                    Some((control, members)) => (members, vec![act(control), action]),
                    None => (vec![who], vec![action]),
                };
            let transaction = ledger.transaction(&signers, actions.clone());
            let one = ledger.draft(std::slice::from_ref(&transaction));
            prop_assert_eq!(&one, &ledger.draft(std::slice::from_ref(&transaction)));
            let actors: Vec<Address> =
                [address(signers[0])].into_iter().chain(step.allowed_by(&ledger)).collect();
            run(&mut ledger, &actors, &[(&signers, actions)]);
        }
        // Nobody does anything any more, and what is stopped stays so: everything ends by itself, within its bound.
        for _ in 0..8 {
            ledger.advance(20_000);
            run(&mut ledger, &[], &[]);
        }
        for _ in 0..4 {
            ledger.advance(STOPS_MS_MAX / 2);
            run(&mut ledger, &[], &[]);
        }
        // A lender who keeps its borrower from repaying is given a day each time, thirty times.
        for _ in 0..40 {
            ledger.advance(86_400_000);
            run(&mut ledger, &[], &[]);
        }
        prop_assert_eq!(crate::execution::next_timer(&ledger.state).unwrap(), None);
        for auction in AUCTIONS {
            prop_assert_ne!(&ask(&ledger, auction, "state", "{}")["phase"], "open");
        }
        for loan in loans(&ledger) {
            prop_assert!(loan["status"] != "active" && loan["status"] != "quoting", "{}", loan);
        }
        // What is owed is paid as soon as it can move, and nobody asks for more than there is.
        set_fees(&mut ledger, Fees::default());
        for asset in ["eur", "usd", "art", "deed"] {
            hand_control(&mut ledger, asset, ISSUER);
            ledger.one(ISSUER, vec![resume(asset)]);
        }
        for (asset, item) in ITEMS {
            ledger.one(ISSUER, vec![unfreeze_item(asset, item)]);
        }
        for holder in HOLDERS {
            let of = account(&ledger, holder);
            for asset in ["eur", "usd"] {
                let frozen = assets::balance_of(&ledger.state, asset, &of).unwrap().frozen.0;
                ledger.one(ISSUER, vec![unfreeze(asset, of, frozen)]);
            }
            for person in PEOPLE {
                for asset in ["eur", "usd"] {
                    ledger.one(SOMEBODY, vec![claim(holder, address(person), asset, None)]);
                }
                for (asset, item) in ITEMS {
                    ledger.one(SOMEBODY, vec![claim(holder, address(person), asset, Some(item))]);
                }
            }
        }
        check_conservation(&ledger);
        prop_assert_eq!(claims(&ledger), Claims::new());
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
        "controller_may_quote",
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
