//! What executing may cost: steps of work, events, bytes of receipts and bytes written, for one transaction or timer and
//! for a block. Without it a few kilobytes of transactions could keep a channel busy for minutes, and make receipts that
//! nobody can read again.
//!
//! How much it is says the channel's configuration ([`Budgets`]).
//! Relations that always hold: what one unit uses is at most `Allowed::unit` and what it was doing when it passed that; a
//! unit begins only while its block has used less than `Allowed::block`, a timer only while it has used less than
//! `Allowed::timers`. A block is four units at least, so it uses at most what it may and one unit, timers leave
//! transactions at least a quarter of it, a single transaction fits every block, and what does not begin waits for the next
//! one, in its order.

use crate::formats::config::{Budget, Budgets};
use crate::formats::detail::Resource;

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

/// What a channel allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed {
    /// What a transaction or a timer may use.
    pub(super) unit: Usage,
    /// What a block has used when no further transaction begins in it.
    pub(super) block: Usage,
    /// What a block has used when no further timer begins in it.
    pub(super) timers: Usage,
}

impl Allowed {
    pub(super) fn of(Budgets { transaction, block }: &Budgets) -> Self {
        let usage = |budget: &Budget| Usage {
            steps: budget.steps.into(),
            events: budget.events.into(),
            receipt_bytes: budget.receipt_bytes.into(),
            written_bytes: budget.written_bytes.into(),
        };
        let block = usage(block);
        let timers = Usage {
            steps: block.steps / 2,
            events: block.events / 2,
            receipt_bytes: block.receipt_bytes / 2,
            written_bytes: block.written_bytes / 2,
        };
        Self { unit: usage(transaction), block, timers }
    }
}

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
    pub(super) fn cost(&self, block: &Self) -> u64 {
        let part = |used: u64, all: u64| used.saturating_mul(BLOCK_COST) / all.max(1);
        part(self.steps, block.steps)
            .max(part(self.events, block.events))
            .max(part(self.receipt_bytes, block.receipt_bytes))
            .max(part(self.written_bytes, block.written_bytes))
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
