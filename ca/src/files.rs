//! Files that are whole or not there: a temporary file in the same directory, fsync, rename, fsync of the directory.
//! Private files are created with mode 0600, never widened afterwards.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Writes a file that anybody may read.
pub(crate) fn write_public(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write(path, bytes, 0o644)
}

/// As [`write_public`], but a power loss may leave the file empty: for many files that can be made again at any time.
pub(crate) fn write_replaceable(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary(path)?;
    let written = std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path));
    written.inspect_err(|_| std::fs::remove_file(&temporary).unwrap_or_default())
}

/// Writes a file that only its owner may read.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write(path, bytes, 0o600)
}

/// As [`write_private`], but never in the place of another file: `AlreadyExists` if there is one, also one that another
/// process makes at this moment.
pub(crate) fn create_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A link, unlike a rename, replaces nothing.
    publish(path, bytes, 0o600, |temporary| {
        std::fs::hard_link(temporary, path)?;
        std::fs::remove_file(temporary)
    })
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    publish(path, bytes, mode, |temporary| std::fs::rename(temporary, path))
}

fn publish(path: &Path, bytes: &[u8], mode: u32, place: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let temporary = temporary(path)?;
    if let Err(error) = write_new(&temporary, bytes, mode).and_then(|()| place(&temporary)) {
        // The error that matters is the first one.
        std::fs::remove_file(&temporary).unwrap_or_default();
        return Err(error);
    }
    sync_directory(path.parent().unwrap_or(path))
}

/// A name beside the file that no other thread and no other process uses.
fn temporary(path: &Path) -> io::Result<PathBuf> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let count = NEXT.fetch_add(1, Ordering::Relaxed);
    Ok(path.with_file_name(format!(".{}.{}.{count}.new", name.to_string_lossy(), std::process::id())))
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    if path.exists() {
        std::fs::remove_file(path)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a rename or a new name in the directory durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn of_many_who_create_a_file_one_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let create = |octet: u8| create_private(&path, &[octet; 64]).map_err(|error| error.kind());
        let done: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|octet| scope.spawn(move || create(octet))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let winner = done.iter().position(Result::is_ok).unwrap();
        assert_eq!(done.iter().filter(|one| **one == Err(io::ErrorKind::AlreadyExists)).count(), 7);
        assert_eq!(std::fs::read(&path).unwrap(), [u8::try_from(winner).unwrap(); 64]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn writers_at_the_same_time_leave_one_whole_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        std::thread::scope(|scope| {
            let many = (0..8_u8).map(|octet| {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..50 {
                        write_replaceable(path, &[octet; 64]).unwrap();
                    }
                })
            });
            many.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
        });
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes, [bytes[0]; 64]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[cfg(unix)]
    #[test]
    fn private_files_belong_to_their_owner() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        write_public(&path, b"old").unwrap();
        write_private(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
    }
}
