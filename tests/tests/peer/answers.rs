//! Promise 9 for answers: a page ends by its bytes, what is larger goes out as its reader takes it, and what a slow
//! reader holds is little and not for ever.

use crate::harness::{Consortium, Peer, append, define, mint, signed, transfer};
use crate::http::{Tls, Wire, head, tls};
use crate::wait;
use client::api::{BatchResult, BlockView, Page};
use client::connection::Connection;
use client::query::{Paging, Range};
use client::submit::Wait;
use ledger_classes::action::Action;
use ledger_classes::formats::proof::{Proof, Trust};
use ledger_classes::formats::transaction::Envelope;
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::json::from_slice;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

/// Bytes of a page, and room for the one item that may be larger.
const PAGE_BYTES: usize = 1024 * 1024;
/// A record's body of which each byte becomes six in JSON.
const BODY_BYTES: usize = 16_000;

async fn post(connection: &Connection, id: Hash, transactions: Vec<Vec<Action>>) -> Vec<Envelope> {
    let envelopes: Vec<_> = transactions.into_iter().map(|actions| signed(id, 1, actions)).collect();
    for some in envelopes.chunks(32) {
        let results = connection.submit_batch("main", some, Wait::Committed).await.expect("taken");
        let done = |result: &BatchResult| matches!(result, BatchResult::Committed { code: 0, .. });
        assert!(results.iter().all(done), "{results:?}");
    }
    envelopes
}

/// A peer with so many large log records, which everybody may read: 96 KB each in JSON.
async fn with_records(variables: &[(&str, &str)], records: usize) -> (Consortium, Peer, Connection) {
    let consortium = Consortium::new();
    let metrics = [("CHANCERY_METRICS_LISTEN", "127.0.0.1:0")];
    let peer = Peer::start(&consortium.dir(), &[&metrics, variables].concat());
    let connection = peer.connect(&consortium.admin());
    let id = connection.channel("main").await.expect("public").id;
    let body = |number: usize| format!("{number:>6}{}", "\u{1}".repeat(BODY_BYTES));
    let numbers: Vec<usize> = (0..records).collect();
    let transactions = numbers.chunks(5).map(|some| some.iter().map(|n| append("bulk", body(*n))).collect());
    post(&connection, id, transactions.collect()).await;
    (consortium, peer, connection)
}

fn get(path: &str) -> String {
    head(&format!("GET {path}"), &[])
}

/// What a peer answers anybody, as it comes.
fn asked(wire: &mut Wire<Tls>, path: &str) -> (Option<String>, Vec<u8>) {
    let (head, body) = wire.ask(&get(path));
    assert_eq!(head.status, 200, "{path}: {}", String::from_utf8_lossy(&body));
    (head.header("content-length").map(str::to_owned), body)
}

/// What is written piece by piece is what serde writes.
fn as_serde_writes_it<T: Serialize + DeserializeOwned>(body: &[u8]) -> T {
    let value: T = from_slice(body).expect("the form that the SDK reads");
    assert!(serde_json::to_vec(&value).expect("JSON") == body, "{}", String::from_utf8_lossy(&body[..300]));
    value
}

/// `logs?limit=1000` was 98.5 MB, and ten of them took 1.2 GB of memory.
#[tokio::test]
async fn lists_come_in_pages_of_bounded_bytes_and_hold_bounded_memory() {
    const RECORDS: usize = 1_000;
    let (consortium, peer, connection) = with_records(&[], RECORDS).await;
    let before = peer.resident_mib();
    let mut readers: Vec<_> = (0..10).map(|_| tls(&consortium, &peer)).collect();
    for reader in &mut readers {
        reader.send(&get("/v1/channels/main/logs?limit=1000"));
    }
    // Each answer has begun; nobody reads the rest of it.
    for reader in &mut readers {
        assert_eq!(reader.head().status, 200);
    }
    let after = peer.resident_mib();
    assert!(after < before + 64, "{before} MiB, then {after} MiB");
    drop(readers);

    let (mut wire, mut path, mut seen) = (tls(&consortium, &peer), "/v1/channels/main/logs?limit=1000".to_owned(), 0);
    loop {
        let (length, body) = asked(&mut wire, &path);
        assert!(length.is_some() && body.len() <= PAGE_BYTES, "{path}: {}", body.len());
        let page: Page<Value> = from_slice(&body).expect("a page");
        for item in &page.items {
            assert!(item["body"].as_str().expect("a body").starts_with(&format!("{seen:>6}")), "{seen}");
            seen += 1;
        }
        let Some(next) = page.next else { break };
        path = format!("/v1/channels/main/logs?limit=1000&after={next}");
    }
    assert_eq!(seen, RECORDS);
    // Whoever asks for fewer gets as many.
    let few = connection.logs("main", None, Paging { after: None, limit: Some(3) }).await.expect("answers");
    assert_eq!((few.items.len(), few.next.is_some()), (3, true));
    peer.drain();
}

#[tokio::test]
async fn large_answers_come_piece_by_piece_in_the_form_of_small_ones() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let connection = peer.connect(&consortium.admin());
    let id = connection.channel("main").await.expect("public").id;
    post(&connection, id, vec![vec![define("usd"), mint("usd", 1, 1_000_000)]]).await;
    let moves = |_| (0..64).map(|_| transfer("usd", 2, 1)).collect::<Vec<_>>();
    let envelopes = post(&connection, id, (0..32).map(moves).collect()).await;
    let tip = connection.channel("main").await.expect("public").height;
    let mut wire = tls(&consortium, &peer);
    let large: Vec<u64> = {
        let heights = (0..=tip).filter(|height| {
            let (length, body) = asked(&mut wire, &format!("/v1/channels/main/blocks/{height}"));
            let block: BlockView = as_serde_writes_it(&body);
            assert_eq!(block.header.height, *height);
            length.is_none()
        });
        heights.collect()
    };
    assert!(!large.is_empty(), "a block has more than 256 KiB");

    let mut seen = 0;
    for limit in [1, 2, 100] {
        let (_, body) = asked(&mut wire, &format!("/v1/channels/main/blocks?from=0&limit={limit}"));
        let page: Page<BlockView> = as_serde_writes_it(&body);
        seen = page.items.len();
        assert_eq!(page.next.as_deref(), (seen as u64 <= tip).then(|| seen.to_string()).as_deref());
    }
    assert!(seen > 1);
    let (mut from, mut heights) = (None::<String>, Vec::new());
    loop {
        let range = Range { from: from.as_deref(), limit: Some(100) };
        let page = connection.blocks("main", range).await.expect("answers");
        heights.extend(page.items.iter().map(|block| block.header.height));
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    assert_eq!(heights, (0..=tip).collect::<Vec<_>>());
    let (_, body) = asked(&mut wire, "/v1/channels/main/trust");
    let trust: Trust = as_serde_writes_it(&body);
    for (envelope, later) in [(&envelopes[0], None), (&envelopes[31], Some(tip))] {
        let transaction = format!("/v1/channels/main/transactions/{}", envelope.id());
        let height =
            from_slice::<Value>(&asked(&mut wire, &transaction).1).expect("JSON")["receipt"]["height"].as_u64();
        let later = later.filter(|later| height.is_some_and(|height| height < *later));
        let query = later.map(|later| format!("?later={later}")).unwrap_or_default();
        let (_, body) = asked(&mut wire, &format!("{transaction}/proof{query}"));
        let proof: Proof = as_serde_writes_it(&body);
        assert_eq!((proof.later.is_some(), &proof.trust), (later.is_some(), &trust));
        proof.verify(Some(id)).expect("it proves");
    }
    peer.drain();
}

/// What a long answer was begun under was not asked again: whoever lost its rights was sent the rest of it.
#[tokio::test]
async fn who_loses_a_right_gets_no_more_of_a_long_answer() {
    let (consortium, peer, connection) = with_records(&[], 160).await;
    let admin = consortium.admin();
    peer.run(&admin, &["key", "new"]);
    peer.run(&admin, &["participant", "admit", "--channel", "main"]);
    let tip = connection.channel("main").await.expect("public").height;
    let mut wire = tls(&consortium, &peer);
    let path = |height: u64| format!("/v1/channels/main/blocks/{height}");
    let blocks = (1..=tip).map(|height| (asked(&mut wire, &path(height)).1.len(), height));
    let (whole, height) = blocks.max().expect("some");
    assert!(whole > 4 * PAGE_BYTES, "the largest block has {whole} bytes");
    // It reads nothing for now.
    wire.send(&get(&path(height)));
    assert_eq!(wire.head().status, 200);
    peer.run(&admin, &["channel", "update", "main", "--public-read", "false"]);
    let (mut bytes, mut piece) = (0, vec![0; 64 * 1024]);
    loop {
        match std::io::Read::read(&mut wire.stream, &mut piece) {
            Ok(0) => break,
            Ok(read) => bytes += read,
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {
                panic!("{bytes} of {whole} bytes came, and it is not cut off");
            }
            Err(_) => break,
        }
    }
    assert!(bytes < whole, "{bytes} of {whole}");
    peer.drain();
}

/// A reader at 13 KB a second held its answer for as long as it liked.
#[tokio::test]
async fn a_reader_that_is_too_slow_loses_its_connection() {
    let pace = ("CHANCERY_LIMITS_ANSWER_BYTES_PER_SECOND_MIN", "16777216");
    let variables = [pace, ("CHANCERY_LIMITS_WRITE_TIMEOUT_MS", "2000")];
    let (consortium, peer, connection) = with_records(&variables, 100).await;
    let mut slow = tls(&consortium, &peer);
    slow.send(&get("/v1/channels/main/logs?limit=1000").repeat(100));
    // It takes something all along: 4 KiB each 20 ms are 0.2 MB a second, and a page has five.
    let (began, mut bytes) = (Instant::now(), 0);
    let ended = loop {
        std::thread::park_timeout(Duration::from_millis(20));
        let mut piece = [0; 4 * 1024];
        match std::io::Read::read(&mut slow.stream, &mut piece) {
            Ok(0) | Err(_) => break true,
            Ok(read) => bytes += read,
        }
        if bytes >= 8 * PAGE_BYTES || began.elapsed() > wait::PATIENCE {
            break false;
        }
    };
    assert!(ended, "{bytes} bytes in {:?}", began.elapsed());
    let cut = r#"chancery_answers_cut_total{why="pace"}"#;
    wait::until_found("it is counted", || (peer.metric(cut) != "0").then_some(()));
    let held = r#"chancery_memory_held_bytes{use="answers"}"#;
    wait::until_found("what it held is given back", || (peer.metric(held) == "0").then_some(()));
    // Whoever reads is served.
    let page = connection.logs("main", None, Paging { after: None, limit: Some(1_000) }).await.expect("answers");
    assert!(page.items.len() > 5 && page.next.is_some());
    peer.drain();
}
