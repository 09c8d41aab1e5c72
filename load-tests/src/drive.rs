//! Drives a peer, in one of two ways. In a closed loop each connection sends the next prepared request as soon as its
//! last one is answered: what is in flight is connections times batch, never more. By a timetable each request has its
//! time, fixed beforehand, and its latency counts from then.
//!
//! A refusal is counted and not repeated.

use crate::error::LoadError;
use crate::latencies::Latencies;
use crate::schedule::Schedule;
use crate::workload::EncodedBatch;
use client::api::BatchResult;
use client::connection::{Connection, RequestError};
use client::submit::{SubmitError, Wait};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How long what is due may still be sent after the end of a timetable. What is left then was never sent.
const GRACE: Duration = Duration::from_secs(10);
/// The reason of what was left.
pub const NOT_IN_TIME: &str = "not-sent-in-time";

/// One prepared request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The channel's name.
    pub channel: Arc<str>,
    /// Its transactions.
    pub batch: EncodedBatch,
}

/// `batches` for one channel.
pub fn requests(channel: &str, batches: Vec<EncodedBatch>) -> Vec<Request> {
    let channel: Arc<str> = channel.into();
    batches.into_iter().map(|batch| Request { channel: Arc::clone(&channel), batch }).collect()
}

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
    /// From sending a request, or from the time that it was due, to its answer.
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

    /// Adds what another connection saw.
    pub fn merge(&mut self, other: Self) {
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

    /// Counts transactions that were not taken.
    pub fn refuse(&mut self, transactions: u64, reason: &str) {
        self.refused += transactions;
        if !self.reasons.iter().any(|known| known == reason) {
            self.reasons.push(reason.to_owned());
        }
    }

    fn answered(&mut self, results: Vec<BatchResult>, took: Duration) {
        let before = self.committed + self.failed;
        for result in results {
            match result {
                BatchResult::Committed { code: 0, .. } => self.committed += 1,
                BatchResult::Committed { .. } => self.failed += 1,
                BatchResult::Refused { problem, .. } => self.refuse(1, &problem),
                BatchResult::Accepted { .. } => self.refuse(1, "accepted only"),
            }
        }
        self.latencies.add(took, self.committed + self.failed - before);
    }
}

type Queue = Arc<Mutex<std::iter::Enumerate<std::vec::IntoIter<Request>>>>;

fn queue(requests: Vec<Request>) -> Queue {
    Arc::new(Mutex::new(requests.into_iter().enumerate()))
}

fn next(queue: &Queue) -> Option<(usize, Request)> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).next()
}

/// Sends `requests` over `connections` until they are used up or `window` is over. Answers after the window count for
/// nothing, but are waited for.
pub async fn drive(connections: &[Connection], requests: Vec<Request>, window: Duration) -> Result<Driven, LoadError> {
    let queue = queue(requests);
    let start = Instant::now();
    let mut senders = JoinSet::new();
    for connection in connections {
        senders.spawn(send(connection.clone(), Arc::clone(&queue), start, window));
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

async fn send(connection: Connection, queue: Queue, start: Instant, window: Duration) -> Result<Driven, LoadError> {
    let mut driven = Driven::default();
    while start.elapsed() < window {
        let Some((_, Request { channel, batch })) = next(&queue) else {
            driven.ran_out = true;
            break;
        };
        let (transactions, sent) = (batch.len() as u64, Instant::now());
        match connection.submit_encoded(&channel, batch, Wait::Committed).await {
            Ok(results) => {
                if start.elapsed() > window {
                    break;
                }
                driven.answered(results, sent.elapsed());
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

/// Opens the connections of a timetable, which would open them one by one in its first stall: what is measured is
/// transactions, not handshakes.
pub async fn open(connections: &[Connection]) -> Result<(), LoadError> {
    let mut asking = JoinSet::new();
    for connection in connections {
        let connection = connection.clone();
        asking.spawn(async move { connection.status().await.map(|_| ()) });
    }
    while let Some(asked) = asking.join_next().await {
        asked??;
    }
    Ok(())
}

/// Sends `requests` by `schedule`, each on the first of `connections` that is free. A request that finds none free is
/// late, and its lateness is in its latency. All answers count; the window ends with the last of them.
pub async fn drive_by(
    schedule: Schedule,
    connections: &[Connection],
    requests: Vec<Request>,
) -> Result<Driven, LoadError> {
    let queue = queue(requests);
    let start = Instant::now();
    let mut senders = JoinSet::new();
    for connection in connections {
        senders.spawn(send_by(schedule, connection.clone(), Arc::clone(&queue), start));
    }
    let mut driven = Driven::default();
    while let Some(one) = senders.join_next().await {
        driven.merge(one??);
    }
    driven.window = driven.window.max(schedule.length);
    while let Some((_, left)) = next(&queue) {
        driven.refuse(left.batch.len() as u64, NOT_IN_TIME);
    }
    Ok(driven)
}

async fn send_by(
    schedule: Schedule,
    connection: Connection,
    queue: Queue,
    start: Instant,
) -> Result<Driven, LoadError> {
    let mut driven = Driven::default();
    while start.elapsed() < schedule.length + GRACE {
        let Some((number, Request { channel, batch })) = next(&queue) else { break };
        let (transactions, due) = (batch.len() as u64, start + schedule.due(number as u64));
        tokio::time::sleep_until(due.into()).await;
        match connection.submit_encoded(&channel, batch, Wait::Committed).await {
            Ok(results) => {
                driven.answered(results, due.elapsed());
                driven.window = start.elapsed();
            }
            Err(SubmitError::Request(RequestError::Problem(problem))) => {
                driven.refuse(transactions, problem.name());
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
