//! From the funding to the end: repayments, due times, default. Times are compared as the loan counts them ([`Lag`]).

use super::records::{CreditRecord, Loan, LoanStatus, add, put_loan, subtract, update_credit};
use super::terms::{DAY_SECONDS, KEPT_DAYS_MAX};
use crate::execution::assets;
use crate::execution::contracts::Call;
use crate::execution::contracts::builtin::parties::controls;
use crate::execution::contracts::deadlines::Lag;
use crate::execution::contracts::escrow;
use crate::execution::contracts::forms::{emit, invalid, number, text};
use crate::execution::service::{self, Stopped};
use crate::formats::detail::{Detail, Part, Stage, Text};
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::keys::Address;
use crate::primitives::amount::Amount;
use crate::primitives::time::Time;

/// Repays part of what is owed at block time, or all of it, from the caller's account: anybody may pay for the
/// borrower. Who repays all of it early owes the interest of the seconds that passed, and no more.
/// What is offered beyond what is owed is not taken, or whoever pays a unit just before keeps the borrower from paying the
/// whole debt.
pub(super) fn repay(call: &mut Call<'_, '_>, mut loan: Loan, amount: Option<Amount>) -> Result<(), Refusal> {
    let lender = require_active(&loan)?;
    let now = loan.refresh(call)?.now();
    let (debt, seconds) = loan.debt_at(now).map_or_else(overflow, Ok)?;
    let owed = Amount(debt.owed());
    let amount = amount.unwrap_or(owed).min(owed);
    if amount.is_zero() {
        return invalid(Detail::AtLeast { part: Part::Amount, least: 1 });
    }
    let payer = call.caller();
    let free = call.free_balance(&loan.asset, &payer)?;
    if free < amount {
        return reject(
            ResultCode::RepaymentUnfunded,
            Detail::Funds { needed: amount, asset: Text::from(&loan.asset), free },
        );
    }
    // A due time that passed before this block counts as missed even if its timer has not run yet.
    review_installments(call, &mut loan, now)?;
    call.pull_units(&loan.asset, amount)?;
    escrow::pay(call, &loan.asset, lender, amount)?;
    let left = debt.pay(amount.0);
    let principal_paid = loan.principal.0.saturating_sub(left.principal);
    loan.principal = Amount(left.principal);
    loan.interest = Amount(left.interest);
    loan.accrued_seconds = seconds;
    add(&mut loan.repaid, amount.0);
    let closed = left.owed() == 0;
    update_credit(call, &loan.borrower, |credit| {
        credit.repaid = credit.repaid.saturating_add(u32::from(closed));
        let totals = credit.totals(&loan.asset);
        subtract(&mut totals.outstanding, principal_paid);
        add(&mut totals.total_repaid, amount.0);
    })?;
    emit(
        call,
        "lending.repaid",
        &[("loan", text(&loan.loan)), ("payer", text(payer)), ("amount", text(amount)), ("left", text(left.owed()))],
    )?;
    if closed {
        loan.status = LoanStatus::Repaid;
        loan.closed_at = Some(call.time());
        call.cancel_timer(&loan.loan)?;
        emit(call, "lending.closed", &[("loan", text(&loan.loan)), ("outcome", text("repaid"))])?;
        loan.give_collateral(call, loan.borrower)?;
    }
    put_loan(call, &loan)
}

/// Notes the due times that have passed, and at the end of the grace time the default; sets the timer for what
/// comes next. The loan's timer does it; anybody may.
pub(super) fn review(call: &mut Call<'_, '_>, mut loan: Loan) -> Result<(), Refusal> {
    let lender = require_active(&loan)?;
    let lag = loan.refresh(call)?;
    review_installments(call, &mut loan, lag.now())?;
    match loan.default_time() {
        Some(time) if lag.has_come(time) => match keeps_from_paying(call, &loan, &lender, &lag)? {
            false => default(call, loan, lender, &lag),
            true if loan.kept_days < KEPT_DAYS_MAX => wait_for_lender(call, loan, &lag),
            true => release(call, loan),
        },
        Some(time) => {
            let next = loan.reviewed.saturating_add(1);
            let due = if next <= loan.installments { loan.due(next).unwrap_or(time) } else { time };
            call.set_timer(&loan.loan, lag.next_look(due))?;
            put_loan(call, &loan)
        }
        None => reject(ResultCode::WrongPhase, Detail::Stage { stage: Stage::NotFunded }),
    }
}

/// Counts installments whose due time has come and that are not covered by what was repaid before.
fn review_installments(call: &mut Call<'_, '_>, loan: &mut Loan, now: Time) -> Result<(), Refusal> {
    let late_before = loan.late;
    while loan.reviewed < loan.installments {
        let installment = loan.reviewed + 1;
        let Some(due) = loan.due(installment).filter(|due| *due <= now) else { break };
        loan.reviewed = installment;
        // At the last due time all is due; a running loan is one that is not repaid.
        let needed = loan.installment.0.saturating_mul(u128::from(installment));
        if installment == loan.installments || loan.repaid.0 < needed {
            loan.late = loan.late.saturating_add(1);
            emit(
                call,
                "lending.late",
                &[("loan", text(&loan.loan)), ("installment", number(installment)), ("due", text(due))],
            )?;
        }
    }
    let missed = loan.late - late_before;
    if missed > 0 {
        let count = |credit: &mut CreditRecord| credit.late_payments = credit.late_payments.saturating_add(missed);
        update_credit(call, &loan.borrower, count)?;
    }
    Ok(())
}

/// Ends the loan: the collateral, all of it, passes to the lender; what cannot move of it is owed to it. Nothing can be
/// repaid here afterwards.
fn default(call: &mut Call<'_, '_>, mut loan: Loan, lender: Address, lag: &Lag) -> Result<(), Refusal> {
    let (debt, seconds) = loan.debt_at(lag.now()).map_or_else(overflow, Ok)?;
    loan.give_collateral(call, lender)?;
    update_credit(call, &loan.borrower, |credit| {
        credit.defaulted = credit.defaulted.saturating_add(1);
        let totals = credit.totals(&loan.asset);
        subtract(&mut totals.outstanding, loan.principal.0);
        add(&mut totals.total_defaulted, debt.owed());
    })?;
    loan.status = LoanStatus::Defaulted;
    loan.interest = Amount(debt.interest);
    loan.accrued_seconds = seconds;
    loan.closed_at = Some(call.time());
    call.cancel_timer(&loan.loan)?;
    put_loan(call, &loan)?;
    emit(
        call,
        "lending.defaulted",
        &[
            ("loan", text(&loan.loan)),
            ("owed", text(debt.owed())),
            ("borrower", text(loan.borrower)),
            ("lender", text(lender)),
        ],
    )?;
    emit(call, "lending.closed", &[("loan", text(&loan.loan)), ("outcome", text("defaulted"))])
}

/// Whether the lender, who controls the asset, keeps the borrower from repaying: in the last day the asset was paused, or
/// units of the borrower's were frozen until it was too late, or it has enough but for what is frozen. A stop that ends just
/// before the default leaves no time to pay. What a borrower who controls the asset as well can lift is not the lender's
/// alone.
fn keeps_from_paying(call: &Call<'_, '_>, loan: &Loan, lender: &Address, lag: &Lag) -> Result<bool, Refusal> {
    let view = call.view();
    if !controls(view, &loan.asset, lender)? || controls(view, &loan.asset, &loan.borrower)? {
        return Ok(false);
    }
    let is_short = |moved: Option<u64>| moved.is_some_and(|moved| moved < DAY_SECONDS * 1_000);
    if is_short(service::moves_for(view, Stopped::Asset(&loan.asset), call.time())?) {
        return Ok(true);
    }
    match service::moves_for(view, Stopped::Account { asset: &loan.asset, account: &loan.debtor }, call.time())? {
        Some(0) => {}
        moved => return Ok(is_short(moved)),
    }
    let (debt, _) = loan.debt_at(lag.now()).map_or_else(overflow, Ok)?;
    let balance = assets::balance_of(view, &loan.asset, &loan.debtor)?;
    let free = balance.free(call.time()).0;
    let frozen_too = free.saturating_add(balance.frozen.0);
    Ok(free < debt.owed() && debt.owed() <= frozen_too)
}

/// Leaves the borrower a day more.
fn wait_for_lender(call: &mut Call<'_, '_>, mut loan: Loan, lag: &Lag) -> Result<(), Refusal> {
    loan.kept_days += 1;
    emit(call, "lending.kept", &[("loan", text(&loan.loan)), ("days", number(loan.kept_days))])?;
    if let Some(time) = loan.default_time() {
        call.set_timer(&loan.loan, lag.comes(time))?;
    }
    put_loan(call, &loan)
}

/// Ends a loan that its lender let nobody repay: the collateral goes back, and nothing is owed here any more.
fn release(call: &mut Call<'_, '_>, mut loan: Loan) -> Result<(), Refusal> {
    loan.give_collateral(call, loan.borrower)?;
    update_credit(call, &loan.borrower, |credit| {
        subtract(&mut credit.totals(&loan.asset).outstanding, loan.principal.0)
    })?;
    loan.status = LoanStatus::Released;
    loan.closed_at = Some(call.time());
    call.cancel_timer(&loan.loan)?;
    put_loan(call, &loan)?;
    emit(call, "lending.closed", &[("loan", text(&loan.loan)), ("outcome", text("released"))])
}

fn require_active(loan: &Loan) -> Result<Address, Refusal> {
    match (loan.status, loan.lender) {
        (LoanStatus::Active, Some(lender)) => Ok(lender),
        _ => reject(ResultCode::WrongPhase, Detail::Stage { stage: Stage::NotRunning }),
    }
}

/// Excluded by the bound on requests.
fn overflow<T>() -> Result<T, Refusal> {
    reject(ResultCode::AmountOverflow, Detail::PLAIN)
}
