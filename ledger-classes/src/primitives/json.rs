//! The one place that reads JSON from outside, TOML's structs with it.
//!
//! serde's derived types take an array where an object is documented, by position, and a unit variant as an object. Here
//! a structure is an object and nothing else, at every depth: [`Strict`] stands between a format and the types. What
//! serde buffers is out of its sight, so nothing that is read is `untagged`, what is `flatten`ed holds scalars only, and
//! an enum with its tag inside the object reads by [`tagged!`](crate::tagged) instead of `#[serde(tag)]`.
//!
//! serde_json refuses trailing text and nesting above 128; unknown and duplicate keys are refused by the types.

mod document;
mod strict;
mod tagged;

pub use document::check_document;
pub use serde_json::Error;
pub use strict::Strict;
#[doc(hidden)]
pub use tagged::{Tagged, read, write};

use serde::{Deserialize, de::DeserializeOwned};

/// Reads a value from all of `bytes`.
#[expect(clippy::disallowed_methods, reason = "made strict here")]
pub fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = T::deserialize(Strict(&mut deserializer))?;
    deserializer.end()?;
    Ok(value)
}

/// Reads a value from all of `text`.
#[expect(clippy::disallowed_methods, reason = "made strict here")]
pub fn from_str<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = T::deserialize(Strict(&mut deserializer))?;
    deserializer.end()?;
    Ok(value)
}

/// Reads a value from a document.
pub fn from_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, Error> {
    T::deserialize(Strict(value))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
