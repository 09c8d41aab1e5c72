//! Amounts as people write and read them. On the ledger and in the API an amount is base units; here it has the point
//! that its asset's decimals put into it, exactly, both ways. Under `--json` nothing of this happens to a result.

use super::failure::Failure;
use super::session::Session;
use client::api::Outcome;
use client::connection::RequestError;
use ledger_classes::amount::{Amount, Decimal};
use serde_json::Value;
use std::collections::BTreeMap;

/// The decimals in an asset's record; an asset of items has none.
pub(super) fn decimals_of(record: &Value) -> u8 {
    record["kind"]["fungible"]["decimals"].as_u64().and_then(|decimals| decimals.try_into().ok()).unwrap_or(0)
}

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

/// How amounts of an outcome are shown: decimals by asset, and what fees are paid in.
#[derive(Debug, Default)]
pub(super) struct Units {
    decimals: BTreeMap<String, u8>,
    fee_asset: Option<String>,
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

impl Session {
    /// Digits after the point of an asset's amounts.
    pub(super) async fn decimals(&self, channel: &str, asset: &str) -> Result<u8, Failure> {
        let record: Result<Value, _> = self.connection.get(&["channels", channel, "assets", asset], &[]).await;
        match record {
            Ok(record) => Ok(decimals_of(&record)),
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
        base_units(asset, number, if in_base_units { 0 } else { self.decimals(channel, asset).await? })
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
            return base_units("the fee asset in base units", number, 0);
        }
        match self.fee_asset(channel).await? {
            Some(asset) => self.amount(channel, &asset, number, false).await,
            None => Err(Failure::usage("the channel has no fees: leave --fee-max out")),
        }
    }

    /// What is needed to show an outcome to people. What cannot be read is shown in base units: the outcome matters
    /// more than its point.
    pub(super) async fn units(&self, channel: &str, outcome: &Outcome) -> Units {
        let mut units = Units::default();
        let Some(receipt) = &outcome.receipt else { return units };
        let mut assets: Vec<String> = Vec::new();
        if !receipt.fee.is_zero() {
            units.fee_asset = self.fee_asset(channel).await.ok().flatten();
            assets.extend(units.fee_asset.clone());
        }
        for view in &receipt.events {
            let event = serde_json::to_value(&view.event).unwrap_or_default();
            if event.get("amount").is_some() {
                assets.extend(event["asset"].as_str().map(str::to_owned));
            }
        }
        for asset in assets {
            if !units.decimals.contains_key(&asset)
                && let Ok(decimals) = self.decimals(channel, &asset).await
            {
                units.decimals.insert(asset, decimals);
            }
        }
        units
    }

    /// A contract's arguments, in which an amount may be written with its asset: `"2.50 coin"` becomes `"250"` where
    /// the channel has an asset `coin` of two decimals. All else stays as it is, to the byte.
    pub(super) async fn arguments(&self, channel: &str, document: String) -> Result<String, Failure> {
        let value: Value = ledger_classes::json::from_str(&document)
            .map_err(|error| Failure::usage(format!("not a JSON document: {error}")))?;
        let mut texts = Vec::new();
        collect_amounts(&value, &mut texts);
        let mut document = document;
        for (text, number, asset) in texts {
            let record: Result<Value, _> = self.connection.get(&["channels", channel, "assets", &asset], &[]).await;
            match record {
                Ok(record) => {
                    let amount = base_units(&asset, number, decimals_of(&record))?;
                    document = document.replace(&format!("\"{text}\""), &format!("\"{amount}\""));
                }
                // No such asset: the text was no amount.
                Err(RequestError::Problem(problem)) if problem.status == 404 => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(document)
    }
}

/// Every text in a document that reads `AMOUNT ASSET`.
fn collect_amounts(value: &Value, found: &mut Vec<(String, Decimal, String)>) {
    match value {
        Value::String(text) => {
            let parts = text.split_once(' ').filter(|(_, asset)| ledger_classes::identity::is_label(asset));
            let parsed = parts.and_then(|(number, asset)| Some((number.parse().ok()?, asset)));
            found.extend(parsed.map(|(number, asset)| (text.clone(), number, asset.to_owned())));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_amounts(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| collect_amounts(field, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn amounts_in_arguments_are_those_with_an_asset_behind() {
        let document = json!({ "amount": "2.50 coin", "list": [{ "reserve": "7 eur" }], "title": "12 Angry Men", "n": "250",
            "note": "2,50 coin", "other": "1.5  coin", "number": 5, "key": null });
        let mut found = Vec::new();
        collect_amounts(&document, &mut found);
        let found: Vec<_> = found.iter().map(|(text, _, asset)| (text.as_str(), asset.as_str())).collect();
        assert_eq!(found, [("2.50 coin", "coin"), ("7 eur", "eur")]);
    }

    #[test]
    fn amounts_are_shown_with_the_point_of_their_asset() {
        let units = Units { decimals: BTreeMap::from([("coin".into(), 2)]), fee_asset: Some("coin".into()) };
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
}
