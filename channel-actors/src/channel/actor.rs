//! The actor of a channel: a thin shell around its machine. Here mail, clock, pools and timers meet; nothing is decided
//! here.
//!
//! Whoever brings mail runs the machine where nobody does ([`Turn`]): waking another thread takes longer than most of what
//! the machine does, and a transaction passes it four times. Whoever finds it running leaves the mail there and goes; so
//! nobody waits for the machine, mail is taken in the order in which it came, and the machine runs on one thread at a time.
//! Who submits runs it for what it submits; a pool's thread for some mail more; the actor has the timer and whatever nobody
//! else is to be kept with: what comes after that, and what comes from a thread that gives way, on which others must not
//! wait.
//!
//! Running the machine never blocks; work goes to a pool and what comes of it returns as mail. `do_send` ignores a mailbox's
//! bound, so it is used only where something else bounds the sender: the actor is told once that there is mail.
//! Supervision: an actor that stops and was not told to (actix does not restart one that panicked) trips
//! the channel's halt; a panic of the machine, or on a pool, does the same.

use crate::block::replay::Opened;
use crate::limits::{MAILBOX, SHARDS_MAX, TURN_LETTERS_MAX, WAKE_MS_MAX};
use crate::pipeline::batcher::Submitted;
use crate::pipeline::effects::{ChannelLoop, Kind, Outcome, Shell, Work, Workplace};
use crate::pipeline::machine::ChannelMachine;
use crate::pipeline::ordering::{OrderingEngine, Ticket};
use crate::runtime::asker::Asker;
use crate::runtime::clock::Clock;
use crate::runtime::life::{Life, LifeCycle};
use crate::runtime::pool::{Panicked, WorkPool, has_promised};
use crate::runtime::random::random_seed;
use crate::runtime::tasks::{Tasks, gives_way, words};
use actix::dev::SendError;
use actix::prelude::*;
use ledger_classes::keys::Address;
use ledger_classes::primitives::time::Time;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// What a channel's actor works with.
pub(crate) struct ChannelContext {
    pub(crate) place: Arc<Workplace>,
    pub(crate) life: Life,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) verification: WorkPool,
    pub(crate) storage: WorkPool,
    pub(crate) checkpoints: WorkPool,
    pub(crate) reading: WorkPool,
    pub(crate) checkpoint_interval_ms: u64,
    /// The actor ends while the channel lives on: it is suspended.
    pub(crate) ends: AtomicBool,
}

impl ChannelContext {
    fn halt(&self, reason: impl Into<String>) {
        self.life.halt(&self.place.name, reason);
    }

    /// Whose threads do work of a kind.
    const fn pool(&self, kind: Kind) -> &WorkPool {
        match kind {
            Kind::Verify { .. } => &self.verification,
            Kind::Execute | Kind::ToDisk => &self.storage,
            Kind::Checkpoint => &self.checkpoints,
            Kind::OutcomeLookup => &self.reading,
        }
    }
}

/// Trips the halt when the actor is gone before it was to end.
struct Guard(Arc<ChannelContext>);

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.0.ends.load(Ordering::Acquire) {
            self.0.halt("the channel's actor stopped unexpectedly");
        }
    }
}

/// Transactions that have their credits.
pub(crate) struct Submit(pub(crate) Vec<Submitted>);

/// What is brought to a channel.
enum Letter {
    Submit(Vec<Submitted>),
    /// Work has come to an end, or has had its turn.
    Done(Outcome),
    /// Time has passed.
    Tick,
    /// The channel would be suspended. It agrees if nothing is under way, nor a timer due before `soon`; then nothing
    /// more is begun.
    Retire {
        soon: Time,
        agrees: oneshot::Sender<bool>,
    },
}

/// What waits for the machine.
#[derive(Default)]
struct Mail {
    letters: VecDeque<Letter>,
    /// How many of them are submissions.
    submissions: usize,
    /// Somebody has the turn.
    taken: bool,
    /// The actor has ended.
    ended: bool,
}

/// A channel that works: its machine, and the mail for it.
struct WorkingChannel {
    context: Arc<ChannelContext>,
    actor: Addr<ChannelActor>,
    mail: Mutex<Mail>,
    /// Of whoever has the turn; nobody else locks it. None once the actor has ended.
    channel: Mutex<Option<ChannelLoop<Pools>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl WorkingChannel {
    /// Leaves a letter. Whoever is given the turn has to see to it.
    fn leave(self: &Arc<Self>, letter: Letter) -> Option<Turn> {
        let mut mail = lock(&self.mail);
        if mail.ended {
            drop(mail);
            // Whoever waits is told by that.
            drop(letter);
            return None;
        }
        mail.submissions += usize::from(matches!(letter, Letter::Submit(_)));
        mail.letters.push_back(letter);
        let free = !std::mem::replace(&mut mail.taken, true);
        drop(mail);
        free.then(|| Turn { working: self.clone(), ended: false })
    }

    /// The oldest letter. None ends the turn.
    fn next(&self) -> Option<Letter> {
        let mut mail = lock(&self.mail);
        let letter = mail.letters.pop_front();
        if mail.ended {
            drop((mail, letter));
            self.end();
            return None;
        }
        match &letter {
            Some(Letter::Submit(_)) => mail.submissions -= 1,
            Some(_) => {}
            None => mail.taken = false,
        }
        letter
    }

    fn read(&self, letter: Letter) {
        let mut channel = lock(&self.channel);
        let Some(channel) = &mut *channel else { return };
        match letter {
            Letter::Submit(arrivals) => channel.submit(arrivals),
            Letter::Done(outcome) => {
                channel.shell.under_way -= 1;
                channel.done(outcome);
            }
            Letter::Tick => {
                channel.shell.timer = None;
                channel.tick();
            }
            // Who asked may have gone.
            Letter::Retire { soon, agrees } => drop(agrees.send(channel.retire(soon))),
        }
        if let Some(at) = channel.shell.timer_to_set() {
            self.actor.do_send(WakeAt(at));
        }
    }

    /// Nothing is taken any more. Whoever waits is told.
    fn end(&self) {
        let mut mail = lock(&self.mail);
        mail.ended = true;
        let letters = std::mem::take(&mut mail.letters);
        drop(mail);
        drop(letters);
        let channel = match self.channel.try_lock() {
            Ok(mut channel) => channel.take(),
            // It has panicked: nobody knows how far it has come.
            Err(TryLockError::Poisoned(channel)) => channel.into_inner().take(),
            // Whoever runs it does this then.
            Err(TryLockError::WouldBlock) => None,
        };
        drop(channel);
    }
}

/// The right to run the machine, and the duty: if it is dropped the actor does it.
#[must_use]
pub(crate) struct Turn {
    working: Arc<WorkingChannel>,
    /// No letter is left.
    ended: bool,
}

impl Turn {
    /// Takes one letter: whoever has brought it does nothing of others.
    pub(crate) fn take_one(self) {
        self.take(1);
    }

    fn take(mut self, most: usize) {
        let working = self.working.clone();
        let run = || read_letters(most, || working.next(), |letter| working.read(letter));
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(ended) => self.ended = ended,
            Err(panic) => {
                self.ended = true;
                working.context.halt(format!("the channel's machine panicked: {}", words(&*panic)));
                working.end();
            }
        }
    }
}

/// Reads letters, but no more once the machine has asked for work that this thread has promised to do next: that would wait
/// for what the others ask for. False if some may be left: they are the actor's.
fn read_letters<L>(most: usize, mut next: impl FnMut() -> Option<L>, mut read: impl FnMut(L)) -> bool {
    for _ in 0..most {
        let Some(letter) = next() else { return true };
        read(letter);
        if has_promised() {
            return false;
        }
    }
    false
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mut mail = lock(&self.working.mail);
        if mail.ended {
            drop(mail);
            return self.working.end();
        }
        if mail.letters.is_empty() {
            mail.taken = false;
            return;
        }
        drop(mail);
        self.working.actor.do_send(GoOn);
    }
}

/// The actor begins, with the machine.
#[derive(Message)]
#[rtype(result = "()")]
struct Begin(Arc<WorkingChannel>);

/// There is mail, and nobody else who takes it.
#[derive(Clone, Copy, Message)]
#[rtype(result = "()")]
struct GoOn;

/// The machine wants to be called then.
#[derive(Clone, Copy, Message)]
#[rtype(result = "()")]
struct WakeAt(Instant);

/// Ends the actor.
#[derive(Clone, Copy, Message)]
#[rtype(result = "()")]
struct Stop;

/// The pools, the clock and the actor's timer.
struct Pools {
    context: Arc<ChannelContext>,
    working: Weak<WorkingChannel>,
    /// When the machine wants to be called, where no timer is set for that yet.
    wake: Option<Instant>,
    /// When the actor's timer will be due.
    timer: Option<Instant>,
    /// Work that was asked for and has not come back.
    under_way: usize,
}

impl Pools {
    /// When the timer is to be due, if that is earlier than it will be. Early is harmless: the machine asks again.
    fn timer_to_set(&mut self) -> Option<Instant> {
        let wake = self.wake.take()?;
        let earlier = self.timer.is_none_or(|timer| wake < timer);
        if earlier {
            self.timer = Some(wake);
        }
        earlier.then_some(wake)
    }
}

impl Shell for Pools {
    fn now(&self) -> Time {
        self.context.clock.now()
    }

    fn crowded(&self) -> bool {
        self.context.verification.crowded(self.context.place.channel)
    }

    fn seed(&mut self) -> [u8; 32] {
        random_seed()
    }

    fn run(&mut self, mut work: Work) {
        // What is verified alone is executed and persisted at once, by the thread that does it: see `Work::alone`.
        let alone = self.under_way == 0
            && work.is_quick()
            && !self.crowded()
            && self.context.storage.has_idle(self.context.place.channel);
        if alone {
            work.alone();
        }
        self.under_way += 1;
        let (kind, small) = (work.kind, work.is_small());
        let (place, working) = (self.context.place.clone(), self.working.clone());
        let mut lost = work.outcome();
        let done = move |result: Result<Outcome, Panicked>| {
            let outcome = result.unwrap_or_else(|panicked| {
                lost.fail(&panicked.to_string());
                lost
            });
            // The actor may have ended.
            let turn = working.upgrade().and_then(|working| working.leave(Letter::Done(outcome)));
            if let Some(turn) = turn.filter(|_| !gives_way()) {
                turn.take(TURN_LETTERS_MAX);
            }
        };
        let caller = match kind {
            Kind::Verify { caller, .. } => caller,
            _ => Asker::PEER,
        };
        let pool = if alone { &self.context.storage } else { self.context.pool(kind) };
        let (channel, work) = (self.context.place.channel, move || work.run(&place));
        match small {
            true => pool.run_next(channel, caller, work, done),
            false => pool.run_for(channel, caller, work, done),
        }
    }

    fn wake_in(&mut self, millis: u64) {
        let at = Instant::now() + Duration::from_millis(millis.clamp(1, WAKE_MS_MAX));
        self.wake = Some(self.wake.map_or(at, |earlier| earlier.min(at)));
    }

    /// The only engine of the product promises nothing to anybody.
    fn persist(&mut self, _: Ticket, _: Vec<u8>, _: bool) {
        self.context.halt("an ordering engine wants to keep a record, and this peer has no log for that");
    }

    fn send(&mut self, to: Address, _: Vec<u8>) {
        self.context.halt(format!("an ordering engine wants to tell {to} something, and this peer has no link"));
    }

    fn halt(&mut self, reason: String) {
        self.context.halt(reason);
    }
}

struct ChannelActor {
    /// None before it has begun.
    working: Option<Arc<WorkingChannel>>,
    timer: Option<SpawnHandle>,
    _guard: Guard,
}

impl ChannelActor {
    fn tick(&self) {
        let turn = self.working.as_ref().and_then(|working| working.leave(Letter::Tick));
        turn.into_iter().for_each(|turn| turn.take(TURN_LETTERS_MAX));
    }
}

impl Actor for ChannelActor {
    type Context = Context<Self>;
}

impl Handler<Begin> for ChannelActor {
    type Result = ();

    fn handle(&mut self, Begin(working): Begin, _: &mut Self::Context) {
        self.working = Some(working);
        self.tick();
    }
}

impl Handler<GoOn> for ChannelActor {
    type Result = ();

    fn handle(&mut self, GoOn: GoOn, _: &mut Self::Context) {
        // Whoever has told it has left its turn. What comes meanwhile has its turn after other channels of this thread.
        let turn = self.working.as_ref().map(|working| Turn { working: working.clone(), ended: false });
        turn.into_iter().for_each(|turn| turn.take(TURN_LETTERS_MAX));
    }
}

impl Handler<WakeAt> for ChannelActor {
    type Result = ();

    fn handle(&mut self, WakeAt(at): WakeAt, actor: &mut Self::Context) {
        // It is earlier than the one before.
        if let Some(later) = self.timer.take() {
            actor.cancel_future(later);
        }
        let delay = at.saturating_duration_since(Instant::now());
        self.timer = Some(actor.run_later(delay, |actor, _| {
            actor.timer = None;
            actor.tick();
        }));
    }
}

impl Handler<Stop> for ChannelActor {
    type Result = ();

    fn handle(&mut self, _: Stop, actor: &mut Self::Context) {
        actor.stop();
    }
}

/// A channel whose actor runs. That ends when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct ActiveChannel {
    working: Arc<WorkingChannel>,
    _runs: Arc<watch::Sender<()>>,
}

impl ActiveChannel {
    /// Passes a submission on, if there is room for it. Whoever is given the turn is to take it once it holds no lock.
    pub(crate) fn try_submit(&self, submit: Submit) -> Result<Option<Turn>, SendError<Submit>> {
        let mail = lock(&self.working.mail);
        let (full, ended) = (mail.submissions >= MAILBOX, mail.ended);
        drop(mail);
        match (ended, full) {
            (true, _) => Err(SendError::Closed(submit)),
            (false, true) => Err(SendError::Full(submit)),
            (false, false) => Ok(self.working.leave(Letter::Submit(submit.0))),
        }
    }

    /// Passes a submission on that waited elsewhere: something else bounds it.
    pub(crate) fn submit(&self, Submit(arrivals): Submit) {
        drop(self.working.leave(Letter::Submit(arrivals)));
    }

    /// Asks to end the actor. True if nothing is under way and no timer is due before `soon`: then nothing more is begun.
    pub(crate) async fn retire(&self, soon: Time) -> bool {
        let (agrees, agreed) = oneshot::channel();
        let turn = self.working.leave(Letter::Retire { soon, agrees });
        turn.into_iter().for_each(Turn::take_one);
        // One that has ended has halted the channel, which needs no suspension.
        agreed.await.unwrap_or(false)
    }
}

/// Starts the actor of an opened channel in `arbiter`.
pub(crate) fn start(
    context: Arc<ChannelContext>,
    opened: &Opened,
    engine: Box<dyn OrderingEngine>,
    shards: usize,
    arbiter: &ArbiterHandle,
) -> ActiveChannel {
    let (proposer, interval) = (context.place.proposer, context.checkpoint_interval_ms);
    let machine = ChannelMachine::new(opened, engine, proposer, shards.clamp(1, SHARDS_MAX), interval);
    let guard = Guard(context.clone());
    let actor =
        ChannelActor::start_in_arbiter(arbiter, move |_| ChannelActor { working: None, timer: None, _guard: guard });
    let working = Arc::new_cyclic(|working| {
        let shell = Pools { context: context.clone(), working: working.clone(), wake: None, timer: None, under_way: 0 };
        let channel = ChannelLoop::new(machine, context.place.clone(), shell);
        WorkingChannel {
            context: context.clone(),
            actor: actor.clone(),
            mail: Mutex::default(),
            channel: Mutex::new(Some(channel)),
        }
    });
    actor.do_send(Begin(working.clone()));
    let (runs, mut ends) = watch::channel(());
    let active = ActiveChannel { working, _runs: Arc::new(runs) };
    let mut life = context.life.follow();
    let (of_halt, of_ending) = (context.clone(), active.working.clone());
    let ending = async move {
        let ended = |state: &LifeCycle| matches!(state, LifeCycle::Halted { .. } | LifeCycle::Closed);
        // The sender lives in `context`, which the actor holds: an error means that it is gone already.
        tokio::select! {
            _ = life.wait_for(ended) => {}
            _ = ends.changed() => {}
        }
        context.ends.store(true, Ordering::Release);
        of_ending.end();
        actor.do_send(Stop);
    };
    Tasks::job(arbiter, move || ending, move |reason| of_halt.halt(format!("ending its actor panicked: {reason}")));
    active
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger_classes::primitives::hash::Hash;
    use std::sync::mpsc;

    /// A thread that had promised to go on with a block read up to 64 letters first.
    #[test]
    fn who_has_promised_a_job_reads_no_letter_before_it() {
        let pool = WorkPool::new(&Tasks::default(), "test", 1).expect("threads");
        let (channel, of_pool) = (Hash([1; 32]), pool.clone());
        let (told, tell) = mpsc::channel();
        let done = move |_| {
            let (mut letters, mut read) = (0..10, 0);
            let ended = read_letters(
                TURN_LETTERS_MAX,
                || letters.next(),
                |letter| {
                    read += 1;
                    // The fourth letter asks for work.
                    if letter == 3 {
                        of_pool.run_next(channel, Asker::PEER, || (), |_| {});
                    }
                },
            );
            told.send((ended, read)).expect("the test waits");
        };
        pool.run(channel, || (), done);
        assert_eq!(tell.recv_timeout(Duration::from_secs(60)), Ok((false, 4)));
        // Who is of no pool reads as many as it may.
        let mut letters = 0..10;
        assert!(!read_letters(7, || letters.next(), drop));
        assert!(read_letters(7, || letters.next(), drop));
    }
}
