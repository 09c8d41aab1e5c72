//! Renewal at a peer that lies: a profile that is good stays as it is.

#![allow(clippy::unwrap_used)]

#[path = "support/peer.rs"]
mod peer;

use client::connection::Options;
use client::renew::{PREVIOUS, RenewError, forget_previous, renew};
use client::retry::Retry;
use peer::{Authority, answer, peer, profile};
use std::path::Path;
use std::sync::{Arc, Mutex};

const ALICE: &str = "spiffe://harbour/bank/client/alice";

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut all: Vec<_> = entries
        .filter(|entry| entry.file_name() != "known.toml")
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect();
    all.sort();
    all
}

/// The peer answered with a certificate of the right identity and key, and of nobody: it replaced the good one.
#[test]
fn a_certificate_that_nobody_known_has_issued_replaces_none() {
    let (authority, forger) = (Authority::new("root"), Authority::new("forger"));
    let answered = Arc::new(Mutex::new(String::new()));
    let says = Arc::clone(&answered);
    let peer = peer(&authority, move |_, _| {
        let certificate = says.lock().unwrap().clone();
        let body = serde_json::json!({ "certificate": certificate }).to_string();
        answer("201 Created", "application/json", "", &body)
    });
    let (folder, profile) = profile(&authority, &authority, &peer.url);
    let key = std::fs::read_to_string(folder.path().join("key.pem")).unwrap();
    let options = Options { retry: Retry::NEVER, ..Options::default() };
    let before = files(folder.path());

    *answered.lock().unwrap() = forger.client(ALICE, &key);
    let refused = run(renew(&profile, options.clone(), None)).unwrap_err();
    assert!(matches!(refused, RenewError::Path(_)), "{refused:?}");
    // The right CA for another holder, and another key.
    *answered.lock().unwrap() = authority.client("spiffe://harbour/bank/client/bob", &key);
    assert!(matches!(run(renew(&profile, options.clone(), None)).unwrap_err(), RenewError::Other));
    let other = run(renew(&profile, options.clone(), Some(ledger_classes::keys::Scheme::EcdsaP256))).unwrap_err();
    assert!(matches!(other, RenewError::Other), "{other:?}");
    assert_eq!(files(folder.path()), before);

    let good = authority.client(ALICE, &key);
    answered.lock().unwrap().clone_from(&good);
    run(renew(&profile, options, None)).unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read("cert.pem"), good);
    assert_eq!(read(PREVIOUS[0]).into_bytes(), before.iter().find(|(name, _)| name == "cert.pem").unwrap().1);
    assert_eq!(read("key.pem"), key);
    forget_previous(folder.path()).unwrap();
    assert!(PREVIOUS.iter().all(|name| !folder.path().join(name).exists()));
}
