//! What peers say to each other about witnesses. Bytes of other peers come in by [`WitnessMessage::decode`] only.

use crate::limits::{WITNESS_BATCH_BYTES_MAX, WITNESS_BATCH_TRANSACTIONS_MAX};
use ledger_classes::formats::block::{Batch, SealSignature};
use ledger_classes::formats::transaction::ENVELOPE_BYTES_MAX;
use ledger_classes::primitives::codec::{self, Decode, DecodeError, Encode};

/// One message.
#[derive(Debug, Encode, Decode)]
#[bincode(crate = "ledger_classes::primitives::codec::bincode")]
pub enum WitnessMessage {
    /// Vouch for this batch of mine.
    Asks {
        /// The batch.
        batch: Batch,
        /// Its transactions.
        envelopes: Vec<Vec<u8>>,
    },
    /// I vouch for this batch of yours.
    Vouches {
        /// The batch.
        batch: Batch,
        /// My signature over it.
        signed: SealSignature,
    },
}

/// Most bytes of a message.
const WITNESS_MESSAGE_BYTES_MAX: usize =
    WITNESS_BATCH_BYTES_MAX + ENVELOPE_BYTES_MAX + WITNESS_BATCH_TRANSACTIONS_MAX * 8 + 1024;

impl WitnessMessage {
    /// Decodes a message of another peer; in one form only.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes, WITNESS_MESSAGE_BYTES_MAX)
    }

    /// Encodes it.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }
}
