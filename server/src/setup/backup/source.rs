//! Where a backup takes its blocks from: a peer that runs, or the files of one that does not.

use super::error::{BackupError, file_error};
use crate::{
    control::{self, ChannelDescription, ChannelTip, PeerDescription, Places},
    setup::config::Config,
};
use channel_actors::lock_directory;
use channel_actors::peer::fence::Incarnation;
use channel_actors::store::{ChannelStore, StoreError, StoreOptions};
use ledger_classes::formats::block::Block;
use ledger_classes::primitives::causes::in_one_line;
use ledger_classes::primitives::codec::DecodeError;
use ledger_classes::primitives::identity::is_label;
use pki::{LeafClaims, trust::files::read_certificates};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// A peer to back up.
pub(super) enum Source {
    /// It runs in this directory.
    Running(PathBuf),
    /// Its files, which are held.
    Stopped { dir: PathBuf, places: Places, _held: File },
}

impl Source {
    /// Looks whether the peer of a directory runs.
    pub(super) fn open(dir: &Path) -> Result<Self, BackupError> {
        let peer = |source| BackupError::Peer { dir: dir.into(), source };
        let config = Config::load(dir)?;
        let places = Places::of(&std::path::absolute(dir).map_err(file_error(dir))?, &config);
        let asked = control::describe_peer(dir);
        let silent = match asked {
            Ok(_) => return Ok(Self::Running(dir.into())),
            Err(error) => error,
        };
        match lock_directory(&places.data_dir) {
            Ok(held) => Ok(Self::Stopped { dir: dir.into(), places, _held: held }),
            // It runs, or something else uses the channels: why it does not answer is the reason.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Err(peer(io::Error::new(
                silent.kind(),
                format!("{error}, and {} does not answer: {silent}", dir.join(control::SOCKET).display()),
            ))),
            Err(error) => Err(peer(error)),
        }
    }

    /// What the peer is and holds.
    pub(super) fn describe(&self) -> Result<PeerDescription, BackupError> {
        let (dir, places) = match self {
            Self::Running(dir) => {
                return control::describe_peer(dir).map_err(|source| BackupError::Peer { dir: dir.clone(), source });
            }
            Self::Stopped { dir, places, .. } => (dir, places),
        };
        let peer = |source| BackupError::Peer { dir: dir.clone(), source };
        let path = read_certificates(&places.certificate_dir.join("cert.pem")).map_err(io::Error::other);
        let claims = path.and_then(|path| {
            LeafClaims::of_certificate(path.first().map_or(&[], Vec::as_slice)).map_err(io::Error::other)
        });
        let identity = claims.map_err(peer)?.identity().to_string();
        let incarnation = Incarnation::read(&incarnation_file(&places.seal_key)).map_err(peer)?;
        let mut channels = Vec::new();
        let entries = fs::read_dir(&places.data_dir).map_err(file_error(&places.data_dir))?;
        for entry in entries {
            let entry = entry.map_err(file_error(&places.data_dir))?;
            let name = entry.file_name().into_string().unwrap_or_default();
            if is_label(&name) && entry.path().is_dir() {
                let state = tip(&entry.path()).map_err(|error| in_one_line(&error));
                channels.push(ChannelDescription { state, name });
            }
        }
        channels.sort_by(|one, other| one.name.cmp(&other.name));
        let incarnation = incarnation.map(|incarnation| incarnation.to_string());
        Ok(PeerDescription { peer: identity, incarnation, places: places.clone(), channels })
    }

    /// Takes the blocks of a channel, in order; of a peer that runs up to its present tip, which may be above `to`.
    pub(super) fn take_blocks<E: From<io::Error>>(
        &self,
        name: &str,
        from: u64,
        to: u64,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Running(dir) => control::take_blocks(dir, name, from, take),
            Self::Stopped { places, .. } => {
                let store = inspect(&places.data_dir.join(name));
                let store = store.map_err(|error| io::Error::other(in_one_line(&error)))?;
                for height in from..=to {
                    let block = store.block(height).map_err(io::Error::other)?;
                    take(&block.ok_or_else(|| io::Error::other(format!("block {height} is missing")))?)?;
                }
                Ok(())
            }
        }
    }
}

/// The file beside a seal key that names the peer's incarnation.
pub(crate) fn incarnation_file(seal_key: &Path) -> PathBuf {
    seal_key.with_file_name("incarnation")
}

/// Why a channel's tip cannot be read from its files.
#[derive(Debug, thiserror::Error)]
enum TipError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log ends before it.
    #[error("block {0} is missing")]
    Missing(u64),
    /// It is there, and is no block.
    #[error(transparent)]
    Block(#[from] DecodeError),
    /// An empty log.
    #[error("the log holds no genesis block")]
    Empty,
}

/// Opens a store to look at. The state is not looked at: what is wrong with it is no matter here.
fn inspect(directory: &Path) -> Result<ChannelStore, StoreError> {
    Ok(ChannelStore::inspect(directory, StoreOptions::default())?.0)
}

fn tip(directory: &Path) -> Result<ChannelTip, TipError> {
    let store = inspect(directory)?;
    let block = |height| -> Result<Block, TipError> {
        Ok(Block::decode(&store.block(height)?.ok_or(TipError::Missing(height))?)?)
    };
    let height = store.log_tip().ok_or(TipError::Empty)?;
    Ok(ChannelTip { channel: block(0)?.header.hash(), height, tip: block(height)?.header.hash() })
}
