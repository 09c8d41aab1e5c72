//! How long this disk takes to make a small write durable: the floor under every latency.

use crate::error::LoadError;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Writes of one measurement.
const WRITES: usize = 100;
/// Bytes of one write.
const WRITE_BYTES: usize = 4096;
/// Of `st_blocks`, whatever the file system's blocks are.
const BLOCK_BYTES: u64 = 512;

/// Times of appending 4 KiB and `fdatasync`, one after another, in `dir`; sorted.
pub fn fdatasync(dir: &Path) -> Result<Vec<Duration>, LoadError> {
    let path = dir.join("fdatasync.probe");
    let fail = |source| LoadError::file(&path, source);
    let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(fail)?;
    let mut times = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let start = Instant::now();
        file.write_all(&[0x5a; WRITE_BYTES]).and_then(|()| file.sync_data()).map_err(fail)?;
        times.push(start.elapsed());
    }
    std::fs::remove_file(&path).map_err(fail)?;
    times.sort_unstable();
    Ok(times)
}

/// The median of several measurements.
pub fn median(measurements: impl IntoIterator<Item = Vec<Duration>>) -> Option<Duration> {
    let mut all: Vec<_> = measurements.into_iter().flatten().collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied()
}

/// Bytes that all files under `dir` take on the disk. The length of a database file says less: it doubles beforehand.
pub fn bytes_under(dir: &Path) -> Result<u64, LoadError> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).map_err(|source| LoadError::file(dir, source))? {
        let entry = entry.map_err(|source| LoadError::file(dir, source))?;
        let data = entry.metadata().map_err(|source| LoadError::file(&entry.path(), source))?;
        bytes += if data.is_dir() { bytes_under(&entry.path())? } else { data.blocks() * BLOCK_BYTES };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bytes_are_counted_at_any_depth_and_the_probe_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        for (name, bytes) in [("a/b/one", 100_000), ("two", 50_000)] {
            let mut file = std::fs::File::create(dir.path().join(name)).unwrap();
            file.write_all(&vec![7; bytes]).unwrap();
            // What is not written takes no room.
            file.set_len(1 << 30).unwrap();
            file.sync_all().unwrap();
        }
        assert_eq!(fdatasync(dir.path()).unwrap().len(), WRITES);
        let bytes = bytes_under(dir.path()).unwrap();
        assert!((150_000..1 << 20).contains(&bytes), "{bytes}");
        let ms = Duration::from_millis;
        assert_eq!(median([vec![ms(9), ms(1)], vec![ms(2)]]), Some(ms(2)));
    }
}
