//! Batches of signatures. A batch answers for all its items with one equation at about half the cost of
//! single verification; a batch that fails is taken apart, so a bad signature never rejects its neighbours.
//!
//! Relation that always holds: the verdict on each item equals [`verify`]'s, whatever its neighbours, its place
//! and the seed (ZIP 215 is what makes single and batch equations agree on all edge cases).

use super::{KeyBytes, PublicKey, Signature, verify};
use ed25519_zebra::batch::{Item, Verifier};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

/// Signatures of one batch equation. Measured: the rate per signature hardly grows beyond, while the work lost
/// to one bad signature does.
pub const BATCH_ITEMS_MAX: usize = 1024;

/// Signatures of the smaller equations that find the bad ones in a batch that failed. Measured with 1,024
/// (`examples/verify_rate.rs`): one bad signature makes the batch cost 2.1 clean ones, eight 2.5, and it never
/// costs more than 3.9. Bisection costs 3.3 for one, and more for several, which is what an attacker would send.
const GROUP_ITEMS: usize = 32;

/// One signature to verify.
#[derive(Clone, Copy, Debug)]
pub struct SignatureItem<'a> {
    /// The key.
    pub key: &'a PublicKey,
    /// What was signed.
    pub message: &'a [u8],
    /// The signature.
    pub signature: &'a Signature,
}

/// The outcome of [`verify_batch`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct BatchVerdict {
    /// One verdict for each item, in the order of the items.
    pub valid: Vec<bool>,
    /// Batch equations evaluated.
    pub batches: usize,
    /// Times that a signature was checked, in a batch or singly. One for each item if all are valid;
    /// what is beyond is what the senders of the bad ones made us do, see [`Self::extra_checks`].
    pub checks: usize,
}

impl BatchVerdict {
    /// Checks beyond one for each item: to be charged to the senders of the invalid items.
    pub fn extra_checks(&self) -> usize {
        self.checks - self.valid.len()
    }
}

/// Verifies signatures of any schemes together: Ed25519 in batches of up to [`BATCH_ITEMS_MAX`], P-256 singly.
///
/// `seed` must be unpredictable to those who send signatures and fresh for each call (this room draws no
/// randomness): a batch is a random linear combination of its equations, and who knows the coefficients can
/// choose invalid signatures whose errors cancel, so that the batch passes. The verdicts do not depend on the
/// seed but with a probability of about 2^-128.
pub fn verify_batch(items: &[SignatureItem<'_>], seed: [u8; 32]) -> BatchVerdict {
    let mut work = Work {
        random: ChaCha20Rng::from_seed(seed),
        verdict: BatchVerdict { valid: vec![false; items.len()], ..BatchVerdict::default() },
    };
    let mut prepared = Vec::with_capacity(items.len().min(BATCH_ITEMS_MAX));
    for (place, item) in items.iter().enumerate() {
        match &item.key.0 {
            KeyBytes::Ed25519(key) => {
                let signature = ed25519_zebra::Signature::from_bytes(&item.signature.0);
                prepared.push((place, Item::from(((*key).into(), signature, item.message))));
                if prepared.len() == BATCH_ITEMS_MAX {
                    work.settle(&prepared);
                    prepared.clear();
                }
            }
            KeyBytes::EcdsaP256(_) => {
                work.verdict.checks += 1;
                work.verdict.valid[place] = verify(item.key, item.message, item.signature);
            }
        }
    }
    work.settle(&prepared);
    work.verdict
}

struct Work {
    random: ChaCha20Rng,
    verdict: BatchVerdict,
}

impl Work {
    /// Decides all of `items`: in one equation, or else in groups, or else one by one.
    fn settle(&mut self, items: &[(usize, Item)]) {
        if items.len() > 1 && self.all_valid(items) {
            items.iter().for_each(|(place, _)| self.verdict.valid[*place] = true);
        } else if items.len() > GROUP_ITEMS {
            items.chunks(GROUP_ITEMS).for_each(|group| self.settle(group));
        } else {
            for (place, item) in items {
                self.verdict.checks += 1;
                self.verdict.valid[*place] = item.clone().verify_single().is_ok();
            }
        }
    }

    fn all_valid(&mut self, items: &[(usize, Item)]) -> bool {
        self.verdict.batches += 1;
        self.verdict.checks += items.len();
        let mut batch = Verifier::new();
        items.iter().for_each(|(_, item)| batch.queue(item.clone()));
        batch.verify(&mut self.random).is_ok()
    }
}
