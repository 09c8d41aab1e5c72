//! A channel's blocks in one file, for programs of others: what `chancery block export` writes and `conformance chain`
//! reads. A version, then each block from genesis on with its length before it (`docs/formats/blocks.md`).
//!
//! What is written follows; what is read may be anything: whether it is a chain, [`ledger_classes::chain`] says.

use crate::block::folder::{BlockFolderError, check};
use ledger_classes::formats::block::BLOCK_ENCODED_BYTES_MAX;
use ledger_classes::primitives::hash::Hash;
use std::io::{self, Read, Write};

/// The form that this build writes and reads.
pub const VERSION: u16 = 1;

/// Writes blocks from genesis on.
pub struct BlockFileWriter<W> {
    out: W,
    channel: Hash,
    next: u64,
    previous: Option<Hash>,
}

/// Why a block cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum BlockFileError {
    /// The disk.
    #[error(transparent)]
    File(#[from] io::Error),
    /// It does not follow.
    #[error(transparent)]
    Block(#[from] BlockFolderError),
}

impl<W: Write> BlockFileWriter<W> {
    /// Begins a file with the blocks of a channel.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(mut out: W, channel: Hash) -> io::Result<Self> {
        out.write_all(&VERSION.to_le_bytes())?;
        Ok(Self { out, channel, next: 0, previous: None })
    }

    /// The height that comes next.
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// Hash of the last block's header.
    pub const fn tip(&self) -> Option<Hash> {
        self.previous
    }

    /// Adds the next block, by its bytes.
    ///
    /// # Errors
    /// It does not follow, or cannot be written.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), BlockFileError> {
        let block = check(bytes, self.next, self.channel, self.previous)?;
        self.out.write_all(&(bytes.len() as u64).to_le_bytes())?;
        self.out.write_all(bytes)?;
        self.next += 1;
        self.previous = Some(block.header.hash());
        Ok(())
    }

    /// The end: what was written, for the caller to put on disk.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Reads blocks in their order.
pub struct BlockFileReader<R>(R);

/// The next entry of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockFileEntry {
    /// The bytes of what should be a block.
    Bytes(Vec<u8>),
    /// Bytes that are no entry: it is cut off, or longer than any block.
    Broken,
    /// The end.
    End,
}

impl<R: Read> BlockFileReader<R> {
    /// Reads a file from its beginning.
    ///
    /// # Errors
    /// It cannot be read, or is of another version.
    pub fn new(mut input: R) -> io::Result<Self> {
        let mut version = [0; 2];
        input.read_exact(&mut version)?;
        match u16::from_le_bytes(version) {
            VERSION => Ok(Self(input)),
            other => Err(io::Error::other(format!("blocks in a form of version {other}, and not of {VERSION}"))),
        }
    }

    /// The next entry; behind one that is broken nothing is read.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read_entry(&mut self) -> io::Result<BlockFileEntry> {
        let length = up_to(&mut self.0, 8)?;
        if length.is_empty() {
            return Ok(BlockFileEntry::End);
        }
        let Ok(length) = <[u8; 8]>::try_from(length.as_slice()) else { return Ok(BlockFileEntry::Broken) };
        let length = u64::from_le_bytes(length);
        if length > BLOCK_ENCODED_BYTES_MAX as u64 {
            return Ok(BlockFileEntry::Broken);
        }
        let bytes = up_to(&mut self.0, length)?;
        Ok(if bytes.len() as u64 == length { BlockFileEntry::Bytes(bytes) } else { BlockFileEntry::Broken })
    }
}

/// As many bytes, or all that there are.
fn up_to(input: &mut impl Read, bytes: u64) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    input.take(bytes).read_to_end(&mut read)?;
    Ok(read)
}
