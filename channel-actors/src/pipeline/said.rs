//! What peers say to each other about witnesses. Bytes of other peers come in by [`Said::decode`] only.

use crate::limits::{WITNESS_BATCH_BYTES_MAX, WITNESS_BATCH_TRANSACTIONS_MAX};
use ledger_classes::formats::block::{Batch, SealSignature};
use ledger_classes::formats::transaction::ENVELOPE_BYTES_MAX;
use ledger_classes::primitives::codec::{self, Decode, DecodeError, Encode};

/// One message.
#[derive(Debug, Encode, Decode)]
#[bincode(crate = "ledger_classes::primitives::codec::bincode")]
pub enum Said {
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

/// Most bytes of what is said.
const SAID_BYTES_MAX: usize = WITNESS_BATCH_BYTES_MAX + ENVELOPE_BYTES_MAX + WITNESS_BATCH_TRANSACTIONS_MAX * 8 + 1024;

impl Said {
    /// Decodes what another peer says; in one form only.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes, SAID_BYTES_MAX)
    }

    /// Encodes it.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }
}
