//! The directory of a peer's channels belongs to one process at a time. redb locks the files that are open; those of
//! channels that are suspended are not.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

/// Takes a directory of channels for as long as the file lives.
///
/// # Errors
/// [`io::ErrorKind::ResourceBusy`] if another process has it.
pub fn lock_directory(directory: &Path) -> io::Result<File> {
    let held = File::open(directory)?;
    match held.try_lock() {
        Ok(()) => Ok(held),
        Err(TryLockError::WouldBlock) => {
            let what = format!("{} is in use: a peer runs, or a verification", directory.display());
            Err(io::Error::new(io::ErrorKind::ResourceBusy, what))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}
