//! The keys of CA certificates that configurations list, remembered.

use pki::KeyId;
use std::{
    collections::HashMap,
    sync::{LazyLock, PoisonError, RwLock},
};

/// CA certificates whose keys are remembered: more than those of all organizations of a consortium.
const KEYS_REMEMBERED_MAX: usize = 4096;

/// The key of a CA certificate in a configuration. To parse it takes a hundred times as long as to look it up, and every
/// request asks.
pub fn key_of(der: &[u8]) -> Option<KeyId> {
    static KEYS: LazyLock<RwLock<HashMap<Vec<u8>, Option<KeyId>>>> = LazyLock::new(RwLock::default);
    if let Some(key) = KEYS.read().unwrap_or_else(PoisonError::into_inner).get(der) {
        return *key;
    }
    let key = KeyId::of_certificate(der);
    let mut keys = KEYS.write().unwrap_or_else(PoisonError::into_inner);
    if keys.len() >= KEYS_REMEMBERED_MAX {
        keys.clear();
    }
    keys.insert(der.to_vec(), key);
    key
}
