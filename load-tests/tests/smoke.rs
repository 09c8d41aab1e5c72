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
        Err(error) => panic!("{words:?}: {}", ledger_classes::primitives::causes::in_a_sentence(&error)),
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
    has_targets(&run(&["latency"]), &["p50, ms, to one fdatasync and 0.35 ms,"]);
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

#[test]
fn channels_share_one_load_and_idle_ones_are_weighed() {
    let report = run(&["channels", "--channels", "1,3", "--idle-channels", "12"]);
    let targets = [
        "total over 3 channels to that over 1",
        "memory of an idle channel, bytes",
        "processor time of all idle channels, of one core",
        "restart with idle channels, s",
    ];
    has_targets(&report, &targets);
    assert!(figure(&report, "3 active", "committed") > 0.0);
    assert_eq!(figure(&report, "creating active channels", "channels"), 2.0);
    assert_eq!(figure(&report, "restart with idle channels", "channels"), 12.0);
    assert!(figure(&report, "idle channels", "open_files_each") >= 1.0);
}

#[test]
fn noisy_offers_good_bad_and_heavy_transactions() {
    let report = run(&["noisy", "--rate", "100"]);
    for noise in ["flooded", "bad signatures", "heavy contracts"] {
        assert_eq!(figure(&report, &format!("quiet, other {noise}"), "committed"), 100.0);
        let (count, other) = if noise == "bad signatures" { ("refused", "committed") } else { ("committed", "failed") };
        let noisy = format!("noisy, {noise}");
        assert!(figure(&report, &noisy, count) > 0.0 && figure(&report, &noisy, other) == 0.0, "{}", report.table());
    }
    assert_eq!(report.targets.len(), 6);
}

#[test]
fn hostile_tries_everything_and_the_quiet_channel_is_served() {
    let report = run(&["hostile", "--rate", "50"]);
    has_targets(
        &report,
        &[
            "most memory of the peer, bytes,",
            "p99 of posts under attack to that alone",
            "p99 of reads under attack to that alone",
            "quiet transactions not taken",
        ],
    );
    assert!(report.targets[0].reached && report.targets[3].reached, "{}", report.table());
    for (attack, count) in [
        ("large pages", "bytes"),
        ("scans of the past", "whole"),
        ("proofs", "whole"),
        ("certificate requests", "refused"),
    ] {
        assert!(figure(&report, &format!("attack: {attack}"), count) > 0.0, "{attack}: {}", report.table());
    }
}

#[test]
fn revocations_reach_every_channel_once() {
    let report = run(&["revocations", "--revocations", "6", "--channels", "3", "--rate", "50"]);
    let targets = [
        "until the doors refuse, s,",
        "channels whose door did not refuse then",
        "blocks of each channel then",
        "blocks of any channel then",
        "most memory of the peer, bytes,",
        "p99 of the bystander to that alone",
        "bystander's transactions not taken",
    ];
    has_targets(&report, &targets);
    assert!(report.targets[1..5].iter().all(|target| target.reached), "{}", report.table());
    assert_eq!(figure(&report, "ledgers", "revocations"), 18.0);
    assert!(figure(&report, "ledgers", "all_have_all_s") > 0.0);
}

#[test]
fn recovery_restarts_after_each_step() {
    let report = run(&["recovery", "--transactions", "64,200"]);
    let heights: Vec<f64> = ["64 transactions, clean end", "64 transactions, kill -9", "200 transactions, clean end"]
        .iter()
        .map(|part| figure(&report, part, "height"))
        .collect();
    assert!(heights.is_sorted() && heights[0] < heights[2], "{heights:?}");
    assert_eq!(report.targets.len(), 4);
}

#[test]
fn json_posts_one_by_one() {
    let report = run(&["json"]);
    has_targets(&report, &["ratio to the limit"]);
    assert_eq!(report.refused, Some(0), "{}", report.table());
}

#[test]
fn single_posts_by_streams_and_by_requests() {
    let report = run(&["single"]);
    has_targets(&report, &["ratio to the limit"]);
    assert_eq!(report.refused, Some(0), "{}", report.table());
    assert!(figure(&report, "plain requests", "committed") > 0.0);
    assert_eq!(figure(&report, "plain requests", "refused"), 0.0);
}

#[test]
fn fanout_subscribers_see_every_event_in_order() {
    let report = run(&["fanout", "--subscribers", "1,10", "--filtered", "10", "--deliveries", "1000"]);
    for (part, subscribers) in [("10 filtered subscribers", 10.0), ("1 subscribers", 1.0), ("10 subscribers", 10.0)] {
        assert_eq!(figure(&report, part, "whole"), subscribers, "{}", report.table());
    }
    assert_eq!(figure(&report, "10 subscribers", "whole_slow"), 1.0);
    assert_eq!(figure(&report, "10 filtered subscribers", "deliveries"), 9.0 * 5.0, "five a second, one is slow");
    assert_eq!(figure(&report, "10 subscribers", "deliveries"), 9.0 * figure(&report, "10 subscribers", "committed"));
    assert_eq!(report.targets.len(), 4);
    assert!(report.targets[1..].iter().all(|target| target.reached), "{}", report.table());
}

#[test]
fn soak_adds_up_its_balances() {
    let report = run(&["soak", "--minutes", "0.05", "--rate", "100"]);
    let reached = |part: &str| {
        let target = report.targets.iter().find(|target| target.figure.contains(part));
        target.is_some_and(|target| target.reached)
    };
    assert!(reached("all balances") && reached("every event in order") && reached("not taken"), "{}", report.table());
    assert!(figure(&report, "beside them", "bids") > 0.0 && figure(&report, "log records", "committed") > 0.0);
}
