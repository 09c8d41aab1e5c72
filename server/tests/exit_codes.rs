//! One kind of mistake has one exit code, whichever command it happens to: 0 done, 1 refused with a reason, 2 usage,
//! 3 unavailable. Every example of every command's help is run into every kind that it can meet.

#![allow(clippy::unwrap_used)]

#[path = "support/examples.rs"]
mod examples;
#[path = "../../client/tests/support/peer.rs"]
mod peer;

use client::keys::write_account_key;
use examples::{asking, examples, names_file, prepared, without};
use ledger_classes::keys::SigningKey;
use peer::{Authority, peer, problem, profile};
use serde_json::Value;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// Runs each example in `here` with further words, a few at a time, and holds its exit code and document against what
/// is expected.
fn all_end_with(kind: &str, examples: Vec<Vec<String>>, more: &[&str], here: &Path, code: i32) {
    assert!(examples.len() > 3, "{kind}: {examples:?}");
    let (queue, wrong) = (Mutex::new(examples), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                loop {
                    let Some(words) = queue.lock().unwrap().pop() else { break };
                    let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
                    command.env_clear().current_dir(here).stdin(Stdio::null());
                    let output = command.args(&words).args(more).arg("--json").output().unwrap();
                    let document: Value =
                        ledger_classes::primitives::json::from_slice(&output.stdout).unwrap_or_default();
                    let reason = document["error"]["message"].as_str().unwrap_or_default().to_owned();
                    let told = document["error"]["exit_code"] == code && !reason.is_empty();
                    if output.status.code() != Some(code) || !told {
                        let said = String::from_utf8_lossy(&output.stderr).into_owned();
                        wrong.lock().unwrap().push(format!("{words:?}: {:?} {reason:?} {said}", output.status.code()));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{kind} is {code} for the others, but:\n{}", wrong.join("\n"));
}

#[test]
fn a_profile_or_a_file_or_a_folder_that_is_not_there_is_usage_for_every_command() {
    let authority = Authority::new("root");
    let (here, empty) = (prepared(), tempfile::tempdir().unwrap());
    all_end_with("no profile", asking(), &[], here.path(), 2);
    all_end_with("a profile that is not there", asking(), &["--profile", "nowhere"], here.path(), 2);

    let listener = peer(&authority, |_, _| problem("404 Not Found", "told", ""));
    let (folder, _) = profile(&authority, &authority, &listener.url);
    write_account_key(&folder.path().join("account.key"), &SigningKey::from_seed(&[1; 32])).unwrap();
    let files: Vec<_> = asking().into_iter().filter(|words| names_file(words)).collect();
    let at = ["--profile", folder.path().to_str().unwrap()];
    all_end_with("a file that is not there", files, &at, empty.path(), 2);

    // `ca init` makes the folder.
    let of_folder =
        |words: &Vec<String>| words[0] == "ca" && words[1] != "init" && words.iter().any(|word| word == "--dir");
    let plain = |words: Vec<String>| {
        without(&words, "--profile").into_iter().filter(|word| word != "--json").collect::<Vec<String>>()
    };
    let folders: Vec<_> = examples().into_iter().filter(of_folder).map(plain).collect();
    all_end_with("an authorities' folder that is not there", folders, &at, here.path(), 2);
}

#[test]
fn a_peers_no_is_a_refusal_and_a_peer_that_is_not_there_is_unavailable_for_every_command() {
    let (ours, theirs) = (Authority::new("root"), Authority::new("other"));
    let here = prepared();
    // A subscription goes on trying where others give up: that is what it is for.
    let with = |kind: &str, trusted: &Authority, own: &Authority, url: &str, code: i32| {
        let gives_up = |words: &Vec<String>| code != 3 || words[0] != "watch";
        let asking: Vec<_> = asking().into_iter().filter(gives_up).collect();
        let (folder, _) = profile(trusted, own, url);
        write_account_key(&folder.path().join("account.key"), &SigningKey::from_seed(&[1; 32])).unwrap();
        all_end_with(kind, asking, &["--profile", folder.path().to_str().unwrap()], here.path(), code);
    };
    let absent = peer(&ours, |_, _| problem("404 Not Found", "channel-unknown", ""));
    with("what does not exist", &ours, &ours, &absent.url, 1);
    with("a certificate that is not accepted", &ours, &theirs, &absent.url, 1);
    with("a peer that is not trusted", &theirs, &theirs, &absent.url, 1);
    let busy = peer(&ours, |_, _| problem("503 Service Unavailable", "unavailable", "retry-after: 60\r\n"));
    with("a peer that says later", &ours, &ours, &busy.url, 3);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    with("a peer that is not there", &ours, &ours, &format!("https://{nobody}"), 3);
}
