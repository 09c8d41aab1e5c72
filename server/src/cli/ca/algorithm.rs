//! The algorithm of a new key, as a command names it.

use clap::ValueEnum;
use pki::KeyAlgorithm;

/// Key algorithms.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum Algorithm {
    /// Ed25519: browsers refuse such certificates
    Ed25519,
    /// ECDSA on P-256
    #[default]
    P256,
}

impl From<Algorithm> for KeyAlgorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Ed25519 => Self::Ed25519,
            Algorithm::P256 => Self::P256,
        }
    }
}
