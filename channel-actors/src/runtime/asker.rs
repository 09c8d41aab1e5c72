//! Who asks for a read, as far as turns go: the same caller has the same number as long as the process runs.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

/// Key by which callers are scheduled fairly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Asker {
    number: u64,
    /// The number of its organization; 0 without one.
    organization: u64,
}

impl Asker {
    /// The peer itself.
    pub const PEER: Self = Self { number: 0, organization: 0 };

    /// The caller of a name, such as an identity or an address. Nobody outside can find two names of one number.
    pub fn named(name: &str) -> Self {
        Self::from_number(number_of(name))
    }

    /// The same caller, who is of an organization: what all of it hold together is counted, too.
    #[must_use]
    pub fn of(self, organization: &str) -> Self {
        Self { organization: number_of(organization), ..self }
    }

    /// The caller of a number.
    pub const fn from_number(number: u64) -> Self {
        Self { number, organization: 0 }
    }

    /// The number of its organization, if it has one.
    pub fn organization(self) -> Option<u64> {
        Some(self.organization).filter(|number| *number > 0)
    }
}

fn number_of(name: &str) -> u64 {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    KEYS.hash_one(name).max(1)
}
