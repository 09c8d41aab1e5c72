//! Batches of signatures. A batch answers for all its items with one equation at about half the cost of
//! single verification; a batch that fails is taken apart, so a bad signature never rejects its neighbours.
//!
//! Relation that always holds: the verdict on each item equals [`verify`]'s, whatever its neighbours, its place
//! and the seed (ZIP 215 is what makes single and batch equations agree on all edge cases).

use super::{KeyBytes, PublicKey, Signature, verify};
use crate::primitives::hash::Hash;
use crate::primitives::pause;
use curve25519_dalek::{
    constants::ED25519_BASEPOINT_POINT,
    edwards::{CompressedEdwardsY, EdwardsPoint},
    scalar::Scalar,
    traits::{IsIdentity as _, VartimeMultiscalarMul as _},
};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use sha2::{Digest as _, Sha512};
use std::collections::BTreeSet;

/// Signatures of one batch equation. Measured: the rate per signature hardly grows beyond, while the work lost
/// to one bad signature does.
pub const BATCH_ITEMS_MAX: usize = 2048;

/// Signatures of the smaller equations that find the bad ones in a batch that failed. Measured with 1,024
/// (`examples/verify_rate.rs`): one bad signature makes the batch cost 2.1 clean ones, eight 2.5, and it never
/// costs more than 3.9. Bisection costs 3.3 for one, and more for several, which is what an attacker would send.
const GROUP_ITEMS: usize = 32;

/// Keys that a generation of a [`KeyCache`] holds: with its neighbour some 8 MB.
pub(super) const CACHED_KEYS_MAX: usize = 16_384;

/// Points by their keys.
#[allow(clippy::disallowed_types, reason = "a key is looked up in it, and nothing walks through it")]
type Points = std::collections::HashMap<[u8; 32], EdwardsPoint, foldhash::quality::RandomState>;

/// Signatures that a [`KeyCache`] remembers, if it does.
const REMEMBERED_MAX: usize = 65_536;

/// Keys of which a [`KeyCache`] knows that they are registrable: those of peers that seal, which are few.
const REGISTRABLE_MAX: usize = 1024;

/// Points of the Ed25519 keys that were met last. To find the point of a key costs a square root, a quarter of what
/// a signature in a batch costs; who sends once sends again.
///
/// Two generations: the older one is given up when the younger one is full, so keys in use stay. The verdicts do not
/// depend on what is in it.
#[derive(Clone, Debug, Default)]
pub struct KeyCache {
    young: Points,
    old: Points,
    /// Key, message and signature of what was found valid, hashed; `None` where nothing is remembered.
    valid: Option<BTreeSet<Hash>>,
    /// Keys that were found registrable.
    registrable: BTreeSet<PublicKey>,
}

impl KeyCache {
    /// One that remembers the signatures that it found valid, too, up to a number. For whoever meets the same ones again.
    pub fn remembering() -> Self {
        Self { valid: Some(BTreeSet::new()), ..Self::default() }
    }

    /// What a signature is remembered by, among those that were judged by the same rules.
    pub(super) fn name_of(&self, rules: &[u8], item: &SignatureItem<'_>) -> Option<Hash> {
        let SignatureItem { key, message, signature } = item;
        // Key and signature are of fixed length under their scheme.
        self.valid.as_ref().map(|_| Hash::plain(&[rules, &[key.scheme().byte()], key.bytes(), &signature.0, message]))
    }

    /// [`PublicKey::check_registrable`], found once.
    pub(super) fn is_registrable(&mut self, key: &PublicKey) -> bool {
        if self.registrable.contains(key) {
            return true;
        }
        let registrable = key.check_registrable().is_ok();
        if registrable {
            // Rather forget than grow.
            if self.registrable.len() >= REGISTRABLE_MAX {
                self.registrable.clear();
            }
            self.registrable.insert(*key);
        }
        registrable
    }

    pub(super) fn knows(&self, name: Option<Hash>) -> bool {
        self.valid.as_ref().zip(name).is_some_and(|(valid, name)| valid.contains(&name))
    }

    pub(super) fn remember(&mut self, name: Option<Hash>) {
        if let (Some(valid), Some(name)) = (&mut self.valid, name) {
            // Rather forget than grow.
            if valid.len() >= REMEMBERED_MAX {
                valid.clear();
            }
            valid.insert(name);
        }
    }

    /// The point of a key, by the rules of ZIP 215: an encoding that is not canonical is good, one that is no point is
    /// not.
    pub(super) fn point(&mut self, key: &[u8; 32]) -> Option<EdwardsPoint> {
        if let Some(point) = self.young.get(key) {
            return Some(*point);
        }
        let known = self.old.get(key).copied();
        let point = known.or_else(|| CompressedEdwardsY(*key).decompress())?;
        if self.young.len() >= CACHED_KEYS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(*key, point);
        Some(point)
    }
}

#[cfg(test)]
impl KeyCache {
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    pub(super) fn holds(&self, key: &[u8; 32]) -> bool {
        self.young.contains_key(key) || self.old.contains_key(key)
    }
}

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

/// Verifies signatures of any schemes together: Ed25519 in batches of up to [`BATCH_ITEMS_MAX`], P-256 singly. Returns
/// whether each is valid, in the order of the items.
///
/// `seed` must be unpredictable to those who send signatures and fresh for each call (this room draws no
/// randomness): a batch is a random linear combination of its equations, and who knows the coefficients can
/// choose invalid signatures whose errors cancel, so that the batch passes. The verdicts do not depend on the
/// seed but with a probability of about 2^-128. Nor do they depend on what `keys` holds.
pub fn verify_batch(items: &[SignatureItem<'_>], seed: [u8; 32], keys: &mut KeyCache) -> Vec<bool> {
    let group_of = (0..items.len()).collect();
    run(items, group_of, items.len(), seed, keys).valid
}

/// As [`verify_batch`], of groups that are good whole or not at all, such as a transaction's signatures: one in which a
/// wrong signature was found costs no further check. Returns for each group the place in it of a wrong signature that was
/// found; `None` if all of it are valid.
pub fn verify_groups(groups: &[Vec<SignatureItem<'_>>], seed: [u8; 32], keys: &mut KeyCache) -> Vec<Option<usize>> {
    run_groups(groups, seed, keys).wrong
}

/// Each wrong place is one within its group.
pub(super) fn run_groups<'k>(groups: &[Vec<SignatureItem<'_>>], seed: [u8; 32], keys: &'k mut KeyCache) -> Work<'k> {
    let items: Vec<SignatureItem<'_>> = groups.iter().flatten().copied().collect();
    let numbers = groups.iter().enumerate();
    let group_of = numbers.flat_map(|(number, group)| std::iter::repeat_n(number, group.len())).collect();
    let mut work = run(&items, group_of, groups.len(), seed, keys);
    let mut first = 0;
    for (group, wrong) in groups.iter().zip(&mut work.wrong) {
        *wrong = wrong.map(|place| place - first);
        first += group.len();
    }
    work
}

pub(super) fn run<'k>(
    items: &[SignatureItem<'_>],
    group_of: Vec<usize>,
    groups: usize,
    seed: [u8; 32],
    keys: &'k mut KeyCache,
) -> Work<'k> {
    let mut work = Work {
        random: ChaCha20Rng::from_seed(seed),
        valid: vec![false; items.len()],
        group_of,
        wrong: vec![None; groups],
        keys,
        #[cfg(test)]
        cost: Cost::default(),
    };
    let names: Vec<Option<Hash>> = items.iter().map(|item| work.keys.name_of(&[], item)).collect();
    // Alone there is nothing to combine it with.
    let alone = names.iter().filter(|name| !work.keys.knows(**name)).count() == 1;
    let mut prepared = Vec::with_capacity(items.len().min(BATCH_ITEMS_MAX));
    for (place, item) in items.iter().enumerate() {
        if work.keys.knows(names[place]) {
            work.valid[place] = true;
            continue;
        }
        if alone {
            work.single(place, item);
            continue;
        }
        match &item.key.0 {
            KeyBytes::Ed25519(key) => {
                prepared.push(Prepared { place, item: *item, equation: work.equation(key, item) });
                if prepared.len() == BATCH_ITEMS_MAX {
                    work.settle(&prepared);
                    prepared.clear();
                }
            }
            KeyBytes::EcdsaP256(_) => work.single(place, item),
        }
    }
    work.settle(&prepared);
    for (name, valid) in names.into_iter().zip(&work.valid) {
        if *valid {
            work.keys.remember(name);
        }
    }
    work
}

/// An item whose points were found.
struct Prepared<'a> {
    place: usize,
    item: SignatureItem<'a>,
    equation: Option<Equation>,
}

/// What must hold of an Ed25519 signature (ZIP 215, after RFC 8032 §5.1.7): `[8][s]B = [8]R + [8][k]A`.
struct Equation {
    key: [u8; 32],
    key_point: EdwardsPoint,
    nonce_point: EdwardsPoint,
    s: Scalar,
    k: Scalar,
}

impl Equation {
    /// Whether it holds, alone.
    fn holds(&self) -> bool {
        let right = EdwardsPoint::vartime_double_scalar_mul_basepoint(&self.k, &-self.key_point, &self.s);
        (right - self.nonce_point).mul_by_cofactor().is_identity()
    }
}

pub(super) struct Work<'k> {
    random: ChaCha20Rng,
    /// Whether each item is valid.
    pub(super) valid: Vec<bool>,
    /// The group of each item.
    group_of: Vec<usize>,
    /// For each group an item that is wrong, once one was found.
    pub(super) wrong: Vec<Option<usize>>,
    keys: &'k mut KeyCache,
    #[cfg(test)]
    pub(super) cost: Cost,
}

/// What was done, for tests that bound it.
#[cfg(test)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    /// Batch equations evaluated.
    pub(super) batches: usize,
    /// Times that a signature was checked, in a batch or singly. One for each item if all are valid.
    pub(super) checks: usize,
}

impl Work<'_> {
    /// The equation of an item. `None` where A or R is no point, or s is not below the group's order: such a signature
    /// is not valid.
    fn equation(&mut self, key: &[u8; 32], item: &SignatureItem<'_>) -> Option<Equation> {
        pause::steps(pause::SIGNATURE_STEPS);
        let (nonce, s) = item.signature.0.split_first_chunk::<32>()?;
        let s = Option::from(Scalar::from_canonical_bytes(s.try_into().ok()?))?;
        let key_point = self.keys.point(key)?;
        let nonce_point = CompressedEdwardsY(*nonce).decompress()?;
        let hash = Sha512::new().chain_update(nonce).chain_update(key).chain_update(item.message).finalize();
        let k = Scalar::from_bytes_mod_order_wide(&hash.into());
        Some(Equation { key: *key, key_point, nonce_point, s, k })
    }

    /// Decides all of `items`: in one equation, or else in groups, or else one by one.
    fn settle(&mut self, items: &[Prepared<'_>]) {
        if items.iter().all(|item| self.is_decided(item.place)) {
            return;
        }
        if items.len() > 1 && self.all_valid(items) {
            items.iter().for_each(|item| self.valid[item.place] = true);
        } else if items.len() > GROUP_ITEMS {
            items.chunks(GROUP_ITEMS).for_each(|group| self.settle(group));
        } else {
            items.iter().for_each(|Prepared { place, item, .. }| self.single(*place, item));
        }
    }

    /// Whether its group is refused already.
    fn is_decided(&self, place: usize) -> bool {
        self.wrong[self.group_of[place]].is_some()
    }

    /// Decides one item, unless its group is refused already.
    fn single(&mut self, place: usize, item: &SignatureItem<'_>) {
        if self.is_decided(place) {
            return;
        }
        pause::steps(pause::SINGLE_STEPS);
        #[cfg(test)]
        {
            self.cost.checks += 1;
        }
        self.valid[place] = match &item.key.0 {
            KeyBytes::Ed25519(key) => self.equation(key, item).is_some_and(|equation| equation.holds()),
            KeyBytes::EcdsaP256(_) => verify(item.key, item.message, item.signature),
        };
        if !self.valid[place] {
            self.wrong[self.group_of[place]] = Some(place);
        }
    }

    /// Whether a random linear combination of all equations holds:
    /// `[8]([-sum(z s)]B + sum([z]R) + sum([z k]A)) = 0`, each z of 128 bits. The terms of one key are one.
    fn all_valid(&mut self, items: &[Prepared<'_>]) -> bool {
        #[cfg(test)]
        {
            self.cost.batches += 1;
            self.cost.checks += items.len();
        }
        let mut base = Scalar::ZERO;
        let mut terms = Vec::with_capacity(items.len());
        let (mut scalars, mut points) =
            (Vec::with_capacity(2 * items.len() + 1), Vec::with_capacity(2 * items.len() + 1));
        for Prepared { equation, .. } in items {
            let Some(equation) = equation else { return false };
            let mut z = [0; 16];
            self.random.fill_bytes(&mut z);
            let z = Scalar::from(u128::from_le_bytes(z));
            base -= z * equation.s;
            scalars.push(z);
            points.push(equation.nonce_point);
            terms.push((number_of(&equation.key), z * equation.k, &equation.key_point));
        }
        terms.sort_unstable_by_key(|(key, ..)| *key);
        for same in terms.chunk_by(|(one, ..), (next, ..)| one == next) {
            scalars.push(same.iter().map(|(_, term, _)| term).sum());
            points.extend(same.first().map(|(.., point)| **point));
        }
        scalars.push(base);
        points.push(ED25519_BASEPOINT_POINT);
        EdwardsPoint::vartime_multiscalar_mul(&scalars, &points).mul_by_cofactor().is_identity()
    }
}

/// A key as what is compared at once.
fn number_of(key: &[u8; 32]) -> (u128, u128) {
    let half = |at: usize| u128::from_le_bytes(std::array::from_fn(|byte| key[at + byte]));
    (half(0), half(16))
}
