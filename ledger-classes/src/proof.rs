//! Offline proofs: that a receipt, a transaction or one event is in a sealed block of a channel, checked without
//! trusting whoever sent the proof.
//!
//! The only thing a verifier must know is the channel's id, the hash of its genesis header. From genesis on each
//! configuration vouches for the next ([`Trust`]), the last one names who may seal, the seal makes the header final,
//! and the header's roots hold the rest ([`Evidence`]).

mod state;

pub use state::{StateEvidence, StateProof, VerifiedState};

use crate::block::{BLOCK_VERSION, Block, Header, Seal, SealError};
use crate::codec::{self, Encode};
use crate::config::ChannelConfig;
use crate::event::Event;
use crate::execution::{ConfigHead, ConfigRecord};
use crate::hash::{Hash, HexBytes, Tag};
use crate::limits::{BLOCK_BYTES_MAX, MERKLE_PATH_MAX, TRUST_LINKS_MAX};
use crate::merkle;
use crate::receipt::{ReceiptHead, decode_event};
use crate::record;
use crate::transaction::{ENVELOPE_BYTES_MAX, Envelope};
use serde::{Deserialize, Serialize};

/// Why a proof does not hold.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProofError {
    /// A part does not decode.
    #[error("{0} does not decode")]
    Malformed(&'static str),
    /// The proof is about another channel than the verifier asked for.
    #[error("the proof is about channel {0}, not about the one that was asked for")]
    OtherChannel(Hash),
    /// A seal does not make its header final.
    #[error("block {height}: {source}")]
    Seal {
        /// The block.
        height: u64,
        /// Why.
        source: SealError,
    },
    /// A Merkle path does not lead to its root.
    #[error("the path of {0} does not lead to the header's root")]
    Path(&'static str),
    /// The parts do not belong together.
    #[error("{0}")]
    Mismatch(&'static str),
}

/// A receipt's head with its path to a header's receipt root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptProof {
    /// [`ReceiptHead`], encoded.
    pub head: HexBytes,
    /// RFC 9162 §2.1.3 inclusion path, leaf upwards.
    pub path: Vec<Hash>,
}

/// A transaction with its path to a header's transaction root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransactionProof {
    /// [`Envelope`], encoded.
    pub envelope: HexBytes,
    /// Position among the block's transactions.
    pub index: u32,
    /// Inclusion path.
    pub path: Vec<Hash>,
}

/// One event with its path to its receipt's events root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventProof {
    /// [`Event`], encoded.
    pub event: HexBytes,
    /// Position among the receipt's events.
    pub index: u32,
    /// Inclusion path.
    pub path: Vec<Hash>,
}

/// A sealed header and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// [`Header`], encoded.
    pub header: HexBytes,
    /// [`Seal`], encoded.
    pub seal: HexBytes,
    /// The receipt.
    pub receipt: ReceiptProof,
    /// The transaction of that receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<TransactionProof>,
    /// One event of that receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventProof>,
}

/// A configuration change: evidence of its `channel.configured` event, and the head of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustLink {
    /// Evidence with an event.
    pub evidence: Evidence,
    /// The state value of the configuration's head: who seals, and the configuration's hash.
    pub configuration: HexBytes,
}

/// The way from genesis to the configuration in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// The genesis block, encoded.
    pub genesis: HexBytes,
    /// Every configuration change since, ascending.
    pub links: Vec<TrustLink>,
}

/// Ties evidence to a later header that the verifier already trusts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaterHeader {
    /// The later [`Header`], encoded.
    pub header: HexBytes,
    /// Inclusion path of the evidence's header hash in the later header's history root.
    pub path: Vec<Hash>,
}

/// A complete proof, as `GET …/proof` answers and `chancery verify --proof` reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// Format version, 1.
    pub version: u16,
    /// From genesis to the configuration that rules the block.
    pub trust: Trust,
    /// The block's header and what it holds.
    pub evidence: Evidence,
    /// A later header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub later: Option<LaterHeader>,
}

/// Configurations whose chain from genesis was checked, each with the height of the block that set it.
#[derive(Clone, Debug)]
pub struct VerifiedTrust {
    channel: Hash,
    name: String,
    configurations: Vec<ConfigHead>,
}

/// What checked evidence says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedEvidence {
    /// The channel's id.
    pub channel: Hash,
    /// The sealed header.
    pub header: Header,
    /// The receipt.
    pub receipt: ReceiptHead,
    /// The transaction, if the evidence carries it.
    pub envelope: Option<Envelope>,
    /// The event, if the evidence carries one.
    pub event: Option<Event>,
}

fn decode<T: codec::Decode<()>>(bytes: &HexBytes, bytes_max: usize, what: &'static str) -> Result<T, ProofError> {
    codec::decode(&bytes.0, bytes_max).map_err(|_| ProofError::Malformed(what))
}

/// A header of a version that this build can judge.
fn read_header(bytes: &HexBytes, what: &'static str) -> Result<Header, ProofError> {
    let header: Header = decode(bytes, 4096, what)?;
    if header.version == BLOCK_VERSION { Ok(header) } else { Err(ProofError::Mismatch("unknown header version")) }
}

fn path_leads(
    root: &Hash,
    size: u32,
    index: u32,
    leaf: Hash,
    path: &[Hash],
    what: &'static str,
) -> Result<(), ProofError> {
    let leads =
        path.len() <= MERKLE_PATH_MAX && merkle::verify_inclusion(root, u64::from(size), u64::from(index), &leaf, path);
    if leads { Ok(()) } else { Err(ProofError::Path(what)) }
}

impl Trust {
    /// Walks from genesis to the last configuration. `channel` is the id that the verifier knows; `None` accepts any
    /// and reports it.
    pub fn verify(&self, channel: Option<Hash>) -> Result<VerifiedTrust, ProofError> {
        if self.links.len() > TRUST_LINKS_MAX {
            return Err(ProofError::Mismatch("more configuration changes than a proof may hold"));
        }
        let genesis = Block::decode(&self.genesis.0).map_err(|_| ProofError::Malformed("the genesis block"))?;
        let config: ChannelConfig = genesis
            .check_body()
            .and_then(|()| genesis.genesis_config())
            .map_err(|_| ProofError::Malformed("the genesis block"))?;
        let id = genesis.header.hash();
        if channel.is_some_and(|channel| channel != id) {
            return Err(ProofError::OtherChannel(id));
        }
        let name = config.name.clone();
        let configurations = vec![ConfigHead::of(&ConfigRecord { config, height: 0 })];
        let mut trust = VerifiedTrust { channel: id, name, configurations };
        for link in &self.links {
            // Each link is sealed under the configuration that the one before it set, and under no earlier one: who
            // was an orderer once must not be able to write a new history from there.
            let checked = trust.verify(&link.evidence)?;
            if trust.configurations.last().is_none_or(|last| last.height != checked.header.config_height) {
                return Err(ProofError::Mismatch("a trust link does not follow the one before it"));
            }
            let Some(Event::ChannelConfigured { configuration, .. }) = checked.event else {
                return Err(ProofError::Mismatch("a trust link proves another event than channel.configured"));
            };
            if Hash::tagged(Tag::Content, &[&link.configuration.0]) != configuration {
                return Err(ProofError::Mismatch("a trust link's configuration differs from its event"));
            }
            let record: ConfigHead = record::from_value(&link.configuration.0)
                .map_err(|_| ProofError::Malformed("a trust link's configuration"))?;
            if record.height != checked.header.height {
                return Err(ProofError::Mismatch("a trust link's configuration is of another height"));
            }
            trust.configurations.push(record);
        }
        Ok(trust)
    }
}

impl VerifiedTrust {
    /// The channel's id.
    pub const fn channel(&self) -> Hash {
        self.channel
    }

    /// The channel's name, which no change changes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The head of the configuration that rules a block with this header, if the trust reaches that far. It rules from the block
    /// after the one that set it to the one that sets the next, and no other block, whatever a header says.
    pub fn configuration(&self, header: &Header) -> Option<&ConfigHead> {
        let place = self.configurations.binary_search_by_key(&header.config_height, |record| record.height).ok()?;
        let record = &self.configurations[place];
        let begun = header.height > record.height || header.height == 0;
        let ended = self.configurations.get(place + 1).is_some_and(|next| header.height > next.height);
        (begun && !ended).then_some(record)
    }

    /// Checks a sealed header.
    pub fn verify_header(&self, header: &Header, seal: &Seal) -> Result<(), ProofError> {
        if header.channel_id() != self.channel {
            return Err(ProofError::OtherChannel(header.channel_id()));
        }
        let config = self
            .configuration(header)
            .ok_or(ProofError::Mismatch("the header's configuration is not in the trust part of the proof"))?;
        seal.check(header, config.engine, &config.peers)
            .map_err(|source| ProofError::Seal { height: header.height, source })
    }

    /// Checks evidence: seal, receipt, and what it carries beside.
    pub fn verify(&self, evidence: &Evidence) -> Result<VerifiedEvidence, ProofError> {
        let header = read_header(&evidence.header, "the header")?;
        let seal: Seal = decode(&evidence.seal, 64 * 1024, "the seal")?;
        self.verify_header(&header, &seal)?;
        let receipt: ReceiptHead = decode(&evidence.receipt.head, 64 * 1024, "the receipt")?;
        if receipt.height != header.height {
            return Err(ProofError::Mismatch("the receipt is of another height"));
        }
        let leaf = merkle::leaf_hash(&evidence.receipt.head.0);
        let path = &evidence.receipt.path;
        path_leads(&header.receipt_root, header.receipts, receipt.index, leaf, path, "the receipt")?;
        let envelope = match &evidence.transaction {
            None => None,
            Some(proof) => {
                let leaf = merkle::leaf_hash(&proof.envelope.0);
                let root = &header.transaction_root;
                path_leads(root, header.transactions, proof.index, leaf, &proof.path, "the transaction")?;
                let envelope: Envelope = decode(&proof.envelope, ENVELOPE_BYTES_MAX, "the transaction")?;
                if envelope.id() != receipt.id {
                    return Err(ProofError::Mismatch("the receipt is of another transaction"));
                }
                Some(envelope)
            }
        };
        let event = match &evidence.event {
            None => None,
            Some(proof) => {
                let leaf = merkle::leaf_hash(&proof.event.0);
                path_leads(&receipt.events_root, receipt.events, proof.index, leaf, &proof.path, "the event")?;
                Some(decode_event(&proof.event.0).map_err(|_| ProofError::Malformed("the event"))?)
            }
        };
        Ok(VerifiedEvidence { channel: self.channel, header, receipt, envelope, event })
    }
}

impl Proof {
    /// Checks everything. `channel` is the id that the verifier knows; `None` accepts any and reports it.
    pub fn verify(&self, channel: Option<Hash>) -> Result<VerifiedEvidence, ProofError> {
        if self.version != 1 {
            return Err(ProofError::Mismatch("unknown proof version"));
        }
        let trust = self.trust.verify(channel)?;
        let checked = trust.verify(&self.evidence)?;
        if let Some(later) = &self.later {
            let header = read_header(&later.header, "the later header")?;
            if header.channel_id() != checked.channel || header.height <= checked.header.height {
                return Err(ProofError::Mismatch("the later header is not a later one of this channel"));
            }
            let leaf = merkle::leaf_hash(&checked.header.hash().0);
            let (size, index) = (header.height, checked.header.height);
            if later.path.len() > MERKLE_PATH_MAX
                || !merkle::verify_inclusion(&header.history_root, size, index, &leaf, &later.path)
            {
                return Err(ProofError::Path("the header in the later header's history"));
            }
        }
        Ok(checked)
    }
}

/// Encodes a part of a proof.
pub fn part<T: Encode>(value: &T) -> HexBytes {
    let bytes = codec::encode(value);
    debug_assert!(bytes.len() <= BLOCK_BYTES_MAX * 2);
    HexBytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{receipt_leaves, solo_seal_message};
    use crate::chain::genesis;
    use crate::config::OrderingPeer;
    use crate::execution::test_support::{open_config, signer};
    use crate::keys::SigningKey;
    use crate::outcome::ResultCode;
    use crate::receipt::Receipt;

    /// A channel's configuration under which `orderer` seals.
    fn config(orderer: u8) -> ChannelConfig {
        let mut config = open_config();
        config.peers = vec![OrderingPeer { identity: config.peers[0].identity.clone(), key: signer(orderer).public() }];
        config
    }

    /// A block at `height` that `orderer` seals, saying that the configuration of `config_height` rules it, and whose
    /// only receipt has only this event.
    fn evidence(genesis: &Block, orderer: &SigningKey, height: u64, config_height: u64, event: &Event) -> Evidence {
        let (id, code, message) = (Hash([1; 32]), ResultCode::Done, String::new());
        let receipt =
            Receipt::new(id, height, 0, code, message, crate::amount::Amount::ZERO, std::slice::from_ref(event));
        let header = Header {
            channel: genesis.header.hash(),
            height,
            receipt_root: merkle::root(&receipt_leaves(std::slice::from_ref(&receipt))),
            config_height,
            proposer: orderer.public().address(),
            receipts: 1,
            ..genesis.header.clone()
        };
        let seal = Seal::Solo { key: orderer.public(), signature: orderer.sign(&solo_seal_message(header.hash())) };
        Evidence {
            header: part(&header),
            seal: part(&seal),
            receipt: ReceiptProof { head: part(&receipt.head), path: vec![] },
            transaction: None,
            event: Some(EventProof { event: HexBytes(receipt.events[0].clone()), index: 0, path: vec![] }),
        }
    }

    /// A link by `orderer`, under the configuration of `config_height`, to one under which `next` seals.
    fn link(genesis: &Block, orderer: u8, height: u64, config_height: u64, next: u8) -> TrustLink {
        let value = record::to_value(&ConfigHead::of(&ConfigRecord { config: config(next), height }));
        let configuration = Hash::tagged(Tag::Content, &[&value]);
        let event = Event::ChannelConfigured { proposal: Hash::ZERO, height: height + 1, configuration };
        TrustLink {
            evidence: evidence(genesis, &signer(orderer), height, config_height, &event),
            configuration: HexBytes(value.to_vec()),
        }
    }

    /// Links carried whole configurations: 46.8 MB for 20.7 KB of changes. As many as a proof may have, each of the largest
    /// size, stay below what readers take, 64 MiB.
    #[test]
    fn the_longest_proof_of_the_largest_links_can_be_read() {
        let (genesis, _) = genesis(&config(1)).expect("a valid configuration");
        let mut link = link(&genesis, 1, u64::from(u32::MAX), 0, 2);
        // The longest identity of an ordering peer and the longest key, and paths of the fullest block and receipt.
        let grown = 2 * (crate::limits::IDENTITY_BYTES_MAX + 65);
        link.configuration.0.extend(vec![0; grown]);
        let receipts = crate::limits::BLOCK_TRANSACTIONS_MAX + crate::limits::BLOCK_TIMERS_MAX + 1;
        link.evidence.receipt.path = vec![Hash::ZERO; receipts.ilog2() as usize + 1];
        if let Some(event) = &mut link.evidence.event {
            event.path = vec![Hash::ZERO; crate::limits::EVENTS_MAX.ilog2() as usize + 1];
        }
        let bytes = serde_json::to_vec(&link).expect("it serializes").len() + 1;
        assert!(bytes <= 6 * 1024, "{bytes} bytes a link");
        let genesis = 2 * crate::limits::CONFIG_BYTES_MAX;
        let transaction = 2 * crate::limits::PAYLOAD_BYTES_MAX;
        assert!(TRUST_LINKS_MAX * bytes + genesis + transaction < 56 * 1024 * 1024);
    }

    /// Orderer 1 seals from genesis to block 10, which hands over to orderer 2; 2 hands over to 3 at block 20.
    /// Before links had to follow each other, orderer 1 could seal a block above 10 that named the genesis
    /// configuration, and any configuration from there on.
    #[test]
    fn an_orderer_seals_only_while_its_configuration_rules() {
        let (genesis, _) = genesis(&config(1)).expect("a valid configuration");
        let trust = |links: &[(u8, u64, u64, u8)]| {
            let links = links.iter().map(|&(by, height, under, next)| link(&genesis, by, height, under, next));
            Trust { genesis: part(&genesis), links: links.collect() }.verify(Some(genesis.header.hash()))
        };
        let good = [(1, 10, 0, 2), (2, 20, 10, 3)];
        let trusted = trust(&good).expect("a good chain");
        for (links, what) in [
            (vec![(1, 10, 0, 2), (1, 20, 0, 1)], "a removed orderer goes on"),
            (vec![(1, 10, 0, 2), (1, 5, 0, 1)], "a removed orderer writes the past anew"),
            (vec![(1, 10, 0, 2), (1, 10, 0, 1)], "two changes in one block"),
            (vec![(1, 10, 0, 2), (2, 10, 10, 3)], "a change in the block of the change before"),
            (vec![(1, 10, 0, 2), (2, 5, 10, 3)], "a change before its own configuration"),
            (vec![(1, 10, 0, 2), (1, 20, 10, 1)], "a removed orderer under the new configuration"),
            (vec![(2, 20, 10, 3)], "a gap"),
        ] {
            assert!(trust(&links).is_err(), "{what}");
        }
        let event = Event::AssetPaused { asset: "coin".into() };
        for (by, height, under, holds) in [
            (1, 1, 0, true),
            (1, 10, 0, true),
            (1, 11, 0, false),
            (1, 30, 0, false),
            (2, 10, 10, false),
            (2, 11, 10, true),
            (2, 20, 10, true),
            (2, 21, 10, false),
            (3, 21, 20, true),
            (3, 21, 15, false),
            (1, 21, 20, false),
        ] {
            let verdict = trusted.verify(&evidence(&genesis, &signer(by), height, under, &event));
            assert_eq!(verdict.is_ok(), holds, "{by} at {height} under {under}: {verdict:?}");
        }
    }
}
