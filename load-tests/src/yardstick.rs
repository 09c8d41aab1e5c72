//! The limit that a peer is measured against: what all cores of this machine verify a second, and nothing else.
//!
//! The yardstick is fixed: `ed25519-zebra` batches of 1,024 distinct keys, as anybody would write them, in the build
//! of this program or, by `--yardstick`, of another build of it, one thread a core. Beside it stands the peer's own verifier
//! ([`ledger_classes::keys::verify_batch`]) on the same signatures; making that faster must not move the yardstick.

use crate::error::LoadError;
use crate::machine;
use crate::options::Options;
use crate::process::Usage;
use ed25519_zebra::{Signature, SigningKey, VerificationKeyBytes, batch};
use ledger_classes::keys::{self, KeyCache, PublicKey, SignatureItem};
use ledger_classes::primitives::hash::Hash;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use serde::Serialize;
use serde_json::Value;
use std::cell::RefCell;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Signatures, and distinct keys, of one batch.
pub const BATCH: usize = 1024;
/// Bytes of a signed message: a transfer in the binary encoding.
const MESSAGE_BYTES: usize = 203;

/// Signatures verified a second on all cores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Limits {
    /// Plain `ed25519-zebra` batches.
    pub limit_per_s: f64,
    /// The peer's own verifier.
    pub own_limit_per_s: f64,
    /// Processor microseconds of one signature in the peer's own verifier: unlike the rates, hardly moved by what
    /// else the machine does.
    pub own_cpu_us: f64,
}

thread_local! {
    /// The peer's verifier knows the points of recent senders' keys.
    static KEYS: RefCell<KeyCache> = RefCell::default();
}

/// One batch of valid signatures, in both forms.
pub struct Yardstick {
    seed: [u8; 32],
    plain: Vec<(VerificationKeyBytes, Signature, Vec<u8>)>,
    own: Vec<(PublicKey, keys::Signature)>,
}

impl Yardstick {
    /// Keys and messages follow from `seed`.
    pub fn new(seed: u64) -> Self {
        let plain: Vec<_> = (0..BATCH as u64)
            .map(|number| {
                let secret = Hash::plain(&[b"yardstick", &seed.to_le_bytes(), &number.to_le_bytes()]);
                let key = SigningKey::from_bytes(&secret.0);
                let mut message = vec![0x5a; MESSAGE_BYTES];
                message[..8].copy_from_slice(&number.to_le_bytes());
                let signature = key.sign(&message);
                (VerificationKeyBytes::from(&key), signature, message)
            })
            .collect();
        let own = plain
            .iter()
            .map(|(key, signature, _)| (PublicKey::ed25519((*key).into()), keys::Signature(signature.to_bytes())))
            .collect();
        Self { seed: Hash::plain(&[b"coefficients", &seed.to_le_bytes()]).0, plain, own }
    }

    /// Measures both, each for `window`.
    pub fn measure(&self, window: Duration) -> Limits {
        let limit_per_s = on_all_cores(window, || self.plain_batch()).per_s;
        let before = Usage::of(std::process::id()).cpu;
        let own = on_all_cores(window, || self.own_batch());
        let cpu = Usage::of(std::process::id()).cpu.saturating_sub(before);
        Limits { limit_per_s, own_limit_per_s: own.per_s, own_cpu_us: cpu.as_secs_f64() * 1e6 / own.signatures }
    }

    fn plain_batch(&self) {
        let mut verifier = batch::Verifier::new();
        for (key, signature, message) in &self.plain {
            verifier.queue((*key, *signature, message));
        }
        let verdict = verifier.verify(ChaCha20Rng::from_seed(self.seed));
        assert!(verdict.is_ok(), "the yardstick's signatures are valid");
    }

    fn own_batch(&self) {
        let items = self.plain.iter().zip(&self.own);
        let items: Vec<_> =
            items.map(|((_, _, message), (key, signature))| SignatureItem { key, message, signature }).collect();
        let valid = KEYS.with_borrow_mut(|keys| keys::verify_batch(&items, self.seed, keys));
        assert!(valid.iter().all(|valid| *valid), "the yardstick's signatures are valid");
    }
}

/// The fixed limit as another build of this program measures it, by its scenario `limit`.
pub fn measure_by(program: &Path, options: &Options) -> Result<f64, LoadError> {
    let report = tempfile::NamedTempFile::new().map_err(|source| LoadError::file(program, source))?;
    let half = options.limit_seconds.as_secs_f64() / 2.0;
    let output = Command::new(program)
        .args(["limit", "--limit-seconds", &half.max(0.01).to_string(), "--seed", &options.seed.to_string(), "--json"])
        .arg(report.path())
        .output()
        .map_err(|source| LoadError::file(program, source))?;
    let text = std::fs::read_to_string(report.path()).map_err(|source| LoadError::file(report.path(), source))?;
    let limit = ledger_classes::primitives::json::from_str::<Value>(&text)
        .ok()
        .and_then(|report| report.get("limit_per_s")?.as_f64());
    limit.filter(|_| output.status.success()).ok_or_else(|| LoadError::Yardstick {
        program: program.into(),
        output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

struct Rate {
    per_s: f64,
    signatures: f64,
}

/// Repeats `batch` on one thread a core.
fn on_all_cores(window: Duration, batch: impl Fn() + Sync) -> Rate {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..machine::cores())
            .map(|_| {
                scope.spawn(|| {
                    let (start, mut batches) = (Instant::now(), 0u32);
                    while start.elapsed() < window {
                        batch();
                        batches += 1;
                    }
                    let signatures = f64::from(batches) * BATCH as f64;
                    Rate { per_s: signatures / start.elapsed().as_secs_f64(), signatures }
                })
            })
            .collect();
        let rates = threads.into_iter().map(|thread| thread.join().expect("a yardstick's thread does not panic"));
        rates.fold(Rate { per_s: 0.0, signatures: 0.0 }, |sum, rate| Rate {
            per_s: sum.per_s + rate.per_s,
            signatures: sum.signatures + rate.signatures,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_count_verified_signatures() {
        let limits = Yardstick::new(7).measure(Duration::from_millis(1));
        assert!(limits.limit_per_s > 0.0 && limits.own_limit_per_s > 0.0);
    }

    #[test]
    #[should_panic(expected = "a yardstick's thread does not panic")]
    fn a_yardstick_that_verifies_nothing_measures_nothing() {
        let mut yardstick = Yardstick::new(7);
        yardstick.plain[9].2[0] ^= 1;
        yardstick.measure(Duration::from_millis(1));
    }
}
