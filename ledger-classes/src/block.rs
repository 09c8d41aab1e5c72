//! Blocks: a header whose roots commit to everything, the envelopes in order, and the seal that makes it final.

use crate::codec::{self, Decode, DecodeError, Encode};
use crate::config::{ChannelConfig, ConfigError, Engine, OrderingPeer};
use crate::hash::{Hash, Tag};
use crate::keys::{self, Address, PublicKey, Signature};
use crate::limits;
use crate::merkle;
use crate::receipt::Receipt;
use crate::state::Writes;
use crate::time::Time;
use crate::transaction::{Encoding, Envelope};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The format version that this build writes.
pub const BLOCK_VERSION: u16 = 1;

/// What a seal signs and a proof ends in.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Format version.
    pub version: u16,
    /// The channel's id; zero in the genesis header, whose hash is the id.
    pub channel: Hash,
    /// 0 for genesis.
    pub height: u64,
    /// Hash of the header before; zero for genesis.
    pub previous: Hash,
    /// Never earlier than the block before.
    pub time: Time,
    /// RFC 9162 root over the encoded envelopes.
    pub transaction_root: Hash,
    /// RFC 9162 root over the receipts' heads.
    pub receipt_root: Hash,
    /// RFC 9162 root over the written keys and values, in key order.
    pub writes_root: Hash,
    /// Root of the tree over the state that the block leaves ([`crate::state_tree`]).
    pub state_root: Hash,
    /// RFC 9162 root over the hashes of all earlier headers.
    pub history_root: Hash,
    /// Height whose block last changed the configuration that rules this block.
    pub config_height: u64,
    /// Address of the proposing peer's seal key.
    pub proposer: Address,
    /// Transactions in the block.
    pub transactions: u32,
    /// Receipts of the block: transactions and timers.
    pub receipts: u32,
}

impl Header {
    /// The header's hash.
    pub fn hash(&self) -> Hash {
        Hash::tagged(Tag::Header, &[&codec::encode(self)])
    }

    /// The id of the channel that this header belongs to.
    pub fn channel_id(&self) -> Hash {
        if self.height == 0 { self.hash() } else { self.channel }
    }
}

/// What makes a block final.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "lowercase", deny_unknown_fields)]
pub enum Seal {
    /// The genesis block needs none: its hash is the channel's id.
    Genesis {},
    /// The ordering peer's signature over tag `chancery/seal/1` and the header's hash.
    Solo {
        /// The seal key that the configuration names.
        key: PublicKey,
        /// The signature.
        signature: Signature,
    },
    /// Raft: the term, and the leader's signature over tag, header hash and term.
    Raft {
        /// The term in which the block was committed.
        term: u64,
        /// The leader's seal key.
        key: PublicKey,
        /// The signature.
        signature: Signature,
    },
}

crate::tagged!(Seal, "engine");

/// Why a seal does not make a header final.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    /// The channel's engine seals otherwise, or genesis is sealed, or a later block is not.
    #[error("the seal is not of the kind that this block needs")]
    Kind,
    /// The key is not an ordering peer's, or not the proposer's.
    #[error("the seal's key is not the proposing orderer's")]
    Key,
    /// The signature does not verify.
    #[error("the seal's signature does not verify")]
    Signature,
}

/// The message that a solo orderer signs.
pub fn solo_seal_message(header_hash: Hash) -> Vec<u8> {
    Tag::Seal.message(&[&header_hash.0])
}

/// The message that a Raft leader signs.
pub fn raft_seal_message(header_hash: Hash, term: u64) -> Vec<u8> {
    Tag::Seal.message(&[&header_hash.0, &term.to_le_bytes()])
}

impl Seal {
    /// Checks this seal on `header` under the engine and the ordering peers of the configuration that rules the block.
    pub fn check(&self, header: &Header, engine: Engine, peers: &[OrderingPeer]) -> Result<(), SealError> {
        let (key, signature, message) = match (self, engine) {
            (Self::Genesis {}, _) => return if header.height == 0 { Ok(()) } else { Err(SealError::Kind) },
            (Self::Solo { key, signature }, Engine::Solo) => (key, signature, solo_seal_message(header.hash())),
            (Self::Raft { term, key, signature }, Engine::Raft) => {
                (key, signature, raft_seal_message(header.hash(), *term))
            }
            _ => return Err(SealError::Kind),
        };
        if header.height == 0 {
            return Err(SealError::Kind);
        }
        if key.address() != header.proposer || !peers.iter().any(|peer| peer.key == *key) {
            return Err(SealError::Key);
        }
        if keys::verify(key, &message, signature) { Ok(()) } else { Err(SealError::Signature) }
    }
}

/// A block as the log holds it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// Encoded envelopes, in order. In the genesis block one envelope of encoding 0 holds the configuration.
    /// Shared, because a block is kept by whoever executes, stores and delivers it.
    pub transactions: Arc<Vec<Vec<u8>>>,
    /// The seal.
    pub seal: Seal,
}

/// Most bytes of an encoded block, header and seal included.
pub const BLOCK_ENCODED_BYTES_MAX: usize = limits::BLOCK_BYTES_MAX + limits::BLOCK_TRANSACTIONS_MAX * 16 + 4096;

/// What a block's body does not agree with its header in.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("block {height}: {what}")]
pub struct BlockError {
    /// The block.
    pub height: u64,
    /// What disagrees.
    pub what: String,
}

impl Block {
    /// Decodes a block.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes, BLOCK_ENCODED_BYTES_MAX)
    }

    /// Checks that the envelopes are the header's.
    pub fn check_body(&self) -> Result<(), BlockError> {
        let fail = |what: &str| Err(BlockError { height: self.header.height, what: what.into() });
        if self.header.version != BLOCK_VERSION {
            return fail("unknown block version");
        }
        if self.header.transactions as usize != self.transactions.len() {
            return fail("the number of transactions differs from the header's");
        }
        if merkle::root(&transaction_leaves(&self.transactions)) != self.header.transaction_root {
            return fail("the transactions differ from the header's transaction root");
        }
        Ok(())
    }

    /// The configuration in a genesis block.
    pub fn genesis_config(&self) -> Result<ChannelConfig, BlockError> {
        let fail = |what: String| BlockError { height: self.header.height, what };
        let [bytes] = self.transactions.as_slice() else {
            return Err(fail("a genesis block holds one envelope".into()));
        };
        let envelope: Envelope =
            codec::decode(bytes, BLOCK_ENCODED_BYTES_MAX).map_err(|error| fail(error.to_string()))?;
        if envelope.encoding != Encoding::Genesis || !envelope.signatures.is_empty() || self.header.height != 0 {
            return Err(fail("not a genesis envelope".into()));
        }
        let config: ChannelConfig =
            codec::decode(&envelope.payload, limits::BLOCK_BYTES_MAX).map_err(|error| fail(error.to_string()))?;
        config.check_genesis().map_err(|error: ConfigError| fail(error.to_string()))?;
        Ok(config)
    }
}

/// Leaf hashes of a block's transactions.
pub fn transaction_leaves(envelopes: &[Vec<u8>]) -> Vec<Hash> {
    envelopes.iter().map(|envelope| merkle::leaf_hash(envelope)).collect()
}

/// Leaf hashes of a block's receipts.
pub fn receipt_leaves(receipts: &[Receipt]) -> Vec<Hash> {
    receipts.iter().map(Receipt::leaf).collect()
}

/// Root over what a block wrote.
pub fn writes_root(writes: &Writes) -> Hash {
    merkle::root(&write_leaves(writes))
}

/// Leaf hashes of what a block wrote: a leaf is key length (u32, little-endian), key, then 0x00 for a removal or 0x01
/// and the value.
pub fn write_leaves(writes: &Writes) -> Vec<Hash> {
    let mut bytes = Vec::with_capacity(256);
    writes
        .iter()
        .map(|(key, value)| {
            bytes.clear();
            bytes.extend_from_slice(&u32::try_from(key.len()).expect("keys are short").to_le_bytes());
            bytes.extend_from_slice(key);
            match value {
                Some(value) => {
                    bytes.push(1);
                    bytes.extend_from_slice(value);
                }
                None => bytes.push(0),
            }
            merkle::leaf_hash(&bytes)
        })
        .collect()
}
