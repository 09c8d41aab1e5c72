//! A copied data directory forks a ledger: two copies gave one transaction two outcomes, each with a proof that verified,
//! and nobody who saw only one of them could tell. Whoever sees both can.

use crate::harness::{Consortium, Peer, append, copy_folder, signed, text, try_run};
use crate::wait;
use client::connection::Connection;
use client::query::Paging;
use client::submit::Wait;
use ledger_classes::formats::transaction::Envelope;
use ledger_classes::primitives::hash::Hash;
use serde_json::Value;
use std::path::Path;

async fn commit(connection: &Connection, envelope: &Envelope) -> u64 {
    let outcome = connection.submit("main", envelope, Wait::Committed).await.expect("taken");
    outcome.receipt.expect("committed").height
}

/// The exit code and the document of a command.
fn ran(words: &[&str]) -> (Option<i32>, Value, String) {
    let output = try_run(words);
    let document = ledger_classes::primitives::json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), document, String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test]
async fn two_copies_of_one_ledger_are_told_by_their_proofs_their_blocks_and_by_who_saw_both() {
    let consortium = Consortium::new();
    let [profile, other] = ["ann", "ben"].map(|name| consortium.profile("bank", "client", name));
    let original = consortium.serve();
    let ann = original.connect(&profile);
    let id: Hash = ann.channel("main").await.expect("there").id;
    let common = signed(id, 1, vec![append("tests", "common")]);
    commit(&ann, &common).await;
    // From here on nothing but what is posted below makes blocks.
    let admin = original.connect(&consortium.admin());
    wait::until("both certificates are recorded", async || {
        let part = Paging { after: None, limit: Some(1000) };
        let page = admin.logs("main", Some("audit.certificate"), part).await.expect("readable");
        let of = |name: &str| page.items.iter().any(|record| record.to_string().contains(name));
        (of("client/ann") && of("client/ben")).then_some(())
    })
    .await;
    original.drain();

    // The copy is fenced; its operator says that it was moved, which it was not.
    let copied = consortium.path("copy");
    copy_folder(&consortium.dir(), &copied);
    let (original, copy) = (consortium.serve(), Peer::start_by_with(&copied, &["--moved"]));
    let (here, there) = (original.connect(&profile), copy.connect(&profile));
    // One transaction, two outcomes: in the copy another one came before it.
    let pay = signed(id, 1, vec![append("tests", "pay")]);
    let before = signed(id, 2, vec![append("tests", "before")]);
    let height = commit(&here, &pay).await;
    assert_eq!(commit(&there, &before).await, height);
    assert!(commit(&there, &pay).await > height);

    // A proof of each, taken by people who know one peer each: both verify.
    let proof = |peer: &Peer, profile: &Path, envelope: &Envelope, name: &str, more: &[&str]| {
        let file = consortium.path(name);
        let (transaction, channel) = (envelope.id().to_string(), id.to_string());
        let words = ["tx", "proof", &transaction, "--channel", &channel, "--out", text(&file)];
        peer.run(profile, &[&words[..], more].concat());
        assert_eq!(ran(&["verify", "--proof", text(&file), "--channel-id", &channel]).0, Some(0));
        file
    };
    let one = proof(&original, &profile, &pay, "one.json", &[]);
    let same_height = proof(&copy, &other, &before, "before.json", &[]);
    let outcome = proof(&copy, &other, &pay, "pay.json", &[]);
    let shared = proof(&original, &profile, &common, "common.json", &["--later", &height.to_string()]);
    let verify = |one: &Path, other: &Path| ran(&["verify", "--proof", text(one), "--proof", text(other)]);
    for (other, expected) in [(&same_height, "header"), (&outcome, "previous")] {
        let (code, document, said) = verify(&one, other);
        assert_eq!((code, &document["histories"]), (Some(1), &"fork".into()), "{said}");
        let fork = &document["fork"];
        assert_eq!((&fork["height"], &fork["contradiction"]), (&height.into(), &expected.into()), "{said}");
        assert_ne!(fork["sides"][0]["header"], fork["sides"][1]["header"]);
        let sealed_by = fork["sides"][1]["sealed_by"][0]["identity"].as_str().unwrap_or_default();
        assert!(sealed_by.starts_with("spiffe://test.example/bank/peer/"), "{said}");
    }
    let (code, document, said) = verify(&one, &shared);
    assert_eq!((code, &document["histories"]), (Some(0), &"one-history".into()), "{said}");
    assert_eq!(ran(&["verify", "--proof", text(&one), "--proof", text(&one), "--proof", text(&one)]).0, Some(2));

    // Whoever has verified something of the original is told by the copy.
    let command =
        |peer: &Peer, words: &[&str]| ran(&[&["--profile", text(&profile), "--peer", &peer.url], words].concat());
    let transaction = before.id().to_string();
    let (code, _, said) = command(&copy, &["tx", "proof", &transaction, "--out", text(&consortium.path("x.json"))]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("two histories") && said.contains("the evidence is kept in"), "{said}");
    let kept = profile.join(format!("fork-{id}-{height}.json"));
    assert!(kept.exists(), "{said}");
    let (code, _, said) = command(&copy, &["watch", "main", "--from", "1", "--until", "now", "--proof"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("two histories"), "{said}");
    assert_eq!(command(&original, &["watch", "main", "--from", "1", "--until", "now", "--proof"]).0, Some(0));

    // The blocks of both, fetched by an auditor.
    let folders = [("here", &original), ("there", &copy)].map(|(name, peer)| {
        let folder = consortium.path(name);
        peer.run(&consortium.admin(), &["channel", "fetch", "main", "--out", text(&folder)]);
        folder
    });
    let (code, document, said) = ran(&["verify", "--blocks", text(&folders[0]), "--blocks", text(&folders[1])]);
    assert_eq!((code, &document["fork"]["height"]), (Some(1), &height.into()), "{said}");
    let same = ran(&["verify", "--blocks", text(&folders[0]), "--blocks", text(&folders[0])]);
    assert_eq!((same.0, &same.1["histories"]), (Some(0), &"one-history".into()), "{}", same.2);
}
