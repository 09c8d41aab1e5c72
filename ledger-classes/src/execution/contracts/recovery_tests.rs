//! `account.recover`: who must agree, what moves, and that the successor stands in the old account's place.
#![allow(clippy::unwrap_used)]

use super::tests::*;
use crate::action::Action;
use crate::action::assets::{AccountCreate, Kind, Recover};
use crate::action::channel::{Approve, Withdraw};
use crate::execution::assets::{Recovery, heir, joint_address};
use crate::execution::audit;
use crate::execution::channel::{self, Subject};
use crate::execution::test_support::{Ledger, address, signer};
use crate::formats::config::Approvals;
use crate::formats::event::Event;
use crate::formats::outcome::ResultCode as C;
use crate::formats::rights::{Grant, Grantee};
use crate::limits::SUCCESSORS_MAX;
use crate::primitives::amount::Amount;
use crate::primitives::hash::Hash;
use crate::primitives::identity::{Identity, Role};
use crate::state::keyspace;
use crate::state::listing::Span;

/// Administrators of alpha and beta.
const ALPHA: u8 = 20;
const BETA: u8 = 21;

/// All organizations must approve. 3 and 4 are of beta, 5 is of alpha; 3 owns money, houses and an asset of its own.
fn world() -> Ledger {
    let mut ledger = ledger();
    for (number, organization) in [(3, "beta"), (4, "beta"), (5, "alpha")] {
        admit(&mut ledger, number, organization);
    }
    let mut record = super::super::config_of(&ledger.state).unwrap();
    record.config.approvals = Approvals::All;
    for (number, organization) in [(ALPHA, "alpha"), (BETA, "beta")] {
        let identity = Identity::new("test.example", organization, Role::Admin, "boss").unwrap();
        let participant = ledger.admit(number, &identity);
        let to = Grantee::Identity(participant.identity);
        record.config.grants.push(Grant { to, rights: ["admin".parse().unwrap()].into_iter().collect() });
    }
    ledger.put(keyspace::config_at(record.height), &record);
    let things = vec![
        mint("eur", 3, 1_000),
        mint("usd", 3, 50),
        mint_item("deed", "house", 3),
        mint_item("deed", "hut", 3),
        mint_item("art", "mona", 3),
    ];
    ledger.done(ISSUER, things);
    ledger.done(3, vec![define("own", Kind::Fungible { decimals: 0, supply_cap: None })]);
    ledger
}

fn recover(from: u8, to: u8) -> Action {
    let (from, to) = (address(from), address(to));
    Action::AccountRecover(Recover { from, to, reason: "its key is lost".into(), asset: None })
}

/// Alpha proposes it.
fn propose(ledger: &mut Ledger, from: u8, to: u8) -> Hash {
    let receipt = ledger.run(&[(&[ALPHA], vec![recover(from, to)])]).pop().unwrap();
    assert_eq!(receipt.head.code, 0, "{}", receipt.message());
    receipt.head.id
}

fn approve(proposal: Hash) -> Action {
    Action::ChannelApprove(Approve { proposal })
}

/// `from` is revoked, and `to` has what it had.
fn passed_on(ledger: &mut Ledger, from: u8, to: u8) {
    revoke(ledger, from);
    let proposal = propose(ledger, from, to);
    check(ledger, vec![(BETA, approve(proposal), C::Done)]);
}

#[test]
fn what_a_revoked_participant_owns_passes_to_a_successor_when_enough_organizations_agree() {
    let mut ledger = world();
    ledger.done(ISSUER, vec![pause("usd"), freeze_item("deed", "hut"), freeze("eur", address(3), 100)]);
    check(&mut ledger, vec![(ALPHA, recover(3, 4), C::RecoveryRefused)]);
    revoke(&mut ledger, 3);
    let stranger = recover(3, 9);
    check(
        &mut ledger,
        vec![
            (5, recover(3, 4), C::NoRight),
            (ALPHA, recover(3, 5), C::RecoveryRefused),
            (ALPHA, stranger, C::RecoveryRefused),
            (ALPHA, recover(4, 3), C::RecoveryRefused),
        ],
    );
    let proposal = propose(&mut ledger, 3, 4);
    check(&mut ledger, vec![(ALPHA, approve(proposal), C::AlreadyApproved)]);
    assert_eq!(units(&ledger, "eur", address(3)), 1_000, "one of two");
    let waiting = channel::open_proposals(&ledger.state, &Span::first(9)).unwrap().items;
    let subject = Subject::Recovery(Recovery { from: address(3), to: address(4), asset: None });
    assert_eq!((waiting.len(), waiting[0].id, &waiting[0].record.subject), (1, proposal, &subject));
    let receipts = ledger.run(&[(&[BETA], vec![approve(proposal)])]);
    let told = events(&receipts[0]);
    assert!(channel::open_proposals(&ledger.state, &Span::first(9)).unwrap().items.is_empty());
    let approved = matches!(&told[0], Event::ChannelApproved { approvals: 2, needed: 2, .. });
    assert!(approved && matches!(&told[1], Event::AccountRecovered { .. }), "{told:?}");
    let records = crate::state::view::scan(
        &ledger.state,
        &keyspace::key(keyspace::Family::Log, &[audit::CHANNEL.as_bytes(), &[0]]),
        &[],
        9,
    );
    assert_eq!(records.unwrap().len(), 2, "each approval is on the record");
    let of = |ledger: &Ledger, who: u8| ["eur", "usd"].map(|asset| units(ledger, asset, address(who)));
    // What is restrained stays where it is.
    assert_eq!((of(&ledger, 3), of(&ledger, 4)), ([100, 50], [900, 0]));
    let owners = |ledger: &Ledger| ["house", "hut"].map(|item| owner(ledger, "deed", item));
    assert_eq!(owners(&ledger), [address(4), address(3)]);
    check(
        &mut ledger,
        vec![
            (ISSUER, resume("usd"), C::Done),
            (ISSUER, unfreeze_item("deed", "hut"), C::Done),
            (ISSUER, unfreeze("eur", address(3), 100), C::Done),
            (ALPHA, recover(3, 5), C::RecoveryRefused),
            (ALPHA, recover(3, 4), C::OtherOrganization),
            (BETA, recover(3, 4), C::Done),
            (BETA, recover(3, 4), C::Done),
        ],
    );
    let topic = keyspace::key(keyspace::Family::Log, &[audit::CHANNEL.as_bytes(), &[0]]);
    let records = crate::state::view::scan(&ledger.state, &topic, &[], 9).unwrap();
    assert_eq!(records.len(), 3, "what followed is on the record as well");
    let last = String::from_utf8_lossy(&records[2].1);
    assert!(last.contains(r#"{"act":"account.recover","who":"#) && last.contains(r#""moves":3}"#), "{last}");
    assert_eq!((of(&ledger, 3), of(&ledger, 4)), ([0, 0], [1_000, 50]));
    assert_eq!(owners(&ledger), [address(4), address(4)]);
}

#[test]
fn a_new_revocation_needs_approvals_of_its_own() {
    let mut ledger = world();
    revoke(&mut ledger, 3);
    let proposal = propose(&mut ledger, 3, 4);
    ledger.run(&[]);
    revoke(&mut ledger, 3);
    check(&mut ledger, vec![(BETA, approve(proposal), C::RecoveryRefused)]);
    assert_eq!(units(&ledger, "eur", address(3)), 1_000);
    let withdraw = Action::ChannelWithdraw(Withdraw { proposal, reason: String::new() });
    check(&mut ledger, vec![(BETA, withdraw.clone(), C::OtherOrganization), (ALPHA, withdraw, C::Done)]);
}

#[test]
fn a_successor_has_the_old_accounts_place_in_contracts_authorities_and_joint_accounts() {
    let mut ledger = world();
    admit(&mut ledger, 2, "alpha");
    let keys = vec![signer(3).public(), signer(8).public()];
    let account = joint_address(2, &keys);
    ledger.done(ISSUER, vec![mint("eur", 6, 5_000)]);
    let made = Action::AccountCreate(AccountCreate { keys, threshold: 2 });
    assert_eq!(ledger.signed(&[3, 8], vec![made]).0, C::Done);
    ledger.done(6, vec![transfer("eur", account, 10)]);
    // 3 sells, and lends to 7.
    let lot = auction_arguments(&ledger, "mona", "");
    ledger.done(3, vec![create("auction", "a1", &lot)]);
    let desk = r#"{"currencies":["eur"],"grace_seconds":5,"registrars":["alpha"]}"#;
    ledger.done(2, vec![create("lending", "desk", desk)]);
    ledger.done(2, vec![call("desk", "register_borrower", &format!(r#"{{"borrower":"{}"}}"#, address(7)))]);
    let deadline = ledger.time.plus_millis(1_000);
    let request = format!(
        r#"{{"loan":"l1","asset":"eur","amount":"400","term_seconds":5000,"installments":1,"rate_max_bps":0,"quote_deadline":"{deadline}"}}"#
    );
    ledger.done(7, vec![call("desk", "request", &request)]);
    ledger.done(3, vec![call("desk", "quote", r#"{"loan":"l1","rate_bps":0}"#)]);
    ledger.advance(1_000);
    ledger.run(&[]);
    passed_on(&mut ledger, 3, 4);
    assert_eq!(units(&ledger, "eur", address(4)), 600);
    let mint_own = |to| mint("own", to, 5);
    check(
        &mut ledger,
        vec![
            (6, call("a1", "bid", r#"{"amount":"100"}"#), C::Done),
            (7, call("desk", "repay", r#"{"loan":"l1"}"#), C::Done),
            (3, mint_own(4), C::ParticipantIsRevoked),
            (4, mint_own(4), C::Done),
        ],
    );
    assert_eq!(units(&ledger, "eur", address(4)), 1_000, "the loan came back to it");
    ledger.advance(10_000);
    ledger.run(&[]);
    assert_eq!((units(&ledger, "eur", address(4)), owner(&ledger, "art", "mona")), (1_100, address(6)));
    let pay = vec![act(account), transfer("eur", address(8), 10)];
    assert_eq!(ledger.signed(&[8, 4], pay).0, C::Done);
}

/// What was passed on more often was followed to the 64th successor, who was paid what was another's.
#[test]
fn what_was_passed_on_as_often_as_is_followed_is_not_passed_on_again() {
    let mut ledger = world();
    let last = 30 + u8::try_from(SUCCESSORS_MAX).unwrap();
    let mut owner = 3;
    // A short way that leads into the long one is none.
    admit(&mut ledger, 30, "beta");
    for next in 31..=last {
        admit(&mut ledger, next, "beta");
        passed_on(&mut ledger, owner, next);
        owner = next;
    }
    assert_eq!(units(&ledger, "eur", address(last)), 1_000);
    assert_eq!(heir(&ledger.state, &address(3)).unwrap(), address(last));
    passed_on(&mut ledger, 30, last);
    admit(&mut ledger, 4, "beta");
    revoke(&mut ledger, last);
    check(&mut ledger, vec![(ALPHA, recover(last, 4), C::SuccessionTooLong)]);
    assert_eq!(heir(&ledger.state, &address(3)).unwrap(), address(last));
    assert_eq!(units(&ledger, "eur", address(last)), 1_000);
}

/// A successor of the seller bid for it from an account that it shares, and so made the price what it liked.
#[test]
fn a_successor_is_the_seller_and_the_borrower_also_from_an_account_that_it_shares() {
    let mut ledger = world();
    admit(&mut ledger, 2, "alpha");
    ledger.done(ISSUER, vec![mint("eur", 6, 5_000), mint("eur", 4, 500)]);
    let lot = auction_arguments(&ledger, "mona", "");
    ledger.done(3, vec![create("auction", "a1", &lot)]);
    let desk = r#"{"currencies":["eur"],"grace_seconds":5,"registrars":["alpha"]}"#;
    ledger.done(2, vec![create("lending", "desk", desk)]);
    ledger.done(2, vec![call("desk", "register_borrower", &format!(r#"{{"borrower":"{}"}}"#, address(3)))]);
    let deadline = ledger.time.plus_millis(1_000);
    let request = format!(
        r#"{{"loan":"l1","asset":"eur","amount":"100","term_seconds":5000,"installments":1,"rate_max_bps":0,"quote_deadline":"{deadline}"}}"#
    );
    ledger.done(3, vec![call("desk", "request", &request)]);
    let shared = joint(&mut ledger, &[4, 8]);
    ledger.done(6, vec![transfer("eur", shared, 1_000)]);
    passed_on(&mut ledger, 3, 4);
    let bid = call("a1", "bid", r#"{"amount":"100"}"#);
    let quote = call("desk", "quote", r#"{"loan":"l1","rate_bps":0}"#);
    check(&mut ledger, vec![(4, bid.clone(), C::BidBySeller), (4, quote.clone(), C::QuoteByBorrower)]);
    assert_eq!(ledger.one(8, vec![act(shared), bid]).0, C::BidByCoOwner);
    assert_eq!(ledger.one(8, vec![act(shared), quote]).0, C::QuoteByCoOwner);
}

/// An approval by a joint account of which a key was revoked came back to life when that key had a successor.
#[test]
fn what_a_joint_account_allowed_stays_void_when_its_revoked_key_has_a_successor() {
    let mut ledger = world();
    let shared = joint(&mut ledger, &[3]);
    ledger.done(3, vec![transfer("eur", shared, 500)]);
    let allow = Action::AssetApprove(crate::action::assets::Approve {
        asset: "eur".into(),
        spender: address(6),
        amount: Amount(200),
        expected: None,
    });
    ledger.done(3, vec![act(shared), allow]);
    let take = Action::AssetTransferFrom(crate::action::assets::TransferFrom {
        asset: "eur".into(),
        from: shared,
        to: address(6),
        amount: Amount(10),
    });
    check(&mut ledger, vec![(6, take.clone(), C::Done)]);
    passed_on(&mut ledger, 3, 4);
    check(&mut ledger, vec![(6, take, C::AllowanceExceeded)]);
}

/// The lender froze what the successor of its borrower had, and the loan looked at the borrower's old account only.
#[test]
fn a_lender_that_keeps_its_borrowers_successor_from_repaying_does_not_get_the_collateral() {
    const YEAR_MS: u64 = 365 * 86_400_000;
    for stops in [3, ISSUER] {
        let mut ledger = world();
        admit(&mut ledger, 2, "alpha");
        admit(&mut ledger, 7, "beta");
        admit(&mut ledger, 8, "beta");
        ledger.done(ISSUER, vec![mint_item("deed", "farm", 7)]);
        let desk = r#"{"currencies":["eur"],"grace_seconds":86400,"registrars":["alpha"]}"#;
        ledger.done(2, vec![create("lending", "desk", desk)]);
        ledger.done(2, vec![call("desk", "register_borrower", &format!(r#"{{"borrower":"{}"}}"#, address(7)))]);
        let deadline = ledger.time.plus_millis(1_000);
        let request = format!(
            r#"{{"loan":"l1","asset":"eur","amount":"400","term_seconds":31536000,"installments":1,"rate_max_bps":0,"quote_deadline":"{deadline}","collateral":{{"item":{{"asset":"deed","item":"farm"}}}}}}"#
        );
        ledger.done(7, vec![call("desk", "request", &request)]);
        ledger.done(3, vec![call("desk", "quote", r#"{"loan":"l1","rate_bps":0}"#)]);
        ledger.advance(1_000);
        ledger.run(&[]);
        if stops == 3 {
            let mut record = crate::execution::assets::asset(&ledger.state, "eur").unwrap().unwrap();
            record.control_authority = address(3);
            ledger.put(keyspace::asset("eur"), &record);
        }
        passed_on(&mut ledger, 7, 8);
        ledger.done(4, vec![call("desk", "review", r#"{"loan":"l1"}"#)]);
        assert_eq!(units(&ledger, "eur", address(8)), 400);
        ledger.done(stops, vec![freeze("eur", address(8), 400)]);
        let status =
            |ledger: &Ledger| ask(ledger, "desk", "loan", r#"{"loan":"l1"}"#)["status"].as_str().unwrap().to_owned();
        ledger.advance(YEAR_MS + 86_400_000 + 1_000);
        ledger.run(&[]);
        assert_eq!(status(&ledger), "active", "a stop moves the default: {stops}");
        ledger.advance(crate::limits::STOPS_MS_MAX);
        ledger.run(&[]);
        // The lender's own stop brings it nothing, somebody else's has its bound.
        assert_eq!(status(&ledger), if stops == 3 { "active" } else { "defaulted" });
    }
}

/// A successor could not raise the bid that it took over without paying all of it again.
#[test]
fn a_successor_goes_on_with_the_bid_that_it_took_over() {
    let mut ledger = world();
    ledger.done(ISSUER, vec![mint_item("art", "lisa", 5), mint("eur", 6, 5_000)]);
    let lot = auction_arguments(&ledger, "lisa", "");
    ledger.done(5, vec![create("auction", "a1", &lot)]);
    let bid = |amount: u32| call("a1", "bid", &format!(r#"{{"amount":"{amount}"}}"#));
    ledger.done(3, vec![bid(900)]);
    passed_on(&mut ledger, 3, 4);
    check(&mut ledger, vec![(6, bid(904), C::BidTooLow), (4, bid(1_000), C::Done)]);
    assert_eq!((units(&ledger, "eur", address(4)), units(&ledger, "eur", account(&ledger, "a1"))), (0, 1_000));
    ledger.advance(10_000);
    ledger.run(&[]);
    assert_eq!((owner(&ledger, "art", "lisa"), units(&ledger, "eur", address(5))), (address(4), 1_000));
}
