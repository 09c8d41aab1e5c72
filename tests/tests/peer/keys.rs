//! Keys of CAs: a peer and the commands open them with a passphrase that lies elsewhere, and do the rest without it.

use crate::harness::{Consortium, chancery, run, text, try_run};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

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
    files::write_private(&wrong, b"wrong\n").expect("written");
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
    files::write_private(&passphrase, b"correct horse battery staple\n").expect("written");
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

/// Account keys were refused where others may read them; the keys of TLS, of seals and of CAs, and what opens them, were
/// not.
#[test]
fn a_secret_that_others_may_read_is_refused_in_every_place_and_its_group_may_read_it() {
    let consortium = Consortium::new();
    let (dir, ann) = (consortium.dir(), consortium.profile("bank", "client", "ann"));
    run(&["--profile", text(&ann), "key", "new"]);
    let late = consortium.path("late");
    let identity = "spiffe://test.example/bank/client/late";
    run(&["ca", "request", "--out", text(&late), "--identity", identity]);
    let (request, token) = (late.join("request.pem"), consortium.path("token"));
    let made = run(&["ca", "--dir", text(&dir), "token", identity]);
    files::write_private(&token, made["token"].as_str().expect("a token").as_bytes()).expect("written");
    let set = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
    let refuses = |path: &Path, arguments: &[&str]| {
        set(path, 0o644);
        // A peer that takes its key would serve for ever.
        let mut bounded = Command::new("timeout");
        bounded.arg("60").arg(chancery().get_program()).arg("--json").args(arguments);
        let output = bounded.output().expect("timeout runs");
        let says = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{} is taken", path.display());
        let told = says.contains(text(path)) && says.contains("chmod 600 it, or 640 for its group");
        assert!(told, "{}: {says}", path.display());
        set(path, 0o640);
    };
    // The peer's own.
    for key in ["peer/key.pem", "peer/seal.pem"] {
        refuses(&dir.join(key), &["serve", "--dir", text(&dir)]);
    }
    let peer = consortium.serve();
    let mine = ["--profile", text(&ann), "--peer", &peer.url];
    let (crl, status, show) = (["ca", "--dir", text(&dir), "crl", "bank"], [&mine[..], &["status"]].concat(), {
        [&mine[..], &["key", "show"]].concat()
    });
    let enrol = ["ca", "--dir", text(&dir), "request", text(&request), "--token-file", text(&token)];
    let uses: [(PathBuf, &[&str]); 5] = [
        (dir.join("ca/bank.key"), &crl),
        (dir.join("authority.passphrase"), &crl),
        (ann.join("key.pem"), &status),
        (ann.join("account.key"), &show),
        (token.clone(), &enrol),
    ];
    for (path, arguments) in uses {
        refuses(&path, arguments);
        run(arguments);
    }
    // A running peer cannot issue while what opens its CA's key is open to others, and can when it is not.
    set(&dir.join("authority.passphrase"), 0o644);
    drop(peer);
    let peer = consortium.serve();
    let mine = ["--profile", text(&ann), "--peer", &peer.url];
    let renew = || try_run(&[&mine[..], &["ca", "renew"]].concat());
    let output = renew();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    set(&dir.join("authority.passphrase"), 0o640);
    assert!(renew().status.success());
}
