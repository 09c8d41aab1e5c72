//! The demonstration is a check: its exit code is 0 when every step holds, and not 0 when something is truly broken.

#![allow(clippy::unwrap_used)]

use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Steps of the whole story.
const STEPS: usize = 14;

/// One story at a time: each runs a peer and up to six clients.
fn alone() -> MutexGuard<'static, ()> {
    static STAGE: Mutex<()> = Mutex::new(());
    STAGE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn demo(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peer-under-test"));
    command.arg("demo").args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Whatever the developer's shell says of another peer.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CHANCERY_")) {
        command.env_remove(name);
    }
    command
}

/// Exit code and document of a run in `dir`, with one variable set.
fn run(dir: &Path, variable: Option<(&str, &str)>) -> (Option<i32>, Value) {
    let mut command = demo(&["--exit", "--json", "--dir", dir.to_str().unwrap()]);
    let output = command.envs(variable).output().unwrap();
    let document = ledger_classes::primitives::json::from_slice(&output.stdout);
    (output.status.code(), document.unwrap_or_else(|error| panic!("{error}: {output:?}")))
}

#[test]
fn every_step_holds_and_the_exit_code_is_zero() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (code, document) = run(&folder.path().join("new"), None);
    assert_eq!(code, Some(0), "{document:#}");
    let steps = document["steps"].as_array().unwrap();
    assert_eq!((steps.len(), document["held"].as_bool()), (STEPS, Some(true)));
    for (at, step) in steps.iter().enumerate() {
        assert_eq!(step["number"], at + 1);
        assert!(!step["facts"].as_array().unwrap().is_empty(), "step {at} shows nothing");
    }
    assert!(folder.path().join("new/peer-1/data").is_dir(), "a chosen directory is kept");
}

#[test]
fn what_is_truly_broken_fails_at_its_step_with_code_one() {
    let _alone = alone();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|address| (taken, address.to_string())).unwrap();
    let nowhere = tempfile::tempdir().unwrap();
    let nowhere = nowhere.path().to_str().unwrap();
    for (variable, value, failed, why) in [
        // The port is another program's.
        ("CHANCERY_LISTEN", taken.1.as_str(), 2, "in use"),
        // Nothing can be written.
        ("CHANCERY_DATA_DIR", "/dev/null/data", 2, "data directory"),
        // The peer knows nothing of the other organizations.
        ("CHANCERY_AUTHORITY_DIR", nowhere, 3, "no CA of"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (code, document) = run(folder.path(), Some((variable, value)));
        assert_eq!(code, Some(1), "{variable}: {document:#}");
        assert_eq!(document["held"], false);
        let steps = document["steps"].as_array().unwrap();
        assert_eq!(steps.len(), failed, "{variable}: {document:#}");
        let (last, before) = steps.split_last().unwrap();
        assert!(before.iter().all(|step| step["held"] == true));
        assert_eq!(last["held"], false);
        assert!(last["actual"].as_str().unwrap().to_lowercase().contains(&why.to_lowercase()), "{why}: {last:#}");
    }
}

#[test]
fn a_directory_in_use_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine"), "precious").unwrap();
    let (code, document) = run(folder.path(), None);
    assert_eq!((code, &document["error"]["exit_code"]), (Some(2), &Value::from(2)));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(std::fs::read_to_string(folder.path().join("mine")).unwrap(), "precious");
}

/// Ends the child with the test, however the test ends.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // It has ended by itself when all is well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_stays_up_until_it_is_told_to_end_and_leaves_nothing_behind() {
    let _alone = alone();
    let mut child = Guard(demo(&["--json"]).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    let document: Value = ledger_classes::primitives::json::from_str(&line).unwrap();
    assert_eq!(document["held"], true, "{document:#}");
    let address = document["address"].as_str().unwrap().strip_prefix("https://").unwrap().to_owned();
    let directory = document["directory"].as_str().unwrap().to_owned();
    TcpStream::connect(&address).unwrap();
    assert!(Path::new(&directory).is_dir());

    let told = Command::new("sh").args(["-c", &format!("kill -TERM {}", child.0.id())]).status().unwrap();
    assert!(told.success());
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "one document, nothing more");
    TcpStream::connect(&address).unwrap_err();
    assert!(!Path::new(&directory).exists(), "a temporary directory goes with it");
}
