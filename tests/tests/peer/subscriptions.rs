//! Promises 5 and 6: no lost events, no leaks between classes, slow readers slow nobody, revoked means out.

use crate::harness::{Consortium, Peer, append, chancery, define, mint, run, signed, text, transfer, try_run};
use crate::wait;
use client::api::BatchResult;
use client::connection::Connection;
use client::submit::Wait;
use client::subscribe::{Cursor, Delivery, Filter, Start, SubscribeError, Subscription};
use client::verify::EventVerifier;
use ledger_classes::action::Action;
use ledger_classes::formats::event::Event;
use ledger_classes::formats::rights::Class;
use ledger_classes::primitives::hash::Hash;
use std::path::Path;
use std::time::{Duration, Instant};

async fn commit(connection: &Connection, channel: &str, id: Hash, signer: u8, actions: Vec<Action>) {
    let outcome = connection.submit(channel, &signed(id, signer, actions), Wait::Committed).await.expect("taken");
    let receipt = outcome.receipt.expect("committed");
    assert_eq!(receipt.code, 0, "{receipt:?}");
}

async fn read(connection: &Connection, channel: &str, filter: Filter, count: usize) -> Vec<Delivery> {
    let mut subscription = connection.subscribe(channel, filter);
    let mut seen = Vec::new();
    while seen.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(20), subscription.next()).await;
        seen.push(next.expect("in time").expect("goes on").expect("an event"));
    }
    seen
}

fn cursors(seen: &[Delivery]) -> Vec<Cursor> {
    seen.iter().map(|delivery| delivery.cursor).collect()
}

async fn main_of(peer: &Peer, profile: &Path) -> (Connection, Hash) {
    let connection = peer.connect(profile);
    let id = connection.channel("main").await.expect("public").id;
    (connection, id)
}

#[tokio::test]
async fn a_subscriber_that_comes_back_at_any_event_sees_each_once_in_order() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let (connection, id) = main_of(&peer, &consortium.admin()).await;
    commit(&connection, "main", id, 1, vec![define("usd"), mint("usd", 1, 1000)]).await;
    for number in 0..10 {
        let steps = vec![transfer("usd", 2, 1), append("steps", number.to_string()), transfer("usd", 3, 1)];
        commit(&connection, "main", id, 1, steps).await;
    }
    let from = |start| Filter { start, ..Filter::default() };
    let all = read(&connection, "main", from(Start::Height(0)), 32).await;
    let places = cursors(&all);
    assert!(places.is_sorted_by(|one, next| one < next), "{places:?}");
    for (place, delivery) in all.iter().enumerate().take(31) {
        let rest = read(&connection, "main", from(Start::After(delivery.cursor)), 31 - place).await;
        assert_eq!(cursors(&rest), places[place + 1..], "after {}", delivery.cursor);
    }
    let logs = Filter { start: Start::Height(0), class: Some(Class::Logs), ..Filter::default() };
    let bodies = read(&connection, "main", logs, 10).await;
    assert!(bodies.iter().all(|delivery| delivery.event.class == Class::Logs));

    // The peer goes and comes back; the subscription goes on where it was.
    let (before, rest) = places.split_at(12);
    peer.drain();
    let peer = consortium.serve();
    let (connection, _) = main_of(&peer, &consortium.admin()).await;
    let last = *before.last().expect("some");
    let after = read(&connection, "main", from(Start::After(last)), rest.len()).await;
    assert_eq!(cursors(&after), rest);
}

/// Who waits is told of blocks that hold something for it alone, and is not behind for the others.
#[tokio::test]
async fn subscribers_with_filters_see_exactly_what_they_want_and_are_not_behind() {
    let consortium = Consortium::new();
    let peer = Peer::start(&consortium.dir(), &[("CHANCERY_METRICS_LISTEN", "127.0.0.1:0")]);
    let (connection, id) = main_of(&peer, &consortium.admin()).await;
    let filter = |topic: &str| Filter { start: Start::Height(0), topic: Some(topic.into()), ..Filter::default() };
    let mut rare = connection.subscribe("main", filter("rare"));
    commit(&connection, "main", id, 1, vec![append("rare", "1")]).await;
    assert_eq!(rare.next().await.expect("goes on").expect("an event").event.subject, "rare");
    let rare = tokio::spawn(async move { rare.next().await });
    let wanted = [("steps.0", 10), ("steps.1", 10), ("steps.*", 40)];
    let live = wanted.map(|(topic, count)| {
        let (connection, filter) = (connection.clone(), filter(topic));
        tokio::spawn(async move { read(&connection, "main", filter, count).await })
    });
    for number in 0..40 {
        let step = append(&format!("steps.{}", number % 4), number.to_string());
        commit(&connection, "main", id, 1, vec![step]).await;
    }
    for ((topic, count), seen) in wanted.into_iter().zip(live) {
        let seen = seen.await.expect("whole");
        assert!(cursors(&seen).is_sorted_by(|one, next| one < next), "{topic}");
        let prefix = topic.trim_end_matches('*');
        assert_eq!((seen.len(), seen.iter().all(|delivery| delivery.event.subject.starts_with(prefix))), (count, true));
    }
    // Sooner than by a sign of life, which the peer gives after ten seconds.
    let (begun, lag) = (Instant::now(), "chancery_channel_subscriber_lag{channel=\"main\"}");
    wait::until_found("nobody is behind", || (peer.metric(lag) == "0").then_some(()));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(!rare.is_finished());
    commit(&connection, "main", id, 1, vec![append("rare", "2")]).await;
    let next = tokio::time::timeout(Duration::from_secs(5), rare).await.expect("in time").expect("whole");
    assert_eq!(next.expect("goes on").expect("an event").event.subject, "rare");
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_delays_nobody_and_loses_nothing() {
    let consortium = Consortium::new();
    let peer = Peer::start(&consortium.dir(), &[("CHANCERY_METRICS_LISTEN", "127.0.0.1:0")]);
    let (connection, id) = main_of(&peer, &consortium.admin()).await;
    let slow = peer.connect(&consortium.admin());
    let topic = Some("bulk".into());
    let mut slow = slow.subscribe("main", Filter { start: Start::Height(0), topic, ..Filter::default() });
    commit(&connection, "main", id, 1, vec![append("bulk", "first")]).await;
    slow.next().await.expect("goes on").expect("an event");
    // More than sockets and the ring of recent blocks hold: 600 blocks of 60 KB. None of it is read meanwhile.
    let started = Instant::now();
    for number in 0..600 {
        let parts = (0..4).map(|part| append("bulk", format!("{number}.{part}.{}", "x".repeat(15_000))));
        commit(&connection, "main", id, 1, parts.collect()).await;
    }
    let all = started.elapsed();
    assert!(all < Duration::from_secs(120), "600 blocks took {all:?} beside a subscriber that does not read");
    // What waits for it is bounded and counted: three pieces, each of one event.
    let held = || peer.metric("chancery_memory_held_bytes{use=\"subscriptions\"}").parse::<usize>().expect("bytes");
    assert!((45_000..55_000).contains(&held()), "{} bytes", held());
    for number in 0..600 {
        for part in 0..4 {
            let delivery = slow.next().await.expect("goes on").expect("an event");
            let data = serde_json::to_value(&delivery.event.data).expect("serializes");
            let body = data["body"].as_str().expect("a body");
            assert!(body.starts_with(&format!("{number}.{part}.")), "{number}.{part}: {}", &body[..20]);
        }
    }
    drop(slow);
    wait::until("what was held for who has gone", async || (held() == 0).then_some(())).await;
}

/// Many more events than a subscription looks at before it lets others go on.
#[tokio::test]
async fn a_reader_of_few_events_in_large_receipts_misses_none() {
    const RECEIPTS: usize = 80;
    const EVENTS: usize = 64;
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let (connection, id) = main_of(&peer, &consortium.admin()).await;
    let actions = |number: usize| {
        let common = (1..EVENTS).map(|_| append("common", "c"));
        let mut actions: Vec<Action> = common.collect();
        actions.insert(number * 11 % EVENTS, append("rare", number.to_string()));
        actions
    };
    let envelopes: Vec<_> = (0..RECEIPTS).map(|number| signed(id, 1, actions(number))).collect();
    let results = connection.submit_batch("main", &envelopes, Wait::Committed).await.expect("taken");
    let done = |result: &BatchResult| matches!(result, BatchResult::Committed { code: 0, .. });
    assert!(results.iter().all(done), "{results:?}");
    let all = Filter { start: Start::Height(0), class: Some(Class::Logs), ..Filter::default() };
    let all = read(&connection, "main", all, RECEIPTS * EVENTS).await;
    let rare: Vec<Cursor> = all.iter().filter(|seen| seen.event.subject == "rare").map(|seen| seen.cursor).collect();
    assert_eq!(rare.len(), RECEIPTS);
    let of = |start| Filter { start, topic: Some("rare".into()), ..Filter::default() };
    assert_eq!(cursors(&read(&connection, "main", of(Start::Height(0)), RECEIPTS).await), rare);
    // From any event, whether or not it is one that the reader wants.
    for seen in all.iter().step_by(997).chain(all.iter().filter(|seen| seen.event.subject == "rare").step_by(5)) {
        let later: Vec<Cursor> = rare.iter().copied().filter(|cursor| *cursor > seen.cursor).collect();
        let rest = read(&connection, "main", of(Start::After(seen.cursor)), later.len()).await;
        assert_eq!(cursors(&rest), later, "after {}", seen.cursor);
    }
}

#[tokio::test]
async fn a_reader_of_logs_gets_only_logs_each_with_evidence() {
    let consortium = Consortium::new();
    consortium.organization("dealer");
    let reader = consortium.profile("dealer", "client", "ann");
    let peer = consortium.serve();
    let grants = ["--grant", "dealer=read:logs"];
    let create = ["channel", "create", "mixed", "--org", "bank", "--org", "dealer", "--open-submit"];
    let made = peer.run(&consortium.admin(), &[&create[..], &grants].concat());
    let id: Hash = made["id"].as_str().expect("an id").parse().expect("hex");
    let writer = peer.connect(&consortium.admin());
    commit(&writer, "mixed", id, 1, vec![define("usd"), mint("usd", 1, 1000)]).await;
    for number in 0..5 {
        let steps = vec![transfer("usd", 2, 1), append("steps", number.to_string())];
        commit(&writer, "mixed", id, 1, steps).await;
    }
    let connection = peer.connect(&reader);
    let filter = Filter { start: Start::Height(0), proof: true, ..Filter::default() };
    let seen = read(&connection, "mixed", filter, 5).await;
    let mut verifier = EventVerifier::open(&connection, "mixed", id).await.expect("trust");
    for delivery in &seen {
        assert_eq!(delivery.event.class, Class::Logs);
        verifier.verify(delivery).await.expect("holds");
        let evidence = delivery.event.evidence.as_deref().expect("asked for");
        // 1,000 and 1 of `usd` moved beside it: neither its name nor its event is in the evidence.
        assert!(!evidence.contains(&hex(b"usd")), "the evidence tells of other classes");
    }
    let mut tampered = seen[0].clone();
    let evidence = tampered.event.evidence.as_mut().expect("asked for");
    *evidence = evidence.replacen("\"index\":1", "\"index\":0", 1);
    assert!(verifier.verify(&tampered).await.is_err());

    let forbidden = Filter { start: Start::Height(0), class: Some(Class::Assets), ..Filter::default() };
    match connection.subscribe("mixed", forbidden).next().await {
        Some(Err(SubscribeError::Request(error))) => {
            assert_eq!(error.problem().map(|problem| problem.status), Some(403), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_revoked_certificate_loses_its_subscription_and_its_requests() {
    let consortium = Consortium::new();
    let (gone, stays) = (consortium.profile("bank", "client", "ann"), consortium.profile("bank", "client", "bob"));
    let peer = consortium.serve();
    peer.run(&consortium.admin(), &["channel", "create", "private", "--org", "bank", "--grant", "bank=read:logs"]);
    let (gone, stays) = (peer.connect(&gone), peer.connect(&stays));
    let filter = Filter { start: Start::Height(0), ..Filter::default() };
    let mut subscriptions = [gone.subscribe("private", filter.clone()), stays.subscribe("private", filter)];
    let [lost, kept] = &mut subscriptions;
    // Nothing happens on the channel, so both only wait; polling once connects them.
    for subscription in [&mut *lost, &mut *kept] {
        let idle = tokio::time::timeout(Duration::from_millis(500), subscription.next()).await;
        assert!(idle.is_err(), "{idle:?}");
    }
    let identity = "spiffe://test.example/bank/client/ann";
    run(&["ca", "--dir", text(&consortium.dir()), "revoke", identity]);
    let revoked = Instant::now();
    // The channel is told of the revocation, which names nobody there, and perhaps before the peer has read the CRL.
    let told = |next: &Option<Result<Delivery, SubscribeError>>| match next {
        Some(Ok(told)) => matches!(told.event.data, Event::ParticipantRevoked { identity: None, .. }),
        _ => false,
    };
    let mut ended = tokio::time::timeout(Duration::from_secs(5), lost.next()).await.expect("goes on");
    if told(&ended) {
        ended = tokio::time::timeout(Duration::from_secs(5), lost.next()).await.expect("ends");
    }
    match ended {
        Some(Err(SubscribeError::Problem(problem))) => assert_eq!(problem.name(), "certificate-refused", "{problem:?}"),
        other => panic!("{other:?}"),
    }
    let took = revoked.elapsed();
    assert!(took < Duration::from_secs(1), "the subscription closed after {took:?}");
    assert!(gone.channel("private").await.is_err(), "a live connection of a revoked certificate is refused");
    assert!(stays.channel("private").await.is_ok());
    let next = tokio::time::timeout(Duration::from_secs(5), kept.next()).await.expect("the other subscription goes on");
    assert!(told(&next), "{next:?}");
}

/// After a backup was restored a reader with a later cursor missed what came then, and any number was taken for a cursor.
#[tokio::test]
async fn a_place_that_would_lose_events_is_refused_before_a_frame() {
    let consortium = Consortium::new();
    consortium.organization("dealer");
    let reader = consortium.profile("dealer", "client", "ann");
    let peer = consortium.serve();
    let create = ["channel", "create", "mixed", "--org", "bank", "--org", "dealer", "--open-submit"];
    let made = peer.run(
        &consortium.admin(),
        &[&create[..], &["--grant", "bank=member,admin", "--grant", "dealer=read:logs", "--approvals", "any"]].concat(),
    );
    let id: Hash = made["id"].as_str().expect("an id").parse().expect("hex");
    let connection = peer.connect_once(&consortium.admin());
    commit(&connection, "mixed", id, 1, vec![define("usd"), mint("usd", 1, 1000), append("steps", "1")]).await;
    commit(&connection, "mixed", id, 1, vec![append("steps", "2")]).await;
    let from = |start| Filter { start, ..Filter::default() };
    let all = read(&connection, "mixed", from(Start::Height(0)), 4).await;
    let tip = connection.channel("mixed").await.expect("there");
    let (assets, logs) = (all[0].cursor, all[3].cursor);
    assert_eq!((all[0].event.class, logs.height), (Class::Assets, tip.height));
    let other = Hash([5; 32]);
    let limited = peer.connect_once(&reader);
    for (reader, start, told) in [
        (&connection, Start::Height(tip.height + 1), None),
        (&connection, Start::Height(tip.height + 2), Some("cursor-ahead")),
        (&connection, Start::Height(u64::MAX), Some("cursor-ahead")),
        (&connection, Start::After(logs), None),
        (&connection, Start::After(Cursor::end_of(tip.height, &tip.tip)), None),
        (&connection, Start::After(Cursor::end_of(tip.height + 1, &other)), Some("cursor-ahead")),
        (&connection, Start::After(Cursor::end_of(u64::MAX, &other)), Some("cursor-ahead")),
        (&connection, Start::After(Cursor::end_of(tip.height, &other)), Some("cursor-other-history")),
        (&connection, Start::After(Cursor { tag: assets.tag, ..logs }), Some("cursor-other-history")),
        (&connection, Start::After(Cursor { event: 1, ..logs }), Some("cursor-no-event")),
        (&connection, Start::After(Cursor { index: 1, ..logs }), Some("cursor-no-event")),
        (&connection, Start::After(Cursor { index: u32::MAX, ..logs }), Some("cursor-no-event")),
        (&connection, Start::After(assets), None),
        (&limited, Start::After(logs), None),
        // Whether there is an event of another class is not for this reader to know: both are places to go on behind.
        (&limited, Start::After(assets), None),
        (&limited, Start::After(Cursor { event: 3, ..assets }), None),
        (&limited, Start::After(Cursor { event: 3, ..logs }), None),
        // How many receipts a block has is in its header.
        (&limited, Start::After(Cursor { index: 1, ..assets }), Some("cursor-no-event")),
        (&limited, Start::After(Cursor { index: u32::MAX, ..assets }), Some("cursor-no-event")),
    ] {
        let begun = reader.subscribe("mixed", from(start)).begun().await;
        let refused = match &begun {
            Ok(cursor) => {
                assert!(!matches!(start, Start::After(after) if after != *cursor), "{start:?}: {cursor}");
                None
            }
            Err(SubscribeError::Request(error)) => error.problem().map(|problem| (problem.status, problem.name())),
            Err(other) => panic!("{start:?}: {other}"),
        };
        assert_eq!(refused, told.map(|name| (409, name)), "{start:?}");
    }
}

/// Whoever lost the right to the class of the event at its cursor was refused for ever.
#[tokio::test]
async fn a_reader_whose_rights_shrank_goes_on_with_the_next_event_that_it_may_see() {
    let consortium = Consortium::new();
    consortium.organization("dealer");
    let reader = consortium.profile("dealer", "client", "ann");
    let peer = consortium.serve();
    let admin = consortium.admin();
    let create = ["channel", "create", "mixed", "--org", "bank", "--org", "dealer", "--open-submit"];
    let grants = ["--grant", "bank=member,admin", "--grant", "dealer=read:assets,read:logs", "--approvals", "any"];
    let made = peer.run(&admin, &[&create[..], &grants].concat());
    let id: Hash = made["id"].as_str().expect("an id").parse().expect("hex");
    let connection = peer.connect_once(&admin);
    // Three receipts' worth of both classes, the last of the middle block hidden later.
    commit(&connection, "mixed", id, 1, vec![append("steps", "1"), define("usd"), append("steps", "2")]).await;
    commit(&connection, "mixed", id, 1, vec![append("steps", "3"), mint("usd", 1, 1000)]).await;
    commit(&connection, "mixed", id, 1, vec![mint("usd", 1, 1000), append("steps", "4")]).await;
    let limited = peer.connect_once(&reader);
    let from = |start| Filter { start, ..Filter::default() };
    let all = read(&limited, "mixed", from(Start::Height(0)), 7).await;

    peer.run(&admin, &["key", "new"]);
    peer.run(&admin, &["participant", "admit", "--channel", "mixed"]);
    peer.run(&admin, &["channel", "deny", "mixed", "dealer=read:assets"]);
    let is_log = |seen: &&Delivery| seen.event.class == Class::Logs;
    let sees = |seen: &Delivery| {
        let data = serde_json::to_value(&seen.event.data).expect("serializes");
        data["body"].as_str().unwrap_or_default().to_owned()
    };
    assert!(all.iter().filter(|seen| !is_log(seen)).count() == 3, "{:?}", cursors(&all));
    for seen in &all {
        let later: Vec<String> =
            all.iter().filter(is_log).filter(|other| other.cursor > seen.cursor).map(sees).collect();
        let filter = Filter { topic: Some("steps".into()), ..from(Start::After(seen.cursor)) };
        let rest = read(&limited, "mixed", filter, later.len()).await;
        assert_eq!(rest.iter().map(sees).collect::<Vec<_>>(), later, "after {}", seen.cursor);
        let begun = limited.subscribe("mixed", from(Start::After(seen.cursor))).begun().await;
        assert_eq!(begun.map_err(|error| error.to_string()), Ok(seen.cursor));
    }
}

#[tokio::test]
async fn a_live_subscription_goes_on_with_what_is_left_of_its_readers_rights_and_ends_with_the_last() {
    let consortium = Consortium::new();
    consortium.organization("dealer");
    let (admin, reader) = (consortium.admin(), consortium.profile("dealer", "client", "ann"));
    let peer = consortium.serve();
    let create = ["channel", "create", "mixed", "--org", "bank", "--org", "dealer", "--approvals", "any"];
    let grants = ["--grant", "bank=member,admin", "--grant", "dealer=read:assets,read:logs"];
    peer.run(&admin, &[&create[..], &grants].concat());
    peer.run(&admin, &["key", "new"]);
    peer.run(&admin, &["participant", "admit", "--channel", "mixed"]);
    let define =
        |asset: &str| drop(peer.run(&admin, &["asset", "define", asset, "--title", "A", "--channel", "mixed"]));
    let append = |body: &str| drop(peer.run(&admin, &["log", "append", "steps", "--body", body, "--channel", "mixed"]));
    let deny = |right: &str| drop(peer.run(&admin, &["channel", "deny", "mixed", &format!("dealer={right}")]));
    let limited = peer.connect_once(&reader);
    let from = |class| Filter { start: Start::Height(0), class, ..Filter::default() };
    let mut all = limited.subscribe("mixed", from(None));
    let mut assets = limited.subscribe("mixed", from(Some(Class::Assets)));
    let until = async |subscription: &mut Subscription, text: &str| {
        let mut classes = Vec::new();
        loop {
            let next = tokio::time::timeout(wait::PATIENCE, subscription.next()).await.expect("in time");
            let event = next.expect("goes on").expect("an event").event;
            classes.push(event.class);
            if serde_json::to_string(&event.data).expect("serializes").contains(text) {
                return classes;
            }
        }
    };
    let ended = async |subscription: &mut Subscription| match tokio::time::timeout(wait::PATIENCE, subscription.next())
        .await
        .expect("in time")
    {
        Some(Err(SubscribeError::Problem(problem))) => problem.name().to_owned(),
        other => panic!("{other:?}"),
    };
    define("first");
    assert_eq!(until(&mut assets, "first").await, [Class::Assets]);
    assert!(until(&mut all, "first").await.contains(&Class::Assets));
    deny("read:assets");
    // Who asked for it by name is told; who asked for all that it may read goes on with the rest.
    assert_eq!(ended(&mut assets).await, "forbidden");
    define("second");
    append("third");
    let seen = until(&mut all, "third").await;
    assert!(seen.iter().all(|class| *class == Class::Logs), "{seen:?}");
    deny("read:logs");
    assert_eq!(ended(&mut all).await, "channel-unknown");
}

/// A channel on which nothing happens by itself, as on `main` the peer records its acts.
async fn steps_of(peer: &Peer, consortium: &Consortium) -> (Connection, Hash) {
    let connection = peer.connect(&consortium.admin());
    if connection.channel("steps").await.is_err() {
        peer.run(&consortium.admin(), &["channel", "create", "steps", "--org", "bank", "--open-submit"]);
    }
    let id = connection.channel("steps").await.expect("there").id;
    (connection, id)
}

#[tokio::test]
async fn a_reader_of_a_restored_peer_is_told_what_to_do() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let (connection, id) = steps_of(&peer, &consortium).await;
    commit(&connection, "steps", id, 1, vec![append("steps", "1")]).await;
    peer.drain();
    let backup = consortium.copy();
    let write = async |consortium: &Consortium, body: &str| {
        let peer = consortium.serve();
        let (connection, id) = steps_of(&peer, consortium).await;
        commit(&connection, "steps", id, 1, vec![append("steps", body)]).await;
        (peer, connection.channel("steps").await.expect("there").height)
    };
    let (peer, height) = write(&consortium, "2").await;
    let filter = Filter { start: Start::Height(height), topic: Some("steps".into()), ..Filter::default() };
    let seen = read(&peer.connect(&consortium.admin()), "steps", filter, 1).await;
    peer.drain();
    let watch = |peer: &Peer| {
        let from = seen[0].cursor.to_string();
        let arguments = ["--peer", &peer.url, "watch", "steps", "--from", &from, "--until", "now"];
        let output = try_run(&[&["--profile", text(&consortium.admin())], &arguments[..]].concat());
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    // A copy seals nothing until it is told that it stands for the peer.
    let peer = Peer::start_by_with(&backup.dir(), &["--moved"]);
    let (code, said) = watch(&peer);
    assert!(code == Some(1) && said.contains("restored from a backup") && said.contains("cursor-ahead"), "{said}");
    peer.drain();
    let (peer, now) = write(&backup, "another 2").await;
    assert_eq!(now, height);
    let (code, said) = watch(&peer);
    assert!(code == Some(1) && said.contains("chancery verify") && said.contains("cursor-other-history"), "{said}");
}

/// What came between the loss of the connection and the next was lost, since nobody knew where it had begun.
#[tokio::test]
async fn the_first_frame_says_where_a_subscription_begins() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let (connection, id) = steps_of(&peer, &consortium).await;
    commit(&connection, "steps", id, 1, vec![append("steps", "before")]).await;
    let tip = connection.channel("steps").await.expect("there");
    let mut subscription = connection.subscribe("steps", Filter { topic: Some("steps".into()), ..Filter::default() });
    let begun = subscription.begun().await.expect("begins");
    assert_eq!(begun, Cursor::end_of(tip.height, &tip.tip));
    // It is cut off before anything has come, and something comes before it is there again.
    peer.drain();
    let peer = consortium.serve();
    let (connection, id) = steps_of(&peer, &consortium).await;
    commit(&connection, "steps", id, 1, vec![append("steps", "meanwhile")]).await;
    let after = Filter { start: Start::After(begun), topic: Some("steps".into()), ..Filter::default() };
    let seen = read(&connection, "steps", after, 1).await;
    assert!(serde_json::to_string(&seen[0].event.data).expect("serializes").contains("meanwhile"));
}

#[tokio::test]
async fn watching_ends_behind_a_block_also_where_nothing_is_wanted() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let (connection, id) = steps_of(&peer, &consortium).await;
    for number in 0..3 {
        commit(&connection, "steps", id, 1, vec![append("steps", number.to_string())]).await;
    }
    let tip = connection.channel("steps").await.expect("there").height;
    let watch = |arguments: &[&str]| {
        let mut command = chancery();
        command.args(["--profile", text(&consortium.admin()), "--peer", &peer.url, "watch", "steps"]).args(arguments);
        let begun = Instant::now();
        let output = command.output().expect("the program starts");
        let said = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        assert!(begun.elapsed() < Duration::from_secs(8), "{arguments:?} took {:?}", begun.elapsed());
        assert!(output.status.success(), "{arguments:?}: {}", said(&output.stderr));
        (said(&output.stdout), said(&output.stderr))
    };
    // A pipe gets JSON lines; what is no event goes elsewhere.
    let (events, said) = watch(&["--from", "0", "--until", "now", "--topic", "steps"]);
    let events: Vec<serde_json::Value> =
        events.lines().map(|line| ledger_classes::primitives::json::from_str(line).expect("JSON lines")).collect();
    assert_eq!(events.len(), 3);
    assert!(said.contains(&format!("at the end of the channel, block {tip}")), "{said}");
    let last = events[2]["id"].as_str().expect("a cursor");
    assert_eq!(watch(&["--from", last, "--until", "now", "--topic", "steps"]).0, "");
    assert_eq!(watch(&["--from", "0", "--until", "now", "--topic", "nothing"]).0, "");
    assert_eq!(watch(&["--until", "now"]).0, "");
    assert_eq!(watch(&["--from", "0", "--until", "0"]).0, "");
    // A height ends it though the channel goes on.
    let first = events[0]["id"].as_str().expect("a cursor").split('.').next().expect("a height");
    assert_eq!(watch(&["--from", "0", "--until", first, "--topic", "steps"]).0.lines().count(), 1);
    let (shown, _) = watch(&["--from", last, "--until", &(tip - 1).to_string(), "--human"]);
    assert_eq!(shown, "");
    let (shown, _) = watch(&["--from", "0", "--until", "now", "--topic", "steps", "--human"]);
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines.len() == 3 && lines.iter().all(|line| line.contains("  log.appended  steps  ")), "{shown}");
    assert!(
        lines.iter().all(|line| line.rsplit_once("  transaction=").is_some_and(|(_, id)| id.len() == 64)),
        "{shown}"
    );
}

#[tokio::test]
async fn what_nothing_can_match_is_refused_by_the_name_of_its_parameter() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let ca = consortium.admin().join("ca.pem");
    for (path, told) in [
        ("/events?topic=USD", "topic: "),
        ("/events?topic=", "topic: "),
        ("/events?class=assets&topic=trace.step", "topic: "),
        ("/events?class=", "class: "),
        ("/events?proof=perhaps", "proof: "),
        ("/logs?topic=a..b", "topic: "),
        ("/logs?limit=many", "limit: "),
        ("/logs?limit=0", "limit: "),
        ("/blocks?from=first", "from: "),
        ("/blocks?limit=-1", "limit: "),
    ] {
        let answer = crate::isolation::ask(&peer, None, &ca, "GET", &format!("/v1/channels/main{path}"), None);
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains(":invalid-parameter"), "{path}: {answer}");
        assert!(answer.contains(&format!("\"detail\":\"{told}")), "{path}: {answer}");
    }
}
