//! What may be proposed.

use crate::execution::assets::Recovery;
use crate::formats::config::ConfigChange;
use crate::primitives::codec::{Decode, Encode};
use serde::Serialize;

/// What a proposal is about.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// Changes of the configuration, in order, all or nothing.
    Configuration(Vec<ConfigChange>),
    /// A successor for a revoked participant.
    Recovery(Recovery),
}
