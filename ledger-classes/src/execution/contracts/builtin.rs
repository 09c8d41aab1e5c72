//! The built-in library: contracts in Rust, compiled into every peer. They use the same [`Call`] as any later
//! engine. What a contract does under one code name never changes once released: a changed contract gets a new
//! code name, or replays would part.

pub mod auction;
pub mod lending;
mod parties;

pub use parties::Parties;

use super::engine::{ContractEngine, InstanceView};
use super::{Call, escrow};
use crate::formats::detail::Detail;
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::keys::{Address, ParseAddressError};
use crate::state::view::ReadView;
use serde::de::DeserializeOwned;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use std::fmt::Display;

/// The engine `builtin`.
pub struct Library;

/// One contract of the library.
trait Contract: Sync {
    fn create(&self, call: &mut Call<'_, '_>, arguments: &str) -> Result<(), Refusal>;
    fn call(&self, call: &mut Call<'_, '_>, method: &str, arguments: &str) -> Result<(), Refusal>;
    fn timer(&self, call: &mut Call<'_, '_>, timer: &str) -> Result<(), Refusal>;
    fn query(&self, view: &InstanceView<'_>, method: &str, arguments: &str) -> Result<String, Refusal>;
}

/// What the library has, each with the number of the rules that it came with.
pub(crate) const CODES: [(u32, &str); 2] = [(1, auction::CODE), (1, lending::CODE)];

fn contract(code: &str) -> Result<&'static dyn Contract, Refusal> {
    match code {
        auction::CODE => Ok(&auction::AuctionContract),
        lending::CODE => Ok(&lending::LendingContract),
        _ => reject(ResultCode::CodeUnknown, Detail::PLAIN),
    }
}

impl ContractEngine for Library {
    fn since(&self, code: &str) -> Option<u32> {
        CODES.iter().find(|(_, known)| *known == code).map(|(since, _)| *since)
    }

    fn create(&self, code: &str, call: &mut Call<'_, '_>, arguments: &str) -> Result<(), Refusal> {
        contract(code)?.create(call, arguments)
    }

    fn call(&self, code: &str, call: &mut Call<'_, '_>, method: &str, arguments: &str) -> Result<(), Refusal> {
        let contract = contract(code)?;
        match method {
            "claim" => escrow::claim(call, arguments),
            _ => contract.call(call, method, arguments),
        }
    }

    fn timer(&self, code: &str, call: &mut Call<'_, '_>, timer: &str) -> Result<(), Refusal> {
        contract(code)?.timer(call, timer)
    }

    fn query(
        &self,
        code: &str,
        view: &dyn ReadView,
        instance: &str,
        method: &str,
        arguments: &str,
    ) -> Result<String, Refusal> {
        let (contract, view) = (contract(code)?, InstanceView::new(view, instance));
        match method {
            "owed" => escrow::query(&view, arguments),
            _ => contract.query(&view, method, arguments),
        }
    }
}

/// Arguments of a method that takes none: `{}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Parses arguments of a method strictly. What is refused tells which method; what it takes is told where it is shown.
pub(super) fn parse<T: DeserializeOwned>(arguments: &str, contract: &str, method: &str) -> Result<T, Refusal> {
    crate::primitives::json::from_str(arguments).or_else(|_| match mistyped_address(arguments) {
        Some(text) => invalid(Detail::MistypedAddress { text: text.into() }),
        None => invalid(Detail::Expected { contract: contract.into(), method: method.into() }),
    })
}

/// An address in a document whose checksum is wrong: whoever mistyped it is told so, and not what form all has.
fn mistyped_address(arguments: &str) -> Option<&str> {
    let texts = arguments.split('"').skip(1).step_by(2);
    texts.into_iter().find(|text| text.parse::<Address>() == Err(ParseAddressError::Checksum))
}

pub(super) fn invalid<T>(detail: Detail) -> Result<T, Refusal> {
    reject(ResultCode::ArgumentsInvalid, detail)
}

fn no_method<T>(contract: &str) -> Result<T, Refusal> {
    reject(ResultCode::MethodUnknown, Detail::NoSuchMethod { contract: contract.into() })
}

/// An answer to a query.
pub(super) fn answer<T: Serialize>(value: &T) -> Result<String, Refusal> {
    Ok(serde_json::to_string(value).expect("our records have text keys and no failing serializer"))
}

/// A field of an event.
pub(super) enum Field {
    Text(String),
    Number(u64),
}

pub(super) fn text(value: impl Display) -> Field {
    Field::Text(value.to_string())
}

pub(super) fn number(value: impl Into<u64>) -> Field {
    Field::Number(value.into())
}

/// Fields in the order written: events are hashed, so their bytes must not depend on a map's order.
struct Fields<'a>(&'a [(&'a str, Field)]);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, field) in self.0 {
            match field {
                Field::Text(text) => map.serialize_entry(name, text)?,
                Field::Number(number) => map.serialize_entry(name, number)?,
            }
        }
        map.end()
    }
}

pub(super) fn emit(call: &mut Call<'_, '_>, name: &str, fields: &[(&str, Field)]) -> Result<(), Refusal> {
    let data = answer(&Fields(fields))?;
    call.emit(name, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What every argument is read by.
    #[test]
    fn arguments_are_objects_at_every_depth() {
        let read = |text: &str| parse::<(escrow::Valuable, Parties)>(text, "lending", "request").is_ok();
        let collateral = r#"{"units":{"asset":"eur","amount":"5"}}"#;
        let parties = r#"{"organizations":["north"]}"#;
        assert!(read(&format!("[{collateral},{parties}]")));
        assert!(read(&format!(r#"[{collateral},"any"]"#)));
        assert!(!read(&format!(r#"[{{"units":["eur","5"]}},{parties}]"#)));
        assert!(!read(&format!(r#"[{collateral},{{"any":null}}]"#)));
        assert!(parse::<Nothing>("{}", "auction", "end").is_ok());
        for other in ["[]", "null", r#"{"more":1}"#] {
            assert!(parse::<Nothing>(other, "auction", "end").is_err(), "{other}");
        }
    }
}
