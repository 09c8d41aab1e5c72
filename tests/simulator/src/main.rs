//! Runs a channel in virtual time, seed after seed: the machine, the effect loop and the store that serve, while everything
//! around them goes wrong. What is checked is in `channel_actors::simulation`.
//!
//! The last line names seeds, seeds a minute and failures. Each seed runs twice, and both runs must be the same event by
//! event. Ends with 0 if every seed held, with 1 if one did not: so with a mutant 1 says that it was found.

use channel_actors::simulation::{FaultKind, Mutant, Report, run, run_several, run_twice};
use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use std::collections::{BTreeMap, BTreeSet};
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

/// Simulates channels of one peer, or of several, from seeds.
#[derive(Parser)]
#[command(after_help = "Examples:
  simulator --seeds 1000 --from 1
  simulator --seed 77 --trace
  simulator --seeds 1000 --mutant sync-left-out
  simulator --peers 3 --seeds 100
  simulator --peers 3 --seeds 20 --mutant vote-not-kept")]
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
    #[arg(long, value_parser = PossibleValuesParser::new(names()))]
    mutant: Option<String>,
    /// Peers of each channel: one, or three that Raft orders.
    #[arg(long, default_value = "1", value_parser = PossibleValuesParser::new(["1", "3"]))]
    peers: String,
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

/// The defects of one peer and of several, each once.
fn names() -> Vec<&'static str> {
    let all = Mutant::ALL.iter().chain(&Mutant::OF_SEVERAL).map(|one| one.name());
    all.collect::<BTreeSet<_>>().into_iter().collect()
}

/// A seed of several peers, twice: both runs must be the same.
fn several_twice(seed: u64, mutant: Option<Mutant>) -> Report {
    let failed = |reason: String| Report { failure: Some(reason), ..Report::default() };
    match run_several(seed, mutant, false).0 {
        Err(reason) => failed(reason),
        Ok(first) if run_several(seed, mutant, false).0.as_ref() != Ok(&first) => {
            failed("the second run was another one".into())
        }
        Ok(first) => Report { blocks: first.blocks, transactions: first.transactions, ..Report::default() },
    }
}

fn main() -> ExitCode {
    let Arguments { seeds, from, seed, trace, mutant, peers, threads } = Arguments::parse();
    let several = peers == "3";
    let of = if several { &Mutant::OF_SEVERAL[..] } else { &Mutant::ALL[..] };
    let planted = of.iter().copied().find(|one| mutant.as_deref() == Some(one.name()));
    if let Some(name) = mutant.filter(|_| planted.is_none()) {
        let what = format!("channels have no {name} with --peers {peers}");
        Arguments::command().error(ErrorKind::ArgumentConflict, what).exit();
    }
    let mutant = planted;
    // A panic is a failure of its seed, which is printed.
    std::panic::set_hook(Box::new(|_| {}));
    if let (Some(seed), true) = (seed, trace) {
        let lines = if several { run_several(seed, mutant, true).1 } else { run(seed, mutant, true).lines };
        lines.iter().for_each(|line| println!("{line}"));
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
                    let report = if several { several_twice(seed, mutant) } else { run_twice(seed, mutant) };
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
