//! What was verified of each channel before, so that another history does not pass unnoticed: the newest sealed header,
//! for each peer that served it. What is verified next is held against all of them.
//!
//! A fork is an error for good: nothing that was seen is replaced by what contradicts it. Whoever keeps these in a file
//! keeps the evidence of a fork beside it ([`SeenHeaders::keep_in`]).

use crate::fork::{Fork, SealedBytes, SealedHeader, fork_of};
use ledger_classes::formats::proof::{ProofError, VerifiedTrust};
use ledger_classes::primitives::hash::Hash;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Channels and peers that are remembered: more than anybody watches. Beyond it nothing more is.
const SEEN_MAX: usize = 4_096;
/// Bytes of a file of them.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Why a header is not taken for what was seen before.
#[derive(Debug, thiserror::Error)]
pub enum SeenError {
    /// It belongs to another history.
    #[error("{fork}{}", .kept.as_ref().map(|path| format!("; the evidence is kept in {}", path.display())).unwrap_or_default())]
    Fork {
        /// Both headers.
        fork: Box<Fork>,
        /// Where the evidence is kept.
        kept: Option<PathBuf>,
    },
    /// The peer lacks what it, or another one, has shown before.
    #[error(
        "the peer has block {tip} of {channel} as its last, and block {height} was verified before: it was restored from \
         an older copy, or is one"
    )]
    Behind {
        /// The channel.
        channel: Hash,
        /// What was seen.
        height: u64,
        /// The peer's last block.
        tip: u64,
    },
    /// The way to who seals lacks a change that was verified before: whoever sealed once could go on.
    #[error("the peer leaves out that others seal {channel} since block {height}, which was verified before")]
    Shortened {
        /// The channel.
        channel: Hash,
        /// The block after which others seal.
        height: u64,
    },
    /// Its seal does not hold.
    #[error("the header does not hold: {0}")]
    Seal(#[from] ProofError),
    /// The file of what was seen.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The newest header of a channel that a peer has shown, and who sealed last as far as it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    channel: Hash,
    peer: String,
    height: u64,
    hash: Hash,
    sealed: SealedBytes,
    /// The block since which they seal.
    orderers_since: u64,
    /// Hash of who they are.
    orderers_root: Hash,
}

/// The newest verified headers, by channel and peer.
#[derive(Debug, Default)]
pub struct SeenHeaders {
    seen: BTreeMap<(Hash, String), Seen>,
    folder: Option<PathBuf>,
    written: Option<Instant>,
}

/// How often what was seen is written while more comes.
const WRITE_EVERY: Duration = Duration::from_secs(1);

impl SeenHeaders {
    /// The file in a folder.
    const FILE: &str = "seen-headers.json";

    /// What is kept in a folder; from now on it is kept there. A fork leaves `fork-CHANNEL-HEIGHT.json` beside it.
    pub fn keep_in(folder: &Path) -> Result<Self, SeenError> {
        let path = folder.join(Self::FILE);
        let fail = |source| SeenError::File { path: path.clone(), source };
        let mut seen = BTreeMap::new();
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
                return Err(fail(io::Error::new(io::ErrorKind::InvalidData, "it is larger than any of its kind")));
            }
            Ok(_) => {
                let text = std::fs::read(&path).map_err(fail)?;
                let all: Vec<Seen> =
                    ledger_classes::primitives::json::from_slice(&text).map_err(|error| fail(error.into()))?;
                seen.extend(all.into_iter().take(SEEN_MAX).map(|one| ((one.channel, one.peer.clone()), one)));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fail(error)),
        }
        Ok(Self { seen, folder: Some(folder.into()), written: None })
    }

    /// The height of the newest header that was seen of a channel, of whichever peer.
    pub fn newest(&self, channel: &Hash) -> Option<u64> {
        self.of(channel).map(|seen| seen.height).max()
    }

    fn of(&self, channel: &Hash) -> impl Iterator<Item = &Seen> {
        let channel = *channel;
        let from = (channel, String::new());
        self.seen.range(from..).take_while(move |((of, _), _)| *of == channel).map(|(_, seen)| seen)
    }

    /// A peer shows a header, whose seal is checked under `trust`. Held against everything that was seen of the channel.
    ///
    /// # Errors
    /// There are two histories, which is written down where what was seen is kept; or the seal does not hold.
    pub fn meet(&mut self, peer: &str, trust: &VerifiedTrust, shown: &SealedBytes) -> Result<(), SeenError> {
        let channel = trust.channel();
        let shown = SealedHeader::verify(trust, shown)?;
        let since =
            self.of(&channel).map(|seen| (seen.orderers_since, seen.orderers_root)).max_by_key(|(height, _)| *height);
        if let Some((height, root)) = since.filter(|(height, _)| shown.height() > *height)
            && !trust.names(height, root)
        {
            return Err(SeenError::Shortened { channel, height });
        }
        let known = self.of(&channel).any(|seen| seen.hash == shown.hash() && seen.peer == peer);
        if known {
            return Ok(());
        }
        for seen in self.of(&channel) {
            let Some(before) = SealedHeader::remembered(trust, &seen.sealed) else { continue };
            if let Some(fork) = fork_of(channel, &before, &shown) {
                let kept = self.keep_evidence(&fork);
                return Err(SeenError::Fork { fork: Box::new(fork), kept });
            }
        }
        let key = (channel, peer.to_owned());
        let newer = self.seen.get(&key).map_or(self.seen.len() < SEEN_MAX, |seen| seen.height < shown.height());
        if newer {
            let (height, hash, sealed) = (shown.height(), shown.hash(), shown.bytes().clone());
            // Changes above the header are not in all ways to it: what was known of them stays.
            let (orderers_since, orderers_root) =
                since.into_iter().chain([trust.newest()]).max_by_key(|(height, _)| *height).unwrap_or_default();
            let peer = peer.into();
            self.seen.insert(key, Seen { channel, peer, height, hash, sealed, orderers_since, orderers_root });
            if self.written.is_none_or(|written| written.elapsed() >= WRITE_EVERY) {
                // Whoever ends is told if it cannot be.
                let _ = self.keep();
            }
        }
        Ok(())
    }

    /// Writes what was seen where it is kept.
    pub fn keep(&mut self) -> Result<(), SeenError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        self.written = Some(Instant::now());
        let all: Vec<&Seen> = self.seen.values().collect();
        write(&folder.join(Self::FILE), &all)
    }

    /// Keeps the evidence of a fork, and says where; the first one stays. That there is a fork is worth more than its file.
    fn keep_evidence(&self, fork: &Fork) -> Option<PathBuf> {
        let path = self.folder.as_ref()?.join(format!("fork-{}-{}.json", fork.channel, fork.height));
        let kept = path.exists() || write(&path, fork).is_ok();
        kept.then_some(path)
    }
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), SeenError> {
    let fail = |source: io::Error| SeenError::File { path: path.into(), source };
    let text = serde_json::to_vec_pretty(value).map_err(|error| fail(error.into()))?;
    files::write_public(path, &text).map_err(fail)
}
