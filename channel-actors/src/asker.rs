//! Who asks for a read, as far as turns go: the same caller has the same number as long as the process runs.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

/// A caller: what it asks has its turn beside what others ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Asker(u64);

impl Asker {
    /// The peer itself.
    pub const PEER: Self = Self(0);

    /// The caller of a name, such as an identity or an address. Nobody outside can find two names of one number.
    pub fn named(name: &str) -> Self {
        static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(KEYS.hash_one(name).max(1))
    }

    /// The caller of a number.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }
}
