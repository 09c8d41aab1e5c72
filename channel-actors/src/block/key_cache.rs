//! The keys of recent senders that a thread has met: a key is decoded once and used for many signatures.

use ledger_classes::keys::KeyCache;
use std::cell::RefCell;

thread_local! {
    /// Keys of recent senders, of all channels: bounded by the threads of the pool and not by the channels.
    static KEYS: RefCell<KeyCache> = RefCell::default();
}

/// From now on this thread remembers signatures that it found valid, too: a simulation sends the same transactions in
/// every run. No thread of a peer does.
#[cfg(any(test, feature = "simulation"))]
pub(crate) fn remember() {
    thread_local! {
        static REMEMBERS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }
    if !REMEMBERS.replace(true) {
        KEYS.set(KeyCache::remembering());
    }
}

/// Gives the keys of recent senders that this thread has met.
pub(crate) fn with_keys<T>(work: impl FnOnce(&mut KeyCache) -> T) -> T {
    KEYS.with_borrow_mut(work)
}
