//! Where this room takes randomness from the system. Cores get it as an argument.

use ring::rand::{SecureRandom, SystemRandom};

/// 32 bytes that nobody can predict.
pub(crate) fn random_seed() -> [u8; 32] {
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).expect("the system's random generator works from early boot on");
    seed
}
