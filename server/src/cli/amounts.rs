//! Amounts as people write and read them. On the ledger and in the API an amount is base units; here it has the point
//! that its asset's decimals put into it, exactly, both ways. Under `--json` nothing of this happens to a result.

mod contracts;

use super::failure::Failure;
use super::session::Session;
use client::connection::RequestError;
pub(super) use client::query::decimals_of;
use ledger_classes::formats::outcome::ResultCode;
use ledger_classes::primitives::amount::{Amount, Decimal};
use serde_json::Value;
use std::collections::BTreeMap;

/// Assets, instances and loans that are kept in mind while events are shown; then the oldest are asked for again.
const KNOWN_MAX: usize = 4_096;

/// Puts the point into the amount that a field of a record holds.
pub(super) fn put_point(record: &mut Value, field: &str, decimals: u8) {
    let Some(value) = record.get_mut(field) else { return };
    if let Some(amount) = value.as_str().and_then(|text| text.parse::<Amount>().ok()) {
        *value = amount.to_decimal(decimals).into();
    }
}

/// Base units of a number that somebody wrote.
pub(super) fn base_units(asset: &str, number: Decimal, decimals: u8) -> Result<Amount, Failure> {
    number.to_amount(decimals).map_err(|error| Failure::usage(format!("an amount of {asset}: {error}")))
}

/// Base units that somebody wrote as such.
pub(super) fn plain_units(asset: &str, number: Decimal) -> Result<Amount, Failure> {
    let what = "--base-units takes whole numbers, without a point";
    number.to_amount(0).map_err(|_| Failure::usage(format!("an amount of {asset}: {what}")))
}

/// How amounts are shown: what was asked of the peer while a command runs. None of it ever changes on a ledger.
#[derive(Debug, Default)]
pub(super) struct Units {
    decimals: BTreeMap<String, u8>,
    fee_asset: Option<String>,
    instances: BTreeMap<String, contracts::Instance>,
    /// The assets of loans, by desk and loan.
    loans: BTreeMap<(String, String), String>,
}

impl Units {
    /// An amount with its point; in base units if the asset could not be asked for.
    pub(super) fn show(&self, asset: &str, amount: Amount) -> String {
        match self.decimals.get(asset) {
            Some(decimals) => amount.to_decimal(*decimals),
            None => format!("{amount} base units"),
        }
    }

    /// A fee with its asset.
    pub(super) fn fee(&self, fee: Amount) -> String {
        match &self.fee_asset {
            _ if fee.is_zero() => "0".into(),
            None => format!("{fee} base units"),
            Some(asset) => format!("{} {asset}", self.show(asset, fee)),
        }
    }
}

impl Units {
    /// Forgets, rather than grow for ever.
    fn bound(&mut self) {
        let Self { decimals, instances, loans, .. } = self;
        if decimals.len() + instances.len() + loans.len() >= KNOWN_MAX {
            (*decimals, *instances, *loans) = Default::default();
        }
    }

    /// Asks for an asset's decimals. What cannot be read is shown in base units.
    async fn learn(&mut self, session: &Session, channel: &str, asset: &str) {
        if !self.decimals.contains_key(asset)
            && let Ok(decimals) = session.decimals(channel, asset).await
        {
            self.bound();
            self.decimals.insert(asset.to_owned(), decimals);
        }
    }

    /// Asks what a fee is paid in.
    pub(super) async fn learn_fee(&mut self, session: &Session, channel: &str) {
        self.fee_asset = session.fee_asset(channel).await.ok().flatten();
        if let Some(asset) = self.fee_asset.clone() {
            self.learn(session, channel, &asset).await;
        }
    }

    /// Puts points into an event, in its JSON form.
    pub(super) async fn put_points(&mut self, session: &Session, channel: &str, event: &mut Value) {
        let amount = event["amount"].as_str().and_then(|amount| amount.parse::<Amount>().ok());
        if let (Some(asset), Some(amount)) = (event["asset"].as_str().map(str::to_owned), amount) {
            self.learn(session, channel, &asset).await;
            event["amount"] = self.show(&asset, amount).into();
        }
        let said =
            event["data"].as_str().and_then(|data| ledger_classes::primitives::json::from_str::<Value>(data).ok());
        if let (Some(instance), Some(mut said)) = (event["instance"].as_str().map(str::to_owned), said) {
            self.put_points_of_instance(session, channel, &instance, &mut said).await;
            event["data"] = said.to_string().into();
        }
    }
}

impl Session {
    /// Digits after the point of an asset's amounts.
    pub(super) async fn decimals(&self, channel: &str, asset: &str) -> Result<u8, Failure> {
        match self.connection.decimals(channel, asset).await {
            Ok(decimals) => Ok(decimals),
            Err(RequestError::Problem(problem)) if problem.name() == "asset-unknown" => Err(Failure::Refused {
                message: format!("there is no asset {asset} on this channel (`chancery asset list` shows them)").into(),
                problem: Some(problem),
            }),
            Err(RequestError::Problem(problem)) if problem.status == 403 => Err(Failure::refused(format!(
                "how many decimals {asset} has may be read with read:assets only; give amounts in base units with --base-units"
            ))),
            Err(error) => Err(error.into()),
        }
    }

    /// Base units of an amount of `asset`.
    pub(super) async fn amount(
        &self,
        channel: &str,
        asset: &str,
        number: Decimal,
        in_base_units: bool,
    ) -> Result<Amount, Failure> {
        match in_base_units {
            true => plain_units(asset, number),
            false => base_units(asset, number, self.decimals(channel, asset).await?),
        }
    }

    /// What a channel's fees are paid in.
    async fn fee_asset(&self, channel: &str) -> Result<Option<String>, RequestError> {
        let config = self.connection.channel(channel).await?.config;
        Ok(config.and_then(|config| config.fees.asset))
    }

    /// Base units of the most that somebody wants to pay.
    pub(super) async fn fee_max(&self, channel: &str, number: Decimal, in_base_units: bool) -> Result<Amount, Failure> {
        if number.is_zero() {
            return Ok(Amount::ZERO);
        }
        if in_base_units {
            return plain_units("the fee asset", number);
        }
        match self.fee_asset(channel).await? {
            Some(asset) => {
                let id = self.channel_id(channel).await?;
                self.connection.known().hold_fee_asset(id, &asset).map_err(RequestError::from)?;
                self.amount(channel, &asset, number, false).await
            }
            None => Err(Failure::usage("the channel has no fees: leave --fee-max out")),
        }
    }
}

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
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn amounts_are_shown_with_the_point_of_their_asset() {
        let units = Units {
            decimals: BTreeMap::from([("coin".into(), 2)]),
            fee_asset: Some("coin".into()),
            ..Units::default()
        };
        assert_eq!(units.show("coin", Amount(199_983)), "1999.83");
        assert_eq!(units.show("eur", Amount(5)), "5 base units");
        assert_eq!((units.fee(Amount(3)).as_str(), units.fee(Amount::ZERO).as_str()), ("0.03 coin", "0"));
        assert_eq!(Units::default().fee(Amount(3)), "3 base units");
        let mut record = json!({ "supply": "150", "kind": { "fungible": { "decimals": 2 } }, "title": "150" });
        let decimals = decimals_of(&record);
        put_point(&mut record, "supply", decimals);
        assert_eq!((record["supply"].as_str(), record["title"].as_str()), (Some("1.50"), Some("150")));
        assert_eq!(decimals_of(&json!({ "kind": { "unique": {} } })), 0);
    }

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
