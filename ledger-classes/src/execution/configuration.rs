//! How the state holds configurations: each once, under the height that set it, and a head that says which one rules and
//! what a light client needs of it.
//!
//! Relations that always hold: the head in force names the configuration of its height; a configuration rules from the
//! block after the one that set it to the one that sets the next.

use crate::codec::{Decode, Encode};
use crate::config::{ChannelConfig, Engine, OrderingPeer};
use crate::hash::{Hash, Tag};
use crate::keyspace;
use crate::record::{self, Record};
use crate::state::{ReadError, ReadView, Value, Writes};

/// The configuration with the height whose block set it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ConfigRecord {
    /// The configuration.
    pub config: ChannelConfig,
    /// The block that set it; it rules from the next one on.
    pub height: u64,
}

impl Record for ConfigRecord {}

/// Who seals under a configuration, and which one it is: what `channel.configured` names the hash of, and what a link of
/// a proof carries. It does not grow with the members.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ConfigHead {
    /// The ordering engine.
    pub engine: Engine,
    /// Who orders.
    pub peers: Vec<OrderingPeer>,
    /// The block that set the configuration.
    pub height: u64,
    /// Hash of the configuration's record, tag `chancery/content/1`.
    pub configuration: Hash,
}

impl Record for ConfigHead {}

impl ConfigHead {
    /// The head of a configuration.
    pub fn of(record: &ConfigRecord) -> Self {
        Self::of_value(record, &record::to_value(record))
    }

    fn of_value(ConfigRecord { config, height }: &ConfigRecord, value: &[u8]) -> Self {
        let configuration = Hash::tagged(Tag::Content, &[value]);
        Self { engine: config.engine, peers: config.peers.clone(), height: *height, configuration }
    }
}

/// What a genesis block writes.
pub fn genesis_writes(config: &ChannelConfig) -> Writes {
    let (_, writes) = writes_of(&ConfigRecord { config: config.clone(), height: 0 });
    writes.into_iter().map(|(key, value)| (key, Some(value))).collect()
}

/// What sets a configuration, and the hash of its head.
pub(super) fn writes_of(record: &ConfigRecord) -> (Hash, [(Vec<u8>, Value); 2]) {
    let value = record::to_value(record);
    let head = record::to_value(&ConfigHead::of_value(record, &value));
    let hash = Hash::tagged(Tag::Content, &[&head]);
    (hash, [(keyspace::config(), head), (keyspace::config_at(record.height), value)])
}

/// The configuration in force above `view`.
pub fn config_of(view: &dyn ReadView) -> Result<ConfigRecord, ReadError> {
    let absent = || ReadError("the channel has no configuration".into());
    let head: ConfigHead = record::read(view, &keyspace::config())?.ok_or_else(absent)?;
    config_at(view, head.height)?.ok_or_else(absent)
}

/// The configuration that the block at `height` set, if it set one.
pub fn config_at(view: &dyn ReadView, height: u64) -> Result<Option<ConfigRecord>, ReadError> {
    record::read(view, &keyspace::config_at(height))
}

/// The configuration that the block at `height` set, which wrote `writes`, if it set one.
pub fn config_in(writes: &Writes, height: u64) -> Result<Option<ConfigRecord>, ReadError> {
    match writes.get(&keyspace::config_at(height)) {
        Some(Some(value)) => record::from_value(value).map(Some),
        _ => Ok(None),
    }
}
