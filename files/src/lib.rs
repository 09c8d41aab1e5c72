//! How this program writes and reads files that matter. A file is replaced whole or not at all: a temporary file beside
//! it, fsync, rename, fsync of the directory. What holds secrets or a ledger is its owner's alone from its first byte on,
//! whatever the umask says. What is secret is read only where nobody else may read or write it.
//!
//! Nothing here knows what a file holds, and nothing else in the program replaces a file.

mod draft;

pub use draft::Draft;

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use zeroize::Zeroizing;

/// Bytes of a key file or of a passphrase file: a larger one is refused unread.
pub const KEY_FILE_BYTES_MAX: u64 = 16 * 1024;

/// The mode of files that anybody may read, as far as the umask lets them.
const PUBLIC: u32 = 0o644;
/// The mode of files that are their owner's.
const PRIVATE: u32 = 0o600;
/// The mode of folders that are their owner's.
const PRIVATE_FOLDER: u32 = 0o700;
/// Mode bits that a secret's file must not have (group read is allowed).
const NOT_SECRET: u32 = 0o037;

/// Replaces a file that anybody may read. A pipe or a device, as `/dev/stdout`, is written to instead: it has no content
/// to replace.
///
/// # Errors
/// It cannot be written: what was there stays. Or its directory cannot be synced: the new file is there, and may be gone
/// after a power loss.
pub fn write_public(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match is_stream(path) {
        true => stream(path, bytes),
        false => publish(path, bytes, PUBLIC, |temporary| fs::rename(temporary, path)),
    }
}

/// As [`write_public`], but a power loss may leave the file empty: for many files that can be made again at any time.
///
/// # Errors
/// As those of [`write_public`].
pub fn write_replaceable(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary(path)?;
    // Left by a process of the same number that was killed.
    if temporary.exists() {
        fs::remove_file(&temporary)?;
    }
    let written = new_file(&temporary, PUBLIC).and_then(|mut file| file.write_all(bytes));
    let placed = written.and_then(|()| fs::rename(&temporary, path));
    placed.inspect_err(|_| fs::remove_file(&temporary).unwrap_or_default())
}

/// [`write_public`] of a file that is its owner's alone. What a writer that was killed has left beside it goes away.
///
/// # Errors
/// As those of [`write_public`].
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match is_stream(path) {
        true => stream(path, bytes),
        false => publish(path, bytes, PRIVATE, |temporary| fs::rename(temporary, path)),
    }
}

/// As [`write_private`], but never in the place of another file: `AlreadyExists` if there is one, also one that another
/// process makes at this moment.
///
/// # Errors
/// It cannot be written, or is there.
pub fn create_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    create_by(path, bytes, |temporary| fs::hard_link(temporary, path))
}

fn create_by(path: &Path, bytes: &[u8], link: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    // A link, unlike a rename, replaces nothing.
    publish(path, bytes, PRIVATE, |temporary| {
        match link(temporary) {
            // A file system without links. A crash may leave a part of it, which the next one does not replace.
            Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported) => {
                let mut file = new_file(path, PRIVATE)?;
                let written = file.write_all(bytes).and_then(|()| file.sync_all());
                written.inspect_err(|_| fs::remove_file(path).unwrap_or_default())?;
            }
            linked => linked?,
        }
        fs::remove_file(temporary)
    })
}

/// Whether a path names something that is written to and not replaced: a pipe, a device, what a process has open.
fn is_stream(path: &Path) -> bool {
    let other = fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
    other
        || (path.starts_with("/dev") || path.starts_with("/proc"))
            && fs::metadata(path).is_ok_and(|found| found.is_file())
}

fn stream(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().append(true).open(path)?.write_all(bytes)
}

fn publish(path: &Path, bytes: &[u8], mode: u32, place: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    if mode == PRIVATE {
        sweep(path);
    }
    let (mut file, temporary) = held_file(path, mode)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| place(&temporary)) {
        // The error that matters is the first one.
        fs::remove_file(&temporary).unwrap_or_default();
        return Err(error);
    }
    sync_directory(path.parent().unwrap_or(path))
}

/// A new file beside the one to write, which this process holds until it has its name.
fn held_file(path: &Path, mode: u32) -> io::Result<(File, PathBuf)> {
    loop {
        let temporary = temporary(path)?;
        let file = new_file(&temporary, mode)?;
        // Another one may have taken it for left behind before it was held. Where nothing can be held, nobody does.
        if !matches!(file.try_lock(), Err(TryLockError::WouldBlock)) && temporary.exists() {
            return Ok((file, temporary));
        }
    }
}

/// Removes what writers of a file that were killed have left beside it: it may be a private key. What a living one works
/// on is held. Nothing depends on it.
fn sweep(path: &Path) {
    let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else { return };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_left = |found: &str| {
        let middle = found.strip_prefix(&format!(".{name}.")).and_then(|rest| rest.strip_suffix(".new"));
        let numbers = middle.and_then(|middle| middle.split_once('.'));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|digit| digit.is_ascii_digit());
        numbers.is_some_and(|(process, count)| is_number(process) && is_number(count))
    };
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if is_left(&entry.file_name().to_string_lossy())
            && let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            fs::remove_file(entry.path()).unwrap_or_default();
        }
    }
}

/// A name beside the file that no other thread and no other process of this machine uses.
fn temporary(path: &Path) -> io::Result<PathBuf> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let count = NEXT.fetch_add(1, Ordering::Relaxed);
    Ok(path.with_file_name(format!(".{}.{}.{count}.new", name.to_string_lossy(), std::process::id())))
}

fn new_file(path: &Path, mode: u32) -> io::Result<File> {
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

/// Makes a folder that is its owner's alone, unless it is there. Those above it that are missing are made as usual: they
/// are not ours.
///
/// # Errors
/// It cannot be made.
pub fn private_folder(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent)?;
    }
    private_folders(path)
}

/// Makes a folder that is its owner's alone, and those above it, unless they are there.
///
/// # Errors
/// It cannot be made.
pub fn private_folders(path: &Path) -> io::Result<()> {
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

/// Reads a text of at most `bytes_max`: who names a file may name a device without an end.
///
/// # Errors
/// It cannot be read, has more, or is not UTF-8.
pub fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {bytes_max} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Holds a folder against other writers of it that do so, until the file is dropped.
///
/// # Errors
/// It cannot be opened, or locked.
pub fn hold_folder(path: &Path) -> io::Result<File> {
    let folder = File::open(path)?;
    folder.lock()?;
    Ok(folder)
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
    fn what_a_killed_writer_left_goes_and_what_a_living_one_holds_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        let [left, other, living] =
            [".key.pem.999999.0.new", ".key.pem.1.x.new", ".key.pem.999999.1.new"].map(|name| dir.path().join(name));
        [&left, &other, &living].iter().for_each(|path| fs::write(path, "a key").unwrap());
        let held = File::open(&living).unwrap();
        held.lock().unwrap();
        create_private(&path, b"one").unwrap();
        assert_eq!((left.exists(), other.exists(), living.exists()), (false, true, true));
        drop(held);
        write_private(&path, b"two").unwrap();
        assert!(!living.exists());
    }

    #[test]
    fn a_file_system_without_links_takes_a_private_file_and_replaces_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::Unsupported] {
            let create = |bytes| create_by(&path, bytes, |_| Err(kind.into()));
            create(b"one").unwrap();
            assert_eq!(create(b"two").map_err(|error| error.kind()), Err(io::ErrorKind::AlreadyExists));
            assert_eq!(fs::read(&path).unwrap(), b"one");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
            fs::remove_file(&path).unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_device_or_an_open_file_is_written_to_and_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let device = dir.path().join("null");
        std::os::unix::fs::symlink("/dev/null", &device).unwrap();
        write_public(&device, b"x").unwrap();
        assert!(fs::symlink_metadata(&device).unwrap().is_symlink());
        let open = File::options().append(true).create_new(true).open(dir.path().join("open")).unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&open);
        write_public(Path::new(&format!("/dev/fd/{number}")), b"said").unwrap();
        assert_eq!(fs::read(dir.path().join("open")).unwrap(), b"said");
        let error = read_text(Path::new("/dev/zero"), 100).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
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
        assert_eq!(mode(&folder), 0o700);
        fs::create_dir(dir.path().join("usual")).unwrap();
        assert_eq!(mode(&dir.path().join("a")), mode(&dir.path().join("usual")), "what is above is not ours");
        private_folders(&dir.path().join("c/d")).unwrap();
        assert_eq!((mode(&dir.path().join("c/d")), mode(&dir.path().join("c"))), (0o700, 0o700));
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
