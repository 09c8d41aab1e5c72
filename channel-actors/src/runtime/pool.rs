//! Threads for what blocks: signature checks, execution, the store. The actor never blocks; it hands work to a pool and
//! gets a message back.
//!
//! A pool is shared by all channels and gives each its turn, and within a channel each caller: one with a thousand jobs
//! delays another by one job at most. A fair pool has a second set of threads, which give way to all others of the peer:
//! a channel, or a caller, that has had most of the time of late runs on those, as long as others have work, too. What it
//! had is counted over all pools that are given the same [`Shares`]. One caller has half of the threads at a time.
//! What the end of a job asks for next is taken by the same thread, where that is small ([`WorkPool::run_next`]): to wake
//! another one takes longer than much of what is done here.
//! A job that panics is reported to its channel and harms no thread. If taking up what it did panics, nobody knows
//! how far that went: whoever owns the pool is told whose turn it was ([`WorkPool::on_broken`]).
//! The number of jobs a channel can have here is bounded by its machine (one execution, one block to the disk, one
//! checkpoint, a job a shard), its read permits and its credits.

use crate::limits::LOUD_NICE;
use crate::runtime::asker::Asker;
use crate::runtime::tasks::{Tasks, give_way, gives_way, words};
use ledger_classes::primitives::hash::Hash;
use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

mod shares;

pub(crate) use shares::Shares;

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

struct Owner(Arc<PoolShared>);

struct PoolShared {
    queues: Mutex<Queues>,
    /// Of a fair pool.
    shares: Option<Shares>,
    /// Threads that one caller has at a time.
    of_caller_max: usize,
    tasks: Tasks,
    broken: OnceLock<Broken>,
}

thread_local! {
    /// Of a thread of a pool: which, and its lane.
    static HERE: Cell<Option<(*const PoolShared, Lane)>> = const { Cell::new(None) };
    /// Of a thread of a pool whose job is at its end: which pool and lane it looks for the next job in, unless it has
    /// promised to find one there.
    static LOOKS: Cell<Option<(*const PoolShared, Lane)>> = const { Cell::new(None) };
}

/// A job that has ended, and the processor time that it took.
struct Ended {
    channel: Hash,
    caller: Asker,
    took: Duration,
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
    /// Threads that each caller has.
    running: HashMap<Asker, usize>,
    /// Threads of each lane that wait for a turn. The one that worked last is woken first: what it needs is near.
    idle: [Vec<Thread>; 2],
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

    /// A thread to be woken, if somebody waits for a turn in a lane.
    fn wanted(&mut self, lane: usize) -> Option<Thread> {
        if self.turns[lane].is_empty() { None } else { self.idle[lane].pop() }
    }

    /// A job has ended.
    fn ended(&mut self, caller: Asker) {
        if let Some(running) = self.running.get_mut(&caller) {
            *running -= 1;
            if *running == 0 {
                self.running.remove(&caller);
            }
        }
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

    /// Starts as many threads for a channel that has had most of the time, too, by what is noted in `shares`.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn fair(tasks: &Tasks, name: &'static str, threads: usize, shares: &Shares) -> std::io::Result<Self> {
        Self::start(tasks, name, threads, &[(Lane::Ordinary, 0), (Lane::Loud, LOUD_NICE)], Some(shares.clone()))
    }

    /// Starts threads that give way by `nice` ([`give_way`]).
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn giving_way(tasks: &Tasks, name: &'static str, threads: usize, nice: i32) -> std::io::Result<Self> {
        Self::start(tasks, name, threads, &[(Lane::Ordinary, nice)], None)
    }

    fn start(
        tasks: &Tasks,
        name: &'static str,
        threads: usize,
        lanes: &[(Lane, i32)],
        shares: Option<Shares>,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(PoolShared {
            queues: Mutex::default(),
            shares,
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
                nice.take().into_iter().for_each(give_way);
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
        self.queue(channel, caller, work, done, false);
    }

    /// [`Self::run_for`], for what is small. Where this thread is one of the pool's, at the end of its job, no other is
    /// woken: it takes what is next itself, which in its turn is this.
    pub(crate) fn run_next<T, W, D>(&self, channel: Hash, caller: Asker, work: W, done: D)
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
        D: FnOnce(Result<T, Panicked>) + Send + 'static,
    {
        self.queue(channel, caller, work, done, true);
    }

    fn queue<T, W, D>(&self, channel: Hash, caller: Asker, work: W, done: D, small: bool)
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
        D: FnOnce(Result<T, Panicked>) + Send + 'static,
    {
        let job: Job = Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(work)).map_err(message);
            LOOKS.set(HERE.get());
            done(result);
        });
        let shared = &self.0.0;
        let mut queues = shared.lock();
        let jobs = queues.channels.entry(channel).or_default().jobs.entry(caller).or_default();
        jobs.push_back(job);
        if jobs.len() > 1 {
            return;
        }
        let lane = shared.lane_of(channel, caller);
        queues.give_turn(channel, caller, lane);
        let looks = (Arc::as_ptr(shared), lane);
        if small && LOOKS.get() == Some(looks) {
            LOOKS.set(None);
            return;
        }
        let idle = queues.idle[lane as usize].pop();
        drop(queues);
        idle.iter().for_each(Thread::unpark);
    }

    /// Whether one of the threads that would run a channel's next job has nothing to do.
    pub(crate) fn has_idle(&self, channel: Hash) -> bool {
        let lane = self.0.0.lane_of(channel, Asker::PEER);
        !self.0.0.lock().idle[lane as usize].is_empty()
    }

    /// Whether others than `channel` have had work here of late, so that its jobs should be short.
    pub(crate) fn crowded(&self, channel: Hash) -> bool {
        self.0.0.shares.as_ref().is_some_and(|shares| shares.crowded(&channel))
    }
}

/// Whether this thread, at the end of its job, has promised to find the next one: until it does nobody runs that.
pub(crate) fn has_promised() -> bool {
    HERE.get().is_some() && LOOKS.get().is_none()
}

fn message(panic: Box<dyn std::any::Any + Send>) -> Panicked {
    Panicked(words(&*panic))
}

impl PoolShared {
    /// Jobs run outside the lock, so a poisoned lock still guards whole queues.
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose threads run a caller's next job on a channel.
    fn lane_of(&self, channel: Hash, caller: Asker) -> Lane {
        match &self.shares {
            Some(shares) if shares.loud(&channel, &caller) => Lane::Loud,
            _ => Lane::Ordinary,
        }
    }

    /// Wakes a thread of each lane in which somebody waits for a turn.
    fn wake(&self, mut queues: MutexGuard<'_, Queues>) {
        let wanted = [0, 1].map(|lane: usize| queues.wanted(lane));
        drop(queues);
        wanted.iter().flatten().for_each(Thread::unpark);
    }

    fn work(&self, lane: Lane) {
        HERE.set(Some((std::ptr::from_ref(self), lane)));
        let mut ended = None;
        while let Some((channel, caller, job)) = self.next(lane, ended.take()) {
            let before = used();
            if let Err(panic) = catch_unwind(AssertUnwindSafe(job)) {
                let reason = format!("the end of its work could not be taken up: {}", message(panic));
                match self.broken.get() {
                    Some(broken) => broken(channel, reason),
                    None => self.tasks.fail(format!("channel {channel}: {reason}")),
                }
            }
            LOOKS.set(None);
            if gives_way() {
                std::thread::yield_now();
            }
            ended = Some(Ended { channel, caller, took: used().saturating_sub(before) });
        }
    }

    /// Takes account of the job that has ended, and takes the next one.
    fn next(&self, lane: Lane, ended: Option<Ended>) -> Option<(Hash, Asker, Job)> {
        if let (Some(shares), Some(Ended { channel, caller, took })) = (&self.shares, &ended) {
            shares.add(*channel, *caller, *took);
        }
        let mut queues = self.lock();
        if let Some(Ended { caller, .. }) = ended {
            queues.ended(caller);
            // Its next job may wait in the other lane, whose threads do not know that it may have one of them now.
            queues.wanted(1 - lane as usize).iter().for_each(Thread::unpark);
        }
        loop {
            // At the end nobody may be left.
            let of_caller_max = if queues.closed { usize::MAX } else { self.of_caller_max };
            let Some((channel, caller)) = queues.take_turn(lane, of_caller_max) else {
                if queues.closed {
                    return None;
                }
                queues.idle[lane as usize].push(std::thread::current());
                drop(queues);
                std::thread::park();
                queues = self.lock();
                // Whoever woke it has taken it out, unless nobody did.
                let here = std::thread::current().id();
                queues.idle[lane as usize].retain(|idle| idle.id() != here);
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
                let to = if queues.closed { lane } else { self.lane_of(channel, caller) };
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
        let mut queues = self.0.lock();
        queues.closed = true;
        let idle = std::mem::take(&mut queues.idle);
        drop(queues);
        idle.iter().flatten().for_each(Thread::unpark);
    }
}

#[cfg(test)]
mod tests;
