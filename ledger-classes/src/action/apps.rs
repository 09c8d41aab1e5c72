//! Bodies of the apps class.

use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::Hash;
use serde::{Deserialize, Serialize};

/// `app.publish`: the first publication makes the sender the owner; later ones are new versions by the owner.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// The application's name on this channel.
    pub app: String,
    /// This version, such as `1.4.0`: 1 to 64 of a-z, A-Z, 0-9, dot, hyphen and plus; never published before.
    pub version: String,
    /// For people to read.
    #[serde(default)]
    pub title: String,
    /// SHA-256 of the bundle.
    pub bundle: Hash,
    /// Contracts of this channel that it uses.
    #[serde(default)]
    pub contracts: Vec<String>,
    /// A JSON document.
    pub settings: String,
}

/// `app.update_settings`, by the owner.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateSettings {
    /// The application.
    pub app: String,
    /// A JSON document.
    pub settings: String,
}

/// `app.retire`, by the owner.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retire {
    /// The application.
    pub app: String,
}
