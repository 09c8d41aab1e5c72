//! Bodies of the contracts class. Arguments are a JSON document as text, so that they are signed as written in
//! either payload encoding.

use crate::primitives::codec::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// `contract.deploy` and `contract.upgrade`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deploy {
    /// The contract's name on this channel.
    pub contract: String,
    /// The engine, such as `builtin`.
    pub engine: String,
    /// What the engine runs: for `builtin` the library's name, such as `auction`.
    pub code: String,
}

/// `contract.retire`, by the owner.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retire {
    /// The contract.
    pub contract: String,
}

/// `contract.create`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Create {
    /// The contract.
    pub contract: String,
    /// The instance's name on this channel.
    pub instance: String,
    /// A JSON document.
    pub arguments: String,
}

/// `contract.call`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The instance.
    pub instance: String,
    /// What to do.
    pub method: String,
    /// A JSON document.
    pub arguments: String,
}
