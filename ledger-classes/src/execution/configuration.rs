//! How the state holds configurations: each once, under the height that set it, and which one rules.
//!
//! Relations that always hold: what is in force names the height of a configuration; a configuration rules from the block
//! after the one that set it to the one that sets the next; who orders by it orders since a block not above that one; a
//! record of a configuration begins with its version and the number of its rules, in every version, and what is in force is
//! named by a record of version 1 for ever: so a program that lacks a number finds it, whatever else it cannot read. A block
//! writes the version of the rules that rule it ([`crate::rules::configuration_version`]).

use crate::formats::config::ChannelConfig;
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::{Hash, Tag};
use crate::rules;
use crate::state::record::Record;
use crate::state::view::{ReadError, ReadView, Value, Writes};
use crate::state::{keyspace, record};
use std::sync::Arc;

/// The configuration with the height whose block set it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ConfigRecord {
    /// The configuration.
    pub config: ChannelConfig,
    /// The block that set it; it rules from the next one on.
    pub height: u64,
    /// The block that made those who order by it order: the newest link that a proof of a block under this
    /// configuration needs.
    pub orderers_since: u64,
}

impl Record for ConfigRecord {}

impl ConfigRecord {
    /// The one that a channel begins with.
    pub const fn first(config: ChannelConfig) -> Self {
        Self { config, height: 0, orderers_since: 0 }
    }

    /// The one that the block at `height` sets in place of this one.
    pub fn followed_by(&self, config: ChannelConfig, height: u64) -> Self {
        let same = config.orderers() == self.config.orderers();
        Self { orderers_since: if same { self.orderers_since } else { height }, config, height }
    }

    /// What `channel.configured` names: hash of the record, tag `chancery/content/1`.
    pub fn hash(&self) -> Hash {
        Hash::tagged(Tag::Content, &[&record::to_value(self)])
    }
}

/// Which configuration rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct InForce {
    /// The block that set it.
    pub height: u64,
}

impl Record for InForce {}

/// What a genesis block writes.
pub fn genesis_writes(config: &ChannelConfig) -> Writes {
    let (_, writes) = writes_of(&ConfigRecord::first(config.clone()), config.rules);
    writes.into_iter().map(|(key, value)| (key, Some(value))).collect()
}

/// What sets a configuration where a number of rules is in force, and its hash.
pub(super) fn writes_of(record: &ConfigRecord, in_force: u32) -> (Hash, [(Vec<u8>, Value); 2]) {
    assert_eq!(rules::configuration_version(in_force), ConfigRecord::VERSION, "the only form that there is");
    let value = record::to_value(record);
    let in_force = record::to_value(&InForce { height: record.height });
    let hash = Hash::tagged(Tag::Content, &[&value]);
    (hash, [(keyspace::config(), in_force), (keyspace::config_at(record.height), value)])
}

/// The configuration in force above `view`.
pub fn config_of(view: &dyn ReadView) -> Result<ConfigRecord, ReadError> {
    config_from(&value_in_force(view)?)
}

/// The record of the configuration in force above `view`, which need not be readable.
pub(crate) fn value_in_force(view: &dyn ReadView) -> Result<Value, ReadError> {
    let absent = || ReadError("the channel has no configuration".into());
    let InForce { height } = record::read(view, &keyspace::config())?.ok_or_else(absent)?;
    view.get(&keyspace::config_at(height))?.ok_or_else(absent)
}

/// The number of the rules that a record of a configuration has, whatever its version is.
pub(crate) fn rules_in(value: &[u8]) -> Option<u32> {
    value.get(1..)?.first_chunk().map(|rules| u32::from_le_bytes(*rules))
}

/// What a record of a configuration says.
pub(crate) fn config_from(value: &[u8]) -> Result<ConfigRecord, ReadError> {
    let known = rules::known();
    record::from_value(value).map_err(|error| match rules_in(value) {
        Some(rules) if rules > known => {
            ReadError(format!("the channel has the rules {rules}, and this build knows those up to {known}"))
        }
        _ => error,
    })
}

/// The configuration in force above `view`, for whoever knows one of the channel's already: that is the one, as long as none
/// was set after it.
pub fn config_since(view: &dyn ReadView, known: &Arc<ConfigRecord>) -> Result<Arc<ConfigRecord>, ReadError> {
    match record::read(view, &keyspace::config())? {
        Some(InForce { height }) if height == known.height => Ok(known.clone()),
        _ => config_of(view).map(Arc::new),
    }
}

/// The configuration that the block at `height` set, if it set one.
pub fn config_at(view: &dyn ReadView, height: u64) -> Result<Option<ConfigRecord>, ReadError> {
    view.get(&keyspace::config_at(height))?.map(|value| config_from(&value)).transpose()
}

/// The configuration that the block at `height` set, which wrote `writes`, if it set one.
pub fn config_in(writes: &Writes, height: u64) -> Result<Option<ConfigRecord>, ReadError> {
    match writes.get(&keyspace::config_at(height)) {
        Some(Some(value)) => config_from(value).map(Some),
        _ => Ok(None),
    }
}
