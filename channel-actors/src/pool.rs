//! Threads for what blocks: signature checks, execution, the store. Actors never block; they hand work to a pool and
//! get a message back.
//!
//! A pool is shared by all channels and gives each its turn: a channel with a thousand jobs waits behind none of its
//! own, and delays another by one job at most. A job that panics is reported to its channel and harms no thread.
//! The number of jobs a channel can have here is bounded by its actors (each waits for its own), its read
//! permits and its credits.

use crate::limits::CROWD;
use ledger_classes::hash::Hash;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

type Job = Box<dyn FnOnce() + Send>;

/// The work panicked: what it said.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("panicked: {0}")]
pub(crate) struct Panicked(pub String);

/// A pool of threads. Dropping the last clone lets the threads finish their queues and end.
#[derive(Clone)]
pub(crate) struct WorkPool(Arc<Owner>);

struct Owner(Arc<Shared>);

struct Shared {
    queues: Mutex<Queues>,
    ready: Condvar,
}

#[derive(Default)]
struct Queues {
    /// Channels with jobs, each once, in the order of their turns.
    turns: VecDeque<Hash>,
    jobs: HashMap<Hash, VecDeque<Job>>,
    /// Whose job came last, and which other channel's before.
    latest: [Option<(Hash, Instant)>; 2],
    closed: bool,
}

impl WorkPool {
    /// Starts `threads` threads (at least one) named `name`.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn new(name: &str, threads: usize) -> std::io::Result<Self> {
        Self::giving_way(name, threads, 0)
    }

    /// Starts threads that give way to others of the peer who want a processor too: each 5 of `nice` leave them a third
    /// of the share. Where the system does not know that of threads, they are like others.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn giving_way(name: &str, threads: usize, nice: i32) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { queues: Mutex::default(), ready: Condvar::new() });
        let owner = Owner(shared.clone());
        for _ in 0..threads.max(1) {
            let shared = shared.clone();
            std::thread::Builder::new().name(name.into()).spawn(move || {
                // On Linux a thread's own matter. Without the right to it the work is only less polite.
                #[cfg(target_os = "linux")]
                if let Err(error) = rustix::process::nice(nice) {
                    tracing::debug!(%error, "a thread keeps its priority");
                }
                #[cfg(not(target_os = "linux"))]
                let _ = nice;
                shared.work();
            })?;
        }
        Ok(Self(Arc::new(owner)))
    }

    /// Runs `work` on a thread of the pool in `channel`'s turn, then `done` with its result on the same thread.
    pub(crate) fn run<T, W, D>(&self, channel: Hash, work: W, done: D)
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
        D: FnOnce(Result<T, Panicked>) + Send + 'static,
    {
        let job: Job = Box::new(move || done(catch_unwind(AssertUnwindSafe(work)).map_err(message)));
        let shared = &self.0.0;
        let mut queues = shared.lock();
        let before = queues.latest[0].filter(|(latest, _)| *latest != channel).or(queues.latest[1]);
        queues.latest = [Some((channel, Instant::now())), before];
        let jobs = queues.jobs.entry(channel).or_default();
        jobs.push_back(job);
        if jobs.len() == 1 {
            queues.turns.push_back(channel);
        }
        drop(queues);
        shared.ready.notify_one();
    }

    /// Whether others than `channel` have had work here of late, so that its jobs should be short.
    pub(crate) fn crowded(&self, channel: Hash) -> bool {
        let of_others = |(other, came): &(Hash, Instant)| *other != channel && came.elapsed() < CROWD;
        self.0.0.lock().latest.iter().flatten().any(of_others)
    }
}

fn message(panic: Box<dyn std::any::Any + Send>) -> Panicked {
    let text = panic.downcast_ref::<String>().cloned();
    Panicked(text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
}

impl Shared {
    /// Jobs run outside the lock, so a poisoned lock still guards whole queues.
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                tracing::error!("reporting the end of a job panicked");
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut queues = self.lock();
        loop {
            if let Some(channel) = queues.turns.pop_front() {
                let jobs = queues.jobs.get_mut(&channel);
                let job = jobs.and_then(VecDeque::pop_front);
                match queues.jobs.get(&channel) {
                    Some(rest) if !rest.is_empty() => queues.turns.push_back(channel),
                    _ => drop(queues.jobs.remove(&channel)),
                }
                if job.is_some() {
                    return job;
                }
                continue;
            }
            if queues.closed {
                return None;
            }
            queues = self.ready.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.ready.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn channels_take_turns() {
        let pool = WorkPool::new("test", 1).expect("threads");
        let (hold, held) = mpsc::channel::<()>();
        let (seen, order) = mpsc::channel();
        let [busy, quiet] = [Hash([1; 32]), Hash([2; 32])];
        pool.run(busy, move || held.recv(), |_| {});
        for number in 0..10 {
            let seen = seen.clone();
            pool.run(busy, move || seen.send(("busy", number)), |_| {});
        }
        pool.run(quiet, move || seen.send(("quiet", 0)), |_| {});
        hold.send(()).expect("the first job waits");
        let order: Vec<_> = order.iter().collect();
        assert_eq!(order.len(), 11);
        assert!(order.iter().position(|job| job.0 == "quiet").is_some_and(|place| place <= 1), "{order:?}");
    }

    #[test]
    fn a_channel_is_in_a_crowd_while_another_one_has_work() {
        let pool = WorkPool::new("test", 1).expect("threads");
        let [one, other] = [Hash([1; 32]), Hash([2; 32])];
        assert!(!pool.crowded(one));
        (0..2).for_each(|_| pool.run(one, || (), |_| {}));
        assert!(!pool.crowded(one));
        pool.run(other, || (), |_| {});
        (0..2).for_each(|_| pool.run(one, || (), |_| {}));
        assert!(pool.crowded(one) && pool.crowded(other), "whoever came last");
        for (_, came) in pool.0.0.lock().latest.iter_mut().flatten() {
            *came = came.checked_sub(CROWD).expect("the machine runs longer");
        }
        assert!(!pool.crowded(one) && !pool.crowded(other), "that was long ago");
    }

    #[test]
    fn a_panic_is_reported_and_the_thread_lives() {
        let pool = WorkPool::new("test", 1).expect("threads");
        let (send, receive) = mpsc::channel();
        for say in [Some("broken contract"), None] {
            let send = send.clone();
            let work = move || {
                if let Some(text) = say {
                    panic!("{text}");
                }
                7
            };
            pool.run(Hash::ZERO, work, move |result| send.send(result).expect("the test waits"));
        }
        assert_eq!(receive.recv(), Ok(Err(Panicked("broken contract".into()))));
        assert_eq!(receive.recv(), Ok(Ok(7)));
    }
}
