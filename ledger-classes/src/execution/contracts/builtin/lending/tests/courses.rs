//! Courses in which something comes between: outages, pauses, freezes, revocations, people who deal with themselves.
//! Each once ended wrongly, or not at all.

use super::super::records::{Loan, Quotes, loan_key, quotes_key};
use super::*;
use crate::execution::Fate;
use crate::execution::assets::Balance;
use crate::execution::contracts::timers::Timer;
use crate::formats::outcome::ResultCode;
use crate::keys::Address;
use crate::limits::{RETURN_MS, STOPS_MS_MAX};
use crate::primitives::amount::Amount;
use crate::state::keyspace;
use crate::state::record;

const END_MS: u64 = YEAR_MS + GRACE_MS;
/// A borrower who takes money of the currency's own issuer.
const ISSUER_TOO: &str = r#","collateral":{"item":{"asset":"deed","item":"house"}},"controller_may_quote":true"#;

/// Gives the control of eur to `who`.
fn hand_control(ledger: &mut Ledger, who: Address) {
    let mut record = crate::execution::assets::asset(&ledger.state, "eur").unwrap().unwrap();
    record.control_authority = who;
    ledger.put(keyspace::asset("eur"), &record);
}

fn owed_by_loan(ledger: &Ledger) -> String {
    let at = format!(r#"{{"loan":"l1","at":"{}"}}"#, ledger.time);
    ask(ledger, "desk", "loan", &at)["owed"].as_str().unwrap().to_owned()
}

fn status(ledger: &Ledger) -> (String, String) {
    let loan = loan(ledger);
    let text = |field: &str| loan[field].as_str().unwrap().to_owned();
    (text("status"), text("collateral_state"))
}

fn code(receipts: &[crate::formats::receipt::Receipt]) -> ResultCode {
    *codes(receipts).last().unwrap()
}

/// A funded borrower was in default at the first repayment after a restart.
#[test]
fn an_outage_over_the_end_of_the_grace_time_leaves_the_borrower_time_to_repay() {
    let mut ledger = funded(HOUSE);
    ledger.done(ISSUER, vec![mint("eur", 3, 1_000)]);
    ledger.advance(END_MS - 60_000);
    ledger.run(&[]);
    ledger.outage(86_400_000);
    let receipts = ledger.run(&[(&[3], vec![of_loan("repay")])]);
    assert_eq!(code(&receipts), C::Done);
    assert!(names(&receipts).contains(&"escrow.extended".to_owned()), "{:?}", names(&receipts));
    assert_eq!((status(&ledger), house(&ledger)), (("repaid".into(), "given".into()), address(3)));
    // Interest does not run while nobody could repay.
    assert_eq!(loan(&ledger)["repaid"], "1101");
}

#[test]
fn quotes_are_taken_for_a_minute_after_an_outage_over_their_deadline() {
    let mut ledger = desk();
    ledger.done(3, vec![request(&ledger, "l1", "")]);
    ledger.outage(86_400_000);
    assert_eq!(code(&ledger.run(&[(&[4], vec![quote(900)])])), C::Done);
    assert_eq!(names(&ledger.serve(RETURN_MS + 20_000)), ["lending.awarded"]);
}

/// A paused currency made repayment impossible while interest and default ran, and the lender got the car.
#[test]
fn a_paused_currency_stops_interest_and_default() {
    let mut ledger = funded(HOUSE);
    ledger.done(ISSUER, vec![mint("eur", 3, 1_000)]);
    ledger.advance(END_MS - 60_000);
    ledger.run(&[]);
    ledger.done(ISSUER, vec![pause("eur")]);
    let before = owed_by_loan(&ledger);
    ledger.advance(20 * 86_400_000);
    ledger.run(&[]);
    let rows = vec![(9, of_loan("review"), C::Done), (3, of_loan("repay"), C::AssetIsPaused)];
    check(&mut ledger, rows);
    assert_eq!((status(&ledger).0, owed_by_loan(&ledger)), ("active".into(), before));
    let mut resumed = ledger.clone();
    resumed.done(ISSUER, vec![resume("eur")]);
    resumed.done(3, vec![of_loan("repay")]);
    assert_eq!((status(&resumed).0, house(&resumed)), ("repaid".into(), address(3)));
    // For ever is no way out either: the loan ends within a bound.
    ledger.advance(STOPS_MS_MAX);
    assert!(names(&ledger.run(&[])).contains(&"lending.defaulted".to_owned()));
    assert_eq!(house(&ledger), address(4));
}

/// Somebody else's freeze must not make a default; the borrower's own currency must not keep it from one.
#[test]
fn frozen_units_of_the_borrower_stop_the_loan_and_a_stop_of_its_own_making_does_not() {
    for (own, defaulted) in [(false, false), (true, true)] {
        let mut ledger = desk();
        if own {
            hand_control(&mut ledger, address(3));
        }
        ledger.done(3, vec![request(&ledger, "l1", HOUSE)]);
        ledger.done(4, vec![quote(1_000)]);
        ledger.advance(10_000);
        ledger.run(&[]);
        ledger.done(if own { 3 } else { ISSUER }, vec![freeze("eur", address(3), 1_000)]);
        ledger.advance(END_MS);
        ledger.run(&[]);
        assert_eq!(status(&ledger).0 == "defaulted", defaulted, "{own}");
    }
}

/// A borrower that froze what it had pledged stayed `active` for ever, with no late mark.
#[test]
fn collateral_that_cannot_move_does_not_keep_a_loan_from_default() {
    let mut ledger = funded(HOUSE);
    ledger.done(ISSUER, vec![freeze_item("deed", "house")]);
    ledger.advance(END_MS + 1_000);
    let told = names(&ledger.run(&[]));
    assert_eq!(told[4..], ["escrow.owed", "lending.collateral_released", "lending.defaulted", "lending.closed"]);
    assert_eq!(status(&ledger), ("defaulted".into(), "owed".into()));
    assert_eq!(credit(&ledger)["late_payments"], 4);
    let claimed = claim("desk", address(4), "deed", Some("house"));
    check(
        &mut ledger,
        vec![
            (9, claimed.clone(), C::ItemIsFrozen),
            (ISSUER, unfreeze_item("deed", "house"), C::Done),
            (9, claim("desk", address(3), "deed", Some("house")), C::NothingOwed),
            (9, claimed, C::Done),
        ],
    );
    assert_eq!(house(&ledger), address(4));
}

/// The collateral's control authority must not be able to drive a borrower who has the money into default.
#[test]
fn collateral_that_cannot_move_does_not_keep_the_borrower_from_repaying() {
    let mut ledger = funded(USD);
    let desk = account(&ledger, "desk");
    ledger.done(ISSUER, vec![freeze("usd", desk, 1), mint("eur", 3, 1_000)]);
    ledger.done(3, vec![of_loan("repay")]);
    assert_eq!(status(&ledger), ("repaid".into(), "owed".into()));
    assert_eq!((held(&ledger, "usd"), units(&ledger, "usd", address(3))), (1, 499));
    let claimed = claim("desk", address(3), "usd", None);
    check(
        &mut ledger,
        vec![
            (9, claimed.clone(), C::BalanceNotFree),
            (ISSUER, unfreeze("usd", desk, 1), C::Done),
            (9, claimed.clone(), C::Done),
            (9, claimed, C::NothingOwed),
        ],
    );
    assert_eq!(units(&ledger, "usd", address(3)), 500);
}

/// A currency that is paused over the award: quotes wait for it, and in the end everybody has its own.
#[test]
fn a_request_whose_currency_stays_paused_ends_with_everything_given_back() {
    let mut ledger = desk();
    ledger.done(3, vec![request(&ledger, "l1", HOUSE)]);
    ledger.done(4, vec![quote(1_000)]);
    ledger.done(ISSUER, vec![pause("eur")]);
    ledger.advance(10_000);
    assert_eq!(names(&ledger.run(&[])), ["escrow.extended"]);
    let mut resumed = ledger.clone();
    resumed.done(ISSUER, vec![resume("eur")]);
    resumed.advance(2 * RETURN_MS);
    assert_eq!(names(&resumed.run(&[])).last().unwrap(), "lending.awarded");
    ledger.advance(STOPS_MS_MAX);
    let told = names(&ledger.run(&[]));
    assert_eq!(told[1..], ["escrow.owed", "lending.refunded", "lending.collateral_released", "lending.closed"]);
    assert_eq!((status(&ledger).0, house(&ledger)), ("unfunded".into(), address(3)));
    ledger.done(ISSUER, vec![resume("eur")]);
    ledger.done(9, vec![claim("desk", address(4), "eur", None)]);
    assert_eq!((eur(&ledger, 4), held(&ledger, "eur")), (10_000, 0));
}

/// A revoked borrower could not repay, and nobody else might: default, car gone.
#[test]
fn anybody_may_repay_for_anybody_also_for_a_revoked_borrower() {
    let mut ledger = desk();
    admit(&mut ledger, 3, "beta");
    ledger.done(3, vec![request(&ledger, "l1", HOUSE)]);
    ledger.done(4, vec![quote(1_000)]);
    ledger.advance(10_000);
    ledger.run(&[]);
    revoke(&mut ledger, 3);
    ledger.advance(YEAR_MS / 10);
    check(&mut ledger, vec![(7, repay("1"), C::RepaymentUnfunded), (5, repay("500"), C::Done)]);
    let receipts = ledger.run(&[(&[5], vec![of_loan("repay")])]);
    assert_eq!(names(&receipts), ["lending.repaid", "lending.closed", "lending.collateral_released"]);
    assert!(format!("{:?}", events(&receipts[0])).contains(&format!("\\\"payer\\\":\\\"{}", address(5))));
    assert_eq!((house(&ledger), &credit(&ledger)["repaid"]), (address(3), &1.into()));
}

/// A binding quote was escaped by a revocation, and so was a lower one that had kept others away.
#[test]
fn a_quote_stays_bound_when_its_lender_is_revoked_and_a_revoked_borrowers_request_is_not_funded() {
    let mut ledger = desk();
    admit(&mut ledger, 3, "beta");
    admit(&mut ledger, 4, "beta");
    ledger.done(3, vec![request(&ledger, "l1", HOUSE)]);
    ledger.done(4, vec![quote(100)]);
    ledger.done(5, vec![quote(900)]);
    let mut of_borrower = ledger.clone();
    revoke(&mut ledger, 4);
    ledger.advance(10_000);
    assert_eq!(names(&ledger.run(&[])), ["lending.awarded", "lending.refunded"]);
    assert_eq!((eur(&ledger, 5), loan(&ledger)["lender"].clone()), (10_000, address(4).to_string().into()));
    revoke(&mut of_borrower, 3);
    of_borrower.advance(10_000);
    assert_eq!(
        names(&of_borrower.run(&[])),
        ["lending.refunded", "lending.refunded", "lending.collateral_released", "lending.closed"]
    );
    assert_eq!((eur(&of_borrower, 4), eur(&of_borrower, 5), house(&of_borrower)), (10_000, 10_000, address(3)));
}

/// A lender froze the desk's account at the deadline: its binding quote was released, or a rival's better one.
#[test]
fn a_lender_that_stops_the_desk_stays_bound_and_releases_nobody() {
    for stops in [4, 5] {
        let mut ledger = desk();
        hand_control(&mut ledger, address(stops));
        ledger.done(3, vec![request(&ledger, "l1", ISSUER_TOO)]);
        ledger.done(4, vec![quote(100)]);
        ledger.done(5, vec![quote(900)]);
        let desk = account(&ledger, "desk");
        ledger.done(stops, vec![freeze("eur", desk, 1_500)]);
        ledger.advance(10_000);
        ledger.run(&[]);
        assert_eq!(status(&ledger), ("quoting".into(), "held".into()));
        check(
            &mut ledger,
            vec![
                (4, of_loan("withdraw_quote"), C::QuoteTooLate),
                (9, of_loan("award"), C::WrongPhase),
                (4, of_loan("cancel"), C::CallerRefused),
            ],
        );
        // The borrower need not wait for it.
        let mut cancelled = ledger.clone();
        cancelled.done(3, vec![of_loan("cancel")]);
        assert_eq!((status(&cancelled).0, house(&cancelled)), ("cancelled".into(), address(3)));
        // Lifted: the award follows within an hour.
        let mut lifted = ledger.clone();
        lifted.done(stops, vec![unfreeze("eur", desk, 1_500)]);
        lifted.advance(3_600_000);
        assert_eq!(names(&lifted.run(&[])), ["lending.awarded", "lending.refunded"], "{stops}");
        // For ever is bounded.
        ledger.advance(STOPS_MS_MAX);
        ledger.run(&[]);
        assert_eq!((status(&ledger).0, house(&ledger)), ("unfunded".into(), address(3)));
        assert_eq!(crate::execution::next_timer(&ledger.state).unwrap(), None);
    }
}

/// The lender paused the currency from the funding on and resumed it half a second before the default: there was one look, at
/// that instant.
#[test]
fn a_lenders_stop_that_ends_just_before_the_default_leaves_the_borrower_a_day() {
    for frozen in [false, true] {
        let mut ledger = desk();
        hand_control(&mut ledger, address(4));
        ledger.done(3, vec![request(&ledger, "l1", ISSUER_TOO)]);
        ledger.done(4, vec![quote(1_000)]);
        ledger.done(ISSUER, vec![mint("eur", 3, 1_000)]);
        ledger.advance(10_000);
        ledger.run(&[]);
        let funded_at = ledger.time.millis() - 1;
        let (stop, lift) = match frozen {
            true => (freeze("eur", address(3), 1_500), unfreeze("eur", address(3), 1_500)),
            false => (pause("eur"), resume("eur")),
        };
        ledger.done(4, vec![stop]);
        ledger.advance_to(crate::primitives::time::Time::from_millis(funded_at + END_MS + STOPS_MS_MAX - 500));
        ledger.done(4, vec![lift]);
        ledger.advance(500);
        // The timer looks once an hour while something is stopped, and who is in a hurry before it.
        ledger.done(4, vec![of_loan("review")]);
        assert_eq!((status(&ledger).0, &loan(&ledger)["kept_days"]), ("active".into(), &1.into()), "{frozen}");
        let mut paid = ledger.clone();
        paid.done(3, vec![of_loan("repay")]);
        assert_eq!((status(&paid).0, house(&paid)), ("repaid".into(), address(3)));
        // Who had its day and does not pay is in default.
        ledger.advance(86_400_000);
        ledger.run(&[]);
        assert_eq!((status(&ledger).0, house(&ledger)), ("defaulted".into(), address(4)));
    }
}

#[test]
fn one_identity_quotes_once_and_a_quote_binds_when_others_can_no_longer_answer() {
    let mut ledger = desk();
    admit(&mut ledger, 4, "beta");
    let known: crate::state::participant::Participant =
        record::read(&ledger.state, &keyspace::participant(&address(4))).unwrap().unwrap();
    ledger.put(keyspace::participant(&address(5)), &known);
    let with_borrower = joint(&mut ledger, &[3, 8]);
    ledger.done(ISSUER, vec![mint("eur", 8, 5_000)]);
    ledger.done(8, vec![transfer("eur", with_borrower, 2_000)]);
    ledger.done(3, vec![request(&ledger, "l1", "")]);
    check(
        &mut ledger,
        vec![
            (4, quote(900), C::Done),
            (5, quote(800), C::QuoteBySameIdentity),
            (6, quote(700), C::Done),
            (6, of_loan("withdraw_quote"), C::Done),
            (6, quote(600), C::Done),
        ],
    );
    assert_eq!(ledger.one(8, vec![act(with_borrower), quote(100)]).0, C::QuoteByCoOwner);
    ledger.advance(7_600);
    check(&mut ledger, vec![(6, of_loan("withdraw_quote"), C::QuoteIsBinding), (8, quote(500), C::Done)]);
}

#[test]
fn a_registrar_does_not_register_its_own_organization() {
    let mut ledger = desk();
    admit(&mut ledger, 5, "alpha");
    admit(&mut ledger, 7, "beta");
    check(&mut ledger, vec![(2, register(5), C::OwnOrganization), (2, register(7), C::Done)]);
    // Neither does somebody borrow who came to it afterwards.
    admit(&mut ledger, 7, "alpha");
    let asked = request(&ledger, "l1", "");
    check(&mut ledger, vec![(7, asked, C::OwnOrganization)]);
}

/// A lender that controls the currency paused it, or froze what the borrower had, until it was given the house.
#[test]
fn a_lender_that_keeps_its_borrower_from_repaying_does_not_get_the_collateral() {
    for frozen in [false, true] {
        let mut ledger = desk();
        hand_control(&mut ledger, address(4));
        ledger.done(3, vec![request(&ledger, "l1", ISSUER_TOO)]);
        ledger.done(4, vec![quote(1_000)]);
        ledger.done(ISSUER, vec![mint("eur", 3, 1_000)]);
        ledger.advance(10_000);
        ledger.run(&[]);
        let (stop, lift) = match frozen {
            true => (freeze("eur", address(3), 1_500), unfreeze("eur", address(3), 1_500)),
            false => (pause("eur"), resume("eur")),
        };
        ledger.done(4, vec![stop]);
        ledger.advance(END_MS + STOPS_MS_MAX);
        ledger.run(&[]);
        assert_eq!((status(&ledger).0, &loan(&ledger)["kept_days"]), ("active".into(), &1.into()));
        // It lets go: the borrower has the rest of the day.
        let mut lifted = ledger.clone();
        check(&mut lifted, vec![(4, lift, C::Done), (4, of_loan("review"), C::Done), (3, of_loan("repay"), C::Done)]);
        assert_eq!((status(&lifted).0, house(&lifted)), ("repaid".into(), address(3)));
        for day in 1..=30 {
            assert_eq!((status(&ledger).0, &loan(&ledger)["kept_days"]), ("active".into(), &day.into()));
            ledger.advance(86_400_000);
            ledger.run(&[]);
        }
        assert_eq!(status(&ledger), ("released".into(), "given".into()));
        assert_eq!((house(&ledger), &credit(&ledger)["defaulted"]), (address(3), &0.into()));
        assert_eq!(credit(&ledger)["totals"][0]["outstanding"], "0");
        assert_eq!(crate::execution::next_timer(&ledger.state).unwrap(), None);
    }
}

/// The lender paid itself a unit in the borrower's name just before the borrower's whole repayment, which was then more
/// than was owed: refused, default, collateral gone.
#[test]
fn a_unit_paid_before_does_not_refuse_the_whole_repayment() {
    let mut ledger = funded(HOUSE);
    ledger.done(ISSUER, vec![mint("eur", 3, 1_000)]);
    ledger.advance(END_MS - 60_000);
    ledger.run(&[]);
    let owed = owed_by_loan(&ledger);
    let receipts = ledger.run(&[(&[4], vec![repay("1")]), (&[3], vec![repay(&owed)])]);
    assert_eq!(codes(&receipts), [C::Done, C::Done]);
    assert_eq!((status(&ledger).0, house(&ledger)), ("repaid".into(), address(3)));
    // What was taken is told, and the rest stays with the borrower.
    assert!(format!("{:?}", events(&receipts[1])).contains(r#"\"amount\":\"1100\""#), "{:?}", events(&receipts[1]));
    assert_eq!(eur(&ledger, 3), 2_000 - 1_100);
}

/// The issuer of the currency froze what rivals would have quoted with (453), and lent at the borrower's highest rate.
#[test]
fn who_could_keep_others_from_quoting_quotes_where_the_borrower_allows_it_and_who_comes_to_does_not_bind_it() {
    let mut ledger = desk();
    hand_control(&mut ledger, address(4));
    ledger.done(3, vec![request(&ledger, "l1", HOUSE)]);
    let mut allowed = desk();
    hand_control(&mut allowed, address(4));
    allowed.done(3, vec![request(&allowed, "l1", ISSUER_TOO)]);
    assert_eq!(loan(&allowed)["controller_may_quote"], true);
    check(&mut ledger, vec![(4, quote(2_000), C::QuoteByController), (5, quote(900), C::Done)]);
    check(&mut allowed, vec![(4, quote(2_000), C::Done), (5, quote(900), C::Done)]);
    // A borrower who controls the currency as well lifts what keeps others away.
    let mut own = desk();
    hand_control(&mut own, address(3));
    own.done(3, vec![request(&own, "l1", HOUSE)]);
    let both = joint(&mut own, &[3, 4]);
    hand_control(&mut own, both);
    check(&mut own, vec![(4, quote(2_000), C::Done)]);

    // The control was nobody's whom the ledger knew, and was made an account after the quote.
    let mut ledger = desk();
    ledger.done(3, vec![request(&ledger, "l1", HOUSE)]);
    ledger.done(4, vec![quote(2_000)]);
    check(&mut ledger, vec![(3, of_loan("cancel"), C::WrongPhase)]);
    hand_control(&mut ledger, address(4));
    let stops = [5, 6].map(|rival| freeze("eur", address(rival), 10_000)).to_vec();
    ledger.done(4, stops);
    check(&mut ledger, vec![(5, quote(900), C::QuoteUnfunded), (4, of_loan("cancel"), C::CallerRefused)]);
    assert_eq!(loan(&ledger)["lowest_controls"], true);
    let cancels = |mut ledger: Ledger| {
        ledger.done(3, vec![of_loan("cancel")]);
        assert_eq!((status(&ledger).0, house(&ledger)), ("cancelled".into(), address(3)));
        assert_eq!((eur(&ledger, 4), held(&ledger, "eur")), (10_000, 0));
        assert_eq!(crate::execution::next_timer(&ledger.state).unwrap(), None);
    };
    cancels(ledger.clone());
    // A borrower who slept has a day after the deadline; who says nothing takes the quote.
    ledger.advance(10_000);
    ledger.run(&[]);
    check(&mut ledger, vec![(9, of_loan("award"), C::WrongPhase), (6, quote(800), C::QuoteTooLate)]);
    cancels(ledger.clone());
    ledger.advance(86_400_000);
    assert_eq!(names(&ledger.run(&[])), ["lending.awarded"]);
    assert_eq!((status(&ledger).0, eur(&ledger, 3)), ("active".into(), 1_000));
}

/// Deadlines of one minute are a block's matter for as long as a part of its budget lasts: each of these awards pays
/// 63 lenders back.
#[test]
fn awards_with_many_quotes_leave_a_transaction_its_part_of_each_block() {
    const LOANS: usize = 600;
    let mut ledger = desk();
    ledger.done(3, vec![request(&ledger, "l1", "")]);
    ledger.done(4, vec![quote(100)]);
    let place = |own: Vec<u8>| keyspace::instance_state("desk", &own);
    let read: Option<Quotes> = record::read(&ledger.state, &place(quotes_key("l1"))).unwrap();
    let quotes = Quotes { quotes: vec![read.unwrap().quotes.remove(0); 64] };
    let template: Loan = record::read(&ledger.state, &place(loan_key("l1"))).unwrap().unwrap();
    let due = template.quote_deadline;
    for number in 0..LOANS {
        let loan = format!("x{number:04}");
        ledger.put(place(loan_key(&loan)), &Loan { loan: loan.clone(), ..template.clone() });
        ledger.put(place(quotes_key(&loan)), &quotes);
        let timer = Timer { due, instance: "desk".into(), timer: loan.clone() };
        ledger.put(keyspace::timer(due, "desk", &loan), &timer);
        ledger.put(keyspace::timer_time("desk", &loan), &timer);
    }
    let owned = Amount(1_000 * (1 + 64 * LOANS as u128));
    ledger.put(keyspace::balance(&account(&ledger, "desk"), "eur"), &Balance { owned, ..Balance::default() });
    ledger.advance_to(due);
    let mut awarded = 0;
    while awarded <= LOANS {
        let offered = [ledger.transaction(&[9], vec![call("desk", "review", r#"{"loan":"none"}"#)])];
        let drafted = ledger.draft(&offered);
        assert_eq!(drafted.fates, [Fate::Included], "after {awarded} awards");
        assert!(drafted.executed.timers > 0, "after {awarded} awards");
        awarded += names(&ledger.seal(&offered).0).iter().filter(|name| *name == "lending.awarded").count();
    }
    assert_eq!((awarded, held(&ledger, "eur")), (LOANS + 1, 0));
}

/// Freezing what would not be enough anyhow is no way to keep somebody from repaying.
#[test]
fn a_borrower_without_the_money_is_in_default_also_where_the_lender_froze_some() {
    let mut ledger = funded(HOUSE);
    hand_control(&mut ledger, address(4));
    ledger.done(4, vec![freeze("eur", address(3), 1_000)]);
    ledger.advance(END_MS + STOPS_MS_MAX);
    ledger.run(&[]);
    assert_eq!((status(&ledger).0, house(&ledger)), ("defaulted".into(), address(4)));
}

/// One key of five counted as control: every bank that shared a currency was blamed for what the others stopped. A
/// borrower who named the lender's key beside its own paused until its loan was `released`.
#[test]
fn a_joint_control_is_a_partys_if_its_own_keys_are_enough() {
    // Keys of the control, how many must sign, who pauses; what becomes of the loan of 3 by 4 at the end, and after it.
    for (threshold, keys, stops, at_end, at_last) in [
        // Shared by three, stopped by others: the borrower has its time, the lender its collateral in the end.
        (2, [3, 6, 7], [6, 7], "active", "defaulted"),
        (2, [4, 6, 7], [6, 7], "active", "defaulted"),
        // Either of both: the borrower's own stop moves nothing, whoever else could have done it.
        (1, [3, 4, 6], [3, 3], "defaulted", "defaulted"),
        // The lender's own keys are enough: it keeps its borrower from repaying.
        (1, [4, 6, 7], [4, 4], "active", "released"),
    ] {
        let mut ledger = desk();
        let members = keys;
        let keys = members.map(|number| signer(number).public()).to_vec();
        let control = crate::execution::assets::joint_address(threshold, &keys);
        let made = Action::AccountCreate(AccountCreate { keys, threshold });
        assert_eq!(ledger.signed(&members, vec![made]).0, C::Done);
        hand_control(&mut ledger, control);
        ledger.done(3, vec![request(&ledger, "l1", ISSUER_TOO)]);
        ledger.done(4, vec![quote(1_000)]);
        ledger.done(ISSUER, vec![mint("eur", 3, 1_000)]);
        ledger.advance(10_000);
        ledger.run(&[]);
        let mut signers = stops.to_vec();
        signers.dedup();
        let (code, message) = ledger.signed(&signers, vec![act(control), pause("eur")]);
        assert_eq!(code, C::Done, "{message}");
        ledger.advance(END_MS + 1_000);
        ledger.run(&[]);
        assert_eq!(status(&ledger).0, at_end, "{threshold} of {control} by {stops:?}");
        ledger.advance(STOPS_MS_MAX);
        ledger.run(&[]);
        for _ in 0..=31 {
            ledger.advance(86_400_000);
            ledger.run(&[]);
        }
        assert_eq!(status(&ledger).0, at_last, "{threshold} of {control} by {stops:?}");
    }
}
