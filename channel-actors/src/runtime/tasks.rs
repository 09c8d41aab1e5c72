//! Everything that a peer does beside answering requests starts here, and nowhere else (`clippy.toml` holds that):
//! tasks, tasks of arbiters, threads.
//!
//! What panics begins anew after a pause that grows; what panics again and again ends the peer with a reason
//! ([`Tasks::failed`]), because a peer that no longer watches revocations, and says nothing, is worse than none. How
//! often each began anew is in status and metrics. Nothing here blocks, and nothing ends without a word.

use crate::limits::{TASK_PAUSE_MAX, TASK_PAUSE_MIN, TASK_PROVEN, TASK_RESTARTS_MAX};
use actix::ArbiterHandle;
use ledger_classes::primitives::pause::pause_by;
use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::AbortHandle;

mod aside;

pub use aside::Aside;

/// The background work of a peer. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Tasks(Arc<TasksShared>);

#[derive(Debug)]
struct TasksShared {
    known: Mutex<BTreeMap<&'static str, Counts>>,
    failed: watch::Sender<Option<String>>,
    closing: AtomicBool,
}

impl Default for TasksShared {
    fn default() -> Self {
        Self { known: Mutex::default(), failed: watch::Sender::new(None), closing: AtomicBool::new(false) }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    running: u32,
    restarts: u64,
}

/// How one kind of background work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskState {
    /// What it is called.
    pub name: &'static str,
    /// How many of it run: more than one only for threads that share work.
    pub running: u32,
    /// How often it panicked and began anew.
    pub restarts: u64,
}

/// A task that can be ended. Dropping this ends nothing.
#[derive(Clone, Debug)]
pub struct Task(AbortHandle);

impl Task {
    /// Ends it at the next point where it waits.
    pub fn end(&self) {
        self.0.abort();
    }
}

impl Tasks {
    /// Starts a task on this thread, which must be an arbiter's. `body` makes it, again after each panic.
    #[expect(clippy::disallowed_methods, reason = "this is where tasks start")]
    pub fn start<F: Future + 'static>(&self, name: &'static str, body: impl FnMut() -> F + 'static) -> Task {
        Task(actix::spawn(self.clone().supervise(name, body)).abort_handle())
    }

    /// The same on the thread of `arbiter`.
    #[expect(clippy::disallowed_methods, reason = "this is where tasks start")]
    pub(crate) fn start_in<F: Future + 'static>(
        &self,
        arbiter: &ArbiterHandle,
        name: &'static str,
        body: impl FnMut() -> F + Send + 'static,
    ) {
        let tasks = self.clone();
        arbiter.spawn_fn(move || {
            actix::spawn(tasks.supervise(name, body));
        });
    }

    /// Starts a task that is not made again: its end, by itself or by a panic, is the end of the peer.
    pub fn start_once(&self, name: &'static str, work: impl Future + 'static) -> Task {
        let (tasks, mut work) = (self.clone(), Some(work));
        self.start(name, move || {
            let (tasks, work) = (tasks.clone(), work.take());
            async move {
                match work {
                    Some(work) => {
                        work.await;
                        tasks.fail(format!("the task {name} has ended"));
                    }
                    None => tasks.fail(format!("the task {name} panicked")),
                }
            }
        })
    }

    /// Runs a job to its end on the thread of `arbiter`; if it panics `broken` is told why.
    #[expect(clippy::disallowed_methods, reason = "this is where tasks start")]
    pub(crate) fn job<F: Future + 'static>(
        arbiter: &ArbiterHandle,
        work: impl FnOnce() -> F + Send + 'static,
        broken: impl FnOnce(String) + Send + 'static,
    ) {
        arbiter.spawn_fn(move || {
            actix::spawn(async move {
                if let Err(panic) = caught(work()).await {
                    broken(words(&*panic));
                }
            });
        });
    }

    /// Starts a thread that runs `body`, again after each panic, until that returns.
    ///
    /// # Errors
    /// The system has no more threads.
    #[expect(clippy::disallowed_methods, reason = "this is where threads start")]
    pub fn thread(&self, name: &'static str, mut body: impl FnMut() + Send + 'static) -> std::io::Result<()> {
        let tasks = self.clone();
        std::thread::Builder::new().name(name.into()).spawn(move || {
            let _running = tasks.running(name);
            let mut patience = Patience::default();
            loop {
                let began = Instant::now();
                let run = || {
                    break_now(name);
                    body();
                };
                let Err(panic) = catch_unwind(AssertUnwindSafe(run)) else { return };
                let Some(pause) = tasks.panicked(name, &*panic, &mut patience, began.elapsed()) else { return };
                let end = Instant::now() + pause;
                while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                    std::thread::park_timeout(left);
                }
            }
        })?;
        Ok(())
    }

    async fn supervise<F: Future>(self, name: &'static str, mut body: impl FnMut() -> F) {
        let _running = self.running(name);
        let mut patience = Patience::default();
        loop {
            let began = Instant::now();
            let Err(panic) = caught(broken_at_times(name, &mut body)).await else { return };
            let Some(pause) = self.panicked(name, &*panic, &mut patience, began.elapsed()) else { return };
            // Nothing else is waited for than that time passes.
            let _ = tokio::time::timeout(pause, std::future::pending::<()>()).await;
        }
    }

    /// Notes a panic. Returns the pause until the next beginning, or `None` if there is none.
    fn panicked(
        &self,
        name: &'static str,
        panic: &(dyn Any + Send),
        patience: &mut Patience,
        ran: Duration,
    ) -> Option<Duration> {
        let reason = words(panic);
        match patience.after(ran) {
            Some(pause) => {
                self.lock().entry(name).or_default().restarts += 1;
                let pause_ms = pause.as_millis();
                tracing::error!(task = name, reason, pause_ms, "a background task panicked; it begins anew");
                Some(pause)
            }
            None => {
                self.fail(format!("the task {name} panicked {} times in a row: {reason}", TASK_RESTARTS_MAX + 1));
                None
            }
        }
    }

    /// The peer cannot go on. The first reason counts.
    pub fn fail(&self, reason: String) {
        if self.0.closing.load(Ordering::Acquire) {
            return;
        }
        tracing::error!(reason, "the peer cannot go on");
        self.0.failed.send_if_modified(|failed| {
            let first = failed.is_none();
            failed.get_or_insert(reason);
            first
        });
    }

    /// Waits until the peer cannot go on, and says why.
    pub async fn failed(&self) -> String {
        let mut failed = self.0.failed.subscribe();
        match failed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // The sender lives in `self`.
            Err(_) => String::new(),
        }
    }

    /// Why the peer cannot go on, if it cannot.
    pub fn failure(&self) -> Option<String> {
        self.0.failed.borrow().clone()
    }

    /// The peer closes: from now on tasks may end.
    pub fn close(&self) {
        self.0.closing.store(true, Ordering::Release);
    }

    /// All of them, by name.
    pub fn list(&self) -> Vec<TaskState> {
        let state = |(name, counts): (&&'static str, &Counts)| TaskState {
            name,
            running: counts.running,
            restarts: counts.restarts,
        };
        self.lock().iter().map(state).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Counts>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self, name: &'static str) -> Running {
        self.lock().entry(name).or_default().running += 1;
        Running { tasks: self.clone(), name }
    }
}

/// Counts a task while it lives.
struct Running {
    tasks: Tasks,
    name: &'static str,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.lock().entry(self.name).or_default().running -= 1;
        // What supervises cannot be supervised.
        if std::thread::panicking() {
            self.tasks.fail(format!("the supervision of the task {} panicked", self.name));
        }
    }
}

/// How often a task panicked of late.
#[derive(Debug, Default)]
struct Patience {
    in_a_row: u32,
}

impl Patience {
    /// The pause after a run of so long that ended in a panic; `None` above the limit.
    fn after(&mut self, ran: Duration) -> Option<Duration> {
        self.in_a_row = if ran >= TASK_PROVEN { 1 } else { self.in_a_row + 1 };
        let doublings = self.in_a_row - 1;
        (self.in_a_row <= TASK_RESTARTS_MAX)
            .then(|| (TASK_PAUSE_MIN * 4u32.saturating_pow(doublings)).min(TASK_PAUSE_MAX))
    }
}

/// Runs what blocks on a thread for that. A panic in it is one of whoever waits.
#[expect(clippy::disallowed_methods, reason = "this is where work that blocks starts")]
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime ends, and with it whoever waits.
            Err(_) => std::future::pending().await,
        },
    }
}

/// From now on this thread gives way to others of the peer who want a processor too: each 5 of `nice` leave it a third of
/// the share at most, and in the middle of long work it offers its processor, which the scheduler would otherwise leave it for some
/// milliseconds. Where the system does not know priorities of threads, it is like others but for that.
pub(crate) fn give_way(nice: i32) {
    GIVES_WAY.set(nice > 0);
    if nice > 0 {
        pause_by(std::thread::yield_now);
    }
    // On Linux a thread's own matter. Without the right to it the work is only less polite.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(nice) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = nice;
}

thread_local! {
    static GIVES_WAY: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread runs at low priority.
pub(crate) fn gives_way() -> bool {
    GIVES_WAY.get()
}

/// What a panic said.
pub(crate) fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// Runs a future; a panic in it is an error.
async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    poll_fn(|context| {
        let poll = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        poll.map_or_else(|panic| std::task::Poll::Ready(Err(panic)), |poll| poll.map(Ok))
    })
    .await
}

/// How often tasks are still to panic, for the tests of what happens then.
static FAULTS: OnceLock<Mutex<BTreeMap<String, u32>>> = OnceLock::new();

/// From now on each task or thread of these names panics so often: a thread when it begins, a task in the middle, when it
/// is polled for the second time. For tests; the program itself never calls this.
#[doc(hidden)]
pub fn break_for_tests(times: BTreeMap<String, u32>) {
    *FAULTS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner) = times;
}

fn breaks(name: &str) -> bool {
    let Some(faults) = FAULTS.get() else { return false };
    let mut faults = faults.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(left) = faults.get_mut(name).filter(|left| **left > 0) else { return false };
    *left -= 1;
    true
}

fn break_now(name: &str) {
    if breaks(name) {
        panic!("a test breaks {name}");
    }
}

async fn broken_at_times<F: Future>(name: &str, body: &mut impl FnMut() -> F) -> F::Output {
    let mut work = pin!(body());
    let mut polled = false;
    poll_fn(|context| {
        if std::mem::replace(&mut polled, true) {
            break_now(name);
        } else if FAULTS.get().is_some() {
            context.waker().wake_by_ref();
        }
        work.as_mut().poll(context)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn pauses_grow_up_to_a_limit_and_a_long_run_is_forgiven() {
        let mut patience = Patience::default();
        let short = Duration::from_millis(1);
        let mut pauses = Vec::new();
        while let Some(pause) = patience.after(short) {
            pauses.push(pause);
        }
        assert_eq!(pauses.len(), TASK_RESTARTS_MAX as usize);
        assert!(
            pauses.is_sorted() && pauses[0] == TASK_PAUSE_MIN && pauses.iter().all(|pause| *pause <= TASK_PAUSE_MAX)
        );
        assert_eq!(patience.after(TASK_PROVEN), Some(TASK_PAUSE_MIN), "a run that was good");
    }

    #[actix::test]
    async fn a_task_that_panics_begins_anew_until_it_is_ended() {
        let (tasks, runs) = (Tasks::default(), Arc::new(AtomicU32::new(0)));
        let counted = runs.clone();
        let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
        let task = tasks.start("mended", move || {
            let (run, told) = (counted.fetch_add(1, Ordering::Relaxed), told.clone());
            async move {
                // In the middle, and in what it hands to another thread.
                tokio::task::yield_now().await;
                blocking(move || assert!(run >= 2, "run {run}")).await;
                let _ = told.send(run);
                std::future::pending::<()>().await;
            }
        });
        assert_eq!(tells.recv().await, Some(2));
        assert_eq!(tasks.list(), [TaskState { name: "mended", running: 1, restarts: 2 }]);
        task.end();
        while tasks.list()[0].running > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[actix::test]
    async fn a_task_that_nothing_can_begin_anew_ends_the_peer_with_its_end() {
        let tasks = Tasks::default();
        tasks.start_once("listener", async {});
        assert_eq!(tasks.failed().await, "the task listener has ended");
        let tasks = Tasks::default();
        tasks.start_once("listener", async { panic!("broken") });
        assert_eq!(tasks.failed().await, "the task listener panicked");
    }

    #[test]
    fn a_thread_that_panics_begins_anew_until_it_returns() {
        let tasks = Tasks::default();
        let (told, tells) = std::sync::mpsc::channel();
        let mut runs = 0;
        let body = move || {
            runs += 1;
            assert!(runs > 2, "run {runs}");
            told.send(runs).expect("the test waits");
        };
        tasks.thread("worker", body).expect("threads");
        assert_eq!(tells.recv_timeout(Duration::from_secs(60)), Ok(3));
        // The channel ends with the thread's body, after which it counts no more.
        assert!(tells.recv_timeout(Duration::from_secs(60)).is_err());
        assert_eq!(tasks.list()[0].restarts, 2);
    }
}
