//! Who may make a block final. Producing, replay, offline verification, proofs and clients all ask here.

use super::Invalid;
use crate::formats::block::{Header, Seal, seal_message};
use crate::formats::config::{Engine, Orderers};
use crate::keys::{KeyCache, StrictError};
use crate::primitives::hash::Hash;

/// Whether a seal makes the block with this header final. `orderers_root` is that of the header before it, and `orderers` is
/// the record that it names: nobody vouches for himself.
///
/// Signatures are of distinct peers in the order of the record, together of the threshold's weight at least, and each
/// is valid in the way that all libraries agree on ([`crate::keys::verify_strict`]); the proposer is one who orders, and
/// need not have signed. The verdict does not depend on `keys`.
pub fn check_seal(
    orderers_root: &Hash,
    orderers: &Orderers,
    header: &Header,
    seal: &Seal,
    keys: &mut KeyCache,
) -> Result<(), Invalid> {
    let Seal::Quorum { place, signatures } = seal else { return Err(Invalid::SealKind) };
    if header.height == 0 {
        return Err(Invalid::SealKind);
    }
    if orderers.root() != *orderers_root {
        return Err(Invalid::Orderers);
    }
    if !orderers.peers.iter().any(|peer| peer.key.address() == header.proposer) {
        return Err(Invalid::Proposer { proposer: header.proposer });
    }
    if orderers.engine == Engine::Solo && *place != 0 {
        return Err(Invalid::SealPlace { place: *place });
    }
    let (mut weight, mut following) = (0u64, orderers.peers.iter());
    for signed in signatures {
        match following.find(|peer| peer.key == signed.key) {
            Some(peer) => weight += u64::from(peer.weight),
            None if orderers.peers.iter().any(|peer| peer.key == signed.key) => return Err(Invalid::SealOrder),
            None => return Err(Invalid::SealKey),
        }
    }
    if weight < orderers.threshold {
        return Err(Invalid::SealThreshold { weight, threshold: orderers.threshold });
    }
    let message = seal_message(&header.hash(), *place);
    signatures.iter().try_for_each(|signed| {
        keys.verify_strict(&signed.key, &message, &signed.signature).map_err(|error| match error {
            StrictError::Form => Invalid::SealNotCanonical,
            StrictError::Wrong => Invalid::SealSignature,
        })
    })
}
