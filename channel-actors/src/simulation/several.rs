//! Several peers of one channel in virtual time: machines, engines, effect loop and stores as they are, over a network that
//! loses, delays, repeats and changes the order. Peers stop and start, with what of their disk a power loss leaves, and are
//! cut off, and each has a clock that is wrong in its own way.
//!
//! Checked: all peers have the same blocks, an id is in one of them, what a peer has told it has after every start, and what
//! one refuses since its time is over is in none for ever; at the end, when all is whole, everything that was sent has its
//! outcome, which every peer tells to whoever sends it again, nobody holds a credit, and all peers have the same state, which a
//! replay of a log alone gives, seals and all.

mod checks;
mod promises;
mod records;

use super::clients::{CLIENTS, EACH_OF_SEVERAL, OF_SEVERAL, PEERS, Prepared, seal_key};
use super::clock::Clock;
use super::disk::{Image, Loss, Machine};
use super::effects::Desk;
use super::skew::Clocks;
use super::world::{opened, workplace};
use super::{Mutant, PLANTED, Random, Trace};
use crate::block::encoding::decode_receipts;
use crate::block::error::in_full;
use crate::block::replay;
use crate::limits::WAKE_MS_MAX;
use crate::pipeline::answer::Wait;
use crate::pipeline::batcher::Submitted;
use crate::pipeline::effects::{ChannelLoop, Kind, Outcome, Work};
use crate::pipeline::machine::{ChannelMachine, Input};
use crate::pipeline::ordering::{Begin, LifeId, engine};
use crate::pipeline::submission::{Submission, submission};
use crate::runtime::asker::Asker;
use crate::store::StoreOptions;
use ledger_classes::formats::block::Block;
use ledger_classes::keys::{Address, SigningKey};
use ledger_classes::primitives::hash::Hash;
use promises::Promises;
use records::Records;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Blocks that a run has at least, and faults.
const BLOCKS_MIN: u64 = 60;
const FAULTS_MIN: u64 = 12;
/// Steps after which a run has gone astray.
const STEPS_MAX: u64 = 2_000_000;

/// The life in which a peer is.
fn life_of(number: usize) -> LifeId {
    [number as u8 + 1; 16]
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Together {
    /// Height of the chain.
    pub blocks: u64,
    /// Transactions in it.
    pub transactions: u64,
    /// How many were refused, since their time was over.
    pub expired: u64,
    /// How often a peer was started.
    pub starts: u64,
    /// How often one was cut off.
    pub cuts: u64,
    /// How often a peer withheld its acceptance of a block that was ahead of its clock, and how often it refused one.
    pub withheld: u64,
    /// See above.
    pub refused: u64,
    /// How many peers have proposed blocks of it.
    pub proposers: usize,
    /// Batches in it, and signatures of peers that vouch for them.
    pub batches: u64,
    /// See above.
    pub witnesses: u64,
    /// A digest of all that happened, in order.
    pub digest: u64,
}

enum Event {
    Begin(Work),
    Bring(Outcome),
    Write,
    Sync,
    Wake,
}

/// Of a peer's life, of all.
enum What {
    OfLife(usize, u64, Event),
    Message { to: usize, from: Address, bytes: Vec<u8> },
    Client(usize),
    Start(usize),
    Follow(usize),
    Fault,
    Joined,
}

struct Peer {
    key: Arc<SigningKey>,
    machine: Machine,
    records: Records,
    channel: Option<ChannelLoop<Desk>>,
    life: u64,
    wake: Option<u64>,
    /// The last block that it told.
    told: u64,
}

struct Out {
    client: usize,
    number: usize,
    submission: Submission,
}

struct Several {
    random: Random,
    trace: Trace,
    prepared: &'static Prepared,
    options: StoreOptions,
    base: Instant,
    clock: Clock<What>,
    clocks: Clocks,
    ahead: (u64, u64),
    peers: Vec<Peer>,
    /// Headers of all blocks that somebody told, and who proposed them.
    chain: Vec<Hash>,
    proposers: BTreeMap<Address, u64>,
    vouched: (u64, u64),
    promises: Promises,
    included: BTreeMap<Hash, u64>,
    /// What was told of a block that its peer has on the disk and has not told yet: an outcome is looked up in the store.
    early: BTreeMap<Hash, u64>,
    /// What was refused for ever: its time is over.
    over: BTreeSet<Hash>,
    /// In which block each is, or none if it is in none for ever.
    known: BTreeMap<(usize, usize), Option<u64>>,
    /// Whose time is over, and nobody could say yet whether it is in a block.
    undecided: BTreeSet<(usize, usize)>,
    next: [usize; CLIENTS],
    out: Vec<Out>,
    cut_off: Option<usize>,
    faults: u64,
    starts: u64,
    cuts: u64,
    whole: bool,
    /// Everything was sent again to every peer.
    again: bool,
}

/// Runs a seed, with a mutant if one is given. The lines are all that happened, if that was asked for.
///
/// # Errors
/// What did not hold.
pub fn run_several(seed: u64, mutant: Option<Mutant>, lines: bool) -> (Result<Together, String>, Vec<String>) {
    crate::block::key_cache::remember();
    PLANTED.set(mutant);
    let mut several = Several::new(seed);
    several.trace.keeps = lines;
    // What is asserted in the code that serves counts, too.
    let ran = catch_unwind(AssertUnwindSafe(|| several.run()));
    PLANTED.set(None);
    let ran = ran.unwrap_or_else(|panic| Err(format!("panicked: {}", crate::runtime::tasks::words(&*panic))));
    let lines = std::mem::take(&mut several.trace.lines);
    (ran.map(|()| several.together()), lines)
}

impl Several {
    fn new(seed: u64) -> Self {
        let prepared = &OF_SEVERAL[usize::from(seed.is_multiple_of(2))];
        let peer = |number: u8| Peer {
            key: Arc::new(seal_key(number)),
            machine: Machine::default(),
            records: Records::default(),
            channel: None,
            life: 0,
            wake: None,
            told: 0,
        };
        let mut random = Random(seed);
        Self {
            clocks: Clocks::new(PEERS, &mut random),
            ahead: (0, 0),
            random,
            trace: Trace::default(),
            prepared,
            options: StoreOptions {
                log_cache_bytes: 1 << 20,
                state_cache_bytes: 1 << 20,
                wal_bytes_max: 64 << 10,
                tree_bytes: 1 << 20,
                dirty_bytes_max: 100_000,
                checkpoint_interval_ms: u64::MAX,
                ..StoreOptions::default()
            },
            base: Instant::now(),
            clock: Clock::default(),
            peers: (0..PEERS).map(peer).collect(),
            chain: vec![prepared.channel],
            proposers: BTreeMap::new(),
            vouched: (0, 0),
            promises: Promises::new(PEERS),
            included: BTreeMap::new(),
            early: BTreeMap::new(),
            over: BTreeSet::new(),
            known: BTreeMap::new(),
            undecided: BTreeSet::new(),
            next: [0; CLIENTS],
            out: Vec::new(),
            cut_off: None,
            faults: 0,
            starts: 0,
            cuts: 0,
            whole: false,
            again: false,
        }
    }

    fn together(&self) -> Together {
        Together {
            blocks: self.height(),
            transactions: self.included.len() as u64,
            expired: self.over.len() as u64,
            starts: self.starts,
            cuts: self.cuts,
            withheld: self.ahead.0,
            refused: self.ahead.1,
            proposers: self.proposers.len(),
            batches: self.vouched.0,
            witnesses: self.vouched.1,
            digest: self.trace.digest,
        }
    }

    fn height(&self) -> u64 {
        self.chain.len() as u64 - 1
    }

    fn say(&mut self, line: std::fmt::Arguments<'_>) {
        self.trace.add(self.clock.now, line);
    }

    fn delay(&mut self, least: u64, most: usize) -> u64 {
        least + self.random.below(most) as u64
    }

    fn run(&mut self) -> Result<(), String> {
        for number in 0..self.peers.len() {
            replay::create(&self.peers[number].machine, self.options, &self.prepared.config).map_err(in_full)?;
            self.clock.after(0, What::Start(number));
        }
        (0..CLIENTS).for_each(|client| self.clock.after(1, What::Client(client)));
        self.clock.after(500, What::Fault);
        let mut steps = 0;
        while !self.is_over() {
            steps += 1;
            if steps > STEPS_MAX {
                return Err(format!(
                    "the run does not come to an end: {} blocks, {} known",
                    self.height(),
                    self.known.len()
                ));
            }
            let what = self.clock.next().ok_or("nothing happens any more")?;
            self.happens(what)?;
        }
        self.end()
    }

    fn is_over(&mut self) -> bool {
        let enough = self.height() >= BLOCKS_MIN && self.faults >= FAULTS_MIN;
        if enough && !self.whole {
            self.whole = true;
            self.cut_off = None;
            self.clocks.set_all_right();
            self.say(format_args!("everything is whole again"));
        }
        let sent: usize = self.next.iter().sum();
        let settled = self.whole
            && self.known.len() + self.undecided.len() == sent
            && self.out.is_empty()
            && self.peers.iter().all(|peer| peer.channel.is_some() && peer.told == self.height());
        if settled && !self.again {
            self.again = true;
            self.asks_again();
            return false;
        }
        settled
    }

    /// Sends to every peer what is in a block: whoever sends something again, to any peer, is told what became of it.
    fn asks_again(&mut self) {
        let included = self.known.iter().filter(|(_, height)| height.is_some());
        let included: Vec<_> = included.map(|(which, _)| *which).collect();
        self.say(format_args!("all of it is sent again"));
        for number in 0..self.peers.len() {
            for (client, which) in &included {
                self.send(*client, *which, number);
            }
            // What it wants follows with the next thing that happens to it.
            self.clock.after(1, What::Follow(number));
        }
    }

    fn happens(&mut self, what: What) -> Result<(), String> {
        let number = match what {
            What::Start(number) => {
                self.start(number)?;
                number
            }
            What::Client(client) => {
                let delay = self.delay(10, 60);
                self.clock.after(delay, What::Client(client));
                let number = self.random.below(self.peers.len());
                self.sends(client, number);
                number
            }
            What::Follow(number) => number,
            What::Fault => return self.goes_wrong(),
            What::Joined => {
                self.cut_off = None;
                return Ok(());
            }
            What::Message { to, from, bytes } => {
                let now = self.clocks.show(to, self.clock.wall());
                if let Some(channel) = &mut self.peers[to].channel {
                    channel.shell.now = now;
                    channel.on([Input::Message { from, bytes }]);
                }
                to
            }
            What::OfLife(number, life, _) if life != self.peers[number].life => return Ok(()),
            What::OfLife(number, _, event) => {
                self.of_life(number, event)?;
                number
            }
        };
        self.follow(number)
    }

    fn of_life(&mut self, number: usize, event: Event) -> Result<(), String> {
        let (now, wall) = (self.clock.now, self.clocks.show(number, self.clock.wall()));
        let peer = &mut self.peers[number];
        let Some(channel) = &mut peer.channel else { return Ok(()) };
        channel.shell.now = wall;
        match event {
            Event::Begin(work) => {
                if matches!(work.kind, Kind::ToDisk | Kind::Checkpoint) {
                    peer.machine.forget(&mut self.random);
                }
                let outcome = work.run(&channel.place);
                let (life, delay) = (peer.life, self.delay(0, 5));
                self.clock.after(delay, What::OfLife(number, life, Event::Bring(outcome)));
            }
            Event::Bring(outcome) => channel.done(outcome),
            Event::Write => {
                peer.machine.forget(&mut self.random);
                peer.records.write(self.prepared.channel)?;
                let (life, delay) = (peer.life, self.delay(0, 4));
                self.clock.after(delay, What::OfLife(number, life, Event::Sync));
            }
            Event::Sync => {
                let (ticket, synced) = peer.records.sync()?;
                for record in &synced {
                    self.promises.recorded(number, record)?;
                }
                channel.shell.recorded = ticket;
                channel.on([Input::Persisted(ticket)]);
            }
            // Another one was asked for since.
            Event::Wake if peer.wake.is_none_or(|wake| wake > now) => {}
            Event::Wake => {
                peer.wake = None;
                channel.tick();
            }
        }
        Ok(())
    }

    fn start(&mut self, number: usize) -> Result<(), String> {
        let seed = self.random.below(usize::MAX) as u64;
        let peer = &mut self.peers[number];
        let opened = opened(&peer.machine, self.options)?;
        if opened.tip.height < peer.told {
            return Err(format!("peer {number} has told block {}, and has {}", peer.told, opened.tip.height));
        }
        peer.told = opened.tip.height;
        // Nobody may have told the last one yet.
        for height in self.height() + 1..=opened.tip.height {
            let words = |error: crate::store::StoreError| error.to_string();
            let bytes = opened.store.block(height).map_err(words)?.ok_or("a block is gone")?;
            let receipts = opened.store.receipts(height).map_err(words)?.ok_or("its receipts are gone")?;
            let block = Block::decode(&bytes).map_err(|_| "a block is not whole")?;
            let ids = decode_receipts(&receipts).map_err(in_full)?.into_iter().map(|receipt| receipt.head.id).collect();
            self.told(&block, ids)?;
        }
        let peer = &mut self.peers[number];
        let config = &self.prepared.config;
        let found = peer.records.start(&peer.machine, &self.prepared.channel)?;
        for record in &found.unsaid {
            self.promises.recorded(number, record)?;
        }
        let orderers = config.orderers();
        let begin = Begin {
            channel: self.prepared.channel,
            seed,
            key: peer.key.clone(),
            orderers: &orderers,
            tip: opened.tip,
            kept: Some((life_of(number), found.records)),
        };
        let engine = engine(begin).map_err(|error| format!("peer {number} cannot begin: {error}"))?;
        let proposer = peer.key.public().address();
        let place = workplace(&opened, peer.key.clone());
        let machine = ChannelMachine::new(&opened, engine, proposer, 2, 300);
        let mut channel =
            ChannelLoop::new(machine, Arc::new(place), Desk::at(self.clocks.show(number, self.clock.wall())));
        channel.tick();
        let peer = &mut self.peers[number];
        (peer.channel, peer.wake) = (Some(channel), None);
        self.starts += 1;
        let height = opened.tip.height;
        self.say(format_args!("peer {number} starts with block {height}"));
        Ok(())
    }

    fn stop(&mut self, number: usize, image: &Image) {
        let delay = self.delay(50, 1_500);
        self.counts(number);
        let peer = &mut self.peers[number];
        peer.channel = None;
        peer.records.stop();
        peer.life += 1;
        peer.machine = Machine::after(image);
        self.clock.after(delay, What::Start(number));
    }

    fn goes_wrong(&mut self) -> Result<(), String> {
        if self.whole {
            return Ok(());
        }
        let delay = self.delay(200, 1_200);
        self.clock.after(delay, What::Fault);
        self.faults += 1;
        let number = self.random.below(self.peers.len());
        if self.random.one_in(3) {
            let ahead = self.clocks.set(number, &mut self.random);
            self.say(format_args!("peer {number}'s clock is {ahead} ms ahead"));
        } else if self.random.one_in(2) {
            self.cut_off = Some(number);
            self.cuts += 1;
            self.say(format_args!("peer {number} is cut off"));
            let delay = self.delay(100, 1_000);
            self.clock.after(delay, What::Joined);
        } else if self.peers[number].channel.is_some() {
            let machine = self.peers[number].machine.clone();
            let loss = self.random.choose(&Loss::ALL);
            let operations = machine.operations_count();
            let mut image = match self.random.one_in(2) {
                true => machine.live(),
                false => machine.image_after(operations, loss, &mut self.random),
            };
            let rots = self.random.one_in(2) && records::rot(&mut image, &mut self.random);
            self.say(format_args!("peer {number} stops, {rots}"));
            self.stop(number, &image);
        }
        Ok(())
    }

    /// A client sends what has no outcome, or something new.
    fn sends(&mut self, client: usize, number: usize) {
        let open = |which: (usize, usize)| !self.known.contains_key(&which) && !self.undecided.contains(&which);
        let unknown = (0..self.next[client]).find(|sent| open((client, *sent)));
        let fresh = !self.whole && self.next[client] < EACH_OF_SEVERAL;
        let which = match unknown {
            Some(sent) if !fresh || self.random.one_in(2) => sent,
            _ if fresh => {
                self.next[client] += 1;
                self.next[client] - 1
            }
            _ => return,
        };
        self.send(client, which, number);
    }

    fn send(&mut self, client: usize, which: usize, number: usize) {
        let wall = self.clocks.show(number, self.clock.wall());
        let Some(channel) = &mut self.peers[number].channel else { return };
        let envelope = &self.prepared.envelopes[client][which].1;
        let asker = Asker::from_number(client as u64 + 1);
        let size = u32::try_from(envelope.payload.len()).unwrap_or(u32::MAX);
        let Some(credits) = channel.place.credits.take(asker, [size].into_iter()) else { return };
        let (submission, waiters) = submission(1, Wait::Committed);
        let arrived = self.base + Duration::from_millis(self.clock.now);
        let arrivals = waiters.into_iter().zip(credits);
        let arrivals =
            arrivals.map(|(waiter, credit)| Submitted::new(envelope.clone(), asker, waiter, credit, arrived));
        let arrivals = arrivals.collect();
        channel.shell.now = wall;
        channel.submit(arrivals);
        self.out.push(Out { client, number: which, submission });
        self.say(format_args!("client {client} sends {which} to peer {number}"));
    }

    /// After each step: what a peer wants, tells and says.
    fn follow(&mut self, number: usize) -> Result<(), String> {
        let life = self.peers[number].life;
        let Some(channel) = &mut self.peers[number].channel else { return Ok(()) };
        let desk = &mut channel.shell;
        let (work, records) = (std::mem::take(&mut desk.work), std::mem::take(&mut desk.records));
        let (said, recorded) = (std::mem::take(&mut desk.said), desk.recorded);
        let (wake, halted) = (desk.wake.take(), desk.halted.take());
        if let Some(reason) = halted {
            return Err(format!("peer {number} halts: {reason}"));
        }
        if let Some(millis) = wake {
            let (wake, peer) = (self.clock.now + millis.clamp(1, WAKE_MS_MAX), &mut self.peers[number]);
            if peer.wake.is_none_or(|earlier| wake < earlier) {
                peer.wake = Some(wake);
                self.clock.after(wake - self.clock.now, What::OfLife(number, life, Event::Wake));
            }
        }
        for work in work {
            let delay = self.delay(0, 3);
            self.clock.after(delay, What::OfLife(number, life, Event::Begin(work)));
        }
        let kept = &mut self.peers[number].records;
        records.into_iter().for_each(|record| kept.ask(record));
        if kept.begins() {
            let delay = self.delay(0, 3);
            self.clock.after(delay, What::OfLife(number, life, Event::Write));
        }
        let from = self.peers[number].key.public().address();
        for (to, bytes) in said {
            let to = self.peers.iter().position(|peer| peer.key.public().address() == to);
            let to = to.ok_or("an engine speaks to nobody")?;
            let lost = self.cut_off.is_some_and(|cut| cut == to || cut == number) || self.random.one_in(25);
            self.say(format_args!("peer {number} says {} bytes to {to}, records {recorded}, {lost}", bytes.len()));
            self.promises.said(number, to, &bytes, &self.peers)?;
            if !lost && self.random.one_in(40) {
                let (delay, bytes) = (self.delay(1, 3_000), bytes.clone());
                self.clock.after(delay, What::Message { to, from, bytes });
            }
            if !lost {
                let delay = self.delay(1, 10);
                self.clock.after(delay, What::Message { to, from, bytes });
            }
        }
        self.blocks(number)?;
        self.answers()
    }
}
