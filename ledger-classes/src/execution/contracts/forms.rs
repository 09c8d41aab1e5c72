//! The JSON that contracts read and write: arguments of methods, answers to queries, and the fields of events.

use super::Call;
use crate::formats::detail::Detail;
use crate::formats::outcome::{Refusal, ResultCode, reject};
use crate::keys::{Address, ParseAddressError};
use serde::de::DeserializeOwned;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use std::fmt::Display;

/// Arguments of a method that takes none: `{}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

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

pub(super) fn no_method<T>(contract: &str) -> Result<T, Refusal> {
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
