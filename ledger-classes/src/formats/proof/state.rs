//! Proofs of the state: that a key has a value in what a sealed block leaves, or that it is absent there.

use super::{ProofError, Trust, VerifiedTrust, decode, read_header};
use crate::formats::block::{Header, SEAL_BYTES_MAX, Seal};
use crate::primitives::hash::{Hash, HexBytes};
use crate::state::tree;
use serde::{Deserialize, Deserializer, Serialize};

/// A sealed header, and what a key has in the state that its block leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateEvidence {
    /// [`Header`], encoded.
    pub header: HexBytes,
    /// [`Seal`], encoded.
    pub seal: HexBytes,
    /// The key, as `docs/formats/state.md` has it.
    pub key: HexBytes,
    /// The value; none if the key is absent.
    #[serde(deserialize_with = "there")]
    pub value: Option<HexBytes>,
    /// [`tree::Proof`], encoded.
    pub path: HexBytes,
}

/// A value that is null where there is none, and never left out: a proof has one form.
fn there<'de, D: Deserializer<'de>>(from: D) -> Result<Option<HexBytes>, D::Error> {
    Option::deserialize(from)
}

/// A complete proof, as `GET …/state/{key}/proof` answers and `chancery verify --proof` reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateProof {
    /// Format version, 1.
    pub version: u16,
    /// From genesis to those who have sealed the block.
    pub trust: Trust,
    /// The block's header, and what the key has.
    pub state: StateEvidence,
}

/// What a checked proof of the state says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedState {
    /// The channel's id.
    pub channel: Hash,
    /// The sealed header.
    pub header: Header,
    /// The key.
    pub key: Vec<u8>,
    /// Its value; none if it is absent.
    pub value: Option<Vec<u8>>,
}

impl VerifiedTrust {
    /// Checks what a key has: seal, and the way to the header's state root.
    pub fn verify_state(&self, state: &StateEvidence) -> Result<VerifiedState, ProofError> {
        let header = read_header(&state.header, "the header")?;
        let seal: Seal = decode(&state.seal, SEAL_BYTES_MAX, "the seal")?;
        self.verify_header(&header, &seal)?;
        let path = tree::Proof::decode(&state.path.0).map_err(|_| ProofError::Malformed("the key's path"))?;
        let value = state.value.as_ref().map(|value| value.0.as_slice());
        path.verify(&header.state_root, &state.key.0, value).map_err(|_| ProofError::Path("the key"))?;
        let (key, value) = (state.key.0.clone(), state.value.as_ref().map(|value| value.0.clone()));
        Ok(VerifiedState { channel: self.channel(), header, key, value })
    }
}

impl StateProof {
    /// Checks everything. `channel` is the id that the verifier knows; `None` accepts any and reports it.
    pub fn verify(&self, channel: Option<Hash>) -> Result<VerifiedState, ProofError> {
        if self.version != 1 {
            return Err(ProofError::Mismatch("unknown proof version"));
        }
        self.trust.verify(channel)?.verify_state(&self.state)
    }
}
