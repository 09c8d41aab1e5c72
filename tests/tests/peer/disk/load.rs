//! Clients that post while something happens to the disk, and keep what they were told.

use super::PATIENCE;
use crate::harness::{address, define, mint, signed, transfer};
use client::api::{BatchResult, Outcome, SubmissionStatus};
use client::connection::Connection;
use client::submit::{SubmitError, Wait};
use ledger_classes::formats::transaction::Envelope;
use ledger_classes::primitives::hash::Hash;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

pub(super) const SUPPLY: u128 = 1_000_000;
pub(super) const CLIENTS: u8 = 3;

/// Clients that post transfers to one channel for as long as they live.
pub(super) struct Load {
    pub(super) connection: Connection,
    pub(super) channel: &'static str,
    id: Hash,
    pub(super) stop: Arc<AtomicBool>,
    /// Everything that was sent, refused or not.
    sent: Arc<Mutex<BTreeMap<Hash, Envelope>>>,
    pub(super) acknowledged: Arc<Mutex<BTreeMap<Hash, Outcome>>>,
    pub(super) refused: Arc<Mutex<BTreeMap<String, String>>>,
    refusals: Arc<AtomicUsize>,
    pub(super) changed: Arc<Notify>,
    pub(super) clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    pub(super) async fn begin(connection: &Connection, channel: &'static str, id: Hash) -> Self {
        let supply = (0..CLIENTS).map(|client| mint("usd", client + 1, SUPPLY));
        let setup = signed(id, 200, [define("usd")].into_iter().chain(supply).collect());
        let outcome = connection.submit(channel, &setup, Wait::Committed).await.expect("taken");
        assert_eq!(outcome.receipt.map(|receipt| receipt.code), Some(0));
        let mut load = Self {
            connection: connection.clone(),
            channel,
            id,
            stop: Arc::default(),
            sent: Arc::default(),
            acknowledged: Arc::default(),
            refused: Arc::default(),
            refusals: Arc::default(),
            changed: Arc::default(),
            clients: Vec::new(),
        };
        load.clients = (1..=CLIENTS).map(|client| load.client(client)).collect();
        load
    }

    fn client(&self, number: u8) -> tokio::task::JoinHandle<()> {
        let (connection, channel, id) = (self.connection.clone(), self.channel, self.id);
        let (stop, sent, acknowledged) = (self.stop.clone(), self.sent.clone(), self.acknowledged.clone());
        let (refused, refusals) = (self.refused.clone(), self.refusals.clone());
        let changed = self.changed.clone();
        tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_millis(5));
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let fresh = || signed(id, number, vec![transfer("usd", number % CLIENTS + 1, 1)]);
            let mut next = None;
            while !stop.load(Ordering::Relaxed) {
                pace.tick().await;
                // What was refused is sent again.
                let envelope = next.take().unwrap_or_else(fresh);
                sent.lock().expect("not poisoned").insert(envelope.id(), envelope.clone());
                match connection.submit(channel, &envelope, Wait::Committed).await {
                    Ok(outcome) => {
                        assert_eq!(outcome.status, SubmissionStatus::Committed);
                        acknowledged.lock().expect("not poisoned").insert(outcome.id.expect("an id"), outcome);
                    }
                    Err(SubmitError::Request(error)) => {
                        let problem = error.problem().unwrap_or_else(|| panic!("{error}"));
                        let hint = problem.retry_after_ms.map(Duration::from_millis);
                        assert!(hint.is_some(), "{problem:?} does not say when to come back");
                        let name = format!("{} {}", problem.status, problem.name());
                        refused.lock().expect("not poisoned").insert(name, problem.detail.clone().unwrap_or_default());
                        refusals.fetch_add(1, Ordering::Relaxed);
                        next = Some(envelope);
                    }
                    Err(error) => panic!("{error}"),
                }
                changed.notify_waiters();
            }
        })
    }

    pub(super) fn commits(&self) -> usize {
        self.acknowledged.lock().expect("not poisoned").len()
    }

    /// Waits until so many more are committed.
    pub(super) async fn goes_on(&self, more: usize) {
        let enough = self.commits() + more;
        eventually("transactions go on", &self.changed, || self.commits() >= enough).await;
    }

    /// Waits for refusals after this moment.
    pub(super) async fn is_refused(&self) {
        let enough = self.refusals.load(Ordering::Relaxed) + usize::from(CLIENTS);
        eventually("transactions are refused", &self.changed, || self.refusals.load(Ordering::Relaxed) >= enough).await;
    }

    /// What reads answer, at any time: acknowledged transactions, balances, blocks, the status.
    pub(super) async fn can_be_read(&self) {
        let some: Vec<Outcome> = self.acknowledged.lock().expect("not poisoned").values().take(20).cloned().collect();
        let started = Instant::now();
        for outcome in &some {
            let found = self.connection.transaction(self.channel, outcome.id.expect("an id")).await.expect("readable");
            assert_eq!(found.receipt, outcome.receipt);
        }
        self.connection.account(self.channel, address(1)).await.expect("readable");
        self.connection.status().await.expect("answers");
        let took = started.elapsed();
        assert!(took < Duration::from_secs(3), "{} reads took {took:?}", some.len() + 2);
    }

    /// Ends the clients. Then everything that was ever sent has one outcome, which is the acknowledged one, and no
    /// money was made or lost.
    pub(super) async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("clients end");
        }
        let acknowledged = self.acknowledged.lock().expect("not poisoned").clone();
        let sent = self.sent.lock().expect("not poisoned").clone();
        for envelope in sent.values() {
            let outcome = self.connection.submit(self.channel, envelope, Wait::Committed).await.expect("taken");
            let receipt = outcome.receipt.expect("committed");
            assert_eq!(receipt.code, 0, "{receipt:?}");
            if let Some(before) = acknowledged.get(&envelope.id()) {
                assert_eq!(before.receipt.as_ref(), Some(&receipt));
            }
        }
        let mut total = 0;
        for client in 1..=CLIENTS {
            let account = self.connection.account(self.channel, address(client)).await.expect("readable");
            total += account.balances.iter().map(|balance| balance.owned.0).sum::<u128>();
        }
        assert_eq!(total, SUPPLY * u128::from(CLIENTS), "money was made or lost");
        sent.len()
    }
}

/// Waits until something holds that `changed` tells of.
pub(super) async fn eventually(what: &str, changed: &Notify, holds: impl Fn() -> bool) {
    let held = async {
        loop {
            let change = changed.notified();
            if holds() {
                return;
            }
            change.await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, held).await;
    assert!(in_time.is_ok(), "{what}: not within {PATIENCE:?}");
}

/// One transaction, more often than a channel takes transactions. Each waits for the one commit.
pub(super) struct Flood {
    pub(super) refused: Arc<AtomicUsize>,
    pub(super) changed: Arc<Notify>,
    committed: Vec<tokio::task::JoinHandle<BTreeSet<u64>>>,
}

impl Flood {
    pub(super) fn begin(load: &Load) -> Self {
        let envelope = signed(load.id, 201, vec![define("flood")]);
        let refused = Arc::new(AtomicUsize::new(0));
        let changed = Arc::new(Notify::new());
        let batch = |_| {
            let (connection, channel) = (load.connection.clone(), load.channel);
            let (refused, changed) = (refused.clone(), changed.clone());
            let envelopes = vec![envelope.clone(); BATCH];
            tokio::spawn(async move {
                match connection.submit_batch(channel, &envelopes, Wait::Committed).await {
                    Ok(results) => results.iter().map(height).collect(),
                    Err(SubmitError::Request(error)) => {
                        let problem = error.problem().unwrap_or_else(|| panic!("{error}"));
                        assert_eq!(problem.name(), "busy", "{problem:?}");
                        assert!(problem.retry_after_ms.is_some(), "{problem:?}");
                        refused.fetch_add(1, Ordering::Relaxed);
                        changed.notify_waiters();
                        BTreeSet::new()
                    }
                    Err(error) => panic!("{error}"),
                }
            })
        };
        let committed =
            (0..channel_actors::limits::TRANSACTIONS_IN_FLIGHT_MAX as usize / BATCH + 1).map(batch).collect();
        Self { refused, changed, committed }
    }

    /// All that were taken were committed, in one block.
    pub(super) async fn end(self) {
        let mut heights = BTreeSet::new();
        for batch in self.committed {
            heights.extend(batch.await.expect("ends"));
        }
        assert_eq!(heights.len(), 1, "one transaction was committed at {heights:?}");
    }
}

/// Envelopes of a batch of the flood: two megabytes.
pub(super) const BATCH: usize = 8_192;

fn height(result: &BatchResult) -> u64 {
    match result {
        BatchResult::Committed { height, .. } => *height,
        other => panic!("{other:?}"),
    }
}
