//! Lean connections: TLS 1.3 with the client's certificate, HTTP/1.1 as far as the generator needs it, prepared bytes in
//! and answers out. The SDK spends more processor time on a request than the peer does; a generator on the peer's own
//! cores, which posts one by one or reads for thousands of subscribers, would measure the SDK.
//!
//! What must never happen here: a use beside measuring. It checks the peer's certificate against `ca.pem`, and no more.

use client::profile::Profile;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Bytes of an answer's head: a peer's are some 300.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of an answer's body.
const BODY_BYTES_MAX: usize = 1024 * 1024;

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// How slowly an answer is read.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// So many bytes,
    pub bytes: usize,
    /// then a pause.
    pub pause: Duration,
}

/// Bytes that are read at once of an answer that nobody needs.
const PIECE_BYTES: usize = 64 * 1024;
/// The end of a body in chunks.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

/// Makes connections to one peer.
#[derive(Clone)]
pub struct Dialer {
    connector: TlsConnector,
    address: SocketAddr,
}

/// One connection.
pub struct Wire {
    stream: TlsStream<TcpStream>,
    address: SocketAddr,
    received: Vec<u8>,
}

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Bytes of the body; absent if it comes in chunks.
    length: Option<usize>,
    /// Bytes of the head itself.
    bytes: usize,
}

/// Reads an answer's head; `None` while it is not whole.
fn head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if bytes.len() > HEAD_BYTES_MAX { Err(invalid("an answer's head has no end")) } else { Ok(None) };
    };
    let text = std::str::from_utf8(&bytes[..end]).map_err(|_| invalid("an answer's head is no text"))?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim())
    });
    let length = length.map(|length| length.parse().map_err(|_| invalid("an answer's length is no number")));
    Ok(Some(Head {
        status: status.ok_or_else(|| invalid("no answer of HTTP/1.1"))?,
        length: length.transpose()?,
        bytes: end + 4,
    }))
}

/// A request that posts a body of a type, and wants an answer of the same.
pub fn posting(address: SocketAddr, path: &str, media: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {media}\r\naccept: {media}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

impl Dialer {
    /// With the profile's certificate if it has one, to `address`.
    pub fn new(profile: &Profile, address: SocketAddr) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for authority in &profile.authorities {
            roots.add(authority.clone()).map_err(io::Error::other)?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(io::Error::other)?
            .with_root_certificates(roots);
        let mut config = match &profile.credential {
            None => config.with_no_client_auth(),
            Some(credential) => {
                let path = credential.path_without_root().map_err(io::Error::other)?;
                let path = path.into_iter().map(|der| CertificateDer::from(der.to_vec())).collect();
                config.with_client_auth_cert(path, credential.key()).map_err(io::Error::other)?
            }
        };
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), address })
    }

    /// The peer's address.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new connection.
    pub async fn dial(&self) -> io::Result<Wire> {
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        let stream = self.connector.connect(ServerName::from(self.address.ip()), socket).await?;
        Ok(Wire { stream, address: self.address, received: Vec::new() })
    }
}

impl Wire {
    async fn receive(&mut self) -> io::Result<()> {
        if self.stream.read_buf(&mut self.received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    async fn head(&mut self) -> io::Result<Head> {
        loop {
            if let Some(head) = head(&self.received)? {
                self.received.drain(..head.bytes);
                return Ok(head);
            }
            self.receive().await?;
        }
    }

    /// Posts a JSON document and waits for the answer's status and body.
    pub async fn post_json(&mut self, path: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        self.post(path, "application/json", body).await
    }

    /// Posts a body of a type, and waits for the answer's status and body, of the same type.
    pub async fn post(&mut self, path: &str, media: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        self.ask(&posting(self.address, path, media, body)).await
    }

    /// Sends a request that is prepared ([`posting`]), and waits for the answer's status and body.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        let Head { status, length, .. } = self.head().await?;
        let length = length.filter(|length| *length <= BODY_BYTES_MAX);
        let length = length.ok_or_else(|| invalid("an answer without a length, or too long"))?;
        while self.received.len() < length {
            self.receive().await?;
        }
        let rest = self.received.split_off(length);
        Ok((status, std::mem::replace(&mut self.received, rest)))
    }

    /// Asks, and reads the answer to its end without keeping it: its status, and the bytes of its body. One that never
    /// ends is read until the peer ends the connection.
    pub async fn get(&mut self, path: &str, pace: Option<Pace>) -> io::Result<(u16, u64)> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.address);
        self.stream.write_all(request.as_bytes()).await?;
        self.stream.flush().await?;
        let Head { status, length, .. } = self.head().await?;
        let mut tail = std::mem::take(&mut self.received);
        let mut read = tail.len() as u64;
        let mut piece = vec![0; pace.map_or(PIECE_BYTES, |pace| pace.bytes)];
        let is_whole = |read: u64, tail: &[u8]| match length {
            Some(length) => read >= length as u64,
            None => tail.ends_with(LAST_CHUNK),
        };
        while !is_whole(read, &tail) {
            let bytes = self.stream.read(&mut piece).await?;
            if bytes == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            read += bytes as u64;
            tail.extend_from_slice(&piece[..bytes]);
            tail.drain(..tail.len().saturating_sub(LAST_CHUNK.len()));
            if let Some(pace) = pace {
                tokio::time::sleep(pace.pause).await;
            }
        }
        Ok((status, read))
    }

    /// Announces a batch of so many bytes, sends all but the last, and waits for what the peer says to that.
    pub async fn withhold(&mut self, path: &str, bytes: usize) -> io::Result<(u16, u64)> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/vnd.chancery.batch\r\n\
             content-length: {bytes}\r\n\r\n",
            self.address
        );
        self.stream.write_all(head.as_bytes()).await?;
        let piece = vec![0; PIECE_BYTES];
        let mut left = bytes.saturating_sub(1);
        while left > 0 {
            let next = left.min(piece.len());
            // It may refuse at once, and take no more: then there is an answer to read.
            if self.stream.write_all(&piece[..next]).await.is_err() {
                break;
            }
            left -= next;
        }
        let _ = self.stream.flush().await;
        let Head { status, length, .. } = self.head().await?;
        Ok((status, length.unwrap_or_default() as u64))
    }

    /// Opens a stream of events. What follows is read with [`Wire::chunk`].
    pub async fn open_stream(&mut self, path: &str) -> io::Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\naccept: text/event-stream\r\n\r\n", self.address);
        self.stream.write_all(request.as_bytes()).await?;
        self.stream.flush().await?;
        match self.head().await? {
            Head { status: 200, length: None, .. } => Ok(()),
            Head { status, .. } => Err(io::Error::other(format!("a subscription was answered with {status}"))),
        }
    }

    /// Posts a body that comes bit by bit ([`Wire::send_chunk`]); its answer is read with [`Wire::chunk`] meanwhile.
    pub async fn open_post(&mut self, path: &str, media: &str) -> io::Result<()> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: {media}\r\ntransfer-encoding: chunked\r\n\r\n",
            self.address
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.stream.flush().await?;
        match self.head().await? {
            Head { status: 200, length: None, .. } => Ok(()),
            Head { status, .. } => Err(io::Error::other(format!("a stream was answered with {status}"))),
        }
    }

    /// Sends more of such a body.
    pub async fn send_chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        self.stream.write_all(&chunk).await?;
        self.stream.flush().await
    }

    /// The next bytes of a stream, in chunks of HTTP/1.1; at least one. Dropping the future loses nothing.
    pub async fn chunk(&mut self) -> io::Result<Vec<u8>> {
        if self.received.is_empty() {
            self.receive().await?;
        }
        Ok(std::mem::take(&mut self.received))
    }
}

/// Takes chunks of HTTP/1.1 apart (RFC 9112 §7.1).
#[derive(Debug, Default)]
pub struct Chunks {
    bytes: Vec<u8>,
}

impl Chunks {
    /// More of a body; `whole` has what is in it as far as it is there.
    pub fn push(&mut self, bytes: &[u8], mut whole: impl FnMut(&[u8])) -> io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            let rest = &self.bytes[at..];
            let Some(line) = rest.windows(2).position(|two| two == b"\r\n") else { break };
            let length = std::str::from_utf8(&rest[..line]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
            let length = length.ok_or_else(|| invalid("a chunk without a length"))?;
            let (begin, end) = (line + 2, line + 2 + length);
            if length == 0 || rest.len() < end + 2 {
                break;
            }
            whole(&rest[begin..end]);
            at += end + 2;
        }
        self.bytes.drain(..at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn chunks_give_their_bytes_however_they_come() {
        let body = b"3\r\none\r\nA\r\n0123456789\r\n0\r\n\r\n";
        for size in 1..body.len() {
            let (mut chunks, mut found) = (Chunks::default(), Vec::new());
            body.chunks(size).for_each(|piece| chunks.push(piece, |bytes| found.extend_from_slice(bytes)).unwrap());
            assert_eq!(found, b"one0123456789");
        }
        assert!(Chunks::default().push(b"x\r\n", |_| ()).is_err());
    }

    #[test]
    fn heads_are_read_once_they_are_whole() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\ndate: now\r\n\r\nbody";
        assert_eq!(head(text).unwrap(), Some(Head { status: 200, length: Some(12), bytes: text.len() - 4 }));
        assert_eq!(head(&text[..40]).unwrap(), None);
        let chunked = head(b"HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n").unwrap().unwrap();
        assert_eq!((chunked.status, chunked.length), (404, None));
        for wrong in ["SSH-2.0\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"] {
            assert!(head(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(head(&[b'x'; HEAD_BYTES_MAX + 1]).is_err());
    }
}
