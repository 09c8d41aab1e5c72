//! The benchmark program: a peer as a process of its own, on a real disk, with TLS and client certificates, driven
//! over its public API with transactions that were signed before the clock started.
//!
//! A [`scenario::Scenario`] measures one thing and is one file; [`run`] puts it between two measurements of the
//! [`yardstick`] and makes a [`report::Report`] of both.
//! What must never happen here: signing or preparing inside the measured window, a retry that hides a refusal, a
//! figure without the commit, the machine and the seed that it belongs to.

pub mod disk;
pub mod drive;
pub mod error;
pub mod latencies;
pub mod machine;
pub mod options;
pub mod peer;
pub mod process;
pub mod report;
pub mod scenario;
pub mod stages;
pub mod workload;
pub mod yardstick;

use error::LoadError;
use options::Options;
use report::Report;

/// Says on standard error what goes on.
pub(crate) fn progress(text: &str) {
    use std::io::Write as _;
    // Nobody to tell is no reason to stop measuring.
    let _ = writeln!(std::io::stderr(), "load-tests: {text}");
}

/// Measures the limit, runs the scenario, measures the limit again.
pub fn run(options: &Options) -> Result<Report, LoadError> {
    let scenario = scenario::find(&options.scenario)?;
    let yardstick = yardstick::Yardstick::new(options.seed);
    progress("the limit, before");
    let before = yardstick.measure(options.limit_seconds);
    let measured = (scenario.run)(options)?;
    progress("the limit, after");
    let after = yardstick.measure(options.limit_seconds);
    Ok(Report::new(scenario.name, options, [before, after], measured))
}
