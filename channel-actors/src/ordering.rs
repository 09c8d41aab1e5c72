//! Ordering: what makes a proposed block final. An engine is a pure state machine behind a trait; the machine gives
//! it inputs and performs its effects. Terms, rounds and views stay inside this folder.

mod solo;

pub use solo::Solo;

use ledger_classes::block::{Header, Seal};
use ledger_classes::hash::Hash;

/// What an engine is told.
#[derive(Clone, Debug)]
pub enum OrderingInput<'a> {
    /// This peer has executed a block and wants it to be the next one.
    Propose {
        /// Its header.
        header: &'a Header,
        /// The header's hash.
        hash: Hash,
    },
}

/// What an engine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum OrderingEffect {
    /// The proposed block at this height is final.
    Seal {
        /// Its height.
        height: u64,
        /// The seal.
        seal: Seal,
    },
}

/// An ordering engine. Blocks are proposed in order of height; several may be under way.
pub trait OrderingEngine: Send {
    /// Takes an input.
    fn on(&mut self, input: OrderingInput<'_>) -> Vec<OrderingEffect>;
}
