//! Nothing ends in silence: neither what a peer does in the background when it panics, nor the peer when its log, or
//! its standard output, cannot be written.

use crate::harness::{Consortium, Peer, append, chancery, run, signed, text};
use crate::wait::until;
use client::api::{PeerStatus, TaskView};
use client::connection::Connection;
use client::submit::Wait;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

/// Everything that a peer with an exchange of CRLs does in the background, but for its listener.
const TASKS: [&str; 21] = [
    "audit",
    "checkpoint",
    "control",
    "crl-exchange",
    "disk",
    "handshake",
    "log",
    "monitor",
    "open",
    "places",
    "read",
    "reload",
    "renewal",
    "resume",
    "revocations",
    "store",
    "suspend",
    "timers",
    "trust",
    "upkeep",
    "verify",
];

const METRICS: (&str, &str) = ("CHANCERY_METRICS_LISTEN", "127.0.0.1:0");

async fn commits(connection: &Connection) {
    let main = connection.channel("main").await.expect("there").id;
    let outcome = connection.submit("main", &signed(main, 1, vec![append("test", "a word")]), Wait::Committed).await;
    assert_eq!(outcome.expect("taken").receipt.expect("committed").code, 0);
}

/// A revocation takes effect: the peer still looks.
async fn revokes(consortium: &Consortium, peer: &Peer, name: &str) {
    let gone = peer.connect_once(&consortium.path(&format!("bank-client-{name}")));
    gone.status().await.expect("a good certificate");
    let identity = format!("spiffe://test.example/bank/client/{name}");
    run(&["ca", "--dir", text(&consortium.dir()), "revoke", &identity, "--reason", "key-compromise"]);
    until("refused", async || gone.status().await.is_err().then_some(())).await;
}

#[tokio::test]
async fn every_background_task_that_panics_begins_anew() {
    let consortium = Consortium::new();
    consortium.profile("bank", "client", "ann");
    let breaks: Vec<String> = TASKS.iter().map(|name| format!("{name}=1")).collect();
    // Nobody is there, which is a reason to go on.
    let exchange = ("CHANCERY_CRL_PEERS", "https://127.0.0.1:1");
    let mut peer = Peer::start(&consortium.dir(), &[METRICS, exchange, ("PEER_UNDER_TEST_BREAKS", &breaks.join(","))]);
    let connection = peer.connect_once(&consortium.admin());
    let mended = |task: &TaskView| task.running > 0 && (task.restarts == 1 || !TASKS.contains(&task.name.as_str()));
    let status: PeerStatus = until("all begin anew", async || {
        let status = connection.status().await.expect("answers");
        status.tasks.iter().all(mended).then_some(status)
    })
    .await;
    let names: Vec<&str> = status.tasks.iter().map(|task| task.name.as_str()).collect();
    let mut expected: Vec<&str> = TASKS.iter().copied().chain(["https"]).collect();
    expected.sort_unstable();
    assert_eq!(names, expected, "a task that this test does not break");
    for name in TASKS {
        assert_eq!(peer.metric(&format!("chancery_task_restarts_total{{task=\"{name}\"}}")), "1");
        assert_ne!(peer.metric(&format!("chancery_task_running{{task=\"{name}\"}}")), "0");
    }
    commits(&connection).await;
    revokes(&consortium, &peer, "ann").await;
    let profile = consortium.admin();
    until("acts are recorded", async || {
        let listed = peer.run(&profile, &["log", "list", "--topic", "audit.certificate", "--channel", "main"]);
        listed.to_string().contains("key-compromise").then_some(())
    })
    .await;
    peer.terminate();
    assert!(peer.ended().success());
    // That of the log may come before there is one.
    for name in TASKS.into_iter().filter(|name| *name != "log") {
        assert_eq!(peer.said(&format!("a background task panicked; it begins anew task=\"{name}\"")), 1);
    }
}

#[tokio::test]
async fn a_task_that_panics_again_and_again_ends_the_peer_with_a_reason() {
    let consortium = Consortium::new();
    for (breaks, reason) in [
        ("revocations=99", "the task revocations panicked 6 times in a row: a test breaks revocations"),
        ("disk=99", "the task disk panicked 6 times in a row: a test breaks disk"),
        ("https=1", "the task https panicked"),
    ] {
        let mut peer = Peer::start(&consortium.dir(), &[("PEER_UNDER_TEST_BREAKS", breaks)]);
        assert_eq!(peer.ended().code(), Some(3), "{breaks}");
        // In the log at once, and as the program's last word.
        assert_eq!(peer.said(reason), 2, "{breaks}");
        assert_eq!(peer.said("the peer has stopped"), 1, "it drains: {breaks}");
    }
}

/// A log that nobody can write to, or that nobody reads, was the end of revocation, of audit and of the drain, and at
/// the fourth request of the peer.
#[tokio::test]
async fn a_peer_whose_log_cannot_be_written_serves_revokes_and_drains() {
    let consortium = Consortium::new();
    let (nobody, gone) = std::io::pipe().expect("a pipe");
    drop(nobody);
    let (_unread, full) = std::io::pipe().expect("a pipe");
    let logs: [(&str, Stdio); 3] =
        [("full", File::create("/dev/full").expect("Linux").into()), ("gone", gone.into()), ("unread", full.into())];
    for (name, log) in logs {
        consortium.profile("bank", "client", name);
        let mut command = chancery();
        command.args(["serve", "--json", "--dir", text(&consortium.dir())]);
        command.envs([METRICS, ("CHANCERY_LOG_LEVEL", "trace")]).stdout(Stdio::piped()).stderr(log);
        let mut peer = Peer::started(command.spawn().expect("the program starts"));
        // The pipe's end in this process would keep it from being one without readers.
        drop(command);
        let connection = peer.connect_once(&consortium.admin());
        // Each request is some lines of the log: it is these that fill the pipe.
        let status = until("lines are lost", async || {
            for _ in 0..100 {
                connection.status().await.expect("answers");
            }
            let status = connection.status().await.expect("answers");
            (status.log_lines_lost > 0).then_some(status)
        })
        .await;
        let counted: u64 = peer.metric("chancery_log_lines_lost_total").parse().expect("a number");
        assert!(counted >= status.log_lines_lost, "{name}");
        commits(&connection).await;
        revokes(&consortium, &peer, name).await;
        assert!(status.tasks.iter().all(|task| task.restarts == 0), "{name}: {:?}", status.tasks);
        peer.terminate();
        assert_eq!(peer.ended().code(), Some(0), "{name}");
    }
}

#[tokio::test]
async fn a_peer_that_fails_ends_though_nobody_reads_why() {
    let consortium = Consortium::new();
    let (_unread, full) = std::io::pipe().expect("a pipe");
    let mut command = chancery();
    command.args(["serve", "--json", "--dir", text(&consortium.dir())]);
    command.envs([("CHANCERY_LOG_LEVEL", "trace"), ("PEER_UNDER_TEST_BREAKS", "renewal=99")]);
    let mut peer = Peer::started(command.stdout(Stdio::piped()).stderr(full).spawn().expect("the program starts"));
    let connection = peer.connect_once(&consortium.admin());
    while connection.status().await.is_ok() {}
    assert_eq!(peer.ended().code(), Some(3));
}

/// Its address is in its log, too.
#[tokio::test]
async fn a_peer_whose_standard_output_cannot_be_written_serves() {
    let consortium = Consortium::new();
    let (nobody, gone) = std::io::pipe().expect("a pipe");
    drop(nobody);
    let outputs: [Stdio; 2] = [File::create("/dev/full").expect("Linux").into(), gone.into()];
    for output in outputs {
        let mut command = chancery();
        command.args(["serve", "--dir", text(&consortium.dir())]).stdout(output).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map(|line| line.expect("text"));
        let address = lines.find_map(|line| Some(line.split_once("address=")?.1.to_owned())).expect("it serves");
        lines.find(|line| line.contains("cannot be written to standard output")).expect("it says so");
        let url = format!("https://{address}");
        run(&["status", "--profile", text(&consortium.admin()), "--peer", &url]);
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs").success());
        assert!(child.wait().expect("it ends").success());
    }
}
