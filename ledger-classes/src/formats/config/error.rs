//! Why a configuration is none.

use crate::formats::detail::Detail;

/// What is wrong with a configuration.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("channel configuration: {0}")]
pub struct ConfigError(pub Detail);
