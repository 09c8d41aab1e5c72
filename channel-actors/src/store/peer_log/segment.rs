//! The files of the log: segments, which are written from their beginning to their end and then only read, until nothing
//! in them counts.
//!
//! Always: a segment is found from the moment that it is made, and not found after it was removed, whatever happens; no
//! record is written before the head of its segment is on disk.

use super::record::FORMAT;
use crate::store::error::StoreError;
use crate::store::file::backend::Backend;
use crate::store::file::directory::failed;
use crate::store::log::pages::{Form, Key, PAGE, Pages, draw_key, find_head, is_unwritten, read_all};
use redb::backends::FileBackend;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::PathBuf;

/// Bytes of a file that is taken for a segment at all: one that holds the largest record there can be.
const BYTES_READ_MAX: usize = 256 * 1024 * 1024;
/// Bytes of each half of a new segment before its first record: two pages with the heads.
const BEGIN: usize = 2 * PAGE;

pub(super) static SEGMENT: Form = Form {
    version: FORMAT,
    name: b"segment",
    heads: &[0, PAGE],
    begin: BEGIN,
    what: "a segment of ordering records",
    reading: "reading a segment of ordering records",
    lengthening: "lengthening a segment of ordering records",
    writing: "writing ordering records",
    syncing: "syncing ordering records",
};

/// Where segments live. A seam, so that tests put the log on disks that fail and lose power at any operation.
pub trait SegmentFiles: Send {
    /// The numbers of all that there are.
    ///
    /// # Errors
    /// The disk says no.
    fn list(&self) -> Result<Vec<u64>, StoreError>;
    /// An empty one; what was there of this number is gone. It is listed from now on, whatever happens.
    ///
    /// # Errors
    /// The disk says no.
    fn create(&self, number: u64) -> Result<Backend, StoreError>;
    /// One that is listed.
    ///
    /// # Errors
    /// The disk says no.
    fn open(&self, number: u64) -> Result<Backend, StoreError>;
    /// Removes one: it is not listed any more, whatever happens.
    ///
    /// # Errors
    /// The disk says no: it may be there or not.
    fn remove(&self, number: u64) -> Result<(), StoreError>;
}

/// `<8 digits>.segment` in a directory of their own.
#[derive(Clone, Debug)]
pub struct SegmentDirectory(PathBuf);

impl SegmentDirectory {
    /// In this directory, which is made if it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(directory: PathBuf) -> Result<Self, StoreError> {
        ::files::private_folder(&directory).map_err(failed("creating the directory", &directory))?;
        if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            ::files::sync_directory(parent).map_err(failed("syncing the directory", parent))?;
        }
        Ok(Self(directory))
    }

    fn path(&self, number: u64) -> PathBuf {
        self.0.join(format!("{number:08}.segment"))
    }

    fn sync(&self) -> Result<(), StoreError> {
        ::files::sync_directory(&self.0).map_err(failed("syncing the directory", &self.0))
    }

    fn backend(&self, number: u64, options: &mut OpenOptions) -> Result<Backend, StoreError> {
        let path = self.path(number);
        let file = ::files::private(options).open(&path).map_err(failed("opening", &path))?;
        let backend = FileBackend::new(file).map_err(StoreError::disk("opening a segment of ordering records"))?;
        Ok(Box::new(backend))
    }
}

impl SegmentFiles for SegmentDirectory {
    fn list(&self) -> Result<Vec<u64>, StoreError> {
        let entries = fs::read_dir(&self.0).map_err(failed("listing", &self.0))?;
        let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
        let names = names.collect::<io::Result<Vec<_>>>().map_err(failed("listing", &self.0))?;
        let number = |name: &std::ffi::OsString| name.to_str()?.strip_suffix(".segment")?.parse().ok();
        Ok(names.iter().filter_map(number).collect())
    }

    fn create(&self, number: u64) -> Result<Backend, StoreError> {
        let backend = self.backend(number, OpenOptions::new().read(true).write(true).create(true).truncate(true))?;
        self.sync()?;
        Ok(backend)
    }

    fn open(&self, number: u64) -> Result<Backend, StoreError> {
        self.backend(number, OpenOptions::new().read(true).write(true))
    }

    fn remove(&self, number: u64) -> Result<(), StoreError> {
        let path = self.path(number);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("removing", &path)(error)),
            _ => self.sync(),
        }
    }
}

/// The bytes of a segment and its key. Of one that was not finished when the power went, and so holds nothing, none.
pub(super) fn read(files: &dyn SegmentFiles, number: u64) -> Result<(Vec<u8>, Key), StoreError> {
    let bytes = read_all(&SEGMENT, &files.open(number)?, BYTES_READ_MAX)?;
    match find_head(&SEGMENT, &number.to_le_bytes(), &bytes) {
        Some((_, length)) if length > bytes.len() => Err(StoreError::Corrupt(format!(
            "segment {number} of the ordering records is cut off: {} of {length} bytes",
            bytes.len()
        ))),
        Some((key, _)) => Ok((bytes, key)),
        None if is_unwritten(&SEGMENT, &bytes) => Ok((Vec::new(), Key::default())),
        None => Err(StoreError::Corrupt(format!(
            "both heads of segment {number} of the ordering records do not match their checks"
        ))),
    }
}

/// A new segment, of so many bytes or as many as a record needs.
pub(super) fn create(files: &dyn SegmentFiles, number: u64, bytes: usize, copy: usize) -> Result<Pages, StoreError> {
    let needed = 2 * (BEGIN + copy).next_multiple_of(PAGE);
    let key =
        draw_key().ok_or_else(|| StoreError::disk("drawing a key")(io::Error::from(io::ErrorKind::WouldBlock)))?;
    Pages::create(files.create(number)?, &SEGMENT, &number.to_le_bytes(), key, bytes.max(needed))
}
