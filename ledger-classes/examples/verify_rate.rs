//! Rate of signature verification on one core: `cargo run --release -p ledger-classes --example verify_rate`.
//! With `RUSTFLAGS='--cfg curve25519_dalek_backend="simd"'` it measures AVX2 instead of the AVX-512 code that
//! `.cargo/config.toml` asks for.
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use ledger_classes::keys::{KeyCache, PublicKey, Signature, SignatureItem, SigningKey, verify, verify_batch};
use std::time::{Duration, Instant};

type Case = (PublicKey, Vec<u8>, Signature);

/// `count` signatures of about a transaction's size under `keys` distinct keys.
fn cases(count: usize, keys: usize) -> Vec<Case> {
    let signers: Vec<_> = (0..keys)
        .map(|number| {
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&number.to_le_bytes());
            SigningKey::from_seed(&seed)
        })
        .collect();
    (0..count)
        .map(|number| {
            let signer = &signers[number % keys];
            let mut message = vec![0x5a; 203];
            message[..8].copy_from_slice(&number.to_le_bytes());
            let signature = signer.sign(&message);
            (signer.public(), message, signature)
        })
        .collect()
}

/// Signatures a second, by the fastest of several rounds: the machine has other work.
fn rate(count: usize, mut round: impl FnMut()) -> f64 {
    let mut best = Duration::MAX;
    for _ in 0..12 {
        let start = Instant::now();
        round();
        best = best.min(start.elapsed());
    }
    count as f64 / best.as_secs_f64()
}

fn batch_rate(cases: &[Case], items: usize) -> f64 {
    let all: Vec<_> = cases.iter().map(|(key, message, signature)| SignatureItem { key, message, signature }).collect();
    let mut cache = KeyCache::default();
    rate(all.len(), || {
        all.chunks(items).for_each(|chunk| drop(verify_batch(chunk, [7; 32], &mut cache)));
    })
}

fn main() {
    let distinct = cases(8192, 8192);
    let single = rate(distinct.len(), || {
        assert!(distinct.iter().all(|(key, message, signature)| verify(key, message, signature)));
    });
    println!("single, distinct keys            {single:>9.0}/s");
    for items in [32, 256, 1024, 2048, 4096, 8192] {
        println!("batch of {items:>4}, distinct keys     {:>9.0}/s", batch_rate(&distinct, items));
    }
    println!("batch of 1024, 16 keys           {:>9.0}/s", batch_rate(&cases(2048, 16), 1024));
    for bad in [1, 2, 4, 8, 32, 1024] {
        let mut cases = cases(1024, 1024);
        for number in 0..bad {
            cases[number * 1024 / bad].2.0[33] ^= 1;
        }
        println!("batch of 1024, {bad:>4} of them bad  {:>9.0}/s", batch_rate(&cases, 1024));
    }
}
