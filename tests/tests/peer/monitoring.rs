//! What those see who watch over peers: metrics, alerts that fire when they should and only then, health, and a log in
//! which strangers make no errors. Needs `promtool` of Debian's `prometheus`.

use crate::harness::{Consortium, Peer, append, run, signed, text, transaction};
use crate::wait;
use client::submit::Wait;
use ledger_classes::formats::transaction::Envelope;
use ledger_classes::primitives::time::Time;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const METRICS: (&str, &str) = ("CHANCERY_METRICS_LISTEN", "127.0.0.1:0");

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/monitoring")
}

fn promtool(arguments: &[&str]) {
    let output = Command::new("promtool").args(arguments).output().expect("promtool is installed (Debian: prometheus)");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "promtool {arguments:?}: {}", String::from_utf8_lossy(&said));
}

/// What the listener answers at a path: the status, and the body.
fn get(peer: &Peer, path: &str) -> (String, String) {
    let url = peer.metrics.as_deref().expect("asked for").replace("/metrics", path);
    let output = Command::new("curl").args(["--silent", "--write-out", "\n%{http_code}", &url]).output();
    let said = String::from_utf8(output.expect("curl is installed").stdout).expect("text");
    let (body, status) = said.rsplit_once('\n').expect("a status");
    (status.to_owned(), body.to_owned())
}

/// A peer that has done a little of everything.
async fn used(consortium: &Consortium) -> Peer {
    let peer = Peer::start(&consortium.dir(), &[METRICS]);
    let connection = peer.connect(&consortium.admin());
    let main = connection.channel("main").await.expect("there").id;
    let done = connection.submit("main", &signed(main, 1, vec![append("test", "a word")]), Wait::Committed).await;
    done.expect("taken").receipt.expect("committed");
    let mut late = transaction(main, vec![append("test", "late")]);
    late.valid_until = Time::from_millis(1);
    let late = Envelope::sign_binary(&late, &[&crate::harness::key(1)]);
    connection.submit("main", &late, Wait::Committed).await.expect_err("it is too late");
    peer
}

#[tokio::test]
async fn a_peer_that_is_well_raises_no_alert_and_tells_all_that_alerts_and_dashboard_ask() {
    let consortium = Consortium::new();
    let peer = used(&consortium).await;
    let (_, exposition) = get(&peer, "/metrics");
    let now = client::now().millis() as f64 / 1000.0;

    // Prometheus' tests begin at the epoch.
    let mut series = vec!["      - { series: 'up{job=\"chancery\",instance=\"a\"}', values: '1x90' }".to_owned()];
    let mut names = BTreeSet::new();
    for line in exposition.lines().filter(|line| !line.starts_with('#')) {
        let (sample, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
        let value: f64 = value.parse().expect("a number");
        let value = if name.ends_with("_timestamp_seconds") { value - now } else { value };
        let comma = if labels == "}" { "" } else { "," };
        let sample = format!("{name}{{job=\"chancery\",instance=\"a\"{comma}{labels}");
        series.push(format!("      - {{ series: '{sample}', values: '{value}x90' }}"));
        names.insert(name.to_owned());
    }
    let rules = folder().join("alerts.yml");
    let test = format!(
        "rule_files: ['{}']\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n{}\n    \
         promql_expr_test:\n      - {{ expr: 'ALERTS', eval_time: 80m, exp_samples: [] }}\n",
        text(&rules),
        series.join("\n")
    );
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("well.yml");
    fs::write(&file, &test).expect("writes");
    promtool(&["test", "rules", text(&file)]);
    // The same with a channel that has halted must fail, or the test says nothing.
    let ill = test.replace(
        "chancery_channel_halted{job=\"chancery\",instance=\"a\",channel=\"main\"}', values: '0",
        "chancery_channel_halted{job=\"chancery\",instance=\"a\",channel=\"main\"}', values: '1",
    );
    assert_ne!(ill, test, "a channel that serves tells that it has not halted");
    fs::write(&file, ill).expect("writes");
    let output = Command::new("promtool").args(["test", "rules", text(&file)]).output().expect("promtool is installed");
    assert!(!output.status.success());

    for document in ["alerts.yml", "dashboard.json"] {
        let document = fs::read_to_string(folder().join(document)).expect("readable");
        let words = document.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let asked = words.filter(|word| word.starts_with("chancery_") || word.starts_with("process_"));
        for name in asked.collect::<BTreeSet<_>>() {
            assert!(names.contains(name), "{name} is not told: {names:?}");
        }
    }
    for line in [
        "# UNIT chancery_request_seconds seconds",
        "# UNIT chancery_disk_free_bytes bytes",
        "# UNIT process_resident_memory_bytes bytes",
        "chancery_build_info{version=",
        "chancery_expiry_timestamp_seconds{kind=\"crl\",name=\"bank\"}",
        "# EOF",
    ] {
        assert!(exposition.lines().any(|told| told.starts_with(line)), "{line} is missing in {exposition}");
    }
    // A peer may have thousands of channels.
    let of_main = exposition.lines().filter(|line| line.contains("channel=\"main\"")).count();
    assert!(of_main <= 20, "{of_main} lines for one channel");
}

#[test]
fn each_alert_fires_in_its_case() {
    let folder = folder();
    let of = |name: &str| text(&folder.join(name)).to_owned();
    promtool(&["check", "rules", &of("alerts.yml")]);
    promtool(&["check", "config", &of("prometheus.yml")]);
    promtool(&["test", "rules", &of("alerts_test.yml")]);
    let (rules, tests) = (fs::read_to_string(of("alerts.yml")), fs::read_to_string(of("alerts_test.yml")));
    let (rules, tests) = (rules.expect("readable"), tests.expect("readable"));
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10);
    for alert in alerts {
        assert!(tests.contains(&format!("alertname=\"{alert}\"")), "{alert} has no case");
    }
}

#[tokio::test]
async fn a_peer_is_healthy_and_ready_until_nobody_accepts_its_certificate() {
    let consortium = Consortium::new();
    let peer = Peer::start(&consortium.dir(), &[METRICS]);
    let ok = ("200".to_owned(), "ok\n".to_owned());
    assert_eq!((get(&peer, "/healthz"), get(&peer, "/readyz")), (ok.clone(), ok.clone()));
    assert_eq!(get(&peer, "/elsewhere").0, "404");
    let own = "spiffe://test.example/bank/peer/peer-1";
    run(&["ca", "--dir", text(&consortium.dir()), "revoke", own, "--reason", "superseded"]);
    let reason = wait::until_found("it is not ready", || {
        let (status, body) = get(&peer, "/readyz");
        (status == "503").then_some(body)
    });
    assert!(reason.contains("the peer's own certificate is not accepted"), "{reason}");
    assert_eq!(get(&peer, "/healthz"), ok, "no restart would mend that");
}

/// A stranger's malformed request was an error in the peer's log, and a refused handshake not even a line.
#[tokio::test]
async fn strangers_make_no_errors_in_the_log_and_refused_handshakes_are_lines_of_it() {
    let consortium = Consortium::new();
    let mut peer = Peer::start(&consortium.dir(), &[METRICS]);
    let address = peer.url.trim_start_matches("https://").to_owned();
    let mut plain = TcpStream::connect(&address).expect("connects");
    plain.write_all(b"GET /v1/status HTTP/1.1\r\nhost: here\r\n\r\n").expect("sends");
    wait::until_found("it is counted", || (peer.metric("chancery_handshakes_refused_total") != "0").then_some(()));
    let mut openssl = Command::new("openssl");
    let mut child = openssl
        .args(["s_client", "-quiet", "-connect", &address])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is installed");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"GET /v1/status HTTP/1.1\r\nno header at all\r\n\r\n").expect("sends");
    let answer = child.wait_with_output().expect("it ends").stdout;
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
    drop(stdin);
    peer.terminate();
    assert!(peer.ended().success());
    assert_eq!((peer.said("a handshake was refused"), peer.said("a connection was closed")), (1, 1));
    assert_eq!(peer.said("ERROR"), 0);
}
