//! What the methods and queries of a desk share: the name of the code, its bounds, and arguments that name a loan.

use super::interest::YEAR_SECONDS;
use crate::execution::contracts::builtin::Parties;
use crate::execution::contracts::escrow::Valuable;
use crate::primitives::amount::Amount;
use crate::primitives::time::Time;
use serde::Deserialize;

/// The name of the code.
pub(in crate::execution::contracts::builtin) const CODE: &str = "lending";

/// Currencies of one desk.
pub(super) const CURRENCIES_MAX: usize = 16;
/// Installments of one loan.
pub(super) const INSTALLMENTS_MAX: u32 = 120;
/// Longest term: 50 years.
pub(super) const TERM_SECONDS_MAX: u64 = 50 * YEAR_SECONDS;
/// Longest grace time: 10 years.
pub(super) const GRACE_SECONDS_MAX: u64 = 10 * YEAR_SECONDS;
/// Highest rate: 10,000 % a year.
pub(super) const RATE_BPS_MAX: u32 = 1_000_000;
/// Longest time for quotes: 366 days.
pub(super) const QUOTING_MS_MAX: u64 = 366 * 86_400 * 1_000;
/// Most days a default is deferred while the lender blocks repayment; then the loan ends without one.
pub(super) const KEPT_DAYS_MAX: u32 = 30;
pub(super) const DAY_SECONDS: u64 = 86_400;
/// How long after the deadline the borrower may still cancel, where the lowest quote is of somebody who came to control the
/// currency.
pub(super) const CANCEL_MS: u64 = DAY_SECONDS * 1_000;
/// Quotes that stand at once for one request; a better one displaces the worst.
pub(super) const QUOTES_MAX: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestArguments {
    pub(super) loan: String,
    pub(super) asset: String,
    pub(super) amount: Amount,
    pub(super) term_seconds: u64,
    pub(super) installments: u32,
    pub(super) rate_max_bps: u32,
    pub(super) quote_deadline: Time,
    #[serde(default)]
    pub(super) collateral: Option<Valuable>,
    #[serde(default)]
    pub(super) lenders: Parties,
    #[serde(default)]
    pub(super) controller_may_quote: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoanArguments {
    pub(super) loan: String,
}
