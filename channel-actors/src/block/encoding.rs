//! The receipts of a block as the log holds them.

use crate::block::error::ChannelError;
use ledger_classes::formats::receipt::Receipt;
use ledger_classes::limits::BLOCK_RECEIPTS_ENCODED_BYTES_MAX;
use ledger_classes::primitives::codec;
use std::sync::Arc;

/// Encodes receipts as the log holds them.
pub(crate) fn encode_receipts(receipts: &[Arc<Receipt>]) -> Vec<u8> {
    // The form of `Vec<Receipt>`, without cloning the receipts.
    let mut bytes = Vec::with_capacity(receipts.len() * 256 + 8);
    codec::encode_into(&(receipts.len() as u64), &mut bytes);
    receipts.iter().for_each(|receipt| codec::encode_into(&**receipt, &mut bytes));
    bytes
}

/// Decodes the receipts of a block as the log holds them.
pub(crate) fn decode_receipts(bytes: &[u8]) -> Result<Vec<Receipt>, ChannelError> {
    codec::decode(bytes, BLOCK_RECEIPTS_ENCODED_BYTES_MAX).map_err(ChannelError::Receipts)
}
