//! What a channel measures, for the peer's Prometheus registry. One family a metric, labelled by channel, so that
//! channels come and go without a trace in the code that exposes them.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChannelLabel {
    channel: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    channel: String,
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabel {
    stage: &'static str,
}

#[derive(Clone)]
struct Seconds;

impl MetricConstructor<Histogram> for Seconds {
    /// 0.1 ms to 26 s.
    fn new_metric(&self) -> Histogram {
        Histogram::new(exponential_buckets(0.0001, 2.0, 19))
    }
}

/// The families of all channels.
#[derive(Clone)]
pub struct Metrics {
    height: Family<ChannelLabel, Gauge>,
    in_flight: Family<ChannelLabel, Gauge>,
    subscribers: Family<ChannelLabel, Gauge>,
    suspended: Gauge,
    transactions: Family<OutcomeLabel, Counter>,
    refusals: Family<OutcomeLabel, Counter>,
    dropped: Family<OutcomeLabel, Counter>,
    deferred: Family<ChannelLabel, Counter>,
    ahead: Family<OutcomeLabel, Counter>,
    witness_requests: Family<OutcomeLabel, Counter>,
    stages: Family<StageLabel, Histogram, Seconds>,
    end_to_end: Family<ChannelLabel, Counter<f64, AtomicU64>>,
}

impl Metrics {
    /// Registers the families.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            height: Family::default(),
            in_flight: Family::default(),
            subscribers: Family::default(),
            suspended: Gauge::default(),
            transactions: Family::default(),
            refusals: Family::default(),
            dropped: Family::default(),
            deferred: Family::default(),
            ahead: Family::default(),
            witness_requests: Family::default(),
            stages: Family::new_with_constructor(Seconds),
            end_to_end: Family::default(),
        };
        let r = registry;
        r.register("channel_height", "Height of the last committed block", metrics.height.clone());
        r.register("channel_in_flight", "Transactions between door and commit", metrics.in_flight.clone());
        r.register("channel_subscribers", "Live subscriptions", metrics.subscribers.clone());
        r.register(
            "channels_suspended",
            "Channels whose files are closed until they are used",
            metrics.suspended.clone(),
        );
        r.register("channel_transactions", "Committed transactions by result", metrics.transactions.clone());
        r.register("channel_refusals", "Transactions refused before a block, by reason", metrics.refusals.clone());
        let help =
            "Transactions that were taken and then left out of their block, by reason; they are among the refusals";
        r.register("channel_dropped", help, metrics.dropped.clone());
        let help = "Times that a transaction waited for another block, since its own had used its budget";
        r.register("channel_deferred", help, metrics.deferred.clone());
        let help = "Blocks of other peers ahead of the clock: withheld until it arrived, or refused as too far ahead";
        r.register("channel_blocks_ahead", help, metrics.ahead.clone());
        let help = "Requests of other peers to vouch for what they verified, by what became of them";
        r.register("channel_witness_requests", help, metrics.witness_requests.clone());
        // Of all channels together: with thousands of them, buckets for each would be what a peer mostly tells.
        r.register_with_unit("stage", "Time spent in a stage", Unit::Seconds, metrics.stages.clone());
        let help = "Time from the door to the answer of all transactions; their number is in channel_transactions";
        r.register_with_unit("channel_end_to_end", help, Unit::Seconds, metrics.end_to_end.clone());
        metrics
    }

    /// The metrics of one channel.
    pub fn channel(&self, name: &str) -> ChannelMetrics {
        let stage = |stage: Stage| {
            let label = StageLabel { stage: stage.text() };
            self.stages.get_or_create(&label).clone()
        };
        let label = ChannelLabel { channel: name.to_owned() };
        // A channel without any tells 0.
        drop(self.subscribers.get_or_create(&label));
        let end_to_end = self.end_to_end.get_or_create(&label).clone();
        ChannelMetrics { metrics: self.clone(), channel: name.to_owned(), stages: Stage::ALL.map(stage), end_to_end }
    }
}

/// Where a transaction spends its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// A batch on the verification pool, waiting for its turn included.
    Verify,
    /// A block's execution.
    Execute,
    /// A block's way to disk.
    Persist,
    /// One transaction, from the door to its answer.
    EndToEnd,
}

impl Stage {
    const ALL: [Self; 4] = [Self::Verify, Self::Execute, Self::Persist, Self::EndToEnd];

    const fn text(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Execute => "execute",
            Self::Persist => "persist",
            Self::EndToEnd => "end_to_end",
        }
    }
}

/// The metrics of one channel.
#[derive(Clone)]
pub struct ChannelMetrics {
    metrics: Metrics,
    channel: String,
    /// Looked up once: one of them is observed for every transaction.
    stages: [Histogram; 4],
    end_to_end: Counter<f64, AtomicU64>,
}

impl ChannelMetrics {
    fn label(&self) -> ChannelLabel {
        ChannelLabel { channel: self.channel.clone() }
    }

    fn outcome(&self, outcome: &str) -> OutcomeLabel {
        OutcomeLabel { channel: self.channel.clone(), outcome: outcome.to_owned() }
    }

    pub(crate) fn height(&self, height: u64) {
        self.metrics.height.get_or_create(&self.label()).set(i64::try_from(height).unwrap_or(i64::MAX));
    }

    pub(crate) fn in_flight(&self, transactions: u32) {
        self.metrics.in_flight.get_or_create(&self.label()).set(i64::from(transactions));
    }

    /// A channel is suspended (1) or resumes (-1).
    pub(crate) fn suspended(&self, change: i64) {
        self.metrics.suspended.inc_by(change);
    }

    pub(crate) fn committed(&self, result: &str, count: u64) {
        self.metrics.transactions.get_or_create(&self.outcome(result)).inc_by(count);
    }

    pub(crate) fn refused(&self, reason: &str, count: u64) {
        self.metrics.refusals.get_or_create(&self.outcome(reason)).inc_by(count);
    }

    pub(crate) fn dropped(&self, reason: &str) {
        self.metrics.dropped.get_or_create(&self.outcome(reason)).inc();
    }

    pub(crate) fn deferred(&self, count: usize) {
        if count > 0 {
            self.metrics.deferred.get_or_create(&self.label()).inc_by(count as u64);
        }
    }

    /// A block of another peer's is ahead of the clock.
    pub(crate) fn ahead(&self, what: &str) {
        self.metrics.ahead.get_or_create(&self.outcome(what)).inc();
    }

    /// How many there were of these.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn ahead_so_far(&self, what: &str) -> u64 {
        self.metrics.ahead.get_or_create(&self.outcome(what)).get()
    }

    /// Another peer asked to vouch for a batch.
    pub(crate) fn witness_request(&self, outcome: &str) {
        self.metrics.witness_requests.get_or_create(&self.outcome(outcome)).inc();
    }

    pub(crate) fn stage(&self, stage: Stage, time: Duration) {
        self.stages[stage as usize].observe(time.as_secs_f64());
        if stage == Stage::EndToEnd {
            self.end_to_end.inc_by(time.as_secs_f64());
        }
    }

    /// A subscription begins (1) or ends (-1).
    pub fn subscribers(&self, change: i64) {
        self.metrics.subscribers.get_or_create(&self.label()).inc_by(change);
    }
}
