//! Threads for what blocks: signature checks, execution, the store. Actors never block; they hand work to a pool and
//! get a message back.
//!
//! A pool is shared by all channels and gives each its turn, and within a channel each caller: one with a thousand jobs
//! delays another by one job at most. A fair pool has a second set of threads, which give way to all others of the peer:
//! a channel, or a caller, that has had most of the time of late runs on those, as long as others have work, too. One
//! caller has half of the threads at a time.
//! A job that panics is reported to its channel and harms no thread. If taking up what it did panics, nobody knows
//! how far that went: whoever owns the pool is told whose turn it was ([`WorkPool::on_broken`]).
//! The number of jobs a channel can have here is bounded by its actors (each waits for its own), its read
//! permits and its credits.

use crate::asker::Asker;
use crate::limits::{CROWD_SHARE, LOUD_NICE, LOUD_SHARE, SPAN};
use crate::tasks::{Tasks, words};
use ledger_classes::hash::Hash;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

type Job = Box<dyn FnOnce() + Send>;

/// Told of the channel whose job's end could not be taken up, and what the panic said.
pub(crate) type Broken = Arc<dyn Fn(Hash, String) + Send + Sync>;

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
    /// Threads that one caller has at a time.
    of_caller_max: usize,
    tasks: Tasks,
    broken: OnceLock<Broken>,
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
    /// Channels with callers who have their next turn in a lane, each once a lane, in the order of their turns.
    turns: [VecDeque<Hash>; 2],
    channels: HashMap<Hash, Channel>,
    recent: Recent<Hash>,
    recent_callers: Recent<Asker>,
    /// Threads that each caller has.
    running: HashMap<Asker, usize>,
    closed: bool,
}

/// A channel with jobs.
#[derive(Default)]
struct Channel {
    /// Callers with jobs, each once in one of the lanes, in the order of their turns.
    callers: [VecDeque<Asker>; 2],
    jobs: HashMap<Asker, VecDeque<Job>>,
}

impl Queues {
    /// Takes the turn of the first caller who may have a thread more.
    fn take_turn(&mut self, lane: Lane, of_caller_max: usize) -> Option<(Hash, Asker)> {
        for _ in 0..self.turns[lane as usize].len() {
            let channel = self.turns[lane as usize].pop_front()?;
            let Some(of_channel) = self.channels.get_mut(&channel) else { continue };
            let callers = &mut of_channel.callers[lane as usize];
            let may = |caller: &Asker| {
                *caller == Asker::PEER || self.running.get(caller).is_none_or(|running| *running < of_caller_max)
            };
            let caller = callers.iter().position(may).and_then(|at| callers.remove(at));
            // The others of the channel have their turns after those of other channels.
            if !callers.is_empty() {
                self.turns[lane as usize].push_back(channel);
            }
            if let Some(caller) = caller {
                return Some((channel, caller));
            }
        }
        None
    }

    /// Gives a caller with jobs its next turn.
    fn give_turn(&mut self, channel: Hash, caller: Asker, lane: Lane) {
        let callers = &mut self.channels.entry(channel).or_default().callers[lane as usize];
        callers.push_back(caller);
        if callers.len() == 1 {
            self.turns[lane as usize].push_back(channel);
        }
    }
}

/// Processor time of jobs in this span and in the one before.
struct Recent<K> {
    began: Option<Instant>,
    spans: [Span<K>; 2],
}

struct Span<K> {
    all: Duration,
    of: HashMap<K, Duration>,
}

impl<K> Default for Span<K> {
    fn default() -> Self {
        Self { all: Duration::ZERO, of: HashMap::new() }
    }
}

impl<K> Default for Recent<K> {
    fn default() -> Self {
        Self { began: None, spans: Default::default() }
    }
}

impl<K: Eq + std::hash::Hash> Recent<K> {
    fn add(&mut self, whose: K, took: Duration, now: Instant) {
        self.turn(now);
        let span = &mut self.spans[0];
        span.all += took;
        *span.of.entry(whose).or_default() += took;
    }

    fn turn(&mut self, now: Instant) {
        let spans = self.began.map_or(u128::MAX, |began| now.duration_since(began).as_nanos() / SPAN.as_nanos());
        if spans == 0 {
            return;
        }
        self.began = Some(now);
        let last = std::mem::take(&mut self.spans[0]);
        self.spans[1] = if spans == 1 { last } else { Span::default() };
    }

    /// The part of one, and that of all others.
    fn parts(&self, one: &K) -> (f64, f64) {
        let all: Duration = self.spans.iter().map(|span| span.all).sum();
        let own: Duration = self.spans.iter().filter_map(|span| span.of.get(one)).sum();
        let all_s = all.as_secs_f64().max(f64::MIN_POSITIVE);
        (own.as_secs_f64() / all_s, all.saturating_sub(own).as_secs_f64() / all_s)
    }

    /// Whether others than this one have had work worth mentioning.
    fn crowded(&self, one: &K) -> bool {
        self.parts(one).1 > CROWD_SHARE
    }

    /// Whether this one has had most of the time, beside others.
    fn loud(&self, one: &K) -> bool {
        let (own, others) = self.parts(one);
        others > CROWD_SHARE && own > LOUD_SHARE
    }
}

/// Processor time of this thread: waiting for a disk or for a processor is no use of one.
fn used() -> Duration {
    #[cfg(target_os = "linux")]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
    }
    #[cfg(not(target_os = "linux"))]
    Duration::ZERO
}

impl WorkPool {
    /// Starts `threads` threads (at least one) named `name`.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn new(tasks: &Tasks, name: &'static str, threads: usize) -> std::io::Result<Self> {
        Self::giving_way(tasks, name, threads, 0)
    }

    /// Starts as many threads for a channel that has had most of the time, too.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn fair(tasks: &Tasks, name: &'static str, threads: usize) -> std::io::Result<Self> {
        Self::start(tasks, name, threads, &[(Lane::Ordinary, 0), (Lane::Loud, LOUD_NICE)])
    }

    /// Starts threads that give way to others of the peer who want a processor too: each 5 of `nice` leave them a third
    /// of the share. Where the system does not know that of threads, they are like others.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn giving_way(tasks: &Tasks, name: &'static str, threads: usize, nice: i32) -> std::io::Result<Self> {
        Self::start(tasks, name, threads, &[(Lane::Ordinary, nice)])
    }

    fn start(tasks: &Tasks, name: &'static str, threads: usize, lanes: &[(Lane, i32)]) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            queues: Mutex::default(),
            ready: Default::default(),
            fair: lanes.len() > 1,
            of_caller_max: (threads / 2).max(1),
            tasks: tasks.clone(),
            broken: OnceLock::new(),
        });
        let owner = Owner(shared.clone());
        for &(lane, nice) in lanes.iter().cycle().take(lanes.len() * threads.max(1)) {
            let shared = shared.clone();
            // Once: each call adds to the last.
            let mut nice = Some(nice);
            tasks.thread(name, move || {
                // On Linux a thread's own matter. Without the right to it the work is only less polite.
                #[cfg(target_os = "linux")]
                if let Some(Err(error)) = nice.take().map(rustix::process::nice) {
                    tracing::debug!(%error, "a thread keeps its priority");
                }
                #[cfg(not(target_os = "linux"))]
                let _ = nice.take();
                shared.work(lane);
            })?;
        }
        Ok(Self(Arc::new(owner)))
    }

    /// Whom to tell, at most once. Nobody: then a channel whose job's end is lost is the end of the peer.
    pub(crate) fn on_broken(&self, broken: Broken) {
        // Who was told first stays.
        let _ = self.0.0.broken.set(broken);
    }

    /// Runs `work` on a thread of the pool in `channel`'s turn, then `done` with its result on the same thread.
    pub(crate) fn run<T, W, D>(&self, channel: Hash, work: W, done: D)
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
        D: FnOnce(Result<T, Panicked>) + Send + 'static,
    {
        self.run_for(channel, Asker::PEER, work, done);
    }

    /// [`Self::run`] in the turn that a caller has in the channel's.
    pub(crate) fn run_for<T, W, D>(&self, channel: Hash, caller: Asker, work: W, done: D)
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
        D: FnOnce(Result<T, Panicked>) + Send + 'static,
    {
        let job: Job = Box::new(move || done(catch_unwind(AssertUnwindSafe(work)).map_err(message)));
        let shared = &self.0.0;
        let mut queues = shared.lock();
        let jobs = queues.channels.entry(channel).or_default().jobs.entry(caller).or_default();
        jobs.push_back(job);
        if jobs.len() > 1 {
            return;
        }
        let lane = shared.lane_of(&mut queues, channel, caller);
        queues.give_turn(channel, caller, lane);
        drop(queues);
        shared.ready[lane as usize].notify_one();
    }

    /// Whether others than `channel` have had work here of late, so that its jobs should be short.
    pub(crate) fn crowded(&self, channel: Hash) -> bool {
        let mut queues = self.0.0.lock();
        queues.recent.turn(Instant::now());
        queues.recent.crowded(&channel)
    }
}

fn message(panic: Box<dyn std::any::Any + Send>) -> Panicked {
    Panicked(words(&*panic))
}

impl Shared {
    /// Jobs run outside the lock, so a poisoned lock still guards whole queues.
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose threads run a caller's next job on a channel.
    fn lane_of(&self, queues: &mut Queues, channel: Hash, caller: Asker) -> Lane {
        if !self.fair {
            return Lane::Ordinary;
        }
        let now = Instant::now();
        queues.recent.turn(now);
        queues.recent_callers.turn(now);
        let loud_caller = caller != Asker::PEER && queues.recent_callers.loud(&caller);
        if loud_caller || queues.recent.loud(&channel) { Lane::Loud } else { Lane::Ordinary }
    }

    /// Wakes a thread of each lane in which somebody waits for a turn.
    fn wake(&self, queues: MutexGuard<'_, Queues>) {
        let waiting = [0, 1].map(|lane: usize| !queues.turns[lane].is_empty());
        drop(queues);
        for (ready, _) in self.ready.iter().zip(waiting).filter(|(_, waiting)| *waiting) {
            ready.notify_one();
        }
    }

    fn work(&self, lane: Lane) {
        while let Some((channel, caller, job)) = self.next(lane) {
            let before = used();
            if let Err(panic) = catch_unwind(AssertUnwindSafe(job)) {
                let reason = format!("the end of its work could not be taken up: {}", message(panic));
                match self.broken.get() {
                    Some(broken) => broken(channel, reason),
                    None => self.tasks.fail(format!("channel {channel}: {reason}")),
                }
            }
            let took = used().saturating_sub(before);
            let (mut queues, now) = (self.lock(), Instant::now());
            if self.fair {
                queues.recent.add(channel, took, now);
                if caller != Asker::PEER {
                    queues.recent_callers.add(caller, took, now);
                }
            }
            if let Some(running) = queues.running.get_mut(&caller) {
                *running -= 1;
                if *running == 0 {
                    queues.running.remove(&caller);
                }
            }
            // Its next job may wait in the other lane, whose threads do not know that it may have one of them now.
            self.wake(queues);
        }
    }

    fn next(&self, lane: Lane) -> Option<(Hash, Asker, Job)> {
        let mut queues = self.lock();
        loop {
            // At the end nobody may be left.
            let of_caller_max = if queues.closed { usize::MAX } else { self.of_caller_max };
            let Some((channel, caller)) = queues.take_turn(lane, of_caller_max) else {
                if queues.closed {
                    return None;
                }
                queues = self.ready[lane as usize].wait(queues).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let Some(of_channel) = queues.channels.get_mut(&channel) else { continue };
            let jobs = of_channel.jobs.entry(caller).or_default();
            let job = jobs.pop_front();
            if jobs.is_empty() {
                of_channel.jobs.remove(&caller);
                if of_channel.jobs.is_empty() {
                    queues.channels.remove(&channel);
                }
            } else {
                // At the end nobody may be left in the other lane.
                let to = if queues.closed { lane } else { self.lane_of(&mut queues, channel, caller) };
                queues.give_turn(channel, caller, to);
            }
            let Some(job) = job else { continue };
            if caller != Asker::PEER {
                *queues.running.entry(caller).or_default() += 1;
            }
            self.wake(queues);
            return Some((channel, caller, job));
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
        let pool = WorkPool::new(&Tasks::default(), "test", 1).expect("threads");
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

    /// One caller with many jobs on a channel took all of the channel's turns: the others waited for all of them.
    #[test]
    fn callers_take_turns_within_a_channel_and_many_of_them_delay_no_other_channel() {
        let pool = WorkPool::new(&Tasks::default(), "test", 1).expect("threads");
        let (hold, held) = mpsc::channel::<()>();
        let (seen, order) = mpsc::channel();
        let [busy, quiet] = [Hash([1; 32]), Hash([2; 32])];
        let [many, few] = [Asker::named("many"), Asker::named("few")];
        pool.run_for(busy, many, move || held.recv(), |_| {});
        let run = |channel, caller, name: String| {
            let seen = seen.clone();
            pool.run_for(channel, caller, move || seen.send(name), |_| {});
        };
        for number in 0..10 {
            run(busy, many, format!("many {number}"));
        }
        run(busy, few, "few".into());
        (0..10).for_each(|number| run(busy, Asker::named(&format!("crowd {number}")), format!("crowd {number}")));
        run(quiet, few, "quiet".into());
        hold.send(()).expect("the first job waits");
        drop(seen);
        let order: Vec<String> = (0..22).map(|_| order.recv_timeout(ms(60_000)).expect("it runs")).collect();
        let place = |name: &str| order.iter().position(|job| job == name).expect("it ran");
        assert!(place("few") <= 3 && place("quiet") <= 2, "{order:?}");
        assert!(place("many 9") == 21 && place("many 1") > place("crowd 8"), "{order:?}");
        let many: Vec<usize> = (0..10).map(|number| place(&format!("many {number}"))).collect();
        assert!(many.is_sorted(), "a caller's jobs keep their order: {order:?}");
    }

    /// With several reads at a time one caller had all threads, and the others waited for the longest of them.
    #[test]
    fn one_caller_leaves_half_of_the_threads_to_others() {
        let pool = WorkPool::new(&Tasks::default(), "test", 2).expect("threads");
        let (channel, [many, few]) = (Hash([1; 32]), [Asker::named("many"), Asker::named("few")]);
        let (hold, held) = mpsc::channel::<()>();
        let (told, tell) = mpsc::channel();
        pool.run_for(channel, many, move || held.recv(), |_| {});
        let run = |caller, name: &'static str| {
            let told = told.clone();
            pool.run_for(channel, caller, || (), move |_| told.send(name).expect("the test waits"));
        };
        run(many, "many");
        for name in ["few 1", "few 2"] {
            run(few, name);
            assert_eq!(tell.recv_timeout(ms(60_000)), Ok(name), "while the other caller's first job runs");
        }
        hold.send(()).expect("its job waits");
        assert_eq!(tell.recv_timeout(ms(60_000)), Ok("many"));
    }

    /// A caller that was loud and is not any more had its next job wait for ever: whose threads had run the one before had
    /// nothing to do with it.
    #[test]
    fn a_callers_next_job_is_run_whichever_threads_had_its_last() {
        let pool = WorkPool::fair(&Tasks::default(), "test", 1).expect("threads");
        let (channel, [caller, other]) = (Hash([1; 32]), [Asker::named("caller"), Asker::named("other")]);
        let (hold, held) = mpsc::channel::<()>();
        let (begun, began) = mpsc::channel();
        let (told, tell) = mpsc::channel();
        make_callers_loud(&pool, caller, other);
        pool.run_for(channel, caller, move || (begun.send(()), held.recv()), |_| {});
        began.recv_timeout(ms(60_000)).expect("it begins, on threads of its own");
        pool.0.0.lock().recent_callers = Recent::default();
        let next = told.clone();
        pool.run_for(channel, caller, || (), move |_| next.send("next").expect("the test waits"));
        pool.run_for(channel, other, || (), move |_| told.send("other").expect("the test waits"));
        assert_eq!(tell.recv_timeout(ms(60_000)), Ok("other"), "the ordinary thread has passed over the next one");
        hold.send(()).expect("its job waits");
        assert_eq!(tell.recv_timeout(ms(60_000)), Ok("next"));
    }

    /// Makes `loud` loud beside `other` for good: the span begins in the future.
    fn make_callers_loud(pool: &WorkPool, loud: Asker, other: Asker) {
        let recent = &mut pool.0.0.lock().recent_callers;
        recent.began = Some(Instant::now() + ms(3_600_000));
        for (caller, took) in [(loud, ms(1_000_000)), (other, ms(100_000))] {
            recent.spans[0].all += took;
            recent.spans[0].of.insert(caller, took);
        }
    }

    /// A caller that has had most of the time gives way to others of its channel, too.
    #[test]
    fn a_loud_caller_has_threads_of_its_own_in_a_crowd() {
        let pool = WorkPool::fair(&Tasks::default(), "test", 1).expect("threads");
        let (channel, [loud, quiet]) = (Hash([1; 32]), [Asker::named("loud"), Asker::named("quiet")]);
        let (hold, held) = mpsc::channel::<()>();
        let (told, tell) = mpsc::channel();
        make_callers_loud(&pool, loud, quiet);
        pool.run_for(channel, loud, move || held.recv(), |_| {});
        for caller in [quiet, quiet] {
            let told = told.clone();
            pool.run_for(channel, caller, || (), move |_| told.send(caller).expect("the test waits"));
            assert_eq!(tell.recv_timeout(ms(60_000)), Ok(caller), "while the loud one's job runs");
        }
        hold.send(()).expect("its job waits");
    }

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_channel_is_in_a_crowd_for_two_spans_after_others_had_work() {
        let start = Instant::now();
        let [one, other] = [Hash([1; 32]), Hash([2; 32])];
        let mut recent = Recent::default();
        assert!(!recent.crowded(&one));
        recent.add(one, ms(1_000), start);
        assert!(!recent.crowded(&one) && recent.crowded(&other));
        recent.add(other, ms(4), start);
        assert!(!recent.crowded(&one), "next to nothing");
        recent.add(other, ms(4), start);
        assert!(recent.crowded(&one));
        recent.turn(start + SPAN);
        assert!(recent.crowded(&one) && recent.crowded(&other));
        recent.turn(start + SPAN * 2);
        assert!(!recent.crowded(&one) && !recent.crowded(&other), "that was long ago");
    }

    #[test]
    fn who_has_had_most_is_loud_for_two_spans() {
        let start = Instant::now();
        let [loud, other, third] = [1, 2, 3].map(|number| Hash([number; 32]));
        let mut recent = Recent::default();
        recent.add(loud, ms(50), start);
        assert!(!recent.loud(&loud), "alone");
        recent.add(other, ms(24), start);
        assert!(recent.loud(&loud) && !recent.loud(&other) && !recent.loud(&third));
        recent.add(third, ms(2), start);
        assert!(!recent.loud(&loud), "50 of 76");
        recent.add(loud, ms(10), start);
        recent.turn(start + SPAN);
        assert!(recent.loud(&loud));
        recent.turn(start + SPAN * 2);
        assert!(!recent.loud(&loud));
        recent.add(loud, ms(50), start + SPAN * 2);
        recent.add(other, ms(10), start + SPAN * 2);
        assert!(recent.loud(&loud));
        recent.turn(start + SPAN * 9);
        assert!(!recent.loud(&loud));
    }

    /// Makes `loud` loud beside `other` for good: the span begins in the future.
    fn make_loud(pool: &WorkPool, loud: Hash, other: Hash) {
        let recent = &mut pool.0.0.lock().recent;
        recent.began = Some(Instant::now() + ms(3_600_000));
        for (channel, took) in [(loud, ms(1_000_000)), (other, ms(100_000))] {
            recent.spans[0].all += took;
            recent.spans[0].of.insert(channel, took);
        }
    }

    /// Its own threads give way to all others; on the ordinary ones nobody waits behind it.
    #[test]
    fn a_loud_channel_has_threads_of_its_own_in_a_crowd() {
        let pool = WorkPool::fair(&Tasks::default(), "test", 1).expect("threads");
        let [loud, quiet] = [Hash([1; 32]), Hash([2; 32])];
        let (hold, held) = mpsc::channel::<()>();
        let (told, tell) = mpsc::channel();
        make_loud(&pool, loud, quiet);
        pool.run(loud, move || held.recv(), |_| {});
        for channel in [quiet, quiet] {
            let told = told.clone();
            pool.run(channel, || (), move |_| told.send(channel).expect("the test waits"));
            assert_eq!(tell.recv_timeout(ms(60_000)), Ok(channel), "while the loud one's job runs");
        }
        let after = told.clone();
        pool.run(loud, || (), move |_| after.send(loud).expect("the test waits"));
        hold.send(()).expect("its job waits");
        assert_eq!(tell.recv_timeout(ms(60_000)), Ok(loud));
    }

    #[test]
    fn a_pool_that_ends_finishes_what_was_queued() {
        let pool = WorkPool::fair(&Tasks::default(), "test", 1).expect("threads");
        let [loud, quiet] = [Hash([1; 32]), Hash([2; 32])];
        let (hold, held) = mpsc::channel::<()>();
        let (told, tell) = mpsc::channel();
        pool.run(loud, move || held.recv(), |_| {});
        for _ in 0..5 {
            let told = told.clone();
            pool.run(loud, || (), move |_| told.send(()).expect("the test waits"));
        }
        // Its turn was given in the ordinary lane, and would now be in the other.
        make_loud(&pool, loud, quiet);
        drop(pool);
        hold.send(()).expect("its job waits");
        assert!((0..5).all(|_| tell.recv_timeout(ms(60_000)).is_ok()));
    }

    #[test]
    fn a_panic_is_reported_and_the_thread_lives() {
        let pool = WorkPool::new(&Tasks::default(), "test", 1).expect("threads");
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

    /// Nobody knew: the channel's next block was waited for, for ever.
    #[test]
    fn a_job_whose_end_cannot_be_taken_up_is_told_of_and_the_thread_lives() {
        let (tasks, [one, other]) = (Tasks::default(), [Hash([1; 32]), Hash([2; 32])]);
        let pool = WorkPool::new(&tasks, "test", 1).expect("threads");
        let (send, receive) = mpsc::channel();
        pool.on_broken(Arc::new(move |channel, reason| send.send((channel, reason)).expect("the test waits")));
        pool.run(one, || (), |_| panic!("a bug"));
        let reason = "the end of its work could not be taken up: panicked: a bug".to_owned();
        assert_eq!(receive.recv_timeout(ms(60_000)), Ok((one, reason)));
        let (told, tell) = mpsc::channel();
        pool.run(other, || (), move |_| told.send(()).expect("the test waits"));
        assert_eq!(tell.recv_timeout(ms(60_000)), Ok(()));
        assert_eq!(tasks.list()[0].restarts, 0);
    }
}
