//! Offline proofs: that a receipt, a transaction or one event is in a sealed block of a channel, checked without
//! trusting whoever sent the proof.
//!
//! The only thing a verifier must know is the channel's id, the hash of its genesis header. It names who may seal; who they
//! are changes only with a block that they have sealed themselves ([`Trust`]); the seal makes a header final, and its roots
//! hold the rest ([`Evidence`]).

mod state;

pub use state::{StateEvidence, StateProof, VerifiedState};

use crate::chain::{Invalid, check_seal};
use crate::formats::block::{BLOCK_VERSION, Header, SEAL_BYTES_MAX, Seal};
use crate::formats::config::Orderers;
use crate::formats::detail::Detail;
use crate::formats::event::Event;
use crate::formats::receipt::{ReceiptHead, decode_event};
use crate::formats::transaction;
use crate::formats::transaction::{ENVELOPE_BYTES_MAX, Envelope};
use crate::keys::KeyCache;
use crate::limits::{BLOCK_BYTES_MAX, DETAIL_BYTES_MAX, MERKLE_PATH_MAX, ORDERERS_BYTES_MAX, TRUST_LINKS_MAX};
use crate::merkle;
use crate::primitives::codec;
use crate::primitives::codec::Encode;
use crate::primitives::hash::{Hash, HexBytes};
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
        source: Invalid,
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
    /// What its leaf is blinded with.
    pub blinding: Hash,
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
    /// What its leaf is blinded with.
    pub blinding: Hash,
    /// Inclusion path.
    pub path: Vec<Hash>,
}

/// Why a transaction failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetailProof {
    /// [`Detail`], encoded.
    pub detail: HexBytes,
    /// What its hash is blinded with.
    pub blinding: Hash,
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
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<DetailProof>,
}

/// A block after which others may seal: its header, its seal by those who could until then, and who they are from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustLink {
    /// [`Header`], encoded.
    pub header: HexBytes,
    /// [`Seal`], encoded.
    pub seal: HexBytes,
    /// [`Orderers`], encoded: what the header's `orderers_root` is the hash of.
    pub orderers: HexBytes,
}

/// Where a channel begins, as far as proofs need it. The configuration, which names people, is no part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustRoot {
    /// The genesis [`Header`], encoded: its hash is the channel's id.
    pub header: HexBytes,
    /// [`Orderers`], encoded: who may seal the first block after it.
    pub orderers: HexBytes,
}

impl TrustRoot {
    /// Of the genesis header of a channel that begins with these orderers.
    pub fn new(header: &Header, orderers: &Orderers) -> Self {
        Self { header: part(header), orderers: part(orderers) }
    }
}

/// The way from genesis to those who may seal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// Where it begins.
    pub genesis: TrustRoot,
    /// Every change of who may seal since, ascending.
    pub links: Vec<TrustLink>,
}

/// Ties evidence to a later header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaterHeader {
    /// The later [`Header`], encoded.
    pub header: HexBytes,
    /// Its [`Seal`], encoded.
    pub seal: HexBytes,
    /// Inclusion path of the evidence's header hash in the later header's history root.
    pub path: Vec<Hash>,
}

/// A complete proof, as `GET …/proof` answers and `chancery verify --proof` reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// Format version, 1.
    pub version: u16,
    /// From genesis to those who have sealed the block, or the later one.
    pub trust: Trust,
    /// The block's header and what it holds.
    pub evidence: Evidence,
    /// A later header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub later: Option<LaterHeader>,
}

/// Those who may seal a channel's blocks, checked from genesis on.
#[derive(Clone, Debug)]
pub struct VerifiedTrust {
    channel: Hash,
    /// Ascending; the first is of genesis.
    orderers: Vec<Since>,
}

/// Who may seal from the block after one height on.
#[derive(Clone, Debug)]
struct Since {
    height: u64,
    root: Hash,
    orderers: Orderers,
}

impl Since {
    /// Those that a header names for the block after it.
    fn named_by(header: &Header, orderers: &HexBytes) -> Result<Self, ProofError> {
        let orderers: Orderers = decode(orderers, ORDERERS_BYTES_MAX, "the record of the orderers")?;
        if orderers.root() != header.orderers_root {
            return Err(ProofError::Mismatch("the orderers are not those that their header names"));
        }
        if orderers.check().is_err() {
            return Err(ProofError::Mismatch("the orderers could not seal a block as they should"));
        }
        Ok(Self { height: header.height, root: header.orderers_root, orderers })
    }
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
    /// Why it failed, if the evidence carries that.
    pub detail: Option<ProvenDetail>,
}

/// A detail that a receipt's head names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProvenDetail {
    /// One that this build knows.
    Known(Detail),
    /// One of later rules than this build's: the proof holds, and a newer build has the words.
    Unknown {
        /// Its number in `docs/formats/refusal-details.txt`.
        number: u16,
    },
}

impl ProvenDetail {
    fn decode(bytes: &HexBytes) -> Result<Self, ProofError> {
        let malformed = ProofError::Malformed("the detail");
        let Some(number) = bytes.0.first_chunk().map(|number| u16::from_le_bytes(*number)) else {
            return Err(malformed);
        };
        match bytes.0.len() <= DETAIL_BYTES_MAX {
            true if Detail::is_known(number) => decode(bytes, DETAIL_BYTES_MAX, "the detail").map(Self::Known),
            true => Ok(Self::Unknown { number }),
            false => Err(malformed),
        }
    }
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
    /// Walks from genesis to those who may seal now. `channel` is the id that the verifier knows; `None` accepts any
    /// and reports it.
    pub fn verify(&self, channel: Option<Hash>) -> Result<VerifiedTrust, ProofError> {
        if self.links.len() > TRUST_LINKS_MAX {
            return Err(ProofError::Mismatch("more changes of who seals than a proof may hold"));
        }
        let genesis = read_header(&self.genesis.header, "the genesis header")?;
        if genesis.height != 0 || genesis.channel != Hash::ZERO {
            return Err(ProofError::Mismatch("no genesis header"));
        }
        let id = genesis.hash();
        if channel.is_some_and(|channel| channel != id) {
            return Err(ProofError::OtherChannel(id));
        }
        let first = Since::named_by(&genesis, &self.genesis.orderers)?;
        let mut trust = VerifiedTrust { channel: id, orderers: vec![first] };
        for link in &self.links {
            trust.follow(link)?;
        }
        Ok(trust)
    }
}

impl VerifiedTrust {
    /// Takes a change of who may seal. It is sealed by those whom the one before it named, and by none before them: who was
    /// an orderer once must not be able to write a new history from there.
    fn follow(&mut self, link: &TrustLink) -> Result<(), ProofError> {
        let header = read_header(&link.header, "a trust link's header")?;
        let seal: Seal = decode(&link.seal, SEAL_BYTES_MAX, "a trust link's seal")?;
        let last = self.orderers.last().map_or((0, Hash::ZERO), |last| (last.height, last.root));
        if header.height <= last.0 {
            return Err(ProofError::Mismatch("a trust link does not follow the one before it"));
        }
        self.verify_header(&header, &seal)?;
        if header.orderers_root == last.1 {
            return Err(ProofError::Mismatch("a trust link changes nothing"));
        }
        self.orderers.push(Since::named_by(&header, &link.orderers)?);
        Ok(())
    }

    /// Whether it says all that another one of the channel says, and may say more: whoever was an orderer once could leave
    /// out those who came after.
    pub fn extends(&self, before: &Self) -> bool {
        let same = |(mine, other): (&Since, &Since)| (mine.height, mine.root) == (other.height, other.root);
        self.channel == before.channel
            && self.orderers.len() >= before.orderers.len()
            && self.orderers.iter().zip(&before.orderers).all(same)
    }

    /// The channel's id.
    pub const fn channel(&self) -> Hash {
        self.channel
    }

    /// The block since which they seal who seal last, as far as it says, with the hash of who they are.
    pub fn newest(&self) -> (u64, Hash) {
        self.orderers.last().map_or((0, Hash::ZERO), |last| (last.height, last.root))
    }

    /// Whether it says that these seal since the block at `height`.
    pub fn names(&self, height: u64, root: Hash) -> bool {
        self.orderers.iter().any(|since| (since.height, since.root) == (height, root))
    }

    /// Who may seal the block at `height`, with the header's hash of them: from the block after the one that names them to
    /// the one that names others, and no other block, whatever a header says.
    fn since(&self, height: u64) -> (&Since, Option<&Since>) {
        let place = self.orderers.partition_point(|since| since.height < height).saturating_sub(1);
        (&self.orderers[place], self.orderers.get(place + 1))
    }

    /// Who may seal the block at `height`.
    pub fn orderers(&self, height: u64) -> &Orderers {
        &self.since(height).0.orderers
    }

    /// Checks a sealed header.
    pub fn verify_header(&self, header: &Header, seal: &Seal) -> Result<(), ProofError> {
        if header.channel_id() != self.channel {
            return Err(ProofError::OtherChannel(header.channel_id()));
        }
        let (since, next) = self.since(header.height);
        if header.height == 0 {
            // It is the channel's id.
            let refused = ProofError::Seal { height: 0, source: Invalid::SealKind };
            return if *seal == (Seal::Genesis {}) { Ok(()) } else { Err(refused) };
        }
        if let Some(next) = next {
            let names = if header.height == next.height { next.root } else { since.root };
            if header.orderers_root != names {
                return Err(ProofError::Mismatch("the header names others to seal than the trust part of the proof"));
            }
        }
        check_seal(&since.root, &since.orderers, header, seal, &mut KeyCache::default())
            .map_err(|source| ProofError::Seal { height: header.height, source })
    }

    /// Checks evidence: seal, receipt, and what it carries beside.
    pub fn verify(&self, evidence: &Evidence) -> Result<VerifiedEvidence, ProofError> {
        let header = read_header(&evidence.header, "the header")?;
        let seal: Seal = decode(&evidence.seal, SEAL_BYTES_MAX, "the seal")?;
        self.verify_header(&header, &seal)?;
        let receipt: ReceiptHead = decode(&evidence.receipt.head, 64 * 1024, "the receipt")?;
        if receipt.version != 1 {
            return Err(ProofError::Mismatch("unknown receipt version"));
        }
        if receipt.height != header.height {
            return Err(ProofError::Mismatch("the receipt is of another height"));
        }
        let leaf = merkle::blinded_leaf_hash(&evidence.receipt.blinding, &evidence.receipt.head.0);
        let path = &evidence.receipt.path;
        path_leads(&header.receipt_root, header.receipts, receipt.index, leaf, path, "the receipt")?;
        let envelope = match &evidence.transaction {
            None => None,
            Some(proof) => {
                let envelope: Envelope = decode(&proof.envelope, ENVELOPE_BYTES_MAX, "the transaction")?;
                let id = envelope.id();
                let (root, leaf) = (&header.transaction_root, transaction::leaf(&id, &proof.envelope.0));
                path_leads(root, header.transactions, proof.index, leaf, &proof.path, "the transaction")?;
                if id != receipt.id {
                    return Err(ProofError::Mismatch("the receipt is of another transaction"));
                }
                Some(envelope)
            }
        };
        let event = match &evidence.event {
            None => None,
            Some(proof) => {
                let leaf = merkle::blinded_leaf_hash(&proof.blinding, &proof.event.0);
                path_leads(&receipt.events_root, receipt.events, proof.index, leaf, &proof.path, "the event")?;
                Some(decode_event(&proof.event.0).map_err(|_| ProofError::Malformed("the event"))?)
            }
        };
        let detail = match &evidence.detail {
            None => None,
            Some(proof) => {
                let hash = merkle::blinded_leaf_hash(&proof.blinding, &proof.detail.0);
                if receipt.detail != Some(hash) {
                    return Err(ProofError::Mismatch("the detail is not the receipt's"));
                }
                Some(ProvenDetail::decode(&proof.detail)?)
            }
        };
        Ok(VerifiedEvidence { channel: self.channel, header, receipt, envelope, event, detail })
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
            trust.verify_header(&header, &decode(&later.seal, SEAL_BYTES_MAX, "the later header's seal")?)?;
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
mod tests;
