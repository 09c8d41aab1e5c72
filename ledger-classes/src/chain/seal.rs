//! Who may make a block final. Whoever puts a block into a log asks here ([`super::ExecutedBlock::sealed`]), and so do replay,
//! offline verification, proofs and clients.

use super::Invalid;
use crate::formats::block::{Header, Seal, seal_message};
use crate::formats::config::{Engine, Orderers};
use crate::keys::{KeyCache, PublicKey, StrictError};
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
    check_signers(orderers, header, *place, signatures.iter().map(|signed| &signed.key))?;
    let message = seal_message(&header.hash(), *place);
    signatures.iter().try_for_each(|signed| {
        keys.verify_strict(&signed.key, &message, &signed.signature).map_err(|error| match error {
            StrictError::Form => Invalid::SealNotCanonical,
            StrictError::Wrong => Invalid::SealSignature,
        })
    })
}

/// Whether the signatures of these over a header and a place would make it final.
pub(super) fn check_signers<'a>(
    orderers: &Orderers,
    header: &Header,
    place: u64,
    signers: impl Iterator<Item = &'a PublicKey>,
) -> Result<(), Invalid> {
    if !orderers.peers.iter().any(|peer| peer.key.address() == header.proposer) {
        return Err(Invalid::Proposer { proposer: header.proposer });
    }
    if orderers.engine == Engine::Solo && place != 0 {
        return Err(Invalid::SealPlace { place });
    }
    let (mut weight, mut following) = (0u64, orderers.peers.iter());
    for key in signers {
        match following.find(|peer| peer.key == *key) {
            Some(peer) => weight += u64::from(peer.weight),
            None if orderers.peers.iter().any(|peer| peer.key == *key) => return Err(Invalid::SealOrder),
            None => return Err(Invalid::SealKey),
        }
    }
    match weight < orderers.threshold {
        true => Err(Invalid::SealThreshold { weight, threshold: orderers.threshold }),
        false => Ok(()),
    }
}
