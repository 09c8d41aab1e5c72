//! Who orders a channel and how many of them make a block final: the part of a configuration that a header names the hash
//! of, so that whoever checks a seal needs nothing else of it.

use super::error::ConfigError;
use crate::formats::detail::{Detail, Part};
use crate::keys::PublicKey;
use crate::limits;
use crate::primitives::codec;
use crate::primitives::codec::{Decode, Encode};
use crate::primitives::hash::{Hash, Tag};
use crate::primitives::identity::Identity;
use serde::{Deserialize, Serialize};

/// Which engine orders a channel's blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// One peer orders alone.
    Solo,
    /// Raft among the ordering peers.
    Raft,
    /// Byzantine-fault-tolerant quorum.
    Bft,
}

/// A peer that orders, with the key that seals. The seal key outlives the peer's certificates.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderingPeer {
    /// Its identity, role `peer`.
    pub identity: Identity,
    /// Its seal key.
    pub key: PublicKey,
    /// What its signature counts.
    pub weight: u32,
}

/// Who may seal. [`Self::root`] is in the header of the block before.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Orderers {
    /// The ordering engine.
    pub engine: Engine,
    /// Who orders.
    pub peers: Vec<OrderingPeer>,
    /// The weight of those who sign a block, at least.
    pub threshold: u64,
}

impl Orderers {
    /// What a header names: hash of the encoded record, tag `chancery/orderers/1`.
    pub fn root(&self) -> Hash {
        Hash::tagged(Tag::Orderers, &[&codec::encode(self)])
    }

    /// The weight of all.
    pub fn weight(&self) -> u64 {
        self.peers.iter().map(|peer| u64::from(peer.weight)).sum()
    }

    /// The least threshold of an engine whose peers have this weight together: all for the one that orders alone, a majority
    /// for Raft, more than two thirds for a BFT engine. With less, two blocks of one height could be final.
    pub const fn threshold_min(engine: Engine, weight: u64) -> u64 {
        match engine {
            Engine::Solo => weight,
            Engine::Raft => weight / 2 + 1,
            Engine::Bft => weight * 2 / 3 + 1,
        }
    }

    /// Checks that they could seal a block, and no others.
    pub fn check(&self) -> Result<(), ConfigError> {
        let fail = |detail: Detail| Err(ConfigError(detail));
        if self.peers.is_empty() || (self.engine == Engine::Solo && self.peers.len() != 1) {
            return fail(Detail::SoloPeers {});
        }
        if self.peers.len() > limits::ORDERERS_MAX {
            return fail(Detail::AtMost { part: Part::OrderingPeers, most: limits::ORDERERS_MAX as u64 });
        }
        for (place, peer) in self.peers.iter().enumerate() {
            // Anybody can sign for a key of small order, and so seal.
            if let Err(error) = peer.key.check_registrable() {
                return fail(Detail::KeyRefused { key: peer.key, fault: error.into() });
            }
            if self.peers[..place].iter().any(|other| other.identity == peer.identity || other.key == peer.key) {
                return fail(Detail::DistinctPeers {});
            }
            if !(1..=limits::WEIGHT_MAX).contains(&peer.weight) {
                return fail(Detail::NotBetween {
                    part: Part::Weight,
                    least: 1,
                    most: limits::WEIGHT_MAX.into(),
                    found: peer.weight.into(),
                });
            }
        }
        let all = self.weight();
        let least = Self::threshold_min(self.engine, all);
        match (least..=all).contains(&self.threshold) {
            true => Ok(()),
            false => fail(Detail::NotBetween { part: Part::SealThreshold, least, most: all, found: self.threshold }),
        }
    }
}
