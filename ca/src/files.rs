//! Files that are whole or not there: a temporary file in the same directory, fsync, rename, fsync of the directory.
//! Private files are created with mode 0600, never widened afterwards. PEM is read and written here.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::pki_types::pem::{PemObject as _, SectionKind};
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

/// One PEM block (RFC 7468 §2: lines of 64 characters).
pub(crate) fn to_pem(label: &str, der: &[u8]) -> String {
    let body = zeroize::Zeroizing::new(STANDARD.encode(der));
    let mut text = String::with_capacity(body.len() + body.len() / 64 + 2 * label.len() + 40);
    text.extend(["-----BEGIN ", label, "-----\n"]);
    for start in (0..body.len()).step_by(64) {
        text.extend([&body[start..body.len().min(start + 64)], "\n"]);
    }
    text.extend(["-----END ", label, "-----\n"]);
    text
}

/// Every PEM block of one kind, in order; other kinds are passed over. `None` if the text is not PEM.
pub(crate) fn all_pem(text: &str, label: &str) -> Option<Vec<Vec<u8>>> {
    let kind = match label {
        "PRIVATE KEY" => SectionKind::PrivateKey,
        "X509 CRL" => SectionKind::Crl,
        "CERTIFICATE REQUEST" => SectionKind::Csr,
        _ => SectionKind::Certificate,
    };
    <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes())
        .filter(|item| !matches!(item, Ok((other, _)) if *other != kind))
        .map(|item| item.ok().map(|(_, der)| der))
        .collect()
}

/// Every PEM block of one kind that is whole, and whether anything in the text is not.
pub(crate) fn whole_pem(text: &str, label: &str) -> (Vec<Vec<u8>>, bool) {
    let begins: Vec<usize> = text.match_indices("-----BEGIN ").map(|(at, _)| at).collect();
    let ends = begins.iter().skip(1).copied().chain([text.len()]);
    // Words before a block are allowed (RFC 7468 §2); words alone are none of our files.
    let mut damaged = begins.is_empty() && !text.trim().is_empty();
    let mut whole = Vec::new();
    for (begin, end) in begins.iter().zip(ends) {
        match all_pem(&text[*begin..end], label) {
            Some(block) => whole.extend(block),
            None => damaged = true,
        }
    }
    (whole, damaged)
}

/// The first PEM block of one kind.
pub(crate) fn first_pem(text: &str, label: &str) -> Option<Vec<u8>> {
    all_pem(text, label)?.into_iter().next()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pem_comes_back() {
        let der: Vec<u8> = (0..200).collect();
        let text = to_pem("CERTIFICATE", &der) + &to_pem("X509 CRL", &[1]) + &to_pem("CERTIFICATE", &[2]);
        assert!(text.lines().all(|line| line.len() <= 64));
        assert_eq!(all_pem(&text, "CERTIFICATE"), Some(vec![der, vec![2]]));
        assert_eq!(first_pem(&text, "X509 CRL"), Some(vec![1]));
        assert_eq!(first_pem(&text, "PRIVATE KEY"), None);
    }

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
