//! The peer's memory for what callers cause: one configured number, in parts for what must not crowd out each other.

use crate::limits::BUDGET_OF_MEMORY;

/// The parts, in bytes. What is left of the whole is for the program itself, its connections and its channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Bodies of requests, from their first byte to the answer.
    pub bodies: usize,
    /// Answers, until they are sent.
    pub answers: usize,
    /// Recent blocks with the frames that subscribers are sent.
    pub blocks: usize,
    /// What channels' stores keep of their files, and what they have not written yet.
    pub stores: usize,
}

impl Parts {
    /// The parts of `limits.memory_bytes_max`.
    pub const fn of(total: usize) -> Self {
        Self { bodies: total / 8, answers: total / BUDGET_OF_MEMORY, blocks: total / 8, stores: total / 4 }
    }
}
