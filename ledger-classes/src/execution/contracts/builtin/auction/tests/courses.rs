//! Courses in which something comes between: outages, pauses, freezes, revocations, people who deal with themselves.
//! Each once ended wrongly, or not at all.

use super::*;
use crate::execution::service::{Stopped, stopped};
use crate::formats::receipt::Receipt;
use crate::limits::{RETURN_MS, STOPS_MS_MAX};

fn told(receipts: &[Receipt], what: &str) -> bool {
    format!("{:?}", receipts.iter().flat_map(events).collect::<Vec<_>>()).contains(what)
}

fn phase(ledger: &Ledger) -> String {
    ask(ledger, "a1", "state", "{}")["phase"].as_str().unwrap().to_owned()
}

fn owed(ledger: &Ledger, who: u8) -> String {
    ask(ledger, "a1", "owed", &format!(r#"{{"account":"{}"}}"#, address(who))).to_string()
}

/// The timer ran before the first transaction after a restart: a lot was sold at 5,000 while a bid of 90,000 waited.
#[test]
fn an_outage_over_the_end_leaves_time_to_come_back() {
    let mut ledger = opened("");
    ledger.done(3, vec![bid("100")]);
    ledger.outage(3_600_000);
    let receipts = ledger.run(&[(&[4], vec![bid("900")])]);
    assert_eq!(codes(&receipts), [C::Done, C::Done, C::Done], "an outage, the auction's timer, the bid");
    assert!(told(&receipts, "ChannelOutage"));
    assert_eq!(names(&receipts), ["escrow.extended", "auction.outbid", "auction.bid"]);
    assert!(told(&receipts, "outage"));
    let receipts = ledger.serve(RETURN_MS + 20_000);
    assert_eq!(names(&receipts), ["auction.settled"]);
    assert_eq!(mona(&ledger), address(4));
}

#[test]
fn a_channel_that_serves_loses_no_time_and_ends_the_auction_to_the_millisecond() {
    let mut ledger = opened("");
    let ends = ledger.time.plus_millis(300_000);
    ledger.done(2, vec![cancel()]);
    let arguments = auction_arguments(&ledger, "mona", "");
    let before = arguments.split("\"ends\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    ledger.done(2, vec![create("auction", "a2", &arguments.replace(&before, &ends.to_string()))]);
    let receipts = ledger.serve(400_000);
    // A mark each fifty seconds, and the end.
    assert_eq!((receipts.len(), names(&receipts)), (6, vec!["auction.returned".to_owned()]));
    assert_eq!(ledger.run(&[]), []);
    assert_eq!(crate::execution::next_timer(&ledger.state).unwrap(), None, "no mark without a deadline");
}

/// Bids were taken on an item that nobody could hand over, and could not be given back: 213, 426, 8,000 stuck.
#[test]
fn an_item_that_is_frozen_in_the_middle_stops_bids_and_the_clock_and_the_money_goes_back_in_the_end() {
    let mut ledger = opened("");
    ledger.done(3, vec![bid("800")]);
    ledger.advance(5_000);
    ledger.done(ISSUER, vec![freeze_item("art", "mona")]);
    check(&mut ledger, vec![(4, bid("900"), C::ItemIsFrozen), (2, cancel(), C::AuctionHasBids)]);
    ledger.advance(600_000);
    let receipts = ledger.run(&[]);
    assert_eq!(names(&receipts), ["escrow.extended"]);
    assert!(told(&receipts, "freeze"));
    check(&mut ledger, vec![(9, settle(), C::WrongPhase)]);
    // Freed: the rest of the time, and a minute to come back, are left.
    let mut freed = ledger.clone();
    freed.done(ISSUER, vec![unfreeze_item("art", "mona")]);
    freed.done(4, vec![bid("900")]);
    freed.advance(RETURN_MS);
    freed.done(5, vec![bid("1000")]);
    freed.advance(6_000);
    check(&mut freed, vec![(3, bid("1000"), C::BidTooLate), (9, settle(), C::Done)]);
    assert_eq!(mona(&freed), address(5));
    // Never freed: the bidder has its money, and the seller is owed the item.
    ledger.advance(STOPS_MS_MAX);
    let receipts = ledger.run(&[]);
    assert_eq!(names(&receipts), ["escrow.extended", "escrow.owed", "auction.returned"]);
    assert!(told(&receipts, "item-cannot-move"));
    assert_eq!((units(&ledger, "eur", address(3)), held(&ledger), phase(&ledger)), (1_000, 0, "returned".into()));
    assert!(owed(&ledger, 2).contains("mona"));
    let claimed = claim("a1", address(2), "art", Some("mona"));
    check(
        &mut ledger,
        vec![
            (9, claimed.clone(), C::ItemIsFrozen),
            (ISSUER, unfreeze_item("art", "mona"), C::Done),
            (9, claimed.clone(), C::Done),
            (9, claimed, C::NothingOwed),
        ],
    );
    assert_eq!((mona(&ledger), owed(&ledger, 2)), (address(2), "[]".into()));
}

/// Each hour of a pause had a receipt of a timer for each auction: 720 of them, whatever its channel had room for.
#[test]
fn a_deadline_that_is_stopped_is_looked_at_a_score_of_times_and_ends_when_it_must() {
    let mut ledger = opened("");
    ledger.done(3, vec![bid("100")]);
    ledger.done(ISSUER, vec![pause("eur")]);
    let (mut looks, mut hours) = (0, 0);
    while phase(&ledger) == "open" {
        ledger.advance(3_600_000);
        looks += names(&ledger.run(&[])).iter().filter(|name| *name == "escrow.extended").count();
        hours += 1;
        assert!(hours <= 30 * 24 + 1, "it ends when no stop moves it any more");
    }
    assert!((5..=20).contains(&looks), "{looks} looks in {hours} hours");
    assert!(hours >= 30 * 24, "{hours} hours");
}

#[test]
fn a_paused_asset_moves_the_end_by_as_long_as_it_lasts_and_no_more_than_thirty_days() {
    for asset in ["eur", "art"] {
        let mut ledger = opened("");
        ledger.done(3, vec![bid("100")]);
        ledger.done(ISSUER, vec![pause(asset)]);
        ledger.advance(86_400_000);
        ledger.run(&[]);
        check(&mut ledger, vec![(4, bid("200"), C::AssetIsPaused), (9, settle(), C::WrongPhase)]);
        let mut resumed = ledger.clone();
        resumed.done(ISSUER, vec![resume(asset)]);
        resumed.done(4, vec![bid("200")]);
        resumed.advance(86_400_000);
        assert_eq!(names(&resumed.run(&[])), ["auction.settled"]);
        assert_eq!((mona(&resumed), units(&resumed, "eur", address(2))), (address(4), 200));

        ledger.advance(STOPS_MS_MAX);
        let receipts = ledger.run(&[]);
        assert!(told(&receipts, "cannot-move"), "{asset}");
        assert_eq!(phase(&ledger), "returned");
        let stuck = if asset == "eur" { (address(2), 900) } else { (account(&ledger, "a1"), 1_000) };
        assert_eq!((mona(&ledger), units(&ledger, "eur", address(3))), stuck);
        ledger.done(ISSUER, vec![resume(asset)]);
        let (of, item) = if asset == "eur" { (3, None) } else { (2, Some("mona")) };
        check(&mut ledger, vec![(9, claim("a1", address(of), asset, item), C::Done)]);
        assert_eq!((mona(&ledger), units(&ledger, "eur", address(3)), held(&ledger)), (address(2), 1_000, 0));
    }
}

/// One frozen unit of the auction's own account kept everybody from bidding, and the item from the winner.
#[test]
fn units_frozen_in_the_auctions_account_stop_neither_bids_nor_the_end() {
    let mut ledger = opened("");
    ledger.done(3, vec![bid("100")]);
    let auction = account(&ledger, "a1");
    ledger.done(ISSUER, vec![freeze("eur", auction, 1)]);
    ledger.done(4, vec![bid("200")]);
    assert_eq!(units(&ledger, "eur", address(3)), 1_000);
    ledger.advance(10_000);
    assert_eq!(names(&ledger.run(&[])), ["escrow.owed", "auction.settled"]);
    assert_eq!((mona(&ledger), units(&ledger, "eur", address(2)), held(&ledger)), (address(4), 199, 1));
    assert!(owed(&ledger, 2).contains(r#""amount":"1""#));
    check(
        &mut ledger,
        vec![
            (9, claim("a1", address(2), "eur", None), C::BalanceNotFree),
            (9, claim("a1", address(3), "eur", None), C::NothingOwed),
            (ISSUER, unfreeze("eur", auction, 1), C::Done),
            (9, claim("a1", address(2), "eur", None), C::Done),
        ],
    );
    assert_eq!((units(&ledger, "eur", address(2)), held(&ledger)), (200, 0));
}

#[test]
fn a_cancelled_auction_gives_a_frozen_item_back_when_it_can_move() {
    let mut ledger = opened("");
    ledger.done(ISSUER, vec![freeze_item("art", "mona")]);
    ledger.done(2, vec![cancel()]);
    assert_eq!(phase(&ledger), "cancelled");
    ledger.done(ISSUER, vec![unfreeze_item("art", "mona")]);
    ledger.done(9, vec![claim("a1", address(2), "art", Some("mona"))]);
    assert_eq!(mona(&ledger), address(2));
}

/// A shield bid so much that nobody could bid more, was revoked by its own organization just before the end, and its partner
/// won for 1: a revocation was a way out of a bid, and its price was kept from everybody else.
#[test]
fn a_bid_stays_bound_when_its_bidder_is_revoked() {
    let mut ledger = opened("");
    admit(&mut ledger, 3, "beta");
    ledger.done(4, vec![bid("60")]);
    ledger.done(3, vec![bid("1000")]);
    ledger.advance(9_000);
    revoke(&mut ledger, 3);
    check(&mut ledger, vec![(4, bid("70"), C::BidTooLow), (2, cancel(), C::AuctionHasBids)]);
    ledger.advance(10_000);
    assert_eq!(names(&ledger.run(&[])), ["auction.settled"]);
    assert_eq!((mona(&ledger), units(&ledger, "eur", address(2)), held(&ledger)), (address(3), 1_000, 0));
}

/// A bidder that controlled the currency froze what a rival had (422) and got the lot for 1; one that controlled the item
/// kept it frozen until its time had passed, with its own bid as the last.
#[test]
fn who_could_keep_others_from_bidding_does_not_bid_and_who_comes_to_does_not_get_it_against_the_seller() {
    for asset in ["eur", "art"] {
        let mut ledger = opened("");
        let before = ledger.clone();
        hand_control(&mut ledger, asset, address(3));
        check(&mut ledger, vec![(3, bid("100"), C::BidByController), (4, bid("100"), C::Done)]);
        // The control was nobody's whom the ledger knew, and was made an account after the bid.
        let mut ledger = before;
        ledger.done(3, vec![bid("100")]);
        hand_control(&mut ledger, asset, address(3));
        assert_eq!(ask(&ledger, "a1", "state", "{}")["highest_controls"], true);
        let stop = if asset == "eur" { freeze("eur", address(4), 1_000) } else { freeze_item("art", "mona") };
        let refused = if asset == "eur" { C::BidUnfunded } else { C::ItemIsFrozen };
        check(&mut ledger, vec![(3, stop, C::Done), (4, bid("900"), refused)]);
        let mut cancelled = ledger.clone();
        check(&mut cancelled, vec![(3, cancel(), C::CallerRefused), (2, cancel(), C::Done)]);
        assert_eq!((phase(&cancelled), units(&cancelled, "eur", address(3))), ("cancelled".into(), 1_000));
        // A seller who slept has a day after the end; who says nothing sells.
        let stopped = if asset == "eur" { 0 } else { STOPS_MS_MAX };
        ledger.advance(20_000 + stopped);
        ledger.run(&[]);
        check(&mut ledger, vec![(9, settle(), C::WrongPhase), (5, bid("900"), C::BidTooLate)]);
        let mut cancelled = ledger.clone();
        ledger.advance(86_400_000);
        ledger.run(&[]);
        assert_eq!((phase(&ledger), units(&ledger, "eur", address(2))), ("settled".into(), 100));
        check(&mut cancelled, vec![(2, cancel(), C::Done)]);
        assert_eq!((phase(&cancelled), held(&cancelled)), ("cancelled".into(), 0));
    }
}

#[test]
fn co_owners_of_the_sellers_account_and_where_asked_its_organization_cannot_bid() {
    let mut ledger = ledger();
    for (number, organization) in [(2, "alpha"), (3, "alpha"), (4, "beta"), (5, "alpha")] {
        admit(&mut ledger, number, organization);
    }
    let seller = joint(&mut ledger, &[2, 3]);
    let theirs = joint(&mut ledger, &[3, 6]);
    let funds: Vec<Action> = [3, 4, 5, 6].map(|bidder| mint("eur", bidder, 1_000)).to_vec();
    ledger.done(ISSUER, [funds, vec![mint_item("art", "mona", 2)]].concat());
    let hand_over = Action::AssetTransferItem(crate::action::assets::TransferItem {
        asset: "art".into(),
        item: "mona".into(),
        to: seller,
    });
    ledger.done(2, vec![hand_over]);
    let arguments = auction_arguments(&ledger, "mona", r#","exclude_sellers_organization":true"#);
    ledger.done(2, vec![act(seller), create("auction", "a1", &arguments)]);
    check(
        &mut ledger,
        vec![
            (2, bid("100"), C::BidBySeller),
            (3, bid("100"), C::BidByCoOwner),
            (5, bid("100"), C::BidBySellersOrganization),
            (6, bid("100"), C::BidderNotQualified),
            (4, bid("100"), C::Done),
        ],
    );
    let (code, _) = ledger.one(6, vec![act(theirs), bid("200")]);
    assert_eq!(code, C::BidByCoOwner, "an account that it shares with the seller's co-owner");
}

/// The first signer was asked for its organization, who need not have a key of the account that bids.
#[test]
fn bidders_are_judged_by_the_keys_of_their_account_and_not_by_who_signs_first() {
    let mut ledger = ledger();
    for (number, organization) in [(2, "alpha"), (3, "alpha"), (4, "beta"), (5, "beta")] {
        admit(&mut ledger, number, organization);
    }
    let ours = joint(&mut ledger, &[3]);
    let mixed = joint(&mut ledger, &[3, 4]);
    let theirs = joint(&mut ledger, &[4]);
    let stranger = joint(&mut ledger, &[7]);
    let accounts = [ours, mixed, theirs, stranger];
    ledger.done(ISSUER, vec![mint("eur", 9, 4_000), mint_item("art", "mona", 2), mint_item("art", "lisa", 2)]);
    ledger.done(9, accounts.map(|account| transfer("eur", account, 1_000)).to_vec());
    let alphas = auction_arguments(&ledger, "mona", r#","bidders":{"organizations":["alpha"]}"#);
    let no_alphas = auction_arguments(&ledger, "lisa", r#","exclude_sellers_organization":true"#);
    ledger.done(2, vec![create("auction", "a1", &alphas), create("auction", "a2", &no_alphas)]);
    let other = |who| call("a2", "bid", &format!(r#"{{"amount":"{who}"}}"#));
    for (account, signers, first, second) in [
        (ours, [5, 3], C::Done, C::BidBySellersOrganization),
        (mixed, [3, 4], C::BidderNotQualified, C::BidBySellersOrganization),
        (theirs, [3, 4], C::BidderNotQualified, C::Done),
        (stranger, [3, 7], C::BidderNotQualified, C::BidderNotQualified),
    ] {
        assert_eq!(ledger.signed(&signers, vec![act(account), bid("100")]).0, first, "{signers:?}");
        assert_eq!(ledger.signed(&signers, vec![act(account), other(100)]).0, second, "{signers:?}");
    }
}

/// Gives the control of `asset` to `who`.
fn hand_control(ledger: &mut Ledger, asset: &str, who: Address) {
    let mut record = crate::execution::assets::asset(&ledger.state, asset).unwrap().unwrap();
    record.control_authority = who;
    ledger.put(crate::state::keyspace::asset(asset), &record);
}

/// An auction's peer that restarted each minute kept it open for ever.
#[test]
fn an_auction_of_a_channel_that_restarts_each_minute_ends() {
    let mut ledger = opened("");
    ledger.done(3, vec![bid("100")]);
    let mut minutes = 0;
    while phase(&ledger) == "open" && minutes < 1_000 {
        ledger.outage(60_000);
        ledger.run(&[]);
        minutes += 1;
    }
    assert_eq!(mona(&ledger), address(3));
    // Ten seconds were agreed. In most of these minutes 53 seconds were served, in some a timer was due earlier.
    assert!(minutes <= 60, "{minutes}");
}

/// A seller who controls the item's asset froze it when the price displeased him: thirty days later all went back.
#[test]
fn who_stops_what_it_sells_or_pays_with_does_not_escape_the_price() {
    let seller_stops = |asset: &str| vec![pause(asset)];
    for (who, asset, stops) in [
        (2, "art", vec![freeze_item("art", "mona")]),
        (2, "art", seller_stops("art")),
        (2, "eur", seller_stops("eur")),
        (3, "art", seller_stops("art")),
        (3, "eur", seller_stops("eur")),
    ] {
        let mut ledger = ledger();
        ledger.done(ISSUER, vec![mint("eur", 3, 1_000), mint_item("art", "mona", 2)]);
        if who == 2 {
            hand_control(&mut ledger, asset, address(who));
        }
        let arguments = auction_arguments(&ledger, "mona", "");
        ledger.done(2, vec![create("auction", "a1", &arguments)]);
        ledger.done(3, vec![bid("100")]);
        hand_control(&mut ledger, asset, address(who));
        ledger.done(who, stops);
        ledger.advance(10_000);
        let receipts = ledger.run(&[]);
        if who == 3 {
            // Others must have their time to bid more; a bidder's stop gives it to them, and no way out.
            assert_eq!(names(&receipts), ["escrow.extended"]);
            ledger.advance(STOPS_MS_MAX);
            ledger.run(&[]);
            // The seller might have cancelled.
            ledger.advance(86_400_000);
            ledger.run(&[]);
        }
        assert_eq!(phase(&ledger), "settled", "{who} {asset}");
        let (item_of, price_of) = match asset {
            "art" => (account(&ledger, "a1"), 100),
            _ => (address(3), 0),
        };
        assert_eq!((mona(&ledger), units(&ledger, "eur", address(2))), (item_of, price_of), "{who} {asset}");
        let record = crate::execution::assets::asset(&ledger.state, asset).unwrap().unwrap();
        let lifted = if record.paused { resume(asset) } else { unfreeze_item("art", "mona") };
        let claimed = if asset == "art" {
            claim("a1", address(3), asset, Some("mona"))
        } else {
            claim("a1", address(2), asset, None)
        };
        check(&mut ledger, vec![(who, lifted, C::Done), (9, claimed, C::Done)]);
        assert_eq!((mona(&ledger), units(&ledger, "eur", address(2)), held(&ledger)), (address(3), 100, 0));
    }
}

/// Another address of the seller's identity, or an account that it shares, is the seller as well.
#[test]
fn a_stop_by_whom_the_seller_stands_behind_is_the_sellers() {
    for by_identity in [true, false] {
        let mut ledger = ledger();
        admit(&mut ledger, 2, "alpha");
        let other = if by_identity {
            let key = crate::state::keyspace::participant(&address(2));
            let seller: crate::state::participant::Participant =
                crate::state::record::read(&ledger.state, &key).unwrap().unwrap();
            ledger.put(crate::state::keyspace::participant(&address(6)), &seller);
            address(6)
        } else {
            joint(&mut ledger, &[2, 6])
        };
        hand_control(&mut ledger, "art", other);
        ledger.done(ISSUER, vec![mint("eur", 3, 1_000), mint_item("art", "mona", 2)]);
        let arguments = auction_arguments(&ledger, "mona", "");
        ledger.done(2, vec![create("auction", "a1", &arguments)]);
        ledger.done(3, vec![bid("100")]);
        let stop = if by_identity { vec![pause("art")] } else { vec![act(other), pause("art")] };
        ledger.done(6, stop);
        ledger.advance(10_000);
        assert_eq!(names(&ledger.run(&[])), ["escrow.owed", "auction.settled"], "{by_identity}");
    }
}

/// Pausing and resuming, many times in one block, moved deadlines by a minute each time.
#[test]
fn a_stop_gives_back_no_more_than_it_lasted() {
    let mut ledger = ledger();
    let total = |ledger: &Ledger| stopped(&ledger.state, Stopped::Asset("eur"), ledger.time).unwrap().0;
    for _ in 0..100 {
        ledger.done(ISSUER, vec![pause("eur"), resume("eur"), pause("eur")]);
        ledger.time = ledger.time.plus_millis(9);
        ledger.done(ISSUER, vec![resume("eur"), pause("eur"), resume("eur")]);
    }
    assert_eq!(total(&ledger), 100 * 2 * 10);
    ledger.done(ISSUER, vec![pause("eur")]);
    ledger.time = ledger.time.plus_millis(3_599_999);
    ledger.done(ISSUER, vec![resume("eur")]);
    assert_eq!(total(&ledger), 2_000 + 3_600_000 + RETURN_MS);
}
