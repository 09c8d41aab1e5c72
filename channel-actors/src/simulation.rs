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
//! simulation, around the code that serves, and never in it.

mod clients;
pub(crate) mod disk;
mod fickle;
mod ledger;
mod random;
mod world;

pub(crate) use random::Random;

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Blocks that a run has at least.
pub const BLOCKS_MIN: u64 = 200;
/// Faults that it has at least.
pub const FAULTS_MIN: u64 = 20;
/// Kinds of faults that it has at least.
pub const KINDS_MIN: usize = 5;

/// A defect that is planted on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The disk is told to sync, does nothing, and says that it did.
    SyncLeftOut,
    /// What is on its way to the disk is told as if it were there.
    AcknowledgedBeforeSync,
    /// Execution does not know which ids the chain has.
    DuplicateLetThrough,
    /// A block's transactions are executed in the opposite order.
    OrderTurned,
    /// A record of the ordering engine's is told as if it were on the disk.
    RecordedBeforeSync,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::SyncLeftOut,
        Self::AcknowledgedBeforeSync,
        Self::DuplicateLetThrough,
        Self::OrderTurned,
        Self::RecordedBeforeSync,
    ];

    /// Its name on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SyncLeftOut => "sync-left-out",
            Self::AcknowledgedBeforeSync => "acknowledged-before-sync",
            Self::DuplicateLetThrough => "duplicate-let-through",
            Self::OrderTurned => "order-turned",
            Self::RecordedBeforeSync => "recorded-before-sync",
        }
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
    /// One bit of what is read is wrong, once.
    Misread,
    /// A bit of what was acknowledged rots on the disk.
    Rot,
    /// The clock is set, ahead or back.
    ClockJump,
    /// Much more is sent than there is room for.
    Overload,
    /// Work panics.
    Panic,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::PowerLoss,
        Self::Kill,
        Self::SlowDisk,
        Self::FullDisk,
        Self::NoRoom,
        Self::FailedSync,
        Self::Misread,
        Self::Rot,
        Self::ClockJump,
        Self::Overload,
        Self::Panic,
    ];

    /// Whether a channel may halt for it.
    const fn may_halt(self) -> bool {
        matches!(self, Self::NoRoom | Self::FailedSync | Self::Misread | Self::Panic)
    }
}

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Height of the chain at its end.
    pub blocks: u64,
    /// Transactions in these blocks.
    pub transactions: u64,
    /// Faults by kind.
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
        let line = format!("{now:>8} {line}");
        // FNV-1a, going on from the lines before.
        for byte in line.bytes().chain([b'\n']) {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        if self.keeps {
            self.lines.push(line);
        }
    }
}

/// Runs a seed.
pub fn run(seed: u64, mutant: Option<Mutant>, lines: bool) -> Report {
    let mut world = world::World::new(seed, mutant, lines);
    // What is asserted in the code that serves counts, too.
    let ran = catch_unwind(AssertUnwindSafe(|| world.run()));
    let failure = match ran {
        Ok(Ok(())) => None,
        Ok(Err(reason)) => Some(reason),
        Err(panic) => Some(format!("panicked: {}", crate::tasks::words(&*panic))),
    };
    Report { failure, ..world.report() }
}

#[cfg(test)]
mod tests;
