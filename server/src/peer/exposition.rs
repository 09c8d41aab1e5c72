//! What a peer has counted, as text, with what is read of it at that moment.

use crate::{
    api::{budget::Use, context::PeerContext},
    clock,
    duties::Duty,
    limits::CONNECTION_BYTES,
    net::standing::Standing,
    telemetry::{
        log_lines::LogLines,
        metrics::{
            AuthorityLabels, ChannelLabels, DutyLabels, PeerMetrics, PlacesLabels, TakenLabels, TaskLabels, UseLabels,
            seconds_of,
        },
    },
};
use channel_actors::{
    LifeCycle,
    store::{DiskTrouble, DiskUse},
};
use std::sync::atomic::Ordering;

impl PeerMetrics {
    /// Everything as text, with gauges read at this moment.
    pub fn expose(&self, context: &PeerContext) -> String {
        let PeerContext { registry, trust, .. } = context;
        let now = clock::now();
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.gauges.connections.set(signed(self.connections()));
        self.gauges.certificate_accepted.set(i64::from(trust.standing().is_ok()));
        for (authority, (this_update, _)) in trust.crl_updates() {
            self.gauges.crl_issue.get_or_create(&AuthorityLabels { authority }).set(seconds_of(this_update));
        }
        self.gauges.fenced.set(i64::from(registry.disk().trouble() == Some(DiskTrouble::Fenced)));
        self.gauges.disk_writable.set(i64::from(registry.disk().trouble().is_none()));
        self.gauges.disk_free_bytes.set(signed(registry.disk().free().unwrap_or_default()));
        let bytes = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.gauges.memory_budget_bytes.set(bytes(context.budget.most()));
        for what in Use::ALL {
            let labels = UseLabels { r#use: what.word() };
            self.gauges.memory_held_bytes.get_or_create(&labels).set(bytes(context.budget.used(what)));
            let refused = context.budget.refused(what);
            self.memory_refused.get_or_create(&labels).inner().store(refused, Ordering::Relaxed);
        }
        let bodies = Standing::ALL.map(|standing| context.places.bodies.taken(standing)).iter().sum();
        let connections: usize = Standing::ALL.map(|standing| context.places.connections.taken(standing)).iter().sum();
        let memory = registry.memory();
        for (word, held) in [
            ("bodies", bodies),
            ("connections", connections * CONNECTION_BYTES),
            ("subscriptions", context.unsent.load(Ordering::Relaxed)),
            ("in_flight", memory.in_flight.held()),
            ("blocks", memory.blocks.held()),
            ("store_caches", memory.stores.caches.held()),
            ("store_writes", memory.stores.writes.held()),
        ] {
            self.gauges.memory_held_bytes.get_or_create(&UseLabels { r#use: word }).set(bytes(held));
        }
        for task in context.tasks.list() {
            let labels = TaskLabels { task: task.name.into() };
            self.gauges.task_running.get_or_create(&labels).set(i64::from(task.running));
            self.task_restarts.get_or_create(&labels).inner().store(task.restarts, Ordering::Relaxed);
        }
        let lost = context.log_lines.as_ref().map_or(0, LogLines::lost);
        self.log_lines_lost.inner().store(lost, Ordering::Relaxed);
        self.gauges.memory_max.set(i64::try_from(context.limits.memory_bytes_max).unwrap_or(i64::MAX));
        self.count_places(context);
        let slowest = self.slowest();
        // One whose making failed is no channel any more.
        self.gauges.halted.clear();
        for channel in registry.list() {
            let labels = ChannelLabels { channel: channel.name().into() };
            let (height, queue) = (channel.tip().height, channel.queue());
            let lag = slowest.get(channel.name()).map_or(0, |least| height.saturating_sub(*least));
            self.gauges.time_ahead.get_or_create(&labels).set(signed(channel.tip().time.millis_since(now) / 1000));
            let state = channel.state();
            let serving = i64::from(state == LifeCycle::Serving);
            let halted = i64::from(matches!(state, LifeCycle::Halted { .. }));
            self.gauges.halted.get_or_create(&labels).set(halted);
            self.gauges.serving.get_or_create(&labels).set(serving);
            for duty in Duty::ALL {
                let of_duty = DutyLabels { channel: channel.name().into(), duty: duty.word() };
                let count = context.duties.count(channel.name(), duty);
                self.gauges.obstacles.get_or_create(&of_duty).set(i64::try_from(count).unwrap_or(i64::MAX));
                let waiting = context.duties.waiting(channel.name(), duty);
                self.gauges.waiting.get_or_create(&of_duty).set(signed(waiting));
            }
            let DiskUse { bytes, waiting, bytes_max } = channel.disk_use();
            self.gauges.disk_bytes.get_or_create(&labels).set(signed(bytes));
            self.gauges.disk_waiting.get_or_create(&labels).set(signed(waiting));
            self.gauges.disk_max.get_or_create(&labels).set(signed(bytes_max));
            self.gauges.queue_bytes.get_or_create(&labels).set(i64::from(queue.bytes));
            self.gauges.subscriber_lag.get_or_create(&labels).set(signed(lag));
        }
        self.text()
    }

    /// Places as they are at this moment; of connections also those in their handshake, whoever they are.
    fn count_places(&self, context: &PeerContext) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let set = |places, total, caller, taken, refused| {
            self.gauges.places.get_or_create(&PlacesLabels { places }).set(number(total));
            let labels = TakenLabels { places, caller };
            self.gauges.places_taken.get_or_create(&labels).set(number(taken));
            self.places_refused.get_or_create(&labels).inner().store(refused, Ordering::Relaxed);
        };
        for places in context.places.all() {
            for standing in Standing::ALL {
                let (taken, refused) = (places.taken(standing), places.refused(standing));
                set(places.what(), places.total(), standing.word(), taken, refused);
            }
        }
        let handshakes = &context.handshakes;
        set("handshakes", handshakes.most(), "unknown", handshakes.standing(), handshakes.sent_away());
    }
}
