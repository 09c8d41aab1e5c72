//! The outcome of a run: what is printed and what is written.
//!
//! The keys at the top level are what runs are compared by; `detail` says where the time went. A figure that a
//! scenario does not have is null.

use crate::disk;
use crate::drive::Driven;
use crate::figures::{Part, Target, ms};
use crate::machine::{self, Machine};
use crate::options::Options;
use crate::process::{ThreadUse, Usage};
use crate::stages::StageTime;
use crate::yardstick::Limits;
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt::Write as _;
use std::time::Duration;

/// Two limits of one run that differ by more say that the machine had other work.
const LIMIT_SPREAD_MAX: f64 = 0.15;

/// What a scenario measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The machine, with the peer's disk.
    pub machine: Machine,
    /// What the generator saw.
    pub driven: Option<Driven>,
    /// Times of `fdatasync` on the peer's disk.
    pub fdatasync: Vec<Vec<Duration>>,
    /// What the peer used in the window.
    pub peer: Option<Usage>,
    /// What the generator used in the window.
    pub generator: Usage,
    /// Bytes by which the peer's data grew in the window.
    pub data_bytes: u64,
    /// Blocks of the window.
    pub blocks: u64,
    /// Stages of the window.
    pub stages: Vec<StageTime>,
    /// The scenario's own figures.
    pub parts: Vec<Part>,
    /// What it must reach.
    pub targets: Vec<Target>,
    /// What the committed rate must be of the limit, which the scenario itself does not know.
    pub ratio_min: Option<f64>,
    /// What the scenario was set to.
    pub settings: Map<String, Value>,
    /// What a reader must know to judge the figures.
    pub warnings: Vec<String>,
}

impl Measured {
    /// Nothing yet.
    pub fn on(machine: Machine) -> Self {
        Self {
            machine,
            driven: None,
            fdatasync: Vec::new(),
            peer: None,
            generator: Usage::default(),
            data_bytes: 0,
            blocks: 0,
            stages: Vec::new(),
            parts: Vec::new(),
            targets: Vec::new(),
            ratio_min: None,
            settings: Map::new(),
            warnings: Vec::new(),
        }
    }

    /// Notes a setting.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.settings.insert(name.into(), value.into());
    }
}

/// The outcome of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: &'static str,
    /// The commit of the program.
    pub commit: String,
    /// The machine and the build.
    pub machine: Machine,
    /// Mean of the fixed yardstick before and after, signatures a second.
    pub limit_per_s: f64,
    /// Mean of the peer's own verifier before and after, signatures a second.
    pub own_limit_per_s: f64,
    /// Transactions committed with code 0 a second.
    pub committed_per_s: Option<f64>,
    /// `committed_per_s` to `limit_per_s`.
    pub ratio: Option<f64>,
    /// `committed_per_s` to `own_limit_per_s`.
    pub own_ratio: Option<f64>,
    /// Half of all transactions were answered within this.
    pub p50_ms: Option<f64>,
    /// 99 %.
    pub p99_ms: Option<f64>,
    /// 99.9 %.
    pub p999_ms: Option<f64>,
    /// All.
    pub max_ms: Option<f64>,
    /// Median of an `fdatasync` of 4 KiB on the peer's disk.
    pub fdatasync_p50_ms: Option<f64>,
    /// Transactions that were not taken.
    pub refused: Option<u64>,
    /// Processor seconds of the peer in the window.
    pub peer_cpu_s: Option<f64>,
    /// The most resident memory of the peer.
    pub peer_rss_max_bytes: Option<u64>,
    /// Growth of the peer's data by committed transaction.
    pub bytes_per_transaction: Option<f64>,
    /// The scenario's own figures.
    pub parts: Vec<Part>,
    /// What it must reach, and whether it did.
    pub targets: Vec<Target>,
    /// The seed.
    pub seed: u64,
    /// What the run was set to.
    pub settings: Map<String, Value>,
    /// What a reader must know to judge the figures.
    pub warnings: Vec<String>,
    /// Where the time went.
    pub detail: Detail,
}

/// Where the time went.
#[derive(Clone, Debug, Serialize)]
pub struct Detail {
    /// The limits before the run.
    pub limits_before: Limits,
    /// The limits after it.
    pub limits_after: Limits,
    /// Seconds of the window.
    pub window_s: Option<f64>,
    /// Transactions committed with code 0.
    pub committed: Option<u64>,
    /// Transactions committed with another code.
    pub failed: Option<u64>,
    /// Blocks.
    pub blocks: u64,
    /// Transactions of a block, on average.
    pub transactions_per_block: Option<f64>,
    /// Processor microseconds of the peer for one committed transaction, to be held against `own_cpu_us` of the
    /// limits.
    pub peer_cpu_us_per_transaction: Option<f64>,
    /// Processor seconds of the generator in the window.
    pub generator_cpu_s: f64,
    /// The peer's threads in the window.
    pub peer_threads: Vec<ThreadUse>,
    /// The peer's stages in the window.
    pub peer_stages: Vec<StageTime>,
}

/// Why two measurements of a limit do not belong to one run, if they do not.
fn spread(name: &str, before: f64, after: f64) -> Option<String> {
    let spread = (before - after).abs() / before.max(after);
    (spread > LIMIT_SPREAD_MAX)
        .then(|| format!("the {name} differed by {:.0} % before and after: the machine had other work", spread * 100.0))
}

/// A value as people read it; series are for the JSON report.
fn plain(value: &Value) -> String {
    if let Some(series) = value.as_array() {
        return format!("({} values)", series.len());
    }
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Report {
    /// Puts a measurement between its limits.
    pub fn new(scenario: &'static str, options: &Options, [before, after]: [Limits; 2], measured: Measured) -> Self {
        let Measured { machine, driven, peer, parts, mut targets, mut settings, mut warnings, .. } = measured;
        let limit = (before.limit_per_s + after.limit_per_s) / 2.0;
        let own_limit = (before.own_limit_per_s + after.own_limit_per_s) / 2.0;
        warnings.extend(spread("limit", before.limit_per_s, after.limit_per_s));
        warnings.extend(spread("peer's own limit", before.own_limit_per_s, after.own_limit_per_s));
        if !machine.optimised {
            warnings.push("not an optimised build: run with --release".into());
        }
        if !machine.has_real_disk() {
            warnings.push(format!("the peer's data was on {}, which is no disk", machine.file_system));
        }
        if let Some(driven) = &driven {
            if driven.failed > 0 {
                warnings.push(format!("{} transactions were committed without effect", driven.failed));
            }
            if !driven.reasons.is_empty() {
                warnings.push(format!("refused: {}", driven.reasons.join(", ")));
            }
            if driven.ran_out {
                warnings.push("the prepared transactions ended before the window".into());
            }
        }
        settings.insert("limit_seconds".into(), options.limit_seconds.as_secs_f64().into());
        let per_s = driven.as_ref().map(Driven::committed_per_s);
        let shares = driven.as_ref().and_then(|driven| driven.latencies.percentiles([50.0, 99.0, 99.9, 100.0]));
        let share = |at: usize| shares.map(|shares| ms(shares[at]));
        if let Some(least) = measured.ratio_min {
            targets.insert(0, Target::at_least("ratio to the limit", least, per_s.map(|rate| rate / limit)));
        }
        let committed = driven.as_ref().map(|driven| driven.committed);
        let each = |total: u64, of: u64| (of > 0).then(|| total as f64 / of as f64);
        Self {
            scenario,
            commit: machine::commit(),
            machine,
            limit_per_s: limit.round(),
            own_limit_per_s: own_limit.round(),
            committed_per_s: per_s.map(f64::round),
            ratio: per_s.map(|rate| rate / limit),
            own_ratio: per_s.map(|rate| rate / own_limit),
            p50_ms: share(0),
            p99_ms: share(1),
            p999_ms: share(2),
            max_ms: share(3),
            fdatasync_p50_ms: disk::median(measured.fdatasync).map(ms),
            refused: driven.as_ref().map(|driven| driven.refused),
            peer_cpu_s: peer.as_ref().map(|peer| peer.cpu.as_secs_f64()),
            peer_rss_max_bytes: peer.as_ref().map(|peer| peer.rss_max_bytes),
            bytes_per_transaction: committed.and_then(|committed| each(measured.data_bytes, committed)),
            parts,
            targets,
            seed: options.seed,
            settings,
            warnings,
            detail: Detail {
                limits_before: before,
                limits_after: after,
                window_s: driven.as_ref().map(|driven| driven.window.as_secs_f64()),
                committed,
                failed: driven.as_ref().map(|driven| driven.failed),
                blocks: measured.blocks,
                transactions_per_block: committed.and_then(|committed| each(committed, measured.blocks)),
                peer_cpu_us_per_transaction: committed
                    .filter(|committed| *committed > 0)
                    .zip(peer.as_ref())
                    .map(|(committed, peer)| peer.cpu.as_secs_f64() * 1e6 / committed as f64),
                generator_cpu_s: measured.generator.cpu.as_secs_f64(),
                peer_threads: peer.map(|peer| peer.busiest()).unwrap_or_default(),
                peer_stages: measured.stages,
            },
        }
    }

    /// For people.
    pub fn table(&self) -> String {
        let number = |value: Option<f64>, digits: usize| value.map(|value| format!("{value:.digits$}"));
        let percent = |value: Option<f64>| value.map(|value| format!("{:.1} %", value * 100.0));
        let rows = [
            ("scenario", Some(self.scenario.to_owned())),
            ("commit", Some(self.commit.clone())),
            ("machine", Some(format!("{}, {} cores", self.machine.processor, self.machine.cores))),
            ("limit, signatures/s", number(Some(self.limit_per_s), 0)),
            ("peer's own limit, signatures/s", number(Some(self.own_limit_per_s), 0)),
            ("committed, transactions/s", number(self.committed_per_s, 0)),
            ("of the limit", percent(self.ratio)),
            ("of the peer's own limit", percent(self.own_ratio)),
            ("p50, ms", number(self.p50_ms, 3)),
            ("p99, ms", number(self.p99_ms, 3)),
            ("p99.9, ms", number(self.p999_ms, 3)),
            ("max, ms", number(self.max_ms, 3)),
            ("fdatasync p50, ms", number(self.fdatasync_p50_ms, 3)),
            ("refused", self.refused.map(|refused| refused.to_string())),
            ("peer's processor time, s", number(self.peer_cpu_s, 2)),
            ("peer's processor time, us a transaction", number(self.detail.peer_cpu_us_per_transaction, 1)),
            ("verifier's processor time, us a signature", number(Some(self.detail.limits_after.own_cpu_us), 1)),
            ("generator's processor time, s", number(Some(self.detail.generator_cpu_s), 2)),
            ("window, s", number(self.detail.window_s, 2)),
            ("peer's memory, MiB", self.peer_rss_max_bytes.map(|bytes| (bytes >> 20).to_string())),
            ("data on disk, bytes a transaction", number(self.bytes_per_transaction, 0)),
            ("transactions of a block", number(self.detail.transactions_per_block, 1)),
            ("seed", Some(self.seed.to_string())),
        ];
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name:42}{value}");
        };
        rows.iter().for_each(|(name, value)| line(name, value.as_deref().unwrap_or("-")));
        for stage in &self.detail.peer_stages {
            let bound = |bound: Option<f64>| bound.map_or("more".to_owned(), |bound| format!("{bound:.1} ms"));
            let (p99, longest) = (bound(stage.p99_at_most_ms), bound(stage.longest_at_most_ms));
            let times = format!("{:>9.3} ms x {:>7} = {:>8.2} s", stage.mean_ms, stage.jobs, stage.total_s);
            let value = format!("{times}, p99 at most {p99}, longest {longest}");
            line(&format!("stage {}", stage.stage), &value);
        }
        for thread in &self.detail.peer_threads {
            line(&format!("peer's thread {}", thread.thread), &format!("{:>9.2} s", thread.cpu_s));
        }
        for part in &self.parts {
            let figures = part.figures.iter().map(|(name, value)| format!("{name} {}", plain(value)));
            line(&part.part, &figures.collect::<Vec<_>>().join("  "));
        }
        self.warnings.iter().for_each(|warning| line("WARNING", warning));
        self.targets.iter().for_each(|target| line("TARGET", &target.text()));
        text
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::Parser as _;

    fn report(limits: [f64; 2], driven: Option<Driven>) -> Report {
        finish(limits, measured(driven))
    }

    fn finish(limits: [f64; 2], measured: Measured) -> Report {
        let limits = limits.map(|limit| Limits { limit_per_s: limit, own_limit_per_s: 2.0 * limit, own_cpu_us: 1.0 });
        Report::new("throughput", &Options::parse_from(["load-tests", "throughput"]), limits, measured)
    }

    fn measured(driven: Option<Driven>) -> Measured {
        let machine = Machine {
            processor: "one".into(),
            cores: 2,
            memory_bytes: 1,
            kernel: "6".into(),
            file_system: "ext4".into(),
            curve_code: "default",
            optimised: true,
        };
        let mut measured = Measured::on(machine);
        measured.driven = driven;
        measured.data_bytes = 1000;
        measured.blocks = 2;
        measured.peer = Some(Usage { cpu: Duration::from_millis(2), ..Usage::default() });
        measured
    }

    #[test]
    fn rates_are_held_against_the_mean_of_both_limits() {
        let mut driven = Driven { committed: 10, window: Duration::from_millis(100), ..Driven::default() };
        driven.latencies.add(Duration::from_millis(3), 10);
        let report = report([190.0, 210.0], Some(driven));
        assert_eq!((report.committed_per_s, report.ratio, report.own_ratio), (Some(100.0), Some(0.5), Some(0.25)));
        assert_eq!((report.p50_ms, report.bytes_per_transaction), (Some(3.0), Some(100.0)));
        assert_eq!(report.detail.transactions_per_block, Some(5.0));
        assert_eq!(report.detail.peer_cpu_us_per_transaction, Some(200.0));
        assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    }

    #[test]
    fn parts_and_targets_are_printed_and_the_ratio_is_held_against_its_own() {
        let driven = Driven { committed: 10, window: Duration::from_millis(100), ..Driven::default() };
        let mut measured = measured(Some(driven));
        measured.ratio_min = Some(0.6);
        measured.targets.push(Target::at_most("p99, ms", 60.0, 59.0));
        measured.parts.push(Part::new("ten channels").with("committed_per_s", 7).with("state", "well"));
        let report = finish([200.0, 200.0], measured);
        assert_eq!(report.targets.iter().map(|target| target.reached).collect::<Vec<_>>(), [false, true]);
        let table = report.table();
        for part in ["TARGET", "ratio to the limit at least 0.6: 0.5, MISSED", "p99, ms at most 60: 59, reached"] {
            assert!(table.contains(part), "{table} should say {part}");
        }
        let line = table.lines().find(|line| line.starts_with("ten channels")).unwrap();
        assert!(line.ends_with("committed_per_s 7  state well"), "{line}");
    }

    #[test]
    fn what_spoils_a_run_is_said() {
        for (limits, driven, part) in [
            ([100.0, 84.0], Driven::default(), "the limit differed by 16 %"),
            ([100.0, 100.0], Driven { failed: 3, ..Driven::default() }, "3 transactions were committed without effect"),
            ([100.0, 100.0], Driven { reasons: vec!["busy".into()], ..Driven::default() }, "refused: busy"),
            ([100.0, 100.0], Driven { ran_out: true, ..Driven::default() }, "ended before the window"),
        ] {
            let report = report(limits, Some(driven));
            assert!(report.warnings[0].contains(part), "{:?} should say {part}", report.warnings);
            assert!(report.table().contains("WARNING"));
        }
        assert!(report([100.0, 86.0], None).warnings.is_empty());
    }

    #[test]
    fn the_written_report_has_the_keys_that_runs_are_compared_by() {
        let json = serde_json::to_value(report([1.0, 1.0], None)).unwrap();
        for key in [
            "scenario",
            "commit",
            "machine",
            "limit_per_s",
            "own_limit_per_s",
            "committed_per_s",
            "ratio",
            "own_ratio",
            "p50_ms",
            "p99_ms",
            "p999_ms",
            "max_ms",
            "fdatasync_p50_ms",
            "refused",
            "peer_cpu_s",
            "peer_rss_max_bytes",
            "bytes_per_transaction",
            "parts",
            "targets",
            "seed",
            "settings",
        ] {
            assert!(json.get(key).is_some(), "{key}");
        }
    }
}
