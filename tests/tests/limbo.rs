//! Good and bad certificate paths in x509-limbo's format through the built `conformance` program.
//! The suite itself is not in the repository: `docs/conformance.md` says how to put it to the program.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use std::io::Write as _;
use std::process::{Command, Stdio};
use tests::limbo_pairs::document;

fn judged(document: &Value) -> Value {
    let mut program = Command::new(env!("CARGO_BIN_EXE_conformance"))
        .arg("x509")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = program.stdin.take().unwrap();
    let input = document.to_string();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
    let output = program.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn good_paths_are_admitted_and_bad_ones_are_not() {
    let document: Value = serde_json::from_str(include_str!("../fixtures/limbo/pairs.json")).unwrap();
    let judged = judged(&document);
    assert_eq!((&judged["version"], &judged["harness"]), (&1.into(), &"chancery".into()));
    let cases = document["testcases"].as_array().unwrap();
    let results = judged["results"].as_array().unwrap();
    assert_eq!(cases.len(), results.len());
    let mut wrong = Vec::new();
    for (case, result) in cases.iter().zip(results) {
        assert_eq!(case["id"], result["id"]);
        if case["expected_result"] != result["actual_result"] {
            wrong.push(format!("{result}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn the_document_is_what_its_program_writes() {
    let committed: Value = serde_json::from_str(include_str!("../fixtures/limbo/pairs.json")).unwrap();
    assert!(committed == document(), "run: cargo run -p tests --bin limbo-pairs > tests/fixtures/limbo/pairs.json");
}
