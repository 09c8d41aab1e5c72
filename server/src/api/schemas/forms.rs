//! The forms that schemas are made of: numbers, hashes, labels, lists, objects.

use serde_json::{Value, json};

pub(super) fn text() -> Value {
    json!({ "type": "string" })
}

pub(super) fn number() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

pub(super) fn number_to(most: u64) -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": most })
}

/// Base units, below 2^128.
pub(super) fn amount() -> Value {
    json!({ "type": "string", "pattern": "^[0-9]{1,39}$" })
}

pub(super) fn hex() -> Value {
    json!({ "type": "string", "pattern": "^([0-9a-f]{2})*$" })
}

pub(super) fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

pub(super) fn class() -> Value {
    json!({ "enum": ["assets", "contracts", "apps", "logs"] })
}

/// 32 bytes.
pub(in crate::api) fn hash() -> Value {
    json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })
}

/// A block's number.
pub(in crate::api) fn height() -> Value {
    number_to(u64::MAX)
}

/// The name of an asset, an item, a contract, …
pub(in crate::api) fn label() -> Value {
    json!({ "type": "string", "pattern": "^[a-z0-9-]{1,64}$" })
}

/// The version of an application.
pub(in crate::api) fn version() -> Value {
    json!({ "type": "string", "pattern": "^[a-zA-Z0-9.+-]{1,64}$" })
}

/// An account, as it may be asked for: in lower case. Answers may show the digits in another case.
pub(in crate::api) fn address() -> Value {
    // As it is shown, with its checksum in the case of its letters (EIP-55), or in lower case.
    json!({ "type": "string", "pattern": "^0x[0-9a-fA-F]{40}$" })
}

pub(super) fn or_null(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

pub(super) fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

pub(super) fn list_of(of: Value, least: usize, most: usize) -> Value {
    json!({ "type": "array", "items": of, "minItems": least, "maxItems": most })
}

pub(super) fn named(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// What a peer answers; a later one may say more.
pub(super) fn object(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required })
}

/// What a peer reads: it knows no other keys.
pub(super) fn body(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}
