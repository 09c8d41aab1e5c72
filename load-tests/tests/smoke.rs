//! Every scenario in small: it runs to its end, all that it sent was committed, and its report has its parts and its
//! targets. The figures mean nothing here, and whether targets were reached is not looked at.

use clap::Parser as _;
use load_tests::options::Options;
use load_tests::report::Report;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The peer's program next to the tests, built if it is not there.
fn chancery() -> &'static PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let own = std::env::current_exe().expect("a test has a path");
        let path = own.ancestors().nth(2).expect("<profile>/deps/<test>").join("chancery");
        if !path.is_file() {
            let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
            let built = Command::new(env!("CARGO")).current_dir(root).args(["build", "-p", "server"]).status();
            assert!(built.is_ok_and(|status| status.success()), "the server does not build");
        }
        path
    })
}

/// Runs a scenario with few accounts for a second.
fn run(words: &[&str]) -> Report {
    let path = chancery().to_str().expect("UTF-8");
    let common = ["--chancery", path, "--dir", env!("CARGO_TARGET_TMPDIR"), "--seconds", "1"];
    let small = ["--limit-seconds", "0.01", "--senders", "32", "--connections", "2", "--batch", "32"];
    let options = Options::parse_from([&["load-tests"], words, &common, &small].concat());
    let report = match load_tests::run(&options) {
        Ok(report) => report,
        Err(error) => panic!("{words:?}: {}", load_tests::error::sentence(&error)),
    };
    assert!(report.detail.committed > Some(0), "{}", report.table());
    assert_eq!(report.detail.failed, Some(0), "{}", report.table());
    report
}

/// A figure of a part.
fn figure(report: &Report, part: &str, name: &str) -> f64 {
    let part = report.parts.iter().find(|one| one.part == part).unwrap_or_else(|| panic!("{part}: {}", report.table()));
    part.figures.get(name).and_then(Value::as_f64).unwrap_or_else(|| panic!("{name} of {part:?}"))
}

/// The report has these targets, each with a figure.
fn has_targets(report: &Report, targets: &[&str]) {
    let found: Vec<_> = report.targets.iter().map(|target| target.figure.as_str()).collect();
    assert_eq!(found, targets);
    assert!(report.targets.iter().all(|target| target.value.is_some()), "{}", report.table());
}

#[test]
fn throughput_and_latency_say_whether_they_reached_their_targets() {
    has_targets(&run(&["throughput"]), &["ratio to the limit"]);
    has_targets(&run(&["latency"]), &["p50, ms, to one fdatasync and 1.5 ms,"]);
}

#[test]
fn half_sends_all_that_its_timetable_has() {
    let report = run(&["half", "--rate", "300"]);
    has_targets(&report, &["p99, ms", "p99.9, ms", "transactions not taken"]);
    assert_eq!(report.detail.committed, Some(300), "{}", report.table());
}

#[test]
fn hot_stands_beside_throughput() {
    let report = run(&["hot"]);
    has_targets(&report, &["one merchant, to throughput,", "ten accounts, to throughput,"]);
    for part in ["throughput before", "one merchant", "ten accounts", "throughput after"] {
        assert!(figure(&report, part, "committed") > 0.0);
        assert_eq!(figure(&report, part, "failed"), 0.0);
    }
}
