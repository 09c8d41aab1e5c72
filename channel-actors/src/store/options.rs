//! Bounds of a store, and how near it is to them.

/// Bounds of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// Bytes of redb's page cache for the log: recent blocks come from the ring, so little is enough. With
    /// others it has a part of what [`StoreMemory::caches`](crate::runtime::memory::StoreMemory::caches) has.
    pub log_cache_bytes: usize,
    /// Bytes of redb's page cache for the state, likewise.
    pub state_cache_bytes: usize,
    /// Bytes of memory of the tree over the state, of the same memory: what is beyond is read from its pages when it is
    /// needed.
    pub tree_bytes: usize,
    /// Capacity of the write-ahead log (`wal`) in bytes. Small blocks are written to it in two copies and moved to the
    /// log in one transaction. Uses up to half this much memory. At most 64 MiB; 0 disables it.
    pub wal_bytes_max: usize,
    /// Bytes of applied but not yet checkpointed writes at which a checkpoint is due. At twice as many, appliers
    /// are told to wait for it ([`Pressure::Wait`]). Fewer while other stores have much of
    /// [`StoreMemory::writes`](crate::runtime::memory::StoreMemory::writes).
    pub dirty_bytes_max: usize,
    /// Bytes written before a sync. At most so many of this channel are ahead of another one's block in the disk's queue; a
    /// checkpoint then rests for as long as the sync took.
    pub piece_bytes: usize,
    /// Milliseconds after the last checkpoint at which one is due, if anything was applied. Bounds replay.
    pub checkpoint_interval_ms: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            log_cache_bytes: 8 * MIB,
            state_cache_bytes: 64 * MIB,
            tree_bytes: 160 * MIB,
            wal_bytes_max: MIB / 2,
            dirty_bytes_max: 64 * MIB,
            piece_bytes: MIB / 2,
            checkpoint_interval_ms: 10_000,
        }
    }
}

/// How much applied state waits for the next checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[must_use]
pub enum Pressure {
    /// Go on.
    None,
    /// Have somebody call [`ChannelStore::checkpoint`](crate::store::ChannelStore::checkpoint).
    CheckpointDue,
    /// Twice the bound: do not apply another block before a checkpoint is done.
    Wait,
}
