//! From a request to its award: quotes with escrowed funds, the lowest rate wins, the earlier of equal ones.

use super::interest::{Debt, installment};
use super::records::{
    Loan, LoanName, LoanStatus, Quote, add, borrowed_key, desk, loan_key, put_loan, put_quotes, quotes, update_credit,
};
use super::{
    Collateral, INSTALLMENTS_MAX, QUOTES_MAX, QUOTING_MS_MAX, RATE_BPS_MAX, RequestArguments, TERM_SECONDS_MAX,
};
use crate::amount::Amount;
use crate::execution::contracts::Call;
use crate::execution::contracts::builtin::{emit, invalid, number, text};
use crate::identity::is_label;
use crate::outcome::{Refusal, ResultCode, reject};

pub(super) fn request(call: &mut Call<'_, '_>, arguments: RequestArguments) -> Result<(), Refusal> {
    let desk = desk(call)?;
    let RequestArguments {
        loan,
        asset,
        amount,
        term_seconds,
        installments,
        rate_max_bps,
        quote_deadline,
        collateral,
        lenders,
    } = arguments;
    if !is_label(&loan) {
        return invalid("a loan is named by 1 to 64 of a-z, 0-9 and hyphen");
    }
    if !desk.currencies.contains(&asset) {
        return invalid("this desk lends other assets");
    }
    if !(1..=TERM_SECONDS_MAX).contains(&term_seconds) {
        return invalid(format!("a term has 1 to {TERM_SECONDS_MAX} seconds"));
    }
    if !(1..=INSTALLMENTS_MAX).contains(&installments) || u64::from(installments) > term_seconds {
        return invalid(format!("a loan has 1 to {INSTALLMENTS_MAX} installments, at least a second apart"));
    }
    if rate_max_bps > RATE_BPS_MAX {
        return invalid(format!("a rate is at most {RATE_BPS_MAX} basis points"));
    }
    if quote_deadline <= call.time() || quote_deadline.millis_since(call.time()) > QUOTING_MS_MAX {
        return invalid("the deadline for quotes lies at most 366 days ahead");
    }
    if !lenders.check() {
        return invalid("lenders are \"any\" or 1 to 256 organizations");
    }
    if amount.is_zero() || matches!(collateral, Some(Collateral::Units { amount: Amount::ZERO, .. })) {
        return invalid("an amount is not zero");
    }
    // The most that can ever be owed must fit with room for roundings, so that no later step can overflow.
    let longest = term_seconds.saturating_add(desk.grace_seconds);
    match (Debt { principal: amount.0, interest: 0 }).accrue(rate_max_bps, longest) {
        Some(debt) if debt.owed() <= u128::MAX / 2 => {}
        _ => return reject(ResultCode::AmountOverflow, "with its interest the loan may exceed 2^127"),
    }
    if call.read_value(&loan_key(&loan))?.is_some() {
        return reject(ResultCode::LoanExists, format!("{loan} exists"));
    }
    let borrower = call.caller();
    update_credit(call, &borrower, |credit| credit.requests = credit.requests.saturating_add(1))?;
    if let Some(collateral) = &collateral {
        collateral.pull(call)?;
    }
    let record = Loan {
        borrower,
        borrower_identity: call.identity().cloned(),
        asset,
        amount,
        term_seconds,
        installments,
        rate_max_bps,
        quote_deadline,
        collateral_held: collateral.is_some(),
        collateral,
        lenders,
        grace_seconds: desk.grace_seconds,
        status: LoanStatus::Quoting,
        requested_height: call.height(),
        lender: None,
        rate_bps: 0,
        funded_at: None,
        installment: Amount::ZERO,
        principal: Amount::ZERO,
        interest: Amount::ZERO,
        accrued_seconds: 0,
        repaid: Amount::ZERO,
        reviewed: 0,
        late: 0,
        closed_at: None,
        loan,
    };
    put_loan(call, &record)?;
    call.write(&borrowed_key(&borrower, &record.loan), &LoanName(record.loan.clone()))?;
    call.set_timer(&record.loan, quote_deadline)?;
    emit(
        call,
        "lending.requested",
        &[
            ("loan", text(&record.loan)),
            ("borrower", text(borrower)),
            ("asset", text(&record.asset)),
            ("amount", text(amount)),
            ("rate_max_bps", number(rate_max_bps)),
            ("quote_deadline", text(quote_deadline)),
        ],
    )
}

pub(super) fn quote(call: &mut Call<'_, '_>, loan: Loan, rate_bps: u32) -> Result<(), Refusal> {
    require_quotable(call, &loan)?;
    let lender = call.caller();
    let same_identity = loan.borrower_identity.is_some() && loan.borrower_identity.as_ref() == call.identity();
    if lender == loan.borrower || same_identity {
        return reject(ResultCode::QuoteByBorrower, "the borrower cannot lend to itself");
    }
    if !loan.lenders.admit(call.identity()) {
        return reject(ResultCode::LenderNotQualified, "the request is for participants of other organizations");
    }
    if rate_bps > loan.rate_max_bps {
        return reject(ResultCode::RateTooHigh, format!("at most {} basis points", loan.rate_max_bps));
    }
    let mut standing = quotes(call, &loan.loan)?;
    if standing.quotes.iter().any(|quote| quote.lender == lender) {
        return reject(ResultCode::AlreadyQuoted, format!("{lender} has quoted; withdraw first to change the rate"));
    }
    if standing.quotes.len() >= QUOTES_MAX {
        // The last of the highest rates makes room for a lower one.
        let highest = standing.quotes.iter().map(|quote| quote.rate_bps).max().unwrap_or(0);
        let worst = standing.quotes.iter().rposition(|quote| quote.rate_bps == highest);
        match worst {
            Some(worst) if rate_bps < highest => {
                let displaced = standing.quotes.remove(worst);
                refund(call, &loan, &displaced)?;
            }
            _ => return reject(ResultCode::RateTooHigh, format!("{QUOTES_MAX} quotes stand, none above {highest}")),
        }
    }
    let free = call.free_balance(&loan.asset, &lender)?;
    if free < loan.amount {
        let message = format!("{} of {} needed, {free} free", loan.amount, loan.asset);
        return reject(ResultCode::QuoteUnfunded, message);
    }
    call.pull_units(&loan.asset, loan.amount)?;
    standing.quotes.push(Quote { lender, rate_bps, time: call.time() });
    put_quotes(call, &loan.loan, &standing)?;
    let fields = [("loan", text(&loan.loan)), ("lender", text(lender)), ("rate_bps", number(rate_bps))];
    emit(call, "lending.quoted", &fields)
}

/// Takes a quote back before the deadline.
pub(super) fn withdraw(call: &mut Call<'_, '_>, loan: &Loan) -> Result<(), Refusal> {
    require_quotable(call, loan)?;
    let mut standing = quotes(call, &loan.loan)?;
    let Some(mine) = standing.quotes.iter().position(|quote| quote.lender == call.caller()) else {
        return reject(ResultCode::QuoteUnknown, "the caller has no quote here");
    };
    let quote = standing.quotes.remove(mine);
    put_quotes(call, &loan.loan, &standing)?;
    refund(call, loan, &quote)
}

/// Takes a request back that nobody has quoted for.
pub(super) fn cancel(call: &mut Call<'_, '_>, loan: Loan) -> Result<(), Refusal> {
    if call.caller() != loan.borrower {
        return reject(ResultCode::CallerRefused, "only the borrower cancels its request");
    }
    require_quoting(&loan)?;
    if !quotes(call, &loan.loan)?.quotes.is_empty() {
        return reject(ResultCode::WrongPhase, "there are quotes already");
    }
    close_unfunded(call, loan, LoanStatus::Cancelled, "cancelled")
}

/// Decides a request whose deadline has passed: pays the borrower, and every lender that did not win.
pub(super) fn award(call: &mut Call<'_, '_>, mut loan: Loan) -> Result<(), Refusal> {
    require_quoting(&loan)?;
    if call.time() < loan.quote_deadline {
        return reject(ResultCode::WrongPhase, format!("quotes are taken until {}", loan.quote_deadline));
    }
    let mut standing = quotes(call, &loan.loan)?;
    // Of equal rates the first: quotes are in the order in which they came.
    let lowest = standing.quotes.iter().map(|quote| quote.rate_bps).min();
    let Some(best) = standing.quotes.iter().position(|quote| Some(quote.rate_bps) == lowest) else {
        return close_unfunded(call, loan, LoanStatus::Unfunded, "unfunded");
    };
    let winner = standing.quotes.remove(best);
    let Some(payment) = installment(loan.amount.0, winner.rate_bps, loan.term_seconds, loan.installments) else {
        return reject(ResultCode::AmountOverflow, "the loan does not fit 2^128");
    };
    let now = call.time();
    loan.status = LoanStatus::Active;
    loan.lender = Some(winner.lender);
    loan.rate_bps = winner.rate_bps;
    loan.funded_at = Some(now);
    loan.installment = Amount(payment);
    loan.principal = loan.amount;
    call.pay_units(&loan.asset, loan.borrower, loan.amount)?;
    update_credit(call, &loan.borrower, |credit| {
        credit.funded = credit.funded.saturating_add(1);
        let totals = credit.totals(&loan.asset);
        add(&mut totals.outstanding, loan.amount.0);
        add(&mut totals.total_borrowed, loan.amount.0);
    })?;
    emit(
        call,
        "lending.awarded",
        &[
            ("loan", text(&loan.loan)),
            ("borrower", text(loan.borrower)),
            ("lender", text(winner.lender)),
            ("rate_bps", number(winner.rate_bps)),
            ("installment", text(loan.installment)),
        ],
    )?;
    for quote in &standing.quotes {
        refund(call, &loan, quote)?;
    }
    call.remove(&super::records::quotes_key(&loan.loan))?;
    if let Some(due) = loan.due(1) {
        call.set_timer(&loan.loan, due)?;
    }
    put_loan(call, &loan)
}

fn require_quoting(loan: &Loan) -> Result<(), Refusal> {
    match loan.status {
        LoanStatus::Quoting => Ok(()),
        _ => reject(ResultCode::WrongPhase, "the request is decided"),
    }
}

fn require_quotable(call: &Call<'_, '_>, loan: &Loan) -> Result<(), Refusal> {
    if loan.status != LoanStatus::Quoting || call.time() >= loan.quote_deadline {
        return reject(ResultCode::QuoteTooLate, format!("quotes were taken until {}", loan.quote_deadline));
    }
    Ok(())
}

fn refund(call: &mut Call<'_, '_>, loan: &Loan, quote: &Quote) -> Result<(), Refusal> {
    call.pay_units(&loan.asset, quote.lender, loan.amount)?;
    let fields = [("loan", text(&loan.loan)), ("lender", text(quote.lender)), ("amount", text(loan.amount))];
    emit(call, "lending.refunded", &fields)
}

fn close_unfunded(call: &mut Call<'_, '_>, mut loan: Loan, status: LoanStatus, outcome: &str) -> Result<(), Refusal> {
    if let Some(collateral) = &loan.collateral {
        collateral.pay(call, loan.borrower)?;
    }
    loan.collateral_held = false;
    loan.status = status;
    loan.closed_at = Some(call.time());
    call.remove(&super::records::quotes_key(&loan.loan))?;
    call.cancel_timer(&loan.loan)?;
    put_loan(call, &loan)?;
    update_credit(call, &loan.borrower, |_| {})?;
    emit(call, "lending.closed", &[("loan", text(&loan.loan)), ("outcome", text(outcome))])
}
