//! How amounts are shown while a command runs: by what the peer has said of assets and instances.

use super::contracts::{Code, Instance, in_base_units, visit};
use crate::cli::session::Session;
use ledger_classes::primitives::amount::Amount;
use serde_json::Value;
use std::collections::BTreeMap;

/// Assets, instances and loans that are kept in mind while events are shown; then the oldest are asked for again.
const KNOWN_MAX: usize = 4_096;

/// How amounts are shown: what was asked of the peer while a command runs. None of it ever changes on a ledger.
#[derive(Debug, Default)]
pub(in crate::cli) struct Units {
    decimals: BTreeMap<String, u8>,
    fee_asset: Option<String>,
    instances: BTreeMap<String, Instance>,
    /// The assets of loans, by desk and loan.
    loans: BTreeMap<(String, String), String>,
}

impl Units {
    /// An amount with its point; in base units if the asset could not be asked for.
    pub(in crate::cli) fn show(&self, asset: &str, amount: Amount) -> String {
        match self.decimals.get(asset) {
            Some(decimals) => amount.to_decimal(*decimals),
            None => format!("{amount} base units"),
        }
    }

    /// A fee with its asset.
    pub(in crate::cli) fn fee(&self, fee: Amount) -> String {
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
    pub(in crate::cli) async fn learn_fee(&mut self, session: &Session, channel: &str) {
        self.fee_asset = session.fee_asset(channel).await.ok().flatten();
        if let Some(asset) = self.fee_asset.clone() {
            self.learn(session, channel, &asset).await;
        }
    }

    /// Puts points into an event, in its JSON form.
    pub(in crate::cli) async fn put_points(&mut self, session: &Session, channel: &str, event: &mut Value) {
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

    /// Puts points into what an instance answers or tells. An amount whose asset is not known says that it is base units.
    pub(in crate::cli) async fn put_points_of_instance(
        &mut self,
        session: &Session,
        channel: &str,
        name: &str,
        document: &mut Value,
    ) {
        let instance = match self.instances.get(name) {
            Some(instance) => instance.clone(),
            None => match Instance::ask(session, channel, name).await {
                Ok(instance) => {
                    self.bound();
                    self.instances.insert(name.to_owned(), instance.clone());
                    instance
                }
                // Nothing of a failure is kept: the next document asks again.
                Err(_) => Instance { code: Some(Code::Older), currency: None },
            },
        };
        let Instance { code: Some(code), currency } = instance else { return };
        if code == Code::Older {
            in_base_units(document);
            return;
        }
        let about = match (code, document["loan"].as_str()) {
            (Code::Lending, Some(loan)) if document["asset"].is_null() => {
                let key = (name.to_owned(), loan.to_owned());
                match self.loans.get(&key) {
                    Some(asset) => Some(asset.clone()),
                    None => {
                        let asset = session.asset_of(channel, name, code, Some(loan)).await.unwrap_or_default();
                        self.bound();
                        self.loans.extend(asset.clone().map(|asset| (key, asset)));
                        asset
                    }
                }
            }
            _ => currency,
        };
        let mut assets = Vec::new();
        let _ = visit(code, document, about.as_deref(), &mut |_, _, asset| {
            assets.extend(asset.map(str::to_owned));
            Ok(())
        });
        for asset in assets {
            self.learn(session, channel, &asset).await;
        }
        let _ = visit(code, document, about.as_deref(), &mut |_, value, asset| {
            if let Some(amount) = value.as_str().and_then(|text| text.parse::<Amount>().ok()) {
                *value = self.show(asset.unwrap_or_default(), amount).into();
            }
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
