//! Two proofs of one channel, held against each other.

use super::{Contradiction, Fork, SealedBytes, SealedHeader, lowest};
use crate::verify::{VerifyError, read_proof};
use ledger_classes::formats::proof::{Proof, ProofError};
use ledger_classes::primitives::hash::{Hash, HexBytes};
use std::path::Path;

/// What two proofs say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Both cannot be true of one channel.
    Fork(Box<Fork>),
    /// One history holds both.
    OneHistory,
    /// Nothing contradicts, and nothing ties them either.
    NotTied,
}

/// Why proofs cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// One does not hold.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// They are of two channels.
    #[error("the proofs are about two channels, {one} and {other}: each has its own history")]
    Channels {
        /// One.
        one: Hash,
        /// The other.
        other: Hash,
    },
}

impl From<ProofError> for CompareError {
    fn from(error: ProofError) -> Self {
        Self::Verify(error.into())
    }
}

/// Reads two proof files and compares them.
pub fn compare_files(one: &Path, other: &Path, channel: Option<Hash>) -> Result<Comparison, CompareError> {
    compare(&read_proof(one)?, &read_proof(other)?, channel)
}

/// Checks two proofs and holds them against each other. `channel` is the id that the verifier knows.
pub fn compare(one: &Proof, other: &Proof, channel: Option<Hash>) -> Result<Comparison, CompareError> {
    let (ones, others) = (Proven::of(one, channel)?, Proven::of(other, channel)?);
    let id = ones.channel;
    if id != others.channel {
        return Err(CompareError::Channels { one: id, other: others.channel });
    }
    if let Some(fork) = lowest(id, &ones.headers, &others.headers) {
        return Ok(Comparison::Fork(Box::new(fork)));
    }
    let (last, other_last) = (&ones.last, &others.last);
    // A transaction is in one block at most, for ever.
    if ones.transaction == others.transaction && last.hash != other_last.hash {
        let (low, high) = if last.height() <= other_last.height() { (last, other_last) } else { (other_last, last) };
        return Ok(Comparison::Fork(Box::new(Fork {
            channel: id,
            height: low.height(),
            contradiction: Contradiction::Outcome,
            transaction: Some(ones.transaction),
            sides: vec![low.side(), high.side()],
        })));
    }
    match ones.holds(other_last) || others.holds(last) {
        true => Ok(Comparison::OneHistory),
        false => Ok(Comparison::NotTied),
    }
}

/// What a proof has proven, as far as it concerns history.
struct Proven {
    channel: Hash,
    transaction: Hash,
    /// Every sealed header of it.
    headers: Vec<SealedHeader>,
    /// That of the receipt.
    last: SealedHeader,
    /// A header that has that one in its history.
    later: Option<Hash>,
}

impl Proven {
    fn of(proof: &Proof, channel: Option<Hash>) -> Result<Self, ProofError> {
        let checked = proof.verify(channel)?;
        let trust = proof.trust.verify(channel)?;
        let sealed = |header: &HexBytes, seal: &HexBytes| {
            SealedHeader::verify(&trust, &SealedBytes { header: header.clone(), seal: seal.clone() })
        };
        let links = proof.trust.links.iter().map(|link| sealed(&link.header, &link.seal));
        // Who orders is said by the configuration.
        let links = links.map(|link| link.map(|header| SealedHeader { configures: true, ..header }));
        let last = sealed(&proof.evidence.header, &proof.evidence.seal)?;
        let later = proof.later.as_ref().map(|later| sealed(&later.header, &later.seal)).transpose()?;
        let tied = later.as_ref().map(SealedHeader::hash);
        let headers = links.chain([last.clone()].into_iter().chain(later).map(Ok)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { channel: checked.channel, transaction: checked.receipt.id, headers, last, later: tied })
    }

    /// Whether `other`, a sealed header, is one of these, comes right before or after the last, or is known to have it in
    /// its history.
    fn holds(&self, other: &SealedHeader) -> bool {
        let known = self.headers.iter().any(|header| header.hash == other.hash || header.header.previous == other.hash);
        known || other.header.previous == self.last.hash || self.later == Some(other.hash)
    }
}
