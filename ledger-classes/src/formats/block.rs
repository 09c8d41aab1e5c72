//! Blocks: a header whose roots commit to everything, the envelopes in order, and the seal that makes it final.
//!
//! Forms only; what a valid block is [`crate::chain`] says.

use crate::formats::blinding::{Blinded, Blinder, BlindingSeed};
use crate::formats::config::{ChannelConfig, ConfigError};
use crate::formats::receipt::Receipt;
use crate::formats::transaction;
use crate::formats::transaction::{Encoding, Envelope};
use crate::keys::{Address, PublicKey, Signature, SigningKey};
use crate::limits;
use crate::merkle;
use crate::primitives::codec;
use crate::primitives::codec::{Decode, DecodeError, Encode};
use crate::primitives::hash::{Hash, Tag};
use crate::primitives::time::Time;
use crate::state::view::Writes;
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
    /// RFC 9162 root over the transactions: each one's id and its envelope's hash ([`transaction::leaf`]).
    pub transaction_root: Hash,
    /// RFC 9162 root over the receipts' heads, each blinded.
    pub receipt_root: Hash,
    /// RFC 9162 root over the batches in which the transactions were verified ([`Batch`]).
    pub batch_root: Hash,
    /// RFC 9162 root over the written keys and values, in key order, blinded as a whole.
    pub writes_root: Hash,
    /// Root of the tree over the state that the block leaves ([`crate::state::tree`]).
    pub state_root: Hash,
    /// RFC 9162 root over the hashes of all earlier headers.
    pub history_root: Hash,
    /// Hash of who may seal the next block ([`crate::formats::config::Orderers::root`]), so that nobody vouches for himself.
    pub orderers_root: Hash,
    /// Height whose block last changed the configuration that rules this block.
    pub config_height: u64,
    /// Address of the proposing peer's seal key.
    pub proposer: Address,
    /// Transactions in the block.
    pub transactions: u32,
    /// Receipts of the block: transactions and timers.
    pub receipts: u32,
    /// Batches of the block.
    pub batches: u32,
}

impl Header {
    /// The header's hash.
    pub fn hash(&self) -> Hash {
        Hash::tagged(Tag::Header, &[&codec::encode(self)])
    }

    /// The header of an encoded block, of which nothing else is looked at.
    pub fn of_block(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode_first(bytes)
    }

    /// The id of the channel that this header belongs to.
    pub fn channel_id(&self) -> Hash {
        if self.height == 0 { self.hash() } else { self.channel }
    }
}

/// An ordering peer's signature on a block.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealSignature {
    /// The seal key that the orderers' record names.
    pub key: PublicKey,
    /// Over [`seal_message`].
    pub signature: Signature,
}

/// What makes a block final. It is outside of the header, so that a change of the leader forces no second execution.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "lowercase", deny_unknown_fields)]
pub enum Seal {
    /// The genesis block needs none: its hash is the channel's id.
    Genesis {},
    /// As many ordering peers as the threshold asks for.
    Quorum {
        /// Where the engine made it final: Raft's term, the round of a BFT engine; 0 where one peer orders alone.
        place: u64,
        /// Theirs, in the order in which the orderers' record lists them.
        signatures: Vec<SealSignature>,
    },
}

crate::tagged!(Seal, "kind");

/// Most bytes of an encoded seal.
pub const SEAL_BYTES_MAX: usize = 32 + limits::ORDERERS_MAX * 130;

/// What an ordering peer signs: ASCII `chancery/seal/1`, 0x00, the header's hash, the place (u64, little-endian).
pub fn seal_message(header_hash: &Hash, place: u64) -> Vec<u8> {
    Tag::Seal.message(&[&header_hash.0, &place.to_le_bytes()])
}

impl Seal {
    /// The seal of a peer that orders alone: a quorum of one.
    pub fn of_one(key: &SigningKey, header_hash: &Hash) -> Self {
        let signature = key.sign(&seal_message(header_hash, 0));
        Self::Quorum { place: 0, signatures: vec![SealSignature { key: key.public(), signature }] }
    }

    /// Whose signatures it carries; nothing of them is checked.
    pub fn signatures(&self) -> &[SealSignature] {
        match self {
            Self::Genesis {} => &[],
            Self::Quorum { signatures, .. } => signatures,
        }
    }
}

/// Transactions that one peer verified together, for whom it vouches, and others may.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Address of the key of who verified it.
    pub origin: Address,
    /// Its number among those of the same origin.
    pub number: u64,
    /// How many transactions are in it: without the size of a tree its root is that of other lists, too.
    pub count: u32,
    /// RFC 9162 root over the leaves of the transactions in it.
    pub digest: Hash,
}

impl Batch {
    /// The batch of transactions with these leaves.
    pub fn of(origin: Address, number: u64, leaves: &[Hash]) -> Self {
        Self { origin, number, count: count(leaves), digest: merkle::root(leaves) }
    }

    /// Whether these are the leaves of its transactions.
    pub fn is_of(&self, leaves: &[Hash]) -> bool {
        self.count == count(leaves) && self.digest == merkle::root(leaves)
    }

    /// What a witness signs: ASCII `chancery/witness/1`, 0x00, the channel's id, origin, number (u64), count (u32), digest;
    /// numbers little-endian.
    pub fn message(&self, channel: &Hash) -> Vec<u8> {
        let Self { origin, number, count, digest } = self;
        Tag::Witness.message(&[&channel.0, &origin.0, &number.to_le_bytes(), &count.to_le_bytes(), &digest.0])
    }

    /// An ordering peer vouches that all of it was verified.
    pub fn witness(&self, key: &SigningKey, channel: &Hash) -> SealSignature {
        SealSignature { key: key.public(), signature: key.sign(&self.message(channel)) }
    }
}

fn count(leaves: &[Hash]) -> u32 {
    u32::try_from(leaves.len()).unwrap_or(u32::MAX)
}

/// A batch of which transactions are in a block, with those who vouch for it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct WitnessedBatch {
    /// The batch.
    pub batch: Batch,
    /// Leaves of all transactions in it, in its order, of which some may be in other blocks, or in none.
    pub leaves: Vec<Hash>,
    /// Over [`Batch::message`], in the order in which the orderers' record lists the peers.
    pub witnesses: Vec<SealSignature>,
}

impl WitnessedBatch {
    /// Its leaf in the batch root: the hash of batch and witnesses, encoded. The transactions' leaves are in its digest.
    fn leaf(&self) -> Hash {
        let mut bytes = codec::encode(&self.batch);
        codec::encode_into(&self.witnesses, &mut bytes);
        merkle::leaf_hash(&bytes)
    }
}

/// RFC 9162 root over batches.
pub fn batch_root(batches: &[WitnessedBatch]) -> Hash {
    let leaves: Vec<Hash> = batches.iter().map(WitnessedBatch::leaf).collect();
    merkle::root(&leaves)
}

/// A block as the log holds it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// Encoded envelopes, in order. In the genesis block one envelope of encoding 0 holds the configuration.
    /// Shared, because a block is kept by whoever executes, stores and delivers it.
    pub transactions: Arc<Vec<Vec<u8>>>,
    /// The batches in which they were verified; none where each proposer vouches for what it proposes.
    pub batches: Vec<WitnessedBatch>,
    /// What the hashes of its receipts, events and writes are blinded with; for who may read all of it.
    pub seed: BlindingSeed,
    /// The seal.
    pub seal: Seal,
}

/// Most bytes of an encoded block, header and seal included.
pub const BLOCK_ENCODED_BYTES_MAX: usize =
    limits::BLOCK_BYTES_MAX + limits::BLOCK_TRANSACTIONS_MAX * 16 + BATCHES_BYTES_MAX + SEAL_BYTES_MAX + 4096;

/// Most bytes of a block's encoded batches.
const BATCHES_BYTES_MAX: usize = limits::BATCH_LEAVES_MAX * 32 + limits::WITNESSES_MAX * 130 + limits::BATCHES_MAX * 80;

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

    /// Its blindings.
    pub fn blinder(&self) -> Blinder {
        Blinder::new(&self.seed, &self.header.previous)
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
        let Some(leaves) = transaction_leaves(&self.transactions) else {
            return fail("a transaction is no envelope");
        };
        if merkle::root(&leaves) != self.header.transaction_root {
            return fail("the transactions differ from the header's transaction root");
        }
        if self.header.batches as usize != self.batches.len() || batch_root(&self.batches) != self.header.batch_root {
            return fail("the batches differ from the header's batch root");
        }
        if !self.batches.iter().all(|listed| listed.batch.is_of(&listed.leaves)) {
            return fail("the transactions of a batch differ from its digest");
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
        if self.seed != BlindingSeed::GENESIS {
            return Err(fail("a genesis block has no blinding seed".into()));
        }
        let config: ChannelConfig =
            codec::decode(&envelope.payload, limits::BLOCK_BYTES_MAX).map_err(|error| fail(error.to_string()))?;
        config.check_genesis().map_err(|error: ConfigError| fail(error.to_string()))?;
        Ok(config)
    }
}

/// Leaf hashes of a block's transactions; `None` if one of them does not begin as an envelope does.
pub fn transaction_leaves(envelopes: &[Vec<u8>]) -> Option<Vec<Hash>> {
    envelopes.iter().map(|envelope| Some(transaction::leaf(&transaction::id_of(envelope)?, envelope))).collect()
}

/// Leaf hashes of a block's receipts.
pub fn receipt_leaves(receipts: &[Receipt], blinder: &Blinder) -> Vec<Hash> {
    receipts.iter().map(|receipt| receipt.leaf(blinder)).collect()
}

/// What a header says of what a block wrote: the root over it, blinded.
pub fn writes_root(writes: &Writes, blinder: &Blinder) -> Hash {
    blinder.leaf(Blinded::Writes, &merkle::root(&write_leaves(writes)).0)
}

/// Leaf hashes of what a block wrote: a leaf is key length (u32, little-endian), key, then 0x00 for a removal or 0x01
/// and the value.
pub fn write_leaves(writes: &Writes) -> Vec<Hash> {
    writes
        .iter()
        .map(|(key, value)| {
            let length = u32::try_from(key.len()).expect("keys are short").to_le_bytes();
            match value {
                Some(value) => merkle::leaf_hash_of(&[&length, key, &[1], value]),
                None => merkle::leaf_hash_of(&[&length, key, &[0]]),
            }
        })
        .collect()
}
