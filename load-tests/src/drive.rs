//! Drives a peer: each connection sends the next prepared batch as soon as its last one is answered.
//!
//! Closed loop: what is in flight is connections times batch, never more. A refusal is counted and not repeated.

use crate::error::LoadError;
use crate::latencies::Latencies;
use crate::workload::EncodedBatch;
use client::api::BatchResult;
use client::connection::{Connection, RequestError};
use client::submit::{SubmitError, Wait};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Driven {
    /// Transactions in final blocks with code 0, answered within the window.
    pub committed: u64,
    /// Transactions in final blocks with another code.
    pub failed: u64,
    /// Transactions that were not taken.
    pub refused: u64,
    /// Names of the reasons why not.
    pub reasons: Vec<String>,
    /// From sending a request to its answer.
    pub latencies: Latencies,
    /// From the first request to the last answer that counts.
    pub window: Duration,
    /// Whether the prepared transactions ended before the window did.
    pub ran_out: bool,
}

impl Driven {
    /// Transactions committed a second.
    pub fn committed_per_s(&self) -> f64 {
        self.committed as f64 / self.window.as_secs_f64().max(f64::EPSILON)
    }

    fn merge(&mut self, other: Self) {
        self.committed += other.committed;
        self.failed += other.failed;
        self.refused += other.refused;
        self.reasons.extend(other.reasons);
        self.reasons.sort();
        self.reasons.dedup();
        self.latencies.merge(other.latencies);
        self.window = self.window.max(other.window);
        self.ran_out |= other.ran_out;
    }

    fn refuse(&mut self, transactions: u64, reason: &str) {
        self.refused += transactions;
        if !self.reasons.iter().any(|known| known == reason) {
            self.reasons.push(reason.to_owned());
        }
    }
}

type Queue = Arc<Mutex<std::vec::IntoIter<EncodedBatch>>>;

/// Sends `batches` over `connections` until they are used up or `window` is over. Answers after the window count for
/// nothing, but are waited for.
pub async fn drive(
    connections: &[Connection],
    channel: &str,
    batches: Vec<EncodedBatch>,
    window: Duration,
) -> Result<Driven, LoadError> {
    let queue: Queue = Arc::new(Mutex::new(batches.into_iter()));
    let start = Instant::now();
    let mut senders = JoinSet::new();
    for connection in connections {
        senders.spawn(send(connection.clone(), channel.to_owned(), Arc::clone(&queue), start, window));
    }
    let mut driven = Driven::default();
    while let Some(one) = senders.join_next().await {
        driven.merge(one??);
    }
    if !driven.ran_out {
        driven.window = window;
    }
    Ok(driven)
}

async fn send(
    connection: Connection,
    channel: String,
    queue: Queue,
    start: Instant,
    window: Duration,
) -> Result<Driven, LoadError> {
    let mut driven = Driven::default();
    while start.elapsed() < window {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let Some(batch) = next else {
            driven.ran_out = true;
            break;
        };
        let (transactions, sent) = (batch.len() as u64, Instant::now());
        match connection.submit_encoded(&channel, batch, Wait::Committed).await {
            Ok(results) => {
                if start.elapsed() > window {
                    break;
                }
                let took = sent.elapsed();
                let before = driven.committed + driven.failed;
                for result in results {
                    match result {
                        BatchResult::Committed { code: 0, .. } => driven.committed += 1,
                        BatchResult::Committed { .. } => driven.failed += 1,
                        BatchResult::Refused { problem, .. } => driven.refuse(1, &problem),
                        BatchResult::Accepted { .. } => driven.refuse(1, "accepted only"),
                    }
                }
                driven.latencies.add(took, driven.committed + driven.failed - before);
                driven.window = start.elapsed();
            }
            Err(SubmitError::Request(RequestError::Problem(problem))) => {
                driven.refuse(transactions, problem.name());
                tokio::time::sleep(Duration::from_millis(problem.retry_after_ms.unwrap_or(100))).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(driven)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_connections_saw_adds_up() {
        let mut one = Driven { committed: 10, window: Duration::from_secs(2), ..Driven::default() };
        let mut other = Driven { committed: 20, failed: 1, window: Duration::from_secs(1), ..Driven::default() };
        other.refuse(5, "busy");
        other.refuse(5, "busy");
        one.refuse(1, "busy");
        one.merge(other);
        assert_eq!((one.committed, one.failed, one.refused, one.window), (30, 1, 11, Duration::from_secs(2)));
        assert_eq!((one.reasons.as_slice(), one.committed_per_s()), (&["busy".to_owned()][..], 15.0));
    }
}
