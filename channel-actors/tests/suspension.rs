//! What channels cost that nobody uses: no open files, and little memory. The only test of its process, whose files and
//! memory it counts.

use channel_actors::runtime::clock::SystemClock;
use channel_actors::runtime::metrics::Metrics;
use channel_actors::store::StoreOptions;
use channel_actors::{ChannelRegistry, LifeCycle, RegistryOptions};
use ledger_classes::formats::config::{Approvals, ChannelConfig, Engine, Fees, Limits, OrderingPeer, Organization};
use ledger_classes::keys::SigningKey;
use ledger_classes::primitives::hash::HexBytes;
use ledger_classes::primitives::identity::{Identity, Role};
use ledger_classes::primitives::time::Time;
use ledger_classes::state::participant::NoCertificates;
use prometheus_client::registry::Registry;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const CHANNELS: u64 = 200;
/// DESIGN's bound.
const BYTES_MAX: u64 = 64 * 1024;

fn config(name: String) -> ChannelConfig {
    let identity = Identity::new("test.example", "bank", Role::Peer, "peer").expect("valid");
    ChannelConfig {
        rules: ledger_classes::rules::RULES,
        name,
        consortium: "test.example".into(),
        created: Time::from_millis(1_795_000_000_000),
        salt: HexBytes(vec![7; 16]),
        engine: Engine::Solo,
        peers: vec![OrderingPeer { identity, key: SigningKey::from_seed(&[200; 32]).public(), weight: 1 }],
        threshold: 1,
        organizations: vec![Organization { name: "bank".into(), title: "Bank".into(), authorities: vec![] }],
        grants: vec![],
        public_read: true,
        open_submit: true,
        limits: Limits::default(),
        fees: Fees::default(),
        approvals: Approvals::Majority,
        witnesses: Default::default(),
        budgets: Default::default(),
    }
}

fn open(directory: &Path, suspend_after: Duration) -> Arc<ChannelRegistry> {
    let options = RegistryOptions {
        memory: Default::default(),
        directory: directory.to_owned(),
        seal_key: Arc::new(SigningKey::from_seed(&[200; 32])),
        certificates: Arc::new(NoCertificates),
        clock: Arc::new(SystemClock),
        shards: 2,
        verification_threads: 2,
        disk_reserve_bytes: 0,
        channel_bytes_max: 0,
        store: StoreOptions::default(),
        suspend_after: Some(suspend_after),
        metrics: Metrics::new(&mut Registry::default()),
        tasks: channel_actors::runtime::tasks::Tasks::default(),
    };
    ChannelRegistry::open(options).expect("opens")
}

/// Files of channels that this process has open.
fn files(directory: &Path) -> usize {
    let links = std::fs::read_dir("/proc/self/fd").expect("lists");
    let paths = links.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    paths.filter(|path| path.starts_with(directory) && path != directory).count()
}

/// Resident bytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).expect("a number") * 1024
}

#[actix::test]
async fn hundreds_of_channels_that_rest_hold_no_files_and_little_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = open(folder.path(), Duration::from_secs(100_000));
    // What the first of everything takes is no channel's cost.
    let first = registry.create(config("first".into())).await.expect("made");
    first.read(|reader| Ok(reader.height())).await.expect("readable");
    assert_eq!(files(folder.path()), 2, "one that is used has its two files open");
    for number in 0..CHANNELS {
        registry.create(config(format!("idle-{number}"))).await.expect("made");
    }
    assert_eq!(files(folder.path()), 2, "all others are suspended");
    assert!(registry.list().iter().all(|channel| channel.state() == LifeCycle::Serving));
    registry.drain().await;
    drop((registry, first));

    // What the allocator kept of creating them is not theirs: counted over those that a start finds suspended.
    let before = memory();
    let began = std::time::Instant::now();
    let registry = open(folder.path(), Duration::from_secs(100_000));
    registry.opened().await;
    let (took, each) = (began.elapsed(), memory().saturating_sub(before) / CHANNELS);
    println!("{CHANNELS} channels: started in {took:?}, {each} bytes each");
    assert_eq!(files(folder.path()), 0);
    assert!(each < BYTES_MAX, "{each} bytes each");
    let channels = registry.list();
    assert_eq!(channels.len() as u64, CHANNELS + 1);
    assert!(channels.iter().all(|channel| channel.is_suspended() && channel.state() == LifeCycle::Serving));
    // They are all there.
    for channel in channels.iter().take(20) {
        assert_eq!(channel.glance(|reader| Ok(reader.height())).await, Ok(0));
    }
    registry.drain().await;
}
