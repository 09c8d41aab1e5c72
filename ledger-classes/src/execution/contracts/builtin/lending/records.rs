//! What a lending desk stores, and under which of its own keys.

use super::interest::{Debt, course, due_millis};
use super::terms::DAY_SECONDS;
use crate::execution::contracts::Call;
use crate::execution::contracts::builtin::Parties;
use crate::execution::contracts::builtin::parties::beyond_control;
use crate::execution::contracts::deadlines::{Lag, Served};
use crate::execution::contracts::escrow::Valuable;
use crate::execution::contracts::forms::{emit, invalid, text};
use crate::execution::service::Stopped;
use crate::formats::detail::{Detail, Text, Thing};
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::keys::Address;
use crate::primitives::amount::Amount;
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::Hash;
use crate::primitives::identity::{Identity, is_label};
use crate::primitives::time::Time;
use crate::state::record::Record;
use crate::state::view::{ReadError, ReadView};
use serde::Serialize;

pub(super) const DESK: &[u8] = b"desk";

pub(super) fn credit_key(borrower: &Address) -> Vec<u8> {
    [b"credit/".as_slice(), &borrower.0].concat()
}

pub(super) fn loan_key(loan: &str) -> Vec<u8> {
    [b"loan/".as_slice(), loan.as_bytes()].concat()
}

pub(super) fn quotes_key(loan: &str) -> Vec<u8> {
    [b"quotes/".as_slice(), loan.as_bytes()].concat()
}

/// Lists a loan under its borrower.
pub(super) fn borrowed_key(borrower: &Address, loan: &str) -> Vec<u8> {
    [b"of/".as_slice(), &borrower.0, loan.as_bytes()].concat()
}

/// What a desk was made with.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Desk {
    /// Assets that loans may be in.
    pub currencies: Vec<String>,
    /// Seconds after the last due time before a loan is in default.
    pub grace_seconds: u64,
    /// Organizations that open credit records.
    pub registrars: Vec<String>,
}

impl Record for Desk {}

/// What became of a loan's collateral.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CollateralState {
    /// There is none.
    None,
    /// The desk holds it.
    Held,
    /// It was given back, or passed to the lender.
    Given,
    /// It could not move when the loan ended: it is owed, until it is claimed.
    Owed,
}

/// Takes collateral from the caller. Whatever the assets class says against it is `collateral-refused`; that the caller may
/// not give any is said as everywhere.
pub(super) fn pull_collateral(call: &mut Call<'_, '_>, collateral: &Valuable) -> Result<(), Refusal> {
    collateral.pull(call).map_err(|refusal| match refusal {
        Refusal::Rejected { code, detail } if code != ResultCode::NoRight => {
            Refusal::rejected(ResultCode::CollateralRefused, detail)
        }
        other => other,
    })
}

/// Sums of a borrower in one asset. They are for people to judge by and are held at 2^128 - 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct CreditTotals {
    /// The asset.
    pub asset: String,
    /// Principal of running loans that is not repaid.
    pub outstanding: Amount,
    /// Principal of all loans ever funded.
    pub total_borrowed: Amount,
    /// Everything ever repaid, interest included.
    pub total_repaid: Amount,
    /// What was owed on loans when they went into default.
    pub total_defaulted: Amount,
}

/// The credit record of a borrower, updated by every event of its loans.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct CreditRecord {
    /// Whose.
    pub borrower: Address,
    /// Who opened it.
    pub registrar: Identity,
    /// Digest of what the registrar checked.
    pub evidence: Option<Hash>,
    /// Loans asked for.
    pub requests: u32,
    /// Loans funded.
    pub funded: u32,
    /// Loans repaid in full.
    pub repaid: u32,
    /// Loans in default.
    pub defaulted: u32,
    /// Installments that were not paid by their due time.
    pub late_payments: u32,
    /// Sums by asset.
    pub totals: Vec<CreditTotals>,
    /// Height at which it was opened.
    pub opened_height: u64,
    /// Height of the last event.
    pub last_event_height: u64,
}

impl Record for CreditRecord {}

impl CreditRecord {
    pub(super) const fn new(borrower: Address, registrar: Identity, evidence: Option<Hash>, height: u64) -> Self {
        Self {
            borrower,
            registrar,
            evidence,
            requests: 0,
            funded: 0,
            repaid: 0,
            defaulted: 0,
            late_payments: 0,
            totals: Vec::new(),
            opened_height: height,
            last_event_height: height,
        }
    }

    /// The sums in `asset`.
    pub(super) fn totals(&mut self, asset: &str) -> &mut CreditTotals {
        let index = self.totals.iter().position(|totals| totals.asset == asset).unwrap_or_else(|| {
            self.totals.push(CreditTotals { asset: asset.to_owned(), ..CreditTotals::default() });
            self.totals.len() - 1
        });
        &mut self.totals[index]
    }
}

/// Adds to a sum of a credit record.
pub(super) fn add(sum: &mut Amount, amount: u128) {
    sum.0 = sum.0.saturating_add(amount);
}

/// Subtracts from a sum of a credit record.
pub(super) fn subtract(sum: &mut Amount, amount: u128) {
    sum.0 = sum.0.saturating_sub(amount);
}

/// Where a loan stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LoanStatus {
    /// Waits for quotes, and then for its award.
    Quoting,
    /// Funded and not repaid.
    Active,
    /// Repaid in full.
    Repaid,
    /// Not repaid by the end of the grace time.
    Defaulted,
    /// Nobody quoted.
    Unfunded,
    /// Withdrawn by the borrower.
    Cancelled,
    /// The lender, who controls the asset, kept the borrower from repaying to the last: the collateral went back.
    Released,
}

/// A loan, from its request on.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Loan {
    /// Its name at this desk.
    pub loan: String,
    /// Who borrows.
    pub borrower: Address,
    /// Whose account must be able to move for the loan to be repaid: the borrower's, or its successor's once there was a look
    /// at the loan since the recovery.
    pub debtor: Address,
    /// The borrower's identity, so that it cannot lend to itself from another address.
    pub borrower_identity: Option<Identity>,
    /// The asset borrowed.
    pub asset: String,
    /// Base units borrowed.
    pub amount: Amount,
    /// Seconds from funding to the last due time.
    pub term_seconds: u64,
    /// Number of installments.
    pub installments: u32,
    /// The highest rate the borrower takes, in basis points a year.
    pub rate_max_bps: u32,
    /// Block time from which no quote is taken, as agreed.
    pub quote_deadline: Time,
    /// Block time from which a quote is binding, as agreed.
    pub quotes_bind: Time,
    /// Outages and stops since the request, from the funding on since then: its times are that much later.
    pub served: Served,
    /// What secures it.
    pub collateral: Option<Valuable>,
    /// What became of the collateral.
    pub collateral_state: CollateralState,
    /// Who may quote.
    pub lenders: Parties,
    /// Whether who controls the asset may quote as well: it could keep others from it.
    pub controller_may_quote: bool,
    /// Seconds after the last due time before default.
    pub grace_seconds: u64,
    /// Where it stands.
    pub status: LoanStatus,
    /// Height of the request.
    pub requested_height: u64,
    /// Who lends.
    pub lender: Option<Address>,
    /// The rate, in basis points a year.
    pub rate_bps: u32,
    /// Block time of the funding.
    pub funded_at: Option<Time>,
    /// The equal installment; the last one is what is left.
    pub installment: Amount,
    /// Principal not repaid.
    pub principal: Amount,
    /// Interest accrued up to the last payment, and not repaid.
    pub interest: Amount,
    /// Seconds since the funding for which interest has been accrued.
    pub accrued_seconds: u64,
    /// Everything repaid.
    pub repaid: Amount,
    /// Installments whose due time has passed.
    pub reviewed: u32,
    /// Installments that were not paid by their due time.
    pub late: u32,
    /// Days by which the default came later, since the lender kept the borrower from repaying.
    pub kept_days: u32,
    /// Block time at which it ended.
    pub closed_at: Option<Time>,
}

impl Record for Loan {}

impl Loan {
    /// What must move for the borrower to repay, and until the funding for lenders to quote, and is not the borrower's
    /// to stop.
    pub(super) fn concerned(&self, view: &dyn ReadView) -> Result<Vec<Stopped<'_>>, ReadError> {
        let asset = Stopped::Asset(&self.asset);
        let account = Stopped::Account { asset: &self.asset, account: &self.debtor };
        match self.status {
            LoanStatus::Quoting => beyond_control(view, &[asset], &self.borrower),
            _ => beyond_control(view, &[asset, account], &self.borrower),
        }
    }

    /// By how much the loan's times are later now. Tells of what was added.
    pub(super) fn refresh(&mut self, call: &mut Call<'_, '_>) -> Result<Lag, Refusal> {
        let mut served = self.served;
        let debtor = call.heir(&self.borrower)?;
        if debtor != self.debtor {
            let before = served.lag(call.view(), call.time(), &self.concerned(call.view())?)?;
            self.debtor = debtor;
            served.go_on(call, &before, &self.concerned(call.view())?)?;
        }
        let lag = served.refresh(call, &self.concerned(call.view())?, &self.loan)?;
        self.served = served;
        Ok(lag)
    }

    /// Gives the collateral to `to`, or notes that it is owed.
    pub(super) fn give_collateral(&mut self, call: &mut Call<'_, '_>, to: Address) -> Result<(), Refusal> {
        let Some(collateral) = &self.collateral else { return Ok(()) };
        let given = collateral.give(call, to)?;
        self.collateral_state = if given { CollateralState::Given } else { CollateralState::Owed };
        let fields = [("loan", text(&self.loan)), ("to", text(to)), ("owed", text(!given))];
        emit(call, "lending.collateral_released", &fields)
    }

    /// What is owed at `now`, a time as the loan counts it. Interest runs no longer than to the end of the grace time.
    pub(super) fn debt_at(&self, now: Time) -> Option<(Debt, u64)> {
        let debt = Debt { principal: self.principal.0, interest: self.interest.0 };
        let Some(funded_at) = self.funded_at else { return Some((debt, 0)) };
        let elapsed = now.millis_since(funded_at).div_ceil(1_000);
        let seconds = elapsed.min(self.term_seconds.saturating_add(self.grace_seconds)).max(self.accrued_seconds);
        Some((debt.accrue(self.rate_bps, seconds - self.accrued_seconds)?, seconds))
    }

    /// Due time of installment `number`, from 1, as the loan counts time.
    pub(super) fn due(&self, number: u32) -> Option<Time> {
        Some(self.funded_at?.plus_millis(due_millis(self.term_seconds, self.installments, number)))
    }

    /// The time from which the loan is in default, as it counts time.
    pub(super) fn default_time(&self) -> Option<Time> {
        let later = self.grace_seconds.saturating_add(u64::from(self.kept_days) * DAY_SECONDS);
        Some(self.due(self.installments)?.plus_millis(later.saturating_mul(1_000)))
    }

    /// Due times and what is paid there, as agreed at the funding.
    pub(super) fn schedule(&self) -> Vec<(Time, Amount)> {
        let steps = course(self.amount.0, self.rate_bps, self.term_seconds, self.installments, self.installment.0);
        let paid = steps.unwrap_or_default().into_iter().map(|(paid, _)| Amount(paid));
        (1..=self.installments).filter_map(|number| self.due(number)).zip(paid).collect()
    }
}

/// A loan in its borrower's list.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(in crate::execution) struct LoanName(pub(in crate::execution) String);

impl Record for LoanName {}

/// An offer to lend, with the loan's amount in escrow.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Quote {
    /// Who lends.
    pub lender: Address,
    /// The rate, in basis points a year.
    pub rate_bps: u32,
    /// Who signed for the lender, if it is a participant.
    pub identity: Option<Identity>,
    /// Block time.
    pub time: Time,
    /// Height of its block.
    pub height: u64,
}

/// The quotes of a request that stand, earliest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(in crate::execution) struct Quotes {
    pub(in crate::execution) quotes: Vec<Quote>,
}

impl Record for Quotes {}

impl Quotes {
    /// Which has the lowest rate. Of equal ones the first: quotes are in the order in which they came.
    pub(super) fn lowest(&self) -> Option<usize> {
        let lowest = self.quotes.iter().map(|quote| quote.rate_bps).min()?;
        self.quotes.iter().position(|quote| quote.rate_bps == lowest)
    }
}

pub(super) fn desk(call: &Call<'_, '_>) -> Result<Desk, Refusal> {
    Ok(call.read(DESK)?.ok_or_else(no_desk)?)
}

pub(super) fn no_desk() -> ReadError {
    ReadError("a lending desk has no record".into())
}

pub(super) fn loan(call: &Call<'_, '_>, name: &str) -> Result<Loan, Refusal> {
    if !is_label(name) {
        return invalid(Detail::Named { thing: Thing::Loan });
    }
    call.read(&loan_key(name))?.map_or_else(no_loan, Ok)
}

pub(super) fn no_loan<T>() -> Result<T, Refusal> {
    reject(ResultCode::LoanUnknown, Detail::PLAIN)
}

pub(super) fn put_loan(call: &mut Call<'_, '_>, loan: &Loan) -> Result<(), Refusal> {
    call.write(&loan_key(&loan.loan), loan)
}

pub(super) fn quotes(call: &Call<'_, '_>, loan: &str) -> Result<Quotes, Refusal> {
    Ok(call.read(&quotes_key(loan))?.unwrap_or_default())
}

pub(super) fn put_quotes(call: &mut Call<'_, '_>, loan: &str, quotes: &Quotes) -> Result<(), Refusal> {
    call.write(&quotes_key(loan), quotes)
}

/// Changes a borrower's credit record; the event's height is noted.
pub(super) fn update_credit(
    call: &mut Call<'_, '_>,
    borrower: &Address,
    change: impl FnOnce(&mut CreditRecord),
) -> Result<(), Refusal> {
    let key = credit_key(borrower);
    let Some(mut record) = call.read::<CreditRecord>(&key)? else {
        return reject(
            ResultCode::NoCreditRecord,
            Detail::Unknown { thing: Thing::CreditRecord, name: Text::of(borrower) },
        );
    };
    change(&mut record);
    record.last_event_height = call.height();
    call.write(&key, &record)
}
