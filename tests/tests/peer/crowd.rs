//! More connections than a peer can hold, and connections that are slower than anybody needs to be: who behaves is
//! served beside them or right after, memory and the log stay small, and all is well when they are gone.

use crate::harness::{Consortium, Peer, chancery, define, signed};
use client::connection::Connection;
use client::submit::Wait;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The peer's limit for a head in these tests.
const HEAD: [(&str, &str); 1] = [("CHANCERY_LIMITS_HEADER_TIMEOUT_MS", "2000")];
/// Of the peer, in MiB.
const RESIDENT_MIB_MAX: u64 = 600;

/// The first bytes of a TLS handshake: a record that says it has 512 bytes.
const HELLO: [u8; 8] = [22, 3, 1, 2, 0, 1, 0, 1];

/// What comes of connections that say hello one byte a second, or nothing.
#[derive(Default)]
struct Crowd {
    /// Connections that stand.
    open: Arc<AtomicUsize>,
    /// Those that the peer has closed.
    closed: Arc<AtomicUsize>,
    all: JoinSet<()>,
}

impl Crowd {
    fn begin(peer: &Peer, size: usize) -> Self {
        let mut crowd = Self::default();
        let address = peer.url.trim_start_matches("https://").to_owned();
        for number in 0..size {
            let (address, open, closed) = (address.clone(), crowd.open.clone(), crowd.closed.clone());
            crowd.all.spawn(async move {
                // One that finds no place in the listener's queue in time has been kept out, too.
                let Ok(mut stream) = TcpStream::connect(address).await else { return };
                open.fetch_add(1, Ordering::Relaxed);
                let mut pace = tokio::time::interval(Duration::from_secs(1));
                let mut hello = HELLO.iter().filter(|_| number % 2 == 0).cycle();
                let mut answer = [0; 64];
                loop {
                    tokio::select! {
                        // An end, a reset, or an alert before one of them.
                        read = stream.read(&mut answer) => if !matches!(read, Ok(1..)) { break },
                        _ = pace.tick() => if let Some(byte) = hello.next() && stream.write_all(&[*byte]).await.is_err() { break },
                    }
                }
                closed.fetch_add(1, Ordering::Relaxed);
            });
        }
        crowd
    }
}

/// Raises this process's limit of open files; returns how many connections it can open.
fn files() -> usize {
    let pid = std::process::id().to_string();
    let limit = Command::new("prlimit").args(["--pid", &pid, "--nofile", "--noheadings", "--output", "HARD"]).output();
    let hard = String::from_utf8(limit.expect("prlimit runs").stdout).expect("text");
    let hard: usize = hard.trim().parse().unwrap_or(1 << 20);
    let raised = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={hard}:{hard}")]).status();
    assert!(raised.expect("prlimit runs").success());
    hard.saturating_sub(1_000)
}

/// Posts a transaction and reads it; returns how long both took together.
async fn is_served(connection: &Connection, number: u8) -> Duration {
    let started = Instant::now();
    let id = connection.channel("main").await.expect("answers").id;
    let envelope = signed(id, number, vec![define(&format!("asset{number}"))]);
    let outcome = connection.submit("main", &envelope, Wait::Committed).await.expect("taken");
    assert_eq!(outcome.receipt.map(|receipt| receipt.code), Some(0));
    started.elapsed()
}

#[tokio::test]
async fn a_crowd_that_never_finishes_its_handshakes_keeps_nobody_out_for_long() {
    let size = files().min(10_000);
    let consortium = Consortium::new();
    let peer = Peer::start(&consortium.dir(), &HEAD);
    let known = peer.connect(&consortium.admin());
    is_served(&known, 1).await;
    let before = peer.resident_mib();
    let began = Instant::now();
    let mut crowd = Crowd::begin(&peer, size);
    // A connection that stands, all along.
    let mut slowest = Duration::ZERO;
    for number in 2..40 {
        slowest = slowest.max(is_served(&known, number).await);
    }
    // A new one has to wait its turn, which is over when those before it have used up their time.
    let new = is_served(&peer.connect(&consortium.admin()), 40).await;
    let held = peer.resident_mib();
    let stand = crowd.open.load(Ordering::Relaxed);
    while crowd.all.join_next().await.is_some() {}
    let (gone, closed) = (began.elapsed(), crowd.closed.load(Ordering::Relaxed));
    let after = is_served(&peer.connect(&consortium.admin()), 41).await;
    println!(
        "{size} connections, {stand} stood when a new one had its answer in {new:?}; one that stood had to wait \
         {slowest:?} at most; {closed} were closed within {gone:?}; afterwards {after:?}; {before} MiB, then {held} MiB"
    );
    assert!(slowest < Duration::from_secs(3), "a connection that stood waited {slowest:?}");
    assert!(new < Duration::from_secs(15), "a new connection waited {new:?}");
    assert!(after < Duration::from_secs(2), "afterwards a new connection waited {after:?}");
    assert!(gone < Duration::from_secs(45), "the crowd was closed after {gone:?}");
    assert!(held < RESIDENT_MIB_MAX, "the peer holds {held} MiB");
    assert!(peer.said("ERROR") + peer.said("WARN") <= 2, "the log grows with the crowd");
    peer.drain();
}

#[tokio::test]
async fn a_peer_with_few_file_descriptors_takes_fewer_connections_and_goes_on() {
    let consortium = Consortium::new();
    let outside = chancery();
    let mut command = Command::new("prlimit");
    command.args(["--nofile=160:160", "--"]).arg(outside.get_program()).stdin(Stdio::null());
    let peer = Peer::start_by(command, &consortium.dir(), &HEAD);
    let known = peer.connect(&consortium.admin());
    is_served(&known, 1).await;
    let mut crowd = Crowd::begin(&peer, 160);
    for number in 2..20 {
        is_served(&known, number).await;
    }
    // New files are needed for a new channel; connections leave room for them.
    peer.run(&consortium.admin(), &["channel", "create", "another", "--org", "bank"]);
    while crowd.all.join_next().await.is_some() {}
    let after = is_served(&peer.connect(&consortium.admin()), 20).await;
    assert!(after < Duration::from_secs(2), "afterwards a new connection waited {after:?}");
    assert_eq!(peer.said("file descriptors"), 1, "the limit is said once");
    assert_eq!(peer.said("ERROR"), 0);
    assert_eq!(peer.said("Too many open files"), 0);
    peer.drain();
}

/// A TLS connection by `openssl`, without a certificate: what is asked here is public.
fn tls(peer: &Peer) -> Child {
    Command::new("openssl")
        .args(["s_client", "-quiet", "-ign_eof", "-connect", peer.url.trim_start_matches("https://")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is installed")
}

/// Sends what goes out at once, then `slow` a byte a second for ever; returns what was answered until the peer closed,
/// and when it did.
fn drip(mut tls: Child, at_once: &str, slow: char) -> (String, Duration) {
    let (mut into, mut out) = (tls.stdin.take().expect("piped"), tls.stdout.take().expect("piped"));
    into.write_all(at_once.as_bytes()).expect("takes it");
    let began = Instant::now();
    let (ended, ends) = std::sync::mpsc::channel::<()>();
    let dripping = std::thread::spawn(move || {
        while ends.recv_timeout(Duration::from_secs(1)).is_err() {
            if write!(into, "{slow}").and_then(|()| into.flush()).is_err() {
                return;
            }
        }
    });
    let mut answer = String::new();
    let _ = out.read_to_string(&mut answer);
    let took = began.elapsed();
    let _ = ended.send(());
    dripping.join().expect("ends");
    let _ = tls.kill();
    tls.wait().expect("ends");
    (answer, took)
}

#[test]
fn a_first_request_that_comes_a_byte_a_second_is_closed_in_time() {
    let consortium = Consortium::new();
    let variables = [HEAD[0], ("CHANCERY_LIMITS_BODY_TIMEOUT_MS", "3000"), ("CHANCERY_LIMITS_IDLE_SECONDS", "2")];
    let peer = Peer::start(&consortium.dir(), &variables);
    let post = "POST /v1/channels/main/transactions HTTP/1.1\r\nHost: peer\r\nContent-Type: application/json\r\n";
    let body = format!("{post}Content-Length: 1000\r\n\r\n{{");
    let unread = "POST /v1/nowhere HTTP/1.1\r\nHost: peer\r\nContent-Length: 100000\r\n\r\n";
    let rows = [
        ("nothing after the handshake", String::new(), '\n', ""),
        ("a head", "GET /v1/status HTTP/1.1\r\nX: ".into(), 'x', "408"),
        ("a body", body, ' ', "request-timeout"),
        ("a body that nobody reads", unread.into(), ' ', "404"),
    ];
    std::thread::scope(|scope| {
        for (what, at_once, slow, says) in &rows {
            let peer = &peer;
            scope.spawn(move || {
                let (answer, took) = drip(tls(peer), at_once, *slow);
                println!("{what}: closed after {took:?}");
                assert!(answer.contains(says), "{what}: {answer}");
                assert!(took < Duration::from_secs(10), "{what}: closed after {took:?}");
            });
        }
    });
    assert_eq!(peer.said("ERROR"), 0);
    peer.drain();
}
