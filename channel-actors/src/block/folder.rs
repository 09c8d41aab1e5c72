//! A channel's blocks in plain files: what `chancery backup` and `chancery channel fetch` write, and what `chancery
//! restore` and `chancery verify` read. docs/formats/blocks.md has the bytes.
//!
//! These hold: blocks are only added, never changed; the file `channel` is written after the blocks that it tells of are
//! on disk, whole or not at all, so that blocks 0 to its height are there after a crash at any instant; what lies behind
//! them is not there yet and is cut off by whoever goes on. Nothing here is trusted: the tip's hash binds every block, and
//! [`crate::block::verify_offline::audit_blocks`] executes them all.

use crate::limits::{BLOCK_FILE_BYTES, CHANNEL_FILE_BYTES_MAX};
use ledger_classes::formats::block::{BLOCK_ENCODED_BYTES_MAX, Block};
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::identity::is_label;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// First line of every file.
const MAGIC: &str = "chancery/blocks/1\n";
/// The file that says which blocks are here.
const CHANNEL: &str = "channel";
/// Extension of the files with blocks; the name is the height of the first.
const EXTENSION: &str = "blocks";
/// Bytes of a block's length.
const LENGTH_BYTES: usize = 4;

/// Why a folder of blocks cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BlockFolderError {
    /// The disk.
    #[error("{}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What is there is not what was written.
    #[error("{}: {what}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: Box<FolderDamage>,
    },
    /// A block that does not follow those that are here.
    #[error("block {height}: {what}")]
    Block {
        /// Its height.
        height: u64,
        /// Why not.
        what: String,
    },
}

/// What is wrong with a folder of blocks.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum FolderDamage {
    /// The file that says what is there is missing.
    #[error("it is not there: this is no folder of a channel's blocks, or nothing was finished in it")]
    Absent,
    /// A file is not one of ours.
    #[error("line 1 does not read `{}`", MAGIC.trim_end())]
    Magic,
    /// A line of the file that says what is there.
    #[error("line {line} does not read `{name} …`{form}")]
    Line {
        /// Which one.
        line: usize,
        /// What it begins with.
        name: &'static str,
        /// What follows, where that is wrong.
        form: &'static str,
    },
    /// The same values in another form.
    #[error("it is not five lines, each value in its one form and each ended by one line feed")]
    Form,
    /// A block is missing.
    #[error("block {height} is missing")]
    Missing {
        /// Which one.
        height: u64,
    },
    /// A block is longer than any is.
    #[error("block {height}: its length cannot be right")]
    Length {
        /// Which one.
        height: u64,
    },
    /// The file ends within a block.
    #[error("block {height} ends too early")]
    EndsEarly {
        /// Which one.
        height: u64,
    },
    /// It holds another channel's blocks.
    #[error("it is about the channel {name} {channel}, not {expected_name} {expected}")]
    OtherChannel {
        /// The name that it says.
        name: String,
        /// The id that it says.
        channel: Hash,
        /// The name of the channel that was meant.
        expected_name: String,
        /// That one's id.
        expected: Hash,
    },
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> BlockFolderError + use<> {
    let path = path.to_owned();
    move |source| BlockFolderError::File { path, source }
}

/// Which blocks a folder holds: all from genesis to a height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The channel's name.
    pub name: String,
    /// Its id.
    pub channel: Hash,
    /// Height of the last block.
    pub height: u64,
    /// Hash of that block's header.
    pub tip: Hash,
}

impl Kept {
    fn to_text(&self) -> String {
        let Self { name, channel, height, tip } = self;
        format!("{MAGIC}name {name}\nchannel {channel}\nheight {height}\ntip {tip}\n")
    }

    /// What is wrong is told with its line.
    fn parse(text: &str) -> Result<Self, FolderDamage> {
        let rest = text.strip_prefix(MAGIC).ok_or(FolderDamage::Magic)?;
        let mut lines = rest.lines();
        let mut field = |line: usize, name: &'static str| {
            let value = lines.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(' '));
            value.ok_or(FolderDamage::Line { line, name, form: "" })
        };
        let wrong = |line, name, form| FolderDamage::Line { line, name, form };
        let name = Some(field(2, "name")?).filter(|name| is_label(name)).ok_or(wrong(2, "name", ""))?.to_owned();
        let hash = " with 64 hex digits";
        let channel = Hash::parse(field(3, "channel")?).map_err(|_| wrong(3, "channel", hash))?;
        let height = field(4, "height")?.parse().map_err(|_| wrong(4, "height", " with a number"))?;
        let tip = Hash::parse(field(5, "tip")?).map_err(|_| wrong(5, "tip", hash))?;
        let kept = Self { name, channel, height, tip };
        // One form for each value.
        match kept.to_text() == text {
            true => Ok(kept),
            false => Err(FolderDamage::Form),
        }
    }

    /// What the folder says that it holds; `None` if it says nothing yet.
    ///
    /// # Errors
    /// The file cannot be read, or is not ours.
    pub fn read(directory: &Path) -> Result<Option<Self>, BlockFolderError> {
        let path = directory.join(CHANNEL);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(file_error(&path)(error)),
        };
        let mut text = String::new();
        file.take(CHANNEL_FILE_BYTES_MAX).read_to_string(&mut text).map_err(file_error(&path))?;
        Self::parse(&text).map(Some).map_err(|what| BlockFolderError::Damaged { path, what: Box::new(what) })
    }
}

/// A name for the file whose first block has this height.
fn file_name(first: u64) -> String {
    format!("{first:020}.{EXTENSION}")
}

/// Heights of the first blocks of the files that are there, ascending.
fn block_files(directory: &Path) -> Result<Vec<u64>, BlockFolderError> {
    let mut heights = Vec::new();
    for entry in fs::read_dir(directory).map_err(file_error(directory))? {
        let name = entry.map_err(file_error(directory))?.file_name();
        let height = name.to_str().and_then(|name| name.strip_suffix(EXTENSION)?.strip_suffix('.')?.parse().ok());
        heights.extend(height.filter(|height| *name == *file_name(*height)));
    }
    heights.sort_unstable();
    Ok(heights)
}

/// Reads blocks in their order.
pub struct BlockReader {
    directory: PathBuf,
    kept: Kept,
    /// First heights of the files that were not begun yet, descending.
    files: Vec<u64>,
    open: Option<(PathBuf, BufReader<File>)>,
    next: u64,
    previous: Option<Hash>,
}

impl BlockReader {
    /// Reads what a folder says that it holds, from genesis on.
    ///
    /// # Errors
    /// It says nothing, or cannot be read.
    pub fn open(directory: &Path) -> Result<Self, BlockFolderError> {
        let nothing =
            || BlockFolderError::Damaged { path: directory.join(CHANNEL), what: Box::new(FolderDamage::Absent) };
        let kept = Kept::read(directory)?.ok_or_else(nothing)?;
        let mut files = block_files(directory)?;
        files.retain(|first| *first <= kept.height);
        files.reverse();
        Ok(Self { directory: directory.to_owned(), kept, files, open: None, next: 0, previous: None })
    }

    /// What the folder says that it holds.
    pub const fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Goes to a block, which is at most the one behind the last. Its files are searched, blocks before it are not looked
    /// at.
    fn seek(&mut self, height: u64) -> Result<(), BlockFolderError> {
        while self.files.len() > 1 && self.files[self.files.len() - 2] <= height {
            self.files.pop();
        }
        self.next = self.files.last().copied().unwrap_or_default();
        while self.next < height {
            let Some((path, mut reader, length)) = self.begin()? else { break };
            // Within the buffer this is no system call.
            reader.seek_relative(i64::from(length)).map_err(file_error(&path))?;
            self.open = Some((path, reader));
            self.next += 1;
        }
        self.previous = None;
        Ok(())
    }

    /// The length of the next record, behind which the file stands then. `None` behind the last height.
    fn begin(&mut self) -> Result<Option<(PathBuf, BufReader<File>, u32)>, BlockFolderError> {
        if self.next > self.kept.height {
            return Ok(None);
        }
        if self.files.last() == Some(&self.next) {
            let path = self.directory.join(file_name(self.next));
            let mut reader = BufReader::with_capacity(1 << 16, File::open(&path).map_err(file_error(&path))?);
            let mut magic = [0; MAGIC.len()];
            reader.read_exact(&mut magic).map_err(file_error(&path))?;
            if magic != MAGIC.as_bytes() {
                return Err(BlockFolderError::Damaged { path, what: Box::new(FolderDamage::Magic) });
            }
            self.files.pop();
            self.open = Some((path, reader));
        }
        let missing = || BlockFolderError::Damaged {
            path: self.directory.clone(),
            what: Box::new(FolderDamage::Missing { height: self.next }),
        };
        let (path, mut reader) = self.open.take().ok_or_else(missing)?;
        let mut length = [0; LENGTH_BYTES];
        reader.read_exact(&mut length).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => missing(),
            _ => file_error(&path)(error),
        })?;
        let length = u32::from_le_bytes(length);
        if length as usize > BLOCK_ENCODED_BYTES_MAX {
            let what = Box::new(FolderDamage::Length { height: self.next });
            return Err(BlockFolderError::Damaged { path, what });
        }
        Ok(Some((path, reader, length)))
    }

    /// The next block with its bytes, if it is one and follows the one before; `None` behind the last.
    ///
    /// # Errors
    /// A block is missing, cannot be read, or does not follow.
    pub fn next_block(&mut self) -> Result<Option<(Block, Vec<u8>)>, BlockFolderError> {
        let Some((path, mut reader, length)) = self.begin()? else { return Ok(None) };
        let mut bytes = vec![0; length as usize];
        let height = self.next;
        reader.read_exact(&mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                BlockFolderError::Damaged { path: path.clone(), what: Box::new(FolderDamage::EndsEarly { height }) }
            }
            _ => file_error(&path)(error),
        })?;
        self.open = Some((path, reader));
        let block = check(&bytes, height, self.kept.channel, self.previous)?;
        let hash = block.header.hash();
        if height == self.kept.height && hash != self.kept.tip {
            let what = "it is not the one that the folder names as its last".into();
            return Err(BlockFolderError::Block { height, what });
        }
        self.next += 1;
        self.previous = Some(hash);
        Ok(Some((block, bytes)))
    }
}

/// Decodes a block that must be of a channel and a height, and follow `previous` if that is known.
pub(crate) fn check(
    bytes: &[u8],
    height: u64,
    channel: Hash,
    previous: Option<Hash>,
) -> Result<Block, BlockFolderError> {
    let refused = |what: String| BlockFolderError::Block { height, what };
    let block = Block::decode(bytes).map_err(|error| refused(error.to_string()))?;
    if block.header.height != height {
        return Err(refused(format!("it says that it is block {}", block.header.height)));
    }
    if block.header.channel_id() != channel {
        return Err(refused("it is of another channel".into()));
    }
    if previous.is_some_and(|previous| previous != block.header.previous) {
        return Err(refused("it does not follow the block before".into()));
    }
    block.check_body().map_err(|error| refused(error.what))?;
    Ok(block)
}

/// Adds blocks.
pub struct BlockWriter {
    directory: PathBuf,
    name: String,
    channel: Hash,
    /// What is on disk and said to be.
    kept: Option<Kept>,
    /// The last block that was added.
    last: Option<(u64, Hash)>,
    file: Option<(PathBuf, BufWriter<File>, u64)>,
}

impl BlockWriter {
    /// Goes on where a folder ends, which is made if it is missing. What was not finished is cut off.
    ///
    /// # Errors
    /// It holds blocks of another channel, or cannot be written.
    pub fn open(directory: &Path, name: &str, channel: Hash) -> Result<Self, BlockFolderError> {
        files::private_folders(directory).map_err(file_error(directory))?;
        let kept = Kept::read(directory)?;
        let mut writer = Self {
            directory: directory.to_owned(),
            name: name.to_owned(),
            channel,
            last: kept.as_ref().map(|kept| (kept.height, kept.tip)),
            kept,
            file: None,
        };
        let Some(kept) = &writer.kept else {
            for first in block_files(directory)? {
                let path = directory.join(file_name(first));
                fs::remove_file(&path).map_err(file_error(&path))?;
            }
            return Ok(writer);
        };
        if kept.channel != channel || kept.name != name {
            let what = Box::new(FolderDamage::OtherChannel {
                name: kept.name.clone(),
                channel: kept.channel,
                expected_name: name.to_owned(),
                expected: channel,
            });
            return Err(BlockFolderError::Damaged { path: directory.join(CHANNEL), what });
        }
        for first in block_files(directory)?.into_iter().filter(|first| *first > kept.height) {
            let path = directory.join(file_name(first));
            fs::remove_file(&path).map_err(file_error(&path))?;
        }
        let mut reader = BlockReader::open(directory)?;
        reader.seek(kept.height)?;
        // Also held against the tip's hash.
        if reader.next_block()?.is_none() {
            let what = Box::new(FolderDamage::Missing { height: kept.height });
            return Err(BlockFolderError::Damaged { path: directory.to_owned(), what });
        }
        if let Some((path, mut reader)) = reader.open {
            let end = reader.stream_position().map_err(file_error(&path))?;
            let open = OpenOptions::new().write(true).open(&path);
            let file = open.and_then(|mut file| {
                file.set_len(end)?;
                file.seek(SeekFrom::End(0))?;
                Ok(file)
            });
            let file = BufWriter::with_capacity(1 << 16, file.map_err(file_error(&path))?);
            writer.file = Some((path, file, end));
        }
        Ok(writer)
    }

    /// What is on disk and said to be.
    pub const fn kept(&self) -> Option<&Kept> {
        self.kept.as_ref()
    }

    /// The height that comes next.
    pub fn next(&self) -> u64 {
        self.last.map_or(0, |(height, _)| height + 1)
    }

    /// Adds the next block. It is there once [`Self::commit`] has returned; every now and then this does so.
    ///
    /// # Errors
    /// It does not follow, or cannot be written.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), BlockFolderError> {
        let height = self.next();
        let block = check(bytes, height, self.channel, self.last.map(|(_, hash)| hash))?;
        let full = self.file.as_ref().is_none_or(|(_, _, length)| *length >= BLOCK_FILE_BYTES);
        if full {
            if self.last.is_some() {
                self.commit()?;
            }
            let path = self.directory.join(file_name(height));
            let mut create = OpenOptions::new();
            let create = files::private(&mut create).write(true).create(true).truncate(true);
            let file = create.open(&path).map_err(file_error(&path))?;
            let mut file = BufWriter::with_capacity(1 << 16, file);
            file.write_all(MAGIC.as_bytes()).map_err(file_error(&path))?;
            self.file = Some((path, file, MAGIC.len() as u64));
        }
        let Some((path, file, length)) = &mut self.file else { return Ok(()) };
        let prefix = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        file.write_all(&prefix).and_then(|()| file.write_all(bytes)).map_err(file_error(path))?;
        *length += (LENGTH_BYTES + bytes.len()) as u64;
        self.last = Some((height, block.header.hash()));
        Ok(())
    }

    /// Puts what was added on disk, reads it again, and says then that it is there.
    ///
    /// # Errors
    /// It cannot be written, or is not read as it was written: the folder says what it said before.
    pub fn commit(&mut self) -> Result<Option<&Kept>, BlockFolderError> {
        let Some((height, tip)) = self.last else { return Ok(None) };
        if self.kept.as_ref().is_some_and(|kept| kept.height == height) {
            return Ok(self.kept.as_ref());
        }
        if let Some((path, file, _)) = &mut self.file {
            let synced = file.flush().and_then(|()| file.get_ref().sync_all());
            synced.map_err(file_error(path))?;
        }
        files::sync_directory(&self.directory).map_err(file_error(&self.directory))?;
        let kept = Kept { name: self.name.clone(), channel: self.channel, height, tip };
        self.read_again(&kept)?;
        let path = self.directory.join(CHANNEL);
        files::write_private(&path, kept.to_text().as_bytes()).map_err(file_error(&path))?;
        self.kept = Some(kept);
        Ok(self.kept.as_ref())
    }

    /// Reads what was added since the last time.
    fn read_again(&self, kept: &Kept) -> Result<(), BlockFolderError> {
        let mut files = block_files(&self.directory)?;
        files.reverse();
        let directory = self.directory.clone();
        let mut reader = BlockReader { directory, kept: kept.clone(), files, open: None, next: 0, previous: None };
        reader.seek(self.kept.as_ref().map_or(0, |kept| kept.height + 1))?;
        reader.previous = self.kept.as_ref().map(|kept| kept.tip);
        while reader.next_block()?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests;
