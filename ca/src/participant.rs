//! What the ledger asks: is this path good at this block's time, under these roots? Revocation is not asked here,
//! because execution decides by participant records alone (DESIGN, A channel).

use crate::path::{PathError, Usage, VerifiedCertificate, verify_path};
use ledger_classes::time::Time;

/// Verifies the path that a `participant.admit` carries, leaf first, against the roots that the channel accepts for
/// the organization, at block time. The caller compares the organization of the identity with the member whose roots
/// these are, and asks for a proof of possession of the key.
pub fn verify_participant(path: &[Vec<u8>], roots: &[Vec<u8>], at: Time) -> Result<VerifiedCertificate, PathError> {
    verify_path(path, roots, None, at, Usage::Participant)
}
