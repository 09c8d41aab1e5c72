//! Files that an earlier build wrote are read by this one: the same tips, receipts, balances and proofs, a block more,
//! and sound by verification. They are in `tests/compatibility`, written by the example `write_compatibility`.
//!
//! When this fails, the format has changed: peers that run could not be updated. Read the old form too; only a release
//! that says so may give it up.

mod peer;

use channel_actors::LifeCycle;
use channel_actors::block::verify_offline::audit;
use ledger_classes::action::{Action, logs};
use ledger_classes::formats::proof::Proof;
use peer::{Hand, START, Vouching, answers, open, post};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("makes");
    for entry in fs::read_dir(from).expect("lists") {
        let entry = entry.expect("lists");
        match entry.file_type().expect("has a type").is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).expect("copies")),
        }
    }
}

#[actix::test]
async fn files_of_earlier_builds_are_read_as_they_were_written() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/compatibility");
    let mut formats = 0;
    for entry in fs::read_dir(kept).expect("lists") {
        let format = entry.expect("lists").path();
        if !format.is_dir() {
            continue;
        }
        formats += 1;
        let expected = fs::read_to_string(format.join("expected.json")).expect("readable");
        let expected: Vec<Value> = ledger_classes::primitives::json::from_str(&expected).expect("JSON");
        assert!(expected.len() >= 3);
        let directory = tempfile::tempdir().expect("a directory");
        copy(&format.join("channels"), directory.path());
        for channel in &expected {
            let name = channel["name"].as_str().expect("text");
            let report = audit(&directory.path().join(name), &Vouching, |_, _| {}).expect(name);
            assert_eq!(report.height, channel["height"], "{name}");
            let state = channel["state_height"].as_u64();
            assert_eq!(report.state_height, state, "{name}: what was checkpointed is read, not rebuilt");
        }
        let later = START.plus_millis(10_000_000);
        let registry =
            open(directory.path(), Arc::new(Hand(later.millis().into())), Some(Duration::from_millis(1))).await;
        for channel in &expected {
            let name = channel["name"].as_str().expect("text");
            let height = channel["height"].as_u64().expect("a number");
            let handle = registry.by_name(name).expect(name);
            assert_eq!((handle.state(), handle.tip().height), (LifeCycle::Serving, height), "{name}");
            let mut found = answers(&handle, height).await;
            found["state_height"] = channel["state_height"].clone();
            assert_eq!(found, *channel, "{name}");
            let proofs: Vec<Proof> =
                ledger_classes::primitives::json::from_value(channel["proofs"].clone()).expect("two proofs");
            for proof in proofs {
                assert_eq!(Some(proof.verify(handle.id()).expect("proves").channel), handle.id(), "{name}");
            }
            let more = logs::Append { topic: "later".into(), digest: None, body: "another build".into() };
            assert_eq!(post(&handle, later, 1000, &[1], vec![Action::LogAppend(more)]).await, 0, "{name}");
        }
        registry.drain().await;
        for entry in fs::read_dir(directory.path()).expect("lists") {
            let folder = entry.expect("lists").path();
            let mut names: Vec<_> =
                fs::read_dir(&folder).expect("lists").map(|entry| entry.expect("lists").file_name()).collect();
            names.sort();
            assert_eq!(names, ["log.redb", "state.redb", "summary"], "{}: nothing was set aside", folder.display());
            let report = audit(&folder, &Vouching, |_, _| {}).expect("sound");
            assert_eq!(Some(report.height), report.state_height);
        }
    }
    assert!(formats > 0, "there are files to read");
}
