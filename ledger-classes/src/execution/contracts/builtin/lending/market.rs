//! From a request to its award: quotes with escrowed funds, the lowest rate wins, the earlier of equal ones.

use super::interest::{Debt, installment};
use super::records::{
    CollateralState, CreditRecord, Loan, LoanName, LoanStatus, Quote, Quotes, add, borrowed_key, credit_key, desk,
    loan_key, pull_collateral, put_loan, put_quotes, quotes, quotes_key, update_credit,
};
use super::terms::{
    CANCEL_MS, INSTALLMENTS_MAX, QUOTES_MAX, QUOTING_MS_MAX, RATE_BPS_MAX, RequestArguments, TERM_SECONDS_MAX,
};
use crate::execution::contracts::Call;
use crate::execution::contracts::builtin::parties::{controls, is_void, organizations, related};
use crate::execution::contracts::deadlines::{Lag, Served};
use crate::execution::contracts::escrow::{self, Valuable};
use crate::execution::contracts::forms::{emit, invalid, number, text};
use crate::formats::detail::{Detail, Moment, Part, Party, Stage, Text, Thing};
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::keys::Address;
use crate::limits::{STOP_LOOK_MS_MIN, STOPS_MS_MAX};
use crate::primitives::amount::Amount;
use crate::primitives::identity::is_label;
use crate::state::view::{ReadError, ReadView};

/// The last part of the time for quotes, as a divisor, in which those that stand are binding: a quarter.
const BINDING_PART: u64 = 4;

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
        controller_may_quote,
    } = arguments;
    if !is_label(&loan) {
        return invalid(Detail::Named { thing: Thing::Loan });
    }
    if !desk.currencies.contains(&asset) {
        return invalid(Detail::OtherAssets { asset: Text::from(&asset) });
    }
    if !(1..=TERM_SECONDS_MAX).contains(&term_seconds) {
        return invalid(Detail::Between { part: Part::TermSeconds, least: 1, most: TERM_SECONDS_MAX });
    }
    if !(1..=INSTALLMENTS_MAX).contains(&installments) || u64::from(installments) > term_seconds {
        return invalid(Detail::Between { part: Part::Installments, least: 1, most: INSTALLMENTS_MAX.into() });
    }
    if rate_max_bps > RATE_BPS_MAX {
        return invalid(Detail::AtMost { part: Part::RateBps, most: RATE_BPS_MAX.into() });
    }
    if quote_deadline <= call.time() || quote_deadline.millis_since(call.time()) > QUOTING_MS_MAX {
        return invalid(Detail::Between { part: Part::QuotingMs, least: 1, most: QUOTING_MS_MAX });
    }
    lenders.check(call, Part::Lenders)?;
    if amount.is_zero() || matches!(collateral, Some(Valuable::Units { amount: Amount::ZERO, .. })) {
        return invalid(Detail::AtLeast { part: Part::Amount, least: 1 });
    }
    // The most that can ever be owed must fit with room for roundings, so that no later step can overflow.
    let longest = term_seconds.saturating_add(desk.grace_seconds);
    match (Debt { principal: amount.0, interest: 0 }).accrue(rate_max_bps, longest) {
        Some(debt) if debt.owed() <= u128::MAX / 2 => {}
        _ => return reject(ResultCode::AmountOverflow, Detail::InterestOverflow {}),
    }
    if call.read_value(&loan_key(&loan))?.is_some() {
        return reject(ResultCode::LoanExists, Detail::Exists { thing: Thing::Loan, name: Text::from(&loan) });
    }
    let borrower = call.caller();
    check_registrar(call, &borrower)?;
    update_credit(call, &borrower, |credit| credit.requests = credit.requests.saturating_add(1))?;
    if let Some(collateral) = &collateral {
        pull_collateral(call, collateral)?;
    }
    let quoting = quote_deadline.millis_since(call.time());
    let mut record = Loan {
        borrower,
        debtor: borrower,
        borrower_identity: call.identity().cloned(),
        asset,
        amount,
        term_seconds,
        installments,
        rate_max_bps,
        quote_deadline,
        quotes_bind: quote_deadline.minus_millis(quoting / BINDING_PART),
        served: Served::default(),
        collateral_state: if collateral.is_some() { CollateralState::Held } else { CollateralState::None },
        collateral,
        lenders,
        controller_may_quote,
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
        kept_days: 0,
        closed_at: None,
        loan,
    };
    record.served = Served::begin(call, &record.concerned(call.view())?)?;
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

/// A borrower whom its own organization registered has no credit record that others could rely on.
fn check_registrar(call: &Call<'_, '_>, borrower: &Address) -> Result<(), Refusal> {
    let Some(credit) = call.read::<CreditRecord>(&credit_key(borrower))? else { return Ok(()) };
    if organizations(call.view(), borrower)?.contains(credit.registrar.organization()) {
        return reject(ResultCode::OwnOrganization, Detail::PLAIN);
    }
    Ok(())
}

pub(super) fn quote(call: &mut Call<'_, '_>, mut loan: Loan, rate_bps: u32) -> Result<(), Refusal> {
    require_quotable(call, &mut loan)?;
    let lender = call.caller();
    let same_identity = loan.borrower_identity.is_some() && loan.borrower_identity.as_ref() == call.identity();
    if call.is_from(&loan.borrower)? || same_identity {
        return reject(ResultCode::QuoteByBorrower, Detail::PLAIN);
    }
    if related(call.view(), &loan.borrower, &lender)? {
        return reject(ResultCode::QuoteByCoOwner, Detail::PLAIN);
    }
    if !loan.lenders.admit(call.view(), &lender)? {
        return reject(ResultCode::LenderNotQualified, Detail::ContractOnly { party: Party::OtherOrganizations });
    }
    if keeps_others(call.view(), &loan, &lender)? {
        return reject(ResultCode::QuoteByController, Detail::Controls { asset: Text::from(&loan.asset) });
    }
    if rate_bps > loan.rate_max_bps {
        return reject(ResultCode::RateTooHigh, Detail::HighestRate { bps: loan.rate_max_bps.into() });
    }
    let mut standing = quotes(call, &loan.loan)?;
    check_first(call, &standing)?;
    if standing.quotes.len() >= QUOTES_MAX {
        // The last of the highest rates makes room for a lower one.
        let highest = standing.quotes.iter().map(|quote| quote.rate_bps).max().unwrap_or(0);
        let worst = standing.quotes.iter().rposition(|quote| quote.rate_bps == highest);
        match worst {
            Some(worst) if rate_bps < highest => {
                let displaced = standing.quotes.remove(worst);
                refund(call, &loan, &displaced)?;
            }
            _ => {
                let detail = Detail::QuotesStand { quotes: QUOTES_MAX as u64, bps: highest.into() };
                return reject(ResultCode::RateTooHigh, detail);
            }
        }
    }
    let free = call.free_balance(&loan.asset, &lender)?;
    if free < loan.amount {
        let detail = Detail::Funds { needed: loan.amount, asset: Text::from(&loan.asset), free };
        return reject(ResultCode::QuoteUnfunded, detail);
    }
    call.pull_units(&loan.asset, loan.amount)?;
    let (time, height) = (call.time(), call.height());
    standing.quotes.push(Quote { lender, rate_bps, identity: call.identity().cloned(), time, height });
    put_quotes(call, &loan.loan, &standing)?;
    put_loan(call, &loan)?;
    let fields = [("loan", text(&loan.loan)), ("lender", text(lender)), ("rate_bps", number(rate_bps))];
    emit(call, "lending.quoted", &fields)
}

/// Whether `lender` could freeze what others would quote with, which leaves no trace in the request: it controls the asset,
/// which the borrower, who has not allowed it, does not.
fn keeps_others(view: &dyn ReadView, loan: &Loan, lender: &Address) -> Result<bool, ReadError> {
    Ok(!loan.controller_may_quote
        && controls(view, &loan.asset, lender)?
        && !controls(view, &loan.asset, &loan.borrower)?)
}

/// Whether the lowest quote is of somebody who could, and could not yet when it quoted.
pub(super) fn lowest_keeps_others(view: &dyn ReadView, loan: &Loan, standing: &Quotes) -> Result<bool, ReadError> {
    standing.lowest().map_or(Ok(false), |lowest| keeps_others(view, loan, &standing.quotes[lowest].lender))
}

/// Refuses a second quote of one account, or of one identity.
fn check_first(call: &Call<'_, '_>, standing: &Quotes) -> Result<(), Refusal> {
    let lender = call.caller();
    for quote in &standing.quotes {
        if call.is_from(&quote.lender)? {
            return reject(ResultCode::AlreadyQuoted, Detail::HasQuoted { lender });
        }
        let same_identity = quote.identity.is_some() && quote.identity.as_ref() == call.identity();
        if same_identity || related(call.view(), &quote.lender, &lender)? {
            return reject(ResultCode::QuoteBySameIdentity, Detail::QuotesForTheSame { lender: quote.lender });
        }
    }
    Ok(())
}

/// Takes a quote back while others can still answer.
pub(super) fn withdraw(call: &mut Call<'_, '_>, mut loan: Loan) -> Result<(), Refusal> {
    let lag = require_quotable(call, &mut loan)?;
    let mut standing = quotes(call, &loan.loan)?;
    let mut mine = None;
    for (place, quote) in standing.quotes.iter().enumerate() {
        if call.is_from(&quote.lender)? {
            mine = Some(place);
        }
    }
    let Some(mine) = mine else {
        return reject(ResultCode::QuoteUnknown, Detail::PLAIN);
    };
    if lag.has_come(loan.quotes_bind) {
        let since = lag.comes(loan.quotes_bind);
        return reject(ResultCode::QuoteIsBinding, Detail::ContractMoment { moment: Moment::QuotesBind, time: since });
    }
    let quote = standing.quotes.remove(mine);
    put_quotes(call, &loan.loan, &standing)?;
    put_loan(call, &loan)?;
    refund(call, &loan, &quote)
}

/// Takes a request back that nobody has quoted for, whose award waits for a lender that stops the currency, or whose lowest
/// quote is of somebody who came to control the currency.
pub(super) fn cancel(call: &mut Call<'_, '_>, mut loan: Loan) -> Result<(), Refusal> {
    if !call.is_from(&loan.borrower)? {
        return reject(ResultCode::CallerRefused, Detail::ContractOnly { party: Party::Borrower });
    }
    require_quoting(&loan)?;
    let standing = quotes(call, &loan.loan)?;
    let lag = loan.refresh(call)?;
    let kept = lag.has_come(loan.quote_deadline) && is_kept_by_lender(call, &loan, &standing)?;
    if !standing.quotes.is_empty() && !kept && !lowest_keeps_others(call.view(), &loan, &standing)? {
        return reject(ResultCode::WrongPhase, Detail::Stage { stage: Stage::HasQuotes });
    }
    close_unfunded(call, loan, &standing, LoanStatus::Cancelled, "cancelled")
}

/// Whether the desk cannot pay the amount, and one of the lenders that quoted could have seen to that: it controls the asset,
/// which the borrower does not. Its quote, or a better one, would end with its own stop.
fn is_kept_by_lender(call: &Call<'_, '_>, loan: &Loan, standing: &Quotes) -> Result<bool, Refusal> {
    if call.payable(&loan.asset)? >= loan.amount || controls(call.view(), &loan.asset, &loan.borrower)? {
        return Ok(false);
    }
    for quote in &standing.quotes {
        if controls(call.view(), &loan.asset, &quote.lender)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Decides a request whose deadline has passed: pays the borrower, and every lender that did not win. Before that its
/// timer is set anew.
pub(super) fn award(call: &mut Call<'_, '_>, mut loan: Loan) -> Result<(), Refusal> {
    require_quoting(&loan)?;
    let lag = loan.refresh(call)?;
    let mut standing = quotes(call, &loan.loan)?;
    // Others may have been kept from quoting: the borrower has a day to take its request back.
    let decided = match lowest_keeps_others(call.view(), &loan, &standing)? {
        true => loan.quote_deadline.plus_millis(CANCEL_MS),
        false => loan.quote_deadline,
    };
    if !lag.has_come(decided) {
        if !call.is_timer() {
            return reject(
                ResultCode::WrongPhase,
                Detail::ContractMoment { moment: Moment::RequestDecides, time: lag.comes(decided) },
            );
        }
        call.set_timer(&loan.loan, lag.next_look(decided))?;
        return put_loan(call, &loan);
    }
    if is_void(call.view(), &loan.borrower, loan.requested_height)? {
        return close_unfunded(call, loan, &standing, LoanStatus::Cancelled, "borrower-revoked");
    }
    let Some(best) = standing.lowest() else {
        return close_unfunded(call, loan, &standing, LoanStatus::Unfunded, "unfunded");
    };
    // A binding quote is not escaped by a stop: it waits, as long as stops may move a deadline.
    let waits = loan.quote_deadline.plus_millis(STOPS_MS_MAX);
    if !lag.has_come(waits) && is_kept_by_lender(call, &loan, &standing)? {
        if !call.is_timer() {
            let until = lag.comes(waits);
            return reject(ResultCode::WrongPhase, Detail::LenderStops { asset: Text::from(&loan.asset), until });
        }
        let waited = call.time().millis_since(loan.quote_deadline).clamp(STOP_LOOK_MS_MIN, CANCEL_MS);
        call.set_timer(&loan.loan, call.time().plus_millis(waited).min(lag.comes(waits)))?;
        return put_loan(call, &loan);
    }
    // Nobody shall owe interest on what it did not get.
    if call.payable(&loan.asset)? < loan.amount {
        return close_unfunded(call, loan, &standing, LoanStatus::Unfunded, "currency-cannot-move");
    }
    let winner = standing.quotes.remove(best);
    let Some(payment) = installment(loan.amount.0, winner.rate_bps, loan.term_seconds, loan.installments) else {
        return reject(ResultCode::AmountOverflow, Detail::Overflow { asset: Text::from(&loan.asset) });
    };
    loan.status = LoanStatus::Active;
    loan.lender = Some(winner.lender);
    loan.rate_bps = winner.rate_bps;
    loan.funded_at = Some(call.time());
    loan.served = Served::begin(call, &loan.concerned(call.view())?)?;
    loan.installment = Amount(payment);
    loan.principal = loan.amount;
    escrow::pay(call, &loan.asset, loan.borrower, loan.amount)?;
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
    refund_all(call, &loan, &standing)?;
    if let Some(due) = loan.due(1) {
        call.set_timer(&loan.loan, due)?;
    }
    put_loan(call, &loan)
}

fn require_quoting(loan: &Loan) -> Result<(), Refusal> {
    match loan.status {
        LoanStatus::Quoting => Ok(()),
        _ => reject(ResultCode::WrongPhase, Detail::Stage { stage: Stage::RequestDecided }),
    }
}

fn require_quotable(call: &mut Call<'_, '_>, loan: &mut Loan) -> Result<Lag, Refusal> {
    if loan.status != LoanStatus::Quoting {
        return reject(ResultCode::QuoteTooLate, Detail::Stage { stage: Stage::RequestDecided });
    }
    let lag = loan.refresh(call)?;
    if lag.has_come(loan.quote_deadline) {
        let until = lag.comes(loan.quote_deadline);
        return reject(
            ResultCode::QuoteTooLate,
            Detail::ContractMoment { moment: Moment::QuotesWereTaken, time: until },
        );
    }
    Ok(lag)
}

fn refund(call: &mut Call<'_, '_>, loan: &Loan, quote: &Quote) -> Result<(), Refusal> {
    escrow::pay(call, &loan.asset, quote.lender, loan.amount)?;
    let fields = [("loan", text(&loan.loan)), ("lender", text(quote.lender)), ("amount", text(loan.amount))];
    emit(call, "lending.refunded", &fields)
}

/// No quote stands any more.
fn refund_all(call: &mut Call<'_, '_>, loan: &Loan, standing: &Quotes) -> Result<(), Refusal> {
    for quote in &standing.quotes {
        refund(call, loan, quote)?;
    }
    call.remove(&quotes_key(&loan.loan))
}

fn close_unfunded(
    call: &mut Call<'_, '_>,
    mut loan: Loan,
    standing: &Quotes,
    status: LoanStatus,
    outcome: &str,
) -> Result<(), Refusal> {
    refund_all(call, &loan, standing)?;
    loan.give_collateral(call, loan.borrower)?;
    loan.status = status;
    loan.closed_at = Some(call.time());
    call.cancel_timer(&loan.loan)?;
    put_loan(call, &loan)?;
    update_credit(call, &loan.borrower, |_| {})?;
    emit(call, "lending.closed", &[("loan", text(&loan.loan)), ("outcome", text(outcome))])
}
