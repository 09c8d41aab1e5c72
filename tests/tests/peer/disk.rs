//! Disks that are full, read-only or slow while the peer runs: writes are refused by name, reads go on, and all is well
//! afterwards without a restart.
//!
//! Needs root, for a mount namespace with a small file system of the test's own, and `cc` for a shim below the peer.

use crate::harness::{
    Consortium, Peer, address, append, chancery, define, key, mint, signed, text, transaction, transfer,
};
use client::api::{BatchResult, Outcome, SubmissionStatus};
use client::connection::{Connection, Options};
use client::profile::Profile;
use client::retry::Retry;
use client::submit::{SubmitError, Wait};
use client::subscribe::{Filter, Start, Subscription};
use ledger_classes::hash::Hash;
use ledger_classes::transaction::{Envelope, Transaction};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
const SUPPLY: u128 = 1_000_000;
const CLIENTS: u8 = 3;
/// Of the peer, in MiB; a fresh one holds some 40.
const RESIDENT_MIB_MAX: u64 = 400;

/// A small file system over a directory, in a mount namespace that ends with this.
struct SmallDisk {
    holder: Child,
    mount: PathBuf,
}

impl SmallDisk {
    fn new(mount: &Path, mib: u32) -> Self {
        fs::create_dir_all(mount).expect("a directory");
        let script = r#"mount -t tmpfs -o "size=$2m" chancery "$1" && echo mounted && exec cat"#;
        let mut holder = Command::new("unshare")
            .args(["--mount", "sh", "-c", script, "sh", text(mount), &mib.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare runs");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().expect("piped")).read_line(&mut line).expect("readable");
        assert_eq!(line, "mounted\n", "a mount namespace needs root");
        Self { holder, mount: mount.to_owned() }
    }

    /// The program, where the file system is.
    fn chancery(&self) -> Command {
        let outside = chancery();
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.id().to_string(), "--mount", "--"]).arg(outside.get_program());
        command.stdin(Stdio::null());
        command
    }

    /// Something in it, as those outside reach it.
    fn path(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.mount.strip_prefix("/").expect("an absolute path")).join(name)
    }

    /// Uses up all room.
    fn fill(&self) {
        let mut file = File::create(self.path("filler")).expect("a file");
        let mut piece = vec![1; 1 << 20];
        while !piece.is_empty() {
            if file.write_all(&piece).is_err() {
                piece.truncate(piece.len() / 2);
            }
        }
    }

    fn free(&self) {
        fs::remove_file(self.path("filler")).expect("removes");
    }

    /// Makes it read-only, as soon as no file is open for writing, or lets it be written again.
    async fn remount(&self, mode: &str) {
        let option = format!("remount,{mode}");
        let mount = ["--mount", "--", "mount", "-o", &option, text(&self.mount)];
        let mut tries = tokio::time::interval(Duration::from_millis(50));
        let remounted = async {
            loop {
                tries.tick().await;
                let mut command = Command::new("nsenter");
                command.args(["--target", &self.holder.id().to_string()]).args(mount).stderr(Stdio::null());
                if command.status().expect("nsenter runs").success() {
                    return;
                }
            }
        };
        assert!(tokio::time::timeout(PATIENCE, remounted).await.is_ok(), "files stay open for writing");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A connection that asks once: every refusal is seen.
fn impatient(peer: &Peer, profile: &Path) -> Connection {
    let mut profile = Profile::open(profile).expect("a profile");
    profile.peer = peer.url.parse().expect("a URL");
    Connection::open(&profile, Options { retry: Retry::NEVER, ..Options::default() }).expect("usable")
}

/// Clients that post transfers to one channel for as long as they live.
struct Load {
    connection: Connection,
    channel: &'static str,
    id: Hash,
    stop: Arc<AtomicBool>,
    /// Everything that was sent, refused or not.
    sent: Arc<Mutex<BTreeMap<Hash, Envelope>>>,
    acknowledged: Arc<Mutex<BTreeMap<Hash, Outcome>>>,
    refused: Arc<Mutex<BTreeMap<String, String>>>,
    refusals: Arc<AtomicUsize>,
    changed: Arc<Notify>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    async fn begin(connection: &Connection, channel: &'static str, id: Hash) -> Self {
        let supply = (0..CLIENTS).map(|client| mint("usd", client + 1, SUPPLY));
        let setup = signed(id, 200, [define("usd")].into_iter().chain(supply).collect());
        let outcome = connection.submit(channel, &setup, Wait::Committed).await.expect("taken");
        assert_eq!(outcome.receipt.map(|receipt| receipt.code), Some(0));
        let mut load = Self {
            connection: connection.clone(),
            channel,
            id,
            stop: Arc::default(),
            sent: Arc::default(),
            acknowledged: Arc::default(),
            refused: Arc::default(),
            refusals: Arc::default(),
            changed: Arc::default(),
            clients: Vec::new(),
        };
        load.clients = (1..=CLIENTS).map(|client| load.client(client)).collect();
        load
    }

    fn client(&self, number: u8) -> tokio::task::JoinHandle<()> {
        let (connection, channel, id) = (self.connection.clone(), self.channel, self.id);
        let (stop, sent, acknowledged) = (self.stop.clone(), self.sent.clone(), self.acknowledged.clone());
        let (refused, refusals) = (self.refused.clone(), self.refusals.clone());
        let changed = self.changed.clone();
        tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_millis(5));
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let fresh = || signed(id, number, vec![transfer("usd", number % CLIENTS + 1, 1)]);
            let mut next = None;
            while !stop.load(Ordering::Relaxed) {
                pace.tick().await;
                // What was refused is sent again.
                let envelope = next.take().unwrap_or_else(fresh);
                sent.lock().expect("not poisoned").insert(envelope.id(), envelope.clone());
                match connection.submit(channel, &envelope, Wait::Committed).await {
                    Ok(outcome) => {
                        assert_eq!(outcome.status, SubmissionStatus::Committed);
                        acknowledged.lock().expect("not poisoned").insert(outcome.id.expect("an id"), outcome);
                    }
                    Err(SubmitError::Request(error)) => {
                        let problem = error.problem().unwrap_or_else(|| panic!("{error}"));
                        let hint = problem.retry_after_ms.map(Duration::from_millis);
                        assert!(hint.is_some(), "{problem:?} does not say when to come back");
                        let name = format!("{} {}", problem.status, problem.name());
                        refused.lock().expect("not poisoned").insert(name, problem.detail.clone().unwrap_or_default());
                        refusals.fetch_add(1, Ordering::Relaxed);
                        next = Some(envelope);
                    }
                    Err(error) => panic!("{error}"),
                }
                changed.notify_waiters();
            }
        })
    }

    fn commits(&self) -> usize {
        self.acknowledged.lock().expect("not poisoned").len()
    }

    /// Waits until so many more are committed.
    async fn goes_on(&self, more: usize) {
        let enough = self.commits() + more;
        eventually("transactions go on", &self.changed, || self.commits() >= enough).await;
    }

    /// Waits for refusals after this moment.
    async fn is_refused(&self) {
        let enough = self.refusals.load(Ordering::Relaxed) + usize::from(CLIENTS);
        eventually("transactions are refused", &self.changed, || self.refusals.load(Ordering::Relaxed) >= enough).await;
    }

    /// What reads answer, at any time: acknowledged transactions, balances, blocks, the status.
    async fn can_be_read(&self) {
        let some: Vec<Outcome> = self.acknowledged.lock().expect("not poisoned").values().take(20).cloned().collect();
        let started = Instant::now();
        for outcome in &some {
            let found = self.connection.transaction(self.channel, outcome.id.expect("an id")).await.expect("readable");
            assert_eq!(found.receipt, outcome.receipt);
        }
        self.connection.account(self.channel, address(1)).await.expect("readable");
        self.connection.status().await.expect("answers");
        let took = started.elapsed();
        assert!(took < Duration::from_secs(3), "{} reads took {took:?}", some.len() + 2);
    }

    /// Ends the clients. Then everything that was ever sent has one outcome, which is the acknowledged one, and no
    /// money was made or lost.
    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("clients end");
        }
        let acknowledged = self.acknowledged.lock().expect("not poisoned").clone();
        let sent = self.sent.lock().expect("not poisoned").clone();
        for envelope in sent.values() {
            let outcome = self.connection.submit(self.channel, envelope, Wait::Committed).await.expect("taken");
            let receipt = outcome.receipt.expect("committed");
            assert_eq!(receipt.code, 0, "{receipt:?}");
            if let Some(before) = acknowledged.get(&envelope.id()) {
                assert_eq!(before.receipt.as_ref(), Some(&receipt));
            }
        }
        let mut total = 0;
        for client in 1..=CLIENTS {
            let account = self.connection.account(self.channel, address(client)).await.expect("readable");
            total += account.balances.iter().map(|balance| balance.owned.0).sum::<u128>();
        }
        assert_eq!(total, SUPPLY * u128::from(CLIENTS), "money was made or lost");
        sent.len()
    }
}

/// Waits until something holds that `changed` tells of.
async fn eventually(what: &str, changed: &Notify, holds: impl Fn() -> bool) {
    let held = async {
        loop {
            let change = changed.notified();
            if holds() {
                return;
            }
            change.await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, held).await;
    assert!(in_time.is_ok(), "{what}: not within {PATIENCE:?}");
}

/// Everything that a subscription delivers from its start to the given number of transfers.
async fn follow(subscription: &mut Subscription, transfers: usize) {
    let mut seen = BTreeSet::new();
    while seen.len() < transfers {
        let next = tokio::time::timeout(PATIENCE, subscription.next()).await.expect("in time");
        let delivery = next.expect("goes on").expect("an event");
        assert!(seen.insert(delivery.cursor), "{} came twice", delivery.cursor);
    }
}

/// Two channels under load while something happens to the disk; then all is as if nothing had.
struct Trial {
    consortium: Consortium,
    disk: SmallDisk,
    peer: Peer,
    loads: Vec<Load>,
    subscription: Subscription,
}

impl Trial {
    async fn new(variables: &[(&str, &str)]) -> Self {
        let consortium = Consortium::new();
        let disk = SmallDisk::new(&consortium.dir().join("data"), 64);
        let metrics = [("CHANCERY_METRICS_LISTEN", "127.0.0.1:0")];
        let peer = Peer::start_by(disk.chancery(), &consortium.dir(), &[&metrics, variables].concat());
        let made = peer.run(&consortium.admin(), &["channel", "create", "open", "--org", "bank", "--open-submit"]);
        let connection = impatient(&peer, &consortium.admin());
        let main = connection.channel("main").await.expect("public").id;
        let open = made["id"].as_str().expect("an id").parse().expect("hex");
        let subscription = connection.subscribe("main", Filter { start: Start::Height(0), ..Filter::default() });
        let loads = vec![Load::begin(&connection, "main", main).await, Load::begin(&connection, "open", open).await];
        for load in &loads {
            load.goes_on(20).await;
        }
        Self { consortium, disk, peer, loads, subscription }
    }

    /// Both channels refuse with this problem, and read as ever.
    async fn refuses(&self, name: &str, detail: &str) {
        for load in &self.loads {
            load.is_refused().await;
            load.can_be_read().await;
            let refused = load.refused.lock().expect("not poisoned").clone();
            let told = refused.get(name).unwrap_or_else(|| panic!("{name} is not in {refused:?}"));
            assert!(told.contains(detail), "{refused:?}");
        }
        assert_eq!(self.peer.metric("chancery_disk_writable"), "0");
        let profile = self.consortium.admin();
        let status = self.peer.run(&profile, &["status"]);
        assert!(status["disk_trouble"].as_str().is_some_and(|told| told.contains(detail)), "{status}");
        assert!(status["channels"].as_array().expect("a list").iter().all(|channel| channel["state"] == "serving"));
        let spec = serde_json::json!({ "name": "late", "organizations": [{ "name": "bank" }] });
        let spec = serde_json::from_value(spec).expect("a specification");
        let refused = self.loads[0].connection.create_channel(&spec).await.expect_err("there is no room");
        assert!(refused.is_unavailable() && refused.to_string().contains(detail), "{refused}");
    }

    /// Both channels go on by themselves, once each is logged, and everything that was ever sent is there once.
    async fn goes_on(mut self) -> usize {
        for load in &self.loads {
            load.goes_on(20).await;
        }
        assert_eq!(self.peer.metric("chancery_disk_writable"), "1");
        let mut sent = Vec::new();
        for load in std::mem::take(&mut self.loads) {
            sent.push(load.end().await);
        }
        // Setup made an event of a definition and of each of the mints.
        follow(&mut self.subscription, sent[0] + 1 + usize::from(CLIENTS)).await;
        drop(self.subscription);
        assert_eq!(self.peer.said("halted"), 0);
        let resident = self.peer.resident_mib();
        assert!(resident < RESIDENT_MIB_MAX, "the peer holds {resident} MiB");
        println!("{} transactions, the peer holds {resident} MiB", sent.iter().sum::<usize>());
        self.peer.drain();
        verify(&self.consortium, &self.disk, 2);
        sent.iter().sum()
    }
}

fn verify(consortium: &Consortium, disk: &SmallDisk, channels: usize) {
    let verified = disk.chancery().args(["--json", "verify", "--dir", text(&consortium.dir())]).output().expect("runs");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let report: Value = serde_json::from_slice(&verified.stdout).expect("JSON");
    assert_eq!(report["channels"].as_array().map(Vec::len), Some(channels), "{report}");
}

#[tokio::test]
async fn below_its_reserve_a_disk_takes_no_transactions_until_there_is_room_again() {
    let trial = Trial::new(&[]).await;
    trial.disk.fill();
    trial.refuses("507 storage-full", "no space left").await;
    trial.disk.free();
    for load in &trial.loads {
        load.goes_on(5).await;
    }
    let changes = (trial.peer.said("the disk takes no writes"), trial.peer.said("the disk takes writes again"));
    assert_eq!(changes, (1, 1), "each change is logged once");
    trial.goes_on().await;
}

/// Without a reserve every write goes to the disk, and some find no room in the middle of a block.
#[tokio::test]
async fn a_write_that_finds_no_room_at_all_waits_for_it() {
    let trial = Trial::new(&[("CHANCERY_LIMITS_DISK_RESERVE_BYTES", "0")]).await;
    trial.disk.fill();
    trial.refuses("507 storage-full", "no space left").await;
    trial.disk.free();
    trial.goes_on().await;
}

#[tokio::test]
async fn a_peer_with_a_full_disk_stops_when_told_and_has_lost_nothing() {
    let mut trial = Trial::new(&[("CHANCERY_LIMITS_DISK_RESERVE_BYTES", "0")]).await;
    trial.disk.fill();
    trial.refuses("507 storage-full", "no space left").await;
    let mut acknowledged = Vec::new();
    for load in std::mem::take(&mut trial.loads) {
        load.stop.store(true, Ordering::Relaxed);
        for client in load.clients {
            client.await.expect("clients end");
        }
        let known = load.acknowledged.lock().expect("not poisoned").clone();
        acknowledged.extend(known.into_values().map(|outcome| (load.channel, outcome)));
    }
    drop(trial.subscription);
    let started = Instant::now();
    trial.peer.drain();
    assert!(started.elapsed() < Duration::from_secs(15), "draining took {:?}", started.elapsed());
    trial.disk.free();
    verify(&trial.consortium, &trial.disk, 2);
    let peer = Peer::start_by(trial.disk.chancery(), &trial.consortium.dir(), &[]);
    let connection = peer.connect(&trial.consortium.admin());
    for (channel, outcome) in acknowledged {
        let found = connection.transaction(channel, outcome.id.expect("an id")).await.expect("there");
        assert_eq!(found.receipt, outcome.receipt);
    }
}

/// One transaction, more often than a channel takes transactions. Each waits for the one commit.
struct Flood {
    refused: Arc<AtomicUsize>,
    changed: Arc<Notify>,
    committed: Vec<tokio::task::JoinHandle<BTreeSet<u64>>>,
}

impl Flood {
    fn begin(load: &Load) -> Self {
        let envelope = signed(load.id, 201, vec![define("flood")]);
        let refused = Arc::new(AtomicUsize::new(0));
        let changed = Arc::new(Notify::new());
        let batch = |_| {
            let (connection, channel) = (load.connection.clone(), load.channel);
            let (refused, changed) = (refused.clone(), changed.clone());
            let envelopes = vec![envelope.clone(); BATCH];
            tokio::spawn(async move {
                match connection.submit_batch(channel, &envelopes, Wait::Committed).await {
                    Ok(results) => results.iter().map(height).collect(),
                    Err(SubmitError::Request(error)) => {
                        let problem = error.problem().unwrap_or_else(|| panic!("{error}"));
                        assert_eq!(problem.name(), "busy", "{problem:?}");
                        assert!(problem.retry_after_ms.is_some(), "{problem:?}");
                        refused.fetch_add(1, Ordering::Relaxed);
                        changed.notify_waiters();
                        BTreeSet::new()
                    }
                    Err(error) => panic!("{error}"),
                }
            })
        };
        let committed =
            (0..channel_actors::limits::TRANSACTIONS_IN_FLIGHT_MAX as usize / BATCH + 1).map(batch).collect();
        Self { refused, changed, committed }
    }

    /// All that were taken were committed, in one block.
    async fn end(self) {
        let mut heights = BTreeSet::new();
        for batch in self.committed {
            heights.extend(batch.await.expect("ends"));
        }
        assert_eq!(heights.len(), 1, "one transaction was committed at {heights:?}");
    }
}

/// Envelopes of a batch of the flood: two megabytes.
const BATCH: usize = 8_192;

fn height(result: &BatchResult) -> u64 {
    match result {
        BatchResult::Committed { height, .. } => *height,
        other => panic!("{other:?}"),
    }
}

/// The shim of `disk/shim.c`, and the files that command it.
struct Shim {
    library: String,
    stall: PathBuf,
    read_only: PathBuf,
    sync: PathBuf,
    _home: tempfile::TempDir,
}

impl Shim {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let (source, library) = (home.path().join("shim.c"), home.path().join("shim.so"));
        fs::write(&source, include_str!("disk/shim.c")).expect("writes");
        let made = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o", text(&library), text(&source)]).status();
        assert!(made.expect("cc is installed").success());
        let file = |name: &str| home.path().join(name);
        let (stall, read_only, sync) = (file("stall"), file("read-only"), file("sync"));
        Self { library: text(&library).into(), stall, read_only, sync, _home: home }
    }

    /// One sync from now on fails.
    fn fail_a_sync(&self, errno: i32) {
        // Found whole, or not at all.
        let new = self.sync.with_extension("new");
        fs::write(&new, errno.to_string()).expect("writes");
        fs::rename(new, &self.sync).expect("renames");
    }

    fn variables(&self) -> [(&str, &str); 4] {
        [
            ("LD_PRELOAD", &self.library),
            ("CHANCERY_TEST_STALL", text(&self.stall)),
            ("CHANCERY_TEST_READ_ONLY", text(&self.read_only)),
            ("CHANCERY_TEST_SYNC", text(&self.sync)),
        ]
    }
}

#[tokio::test]
async fn a_disk_that_becomes_read_only_is_named_and_one_that_comes_back_is_used() {
    let shim = Shim::new();
    let trial = Trial::new(&shim.variables()).await;
    File::create(&shim.read_only).expect("a file");
    trial.refuses("503 storage-read-only", "read-only file system").await;
    fs::remove_file(&shim.read_only).expect("removes");
    trial.goes_on().await;
}

/// A channel's records, all of which are read now, and none can be added to.
async fn only_read(peer: &Peer, consortium: &Consortium, written: &[Outcome]) {
    let connection = impatient(peer, &consortium.admin());
    for outcome in written {
        let found = connection.transaction("main", outcome.id.expect("an id")).await.expect("readable");
        assert_eq!(found.receipt, outcome.receipt);
    }
    let id = connection.channel("main").await.expect("public").id;
    let envelope = signed(id, 1, vec![append("tests.disk", "refused")]);
    match connection.submit("main", &envelope, Wait::Committed).await {
        Err(SubmitError::Request(error)) => {
            let problem = error.problem().unwrap_or_else(|| panic!("{error}"));
            assert_eq!((problem.status, problem.name()), (503, "storage-read-only"), "{problem:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(peer.said("halted"), 0);
}

/// A file system that is really read-only, which it cannot be made while a file is open for writing.
#[tokio::test]
async fn a_channel_that_rests_on_a_read_only_disk_is_read_and_a_copy_there_is_verified() {
    let consortium = Consortium::new();
    let disk = SmallDisk::new(&consortium.dir().join("data"), 64);
    let resting = [("CHANCERY_CHANNELS_REST_AFTER_MS", "100")];
    let mut written = Vec::new();
    let mut write = async |peer: &Peer, times: usize| {
        // Refused until the peer has seen that it can write; this connection asks again.
        let connection = peer.connect(&consortium.admin());
        let id = connection.channel("main").await.expect("public").id;
        for _ in 0..times {
            let envelope = signed(id, 1, vec![append("tests.disk", "written")]);
            written.push(connection.submit("main", &envelope, Wait::Committed).await.expect("taken"));
        }
        written.clone()
    };
    let peer = Peer::start_by(disk.chancery(), &consortium.dir(), &resting);
    let so_far = write(&peer, 10).await;
    disk.remount("ro").await;
    only_read(&peer, &consortium, &so_far).await;
    disk.remount("rw").await;
    let so_far = write(&peer, 10).await;
    disk.remount("ro").await;
    only_read(&peer, &consortium, &so_far).await;
    // It ends there, and begins there again.
    peer.drain();
    verify(&consortium, &disk, 1);
    let peer = Peer::start_by(disk.chancery(), &consortium.dir(), &resting);
    only_read(&peer, &consortium, &so_far).await;
    disk.remount("rw").await;
    write(&peer, 1).await;
    peer.drain();
    // One that a crash left, with its journal.
    let peer = Peer::start_by(disk.chancery(), &consortium.dir(), &[("CHANCERY_CHANNELS_REST_AFTER_MS", "0")]);
    write(&peer, 10).await;
    peer.kill();
    assert!(disk.path("main/journal").exists());
    disk.remount("ro").await;
    verify(&consortium, &disk, 1);
    disk.remount("rw").await;
    let peer = Peer::start_by(disk.chancery(), &consortium.dir(), &resting);
    let so_far = write(&peer, 1).await;
    disk.remount("ro").await;
    only_read(&peer, &consortium, &so_far).await;
}

/// Of a sync that failed nobody knows what it did: it is not tried again, whatever the error. Its channel ends there.
#[tokio::test]
async fn a_sync_that_fails_halts_its_channel_and_no_other_and_loses_nothing() {
    let shim = Shim::new();
    let consortium = Consortium::new();
    let create = ["channel", "create", "open", "--org", "bank", "--open-submit"];
    // Nothing else is synced than what is posted.
    let calm = [("CHANCERY_CHANNELS_CHECKPOINT_INTERVAL_MS", "600000"), ("CHANCERY_CHANNELS_REST_AFTER_MS", "0")];
    let variables = [&calm[..], &shim.variables()].concat();
    let (mut acknowledged, mut unknown) = (Vec::new(), Vec::new());
    // What a disk says that fails, one that became read-only, and one without room: EIO, EROFS, ENOSPC.
    for (round, (errno, told)) in [(5, "os error 5"), (30, "os error 30"), (28, "os error 28")].into_iter().enumerate()
    {
        let peer = Peer::start(&consortium.dir(), &variables);
        if round == 0 {
            peer.run(&consortium.admin(), &create);
        }
        let connection = impatient(&peer, &consortium.admin());
        let main = connection.channel("main").await.expect("public").id;
        let open = connection.channel("open").await.expect("public").id;
        let post = |channel: &'static str, id: Hash| {
            let envelope = signed(id, 1, vec![append("tests.sync", format!("{errno}"))]);
            let connection = connection.clone();
            async move { (envelope.clone(), connection.submit(channel, &envelope, Wait::Committed).await) }
        };
        // The first blocks go into the log, the next into its journal.
        for number in 0..if round == 1 { 2 } else { 10 } {
            for (channel, id) in [("main", main), ("open", open)] {
                let (_, outcome) = post(channel, id).await;
                acknowledged.push((channel, outcome.unwrap_or_else(|error| panic!("{number}: {error}"))));
            }
        }
        shim.fail_a_sync(errno);
        let (envelope, refused) = post("main", main).await;
        let Err(SubmitError::Request(refused)) = refused else { panic!("{refused:?}") };
        assert!(refused.is_unavailable(), "{refused}");
        assert!(!shim.sync.exists(), "it was this one");
        unknown.push(envelope);
        let (_, outcome) = post("open", open).await;
        acknowledged.push(("open", outcome.expect("the other channel goes on")));
        let (_, again) = post("main", main).await;
        assert!(again.is_err(), "{again:?} after a sync that failed");
        let status = peer.run(&consortium.admin(), &["status"]);
        let states = status["channels"].as_array().expect("a list").iter();
        let states: BTreeMap<&str, &Value> = states.map(|one| (one["name"].as_str().expect("text"), one)).collect();
        assert_eq!((&states["main"]["state"], &states["open"]["state"]), (&"halted".into(), &"serving".into()));
        assert!(states["main"]["reason"].as_str().is_some_and(|reason| reason.contains(told)), "{status}");
        assert_eq!(peer.said("channel halted"), 1);
        peer.drain();
    }
    let peer = consortium.serve();
    let connection = peer.connect(&consortium.admin());
    for (channel, outcome) in &acknowledged {
        let found = connection.transaction(channel, outcome.id.expect("an id")).await.expect("there");
        assert_eq!(found.receipt, outcome.receipt);
    }
    for envelope in &unknown {
        let outcome = connection.submit("main", envelope, Wait::Committed).await.expect("taken, or there already");
        assert_eq!(outcome.receipt.expect("committed").code, 0);
    }
    peer.drain();
    let report = crate::harness::run(&["verify", "--dir", text(&consortium.dir())]);
    assert_eq!(report["broken"], Value::Array(vec![]), "{report}");
}

/// A sync that takes five seconds, while one transaction is sent more often than a channel holds transactions.
#[tokio::test]
async fn while_the_disk_stalls_reads_are_answered_and_nothing_is_lost_or_doubled() {
    let shim = Shim::new();
    let trial = Trial::new(&shim.variables()).await;
    File::create(&shim.stall).expect("a file");
    let flood = Flood::begin(&trial.loads[0]);
    // Each client waits for the commit of its own.
    let (stalled, commits) = (Instant::now(), trial.loads.iter().map(Load::commits).sum::<usize>());
    while stalled.elapsed() < Duration::from_secs(5) {
        for load in &trial.loads {
            load.can_be_read().await;
        }
        let resident = trial.peer.resident_mib();
        assert!(resident < RESIDENT_MIB_MAX, "the peer holds {resident} MiB while the disk stalls");
    }
    let meanwhile = trial.loads.iter().map(Load::commits).sum::<usize>() - commits;
    assert!(meanwhile <= 4 * usize::from(CLIENTS), "{meanwhile} were acknowledged though no sync returned");
    // Those that have no credits are answered at once, the others wait.
    eventually("the flood is refused", &flood.changed, || flood.refused.load(Ordering::Relaxed) > 0).await;
    fs::remove_file(&shim.stall).expect("removes");
    flood.end().await;
    for load in &trial.loads {
        let refused = load.refused.lock().expect("not poisoned").clone();
        assert!(refused.keys().all(|name| name == "429 busy"), "{refused:?}");
    }
    trial.goes_on().await;
}

/// Once, whoever sent a transaction again after its end was told that it had expired, while its block waited for the disk.
#[tokio::test]
async fn what_expires_while_its_block_waits_for_the_disk_is_committed() {
    let shim = Shim::new();
    let consortium = Consortium::new();
    let peer = Peer::start(&consortium.dir(), &shim.variables());
    let connection = peer.connect(&consortium.admin());
    let id = connection.channel("main").await.expect("public").id;
    let valid_until = client::now().plus_millis(3_000);
    let soon = Transaction { valid_until, ..transaction(id, vec![append("tests.late", "soon over")]) };
    let envelope = Envelope::sign_binary(&soon, &[&key(1)]);
    // A channel that rests would open its files on a disk that stalls.
    let first = signed(id, 1, vec![append("tests.late", "first")]);
    connection.submit("main", &first, Wait::Committed).await.expect("in time");
    File::create(&shim.stall).expect("a file");
    connection.submit("main", &envelope, Wait::Accepted).await.expect("in time");
    while client::now() <= valid_until {
        connection.channel("main").await.expect("reads go on");
    }
    let again = connection.submit("main", &envelope, Wait::Committed);
    tokio::pin!(again);
    // The wrong answer came at once.
    let early = tokio::time::timeout(Duration::from_secs(1), &mut again).await;
    assert!(early.is_err(), "{early:?} while the disk stalls");
    fs::remove_file(&shim.stall).expect("removes");
    let outcome = again.await.expect("an outcome");
    assert_eq!(outcome.receipt.expect("committed").code, 0);
    // What was never taken is refused.
    let never = Transaction { valid_until, ..transaction(id, vec![append("tests.late", "never")]) };
    let never = Envelope::sign_binary(&never, &[&key(1)]);
    match connection.submit("main", &never, Wait::Committed).await {
        Err(SubmitError::Request(error)) => {
            assert!(error.problem().is_some_and(|problem| problem.type_uri.ends_with(":expired")), "{error}");
        }
        other => panic!("{other:?}"),
    }
}
