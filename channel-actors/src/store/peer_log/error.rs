//! What can go wrong in the peer's log, by who must act.

use super::segment::SEGMENT;
use crate::store::error::StoreError;
use ledger_classes::primitives::hash::Hash;
use std::io;

/// Bytes of a record: an engine's window and one more block.
pub const RECORD_BYTES_MAX: usize = 96 * 1024 * 1024;

/// Why the log takes nothing any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log of ordering records takes nothing since one write failed: {words}")]
pub struct Failure {
    /// How, as far as the system says.
    pub kind: io::ErrorKind,
    /// The error with its causes.
    pub words: String,
}

/// Why a record is not kept. What was refused may be found after a start in spite of that, as what was under way when the
/// power went.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// The disk has no room, or the process may open no more files. Nothing of the batch is kept; later there may be room.
    #[error("there is no room for ordering records: {words}")]
    NoRoom {
        /// How, as far as the system says.
        kind: io::ErrorKind,
        /// The error with its causes.
        words: String,
    },
    /// The log's own bound is reached: engines must write bases, or the bound is too small for as many channels.
    #[error("ordering records that count take {bytes} bytes of the {bytes_max} that they may")]
    Full {
        /// Bytes that they would take.
        bytes: u64,
        /// Bytes that they may.
        bytes_max: u64,
    },
    /// It is longer than a record may be.
    #[error("an ordering record has {bytes} bytes of at most {RECORD_BYTES_MAX}")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
    },
    /// Something that was kept of its channel is lost.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The log has failed: every channel that keeps records in it halts.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// Records of a channel that were on the disk cannot be read. The channel must not go on as if it had never kept them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ordering records of channel {channel} up to record {sequence} of the peer's log cannot be read")]
pub struct Lost {
    /// The channel.
    pub channel: Hash,
    /// Its last record of which something says that it was on the disk.
    pub sequence: u64,
}

/// Why a channel's records cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// See there.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The disk does not answer.
    #[error(transparent)]
    Read(#[from] StoreError),
}

/// The kind of an error that says that there is no room, and leaves open that there will be. One of a sync never does: what
/// it was to bring to the disk may be gone.
pub(super) fn room_error(error: &StoreError) -> Option<io::ErrorKind> {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let is_sync = match error {
        StoreError::Disk { operation, .. } => *operation == SEGMENT.syncing,
        StoreError::File { operation, .. } => operation.starts_with("syncing"),
        _ => true,
    };
    let kind = error.io_error()?.kind();
    let is_room = matches!(kind, StorageFull | QuotaExceeded | ReadOnlyFilesystem) || error.out_of_files();
    (is_room && !is_sync).then_some(kind)
}
