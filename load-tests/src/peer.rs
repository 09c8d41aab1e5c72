//! A peer in a process of its own, made and run by the commands that an operator uses: `init`, then `serve`.
//!
//! Only this process's own child is ever signalled. A peer that is dropped is killed; its directory goes with it
//! unless it is to be kept.

use crate::error::LoadError;
use crate::files;
use crate::options::Options;
use crate::process::Usage;
use crate::stages::Stages;
use crate::wire::Dialer;
use client::api::{ChannelSpec, ChannelState, ChannelView, SpecOrganization};
use client::connection::{Connection, Options as ConnectionOptions};
use client::profile::{Profile, parse_peer};
use client::retry::Retry;
use std::ffi::OsStr;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

/// The trust domain of the peers under load.
const CONSORTIUM: &str = "load.example";
/// The one organization.
const ORGANIZATION: &str = "north";
/// How long a new peer may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a peer may take to drain, with thousands of channels too.
const DRAIN_PATIENCE: Duration = Duration::from_secs(300);
/// How long a peer with a history or with many channels may take to come up again.
const RESTART_PATIENCE: Duration = Duration::from_secs(600);
/// How long one request may take: longer than the peer waits for a commit.
const REQUEST: Duration = Duration::from_secs(60);

/// Somebody who is no administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anybody {
    /// Without a certificate.
    Stranger,
    /// With one of the organization.
    Member,
}

impl Anybody {
    /// What its profile is called.
    const fn word(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Member => "member",
        }
    }
}

/// A running peer.
pub struct Peer {
    process: Child,
    variables: Vec<(String, String)>,
    chancery: PathBuf,
    root: PathBuf,
    temporary: Option<TempDir>,
    address: SocketAddr,
    metrics: SocketAddr,
}

/// Two addresses that nobody listens on now.
fn free_addresses() -> Result<[SocketAddr; 2], LoadError> {
    let bind = || TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| Ok((socket.local_addr()?, socket)));
    let fail = |source| LoadError::file(Path::new("a free port"), source);
    // Both are held until both are known, so that they differ.
    let (one, other) = (bind().map_err(fail)?, bind().map_err(fail)?);
    Ok([one.0, other.0])
}

/// The program under test.
fn chancery(options: &Options) -> Result<PathBuf, LoadError> {
    let path = match &options.chancery {
        Some(path) => path.clone(),
        None => beside()?.join("chancery"),
    };
    if path.is_file() { Ok(path) } else { Err(LoadError::Chancery(path)) }
}

/// The folder of this executable.
fn beside() -> Result<PathBuf, LoadError> {
    let own = std::env::current_exe().map_err(|source| LoadError::file(Path::new("this executable"), source))?;
    Ok(own.parent().map(Path::to_owned).unwrap_or_default())
}

async fn command(chancery: &Path, arguments: &[&OsStr]) -> Result<(), LoadError> {
    let output = Command::new(chancery).args(arguments).stdin(Stdio::null()).output().await;
    let output = output.map_err(|source| LoadError::file(chancery, source))?;
    if output.status.success() {
        return Ok(());
    }
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    let said = [output.stderr, output.stdout].concat();
    let output = String::from_utf8_lossy(&said).trim().to_owned();
    Err(LoadError::Command { command: words.join(" "), output })
}

/// A channel of the one organization on which anybody may submit: the accounts under load need no participant records,
/// and the transaction's signature is the authentication.
pub fn open_channel(name: &str) -> ChannelSpec {
    let organization = SpecOrganization { name: ORGANIZATION.into(), title: None, authorities: Vec::new() };
    ChannelSpec {
        name: name.into(),
        engine: None,
        organizations: vec![organization],
        grants: Vec::new(),
        public_read: false,
        open_submit: true,
        limits: None,
        approvals: None,
        budgets: None,
    }
}

impl Peer {
    /// Makes a consortium of one organization and serves it, with variables over the peer's configuration.
    pub async fn start(options: &Options, variables: &[(&str, String)]) -> Result<Self, LoadError> {
        let chancery = chancery(options)?;
        let parent = match &options.dir {
            Some(dir) => dir.clone(),
            None => beside()?,
        };
        let temporary = tempfile::Builder::new().prefix("load-tests-").tempdir_in(&parent);
        let temporary = temporary.map_err(|source| LoadError::file(&parent, source))?;
        let (root, temporary) =
            if options.keep { (temporary.keep(), None) } else { (temporary.path().to_owned(), Some(temporary)) };
        let dir = root.join("peer");
        let words = ["init", "--consortium", CONSORTIUM, "--org", ORGANIZATION, "--public", "--dir"].map(OsStr::new);
        command(&chancery, &[&words[..], &[dir.as_os_str()]].concat()).await?;
        let [address, metrics] = free_addresses()?;
        let named = |(name, value): &(&str, String)| ((*name).to_owned(), value.clone());
        let mut variables: Vec<_> = variables.iter().map(named).collect();
        variables.push(("CHANCERY_LISTEN".into(), address.to_string()));
        variables.push(("CHANCERY_METRICS_LISTEN".into(), metrics.to_string()));
        let process = Self::serve(&chancery, &root, &variables)?;
        let mut peer = Self { process, variables, chancery, root, temporary, address, metrics };
        peer.wait_until_ready().await?;
        Ok(peer)
    }

    fn serve(chancery: &Path, root: &Path, variables: &[(String, String)]) -> Result<Child, LoadError> {
        let log_path = root.join("peer.log");
        let fail = |source| LoadError::file(&log_path, source);
        let log = fs::OpenOptions::new().create(true).append(true).open(&log_path).map_err(fail)?;
        Command::new(chancery)
            .arg("serve")
            .arg("--dir")
            .arg(root.join("peer"))
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(fail)?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| LoadError::file(chancery, source))
    }

    /// The program under test.
    pub fn chancery(&self) -> &Path {
        &self.chancery
    }

    /// The folder with the peer's directory and its log, on the disk that is measured.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The peer's directory.
    pub fn dir(&self) -> PathBuf {
        self.root.join("peer")
    }

    /// Where the peer keeps its channels.
    pub fn data(&self) -> PathBuf {
        self.dir().join("data")
    }

    fn log_end(&self) -> String {
        let log = fs::read_to_string(self.root.join("peer.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn failed(&self, what: &'static str) -> LoadError {
        LoadError::Peer { what, log: self.log_end() }
    }

    async fn wait_until_ready(&mut self) -> Result<(), LoadError> {
        let connection = self.connect()?;
        let start = Instant::now();
        loop {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return Err(self.failed("has ended"));
            }
            match connection.status().await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_unavailable() && start.elapsed() < PATIENCE => {}
                Err(error) if error.is_unavailable() => return Err(self.failed("does not come up")),
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A connection of its own with the administrator's certificate. It never asks twice: refusals are counted.
    pub fn connect(&self) -> Result<Connection, LoadError> {
        let profile = Profile::open(&self.dir().join("profiles/admin"))?;
        let peer = parse_peer(&format!("https://{}", self.address)).ok();
        Ok(Connection::open(&profile, ConnectionOptions { peer, timeout: REQUEST, retry: Retry::NEVER })?)
    }

    /// What makes lean connections with the administrator's certificate.
    pub fn dialer(&self) -> Result<Dialer, LoadError> {
        let profile = Profile::open(&self.dir().join("profiles/admin"))?;
        Ok(Dialer::new(&profile, self.address)?)
    }

    /// What makes lean connections of somebody else: nothing may be hoped for but what strangers and members may do.
    pub async fn dialer_of(&self, who: Anybody) -> Result<Dialer, LoadError> {
        let (admin, folder) = (self.dir().join("profiles/admin"), self.root.join(who.word()));
        match who {
            Anybody::Stranger => {
                fs::create_dir_all(&folder).map_err(|source| LoadError::file(&folder, source))?;
                for file in ["ca.pem", "profile.toml"] {
                    let to = folder.join(file);
                    fs::copy(admin.join(file), &to).map_err(|source| LoadError::file(&to, source))?;
                }
            }
            Anybody::Member => {
                let (dir, words) = (self.dir(), ["ca", "--dir"].map(OsStr::new));
                let issue = ["issue", ORGANIZATION, "client", who.word(), "--out"].map(OsStr::new);
                command(&self.chancery, &[&words[..], &[dir.as_os_str()], &issue, &[folder.as_os_str()]].concat())
                    .await?;
            }
        }
        Ok(Dialer::new(&Profile::open(&folder)?, self.address)?)
    }

    /// What makes lean connections with another profile.
    pub fn dialer_with(&self, profile: &Profile) -> Result<Dialer, LoadError> {
        Ok(Dialer::new(profile, self.address)?)
    }

    /// Runs a command of the program under test on the peer's directory, which is named behind `words`.
    pub async fn command(&self, words: &[&str]) -> Result<(), LoadError> {
        let (dir, words) = (self.dir(), words.iter().map(OsStr::new));
        let arguments: Vec<&OsStr> = words.chain([OsStr::new("--dir"), dir.as_os_str()]).collect();
        command(&self.chancery, &arguments).await
    }

    /// Certificate requests of keys that nobody knows, as PEM.
    pub async fn certificate_requests(&self, count: usize) -> Result<Vec<String>, LoadError> {
        let mut requests = Vec::new();
        for number in 0..count {
            let folder = self.root.join(format!("request-{number}"));
            let identity = format!("spiffe://{CONSORTIUM}/{ORGANIZATION}/client/hopeful-{number}");
            let words = ["ca", "request", "--identity", &identity, "--out"].map(OsStr::new);
            command(&self.chancery, &[&words[..], &[folder.as_os_str()]].concat()).await?;
            let file = folder.join("request.pem");
            requests.push(fs::read_to_string(&file).map_err(|source| LoadError::file(&file, source))?);
        }
        Ok(requests)
    }

    /// `count` connections of their own.
    pub fn connections(&self, count: u32) -> Result<Vec<Connection>, LoadError> {
        (0..count).map(|_| self.connect()).collect()
    }

    /// Creates a channel by [`open_channel`].
    pub async fn create_open_channel(&self, name: &str) -> Result<ChannelView, LoadError> {
        Ok(self.connect()?.create_channel(&open_channel(name)).await?)
    }

    /// Files and sockets that the peer has open.
    pub fn open_files(&self) -> u64 {
        self.process.id().map_or(0, files::open_files)
    }

    /// What the peer has used so far.
    pub fn usage(&self) -> Usage {
        self.process.id().map(Usage::of).unwrap_or_default()
    }

    /// The peer's stage histograms; empty if the metrics cannot be read.
    pub async fn stages(&self) -> Stages {
        Stages::parse(&self.metrics().await.unwrap_or_default())
    }

    /// The peer's metrics, as they are exposed.
    pub async fn metrics(&self) -> std::io::Result<String> {
        let mut socket = tokio::net::TcpStream::connect(self.metrics).await?;
        socket.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
        let mut text = Vec::new();
        tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut text)).await??;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Starts the peer again after [`Peer::drain`] or [`Peer::kill`], and asks for a channel until it answers: the time
    /// from the start of the process to the first answer.
    pub async fn restart(&mut self, channel: &str) -> Result<Duration, LoadError> {
        let start = Instant::now();
        self.process = Self::serve(&self.chancery, &self.root, &self.variables)?;
        let connection = self.connect()?;
        loop {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return Err(self.failed("has ended"));
            }
            match connection.channel(channel).await {
                Ok(view) if view.state == ChannelState::Serving => return Ok(start.elapsed()),
                Ok(_) => {}
                // Not opened yet, or not even registered.
                Err(error) if error.is_unavailable() => {}
                Err(error) if error.problem().is_some_and(|problem| problem.status == 404) => {}
                Err(error) => return Err(error.into()),
            }
            if start.elapsed() > RESTART_PATIENCE {
                return Err(self.failed("does not come up"));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Ends the peer without a warning, `kill -9`.
    pub async fn kill(&mut self) -> Result<(), LoadError> {
        self.process.kill().await.map_err(|source| LoadError::file(Path::new("the peer's process"), source))
    }

    /// Asks the peer to drain and waits for its end.
    pub async fn drain(&mut self) -> Result<(), LoadError> {
        let Some(pid) = self.process.id() else { return Err(self.failed("has ended")) };
        let asked = Command::new("kill").arg("-TERM").arg(pid.to_string()).status().await;
        asked.map_err(|source| LoadError::file(Path::new("kill"), source))?;
        match tokio::time::timeout(DRAIN_PATIENCE, self.process.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(_) => Err(self.failed("did not drain")),
            Err(_) => Err(self.failed("does not end")),
        }
    }

    /// [`Peer::drain`], after which the directory is removed unless it is to be kept.
    pub async fn stop(mut self) -> Result<(), LoadError> {
        self.drain().await?;
        if let Some(temporary) = self.temporary.take() {
            let path = temporary.path().to_owned();
            temporary.close().map_err(|source| LoadError::file(&path, source))?;
        }
        Ok(())
    }
}
