//! What executing may cost: steps of work, events, bytes of receipts and bytes written, for one transaction or timer and
//! for a block. Without it a few kilobytes of transactions could keep a channel busy for minutes, and make receipts that
//! nobody can read again.
//!
//! Relations that always hold: what one unit uses is at most [`UNIT`] and what it was doing when it passed that; a unit
//! begins only while its block has used less than [`BLOCK`], a timer only while it has used less than [`TIMERS`]. So a
//! block uses at most [`BLOCK`] and one unit, timers leave transactions at least a quarter of it, a single transaction fits
//! every block, and what does not begin waits for the next one, in its order.

use crate::detail::Resource;
use crate::limits;

/// What was used, or may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Work: about a microsecond each.
    pub steps: u64,
    /// Events.
    pub events: u64,
    /// Bytes of receipts.
    pub receipt_bytes: u64,
    /// Bytes of keys and values written, each time that they are.
    pub written_bytes: u64,
}

/// What a transaction or a timer may use.
pub const UNIT: Usage = Usage {
    steps: limits::UNIT_STEPS_MAX,
    events: limits::EVENTS_MAX as u64,
    receipt_bytes: limits::UNIT_RECEIPT_BYTES_MAX,
    written_bytes: limits::UNIT_WRITTEN_BYTES_MAX,
};

/// What a block has used when no further transaction begins in it.
pub const BLOCK: Usage = Usage {
    steps: limits::BLOCK_STEPS,
    events: limits::BLOCK_EVENTS,
    receipt_bytes: limits::BLOCK_RECEIPT_BYTES,
    written_bytes: limits::BLOCK_WRITTEN_BYTES,
};

/// What a block has used when no further timer begins in it.
pub const TIMERS: Usage = Usage {
    steps: BLOCK.steps / 2,
    events: BLOCK.events / 2,
    receipt_bytes: BLOCK.receipt_bytes / 2,
    written_bytes: BLOCK.written_bytes / 2,
};

const _: () = assert!(
    UNIT.steps <= BLOCK.steps / 4
        && UNIT.events <= BLOCK.events / 4
        && UNIT.receipt_bytes <= BLOCK.receipt_bytes / 4
        && UNIT.written_bytes <= BLOCK.written_bytes / 4
);

impl Usage {
    pub(super) const fn add(&mut self, other: Self) {
        self.steps = self.steps.saturating_add(other.steps);
        self.events = self.events.saturating_add(other.events);
        self.receipt_bytes = self.receipt_bytes.saturating_add(other.receipt_bytes);
        self.written_bytes = self.written_bytes.saturating_add(other.written_bytes);
    }

    /// What of `budget` is passed.
    pub(super) const fn beyond(&self, budget: &Self) -> Option<Resource> {
        if self.steps > budget.steps {
            Some(Resource::Work)
        } else if self.events > budget.events {
            Some(Resource::Events)
        } else if self.receipt_bytes > budget.receipt_bytes {
            Some(Resource::EventBytes)
        } else if self.written_bytes > budget.written_bytes {
            Some(Resource::WrittenBytes)
        } else {
            None
        }
    }

    /// Whether all of `budget` is still there but a part.
    pub(super) const fn is_below(&self, budget: &Self) -> bool {
        self.steps < budget.steps
            && self.events < budget.events
            && self.receipt_bytes < budget.receipt_bytes
            && self.written_bytes < budget.written_bytes
    }
}

/// What a whole block costs, as transactions are told what they cost.
pub const BLOCK_COST: u64 = 1 << 20;

impl Usage {
    /// The part of a block's budget that this is, of what it uses most of, where [`BLOCK_COST`] is all of it.
    pub(super) fn cost(&self) -> u64 {
        let part = |used: u64, all: u64| used.saturating_mul(BLOCK_COST) / all;
        part(self.steps, BLOCK.steps)
            .max(part(self.events, BLOCK.events))
            .max(part(self.receipt_bytes, BLOCK.receipt_bytes))
            .max(part(self.written_bytes, BLOCK.written_bytes))
    }

    pub(super) const fn since(&self, before: &Self) -> Self {
        Self {
            steps: self.steps.saturating_sub(before.steps),
            events: self.events.saturating_sub(before.events),
            receipt_bytes: self.receipt_bytes.saturating_sub(before.receipt_bytes),
            written_bytes: self.written_bytes.saturating_sub(before.written_bytes),
        }
    }
}

/// The work of reading or writing a value of so many bytes.
pub(super) const fn of_value(bytes: usize) -> u64 {
    1 + (bytes as u64 >> 10)
}

/// The work of a look for the next key.
pub(super) const LOOK: u64 = 4;
/// The work of verifying one signature among many.
pub(super) const SIGNATURE: u64 = 16;
/// The work of looking whether a point of a curve is a usable key.
pub(super) const KEY: u64 = 64;
/// The work of reading a certificate.
pub(super) const CERTIFICATE: u64 = 32;
/// The work of verifying a certificate in a path, or an answer about one.
pub(super) const PATH_PART: u64 = 256;
