//! What amounts are told in where the ledger says why.

use ledger_classes::formats::outcome::ResultCode;

/// Results whose reasons tell amounts, as the ledger knows them.
const REASONS_WITH_AMOUNTS: &[ResultCode] = &[
    ResultCode::FeeAboveMax,
    ResultCode::FeeUnpaid,
    ResultCode::InsufficientBalance,
    ResultCode::BalanceNotFree,
    ResultCode::SupplyCapExceeded,
    ResultCode::AllowanceExceeded,
    ResultCode::AllowanceDiffers,
    ResultCode::NotFrozen,
    ResultCode::BidTooLow,
    ResultCode::BidUnfunded,
    ResultCode::QuoteUnfunded,
    ResultCode::RepaymentUnfunded,
    ResultCode::RepaymentTooHigh,
];

/// What amounts in a reason are told in, to be said behind it; nothing behind one without amounts. `result` is the code's
/// name.
pub(super) fn told_in(result: &str, reason: &str) -> &'static str {
    let is_number = |word: &str| word.trim_end_matches([',', ':']).parse::<u128>().is_ok();
    let with = REASONS_WITH_AMOUNTS.iter().any(|code| code.name() == result) && reason.split(' ').any(is_number);
    if with { " (in base units)" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_what_its_amounts_are_told_in() {
        for (result, reason, units) in [
            ("allowance-exceeded", "1001 of voucher needed, 1000 approved by 0xab", " (in base units)"),
            ("allowance-differs", "0xab may still move 5 of coin, not 7", " (in base units)"),
            ("allowance-exceeded", "0xab was revoked since it approved", ""),
            ("fee-unpaid", "Fee unpaid: the fee is 30 of coin, and 0xab has 0 free", " (in base units)"),
            ("too-many-locks", "at most 64 live locks on a balance", ""),
        ] {
            assert_eq!(told_in(result, reason), units, "{result}: {reason}");
        }
    }
}
