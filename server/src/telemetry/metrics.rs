//! What a peer counts. `peer/monitor.rs` tells it to Prometheus.

use crate::telemetry::{cut::Cut, process_metrics::ProcessMetrics};
use ca::office::expiry::{Expiring, Expiry};
use ledger_classes::primitives::identity::Identity;
use ledger_classes::primitives::time::Time;
use prometheus_client::{
    encoding::{
        EncodeLabelSet,
        text::{encode_eof, encode_registry},
    },
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct ChannelLabels {
    pub(crate) channel: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    channel: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ExpiryLabels {
    kind: &'static str,
    name: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct AuthorityLabels {
    pub(crate) authority: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct DutyLabels {
    pub(crate) channel: String,
    pub(crate) duty: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct UseLabels {
    pub(crate) r#use: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CutLabels {
    why: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct TaskLabels {
    pub(crate) task: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct PlacesLabels {
    pub(crate) places: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct TakenLabels {
    pub(crate) places: &'static str,
    pub(crate) caller: &'static str,
}

type Seconds = Family<RouteLabels, Histogram, fn() -> Histogram>;

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_25, 2.0, 18))
}

/// Everything that the HTTP side counts.
pub struct PeerMetrics {
    registry: Mutex<Registry>,
    channels: channel_actors::runtime::metrics::Metrics,
    connections: Arc<AtomicU64>,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Seconds,
    outcomes: Family<OutcomeLabels, Counter>,
    subscriptions: Mutex<BTreeMap<u64, Subscriber>>,
    subscription_number: AtomicU64,
    clock_jumps: Counter,
    handshakes_refused: Counter,
    process: ProcessMetrics,
    pub(crate) task_restarts: Family<TaskLabels, Counter>,
    pub(crate) log_lines_lost: Counter,
    pub(crate) memory_refused: Family<UseLabels, Counter>,
    pub(crate) places_refused: Family<TakenLabels, Counter>,
    answers_cut: Family<CutLabels, Counter>,
    streams_ended: Family<CutLabels, Counter>,
    pub(crate) gauges: Gauges,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) connections: Gauge,
    expiry: Family<ExpiryLabels, Gauge>,
    pub(crate) crl_issue: Family<AuthorityLabels, Gauge>,
    pub(crate) certificate_accepted: Gauge,
    pub(crate) halted: Family<ChannelLabels, Gauge>,
    pub(crate) serving: Family<ChannelLabels, Gauge>,
    pub(crate) queue_bytes: Family<ChannelLabels, Gauge>,
    pub(crate) disk_bytes: Family<ChannelLabels, Gauge>,
    pub(crate) disk_waiting: Family<ChannelLabels, Gauge>,
    pub(crate) disk_max: Family<ChannelLabels, Gauge>,
    pub(crate) time_ahead: Family<ChannelLabels, Gauge>,
    pub(crate) subscriber_lag: Family<ChannelLabels, Gauge>,
    pub(crate) fenced: Gauge,
    pub(crate) disk_writable: Gauge,
    pub(crate) disk_free_bytes: Gauge,
    pub(crate) memory_budget_bytes: Gauge,
    pub(crate) memory_held_bytes: Family<UseLabels, Gauge>,
    pub(crate) task_running: Family<TaskLabels, Gauge>,
    pub(crate) obstacles: Family<DutyLabels, Gauge>,
    pub(crate) waiting: Family<DutyLabels, Gauge>,
    pub(crate) places: Family<PlacesLabels, Gauge>,
    pub(crate) places_taken: Family<TakenLabels, Gauge>,
    pub(crate) memory_max: Gauge,
}

#[derive(Debug)]
struct Subscriber {
    channel: String,
    height: Arc<AtomicU64>,
}

impl Default for PeerMetrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("chancery");
        let gauges = Gauges::default();
        let requests = Family::default();
        let request_seconds = Seconds::new_with_constructor(seconds);
        let outcomes = Family::default();
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "The program", Info::new(version));
        registry.register("connections", "Open client connections", gauges.connections.clone());
        registry.register("requests", "Answered requests", Family::clone(&requests));
        let help = "Time from a request's head to its answer";
        registry.register_with_unit("request", help, Unit::Seconds, request_seconds.clone());
        let handshakes_refused = Counter::default();
        registry.register("handshakes_refused", "TLS handshakes that were refused", handshakes_refused.clone());
        registry.register("submitted", "Posted transactions by how they were answered", Family::clone(&outcomes));
        let help = "When the peer's certificate, CAs and CRLs end, and the first of the members' certificates";
        registry.register_with_unit("expiry_timestamp", help, Unit::Seconds, gauges.expiry.clone());
        let help = "When each CA's CRL was issued";
        registry.register_with_unit("crl_issue_timestamp", help, Unit::Seconds, gauges.crl_issue.clone());
        let help = "1 while the peer's own certificate is accepted, as far as the peer can tell";
        registry.register("certificate_accepted", help, gauges.certificate_accepted.clone());
        let clock_jumps = Counter::default();
        registry.register("clock_jumps", "Jumps of the wall clock by more than a minute", clock_jumps.clone());
        registry.register("channel_serving", "1 while the channel serves", gauges.serving.clone());
        registry.register("channel_halted", "1 if the channel has halted, 0 if not", gauges.halted.clone());
        let help = "Payload bytes of transactions between door and commit";
        registry.register_with_unit("channel_queue", help, Unit::Bytes, gauges.queue_bytes.clone());
        let help = "What the channel's files take of the disk";
        registry.register_with_unit("channel_disk", help, Unit::Bytes, gauges.disk_bytes.clone());
        let help = "What was accepted and is not in the channel's files yet will take there, about";
        registry.register_with_unit("channel_disk_waiting", help, Unit::Bytes, gauges.disk_waiting.clone());
        let help = "The channel's part of the disk: above it only administrative acts are taken";
        registry.register_with_unit("channel_disk_max", help, Unit::Bytes, gauges.disk_max.clone());
        let help = "How far the channel's block time is ahead of the peer's clock";
        registry.register_with_unit("channel_time_ahead", help, Unit::Seconds, gauges.time_ahead.clone());
        let help = "Blocks that the slowest subscription is behind";
        registry.register("channel_subscriber_lag", help, gauges.subscriber_lag.clone());
        let help = "1 while the peer seals and issues nothing because its channels are not where they were";
        registry.register("fenced", help, gauges.fenced.clone());
        let help = "1 while the disk with the channels takes writes";
        registry.register("disk_writable", help, gauges.disk_writable.clone());
        let help = "What is free on the disk with the channels";
        registry.register_with_unit("disk_free", help, Unit::Bytes, gauges.disk_free_bytes.clone());
        let help = "Memory that may be held for what is under way";
        registry.register_with_unit("memory_budget", help, Unit::Bytes, gauges.memory_budget_bytes.clone());
        let help = "Memory that is held for what is under way";
        registry.register_with_unit("memory_held", help, Unit::Bytes, gauges.memory_held_bytes.clone());
        let memory_refused = Family::default();
        let help = "What was refused because a part of the memory was used up";
        registry.register("memory_refused", help, Family::clone(&memory_refused));
        let answers_cut = Family::<CutLabels, Counter>::default();
        for why in Cut::ALL {
            // A counter that is not there yet cannot be alerted on.
            drop(answers_cut.get_or_create(&CutLabels { why: why.word() }));
        }
        let help = "Answers that were cut off because their readers were too slow";
        registry.register("answers_cut", help, Family::clone(&answers_cut));
        let streams_ended = Family::default();
        let help = "Streams of submissions that ended, by why: `complete`, `gone`, or a problem's name";
        registry.register("submission_streams_ended", help, Family::clone(&streams_ended));
        let help = "Revocations and acts that a channel does not take";
        registry.register("channel_obstacles", help, gauges.obstacles.clone());
        let help = "Revocations that a channel lists the CA of and has not taken yet";
        registry.register("channel_duties_waiting", help, gauges.waiting.clone());
        registry.register("task_running", "Background tasks and threads that run", gauges.task_running.clone());
        let task_restarts = Family::default();
        let help = "Background tasks that panicked and began anew";
        registry.register("task_restarts", help, Family::clone(&task_restarts));
        let log_lines_lost = Counter::default();
        let help = "Lines of the log that nobody took in time, or that could not be written";
        registry.register("log_lines_lost", help, log_lines_lost.clone());
        registry.register("places", "Places that there are, by what they are", gauges.places.clone());
        let help = "Places that are taken, by what they are and who has them";
        registry.register("places_taken", help, gauges.places_taken.clone());
        let places_refused = Family::default();
        let help = "Requests and connections for which there was no place, by what it was and who asked";
        registry.register("places_refused", help, Family::clone(&places_refused));
        let help = "The peer's memory for what callers cause, as configured";
        registry.register_with_unit("memory_max", help, Unit::Bytes, gauges.memory_max.clone());
        let channels = channel_actors::runtime::metrics::Metrics::new(&mut registry);
        Self {
            registry: Mutex::new(registry),
            channels,
            connections: Arc::default(),
            requests,
            request_seconds,
            outcomes,
            subscriptions: Mutex::default(),
            subscription_number: AtomicU64::new(0),
            clock_jumps,
            handshakes_refused,
            process: ProcessMetrics::default(),
            task_restarts,
            log_lines_lost,
            memory_refused,
            places_refused,
            answers_cut,
            streams_ended,
            gauges,
        }
    }
}

/// Counts a connection while it lives.
#[derive(Debug)]
pub struct ConnectionGuard(Arc<AtomicU64>);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Counts a subscription while it lives, with its position.
pub struct SubscriptionGuard {
    metrics: Arc<PeerMetrics>,
    number: u64,
}

impl Drop for SubscriptionGuard {
    fn drop(&mut self) {
        let mut live = self.metrics.subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
        live.remove(&self.number);
    }
}

impl PeerMetrics {
    /// What the channels count.
    pub fn channels(&self) -> channel_actors::runtime::metrics::Metrics {
        self.channels.clone()
    }

    /// A connection was opened.
    pub fn connected(&self) -> ConnectionGuard {
        self.connections.fetch_add(1, Ordering::AcqRel);
        ConnectionGuard(Arc::clone(&self.connections))
    }

    /// The wall clock jumped.
    pub fn clock_jumped(&self) {
        self.clock_jumps.inc();
    }

    /// An answer was cut off.
    pub fn answer_cut(&self, why: Cut) {
        self.answers_cut.get_or_create(&CutLabels { why: why.word() }).inc();
    }

    /// A TLS handshake was refused.
    pub fn handshake_refused(&self) {
        self.handshakes_refused.inc();
    }

    /// Open client connections.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Acquire)
    }

    /// A request was answered. `route` is the pattern, never what the caller wrote, and so is the method's label: a
    /// method may be any word, and each new one would be kept for ever.
    pub fn answered(&self, method: &str, route: &'static str, status: u16, took: Duration) {
        const METHODS: [&str; 7] = ["GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"];
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("other");
        self.requests.get_or_create(&RequestLabels { method, route, status }).inc();
        self.request_seconds.get_or_create(&RouteLabels { route }).observe(took.as_secs_f64());
    }

    /// Transactions were answered: `accepted`, `committed`, or a problem's name.
    pub fn submitted(&self, channel: &str, outcome: &'static str, count: u64) {
        let labels = OutcomeLabels { channel: channel.into(), outcome };
        self.outcomes.get_or_create(&labels).inc_by(count);
    }

    /// A stream of submissions has ended.
    pub fn stream_ended(&self, why: &'static str) {
        self.streams_ended.get_or_create(&CutLabels { why }).inc();
    }

    /// A subscription begins, everything up to `height` behind it, whatever that will be.
    pub fn subscribed(self: &Arc<Self>, channel: &str, height: Arc<AtomicU64>) -> SubscriptionGuard {
        let number = self.subscription_number.fetch_add(1, Ordering::Relaxed);
        let subscriber = Subscriber { channel: channel.into(), height };
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner).insert(number, subscriber);
        SubscriptionGuard { metrics: Arc::clone(self), number }
    }

    /// How far the slowest subscription of each channel is.
    pub(crate) fn slowest(&self) -> BTreeMap<String, u64> {
        let mut slowest: BTreeMap<String, u64> = BTreeMap::new();
        for subscriber in self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner).values() {
            let height = subscriber.height.load(Ordering::Relaxed);
            slowest.entry(subscriber.channel.clone()).and_modify(|least| *least = height.min(*least)).or_insert(height);
        }
        slowest
    }

    /// Everything as text, as it was counted and set.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        encode_registry(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner)).unwrap_or_default();
        self.process.expose(&mut text);
        encode_eof(&mut text).unwrap_or_default();
        text
    }

    /// When things end: of the members' certificates only the first, since there may be thousands.
    pub fn expiries(&self, own: &Identity, expiries: &[Expiry]) {
        self.gauges.expiry.clear();
        for Expiry { at, what } in expiries {
            let (kind, name) = match what {
                Expiring::Certificate { identity, .. } if identity == own => ("certificate", identity.to_string()),
                Expiring::Certificate { .. } => ("member", "first".to_owned()),
                Expiring::Authority { authority } => ("authority", authority.clone()),
                Expiring::Crl { authority } => ("crl", authority.clone()),
                Expiring::EarlierAuthority { .. } => continue,
            };
            let gauge = self.gauges.expiry.get_or_create(&ExpiryLabels { kind, name });
            let (before, at) = (gauge.get(), seconds_of(*at));
            // Two folders may know the same CA by certificates of its own: the first end counts for members, the last
            // for what replaces each other.
            let first = kind == "member";
            if before == 0 || (first && at < before) || (!first && at > before) {
                gauge.set(at);
            }
        }
    }
}

/// Unix time in seconds.
pub(crate) fn seconds_of(time: Time) -> i64 {
    i64::try_from(time.millis() / 1000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_and_subscriptions_count_while_they_live() {
        let metrics = Arc::new(PeerMetrics::default());
        let (one, two) = (metrics.connected(), metrics.connected());
        assert_eq!(metrics.connections(), 2);
        drop(one);
        assert_eq!(metrics.connections(), 1);
        drop(two);
        let subscription = metrics.subscribed("main", Arc::default());
        let live = || metrics.subscriptions.lock().unwrap_or_else(PoisonError::into_inner).len();
        assert_eq!((metrics.connections(), live()), (0, 1));
        drop(subscription);
        assert_eq!(live(), 0);
    }

    /// Each word that a stranger used as a method stayed as a time series of its own, for ever.
    #[test]
    fn invented_methods_are_counted_as_one() {
        let metrics = PeerMetrics::default();
        metrics.answered("GET", "/v1/status", 200, Duration::ZERO);
        for number in 0..100 {
            metrics.answered(&format!("WORD{number}"), "unknown", 404, Duration::ZERO);
        }
        let mut text = String::new();
        encode_registry(&mut text, &metrics.registry.lock().unwrap_or_else(PoisonError::into_inner))
            .unwrap_or_default();
        let series: Vec<&str> = text.lines().filter(|line| line.starts_with("chancery_requests_total{")).collect();
        assert_eq!(series.len(), 2, "{series:?}");
        assert!(series.iter().any(|line| line.contains("other") && line.ends_with(" 100")), "{series:?}");
    }
}
