//! A channel of one peer and those who send to it, from its making to its end.

use super::clients::{CLIENTS, Client, Out, PREPARED, Prepared, seal_key};
use super::clock::{Clock, Event};
use super::disk::{Image, Machine, STATE};
use super::effects::Desk;
use super::faults::Faults;
use super::fickle::Fickle;
use super::ledger::Ledger;
use super::{BLOCKS_MIN, FaultKind, Mutant, Random, Report, Trace};
use crate::block::error::in_full;
use crate::block::replay;
use crate::block::replay::{Opened, Step};
use crate::delivery::shared::Shared;
use crate::peer::visibility::VisibilityIndex;
use crate::pipeline::answer::Wait;
use crate::pipeline::batcher::Submitted;
use crate::pipeline::door::Doors;
use crate::pipeline::effects::{ChannelLoop, Kind, Workplace};
use crate::pipeline::machine::{ChannelMachine, Input, Installed};
use crate::pipeline::ordering::{OrderingEngine, Solo};
use crate::pipeline::submission::{Credits, submission};
use crate::runtime::asker::Asker;
use crate::runtime::life::{Life, LifeCycle};
use crate::runtime::memory;
use crate::runtime::metrics::Metrics;
use crate::store::{DiskQuota, StoreOptions};
use ledger_classes::keys::SigningKey;
use ledger_classes::primitives::time::Time;
use ledger_classes::state::participant::NoCertificates;
use prometheus_client::registry::Registry;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bytes between door and commit: so few that a flood finds no room.
const IN_FLIGHT: usize = 60_000;
/// Steps after which a run has gone astray.
const STEPS_MAX: u64 = 400_000;

/// A process that serves.
pub(super) struct Process {
    pub(super) channel: ChannelLoop<Desk>,
    credits: Arc<Credits>,
    quota: DiskQuota,
    /// When the timer goes off.
    pub(super) wake: Option<u64>,
    /// For which fault it may halt.
    pub(super) excuse: Option<FaultKind>,
    /// The next work panics.
    pub(super) panics: bool,
}

/// Everything.
pub(super) struct World {
    pub(super) random: Random,
    trace: Trace,
    pub(super) prepared: &'static Prepared,
    options: StoreOptions,
    checkpoint_interval_ms: u64,
    /// Whether the engine keeps records and loses blocks.
    fickle: bool,
    discards: Arc<AtomicU64>,
    pub(super) looks: bool,
    base: Instant,
    pub(super) clock: Clock<Event>,
    pub(super) machine: Machine,
    pub(super) process: Option<Process>,
    pub(super) clients: Vec<Client>,
    pub(super) ledger: Ledger,
    pub(super) faults: Faults,
}

impl World {
    /// `looks`: it looks at copies of the disk, too, which changes nothing of what happens.
    pub(super) fn new(seed: u64, mutant: Option<Mutant>, looks: bool, lines: bool) -> Self {
        let mut random = Random(seed);
        // What costs the most is seldom: pages that are read each time, a checkpoint for each block, a log without a
        // write-ahead log.
        let mut few = |bytes: usize, many: usize| if random.one_in(6) { bytes } else { many };
        let options = StoreOptions {
            log_cache_bytes: few(16 << 10, 1 << 20),
            state_cache_bytes: few(16 << 10, 1 << 20),
            wal_bytes_max: few(0, 256 << 10),
            tree_bytes: few(0, 1 << 20),
            dirty_bytes_max: few(20_000, 200_000),
            checkpoint_interval_ms: u64::MAX,
            ..StoreOptions::default()
        };
        Self {
            faults: Faults::new(&mut random, mutant),
            checkpoint_interval_ms: random.choose(&[150, 300, 300, 300, 300, 60_000]),
            discards: Arc::default(),
            looks,
            fickle: mutant.is_some_and(Mutant::is_of_engines) || random.one_in(2),
            random,
            trace: Trace { keeps: lines, ..Trace::default() },
            prepared: &PREPARED,
            options,
            base: Instant::now(),
            clock: Clock::default(),
            machine: Machine::default(),
            process: None,
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            ledger: Ledger::default(),
        }
    }

    pub(super) fn report(self) -> Report {
        Report {
            blocks: self.ledger.height(),
            transactions: self.ledger.transactions(),
            faults: self.faults.counts,
            rots_named: self.faults.rots_named,
            discards: self.discards.load(Ordering::Relaxed),
            digest: self.trace.digest,
            lines: self.trace.lines,
            failure: None,
        }
    }

    pub(super) fn say(&mut self, line: std::fmt::Arguments<'_>) {
        self.trace.add(self.clock.now, line);
    }

    pub(super) fn delay(&mut self, most: usize) -> u64 {
        self.random.below(most + 1) as u64
    }

    /// The whole run.
    pub(super) fn run(&mut self) -> Result<(), String> {
        replay::create(&self.machine, self.options, &self.prepared.config).map_err(in_full)?;
        self.ledger.begin(self.prepared.channel);
        let image = Box::new(self.machine.live());
        self.clock.after(0, Event::Start(image));
        for client in 0..CLIENTS {
            self.clock.after(1, Event::Client(client));
        }
        let mut steps = 0;
        while !self.is_over() {
            steps += 1;
            if steps > STEPS_MAX {
                return Err("the run does not come to an end".into());
            }
            let Some(event) = self.clock.next() else {
                return Err("nothing happens any more, and somebody waits".into());
            };
            self.happens(event)?;
            self.looks_at_disk();
        }
        self.end()
    }

    /// Whether everything was sent, and everybody has an answer.
    fn is_over(&mut self) -> bool {
        if !self.faults.over && self.ledger.height() >= BLOCKS_MIN && self.faults.are_enough() {
            self.heals();
        }
        self.faults.over
            && self.process.is_some()
            && self.clients.iter().all(Client::is_content)
            && !self.clock.is_busy()
    }

    fn happens(&mut self, event: Event) -> Result<(), String> {
        let now = self.clock.wall();
        if let Some(process) = &mut self.process {
            process.channel.shell.now = now;
        }
        match event {
            Event::Client(client) => {
                let delay = 1 + self.delay(30);
                self.clock.after(delay, Event::Client(client));
                let fresh = self.ledger.height() < BLOCKS_MIN || !self.faults.are_enough();
                self.sends(client, fresh && !self.faults.over);
            }
            Event::Start(image) => return self.start(&image),
            Event::Mend => self.machine.mend(),
            Event::Recorded(ticket) => self.recorded(ticket),
            Event::Begin(work) => self.begins(work),
            Event::Message(bytes) => {
                let Some(process) = &mut self.process else { return Ok(()) };
                let from = process.channel.place.proposer;
                process.channel.on([Input::Message { from, bytes }]);
            }
            Event::Wake => {
                let Some(process) = &mut self.process else { return Ok(()) };
                process.wake = None;
                process.channel.tick();
            }
            Event::Bring(outcome) => {
                let Some(process) = &mut self.process else { return Ok(()) };
                process.channel.done(outcome);
            }
        }
        self.follow()
    }

    /// A client sends something, if the door lets it in.
    pub(super) fn sends(&mut self, client: usize, fresh: bool) {
        let numbers = self.clients[client].chooses(&mut self.random, fresh);
        let now = self.clock.wall();
        let full = self.clock.now < self.faults.full_until;
        if full {
            self.faults.hits(FaultKind::FullDisk);
        }
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
        let arrived = self.base + Duration::from_millis(self.clock.now);
        let arrivals = envelopes.iter().zip(waiters).zip(credits).map(|(((id, envelope), waiter), credit)| {
            self.ledger.came(*id, client);
            Submitted::new(envelope.clone(), asker, waiter, credit, arrived)
        });
        let arrivals = arrivals.collect();
        process.channel.shell.now = now;
        process.channel.submit(arrivals);
        self.trace.add(self.clock.now, format_args!("client {client} sends {numbers:?}"));
        self.clients[client].out.push(Out { numbers, submission });
    }

    pub(super) fn open(&self, machine: &Machine) -> Result<Opened, String> {
        opened(machine, self.options)
    }

    fn start(&mut self, image: &Image) -> Result<(), String> {
        self.machine = Machine::after(image);
        let misread = self.faults.at_start.take();
        if let Some((file, fault, left, place)) = misread {
            self.machine.arm(file, fault, left, place);
        }
        let may_set_aside = std::mem::replace(&mut self.faults.misread, misread.is_some()) || misread.is_some();
        let opened = self.open(&self.machine);
        if self.machine.set_aside() > 0 && !may_set_aside {
            return Err("the state was set aside".into());
        }
        let found = match opened {
            Ok(opened) => self.ledger.reopened(&opened.store)?.map(|()| opened),
            Err(reason) => Err(reason),
        };
        let opened = match found {
            Ok(opened) => opened,
            // It is started again, with all that this has left.
            Err(reason) if misread.is_some() => {
                self.say(format_args!("does not open: {reason}"));
                let image = self.machine.live();
                self.stops(image);
                return Ok(());
            }
            Err(reason) => return Err(format!("the channel does not open: {reason}")),
        };
        self.say(format_args!("starts with block {}", opened.tip.height));
        let key = Arc::new(seal_key(0));
        let proposer = key.public().address();
        let place = workplace(&opened, key.clone());
        let (credits, quota) = (place.credits.clone(), place.quota.clone());
        let engine: Box<dyn OrderingEngine> = match self.fickle {
            true => Box::new(Fickle::new(key, self.random.below(usize::MAX) as u64, self.discards.clone())),
            false => Box::new(Solo),
        };
        let machine = ChannelMachine::new(&opened, engine, proposer, 2, self.checkpoint_interval_ms);
        let mut channel = ChannelLoop::new(machine, Arc::new(place), Desk::at(self.clock.wall()));
        channel.tick();
        self.process = Some(Process { channel, credits, quota, wake: None, excuse: None, panics: false });
        self.follow()
    }

    /// The store is exchanged for a copy of it, as if a peer had given it: of the log alone at times, whose state is made
    /// anew, or with the state as its last checkpoint left it. Not while a block
    /// is on its way to the disk: then the configuration is told once more.
    pub(super) fn installs(&mut self) -> Result<(), String> {
        let to_disk = |event: &Event| match event {
            Event::Begin(work) => work.kind == Kind::ToDisk,
            Event::Bring(outcome) => outcome.kind == Kind::ToDisk,
            _ => false,
        };
        // An engine that never discards has nothing to come back to.
        if let Some(process) = &mut self.process
            && (!self.fickle || self.clock.expects(to_disk))
        {
            let config = process.channel.place.shared.config();
            process.channel.on([Input::Configure(config)]);
            return self.follow();
        }
        let copy = self.machine.live();
        let machine = Machine::after(&if self.random.one_in(4) { copy.without(STATE) } else { copy });
        let opened = self.open(&machine)?;
        let Some(process) = &mut self.process else { return Ok(()) };
        let before = &process.channel.place;
        let place = Workplace {
            credits: before.credits.clone(),
            quota: before.quota.clone(),
            ..workplace(&opened, before.key.clone())
        };
        let (parent, history, next_timer) = (opened.parent(), opened.store.history(), opened.next_timer);
        let installed = Installed { parent, history, config: opened.config.clone(), next_timer };
        process.channel.install(Arc::new(place), installed);
        self.machine = machine;
        self.follow()
    }

    /// Everybody has an answer: nothing is left anywhere, and the chain replays to the same state.
    fn end(&mut self) -> Result<(), String> {
        let mut process = self.process.take().ok_or("the peer is down at the end")?;
        let (used, under_way) = (process.credits.used(), process.quota.under_way());
        if used != (0, 0) || under_way > 0 {
            return Err(format!("{used:?} credits and {under_way} bytes of the disk are not back"));
        }
        if !process.channel.retire(Time::ZERO) {
            return Err("something is under way in a channel that nobody waits for".into());
        }
        let store = process.channel.place.store.clone();
        self.ledger.compare(&store)??;
        let root = store.view().map_err(|error| error.to_string())?.tree().root();
        self.say(format_args!("state root {root}"));
        if !self.looks {
            return Ok(());
        }
        self.ledger.read_all(&store)??;
        store.close().map_err(|error| format!("closing: {error}"))?;
        // What is made anew stays in memory: at other starts it goes to the disk.
        let options = StoreOptions { dirty_bytes_max: usize::MAX, tree_bytes: usize::MAX, ..self.options };
        let opened = opened_as(&Machine::after(&self.machine.live().without(STATE)), options, true)?;
        let replayed = opened.store.view().map_err(|error| error.to_string())?.tree().root();
        if replayed != root || opened.tip.height != self.ledger.height() {
            return Err(format!("replay gives the state root {replayed}, and it was {root}"));
        }
        Ok(())
    }
}

/// Where the work of a channel is done that was opened.
pub(super) fn workplace(opened: &Opened, key: Arc<SigningKey>) -> Workplace {
    let memory = Arc::new(memory::Pool::new(usize::MAX));
    Workplace {
        name: "main".into(),
        channel: opened.channel,
        certificates: Arc::new(NoCertificates),
        doors: Doors::default(),
        shared: Arc::new(Shared::new(opened.tip, opened.config.clone(), Arc::default(), memory)),
        store: opened.store.clone(),
        metrics: Metrics::new(&mut Registry::default()).channel("main"),
        index: Arc::new(VisibilityIndex::default()),
        proposer: key.public().address(),
        key,
        credits: Arc::new(Credits::new(Arc::new(memory::Pool::new(IN_FLIGHT)))),
        disk: None,
        quota: DiskQuota::new("main", Path::new("/nowhere"), u64::MAX),
        verify_slice: Duration::MAX,
    }
}

/// Opens a store.
pub(super) fn opened(machine: &Machine, options: StoreOptions) -> Result<Opened, String> {
    opened_as(machine, options, false)
}

fn opened_as(machine: &Machine, options: StoreOptions, in_memory: bool) -> Result<Opened, String> {
    let life = Life::new(LifeCycle::Opening);
    match replay::begin(machine, options, in_memory, &NoCertificates, &life, Duration::MAX).map_err(in_full)? {
        Step::Done(opened) => Ok(*opened),
        _ => Err("the opening was abandoned".into()),
    }
}
