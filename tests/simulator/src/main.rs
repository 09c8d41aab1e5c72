//! Runs a channel in virtual time, seed after seed: the machine, the effect loop and the store that serve, while everything
//! around them goes wrong. What is checked is in `channel_actors::simulation`.
//!
//! The last line names seeds, seeds a minute and failures. Each seed runs twice, and both runs must be the same event by
//! event. Ends with 0 if every seed held, with 1 if one did not: so with a mutant 1 says that it was found.

use channel_actors::simulation::{FaultKind, Mutant, Report, run, run_twice};
use clap::Parser;
use clap::builder::PossibleValuesParser;
use std::collections::BTreeMap;
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Failures that are shown; the others are counted.
const SHOWN_MAX: u64 = 10;

/// Simulates channels of one peer, from seeds.
#[derive(Parser)]
#[command(after_help = "Examples:
  simulator --seeds 1000 --from 1
  simulator --seed 77 --trace
  simulator --seeds 1000 --mutant sync-left-out

Two defects need several peers and an engine over Raft, which this program has not: witness-alone and clock-not-asked are
found by the tests of that engine, `cargo test -p simulator --test raft`.")]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100, conflicts_with = "seed")]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1, conflicts_with = "seed")]
    from: u64,
    /// Runs one seed only.
    #[arg(long)]
    seed: Option<u64>,
    /// Prints all that happens in that seed.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Plants a defect: ends with 1 as soon as a seed has found it.
    #[arg(long, value_parser = PossibleValuesParser::new(Mutant::ALL.map(Mutant::name)))]
    mutant: Option<String>,
    /// Seeds that run at a time; 0 for one a processor core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

/// What came of all seeds.
#[derive(Default)]
struct Totals {
    failures: u64,
    blocks: u64,
    transactions: u64,
    faults: BTreeMap<FaultKind, u64>,
    rots_named: u64,
}

impl Totals {
    fn add(&mut self, report: Report) {
        self.failures += u64::from(report.failure.is_some());
        self.blocks += report.blocks;
        self.transactions += report.transactions;
        self.rots_named += report.rots_named;
        for (kind, count) in report.faults {
            *self.faults.entry(kind).or_default() += count;
        }
    }
}

fn main() -> ExitCode {
    let Arguments { seeds, from, seed, trace, mutant, threads } = Arguments::parse();
    let mutant = Mutant::ALL.into_iter().find(|one| mutant.as_deref() == Some(one.name()));
    // A panic is a failure of its seed, which is printed.
    std::panic::set_hook(Box::new(|_| {}));
    if let (Some(seed), true) = (seed, trace) {
        let report = run(seed, mutant, true);
        report.lines.iter().for_each(|line| println!("{line}"));
    }
    let (from, seeds) = seed.map_or((from, seeds), |seed| (seed, 1));
    let threads = match threads {
        0 => thread::available_parallelism().map_or(1, NonZero::get),
        threads => threads,
    };
    let (next, done, found) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let totals = Mutex::new(Totals::default());
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= seeds || found.load(Ordering::Relaxed) {
                        return;
                    }
                    let seed = from.wrapping_add(number);
                    let report = run_twice(seed, mutant);
                    done.fetch_add(1, Ordering::Relaxed);
                    let Ok(mut totals) = totals.lock() else { return };
                    if let Some(failure) = report.failure.as_ref().filter(|_| totals.failures < SHOWN_MAX) {
                        println!("seed {seed}: {failure}");
                        found.fetch_or(mutant.is_some(), Ordering::Relaxed);
                    }
                    totals.add(report);
                }
            });
        }
    });
    let Ok(Totals { failures, blocks, transactions, faults, rots_named }) = totals.into_inner() else {
        return ExitCode::from(2);
    };
    let seeds = done.into_inner();
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    println!("{blocks} blocks, {transactions} transactions, {rots_named} rots named, faults {faults:?}");
    println!("{seeds} seeds, {:.0} seeds a minute, {failures} failures", seeds as f64 / minutes);
    if failures > 0 { ExitCode::from(1) } else { ExitCode::SUCCESS }
}
