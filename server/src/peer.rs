//! The composition root: reads the configuration, joins the parts, runs until told to stop, and drains.
//!
//! Order of a drain: new work is refused, subscriptions are ended with a problem, requests in flight are answered,
//! channels commit what they have accepted and close their stores. An acknowledged transaction is never given up.

mod exposition;
mod listener;
mod monitor;

use crate::{
    api::{
        budget::Budget,
        context::{PeerContext, PeerPlaces},
    },
    certificates::paths::ParticipantPaths,
    clock::{self, ClockWatch},
    control::{self, Places},
    duties::{Duties, audit_poster, crl_exchange, expiry_watch, renewal, revocation_poster},
    identity::trust::{IdentityError, Trust},
    limits::{LISTEN_QUEUE, PLACES_LOOK, TRUST_POLL},
    memory,
    net::{
        file_limits::{self, Sockets},
        handshakes::Handshakes,
    },
    setup::{
        backup,
        config::{Config, ConfigError},
        init::{self, InitError},
    },
    telemetry::{logging::Logs, metrics::PeerMetrics},
};
use actix_web::{dev::ServerHandle, web};
use channel_actors::peer::fence;
use channel_actors::peer::fence::Entry;
use channel_actors::runtime::clock::SystemClock;
use channel_actors::runtime::memory::{PeerMemory, StoreMemory};
use channel_actors::runtime::tasks::{Task, Tasks, blocking};
use channel_actors::store::StoreOptions;
use channel_actors::{ChannelRegistry, CreateError, LifeCycle, RegistryOptions};
use ledger_classes::formats::config::ChannelConfig;
use ledger_classes::keys::SigningKey;
use ledger_classes::primitives::causes::in_one_line;
use monitor::Monitor;
use pki::trust::tls::server_config;
use std::{
    convert::Infallible,
    future::Future,
    io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Why a peer does not run.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The configuration.
    #[error("the configuration")]
    Config(#[from] ConfigError),
    /// Certificates.
    #[error("the certificates")]
    Trust(#[from] IdentityError),
    /// The seal key.
    #[error("the seal key")]
    Seal(#[source] InitError),
    /// The genesis configuration of `main`.
    #[error("{path} is not a channel's configuration: {what}")]
    Genesis {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// `main` cannot be made.
    #[error("the channel main cannot be made")]
    Main(#[from] CreateError),
    /// TLS.
    #[error("TLS")]
    Tls(#[from] rustls::Error),
    /// What goes on in the background, and cannot be mended.
    #[error("{0}; the peer has drained")]
    Task(String),
    /// A listener, a directory, a thread.
    #[error("{what}")]
    Io {
        /// What was attempted.
        what: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> PeerError {
    let what = what.into();
    move |source| PeerError::Io { what, source }
}

/// What a peer has from its process.
#[derive(Debug, Default)]
pub struct Process {
    /// What goes on in the background.
    pub tasks: Tasks,
    /// Its log, if that is the peer's matter.
    pub logs: Option<Arc<Logs>>,
    /// An operator says that its directory was moved, and that nobody seals with its key elsewhere.
    pub moved: bool,
}

/// A peer that serves. Dropping it stops nothing: [`Peer::stop`] drains.
pub struct Peer {
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    context: web::Data<PeerContext>,
    draining: watch::Sender<bool>,
    drain_limit: Duration,
    https: ServerHandle,
    monitor: Option<Monitor>,
    /// What posts to channels: ended before they drain.
    posting: Vec<Task>,
    /// What keeps files fresh, and connections judged: ended at last. Each of its steps is whole by itself.
    keeping: Vec<Task>,
}

/// Runs the peer in a directory until SIGTERM or SIGINT, then drains. `announce` is told once connections are taken.
/// Must be called where an actix system runs.
///
/// # Errors
/// The peer could not start, or could not go on.
pub async fn serve(
    dir: &Path,
    config: Config,
    process: Process,
    announce: impl FnOnce(&Peer),
) -> Result<(), PeerError> {
    let stop = terminated().map_err(io_error("signals"))?;
    // From here on it ends nobody: a start that replays takes its time.
    let hangup = tokio::signal::unix::SignalKind::hangup();
    let _caught = tokio::signal::unix::signal(hangup).map_err(io_error("signals"))?;
    let (logs, tasks, first) = (process.logs.clone(), process.tasks.clone(), config.clone());
    let peer = Peer::start_in(dir, config, process).await?;
    let (dir, trust) = (dir.to_owned(), Arc::clone(&peer.context.trust));
    tasks.start("reload", move || reload(dir.clone(), first.clone(), Arc::clone(&trust), logs.clone()));
    announce(&peer);
    peer.run(stop).await
}

/// What the background tasks work with.
#[derive(Clone)]
struct Parts {
    trust: Arc<Trust>,
    metrics: Arc<PeerMetrics>,
    registry: Arc<ChannelRegistry>,
    seal_key: Arc<SigningKey>,
    duties: Arc<Duties>,
}

impl Parts {
    /// What begins a task, and begins it anew.
    fn again<F>(&self, task: impl Fn(Self) -> F + 'static) -> impl FnMut() -> F + 'static {
        let parts = self.clone();
        move || task(parts.clone())
    }
}

/// Resolves at the first SIGTERM or SIGINT.
fn terminated() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// At each SIGHUP reads again what can be taken into use by a peer that runs: what is logged, and the files of trust. Says
/// what else has changed.
async fn reload(dir: PathBuf, first: Config, trust: Arc<Trust>, logs: Option<Arc<Logs>>) -> Infallible {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(error) => panic!("SIGHUP: {error}"),
    };
    loop {
        // The stream has no end.
        let _ = hangups.recv().await;
        let (dir, looked) = (dir.clone(), Arc::clone(&trust));
        let config = blocking(move || {
            looked.read_again();
            Config::load(&dir)
        });
        match config.await {
            Ok(config) => {
                let level = logs.as_ref().map_or(Ok(()), |logs| logs.set_level(&config.log.level));
                if let Err(error) = level {
                    tracing::error!(error = in_one_line(&error), "the log goes on as before");
                }
                let waits: Vec<String> = first.changes(&config).into_iter().filter(|key| key != "log.level").collect();
                tracing::info!(level = config.log.level, "SIGHUP: log level and trust were read again");
                if !waits.is_empty() {
                    tracing::warn!(keys = waits.join(", "), "changed keys that a restart takes into use");
                }
            }
            Err(error) => tracing::error!(error = in_one_line(&error), "SIGHUP: the configuration stays as it was"),
        }
    }
}

impl Peer {
    /// Starts everything, as a part of a process that has other things to do.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn start(dir: &Path, config: Config) -> Result<Self, PeerError> {
        Self::start_in(dir, config, Process::default()).await
    }

    /// Starts everything. Returns once connections are taken; channels with much to replay may still be opening.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub async fn start_in(dir: &Path, config: Config, process: Process) -> Result<Self, PeerError> {
        let Process { tasks, logs, moved } = process;
        let log_lines = logs.as_ref().map(|logs| logs.lines().clone());
        let seal_key = Arc::new(init::seal_key(&dir.join(&config.seal_key)).map_err(PeerError::Seal)?);
        let metrics = Arc::new(PeerMetrics::default());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = if config.channels.shards == 0 { cores } else { config.channels.shards };
        let incarnation = backup::incarnation_file(&dir.join(&config.seal_key));
        let entry = Entry { incarnation, authorities: dir.join(&config.authority_dir).join("ca"), moved };
        let memory = memory::Parts::of(config.limits.memory_bytes_max);
        let stores = StoreMemory::new(memory.caches, memory.writes);
        let options = RegistryOptions {
            directory: dir.join(&config.data_dir),
            seal_key: Arc::clone(&seal_key),
            certificates: Arc::new(ParticipantPaths),
            clock: Arc::new(SystemClock),
            shards,
            verification_threads: cores,
            disk_reserve_bytes: config.limits.disk_reserve_bytes,
            channel_bytes_max: config.limits.channel_bytes_max,
            store: StoreOptions {
                checkpoint_interval_ms: config.channels.checkpoint_interval_ms,
                ..StoreOptions::default()
            },
            memory: PeerMemory::new(memory.blocks, memory.in_flight, stores),
            suspend_after: (config.channels.suspend_after_ms > 0)
                .then(|| Duration::from_millis(config.channels.suspend_after_ms)),
            metrics: metrics.channels(),
            tasks: tasks.clone(),
        };
        let opened = ChannelRegistry::open_behind(options, &entry);
        let (registry, mut entered) =
            opened.map_err(io_error(format!("the data directory {}", config.data_dir.display())))?;
        entered.fenced = entered.fenced.map(|why| fence::explain(&dir.join(&config.data_dir), &why));
        match &entered.fenced {
            Some(reason) => tracing::error!(reason, "the peer seals and issues nothing: it only reads"),
            // Before connections are taken: with an expired certificate nobody would talk to it. Not before it holds
            // its directory, behind its fence: two peers must not issue with one CA.
            None => match renewal::renew_at_start(dir, &config) {
                Ok(true) => tracing::info!("the peer's certificate was renewed"),
                Ok(false) => {}
                Err(error) => tracing::warn!(error = in_one_line(&error), "the peer's certificate is not renewed"),
            },
        }
        let trust = Arc::new(Trust::open(dir, &config)?.behind(entered.fenced.clone()));
        registry.guard(Arc::clone(&trust) as Arc<dyn channel_actors::Door>);
        let genesis = genesis(&dir.join(&config.genesis))?;
        if let Some(genesis) = &genesis
            && registry.by_name(&genesis.name).is_none()
        {
            registry.create(genesis.clone()).await?;
        }
        let main = registry.by_name(init::MAIN);
        if let Some(main) = main {
            let mut life = main.follow_life();
            let settled = |life: &LifeCycle| !matches!(life, LifeCycle::Opening | LifeCycle::Replaying { .. });
            // The sender lives in the handle.
            let _ = life.wait_for(settled).await;
        }

        let fenced = entered.fenced.is_some();
        let connections = memory.connections(config.limits.connections_max);
        let Sockets { connections, spare } = file_limits::sockets(connections, registry.list().len(), cores);
        let (draining, duties) = (watch::Sender::new(false), Arc::new(Duties::default()));
        let context = web::Data::new(PeerContext {
            identity: trust.identity(),
            entered,
            seal_key: seal_key.public(),
            started: clock::now(),
            limits: config.limits.clone(),
            trust: Arc::clone(&trust),
            registry: Arc::clone(&registry),
            metrics: Arc::clone(&metrics),
            budget: Budget::new(memory.answers),
            unsent: Arc::default(),
            places: PeerPlaces::new(&config.limits, connections),
            handshakes: Handshakes::new(connections),
            crls: Arc::default(),
            long_crls: Arc::default(),
            draining: draining.subscribe(),
            duties: Arc::clone(&duties),
            tasks: tasks.clone(),
            log_lines,
        });
        let socket = bind(config.listen, "listen")?;
        let address = socket.local_addr().map_err(io_error("the listener's address"))?;
        let own = Arc::clone(context.trust.own());
        let tls = server_config(own, Arc::clone(context.trust.store()))?;
        let server = listener::serve(socket, tls, &context, cores, spare).map_err(io_error("the HTTPS listener"))?;
        let https = server.handle();
        let (monitor, metrics_address) = match config.metrics_listen()? {
            None => (None, None),
            Some(listen) => {
                let socket = bind(listen, "metrics.listen")?;
                let address = socket.local_addr().map_err(io_error("the listener's address"))?;
                (Some(Monitor::start(socket, &context, config.metrics_names())), Some(address))
            }
        };
        let control = match control::bind(dir) {
            Ok(listener) => {
                let told = control::Told {
                    peer: context.identity.to_string(),
                    incarnation: context.entered.incarnation.clone(),
                    places: Places::of(&std::path::absolute(dir).map_err(io_error("the peer's directory"))?, &config),
                    registry: Arc::clone(&context.registry),
                };
                Some((Arc::new(listener), Arc::new(told)))
            }
            Err(error) => {
                let (socket, error) = (control::SOCKET, in_one_line(&error));
                tracing::warn!(
                    socket,
                    error,
                    "there is no operator's socket: no backup can be made while the peer runs"
                );
                None
            }
        };
        let crl_peers = config.crl_peers()?;
        tracing::info!(peer = %context.identity, %address, "the peer serves");
        tasks.start_once("https", server);
        let looked = context.clone();
        let parts = Parts { trust, metrics, registry, seal_key, duties };
        let mut keeping = vec![
            tasks.start("trust", parts.again(|parts| watch_trust(parts.trust, parts.metrics))),
            tasks.start("renewal", parts.again(|parts| renewal::keep(parts.trust))),
            tasks.start("upkeep", parts.again(|parts| expiry_watch::keep(parts.trust, parts.metrics))),
            tasks.start("places", move || look_at_places(looked.clone())),
        ];
        if !crl_peers.is_empty() {
            let exchange = move |parts: Parts| crl_exchange::keep(parts.trust, crl_peers.clone());
            keeping.push(tasks.start("crl-exchange", parts.again(exchange)));
        }
        if let Some((listener, told)) = control {
            let answer = move || control::answer(Arc::clone(&listener), Arc::clone(&told));
            keeping.push(tasks.start("control", answer));
        }
        // Behind a wrong fence its channels take nothing, and its seal key signs nothing.
        let posting = match fenced {
            true => Vec::new(),
            false => vec![
                tasks.start(
                    "audit",
                    parts.again(|parts| audit_poster::keep(parts.trust, parts.registry, parts.seal_key, parts.duties)),
                ),
                tasks.start(
                    "revocations",
                    parts.again(|it| revocation_poster::spread(it.trust, it.registry, it.seal_key, it.duties)),
                ),
            ],
        };
        Ok(Self {
            address,
            metrics_address,
            context,
            draining,
            drain_limit: Duration::from_secs(config.limits.drain_seconds),
            https,
            monitor,
            posting,
            keeping,
        })
    }

    /// Where HTTPS is answered.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where metrics are answered, if anywhere.
    pub const fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// The peer as its handlers see it.
    pub fn context(&self) -> &PeerContext {
        &self.context
    }

    /// Serves until `stop` resolves, or something in the background cannot go on; then drains.
    ///
    /// # Errors
    /// Something could not go on.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), PeerError> {
        let tasks = self.context.tasks.clone();
        let failed = tokio::select! {
            () = stop => None,
            reason = tasks.failed() => Some(reason),
        };
        self.stop().await;
        failed.map_or(Ok(()), |reason| Err(PeerError::Task(reason)))
    }

    /// Drains: see the head of this file.
    pub async fn stop(mut self) {
        tracing::info!("the peer drains");
        self.context.tasks.close();
        self.draining.send_replace(true);
        // Whatever is not committed yet is found again by the next run.
        self.posting.iter().for_each(Task::end);
        // Answers what is in flight, and closes idle connections; what is not done in time is cut off.
        if tokio::time::timeout(self.drain_limit, self.https.stop(true)).await.is_err() {
            tracing::warn!("requests were cut off at shutdown");
            self.https.stop(false).await;
        }
        self.context.registry.drain().await;
        if let Some(monitor) = self.monitor.take() {
            monitor.stop().await;
        }
        self.keeping.iter().for_each(Task::end);
        tracing::info!("the peer has stopped");
    }
}

/// The configuration of `main`, if the peer was given one.
fn genesis(path: &Path) -> Result<Option<ChannelConfig>, PeerError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io_error(path.display().to_string())(source)),
    };
    let fail = |what: String| PeerError::Genesis { path: path.into(), what };
    let config: ChannelConfig =
        ledger_classes::primitives::json::from_slice(&bytes).map_err(|error| fail(error.to_string()))?;
    config.check_founding(&ParticipantPaths).map_err(|error| fail(error.to_string()))?;
    Ok(Some(config))
}

fn bind(address: SocketAddr, key: &str) -> Result<TcpListener, PeerError> {
    let bound = TcpListener::bind(address).and_then(|socket| {
        socket.set_nonblocking(true)?;
        // The standard library asks for a queue of 128.
        rustix::net::listen(&socket, LISTEN_QUEUE)?;
        Ok(socket)
    });
    bound.map_err(io_error(format!("listening on {address} ({key} in chancery.toml)")))
}

/// Says when there are places again, until the peer stops.
async fn look_at_places(context: web::Data<PeerContext>) -> Infallible {
    let mut looks = tokio::time::interval(PLACES_LOOK);
    loop {
        looks.tick().await;
        context.places.all().into_iter().for_each(|places| places.look());
    }
}

/// Looks at the certificates' files, and at the clock that judges them, until the peer stops.
async fn watch_trust(trust: Arc<Trust>, metrics: Arc<PeerMetrics>) -> Infallible {
    let mut ticks = tokio::time::interval(TRUST_POLL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut watch = ClockWatch::new(clock::now(), Instant::now());
    loop {
        ticks.tick().await;
        let now = clock::now();
        if let Some(jump) = watch.look(now, Instant::now()) {
            metrics.clock_jumped();
            tracing::warn!(seconds = jump / 1000, %now, "the clock jumped");
        }
        let looked = Arc::clone(&trust);
        // Files are read and signatures verified: not on the thread that runs the peer's timers.
        blocking(move || looked.poll()).await;
    }
}
