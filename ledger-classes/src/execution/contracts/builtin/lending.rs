//! The lending desk: one instance holds the credit records of borrowers and their loans. A borrower asks for a
//! loan, lenders quote with escrowed funds until a deadline, the lowest rate wins and the earlier of equal ones,
//! and the loan is serviced up to its end. Methods, formulas and codes: `docs/contracts.md`.
//!
//! A relation that always holds: the desk's account owns exactly the escrow of every quote of every request, the
//! collateral of every loan that holds some, and what the desk owes.
//! A loan ends within its quoting time, term and grace time, the stops that its deadlines bear, `KEPT_DAYS_MAX`,
//! `CANCEL_MS`, and outages.
//! Every event of a loan updates the borrower's credit record in the same step.

mod interest;
mod market;
mod queries;
mod records;
mod servicing;
mod terms;
#[cfg(test)]
mod tests;

pub use interest::{YEAR_SECONDS, installment, interest};
pub use records::{CollateralState, CreditRecord, CreditTotals, Desk, Loan, LoanStatus, Quote};
#[cfg(test)]
pub(in crate::execution) use records::{LoanName, Quotes};
pub(super) use terms::CODE;

use super::contract::Contract;
use super::parties::{belongs, check_organizations, organizations};
use crate::execution::contracts::Call;
use crate::execution::contracts::engine::InstanceView;
use crate::execution::contracts::forms::{emit, invalid, no_method, parse, text};
use crate::formats::detail::{Detail, Part, Party, Text, Thing};
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::keys::Address;
use crate::primitives::amount::Amount;
use crate::primitives::hash::Hash;
use serde::Deserialize;
use terms::{CURRENCIES_MAX, GRACE_SECONDS_MAX, LoanArguments};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateArguments {
    currencies: Vec<String>,
    grace_seconds: u64,
    registrars: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegisterArguments {
    borrower: Address,
    #[serde(default)]
    evidence: Option<Hash>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QuoteArguments {
    loan: String,
    rate_bps: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RepayArguments {
    loan: String,
    #[serde(default)]
    amount: Option<Amount>,
}

/// The code `lending`.
pub(super) struct LendingContract;

impl Contract for LendingContract {
    fn create(&self, call: &mut Call<'_, '_>, arguments: &str) -> Result<(), Refusal> {
        let CreateArguments { currencies, grace_seconds, registrars } = parse(arguments, CODE, "create")?;
        if currencies.is_empty() || currencies.len() > CURRENCIES_MAX {
            return invalid(Detail::Between { part: Part::Currencies, least: 1, most: CURRENCIES_MAX as u64 });
        }
        for currency in &currencies {
            // Fails if there is no such fungible asset.
            call.free_balance(currency, &call.caller())?;
        }
        if grace_seconds > GRACE_SECONDS_MAX {
            return invalid(Detail::AtMost { part: Part::GraceSeconds, most: GRACE_SECONDS_MAX });
        }
        check_organizations(call, &registrars, Part::Registrars)?;
        call.write(records::DESK, &Desk { currencies, grace_seconds, registrars })?;
        emit(call, "lending.opened", &[("by", text(call.caller()))])
    }

    fn call(&self, call: &mut Call<'_, '_>, method: &str, arguments: &str) -> Result<(), Refusal> {
        match method {
            "register_borrower" => register(call, &parse(arguments, CODE, method)?),
            "request" => market::request(call, parse(arguments, CODE, method)?),
            "cancel" => market::cancel(call, loan_of(call, method, arguments)?),
            "quote" => {
                let QuoteArguments { loan, rate_bps } = parse(arguments, CODE, method)?;
                let loan = records::loan(call, &loan)?;
                market::quote(call, loan, rate_bps)
            }
            "withdraw_quote" => market::withdraw(call, loan_of(call, method, arguments)?),
            "award" => market::award(call, loan_of(call, method, arguments)?),
            "repay" => {
                let RepayArguments { loan, amount } = parse(arguments, CODE, method)?;
                let loan = records::loan(call, &loan)?;
                servicing::repay(call, loan, amount)
            }
            "review" => servicing::review(call, loan_of(call, method, arguments)?),
            _ => no_method("lending"),
        }
    }

    fn timer(&self, call: &mut Call<'_, '_>, timer: &str) -> Result<(), Refusal> {
        let loan = records::loan(call, timer)?;
        match loan.status {
            LoanStatus::Quoting => market::award(call, loan),
            _ => servicing::review(call, loan),
        }
    }

    fn query(&self, view: &InstanceView<'_>, method: &str, arguments: &str) -> Result<String, Refusal> {
        queries::query(view, method, arguments)
    }
}

fn loan_of(call: &Call<'_, '_>, method: &str, arguments: &str) -> Result<Loan, Refusal> {
    let LoanArguments { loan } = parse(arguments, CODE, method)?;
    records::loan(call, &loan)
}

fn register(call: &mut Call<'_, '_>, arguments: &RegisterArguments) -> Result<(), Refusal> {
    let RegisterArguments { borrower, evidence } = arguments;
    let registrar = match call.identity() {
        identity @ Some(registrar) if belongs(&records::desk(call)?.registrars, identity) => registrar.clone(),
        _ => return reject(ResultCode::CallerRefused, Detail::ContractOnly { party: Party::Registrar }),
    };
    if organizations(call.view(), borrower)?.contains(registrar.organization()) {
        return reject(ResultCode::OwnOrganization, Detail::PLAIN);
    }
    let key = records::credit_key(borrower);
    if call.read_value(&key)?.is_some() {
        return reject(
            ResultCode::CreditRecordExists,
            Detail::Exists { thing: Thing::CreditRecord, name: Text::of(borrower) },
        );
    }
    let height = call.height();
    call.write(&key, &CreditRecord::new(*borrower, registrar, *evidence, height))?;
    emit(call, "lending.registered", &[("borrower", text(borrower))])
}
