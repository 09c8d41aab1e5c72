//! More connections than a peer can hold, and connections that are slower than anybody needs to be: who behaves is
//! served beside them or right after, memory and the log stay small, and all is well when they are gone.

use crate::harness::{Consortium, Peer, append, chancery, define, signed};
use crate::wait;
use client::connection::Connection;
use client::submit::Wait;
use client::subscribe::{Filter, Start};
use ledger_classes::primitives::hash::Hash;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::TryRecvError;
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
    let opened = crowd.open.load(Ordering::Relaxed);
    let after = is_served(&peer.connect(&consortium.admin()), 41).await;
    println!(
        "{size} connections, {stand} stood when a new one had its answer in {new:?}; one that stood had to wait \
         {slowest:?} at most; {closed} were closed within {gone:?}; afterwards {after:?}; {before} MiB, then {held} MiB"
    );
    assert!(size >= 1_000, "a crowd needs a hard limit of open files (`ulimit -Hn`) of more than 2,000");
    assert!(opened > size * 9 / 10 && closed == opened, "{opened} of {size} came, {closed} were closed");
    assert!(slowest < Duration::from_secs(3), "a connection that stood waited {slowest:?}");
    assert!(new < Duration::from_secs(15), "a new connection waited {new:?}");
    assert!(after < Duration::from_secs(2), "afterwards a new connection waited {after:?}");
    assert!(gone < Duration::from_secs(45), "the crowd was closed after {gone:?}");
    assert!(held < RESIDENT_MIB_MAX, "the peer holds {held} MiB");
    assert!(peer.said("ERROR") + peer.said("WARN") <= 2, "the log grows with the crowd");
    peer.drain();
}

/// Handshakes that had given way kept their sockets for a while, and nobody counted them: a burst had 128 descriptors open
/// on a quiet machine, and on a busy one all.
#[tokio::test]
async fn a_peer_with_few_file_descriptors_takes_fewer_connections_and_goes_on() {
    let consortium = Consortium::new();
    let outside = chancery();
    let mut command = Command::new("prlimit");
    command.args(["--nofile=160:160", "--"]).arg(outside.get_program()).stdin(Stdio::null());
    let peer = Peer::start_by(command, &consortium.dir(), &HEAD);
    let known = peer.connect(&consortium.admin());
    is_served(&known, 1).await;
    let (ended, ends) = std::sync::mpsc::channel::<()>();
    let open = format!("/proc/{}/fd", peer.pid());
    let watching = std::thread::spawn(move || {
        let mut most = 0;
        while ends.try_recv() == Err(TryRecvError::Empty) {
            most = std::fs::read_dir(&open).map_or(0, Iterator::count).max(most);
        }
        most
    });
    let mut crowd = Crowd::begin(&peer, 160);
    for number in 2..20 {
        is_served(&known, number).await;
    }
    drop(ended);
    // Of 160 connections a quarter is let in; the peer itself has some 30.
    let most = watching.join().expect("ends");
    assert!((30..100).contains(&most), "{most} file descriptors");
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
pub(crate) fn tls(peer: &Peer) -> Child {
    Command::new("openssl")
        .args(["s_client", "-quiet", "-ign_eof", "-connect", peer.url.trim_start_matches("https://")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is installed")
}

/// Sends what goes out at once, then `slow` once a second for ever; returns what was answered until the peer closed, and
/// when it did.
fn drip(mut tls: Child, at_once: &str, slow: &'static str) -> (String, Duration) {
    let (mut into, mut out) = (tls.stdin.take().expect("piped"), tls.stdout.take().expect("piped"));
    into.write_all(at_once.as_bytes()).expect("takes it");
    let began = Instant::now();
    let (ended, ends) = std::sync::mpsc::channel::<()>();
    let dripping = std::thread::spawn(move || {
        while ends.recv_timeout(Duration::from_secs(1)).is_err() {
            if into.write_all(slow.as_bytes()).and_then(|()| into.flush()).is_err() {
                return;
            }
        }
    });
    // One that is kept open for ever must not keep the test open, too.
    let (told, answers) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut answer = String::new();
        let _ = out.read_to_string(&mut answer);
        let _ = told.send(answer);
    });
    let answer = answers.recv_timeout(Duration::from_secs(30)).unwrap_or_default();
    let took = began.elapsed();
    let _ = ended.send(());
    dripping.join().expect("ends");
    let _ = tls.kill();
    tls.wait().expect("ends");
    (answer, took)
}

#[test]
fn a_request_that_comes_a_byte_a_second_is_closed_in_time() {
    let consortium = Consortium::new();
    let variables = [HEAD[0], ("CHANCERY_LIMITS_BODY_TIMEOUT_MS", "3000"), ("CHANCERY_LIMITS_IDLE_SECONDS", "2")];
    let peer = Peer::start(&consortium.dir(), &variables);
    let post = "POST /v1/channels/main/transactions HTTP/1.1\r\nHost: peer\r\nContent-Type: application/json\r\n";
    let body = format!("{post}Content-Length: 1000\r\n\r\n{{");
    let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n3e8\r\n{{");
    let unread = "POST /v1/nowhere HTTP/1.1\r\nHost: peer\r\n";
    let first = "GET /v1/status HTTP/1.1\r\nHost: peer\r\n\r\n";
    let rows = [
        ("nothing after the handshake", String::new(), "", ""),
        ("empty lines", String::new(), "\n", ""),
        ("a head", "GET /v1/status HTTP/1.1\r\nX: ".into(), "x", "408"),
        ("a body", body, " ", "request-timeout"),
        ("a body that nobody reads", format!("{unread}Content-Length: 100000\r\n\r\n"), " ", "404"),
        ("nothing after an answer", first.into(), "", "200"),
        ("a second head", format!("{first}GET /v1/status HTTP/1.1\r\nX: "), "x", "200"),
        ("a second request line", first.into(), "G", "200"),
        ("a chunked body", chunked.clone(), " ", "request-timeout"),
        ("a chunked body that ends in the middle", chunked, "", "request-timeout"),
        ("chunks that nobody reads", format!("{unread}Transfer-Encoding: chunked\r\n\r\n"), "1\r\n \r\n", "404"),
    ];
    std::thread::scope(|scope| {
        for (what, at_once, slow, says) in &rows {
            let peer = &peer;
            scope.spawn(move || {
                let (answer, took) = drip(tls(peer), at_once, slow);
                println!("{what}: closed after {took:?}");
                assert!(took < Duration::from_secs(10), "{what}: closed after {took:?}");
                assert!(answer.contains(says), "{what}: {answer}");
            });
        }
    });
    assert_eq!(peer.said("ERROR"), 0);
    peer.drain();
}

#[tokio::test]
async fn a_peer_without_a_free_place_says_so_once_and_once_more_when_it_has_some() {
    let consortium = Consortium::new();
    let peer = Peer::start(&consortium.dir(), &[("CHANCERY_LIMITS_CONNECTIONS_MAX", "8")]);
    let first: Vec<Child> = (0..2).map(|_| subscriber(&peer)).collect();
    let known = peer.connect(&consortium.admin());
    wait::until("two are there", async || (known.status().await.ok()?.connections? >= 3).then_some(())).await;
    // One address without a certificate has a quarter of all.
    let others: Vec<Child> = (0..4).map(|_| subscriber(&peer)).collect();
    peer.says("there is no place left");
    end(others);
    peer.says("there are places again");
    assert_eq!((peer.said("there is no place left"), peer.said("there are places again")), (1, 1));
    end(first);
    peer.drain();
}

/// A subscription of all that `main` has under a topic, which everybody may read. What nobody takes from the output of
/// `openssl` it does not read.
fn subscriber(peer: &Peer) -> Child {
    let mut child = tls(peer);
    let request = "GET /v1/channels/main/events?from=0&topic=bulk HTTP/1.1\r\nHost: peer\r\n\r\n";
    child.stdin.as_mut().expect("piped").write_all(request.as_bytes()).expect("takes it");
    child
}

/// Commits 16 events of 4 KB in a block of their own.
async fn bulk(connection: &Connection, id: Hash, number: usize) {
    let parts = (0..16).map(|part| append("bulk", format!("{number}.{part}.{}", "x".repeat(4_000))));
    let outcome = connection.submit("main", &signed(id, 1, parts.collect()), Wait::Committed).await.expect("taken");
    assert_eq!(outcome.receipt.map(|receipt| receipt.code), Some(0));
}

/// Ends the subscriptions.
fn end(subscribers: Vec<Child>) {
    for mut subscriber in subscribers {
        let _ = subscriber.kill();
        subscriber.wait().expect("ends");
    }
}

#[tokio::test]
async fn subscribers_that_never_read_cost_no_memory() {
    const BLOCKS: usize = 250;
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let connection = peer.connect(&consortium.admin());
    let id = connection.channel("main").await.expect("public").id;
    bulk(&connection, id, 0).await;
    let subscribers: Vec<Child> = (0..20).map(|_| subscriber(&peer)).collect();
    let filter = Filter { start: Start::Height(0), topic: Some("bulk".into()), ..Filter::default() };
    let reader = peer.connect(&consortium.admin());
    let mut reader = reader.subscribe("main", filter);
    let (before, mut most) = (peer.resident_mib(), 0);
    for number in 0..BLOCKS {
        if number > 0 {
            bulk(&connection, id, number).await;
        }
        for part in 0..16 {
            let delivery = reader.next().await.expect("goes on").expect("an event");
            let data = serde_json::to_value(&delivery.event.data).expect("serializes");
            let body = data["body"].as_str().expect("a body");
            assert!(body.starts_with(&format!("{number}.{part}.")), "{number}.{part}: {}", &body[..20]);
        }
        most = most.max(peer.resident_mib());
    }
    let connections = connection.status().await.expect("answers").connections.expect("told");
    println!("{before} MiB before, {most} MiB at most, {connections} connections");
    assert!(connections >= 20, "{connections} connections: who does not read is still there");
    // Each of them is behind by 16 MB or more.
    assert!(most < before + 150, "{before} MiB before, {most} MiB beside subscribers that do not read");
    end(subscribers);
    peer.drain();
}

/// The slow one takes so little that blocks wait for it all the time.
#[tokio::test]
async fn a_subscriber_that_takes_nothing_is_closed_and_one_that_takes_little_is_not() {
    const BLOCKS: usize = 100;
    let consortium = Consortium::new();
    let peer = Peer::start(&consortium.dir(), &[("CHANCERY_LIMITS_WRITE_TIMEOUT_MS", "3000")]);
    let connection = peer.connect(&consortium.admin());
    let id = connection.channel("main").await.expect("public").id;
    let (never, mut slow) = (subscriber(&peer), subscriber(&peer));
    let mut out = slow.stdout.take().expect("piped");
    let reading = std::thread::spawn(move || {
        let (began, mut seen, mut piece) = (Instant::now(), Vec::new(), vec![0; 8 * 1024]);
        let (last, mut pace) = (format!("{}.15.x", BLOCKS - 1), Duration::from_millis(50));
        loop {
            match out.read(&mut piece).expect("reads") {
                0 => return (seen, began.elapsed(), false),
                bytes => seen.extend_from_slice(&piece[..bytes]),
            }
            let tail = &seen[seen.len().saturating_sub(piece.len() + last.len())..];
            if tail.windows(last.len()).any(|window| window == last.as_bytes()) {
                return (seen, began.elapsed(), true);
            }
            if began.elapsed() > Duration::from_secs(15) {
                pace = Duration::ZERO;
            }
            std::thread::park_timeout(pace);
        }
    });
    for number in 0..BLOCKS {
        bulk(&connection, id, number).await;
    }
    let began = Instant::now();
    wait::until("who takes nothing is closed", async || {
        (connection.status().await.expect("answers").connections.expect("told") <= 2).then_some(())
    })
    .await;
    println!("who takes nothing was closed {:?} after the last commit", began.elapsed());
    assert!(!reading.is_finished(), "the slow one still reads");
    let (seen, took, whole) = reading.join().expect("reads");
    println!("the slow one took {} bytes in {took:?}", seen.len());
    assert!(whole, "the slow one was closed after {took:?} and {} bytes", seen.len());
    end(vec![never, slow]);
    peer.drain();
}

/// Each asks for 16 MB and more, and takes none of it.
#[tokio::test]
async fn who_asks_on_and_takes_no_answer_is_closed_and_costs_no_memory() {
    const ASKING: usize = 20;
    const BLOCK: &str = "GET /v1/channels/main/blocks/1 HTTP/1.1\r\nHost: peer\r\n\r\n";
    let consortium = Consortium::new();
    let peer = Peer::start(&consortium.dir(), &[("CHANCERY_LIMITS_WRITE_TIMEOUT_MS", "5000")]);
    let connection = peer.connect(&consortium.admin());
    let id = connection.channel("main").await.expect("public").id;
    bulk(&connection, id, 0).await;
    let before = peer.resident_mib();
    let asking: Vec<Child> = (0..ASKING)
        .map(|_| {
            let mut child = tls(&peer);
            let ask = BLOCK.repeat(250);
            child.stdin.as_mut().expect("piped").write_all(ask.as_bytes()).expect("takes it");
            child
        })
        .collect();
    let (mut connected, mut most, began) = (0, 0, Instant::now());
    wait::until("no connection is left", async || {
        let connections = connection.status().await.expect("others are answered").connections.expect("told");
        (connected, most) = (connections.max(connected), peer.resident_mib().max(most));
        (connected > ASKING as u64 && connections == 1).then_some(())
    })
    .await;
    println!("{before} MiB before, {most} MiB at most; closed after {:?}", began.elapsed());
    assert!(most < before + 100, "{before} MiB before, {most} MiB beside those who take no answer");
    end(asking);
    peer.drain();
}

/// What comes beside an answer is not read: whoever sends it waits, and nobody else does. Once the task of such a
/// connection woke itself without end, took a whole thread, and those that shared it were not answered any more.
#[tokio::test]
async fn requests_beside_a_subscription_do_not_take_a_thread() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let known = peer.connect(&consortium.admin());
    known.status().await.expect("answers");
    let mut greedy = [tls(&peer), tls(&peer)];
    let sending = greedy.each_mut().map(|greedy| {
        let mut into = greedy.stdin.take().expect("piped");
        std::thread::spawn(move || {
            let subscribe = "GET /v1/channels/main/events HTTP/1.1\r\nHost: peer\r\n\r\n";
            let more = "GET /v1/status HTTP/1.1\r\nHost: peer\r\n\r\n".repeat(500_000);
            into.write_all(format!("{subscribe}{more}").as_bytes()).is_ok()
        })
    });
    let before = peer.resident_mib();
    let served = async {
        while known.status().await.expect("answers").connections.expect("told") < 3 {}
        for number in 1..100 {
            is_served(&known, number).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), served).await.expect("others are answered");
    assert!(!sending.iter().any(|sending| sending.is_finished()), "twenty megabytes were read beside a subscription");
    assert!(peer.resident_mib() < before + 50, "{before} MiB before, {} MiB now", peer.resident_mib());
    end(greedy.into());
    for sending in sending {
        sending.join().expect("ends");
    }
    peer.drain();
}
