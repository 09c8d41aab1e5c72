//! Who vouches that a block's transactions were verified: the channel's policy of witnesses.
//!
//! Under `own` the proposer does, by proposing: nothing is listed and nothing is signed. Under `quorum` and `all` each
//! transaction is in a batch that its origin verified, and as many ordering peers have signed that batch as seal a block, or
//! every one of them. So a peer that executes a block need not verify signatures that those have verified who can stop the
//! channel anyway; it may, and what it finds wrong makes the block invalid for it.

use super::Invalid;
use crate::formats::block::{Header, WitnessedBatch, batch_root};
use crate::formats::config::{ChannelConfig, Orderers, Witnesses};
use crate::formats::transaction::VerifiedTransaction;
use crate::keys::verify_strict;
use crate::limits::{BATCH_LEAVES_MAX, BATCHES_MAX, WITNESSES_MAX};
use crate::primitives::hash::Hash;
use std::collections::{BTreeMap, BTreeSet};

/// Whether a block's batches are the header's and vouch for its transactions as the policy asks.
pub(super) fn check_batches(
    config: &ChannelConfig,
    channel: &Hash,
    header: (u32, Hash),
    batches: &[WitnessedBatch],
    transactions: &[VerifiedTransaction],
) -> Result<(), Invalid> {
    if config.witnesses == Witnesses::Own && !batches.is_empty() {
        return Err(Invalid::UnlistedBatch { count: count(batches.len()) });
    }
    if header != (count(batches.len()), batch_root(batches)) {
        return Err(Invalid::BatchRoot);
    }
    let sum = |of: fn(&WitnessedBatch) -> usize| batches.iter().map(of).sum::<usize>();
    let witnesses = sum(|batch| batch.witnesses.len());
    if batches.len() > BATCHES_MAX || sum(|batch| batch.leaves.len()) > BATCH_LEAVES_MAX || witnesses > WITNESSES_MAX {
        return Err(Invalid::TooManyBatches);
    }
    if config.witnesses == Witnesses::Own {
        return Ok(());
    }
    let orderers = config.orderers();
    let threshold = match config.witnesses {
        Witnesses::Own => 0,
        Witnesses::Quorum => orderers.threshold,
        Witnesses::All => orderers.weight(),
    };
    let included: BTreeSet<Hash> = transactions.iter().map(VerifiedTransaction::leaf).collect();
    let mut before = None;
    for (place, listed) in (0u32..).zip(batches) {
        let place_of = (listed.batch.origin, listed.batch.number);
        if before.replace(place_of).is_some_and(|before| before >= place_of) {
            return Err(Invalid::BatchOrder { batch: place });
        }
        if !listed.batch.is_of(&listed.leaves) {
            return Err(Invalid::BatchDigest { batch: place });
        }
        if !listed.leaves.iter().any(|leaf| included.contains(leaf)) {
            return Err(Invalid::BatchIdle { batch: place });
        }
        check_witnesses(&orderers, threshold, channel, place, listed)?;
    }
    let listed: BTreeSet<Hash> = batches.iter().flat_map(|batch| &batch.leaves).copied().collect();
    match (0u32..).zip(transactions).find(|(_, one)| !listed.contains(&one.leaf())) {
        None => Ok(()),
        Some((place, _)) => Err(Invalid::Unwitnessed { place }),
    }
}

fn check_witnesses(
    orderers: &Orderers,
    threshold: u64,
    channel: &Hash,
    batch: u32,
    listed: &WitnessedBatch,
) -> Result<(), Invalid> {
    if !listed.witnesses.iter().any(|signed| signed.key.address() == listed.batch.origin) {
        return Err(Invalid::BatchOrigin { batch });
    }
    let (mut weight, mut following) = (0, orderers.peers.iter());
    for signed in &listed.witnesses {
        let peer = following.find(|peer| peer.key == signed.key).ok_or(Invalid::WitnessKey { batch })?;
        weight += u64::from(peer.weight);
    }
    if weight < threshold {
        return Err(Invalid::WitnessThreshold { batch, weight, threshold });
    }
    let message = listed.batch.message(channel);
    let valid =
        |signed: &crate::formats::block::SealSignature| verify_strict(&signed.key, &message, &signed.signature).is_ok();
    match listed.witnesses.iter().all(valid) {
        true => Ok(()),
        false => Err(Invalid::WitnessSignature { batch }),
    }
}

/// How many of the first of these transactions have their batches within the bounds of a block, and those batches: one for each
/// transaction, whatever other batches it is in.
pub(super) fn fitting(
    batches: Vec<WitnessedBatch>,
    transactions: &[VerifiedTransaction],
) -> (usize, Vec<WitnessedBatch>) {
    let mut of: BTreeMap<Hash, Vec<usize>> = BTreeMap::new();
    for (place, batch) in batches.iter().enumerate() {
        batch.leaves.iter().for_each(|leaf| of.entry(*leaf).or_default().push(place));
    }
    let (mut chosen, mut leaves, mut witnesses) = (BTreeSet::new(), 0, 0);
    let mut fits = |one: &VerifiedTransaction| {
        // Whether it has to be in any is for the policy.
        let Some(places) = of.get(&one.leaf()) else { return true };
        if places.iter().any(|place| chosen.contains(place)) {
            return true;
        }
        let with = |place: &usize| (leaves + batches[*place].leaves.len(), witnesses + batches[*place].witnesses.len());
        let within = |(leaves, witnesses)| leaves <= BATCH_LEAVES_MAX && witnesses <= WITNESSES_MAX;
        let next = places.iter().find(|place| within(with(place))).filter(|_| chosen.len() < BATCHES_MAX);
        let Some(next) = next else { return false };
        (leaves, witnesses) = with(next);
        chosen.insert(*next)
    };
    let count = transactions.iter().take_while(|one| fits(one)).count();
    let chosen = batches.into_iter().enumerate().filter(|(place, _)| chosen.contains(place)).map(|(_, batch)| batch);
    (count, chosen.collect())
}

/// Of these batches those of which something is in a block, by origin and number.
pub(super) fn listed(mut batches: Vec<WitnessedBatch>, transactions: &[VerifiedTransaction]) -> Vec<WitnessedBatch> {
    let included: BTreeSet<Hash> = transactions.iter().map(VerifiedTransaction::leaf).collect();
    batches.retain(|batch| batch.leaves.iter().any(|leaf| included.contains(leaf)));
    batches.sort_by_key(|listed| (listed.batch.origin, listed.batch.number));
    batches
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// What a header says of its batches.
pub(super) const fn of_header(header: &Header) -> (u32, Hash) {
    (header.batches, header.batch_root)
}
