//! The scheduler: what happens next in virtual time, and what goes wrong.

use super::clients::{BEGIN, CLIENTS, Client, Out, PREPARED, Prepared, seal_key};
use super::disk::{Fault, Image, Loss, Machine};
use super::fickle::Fickle;
use super::ledger::Ledger;
use super::{BLOCKS_MIN, FAULTS_MIN, FaultKind, KINDS_MIN, Mutant, Random, Report, Trace};
use crate::asker::Asker;
use crate::dealer::Arrival;
use crate::door::Doors;
use crate::effects::{ChannelLoop, Kind, Outcome, Shell, Task, Work, Workplace};
use crate::halt::{Life, LifeCycle};
use crate::index::Index;
use crate::limits::WAKE_MS_MAX;
use crate::machine::{ChannelMachine, Input};
use crate::memory;
use crate::metrics::Metrics;
use crate::opening::{self, Opened, Step};
use crate::ordering::{OrderingEngine, Solo, Ticket};
use crate::production::Execution;
use crate::shared::Shared;
use crate::store::{Share, StoreOptions};
use crate::ticket::{Credits, Submission, SubmitRefusal, SubmitResult, Wait, submission};
use ledger_classes::chain::CommittedIds;
use ledger_classes::keys::Address;
use ledger_classes::participant::NoCertificates;
use ledger_classes::state::ReadError;
use ledger_classes::time::Time;
use ledger_classes::transaction::{TransactionError, VerifiedTransaction};
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::future::Future as _;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The file that a machine has the log in, and that of the state.
const LOG: usize = 0;
const STATE: usize = 1;
const JOURNAL: usize = 2;
/// Bytes between door and commit: so few that a flood finds no room.
const IN_FLIGHT: usize = 60_000;
/// Steps after which a run has gone astray.
const STEPS_MAX: u64 = 400_000;

/// What happens at a time.
enum Event {
    /// A thread takes up work.
    Begin(Work),
    /// What came of it is brought back.
    Bring(Outcome),
    /// A record of the ordering engine's is said to be on the disk.
    Recorded { ticket: Ticket, there: bool },
    /// The ordering engine hears something.
    Message(Vec<u8>),
    /// The timer of the channel.
    Wake,
    /// A client sends.
    Client(usize),
    /// The peer is started.
    Start(Box<Image>),
    /// The disk takes writes again.
    Mend,
}

impl Event {
    /// Whether it ends with the peer's process.
    const fn is_of_process(&self) -> bool {
        !matches!(self, Self::Client(_) | Self::Start(_))
    }
}

/// What the loop asked for and was not scheduled yet.
struct Desk {
    now: Time,
    work: Vec<Work>,
    wake: Option<u64>,
    halted: Option<String>,
    seeds: u64,
    records: Vec<Ticket>,
    said: Vec<Vec<u8>>,
    /// The last record on the disk.
    recorded: Ticket,
}

impl Shell for Desk {
    fn now(&self) -> Time {
        self.now
    }

    fn crowded(&self) -> bool {
        false
    }

    fn seed(&mut self) -> [u8; 32] {
        self.seeds += 1;
        let mut seed = [1; 32];
        seed[..8].copy_from_slice(&self.seeds.to_le_bytes());
        seed
    }

    fn run(&mut self, work: Work) {
        self.work.push(work);
    }

    fn wake_in(&mut self, millis: u64) {
        self.wake = Some(self.wake.map_or(millis, |earlier| earlier.min(millis)));
    }

    fn persist(&mut self, ticket: Ticket, _: Vec<u8>) {
        self.records.push(ticket);
    }

    fn send(&mut self, _: Address, bytes: Vec<u8>) {
        self.said.push(bytes);
    }

    fn halt(&mut self, reason: String) {
        self.halted.get_or_insert(reason);
    }
}

/// A process that serves.
struct Process {
    channel: ChannelLoop<Desk>,
    credits: Arc<Credits>,
    share: Share,
    /// When the timer goes off.
    wake: Option<u64>,
    /// For which fault it may halt.
    excuse: Option<FaultKind>,
    /// The next work panics.
    panics: bool,
}

/// An index that forgets, of a mutant.
struct Forgetful;

impl CommittedIds for Forgetful {
    fn have(&self, transactions: &[VerifiedTransaction]) -> Result<Vec<bool>, ReadError> {
        Ok(vec![false; transactions.len()])
    }
}

/// Everything.
pub(super) struct World {
    random: Random,
    trace: Trace,
    mutant: Option<Mutant>,
    prepared: &'static Prepared,
    options: StoreOptions,
    checkpoint_interval_ms: u64,
    /// Whether the engine keeps records and loses blocks.
    fickle: bool,
    discards: Arc<AtomicU64>,
    base: Instant,
    /// Milliseconds since the beginning, and how far the clock on the wall is ahead of them.
    now: u64,
    skew: i64,
    agenda: BTreeMap<(u64, u64), Event>,
    events: u64,
    machine: Machine,
    process: Option<Process>,
    clients: Vec<Client>,
    ledger: Ledger,
    kinds: Vec<FaultKind>,
    faults: BTreeMap<FaultKind, u64>,
    /// The height at which the next fault comes.
    fault_at: u64,
    heals: bool,
    slow_until: u64,
    full_until: u64,
    rots_named: u64,
    /// Something was read wrong, and what came of that may have been written into the state file.
    misread: bool,
    /// Of the mutant that acknowledges before it syncs: until when how much of the disk's work is not there.
    unsynced: Option<(u64, usize)>,
}

impl World {
    pub(super) fn new(seed: u64, mutant: Option<Mutant>, lines: bool) -> Self {
        let mut random = Random(seed);
        let mut bytes = || [0, 16 << 10, 256 << 10][random.below(3)];
        let options = StoreOptions {
            log_cache_bytes: bytes(),
            state_cache_bytes: bytes(),
            journal_bytes_max: bytes(),
            tree_bytes: [0, 1 << 20][random.below(2)],
            dirty_bytes_max: random.choose(&[20_000, 1 << 20]),
            checkpoint_interval_ms: u64::MAX,
            ..StoreOptions::default()
        };
        let mut kinds = FaultKind::ALL.to_vec();
        while kinds.len() > KINDS_MIN && !random.one_in(4) {
            kinds.remove(random.below(kinds.len()));
        }
        Self {
            checkpoint_interval_ms: random.choose(&[100, 1_000, 60_000]),
            discards: Arc::default(),
            fickle: mutant == Some(Mutant::RecordedBeforeSync) || random.one_in(2),
            random,
            trace: Trace { keeps: lines, ..Trace::default() },
            mutant,
            prepared: &PREPARED,
            options,
            base: Instant::now(),
            now: 0,
            skew: 0,
            agenda: BTreeMap::new(),
            events: 0,
            machine: Machine::default(),
            process: None,
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            ledger: Ledger::default(),
            kinds,
            faults: BTreeMap::new(),
            fault_at: 3,
            heals: false,
            slow_until: 0,
            full_until: 0,
            rots_named: 0,
            misread: false,
            unsynced: None,
        }
    }

    pub(super) fn report(self) -> Report {
        Report {
            blocks: self.ledger.height(),
            transactions: self.ledger.transactions(),
            faults: self.faults,
            rots_named: self.rots_named,
            discards: self.discards.load(Ordering::Relaxed),
            digest: self.trace.digest,
            lines: self.trace.lines,
            failure: None,
        }
    }

    fn say(&mut self, line: std::fmt::Arguments<'_>) {
        self.trace.add(self.now, line);
    }

    fn wall(&self) -> Time {
        let since = i64::try_from(self.now).unwrap_or(i64::MAX).saturating_add(self.skew);
        Time::from_millis(BEGIN.millis().saturating_add_signed(since))
    }

    fn at(&mut self, delay: u64, event: Event) {
        self.events += 1;
        self.agenda.insert((self.now + delay, self.events), event);
    }

    fn delay(&mut self, most: usize) -> u64 {
        self.random.below(most + 1) as u64
    }

    /// The whole run.
    pub(super) fn run(&mut self) -> Result<(), String> {
        opening::create(&self.machine, self.options, &self.prepared.config)?;
        self.ledger.begin(self.prepared.channel);
        let image = Box::new(self.machine.live());
        self.at(0, Event::Start(image));
        for client in 0..CLIENTS {
            self.at(1, Event::Client(client));
        }
        let mut steps = 0;
        while !self.is_over() {
            steps += 1;
            if steps > STEPS_MAX {
                return Err("the run does not come to an end".into());
            }
            let Some(((time, _), event)) = self.agenda.pop_first() else {
                return Err("nothing happens any more, and somebody waits".into());
            };
            self.now = self.now.max(time);
            self.happens(event)?;
        }
        self.end()
    }

    /// Whether everything was sent, and everybody has an answer.
    fn is_over(&mut self) -> bool {
        let enough = self.ledger.height() >= BLOCKS_MIN
            && self.faults.values().sum::<u64>() >= FAULTS_MIN
            && self.faults.len() >= KINDS_MIN;
        if enough && !self.heals {
            self.heals = true;
            (self.slow_until, self.full_until) = (0, 0);
            self.say(format_args!("everything is whole again"));
            // What was read wrong before stays unread as long as the process lives.
            if self.process.is_some() {
                let image = self.machine.live();
                let image = self.without_misread(image);
                self.stops(image);
            }
        }
        let busy = |event: &Event| !matches!(event, Event::Client(_) | Event::Wake | Event::Mend);
        self.heals
            && self.process.is_some()
            && self.clients.iter().all(Client::is_content)
            && !self.agenda.values().any(busy)
    }

    fn happens(&mut self, event: Event) -> Result<(), String> {
        let now = self.wall();
        match event {
            Event::Client(client) => {
                let delay = 1 + self.delay(30);
                self.at(delay, Event::Client(client));
                self.sends(client, self.ledger.height() < BLOCKS_MIN);
            }
            Event::Start(image) => return self.start(&image),
            Event::Mend => self.machine.mend(),
            Event::Recorded { ticket, there } => {
                let Some(process) = &mut self.process else { return Ok(()) };
                process.channel.shell.now = now;
                if there {
                    process.channel.shell.recorded = ticket;
                }
                process.channel.on([Input::Persisted(ticket)]);
            }
            Event::Message(bytes) => {
                let Some(process) = &mut self.process else { return Ok(()) };
                process.channel.shell.now = now;
                let from = process.channel.place.proposer;
                process.channel.on([Input::Message { from, bytes }]);
            }
            Event::Wake => {
                let Some(process) = &mut self.process else { return Ok(()) };
                process.wake = None;
                process.channel.shell.now = now;
                process.channel.tick();
            }
            Event::Begin(work) => self.begins(work),
            Event::Bring(outcome) => {
                let Some(process) = &mut self.process else { return Ok(()) };
                process.channel.shell.now = now;
                process.channel.done(outcome);
            }
        }
        self.follow()
    }

    /// A client sends something, if the door lets it in.
    fn sends(&mut self, client: usize, fresh: bool) {
        let numbers = self.clients[client].chooses(&mut self.random, fresh);
        let now = self.wall();
        let full = self.now < self.full_until;
        let Some(process) = self.process.as_mut().filter(|_| !full && !numbers.is_empty()) else {
            return self.clients[client].has_none(numbers);
        };
        let envelopes: Vec<_> = numbers.iter().map(|number| &self.prepared.envelopes[client][*number]).collect();
        let asker = Asker::from_number(client as u64 + 1);
        let sizes = envelopes.iter().map(|(_, envelope)| u32::try_from(envelope.payload.len()).unwrap_or(u32::MAX));
        let Some(credits) = process.credits.take(asker, sizes) else {
            return self.clients[client].has_none(numbers);
        };
        let wait = if self.random.one_in(8) { Wait::Accepted } else { Wait::Committed };
        let (submission, waiters) = submission(numbers.len(), wait);
        let arrived = self.base + Duration::from_millis(self.now);
        let arrivals = envelopes.iter().zip(waiters).zip(credits).map(|(((id, envelope), waiter), credit)| {
            self.ledger.came(*id, client);
            Arrival::new(envelope.clone(), asker, waiter, credit, arrived)
        });
        let arrivals = arrivals.collect();
        process.channel.shell.now = now;
        process.channel.submit(arrivals);
        self.trace.add(self.now, format_args!("client {client} sends {numbers:?}"));
        self.clients[client].out.push(Out { numbers, submission });
    }

    /// A thread takes up work.
    fn begins(&mut self, work: Work) {
        let Some(process) = &mut self.process else { return };
        if matches!(work.kind, Kind::ToDisk | Kind::Checkpoint) && self.now < self.full_until {
            let delay = self.full_until - self.now;
            return self.at(delay, Event::Begin(work));
        }
        let kind = work.kind;
        let before = self.machine.moments_count() - 1;
        let outcome = if std::mem::take(&mut process.panics) {
            let mut lost = work.outcome();
            lost.fail("panicked: a bug");
            lost
        } else {
            let place = process.channel.place.clone();
            done(work, &place, self.mutant)
        };
        let slow = matches!(kind, Kind::ToDisk | Kind::Checkpoint) && self.now < self.slow_until;
        let delay = if slow { 100 + self.delay(500) } else { self.delay(4) };
        if self.mutant == Some(Mutant::AcknowledgedBeforeSync) && kind == Kind::ToDisk {
            let unsynced = self.unsynced.filter(|(until, _)| *until > self.now).map_or(before, |(_, from)| from);
            self.unsynced = Some((self.now + 5 + delay, unsynced));
            return self.at(0, Event::Bring(outcome));
        }
        self.at(delay, Event::Bring(outcome));
    }

    /// After each step: what the channel wants, tells and answers.
    fn follow(&mut self) -> Result<(), String> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let desk = &mut process.channel.shell;
        let (work, records) = (std::mem::take(&mut desk.work), std::mem::take(&mut desk.records));
        let (said, recorded) = (std::mem::take(&mut desk.said), desk.recorded);
        if let Some(millis) = process.channel.shell.wake.take() {
            let wake = self.now + millis.clamp(1, WAKE_MS_MAX);
            if process.wake.is_none_or(|earlier| wake < earlier) {
                process.wake = Some(wake);
                self.agenda.retain(|_, event| !matches!(event, Event::Wake));
                self.at(wake - self.now, Event::Wake);
            }
        }
        for work in work {
            let delay = self.delay(2);
            self.at(delay, Event::Begin(work));
        }
        self.orders(records, said, recorded)?;
        self.blocks()?;
        self.answers()?;
        let Some(process) = &mut self.process else { return Ok(()) };
        if let Some(reason) = process.channel.shell.halted.take() {
            let excuse = process.excuse;
            self.say(format_args!("halts: {reason}"));
            if excuse.is_none() && !self.misread {
                return Err(format!("the channel halted: {reason}"));
            }
            let operations = self.machine.moments_count() - 1;
            // What a sync that failed should have brought may be lost.
            let image = self.machine.image_after(operations, Loss::Nothing, &mut self.random);
            let image = self.without_misread(image);
            self.stops(image);
            return Ok(());
        }
        if !self.heals && self.ledger.height() >= self.fault_at {
            self.fault_at = self.ledger.height() + 4 + self.random.below(9) as u64;
            return self.goes_wrong();
        }
        Ok(())
    }

    /// What the ordering engine keeps and says.
    fn orders(&mut self, records: Vec<Ticket>, said: Vec<Vec<u8>>, recorded: Ticket) -> Result<(), String> {
        for ticket in records {
            let slow = if self.now < self.slow_until { self.delay(500) } else { self.delay(6) };
            // One after the other.
            let last = self.agenda.iter().rev().find(|(_, event)| matches!(event, Event::Recorded { there: true, .. }));
            let after = last.map_or(0, |((time, _), _)| time.saturating_sub(self.now));
            self.at(after.max(slow), Event::Recorded { ticket, there: true });
            if self.mutant == Some(Mutant::RecordedBeforeSync) {
                self.at(0, Event::Recorded { ticket, there: false });
            }
        }
        for bytes in said {
            let ticket = bytes.as_slice().try_into().map_or(Ticket::MAX, Ticket::from_le_bytes);
            self.promised(ticket, recorded)?;
            let delay = self.delay(5);
            self.at(delay, Event::Message(bytes));
        }
        Ok(())
    }

    /// Something was said that a record promises.
    fn promised(&mut self, ticket: Ticket, recorded: Ticket) -> Result<(), String> {
        self.say(format_args!("says what record {ticket} promises"));
        if ticket > recorded {
            return Err(format!(
                "what record {ticket} promises was said, and record {recorded} is the last on the disk"
            ));
        }
        Ok(())
    }

    /// Takes what is told of blocks.
    fn blocks(&mut self) -> Result<(), String> {
        let Some(process) = &self.process else { return Ok(()) };
        let place = process.channel.place.clone();
        while self.ledger.height() < place.shared.tip().height {
            let height = self.ledger.height() + 1;
            let block = place.shared.ring.block(height).ok_or("a block that was told is not published")?;
            self.ledger.told(&block)?;
            let (count, hash) = (block.block.transactions.len(), block.header_hash);
            self.say(format_args!("block {height} {hash} of {count}"));
        }
        Ok(())
    }

    fn answers(&mut self) -> Result<(), String> {
        for client in 0..CLIENTS {
            let mut answered = Vec::new();
            for mut out in std::mem::take(&mut self.clients[client].out) {
                match answers_of(&mut out.submission) {
                    None => self.clients[client].out.push(out),
                    Some(results) => answered.extend(out.numbers.into_iter().zip(results)),
                }
            }
            for (number, result) in answered {
                self.answer(client, number, result)?;
            }
        }
        Ok(())
    }

    fn answer(&mut self, client: usize, number: usize, result: SubmitResult) -> Result<(), String> {
        let id = self.prepared.envelopes[client][number].0;
        match result {
            SubmitResult::Committed { receipt, .. } => {
                self.ledger.answered(&id, &receipt)?;
                self.clients[client].knows(number);
                self.say(format_args!("client {client} knows {number} of {}", receipt.head.height));
            }
            // It wants to know what becomes of it.
            SubmitResult::Accepted { .. } => self.clients[client].has_none([number]),
            SubmitResult::Refused { refusal, .. } => {
                self.say(format_args!("client {client} is refused {number}: {refusal}"));
                let out = self.clients[client].is_out(number);
                if !out {
                    self.ledger.went(&id);
                }
                match refusal {
                    SubmitRefusal::Transaction(TransactionError::Expired(_)) if !out => {
                        self.ledger.refused(id)?;
                        self.clients[client].knows(number);
                    }
                    SubmitRefusal::Transaction(TransactionError::Expired(_))
                    | SubmitRefusal::Busy { .. }
                    | SubmitRefusal::Disk(_)
                    | SubmitRefusal::Stopped { .. } => self.clients[client].has_none([number]),
                    other => return Err(format!("{id} was refused: {other}")),
                }
            }
        }
        Ok(())
    }

    /// A fault comes.
    fn goes_wrong(&mut self) -> Result<(), String> {
        let so_far = self.faults.values().sum::<u64>();
        // Each of the run's kinds in turn, so that none is left out.
        let kind = self.kinds[usize::try_from(so_far).unwrap_or_default() % self.kinds.len()];
        *self.faults.entry(kind).or_default() += 1;
        self.say(format_args!("fault: {kind:?}"));
        let left = self.random.below(12) as u64;
        let place = self.random.below(5_000);
        if kind.may_halt()
            && let Some(process) = &mut self.process
        {
            process.excuse = Some(kind);
        }
        match kind {
            FaultKind::PowerLoss => {
                let image = self.power_loss();
                self.stops(image);
            }
            FaultKind::Kill => {
                let image = self.machine.live();
                self.stops(image);
            }
            FaultKind::SlowDisk => self.slow_until = self.now + 500 + self.delay(2_000),
            FaultKind::FullDisk => self.full_until = self.now + 100 + self.delay(1_000),
            FaultKind::NoRoom => {
                let fault = self.random.choose(&[Fault::Write, Fault::ShortWrite, Fault::SetLength]);
                self.machine.arm(self.random.choose(&[LOG, STATE, JOURNAL]), fault, left, place);
                self.at(500, Event::Mend);
            }
            FaultKind::FailedSync => {
                self.machine.arm(self.random.choose(&[LOG, STATE, JOURNAL]), Fault::Sync, left, place);
            }
            // The state file alone: what is wrong in that is made anew from the log.
            FaultKind::Misread => {
                self.misread = true;
                self.machine.arm(STATE, Fault::Flip, left, place);
            }
            FaultKind::Rot => return self.rots(),
            FaultKind::ClockJump => {
                let jump = self.random.below(1_200_000) as i64 - 600_000;
                self.skew = (self.skew + jump).clamp(-3_000_000, 10_000_000);
            }
            FaultKind::Overload => {
                for number in 0..40 {
                    let fresh = self.ledger.height() < BLOCKS_MIN / 2;
                    self.sends(number % CLIENTS, fresh);
                }
                // The channel goes on with what it wanted meanwhile.
                return self.follow();
            }
            FaultKind::Panic => {
                if let Some(process) = &mut self.process {
                    process.panics = true;
                }
            }
        }
        Ok(())
    }

    /// The disk after a power loss, now or in the middle of what is under way.
    fn power_loss(&mut self) -> Image {
        let loss = self.random.choose(&Loss::ALL);
        let mut operations = self.machine.moments_count() - 1;
        let to_disk = |event: &Event| match event {
            Event::Begin(work) => matches!(work.kind, Kind::ToDisk | Kind::Checkpoint),
            _ => false,
        };
        let next = self.agenda.iter().find(|(_, event)| to_disk(event)).map(|(at, _)| *at);
        if let (Some(at), Some(process)) = (next, &self.process)
            && let Some(Event::Begin(work)) = self.agenda.remove(&at)
        {
            // Nobody hears what comes of it.
            drop(done(work, &process.channel.place.clone(), self.mutant));
            let more = self.machine.moments_count() - 1 - operations;
            operations += self.random.below(more + 1);
        }
        if let Some((_, from)) = self.unsynced.filter(|(until, _)| *until > self.now) {
            operations = operations.min(from);
        }
        self.machine.image_after(operations, loss, &mut self.random)
    }

    /// What was read wrong may have been written into the state file: it is taken away, and made anew from the log.
    fn without_misread(&mut self, image: Image) -> Image {
        if std::mem::take(&mut self.misread) { image.without(STATE) } else { image }
    }

    /// The process ends, and the peer is started with this disk after a while.
    fn stops(&mut self, image: Image) {
        self.process = None;

        self.unsynced = None;
        self.agenda.retain(|_, event| !event.is_of_process());
        self.clients.iter_mut().for_each(Client::cut_off);
        let delay = 10 + self.delay(200);
        self.at(delay, Event::Start(Box::new(image)));
    }

    /// The peer is stopped, a bit of what it acknowledged rots, it is started; and then with the disk as it was.
    fn rots(&mut self) -> Result<(), String> {
        let image = self.machine.live();
        let mut rotten = image.clone();
        let file = if image.length(JOURNAL) > 0 { self.random.choose(&[LOG, JOURNAL]) } else { LOG };
        let (place, bit) = (self.random.below(image.length(file).max(1)), self.random.below(8));
        let named = if rotten.rot(file, place, bit) {
            match self.open(&Machine::after(&rotten)) {
                Err(reason) => Err(reason),
                Ok(opened) => match self.ledger.compare(&opened.store)? {
                    Ok(()) => self.ledger.read_all(&opened.store)?,
                    error => error,
                },
            }
        } else {
            Ok(())
        };
        if let Err(reason) = named {
            if reason.is_empty() {
                return Err("a rot has no name".into());
            }
            self.rots_named += 1;
        }
        self.stops(image);
        Ok(())
    }

    fn open(&self, machine: &Machine) -> Result<Opened, String> {
        let life = Life::new(LifeCycle::Opening);
        match opening::begin(machine, self.options, false, &NoCertificates, &life, Duration::MAX)? {
            Step::Done(opened) => Ok(*opened),
            _ => Err("the opening was abandoned".into()),
        }
    }

    fn start(&mut self, image: &Image) -> Result<(), String> {
        self.machine = Machine::after(image);
        if self.mutant == Some(Mutant::SyncLeftOut) {
            self.machine.lie();
        }
        let mut opened = self.open(&self.machine);
        if self.misread && (opened.is_err() || self.machine.set_aside() > 0) {
            self.machine = Machine::after(&self.without_misread(image.clone()));
            opened = self.open(&self.machine);
        }
        let opened = opened.map_err(|reason| format!("the channel does not open: {reason}"))?;
        if self.machine.set_aside() > 0 {
            return Err("the state was set aside".into());
        }
        self.ledger.reopened(&opened.store)?;
        self.say(format_args!("starts with block {}", opened.tip.height));
        let memory = Arc::new(memory::Pool::new(usize::MAX));
        let credits = Arc::new(Credits::new(Arc::new(memory::Pool::new(IN_FLIGHT))));
        let share = Share::new("main", Path::new("/nowhere"), u64::MAX);
        let key = Arc::new(seal_key());
        let proposer = key.public().address();
        let place = Workplace {
            name: "main".into(),
            channel: opened.channel,
            certificates: Arc::new(NoCertificates),
            doors: Doors::default(),
            shared: Arc::new(Shared::new(opened.tip, opened.config.clone(), Arc::default(), memory)),
            store: opened.store.clone(),
            metrics: Metrics::new(&mut Registry::default()).channel("main"),
            index: Arc::new(Index::default()),
            proposer,
            credits: credits.clone(),
            disk: None,
            share: share.clone(),
            verify_slice: Duration::MAX,
        };
        let engine: Box<dyn OrderingEngine> = match self.fickle {
            true => Box::new(Fickle::new(key, self.random.below(usize::MAX) as u64, self.discards.clone())),
            false => Box::new(Solo::new(key)),
        };
        let machine = ChannelMachine::new(&opened, engine, proposer, 2, self.checkpoint_interval_ms);
        let desk = Desk {
            now: self.wall(),
            work: Vec::new(),
            wake: None,
            halted: None,
            seeds: 0,
            records: Vec::new(),
            said: Vec::new(),
            recorded: 0,
        };
        let mut channel = ChannelLoop::new(machine, Arc::new(place), desk);
        channel.tick();
        self.process = Some(Process { channel, credits, share, wake: None, excuse: None, panics: false });
        self.follow()
    }

    /// Everybody has an answer: nothing is left anywhere, and the chain replays to the same state.
    fn end(&mut self) -> Result<(), String> {
        let mut process = self.process.take().ok_or("the peer is down at the end")?;
        let (used, under_way) = (process.credits.used(), process.share.under_way());
        if used != (0, 0) || under_way > 0 {
            return Err(format!("{used:?} credits and {under_way} bytes of the disk are not back"));
        }
        if !process.channel.retire(Time::ZERO) {
            return Err("something is under way in a channel that nobody waits for".into());
        }
        let store = process.channel.place.store.clone();
        self.ledger.compare(&store)??;
        self.ledger.read_all(&store)??;
        let root = store.view().map_err(|error| error.to_string())?.tree().root();
        store.close().map_err(|error| format!("closing: {error}"))?;
        let opened = self.open(&Machine::after(&self.machine.live().without(STATE)))?;
        let replayed = opened.store.view().map_err(|error| error.to_string())?.tree().root();
        if replayed != root || opened.tip.height != self.ledger.height() {
            return Err(format!("replay gives the state root {replayed}, and it was {root}"));
        }
        self.say(format_args!("state root {root}"));
        Ok(())
    }
}

/// Does work, as it is or with a defect.
fn done(mut work: Work, place: &Workplace, mutant: Option<Mutant>) -> Outcome {
    if let Task::Execute(_, transactions) = &mut work.task {
        match mutant {
            Some(Mutant::OrderTurned) => transactions.reverse(),
            Some(Mutant::DuplicateLetThrough) => return forgets(work),
            _ => {}
        }
    }
    work.run(place)
}

/// Executes without the index.
fn forgets(work: Work) -> Outcome {
    let mut outcome = work.outcome();
    if let Task::Execute(execution, transactions) = work.task {
        let execution: Execution = *execution;
        match execution.run_by(&Forgetful, transactions) {
            Ok(result) => outcome.inputs.push(Input::Executed(result)),
            Err(reason) => outcome.fail(&reason),
        }
    }
    outcome
}

/// The answers to a submission, if they are there.
fn answers_of(submission: &mut Submission) -> Option<Vec<SubmitResult>> {
    match Pin::new(submission).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(results) => Some(results),
        Poll::Pending => None,
    }
}
