//! The connection against a peer that speaks real TLS and says what a test tells it to: who is let in, what is asked
//! again, and how a subscription goes on over a lost connection.

#![allow(clippy::unwrap_used)]

#[path = "support/peer.rs"]
mod peer;

use client::api::SubmissionStatus;
use client::connection::{Connection, Options, RequestError};
use client::retry::Retry;
use client::submit::{VALIDITY_MS, Wait, sign_json, transaction};
use client::subscribe::{Filter, Start, Step, SubscribeError};
use ledger_classes::action::{Action, logs::Append};
use ledger_classes::keys::SigningKey;
use ledger_classes::primitives::hash::Hash;
use peer::{Authority, Peer, TAG, event, events, outcome, peer, peer_as, problem, profile};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn options() -> Options {
    let retry = Retry { attempts_max: 4, wait_max: Duration::from_secs(2) };
    Options { timeout: Duration::from_secs(20), retry, ..Options::default() }
}

fn connect(authority: &Authority, peer: &Peer) -> Connection {
    let (_folder, profile) = profile(authority, authority, &peer.url);
    Connection::open(&profile, options()).unwrap()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn envelope() -> ledger_classes::formats::transaction::Envelope {
    let append = Append { topic: "tests".into(), digest: None, body: String::new() };
    let key = SigningKey::from_seed(&[1; 32]);
    let (sender, actions) = (key.public().address(), vec![Action::LogAppend(append)]);
    let transaction = transaction(Hash([7; 32]), sender, actions, client::now(), VALIDITY_MS).unwrap();
    sign_json(&transaction, &[&key])
}

#[test]
fn a_busy_peer_is_asked_again_with_the_same_bytes() {
    let authority = Authority::new("root");
    let peer = peer(&authority, |number, _| match number {
        0 => problem("429 Too Many Requests", "channel-busy", "retry-after: 0\r\n"),
        1 => problem("503 Service Unavailable", "draining", "retry-after: 0\r\n"),
        _ => outcome(),
    });
    let connection = connect(&authority, &peer);
    let outcome = run(connection.submit("main", &envelope(), Wait::Accepted)).unwrap();
    assert_eq!(outcome.status, SubmissionStatus::Accepted);
    let seen = peer.seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[0].line, "POST /v1/channels/main/transactions?wait=accepted HTTP/1.1\r\n");
    assert!(seen.iter().all(|request| request.body == seen[0].body));
}

#[test]
fn attempts_end_and_other_problems_are_final() {
    let authority = Authority::new("root");
    for (status, extra, requests, unavailable) in [
        ("503 Service Unavailable", "retry-after: 0\r\n", 4, true),
        ("503 Service Unavailable", "retry-after: 60\r\n", 1, true),
        ("404 Not Found", "", 1, false),
        ("403 Forbidden", "retry-after: 0\r\n", 1, false),
    ] {
        let peer = peer(&authority, move |_, _| problem(status, "told", extra));
        let error = run(connect(&authority, &peer).status()).unwrap_err();
        assert_eq!(error.problem().unwrap().name(), "told");
        assert_eq!(error.is_unavailable(), unavailable, "{status}");
        assert_eq!(peer.seen.lock().unwrap().len(), requests, "{status} {extra}");
    }
}

/// A peer of before has no streams, and a busy one no place for this caller's.
#[test]
fn where_no_stream_opens_plain_requests_do() {
    let authority = Authority::new("root");
    for (status, name, asked) in [("404 Not Found", "route-unknown", 1), ("429 Too Many Requests", "no-place", 2)] {
        let peer = peer(&authority, move |_, seen| match seen.line.contains("/submissions ") {
            true => problem(status, name, ""),
            false => outcome(),
        });
        let connection = connect(&authority, &peer);
        run(async {
            for _ in 0..2 {
                let (one, two) = (envelope(), envelope());
                let submit = |envelope| connection.submit("main", envelope, Wait::Committed);
                let (one, two) = tokio::join!(submit(&one), submit(&two));
                assert_eq!((one.unwrap().id, two.unwrap().id), (Some(Hash([1; 32])), Some(Hash([1; 32]))));
            }
        });
        let seen = peer.seen.lock().unwrap().clone();
        let count = |path: &str| seen.iter().filter(|seen| seen.line.contains(path)).count();
        assert_eq!((count("/submissions "), count("/transactions")), (asked, 4), "{name}: {seen:?}");
    }
}

#[test]
fn what_a_stream_is_refused_with_is_everybodys_answer() {
    let authority = Authority::new("root");
    let peer = peer(&authority, |_, _| problem("404 Not Found", "channel-unknown", ""));
    let connection = connect(&authority, &peer);
    let (one, two) = (envelope(), envelope());
    let submit = |envelope| connection.submit("main", envelope, Wait::Committed);
    let (one, two) = run(async { tokio::join!(submit(&one), submit(&two)) });
    for error in [one.unwrap_err(), two.unwrap_err()] {
        assert!(format!("{error:?}").contains("channel-unknown"), "{error:?}");
    }
}

/// One transaction that was too large ended the stream, and everybody on it was told that theirs were.
#[test]
fn a_stream_that_ends_by_one_items_fault_refuses_nobody() {
    let authority = Authority::new("root");
    for (name, status, streams) in [("oversize", 413, 1), ("malformed", 400, 1), ("request-timeout", 408, 2)] {
        let opened = AtomicUsize::new(0);
        let peer = peer(&authority, move |_, seen| match seen.line.contains("/submissions ") {
            true if opened.fetch_add(1, Ordering::Relaxed) > 0 => problem("429 Too Many Requests", "no-place", ""),
            // Once a transaction has come.
            true => format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\n\r\n\
                 {{\"credits\":512,\"item_bytes_max\":1048576}}\n\0\
                 {{\"problem\":{{\"type\":\"urn:chancery:problem:{name}\",\"title\":\"\",\"status\":{status}}}}}\n"
            ),
            false => outcome(),
        });
        let connection = connect(&authority, &peer);
        let (one, two) = (envelope(), envelope());
        let submit = |envelope| connection.submit("main", envelope, Wait::Committed);
        let (one, two) = run(async { tokio::join!(submit(&one), submit(&two)) });
        assert_eq!((one.unwrap().id, two.unwrap().id), (Some(Hash([1; 32])), Some(Hash([1; 32]))), "{name}");
        let seen = peer.seen.lock().unwrap().clone();
        let count = |path: &str| seen.iter().filter(|seen| seen.line.contains(path)).count();
        assert_eq!((count("/submissions "), count("/transactions")), (streams, 2), "{name}: {seen:?}");
    }
}

#[test]
fn names_cannot_leave_their_place_in_the_path() {
    let authority = Authority::new("root");
    let peer = peer(&authority, |_, _| problem("404 Not Found", "channel-unknown", ""));
    let connection = connect(&authority, &peer);
    run(connection.channel("a/../b?c#d")).unwrap_err();
    assert_eq!(peer.seen.lock().unwrap()[0].line, "GET /v1/channels/a%2F..%2Fb%3Fc%23d HTTP/1.1\r\n");
    for name in ["..", ".", ""] {
        assert!(matches!(run(connection.channel(name)), Err(RequestError::Name(_))), "{name:?}");
    }
}

#[test]
fn a_peer_of_another_authority_is_not_talked_to() {
    let (ours, theirs) = (Authority::new("root"), Authority::new("other"));
    let peer = peer(&theirs, |_, _| outcome());
    let (_folder, profile) = profile(&ours, &theirs, &peer.url);
    let error = run(Connection::open(&profile, options()).unwrap().status()).unwrap_err();
    assert!(matches!(error, RequestError::Certificate { .. }) && !error.is_unavailable(), "{error}");
    assert!(peer.seen.lock().unwrap().is_empty());
}

/// Every member's CA leads to the consortium's root, and could sign any name: only a peer's certificate by its own
/// organization's CA is a peer's.
#[test]
fn a_certificate_of_no_peer_is_not_talked_to() {
    let authority = Authority::new("root");
    for (identity, talks) in [
        ("spiffe://harbour/bank/peer/p2", true),
        ("spiffe://harbour/bank/client/alice", false),
        ("spiffe://harbour/dealer/peer/p1", false),
        ("spiffe://haven/bank/peer/p1", false),
    ] {
        let peer = peer_as(identity, &authority, |_, _| problem("404 Not Found", "channel-unknown", ""));
        let error = run(connect(&authority, &peer).channel("main")).unwrap_err();
        assert_eq!(error.problem().is_some(), talks, "{identity}: {error:?}");
        assert!(!error.is_unavailable(), "{identity}: {error:?}");
    }
}

#[test]
fn a_certificate_that_the_peer_refuses_is_a_refusal_and_not_an_outage() {
    let (ours, theirs) = (Authority::new("root"), Authority::new("other"));
    let peer = peer(&ours, |_, _| outcome());
    let (_folder, profile) = profile(&ours, &theirs, &peer.url);
    let error = run(Connection::open(&profile, options()).unwrap().status()).unwrap_err();
    assert!(matches!(error, RequestError::Certificate { .. }) && !error.is_unavailable(), "{error:?}");
}

#[test]
fn a_peer_that_is_not_there_is_unavailable() {
    let authority = Authority::new("root");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_folder, profile) = profile(&authority, &authority, &format!("https://{port}"));
    let connection = Connection::open(&profile, Options { retry: Retry::NEVER, ..options() }).unwrap();
    let error = run(connection.status()).unwrap_err();
    assert!(matches!(error, RequestError::Unreachable { .. }) && error.is_unavailable(), "{error}");
    for start in [Start::Now, Start::Height(1)] {
        let mut subscription = connection.subscribe("main", Filter { start, ..Filter::default() });
        let begun = std::time::Instant::now();
        let error = run(subscription.next()).unwrap().unwrap_err();
        assert!(matches!(error, SubscribeError::Request(RequestError::Unreachable { .. })), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(5), "a peer that never was there is not waited for");
    }
}

#[test]
fn a_lost_subscription_goes_on_after_its_last_event() {
    let authority = Authority::new("root");
    let peer = peer(&authority, |number, _| match number {
        0 => events(&format!(": hello\n\n{}{}", event("4.0.0"), event("4.1.0"))),
        1 => problem("503 Service Unavailable", "draining", "retry-after: 0\r\n"),
        // The peer repeats an event and cuts the last one off.
        2 => events(&format!("{}{}{}", event("4.1.0"), event("5.0.0"), &event("6.0.0")[..60])),
        _ => events(&format!(
            "{}event: problem\ndata: {{\"type\":\"urn:chancery:problem:certificate-revoked\",\"title\":\"Revoked\",\
             \"status\":403}}\n\n",
            event("6.0.0")
        )),
    });
    let connection = connect(&authority, &peer);
    let filter = Filter { start: Start::Height(4), topic: Some("coin".into()), ..Filter::default() };
    let (places, error) = run(async {
        let mut subscription = connection.subscribe("main", filter);
        let mut places = Vec::new();
        loop {
            match subscription.next().await.unwrap() {
                Ok(delivery) => places.push(delivery.cursor.place()),
                Err(error) => {
                    assert!(subscription.next().await.is_none());
                    return (places, error);
                }
            }
        }
    });
    assert_eq!(places, [(4, 0, 0), (4, 1, 0), (5, 0, 0), (6, 0, 0)]);
    assert!(matches!(error, SubscribeError::Problem(problem) if problem.name() == "certificate-revoked"));
    let seen = peer.seen.lock().unwrap().clone();
    let (four, five) = (format!("4.1.0.{TAG}"), format!("5.0.0.{TAG}"));
    let asked: Vec<_> = seen.iter().map(|request| (request.line.as_str(), request.last_event_id.as_deref())).collect();
    let again = "GET /v1/channels/main/events?topic=coin HTTP/1.1\r\n";
    assert_eq!(
        asked,
        [
            ("GET /v1/channels/main/events?from=4&topic=coin HTTP/1.1\r\n", None),
            (again, Some(&*four)),
            (again, Some(&*four)),
            (again, Some(&*five)),
        ]
    );
}

#[test]
fn a_peer_that_shuts_down_is_subscribed_to_again() {
    let authority = Authority::new("root");
    let peer = peer(&authority, |number, _| match number {
        0 => events(&format!(
            "{}event: problem\ndata: {{\"type\":\"urn:chancery:problem:draining\",\"title\":\"Draining\",\
             \"status\":503,\"retry_after_ms\":50}}\n\n",
            event("4.0.0")
        )),
        _ => events(&event("5.0.0")),
    });
    let filter = Filter { start: Start::Height(4), ..Filter::default() };
    let mut subscription = connect(&authority, &peer).subscribe("main", filter);
    let place = |item: Option<Result<_, SubscribeError>>| {
        let delivery: client::subscribe::Delivery = item.unwrap().unwrap();
        delivery.cursor.place()
    };
    let places = run(async { [place(subscription.next().await), place(subscription.next().await)] });
    assert_eq!(places, [(4, 0, 0), (5, 0, 0)]);
    assert_eq!(peer.seen.lock().unwrap()[1].last_event_id, Some(format!("4.0.0.{TAG}")));
}

/// A stream that begins, and is cut off before an event.
fn begun(id: &str) -> String {
    events(&format!("retry: 1000\nevent: position\nid: {id}.{TAG}\ndata: {{\"tip\":7}}\n\n"))
}

/// It came back at what was then the end, and what had come meanwhile was lost.
#[test]
fn a_subscription_that_is_cut_off_before_its_first_event_goes_on_where_it_began() {
    let authority = Authority::new("root");
    let peer = peer(&authority, |number, _| match number {
        0 => begun("7.4294967295.4294967295"),
        _ => events(&event("8.0.0")),
    });
    let mut subscription = connect(&authority, &peer).subscribe("main", Filter::default());
    let (begun, delivery) = run(async { (subscription.begun().await.unwrap(), subscription.next().await) });
    assert_eq!((begun.height, begun.is_end()), (7, true));
    assert_eq!(delivery.unwrap().unwrap().cursor.place(), (8, 0, 0));
    let seen = peer.seen.lock().unwrap();
    assert_eq!((seen.len(), &seen[1].last_event_id), (2, &Some(format!("7.4294967295.4294967295.{TAG}"))));
}

#[test]
fn a_channel_that_is_halted_is_asked_again_after_growing_pauses() {
    let authority = Authority::new("root");
    let peer = peer(&authority, |number, _| match number {
        0..7 => problem("503 Service Unavailable", "channel-halted", ""),
        7 => begun("7.0.0"),
        _ => events(&event("8.0.0")),
    });
    // One attempt of other requests; without patience it would be one here, too.
    let options = Options { retry: Retry::NEVER, ..options() };
    let (_folder, profile) = profile(&authority, &authority, &peer.url);
    let subscription = Connection::open(&profile, options).unwrap().subscribe("main", Filter::default());
    let bound = Retry { attempts_max: 2, wait_max: Duration::from_millis(250) };
    let mut subscription = subscription.with_retry(bound).patient();
    let (mut waits, mut steps) = (Vec::new(), Vec::new());
    let delivery = run(async {
        loop {
            match subscription.step().await.unwrap().unwrap() {
                Step::Event(delivery) => return delivery,
                Step::Pause { why, wait } => {
                    steps.push(why);
                    waits.push(wait.as_millis());
                }
                Step::Position { .. } => steps.push("position".into()),
            }
        }
    });
    assert_eq!(delivery.cursor.place(), (8, 0, 0));
    assert!(steps[..7].iter().all(|why| why.contains("channel-halted")), "{steps:?}");
    assert_eq!(steps[7..], ["position", "the connection was lost"]);
    // Each with up to a quarter more, for the spread.
    for (wait, least) in waits.iter().zip([100, 200, 250, 250, 250, 250, 250, 100]) {
        assert!((least..=least + least / 4).contains(wait), "{waits:?}");
    }
    // Without patience it ends there.
    let mut subscription = connect(&authority, &peer).subscribe("main", Filter::default()).with_retry(Retry::NEVER);
    peer.seen.lock().unwrap().clear();
    assert!(run(subscription.next()).unwrap().is_err());
}

#[test]
fn a_channel_that_does_not_exist_ends_a_subscription_at_once() {
    let authority = Authority::new("root");
    let peer = peer(&authority, |_, _| problem("404 Not Found", "channel-unknown", ""));
    let mut subscription = connect(&authority, &peer).subscribe("main", Filter::default());
    let error = run(subscription.next()).unwrap().unwrap_err();
    assert!(matches!(error, SubscribeError::Request(RequestError::Problem(_))), "{error}");
    assert_eq!(peer.seen.lock().unwrap().len(), 1);
}
