//! The frame of a summary file: whole or not there, and only beside the very log that it was written beside. A log that
//! somebody changed, exchanged or brought back from a backup has another length or time; then the store is opened as if
//! there were no summary.

use crate::store::file::check::{CHECK_BYTES, check_of};
use crate::store::log::record::FORMAT;
use std::fs;
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// The log's length and time of change.
const STAMP_BYTES: usize = 16;
/// Bytes of a summary's content: a configuration, and 16 for each certificate that the channel has ended.
const CONTENT_BYTES_MAX: usize = 32 * 1024 * 1024;

fn stamp(log: &Path) -> io::Result<[u8; STAMP_BYTES]> {
    let metadata = fs::metadata(log)?;
    let modified = metadata.modified()?.duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
    let nanos = u64::try_from(modified.as_nanos()).map_err(io::Error::other)?;
    let mut stamp = [0; STAMP_BYTES];
    let (length, time) = stamp.split_at_mut(8);
    length.copy_from_slice(&metadata.len().to_le_bytes());
    time.copy_from_slice(&nanos.to_le_bytes());
    Ok(stamp)
}

/// A summary's bytes.
pub(in crate::store) fn frame(log: &Path, content: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(1 + STAMP_BYTES + content.len() + CHECK_BYTES);
    bytes.push(FORMAT);
    bytes.extend_from_slice(&stamp(log)?);
    bytes.extend_from_slice(content);
    bytes.extend_from_slice(&check_of(&bytes));
    Ok(bytes)
}

/// The stamp and the content of a summary that is whole.
pub(in crate::store) fn whole(bytes: &[u8]) -> Option<(&[u8; STAMP_BYTES], &[u8])> {
    let (framed, check) = bytes.split_last_chunk()?;
    let (&version, rest) = framed.split_first()?;
    let (stamped, content) = rest.split_first_chunk::<STAMP_BYTES>()?;
    let whole = version == FORMAT && content.len() <= CONTENT_BYTES_MAX && check_of(framed) == *check;
    whole.then_some((stamped, content))
}

/// The content of a summary that is whole and fits the log.
pub(in crate::store) fn content<'a>(log: &Path, bytes: &'a [u8]) -> Option<&'a [u8]> {
    let (stamped, content) = whole(bytes)?;
    stamp(log).is_ok_and(|stamp| stamp == *stamped).then_some(content)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_summary_is_whole_and_beside_its_log_or_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.redb");
        fs::write(&log, b"blocks").unwrap();
        let bytes = frame(&log, b"content").unwrap();
        assert_eq!(content(&log, &bytes), Some(&b"content"[..]));
        for length in 0..bytes.len() {
            assert_eq!(content(&log, &bytes[..length]), None, "cut to {length}");
            let mut rotten = bytes.clone();
            rotten[length] ^= 1;
            assert_eq!(content(&log, &rotten), None, "rotten at {length}");
        }
        let changed = |change: &dyn Fn(&fs::File)| {
            let file = fs::OpenOptions::new().write(true).open(&log).unwrap();
            let before = fs::metadata(&log).unwrap();
            change(&file);
            assert_eq!(content(&log, &bytes), None);
            file.set_len(before.len()).unwrap();
            file.set_modified(before.modified().unwrap()).unwrap();
            assert!(content(&log, &bytes).is_some());
        };
        changed(&|file| file.set_modified(UNIX_EPOCH).unwrap());
        changed(&|file| file.set_len(7).unwrap());
        fs::remove_file(&log).unwrap();
        assert_eq!(content(&log, &bytes), None);
    }
}
