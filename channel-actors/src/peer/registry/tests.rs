//! A whole channel on a disk that fails: it halts and says why, whoever waits is answered, the others go on, and what
//! was answered as committed is there when the peer comes up again.

#![allow(clippy::disallowed_methods, reason = "tests start tasks and threads as they like")]

use crate::peer::registry::*;
use crate::runtime::clock::Clock;
use crate::runtime::metrics::Metrics;
use crate::runtime::tasks::Tasks;
use crate::store::tests::disk::{FILES, Fault, Loss, Machine, WAL};
use crate::test_support::{self, NOW, Random, envelope, key, seeds};
use crate::{SubmitRefusal, SubmitResult, Wait};
use ledger_classes::formats::receipt::Receipt;
use ledger_classes::primitives::time::Time;
use ledger_classes::state::participant::NoCertificates;
use std::collections::HashMap;

struct Still;

impl Clock for Still {
    fn now(&self) -> Time {
        NOW
    }
}

/// A peer whose channels' files are on machines of their own, by name.
struct Peer {
    folders: tempfile::TempDir,
    machines: Arc<Mutex<HashMap<String, Machine>>>,
    store: StoreOptions,
    /// Whether writes wait for room, as those of a real peer do.
    waits: bool,
    suspend_after: Option<Duration>,
}

impl Peer {
    fn new(waits: bool, random: &mut Random) -> Self {
        let mut cache = || [0, 256 << 10][random.below(2)];
        let (log_cache_bytes, state_cache_bytes) = (cache(), cache());
        // A checkpoint is due after each block.
        let store = StoreOptions { log_cache_bytes, state_cache_bytes, dirty_bytes_max: 1, ..StoreOptions::default() };
        Self {
            folders: tempfile::tempdir().expect("a directory"),
            machines: Arc::default(),
            store,
            waits,
            suspend_after: None,
        }
    }

    fn machine(&self, name: &str) -> Machine {
        self.machines.lock().expect("not poisoned").get(name).expect("made").clone()
    }

    /// Starts the channels that there are.
    async fn start(&self) -> Arc<ChannelRegistry> {
        let (machines, waits) = (self.machines.clone(), self.waits);
        let files = move |folder: PathBuf, disk: Option<&Disk>| -> Box<dyn StoreFiles> {
            std::fs::create_dir_all(&folder).expect("makes");
            let name = folder.file_name().expect("a name").to_string_lossy().replace(UNFINISHED, "");
            let machine = machines.lock().expect("not poisoned").entry(name).or_default().clone();
            match disk.filter(|_| waits) {
                Some(disk) => Box::new(disk.files(machine)),
                None => Box::new(machine),
            }
        };
        let options = RegistryOptions {
            memory: Default::default(),
            directory: self.folders.path().to_owned(),
            seal_key: Arc::new(key(200)),
            certificates: Arc::new(NoCertificates),
            clock: Arc::new(Still),
            shards: 1,
            verification_threads: 1,
            disk_reserve_bytes: 0,
            channel_bytes_max: 0,
            store: self.store,
            suspend_after: self.suspend_after,
            metrics: Metrics::new(&mut prometheus_client::registry::Registry::default()),
            tasks: Tasks::default(),
        };
        let registry = ChannelRegistry::open_on(options, Arc::new(files)).expect("opens");
        registry.opened().await;
        registry
    }
}

fn config(name: &str) -> ChannelConfig {
    ChannelConfig { name: name.into(), ..test_support::config() }
}

async fn post(channel: &ChannelHandle, nonce: u64) -> Result<Receipt, String> {
    let id = channel.id().expect("open");
    let submission = match channel.submit(vec![envelope(id, nonce, 1)], Wait::Committed) {
        Ok(submission) => submission,
        Err(SubmitRefusal::Stopped { reason }) => return Err(reason),
        Err(other) => panic!("{other:?}"),
    };
    match submission.await.as_slice() {
        [SubmitResult::Committed { receipt, .. }] => Ok((**receipt).clone()),
        [SubmitResult::Refused { refusal: SubmitRefusal::Stopped { reason }, .. }] => Err(reason.clone()),
        other => panic!("{other:?}"),
    }
}

#[actix::test]
async fn a_disk_that_fails_halts_its_channel_alone_and_loses_nothing_committed() {
    for seed in seeds(1) {
        let mut random = Random(seed);
        for fault in Fault::ALL.into_iter().filter(|fault| *fault != Fault::Flip) {
            for file in 0..FILES {
                on_a_failing_disk(fault, file, &mut random, &format!("seed {seed}, {fault:?} on file {file}")).await;
            }
        }
    }
}

async fn on_a_failing_disk(fault: Fault, file: usize, random: &mut Random, what: &str) {
    let peer = Peer::new(false, random);
    let registry = peer.start().await;
    let broken = registry.create(config("broken")).await.expect(what);
    let sound = registry.create(config("sound")).await.expect(what);
    let machine = peer.machine("broken");
    machine.begin();
    machine.arm(file, fault, random.below(6) as u64, random.below(5000));
    let mut committed = Vec::new();
    let answer = loop {
        match post(&broken, committed.len() as u64).await {
            Ok(receipt) => committed.push(receipt),
            Err(answer) => break Some(answer),
        }
        post(&sound, committed.len() as u64).await.expect(what);
        // Files grow by leaps, and with a cache for all pages nothing is read again.
        if committed.len() == 40 {
            break None;
        }
    };
    match &answer {
        Some(answer) => {
            // A failed checkpoint halts the channel a moment after the last answer.
            let mut life = broken.follow_life();
            let halted = life.wait_for(|state| matches!(state, LifeCycle::Halted { .. })).await.expect(what).clone();
            let LifeCycle::Halted { reason } = halted else { panic!("{what}: {halted:?}") };
            assert!(*answer == reason || answer.contains("before the outcome was known"), "{what}: {answer}");
            let says = ["does not answer", "space", "Previous I/O"].iter().any(|why| reason.contains(why));
            assert!(says, "{what}: {reason}");
            assert!(machine.fired(), "{what}: {reason}");
            machine.mend();
            assert_eq!(post(&broken, 1000).await, Err(reason), "{what}: for good");
        }
        None => {
            assert!(!machine.fired() || matches!(fault, Fault::Write | Fault::ShortWrite), "{what}: went unnoticed")
        }
    }
    post(&sound, 1000).await.expect(what);
    registry.drain().await;
    assert_eq!(sound.state(), LifeCycle::Closed, "{what}");

    power_loss(&peer, random);
    let registry = peer.start().await;
    let mended = registry.by_name("broken").expect(what);
    assert_eq!(mended.state(), LifeCycle::Serving, "{what}");
    let height = mended.tip().height;
    let under_way = u64::from(answer.is_some());
    assert!((committed.len() as u64..=committed.len() as u64 + under_way).contains(&height), "{what}: {height}");
    for (nonce, receipt) in (0..).zip(committed) {
        assert_eq!(post(&mended, nonce).await, Ok(receipt), "{what}: the outcome it had");
    }
    assert_eq!(mended.tip().height, height, "{what}");
    post(&mended, 2000).await.expect(what);
    registry.drain().await;
}

/// The power of the broken channel's machine goes.
fn power_loss(peer: &Peer, random: &mut Random) {
    let machine = peer.machine("broken");
    let mut image = machine.live();
    machine.moments(random, |moment, random| {
        image = moment.image(Loss::ALL[random.below(Loss::ALL.len())], random);
        Some(())
    });
    peer.machines.lock().expect("not poisoned").insert("broken".into(), Machine::after(&image));
}

/// A real peer waits for room in the middle of a block or a checkpoint, even with half a page written.
#[actix::test]
async fn a_disk_that_is_full_in_the_middle_of_a_write_is_waited_out_and_loses_nothing() {
    for seed in seeds(1) {
        let mut random = Random(seed);
        for (fault, file) in [Fault::Write, Fault::ShortWrite, Fault::SetLength]
            .into_iter()
            .flat_map(|fault| (0..FILES).map(move |file| (fault, file)))
        {
            on_a_full_disk(fault, file, &mut random, &format!("seed {seed}, {fault:?} on file {file}")).await;
        }
    }
}

async fn on_a_full_disk(fault: Fault, file: usize, random: &mut Random, what: &str) {
    let peer = Peer::new(true, random);
    let registry = peer.start().await;
    let broken = registry.create(config("broken")).await.expect(what);
    let machine = peer.machine("broken");
    machine.begin();
    // A write-ahead log is written to some twenty times.
    let left = random.below(if file == WAL { 20 } else { 40 }) as u64;
    machine.arm(file, fault, left, random.below(5000));
    let (disk, room) = (registry.disk().clone(), machine.clone());
    let mender = actix::spawn(async move {
        if disk.follow().wait_for(Option::is_some).await.is_ok() {
            room.mend();
        }
    });
    let mut committed = Vec::new();
    while committed.len() < 25 {
        let id = broken.id().expect("open");
        let submission = match broken.submit(vec![envelope(id, committed.len() as u64, 1)], Wait::Committed) {
            Ok(submission) => submission,
            Err(SubmitRefusal::Disk(_)) => {
                let _ = registry.disk().follow().wait_for(Option::is_none).await;
                continue;
            }
            Err(other) => panic!("{what}: {other:?}"),
        };
        match submission.await.as_slice() {
            [SubmitResult::Committed { receipt, .. }] => committed.push((**receipt).clone()),
            other => panic!("{what}: {other:?}"),
        }
    }
    assert_eq!(broken.state(), LifeCycle::Serving, "{what}");
    assert!(machine.fired() || fault == Fault::SetLength, "{what}: went unnoticed");
    mender.abort();
    machine.mend();
    registry.drain().await;
    power_loss(&peer, random);
    let registry = peer.start().await;
    let again = registry.by_name("broken").expect(what);
    assert_eq!(again.tip().height, 25, "{what}");
    for (nonce, receipt) in (0..).zip(committed) {
        assert_eq!(post(&again, nonce).await, Ok(receipt), "{what}: the outcome it had");
    }
    registry.drain().await;
}
