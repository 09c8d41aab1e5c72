//! The parts of a channel's room that callers and organizations hold: none holds all of it, so others find some.

use crate::limits::{BYTES_IN_FLIGHT_MAX, TRANSACTIONS_IN_FLIGHT_MAX};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Transactions and bytes that somebody holds.
#[derive(Default)]
pub(crate) struct Held {
    transactions: AtomicU32,
    bytes: AtomicU32,
}

impl Held {
    pub(crate) fn used(&self) -> (u32, u32) {
        (self.transactions.load(Ordering::Acquire), self.bytes.load(Ordering::Acquire))
    }

    /// Takes more: all of it, or nothing if it would be above one of these.
    pub(crate) fn take(&self, (transactions, bytes): (u32, u32), (transactions_max, bytes_max): (u32, u32)) -> bool {
        if !add_below(&self.transactions, transactions, transactions_max) {
            return false;
        }
        let taken = add_below(&self.bytes, bytes, bytes_max);
        if !taken {
            self.transactions.fetch_sub(transactions, Ordering::AcqRel);
        }
        taken
    }

    /// Gives back; true if nothing is left.
    pub(crate) fn give_back(&self, transactions: u32, bytes: u32) -> bool {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.transactions.fetch_sub(transactions, Ordering::AcqRel) == transactions
    }
}

fn add_below(counter: &AtomicU32, more: u32, max: u32) -> bool {
    let add = |value: u32| value.checked_add(more).filter(|sum| *sum <= max);
    counter.fetch_update(Ordering::AcqRel, Ordering::Acquire, add).is_ok()
}

/// Amounts held by each of many. Entries that hold nothing are removed.
pub(crate) struct Parts<K>(Mutex<KnownParts<K>>);

struct KnownParts<K> {
    held: HashMap<K, Arc<Held>>,
    /// Number of entries at which empty ones are removed.
    forget_at: usize,
}

impl<K> Default for Parts<K> {
    fn default() -> Self {
        Self(Mutex::new(KnownParts { held: HashMap::new(), forget_at: FORGET_AT }))
    }
}

const FORGET_AT: usize = 256;

impl<K: Hash + Eq> Parts<K> {
    /// What this one holds.
    pub(crate) fn of(&self, who: K) -> Arc<Held> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.held.len() >= known.forget_at {
            known.held.retain(|_, held| Arc::strong_count(held) > 1);
            known.forget_at = FORGET_AT.max(2 * known.held.len());
        }
        known.held.entry(who).or_default().clone()
    }
}

/// What organizations hold together, of which each takes no more than it leaves.
#[derive(Default)]
pub(crate) struct SharedPart(Held);

impl SharedPart {
    /// Takes one transaction for somebody who holds `own`. Whoever holds nothing may have the last.
    pub(crate) fn take(&self, own: &Held, bytes: u32) -> bool {
        let ((held, held_bytes), (own_held, own_bytes)) = (self.0.used(), own.used());
        // What is left is at least as much as this one has, afterwards.
        let max = |max: u32, held: u32, own: u32, more: u32| own == 0 || own + more <= max.saturating_sub(held + more);
        if !max(TRANSACTIONS_IN_FLIGHT_MAX, held, own_held, 1)
            || !max(BYTES_IN_FLIGHT_MAX, held_bytes, own_bytes, bytes)
        {
            return false;
        }
        // Credits bound all together, and two at once go beyond by one each at most.
        self.0.take((1, bytes), (u32::MAX, u32::MAX)) && own.take((1, bytes), (u32::MAX, u32::MAX))
    }

    pub(crate) fn give_back(&self, own: &Held, bytes: u32) {
        self.0.give_back(1, bytes);
        own.give_back(1, bytes);
    }
}
