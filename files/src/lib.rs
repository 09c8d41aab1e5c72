//! How this program writes and reads files that matter. A file is replaced whole or not at all: a temporary file beside
//! it, fsync, rename, fsync of the directory. What holds secrets or a ledger is its owner's alone from its first byte on,
//! whatever the umask says. What is secret is read only where nobody else may read or write it.
//!
//! Nothing here knows what a file holds, and nothing else in the program replaces a file.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use zeroize::Zeroizing;

/// The mode of files that anybody may read, as far as the umask lets them.
const PUBLIC: u32 = 0o644;
/// The mode of files that are their owner's.
const PRIVATE: u32 = 0o600;
/// The mode of folders that are their owner's.
const PRIVATE_FOLDER: u32 = 0o700;
/// What the mode of a secret's file must not have: its group may read it, as where a mount makes that so, and nothing
/// more.
const NOT_SECRET: u32 = 0o037;

/// Replaces a file that anybody may read.
///
/// # Errors
/// It cannot be written: what was there stays.
pub fn write_public(path: &Path, bytes: &[u8]) -> io::Result<()> {
    publish(path, bytes, PUBLIC, |temporary| fs::rename(temporary, path))
}

/// As [`write_public`], but a power loss may leave the file empty: for many files that can be made again at any time.
///
/// # Errors
/// As those of [`write_public`].
pub fn write_replaceable(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary(path)?;
    let written = new_file(&temporary, PUBLIC).and_then(|mut file| file.write_all(bytes));
    let placed = written.and_then(|()| fs::rename(&temporary, path));
    placed.inspect_err(|_| fs::remove_file(&temporary).unwrap_or_default())
}

/// Replaces a file that is its owner's alone.
///
/// # Errors
/// It cannot be written: what was there stays.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    publish(path, bytes, PRIVATE, |temporary| fs::rename(temporary, path))
}

/// As [`write_private`], but never in the place of another file: `AlreadyExists` if there is one, also one that another
/// process makes at this moment.
///
/// # Errors
/// It cannot be written, or is there.
pub fn create_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A link, unlike a rename, replaces nothing.
    publish(path, bytes, PRIVATE, |temporary| {
        fs::hard_link(temporary, path)?;
        fs::remove_file(temporary)
    })
}

fn publish(path: &Path, bytes: &[u8], mode: u32, place: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let temporary = temporary(path)?;
    if let Err(error) = write_new(&temporary, bytes, mode).and_then(|()| place(&temporary)) {
        // The error that matters is the first one.
        fs::remove_file(&temporary).unwrap_or_default();
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
    let mut file = new_file(path, mode)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn new_file(path: &Path, mode: u32) -> io::Result<File> {
    // Left by a process of the same number that was killed.
    if path.exists() {
        fs::remove_file(path)?;
    }
    of_mode(&mut OpenOptions::new(), mode).write(true).create_new(true).open(path)
}

fn of_mode(options: &mut OpenOptions, mode: u32) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options
}

/// Has what these options create be its owner's alone.
pub fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    of_mode(options, PRIVATE)
}

/// Makes a folder that is its owner's alone, and those above it, unless it is there.
///
/// # Errors
/// It cannot be made.
pub fn private_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, PRIVATE_FOLDER);
    builder.recursive(true).create(path)
}

/// As [`private_folder`], also if it is there: what it will hold is private.
///
/// # Errors
/// It cannot be made, or is another user's.
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    private_folder(path)?;
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(PRIVATE_FOLDER))?;
    Ok(())
}

/// Makes a rename or a new name in a directory durable.
///
/// # Errors
/// It cannot be synced.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    File::open(directory)?.sync_all()
}

/// Reads what is secret: private keys, passphrases, tokens. A file that others may read, or that not only its owner may
/// write, is refused; its group may read it. The error says what to do.
///
/// # Errors
/// It cannot be read, has more than `bytes_max`, or is open to others (`PermissionDenied`).
pub fn read_secret(path: &Path, bytes_max: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    check_secret(&file)?;
    // Room for all of it: what grows is copied, and the copies are not wiped.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(bytes_max).unwrap_or_default().min(1 << 16) + 1));
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {bytes_max} bytes")));
    }
    Ok(bytes)
}

/// [`read_secret`] of a text.
///
/// # Errors
/// As those of [`read_secret`], or it is not UTF-8.
pub fn read_secret_text(path: &Path, bytes_max: u64) -> io::Result<Zeroizing<String>> {
    let bytes = read_secret(path, bytes_max)?;
    let text =
        std::str::from_utf8(&bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Pipes and devices belong to whoever opened them; of a file the mode tells.
#[cfg(unix)]
fn check_secret(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = file.metadata()?;
    match metadata.is_file() && metadata.permissions().mode() & NOT_SECRET != 0 {
        true => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it may be read or written by others: chmod 600 it, or 640 for its group",
        )),
        false => Ok(()),
    }
}

#[cfg(not(unix))]
fn check_secret(_: &File) -> io::Result<()> {
    Ok(())
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
        assert_eq!(fs::read(&path).unwrap(), [u8::try_from(winner).unwrap(); 64]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
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
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes, [bytes[0]; 64]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn what_cannot_be_written_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("folder");
        fs::create_dir_all(path.join("inside")).unwrap();
        assert!(write_private(&path, b"new").is_err());
        assert!(path.join("inside").is_dir());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_private_belongs_to_its_owner() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let path = dir.path().join("key.pem");
        write_public(&path, b"old").unwrap();
        write_private(&path, b"new").unwrap();
        assert_eq!((fs::read(&path).unwrap().as_slice(), mode(&path)), (&b"new"[..], 0o600));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
        let folder = dir.path().join("a/b");
        private_folder(&folder).unwrap();
        assert_eq!((mode(&folder), mode(&dir.path().join("a"))), (0o700, 0o700));
        fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
        private_folder(&folder).unwrap();
        assert_eq!(mode(&folder), 0o755, "whoever made it so");
        make_private_folder(&folder).unwrap();
        assert_eq!(mode(&folder), 0o700);
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_is_read_where_nobody_else_may() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        create_private(&path, b"secret").unwrap();
        for (mode, taken) in [
            (0o400, true),
            (0o600, true),
            (0o440, true),
            (0o640, true),
            (0o644, false),
            (0o604, false),
            (0o660, false),
            (0o602, false),
            (0o610, false),
        ] {
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let read = read_secret(&path, 6).map_err(|error| error.kind());
            let expected = if taken { Ok(()) } else { Err(io::ErrorKind::PermissionDenied) };
            assert_eq!(read.map(|bytes| assert_eq!(*bytes, b"secret")), expected, "{mode:o}");
        }
        fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(read_secret(&path, 5).map_err(|error| error.kind()), Err(io::ErrorKind::FileTooLarge));
        // A pipe is whose end it is, whatever its mode.
        assert!(read_secret(Path::new("/dev/null"), 5).unwrap().is_empty());
    }
}
