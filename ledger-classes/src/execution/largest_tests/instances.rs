//! What instances of our contracts keep, in its largest form.

use super::super::contracts::builtin::Parties;
use super::super::contracts::builtin::auction::{Auction, Bid, Phase};
use super::super::contracts::builtin::lending::{
    CollateralState, CreditRecord, CreditTotals, Desk, Loan, LoanName, LoanStatus, Quote, Quotes,
};
use super::super::contracts::deadlines::Served;
use super::super::contracts::escrow::{Owed, Valuable};
use super::{FAR, HASH, Row, hidden, identity, item, name, row, somebody};
use crate::limits::*;
use crate::primitives::amount::Amount;
use crate::state::keyspace;

/// What an instance of our contracts keeps, under the longest key of its own that it has.
pub(super) fn kept_by_instances() -> Vec<Row> {
    let own = |parts: &[&[u8]]| keyspace::instance_state(&name(0), &parts.concat());
    let everybody = || Parties::Organizations((0..ORGANIZATIONS_MAX).map(name).collect());
    let bid = Bid { bidder: somebody(), amount: Amount::MAX, time: FAR, height: u64::MAX };
    let auction = Auction {
        seller: somebody(),
        seller_identity: Some(identity(0)),
        item: item(),
        currency: name(0),
        ends: FAR,
        served: Served::default(),
        reserve: Amount::MAX,
        starting_price: Amount::MAX,
        minimum_increment: Amount::MAX,
        buy_now: Some(Amount::MAX),
        bidders: everybody(),
        exclude_sellers_organization: true,
        phase: Phase::Cancelled,
        highest: Some(bid.clone()),
        bids: u32::MAX,
    };
    let desk = Desk {
        currencies: (0..16).map(name).collect(),
        grace_seconds: u64::MAX,
        registrars: (0..ORGANIZATIONS_MAX).map(name).collect(),
    };
    let totals = |number| CreditTotals {
        asset: name(number),
        outstanding: Amount::MAX,
        total_borrowed: Amount::MAX,
        total_repaid: Amount::MAX,
        total_defaulted: Amount::MAX,
    };
    let credit = CreditRecord {
        borrower: somebody(),
        registrar: identity(0),
        evidence: Some(HASH),
        requests: u32::MAX,
        funded: u32::MAX,
        repaid: u32::MAX,
        defaulted: u32::MAX,
        late_payments: u32::MAX,
        totals: (0..16).map(totals).collect(),
        opened_height: u64::MAX,
        last_event_height: u64::MAX,
    };
    let quote =
        Quote { lender: somebody(), rate_bps: u32::MAX, identity: Some(identity(0)), time: FAR, height: u64::MAX };
    let owed = |what| Owed { to: somebody(), what, height: u64::MAX };
    vec![
        row(own(&[b"auction"]), &auction),
        row(own(&[b"bid/", &[255; 4]]), &bid),
        row(own(&[b"desk"]), &desk),
        row(own(&[b"credit/", &somebody().0]), &credit),
        row(own(&[b"loan/", name(0).as_bytes()]), &loan(everybody())),
        hidden(own(&[b"of/", &somebody().0, name(0).as_bytes()]), &LoanName(name(0))),
        hidden(own(&[b"quotes/", name(0).as_bytes()]), &Quotes { quotes: vec![quote; 64] }),
        row(
            own(&[b"owed/", &somebody().0, name(1).as_bytes(), &[0], name(2).as_bytes()]),
            &owed(Valuable::Item(item())),
        ),
        row(
            own(&[b"owed/", &somebody().0, name(0).as_bytes()]),
            &owed(Valuable::Units { asset: name(0), amount: Amount::MAX }),
        ),
    ]
}

pub(super) fn loan(lenders: Parties) -> Loan {
    Loan {
        loan: name(0),
        borrower: somebody(),
        debtor: somebody(),
        borrower_identity: Some(identity(0)),
        asset: name(0),
        // With its interest about as much as a loan may come to owe.
        amount: Amount(10_u128.pow(34)),
        term_seconds: 50 * 365 * 86_400,
        installments: 120,
        rate_max_bps: 1_000_000,
        quote_deadline: FAR,
        quotes_bind: FAR,
        served: Served::default(),
        collateral: Some(Valuable::Item(item())),
        collateral_state: CollateralState::Given,
        lenders,
        controller_may_quote: true,
        grace_seconds: 10 * 365 * 86_400,
        status: LoanStatus::Defaulted,
        requested_height: u64::MAX,
        lender: Some(somebody()),
        rate_bps: 1_000_000,
        funded_at: Some(FAR),
        installment: Amount::MAX,
        principal: Amount::MAX,
        interest: Amount::MAX,
        accrued_seconds: u64::MAX,
        repaid: Amount::MAX,
        reviewed: 120,
        late: 120,
        kept_days: 30,
        closed_at: Some(FAR),
    }
}
