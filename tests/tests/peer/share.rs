//! A channel's part of the disk: who fills one channel fills no other, and what is full is repaired.

use crate::harness::{Consortium, Peer, address, append, define, mint, signed};
use client::api::BatchResult;
use client::connection::{Connection, RequestError};
use client::submit::{SubmitError, Wait};
use ledger_classes::action::Action;
use ledger_classes::action::assets::{Transfer, TransferBatch};
use ledger_classes::action::channel::Admit;
use ledger_classes::formats::transaction::Envelope;
use ledger_classes::keys::{Address, Signature};
use ledger_classes::primitives::amount::Amount;
use ledger_classes::primitives::hash::{Hash, HexBytes};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;

const METRICS: (&str, &str) = ("CHANCERY_METRICS_LISTEN", "127.0.0.1:0");
const PART: u64 = 16 * 1024 * 1024;
/// Bytes of each record.
const BODY: usize = 15_000;
/// Records of a transaction.
const RECORDS: usize = 5;

/// The code of its outcome, or the name of the problem with which it was refused.
async fn post(connection: &Connection, channel: &str, envelope: &Envelope) -> Result<u16, String> {
    match connection.submit(channel, envelope, Wait::Committed).await {
        Ok(outcome) => Ok(outcome.receipt.expect("committed").code),
        Err(SubmitError::Request(RequestError::Problem(problem))) => {
            // Waiting makes no room in a channel's part.
            assert!(problem.name() != "channel-full" || problem.retry_after_ms.is_none(), "{problem:?}");
            Err(problem.name().to_owned())
        }
        Err(error) => panic!("{error}"),
    }
}

fn filling(channel: Hash) -> Envelope {
    signed(channel, 7, (0..RECORDS).map(|_| append("fill", "x".repeat(BODY))).collect())
}

/// What the files of the channel take.
fn files(consortium: &Consortium) -> u64 {
    let files = std::fs::read_dir(consortium.dir().join("data/open")).expect("its folder");
    files.map(|file| file.expect("readable").metadata().expect("there").blocks() * 512).sum()
}

/// A burst of one client went beyond the part by all that was under way, 110 to 230 MB.
#[tokio::test]
async fn a_burst_does_not_go_beyond_a_channels_part() {
    let consortium = Consortium::new();
    let admin = consortium.admin();
    let part = PART.to_string();
    let peer = Peer::start(&consortium.dir(), &[METRICS, ("CHANCERY_LIMITS_CHANNEL_BYTES_MAX", &part)]);
    let made = peer.run(&admin, &["channel", "create", "open", "--org", "bank", "--open-submit", "--approvals", "any"]);
    let open: Hash = made["id"].as_str().expect("an id").parse().expect("hex");
    // Four requests of 6 MB at once, of which three times as much would come to the disk.
    let bursts = (0..4).map(|number| {
        let connection = peer.connect_once(&admin);
        let batch: Vec<Envelope> = (0..80).map(|_| filling(open)).collect();
        tokio::spawn(async move {
            let results = connection.submit_batch("open", &batch, Wait::Committed).await;
            results.unwrap_or_else(|error| panic!("{number}: {error}"))
        })
    });
    let bursts: Vec<_> = bursts.collect();
    let (mut taken, mut refused) = (0, BTreeSet::new());
    for burst in bursts {
        for result in burst.await.expect("no panic") {
            match result {
                BatchResult::Committed { code: 0, .. } => taken += 1,
                BatchResult::Refused { problem, .. } => _ = refused.insert(problem),
                other => panic!("{other:?}"),
            }
        }
    }
    let known = ["busy", "channel-full"].map(String::from).into_iter().collect::<BTreeSet<_>>();
    assert!(taken > 0 && refused.contains("busy") && refused.is_subset(&known), "{taken} taken, {refused:?}");
    // What is shown may be two seconds old.
    let bytes = files(&consortium);
    println!("{taken} taken, {bytes} bytes of {PART}");
    assert!(bytes < PART + PART / 4, "{taken} taken, {bytes} bytes");
    // Nothing stays counted: one after another finds room until the part is used up.
    let connection = peer.connect_once(&admin);
    for _ in 0..4 * PART as usize / (RECORDS * BODY) {
        match post(&connection, "open", &filling(open)).await {
            Ok(code) => assert_eq!(code, 0),
            Err(name) => {
                assert_eq!(name, "channel-full");
                break;
            }
        }
    }
    assert_eq!(post(&connection, "open", &filling(open)).await, Err("channel-full".into()));
    peer.drain();
}

/// Transactions of some kilobytes that become many times that were counted by their bytes: half of what was accepted was
/// dropped as `channel-full`, and the files went to half beyond the part.
#[tokio::test]
async fn small_transactions_that_do_much_are_refused_rather_than_dropped() {
    let consortium = Consortium::new();
    let admin = consortium.admin();
    let part = PART.to_string();
    let peer = Peer::start(&consortium.dir(), &[METRICS, ("CHANCERY_LIMITS_CHANNEL_BYTES_MAX", &part)]);
    let made = peer.run(&admin, &["channel", "create", "open", "--org", "bank", "--open-submit", "--approvals", "any"]);
    let open: Hash = made["id"].as_str().expect("an id").parse().expect("hex");
    let connection = peer.connect_once(&admin);
    assert_eq!(post(&connection, "open", &signed(open, 7, vec![define("eur"), mint("eur", 7, 1 << 40)])).await, Ok(0));
    let to = |number: u32| {
        let mut address = [0; 20];
        address[..4].copy_from_slice(&number.to_le_bytes());
        Address(address)
    };
    // Each to accounts of its own: an event, a balance and leaves of the state's tree for each.
    let spread = |first: u32| {
        let transfer = |number| Transfer { asset: "eur".into(), to: to(number), amount: Amount(1) };
        let transfers = (first..first + 64).map(transfer).collect();
        signed(open, 7, vec![Action::AssetTransferBatch(TransferBatch { transfers })])
    };
    let bursts = (0..4).map(|burst| {
        let connection = peer.connect_once(&admin);
        let batch: Vec<Envelope> = (0..360).map(|number| spread(1 + (burst * 360 + number) * 64)).collect();
        tokio::spawn(async move { connection.submit_batch("open", &batch, Wait::Committed).await.expect("answered") })
    });
    let bursts: Vec<_> = bursts.collect();
    let (mut taken, mut refused) = (0, BTreeMap::new());
    for burst in bursts {
        for result in burst.await.expect("no panic") {
            match result {
                BatchResult::Committed { code: 0, .. } => taken += 1,
                BatchResult::Refused { problem, .. } => *refused.entry(problem).or_insert(0) += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    let now = files(&consortium);
    // Where it waited for a checkpoint, that is written now.
    peer.drain();
    let bytes = files(&consortium);
    println!("{taken} taken, {refused:?}, {now} and {bytes} bytes of {PART}");
    assert!(bytes < PART + PART / 4, "{taken} taken, {bytes} bytes");
}

/// One client filled the disk, and all channels answered 507.
#[tokio::test]
async fn a_channel_that_is_full_takes_what_repairs_it_and_others_go_on() {
    let consortium = Consortium::new();
    let admin = consortium.admin();
    let part = PART.to_string();
    let peer = Peer::start(&consortium.dir(), &[METRICS, ("CHANCERY_LIMITS_CHANNEL_BYTES_MAX", &part)]);
    let made = peer.run(&admin, &["channel", "create", "open", "--org", "bank", "--open-submit", "--approvals", "any"]);
    let open: Hash = made["id"].as_str().expect("an id").parse().expect("hex");
    let connection = peer.connect_once(&admin);
    let main = connection.channel("main").await.expect("there").id;
    let first = filling(open);
    assert_eq!(post(&connection, "open", &first).await, Ok(0));
    let mut posted = 1;
    let refused = loop {
        match post(&connection, "open", &filling(open)).await {
            Ok(code) => assert_eq!(code, 0),
            Err(name) => break name,
        }
        posted += 1;
        assert!(posted * RECORDS * BODY < 4 * PART as usize, "nothing refuses");
    };
    assert_eq!(refused, "channel-full");
    // It is not for a moment, and what was taken keeps its outcome.
    assert_eq!(post(&connection, "open", &filling(open)).await, Err("channel-full".into()));
    assert_eq!(post(&connection, "open", &first).await, Ok(0));
    assert_eq!(post(&connection, "main", &signed(main, 7, vec![append("other", "goes on")])).await, Ok(0));

    // Those who answer for the channel see it.
    let status = peer.run(&admin, &["status"]);
    let of = |name: &str| status["channels"].as_array().expect("a list").iter().find(|it| it["name"] == name).cloned();
    let disk = of("open").expect("there")["disk"].clone();
    assert_eq!(disk["bytes_max"], PART);
    assert!(disk["bytes"].as_u64().is_some_and(|bytes| (PART..2 * PART).contains(&bytes)), "{disk}");
    assert!(of("main").expect("there")["disk"]["bytes"].as_u64().is_some_and(|bytes| bytes < PART / 2));
    let ann = consortium.profile("bank", "client", "ann");
    assert!(peer.run(&ann, &["channel", "show", "open"])["disk"].is_null(), "others are told when they post");
    assert_eq!(peer.metric("chancery_channel_disk_max_bytes{channel=\"open\"}"), part);
    let bytes: u64 = peer.metric("chancery_channel_disk_bytes{channel=\"open\"}").parse().expect("a number");
    assert!(bytes >= PART / 4, "{bytes}: what waits is written by then, or not");
    assert_eq!(peer.metric("chancery_disk_writable"), "1");
    peer.says("the channel's part of the disk is used up");

    // What is not needed in an admission takes nothing of the room of what repairs.
    let admit = |certificate: usize| {
        let path = vec![HexBytes(vec![7; certificate])];
        let admit = Admit { address: address(7), path, possession: Signature([7; 64]) };
        signed(open, 7, vec![Action::ParticipantAdmit(admit)])
    };
    assert_eq!(post(&connection, "open", &admit(16 * 1024)).await, Err("channel-full".into()));
    assert_eq!(post(&connection, "open", &admit(4 * 1024)).await, Err("path-refused".into()));

    // What repairs it is taken: an admission, a change of the configuration.
    peer.run(&admin, &["key", "new"]);
    peer.run(&admin, &["participant", "admit", "--channel", "open"]);
    peer.run(&admin, &["channel", "update", "open", "--public-read", "true"]);
    assert_eq!(post(&connection, "open", &filling(open)).await, Err("channel-full".into()));
    peer.drain();

    // A larger part, and all is as ever.
    let peer = Peer::start(&consortium.dir(), &[("CHANCERY_LIMITS_CHANNEL_BYTES_MAX", "1073741824")]);
    let connection = peer.connect_once(&admin);
    assert_eq!(post(&connection, "open", &filling(open)).await, Ok(0));
    assert_eq!(post(&connection, "open", &first).await, Ok(0));
    peer.drain();
}
