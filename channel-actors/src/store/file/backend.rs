//! The bytes below a store, of whatever kind.

use redb::StorageBackend;

/// A storage backend of any kind.
pub type Backend = Box<dyn StorageBackend>;
