//! Threads for what blocks: signature checks, execution, the store. Actors never block; they hand work to a pool and
//! get a message back.
//!
//! A pool is shared by all channels and gives each its turn: a channel with a thousand jobs waits behind none of its
//! own, and delays another by one job at most. A fair pool has a second set of threads, which give way to all others of
//! the peer: a channel that has had most of the time of late runs on those, as long as others have work, too.
//! A job that panics is reported to its channel and harms no thread.
//! The number of jobs a channel can have here is bounded by its actors (each waits for its own), its read
//! permits and its credits.

use crate::limits::{LOUD_NICE, LOUD_SHARE, SPAN};
use ledger_classes::hash::Hash;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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
    ready: [Condvar; 2],
    fair: bool,
}

/// A set of threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lane {
    Ordinary,
    /// For a channel that has had most of the time.
    Loud,
}

#[derive(Default)]
struct Queues {
    /// Channels with jobs, each once, in the order of their turns in each lane.
    turns: [VecDeque<Hash>; 2],
    jobs: HashMap<Hash, VecDeque<Job>>,
    recent: Recent,
    closed: bool,
}

/// How long the jobs of each channel ran in this span and in the one before.
#[derive(Default)]
struct Recent {
    began: Option<Instant>,
    spans: [HashMap<Hash, Duration>; 2],
}

impl Recent {
    fn add(&mut self, channel: Hash, ran: Duration, now: Instant) {
        self.turn(now);
        *self.spans[0].entry(channel).or_default() += ran;
    }

    fn turn(&mut self, now: Instant) {
        let over =
            self.began.map_or(u32::MAX, |began| (now.duration_since(began).as_micros() / SPAN.as_micros()) as u32);
        if over == 0 {
            return;
        }
        self.began = Some(now);
        let last = std::mem::take(&mut self.spans[0]);
        self.spans[1] = if over == 1 { last } else { HashMap::new() };
    }

    fn of(&self, channel: &Hash) -> Duration {
        self.spans.iter().filter_map(|span| span.get(channel)).sum()
    }

    /// Whether others than `channel` have had work.
    fn crowded(&self, channel: &Hash) -> bool {
        self.spans.iter().flat_map(HashMap::keys).any(|other| other != channel)
    }

    /// Whether `channel` has had most of it, beside others.
    fn loud(&self, channel: &Hash) -> bool {
        let all: Duration = self.spans.iter().flat_map(HashMap::values).sum();
        self.crowded(channel) && self.of(channel).as_secs_f64() > all.as_secs_f64() * LOUD_SHARE
    }
}

impl WorkPool {
    /// Starts `threads` threads (at least one) named `name`.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn new(name: &str, threads: usize) -> std::io::Result<Self> {
        Self::giving_way(name, threads, 0)
    }

    /// Starts as many threads for a channel that has had most of the time, too.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn fair(name: &str, threads: usize) -> std::io::Result<Self> {
        Self::start(name, threads, &[(Lane::Ordinary, 0), (Lane::Loud, LOUD_NICE)])
    }

    /// Starts threads that give way to others of the peer who want a processor too: each 5 of `nice` leave them a third
    /// of the share. Where the system does not know that of threads, they are like others.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn giving_way(name: &str, threads: usize, nice: i32) -> std::io::Result<Self> {
        Self::start(name, threads, &[(Lane::Ordinary, nice)])
    }

    fn start(name: &str, threads: usize, lanes: &[(Lane, i32)]) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { queues: Mutex::default(), ready: Default::default(), fair: lanes.len() > 1 });
        let owner = Owner(shared.clone());
        for &(lane, nice) in lanes.iter().cycle().take(lanes.len() * threads.max(1)) {
            let shared = shared.clone();
            std::thread::Builder::new().name(name.into()).spawn(move || {
                // On Linux a thread's own matter. Without the right to it the work is only less polite.
                #[cfg(target_os = "linux")]
                if let Err(error) = rustix::process::nice(nice) {
                    tracing::debug!(%error, "a thread keeps its priority");
                }
                #[cfg(not(target_os = "linux"))]
                let _ = nice;
                shared.work(lane);
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
        queues.recent.add(channel, Duration::ZERO, Instant::now());
        let jobs = queues.jobs.entry(channel).or_default();
        jobs.push_back(job);
        if jobs.len() == 1 {
            shared.give_turn(&mut queues, channel);
        }
    }

    /// Whether others than `channel` have had work here of late, so that its jobs should be short.
    pub(crate) fn crowded(&self, channel: Hash) -> bool {
        let mut queues = self.0.0.lock();
        queues.recent.turn(Instant::now());
        queues.recent.crowded(&channel)
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

    /// A channel has its turn at the end of its lane, and a thread of that looks.
    fn give_turn(&self, queues: &mut Queues, channel: Hash) {
        let lane = if self.fair && queues.recent.loud(&channel) { Lane::Loud } else { Lane::Ordinary };
        queues.turns[lane as usize].push_back(channel);
        self.ready[lane as usize].notify_one();
    }

    fn work(&self, lane: Lane) {
        while let Some((channel, job)) = self.next(lane) {
            let started = Instant::now();
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                tracing::error!("reporting the end of a job panicked");
            }
            let now = Instant::now();
            self.lock().recent.add(channel, now.duration_since(started), now);
        }
    }

    fn next(&self, lane: Lane) -> Option<(Hash, Job)> {
        let mut queues = self.lock();
        loop {
            if let Some(channel) = queues.turns[lane as usize].pop_front() {
                let jobs = queues.jobs.get_mut(&channel);
                let job = jobs.and_then(VecDeque::pop_front);
                match queues.jobs.get(&channel) {
                    Some(rest) if !rest.is_empty() => self.give_turn(&mut queues, channel),
                    _ => drop(queues.jobs.remove(&channel)),
                }
                if let Some(job) = job {
                    return Some((channel, job));
                }
                continue;
            }
            if queues.closed {
                return None;
            }
            queues = self.ready[lane as usize].wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.ready.iter().for_each(Condvar::notify_all);
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
        let long_ago = Instant::now().checked_sub(SPAN * 2).expect("the machine runs longer");
        pool.0.0.lock().recent.began = Some(long_ago);
        assert!(!pool.crowded(one) && !pool.crowded(other), "that was long ago");
    }

    #[test]
    fn who_has_had_most_is_loud_for_two_spans() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let [loud, other, third] = [1, 2, 3].map(|number| Hash([number; 32]));
        let mut recent = Recent::default();
        recent.add(loud, Duration::from_millis(50), at(0));
        assert!(!recent.loud(&loud), "alone");
        recent.add(other, Duration::from_millis(24), at(1));
        recent.add(third, Duration::ZERO, at(1));
        assert!(recent.loud(&loud) && !recent.loud(&other) && !recent.loud(&third));
        recent.add(third, Duration::from_millis(2), at(1));
        assert!(!recent.loud(&loud), "50 of 76");
        recent.add(loud, Duration::from_millis(10), at(2));
        recent.turn(start + SPAN);
        assert!(recent.loud(&loud));
        recent.turn(start + SPAN * 2);
        assert!(!recent.loud(&loud) && !recent.crowded(&loud));
        recent.add(loud, Duration::from_millis(50), start + SPAN * 2);
        recent.add(other, Duration::ZERO, start + SPAN * 2);
        assert!(recent.loud(&loud));
        recent.turn(start + SPAN * 9);
        assert!(!recent.loud(&loud) && !recent.crowded(&loud));
    }

    /// Its own threads give way to all others; on the ordinary ones nobody waits behind it.
    #[test]
    fn a_loud_channel_has_threads_of_its_own_in_a_crowd() {
        let pool = WorkPool::fair("test", 1).expect("threads");
        let [loud, quiet] = [Hash([1; 32]), Hash([2; 32])];
        let (hold, held) = mpsc::channel::<()>();
        let (told, tell) = mpsc::channel();
        pool.run(quiet, || (), |_| {});
        pool.0.0.lock().recent.add(loud, Duration::from_secs(1), Instant::now());
        pool.run(loud, move || held.recv(), |_| {});
        for channel in [quiet, quiet] {
            let told = told.clone();
            pool.run(channel, || (), move |_| told.send(channel).expect("the test waits"));
            assert_eq!(tell.recv(), Ok(channel), "while the loud one's job runs");
        }
        let after = told.clone();
        pool.run(loud, || (), move |_| after.send(loud).expect("the test waits"));
        hold.send(()).expect("its job waits");
        assert_eq!(tell.recv(), Ok(loud));
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
