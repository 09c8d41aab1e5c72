//! The first block: it follows from its configuration, and its header's hash is the channel's id.

use super::Invalid;
use crate::execution::genesis_writes;
use crate::formats::blinding::{Blinder, BlindingSeed};
use crate::formats::block::{BLOCK_ENCODED_BYTES_MAX, BLOCK_VERSION, Block, Header, Seal, writes_root};
use crate::formats::config::{ChannelConfig, ConfigError};
use crate::formats::transaction;
use crate::formats::transaction::{Encoding, Envelope};
use crate::primitives::codec;
use crate::primitives::hash::Hash;
use crate::state::tree::{NoPages, StateTree};
use crate::state::view::Writes;
use crate::{merkle, rules};

/// Makes a channel's genesis block: its header's hash is the channel's id.
pub fn genesis(config: &ChannelConfig) -> Result<(Block, Writes), ConfigError> {
    config.check_genesis()?;
    let envelope = Envelope { encoding: Encoding::Genesis, payload: codec::encode(config), signatures: Vec::new() };
    let encoded = codec::encode(&envelope);
    let writes = genesis_writes(config);
    let seed = BlindingSeed::GENESIS;
    let blinder = Blinder::new(&seed, &Hash::ZERO);
    let header = Header {
        version: BLOCK_VERSION,
        channel: Hash::ZERO,
        height: 0,
        previous: Hash::ZERO,
        time: config.created,
        transaction_root: merkle::root(&[transaction::leaf(&envelope.id(), &encoded)]),
        receipt_root: merkle::empty_root(),
        batch_root: merkle::empty_root(),
        writes_root: writes_root(&writes, &blinder),
        state_root: StateTree::of(&writes).state_root(&NoPages, &blinder).expect("all of it is in memory"),
        history_root: merkle::empty_root(),
        orderers_root: config.orderers().root(),
        config_height: 0,
        proposer: config.peers[0].key.address(),
        transactions: 1,
        receipts: 0,
        batches: 0,
    };
    let transactions = vec![encoded].into();
    Ok((Block { header, transactions, batches: Vec::new(), seed, seal: Seal::Genesis {} }, writes))
}

/// What a genesis block says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// The channel's id.
    pub channel: Hash,
    /// Its first configuration.
    pub config: ChannelConfig,
    /// What the block writes.
    pub writes: Writes,
    /// The tree over the state that it leaves.
    pub tree: StateTree,
}

/// Whether a block is the genesis block of a configuration.
pub fn check_genesis(block: &Block) -> Result<Genesis, Invalid> {
    let known = rules::known();
    if let Some(rules) = rules_of(block).filter(|rules| *rules > known) {
        return Err(Invalid::UnknownRules { rules, known });
    }
    let config = block.genesis_config().map_err(|_| Invalid::GenesisMalformed)?;
    let (again, writes) = genesis(&config).map_err(|_| Invalid::GenesisMalformed)?;
    match again == *block {
        true => Ok(Genesis { channel: block.header.hash(), config, tree: StateTree::of(&writes), writes }),
        false => Err(Invalid::GenesisDiffers),
    }
}

/// The number of a genesis block's rules, which its configuration begins with, whatever else is in it.
fn rules_of(block: &Block) -> Option<u32> {
    let envelope: Envelope = codec::decode(block.transactions.first()?, BLOCK_ENCODED_BYTES_MAX).ok()?;
    if envelope.encoding != Encoding::Genesis {
        return None;
    }
    envelope.payload.first_chunk().map(|rules| u32::from_le_bytes(*rules))
}
