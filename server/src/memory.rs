//! The peer's memory for what callers cause: one configured number, in parts for what must not crowd out each other.

/// The parts, in bytes. What is left of the whole, an eighth, is for the program itself and its connections.
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
    /// Pages that the channels' stores keep of their files.
    pub caches: usize,
    /// What they have applied and not written yet, and what they wrote last.
    pub writes: usize,
}

impl Parts {
    /// The parts of `limits.memory_bytes_max`.
    pub const fn of(total: usize) -> Self {
        let part = total / 32;
        Self {
            bodies: 4 * part,
            answers: 6 * part,
            in_flight: 4 * part,
            blocks: 4 * part,
            brought: part,
            caches: 3 * part,
            // One channel alone has what it would have on a machine of its own: 64 MiB that wait, 64 that are being written,
            // 64 that come meanwhile.
            writes: 6 * part,
        }
    }
}
