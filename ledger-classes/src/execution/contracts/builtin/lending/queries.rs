//! What one may ask a lending desk.

use super::market::lowest_keeps_others;
use super::records::{self, CreditRecord, Desk, Loan, LoanName, LoanStatus, Quotes};
use super::terms::{CODE, LoanArguments};
use crate::execution::contracts::engine::InstanceView;
use crate::execution::contracts::forms::{Nothing, answer, no_method, parse};
use crate::execution::service;
use crate::formats::detail::Detail;
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::keys::Address;
use crate::primitives::amount::Amount;
use crate::primitives::time::Time;
use serde::{Deserialize, Serialize};

/// Loans in one answer.
const LOANS_LISTED_MAX: usize = 100;
/// Bytes of such an answer, which has one loan at least: one that names its lenders can have 20 KiB.
const LOANS_BYTES_MAX: usize = 256 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoanQuestion {
    loan: String,
    /// Block time for which to tell what is owed.
    #[serde(default)]
    at: Option<Time>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoansQuestion {
    borrower: Address,
    #[serde(default)]
    from: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreditQuestion {
    borrower: Address,
}

#[derive(Serialize)]
struct Due {
    due: Time,
    amount: Amount,
}

#[derive(Serialize)]
struct LoanAnswer {
    #[serde(flatten)]
    loan: Loan,
    /// Due times and amounts as agreed at the funding.
    schedule: Vec<Due>,
    /// Whether the lowest quote is of somebody who has come to control the asset, without being allowed to: the borrower may
    /// cancel, until a day after the deadline.
    lowest_controls: bool,
    /// When it is in default as far as is known now, outages and stops included.
    default_time: Option<Time>,
    /// What repays it all at the time asked for, else at its last event.
    owed: Option<Amount>,
}

pub(super) fn query(view: &InstanceView<'_>, method: &str, arguments: &str) -> Result<String, Refusal> {
    match method {
        "desk" => {
            let Nothing {} = parse(arguments, CODE, method)?;
            let desk: Desk = view.read(records::DESK)?.ok_or_else(records::no_desk)?;
            answer(&desk)
        }
        "loan" => {
            let LoanQuestion { loan, at } = parse(arguments, CODE, method)?;
            let loan = loan_in(view, &loan)?;
            let at = at.or(loan.closed_at).unwrap_or(Time::ZERO);
            let at = loan.closed_at.map_or(at, |closed| at.min(closed));
            let lag = loan.served.lag(view.state(), at, &loan.concerned(view.state())?)?;
            let owed = loan.debt_at(lag.now()).map(|(debt, _)| Amount(debt.owed()));
            let schedule = loan.schedule().into_iter().map(|(due, amount)| Due { due, amount }).collect();
            let known = loan.closed_at.or(service::last_block(view.state())?).unwrap_or(at);
            let lag = loan.served.lag(view.state(), known, &loan.concerned(view.state())?)?;
            let default_time = loan.default_time().map(|time| lag.comes(time));
            let lowest_controls = match loan.status {
                LoanStatus::Quoting => {
                    let standing: Option<Quotes> = view.read(&records::quotes_key(&loan.loan))?;
                    lowest_keeps_others(view.state(), &loan, &standing.unwrap_or_default())?
                }
                _ => false,
            };
            answer(&LoanAnswer { lowest_controls, schedule, default_time, owed, loan })
        }
        "loans" => {
            let LoansQuestion { borrower, from } = parse(arguments, CODE, method)?;
            let prefix = records::borrowed_key(&borrower, "");
            let names: Vec<LoanName> =
                view.list(&prefix, &records::borrowed_key(&borrower, &from), LOANS_LISTED_MAX)?;
            let mut loans = String::from("[");
            for name in names {
                let loan = answer(&loan_in(view, &name.0)?)?;
                if loans.len() > 1 {
                    if loans.len() + loan.len() > LOANS_BYTES_MAX {
                        break;
                    }
                    loans.push(',');
                }
                loans.push_str(&loan);
            }
            loans.push(']');
            Ok(loans)
        }
        "credit" => {
            let CreditQuestion { borrower } = parse(arguments, CODE, method)?;
            match view.read::<CreditRecord>(&records::credit_key(&borrower))? {
                Some(credit) => answer(&credit),
                None => reject(ResultCode::NoCreditRecord, Detail::PLAIN),
            }
        }
        "quotes" => {
            let LoanArguments { loan } = parse(arguments, CODE, method)?;
            loan_in(view, &loan)?;
            let quotes: Option<Quotes> = view.read(&records::quotes_key(&loan))?;
            answer(&quotes.unwrap_or_default().quotes)
        }
        _ => no_method("lending"),
    }
}

fn loan_in(view: &InstanceView<'_>, name: &str) -> Result<Loan, Refusal> {
    view.read(&records::loan_key(name))?.map_or_else(records::no_loan, Ok)
}
