//! Disks that are full, read-only or slow while the peer runs: writes are refused by name, reads go on, and all is well
//! afterwards without a restart.
//!
//! Needs root, for a mount namespace with a small file system of the test's own, and `cc` for a shim below the peer.

mod load;
pub(crate) mod shim;
mod small_disk;

use crate::harness::{Consortium, Peer, append, copy_folder, key, run, signed, text, transaction};
use client::api::Outcome;
use client::submit::{SubmitError, Wait};
use client::subscribe::{Filter, Start, Subscription};
use ledger_classes::formats::transaction::{Envelope, Transaction};
use ledger_classes::primitives::hash::Hash;
use load::{CLIENTS, Flood, Load, eventually};
use serde_json::Value;
use shim::Shim;
use small_disk::SmallDisk;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of the peer, in MiB; a fresh one holds some 40.
const RESIDENT_MIB_MAX: u64 = 400;

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
        // One channel may take all of this disk.
        let settings =
            [("CHANCERY_METRICS_LISTEN", "127.0.0.1:0"), ("CHANCERY_LIMITS_CHANNEL_BYTES_MAX", "1073741824")];
        let peer = Peer::start_by(disk.chancery(), &consortium.dir(), &[&settings, variables].concat());
        let made = peer.run(&consortium.admin(), &["channel", "create", "open", "--org", "bank", "--open-submit"]);
        let connection = peer.connect_once(&consortium.admin());
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
        let spec = ledger_classes::primitives::json::from_value(spec).expect("a specification");
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
    let report: Value = ledger_classes::primitives::json::from_slice(&verified.stdout).expect("JSON");
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
async fn only_read(peer: &Peer, consortium: &Consortium, written: &[Outcome], why: &str) {
    let connection = peer.connect_once(&consortium.admin());
    for outcome in written {
        let found = connection.transaction("main", outcome.id.expect("an id")).await.expect("readable");
        assert_eq!(found.receipt, outcome.receipt);
    }
    let id = connection.channel("main").await.expect("public").id;
    let envelope = signed(id, 1, vec![append("tests.disk", "refused")]);
    match connection.submit("main", &envelope, Wait::Committed).await {
        Err(SubmitError::Request(error)) => {
            let problem = error.problem().unwrap_or_else(|| panic!("{error}"));
            assert_eq!((problem.status, problem.name()), (503, why), "{problem:?}");
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
    let resting = [("CHANCERY_CHANNELS_SUSPEND_AFTER_MS", "100")];
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
    only_read(&peer, &consortium, &so_far, "storage-read-only").await;
    disk.remount("rw").await;
    let so_far = write(&peer, 10).await;
    disk.remount("ro").await;
    only_read(&peer, &consortium, &so_far, "storage-read-only").await;
    // It ends there, and begins there again.
    peer.drain();
    verify(&consortium, &disk, 1);
    let peer = Peer::start_by(disk.chancery(), &consortium.dir(), &resting);
    only_read(&peer, &consortium, &so_far, "storage-read-only").await;
    disk.remount("rw").await;
    write(&peer, 1).await;
    peer.drain();
    // One that a crash left, with its write-ahead log.
    let peer = Peer::start_by(disk.chancery(), &consortium.dir(), &[("CHANCERY_CHANNELS_SUSPEND_AFTER_MS", "0")]);
    let so_far = write(&peer, 10).await;
    peer.kill();
    assert!(disk.path("main/wal").exists());
    disk.remount("ro").await;
    verify(&consortium, &disk, 1);
    // Its state is behind its log: it is made in memory.
    for suspend_after in ["0", "100"] {
        let resting = [("CHANCERY_CHANNELS_SUSPEND_AFTER_MS", suspend_after)];
        let peer = Peer::start_by(disk.chancery(), &consortium.dir(), &resting);
        only_read(&peer, &consortium, &so_far, "storage-read-only").await;
        peer.drain();
    }
    let peer = Peer::start_by(disk.chancery(), &consortium.dir(), &resting);
    only_read(&peer, &consortium, &so_far, "storage-read-only").await;
    disk.remount("rw").await;
    let so_far = write(&peer, 1).await;
    disk.remount("ro").await;
    only_read(&peer, &consortium, &so_far, "storage-read-only").await;
}

/// A copy that was taken of a peer at work, and put where nobody may write.
#[tokio::test]
async fn a_copy_of_a_peers_whole_directory_on_a_read_only_disk_can_be_read() {
    let consortium = Consortium::new();
    let peer = Peer::start(&consortium.dir(), &[("CHANCERY_CHANNELS_SUSPEND_AFTER_MS", "0")]);
    let connection = peer.connect(&consortium.admin());
    let id = connection.channel("main").await.expect("public").id;
    let mut written = Vec::new();
    for _ in 0..10 {
        let envelope = signed(id, 1, vec![append("tests.disk", "written")]);
        written.push(connection.submit("main", &envelope, Wait::Committed).await.expect("taken"));
    }
    peer.kill();
    let copy = consortium.path("copy");
    let disk = SmallDisk::new(&copy, 64);
    copy_folder(&consortium.dir(), &disk.path("peer"));
    disk.remount("ro").await;
    let peer = Peer::start_by(disk.chancery(), &copy.join("peer"), &[]);
    only_read(&peer, &consortium, &written, "peer-fenced").await;
    let filter = Filter { start: Start::Height(0), ..Filter::default() };
    follow(&mut peer.connect(&consortium.admin()).subscribe("main", filter), written.len()).await;
    peer.drain();
}

/// Of a sync that failed nobody knows what it did: it is not tried again, whatever the error. Its channel ends there.
#[tokio::test]
async fn a_sync_that_fails_halts_its_channel_and_no_other_and_loses_nothing() {
    let shim = Shim::new();
    let consortium = Consortium::new();
    let create = ["channel", "create", "open", "--org", "bank", "--open-submit"];
    // Nothing else is synced than what is posted.
    let calm = [("CHANCERY_CHANNELS_CHECKPOINT_INTERVAL_MS", "600000"), ("CHANCERY_CHANNELS_SUSPEND_AFTER_MS", "0")];
    let variables = [&calm[..], &shim.variables()].concat();
    let (mut acknowledged, mut unknown) = (Vec::new(), Vec::new());
    // What a disk says that fails, one that became read-only, and one without room: EIO, EROFS, ENOSPC.
    for (round, (errno, told)) in [(5, "os error 5"), (30, "os error 30"), (28, "os error 28")].into_iter().enumerate()
    {
        let peer = Peer::start(&consortium.dir(), &variables);
        if round == 0 {
            peer.run(&consortium.admin(), &create);
        }
        let connection = peer.connect_once(&consortium.admin());
        let main = connection.channel("main").await.expect("public").id;
        let open = connection.channel("open").await.expect("public").id;
        let post = |channel: &'static str, id: Hash| {
            let envelope = signed(id, 1, vec![append("tests.sync", format!("{errno}"))]);
            let connection = connection.clone();
            async move { (envelope.clone(), connection.submit(channel, &envelope, Wait::Committed).await) }
        };
        // The first blocks go into the log, the next into its write-ahead log.
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
    let report = run(&["verify", "--dir", text(&consortium.dir())]);
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
    // A channel that is suspended would open its files on a disk that stalls.
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
