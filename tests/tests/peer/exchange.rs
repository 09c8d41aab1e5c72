//! An organization whose CA is elsewhere, in a folder without a peer: what it hands over is one file, and what is done
//! with that is one command.

use crate::harness::{Consortium, run, text, try_run};
use serde_json::Value;
use std::fs;
use std::process::Output;
use std::time::{Duration, Instant};

fn refused(output: &Output, code: i32, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(why), "{said}");
}

#[test]
fn an_organization_with_its_ca_elsewhere_comes_in_and_its_revocations_too() {
    let consortium = Consortium::new();
    let peer = consortium.serve();
    let dir = consortium.dir();
    let path = |name: &str| consortium.path(name);
    let carrier = path("carrier");
    let init = ["--consortium", "test.example", "--org", "carrier"];
    run(&[&["ca", "--dir", text(&carrier), "init"], &init[..]].concat());
    let out = path("carl");
    let issue = ["issue", "carrier", "client", "carl", "--at", &peer.url, "--out", text(&out)];
    run(&[&["ca", "--dir", text(&carrier)], &issue[..]].concat());

    let (theirs, ours) = (path("carrier.pem"), path("ours.pem"));
    run(&["ca", "--dir", text(&carrier), "bundle", "carrier", "--out", text(&theirs)]);
    run(&["ca", "--dir", text(&dir), "bundle", "bank", "--out", text(&ours)]);
    let add = |file: &std::path::Path, more: &[&str]| {
        try_run(&[&["ca", "--dir", text(&dir), "trust", "add", text(file)], more].concat())
    };
    let into = ["ca", "trust", "add", text(&ours), "--into", text(&out)];
    refused(&try_run(&into), 1, "--root");
    run(&[&into[..], &["--root"]].concat());
    // Carl trusts the peer, but not yet the other way round.
    let status = |expected: bool| {
        let began = Instant::now();
        loop {
            let asked = try_run(&["--profile", text(&out), "--timeout", "5", "channel", "list"]);
            if asked.status.success() == expected {
                return;
            }
            let said = String::from_utf8_lossy(&asked.stderr).into_owned();
            assert!(began.elapsed() < Duration::from_secs(30), "{said}");
        }
    };
    status(false);
    let added = add(&theirs, &[]);
    let made: Value = ledger_classes::json::from_slice(&added.stdout).expect("JSON");
    assert_eq!((&made["authorities"][0]["organization"], &made["crls"]), (&"carrier".into(), &1.into()), "{made}");
    status(true);
    let again: Value = ledger_classes::json::from_slice(&add(&theirs, &[]).stdout).expect("JSON");
    assert_eq!((again["authorities"].as_array().map(Vec::len), &again["crls"]), (Some(0), &0.into()));
    let held = run(&["ca", "--dir", text(&dir), "trust", "list"]);
    assert!(held.to_string().contains("carrier"), "{held}");

    // A revocation there, and the file again.
    let identity = "spiffe://test.example/carrier/client/carl";
    run(&["ca", "--dir", text(&carrier), "revoke", identity, "--reason", "key-compromise"]);
    run(&["ca", "--dir", text(&carrier), "bundle", "carrier", "--out", text(&theirs)]);
    let newer: Value = ledger_classes::json::from_slice(&add(&theirs, &[]).stdout).expect("JSON");
    assert_eq!(newer["crls"], 1, "{newer}");
    status(false);

    // What must not come in, and changes nothing.
    let before = fs::read(dir.join("peer/ca.pem")).expect("readable");
    let (root, impostor) = (path("root.pem"), path("impostor"));
    run(&["ca", "--dir", text(&carrier), "bundle", "--out", text(&root)]);
    refused(&add(&root, &[]), 1, "may certify CAs of every organization");
    let init = ["--consortium", "test.example", "--org", "bank"];
    run(&[&["ca", "--dir", text(&impostor), "init"], &init[..]].concat());
    let bank = path("bank.pem");
    run(&["ca", "--dir", text(&impostor), "bundle", "bank", "--out", text(&bank)]);
    refused(&add(&bank, &[]), 1, "another CA of bank is trusted already");
    let foreign = path("foreign");
    run(&["ca", "--dir", text(&foreign), "init", "--consortium", "evil.example", "--org", "carrier"]);
    let evil = path("evil.pem");
    run(&["ca", "--dir", text(&foreign), "bundle", "carrier", "--out", text(&evil)]);
    refused(&add(&evil, &[]), 1, "of another consortium");
    let whole = fs::read_to_string(&bank).expect("readable");
    let (certificate, crl) = whole.split_once("-----BEGIN X509 CRL").expect("both");
    fs::write(&bank, certificate).expect("writable");
    refused(&add(&bank, &["--beside"]), 1, "without a CRL that is in force");
    fs::write(&bank, format!("{}-----BEGIN X509 CRL{crl}", certificate.trim_end())).expect("writable");
    refused(&add(&bank, &["--beside"]), 2, "line");
    assert_eq!(fs::read(dir.join("peer/ca.pem")).expect("readable"), before);
}
