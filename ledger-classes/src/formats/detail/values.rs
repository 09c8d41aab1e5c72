//! What arguments of details are made of: bounded texts, and what a value is to those who show it.

use crate::keys::{Address, PublicKey};
use crate::limits::{DETAIL_NAMES_MAX, DETAIL_TEXT_BYTES_MAX};
use crate::primitives::amount::Amount;
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::Hash;
use crate::primitives::time::Time;
use bincode::error::{DecodeError, EncodeError};
use serde::Serialize;
use std::fmt;

/// An argument as JSON shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Names, addresses, hashes, times, and amounts as decimal numbers.
    Text(String),
    /// A count, a height, a position.
    Number(u64),
    /// Several names.
    List(Vec<String>),
}

/// What can be an argument of a detail.
pub trait Argument {
    /// The type as the table of details calls it.
    const KIND: &'static str;
    /// Whether it is one of a closed enumeration, which has words of its own.
    const CLOSED: bool = false;

    /// As JSON shows it.
    fn value(&self) -> Value;

    /// Adds it under its name to what is shown.
    fn put(&self, name: &'static str, out: &mut Vec<(&'static str, Value)>) {
        out.push((name, self.value()));
    }

    /// One of the largest.
    #[cfg(test)]
    fn example() -> Self;
}

macro_rules! shown_as_text {
    ($($type:ty = $kind:literal, $example:expr);* $(;)?) => { $(
        impl Argument for $type {
            const KIND: &'static str = $kind;

            fn value(&self) -> Value {
                Value::Text(self.to_string())
            }

            #[cfg(test)]
            fn example() -> Self {
                $example
            }
        }
    )* };
}

shown_as_text! {
    Text = "text", Self("t".repeat(DETAIL_TEXT_BYTES_MAX));
    Address = "address", Self([0xab; 20]);
    Hash = "hash", Self([0xcd; 32]);
    PublicKey = "key", Self::new(crate::keys::Scheme::EcdsaP256, &[4; 65]).expect("a form");
    Amount = "amount", Self(u128::MAX);
    Time = "time", Self::from_millis(1_900_000_000_000);
}

impl Argument for u64 {
    const KIND: &'static str = "u64";

    fn value(&self) -> Value {
        Value::Number(*self)
    }

    #[cfg(test)]
    fn example() -> Self {
        Self::MAX
    }
}

/// The beginning of a text that may come from anybody: a name that was asked for, an identity.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// Of anything that has one.
    pub fn of(value: impl fmt::Display) -> Self {
        Self::from(value.to_string().as_str())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        let mut end = text.len().min(DETAIL_TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self(text[..end].to_owned())
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// In quotes, as names that somebody made up are told.
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Encode for Text {
    fn encode<E: bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.encode(encoder)
    }
}

impl<C> Decode<C> for Text {
    fn decode<D: bincode::de::Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let text = String::decode(decoder)?;
        if text.len() > DETAIL_TEXT_BYTES_MAX {
            return Err(DecodeError::Other("a text of a detail is too long"));
        }
        Ok(Self(text))
    }
}

bincode::impl_borrow_decode!(Text);

/// An organization, or the consortium's root.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Whose(Option<Text>);

impl Whose {
    /// The organization of this name; the consortium's root has none.
    pub fn of(organization: &str) -> Self {
        Self((!organization.is_empty()).then(|| organization.into()))
    }
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(organization) => organization.fmt(f),
            None if crate::primitives::words::are_others() => f.write_str("other words for it"),
            None => f.write_str("the root"),
        }
    }
}

/// The root is no argument.
impl Argument for Whose {
    const KIND: &'static str = "organization-or-root";

    fn value(&self) -> Value {
        Value::Text(self.0.as_ref().map(ToString::to_string).unwrap_or_default())
    }

    fn put(&self, name: &'static str, out: &mut Vec<(&'static str, Value)>) {
        if self.0.is_some() {
            out.push((name, self.value()));
        }
    }

    #[cfg(test)]
    fn example() -> Self {
        Self(Some(Text::example()))
    }
}

/// The first of several names, and how many more there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    first: Vec<Text>,
    more: u64,
}

impl Names {
    /// Of those.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let (mut first, mut more) = (Vec::new(), 0);
        for name in names {
            // What is cut would be another name.
            if first.len() < DETAIL_NAMES_MAX && name.len() <= crate::limits::NAME_BYTES_MAX {
                first.push(Text::from(name));
            } else {
                more += 1;
            }
        }
        Self { first, more }
    }

    fn list(&self) -> Vec<String> {
        let mut list: Vec<String> = self.first.iter().map(|name| name.0.clone()).collect();
        if self.more > 0 {
            list.push(format!("{} more", self.more));
        }
        list
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.list().join(", "))
    }
}

impl Argument for Names {
    const KIND: &'static str = "names";

    fn value(&self) -> Value {
        Value::List(self.list())
    }

    #[cfg(test)]
    fn example() -> Self {
        Self { first: vec![Text("n".repeat(crate::limits::NAME_BYTES_MAX)); DETAIL_NAMES_MAX], more: 9 }
    }
}

impl Encode for Names {
    fn encode<E: bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.first.encode(encoder)?;
        self.more.encode(encoder)
    }
}

impl<C> Decode<C> for Names {
    fn decode<D: bincode::de::Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let (first, more) = (Vec::<Text>::decode(decoder)?, u64::decode(decoder)?);
        if first.len() > DETAIL_NAMES_MAX || first.iter().any(|name| name.0.len() > crate::limits::NAME_BYTES_MAX) {
            return Err(DecodeError::Other("names of a detail are too many or too long"));
        }
        Ok(Self { first, more })
    }
}

bincode::impl_borrow_decode!(Names);
