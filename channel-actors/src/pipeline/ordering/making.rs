//! Makes the engine that a channel's configuration names.

use super::raft::Raft;
use super::{Begin, EngineError, OrderingEngine, Solo};
use ledger_classes::formats::config::Engine;

/// Makes the engine of a channel.
///
/// # Errors
/// See [`EngineError`].
pub fn engine(begin: Begin<'_>) -> Result<Box<dyn OrderingEngine>, EngineError> {
    match begin.orderers.engine {
        Engine::Solo => Ok(Box::new(Solo)),
        Engine::Raft => Ok(Box::new(Raft::new(begin)?)),
        Engine::Bft => Err(EngineError::NoEngine),
    }
}
