//! Interest and installments in whole base units: simple interest on what is left of the principal, for whole
//! seconds, rounded up; what is paid covers interest first, then principal. No floats, nothing wraps.

/// Seconds of a year of interest: 365 days.
pub const YEAR_SECONDS: u64 = 365 * 86_400;

/// Basis points times seconds that make a whole year at 100 %.
const DIVISOR: u128 = 10_000 * YEAR_SECONDS as u128;

/// Interest on `principal` for `seconds` at `rate_bps` basis points a year:
/// ⌈principal · rate_bps · seconds / (10,000 · 31,536,000)⌉, exact; `None` if it is not below 2^128.
pub fn interest(principal: u128, rate_bps: u32, seconds: u64) -> Option<u128> {
    let factor = u128::from(rate_bps).checked_mul(u128::from(seconds))?;
    // Split, so that the product never needs more than 128 bits where the result does not.
    let whole = (principal / DIVISOR).checked_mul(factor)?;
    let rest = (principal % DIVISOR).checked_mul(factor)?.div_ceil(DIVISOR);
    whole.checked_add(rest)
}

/// What is owed on a loan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Debt {
    pub(super) principal: u128,
    pub(super) interest: u128,
}

impl Debt {
    /// Adds the interest of `seconds`. `None` if the sum is not below 2^128.
    pub(super) fn accrue(self, rate_bps: u32, seconds: u64) -> Option<Self> {
        let interest = self.interest.checked_add(interest(self.principal, rate_bps, seconds)?)?;
        self.principal.checked_add(interest)?;
        Some(Self { interest, ..self })
    }

    /// Principal and interest.
    pub(super) const fn owed(self) -> u128 {
        self.principal.saturating_add(self.interest)
    }

    /// Takes a payment, interest first. More than is owed counts as all of it.
    pub(super) fn pay(self, amount: u128) -> Self {
        let to_interest = amount.min(self.interest);
        let to_principal = (amount - to_interest).min(self.principal);
        Self { principal: self.principal - to_principal, interest: self.interest - to_interest }
    }
}

/// Whole seconds from funding to the due time of installment `number` (from 1) of `installments`, rounded up.
pub(super) fn due_seconds(term_seconds: u64, installments: u32, number: u32) -> u64 {
    due_millis(term_seconds, installments, number).div_ceil(1_000)
}

/// Milliseconds from funding to the due time of installment `number` (from 1) of `installments`: equal parts of
/// the term, rounded down.
pub(super) fn due_millis(term_seconds: u64, installments: u32, number: u32) -> u64 {
    let millis = u128::from(term_seconds) * 1_000 * u128::from(number) / u128::from(installments.max(1));
    u64::try_from(millis).unwrap_or(u64::MAX)
}

/// The equal installment: the least amount which, paid at every due time, leaves nothing. Found by bisection over
/// the exact course of the loan, so it needs no power of a rate. `None` if the loan does not fit 128 bits.
pub fn installment(principal: u128, rate_bps: u32, term_seconds: u64, installments: u32) -> Option<u128> {
    let mut high = Debt { principal, interest: 0 }.accrue(rate_bps, term_seconds)?.owed();
    let mut low = principal / u128::from(installments.max(1));
    // `high` always clears the loan, at the first due time at the latest.
    while low < high {
        let middle = low + (high - low) / 2;
        let left = course(principal, rate_bps, term_seconds, installments, middle)?.last().map_or(0, |step| step.1);
        if left == 0 { high = middle } else { low = middle + 1 }
    }
    Some(high)
}

/// The course of a loan where `payment` is paid at every due time: what is paid there, and what is left then.
pub(super) fn course(
    principal: u128,
    rate_bps: u32,
    term_seconds: u64,
    installments: u32,
    payment: u128,
) -> Option<Vec<(u128, u128)>> {
    let mut debt = Debt { principal, interest: 0 };
    let mut steps = Vec::with_capacity(installments as usize);
    let mut before = 0;
    for number in 1..=installments {
        let seconds = due_seconds(term_seconds, installments, number);
        debt = debt.accrue(rate_bps, seconds.saturating_sub(before))?;
        before = seconds;
        let paid = payment.min(debt.owed());
        debt = debt.pay(paid);
        steps.push((paid, debt.owed()));
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interest_is_exact_and_rounds_up() {
        for (principal, rate_bps, seconds, expected) in [
            (0, 500, YEAR_SECONDS, Some(0)),
            (1_000, 500, 0, Some(0)),
            (1_000, 0, YEAR_SECONDS, Some(0)),
            (1_000, 500, YEAR_SECONDS, Some(50)),
            (1_001, 500, YEAR_SECONDS, Some(51)),
            (1, 1, 1, Some(1)),
            (1_000_000, 10_000, YEAR_SECONDS / 2, Some(500_000)),
            (DIVISOR, 1, 1, Some(1)),
            (DIVISOR + 1, 1, 1, Some(2)),
            (u128::MAX, 10_000, YEAR_SECONDS, Some(u128::MAX)),
            (u128::MAX, 5_000, YEAR_SECONDS, Some(u128::MAX / 2 + 1)),
            (u128::MAX, 10_000, YEAR_SECONDS + 1, None),
            (u128::MAX, u32::MAX, u64::MAX, None),
            (1, u32::MAX, u64::MAX, Some(((u128::from(u32::MAX)) * u128::from(u64::MAX)).div_ceil(DIVISOR))),
        ] {
            assert_eq!(interest(principal, rate_bps, seconds), expected, "{principal} {rate_bps} {seconds}");
        }
    }

    /// An annuity of 1,000.00 at 12 % over 12 parts of a year is 88.849 by the formula with powers; here each of the
    /// twelve interests is rounded up.
    #[test]
    fn equal_installments_clear_the_loan_and_one_unit_less_does_not() {
        assert_eq!(installment(100_000, 1_200, YEAR_SECONDS, 12), Some(8_886));
        for (principal, rate_bps, term, installments) in [
            (1, 0, 1, 1),
            (100_000, 1_200, YEAR_SECONDS, 12),
            (7, 999_999, 3 * YEAR_SECONDS, 5),
            (u128::MAX / 4, 1_000, 2 * YEAR_SECONDS, 24),
            (1_000, 0, 86_400, 3),
        ] {
            let payment = installment(principal, rate_bps, term, installments).expect("fits");
            let left = |payment| course(principal, rate_bps, term, installments, payment).unwrap_or_default();
            assert_eq!(left(payment).last().map(|step| step.1), Some(0));
            assert_ne!(left(payment - 1).last().map(|step| step.1), Some(0), "{principal} {payment}");
        }
        assert_eq!(installment(u128::MAX, 10_000, YEAR_SECONDS, 12), None);
    }
}
