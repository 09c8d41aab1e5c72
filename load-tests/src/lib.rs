//! The benchmark program: a peer as a process of its own, on a real disk, with TLS and client certificates, driven
//! over its public API with transactions that were signed before the clock started.
//!
//! A [`scenario::Scenario`] measures one thing and is one file; [`run`] puts it between two measurements of the
//! [`yardstick`] and makes a [`report::Report`] of both.
//! What must never happen here: signing or preparing inside the measured window (`soak` alone signs beside its work, and
//! says so), a retry that hides a refusal, a latency counted from a late sending where the time was fixed beforehand, a
//! figure without the commit, the machine and the seed that it belongs to.

pub mod crowd;
pub mod disk;
pub mod drive;
pub mod error;
pub mod figures;
pub mod files;
pub mod latencies;
pub mod machine;
pub mod options;
pub mod order;
pub mod peer;
pub mod process;
pub mod report;
pub mod scenario;
pub mod schedule;
pub mod slope;
pub mod stages;
pub mod wire;
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
    let limits = |when: &str| -> Result<yardstick::Limits, LoadError> {
        progress(&format!("the limit, {when}"));
        let mut limits = yardstick.measure(options.limit_seconds);
        if let Some(program) = &options.yardstick {
            limits.limit_per_s = yardstick::measure_by(program, options)?;
        }
        Ok(limits)
    };
    let before = limits("before")?;
    let mut measured = (scenario.run)(options)?;
    let after = limits("after")?;
    if options.yardstick.is_some() {
        measured.settings.insert("limit_by".into(), "another build of this program".into());
    }
    Ok(Report::new(scenario.name, options, [before, after], measured))
}
