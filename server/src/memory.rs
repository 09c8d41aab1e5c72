//! The peer's memory for what callers cause: one configured number, in parts for what must not crowd out each other.

use crate::limits::CONNECTION_BYTES;

/// The parts, in bytes. What is left of the whole, a thirty-second, is for the program itself.
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
    /// Client connections, each with the subscription that may be on it.
    pub connections: usize,
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
            connections: 3 * part,
        }
    }

    /// How many of so many connections their part holds. Logs if that is fewer.
    pub fn connections(&self, wanted: usize) -> usize {
        let connections = self.connections / CONNECTION_BYTES;
        if connections < wanted {
            tracing::warn!(
                wanted,
                connections,
                "limits.memory_bytes_max does not suffice for limits.connections_max: {CONNECTION_BYTES} bytes each"
            );
        }
        connections.min(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::config::Limits;

    /// Ten thousand subscriptions took 320 MB beside all that was bounded.
    #[test]
    fn connections_have_a_part_of_the_memory_and_the_parts_are_less_than_the_whole() {
        let limits = Limits::default();
        let parts = Parts::of(limits.memory_bytes_max);
        let Parts { bodies, answers, in_flight, blocks, brought, caches, writes, connections } = parts;
        let all = bodies + answers + in_flight + blocks + brought + caches + writes + connections;
        assert_eq!(all, limits.memory_bytes_max / 32 * 31);
        assert_eq!(parts.connections(limits.connections_max), limits.connections_max, "by default all fit");
        assert_eq!(parts.connections(7), 7);
        let few = Parts::of(128 * 1024 * 1024);
        assert_eq!(few.connections(limits.connections_max), 12 * 1024 * 1024 / CONNECTION_BYTES);
    }
}
