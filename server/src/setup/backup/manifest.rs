//! The form of a backup: `backup.json` and the files beside it.

use super::error::{BackupError, file_error};
use channel_actors::block::folder::Kept;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::identity::is_label;
use ledger_classes::primitives::time::Time;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write as _},
    path::{Component, Path, PathBuf},
};

/// The version of the form.
pub(super) const FORMAT: u32 = 1;
/// What says that a backup is whole, and what it holds.
const MANIFEST: &str = "backup.json";
/// Bytes of it that are read.
const MANIFEST_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The folder with a folder of blocks for each channel.
pub(super) const CHANNELS: &str = "channels";
/// Folders with the peer's other files are called this and a number.
const FILES: &str = "files-";
/// What says that a directory is for backups, also before the first one is whole.
pub(super) const MARK: &str = "README";
pub(super) const MARK_TEXT: &str = "A backup that `chancery backup` makes and `chancery restore` takes. It is whole if \
                                    backup.json is here. It holds private keys.\n";

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this form.
    pub format: u32,
    /// When it was made.
    pub made: Time,
    /// The program's version.
    pub version: String,
    /// The peer's identity.
    pub peer: String,
    /// Its incarnation: a number and a random id; none of a peer that has never run.
    pub incarnation: Option<String>,
    /// The folder with the files.
    pub folder: String,
    /// The peer's files but for its channels.
    pub files: Vec<BackedUpFile>,
    /// Its channels, as far as they are here.
    pub channels: Vec<BackedUpChannel>,
    /// Channels of the peer that could not be read: they are as an earlier backup left them, or not here at all.
    pub missing: Vec<Missing>,
    /// Keys of the configuration that name another place in this backup than in the peer's configuration.
    pub relocated: BTreeMap<String, String>,
    /// What was left out.
    pub left_out: Vec<PathBuf>,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackedUpFile {
    /// Where it is in a peer's directory.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Hex.
    pub sha256: String,
}

/// A channel of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackedUpChannel {
    /// Its name.
    pub name: String,
    /// Its id.
    pub channel: Hash,
    /// Height of the last block.
    pub height: u64,
    /// Hash of that block's header.
    pub tip: Hash,
}

/// A channel that is not up to date in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// What is wrong with what a directory says that it holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum ManifestError {
    #[error("its format is {0}; this program reads {FORMAT}")]
    Format(u32),
    #[error("{0} is no name of a folder")]
    Folder(String),
    #[error("{0} is no name of a channel")]
    Channel(String),
    #[error("{0} is no path within a directory")]
    Path(String),
}

impl Manifest {
    /// What a directory says that it holds; `None` if it says nothing.
    ///
    /// # Errors
    /// It cannot be read, or is of another form.
    pub fn read(out: &Path) -> Result<Option<Self>, BackupError> {
        let path = out.join(MANIFEST);
        let mut bytes = Vec::new();
        match File::open(&path) {
            Ok(file) => file.take(MANIFEST_BYTES_MAX).read_to_end(&mut bytes).map_err(file_error(&path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(file_error(&path)(error)),
        };
        let unsound = |what: String| BackupError::Unsound { path: path.clone(), what };
        let manifest: Self =
            ledger_classes::primitives::json::from_slice(&bytes).map_err(|error| unsound(error.to_string()))?;
        manifest.check().map(|()| Some(manifest)).map_err(|error| unsound(error.to_string()))
    }

    /// Nothing in it leads out of the backup, or out of what is made of it.
    fn check(&self) -> Result<(), ManifestError> {
        if self.format != FORMAT {
            return Err(ManifestError::Format(self.format));
        }
        let number = self.folder.strip_prefix(FILES).and_then(|number| number.parse::<u64>().ok());
        if number.is_none() {
            return Err(ManifestError::Folder(self.folder.clone()));
        }
        if let Some(channel) = self.channels.iter().find(|channel| !is_label(&channel.name)) {
            return Err(ManifestError::Channel(channel.name.clone()));
        }
        // A passphrase that was left out stays where it is, wherever that is: nothing is written there.
        let stays = |key: &str, place: &str| {
            key == "authority_passphrase_file" && self.left_out.iter().any(|left| left.as_os_str() == place)
        };
        let moved = self.relocated.iter().filter(|(key, place)| !stays(key, place)).map(|(_, place)| place);
        for path in self.files.iter().map(|file| &file.path).chain(moved) {
            let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
            // `authority_dir` may be the peer's directory itself.
            if !(inside && !path.is_empty() || path == ".") {
                return Err(ManifestError::Path(path.clone()));
            }
        }
        Ok(())
    }

    /// Writes it, now that all that it names is on disk, and removes files that only earlier ones named.
    ///
    /// # Errors
    /// It cannot be written, or could not be read again: what says that it is done can be restored.
    pub(super) fn write(&self, out: &Path) -> Result<(), BackupError> {
        let unsound = |error: ManifestError| BackupError::Unsound { path: out.join(MANIFEST), what: error.to_string() };
        self.check().map_err(unsound)?;
        sync_all_directories(&out.join(&self.folder))?;
        let path = out.join(MANIFEST);
        let mut bytes = serde_json::to_vec_pretty(self).map_err(io::Error::from).map_err(file_error(&path))?;
        bytes.push(b'\n');
        files::sync_directory(out).and_then(|()| files::write_private(&path, &bytes)).map_err(file_error(&path))?;
        for old in folders(out)?.into_iter().filter(|folder| *folder != self.folder) {
            let path = out.join(old);
            fs::remove_dir_all(&path).map_err(file_error(&path))?;
        }
        Ok(())
    }

    /// Whether a folder of blocks holds what is said here of a channel.
    pub(super) fn holds(channel: &BackedUpChannel, kept: &Kept) -> bool {
        let same = channel.channel == kept.channel && channel.name == kept.name;
        // More may have been added by a backup that did not come to its end.
        same && (kept.height > channel.height || kept.height == channel.height && kept.tip == channel.tip)
    }
}

fn folders(out: &Path) -> Result<Vec<String>, BackupError> {
    let entries = fs::read_dir(out).map_err(file_error(out))?;
    let names = entries.map(|entry| Ok(entry?.file_name().into_string().unwrap_or_default()));
    let names: Vec<String> = names.collect::<io::Result<_>>().map_err(file_error(out))?;
    Ok(names.into_iter().filter(|name| name.starts_with(FILES)).collect())
}

/// The folder for the files of the next backup, which is not there.
pub(super) fn next_folder(out: &Path) -> Result<String, BackupError> {
    let numbers = folders(out)?.into_iter().filter_map(|name| name.strip_prefix(FILES)?.parse::<u64>().ok());
    Ok(format!("{FILES}{}", numbers.max().unwrap_or(0) + 1))
}

/// Takes a directory for as long as the file lives.
pub(super) fn take_directory(out: &Path) -> Result<File, BackupError> {
    let held = File::open(out).map_err(file_error(out))?;
    match held.try_lock() {
        Ok(()) => Ok(held),
        Err(TryLockError::WouldBlock) => Err(BackupError::Busy(out.into())),
        Err(TryLockError::Error(error)) => Err(file_error(out)(error)),
    }
}

/// Makes the names in a folder and in those below it durable.
pub(super) fn sync_all_directories(path: &Path) -> Result<(), BackupError> {
    let attempt = |path: &Path| -> io::Result<Vec<PathBuf>> {
        files::sync_directory(path)?;
        let entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        Ok(entries.into_iter().filter(|path| path.is_dir()).collect())
    };
    attempt(path).map_err(file_error(path))?.iter().try_for_each(|path| sync_all_directories(path))
}

/// Copies a file into a folder under a path, and reads it there again. `None` if it has vanished meanwhile, as files do
/// that are replaced.
pub(super) fn keep_file(from: &Path, folder: &Path, path: &str) -> Result<Option<BackedUpFile>, BackupError> {
    let file = match File::open(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(file_error(from))?,
    };
    let (bytes, sha256) = copy_file(file, from, &folder.join(path))?;
    Ok(Some(BackedUpFile { path: path.into(), bytes, sha256 }))
}

/// Copies a file that is not there yet, durably and for its owner alone, whoever may read the first one, and reads it
/// again; returns length and hash.
pub(super) fn copy_file(mut file: File, from: &Path, to: &Path) -> Result<(u64, String), BackupError> {
    if let Some(parent) = to.parent() {
        files::private_folders(parent).and_then(|()| files::make_private_folder(parent)).map_err(file_error(parent))?;
    }
    let mut create = OpenOptions::new();
    let mut copy = files::private(&mut create).write(true).create_new(true).open(to).map_err(file_error(to))?;
    let written = transfer(&mut file, from, |part| copy.write_all(part).map_err(file_error(to)))?;
    copy.sync_all().map_err(file_error(to))?;
    drop(copy);
    let again = File::open(to).map_err(file_error(to))?;
    if transfer(&mut { again }, to, |_| Ok(()))? != written {
        let what = "it is not read as it was written: look at the disk".into();
        return Err(BackupError::Unsound { path: to.into(), what });
    }
    Ok(written)
}

/// Reads a file to its end; returns length and hash.
fn transfer(
    file: &mut File,
    from: &Path,
    mut take: impl FnMut(&[u8]) -> Result<(), BackupError>,
) -> Result<(u64, String), BackupError> {
    let (mut context, mut length, mut part) = (Context::new(&SHA256), 0, vec![0; 1 << 16]);
    loop {
        match file.read(&mut part).map_err(file_error(from))? {
            0 => return Ok((length, hex::encode(context.finish()))),
            read => {
                context.update(&part[..read]);
                length += read as u64;
                take(&part[..read])?;
            }
        }
    }
}

/// Length and hash of a file.
pub(super) fn measure(path: &Path) -> Result<(u64, String), BackupError> {
    let mut file = File::open(path).map_err(file_error(path))?;
    transfer(&mut file, path, |_| Ok(()))
}
