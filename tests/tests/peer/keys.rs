//! Keys of CAs: a peer and the commands open them with a passphrase that lies elsewhere, and do the rest without it.

use crate::harness::{Consortium, chancery, run, text, try_run};
use std::fs;

#[test]
fn a_peer_without_the_passphrase_serves_and_issues_as_soon_as_it_has_one() {
    let consortium = Consortium::new();
    let alice = consortium.profile("bank", "client", "alice");
    let dir = consortium.dir();
    let (usual, vault) = (dir.join("authority.passphrase"), consortium.path("vault"));
    fs::rename(&usual, &vault).expect("moved");

    let ca = |arguments: &[&str]| try_run(&[&["ca", "--dir", text(&dir)], arguments].concat());
    let refused = ca(&["crl", "bank"]);
    let says = String::from_utf8(refused.stderr).expect("text");
    assert_eq!(refused.status.code(), Some(1));
    assert!(says.contains(text(&usual)) && says.contains("--passphrase-file"), "{says}");
    assert!(ca(&["crl", "bank", "--passphrase-file", text(&vault)]).status.success());
    let by_variable = chancery()
        .env("CHANCERY_AUTHORITY_PASSPHRASE_FILE", &vault)
        .args(["ca", "crl", "bank", "--dir", text(&dir)])
        .output()
        .expect("it runs");
    assert!(by_variable.status.success());
    let wrong = consortium.path("wrong");
    fs::write(&wrong, "wrong\n").expect("written");
    let refused = ca(&[
        "issue",
        "bank",
        "client",
        "bob",
        "--out",
        text(&consortium.path("bob")),
        "--passphrase-file",
        text(&wrong),
    ]);
    let says = String::from_utf8(refused.stderr).expect("text");
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        says.contains("bank.key") && says.contains(text(&wrong)) && says.contains("the passphrase is wrong"),
        "{says}"
    );

    let peer = consortium.serve();
    peer.run(&alice, &["status"]);
    let renew = || try_run(&["--profile", text(&alice), "--peer", &peer.url, "ca", "renew"]);
    let refused = renew();
    assert_eq!(refused.status.code(), Some(3), "unavailable");
    let says = String::from_utf8(refused.stderr).expect("text");
    assert!(says.contains("The CA's key cannot be used at the moment") && !says.contains("passphrase"), "{says}");
    fs::copy(&vault, &usual).expect("copied");
    assert!(renew().status.success());

    // Another passphrase stops nobody who has the key open, and everybody else who has the old one only.
    let next = consortium.path("next");
    let changed = run(&["ca", "--dir", text(&dir), "passphrase", "--new-passphrase-file", text(&next)]);
    assert_eq!(changed["keys"], serde_json::json!(["bank", "root"]));
    assert!(renew().status.success());
    assert_eq!(ca(&["crl", "bank"]).status.code(), Some(1));
    fs::rename(&next, &usual).expect("moved");
    assert!(ca(&["crl"]).status.success());
}

#[test]
fn a_consortium_can_begin_with_a_passphrase_from_elsewhere() {
    let vault = tempfile::tempdir().expect("a directory");
    let passphrase = vault.path().join("passphrase");
    fs::write(&passphrase, "correct horse battery staple\n").expect("written");
    let consortium = Consortium::with(&["--passphrase-file", text(&passphrase)]);
    assert!(!consortium.dir().join("authority.passphrase").exists());
    let ca = ["ca", "--dir", text(&consortium.dir()), "--passphrase-file", text(&passphrase)].map(str::to_owned);
    let ca: Vec<&str> = ca.iter().map(String::as_str).collect();
    run(&[&ca[..], &["organization", "dealer"]].concat());
    let alice = consortium.path("alice");
    run(&[&ca[..], &["issue", "dealer", "client", "alice", "--out", text(&alice)]].concat());
    // The peer was told where it is.
    let peer = consortium.serve();
    peer.run(&alice, &["ca", "renew"]);

    let missing = vault.path().join("missing");
    let dir = vault.path().join("peer");
    let init = ["init", "--dir", text(&dir), "--consortium", "test.example", "--org", "bank"];
    let refused = try_run(&[&init[..], &["--passphrase-file", text(&missing)]].concat());
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains(text(&missing)));
    assert!(!dir.exists());
}
