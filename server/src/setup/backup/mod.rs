//! `chancery backup`: what a peer is, in a directory of plain files, from which [`restore`] makes it again. Of a peer that
//! runs, through its operator's socket (`control.rs`), or of one that does not, from its files.
//!
//! What must never happen: a backup that says that it is whole and is not. `backup.json` is written last, when everything
//! that it names is on disk and was read again; it names all files with their hashes and each channel's last block.
//! Blocks are only added and the other files are written beside the earlier ones, so that what the last `backup.json` says
//! holds while the next one is being made, whatever becomes of that. docs/formats/backup.md has the form.

mod error;
mod manifest;
mod places;
pub mod restore;
mod source;

pub use error::BackupError;
pub use manifest::{BackedUpChannel, BackedUpFile, Manifest, Missing};
pub(crate) use source::incarnation_file;

use crate::control::PeerDescription;
use channel_actors::block::folder::{BlockFolderError, BlockWriter, Kept};
use channel_actors::peer::fence::Incarnation;
use error::file_error;
use ledger_classes::formats::block::Block;
use ledger_classes::primitives::hash::Hash;
use manifest::{CHANNELS, MARK, MARK_TEXT, take_directory};
use places::{Item, Items};
use source::Source;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What a backup is made of.
#[derive(Clone, Debug)]
pub struct BackupOptions {
    /// The peer's directory.
    pub dir: PathBuf,
    /// Where the backup is, or will be.
    pub out: PathBuf,
    /// Also the passphrase of the authorities' keys.
    pub with_passphrase: bool,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BackupReport {
    /// What the backup holds now.
    pub backup: Manifest,
    /// Blocks that it did not hold before.
    pub blocks_added: u64,
}

/// Makes a backup, or brings one up to date. `progress` is called with a channel, the block that was added last, and the
/// last one that will be.
///
/// # Errors
/// Nothing new was made; an earlier backup holds. A channel that cannot be read is no error: [`Manifest::missing`].
pub fn backup(options: &BackupOptions, mut progress: impl FnMut(&str, u64, u64)) -> Result<BackupReport, BackupError> {
    let out = &options.out;
    let before = prepare(out)?;
    let _held = take_directory(out)?;
    let source = Source::open(&options.dir)?;
    let peer = source.describe()?;
    if let Some(before) = before.as_ref().filter(|before| before.peer != peer.peer) {
        let what = format!("it is a backup of {}, not of {}", before.peer, peer.peer);
        return Err(BackupError::Unsuitable { path: out.clone(), what });
    }
    if let Some(before) = &before {
        check_goes_on(before, &source, &peer, out)?;
    }
    let (mut channels, mut missing, mut blocks_added) = (Vec::new(), Vec::new(), 0);
    // Blocks before the authorities' index: what it has that `main` has not, the restored peer posts again.
    for channel in &peer.channels {
        let name = &channel.name;
        let copied = match &channel.state {
            Err(reason) => Err(Stop::Channel(reason.clone())),
            Ok(tip) => copy(&source, &out.join(CHANNELS).join(name), name, tip, &mut progress),
        };
        match copied {
            Ok((Kept { name, channel, height, tip }, added)) => {
                blocks_added += added;
                channels.push(BackedUpChannel { name, channel, height, tip });
            }
            Err(Stop::Channel(reason)) => missing.push(Missing { name: name.clone(), reason }),
            Err(Stop::Backup(error)) => return Err(error),
        }
    }
    // A channel that the peer holds no more, or that cannot be read now, stays as it was backed up last.
    let earlier = before.iter().flat_map(|before| &before.channels);
    let left: Vec<_> =
        earlier.filter(|earlier| !channels.iter().any(|one| one.name == earlier.name)).cloned().collect();
    for channel in &left {
        if !missing.iter().any(|one: &Missing| one.name == channel.name) {
            missing.push(Missing { name: channel.name.clone(), reason: "the peer holds it no more".into() });
        }
    }
    channels.extend(left);
    channels.sort_by(|one, other| one.name.cmp(&other.name));
    missing.sort_by(|one, other| one.name.cmp(&other.name));

    let folder = manifest::next_folder(out)?;
    // Before its files are listed: one that comes in between would be named in the index and not be there.
    let _authorities = places::hold_authorities(&peer.places);
    let Items { items, relocated, left_out } = places::items(&options.dir, &peer.places, options.with_passphrase)?;
    let mut files = Vec::with_capacity(items.len());
    for Item { from, path } in items {
        files.extend(manifest::keep_file(&from, &out.join(&folder), &path)?);
    }
    let backup = Manifest {
        format: manifest::FORMAT,
        made: crate::clock::now(),
        version: env!("CARGO_PKG_VERSION").into(),
        peer: peer.peer,
        incarnation: peer.incarnation,
        folder,
        files,
        channels,
        missing,
        relocated,
        left_out,
    };
    backup.write(out)?;
    Ok(BackupReport { backup, blocks_added })
}

/// Looks whether a peer goes on with what a backup holds, before anything of that changes: neither an earlier life of the
/// peer nor another history may take its place. A channel that cannot be read is none.
fn check_goes_on(before: &Manifest, source: &Source, peer: &PeerDescription, out: &Path) -> Result<(), BackupError> {
    let parse = |text: &Option<String>| text.as_deref().and_then(Incarnation::parse);
    if let Some(held) = parse(&before.incarnation) {
        let now = parse(&peer.incarnation);
        if now.as_ref().is_none_or(|now| now.number < held.number || (now.number == held.number && now.id != held.id)) {
            let now = now.map_or_else(|| "none yet".to_owned(), |now| now.to_string());
            let what = format!(
                "it is a backup of the peer's incarnation {held}, and this peer's is {now}: it was retired, or is a copy; \
                 use another directory, and keep this one"
            );
            return Err(BackupError::Unsound { path: out.into(), what });
        }
    }
    for channel in &peer.channels {
        let Ok(tip) = &channel.state else { continue };
        let folder = out.join(CHANNELS).join(&channel.name);
        // What is damaged there is said when it is written.
        let Some(kept) = Kept::read(&folder).ok().flatten() else { continue };
        let other = if kept.channel != tip.channel || kept.height > tip.height {
            true
        } else if kept.height == tip.height {
            kept.tip != tip.tip
        } else {
            block_hash(source, &channel.name, kept.height).is_some_and(|hash| hash != kept.tip)
        };
        if other {
            return Err(BackupError::Channel { name: channel.name.clone(), reason: another_history(&kept) });
        }
    }
    Ok(())
}

fn another_history(kept: &Kept) -> String {
    format!(
        "the peer's history is not the one in the backup, which ends with block {} {}: the peer was restored from an older \
         copy, or two peers seal with one key; use another directory, and keep this one",
        kept.height, kept.tip
    )
}

/// The hash of a block of the peer, if it can be read.
fn block_hash(source: &Source, name: &str, height: u64) -> Option<Hash> {
    let mut found = None;
    let enough = || io::Error::other("one block is enough");
    // What stops it is that it has come.
    let _ = source.take_blocks(name, height, height, |bytes| {
        found = Block::decode(bytes).ok().map(|block| block.header.hash());
        Err::<(), _>(enough())
    });
    found
}

/// Makes the directory, or looks that it is one of ours.
fn prepare(out: &Path) -> Result<Option<Manifest>, BackupError> {
    files::private_folder(out).map_err(file_error(out))?;
    let mark = out.join(MARK);
    if !mark.exists() {
        // A backup that was killed as it began may have left the mark under another name.
        let left = format!(".{MARK}.");
        for entry in fs::read_dir(out).map_err(file_error(out))? {
            if entry.map_err(file_error(out))?.file_name().to_string_lossy().starts_with(&left) {
                continue;
            }
            let what = "it is not empty, and no backup: choose another directory".into();
            return Err(BackupError::Unsuitable { path: out.into(), what });
        }
        files::write_private(&mark, MARK_TEXT.as_bytes()).map_err(file_error(&mark))?;
    }
    // Not before: somebody else's directory stays as it was.
    files::make_private_folder(out).map_err(file_error(out))?;
    Manifest::read(out)
}

/// Why a channel was not copied: it alone, or no backup can be made.
enum Stop {
    Channel(String),
    Backup(BackupError),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Channel(error.to_string())
    }
}

impl From<BlockFolderError> for Stop {
    fn from(error: BlockFolderError) -> Self {
        match error {
            BlockFolderError::File { path, source } => Self::Backup(BackupError::File { path, source }),
            error => Self::Channel(error.to_string()),
        }
    }
}

/// Adds the blocks that the backup of a channel does not hold; says how many those were.
fn copy(
    source: &Source,
    folder: &Path,
    name: &str,
    tip: &crate::control::ChannelTip,
    progress: &mut impl FnMut(&str, u64, u64),
) -> Result<(Kept, u64), Stop> {
    let mut writer = BlockWriter::open(folder, name, tip.channel)?;
    let kept = writer.kept().cloned();
    if let Some(kept) = kept.as_ref().filter(|kept| (kept.height, kept.tip) == (tip.height, tip.tip)) {
        return Ok((kept.clone(), 0));
    }
    let other_history = |kept: &Kept| Stop::Channel(another_history(kept));
    if let Some(kept) = kept.as_ref().filter(|kept| kept.height > tip.height) {
        return Err(other_history(kept));
    }
    // The last one that is there, too: it must be the peer's.
    let from = kept.as_ref().map_or(0, |kept| kept.height);
    let (mut first, mut added) = (kept.is_some(), 0);
    source.take_blocks(name, from, tip.height, |bytes| {
        if std::mem::take(&mut first) {
            let block = Block::decode(bytes).map_err(|error| Stop::Channel(error.to_string()))?;
            return match &kept {
                Some(kept) if block.header.hash() != kept.tip => Err(other_history(kept)),
                _ => Ok(()),
            };
        }
        writer.append(bytes)?;
        added += 1;
        progress(name, writer.next() - 1, tip.height);
        Ok(())
    })?;
    if writer.next() <= tip.height {
        return Err(Stop::Channel(format!("the peer gave no block {}", writer.next())));
    }
    let kept = writer.commit()?.cloned();
    kept.map(|kept| (kept, added)).ok_or_else(|| Stop::Channel("it has no blocks".into()))
}
