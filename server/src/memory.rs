//! The peer's memory for what callers cause: one configured number, in parts for what must not crowd out each other.

use crate::limits::BUDGET_OF_MEMORY;

/// The parts, in bytes. What is left of the whole is for the program itself, its
/// connections, and what its channels' stores keep of their files and have not written yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Bodies of requests, from their first byte to the answer.
    pub bodies: usize,
    /// Answers, until they are sent.
    pub answers: usize,
    /// Payloads and signatures of transactions between door and commit.
    pub in_flight: usize,
    /// Recent blocks with the frames that subscribers are sent.
    pub blocks: usize,
    /// Answers of CAs elsewhere, which are kept until the certificates that they revoke expire.
    pub brought: usize,
}

impl Parts {
    /// The parts of `limits.memory_bytes_max`.
    pub const fn of(total: usize) -> Self {
        let answers = total / BUDGET_OF_MEMORY;
        Self { bodies: total / 8, answers, in_flight: total / 8, blocks: total / 8, brought: total / 16 }
    }
}
