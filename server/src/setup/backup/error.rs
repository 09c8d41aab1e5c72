//! Why there is no backup, or nothing is made of one.

use crate::setup::config::ConfigError;
use std::{
    io,
    path::{Path, PathBuf},
};

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file or directory.
    #[error("{path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process works on it.
    #[error("{0} is in use: another backup or restore works on it")]
    Busy(PathBuf),
    /// It holds something else.
    #[error("{path}: {what}")]
    Unsuitable {
        /// Which directory or file.
        path: PathBuf,
        /// Why not.
        what: String,
    },
    /// A backup is not what it says.
    #[error("{path}: {what}")]
    Unsound {
        /// Which directory or file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The peer neither runs nor can its files be taken.
    #[error("the peer in {dir}")]
    Peer {
        /// Its directory.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The peer's configuration.
    #[error("the peer's configuration")]
    Config(#[from] ConfigError),
    /// A channel's blocks.
    #[error("channel {name}: {reason}")]
    Channel {
        /// Which.
        name: String,
        /// Why.
        reason: String,
    },
}

impl BackupError {
    /// Whether it may work later.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Busy(_) | Self::Peer { .. } => true,
            Self::File { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            _ => false,
        }
    }
}

pub(super) fn file_error(path: &Path) -> impl FnOnce(io::Error) -> BackupError + use<> {
    let path = path.to_owned();
    move |source| BackupError::File { path, source }
}
