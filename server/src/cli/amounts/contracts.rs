//! Where the built-in contracts have amounts, and of which asset: in what they take, answer and tell
//! (`docs/contracts.md`). The place of an amount is its field's name; its asset is named by the nearest object around it
//! that names one, else by the auction or the loan that the document is about. What a contract of another code says is
//! left as it is.

use crate::cli::amounts::base_units;
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use client::connection::RequestError;
use ledger_classes::primitives::amount::{Amount, Decimal};
use ledger_classes::primitives::identity::is_label;
use serde_json::Value;

/// The fields of a contract's documents that hold amounts, where they hold a text.
const AUCTION: &[&str] = &["amount", "buy_now", "least_bid", "minimum_increment", "price", "reserve", "starting_price"];
const LENDING: &[&str] = &[
    "amount",
    "installment",
    "interest",
    "left",
    "outstanding",
    "owed",
    "principal",
    "repaid",
    "total_borrowed",
    "total_defaulted",
    "total_repaid",
];

/// A built-in contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Auction,
    Lending,
    /// What an instance runs that is older than its contract: the ledger does not say any more.
    Older,
}

impl Code {
    fn of(record: &Value) -> Option<Self> {
        match (record["engine"].as_str(), record["code"].as_str()) {
            (Some("builtin"), Some("auction")) => Some(Self::Auction),
            (Some("builtin"), Some("lending")) => Some(Self::Lending),
            _ => None,
        }
    }

    fn has_amount(self, field: &str) -> bool {
        match self {
            Self::Auction => AUCTION.contains(&field),
            Self::Lending => LENDING.contains(&field),
            Self::Older => AUCTION.contains(&field) || LENDING.contains(&field),
        }
    }
}

/// Shows `change` every amount of a document, with its field and its asset as far as the document names it.
pub(super) fn visit(
    code: Code,
    document: &mut Value,
    around: Option<&str>,
    change: &mut impl FnMut(&str, &mut Value, Option<&str>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    match document {
        Value::Array(items) => items.iter_mut().try_for_each(|item| visit(code, item, around, change)),
        Value::Object(fields) => {
            let named = ["currency", "asset"].iter().find_map(|name| fields.get(*name)?.as_str());
            let asset = named.or(around).map(str::to_owned);
            fields.iter_mut().try_for_each(|(name, value)| match value {
                Value::Object(_) | Value::Array(_) => visit(code, value, asset.as_deref(), change),
                value if code.has_amount(name) => change(name, value, asset.as_deref()),
                _ => Ok(()),
            })
        }
        _ => Ok(()),
    }
}

/// An amount that somebody wrote, perhaps with its asset behind.
fn written(field: &str, text: &str) -> Result<(Decimal, Option<String>), Failure> {
    let (number, asset) = match text.split_once(' ') {
        None => (text, None),
        Some((number, asset)) => (number, Some(asset)),
    };
    match (number.parse(), asset) {
        (Ok(number), None) => Ok((number, None)),
        (Ok(number), Some(asset)) if is_label(asset) => Ok((number, Some(asset.to_owned()))),
        (Err(error), _) => Err(Failure::usage(format!("{field}: {error}"))),
        _ => Err(Failure::usage(format!("{field}: {text:?} is no amount: it reads 2.50, or 2.50 coin"))),
    }
}

/// Whether a document has a field that may hold an amount: others need no questions.
fn may_have_amounts(document: &Value) -> bool {
    match document {
        Value::Array(items) => items.iter().any(may_have_amounts),
        Value::Object(fields) => fields.iter().any(|(name, value)| {
            Code::Older.has_amount(name) && !value.is_object() && !value.is_array() || may_have_amounts(value)
        }),
        _ => false,
    }
}

/// A document, if it may have amounts.
fn with_amounts(document: &str) -> Result<Option<Value>, Failure> {
    let value: Value = ledger_classes::primitives::json::from_str(document)
        .map_err(|error| Failure::usage(format!("not a JSON document: {error}")))?;
    Ok(Some(value).filter(may_have_amounts))
}

/// What to do where a contract may be called, and not be read.
fn unreadable(error: RequestError) -> Failure {
    match error {
        RequestError::Problem(problem) if problem.status == 403 => Failure::refused(
            "what the amounts are in may be read with read:contracts only; give them in base units with --base-units",
        ),
        error => error.into(),
    }
}

impl Session {
    /// What code a contract's new instances run.
    async fn code_of(&self, channel: &str, contract: &str) -> Result<Option<Code>, RequestError> {
        let record: Value = self.connection.get(&["channels", channel, "contracts", contract], &[]).await?;
        Ok(Code::of(&record))
    }

    /// What code an instance runs; an instance of an older version keeps that one's.
    async fn code_of_instance(&self, channel: &str, instance: &str) -> Result<Option<Code>, RequestError> {
        let record: Value = self.connection.get(&["channels", channel, "instances", instance], &[]).await?;
        let contract = record["contract"].as_str().unwrap_or_default();
        let contract: Value = self.connection.get(&["channels", channel, "contracts", contract], &[]).await?;
        Ok(match contract["version"] == record["version"] {
            true => Code::of(&contract),
            false => Some(Code::Older),
        })
    }

    /// The asset that an auction, or a loan of a desk, is in; none if the instance does not say, as of a loan that is not
    /// there yet.
    pub(super) async fn asset_of(
        &self,
        channel: &str,
        instance: &str,
        code: Code,
        loan: Option<&str>,
    ) -> Result<Option<String>, RequestError> {
        let (method, arguments, field) = match (code, loan) {
            (Code::Auction, _) => ("state", "{}".to_owned(), "currency"),
            (Code::Lending, Some(loan)) => ("loan", serde_json::json!({ "loan": loan }).to_string(), "asset"),
            (Code::Lending, None) | (Code::Older, _) => return Ok(None),
        };
        match self.connection.instance_query(channel, instance, method, &arguments).await {
            Ok(answer) => Ok(answer["result"][field].as_str().map(str::to_owned)),
            Err(error @ RequestError::Problem(_)) if !error.is_unavailable() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same for who signs by it: what the peer says is what was said before.
    async fn known_asset_of(
        &self,
        channel: &str,
        instance: &str,
        code: Code,
        loan: Option<&str>,
    ) -> Result<Option<String>, RequestError> {
        let asset = self.asset_of(channel, instance, code, loan).await?;
        if let Some(asset) = &asset {
            let id = self.connection.channel_id(channel).await?;
            let name = loan.map_or_else(|| instance.to_owned(), |loan| format!("{instance} {loan}"));
            self.connection.known().hold_asset_of(id, &name, asset)?;
        }
        Ok(asset)
    }

    /// The arguments of a new instance in base units: amounts are written with the point of their asset, `"2.50"`, and may
    /// name it, `"2.50 coin"`.
    pub(in crate::cli) async fn create_arguments(
        &self,
        channel: &str,
        contract: &str,
        document: String,
    ) -> Result<String, Failure> {
        let Some(value) = with_amounts(&document)? else { return Ok(document) };
        match self.code_of(channel, contract).await.map_err(unreadable)? {
            Some(code) => self.in_base_units(channel, code, None, value).await,
            None => Ok(document),
        }
    }

    /// The same for a call of an instance.
    pub(in crate::cli) async fn call_arguments(
        &self,
        channel: &str,
        instance: &str,
        document: String,
    ) -> Result<String, Failure> {
        let Some(value) = with_amounts(&document)? else { return Ok(document) };
        match self.code_of_instance(channel, instance).await.map_err(unreadable)? {
            Some(Code::Older) => Err(Failure::usage(format!(
                "{instance} runs an older version of its contract, and which of its arguments are amounts is not known \
                 any more: give --base-units, and amounts in base units"
            ))),
            Some(code) => self.in_base_units(channel, code, Some(instance), value).await,
            None => Ok(document),
        }
    }

    async fn in_base_units(
        &self,
        channel: &str,
        code: Code,
        instance: Option<&str>,
        mut value: Value,
    ) -> Result<String, Failure> {
        let mut found = Vec::new();
        visit(code, &mut value.clone(), None, &mut |field, value, asset| {
            let text = match value {
                Value::String(text) => text,
                Value::Null => return Ok(()),
                other => {
                    let what = format!("{field}: an amount is a text, such as \"2.50\", and not {other}");
                    return Err(Failure::usage(what));
                }
            };
            let (number, named) = written(field, text)?;
            found.push((field.to_owned(), number, named, asset.map(str::to_owned)));
            Ok(())
        })?;
        let about = match instance {
            Some(instance) => self.known_asset_of(channel, instance, code, value["loan"].as_str()).await?,
            None => None,
        };
        let mut amounts = Vec::with_capacity(found.len());
        for (field, number, named, asset) in found {
            let asset = asset.or_else(|| about.clone());
            let asset = match (asset, named) {
                (Some(asset), Some(named)) if asset != named => {
                    return Err(Failure::usage(format!("{field} is in {asset}, and not in {named}")));
                }
                (Some(asset), _) | (None, Some(asset)) => asset,
                (None, None) => {
                    let what = "which asset it is in is not known: name it, as in \"2.50 coin\", or give base units \
                                with --base-units";
                    return Err(Failure::usage(format!("{field}: {what}")));
                }
            };
            amounts.push(base_units(&asset, number, self.decimals(channel, &asset).await?)?);
        }
        // In the same order as they were found.
        let mut amounts = amounts.into_iter();
        visit(code, &mut value, None, &mut |_, value, _| {
            if value.is_string() {
                *value = amounts.next().unwrap_or_default().to_string().into();
            }
            Ok(())
        })?;
        Ok(value.to_string())
    }
}

/// What is known of an instance whose documents are shown.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub(super) code: Option<Code>,
    /// What an auction is in.
    pub(super) currency: Option<String>,
}

impl Instance {
    pub(super) async fn ask(session: &Session, channel: &str, name: &str) -> Result<Self, RequestError> {
        let code = session.code_of_instance(channel, name).await?;
        let currency = match code {
            Some(code @ Code::Auction) => session.asset_of(channel, name, code, None).await?,
            _ => None,
        };
        Ok(Self { code, currency })
    }
}

/// Marks what may be amounts, where nobody says which code has told them.
pub(super) fn in_base_units(document: &mut Value) {
    let _ = visit(Code::Older, document, None, &mut |_, value, _| {
        if let Some(amount) = value.as_str().and_then(|text| text.parse::<Amount>().ok()) {
            *value = format!("{amount} base units").into();
        }
        Ok(())
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn places(code: Code, mut document: Value) -> Vec<(String, Option<String>)> {
        let mut found = Vec::new();
        visit(code, &mut document, None, &mut |name, value, asset| {
            if value.is_string() {
                found.push((name.to_owned(), asset.map(str::to_owned)));
            }
            Ok(())
        })
        .unwrap();
        found
    }

    #[test]
    fn an_amount_is_of_the_asset_that_is_named_around_it() {
        let lot = json!({ "item": { "asset": "art", "item": "mona" }, "currency": "eur", "reserve": "5000", "bids": 3,
            "buy_now": null, "highest": { "bidder": "0x", "amount": "6000" }, "title": "6000" });
        let eur = |name: &str| (name.to_owned(), Some("eur".to_owned()));
        assert_eq!(places(Code::Auction, lot), [eur("amount"), eur("reserve")]);
        let loan = json!({ "loan": "l-1", "asset": "eur", "amount": "100000", "rate_bps": 5, "repaid": 1,
            "collateral": { "units": { "asset": "gold", "amount": "30" } }, "schedule": [{ "due": "", "amount": "7" }] });
        let gold = ("amount".to_owned(), Some("gold".to_owned()));
        assert_eq!(places(Code::Lending, loan), [eur("amount"), gold, eur("amount")]);
        assert_eq!(places(Code::Auction, json!({ "amount": "7" })), [("amount".to_owned(), None)]);
    }

    #[test]
    fn an_amount_is_written_with_or_without_its_asset() {
        assert_eq!(written("bid", "2.50 coin").unwrap(), ("2.50".parse().unwrap(), Some("coin".into())));
        assert_eq!(written("bid", "7").unwrap(), ("7".parse().unwrap(), None));
        for text in ["", "2,50", "2.50 ", "2.50  coin", "coin", "2.50 Coin"] {
            assert_eq!(written("bid", text).unwrap_err().exit_code(), 2, "{text:?}");
        }
    }
}
