//! What the state has of contracts, their versions, their instances and the timers of those.

use crate::keys::Address;
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::time::Time;
use crate::state::record::Record;
use serde::Serialize;

/// A registered contract.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct ContractRecord {
    /// Its name on this channel.
    pub name: String,
    /// Who deployed it; may upgrade and retire it.
    pub owner: Address,
    /// The engine of the current version.
    pub engine: String,
    /// What the engine runs in the current version.
    pub code: String,
    /// The current version, from 1: what new instances are made with.
    pub version: u32,
    /// Whether it makes no new instances.
    pub retired: bool,
    /// Height of the last change.
    pub height: u64,
}

impl Record for ContractRecord {}

/// One version of a contract. Kept for ever: instances and replays need it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct ContractVersion {
    /// The contract.
    pub contract: String,
    /// Number, from 1.
    pub version: u32,
    /// The engine.
    pub engine: String,
    /// What the engine runs.
    pub code: String,
    /// Height at which it was registered.
    pub height: u64,
}

impl Record for ContractVersion {}

/// An instance of a contract.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct InstanceRecord {
    /// Its name on this channel.
    pub instance: String,
    /// The contract.
    pub contract: String,
    /// The version that it was made with and keeps.
    pub version: u32,
    /// Who made it.
    pub created_by: Address,
    /// The account that it owns assets under.
    pub account: Address,
    /// Height at which it was made.
    pub height: u64,
}

impl Record for InstanceRecord {}

/// A timer that is set.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Timer {
    /// When it is due.
    pub due: Time,
    /// Whose.
    pub instance: String,
    /// Its name in the instance.
    pub timer: String,
}

impl Record for Timer {}
