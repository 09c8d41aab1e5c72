//! What a transaction costs, and who need not pay.
//!
//! Relations that always hold: what repairs a channel is free, whatever its fees and their asset are; on a channel with
//! fees nothing that is not paid for stays in a block, but the acts that are free and were done; what anybody may post stays
//! only if it was done.

use super::{Context, assets};
use crate::action::Action;
use crate::formats::config::ChannelConfig;
use crate::formats::detail::{Detail, Moment};
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::formats::transaction::VerifiedTransaction;
use crate::limits;
use crate::primitives::amount::Amount;
use crate::primitives::time::Time;
use crate::state::view::{ReadError, ReadView};

/// Whether a transaction owes no fee: all of it is administrative, or ends the pause of the asset that fees are paid in.
/// Only while there is one to end, or the same could be repeated for nothing.
pub(super) fn is_exempt(
    view: &dyn ReadView,
    config: &ChannelConfig,
    transaction: &VerifiedTransaction,
) -> Result<bool, ReadError> {
    let actions = &transaction.transaction().actions;
    let Some(asset) = &config.fees.asset else { return Ok(actions.iter().all(Action::is_administrative)) };
    let (mut acts, mut resumes) = (false, false);
    for action in actions {
        match action {
            action if action.is_administrative() => acts = true,
            Action::AssetResume(body) if body.asset == *asset => resumes = true,
            // Who may end a pause may be a joint account.
            Action::AccountAct(_) => {}
            _ => return Ok(false),
        }
    }
    if resumes {
        return Ok(assets::asset(view, asset)?.is_some_and(|record| record.paused));
    }
    Ok(acts && !actions.iter().any(|action| matches!(action, Action::AccountAct(_))))
}

/// Whether a transaction that fails leaves nothing, since whoever posts it has nothing to lose: it carries its own
/// authority, so that anybody may post it, or it is free where others pay. Records of sequences stay: only an ordering peer
/// makes them, and it posts on before the last one is in a block.
pub(super) fn must_succeed(
    view: &dyn ReadView,
    config: &ChannelConfig,
    transaction: &VerifiedTransaction,
) -> Result<bool, ReadError> {
    let actions = &transaction.transaction().actions;
    if actions.iter().any(|action| matches!(action, Action::LogAudit(_))) {
        return Ok(false);
    }
    match config.fees.asset {
        Some(_) => is_exempt(view, config, transaction),
        None => Ok(actions.iter().all(Action::carries_authority)),
    }
}

/// The fee of a transaction that owes one.
fn fee_of(config: &ChannelConfig, transaction: &VerifiedTransaction) -> Result<Amount, Refusal> {
    let bytes = u128::from(transaction.payload_bytes());
    let fee = Amount(config.fees.base.0.saturating_add(config.fees.per_byte.0.saturating_mul(bytes)));
    if fee > transaction.transaction().fee_max {
        return reject(ResultCode::FeeAboveMax, Detail::Fee { fee });
    }
    Ok(fee)
}

/// Refuses a transaction at the wrong time.
fn check_time(transaction: &VerifiedTransaction, time: Time) -> Result<(), Refusal> {
    let until = transaction.transaction().valid_until;
    if until < time {
        return reject(ResultCode::Expired, Detail::Moment { moment: Moment::ValidUntil, time: until });
    }
    if until.millis_since(time) > limits::VALIDITY_MS_MAX {
        return reject(ResultCode::TooFarAhead, Detail::Moment { moment: Moment::ValidUntil, time: until });
    }
    Ok(())
}

/// What a transaction has paid.
#[derive(Clone, Copy)]
pub(super) struct Paid {
    /// The fee.
    pub(super) fee: Amount,
    /// Whether it leaves nothing if it fails.
    pub(super) leaves_nothing: bool,
}

/// Takes the fee. What it wrote stays when the actions fail. A refusal keeps the transaction out of the block.
pub(super) fn charge(context: &mut Context<'_>, transaction: &VerifiedTransaction) -> Result<Paid, Refusal> {
    check_time(transaction, context.time())?;
    let config = context.config();
    let leaves_nothing = must_succeed(&*context, config, transaction)?;
    let Some(asset) = &config.fees.asset else { return Ok(Paid { fee: Amount::ZERO, leaves_nothing }) };
    if is_exempt(&*context, config, transaction)? {
        return Ok(Paid { fee: Amount::ZERO, leaves_nothing });
    }
    let fee = fee_of(config, transaction)?;
    assets::pay_fee(context, &transaction.sender(), asset, fee, config.fees.collector)?;
    context.keep();
    Ok(Paid { fee, leaves_nothing: false })
}

/// Refuses early what could not pay above `view`, where the sender's transactions that are under way owe `owed`. Returns
/// what this one owes.
pub fn screen_fee(
    view: &dyn ReadView,
    config: &ChannelConfig,
    transaction: &VerifiedTransaction,
    time: Time,
    owed: Amount,
) -> Result<Amount, Refusal> {
    let Some(asset) = &config.fees.asset else { return Ok(Amount::ZERO) };
    if is_exempt(view, config, transaction)? {
        return Ok(Amount::ZERO);
    }
    let fee = fee_of(config, transaction)?;
    assets::screen_fee(view, &transaction.sender(), asset, fee, owed, time)?;
    Ok(fee)
}
