//! Bodies of the logs class.

use crate::codec::{Decode, Encode};
use crate::hash::Hash;
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
