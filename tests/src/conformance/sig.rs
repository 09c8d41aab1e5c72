//! `conformance sig`: signatures, one by one through `keys::verify` or shuffled in batches through
//! `keys::verify_batch`, which is what a verifier shard calls.

use super::{Answer, Line, answer_lines, for_each_line, parse_line, write_answer};
use ledger_classes::keys::{
    KeyCache, PublicKey, Scheme, Signature, SignatureItem, verify, verify_batch, verify_strict,
};
use ledger_classes::primitives::hash::Hash;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use serde::Deserialize;
use std::io::{self, BufRead, Write};
use std::num::NonZeroUsize;

/// A vector as it stands in the line; texts in hex.
#[derive(Debug, Deserialize)]
pub struct SignatureVector {
    scheme: String,
    key: String,
    message: String,
    signature: String,
}

/// A vector that the ledger's types can hold.
#[derive(Clone, Debug)]
struct Case {
    key: PublicKey,
    message: Vec<u8>,
    signature: Signature,
}

/// How signatures are verified together.
#[derive(Clone, Copy, Debug)]
pub struct Batches {
    /// Signatures handed over at once.
    pub items: NonZeroUsize,
    /// Chooses the order and the coefficients.
    pub seed: u64,
}

/// Answers every line of `input` by the rules of seals.
pub fn run_seals(input: impl BufRead, output: &mut impl Write) -> io::Result<()> {
    answer_lines(input, output, |vector| {
        Ok(read(vector)?.is_some_and(|case| verify_strict(&case.key, &case.message, &case.signature).is_ok()))
    })
}

/// Answers every line of `input`.
pub fn run(input: impl BufRead, output: &mut impl Write, batches: Option<Batches>) -> io::Result<()> {
    match batches {
        None => answer_lines(input, output, |vector| {
            Ok(read(vector)?.is_some_and(|case| verify(&case.key, &case.message, &case.signature)))
        }),
        Some(batches) => run_batches(input, output, batches),
    }
}

fn run_batches(input: impl BufRead, output: &mut impl Write, batches: Batches) -> io::Result<()> {
    let (mut answers, mut cases) = (Vec::new(), Vec::new());
    for_each_line(input, |text| {
        let Line { id, vector } = parse_line(text);
        let mut answer = Answer { id, ok: false, error: None };
        match vector.and_then(|vector| read(&vector)) {
            Ok(Some(case)) => cases.push((answers.len(), case)),
            Ok(None) => {}
            Err(error) => answer.error = Some(error),
        }
        answers.push(answer);
        Ok(())
    })?;
    shuffle(&mut cases, batches.seed);
    for (number, batch) in cases.chunks(batches.items.get()).enumerate() {
        let items: Vec<_> = batch
            .iter()
            .map(|(_, case)| SignatureItem { key: &case.key, message: &case.message, signature: &case.signature })
            .collect();
        // Reproducible, which a shard's seed must not be: see `verify_batch`.
        let Hash(seed) = Hash::plain(&[&batches.seed.to_le_bytes(), &(number as u64).to_le_bytes()]);
        for ((place, _), valid) in batch.iter().zip(verify_batch(&items, seed, &mut KeyCache::default())) {
            answers[*place].ok = valid;
        }
    }
    answers.iter().try_for_each(|answer| write_answer(output, answer))
}

/// Fisher and Yates' shuffle. The remainder's bias does not matter here.
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut random = ChaCha20Rng::seed_from_u64(seed);
    for last in (1..items.len()).rev() {
        let other = random.next_u64() % (last as u64 + 1);
        items.swap(last, usize::try_from(other).expect("below a usize"));
    }
}

/// `Ok(None)` is a malformed key or signature, which is invalid; `Err` a vector that is none.
fn read(vector: &SignatureVector) -> Result<Option<Case>, String> {
    let scheme = match vector.scheme.as_str() {
        "p256" => Scheme::EcdsaP256,
        name => name.parse().map_err(|_| format!("unknown scheme {name:?}"))?,
    };
    let message = hex::decode(&vector.message).map_err(|error| format!("message: {error}"))?;
    let (Ok(key), Ok(signature)) = (hex::decode(&vector.key), hex::decode(&vector.signature)) else {
        return Ok(None);
    };
    Ok(read_key(scheme, &key).zip(read_signature(scheme, &signature)).map(|(key, signature)| Case {
        key,
        message,
        signature,
    }))
}

/// P-256 keys may be compressed here; the ledger knows the uncompressed form only.
fn read_key(scheme: Scheme, bytes: &[u8]) -> Option<PublicKey> {
    match (scheme, bytes.len()) {
        (Scheme::EcdsaP256, 33) => PublicKey::p256_from_sec1(bytes).ok(),
        _ => PublicKey::new(scheme, bytes).ok(),
    }
}

/// P-256 signatures may be DER here. DER of exactly 64 bytes is possible (short r and s); strict DER is so
/// unlikely among raw signatures that it is taken for what it looks like.
fn read_signature(scheme: Scheme, bytes: &[u8]) -> Option<Signature> {
    let raw = || Signature::new(bytes).ok();
    match scheme {
        Scheme::Ed25519 => raw(),
        Scheme::EcdsaP256 => Signature::from_ecdsa_der(bytes).ok().or_else(raw),
    }
}
