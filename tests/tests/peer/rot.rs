//! Promise 8 for a disk that rots: the channel it hits is named, with height and what disagrees; the others serve.

use crate::harness::{Consortium, run, signed, text, try_run};
use client::submit::Wait;
use ledger_classes::action::{Action, logs};
use serde_json::Value;
use std::fs;

/// A record that has a page of the log for itself.
fn append(body: &str) -> Action {
    let body = format!("{body}{}", " and so on".repeat(400));
    Action::LogAppend(logs::Append { topic: "test".into(), digest: None, body })
}

#[tokio::test]
async fn rot_in_one_channel_is_named_and_the_others_serve() {
    const WORDS: &[u8] = b"these words will rot";
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let create = ["channel", "create", "trade", "--org", "bank", "--open-submit"];
    peer.run(&consortium.admin(), &create);
    let connection = peer.connect(&consortium.admin());
    let channel = connection.channel("trade").await.expect("made").id;
    let mut posted = Vec::new();
    for body in ["before", "these words will rot", "after"] {
        let envelope = signed(channel, 1, vec![append(body)]);
        let outcome = connection.submit("trade", &envelope, Wait::Committed).await.expect("taken");
        posted.push(outcome.receipt.expect("committed"));
    }
    peer.drain();
    let dir = consortium.dir();
    assert_eq!(run(&["verify", "--dir", text(&dir)])["broken"], Value::Array(vec![]));

    let log = dir.join("data/trade/log.redb");
    let sound = fs::read(&log).expect("readable");
    let places: Vec<usize> = (0..sound.len() - WORDS.len()).filter(|at| sound[*at..].starts_with(WORDS)).collect();
    let height = posted[1].height;
    // In one place they are the block's; elsewhere they are left over, in pages that mean something else or nothing.
    let named: Vec<usize> = places
        .into_iter()
        .filter(|at| {
            let mut bytes = sound.clone();
            bytes[*at] ^= 1;
            fs::write(&log, bytes).expect("writable");
            let output = try_run(&["verify", "--dir", text(&dir)]);
            let report: Value = ledger_classes::primitives::json::from_slice(&output.stdout).expect("JSON");
            assert_eq!(report["channels"][0]["name"], "main", "{report}");
            let Some(broken) = report["broken"].get(0) else { return false };
            assert_eq!((&broken["name"], output.status.code()), (&"trade".into(), Some(1)), "{report}");
            let error = broken["error"].as_str().expect("text");
            assert!(error.ends_with("of the file does not match its checksum"), "{error}");
            error.starts_with(&format!("block {height}: the log is corrupt: height {height}: "))
        })
        .collect();
    let place = *named.last().expect("the block is somewhere");
    let mut bytes = sound.clone();
    bytes[place] ^= 1;
    fs::write(&log, bytes).expect("writable");

    let peer = consortium.serve();
    let connection = peer.connect(&consortium.admin());
    let whole = connection.transaction("trade", posted[0].id).await.expect("it is whole");
    assert_eq!(whole.receipt.as_ref(), Some(&posted[0]));
    connection.transaction("trade", posted[1].id).await.expect_err("it is not");
    let main = connection.channel("main").await.expect("public").id;
    let outcome =
        connection.submit("main", &signed(main, 1, vec![append("on")]), Wait::Committed).await.expect("taken");
    assert!(outcome.receipt.is_some_and(|receipt| receipt.code == 0));
    assert_eq!(peer.said("channel halted"), 1);
    peer.drain();
    // A log cannot be made anew: what is whole of it is read again.
    let peer = consortium.serve();
    let connection = peer.connect(&consortium.admin());
    let whole = connection.transaction("trade", posted[0].id).await.expect("it is whole");
    assert_eq!(whole.receipt.as_ref(), Some(&posted[0]));
}
