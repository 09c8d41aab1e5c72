//! What a peer counts. [`crate::monitor`] tells it to Prometheus.

use crate::{clock, context::PeerContext, duties::Duty, log_lines::LogLines};
use channel_actors::LifeCycle;
use ledger_classes::time::Time;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ChannelLabels {
    channel: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    channel: String,
    outcome: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WithinLabels {
    within_days: u64,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AuthorityLabels {
    authority: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DutyLabels {
    channel: String,
    duty: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TaskLabels {
    task: String,
}

type Seconds = Family<RouteLabels, Histogram, fn() -> Histogram>;

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_25, 2.0, 18))
}

/// Everything that the HTTP side counts.
pub struct PeerMetrics {
    registry: Mutex<Registry>,
    channels: channel_actors::metrics::Metrics,
    connections: Arc<AtomicU64>,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Seconds,
    outcomes: Family<OutcomeLabels, Counter>,
    subscriptions: Mutex<BTreeMap<u64, Subscriber>>,
    subscription_number: AtomicU64,
    clock_jumps: Counter,
    task_restarts: Family<TaskLabels, Counter>,
    log_lines_lost: Counter,
    gauges: Gauges,
}

#[derive(Clone, Debug, Default)]
struct Gauges {
    connections: Gauge,
    certificate_expiry: Gauge<i64, AtomicI64>,
    expiring: Family<WithinLabels, Gauge>,
    certificate_accepted: Gauge,
    crl_age: Family<AuthorityLabels, Gauge>,
    crl_expiry: Family<AuthorityLabels, Gauge>,
    serving: Family<ChannelLabels, Gauge>,
    queue_bytes: Family<ChannelLabels, Gauge>,
    disk_bytes: Family<ChannelLabels, Gauge>,
    time_ahead: Family<ChannelLabels, Gauge>,
    subscriber_lag: Family<ChannelLabels, Gauge>,
    disk_writable: Gauge,
    disk_free_bytes: Gauge,
    task_running: Family<TaskLabels, Gauge>,
    obstacles: Family<DutyLabels, Gauge>,
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
        registry.register("connections", "Open client connections", gauges.connections.clone());
        registry.register("requests", "Answered requests", Family::clone(&requests));
        registry.register("request_seconds", "Time from a request's head to its answer", request_seconds.clone());
        registry.register("submitted", "Posted transactions by how they were answered", Family::clone(&outcomes));
        let name = "certificate_expiry_seconds";
        registry.register(name, "Seconds until the peer's certificate expires", gauges.certificate_expiry.clone());
        let help = "Certificates, CAs and CRLs that end within so many days; 0 have ended";
        registry.register("expiring", help, gauges.expiring.clone());
        let help = "1 while the peer's own certificate is accepted, as far as the peer can tell";
        registry.register("certificate_accepted", help, gauges.certificate_accepted.clone());
        let clock_jumps = Counter::default();
        registry.register("clock_jumps", "Jumps of the wall clock by more than a minute", clock_jumps.clone());
        registry.register("crl_age_seconds", "Age of each CA's CRL", gauges.crl_age.clone());
        registry.register("crl_expiry_seconds", "Seconds until each CA's CRL expires", gauges.crl_expiry.clone());
        registry.register("channel_serving", "1 while the channel serves", gauges.serving.clone());
        let help = "Payload bytes of transactions between door and commit";
        registry.register("channel_queue_bytes", help, gauges.queue_bytes.clone());
        registry.register("channel_disk_bytes", "Bytes of the channel's files", gauges.disk_bytes.clone());
        let help = "Seconds that the channel's block time is ahead of the peer's clock";
        registry.register("channel_time_ahead_seconds", help, gauges.time_ahead.clone());
        let help = "Blocks that the slowest subscription is behind";
        registry.register("channel_subscriber_lag", help, gauges.subscriber_lag.clone());
        let help = "1 while the disk with the channels takes writes";
        registry.register("disk_writable", help, gauges.disk_writable.clone());
        let help = "Bytes that are free on the disk with the channels";
        registry.register("disk_free_bytes", help, gauges.disk_free_bytes.clone());
        let help = "Revocations and acts that a channel does not take";
        registry.register("channel_obstacles", help, gauges.obstacles.clone());
        registry.register("task_running", "Background tasks and threads that run", gauges.task_running.clone());
        let task_restarts = Family::default();
        let help = "Background tasks that panicked and began anew";
        registry.register("task_restarts", help, Family::clone(&task_restarts));
        let log_lines_lost = Counter::default();
        let help = "Lines of the log that nobody took in time, or that could not be written";
        registry.register("log_lines_lost", help, log_lines_lost.clone());
        let channels = channel_actors::metrics::Metrics::new(&mut registry);
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
            task_restarts,
            log_lines_lost,
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
    pub fn channels(&self) -> channel_actors::metrics::Metrics {
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

    /// Open client connections.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Acquire)
    }

    /// A request was answered. `route` is the pattern, never what the caller wrote, and so is the method's label: a
    /// method may be any word, and each new one would be kept for ever.
    pub fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        const METHODS: [&str; 7] = ["GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"];
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("other");
        let labels = RequestLabels { method: method.into(), route: route.into(), status };
        self.requests.get_or_create(&labels).inc();
        self.request_seconds.get_or_create(&RouteLabels { route: route.into() }).observe(took.as_secs_f64());
    }

    /// Transactions were answered: `accepted`, `committed`, or a problem's name.
    pub fn submitted(&self, channel: &str, outcome: &str, count: u64) {
        let labels = OutcomeLabels { channel: channel.into(), outcome: outcome.into() };
        self.outcomes.get_or_create(&labels).inc_by(count);
    }

    /// A subscription begins, everything up to `height` behind it, whatever that will be.
    pub fn subscribed(self: &Arc<Self>, channel: &str, height: Arc<AtomicU64>) -> SubscriptionGuard {
        let number = self.subscription_number.fetch_add(1, Ordering::Relaxed);
        let subscriber = Subscriber { channel: channel.into(), height };
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner).insert(number, subscriber);
        SubscriptionGuard { metrics: Arc::clone(self), number }
    }

    /// How many things end within so many days each.
    pub fn expiring(&self, counts: impl IntoIterator<Item = (u64, usize)>) {
        for (within_days, count) in counts {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.gauges.expiring.get_or_create(&WithinLabels { within_days }).set(count);
        }
    }

    /// Everything as text, with gauges read at this moment.
    pub fn expose(&self, context: &PeerContext, data_dir: &Path) -> String {
        let PeerContext { registry, trust, .. } = context;
        let now = clock::now();
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let until = |at: Time| signed(at.millis_since(now) / 1000) - signed(now.millis_since(at) / 1000);
        self.gauges.connections.set(signed(self.connections()));
        self.gauges.certificate_expiry.set(until(trust.own_certificate().not_after()));
        self.gauges.certificate_accepted.set(i64::from(trust.standing().is_ok()));
        for (authority, (this_update, next_update)) in trust.crl_updates() {
            let labels = AuthorityLabels { authority };
            self.gauges.crl_age.get_or_create(&labels).set(-until(this_update));
            self.gauges.crl_expiry.get_or_create(&labels).set(until(next_update));
        }
        self.gauges.disk_writable.set(i64::from(registry.disk().trouble().is_none()));
        self.gauges.disk_free_bytes.set(signed(registry.disk().free().unwrap_or_default()));
        for task in context.tasks.list() {
            let labels = TaskLabels { task: task.name.into() };
            self.gauges.task_running.get_or_create(&labels).set(i64::from(task.running));
            self.task_restarts.get_or_create(&labels).inner().store(task.restarts, Ordering::Relaxed);
        }
        let lost = context.log_lines.as_ref().map_or(0, LogLines::lost);
        self.log_lines_lost.inner().store(lost, Ordering::Relaxed);
        let mut slowest: BTreeMap<String, u64> = BTreeMap::new();
        for subscriber in self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner).values() {
            let height = subscriber.height.load(Ordering::Relaxed);
            slowest.entry(subscriber.channel.clone()).and_modify(|least| *least = height.min(*least)).or_insert(height);
        }
        for channel in registry.list() {
            let labels = ChannelLabels { channel: channel.name().into() };
            let (height, queue) = (channel.tip().height, channel.queue());
            let lag = slowest.get(channel.name()).map_or(0, |least| height.saturating_sub(*least));
            self.gauges.time_ahead.get_or_create(&labels).set(signed(channel.tip().time.millis_since(now) / 1000));
            let serving = i64::from(channel.state() == LifeCycle::Serving);
            self.gauges.serving.get_or_create(&labels).set(serving);
            for duty in Duty::ALL {
                let of_duty = DutyLabels { channel: channel.name().into(), duty: duty.word() };
                let count = context.duties.count(channel.name(), duty);
                self.gauges.obstacles.get_or_create(&of_duty).set(i64::try_from(count).unwrap_or(i64::MAX));
            }
            self.gauges.disk_bytes.get_or_create(&labels).set(signed(disk_bytes(&data_dir.join(channel.name()))));
            self.gauges.queue_bytes.get_or_create(&labels).set(i64::from(queue.bytes));
            self.gauges.subscriber_lag.get_or_create(&labels).set(signed(lag));
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        encode(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner)).unwrap_or_default();
        text
    }
}

/// Bytes of a channel's files. What cannot be read counts as nothing: a channel may just be closing.
fn disk_bytes(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
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
        encode(&mut text, &metrics.registry.lock().unwrap_or_else(PoisonError::into_inner)).unwrap_or_default();
        let series: Vec<&str> = text.lines().filter(|line| line.starts_with("chancery_requests_total{")).collect();
        assert_eq!(series.len(), 2, "{series:?}");
        assert!(series.iter().any(|line| line.contains("other") && line.ends_with(" 100")), "{series:?}");
    }
}
