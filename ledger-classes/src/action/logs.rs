//! Bodies of the logs class.

use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::Hash;
use serde::{Deserialize, Serialize};

/// `log.append`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Append {
    /// 1 to 128 bytes: labels of a-z, 0-9 and hyphen, joined by dots.
    pub topic: String,
    /// Digest of what the record is evidence of.
    #[serde(default)]
    pub digest: Option<Hash>,
    /// Text, at most 16 KiB.
    #[serde(default)]
    pub body: String,
}

/// `log.audit`: the next record of a sequence of administrative acts, posted with the seal key of an ordering peer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// Below `audit.`, but not `audit.channel`, which execution writes.
    pub topic: String,
    /// Which sequence of this topic: a digest that only its source begins with.
    pub source: Hash,
    /// Digest of the record before; zero for the first. Another one is refused.
    pub previous: Hash,
    /// Digest of the source up to and with what this record tells; neither zero nor `previous`.
    pub digest: Hash,
    /// Text, at most 16 KiB.
    pub body: String,
}
