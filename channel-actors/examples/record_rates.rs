//! How many ordering records a second the peer's log brings to a disk, beside a store for each channel, whose write-ahead log
//! does the same for its blocks, and beside a file that is written and synced, each time one record. Each channel has one
//! record under way:
//!
//! ```sh
//! cargo run --release -p channel-actors --example record_rates -- DIRECTORY [SECONDS]
//! ```

use bytes::Bytes;
use channel_actors::runtime::tasks::Tasks;
use channel_actors::store::peer_log::{PeerLog, PeerLogOptions, SegmentDirectory, What};
use channel_actors::store::{BlockRecord, ChannelStore, StoreOptions};
use ledger_classes::primitives::hash::Hash;
use rustix::time::{ClockId, clock_gettime};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel as queue};
use std::time::{Duration, Instant};

/// Records of a channel after which a base stands for them.
const REBASE: u64 = 16;
/// Threads that append to stores of channels, as many as wait for the disk at once.
const STORE_THREADS: usize = 16;

fn channel(number: usize) -> Hash {
    Hash::plain(&[&number.to_le_bytes()])
}

/// What is counted, and until when.
#[derive(Default)]
struct Count {
    done: AtomicU64,
    over: AtomicBool,
}

/// The rate, and processor time of a record, while something else is at work.
fn measure(count: &Count, seconds: u64) -> (f64, f64) {
    let cpu = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let wait = |time: Duration| {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            std::thread::park_timeout(left);
        }
    };
    wait(Duration::from_secs(1));
    let (begin, done, used) = (Instant::now(), count.done.load(Ordering::Relaxed), cpu());
    wait(Duration::from_secs(seconds));
    let records = (count.done.load(Ordering::Relaxed) - done) as f64;
    let (rate, cost) = (records / begin.elapsed().as_secs_f64(), (cpu() - used) * 1e6 / records);
    count.over.store(true, Ordering::Relaxed);
    (rate, cost)
}

/// One record after the other, until it is over.
fn go_on(log: &PeerLog, number: usize, round: u64, body: Bytes, count: Arc<Count>, ended: Sender<()>) {
    let what = match round % REBASE {
        0 => What::Base(body.slice(..body.len().min(200))),
        _ => What::Record(body.clone()),
    };
    let again = log.clone();
    log.put(channel(number), what, move |result| {
        result.expect("the disk takes it");
        count.done.fetch_add(1, Ordering::Relaxed);
        if count.over.load(Ordering::Relaxed) {
            drop(ended);
        } else {
            go_on(&again, number, round + 1, body, count, ended);
        }
    });
}

fn peer_log(home: &Path, channels: usize, bytes: usize, seconds: u64) -> (f64, f64) {
    let files = SegmentDirectory::new(home.join("ordering")).expect("a directory");
    let log = PeerLog::open(Box::new(files), PeerLogOptions::default(), &Tasks::default()).expect("opens");
    let (count, (ended, ends)) = (Arc::new(Count::default()), queue());
    let body = Bytes::from(vec![7; bytes]);
    (0..channels).for_each(|number| go_on(&log, number, number as u64, body.clone(), count.clone(), ended.clone()));
    drop(ended);
    let measured = measure(&count, seconds);
    assert!(ends.recv().is_err(), "until all have ended");
    measured
}

fn stores(home: &Path, channels: usize, bytes: usize, seconds: u64) -> (f64, f64) {
    let create = |number: usize| {
        let store = ChannelStore::create(home.join(number.to_string()), StoreOptions::default()).expect("creates");
        (store, Bytes::from(vec![7; bytes]))
    };
    let stores: Vec<_> = (0..channels).map(create).collect();
    let count = Count::default();
    std::thread::scope(|scope| {
        for part in stores.chunks(channels.div_ceil(STORE_THREADS)) {
            let count = &count;
            scope.spawn(move || {
                for height in 0_u64.. {
                    for (store, body) in part {
                        let header_hash = Hash::plain(&[&height.to_le_bytes()]);
                        let record = BlockRecord { height, header_hash, block: body.clone(), receipts: Bytes::new() };
                        store.append(&record).expect("the disk takes it");
                        count.done.fetch_add(1, Ordering::Relaxed);
                        if count.over.load(Ordering::Relaxed) {
                            return;
                        }
                    }
                }
            });
        }
        measure(&count, seconds)
    })
}

fn file(home: &Path, bytes: usize, seconds: u64) -> (f64, f64) {
    const ROOM: usize = 1 << 20;
    let file = std::fs::File::create(home.join("file")).expect("creates");
    file.write_all_at(&vec![0; ROOM], 0).expect("writes");
    file.sync_all().expect("syncs");
    let (count, body) = (Count::default(), vec![7; bytes]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !count.over.load(Ordering::Relaxed) {
                file.write_all_at(&body, 0).expect("writes");
                file.sync_data().expect("syncs");
                count.done.fetch_add(1, Ordering::Relaxed);
            }
        });
        measure(&count, seconds)
    })
}

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let home = PathBuf::from(arguments.next().expect("where the disk is"));
    let seconds = arguments.next().map_or(5, |text| text.to_str().and_then(|text| text.parse().ok()).expect("seconds"));
    let mut run = 0;
    let mut fresh = || {
        run += 1;
        let home = home.join(format!("run-{run}"));
        std::fs::create_dir_all(&home).expect("a directory");
        home
    };
    println!("| What | Bytes | Channels | Records a second | Processor time a record, µs |\n|---|---|---|---|---|");
    for bytes in [8 * 1024, 300] {
        let tell = |what: &str, channels: usize, (rate, cost): (f64, f64)| {
            println!("| {what} | {bytes} | {channels} | {rate:.0} | {cost:.0} |");
        };
        tell("a file", 1, file(&fresh(), bytes, seconds));
        for channels in [1, 100, 1_000] {
            tell("the peer's log", channels, peer_log(&fresh(), channels, bytes, seconds));
            tell("a store for each", channels, stores(&fresh(), channels, bytes, seconds));
        }
    }
}
