//! The operator's socket, `control.sock` in the peer's directory: what only somebody on this machine may ask a running
//! peer for, whatever rights certificates have. Now the blocks of every channel, for a backup (decision 0017).
//!
//! Its file has mode 0600 before it takes a connection. A question is one line of JSON; the answer is one, too, and behind
//! it the blocks, each after its length. Blocks are read a turn at a time from the channel's store, like any query, and
//! only as fast as they are taken: nothing is held open meanwhile and at most a turn is in memory.

use crate::limits::{CONTROL_CONNECTIONS_MAX, CONTROL_PAUSE, CONTROL_QUESTION_BYTES_MAX, CONTROL_WAIT};
use channel_actors::peer::fence::Incarnation;
use channel_actors::{ChannelHandle, ChannelRegistry, LifeCycle};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use ledger_classes::primitives::causes::in_one_line;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::identity::is_label;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{fs::PermissionsExt as _, net::UnixStream as BlockingStream},
    },
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader as AsyncBufReader},
    net::{UnixListener, UnixStream},
    time::timeout,
};

/// The socket's name in the peer's directory.
pub(crate) const SOCKET: &str = "control.sock";
/// A length that no block has: an error follows, as a line.
const FAILED: u32 = u32::MAX;

/// What may be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Question {
    /// What the peer is and holds.
    Peer {},
    /// Blocks from a height to the tip.
    Blocks { channel: String, from: u64 },
}

/// An answer's line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Peer(Box<PeerDescription>),
    Blocks {},
    Error(String),
}

/// What a peer is and holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerDescription {
    /// Its identity.
    pub(crate) peer: String,
    /// Its incarnation, if that is known.
    pub(crate) incarnation: Option<String>,
    /// Where its files are.
    pub(crate) places: Places,
    /// Every channel.
    pub(crate) channels: Vec<ChannelDescription>,
}

/// Where a peer's files are, as its configuration and its environment say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Places {
    pub(crate) data_dir: PathBuf,
    pub(crate) certificate_dir: PathBuf,
    pub(crate) authority_dir: PathBuf,
    pub(crate) authority_passphrase_file: PathBuf,
    pub(crate) seal_key: PathBuf,
    pub(crate) genesis: PathBuf,
}

/// A channel that a peer holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChannelDescription {
    /// Its name.
    pub(crate) name: String,
    /// Its id, height and last header's hash; or why they are not known, in words: they go to another process, for people.
    pub(crate) state: Result<ChannelTip, String>,
}

/// Where a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChannelTip {
    /// The channel's id.
    pub(crate) channel: Hash,
    /// Height of the last block.
    pub(crate) height: u64,
    /// Hash of its header.
    pub(crate) tip: Hash,
}

/// What the socket's end needs to know of the peer.
pub(crate) struct Told {
    pub(crate) peer: String,
    pub(crate) incarnation: Option<Incarnation>,
    pub(crate) places: Places,
    pub(crate) registry: Arc<ChannelRegistry>,
}

/// A path that fits a socket's address, whose length is bounded (unix(7)): through the open directory, where it is long.
/// The file must live as long as the path is used.
fn address(dir: &Path) -> io::Result<(PathBuf, File)> {
    let (path, directory) = (dir.join(SOCKET), File::open(dir)?);
    let long = path.as_os_str().len() > 90 && cfg!(target_os = "linux");
    let short = || PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()));
    Ok((if long { short() } else { path }, directory))
}

/// Makes the socket. Whoever calls holds the peer's channels: a socket that is there is left over.
pub(crate) fn bind(dir: &Path) -> io::Result<UnixListener> {
    let (path, _directory) = address(dir)?;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket: OwnedFd = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(&path)?)?;
    // Nobody can connect before it listens.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    rustix::net::listen(&socket, 16)?;
    let listener = std::os::unix::net::UnixListener::from(socket);
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Answers for as long as the peer lives.
#[expect(clippy::disallowed_methods, reason = "nothing tells when the system gives connections again")]
pub(crate) async fn answer(listener: Arc<UnixListener>, told: Arc<Told>) {
    let mut talks = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if talks.len() < CONTROL_CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => talks.push(converse(stream, &told)),
                Err(error) => {
                    tracing::warn!(error = in_one_line(&error), "the operator's socket takes no connection");
                    tokio::time::sleep(CONTROL_PAUSE).await;
                }
            },
            Some(ended) = talks.next(), if !talks.is_empty() => if let Err(error) = ended {
                // Whoever asked has gone.
                let error: io::Error = error;
                tracing::debug!(error = in_one_line(&error), "a conversation on the operator's socket ended");
            },
        }
    }
}

async fn converse(stream: UnixStream, told: &Told) -> io::Result<()> {
    let mut stream = AsyncBufReader::new(stream);
    let mut line = String::new();
    let mut limited = (&mut stream).take(CONTROL_QUESTION_BYTES_MAX);
    timeout(CONTROL_WAIT, limited.read_line(&mut line)).await??;
    let stream = stream.get_mut();
    match ledger_classes::primitives::json::from_slice(line.as_bytes()) {
        Ok(Question::Peer {}) => {
            let channels = told.registry.list().iter().map(described).collect();
            let incarnation = told.incarnation.as_ref().map(ToString::to_string);
            let (peer, places) = (told.peer.clone(), told.places.clone());
            say(stream, &Answer::Peer(Box::new(PeerDescription { peer, incarnation, places, channels }))).await
        }
        Ok(Question::Blocks { channel, from }) => match told.registry.by_name(&channel) {
            Some(channel) => blocks(stream, &channel, from).await,
            None => say(stream, &Answer::Error(format!("there is no channel {channel}"))).await,
        },
        Err(error) => say(stream, &Answer::Error(format!("not a question of this version: {error}"))).await,
    }
}

/// What is known of a channel without opening its files.
fn described(channel: &ChannelHandle) -> ChannelDescription {
    let state = match (channel.id(), channel.state()) {
        (_, LifeCycle::Halted { reason }) => Err(format!("it has halted: {reason}")),
        (Some(id), _) => {
            let tip = channel.tip();
            Ok(ChannelTip { channel: id, height: tip.height, tip: tip.hash })
        }
        (None, _) => Err("it is being opened".into()),
    };
    ChannelDescription { name: channel.name().into(), state }
}

async fn blocks(stream: &mut UnixStream, channel: &ChannelHandle, from: u64) -> io::Result<()> {
    // What is committed meanwhile is for the next backup.
    let tip = channel.tip().height;
    say(stream, &Answer::Blocks {}).await?;
    let mut next = from;
    while next <= tip {
        let blocks = match channel.encoded_blocks(next, usize::MAX).await {
            Ok(blocks) => blocks,
            Err(why) => {
                write(stream, &FAILED.to_le_bytes()).await?;
                return say(stream, &Answer::Error(why.to_string())).await;
            }
        };
        if blocks.is_empty() {
            break;
        }
        for block in blocks.iter().take(usize::try_from(tip - next + 1).unwrap_or(usize::MAX)) {
            write(stream, &u32::try_from(block.len()).unwrap_or(FAILED).to_le_bytes()).await?;
            write(stream, block).await?;
            next += 1;
        }
    }
    write(stream, &0_u32.to_le_bytes()).await
}

async fn say(stream: &mut UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    write(stream, &line).await
}

/// Writes, unless nobody takes anything for a while.
async fn write(stream: &mut UnixStream, bytes: &[u8]) -> io::Result<()> {
    timeout(CONTROL_WAIT, stream.write_all(bytes)).await?
}

/// Asks the peer that runs in a directory.
fn ask(dir: &Path, question: &Question) -> io::Result<(Answer, BufReader<BlockingStream>)> {
    let (path, _directory) = address(dir)?;
    let mut stream = BlockingStream::connect(path)?;
    let mut line = serde_json::to_vec(question)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut stream = BufReader::with_capacity(1 << 16, stream);
    let mut line = String::new();
    stream.read_line(&mut line)?;
    match ledger_classes::primitives::json::from_slice(line.as_bytes())? {
        Answer::Error(why) => Err(io::Error::other(why)),
        answer => Ok((answer, stream)),
    }
}

fn unexpected() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the peer answers something else than it was asked: another version?")
}

/// What the peer that runs in a directory is and holds. Blocking.
///
/// # Errors
/// Nobody answers.
pub(crate) fn describe_peer(dir: &Path) -> io::Result<PeerDescription> {
    match ask(dir, &Question::Peer {})?.0 {
        // Names become those of folders: whoever owns the socket need not be who asks.
        Answer::Peer(peer) if peer.channels.iter().all(|channel| is_label(&channel.name)) => Ok(*peer),
        _ => Err(unexpected()),
    }
}

/// Takes the blocks of a channel from a height to its tip. Blocking.
///
/// # Errors
/// The peer cannot give them, or `take` fails.
pub(crate) fn take_blocks<E: From<io::Error>>(
    dir: &Path,
    channel: &str,
    from: u64,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let (answer, mut stream) = ask(dir, &Question::Blocks { channel: channel.into(), from })?;
    let Answer::Blocks {} = answer else { return Err(unexpected().into()) };
    let mut block = Vec::new();
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        match u32::from_le_bytes(length) {
            0 => return Ok(()),
            FAILED => {
                let mut line = String::new();
                stream.read_line(&mut line)?;
                return match ledger_classes::primitives::json::from_slice(line.as_bytes()).map_err(io::Error::from)? {
                    Answer::Error(why) => Err(io::Error::other(why).into()),
                    _ => Err(unexpected().into()),
                };
            }
            length if length as usize > ledger_classes::formats::block::BLOCK_ENCODED_BYTES_MAX => {
                return Err(unexpected().into());
            }
            length => {
                block.resize(length as usize, 0);
                stream.read_exact(&mut block)?;
                take(&block)?;
            }
        }
    }
}
