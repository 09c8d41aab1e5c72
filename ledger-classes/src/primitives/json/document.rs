//! Any JSON document that every reader reads alike.

use super::{Error, from_str};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;

/// Refuses what is not JSON, and what readers of JSON take differently: a key twice in an object (RFC 8259 §4), half of a
/// surrogate pair in a text (§8.2).
pub fn check_document(text: &str) -> Result<(), Error> {
    from_str::<Document>(text).map(|Document| ())
}

/// What was read, of which nothing is kept.
struct Document;

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Document)
    }
}

macro_rules! taken {
    ($($method:ident($type:ty))*) => { $(
        fn $method<E: de::Error>(self, _: $type) -> Result<Self, E> {
            Ok(self)
        }
    )* };
}

impl<'de> Visitor<'de> for Document {
    type Value = Self;

    taken! { visit_bool(bool) visit_i64(i64) visit_u64(u64) visit_f64(f64) visit_str(&str) }

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON document")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut keys = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !keys.insert(key) {
                return Err(de::Error::custom("a key is there twice"));
            }
            map.next_value::<Self>()?;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_what_every_reader_reads_alike() {
        for good in ["{}", "null", "1e3", r#""\ud83d\ude00""#, r#"[{"a":[true,-1.5,"b"]},{"a":{"a":null}}]"#] {
            assert!(check_document(good).is_ok(), "{good}");
        }
        for bad in
            ["", "{", "{} 1", r#"{"a":1,"a":2}"#, r#"[{"b":{"a":1,"\u0061":2}}]"#, r#""\ud800""#, r#"{"\udc00":1}"#]
        {
            assert!(check_document(bad).is_err(), "{bad}");
        }
    }
}
