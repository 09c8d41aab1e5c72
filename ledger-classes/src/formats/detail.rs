//! Why a transaction was refused, beside its result code: a numbered detail with typed arguments.
//!
//! Nothing here is words: a detail's number and arguments are what is stored, and two builds that word it differently mean
//! the same. Words are made when it is shown, by [`std::fmt::Display`] of the catalogue's templates, and nowhere else.
//! Numbers are append-only, held by a golden file (`docs/formats/refusal-details.txt`).
//!
//! Relations that always hold: an encoded detail has at most [`limits::DETAIL_BYTES_MAX`] bytes, whatever it tells of, and
//! one form; each detail tells of one class of the ledger or of none ([`Detail::class`]).

mod catalogue;
mod faults;
mod forms;
mod terms;
#[cfg(test)]
mod tests;
mod values;

pub use catalogue::Detail;
pub use faults::{KeyFault, PathFault, PathRefusal};
pub use terms::{Duty, ItemFault, Moment, Often, Part, Party, Resource, Revoked, Stage, Thing};
pub use values::{Argument, Names, Text, Value, Whose};

use crate::formats::outcome::ResultCode;
use crate::limits;
use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

/// A closed enumeration of what arguments of details can be: numbered with a byte, append-only, each with its stable name
/// and its words.
macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $( $variant:ident = $number:literal, $text:literal, $words:literal; )* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name { $( #[doc = concat!("`", $words, "`")] $variant = $number, )* }

        impl $name {
            /// Every one, ascending.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The number in encodings.
            pub const fn number(self) -> u8 {
                self as u8
            }

            /// The stable name, as in JSON.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $text, )* }
            }

            fn words(self) -> &'static str {
                match $crate::primitives::words::are_others() {
                    true => match self { $( Self::$variant => concat!("other … words for ", $text), )* },
                    false => match self { $( Self::$variant => $words, )* },
                }
            }

            /// The table: a line for each with enumeration, number and name.
            #[cfg(test)]
            pub(in crate::formats::detail) fn table() -> String {
                let line = |one: &Self| format!("{} {} {}\n", stringify!($name), one.number(), one.name());
                Self::ALL.iter().map(line).collect()
            }
        }

        impl $crate::primitives::codec::Encode for $name {
            fn encode<E: bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), bincode::error::EncodeError> {
                self.number().encode(encoder)
            }
        }

        impl<C> $crate::primitives::codec::Decode<C> for $name {
            fn decode<D: bincode::de::Decoder<Context = C>>(
                decoder: &mut D,
            ) -> Result<Self, bincode::error::DecodeError> {
                let number = u8::decode(decoder)?;
                let found = Self::ALL.iter().find(|one| one.number() == number);
                found.copied().ok_or(bincode::error::DecodeError::Other(concat!("unknown ", stringify!($name))))
            }
        }

        bincode::impl_borrow_decode!($name);

        impl $crate::formats::detail::Argument for $name {
            const KIND: &'static str = stringify!($name);
            const CLOSED: bool = true;

            fn value(&self) -> $crate::formats::detail::Value {
                $crate::formats::detail::Value::Text(self.name().to_owned())
            }

            #[cfg(test)]
            fn example() -> Self {
                Self::ALL[Self::ALL.len() - 1]
            }
        }
    };
}
use numbered;

impl Detail {
    /// The code says all.
    pub const PLAIN: Self = Self::Plain {};

    /// What there is to tell: the detail in words, or where it is [`Detail::PLAIN`] the code's own.
    pub fn words(&self, code: ResultCode) -> String {
        match self {
            Self::Plain {} => code.words(),
            Self::Expected { contract, method } => {
                let form = forms::form(&contract.to_string(), &method.to_string());
                form.map_or_else(|| self.to_string(), |form| format!("expected {form}"))
            }
            other => other.to_string(),
        }
    }

    /// Whether it tells of administrative acts, whatever the code says.
    pub const fn is_of_acts(&self) -> bool {
        matches!(self.number(), 300..=399)
    }

    /// The arguments by their names.
    pub fn arguments(&self) -> Vec<(&'static str, Value)> {
        let mut arguments = Vec::new();
        self.put_arguments(&mut arguments);
        arguments
    }
}

/// As the API shows it: `{"name": …, "arguments": {…}}`.
impl Serialize for Detail {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Arguments(Vec<(&'static str, Value)>);
        impl Serialize for Arguments {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(Some(self.0.len()))?;
                for (name, value) in &self.0 {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
        let mut shown = serializer.serialize_struct("Detail", 2)?;
        shown.serialize_field("name", self.name())?;
        shown.serialize_field("arguments", &Arguments(self.arguments()))?;
        shown.end()
    }
}

const _: () = assert!(limits::DETAIL_BYTES_MAX <= 1024, "a block's budget counts it for each failure");
