//! Amounts as people write and read them. On the ledger and in the API an amount is base units; here it has the point
//! that its asset's decimals put into it, exactly, both ways. Under `--json` nothing of this happens to a result.

mod contracts;
mod units;

use super::failure::Failure;
use super::session::Session;
use client::connection::RequestError;
pub(super) use client::query::decimals_of;
use ledger_classes::primitives::amount::{Amount, Decimal};
use serde_json::Value;
pub(super) use units::Units;

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_record_has_the_point_that_its_decimals_say() {
        let mut record = json!({ "supply": "150", "kind": { "fungible": { "decimals": 2 } }, "title": "150" });
        let decimals = decimals_of(&record);
        put_point(&mut record, "supply", decimals);
        assert_eq!((record["supply"].as_str(), record["title"].as_str()), (Some("1.50"), Some("150")));
        assert_eq!(decimals_of(&json!({ "kind": { "unique": {} } })), 0);
    }
}
