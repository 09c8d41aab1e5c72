//! Administrative acts are for administrators and auditors, on every channel and by every way to them: log records,
//! events with and without a filter, blocks in both forms, receipts and proofs.

use crate::harness::{Consortium, Peer, append, signed, transaction};
use client::api::BlockView;
use client::connection::Connection;
use client::profile::Profile;
use client::query::{Paging, Range};
use client::submit::Wait;
use client::subscribe::{Filter, Start};
use ledger_classes::formats::transaction::Envelope;
use ledger_classes::keys::SigningKey;
use std::path::Path;

/// The names of all events up to the log record of topic `end`.
async fn events(connection: &Connection, channel: &str, topic: Option<&str>) -> Vec<String> {
    let filter = Filter { start: Start::Height(0), topic: topic.map(str::to_owned), ..Filter::default() };
    let mut subscription = connection.subscribe(channel, filter);
    let mut topics = Vec::new();
    loop {
        let next = tokio::time::timeout(std::time::Duration::from_secs(30), subscription.next()).await;
        let delivery = next.expect("in time").expect("goes on").expect("an event");
        topics.push(delivery.event.subject.clone());
        if delivery.event.subject == "audits-end" {
            return topics;
        }
    }
}

fn log(peer: &Peer, profile: &Path, channel: &str) -> Vec<String> {
    let page = peer.run(profile, &["log", "list", "--channel", channel, "--limit", "1000"]);
    let items = page["items"].as_array().expect("records").iter();
    items.map(|item| item["topic"].as_str().expect("a topic").to_owned()).collect()
}

async fn blocks(connection: &Connection, channel: &str) -> Vec<BlockView> {
    connection.blocks(channel, Range { from: None, limit: None }).await.expect("readable").items
}

async fn problem<T: std::fmt::Debug>(
    refused: impl Future<Output = Result<T, client::connection::RequestError>>,
) -> String {
    refused.await.expect_err("refused").to_string()
}

/// Anybody could once read who was issued which certificate by whom: `main` was open, and its log with it.
#[tokio::test]
async fn members_and_the_public_read_everything_but_administrative_acts() {
    let consortium = Consortium::new();
    let (client, auditor) =
        (consortium.profile("bank", "client", "ann"), consortium.profile("bank", "auditor", "vera"));
    let admin = consortium.admin();
    let peer = consortium.serve();
    // A channel for members, one for everybody, and main, where acts on certificates are as well.
    for (channel, public) in [("private", false), ("public", true), ("main", true)] {
        if channel != "main" {
            let mut create = vec!["channel", "create", channel, "--org", "bank"];
            create.extend(if public { &["--public-read", "--open-submit"][..] } else { &[] });
            peer.run(&admin, &create);
        }
        let connection = peer.connect(&admin);
        let id = connection.channel(channel).await.expect("there").id;
        let credential = Profile::open(&admin).expect("a profile").credential.expect("a certificate");
        let key = SigningKey::from_seed(&[7; 32]);
        let admission = client::admit::admission(&credential, id, key.public().address()).expect("signs");
        let admission = Envelope::sign_binary(&transaction(id, vec![admission]), &[&key]);
        let admitted = connection.submit(channel, &admission, Wait::Committed).await.expect("taken");
        let admitted = admitted.receipt.expect("committed");
        assert_eq!(admitted.code, 0);
        for topic in ["audit", "audits-end"] {
            let envelope = signed(id, 7, vec![append(topic, "x")]);
            let outcome = connection.submit(channel, &envelope, Wait::Committed).await.expect("taken");
            assert_eq!(outcome.receipt.expect("committed").code, 0);
        }

        let anonymous = consortium.path("anonymous");
        if !anonymous.exists() {
            std::fs::create_dir(&anonymous).expect("writable");
            for file in ["ca.pem", "profile.toml"] {
                std::fs::copy(client.join(file), anonymous.join(file)).expect("copied");
            }
        }
        for (who, acts) in [(&admin, true), (&auditor, true), (&client, false), (&anonymous, false)] {
            let what = format!("{channel} {}", who.display());
            let reader = peer.connect_once(who);
            if !public && who == &anonymous {
                assert!(problem(reader.channel(channel)).await.contains("no such channel"), "{what}");
                continue;
            }
            let is_act = |topic: &String| topic.starts_with("audit.");
            let topics = log(&peer, who, channel);
            assert_eq!(topics.iter().any(is_act), acts, "{what}: {topics:?}");
            assert!(topics.iter().any(|topic| topic == "audit") && topics.iter().any(|topic| topic == "audits-end"));
            for topic in [None, Some("audit*")] {
                let topics = events(&reader, channel, topic).await;
                assert_eq!(topics.iter().any(is_act), acts, "{what}: {topics:?}");
                assert_eq!(topics.iter().filter(|topic| *topic == "audit").count(), 1, "{what}");
            }
            let asked = reader.logs(channel, Some("audit.channel"), Paging::default()).await;
            assert_eq!(asked.is_ok(), acts, "{what}");
            let mut asked = reader.subscribe(
                channel,
                Filter { start: Start::Height(0), topic: Some("audit.*".into()), ..Filter::default() },
            );
            assert_eq!(asked.next().await.expect("an answer").is_ok(), acts, "{what}");

            let blocks = blocks(&reader, channel).await;
            let withheld: u32 = blocks.iter().map(|block| block.withheld).sum();
            let told = serde_json::to_string(&blocks).expect("serializes");
            assert_eq!(
                (withheld == 0, told.contains("audit.channel"), told.contains("possession")),
                (acts, acts, acts),
                "{what}: {told}"
            );
            assert!(told.contains("audits-end"), "{what}");
            assert_eq!(reader.block(channel, admitted.height).await.is_ok(), acts, "{what}");
            let receipt = reader.transaction(channel, admitted.id).await.expect("readable").receipt.expect("committed");
            assert_eq!(serde_json::to_string(&receipt).expect("serializes").contains("audit.channel"), acts, "{what}");
            let proof = reader.proof(channel, admitted.id, None).await.expect("there");
            assert_eq!(proof.evidence.transaction.is_some(), acts, "{what}");
        }
    }
    // A block is given whole to nobody who reads no acts: with its seed, the root of the state could be guessed at.
    let reader = peer.connect(&client);
    let tip = reader.channel("private").await.expect("there").height;
    assert!(reader.block("private", tip).await.is_err());
    assert_eq!(reader.block_view("private", tip).await.expect("for who reads all classes").withheld, 0);
}
