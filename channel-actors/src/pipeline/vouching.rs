//! Signing batches: this peer's own, which it has verified, and others', which it verifies here first.

use crate::block::key_cache::with_keys;
use ledger_classes::chain;
use ledger_classes::formats::block::{Batch, SealSignature};
use ledger_classes::formats::transaction::VerifiedTransaction;
use ledger_classes::keys::{Address, SigningKey};
use ledger_classes::primitives::hash::Hash;
use std::sync::Arc;

/// A batch to be signed.
pub(crate) struct Vouching {
    pub(crate) channel: Hash,
    pub(crate) key: Arc<SigningKey>,
    /// Unpredictable to senders.
    pub(crate) seed: [u8; 32],
    /// Whose it is.
    pub(crate) to: Address,
    pub(crate) batch: Batch,
    /// Of another peer's batch: nothing of it is believed.
    pub(crate) envelopes: Option<Vec<Vec<u8>>>,
}

impl Vouching {
    /// Signs the batch if each of its transactions is well formed, for this channel and signed, and it is of these in this
    /// order. Whether they may be done is for execution to say.
    pub(crate) fn run(self) -> (Address, Batch, Option<SealSignature>) {
        let Self { channel, key, seed, to, batch, envelopes } = self;
        if let Some(envelopes) = envelopes {
            let verified = with_keys(|keys| chain::verify_transactions(&envelopes, channel, seed, keys));
            let leaves = verified.map(|all| all.iter().map(VerifiedTransaction::leaf).collect::<Vec<_>>());
            if !leaves.is_ok_and(|leaves| batch.is_of(&leaves)) {
                return (to, batch, None);
            }
        }
        let signed = batch.witness(&key, &channel);
        (to, batch, Some(signed))
    }
}
