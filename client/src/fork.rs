//! Two histories of one channel. A peer's directory that was copied and runs twice seals two blocks of one height, and
//! each of them is proven. Nobody who sees only one can tell; whoever sees both can prove it to everybody, and this is how.
//!
//! Headers are compared only once their seals are known to hold. What contradicts is evidence against those who sealed;
//! that nothing contradicts proves nothing, unless one header is in the other's history.

mod compare;

pub use compare::{CompareError, Comparison, compare, compare_files};

use ledger_classes::formats::block::{Header, SEAL_BYTES_MAX, Seal};
use ledger_classes::formats::config::OrderingPeer;
use ledger_classes::formats::proof::{ProofError, VerifiedTrust, part};
use ledger_classes::primitives::codec;
use ledger_classes::primitives::hash::{Hash, HexBytes};
use ledger_classes::primitives::identity::Identity;
use ledger_classes::primitives::time::Time;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Bytes of an encoded header.
const HEADER_BYTES_MAX: usize = 4096;

/// A header and its seal, as they are kept and shown to others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedBytes {
    /// [`Header`], encoded.
    pub header: HexBytes,
    /// [`Seal`], encoded.
    pub seal: HexBytes,
}

impl SealedBytes {
    /// Of a header and its seal.
    pub fn new(header: &Header, seal: &Seal) -> Self {
        Self { header: part(header), seal: part(seal) }
    }

    /// The header, if it can be read; nothing of it is checked.
    pub fn header(&self) -> Option<Header> {
        codec::decode(&self.header.0, HEADER_BYTES_MAX).ok()
    }
}

/// A header whose seal holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedHeader {
    header: Header,
    hash: Hash,
    bytes: SealedBytes,
    by: Vec<Sealer>,
    /// It is known to have set another configuration.
    configures: bool,
}

impl SealedHeader {
    /// Checks a seal by those who may seal on a channel.
    pub fn verify(trust: &VerifiedTrust, bytes: &SealedBytes) -> Result<Self, ProofError> {
        let header = bytes.header().ok_or(ProofError::Malformed("the header"))?;
        let seal: Seal = codec::decode(&bytes.seal.0, SEAL_BYTES_MAX).map_err(|_| ProofError::Malformed("the seal"))?;
        trust.verify_header(&header, &seal)?;
        let by = Sealer::of(&seal, &trust.orderers(header.height).peers);
        Ok(Self { hash: header.hash(), header, bytes: bytes.clone(), by, configures: false })
    }

    /// A header whose seal was checked when it was kept; under `trust` it is known who sealed it.
    pub(crate) fn remembered(trust: &VerifiedTrust, bytes: &SealedBytes) -> Option<Self> {
        let unknown = || {
            let header = bytes.header()?;
            Some(Self { hash: header.hash(), header, bytes: bytes.clone(), by: Vec::new(), configures: false })
        };
        Self::verify(trust, bytes).ok().or_else(unknown)
    }

    /// Its height.
    pub const fn height(&self) -> u64 {
        self.header.height
    }

    /// Its hash.
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    /// It and its seal, as they are kept.
    pub const fn bytes(&self) -> &SealedBytes {
        &self.bytes
    }

    fn side(&self) -> Side {
        Side {
            height: self.header.height,
            header: self.hash,
            time: self.header.time,
            sealed_by: self.by.clone(),
            evidence: self.bytes.clone(),
        }
    }
}

/// What two sealed headers, or what they prove, cannot both be true of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contradiction {
    /// One height, two headers.
    Header,
    /// The later one follows another header of the earlier one's height.
    Previous,
    /// One follows a change of configuration that is not before the other, which is later than that change.
    Configuration,
    /// Block time goes back.
    Time,
    /// One transaction has two outcomes.
    Outcome,
}

/// Who has signed a seal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealer {
    /// The peer, if it is known whose key it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// The key.
    pub key: String,
}

impl Sealer {
    /// Those who have signed a seal, of whom `peers` are known.
    pub fn of(seal: &Seal, peers: &[OrderingPeer]) -> Vec<Self> {
        let sealer = |key| {
            let peer = peers.iter().find(|peer| peer.key == key);
            Self { identity: peer.map(|peer| peer.identity.clone()), key: key.to_string() }
        };
        seal.signatures().iter().map(|signed| sealer(signed.key)).collect()
    }
}

impl fmt::Display for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.identity {
            Some(identity) => write!(f, "{identity} with {}", self.key),
            None => write!(f, "{}", self.key),
        }
    }
}

/// One of the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// The block's height.
    pub height: u64,
    /// Hash of its header.
    pub header: Hash,
    /// Its time.
    pub time: Time,
    /// Those who have sealed it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealed_by: Vec<Sealer>,
    /// Header and seal: what proves it.
    pub evidence: SealedBytes,
}

/// Two histories of one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("channel {channel} has two histories: {}", .sides.iter().map(Side::to_string).collect::<Vec<_>>().join(", and "))]
pub struct Fork {
    /// The channel's id.
    pub channel: Hash,
    /// They part at this height, or before.
    pub height: u64,
    /// What cannot both be true.
    pub contradiction: Contradiction,
    /// The transaction with two outcomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<Hash>,
    /// Both headers, the lower one first.
    pub sides: Vec<Side>,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "block {} is {}", self.height, self.header)?;
        match self.sealed_by.as_slice() {
            [] => Ok(()),
            by => write!(f, ", sealed by {}", by.iter().map(Sealer::to_string).collect::<Vec<_>>().join(", and by ")),
        }
    }
}

/// How two headers of a channel contradict each other, if they do.
fn contradiction(one: &SealedHeader, other: &SealedHeader) -> Option<Contradiction> {
    let (low, high) = if one.height() <= other.height() { (one, other) } else { (other, one) };
    let (configures, low, high) = (low.configures, &low.header, &high.header);
    if low.height == high.height {
        return (low.hash() != high.hash()).then_some(Contradiction::Header);
    }
    if low.height + 1 == high.height && high.previous != low.hash() {
        return Some(Contradiction::Previous);
    }
    // Each header names the block that set its configuration: the last change before it. The higher one cannot know of
    // fewer changes than the lower one, nor of one below the lower one that this does not know.
    let changed_below = high.config_height < low.height && high.config_height != low.config_height;
    let unknown_change = configures && high.config_height < low.height;
    if high.config_height < low.config_height || changed_below || unknown_change {
        return Some(Contradiction::Configuration);
    }
    (high.time < low.time).then_some(Contradiction::Time)
}

/// The lowest fork between two sets of sealed headers of one channel.
fn lowest(channel: Hash, ones: &[SealedHeader], others: &[SealedHeader]) -> Option<Fork> {
    let pairs = ones.iter().flat_map(|one| others.iter().map(move |other| (one, other)));
    let forks = pairs.filter_map(|(one, other)| {
        let found = contradiction(one, other)?;
        let (low, high) = if one.height() <= other.height() { (one, other) } else { (other, one) };
        Some((low.height(), high.height(), found, low, high))
    });
    let (height, _, contradiction, low, high) = forks.min_by_key(|(low, high, ..)| (*low, *high))?;
    Some(Fork { channel, height, contradiction, transaction: None, sides: vec![low.side(), high.side()] })
}

/// Holds two sealed headers of one channel against each other.
pub fn fork_of(channel: Hash, one: &SealedHeader, other: &SealedHeader) -> Option<Fork> {
    lowest(channel, std::slice::from_ref(one), std::slice::from_ref(other))
}

#[cfg(test)]
mod tests;
