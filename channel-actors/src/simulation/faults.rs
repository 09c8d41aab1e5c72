//! What goes wrong, and what the peer comes up with after it.

use super::clients::{CLIENTS, Client};
use super::clock::Event;
use super::disk::{Fault, Image, LOG, Loss, Machine, STATE, WAL};
use super::world::World;
use super::{BLOCKS_MIN, FAULTS_MIN, FaultKind, KINDS_MIN, Mutant, Random};
use crate::pipeline::effects::Kind;
use std::collections::{BTreeMap, BTreeSet};

/// Faults of a run.
pub(super) struct Faults {
    kinds: Vec<FaultKind>,
    /// How many were drawn, and which of these have not come about.
    drawn: usize,
    pending: BTreeSet<FaultKind>,
    /// What the disk is armed with.
    armed: Option<FaultKind>,
    /// How many came about.
    pub(super) counts: BTreeMap<FaultKind, u64>,
    /// The height at which the next one comes.
    next: u64,
    /// They have come to an end.
    pub(super) over: bool,
    pub(super) slow_until: u64,
    pub(super) full_until: u64,
    /// Something may be read wrong in this life of the peer: of that it may halt, or not open, and a state of which a page
    /// was found wrong is made anew.
    pub(super) misread: bool,
    /// What is read wrong when the peer is started next: of which file, how, and which read.
    pub(super) at_start: Option<(usize, Fault, u64, usize)>,
    /// Rots that were an error by name.
    pub(super) rots_named: u64,
}

impl Faults {
    /// Five kinds at least, most often all but a few.
    pub(super) fn new(random: &mut Random, mutant: Option<Mutant>) -> Self {
        let mut kinds = FaultKind::ALL.to_vec();
        while kinds.len() > KINDS_MIN && !random.one_in(4) {
            kinds.remove(random.below(kinds.len()));
        }
        if mutant == Some(Mutant::ChecksumUnchecked) {
            // Without the first two nothing is read that is not what was written.
            kinds =
                [FaultKind::Misread, FaultKind::Rot, FaultKind::Kill, FaultKind::PowerLoss, FaultKind::Install].into();
        }
        Self {
            kinds,
            drawn: 0,
            pending: BTreeSet::new(),
            armed: None,
            counts: BTreeMap::new(),
            next: 3,
            over: false,
            slow_until: 0,
            full_until: 0,
            misread: false,
            at_start: None,
            rots_named: 0,
        }
    }

    pub(super) fn are_enough(&self) -> bool {
        self.counts.values().sum::<u64>() >= FAULTS_MIN && self.counts.len() >= KINDS_MIN
    }

    /// The next one, if one comes at this height: each of the run's kinds in turn, so that none is left out.
    fn take(&mut self, height: u64, random: &mut Random) -> Option<FaultKind> {
        if self.over || height < self.next {
            return None;
        }
        self.next = height + 4 + random.below(9) as u64;
        let kind = self.kinds[self.drawn % self.kinds.len()];
        self.drawn += 1;
        self.pending.insert(kind);
        Some(kind)
    }

    /// A fault that was drawn comes about: what is drawn again before that counts once.
    pub(super) fn hits(&mut self, kind: FaultKind) {
        if self.pending.remove(&kind) {
            *self.counts.entry(kind).or_default() += 1;
        }
    }
}

impl World {
    /// Counts what the disk did wrong.
    pub(super) fn looks_at_disk(&mut self) {
        if let Some(kind) = self.faults.armed.filter(|_| self.machine.has_hit()) {
            self.faults.hits(kind);
        }
    }

    /// Lets an operation on a file of the disk go wrong.
    fn arm(&mut self, kind: FaultKind, file: usize, fault: Fault, left: u64, place: usize) {
        self.faults.armed = Some(kind);
        self.machine.arm(file, fault, left, place);
    }

    /// A fault comes, if it is time.
    pub(super) fn goes_wrong(&mut self) -> Result<(), String> {
        let Some(kind) = self.faults.take(self.ledger.height(), &mut self.random) else { return Ok(()) };
        self.say(format_args!("fault: {kind:?}"));
        let left = self.random.below(12) as u64;
        let place = self.random.below(5_000);
        if kind.may_halt()
            && let Some(process) = &mut self.process
        {
            process.excuse = Some(kind);
        }
        let at_once = [FaultKind::PowerLoss, FaultKind::Kill, FaultKind::ClockJump, FaultKind::Overload];
        if at_once.contains(&kind) || kind == FaultKind::Install {
            self.faults.hits(kind);
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
            FaultKind::SlowDisk => self.faults.slow_until = self.clock.now + 500 + self.delay(2_000),
            FaultKind::FullDisk => self.faults.full_until = self.clock.now + 100 + self.delay(1_000),
            FaultKind::NoRoom => {
                let fault = self.random.choose(&[Fault::Write, Fault::ShortWrite, Fault::SetLength]);
                let file = self.random.choose(&[LOG, STATE, WAL]);
                self.arm(kind, file, fault, left, place);
                self.clock.after(500, Event::Mend);
            }
            FaultKind::FailedSync => {
                let file = self.random.choose(&[LOG, STATE, WAL]);
                self.arm(kind, file, Fault::Sync, left, place);
            }
            FaultKind::Misread | FaultKind::FailedRead => self.misreads(kind),
            FaultKind::Rot => return self.rots(),
            FaultKind::ClockJump => {
                let jump = self.random.below(1_200_000) as i64 - 600_000;
                self.clock.set(jump);
            }
            FaultKind::Overload => {
                for number in 0..40 {
                    let fresh = self.ledger.height() < BLOCKS_MIN / 2;
                    self.sends(number % CLIENTS, fresh);
                }
                // The channel goes on with what it wanted meanwhile.
                return self.follow();
            }
            FaultKind::Install => return self.installs(),
            FaultKind::Panic => {
                if let Some(process) = &mut self.process {
                    process.panics = true;
                }
            }
        }
        Ok(())
    }

    /// Everything is whole from now on.
    pub(super) fn heals(&mut self) {
        self.faults.over = true;
        (self.faults.slow_until, self.faults.full_until, self.faults.at_start) = (0, 0, None);
        self.say(format_args!("everything is whole again"));
        // What was read wrong before stays unread as long as the process lives.
        if self.process.is_some() {
            let image = self.machine.live();
            self.stops(image);
        }
    }

    /// A bit of what is read is wrong, once or each time, or a read fails: while the peer serves, or from its next start on, when
    /// all is read anew.
    fn misreads(&mut self, kind: FaultKind) {
        let fault = match kind {
            FaultKind::FailedRead => Fault::Read,
            _ => self.random.choose(&[Fault::Flip, Fault::Flip, Fault::Stuck]),
        };
        let (left, place) = (self.random.below(40) as u64, self.random.below(1 << 20));
        if self.random.one_in(3) {
            self.faults.misread = true;
            let file = self.random.choose(&[LOG, STATE]);
            self.arm(kind, file, fault, left, place);
            return self.clock.after(500, Event::Mend);
        }
        // The write-ahead log is read once.
        let file = self.random.choose(&[LOG, LOG, STATE, STATE, WAL]);
        self.faults.armed = Some(kind);
        self.faults.at_start = Some((file, fault, if file == WAL { 0 } else { left }, place));
        let image = self.machine.live();
        self.stops(image);
    }

    /// The disk after a power loss, now or in the middle of what is under way.
    fn power_loss(&mut self) -> Image {
        let loss = self.random.choose(&Loss::ALL);
        self.machine.forget(&mut self.random);
        let to_disk =
            |event: &Event| matches!(event, Event::Begin(work) if matches!(work.kind, Kind::ToDisk | Kind::Checkpoint));
        if let Some(process) = &self.process
            && let Some(Event::Begin(work)) = self.clock.take(to_disk)
        {
            // Nobody hears what comes of it.
            drop(work.run(&process.channel.place));
        }
        let operations = self.random.below(self.machine.operations_count() + 1);
        self.machine.image_after(operations, loss, &mut self.random)
    }

    /// The disk after a halt: what a sync that failed should have brought may be lost.
    pub(super) fn after_halt(&mut self) -> Image {
        let operations = self.machine.operations_count();
        self.machine.image_after(operations, Loss::Nothing, &mut self.random)
    }

    /// The process ends, and the peer is started with this disk after a while.
    pub(super) fn stops(&mut self, image: Image) {
        self.process = None;
        self.clock.forget_process();
        self.clients.iter_mut().for_each(Client::cut_off);
        let delay = 10 + self.delay(200);
        self.clock.after(delay, Event::Start(Box::new(image)));
    }

    /// The peer is stopped, a bit of what it acknowledged rots, it is started; and then with the disk as it was.
    fn rots(&mut self) -> Result<(), String> {
        let image = self.machine.live();
        let mut rotten = image.clone();
        let file = if image.length(WAL) > 0 { self.random.choose(&[LOG, WAL]) } else { LOG };
        let (place, bit) = (self.random.below(image.length(file).max(1)), self.random.below(8));
        let rots = rotten.rot(file, place, bit);
        if rots {
            self.faults.hits(FaultKind::Rot);
        }
        let named = if rots && self.looks {
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
            self.faults.rots_named += 1;
        }
        self.stops(image);
        Ok(())
    }
}
