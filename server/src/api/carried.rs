//! What a block carries of a transaction: who sent it, and whether it is an administrative act.

use client::verify::decode_payload;
use ledger_classes::action::Action;
use ledger_classes::formats::transaction::{ENVELOPE_BYTES_MAX, Envelope, Transaction};
use ledger_classes::keys::Address;
use ledger_classes::primitives::codec;

/// A transaction and its sender; none in the genesis block.
pub(super) fn decoded(bytes: &[u8]) -> Option<(Address, Transaction)> {
    let envelope: Envelope = codec::decode(bytes, ENVELOPE_BYTES_MAX).ok()?;
    Some((envelope.signatures.first()?.key.address(), decode_payload(&envelope)?))
}

/// Whether a transaction carries an administrative act.
pub(super) fn carries_act(transaction: &Transaction) -> bool {
    transaction.actions.iter().any(Action::is_administrative)
}
