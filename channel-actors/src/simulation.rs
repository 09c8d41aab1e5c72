//! A channel of one peer in virtual time: the machine and the effect loop that serve, the store that serves, on a disk in
//! memory, under clients that send, send again and send too much, while everything around goes wrong. What happens follows
//! from a seed alone: the same seed is the same run, event by event.
//!
//! A run has phases: faults, of at least five kinds, until there are at least 20 of them and 200 blocks; then everything is
//! whole again, and whatever was sent must get its outcome. All the while it is checked that an id has one outcome and is in
//! one block, that nothing that was told is lost, that what a sender sent first is in the chain first, that replay gives
//! equal roots, that rot is an error by name, and at the end that all credits are back.
//!
//! Whether these checks find anything is shown by mutants ([`Mutant`]): a run with one of them must fail. They are in the
//! code that serves, and in no build that serves.

mod clients;
mod clock;
pub(crate) mod disk;
mod effects;
mod faults;
mod fickle;
mod file;
mod ledger;
mod random;
mod several;
mod skew;
mod world;

pub use crate::runtime::mutants::Mutant;
pub(crate) use random::Random;
pub use several::{Together, run_several};

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Blocks that a run has at least.
pub const BLOCKS_MIN: u64 = 200;
/// Faults that it has at least.
pub const FAULTS_MIN: u64 = 20;
/// Kinds of faults that it has at least.
pub const KINDS_MIN: usize = 5;

thread_local! {
    /// The defect of the run on this thread.
    pub(crate) static PLANTED: Cell<Option<Mutant>> = const { Cell::new(None) };
}

impl Mutant {
    /// All that a channel of one peer can have.
    pub const ALL: [Self; 8] = [
        Self::SyncLeftOut,
        Self::AcknowledgedBeforeSync,
        Self::DuplicateLetThrough,
        Self::OrderTurned,
        Self::RecordedBeforeSync,
        Self::DiscardForgets,
        Self::CreditKept,
        Self::ChecksumUnchecked,
    ];

    /// All that a channel of several peers can have.
    pub const OF_SEVERAL: [Self; 5] =
        [Self::RecordedBeforeSync, Self::WitnessAlone, Self::ClockNotAsked, Self::VoteNotKept, Self::SealBeforeFinal];

    /// Its name on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SyncLeftOut => "sync-left-out",
            Self::AcknowledgedBeforeSync => "acknowledged-before-sync",
            Self::DuplicateLetThrough => "duplicate-let-through",
            Self::OrderTurned => "order-turned",
            Self::RecordedBeforeSync => "recorded-before-sync",
            Self::DiscardForgets => "discard-forgets",
            Self::WitnessAlone => "witness-alone",
            Self::ClockNotAsked => "clock-not-asked",
            Self::VoteNotKept => "vote-not-kept",
            Self::SealBeforeFinal => "seal-before-final",
            Self::CreditKept => "credit-kept",
            Self::ChecksumUnchecked => "checksum-unchecked",
        }
    }

    /// Whether only an engine that keeps records and loses blocks has it.
    const fn is_of_engines(self) -> bool {
        matches!(self, Self::RecordedBeforeSync | Self::DiscardForgets)
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// The power goes, now or in the middle of a write: of what was not synced any part may be there.
    PowerLoss,
    /// The process ends.
    Kill,
    /// The disk takes a hundred times as long.
    SlowDisk,
    /// The disk has no room: the door closes, writes wait.
    FullDisk,
    /// A write finds no room in spite of that.
    NoRoom,
    /// A sync fails.
    FailedSync,
    /// One bit of what is read of log, state or write-ahead log is wrong, once or each time that it is read.
    Misread,
    /// A read of log or state fails.
    FailedRead,
    /// A bit of what was acknowledged rots on the disk.
    Rot,
    /// The clock is set, ahead or back.
    ClockJump,
    /// Much more is sent than there is room for.
    Overload,
    /// The store is exchanged for another one with the same log, while blocks are under way.
    Install,
    /// Work panics.
    Panic,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::PowerLoss,
        Self::Kill,
        Self::SlowDisk,
        Self::FullDisk,
        Self::NoRoom,
        Self::FailedSync,
        Self::Misread,
        Self::FailedRead,
        Self::Rot,
        Self::ClockJump,
        Self::Overload,
        Self::Install,
        Self::Panic,
    ];

    /// Whether a channel may halt for it.
    const fn may_halt(self) -> bool {
        matches!(self, Self::NoRoom | Self::FailedSync | Self::Misread | Self::FailedRead | Self::Panic)
    }
}

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Height of the chain at its end.
    pub blocks: u64,
    /// Transactions in these blocks.
    pub transactions: u64,
    /// Faults that came about, by kind.
    pub faults: BTreeMap<FaultKind, u64>,
    /// Rots that were an error by name; the others were healed by a second copy, or of bytes that say nothing.
    pub rots_named: u64,
    /// How often an ordering engine lost blocks that were executed.
    pub discards: u64,
    /// A digest of all that happened, in order.
    pub digest: u64,
    /// All that happened, if that was asked for.
    pub lines: Vec<String>,
    /// What was wrong, if something was.
    pub failure: Option<String>,
}

/// What happens, as lines.
#[derive(Default)]
struct Trace {
    digest: u64,
    keeps: bool,
    lines: Vec<String>,
}

impl Trace {
    fn add(&mut self, now: u64, line: fmt::Arguments<'_>) {
        if self.keeps {
            self.lines.push(format!("{now:>8} {line}"));
        }
        // It does not fail.
        let _ = fmt::Write::write_fmt(&mut Digest(&mut self.digest), format_args!("{now:>8} {line}\n"));
    }
}

/// FNV-1a of what is written, going on from what was before.
struct Digest<'a>(&'a mut u64);

impl fmt::Write for Digest<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            *self.0 = (*self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}

/// Runs a seed.
pub fn run(seed: u64, mutant: Option<Mutant>, lines: bool) -> Report {
    run_once(seed, mutant, true, lines)
}

/// Runs a seed twice: both runs must be the same event by event. The second one looks at no copies of the disk, which
/// changes nothing of what happens.
pub fn run_twice(seed: u64, mutant: Option<Mutant>) -> Report {
    let first = run(seed, mutant, false);
    if first.failure.is_some() {
        return first;
    }
    let again = run_once(seed, mutant, false, false);
    match again == (Report { rots_named: 0, ..first.clone() }) {
        true => first,
        false => Report { failure: Some("the second run was another one".into()), ..first },
    }
}

fn run_once(seed: u64, mutant: Option<Mutant>, looks: bool, lines: bool) -> Report {
    let mut world = world::World::new(seed, mutant, looks, lines);
    crate::block::key_cache::remember();
    PLANTED.set(mutant);
    // What is asserted in the code that serves counts, too.
    let ran = catch_unwind(AssertUnwindSafe(|| world.run()));
    PLANTED.set(None);
    let failure = match ran {
        Ok(Ok(())) => None,
        Ok(Err(reason)) => Some(reason),
        Err(panic) => Some(format!("panicked: {}", crate::runtime::tasks::words(&*panic))),
    };
    Report { failure, ..world.report() }
}

#[cfg(test)]
mod tests;
